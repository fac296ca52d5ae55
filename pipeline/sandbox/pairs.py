"""Hides how pairs of pictures are planted: the same drawing as boards repost it, variations of it, and strangers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from PIL import Image as Pictures
from PIL import ImageDraw, ImageOps

from pipeline.alike import Likeness
from pipeline.pixels import Pixels, cut
from pipeline.records import Box
from pipeline.sandbox import props
from pipeline.sandbox.draw import CAST, Size, dressed, pose_at, scene
from pipeline.sandbox.figure import Character, Pose, draw_figures, face_truth
from pipeline.sandbox.ink import SUPERSAMPLE, Colour, Pen, arc

ZOOM = 1.5  # side of a face crop in sides of the face's box
CROP = 256  # pixels; side of a face crop


class Subject(StrEnum):
    """What the two pictures of a pair are."""

    PICTURE = "picture"  # as a board has them
    FACE = "face"  # crops, cut as detectors cut them: never twice at quite the same place


class Kind(StrEnum):
    """What makes the second picture of a pair another than the first."""

    RECOMPRESSED = "recompressed"  # JPEG or WebP of quality 30 to 95
    RESCALED = "rescaled"  # to 0.4 to 1.6 of its size, at times not quite in proportion
    WATERMARK = "watermark"  # signs across it, or in a corner
    BORDER = "border"  # an even frame all round
    LETTERBOX = "letterbox"  # even bars at two sides
    CROPPED = "cropped"  # 2 to 15 % less of width and height
    RECOLOURED = "recoloured"  # other gains, gamma or saturation
    GREY = "grey"  # without colour
    MIRRORED = "mirrored"
    COMBINED = "combined"  # two or three of those
    EXPRESSION = "expression"  # another mouth, other eyes, or both
    WORDS = "words"  # other words in a bubble, or none
    OUTFIT = "outfit"  # other colours of the same clothes
    OTHER_CHARACTER = "other character"  # somebody else in the same pose at the same place
    OTHER_POSE = "other pose"  # the same character at the same place
    PLAIN = "plain"  # gradients with hardly anything on them
    STRANGER = "stranger"  # another picture


_SAME = (
    *(Kind.RECOMPRESSED, Kind.RESCALED, Kind.WATERMARK, Kind.BORDER, Kind.LETTERBOX, Kind.CROPPED),
    *(Kind.RECOLOURED, Kind.GREY, Kind.MIRRORED, Kind.COMBINED),
)
TRUTH: dict[Kind, Likeness] = {
    **dict.fromkeys(_SAME, Likeness.SAME),
    **dict.fromkeys((Kind.EXPRESSION, Kind.WORDS, Kind.OUTFIT), Likeness.VARIATION),
    **dict.fromkeys((Kind.OTHER_CHARACTER, Kind.OTHER_POSE, Kind.PLAIN, Kind.STRANGER), Likeness.DIFFERENT),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two pictures, and what is true of them."""

    kind: Kind
    one_HWC: Pixels  # noqa: N815 - arrays carry their axes; RGB, uint8
    other_HWC: Pixels  # noqa: N815

    @property
    def truth(self) -> Likeness:
        """What a person would say of the two."""
        return TRUTH[self.kind]


def draw_pairs(seed: Sequence[int], subject: Subject) -> Iterator[Pair]:
    """Draw one picture, and beside it one of every kind.

    Args:
        seed: Whole numbers; the same ones give the same pixels.
        subject: Whole pictures, or the crops of their faces.
    """
    plan = _plan(np.random.default_rng([*seed, 0]))
    paint = _PAINTERS[subject]
    first = paint(plan, np.random.default_rng([*seed, 1]))
    for number, kind in enumerate(Kind):
        rng = np.random.default_rng([*seed, 2, number])
        one = first
        if kind in _EFFECTS:
            other = _EFFECTS[kind](paint(plan, rng), rng)
        elif kind is Kind.PLAIN:
            one, other = _plain(first.size, rng), _plain(first.size, rng)
        elif kind is Kind.WORDS and plan.bubble is None:
            spoken = replace(plan, bubble=_bubble(rng, plan))
            one, other = paint(spoken, rng), _reposted(paint(_other_words(spoken, rng), rng), rng)
        else:
            other = _reposted(paint(_CHANGES[kind](plan, rng), rng), rng)
        yield Pair(kind=kind, one_HWC=_posted(one, rng), other_HWC=_posted(other, rng))


