"""Hides which crops a person asks for: filters as they stand in the page's address, and how many there are of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UsageError
from pipeline.records import Verdict
from pipeline.review.shelf import EPOCH, UNKNOWN_DAY, Shelf

Mask = NDArray[np.bool_]

WAITING = "waiting"
NONE = "none"  # the word for what nobody has decided
DISPUTED = "disputed"  # two people said different things
DOUBTED = "doubted"  # kept in one look, and what was learnt from the others says that it is false
VERDICTS = (NONE, *Verdict)  # a verdict's code is its place here
_ASIDE = (DISPUTED, DOUBTED)  # words that are asked for beside verdicts; each names its column of `Live`
MOST_TAGS = 30
MOST_VALUES = 50  # of one filter, that are shown; the others are too rare to click on
SCORE_BINS, SIDE_BINS = 20, 16
_LONGEST = 8192  # characters of an address

Range = tuple[float, float]  # both ends are in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What people have said of each crop of a shelf until now; each array has a place for every row."""

    verdict: NDArray[np.uint8]  # in VERDICTS
    disputed: Mask
    doubted: Mask
    label: NDArray[np.int32]  # in *labels*
    reviewer: NDArray[np.int32]  # in *reviewers*
    labels: Sequence[str]  # the first is "": none
    reviewers: Sequence[str]

    @classmethod
    def nothing(cls, rows: int) -> Live:
        """Give what stands where nobody has said anything."""
        return cls(
            verdict=np.zeros(rows, np.uint8),
            disputed=np.zeros(rows, np.bool_),
            doubted=np.zeros(rows, np.bool_),
            label=np.zeros(rows, np.int32),
            reviewer=np.zeros(rows, np.int32),
            labels=[""],
            reviewers=[""],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Filters; an empty one lets everything through. What one filter names is joined by or, tags by and."""

    reason: tuple[str, ...] = ()
    verdict: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    detector: tuple[str, ...] = ()
    recipe: tuple[str, ...] = ()
    reviewer: tuple[str, ...] = ()
    label: tuple[str, ...] = ()  # "": those that have none
    tag: tuple[str, ...] = ()
    agreed: tuple[str, ...] = ()  # yes, no
    score: Range | None = None
    side: Range | None = None
    date: Range | None = None  # days since 1970

    @property
    def is_queue(self) -> bool:
        """Whether it asks for what waits for a person."""
        return self.reason == (WAITING,) and self.verdict == (NONE,)

    def to_query(self) -> str:
        """Write it as a part of an address."""
        pairs: list[tuple[str, str]] = []
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in _READ_RANGE and value is not None:
                pairs.append((one.name, _show_range(one.name, value)))
            elif value and one.name not in _READ_RANGE:
                pairs += [(one.name, word) for word in value]
        return urlencode(pairs)


def parse(query: str) -> Wanted:
    """Read filters from an address; where neither reason nor verdict is named, the queue is meant.

    Raises:
        UsageError: One is unknown or cannot be read.
    """
    if len(query) > _LONGEST:
        raise UsageError(f"the filters are longer than {_LONGEST} characters; take some away")
    found: dict[str, Any] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=200, errors="strict")
    except ValueError as error:
        raise UsageError(f"the filters cannot be read ({error})") from error
    for name, text in pairs:
        if name in _READ_RANGE:
            found[name] = _read_range(name, text)
        elif name in _CHOICES:
            found[name] = (*found.get(name, ()), text)
        else:
            raise UsageError(f"{name[:40]!r}: no such filter; use {', '.join([*_CHOICES, *_READ_RANGE])}")
    for name, words in {"verdict": (*VERDICTS, *_ASIDE), "agreed": ("yes", "no")}.items():
        unknown = set(found.get(name, ())) - set(words)
        if unknown:
            raise UsageError(f"{name}={min(unknown)[:40]}: unknown; use {', '.join(words)}")
    if not found.keys() & {"reason", "verdict"}:
        found |= {"reason": (WAITING,), "verdict": (NONE,)}
    return Wanted(**found)


def _read_range(name: str, text: str) -> Range:
    sign, read = _READ_RANGE[name]
    low, there, high = text.partition(sign)
    if not there:
        raise UsageError(f"{name}={text[:40]}: no range; write it as {_EXAMPLES[name]}")
    try:
        ends = (read(low) if low else -math.inf, read(high) if high else math.inf)
    except ValueError as error:
        raise UsageError(f"{name}={text[:40]}: cannot be read; write it as {_EXAMPLES[name]}") from error
    if not ends[0] <= ends[1]:  # also where one is no number at all
        raise UsageError(f"{name}={text[:40]}: ends before it begins; write it as {_EXAMPLES[name]}")
    return ends


def _day(text: str) -> float:
    return date.fromisoformat(text).toordinal() - EPOCH


def _show_range(name: str, ends: Range) -> str:
    show: Callable[[float], str] = _date if name == "date" else lambda value: f"{value:g}"
    return _READ_RANGE[name][0].join("" if math.isinf(end) else show(end) for end in ends)


def _date(day: float) -> str:
    return date.fromordinal(int(day) + EPOCH).isoformat()


_READ_RANGE: dict[str, tuple[str, Callable[[str], float]]] = {
    "score": ("-", float),
    "side": ("-", float),
    "date": ("..", _day),
}
_EXAMPLES = {"score": "0.2-0.9", "side": "64-512", "date": "2015-01-01..2020-12-31"}
_CHOICES = ("reason", "verdict", "source", "detector", "recipe", "reviewer", "label", "tag", "agreed")


def mask(shelf: Shelf, live: Live, wanted: Wanted) -> Mask:
    """Say of each row whether it is asked for."""
    return _all(shelf, _asked(shelf, live, wanted))


def _asked(shelf: Shelf, live: Live, wanted: Wanted) -> dict[str, Mask]:
    return {name: part(shelf, live, wanted) for name, part in _PARTS.items() if getattr(wanted, name)}


def _all(shelf: Shelf, parts: Mapping[str, Mask], but: str = "") -> Mask:
    found = np.ones(len(shelf), np.bool_)
    for name, part in parts.items():
        if name != but:
            found &= part
    return found


def _by_word(name: str) -> Callable[[Shelf, Live, Wanted], Mask]:
    def part(shelf: Shelf, _live: Live, wanted: Wanted) -> Mask:
        return _are(shelf[name], shelf.words[name], getattr(wanted, name))

    return part


def _by_range(name: str, column: str) -> Callable[[Shelf, Live, Wanted], Mask]:
    def part(shelf: Shelf, _live: Live, wanted: Wanted) -> Mask:
        low, high = getattr(wanted, name)
        values = shelf[column]
        return np.asarray((values >= low) & (values <= high) & (values != UNKNOWN_DAY))

    return part


def _are(codes: NDArray[Any], words: Sequence[str], asked: Sequence[str]) -> Mask:
    chosen = np.array([word in asked for word in words], np.bool_)
    return chosen[codes] if len(chosen) else np.zeros(len(codes), np.bool_)


def _by_verdict(_shelf: Shelf, live: Live, wanted: Wanted) -> Mask:
    found = _are(live.verdict, VERDICTS, wanted.verdict)
    for word in _ASIDE:
        if word in wanted.verdict:
            found |= getattr(live, word)
    return found


def _by_tags(shelf: Shelf, _live: Live, wanted: Wanted) -> Mask:
    """Look up the posts of each tag; of an unknown tag there are none."""
    there = np.ones(int(shelf["post"].max(initial=-1)) + 1, np.bool_)
    for tag in wanted.tag:
        place = int(np.searchsorted(shelf.tags, tag)) if len(shelf.tags) else 0
        has = np.zeros(len(there), np.bool_)
        if place < len(shelf.tags) and shelf.tags[place] == tag:
            has[shelf.tag_posts[shelf.tag_starts[place] : shelf.tag_starts[place + 1]]] = True
        there &= has
    return np.asarray(there[shelf["post"]])


_PARTS: dict[str, Callable[[Shelf, Live, Wanted], Mask]] = {
    **{name: _by_word(name) for name in ("reason", "source", "detector", "recipe")},
    "verdict": _by_verdict,
    "label": lambda _shelf, live, wanted: _are(live.label, live.labels, wanted.label),
    "reviewer": lambda _shelf, live, wanted: _are(live.reviewer, live.reviewers, wanted.reviewer),
    "agreed": lambda shelf, _live, wanted: _are(shelf["agreed"].view(np.uint8), ("no", "yes"), wanted.agreed),
    "score": _by_range("score", "score"),
    "side": _by_range("side", "side"),
    "date": _by_range("date", "day"),
    "tag": _by_tags,
}


# --- how many there are of each ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """One filter as the page shows it; its counts are of what all the others let through."""

    name: str
    title: str
    values: Sequence[tuple[str, int, bool]] = field(default=())  # word, count, whether it is asked for
    bins: Sequence[tuple[float, float, int]] = field(default=())  # from, to, count
    low: float | None = None  # what is asked for; None: no end
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Give what the page reads."""
        if self.name not in _READ_RANGE:
            said = [
                {"value": word, "title": TITLES.get(word, word), "count": count, "on": on}
                for word, count, on in self.values
            ]
            return {"name": self.name, "title": self.title, "kind": "choice", "values": said}
        show = _date if self.name == "date" else float
        bins = [{"from": show(start), "to": show(end), "count": count} for start, end, count in self.bins]
        ends = {
            "low": None if self.low is None else show(self.low),
            "high": None if self.high is None else show(self.high),
        }
        whole = {"min": bins[0]["from"], "max": bins[-1]["to"]} if bins else {"min": None, "max": None}
        kind = "dates" if self.name == "date" else "range"
        return {"name": self.name, "title": self.title, "kind": kind, "bins": bins, **ends, **whole}


TITLES = {
    "accepted": "accepted by rule",
    WAITING: "waits for a person",
    NONE: "nobody yet",
    DISPUTED: "two said different things",
    DOUBTED: "worth a second look",
    "": "no label",
    "face_too_small": "face too small",
    "low_score": "low score",
    "duplicate": "near-copy of a better one",
}


def facets(shelf: Shelf, live: Live, wanted: Wanted) -> list[Facet]:
    """Count for every filter what each of its values would show beside all others that are on."""
    parts = _asked(shelf, live, wanted)

    def rest(name: str) -> Mask:
        return _all(shelf, parts, but=name)

    return [one for one in _facets(shelf, live, wanted, rest) if one.values or one.bins]


def _facets(shelf: Shelf, live: Live, wanted: Wanted, rest: Callable[[str], Mask]) -> Iterator[Facet]:
    yield _choice("reason", "Where it ended", rest("reason"), shelf["reason"], shelf.words["reason"], wanted)
    verdicts = _choice("verdict", "Said by people", rest("verdict"), live.verdict, VERDICTS, wanted)
    aside = [(word, int((rest("verdict") & getattr(live, word)).sum()), word in wanted.verdict) for word in _ASIDE]
    yield replace(verdicts, values=[*verdicts.values, *((word, count, on) for word, count, on in aside if count or on)])
    yield _bins("score", "Score", rest("score"), shelf["score"], wanted.score, np.linspace(0, 1, SCORE_BINS + 1))
    agreed = shelf["agreed"].view(np.uint8)
    yield _choice("agreed", "Seen by several detectors", rest("agreed"), agreed, ("no", "yes"), wanted)
    yield _choice("detector", "Detector", rest("detector"), shelf["detector"], shelf.words["detector"], wanted)
    yield _choice("source", "Source", rest("source"), shelf["source"], shelf.words["source"], wanted)
    if len(shelf.words["recipe"]) > 1:
        yield _choice("recipe", "Recipe", rest("recipe"), shelf["recipe"], shelf.words["recipe"], wanted)
    sides = shelf["side"]
    least, most = (int(sides.min()), int(sides.max())) if len(sides) else (1, 1)
    edges = np.unique(np.geomspace(max(1, least), max(2, least + 1, most), SIDE_BINS + 1).round())
    yield _bins("side", "Pixels a side", rest("side"), sides, wanted.side, edges)
    yield _years(rest("date"), shelf["day"], wanted.date)
    if len(live.labels) > 1:
        yield _choice("label", "Label", rest("label"), live.label, live.labels, wanted)
    if len(live.reviewers) > 1:
        yield _choice("reviewer", "Reviewer", rest("reviewer"), live.reviewer, live.reviewers, wanted)


def _choice(name: str, title: str, there: Mask, codes: NDArray[Any], words: Sequence[str], wanted: Wanted) -> Facet:
    counts = np.bincount(codes[there], minlength=len(words))
    asked = getattr(wanted, name)
    unnamed = name == "reviewer"  # its first word is of what nobody has decided
    values = [
        (word, int(count), word in asked)
        for word, count in zip(words, counts, strict=True)
        if (count or word in asked) and not (unnamed and not word)
    ]
    if name != "verdict":  # those stand in their own order
        values.sort(key=lambda value: (not value[2], -value[1], value[0]))
    return Facet(name=name, title=title, values=values[:MOST_VALUES])


def _bins(
    name: str, title: str, there: Mask, values: NDArray[Any], asked: Range | None, edges: NDArray[np.float64]
) -> Facet:
    counts, _ = np.histogram(values[there], edges)
    low, high = asked or (-math.inf, math.inf)
    return Facet(
        name=name,
        title=title,
        bins=[
            (float(start), float(end), int(count)) for start, end, count in zip(edges, edges[1:], counts, strict=False)
        ],
        low=None if math.isinf(low) else low,
        high=None if math.isinf(high) else high,
    )


def _years(there: Mask, days: NDArray[np.int32], asked: Range | None) -> Facet:
    known = days[days != UNKNOWN_DAY]
    if not len(known):
        return Facet(name="date", title="Date")
    first, last = (date.fromordinal(int(day) + EPOCH).year for day in (known.min(), known.max()))
    edges = np.array([date(year, 1, 1).toordinal() - EPOCH for year in range(first, min(last + 1, 9998) + 1)], float)
    dated = there & (days != UNKNOWN_DAY)
    return _bins("date", "Date", dated, days, asked, edges)


def tags(shelf: Shelf, live: Live, wanted: Wanted, text: str) -> list[tuple[str, int]]:
    """Count the tags of what is asked for, of those that hold *text*: the most frequent first."""
    there = mask(shelf, live, wanted)
    by_post = np.bincount(shelf["post"][there], minlength=int(shelf["post"].max(initial=-1)) + 1)
    if not len(shelf.tag_posts):
        return []
    counts = np.add.reduceat(by_post[shelf.tag_posts], shelf.tag_starts[:-1])
    ranked = np.argsort(-counts, kind="stable")
    found: list[tuple[str, int]] = []
    for place in ranked:
        if len(found) == MOST_TAGS or not counts[place]:
            break
        if text.lower() in shelf.tags[place].lower():
            found.append((shelf.tags[place], int(counts[place])))
    return found
