"""Hides which names a person may mean: those given before, those of the boards, those of crops that look alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST = 12
NEIGHBOURS = 7  # labelled crops that say who this one may be
RECENT = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A name that fits what was typed."""

    label: str
    count: int = 0  # crops that have it, or posts
    match: tuple[int, int] | None = None  # which characters of it were typed
    origin: str = "used"  # used, tag or near
    confidence: float | None = None  # 0 to 1, of what looks alike


def find(text: str, sources: Sequence[tuple[str, Mapping[str, int]]], near: Mapping[str, float]) -> list[Name]:
    """Give names in which *text* stands: at their beginning, at that of a word, anywhere; else with gaps.

    Args:
        text: What was typed; without any, what looks alike and then the most frequent come.
        sources: Names and how often they stand there, by origin; the first origin of a name counts.
        near: How probable names are by the look of the crop, 0 to 1.
    """
    known: dict[str, tuple[str, int]] = {}
    for origin, names in sources:
        for label, count in names.items():
            known.setdefault(label, (origin, count))
    for label in near:
        known.setdefault(label, ("near", 0))
    asked = _folded(text)
    places = {label: _place(asked, _folded(label)) for label in known}
    fits = {label: place for label, place in places.items() if place is not None}

    def rank(label: str) -> tuple[float, ...]:
        way, _, _ = fits[label]
        return (
            way,
            -near.get(label, 0.0),
            ("used", "tag", "near").index(known[label][0]),
            -known[label][1],
            len(label),
        )

    return [
        Name(
            label=label,
            count=known[label][1],
            match=fits[label][1:] if asked and fits[label][2] else None,
            origin=known[label][0],
            confidence=near.get(label),
        )
        for label in sorted(fits, key=lambda label: (*rank(label), label))[:MOST]
    ]


def _folded(text: str) -> str:
    return text.casefold().strip().replace(" ", "_")


def _place(asked: str, label: str) -> tuple[int, int, int] | None:
    """Say how *asked* stands in *label* (0: at its beginning, 1: of a word, 2: anywhere, 3: with gaps), from, to."""
    if not asked:
        return (0, 0, 0)
    if label.startswith(asked):
        return (0, 0, len(asked))
    inside = next((at for at in _starts(asked, label) if not label[at - 1].isalnum()), None)
    if inside is not None:
        return (1, inside, inside + len(asked))
    anywhere = label.find(asked)
    if anywhere >= 0:
        return (2, anywhere, anywhere + len(asked))
    rest = iter(label)
    return (3, 0, 0) if len(asked) > 2 and all(letter in rest for letter in asked) else None


def _starts(asked: str, label: str) -> Iterable[int]:
    at = label.find(asked, 1)
    while at >= 0:
        yield at
        at = label.find(asked, at + 1)


def by_look(
    vectors: NDArray[np.float32], labelled: NDArray[np.float32], label_of: Sequence[str]
) -> list[dict[str, float]]:
    """Say for each of *vectors* who it may be: the share of its nearest labelled crops, weighed by their likeness.

    Args:
        vectors: (crops, DIM); a row of NaN says nothing.
        labelled: (n, DIM), of crops that have a label.
        label_of: Their labels.

    Returns:
        For each crop names with a confidence of 0 to 1; none where nothing is known.
    """
    there = ~np.isnan(labelled[:, :1]).ravel() if len(labelled) else np.zeros(0, np.bool_)
    names = [label for label, known in zip(label_of, there, strict=True) if known]
    if not names:
        return [{} for _ in vectors]
    known = _unit(labelled[there])
    return [_weighed(known @ one, names) if not np.isnan(one[0]) else {} for one in _unit(vectors)]


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)


def _weighed(likeness: NDArray[np.float32], names: Sequence[str]) -> dict[str, float]:
    best = np.argsort(-likeness, kind="stable")[:NEIGHBOURS]
    weights = np.maximum(likeness[best], 0) ** 8  # so that who is hardly alike hardly counts
    said: dict[str, float] = {}
    for place, weight in zip(best, weights, strict=True):
        said[names[place]] = said.get(names[place], 0.0) + float(weight)
    # One labelled crop alone is no evidence: what is missing of NEIGHBOURS counts as nobody.
    total = float(weights.sum()) + (NEIGHBOURS - len(best)) * 0.5
    return {label: round(weight / total, 3) for label, weight in said.items() if total > 0}
