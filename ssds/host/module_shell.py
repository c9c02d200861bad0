"""Runs scripts in a shell into which a real module system loaded a module."""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence

from ssds.core.records import dataclass
from ssds.host import local, process, spider

_LIMIT_BYTES = 16 << 20
_OWN = (
    "LMOD_", "_LM", "__LMOD", "_ModuleTable", "MODULE", "__MODULES", "LOADEDMODULES", "BASH_ENV",
    "ENV",
)  # fmt: skip
"""What variables of module systems, and those that start a shell's files, begin with."""
NOT_LOADED = 125
"""Exit code of a shell whose module did not load."""
_TCL = ("/usr/lib/*/modulecmd.tcl", "/usr/share/[Mm]odules/libexec/modulecmd.tcl")
_START = """module() { eval "$(%s sh "$@")"; }
module load "$1" || exit 125
case ":${LOADEDMODULES:-}:" in *":$1:"*) ;; *) exit 125 ;; esac
errors=$2
shift 2
exec "$@" 2>"$errors"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a script ended; ``timed_out``: at its time limit."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    timed_out: bool
    duration_ms: int


@contextlib.contextmanager
def scratch() -> Iterator[str]:
    """Gives an empty folder for work folders; it is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="ssds-test-", ignore_cleanup_errors=True) as folder:
        yield folder


def module_program(system: str) -> str:
    """Returns the command line of ``lmod`` or ``tcl`` on this machine, or the empty string."""
    if system == "lmod":
        tool = spider.program()
        named = os.environ.get("LMOD_CMD", "")
        found = [named, os.path.join(os.path.dirname(tool), "lmod") if tool else ""]
        return next((path for path in found if path and os.access(path, os.X_OK)), "")
    named = os.environ.get("MODULES_CMD", "")
    places = [named, *(path for place in _TCL for path in sorted(glob.glob(place)))]
    return next((f"tclsh {path}" for path in places if path and os.path.isfile(path)), "")


def run_loaded(
    argv: Sequence[str],
    *,
    program: str,
    module: str,
    module_path: str,
    tree: str,
    environment: Mapping[str, str],
    folder: str,
    time_limit_s: float,
) -> Ended:
    """Loads ``module`` from ``module_path`` only, then runs ``argv`` in ``folder``.

    What the caller has loaded does not count: the module system's own variables and, on the PATH,
    folders below ``tree`` are left out. All else is inherited.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_OWN)}
    top = os.path.realpath(tree) + os.sep
    folders = kept.get("PATH", os.defpath).split(":")
    kept["PATH"] = ":".join(f for f in folders if not os.path.realpath(f).startswith(top))
    env = {**kept, "LMOD_IGNORE_CACHE": "1", **environment, "MODULEPATH": module_path}
    errors = os.path.join(folder, "..", "stderr")
    done = process.run(
        ["/bin/sh", "-c", _START % program, "sh", module, errors, *argv],
        env=env,
        cwd=folder,
        timeout_s=time_limit_s,
    )
    return Ended(
        exit_code=done.returncode,
        stdout=done.stdout,
        stderr=local.head(errors, _LIMIT_BYTES) if os.path.exists(errors) else b"",
        timed_out=done.timed_out,
        duration_ms=done.duration_ms,
    )
