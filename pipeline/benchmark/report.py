"""Hides how a comparison is written down for programs: a table for each way and group, and all of it as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.benchmark import (
    BINS,
    Count,
    Fate,
    Judged,
    agreement,
    average_precision,
    calibration_error,
    reliability,
)
from pipeline.shares import Share

COLUMNS = (
    "way", "of", "group", "faces", "right", "wrong", "missed",
    "precision", "precision_low", "precision_high", "recall", "recall_low", "recall_high", "f1", "average_precision",
)  # fmt: skip
# What is told of the rule: the word for it, and the fates that are counted together.
DECIDED: dict[str, tuple[Fate, ...]] = {
    "accepted": (Fate.ACCEPTED,),
    "queued": (Fate.QUEUED,),
    "dropped": (Fate.DROPPED,),
    "accepted or queued": (Fate.ACCEPTED, Fate.QUEUED),
}

Row = dict[str, str | int | float | None]


def rows(way: Judged) -> Iterator[Row]:
    """Give what one way is worth: as a whole, by the rule, by group, size and trait, and by its score.

    What a row cannot know is None: a trait is of faces, so no wrong box has one; a score is of boxes, so no missed face
    has one.
    """
    yield _row(way, "all", "", way.count()) | {"average_precision": average_precision(way.curve())}
    if any(hit.guess.fate for hit in way.hits):
        for name, fates in DECIDED.items():
            yield _row(way, "rule", name, way.decided(*fates))
    for group, count in way.by_group().items():
        yield _row(way, "group", group, count) | {"average_precision": average_precision(way.only(group).curve())}
    for size, count in way.by_size().items():
        yield _row(way, "size", size, count)
    for (of, trait), share in way.by_trait().items():
        counts: Row = {"faces": share.whole, "right": share.part, "missed": share.whole - share.part}
        yield _blank(way, of, trait) | counts | _shares("recall", share)
    for one in reliability(way.hits):
        counts = {"right": one.right.part, "wrong": one.right.whole - one.right.part}
        yield (
            _blank(way, "score", f"{one.least:g} to {one.least + 1 / BINS:g}")
            | counts
            | _shares("precision", one.right)
        )


def _blank(way: Judged, of: str, group: str) -> Row:
    return dict.fromkeys(COLUMNS) | {"way": way.name, "of": of, "group": group}


def _row(way: Judged, of: str, group: str, count: Count) -> Row:
    counts: Row = {"faces": count.faces, "right": count.right, "wrong": count.wrong, "missed": count.missed}
    shares = _shares("precision", count.of_guesses) | _shares("recall", count.of_faces)
    return _blank(way, of, group) | counts | shares | {"f1": count.f1}


def _shares(name: str, share: Share) -> Row:
    """Give a share and between which shares it lies, at 95 %."""
    low, high = share.interval or (None, None)
    return {name: share.value, f"{name}_low": low, f"{name}_high": high}


def as_csv(ways: Sequence[Judged]) -> str:
    """Write the rows as CSV; a share of nothing is left empty."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for way in ways:
        table.writerows({name: _cell(value) for name, value in row.items()} for row in rows(way))
    return text.getvalue()


def _cell(value: str | float | None) -> str | int | None:
    return f"{value:.4f}" if isinstance(value, float) else value


def as_json(ways: Sequence[Judged]) -> str:
    """Write everything: counts, curves, reliability, agreement, and each picture with what was said of it."""
    body = {
        "pictures": len(ways[0].pictures),
        "faces": sum(len(picture.faces) for picture in ways[0].pictures),
        "ways": {way.name: _way(way) for way in ways},
        "agreement": agreement(ways),
    }
    return json.dumps(body, indent=1, ensure_ascii=False) + "\n"


def _way(way: Judged) -> dict[str, Any]:
    bins = reliability(way.hits)
    return {
        "seconds": round(way.seconds, 2),
        "rows": [{name: value for name, value in row.items() if name != "way"} for row in rows(way)],
        "reliability": [
            {"least": one.least, "score": one.score, "guesses": one.right.whole, "right": one.right.value}
            for one in bins
        ],
        "calibration_error": calibration_error(bins),
        "curve": [[point.score, round(point.recall, 4), round(point.precision, 4)] for point in way.curve()],
        "guesses": [
            {
                "picture": way.pictures[hit.picture].name,
                "box": asdict(hit.guess.box),
                "score": hit.guess.score,
                "answer": hit.guess.answer,
                "fate": hit.guess.fate,
                "right": hit.face is not None,
            }
            for hit in way.hits
        ],
    }
