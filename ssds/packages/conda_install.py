"""Installs an exact set of conda packages at a prefix, in the sandbox and without network.

The environment is linked outside of the sandbox, by this program alone, and copied in; then the
environment's own Python compiles what belongs to no certain Python, and post-link scripts run.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from ssds.core.pins import PinnedPackage
from ssds.host import local
from ssds.packages.conda_link import Staged, stage

PACKAGES = "/run/ssds/packages"
"""Where the linked environment is bound, read-only."""

_SCRIPT = """\
set -eu
umask 022
prefix=@PREFIX@
if [ -e "$prefix" ] && [ -n "$(ls -A "$prefix")" ]; then
  echo "$prefix is not empty; choose another prefix, or name all packages in one step" >&2
  exit 1
fi
mkdir -p -- "$prefix"
cp -RP --preserve=mode,links -T @PACKAGES@/tree "$prefix"
"""

_COMPILE = """\
PYTHONHASHSEED=0 "$prefix/@PYTHON@" -s -B - "$prefix" <<'SSDS'
import compileall, os, py_compile, sys
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
for line in open("@PACKAGES@/compile.txt", encoding="utf-8"):
    path = os.path.join(sys.argv[1], line.rstrip("\\n"))
    compileall.compile_file(path, quiet=2, force=True, invalidation_mode=mode)
SSDS
"""

_POST_LINK = """\
echo @TITLE@
CONDA_PREFIX="$prefix" PREFIX="$prefix" ROOT_PREFIX="$prefix" PATH="$prefix/bin:$PATH" \\
  PKG_NAME=@NAME@ PKG_VERSION=@VERSION@ PKG_BUILDNUM=@BUILD@ sh -eu "$prefix"/@FILE@
if [ -e "$prefix/.messages.txt" ]; then
  cat -- "$prefix/.messages.txt"
  rm -- "$prefix/.messages.txt"
fi
"""


def write_environment(
    folder: str, scratch: str, packages: Sequence[tuple[PinnedPackage, str]], prefix: str
) -> Staged:
    """Links the environment into ``folder``, which is to be bound at PACKAGES.

    Args:
        folder: exists and is empty.
        scratch: an empty folder on the same file system; it can be removed afterwards.
        packages: each with the path of its archive, whose sha256 was checked.
        prefix: where the environment will be in the image.

    Raises:
        IntegrityError: see ``stage``.
    """
    tree = os.path.join(folder, "tree")
    local.make_folder(os.path.join(tree, "conda-meta"))
    local.write(os.path.join(tree, "conda-meta", "history"), b"")
    staged = stage(tree, scratch, packages, prefix)
    lines = "".join(f"{path}\n" for path in staged.compiled)
    local.write(os.path.join(folder, "compile.txt"), lines.encode())
    return staged


def install_script(staged: Staged, prefix: str) -> str:
    """Returns the shell script that installs the environment from PACKAGES; runs as root."""
    script = _SCRIPT.replace("@PREFIX@", shlex.quote(prefix))
    if staged.compiled and staged.python:
        script += _COMPILE.replace("@PYTHON@", staged.python)
    for package in staged.post_links:
        pin = package.pin
        values = {
            "TITLE": f"post-link script of {pin.name} {pin.version}",
            "NAME": pin.name,
            "VERSION": pin.version,
            "BUILD": str(package.index.get("build_number", 0)),
            "FILE": f"bin/.{pin.name}-post-link.sh",
        }
        text = _POST_LINK
        for key, value in values.items():
            text = text.replace(f"@{key}@", shlex.quote(value))
        script += text
    return script.replace("@PACKAGES@", PACKAGES)
