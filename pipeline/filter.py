"""Which face crops are worth keeping: each rule is a small function that gives the reason against it, or None."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from pipeline.records import FaceCrop, Reason
from pipeline.score import Model
from pipeline.stage import Dropped, Kept, Outcome, Scope, effect
from pipeline.store import Store


@dataclass(frozen=True, slots=True)
class FilterCrops:
    """Drop what is too small, too unsure, blurred, flat or without colour; 0 switches a rule off.

    With a model of one's own, crops go on with the score that it gives them. What a person kept goes on, whatever the
    rules say.
    """

    name: ClassVar = "filter"
    version: ClassVar = 1
    scope: ClassVar = Scope.ITEM

    min_face: int = 32  # pixels, side of the face's box in the image
    min_score: float = 0.0  # 0 to 1
    min_sharpness: float = 0.0  # variance of the Laplacian at 128 px
    min_contrast: float = 0.0  # standard deviation of grey, 0 to 127
    min_chroma: float = 0.0  # mean distance from grey in Lab
    model: Model | None = None  # None: the score of the detection stays
    cut_by: str = ""  # fingerprint of what cut the crops: one of the same place that was cut otherwise is another
    kept: frozenset[str] = effect(default=frozenset())  # by a person; SHA-256 of crops

    def key(self, item: FaceCrop, /) -> str:
        """Name the crop by where it was cut."""
        return item.id

    def __call__(self, items: Iterable[FaceCrop], _store: Store, /) -> Iterator[Outcome[FaceCrop, FaceCrop]]:
        """Judge each crop by its record alone; no pixels are read."""
        for crop in items:
            scored = self._scored(crop)
            reason = self._against(scored)
            yield Dropped(crop, reason) if reason else Kept(crop, (scored,))

    def against(self, crop: FaceCrop) -> Reason | None:
        """Give the first reason against *crop*, as it came; None: it goes on."""
        return self._against(self._scored(crop))

    def _scored(self, crop: FaceCrop) -> FaceCrop:
        return crop if self.model is None else _scored(crop, self.model)

    def _against(self, crop: FaceCrop) -> Reason | None:
        if crop.sha256 in self.kept:
            return None
        return (
            _too_small(crop, self.min_face)
            or _unsure(crop, self.min_score)
            or _blurred(crop, self.min_sharpness)
            or _flat(crop, self.min_contrast)
            or _monochrome(crop, self.min_chroma)
        )


def _scored(crop: FaceCrop, model: Model) -> FaceCrop:
    probability = round(model.probability(dict(crop.detection.evidence)), 4)
    return replace(crop, detection=replace(crop.detection, score=probability))


def _too_small(crop: FaceCrop, min_face: int) -> Reason | None:
    box = crop.detection.box
    return Reason.FACE_TOO_SMALL if min(box.width, box.height) < min_face else None


def _unsure(crop: FaceCrop, min_score: float) -> Reason | None:
    return Reason.LOW_SCORE if crop.detection.score < min_score else None


def _blurred(crop: FaceCrop, min_sharpness: float) -> Reason | None:
    return Reason.BLURRED if crop.sharpness < min_sharpness else None


def _flat(crop: FaceCrop, min_contrast: float) -> Reason | None:
    return Reason.FLAT if crop.contrast < min_contrast else None


def _monochrome(crop: FaceCrop, min_chroma: float) -> Reason | None:
    return Reason.MONOCHROME if crop.chroma < min_chroma else None
