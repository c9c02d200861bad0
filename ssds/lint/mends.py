"""Safe changes of a recipe's text: they mend a finding and mean nothing else."""

from __future__ import annotations

from ssds.core.diagnostics import Diagnostic, Edit, Span
from ssds.lock.model import Locks
from ssds.recipe.address import Path, format_address, parse_address
from ssds.recipe.catalog import CatalogReading
from ssds.recipe.formats.ssds_metadata import usual_license
from ssds.recipe.yamlmarks import Spans


def checksum(found: Diagnostic, reading: CatalogReading, locks: Locks) -> tuple[Edit, ...]:
    """Returns the line that adds the sha256 which the locks hold for a source, if it is one."""
    address = parse_address(found.address)
    if len(address) < 2 or address[-1] != "url":
        return ()
    path, name = found.span.path, str(address[-2])
    digests = set()
    for release in reading.catalog.releases.values():
        if release.recipe_path != path:
            continue
        for platform, target in release.targets.items():
            if name not in target.sources:
                continue
            pin = locks.get(release.id).platform(release.id, platform).pins.sources.get(name)
            if pin is None or target.sources[name].url not in pin.file.urls:
                return ()
            digests.add(pin.file.digest)
    if len(digests) != 1:
        return ()
    return _beside(reading.spans, path, address, f'sha256: "{digests.pop().hex}"')


def licence(found: Diagnostic, reading: CatalogReading, _: Locks) -> tuple[Edit, ...]:
    """Returns the change to the usual form of a licence expression, where SPDX has one."""
    text = dict(found.facts).get("found", "")
    usual = usual_license(text)
    if not usual or usual == text:
        return ()
    edit = scalar(reading.spans, found.span.path, parse_address(found.address), text, usual)
    return (edit,) if edit else ()


def scalar(spans: Spans, path: str, address: Path, old: str, new: str) -> Edit | None:
    """Returns the change of a one-line scalar from ``old`` to ``new``, its quotes kept."""
    span = spans(path, format_address(address))
    rest = spans.line(path, span.line)[span.column - 1 :]
    for quote in ("", '"', "'"):
        raw = f"{quote}{old}{quote}"
        if rest.startswith(raw) and rest[len(raw) :].lstrip()[:1] in ("", ",", "]", "}", "#"):
            return Edit(span=span, old=raw, new=f"{quote}{new}{quote}")
    return None


def _beside(spans: Spans, path: str, address: Path, text: str) -> tuple[Edit, ...]:
    """Returns the change that puts ``text`` into the map that holds the key at ``address``."""
    key = spans(path, format_address(address), key=True)
    line = spans.line(path, key.line)
    before = line[: key.column - 1]
    if before.rstrip()[-1:] in ("{", ","):
        return (Edit(span=key, old="", new=f"{text}, "),)
    if before.strip(" -"):
        return ()
    end = "\r\n" if line.endswith("\r") else "\n"
    indent = " " * len(before)
    below = spans.line(path, key.line + 1)
    if below.startswith(indent + " "):  # the value goes on below
        return (Edit(span=key, old="", new=f"{text}{end}{indent}"),)
    after = Span(path=path, line=key.line, column=len(line.rstrip("\r")) + 1)
    return (Edit(span=after, old="", new=f"{end}{indent}{text}"),)
