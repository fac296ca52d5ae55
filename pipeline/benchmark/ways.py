"""Which ways of looking for faces are compared: the scripts that everybody copies, and the stage `detect`."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pictures
from PIL import ImageOps

from pipeline.benchmark import MAX_PIXELS, Fate, Guess, Judged, Picture, judge
from pipeline.detect import DetectFaces
from pipeline.detectors import DETECTORS, Detector, at_hand, build, lbpcascade
from pipeline.errors import DetectorError, RecipeError, UsageError
from pipeline.recipe import Recipe, load
from pipeline.records import Box, Detection
from pipeline.stage import Dropped, Kept
from pipeline.store import Store
from pipeline.workers import Crashed, TimedOut, Workers

SMALLEST = 24  # pixels; smaller faces need not be found
CASCADE_SCRIPT, ANIMEFACE_SCRIPT = "cascade-script", "animeface-script"
_MOST_AGREE = 5  # windows: the minNeighbors of the script; a face needs more than that

_EVEN = 0.5  # a score below says that there is rather no face: no answer, though a person may be asked

Progress = Callable[[int, int], None]  # pictures looked at, pictures
Decide = Callable[[Detection], Fate]


def cascade_script(path: Path) -> list[Guess]:
    """Do as the cascade's own page shows: `cv2.imread`, full size, equalised grey, steps of 1.1, 5 neighbours, 24 px.

    Windows that fewer agree on are given too, but not as its answer: they say how its precision falls. Where the script
    asks for 5 OpenCV gives the groups of more than 5, and the same ones when it is asked for all.
    """
    bgr_HWC = cv2.imread(str(path))
    if bgr_HWC is None:
        return []
    grey_HW = cv2.equalizeHist(cv2.cvtColor(bgr_HWC, cv2.COLOR_BGR2GRAY))
    boxes, neighbours = classifier().detectMultiScale2(grey_HW, scaleFactor=1.1, minNeighbors=1, minSize=(24, 24))
    return [
        Guess(
            box=Box(left=int(left), top=int(top), width=int(width), height=int(height)),
            score=lbpcascade.score(int(votes)),
            answer=int(votes) > _MOST_AGREE,
        )
        for (left, top, width, height), votes in zip(boxes, np.ravel(neighbours), strict=True)
    ]


def animeface_script(path: Path) -> list[Guess]:
    """Do as the usual script with animeface: Pillow, the full size, `animeface.detect`, and whatever it finds.

    Under Pillow 12 and later the package itself is blind, so its network is called by our adapter, which adds nothing.
    """
    with Pictures.open(path) as picture:
        pixels_HWC = np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    return [Guess(box=face.box, score=face.score) for face in ready("animeface").detect(pixels_HWC)]


@functools.cache
def ready(name: str) -> Detector:
    """Build a detector once for each process, on one thread."""
    cv2.setNumThreads(1)
    return build(name)


@functools.cache
def classifier() -> cv2.CascadeClassifier:
    """Load the borrowed cascade once for each process, on one thread."""
    cv2.setNumThreads(1)
    return cv2.CascadeClassifier(str(lbpcascade.find()))


_SCRIPTS: dict[str, Callable[[Path], list[Guess]]] = {
    ANIMEFACE_SCRIPT: animeface_script,
    CASCADE_SCRIPT: cascade_script,
}


_NEEDED: dict[str, tuple[str, ...]] = {ANIMEFACE_SCRIPT: ("animeface",), CASCADE_SCRIPT: ("lbpcascade",)}  # detectors


def usual() -> tuple[str, ...]:
    """Name the ways that this machine can compare: the scripts; the default recipe's detectors, alone and together."""
    scripts = [name for name, needed in _NEEDED.items() if all(map(_at_hand, needed))]
    together = of_recipe(load("default"))
    return tuple(dict.fromkeys([*scripts, *together.split("+"), together]))


