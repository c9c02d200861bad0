#!/usr/bin/env python3
"""A stand-in for ``cvmfs_server`` 2.11: its exit codes, messages and failures, without FUSE.

``SSDS_STANDIN`` is its state: ``srv/R/.cvmfspublished``, ``spool/R``, ``cvmfs/R`` (a link to the
revision that readers see, or to the union while a transaction is open). ``spool/R/faults`` names
what goes wrong, one word a line; each happens once.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import NoReturn

HOME = Path(os.environ.get("SSDS_STANDIN", "/nonexistent"))


def end(code: int, *, out: str = "", err: str = "") -> NoReturn:
    if out:
        print(out, flush=True)
    if err:
        print(err, file=sys.stderr, flush=True)
    sys.exit(code)


class Repository:
    """One repository's folders and locks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.spool = HOME / "spool" / name
        self.manifest = HOME / "srv" / name / ".cvmfspublished"
        self.mount = HOME / "cvmfs" / name
        self.union = self.spool / "union"
        if not self.manifest.exists():
            end(1, err="! CernVM-FS error: Unable to find the configuration file `server.conf`")

    @property
    def revision(self) -> int:
        lines = self.manifest.read_bytes().partition(b"\n--")[0].split(b"\n")
        return next(int(line[1:]) for line in lines if line[:1] == b"S")

    def flag(self, name: str) -> Path:
        return self.spool / name

    @property
    def open(self) -> bool:
        return self.flag("in_transaction.lock").exists()

    @property
    def broken(self) -> bool:
        return self.flag("broken").exists()

    def fault(self, word: str) -> bool:
        """Whether this goes wrong now; it is taken from the list."""
        path = self.flag("faults")
        words = path.read_text().split() if path.exists() else []
        if word not in words:
            return False
        words.remove(word)
        path.write_text("\n".join(words))
        return True

    def revision_folder(self, number: int) -> Path:
        return self.spool / "revisions" / str(number)

    def show(self, folder: Path) -> None:
        temporary = self.mount.with_name(f".{self.name}.new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(folder)
        temporary.replace(self.mount)

    def sign(self) -> None:
        number = self.revision + 1
        shutil.copytree(self.union, self.revision_folder(number), symlinks=True)
        temporary = self.manifest.with_suffix(".new")
        temporary.write_bytes(manifest(number))
        temporary.replace(self.manifest)

    def upper(self) -> None:
        """Lets the scratch area show whether something was written, as overlayfs does."""
        upper = self.spool / "scratch" / "current" / "changed"
        upper.unlink(missing_ok=True)
        if self.open and names(self.union) != names(self.revision_folder(self.revision)):
            upper.touch()

    def close(self) -> None:
        self.flag("in_transaction.lock").unlink(missing_ok=True)
        self.flag("broken").unlink(missing_ok=True)
        self.show(self.revision_folder(self.revision))
        self.upper()
        shutil.rmtree(self.union, ignore_errors=True)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def manifest(number: int) -> bytes:
    return b"C%040x\nB1234\nS%d\nD240\n--\n\xff\x00signature" % (number, number)


def make(home: str, name: str) -> None:
    """Makes an empty repository, as mkfs does."""
    base = Path(home)
    for folder in (base / "srv" / name, base / "cvmfs", base / "spool" / name / "revisions" / "1"):
        folder.mkdir(parents=True, exist_ok=True)
    (base / "spool" / name / "scratch" / "current").mkdir(parents=True, exist_ok=True)
    first = base / "spool" / name / "revisions" / "1"
    (first / "new_repository").write_text("New CernVM-FS repository for " + name + "\n")
    (base / "srv" / name / ".cvmfspublished").write_bytes(manifest(1))
    if not (base / "cvmfs" / name).is_symlink():
        (base / "cvmfs" / name).symlink_to(first)


def transaction(repository: Repository) -> None:
    if repository.fault("whitelist"):
        end(5, err="! cannot load whitelist [expired whitelist]")
    if repository.fault("publishing"):
        end(
            1,
            err=f"! Repository {repository.name} is in a transaction but /cvmfs/{repository.name} "
            "is not mounted read/write\nWARNING: The repository is currently publishing",
        )
    if repository.open:
        end(17, err="! CernVM-FS transaction error: another transaction is already open")
    current = repository.revision_folder(repository.revision)
    shutil.copytree(current, repository.union, symlinks=True)
    repository.flag("in_transaction.lock").touch()
    repository.show(repository.union)


def abort(repository: Repository) -> None:
    if not repository.open:
        end(22, err=f"! Repository {repository.name} is not in a transaction")
    if repository.fault("abort-fails"):
        end(1, err="! cannot load whitelist [expired whitelist]")
    repository.close()
    print("CernVM-FS: running with suid support\nmounted cvmfs on rdonly")


def mount(repository: Repository) -> None:
    if repository.fault("mount-busy"):
        end(1, out=f"Repository {repository.name} is currently publishing")
    repository.flag("broken").unlink(missing_ok=True)


def die(repository: Repository) -> NoReturn:
    """Ends the whole process group, as a lost power supply would."""
    repository.flag("broken").touch()
    os.killpg(0, signal.SIGKILL)
    raise AssertionError


def publish(repository: Repository, options: list[str]) -> None:
    name = repository.name
    if not repository.open:
        end(1, out=f"Repository {name} is not in a transaction")
    if repository.fault("busy-publish"):
        end(1, err=f"! Another publish process is active for {name}")
    if repository.fault("lost-mounts"):
        repository.flag("broken").touch()
    if repository.broken:
        end(
            1,
            out=f"Repository {name} is in a transaction and cannot be repaired.\n"
            f"--> Run `cvmfs_server abort {name}` to revert and retry.",
        )
    if repository.fault("writers"):
        end(1, out=f"Open writable file descriptors on {name}")
    if "-f" not in options and repository.fault("readers"):
        end(1, out=f"WARNING! There are open read-only file descriptors in /cvmfs/{name}\n"
            "Are you sure you want to proceed [y/N]?")  # fmt: skip
    if repository.fault("web-server"):
        end(1, out="Repository unavailable under URL http://localhost/cvmfs/" + name)
    if repository.fault("disk-full"):
        end(1, err="PANIC: block upload failed (code: 28)\nKilled\nSynchronization failed")
    if repository.fault("orphan-sync"):
        text = "import time; time.sleep(1.5)"
        subprocess.Popen(
            [sys.executable, "-c", text, "cvmfs_swissknife", "sync", name],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        repository.flag("broken").touch()
        end(1, out=f"Repository {name} is in a transaction and cannot be repaired.")
    if repository.fault("killed-syncing"):
        die(repository)
    repository.sign()
    print("Signing new manifest\nRemounting newly created repository revision", flush=True)
    if repository.fault("killed-signed"):
        die(repository)
    if repository.fault("hang"):
        repository.flag("broken").touch()
        time.sleep(600)
    repository.close()


def ingest(repository: Repository, words: list[str]) -> None:
    """Opens and closes a transaction of its own; a truncated tar is published as far as it goes."""
    tar, base, gone = "", "/", []
    for option, value in zip(words[:-1:2], words[1:-1:2], strict=True):
        if option == "-d":
            gone.append(value)
        else:
            tar, base = (value, base) if option == "-t" else (tar, value)
    if repository.open or repository.fault("busy-ingest"):
        end(1, err="! another transaction is already open\n! Impossible to start a transaction")
    if repository.fault("overtaken"):
        transaction(repository)
        (repository.union / "theirs").write_text("half of it")
        end(1, err="! Permission error: No write permission to repository")
    if not os.path.isfile(tar):
        end(1, err="Impossible to open the archive: " + tar)
    transaction(repository)
    if repository.fault("killed-syncing"):
        die(repository)
    for path in gone:
        place = repository.union / path
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    unpack(tar, repository.union / base.strip("/"))
    repository.sign()
    if repository.fault("killed-signed"):
        die(repository)
    repository.close()


def unpack(path: str, folder: Path) -> None:
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                place = folder / member.name
                if place.is_symlink() or (place.exists() and not member.isdir()):
                    place.unlink()
                tar.extract(member, folder, filter="fully_trusted")
    except tarfile.ReadError:
        return


def list_all() -> None:
    for path in sorted((HOME / "srv").iterdir()):
        repository = Repository(path.name)
        repository.upper()
        state = " - in transaction" if repository.open else ""
        state += " - unhealthy" if repository.broken else ""
        print(f"{path.name} (stratum0 / local{state})  ")


def main() -> None:
    verb, *words = sys.argv[1:]
    options = [word for word in words if word.startswith("-")]
    if verb == "list":
        list_all()
        return
    names = [word for word in words if not word.startswith("-")]
    if not names:
        end(1, err="Invocation error: multiple repositories")
    repository = Repository(names[-1])
    with (HOME / "log").open("a") as log:
        log.write(" ".join([verb, *options]) + "\n")
    if verb == "ingest":
        ingest(repository, words)
    elif verb == "publish":
        publish(repository, options)
    elif verb == "gc":
        if repository.open or not repository.flag("gc").exists():
            end(1, err=f"Garbage Collection is not enabled for {repository.name}")
    elif verb in ("transaction", "abort", "mount"):
        {"transaction": transaction, "abort": abort, "mount": mount}[verb](repository)
    else:
        end(3, out="Supported Commands: …")


if __name__ == "__main__":
    main()
