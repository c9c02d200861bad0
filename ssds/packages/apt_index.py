"""A private view of a Debian archive: apt's own tools with a configuration that is ours alone.

The machine's apt is neither read nor changed: the configuration comes by ``APT_CONFIG``, which is
read before every other file, and points each folder elsewhere. Works as an ordinary user and for
foreign architectures; no foreign code runs. Source: apt.conf(5), apt-secure(8).
"""

from __future__ import annotations

import calendar
import email.utils
import glob
import hashlib
import os
import re
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ssds.core.errors import IntegrityError, UnavailableError
from ssds.host import local
from ssds.host.files import locked
from ssds.host.mirrors import Mirrors, is_local, local_path, redacted
from ssds.host.process import Completed, run

_UPDATE_LIMIT_S = 900.0
_QUERY_LIMIT_S = 300.0
_WORD = re.compile(r"[a-z0-9][a-z0-9.+/-]*")

CONFIGURATION = """\
Dir "{root}";
Dir::State "state";
Dir::State::lists "lists";
Dir::State::status "{status}";
Dir::State::extended_states "{root}/extended_states";
Dir::Cache "cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Dir::Etc "etc";
Dir::Etc::main "none";
Dir::Etc::parts "parts";
Dir::Etc::sourcelist "sources.list";
Dir::Etc::sourceparts "sources";
Dir::Etc::preferences "none";
Dir::Etc::preferencesparts "preferences";
Dir::Etc::trusted "none";
Dir::Etc::trustedparts "trusted";
Dir::Etc::netrc "none";
Dir::Etc::netrcparts "netrc";
Dir::Log "log";
Dir::Bin::dpkg "/bin/false";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "root";
APT::Cmd::Pattern-Only "true";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Acquire::ForceHash "SHA256";
Acquire::PDiffs "false";
Acquire::Retries "4";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AptIndex:
    """A fetched and verified package index.

    Attributes:
        folder: its private folder.
        archive: ``debian`` or ``debian-security``.
        suite, components, architecture: what it is the index of.
        epoch: seconds since the Unix epoch, of the date that the archive signed.
    """

    folder: str
    archive: str
    suite: str
    components: tuple[str, ...]
    architecture: str
    epoch: int

    @property
    def title(self) -> str:
        """What it is, for messages."""
        return f"{self.suite} {' '.join(self.components)} ({self.architecture})"

    def query(self, argv: Sequence[str], *, status: str = "") -> Completed:
        """Runs an apt tool on this index; ``status`` is the text of dpkg's status file."""
        name = hashlib.sha256(status.encode()).hexdigest()[:24]
        path = os.path.join(self.folder, "status", name) if status else "/dev/null"
        conf = os.path.join(
            self.folder, "status", f"{name}-{os.getpid()}-{threading.get_ident()}.conf"
        )
        if status and not os.path.exists(path):
            _put(path, status)
        _put(conf, _configuration(self.folder, self.architecture, path))
        try:
            return run(argv, env=_environment(conf), timeout_s=_QUERY_LIMIT_S)
        finally:
            os.unlink(conf)

    def marked(self, automatic: Collection[str]) -> str:
        """Returns the path of a file that marks packages as there for others only."""
        text = "".join(
            f"Package: {name}\nArchitecture: {self.architecture}\nAuto-Installed: 1\n\n"
            for name in sorted(automatic)
        )
        name = hashlib.sha256(text.encode()).hexdigest()[:24]
        path = os.path.join(self.folder, "status", f"{name}.automatic")
        _put(path, text)
        return path


def archive_of(suite: str) -> str:
    """Returns which archive holds a suite."""
    return "debian-security" if suite.endswith(("-security", "/updates")) else "debian"


def open_index(
    cache: str,
    mirrors: Mirrors,
    *,
    suite: str,
    components: Sequence[str],
    architecture: str,
    sources: bool = False,
) -> AptIndex:
    """Returns the index of a suite, its signature verified; fetches it once per ``cache`` folder.

    Args:
        cache: a folder for indexes; a fresh one means a fresh index.
        mirrors: where the archive is, and its keyring.
        suite, components, architecture: what is wanted.
        sources: the index of source packages instead of binary ones.

    Raises:
        UnavailableError: no mirror gave it, or this machine lacks apt or the archive's keys.
    """
    for word in (suite, architecture, *components):
        if not _WORD.fullmatch(word) or ".." in word:
            raise IntegrityError(f"{word[:60]!r} is no suite or component", code="F046")
    archive = archive_of(suite)
    words = ["src" if sources else "bin", suite, *components, architecture]
    folder = os.path.join(os.path.abspath(cache), "apt", "_".join(words).replace("/", "-"))
    os.makedirs(folder, exist_ok=True)
    with locked(os.path.join(folder, "lock")):
        marker = os.path.join(folder, "complete")
        if not os.path.exists(marker):
            kind = "deb-src" if sources else "deb"
            _update(folder, kind, mirrors, archive, suite, components, architecture)
            _put(marker, "")
        epoch = _release_date(folder, suite)
    return AptIndex(
        folder=folder,
        archive=archive,
        suite=suite,
        components=tuple(components),
        architecture=architecture,
        epoch=epoch,
    )


