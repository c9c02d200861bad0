"""Python packages: a request becomes an exact set of wheels, decided by pip for the image's Python.

Nothing of the image runs: pip is told the platform, the Python version and the markers. Only
wheels are taken, so no foreign build script runs either. Sources: PEP 508, PEP 425, PEP 600,
pip's installation report version 1.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from ssds.core.canonical import fingerprint
from ssds.core.digest import Digest
from ssds.core.errors import IntegrityError, InvalidValue, UnavailableError
from ssds.core.pins import PackageSet, PinnedFile, PinnedPackage
from ssds.core.platform import Platform
from ssds.host.fetch import Fetcher
from ssds.host.mirrors import Mirrors
from ssds.host.process import run
from ssds.host.simple_index import normalized
from ssds.packages.pip_install import TOOL, install_script, write_wheel_folder

__all__ = ["TOOL", "install_script", "resolve", "write_wheel_folder"]

DEBIAN_12_GLIBC = (2, 36)
_LIMIT_S = 900.0
_OLDEST_GLIBC = {"x86_64": 5, "aarch64": 17}
_LEGACY = {
    "x86_64": ("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"),
    "aarch64": ("manylinux2014_aarch64",),
}
_WHEEL = re.compile(r"([A-Za-z0-9_.]+)-([A-Za-z0-9_.!+]+)(?:-\d[^-]*)?-[^-]+-[^-]+-([^-]+)\.whl")

_PROGRAM = """
import json, os, sys
from pip._vendor.packaging import markers
own = markers.default_environment
wanted = json.loads(os.environ.pop("SSDS_MARKERS"))
markers.default_environment = lambda: {**own(), **wanted}
report = os.dup(1)
os.dup2(2, 1)
kept = os.memfd_create("constraints", 0)
os.write(kept, os.environ.pop("SSDS_CONSTRAINTS").encode())
from pip._internal.cli.main import main
places = {"--report": report, "--constraint": kept}
fd = lambda word: f"{word}=/proc/self/fd/{places[word]}"
sys.exit(main([fd(word) if word in places else word for word in sys.argv[1:]]))
"""


def resolve(
    requirements: Sequence[str],
    platform: Platform,
    python_version: str,
    mirrors: Mirrors,
    *,
    glibc: tuple[int, int] = DEBIAN_12_GLIBC,
    kept: Mapping[str, str] | None = None,
) -> PackageSet:
    """Returns the exact wheels that answer the requirements, and the pip that installs them.

    The set holds pip's own wheel with the architecture TOOL: it is used in the sandbox and does
    not reach the image unless something requires it.

    Args:
        requirements: PEP 508 texts, no addresses.
        platform: of the image.
        python_version: of the image, ``3.11`` or ``3.11.2``.
        mirrors: the indexes.
        glibc: of the image; newer wheels are not taken.
        kept: name → version of packages that stay where they are, should they be needed.

    Raises:
        InvalidValue: a text that is no requirement.
        UnavailableError: no set of wheels answers; no Python in the image; no index.
    """
    names = [check_requirement(text) for text in requirements]
    if not re.fullmatch(r"3\.\d{1,2}(\.\d{1,3})?", python_version):
        raise UnavailableError(
            "the image has no Python for the pip step"
            if not python_version
            else f"{python_version[:40]!r} is not a Python version",
            code="F061",
            hint="Install it in an apt step before: apt: [python3].",
        )
    report = _ask(requirements, platform, python_version, mirrors, glibc, kept or {})
    packages = _packages(report, "pip" in names, mirrors)
    return PackageSet(
        manager="pip",
        request=fingerprint(
            {
                "requirements": sorted(requirements),
                "platform": str(platform),
                "python": python_version,
                "glibc": list(glibc),
            },
            "pip-request",
        ),
        packages=packages,
    )


def check_requirement(text: str) -> str:
    """Returns the normalised project name; raises InvalidValue for no requirement (PEP 508)."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        parsed = Requirement(text)
    except InvalidRequirement as error:
        raise InvalidValue(
            f"{text[:80]!r} is not a Python requirement",
            hint="Write for instance nibabel==5.2.1.",
        ) from error
    if parsed.url:
        raise InvalidValue(
            f"{text[:80]!r} names an address",
            hint="Requirements come from the configured index; pin other files as sources.",
        )
    return normalized(parsed.name)


