"""How far people agree with the rule, and with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

from pipeline.records import ReviewDecision, Verdict

NOBODY = "somebody"  # who decided without saying a name


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """What was decided by people, of the crops that one dataset's review saw."""

    sure: Mapping[Verdict, int] = field(default_factory=dict)  # of crops that the rule would have accepted
    unsure: Mapping[Verdict, int] = field(default_factory=dict)  # of crops that it would have let wait
    reviewers: Mapping[str, int] = field(default_factory=dict)  # crops that each has decided on, most first
    seen_twice: int = 0  # pairs of reviewers who decided on one crop
    agreed_twice: int = 0  # those of them who said the same

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
        )


NOTHING_DECIDED = Agreement()


def agreement(decisions: Iterable[ReviewDecision], sure: Mapping[str, bool]) -> Agreement:
    """Hold what people said against the rule, and against each other.

    Args:
        decisions: All that was ever decided, in its order; a row without verdict takes back the one before it.
        sure: Whether the rule would have accepted a crop, by its SHA-256; of other crops nothing is counted.
    """
    standing: dict[str, list[ReviewDecision]] = {}
    for one in decisions:
        if one.crop_sha256 not in sure:
            continue
        said = standing.setdefault(one.crop_sha256, [])
        if one.verdict is not None:
            said.append(one)
        elif said:
            said.pop()
    by_rule: dict[bool, Counter[Verdict]] = {True: Counter(), False: Counter()}
    reviewers: Counter[str] = Counter()
    seen = agreed = 0
    for crop, said in standing.items():
        last = {one.reviewer or NOBODY: one.verdict for one in said if one.verdict}
        reviewers.update(last.keys())
        pairs = [one == other for one, other in combinations(last.values(), 2)]
        seen, agreed = seen + len(pairs), agreed + sum(pairs)
        if said and said[-1].verdict:
            by_rule[sure[crop]][said[-1].verdict] += 1
    return Agreement(
        sure=dict(sorted(by_rule[True].items())),
        unsure=dict(sorted(by_rule[False].items())),
        reviewers=dict(sorted(reviewers.items(), key=lambda pair: (-pair[1], pair[0]))),
        seen_twice=seen,
        agreed_twice=agreed,
    )