def of_recipe(recipe: Recipe) -> str:
    """Name the way that a run of a recipe takes on this machine.

    Raises:
        DetectorError: It cannot run.
    """
    return "+".join(at_hand(recipe.detect.detectors)[0])


def _at_hand(name: str) -> bool:
    try:
        build(name)
    except DetectorError:
        return False
    return True


def check(name: str) -> None:
    """Be sure that a way can be gone, before pictures are drawn for it.

    Raises:
        UsageError: There is no such way.
        DetectorError: A detector of it is missing, or blind.
        RecipeError: A detector's file is missing, or not what it must be.
    """
    needed = _NEEDED.get(name, tuple(name.split("+")))
    try:
        with Workers(1) as idle:
            DetectFaces(detectors=needed, workers=idle)
    except RecipeError:
        raise
    except ValueError as error:
        raise UsageError(f"{name}: no such way to look; {error}") from error
    except UsageError as error:
        raise UsageError(
            f"{name}: no such way to look; choose {', '.join(_SCRIPTS)}, {', '.join(DETECTORS)}, the .toml of a model, "
            "or several of these detectors with a + between: the last one judges what the others propose"
        ) from error
    for one in needed:
        build(one)


def look(
    name: str, pictures: Sequence[Picture], store: Store, workers: Workers, decide: Decide, progress: Progress
) -> Judged:
    """Look for faces in all pictures, and hold what is found against the truth.

    Args:
        name: A script, or detectors of the stage `detect`, joined by "+".
        pictures: In *store*.
        store: Where the stage reads them.
        workers: They do it.
        decide: What becomes of a detection of the stage. A script says yes or no: no rule is for it.
        progress: Called after each picture.
    """
    began = time.monotonic()
    found: dict[str, Sequence[Guess]] = {}
    looked = find(name, pictures, store, workers, decide, min_face=SMALLEST)
    for done, (sha256, guesses) in enumerate(looked, start=1):
        found[sha256] = guesses
        progress(done, len(pictures))
    seconds = time.monotonic() - began
    return judge(name, pictures, [found.get(picture.image.sha256, ()) for picture in pictures], seconds)


def find(
    name: str, pictures: Sequence[Picture], store: Store, workers: Workers, decide: Decide, *, min_face: int
) -> Iterator[tuple[str, Sequence[Guess]]]:
    """Look for faces, and give what is found in each picture by its SHA-256, in the order in which they are done.

    Args:
        name: As for `look`.
        pictures: As for `look`.
        store: As for `look`.
        workers: As for `look`.
        decide: As for `look`.
        min_face: The stage need find no smaller ones; pixels.
    """
    if name in _SCRIPTS:
        return _by_script(_SCRIPTS[name], pictures, workers)
    stage = DetectFaces(detectors=tuple(name.split("+")), min_face=min_face, max_pixels=MAX_PIXELS, workers=workers)
    return _by_stage(stage, pictures, store, decide)


def _by_script(
    script: Callable[[Path], list[Guess]], pictures: Sequence[Picture], workers: Workers
) -> Iterator[tuple[str, Sequence[Guess]]]:
    names = {picture.path: picture.image.sha256 for picture in pictures}
    for path, guesses in workers.map(script, [picture.path for picture in pictures]):
        # A script that dies of a picture finds nothing in it.
        yield names[path], () if isinstance(guesses, Crashed | TimedOut) else guesses


def _by_stage(
    stage: DetectFaces, pictures: Sequence[Picture], store: Store, decide: Decide
) -> Iterator[tuple[str, Sequence[Guess]]]:
    for outcome in stage([picture.image for picture in pictures], store):
        match outcome:
            case Kept(image, outputs):
                yield image.sha256, [_guess(one, decide) for one in outputs]
            case Dropped(image):
                yield image.sha256, ()


def _guess(detection: Detection, decide: Decide) -> Guess:
    return Guess(box=detection.box, score=detection.score, answer=detection.score >= _EVEN, fate=decide(detection))
