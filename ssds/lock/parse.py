"""From parsed JSON to a lock: strict, every fault collected with its path.

It checks everything that ``schemas/lock.schema.json`` says and more; a test gives the same files to
both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ssds.core.digest import Digest, sha256_of
from ssds.core.errors import InvalidValue
from ssds.core.model import FAIL, OUTPUTS, PASS, Claim
from ssds.core.platform import Platform
from ssds.lock.check import MISSING, Checker, is_page
from ssds.lock.marks import Path, address
from ssds.lock.model import (
    DEFAULT_VARIANT,
    IDENTIFIERS,
    LATEST_KINDS,
    LOCK_VERSION,
    ORIGINS,
    PLACES,
    RELEASE_KINDS,
    AdoptedAbout,
    Adoption,
    CatalogLock,
    IndexRecord,
    LayerRecord,
    Lock,
    PlatformLock,
    ReleaseHalf,
    SifRecord,
    SizedBlob,
    VariantLock,
    Withdrawal,
)
from ssds.lock.parse_pins import platform_pins, shared_pins

NAME = r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
VERSION = r"[A-Za-z0-9][A-Za-z0-9._+~:-]{0,127}"
VARIANT = r"[a-z0-9][a-z0-9._-]{0,63}"
BUILT = r"[0-9]{8}"
WHY = r".{1,500}"
DAY = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
MODULE = rf"{NAME}/{VERSION}"
MODE = r"[a-z][a-z0-9-]*"
OUTPUT = r"[a-z][a-z0-9_-]*(?:/[][A-Za-z0-9_.-]{1,64}){0,3}"

_VERDICTS = {"pass": sha256_of(PASS), "fail": sha256_of(FAIL)}
T = TypeVar("T")


def lock_from_dict(data: object) -> Lock:
    """Returns the lock; raises InvalidValue that names the first fault's path."""
    checker = Checker()
    return _sound(checker, parse_lock(checker, data))


def catalog_lock_from_dict(data: object) -> CatalogLock:
    """Returns the catalog lock; raises InvalidValue that names the first fault's path."""
    checker = Checker()
    return _sound(checker, parse_catalog_lock(checker, data))


def _sound(checker: Checker, value: T) -> T:
    for fault in checker.faults:
        facts = ", ".join(f"{label} {text}" for label, text in fault.facts)
        raise InvalidValue(f"{address(fault.path) or 'the lock'}: {facts}", code=fault.code)
    return value


def known_version(checker: Checker, data: object) -> bool:
    """Whether ``data`` is a lock of a format that this program knows; faults say why not."""
    version = data.get("lock_version") if isinstance(data, dict) else None
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        checker.fault("L010", (), expected='a map with "lock_version"')
        return False
    if version > LOCK_VERSION:
        known = str(LOCK_VERSION)
        checker.fault("L009", ("lock_version",), found=str(version), known=known)
        return False
    return True


def parse_lock(c: Checker, data: object) -> Lock:
    """Returns a lock; ``c.faults`` says whether it may be used."""
    if not known_version(c, data):
        return Lock(name="", version="")
    top = c.map(data, (), required="lock_version name version variants")
    variants = {}
    for name, value in c.any_map(top.get("variants", MISSING), ("variants",)).items():
        path = ("variants", name)
        c.text(name, path, pattern=VARIANT)
        variants["" if name == DEFAULT_VARIANT else name] = _variant(c, value, path)
    return Lock(
        name=c.text(top.get("name", MISSING), ("name",), pattern=NAME),
        version=c.text(top.get("version", MISSING), ("version",), pattern=VERSION),
        variants=variants,
    )


