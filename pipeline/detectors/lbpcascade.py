"""Where the files of cascades are found, checked and run: a third-party one that is fetched, and our own."""

from __future__ import annotations

import hashlib
import math
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from pipeline.detectors import Face
from pipeline.errors import DetectorError
from pipeline.pixels import Pixels
from pipeline.records import Box

_REGISTRY = Path(__file__).parents[2] / "cascades" / "registry.toml"
THIRD_PARTY = "lbpcascade_animeface"
OWN = "drawn_faces"  # lies beside the registry, also where kaoset is installed
_REPAIR = "install kaoset again"
_HOW = "run `flow cascades fetch` once, or name the folder that holds it in KAOSET_CASCADES"


def find(name: str = THIRD_PARTY) -> Path:
    """Say where a cascade file lies: our own beside the registry, the other in KAOSET_CASCADES or where `fetch` put it.

    Raises:
        DetectorError: It is not there, or is not the file that the registry names.
    """
    entry = _entry(name)
    told = os.environ.get("KAOSET_CASCADES")
    folder = Path(told) if told else _fetched()
    if "url" not in entry:
        folder = _REGISTRY.parent
    path = folder / str(entry["file"])
    _check(path, entry["sha256"], _HOW if "url" in entry else _REPAIR)
    return path


def fetch() -> Path:
    """Download the third-party cascade into the user's cache folder; without the network when it is there already.

    Raises:
        DetectorError: It cannot be had, or what came is not the file that the registry names.
    """
    import pooch  # noqa: PLC0415 -- with requests it is half of what a process that looks for faces would import
    import requests  # noqa: PLC0415

    entry = _entry(THIRD_PARTY)
    known = f"sha256:{entry['sha256']}"
    try:
        return Path(pooch.retrieve(entry["url"], known, fname=entry["file"], path=_fetched()))
    except (OSError, ValueError, requests.RequestException) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DetectorError(
            f"{entry['url']}: cannot be fetched ({first}); get it by hand and name its folder in KAOSET_CASCADES"
        ) from error


def _entry(name: str) -> dict[str, Any]:
    try:
        entry: dict[str, Any] = tomllib.loads(_REGISTRY.read_text(encoding="utf-8"))[name]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise DetectorError(f"{_REGISTRY}: does not name {name}; install kaoset from its repository") from error
    return entry


def _fetched() -> Path:
    import pooch  # noqa: PLC0415 -- see above

    return Path(pooch.os_cache("kaoset"))


def _check(path: Path, sha256: str, how: str) -> None:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DetectorError(f"{path}: the cascade is not there ({error.strerror}); {how}") from error
    if found != sha256:
        raise DetectorError(
            f"{path}: not the cascade that it should be (sha256 {found[:12]}, not {sha256[:12]}); {how}"
        )


@dataclass(frozen=True, slots=True)
class LbpCascade:
    """Local binary patterns in a boosted cascade: fast, and measures nothing but where.

    Its boxes are the convention of `pipeline.detectors`, as they come.
    """

    classifier: cv2.CascadeClassifier = field(compare=False, repr=False)
    min_neighbours: int = 2  # windows that must agree
    scale_factor: float = 1.1  # each round looks for faces this much larger
    name: str = "lbpcascade"

    smallest: ClassVar[float] = 24.0  # pixels; the window of the cascade
    sight: ClassVar[None] = None

    @classmethod
    def ready(cls, cascade: str = THIRD_PARTY) -> LbpCascade:
        """Load a cascade of the registry, with its parameters.

        Raises:
            DetectorError: The file is missing, is another one, or OpenCV cannot read it.
        """
        path, entry = find(cascade), _entry(cascade)
        # More threads gain nothing on a reduced picture, and inside a pool they fight for the cores.
        cv2.setNumThreads(1)
        try:
            classifier = cv2.CascadeClassifier(str(path))
        except (cv2.error, SystemError) as error:
            raise DetectorError(f"{path}: OpenCV cannot read it; {_HOW}") from error
        if classifier.empty():
            raise DetectorError(f"{path}: OpenCV cannot read it; {_HOW}")
        return cls(classifier, entry["min_neighbours"], entry["scale_factor"], entry["detector"])

    def detect(self, pixels_HWC: Pixels, least: float = 0.0, /) -> list[Face]:
        """Find faces of at least 24 pixels a side; the score grows with the number of windows that agree."""
        # Scripts often equalise the histogram first. The patterns compare neighbours, so it adds nothing; it merges
        # shades and lifts the noise in flat colours, and costs every tenth face (bench).
        grey_HW = cv2.cvtColor(pixels_HWC, cv2.COLOR_RGB2GRAY)
        side = max(math.ceil(self.smallest), math.floor(least))  # small windows are most of the work
        boxes, neighbours = self.classifier.detectMultiScale2(
            grey_HW, scaleFactor=self.scale_factor, minNeighbors=self.min_neighbours, minSize=(side, side)
        )
        return [
            Face(
                box=Box(left=int(left), top=int(top), width=int(width), height=int(height)),
                score=score(int(votes)),
                neighbours=int(votes),
            )
            for (left, top, width, height), votes in zip(boxes, np.ravel(neighbours), strict=True)
        ]


def score(neighbours: int) -> float:
    """Turn a count of agreeing windows into 0 to 1: 5 windows, the usual limit of scripts, are 0.5."""
    return neighbours / (neighbours + 5)
