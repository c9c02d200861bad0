"""A view of a site's releases in NeuroDesk's layout, for those who open its paths. Generated.

::

    containers/<name>_<version>_<YYYYMMDD>/<the same>.simg -> ../../.flat/…
    containers/<name>_<version>_<YYYYMMDD>/commands.txt, and a link per command to its wrapper
    containers/modules/<name>/<version>.lua                   and ``<version>`` in Tcl, where the
    neurodesk-modules/<category>/<name>/<version>.lua         site's modules are in Tcl

All of it are public names (``links``): made in the transaction of a deployment, listed as ours, and
never put in the place of what others wrote. Nothing reads it back. An image for arm64 is
``<name>_arm64``, as there. What an earlier revision had stays as long as its image.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from ssds.core.canonical import Json
from ssds.core.digest import Digest, sha256_of
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field
from ssds.core.text import blanked
from ssds.host import local
from ssds.lock.model import Released
from ssds.recipe.model import Site
from ssds.ship import tcl
from ssds.ship.about import Reader, environment_of, read_about
from ssds.ship.generation import Entry
from ssds.ship.links import VIEW, Name
from ssds.ship.modules import TEXT_LIMIT, ModuleFacts, help_text, lua_text, whatis_rows
from ssds.ship.sites import Pick
from ssds.ship.tree import SITES, image_path, site_path
from ssds.ship.withdrawing import judged

NEURODESK = "neurodesk"
CONTAINERS = "containers"
BY_CATEGORY = "neurodesk-modules"
ARM64_SUFFIX = "_arm64"
_LIMIT = 1 << 20
_LAST_EPOCH = 253402300799
"""The last second of the year 9999."""
_MARKER = "neurodesk-exposed-commands"
_CATEGORY = re.compile(r"[^A-Za-z0-9_.-]+")
_IMAGE = re.compile(rf"{CONTAINERS}/([^/]+)/\1\.simg")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The paths of a view: path → what stands there, and the bytes of files by their source."""

    names: dict[str, Name] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def file(self, path: str, data: bytes) -> None:
        """Puts a file at a path."""
        source = f"{VIEW}/{sha256_of(data).hex}"
        self.files[source] = data
        self.names[path] = Name(source=source)


def build_date(released: Released) -> str:
    """Returns ``YYYYMMDD`` for names that hold a release's day.

    It is the day of the newest pinned input, and one day more for each revision after the first:
    a lock holds no time of building, and two revisions of one version need two names.
    """
    day = dt.datetime.fromtimestamp(min(released.epoch, _LAST_EPOCH), dt.UTC).date()
    return _later(day, max(released.revision - 1, 0))


def _later(day: dt.date, days: int) -> str:
    return f"{dt.date.fromordinal(min(day.toordinal() + days, dt.date.max.toordinal())):%Y%m%d}"


def _days(before: Mapping[str, Name]) -> dict[str, dict[str, str]]:
    """Returns ``<name>_<version>`` → day → what the image of that day is a link to."""
    found: dict[str, dict[str, str]] = {}
    for path, name in before.items():
        if match := _IMAGE.fullmatch(path):
            release, _, day = match[1].rpartition("_")
            found.setdefault(release, {})[day] = name.target
    return found


def _day(own: str, target: str, known: Mapping[str, str]) -> str:
    """Returns the day of an image: the one that it has, else one after all that others have.

    Args:
        own: the day of its inputs; target: what its link leads to.
        known: what ``_days`` says of its release.
    """
    if had := [day for day, other in known.items() if other == target]:
        return max(had)
    last = max(known, default="")
    if own > last:
        return own
    try:
        return _later(dt.datetime.strptime(last, "%Y%m%d").replace(tzinfo=dt.UTC).date(), 1)
    except ValueError:
        return own  # that is no day


def old_layout(
    site: Site,
    picks: Iterable[Pick],
    entries: Sequence[Entry],
    blobs: Reader,
    *,
    before: Mapping[str, Name],
    read: Callable[[], Mapping[str, bytes]],
) -> View:
    """Returns the view of what a site gets; an empty one where the site wants none.

    Args:
        entries: of the generation that is made, with the commands of each.
        before: the public names of the generation that stands; read: gives its files of the view.
    """
    view = View()
    if NEURODESK not in site.views:
        return view
    known = {(e.name, e.module): e for e in entries if e.current}
    theirs = {e.release for e in entries if e.adopted}
    days = _days(before)
    for pick in picks:
        entry = known.get((pick.name, pick.module))
        if entry is None or not pick.released.epoch or "_" in pick.module:
            continue  # names are split at "_" there, and have a day
        about = read_about(pick.released.metadata, blobs)
        for suffix, image in _images(pick).items():
            release, target = f"{pick.name}{suffix}_{pick.module}", f"../../{image_path(image)}"
            day = _day(build_date(pick.released), target, days.get(release, {}))
            _release(view, pick, entry, suffix, (target, day), site.name)
            if (f"{pick.name}{suffix}", pick.module) not in theirs:  # else others' modules stay
                _offer(view, site, pick, entry, f"{pick.name}{suffix}", day, about)
    if older := [entry for entry in entries if not entry.current]:
        _earlier(view, older, before, read())
    return view


def view_files(folder: str, site: str, number: int, names: Mapping[str, Name]) -> dict[str, bytes]:
    """Returns the view's files of a generation that stands, by their source."""
    found = {}
    for source in {name.source for name in names.values() if name.source.startswith(f"{VIEW}/")}:
        data = local.read_below(os.path.join(folder, site_path(site), str(number)), source, _LIMIT)
        if data is not None:
            found[source] = data
    return found


