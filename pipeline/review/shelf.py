"""Hides which crops there are to look at: those of the last run of each recipe, as columns that are quick to ask."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog import Catalog
from pipeline.decided import SAME_FACE, SAME_PLACE
from pipeline.errors import StoreError
from pipeline.records import Box, Reason
from pipeline.store import write_atomically

VERSION = 2  # of what lies on the disk; raised when it is made differently
ACCEPTED = "accepted"  # the word for what review let through
UNKNOWN_DAY = np.iinfo(np.int32).min
EPOCH = date(1970, 1, 1).toordinal()
_APART = ("sha256s", "image_names", "tag_starts", "tag_posts")  # what is no column
_PART = 5000  # rows
_MANY = 600  # crops of one family that are all held against each other; of a larger one only neighbours are
_KEPT_SHELVES = 2  # the last ones; the others are of older runs

Progress = Callable[[str, int, int], None]

_ROW = np.dtype(  # of a crop
    [
        ("sha256", np.uint8, 32),
        ("score", np.float32),  # 0 to 1
        ("agreed", np.bool_),
        ("seen", np.uint8),  # how many detectors saw it
        ("side", np.int32),  # pixels of the image that the window spans
        ("size", np.uint16),  # pixels of the crop
        ("share", np.float32),  # of the image that the window takes
        ("x", np.float32),  # middle of the face in the image, 0 to 1
        ("y", np.float32),
        ("sharpness", np.float32),
        ("contrast", np.float32),
        ("chroma", np.float32),
        ("padded", np.float32),
        ("turned", np.float32),
        ("phash", np.uint64),
        ("reason", np.uint16),  # in words["reason"], and so on
        ("source", np.uint16),
        ("detector", np.uint16),
        ("recipe", np.uint16),
        ("image", np.int32),
        ("post", np.int32),
        ("family", np.int32),  # -1: none is known
        ("box", np.int32, 4),  # of the face: left, top, width, height, in pixels of the image
        ("whole", np.int32, 2),  # width and height of the image
        ("left", np.float32),  # of the window, before it was turned about its middle
        ("top", np.float32),
    ]
)
# Further columns: "faces" of the same image, "day" since 1970, and the "unit".


@dataclass(frozen=True, eq=False)
class Shelf:
    """All crops, by row; rows are in the order of their SHA-256.

    A *unit* is what is decided as one: the near-copies of one face, in different pictures of one family.
    """

    key: str  # of which runs
    sha256s: NDArray[np.uint8]  # (rows, 32)
    columns: Mapping[str, NDArray[Any]]  # each (rows,)
    words: Mapping[str, Sequence[str]]  # what the codes of a column mean
    image_names: NDArray[np.uint8]  # (images, 32): the SHA-256 of each
    tags: Sequence[str]  # sorted
    tag_starts: NDArray[np.int64]  # of tag number i, the posts are tag_posts[tag_starts[i]:tag_starts[i + 1]]
    tag_posts: NDArray[np.int32]

    def __len__(self) -> int:
        """How many crops there are."""
        return len(self.sha256s)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Give a column."""
        return self.columns[name]

    def sha256(self, row: int) -> str:
        """Name a crop."""
        return bytes(self.sha256s[row]).hex()

    def row(self, sha256: str) -> int | None:
        """Find a crop by its whole SHA-256; None where it is not here."""
        rows = self.rows([sha256])
        return int(rows[0]) if rows[0] >= 0 else None

    def rows(self, sha256s: Sequence[str]) -> NDArray[np.int64]:
        """Find crops by their SHA-256; -1 where one is not here."""
        if not len(self) or not sha256s:
            return np.full(len(sha256s), -1, np.int64)
        wanted = np.frombuffer(b"".join(bytes.fromhex(one) for one in sha256s), np.uint8).reshape(-1, 32)
        starts = np.searchsorted(self._firsts, _first_eight(wanted))
        found = np.minimum(starts, len(self) - 1)
        same = (self.sha256s[found] == wanted).all(axis=1)
        return np.where(same, found, -1)  # two that share eight bytes would be a find in itself

    def image_sha256(self, row: int) -> str:
        """Name the image that a crop was cut from."""
        return bytes(self.image_names[self.columns["image"][row]]).hex()

    def box(self, row: int) -> Box:
        """Say where the face is, in pixels of the image."""
        left, top, width, height = map(int, self.columns["box"][row])
        return Box(left=left, top=top, width=width, height=height)

    def word(self, name: str, row: int) -> str:
        """Say what the code of a crop in a column means."""
        return self.words[name][int(self.columns[name][row])]

    def members(self, row: int) -> NDArray[np.int64]:
        """Find all crops that are decided with this one, itself among them."""
        unit = self.columns["unit"][row]
        start, end = np.searchsorted(self._by_unit[0], [unit, unit + 1])
        return np.sort(self._by_unit[1][start:end])

    @property
    def _firsts(self) -> NDArray[np.uint64]:
        return self.columns["first"]

    @property
    def _by_unit(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        return self.columns["unit_sorted"], self.columns["unit_rows"]


def open_shelf(catalog: Catalog, folder: Path, progress: Progress, recipe: str | None = None) -> Shelf:
    """Give the crops of the last run of each recipe, or of one; what was gathered before is not gathered again.

    Args:
        catalog: Knows the runs and what they made.
        folder: Keeps what is gathered; it may be removed.
        progress: Told how far it is.
        recipe: Only this recipe's.

    Raises:
        StoreError: The folder cannot be written.
    """
    runs = {
        name: (run, marks)
        for name, (run, marks) in catalog.last_runs("review").items()
        if recipe is None or name == recipe
    }
    about = json.dumps([VERSION, sorted((name, run, marks) for name, (run, marks) in runs.items())], sort_keys=True)
    key = hashlib.sha256(about.encode()).hexdigest()[:16]
    place = folder / f"shelf-{key}"
    if not (place / "words.json").is_file():  # it is written last
        _save(_gather(catalog, {name: marks for name, (_, marks) in runs.items()}, key, progress), place)
        _clear_up(folder, place)
    return _load(place, key)


def _first_eight(sha256s: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(sha256s[:, :8]).view(">u8").ravel().astype(np.uint64)


# --- on the disk ------------------------------------------------------------------------------------------------------


def _save(shelf: Shelf, place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
        arrays = {**shelf.columns, **{name: getattr(shelf, name) for name in _APART}}
        for name, array in arrays.items():
            np.save(place / f"{name}.npy", array)
    except OSError as error:
        raise StoreError(f"{place}: cannot be written ({error.strerror}); free some space or choose --data") from error
    words = {"words": {name: list(known) for name, known in shelf.words.items()}, "tags": list(shelf.tags)}
    write_atomically(place / "words.json", json.dumps(words, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _load(place: Path, key: str) -> Shelf:
    said = json.loads((place / "words.json").read_bytes())
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in place.glob("*.npy")}
    apart = {name: arrays.pop(name) for name in _APART}
    # All columns are asked at each change of a filter, so they are held; names and tags are looked up here and there.
    columns = {name: np.array(array) for name, array in arrays.items()}
    return Shelf(key=key, columns=columns, words=said["words"], tags=said["tags"], **apart)


def _clear_up(folder: Path, place: Path) -> None:
    """Remove the shelves of older runs, but for the last: another window may still look at it."""
    others = sorted(folder.glob("shelf-*"), key=lambda path: path.stat().st_mtime)
    for old in [one for one in others if one != place][: 1 - _KEPT_SHELVES or None]:
        shutil.rmtree(old, ignore_errors=True)


# --- from the catalog -------------------------------------------------------------------------------------------------


class _Codes(dict[str, int]):
    """Numbers for words, in the order in which they came."""

    def __missing__(self, word: str) -> int:
        self[word] = len(self)
        return self[word]


@dataclass(frozen=True, slots=True)
class _Picture:
    post_id: str
    width: int
    height: int


def _gather(catalog: Catalog, runs: Mapping[str, Mapping[str, str]], key: str, progress: Progress) -> Shelf:
    codes: dict[str, _Codes] = defaultdict(_Codes)
    table = np.concatenate([np.empty(0, _ROW), *_parts(catalog, runs, codes, progress)])
    _, first = np.unique(table["sha256"].view("V32").ravel(), return_index=True)  # sorted as bytes are
    table = table[first]
    columns = {name: np.ascontiguousarray(table[name]) for name in _ROW.names or ()}
    sha256s = columns.pop("sha256")
    columns["first"] = _first_eight(sha256s)
    places = _places(columns["box"], columns["whole"])
    columns["unit"] = _units(columns["family"], columns["image"], columns["phash"], places)
    columns["faces"] = np.minimum(np.bincount(columns["image"])[columns["image"]], 65535).astype(np.uint16)
    order = np.argsort(columns["unit"], kind="stable")
    columns["unit_sorted"], columns["unit_rows"] = columns["unit"][order], order
    days, tags, starts, posts, characters = _posts(catalog, codes["post"])
    columns["day"] = days[columns["post"]]
    words = {name: list(codes[name]) for name in ("reason", "source", "detector", "recipe", "post", "family")}
    words["character"] = characters
    names = np.frombuffer(b"".join(map(bytes.fromhex, codes["image"])), np.uint8).reshape(-1, 32)
    return Shelf(
        key=key,
        sha256s=sha256s,
        columns=columns,
        words=words,
        image_names=names,
        tags=tags,
        tag_starts=starts,
        tag_posts=posts,
    )


def _parts(
    catalog: Catalog, runs: Mapping[str, Mapping[str, str]], codes: dict[str, _Codes], progress: Progress
) -> Iterator[NDArray[Any]]:
    """Give the rows of all recipes, some thousands at a time; a crop of two recipes comes twice."""
    for recipe, marks in runs.items():
        pictures, reasons = _pictures(catalog, marks), _fates(catalog, marks)
        part: list[tuple[Any, ...]] = []
        done = 0
        for item, body in _bodies(catalog, marks):
            picture = pictures.get(body["detection"]["image_sha256"])
            if item not in reasons or picture is None:  # of another recipe, with the same settings
                continue
            part.append(_row(body, picture, reasons[item], recipe, codes))
            if len(part) == _PART:
                done += len(part)
                progress("review", done, len(reasons))
                yield np.array(part, _ROW)
                part = []
        yield np.array(part, _ROW)
        progress("review", len(reasons), len(reasons))


def _pictures(catalog: Catalog, marks: Mapping[str, str]) -> dict[str, _Picture]:
    """Find which post each image of a recipe came with, by SHA-256."""
    if "scrape" not in marks or "dedup-images" not in marks:
        return {}
    kept = {item for item, reason, _ in catalog.said("dedup-images", marks["dedup-images"]) if reason is None}
    found = {}
    for post_id, body in catalog.bodies("scrape", marks["scrape"]):
        if f"{post_id}={body['sha256']}" in kept:
            found[body["sha256"]] = _Picture(post_id, body["width"], body["height"])
    return found


def _fates(catalog: Catalog, marks: Mapping[str, str]) -> dict[str, str]:
    """Say of each crop that came to dedup where it ended: the reason, or that it was accepted."""
    fates: dict[str, str] = {}
    for stage in ("dedup", "filter", "review"):
        for item, reason, _ in catalog.said(stage, marks[stage]):
            known = stage == "dedup" or item in fates  # a filter has said something of other recipes' crops, too
            if known and reason is not Reason.SAME_CROP:
                fates[item] = reason or ACCEPTED
    return fates


def _bodies(catalog: Catalog, marks: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give each crop once, as the last stage left it that made something of it."""
    seen: set[str] = set()
    for stage in ("filter", "dedup", "crop"):
        for item, body in catalog.bodies(stage, marks[stage]):
            if item not in seen:
                seen.add(item)
                yield item, body


def _row(
    body: dict[str, Any], picture: _Picture, reason: str, recipe: str, codes: dict[str, _Codes]
) -> tuple[Any, ...]:
    detection, side, family = body["detection"], body["side"], body.get("family")
    box = detection["box"]
    return (
        tuple(bytes.fromhex(body["sha256"])),
        detection["score"],
        detection["agreed"],
        detection["detector"].count("+") + 1,
        side,
        body["size"],
        min(1.0, side * side / (picture.width * picture.height)),
        (box["left"] + box["width"] / 2) / picture.width,
        (box["top"] + box["height"] / 2) / picture.height,
        body["sharpness"],
        body["contrast"],
        body["chroma"],
        body["padded"],
        body.get("turned", 0.0),
        int(body["phash"], 16),
        codes["reason"][reason],
        codes["source"][picture.post_id.partition(":")[0]],
        codes["detector"][detection["detector"]],
        codes["recipe"][recipe],
        codes["image"][detection["image_sha256"]],
        codes["post"][picture.post_id],
        codes["family"][family] if family else -1,
        (box["left"], box["top"], box["width"], box["height"]),
        (picture.width, picture.height),
        body.get("left", 0.0),
        body.get("top", 0.0),
    )


def _places(boxes: NDArray[np.int32], wholes: NDArray[np.int32]) -> NDArray[np.float64]:
    """Say where faces are: left, top, right, bottom, as shares of the image."""
    low = boxes[:, :2] / wholes
    return np.concatenate([low, low + boxes[:, 2:] / wholes], axis=1)


def _units(
    families: NDArray[np.int32], images: NDArray[np.int32], hashes: NDArray[np.uint64], places: NDArray[np.float64]
) -> NDArray[np.int32]:
    """Number what is decided as one: of one family, in different pictures, the same face or the same place."""
    units = np.arange(len(families), dtype=np.int32)
    # Within a family by the hash, so that of a very large one those are neighbours that look alike.
    order = np.lexsort((hashes, families))
    for rows in np.split(order, np.flatnonzero(np.diff(families[order])) + 1):
        if len(rows) < 2 or families[rows[0]] < 0 or (images[rows] == images[rows[0]]).all():
            continue
        for start in range(0, len(rows) - 1, _MANY - 1):  # parts overlap by one
            some = rows[start : start + _MANY]
            for one, other in zip(*np.nonzero(_same_face(images[some], hashes[some], places[some])), strict=True):
                _join(units, int(some[one]), int(some[other]))
    for row in np.flatnonzero(units != np.arange(len(units))):
        units[row] = _root(units, int(row))
    return units


def _same_face(images: NDArray[np.int32], hashes: NDArray[np.uint64], places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say for each pair, once, whether they are near-copies of one face."""
    low, high = np.maximum(places[:, None, :2], places[:, :2]), np.minimum(places[:, None, 2:], places[:, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=2)
    areas = np.prod(places[:, 2:] - places[:, :2], axis=1)
    overlap = both / np.maximum(areas[:, None] + areas - both, 1e-12)
    apart = np.bitwise_count(hashes[:, None] ^ hashes)
    alike = (overlap >= SAME_PLACE) | (apart <= SAME_FACE)
    return np.asarray(np.triu(alike & (images[:, None] != images), 1))


def _root(units: NDArray[np.int32], row: int) -> int:
    while units[row] != row:
        units[row] = units[units[row]]
        row = int(units[row])
    return row


def _join(units: NDArray[np.int32], one: int, other: int) -> None:
    first, second = sorted((_root(units, one), _root(units, other)))
    units[second] = first


def _posts(
    catalog: Catalog, known: Mapping[str, int]
) -> tuple[NDArray[np.int32], list[str], NDArray[np.int64], NDArray[np.int32], list[str]]:
    """Find the day of each post, by its number, which posts have which tag, and which tags are characters."""
    days = np.full(len(known), UNKNOWN_DAY, np.int32)
    tagged: dict[str, list[int]] = defaultdict(list)
    characters: set[str] = set()
    for post in catalog.all_posts() if known else ():
        number = known.get(post.id)
        if number is None:
            continue
        days[number] = day_of(post.posted_at or post.released_on)
        characters.update(post.characters)
        for tag in dict.fromkeys((*post.tags, *post.characters)):
            tagged[tag].append(number)
    tags = sorted(tagged)
    starts = np.cumsum([0, *(len(tagged[tag]) for tag in tags)]).astype(np.int64)
    posts = np.array([number for tag in tags for number in tagged[tag]], np.int32)
    return days, tags, starts, posts, sorted(characters)


def day_of(moment: date | datetime | None) -> int:
    """Count days since 1970."""
    return int(UNKNOWN_DAY) if moment is None else moment.toordinal() - EPOCH
