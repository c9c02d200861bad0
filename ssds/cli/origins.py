"""What a new recipe can start from: asks indexes and upstream, and fills in what they say."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ssds.cli.output import say
from ssds.core.errors import SsdsError, UnavailableError, UsageError
from ssds.core.platform import Platform
from ssds.recipe.model import Base
from ssds.recipe.starter import (
    Facts,
    Start,
    facts_of_debian,
    facts_of_wheel,
    licence_of_text,
    newest_tag,
    version_of_archive,
    version_of_tag,
    way_of,
)
from ssds.workspace import Workspace

if TYPE_CHECKING:
    from ssds.host.simple_index import IndexFile

KINDS = ("apt", "pip", "conda", "github", "url", "neurodocker", "hpccm", "spack", "easybuild")
SPACK = "v0.23.1"
EASYBUILD = "5.4.1"
"""What a new recipe takes; the recipe says it, so that it stays."""
_GITHUB = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]{0,38})/([A-Za-z0-9._-]{1,100})(?:@(\S+))?")
_TEMPLATE = re.compile(r"([a-z0-9_]+)(?:@(\S+))?")
_FORGE = "https://github.com"
_MOST_WHEEL = 8 * 1024 * 1024
_MOST_PINNED = 64 * 1024 * 1024
_ARCHIVE = re.compile(r"\.(?:tar\.\w+|tgz|zip|gz|xz|bz2|deb)$")


@dataclass(frozen=True, slots=True)
class Asking:
    """One new recipe while its facts are gathered; ``version`` is empty where nobody said it."""

    workspace: Workspace
    base: Base
    version: str

    def start(self, kind: str, words: tuple[str, ...], start: Start) -> tuple[Start, Facts]:
        """Returns the start with what it is built from, and what is known of it.

        Raises:
            UsageError: the words are no such thing.
            UnavailableError: nobody knows it.
        """
        own: Callable[[tuple[str, ...], Start], tuple[Start, Facts]] = getattr(self, f"_{kind}")
        return own(words, start)

    # -- indexes -------------------------------------------------------------------------------

    def _apt(self, words: tuple[str, ...], start: Start) -> tuple[Start, Facts]:
        facts = Facts(version=self.version)
        if not self.version:
            facts = self._suite(words[0])
        return replace(start, apt=words), facts

    def _suite(self, package: str) -> Facts:
        from ssds.packages.apt_index import open_index

        name, _, exact = package.partition("=")
        base = self.base
        if not base.suite:
            raise UsageError(
                f"the index of {base.name} is not known", hint="Give --version, or another --base."
            )
        folder = self.workspace.store.new_folder()
        say(f"asking the index of {base.suite} for {name}")
        try:
            index = open_index(
                folder,
                self.workspace.mirrors,
                suite=base.suite,
                components=base.components,
                architecture=Platform("linux/amd64").debian,
            )
            shown = index.query(["apt-cache", "show", "--no-all-versions", "--", name])
        except SsdsError as error:
            error.hint = f"{error.hint} With --version no index is asked."
            raise
        finally:
            from ssds.host.local import remove_folder

            remove_folder(folder)
        if not re.search(r"^Version: \S", shown.text, re.MULTILINE):
            raise UnavailableError(
                f"{base.suite} has no package {name!r}", hint="`apt-cache search WORD` finds names."
            )
        facts = facts_of_debian(shown.text)
        return replace(facts, version=facts_of_debian(f"Version: {exact}").version or facts.version)

    def _pip(self, words: tuple[str, ...], start: Start) -> tuple[Start, Facts]:
        exact = re.search(r"==\s*([^\s;,]+)", words[0])
        version = self.version or (exact[1] if exact else "")
        facts = Facts(version=version)
        if not self.version:
            try:
                facts = self._index(words[0], version)
            except SsdsError:
                if not version:
                    raise
                say("no index answered; the summary and the licence are left to you")
        pinned = tuple(
            text if re.search(r"[=<>~!]", text) else f"{text}=={facts.version}" for text in words
        )
        return replace(start, pip=pinned), facts

    def _index(self, requirement: str, version: str) -> Facts:
        """Returns what the newest wheel of a project says, or that of ``version``."""
        from packaging.utils import InvalidWheelFilename, parse_wheel_filename

        from ssds.packages.pip import check_requirement
        from ssds.store.fetch import fetching

        project = check_requirement(requirement)
        say(f"asking the Python index for {project}")
        with fetching(self.workspace.mirrors) as (_, indexes):
            files = indexes.files(project)
        found: dict[Any, IndexFile] = {}
        for file in files:
            try:
                name, its, _, _ = parse_wheel_filename(file.name)
            except (InvalidWheelFilename, ValueError):
                continue
            if name == project and not file.yanked:
                found[its] = min(found.get(its, file), file, key=lambda f: f.size_bytes)
        plain = [v for v in found if not v.is_prerelease and not v.local]
        chosen = next((v for v in found if str(v) == version), None) if version else None
        if chosen is None and plain and not version:
            chosen = max(plain)
        if chosen is None:
            return Facts(version=version)
        facts = Facts(version=str(chosen))
        file = found[chosen]
        if file.digest is None:
            return facts
        with fetching(self.workspace.mirrors) as (fetcher, _):
            size = file.size_bytes or fetcher.size(file.url, local=True)
        if not 0 < size <= _MOST_WHEEL:
            return facts
        return replace(self._wheel(file.name, file.url, str(file.digest)), version=str(chosen))

    def _wheel(self, name: str, url: str, digest: str) -> Facts:
        from ssds.core.digest import Digest
        from ssds.store.fetch import fetching

        blobs = self.workspace.store.blobs
        if not blobs.has(Digest(digest)):
            with fetching(self.workspace.mirrors) as (fetcher, _):
                fetcher.download([url], blobs.writer, digest=Digest(digest), local=True, name=name)
        texts = {"METADATA": "", "entry_points.txt": ""}
        try:
            with zipfile.ZipFile(blobs.path(Digest(digest))) as wheel:
                for entry in wheel.infolist():
                    folder, _, file = entry.filename.partition("/")
                    if folder.endswith(".dist-info") and file in texts:
                        with wheel.open(entry) as stream:
                            texts[file] = stream.read(1 << 20).decode("utf-8", "replace")
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError):
            return Facts()
        return facts_of_wheel(*texts.values())

    def _conda(self, words: tuple[str, ...], start: Start) -> tuple[Start, Facts]:
        channel, _, spec = words[0].rpartition("/")
        name, _, version = spec.partition("=")
        version = version.lstrip("=") or self.version
        if not version:
            raise UsageError(
                f"which version of {name}?", hint=f"Write conda:{name}=VERSION, or give --version."
            )
        channels = (channel,) if channel else start.channels
        packages = (f"{name}={version}", *words[1:])
        return replace(start, conda=packages, channels=channels), Facts(version=version)

    # -- files ---------------------------------------------------------------------------------

    def _github(self, words: tuple[str, ...], start: Start) -> tuple[Start, Facts]:
        match = _GITHUB.fullmatch(words[0])
        if match is None:
            raise UsageError(f"{words[0][:80]!r} is no repository", hint="OWNER/REPO or …@TAG.")
        home = f"{_FORGE}/{match[1]}/{match[2]}"
        tag = match[3] or self._newest_tag(home)
        if not re.fullmatch(r"[A-Za-z0-9._+/-]+", tag) or ".." in tag:
            raise UsageError(f"{tag[:80]!r} is not a tag", hint="Write OWNER/REPO@TAG.")
        url = f"{home}/archive/refs/tags/{tag}.tar.gz"
        start, facts = self._archive(url, start)
        return start, replace(facts, version=self.version or version_of_tag(tag), homepage=home)

    def _newest_tag(self, home: str) -> str:
        from ssds.host.git_fetch import GitFetch
        from ssds.host.local import remove_folder

        folder = self.workspace.store.new_folder()
        say(f"asking {home} for its tags")
        try:
            refs = GitFetch(folder, self.workspace.mirrors).refs(home)
        except SsdsError as error:
            error.hint = f"{error.hint} With @TAG nobody is asked."
            raise
        finally:
            remove_folder(folder)
        tags = [n.removeprefix("refs/tags/") for n in refs if n.startswith("refs/tags/")]
        found = newest_tag(tags)
        if not found:
            raise UsageError(
                "no tag of the repository is a plain version", hint="Write OWNER/REPO@TAG."
            )
        return found

    def _url(self, words: tuple[str, ...], start: Start) -> tuple[Start, Facts]:
        start, facts = self._archive(words[0], start)
        return start, replace(facts, version=self.version or version_of_archive(words[0]))

    def _archive(self, url: str, start: Start) -> tuple[Start, Facts]:
        """Loads an archive once: its checksum, how it is built, and its licence."""
        if start.sha256:
            return replace(start, url=url), Facts()
        digest = self._loaded(url)
        names, licence = self._inside(url, digest)
        return replace(start, url=url, sha256=digest.partition(":")[2], way=way_of(names)), Facts(
            license_=licence
        )

    def _loaded(self, url: str) -> str:
        """Returns the digest of what is at an address; the bytes are in the store then."""
        from ssds.store.fetch import fetch_unpinned

        if not re.fullmatch(r"https?://[^\s@]+/[^\s/]+", url):
            raise UsageError(
                f"{url[:80]!r} is not a web address of a file", hint="Write https://HOST/…/FILE."
            )
        say(f"loading {url}")
        name = url.rpartition("/")[2]
        digest, size = fetch_unpinned(
            self.workspace.store.blobs, name, (url,), self.workspace.mirrors
        )
        say(f"{size} bytes, {digest}: compare it with what its makers publish")
        return str(digest)

    def _inside(self, url: str, digest: str) -> tuple[list[str], str]:
        """Returns the names at the top of an archive, and its licence."""
        from ssds.core.digest import Digest
        from ssds.host.archives import unpack_archive
        from ssds.host.local import remove_folder

        store = self.workspace.store
        folder = store.new_folder()
        try:
            name = url.rpartition("/")[2]
            unpack_archive(str(store.blobs.path(Digest(digest))), f"{folder}/x", name=name)
            top = f"{folder}/x"
            names = os.listdir(top)
            if len(names) == 1 and os.path.isdir(os.path.join(top, names[0])):
                top = os.path.join(top, names[0])
                names = os.listdir(top)
            licence = ""
            for file in sorted(n for n in names if re.match(r"(?i)(licen[cs]e|copying)", n)):
                place = os.path.join(top, file)
                if os.path.isfile(place) and not os.path.islink(place):
                    with open(place, encoding="utf-8", errors="replace") as text:
                        licence = licence or licence_of_text(text.read(20_000))
            return names, licence
        finally:
            remove_folder(folder)

    # -- generators ----------------------------------------------------------------------------

    def _neurodocker(self, words: tuple[str, ...], start: Start) -> tuple[Start, Facts]:
        from ssds.recipe.generators import neurodocker
        from ssds.recipe.generators.model import ExpansionProblem

        match = _TEMPLATE.fullmatch(words[0])
        try:
            name, asked = (match[1], match[2] or "") if match else (words[0], "")
            described = neurodocker.template(name)
            part = described.get("binaries") or {}
            known = neurodocker.versions(name, "binaries") if part else []
        except ExpansionProblem as problem:
            raise told(problem) from None
        moving = {"latest", "nightly", "dev", "master"}
        version = asked or self.version or next((v for v in known if v not in moving), "")
        if not version:
            raise UsageError(f"which version of {name}?", hint=f"neurodocker:{name}@VERSION")
        fields = {"template": name, "version": '"{{ version }}"'}
        if known and version not in known:
            shown = ", ".join(known[:20])
            raise UsageError(f"{name} has no version {version}", hint=f"Known: {shown}.")
        page = str(described.get("url", ""))
        facts = Facts(version=version, homepage=page if page.startswith("http") else "")
        url = str({str(k): v for k, v in (part.get("urls") or {}).items()}.get(version, ""))
        if self._can_be_pinned(url, str(part.get("instructions", ""))):
            digest = self._loaded(url).partition(":")[2]
            start = replace(start, url=url, sha256=digest)
            fields["source"] = "download"
        return replace(start, step=("neurodocker", fields)), facts

    def _hpccm(self, words: tuple[str, ...], start: Start) -> tuple[Start, Facts]:
        from ssds.recipe.generators import hpccm
        from ssds.recipe.generators.model import ExpansionProblem, unknown

        name, _, version = words[0].partition("@")
        try:
            if name not in hpccm.blocks():
                raise unknown("R111", (), "block", name, hpccm.blocks())
            known = hpccm.arguments(name)
        except ExpansionProblem as problem:
            raise told(problem) from None
        version = version or self.version or hpccm.default_version(name)
        own = {"version": '"{{ version }}"'} if "version" in known else {}
        own |= {"toolchain": "gnu"} if "toolchain" in known else {}
        given = ", ".join(f"{key}: {value}" for key, value in own.items())
        block = f"{{{name}: {{{given}}}}}"
        before = "{gnu: {}}, " if "toolchain" in own else ""
        return replace(start, step=("hpccm", {"blocks": f"[{before}{block}]"})), Facts(
            version=version
        )

    def _spack(self, words: tuple[str, ...], start: Start) -> tuple[Start, Facts]:
        exact = re.search(r"@=?([A-Za-z0-9_.-]+)", words[0])
        fields = {"specs": f"[{json.dumps(words[0])}]", "ref": f"{SPACK}  # of Spack itself"}
        return replace(start, step=("spack", fields)), Facts(
            version=self.version or (exact[1] if exact else "")
        )

    def _easybuild(self, words: tuple[str, ...], start: Start) -> tuple[Start, Facts]:
        exact = re.match(r"[^-].*?-(\d[A-Za-z0-9_.]*)(?:-.*)?\.eb$", words[0])
        fields = {
            "easyconfig": json.dumps(words[0]),
            "version": f"{EASYBUILD}  # of EasyBuild itself",
        }
        return replace(start, step=("easybuild", fields)), Facts(
            version=self.version or (exact[1] if exact else "")
        )

    def _can_be_pinned(self, url: str, instructions: str) -> bool:
        """Whether a template fetches one file of bounded size, which a source can stand for."""
        from ssds.store.fetch import fetching

        other = re.search(r"https?://|git clone|conda |pip install|npm ", instructions)
        if "{{" in url or other or instructions.count("self.urls") != 1 or "@" in url:
            return False
        if re.search(r"\.(?:py|sh)$", url) or not url.startswith("https://"):
            return False  # the installer of another installer
        with fetching(self.workspace.mirrors) as (fetcher, _):
            sizes = [
                fetcher.size(address, local=True)
                for address in self.workspace.mirrors.rewritten(url)
            ]
        return any(0 < size <= _MOST_PINNED for size in sizes)


def told(problem: Exception) -> UsageError:
    """Returns what an expansion says, as an error of the command line."""
    from ssds.recipe.codes import row_of
    from ssds.recipe.generators.model import ExpansionProblem

    assert isinstance(problem, ExpansionProblem)
    row = row_of(problem.code)
    facts = ", ".join(f"{label}: {text}" for label, text in problem.facts)
    return UsageError(f"{row.summary} ({facts[:400]})", hint=f"{problem.first} {row.hint}".strip())
