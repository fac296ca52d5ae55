"""What `flow bench faces` does: labelled pictures in, a table, files and pictures out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.table import Table

from flows.show import Display, harmless
from pipeline.benchmark import (
    Count,
    Judged,
    Truth,
    agreement,
    average_precision,
    calibration_error,
    charts,
    load,
    reliability,
)
from pipeline.benchmark import truths as labels
from pipeline.benchmark.report import as_csv, as_json
from pipeline.benchmark.ways import check, look, usual
from pipeline.recipe import ReviewSection
from pipeline.recipe import load as recipe
from pipeline.records import Detection
from pipeline.sandbox import hard
from pipeline.store import Store, write_atomically
from pipeline.workers import Workers

TIMEOUT_S = 120.0  # for one picture


def bench_faces(
    truth: Path | None,
    detectors: Sequence[str],
    out: Path,
    pictures: int,
    data: Path,
    workers: int,
    shown: Display,
) -> tuple[list[Judged], list[Path]]:
    """Compare ways to find faces, and write what came of it.

    Args:
        truth: The user's own labels; None: pictures are drawn.
        detectors: Ways to look, as `pipeline.benchmark.ways` names them; empty: all that this machine can.
        out: The folder for what is written.
        pictures: How many are drawn.
        data: The folder in which drawn pictures are kept.
        workers: Processes that look; 0: one a core.
        shown: Says how far it is.

    Raises:
        UsageError: There is no such detector, or something is wrong with the labels.
        WorldError: A detector is missing, or nothing can be written.
    """
    charts.check()
    names = tuple(dict.fromkeys(detectors)) or usual()
    for name in names:
        check(name)
    wanted = _drawn(data, pictures, shown) if truth is None else labels.read(truth)
    with tempfile.TemporaryDirectory(prefix="kaoset-bench-") as folder:
        store = Store(Path(folder))
        loaded = []
        for one in wanted:
            loaded.append(load(one, store))
            shown.progress("read", len(loaded), len(wanted))
        with Workers(workers or os.cpu_count() or 1, timeout_s=TIMEOUT_S) as pool:
            ways = [look(name, loaded, store, pool, _sure(name), partial(shown.progress, name)) for name in names]
        files = {
            "faces.csv": as_csv(ways).encode(),
            "faces.json": as_json(ways).encode(),
            "cases.png": charts.draw_cases(ways[-1], store),
            "faces.png": charts.draw_report(ways),
        }
    for name, content in files.items():
        write_atomically(out / name, content)
    return ways, [out / name for name in files]


def _drawn(data: Path, pictures: int, shown: Display) -> list[Truth]:
    drawn = hard.build(data / "bench", pictures, progress=partial(shown.progress, "draw"))
    return [
        Truth(path=one.path, faces=tuple(face.box for face in one.faces), group=one.difficulty.value) for one in drawn
    ]


def _sure(name: str) -> partial[bool]:
    """Take the rule of the built-in recipe that looks this way."""
    review = ReviewSection() if "+" in name else recipe("sandbox").review
    return partial(_accepted, review.accept_alone, review.accept_agreed)


def _accepted(alone: float, agreed: float, detection: Detection) -> bool:
    return detection.score >= (agreed if detection.agreed else alone)


def tables(ways: Sequence[Judged]) -> list[Table]:
    """Draw what a person wants to see first: each way as a whole, by group, by size, and who agrees with whom."""
    return [_whole(ways), *([_groups(ways)] if ways[0].by_group() else []), _sizes(ways), _agreement(ways)]


def _table(title: str, first: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _whole(ways: Sequence[Judged]) -> Table:
    pictures, faces = len(ways[0].pictures), ways[0].count().faces
    columns = ("precision", "recall", "F1", "AP", "sure: precision", "sure: recall", "calibration error", "pictures/s")
    table = _table(f"{pictures} pictures, {faces} faces", "way", columns)
    for way in ways:
        answer, sure = way.count(), way.count(lambda guess: guess.sure)
        error = calibration_error(reliability(way.hits))
        # A script is never sure: nothing of it would be accepted without a person.
        of_sure = (_share(sure.precision), _share(sure.recall)) if sure.right + sure.wrong else ("", "")
        shares = (_share(answer.precision), _share(answer.recall), _share(answer.f1))
        rate = f"{pictures / way.seconds:.1f}" if way.seconds else ""
        table.add_row(way.name, *shares, _share(average_precision(way.curve())), *of_sure, _share(error), rate)
    return table


def _groups(ways: Sequence[Judged]) -> Table:
    title = "Recall, and wrong boxes where there are any, by group"
    return _counts(title, "group", ways, [way.by_group() for way in ways])


def _sizes(ways: Sequence[Judged]) -> Table:
    title = "Recall, and wrong boxes where there are any, by size of the face"
    return _counts(title, "size", ways, [way.by_size() for way in ways])


def _counts(title: str, first: str, ways: Sequence[Judged], counted: Sequence[dict[str, Count]]) -> Table:
    table = _table(title, first, ("faces", *(way.name for way in ways)))
    for name, count in counted[0].items():
        table.add_row(harmless(name), str(count.faces), *(_cell(one[name]) for one in counted))
    return table


def _cell(count: Count) -> str:
    wrong = f" ({count.wrong} wrong)" if count.wrong else ""
    return f"{_share(count.recall) or '–'}{wrong}"


def _agreement(ways: Sequence[Judged]) -> Table:
    table = _table("Of the faces that the one finds, the other finds", "the one", [way.name for way in ways])
    for one, shares in agreement(ways).items():
        table.add_row(one, *(_share(share) for share in shares.values()))
    return table


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2f}"
