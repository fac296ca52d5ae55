"""Hides how hard pictures are drawn: a set with exact truth in which every picture is difficult for one known reason.

A face is what a data set of drawn faces would keep: that of a person, however drawn, also in a picture within the
picture. A mascot, an animal or a robot has none. Nor has a doll, which here is a thing of cloth or wood with buttons or
strokes for eyes; a figure that is made to look like a character would be drawn as one, and count.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image as Pictures
from PIL import ImageChops, ImageDraw

from pipeline.errors import StoreError, UsageError
from pipeline.records import Box, Record
from pipeline.sandbox import creatures, finish, props
from pipeline.sandbox.draw import CAST, THINGS, Size, dressed, pose_at, scene
from pipeline.sandbox.figure import (
    EYES,
    HAIR,
    Character,
    Fringe,
    Manner,
    Pose,
    Style,
    draw_figure,
    face_truth,
    sit,
)
from pipeline.sandbox.ink import SUPERSAMPLE, Colour, Pen, arc
from pipeline.sandbox.profile import draw_profile, profile_truth
from pipeline.sandbox.toon import Fellow, draw_toon, fellow, toon_box

VERSION = 1  # raised when the same seed would give other pictures; an older cache is then left alone
SMALLEST = 24  # pixels; side of the smallest face
_TOO_HIDDEN = 0.75  # share of a face that is covered, above which the picture is drawn again: nobody could tell


class Art(StrEnum):
    """The two ways in which people are drawn."""

    ANIME = "anime"
    TOON = "toon"


class View(StrEnum):
    """Where a head looks."""

    FRONT = "front"
    THREE_QUARTER = "three_quarter"
    PROFILE = "profile"


class Difficulty(StrEnum):
    """What is hard about a picture; the comment says what it shows."""

    PLAIN = "plain"  # nothing: one to three upright faces, to compare with
    CROWD = "crowd"  # six to twelve faces
    SMALL = "small"  # faces of 24 to 48 pixels, whole figures
    CLOSE_UP = "close_up"  # one face from edge to edge
    THREE_QUARTER = "three_quarter"  # turned aside
    PROFILE = "profile"  # seen from the side
    TILTED = "tilted"  # heads that lean by 20 to 45 degrees
    LYING = "lying"  # turned by about 90 degrees
    UPSIDE_DOWN = "upside_down"  # turned by about 180 degrees
    HAND = "hand"  # a hand or a cup before the face
    HAIR_OVER_EYE = "hair_over_eye"  # one eye is not to be seen
    BOOK = "book"  # the lower face is behind a book
    CUT_OFF = "cut_off"  # a part of the face lies beyond the border
    CLOSED_EYES = "closed_eyes"  # both eyes are closed
    CHIBI = "chibi"  # large heads on small bodies
    MASK = "mask"  # medical masks, eye patches, dark glasses, carnival
    HEADWEAR = "headwear"  # hoods, helmets, hats
    MANGA = "manga"  # black, white and screentone, with bubbles and frames
    SKETCH = "sketch"  # pencil
    JPEG = "jpeg"  # far too much compression
    DARK = "dark"  # night
    GLOW = "glow"  # bloom, sparks, snow
    WORDS = "words"  # bubbles and lettering, also upon faces
    MASCOT = "mascot"  # mascots are no faces; at times somebody is with them
    ANIMAL = "animal"  # the same of animals
    DOLL = "doll"  # the same of dolls
    LOGO = "logo"  # nobody is there, only signs
    PATTERN = "pattern"  # nobody is there, only what looks like it
    TOON = "toon"  # the second style


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnFace(Record):
    """One face of a hard picture."""

    box: Box  # in the convention of pipeline.detectors; may reach beyond the picture
    style: Art
    view: View
    tilt: float  # degrees, clockwise as seen, -180 to 180
    occluded: float  # share of the face from the eyes to the chin that is covered, or beyond the border
    tags: tuple[str, ...]  # sorted: what is hard about this face

    @property
    def side(self) -> int:
        """Of the box, in pixels."""
        return self.box.width


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """A picture and the truth about it."""

    path: Path
    difficulty: Difficulty
    faces: tuple[DrawnFace, ...]  # from the left to the right


def build(
    folder: Path,
    count: int,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    difficulties: Sequence[Difficulty] = tuple(Difficulty),
) -> list[Labelled]:
    """Draw a set, or take the finished one from *folder*.

    Args:
        folder: Holds one folder for each set; a set is drawn aside and moved there when it is whole.
        count: Of the pictures; the difficulties take turns, so that each has as many as the next.
        seed: The same seed gives the same bytes.
        progress: Called with (pictures drawn, count) after each.
        difficulties: Only these.

    Raises:
        UsageError: *count* is not positive, or *difficulties* is empty.
        StoreError: The folder cannot be written.
    """
    if count < 1 or not difficulties:
        raise UsageError(f"{count} pictures of {len(difficulties)} difficulties: at least one of each is needed")
    which = hashlib.sha256(" ".join(difficulties).encode()).hexdigest()[:8]
    place = folder / f"hard-{VERSION}-{count}-{seed}-{which}"
    if (place / "truth.json").exists():
        return _load(place)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".drawing-", dir=folder))
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error
    try:
        _draw_all(aside, count, seed, difficulties, progress)
        _publish(aside, place)
    except OSError as error:
        raise StoreError(f"{place}: cannot be written ({error.strerror}); free some space") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return _load(place)


def _draw_all(
    folder: Path,
    count: int,
    seed: int,
    difficulties: Sequence[Difficulty],
    progress: Callable[[int, int], None] | None,
) -> None:
    rows = []
    for number in range(count):
        difficulty = difficulties[number % len(difficulties)]
        picture, faces = draw_hard((81, seed, number), difficulty)
        # Every eighth as PNG; the numbers of those go round all difficulties.
        as_png = number % 8 == 7
        name = f"{number:05}-{difficulty}.{'png' if as_png else 'jpg'}"
        if as_png:
            picture.save(folder / name, compress_level=6)
        else:
            picture.save(folder / name, quality=86 + number % 10)
        rows.append({"file": name, "difficulty": difficulty, "faces": [face.to_json() for face in faces]})
        if progress is not None:
            progress(number + 1, count)
    (folder / "truth.json").write_text(json.dumps({"version": VERSION, "pictures": rows}), encoding="utf-8")


def _publish(aside: Path, place: Path) -> None:
    aside.chmod(0o755)
    try:
        aside.rename(place)
    except OSError:
        # Somebody else finished the same set meanwhile: it holds the same bytes.
        if not (place / "truth.json").exists():
            raise


def _load(place: Path) -> list[Labelled]:
    body = json.loads((place / "truth.json").read_text(encoding="utf-8"))
    return [
        Labelled(
            path=place / row["file"],
            difficulty=Difficulty(row["difficulty"]),
            faces=tuple(DrawnFace.from_json(face) for face in row["faces"]),
        )
        for row in body["pictures"]
    ]


# --- a sheet that knows what covers what ------------------------------------------------------------------------------


class _Seat:
    """A face on the sheet, and how much of it is still to be seen."""

    def __init__(self, outline: list[tuple[int, int]], sheet: Size, face: DrawnFace) -> None:
        self.face = face
        columns, rows = zip(*outline, strict=True)
        self._window = (min(columns), min(rows), max(columns) + 1, max(rows) + 1)
        left, top, right, bottom = self._window
        self._visible = Pictures.new("L", (right - left, bottom - top))
        ImageDraw.Draw(self._visible).polygon([(x - left, y - top) for x, y in outline], fill=255)
        self._whole = self._visible.histogram()[255]
        self._visible = ImageChops.multiply(self._visible, Pictures.new("L", sheet, 255).crop(self._window))

    def hide(self, cover: Pictures.Image) -> None:
        """Take away what lies below *cover*, which is 255 where it is opaque."""
        self._visible = ImageChops.subtract(self._visible, cover.crop(self._window))

    def seen(self) -> DrawnFace:
        """Give the face with what is covered of it now."""
        occluded = round(1 - self._visible.histogram()[255] / self._whole, 3)
        return replace(self.face, occluded=occluded, tags=_tags(self.face, occluded))


def _tags(face: DrawnFace, occluded: float) -> tuple[str, ...]:
    """Name all that is hard about a face, not only what the picture was drawn for."""
    lean = abs(face.tilt)
    facts = {
        Difficulty.SMALL: face.side < 48,
        Difficulty.TILTED: 20 <= lean <= 50,
        Difficulty.LYING: 50 < lean < 130,
        Difficulty.UPSIDE_DOWN: lean >= 130,
        "covered": occluded > 0.2,
    }
    return tuple(sorted({*face.tags, *(tag for tag, holds in facts.items() if holds)}))


class _Sheet:
    """A canvas of `SUPERSAMPLE` times the size, on which faces remember what is laid over them."""

    def __init__(self, canvas: Pictures.Image) -> None:
        self.canvas = canvas
        self._seats: list[_Seat] = []

    @property
    def size(self) -> Size:
        """Of the picture, in its pixels."""
        return self.canvas.width // SUPERSAMPLE, self.canvas.height // SUPERSAMPLE

    def lay(self, paint: Callable[[ImageDraw.ImageDraw], None]) -> None:
        """Put what *paint* draws over all that is there."""
        layer = Pictures.new("RGBA", self.canvas.size)
        paint(ImageDraw.Draw(layer))
        cover = layer.getchannel("A")
        self.canvas.paste(layer, mask=cover)
        for seat in self._seats:
            seat.hide(cover)

    def seat(self, pen: Pen, centre: tuple[float, float], radii: tuple[float, float], face: DrawnFace) -> None:
        """Remember a face that was just laid: an ellipse from the eyes to the chin, in the units of *pen*."""
        self._seats.append(_Seat(pen.pixels(arc(*centre, *radii, steps=36)), self.canvas.size, face))

    def faces(self) -> tuple[DrawnFace, ...]:
        """Give the faces as they are seen now, from the left to the right."""
        return tuple(sorted((seat.seen() for seat in self._seats), key=lambda face: face.box))


# --- who, where and how -----------------------------------------------------------------------------------------------

_SKINS: tuple[Colour, ...] = (
    (254, 228, 210), (255, 236, 222), (252, 223, 202), (246, 206, 178), (222, 172, 136), (176, 122, 90), (128, 84, 64),
)  # fmt: skip


def _somebody(rng: np.random.Generator) -> Character:
    """Anybody: the shape of a member of the cast with other colours."""
    who = dressed(CAST[int(rng.integers(len(CAST)))], rng)
    return replace(
        who,
        hair=list(HAIR)[int(rng.integers(len(HAIR)))],
        eyes=list(EYES)[int(rng.integers(len(EYES)))],
        style=tuple(Style)[int(rng.integers(len(Style)))],
        fringe=tuple(Fringe)[int(rng.integers(len(Fringe)))],
        skin=_SKINS[min(int(rng.integers(10)), int(rng.integers(10))) * len(_SKINS) // 10],
        ahoge=bool(rng.integers(4) == 0),
    )


def _manner(rng: np.random.Generator) -> Manner:
    """A hand of its own for each picture."""
    return Manner(
        eye_wide=float(rng.uniform(0.82, 1.15)),
        eye_high=float(rng.uniform(0.68, 1.15)),
        eye_apart=float(rng.uniform(0.95, 1.06)),
        eye_level=float(rng.uniform(-0.04, 0.05)),
        jaw=float(rng.uniform(0.86, 1.08)),
        chin=float(rng.uniform(0.86, 1.12)),
    )


_CHIBI = Manner(eye_wide=1.22, eye_high=1.25, eye_apart=1.06, eye_level=0.08, jaw=1.1, chin=0.78)

Posing = Callable[[np.random.Generator, Pose], Pose]
Place = tuple[float, float, float]  # x and y of the middle, and a size: for a face the side of its box in the picture


def _sign(rng: np.random.Generator) -> int:
    return 1 if rng.integers(2) else -1


def _three_quarter(rng: np.random.Generator, pose: Pose) -> Pose:
    return replace(pose, yaw=_sign(rng) * float(rng.uniform(0.9, 1.3)))


def _sideways(rng: np.random.Generator, pose: Pose) -> Pose:
    return replace(pose, yaw=_sign(rng) * 2.0)


def _tilted(rng: np.random.Generator, pose: Pose) -> Pose:
    return replace(pose, tilt=_sign(rng) * round(float(rng.uniform(20, 45)), 2))


def _lying(rng: np.random.Generator, pose: Pose) -> Pose:
    return replace(pose, turn=float(_sign(rng) * round(float(rng.uniform(72, 108)), 1)))


def _upside_down(rng: np.random.Generator, pose: Pose) -> Pose:
    return replace(pose, turn=round(180 + float(rng.uniform(-22, 22)), 1))


def _closed(rng: np.random.Generator, pose: Pose) -> Pose:
    return replace(pose, eyelids="closed", raised=float(rng.uniform(-1, 1)))


def _chibi(rng: np.random.Generator, pose: Pose) -> Pose:
    return replace(pose, body=float(rng.uniform(0.45, 0.62)), manner=_CHIBI)


Around = Callable[[_Sheet, np.random.Generator], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Order:
    """What a difficulty asks of a picture."""

    people: tuple[int, int] = (1, 3)
    side: tuple[float, float] = (84, 300)  # pixels
    fill: float = 0.55  # largest side of a box in sides of its cell
    posing: Posing | None = None
    props: tuple[props.Prop, ...] = ()
    bare: bool = False  # no hats or glasses
    finish: Callable[[Pictures.Image, np.random.Generator], Pictures.Image] | None = None  # of the canvas
    behind: Around | None = None
    before: Around | None = None


def _of(most: int, things: tuple[creatures.Thing, ...]) -> Around:
    """Place one to *most* of some things, also at the feet of people."""

    def around(sheet: _Sheet, rng: np.random.Generator) -> None:
        wide, high = sheet.canvas.size
        for _ in range(int(rng.integers(1, most + 1))):
            thing = things[int(rng.integers(len(things)))]
            radius = float(rng.uniform(0.06, 0.17)) * min(wide, high)
            x, y = float(rng.uniform(radius, wide - radius)), float(rng.uniform(radius * 1.5, high - radius))
            sheet.lay(partial(_thing, thing, (x, y, radius), rng))

    return around


def _thing(thing: creatures.Thing, where: Place, rng: np.random.Generator, draw: ImageDraw.ImageDraw) -> None:
    thing(draw, *where, rng)


def _bubbles(sheet: _Sheet, rng: np.random.Generator) -> None:
    """Speech, at the sides more than in the middle, and a line of large signs."""
    wide, high = sheet.canvas.size
    for _ in range(int(rng.integers(1, 4))):
        size = float(rng.uniform(0.1, 0.2)) * wide
        x = float(rng.choice((0.14, 0.86))) * wide + float(rng.uniform(-0.06, 0.06)) * wide
        y = float(rng.uniform(0.12, 0.85)) * high
        shape = float(rng.uniform(0.7, 1.1)), float(rng.uniform(0.7, 1.2))

        sheet.lay(partial(_bubble, (x, y, size), shape, rng))


def _bubble(where: Place, shape: tuple[float, float], rng: np.random.Generator, draw: ImageDraw.ImageDraw) -> None:
    props.bubble(Pen(draw, *where, 0.0, (30, 28, 34), 0.035), 0, 0, *shape, rng)


def _lettering(sheet: _Sheet, rng: np.random.Generator) -> None:
    """Bubbles, and signs in large colours right across."""
    _bubbles(sheet, rng)
    wide, high = sheet.canvas.size
    size = float(rng.uniform(0.06, 0.12)) * wide
    colour = ((250, 240, 90), (240, 60, 90), (255, 255, 255), (40, 36, 50))[int(rng.integers(4))]
    y = float(rng.uniform(0.1, 0.9)) * high

    def paint(draw: ImageDraw.ImageDraw) -> None:
        pen = Pen(draw, 0, 0, 1.0, float(rng.uniform(-8, 8)), (30, 28, 34), 1.0)
        for index in range(int(wide / size * 0.8)):
            props.sign(pen, (index + 1) * size * 1.1, y, size, rng, colour)

    sheet.lay(paint)


def _speed_lines(sheet: _Sheet, rng: np.random.Generator) -> None:
    """Half of the time white paper; often lines that run to a point."""
    wide, high = sheet.canvas.size
    draw = ImageDraw.Draw(sheet.canvas)
    if rng.integers(2):
        draw.rectangle([0, 0, wide, high], fill=(255, 255, 255))
    if rng.integers(3) == 0:
        return
    x, y = wide * float(rng.uniform(0.3, 0.7)), high * float(rng.uniform(0.3, 0.7))
    for _ in range(int(rng.integers(40, 110))):
        angle = round(float(rng.uniform(0, 2 * math.pi)), 4)
        cos, sin = round(math.cos(angle), 6), round(math.sin(angle), 6)
        near, far = float(rng.uniform(0.35, 0.5)) * min(wide, high), float(max(wide, high))
        thick = float(rng.uniform(0.002, 0.008)) * wide
        corners = [(x + cos * near, y + sin * near), (x + cos * far - sin * thick, y + sin * far + cos * thick)]
        corners.append((x + cos * far + sin * thick, y + sin * far - cos * thick))
        draw.polygon([(round(a), round(b)) for a, b in corners], fill=(24, 22, 26))


def _frames(sheet: _Sheet, rng: np.random.Generator) -> None:
    """Bubbles, and the frame of a panel at the edge."""
    _bubbles(sheet, rng)
    wide, high = sheet.canvas.size
    gap = round(0.018 * wide)

    def paint(draw: ImageDraw.ImageDraw) -> None:
        for index in range(gap):
            draw.rectangle([index, index, wide - 1 - index, high - 1 - index], outline=(255, 255, 255))
        for index in range(gap, gap + 8):
            draw.rectangle([index, index, wide - 1 - index, high - 1 - index], outline=(20, 18, 22))

    sheet.lay(paint)


_ORDERS: dict[Difficulty, _Order] = {
    Difficulty.PLAIN: _Order(),
    Difficulty.CROWD: _Order(people=(6, 12), side=(56, 170), fill=0.6),
    Difficulty.SMALL: _Order(people=(1, 6), side=(SMALLEST, 48), fill=0.4),
    Difficulty.CLOSE_UP: _Order(people=(1, 1), side=(700, 1100), fill=0.95),
    Difficulty.THREE_QUARTER: _Order(posing=_three_quarter),
    Difficulty.PROFILE: _Order(posing=_sideways),
    Difficulty.TILTED: _Order(posing=_tilted),
    Difficulty.LYING: _Order(people=(1, 2), posing=_lying),
    Difficulty.UPSIDE_DOWN: _Order(people=(1, 2), posing=_upside_down),
    Difficulty.HAND: _Order(props=props.BEFORE),
    Difficulty.HAIR_OVER_EYE: _Order(props=(props.lock,), bare=True),
    Difficulty.BOOK: _Order(props=(props.book,)),
    Difficulty.CUT_OFF: _Order(people=(1, 2), side=(110, 420), fill=0.8),
    Difficulty.CLOSED_EYES: _Order(posing=_closed),
    Difficulty.CHIBI: _Order(posing=_chibi),
    Difficulty.MASK: _Order(props=props.MASKS, bare=True),
    Difficulty.HEADWEAR: _Order(props=props.HEADWEAR, bare=True),
    Difficulty.MANGA: _Order(finish=finish.manga, behind=_speed_lines, before=_frames),
    Difficulty.SKETCH: _Order(finish=finish.sketch),
    Difficulty.JPEG: _Order(finish=finish.squeezed),
    Difficulty.DARK: _Order(finish=finish.dark),
    Difficulty.GLOW: _Order(finish=finish.glow),
    Difficulty.WORDS: _Order(before=_lettering),
    Difficulty.MASCOT: _Order(people=(-1, 2), behind=_of(4, creatures.MASCOTS)),
    Difficulty.ANIMAL: _Order(people=(-1, 2), behind=_of(4, creatures.ANIMALS)),
    Difficulty.DOLL: _Order(people=(-1, 2), behind=_of(4, creatures.DOLLS)),
    Difficulty.LOGO: _Order(people=(0, 0), behind=_of(5, creatures.LOGOS)),
    Difficulty.PATTERN: _Order(people=(0, 0), behind=_of(5, (*creatures.PATTERNS, *THINGS))),
    Difficulty.TOON: _Order(people=(1, 5)),
}


def draw_hard(seed: Sequence[int], difficulty: Difficulty) -> tuple[Pictures.Image, tuple[DrawnFace, ...]]:
    """Draw one picture (mode RGB) of a difficulty, with the truth about it.

    Args:
        seed: Whole numbers; the same ones give the same pixels.
        difficulty: What is hard about it.
    """
    order, attempt = _ORDERS[difficulty], 0
    while True:
        rng = np.random.default_rng([*seed, attempt])
        sheet = _drawn(rng, order, difficulty)
        faces = sheet.faces()
        if all(face.occluded <= _TOO_HIDDEN for face in faces):
            picture = sheet.canvas.reduce(SUPERSAMPLE) if order.finish is None else order.finish(sheet.canvas, rng)
            return picture, faces
        attempt += 1


def _drawn(rng: np.random.Generator, order: _Order, difficulty: Difficulty) -> _Sheet:
    count = max(0, int(rng.integers(order.people[0], order.people[1] + 1)))
    size, places = _places(rng, count, order)
    if difficulty is Difficulty.CUT_OFF:
        places = [_over_the_border(rng, size, place) for place in places]
    sheet = _Sheet(scene(rng, size))
    if order.behind is not None:
        order.behind(sheet, rng)
    manner = _manner(rng)
    for place in places:
        if difficulty is Difficulty.TOON:
            _seat_fellow(sheet, fellow(rng, *place), difficulty)
        else:
            _seat_somebody(sheet, rng, order, place, manner, difficulty)
    if order.before is not None:
        order.before(sheet, rng)
    return sheet


def _places(rng: np.random.Generator, count: int, order: _Order) -> tuple[Size, list[Place]]:
    """Choose a size, and a cell of it for each of *count* people."""
    rows = 1 if count < 4 else 2 if count < 9 else 3
    columns = max(1, -(-count // rows))
    aspect = float(np.clip(columns / rows * rng.uniform(0.75, 1.1), 0.65, 1.8))
    area = float(rng.uniform(0.45, 1.5)) * 1e6
    wide, high = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
    cell_wide, cell_high = wide / columns, high / rows
    most = min(order.side[1], min(cell_wide, cell_high) * order.fill)
    least = min(order.side[0], most)
    places = []
    for index in range(count):
        row, column = divmod(index, columns)
        side = float(np.exp(rng.uniform(math.log(least), math.log(most))))  # as many small ones as large ones
        room_x, room_y = max(0.0, cell_wide - side * 1.5) / 2, max(0.0, cell_high - side * 1.5) / 2
        x = (column + 0.5) * cell_wide + float(rng.uniform(-1, 1)) * room_x
        y = (row + 0.5) * cell_high + float(rng.uniform(-1, 0.4)) * room_y
        places.append((x, y, side))
    return (wide, high), places


def _over_the_border(rng: np.random.Generator, size: Size, place: Place) -> Place:
    """Move a face over the left, the right or the lower border."""
    x, y, side = place
    off = side * float(rng.uniform(0.05, 0.3))
    match int(rng.integers(3)):
        case 0:
            return off, y, side
        case 1:
            return size[0] - off, y, side
        case _:
            return x, size[1] - off - side * 0.1, side


def _seat_somebody(
    sheet: _Sheet, rng: np.random.Generator, order: _Order, place: Place, manner: Manner, difficulty: Difficulty
) -> None:
    who = _somebody(rng)
    if order.bare:
        who = replace(who, wears=())
    elif difficulty is Difficulty.HEADWEAR:
        who = replace(who, wears=("hat",), hat=("straw", "witch", "cap", "beret")[int(rng.integers(4))])
    x, y, side = place
    pose = replace(pose_at(rng, x, y, side, tilt=14), manner=manner, eyelids="open")
    pose = _centred(pose if order.posing is None else order.posing(rng, pose), place)
    view = View.PROFILE if abs(pose.yaw) > 1.5 else View.THREE_QUARTER if abs(pose.yaw) > 0.75 else View.FRONT
    truth = (profile_truth if view is View.PROFILE else face_truth)(who, pose)
    if view is View.PROFILE:
        sheet.lay(lambda draw: draw_profile(draw, who, pose, rng))
    else:
        sheet.lay(lambda draw: draw_figure(draw, who, pose, rng))
    tilt = (truth.tilt + 180) % 360 - 180
    face = DrawnFace(box=truth.box, style=Art.ANIME, view=view, tilt=round(tilt, 2), occluded=0.0, tags=(difficulty,))
    pen = sit(ImageDraw.Draw(sheet.canvas), who, pose, rng).head
    aside = 0.32 if pose.yaw > 0 else -0.32
    if view is View.PROFILE:
        sheet.seat(pen, (aside, 0.45), (0.55, 0.55), face)
    else:
        sheet.seat(pen, (pose.yaw * 0.12, 0.42), (0.74, 0.56), face)
    if order.props:
        prop = order.props[int(rng.integers(len(order.props)))]
        sheet.lay(lambda draw: prop(sit(draw, who, pose, rng)))


def _seat_fellow(sheet: _Sheet, who: Fellow, difficulty: Difficulty) -> None:
    sheet.lay(lambda draw: draw_toon(draw, who))
    view = View.THREE_QUARTER if abs(who.yaw) > 0.5 else View.FRONT
    face = DrawnFace(box=toon_box(who), style=Art.TOON, view=view, tilt=who.tilt, occluded=0.0, tags=(difficulty,))
    pen = Pen(ImageDraw.Draw(sheet.canvas), who.x * SUPERSAMPLE, who.y * SUPERSAMPLE, who.scale * SUPERSAMPLE, who.tilt)
    sheet.seat(pen, (0.0, 0.3), (0.8, 0.8), face)


def _centred(pose: Pose, place: Place) -> Pose:
    """Move a pose so that its face, not its head, is in the middle of its place, however it is turned."""
    angle = math.radians(pose.tilt + pose.turn)
    low = 0.4 * pose.scale
    return replace(pose, x=place[0] + math.sin(angle) * low, y=place[1] - math.cos(angle) * low)
