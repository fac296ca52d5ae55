"""The stage that makes a dataset fit to learn from: nothing on two sides, and not too much of one kind."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from pipeline.records import FaceCrop, GivenSplit, Post, Reason, ReviewDecision, Verdict
from pipeline.splits import Place, divide, episode_of
from pipeline.stage import Dropped, Kept, Outcome, Scope, effect
from pipeline.store import Store

SCORE_DIGITS = 2  # a score that is better by less displaces nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceCrops:
    """Give each crop its split and its weight; drop what would stand on two sides, or is over its kind's cap.

    The best of a kind are kept: first those that a person kept, then by score, then by side. Of equals those stay that
    were released before, so that a newcomer takes the place of none of them.
    """

    name: ClassVar = "balance"
    version: ClassVar = 1
    scope: ClassVar = Scope.CORPUS

    by: str | None = None  # what a kind is: character, label, hair, eyes, artist, source or family
    cap: int | None = None  # crops of one kind; None: as many as there are
    weights: Mapping[str, float] = field(default_factory=dict)  # by kind; of others 1
    split_by: str = "family"  # or "episode": what is of one film stays together too
    films: frozenset[str] = frozenset()  # names of the sources that read films
    seed: int = 0
    shares: Mapping[str, float]  # of the splits, adding up to 1
    posts: Mapping[str, Post] = effect()  # by SHA-256 of the image
    decisions: Mapping[str, ReviewDecision] = effect()  # by SHA-256 of the crop
    given: Mapping[str, GivenSplit] = effect()  # by `Place.names`

    def key(self, item: FaceCrop, /) -> str:
        """Name the crop by where it was cut."""
        return item.id

    def __call__(self, items: Iterable[FaceCrop], _store: Store, /) -> Iterator[Outcome[FaceCrop, FaceCrop]]:
        """Judge all crops at once; the result does not depend on their order."""
        crops = sorted(items, key=self._best_first)
        held: Counter[str] = Counter()
        splits = divide([self.place(crop) for crop in crops], self.given, self.seed, self.shares)
        for crop, split in zip(crops, splits, strict=True):
            kinds = self._kinds(crop)
            full = [kind for kind in kinds if self.cap is not None and held[kind] >= self.cap]
            if not split:
                yield Dropped(crop, Reason.SPLIT_CONFLICT)
            elif full:
                yield Dropped(crop, Reason.OVER_CAP, f"{self.by} {full[0]}")
            else:
                held.update(kinds)
                yield Kept(crop, (replace(crop, split=split, weight=self._weight(kinds)),))

    def place(self, crop: FaceCrop) -> Place:
        """Say what the split of *crop* depends on."""
        image = crop.detection.image_sha256
        film = episode_of(self.posts[image].id, self.films) if self.split_by == "episode" else ""
        return Place(image=image, family=crop.family, episode=film)

    def _best_first(self, crop: FaceCrop) -> tuple[bool, float, int, float, str, str]:
        decision = self.decisions.get(crop.sha256)
        kept = decision is not None and decision.verdict is Verdict.KEEP
        before = self.given.get(f"image {crop.detection.image_sha256}")
        since = before.round if before else math.inf
        return (not kept, -round(crop.detection.score, SCORE_DIGITS), -crop.side, since, crop.sha256, crop.id)

    def _kinds(self, crop: FaceCrop) -> tuple[str, ...]:
        """Say of which kinds a crop is; none where nobody knows, and then no cap holds for it."""
        post = self.posts[crop.detection.image_sha256]
        decision = self.decisions.get(crop.sha256)
        kinds: tuple[str, ...]
        match self.by:
            case "character":
                kinds = getattr(post, "characters", ())
            case "artist":
                kinds = getattr(post, "artists", ())
            case "label":
                kinds = ((decision and decision.label) or "",)
            case "hair":
                kinds = (crop.hair_colour,)
            case "eyes":
                kinds = (crop.eye_colour,)
            case "source":
                kinds = (post.id.partition(":")[0],)
            case "family":
                kinds = (crop.family,)
            case _:
                kinds = ()
        return tuple(sorted({kind for kind in kinds if kind}))

    def _weight(self, kinds: tuple[str, ...]) -> float:
        """Give the mean of what its kinds weigh."""
        return round(sum(self.weights.get(kind, 1.0) for kind in kinds) / len(kinds), 6) if kinds else 1.0
