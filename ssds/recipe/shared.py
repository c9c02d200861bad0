"""Reads what recipes share: bases, policies, channels, sites, advisory sets, the catalog's salt."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ssds.core import levels
from ssds.core.diagnostics import Collector, Span
from ssds.core.errors import InvalidValue
from ssds.core.patterns import pattern
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field, replace
from ssds.oci.image_name import parse_image_name
from ssds.recipe.codes import diagnostic, near
from ssds.recipe.formats.scope import PACKAGE, Report
from ssds.recipe.model import Base, Channel, CvmfsClient, Demand, Policy, Site
from ssds.recipe.schema import schema
from ssds.recipe.yamlmarks import Document, Spans, lies_in, load, read_file

if TYPE_CHECKING:
    from ssds.recipe.debts import Debts

BASES_FILE = "bases.yaml"
_SITE_NAME = pattern(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_REGISTRY = pattern(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
    r"(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
)
_LOOPBACK = pattern(r"(?:localhost|127\.[0-9.]+|\[::1\])(?::|/|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The shared parts; None for a file that has problems, so that nothing is called unknown."""

    bases: Mapping[str, Base] | None = field(default_factory=dict)
    policies: Mapping[str, Policy] | None = field(default_factory=dict)
    channels: Mapping[str, Channel] | None = field(default_factory=dict)
    sites: Mapping[str, Site] = field(default_factory=dict)
    advisories: Mapping[str, str] | None = field(default_factory=dict)
    debts: Mapping[str, Debts] = field(default_factory=dict)
    salt: str = ""


def plain_relative(text: str) -> bool:
    """Whether ``text`` is a relative path that stays below where it starts."""
    parts = text.split("/")
    return not text.startswith("/") and not {"", ".", ".."} & set(parts) and "\x00" not in text


class _Files:
    """Reads the checked files of one catalog folder."""

    def __init__(self, root: str, folder: str, spans: Spans, collector: Collector) -> None:
        self.root = root
        self.folder = folder
        self.spans = spans
        self.collector = collector

    def read(self, name: str, kind: str, letter: str) -> tuple[Any, Report, bool]:
        """Returns data, reporter, and whether all was well; {} for a missing or bad file."""
        path = f"{self.folder}/{name}"
        before = len(self.collector)
        document = Document(data={}, path=path, text=b"")
        if not os.path.lexists(os.path.join(self.root, path)):
            return {}, Report(document, self.collector), True
        if not lies_in(os.path.join(self.root, self.folder), os.path.join(self.root, path)):
            self.collector.add(diagnostic("R072", Span(path=path)))
            return {}, Report(document, self.collector), False
        data = read_file(os.path.join(self.root, path), path, self.collector)
        value: Any = None
        if data is not None:
            document = load(data, path, self.collector)
            self.spans.keep(document)
            if document.usable:
                value = schema(kind, letter).check(document, self.collector)
        return value or {}, Report(document, self.collector), len(self.collector) == before


def read_shared(root: str, folder: str, spans: Spans, collector: Collector) -> Shared:
    """Returns the shared parts of the catalog in ``root/folder``; missing files are empty ones."""
    files = _Files(root, folder, spans, collector)
    advisories, report, advisories_good = files.read("advisories.yaml", "advisories", "V")
    for name, path in advisories.items():
        if not plain_relative(path):
            report("V011", (name,), ("found", path))
        elif not os.path.isfile(os.path.join(root, path)):
            report("V010", (name,), ("found", path))
        elif not any(
            lies_in(os.path.join(root, f), os.path.join(root, path)) for f in ("", folder)
        ):
            report("V011", (name,), ("found", f"{path}, a link out of the workspace"))
    known = advisories if advisories_good else None
    bases, report, bases_good = files.read(BASES_FILE, "bases", "B")
    policies, policy_report, policies_good = files.read("policies.yaml", "policies", "P")
    channels, channel_report, channels_good = files.read("channels.yaml", "channels", "C")
    settings, _, _ = files.read("catalog.yaml", "catalog", "K")
    debts, debts_report, _ = files.read("debts.yaml", "debts", "U")
    read_bases = {name: _base(name, item, report, known) for name, item in bases.items()}
    read_policies = {n: _policy(n, i, policy_report) for n, i in policies.items()}
    _check_channels(channels, channel_report)
    return Shared(
        bases=read_bases if bases_good else None,
        policies=read_policies if policies_good else None,
        channels={n: _channel(n, i) for n, i in channels.items()} if channels_good else None,
        sites=_sites(files),
        advisories=known,
        debts=_debts(debts, debts_report) if debts else {},
        salt=settings.get("salt", ""),
    )


def _debts(data: Mapping[str, Any], report: Report) -> dict[str, Debts]:
    from ssds.recipe.debts import read_debts  # few catalogs owe anything

    return read_debts(data, report)


def _base(
    name: str, item: Mapping[str, Any], report: Report, advisories: Mapping[str, str] | None
) -> Base:
    for index, package in enumerate(item.get("include", ())):
        if not PACKAGE.fullmatch(package):
            report("B011", (name, "include", index), ("found", package))
    wanted = item.get("advisories", "")
    if wanted and advisories is not None and wanted not in advisories:
        facts = (("found", wanted), ("known", ", ".join(sorted(advisories)) or "none"))
        report("B010", (name, "advisories"), *facts, first=near(wanted, list(advisories)))
    return Base(
        name=name,
        suite=item.get("suite", ""),
        image=_image(name, item, report),
        components=tuple(item.get("components", ("main",))),
        include=tuple(item.get("include", ())),
        platforms=tuple(Platform(p) for p in item.get("platforms", ())),
        advisories=wanted,
    )


