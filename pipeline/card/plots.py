"""Hides how charts are drawn: matplotlib gives an SVG whose colours and letters are those of the page around it."""

from __future__ import annotations

import io
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.card.facts import Facts, gini
from pipeline.card.text import columns_of, counted, in_html, narrow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE = 4.3  # inches of 72 points: a point is a pixel on a phone
LETTERS = 11  # points
_MARKS = sorted(step * 2**power for power in range(4, 13) for step in (1, 1.5))  # pixels
MOST_BARS = 16
LONGEST_NAME = 22  # columns
MOST_MONTHS = 36  # more are drawn by year
# Stand for what the page calls so: matplotlib knows no variables of a style sheet.
INK, MUTED, LINE = "#010101", "#020202", "#030303"
SERIES = tuple(f"#0404{index:02x}" for index in range(6))
_VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", **{colour: f"s{at}" for at, colour in enumerate(SERIES)}}
_SETTINGS: Any = {
    "svg.fonttype": "none",  # letters stay letters, in the page's own font
    "svg.hashsalt": "kaoset",  # parts of the drawing are named alike each time
    "font.size": LETTERS,
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "text.color": MUTED,
    "text.parse_math": False,
}
# How the names of labels.HAIR and labels.EYES look.
PAINTS = {
    "blonde": "#e8c95a",
    "brown": "#8a5a36",
    "black": "#3a3a40",
    "blue": "#4a78d0",
    "pink": "#ef8fb5",
    "purple": "#8f5fc0",
    "green": "#57a65c",
    "red": "#c83c3c",
    "silver": "#b9c0cc",
    "white": "#eeeeee",
    "orange": "#ea8a3a",
    "aqua": "#58c4c4",
    "grey": "#8c8c8c",
    "yellow": "#e2c32f",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A picture with a heading, and what it says in a sentence; both are plain text, the picture is SVG."""

    title: str
    says: str
    svg: str
    legend: Sequence[tuple[str, str]] = ()  # what a colour means, as a text and a variable of the style sheet


def charts(facts: Facts) -> list[Chart]:
    """Draw what there is to draw; of what nobody knows, such as dates, there is no chart."""
    import matplotlib as mpl  # noqa: PLC0415 - a second to load, and only a release needs it

    drawers = (_over_time, _sides, _scores, _families, _hair, _eyes, _characters)
    with mpl.rc_context():
        mpl.rcdefaults()  # nothing of this machine's settings
        mpl.rcParams.update(_SETTINGS)
        return [chart for chart in (draw(facts) for draw in drawers) if chart]


def _over_time(facts: Facts) -> Chart | None:
    dated = Counter({key: count for key, count in facts.months.items() if key[1]})
    if not dated:
        return None
    undated = facts.faces - dated.total()
    steps, by = _steps(sorted({month for _, month in dated}))
    place = {step: index for index, step in enumerate(steps)}
    ranked = [name for name, _ in _most(_sum((source, count) for (source, _), count in dated.items()))]
    shown, others = ranked[: len(SERIES) - 1], frozenset(ranked[len(SERIES) - 1 :])
    heights = {name: np.zeros(len(steps), np.int64) for name in (*shown, *(["others"] if others else []))}
    for (source, month), count in dated.items():
        heights["others" if source in others else source][place[month[: len(steps[0])]]] += count
    figure, axes = _axes(2.1, bottom=0.14)
    floor = np.zeros(len(steps), np.int64)
    for index, height in enumerate(heights.values()):
        axes.bar(range(len(steps)), height, 0.92, bottom=floor, color=SERIES[index])
        floor += height
    marks = sorted({round(at) for at in np.linspace(0, len(steps) - 1, min(5, len(steps)))})
    axes.set_xticks(marks, [steps[mark] for mark in marks])
    says = f"Faces by the {by} in which their picture was {facts.dated}"
    return Chart(
        title="Sources over time",
        says=f"{says}; {counted(undated, 'face')} without a date." if undated else f"{says}.",
        svg=_svg(figure),
        legend=_legend(list(heights)),
    )


def _sides(facts: Facts) -> Chart:
    sides = np.asarray(facts.sides)
    figure, axes = _axes(2.3)
    low, high = max(1, int(sides.min())), int(sides.max()) + 1
    edges = np.geomspace(low, max(high, low * 2), 31).tolist()
    axes.hist(sides, edges, color=SERIES[0], rwidth=0.94)
    axes.set_xscale("log")
    marks = [mark for mark in _MARKS if edges[0] <= mark <= edges[-1]]
    axes.set_xticks(marks, [f"{mark:.0f}" for mark in marks])
    axes.minorticks_off()
    axes.set_xlabel("side of the face in its image, pixels")
    middle = int(np.median(sides))
    says = f"Half of the faces are at least {middle} pixels wide; the smallest {int(sides.min())}."
    return Chart(title="Size of the faces", says=says, svg=_svg(figure))


def _scores(facts: Facts) -> Chart:
    scores, agreed = np.asarray(facts.scores), np.asarray(facts.agreed, bool)
    figure, axes = _axes(2.1)
    both = [scores[agreed], scores[~agreed]]
    lowest = float(np.floor(scores.min() * 10 - 1e-6).clip(0, 9)) / 10
    axes.hist(both, np.linspace(lowest, 1, 41).tolist(), stacked=True, color=SERIES[:2], rwidth=0.94)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_xlim(lowest, 1)
    ticks = [10**power for power in range(7) if 10**power <= max(1, len(scores))]
    axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("probability that it is a face")
    low = int((scores < 0.95).sum())
    says = f"{low:,} of {len(scores):,} accepted faces have less than 95 %. Each step up is ten times the one below."
    seen = [agreed.any(), not agreed.all()]
    legend = [
        one for one, is_there in zip(_legend(["seen by several detectors", "by one"]), seen, strict=True) if is_there
    ]
    return Chart(title="How sure they are faces", says=says, svg=_svg(figure), legend=legend)


def _hair(facts: Facts) -> Chart | None:
    return _colours("Colour of hair", facts.hair)


def _eyes(facts: Facts) -> Chart | None:
    return _colours("Colour of eyes", facts.eyes)


def _colours(title: str, counts: Counter[str]) -> Chart | None:
    known = _most(Counter({name: count for name, count in counts.items() if name}))
    if not known:
        return None
    unknown = counts.total() - sum(count for _, count in known)
    says = "As measured on the crops" + (f"; of {counted(unknown, 'crop')} it cannot be told." if unknown else ".")
    return _bars(title, says, known, [PAINTS.get(name, SERIES[0]) for name, _ in known])


def _characters(facts: Facts) -> Chart | None:
    if not facts.characters:
        return None
    ranked = _most(facts.characters)
    counts = [count for _, count in ranked]
    tenth = max(1, len(counts) // 10)
    share = sum(counts[:tenth]) / sum(counts)
    says = (
        f"{counted(len(counts), 'character')}: the most frequent {tenth:,} have {share:.0%} of the names, half have "
        f"at most {counts[len(counts) // 2]:,} (Gini {gini(counts):.2f}). "
        "An uneven set teaches a network its favourites: see [balance] in the recipe."
    )
    if len(ranked) > MOST_BARS:
        says = f"The {MOST_BARS} most frequent of {says}"
    return _bars("Characters", says, ranked[:MOST_BARS], [SERIES[0]] * MOST_BARS)


def _families(facts: Facts) -> Chart:
    sizes = Counter(facts.families.values())
    steps = [(one, one, counted(one, "face")) for one in range(1, 6)]
    steps += [(6, 10, "6–10 faces"), (11, 50, "11–50 faces"), (51, sys.maxsize, "more")]
    counts = [(name, sum(count for size, count in sizes.items() if low <= size <= high)) for low, high, name in steps]
    while counts[-1][1] == 0:
        counts.pop()
    near = sum(int(stage["dropped"].get("duplicate", 0)) for stage in facts.stages)
    says = (
        f"{counted(len(facts.families), 'family').replace('familys', 'families')} of faces of one picture and its "
        f"near-copies, by how many are here. {_left_out(near)} left out. A family stands in one split."
    )
    return _bars("Families", says, counts, [SERIES[2]] * len(counts))


def _left_out(near: int) -> str:
    return "1 near-copy was" if near == 1 else f"{near:,} near-copies were"


def _bars(title: str, says: str, counts: Sequence[tuple[str, int]], colours: Sequence[str]) -> Chart:
    """Draw a bar for each name, the first at the top, with its count behind it."""
    high = 0.3 + 0.24 * len(counts)
    names = [narrow(name, LONGEST_NAME) for name, _ in counts]
    left = (0.62 * LETTERS * max(map(columns_of, names)) + 12) / (72 * WIDE)
    figure, axes = _axes(high, left=left, right=0.88, bottom=0.1 / high, top=1 - 0.1 / high)
    places = range(len(counts))
    numbers = [count for _, count in counts]
    axes.barh(places, numbers, 0.74, color=colours[: len(counts)], edgecolor=LINE, linewidth=0.6)
    axes.set_yticks(places, [_token(index) for index in places])
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.margins(y=0.02)
    axes.spines["bottom"].set_visible(False)
    for index, number in enumerate(numbers):
        axes.annotate(f"{number:,}", (number, index), (4, 0), textcoords="offset points", va="center", color=MUTED)
    return Chart(title=title, says=says, svg=_svg(figure, names))


def _legend(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, _VARIABLES[SERIES[index]]) for index, name in enumerate(names)]


def _axes(
    high: float, *, left: float = 0.13, right: float = 0.96, bottom: float = 0.24, top: float = 0.95
) -> tuple[Figure, Axes]:
    """Lay out a chart by fixed shares of its sides: what is written in it must not move it."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(WIDE, high))
    axes = figure.add_axes((left, bottom, right - left, top - bottom))
    axes.patch.set_alpha(0)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(LINE)
    axes.tick_params(length=0, colors=MUTED, labelsize=LETTERS)
    axes.xaxis.label.set_color(MUTED)
    axes.xaxis.label.set_fontsize(LETTERS)
    return figure, axes


def _svg(figure: Figure, names: Sequence[str] = ()) -> str:
    """Give a chart as an element of a page; *names* go where their tokens stand, and matplotlib never reads them."""
    data = io.BytesIO()
    figure.savefig(data, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = data.getvalue().decode()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[a-z]+[A-Za-z.\d]*_\d+"', "", svg)  # the same in each chart, and a page has them all
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    for index, name in enumerate(names):
        svg = svg.replace(f">{_token(index)}<", f">{in_html(name)}<")
    return svg


def _token(index: int) -> str:
    return f"KAO-{index:03d}-SET"


def _steps(months: Sequence[str]) -> tuple[list[str], str]:
    """Give all months from the first to the last, or all years where those are too many."""
    first, last = (int(month[:4]) * 12 + int(month[5:7]) - 1 for month in (months[0], months[-1]))
    if last - first < MOST_MONTHS:
        return [f"{month // 12:04d}-{month % 12 + 1:02d}" for month in range(first, last + 1)], "month"
    return [f"{year:04d}" for year in range(first // 12, last // 12 + 1)], "year"


def _most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Sort by count, and what is equal by name."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _sum(pairs: Any) -> Counter[str]:
    total: Counter[str] = Counter()
    for name, count in pairs:
        total[name] += count
    return total