def platform_tags(platform: Platform, glibc: tuple[int, int]) -> list[str]:
    """Returns the wheel platform tags that run there, best first (PEP 600)."""
    machine = platform.machine
    newest = range(glibc[1], _OLDEST_GLIBC[machine] - 1, -1)
    tags = [f"manylinux_{glibc[0]}_{minor}_{machine}" for minor in newest]
    return [*tags, *_LEGACY[machine], f"linux_{machine}"]


def _markers(platform: Platform, python_version: str) -> dict[str, str]:
    short = ".".join(python_version.split(".")[:2])
    full = python_version if python_version.count(".") == 2 else f"{short}.0"
    return {
        "implementation_name": "cpython",
        "implementation_version": full,
        "os_name": "posix",
        "platform_machine": platform.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": full,
        "python_version": short,
        "sys_platform": "linux",
    }


def _environment(mirrors: Mirrors, markers: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment in which pip sees our mirrors and nothing of the user's settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PIP_", "PYTHON")) and name != "VIRTUAL_ENV"
    }
    first, *more = mirrors.indexes()
    ours = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": first,
        "PIP_EXTRA_INDEX_URL": " ".join(more),
        "PIP_FIND_LINKS": " ".join(mirrors.find_links),
        "PIP_CERT": mirrors.ca_bundle,
        "PIP_PROXY": mirrors.proxy,
        "PIP_NO_INPUT": "1",
        "PIP_NO_COLOR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_DEFAULT_TIMEOUT": "30",
        "SSDS_MARKERS": json.dumps(dict(markers)),
        "LC_ALL": "C.UTF-8",
    }
    return {**kept, **{name: value for name, value in ours.items() if value}}


def _ask(
    requirements: Sequence[str],
    platform: Platform,
    python_version: str,
    mirrors: Mirrors,
    glibc: tuple[int, int],
    kept: Mapping[str, str],
) -> Sequence[Mapping[str, Any]]:
    """Runs pip's resolver without installing; returns its report's entries."""
    minor = python_version.split(".")[1]
    argv = [sys.executable, "-c", _PROGRAM, "install", "--dry-run", "--ignore-installed"]
    argv += [
        "--progress-bar",
        "off",
        "--report",
        "--constraint",
        "--target",
        "/nonexistent",
        "--only-binary",
        ":all:",
    ]
    argv += ["--implementation", "cp", "--python-version", f"3.{minor}"]
    argv += ["--abi", f"cp3{minor}", "--abi", "abi3", "--abi", "none"]
    for tag in platform_tags(platform, glibc):
        argv += ["--platform", tag]
    told = bytearray()
    ended = run(
        [*argv, "--", *requirements, *([] if _names_pip(requirements) else ["pip"])],
        env={
            **_environment(mirrors, _markers(platform, python_version)),
            "SSDS_CONSTRAINTS": "".join(f"{n}=={v}\n" for n, v in kept.items()),
        },
        timeout_s=_LIMIT_S,
        merge_errors=False,
        log=told.extend,
    )
    if ended.returncode != 0:
        raise _explained(told.decode("utf-8", "replace"), platform, timed_out=ended.timed_out)
    try:
        entries = json.loads(ended.stdout)["install"]
        assert isinstance(entries, list)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise UnavailableError(
            "pip gave no readable report",
            code="F062",
            hint="Install a newer pip (23.0 or later) beside ssds.",
        ) from error
    return entries


