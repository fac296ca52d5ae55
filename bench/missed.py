"""Which drawn faces are missed: by kind of picture, tilt, size, and what the character wears and does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.truth import WANTED, Look, Rule, match
from pipeline.sandbox.figure import EYES, FaceTruth
from pipeline.sandbox.posts import Kind, PlantedPost

Is = Callable[[PlantedPost, FaceTruth], bool]

_ODD_FILES = {Kind.WRONG_EXTENSION, Kind.CMYK, Kind.SIXTEEN_BIT, Kind.PALETTE, Kind.EXIF_ROTATED}
_COLOURS_OF_EYES = {f"{colour}_eyes" for colour in EYES}


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one drawn face."""

    post: PlantedPost
    face: FaceTruth
    found: bool  # by anybody, however unsure
    sure: bool  # enough for the rule


@dataclass(frozen=True, slots=True)
class Count:
    """Of the faces of one kind."""

    faces: int
    found: int
    sure: int


def fates(looks: Sequence[Look], rule: Rule | None, wanted: float = WANTED) -> Iterator[Fate]:
    """Tell of every wanted face whether it was found, and surely enough."""
    for look in looks:
        drawn = [face.box for face in look.post.truth.faces]
        found, sure = match(look.boxes(), drawn), match(look.boxes(rule), drawn)
        for j, face in enumerate(look.post.truth.faces):
            if face.box.width >= wanted:
                yield Fate(look.post, face, j in found, j in sure)


def _of_kind(*kinds: Kind) -> Is:
    return lambda post, _: post.kind in kinds


def _tilted(least: float, under: float) -> Is:
    return lambda _, face: least <= abs(face.tilt) < under


def _sized(least: int, under: int) -> Is:
    return lambda _, face: least <= face.box.width < under


def _has(*words: str) -> Is:
    return lambda _, face: not {*words}.isdisjoint(face.attributes)


GROUPS: Mapping[str, Is] = {
    "all": lambda _, __: True,
    "one face": lambda post, _: len(post.truth.faces) == 1,
    "groups of 2 to 6": _of_kind(Kind.GROUP),
    "near-copies": _of_kind(Kind.NEAR_COPY),
    "without colour": _of_kind(Kind.MONOCHROME),
    "odd files (CMYK, 16 bit, palette …)": lambda post, _: post.kind in _ODD_FILES,
    "tilt under 8°": _tilted(0, 8),
    "tilt 8 to 15°": _tilted(8, 15),
    "tilt 15 to 20°": _tilted(15, 20),
    "tilt over 20°": _tilted(20, 180),
    "face under 128 px": _sized(0, 128),
    "face 128 to 192 px": _sized(128, 192),
    "face 192 to 256 px": _sized(192, 256),
    "face over 256 px": _sized(256, 100_000),
    "closed eyes": lambda _, face: _COLOURS_OF_EYES.isdisjoint(face.attributes),
    "open mouth": _has("open_mouth"),
    "hat": _has("hat"),
    "glasses": _has("glasses"),
    "ribbon": _has("hair_ribbon"),
}


def count(all_fates: Sequence[Fate]) -> dict[str, Count]:
    """Count the faces of each group: how many there are, were found, and surely."""
    return {
        name: _counted([fate for fate in all_fates if belongs(fate.post, fate.face)])
        for name, belongs in GROUPS.items()
    }


def by_character(all_fates: Sequence[Fate]) -> dict[str, Count]:
    """Count the same for each character."""
    names = sorted({fate.face.identity for fate in all_fates})
    return {name: _counted([fate for fate in all_fates if fate.face.identity == name]) for name in names}


def _counted(fates: Sequence[Fate]) -> Count:
    return Count(len(fates), sum(fate.found for fate in fates), sum(fate.sure for fate in fates))


def wrong(looks: Sequence[Look], rule: Rule | None) -> Counter[str]:
    """Count the boxes that hold no drawn face, by kind of picture."""
    counted: Counter[str] = Counter()
    for look in looks:
        boxes = look.boxes(rule)
        counted[look.post.kind.value] += len(boxes) - len(match(boxes, [face.box for face in look.post.truth.faces]))
    return +counted
