"""conda packages: a request becomes an exact set, decided by rattler's solver for the image.

Nothing of the image runs and nothing of this machine plays a part: what the solver may know of
the system (glibc, processor) is told to it as virtual packages of the image's platform. The
solver comes with the extra ``conda``; only ``ssds lock`` needs it. Source: conda's match
specifications; CEP 30 (virtual packages).
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ssds.core.canonical import fingerprint
from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, InvalidValue, SsdsError, UnavailableError
from ssds.core.patterns import pattern
from ssds.core.pins import PackageSet, PinnedFile, PinnedPackage
from ssds.core.platform import Platform
from ssds.host.mirrors import Mirrors
from ssds.packages.conda_index import ChannelIndex, open_indexes

if TYPE_CHECKING:
    from rattler import GenericVirtualPackage, MatchSpec, RepoDataRecord, SparseRepoData

LINUX = "4.18"
"""The kernel that packages may count on: the oldest that a supported distribution still has."""
SUBDIRS: Mapping[str, str] = {"amd64": "linux-64", "arm64": "linux-aarch64"}
_LIMIT_S = 600
_ROOT = "http://channel.invalid/"
_NAME = pattern(r"[a-z0-9_][a-z0-9_.-]*")
_BUILD = pattern(r"[A-Za-z0-9_.+]+")
_EXACT = pattern(r"([^=<>!~ ]+)=([^=<>!~,| ]+)=([^= ]+)")
_LATEST = 4_102_444_800  # 2100: a later stamp is no date


@dataclass(frozen=True, slots=True, kw_only=True)
class CondaRequest:
    """What is asked for.

    Attributes:
        channels: names, first one first; a package comes from the first channel that has it.
        packages: match specifications (``samtools=1.21``, ``python >=3.11,<3.13``).
        platform: for which platform; foreign ones need no emulation here.
        glibc: of the image (``2.36``), or the empty string where it has none.
    """

    channels: tuple[str, ...]
    packages: tuple[str, ...]
    platform: Platform
    glibc: str = ""


def request_digest(request: CondaRequest) -> Digest:
    """Returns the fingerprint of a request: same fingerprint, same question."""
    return fingerprint(
        {
            "channels": list(request.channels),
            "packages": sorted(request.packages),
            "platform": str(request.platform),
            "glibc": request.glibc,
        },
        "conda-request",
    )


def resolve(
    request: CondaRequest,
    mirrors: Mirrors,
    cache: str,
    *,
    held: PackageSet | None = None,
    renew: Iterable[str] = (),
) -> PackageSet:
    """Returns the exact packages that answer the request.

    Args:
        request: what is asked for.
        mirrors: where the channels are.
        cache: a folder for indexes; a fresh one means fresh indexes.
        held: a set of which everything stays that can, but for the packages in ``renew``.
        renew: names of packages.

    Raises:
        InvalidValue: an entry that is no match specification.
        UnavailableError: a package or version that no channel has; packages that do not go
            together; no mirror; no solver on this machine.
        IntegrityError: an index of a wrong form.
    """
    with _opened(request, mirrors, cache) as (specs, sparse):
        _check_known(specs, request, sparse)
        staying = _staying(held, set(renew), sparse) if held is not None else []
        records = _solve(specs, request, sparse, staying)
        packages = [_package(record, request) for record in records]
    stamps = [int(r.timestamp.timestamp()) for r in records if r.timestamp is not None]
    return PackageSet(
        manager="conda",
        request=request_digest(request),
        packages=tuple(sorted(packages, key=lambda p: p.name)),
        epoch=max((stamp for stamp in stamps if 0 <= stamp < _LATEST), default=0),
    )


def newest(
    request: CondaRequest, pinned: Iterable[tuple[str, str]], mirrors: Mirrors, cache: str
) -> dict[str, tuple[str, bool]]:
    """Returns name → its newest version, and whether what is asked for excludes that.

    Nothing is resolved: each package for itself, in the first channel that has it. Of what is older
    there than the pinned version the latter is the newest.

    Raises:
        UnavailableError, IntegrityError: as ``resolve``.
    """
    found = {}
    with _opened(request, mirrors, cache) as (specs, sparse):
        from rattler import Version

        for name, version in pinned:
            each = (records for index in sparse if (records := _records(name, [index])))
            first = next(each, [])
            channel = first[0].channel if first else ""
            known = [r for r in _records(name, sparse) if r.channel == channel]
            if known:
                best = max(known, key=lambda record: record.version)
                asked = [spec for spec in specs if _name(spec) == name]
                held = not all(spec.matches(best) for spec in asked)
                newer = best.version > Version(version)
                found[name] = (str(best.version) if newer else version, newer and held)
    return found


@contextmanager
def _opened(
    request: CondaRequest, mirrors: Mirrors, cache: str
) -> Iterator[tuple[list[MatchSpec], list[SparseRepoData]]]:
    """Gives what is asked for, and the indexes of the channels in their order."""
    try:
        import rattler  # noqa: F401
    except ImportError as error:
        raise UnavailableError(
            "the solver for conda packages is not installed beside ssds",
            code="F064",
            hint="Install it into the same environment: pip install 'ssds[conda]'.",
        ) from error
    specs = [_spec(text) for text in request.packages]
    subdirs = (SUBDIRS[request.platform.architecture], "noarch")
    sparse: list[SparseRepoData] = []
    try:
        for index in open_indexes(cache, mirrors, request.channels, subdirs):
            sparse.append(_sparse(index))  # noqa: PERF401 - those before a bad one are closed
        yield specs, sparse
    finally:
        for opened in sparse:
            opened.close()


def _spec(text: str) -> MatchSpec:
    from rattler import MatchSpec

    exact = _EXACT.fullmatch(text)
    try:
        spec = MatchSpec(f"{exact[1]} =={exact[2]} {exact[3]}" if exact else text, strict=True)
    except Exception as error:
        raise InvalidValue(
            f"{text[:80]!r} is not a conda package: {_first_line(error)}",
            hint="Write name, name=version or name>=version.",
        ) from error
    if spec.channel is not None or "[" in text:
        raise InvalidValue(
            f"{text[:80]!r} says more than a name, a version and a build",
            hint="Channels stand in the step's own list.",
        )
    return spec


def _sparse(index: ChannelIndex) -> SparseRepoData:
    from rattler import Channel, ChannelConfig, SparseRepoData

    config = ChannelConfig(channel_alias=_ROOT, root_dir="/")
    with _explained(f"the index {index.channel}/{index.subdir}"):
        return SparseRepoData(Channel(index.channel, config), index.subdir, index.path)


@contextmanager
def _explained(what: str, *other: type[Exception]) -> Iterator[None]:
    """Turns the library's complaints about an index into IntegrityError, its panics too."""
    try:
        yield
    except SsdsError:
        raise
    except BaseException as error:
        if isinstance(error, other):
            raise
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise _malformed(what, error) from error
        raise


