"""Which of the perceptual hashes seen so far are near to new ones: a folder of sorted arrays, mapped, not loaded.

``rows`` holds every key with its hash, in the order in which they were added, and only ever grows. ``bands`` can be
made again from it: the first so many rows, sorted by each quarter of the hash, and by the key. What was added since is
compared one by one, until it is so much that ``bands`` is written anew, beside its place, and moved there. So whoever
reads while another writes sees some number of whole rows, and a kill costs at most what it kept from being written.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, product
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import StoreError
from pipeline.near import Hashes, Places, runs, within

SHA256 = re.compile("[0-9a-f]{64}")
ROW = np.dtype([("key", "u1", 32), ("hash", "<u8")])
MAGIC = b"kaoset near 0001"
QUARTERS = 4
BY_KEY = QUARTERS  # the band after those of the quarters
WORDS = 1 << 16  # what a quarter can be
WIDEST = 4  # bits that may differ in a quarter; enumerating more of its neighbours costs more than comparing with all
LATE, LATE_SHARE = 16_384, 1 / 8  # rows outside of the bands, or share of those inside, before the bands are made anew
# In comparisons of two hashes, about a nanosecond each.
CANDIDATE_COST, CROWD_COST = 8, 8
TOGETHER = 512  # hashes asked for in one go
BLOCK = 1 << 18  # candidates compared in one go

# All 16-bit words, those with the fewest bits first, and how many have up to 0, 1, 2 … bits.
_COUNTS = np.bitwise_count(np.arange(WORDS, dtype=np.uint16))
_NEIGHBOURS = np.argsort(_COUNTS, kind="stable").astype(np.uint16)
_UP_TO = np.cumsum(np.bincount(_COUNTS))


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What is near to the hashes that were asked for, by their order there, the nearest first."""

    queries: NDArray[np.int64]  # (M,) which of the hashes
    keys: NDArray[np.str_]  # (M,) SHA-256 in hexadecimal
    distances: NDArray[np.uint8]  # (M,) bits


