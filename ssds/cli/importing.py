"""Takes an exported index for this clone: checks it, compares it with the disk, writes it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ssds.cli import indexed, planning
from ssds.cli.output import say
from ssds.core.canonical import Json
from ssds.core.digest import ActionKey, Digest
from ssds.core.errors import EnvironmentProblem, IntegrityError, Refused, SsdsError, UsageError
from ssds.core.model import Claim, Node, NodeId
from ssds.core.platform import Platform
from ssds.graph.index import keeping
from ssds.graph.index.adopting import Adopted, adopt
from ssds.graph.index.layout import FILE_NAME
from ssds.graph.index.portable import SUFFIX, Portable, read_portable
from ssds.graph.index.table import DIGEST_BYTES, GONE, SETTLED
from ssds.graph.plan import choose
from ssds.host import tracked
from ssds.recipe.catalog import RESERVED_FOLDERS
from ssds.workspace import LOCK_FOLDER, STATE_FOLDER, Workspace

_NEWEST = 16
_FIXED_KINDS = ("source", "base")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did.

    Attributes:
        path: the file.
        recipes: how many it knows.
        different: those that must be planned anew.
        shared: why all must be planned anew, or the empty string.
        by_git, read: how many files git vouched for, and how many were read.
        silent: why git vouches for nothing, or the empty string.
    """

    path: str
    recipes: int
    different: tuple[str, ...]
    shared: str
    by_git: int
    read: int
    silent: str

    def to_dict(self) -> dict[str, Json]:
        """Returns the JSON form."""
        return {
            "path": self.path,
            "recipes": self.recipes,
            "different": list(self.different),
            "whole_catalog": self.shared,
            "files_known_by_git": self.by_git,
            "files_read": self.read,
            "git_is_silent": self.silent,
        }


def import_index(workspace: Workspace, source: str, *, read: bool) -> Imported:
    """Writes the index of this clone out of an exported one.

    Args:
        source: an exported file, or a folder of such.
        read: ask git nothing.

    Raises:
        UsageError: E155, there is no such file.
        IntegrityError: E156, it is no exported index, or damaged.
        Refused: E157 another version of ssds made it, E158 it is of another catalog folder.
        EnvironmentProblem: E159, the index cannot be written.
    """
    path, portable = _found(workspace, source)

    def vouched() -> tracked.Vouched:
        if read:
            return tracked.Vouched(reason="--read was given")
        return tracked.vouched_files(workspace.root, (workspace.settings.catalog, LOCK_FOLDER))

    adopted = adopt(
        portable, workspace.root, vouched, state=STATE_FOLDER, reserved=RESERVED_FOLDERS
    )
    if not adopted.ground:
        _check_claims(workspace, adopted)
    _write(workspace, portable, adopted)
    if not adopted.ground and not adopted.different:
        _finish(workspace)
    return Imported(
        path=path,
        recipes=sum(1 for flags in portable.table.flags if not flags & GONE),
        different=tuple(sorted(adopted.different)),
        shared=adopted.ground,
        by_git=adopted.by_git,
        read=adopted.read,
        silent=adopted.silent,
    )


def _found(workspace: Workspace, source: str) -> tuple[str, Portable]:
    """Returns the file to import, and what it holds."""
    if not os.path.isdir(source):
        return source, _usable(workspace, read_portable(source))
    names = [name for name in os.listdir(source) if name.endswith(SUFFIX)]
    paths = [os.path.join(source, name) for name in names]
    trees = [tracked.tree_id(workspace.root, f) for f in (workspace.settings.catalog, LOCK_FOLDER)]
    own = os.path.join(source, "-".join(trees) + SUFFIX)
    paths.sort(key=lambda path: (path == own, _time_of(path), path), reverse=True)
    problem: SsdsError | None = None
    for path in paths[:_NEWEST]:
        try:
            return path, _usable(workspace, read_portable(path))
        except (UsageError, IntegrityError, Refused) as error:
            problem = problem or error
    raise problem or UsageError(
        f"there is no exported index in {source}",
        hint="`ssds index export DIR` writes one.",
        code="E155",
    )


