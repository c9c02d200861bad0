"""Lock files: round trip, one text, bad inputs, updates, merges, differences."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssds.core.diagnostics import Collector
from ssds.core.digest import ActionKey, Digest, sha256_of
from ssds.core.errors import InputError, InvalidValue, Refused
from ssds.core.model import FAIL, OUTPUTS, PASS, Claim, NodeId, ReleaseName
from ssds.core.pins import (
    AdvisoryPin,
    BasePin,
    GitPlace,
    PackageSet,
    PinnedFile,
    PinnedPackage,
    PlatformPins,
    RecipePin,
    SharedPins,
    SourcePin,
)
from ssds.core.platform import Platform
from ssds.lock import diff as lock_diff
from ssds.lock.codes import CODES
from ssds.lock.make import Found, make_variant
from ssds.lock.merge import merge, merge_catalog, merge_driver
from ssds.lock.model import (
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
    blocked,
    releasable,
)
from ssds.lock.parse import catalog_lock_from_dict, lock_from_dict
from ssds.lock.read import parse_catalog_lock_bytes, parse_lock_bytes, read_lock, read_locks
from ssds.lock.schema import CATALOG_LOCK, LOCK, schema_faults
from ssds.lock.write import (
    catalog_lock_bytes,
    catalog_lock_to_dict,
    lock_bytes,
    lock_to_dict,
    update_lock,
    with_platform,
    with_variant,
)
from ssds.oci.types import descriptor_of, manifest_bytes
from ssds.sif.artefact import SIF_CONFIG, SIF_LAYER

VERDICTS = {"pass": sha256_of(PASS), "fail": sha256_of(FAIL)}
AMD, ARM = Platform("linux/amd64"), Platform("linux/arm64")
NAME = ReleaseName("samtools", "1.16.1")


def digest(text: str) -> Digest:
    return sha256_of(text.encode())


def key(text: str) -> ActionKey:
    return ActionKey("blake3:" + digest(text).hex)


def claim(kind: str, text: str, **more: object) -> Claim:
    outputs = {name: digest(text) for name in ("report", *OUTPUTS[kind])}
    if "verdict" in outputs:
        verdict = str(more.setdefault("verdict", "pass"))
        outputs["verdict"] = VERDICTS[verdict]
    return replace(Claim(key=key(text), kind=kind, outputs=outputs, origin="lock"), **more)  # type: ignore[arg-type]


def half(text: str) -> ReleaseHalf:
    layers = (LayerRecord(digest=digest(text + "z"), size_bytes=10, diff_id=digest(text + "t")),)
    config, manifest = digest(text + "c"), digest(text + "m")
    return ReleaseHalf(
        actions={
            "build": replace(
                claim("build", text),
                outputs={"config": config, "layer/0": layers[0].diff_id},
                mode="identity",
            ),
            "publish": replace(
                claim("publish", text), outputs={"manifest": manifest, "blob/0": layers[0].digest}
            ),
            "sif": replace(
                claim("sif", text), outputs={"sif": digest(text + "s"), "manifest": digest(text)}
            ),
        },
        manifest=SizedBlob(digest=manifest, size_bytes=400),
        config=SizedBlob(digest=config, size_bytes=300),
        layers=layers,
        commands=("/opt/x/bin/wgsim", "samtools"),
        sif=SifRecord(
            file=SizedBlob(digest=digest(text + "s"), size_bytes=4096),
            manifest=SizedBlob(digest=digest(text), size_bytes=500),
        ),
    )


def package(name: str, version: str = "1.0-1") -> PinnedPackage:
    return PinnedPackage(
        name=name,
        version=version,
        architecture="amd64",
        file=PinnedFile(
            name=f"{name}_{version}_amd64.deb",
            digest=digest(name + version),
            size_bytes=12,
            archive="debian",
            path=f"pool/main/{name}_{version}_amd64.deb",
        ),
    )


def pins() -> PlatformPins:
    return PlatformPins(
        base="debian-12@20260101",
        advisories="debian-12@2026-11-20",
        epoch=1767225600,
        sources={
            "archive": SourcePin(
                request=Digest(key("s")),
                file=PinnedFile(
                    name="a.tar.gz", digest=digest("a"), urls=("https://example.org/a",)
                ),
            ),
            "code": SourcePin(
                request=Digest(key("c")),
                file=PinnedFile(
                    name="c-v1.tar", digest=digest("c"), urls=("https://example.org/c.git",)
                ),
                git=GitPlace(commit="1" * 40, tree="2" * 64, folder="src", empty_submodules=True),
            ),
        },
        packages={
            "build/0": PackageSet(
                manager="apt",
                request=Digest(key("p")),
                epoch=5,
                packages=(package("bwa"), package("samtools")),
            )
        },
        recipes={"htslib": RecipePin(request=Digest(key("r")), version="1.16+ds")},
    )


def with_index(
    lock: Lock,
    release: ReleaseName,
    *,
    index: IndexRecord | None = None,
    metadata: Claim | None = None,
) -> Lock:
    variant = lock.variant(release)
    variant = variant.with_index(index) if index else variant
    return with_variant(lock, release, replace(variant, metadata=metadata or variant.metadata))


def write_platform(
    path: str, *, guard: str, release: ReleaseName, platform: Platform, **parts: Any
) -> bool:
    return update_lock(
        path,
        guard=guard,
        name=release.name,
        version=release.version,
        change=lambda lock: with_platform(lock, release, platform, **parts),
    )


def full_lock() -> Lock:
    section = PlatformLock(
        pins=pins(), release=half("x"), latest={"test": claim("test", "t", verdict="pass")}
    )
    lock = Lock(name="samtools", version="1.16.1")
    lock = replace(lock, variants={"": VariantLock(platforms={AMD: section})})
    index = IndexRecord(
        digest=digest("i"), size_bytes=9, key=key("i"), platforms={AMD: half("x").manifest.digest}
    )
    return with_index(lock, NAME, index=index, metadata=metadata())


def metadata() -> Claim:
    return replace(claim("metadata", "md"), outputs={"metadata": digest("md")})


def catalog_lock() -> CatalogLock:
    base = BasePin(
        name="debian-12",
        date="20260101",
        request=Digest(key("b")),
        packages=PackageSet(manager="apt", request=Digest(key("b")), packages=(package("apt"),)),
        epoch=7,
        diff_id=digest("layer"),
    )
    found = AdvisoryPin(
        name="debian-12",
        date="2026-11-20",
        digest=digest("adv"),
        size_bytes=3,
        path="catalog/a.json",
    )
    shared = SharedPins(
        bases={(base.identity, AMD): base, (base.identity, ARM): replace(base, diff_id=None)},
        advisories={"debian-12@2026-11-20": found},
        current={"debian-12": base.identity, "advisories/debian-12": "debian-12@2026-11-20"},
    )
    return CatalogLock(pins=shared)


def test_a_lock_survives_the_round_trip_and_its_schema() -> None:
    data = json.loads(lock_bytes(full_lock()))
    assert lock_from_dict(data) == replace(full_lock())
    assert data == lock_to_dict(full_lock())
    assert schema_faults(LOCK, data) == []


def test_the_catalog_lock_survives_the_round_trip_and_its_schema() -> None:
    data = json.loads(catalog_lock_bytes(catalog_lock()))
    assert catalog_lock_from_dict(data) == catalog_lock()
    assert data == catalog_lock_to_dict(catalog_lock())
    assert schema_faults(CATALOG_LOCK, data) == []


def test_each_package_stands_on_one_line() -> None:
    text = lock_bytes(full_lock()).decode()
    assert sum('"name": "bwa"' in line for line in text.splitlines()) == 1
    line = next(line for line in text.splitlines() if '"name": "bwa"' in line)
    assert line.strip().startswith('{"name": "bwa", "version": "1.0-1"')
    assert '"sha256"' in line


def test_any_layout_of_the_json_gives_the_same_lock_and_bytes() -> None:
    data = json.loads(lock_bytes(full_lock()))
    shuffled = json.dumps(dict(reversed(data.items())), indent=7).encode()
    lock = parse_lock_bytes(shuffled, "samtools@1.16.1.lock.json", Collector())
    assert lock is not None
    assert lock_bytes(lock) == lock_bytes(full_lock())


# -- laws ----------------------------------------------------------------------------------------

hexes = st.text("0123456789abcdef", min_size=64, max_size=64)
digests = hexes.map(lambda h: Digest("sha256:" + h))
keys = hexes.map(lambda h: ActionKey("blake3:" + h))
words = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
sizes = st.integers(1, 2**40)


@st.composite
def files(draw: st.DrawFn) -> PinnedFile:
    name = draw(words) + draw(st.sampled_from([".deb", "_1%3a2.tar.gz", " ü.whl"]))
    path = draw(st.sampled_from(["", f"pool/{name}", "pool/other"]))
    return PinnedFile(
        name=name,
        digest=draw(digests),
        size_bytes=draw(st.integers(0, 2**40)),
        archive=draw(st.sampled_from(["", "debian", "pypi"])),
        path=path,
        urls=tuple(draw(st.lists(st.just("https://example.org/x"), max_size=2))),
    )


@st.composite
def sets(draw: st.DrawFn) -> PackageSet:
    names = sorted(draw(st.sets(words, max_size=4)))
    found = [
        PinnedPackage(name=n, version=draw(words), architecture="amd64", file=draw(files()))
        for n in names
    ]
    return PackageSet(
        manager=draw(st.sampled_from(["apt", "pip"])),
        request=Digest(draw(keys)),
        packages=tuple(found),
        epoch=draw(st.integers(0, 2**33)),
    )


claims_of = st.builds(
    Claim,
    key=keys,
    kind=st.just("test"),
    outputs=st.dictionaries(words, digests, max_size=3),
    verdict=st.sampled_from(["pass", "fail"]),
    mode=st.sampled_from(["", "identity"]),
    emulated=st.booleans(),
    impure=st.booleans(),
    origin=st.just("lock"),
).map(lambda c: replace(c, outputs={**c.outputs, "verdict": VERDICTS[c.verdict]}))
platform_pins = st.builds(
    PlatformPins,
    base=st.sampled_from(["", "debian-12@20260101"]),
    sources=st.dictionaries(words, st.builds(SourcePin, request=keys.map(Digest), file=files())),
    packages=st.dictionaries(st.sampled_from(["build/0", "build/12"]), sets()),
    recipes=st.dictionaries(
        st.sampled_from(["htslib", "a.b-c"]),
        st.builds(
            RecipePin, request=keys.map(Digest), version=st.sampled_from(["1.0", "2~rc1", "1:3"])
        ),
    ),
    epoch=st.integers(0, 2**33),
)
sections = st.builds(
    PlatformLock,
    pins=platform_pins,
    release=st.none()
    | st.builds(half, words).map(lambda h: replace(h, commands=("a", "b"), found=("c",))),
    latest=claims_of.map(lambda c: {"test": c}) | st.just({}),
)
variants = st.builds(
    VariantLock,
    superseded_revision=st.integers(0, 9),
    identifiers=st.dictionaries(st.sampled_from(["swhid", "rrid"]), words),
    platforms=st.dictionaries(st.sampled_from([AMD, ARM]), sections),
    withdrawn=st.none()
    | st.builds(
        Withdrawal,
        why=words,
        since=st.dates().map(str),
        instead=st.sampled_from(["", "samtools/1.2-mpi", "a.b/1:3~rc1"]),
    ),
)
locks = st.builds(
    Lock,
    name=words,
    version=words,
    variants=st.dictionaries(st.sampled_from(["", "mpi"]), variants),
)


@settings(max_examples=60, deadline=None)
@given(locks)
def test_from_dict_of_to_dict_is_the_same_lock(lock: Lock) -> None:
    data = json.loads(lock_bytes(lock))
    assert lock_from_dict(data) == lock
    assert lock_bytes(lock_from_dict(data)) == lock_bytes(lock)
    assert schema_faults(LOCK, data) == []


@settings(max_examples=40, deadline=None)
@given(locks, locks)
def test_merging_with_an_unchanged_side_gives_the_other(base: Lock, changed: Lock) -> None:
    changed = replace(changed, name=base.name, version=base.version)
    assert merge(base, base, base) == base
    if all(set(base.variants) <= set(x.variants) for x in (base, changed)):
        one, other = merge(base, base, changed), merge(base, changed, base)
        assert one.variants.keys() == other.variants.keys()
        for name, variant in changed.variants.items():
            for merged in (one, other):
                assert merged.variants[name].platforms == variant.platforms


# -- bad inputs ----------------------------------------------------------------------------------

GOOD = lock_bytes(full_lock()).decode()
PLATFORM = '"linux/amd64": {'


def edited(old: str, new: str, count: int = 1) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new, count).encode()


D = "sha256:" + "0" * 64
BAD = [
    ("L003", b'{"a": "\xff"}', 1, 8),
    ("L003", b"\xef\xbb\xbf{}", 1, 1),
    ("L004", b"", 1, 1),
    ("L004", GOOD.encode()[:400], None, None),
    ("L004", b"{'a': 1}", 1, 2),
    ("L004", GOOD.encode() + b"x", None, None),
    ("L004", b'{"a": 1,}', None, None),
    ("L005", edited('"name": "samtools"', '"name": "x",\n "name": "samtools"'), None, None),
    ("L006", edited('"revision": 1', '"revision": 1.0'), None, None),
    ("L006", edited('"revision": 1', '"revision": NaN'), None, None),
    ("L006", edited('"revision": 1', '"revision": -Infinity'), None, None),
    ("L006", edited('"revision": 1', '"revision": null'), None, None),
    ("L006", edited('"revision": 1', '"revision": 1e400'), None, None),
    ("L007", b"[" * 100_000, None, None),
    ("L007", b'{"a":' * 3000 + b"1" + b"}" * 3000, None, None),
    ("L008", edited('"revision": 1', '"revision": ' + "9" * 5000), None, None),
    ("L008", edited('"revision": 1', '"revision": 9223372036854775808'), None, None),
    ("L009", edited('"lock_version": 1', '"lock_version": 2'), 2, 2),
    ("L010", b"null", 1, 1),
    ("L010", b"[]", 1, 1),
    ("L010", b'{"lock_version": true}', 1, 1),
    ("L010", b"{}", 1, 1),
    ("L011", edited('"revision": 1', '"rivision": 1, "revision": 1'), None, None),
    ("L012", edited('"origin": "built",\n', ""), None, None),
    ("L012", b'{"lock_version": 1}', 1, 1),
    ("L013", edited('"revision": 1', '"revision": "1"'), None, None),
    ("L013", edited('"revision": 1', '"revision": true'), None, None),
    ("L013", edited('"platforms": {', '"platforms": [], "x": {'), None, None),
    ("L014", edited('"origin": "built"', '"origin": "found"'), None, None),
    ("L014", edited('"name": "samtools"', '"name": "Sam Tools"'), None, None),
    ("L014", edited('"name": "samtools"', '"name": "sam\\u0000"'), None, None),
    ("L014", edited('"name": "samtools"', '"name": "\\ud800"'), None, None),
    ("L014", edited('"revision": 1', '"revision": -1'), None, None),
    ("L014", edited("https://example.org/a", "file:///etc/passwd"), None, None),
    ("L011", edited('"version": "1.16+ds"', '"version": "1.16", "range": ">=1"'), None, None),
    ("L012", edited(',\n        "version": "1.16+ds"', ""), None, None),
    ("L013", edited('"htslib": {', '"htslib": [], "x": {'), None, None),
    ("L014", edited('"version": "1.16+ds"', '"version": ">=1.16"'), None, None),
    ("L014", edited('"version": "1.16+ds"', '"version": "../../x"'), None, None),
    ("L014", edited('"htslib": {', '"../htslib": {'), None, None),
    ("L015", edited("sha256:", "sha512:"), None, None),
    ("L015", edited("blake3:", "blake2:"), None, None),
    ("L015", edited('"sha256": "', '"sha256": "X'), None, None),
    ("L016", edited('"version": "1.16.1"', '"version": "1.16.2"'), None, None),
    ("L017", GOOD.replace("linux/amd64", "windows/amd64").encode(), None, None),
    ("L018", edited(half("x").layers[0].digest, D), None, None),
    ("L018", edited('"layer/0": "' + half("x").layers[0].diff_id, '"layer/0": "' + D), None, None),
    ("L018", edited('"sif": "' + digest("xs"), '"sif": "' + D), None, None),
    ("L019", edited('"linux/amd64": "sha', '"linux/arm64": "sha'), None, None),
    ("L020", edited('"revision": 1', '"revision": 0'), None, None),
    ("L021", b"<<<<<<< ours\n" + GOOD.encode(), 1, 1),
    ("L021", edited(' "name"', '=======\n "name"'), None, None),
    ("L024", edited('"name": "a.tar.gz"', '"name": "../a.tar.gz"'), None, None),
    ("L024", edited('"pool/main/bwa', '"pool/../../bwa'), None, None),
    ("L024", edited('"pool/main/bwa', '"/pool/main/bwa'), None, None),
    ("L025", edited('"/opt/x/bin/wgsim"', '"/opt/../bin/wgsim"'), None, None),
    ("L025", edited('"/opt/x/bin/wgsim"', '"rm -rf"'), None, None),
    ("L025", edited('"/opt/x/bin/wgsim"', '"-x"'), None, None),
    ("L025", edited('"/opt/x/bin/wgsim"', '"/opt/samtools"'), None, None),
    ("L026", edited('"origin": "built"', '"origin": "adopted"'), None, None),
    ("L026", edited('"manifest": {', '"evidence": "none", "manifest": {'), None, None),
    (
        "L031",
        edited(f'"verdict": "{VERDICTS["pass"]}"', f'"other": "{VERDICTS["pass"]}"'),
        None,
        None,
    ),
    ("L031", edited('"config": "sha', '"other": "sha'), None, None),
    ("L030", edited('"verdict": "pass"', '"verdict": "fail"'), None, None),
    ("L030", edited(VERDICTS["pass"], VERDICTS["fail"]), None, None),
    ("L028", edited('"name": "samtools", "version"', '"name": "bwa", "version"'), None, None),
]


@pytest.mark.parametrize(("code", "data", "line", "column"), BAD)
def test_a_bad_lock_gives_its_code_and_place(
    code: str, data: bytes, line: int | None, column: int | None
) -> None:
    collector = Collector()
    assert parse_lock_bytes(data, "lockfiles/samtools@1.16.1.lock.json", collector) is None
    found = [d for d in collector if d.code == code]
    assert found, [d.render() for d in collector]
    assert found[0].span.line >= 1
    assert found[0].span.column >= 1
    assert line is None or (found[0].span.line, found[0].span.column) == (line, column)
    assert found[0].hint
    assert found[0].summary == CODES[code][0]


def test_the_place_is_the_line_of_the_wrong_value() -> None:
    data = edited('"revision": 1', '"revision": "one"')
    line = data.decode()[: data.decode().index('"revision": "one"')].count("\n") + 1
    collector = Collector()
    parse_lock_bytes(data, "samtools@1.16.1.lock.json", collector)
    assert next(iter(collector)).span.line == line


def test_a_lock_of_gigabytes_is_refused_before_it_is_parsed() -> None:
    collector = Collector()
    assert parse_lock_bytes(b" " * (17 * 2**20), "x@1.lock.json", collector) is None
    assert [d.code for d in collector] == ["L002"]


def test_what_the_schema_refuses_the_reader_refuses_too() -> None:
    structural = {"L009", "L011", "L012", "L013", "L014", "L015", "L017"}
    seen = 0
    for code, data, _, _ in BAD:
        if code not in structural or b"\\u" in data:
            continue
        assert schema_faults(LOCK, json.loads(data)), (code, data[:200])
        seen += 1
    assert seen > 10


def test_a_claim_of_an_unknown_kind_is_told_and_raises_nothing() -> None:
    text = lock_bytes(full_lock()).decode().replace('"test": {', '"0test": {', 1)
    collector = Collector()
    assert parse_lock_bytes(text.encode(), "lockfiles/x.lock.json", collector) is None
    assert collector.failed


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.text(max_size=3), st.integers(0, 30))
def test_a_damaged_lock_never_raises_anything_but_diagnostics(at: int, text: str, cut: int) -> None:
    data = (GOOD[:at] + text + GOOD[at + cut :]).encode("utf-8", "surrogatepass")
    collector = Collector()
    lock = parse_lock_bytes(data, "samtools@1.16.1.lock.json", collector)
    assert (lock is None) == collector.failed


def test_from_dict_names_the_path() -> None:
    with pytest.raises(InvalidValue, match="variants"):
        lock_from_dict({"lock_version": 1, "name": "a", "version": "1", "variants": []})


# -- folders -------------------------------------------------------------------------------------


def test_all_problems_of_all_lock_files_are_collected(tmp_path: object) -> None:
    folder = str(tmp_path)
    files = {
        "samtools@1.16.1.lock.json": GOOD.encode(),
        "bad@1.lock.json": b"{",
        "notes.txt": b"",
        "other@1.lock.json": GOOD.encode(),
        "catalog.lock.json": catalog_lock_bytes(catalog_lock()),
    }
    for name, data in files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
    os.mkdir(os.path.join(folder, "folder@1.lock.json"))
    collector = Collector()
    locks_found = read_locks(folder, collector=collector)
    assert [d.code for d in collector] == ["L004", "L001", "L027", "L016"]
    assert list(locks_found.releases) == [("samtools", "1.16.1")]
    assert locks_found.catalog == catalog_lock()


def test_a_missing_shared_pin_is_named(tmp_path: object) -> None:
    with open(os.path.join(str(tmp_path), "samtools@1.16.1.lock.json"), "wb") as file:
        file.write(GOOD.encode())
    collector = Collector()
    read_locks(str(tmp_path), collector=collector)
    assert {d.code for d in collector} == {"L022"}


def test_two_variants_with_one_tag_text_are_refused(tmp_path: object) -> None:
    one = Lock(name="a", version="1-mpi", variants={"": VariantLock()})
    other = Lock(name="a", version="1", variants={"mpi": VariantLock()})
    for lock in (one, other):
        with open(os.path.join(str(tmp_path), lock.file_name), "wb") as file:
            file.write(lock_bytes(lock))
    collector = Collector()
    read_locks(str(tmp_path), collector=collector)
    assert [d.code for d in collector] == ["L023"]


# -- updates -------------------------------------------------------------------------------------


def test_writing_the_same_section_again_leaves_the_file_untouched(tmp_path: object) -> None:
    path, guard = f"{tmp_path}/lockfiles/samtools@1.16.1.lock.json", f"{tmp_path}/locks/s.flock"
    args = {"guard": guard, "release": NAME, "platform": AMD, "pins": pins(), "half": half("x")}
    assert write_platform(path, **args)  # type: ignore[arg-type]
    before = os.stat(path)
    assert not write_platform(path, **args)  # type: ignore[arg-type]
    after = os.stat(path)
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_two_platforms_written_at_once_are_both_there(tmp_path: object) -> None:
    path, guard = f"{tmp_path}/samtools@1.16.1.lock.json", f"{tmp_path}/s.flock"
    platforms = [AMD, ARM, Platform("linux/amd64/v3"), Platform("linux/amd64/v4")]
    threads = [
        threading.Thread(
            target=write_platform,
            args=(path,),
            kwargs={"guard": guard, "release": NAME, "platform": p, "half": half(str(p))},
        )
        for p in platforms
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lock = read_lock(path)
    assert lock is not None
    assert set(lock.variants[""].platforms) == set(platforms)


def test_a_claim_with_equal_outputs_keeps_the_locked_record() -> None:
    old = with_platform(full_lock(), NAME, AMD, latest={"test": claim("test", "v", mode="subuid")})
    new = with_platform(old, NAME, AMD, latest={"test": claim("test", "v", mode="identity")})
    assert new.platform(NAME, AMD).latest["test"].mode == "subuid"
    other = with_platform(old, NAME, AMD, latest={"test": claim("test", "u", mode="identity")})
    assert other.platform(NAME, AMD).latest["test"].mode == "identity"


def test_a_broken_lock_is_not_overwritten(tmp_path: object) -> None:
    path = f"{tmp_path}/a@1.lock.json"
    with open(path, "wb") as file:
        file.write(b"{")
    with pytest.raises(InputError):
        update_lock(path, guard=f"{tmp_path}/g", name="a", version="1", change=lambda lock: lock)
    with open(path, "rb") as file:
        assert file.read() == b"{"


def test_another_index_raises_the_revision_by_one_and_the_same_does_not() -> None:
    lock = full_lock()
    index = lock.variants[""].index
    assert index is not None
    assert with_index(lock, NAME, index=index).variants[""].revision == 1
    other = replace(index, digest=digest("other"))
    assert with_index(lock, NAME, index=other).variants[""].revision == 2


def test_a_sif_of_other_bytes_is_the_next_revision_and_a_first_one_is_not() -> None:
    lock = full_lock()
    variant = lock.variants[""]
    index, old = variant.index, half("x")
    assert index is not None
    assert old.sif is not None
    claims = {NodeId(str(NAME), kind, str(AMD)): found for kind, found in old.actions.items()} | {
        NodeId(str(NAME), "index"): claim("index", "i", outputs={"index": index.digest})
    }
    layer = descriptor_of(b"new", SIF_LAYER)
    data = manifest_bytes(config=descriptor_of(b"{}", SIF_CONFIG), layers=[layer])
    blobs = {sha256_of(data): data}
    new = claim("sif", "new", outputs={"sif": layer.digest, "manifest": sha256_of(data)})
    news = Found(claims={**claims, NodeId(str(NAME), "sif", str(AMD)): new}, read=blobs.get)

    after = make_variant(NAME, (AMD,), variant, news)
    assert after.revision == 2
    record = after.platforms[AMD].release.sif  # type: ignore[union-attr]
    assert record is not None
    assert record.file == SizedBlob(digest=layer.digest, size_bytes=3)
    assert make_variant(NAME, (AMD,), after, news) == after

    bare = {k: v for k, v in old.actions.items() if k != "sif"}
    section = replace(variant.platforms[AMD], release=replace(old, actions=bare, sif=None))
    without = replace(variant, platforms={AMD: section})
    first = make_variant(NAME, (AMD,), without, news)
    assert first.platforms[AMD].release.sif == record  # type: ignore[union-attr]
    assert first.revision == 1


# -- merge ---------------------------------------------------------------------------------------


def test_platform_sections_join_and_the_index_is_dropped() -> None:
    base = full_lock()
    ours = with_platform(base, NAME, ARM, half=half("arm"))
    platforms = {AMD: half("x").manifest.digest, ARM: half("arm").manifest.digest}
    index = IndexRecord(digest=digest("i2"), size_bytes=9, key=key("i2"), platforms=platforms)
    ours = with_index(ours, NAME, index=index)
    theirs = with_platform(base, NAME, AMD, half=half("new"))
    new_index = replace(index, digest=digest("i3"), platforms={AMD: half("new").manifest.digest})
    theirs = with_index(theirs, NAME, index=new_index)
    merged = merge(base, ours, theirs).variants[""]
    assert merged.index is None
    assert (merged.revision, merged.superseded_revision) == (0, 2)
    assert merged.platforms[AMD].release == half("new")
    assert merged.platforms[ARM].release == half("arm")
    assert merged.with_index(index).revision == 3
    assert "no index" in blocked(merged)


def test_an_index_that_still_holds_is_kept() -> None:
    base = full_lock()
    ours = with_platform(base, NAME, AMD, latest={"scan": claim("scan", "s")})
    theirs = with_platform(base, NAME, ARM, half=half("arm"))
    merged = merge(base, ours, theirs).variants[""]
    assert merged.index == base.variants[""].index
    assert merged.revision == 1


def test_pinned_versions_of_recipes_merge_one_by_one() -> None:
    def moved(**versions: str) -> Lock:
        chosen = {
            name: RecipePin(request=Digest(key("r")), version=version)
            for name, version in {"htslib": "1.16", "zlib": "1.2", **versions}.items()
        }
        return with_platform(full_lock(), NAME, AMD, pins=replace(pins(), recipes=chosen))

    merged = merge(moved(), moved(htslib="1.17"), moved(zlib="1.3"))
    assert lock_bytes(merged) == lock_bytes(moved(htslib="1.17", zlib="1.3"))
    with pytest.raises(Refused, match=r"pins\.recipes\.htslib"):
        merge(moved(), moved(htslib="1.17"), moved(htslib="1.18"))


def test_one_thing_changed_in_two_ways_is_refused_by_name() -> None:
    base = full_lock()
    ours = with_platform(base, NAME, AMD, half=half("one"))
    theirs = with_platform(base, NAME, AMD, half=half("two"))
    with pytest.raises(Refused, match=r"linux/amd64\.release"):
        merge(base, ours, theirs)


def test_the_merge_driver_joins_files_that_git_gives_it(tmp_path: object) -> None:
    base = full_lock()
    sides = {
        "ours": with_platform(base, NAME, ARM, half=half("arm")),
        "theirs": with_platform(base, NAME, AMD, latest={"scan": claim("scan", "s")}),
    }
    for name, lock in sides.items():
        with open(f"{tmp_path}/{name}", "wb") as file:
            file.write(lock_bytes(lock))
    with open(f"{tmp_path}/base", "wb") as file:
        file.write(b"")
    merge_driver(
        f"{tmp_path}/base",
        f"{tmp_path}/ours",
        f"{tmp_path}/theirs",
        name="a/samtools@1.16.1.lock.json",
    )
    with open(f"{tmp_path}/ours", "rb") as file:
        merged = lock_from_dict(json.loads(file.read()))
    assert set(merged.variants[""].platforms) == {AMD, ARM}


def test_shared_pins_merge_and_the_later_one_is_current() -> None:
    base = catalog_lock()
    pin = base.pins.bases["debian-12@20260101", AMD]

    def moved(date: str) -> CatalogLock:
        new = replace(pin, date=date)
        return CatalogLock(
            pins=replace(
                base.pins,
                bases={**base.pins.bases, (new.identity, AMD): new},
                current={**base.pins.current, "debian-12": new.identity},
            )
        )

    merged = merge_catalog(base, moved("20260301"), moved("20260201"))
    assert merged.pins.current["debian-12"] == "debian-12@20260301"
    assert len(merged.pins.bases) == 4
    again = parse_catalog_lock_bytes(catalog_lock_bytes(merged), "catalog.lock.json", Collector())
    assert again == merged


# -- what ship gets, and differences ---------------------------------------------------------------


def test_only_platforms_that_the_index_holds_are_releasable() -> None:
    lock = with_platform(full_lock(), NAME, ARM, half=half("arm"))
    (released,) = releasable(lock)
    assert list(released.platforms) == [AMD]
    assert (released.tag, released.full_tag) == ("1.16.1", "1.16.1-r1")
    assert released.metadata == digest("md")
    ahead = with_platform(full_lock(), NAME, AMD, half=half("newer"))
    assert releasable(ahead) == ()
    assert "ahead of the index" in blocked(ahead.variants[""])


def test_an_adopted_release_is_read_and_not_delivered() -> None:
    data = json.loads(GOOD)
    release = {"evidence": "none", "digest": D, "locations": ["/cvmfs/example.org/x"]}
    data["variants"] = {
        "default": {"origin": "adopted", "platforms": {"linux/amd64": {"release": release}}}
    }
    lock = lock_from_dict(data)
    assert schema_faults(LOCK, data) == []
    assert releasable(lock) == ()
    assert lock_from_dict(json.loads(lock_bytes(lock))) == lock
    release["locations"] = []  # what is nowhere was not adopted
    with pytest.raises(InvalidValue, match="found no place"):
        lock_from_dict(data)
    assert schema_faults(LOCK, data) != []
    for place in ("/cvmfs/x/../../etc", "/cvmfs/./x"):
        release["locations"] = [place]
        with pytest.raises(InvalidValue, match=r"a path without \. and \.\."):
            lock_from_dict(data)
    release["locations"] = ["/cvmfs/example.org/x..y"]
    pages = ("[", "3", '["a"]', "[" * 4_000, r'{"a": "\ud800"}', '{"a": NaN}', '{"a": 1e999}')
    for page in pages:
        release["about"] = {"webapp": page}
        with pytest.raises(InvalidValue, match="a JSON object"):
            lock_from_dict(data)
    release["about"] = {"webapp": '{"title": "Lab"}'}
    assert lock_from_dict(data).variants[""].platforms


def test_the_difference_of_two_locks_reads_well() -> None:
    old = full_lock()
    sets_of = {
        "build/0": replace(
            old.platform(NAME, AMD).pins.packages["build/0"],
            packages=(package("bwa", "2.0-1"), package("zlib1g")),
        )
    }
    newer = replace(
        pins(),
        packages=sets_of,
        recipes={"htslib": RecipePin(request=Digest(key("r")), version="1.17")},
    )
    new = with_platform(old, NAME, AMD, pins=newer, half=half("y"))
    text = lock_diff.render(lock_diff.diff(old, new))
    assert "~ samtools@1.16.1 linux/amd64 build/0 package bwa:amd64: 1.0-1 -> 2.0-1" in text
    assert "+ samtools@1.16.1 linux/amd64 build/0 package zlib1g:amd64: 1.0-1" in text
    assert "- samtools@1.16.1 linux/amd64 build/0 package samtools:amd64: 1.0-1" in text
    assert "~ samtools@1.16.1 linux/amd64 recipe htslib: 1.16+ds -> 1.17" in text
    assert lock_diff.diff(old, old) == ()
    assert lock_diff.diff(None, old)


def test_outputs_of_metadata_files_are_read_back() -> None:
    outputs = {"metadata": digest("m"), "file/gui[0].icon": digest("i"), "file/help.readme/3": D}
    found = replace(metadata(), outputs={k: Digest(v) for k, v in outputs.items()})
    data = json.loads(lock_bytes(with_index(full_lock(), NAME, metadata=found)))
    assert lock_from_dict(data).variants[""].metadata == found
    assert schema_faults(LOCK, data) == []
