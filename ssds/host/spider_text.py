"""The text of Lmod's spider cache, cut into what each software has, and joined again. Pure.

Only the form that Lmod 8 writes for one folder of modules is understood: a text that joining would
not give back byte by byte is not cut.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_STRINGS = re.compile(r'\[(=*)\[.*?\]\1\]|"(?:\\.|[^"\\])*"', re.DOTALL)
_BLOCK = re.compile(r"^ {4}(\S+) = \{\n.*?^ {4}\},\n", re.DOTALL | re.MULTILINE)
_HIDDEN = re.compile(r'^ {4}\["([^"\\\n]+)"\] = true,$', re.MULTILINE)
_NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_]*|\["[^"\\\n]+"\]')
_END = re.compile(r"  \},\n  version = ([0-9]+),\n\}\nmpathMapT = \{\}\n+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiderText:
    """A spider cache of one folder of modules.

    Attributes:
        modules: the folder's absolute path.
        blocks: software → its lines, in the order of the text.
        hidden: the hidden modules, ``NAME/VERSION``.
        end: what follows the last block.
    """

    modules: str
    blocks: Mapping[str, str]
    hidden: frozenset[str]
    end: str

    def joined(self) -> str:
        """Returns the text."""
        return self.head() + "".join(self.blocks.values()) + self.end

    def head(self) -> str:
        """Returns what stands before the first block."""
        names = sorted(self.hidden)
        brief = "".join(f'    ["{name}"] = true,\n' for name in names)
        deep = "".join(f'      ["{name}"] = true,\n' for name in names)
        key = f'  ["{self.modules}"] = {{\n'
        return (
            "timestampFn = {\n  false,\n}\n"
            f"mrcT = {{\n  alias2modT = {{}},\n  hiddenT = {{\n{brief}  }},\n"
            "  version2modT = {},\n}\n\n"
            f"mrcMpathT = {{\n{key}    hiddenT = {{\n{deep}    }},\n  }},\n}}\n"
            f"spiderT = {{\n{key}"
        )


def split(text: str, modules: str) -> SpiderText | None:
    """Returns a cache cut into pieces, or None where it is not of the form that is understood."""
    start = text.find(f'spiderT = {{\n  ["{modules}"] = {{\n')
    if start < 0:
        return None
    masked = _STRINGS.sub(lambda found: "_" * len(found[0]), text)
    blocks: dict[str, str] = {}
    first = text.index("\n", text.index("\n", start) + 1) + 1
    at = first
    while found := _BLOCK.match(masked, at):
        name = name_of(text[found.start(1) : found.end(1)])
        if not name:
            return None
        blocks[name] = text[at : found.end()]
        at = found.end()
    made = SpiderText(
        modules=modules,
        blocks=blocks,
        hidden=frozenset(_HIDDEN.findall(text[:first])),
        end=text[at:],
    )
    return made if _END.fullmatch(made.end) and made.joined() == text else None


def name_of(key: str) -> str:
    """Returns the name that a key of a Lua table says; empty where it is none."""
    return key.removeprefix('["').removesuffix('"]') if _NAME.fullmatch(key) else ""


def replaced(old: SpiderText, new: SpiderText, stays: frozenset[str]) -> SpiderText | None:
    """Returns a cache with what stays of ``old`` and all of ``new``; None where forms differ."""
    if old.end != new.end or old.modules != new.modules or not stays <= set(old.blocks):
        return None
    blocks = {name: old.blocks[name] for name in stays} | dict(new.blocks)
    kept = {name for name in old.hidden if name.partition("/")[0] in stays}
    return SpiderText(
        modules=new.modules,
        blocks=dict(sorted(blocks.items())),
        hidden=frozenset(kept) | new.hidden,
        end=new.end,
    )
