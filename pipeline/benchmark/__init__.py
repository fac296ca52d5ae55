"""What detectors are worth: boxes are held against the truth, and counted.

A box is right when its intersection over union with a face that no surer box has taken is at least 0.5, as in
Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2010. What lies beyond the border of a picture is
cut off from both before they are compared: no two ways of labelling agree on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.pixels import BadImage, inspect
from pipeline.records import Box, Image
from pipeline.shares import Share
from pipeline.store import Store

SAME_FACE = 0.5  # intersection over union
BINS = 10  # of the score, equally wide
MAX_PIXELS = 100_000_000  # width times height

# Sides of the true box, in pixels: from, and under.
SIZES: dict[str, tuple[float, float]] = {
    "under 48 px": (0, 48),
    "48 to 95 px": (48, 96),
    "96 to 191 px": (96, 192),
    "192 to 383 px": (192, 384),
    "384 px and more": (384, float("inf")),
}


Traits = tuple[tuple[str, str], ...]  # what is known of a face, such as ("view", "profile")


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """A picture and the boxes of its faces."""

    path: Path
    faces: tuple[Box, ...]
    group: str = ""  # what it is an example of, such as what is hard about it
    traits: tuple[Traits, ...] = ()  # of each face; empty where nothing is known of any


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A picture that can be shown to detectors, and the boxes of its faces."""

    image: Image
    name: str
    path: Path
    faces: tuple[Box, ...]
    group: str
    traits: tuple[Traits, ...] = ()


def load(truth: Truth, store: Store) -> Picture:
    """Put a picture into *store*, as a run would.

    Raises:
        UsageError: The file is not there, or is no whole picture; or a box lies outside of it.
    """
    try:
        data = truth.path.read_bytes()
        still = inspect(data, max_pixels=MAX_PIXELS)
    except OSError as error:
        raise UsageError(f"{truth.path}: cannot be read ({error.strerror}); the labels name it") from error
    except BadImage as bad:
        raise UsageError(f"{truth.path}: {bad.reason} {bad.detail}".rstrip() + "; take it out of the labels") from bad
    image = Image(
        sha256=store.put(data),
        md5="",
        post_id=f"benchmark:{truth.path.name}",
        width=still.width,
        height=still.height,
        bytes=len(data),
        format=still.format,
        phash=still.phash,
    )
    for face in truth.faces:
        if not _clipped(face, image).area:
            raise UsageError(
                f"{truth.path}: the box {face.left},{face.top},{face.width},{face.height} lies outside of the picture, "
                f"which has {image.width} × {image.height} pixels; correct the labels"
            )
    return Picture(
        image=image,
        name=truth.path.name,
        path=truth.path,
        faces=truth.faces,
        group=truth.group,
        traits=truth.traits,
    )


