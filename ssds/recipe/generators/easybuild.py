"""``easybuild`` steps: an easyconfig as steps, with EasyBuild of one version as sources.

EasyBuild, its modules tool and the compilers reach no image: they are sources and tools of the
step. What it installs is found by a view of links, so that no module has to be loaded. Source:
EasyBuild documentation (configuration options; easyconfig files).
"""

from __future__ import annotations

import posixpath
import shlex

from ssds.core.levels import compiler_flags
from ssds.core.patterns import pattern
from ssds.recipe.generators.model import Expansion, ExpansionProblem, Request, unknown
from ssds.recipe.steps import CopyStep, EnvStep, LocalTree, RunStep, SourceRequest, Step

DEFAULT_PREFIX = "/opt/easybuild"
TOOLS = (
    "bzip2", "file", "g++", "gcc", "libc6-dev", "lmod", "make", "patch", "python3", "unzip",
    "xz-utils",
)  # fmt: skip
_PARTS = ("framework", "easyblocks", "easyconfigs")
_NAME = pattern(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,150}\.eb")
_VERSION = pattern(r"[0-9]+(?:\.[0-9]+){1,3}")

_SCRIPT = """\
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={python_path}
export PATH="$PATH:/usr/share/lmod/lmod/libexec" HOME=/tmp/home
mkdir -p /tmp/home /tmp/archives
{links}cd /tmp
python3 -m easybuild.main --allow-use-as-root-and-accept-consequences --robot={robot} \\
    --modules-tool=Lmod --module-syntax=Lua --installpath={prefix} --sourcepath=/tmp/archives \\
    --buildpath=/tmp/build --repositorypath=/tmp/repository --tmpdir=/tmp \\
    --optarch={optarch} {config}
rm -rf {prefix}/software/.locks {prefix}/software/*/*/easybuild
for place in {prefix}/software/*/*; do
    for part in bin lib lib64 include share; do
        if [ -d "$place/$part" ]; then
            mkdir -p {prefix}/view/$part
            cp -rs "$place/$part/." {prefix}/view/$part/
        fi
    done
done
"""


def expand(request: Request) -> Expansion:
    """Returns the steps that install one easyconfig.

    Raises:
        ExpansionProblem: what is wrong with the step.
    """
    value, common = request.value, request.common
    version = value["version"]
    if not _VERSION.fullmatch(version):
        raise ExpansionProblem("R116", ("version",), ("found", version[:80]))
    prefix = request.folder("prefix", DEFAULT_PREFIX)
    steps: list[Step] = []
    local = request.trees.get("file")
    config = value.get("easyconfig", "")
    if config and not _NAME.fullmatch(config):
        raise ExpansionProblem("R116", ("easyconfig",), ("found", config[:200]))
    if "file" in value:
        if local is None:  # it was reported
            return Expansion(steps=())
        config = _place(local, prefix)
        steps.append(CopyStep(local=local, to=config, **common))
    sources = {
        f"easybuild-{part}-{version}": SourceRequest(
            name=f"easybuild-{part}-{version}",
            pypi=f"easybuild-{part}/{version}",
            file=f"easybuild_{part}-{version}.tar.gz",
            unpack=True,
        )
        for part in _PARTS
    }
    own = tuple(value.get("sources", ()))
    for index, name in enumerate(own):
        if name not in request.sources:
            raise unknown("R020", ("sources", index), "source", name, request.sources)
    places = [f"/run/ssds/sources/easybuild-{p}-{version}/easybuild_{p}-{version}" for p in _PARTS]
    script = _SCRIPT.format(
        python_path=":".join(places),
        links="".join(f"ln -s /run/ssds/sources/{n}/* /tmp/archives/\n" for n in own),
        robot=f"{places[2]}/easybuild/easyconfigs",
        prefix=prefix,
        config=config,
        optarch=_optarch(request.platform),
    )
    run = RunStep(
        script=script,
        tools=tuple(value.get("tools", TOOLS)),
        sources=(*sources, *own),
        network=value.get("network", not own),
        **common,
    )
    values = {
        "PATH": f"{prefix}/view/bin:$PATH",
        "LD_LIBRARY_PATH": f"{prefix}/view/lib:{prefix}/view/lib64${{LD_LIBRARY_PATH:+:}}"
        "$LD_LIBRARY_PATH",
    }
    steps += [run, EnvStep(values=values, expand=True, **common)]
    return Expansion(steps=tuple(steps), sources=sources)


def _optarch(platform: str) -> str:
    """Returns what EasyBuild compiles for; by itself it takes the processor of the host."""
    _, architecture, *level = platform.split("/")
    flags = compiler_flags(architecture, level[0]) if level else ""
    return shlex.quote(f"GCC:{flags.removeprefix('-')}") if flags else "GENERIC"


def _place(local: LocalTree, prefix: str) -> str:
    name = posixpath.basename(local.path)
    if not _NAME.fullmatch(name) or len(local.entries) != 1:
        raise ExpansionProblem("R116", ("file",), ("found", name[:200]))
    return f"{prefix}/easyconfigs/{name}"