# --- what is drawn ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bubble:
    """A bubble of speech, in units of the head, from its middle."""

    x: float
    y: float
    wide: float
    high: float
    words: int | None  # the seed of what is said; None: nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """All that a picture is drawn from."""

    size: Size
    who: Character
    pose: Pose
    ground: int  # the seed of the background
    hand: int  # the seed of what chance does to a figure's lines
    bubble: _Bubble | None


def _plan(rng: np.random.Generator) -> _Plan:
    long = int(rng.integers(440, 720))
    short = round(long * rng.uniform(0.66, 0.98))
    size = (short, long) if rng.integers(10) < 7 else (long, short)
    side = float(rng.uniform(0.3, 0.5)) * short
    x = float(rng.uniform(side * 0.8, size[0] - side * 0.8))
    y = float(rng.uniform(side * 0.72, max(side * 0.76, size[1] - side * 1.2)))
    plan = _Plan(
        size=size,
        who=dressed(CAST[int(rng.integers(len(CAST)))], rng),
        pose=pose_at(rng, x, y, side, tilt=18),
        ground=int(rng.integers(2**31)),
        hand=int(rng.integers(2**31)),
        bubble=None,
    )
    return replace(plan, bubble=_bubble(rng, plan)) if rng.integers(3) == 0 else plan


def _bubble(rng: np.random.Generator, plan: _Plan) -> _Bubble:
    """Beside the head, where there is more room."""
    side = 1 if plan.pose.x < plan.size[0] / 2 else -1
    wide, high = float(rng.uniform(0.42, 0.62)), float(rng.uniform(0.45, 0.75))
    return _Bubble(
        x=side * float(rng.uniform(1.15, 1.45)),
        y=float(rng.uniform(-0.9, 1.2)),
        wide=wide,
        high=high,
        words=int(rng.integers(2**31)),
    )


def _draw(plan: _Plan) -> Pictures.Image:
    canvas = scene(np.random.default_rng(plan.ground), plan.size)
    draw_figures(canvas, [(plan.who, plan.pose)], np.random.default_rng(plan.hand))
    if plan.bubble is not None:
        _speak(canvas, plan.bubble, plan.pose)
    return canvas.reduce(SUPERSAMPLE)


def _speak(canvas: Pictures.Image, bubble: _Bubble, pose: Pose) -> None:
    scale = pose.scale * SUPERSAMPLE
    x, y = pose.x * SUPERSAMPLE + bubble.x * scale, pose.y * SUPERSAMPLE + bubble.y * scale
    pen = Pen(ImageDraw.Draw(canvas), x, y, scale, ink=(30, 28, 34))
    pen.shape(arc(0, 0, bubble.wide, bubble.high, steps=41)[:-1], (253, 252, 250))
    if bubble.words is None:
        return
    rng = np.random.default_rng(bubble.words)
    size = float(rng.uniform(0.17, 0.26))
    columns = max(1, int(bubble.wide * 1.3 / size / 1.25))
    for index in range(columns):
        count = int(rng.integers(2, max(3, int(bubble.high * 1.35 / size / 1.1) + 1)))
        offset = (index - (columns - 1) / 2) * size * 1.25
        props.column(pen, offset, -bubble.high * 0.65, size, count, rng)


def _picture(plan: _Plan, rng: np.random.Generator) -> Pictures.Image:  # noqa: ARG001 -- faces need it
    return _draw(plan)


def _face(plan: _Plan, rng: np.random.Generator) -> Pictures.Image:
    """Cut the face as a detector does, a little off its place each time."""
    box = face_truth(plan.who, plan.pose).box
    side = box.width * ZOOM * float(rng.uniform(0.96, 1.04))
    x = box.left + box.width / 2 + float(rng.uniform(-0.03, 0.03)) * side
    y = box.top + box.height / 2 + float(rng.uniform(-0.03, 0.03)) * side
    window = Box(left=round(x - side / 2), top=round(y - side / 2), width=round(side), height=round(side))
    crop = Pictures.fromarray(cut(np.asarray(_draw(plan)), window))
    return crop.resize((CROP, CROP), Pictures.Resampling.BICUBIC)


_PAINTERS: dict[Subject, Callable[[_Plan, np.random.Generator], Pictures.Image]] = {
    Subject.PICTURE: _picture,
    Subject.FACE: _face,
}


