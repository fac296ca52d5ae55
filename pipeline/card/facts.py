"""Reads a release back from its folder: what a card tells of it is counted here, in one pass over the manifest."""

from __future__ import annotations

import csv
import hashlib
import heapq
import json
import math
import re
import tomllib
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.manifest import MANIFEST, unquoted

SHOWN = 24  # crops of a contact sheet
SHOWN_OF_COLOUR = 8
LISTED = 2_000  # crops whose files are named one by one
SUREST = 240  # crops among which the best are looked for: to know how sharp one is it must be decoded
_LONGEST_FIELD = 2**24  # characters; a post may have thousands of tags
_FILES = frozenset({"folder", "video"})  # kinds of sources whose only date is that of the file
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, order=True, slots=True)
class Shown:
    """A crop that may be shown, in the order in which it was chosen."""

    rank: float | str
    sha256: str
    file: str
    page_url: str
    score: float


class Best:
    """Keeps the first crops by their rank, and no more memory than for those."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[_Last] = []

    def add(self, one: Shown) -> None:
        """Take a crop, if it is one of the first."""
        heapq.heappush(self._heap, _Last(one))
        if len(self._heap) > self._most:
            heapq.heappop(self._heap)

    def __iter__(self) -> Iterator[Shown]:
        return iter(sorted(last.shown for last in self._heap))


@dataclass(frozen=True, slots=True)
class _Last:
    """Turns the order round: a heap gives its smallest, and the last of the chosen must go first."""

    shown: Shown

    def __lt__(self, other: _Last) -> bool:
        return other.shown < self.shown


@dataclass(kw_only=True, slots=True)
class Facts:
    """What a release holds; texts are as they were scraped."""

    name: str
    version: str  # of kaoset
    recipe_toml: str
    recipe: Mapping[str, Any]
    stages: Sequence[Mapping[str, Any]]  # stage, seen, kept, dropped by reason
    files: frozenset[str]  # what lies in the folder itself
    faces: int = 0
    size: int = 0  # pixels a side
    splits: Counter[str] = field(default_factory=Counter)
    listed: dict[str, list[str]] = field(default_factory=dict)  # files by split, of the first crops only
    sources: Counter[str] = field(default_factory=Counter)
    months: Counter[tuple[str, str]] = field(default_factory=Counter)  # source, "2015-04"; "" where nobody knows
    sides: array[int] = field(default_factory=lambda: array("i"))  # pixels, of the faces' boxes
    scores: array[float] = field(default_factory=lambda: array("f"))
    agreed: array[int] = field(default_factory=lambda: array("b"))  # beside scores: seen by more than one
    hair: Counter[str] = field(default_factory=Counter)
    eyes: Counter[str] = field(default_factory=Counter)
    ratings: Counter[str] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    artists: Counter[str] = field(default_factory=Counter)
    families: Counter[str] = field(default_factory=Counter)
    without_artist: int = 0
    without_page: int = 0  # no address of the web
    without_origin: int = 0
    images: int = 0
    posts: int = 0
    random: Best = field(default_factory=lambda: Best(SHOWN))
    surest: Best = field(default_factory=lambda: Best(SUREST))
    doubtful: Best = field(default_factory=lambda: Best(SHOWN))  # accepted, and the least sure
    of_hair: dict[str, Best] = field(default_factory=dict)

    @property
    def shares(self) -> list[tuple[str, int]]:
        """The splits with the number of their faces, in the order in which they are used."""
        order = {name: place for place, name in enumerate(_SPLITS)}
        return sorted(self.splits.items(), key=lambda pair: (order.get(pair[0], len(order)), pair[0]))

    @property
    def period(self) -> tuple[str, str] | None:
        """The first and the last month; None where no post has a date."""
        known = sorted(month for _, month in self.months if month)
        return (known[0], known[-1]) if known else None

    @property
    def dated(self) -> str:
        """Say what the dates are of: a picture in a folder or a film has no other than its file's."""
        kinds = {str(self.section(source).get("kind")) in _FILES for source in self.sources}
        return {
            frozenset({True}): "last changed as a file (or dated as was told beside it)",
            frozenset({False}): "posted or released",
        }.get(frozenset(kinds), "posted, released or last changed as a file")

    @property
    def dates(self) -> str:
        """Say from when the pictures are, as a part of a sentence; "" where no post has a date."""
        if self.period is None:
            return ""
        first, last = self.period
        return f", {self.dated} " + (f"in {first}" if first == last else f"from {first} to {last}")

    @property
    def drawn(self) -> bool:
        """Whether all of it is of the sandbox, so that nobody's work is in it."""
        return all(self.section(source).get("board") == "sandbox" for source in self.sources)

    def section(self, source: str) -> Mapping[str, Any]:
        """Give what the recipe says of a source; empty where it names none such."""
        sections = self.recipe.get("sources", [])
        return next((one for one in sections if isinstance(one, dict) and source in _names(one)), {})


