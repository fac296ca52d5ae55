"""A training as one page that a person leaves open."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from pipeline.card.text import visible
from pipeline.store import write_atomically
from pipeline.train.runs import Row, Run, as_number, read_run, samples

PAGE = "train.html"
SHOWN = 20  # ticks in the table
REFRESH_S = 15  # how often the page of a running training loads itself again
_WIDE = 560  # pixels: grids are enlarged in whole steps up to this
_TIMES = 8  # and no more often than this: one face alone need not fill a screen
_LOG = 20  # a largest value so many times the smallest is drawn on a logarithmic scale
_DISTANCES = frozenset({"rf_fid", "rf_kid", "swd", "fid"})
_COLOURS = ("#4477aa", "#e0913a", "#3f9b6b", "#aa3377", "#66aacc", "#8a8a8a")  # those of the dataset card

# Grids: how a file begins, what a person calls it, and what there is to see.
_KINDS = (
    ("random", "Drawn by chance", "New noise at every tick: this is what the generator gives."),
    ("fixed", "Always the same noise", "The same sixteen at every tick: watch them change."),
    ("labels", "By label", "A row for each label, a column for each noise."),
    ("nearest", "Nearest real faces", "Beside each drawn face the real one nearest to it: copies show."),
)

# Columns of metrics.csv: how a person calls them, and which way is better.
METRICS: dict[str, tuple[str, str]] = {
    "rf_fid": ("RF-FID", "↓"),
    "rf_fid_floor": ("floor", ""),
    "rf_fid_ratio": ("× floor", "↓"),
    "rf_kid": ("RF-KID", "↓"),
    "swd": ("SWD", "↓"),
    "swd_floor": ("floor", ""),
    "precision": ("precision", "↑"),
    "recall": ("recall", "↑"),
    "near_copies": ("near copies", "↓"),
    "fid": ("FID", "↓"),
    "accuracy": ("as asked", "↑"),
}
_ACCURACY = "accuracy:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """A picture or a film of the run folder, as the page names it."""

    src: str  # relative, with the step behind "?"
    width: int  # pixels on the screen, a whole multiple of the file's own
    height: int
    alt: str
    film: str = ""  # an MP4 of the same, or ""
    still: str = ""  # what is shown instead to whom motion disturbs, or ""


def write_page(run_dir: Path) -> Path:
    """Write train.html into a run folder, of what is there; takes some milliseconds.

    Nothing in it comes from elsewhere than the folder, and what is written in the folder's files is text in it and
    nothing else. While the training is running the page loads itself again.

    Returns:
        Where the page is.

    Raises:
        StoreError: The disk is full, or the folder cannot be written.
    """
    run = read_run(run_dir)
    path = run_dir / PAGE
    write_atomically(path, _template().render(_context(run)).encode("utf-8", "replace"))
    return path


@functools.cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - not needed to look at grids

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(PAGE)


def _context(run: Run) -> dict[str, Any]:
    done, total = run.last.get("kimg", 0.0), run.kimg_of(run.total_steps)
    return {
        "release": run.text("release") or visible(run.folder.resolve().name),
        "network": run.setting("network"),
        "state": run.state,
        "why": run.text("why"),
        "refresh": REFRESH_S if run.state == "running" else 0,
        "as_of": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "troubles": run.troubles,
        "done": f"{done:,.1f}",
        "total": f"{total:,.1f}" if total else "",
        "percent": min(100, math.floor(100 * done / total)) if total else None,
        "figures": _figures(run),
        "summary": _summary(run),
        "grids": _grids(run),
        "film": _film(run, "fixed", _newest(run, "fixed")[1], "The same noise, tick by tick"),
        "walk": _film(run, "interpolation", "interpolation.png", "A walk through the noise, from face to face"),
        "losses": _shot(run, "losses.png", "Both losses over the images shown", _own),
        "curves": _shot(run, "metrics.png", "The measures over the images shown, a small chart each", _own),
        "attributes": [_attribute(row) for row in run.attributes],
        "metrics": _metrics(run),
        "recipe": [(visible(str(name)), run.setting(name)) for name in run.config],
        "manifest": run.text("manifest_sha256"),
        "generator": (run.folder / "generator.safetensors").exists(),
    }


def _figures(run: Run) -> list[tuple[str, str, str]]:
    """Give what one looks for first: its name, its value, and what to say beneath it."""
    figures = []
    if best := run.best:
        floor = f"floor {brief(best['rf_fid_floor'])}" if "rf_fid_floor" in best else "lower is better"
        figures.append(("best RF-FID", brief(best["rf_fid"]), f"{floor}, at {brief(best['kimg'])} kimg"))
    if "img_per_s" in run.last:
        figures.append(("speed", f"{brief(run.last['img_per_s'])} img/s", run.text("device")))
    if "seconds" in run.last:
        figures.append(("trained for", span(run.last["seconds"]), f"{run.last['step']:,.0f} steps"))
    left = _seconds_left(run)
    if left is not None:
        figures.append(("still to go", span(left), "at this speed"))
    return figures


def _seconds_left(run: Run) -> float | None:
    speed, total = run.last.get("img_per_s"), run.kimg_of(run.total_steps)
    if run.state != "running" or not speed or speed < 0 or not total:
        return None
    return max(0.0, total - run.last["kimg"]) * 1000 / speed


def _summary(run: Run) -> list[tuple[str, str]]:
    side = run.setting("size")
    best = as_number(run.facts.get("best"))
    kimg = run.kimg_of(best)
    memory = run.last.get("memory_mb")
    found = {
        "network": run.setting("network"),
        "loss": run.setting("loss"),
        "penalty": run.setting("penalty"),
        "condition": run.setting("condition"),
        "size": f"{side} × {side} px" if side else "",
        "faces": run.text("images"),
        "images a step": run.text("batch"),
        "weights": run.text("weights"),
        "device": ", ".join(filter(None, (run.text("device"), run.text("precision")))),
        "memory": f"{memory:,.0f} MB" if memory else "",
        "PyTorch": run.text("torch"),
        "best checkpoint": "" if best is None else f"step {best:,.0f}" + (f", {brief(kimg)} kimg" if kimg else ""),
    }
    return [(name, value) for name, value in found.items() if value]


def _grids(run: Run) -> list[tuple[str, str, Shot]]:
    """Give the newest grid of each kind beside the real faces: a title, a sentence, the picture."""
    reals = _shot(run, "reals.png", "Real faces of the release", _whole)
    random, *others = [(title, says, _sample(run, kind, title)) for kind, title, says in _KINDS]
    found = [random, ("Real faces", "Of the release: what it should look like.", reals), *others]
    return [(title, says, shot) for title, says, shot in found if shot]


def _newest(run: Run, kind: str) -> tuple[int, str]:
    """Give the step of the newest grid of a kind, and its place in the folder; where there is none, no file's."""
    step, path = max(samples(run.folder, kind), default=(0, run.folder / "samples" / "none"))
    return step, f"samples/{path.name}"


