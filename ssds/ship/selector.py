"""The script that chooses, on the machine where a program starts, the platform that fits it.

It is POSIX sh, starts no program and reads /proc/cpuinfo only. Its table has the levels that the
site offers and no others: what a level needs is archspec's, made into text when a site is deployed.
"""

from __future__ import annotations

from collections.abc import Iterable

from ssds.core.levels import features, vendor
from ssds.core.platform import Platform

NAME = "select"
GENERIC = "generic"
_HEAD = """\
# Chooses the platform of a release that this machine can run; made by ssds, do not edit.
# SSDS_ARCH names a level to take instead of looking (zen3, v3, generic).
ssds_has() {
    for ssds_word; do
        case $ssds_flags in
        *" $ssds_word "*) ;;
        *) return 1 ;;
        esac
    done
}
ssds_look() {
    ssds_arch='' ssds_vendor='' ssds_flags=' '
    while read -r ssds_key ssds_value; do
        case $ssds_key in
        '') break ;;
        vendor_id) ssds_vendor=${ssds_value#: } ;;
        flags) ssds_arch=amd64 ssds_flags=" ${ssds_value#:} " ;;
        Features) ssds_arch=arm64 ssds_flags=" ${ssds_value#:} " ;;
        CPU)
            case $ssds_value in
            implementer*) ssds_vendor=${ssds_value##*: } ;;
            esac
            ;;
        esac
    done <"${ssds_cpuinfo:-/proc/cpuinfo}"
}
"""
_TAIL = """\
# Sets ssds_platform to the first of ssds_platforms that runs here; empty where none does.
ssds_select() {
    ssds_platform=''
    ssds_look
    ssds_levels=''
    if [ -n "${SSDS_ARCH:-}" ]; then
        ssds_levels=$(ssds_below "${SSDS_ARCH##*/}") || return 1
        ssds_levels=" $ssds_levels "
    fi
    for ssds_one in $ssds_platforms; do
        if [ -z "$ssds_levels" ]; then
            ssds_runs "$ssds_one" || continue
        else
            [ "${ssds_one%%/*}" = "$ssds_arch" ] || continue
            case $ssds_one in
            */*) ssds_word=${ssds_one#*/} ;;
            *) ssds_word=generic ;;
            esac
            case $ssds_levels in
            *" $ssds_word "*) ;;
            *) continue ;;
            esac
        fi
        ssds_platform=$ssds_one
        return
    done
}
"""


def short(platform: Platform) -> str:
    """Returns a platform as the scripts name it: ``amd64/zen3``, ``amd64``."""
    return platform.partition("/")[2]


def selector_text(platforms: Iterable[Platform]) -> bytes:
    """Returns the script for the platforms that a site offers."""
    offered = sorted(set(platforms))
    rows = ["ssds_runs() {", "    case $1 in"]
    for platform in offered:
        rows.append(f"    {short(platform)})")
        rows.append(f'        [ "$ssds_arch" = {platform.architecture} ] || return 1')
        if maker := vendor(platform.architecture, platform.variant):
            rows.append(f'        [ "$ssds_vendor" = {_word(maker)} ] || return 1')
        needed = features(platform.architecture, platform.variant) if platform.variant else ()
        if words := sorted(needed or ()):
            rows.append(f"        ssds_has {' '.join(_word(word) for word in words)}")
        rows.append("        ;;")
    rows += ["    *) return 1 ;;", "    esac", "}"]
    rows += ["# Prints the levels that run where a level runs.", "ssds_below() {", "    case $1 in"]
    rows.append(f"    {GENERIC} | amd64 | arm64) echo {GENERIC} ;;")
    levels: dict[str, list[str]] = {}
    for platform in offered:
        if platform.variant:
            below = [p.variant or GENERIC for p in platform.fallbacks if p in offered]
            known = levels.setdefault(platform.variant, [])
            known += [level for level in (*below, GENERIC) if level not in known]
    rows += [f"    {level}) echo {' '.join(below)} ;;" for level, below in sorted(levels.items())]
    names = ", ".join([*sorted(levels), GENERIC])
    rows += [
        "    *)",
        f'        printf "ssds: SSDS_ARCH is \'%s\'; this site has {names}\\n" "$1" >&2',
        "        return 1",
        "        ;;",
        "    esac",
        "}",
    ]
    return (_HEAD + "\n".join(rows) + "\n" + _TAIL).encode()


def _word(text: str) -> str:
    """Returns a word of archspec's, in quotes; it is data of others."""
    return "'" + text.replace("'", "") + "'"
