"""One commit of a repository elsewhere: found by its ref, fetched, listed. Nothing is checked out.

The repository is hostile: git may speak one protocol only, reads neither the user's nor the
machine's configuration, asks nobody for a password and runs no hook; no text of a recipe can be
taken for an option. Time, the size of what comes and the number of names are limited.

Source: gitprotocol-v2(5), git-ls-remote(1), git-fetch(1), git-ls-tree(1), git-cat-file(1).
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from ssds.core.errors import IntegrityError, SsdsError, UnavailableError
from ssds.core.text import shown
from ssds.host.mirrors import Mirrors, redacted, scheme_of
from ssds.host.process import run

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})\t(refs/\S+)")
_ENTRY = re.compile(rb"([0-7]{6}) (blob|commit) ([0-9a-f]{40}|[0-9a-f]{64}) +([0-9]{1,15}|-)")
_MIB = 1024 * 1024
_CHUNK = 256 * 1024
_TOLD = 16 * 1024
_TOO_LARGE = "damaged or too large: at most"
_EVERYTHING = ("+refs/heads/*:refs/ssds/heads/*", "+refs/tags/*:refs/ssds/tags/*")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitLimits:
    """How much of a repository is taken.

    Attributes:
        pack_bytes: of one file that git writes: what comes over the network.
        size_bytes: sum of the files of the commit.
        entries: names in the commit.
        listing_bytes: what git may say about refs or names.
        time_s: for one call of git.
    """

    pack_bytes: int = 8 * 1024 * _MIB
    size_bytes: int = 8 * 1024 * _MIB
    entries: int = 500_000
    listing_bytes: int = 256 * _MIB
    time_s: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GitEntry:
    """One name of a commit's tree.

    Attributes:
        path: as git has it, bytes with ``/``.
        mode: git's six octal digits: 100644, 100755, 120000 (link), 160000 (submodule).
        identity: git's id of the content.
        size_bytes: of a file or a link; 0 for a submodule.
    """

    path: bytes
    mode: str
    identity: str
    size_bytes: int


class GitFetch:
    """A bare repository in a scratch folder, filled from elsewhere."""

    def __init__(self, folder: str, mirrors: Mirrors, limits: GitLimits | None = None) -> None:
        self.folder, self.mirrors = folder, mirrors
        self.limits = limits or GitLimits()

    # -- what others have ----------------------------------------------------------------------

    def refs(self, url: str) -> dict[str, str]:
        """Returns the tags and branches of a repository: full name → commit id, tags peeled.

        Raises:
            UnavailableError: F052, no address answers.
        """
        path = os.path.join(self.folder, "refs")
        problems = []
        for address in self.mirrors.rewritten(url):
            told = self._listed(path, "ls-remote", "--", address, protocol=scheme_of(address))
            if not told:
                break
            problems.append(f"{redacted(address)}: {told}")
        else:
            raise _unreachable(url, problems)
        found: dict[str, str] = {}
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                match = _REF.fullmatch(line.rstrip("\n"))
                if match:
                    found[match[2]] = match[1]
        peeled = {n.removesuffix("^{}"): c for n, c in found.items() if n.endswith("^{}")}
        return {n: c for n, c in {**found, **peeled}.items() if not n.endswith("^{}")}

    def find(self, url: str, ref: str) -> str:
        """Returns the commit that a tag or branch names now; a full commit id names itself.

        A tag goes before a branch of the same name.

        Raises:
            UnavailableError: F057 where there is no such ref, F052 where no address answers.
        """
        if COMMIT.fullmatch(ref):
            return ref
        known = self.refs(url)
        for name in (ref, f"refs/tags/{ref}", f"refs/heads/{ref}"):
            if name in known:
                return known[name]
        raise UnavailableError(
            f"{redacted(url)} has no tag or branch {shown(ref)!r}",
            code="F057",
            hint=_near(ref, known),
        )

    def fetch(self, url: str, commit: str) -> None:
        """Brings one commit with its tree; where a server gives no single commit, all its refs.

        Raises:
            UnavailableError: F052 where no address answers, F053 where none has the commit.
        """
        form = "sha256" if len(commit) == 64 else "sha1"
        self._checked("init", "--quiet", "--bare", "--template=", f"--object-format={form}")
        problems = []
        shallow = ("--depth=1", f"+{commit}:refs/ssds/commit")
        for address in self.mirrors.rewritten(url):
            told = ""
            for depth, *refs in (shallow, ("--no-tags", *_EVERYTHING)):
                words = ("fetch", "--quiet", "--no-tags", "--no-auto-maintenance", depth)
                done, told = self._git(
                    *words, "--no-recurse-submodules", "--", address, *refs,
                    protocol=scheme_of(address), limit_bytes=self.limits.pack_bytes,
                )  # fmt: skip
                if done == 0 and self._has(commit):
                    return
                if _TOO_LARGE in told:
                    break
            problems.append(f"{redacted(address)}: {told or 'does not have this commit'}")
        if any(problem.endswith("does not have this commit") for problem in problems):
            raise UnavailableError(
                f"commit {commit} cannot be had any more:\n    " + "\n    ".join(problems),
                code="F053",
                hint="Renew the pin: ssds lock --upgrade sources; or name a copy of the "
                "repository under 'upstream' in the settings.",
            )
        raise _unreachable(url, problems)

    # -- what is here --------------------------------------------------------------------------

    def _has(self, commit: str) -> bool:
        return self._git("cat-file", "-e", f"{commit}^{{commit}}")[0] == 0

    def tree(self, commit: str) -> str:
        """Returns the id of a commit's whole tree."""
        return self._checked("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")

    def date(self, commit: str) -> int:
        """Returns the committer's date in seconds since the Unix epoch, 0 where it is no date."""
        told = self._checked("show", "--no-patch", "--format=%ct", "--end-of-options", commit)
        return int(told) if re.fullmatch(r"[0-9]{1,11}", told) else 0

    def entries(self, tree: str) -> Iterator[GitEntry]:
        """Gives every name below a tree that is no folder, in git's order.

        Raises:
            IntegrityError: F041, there are too many or they are too large, or one is strange.
        """
        path = os.path.join(self.folder, "names")
        words = ("ls-tree", "-r", "-l", "-z", "--full-tree", "--end-of-options", tree)
        told = self._listed(path, *words)
        if told:
            raise _hostile(f"its names cannot be listed: {told}")
        left, total = self.limits.entries, 0
        with open(path, "rb") as file:
            for line in _records(file):
                head, _, name = line.partition(b"\t")
                match = _ENTRY.fullmatch(head)
                if match is None:
                    raise _hostile(f"git lists {shown(head[:80].decode('utf-8', 'replace'))!r}")
                size = int(match[4]) if match[4] != b"-" else 0
                left, total = left - 1, total + size
                if left < 0 or total > self.limits.size_bytes:
                    raise _hostile(
                        f"it holds more than {self.limits.entries} names or "
                        f"{self.limits.size_bytes // _MIB} MiB"
                    )
                yield GitEntry(
                    path=name,
                    mode=match[1].decode(),
                    identity=match[3].decode(),
                    size_bytes=size,
                )

    def contents(self, entries: Sequence[GitEntry]) -> Iterator[Iterator[bytes]]:
        """Gives the content of each entry, in order; each must be read before the next."""
        path = os.path.join(self.folder, "contents")
        wanted = "".join(f"{entry.identity}\n" for entry in entries).encode()
        limit = sum(entry.size_bytes + 128 for entry in entries) + _MIB
        told = self._listed(path, "cat-file", "--batch", stdin=wanted, limit_bytes=limit)
        if told:
            raise _hostile(f"its files cannot be read: {told}")
        with open(path, "rb") as file:
            for entry in entries:
                head = file.readline(256)
                if head != f"{entry.identity} blob {entry.size_bytes}\n".encode():
                    raise _hostile(f"git gives another content than {entry.identity}")
                yield _part(file, entry.size_bytes)
                file.read(1)

    # -- git -----------------------------------------------------------------------------------

    def _checked(self, *words: str) -> str:
        path = os.path.join(self.folder, "told")
        told = self._listed(path, *words)
        if told:
            raise _hostile(f"git {words[0]} failed: {told}")
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_TOLD).strip()

    def _listed(
        self, path: str, *words: str, protocol: str = "", stdin: bytes = b"", limit_bytes: int = 0
    ) -> str:
        """Writes what git says to ``path``; returns why it failed, or the empty string."""
        limit = limit_bytes or self.limits.listing_bytes
        with open(path, "wb") as file:
            code, told = self._git(
                *words, protocol=protocol, limit_bytes=limit, output=file, stdin=stdin
            )
        return (told or f"git ended with {code}") if code else ""

    def _git(
        self,
        *words: str,
        protocol: str = "",
        limit_bytes: int = _MIB,
        output: IO[bytes] | None = None,
        stdin: bytes = b"",
    ) -> tuple[int, str]:
        """Runs git on this repository; returns its exit code and its complaint in one line."""
        said = bytearray()

        def listen(data: bytes) -> None:
            said.extend(data[: max(0, _TOLD - len(said))])

        done = run(
            # A file that grows past the limit ends the process that writes it.
            ["prlimit", f"--fsize={limit_bytes}", "git", *self._options(), *words],
            env=_environment(self.folder, protocol),
            cwd=self.folder,
            stdin=stdin,
            timeout_s=self.limits.time_s,
            log=listen,
            capture=False,
            output=output,
        )
        if done.timed_out:
            return 1, f"took longer than {self.limits.time_s:.0f} s"
        told = _complaint(said.decode("utf-8", "replace"))
        if done.returncode in (-signal.SIGXFSZ, 128 + signal.SIGXFSZ):
            return 1, f"gave more than {limit_bytes // _MIB} MiB"
        if "index-pack" in told:  # the one that writes was ended, not the one that waits
            return 1, f"{told} ({_TOO_LARGE} {limit_bytes // _MIB} MiB are taken)"
        return done.returncode, told

    def _options(self) -> list[str]:
        settings = {
            "core.hooksPath": os.devnull,
            "credential.helper": "",
            "fetch.unpackLimit": "1",
            "gc.auto": "0",
            "http.lowSpeedLimit": "1000",
            "http.lowSpeedTime": "60",
            "protocol.version": "2",
            "transfer.bundleURI": "false",
        }
        if self.mirrors.proxy:
            settings["http.proxy"] = self.mirrors.proxy
        if self.mirrors.ca_bundle:
            settings["http.sslCAInfo"] = self.mirrors.ca_bundle
        options = [f"--git-dir={os.path.join(self.folder, 'repository.git')}"]
        for name, value in settings.items():
            options += ["-c", f"{name}={value}"]
        return options


