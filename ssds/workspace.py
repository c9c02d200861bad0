"""The composition root: finds the workspace, reads settings, turns names into parts. All lazy."""

from __future__ import annotations

import datetime as dt
import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ssds.core.diagnostics import Collector
from ssds.core.digest import ActionKey, Digest
from ssds.core.errors import EnvironmentProblem, SsdsError, UsageError
from ssds.core.model import Claim, ReleaseName
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field, replace
from ssds.graph.compile import Graph, compile_graph
from ssds.graph.plan import Facts
from ssds.host.premises import Trial
from ssds.lock.make import held_by
from ssds.lock.model import Locks
from ssds.lock.read import DATA_FOLDER, read_locks
from ssds.recipe.catalog import CatalogReading, Documents, has_data, read_catalog
from ssds.recipe.homes import Home, homes
from ssds.recipe.model import Catalog
from ssds.recipe.settings import (
    Settings,
    find_root,
    is_fetched_state,
    is_workspace,
    read_settings,
)

if TYPE_CHECKING:
    from ssds.builders.plug import Builder
    from ssds.cache.caches import Caches
    from ssds.engine.runner import Crew
    from ssds.host.mirrors import Mirrors
    from ssds.host.probe import Probe
    from ssds.host.sandbox import Sandbox
    from ssds.lock.data import DataLock
    from ssds.store.store import Store

STATE_FOLDER = ".ssds"
LOCK_FOLDER = "lockfiles"


