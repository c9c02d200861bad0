"""A local Debian archive and a local Python index that a test changes, and the real resolver."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from makers import AMD64, a_catalog, a_release
from package_archives import Deb, Signer, wheel_bytes, write_archive, write_index

from ssds.core.model import ReleaseName
from ssds.core.pins import PlatformPins, SharedPins
from ssds.core.platform import Platform
from ssds.engine.renewal import parse_renewal
from ssds.engine.report import Reporter
from ssds.engine.resolve import Order, Pins, resolve
from ssds.engine.runner import Crew
from ssds.host.mirrors import Mirrors
from ssds.recipe.model import Base, Catalog
from ssds.recipe.steps import AptStep, PipStep, SourceRequest
from ssds.store.store import Store

BASE = Base(name="debian-12", suite="bookworm", platforms=(AMD64,))
ESSENTIAL = {"Essential": "yes", "Priority": "required"}
PYTHON = Deb(name="python3.11-minimal", version="3.11.2-6", depends="basis")
PIP = {"pip-24.0-py3-none-any.whl": wheel_bytes("pip", "24.0")}
APP = ReleaseName("app", "1.0")


class World:
    """Mirrors in a folder, a store, and the pins of one catalog."""

    def __init__(self, folder: Path, signer: Signer) -> None:
        self.folder, self.signer = folder, signer
        self.store = Store.open(str(folder / "store"))
        self.pins = Pins(shared=SharedPins())
        self.count = 0
        self.notes: list[str] = []

    def publish(
        self,
        *debs: Deb,
        wheels: Mapping[str, Iterable[str]] | None = None,
        system: str = "1.0-1",
    ) -> None:
        """Replaces what the mirrors hold; ``wheels`` are versions by name, ``system`` is apt's."""
        shutil.rmtree(self.folder / "debian", ignore_errors=True)
        shutil.rmtree(self.folder / "simple", ignore_errors=True)
        apt = Deb(name="apt", version=system, depends="basis")
        every = (Deb(name="basis", fields=ESSENTIAL), apt, PYTHON, *debs)
        write_archive(str(self.folder / "debian"), every, signer=self.signer)
        files = {
            name: {f"{name}-{v}-py3-none-any.whl": wheel_bytes(name, v) for v in versions}
            for name, versions in (wheels or {}).items()
        }
        write_index(str(self.folder / "simple"), {"pip": PIP, **files})

    @property
    def mirrors(self) -> Mirrors:
        return Mirrors(
            debian=(f"file://{self.folder}/debian",),
            own_pypi=(f"file://{self.folder}/simple",),
            keyring=self.signer.keyring,
        )

    @property
    def crew(self) -> Crew:
        return Crew(
            store=self.store,
            sandbox=None,
            mirrors=self.mirrors,
            workspace=str(self.folder),
            state_folder=str(self.folder / ".ssds"),
        )

    def cache(self) -> str:
        """Returns a fresh folder for indexes."""
        self.count += 1
        return os.path.join(self.folder, f"cache{self.count}")

    def lock(self, catalog: Catalog, *upgrade: str) -> list[str]:
        """Resolves; returns the problems."""
        targets = tuple(t for r in catalog.releases.values() for t in r.targets.values())
        self.pins.problems.clear()
        renewal = parse_renewal(upgrade, targets, catalog, self.pins.releases)
        reporter = _Notes()
        order = Order(targets=targets, renewal=renewal)
        resolve(catalog, self.pins, order, self.crew, reporter, self.cache())
        self.notes = reporter.lines
        return [f"{p.code}: {p.message}" for p in self.pins.problems]

    def held(self, platform: Platform = AMD64) -> PlatformPins:
        return self.pins.releases[APP, platform]

    def packages(self, place: str) -> dict[str, str]:
        """Returns name → version of one set."""
        return {p.name: p.version for p in self.held().packages[place].packages}


class _Notes(Reporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def an_app(
    *, apt: Iterable[str] = (), pip: Iterable[str] = (), sources: Iterable[SourceRequest] = ()
) -> Catalog:
    """Returns a catalog whose ``app`` installs Python and tools in build/0, wheels in build/1."""
    steps = (
        AptStep(address="build[0]", packages=("python3.11-minimal", *apt)),
        PipStep(address="build[1]", requirements=tuple(pip)),
    )
    release = a_release(
        "app",
        "1.0",
        base="debian-12",
        steps=steps if pip else steps[:1],
        sources={s.name: s for s in sources},
    )
    return a_catalog(release, bases={"debian-12": BASE})
