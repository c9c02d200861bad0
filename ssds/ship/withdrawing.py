"""Modules of withdrawn releases: they stay, refuse to load, and say why. Pure.

One line below a module's first says so; all else stays, so that who had loaded it can unload it,
and so that it loads again once it is not withdrawn any more.
"""

from __future__ import annotations

from collections.abc import Mapping

from ssds.ship.modules import lua_text
from ssds.ship.tcl import tcl_text

_LUA = b'if mode() == "load" then LmodError('
_TCL = b"if {[module-info mode load]} { puts stderr "


def judged(modules: Mapping[str, bytes], said: str) -> dict[str, bytes]:
    """Returns path → bytes of module files that refuse to load, or that do so no longer.

    Args:
        modules: Lua files end in ``.lua``, all others are Tcl.
        said: what users are told; the empty string for modules that load.
    """
    return {path: _judged(data, said, path.endswith(".lua")) for path, data in modules.items()}


def _judged(data: bytes, said: str, is_lua: bool) -> bytes:
    first, _, rest = data.partition(b"\n")
    if rest.startswith(_LUA if is_lua else _TCL):
        rest = rest.partition(b"\n")[2]
    if not said:
        return first + b"\n" + rest
    if is_lua:
        line = _LUA + lua_text(said).encode() + b") end"
    else:
        line = _TCL + tcl_text(said).encode() + b"; break }"
    return b"\n".join((first, line, rest))
