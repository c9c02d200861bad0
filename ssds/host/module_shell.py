"""Runs scripts in a shell into which a real module system loaded a module."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence

from ssds.core.records import dataclass
from ssds.host import local, process, spider

_LIMIT_BYTES = 16 << 20
_OWN = (
    "LMOD_", "_LM", "__LMOD", "_ModuleTable", "MODULE", "__MODULES", "LOADEDMODULES", "BASH_ENV",
    "ENV", "LD_", "PYTHON", "PERL5", "R_LIBS", "CONDA_", "VIRTUAL_ENV", "CPATH", "LIBRARY_PATH",
)  # fmt: skip
"""What variables of module systems, those that start a shell's files, and those by which loaded
modules change what programs find, begin with."""
_PLAIN = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_RUNTIMES = ("apptainer", "singularity", "podman-hpc", "podman", "docker")
_TCL = ("/usr/lib/*/modulecmd.tcl", "/usr/share/[Mm]odules/libexec/modulecmd.tcl")
_START = """module() { eval "$(%s sh "$@")"; }
module load "$1" || exit 125
case ":${LOADEDMODULES:-}:" in *":$1:"*) ;; *) exit 125 ;; esac
: >"$3"
errors=$2
shift 3
exec "$@" 2>"$errors"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a script ended.

    Attributes:
        loaded: whether its module was there before it began; timed_out: at its time limit.
    """

    exit_code: int
    loaded: bool
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

    What the caller has loaded does not count: the module system's own variables, and those that
    change what programs find, are left out. The PATH is the machine's own; folders in which the
    caller finds a container runtime stand at its end, unless they are below ``tree``. All else is
    inherited.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_OWN)}
    top = os.path.realpath(tree) + os.sep
    found = [os.path.dirname(p) for name in _RUNTIMES if (p := shutil.which(name))]
    others = [f for f in dict.fromkeys(found) if not os.path.realpath(f).startswith(top)]
    plain = _PLAIN.split(":")
    kept["PATH"] = ":".join([*plain, *(f for f in others if f not in plain)])
    env = {**kept, "LMOD_IGNORE_CACHE": "1", **environment, "MODULEPATH": module_path}
    errors, loaded = (os.path.join(folder, "..", name) for name in ("stderr", "loaded"))
    for path in (errors, loaded):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    done = process.run(
        ["/bin/sh", "-c", _START % program, "sh", module, errors, loaded, *argv],
        env=env,
        cwd=folder,
        timeout_s=time_limit_s,
    )
    return Ended(
        exit_code=done.returncode,
        loaded=os.path.exists(loaded),
        stdout=done.stdout,
        stderr=local.head(errors, _LIMIT_BYTES) if os.path.exists(errors) else b"",
        timed_out=done.timed_out,
        duration_ms=done.duration_ms,
    )