def _names_pip(requirements: Iterable[str]) -> bool:
    return any(check_requirement(text) == "pip" for text in requirements)


def _explained(text: str, platform: Platform, *, timed_out: bool) -> UnavailableError:
    text = re.sub(r"//[^/@\s]+@", "//***@", text)
    if "No module named pip" in text or "No module named 'pip'" in text:
        return UnavailableError(
            "pip is not installed beside ssds",
            code="F062",
            hint="Install it into the same environment: python -m ensurepip.",
        )
    missing = re.search(r"No matching distribution found for (\S.*)", text)
    if missing:
        versions = re.search(r"\(from versions: ([^)]*)\)", text)
        known = versions[1] if versions and versions[1] != "none" else ""
        shown = ", ".join(known.split(", ")[-8:])
        return UnavailableError(
            f"no wheel of {missing[1][:120]} for {platform} and this Python"
            + (f" (there are: {shown})" if shown else ""),
            code="F063",
            hint="Ask for another version; packages without wheels are built in a run step.",
        )
    conflict = re.search(r"(The conflict is caused by:.*?)(?:\n\n|To fix)", text, re.DOTALL)
    lines = [line[7:] for line in text.splitlines() if line.startswith("ERROR: ")]
    told = " ".join(conflict[1].split()) if conflict else "; ".join(lines[:3])
    if timed_out:
        told = f"no answer within {_LIMIT_S:.0f} s"
    return UnavailableError(
        f"pip cannot resolve the requirements: {told[:600] or text[-300:]}",
        code="F063",
        hint="Loosen the requirements, or check the network and mirrors.pypi in ssds.yaml.",
    )


def _packages(
    entries: Sequence[Mapping[str, Any]], pip_asked: bool, mirrors: Mirrors
) -> tuple[PinnedPackage, ...]:
    required = any(
        re.match(r"pip\b(?![-_.\w])", str(text))
        for entry in entries
        for text in entry.get("metadata", {}).get("requires_dist", ())
    )
    try:
        found = [
            (_package(entry, tool=not (pip_asked or required)), _address(entry))
            for entry in entries
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise IntegrityError("pip's report lacks a field", code="F062") from error
    with (
        Fetcher(ca_bundle=mirrors.ca_bundle, proxy=mirrors.proxy) as fetcher,
        concurrent.futures.ThreadPoolExecutor(4) as pool,
    ):
        sizes = list(pool.map(lambda pair: fetcher.size(pair[1], local=True), found))
    packages = [_with_size(package, size) for (package, _), size in zip(found, sizes, strict=True)]
    return tuple(sorted(packages, key=lambda p: (p.name, p.version)))


def _address(entry: Mapping[str, Any]) -> str:
    return str(entry["download_info"]["url"])


def _package(entry: Mapping[str, Any], *, tool: bool) -> PinnedPackage:
    url = _address(entry)
    name = normalized(str(entry["metadata"]["name"]))
    file_name = unquote(urlsplit(url).path.rpartition("/")[2])
    wheel = _WHEEL.fullmatch(file_name)
    sha256 = str(entry["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256", ""))
    if wheel is None or normalized(wheel[1]) != name:
        raise IntegrityError(f"pip chose {file_name[:120]!r}, which is no wheel of {name}")
    if not sha256:
        raise UnavailableError(
            f"the index states no sha256 for {file_name}",
            code="F063",
            hint="Use an index that states digests (every PEP 503 index may).",
        )
    return PinnedPackage(
        name=name,
        version=str(entry["metadata"]["version"]),
        architecture=TOOL if tool and name == "pip" else wheel[3],
        file=PinnedFile(
            name=file_name,
            digest=Digest(f"sha256:{sha256}"),
            archive="pypi",
            path=f"{name}/{file_name}",
        ),
    )


def _with_size(package: PinnedPackage, size_bytes: int) -> PinnedPackage:
    from dataclasses import replace

    return replace(package, file=replace(package.file, size_bytes=size_bytes))
