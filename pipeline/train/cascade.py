"""Where a cascade is boosted that OpenCV runs at full speed: multi-block local binary patterns, stage after stage.

The patterns are those of Zhang and others, "Face Detection Based on Multi-Block LBP Representation" (2007). The boosting
is Gentle AdaBoost (Friedman, Hastie, Tibshirani, 2000) over stumps that divide the 256 patterns of one feature in two.
The file is what `cv2.CascadeClassifier` loads. Only NumPy and OpenCV are needed, no PyTorch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RecipeError
from pipeline.records import Box
from pipeline.store import write_atomically

Grey = NDArray[np.uint8]  # H x W
Windows = NDArray[np.uint8]  # N x 24 x 24

WINDOW = 24  # pixels a side; what most cascades use, and enough for a face
CODES = 256  # patterns of one feature
PYRAMID = 1.15  # each size at which false alarms are looked for is this much smaller than the one before
NEAR = 0.2  # a window that overlaps a face by more (intersection over union) is no false alarm
AT_ONCE = 512  # windows whose patterns are computed together: 18 MB of them
EPS = 1e-5  # OpenCV takes this from a stage's threshold (THRESHOLD_EPS in cascadedetect.cpp), lest rounding lose a face


@dataclass(frozen=True, kw_only=True)
class CascadeConfig:
    """How a cascade is trained.

    Raises:
        RecipeError: A field is outside the range that its comment states.
    """

    positives: int = 3000  # varied faces that each stage sees, at least 10
    negatives: int = 3000  # false alarms of the stages so far that each new one sees, at least 10
    stages: int = 14  # at most, 1 or more
    min_hit_rate: float = 0.997  # share of the faces that each stage must let through, above 0.5 to 1
    max_false_alarm: float = 0.4  # share of the others that it may, above 0 to below 1
    max_weak: int = 60  # stumps of one stage, at most
    features: int = 1500  # of the 8,464 that there are, drawn anew for each stump
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no training can be made of."""
        right = {
            "positives": self.positives >= 10,
            "negatives": self.negatives >= 10,
            "stages": self.stages >= 1,
            "min_hit_rate": 0.5 < self.min_hit_rate <= 1,
            "max_false_alarm": 0 < self.max_false_alarm < 1,
            "max_weak": self.max_weak >= 1,
            "features": self.features >= 1,
            "seed": self.seed >= 0,
        }
        for name, is_right in right.items():
            if not is_right:
                raise RecipeError(f"cascade.{name} = {getattr(self, name)}: cannot be trained with")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture and all the faces in it, in the convention of `pipeline.detectors`."""

    grey_HW: Grey
    faces: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class Stump:
    """One feature, which of its patterns speak for the first leaf, and what the leaves say."""

    feature: int
    subset: NDArray[np.bool_]  # of 256
    leaves: tuple[float, float]  # of patterns in the subset, and of all others; above 0 speaks for a face


@dataclass(frozen=True, slots=True)
class Stage:
    """Stumps whose sum must reach a threshold."""

    stumps: tuple[Stump, ...]
    threshold: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is."""

    stage: int  # how many are finished
    stumps: int  # of all of them
    hit_rate: float  # share of varied faces that pass all stages so far
    false_alarms: float  # windows that pass all stages so far, of all that were looked at


