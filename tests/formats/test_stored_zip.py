"""The archives that are written are those that the standard library would write."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import pytest

from pipeline.formats.stored_zip import StoredZip


def _ours(members: Sequence[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with StoredZip(file) as archive:
        for name, data in members:
            archive.add(name, [data[:3], data[3:]])
    return file.getvalue()


def _zipfile(members: Sequence[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members:
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.external_attr = 0o644 << 16
            archive.writestr(member, data)
    return file.getvalue()


@pytest.mark.parametrize("count", [0, 1, 3, 65_535, 65_536])
def test_any_number_of_members(count: int) -> None:
    """From 65,536 on a zip has another end."""
    members = [(f"{number // 1000:05d}/img{number:08d}.png", b"%d" % number) for number in range(count)]

    assert _ours(members) == _zipfile(members)


@pytest.mark.parametrize("limit", [50, 150, 500])
def test_far_members(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What begins beyond two gigabytes (here, some bytes) is found by a longer number."""
    monkeypatch.setattr("pipeline.formats.stored_zip.ZIP64_LIMIT", limit)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", limit)
    members = [(str(number), b"four") for number in range(9)]

    assert _ours(members) == _zipfile(members)
    with zipfile.ZipFile(io.BytesIO(_ours(members))) as archive:
        assert (archive.testzip(), archive.read("8")) == (None, b"four")
