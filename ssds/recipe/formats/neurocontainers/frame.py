"""What every image gets before and after the steps of its recipe.

NeuroDesk's contract with its users: locales, a start script, mount points of sites that have no
overlay, a time zone; then the variables that tell what is offered. The copies of ``build.yaml``
and README, and the JSON of the whole recipe, are left out: with them an icon changes an image.
"""

from __future__ import annotations

from ssds.recipe.formats.neurocontainers import shell

MOUNT_POINTS = (
    "/afm01", "/afm02", "/cvmfs", "/90days", "/30days", "/QRISdata", "/RDS", "/data", "/short",
    "/proc_temp", "/TMPDIR", "/nvme", "/neurodesktop-storage", "/local", "/gpfs1", "/working",
    "/winmounts", "/state", "/tmp", "/autofs", "/cluster", "/local_mount", "/scratch",  # noqa: S108
    "/clusterdata", "/nvmescratch",
)  # fmt: skip
START = "/neurodocker/startup.sh"
LOCALE = {"LANG": "en_US.UTF-8", "LC_ALL": "en_US.UTF-8", "ND_ENTRYPOINT": START}

_HELPERS = ("bzip2", "ca-certificates")
_START_SCRIPT = (
    "mkdir -p /neurodocker",
    'if [ ! -f "$ND_ENTRYPOINT" ]; then',
    "  echo '#!/usr/bin/env bash' >> \"$ND_ENTRYPOINT\"",
    "  echo 'set -e' >> \"$ND_ENTRYPOINT\"",
    '  echo \'export USER="${USER:=`whoami`}"\' >> "$ND_ENTRYPOINT"',
    '  echo \'if [ -n "$1" ]; then "$@"; else /usr/bin/env bash; fi\' >> "$ND_ENTRYPOINT";',
    "fi",
    "chmod -R 777 /neurodocker && chmod a+s /neurodocker",
)
_SHARED_OPT = "chmod 777 /opt && chmod a+s /opt"


def _installed(manager: str, names: tuple[str, ...]) -> list[str]:
    return [f"{manager} install -y -q{' --no-install-recommends' * (manager == 'apt-get')} \\"] + [
        f"    {name}" + " \\" * (number < len(names) - 1) for number, name in enumerate(names)
    ]


def locale_command(manager: str) -> str:
    """Returns the command that sets up locales and the start script."""
    lines = [f'export ND_ENTRYPOINT="{START}"']
    packages: tuple[str, ...]
    if manager == "apt":
        packages = ("apt-utils", *_HELPERS, "curl", "locales", "unzip")
        lines += [
            "apt-get update -qq",
            *_installed("apt-get", packages),
            "rm -rf /var/lib/apt/lists/*",
            "sed -i -e 's/# en_US.UTF-8 UTF-8/en_US.UTF-8 UTF-8/' /etc/locale.gen",
            "dpkg-reconfigure --frontend=noninteractive locales",
            'update-locale LANG="en_US.UTF-8"',
            _SHARED_OPT,
        ]
    elif manager in ("yum", "rpm"):
        repositories = "/etc/yum.repos.d/CentOS-*"
        vault = "s|#baseurl=http://mirror.centos.org|baseurl=http://vault.centos.org|g"
        packages = (*_HELPERS, "glibc-langpack-en", "glibc-locale-source", "unzip")
        lines += [
            f"if ls {repositories} >/dev/null 2>&1; then",
            f"    sed -i 's/mirrorlist/#mirrorlist/g' {repositories}",
            f"    sed -i '{vault}' {repositories};",
            "fi",
            *_installed("yum", packages),
            "yum clean all",
            "rm -rf /var/cache/yum/*",
            "localedef -i en_US -f UTF-8 en_US.UTF-8",
            _SHARED_OPT,
        ]
    return "\n".join((*lines, *_START_SCRIPT))


def helper_commands() -> tuple[str, ...]:
    """Returns the commands that make ``ll`` and the mount points."""
    return (
        "printf '#!/bin/bash\\nls -la' > /usr/bin/ll",
        "chmod +x /usr/bin/ll",
        "mkdir -p " + " ".join(MOUNT_POINTS),
    )


def time_zone_commands() -> tuple[str, str]:
    """Returns the commands that install and set the time zone."""
    link = "ln -snf /usr/share/zoneinfo/UTC /etc/localtime && echo UTC > /etc/timezone"
    return shell.install("apt", ("tzdata",)), link


def user_command(name: str) -> str:
    """Returns the command that makes a user who is not there."""
    add = "useradd --no-user-group --create-home --shell /bin/bash"
    return f'test "$(getent passwd {name})" \\\n    || {add} {name}'