def _sample(run: Run, kind: str, title: str) -> Shot | None:
    step, name = _newest(run, kind)
    return _shot(run, name, f"{title}: faces after step {step:,}", _whole, step)


def _whole(width: int) -> int:
    return min(_TIMES, max(1, _WIDE // max(1, width)))


def _own(_width: int) -> int:
    return 1


def _shot(run: Run, name: str, alt: str, times: Callable[[int], int], step: int | None = None) -> Shot | None:
    """Measure a picture by its head; None where it is missing or none."""
    try:
        with Image.open(run.folder / name) as image:
            width, height = image.size
    except (OSError, ValueError, SyntaxError):
        return None
    marked = int(run.last.get("step", 0)) if step is None else step
    larger = times(width)
    return Shot(src=f"{name}?{marked}", width=width * larger, height=height * larger, alt=alt)


def _film(run: Run, stem: str, still: str, alt: str) -> Shot | None:
    """Give a film as MP4 over GIF over a still picture, by what there is."""
    names = [f"{stem}.gif"] + ([still] if still.startswith(stem) else [])
    shot = next(filter(None, (_shot(run, name, alt, _whole) for name in names)), None)
    stilled = _shot(run, still, alt, _whole)
    mp4 = run.folder / f"{stem}.mp4"
    step = int(run.last.get("step", 0))
    if shot is None and stilled and mp4.exists():
        shot = stilled
    if shot is None:
        return None
    return Shot(
        src=shot.src,
        width=shot.width,
        height=shot.height,
        alt=alt,
        film=f"{mp4.name}?{step}" if mp4.exists() else "",
        still=stilled.src if stilled else "",
    )


def _attribute(row: Mapping[str, str]) -> dict[str, Any]:
    """Make a row of attributes.csv ready to show: percentages, and where the interval lies in a bar of 100."""
    precision, low, high = (as_number(row.get(name)) for name in ("precision", "low", "high"))
    within = precision is not None and low is not None and high is not None and 0 <= low <= precision <= high <= 1
    return {
        "name": visible(row.get("attribute") or "–"),
        "asked": _count(row.get("asked")),
        "right": _count(row.get("right")),
        "precision": percent(precision),
        "interval": f"{percent(low)} – {percent(high)}" if low is not None and high is not None else "–",
        "bar": (100 * (low or 0), 100 * (precision or 0), 100 * (high or 0)) if within else None,
        "judge": percent(as_number(row.get("judge_accuracy"))),
        "held_out": visible(row.get("held_out") or "–"),
    }


def _metrics(run: Run) -> dict[str, Any]:
    """Make the newest ticks ready to show, newest first; the best one is among them even where it is older."""
    names = [name for name in METRICS if any(name in row for row in run.metrics)]
    names += sorted({name for row in run.metrics for name in row if name.startswith(_ACCURACY)})
    newest = list(run.metrics[-SHOWN:])
    best = run.best
    if best is not None and best not in newest:
        newest.insert(0, best)
    heads = [(_called(name), METRICS[name][1] if name in METRICS else "↑") for name in names]
    rows = [
        {
            "kimg": brief(row["kimg"]),
            "step": f"{row['step']:,.0f}",
            "best": row is best,
            "cells": [brief(row.get(name)) for name in names],
        }
        for row in reversed(newest)
    ]
    return {"heads": heads, "rows": rows, "all": len(run.metrics)} if names else {}


def _called(name: str) -> str:
    return METRICS[name][0] if name in METRICS else visible(name.removeprefix(_ACCURACY))


def brief(number: float | None) -> str:
    """Write a number in as few digits as tell it apart: 12,345, 123, 1.23, 0.0123; "–" for None."""
    if number is None:
        return "–"
    if number == 0 or abs(number) >= 1e9:
        return f"{number:.3g}"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:#.3g}".rstrip(".")


def percent(share: float | None) -> str:
    """Write a share of 1 in whole hundredths; "–" for None."""
    return "–" if share is None else f"{100 * share:.0f} %"


def _count(text: str | None) -> str:
    number = as_number(text)
    return "–" if number is None else f"{number:,.0f}"


def span(seconds: float) -> str:
    """Write a time as a person says it: 42 s, 12 min, 3 h 05 min, 2 d 4 h."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 2 * 3600:
        return f"{whole // 60} min"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


# --- the curves


def draw_metrics(path: Path, rows: Sequence[Row]) -> None:
    """Draw the measures over the images shown, a small chart each, as a PNG; where nothing was measured, nothing.

    Args:
        path: Of the PNG.
        rows: Of metrics.csv, in order; what a row lacks is left out of its curve.

    Raises:
        StoreError: The disk is full, or the folder cannot be written.
    """
    charts = [(title, lines) for title, names in _charts(rows) if (lines := _lines(rows, names))]
    if not charts:
        return
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second to load, and not needed to look at grids

    columns = min(3, len(charts))
    high = math.ceil(len(charts) / columns)
    figure = Figure(figsize=(3.4 * columns, 2.5 * high), layout="constrained")
    for place, (title, lines) in enumerate(charts, 1):
        _draw(figure.add_subplot(high, columns, place), title, lines)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120, metadata={"Software": None})
    write_atomically(path, data.getvalue())


def _charts(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    accuracies = sorted({name for row in rows for name in row if name.startswith(_ACCURACY)})
    return [
        ("RF-FID ↓", ["rf_fid", "rf_fid_floor"]),
        ("RF-KID ↓", ["rf_kid"]),
        ("SWD ↓", ["swd", "swd_floor"]),
        ("precision and recall ↑", ["precision", "recall"]),
        ("near copies ↓", ["near_copies"]),
        ("FID ↓", ["fid"]),
        ("attributes read back ↑", [*accuracies, "accuracy"] if len(accuracies) > len(_COLOURS) else accuracies),
    ]


Line = tuple[str, list[float], list[float]]  # name, kimg, values


def _lines(rows: Sequence[Row], names: Sequence[str]) -> list[Line]:
    found = []
    for name in names:
        points = [(row["kimg"], row[name]) for row in rows if math.isfinite(row.get(name, math.nan))]
        if points:
            found.append((name, [x for x, _ in points], [y for _, y in points]))
    return found


def _draw(axes: Any, title: str, lines: Sequence[Line]) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    colours = iter(_COLOURS)
    crowd = len(lines) > len(_COLOURS)  # of labels: nobody tells them apart by colours; the table has each
    for name, kimg, values in lines:
        floor, one_of_many = name.endswith("_floor"), crowd and name.startswith(_ACCURACY)
        axes.plot(
            kimg,
            values,
            color="#626a73" if floor else "#c3c8ce" if one_of_many else next(colours),
            linestyle="--" if floor else "-",
            linewidth=1 if floor or one_of_many else 1.6,
            marker="o" if len(kimg) == 1 else "",
            label="_each" if one_of_many else _called(name).replace("$", r"\$"),  # "_" keeps it out of the legend
        )
    values = [value for _, _, many in lines for value in many]
    if lines[0][0] in _DISTANCES and min(values) > 0 and max(values) > _LOG * min(values):
        axes.set_yscale("log")
        axes.tick_params(which="minor", labelleft=False)
    if len(lines) > 1 and len(axes.get_legend_handles_labels()[1]):
        axes.legend(fontsize=7, frameon=False)
    axes.set_xlabel("kimg", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
