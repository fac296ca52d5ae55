"""Gathers what a data folder says of itself: the last run, its hosts, what failed, what is unread, what waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.catalog import Catalog, Failures
from pipeline.records import HostCount, Reason
from pipeline.sources.ground import unread_ids

FRESH = timedelta(minutes=1)  # a run counts its hosts each second: an older count is that of no run


@dataclass(frozen=True, kw_only=True)
class Host:
    """What a recipe's last run did with one host."""

    recipe: str
    count: HostCount
    eta_s: float | None  # None: nothing is under way there, or it cannot be told

    def to_json(self) -> dict[str, Any]:
        """Give plain values, with the rate in files a second."""
        return {"recipe": self.recipe, **self.count.to_json(), "rate": self.count.rate, "eta_s": self.eta_s}


@dataclass(frozen=True, kw_only=True)
class Status:
    """What `flow status` tells."""

    last_run: dict[str, Any] | None
    counts: dict[str, int]  # rows, by table
    hosts: tuple[Host, ...]  # those with most left to do first
    failures: tuple[Failures, ...]
    unread: dict[str, int]  # ids, by listing: at most so many posts are not listed yet
    waiting: int  # crops, for a person
    releases: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """Give plain values, for programs."""
        return {
            "counts": self.counts,
            "waiting": self.waiting,
            "releases": [str(one) for one in self.releases],
            "last_run": self.last_run,
            "hosts": [one.to_json() for one in self.hosts],
            "failures": [
                {"reason": one.reason, "items": one.items, "next_at": one.next_at and one.next_at.isoformat()}
                for one in self.failures
            ],
            "unread": self.unread,
        }


def status(catalog: Catalog, releases: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Status:
    """Ask the catalog, and look for releases below the folder *releases*; a run may go on meanwhile."""
    now, decided = clock(), catalog.decisions()
    hosts = [
        Host(recipe=recipe, count=count, eta_s=count.eta_s if now - count.at < FRESH else None)
        for recipe, counts in catalog.hosts().items()
        for count in counts
    ]
    hosts.sort(key=lambda one: (one.count.waiting, one.count.done + one.count.failed), reverse=True)
    left = {listing: unread_ids(cursor) for listing, cursor in catalog.cursors().items()}
    found = sorted(releases.glob("*/[0-9]*"))
    return Status(
        last_run=next(iter(catalog.runs()), None),
        counts=catalog.counts(),
        hosts=tuple(hosts),
        failures=tuple(catalog.failures("scrape")),
        unread={listing: ids for listing, ids in left.items() if ids},
        waiting=sum(crop.sha256 not in decided for crop in catalog.crops("review", Reason.WAITING)),
        releases=tuple(one for one in found if (one / "data_manifest.csv").is_file()),
    )
