"""Installs an exact set of wheels in the sandbox, without network, with the same bytes each time.

The set brings its own pip, run from its wheel below /run, so the image needs Python and nothing
else. Byte code is compiled afterwards, with hashes instead of times, for the new files only.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ssds.core.errors import IntegrityError
from ssds.core.pins import PinnedPackage
from ssds.host import local

PACKAGES = "/run/ssds/packages"
"""Where the wheels are bound, read-only."""
TOOL = "tool"
"""The architecture of pip's own wheel in a set: used, not installed."""

_SCRIPT = """\
set -eu
umask 022
if ! command -v python3 > /dev/null; then
  echo 'this image has no python3; install it in an apt step before' >&2
  exit 127
fi
export PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 PIP_CONFIG_FILE=/dev/null
cat > /run/ssds-wheels.py <<'SSDS'
import compileall, importlib.metadata, os, py_compile, re, sys, sysconfig
folders = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
wanted = {}
for line in open("@PACKAGES@/requirements.txt"):
    name, _, version = line.split()[0].partition("==")
    wanted[name] = version
for found in list(importlib.metadata.distributions(path=folders)):
    name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
    if name not in wanted:
        continue
    if found.version != wanted[name]:
        sys.exit(f"{name} {found.version} is there from an earlier step; {wanted[name]} differs")
    if sys.argv[1] != "compile":
        continue
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    for file in sorted(map(str, found.files or ())):
        path = os.path.normpath(os.path.join(str(found.locate_file("")), file))
        if path.endswith(".py") and any(path.startswith(f + os.sep) for f in folders):
            compileall.compile_file(path, quiet=2, force=True, invalidation_mode=mode)
SSDS
python3 /run/ssds-wheels.py check
python3 @PACKAGES@/@PIP@/pip install -q --no-index --find-links @PACKAGES@ \\
  --require-hashes --no-deps --no-cache-dir --no-compile --ignore-installed \\
  --break-system-packages --root-user-action ignore --no-warn-script-location \\
  --disable-pip-version-check -r @PACKAGES@/requirements.txt
python3 /run/ssds-wheels.py compile
rm /run/ssds-wheels.py
"""


def write_wheel_folder(folder: str, packages: Sequence[tuple[PinnedPackage, str]]) -> None:
    """Puts the wheels and a ``requirements.txt`` with their hashes into ``folder``.

    Args:
        folder: exists and is empty; to be bound at PACKAGES.
        packages: each with the path of its wheel, whose sha256 was checked.
    """
    lines = []
    for package, path in sorted(packages, key=lambda pair: pair[0].name):
        if "/" in package.file.name or not package.file.name.endswith(".whl"):
            raise IntegrityError(f"{package.file.name[:80]!r} is not a wheel's name")
        local.link_or_copy(path, os.path.join(folder, package.file.name))
        if package.architecture != TOOL:
            digest = package.file.digest
            lines.append(f"{package.name}=={package.version} --hash={digest}\n")
    local.write(os.path.join(folder, "requirements.txt"), "".join(lines).encode())


def install_script(packages: Sequence[PinnedPackage]) -> str:
    """Returns the shell script that installs the set from PACKAGES; runs as root, offline.

    Raises:
        IntegrityError: the set does not bring a pip.
    """
    tools = [p for p in packages if p.name == "pip"]
    if not tools:
        raise IntegrityError(
            "the pinned Python packages lack pip itself",
            code="F047",
            hint="Renew the pin: ssds lock --upgrade packages.",
        )
    script = _SCRIPT.replace("@PACKAGES@", PACKAGES)
    return script.replace("@PIP@", tools[0].file.name)
