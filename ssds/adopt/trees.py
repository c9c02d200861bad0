"""A tree in NeuroDesk's layout, on CVMFS or a plain disk.

::

    containers/<name>_<version>_<YYYYMMDD>/<the same>.simg   an unpacked folder or a SIF file
    containers/<name>_<version>_<YYYYMMDD>/commands.txt      a command per line; wrappers beside it
    containers/modules/<name>/<version>.lua                  which build the name and version mean

What ssds generated there for those who open old paths is no inventory: it is passed over.
"""

from __future__ import annotations

import os
import re
from functools import partial

from ssds.adopt.codes import diagnostic
from ssds.adopt.images import SUFFIXES, gathered, inside, is_image, look_at, unreadable
from ssds.adopt.memory import Memory
from ssds.adopt.model import BuildName, Reading, Seen, build_name, good_commands
from ssds.core.diagnostics import Diagnostic, Span
from ssds.core.errors import InvalidValue, UsageError
from ssds.host import local
from ssds.ship.links import owned_paths
from ssds.ship.old_layout import CONTAINERS

MODULES = "modules"
COMMANDS = "commands.txt"
TEXT_LIMIT_BYTES = 4 << 20
_PATH = re.compile(r'prepend_path\(\s*"PATH"\s*,\s*"([^"\n]{1,4096})"|prepend-path\s+PATH\s+(\S+)')


def read_tree(place: str, memory: Memory) -> Reading:
    """Returns the builds of a tree; ``place`` holds ``containers``, or is that folder."""
    top = os.path.abspath(place)
    folder = os.path.join(top, CONTAINERS)
    if not os.path.isdir(folder):
        folder = top
        top = os.path.dirname(top) if os.path.basename(top) == CONTAINERS else top
    if not os.path.isdir(folder):
        raise UsageError(f"there is no folder {place}", hint="Name the tree.", code="E211")
    problems: list[Diagnostic] = []
    modules: dict[tuple[str, str], str] = {}
    generated = {os.path.join(top, *p.split("/")[:2]) for p in owned_paths(top)}
    places = ((name, os.path.join(folder, name)) for name in sorted(os.listdir(folder)))
    looks = [
        (path, path, partial(_build, top, folder, name, memory, modules, problems))
        for name, path in places
        if name != MODULES and not name.startswith(".") and path not in generated
    ]
    return gathered(looks, problems)


def _build(
    top: str,
    folder: str,
    name: str,
    memory: Memory,
    modules: dict[tuple[str, str], str],
    problems: list[Diagnostic],
) -> Seen | str:
    """Returns one build of ``folder``, or why it is not taken."""
    path = os.path.join(folder, name)
    if not os.path.isdir(path):
        return "not a folder of a build"
    if os.path.islink(path) and not inside(top, path):
        problems.append(diagnostic("A004", Span(path=path), target=os.path.realpath(path)))
        return "a link out of the tree"
    found = build_name(name)
    if found is None:
        _strange(name, path, problems)
        return "its name is not NAME_VERSION_YYYYMMDD"
    places = (os.path.join(path, name + suffix) for suffix in SUFFIXES)
    if len({os.path.realpath(place) for place in places if os.path.exists(place)}) > 1:
        return "it has several images, and nothing says which one is meant"
    image = _image(top, path, name, problems)
    if not image:
        return "it has no image: disabled, or not finished"
    chosen = _current(folder, found, modules, problems) == name
    commands = _commands(path, problems)
    one = look_at(found, image, memory, problems, commands=commands, chosen=chosen)
    return one or "its image cannot be read"


def _strange(name: str, path: str, problems: list[Diagnostic]) -> None:
    """Tells a folder that looks like a build and whose name no lock can hold."""
    if re.search(r"_[0-9]{8}$", name):
        problems.append(diagnostic("A003", Span(path=path), found=name))


def _image(top: str, path: str, name: str, problems: list[Diagnostic]) -> str:
    for suffix in SUFFIXES:
        image = os.path.join(path, name + suffix)
        if os.path.islink(image):
            if inside(top, image):
                return os.path.realpath(image)
            problems.append(diagnostic("A004", Span(path=image), target=os.path.realpath(image)))
        elif is_image(image):
            return image
    return ""


def _commands(path: str, problems: list[Diagnostic]) -> tuple[str, ...]:
    span = os.path.join(path, COMMANDS)
    try:
        data = local.read_below(path, COMMANDS, TEXT_LIMIT_BYTES)
    except InvalidValue as error:
        problems.append(diagnostic("A006", Span(path=span), reason=error.message))
        return ()
    good, bad = good_commands((data or b"").decode("utf-8", "replace").split("\n"))
    for line, text in bad:
        problems.append(diagnostic("A006", Span(path=span, line=line, column=1), found=text))
    return good


def _current(
    folder: str,
    found: BuildName,
    known: dict[tuple[str, str], str],
    problems: list[Diagnostic],
) -> str:
    """Returns the build that the module of a name and version leads to, or the empty string."""
    key = (found.name, found.version)
    if key not in known:
        known[key] = ""
        for suffix in (".lua", ""):
            name = f"{MODULES}/{found.name}/{found.version}{suffix}"
            try:
                data = local.read_below(folder, name, TEXT_LIMIT_BYTES) or b""
            except (OSError, InvalidValue) as error:
                problems.append(unreadable(error, os.path.join(folder, name)))
                continue
            places = [a or b for a, b in _PATH.findall(data.decode("utf-8", "replace"))]
            if places:
                known[key] = os.path.basename(places[-1].rstrip("/"))
                break
    return known[key]
