"""Settings: environment, then the workspace's ssds.yaml, then the user's file, then defaults.

The first one that names a setting wins; ``mirrors`` and ``images`` are joined one by one. Every
file is schema-checked (``schemas/settings.schema.json``). A workspace comes from others, so it
cannot switch the sandbox off (C17).
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ssds.core.diagnostics import Collector, Span
from ssds.core.errors import InvalidValue, UsageError
from ssds.core.patterns import pattern
from ssds.core.platform import Platform
from ssds.core.records import dataclass, field
from ssds.recipe.address import Path
from ssds.recipe.codes import diagnostic
from ssds.recipe.formats.scope import Report
from ssds.recipe.schema import schema
from ssds.recipe.shared import plain_relative
from ssds.recipe.yamlmarks import lies_in, load, read_file

if TYPE_CHECKING:
    from ssds.recipe.cache_settings import CacheSetting

SETTINGS_FILE = "ssds.yaml"
_MIRROR = pattern(r"(?:https?://[^\s/]+|file://)(?:/[^\s]*)?")
BUILDERS = ("embedded", "docker", "buildah")
"""Those of ``builders.NAMES``; that room is not needed to read settings."""
_SANDBOXES = ("auto", "identity", "subuid", "trusted")

SIGNING_VARIABLE = "SSDS_SIGNING_KEY"
ENVIRONMENT = {
    "SSDS_STORE": "store.path",
    "SSDS_SANDBOX": "sandbox",
    "SSDS_JOBS": "jobs",
    "SSDS_PROXY": "proxy",
    "SSDS_CA_BUNDLE": "ca_bundle",
    "SSDS_PLATFORMS": "platforms",
    "SSDS_BUILDER": "builder",
}
"""Environment variable → setting. ``SSDS_MIRROR_DEBIAN`` and the like set ``mirrors``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSetting:
    """Whom a person or a workspace trusts.

    Attributes:
        keys: name → the absolute path of a public key.
        sign: the address of the key that signs (``ssds.trust.open``), or the empty string.
        signed_advisories: only advisory sets that one of the keys signed are imported.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    sign: str = ""
    signed_advisories: bool = False

    def over(self, below: TrustSetting) -> TrustSetting:
        """Returns this where it says something, else what ``below`` says."""
        return TrustSetting(
            keys=self.keys or below.keys,
            sign=self.sign or below.sign,
            signed_advisories=self.signed_advisories or below.signed_advisories,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a person or a workspace chose.

    Attributes:
        catalog: the folder of our own recipes, relative to the workspace.
        checkouts: other format (``homes.FORMATS``) → its checkout, relative or absolute.
        store_path: the store's folder, absolute.
        sandbox: ``auto``, ``identity``, ``subuid`` or ``trusted`` (C17).
        mirrors: archive (``debian``, ``pypi``) → addresses, best first.
        upstream: beginning of an upstream address → what is tried in its place first.
        images: beginning of an image's full name → a layout (``oci:PATH``) or registry.
        proxy: address of a web proxy, or the empty string for the environment's.
        ca_bundle: absolute path of a file of certificates, or the empty string.
        jobs: how many nodes run at once; 0 means one per core.
        platforms: those that are looked at when none is named; empty means every one.
        builder: who runs build steps: ``embedded``, ``docker`` or ``buildah``.
        runners: platform → labels of the CI runners that build for it.
        caches: remote caches, in the order in which they are asked.
        signed_caches: the names of those of which only signed claims count; they hold for claims
            that came before, too, so they stay where the caches are not asked.
        trust: whose signatures count, and the key that signs.
        files: the files that were read, nearest first.
    """

    catalog: str = "catalog"
    checkouts: Mapping[str, str] = field(default_factory=dict)
    store_path: str = ""
    sandbox: str = "auto"
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    upstream: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    proxy: str = ""
    ca_bundle: str = ""
    jobs: int = 0
    platforms: tuple[Platform, ...] = ()
    builder: str = "embedded"
    runners: Mapping[Platform, tuple[str, ...]] = field(default_factory=dict)
    caches: tuple[CacheSetting, ...] = ()
    signed_caches: frozenset[str] = frozenset()
    trust: TrustSetting = field(default_factory=TrustSetting)
    files: tuple[str, ...] = ()


def user_file(environment: Mapping[str, str]) -> str:
    """Returns the path of the user's settings: ``$XDG_CONFIG_HOME/ssds/settings.yaml``.

    ``SSDS_USER_SETTINGS`` names another file; the null device stands for none.
    """
    if environment.get("SSDS_USER_SETTINGS"):
        return environment["SSDS_USER_SETTINGS"]
    folder = environment.get("XDG_CONFIG_HOME", "")
    if not folder.startswith("/"):
        folder = os.path.join(_home(environment), ".config")
    return os.path.join(folder, "ssds", "settings.yaml")


