"""The stage that lets a doubtful crop go on only when a person has said keep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from pipeline.records import FaceCrop, Reason, ReviewDecision, Verdict
from pipeline.stage import Dropped, Kept, Outcome, Scope, effect
from pipeline.store import Store

_AGAINST = {Verdict.REJECT: Reason.REJECTED, Verdict.UNSURE: Reason.UNSURE}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewCrops:
    """A decision of a person counts; without one the rule says what is sure, and all else waits.

    The scope is the corpus, because decisions come while the item stays what it was.
    """

    name: ClassVar = "review"
    version: ClassVar = 1
    scope: ClassVar = Scope.CORPUS

    accept_agreed: float = 0.95  # least score that is sure when detectors agree; above 1: never
    accept_alone: float = 1.5  # least score that is sure where only one saw it; above 1: never
    decisions: Mapping[str, ReviewDecision] = effect()  # by SHA-256 of the crop

    def key(self, item: FaceCrop, /) -> str:
        """Name the crop by where it was cut."""
        return item.id

    def __call__(self, items: Iterable[FaceCrop], _store: Store, /) -> Iterator[Outcome[FaceCrop, FaceCrop]]:
        """Judge each crop by the decision on its bytes, else by the rule."""
        for crop in items:
            reason = self.against(crop)
            yield Dropped(crop, reason) if reason else Kept(crop, (crop,))

    def against(self, crop: FaceCrop) -> Reason | None:
        """Give the reason why *crop* may not be released now."""
        decision = self.decisions.get(crop.sha256)
        if decision and decision.verdict:
            return _AGAINST.get(decision.verdict)
        needed = self.accept_agreed if crop.detection.agreed else self.accept_alone
        return None if crop.detection.score >= needed else Reason.WAITING
