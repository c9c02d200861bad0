"""``spack`` steps: Spack specs as an environment file and steps with Spack of one commit.

Spack and the compilers reach no image: Spack is a source (its commit is in the lock), the compilers
are tools. The environment's view is in the image's variables. The target is the platform's, never
the processor that builds. Source: Spack documentation (environments, packages and config settings).
"""

from __future__ import annotations

import json

from ssds.core.patterns import pattern
from ssds.core.platform import Platform
from ssds.recipe.generators.model import (
    Expansion,
    ExpansionProblem,
    Request,
    is_plain,
    is_ref,
    unknown,
)
from ssds.recipe.steps import AptStep, EnvStep, FileStep, RunStep, SourceRequest, Step

REPOSITORY = "https://github.com/spack/spack.git"
DEFAULT_PREFIX = "/opt/spack"
SOURCE = "spack"
TOOLS = (
    "bzip2", "ca-certificates", "curl", "file", "g++", "gcc", "gfortran", "git", "gzip",
    "libc6-dev", "make", "patch", "python3", "tar", "unzip", "xz-utils",
)  # fmt: skip
LIBRARIES = ("libgcc-s1", "libgfortran5", "libgomp1", "libstdc++6")
"""What programs of these compilers need when they run."""
_SPEC = pattern(r"[a-z0-9][a-z0-9_.-]*(?:[ @%^+~=:,._A-Za-z0-9-]|/(?=[a-z0-9]{7}))*")
_WEB = pattern(r"https?://[A-Za-z0-9.:_-]+/[A-Za-z0-9./_~+-]+")
_COMMIT = pattern(r"[0-9a-f]{40}|[0-9a-f]{64}")

_SCRIPT = """\
cp -r /run/ssds/sources/{source}/. /tmp/spack
export HOME=/tmp/home SPACK_ROOT=/tmp/spack SPACK_DISABLE_LOCAL_CONFIG=1
export SPACK_USER_CACHE_PATH=/tmp/cache PYTHONDONTWRITEBYTECODE=1
mkdir -p /tmp/home /tmp/environment
cp {prefix}/spack.yaml /tmp/environment/spack.yaml
cd /tmp/environment
/tmp/spack/bin/spack compiler find --scope site
{mirror}/tmp/spack/bin/spack -e /tmp/environment concretize
/tmp/spack/bin/spack -e /tmp/environment install --no-check-signature --fail-fast
cp /tmp/environment/spack.lock {prefix}/spack.lock
"""


def expand(request: Request) -> Expansion:
    """Returns the steps that install specs into one view.

    Raises:
        ExpansionProblem: R120 for what is no spec.
    """
    value, common = request.value, request.common
    specs = value["specs"]
    problems = tuple(
        ExpansionProblem("R120", ("specs", index), ("found", text[:200]))
        for index, text in enumerate(specs)
        if not _SPEC.fullmatch(text)
    )
    if problems:
        return Expansion(steps=(), problems=problems)
    prefix = request.folder("prefix", DEFAULT_PREFIX)
    mirror = value.get("mirror", "")
    if mirror and mirror not in request.sources:
        raise unknown("R020", ("mirror",), "source", mirror, request.sources)
    ref, address = value["ref"], value.get("git", REPOSITORY)
    if not is_ref(ref) or not is_plain(ref):
        raise ExpansionProblem("R080", ("ref",), ("found", ref[:80]))
    if not _WEB.fullmatch(address):
        raise ExpansionProblem("R017", ("git",), ("found", address[:200]))
    if address.startswith("http:") and not _COMMIT.fullmatch(ref):
        raise ExpansionProblem("R015", ("git",), ("found", address[:200]))
    source = SourceRequest(name=SOURCE, git=address, ref=ref, unpack=True)
    added = f"/tmp/spack/bin/spack mirror add --scope site own file:///run/ssds/sources/{mirror}\n"  # noqa: S108
    script = _SCRIPT.format(source=SOURCE, prefix=prefix, mirror=added if mirror else "")
    view = f"{prefix}/view"
    values = {
        "PATH": f"{view}/bin:$PATH",
        "MANPATH": f"{view}/share/man:${{MANPATH}}",
        "CMAKE_PREFIX_PATH": f"{view}${{CMAKE_PREFIX_PATH:+:}}$CMAKE_PREFIX_PATH",
        "PKG_CONFIG_PATH": f"{view}/lib/pkgconfig:{view}/lib64/pkgconfig",
    }
    libraries = tuple(value.get("libraries", LIBRARIES))
    steps: list[Step] = [AptStep(packages=libraries, **common)] if libraries else []
    steps += [
        FileStep(
            path=f"{prefix}/spack.yaml",
            content=environment(specs, Platform(request.platform), prefix),
            **common,
        ),
        RunStep(
            script=script,
            tools=tuple(value.get("tools", TOOLS)),
            sources=(SOURCE, mirror) if mirror else (SOURCE,),
            network=value.get("network", not mirror),
            **common,
        ),
        EnvStep(values=values, expand=True, **common),
    ]
    return Expansion(steps=tuple(steps), sources={SOURCE: source})


def target_of(platform: Platform) -> str:
    """Returns Spack's name of the platform's processor family or level."""
    level = platform.variant
    if level in ("v2", "v3", "v4"):
        return f"x86_64_{level}"
    return level or platform.machine


def environment(specs: list[str], platform: Platform, prefix: str) -> str:
    """Returns the environment file."""
    lines = ["spack:", "  specs:"]
    lines += [f"  - {json.dumps(spec)}" for spec in specs]
    lines += [
        f"  view: {prefix}/view",
        "  concretizer:",
        "    unify: true",
        "  packages:",
        "    all:",
        f"      require: target={target_of(platform)}",
        "  config:",
        "    install_tree:",
        f"      root: {prefix}/store",
        "    build_stage: [/tmp/stage]",
        "    test_stage: /tmp/test",
    ]
    return "\n".join(lines) + "\n"
