"""How far people agree with the rule, and with each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

from pipeline.decided import at_most, standing
from pipeline.records import ReviewDecision, Verdict

NOBODY = "somebody"  # who decided without saying a name
UNSEEN = frozenset({"bulk"})  # ways to decide on many without looking at each


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """What was decided by people, of the crops that one dataset's review saw."""

    sure: Mapping[Verdict, int] = field(default_factory=dict)  # of crops that the rule would have accepted
    unsure: Mapping[Verdict, int] = field(default_factory=dict)  # of crops that it would have let wait
    reviewers: Mapping[str, int] = field(default_factory=dict)  # crops that each has decided on, most first
    seen_twice: int = 0  # pairs of reviewers who decided on one crop
    agreed_twice: int = 0  # those of them who said the same
    kappa: float | None = None  # how far they agree beyond chance, 1 at most; None: nobody can tell
    unseen: int = 0  # crops that were let through without anybody having looked, those of the sample among them
    audited: int = 0  # of these, how many were drawn by chance and shown to a person
    audited_false: int = 0  # of those, how many were no faces

    @property
    def audit(self) -> str:
        """Say in a sentence or two what the sample of what nobody had looked at tells; "" where none was drawn."""
        if not self.audited:
            return ""
        share = math.ceil(at_most(self.audited_false, self.audited) * 1000) / 1000  # never less than it is
        no_faces = f"{self.audited_false:,} of them {'was no face' if self.audited_false == 1 else 'were no faces'}"
        return (
            f"Of {self.unseen:,} crops that nobody had looked at, {self.audited:,} were drawn by chance and shown to a "
            f"person: {no_faces}. So at most {share:.1%} of the others are none, with 95 % certainty."
        )

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Agreement:
        """Read what `to_json` wrote.

        Raises:
            ValueError, TypeError, LookupError, AttributeError: It is something else.
        """
        by_rule = ({Verdict(word): int(count) for word, count in body[name].items()} for name in ("sure", "unsure"))
        sure, unsure = by_rule
        return cls(
            sure=sure,
            unsure=unsure,
            reviewers={str(name): int(count) for name, count in body["reviewers"].items()},
            seen_twice=int(body["seen_twice"]),
            agreed_twice=int(body["agreed_twice"]),
            # An older kaoset did not count these.
            kappa=None if body.get("kappa") is None else float(body["kappa"]),
            unseen=int(body.get("unseen", 0)),
            audited=int(body.get("audited", 0)),
            audited_false=int(body.get("audited_false", 0)),
        )


NOTHING_DECIDED = Agreement()


def agreement(
    decisions: Iterable[ReviewDecision], sure: Mapping[str, bool], by_person: Mapping[str, ReviewDecision] | None = None
) -> Agreement:
    """Hold what people said against the rule, and against each other.

    Args:
        decisions: All that was ever decided, in its order; a row without verdict takes back the one before it.
        sure: Whether the rule would have accepted a crop, by its SHA-256; of other crops nothing is counted.
        by_person: The decision that counted for a crop, by its SHA-256, where it may be about the same face cut or
            copied otherwise: it is then counted once, for one of these.
    """
    everything = standing(decisions)
    stacks = {crop: stack for crop, stack in everything.items() if crop in sure}
    looked_at = {crop: everything.get(one.crop_sha256, []) for crop, one in (by_person or {}).items()}
    told = set(stacks)
    for crop, one in sorted((by_person or {}).items()):
        if crop in sure and one.crop_sha256 not in told and looked_at[crop]:
            told.add(one.crop_sha256)
            stacks[crop] = looked_at[crop]
    by_rule: dict[bool, Counter[Verdict]] = {True: Counter(), False: Counter()}
    reviewers: Counter[str] = Counter()
    pairs: Counter[tuple[Verdict, Verdict]] = Counter()
    for crop, stack in stacks.items():
        last = {one.reviewer or NOBODY: one.verdict for one in stack if one.verdict}
        reviewers.update(last.keys())
        pairs.update((last[one], last[other]) for one, other in combinations(sorted(last), 2))
        if stack[-1].verdict:
            by_rule[sure[crop]][stack[-1].verdict] += 1
    drawn = [stack[-1].verdict for stack in stacks.values() if any(one.via == "audit" for one in stack)]
    unseen = 0
    for crop, accepted in sure.items():
        stack = stacks.get(crop) or looked_at.get(crop, [])
        let_through = stack[-1].verdict is Verdict.KEEP if stack else accepted
        unseen += let_through and not _looked_at(stack)
    return Agreement(
        sure=dict(sorted(by_rule[True].items())),
        unsure=dict(sorted(by_rule[False].items())),
        reviewers=dict(sorted(reviewers.items(), key=lambda pair: (-pair[1], pair[0]))),
        seen_twice=sum(pairs.values()),
        agreed_twice=sum(count for (one, other), count in pairs.items() if one == other),
        kappa=kappa(pairs),
        unseen=unseen + len(drawn),
        audited=len(drawn),
        audited_false=drawn.count(Verdict.REJECT),
    )


def kappa(pairs: Mapping[tuple[Verdict, Verdict], int]) -> float | None:
    """Give how far two agree beyond what they would by chance: 1 at most, 0 where it is chance alone.

    Cohen, A Coefficient of Agreement for Nominal Scales, Educational and Psychological Measurement 20 (1960).

    Args:
        pairs: How often the one and the other said what.

    Returns:
        None where nothing was said by both, or both always said the same one word.
    """
    total = sum(pairs.values())
    if not total:
        return None
    ones: Counter[Verdict] = Counter()
    others: Counter[Verdict] = Counter()
    for (one, other), count in pairs.items():
        ones[one] += count
        others[other] += count
    by_chance = sum(ones[word] * others[word] for word in Verdict) / total**2
    if by_chance == 1:
        return None
    same = sum(count for (one, other), count in pairs.items() if one == other) / total
    return round((same - by_chance) / (1 - by_chance), 4)


def _looked_at(stack: Iterable[ReviewDecision]) -> bool:
    return any(one.via not in UNSEEN for one in stack)
