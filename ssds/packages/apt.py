"""Debian packages: a request becomes an exact set, decided by apt and taken down by sha256.

Source: apt-get(8), apt-cache(8); Debian repository format (``Packages``, ``Release``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ssds.core.canonical import fingerprint
from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, InvalidValue, Refused, UnavailableError
from ssds.core.pins import PackageSet, PinnedFile, PinnedPackage
from ssds.core.platform import Platform
from ssds.host import local
from ssds.host.fetch import Fetcher
from ssds.host.mirrors import Mirrors, join
from ssds.oci.blobs import Blobs
from ssds.packages import debian
from ssds.packages.apt_index import AptIndex, complaints, open_index
from ssds.packages.apt_install import install_script, write_flat_repository
from ssds.packages.installed import paragraphs

__all__ = [
    "AptRequest",
    "install_script",
    "request_digest",
    "resolve",
    "resolve_base_packages",
    "write_flat_repository",
]

_WANTED = re.compile(r"([a-z0-9][a-z0-9+.-]+)(?:=([A-Za-z0-9.+~:-]+))?")
_INSTALL = re.compile(r"Inst (\S+?)(?::\S+)?(?: \[([^\]]*)\])? \((\S+) .*?\[(\S+)\]\)")
_REMOVE = re.compile(r"Remv (\S+)(?: \[([^\]]*)\])?")
_PACKAGE = re.compile(r"^Package: (\S+)$", re.MULTILINE)
_MINIMAL = ("?essential", "?priority(required)", "apt")


@dataclass(frozen=True, slots=True, kw_only=True)
class AptRequest:
    """What is asked for.

    Attributes:
        packages: ``name`` or ``name=version``.
        platform: for which platform; foreign ones need no emulation here.
        suite, components: of which part of the archive.
        installed: the sets that are there before, base first.
        status: dpkg's status of an image below that no set describes.
    """

    packages: tuple[str, ...]
    platform: Platform
    suite: str
    components: tuple[str, ...] = ("main",)
    installed: tuple[PackageSet, ...] = ()
    status: str = ""


def request_digest(request: AptRequest) -> Digest:
    """Returns the fingerprint of a request: same fingerprint, same question."""
    return fingerprint(
        {
            "packages": sorted(request.packages),
            "platform": str(request.platform),
            "suite": request.suite,
            "components": list(request.components),
            "installed": sorted(
                {str(p.file.digest) for s in request.installed for p in s.packages}
            ),
        },
        "apt-request",
    )


def resolve(
    request: AptRequest,
    mirrors: Mirrors,
    cache: str,
    *,
    held: PackageSet | None = None,
    renew: Sequence[str] = (),
    blobs: Blobs | None = None,
) -> PackageSet:
    """Returns the exact packages that answer the request; none of them is installed yet.

    Args:
        request: what is asked for.
        mirrors: where the archive is.
        cache: folder for package indexes of this run.
        held: a set that answered the request before; it stays as far as it can.
        renew: packages of ``held`` that are renewed.
        blobs: has packages that have left the mirrors.

    Raises:
        InvalidValue: an entry that is neither ``name`` nor ``name=version``.
        UnavailableError: a package or version that the suite does not have; no mirror.
        Refused: it would remove what is already installed.
    """
    for entry in request.packages:
        if not _WANTED.fullmatch(entry) or entry.endswith("-"):
            raise InvalidValue(
                f"{entry[:80]!r} is not a Debian package", hint="Write name or name=version."
            )
    index = _index(request, mirrors, cache)
    installed = [p for s in request.installed for p in s.packages]
    below = {(p.name, p.version) for p in installed}
    before = held.packages if held is not None else ()
    kept = tuple(p for p in before if (p.name, p.version) not in below)
    newest = {(p.name, p.architecture): p for p in (*installed, *kept)}  # upgraded: the later one
    status = _status(index, list(newest.values()), mirrors, blobs)
    if request.status:
        status = _over(request.status, status, index.architecture)
    exact = {entry.partition("=")[0]: entry for entry in request.packages}
    asked = [exact.get(name, name) for name in renew] or request.packages
    fixed = {p.name for p in installed} | set(_PACKAGE.findall(request.status))
    mine = [p.name for p in kept if p.name not in fixed]  # what it only upgraded stays the base's
    own = _Own(
        names=frozenset(mine),
        automatic=tuple(name for name in mine if name not in exact),
        upgrade=held is None or bool(renew),
    )
    chosen, removed = _simulate(index, asked, status, own)
    kept = tuple(p for p in kept if p.name not in chosen and p.name not in removed)
    packages = (*kept, *_pinned(index, chosen))
    return PackageSet(
        manager="apt",
        request=request_digest(request),
        packages=tuple(sorted(packages, key=lambda p: p.name)),
        epoch=index.epoch,
    )


def resolve_base_packages(request: AptRequest, mirrors: Mirrors, cache: str) -> PackageSet:
    """Returns the packages of a minimal system plus ``request.packages``: essential, required, apt.

    Raises:
        UnavailableError: as ``resolve``.
    """
    for entry in request.packages:
        if not _WANTED.fullmatch(entry) or entry.endswith("-"):
            raise InvalidValue(f"{entry[:80]!r} is not a Debian package")
    index = _index(request, mirrors, cache)
    chosen, _ = _simulate(index, (*_MINIMAL, *request.packages), "", _Own())
    return PackageSet(
        manager="apt",
        request=request_digest(request),
        packages=_pinned(index, chosen),
        epoch=index.epoch,
    )


def _index(request: AptRequest, mirrors: Mirrors, cache: str) -> AptIndex:
    return open_index(
        cache,
        mirrors,
        suite=request.suite,
        components=request.components,
        architecture=request.platform.debian,
    )


# --- what is installed ---------------------------------------------------------------------------


def _status(
    index: AptIndex,
    installed: Sequence[PinnedPackage],
    mirrors: Mirrors,
    blobs: Blobs | None,
) -> str:
    """Returns dpkg's status text for packages that are only known by their pins."""
    folder = os.path.join(index.folder, "stanzas")
    os.makedirs(folder, exist_ok=True)
    paths = {p.file.digest: os.path.join(folder, p.file.digest.hex) for p in installed}
    unknown = [p for p in installed if not os.path.exists(paths[p.file.digest])]
    if unknown:
        told = _stanzas(index, [f"{p.name}={p.version}" for p in unknown])
        for package in unknown:
            text = told.get((package.name, package.version), "")
            if f"SHA256: {package.file.digest.hex}" not in text:
                text = _control(package, mirrors, folder, blobs)
            local.write(f"{paths[package.file.digest]}.{os.getpid()}", text.encode())
            os.rename(f"{paths[package.file.digest]}.{os.getpid()}", paths[package.file.digest])
    texts = []
    for path in dict.fromkeys(paths.values()):
        with open(path, encoding="utf-8") as file:
            head, _, rest = file.read().strip("\n").partition("\n")
        texts.append(f"{head}\nStatus: install ok installed\n{rest}\n")
    return "\n".join(texts)


