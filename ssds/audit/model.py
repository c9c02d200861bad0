"""What an audit finds: the classes of difference, and the levels on which two images can differ."""

from __future__ import annotations

from collections.abc import Mapping

from ssds.core.digest import Digest
from ssds.core.records import dataclass, field
from ssds.store.ledger import AuditedFile

IDENTICAL = "identical"
NORMALISED = "normalised"
DIFFERS = "differs"
UNBUILT = "unbuilt"
CLASSES: Mapping[str, str] = {
    IDENTICAL: "the manifest is the lock's: every byte is the same",
    NORMALISED: "the files are the same after normalisation; layers, config or compression are not",
    DIFFERS: "files differ, or what the config says of running; the causes name how",
    UNBUILT: "the rebuild failed, so that nothing could be compared",
}
"""Every class, from the best to the worst."""

CAUSES: Mapping[str, str] = {
    "timestamps": "file times, or times written in a file",
    "order": "the same lines or the same bytes in another order",
    "paths": "paths, or names of this machine or user, written in a file",
    "attributes": "extended attributes: ``user.*``, ACLs, file capabilities",
    "content": "anything else: random numbers, processor counts, presence, modes, owners",
}
"""Why two files differ, from the most harmless to the worst."""

EXPLANATIONS: Mapping[str, str] = {
    "docker-attributes": "a Docker Engine keeps no `user.*` attributes and ACLs: all that differs",
}
"""What is known of a builder and explains every difference of its rebuild; it is no voice."""

LEVELS: Mapping[str, str] = {
    "tree": "paths, types, modes, owners, times and contents as a program in the image sees them",
    "layers": "the diffIDs: the uncompressed tars",
    "config": "the image's config",
    "manifest": "the compressed bytes",
}
"""What is compared, in this order."""

FILE_LIMIT = 200
LOST = "user.* attributes and ACLs are gone"
"""What is said of a file that differs in nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One platform's image by its digests.

    Attributes:
        diff_ids: of the layers, base first.
        tars: paths of the uncompressed layers, base first; empty where the bytes are not here.
        config_bytes: the config; empty where it is not here.
    """

    manifest: Digest
    config: Digest
    diff_ids: tuple[Digest, ...]
    tars: tuple[str, ...] = ()
    config_bytes: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a rebuilt image differs from the released one.

    Attributes:
        result: one of CLASSES; level: one of LEVELS, or the empty string.
        files: every path that differs, in order.
        bytes_compared: False where the digests differ and the bytes were not at hand.
        note: what else is to be said.
    """

    result: str
    level: str = ""
    files: tuple[AuditedFile, ...] = field(default_factory=tuple)
    bytes_compared: bool = True
    note: str = ""

    def explained(self, builder: str) -> str:
        """Returns which of EXPLANATIONS explains every difference, or the empty string."""
        lost = self.causes == ("attributes",) and all(file.what == LOST for file in self.files)
        return "docker-attributes" if builder == "docker" and lost else ""

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes of its files, the most harmless first."""
        found = {file.cause for file in self.files}
        return tuple(cause for cause in CAUSES if cause in found)
