"""Whether a release is what it says: every file read again by its readers' rules."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import UsageError
from pipeline.labels import ATTRIBUTES
from pipeline.manifest import MANIFEST, faults_of_sums, read_csv, sha256_of
from pipeline.pixels import BadImage, inspect

MAX_CROP_PIXELS = 4096 * 4096
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}


def verify(release: Path) -> list[str]:
    """Read a whole release again by its readers' rules and name every fault; an empty list means it is sound.

    Raises:
        UsageError: There is no release at that path.
    """
    if not release.is_dir():
        raise UsageError(f"{release}: no such release; `flow status` lists them")
    if not (release / MANIFEST).is_file():
        return [f"{MANIFEST}: missing, so this is no release"]
    faults = list(faults_of_sums(release))
    try:
        frame = read_csv(release / MANIFEST)
    except UsageError as error:
        return [*faults, str(error)]
    faults += _faults_of_images(release, frame)
    faults += _faults_of_arrays(release, frame)
    faults += _faults_of_zip(release, frame)
    faults += _faults_of_report(release, frame)
    return faults


def _faults_of_images(release: Path, frame: pd.DataFrame) -> Iterator[str]:
    if list(frame["crop_sha256"]) != sorted(set(frame["crop_sha256"])):
        yield f"{MANIFEST}: rows are not sorted by crop_sha256, or one is there twice"
    for sha256, file, size in zip(frame["crop_sha256"], frame["file"], frame["size"], strict=True):
        path = release / file
        if path.suffix not in _FORMATS or file != f"images/{sha256}{path.suffix}":
            yield f"{MANIFEST}: {file} is not named by its crop_sha256"
        elif path.is_file():
            yield from _faults_of_image(path, sha256, size)
        else:
            yield f"{file}: in the manifest, but missing"
    splits_of = frame.groupby("family")["split"].nunique()
    for family in splits_of[splits_of > 1].index:
        yield f"{MANIFEST}: family {family} stands in more than one split"


def _faults_of_image(path: Path, sha256: str, size: str) -> Iterator[str]:
    if path.suffix == ".png" and sha256_of(path) != sha256:
        yield f"images/{path.name}: its bytes are not those of crop_sha256"
    try:
        still = inspect(path.read_bytes(), max_pixels=MAX_CROP_PIXELS)
    except BadImage as bad:
        yield f"images/{path.name}: does not decode ({bad.reason})"
        return
    if still.format != _FORMATS[path.suffix]:
        yield f"images/{path.name}: holds a {still.format}"
    if not size.isdecimal() or (still.width, still.height) != (int(size), int(size)):
        yield f"images/{path.name}: {still.width}x{still.height} pixels, {size}x{size} expected"


def _faults_of_arrays(release: Path, frame: pd.DataFrame) -> Iterator[str]:
    for name, tail in {"faces.npy": 4, "labels.npy": 2}.items():
        try:
            array = np.load(release / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            yield f"{name}: not readable ({str(error).splitlines()[0]})"
            continue
        if array.ndim != tail or len(array) != len(frame):
            yield f"{name}: shape {array.shape} does not fit {len(frame)} rows"
        elif name == "faces.npy" and (array.dtype != np.uint8 or array.shape[1] != array.shape[2]):
            yield f"{name}: {array.dtype} {array.shape}, square uint8 expected"
        elif name == "labels.npy" and (array.shape[1] != len(ATTRIBUTES) or not np.isin(array, (-1, 0, 1)).all()):
            yield f"{name}: {array.shape}, {len(ATTRIBUTES)} labels of -1, 0 or 1 expected"


def _faults_of_zip(release: Path, frame: pd.DataFrame) -> Iterator[str]:
    """By the rules of StyleGAN's reader: sorted names, all images alike, square, power of two, labels cover all."""
    path = release / "stylegan.zip"
    if not path.exists():
        return
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
            names = archive.namelist()
            labels = json.loads(archive.read("dataset.json"))["labels"]
            labelled = None if labels is None else len(labels)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        yield f"stylegan.zip: not readable ({error})"
        return
    images = [name for name in names if name.endswith(".png")]
    if broken:
        yield f"stylegan.zip: {broken} is damaged"
    if len(images) != len(frame) or sorted(images) != images:
        yield f"stylegan.zip: {len(images)} sorted images expected to be {len(frame)}"
    if labelled not in {None, len(images)}:
        yield "stylegan.zip: labels do not cover every image"
    sizes = {int(size) for size in frame["size"] if size.isdecimal()}
    if len(sizes) > 1 or any(size & (size - 1) for size in sizes):
        yield f"stylegan.zip: sizes {sorted(sizes)}, one power of two expected"


def _faults_of_report(release: Path, frame: pd.DataFrame) -> Iterator[str]:
    try:
        stages = json.loads((release / "report.json").read_text("utf-8"))["stages"]
        for one in stages:
            if one["seen"] != one["kept"] + sum(one["dropped"].values()):
                yield f"report.json: {one['stage']} saw {one['seen']}, but its counts do not add up"
        if stages[-1]["kept"] != len(frame):
            yield f"report.json: {stages[-1]['kept']} crops stated, {len(frame)} in the manifest"
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        yield f"report.json: not readable ({error})"
