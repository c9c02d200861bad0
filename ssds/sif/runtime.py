"""What Apptainer and Singularity look for in an image: start scripts, environment, bind points.

An OCI image says in its config how it is started; these runtimes read files below
``/.singularity.d`` instead. They are written as one more layer on top of the image's own, so that
the rules of layers hold for them: what is in the way is replaced, links are not followed.

Source: Apptainer's user guide, "Environment and Metadata", and singularity-oci's mapping of
ENTRYPOINT and CMD ("Support for Docker and OCI Containers").
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping

from ssds.core.canonical import canonical_bytes
from ssds.oci.flatten import FlatTree
from ssds.oci.tarwriter import FOLDER, REGULAR, SYMLINK, Member, TarWriter
from ssds.oci.types import Config

FOLDER_NAME = ".singularity.d"
RUNSCRIPT = f"{FOLDER_NAME}/runscript"
STARTSCRIPT = f"{FOLDER_NAME}/startscript"
ENVIRONMENT = f"{FOLDER_NAME}/env/10-docker2singularity.sh"
"""Apptainer knows the files in ``env`` by name: after 99-base.sh it sets what its caller asks."""
_SITE_ENVIRONMENT = f"{FOLDER_NAME}/env/90-environment.sh"
BIND_FOLDERS = (
    "dev",
    "etc",
    "home",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "var",
    "var/tmp",
)
BIND_FILES = ("etc/group", "etc/hosts", "etc/passwd", "etc/resolv.conf")
_STICKY = frozenset({"tmp", "var/tmp"})
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOSTS_OWN = frozenset({"HOME", "PWD", "OLDPWD", "IFS", "PS4", "PPID", "SHELLOPTS", "BASHOPTS"})
_LINKS = {
    ".exec": f"{FOLDER_NAME}/actions/exec",
    ".run": f"{FOLDER_NAME}/actions/run",
    ".shell": f"{FOLDER_NAME}/actions/shell",
    ".test": f"{FOLDER_NAME}/actions/test",
    "environment": _SITE_ENVIRONMENT,
    "singularity": RUNSCRIPT,
}
_SOURCE = """#!/bin/sh
for script in /.singularity.d/env/*.sh; do
    [ ! -f "$script" ] || . "$script"
done
"""
_ACTIONS = {
    "exec": 'exec "$@"\n',
    "run": 'exec /.singularity.d/runscript "$@"\n',
    "shell": '[ ! -x /bin/bash ] || exec /bin/bash --norc "$@"\nexec /bin/sh "$@"\n',
    "start": 'exec /.singularity.d/startscript "$@"\n',
    "test": "exit 0\n",
}
_ENVIRONMENT = {
    "90-environment": "# For variables that a later builder adds.\n",
    "99-base": """# The runtime puts a GPU's libraries there.
LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/.singularity.d/libs
export LD_LIBRARY_PATH
""",
    "99-runtimevars": """# The caller's words on PATH.
PATH=${SING_USER_DEFINED_PREPEND_PATH:+$SING_USER_DEFINED_PREPEND_PATH:}$PATH
PATH=$PATH${SING_USER_DEFINED_APPEND_PATH:+:$SING_USER_DEFINED_APPEND_PATH}
PATH=${SING_USER_DEFINED_PATH:-$PATH}
unset SING_USER_DEFINED_PREPEND_PATH SING_USER_DEFINED_APPEND_PATH SING_USER_DEFINED_PATH
export PATH
""",
}


def quoted(text: str) -> str:
    r"""Returns ``text`` as one word of POSIX sh.

    In double quotes: Apptainer's own interpreter leaves a backslash in ``'a'\\''b'``.
    """
    return '"' + re.sub(r'([\\"$`])', r"\\\1", text) + '"'


def environment_script(config: Config) -> str:
    """Returns the image's own variables; they win over the caller's, as in our wrappers."""
    lines = ["# The environment of the image."]
    for name, value in sorted(config.environment.items()):
        if _VARIABLE.fullmatch(name) and name not in _HOSTS_OWN and "\0" not in value:
            lines.append(f"export {name}={quoted(value)}")
    return "\n".join(lines) + "\n"


def runscript(config: Config) -> str:
    """Returns what ``run`` does: ENTRYPOINT with the caller's words, or with CMD where none."""
    lines = ["#!/bin/sh"]
    words = _words(config.command)
    if words:
        lines.append(f"[ $# -gt 0 ] || set -- {words}")
    entry = _words(config.entrypoint)
    if entry:
        lines.append(f'set -- {entry} "$@"')
    else:
        lines.append("[ $# -gt 0 ] || set -- /bin/sh")
    return "\n".join([*lines, 'exec "$@"']) + "\n"


def _words(texts: Iterable[str]) -> str:
    return " ".join(quoted(text.replace("\0", "")) for text in texts)


def texts(config: Config, labels: Mapping[str, str]) -> dict[str, tuple[int, bytes]]:
    """Returns path → (mode, content) of all files below ``/.singularity.d``."""
    files = {
        f"{FOLDER_NAME}/actions/{name}": (0o755, _SOURCE + text) for name, text in _ACTIONS.items()
    }
    files[ENVIRONMENT] = (0o755, environment_script(config))
    for name, text in _ENVIRONMENT.items():
        files[f"{FOLDER_NAME}/env/{name}.sh"] = (0o755, text)
    files[RUNSCRIPT] = (0o755, runscript(config))
    files[STARTSCRIPT] = (0o755, "#!/bin/sh\n")
    found = {
        path: (mode, text.encode("utf-8", "surrogateescape"))
        for path, (mode, text) in files.items()
    }
    found[f"{FOLDER_NAME}/labels.json"] = (0o644, canonical_bytes(dict(labels)))
    return found


def runtime_layer(
    tree: FlatTree, config: Config, labels: Mapping[str, str], *, epoch: int
) -> bytes:
    """Returns the tar of the layer that makes an image one for these runtimes.

    What the image has already of bind points stays as it is.
    """
    stream = io.BytesIO()
    tar = TarWriter(stream)

    def add(path: str, kind: int, mode: int, link: str = "", data: bytes = b"") -> None:
        member = Member(
            name=path.encode(),
            kind=kind,
            mode=mode,
            mtime=epoch,
            link=link.encode(),
            size_bytes=len(data),
        )
        tar.add(member, [data] if data else [])

    for path in BIND_FOLDERS:
        if _free(tree, path):
            add(path, FOLDER, 0o1777 if path in _STICKY else 0o755)
    for path in BIND_FILES:
        if _free(tree, path):
            add(path, REGULAR, 0o644)
    for name in ("", "/actions", "/env", "/libs"):
        add(FOLDER_NAME + name, FOLDER, 0o755)
    for path, (mode, data) in texts(config, labels).items():
        add(path, REGULAR, mode, data=data)
    for path, target in _LINKS.items():
        add(path, SYMLINK, 0o777, link=target)
    tar.finish()
    return stream.getvalue()


def _free(tree: FlatTree, path: str) -> bool:
    """Whether ``path`` is not there, and only folders are above it: links stay the image's."""
    *above, last = (path[:n] for n in range(1, len(path) + 1) if path[n : n + 1] in ("", "/"))
    found = (tree.get(place) for place in above)
    return tree.get(last) is None and all(e is None or e.type == "folder" for e in found)
