"""``ssds advisories``: sets of security advisories: make, import, look at, give away."""

from __future__ import annotations

import os

import click

from ssds.advisories import build as building
from ssds.cli.app import Context
from ssds.cli.output import counted, print_json, say, size_text, table
from ssds.core.errors import IntegrityError, UsageError
from ssds.host.files import atomic_write, remove_file
from ssds.trust.bundle import SUFFIX
from ssds.workspace import Workspace


@click.group("advisories")
def command() -> int:
    """Make, import, look at or give away sets of security advisories.

    A set is one dated file of facts that the catalog names (`catalog/advisories.yaml`) and the
    catalog's lock pins by digest. A new set scans again and does nothing else.
    """
    return 0


@command.command("update")
@click.argument("name")
@click.option(
    "--from",
    "texts",
    multiple=True,
    required=True,
    metavar="KIND[:LABEL]=PATH",
    help="A source; may be repeated. KIND: "
    + "; ".join(f"{k}, {v}" for k, v in building.KINDS.items()),
)
@click.option(
    "--note", "notes", multiple=True, metavar="LABEL=TEXT", help="Whose records they are."
)
@click.option("--ecosystem", "ecosystems", multiple=True, help="Keep these only (Debian:12, PyPI).")
@click.option("--package", "packages", multiple=True, help="Keep OSV's records of these only.")
@click.option("--suite", default="bookworm", show_default=True, help="Of `debs`: the suite.")
@click.option("--release", default="Debian:12", show_default=True, help="Of `debs`: OSV's name.")
@click.option("--date", default="", help="The set's date, where no record has one.")
@click.pass_obj
def update(
    context: Context,
    /,
    name: str,
    texts: tuple[str, ...],
    notes: tuple[str, ...],
    ecosystems: tuple[str, ...],
    packages: tuple[str, ...],
    suite: str,
    release: str,
    date: str,
) -> int:
    """Make the set NAME anew from files and folders here, and pin it.

    A set whose file ends in `.json` is text, one record a line, to be reviewed in Git; any other
    is packed with an index. The same sources give the same bytes.
    """
    workspace = Workspace.open(context.folder)
    path = _path(workspace, name)
    said = dict(_pair(text, "LABEL=TEXT") for text in notes)
    sources = []
    for text in texts:
        what, place = _pair(text, "KIND[:LABEL]=PATH")
        kind, _, label = what.partition(":")
        if kind not in building.KINDS:
            raise UsageError(
                f"there is no kind of source {kind[:40]!r}",
                hint=f"Kinds are {', '.join(building.KINDS)}.",
                code="V024",
            )
        label = label or kind
        sources.append(
            building.Source(kind=kind, path=place, label=label, note=said.get(label, ""))
        )
    data = building.build(
        building.Request(
            name=name,
            sources=tuple(sources),
            ecosystems=frozenset(ecosystems),
            packages=frozenset(packages),
            suite=suite,
            release=release,
            date=date,
            as_json=path.endswith(".json"),
        )
    )
    return _put(workspace, name, path, data)


@command.command("import")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--digest", default="", metavar="sha256:…", help="Refuse any other bytes.")
@click.option(
    "--key", "keys", multiple=True, metavar="FILE", help="Take only what this key signed."
)
@click.pass_obj
def import_file(
    context: Context, /, name: str, file: str, digest: str, keys: tuple[str, ...]
) -> int:
    """Take FILE, made elsewhere by `update` or `export`, as the set NAME, and pin it.

    It is read whole first: sizes, order, records. FILE.sigstore.json (`ssds sign`) is checked, and
    asked for with --key or where the settings say `trust.advisories: signed`.
    """
    from ssds.advisories import pack
    from ssds.core.digest import Digest, sha256_of

    workspace = Workspace.open(context.folder)
    path = _path(workspace, name)
    with open(file, "rb") as opened:
        data = opened.read(pack.LIMIT_BYTES + 1)
    if digest and sha256_of(data) != Digest(digest):
        raise IntegrityError(
            f"{file} is not {digest}: it is {sha256_of(data)}",
            hint="Get the file again, or ask whoever gave you the digest.",
            code="V025",
        )
    signature = _signature(workspace, file, data, keys)
    return _put(workspace, name, path, data, signature)


