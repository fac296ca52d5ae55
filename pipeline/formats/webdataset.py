"""`webdataset/<split>-000000.tar`: shards whose samples are a picture, what is known of it, and its class."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.formats.crops import Crops, Published, faults_of_json, one_line, told, whole
from pipeline.manifest import sha256_of

NAME = "webdataset"
SHARD = 4000  # crops; 256 px make about 400 MB


def write(crops: Crops) -> None:
    """Write the shards of each split; the files of a sample stand together, named alike up to the first dot."""
    for split, indices in crops.splits.items():
        for number, start in enumerate(range(0, len(indices), SHARD)):
            some = indices[start : start + SHARD]
            path = crops.folder / NAME / _shard(split, number)
            if not path.exists():
                with whole(path) as aside, tarfile.open(aside, "w", format=tarfile.USTAR_FORMAT) as archive:
                    for index in some:
                        for name, data in _sample(crops, int(index)):
                            archive.addfile(_member(name, len(data)), io.BytesIO(data))
            crops.tell(len(some))


def faults(release: Published) -> Iterator[str]:
    """Read every shard from its beginning to its end, and hold each sample against the manifest."""
    names = {_shard(split, at) for split, count in release.splits.items() for at in range(-(-count // SHARD))}
    folder = release.folder / NAME
    there = {one.name for one in os.scandir(folder)} if folder.is_dir() else set()
    yield from (f"{NAME}/{name}: missing" for name in sorted(names - there))
    yield from (f"{NAME}/{name}: no shard of the release" for name in sorted(there - names))
    for split, count in release.splits.items():
        rows = ((index, row) for index, row in enumerate(release.rows) if row["split"] == split)
        for number, start in enumerate(range(0, count, SHARD)):
            some = [next(rows) for _ in range(min(SHARD, count - start))]
            name = _shard(split, number)
            if name in there:
                yield from (f"{NAME}/{name}: {one}" for one in _faults_of_shard(release, folder / name, some))


def _faults_of_shard(release: Published, path: Path, rows: list[tuple[int, dict[str, str]]]) -> Iterator[str]:
    try:
        with tarfile.open(path, "r:") as archive:
            for index, row in rows:
                for name in _names(release, row):
                    member = archive.next()
                    if member is None:
                        yield f"ends before {name}"
                        return
                    if member.name != name:
                        yield f"{member.name!r} where {name} is expected"
                        return
                    # A link, or a sparse file, which may be as long as it likes.
                    plain = member.type == tarfile.REGTYPE and member.sparse is None
                    file = archive.extractfile(member) if plain else None
                    if file is None:
                        yield f"{name} is no file"
                        return
                    yield from (f"{name} {one}" for one in _faults_of(release, name, file.read(), index, row))
            more = archive.next()
            if more is not None:
                yield f"{more.name!r} is no crop of the shard, or is there twice"
    except (OSError, tarfile.TarError, ValueError) as error:
        yield f"not readable ({one_line(error)})"
        return
    with path.open("rb") as file:
        if path.stat().st_size % tarfile.RECORDSIZE or not _ends_with_zeros(file):
            yield "truncated: its end mark is missing"


def _faults_of(release: Published, name: str, data: bytes, index: int, row: Mapping[str, str]) -> Iterator[str]:
    if name.endswith(".json"):
        yield from faults_of_json(data, row, release.labels.told(index) if release.labels else {})
    elif name.endswith(".cls"):
        if release.labels is not None and data != str(release.labels.target(index)).encode():
            yield "is another class than that of the release"
    else:
        picture = release.folder / row["file"]
        if picture.is_file() and hashlib.sha256(data).hexdigest() != sha256_of(picture):
            yield f"is another picture than {row['file']}"


def _names(release: Published, row: Mapping[str, str]) -> list[str]:
    key, suffix = row["crop_sha256"], Path(row["file"]).suffix
    classed = [f"{key}.cls"] if release.classed else []
    return [f"{key}{suffix}", f"{key}.json", *classed]


def _sample(crops: Crops, index: int) -> Iterator[tuple[str, bytes]]:
    one = crops.rows[index]
    yield Path(one.file).name, (crops.folder / one.file).read_bytes()
    yield f"{one.crop_sha256}.json", json.dumps(told(one, crops.labels, index), ensure_ascii=False).encode()
    if crops.labels.in_classes:
        yield f"{one.crop_sha256}.cls", str(crops.labels.target(index)).encode()


def _shard(split: str, number: int) -> str:
    return f"{split}-{number:06d}.tar"


def _member(name: str, size: int) -> tarfile.TarInfo:
    """Describe a file without time or owner."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


def _ends_with_zeros(file: io.BufferedReader) -> bool:
    file.seek(-2 * tarfile.BLOCKSIZE, os.SEEK_END)
    return not file.read().strip(b"\0")
