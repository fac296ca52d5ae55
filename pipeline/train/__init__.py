"""Turns a release into a trained generator; hides PyTorch, which is loaded only when a training really starts."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from pipeline.errors import RecipeError, UsageError, WorldError

NEEDED = ("torch", "matplotlib", "safetensors")  # the [train] extra


# These say how long, how often and where, not what is learned: a run may go on with others.
FREE = frozenset(
    (
        *("kimg", "sample_every_kimg", "checkpoint_every_kimg", "measure", "keep_last"),
        *("device", "precision", "threads"),
    )
)
SIZES = (16, 32, 64, 96, 128)  # pixels a side
ALL_SIZES, AS_PUBLISHED = frozenset({16, 32, 64, 128}), frozenset({64, 96})
# What each network's own document has where a recipe says nothing; `sizes` are those that it is made for.
OWN: dict[str, dict[str, Any]] = {
    "dcgan": {"sizes": ALL_SIZES, "z": 100, "loss": "bce", "penalty": "none", "blocks": 0},
    "mangagan": {
        "sizes": AS_PUBLISHED,
        "z": 100,
        "loss": "bce",
        "penalty": "none",
        "blocks": 0,
        "label_smoothing": 0.1,
    },
    "single": {"sizes": ALL_SIZES - {16}, "z": 96, "loss": "bce", "penalty": "none", "blocks": 1},
    "jin": {
        "sizes": frozenset(SIZES) - {16},
        "z": 128,
        "loss": "bce",
        "penalty": "dragan",
        "blocks": 16,
        "penalty_weight": 0.5,
        "lr_tenth_kimg": 3200.0,  # a tenth after 50,000 steps of 64
    },
    "r3gan": {"sizes": ALL_SIZES, "z": 64, "loss": "relativistic", "penalty": "r1r2", "blocks": 2, "beta1": 0.0},
}
# Of penalties, where neither the recipe nor the network says: arXiv 1705.07215; arXiv 1801.04406; brownvc/R3GAN.
PENALTY_WEIGHTS = {"none": 0.0, "dragan": 10.0, "r1": 10.0, "r1r2": 1.0}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a generator is trained; what is None is as the network's own document has it (`settled`).

    Raises:
        RecipeError: A field is outside the range that its comment states.
    """

    network: Literal["dcgan", "mangagan", "single", "jin", "r3gan"] = "dcgan"
    size: int = 64  # pixels a side, of `SIZES`; the release's faces are reduced to it, never enlarged
    width: int = 64  # channels of the layers next to the picture; doubled each time the side is halved
    blocks: int | None = None  # residual blocks: of jin in all, of the others at each side; 0 or more
    z: int | None = None  # numbers of noise that make one picture
    condition: Literal["none", "hair", "eyes", "character", "attributes"] = "none"  # what a picture can be asked for
    loss: Literal["bce", "hinge", "relativistic"] | None = None
    penalty: Literal["none", "dragan", "r1", "r1r2"] | None = None  # on the discriminator's gradient
    penalty_weight: float | None = None  # 0 or more
    penalty_reach: float = 0.5  # dragan: how far around real pictures, in standard deviations of the batch; above 0
    adversarial_weight: float | None = None  # beside that of naming the labels, in jin: None is their number; above 0
    untagged: Literal["unknown", "false"] = "unknown"  # attributes: what it means that no tag says so
    classify_fakes: bool = True  # jin: the discriminator learns to name the labels of drawn pictures as well
    spectral_norm: bool = False  # every layer of the discriminator enlarges by at most 1 (arXiv 1802.05957)
    augment: Literal["none", "diffaugment", "ada"] = "none"  # of what the discriminator sees, real and drawn
    ada_target: float = 0.6  # share of real pictures that the discriminator may be sure of; 0 to 1
    batch: int = 128  # pictures a step; at least 2, and fewer where the release holds fewer
    draw: Literal["evenly", "weight", "class"] = "evenly"  # each face once a round; by manifest; each class as often
    kimg: float = 500.0  # how long: thousands of real images shown, above 0
    lr: float = 2e-4  # learning rate of both networks, above 0; 1e-3 is too much for DCGAN
    lr_discriminator: float | None = None  # another rate for it alone (arXiv 1706.08500), above 0
    lr_tenth_kimg: float | None = None  # rates fall to a tenth in so many kimg, evenly; 0: they stay
    beta1: float | None = None  # Adam's first moment, 0 to below 1; at 0.9 DCGAN swings
    label_smoothing: float | None = None  # one-sided, of bce: the target for real pictures is 1 minus this; 0 to 0.5
    ema_kimg: float = 10.0  # half-life of the averaged generator, thousands of images; 0: no averaging
    mirror: bool = False  # show half of the pictures mirrored; hair partings are not symmetric
    seed: int = 0  # of the weights, the order of the pictures and the noise
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: the GPU when there is one
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where the device is faster with it
    sample_every_kimg: float = 10.0  # a tick: pictures and a row of losses.csv, above 0
    checkpoint_every_kimg: float = 50.0  # above 0
    measure: int = 2000  # pictures drawn at each checkpoint to be compared with real ones; 0: none
    keep_last: int = 3  # checkpoints kept beside the best, at least 1
    threads: int | None = None  # cores for a training on the CPU; None: as PyTorch thinks right

    def __post_init__(self) -> None:
        """Refuse what no training can be made of."""
        sizes = sorted(OWN[self.network]["sizes"]) if self.network in OWN else SIZES
        self._check("network", self.network in OWN, f"choose {_either(OWN)}")
        self._check("size", self.size in sizes, f"with network = {self.network} choose {_either(sizes)}")
        self._check("batch", self.batch >= 2, "choose 2 or more")
        for name in ("width", "z", "keep_last", "threads"):
            self._check(name, self._is(name, lambda value: value >= 1), "choose 1 or more")
        above_0 = ("kimg", "lr", "lr_discriminator", "sample_every_kimg", "checkpoint_every_kimg", "penalty_reach")
        for name in (*above_0, "adversarial_weight"):
            self._check(name, self._is(name, lambda value: 0 < value < math.inf), "choose a number above 0")
        for name in ("ema_kimg", "penalty_weight", "lr_tenth_kimg", "blocks", "measure"):
            self._check(name, self._is(name, lambda value: 0 <= value < math.inf), "choose 0 or more")
        self._check("beta1", self._is("beta1", lambda value: 0 <= value < 1), "choose 0 to below 1")
        self._check("ada_target", 0 <= self.ada_target <= 1, "choose 0 to 1")
        right = self._is("label_smoothing", lambda value: 0 <= value <= 0.5)
        self._check("label_smoothing", right, "choose 0 to 0.5")
        self._check("seed", 0 <= self.seed < 2**63, "choose 0 or more")
        # Its residual branches begin with layers of zeros, which nothing can be divided by.
        bound = self.spectral_norm and self.network == "r3gan"
        self._check("spectral_norm", not bound, "r3gan is bounded by its penalty; choose false")
        self._check("draw", self.draw != "class" or self.condition != "none", "with it choose a train.condition")
        no_classes = self.draw == "class" and self.condition == "attributes"
        self._check("draw", not no_classes, "attributes are no classes; choose weight or evenly")

    def settled(self) -> Self:
        """Say everything: what is None becomes what the network's own document has."""
        own = {"label_smoothing": 0.0, "beta1": 0.5, "lr_tenth_kimg": 0.0, **OWN[self.network]}
        penalty = self.penalty or own["penalty"]
        own["penalty_weight"] = own.get("penalty_weight") if penalty == own["penalty"] else None
        if own["penalty_weight"] is None:
            own["penalty_weight"] = PENALTY_WEIGHTS[penalty]
        names = ("z", "loss", "penalty", "penalty_weight", "blocks", "lr_tenth_kimg", "beta1", "label_smoothing")
        return replace(self, **{name: own[name] for name in names if getattr(self, name) is None})

    def _is(self, name: str, right: Callable[[Any], bool]) -> bool:
        value = getattr(self, name)
        return value is None or right(value)

    def _check(self, name: str, right: bool, advice: str) -> None:  # noqa: FBT001 - a condition, not a switch
        if not right:
            raise RecipeError(f"train.{name} = {getattr(self, name)}: cannot be trained with; {advice}")