def _time_of(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _usable(workspace: Workspace, portable: Portable) -> Portable:
    """Returns it where it can be of use here.

    Raises:
        Refused: E157 another version of ssds made it, E158 it is of another catalog folder.
    """
    about, catalog = portable.about, workspace.settings.catalog
    if about.code != keeping.code_digest():
        raise Refused(
            f"it was made by another version of ssds ({about.version}), of Python or of PyYAML",
            hint="Export it anew with the version that imports it.",
            code="E157",
        )
    if (about.catalog, about.locks) != (catalog, LOCK_FOLDER):
        raise Refused(
            f"it is of a catalog in {about.catalog}, and here it is in {catalog}",
            hint="Name the file that was exported from this repository.",
            code="E158",
        )
    return portable


def _check_claims(workspace: Workspace, adopted: Adopted) -> None:
    """Makes recipes be planned anew of whose bases and sources the store knows something else.

    A base or a source is what its pin says unless the store has a claim for its key, and a claim
    is good where it says the same. The claims are those up to the number that is noted.
    """
    table = adopted.editor.table
    facts = {"store": workspace.store_path, "generation": "0", "claims": "0"}
    store = workspace.store_if_there
    if store is not None:
        generation = store.claims.generation()
        newest, keys = store.claims.since(0, _FIXED_KINDS)
        facts |= {"generation": str(generation), "claims": str(newest)}
        text = bytes(table.shared_keys)
        places = {text[at : at + DIGEST_BYTES]: at for at in range(0, len(text), DIGEST_BYTES)}
        used = {key: at for key in keys if (at := places.get(bytes.fromhex(key.hex))) is not None}
        wrong = _other_claims(workspace, store.claims.find_many(used)) if used else ()
        store.close()  # or the next look at its files would see them in use
        for number in table.users({used[key] // DIGEST_BYTES for key in wrong}):
            table.flags[number] &= ~SETTLED
            adopted.different.add(table.names[number])
    table.facts |= facts


def _other_claims(
    workspace: Workspace, claims: Mapping[ActionKey, tuple[Claim, ...]]
) -> list[ActionKey]:
    """Returns the keys of bases and sources for which a plan would take other outputs."""
    from ssds.kinds.base import spec as base_spec
    from ssds.recipe.model import Base

    part = workspace.part(())
    salt, bases = part.catalog.salt, part.catalog.bases
    fixed: dict[ActionKey, Mapping[str, Digest]] = {}
    for (_, platform), pin in part.locks.catalog.pins.bases.items():
        base = bases.get(pin.name)
        if base is None and pin.image is not None:  # named by a recipe that is not read here
            base = Base(name=pin.name, image=pin.image.reference)
        if base is not None:
            node = base_spec.node(base, Platform(platform), pin)
            fixed[node.resolve({}, salt).key] = node.fixed
    wrong = []
    for key, found in claims.items():
        claim = choose(found, found[0].kind)
        if claim is None:
            continue
        wanted = fixed[key] if key in fixed else _source_of(key, claim, salt)
        if not wanted or any(claim.outputs.get(name) != d for name, d in wanted.items()):
            wrong.append(key)
    return wrong


def _source_of(key: ActionKey, claim: Claim, salt: str) -> Mapping[str, Digest]:
    """Returns the output of the source with that key where it is the claim's, else nothing.

    The key of a source is over the digest of its bytes, so the digest proves itself.
    """
    from ssds.kinds.source.spec import KIND_VERSION

    digest = claim.outputs.get("file")
    if digest is None:
        return {}
    node = Node(
        id=NodeId(owner="", kind="source"),
        kind_version=KIND_VERSION,
        slice={"sha256": str(digest)},
    )
    return {"file": digest} if node.resolve({}, salt).key == key else {}


def _write(workspace: Workspace, portable: Portable, adopted: Adopted) -> None:
    path = os.path.join(workspace.state_folder, FILE_NAME)
    written = keeping.save(
        path,
        adopted.editor,
        portable.documents,
        before=None,
        from_day=portable.head[0],
        notes_until_s=0,
        printed=None,
    )
    if not written:
        raise EnvironmentProblem(
            f"cannot write {path}",
            hint="Check its owner, its permissions and the disk.",
            code="E159",
        )


def _finish(workspace: Workspace) -> None:
    """Plans what is left to be planned, so that the next plan finds all of it."""
    try:
        indexed.deliver(workspace, planning.Asked())
    except SsdsError:
        say("note: there are problems in the catalog: `ssds plan` tells them")