def _variant(c: Checker, value: object, path: Path) -> VariantLock:
    top = c.map(
        value,
        path,
        required="origin platforms",
        optional="revision superseded_revision index metadata identifiers withdrawn",
    )
    origin = c.choice(top.get("origin", MISSING), (*path, "origin"), ORIGINS)
    platforms: dict[Platform, PlatformLock] = {}
    for name, section in c.any_map(top.get("platforms", MISSING), (*path, "platforms")).items():
        at = (*path, "platforms", name)
        platforms[c.platform(name, at)] = _platform(c, section, at, adopted=origin == "adopted")
    identifiers = {
        key: c.text(text, (*path, "identifiers", key))
        for key, text in c.map(
            top.get("identifiers", {}), (*path, "identifiers"), optional=" ".join(IDENTIFIERS)
        ).items()
    }
    index = _index(c, top["index"], (*path, "index")) if "index" in top else None
    revision = c.number(top.get("revision", 0), (*path, "revision"))
    if not c.faults and (index is None) != (revision == 0):
        c.fault("L020", path, revision=str(revision), index="there" if index else "not there")
    for name in index.platforms if index and not c.faults else ():
        if name not in platforms or platforms[name].release is None:
            c.fault("L019", (*path, "index", "platforms", name), platform=name)
    metadata = None
    if "metadata" in top:
        metadata = parse_claim(c, "metadata", top["metadata"], (*path, "metadata"))
    return VariantLock(
        origin=origin,
        revision=revision,
        superseded_revision=c.number(
            top.get("superseded_revision", 0), (*path, "superseded_revision")
        ),
        index=index,
        metadata=metadata,
        identifiers=identifiers,
        platforms=platforms,
        withdrawn=_withdrawn(c, top["withdrawn"], (*path, "withdrawn"))
        if "withdrawn" in top
        else None,
    )


def _withdrawn(c: Checker, value: object, path: Path) -> Withdrawal:
    top = c.map(value, path, required="why since", optional="instead")
    return Withdrawal(
        why=c.text(top.get("why", MISSING), (*path, "why"), pattern=WHY),
        since=c.text(top.get("since", MISSING), (*path, "since"), pattern=DAY),
        instead=c.text(top["instead"], (*path, "instead"), pattern=MODULE)
        if "instead" in top
        else "",
    )


def _index(c: Checker, value: object, path: Path) -> IndexRecord:
    top = c.map(value, path, required="digest size key platforms")
    at = (*path, "platforms")
    return IndexRecord(
        digest=c.digest(top.get("digest", MISSING), (*path, "digest")),
        size_bytes=c.number(top.get("size", MISSING), (*path, "size"), least=1),
        key=c.key(top.get("key", MISSING), (*path, "key")),
        platforms={
            c.platform(name, (*at, name)): c.digest(digest, (*at, name))
            for name, digest in c.any_map(top.get("platforms", MISSING), at).items()
        },
    )


def parse_claim(c: Checker, kind: str, value: object, path: Path) -> Claim:
    """Returns a claim of a lock; it names all outputs of its kind."""
    top = c.map(value, path, required="key outputs", optional="verdict mode emulated impure")
    at = (*path, "outputs")
    outputs: dict[str, Digest] = {}
    for name, digest in c.any_map(top.get("outputs", MISSING), at).items():
        c.text(name, (*at, name), pattern=OUTPUT)
        outputs[name] = c.digest(digest, (*at, name))
    verdict = mode = ""
    if "verdict" in top:
        verdict = c.choice(top["verdict"], (*path, "verdict"), ("pass", "fail"))
    promised = OUTPUTS.get(kind, ())  # an unknown kind has its own fault
    for name in promised:
        if name not in outputs:
            c.fault("L031", at, missing=name)
    if "verdict" in promised:
        wanted = _VERDICTS.get(verdict)
        if outputs.get("verdict") != wanted:
            c.fault("L030", path, verdict=verdict or "none", output=str(outputs.get("verdict")))
    if "mode" in top:
        mode = c.text(top["mode"], (*path, "mode"), pattern=MODE)
    return Claim(
        key=c.key(top.get("key", MISSING), (*path, "key")),
        kind=kind,
        outputs=outputs,
        verdict=verdict,
        mode=mode,
        emulated=c.flag(top.get("emulated", False), (*path, "emulated")),
        impure=c.flag(top.get("impure", False), (*path, "impure")),
        origin="lock",
    )


