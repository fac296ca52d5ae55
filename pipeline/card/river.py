"""Draws the way of all items through the stages: a river that narrows, with a branch for each reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.card.text import in_html

WIDE = 400  # units of the drawing; one is a pixel on a phone
_LEFT, _MOST = 6, 108  # where the river lies, and its greatest width
_BRANCH = 134  # where the branches end and all names begin: what stands beside the river fits, however narrow it is
_HEAD = 26  # above the branches of a stage, for its name
_LEAST = 1.5  # so that one of a million is seen
_LINE = 19  # height of a name
_GAP = 8  # between two stages
# What a stage counts; of a stage that is not here, items.
_UNITS = {
    **dict.fromkeys(("list", "select", "scrape"), "posts"),
    **dict.fromkeys(("dedup-images", "detect"), "images"),
    **dict.fromkeys(("crop", "dedup", "filter", "review", "balance", "export"), "faces"),
}


def draw(stages: Sequence[Mapping[str, Any]]) -> str:
    """Draw the counts of a report as an SVG element; widths are in proportion, all by one measure."""
    scale = _MOST / max(1, *(int(stage["seen"]) for stage in stages))
    top = 0.0
    bank: list[str] = []
    branches: list[str] = []
    names: list[str] = []
    for stage in stages:
        seen, kept = (_wide(int(stage[word]), scale) for word in ("seen", "kept"))
        drops = [(reason, int(count)) for reason, count in stage["dropped"].items() if count]
        heights = [max(_LINE, _wide(count, scale)) for _, count in drops]
        branches += _branches(drops, heights, kept, seen, top, scale)
        names.append(_name(stage, top))
        high = _HEAD + sum(heights)
        if not bank:
            bank.append(f"M{_LEFT} 0H{_LEFT + seen:.1f}")
        # From the last stage's bank slanting to this one's: what it sees may be more, or made of what the last kept.
        bank.append(f"L{_LEFT + seen:.1f} {top:.1f}H{_LEFT + kept:.1f}V{top + high:.1f}")
        top += high + _GAP
    river = f'<path class="kept" d="{"".join(bank)}v{_GAP}H{_LEFT}Z"/>'
    return (
        f'<svg class="river" viewBox="0 0 {WIDE} {top:.0f}" role="img" '
        f'aria-label="What each stage kept and dropped">{river}{"".join(branches)}{"".join(names)}</svg>'
    )


def _branches(
    drops: Sequence[tuple[str, int]],
    heights: Sequence[float],
    kept: float,
    seen: float,
    top: float,
    scale: float,
) -> Iterator[str]:
    """Lead what is dropped aside, the outermost part to the uppermost name; so no branch crosses another."""
    right = _LEFT + seen
    at = top + _HEAD
    room = max(0.0, seen - kept)
    total = sum(count for _, count in drops)
    for (reason, count), height in zip(drops, heights, strict=True):
        width = room * count / total if total else 0.0
        thick = max(_LEAST, _wide(count, scale))
        upper = at + (height - thick) / 2
        left = right - max(width, 0.5)
        yield (
            f'<path class="drop" d="M{right:.1f} {top:.1f}C{right:.1f} {upper:.1f} {right:.1f} {upper:.1f} {_BRANCH} '
            f"{upper:.1f}V{upper + thick:.1f}C{left:.1f} {upper + thick:.1f} {left:.1f} {upper + thick:.1f} "
            f'{left:.1f} {top:.1f}Z"/>'
        )
        yield (
            f'<text class="reason" x="{_BRANCH + 6}" y="{at + height / 2 + 5:.1f}">{in_html(reason)} '
            f'<tspan class="count">{count:,}</tspan></text>'
        )
        right, at = left, at + height


def _name(stage: Mapping[str, Any], top: float) -> str:
    name = str(stage["stage"])
    unit = _UNITS.get(name, "items")
    return (
        f'<text class="stage" x="{_BRANCH + 6}" y="{top + 18:.1f}">{in_html(name)} '
        f'<tspan class="count">{int(stage["seen"]):,} {unit}</tspan></text>'
    )


def _wide(count: int, scale: float) -> float:
    return max(_LEAST, count * scale) if count else 0.0
