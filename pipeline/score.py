"""What the evidence for a face is worth: a small logistic model turns it into the probability that a face is there.

The evidence of a place is what each detector said of it, word by word. The model adds up how much each word speaks for
a face or against one, in log-odds. What it was fitted on, and how, stands in its file beside the numbers; people fit
their own from their review decisions (`flow fit-score`).
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from pipeline.errors import RecipeError
from pipeline.store import write_atomically

SHIPPED = Path(__file__).with_name("scores.toml")
SURE, UNLIKELY = 0.95, 0.05  # probabilities beyond which nobody need look again
BIAS = "bias"  # the word that is always said
CLEAR = 4.0  # log-odds of 0.982; no score of a detector is worth more
_LOOSE = 0.25  # of a weight that nothing was known of: as one example, half a face, at one unit of its evidence
_TRUST = 20.0  # of one that was fitted before: some tens of decisions move it, and hundreds make it a person's own
_ROUNDS = 100  # of Newton's method, which needs about ten
_CLOSE = 1e-9  # log-odds; a smaller step changes no weight that is written down

Evidence = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Model:
    """Log-odds for a unit of each word of evidence; one without any has not been fitted, and is never sure."""

    weights: tuple[tuple[str, float], ...] = ()

    def probability(self, evidence: Evidence) -> float:
        """Give the probability that a face is there, 0 to 1; a word that the model does not know counts nothing."""
        if not self.weights:
            return _guessed(evidence)
        said = {BIAS: 1.0, **evidence}
        return _sigmoid(sum(weight * said.get(word, 0.0) for word, weight in self.weights))


def _guessed(evidence: Evidence) -> float:
    """Take the mean of the detectors' own scores: good enough to put a queue in order, and never to leave it."""
    said = [value for word, value in evidence.items() if f"{word} seen" in evidence]
    return min(SURE - 0.01, _sigmoid(sum(said) / len(said))) if said else UNLIKELY


def _sigmoid(log_odds: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, log_odds))))


def strength(score: float) -> float:
    """Turn a detector's own score, 0 to 1, into log-odds, -4 to 4."""
    inside = min(max(score, 1e-6), 1 - 1e-6)
    return max(-CLEAR, min(CLEAR, math.log(inside / (1 - inside))))


class _Fitted(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    detectors: tuple[str, ...]
    about: str  # what it was fitted on
    weights: dict[str, FiniteFloat]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: tuple[_Fitted, ...]


@functools.cache
def shipped(detectors: tuple[str, ...]) -> Model:
    """Give the model that comes with kaoset for these detectors; one that is not fitted where there is none."""
    return next((_model(one) for one in _read(SHIPPED).model if one.detectors == detectors), Model())


def load(path: Path, detectors: tuple[str, ...]) -> Model:
    """Read a model that `flow fit-score` wrote for these detectors.

    Raises:
        RecipeError: The file is not there, is no such file, or is for other detectors.
    """
    fitted = _read(path).model
    for one in fitted:
        if one.detectors == detectors:
            return _model(one)
    known = "; ".join(", ".join(one.detectors) for one in fitted) or "none"
    raise RecipeError(f"{path}: fitted for {known}, and detect.detectors are {', '.join(detectors)}; fit it again")


def save(path: Path, detectors: tuple[str, ...], model: Model, about: str) -> None:
    """Write a model beside those for other detectors that the file holds.

    Raises:
        RecipeError: There is another file of that name.
        StoreError: It cannot be written.
    """
    others = [one for one in _read(path).model if one.detectors != detectors] if path.exists() else []
    fitted = _Fitted(detectors=detectors, about=about, weights=dict(model.weights))
    rows = sorted([*others, fitted], key=lambda one: one.detectors)
    body: dict[str, Any] = {"model": [one.model_dump(mode="json") for one in rows]}
    write_atomically(path, tomli_w.dumps(body, multiline_strings=True).encode())


def _read(path: Path) -> _File:
    try:
        return _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); `flow fit-score` writes one") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path}: not readable as TOML ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecipeError(f"{path}: no model of a score ({where}: {first['msg']})") from error


def _model(fitted: _Fitted) -> Model:
    return Model(tuple(sorted(fitted.weights.items())))


def fit(examples: Sequence[Evidence], faces: Sequence[bool], prior: Model) -> Model:
    """Fit a model to examples; where they are few or one-sided it stays near *prior*.

    The maximum a posteriori of logistic regression with a Gaussian prior about the weights of *prior*, by Newton's
    method (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 2009, sections 4.4.1 and 4.4.4).

    Args:
        examples: What was said of each place.
        faces: Whether a face is there.
        prior: What was believed before; one that is not fitted believes that nothing counts.
    """
    before = dict(prior.weights)
    words = sorted({BIAS, *before, *(word for one in examples for word in one)})
    said = np.array([[1.0 if word == BIAS else one.get(word, 0.0) for word in words] for one in examples])
    said = said.reshape(len(examples), len(words))
    truth = np.array(faces, np.float64)
    start = np.array([before.get(word, 0.0) for word in words])
    ridge = np.full(len(words), _TRUST if before else _LOOSE)
    if not before:
        ridge[words.index(BIAS)] /= 100  # how common faces are among proposals is no evidence, and known at once
    weights = start.copy()

    def wrong(tried: NDArray[np.float64]) -> float:
        odds = said @ tried
        return float((np.logaddexp(0, odds) - truth * odds).sum() + ridge @ (tried - start) ** 2 / 2)

    for _ in range(_ROUNDS):
        believed = 1 / (1 + np.exp(-np.clip(said @ weights, -30, 30)))
        slope = said.T @ (believed - truth) + ridge * (weights - start)
        curve = (said.T * (believed * (1 - believed))) @ said + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        while np.abs(step).max() > _CLOSE and wrong(weights - step) > wrong(weights):
            step /= 2  # far from the best, Newton's step may go too far, and to and fro for ever
        weights -= step
        if np.abs(step).max() <= _CLOSE:
            break
    return Model(tuple((word, round(float(weight), 4)) for word, weight in zip(words, weights, strict=True)))