@functools.cache
def features() -> NDArray[np.int32]:
    """List all features of a window: left, top, and the width and height of one of its nine blocks.

    Returns:
        int32 of shape (8464, 4).
    """
    sides = range(1, WINDOW // 3 + 1)
    rows = [
        (left, top, wide, high)
        for wide in sides
        for high in sides
        for top in range(WINDOW - 3 * high + 1)
        for left in range(WINDOW - 3 * wide + 1)
    ]
    return np.array(rows, np.int32)


def codes(windows_NHW: Windows, chosen: NDArray[np.intp] | None = None) -> NDArray[np.uint8]:
    """Compute patterns as OpenCV does: a bit for each block round the middle one that is at least as light.

    Args:
        windows_NHW: uint8, of shape (N, 24, 24).
        chosen: Indices into `features`; all when None.

    Returns:
        uint8 of shape (features, N).
    """
    rows = features() if chosen is None else features()[chosen]
    found = np.empty((len(rows), len(windows_NHW)), np.uint8)
    for start in range(0, len(windows_NHW), AT_ONCE):
        some = windows_NHW[start : start + AT_ONCE]
        sums = np.zeros((WINDOW + 1, WINDOW + 1, len(some)), np.int32)
        sums[1:, 1:] = np.moveaxis(some, 0, -1).cumsum(0, np.int32).cumsum(1, np.int32)
        found[:, start : start + AT_ONCE] = _codes_of(sums, rows)
    return found


# The order of the bits, from 128 down to 1, as rows and columns of the nine blocks (cascadedetect.hpp, LBPEvaluator).
_ROUND = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))


def _codes_of(sums: NDArray[np.int32], rows: NDArray[np.int32]) -> NDArray[np.uint8]:
    left, top, wide, high = rows.T
    corners = [[sums[top + high * y, left + wide * x] for x in range(4)] for y in range(4)]

    def block(y: int, x: int) -> NDArray[np.int32]:
        total: NDArray[np.int32] = corners[y + 1][x + 1] - corners[y][x + 1] - corners[y + 1][x] + corners[y][x]
        return total

    middle = block(1, 1)
    code = np.zeros(middle.shape, np.uint8)
    for bit, (y, x) in enumerate(_ROUND):
        code |= (block(y, x) >= middle).astype(np.uint8) << np.uint8(7 - bit)
    return code


def score(stage: Stage, windows_NHW: Windows) -> NDArray[np.float64]:
    """Give the sum of a stage's stumps for each window."""
    patterns = codes(windows_NHW, np.array([stump.feature for stump in stage.stumps]))
    total = np.zeros(len(windows_NHW))
    for stump, row in zip(stage.stumps, patterns, strict=True):
        total += np.where(stump.subset[row], *stump.leaves)
    return total


def passes(stages: Sequence[Stage], windows_NHW: Windows) -> NDArray[np.bool_]:
    """Say which windows pass all stages."""
    alive = np.ones(len(windows_NHW), bool)
    for stage in stages:
        alive[alive] = score(stage, windows_NHW[alive]) >= stage.threshold - EPS
    return alive


def train(
    pictures: Sequence[Labelled],
    config: CascadeConfig,
    progress: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Stage]:
    """Boost a cascade that lets faces through and little else.

    Args:
        pictures: With faces and without; what is no face in them is what the cascade learns to refuse.
        config: How.
        progress: Told after each stage.
        stop: Asked after each stage; what is done by then is returned.

    Returns:
        The stages, fewer than asked for where no false alarms are left to learn from.

    Raises:
        RecipeError: The pictures hold no face, or nothing beside faces.
    """
    chance = np.random.default_rng(config.seed)
    faces = [(one.grey_HW, box) for one in pictures for box in one.faces]
    if not faces:
        raise RecipeError("the pictures hold no labelled face; label some, or take others")
    stages: list[Stage] = []
    hit_rate = 1.0
    while len(stages) < config.stages and not stop():
        positives, rate = _positives(faces, stages, config, chance)
        negatives, alarms = _negatives(pictures, stages, config, chance)
        if len(negatives) < min(config.negatives, len(pictures)) // 10 or not len(negatives):
            if not stages:
                raise RecipeError("the pictures hold nothing beside faces; add some without")
            break
        stages.append(_boost(positives, negatives, config, chance))
        hit_rate = rate
        progress(
            Progress(
                stage=len(stages),
                stumps=sum(len(stage.stumps) for stage in stages),
                hit_rate=hit_rate,
                false_alarms=alarms,
            )
        )
    return stages


