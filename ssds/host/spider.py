"""Lmod's spider cache for a folder of modules, made by Lmod's own program.

With it `module avail`, `spider` and `load` read one file in place of every module. It names modules
by absolute paths, so it helps where the tree was deployed; a tree that was moved works without.
Source: Lmod's documentation, "How to use a Spider Cache".
"""

from __future__ import annotations

import glob
import os
import shutil
import tempfile

from ssds.core.errors import SsdsError
from ssds.host import process

PROGRAM = "update_lmod_system_cache_files"
FOLDER = "lmod"
_PLACES = (
    "/usr/share/lmod/lmod/libexec",
    "/usr/share/lmod/*/libexec",
    "/opt/apps/lmod/lmod/libexec",
    "/opt/lmod/lmod/libexec",
)
_TIMEOUT_S = 600.0


def program() -> str:
    """Returns the path of Lmod's program, or the empty string where Lmod is not installed."""
    named = os.environ.get("LMOD_DIR", "")
    places = [os.path.join(named, PROGRAM)] if named else []
    places += [path for place in _PLACES for path in sorted(glob.glob(f"{place}/{PROGRAM}"))]
    found = (path for path in places if os.access(path, os.X_OK))
    return next(found, "") or shutil.which(PROGRAM) or ""


def write_spider_cache(folder: str, public: str) -> str:
    """Writes ``lmod/{lmodrc.lua,timestamp,cache/spiderT.lua}`` into a site's folder.

    Args:
        folder: the site's folder, with ``modules``; nobody reads it under this name.
        public: the absolute path under which it will be read.

    Returns the empty string, or why there is no cache; modules work without one.
    """
    tool = program()
    if not tool:
        return "Lmod is not installed here"
    if not all(c.isascii() and (c.isalnum() or c in "/._-+=@:,~") for c in folder + public):
        return "the tree's path has characters that Lmod's cache cannot hold"
    with tempfile.TemporaryDirectory() as scratch:
        modules = os.path.join(folder, "modules")
        argv = [tool, "-d", f"{scratch}/cache", "-t", f"{scratch}/timestamp", modules]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": scratch}
        try:
            done = process.run(argv, env=environment, timeout_s=_TIMEOUT_S)
            with open(f"{scratch}/cache/spiderT.lua", encoding="utf-8") as file:
                text = file.read()
        except (OSError, SsdsError) as error:
            return f"Lmod's {PROGRAM} failed: {error}"
    if done.returncode:
        return f"Lmod's {PROGRAM} ended with {done.returncode}"
    own = os.path.join(folder, FOLDER)
    os.makedirs(os.path.join(own, "cache"))
    place = os.path.join(public, FOLDER)
    files = {
        "timestamp": "made by ssds with the modules of this folder\n",
        "cache/spiderT.lua": text.replace(folder + "/", public + "/"),
        "lmodrc.lua": "-- export LMOD_RC to this file's path; made by ssds, do not edit\n"
        f'scDescriptT = {{ {{ dir = "{place}/cache", timestamp = "{place}/timestamp" }} }}\n',
    }
    for name, content in files.items():
        with open(os.path.join(own, name), "x", encoding="utf-8") as file:
            file.write(content)
    return ""
