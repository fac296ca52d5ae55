"""Hides what the sandbox's pictures show: portraits, groups, landscapes and decoys, from a seed, with the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image as Pictures
from PIL import ImageChops, ImageDraw

from pipeline.records import Record
from pipeline.sandbox.figure import (
    BOX_SIDE,
    EYES,
    HAIR,
    Character,
    FaceTruth,
    Fringe,
    Pose,
    Style,
    draw_figures,
    face_truth,
)
from pipeline.sandbox.ink import SUPERSAMPLE, Colour, darker, lighter, mix

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth(Record):
    """All that was drawn in one picture."""

    faces: tuple[FaceTruth, ...] = ()
    tags: tuple[str, ...] = ()  # sorted, as a board would tag it


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture (mode RGB) and the truth about it."""

    picture: Pictures.Image
    truth: Truth


def _cast(*rows: tuple[str, str, str, Style, Fringe, str, str, Colour, Colour]) -> tuple[Character, ...]:
    skins: tuple[Colour, ...] = ((254, 228, 210), (255, 236, 222), (255, 230, 208), (252, 223, 202))
    return tuple(
        Character(
            name=name,
            hair=hair,
            eyes=eyes,
            style=style,
            fringe=fringe,
            wears=tuple(sorted({"hat" if word in HATS else word for word in wears.split()})),
            hat=next((word for word in wears.split() if word in HATS), "beret"),
            outfit=outfit,
            cloth=cloth,
            trim=trim,
            skin=skins[index * 7 % 11 % 4],
            ahoge=index % 3 == 0,
        )
        for index, (name, hair, eyes, style, fringe, wears, outfit, cloth, trim) in enumerate(rows)
    )


HATS = ("beret", "cap", "straw", "witch")

CAST = _cast(
    ("akane", "red", "green", Style.TWINTAILS, Fringe.SPIKY, "hair_ribbon", "sailor", (52, 66, 118), (222, 70, 78)),
    ("asagi", "aqua", "orange", Style.SHORT, Fringe.SWEPT, "", "hoodie", (246, 176, 70), (72, 84, 96)),
    ("beniko", "pink", "purple", Style.DRILLS, Fringe.ROUND, "hair_ribbon", "dress", (196, 84, 128), (120, 46, 92)),
    ("chiyo", "black", "red", Style.LONG, Fringe.STRAIGHT, "", "sailor", (46, 48, 62), (186, 40, 60)),
    ("daria", "blonde", "blue", Style.DRILLS, Fringe.PARTED, "", "dress", (86, 112, 190), (240, 206, 96)),
    ("emiri", "brown", "brown", Style.SHORT, Fringe.ROUND, "glasses", "shirt", (96, 132, 110), (170, 62, 60)),
    ("fubuki", "white", "aqua", Style.LONG, Fringe.CURTAIN, "", "turtleneck", (120, 168, 204), (236, 244, 250)),
    ("ginka", "silver", "red", Style.TWINTAILS, Fringe.STRAIGHT, "", "dress", (60, 44, 66), (206, 48, 70)),
    ("hanabi", "orange", "yellow", Style.PONYTAIL, Fringe.SPIKY, "cap", "hoodie", (214, 74, 60), (250, 232, 180)),
    ("iori", "blue", "blue", Style.SHORT, Fringe.CURTAIN, "glasses", "turtleneck", (70, 78, 110), (132, 160, 214)),
    ("juno", "purple", "yellow", Style.LONG, Fringe.SWEPT, "witch", "dress", (68, 50, 98), (236, 176, 58)),
    ("kaede", "brown", "green", Style.PONYTAIL, Fringe.PARTED, "hair_ribbon", "shirt", (204, 150, 92), (56, 120, 78)),
    ("lumi", "blonde", "purple", Style.LONG, Fringe.SPIKY, "straw", "dress", (240, 240, 250), (96, 150, 214)),
    ("midori", "green", "brown", Style.SHORT, Fringe.SPIKY, "beret", "shirt", (92, 112, 70), (214, 168, 76)),
    ("nozomi", "pink", "aqua", Style.LONG, Fringe.STRAIGHT, "hair_ribbon", "hoodie", (250, 206, 216), (232, 94, 130)),
    ("otoha", "grey", "pink", Style.TWINTAILS, Fringe.SWEPT, "glasses", "sailor", (88, 90, 108), (240, 130, 160)),
    ("piyo", "blonde", "orange", Style.SHORT, Fringe.STRAIGHT, "hair_ribbon", "hoodie", (255, 214, 92), (238, 130, 52)),
    ("rikka", "blue", "aqua", Style.TWINTAILS, Fringe.PARTED, "", "turtleneck", (44, 60, 92), (98, 196, 204)),
    ("sumire", "purple", "purple", Style.SHORT, Fringe.ROUND, "beret", "turtleneck", (150, 96, 150), (244, 220, 240)),
    ("tamaki", "black", "yellow", Style.PONYTAIL, Fringe.SWEPT, "", "hoodie", (54, 60, 58), (240, 190, 46)),
    ("umi", "aqua", "blue", Style.LONG, Fringe.ROUND, "", "sailor", (240, 246, 250), (54, 110, 190)),
    ("vesna", "green", "pink", Style.DRILLS, Fringe.SPIKY, "", "shirt", (110, 168, 96), (240, 130, 160)),
    ("wakana", "orange", "green", Style.TWINTAILS, Fringe.ROUND, "straw", "shirt", (250, 190, 120), (70, 140, 84)),
    ("xenia", "red", "blue", Style.LONG, Fringe.PARTED, "", "dress", (140, 36, 48), (244, 224, 190)),
    ("yukino", "silver", "blue", Style.PONYTAIL, Fringe.CURTAIN, "glasses", "shirt", (196, 206, 226), (62, 84, 140)),
    ("zakuro", "grey", "red", Style.SHORT, Fringe.PARTED, "cap", "hoodie", (60, 62, 72), (196, 48, 58)),
    ("mikan", "orange", "purple", Style.SHORT, Fringe.CURTAIN, "", "sailor", (232, 120, 70), (90, 70, 150)),
    ("shiro", "white", "pink", Style.DRILLS, Fringe.ROUND, "beret", "dress", (238, 220, 232), (222, 100, 142)),
    ("kuro", "black", "aqua", Style.TWINTAILS, Fringe.CURTAIN, "hair_ribbon", "dress", (40, 36, 48), (74, 190, 196)),
    ("maron", "brown", "orange", Style.LONG, Fringe.ROUND, "beret", "hoodie", (166, 98, 62), (246, 226, 196)),
)


