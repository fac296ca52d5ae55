"""A release: an immutable folder with crops, manifest and what trainers read, published whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline import __version__
from pipeline.card import NOTHING_DECIDED, Agreement, write_card
from pipeline.errors import StoreError, UsageError
from pipeline.labels import ATTRIBUTES, labels_of
from pipeline.manifest import MANIFEST, SUMS, ManifestRow, faults_of_sums, files_of, sha256_of, to_csv
from pipeline.pixels import decode, encode_as, encode_png, resize
from pipeline.stage import StageReport
from pipeline.store import Store, write_atomically

SHEET_SIDE, SHEET_COLUMNS, SHEET_ROWS = 96, 12, 8  # pixels a crop; crops
MAX_CROP_PIXELS = 4096 * 4096
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that the format knows


@dataclass(frozen=True, kw_only=True)
class Release:
    """A published folder."""

    path: Path
    crops: int
    manifest_sha256: str
    new: bool  # False: nothing has changed since it was published

    @property
    def name(self) -> str:
        """The recipe's name and the number of the release."""
        return f"{self.path.parent.name}/{self.path.name}"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a release is made of: everything else follows from it."""

    recipe_name: str
    recipe_toml: str
    rows: Sequence[ManifestRow]
    reports: Sequence[StageReport]
    train_size: int  # pixels a side of faces.npy
    formats: Sequence[str]  # beside images, manifest and arrays: "stylegan"
    quality: int = 95  # 1 to 100; of images that are no PNG
    agreement: Agreement = NOTHING_DECIDED  # how people decided, for the card


def publish(contents: Contents, store: Store, releases: Path, progress: Callable[[int, int], None]) -> Release:
    """Write the next release of a recipe aside and move it in place when it is whole.

    If the last release has the same manifest and recipe, and is whole, it stands and nothing is written.

    Raises:
        UsageError: No crop was accepted.
        StoreError: The disk is full, or the folder cannot be written.
    """
    if not contents.rows:
        raise UsageError(
            f"{contents.recipe_name}: no crop is accepted yet, so there is nothing to publish; "
            "see `flow status` for what was dropped and `flow review list` for what waits"
        )
    folder = releases / contents.recipe_name
    manifest = to_csv(contents.rows)
    numbers = sorted(int(one.name) for one in folder.glob("[0-9]*") if one.is_dir() and one.name.isdecimal())
    if numbers and _same(folder / f"{numbers[-1]:03d}", manifest, contents.recipe_toml):
        path = folder / f"{numbers[-1]:03d}"
        return Release(path=path, crops=len(contents.rows), manifest_sha256=_sha256(manifest), new=False)
    try:
        for left in folder.glob(".new-*"):
            shutil.rmtree(left)
        number = (numbers[-1] if numbers else 0) + 1
        aside = folder / f".new-{number:03d}"
        aside.mkdir(parents=True)
        _write(aside, contents, manifest, store, progress)
        aside.replace(folder / f"{number:03d}")
        _flush(folder)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror}); free some space or choose --data") from error
    return Release(path=folder / f"{number:03d}", crops=len(contents.rows), manifest_sha256=_sha256(manifest), new=True)


def report_json(reports: Sequence[StageReport]) -> str:
    """Write the counts of every stage; no times, so that the same dataset gives the same bytes."""
    stages = [{"stage": one.stage, "seen": one.seen, "kept": one.kept, "dropped": one.dropped} for one in reports]
    return json.dumps({"kaoset": __version__, "stages": stages}, indent=2) + "\n"


def find_release(releases: Path, name: str | None) -> Path:
    """Find a release by folder, by ``recipe/number``, by recipe (its last), or the last of all.

    Raises:
        UsageError: There is none of that name.
    """
    if name and _is_release(Path(name)):
        return Path(name)
    everywhere = [one for one in releases.glob("*/[0-9]*") if one.name.isdecimal() and _is_release(one)]
    wanted = (name or "").rstrip("/")
    found = [one for one in everywhere if name is None or wanted in {one.parent.name, f"{one.parent.name}/{one.name}"}]
    if not found:
        raise UsageError(f"{name or releases}: no such release; `flow run build-dataset` makes one")
    return max(found, key=lambda one: (one / MANIFEST).stat().st_mtime_ns if name is None else int(one.name))


def _is_release(path: Path) -> bool:
    try:
        return (path / MANIFEST).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _write(
    aside: Path, contents: Contents, manifest: bytes, store: Store, progress: Callable[[int, int], None]
) -> None:
    rows = sorted(contents.rows, key=lambda one: one.crop_sha256)
    size = contents.train_size
    (aside / "images").mkdir()
    in_image = pd.Series([one.image_sha256 for one in rows]).value_counts()
    labels = [labels_of(one.tags.split(), int(in_image[one.image_sha256])) for one in rows]
    sheet = _Sheet(len(rows))
    # Written, not mapped into memory: on a full disk a mapped file ends the process with a bus error.
    with (aside / "faces.npy").open("wb") as faces:
        head = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), size, size, 3)}
        np.lib.format.write_array_header_1_0(faces, head)
        for index, one in enumerate(rows):
            png = store.get(one.crop_sha256)
            pixels_HWC = decode(png, max_pixels=MAX_CROP_PIXELS)
            (aside / one.file).write_bytes(_encoded(Path(one.file).suffix, png, pixels_HWC, contents.quality))
            faces.write(resize(pixels_HWC, size).tobytes())
            sheet.add(index, pixels_HWC)
            progress(index + 1, len(rows))
    if "stylegan" in contents.formats:
        _write_stylegan(aside / "stylegan.zip", rows, store)
    _write_array(aside / "labels.npy", np.stack(labels))
    _write_text(aside / "labels.json", json.dumps(ATTRIBUTES, indent=2) + "\n")
    write_atomically(aside / MANIFEST, manifest)
    _write_text(aside / "recipe.toml", contents.recipe_toml)
    _write_text(aside / "report.json", report_json(contents.reports))
    write_atomically(aside / "contact_sheet.png", encode_png(sheet.pixels_HWC))
    write_card(aside, contents.agreement)
    sums = [f"{sha256_of(path)}  {path.relative_to(aside).as_posix()}" for path in files_of(aside)]
    _write_text(aside / SUMS, "\n".join(sums) + "\n")


def _write_stylegan(path: Path, rows: Sequence[ManifestRow], store: Store) -> None:
    """Write what the dataset_tool.py of StyleGAN2-ADA and 3 would: numbered PNGs and dataset.json, stored."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for index, one in enumerate(rows):
            archive.writestr(_member(f"{index // 1000:05d}/img{index:08d}.png"), store.get(one.crop_sha256))
        archive.writestr(_member("dataset.json"), json.dumps({"labels": None}))