class _Present:
    """The digests whose bytes the store has, as a container."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def __contains__(self, digest: object) -> bool:
        store = self._workspace.store_if_there
        return store is not None and isinstance(digest, Digest) and store.blobs.has(digest)


@dataclass(frozen=True)
class Workspace:
    """A folder with ssds.yaml, catalog/ and lockfiles/.

    Attributes:
        only: where a part of the catalog is enough: the recipes that are read, with those that
            they are built on; None for all.
        all_locks: read every lock, whatever ``only`` says.
        documents: recipes that were parsed and checked before.
        opened: the store by its path, once it was opened; shared by all parts.
        trial: whether steps can run here; shared by all parts.
        asked: the caches under the empty name, once they were asked; shared by all parts.
    """

    root: str
    settings: Settings
    only: frozenset[str] | None = None
    all_locks: bool = True
    documents: Documents | None = None
    opened: dict[str, Store] = field(default_factory=dict, repr=False, compare=False)
    trial: Trial = field(default_factory=Trial, repr=False, compare=False)
    asked: dict[str, Caches] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, folder: str = "") -> Workspace:
        """Returns the workspace at ``folder``, or the one around the current folder.

        Raises:
            UsageError: there is no workspace.
            InputError: its settings are wrong.
        """
        root = os.path.abspath(folder) if folder else find_root(".")
        if folder and not is_workspace(root):
            root = find_root(root)
        home = os.path.realpath(root) + os.sep
        fetched = is_fetched_state(home[:-1], STATE_FOLDER)
        if fetched:
            root = home[:-1]  # one whole state, whatever `current` leads to in a moment
        for name in (LOCK_FOLDER,) if fetched else (LOCK_FOLDER, STATE_FOLDER):
            place = os.path.join(root, name)
            if os.path.islink(place) and not os.path.realpath(place).startswith(home):
                raise UsageError(
                    f"{place} is a link out of the workspace",
                    hint="Files are written there: make it a folder.",
                    code="E035",
                )
        return cls(root=root, settings=read_settings(root, os.environ))

    @property
    def state_folder(self) -> str:
        """``.ssds``: index, observations, logs; ignored by git."""
        return os.path.join(self.root, STATE_FOLDER)

    @property
    def lock_folder(self) -> str:
        """Where the locks are."""
        return os.path.join(self.root, LOCK_FOLDER)

    @functools.cached_property
    def reading(self) -> CatalogReading:
        """The catalog as read, with its spans and warnings; errors are raised together.

        Where only files of sites have errors nothing is raised: ``reading.site_errors``.
        """
        reading = read_catalog(
            self.root,
            catalog=self.settings.catalog,
            checkouts=self.settings.checkouts,
            only=self.only,
            documents=self.documents,
        )
        reading.raise_if_failed()
        return reading

    @property
    def homes(self) -> tuple[Home, ...]:
        """The folders of recipes."""
        return homes(self.settings.catalog, self.settings.checkouts)

    @property
    def catalog(self) -> Catalog:
        """The checked catalog."""
        return self.reading.catalog

    @functools.cached_property
    def locks(self) -> Locks:
        """The checked lock files."""
        collector = Collector()
        only = None if self.all_locks else self.only
        if only is not None:
            only |= {release.name for release in self.catalog.releases}
        locks = read_locks(self.lock_folder, shown=LOCK_FOLDER, collector=collector, only=only)
        collector.raise_if_failed()
        return locks

    @functools.cached_property
    def data_locks(self) -> Mapping[ReleaseName, DataLock]:
        """The checked locks of reference data sets; none in a part, which has no sets."""
        if self.only is not None or not self._has_data_locks:
            return {}
        from ssds.lock.data import read_data_locks

        collector = Collector()
        locks = read_data_locks(self.lock_folder, shown=LOCK_FOLDER, collector=collector)
        collector.raise_if_failed()
        return locks

    @property
    def has_data(self) -> bool:
        """Whether there are reference data sets, in the catalog or locked."""
        return has_data(self.root, self.settings.catalog) or self._has_data_locks

    @property
    def _has_data_locks(self) -> bool:
        return os.path.isdir(os.path.join(self.lock_folder, DATA_FOLDER))

    def part(self, names: Iterable[str], *, all_locks: bool = False) -> Workspace:
        """Returns this workspace with some recipes only, those below them, and their locks."""
        return replace(self, only=frozenset(names), all_locks=all_locks)

    def forget_locks(self) -> None:
        """Makes the next look at ``locks`` read the files again."""
        self.__dict__.pop("locks", None)
        self.__dict__.pop("data_locks", None)

    def graph(self, as_of: dt.date) -> Graph:
        """Returns the graph of catalog and pins on a date."""
        data = {name: lock.sources for name, lock in self.data_locks.items()}
        return compile_graph(self.catalog, self.locks.catalog.pins, self.locks.pins, as_of, data)

    @property
    def store_path(self) -> str:
        """Where the store is (or would be)."""
        return self.settings.store_path

    @property
    def store(self) -> Store:
        """The store, made when missing."""
        from ssds.store.store import Store

        store = self.opened.get(self.store_path)
        if store is None:
            store = self.opened[self.store_path] = Store.open(self.store_path)
            store.register_workspace(self.root)
            if self.settings.signed_caches:
                from ssds.parts import counting

                store.claims.counts = counting(self.settings)
        return store

    def close(self) -> None:
        """Closes the store, where it was opened."""
        for store in self.opened.values():
            store.close()

    @property
    def store_if_there(self) -> Store | None:
        """The store, or None where nothing was ever stored: planning makes no folders."""
        return self.store if os.path.isdir(self.store_path) else None

    @functools.cached_property
    def mirrors(self) -> Mirrors:
        """Where archives are: the settings first, then what this machine's programs use."""
        from ssds.parts import mirrors

        return mirrors(self.settings)

    @property
    def caches(self) -> Caches | None:
        """The remote caches of the settings, or None where there are none; each is asked once."""
        if not self.settings.caches:
            return None
        if "" not in self.asked:
            from ssds.cache.caches import Caches
            from ssds.parts import caches

            self.asked[""] = Caches(caches(self.settings, self.state_folder))
        return self.asked[""]

    @property
    def probe(self) -> Probe:
        """What the sandbox can do here (C17)."""
        return self.trial.probe(self._trial_folder(), self.settings.sandbox)

    def _trial_folder(self) -> str:
        folder = self.store_path
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        return folder

    @functools.cached_property
    def sandbox(self) -> Sandbox | None:
        """The sandbox, or None where steps cannot run."""
        from ssds.host.sandbox import Sandbox

        if not self.probe.mode:
            return None
        return Sandbox(self.probe.mode, self.store.scratch)

    @functools.cached_property
    def step_builder(self) -> Builder | None:
        """Who runs build steps, or None where they cannot run."""
        from ssds.builders.table import find

        if self.sandbox is None:
            return None
        return find(self.settings.builder, self.sandbox, self.builder_folder)

    @property
    def builder_folder(self) -> str:
        """Where a builder may keep what makes it quicker next time."""
        return os.path.join(self.store_path, "builders")

    @functools.cached_property
    def builder_missing(self) -> SsdsError | None:
        """Why the chosen builder cannot be used here, or None."""
        if self.settings.builder == "embedded":
            return None
        from ssds.builders.table import obstacle

        return obstacle(self.settings.builder)

    def built_by(self, name: str | None, *, no_cache: bool = False) -> Workspace:
        """Returns this workspace with another builder (None: the same), or without caches."""
        settings = replace(self.settings, builder=name) if name else self.settings
        if no_cache:
            settings = replace(settings, caches=())
        return replace(self, settings=settings)

    def sandbox_missing(self) -> str:
        """Returns the empty string when steps can run in a sandbox here, else why not."""
        refusal = self.trial.refusal(self._trial_folder(), self.settings.sandbox)
        return f"no builder here: {refusal}" if refusal else ""

    def builder(self, platform: Platform) -> str:
        """Returns the empty string when ``platform`` can be built here, else why not."""
        from ssds.host.machine import can_run

        refusal = self.sandbox_missing()
        if refusal:
            return refusal
        if self.builder_missing is not None:
            return f"no builder here: {self.builder_missing.message}"
        emulation = can_run(platform)
        return "" if emulation.available else f"no builder for {platform}: {emulation.reason}"

    def facts(self) -> Facts:
        """Returns everything that a plan rests on."""
        held = held_by(self.locks, self.data_locks.values())

        def claims(key: ActionKey) -> tuple[Claim, ...]:
            known = store.claims.find(key) if (store := self.store_if_there) else ()
            return (*held.claims.get(key, ()), *known)

        def cached(key: ActionKey) -> tuple[Claim, ...]:
            return self.caches.find(key) if self.caches else ()

        def emulates(platform: Platform) -> str:
            from ssds.host.machine import emulated_by

            return emulated_by(platform)

        found = Facts(
            claims=claims,
            has=_Present(self),
            sizes=held.sizes,
            builder=functools.cache(self.builder),
            sandbox=self.sandbox_missing,
            emulates=emulates,
            cached=cached,
            sure=held.sure,
            withdrawn=frozenset(map(str, self.locks.withdrawn)),
        )
        if self.settings.signed_caches and (store := self.store_if_there):
            from ssds.cache.distrust import doubting

            found = replace(found, doubts=doubting(store.claims))
        return found

    def crew(self, *, jobs: int = 1, keep_failed: bool = False, accept: bool = False) -> Crew:
        """Returns everything that the engine works with."""
        from ssds.engine.runner import Crew

        return Crew(
            store=self.store,
            sandbox=self.sandbox,
            builder=self.step_builder,
            mirrors=self.mirrors,
            workspace=self.root,
            state_folder=self.state_folder,
            jobs=jobs,
            keep_failed=keep_failed,
            accept=accept,
            sizes=self.facts().sizes,
            bring=self._bring,
        )

    def _bring(self, digests: Sequence[Digest]) -> bool:
        return self.caches is not None and not self.caches.bring(digests, self.store)

    def read_blob(self, digest: Digest) -> bytes | None:
        """Returns a blob's bytes, or None where neither the store nor a claim's cache has it."""
        store = self.store_if_there
        if store is None or not store.blobs.has(digest):
            return self.caches.read(digest) if self.caches else None
        return store.blobs.read(digest)

    def check_writable(self) -> None:
        """Raises EnvironmentProblem (E063) where locks or logs could not be written afterwards."""
        from ssds.host.folders import unwritable

        for folder in (self.lock_folder, self.state_folder):
            if reason := unwritable(folder):
                raise EnvironmentProblem(
                    f"cannot write {folder}: {reason}",
                    hint="Locks and logs are written there: use a workspace of your own.",
                    code="E063",
                )

    def tidy(self) -> None:
        """Removes what killed processes left in store and workspace; what is in use stays."""
        from ssds.host.files import sweep
        from ssds.store.trees import Trees

        for folder in (
            self.lock_folder,
            self.state_folder,
            os.path.join(self.state_folder, "logs"),
        ):
            sweep(folder)
        sandbox = self.sandbox
        if sandbox is not None:
            self.store.tidy(sandbox.remove)
            Trees(self.store.trees_folder, sandbox).sweep()
        if self.step_builder is not None and self.builder_missing is None:
            self.step_builder.sweep()

    def guard(self, name: str) -> str:
        """Returns the path of the guard file under which ``name`` is rewritten (C20)."""
        return os.path.join(self.state_folder, "guards", f"{name}.lock")
