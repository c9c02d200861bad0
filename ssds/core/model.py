"""Node, action, claim: one thing in three states is the whole engine (design section 2).

A node's inputs may be outputs of other nodes; an action is a node whose inputs are all digests,
and its digest is its key; a claim says "this action gave these outputs".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from ssds.core.canonical import Json, Texts, canonical_bytes, canonical_text, key_of_text
from ssds.core.digest import ActionKey, Digest
from ssds.core.errors import InvalidValue
from ssds.core.patterns import pattern
from ssds.core.records import dataclass, field, replace

KINDS = (
    "source",
    "base",
    "build",
    "test",
    "deploytest",
    "metadata",
    "sbom",
    "scan",
    "inspect",
    "gate",
    "publish",
    "index",
    "sif",
    "data",
    "dataset",
)
"""Every kind of node, in the order in which a release passes them."""

OUTPUTS: Mapping[str, tuple[str, ...]] = {
    "source": ("file",),
    "base": ("layer",),
    "build": ("config",),
    "test": ("verdict",),
    "deploytest": ("verdict",),
    "metadata": ("metadata",),
    "sbom": ("sbom", "commands"),
    "scan": ("findings",),
    "inspect": ("inspection",),
    "gate": ("verdict",),
    "publish": ("manifest",),
    "index": ("index",),
    "sif": ("sif", "manifest"),
    "data": ("layer",),
    "dataset": ("set",),
}
"""The outputs that every claim of a kind names, for others take them; there may be more."""

VERDICT_KINDS = ("test", "deploytest", "gate")
"""Kinds whose output is a verdict; roles of their verdicts begin so."""

PASS = b'{"verdict":"pass"}'
FAIL = b'{"verdict":"fail"}'
"""The two canonical verdict blobs (contract C6)."""

T = TypeVar("T")
_NAME = pattern(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")


class ReleaseName(NamedTuple):
    """Name, version and variant of a release; the revision is added by the lock (C12).

    A tuple, as NodeId is: both are keys of large maps, and a tuple's hash is made in C.
    """

    name: str
    version: str
    variant: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" + (f"+{self.variant}" if self.variant else "")

    @property
    def tag(self) -> str:
        """The tag text without revision: ``+ ~ :`` become ``_`` (C12)."""
        text = self.version + (f"-{self.variant}" if self.variant else "")
        return re.sub(r"[+~:]", "_", text)


class NodeId(NamedTuple):
    """What a node is called: an owner (release or shared name), a kind, a platform.

    Attributes:
        owner: ``samtools@1.16.1[+variant]`` for a release, else the shared thing's name
            (``debian-12``, a source's file name).
        kind: one of KINDS.
        platform: the platform, or the empty string for "any".
        part: what tells several nodes of one owner and kind apart (``bam`` of a source).
    """

    owner: str
    kind: str
    platform: str = ""
    part: str = ""

    def __str__(self) -> str:
        return f"{self.owner}:{self.kind}" + (f"/{self.part}" if self.part else "")

    @property
    def label(self) -> str:
        """The text with the platform, for messages."""
        return f"{self} [{self.platform}]" if self.platform else str(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input of a node.

    Attributes:
        role: the name under which the digest enters the key (``base``, ``source/archive``).
        node: the producing node, or None when ``digest`` is fixed.
        output: which output of that node.
        digest: the digest itself where it is known without any node (a local file).
        optional: an input that is left out of the key when its node cannot give it (C11).
        gate: the input is a verdict: the node is held when that is a failure.
    """

    role: str
    node: NodeId | None = None
    output: str = ""
    digest: Digest | None = None
    optional: bool = False
    gate: bool = False


def nothing() -> dict[str, Any]:
    """Returns the one empty map that stands for "none" in many values; nobody changes it."""
    return _NOTHING


_NOTHING: dict[str, Any] = {}


_text = functools.lru_cache(64)(canonical_text)
"""The canonical text of the few short words that all keys hold."""


class Later(Mapping[str, T]):
    """A map that is made when somebody looks into it, and made again for the next look.

    For what only running and explaining need: a plan has many nodes and looks into few.
    """

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], Mapping[str, T]]) -> None:
        self._make = make

    def __getitem__(self, key: str) -> T:
        return self._make()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._make())

    def __len__(self) -> int:
        return len(self._make())

    def __repr__(self) -> str:
        return repr(self._make())


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A vertex of the graph.

    Attributes:
        id: its name.
        kind_version: raised when the meaning of the kind's output changes.
        slice: what this kind sees of the recipe; canonical JSON, part of the key.
        inputs: its inputs, by role.
        epoch: SOURCE_DATE_EPOCH in seconds, where bytes depend on it; part of the key.
        fixed: outputs that are known before it runs (pins), by output name.
        hints: what the runner needs but no key holds: locations, time limits in seconds,
            resource needs. Canonical JSON; may be made only when looked into.
        marks: ``impure``, ``irreversible``.
        unpinned: names of moving inputs without a pin: the node is "not locked" (C10).
        origin: slice path → address in the recipe, for explain (``steps[0]`` → ``build[2]``).
        recipe_path: the file that declares it, relative to the workspace.
        required: False for a platform that the recipe calls optional (C11).
        native: the policy refuses emulation: such claims do not count, and none is made (C3).
    """

    id: NodeId
    kind_version: int
    slice: Mapping[str, Json]
    inputs: tuple[Input, ...] = ()
    epoch: int | None = None
    fixed: Mapping[str, Digest] = field(default_factory=nothing)
    hints: Mapping[str, Json] = field(default_factory=nothing)
    marks: frozenset[str] = frozenset()
    unpinned: tuple[str, ...] = ()
    origin: Mapping[str, str] = field(default_factory=nothing)
    recipe_path: str = ""
    required: bool = True
    native: bool = False

    @property
    def kind(self) -> str:
        """The kind."""
        return self.id.kind

    def resolve(
        self, inputs: Mapping[str, Digest], salt: str = "", texts: Texts | None = None
    ) -> Action:
        """Returns the action for these input digests (role → digest).

        ``texts`` remembers the texts of slices that nodes share.
        """
        digests = ",".join([f'{_text(role)}:"{inputs[role]}"' for role in sorted(inputs)])
        own = texts.of(self.slice) if texts else canonical_text(self.slice)
        epoch = "" if self.epoch is None else f',"source_date_epoch":{self.epoch}'
        key = key_of_text(  # the canonical text of ``Action.preimage``: keys in their order
            self.kind,
            f'{{"inputs":{{{digests}}},"kind":{_text(self.kind)},"kind_version":{self.kind_version}'
            f',"platform":{_text(self.id.platform or "any")},"salt":{_text(salt)},"slice":{own}'
            f"{epoch}}}",
        )
        return Action(node=self, inputs=inputs, salt=salt, key=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A node whose every input is a digest.

    Attributes:
        inputs: role → digest.
        salt: the catalog's, as it stands in the key.
    """

    node: Node
    inputs: Mapping[str, Digest]
    salt: str
    key: ActionKey

    @property
    def preimage(self) -> dict[str, Json]:
        """What the key is made of."""
        node = self.node
        preimage: dict[str, Json] = {
            "salt": self.salt,
            "kind": node.kind,
            "kind_version": node.kind_version,
            "platform": node.id.platform or "any",
            "slice": node.slice,
            "inputs": {role: str(digest) for role, digest in self.inputs.items()},
        }
        if node.epoch is not None:
            preimage["source_date_epoch"] = node.epoch
        return preimage

    @property
    def preimage_bytes(self) -> bytes:
        """The canonical pre-image; ``explain`` reads it."""
        return canonical_bytes(self.preimage)