@dataclass(frozen=True, slots=True)
class _Band:
    """Rows in the order of one 16-bit word of theirs."""

    starts: NDArray[np.uint32]  # of the crowd of each word; the end of the last
    values: Hashes  # of the rows, in this order
    rows: NDArray[np.uint32]

    def crowds(self, words: NDArray[np.uint16]) -> tuple[Places, Places]:
        """Give where the rows with each word start and end."""
        numbers = words.astype(np.int64)
        return self.starts[numbers].astype(np.int64), self.starts[numbers + 1].astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What there was at some moment."""

    rows: NDArray[Any]  # (N,) ROW
    bands: tuple[
        _Band, ...
    ]  # by each quarter of the hash, the lowest first, then by the key; none before they are written
    late: Hashes  # of the rows that came after the bands

    @property
    def in_bands(self) -> int:
        """How many rows, the first ones, the bands hold."""
        return len(self.rows) - len(self.late)


_Found = tuple[Places, Places]  # which hash was asked for, which row answers


@dataclass(eq=False)
class Index:
    """Hashes with the SHA-256 of what they were taken from, under *folder*; any number may read while one adds.

    Keys are SHA-256 because images, crops and the files of a folder all have one; what else is known of them is looked
    up by it. A key may have several hashes. Nothing is ever taken out: who forgets a work passes over its key.
    """

    folder: Path
    _seen: tuple[tuple[int, int], tuple[int, int]] = field(default=((0, 0), (0, 0)), init=False, repr=False)
    _snapshot: _Snapshot = field(
        default=_Snapshot(rows=np.empty(0, ROW), bands=(), late=np.empty(0, np.uint64)), init=False, repr=False
    )

    def __len__(self) -> int:
        """Count what was added."""
        return len(self._now().rows)

    def lacking(self, keys: Sequence[str]) -> list[str]:
        """Give those of *keys* that do not stand with more than one hash, in rows that follow each other.

        Among them is the key that was added last: whoever was killed meanwhile may have written some of its hashes
        only. Keys are told apart by their first 64 bits.

        Args:
            keys: SHA-256, 64 hexadecimal digits each.
        """
        marks = _marks(self._now().rows)
        several = marks[1:][(marks[1:] == marks[:-1]) & (marks[1:] != marks[-1:])]
        asked = np.frombuffer(bytes.fromhex("".join(keys)), "<u8")[::4]
        return [keys[place] for place in np.flatnonzero(~np.isin(asked, several)).tolist()]

    def add(self, keys: Sequence[str], hashes: Hashes) -> int:
        """Remember each key with its hash; when this returns they are on the disk.

        Args:
            keys: SHA-256, 64 hexadecimal digits each.
            hashes: (N,) uint64.

        Returns:
            How many of these pairs were not there yet.

        Raises:
            StoreError: The folder cannot be written, or is damaged.
            ValueError: A key is no SHA-256, or there are more of one than of the other.
        """
        rows = _rows(keys, hashes)
        with self._writing() as file:
            fresh = rows[~self._known(rows)]
            file.write(fresh.tobytes())
            file.flush()
            os.fsync(file.fileno())
            now = self._now()
            if len(now.late) > max(LATE, now.in_bands * LATE_SHARE):
                _write_bands(self.folder / "bands", now.rows)
        return len(fresh)

    def near(self, value: int, max_distance: int) -> Neighbours:
        """Find all that is within *max_distance* bits of one hash."""
        return self.near_many(np.array([value], np.uint64), max_distance)

    def near_many(self, hashes: Hashes, max_distance: int) -> Neighbours:
        """Find all that is within *max_distance* bits of each hash, whoever added it before this call.

        Two hashes within d bits are within r1 to r4 bits in at least one of their quarters, whatever numbers are taken
        that add up to d - 3 (-1: that quarter is not looked at; Qin et al., GPH, ICDE 2018). They are chosen for each
        hash by the crowds that it would meet: one of a tenth of all is met only where no way leads round it.

        Args:
            hashes: (N,) uint64.
            max_distance: 0 to 64 bits.

        Raises:
            StoreError: The folder cannot be read, or is damaged.
        """
        now = self._now()
        found = [np.empty((2, 0), np.int64)]
        for low in range(0, len(hashes), TOGETHER):
            some = hashes[low : low + TOGETHER]
            for query, row in _in_bands(now.bands, some, max_distance):
                found.append(np.stack([low + query, row]))
            for query, row in _among(now.late, some, max_distance):
                found.append(np.stack([low + query, now.in_bands + row]))
        queries, rows = np.concatenate(found, axis=1)
        del found
        distances = np.bitwise_count(hashes[queries] ^ now.rows["hash"][rows])
        order = np.lexsort((rows, distances, queries))
        return Neighbours(queries[order], _words(now.rows["key"][rows[order]]), distances[order])

    @contextmanager
    def _writing(self) -> Iterator[IO[bytes]]:
        """Open the rows to add to them, as the only one, without what a killed writer has left."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "rows").open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.truncate(os.fstat(file.fileno()).st_size // ROW.itemsize * ROW.itemsize)
                for left in self.folder.glob(".new-*"):
                    left.unlink(missing_ok=True)
                yield file
        except OSError as error:
            raise StoreError(
                f"{self.folder}: cannot be written ({error.strerror}); free some space or choose --data"
            ) from error

    def _known(self, rows: NDArray[Any]) -> NDArray[np.bool_]:
        """Say which of *rows* are there already, or stand earlier among themselves."""
        now, marks, whole = self._now(), _marks(rows), _whole(rows)
        known = np.ones(len(rows), np.bool_)
        known[np.unique(whole, return_index=True)[1]] = False
        for one, row in chain(_late_with(now, marks), _banded_with(now, marks)):
            known[one[_whole(now.rows[row]) == whole[one]]] = True
        return known

    def _now(self) -> _Snapshot:
        """Map what there is, unless that is mapped already."""
        # The bands first: there are never fewer rows than they speak of.
        bands, rows = _map(self.folder / "bands", np.dtype(np.uint8)), _map(self.folder / "rows", ROW)
        if (bands.seen, rows.seen) != self._seen:
            known = self._snapshot.bands
            if bands.seen != self._seen[0]:
                known = _read_bands(self.folder / "bands", bands.data)
            late = len(rows.data) - (len(known[0].rows) if known else 0)
            if late < 0:
                raise StoreError(f"{self.folder}: has lost rows; delete it, and add all again")
            values = rows.data["hash"][len(rows.data) - late :].astype(np.uint64)
            self._snapshot, self._seen = _Snapshot(rows.data, known, values), (bands.seen, rows.seen)
        return self._snapshot


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it was when it was opened."""

    seen: tuple[int, int]  # tells it from others, and from what it becomes when it grows
    data: NDArray[Any]


def _map(path: Path, kind: np.dtype[Any]) -> _File:
    """Map so many whole items as a file holds; none if it is not there."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            count = status.st_size // kind.itemsize
            data = np.asarray(np.memmap(file, kind, "r", shape=(count,))) if count else np.empty(0, kind)
            return _File((status.st_ino, count), data)
    except FileNotFoundError:
        return _File((0, 0), np.empty(0, kind))
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from error


