"""Micro-architecture levels: what each needs, what may stand in, what compilers are told.

``v2``, ``v3`` and ``v4`` are the levels of the x86-64 psABI; other names are archspec's (``zen3``,
``neoverse_v1``), whose data come with the library of that name. It is imported for them only.
Features are spelled as in /proc/cpuinfo.
"""

from __future__ import annotations

import functools
from typing import Any

from ssds.core.patterns import pattern

# x86-64 psABI, "Micro-architecture levels", in the words of /proc/cpuinfo
_V2 = frozenset(["cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"])
_V3 = _V2 | frozenset(["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"])
_V4 = _V3 | frozenset(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"])
_PSABI = {"v1": frozenset[str](), "v2": _V2, "v3": _V3, "v4": _V4}
_FAMILIES = {"amd64": "x86_64", "arm64": "aarch64"}
_NAME = pattern(r"[a-z0-9_]+")
_GCC = "12.2"
"""The compiler whose words the flags are: Debian 12's; newer ones know them too."""


def known(architecture: str, level: str) -> bool:
    """Whether ``level`` names a level of ``architecture`` (``amd64``, ``arm64``)."""
    return _psabi(architecture, level) or _target(architecture, level) is not None


def similar(architecture: str) -> tuple[str, ...]:
    """Returns every level of an architecture, for hints."""
    levels = [*(_PSABI if architecture == "amd64" else ()), *_names(architecture)]
    return tuple(sorted(levels))


def below(architecture: str, level: str) -> tuple[str, ...]:
    """Returns the levels that run wherever ``level`` runs, the best first, without ``level``.

    The architecture itself is not among them. A level that is not known has none.
    """
    if _psabi(architecture, level):
        return tuple(f"v{number}" for number in range(int(level[1:]) - 1, 0, -1))
    target = _target(architecture, level)
    if target is None:
        return ()
    ordered = sorted(target.ancestors, key=lambda t: (-len(t.features), t.name))
    names = [_level_name(other.name) for other in ordered]
    return tuple(name for name in names if _NAME.fullmatch(name))


def features(architecture: str, level: str) -> frozenset[str] | None:
    """Returns what a processor must have, or None for a level that is not known.

    Without words that archspec adds and no /proc/cpuinfo has: ``ssse3`` says ``sse3``.
    """
    if _psabi(architecture, level):
        return _PSABI[level]
    target = _target(architecture, level)
    return None if target is None else frozenset(map(str, target.features)) - {"sse3", "neon"}


def vendor(architecture: str, level: str) -> str:
    """Returns whose processors a level names, as /proc/cpuinfo says it; empty for anybody's.

    It is ``vendor_id`` of amd64 (``AuthenticAMD``) and ``CPU implementer`` of arm64 (``0x41``).
    """
    target = None if _psabi(architecture, level) else _target(architecture, level)
    if target is None or target.vendor == "generic":
        return ""
    if architecture == "amd64":
        return str(target.vendor)
    from archspec.cpu.schema import TARGETS_JSON

    makers = TARGETS_JSON["conversions"]["arm_vendors"]
    return next((str(n) for n, maker in makers.items() if maker == target.vendor), "unknown")


def weight(architecture: str, level: str) -> int:
    """Returns how many features archspec counts: of two levels, more is better.

    What runs wherever another level runs counts fewer.
    """
    from archspec.cpu import TARGETS

    family = _FAMILIES[architecture]
    name = f"{family}_{level}" if _psabi(architecture, level) and level != "v1" else level or family
    target = TARGETS.get(family if level == "v1" else name)
    return 0 if target is None else len(target.features)


def compiler_flags(architecture: str, level: str) -> str:
    """Returns what GCC and Clang are told (``-march=x86-64-v3 -mtune=generic``); empty for none.

    Of a level that the compiler does not know yet, those of the best one below that it knows.
    """
    for name in (level, *below(architecture, level)):
        if _psabi(architecture, name):
            return "" if name == "v1" else f"-march=x86-64-{name} -mtune=generic"
        flags = _gcc_flags(architecture, name)
        if flags:
            return flags
    return ""


def _gcc_flags(architecture: str, level: str) -> str:
    target = _target(architecture, level)
    if target is None:
        return ""
    from archspec.cpu import UnsupportedMicroarchitecture

    try:
        return str(target.optimization_flags("gcc", _GCC))
    except UnsupportedMicroarchitecture:
        return ""


def _psabi(architecture: str, level: str) -> bool:
    return architecture == "amd64" and level in _PSABI


@functools.cache
def _names(architecture: str) -> tuple[str, ...]:
    from archspec.cpu import TARGETS

    family = _FAMILIES[architecture]
    found = [name for name, target in TARGETS.items() if target.family.name == family]
    return tuple(n for n in found if _NAME.fullmatch(n) and not n.startswith(family))


def _target(architecture: str, level: str) -> Any:
    """Returns archspec's target, or None."""
    if not level or level not in _names(architecture):
        return None
    from archspec.cpu import TARGETS

    return TARGETS[level]


def _level_name(name: str) -> str:
    """Returns our word for archspec's (``x86_64_v3`` is ``v3``); empty for an architecture."""
    return name.removeprefix("x86_64").removeprefix("aarch64").removeprefix("_")