def _malformed(what: str, error: BaseException) -> IntegrityError:
    return IntegrityError(
        f"{what} is not of the form that conda channels have: {_first_line(error)}",
        code="F066",
        hint="Its mirror is damaged or is no conda channel; check mirrors.conda in ssds.yaml.",
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


# --- what is there, for messages -----------------------------------------------------------------


def _check_known(
    specs: Sequence[MatchSpec], request: CondaRequest, sparse: Sequence[SparseRepoData]
) -> None:
    """Raises UnavailableError (F057) that names every package or version no channel has."""
    with _explained("an index of the channels"):
        names = {name for index in sparse for name in index.package_names()}
    problems, hints = [], []
    title = f"{', '.join(request.channels)} ({SUBDIRS[request.platform.architecture]})"
    for spec in specs:
        name = _name(spec)
        if name not in names:
            problems.append(f"there is no package {name!r} in {title}")
            hints.append(_similar(name, names))
            continue
        records = _records(name, sparse)
        if not any(spec.matches(record) for record in records):
            problems.append(f"{name} has no version {_rest(spec)} in {title}")
            versions = sorted({record.version for record in records}, reverse=True)[:6]
            hints.append(f"Known there: {', '.join(str(v) for v in versions)}.")
    if problems:
        raise UnavailableError("; ".join(problems), code="F057", hint=" ".join(hints))


def _name(spec: MatchSpec) -> str:
    return spec.name.normalized


def _rest(spec: MatchSpec) -> str:
    return str(spec).partition(" ")[2] or str(spec)


def _similar(name: str, names: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, names, 3)
    return f"Did you mean {' or '.join(close)}?" if close else f"Check the name of {name}."


def _records(name: str, sparse: Sequence[SparseRepoData]) -> list[RepoDataRecord]:
    with _explained(f"the index entry of {name}"):
        return [record for index in sparse for record in index.load_records(name)]


# --- the solver decides --------------------------------------------------------------------------


def virtual_packages(platform: Platform, glibc: str) -> dict[str, tuple[str, str]]:
    """Returns name → version and build of what the image's system offers; never this machine's.

    Without a micro-architecture level the oldest processor of the platform is meant.
    """
    processor = platform.machine
    if platform.variant:
        level = platform.variant[:1] == "v" and platform.variant[1:].isdigit()
        processor = f"{platform.machine}_{platform.variant}" if level else platform.variant
    found = {
        "__unix": ("0", "0"),
        "__linux": (LINUX, "0"),
        "__archspec": ("1", processor),
    }
    return found | ({"__glibc": (glibc, "0")} if glibc else {})


def _solve(
    specs: Sequence[MatchSpec],
    request: CondaRequest,
    sparse: Sequence[SparseRepoData],
    staying: Sequence[RepoDataRecord],
) -> list[RepoDataRecord]:
    from rattler import ChannelPriority, solve_with_sparse_repodata
    from rattler.exceptions import SolverError

    told = virtual_packages(request.platform, request.glibc)
    asked = solve_with_sparse_repodata(
        specs,
        sparse,
        locked_packages=staying,
        virtual_packages=[_virtual(n, *known) for n, known in told.items()],
        timeout=dt.timedelta(seconds=_LIMIT_S),
        channel_priority=ChannelPriority.Strict,
    )
    try:
        with _explained("an index of the channels", SolverError):
            return asyncio.run(asked)
    except SolverError as error:
        reason = str(error).removeprefix("Cannot solve the request because of: ").strip()
        offered = ", ".join(f"{n} {v}" for n, (v, _) in told.items() if n != "__unix")
        raise UnavailableError(
            f"conda packages do not go together ({' '.join(map(str, specs))[:200]}): "
            f"{reason[:2000]}",
            code="F067",
            hint=f"Loosen what is asked for. The image offers {offered}.",
        ) from error


def _virtual(name: str, version: str, build: str) -> GenericVirtualPackage:
    from rattler import BuildString, GenericVirtualPackage, PackageName, Version

    return GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))