def _plain(size: Size, rng: np.random.Generator) -> Pictures.Image:
    """A gradient from the top to the bottom, and at most three discs."""
    ends = rng.integers(0, 256, (2, 3))
    ramp = np.linspace(0, 1, size[1])[:, None, None]
    pixels_HWC = np.broadcast_to(np.rint(ends[0] * (1 - ramp) + ends[1] * ramp), (size[1], size[0], 3))
    picture = Pictures.fromarray(pixels_HWC.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(4))):
        x, y, radius = (float(rng.uniform(low, high)) * min(size) for low, high in ((0, 1), (0, 1), (0.01, 0.04)))
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=_colour(rng))
    return picture


def _colour(rng: np.random.Generator) -> Colour:
    red, green, blue = (int(one) for one in rng.integers(0, 256, 3))
    return red, green, blue


# --- what varies ------------------------------------------------------------------------------------------------------

_MOUTHS = ("smile", "open", "line", "cat")
_LIDS = ("open", "wink", "closed")


def _other_expression(plan: _Plan, rng: np.random.Generator) -> _Plan:
    pose, what = plan.pose, int(rng.integers(3))
    if what != 0:
        pose = replace(pose, mouth=_another(_MOUTHS, pose.mouth, rng))
    if what != 1:
        pose = replace(pose, eyelids=_another(_LIDS, pose.eyelids, rng), raised=float(rng.uniform(-1, 1)))
    return replace(plan, pose=pose)


def _another(words: Sequence[str], but: str, rng: np.random.Generator) -> str:
    others = [word for word in words if word != but]
    return others[int(rng.integers(len(others)))]


def _other_words(plan: _Plan, rng: np.random.Generator) -> _Plan:
    words = None if rng.integers(4) == 0 else int(rng.integers(2**31))
    return replace(plan, bubble=replace(plan.bubble, words=words))  # type: ignore[type-var]


def _other_outfit(plan: _Plan, rng: np.random.Generator) -> _Plan:
    """Clothes whose colour is seen to be another."""
    while True:
        cloth = _colour(rng)
        if sum(abs(a - b) for a, b in zip(cloth, plan.who.cloth, strict=True)) > 160:
            return replace(plan, who=replace(plan.who, cloth=cloth, trim=_colour(rng)))


def _other_character(plan: _Plan, rng: np.random.Generator) -> _Plan:
    others = [who for who in CAST if who.name != plan.who.name]
    return replace(plan, who=others[int(rng.integers(len(others)))])


def _other_pose(plan: _Plan, rng: np.random.Generator) -> _Plan:
    side = plan.pose.scale * 2.45
    x, y = (at + float(rng.uniform(-0.15, 0.15)) * side for at in (plan.pose.x, plan.pose.y))
    pose = replace(pose_at(rng, x, y, side), ink=plan.pose.ink, line=plan.pose.line)
    return replace(plan, pose=pose, hand=int(rng.integers(2**31)))


def _stranger(_: _Plan, rng: np.random.Generator) -> _Plan:
    return _plan(rng)


_CHANGES: dict[Kind, Callable[[_Plan, np.random.Generator], _Plan]] = {
    Kind.EXPRESSION: _other_expression,
    Kind.WORDS: _other_words,
    Kind.OUTFIT: _other_outfit,
    Kind.OTHER_CHARACTER: _other_character,
    Kind.OTHER_POSE: _other_pose,
    Kind.STRANGER: _stranger,
}


# --- what boards do to a picture --------------------------------------------------------------------------------------


def _saved(picture: Pictures.Image, kind: str, quality: int) -> Pictures.Image:
    data = io.BytesIO()
    picture.save(data, kind, quality=quality)
    return Pictures.open(data).convert("RGB")


def _posted(picture: Pictures.Image, rng: np.random.Generator) -> Pixels:
    """As any post is saved."""
    return np.array(_saved(picture, "JPEG", int(rng.integers(80, 97))))


