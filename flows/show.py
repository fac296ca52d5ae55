"""What a person sees while a flow runs and when it has ended: bars, lines, the summary table."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from pipeline.stage import StageReport

if TYPE_CHECKING:  # `flow --help` need not wait for a database's driver
    from pipeline.catalog import Failures
    from pipeline.status import Host

LINE_EVERY_S = 10.0  # where nobody watches a terminal
SHOWN = 20  # hosts or listings; a list of addresses may name thousands


class Display(Protocol):
    """Where a flow says what it does."""

    def begin(self, stage: str) -> None:
        """Show that a stage is next; others that it sets going come after it."""
        ...

    def end(self, stage: str, seen: int) -> None:
        """Show that a stage has come to its end."""
        ...

    def progress(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage is; *total* 0: nobody knows."""
        ...

    def say(self, line: str) -> None:
        """Show one line at once."""
        ...


class Bars:
    """A bar for each stage, on a terminal."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def begin(self, stage: str) -> None:
        """Draw the stage's bar, if there is none yet."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=None)

    def end(self, stage: str, seen: int) -> None:
        """Fill the stage's bar: nobody knew the length of a listing, and what is remembered moves no bar."""
        self._bars.update(self._tasks[stage], completed=seen, total=seen)

    def progress(self, stage: str, done: int, total: int) -> None:
        """Move the stage's bar."""
        self.begin(stage)
        self._bars.update(self._tasks[stage], completed=done, total=total or None)

    def say(self, line: str) -> None:
        """Print above the bars."""
        self._bars.console.print(line, markup=False, highlight=False, soft_wrap=True)


class Lines:
    """A line every ten seconds, in a log."""

    def __init__(self) -> None:
        self._shown = time.monotonic()
        self._lock = threading.Lock()

    def begin(self, stage: str) -> None:
        """Say nothing: `progress` will."""

    def end(self, stage: str, seen: int) -> None:
        """Say nothing: the table at the end will."""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Say where the stage is, if nothing was said for a while; where it has just begun there is nothing to say."""
        with self._lock:
            if not done or time.monotonic() - self._shown < LINE_EVERY_S:
                return
            self._shown = time.monotonic()
        self.say(f"{stage}: {done}/{total}" if total else f"{stage}: {done}")

    def say(self, line: str) -> None:
        """Print to the error stream, so that results can be piped."""
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is the place that prints


@contextmanager
def display() -> Iterator[Display]:
    """Choose bars for a terminal, lines for a log."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:>12}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        yield Bars(bars)


def console() -> Console:
    """Give the console for results; a log gets lines that are wide enough to keep a table whole."""
    return Console(markup=False) if sys.stdout.isatty() else Console(width=140, markup=False)


def harmless(text: str) -> str:
    """Take out what would steer a terminal: control characters, and marks that turn the direction of reading."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def counted(count: int, what: str) -> str:
    """Say how many there are of what is called *what* where it is one."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def summary(reports: Iterable[StageReport]) -> Table:
    """Draw the table of stages: what each saw, kept and dropped, and how fast."""
    table = Table(title="What became of every item", title_justify="left")
    table.add_column("stage", no_wrap=True)
    for name in ("seen", "kept", "new", "seconds", "items/s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("dropped, by reason", overflow="fold")
    for one in reports:
        rate = f"{one.judged / one.seconds:.1f}" if one.judged and one.seconds > 0.005 else ""
        reasons = ", ".join(f"{reason} {count}" for reason, count in one.dropped.items())
        counts = (f"{one.seen:,}", f"{one.kept:,}", f"{one.judged:,}", f"{one.seconds:.1f}", rate)
        table.add_row(one.stage, *counts, reasons)
    return table


def hosts(found: Sequence[Host]) -> Table:
    """Draw the table of hosts: how many files came from each, how fast, and when the rest will be there."""
    recipes = {one.recipe for one in found}
    more = f"and {len(found) - SHOWN} more (--json lists all)" if len(found) > SHOWN else None
    table = Table(title="Files, by host", title_justify="left", caption=more, caption_justify="left")
    table.add_column("host", overflow="fold")
    for name in ("done", "failed", "waiting", "files/s", "ETA"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("parked", overflow="fold")
    for one in found[:SHOWN]:
        count = one.count
        name = count.host or "this machine"
        host = f"{name} ({one.recipe})" if len(recipes) > 1 else name
        rate = f"{count.rate:.1f}" if count.rate else ""
        eta = str(timedelta(seconds=round(one.eta_s))) if one.eta_s else ""
        numbers = (f"{count.done:,}", f"{count.failed:,}", f"{count.waiting:,}", rate, eta)
        table.add_row(harmless(host), *numbers, harmless(count.parked))
    return table


def failures(found: Sequence[Failures], now: datetime) -> Iterator[str]:
    """Tell in lines what failed, when it comes up again, and how to try it now."""
    again = [one for one in found if one.next_at]
    for_good = [one for one in found if not one.next_at]
    if again:
        first = min(one.next_at for one in again if one.next_at)
        when = f"from {first:%Y-%m-%d %H:%M} UTC" if first > now else "by the next run"
        yield f"failed: {_reasons(again)}; tried again {when}"
    if for_good:
        yield f"failed: {_reasons(for_good)}; not tried again unasked"
    if found:
        yield "to try them now: the same `flow run build-dataset` with --retry-failed"


def _reasons(found: Sequence[Failures]) -> str:
    return f"{sum(one.items for one in found):,} ({', '.join(f'{one.reason} {one.items:,}' for one in found)})"


def unread(found: Mapping[str, int]) -> Iterator[str]:
    """Tell in lines which listings were not read to their end; an id is not always a post, so it is "up to"."""
    largest = sorted(found.items(), key=lambda pair: pair[1], reverse=True)
    for listing, ids in largest[:SHOWN]:
        yield f"not read to its end: {harmless(listing)}, up to {ids:,} ids; the next run goes on"
    if len(largest) > SHOWN:
        yield f"and {len(largest) - SHOWN} more (--json lists all)"
