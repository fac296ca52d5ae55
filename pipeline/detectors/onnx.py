"""Where a face detector that somebody trained and exported to ONNX is described, checked and run.

It is a file of weights and a small TOML beside it that says how pictures go in and boxes come out; CONTRIBUTING shows
one. OpenCV runs it; nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.detectors import Face
from pipeline.errors import DetectorError, RecipeError
from pipeline.pixels import BadImage, Pixels, decode
from pipeline.records import Box

OWN = "drawn_net"  # comes with kaoset, beside the cascades

_MOST = 1000  # boxes, the surest, that may cover each other; more are a broken threshold, and take quadratic time
_MAX_PROOF = 50_000_000  # pixels
_PROVEN = 16  # pixels of the proof; smaller boxes are those of a wrong scale
_PINNED = re.compile(r"(.*\.toml)@([0-9a-f]{64})", re.DOTALL)

Number = Annotated[float, Field(allow_inf_nan=False)]
Channels = tuple[Number, Number, Number]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Input(_Table):
    """How a picture goes in: scaled to fit, in the top left corner, with grey beside or below it."""

    width: int = Field(640, ge=16, le=4096)  # pixels
    height: int = Field(640, ge=16, le=4096)
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    colours: Literal["RGB", "BGR"] = "RGB"
    mean: Channels = (0.0, 0.0, 0.0)  # taken off, 0 to 255, in the order of `colours`
    scale: Channels = (1 / 255, 1 / 255, 1 / 255)  # and then multiplied by


class _Output(_Table):
    """How boxes come out."""

    rule: Literal["yolov8"] = "yolov8"  # centre x, centre y, width, height, then a score for each class
    transposed: bool = False  # (1, boxes, 4 + classes) in place of (1, 4 + classes, boxes)
    relative: bool = False  # boxes in 0 to 1 of the input, not in its pixels
    name: str = ""  # of the output; "": the only one
    min_score: float = Field(0.25, gt=0, lt=1)
    max_overlap: float = Field(0.45, gt=0, lt=1)  # of two boxes that overlap more, the surer is taken


class _Normal(_Table):
    """How its boxes become the convention of `pipeline.detectors`, in sides of the box (the mean of both)."""

    zoom: float = Field(1.0, gt=0.2, lt=5)
    right: float = Field(0.0, gt=-1, lt=1)
    down: float = Field(0.0, gt=-1, lt=1)


class _Description(_Table):
    model: str  # the file of weights, beside this one
    proof: str  # a picture beside it with a face in it that the model must find
    name: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,40}$")  # who found a face; "": the name of the TOML
    input: _Input = _Input()
    output: _Output = _Output()
    box: _Normal = _Normal()


def is_one(name: str) -> bool:
    """Whether a detector of that name would be a file."""
    return name.endswith(".toml") or _PINNED.fullmatch(name) is not None


def pinned(path: str) -> str:
    """Name a detector by its TOML and by the SHA-256 of what it and the weights are: ``faces.toml@9f86…``.

    Raises:
        RecipeError: One of the files is not there, or the TOML does not say what it must.
    """
    if _PINNED.fullmatch(path):
        return path
    return f"{path}@{_read(Path(path))[2]}"


@dataclass(frozen=True, slots=True)
class OnnxDetector:
    """A one-stage detector with boxes of the YOLOv8 type."""

    name: str
    path: Path = field(compare=False)
    net: cv2.dnn.Net = field(compare=False, repr=False)
    how: _Description = field(repr=False)

    smallest: ClassVar[float] = 10.0  # pixels; the usual cells are 8 wide

    @property
    def sight(self) -> int:
        """Its input: showing it a larger picture adds nothing, a part of one does."""
        return max(self.how.input.width, self.how.input.height)

    @classmethod
    def ready(cls, named: str) -> OnnxDetector:
        """Load what `pinned` named, and look at the proof with it.

        Raises:
            RecipeError: A file is missing, changed since, or is not what it should be; or the outputs do not fit.
            DetectorError: It does not see the face of the proof.
        """
        detector = cls.load(named)
        _look_at_proof(detector)
        return detector

    @classmethod
    def load(cls, named: str) -> OnnxDetector:
        """Load what `pinned` named, or the TOML of that path, without a look at the proof.

        Raises:
            RecipeError: The TOML or the weights are missing, changed since, or are not what they should be.
        """
        pin = _PINNED.fullmatch(named)
        path = Path(pin[1] if pin else named)
        how, weights, sha256 = _read(path)
        if pin and pin[2] != sha256:
            raise RecipeError(f"{path}: it or its model was changed while it was in use; run again")
        cv2.setNumThreads(1)
        try:
            net = cv2.dnn.readNetFromONNX(np.frombuffer(weights, np.uint8))
        except (cv2.error, SystemError) as error:
            raise RecipeError(f"{path}: OpenCV cannot read {how.model} as ONNX ({_first_line(error)})") from error
        if net.empty():
            raise RecipeError(f"{path}: {how.model} holds no network")
        return cls(how.name or path.stem, path, net, how)

    def detect(self, pixels_HWC: Pixels, _least: float = 0.0, /) -> list[Face]:
        """Find faces; all that the model says of a picture is measured in that picture's pixels.

        Raises:
            RecipeError: The model does not take such an input, or gives something else than boxes.
        """
        given, zoom = self._given(pixels_HWC)
        output = self.how.output
        boxes, scores = self._decoded(self._run(given))
        sure = np.argsort(-scores, kind="stable")[:_MOST]
        sure = sure[scores[sure] >= output.min_score]
        corners = np.concatenate([boxes[sure, :2] - boxes[sure, 2:] / 2, boxes[sure, 2:]], axis=1)
        kept = cv2.dnn.NMSBoxes(corners.tolist(), scores[sure].tolist(), output.min_score, output.max_overlap)
        return [self._face(boxes[sure[index]] / zoom, float(scores[sure[index]])) for index in np.ravel(kept)]

    def _given(self, pixels_HWC: Pixels) -> tuple[NDArray[np.float32], float]:
        """Make the input of a picture; say also how many of its pixels are one of the picture."""
        want = self.how.input
        height, width = pixels_HWC.shape[:2]
        zoom = min(want.width / width, want.height / height)
        size = max(1, round(width * zoom)), max(1, round(height * zoom))
        if zoom <= 0.5:  # by a whole number first, which takes a tenth of the time
            times = min(int(1 / zoom), height, width)
            whole_HWC = pixels_HWC[: height // times * times, : width // times * times]
            smaller = width // times, height // times
            pixels_HWC = np.asarray(cv2.resize(whole_HWC, smaller, interpolation=cv2.INTER_AREA), np.uint8)
        way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        canvas_HWC = np.full((want.height, want.width, 3), 114, np.uint8)  # the grey of YOLO's own letterbox
        canvas_HWC[: size[1], : size[0]] = cv2.resize(pixels_HWC, size, interpolation=way)
        how = cv2.dnn.Image2BlobParams()  # five times as fast as the same in NumPy
        how.mean, how.scalefactor, how.swapRB = (*want.mean, 0), (*want.scale, 0), want.colours == "BGR"
        how.datalayout = cv2.dnn.DNN_LAYOUT_NCHW if want.layout == "NCHW" else cv2.dnn.DNN_LAYOUT_NHWC
        return np.asarray(cv2.dnn.blobFromImageWithParams(canvas_HWC, how), np.float32), zoom

    def _run(self, given: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            self.net.setInput(given)
            name = self.how.output.name
            output = self.net.forward(name) if name else self.net.forward()
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem:
                raise MemoryError(_first_line(error)) from None
            raise RecipeError(
                f"{self.path}: the model cannot be run on {given.shape} ({_first_line(error)}); check [input]"
            ) from error
        return np.asarray(output)

    def _decoded(self, output: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give boxes (centre, size; pixels of the input) and scores, of all that are numbers."""
        transposed = self.how.output.transposed
        rows = output[0] if transposed else output[0].T if output.ndim == 3 else output
        if output.ndim != 3 or output.shape[0] != 1 or rows.shape[1] < 5:
            wanted = "(1, boxes, 4 + classes)" if transposed else "(1, 4 + classes, boxes)"
            raise RecipeError(f"{self.path}: the output is {output.shape}, not {wanted}; check [output]")
        rows = rows[np.isfinite(rows).all(axis=1)].astype(np.float64)
        boxes, scores = rows[:, :4], rows[:, 4:].max(axis=1, initial=0.0)
        if self.how.output.relative:
            boxes = boxes * np.tile([self.how.input.width, self.how.input.height], 2)
        real = (boxes[:, 2:] > 0).all(axis=1) & (np.abs(boxes) < 1e6).all(axis=1)
        return boxes[real], np.clip(scores[real], 0.0, 1.0)

    def _face(self, box: NDArray[np.float64], score: float) -> Face:
        """Make a square of a box, and bring it to the convention."""
        x, y, width, height = (float(value) for value in box)
        normal, side = self.how.box, (width + height) / 2
        x, y, side = x + normal.right * side, y + normal.down * side, max(1.0, side * normal.zoom)
        square = Box(left=round(x - side / 2), top=round(y - side / 2), width=round(side), height=round(side))
        return Face(box=square, score=score)