def _images(pick: Pick) -> dict[str, Digest]:
    """Returns the suffix of a name → the generic image that it has, or the best other one."""
    found: dict[str, Digest] = {}
    for platform in sorted(pick.images, key=lambda p: (p != p.baseline, str(p))):
        suffix = {"amd64": "", "arm64": ARM64_SUFFIX}.get(platform.architecture)
        if suffix is not None:
            found.setdefault(suffix, pick.images[Platform(platform)].config.digest)
    return found


def _release(
    view: View, pick: Pick, entry: Entry, suffix: str, image: tuple[str, str], site: str
) -> None:
    """Adds one release's folder; ``image`` is what its link leads to, and its day."""
    target, day = image
    build = f"{pick.name}{suffix}_{pick.module}_{day}"
    folder = f"{CONTAINERS}/{build}"
    view.names[f"{folder}/{build}.simg"] = Name(target=target)
    commands = () if entry.withdrawn else entry.commands
    view.file(f"{folder}/commands.txt", "".join(f"{c}\n" for c in commands).encode())
    wrappers = f"../../{SITES}/{site}/wrappers/{entry.name}/{entry.full}/bin"
    for command in commands:
        view.names[f"{folder}/{command}"] = Name(target=f"{wrappers}/{command}")


def _offer(
    view: View,
    site: Site,
    pick: Pick,
    entry: Entry,
    name: str,
    day: str,
    about: Mapping[str, Json],
) -> None:
    """Adds the modules of one release under ``name``."""
    facts = ModuleFacts(
        name=name,
        version=pick.module,
        revision=pick.released.revision,
        image=str(pick.released.index.digest),
        commands=() if entry.withdrawn else entry.commands,
        environment=environment_of(about),
        description=about,
        identifiers=pick.released.identifiers,
    )
    build = f"{name}_{pick.module}_{day}"
    for place in (f"{CONTAINERS}/modules", *_categories(about)):
        modules = _modules(site, facts, f"{place}/{name}", build)
        for path, data in judged(modules, pick.withdrawn).items():
            view.file(path, data)


def _modules(site: Site, facts: ModuleFacts, folder: str, build: str) -> dict[str, bytes]:
    """Returns path → bytes of a release's module in ``folder``, in each system of the site."""
    found = {}
    if site.modules != "tcl":
        found[f"{folder}/{facts.version}.lua"] = module_text(facts, build)
    if site.modules != "lmod":
        here = replace(facts, folder=folder, commands_in=f"{CONTAINERS}/{build}")
        found[f"{folder}/{facts.version}"] = tcl.module_text(here, hidden=False)
    return found


def module_text(facts: ModuleFacts, build: str) -> bytes:
    """Returns a module file of the view for Lmod, the same bytes wherever it stands.

    Its form is the one that NeuroDesk's ``reconcile_module_files.py`` leaves as it is: the help in
    brackets of level 3, then ``whatis``, then the commands as extensions below their marker.
    """
    text = help_text(facts).replace("]]", "] ]").replace("]=", "] =")
    rows = [
        "-- -*- lua -*-",
        f"-- {facts.name} {facts.full}, {facts.image}; made by ssds, do not edit",
        f"help([===[\n{blanked(text)[:TEXT_LIMIT]}\n]===])",
        f"whatis({lua_text(f'{build}.simg')})",
        *(f"whatis({lua_text(f'{title}: {words}')})" for title, words in whatis_rows(facts)),
    ]
    commands = sorted(c for c in facts.commands if "," not in c and "/" not in c)
    if commands:
        offered = ", ".join(f"{command}/{facts.version}" for command in commands)
        rows.append(f'-- {_MARKER}\nif type(extensions) == "function" then')
        rows.append(f"    extensions({lua_text(offered)})\nend")
    rows += [
        f'local root = myFileName():match("^(.*)/{CONTAINERS}/modules/")',
        f'    or myFileName():match("^(.*)/{BY_CATEGORY.replace("-", "%-")}/")',
        f'prepend_path("PATH", pathJoin(root, {lua_text(f"{CONTAINERS}/{build}")}))',
    ]
    rows += [f"setenv({lua_text(n)}, {lua_text(v)})" for n, v in facts.variables]
    return ("\n".join(rows) + "\n").encode()


def _categories(about: Mapping[str, Json]) -> list[str]:
    """Returns the folders of modules by category, as NeuroDesk writes them: ``_`` for a blank."""
    words = about.get("categories", [])
    texts = [w for w in words if isinstance(w, str)] if isinstance(words, list | tuple) else []
    slugs = (_CATEGORY.sub("_", text.strip()).strip("._") for text in texts)
    return [f"{BY_CATEGORY}/{slug}" for slug in dict.fromkeys(slugs) if slug]


def _earlier(
    view: View, older: Sequence[Entry], before: Mapping[str, Name], read: Mapping[str, bytes]
) -> None:
    """Adds the folders of earlier revisions: public code opens their paths for ever.

    Those of a withdrawn release have no commands.
    """
    silent = {f"{e.name}/{e.full}" for e in older if e.withdrawn}
    images = {image_path(image) for entry in older for image in entry.images.values()}
    kept = {
        os.path.dirname(path)
        for path, name in before.items()
        if _IMAGE.fullmatch(path) and name.target.removeprefix("../../") in images
    }
    for path, name in before.items():
        if os.path.dirname(path) in kept and path not in view.names:
            if name.source and name.source not in read:
                continue
            if "/".join(name.target.split("/")[-4:-2]) in silent:
                continue
            view.names[path] = name
            if name.source:
                view.files[name.source] = read[name.source]
