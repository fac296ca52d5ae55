"""Whether a release is what it says: every file read again by its readers' rules."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import __version__
from pipeline.errors import UsageError
from pipeline.formats import FORMATS, images
from pipeline.formats.classes import CLASSES, NONE, UNLABELLED, Labels
from pipeline.formats.crops import Listing, Published, one_line
from pipeline.manifest import MANIFEST, MISSING, SPLIT, faults_of_sums

# The columns of the first manifests ever written; which others there are, a release says in its report.json.
OLDEST = ("crop_sha256", "file", "size", "family", "split", "image_sha256")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def verify(release: Path) -> list[str]:
    """Read a whole release again by its readers' rules and name every fault; an empty list means it is sound.

    An older release is held to what it promised: the formats of its recipe, the columns of its report.

    Raises:
        UsageError: There is no release at that path.
        WorldError: A format is read by a package that is not installed.
    """
    if not release.is_dir():
        raise UsageError(f"{release}: no such release; `flow status` lists them")
    if not (release / MANIFEST).is_file():
        return [f"{MANIFEST}: missing, so this is no release"]
    faults = list(faults_of_sums(release))
    gone = [PurePosixPath(fault.removesuffix(MISSING)) for fault in faults if fault.endswith(MISSING)]
    told = {str(path) for file in gone for path in (file, *file.parents)}
    # What is missing is named once: a reader that does not find it, or its folder, tells nothing new.
    contents = (fault for fault in _faults_of_contents(release) if fault.partition(": ")[0].rstrip("/") not in told)
    return [*faults, *contents]


@dataclass(frozen=True, kw_only=True)
class _Promised:
    """What a release says that it holds."""

    formats: Sequence[str] = ()
    labels: str = NONE
    train_size: int | None = None


class _Counts:
    """What is to be known of all rows before anything is held against them."""

    def __init__(self, rows: Listing) -> None:
        self.faults: list[str] = []
        self.count, self.sizes, self.splits = 0, set[str](), Counter[str]()
        self._last, self._split_of = "", dict[str, str]()
        self._divided = set[str]()
        for row in rows:
            self._add(row)
        self.faults += [f"{MANIFEST}: family {one} stands in more than one split" for one in sorted(self._divided)]

    def _add(self, row: Mapping[str, str]) -> None:
        self.count += 1
        sha256, split = row["crop_sha256"], row["split"]
        if not _SHA256.fullmatch(sha256):
            self.faults.append(f"{MANIFEST}: row {self.count}: {sha256!r} is no crop_sha256")
        if not SPLIT.fullmatch(split):
            self.faults.append(f"{MANIFEST}: row {self.count}: {split!r} is no split")
        if sha256 == self._last:
            self.faults.append(f"{MANIFEST}: {sha256} is there twice")
        elif sha256 < self._last:
            self.faults.append(f"{MANIFEST}: rows are not sorted by crop_sha256, see row {self.count}")
        if self._split_of.setdefault(row["family"], split) != split:
            self._divided.add(row["family"])
        self._last = sha256
        self.sizes.add(row["size"])
        self.splits[split] += 1


def _faults_of_contents(release: Path) -> Iterator[str]:
    rows = Listing(release / MANIFEST)
    try:
        columns = rows.columns()
        missing = [name for name in OLDEST if name not in columns]
        if missing:
            yield f"{MANIFEST}: lacks {', '.join(missing)}"
            return
        counts = _Counts(rows)
    except UsageError as error:
        yield str(error)
        return
    yield from counts.faults
    yield from _faults_of_report(release, columns, counts.count)
    promised = yield from _promised(release)
    labels = yield from _labels(release, counts.count, promised.labels)
    if any("is no " in fault for fault in counts.faults):  # such a name may lead anywhere
        return
    published = Published(
        folder=release,
        rows=rows,
        count=counts.count,
        sizes=frozenset(counts.sizes),
        splits=dict(sorted(counts.splits.items())),
        labels=labels,
        classed=promised.labels in CLASSES,
        train_size=promised.train_size,
    )
    yield from images.faults(published)
    for name in promised.formats:
        yield from FORMATS[name].faults(published)


def _promised(release: Path) -> Generator[str, None, _Promised]:
    """Read in its recipe what the release should hold; an older recipe says less, and so promises less."""
    try:
        recipe = tomllib.loads((release / "recipe.toml").read_text("utf-8"))
        section, train = recipe.get("release", {}), recipe.get("train", {})
        formats, labels, size = section.get("formats"), section.get("labels", NONE), train.get("size")
        formats = [str(name) for name in (_there(release) if formats is None else formats)]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        yield f"recipe.toml: not readable ({one_line(error)})"
        return _Promised()
    unknown = [name for name in formats if name not in FORMATS]
    yield from (f"recipe.toml: {name!r} is a format that kaoset {__version__} does not know" for name in unknown)
    return _Promised(
        formats=[name for name in formats if name in FORMATS],
        labels=str(labels),
        train_size=size if isinstance(size, int) else None,
    )


def _there(release: Path) -> list[str]:
    """Give the formats of a release whose recipe knew no other than this one."""
    return ["stylegan"] if (release / "stylegan.zip").exists() else []


def _labels(release: Path, count: int, by: str) -> Generator[str, None, Labels | None]:
    """Read what is known of each crop; None where that cannot be told."""
    attributes_NL, classes_N, names = None, np.zeros(count, np.int64), [UNLABELLED]
    try:
        known = _names(release / "labels.json")
        attributes_NL = _array(release / "labels.npy", (count, len(known)), np.int8)
        if not np.isin(attributes_NL, (-1, 0, 1)).all():
            yield "labels.npy: labels of -1, 0 or 1 expected"
            return None
        if by in CLASSES:
            names = _names(release / "classes.json")
            if names != sorted(set(names)) or any("/" in one or one.startswith(".") for one in names):
                yield "classes.json: sorted names of folders expected, each once"
                return None
            classes_N = _array(release / "classes.npy", (count,), np.int64)
            if not ((classes_N >= 0) & (classes_N < len(names))).all():
                yield f"classes.npy: a class beyond the {len(names)} of classes.json"
                return None
    except ValueError as error:
        yield one_line(error)
        return None
    return Labels(by=by, attributes=attributes_NL, names=names, classes=classes_N)


def _names(path: Path) -> list[str]:
    """Read a list of names.

    Raises:
        ValueError: It is none.
    """
    try:
        names = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path.name}: not readable ({one_line(error)})") from error
    if not isinstance(names, list) or not all(isinstance(one, str) and one and "\0" not in one for one in names):
        raise ValueError(f"{path.name}: a list of names expected")
    return names


def _array(path: Path, shape: tuple[int, ...], kind: type) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path.name}: not readable ({one_line(error)})") from error
    if array.shape != shape or array.dtype != kind:
        raise ValueError(f"{path.name}: {array.dtype} {array.shape}, {np.dtype(kind)} {shape} expected")
    return array


def _faults_of_report(release: Path, columns: Sequence[str], count: int) -> Iterator[str]:
    try:
        report = json.loads((release / "report.json").read_text("utf-8"))
        for one in report["stages"]:
            if one["seen"] != one["kept"] + sum(one["dropped"].values()):
                yield f"report.json: {one['stage']} saw {one['seen']}, but its counts do not add up"
        if report["stages"][-1]["kept"] != count:
            yield f"report.json: {report['stages'][-1]['kept']} crops stated, {count} in the manifest"
        stated = report.get("columns", columns)
        if list(stated) != list(columns):
            yield f"{MANIFEST}: its columns are not those that report.json states"
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        yield f"report.json: not readable ({one_line(error)})"