def _either(choices: Iterable[object]) -> str:
    *most, last = map(str, choices)
    return f"{', '.join(most)} or {last}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainProgress:
    """Where a training stands; told when it starts, about twice a second, and at every tick."""

    kimg: float  # thousands of real images shown so far
    total_kimg: float
    step: int
    total_steps: int
    d_loss: float | None  # mean since the last tick; None before the first step
    g_loss: float | None
    penalty: float  # mean since the last tick, without its weight
    augment: float  # ADA's probability
    img_per_s: float  # real images a second in this call; pictures and checkpoints do not count
    seconds: float  # of training steps, over all calls
    memory_mb: float  # most that was taken so far: the GPU's memory, or that of this process
    note: str = ""  # what a person should know: told once, with the first of these


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """What a training left behind in its folder."""

    run_dir: Path
    finished: bool  # False: it was asked to stop; the same command goes on
    steps: int  # done since the beginning
    new_steps: int  # done in this call; 0 when there was nothing to do
    kimg: float
    images: int  # faces that were learnt from: those of the split train
    batch: int  # pictures a step, as used
    device: str
    precision: str
    d_loss: float | None  # means of the last tick
    g_loss: float | None
    img_per_s: float  # in this call; 0 when there was nothing to do
    seconds: float  # of training steps, over all calls
    checkpoint: Path | None  # the newest
    generator: Path | None  # the averaged generator of the best checkpoint as safetensors, once finished
    best: int | None  # step of the best checkpoint so far; None where nothing is measured
    notes: tuple[str, ...]  # what a person should know, a line each


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What a trained generator is asked for.

    Raises:
        UsageError: A number is outside the range that its comment states.
    """

    count: int = 64  # pictures, 1 to 100,000; of an interpolation: places on the way
    seed: int = 0  # of the first picture; each next one has the next: 0 or more
    hair: str = ""  # a colour
    eyes: str = ""
    character: str = ""
    having: tuple[str, ...] = ()  # labels by their names
    lacking: tuple[str, ...] = ()
    truncation: float = math.inf  # standard deviations of noise, above 0
    interpolate: bool = False  # a strip and a film from picture to picture and back to the first
    layout: Literal["grid", "files"] = "grid"
    columns: int | None = None  # of the grid, 1 or more; None: as many as rows
    device: Literal["auto", "cpu", "cuda"] = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        self._check("count", 1 <= self.count <= 100_000, "choose 1 to 100000")
        self._check("seed", 0 <= self.seed < 2**62, "choose 0 or more")
        self._check(
            "truncation", self.truncation > 0, "choose more than 0; 0.7 is usual, without it all noise is drawn"
        )
        self._check("columns", self.columns is None or self.columns >= 1, "choose 1 or more")
        if self.interpolate:
            self._check("count", 2 <= self.count <= 100, "an interpolation goes through 2 to 100 places")

    def _check(self, name: str, right: bool, advice: str) -> None:  # noqa: FBT001 - a condition, not a switch
        if not right:
            raise UsageError(f"--{name} {getattr(self, name)}: cannot be drawn; {advice}")


def generate(source: Path, wanted: Wanted, out: Path) -> list[Path]:
    """Draw with a trained generator.

    Args:
        source: Folder of a training, its `generator.safetensors`, or one of its checkpoints.
        wanted: How many, and what.
        out: Folder for the pictures and `made.json`, which says how each was made; made if need be.

    Returns:
        What was written.

    Raises:
        UsageError: There is no generator, or it cannot be asked for that.
        WorldError: The [train] extra is not installed, or there is no such device.
    """
    _need_extra()
    from pipeline.train.generate import generate as draw  # noqa: PLC0415 - loads PyTorch

    return draw(source, wanted, out)


def train_gan(
    release: Path,
    run_dir: Path,
    config: TrainConfig,
    *,
    progress: Callable[[TrainProgress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    inception: Path | None = None,
) -> TrainResult:
    """Train a generator on the faces of *release*, or go on where *run_dir* was left.

    The same seed on the same device gives the same run; on the CPU an interrupted run ends with the same bytes as an
    undisturbed one.

    Args:
        release: A published release: `faces.npy` (uint8, N x H x W x 3), `labels.npy` and `data_manifest.csv` are read.
            The split train is learnt from; the others are what drawn pictures are compared with.
        run_dir: Made if need be; holds `train.html`, which shows all the rest: `run.json`, `checkpoints/`, `samples/`,
            `losses.csv`, `metrics.csv`, plots and films and, when the training is finished, `generator.safetensors`.
        config: What to train; an unfinished or finished run in *run_dir* must be of the same one. Only how long, how
            often and where (`kimg`, `*_every_kimg`, `keep_last`, `device`, `precision`, `threads`) may change.
        progress: Called about twice a second.
        stop: Asked after every step; True ends the training with a checkpoint.
        inception: Weights of the Inception network, for the standard FID beside our own measures.

    Raises:
        UsageError: *run_dir* holds a run of another configuration or another release, or the faces are smaller than
            `config.size`.
        WorldError: The [train] extra is not installed, there is no such device, the release cannot be read or holds
            fewer than two faces, a loss is no number any more, or the disk is full (StoreError).
    """
    _need_extra()
    from pipeline.train.loop import train  # noqa: PLC0415 - loads PyTorch: two seconds and 200 MB

    return train(release, run_dir, config, progress=progress, stop=stop, inception=inception)


def _need_extra() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise WorldError(
            f'{", ".join(missing)}: not installed, and training needs it; run `pip install "kaoset[train]"`'
            " or `make train-deps`"
        )
