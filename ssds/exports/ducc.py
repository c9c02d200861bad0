"""A wish list for DUCC (``recipe.yaml``, version 1), each image by digest."""

from __future__ import annotations

from collections.abc import Iterable

from ssds.exports.offers import Export, Offer


def export_ducc(found: Iterable[Offer], repository: str, user: str) -> Export:
    """Returns ``recipe.yaml`` for the CVMFS ``repository``, whose owner is ``user``."""
    lines = [f"version: 1\nuser: {_quoted(user)}\ncvmfs_repo: {_quoted(repository)}\ninput:"]
    notes = []
    images: dict[str, str] = {}
    for offer in found:
        if offer.repository:
            image = f"https://{offer.repository}@{offer.released.index.digest}"
            images.setdefault(image, f"{offer.name} {offer.released.full_tag}")
        else:
            reason = "no registry holds it: name a channel of kind registry"
            notes.append((str(offer.released.id), reason))
    lines += [f"    - {_quoted(image)}  # {what}" for image, what in images.items()]
    text = "\n".join(lines) + (" []\n" if not images else "\n")
    return Export(files={"recipe.yaml": text.encode()}, notes=notes)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