def read(folder: Path) -> Facts:
    """Count what lies in a release's folder; memory grows by some bytes a crop, whatever the web wrote."""
    report = json.loads((folder / "report.json").read_text("utf-8"))
    text = (folder / "recipe.toml").read_text("utf-8")
    recipe = tomllib.loads(text)
    facts = Facts(
        name=str(recipe.get("name", folder.parent.name)),
        version=str(report["kaoset"]),
        recipe_toml=text,
        recipe=recipe,
        stages=report["stages"],
        files=frozenset(path.name for path in folder.iterdir()),
    )
    images: set[str] = set()
    posts: set[bytes] = set()
    csv.field_size_limit(_LONGEST_FIELD)
    with (folder / MANIFEST).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            _count(facts, row)
            images.add(row["image_sha256"][:16])
            posts.add(hashlib.sha256(row["post_id"].encode()).digest()[:8])
    facts.images, facts.posts = len(images), len(posts)
    return facts


def _count(facts: Facts, row: Mapping[str, str]) -> None:
    score = float(row["score"])
    source = unquoted(row["post_id"]).partition(":")[0]
    facts.faces += 1
    facts.size = int(row["size"])
    facts.splits[row["split"]] += 1
    if facts.faces <= LISTED:
        facts.listed.setdefault(row["split"], []).append(row["file"])
    facts.sources[source] += 1
    facts.months[source, (row["posted_at"] or row["released_on"])[:7]] += 1
    facts.sides.append(min(int(row["box_width"]), int(row["box_height"])))
    facts.scores.append(score)
    facts.agreed.append(row["agreed"] == "True")
    facts.hair[row["hair_colour"]] += 1
    facts.eyes[row["eye_colour"]] += 1
    facts.ratings[row["rating"]] += 1
    facts.decisions[row["decision"]] += 1
    facts.families[row["family"]] += 1
    artists = unquoted(row.get("artists", "")).split()
    facts.artists.update(artists)
    facts.without_artist += not artists
    facts.without_page += not unquoted(row["page_url"]).startswith(("http://", "https://"))
    facts.without_origin += not row["origin_url"]
    facts.characters.update(unquoted(row.get("characters", "")).split())
    _choose(facts, row, score)


def _choose(facts: Facts, row: Mapping[str, str], score: float) -> None:
    """Offer a crop to each sheet; chance is the crop's own name, so that the same release shows the same crops."""
    sha256, chance = row["crop_sha256"], hashlib.sha256(row["crop_sha256"].encode()).hexdigest()

    def ranked(rank: float | str) -> Shown:
        return Shown(rank, sha256, row["file"], unquoted(row["page_url"]), score)

    facts.random.add(ranked(chance))
    facts.surest.add(ranked(-score))
    facts.doubtful.add(ranked(score))
    if row["hair_colour"]:
        facts.of_hair.setdefault(row["hair_colour"], Best(SHOWN_OF_COLOUR)).add(ranked(chance))


def gini(counts: Sequence[int]) -> float:
    """Say how unequal counts are: 0 where all are alike, towards 1 where one has all.

    By the mean difference of all pairs (https://en.wikipedia.org/wiki/Gini_coefficient).
    """
    ordered, total = sorted(counts), sum(counts)
    if not total:
        return 0.0
    weighted = math.fsum((2 * place - len(ordered) + 1) * count for place, count in enumerate(ordered))
    return weighted / (len(ordered) * total)


def _names(section: Mapping[str, Any]) -> set[str]:
    """By what name posts of a source may go: its own, the board's, or what is made of an address."""
    board = str(section.get("board", ""))
    host = re.sub(r"[^A-Za-z0-9._]+", "-", board.rpartition("//")[2].rpartition("@")[2]).strip("-._")[:64]
    return {str(section["name"])} if section.get("name") else {board, host} - {""}
