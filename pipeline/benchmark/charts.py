"""Hides how a comparison is drawn: curves and bars on a page, and pictures with the boxes that are right and wrong."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont

from pipeline.benchmark import MAX_PIXELS, Count, Judged, average_precision, calibration_error, reliability
from pipeline.pixels import Pixels, decode, encode_png
from pipeline.records import Box
from pipeline.store import Store

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CASES = 12  # pictures: half of them easy
_COLUMNS = 4
_CELL = 360  # pixels: side of a picture in the table of cases
_HEAD = 22  # pixels: of the line above it
_FOUND, _MISSED, _WRONG = (20, 150, 60), (20, 70, 220), (225, 30, 40)
_DASH = {"found": (1, 0), "missed": (12, 8), "wrong": (3, 5)}  # pixels: on, off


def draw_report(ways: Sequence[Judged]) -> bytes:
    """Draw precision over recall, reliability, and recall by group and by size, as a PNG."""
    from matplotlib.figure import Figure  # noqa: PLC0415 -- a second to load

    figure = Figure(figsize=(15, 11), layout="constrained")
    curves, bins, sizes, groups = figure.subplot_mosaic("ABC;DDD", height_ratios=(1, 1.25)).values()
    for number, way in enumerate(ways):
        colour, points = f"C{number}", way.curve()
        name = f"{way.name} (AP {average_precision(points):.2f})"
        curves.plot([point.recall for point in points], [point.precision for point in points], color=colour, label=name)
        answer = way.count()
        curves.plot([answer.recall or 0], [answer.precision or 0], "o", color=colour)
        calibrated = reliability(way.hits)
        error_ = calibration_error(calibrated)
        label = f"{way.name} (ECE {'–' if error_ is None else f'{error_:.2f}'})"
        bins.plot(
            [one.score for one in calibrated],
            [one.right.value or 0 for one in calibrated],
            "o-",
            color=colour,
            label=label,
        )
    bins.plot([0, 1], [0, 1], color="0.6", linestyle="--")
    curves.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02), title="Dots: what each answers")
    bins.set(xlabel="score", ylabel="share that is right", xlim=(0, 1.02), ylim=(0, 1.02), title="Reliability")
    for axes in (curves, bins):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="lower left" if axes is curves else "lower right")
    _bars(sizes, ways, [way.by_size() for way in ways], "Recall by size of the face")
    _bars(
        groups,
        ways,
        [way.by_group() for way in ways],
        "Recall by group; × is wrong boxes a picture, 1 or more at the top",
    )
    _wrong(groups, ways)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=100, metadata={"Software": None})
    return data.getvalue()


def _bars(axes: Axes, ways: Sequence[Judged], counted: Sequence[dict[str, Count]], title: str) -> None:
    names = list(counted[0])
    wide = 0.8 / len(ways)
    for number, counts in enumerate(counted):
        places = [index + (number - (len(ways) - 1) / 2) * wide for index in range(len(names))]
        axes.bar(places, [counts[name].recall or 0 for name in names], wide, color=f"C{number}")
    labels = [f"{name.replace('_', ' ')}\n{counted[0][name].faces}" for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=35, fontsize=8)
    axes.set(ylim=(0, 1.02), title=title)
    axes.grid(alpha=0.3, axis="y")


def _wrong(axes: Axes, ways: Sequence[Judged]) -> None:
    wide = 0.8 / len(ways)
    for number, way in enumerate(ways):
        for index, (group, count) in enumerate(way.by_group().items()):
            pictures = sum(picture.group == group for picture in way.pictures)
            place = index + (number - (len(ways) - 1) / 2) * wide
            if count.wrong:
                axes.plot([place], [min(1.0, count.wrong / pictures)], "x", color="black", markersize=5)


def draw_cases(way: Judged, store: Store) -> bytes:
    """Draw the pictures that *way* does best and worst, at most one of each group, with their boxes, as a PNG.

    A face that is found has an unbroken line, one that is missed a dashed one, and a box that is wrong a dotted one.
    """
    chosen = _chosen(way)
    rows = max(1, math.ceil(len(chosen) / _COLUMNS))
    sheet = Pictures.new("RGB", (_COLUMNS * _CELL, rows * (_CELL + _HEAD)), (255, 255, 255))
    font = ImageFont.load_default(14)
    for place, index in enumerate(chosen):
        x, y = place % _COLUMNS * _CELL, place // _COLUMNS * (_CELL + _HEAD)
        picture, (found, missed, wrong) = way.pictures[index], _boxes(way, index)
        shown = _with_boxes(decode(store.get(picture.image.sha256), max_pixels=MAX_PIXELS), found, missed, wrong)
        sheet.paste(shown, (x + (_CELL - shown.width) // 2, y + _HEAD + (_CELL - shown.height) // 2))
        title = f"{picture.group or picture.name}: {len(found)} found, {len(missed)} missed, {len(wrong)} wrong"
        ImageDraw.Draw(sheet).text((x + 6, y + 4), title[:52], fill=(0, 0, 0), font=font)
    return encode_png(np.asarray(sheet))


def _boxes(way: Judged, index: int) -> tuple[list[Box], list[Box], list[Box]]:
    hits = [hit for hit in way.hits if hit.picture == index and hit.guess.answer]
    taken = {hit.face for hit in hits}
    faces = way.pictures[index].faces
    return (
        [hit.guess.box for hit in hits if hit.face is not None],
        [face for number, face in enumerate(faces) if number not in taken],
        [hit.guess.box for hit in hits if hit.face is None],
    )


def _chosen(way: Judged) -> list[int]:
    """The pictures with the fewest mistakes a face, then those with the most."""

    def mistakes(index: int) -> tuple[float, int]:
        found, missed, wrong = _boxes(way, index)
        return (len(missed) + len(wrong)) / max(1, len(found) + len(missed)), -len(found)

    order = sorted(range(len(way.pictures)), key=lambda index: (mistakes(index), index))
    easy = list(_of_several_groups(way, order))[: _CASES // 2]
    hard = list(_of_several_groups(way, [index for index in reversed(order) if index not in easy]))[: _CASES // 2]
    return easy + hard


def _of_several_groups(way: Judged, order: Sequence[int]) -> Iterator[int]:
    shown: set[str] = set()
    for index in order:
        group = way.pictures[index].group
        if not group or group not in shown:
            shown.add(group)
            yield index


def _with_boxes(
    pixels_HWC: Pixels, found: Sequence[Box], missed: Sequence[Box], wrong: Sequence[Box]
) -> Pictures.Image:
    picture = Pictures.fromarray(pixels_HWC)
    scale = _CELL / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    picture = picture.resize(size, Pictures.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    for boxes, colour, dash in ((found, _FOUND, "found"), (missed, _MISSED, "missed"), (wrong, _WRONG, "wrong")):
        for box in boxes:
            left, top, right, bottom = (round(edge * scale) for edge in (box.left, box.top, box.right, box.bottom))
            corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
            for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
                _line(draw, start, end, colour, _DASH[dash])
    return picture


def _line(
    draw: ImageDraw.ImageDraw,
    start: tuple[int, int],
    end: tuple[int, int],
    colour: tuple[int, int, int],
    dash: tuple[int, int],
) -> None:
    length = math.dist(start, end)
    on, off = (length or 1, 0) if not dash[1] else dash
    at = 0.0
    while at < length:
        ends = [
            (round(start[0] + (end[0] - start[0]) * share), round(start[1] + (end[1] - start[1]) * share))
            for share in (at / length, min(1.0, (at + on) / length))
        ]
        draw.line(ends, fill=colour, width=3)
        at += on + off
