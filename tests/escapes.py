"""Known ways out of a sandbox, as Python that a step runs; one that works prints got through."""

from __future__ import annotations

import os
import threading
import time

from rootfs import scratch, shell

from ssds.host.sandbox import Bind, JobResult

HELPERS = """
import ctypes, errno, os, platform, signal, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
ARM = platform.machine() == 'aarch64'
def call(x86, arm, *arguments):
    return libc.syscall(ctypes.c_long(arm if ARM else x86), *arguments)
def through(works):
    print('got through' if works else 'held')
"""

# What root in a step may try: code that prints ``got through`` when it works.
ESCAPES = {
    # out of the root
    "chroot and back by a descriptor": """
        os.mkdir('/jail'); up = os.open('/', os.O_RDONLY); os.chroot('/jail'); os.fchdir(up)
        for _ in range(64): os.chdir('..')
        os.chroot('.'); through(os.path.exists(SECRET))""",
    "the old root by pivot_root": """
        os.mkdir('/old'); through(call(155, 41, b'/', b'/old') == 0)""",
    "file handles of the host": """
        class Handle(ctypes.Structure):
            _fields_ = [('size', ctypes.c_uint), ('type', ctypes.c_int),
                        ('data', ctypes.c_char * 128)]
        here = os.open('/proc/version', os.O_RDONLY); good = 0
        for number in (2, 128, 256):
            handle = Handle(8, 1, struct.pack('=II', number, 0))
            good += call(304, 265, here, ctypes.byref(handle), os.O_RDONLY) >= 0
            root = os.open('/', os.O_RDONLY)
            good += call(304, 265, root, ctypes.byref(handle), os.O_RDONLY) >= 0
        through(good)""",
    "descriptors that were left open": """
        kept = [n for n in os.listdir('/proc/self/fd') if int(n) > 2]
        kept = [f'/proc/self/fd/{n}' for n in kept if os.path.exists(f'/proc/self/fd/{n}')]
        fine = ('/proc/', '/usr/', '/run/attack')
        through([n for n in kept if not os.readlink(n).startswith(fine)])""",
    "the roots of other processes": """
        found = 0
        for pid in [p for p in os.listdir('/proc') if p.isdigit()]:
            for name in ('root', 'cwd'): found += os.path.exists(f'/proc/{pid}/{name}{SECRET}')
        through(found)""",
    "the helper's memory": """
        try: open('/proc/1/mem', 'rb').close(); through(True)
        except OSError: through(False)""",
    "the helper's environment and files": """
        try: through(len(open('/proc/1/environ', 'rb').read()) > 0 or os.listdir('/proc/1/fd'))
        except OSError: through(False)""",
    "the namespaces of process 1": """
        good = 0
        for name in os.listdir('/proc/self/ns'):
            try: good += libc.setns(os.open(f'/proc/1/ns/{name}', os.O_RDONLY), 0) == 0
            except OSError: pass
        through(good)""",
    "tracing process 1": """
        through(libc.ptrace(16, 1, 0, 0) == 0 or libc.ptrace(0x4206, 1, 0, 0) == 0)""",
    "reading process 1 from afar": """
        buffer = ctypes.create_string_buffer(64)
        here = struct.pack('PN', ctypes.addressof(buffer), 64)
        there = struct.pack('PN', 0x400000, 64)
        through(call(310, 270, 1, here, 1, there, 1, 0) > 0)""",
    "a descriptor of process 1 by pidfd_getfd": """
        pid = os.pidfd_open(1); through(any(call(438, 438, pid, n, 0) >= 0 for n in range(10)))""",
    # the network
    "sockets below IP": """
        good = 0
        for family, kind in ((2, 3), (10, 3), (17, 3)):
            try: socket.socket(family, kind, 1); good += 1
            except OSError: pass
        through(good)""",
    "changing the network": """
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        link = struct.pack('=BxHiII', 0, 0, 0, 0, 0)
        message = struct.pack('=IHHII', 16 + len(link) + 16, 16, 0x605, 1, 0) + link
        message += struct.pack('=HH8sHH', 12, 3, b'escape0', 4, 18)
        s.send(message); answer = s.recv(4096)
        through(struct.unpack_from('=i', answer, 16)[0] == 0)""",
    "events of the host's devices": """
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 15)
        try: s.bind((0, 1)); s.sendto(b'add@/devices/x\\0ACTION=add\\0', (0, 1)); through(True)
        except OSError: through(False)""",
    "the audit of the kernel": """
        try:
            s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)
            s.send(struct.pack('=IHHII', 16, 1000, 5, 1, 0)); answer = s.recv(4096)
            through(struct.unpack_from('=i', answer, 16)[0] >= 0)
        except OSError: through(False)""",
    "sockets of virtual machines": """
        try: socket.socket(40, 1); through(True)
        except OSError: through(False)""",
    # the kernel
    "mounts by the newer calls": """
        good = call(430, 430, b'tmpfs', 0) >= 0
        tree = call(428, 428, -100, b'/', 1)
        good = good or tree >= 0
        writable = struct.pack('=QQQQ', 0, 1, 0, 0)
        through(good or call(442, 442, -100, b'/', 0x8000, writable, 32) == 0)""",
    "new namespaces": """
        flags = (0x20000, 0x40000000, 0x20000000, 0x8000000, 0x4000000)
        through(any(libc.unshare(flag) == 0 for flag in flags))""",
    "cgroups and their release agent": """
        os.mkdir('/cg')
        good = libc.mount(b'cgroup', b'/cg', b'cgroup', 0, b'memory') == 0
        good = good or libc.mount(b'cgroup2', b'/cg', b'cgroup2', 0, None) == 0
        through(good or os.path.exists('/sys/fs/cgroup'))""",
    "other settings of the kernel": """
        good = []
        for name in ('kernel/core_pattern', 'kernel/modprobe', 'vm/overcommit_memory',
                     'fs/suid_dumpable', 'net/ipv4/ip_forward', 'kernel/hostname',
                     'fs/binfmt_misc/register'):
            try: open('/proc/sys/' + name, 'wb', 0).write(b'1'); good.append(name)
            except OSError: pass
        through(good)""",
    "modules, kexec, reboot, swap, accounting": """
        calls = ((175, 105, 0, 0, b''), (313, 273, 0, b'', 0), (246, 104, 0, 0, 0, 0),
                 (169, 142, 0xfee1dead, 672274793, 0, 0), (167, 224, b'/etc/passwd', 0),
                 (163, 89, b'/etc/passwd'))
        through(any(call(*c) == 0 for c in calls))""",
    "the kernel's own log": """
        through(call(103, 116, 3, ctypes.create_string_buffer(4096), 4096) > 0 or
                os.path.exists('/dev/kmsg'))""",
    "the kernel's memory": """
        good = 0
        fine = (b'', open('/proc/version', 'rb').read(4))  # which lies over those that are hidden
        for path in ('/proc/kcore', '/proc/kmsg', '/dev/mem', '/dev/kmem', '/dev/port'):
            try: good += os.read(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 4) not in fine
            except OSError: pass
        through(good)""",
    "programs for the kernel, rings and keys": """
        buffer = ctypes.create_string_buffer(256)
        calls = ((321, 280, 0, 0, 0), (425, 425, 1, buffer), (250, 219, 0, -3, 1),
                 (248, 217, b'user', b'x', b'y', 1, -3), (298, 241, buffer, 0, -1, -1, 0),
                 (323, 282, 0))
        through(any(call(*c) >= 0 for c in calls))""",
    "the clock": """
        now = struct.pack('=qq', 1000000000, 0)
        good = call(227, 112, 0, now) == 0 or call(164, 170, now, 0) == 0
        timex = ctypes.create_string_buffer(struct.pack('=I', 1) + bytes(512))
        through(good or call(159, 171, timex) >= 0)""",
    "ports of the machine": """
        through(not ARM and (call(173, -1, 0x378, 1, 1) == 0 or call(172, -1, 3) == 0))""",
    "device nodes": """
        good = 0
        for kind, number in ((0o60600, (8, 0)), (0o20600, (1, 1)), (0o20600, (10, 229))):
            for place in ('/d', '/tmp/d', '/dev/d', '/run/d'):
                try: os.mknod(place, kind, os.makedev(*number)); good += 1
                except OSError: pass
        through(good)""",
    "the caller's terminal": """
        import fcntl
        good = 0
        for path in ('/dev/tty', '/dev/console', '/dev/tty0', '/dev/pts/0'):
            try: fcntl.ioctl(os.open(path, os.O_RDWR | os.O_NOCTTY), 0x5412, b'x'); good += 1
            except OSError: pass
        through(good)""",
    # limits
    "raising one's own limits": """
        import resource
        good = 0
        for what in (resource.RLIMIT_NPROC, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE):
            if resource.getrlimit(what)[1] == resource.RLIM_INFINITY: continue  # the group's
            try: resource.setrlimit(what, (resource.RLIM_INFINITY,) * 2); good += 1
            except (OSError, ValueError): pass
        try: os.setpriority(os.PRIO_PROCESS, 0, -5); good += 1
        except OSError: pass
        try: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10)); good += 1
        except OSError: pass
        try: open('/proc/self/oom_score_adj', 'wb', 0).write(b'-1000'); good += 1
        except OSError: pass
        through(good)""",
    "signals to others": """
        os.kill(1, signal.SIGKILL); time.sleep(0.2)
        for pid in range(2, 2000):
            if pid != os.getpid() and pid != os.getppid():
                try: os.kill(pid, 0); print('got through')
                except ProcessLookupError: pass""",
}  # fmt: skip


def in_python(mode: str, code: str, **more: object) -> tuple[JobResult, str]:
    """Runs code after HELPERS in the tiny root file system; returns the result and its output."""
    lines = code.splitlines()
    indent = next((len(line) - len(line.lstrip()) for line in lines if line.strip()), 0)
    text = HELPERS + "\n".join(line[indent:] for line in lines) + "\n"
    path = f"{scratch()}/attack-{threading.get_ident()}-{time.monotonic_ns()}.py"
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o644)
    binds = (Bind(source=path, target="/run/attack.py"), *more.pop("binds", ()))
    try:
        return shell(mode, "exec python3 /run/attack.py", binds=binds, **more)
    finally:
        os.unlink(path)