def _encoded(suffix: str, png: bytes, pixels_HWC: NDArray[np.uint8], quality: int) -> bytes:
    """Give a crop in the format of its file; a PNG is the crop itself, byte for byte."""
    return png if suffix == ".png" else encode_as(pixels_HWC, suffix[1:], quality)


class _Sheet:
    """A grid of crops spread evenly over the release."""

    def __init__(self, crops: int) -> None:
        shown = min(crops, SHEET_COLUMNS * SHEET_ROWS)
        self._places = {int(index): place for place, index in enumerate(np.linspace(0, crops - 1, shown).astype(int))}
        rows = -(-shown // SHEET_COLUMNS)
        wide = min(shown, SHEET_COLUMNS)
        self.pixels_HWC = np.full((rows * SHEET_SIDE, wide * SHEET_SIDE, 3), 255, np.uint8)

    def add(self, index: int, pixels_HWC: NDArray[np.uint8]) -> None:
        """Show the crop with that number, if it is one of the chosen."""
        if index not in self._places:
            return
        row, column = divmod(self._places[index], SHEET_COLUMNS)
        top, left = row * SHEET_SIDE, column * SHEET_SIDE
        self.pixels_HWC[top : top + SHEET_SIDE, left : left + SHEET_SIDE] = resize(pixels_HWC, SHEET_SIDE)


def _same(last: Path, manifest: bytes, recipe_toml: str) -> bool:
    try:
        same = (last / MANIFEST).read_bytes() == manifest and (last / "recipe.toml").read_text("utf-8") == recipe_toml
        return same and next(faults_of_sums(last), None) is None
    except OSError:
        return False


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, ZIP_DATE)
    member.external_attr = 0o644 << 16
    return member


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, text.encode())


def _write_array(path: Path, array: NDArray[np.int8]) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_atomically(path, buffer.getvalue())


def _flush(folder: Path) -> None:
    """Make the renaming itself durable; Windows cannot and need not."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
