"""Hides what a recipe does with a detection before any person sees it: its own stages are asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from pipeline.benchmark import Fate
from pipeline.filter import FilterCrops
from pipeline.recipe import Recipe
from pipeline.records import Box, Detection, FaceCrop, Reason
from pipeline.review.queue import ReviewCrops

# A crop of which the rules that look at scores need nothing but its detection.
_CROP = FaceCrop(
    sha256="",
    detection=Detection(image_sha256="", box=Box(left=0, top=0, width=1, height=1), detector="", score=0.0),
    side=1,
    size=1,
    padded=0.0,
    phash="0" * 16,
    sharpness=0.0,
    contrast=0.0,
    chroma=0.0,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """The least scores of a recipe: of what is looked at further at all, and of what is sure."""

    filters: FilterCrops
    review: ReviewCrops

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        """Take the rule of a recipe for crops that nobody has decided on, whatever their size, colour and sharpness."""
        review = ReviewCrops(
            accept_agreed=recipe.review.accept_agreed, accept_alone=recipe.review.accept_alone, decisions={}
        )
        return cls(FilterCrops(min_face=0, min_score=recipe.filter.min_score), review)

    def __call__(self, detection: Detection) -> Fate:
        """Say what becomes of a detection."""
        crop = replace(_CROP, detection=detection)
        if self.filters.against(crop):
            return Fate.DROPPED
        match self.review.against(crop):
            case None:
                return Fate.ACCEPTED
            case Reason.WAITING:
                return Fate.QUEUED
            case _:
                return Fate.DROPPED
