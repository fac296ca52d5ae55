"""Trainings side by side: which is better, after how many images and how many seconds; hides where the numbers lie."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.card.text import visible
from pipeline.errors import UsageError
from pipeline.pixels import BadImage, decode
from pipeline.store import write_atomically
from pipeline.train.page import brief, percent, span
from pipeline.train.pictures import GAP
from pipeline.train.runs import Row, read_run, samples

_FEWEST = 2
_MAX_PIXELS = 8192 * 8192  # of a grid
_SHARP = 128  # pixels a side, to which small faces are enlarged in whole steps before they are drawn
_INCHES, _CURVES, _STRIP = 12.0, 3.6, 1.25  # the picture's width; the heights of the curves and of a row of faces
_COLOURS = ("#4477aa", "#e0913a", "#3f9b6b", "#aa3377", "#66aacc", "#8a8a8a")  # those of the dataset card
_HEADS = (
    *("run", "release", "network", "size", "kimg", "time", "img/s", "best RF-FID", "at kimg", "last RF-FID"),
    *("RF-KID", "SWD", "precision", "recall", "near copies", "attributes"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """One training, as far as its folder tells."""

    name: str  # of the folder; with as much of its path as tells it from the others
    release: str
    manifest_sha256: str
    network: str
    size: str  # pixels a side
    kimg: float | None  # thousands of real images shown
    seconds: float | None  # of training steps
    img_per_s: float | None
    best: Row  # of metrics.csv, the one of the lowest RF-FID; empty where that was never measured
    last: Row  # the newest; empty where nothing was measured
    curve: Sequence[tuple[float, float | None, float]]  # kimg, seconds, RF-FID
    attributes: float | None  # how often a face has what it was asked for, mean of all attributes, 0 to 1
    fixed: Path | None  # the newest grid of the noise that is always the same
    troubles: Sequence[str]  # what could not be read


@dataclass(frozen=True, kw_only=True, slots=True)
class Contest:
    """Two or more trainings, in the order in which they were named."""

    runs: Sequence[Contender]
    warnings: Sequence[str]  # why they are not to be compared, and what could not be read; a line each


def compare(runs: Sequence[Path]) -> Contest:
    """Read run folders, whether their trainings are over or not.

    Raises:
        UsageError: One of them is no run folder, or there are fewer than two.
    """
    if len(runs) < _FEWEST:
        raise UsageError(f"{len(runs)} of at least {_FEWEST} trainings: name those that you want to compare")
    contenders = [_contender(path, name) for path, name in zip(runs, _names(runs), strict=True)]
    return Contest(runs=contenders, warnings=tuple(_warnings(contenders)))


def _contender(path: Path, name: str) -> Contender:
    run = read_run(path)
    if not run.facts:
        raise UsageError(f"{path}: is no training; name a folder that `flow run train-gan` made")
    return Contender(
        name=name,
        release=run.text("release"),
        manifest_sha256=run.text("manifest_sha256"),
        network=run.setting("network"),
        size=run.setting("size"),
        kimg=run.last.get("kimg"),
        seconds=run.last.get("seconds"),
        img_per_s=run.last.get("img_per_s"),
        best=run.best or {},
        last=run.metrics[-1] if run.metrics else {},
        curve=[(row["kimg"], row.get("seconds"), row["rf_fid"]) for row in run.metrics if "rf_fid" in row],
        attributes=run.attributes_right,
        fixed=next((file for _, file in reversed(samples(path, "fixed"))), None),
        troubles=run.troubles,
    )


def _names(runs: Sequence[Path]) -> list[str]:
    """Call each run by its folder, and where two are called alike, by as much of their paths as tells them apart."""
    paths = [path.resolve() for path in runs]
    for count in range(1, max(len(path.parts) for path in paths)):
        names = [str(Path(*path.parts[-count:])) for path in paths]
        if len(set(names)) == len(set(paths)):
            break
    return [visible(name) for name in names]


def _warnings(contenders: Sequence[Contender]) -> Iterator[str]:
    releases = Counter(one.release or "unknown" for one in contenders)
    if len(releases) > 1:
        yield f"trained on other releases ({', '.join(releases)}): their measures cannot be compared"
    elif len({one.manifest_sha256 for one in contenders}) > 1:
        yield f"{', '.join(releases)} was not the same for all of them: their measures cannot be compared"
    sizes = Counter(one.size or "unknown" for one in contenders)
    if len(sizes) > 1:
        yield f"drawn at other sizes ({', '.join(sizes)} pixels): their measures cannot be compared"
    for one in contenders:
        yield from (f"{one.name}: {trouble}" for trouble in one.troubles)


def table(contest: Contest) -> list[list[str]]:
    """Give a row of texts for each measure: its name, and that of every training; "–" is what nobody knows.

    The first row has the names of the trainings.
    """
    columns = [_HEADS, *(_column(one) for one in contest.runs)]
    return [list(row) for row in zip(*columns, strict=True)]


def _column(one: Contender) -> list[str]:
    measured = (one.best.get(name) for name in ("rf_kid", "swd", "precision", "recall", "near_copies"))
    return [
        *(text or "–" for text in (one.name, one.release, one.network, one.size)),
        brief(one.kimg),
        "–" if one.seconds is None else span(one.seconds),
        brief(one.img_per_s),
        brief(one.best.get("rf_fid")),
        brief(one.best.get("kimg")),
        brief(one.last.get("rf_fid")),
        *map(brief, measured),
        percent(one.attributes),
    ]


def picture(contest: Contest, path: Path) -> None:
    """Draw the trainings as a PNG: RF-FID over images and over seconds, and a row of faces of each.

    The faces are those of the newest grid of fixed noise; where there is none, or a damaged one, the row says so.

    Raises:
        StoreError: The disk is full, or the folder cannot be written.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second to load, and not needed for the table
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415

    count = len(contest.runs)
    figure = Figure(figsize=(_INCHES, _CURVES + _STRIP * count), layout=ConstrainedLayoutEngine(h_pad=0.08))
    grid = figure.add_gridspec(1 + count, 2, height_ratios=[_CURVES, *[_STRIP] * count])
    over_kimg, over_seconds = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    _curves(over_kimg, "RF-FID over images ↓", "kimg", [[(x, y) for x, _, y in one.curve] for one in contest.runs])
    timed = [[(x, y) for _, x, y in one.curve if x is not None] for one in contest.runs]
    _curves(over_seconds, "RF-FID over time ↓", "seconds of training", timed)
    handles = [
        over_kimg.plot([], [], color=_colour(place), label=_plain(one.name))[0]
        for place, one in enumerate(contest.runs)
    ]
    over_seconds.legend(handles=handles, fontsize=8, frameon=False)
    for place, one in enumerate(contest.runs):
        _faces(figure.add_subplot(grid[1 + place, :]), one, _colour(place))
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, metadata={"Software": None})
    write_atomically(path, data.getvalue())