def _boost(positives: Windows, negatives: Windows, config: CascadeConfig, chance: np.random.Generator) -> Stage:
    """Add stumps until enough of the negatives are refused."""
    windows = np.concatenate([positives, negatives])
    signs = np.repeat([1.0, -1.0], [len(positives), len(negatives)])
    weights = np.concatenate([np.full(len(one), 0.5 / len(one)) for one in (positives, negatives)])
    patterns = codes(windows)
    total = np.zeros(len(windows))
    stumps: list[Stump] = []
    threshold = -math.inf
    while len(stumps) < config.max_weak:
        stump = _best_stump(patterns, signs, weights, config, chance)
        says = np.where(stump.subset[patterns[stump.feature]], *stump.leaves)
        stumps.append(stump)
        total += says
        weights *= np.exp(-signs * says)
        weights /= weights.sum()
        threshold = float(np.quantile(total[: len(positives)], 1 - config.min_hit_rate, method="lower"))
        if np.mean(total[len(positives) :] >= threshold) <= config.max_false_alarm:
            break
    return Stage(tuple(stumps), threshold)


def _best_stump(
    patterns: NDArray[np.uint8],
    signs: NDArray[np.float64],
    weights: NDArray[np.float64],
    config: CascadeConfig,
    chance: np.random.Generator,
) -> Stump:
    """Find the feature, and the division of its patterns, with the least weighted squared error.

    Of all divisions in two the best one cuts the patterns in the order of their mean (Breiman and others, 1984, 4.2.2).
    """
    count = min(config.features, len(patterns))
    chosen = np.sort(chance.choice(len(patterns), count, replace=False))
    places = patterns[chosen].astype(np.int32) + (np.arange(count, dtype=np.int32) * CODES)[:, None]
    flat, size = places.ravel(), count * CODES
    mass = np.bincount(flat, np.tile(weights, count), size).reshape(count, CODES)
    pull = np.bincount(flat, np.tile(weights * signs, count), size).reshape(count, CODES)
    mean = np.divide(pull, mass, out=np.zeros_like(pull), where=mass > 0)
    order = np.argsort(-mean, axis=1, kind="stable")
    left_mass, left_pull = (np.take_along_axis(one, order, 1).cumsum(1)[:, :-1] for one in (mass, pull))
    right_mass, right_pull = mass.sum(1)[:, None] - left_mass, pull.sum(1)[:, None] - left_pull
    tiny = 1e-12
    gain = left_pull**2 / np.maximum(left_mass, tiny) + right_pull**2 / np.maximum(right_mass, tiny)
    best, cut = np.unravel_index(np.argmax(gain), gain.shape)
    subset = np.zeros(CODES, bool)
    subset[order[best, : cut + 1]] = True
    leaves = (
        float(left_pull[best, cut] / max(left_mass[best, cut], tiny)),
        float(right_pull[best, cut] / max(right_mass[best, cut], tiny)),
    )
    return Stump(int(chosen[best]), subset, leaves)


# --- what it learns from ---------------------------------------------------------------------------------------------


def _positives(
    faces: Sequence[tuple[Grey, Box]], stages: Sequence[Stage], config: CascadeConfig, chance: np.random.Generator
) -> tuple[Windows, float]:
    """Vary faces until enough pass the stages so far; also give the share that did."""
    kept: list[Windows] = []
    seen = found = 0
    while found < config.positives:
        some = [varied(*faces[index], chance) for index in chance.integers(len(faces), size=AT_ONCE)]
        windows = np.stack(some)
        good = windows[passes(stages, windows)]
        kept.append(good)
        seen, found = seen + len(windows), found + len(good)
        if seen >= 20 * config.positives:  # hardly any pass: what there is must do
            break
    windows = np.concatenate(kept)[: config.positives]
    if not len(windows):
        raise RecipeError("no face passes the stages so far; ask for a higher min_hit_rate, or for fewer stages")
    return windows, found / seen


