"""Which ways of looking for faces are compared: the scripts that everybody copies, and the stage `detect`."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.benchmark import MAX_PIXELS, Guess, Judged, Picture, judge
from pipeline.detect import DetectFaces
from pipeline.detectors import DETECTORS, Detector, build, lbpcascade
from pipeline.errors import DetectorError, UsageError
from pipeline.pixels import decode
from pipeline.records import Box, Detection
from pipeline.stage import Dropped, Kept
from pipeline.store import Store
from pipeline.workers import Crashed, TimedOut, Workers

SMALLEST = 24  # pixels; smaller faces need not be found
CASCADE_SCRIPT, ANIMEFACE_SCRIPT = "cascade-script", "animeface-script"
_MOST_AGREE = 5  # windows: the minNeighbors of the script; a face needs more than that

Progress = Callable[[int, int], None]  # pictures looked at, pictures
Sure = Callable[[Detection], bool]


def cascade_script(path: Path) -> list[Guess]:
    """Do as the cascade's own page shows: the full-size picture, equalised grey, steps of 1.1, 5 neighbours, 24 pixels.

    Windows that fewer agree on are given too, but not as its answer: they say how its precision falls. Where the script
    asks for 5 OpenCV gives the groups of more than 5, and the same ones when it is asked for all.
    """
    bgr_HWC = cv2.cvtColor(decode(path.read_bytes(), max_pixels=MAX_PIXELS), cv2.COLOR_RGB2BGR)
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
    """Do as the usual script with animeface: the full-size picture, and whatever it finds."""
    faces = ready("animeface").detect(decode(path.read_bytes(), max_pixels=MAX_PIXELS))
    return [Guess(box=face.box, score=face.score) for face in faces]


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


def usual() -> tuple[str, ...]:
    """Name the ways that this machine can compare: both scripts, and the stage with one detector and with both."""
    try:
        lbpcascade.find()
    except DetectorError:
        return ANIMEFACE_SCRIPT, "animeface"
    return ANIMEFACE_SCRIPT, CASCADE_SCRIPT, "animeface", "lbpcascade", "lbpcascade+animeface"


def check(name: str) -> None:
    """Be sure that a way can be gone, before pictures are drawn for it.

    Raises:
        UsageError: There is no such way.
        DetectorError: A detector of it is missing, or blind.
    """
    needed = {ANIMEFACE_SCRIPT: ["animeface"], CASCADE_SCRIPT: ["lbpcascade"]}.get(name, name.split("+"))
    if len(needed) > 2 or not set(needed) <= set(DETECTORS):
        raise UsageError(
            f"{name}: no such way to look; choose {', '.join(_SCRIPTS)}, {', '.join(DETECTORS)}, or two of these "
            "with a + between: the first proposes, the second judges"
        )
    for one in needed:
        build(one)


def look(
    name: str, pictures: Sequence[Picture], store: Store, workers: Workers, sure: Sure, progress: Progress
) -> Judged:
    """Look for faces in all pictures, and hold what is found against the truth.

    Args:
        name: A script, or detectors of the stage `detect`, joined by "+".
        pictures: In *store*.
        store: Where the stage reads them.
        workers: They do it.
        sure: Whether the stage's detection is accepted without a person.
        progress: Called after each picture.
    """
    began = time.monotonic()
    if name in _SCRIPTS:
        found = _by_script(_SCRIPTS[name], pictures, workers, progress)
    else:
        found = _by_stage(tuple(name.split("+")), pictures, store, workers, sure, progress)
    seconds = time.monotonic() - began
    return judge(name, pictures, [found.get(picture.image.sha256, ()) for picture in pictures], seconds)


def _by_script(
    script: Callable[[Path], list[Guess]], pictures: Sequence[Picture], workers: Workers, progress: Progress
) -> dict[str, Sequence[Guess]]:
    names = {picture.path: picture.image.sha256 for picture in pictures}
    found: dict[str, Sequence[Guess]] = {}
    for path, guesses in workers.map(script, names):
        # A script that dies of a picture finds nothing in it.
        found[names[path]] = () if isinstance(guesses, Crashed | TimedOut) else guesses
        progress(len(found), len(names))
    return found


def _by_stage(
    detectors: tuple[str, ...],
    pictures: Sequence[Picture],
    store: Store,
    workers: Workers,
    sure: Sure,
    progress: Progress,
) -> dict[str, Sequence[Guess]]:
    stage = DetectFaces(detectors=detectors, min_face=SMALLEST, max_pixels=MAX_PIXELS, workers=workers)
    images = {picture.image.sha256: picture.image for picture in pictures}
    found: dict[str, Sequence[Guess]] = {}
    for outcome in stage(images.values(), store):
        match outcome:
            case Kept(image, outputs):
                found[image.sha256] = [Guess(box=one.box, score=one.score, sure=sure(one)) for one in outputs]
            case Dropped(image):
                found[image.sha256] = ()
        progress(len(found), len(images))
    return found