def _image(name: str, item: Mapping[str, Any], report: Report) -> str:
    """Returns the full reference of a base that is an image, or the empty string."""
    if "image" not in item:
        return ""
    try:
        return str(parse_image_name(item["image"]))
    except InvalidValue as error:
        facts = (("found", item["image"]), ("reason", error.message))
        report("B014", (name, "image"), *facts)
        return ""


def _policy(name: str, item: Mapping[str, Any], report: Report) -> Policy:
    given: dict[str, Any] = {key: item[key] for key in item if key != "description"}
    for key in ("fail_on", "lint"):
        if key in given:
            given[key] = tuple(given[key])
    if "reproducible" in given:
        wanted = given["reproducible"]
        demand = Demand(**{"of": wanted["agreements"], **wanted})
        demand = replace(demand, independent_by=tuple(demand.independent_by))
        if demand.agreements > demand.of:
            facts = (("agreements", str(demand.agreements)), ("of", str(demand.of)))
            report("P010", (name, "reproducible", "agreements"), *facts)
        given["reproducible"] = demand
    return Policy(name=name, **given)


def _channel(name: str, item: Mapping[str, Any]) -> Channel:
    given: dict[str, Any] = {key: item[key] for key in item if key != "description"}
    for key in ("move", "replicas", "data", "licences"):
        if key in given:
            given[key] = tuple(given[key])
    return Channel(name=name, **given)


def _check_channels(channels: Mapping[str, Any], report: Report) -> None:
    places: dict[str, str] = {}
    for name, item in channels.items():
        path, location = (name, "location"), item["location"]
        if item["kind"] == "layout" and not plain_relative(location):
            report("C010", path, ("found", location))
        if item["kind"] == "registry":
            if not _REGISTRY.fullmatch(location):
                report("C011", path, ("found", location))
            elif item.get("insecure") and not _LOOPBACK.match(location):
                report("C012", (name, "insecure"), ("location", location))
        addresses: list[tuple[tuple[str | int, ...], str]] = [(path, location)]
        if item.get("licences") and not item.get("public"):
            report("C016", (name, "licences"))
        replicas = item.get("replicas", ())
        if replicas and item["kind"] != "objects":
            report("C015", (name, "replicas"))
        addresses += [((name, "replicas", n), text) for n, text in enumerate(replicas)]
        for place, address in addresses:
            if item["kind"] == "objects":
                _check_objects(place, address, item, report)
            if address in places:
                report("C013", place, ("also", places[address]), ("location", address))
            places[address] = name


def _check_objects(
    path: tuple[str | int, ...], address: str, item: Mapping[str, Any], report: Report
) -> None:
    """Reports what is no address of an object store, and plain http to another machine."""
    from ssds.objects.address import parse_address

    try:
        found = parse_address(address)
    except InvalidValue:
        report("C014", path, ("found", address))
        return
    plain = found.base.startswith("http://")
    if plain and not (item.get("insecure") and _LOOPBACK.match(found.host)):
        report("C012", path, ("location", address))


def _sites(files: _Files) -> dict[str, Site]:
    sites: dict[str, Site] = {}
    folder = os.path.join(files.root, files.folder, "sites")
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return sites
    for file in names:
        name, dot, end = file.rpartition(".")
        if file.startswith(".") or not dot or end not in ("yaml", "yml"):
            continue
        data, report, _ = files.read(f"sites/{file}", "site", "S")
        if not _SITE_NAME.fullmatch(name) or end != "yaml":
            report("S010", (), ("found", file))
        if data:
            sites[name] = _site(name, data, report)
    return sites


_BAD_BIND = pattern(r"[\x00-\x1f\x7f,]")
_SITE_LISTS = ("include", "exclude", "data", "runtimes", "binds", "hidden", "prefer", "views")


def parse_bind(text: str) -> tuple[str, str, str] | None:
    """Returns source, target and ``ro`` or ``rw``; None where it is no such text."""
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    target, mode = target or source, mode or "rw"
    parts = {*source.split("/")[1:], *target.split("/")[1:]}
    absolute = source.startswith("/") and target.startswith("/")
    if (
        _BAD_BIND.search(text)
        or not absolute
        or mode not in ("ro", "rw")
        or parts & {"", ".", ".."}
    ):
        return None
    return source, target, mode


def _site(name: str, data: Mapping[str, Any], report: Report) -> Site:
    targets: dict[str, str] = {}
    for index, text in enumerate(data.get("binds", ())):
        bind = parse_bind(text)
        if bind is None:
            report("S012", ("binds", index), ("found", text))
        elif targets.setdefault(bind[1], text) != text:
            report("S019", ("binds", index), ("found", text), ("other", targets[bind[1]]))
    if "hook" in data and not _absolute(data["hook"]):
        report("S015", ("hook",), ("found", data["hook"]))
    platforms = tuple(Platform(p) for p in data["platforms"])
    for index, platform in enumerate(platforms):
        if platform.variant and not levels.known(platform.architecture, platform.variant):
            similar = levels.similar(platform.architecture)
            first = near(platform.variant, similar)
            report("S014", ("platforms", index), ("found", platform.variant), first=first)
    for runtime in data.get("runtime_modules", ()):
        if runtime not in data.get("runtimes", Site(name=name).runtimes):
            report("S016", ("runtime_modules", runtime), ("found", runtime))
    given: dict[str, Any] = {key: data[key] for key in data if key not in _SITE_LISTS}
    given |= {key: tuple(data[key]) for key in _SITE_LISTS if key in data}
    if "cvmfs" in data:
        client: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data["cvmfs"].items()
        }
        given["cvmfs"] = CvmfsClient(**client)
    return Site(name=name, **{**given, "platforms": platforms})


def _absolute(path: str) -> bool:
    return path != "/" and path.startswith("/") and plain_relative(path[1:])
