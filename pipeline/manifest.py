"""`data_manifest.csv`: one row for each crop of a release, with its whole way back to the post."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd

from pipeline.errors import UsageError
from pipeline.records import FaceCrop, Image, Post, ReviewDecision

MANIFEST = "data_manifest.csv"
SUMS = "SHA256SUMS"
ROWS_AT_ONCE = 2000
FORMULA_STARTS = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
)  # what spreadsheets run; https://owasp.org/www-community/attacks/CSV_Injection


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
    post_id: str
    page_url: str
    origin_url: str
    posted_at: str
    released_on: str
    rating: str
    tags: str
    decision: str
    label: str
    reviewer: str
    decided_at: str


COLUMNS = tuple(field.name for field in dataclasses.fields(ManifestRow))


def row(
    crop: FaceCrop, image: Image, post: Post, decision: ReviewDecision | None, split: str, image_format: str = "png"
) -> ManifestRow:
    """Bring together what is known of one accepted crop, a file of that format; what is unknown is an empty text."""
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
        post_id=harmless(post.id),
        page_url=harmless(post.page_url),
        origin_url=harmless(post.origin_url or ""),
        posted_at=post.posted_at.isoformat() if post.posted_at else "",
        released_on=post.released_on.isoformat() if post.released_on else "",
        rating=post.rating or "",
        tags=harmless(" ".join(post.tags)),
        decision=decision.verdict.value if decision and decision.verdict else "rule",
        label=harmless((decision and decision.label) or ""),
        reviewer=harmless(decision.reviewer if decision else ""),
        decided_at=decision.decided_at.isoformat() if decision else "",
    )


def to_csv(rows: Iterable[ManifestRow]) -> bytes:
    """Write rows, sorted by crop SHA-256, as UTF-8 with Unix line ends; the same rows give the same bytes."""
    return b"".join(csv_parts(sorted(rows, key=lambda one: one.crop_sha256)))


def csv_parts(rows: Iterable[ManifestRow]) -> Iterator[bytes]:
    """Write rows that are sorted already, some at a time, so that any number of them needs little memory."""
    rows = iter(rows)
    kinds = {field.name: str(field.type) for field in dataclasses.fields(ManifestRow) if field.type != "str"}
    some = list(islice(rows, ROWS_AT_ONCE))
    yield pd.DataFrame(columns=list(COLUMNS)).to_csv(index=False, lineterminator="\n").encode()
    while some:
        # Typed, because pandas would guess the types of each part by what happens to be in it.
        frame = pd.DataFrame({name: [getattr(one, name) for one in some] for name in COLUMNS}).astype(kinds)
        yield frame.to_csv(index=False, header=False, lineterminator="\n").encode()
        some = list(islice(rows, ROWS_AT_ONCE))


def read_csv(path: Path) -> pd.DataFrame:
    """Read a manifest; every column of text stays text, an empty one is "".

    Raises:
        UsageError: There is none, or it lacks columns.
    """
    try:
        frame = pd.read_csv(path, keep_default_na=False, dtype=str)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not readable as a manifest ({error})") from error
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise UsageError(f"{path}: no manifest of kaoset, it lacks {', '.join(missing)}")
    return frame


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
    return "'" + text if text.startswith(FORMULA_STARTS) else text


def unquoted(text: str) -> str:
    """Take back what `harmless` did."""
    return text[1:] if text[:1] == "'" and harmless(text[1:]) == text else text


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
    yield from (f"{name}: missing" for name in sorted(stated))


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
