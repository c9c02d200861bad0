"""Two processes write one lock file: each platform's section ends up in it (C20)."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

from ssds.core.digest import sha256_of
from ssds.core.pins import AdvisoryPin, SharedPins
from ssds.lock.merge import advanced
from ssds.lock.read import read_lock

WRITER = """
import sys
from dataclasses import replace
from ssds.core.model import ReleaseName
from ssds.core.pins import PlatformPins
from ssds.core.platform import Platform
from ssds.lock.write import update_lock
path, guard, name = sys.argv[1:]
release, platform = ReleaseName("tool", "1.0"), Platform(name)
for epoch in range(1, 41):
    def change(lock):
        pins = PlatformPins(base="debian-12@20260101", epoch=epoch)
        section = replace(lock.platform(release, platform), pins=pins)
        variant = lock.variant(release)
        variant = replace(variant, platforms={**variant.platforms, platform: section})
        return replace(lock, variants={**lock.variants, "": variant})
    update_lock(path, guard=guard, name="tool", version="1.0", change=change)
"""


def test_sections_of_two_platforms_written_at_once_are_both_there(tmp_path):
    path, guard = str(tmp_path / "tool@1.0.lock.json"), str(tmp_path / "guard")
    platforms = ("linux/amd64", "linux/arm64", "linux/amd64/v3")
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, guard, platform])
        for platform in platforms
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    lock = read_lock(path)
    assert lock is not None
    sections = lock.variants[""].platforms
    assert {str(p): section.pins.epoch for p, section in sections.items()} == dict.fromkeys(
        platforms, 40
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["guard", "tool@1.0.lock.json"]


def advisory(name: str, text: bytes) -> AdvisoryPin:
    return AdvisoryPin(name=name, date="2026-01-01", digest=sha256_of(text), size_bytes=1)


def test_shared_pins_of_two_writers_are_joined():
    before = SharedPins(advisories={"a": advisory("a", b"1"), "b": advisory("b", b"1")})
    mine = replace(before, advisories={**before.advisories, "a": advisory("a", b"2")})
    now = SharedPins(advisories={**before.advisories, "c": advisory("c", b"1")}, current={"x": "c"})
    joined = advanced(now, before, mine)
    assert joined.advisories == {
        "a": advisory("a", b"2"),
        "b": advisory("b", b"1"),
        "c": advisory("c", b"1"),
    }
    assert joined.current == {"x": "c"}
    gone = replace(before, advisories={"a": advisory("a", b"1")})
    assert set(advanced(now, before, gone).advisories) == {"a", "c"}
