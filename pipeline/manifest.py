"""`data_manifest.csv`: one row for each crop of a release, with its whole way back to the post."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import UsageError
from pipeline.records import FaceCrop, Image, Post, ReviewDecision

MANIFEST = "data_manifest.csv"
SUMS = "SHA256SUMS"
MISSING = ": missing"  # what is said of a file that should be there
ROWS_AT_ONCE = 2000
# What spreadsheets run, also behind blanks and as wide characters (https://owasp.org/www-community/attacks/CSV_Injection),
# and what was defused already, so that it can be told from what was always written so.
FORMULA = re.compile(r"'*(?:[\t\r\n]|\s*[=+\-@＝＋－＠])")  # noqa: RUF001  the wide ones are meant
SPLIT = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_SIZE = 4096  # pixels a side of a crop; a row that says more is no row of ours
MAX_SIDE = 1_000_000  # pixels of an image that a window spans


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestRow:
    """The columns of the manifest, in their order; README explains each."""

    crop_sha256: str
    file: str
    size: int
    phash: str
    family: str
    split: str
    weight: float
    image_sha256: str
    image_md5: str
    image_width: int
    image_height: int
    box_left: int
    box_top: int
    box_width: int
    box_height: int
    window_left: float
    window_top: float
    window_side: int
    padded: float
    turned: float
    detector: str
    score: float
    agreed: bool
    hair: str
    hair_colour: str
    hair_confidence: float
    eyes: str
    eye_colour: str
    eye_confidence: float
    skin: str
    source: str
    post_id: str
    page_url: str
    file_url: str
    origin_url: str
    artists: str
    posted_at: str
    released_on: str
    rating: str
    tags: str
    attributes: str
    characters: str
    series: str
    decision: str
    label: str
    reviewer: str
    decided_at: str


COLUMNS = tuple(field.name for field in dataclasses.fields(ManifestRow))
_TYPES = {field.name: str(field.type) for field in dataclasses.fields(ManifestRow)}
_TEXTS = [index for index, name in enumerate(COLUMNS) if _TYPES[name] == "str"]
# What the manifests of the first releases lack.
LATER = frozenset(
    {"weight", "window_left", "window_top", "source", "file_url", "artists", "attributes", "characters", "series"}
)


def row(
    crop: FaceCrop,
    image: Image,
    post: Post,
    decision: ReviewDecision | None,
    split: str,
    image_format: str = "png",
    *,
    attributes: Sequence[str] = (),
) -> ManifestRow:
    """Bring together what is known of one accepted crop, a file of that format; what is unknown is an empty text.

    Texts are as they were found; `to_csv` makes them harmless.
    """
    found = crop.detection
    return ManifestRow(
        crop_sha256=crop.sha256,
        file=f"images/{crop.sha256}.{image_format}",
        size=crop.size,
        phash=crop.phash,
        family=crop.family,
        split=split,
        weight=crop.weight,
        image_sha256=image.sha256,
        image_md5=image.md5,
        image_width=image.width,
        image_height=image.height,
        box_left=found.box.left,
        box_top=found.box.top,
        box_width=found.box.width,
        box_height=found.box.height,
        window_left=crop.left,
        window_top=crop.top,
        window_side=crop.side,
        padded=round(crop.padded, 4),
        turned=crop.turned,
        detector=found.detector,
        score=round(found.score, 4),
        agreed=found.agreed,
        hair=crop.hair,
        hair_colour=crop.hair_colour,
        hair_confidence=crop.hair_confidence,
        eyes=crop.eyes,
        eye_colour=crop.eye_colour,
        eye_confidence=crop.eye_confidence,
        skin=crop.skin,
        source=post.id.partition(":")[0],
        post_id=post.id,
        page_url=post.page_url,
        file_url=post.file_url if post.file_url and post.file_url.startswith(("http://", "https://")) else "",
        origin_url=post.origin_url or "",
        artists=" ".join(post.artists),
        posted_at=post.posted_at.isoformat() if post.posted_at else "",
        released_on=post.released_on.isoformat() if post.released_on else "",
        rating=post.rating or "",
        tags=" ".join(post.tags),
        attributes=" ".join(attributes),
        characters=" ".join(post.characters),
        series=" ".join(post.series),
        decision=decision.verdict.value if decision and decision.verdict else "rule",
        label=(decision and decision.label) or "",
        reviewer=decision.reviewer if decision else "",
        decided_at=decision.decided_at.isoformat() if decision else "",
    )


def to_csv(rows: Iterable[ManifestRow]) -> bytes:
    """Write rows, sorted by crop SHA-256, as UTF-8 with Unix line ends; the same rows give the same bytes.

    No text of theirs is run by a spreadsheet; `read_rows` gives them back as they were.
    """
    return b"".join(csv_parts(sorted(rows, key=lambda one: one.crop_sha256)))


def csv_parts(rows: Iterable[ManifestRow]) -> Iterator[bytes]:
    """Write rows that are sorted already, some at a time, so that any number of them needs little memory."""
    rows = iter(rows)
    yield table([COLUMNS])
    while some := list(islice(rows, ROWS_AT_ONCE)):
        yield table(map(_cells, some))


def table(rows: Iterable[Sequence[object]]) -> bytes:
    """Write any rows as CSV with Unix line ends; a cell is quoted where it holds a quote, a comma or a line's end."""
    lines: list[str] = []
    csv.writer(_Lines(lines)).writerows(rows)  # with its own line ends: by them it knows which cells to quote
    return "".join(line.removesuffix("\r\n") + "\n" for line in lines).encode()


