"""Installs an exact set of Debian packages in the sandbox, without network and without noise.

The packages lie in a flat repository below /run, and so does all of apt's own state, so that only
what the packages bring reaches the image. apt checks each file's sha256 against the repository,
which is written from the lock.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from ssds.core.errors import IntegrityError
from ssds.core.pins import PinnedPackage
from ssds.host import local
from ssds.packages import debian

PACKAGES = "/run/ssds/packages"
"""Where the repository is bound, read-only."""
STATE = "/run/ssds/apt"

_CONFIGURATION = f"""\
Dir::State "{STATE}/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::State::extended_states "{STATE}/extended_states";
Dir::Cache "{STATE}/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc "{STATE}/etc";
Dir::Etc::main "none";
Dir::Etc::parts "parts";
Dir::Etc::sourcelist "sources.list";
Dir::Etc::sourceparts "sources";
Dir::Etc::preferences "none";
Dir::Etc::preferencesparts "preferences";
Dir::Etc::trusted "none";
Dir::Etc::trustedparts "trusted";
Dir::Log "{STATE}/log";
Dir::Log::planner "/dev/null";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "root";
APT::Get::Assume-Yes "true";
APT::Get::AllowUnauthenticated "true";
APT::Cmd::Pattern-Only "true";
Acquire::Languages "none";
Binary::apt-get::Acquire::ForceHash "SHA256";
Dpkg::Use-Pty "0";
DPkg::Options {{ "--force-confdef"; "--force-confold"; "--log=/dev/null"; }};
"""

_SCRIPT = """\
set -eu
umask 022
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true DEBCONF_NOWARNINGS=yes
for part in state/lists/partial cache/archives/partial log \\
  etc/parts etc/sources etc/preferences etc/trusted
do mkdir -p @STATE@/$part
done
cat > @STATE@/apt.conf <<'SSDS'
@CONFIGURATION@SSDS
printf '%s\\n' 'deb [trusted=yes] file:@PACKAGES@ ./' > @STATE@/etc/sources.list
export APT_CONFIG=@STATE@/apt.conf
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
apt-get -qq update
apt-get -q install --no-remove -- @WANTED@
"""


def write_flat_repository(folder: str, packages: Sequence[tuple[PinnedPackage, str]]) -> None:
    """Writes a flat repository of exactly these packages into ``folder``.

    Each description comes from the package's own control file; size and sha256 from its pin.

    Args:
        folder: exists and is empty; to be bound at PACKAGES.
        packages: each with the path of its .deb, whose sha256 was checked.

    Raises:
        IntegrityError: a .deb that is not what its pin says.
    """
    stanzas = []
    for package, path in packages:
        name = file_name(package)
        local.link_or_copy(path, os.path.join(folder, name))
        stanzas.append(stanza(package, path, f"./{name}"))
    local.write(os.path.join(folder, "Packages"), "\n".join(sorted(stanzas)).encode())


def stanza(package: PinnedPackage, path: str, place: str) -> str:
    """Returns the index paragraph of a package whose file will be found at ``place``.

    Raises:
        IntegrityError: the .deb holds another package than the pin names.
    """
    text = debian.control_text(path)
    fields = debian.paragraph(text)
    found = tuple(fields.get(field, "") for field in ("Package", "Version", "Architecture"))
    if found != (package.name, package.version, package.architecture):
        raise IntegrityError(
            f"{package.file.name} is {' '.join(found)}, but the lock says "
            f"{package.name} {package.version} {package.architecture}",
            code="F047",
            hint="Renew the pin: ssds lock.",
        )
    kept = [
        line
        for line in text.strip("\n").splitlines()
        if line.partition(":")[0].lower() not in ("filename", "size", "sha256", "md5sum")
    ]
    size = package.file.size_bytes or os.stat(path).st_size
    kept += [f"Filename: {place}", f"Size: {size}", f"SHA256: {package.file.digest.hex}"]
    return "\n".join(kept) + "\n"


def file_name(package: PinnedPackage) -> str:
    """Returns a name for the package's file that is plain in every way."""
    version = package.version.replace(":", "%3a")
    return f"{package.name}_{version}_{package.architecture}.deb"


def install_script(packages: Sequence[PinnedPackage]) -> str:
    """Returns the shell script that installs the whole set from the repository at PACKAGES.

    It runs as root in the sandbox, offline; apt fails before unpacking anything when a file is
    missing or damaged.
    """
    wanted = [
        shlex.quote(f"{p.name}={p.version}")
        for p in sorted(packages, key=lambda p: (p.name, p.architecture))
    ]
    if not wanted:
        return "exit 0\n"
    return (
        _SCRIPT.replace("@CONFIGURATION@", _CONFIGURATION)
        .replace("@STATE@", STATE)
        .replace("@PACKAGES@", PACKAGES)
        .replace("@WANTED@", " ".join(wanted))
    )
