"""Desktop menus of a list's releases: the freedesktop.org files that NeuroDesk's menu consists of.

::

    neurodesk-applications.menu           Neurodesk, below it all applications and the categories
    desktop-directories/<category>.directory, desktop-directories/apps/<name>.directory
    applications/<application>.desktop    opens a terminal and runs launch.sh
    icons/<name>.svg, icons/<application>-<name>.png
    launch.sh                             loads the module and runs the command in it

Source: Desktop Menu Specification 1.1, Desktop Entry Specification 1.5 (freedesktop.org).
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape

from ssds.core.text import blanked
from ssds.exports.entries import Entry
from ssds.exports.offers import Icon

MENU = "neurodesk-applications.menu"
LAUNCHER = "launch.sh"
NO_ICON = "applications-science"
"""A name of the Icon Naming Specification: themes have it."""
ALL = "All Applications"
_TOP = "Neurodesk"
_SLUG = re.compile(r"[^a-z0-9_-]+")
_HEAD = (
    '<!DOCTYPE Menu PUBLIC "-//freedesktop//DTD Menu 1.0//EN"\n'
    ' "http://www.freedesktop.org/standards/menu-spec/1.0/menu.dtd">\n'
)
_LAUNCH = """\
#!/bin/bash
# launch.sh NAME VERSION [COMMAND [ARGUMENT ...]]: runs a command, or a shell, in a module.
# NeuroDesk's own fetch_and_run.sh is used where it lies beside this file.
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
if [ -f "$here/fetch_and_run.sh" ]; then
    exec bash -i "$here/fetch_and_run.sh" "$@"
fi
if ! command -v module >/dev/null 2>&1; then
    for file in /etc/profile.d/lmod.sh /etc/profile.d/modules.sh \\
        /usr/share/lmod/lmod/init/bash /usr/share/modules/init/bash; do
        # shellcheck disable=SC1090 # the machine's own
        [ -r "$file" ] && . "$file" && break
    done
fi
name=${1%_arm64} version=$2  # modules have one name for all architectures
shift 2
if module load "$name/$version" && command -v "${1:-bash}" >/dev/null; then
    exec "${@:-bash}"
fi
echo "$name/$version cannot be started: ${1:-bash}" >&2
read -r -p "Press Enter to close this window." _
exit 1
"""


def menu_files(entries: Sequence[Entry], hidden: Iterable[str], place: str) -> dict[str, bytes]:
    """Returns path → bytes of a menu.

    Args:
        hidden: names of software that menus do not show.
        place: absolute path of the folder where the files will be.
    """
    unseen = set(hidden)
    shown = [entry for entry in entries if entry.name not in unseen]
    icons = {(entry.name, title): icon for entry in shown for title, icon in entry.icons}
    files = {LAUNCHER: _LAUNCH.encode()}
    below: dict[str, set[str]] = {ALL: set()}
    for entry in shown:
        for category in (ALL, *entry.categories):
            below.setdefault(category, set()).add(entry.name)
    directories = "desktop-directories"
    for title in (_TOP, *below):
        files[f"{directories}/{_slug(title)}.directory"] = _directory(title, NO_ICON)
    for name in below[ALL]:
        icon = _put(files, icons, (name, ""), name, place)
        files[f"{directories}/apps/{_slug(name)}.directory"] = _directory(name, icon)
    for entry in shown:
        own = _put(files, icons, (entry.name, ""), entry.name, place)
        for title, command, label in _applications(entry):
            icon = own
            if (entry.name, title) in icons:
                icon = _put(files, icons, (entry.name, title), f"{title}-{entry.name}", place)
            words = ["/bin/bash", f"{place}/{LAUNCHER}", entry.name, entry.tag, *command]
            name = f"{title} {entry.tag}" if title else label
            files[_free(files, f"applications/{_slug(label)}")] = _entry(
                Name=name,
                **({"GenericName": name, "Comment": label} if title else {}),
                Exec=" ".join(map(_quoted, words)),
                Icon=icon,
                Type="Application",
                Categories=f"{_category(entry.name)};",
                Terminal="true",
            )
    files[MENU] = _menu(below, place)
    return files


def _free(files: Mapping[str, bytes], path: str) -> str:
    """Returns a free name for a desktop entry: labels may differ by signs that names leave out."""
    numbers = itertools.count(2)
    name = f"{path}.desktop"
    while name in files:
        name = f"{path}-{next(numbers)}.desktop"
    return name


def _applications(entry: Entry) -> Iterable[tuple[str, list[str], str]]:
    """Gives (title, words of its command, label) of the release itself and of its windows."""
    yield "", [], f"{entry.name} {entry.tag}"
    for title, command in entry.applications:
        try:
            words = shlex.split(command)
        except ValueError:
            words = command.split()
        yield title, words, f"{title}-{entry.name} {entry.tag}"


def _put(
    files: dict[str, bytes],
    icons: Mapping[tuple[str, str], Icon],
    key: tuple[str, str],
    name: str,
    place: str,
) -> str:
    """Puts an icon among the files; returns its path there, or the usual icon's name."""
    icon = icons.get(key)
    if icon is None:
        return NO_ICON
    path = f"icons/{_slug(name)}{icon.suffix}"
    files[path] = icon.data
    return f"{place}/{path}"


