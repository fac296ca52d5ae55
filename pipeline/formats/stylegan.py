"""`stylegan.zip`: what the dataset_tool.py of StyleGAN2-ADA and 3 writes, and their training/dataset.py reads."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.formats.crops import Crops, Published, one_line, whole
from pipeline.formats.images import faults_of_bytes
from pipeline.formats.stored_zip import StoredZip
from pipeline.manifest import MANIFEST

NAME = "stylegan.zip"
LABELS = "dataset.json"  # at the root of the archive


def write(crops: Crops) -> None:
    """Write numbered PNGs and dataset.json, all stored; its readers take `labels` alone of that file."""
    path = crops.folder / NAME
    if path.exists():
        crops.tell(len(crops.rows))
        return
    with whole(path) as aside, aside.open("wb") as file, StoredZip(file) as archive:
        for index, one in enumerate(crops.rows):
            archive.add(_name(index), [crops.store.get(one.crop_sha256)])
            crops.tell(1)
        archive.add(LABELS, _Labels(crops))


def faults(release: Published) -> Iterator[str]:
    """Read it as StyleGAN does, and hold each picture against the manifest."""
    if len(release.sizes) > 1 or any(size.isdecimal() and int(size) & (int(size) - 1) for size in release.sizes):
        yield f"{NAME}: sizes {', '.join(sorted(release.sizes))}, one power of two expected"
    try:
        with zipfile.ZipFile(release.folder / NAME) as archive:
            wrong = list(_wrong_members(archive))
            yield from (f"{NAME}: {one}" for one in wrong)
            if not wrong:
                yield from (f"{NAME}: {one}" for one in _faults_of_pictures(archive, release))
                yield from (f"{NAME}: {one}" for one in _faults_of_labels(archive, release))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, NotImplementedError, RuntimeError) as error:
        yield f"{NAME}: not readable ({one_line(error)})"


def _wrong_members(archive: zipfile.ZipFile) -> Iterator[str]:
    """Look at the directory alone: nothing is unpacked that would not be as long as it lies there."""
    seen = set()
    for one in archive.infolist():
        if one.filename in seen:
            yield f"{one.filename} is there twice"
        seen.add(one.filename)
        if one.filename.startswith("/") or ".." in one.filename.split("/") or "\\" in one.filename:
            yield f"{one.filename!r} leads out of the folder"
        elif one.compress_type != zipfile.ZIP_STORED or one.compress_size != one.file_size:
            yield f"{one.filename} is compressed, stored expected"
    if LABELS not in seen:
        yield f"{LABELS} is missing"


def _faults_of_pictures(archive: zipfile.ZipFile, release: Published) -> Iterator[str]:
    names = {one.filename for one in archive.infolist()} - {LABELS}
    for index, row in enumerate(release.rows):
        name = _name(index)
        if name not in names:
            yield f"{name} is missing"
            continue
        names.discard(name)
        data = archive.read(name)
        yield from (f"{name} {one}" for one in faults_of_bytes(data, ".png", row["size"]))
        if hashlib.sha256(data).hexdigest() != row["crop_sha256"]:
            yield f"{name} is not the crop of its row in {MANIFEST}"
    yield from (f"{name!r} is no crop of the release" for name in sorted(names))


def _faults_of_labels(archive: zipfile.ZipFile, release: Published) -> Iterator[str]:
    try:
        said = json.loads(archive.read(LABELS))["labels"]
        known = None if said is None else {str(name): value for name, value in said}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        yield f"{LABELS} is not readable ({one_line(error)})"
        return
    if release.labels is None:
        return
    if known is None:
        if release.labels.target(0) is not None:
            yield f"{LABELS} has no labels, {release.labels.by} expected"
        return
    if len(known) != len(said):
        yield f"{LABELS} labels a picture twice"
    for index in range(release.count):
        name = _name(index)
        if name not in known:
            yield f"{LABELS} does not label {name}"
        elif known[name] != release.labels.target(index):
            yield f"{LABELS} gives {name} another label than the release"
    yield from (f"{LABELS} labels {name!r}, which is not there" for name in sorted(known)[release.count :])


@dataclass(frozen=True)
class _Labels:
    """The text of dataset.json, in pieces."""

    crops: Crops

    def __iter__(self) -> Iterator[bytes]:
        labels = self.crops.labels
        if labels.target(0) is None:
            yield json.dumps({"labels": None}).encode()
            return
        classes = {"classes": labels.names} if labels.in_classes else {}
        head, tail = json.dumps({**classes, "labels": []}).rsplit("]", 1)
        yield head.encode()
        for index in range(len(self.crops.rows)):
            pair: list[Any] = [_name(index), labels.target(index)]
            yield f"{', ' if index else ''}{json.dumps(pair)}".encode()
        yield f"]{tail}".encode()


def _name(index: int) -> str:
    return f"{index // 1000:05d}/img{index:08d}.png"
