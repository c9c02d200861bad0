"""Keys for tests, and the programs of others that verify what ssds signs."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ssds.ship.signatures import History
from ssds.trust.keyfile import read_private_key
from ssds.trust.keys import LocalSigner, new_key

TRIXIE = "/usr/local/lib/ssds-test/trixie/bin"


def new_signer(kind: str = "ecdsa-p256", name: str = "lab") -> LocalSigner:
    return new_key(kind, name)


def openssl_key(folder: Path, *arguments: str) -> bytes:
    """A private key that openssl made."""
    made = subprocess.run(
        ["openssl", "genpkey", *arguments], cwd=folder, capture_output=True, check=True
    )
    return made.stdout


def openssl_signer(folder: Path) -> LocalSigner:
    data = openssl_key(folder, "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    return read_private_key(data, lambda: b"", "lab")


def cosign(folder: Path, *arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
    """Runs cosign of Debian 13 without network."""
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "COSIGN_PASSWORD": password}
    return subprocess.run(
        [f"{TRIXIE}/cosign", *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def trusted_root(folder: Path) -> str:
    """A root of trust without a log: cosign asks the network for one where none is given."""
    (folder / "root.json").write_text(
        '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'
    )
    return "root.json"


def no_history() -> History:
    """A store that remembers no build."""
    return History(preimage=lambda _: None, claims=lambda _: ())