def _staying(
    held: PackageSet, renew: set[str], sparse: Sequence[SparseRepoData]
) -> list[RepoDataRecord]:
    """Returns the records of held packages that the channels still have, without the renewed."""
    found = []
    for package in held.packages:
        if package.name not in renew:
            digest = bytes.fromhex(package.file.digest.hex)
            found += [r for r in _records(package.name, sparse) if r.sha256 == digest][:1]
    return found


# --- what it chose -------------------------------------------------------------------------------


def _package(record: RepoDataRecord, request: CondaRequest) -> PinnedPackage:
    name, file_name = record.name.normalized, record.file_name
    channel = (record.channel or "").removeprefix(_ROOT).strip("/")
    path = f"{channel}/{record.subdir}/{file_name}"
    what = f"{path[:160]!r}"
    build, subdir = str(record.build), SUBDIRS[request.platform.architecture]
    if channel not in request.channels or record.subdir not in (subdir, "noarch"):
        raise _malformed(what, ValueError("it lies outside of its channel"))
    if unquote(record.url) != _ROOT + path or not file_name.endswith((".conda", ".tar.bz2")):
        raise _malformed(what, ValueError("its file does not lie beside the index"))
    if not _NAME.fullmatch(name) or not _BUILD.fullmatch(build):
        raise _malformed(what, ValueError("its name or build is not plain"))
    if record.sha256 is None:
        raise UnavailableError(
            f"the channel states no sha256 for {path}",
            code="F068",
            hint="md5 alone proves nothing: have the channel indexed anew (conda index), "
            "or ask for another version.",
        )
    return PinnedPackage(
        name=name,
        version=str(record.version),
        architecture=record.subdir,
        build=build,
        file=PinnedFile(
            name=file_name,
            digest=Digest(f"sha256:{record.sha256.hex()}"),
            size_bytes=record.size or 0,
            archive="conda",
            path=path,
        ),
    )