def _signature(workspace: Workspace, file: str, data: bytes, keys: tuple[str, ...]) -> bytes:
    """Returns the bundle beside a set that is imported, if a trusted key signed just these bytes.

    Raises:
        IntegrityError: V029, it is to be signed, or says to be, and no trusted key signed it.
    """
    from ssds.trust.files import BUNDLE_LIMIT_BYTES, read_limited, verify_bytes
    from ssds.trust.open import read_public_file, read_public_files

    place = f"{file}{SUFFIX}"
    there = os.path.lexists(place)
    trust = workspace.settings.trust
    named = tuple(read_public_file(path) for path in keys) or read_public_files(trust.keys)
    if keys or trust.signed_advisories or (there and named):
        report = verify_bytes(file, data, named)
        if not report.good:
            raise IntegrityError(
                f"{file} is not taken: {report.wrong[0]}",
                hint="Get the set and its signature again; --key or trust.keys name whose counts.",
                code="V029",
            )
        say(f"{report.proven[0]}")
        return read_limited(place, BUNDLE_LIMIT_BYTES)
    if there:
        say(f"{place} was not checked: no key is trusted here")
    return b""


@command.command("show")
@click.argument("name", required=False, default="")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show_set(context: Context, /, name: str, as_json: bool) -> int:
    """Show the set NAME, or all: date, digest, ecosystems, whose records they are."""
    from ssds.advisories import pack

    workspace = Workspace.open(context.folder)
    names = [name] if name else sorted(workspace.catalog.advisories)
    entries = []
    for one in names:
        data = _bytes(workspace, one)
        found = pack.read_set(data)
        identity = workspace.locks.catalog.pins.current.get(f"advisories/{one}", "")
        pin = workspace.locks.catalog.pins.advisories.get(identity)
        entries.append(
            {
                "name": one,
                "date": found.date,
                "digest": str(found.digest),
                "size_bytes": len(data),
                "pinned": pin is not None and pin.digest == found.digest,
                "packages": len(found.packages),
                "ecosystems": dict(sorted(found.basis.items())),
                "provenance": dict(sorted(found.provenance.items())),
            }
        )
    if as_json:
        print_json(entries)
        return 0
    for entry in entries:
        state = "pinned" if entry["pinned"] else "not the pinned one: `ssds lock` pins it"
        print(f"{entry['name']}  {entry['date']}  {entry['digest']}  {state}")
        rows = [["size", size_text(int(str(entry["size_bytes"])))]]
        rows += [["packages", str(entry["packages"])]]
        for title, key in (("covers", "ecosystems"), ("from", "provenance")):
            known = entry[key]
            assert isinstance(known, dict)
            rows += [[title, f"{k}: {v}" if v and v != k else k] for k, v in known.items()]
        print(table(rows, indent="  "))
    return 0


@command.command("export")
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "--format",
    "form",
    type=click.Choice(["set", "osv"]),
    default="set",
    show_default=True,
    help="`set`: the file itself, for `import`; `osv`: a zip of OSV records for other scanners.",
)
@click.option("--ecosystem", default="", help="Of `osv`: the records of this ecosystem only.")
@click.pass_obj
def export(context: Context, /, name: str, file: str, form: str, ecosystem: str) -> int:
    """Write the set NAME as one FILE, for a machine without network or for another scanner."""
    from ssds.advisories import export as exporting
    from ssds.advisories import pack

    workspace = Workspace.open(context.folder)
    data = _bytes(workspace, name)
    found = pack.read_set(data)
    if form == "osv":
        data = exporting.osv_zip(found, ecosystem)
        atomic_write(os.path.abspath(file), data, point="advisories.export")
    else:
        signature = _signature_of(_path(workspace, name), data)
        _write(os.path.abspath(file), data, signature, point="advisories.export")
    print(f"{file}: {found.date}, {size_text(len(data))}")
    return 0