def _curves(axes: Any, title: str, below: str, curves: Sequence[Sequence[tuple[float, float]]]) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(below, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    for place, points in enumerate(curves):
        marker = "o" if len(points) == 1 else ""
        axes.plot([x for x, _ in points], [y for _, y in points], color=_colour(place), marker=marker)
    values = [y for points in curves for _, y in points]
    if not values:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes, color="#626a73")
    elif min(values) > 0 and max(values) > 20 * min(values):
        axes.set_yscale("log")


def _faces(axes: Any, one: Contender, colour: str) -> None:
    axes.set_axis_off()
    about = [one.network, f"{brief(one.kimg)} kimg", f"RF-FID {brief(one.best.get('rf_fid'))} at best"]
    axes.set_title(f"{_plain(one.name)}   ", fontsize=10, loc="left", color=colour, fontweight="bold")
    axes.set_title(_plain(" · ".join(filter(None, about))), fontsize=8, loc="right", color="#626a73")
    strip = _strip(one)
    if strip is None:
        axes.text(0, 0.5, "no faces", va="center", transform=axes.transAxes, color="#626a73")
        return
    axes.imshow(strip)


def _strip(one: Contender) -> NDArray[np.uint8] | None:
    """Lay the faces of a grid into one row; None where there is no whole grid."""
    try:
        pixels_HWC = decode(one.fixed.read_bytes(), max_pixels=_MAX_PIXELS) if one.fixed else None
    except (OSError, BadImage):
        return None
    if pixels_HWC is None:
        return None
    bands = _bands(pixels_HWC, int(one.size) if one.size.isdecimal() else 0)
    white = np.full((len(bands[0]), GAP, 3), 255, dtype=np.uint8)
    row_HWC = np.concatenate([part for band in bands for part in (white, band)][1:], axis=1)
    times = max(1, _SHARP // len(bands[0]))
    return row_HWC.repeat(times, axis=0).repeat(times, axis=1)


def _bands(pixels_HWC: NDArray[np.uint8], side: int) -> list[NDArray[np.uint8]]:
    """Cut a grid between its rows; one that is not made of rows of *side* pixels stays whole."""
    height = len(pixels_HWC)
    if not side or (height + GAP) % (side + GAP):
        return [pixels_HWC]
    return [pixels_HWC[top : top + side] for top in range(0, height, side + GAP)]


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


def _plain(text: str) -> str:
    """Keep matplotlib from reading mathematics into a name."""
    return text.replace("$", r"\$")
