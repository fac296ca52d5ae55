from __future__ import annotations

import hashlib
import resource
from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.store import Store, write_atomically


def test_bytes_come_back_by_their_hash(store: Store) -> None:
    """The name is the SHA-256, and it leads to the same bytes."""
    sha256 = store.put(b"face")

    assert sha256 == hashlib.sha256(b"face").hexdigest()
    assert store.get(sha256) == b"face"


def test_a_file_is_moved_in(store: Store, tmp_path: Path) -> None:
    """Taking a file leaves nothing where it was."""
    part = tmp_path / "x.part"
    part.write_bytes(b"abc")

    store.take(part, hashlib.sha256(b"abc").hexdigest())

    assert not part.exists()
    assert store.get(hashlib.sha256(b"abc").hexdigest()) == b"abc"


def test_what_is_not_there_is_one_clear_line(store: Store) -> None:
    """A missing name says which, where, and what to do."""
    with pytest.raises(StoreError, match="run the build again"):
        store.get("0" * 64)


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    """A write that fails leaves neither the file nor its temporary neighbour."""
    target = tmp_path / "folder"
    target.mkdir()
    (target / "in_the_way").write_bytes(b"")

    with pytest.raises(StoreError):
        write_atomically(target, b"x")

    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    """A file system with no room left names the file and says what to do, and leaves nothing behind."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(StoreError, match="free some space"):
            Store(tmp_path).put(bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_damaged_bytes_are_never_handed_out(store: Store) -> None:
    """They are moved aside, so that the next run makes them anew."""
    sha256 = store.put(b"face")
    store.path(sha256).write_bytes(b"fade")

    with pytest.raises(StoreError, match="damaged"):
        store.get(sha256)

    assert not store.has(sha256)