def default_store(environment: Mapping[str, str]) -> str:
    """Returns ``$XDG_DATA_HOME/ssds/store``: the store is per user by default (C21)."""
    folder = environment.get("XDG_DATA_HOME", "")
    if not folder.startswith("/"):
        folder = os.path.join(_home(environment), ".local", "share")
    return os.path.join(folder, "ssds", "store")


def _home(environment: Mapping[str, str]) -> str:
    return environment.get("HOME", "") or os.path.expanduser("~")


def find_root(start: str) -> str:
    """Returns the nearest folder at or above ``start`` that has ssds.yaml.

    Raises:
        UsageError: there is none.
    """
    folder = os.path.abspath(start)
    while True:
        if is_workspace(folder):
            return folder
        above = os.path.dirname(folder)
        if above == folder:
            raise UsageError(
                f"{os.path.abspath(start)} is not in a workspace: there is no {SETTINGS_FILE}",
                hint="`ssds init` makes one here; `ssds -C DIR …` works in another folder.",
                code="E031",
            )
        folder = above


def is_workspace(folder: str) -> bool:
    """Whether ``folder`` itself is a workspace."""
    return os.path.isfile(os.path.join(folder, SETTINGS_FILE))


def is_fetched_state(folder: str, state: str) -> bool:
    """Whether ``ssds tuf refresh`` made the folder: its ``state`` lies beside the trees."""
    trees = os.path.dirname(folder)
    above = os.path.dirname(trees)
    return (
        os.path.basename(trees) == "trees"
        and os.path.isdir(os.path.join(above, ".tuf"))
        and os.path.realpath(os.path.join(folder, state)) == os.path.join(above, state)
    )


def read_settings(
    workspace: str, environment: Mapping[str, str], collector: Collector | None = None
) -> Settings:
    """Returns the settings that hold in ``workspace``.

    Raises:
        InputError: without a collector, when any file or variable is wrong; all are named.
    """
    own = Collector() if collector is None else collector
    values: dict[str, Any] = {}
    mirrors: dict[str, tuple[str, ...]] = {}
    images: dict[str, str] = {}
    trust = TrustSetting(sign=environment.get(SIGNING_VARIABLE, ""))
    files: list[str] = []
    home = user_file(environment)
    for path, shown, base in (
        (home, home, os.path.dirname(home)),
        (os.path.join(workspace, SETTINGS_FILE), SETTINGS_FILE, workspace),
    ):
        if path == os.devnull or not os.path.lexists(path):
            continue
        if base == workspace and not lies_in(workspace, path):
            reason = ("reason", "a link out of the workspace")
            own.add(diagnostic("Y001", Span(path=shown), facts=(reason,)))
            continue
        files.insert(0, path)
        found = _read_file(path, shown, base, own, _home(environment))
        mirrors.update(found.pop("mirrors", {}))
        images.update(found.pop("images", {}))
        trust = trust.over(found.pop("trust", TrustSetting()))  # a person's own counts first
        values.update(found)
    found = _read_environment(environment, own)
    mirrors.update(found.pop("mirrors", {}))
    values.update(found)
    values.setdefault("store_path", default_store(environment))
    if collector is None:
        own.raise_if_failed()
    signed = frozenset(one.name for one in values.get("caches", ()) if one.trust == "signed")
    values |= {"mirrors": mirrors, "images": images, "signed_caches": signed}
    return Settings(**values, trust=trust, files=tuple(files))


def _read_file(path: str, shown: str, base: str, collector: Collector, home: str) -> dict[str, Any]:
    """Returns the checked values of one file, paths made absolute."""
    data = read_file(path, shown, collector)
    if data is None or not data.strip():
        return {}
    document = load(data, shown, collector)
    value = schema("settings", "W").check(document, collector) if document.usable else None
    report = Report(document, collector)
    values: dict[str, Any] = {}
    for key, item in (value or {}).items():
        if key == "store":
            if "path" in item:
                values["store_path"] = _absolute(item["path"], base, home)
        elif key == "mirrors":
            values["mirrors"] = {n: _addresses(a, ("mirrors", n), report) for n, a in item.items()}
        elif key in ("upstream", "images"):
            check = functools.partial(_images, base, home) if key == "images" else _upstream
            values[key] = check(item, report)
        elif key == "ca_bundle":
            values[key] = _absolute(item, base, home)
            if not os.path.isfile(values[key]):
                report("W013", (key,), ("found", values[key]))
        elif key in ("platforms", "runners"):
            values[key] = _by_platform(item)
        elif key in ("cache", "trust"):
            from ssds.recipe.cache_settings import caches
            from ssds.recipe.trust_settings import trust_setting

            name, read = ("caches", caches) if key == "cache" else (key, trust_setting)
            values[name] = read(item, lambda text: _absolute(text, base, home), report)
        elif key == "catalog" and isinstance(item, dict):
            named = {f: _absolute(top, base, home) for f, top in item.items() if f != "ssds"}
            values["checkouts"] = {f: _shown(top, base) for f, top in named.items()}
            if "ssds" in item:
                values[key] = item["ssds"]
        else:
            values[key] = item
            if key == "proxy":
                _addresses([item], (key,), report)
    if shown == SETTINGS_FILE and values.get("sandbox") == "trusted":
        report("W010", ("sandbox",))
    if not plain_relative(values.get("catalog", "catalog")):
        place = ("catalog", "ssds") if "checkouts" in values else ("catalog",)
        report("W015", place, ("found", values["catalog"]))
        del values["catalog"]
    return values