@dataclass(frozen=True, slots=True)
class _Lines:
    """Where `csv` writes line by line."""

    lines: list[str]

    def write(self, line: str) -> None:
        self.lines.append(line)


def _cells(one: ManifestRow) -> list[object]:
    cells = list(_VALUES(one))
    for index in _TEXTS:
        cells[index] = harmless(cells[index])
    return cells


_VALUES = attrgetter(*COLUMNS)


def read_csv(path: Path) -> pd.DataFrame:
    """Read a manifest as text, as it was before it was made harmless; what an older kaoset left out is "".

    Raises:
        UsageError: There is none, or it lacks columns.
    """
    try:
        frame = pd.read_csv(path, keep_default_na=False, dtype=str)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file; give the {MANIFEST} of a release") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else _first_line(error)
        raise UsageError(f"{path}: not readable as a manifest ({why}); give the {MANIFEST} of a release") from error
    missing = [name for name in COLUMNS if name not in frame.columns and name not in LATER]
    if missing:
        raise UsageError(f"{path}: no manifest of kaoset, it lacks {', '.join(missing)}")
    for name in COLUMNS:
        if name not in frame.columns:
            frame[name] = ""
        defused = frame[name].str.startswith("'")
        if defused.any():
            frame.loc[defused, name] = frame.loc[defused, name].map(unquoted)
    return frame


def read_rows(path: Path) -> list[ManifestRow]:
    """Read a manifest, which anybody may have written, so that its rows can be acted upon.

    Raises:
        UsageError: There is none, it lacks columns, or a row of it is none that `to_csv` writes.
    """
    frame = read_csv(path)
    found = []
    for number, cells in enumerate(frame[list(COLUMNS)].itertuples(index=False, name=None), start=2):
        try:
            found.append(_row_of(dict(zip(COLUMNS, cells, strict=True))))
        except ValueError as error:
            raise UsageError(f"{path}, row {number}: {error}; publish it again with this kaoset") from error
    if len({one.crop_sha256 for one in found}) < len(found):
        raise UsageError(f"{path}: names a crop twice; publish it again")
    return found


def _row_of(cells: Mapping[str, str]) -> ManifestRow:
    values: dict[str, Any] = {name: _READ[_TYPES[name]](name, cell) for name, cell in cells.items()}
    one = ManifestRow(**values)
    for name, digits in {"crop_sha256": 64, "image_sha256": 64, "image_md5": 32}.items():
        if not re.fullmatch(rf"[0-9a-f]{{{digits}}}", cells[name]):
            raise ValueError(f"{name} {cells[name][:80]!r} is not {digits} hexadecimal digits")
    if not re.fullmatch(rf"images/{one.crop_sha256}\.(png|jpg|webp)", one.file):
        raise ValueError(f"file {one.file[:80]!r} is not named by its crop")
    if not SPLIT.fullmatch(one.split):  # folders and archives are named by it
        raise ValueError(f"split {one.split[:80]!r} is no name of a split")
    for name in ("posted_at", "released_on", "decided_at"):
        if cells[name] and not _is_dated(cells[name]):
            raise ValueError(f"{name} {cells[name][:80]!r} is no date")
    _check_sizes(one)
    return one