def _reposted(picture: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    """Half of the time saved, scaled or cut by a little."""
    effects = (_recompressed, _rescaled, _cropped)
    return effects[int(rng.integers(len(effects)))](picture, rng) if rng.integers(2) else picture


def _recompressed(picture: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    return _saved(picture, ("JPEG", "WEBP")[int(rng.integers(2))], int(rng.integers(30, 96)))


def _rescaled(picture: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    factor = float(rng.uniform(0.4, 1.6))
    uneven = float(rng.uniform(0.97, 1.03)) if rng.integers(3) == 0 else 1.0
    ways = (Pictures.Resampling.LANCZOS, Pictures.Resampling.BILINEAR)
    size = (round(picture.width * factor * uneven), round(picture.height * factor))
    return picture.resize(size, ways[int(rng.integers(2))])


def _watermarked(picture: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    """A name in a corner, or the same name all over it, more or less transparent."""
    everywhere = rng.integers(3) == 0
    mask = Pictures.new("RGB", picture.size)
    name = int(rng.integers(2**31))
    size = float(rng.uniform(0.025, 0.05)) * max(picture.size)
    count = int(rng.integers(5, 10))
    places = [(0.04, 0.95), (0.5, 0.95), (0.04, 0.05), (0.5, 0.05)]
    step = size * 1.2 * (count + 3)
    spots = [places[int(rng.integers(4))]]
    if everywhere:
        columns, rows = int(picture.width / step) + 1, int(picture.height / step * 2) + 1
        spots = [((i + 0.5 * (j % 2)) / columns, j / rows) for i in range(columns) for j in range(rows)]
    for x, y in spots:
        pen = Pen(ImageDraw.Draw(mask), x * picture.width, y * picture.height, 1.0, -20.0 * everywhere)
        hand = np.random.default_rng(name)
        for index in range(count):
            props.sign(pen, (index + 0.5) * size * 1.2, 0, size, hand, (255, 255, 255))
    strength = float(rng.uniform(0.15, 0.4)) if everywhere else float(rng.uniform(0.4, 1.0))
    ink = Pictures.new("RGB", picture.size, ((255, 255, 255), (0, 0, 0), (230, 60, 60))[int(rng.integers(3))])
    return Pictures.composite(ink, picture, mask.convert("L").point([round(i * strength) for i in range(256)]))


def _bordered(picture: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    return ImageOps.expand(picture, round(float(rng.uniform(0.01, 0.08)) * max(picture.size)), _frame(rng))


def _letterboxed(picture: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    bar = float(rng.uniform(0.06, 0.25))
    upright = bool(rng.integers(2))
    bars = (0, round(bar * picture.height)) if upright else (round(bar * picture.width), 0)
    return ImageOps.expand(picture, bars, _frame(rng))


def _frame(rng: np.random.Generator) -> Colour:
    return ((0, 0, 0), (255, 255, 255), _colour(rng))[int(rng.integers(3))]


def _cropped(picture: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    lost = [float(rng.uniform(0.02, 0.15)) for _ in range(2)]
    left, top = (float(rng.uniform(0, 1)) * part for part in lost)
    right, bottom = left + 1 - lost[0], top + 1 - lost[1]
    wide, high = picture.size
    return picture.crop((round(left * wide), round(top * high), round(right * wide), round(bottom * high)))


def _recoloured(picture: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    if rng.integers(3) == 0:
        grey = np.asarray(picture.convert("L")).astype(np.float64)[..., None]
        mixed = grey + (np.asarray(picture) - grey) * float(rng.choice((0.3, 0.6, 1.4, 1.8)))
        return Pictures.fromarray(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))
    table: list[int] = []
    gamma = float(np.exp(rng.uniform(-0.5, 0.5)))
    for _ in range(3):
        gain, lift = float(rng.uniform(0.85, 1.12)), float(rng.uniform(-12, 12))
        table += [min(255, max(0, round(255 * (i / 255) ** gamma * gain + lift))) for i in range(256)]
    return picture.point(table)


def _grey(picture: Pictures.Image, _: np.random.Generator) -> Pictures.Image:
    return picture.convert("L").convert("RGB")


def _mirrored(picture: Pictures.Image, _: np.random.Generator) -> Pictures.Image:
    return ImageOps.mirror(picture)


def _combined(picture: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    chosen = rng.choice(len(_ORDER), size=int(rng.integers(2, 4)), replace=False)
    for index in sorted(int(one) for one in chosen):
        picture = _ORDER[index](picture, rng)
    return picture


_Effect = Callable[[Pictures.Image, np.random.Generator], Pictures.Image]
_ORDER: tuple[_Effect, ...] = (_cropped, _mirrored, _recoloured, _bordered, _watermarked, _rescaled, _recompressed)
_EFFECTS: dict[Kind, _Effect] = {
    Kind.RECOMPRESSED: _recompressed,
    Kind.RESCALED: _rescaled,
    Kind.WATERMARK: _watermarked,
    Kind.BORDER: _bordered,
    Kind.LETTERBOX: _letterboxed,
    Kind.CROPPED: _cropped,
    Kind.RECOLOURED: _recoloured,
    Kind.GREY: _grey,
    Kind.MIRRORED: _mirrored,
    Kind.COMBINED: _combined,
}
