"""How the faces of one picture are found: cheap proposals, a judge at each, and second looks only where doubt is left.

Networks look at the whole picture and propose; the last detector, the judge, sees a small window round each proposal,
and so do cascades, as witnesses; where there is no network, or it sees nothing, the cascades look everywhere. What
all of them say of a place is its *evidence*, and `pipeline.score` turns that into the probability that a face is
there. Where this is neither high nor low, and an answer could change that, the judge looks again: in a mirror, with
more around it, leaning, equalised, lying and upside down. A detector that is alone proposes and judges.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.detectors import Detector, Face
from pipeline.pixels import Pixels, cut, fit, rotate, scale_to
from pipeline.records import Box, Landmarks
from pipeline.score import CLEAR, SURE, UNLIKELY, Evidence, Model, strength

CLOSER = 1.5  # longer side of the closer look in sides of the first, at most
# Side of a proposed face when it is judged, pixels, and of the window round it, in sides of the face: at 80 and 1.5
# animeface confirms 76 of 100 drawn faces in 10 ms each, and at 62 and 1.2, where its smallest windows fit, 66 in 1 ms.
_JUDGED_AT, _MARGIN = 62, 1.2
_SAME = 0.3  # overlap above which two boxes are of the same face
_INSIDE = 0.6  # share of the smaller box that lies in the larger one, above which they are of the same face
_NEARLY = 0.85  # boxes of one face differ by so much in size
_CROWD = 1.5  # where a face is less than this many times the smallest that can be found, smaller ones may be near
_MOST = 60  # places of a picture that are judged, the likeliest; its faces are seldom more than twelve
_TILTS = (-25.0, 25.0)  # degrees; upright, animeface loses every fifth drawn face at 35 degrees and half at 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A face, who saw it, and why it is thought to be one."""

    face: Face  # its score is the probability
    detectors: tuple[str, ...]  # who saw it, in the order in which they were asked
    evidence: tuple[tuple[str, float], ...]  # as `pipeline.score` reads it


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """One way to show a place to the judge."""

    turn: float = 0.0  # degrees, clockwise as seen
    mirrored: bool = False
    equalised: bool = False
    margin: float = _MARGIN
    face: int = _JUDGED_AT  # pixels; side of the face that is expected

    @property
    def upright(self) -> bool:
        """Whether it is for a face that leans at most."""
        return abs(self.turn) < 45


_FIRST = _Look()
# What fools a network once rarely does so at another size in a mirror (bench: half of them).
_AGAIN = (
    _Look(mirrored=True, margin=1.5),
    _Look(turn=22.0),
    _Look(turn=-22.0, equalised=True),
    _Look(turn=90.0),
    _Look(turn=-90.0),
    _Look(turn=180.0),
)
# A cascade confirms in such a window what it finds in the whole picture, and is fooled less often (bench).
_WITNESSED = _Look(margin=1.5, face=40)


@dataclass(slots=True)
class _Place:
    """Where there may be a face, and what was said of it."""

    seen: dict[str, Face]  # by detector; of those that propose, and of witnesses
    judged: Face | None = None  # in the window round it
    asked_again: bool = False
    again: tuple[_Look, Face] | None = None  # the second look that confirmed it, and what was seen
    lie: tuple[tuple[str, float], ...] = ()  # evidence that no detector gives

    @property
    def surest(self) -> Face:
        return max(self.seen.values(), key=lambda face: (face.score, face.box))

    @property
    def box(self) -> Box:
        """The middle of the boxes that were proposed; those of two are off by less than that of any one (bench)."""
        boxes = [face.box for face in self.seen.values()]
        side = statistics.median(box.width for box in boxes)
        x = statistics.median(box.left + box.width / 2 for box in boxes)
        y = statistics.median(box.top + box.height / 2 for box in boxes)
        return Box(left=round(x - side / 2), top=round(y - side / 2), width=round(side), height=round(side))