def _rows(keys: Sequence[str], hashes: Hashes) -> NDArray[Any]:
    for key in keys:
        if not SHA256.fullmatch(key):
            raise ValueError(f"{key[:80]!r}: no SHA-256; give 64 hexadecimal digits")
    if len(keys) != len(hashes):
        raise ValueError(f"{len(keys)} keys for {len(hashes)} hashes; give as many of one as of the other")
    rows = np.empty(len(keys), ROW)
    rows["key"] = np.frombuffer(bytes.fromhex("".join(keys)), np.uint8).reshape(-1, 32)
    rows["hash"] = hashes
    return rows


def _words(keys: NDArray[np.uint8]) -> NDArray[np.str_]:
    return np.frombuffer(keys.tobytes().hex().encode(), "S64").astype("U64")


def _whole(rows: NDArray[Any]) -> NDArray[Any]:
    """See rows as plain bytes, which NumPy can compare and sort."""
    return np.ascontiguousarray(rows).view(f"V{ROW.itemsize}")


def _marks(rows: NDArray[Any]) -> Hashes:
    """Give the first 64 bits of each key."""
    return np.asarray(np.ascontiguousarray(rows["key"][:, :8]).view("<u8")[:, 0])


def _quarters(hashes: Hashes) -> NDArray[np.uint16]:
    """Cut hashes into their quarters, the lowest first: (N, 4)."""
    return hashes.astype("<u8").view("<u2").reshape(-1, QUARTERS)


def _late_with(now: _Snapshot, marks: Hashes) -> Iterator[_Found]:
    """Give the rows after the bands whose keys begin with the same 64 bits."""
    order = np.argsort(marks, kind="stable")
    late = _marks(now.rows[now.in_bands :])
    first, last = (np.searchsorted(marks[order], late, side) for side in ("left", "right"))
    for row, place in _crowds(first, last):
        yield order[place], now.in_bands + row


def _banded_with(now: _Snapshot, marks: Hashes) -> Iterator[_Found]:
    """Give the rows in the bands whose keys begin with the same 64 bits."""
    for band in now.bands[BY_KEY:]:
        for one, place in _crowds(*band.crowds(_quarters(marks)[:, 0])):
            same = band.values[place] == marks[one]
            yield one[same], band.rows[place[same]].astype(np.int64)


def _crowds(first: Places, last: Places) -> Iterator[_Found]:
    """Give of all from *first* to *last* which of these it belongs to, and its place, a block at a time."""
    some = np.flatnonzero(last > first)
    lengths = (last - first)[some]
    block = np.cumsum(lengths) // BLOCK
    for part in np.split(np.arange(len(some)), np.flatnonzero(np.diff(block)) + 1):
        run, nth = runs(lengths[part])
        crowd = some[part][run]
        yield crowd, first[crowd] + nth