def _update(
    folder: str,
    kind: str,
    mirrors: Mirrors,
    archive: str,
    suite: str,
    components: Sequence[str],
    architecture: str,
) -> None:
    for name in ("etc/parts", "etc/sources", "etc/preferences", "etc/trusted", "etc/netrc"):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    for name in ("state/lists/partial", "cache/archives/partial", "log", "status"):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    if not mirrors.keyring:
        raise UnavailableError(
            "the Debian archive's keys are missing, so its indexes cannot be verified",
            code="F058",
            hint="Install them: apt-get install debian-archive-keyring.",
        )
    problems = []
    for root in mirrors.archive(archive):
        options = f"arch={architecture} signed-by={mirrors.keyring}"
        line = f"{kind} [{options}] {_apt_uri(root)} {suite} {' '.join(components)}\n"
        _put(os.path.join(folder, "etc/sources.list"), line)
        conf = os.path.join(folder, "update.conf")
        _put(conf, _configuration(folder, architecture, "/dev/null") + _transport(mirrors))
        ended = run(["apt-get", "-q", "update"], env=_environment(conf), timeout_s=_UPDATE_LIMIT_S)
        index = "Sources" if kind == "deb-src" else "Packages"
        if ended.returncode == 0 and glob.glob(os.path.join(folder, f"state/lists/*_{index}")):
            return
        told = "took too long" if ended.timed_out else "; ".join(complaints(ended))
        problems.append(f"{redacted(root)}: {told or 'gave no index'}")
    raise UnavailableError(
        f"the index of {suite} {' '.join(components)} for {architecture} cannot be had: "
        + " | ".join(problems),
        code="F052",
        hint=f"Check the suite's name, the network and mirrors.{archive} in ssds.yaml.",
    )


def _apt_uri(root: str) -> str:
    return f"copy:{local_path(root)}" if is_local(root) else root


def _transport(mirrors: Mirrors) -> str:
    lines = ""
    if mirrors.proxy:
        lines += (
            f'Acquire::http::Proxy "{mirrors.proxy}";\nAcquire::https::Proxy "{mirrors.proxy}";\n'
        )
    if mirrors.ca_bundle:
        lines += f'Acquire::https::CaInfo "{mirrors.ca_bundle}";\n'
    return lines


def _configuration(folder: str, architecture: str, status: str) -> str:
    return CONFIGURATION.format(root=folder, architecture=architecture, status=status)


def _environment(conf: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "TMPDIR") or name.lower().endswith("_proxy")
    }
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **kept, "APT_CONFIG": conf, "LC_ALL": "C"}


def _put(path: str, text: str) -> None:
    beside = f"{path}.{os.getpid()}-{threading.get_ident()}"
    local.write(beside, text.encode())
    os.rename(beside, path)


def complaints(ended: Completed) -> list[str]:
    """Returns apt's own error lines, without their prefix, the first few."""
    lines = [line[3:].strip() for line in ended.text.splitlines() if line.startswith("E: ")]
    return [re.sub(r"//[^/@\s]+@", "//***@", line)[:300] for line in lines][:6]


def _release_date(folder: str, suite: str) -> int:
    """Returns the signed date of the suite in seconds; source: Release file, field ``Date``."""
    for path in sorted(glob.glob(os.path.join(folder, "state/lists/*Release"))):
        with open(path, encoding="utf-8", errors="replace") as file:
            match = re.search(r"^Date: (.+)$", file.read(1024 * 1024), re.MULTILINE)
        parsed = email.utils.parsedate_tz(match[1]) if match else None
        if parsed:
            return calendar.timegm((*parsed[:6], 0, 0, 0)) - (parsed[9] or 0)
    raise IntegrityError(
        f"the index of {suite} states no date",
        code="F046",
        hint="Its mirror is not a Debian archive; check mirrors in ssds.yaml.",
    )