def _claims(c: Checker, value: object, path: Path, kinds: tuple[str, ...]) -> Mapping[str, Claim]:
    found = c.map(value, path, optional=" ".join(kinds))
    return {kind: parse_claim(c, kind, claim, (*path, kind)) for kind, claim in found.items()}


def _platform(c: Checker, value: object, path: Path, *, adopted: bool) -> PlatformLock:
    top = c.map(value, path, optional="pins release latest adopted")
    at = (*path, "release")
    half = adoption = None
    if adopted:
        for part in ("pins", "latest", "adopted"):
            if part in top:
                c.fault("L026", (*path, part), found=f"{part} of an adopted release")
        if "release" in top:
            adoption = _adoption(c, top["release"], at)
    else:
        if "release" in top:
            release = c.any_map(top["release"], at)
            if "evidence" in release:
                c.fault("L026", (*at, "evidence"), found="an adopted half of a built release")
            else:
                half = _half(c, release, at)
        if "adopted" in top:
            adoption = _adoption(c, top["adopted"], (*path, "adopted"))
    return PlatformLock(
        pins=platform_pins(c, top.get("pins", {}), (*path, "pins")),
        release=half,
        latest=_claims(c, top.get("latest", {}), (*path, "latest"), LATEST_KINDS),
        adopted=adoption,
    )


def _sized(c: Checker, value: object, path: Path) -> SizedBlob:
    top = c.map(value, path, required="digest size")
    return SizedBlob(
        digest=c.digest(top.get("digest", MISSING), (*path, "digest")),
        size_bytes=c.number(top.get("size", MISSING), (*path, "size"), least=1),
    )


def _half(c: Checker, value: Mapping[str, object], path: Path) -> ReleaseHalf:
    top = c.map(
        value, path, required="actions manifest config layers", optional="commands found sif"
    )
    layers = []
    for at, item in c.items(top.get("layers", MISSING), (*path, "layers")):
        entry = c.map(item, at, required="digest size diff_id")
        layers.append(
            LayerRecord(
                digest=c.digest(entry.get("digest", MISSING), (*at, "digest")),
                size_bytes=c.number(entry.get("size", MISSING), (*at, "size"), least=1),
                diff_id=c.digest(entry.get("diff_id", MISSING), (*at, "diff_id")),
            )
        )
    half = ReleaseHalf(
        actions=_claims(c, top.get("actions", MISSING), (*path, "actions"), RELEASE_KINDS),
        manifest=_sized(c, top.get("manifest", MISSING), (*path, "manifest")),
        config=_sized(c, top.get("config", MISSING), (*path, "config")),
        layers=tuple(layers),
        commands=_commands(c, top.get("commands", []), (*path, "commands")),
        found=_commands(c, top.get("found", []), (*path, "found")),
        sif=_sif(c, top["sif"], (*path, "sif")) if "sif" in top else None,
    )
    if not c.faults:
        fits(c, half, path)
    return half


def _sif(c: Checker, value: object, path: Path) -> SifRecord:
    top = c.map(value, path, required="file manifest")
    return SifRecord(
        file=_sized(c, top.get("file", MISSING), (*path, "file")),
        manifest=_sized(c, top.get("manifest", MISSING), (*path, "manifest")),
    )


def fits(c: Checker, half: ReleaseHalf, path: Path) -> None:
    """Compares layers, manifest and config with what the claims say."""
    publish, build = half.actions.get("publish"), half.actions.get("build")
    if publish is not None:
        blobs = _numbered(publish.outputs, "blob/")
        if blobs and blobs != [layer.digest for layer in half.layers]:
            c.fault("L018", (*path, "layers"), layers=str(len(half.layers)), blobs=str(len(blobs)))
        if publish.outputs.get("manifest", half.manifest.digest) != half.manifest.digest:
            c.fault("L018", (*path, "manifest"), publish=str(publish.outputs["manifest"]))
    if build is not None:
        if build.outputs.get("config", half.config.digest) != half.config.digest:
            c.fault("L018", (*path, "config"), build=str(build.outputs["config"]))
        own = _numbered(build.outputs, "layer/")
        diff_ids = [layer.diff_id for layer in half.layers]
        if own and not set(own) <= set(diff_ids):
            c.fault("L018", (*path, "layers"), found="a build's layer is not among them")
    made = half.actions.get("sif")
    told = tuple(made.outputs.get(name) for name in OUTPUTS["sif"]) if made else ()
    if told != ((half.sif.file.digest, half.sif.manifest.digest) if half.sif else ()):
        c.fault("L018", (*path, "sif"), found="not what the sif action gave")


