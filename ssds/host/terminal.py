"""A program on the caller's own terminal: a pseudo-terminal of the sandbox's, joined to it.

The program never gets the caller's terminal itself, so it cannot type into it after it ended; it
has one of its own sandbox, with job control, window size and ``/dev/tty`` (pty(7)).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import selectors
import signal
import socket
import stat
import struct
import termios
import threading
import tty
from collections.abc import Callable, Iterator

from ssds.core.errors import InvalidValue

_NO_SIZE = struct.pack("HHHH", 24, 80, 0, 0)


def check_descriptors(descriptors: tuple[int, int, int]) -> None:
    """Refuses folders: a program could leave its root file system through one.

    Raises:
        InvalidValue: a descriptor is a folder or is closed.
    """
    for name, descriptor in zip(("input", "output", "error"), descriptors, strict=True):
        try:
            folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        except OSError:
            raise InvalidValue(f"standard {name} is closed", hint="Redirect it.") from None
        if folder:
            raise InvalidValue(f"standard {name} is a folder", hint="Redirect a file.")


def receive_descriptor(end: socket.socket) -> int:
    """Returns the descriptor that the sandbox sends, or -1 where it ended before it sent one."""
    with contextlib.suppress(OSError):
        found = socket.recv_fds(end, 1, 1)[1]
        if found:
            os.set_inheritable(found[0], False)
            return found[0]
    return -1


@contextlib.contextmanager
def joined(terminal: int, master: int) -> Iterator[None]:
    """Makes ``terminal`` raw for the block and keeps the size of ``master`` like its own."""

    def follow(*_: object) -> None:
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(master, termios.TIOCSWINSZ, size if any(size[:4]) else _NO_SIZE)

    before = termios.tcgetattr(terminal)
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGWINCH, follow) if main else None
    follow()
    try:
        tty.setraw(terminal, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        if main:
            signal.signal(signal.SIGWINCH, handler)


def relay(
    master: int, stdin: int, stdout: int, status: int, answers: Callable[[bytes], object]
) -> None:
    """Carries bytes both ways until the sandbox closes its end; hands ``status`` to ``answers``."""
    with selectors.DefaultSelector() as selector:
        for descriptor in (master, stdin, status):
            selector.register(descriptor, selectors.EVENT_READ)
        left = {master, status}
        while left:
            for key, _ in selector.select():
                data = _read(key.fd)
                if not data:
                    selector.unregister(key.fd)
                    left.discard(key.fd)
                elif key.fd == status:
                    answers(data)
                else:
                    _write(stdout if key.fd == master else master, data)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError as error:
        if error.errno != errno.EIO:  # all who had the terminal open have ended
            raise
        return b""


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return
