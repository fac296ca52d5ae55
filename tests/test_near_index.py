from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import near_index
from pipeline.errors import StoreError
from pipeline.near import Hashes
from pipeline.near_index import ROW, Index, Neighbours

ROOT = Path(__file__).parents[1]
# Adds a row at a time, row N with hash N and the SHA-256 of N as key, and says so after each.
ADDING = """
import hashlib, sys
from pathlib import Path
import numpy as np
from pipeline import near_index
near_index.LATE = 50
index = near_index.Index(Path(sys.argv[1]))
for number in range(100_000):
    index.add([hashlib.sha256(str(number).encode()).hexdigest()], np.array([number], np.uint64))
    print(number, flush=True)
"""


def _keys(count: int, first: int = 0) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(first, first + count)]


def _skewed(count: int, seed: int) -> Hashes:
    """Hashes of which a third agree in a quarter, and a third are near to each other or the same."""
    random = np.random.default_rng(seed)
    hashes = random.integers(0, 2**64, count, np.uint64)
    crowd, close = random.integers(0, 3, count) == 0, random.integers(0, 3, count) == 0
    hashes[crowd] = hashes[crowd] & np.uint64(0x0000_FFFF_FFFF_FFFF) | np.uint64(0x1234 << 48)
    steps = np.uint64(1) << random.integers(0, 64, (count, 6)).astype(np.uint64)
    taken = np.where(random.random((count, 6)) < 0.5, steps, np.uint64(0))
    return np.where(close, hashes[0] ^ np.bitwise_or.reduce(taken, axis=1), hashes)


def _told(found: Neighbours) -> set[tuple[int, str, int]]:
    told = list(zip(found.queries.tolist(), found.keys.tolist(), found.distances.tolist(), strict=True))
    assert len(set(told)) == len(told)
    return set(told)


def _brute(queries: Hashes, keys: list[str], hashes: Hashes, distance: int) -> set[tuple[int, str, int]]:
    apart = np.bitwise_count(queries[:, np.newaxis] ^ hashes)
    return {(query, keys[row], int(apart[query, row])) for query, row in np.argwhere(apart <= distance).tolist()}


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """An index in a folder that is not there yet."""
    return Index(tmp_path / "near")


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(0, 400), min_size=1, max_size=3),
    seed=st.integers(0, 2**32),
    distance=st.integers(0, 24),
    candidate_cost=st.sampled_from([0, 8]),
)
def test_nothing_near_is_missed(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], seed: int, distance: int, candidate_cost: int
) -> None:
    """Sorted, not yet sorted, or partly so, exactly what comparing with all finds is found, and once."""
    keys, hashes = _keys(sum(counts)), _skewed(sum(counts) + 60, seed)
    index, added = Index(tmp_path_factory.mktemp("near")), 0
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"LATE": 100, "CANDIDATE_COST": candidate_cost, "CROWD_COST": 0, "BLOCK": 1000}.items():
            patch.setattr(near_index, name, value)
        for count in counts:
            assert index.add(keys[added : added + count], hashes[added : added + count]) == count
            added += count
        queries = np.concatenate([hashes[added:], hashes[: min(20, added)]])
        assert _told(index.near_many(queries, distance)) == _brute(queries, keys, hashes[:added], distance)


def test_thousands_are_found_through_the_bands_as_they_are_configured(index: Index) -> None:
    """What is near to 40 hashes among 20,000 is what comparing with all finds, by what is on the disk alone."""
    keys, hashes = _keys(20_000), _skewed(20_040, seed=3)
    index.add(keys, hashes[:20_000])
    queries = hashes[20_000:]

    assert (index.folder / "bands").exists()
    for distance in (0, 2, 5, 8):
        found = _told(Index(index.folder).near_many(queries, distance))
        assert found == _brute(queries, keys, hashes[:20_000], distance)


def test_the_nearest_comes_first(index: Index) -> None:
    """What is near to one hash is told by its distance."""
    keys = _keys(3)
    index.add(keys, np.array([0b111, 0b0, 0b1], np.uint64))

    found = index.near(0b0, 2)

    assert found.keys.tolist() == [keys[1], keys[2]]
    assert found.distances.tolist() == [0, 1]


def test_an_index_that_was_never_written_is_empty(index: Index) -> None:
    """Asking makes no folder, and finds nothing."""
    assert len(index) == 0
    assert index.near(7, 64).keys.tolist() == []
    assert not index.folder.exists()


