"""Turns labelled pictures into a face network; hides PyTorch, which is loaded only when a training really starts."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.errors import RecipeError, WorldError
from pipeline.train.sheets import Coloured

PICTURE_SIDE = 512  # pixels; longer side of the pictures that are learnt from, before they are cut and turned
# Pixels; of the picture that a finished network looks at: beside parts of it looked at where small faces are, 512 finds
# no more, and takes half as long again.
INPUT_SIDE = 416
_GRID = 32  # pixels; sides of sheets are multiples of it


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """How a face network is trained.

    Raises:
        RecipeError: A field is outside the range that its comment states.
    """

    kimg: float = 36.0  # how long: thousands of sheets shown, above 0
    batch: int = 8  # sheets a step, 2 or more
    side: int = 320  # pixels of most sheets, a multiple of 32 from 64 to 1024; one in four is 1.6 times as large
    lr: float = 2e-3  # learning rate at its highest, above 0
    width: int = 12  # channels of the first layer, 4 to 64; 12 looks at a picture in about 10 ms
    drawings: int = 2900  # where it learns from the sandbox: hard pictures, drawn in sets of 145
    posts: int = 400  # and posts of its board
    pictures: int = 4000  # that are learnt from or held out, at most; 0.6 MB of memory each
    seed: int = 1000  # of all that is drawn by chance, and of the drawings; below 1000 are those that benches draw
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where the processor multiplies it
    threads: int = 1  # cores for the network, 1 or more; another one makes the sheets

    def __post_init__(self) -> None:
        """Refuse what no training can be made of."""
        right = {
            "kimg": 0 < self.kimg < math.inf,
            "batch": self.batch >= 2,
            "side": 64 <= self.side <= 1024 and self.side % _GRID == 0,
            "lr": 0 < self.lr < math.inf,
            "width": 4 <= self.width <= 64,
            "drawings": self.drawings >= 1,
            "posts": self.posts >= 1,
            "pictures": self.pictures >= 1,
            "seed": self.seed >= 0,
            "precision": self.precision in {"auto", "fp32", "bf16"},
            "threads": self.threads >= 1,
        }
        for name, is_right in right.items():
            if not is_right:
                raise RecipeError(f"detector: {name}={getattr(self, name)} cannot be trained with")

    @classmethod
    def going_on(cls, **fields: Any) -> DetectorConfig:
        """Give the usual values for a network that has learnt already, and *fields*: shorter, in smaller steps."""
        return cls(**{"kimg": 8.0, "lr": 3e-4, **fields})

    @property
    def steps(self) -> int:
        """Batches in all."""
        return max(1, math.ceil(self.kimg * 1000 / self.batch))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is."""

    step: int
    steps: int
    loss: float  # mean of the steps since it was told last


@dataclass(frozen=True, slots=True)
class Weights:
    """A face network, as a file."""

    onnx: bytes
    steps: int  # that it was trained for
    torch: str  # version


def train(
    pictures: Sequence[Coloured],
    config: DetectorConfig,
    progress: Callable[[Progress], None],
    stop: Callable[[], bool],
    *,
    start: bytes | None = None,
    made: str = "",
) -> Weights:
    """Train a network; the same pictures, seed and versions give the same one, whatever the number of cores.

    Args:
        pictures: In which it learns to find faces, and what is none.
        config: How.
        progress: Called about twice a second.
        stop: Asked after every step; True ends the training with what was learnt so far.
        start: A file of such a network of the same width, to go on from; None: from nothing.
        made: How it is made, for people; kept in the file.

    Raises:
        RecipeError: *start* is another network.
        WorldError: PyTorch is not installed, or the training has gone wrong.
    """
    check(config, start)
    from pipeline.train.detector_loop import run  # noqa: PLC0415 - loads PyTorch: two seconds and 200 MB

    return run(pictures, config, progress, stop, start, made)


def check(config: DetectorConfig, start: bytes | None) -> None:
    """Be sure that a training can begin, before pictures are drawn and read for it.

    Raises:
        RecipeError: *start* is no such network.
        WorldError: PyTorch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise WorldError(
            'torch: not installed, and training needs it; run `pip install "kaoset[train]"` or `make train-deps`'
        )
    if start is not None:
        from pipeline.train.onnx_file import restored  # noqa: PLC0415 - loads PyTorch

        restored(start, config.width)
