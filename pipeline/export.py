"""A release: an immutable folder with crops, manifest and what trainers read, published whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from pipeline import __version__
from pipeline.card import NOTHING_DECIDED, Agreement, write_card
from pipeline.errors import StoreError, UsageError
from pipeline.formats import FORMATS, images
from pipeline.formats.classes import NONE, Labels, label
from pipeline.formats.crops import UNDER_WAY, Crops, whole
from pipeline.labels import ATTRIBUTES
from pipeline.manifest import COLUMNS, MANIFEST, SUMS, ManifestRow, csv_parts, faults_of_sums, files_of, sha256_of
from pipeline.pixels import decode, encode_png, resize
from pipeline.stage import StageReport
from pipeline.store import Store, write_atomically

SHEET_SIDE, SHEET_COLUMNS, SHEET_ROWS = 96, 12, 8  # pixels a crop; crops
REBUILT = "-rebuilt"  # after a recipe's name: releases that are not of its row
SHOWN = 20  # releases, where none has the name that was given
LAYOUT = (
    2  # raised when the same contents give other bytes, so that nothing half-written by an older one is gone on with
)
MARK = f"{UNDER_WAY}mark"  # of what an unfinished release is made

One = TypeVar("One")


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
    rows: Sequence[ManifestRow]  # in any order; may be made when they are asked for (`MadeRows`), several times
    reports: Sequence[StageReport]
    train_size: int  # pixels a side of faces.npy
    formats: Sequence[str]  # of `FORMATS`, beside images, manifest and arrays
    labels: str = NONE  # what formats label a crop with: "attributes", or one of formats.classes.CLASSES
    quality: int = 95  # 1 to 100; of images that are no PNG
    agreement: Agreement = NOTHING_DECIDED  # how people decided, for the card


class MadeRows(Sequence[ManifestRow], Generic[One]):
    """Rows that are made each time they are asked for, so that a release of any size holds none of them.

    Args:
        items: One for each row.
        make: Gives the same row for the same item, always.
    """

    def __init__(self, items: Sequence[One], make: Callable[[One], ManifestRow]) -> None:
        self._items, self._make = items, make

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> ManifestRow: ...
    @overload
    def __getitem__(self, index: slice) -> MadeRows[One]: ...
    def __getitem__(self, index: int | slice) -> ManifestRow | MadeRows[One]:
        """Make one row; a part of them is made later."""
        if isinstance(index, slice):
            return MadeRows(self._items[index], self._make)
        return self._make(self._items[index])


def publish(contents: Contents, store: Store, releases: Path, progress: Callable[[int, int], None]) -> Release:
    """Write the next release of a recipe aside and move it in place when it is whole.

    If the last release has the same manifest and recipe, and is whole, it stands and nothing is written. What a killed
    run has left aside is gone on with if it was to be the same release; the bytes are those of an undisturbed one.

    Raises:
        UsageError: No crop was accepted.
        StoreError: The disk is full, or the folder cannot be written.
        WorldError: A format needs a package that is not installed.
    """
    if not contents.rows:
        raise UsageError(
            f"{contents.recipe_name}: no crop is accepted yet, so there is nothing to publish; "
            "see `flow status` for what was dropped and `flow review list` for what waits"
        )
    for name in contents.formats:
        FORMATS[name].ready()
    folder = releases / contents.recipe_name
    rows, splits = _arranged(contents.rows)
    manifest_sha256 = _sha256_of(rows)
    numbers = _numbers(folder)
    if numbers and _same(folder / f"{numbers[-1]:03d}", manifest_sha256, contents.recipe_toml):
        path = folder / f"{numbers[-1]:03d}"
        return Release(path=path, crops=len(rows), manifest_sha256=manifest_sha256, new=False)
    number = (numbers[-1] if numbers else 0) + 1
    mark = [LAYOUT, __version__, manifest_sha256, contents.train_size, *contents.formats, contents.labels]
    try:
        aside = _aside(folder, f"{UNDER_WAY}{number:03d}", json.dumps([*mark, contents.quality]))
        crops = Crops(
            folder=aside,
            rows=rows,
            splits=splits,
            labels=label(rows, contents.labels),
            store=store,
            train_size=contents.train_size,
            quality=contents.quality,
            tell=_teller(len(rows) * (1 + len(contents.formats)), progress),
        )
        _write(aside, contents, crops)
        aside.replace(folder / f"{number:03d}")
        _flush(folder)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror}); free some space or choose --data") from error
    return Release(path=folder / f"{number:03d}", crops=len(rows), manifest_sha256=manifest_sha256, new=True)


def published(contents: Contents, releases: Path) -> Release | None:
    """Find the release of a recipe, not only its last, that has this manifest and recipe, and is whole."""
    rows, _ = _arranged(contents.rows)
    manifest_sha256 = _sha256_of(rows)
    folder = releases / contents.recipe_name
    for number in reversed(_numbers(folder)):
        path = folder / f"{number:03d}"
        if _same(path, manifest_sha256, contents.recipe_toml):
            return Release(path=path, crops=len(rows), manifest_sha256=manifest_sha256, new=False)
    return None


def last_release(releases: Path, recipe: str) -> Path | None:
    """Give the folder of a recipe's last release, whole or not; None where it has none."""
    numbers = _numbers(releases / recipe)
    return releases / recipe / f"{numbers[-1]:03d}" if numbers else None