def _look_at_proof(detector: OnnxDetector) -> None:
    proof = detector.path.parent / detector.how.proof
    try:
        pixels_HWC = decode(proof.read_bytes(), max_pixels=_MAX_PROOF)
    except OSError as error:
        raise RecipeError(f"{proof}: the proof is not there ({error.strerror}); {detector.path} names it") from error
    except BadImage as bad:
        raise RecipeError(f"{proof}: the proof is no picture ({bad})") from bad
    if all(face.box.width < _PROVEN for face in detector.detect(pixels_HWC)):
        raise DetectorError(
            f"{detector.path}: blind, it finds no face in {detector.how.proof}; check colours, mean, scale, "
            "relative and min_score, or name another proof"
        )


def _read(path: Path) -> tuple[_Description, bytes, str]:
    """Read a TOML and its weights, and hash both."""
    try:
        text = path.read_bytes()
        how = _Description.model_validate(tomllib.loads(text.decode()))
        weights = (path.parent / how.model).read_bytes()
    except OSError as error:
        raise RecipeError(
            f"{error.filename}: cannot be read ({error.strerror}); detect.detectors asks for it"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: not readable as TOML ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise RecipeError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    sha256 = hashlib.sha256(hashlib.sha256(text).digest() + hashlib.sha256(weights).digest())
    return how, weights, sha256.hexdigest()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
