"""Turns a release into a trained generator; hides PyTorch, which is loaded only when a training really starts."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.errors import RecipeError, WorldError

NEEDED = ("torch", "matplotlib", "safetensors")  # the [train] extra


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a generator is trained; the defaults are DCGAN's (arXiv 1511.06434) with an averaged generator.

    Raises:
        RecipeError: A field is outside the range that its comment states.
    """

    network: Literal["dcgan"] = "dcgan"
    size: int = 64  # pixels a side: 16, 32, 64 or 128; the release's faces are reduced to it, never enlarged
    width: int = 64  # channels of the layers next to the picture; doubled each time the side is halved
    z: int = 100  # numbers of noise that make one picture
    batch: int = 128  # pictures a step; at least 2, and fewer where the release holds fewer
    kimg: float = 500.0  # how long: thousands of real images shown, above 0
    lr: float = 2e-4  # learning rate of both networks, above 0; 1e-3 is too much for DCGAN
    beta1: float = 0.5  # Adam's first moment, 0 to below 1; at 0.9 DCGAN swings
    label_smoothing: float = 0.0  # one-sided: the target for real pictures is 1 minus this; 0 to 0.5
    ema_kimg: float = 10.0  # half-life of the averaged generator, thousands of images; 0: no averaging
    mirror: bool = False  # show half of the pictures mirrored; hair partings are not symmetric
    seed: int = 0  # of the weights, the order of the pictures and the noise
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: the GPU when there is one
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where the device is faster with it
    sample_every_kimg: float = 10.0  # a tick: pictures and a row of losses.csv, above 0
    checkpoint_every_kimg: float = 50.0  # above 0
    keep_last: int = 3  # checkpoints kept, at least 1
    threads: int | None = None  # cores for a training on the CPU; None: as PyTorch thinks right

    def __post_init__(self) -> None:
        """Refuse what no training can be made of."""
        self._check("size", self.size in {16, 32, 64, 128}, "choose 16, 32, 64 or 128")
        self._check("batch", self.batch >= 2, "choose 2 or more")
        for name in ("width", "z", "keep_last"):
            self._check(name, getattr(self, name) >= 1, "choose 1 or more")
        for name in ("kimg", "lr", "sample_every_kimg", "checkpoint_every_kimg"):
            self._check(name, 0 < getattr(self, name) < math.inf, "choose a number above 0")
        self._check("beta1", 0 <= self.beta1 < 1, "choose 0 to below 1")
        self._check("label_smoothing", 0 <= self.label_smoothing <= 0.5, "choose 0 to 0.5")
        self._check("ema_kimg", 0 <= self.ema_kimg < math.inf, "choose 0 or more")
        self._check("seed", 0 <= self.seed < 2**63, "choose 0 or more")
        self._check("threads", self.threads is None or self.threads >= 1, "choose 1 or more, or leave it out")

    def _check(self, name: str, right: bool, advice: str) -> None:  # noqa: FBT001 - a condition, not a switch
        if not right:
            raise RecipeError(f"train.{name} = {getattr(self, name)}: cannot be trained with; {advice}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainProgress:
    """Where a training stands; told when it starts, about twice a second, and at every tick."""

    kimg: float  # thousands of real images shown so far
    total_kimg: float
    step: int
    total_steps: int
    d_loss: float | None  # mean since the last tick; None before the first step
    g_loss: float | None
    img_per_s: float  # real images a second in this call; pictures and checkpoints do not count
    seconds: float  # of training steps, over all calls
    note: str = ""  # what a person should know: told once, with the first of these


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """What a training left behind in its folder."""

    run_dir: Path
    finished: bool  # False: it was asked to stop; the same command goes on
    steps: int  # done since the beginning
    new_steps: int  # done in this call; 0 when there was nothing to do
    kimg: float
    images: int  # faces in the release
    batch: int  # pictures a step, as used
    device: str
    precision: str
    d_loss: float | None  # means of the last tick
    g_loss: float | None
    img_per_s: float  # in this call; 0 when there was nothing to do
    seconds: float  # of training steps, over all calls
    checkpoint: Path | None  # the newest
    generator: Path | None  # the averaged generator as safetensors, once finished
    notes: tuple[str, ...]  # what a person should know, a line each


def train_gan(
    release: Path,
    run_dir: Path,
    config: TrainConfig,
    *,
    progress: Callable[[TrainProgress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """Train a generator on the faces of *release*, or go on where *run_dir* was left.

    The same seed on the same device gives the same run; on the CPU an interrupted run ends with the same bytes as an
    undisturbed one.

    Args:
        release: A published release: `faces.npy` (uint8, N x H x W x 3) and `data_manifest.csv` are read.
        run_dir: Made if need be; holds `run.json`, `checkpoints/`, `samples/`, `losses.csv`, `losses.png` and, when
            the training is finished, `generator.safetensors`.
        config: What to train; an unfinished or finished run in *run_dir* must be of the same one. Only how long, how
            often and where (`kimg`, `*_every_kimg`, `keep_last`, `device`, `precision`, `threads`) may change.
        progress: Called about twice a second.
        stop: Asked after every step; True ends the training with a checkpoint.

    Raises:
        UsageError: *run_dir* holds a run of another configuration or another release, or the faces are smaller than
            `config.size`.
        WorldError: The [train] extra is not installed, there is no such device, the release cannot be read or holds
            fewer than two faces, a loss is no number any more, or the disk is full (StoreError).
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise WorldError(
            f'{", ".join(missing)}: not installed, and training needs it; run `pip install "kaoset[train]"`'
            " or `make train-deps`"
        )
    from pipeline.train.loop import train  # noqa: PLC0415 - loads PyTorch: two seconds and 200 MB

    return train(release, run_dir, config, progress=progress, stop=stop)
