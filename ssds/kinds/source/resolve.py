"""Moving source to pin: Debian source packages, Python releases, upstream addresses (C19)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from ssds.core.canonical import fingerprint
from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, InvalidValue, UnavailableError
from ssds.core.pins import GitPlace, PinnedFile, SourcePin
from ssds.host import local
from ssds.host.git_fetch import GitFetch
from ssds.host.mirrors import Mirrors, join
from ssds.host.simple_index import IndexFile, normalized
from ssds.kinds.source.git import find, write_archive
from ssds.kinds.source.spec import request_text
from ssds.oci.blobs import Blobs
from ssds.packages import debian
from ssds.packages.apt_index import AptIndex, open_index
from ssds.recipe.steps import SourceRequest
from ssds.store.fetch import fetch_unpinned, fetching

_SDIST = (".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz")
_COMPRESSED = r"\.tar\.(?:gz|xz|bz2|zst)"


def resolve_source(
    request: SourceRequest,
    mirrors: Mirrors,
    cache: str,
    *,
    suite: str = "",
    components: tuple[str, ...] = ("main",),
    blobs: Blobs | None = None,
) -> SourcePin:
    """Returns the pin of one source.

    Args:
        request: what the recipe asks for.
        mirrors: archives and indexes.
        cache: folder for package indexes of this run.
        suite, components: where ``deb-src`` looks; with an empty suite in those that this
            machine's own apt names.
        blobs: keeps the archive that is made from a commit, and what an address without a
            checksum gives.

    Raises:
        UnavailableError: it does not exist there (any more), or no mirror answers.
        InvalidValue: the request is not well-formed.
    """
    digest = fingerprint({"source": request_text(request)}, "source-request")
    if request.deb_src:
        suites = (suite,) if suite else mirrors.suites
        file, epoch = _deb_src(request, mirrors, cache, suites, components)
        return SourcePin(request=digest, file=file, epoch=epoch)
    if request.pypi:
        return SourcePin(request=digest, file=_pypi(request, mirrors))
    if request.git:
        return replace(_git(request, mirrors, cache, blobs), request=digest)
    return SourcePin(request=digest, file=_url(request, mirrors, blobs))


def _url(request: SourceRequest, mirrors: Mirrors, blobs: Blobs | None) -> PinnedFile:
    """Returns the pin of a source with an address; asks nobody where the recipe states a sha256.

    Without one the bytes are loaded once, and are what the lock holds from then on.

    Raises:
        InvalidValue: the address ends in what no file is called, or nothing may be loaded.
    """
    last = unquote(urlsplit(request.url).path.rpartition("/")[2])
    name = request.file or last or request.name
    if not name or "/" in name or not name.isprintable() or name in (".", ".."):
        raise InvalidValue(
            f"the address of source {request.name!r} ends in no file name",
            hint="Give the file's name with 'file:'.",
        )
    urls = (request.url, *request.mirrors)
    if request.sha256 is not None:
        return PinnedFile(name=name, digest=request.sha256, urls=urls)
    if blobs is None:
        raise InvalidValue(
            f"the source {request.name!r} states no sha256",
            hint="Download it once, check it with upstream, and write its sha256 beside the url.",
        )
    digest, size = fetch_unpinned(blobs, name, urls, mirrors)
    return PinnedFile(name=name, digest=digest, size_bytes=size, urls=urls)


def _git(request: SourceRequest, mirrors: Mirrors, cache: str, blobs: Blobs | None) -> SourcePin:
    """Returns the pin of a commit; its archive is in ``blobs`` then."""
    folder = os.path.join(cache, "git", fingerprint(request_text(request), "git-folder").hex)
    local.make_folder(folder)
    try:
        git = GitFetch(folder, mirrors)
        asked = GitPlace(folder=request.folder, empty_submodules=request.empty_submodules)
        place, epoch = find(git, request.git, request.ref, asked)
        path = os.path.join(folder, "archive")
        digest, size = write_archive(git, request.git, place, path)
        if blobs is not None:
            blobs.adopt(path, digest)
    finally:
        local.remove_folder(folder)
    name = request.git.rstrip("/").rpartition("/")[2].removesuffix(".git")
    ref = re.sub(r"[^A-Za-z0-9._+-]+", "-", request.ref.removeprefix("refs/"))
    file = PinnedFile(
        name=f"{name}-{ref}.tar"[-200:], digest=digest, size_bytes=size, urls=(request.git,)
    )
    return SourcePin(request=digest, file=file, epoch=epoch, git=place)


def _split(text: str, what: str) -> tuple[str, str]:
    name, slash, version = text.partition("/")
    if not slash or not name or not version:
        raise InvalidValue(f"{text[:80]!r} is not {what}", hint="Write name/version.")
    return name, version


# --- Debian --------------------------------------------------------------------------------------


def _deb_src(
    request: SourceRequest,
    mirrors: Mirrors,
    cache: str,
    suites: Iterable[str],
    components: tuple[str, ...],
) -> tuple[PinnedFile, int]:
    name, version = _split(request.deb_src, "a Debian source package")
    if not debian.PACKAGE_NAME.fullmatch(name):
        raise InvalidValue(f"{name[:80]!r} is not a Debian source package's name")
    debian.Version(version)
    seen: list[str] = []
    looked: list[str] = []
    for suite in suites:
        index = open_index(
            cache,
            mirrors,
            suite=suite,
            components=components,
            architecture="amd64",
            sources=True,
        )
        looked.append(suite)
        for fields in source_paragraphs(index, name):
            if fields.get("Version") == version:
                return _source_file(request, fields, index), index.epoch
            seen.append(fields.get("Version", "?"))
    known = ", ".join(dict.fromkeys(seen))
    raise UnavailableError(
        f"there is no source package {name} {version} in {' '.join(looked) or 'any known suite'}",
        code="F057",
        hint=f"Known there: {known}." if known else "Check the name; binary names may differ.",
    )


def source_paragraphs(index: AptIndex, name: str) -> list[dict[str, str]]:
    """Returns what an index of sources says of one source package, one paragraph a version."""
    ended = index.query(["apt-cache", "showsrc", "--only-source", "--", name])
    if ended.returncode != 0:
        return []
    texts = re.split(r"\n\s*\n", ended.text)
    wanted = [text for text in texts if re.match(r"\s*Package: ", text)]
    return [debian.paragraph(text.strip("\n")) for text in wanted]


def _source_file(request: SourceRequest, fields: Mapping[str, str], index: AptIndex) -> PinnedFile:
    files: dict[str, tuple[str, int]] = {}
    for line in fields.get("Checksums-Sha256", "").split("\n"):
        words = line.split()
        if len(words) == 3 and words[1].isdigit():
            files[words[2]] = (words[0], int(words[1]))
    name = request.file or _main_archive(files)
    if name not in files:
        raise UnavailableError(
            f"the source package {request.deb_src} has no file {request.file!r}"
            if request.file
            else f"the source package {request.deb_src} has no single main archive",
            code="F057",
            hint=f"Choose one with 'file:': {', '.join(sorted(files))}.",
        )
    path = f"{fields.get('Directory', '')}/{name}"
    join("archive", path)
    sha256, size = files[name]
    return PinnedFile(
        name=name,
        digest=Digest(f"sha256:{sha256}"),
        size_bytes=size,
        archive=index.archive,
        path=path,
        urls=tuple(url for url in (request.url, *request.mirrors) if url),
    )


def _main_archive(files: Iterable[str]) -> str:
    """Returns the upstream archive (``.orig.tar.*``), or the only archive of a native package."""
    names = list(files)
    orig = [name for name in names if re.search(rf"\.orig{_COMPRESSED}$", name)]
    native = [
        name
        for name in names
        if re.search(rf"{_COMPRESSED}$", name) and ".orig" not in name and ".debian." not in name
    ]
    chosen = orig or native
    return chosen[0] if len(chosen) == 1 else ""


# --- Python --------------------------------------------------------------------------------------


def _pypi(request: SourceRequest, mirrors: Mirrors) -> PinnedFile:
    from packaging.version import InvalidVersion, Version

    project, version = _split(request.pypi, "a release of a Python project")
    try:
        wanted = Version(version)
    except InvalidVersion as error:
        raise InvalidValue(f"{version[:60]!r} is not a Python version") from error
    with fetching(mirrors) as (fetcher, indexes):
        files = [f for f in indexes.files(project) if version_of(f, project) == wanted]
        if request.file:
            chosen = [f for f in files if f.name == request.file]
        else:
            chosen = [f for f in files if f.name.endswith(_SDIST)]
        if not chosen:
            raise _no_file(request, files)
        file = next((f for f in chosen if f.digest is not None), None)
        if file is None or file.digest is None:
            raise IntegrityError(
                f"the index states no sha256 for {chosen[0].name}",
                code="F063",
                hint="Use an index that states digests.",
            )
        size = file.size_bytes or fetcher.size(file.url, local=True)
    return PinnedFile(
        name=file.name,
        digest=file.digest,
        size_bytes=size,
        archive="pypi",
        path=f"{normalized(project)}/{file.name}",
        urls=tuple(url for url in (request.url, *request.mirrors) if url),
    )


def _no_file(request: SourceRequest, files: list[IndexFile]) -> UnavailableError:
    names = sorted({file.name for file in files})
    what = request.file or "source archive"
    return UnavailableError(
        f"the Python release {request.pypi} has no {what}",
        code="F057",
        hint=f"Choose one with 'file:': {', '.join(names[:12])}."
        if names
        else "Check the name and the version.",
    )


def version_of(file: IndexFile, project: str) -> object:
    """Returns the version that a file's name states, or None for a file of something else."""
    from packaging.utils import (
        InvalidSdistFilename,
        InvalidWheelFilename,
        parse_sdist_filename,
        parse_wheel_filename,
    )

    try:
        if file.name.endswith(".whl"):
            name, version, _, _ = parse_wheel_filename(file.name)
        else:
            stem, ending = file.name, next((e for e in _SDIST if file.name.endswith(e)), "")
            plain = stem.removesuffix(ending) + ".tar.gz"
            name, version = parse_sdist_filename(os.path.basename(plain))
    except (InvalidSdistFilename, InvalidWheelFilename, ValueError):
        return None
    return version if normalized(name) == normalized(project) else None
