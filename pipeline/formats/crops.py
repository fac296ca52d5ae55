"""What a format is made of, what it is checked against, and how a file comes to stand there whole."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UsageError
from pipeline.formats.classes import Labels
from pipeline.manifest import ManifestRow, harmless
from pipeline.store import Store

UNDER_WAY = ".new-"  # what the name of an unfinished file begins with, as in pipeline.store
_BY_NAME: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
_KINDS = {field.name: _BY_NAME[str(field.type)] for field in dataclasses.fields(ManifestRow)}


@dataclass(frozen=True, kw_only=True)
class Crops:
    """The accepted crops, as every format is made of them."""

    folder: Path  # the release under way; `images/` is there when a format is written
    rows: Sequence[ManifestRow]  # by crop SHA-256; made when they are asked for, so do not hold them
    splits: Mapping[str, NDArray[np.int64]]  # by name, sorted: which of the rows, in their order
    labels: Labels
    store: Store
    train_size: int  # pixels a side of faces.npy
    quality: int  # 1 to 100; of images that are no PNG
    tell: Callable[[int], None]  # so many crops more have been written


class Listing:
    """The rows of a manifest as text, read afresh each time: a release of any size is checked in little memory.

    Args:
        path: Of `data_manifest.csv`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def columns(self) -> list[str]:
        """Give the names in the first line.

        Raises:
            UsageError: It cannot be read.
        """
        with self._lines() as lines:
            return next(lines, [])

    def __iter__(self) -> Iterator[dict[str, str]]:
        """Give each row by its columns, what is empty as "".

        Raises:
            UsageError: It cannot be read, or a row is not as long as the first line.
        """
        with self._lines() as lines:
            columns = next(lines, [])
            for number, cells in enumerate(lines, 1):
                if len(cells) != len(columns):
                    raise ValueError(f"row {number} has {len(cells)} cells, {len(columns)} expected")
                yield dict(zip(columns, cells, strict=True))

    @contextmanager
    def _lines(self) -> Iterator[Iterator[list[str]]]:
        csv.field_size_limit(sys.maxsize)  # what a post says may be longer than the module expects
        try:
            with self._path.open(encoding="utf-8", newline="") as file:
                yield csv.reader(file, strict=True)
        except (OSError, ValueError, csv.Error) as error:
            raise UsageError(f"{self._path.name}: not readable as a manifest ({one_line(error)})") from error


@dataclass(frozen=True, kw_only=True)
class Published:
    """A release that lies there, as its formats are checked against it; its manifest has been read once already."""

    folder: Path
    rows: Listing
    count: int  # of the rows
    sizes: frozenset[str]  # of the crops, as the manifest states them
    splits: Mapping[str, int]  # how many rows of each
    labels: Labels | None  # None: they are not readable, which is told elsewhere
    classed: bool  # whether each crop has one class, as the recipe says
    train_size: int | None  # None: the recipe does not say


def told(row: ManifestRow, labels: Labels, index: int) -> dict[str, Any]:
    """Give one row by its columns, with its class, or its 34 attributes, where the recipe chose such labels."""
    # Typed, because a reader that meets 0 where it has seen 0.5 takes it for another kind of column.
    return {name: kind(getattr(row, name)) for name, kind in _KINDS.items()} | labels.told(index)


def faults_of_json(line: str | bytes, row: Mapping[str, str], more: Mapping[str, Any]) -> Iterator[str]:
    """Hold an object in JSON against a row of the manifest, and *more* that it should hold."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        yield f"no JSON ({one_line(error)})"
        return
    if not isinstance(said, dict):
        yield "no JSON object"
        return
    wrong = [name for name, text in row.items() if name not in said or not same(said[name], text)]
    wrong += [name for name, value in more.items() if said.get(name) != value]
    if wrong:
        yield f"{wrong[0]} is not what the manifest says"


def same(value: object, text: str) -> bool:
    """Say whether a value is what a cell of the manifest states."""
    match value:
        case bool() | int():
            return str(value) == text
        case str():  # the manifest alone is opened in spreadsheets
            return text in {value, harmless(value)}
        case float():
            try:
                return float(text) == value
            except ValueError:
                return False
        case _:
            return False


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a name to write to beside *path*; what is written there is moved to *path* when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{UNDER_WAY}{path.name}")
    yield aside
    aside.replace(path)


def link(source: Path, target: Path) -> None:
    """Let *target* be the same file as *source*, or a copy where the file system links nothing; it may be there."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        with whole(target) as aside:
            shutil.copyfile(source, aside)


def one_line(error: BaseException) -> str:
    """Give the first line of what an error says."""
    return (str(error) or type(error).__name__).splitlines()[0]