def _over(image: str, status: str, architecture: str) -> str:
    """Returns the status of an image with that of packages that were installed later."""
    ours = {name for (name, _, _), _ in paragraphs(status)}
    texts = [
        text
        for (name, _, own), text in paragraphs(image)
        if name not in ours and own in (architecture, "all")
    ]
    return "\n".join([*texts, status])


def _control(package: PinnedPackage, mirrors: Mirrors, folder: str, blobs: Blobs | None) -> str:
    """Returns the control text of a locked package that has left the index, from its .deb."""
    file = package.file
    if blobs is not None and blobs.has(file.digest):
        return debian.control_text(blobs.path(file.digest))
    path = os.path.join(folder, f"{file.digest.hex}.deb")
    roots = mirrors.archive(file.archive or "debian")
    archive = (join(root, file.path) for root in roots)
    with Fetcher(ca_bundle=mirrors.ca_bundle, proxy=mirrors.proxy) as fetcher:
        fetcher.download(
            [*mirrors.blob(file.digest), *archive, *file.urls],
            lambda: open(path, "wb"),  # noqa: SIM115 - the fetcher closes it
            digest=file.digest,
            size_bytes=file.size_bytes,
            local=True,
            name=file.name,
        )
    text = debian.control_text(path)
    os.unlink(path)
    return text


# --- apt decides ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Own:
    """Installed packages that apt may change.

    Attributes:
        names: those that may be removed; others may be upgraded only.
        automatic: those of them that are there for others only, and go with these.
        upgrade: whether what is named is upgraded where it is installed.
    """

    names: frozenset[str] = frozenset()
    automatic: tuple[str, ...] = ()
    upgrade: bool = True


def _simulate(
    index: AptIndex, packages: Sequence[str], status: str, own: _Own
) -> tuple[dict[str, str], frozenset[str]]:
    """Returns name → version of what apt would install, and the names that it would remove."""
    argv = ["apt-get", "-q", "-y", "-s", "install"]
    if own.automatic:
        states = index.marked(own.automatic)
        argv += ["--auto-remove", "-o", f"Dir::State::extended_states={states}"]
    if not own.upgrade:
        argv.append("--no-upgrade")
    ended = index.query([*argv, "--", *packages], status=status)
    if ended.returncode != 0:
        raise _explained(index, packages, ended.text, complaints(ended))
    removed = [m[1] for m in map(_REMOVE.match, ended.text.splitlines()) if m]
    found = [m for m in map(_INSTALL.match, ended.text.splitlines()) if m]
    what = [f"remove {name}" for name in removed if name not in own.names]
    if what:
        raise Refused(
            f"installing {' '.join(packages)[:200]} would {', '.join(what[:8])}",
            code="F081",
            hint="What is installed below may be upgraded, never removed. Renew the base "
            "(ssds lock --upgrade base), or ask for a version that fits.",
        )
    return {match[1]: match[3] for match in found}, frozenset(removed)


