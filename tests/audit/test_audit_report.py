"""An audit's page and text: whole in themselves, and safe whatever an image holds."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

from ssds.audit.report import View, page, text
from ssds.core.digest import Digest
from ssds.store.ledger import Audit, AuditedFile

EVIL = '<script>alert("x")</script>\x1b[2J\udcff'
AUDIT = Audit(
    at=1_800_000_000,
    release="tool@1.0",
    platform="linux/amd64",
    manifest=Digest("sha256:" + "a" * 64),
    found=Digest("sha256:" + "b" * 64),
    result="differs",
    builder="docker",
    explained="docker-attributes",
    causes=("attributes",),
    varied={"builder": "docker"},
    files=(AuditedFile(path=f"opt/{EVIL}", cause="attributes", what="w", owner="tool build[1]"),),
    count=3,
)
PLACE = (AUDIT.release, AUDIT.platform)
DATES = {AUDIT.at: "2027-01-15"}


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_nothing_of_an_image_becomes_markup() -> None:
    view = View(page=f'<p title="{EVIL.encode("ascii", "replace").decode()}">diff</p>', text=EVIL)
    made = page([AUDIT], {PLACE: EVIL}, {PLACE: view}, DATES)
    made.encode()
    tags = _Tags(made).seen
    assert {tag for tag, _ in tags} & {"script", "link", "img", "p"} == {"p"}
    (frame,) = [attributes for tag, attributes in tags if tag == "iframe"]
    assert frame["sandbox"] == ""
    assert str(frame["srcdoc"]).startswith('<p title="<script>')
    assert "\x1b" not in made


def test_the_name_of_a_file_is_no_line_of_the_text() -> None:
    forged = AuditedFile(path="a\n\nother@2.0 [linux/amd64]: identical", cause="c", what="w")
    plain = text([replace(AUDIT, files=(forged,))], {}, {})
    assert not any(line.startswith("other@2.0") for line in plain.splitlines())
    assert "  and 2 more\n" in plain


def test_what_was_not_rebuilt_has_no_digest_of_a_rebuild() -> None:
    audit = replace(AUDIT, result="unbuilt", files=(), found=AUDIT.manifest)
    assert "rebuilt  - by docker" in text([audit], {}, {})
    assert page([audit], {}, {}, DATES).count(str(AUDIT.manifest)) == 1


def test_page_and_text_name_what_explains_a_difference_and_how_many_files_are_left_out() -> None:
    made = page([AUDIT], {}, {}, DATES)
    for word in ("a Docker Engine keeps no", "and 2 more", "2027-01-15", "tool build[1]"):
        assert word in made
    assert "<iframe" not in made
    plain = text([AUDIT], {}, {})
    assert "a Docker Engine keeps no" in plain
    assert "\x1b" not in plain
    plain.encode()
