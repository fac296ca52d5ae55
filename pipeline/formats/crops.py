"""What a format is made of, what it is checked against, and how a file comes to stand there whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import UsageError
from pipeline.formats.classes import Labels
from pipeline.manifest import COLUMNS, ManifestRow
from pipeline.store import Store

UNDER_WAY = ".new-"  # what the name of an unfinished file begins with, as in pipeline.store
ROWS_AT_ONCE = 2000


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
        split: Give the rows of one split alone.
    """

    def __init__(self, path: Path, split: str | None = None) -> None:
        self._path, self._split = path, split

    def of(self, split: str) -> Listing:
        """Give the rows of one split."""
        return Listing(self._path, split)

    def columns(self) -> list[str]:
        """Give the names in the first line.

        Raises:
            UsageError: It cannot be read.
        """
        with self._readable():
            return [str(name) for name in pd.read_csv(self._path, dtype=str, nrows=0).columns]

    def __iter__(self) -> Iterator[dict[str, str]]:
        """Give each row by its columns, what is empty as "".

        Raises:
            UsageError: It cannot be read, or a row is not as long as the first line.
        """
        with self._readable():
            chunks = pd.read_csv(self._path, dtype=str, keep_default_na=False, chunksize=ROWS_AT_ONCE, index_col=False)
            for chunk in chunks:
                if bool(chunk.isna().to_numpy().any()):
                    raise ValueError("a row is shorter than the first line")
                some: list[dict[Any, Any]] = chunk.to_dict("records")
                yield from (one for one in some if self._split is None or one["split"] == self._split)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # pandas' errors are ValueErrors, and so is what is no UTF-8
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
    train_size: int | None  # None: the recipe does not say


def in_json(row: ManifestRow, labels: Labels, index: int, file_name: str | None = None) -> str:
    """Write one row as a line of JSON, with its class, or its 34 attributes, where the recipe chose such labels."""
    said: dict[str, Any] = {} if file_name is None else {"file_name": file_name}
    said |= {name: getattr(row, name) for name in COLUMNS}
    said |= labels.told(index)
    return json.dumps(said, ensure_ascii=False)


def faults_of_json(line: str | bytes, row: Mapping[str, str], labels: Labels | None, index: int) -> Iterator[str]:
    """Hold what `in_json` wrote against the manifest."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        yield f"no JSON ({one_line(error)})"
        return
    if not isinstance(said, dict):
        yield "no JSON object"
        return
    wanted = {} if labels is None else labels.told(index)
    wrong = [name for name, text in row.items() if name not in said or not same(said[name], text)]
    wrong += [name for name, value in wanted.items() if said.get(name) != value]
    if wrong:
        yield f"{wrong[0]} is not what the manifest says"


def same(value: object, text: str) -> bool:
    """Say whether a value is what a cell of the manifest states."""
    match value:
        case bool() | int() | str():
            return str(value) == text
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
