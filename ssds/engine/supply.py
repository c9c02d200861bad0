"""Pinned files come before anything is built; what cannot be had is known at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ssds.core.digest import Digest
from ssds.core.errors import SsdsError, UnavailableError
from ssds.core.model import Node
from ssds.core.pins import PinnedFile
from ssds.engine.report import Reporter
from ssds.engine.runner import Crew
from ssds.graph.plan import Plan, PlanStep, Verb
from ssds.host.local import remove_folder
from ssds.host.mirrors import Mirrors
from ssds.kinds.source.run import bring
from ssds.packages.wire import files_of
from ssds.store.fetch import fetch_files, fetch_what_can_be_had, what_is_gone
from ssds.store.store import Store

_SHOWN = 50


def supply(plan: Plan, crew: Crew, reporter: Reporter) -> SsdsError | None:
    """Fetches what the steps that run need, and looks for what those that may run need.

    Returns F065, which names every file that cannot be had and who wants it, or None. The steps
    that want none of them can run all the same.
    """
    certain: dict[Digest, PinnedFile] = {}
    possible: dict[Digest, PinnedFile] = {}
    wanted: dict[Digest, list[str]] = {}
    for step in plan.steps.values():
        for file in _files(step):
            wanted.setdefault(file.digest, []).append(step.node.id.label)
            (certain if step.verb is Verb.RUN else possible)[file.digest] = file
    commits = {_files(s)[0].digest: s.node for s in plan.steps.values() if _of_commit(s)}
    plain = [file for digest, file in certain.items() if digest not in commits]
    failed = fetch_what_can_be_had(crew.store, plain, crew.mirrors, reporter.note)
    for digest, node in commits.items():
        error = _brought(node, crew, reporter)
        if error is not None:
            failed[digest] = error
    rest = [file for digest, file in possible.items() if digest not in certain]
    failed |= what_is_gone(crew.store, rest, crew.mirrors)
    return _gone(failed, {**possible, **certain}, wanted) if failed else None


def bring_all(
    nodes: Iterable[Node], store: Store, mirrors: Mirrors, say: Callable[[str], None]
) -> None:
    """Brings every file that nodes pin into the store; archives of commits are made where need be.

    Raises:
        UnavailableError, IntegrityError: one cannot be had.
    """
    plain: list[PinnedFile] = []
    for node in nodes:
        if node.kind == "source" and "git" in node.hints:
            folder = store.new_folder()
            try:
                bring(node, store, mirrors, folder, say)
            finally:
                remove_folder(folder)
        else:
            plain += files_of(node)
    fetch_files(store, plain, mirrors, say)


def _files(step: PlanStep) -> list[PinnedFile]:
    """Returns the files that a step needs, should it run."""
    wanted = step.runs and step.node.kind in ("source", "base", "build")
    return files_of(step.node) if wanted else []


def _of_commit(step: PlanStep) -> bool:
    return step.runs and step.node.kind == "source" and "git" in step.node.hints


def _brought(node: Node, crew: Crew, reporter: Reporter) -> SsdsError | None:
    """Brings the archive of a commit; returns why it cannot be had, or None."""
    folder = crew.store.new_folder()
    try:
        bring(node, crew.store, crew.mirrors, folder, reporter.note)
    except SsdsError as error:
        return error
    finally:
        remove_folder(folder)
    return None


def _gone(
    failed: dict[Digest, SsdsError],
    files: dict[Digest, PinnedFile],
    wanted: dict[Digest, list[str]],
) -> SsdsError:
    lines = []
    for digest in sorted(failed, key=lambda d: (files[d].name, d)):
        by = list(dict.fromkeys(wanted[digest]))
        more = f" and {len(by) - 1} more" if len(by) > 1 else ""
        lines.append(f"  {files[digest].name} ({digest}), for {by[0]}{more}")
        lines += [f"    {line}" for line in failed[digest].message.split("\n")]
    shown = lines[: _SHOWN * 4]
    if len(shown) < len(lines):
        shown.append("  …")
    count = f"{len(failed)} pinned file" + ("" if len(failed) == 1 else "s")
    return UnavailableError(
        f"{count} cannot be had; what needs them fails:\n" + "\n".join(shown),
        hint="Name a mirror that keeps old files (mirrors.blobs in ssds.yaml), "
        "or renew these pins: ssds lock --upgrade NAME.",
        code="F065",
    )
