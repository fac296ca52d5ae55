"""What a face detector is, what its box means, and the table of detectors.

The convention for boxes is that of ``lbpcascade_animeface``: a square that holds the face with its fringe and ears,
from above the eyebrows to the chin. Every other detector moves and scales its own boxes to it, so that "1.5 x the box"
is the same picture whoever found the face.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.errors import DetectorError, UsageError
from pipeline.pixels import Pixels
from pipeline.records import Box, Landmarks


@dataclass(frozen=True, kw_only=True, slots=True)
class Face:
    """One face that a detector sees; pixels of the picture that it was shown."""

    box: Box  # square, normalised; may reach beyond the picture
    score: float  # 0 to 1; how sure the detector is; comparable within one detector only
    neighbours: int | None = None  # windows that agree, where the detector votes by windows
    hair: str | None = None  # "#rrggbb" when measured
    eyes: str | None = None
    skin: str | None = None
    landmarks: Landmarks | None = None  # in pixels of the same picture


class Detector(Protocol):
    """Finds faces in a picture, the same ones each time."""

    @property
    def name(self) -> str:
        """The key in the table."""
        ...

    @property
    def smallest(self) -> float:
        """Side of the smallest box that can be found, in pixels of what is seen."""
        ...

    @property
    def sight(self) -> int | None:
        """Longer side, in pixels, at which every picture is seen; None: as it is shown."""
        ...

    def detect(self, pixels_HWC: Pixels, least: float = 0.0, /) -> list[Face]:
        """Find the faces.

        Args:
            pixels_HWC: RGB, uint8.
            least: Smaller ones need not be found, where that saves time; pixels.
        """
        ...


def _animeface() -> Detector:
    from pipeline.detectors.animeface import AnimeFace  # noqa: PLC0415 -- each detector needs a library of its own

    return AnimeFace.ready()


def _lbpcascade() -> Detector:
    from pipeline.detectors.lbpcascade import LbpCascade  # noqa: PLC0415 -- see above

    return LbpCascade.ready()


def _drawn_faces() -> Detector:
    from pipeline.detectors.lbpcascade import OWN, LbpCascade  # noqa: PLC0415 -- see above

    return LbpCascade.ready(OWN)


def _drawn_net() -> Detector:
    from pipeline.detectors.lbpcascade import find  # noqa: PLC0415 -- see above
    from pipeline.detectors.onnx import OWN, OnnxDetector  # noqa: PLC0415 -- see above

    return OnnxDetector.ready(str(find(OWN).with_suffix(".toml")))


DETECTORS: dict[str, Callable[[], Detector]] = {
    "animeface": _animeface,
    "lbpcascade": _lbpcascade,
    "drawn_faces": _drawn_faces,
    "drawn_net": _drawn_net,
}


def named(name: str) -> str:
    """Say the name by which `build` finds a detector, and only this one: that of a file comes with its SHA-256.

    Raises:
        UsageError: There is no detector of that name.
        RecipeError: It is a file, and is not there or not what it must be.
    """
    if name in DETECTORS:
        return name
    from pipeline.detectors import onnx  # noqa: PLC0415 -- see above

    if not onnx.is_one(name):
        raise UsageError(
            f"{name}: there is no such detector; choose of {', '.join(DETECTORS)}, or name the .toml beside a model"
        )
    return onnx.pinned(name)


def at_hand(names: tuple[str, ...]) -> tuple[tuple[str, ...], DetectorError | None]:
    """Put our own cascade in the place of the third-party one, where that is not to be had, and say why.

    Raises:
        DetectorError: It would be the only one, and nothing can take its place.
    """
    from pipeline.detectors import lbpcascade  # noqa: PLC0415 -- see above

    if "lbpcascade" not in names:
        return names, None
    try:
        lbpcascade.find()
    except DetectorError as error:
        if len(names) == 1:
            raise
        instead = () if lbpcascade.OWN in names else (lbpcascade.OWN,)
        return tuple(one for name in names for one in (instead if name == "lbpcascade" else (name,))), error
    return names, None


def build(name: str) -> Detector:
    """Make a detector ready, and be sure that it sees.

    Raises:
        UsageError: There is no detector of that name.
        RecipeError: It is a file, and is not there or not what it must be.
        DetectorError: It is missing, or blind.
    """
    if name in DETECTORS:
        return DETECTORS[name]()
    from pipeline.detectors.onnx import OnnxDetector  # noqa: PLC0415 -- see above

    return OnnxDetector.ready(named(name))
