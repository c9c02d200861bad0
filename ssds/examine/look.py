"""What is in an opened image, what an advisory set knows of that, and remarks on its files."""

from __future__ import annotations

from collections.abc import Callable

from ssds.advisories.osv import AdvisorySet
from ssds.core.canonical import Json, canonical_bytes
from ssds.core.digest import sha256_of
from ssds.core.records import dataclass, replace
from ssds.core.text import shown
from ssds.examine.places import Opened
from ssds.kinds.gate.findings import Finding, Scan, read_inspection, read_scan
from ssds.kinds.inspect.image import document as remarks_document
from ssds.kinds.inspect.image import inspect
from ssds.kinds.inspect.remark import UNREAD_FILES
from ssds.kinds.sbom.document import Subject, document
from ssds.kinds.sbom.inventory import take
from ssds.kinds.sbom.spec import INVENTORY
from ssds.kinds.scan.components import SYSTEMS, read_sbom
from ssds.kinds.scan.match import findings
from ssds.oci.types import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was seen.

    Attributes:
        sbom: CycloneDX, canonical.
        scan: what the advisory set knows; "not scanned" without one.
        remarks: on its files.
    """

    sbom: bytes
    scan: Scan
    remarks: tuple[Finding, ...]


Choose = Callable[[frozenset[str]], AdvisorySet | None]


def look_through(opened: Opened, name: str, choose: Choose) -> Looked:
    """Returns what is known of an image that no recipe describes.

    Args:
        name: what the SBOM calls it.
        choose: gives the set that is asked, by the ecosystems of the packages of the image's
            distribution; None where nobody knows them.

    Raises:
        IntegrityError: its package database is damaged.
    """
    inventory = take(opened.tree)
    about: dict[str, Json] = {
        "inventory": dict(INVENTORY),
        "release": {"name": name, "version": ""},
        "software": {},
        "sources": [],
    }
    digest = opened.digest or sha256_of(name.encode("utf-8", "surrogateescape"))
    subject = Subject(digest=digest, config=Config(platform=None, diff_ids=()), slice=about)
    sbom = canonical_bytes(document(inventory, subject))
    seen = read_sbom(sbom)
    systems = frozenset(p.ecosystem for p in seen.packages if p.type in SYSTEMS)
    unread = seen.unread
    if not unread and not systems:
        unread = (inventory.distribution.id or "its system",)  # not known is not "none"
    unreadable = (*seen.unreadable, *(f"/{path}" for path in opened.unreadable))
    found = findings(seen.packages, choose(systems), unread=unread, unreadable=unreadable)
    closed: set[str] = set()
    remarks = remarks_document(inspect(opened.tree, opened.environment, closed))
    scan = read_scan(canonical_bytes(found))
    return Looked(
        sbom=sbom,
        scan=replace(scan, problems=(*scan.problems, *_unread(closed))),
        remarks=read_inspection(canonical_bytes(remarks)),
    )


def _unread(closed: set[str]) -> tuple[str, ...]:
    """Returns what is to be told of files that could not be read, as one problem or none."""
    if not closed:
        return ()
    names = ", ".join(shown(f"/{path[:200]}") for path in sorted(closed)[:3])
    more = f" and {len(closed) - 3} more" if len(closed) > 3 else ""
    return (f"{UNREAD_FILES}{names}{more}",)