@pytest.mark.parametrize("late", [0, 150, 10_000])
def test_what_is_there_is_not_added_again(index: Index, late: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was killed adds all again; only what is new counts, also of what is said twice at once."""
    monkeypatch.setattr(near_index, "LATE", late)
    keys, hashes = _keys(300), _skewed(300, seed=5)
    index.add(keys[:200], hashes[:200])

    assert index.add([*keys, *keys], np.concatenate([hashes, hashes])) == 100
    assert index.add(keys, hashes) == 0
    assert len(index) == 300


def test_a_key_may_have_several_hashes(index: Index) -> None:
    """Another hash of the same bytes is another row; both are found."""
    key = _keys(1)[0]

    assert [index.add([key], np.array([value], np.uint64)) for value in (0, 2**63, 0)] == [1, 1, 0]
    assert _told(index.near(1, 2)) == {(0, key, 1), (0, key, 2)}


def test_a_reader_sees_what_another_has_added(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is open already answers with what was added before it is asked, sorted anew or not."""
    monkeypatch.setattr(near_index, "LATE", 2)
    reader, keys = Index(index.folder), _keys(9)
    for number, key in enumerate(keys):
        index.add([key], np.array([number << 40], np.uint64))

        assert _told(reader.near(number << 40, 0)) == {(0, key, 0)}
        assert len(reader) == number + 1


def test_a_torn_row_is_neither_read_nor_built_upon(index: Index) -> None:
    """Of a row that a kill cut in the middle nothing is seen, and the next takes its place."""
    keys = _keys(3)
    index.add(keys[:2], np.array([1, 2], np.uint64))
    with (index.folder / "rows").open("ab") as file:
        file.write(b"\xff" * (ROW.itemsize - 1))

    assert len(Index(index.folder)) == 2
    index.add(keys[2:], np.array([3], np.uint64))
    assert _told(Index(index.folder).near(3, 0)) == {(0, keys[2], 0)}
    assert len(index) == 3


@pytest.mark.parametrize("lines", [1, 40, 120, 260])
def test_a_kill_loses_nothing_that_was_added(index: Index, lines: int) -> None:
    """Killed at any moment, at least what was said to be added is there, and at most the row after it."""
    with subprocess.Popen(
        [sys.executable, "-c", ADDING, str(index.folder)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(lines)]
        # Readers meanwhile see whole rows, each where it belongs.
        assert _told(index.near(lines // 2, 0)) == {(0, _keys(1, lines // 2)[0], 0)}
        process.send_signal(signal.SIGKILL)
        seen += process.stdout.readlines()

    whole = [line for line in seen if line.endswith("\n")]
    assert len(index) in {len(whole), len(whole) + 1}
    every = index.near_many(np.arange(len(index), dtype=np.uint64), 0)
    assert every.keys.tolist() == _keys(len(index))
    assert index.add(_keys(1, 999_999), np.array([7], np.uint64)) == 1
    assert not list(index.folder.glob(".new-*"))


def test_two_that_add_wait_for_each_other(index: Index) -> None:
    """While another adds, adding waits; asking does not."""
    index.add(_keys(1), np.array([1], np.uint64))
    with subprocess.Popen(
        [sys.executable, "-c", ADDING, str(index.folder)], stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with (index.folder / "rows").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            before, asked = len(index), time.monotonic()
            assert index.near(1, 0).keys.size
            time.sleep(0.3)
            assert len(index) == before
            assert time.monotonic() - asked < 10
        process.kill()


@pytest.mark.parametrize("damage", [b"", b"\x00", b"kaoset near 0001" + bytes([9] * 8)])
def test_damaged_bands_are_named_and_made_again(index: Index, damage: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is no bands is refused with what to do; once it is deleted, all is found and it is made again."""
    monkeypatch.setattr(near_index, "LATE", 0)
    keys = _keys(5)
    index.add(keys[:4], np.arange(4, dtype=np.uint64))
    bands = index.folder / "bands"
    bands.write_bytes(damage or bands.read_bytes()[:-1])

    with pytest.raises(StoreError, match="bands: damaged; delete it"):
        Index(index.folder).near(0, 0)
    bands.unlink()
    assert _told(Index(index.folder).near(3, 0)) == {(0, keys[3], 0)}
    index.add(keys[4:], np.array([9], np.uint64))
    assert bands.exists()


def test_lost_rows_are_noticed(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands that speak of more rows than there are do not answer with rows that are not there."""
    monkeypatch.setattr(near_index, "LATE", 0)
    index.add(_keys(4), np.arange(4, dtype=np.uint64))
    os.truncate(index.folder / "rows", 2 * ROW.itemsize)

    with pytest.raises(StoreError, match="has lost rows; delete it"):
        Index(index.folder).near(0, 0)


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    """Where a file stands in the way, one line says so."""
    (tmp_path / "near").write_text("in the way")

    with pytest.raises(StoreError, match="near"):
        Index(tmp_path / "near").add(_keys(1), np.array([1], np.uint64))


@pytest.mark.parametrize("key", ["", "abc", "g" * 64, "F" * 64, "0" * 63 + "\n"])
def test_what_is_no_sha256_is_refused(index: Index, key: str) -> None:
    """A key is 64 hexadecimal digits, and nothing is added with one that is not."""
    with pytest.raises(ValueError, match="no SHA-256"):
        index.add([*_keys(1), key], np.array([1, 2], np.uint64))
    assert len(index) == 0


def test_keys_and_hashes_come_in_pairs(index: Index) -> None:
    """One hash is not spread over two keys."""
    with pytest.raises(ValueError, match="2 keys for 1 hashes"):
        index.add(_keys(2), np.array([1], np.uint64))


def test_a_key_with_one_hash_is_lacking_and_so_is_the_last(tmp_path: Path) -> None:
    """The first may get more; of the last, whoever is killed may have written some hashes only."""
    one, two, three, last, stranger = keys = _keys(5)
    index = Index(tmp_path)
    assert (index.lacking([]), index.lacking(keys)) == ([], keys)

    index.add([one, two, two, three, three, three, last, last], np.arange(8, dtype=np.uint64))

    assert (index.lacking([]), index.lacking(keys)) == ([], [one, last, stranger])