def find(picture_HWC: Pixels, detectors: Sequence[Detector], model: Model, side: int, smallest: float) -> list[Found]:
    """Find the faces of a picture, each once.

    Args:
        picture_HWC: RGB, uint8; boxes come in its pixels.
        detectors: Those that propose, and the one that judges; or one that does both.
        model: What the evidence is worth.
        side: Longer side of the picture that the proposers see first, in pixels.
        smallest: Smaller faces need not be found; pixels of *picture_HWC*.
    """
    *proposers, judge = detectors
    names = [one.name for one in detectors]
    networks = [one for one in proposers if one.sight]
    witnesses = [one for one in proposers if not one.sight]
    places = _proposed(picture_HWC, networks, side, smallest)
    if not places:
        places, witnesses = _proposed(picture_HWC, witnesses if proposers else [judge], side, smallest), []
    if not places:
        places = _oddly_drawn(picture_HWC, judge, side // 2, (0.0,) if proposers else _TILTS)
    found = []
    for place in places:
        if place.box.width < smallest:
            continue
        place.lie = tuple(_lie(picture_HWC, place.box))
        place.seen |= _witnessed(picture_HWC, place.box, witnesses)
        if judge.name not in place.seen:
            place.judged = _shown(picture_HWC, place.box, judge, _FIRST)
        one = _concluded(place, names, model)
        looks = _worth_taking(dict(one.evidence), model)
        if looks:
            place.asked_again, place.again = True, _again(picture_HWC, place.box, judge, looks)
            one = _concluded(place, names, model)
        found.append(one)
    return _distinct(found)


def _proposed(picture_HWC: Pixels, proposers: Sequence[Detector], side: int, smallest: float) -> list[_Place]:
    """Bring together what each of the detectors sees in the whole picture, and closer where more may hide."""
    if not proposers:
        return []
    # A network brings every picture to the size that it wants by itself.
    fitted_HWC = picture_HWC if all(one.sight for one in proposers) else fit(picture_HWC, side)
    seen = [(one.name, face) for one in proposers for face in _seen_in(fitted_HWC, picture_HWC, one, smallest)]
    longer, shown = max(picture_HWC.shape[:2]), min(side, max(picture_HWC.shape[:2]))
    limits = [one.smallest * longer / (one.sight or shown) for one in proposers]
    limit = min(limits)
    keenest = proposers[limits.index(limit)]
    # A network that sees all sizes and sees nothing is believed; a cascade may have stood too far away.
    least_seen = min((face.box.width for _, face in seen), default=limit * _CROWD if keenest.sight else 0)
    if smallest < limit and least_seen < limit * _CROWD:
        seen += [(keenest.name, face) for face in _seen_closer(picture_HWC, keenest, round(side * CLOSER), smallest)]
    return _places(seen)


def _seen_closer(picture_HWC: Pixels, detector: Detector, side: int, smallest: float) -> Iterator[Face]:
    """Look at a larger copy; part by part if the detector would see the whole of it no larger than before."""
    longer = max(picture_HWC.shape[:2])
    if detector.sight is None:
        closer_HWC = scale_to(picture_HWC, min(side, math.ceil(longer * detector.smallest / smallest)))
        yield from _seen_in(closer_HWC, picture_HWC, detector, smallest)
        return
    closer_HWC = fit(picture_HWC, side)
    scale = longer / max(closer_HWC.shape[:2])
    height, width = closer_HWC.shape[:2]
    for top in _starts(height, detector.sight):
        for left in _starts(width, detector.sight):
            part_HWC = closer_HWC[top : top + detector.sight, left : left + detector.sight]
            for face in detector.detect(np.ascontiguousarray(part_HWC), _NEARLY * smallest / scale):
                yield mapped(face, scale, round(left * scale), round(top * scale))


def _starts(length: int, part: int) -> list[int]:
    """Say where parts begin that cover a length, evenly, and overlap by an eighth or more."""
    count = max(1, math.ceil((length - part / 8) / (part * 7 / 8)))
    return [round(index * (length - part) / max(1, count - 1)) for index in range(count)] if length > part else [0]


def _oddly_drawn(picture_HWC: Pixels, judge: Detector, side: int, tilts: Sequence[float]) -> list[_Place]:
    """Let the judge search a small picture where nobody saw anything: for large faces, or tilted ones."""
    reduced_HWC = fit(picture_HWC, side)
    return _places(
        [(judge.name, face) for tilt in tilts for face in _seen_tilted(reduced_HWC, picture_HWC, judge, tilt)]
    )


def _places(seen: Iterable[tuple[str, Face]]) -> list[_Place]:
    """Put together what is seen in the same place, the likeliest first; no detector sees one face twice."""
    places: list[_Place] = []
    for name, face in sorted(seen, key=lambda one: (-one[1].score, one[0], one[1].box)):
        place = next((place for place in places if _same(place.surest.box, face.box)), None)
        if place is None:
            places.append(_Place({name: face}))
        else:
            place.seen.setdefault(name, face)
    return places[:_MOST]


def _seen_in(scaled_HWC: Pixels, picture_HWC: Pixels, detector: Detector, smallest: float) -> list[Face]:
    """Look at a scaled copy of a picture; faces come in pixels of *picture_HWC*, as *smallest* is."""
    scale = picture_HWC.shape[1] / scaled_HWC.shape[1]
    return [mapped(face, scale) for face in detector.detect(scaled_HWC, _NEARLY * smallest / scale)]


def _seen_tilted(reduced_HWC: Pixels, picture_HWC: Pixels, detector: Detector, tilt: float) -> list[Face]:
    """Look at a reduced copy turned by *tilt* degrees, clockwise as seen."""
    height, width = reduced_HWC.shape[:2]
    turned_HWC = rotate(reduced_HWC, tilt) if tilt else reduced_HWC
    scale = picture_HWC.shape[1] / width
    back = _turned(tilt)
    return [mapped(_about(face, (width / 2, height / 2), back), scale) for face in detector.detect(turned_HWC)]


def _shown(picture_HWC: Pixels, box: Box, judge: Detector, look: _Look) -> Face | None:
    """Show one place to the judge in one way; give what it sees there, if anything, as it lies in the picture."""
    window = _about_centre(box, look.margin)
    size = round(look.face * look.margin)
    lean = look.turn % 90
    if lean:  # the corners that open come from the picture, too
        wide = _about_centre(window, math.sqrt(2))
        larger = round(size * math.sqrt(2))
        edge = (larger - size) // 2
        shown_HWC = rotate(scale_to(cut(picture_HWC, wide), larger), look.turn)[edge : edge + size, edge : edge + size]
    else:
        shown_HWC = np.rot90(scale_to(cut(picture_HWC, window), size), -round(look.turn / 90))
    if look.mirrored:
        shown_HWC = shown_HWC[:, ::-1]
    if look.equalised:
        shown_HWC = _equalised(shown_HWC)
    back = _turned(look.turn, look.mirrored)
    scale = window.width / size
    faces = [
        mapped(_about(face, (size / 2, size / 2), back), scale, window.left, window.top)
        for face in judge.detect(np.ascontiguousarray(shown_HWC), look.face / 2)  # a smaller one is not this face
    ]
    there = [face for face in faces if face.box.overlap(box) > _SAME]
    return max(there, key=lambda face: (face.score, face.box), default=None)


def _witnessed(picture_HWC: Pixels, box: Box, witnesses: Iterable[Detector]) -> dict[str, Face]:
    """Show one place to those that did not propose it."""
    said = ((one.name, _shown(picture_HWC, box, one, _WITNESSED)) for one in witnesses)
    return {name: face for name, face in said if face is not None}


def _worth_taking(evidence: Evidence, model: Model) -> Sequence[_Look]:
    """Name the second looks that can settle what is in doubt; without a model nobody knows what they are worth."""

    def doubtful(said: Evidence) -> bool:
        return UNLIKELY <= model.probability(said) < SURE

    if not model.weights or not doubtful(evidence):
        return () if model.weights else _AGAIN
    asked = {**evidence, "again asked": 1.0}
    if not doubtful(asked):
        return _AGAIN
    seen = {**asked, "again seen": 1.0, "again": CLEAR, "parts": 1.0}  # as three of four answers are
    settles = {upright: not doubtful({**seen, "again upright": float(upright)}) for upright in (False, True)}
    return [look for look in _AGAIN if settles[look.upright]]


def _again(picture_HWC: Pixels, box: Box, judge: Detector, looks: Iterable[_Look]) -> tuple[_Look, Face] | None:
    """Show a doubtful place in other ways, until one of them has confirmed it."""
    seen = ((look, _shown(picture_HWC, box, judge, look)) for look in looks)
    return next(((look, face) for look, face in seen if face is not None), None)


def _equalised(pixels_HWC: Pixels) -> Pixels:
    """Spread the brightness over its whole range, and leave the colours as they are."""
    spread_HWC = cv2.cvtColor(pixels_HWC, cv2.COLOR_RGB2YCrCb)
    spread_HWC[:, :, 0] = cv2.equalizeHist(spread_HWC[:, :, 0])
    out: Pixels = np.asarray(cv2.cvtColor(spread_HWC, cv2.COLOR_YCrCb2RGB), np.uint8)
    return out


def _concluded(place: _Place, asked: Sequence[str], model: Model) -> Found:
    """Weigh what was said of a place by those who were asked, of whom the last judges."""
    judge = asked[-1]
    judged = place.seen.get(judge) or place.judged or (place.again[1] if place.again else None)
    evidence = dict(_evidence(place, judge, judged))
    face = replace(judged or place.surest, box=place.box, score=model.probability(evidence))
    saw = tuple(name for name in asked if name in place.seen or (name == asked[-1] and judged))
    said = tuple((word, round(value, 4)) for word, value in evidence.items() if value)
    return Found(face=face, detectors=saw, evidence=said)


def _evidence(place: _Place, judge: str, judged: Face | None) -> Iterator[tuple[str, float]]:
    """Say in words and numbers what speaks for a face, and what against."""
    first = {**place.seen, **({judge: place.judged} if place.judged else {})}
    for name, face in first.items():
        yield f"{name} seen", 1.0
        yield name, strength(face.score)
    boxes = [face.box for face in first.values()]
    if len(boxes) > 1:
        yield "same box", min(one.overlap(other) for one in boxes for other in boxes)
    if judged and judged.landmarks:
        yield "parts", plausible(judged.landmarks, judged.box)
    if place.asked_again:
        yield "again asked", 1.0
    if place.again:
        look, face = place.again
        yield "again seen", 1.0
        yield "again", strength(face.score)
        yield "again upright", float(look.upright)
    yield from place.lie


def _lie(picture_HWC: Pixels, box: Box) -> Iterator[tuple[str, float]]:
    """Say what speaks for a face in how a box lies in its picture, and what colours it holds."""
    height, width = picture_HWC.shape[:2]
    yield "skin", skin_share(picture_HWC, box)
    yield "size", max(-3.0, min(3.0, math.log2(max(1, box.width) / 64)))
    yield "filling", min(1.0, box.width / min(height, width))
    yield "cut off", 1 - _common(box, Box(left=0, top=0, width=width, height=height)) / box.area


def plausible(marks: Landmarks, box: Box) -> float:
    """Say how far the parts of a face are where they belong, 0 to 1: how many of four statements hold.

    The eyes are a quarter to three quarters of the box apart, and their line is in its middle; the mouth is below them,
    between them; the chin is below the mouth. "Below" is seen from the line of the eyes.
    """
    right, left = np.array(marks.right_eye, float), np.array(marks.left_eye, float)
    apart = math.dist(left, right)
    if not apart:
        return 0.0
    along = (left - right) / apart
    down = np.array([-along[1], along[0]])
    middle = (left + right) / 2
    mouth, chin = np.array(marks.mouth) - middle, np.array(marks.chin) - middle
    centre = np.array([box.left + box.width / 2, box.top + box.height / 2])
    statements = (
        0.25 < apart / box.width < 0.75,
        math.dist(middle, centre) < 0.25 * box.width,
        0.1 < mouth @ down / box.width < 0.6 and abs(mouth @ along) < 0.2 * box.width,
        chin @ down > mouth @ down,
    )
    return sum(map(bool, statements)) / len(statements)


def skin_share(picture_HWC: Pixels, box: Box) -> float:
    """Say which share of the middle of *box* has a colour of skin, 0 to 1, as Chai and Ngan bound it.

    Face Segmentation Using Skin-Color Map in Videophone Applications, IEEE CSVT 9(4), 1999: Cr 133 to 173, Cb 77 to
    127. Drawn skin is paler, so that Cr begins at 130 here.
    """
    inner = _about_centre(box, 0.6)
    small_HWC = cv2.cvtColor(scale_to(cut(picture_HWC, inner), 24), cv2.COLOR_RGB2YCrCb)
    return float(cv2.inRange(small_HWC, np.array([60, 130, 77]), np.array([255, 173, 127])).mean() / 255)


def _distinct(found: Iterable[Found]) -> list[Found]:
    """Keep the surest of those of one face; of two as sure the smaller, for a whole body may pass for a face."""
    kept: list[Found] = []
    surest = sorted(found, key=lambda one: (-round(one.face.score, 2), one.face.box.area, one.face.box))
    for one in surest:
        if not any(_same(one.face.box, other.face.box) for other in kept):
            kept.append(one)
    return kept


def _same(first: Box, second: Box) -> bool:
    common = _common(first, second)
    return first.overlap(second) > _SAME or common > _INSIDE * min(first.area, second.area)


def _common(first: Box, second: Box) -> int:
    """Count the pixels of both."""
    wide = min(first.right, second.right) - max(first.left, second.left)
    high = min(first.bottom, second.bottom) - max(first.top, second.top)
    return max(0, wide) * max(0, high)


def _turned(degrees: float, mirrored: bool = False) -> NDArray[np.float64]:  # noqa: FBT001, FBT002
    """Give the matrix that brings places of a picture turned clockwise, and mirrored then, back."""
    radians = math.radians(degrees)
    back = np.array([[math.cos(radians), math.sin(radians)], [-math.sin(radians), math.cos(radians)]])
    return back @ np.diag([-1.0, 1.0]) if mirrored else back


def _about(face: Face, centre: tuple[float, float], back: NDArray[np.float64]) -> Face:
    """Bring a face back to where it is in the picture before it was turned; a square turns about its centre."""

    def moved(x: float, y: float) -> tuple[float, float]:
        there = back @ (x - centre[0], y - centre[1])
        return float(there[0] + centre[0]), float(there[1] + centre[1])

    box = face.box
    x, y = moved(box.left + box.width / 2, box.top + box.height / 2)
    box = replace(box, left=round(x - box.width / 2), top=round(y - box.height / 2))
    marks = face.landmarks
    if marks:
        eyes = (marks.left_eye, marks.right_eye) if np.linalg.det(back) > 0 else (marks.right_eye, marks.left_eye)
        places = [moved(*place) for place in (*eyes, marks.mouth, marks.nose, marks.chin)]
        marks = _marks(places)
    return replace(face, box=box, landmarks=marks)


def mapped(face: Face, scale: float, left: int = 0, top: int = 0) -> Face:
    """Give a face in pixels of the picture of which the one it was seen in is a part, from (*left*, *top*) on."""
    box = face.box
    box = Box(
        left=round(box.left * scale) + left,
        top=round(box.top * scale) + top,
        width=round(box.width * scale),
        height=round(box.height * scale),
    )
    marks = face.landmarks
    if marks:
        places = (marks.left_eye, marks.right_eye, marks.mouth, marks.nose, marks.chin)
        marks = _marks((x * scale + left, y * scale + top) for x, y in places)
    return replace(face, box=box, landmarks=marks)


def _marks(places: Iterable[tuple[float, float]]) -> Landmarks:
    left_eye, right_eye, mouth, nose, chin = ((round(x), round(y)) for x, y in places)
    return Landmarks(left_eye=left_eye, right_eye=right_eye, mouth=mouth, nose=nose, chin=chin)


def _about_centre(box: Box, zoom: float) -> Box:
    side = round(box.width * zoom)
    left, top = round(box.left + (box.width - side) / 2), round(box.top + (box.height - side) / 2)
    return Box(left=left, top=top, width=side, height=side)