def varied(grey_HW: Grey, box: Box, chance: np.random.Generator) -> Grey:
    """Cut a face out a little moved, larger or smaller, tilted, mirrored, lighter or darker, and coarser.

    Returns:
        uint8 of shape (24, 24).
    """
    side = box.width * chance.uniform(0.92, 1.12)
    x = box.left + box.width / 2 + box.width * chance.uniform(-0.06, 0.06)
    y = box.top + box.height / 2 + box.height * chance.uniform(-0.06, 0.06)
    between = 2 * WINDOW
    matrix = cv2.getRotationMatrix2D((x, y), chance.normal(0, 7), between / side)
    matrix[:, 2] += between / 2 - np.array([x, y])
    source = grey_HW
    if side > 2 * between:  # a warp alone would skip pixels
        share = 2 * between / side
        source = cv2.resize(grey_HW, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        matrix[:, :2] /= share
    cut = cv2.warpAffine(source, matrix, (between, between), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if chance.random() < 0.5:
        cut = cv2.flip(cut, 1)
    if chance.random() < 0.3:
        _, packed = cv2.imencode(".jpg", cut, [cv2.IMWRITE_JPEG_QUALITY, int(chance.integers(30, 95))])
        cut = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
    toned = 255 * (cut / 255.0) ** chance.uniform(0.7, 1.4) + chance.normal(0, 2, cut.shape)
    small: Grey = cv2.resize(np.clip(toned, 0, 255).astype(np.uint8), (WINDOW, WINDOW), interpolation=cv2.INTER_AREA)
    return small


def _negatives(
    pictures: Sequence[Labelled], stages: Sequence[Stage], config: CascadeConfig, chance: np.random.Generator
) -> tuple[Windows, float]:
    """Look for windows that are no face and pass the stages so far; also give their share of all of them."""
    runner = _load(stages) if stages else None
    kept: list[Windows] = []
    seen = found = 0
    for index in chance.permutation(len(pictures)):
        for windows, looked_at in _false_alarms(pictures[index], runner, chance):
            good = windows[passes(stages, windows)]
            seen, found = seen + looked_at, found + len(good)
            kept.append(good)
        if found >= 2 * config.negatives:
            break
    if not kept:
        return np.empty((0, WINDOW, WINDOW), np.uint8), 0.0
    windows = np.unique(np.concatenate(kept), axis=0)
    chosen = chance.permutation(len(windows))[: config.negatives]
    return windows[chosen], found / max(seen, 1)


def _false_alarms(
    picture: Labelled, runner: cv2.CascadeClassifier | None, chance: np.random.Generator
) -> Iterator[tuple[Windows, int]]:
    """Give windows of a picture that hold no face, size by size, and how many were looked at."""
    scale = 1.0
    height, width = picture.grey_HW.shape
    most = 64  # of one size of one picture: alarms of one place are alike
    while min(height, width) / scale >= WINDOW:
        shape = round(width / scale), round(height / scale)
        reduced: Grey = cv2.resize(picture.grey_HW, shape, interpolation=cv2.INTER_LINEAR)
        places = (reduced.shape[0] - WINDOW + 1) * (reduced.shape[1] - WINDOW + 1)
        corners = _corners(reduced, runner, chance, most)
        free = [(x, y) for x, y in corners if not _is_near(x, y, scale, picture.faces)]
        if free:
            yield np.stack([reduced[y : y + WINDOW, x : x + WINDOW] for x, y in free]), places
        scale *= PYRAMID


def _corners(
    reduced: Grey, runner: cv2.CascadeClassifier | None, chance: np.random.Generator, most: int
) -> list[tuple[int, int]]:
    """Choose windows of one size: those that the cascade so far lets pass, or any where there is none yet."""
    if runner is None:
        spare = np.array(reduced.shape) - WINDOW + 1
        return [(int(x), int(y)) for y, x in chance.integers(0, spare, (min(most, int(spare.prod())), 2))]
    found = runner.detectMultiScale(
        reduced, scaleFactor=2.0, minNeighbors=0, minSize=(WINDOW, WINDOW), maxSize=(WINDOW, WINDOW)
    )
    rows = [(int(x), int(y)) for x, y, *_ in found]
    rows.sort()  # OpenCV finds them in several threads
    if len(rows) > most:
        rows = [rows[index] for index in chance.choice(len(rows), most, replace=False)]
    return [(min(x, reduced.shape[1] - WINDOW), min(y, reduced.shape[0] - WINDOW)) for x, y in rows]


def _is_near(x: int, y: int, scale: float, faces: Sequence[Box]) -> bool:
    side = round(WINDOW * scale)
    window = Box(left=round(x * scale), top=round(y * scale), width=side, height=side)
    return any(window.overlap(face) > NEAR for face in faces)


# --- the file --------------------------------------------------------------------------------------------------------


def to_xml(stages: Sequence[Stage], made: str) -> str:
    """Write a cascade as OpenCV reads it; *made* says how it was made, in a comment."""
    used = sorted({stump.feature for stage in stages for stump in stage.stumps})
    place = {feature: index for index, feature in enumerate(used)}
    lines = [
        '<?xml version="1.0"?>',
        f"<!-- {escape(made).replace('--', '- -')} -->",
        "<opencv_storage>",
        '<cascade type_id="opencv-cascade-classifier"><stageType>BOOST</stageType><featureType>LBP</featureType>',
        f"<height>{WINDOW}</height><width>{WINDOW}</width>",
        "<stageParams><boostType>GAB</boostType><maxDepth>1</maxDepth>",
        f"<maxWeakCount>{max(len(stage.stumps) for stage in stages)}</maxWeakCount></stageParams>",
        f"<featureParams><maxCatCount>{CODES}</maxCatCount><featSize>1</featSize></featureParams>",
        f"<stageNum>{len(stages)}</stageNum>",
        "<stages>",
    ]
    for stage in stages:
        lines.append(f"<_><maxWeakCount>{len(stage.stumps)}</maxWeakCount>")
        lines.append(f"<stageThreshold>{stage.threshold:.9g}</stageThreshold><weakClassifiers>")
        for stump in stage.stumps:
            words = np.packbits(stump.subset, bitorder="little").view("<i4")
            nodes = " ".join(["0", "-1", str(place[stump.feature]), *(str(word) for word in words)])
            leaves = " ".join(f"{leaf:.9g}" for leaf in stump.leaves)
            lines.append(f"<_><internalNodes>{nodes}</internalNodes><leafValues>{leaves}</leafValues></_>")
        lines.append("</weakClassifiers></_>")
    lines.append("</stages><features>")
    lines += [f"<_><rect>{' '.join(map(str, features()[one]))}</rect></_>" for one in used]
    lines.append("</features></cascade></opencv_storage>")
    return "\n".join(lines) + "\n"


def write(stages: Sequence[Stage], path: Path, config: CascadeConfig, what: str) -> None:
    """Write the file, with how it was made inside.

    Args:
        stages: What `train` gave.
        path: Where.
        config: How it was trained.
        what: What it was trained on, in a few words.

    Raises:
        StoreError: It cannot be written.
    """
    settings = ", ".join(f"{name} {value}" for name, value in asdict(config).items())
    made = f"A cascade of local binary patterns for faces, trained by kaoset on {what}: {settings}."
    write_atomically(path, to_xml(stages, made).encode())


def _load(stages: Sequence[Stage]) -> cv2.CascadeClassifier:
    storage = cv2.FileStorage(to_xml(stages, "under way"), cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
    runner = cv2.CascadeClassifier()
    if not runner.read(storage.getFirstTopLevelNode()):
        raise RuntimeError("OpenCV does not read the cascade that was just made")
    return runner
