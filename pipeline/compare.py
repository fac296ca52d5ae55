"""What changed from one release to another, and why: two manifests, two recipes, and what the catalog says now."""

from __future__ import annotations

import csv
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.catalog import Catalog
from pipeline.errors import UsageError
from pipeline.manifest import MANIFEST, unquoted
from pipeline.records import FaceCrop, Forgotten, ReviewDecision

_NEEDED = ("crop_sha256", "image_sha256", "post_id", "decision", "box_left", "box_top", "box_width", "box_height")
_LONGEST_FIELD = 2**24  # characters
NOBODY_ASKED = "no catalog was asked why"
_UNKNOWN = "the catalog does not know why"
_FORGOTTEN = "forgotten, as somebody wished"
_NOT_THERE = {"select": "its post is listed no more", "crop": "no face is found there now"}


def _place(row: Mapping[str, str]) -> str:
    """Name the face as `Detection.id` does."""
    return f"{row['image_sha256']}+{row['box_left']}+{row['box_top']}+{row['box_width']}x{row['box_height']}"


# How a stage names what a row of a manifest came through.
_KEYS: dict[str, Callable[[Mapping[str, str]], str]] = {
    **dict.fromkeys(("select", "scrape"), lambda row: unquoted(row["post_id"])),
    "dedup-images": lambda row: f"{unquoted(row['post_id'])}={row['image_sha256']}",
    "detect": lambda row: row["image_sha256"],
    **dict.fromkeys(("crop", "dedup", "filter", "review", "balance"), _place),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One crop that is in one release alone, or in both with other columns."""

    crop_sha256: str
    post_id: str
    why: str
    columns: Mapping[str, tuple[str, str]]  # before and after; of a crop in both


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Everything in which two releases differ; empty where they are the same dataset."""

    added: Sequence[Change]
    removed: Sequence[Change]
    changed: Sequence[Change]
    recipe: Mapping[str, tuple[Any, Any]]  # before and after, by dotted name; None: it was not there
    columns: Sequence[str]  # of the manifest, that only one of them has

    def __bool__(self) -> bool:
        return any((self.added, self.removed, self.changed, self.recipe, self.columns))

    def to_json(self) -> dict[str, Any]:
        """Give plain values, for programs."""
        return asdict(self)

    def counts(self) -> Iterator[tuple[str, str, int]]:
        """Count crops by what happened to them and why, most first."""
        for what, changes in (("added", self.added), ("removed", self.removed)):
            for why, count in Counter(one.why for one in changes).most_common():
                yield what, why, count
        for name, count in Counter(name for one in self.changed for name in one.columns).most_common():
            yield "changed", name, count


def compare(old: Path, new: Path, catalog: Catalog | None) -> Difference:
    """Hold two releases against each other; only what differs is held in memory.

    Args:
        old: Folder of a release.
        new: Folder of another.
        catalog: Asked why crops are gone; without it nobody knows.

    Raises:
        UsageError: One of them is no release, or its rows are not sorted.
    """
    before, after = _Rows(old), _Rows(new)
    both = [name for name in before.columns if name in after.columns]
    gone, come, changed = [], [], []
    images: Counter[str] = Counter()  # crops of each, before
    now: Counter[str] = Counter()
    of: list[str] = []  # images of the changed
    for one, other in _pairs(before, after):
        if one is not None:
            images[one["image_sha256"][:16]] += 1
        if other is not None:
            now[other["image_sha256"][:16]] += 1
        if one is None and other is not None:
            come.append(other)
        elif one is not None and other is None:
            gone.append(one)
        elif one is not None and other is not None:
            columns = {name: (one[name], other[name]) for name in both if one[name] != other[name]}
            if columns:
                changed.append(_change(other, "", columns))
                of.append(other["image_sha256"][:16])
    recipes = _recipe(old), _recipe(new)
    reasons = _why_gone(gone, catalog, str(recipes[1].get("name", "")))
    return Difference(
        added=[_change(row, _why_come(row, images)) for row in come],
        removed=[_change(row, why) for row, why in zip(gone, reasons, strict=True)],
        changed=[
            replace(change, why=_why_changed(change, images[image], now[image]))
            for change, image in zip(changed, of, strict=True)
        ],
        recipe=_differ(*recipes),
        columns=sorted(set(before.columns) ^ set(after.columns)),
    )


class _Rows:
    """Reads a manifest row by row, in the order of `crop_sha256`."""

    def __init__(self, release: Path) -> None:
        self._path = release / MANIFEST
        try:
            with self._path.open(encoding="utf-8", newline="") as file:
                self.columns = next(csv.reader(file), [])
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UsageError(f"{self._path}: not readable as a manifest ({error})") from error
        missing = [name for name in _NEEDED if name not in self.columns]
        if missing:
            raise UsageError(f"{self._path}: no manifest of kaoset, it lacks {', '.join(missing)}")

    def __iter__(self) -> Iterator[dict[str, str]]:
        csv.field_size_limit(_LONGEST_FIELD)
        last = ""
        try:
            with self._path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file, restval=""):
                    if row["crop_sha256"] <= last:
                        raise UsageError(f"{self._path}: not sorted by crop_sha256; see `flow verify`")
                    last = row["crop_sha256"]
                    yield row
        except (UnicodeDecodeError, csv.Error) as error:
            raise UsageError(f"{self._path}: not readable as a manifest ({error})") from error


