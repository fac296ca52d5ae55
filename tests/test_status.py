from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import make

from pipeline.catalog import Catalog, Failures
from pipeline.records import Reason
from pipeline.stage import Dropped
from pipeline.status import status

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_hosts_of_all_recipes_are_told_the_fullest_first(sqlite_catalog: Catalog, tmp_path: Path) -> None:
    """Each with its recipe."""
    sqlite_catalog.note_hosts("a", [make.host_count("idle", waiting=0), make.host_count("busy", waiting=9)])
    sqlite_catalog.note_hosts("b", [make.host_count("full", waiting=99)])

    found = status(sqlite_catalog, tmp_path).hosts

    assert [(one.recipe, one.count.host) for one in found] == [("b", "full"), ("a", "busy"), ("a", "idle")]


def test_only_a_run_under_way_has_an_end(sqlite_catalog: Catalog, tmp_path: Path) -> None:
    """What was counted an hour ago is what a stopped run left: it comes nearer to no end."""
    for host, ago in {"now": timedelta(seconds=2), "then": timedelta(hours=1)}.items():
        at = NOW - ago
        sqlite_catalog.note_hosts("a", [make.host_count(host, at=at, began_at=at - timedelta(seconds=100))])

    told = {one.count.host: one.eta_s for one in status(sqlite_catalog, tmp_path, lambda: NOW).hosts}

    assert told == {"now": 50.0, "then": None}


def test_what_is_unread_is_told_by_listing(sqlite_catalog: Catalog, tmp_path: Path) -> None:
    """Listings that were read to their end, and those that have none, are left out."""
    sqlite_catalog.add_page("half", [], {"unread": [[900, 801], [50, 1]], "newest": 1000, "recent": [1000]})
    sqlite_catalog.add_page("whole", [], {"unread": [], "newest": 1000, "recent": [1000]})
    sqlite_catalog.add_page("films", [], {"films": {}})

    assert status(sqlite_catalog, tmp_path).unread == {"half": 150}


def test_failures_of_the_scrape_are_told(sqlite_catalog: Catalog, tmp_path: Path) -> None:
    """No other stage asks anybody."""
    post = make.post()
    for stage in ("scrape", "detect"):
        sqlite_catalog.record(stage, "f", [(post.id, Dropped(post, Reason.GONE))])

    assert status(sqlite_catalog, tmp_path).failures == (Failures(reason=Reason.GONE, items=1, next_at=None),)


def test_for_programs_all_is_plain(sqlite_catalog: Catalog, tmp_path: Path) -> None:
    """With the rate, which people would have to divide for."""
    post = make.post()
    sqlite_catalog.record("scrape", "f", [(post.id, Dropped(post, Reason.GONE))])
    sqlite_catalog.note_hosts("a", [make.host_count()])

    told = status(sqlite_catalog, tmp_path).to_json()

    assert told["failures"] == [{"reason": "gone", "items": 1, "next_at": None}]
    assert told["hosts"] == [
        {
            "recipe": "a",
            "host": "files.invalid",
            "waiting": 50,
            "done": 90,
            "failed": 10,
            "parked": "",
            "bytes": 2**33,
            "began_at": "2026-01-02T00:00:00+00:00",
            "at": "2026-01-02T00:01:40+00:00",
            "rate": 1.0,
            "eta_s": None,
        }
    ]


def test_a_folder_without_a_manifest_is_no_release(sqlite_catalog: Catalog, tmp_path: Path) -> None:
    """It was not published."""
    for number in ("001", "002"):
        (tmp_path / "faces" / number).mkdir(parents=True)
    (tmp_path / "faces" / "001" / "data_manifest.csv").touch()

    assert status(sqlite_catalog, tmp_path).releases == (tmp_path / "faces" / "001",)