def _by_platform(item: Any) -> Any:
    """Returns a list of platforms, or a map from platforms to labels of runners."""
    if isinstance(item, list):
        return tuple(Platform(p) for p in item)
    return {Platform(p): (t,) if isinstance(t, str) else tuple(t) for p, t in item.items()}


def _upstream(item: Mapping[str, str], report: Report) -> Mapping[str, str]:
    """Returns the upstream prefixes, where each leads checked."""
    for prefix, to in item.items():
        _addresses([to], ("upstream", prefix), report)
    return item


def _images(base: str, home: str, item: Mapping[str, str], report: Report) -> Mapping[str, str]:
    """Returns the source map of images, layouts' paths made absolute."""
    from ssds.oci.image_map import check_prefix, check_source, layout_path

    for prefix, to in item.items():
        why = check_prefix(prefix)
        if why:
            report("W017", ("images", prefix), ("found", prefix), ("reason", why), key=True)
        why = check_source(to)
        if why:
            report("W018", ("images", prefix), ("found", to), ("reason", why))
    return {prefix: layout_path(to, base, home) for prefix, to in item.items()}


def _absolute(text: str, base: str, home: str) -> str:
    if text == "~" or text.startswith("~/"):
        text = home + text[1:]
    return os.path.normpath(os.path.join(base, text))


def _shown(path: str, base: str) -> str:
    """Returns a path relative to ``base`` where it lies below it."""
    return path.removeprefix(base.rstrip("/") + "/")


def _addresses(value: Any, path: Path, report: Report) -> tuple[str, ...]:
    addresses = [value] if isinstance(value, str) else value
    for index, address in enumerate(addresses):
        place = path if isinstance(value, str) or path[0] != "mirrors" else (*path, index)
        if not _MIRROR.fullmatch(address):
            report("W012", place, ("found", address))
        elif report.document.path == SETTINGS_FILE and "@" in address.split("/")[2]:
            report("W016", place)
    return tuple(address.rstrip("/") for address in addresses)


def _read_environment(environment: Mapping[str, str], collector: Collector) -> dict[str, Any]:
    """Returns the checked values of the SSDS_ variables."""
    values: dict[str, Any] = {}
    mirrors: dict[str, tuple[str, ...]] = {}

    for name, text in environment.items():
        if not text or not name.startswith("SSDS_"):
            continue
        why = ""
        key = ENVIRONMENT.get(name, "")
        if name.startswith("SSDS_MIRROR_"):
            archive = name.removeprefix("SSDS_MIRROR_").lower().replace("_", "-")
            mirrors[archive] = tuple(a.rstrip("/") for a in text.split())
            why = "" if all(map(_MIRROR.fullmatch, text.split())) else "not an address of a mirror"
        elif key:
            why, value = _variable(key, text)
            values["store_path" if key == "store.path" else key] = value
        if why:
            facts = (("variable", name), ("found", text), ("reason", why))
            collector.add(diagnostic("W011", Span(path="environment"), name, facts))
    values["mirrors"] = mirrors
    return values


def _variable(key: str, text: str) -> tuple[str, Any]:
    """Returns why the text is wrong for the setting, or the empty string; and its value."""
    if key in {"store.path", "ca_bundle"}:
        why = "" if text.startswith("/") else "not an absolute path"
        if key == "ca_bundle" and not os.path.isfile(text):
            why = "no such file"
        return why, text
    if key == "sandbox":
        return "" if text in _SANDBOXES else f"one of {', '.join(_SANDBOXES)} is wanted", text
    if key == "builder":
        return "" if text in BUILDERS else f"one of {', '.join(BUILDERS)} is wanted", text
    if key == "jobs":
        good = re.fullmatch(r"[1-9][0-9]{0,2}", text, re.ASCII) and int(text) <= 256
        return ("", int(text)) if good else ("a number from 1 to 256 is wanted", 0)
    if key == "platforms":
        try:
            return "", tuple(Platform(p) for p in text.replace(",", " ").split())
        except InvalidValue as error:
            return error.message, ()
    if key == "proxy":
        return "" if _MIRROR.fullmatch(text) else "not an address", text
    return "", text