def _numbered(outputs: Mapping[str, Digest], prefix: str) -> list[Digest]:
    names = [n for n in outputs if n.startswith(prefix) and n[len(prefix) :].isdecimal()]
    return [outputs[name] for name in sorted(names, key=lambda n: int(n[len(prefix) :]))]


def _commands(c: Checker, value: object, path: Path) -> tuple[str, ...]:
    found = [c.command(item, at) for at, item in c.items(value, path)]
    names = [command.rsplit("/", 1)[-1] for command in found]
    for number, name in enumerate(names):
        if name in names[:number]:
            c.fault("L025", (*path, number), found=f"{name} appears twice")
    return tuple(sorted(found))


def _adoption(c: Checker, value: object, path: Path) -> Adoption:
    top = c.map(value, path, required="evidence digest locations", optional="commands about")
    c.choice(top.get("evidence", MISSING), (*path, "evidence"), ("none",))
    at = (*path, "locations")
    locations = tuple(_place(c, v, p) for p, v in c.items(top.get("locations", MISSING), at))
    if top.get("locations") == []:
        c.fault("L014", at, found="no place", expected="one place or more")
    return Adoption(
        digest=c.digest(top.get("digest", MISSING), (*path, "digest"), ""),
        locations=locations,
        commands=_commands(c, top.get("commands", []), (*path, "commands")),
        about=_about(c, top.get("about", {}), (*path, "about")),
    )


def _place(c: Checker, value: object, path: Path) -> str:
    """Returns an address, or a path that leads nowhere but down."""
    text = c.text(value, path)
    if text.startswith("/") and {".", ".."} & set(text.split("/")):
        c.fault("L014", path, found=repr(text[:80]), expected="a path without . and ..")
    return text


def _page(c: Checker, value: object, path: Path) -> str:
    """Returns an entry of ``webapps.json``: a JSON object, as text."""
    text = c.text(value, path)
    if text and not is_page(text):
        c.fault("L014", path, found=repr(text[:80]), expected="a JSON object that can be listed")
        return ""
    return text


def _about(c: Checker, value: object, path: Path) -> AdoptedAbout:
    top = c.map(value, path, optional="built categories applications arguments hidden webapp")

    def texts(key: str) -> tuple[str, ...]:
        return tuple(c.text(v, at) for at, v in c.items(top.get(key, []), (*path, key)))

    applications = []
    for at, item in c.items(top.get("applications", []), (*path, "applications")):
        entry = c.map(item, at, required="name command")
        name = c.text(entry.get("name", MISSING), (*at, "name"))
        applications.append((name, c.text(entry.get("command", MISSING), (*at, "command"))))
    hidden = [
        c.choice(v, at, PLACES) for at, v in c.items(top.get("hidden", []), (*path, "hidden"))
    ]
    at = (*path, "built")
    return AdoptedAbout(
        built=c.text(top["built"], at, pattern=BUILT) if "built" in top else "",
        categories=texts("categories"),
        applications=tuple(applications),
        arguments=texts("arguments"),
        hidden=tuple(hidden),
        webapp=_page(c, top["webapp"], (*path, "webapp")) if "webapp" in top else "",
    )


def parse_catalog_lock(c: Checker, data: object) -> CatalogLock:
    """Returns the catalog lock; ``c.faults`` says whether it may be used."""
    if not known_version(c, data):
        return CatalogLock()
    return CatalogLock(pins=shared_pins(c, data))
