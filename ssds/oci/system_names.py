"""Names that every system has: shells, the tools of POSIX and what manages packages.

A module that put an image's own ``ls`` or ``bash`` before the host's would break its user's shell
and every script. They get a wrapper only where a recipe declares them.

Sources: POSIX.1-2017, "Utilities"; the file lists of Debian's essential packages.
"""

from __future__ import annotations

import re

SYSTEM = frozenset(
    """
    addgroup adduser agetty apt apt-cache apt-cdrom apt-config apt-get apt-key apt-mark arch ash
    awk b2sum base32 base64 basename basenc bash bashbug bunzip2 busybox bzcat bzip2 c_rehash
    cal cat chage chattr chcon chgrp chmod chown chroot chrt chsh cksum clear cmp comm cp cpio
    csh csplit curl cut dash date dd deb-systemd-helper debconf delgroup deluser df diff diff3
    dir dircolors dirname dmesg dnf dnsdomainname dpkg dpkg-deb dpkg-query du echo ed egrep env
    ex expand expr factor false fgrep file find fish flock fmt fold free fuser gawk getconf
    getent getopt git gpg gpgv grep groups gunzip gzexe gzip head hexdump hostid hostname iconv
    id info infocmp install ionice ip ischroot join kill killall ksh last ldconfig ldd less
    lesspipe link ln locale localedef logger login logname look ls lsattr lsblk lscpu lsof make
    man mawk mcookie md5sum mesg micro mkdir mkfifo mknod mktemp more mount mountpoint mv nano
    nawk newgrp nice nl nohup nproc nsenter numfmt od openssl pager passwd paste patch pathchk
    perl pgrep pidof ping pinky pip pip3 pkill pldd pmap pr printenv printf prlimit ps ptx pwck
    pwd python python3 rbash readelf readlink realpath rename renice reset resizepart rev rm
    rmdir rpm rsh rsync run-parts runcon rvim savelog scp script sdiff sed select-editor seq
    setarch setpriv setsid sftp sh sha1sum sha224sum sha256sum sha384sum sha512sum shred shuf
    sleep sort split ssh stat stdbuf strings stty su sudo sum sync tabs tac tail tar taskset
    tclsh tcsh tee tempfile test tic timeout toe top touch tput tr true truncate tset tsort tty
    tzselect umount uname uncompress unexpand uniq unlink unlzma unshare unxz unzip
    update-alternatives uptime users utmpdump vdir vi view vim vmstat w wall watch wc wget
    whereis which who whoami write xargs xz xzcat yacc yes yum zcat zcmp zdiff zdump zegrep
    zfgrep zforce zgrep zip zless zmore znew zsh conda mamba micromamba activate deactivate
    """.split()  # noqa: SIM905 - as words they can be read
)
_VERSIONED = re.compile(
    r"(?:perl|pip|python|pydoc|2to3-|idle)[0-9.]+(?:-config)?|x86_64-.*|aarch64-.*"
)


def is_system(name: str) -> bool:
    """Whether a name is one that systems and toolchains have (``bash``, ``python3.11``)."""
    return name in SYSTEM or _VERSIONED.fullmatch(name) is not None