def _among(values: Hashes, hashes: Hashes, distance: int) -> Iterator[_Found]:
    """Compare with all of *values*."""
    wide = max(1, BLOCK // max(1, len(hashes)))
    for low in range(0, len(values), wide):
        query, place = within(hashes, values[low : low + wide], distance)
        if query.size:
            yield query, low + place


def _in_bands(bands: tuple[_Band, ...], hashes: Hashes, distance: int) -> Iterator[_Found]:
    """Give the rows in *bands* that are within *distance*, each once."""
    if not bands:
        return
    quarters = _quarters(hashes)
    radii, costs = _radii(bands, quarters, distance)
    far = costs > len(bands[0].rows)
    for query, place in _among(bands[0].values, hashes[far], distance):
        yield np.flatnonzero(far)[query], bands[0].rows[place].astype(np.int64)
    for quarter, band in enumerate(bands[:QUARTERS]):
        for radius in np.unique(radii[~far & (radii[:, quarter] >= 0), quarter]).tolist():
            asked = np.flatnonzero((radii[:, quarter] == radius) & ~far)
            words = quarters[asked, quarter][:, np.newaxis] ^ _NEIGHBOURS[: _UP_TO[radius]]
            for crowd, candidate in _crowds(*band.crowds(words.ravel())):
                asker = asked[crowd // words.shape[1]]
                differing = hashes[asker] ^ band.values[candidate]
                near = np.flatnonzero(np.bitwise_count(differing) <= distance)
                query, apart = asker[near], np.bitwise_count(_quarters(differing[near]))
                # What an earlier quarter has found is left out.
                first = (apart[:, :quarter] > radii[query, :quarter]).all(axis=1)
                yield query[first], band.rows[candidate[near[first]]].astype(np.int64)


def _radii(
    bands: tuple[_Band, ...], quarters: NDArray[np.uint16], distance: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Choose for each hash how many bits may differ in each quarter, and say how many comparisons that costs."""
    together = distance - QUARTERS + 1
    widest = max(0, -(-together // QUARTERS))
    if widest > WIDEST:
        return np.full(quarters.shape, -1), np.full(len(quarters), np.inf)
    cost = np.zeros((len(quarters), QUARTERS, widest + 2))
    for quarter, band in enumerate(bands[:QUARTERS]):
        first, last = band.crowds(quarters[:, quarter, np.newaxis] ^ _NEIGHBOURS[: _UP_TO[widest]])
        spent = np.cumsum(CROWD_COST + CANDIDATE_COST * (last - first), axis=1)
        cost[:, quarter, 1:] = spent[:, _UP_TO[: widest + 1] - 1]
    ways = np.array([way for way in product(range(-1, widest + 1), repeat=QUARTERS) if sum(way) == together])
    whole = cost[:, np.arange(QUARTERS), ways + 1].sum(axis=-1)
    best = np.argmin(whole, axis=1)
    return ways[best], whole[np.arange(len(quarters)), best]


def _write_bands(path: Path, rows: NDArray[Any]) -> None:
    """Sort *rows* in every way, beside *path*, and move that there."""
    hashes, marks = rows["hash"].astype(np.uint64), _marks(rows)
    descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(MAGIC + len(rows).to_bytes(8, "little"))
        for values, quarter in (*((hashes, number) for number in range(QUARTERS)), (marks, 0)):
            words = _quarters(values)[:, quarter]
            order = np.argsort(words, kind="stable")
            starts = np.zeros(WORDS + 2, "<u4")  # one more than there are, so that what follows stands at eight bytes
            starts[1:-1] = np.cumsum(np.bincount(words, minlength=WORDS))
            file.write(starts.tobytes())
            file.write(values[order].astype("<u8").tobytes())
            file.write(order.astype("<u4").tobytes() + bytes(len(rows) % 2 * 4))
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).chmod(0o644)
    Path(temporary).replace(path)


def _read_bands(path: Path, data: NDArray[np.uint8]) -> tuple[_Band, ...]:
    if not len(data):
        return ()
    head = len(MAGIC) + 8
    count = int.from_bytes(data[len(MAGIC) : head].tobytes(), "little")
    size = 4 * (WORDS + 2) + 8 * count + 4 * (count + count % 2)
    if data[: len(MAGIC)].tobytes() != MAGIC or len(data) != head + size * (QUARTERS + 1):
        raise StoreError(f"{path}: damaged; delete it, and the next that is added makes it again")
    bands = []
    for number in range(QUARTERS + 1):
        starts, values, ids = np.split(
            data[head + size * number : head + size * (number + 1)], np.cumsum([4 * (WORDS + 2), 8 * count])
        )
        bands.append(_Band(starts.view("<u4"), values.view("<u8"), ids.view("<u4")[:count]))
    return tuple(bands)