def _pairs(before: _Rows, after: _Rows) -> Iterator[tuple[dict[str, str] | None, dict[str, str] | None]]:
    """Walk through both at once; a crop that only one of them has comes with None."""
    left, right = iter(before), iter(after)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one["crop_sha256"] < other["crop_sha256"]):
            yield one, None
            one = next(left, None)
        elif one is None or other["crop_sha256"] < one["crop_sha256"]:
            yield None, other
            other = next(right, None)
        else:
            yield one, other
            one, other = next(left, None), next(right, None)


def _change(row: Mapping[str, str], why: str, columns: Mapping[str, tuple[str, str]] | None = None) -> Change:
    return Change(crop_sha256=row["crop_sha256"], post_id=unquoted(row["post_id"]), why=why, columns=columns or {})


def _why_come(row: Mapping[str, str], images: Mapping[str, int]) -> str:
    if row["decision"] == "keep":
        return f"kept by {row.get('reviewer') or 'somebody'}"
    return "of an image that was there" if row["image_sha256"][:16] in images else "of an image that is new"


def _why_changed(change: Change, before: int, now: int) -> str:
    """Tell of attributes, which `labels` takes from a post's tags where its picture has one crop alone."""
    if "attributes" not in change.columns or (before == 1) == (now == 1):
        return ""
    return f"crops of its image: {before:,} before, {now:,} now; tags tell of a face where it is the only one"


def _why_gone(rows: Sequence[Mapping[str, str]], catalog: Catalog | None, recipe: str) -> list[str]:
    """Ask for each row which stage of the recipe's last run stopped it."""
    if catalog is None or not rows:
        return [NOBODY_ASKED] * len(rows)
    forgotten = catalog.forgotten()
    why = {index: _FORGOTTEN for index, row in enumerate(rows) if _is_forgotten(row, forgotten)}
    marks = _last_marks(catalog, recipe)
    if not marks:
        return [why.get(index, _UNKNOWN) for index in range(len(rows))]
    decisions = catalog.decisions()
    for stage, key in _KEYS.items():
        if stage not in marks:
            break
        left = {index: key(row) for index, row in enumerate(rows) if index not in why}
        said = catalog.judged(stage, marks[stage], left.values())
        for index, name in left.items():
            if name not in said:
                why[index] = f"{stage}: {_NOT_THERE.get(stage, 'it does not get there any more')}"
            elif reason := said[name]:
                why[index] = f"{stage}: {reason.value}{_decided(decisions.get(rows[index]['crop_sha256']), stage)}"
        if stage == "crop":
            kept = {index: name for index, name in left.items() if index not in why}
            made = catalog.outputs(stage, marks[stage], kept.values())
            why |= {
                index: "crop: cut otherwise now"
                for index, name in kept.items()
                if not _is_of(rows[index], made.get(name, ()))
            }
    return [why.get(index, "every stage keeps it now") for index in range(len(rows))]


def _is_forgotten(row: Mapping[str, str], what: Forgotten) -> bool:
    """Ask by all names that a row has; tags, which may name artists too, are too many words to be sure."""
    post = unquoted(row["post_id"])
    artists = unquoted(row.get("artists", "")).lower().split()
    return (
        not what.posts.isdisjoint({post, post.partition("#")[0]})
        or not what.artists.isdisjoint(artists)
        or what.holds_file(row.get("image_md5", ""), row["image_sha256"])
    )


def _is_of(row: Mapping[str, str], made: Sequence[object]) -> bool:
    return any(isinstance(one, FaceCrop) and one.sha256 == row["crop_sha256"] for one in made)


def _decided(decision: ReviewDecision | None, stage: str) -> str:
    if stage != "review" or decision is None:
        return ""
    return f" by {decision.reviewer or 'somebody'}"


def _last_marks(catalog: Catalog, recipe: str) -> dict[str, str]:
    """Find how the stages were configured when the recipe ran last, as far as to the review."""
    for run in catalog.runs(last=None):
        marks = {report["stage"]: report.get("fingerprint", "") for report in run["reports"]}
        if run["recipe"] == recipe and marks.get("review"):
            return marks
    return {}


def _recipe(release: Path) -> dict[str, Any]:
    path = release / "recipe.toml"
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not readable ({error}); see `flow verify {release}`") from error


def _differ(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    before, after = dict(_flat(old)), dict(_flat(new))
    names = [*before, *(name for name in after if name not in before)]
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _flat(body: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Give every value of nested tables with its dotted name, as `-p` takes it; lists of values are values."""
    if isinstance(body, dict):
        for key, value in body.items():
            yield from _flat(value, f"{path}.{key}" if path else key)
    elif isinstance(body, list) and body and isinstance(body[0], dict):
        for index, value in enumerate(body):
            yield from _flat(value, f"{path}.{index}")
    else:
        yield path, body
