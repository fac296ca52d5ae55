"""Where a cascade is boosted that OpenCV runs at full speed: multi-block local binary patterns, stage after stage.

The boosting is Gentle AdaBoost (Friedman, Hastie, Tibshirani, 2000) over stumps that divide the 256 patterns of one
feature in two; each stage learns from what passes the stages before (Viola and Jones, 2001). Only NumPy and OpenCV are
needed, no PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import RecipeError
from pipeline.train.patterns import CODES, Stage, Stump, Windows, codes, passes
from pipeline.train.windows import Labelled, false_alarms, varied_faces

FEW = 10  # a stage learns from more than a tenth of the false alarms asked for: fewer are only learnt by heart
TINY = 1e-12  # below every weight that matters; keeps a division by an empty side from failing


@dataclass(frozen=True, kw_only=True)
class CascadeConfig:
    """How a cascade is trained.

    Raises:
        RecipeError: A field is outside the range that its comment states.
    """

    drawings: int = 600  # posts of the sandbox, where it learns from those; half as many hard ones come on top
    pictures: int = 2000  # that are learnt from or held out, at most; 300 KB of memory each
    positives: int = 6000  # varied faces that each stage sees, at least 10
    negatives: int = 6000  # false alarms of the stages so far that each new one sees, at least 10
    stages: int = 18  # at most, 1 or more
    min_hit_rate: float = 0.997  # share of the faces that each stage must let through, above 0.5 to 1
    max_false_alarm: float = 0.4  # share of the others that it may, above 0 to below 1
    max_weak: int = 60  # stumps of one stage, at most
    features: int = 2000  # of the 8,464 that there are, drawn anew for each stump
    seed: int = 1  # of all that is drawn by chance, and of the drawings where it learns from those

    def __post_init__(self) -> None:
        """Refuse what no training can be made of."""
        right = {
            "drawings": self.drawings >= 1,
            "pictures": self.pictures >= 1,
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
                raise RecipeError(f"cascade: {name}={getattr(self, name)} cannot be trained with")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is."""

    stages: int  # that are finished
    stumps: int  # of all of them
    hit_rate: float  # share of varied faces that pass all stages so far, 0 to 1
    false_alarms: float  # share of all windows without a face that do, 0 to 1; as far as they were looked at


def train(
    pictures: Sequence[Labelled],
    config: CascadeConfig,
    progress: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Stage]:
    """Boost a cascade that lets faces through and little else.

    The same pictures, configuration, NumPy and OpenCV give the same cascade, however many threads OpenCV uses.

    Args:
        pictures: With faces and without; what is no face in them is what the cascade learns to refuse.
        config: How.
        progress: Told after each stage.
        stop: Asked after each stump and each picture; the stages that are whole by then are returned.

    Returns:
        The stages; fewer than asked for where no false alarms are left to learn from, none where *stop* said so early.

    Raises:
        RecipeError: The pictures hold no face, or nothing beside faces.
    """
    chance = np.random.default_rng(config.seed)
    faces = [(one.grey, box) for one in pictures for box in one.faces]
    if not faces:
        raise RecipeError("the pictures hold no labelled face; accept some crops, or take other pictures")
    stages: list[Stage] = []
    while len(stages) < config.stages and not stop():
        positives, hit_rate = varied_faces(faces, stages, config.positives, chance)
        negatives, alarms = false_alarms(pictures, stages, config.negatives, chance, stop)
        if stop():
            break
        if not stages and not len(negatives):
            raise RecipeError("the pictures hold nothing beside faces; add some without (--backgrounds)")
        if len(negatives) <= config.negatives // FEW:
            break
        stage = _boost(positives, negatives, config, chance, stop)
        if stage is None:
            break
        stages.append(stage)
        hits, misses = (float(np.mean(passes([stage], one))) for one in (positives, negatives))
        stumps = sum(len(one.stumps) for one in stages)
        progress(Progress(stages=len(stages), stumps=stumps, hit_rate=hit_rate * hits, false_alarms=alarms * misses))
    return stages


def _boost(
    positives: Windows,
    negatives: Windows,
    config: CascadeConfig,
    chance: np.random.Generator,
    stop: Callable[[], bool],
) -> Stage | None:
    """Add stumps until enough of the negatives are refused; None when stopped before."""
    patterns = codes(np.concatenate([positives, negatives]))
    faces = len(positives)
    signs = np.repeat([1.0, -1.0], [faces, len(negatives)])
    weights = np.concatenate([np.full(len(one), 0.5 / len(one)) for one in (positives, negatives)])
    total = np.zeros(len(signs))
    stumps: list[Stump] = []
    threshold = -math.inf
    while len(stumps) < config.max_weak:
        if stop():
            return None
        count = min(config.features, len(patterns))
        chosen = np.sort(chance.choice(len(patterns), count, replace=False))
        stump = best_stump(patterns, chosen, weights, faces)
        says = np.where(stump.subset[patterns[stump.feature]], *stump.leaves)
        stumps.append(stump)
        total += says
        weights *= np.exp(-signs * says)
        weights /= weights.sum()
        threshold = single_below(float(np.quantile(total[:faces], 1 - config.min_hit_rate, method="lower")))
        if np.mean(total[faces:] >= threshold) <= config.max_false_alarm:
            break
    return Stage(tuple(stumps), threshold)


def best_stump(
    patterns: NDArray[np.uint8], chosen: NDArray[np.intp], weights: NDArray[np.float64], faces: int
) -> Stump:
    """Find the feature, and the division of its patterns, with the least weighted squared error.

    Of all divisions in two the best one cuts the patterns in the order of their mean (Breiman and others, 1984, 4.2.2).
    A pattern that was never seen falls to the side that speaks against a face.

    Args:
        patterns: uint8 of shape (features, windows); the faces come first.
        chosen: The features to choose from.
        weights: Of the windows; they add up to 1.
        faces: How many of the windows are faces.
    """
    of_faces, of_others = (
        np.stack([np.bincount(row, weights[part], CODES) for row in patterns[chosen, part]])
        for part in (slice(faces), slice(faces, None))
    )
    mass, pull = of_faces + of_others, of_faces - of_others
    mean = np.divide(pull, mass, out=np.full_like(pull, -2.0), where=mass > 0)
    order = np.argsort(-mean, axis=1, kind="stable")
    left_mass, left_pull = (np.take_along_axis(one, order, 1).cumsum(1)[:, :-1] for one in (mass, pull))
    right_mass, right_pull = mass.sum(1)[:, None] - left_mass, pull.sum(1)[:, None] - left_pull
    gain = left_pull**2 / np.maximum(left_mass, TINY) + right_pull**2 / np.maximum(right_mass, TINY)
    best, cut = np.unravel_index(np.argmax(gain), gain.shape)
    subset = np.zeros(CODES, bool)
    subset[order[best, : cut + 1]] = True
    sides = ((left_pull, left_mass), (right_pull, right_mass))
    first, second = (float(np.float32(up[best, cut] / max(down[best, cut], TINY))) for up, down in sides)
    return Stump(int(chosen[best]), subset, (first, second))


def single_below(value: float) -> float:
    """Round to single precision, never up: a face on the threshold stays."""
    single = np.float32(value)
    return float(single if float(single) <= value else np.nextafter(single, np.float32(-np.inf)))
