"""One cache as a reader sees it: its segments kept here, its claims by key, its blobs by digest."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator

from ssds.cache.entry import Entry, parse_entry
from ssds.cache.place import Place, within
from ssds.cache.seals import line_bytes, line_id, sealed_by
from ssds.cache.segment import TEXT_LIMIT_BYTES, SegmentName, read_segment
from ssds.core.digest import ActionKey, Digest
from ssds.core.errors import EnvironmentProblem, IntegrityError, SsdsError
from ssds.core.model import Claim
from ssds.core.records import replace
from ssds.host.files import atomic_write, remove_file
from ssds.oci.blobs import Blobs
from ssds.trust.keys import PublicKey

PACKED_LIMIT_BYTES = 128 << 20
"""So many bytes of segments does one reader bring and hold."""
_PATIENCE = 15
"""So many times the longest wait for one answer may all segments take."""
OTHERS, NOBODY = "(others)", "(nobody)"
"""Who signed a claim, where it is none of the trusted keys."""


class Cache:
    """A cache; it is asked at most once, and nothing that it gives or lacks is an error.

    Attributes:
        name: its name in the settings.
        folder: where its segments are kept here.
        impure: whether claims of what was made with network count.
        signed: whether only claims count that one of the trusted keys signed.
        warnings: what was wrong, one line for each thing, ``most_warnings`` at most.
        faults: how many things were wrong.
        retracted: how often something that it gave before turned out not to count.
        limit_s: the longest wait for one answer.
        down: why it counts for nothing now, or the empty string.
    """

    def __init__(
        self,
        name: str,
        place: Place,
        folder: str,
        *,
        impure: bool = True,
        signed: bool = False,
        keys: Callable[[], tuple[PublicKey, ...]] = tuple,
        limit_s: float = 20.0,
    ) -> None:
        """Nothing is asked yet; ``keys`` gives the trusted keys, once somebody has to know."""
        self.name, self.place, self.folder = name, place, folder
        self.impure, self.signed, self.limit_s = impure, signed, limit_s
        self._keys = keys
        self.warnings: list[str] = []
        self.most_warnings = 5
        self.faults = 0
        self.retracted = 0
        self.down = ""
        self.kept = Blobs(os.path.join(folder, "blobs"), name=f"the cache {name}")
        self._bad: set[Digest] = set()
        self._told: set[str] = set()

    def warn(self, text: str) -> None:
        """Notes a warning, once."""
        if text in self._told:
            return
        self._told.add(text)
        self.faults += 1
        if self.faults <= self.most_warnings:
            self.warnings.append(f"cache {self.name}: {text}")
        elif self.faults == self.most_warnings + 1:
            more = "more is wrong; `ssds cache verify` lists it"
            self.warnings.append(f"cache {self.name}: {more}")

    def fail(self, error: SsdsError) -> None:
        """Makes it count for nothing from now on."""
        if not self.down:
            self.down = error.message.replace("\n", "; ")
            self.warn(f"does not answer, so nothing is taken from it: {self.down}")

    @functools.cached_property
    def segments(self) -> dict[SegmentName, bytes]:
        """The bytes of every segment; what is kept here is not fetched again."""
        try:
            return self._brought()
        except SsdsError as error:
            self.fail(error)
            return {}

    def _listed(self) -> tuple[SegmentName, ...]:
        return within(self.limit_s, self.place.segments)

    def _brought(self, *, again: bool = True) -> dict[SegmentName, bytes]:
        names = self._listed()
        found: dict[SegmentName, bytes] = {}
        size, end_s = 0, time.monotonic() + _PATIENCE * self.limit_s
        for name in names:
            size += name.size_bytes
            if size > PACKED_LIMIT_BYTES or time.monotonic() > end_s:
                why = "too large" if size > PACKED_LIMIT_BYTES else "too slow"
                self._pass_over(why, len(names) - len(found))
                break
            data = self._kept_segment(name)
            if data is None:
                try:
                    data = within(self.limit_s, functools.partial(self.place.segment, name))
                except IntegrityError as error:
                    self.warn(f"{error.message}; it is passed over")
                    continue
                except SsdsError:
                    if again and name not in self._listed():
                        return self._brought(again=False)  # it was joined with others meanwhile
                    raise
                with contextlib.suppress(EnvironmentProblem):  # a read-only workspace
                    atomic_write(self._path(name), data, point="cache.kept")
            found[name] = data
        self._forget_others(names)
        return found

    def _pass_over(self, why: str, segments: int) -> None:
        self.warn(f"it is {why}; {segments} of its segments are passed over")

    def _kept_segment(self, name: SegmentName) -> bytes | None:
        try:
            with open(self._path(name), "rb") as file:
                data = file.read(name.size_bytes + 1)
            name.check(data)
        except (OSError, IntegrityError):
            return None
        return data

    def _forget_others(self, names: tuple[SegmentName, ...]) -> None:
        wanted = {f"{name}.gz" for name in names}
        with contextlib.suppress(OSError, EnvironmentProblem):
            for file in os.listdir(self.folder):
                if file.endswith(".gz") and file not in wanted:
                    remove_file(os.path.join(self.folder, file), point="cache.kept")

    def _path(self, name: SegmentName) -> str:
        return os.path.join(self.folder, f"{name}.gz")

    @functools.cached_property
    def _read(self) -> tuple[dict[ActionKey, list[bytes]], set[bytes]]:
        """The lines of every key, and all seals."""
        found: dict[ActionKey, list[bytes]] = {}
        seals: set[bytes] = set()
        left = TEXT_LIMIT_BYTES
        for number, (name, data) in enumerate(sorted(self.segments.items())):
            if left <= 0:
                self._pass_over("too large", len(self.segments) - number)
                break
            try:
                segment = read_segment(data, f"the segment {name.hex[:12]}", limit_bytes=left)
            except SsdsError as error:
                self.warn(f"{error.message}; it is passed over")
                continue
            seals |= segment.seals
            left -= sum(len(seal) for seal in segment.seals)
            for key, line in sorted(segment.lines):
                left -= len(line)
                lines = found.setdefault(key, [])
                if line not in lines:
                    lines.append(line)
        return found, seals

    @property
    def lines(self) -> dict[ActionKey, list[bytes]]:
        """The lines of every key, not yet looked at."""
        return self._read[0]

    @functools.cached_property
    def trusted(self) -> tuple[PublicKey, ...]:
        """The keys whose signatures count."""
        return self._keys()

    @functools.cached_property
    def _sealed(self) -> dict[str, PublicKey | None]:
        return sealed_by(self._read[1], self.trusted)

    def signers(self) -> Counter[str]:
        """Returns how many claims each key signed, by its name, and how many nobody did.

        Of several trusted keys the first one counts. No key is named ``OTHERS`` or ``NOBODY``.
        """
        found: Counter[str] = Counter()
        for key, lines in self.lines.items():
            for line in lines:
                mark = line_id(line_bytes(key, line))
                signer = self._sealed.get(mark)
                name = OTHERS if mark in self._sealed else NOBODY
                found[signer.label if signer else name] += 1
        return found

    @functools.cached_property
    def _vouched(self) -> dict[str, PublicKey]:
        """Line's id → the trusted key that signed it; warns of the claims that no such key did."""
        found = self.signers()
        if found[OTHERS] or found[NOBODY]:
            why = f"{found[NOBODY]} unsigned, {found[OTHERS]} signed by keys that are not trusted"
            if not self.trusted:
                why += " (no key is: trust.keys)"
            wrong = found[OTHERS] + found[NOBODY]
            self.warn(f"{wrong} of {found.total()} claims count for nothing: {why}")
        return {mark: key for mark, key in self._sealed.items() if key is not None}

    def entries(self, key: ActionKey) -> list[Entry]:
        """Returns what can be believed of a key, the earliest first."""
        if self.down:
            return []
        found = []
        for line in self.lines.get(key, ()):
            signer: PublicKey | None = None
            if self.signed:
                signer = self._vouched.get(line_id(line_bytes(key, line)))
                if signer is None:
                    continue
            try:
                entry = parse_entry(key, line, f"the claim of {key.short}")
            except SsdsError as error:
                self.warn(f"{error.message}; it is passed over")
                continue
            if not self._bad.isdisjoint(entry.sizes):
                continue
            if self.impure or not entry.claim.impure:
                found.append(replace(entry, signer=str(signer.id)) if signer else entry)
        return sorted(found, key=lambda e: e.claim.made_at)

    def all(self) -> Iterator[Entry]:
        """Gives every entry that can be believed."""
        for key in list(self.lines):
            yield from self.entries(key)

    @functools.cached_property
    def sizes(self) -> dict[Digest, int]:
        """The size of every blob that some claim names."""
        found: dict[Digest, int] = {}
        for entry in self.all():
            found.update(entry.sizes)
        return found

    def offers(self, digest: Digest) -> bool:
        """Whether it should have a blob."""
        return not self.down and digest in self.sizes and digest not in self._bad

    def has_claim(self, claim: Claim) -> bool:
        """Whether it claims the same of the same key."""
        return any(entry.claim.same_outputs(claim) for entry in self.entries(claim.key))

    def fetch(self, digest: Digest, blobs: Blobs) -> bool:
        """Brings a blob; False, with a warning, where it cannot be had. Threads may share it."""
        if not self.offers(digest):
            return False
        size = self.sizes[digest]
        try:
            self.place.fetch(digest, size, lambda: blobs.writer(digest, size))
        except EnvironmentProblem:
            raise  # this machine's own trouble, a full disk for instance
        except SsdsError as error:
            self._bad.add(digest)
            self.retracted += 1
            if not isinstance(error, IntegrityError):
                self._ask_whether_up()
            if not self.down:
                why = error.message.replace("\n", "; ")
                self.warn(f"{digest} cannot be had, so its claims count for nothing: {why}")
            return False
        return True

    def _ask_whether_up(self) -> None:
        try:
            self._listed()
        except SsdsError as error:
            self.fail(error)