def _check_sizes(one: ManifestRow) -> None:
    if not 1 <= one.size <= MAX_SIZE or not 1 <= one.window_side <= MAX_SIDE:
        raise ValueError(f"a crop of {one.size} px out of {one.window_side} px is none of kaoset's")
    if not all(abs(number) <= MAX_SIDE for number in (one.window_left, one.window_top, one.turned)):
        raise ValueError(f"a window at {one.window_left}, {one.window_top} is none of kaoset's")
    lengths = (one.image_width, one.image_height, one.box_width, one.box_height)
    if not all(1 <= length <= MAX_SIDE for length in lengths):
        raise ValueError(f"an image or a box of {lengths} px is none of kaoset's")
    if not 0 <= one.score <= 1:
        raise ValueError(f"score {one.score} is neither a face nor none, 0 to 1 expected")


def _is_dated(cell: str) -> bool:
    try:
        return str(datetime.fromisoformat(cell).date()) == cell[:10]  # years and months are read off it
    except ValueError:
        return False


def _number(name: str, cell: str) -> int:
    if not re.fullmatch(r"-?\d{1,18}", cell, re.ASCII):
        raise ValueError(f"{name} {cell[:80]!r} is no whole number")
    return int(cell)


def _real(name: str, cell: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        raise ValueError(f"{name} {cell[:80]!r} is no number") from None
    if not math.isfinite(number):  # JSON has no word for it, and no chart a place
        raise ValueError(f"{name} {cell[:80]!r} is no number")
    return number


def _truth(name: str, cell: str) -> bool:
    if cell not in {"True", "False"}:
        raise ValueError(f"{name} {cell[:80]!r} is neither True nor False")
    return cell == "True"


_READ = {"str": lambda _, cell: cell, "int": _number, "float": _real, "bool": _truth}


def split_of(family: str, seed: int, shares: Mapping[str, float]) -> str:
    """Choose a split by the family's name, so that near-copies never stand on both sides.

    Args:
        family: The name that dedup gave.
        seed: Of the recipe.
        shares: Share by name, adding up to 1; the order counts.

    Returns:
        One of the names; the same for ever, whatever else the dataset holds.
    """
    digest = hashlib.sha256(f"{seed}:{family}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    edge = 0.0
    for name, share in shares.items():
        edge += share
        if place < edge:
            return name
    return next(reversed(list(shares)))


def harmless(text: str) -> str:
    """Keep a spreadsheet from running what the web wrote."""
    return "'" + text if FORMULA.match(text) else text


def unquoted(text: str) -> str:
    """Give back what `harmless` was given."""
    return text[1:] if FORMULA.match(text) else text


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def faults_of_sums(release: Path) -> Iterator[str]:
    """Compare every file of a release with SHA256SUMS, and name what is missing, strange or changed."""
    stated: dict[str, bytes] = {}
    try:
        with (release / SUMS).open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                if not (said := _SUM.fullmatch(line)):
                    yield f"{SUMS}: line {number} is no checksum"
                elif said["name"] in stated:
                    yield f"{SUMS}: {said['name']} is there twice"
                else:
                    stated[said["name"]] = bytes.fromhex(said["digest"])
    except (OSError, UnicodeDecodeError):
        yield f"{SUMS}: missing or not readable"
        return
    for path in files_of(release):
        name = path.relative_to(release).as_posix()
        if name == SUMS:
            continue
        digest = stated.pop(name, None)
        if path.is_symlink():
            yield f"{name}: a link that may lead anywhere; a release holds its files itself"
        elif digest is None:
            yield f"{name}: does not belong to the release"
        elif sha256_of(path) != digest.hex():
            yield f"{name}: changed since it was published"
    yield from (f"{name}{MISSING}" for name in sorted(stated))


_SUM = re.compile(r"(?P<digest>[0-9a-f]{64})  (?P<name>[^\n]+)\n?")


def files_of(release: Path) -> Iterator[Path]:
    """Give every file of a release, sorted, with no more in memory than the names of one folder."""
    for name in sorted(one.name for one in os.scandir(release)):
        path = release / name
        if path.is_dir() and not path.is_symlink():
            yield from files_of(path)
        elif path.is_file() or path.is_symlink():
            yield path


def sha256_of(path: Path) -> str:
    """Hash a file without holding it in memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