def _numbers(folder: Path) -> list[int]:
    return sorted(int(one.name) for one in folder.glob("[0-9]*") if one.is_dir() and one.name.isdecimal())


def _sha256_of(rows: Sequence[ManifestRow]) -> str:
    digest = hashlib.sha256()
    for part in csv_parts(rows):
        digest.update(part)
    return digest.hexdigest()


def report_json(reports: Sequence[StageReport], decided: Agreement = NOTHING_DECIDED) -> str:
    """Write the counts of every stage and of decisions; no times, so that the same dataset gives the same bytes."""
    stages = [{"stage": one.stage, "seen": one.seen, "kept": one.kept, "dropped": one.dropped} for one in reports]
    # What columns there were tells a later kaoset, which may have more, what to expect of this release.
    report = {"kaoset": __version__, "columns": COLUMNS, "stages": stages, "review": decided.to_json()}
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def find_release(releases: Path, name: str | None) -> Path:
    """Find a release by folder, by ``recipe/number``, by recipe (its last), or the last of all.

    What was rebuilt aside is the last of all only where there is nothing else.

    Raises:
        UsageError: There is none of that name.
    """
    if name and _is_release(Path(name)):
        return Path(name)
    everywhere = [one for one in releases.glob("*/[0-9]*") if one.name.isdecimal() and _is_release(one)]
    wanted = (name or "").rstrip("/")
    found = [one for one in everywhere if name is None or wanted in {one.parent.name, f"{one.parent.name}/{one.name}"}]
    if not found:
        there = ", ".join(sorted(f"{one.parent.name}/{one.name}" for one in everywhere)[-SHOWN:])
        hint = f"known are {there}" if there else "`flow run build-dataset` makes one"
        raise UsageError(f"{name or releases}: no such release; {hint}")
    if name is None:
        found = [one for one in found if not f"-{one.parent.name}".endswith(REBUILT)] or found
    return max(found, key=lambda one: (one / MANIFEST).stat().st_mtime_ns if name is None else int(one.name))


def _is_release(path: Path) -> bool:
    try:
        return (path / MANIFEST).is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _arranged(rows: Sequence[ManifestRow]) -> tuple[MadeRows[int], dict[str, NDArray[np.int64]]]:
    """Sort rows by crop SHA-256, and say which are in which split, by their places alone."""
    names: dict[str, int] = {}
    keys_N, splits_N = np.empty(len(rows), "S64"), np.empty(len(rows), np.int64)
    for index, one in enumerate(rows):
        keys_N[index], splits_N[index] = one.crop_sha256, names.setdefault(one.split, len(names))
    order_N = np.argsort(keys_N, kind="stable")
    splits_N = splits_N[order_N]
    made = MadeRows(range(len(rows)), lambda index: rows[int(order_N[index])])
    return made, {name: np.flatnonzero(splits_N == names[name]) for name in sorted(names)}