class Fate(StrEnum):
    """What a recipe does with a guess before any person has seen it."""

    ACCEPTED = "accepted"
    QUEUED = "queued"  # a person decides
    DROPPED = "dropped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess:
    """A box that some way of looking takes for a face."""

    box: Box
    score: float  # 0 to 1; comparable within one way only
    answer: bool = True  # whether the way gives it as its answer; others only draw its curve
    fate: Fate | None = None  # None: no recipe has a rule for it


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A guess, and what is true of it."""

    picture: int
    guess: Guess
    face: int | None  # index of the true face; None: there is none, or a surer guess has it


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """Right, wrong and missed."""

    faces: int
    right: int
    wrong: int

    @classmethod
    def of(cls, faces: int, rights: Sequence[bool]) -> Count:
        """Count guesses of which it is known whether they are right."""
        return cls(faces=faces, right=sum(rights), wrong=len(rights) - sum(rights))

    @property
    def missed(self) -> int:
        """Faces that nothing was right about."""
        return self.faces - self.right

    @property
    def of_guesses(self) -> Share:
        """How many of the guesses are right."""
        return Share(self.right, self.right + self.wrong)

    @property
    def of_faces(self) -> Share:
        """How many of the faces were found."""
        return Share(self.right, self.faces)

    @property
    def precision(self) -> float | None:
        """Share of the guesses that are right; None where there is no guess."""
        return self.of_guesses.value

    @property
    def recall(self) -> float | None:
        """Share of the faces that were found; None where there is no face."""
        return self.of_faces.value

    @property
    def f1(self) -> float | None:
        """Harmonic mean of both; None where there is nothing to count."""
        total = self.faces + self.right + self.wrong
        return 2 * self.right / total if total else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """All that one way of looking said of some pictures, held against the truth."""

    name: str
    pictures: tuple[Picture, ...]
    hits: tuple[Hit, ...]  # the surest first
    seconds: float  # that the looking took, of the wall

    def count(self, of: Callable[[Guess], bool] = lambda guess: guess.answer) -> Count:
        """Count what it answers, or other guesses."""
        return Count.of(self._faces(), [hit.face is not None for hit in self.hits if of(hit.guess)])

    def decided(self, *fates: Fate) -> Count:
        """Count the guesses that have one of these fates."""
        return self.count(lambda guess: guess.fate in fates)

    def found(self) -> frozenset[tuple[int, int]]:
        """Name the faces that it answers rightly, by picture and number."""
        return frozenset((hit.picture, hit.face) for hit in self.hits if hit.guess.answer and hit.face is not None)

    def by_group(self) -> dict[str, Count]:
        """Count what it answers in each group of pictures."""
        groups = sorted({picture.group for picture in self.pictures if picture.group})
        return {group: self.only(group).count() for group in groups}

    def by_trait(self) -> dict[tuple[str, str], Share]:
        """Say of the faces with each trait how many it answers rightly; a wrong box has none, and counts nowhere."""
        found, counts = self.found(), dict[tuple[str, str], list[bool]]()
        for index, picture in enumerate(self.pictures):
            for face, traits in enumerate(picture.traits):
                for trait in traits:
                    counts.setdefault(trait, []).append((index, face) in found)
        return {trait: Share(sum(counts[trait]), len(counts[trait])) for trait in sorted(counts, key=_in_order)}

    def by_size(self) -> dict[str, Count]:
        """Count what it answers by the size of the face; a wrong box counts by its own."""
        sides = [face.width for picture in self.pictures for face in picture.faces]
        answers = [(self._side(hit), hit.face is not None) for hit in self.hits if hit.guess.answer]
        return {
            name: Count.of(
                sum(least <= side < under for side in sides),
                [right for side, right in answers if least <= side < under],
            )
            for name, (least, under) in SIZES.items()
        }

    def _side(self, hit: Hit) -> int:
        box = hit.guess.box if hit.face is None else self.pictures[hit.picture].faces[hit.face]
        return box.width

    def only(self, group: str) -> Judged:
        """Give the same of the pictures of one group."""
        chosen = [index for index, picture in enumerate(self.pictures) if picture.group == group]
        places = {index: place for place, index in enumerate(chosen)}
        hits = tuple(replace(hit, picture=places[hit.picture]) for hit in self.hits if hit.picture in places)
        return replace(self, pictures=tuple(self.pictures[index] for index in chosen), hits=hits)

    def curve(self) -> tuple[Point, ...]:
        """Give precision and recall for each score that may be asked for, the highest first."""
        points, right, said = [], 0, 0
        # Equal scores enter together: nothing says which of them comes first.
        for score, same in groupby(self.hits, key=lambda hit: hit.guess.score):
            several = list(same)
            right += sum(hit.face is not None for hit in several)
            said += len(several)
            points.append(Point(score=score, recall=right / max(1, self._faces()), precision=right / said))
        return tuple(points)

    def _faces(self) -> int:
        return sum(len(picture.faces) for picture in self.pictures)


def _in_order(trait: tuple[str, str]) -> tuple[str, list[int], str]:
    """Sort bands by their numbers: 20 to 50 comes before 130."""
    return trait[0], [int(number) for number in re.findall(r"\d+", trait[1])], trait[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """Of a curve: what holds when no lower score is taken."""

    score: float
    recall: float
    precision: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """Guesses with about the same score."""

    least: float  # of the score; the bin ends where the next begins
    score: float  # mean
    right: Share


def judge(name: str, pictures: Sequence[Picture], found: Sequence[Sequence[Guess]], seconds: float = 0.0) -> Judged:
    """Hold guesses against the truth: within a picture the surest is first to take the free face that it overlaps most.

    Args:
        name: Of the way of looking.
        pictures: What was looked at.
        found: For each picture, in any order.
        seconds: How long it took.
    """
    hits = []
    for index, (picture, guesses) in enumerate(zip(pictures, found, strict=True)):
        free = dict(enumerate(picture.faces))
        for guess in sorted(guesses, key=lambda one: (-one.score, one.box)):
            face = _best(guess.box, free, picture.image)
            if face is not None:
                del free[face]
            hits.append(Hit(picture=index, guess=guess, face=face))
    hits.sort(key=lambda hit: -hit.guess.score)
    return Judged(name=name, pictures=tuple(pictures), hits=tuple(hits), seconds=seconds)


def _best(box: Box, free: dict[int, Box], image: Image) -> int | None:
    overlaps = [(_clipped(face, image).overlap(_clipped(box, image)), -index) for index, face in free.items()]
    overlap, index = max(overlaps, default=(0.0, 0))
    return -index if overlap >= SAME_FACE else None


def _clipped(box: Box, image: Image) -> Box:
    left, top = max(0, box.left), max(0, box.top)
    width, height = max(0, min(image.width, box.right) - left), max(0, min(image.height, box.bottom) - top)
    return Box(left=left, top=top, width=width, height=height)


def average_precision(curve: Sequence[Point]) -> float:
    """Measure the area under a curve of precision over recall, with every point interpolated.

    Each step of recall counts with the best precision that is reached there or later: the rule of PASCAL VOC since
    2010; Padilla et al., A Survey on Performance Metrics for Object-Detection Algorithms, IWSSIP 2020, section III.
    """
    area, best, after = 0.0, 0.0, None
    for point in reversed(curve):
        if after is not None:
            area += (after - point.recall) * best
        best, after = max(best, point.precision), point.recall
    return area + (after or 0.0) * best


def reliability(hits: Iterable[Hit]) -> tuple[Bin, ...]:
    """Group guesses by their score, in `BINS` equal steps; empty ones are left out."""
    bins: dict[int, list[Hit]] = {}
    for hit in hits:
        bins.setdefault(min(BINS - 1, int(hit.guess.score * BINS)), []).append(hit)
    return tuple(
        Bin(
            least=number / BINS,
            score=sum(hit.guess.score for hit in some) / len(some),
            right=Share(sum(hit.face is not None for hit in some), len(some)),
        )
        for number, some in sorted(bins.items())
    )


def calibration_error(bins: Sequence[Bin]) -> float | None:
    """Say by how much scores differ from the share that is right, on average over all guesses; None without any.

    The expected calibration error of Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning,
    AAAI 2015.
    """
    total = sum(one.right.whole for one in bins)
    return sum(abs(one.score * one.right.whole - one.right.part) for one in bins) / total if total else None


def agreement(ways: Sequence[Judged]) -> dict[str, dict[str, float | None]]:
    """Say, of the faces that one way finds, which share another finds too; None where the first finds none."""
    found = {way.name: way.found() for way in ways}
    return {
        one: {other: len(mine & theirs) / len(mine) if mine else None for other, theirs in found.items()}
        for one, mine in found.items()
    }