def _directory(title: str, icon: str) -> bytes:
    return _entry(Name=title, Icon=icon, Type="Directory")


def _entry(**fields: str) -> bytes:
    """Returns a desktop entry; each value is one line (Desktop Entry Specification, "Strings")."""
    rows = ["[Desktop Entry]"]
    for key, value in fields.items():
        line = " ".join(blanked(value).split())
        rows.append(f"{key}={line}" if key == "Exec" else f"{key}={line}".replace("\\", "\\\\"))
    return ("\n".join(rows) + "\n").encode()


def _quoted(word: str) -> str:
    """Returns one argument of ``Exec``: quoted, special signs behind backslashes, ``%`` doubled.

    The value is a string too, so each of these backslashes is written twice.
    """
    text = " ".join(blanked(word).split()).replace("%", "%%")
    if re.fullmatch(r"[A-Za-z0-9_./%@:=+,-]+", text):
        return text
    return '"' + re.sub(r'(["`$\\])', r"\\\1", text).replace("\\", "\\\\") + '"'


def _category(name: str) -> str:
    """Returns the category of one software's entries; the specification's own names have no X-."""
    return "X-Neurodesk-" + re.sub(r"[^A-Za-z0-9-]", "-", name)


def _slug(title: str) -> str:
    return _SLUG.sub("-", title.lower().replace(".", "_")).strip("-") or "other"


def _menu(below: Mapping[str, set[str]], place: str) -> bytes:
    rows = [_HEAD, "<Menu>", "\t<Name>Applications</Name>"]
    rows.append(f"\t<AppDir>{escape(os.path.join(place, 'applications'))}</AppDir>")
    rows.append(
        f"\t<DirectoryDir>{escape(os.path.join(place, 'desktop-directories'))}</DirectoryDir>"
    )
    rows += ["\t<Menu>", f"\t\t<Name>{_TOP}</Name>"]
    rows.append(f"\t\t<Directory>{_slug(_TOP)}.directory</Directory>")
    for title, names in below.items():
        rows += ["\t\t<Menu>", f"\t\t\t<Name>{escape(title)}</Name>"]
        rows.append(f"\t\t\t<Directory>{_slug(title)}.directory</Directory>")
        for name in sorted(names):
            rows += ["\t\t\t<Menu>", f"\t\t\t\t<Name>{escape(name)}</Name>"]
            rows.append(f"\t\t\t\t<Directory>apps/{_slug(name)}.directory</Directory>")
            rows.append(f"\t\t\t\t<Include><Category>{_category(name)}</Category></Include>")
            rows.append("\t\t\t</Menu>")
        rows.append("\t\t</Menu>")
    rows += ["\t</Menu>", "</Menu>"]
    return ("\n".join(rows) + "\n").encode()