def _aside(folder: Path, name: str, mark: str) -> Path:
    """Give the folder that is written to: what was left of the same release, or an empty one."""
    for left in folder.glob(f"{UNDER_WAY}*"):
        if left.name != name or not (left / MARK).is_file() or (left / MARK).read_text("utf-8") != mark:
            shutil.rmtree(left)
    aside = folder / name
    aside.mkdir(parents=True, exist_ok=True)
    write_atomically(aside / MARK, mark.encode())
    return aside


def _teller(total: int, progress: Callable[[int, int], None]) -> Callable[[int], None]:
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        progress(done, total)

    return tell


def _write(aside: Path, contents: Contents, crops: Crops) -> None:
    images.write(crops)
    for name in contents.formats:
        FORMATS[name].write(crops)
    _write_labels(aside, crops.labels)
    with whole(aside / MANIFEST) as path, path.open("wb") as file:
        file.writelines(csv_parts(crops.rows))
    _write_text(aside / "recipe.toml", contents.recipe_toml)
    _write_text(aside / "report.json", report_json(contents.reports, contents.agreement))
    write_atomically(aside / "contact_sheet.png", encode_png(_sheet(crops)))
    write_card(aside, contents.agreement)
    _seal(aside)


def _write_labels(aside: Path, labels: Labels) -> None:
    _write_array(aside / "labels.npy", labels.attributes)
    _write_text(aside / "labels.json", json.dumps(ATTRIBUTES, indent=2) + "\n")
    if labels.in_classes:
        _write_array(aside / "classes.npy", labels.classes)
        _write_text(aside / "classes.json", json.dumps(labels.names, indent=2, ensure_ascii=False) + "\n")


def _seal(aside: Path) -> None:
    """Clear up what a kill left half-written, and write the checksums of all else."""
    with whole(aside / SUMS) as path, path.open("w", encoding="utf-8", newline="\n") as file:
        for one in files_of(aside):
            if one.name.startswith(UNDER_WAY) and one not in {path, aside / MARK}:
                one.unlink()
            elif not one.name.startswith(UNDER_WAY) and one.name != SUMS:
                file.write(f"{sha256_of(one)}  {one.relative_to(aside).as_posix()}\n")
    (aside / MARK).unlink()
    os.sync()  # a flush for each of the many files would take minutes


def _sheet(crops: Crops) -> NDArray[np.uint8]:
    """Draw a grid of crops spread evenly over the release."""
    shown = min(len(crops.rows), SHEET_COLUMNS * SHEET_ROWS)
    rows, wide = -(-shown // SHEET_COLUMNS), min(shown, SHEET_COLUMNS)
    pixels_HWC = np.full((rows * SHEET_SIDE, wide * SHEET_SIDE, 3), 255, np.uint8)
    for place, index in enumerate(np.linspace(0, len(crops.rows) - 1, shown).astype(int)):
        row, column = divmod(place, SHEET_COLUMNS)
        top, left = row * SHEET_SIDE, column * SHEET_SIDE
        crop_HWC = decode(crops.store.get(crops.rows[int(index)].crop_sha256), max_pixels=images.MAX_CROP_PIXELS)
        pixels_HWC[top : top + SHEET_SIDE, left : left + SHEET_SIDE] = resize(crop_HWC, SHEET_SIDE)
    return pixels_HWC


def _same(last: Path, manifest_sha256: str, recipe_toml: str) -> bool:
    try:
        same = (
            sha256_of(last / MANIFEST) == manifest_sha256 and (last / "recipe.toml").read_text("utf-8") == recipe_toml
        )
        return same and next(faults_of_sums(last), None) is None
    except OSError:
        return False


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, text.encode())


def _write_array(path: Path, array: NDArray[Any]) -> None:
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
