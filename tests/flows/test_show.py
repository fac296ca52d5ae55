from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

import make
from rich.console import Console
from rich.progress import Progress

from flows.show import Bars, counted, failures, hosts, unread
from pipeline.catalog import Failures
from pipeline.records import Reason
from pipeline.status import Host

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _host(name: str, recipe: str = "r", eta_s: float | None = None, **fields: object) -> Host:
    return Host(recipe=recipe, count=make.host_count(name, **fields), eta_s=eta_s)


def _drawn(*found: Host) -> list[list[str]]:
    """The cells of the table, row by row, and the line below it."""
    text = StringIO()
    Console(file=text, width=140, markup=False).print(hosts(found))
    return [[cell.strip() for cell in line.split("│")[1:-1]] or [line] for line in text.getvalue().splitlines()]


def test_a_host_has_a_row() -> None:
    """What came, what failed, what waits, how fast, how long, and why it is left alone."""
    rows = _drawn(
        _host("fast", eta_s=3661.4, waiting=12345),
        _host("left", parked="answers 503"),
    )

    assert ["fast", "90", "10", "12,345", "1.0", "1:01:01", ""] in rows
    assert ["left", "90", "10", "50", "1.0", "", "answers 503"] in rows


def test_recipes_are_named_where_there_are_several() -> None:
    """The same host may serve two."""
    rows = _drawn(_host("one", "a"), _host("one", "b"))

    assert [row[0] for row in rows if row[0].startswith("one")] == ["one (a)", "one (b)"]


def test_twenty_hosts_are_enough_for_a_person() -> None:
    """The others are counted."""
    rows = _drawn(*(_host(f"host{number}") for number in range(23)))

    assert len([row for row in rows if row[0].startswith("host") and len(row) > 1]) == 20
    assert rows[-1] == ["and 3 more (--json lists all)".ljust(len(rows[-1][0]))]


def test_what_a_server_says_steers_no_terminal() -> None:
    """Control characters come from hostile hosts."""
    rows = _drawn(_host("evil\x1b[2J", parked="\x1b]0;you\x07"))

    assert rows[4][0] == "evil\N{REPLACEMENT CHARACTER}[2J"
    assert "\x1b" not in str(rows)


def test_failures_say_when_they_come_up_again() -> None:
    """What is transient apart from what is not, and the way to try all of it now."""
    later = NOW + timedelta(hours=2)
    found = [
        Failures(reason=Reason.GONE, items=1234, next_at=None),
        Failures(reason=Reason.UNREACHABLE, items=17, next_at=later),
        Failures(reason=Reason.CORRUPT, items=1, next_at=None),
    ]

    assert list(failures(found, NOW)) == [
        "failed: 17 (unreachable 17); tried again from 2026-11-20 14:00 UTC",
        "failed: 1,235 (gone 1,234, corrupt 1); not tried again unasked",
        "to try them now: the same `flow run build-dataset` with --retry-failed",
    ]


def test_failures_that_are_due_say_so() -> None:
    """The time has come already."""
    due = [Failures(reason=Reason.PARKED, items=2, next_at=NOW)]

    assert next(failures(due, NOW)) == "failed: 2 (parked 2); tried again by the next run"


def test_no_failure_is_no_line() -> None:
    """Nothing is said of nothing."""
    assert list(failures([], NOW)) == []


def test_unread_ground_is_told_the_largest_first() -> None:
    """With what is left at most."""
    lines = list(unread({"few": 10, "many": 2000}))

    assert lines == [
        "not read to its end: many, up to 2,000 ids; the next run goes on",
        "not read to its end: few, up to 10 ids; the next run goes on",
    ]


def test_twenty_listings_are_enough_for_a_person() -> None:
    """The others are counted."""
    assert list(unread({f"l{number}": 1 for number in range(22)}))[-1] == "and 2 more (--json lists all)"


def test_the_bars_of_a_run_end_full() -> None:
    """A listing has no length until its end; the stage that was begun first stands above those that it sets going."""
    with Progress(console=Console(file=StringIO())) as drawn:
        bars = Bars(drawn)
        bars.begin("list")
        bars.progress("scrape", 3, 7)
        bars.progress("list", 9, 0)
        bars.end("list", 9)

        assert [(one.description, one.completed, one.total) for one in drawn.tasks] == [
            ("list", 9, 9),
            ("scrape", 3, 7),
        ]
        assert [one.finished for one in drawn.tasks] == [True, False]


def test_one_is_not_several() -> None:
    """Nor is none one."""
    assert [counted(count, "crop") for count in (0, 1, 1200)] == ["0 crops", "1 crop", "1,200 crops"]