def _environment(folder: str, protocol: str) -> dict[str, str]:
    kept = {n: v for n, v in os.environ.items() if n == "PATH" or n.lower().endswith("_proxy")}
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        **kept,
        "HOME": folder,
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": protocol if protocol in ("https", "http", "file") else "none",
        "GIT_ASKPASS": "false",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_SSH_COMMAND": "false",
        "GIT_TERMINAL_PROMPT": "0",
    }


def _records(file: IO[bytes]) -> Iterator[bytes]:
    """Gives what stands before each NUL."""
    rest = b""
    while chunk := file.read(_CHUNK):
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole


def _part(file: IO[bytes], size_bytes: int) -> Iterator[bytes]:
    while size_bytes:
        chunk = file.read(min(_CHUNK, size_bytes))
        if not chunk:
            raise _hostile("git gave less than it said")
        size_bytes -= len(chunk)
        yield chunk


def _complaint(text: str) -> str:
    """Returns git's first error lines, without addresses' passwords."""
    lines = [re.sub(r"//[^/@\s]+@", "//***@", line.strip()) for line in text.splitlines()]
    told = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))]
    return shown("; ".join(told[:3]))[:400]


def _unreachable(url: str, problems: Sequence[str]) -> SsdsError:
    return UnavailableError(
        f"the repository {redacted(url)} cannot be read:\n    " + "\n    ".join(problems),
        code="F052",
        hint="Check the address, the network and 'upstream' in the settings; only public "
        "repositories are read.",
    )


def _hostile(why: str) -> IntegrityError:
    return IntegrityError(
        f"the repository is not accepted: {why}",
        code="F041",
        hint="It is damaged, hostile or too large; check where it comes from.",
    )


def _near(ref: str, known: dict[str, str]) -> str:
    import difflib

    names = [name.removeprefix("refs/tags/").removeprefix("refs/heads/") for name in known]
    close = difflib.get_close_matches(ref, names, 3)
    if close:
        return f"Did you mean {' or '.join(shown(name) for name in close)}?"
    return "Name a tag, a branch or a full commit id (40 digits)."
