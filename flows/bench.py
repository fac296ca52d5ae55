"""What `flow bench faces` does: labelled pictures in, a table, files and pictures out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from rich.table import Table

from flows.show import Display, harmless
from pipeline.benchmark import (
    Count,
    Fate,
    Judged,
    Traits,
    Truth,
    average_precision,
    calibration_error,
    charts,
    load,
    reliability,
)
from pipeline.benchmark import truths as labels
from pipeline.benchmark.report import as_csv, as_json
from pipeline.benchmark.rule import Rule
from pipeline.benchmark.ways import check, look, usual
from pipeline.recipe import load as recipe
from pipeline.sandbox import hard
from pipeline.shares import Share
from pipeline.store import Store, write_atomically
from pipeline.workers import Workers

TIMEOUT_S = 120.0  # for one picture
# Of the lean of a head, in degrees to either side: from, and under; the words that the drawn pictures have for it.
TILTS = {
    "under 20°": (0, 20),
    "20 to 50° (tilted)": (20, 50),
    "50 to 130° (lying)": (50, 130),
    "130° and more (upside down)": (130, 181),
}
COVERED = {"under 5 %": (0.0, 0.05), "5 to 20 %": (0.05, 0.2), "20 to 50 %": (0.2, 0.5), "over 50 %": (0.5, 1.01)}


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
        rule = Rule.of(recipe("default"))
        with Workers(workers or os.cpu_count() or 1, timeout_s=TIMEOUT_S) as pool:
            ways = [look(name, loaded, store, pool, rule, partial(shown.progress, name)) for name in names]
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
        Truth(
            path=one.path,
            faces=tuple(face.box for face in one.faces),
            group=one.difficulty.value,
            traits=tuple(_traits(face) for face in one.faces),
        )
        for one in drawn
    ]


def _traits(face: hard.DrawnFace) -> Traits:
    """Tell what is known of a drawn face, in the words of the report."""
    return (
        ("view", face.view.value),
        ("style", face.style.value),
        ("tilt", _band(abs(face.tilt), TILTS)),
        ("covered", _band(face.occluded, COVERED)),
        *(("tag", str(tag)) for tag in face.tags),
    )


def _band(value: float, bands: Mapping[str, tuple[float, float]]) -> str:
    return next(name for name, (least, under) in bands.items() if least <= value < under)


def tables(ways: Sequence[Judged]) -> list[Table]:
    """Draw what a person wants to see first; what is known by score and tag, and who agrees with whom, is in files."""
    return [
        _answers(ways),
        *([_decided(ways)] if any(_has_rule(way) for way in ways) else []),
        *([_groups(ways)] if ways[0].by_group() else []),
        _faces(ways),
    ]


def _table(title: str, first: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _answers(ways: Sequence[Judged]) -> Table:
    pictures, faces = len(ways[0].pictures), ways[0].count().faces
    columns = ("precision", "recall", "F1", "AP", "pictures/s")
    table = _table(f"{pictures} pictures, {faces} faces: what each way answers", "way", columns)
    for way in ways:
        answer = way.count()
        rate = f"{pictures / way.seconds:.1f}" if way.seconds else ""
        shares = (_between(answer.of_guesses), _between(answer.of_faces), _share(answer.f1))
        table.add_row(way.name, *shares, _share(average_precision(way.curve())), rate)
    return table


def _has_rule(way: Judged) -> bool:
    """Say whether a recipe could use it: of a script nothing would be accepted, nor shown to a person."""
    return any(hit.guess.fate for hit in way.hits)


def _decided(ways: Sequence[Judged]) -> Table:
    columns = ("precision of accepted", "recall of accepted", "with queued", "queued a 100 faces", "calibration error")
    table = _table("What the default recipe does with it, before a person has looked", "way", columns)
    for way in filter(_has_rule, ways):
        accepted, queued = way.decided(Fate.ACCEPTED), way.decided(Fate.QUEUED)
        found = way.decided(Fate.ACCEPTED, Fate.QUEUED)
        waiting = f"{100 * queued.of_guesses.whole / queued.faces:.0f}" if queued.faces else ""
        shares = [_between(share) for share in (accepted.of_guesses, accepted.of_faces, found.of_faces)]
        table.add_row(way.name, *shares, waiting, _share(calibration_error(reliability(way.hits))))
    return table


def _groups(ways: Sequence[Judged]) -> Table:
    table = _table("Recall, and wrong boxes where there are any, by group", "group", _columns(ways))
    for name, count in ways[0].by_group().items():
        table.add_row(harmless(name), str(count.faces), *(_cell(way.by_group()[name]) for way in ways))
    return table


def _faces(ways: Sequence[Judged]) -> Table:
    """Draw recall by what the faces are like: their size, and where it is known how they are seen and drawn."""
    table = _table("Recall, and wrong boxes of that size, by face", "face", _columns(ways))
    for name, count in ways[0].by_size().items():
        table.add_row(name, str(count.faces), *(_cell(way.by_size()[name]) for way in ways))
    for (of, trait), share in ways[0].by_trait().items():
        if of != "tag":  # nearly the groups again
            cells = [_share(way.by_trait()[of, trait].value) for way in ways]
            table.add_row(f"{of}: {trait.replace('_', ' ')}", str(share.whole), *cells)
    return table


def _columns(ways: Sequence[Judged]) -> Sequence[str]:
    return ("faces", *(way.name for way in ways))


def _cell(count: Count) -> str:
    wrong = f" ({count.wrong} wrong)" if count.wrong else ""
    return f"{_share(count.recall) or '–'}{wrong}"


def _between(share: Share) -> str:
    """Write a share, and between which shares it lies at 95 %."""
    low, high = share.interval or (None, None)
    return f"{_share(share.value)} ({_share(low)}–{_share(high)})" if share.whole else ""


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2f}"