def _explained(
    index: AptIndex, packages: Sequence[str], text: str, errors: Sequence[str]
) -> UnavailableError:
    unknown = re.search(r"E: Unable to locate package (\S+)", text) or re.search(
        r"E: Package '(\S+)' has no installation candidate", text
    )
    if unknown:
        return UnavailableError(
            f"there is no package {unknown[1]!r} in {index.title}",
            code="F057",
            hint=_similar(index, unknown[1]),
        )
    version = re.search(r"E: Version '(\S+)' for '(\S+)' was not found", text)
    if version:
        known = _versions(index, version[2])
        return UnavailableError(
            f"{version[2]} has no version {version[1]} in {index.title}",
            code="F057",
            hint=f"Known there: {', '.join(known)}." if known else "Name another version.",
        )
    unmet = re.search(r"have unmet dependencies:\n((?: .*\n)+)", text)
    told = " ".join(unmet[1].split()) if unmet else "; ".join(errors) or "it gave no reason"
    return UnavailableError(
        f"apt cannot install {' '.join(packages)[:200]} from {index.title}: {told[:600]}",
        code="F059",
        hint="Two of the packages do not go together, or not with what is installed below.",
    )


def _similar(index: AptIndex, name: str) -> str:
    import difflib

    names = index.query(["apt-cache", "pkgnames", name[:3]]).text.split()
    close = difflib.get_close_matches(name, names, 3)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return "Check its name with apt-cache search, or add its component to the base."


def _versions(index: AptIndex, name: str) -> list[str]:
    lines = index.query(["apt-cache", "madison", "--", name]).text.splitlines()
    return [line.split("|")[1].strip() for line in lines if line.count("|") >= 2][:5]


# --- what it chose -------------------------------------------------------------------------------


def _stanzas(index: AptIndex, wanted: Sequence[str]) -> dict[tuple[str, str], str]:
    """Returns (name, version) → index paragraph, for those that the index has."""
    told: dict[tuple[str, str], str] = {}
    ended = index.query(["apt-cache", "show", "--no-all-versions", "--", *wanted])
    for text in re.split(r"\n\s*\n", ended.text):
        name = re.search(r"^Package: (\S+)$", text, re.MULTILINE)
        version = re.search(r"^Version: (\S+)$", text, re.MULTILINE)
        if name and version and text.lstrip("\n").startswith("Package:"):
            told.setdefault((name[1], version[1]), text.strip("\n") + "\n")
    if ended.returncode != 0 and len(wanted) > 1:
        missing = [w for w in wanted if (*w.split("=", 1),) not in told]
        if len(missing) < len(wanted):
            return {**told, **_stanzas(index, missing)}
        half = len(wanted) // 2
        return {**_stanzas(index, wanted[:half]), **_stanzas(index, wanted[half:])}
    return told


def _pinned(index: AptIndex, chosen: Mapping[str, str]) -> tuple[PinnedPackage, ...]:
    told = _stanzas(index, [f"{n}={v}" for n, v in chosen.items()]) if chosen else {}
    found = []
    for name, version in sorted(chosen.items()):
        text = told.get((name, version))
        if text is None:
            raise IntegrityError(
                f"apt chose {name} {version}, which the index of {index.title} does not describe",
                code="F046",
                hint="Try again; the mirror may be in the middle of an update.",
            )
        found.append(_package(index, debian.paragraph(text)))
    return tuple(found)


def _package(index: AptIndex, fields: Mapping[str, str]) -> PinnedPackage:
    name, path = fields["Package"], fields.get("Filename", "").removeprefix("./")
    digest, size = fields.get("SHA256", ""), fields.get("Size", "")
    join("archive", path)
    if not size.isdigit() or not debian.PACKAGE_NAME.fullmatch(name):
        raise IntegrityError(
            f"the index of {index.title} does not state a size for {name[:80]!r}", code="F046"
        )
    return PinnedPackage(
        name=name,
        version=debian.Version(fields["Version"]).text,
        architecture=fields.get("Architecture", index.architecture),
        file=PinnedFile(
            name=path.rpartition("/")[2],
            digest=Digest(f"sha256:{digest}"),
            size_bytes=int(size),
            archive=index.archive,
            path=path,
        ),
    )
