"""Hides what a review has come to: counts, charts, people, and how far they agree, as numbers."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.card.agreement import NOBODY, kappa
from pipeline.records import Operation, Verdict
from pipeline.review.desk import Desk
from pipeline.review.said import CODES
from pipeline.review.shelf import UNKNOWN_DAY
from pipeline.review.simulate import simulate
from pipeline.review.wanted import SCORE_BINS, VERDICTS, Mask, Wanted

LAST_PAGES = 200
MOST_SOURCES = 30
MOST_SIMULATED = 3000  # decisions; the simulation of the orders learns anew for every page of them
FEWEST_SIMULATED = 100


def stats(desk: Desk, wanted: Wanted, reviewer: str) -> dict[str, Any]:
    """Tell of all crops that are asked for, whatever was said of them, and of everybody who decided."""
    with desk.lock:
        desk.refresh()
        there = desk.mask(Wanted() if wanted.is_queue else wanted)
        done = desk.catalog.operations()
        undone = {one.undoes for one in done if one.kind == "undo"}
        stands = [one for one in done if one.kind != "undo" and one.id not in undone]
        return {
            "verdicts": _verdicts(desk.said.verdict[there]),
            "doubted": int(desk.live.doubted.sum()),
            "by_score": _by_score(desk, there),
            "by_source": _by_source(desk, there),
            "by_day": _by_day(desk, there),
            "pages": [_page(one) for one in stands if one.kind in ("page", "single")][:LAST_PAGES][::-1],
            "found": _found(stands),
            "reviewers": _reviewers(desk, stands),
            "agreement": {"pairs": _agreement(desk)},
            "orders": _orders(desk),
            "audit": desk.audit(),
            "session": session(desk, reviewer),
        }


def _verdicts(codes: NDArray[np.uint8]) -> dict[str, int]:
    counts = np.bincount(codes, minlength=len(VERDICTS))
    return {word: int(count) for word, count in zip(VERDICTS, counts, strict=True)}


def _by_score(desk: Desk, there: Mask) -> list[dict[str, Any]]:
    bins = np.minimum((desk.shelf["score"][there] * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
    verdicts = desk.said.verdict[there]
    return [
        {"from": place / SCORE_BINS, "to": (place + 1) / SCORE_BINS, **_verdicts(verdicts[bins == place])}
        for place in range(SCORE_BINS)
    ]


def _by_source(desk: Desk, there: Mask) -> list[dict[str, Any]]:
    sources, verdicts = desk.shelf["source"][there], desk.said.verdict[there]
    counted = np.bincount(sources, minlength=1)
    most = [int(code) for code in np.argsort(-counted, kind="stable")[:MOST_SOURCES] if counted[code]]
    return [{"source": desk.shelf.words["source"][code], **_verdicts(verdicts[sources == code])} for code in most]


def _by_day(desk: Desk, there: Mask) -> list[dict[str, Any]]:
    days, verdicts = desk.said.day[there], desk.said.verdict[there]
    return [
        {"day": str(np.datetime64(int(day), "D")), **_verdicts(verdicts[days == day])}
        for day in np.unique(days[days != UNKNOWN_DAY])
    ]


def _page(one: Operation) -> dict[str, Any]:
    crops, rejected = counts(one)
    seconds = round(one.dwell_ms / 1000, 1)
    return {
        "at": one.at.isoformat(),
        "crops": crops,
        "rejected": rejected,
        "seconds": seconds,
        "reviewer": one.reviewer,
        "order": one.ranker,
    }


def counts(one: Operation) -> tuple[int, int]:
    """Say of how many crops an operation decides, and how many of them it rejects."""
    about = json.loads(one.about or "{}")
    return int(about.get("crops", 0)), int(about.get("rejected", 0))


def _found(stands: Sequence[Operation]) -> dict[str, list[int]]:
    """Give how many false ones were found after so many crops: a flat end says that there is little left to find."""
    seen, false = [0], [0]
    for one in reversed(stands):
        if one.kind in ("page", "single"):
            crops, rejected = counts(one)
            seen.append(seen[-1] + crops)
            false.append(false[-1] + rejected)
    step = max(1, len(seen) // 400)
    return {"seen": [*seen[::step], seen[-1]], "false": [*false[::step], false[-1]]}


def _reviewers(desk: Desk, stands: Sequence[Operation]) -> list[dict[str, Any]]:
    by_name: dict[str, list[Operation]] = defaultdict(list)
    for one in stands:
        by_name[one.reviewer].append(one)
    rows = []
    for name, done in by_name.items():
        pace = desk.pace(name)
        decided, rejected = (sum(part) for part in zip(*map(counts, done), strict=True))
        rows.append(
            {
                "reviewer": name or NOBODY,
                "decided": decided,
                "rejected": rejected,
                "per_hour": round(3600 / pace) if pace else None,
                "seeds_shown": sum(one.seeds_shown for one in done),
                "seeds_caught": sum(one.seeds_caught for one in done),
            }
        )
    return sorted(rows, key=lambda row: (-row["decided"], row["reviewer"]))


def _agreement(desk: Desk) -> list[dict[str, Any]]:
    said: dict[tuple[str, str], Counter[tuple[Verdict, Verdict]]] = defaultdict(Counter)
    for stack in desk.said.stacks.values():
        last = {one.reviewer or NOBODY: one.verdict for one in stack if one.verdict}
        for one, other in combinations(sorted(last), 2):
            said[one, other][last[one], last[other]] += 1
    return [
        {
            "one": one,
            "other": other,
            "both": sum(pairs.values()),
            "same": sum(count for (mine, its), count in pairs.items() if mine == its),
            "kappa": kappa(pairs),
        }
        for (one, other), pairs in sorted(said.items())
    ]


def _orders(desk: Desk) -> list[dict[str, Any]]:
    """Tell what the orders would have been worth for what was decided so far; it is kept until there is much more."""
    return desk.simulated(lambda: _simulated(desk))


def _simulated(desk: Desk) -> list[dict[str, Any]]:
    teach = desk.said.seen & np.isin(desk.said.verdict, [CODES[Verdict.KEEP], CODES[Verdict.REJECT]])
    rows = np.flatnonzero(teach)[:MOST_SIMULATED]
    false = desk.said.verdict[rows] == CODES[Verdict.REJECT]
    if len(rows) < FEWEST_SIMULATED or not false.any() or false.all():
        return []
    curves = simulate(*desk.ranking.features(rows), false)
    return [{"name": one.name, "to_95": one.to_95, "of": len(rows)} for one in curves]


def session(desk: Desk, reviewer: str) -> dict[str, Any]:
    """Tell what a reviewer did since the page was served."""
    done = [one for one in desk.catalog.operations(reviewer) if one.at >= desk.began]
    undone = {one.undoes for one in done}
    mine = [one for one in done if one.kind != "undo"]
    stands = [one for one in mine if one.id not in undone]
    judged = [one for one in stands if one.kind != "label"]
    crops, rejected = (sum(part) for part in zip((0, 0), *map(counts, judged), strict=True))
    minutes = sum(one.dwell_ms for one in mine) / 60_000
    return {
        "began": desk.began.isoformat(),
        "minutes": round(minutes, 1),
        "crops": crops,
        "rejected": rejected,
        "per_hour": round(crops / minutes * 60) if minutes > 0 else None,
        "labels": sum(one.kind == "label" for one in stands),
        "undone": len(mine) - len(stands),
    }
