"""Lmod's spider cache for a folder of modules, made by Lmod's own program.

With it `module avail`, `spider` and `load` read one file in place of every module. It names modules
by absolute paths, so it helps where the tree was deployed; a tree that was moved works without.
Source: Lmod's documentation, "How to use a Spider Cache".

Lmod reads every module for it. Where an earlier cache is at hand, it reads those that changed, and
their pieces of the text are put beside the others'.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import tempfile

from ssds.core.errors import SsdsError
from ssds.host import process
from ssds.host.spider_text import SpiderText, replaced, split

PROGRAM = "spider"
FOLDER = "lmod"
_CACHE = "cache/spiderT.lua"
_PIECES = "pieces.json"
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
    return next(found, "")


def write_spider_cache(
    folder: str, public: str, *, before: str = "", stays: frozenset[str] = frozenset()
) -> str:
    """Writes ``lmod/{lmodrc.lua,timestamp,pieces.json,cache/spiderT.lua}`` into a site's folder.

    Args:
        folder: the site's folder, with ``modules``; nobody reads it under this name.
        public: the absolute path under which it will be read.
        before: a folder of the same site with a cache that may be believed, or empty.
        stays: names in ``modules`` that are as they are in ``before``.

    Returns the empty string, or why there is no cache; modules work without one.
    """
    tool = program()
    if not tool:
        return "Lmod is not installed here"
    if not all(c.isascii() and (c.isalnum() or c in "/._-+=@:,~") for c in folder + public):
        return "the tree's path has characters that Lmod's cache cannot hold"
    try:
        text, pieces = _made(tool, folder, public, before, stays)
    except (OSError, SsdsError, ValueError) as error:
        return f"Lmod's {PROGRAM} failed: {error}"
    own = os.path.join(folder, FOLDER)
    os.makedirs(os.path.join(own, "cache"))
    place = os.path.join(public, FOLDER)
    files = {
        "timestamp": "made by ssds with the modules of this folder\n",
        _CACHE: text,
        "lmodrc.lua": "-- export LMOD_RC to this file's path; made by ssds, do not edit\n"
        f'scDescriptT = {{ {{ dir = "{place}/cache", timestamp = "{place}/timestamp" }} }}\n',
    }
    if pieces:
        files[_PIECES] = _index(tool, pieces)
    for name, content in files.items():
        with open(os.path.join(own, name), "x", encoding="utf-8") as file:
            file.write(content)
    return ""


def _made(
    tool: str, folder: str, public: str, before: str, stays: frozenset[str]
) -> tuple[str, SpiderText | None]:
    """Returns the cache's text, and it in pieces where its form is understood."""
    modules = os.path.join(folder, "modules")
    known = _pieces(tool, before, os.path.join(public, "modules")) if before and stays else None
    staying = stays & set(os.listdir(modules)) & set(known.blocks if known else ())
    if known and staying:
        changed = sorted(set(os.listdir(modules)) - staying)
        with tempfile.TemporaryDirectory() as scratch:
            os.mkdir(f"{scratch}/modules")
            for name in changed:
                os.symlink(f"{modules}/{name}", f"{scratch}/modules/{name}")
            new = split(_spider(tool, scratch, public), known.modules) if changed else None
        both = replaced(known, new, frozenset(staying)) if new else None
        if both:
            return both.joined(), both
    text = _spider(tool, folder, public)
    return text, split(text, os.path.join(public, "modules"))


def _spider(tool: str, folder: str, public: str) -> str:
    """Returns what Lmod says of ``folder``'s modules, as if they stood in ``public``."""
    with tempfile.TemporaryDirectory() as home:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": home}
        argv = [tool, "-o", "spiderT", os.path.join(folder, "modules")]
        done = process.run(argv, env=environment, timeout_s=_TIMEOUT_S)
    if done.returncode:
        raise ValueError(f"it ended with {done.returncode}")
    return done.stdout.decode().replace(folder + "/", public + "/")


def _version(tool: str) -> str:
    """Returns what tells one Lmod from another."""
    digest = hashlib.sha256()
    for path in (tool, os.path.join(os.path.dirname(tool), "Version.lua")):
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def _index(tool: str, pieces: SpiderText) -> str:
    """Returns the JSON that says where each software's piece is in the text."""
    at = len(pieces.head())
    places = {}
    for name, block in pieces.blocks.items():
        places[name] = [at, at + len(block)]
        at += len(block)
    told = {
        "lmod": _version(tool),
        "modules": pieces.modules,
        "pieces": places,
        "hidden": sorted(pieces.hidden),
    }
    return json.dumps(told, sort_keys=True) + "\n"


def _pieces(tool: str, before: str, modules: str) -> SpiderText | None:
    """Returns an earlier cache in pieces; None where there is none, or of another Lmod or place."""
    try:
        with open(os.path.join(before, FOLDER, _PIECES), "rb") as file:
            told = json.loads(file.read())
        with open(os.path.join(before, FOLDER, _CACHE), encoding="utf-8") as text_file:
            text = text_file.read()
        if told["lmod"] != _version(tool) or told["modules"] != modules:
            return None
        blocks = {str(name): text[start:end] for name, (start, end) in told["pieces"].items()}
        end = text[max((end for _, end in told["pieces"].values()), default=0) :]
        return SpiderText(modules=modules, blocks=blocks, hidden=frozenset(told["hidden"]), end=end)
    except (OSError, ValueError, KeyError, TypeError):
        return None
