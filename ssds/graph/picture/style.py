"""How verbs look, in every format. Colour is never the only carrier: the sign stands beside it.

The hues are those of Okabe and Ito ("Color Universal Design", 2008), which people with any common
kind of colour blindness can tell apart; darker for lines, paler for surfaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ssds.graph.plan import Verb


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Colours of a verb, on paper and on a dark screen, and the dashes of its frame."""

    surface: str
    line: str
    dark_surface: str
    dark_line: str
    dashes: str = ""
    thick: bool = False
    means: str = ""


STYLES: Mapping[Verb, Style] = {
    Verb.HELD: Style(
        surface="#fde3d6",
        line="#b04300",
        dark_surface="#4a2210",
        dark_line="#ff9457",
        thick=True,
        means="held: a verdict failed",
    ),
    Verb.REMOVE: Style(
        surface="#eceef0",
        line="#4a4f55",
        dark_surface="#2a2e33",
        dark_line="#b0b7be",
        dashes="2 3",
        means="to be removed",
    ),
    Verb.RUN: Style(
        surface="#dcecf8",
        line="#005f95",
        dark_surface="#10304a",
        dark_line="#56b4e9",
        thick=True,
        means="to run",
    ),
    Verb.UNKNOWN: Style(
        surface="#fdf2cf",
        line="#7d5c00",
        dark_surface="#3d3208",
        dark_line="#f0c541",
        dashes="5 3",
        means="known after apply",
    ),
    Verb.WAIT: Style(
        surface="#f5e4ef",
        line="#923a71",
        dark_surface="#3f1f33",
        dark_line="#e29ac4",
        dashes="1 3",
        means="waiting for a builder",
    ),
    Verb.REUSE: Style(
        surface="#e6f4ef",
        line="#00694e",
        dark_surface="#12352b",
        dark_line="#3fc59d",
        means="reused",
    ),
}
