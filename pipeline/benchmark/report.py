"""Hides how a comparison is written down for programs: a table for each way and group, and all of it as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.benchmark import Count, Judged, agreement, average_precision, calibration_error, reliability

COLUMNS = ("way", "of", "group", "faces", "right", "wrong", "missed", "precision", "recall", "f1", "average_precision")


def rows(ways: Sequence[Judged]) -> Iterator[tuple[str, str, str, Count, float | None]]:
    """Give for each way: its answers, what it is sure of, each group, each size; with the average precision of all."""
    for way in ways:
        yield way.name, "all", "", way.count(), average_precision(way.curve())
        yield way.name, "sure", "", way.count(lambda guess: guess.sure), None
        for group, count in way.by_group().items():
            yield way.name, "group", group, count, average_precision(way.only(group).curve())
        for size, count in way.by_size().items():
            yield way.name, "size", size, count, None


def as_csv(ways: Sequence[Judged]) -> str:
    """Write the rows as CSV; a share of nothing is left empty."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for name, of, group, count, average in rows(ways):
        shares = (count.precision, count.recall, count.f1, average)
        counts = (count.faces, count.right, count.wrong, count.missed)
        table.writerow([name, of, group, *counts, *("" if share is None else f"{share:.4f}" for share in shares)])
    return text.getvalue()


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
        "rows": [
            {"of": of, "group": group, **asdict(count), "average_precision": average}
            for _, of, group, count, average in rows([way])
        ],
        "reliability": [asdict(one) for one in bins],
        "calibration_error": calibration_error(bins),
        "curve": [[point.score, round(point.recall, 4), round(point.precision, 4)] for point in way.curve()],
        "guesses": [
            {
                "picture": way.pictures[hit.picture].name,
                "box": asdict(hit.guess.box),
                "score": hit.guess.score,
                "answer": hit.guess.answer,
                "sure": hit.guess.sure,
                "right": hit.face is not None,
            }
            for hit in way.hits
        ],
    }