# --- backgrounds ------------------------------------------------------------------------------------------------------

# Sky, wall and paper: two ends of a gradient, and a colour for the shapes upon it.
_PALETTES: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((168, 214, 246), (244, 250, 255), (255, 255, 255)),
    ((255, 196, 150), (255, 240, 214), (255, 148, 120)),
    ((48, 54, 104), (132, 104, 168), (250, 230, 160)),
    ((200, 236, 206), (248, 252, 232), (128, 192, 140)),
    ((255, 214, 228), (255, 246, 248), (248, 150, 180)),
    ((226, 226, 236), (250, 250, 252), (176, 184, 204)),
    ((38, 44, 62), (82, 96, 124), (120, 200, 220)),
    ((250, 226, 150), (255, 248, 220), (236, 160, 76)),
    ((150, 110, 90), (220, 190, 160), (96, 66, 58)),
    ((100, 178, 190), (214, 240, 236), (40, 120, 140)),
    ((146, 74, 96), (232, 150, 140), (250, 210, 160)),
    ((255, 255, 255), (255, 255, 255), (224, 228, 236)),
)


def _paper(rng: np.random.Generator, size: Size) -> tuple[Pictures.Image, Colour]:
    """A gradient on a canvas of the supersampled *size*, and the colour of what is drawn upon it."""
    top, bottom, accent = _PALETTES[int(rng.integers(len(_PALETTES)))]
    if rng.integers(2):
        top, bottom = bottom, top
    canvas_size = (size[0] * SUPERSAMPLE, size[1] * SUPERSAMPLE)
    ramp = Pictures.linear_gradient("L")
    turn = int(rng.integers(4))
    ramp = ramp.rotate(90 * turn) if turn else ramp
    ramp = ramp.resize(canvas_size, Pictures.Resampling.BILINEAR)
    # A lookup for each band is an exact blend in whole numbers, and fast.
    bands = [ramp.point([a + (b - a) * i // 255 for i in range(256)]) for a, b in zip(top, bottom, strict=True)]
    return Pictures.merge("RGB", bands), accent


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    draw.ellipse([round(x - radius), round(y - radius), round(x + radius), round(y + radius)], fill=colour)


def _backdrop_plain(draw: ImageDraw.ImageDraw, size: Size, accent: Colour, rng: np.random.Generator) -> None:
    """Nothing: the gradient is enough."""


def _backdrop_bubbles(draw: ImageDraw.ImageDraw, size: Size, accent: Colour, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(10, 26))):
        tint = mix(accent, (255, 255, 255), int(rng.integers(0, 60)))
        _disc(draw, _between(rng, 0, size[0]), _between(rng, 0, size[1]), _between(rng, 0.02, 0.13) * size[0], tint)


def _backdrop_stripes(draw: ImageDraw.ImageDraw, size: Size, accent: Colour, rng: np.random.Generator) -> None:
    wide = _between(rng, 0.08, 0.22) * size[0]
    slant = _between(rng, -0.8, 0.8) * size[1]
    x = -abs(slant) - wide
    while x < size[0] + abs(slant):
        corners = [(x, 0), (x + wide * 0.5, 0), (x + wide * 0.5 + slant, size[1]), (x + slant, size[1])]
        draw.polygon([(round(a), round(b)) for a, b in corners], fill=accent)
        x += wide


def _backdrop_rays(draw: ImageDraw.ImageDraw, size: Size, accent: Colour, rng: np.random.Generator) -> None:
    x, y = _between(rng, 0, size[0]), _between(rng, 0, size[1] * 0.7)
    count, reach = int(rng.integers(9, 17)), 2 * max(size)
    start = int(rng.integers(360))
    step = 360 / count
    for index in range(count):
        angle = start + index * step
        box = [round(x - reach), round(y - reach), round(x + reach), round(y + reach)]
        draw.pieslice(box, round(angle), round(angle + step / 2), fill=accent)


def _backdrop_hills(draw: ImageDraw.ImageDraw, size: Size, accent: Colour, rng: np.random.Generator) -> None:
    _disc(
        draw,
        _between(rng, 0, size[0]),
        _between(rng, 0, 0.4) * size[1],
        _between(rng, 0.06, 0.14) * size[0],
        lighter(accent, 50),
    )
    for _ in range(int(rng.integers(2, 6))):
        x, y, r = _between(rng, 0, size[0]), _between(rng, 0.05, 0.4) * size[1], _between(rng, 0.04, 0.08) * size[0]
        for dx, dy in ((-1.2, 0.3), (-0.4, -0.2), (0.5, -0.1), (1.3, 0.35), (0, 0.3)):
            _disc(draw, x + dx * r, y + dy * r, r, (250, 252, 255))
    for layer in range(3):
        tone = darker(accent, 12 * layer)
        base = (0.5 + 0.16 * layer) * size[1]
        for _ in range(4):
            _disc(draw, _between(rng, 0, size[0]), base + size[0] * 0.45, _between(rng, 0.35, 0.5) * size[0], tone)


def _backdrop_window(draw: ImageDraw.ImageDraw, size: Size, accent: Colour, rng: np.random.Generator) -> None:
    left, top = _between(rng, -0.1, 0.5) * size[0], _between(rng, 0.02, 0.2) * size[1]
    wide, high = _between(rng, 0.45, 0.7) * size[0], _between(rng, 0.35, 0.6) * size[1]
    frame = max(4, size[0] // 50)
    draw.rectangle([round(left), round(top), round(left + wide), round(top + high)], fill=lighter(accent, 80))
    pane_wide, pane_high = (wide - 3 * frame) / 2, (high - 3 * frame) / 2
    for column in range(2):
        for row in range(2):
            x = left + frame + column * (pane_wide + frame)
            y = top + frame + row * (pane_high + frame)
            tone = mix((150, 200, 240), accent, 10 + 15 * row + 8 * column)
            draw.rectangle([round(x), round(y), round(x + pane_wide), round(y + pane_high)], fill=tone)
    draw.rectangle([0, round(size[1] * 0.86), size[0], size[1]], fill=darker(accent, 30))


def _backdrop_checks(draw: ImageDraw.ImageDraw, size: Size, accent: Colour, rng: np.random.Generator) -> None:
    cell = _between(rng, 0.08, 0.2) * size[0]
    soft = lighter(accent, int(rng.integers(10, 60)))
    for row in range(int(size[1] / cell) + 1):
        for column in range(int(size[0] / cell) + 1):
            if (row + column) % 2:
                x, y = column * cell, row * cell
                draw.rectangle([round(x), round(y), round(x + cell), round(y + cell)], fill=soft)


def _backdrop_blocks(draw: ImageDraw.ImageDraw, size: Size, accent: Colour, rng: np.random.Generator) -> None:
    """A town: houses with lit windows."""
    x = -0.05 * size[0]
    while x < size[0]:
        wide, high = _between(rng, 0.1, 0.26) * size[0], _between(rng, 0.25, 0.8) * size[1]
        wall = mix(darker(accent, 35), (120, 130, 160), int(rng.integers(0, 60)))
        draw.rectangle([round(x), round(size[1] - high), round(x + wide), size[1]], fill=wall)
        pane = wide / 7
        for row in range(int(high / (pane * 2.2))):
            for column in range(3):
                if rng.integers(3):
                    px, py = x + pane * (1 + column * 2), size[1] - high + pane * (1 + row * 2.2)
                    draw.rectangle(
                        [round(px), round(py), round(px + pane), round(py + pane * 1.2)], fill=(255, 232, 160)
                    )
        x += wide * _between(rng, 0.9, 1.15)


def _backdrop_stars(draw: ImageDraw.ImageDraw, size: Size, accent: Colour, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(14, 34))):
        x, y, r = _between(rng, 0, size[0]), _between(rng, 0, size[1]), _between(rng, 0.015, 0.07) * size[0]
        corners = [(x, y - r), (x + r * 0.25, y - r * 0.25), (x + r, y), (x + r * 0.25, y + r * 0.25)]
        corners += [(2 * x - a, 2 * y - b) for a, b in corners]
        draw.polygon([(round(a), round(b)) for a, b in corners], fill=lighter(accent, int(rng.integers(0, 50))))


def _backdrop_split(draw: ImageDraw.ImageDraw, size: Size, accent: Colour, rng: np.random.Generator) -> None:
    """Two or three large fields of colour, as on a poster."""
    for _ in range(int(rng.integers(1, 4))):
        a, b = _between(rng, -0.2, 1.2) * size[0], _between(rng, -0.2, 1.2) * size[0]
        edge = -size[0] if rng.integers(2) else 2 * size[0]
        tone = mix(accent, (40, 36, 60), int(rng.integers(0, 55)))
        draw.polygon([(round(a), 0), (round(b), size[1]), (edge, size[1]), (edge, 0)], fill=tone)


_Backdrop = Callable[[ImageDraw.ImageDraw, Size, Colour, np.random.Generator], None]
_BACKDROPS: tuple[_Backdrop, ...] = (
    _backdrop_plain,
    _backdrop_bubbles,
    _backdrop_stripes,
    _backdrop_rays,
    _backdrop_hills,
    _backdrop_window,
    _backdrop_checks,
    _backdrop_blocks,
    _backdrop_stars,
    _backdrop_split,
)


def scene(rng: np.random.Generator, size: Size) -> Pictures.Image:
    """Draw a background on a canvas of the supersampled *size*."""
    canvas, accent = _paper(rng, size)
    draw = ImageDraw.Draw(canvas)
    _BACKDROPS[int(rng.integers(len(_BACKDROPS)))](draw, canvas.size, accent, rng)
    return canvas


def _lit(picture: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    """Lay a soft light from one side over the finished picture, or none."""
    turn = int(rng.integers(7))
    if turn > 3:
        return picture
    depth = int(rng.integers(30, 110))
    ramp = Pictures.linear_gradient("L").point([255 - depth * i // 255 for i in range(256)]).rotate(90 * turn)
    ramp = ramp.resize(picture.size, Pictures.Resampling.BILINEAR)
    return ImageChops.multiply(
        picture, Pictures.merge("RGB", [ramp, ramp, ramp.point([min(255, i + 12) for i in range(256)])])
    )


# --- people -----------------------------------------------------------------------------------------------------------


def pose_at(rng: np.random.Generator, x: float, y: float, side: float, *, tilt: float = 25.0) -> Pose:
    """A pose by chance.

    Args:
        rng: Every choice is taken from it.
        x: Of the middle of the head, in pixels.
        y: Of the middle of the head, in pixels.
        side: Of the box of the face, in pixels.
        tilt: The head leans by no more than this, in degrees, to either side.
    """
    lean = float(np.clip(rng.normal(0, tilt * 0.4), -tilt, tilt))
    mouth = ("smile", "smile", "smile", "open", "open", "line", "cat")[int(rng.integers(7))]
    lids = int(rng.integers(100))
    return Pose(
        x=x,
        y=y,
        scale=side / BOX_SIDE,
        tilt=round(lean, 2),
        yaw=_between(rng, -0.65, 0.65),
        pitch=_between(rng, -1, 1),
        eyelids="closed" if lids < 2 else "wink" if lids < 5 else "open",
        mouth=mouth,
        blush=bool(rng.integers(5) < 2),
        light=1 if rng.integers(2) else -1,
        line=_between(rng, 0.7, 1.5),
        ink=((62, 40, 52), (44, 40, 64), (84, 48, 40), (34, 30, 36))[int(rng.integers(4))],
        shade=int(rng.integers(12, 40)),
        sway=_between(rng, -1, 1),
        raised=_between(rng, -1, 1),
    )


# Lent at times, so that the same character does not always wear the same.
_WARDROBE: tuple[tuple[Colour, Colour], ...] = (
    ((250, 250, 252), (60, 90, 160)),
    ((40, 40, 52), (220, 60, 80)),
    ((210, 60, 70), (252, 240, 220)),
    ((250, 210, 90), (90, 70, 60)),
    ((110, 160, 120), (250, 250, 240)),
    ((70, 100, 170), (250, 220, 120)),
    ((180, 150, 210), (80, 60, 120)),
    ((245, 170, 180), (150, 60, 80)),
)
_OUTFITS = ("sailor", "hoodie", "shirt", "turtleneck", "dress")


def dressed(who: Character, rng: np.random.Generator) -> Character:
    """The same character, in other clothes two times out of three; hair, eyes and what is worn on the head stay."""
    choice, outfit = int(rng.integers(len(_WARDROBE) * 3 // 2)), _OUTFITS[int(rng.integers(len(_OUTFITS)))]
    if choice >= len(_WARDROBE):
        return who
    cloth, trim = _WARDROBE[choice]
    return replace(who, outfit=outfit, cloth=cloth, trim=trim)


def _float_around(canvas: Pictures.Image, pose: Pose, rng: np.random.Generator) -> None:
    """Balloons, petals and stars around a face and never upon it."""
    draw = ImageDraw.Draw(canvas)
    side = pose.scale * BOX_SIDE * SUPERSAMPLE
    x, y = pose.x * SUPERSAMPLE, (pose.y + 0.4 * pose.scale) * SUPERSAMPLE
    colour = HAIR[list(HAIR)[int(rng.integers(len(HAIR)))]]
    shape = int(rng.integers(3))
    for _ in range(int(rng.integers(-2, 6))):
        radius = _between(rng, 0.1, 0.24) * side
        turn, reach = _between(rng, 0, 360), _between(rng, 0.56, 0.75) * side + radius
        dx, dy = reach * round(math.cos(math.radians(turn)), 9), reach * round(math.sin(math.radians(turn)), 9)
        tone = mix(colour, (255, 255, 255), int(rng.integers(0, 40)))
        middle = (x + dx, y + dy)
        corners = 10 if shape == 0 else 24
        outline = []
        for index in range(corners):
            angle = math.radians(turn + index * 360 / corners)
            spread = radius * (0.45 if shape == 0 and index % 2 else 1.0)
            flat = 0.5 if shape == 1 else 1.0
            across, along = spread * round(math.cos(angle), 9), spread * round(math.sin(angle), 9) * flat
            outline.append((round(middle[0] + across), round(middle[1] + along)))
        draw.polygon(outline, fill=tone)
        if shape == 2:
            _disc(draw, middle[0] - radius * 0.3, middle[1] - radius * 0.35, radius * 0.2, lighter(tone, 60))


def _tags(faces: Sequence[FaceTruth], extra: Sequence[str] = ()) -> tuple[str, ...]:
    words = {tag for face in faces for tag in face.attributes} | set(extra)
    words |= {f"{face.identity}_(sandbox)" for face in faces}
    if len(faces) == 1:
        words |= {"1girl", "solo"}
    elif faces:
        words |= {f"{len(faces)}girls" if len(faces) < 6 else "6+girls", "multiple_girls"}
    else:
        words |= {"no_humans"}
    return tuple(sorted(words))


def _finish(
    canvas: Pictures.Image, faces: Sequence[FaceTruth], rng: np.random.Generator, extra: Sequence[str] = ()
) -> Drawing:
    picture = _lit(canvas.reduce(SUPERSAMPLE), rng)
    return Drawing(picture, Truth(faces=tuple(faces), tags=_tags(faces, extra)))


def draw_portrait(
    seed: Sequence[int], *, face: tuple[int, int] = (130, 450), long_side: tuple[int, int] = (700, 1400)
) -> Drawing:
    """Draw one character of the cast.

    Args:
        seed: Whole numbers; the same ones give the same pixels.
        face: Smallest and largest side of the box of the face, in pixels.
        long_side: Of the picture, in pixels.
    """
    rng = np.random.default_rng(seed)
    who = CAST[int(rng.integers(len(CAST)))]
    long = int(rng.integers(*long_side, endpoint=True))
    short = int(long * _between(rng, 0.66, 0.95))
    size = (short, long) if rng.integers(10) < 7 else (long, short)
    largest = min(face[1], int(min(size) * 0.48))
    side = _between(rng, min(face[0], largest - 1), largest)
    # Wide hair and hats stay inside, mostly.
    x = _between(rng, side * 0.8, size[0] - side * 0.8)
    y = _between(rng, side * 0.78, max(side * 0.8, size[1] - side * 1.15))
    pose = pose_at(rng, x, y, side)
    canvas = scene(rng, size)
    draw_figures(canvas, [(dressed(who, rng), pose)], rng)
    _float_around(canvas, pose, rng)
    return _finish(canvas, [face_truth(who, pose)], rng)


def draw_group(seed: Sequence[int], *, face: tuple[int, int] = (90, 260)) -> Drawing:
    """Draw two to six characters of the cast, in one row or two; no face hides another.

    Args:
        seed: Whole numbers; the same ones give the same pixels.
        face: Smallest and largest side of the box of a face, in pixels.
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 7))
    people = [CAST[int(i)] for i in rng.choice(len(CAST), size=count, replace=False)]
    rows = [people] if count < 4 else [people[: count // 2], people[count // 2 :]]
    side = _between(rng, face[0] * 1.15, min(face[1], 560 / max(len(row) for row in rows)) * 0.95)
    step = side * _between(rng, 1.75, 2.1)
    wide = round(step * (max(len(row) for row in rows) + 0.5))
    high = round(side * (1.1 + 2.2 * (len(rows) - 1) + _between(rng, 1.3, 2.6)))
    canvas = scene(rng, (wide, high))
    seats: list[list[tuple[Character, Pose]]] = []
    for index, row in enumerate(rows):
        left = (wide - step * (len(row) - 1)) / 2
        seats.append([])
        for column, who in enumerate(row):
            own = float(np.clip(side * _between(rng, 0.86, 1.08), *face))
            x = left + column * step + _between(rng, -0.1, 0.1) * side
            y = side * (0.95 + 2.1 * index) + _between(rng, -0.12, 0.2) * side
            pose = pose_at(rng, x, y, own, tilt=22)
            _float_around(canvas, pose, rng)  # behind the heads: in front it would lie on a neighbour's face
            seats[-1].append((who, pose))
    for seated in seats:
        draw_figures(canvas, [(dressed(who, rng), pose) for who, pose in seated], rng)
    return _finish(canvas, [face_truth(who, pose) for seated in seats for who, pose in seated], rng)


def draw_shot(seed: Sequence[int], size: Size, *, mouth: str | None = None) -> Drawing:
    """Draw one or two characters of the cast as a film shows them, filling a picture of a given size.

    Args:
        seed: Whole numbers; the same ones give the same pixels.
        size: Width and height, in pixels.
        mouth: In place of the one that chance gives; the rest of the picture stays, as when somebody talks.
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 3))
    people = [CAST[int(i)] for i in rng.choice(len(CAST), size=count, replace=False)]
    side = min(size[1] * _between(rng, 0.4, 0.52), size[0] / count * 0.6)
    canvas = scene(rng, size)
    seats: list[tuple[Character, Pose]] = []
    for index, who in enumerate(people):
        x = size[0] * (index + 0.5) / count + _between(rng, -0.08, 0.08) * size[0] / count
        pose = pose_at(rng, x, size[1] * _between(rng, 0.42, 0.5), side, tilt=15)
        seats.append((dressed(who, rng), pose if mouth is None else replace(pose, mouth=mouth)))
    draw_figures(canvas, seats, rng)
    return _finish(canvas, [face_truth(who, pose) for who, pose in seats], rng)


# --- pictures without a face ------------------------------------------------------------------------------------------


def draw_scenery(seed: Sequence[int]) -> Drawing:
    """Draw a landscape, a town, a pattern or a still life: nobody is in it."""
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(700, 1200)), int(rng.integers(600, 1100)))
    canvas, accent = _paper(rng, size)
    draw = ImageDraw.Draw(canvas)
    for index in rng.choice(len(_BACKDROPS), size=2, replace=False):
        _BACKDROPS[int(index)](draw, canvas.size, accent, rng)
        accent = mix(accent, HAIR[list(HAIR)[int(rng.integers(len(HAIR)))]], 70)
    if rng.integers(2):
        _still_life(draw, canvas.size, rng)
    return _finish(canvas, [], rng, ["scenery"])


def _still_life(draw: ImageDraw.ImageDraw, size: Size, rng: np.random.Generator) -> None:
    """Fruit on a table."""
    table = round(size[1] * _between(rng, 0.68, 0.8))
    draw.rectangle([0, table, *size], fill=(142, 98, 66))
    for index in range(int(rng.integers(2, 6))):
        radius = _between(rng, 0.05, 0.1) * size[0]
        x, y = size[0] * (0.15 + 0.17 * index), table - radius * 0.6
        colour = ((206, 52, 48), (240, 150, 46), (120, 170, 60), (236, 208, 82), (130, 70, 140))[int(rng.integers(5))]
        _disc(draw, x, y, radius * 1.04, darker(colour, 60))
        _disc(draw, x, y, radius, colour)
        _disc(draw, x - radius * 0.35, y - radius * 0.4, radius * 0.24, lighter(colour, 55))
        draw.line([round(x), round(y - radius), round(x + radius * 0.2), round(y - radius * 1.4)], (90, 60, 40), 8)


def draw_decoy(seed: Sequence[int]) -> Drawing:
    """Draw things with two eyes and a mouth that are nobody's face: toys, owls, sockets, houses."""
    rng = np.random.default_rng(seed)
    size = (int(rng.integers(700, 1100)), int(rng.integers(700, 1100)))
    canvas = scene(rng, size)
    draw = ImageDraw.Draw(canvas)
    thing = _DECOYS[int(rng.integers(len(_DECOYS)))]
    for _ in range(int(rng.integers(1, 4))):
        radius = _between(rng, 0.1, 0.24) * min(canvas.size)
        x = _between(rng, radius, canvas.width - radius)
        y = _between(rng, radius, canvas.height - radius)
        thing(draw, x, y, radius, rng)
    return _finish(canvas, [], rng, ["still_life"])


def _toy(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """A plush bear."""
    fur = ((176, 124, 82), (228, 206, 176), (120, 120, 132), (240, 176, 190))[int(rng.integers(4))]
    for side in (-1, 1):
        _disc(draw, x + side * radius * 0.75, y - radius * 0.75, radius * 0.36, darker(fur, 30))
    _disc(draw, x, y, radius, fur)
    _disc(draw, x, y + radius * 0.35, radius * 0.42, lighter(fur, 55))
    for side in (-1, 1):
        _disc(draw, x + side * radius * 0.4, y - radius * 0.12, radius * 0.13, (40, 30, 34))
        _disc(draw, x + side * radius * 0.4 - radius * 0.04, y - radius * 0.16, radius * 0.04, (255, 255, 255))
    _disc(draw, x, y + radius * 0.22, radius * 0.12, (60, 40, 40))


def _owl(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """Two round eyes with highlights, as large as those of the cast."""
    feather = HAIR[list(HAIR)[int(rng.integers(len(HAIR)))]]
    iris = EYES[list(EYES)[int(rng.integers(len(EYES)))]]
    _disc(draw, x, y, radius, darker(feather, 30))
    _disc(draw, x, y + radius * 0.3, radius * 0.68, lighter(feather, 60))
    for side in (-1, 1):
        eye = x + side * radius * 0.42
        _disc(draw, eye, y - radius * 0.05, radius * 0.34, (250, 248, 240))
        _disc(draw, eye, y - radius * 0.05, radius * 0.25, iris)
        _disc(draw, eye, y - radius * 0.05, radius * 0.14, (30, 24, 34))
        _disc(draw, eye - radius * 0.08, y - radius * 0.15, radius * 0.08, (255, 255, 255))
    beak = [(x - radius * 0.12, y + radius * 0.2), (x + radius * 0.12, y + radius * 0.2), (x, y + radius * 0.45)]
    draw.polygon([(round(a), round(b)) for a, b in beak], fill=(232, 160, 60))


def _smiley(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """A sun that smiles, or not."""
    smiles = bool(rng.integers(2))
    _disc(draw, x, y, radius * 1.05, (230, 160, 40))
    _disc(draw, x, y, radius, (252, 220, 90))
    for side in (-1, 1):
        left, right = x + side * radius * 0.36 - radius * 0.1, x + side * radius * 0.36 + radius * 0.1
        draw.ellipse([round(left), round(y - radius * 0.4), round(right), round(y + radius * 0.05)], fill=(60, 44, 40))
    mouth = [round(x - radius * 0.5), round(y - radius * 0.2), round(x + radius * 0.5), round(y + radius * 0.6)]
    draw.arc(mouth, *((20, 160) if smiles else (70, 110)), fill=(60, 44, 40), width=max(3, round(radius * 0.07)))


def _house(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """Two windows and a door under a red roof."""

    def box(left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        edges = (x + left * radius, y + top * radius, x + right * radius, y + bottom * radius)
        draw.rectangle([round(edge) for edge in edges], fill=colour)

    box(-0.9, -0.3, 0.9, 1.0, mix((254, 228, 210), (200, 210, 230), int(rng.integers(0, 80))))
    roof = [(x - radius * 1.1, y - radius * 0.3), (x, y - radius), (x + radius * 1.1, y - radius * 0.3)]
    draw.polygon([(round(a), round(b)) for a, b in roof], fill=(190, 70, 60))
    for side in (-1, 1):
        box(side * 0.5 - 0.22, -0.05, side * 0.5 + 0.22, 0.4, (60, 70, 110))
        box(side * 0.5 - 0.14, 0.0, side * 0.5 - 0.02, 0.12, (250, 250, 255))
    box(-0.2, 0.62, 0.2, 1.0, (140, 60, 56))


def _mushroom(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """A pale mushroom under a cap, with two glossy berries on it: what a cascade takes for a face."""
    cap = HAIR[list(HAIR)[int(rng.integers(len(HAIR)))]]
    berry = EYES[list(EYES)[int(rng.integers(len(EYES)))]]
    _disc(draw, x, y - radius * 0.1, radius, darker(cap, 45))
    pale = [round(x - radius * 0.82), round(y - radius * 0.7), round(x + radius * 0.82), round(y + radius * 0.95)]
    draw.ellipse(pale, fill=(250, 232, 214), outline=(70, 46, 56), width=max(2, round(radius * 0.03)))
    span = [round(x - radius), round(y - radius * 1.1), round(x + radius), round(y + radius * 0.85)]
    draw.chord(span, 180, 360, fill=cap)
    for side in (-1, 1):
        left, right = x + side * radius * 0.4 - radius * 0.22, x + side * radius * 0.4 + radius * 0.22
        top, bottom = y - radius * 0.08, y + radius * 0.48
        draw.ellipse([round(left), round(top), round(right), round(bottom)], fill=darker(berry, 62))
        draw.ellipse([round(left), round(y + radius * 0.12), round(right), round(bottom)], fill=berry)
        _disc(draw, x + side * radius * 0.4 - radius * 0.06, y + radius * 0.06, radius * 0.07, (255, 255, 255))
    stem = [(x - radius * 0.1, y + radius * 0.68), (x + radius * 0.1, y + radius * 0.68), (x, y + radius * 0.73)]
    draw.polygon([(round(a), round(b)) for a, b in stem], fill=(190, 120, 110))


# Nobody takes these for a person.
THINGS: tuple[Callable[[ImageDraw.ImageDraw, float, float, float, np.random.Generator], None], ...] = (
    _toy,
    _owl,
    _smiley,
    _house,
)
_DECOYS = (*THINGS, _mushroom, _mushroom)  # twice: the best of them