REFUSED = "refused"
"""The kind of claims that are kept to be looked at and count for no node."""
FROM_CACHE, GOT = "cache ", "store, got from the "
"""The origin of a claim that a cache gives is ``FROM_CACHE NAME``; once kept, ``GOT`` before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an action gave: its outputs, named (C3).

    Attributes:
        key: the action's key.
        kind: the action's kind, or ``step``.
        outputs: output name → digest; deterministic, may stand in a lock.
        verdict: ``pass``, ``fail`` or the empty string where the kind gives none.
        logs: by-products that no node takes as input and no lock holds (log, junit).
        builder: who made it (``embedded``).
        mode: the sandbox mode (C17), or the empty string.
        emulated: made by emulation of another architecture.
        impure: made with network.
        tools: host tool → version.
        made_at: seconds since the Unix epoch, UTC; 0 for a claim that came from a lock.
        duration_ms: how long it took.
        origin: ``store``, ``lock`` or ``cache NAME``; where it was found. A record keeps only the
            cache: ``store, got from the cache NAME``.
        signer: the id of the key that vouched for it in a cache whose signatures count, or empty.
    """

    key: ActionKey
    kind: str
    outputs: Mapping[str, Digest]
    verdict: str = ""
    logs: Mapping[str, Digest] = field(default_factory=nothing)
    builder: str = ""
    mode: str = ""
    emulated: bool = False
    impure: bool = False
    tools: Mapping[str, str] = field(default_factory=nothing)
    made_at: int = 0
    duration_ms: int = 0
    origin: str = "store"
    signer: str = ""

    def refused(self) -> Claim:
        """Returns it as evidence that nothing is ever made from (C2): a rebuild that differed."""
        return replace(self, kind=REFUSED)

    def is_whole(self, kind: str) -> bool:
        """Whether this can be a claim of a node of that kind: it names all that others take."""
        if self.kind != kind:
            return False
        outputs = self.outputs
        if kind == "base" and "config" in outputs:
            return True  # an image: it brings its own config
        for name in OUTPUTS.get(kind, ()):  # noqa: SIM110 - asked for every node of a plan
            if name not in outputs:
                return False
        return True

    @property
    def from_cache(self) -> str:
        """The name of the cache that it came from, or the empty string."""
        before, found, name = self.origin.rpartition(FROM_CACHE)
        return name if found and before in ("", GOT) else ""

    def same_outputs(self, other: Claim) -> bool:
        """Whether both claim the same outputs and verdict."""
        return dict(self.outputs) == dict(other.outputs) and self.verdict == other.verdict

    def to_lock(self) -> dict[str, Json]:
        """Returns what a lock holds of a claim (C9): same inputs, same bytes on any machine."""
        entry: dict[str, Json] = {
            "key": str(self.key),
            "outputs": {name: str(d) for name, d in sorted(self.outputs.items())},
        }
        if self.verdict:
            entry["verdict"] = self.verdict
        if self.mode:
            entry["mode"] = self.mode
        if self.emulated:
            entry["emulated"] = True
        if self.impure:
            entry["impure"] = True
        return entry


def check_name(text: str) -> str:
    """Returns ``text`` when it can name a recipe: lower case, digits, ``. _ -`` inside."""
    if not _NAME.fullmatch(text) or len(text) > 64:
        raise InvalidValue(
            f"{text[:80]!r} is not a name",
            hint="Use lower-case letters, digits and . _ - inside, 64 characters at most.",
        )
    return text
