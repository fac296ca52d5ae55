"""Hides what people have said of the crops of a shelf: the whole history, kept up to date while others decide too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog import Catalog
from pipeline.decided import in_force, take
from pipeline.records import ReviewDecision, Verdict
from pipeline.review.shelf import UNKNOWN_DAY, Shelf, day_of
from pipeline.review.wanted import VERDICTS, Live

CODES = {word: code for code, word in enumerate(VERDICTS)}
NOT_SEEN = frozenset({"bulk", "import"})  # ways to decide without having looked at the crop here
MAJORITY = 3  # people; the fewest that can outvote somebody


class Said:
    """What stands of all that was decided, by crop, and as columns beside those of the shelf.

    Not safe for several threads at once: the desk has a lock.
    """

    def __init__(self, catalog: Catalog, shelf: Shelf) -> None:
        self._catalog, self._shelf = catalog, shelf
        self._last = 0
        self._labels, self._reviewers = {"": 0}, {"": 0}
        count = len(shelf)
        self.verdict = np.zeros(count, np.uint8)
        self.disputed = np.zeros(count, np.bool_)
        self.label = np.zeros(count, np.int32)
        self.reviewer = np.zeros(count, np.int32)
        self.day = np.full(count, UNKNOWN_DAY, np.int32)  # when the last was decided
        self.seen = np.zeros(count, np.bool_)  # a person has looked at it
        self._seen_once = np.zeros(count, np.bool_)
        self.audited = np.zeros(count, np.bool_)
        self.by_hand = np.zeros(count, np.bool_)  # the last was marked, not only left as it was
        self.stacks: dict[str, list[ReviewDecision]] = {}  # by crop, oldest first; also of crops that are not here
        self.order: list[str] = []  # crops, as they were decided; one may come more than once
        self.refresh()

    def live(self, doubted: NDArray[np.int64]) -> Live:
        """Give the columns by which crops are filtered.

        Args:
            doubted: Rows that were kept, and that what was learnt from the others takes for false. Whoever looks at one
                a second time has answered.
        """
        again = np.zeros(len(self.verdict), np.bool_)
        again[doubted] = True
        return Live(
            verdict=self.verdict,
            disputed=self.disputed,
            doubted=again & self._seen_once & (self.verdict == CODES[Verdict.KEEP]),
            label=self.label,
            reviewer=self.reviewer,
            labels=list(self._labels),
            reviewers=list(self._reviewers),
        )

    def refresh(self) -> NDArray[np.int64]:
        """Take in what was decided since the last time, by whomever; gives the rows of which something was said."""
        self._last, news = self._catalog.decided_since(self._last)
        changed = dict.fromkeys(one.crop_sha256 for one in news)
        for one in news:
            take(self.stacks.setdefault(one.crop_sha256, []), one)
            if one.verdict is not None:
                self.order.append(one.crop_sha256)
        names = list(changed)
        rows = self._shelf.rows(names)
        for name, row in zip(names, rows, strict=True):
            if row >= 0:
                self._set(int(row), self.stacks[name])
        return rows[rows >= 0]

    def standing(self, sha256: str) -> ReviewDecision | None:
        """Give the decision that stands for a crop."""
        stack = self.stacks.get(sha256)
        return in_force(stack) if stack else None

    def labels(self) -> dict[str, int]:
        """Count the crops of the shelf that have each label."""
        counts = np.bincount(self.label, minlength=len(self._labels))
        return {word: int(counts[code]) for word, code in self._labels.items() if word and counts[code]}

    def rejected_by_hand(self) -> NDArray[np.int64]:
        """Find what somebody has marked as no face."""
        return np.flatnonzero((self.verdict == CODES[Verdict.REJECT]) & self.by_hand)

    def _set(self, row: int, stack: Sequence[ReviewDecision]) -> None:
        last = in_force(stack) if stack else None
        said = last.verdict if last else None
        self.verdict[row] = CODES[said] if said else 0
        self.disputed[row] = bool(stack) and disputed(stack)
        self.label[row] = _code(self._labels, (last and last.label) or "")
        self.reviewer[row] = _code(self._reviewers, last.reviewer if last else "")
        self.day[row] = day_of(last.decided_at if last else None)
        looks = sum(one.via not in NOT_SEEN for one in stack)
        self.seen[row], self._seen_once[row] = looks > 0, looks == 1
        self.audited[row] = any(one.via == "audit" for one in stack)
        self.by_hand[row] = last is not None and last.via == "explicit"


def disputed(stack: Iterable[ReviewDecision]) -> bool:
    """Say whether people said different things of one crop, and no majority settles it."""
    last = {one.reviewer: one.verdict for one in stack if one.verdict}
    said = list(last.values())
    if len(set(said)) < 2:
        return False
    most = max(said.count(verdict) for verdict in said)
    return len(said) < MAJORITY or most * 2 <= len(said)


def _code(codes: dict[str, int], word: str) -> int:
    return codes.setdefault(word, len(codes))