def _pair(text: str, form: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name or not value:
        raise UsageError(f"{text[:60]!r} is not {form}", hint=f"Write {form}.", code="V028")
    return name, value


def _path(workspace: Workspace, name: str) -> str:
    """Returns the set's file in the workspace, as the catalog names it; it need not be there.

    A set that is still to be made is a missing file, which the catalog's own check refuses.
    """
    import yaml

    from ssds.recipe.shared import plain_relative

    listed = f"{workspace.settings.catalog}/advisories.yaml"
    try:
        with open(os.path.join(workspace.root, listed), "rb") as file:
            known = yaml.safe_load(file.read(1 << 20))
    except (FileNotFoundError, yaml.YAMLError):
        known = workspace.catalog.advisories  # says what is wrong, or has none
    path = known.get(name) if isinstance(known, dict) else None
    if not isinstance(path, str) or not plain_relative(path):
        names = ", ".join(sorted(map(str, known))) if isinstance(known, dict) else ""
        raise UsageError(
            f'the catalog names no advisory set "{name}"',
            hint=f"{listed} names {names or 'none'}; add a line with the set's name and its file.",
            code="V026",
        )
    return os.path.join(workspace.root, path)


def _bytes(workspace: Workspace, name: str) -> bytes:
    from ssds.kinds.scan.resolve import set_bytes

    return set_bytes(workspace.root, os.path.relpath(_path(workspace, name), workspace.root))


def _signature_of(path: str, data: bytes) -> bytes:
    """Returns the bundle beside a file, if it is about just these bytes; else nothing."""
    from ssds.core.digest import sha256_of
    from ssds.trust.bundle import parse_bundle
    from ssds.trust.files import BUNDLE_LIMIT_BYTES, read_limited

    place = f"{path}{SUFFIX}"
    if not os.path.lexists(place):
        return b""
    bundle = read_limited(place, BUNDLE_LIMIT_BYTES)
    try:
        found = parse_bundle(bundle, place)
    except IntegrityError:
        return b""
    return bundle if found.digest.hex() == sha256_of(data).hex else b""


def _write(path: str, data: bytes, signature: bytes, *, point: str) -> None:
    """Writes a set and its bundle, or none; never is one of other bytes beside it."""
    remove_file(f"{path}{SUFFIX}", point=point)
    atomic_write(path, data, point=point)
    if signature:
        atomic_write(f"{path}{SUFFIX}", signature, point=point)


def _put(workspace: Workspace, name: str, path: str, data: bytes, signature: bytes = b"") -> int:
    """Checks a set whole, writes it to its file and pins it.

    Args:
        signature: its bundle; the one that is there stays where it is about the same bytes.
    """
    from ssds.cli import resolving
    from ssds.engine.resolve import Pins
    from ssds.kinds.scan.resolve import check_set

    found, pairs = check_set(name, data)
    workspace.check_writable()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    _write(path, data, signature or _signature_of(path, data), point="advisories")
    before = Pins(shared=workspace.locks.catalog.pins, releases=workspace.locks.pins)
    pins = Pins(shared=before.shared, releases=dict(before.releases))
    resolving.pin_advisories(workspace, pins)
    changed = resolving.write_pins(workspace, before, pins)
    print(f"{name}  {found.date}  {found.digest}")
    print(f"{counted(pairs, 'pair')} of advisory and package in {', '.join(found.ecosystems)}")
    print(f"Pinned in {changed[0]}; `ssds plan` shows the scans." if changed else "Already pinned.")
    return 0
