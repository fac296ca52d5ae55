"""The promises of the downloader, held against the boards' own logs: its pace, its counts, and what a kill costs."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from bench import hosts, proofs, scraping
from bench.hosts import Served
from bench.proofs import Again
from bench.scraping import Scraped
from pipeline.errors import WorldError

SIDE = 96  # pixels of the pictures; small, so that many requests cost little
LOOK_S = 0.005  # how often it is looked whether a kill is due
SLOW_SHARE = 0.05  # of the files that are fetched by runs that are killed
JITTER_S = 0.1  # a kill comes up to this long after its moment
ARRIVE_S = 0.1  # what was sent before a kill comes to the board at most so long after it; no run asks so soon again

Progress = Callable[[str, int, int], None]  # what, done, total


@contextmanager
def _served(count: int, posts: int, *, share: float, slow: float = 0.0) -> Iterator[tuple[Served, Path]]:
    """Plant boards, serve them, and give a folder for what comes of it."""
    with tempfile.TemporaryDirectory(prefix="kaoset-bench-") as name:
        folder = Path(name)
        planted = hosts.plant(folder / "boards", hosts=count, posts=posts, side=SIDE, bad=share, slow=slow)
        with hosts.serve(planted, share=share) as served:
            yield served, folder


# --- pace -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast one host was asked by several runs at once, on one data folder."""

    runs: int
    gap_s: float
    window_s: float
    requests: int
    per_second: float  # from the first to the last
    most: int  # in any window
    pause_s: float  # the longest

    @property
    def allowed(self) -> int:
        """Requests in a window, at most."""
        return round(self.window_s / self.gap_s)

    @property
    def share(self) -> float:
        """What was reached of the configured rate."""
        return self.per_second * self.gap_s


def pace(runs: int, *, posts: int, gap_s: float, window_s: float) -> Pace:
    """Scrape one host by *runs* programs at once, each with a recipe and a part of the *posts* of its own.

    Raises:
        WorldError: A run failed.
    """
    with _served(1, posts, share=0.0) as (served, folder), ExitStack() as stack:
        numbers = [post.number for post in served.hosts[0].sandbox.posts]
        parts = [numbers[len(numbers) * run // runs : len(numbers) * (run + 1) // runs] for run in range(runs)]
        recipes = [
            scraping.recipe(
                [hosts.section(f"r{run}", served.urls[0], query=f"id:{part[0]}..{part[-1]}", min_gap_s=gap_s)],
                name=f"r{run}",
            )
            for run, part in enumerate(parts)
        ]
        started = [stack.enter_context(scraping.start(recipe, folder / "data")) for recipe in recipes]
        kept = sum(scraping.finish(process).stages[-1]["kept"] for process in started)
        times = [asked.at for asked in served.log()[0]]
    if kept != posts:
        raise WorldError(f"{runs} runs kept {kept} posts of {posts}")
    return Pace(
        runs=runs,
        gap_s=gap_s,
        window_s=window_s,
        requests=len(times),
        per_second=proofs.per_second(times),
        most=proofs.most_in(times, window_s),
        pause_s=proofs.longest_pause_s(times),
    )


# --- the same posts by several runs -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Several runs at once that want the same posts, on one data folder."""

    runs: int
    posts: int
    stages: list[list[dict[str, Any]]]  # of each run
    miscounted: list[str]  # counts in any run's reports that are not those planted
    again: list[Again]
    damaged: list[str]
    left: list[str]

    @property
    def twice(self) -> int:
        """Pictures that were asked for although they had come, for whichever run."""
        return sum(one.kept for one in self.again)


def together(runs: int, count: int, posts: int, *, share: float) -> Shared:
    """Scrape *posts* of each of *count* hosts by *runs* programs at once; the last calls the boards by other names.

    Raises:
        WorldError: A run failed.
    """
    with _served(count, posts, share=share) as (served, folder), ExitStack() as stack:
        data = folder / "data"
        recipes = [scraping.recipe(served.sections(), name=f"r{run}") for run in range(runs - 1)]
        others = [hosts.section(f"other{number}", url) for number, url in enumerate(served.urls)]
        recipes.append(scraping.recipe(others, name="others"))
        started = [stack.enter_context(scraping.start(recipe, data)) for recipe in recipes]
        stages = [scraping.finish(process).stages for process in started]
        return Shared(
            runs=runs,
            posts=count * posts,
            stages=stages,
            miscounted=[wrong for one in stages for wrong in proofs.miscounted(served, one)],
            again=_again(served),
            damaged=proofs.damaged(served, data),
            left=proofs.left_over(data),
        )


# --- load -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Load:
    """Many posts of many hosts, some of them bad, some answers wrong."""

    hosts: int
    posts: int
    requests: int
    faults: int
    wrong: int  # posts planted to be dropped
    strayed: list[str]  # posts that did not end as they must
    miscounted: list[str]  # counts in the run's own reports that are not those planted
    again: list[Again]  # files asked for after their last word
    damaged: list[str]  # files in the store that are not the originals, or are missing, or should not be there
    left: list[str]  # what lies among the files under way
    scraped: Scraped


def load(count: int, posts: int, *, share: float, gap_s: float = 0.0) -> Load:
    """Scrape *posts* of each of *count* hosts, while a *share* of all answers goes wrong and as many posts are bad.

    Raises:
        WorldError: The run failed.
    """
    with _served(count, posts, share=share) as (served, folder):
        data = folder / "data"
        scraped = scraping.scrape(scraping.recipe(served.sections(min_gap_s=gap_s)), data)
        logs = served.log()
        return Load(
            hosts=count,
            posts=count * posts,
            requests=sum(map(len, logs)),
            faults=sum(asked.fault is not None for log in logs for asked in log),
            wrong=sum(reason is not None for reason in served.ends().values()),
            strayed=proofs.strayed(served, data),
            miscounted=proofs.miscounted(served, scraped.stages),
            again=_again(served),
            damaged=proofs.damaged(served, data),
            left=proofs.left_over(data),
            scraped=scraped,
        )


def _again(served: Served, kills: Sequence[float] = ()) -> list[Again]:
    return [
        again
        for host, log in zip(served.hosts, served.log(), strict=True)
        for again in proofs.asked_again(host, log, kills)
    ]


# --- kills ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Killed:
    """A run that was killed again and again and then let alone, beside one that was not disturbed."""

    posts: int
    kills: int
    threads: int
    again: list[Again]
    gone_on_with: int  # answers that went on in the middle of a file
    beyond: int  # bytes that were sent twice
    bytes: int  # of all files
    listed: int  # posts in the catalog
    strayed: list[str]
    damaged: list[str]
    left: list[str]
    differs: list[str]  # tables of the catalog that are not those of the undisturbed run

    @property
    def sent_again(self) -> int:
        """Files that were sent in full and were asked for once more, though no kill excuses it."""
        return sum(one.whole and not one.excused for one in self.again)

    @property
    def excused(self) -> int:
        """Files that may have been on their way when a kill came."""
        return sum(one.excused for one in self.again)


def kill(count: int, posts: int, *, kills: int, share: float, threads: int = 8) -> Killed:
    """Kill a run over *posts* of each of *count* hosts at *kills* moments, evenly spread over its requests.

    Raises:
        WorldError: A run failed, or came to its end before all the kills.
    """
    with _served(count, posts, share=share, slow=SLOW_SHARE) as (served, folder):
        recipe = scraping.recipe(served.sections(), threads=threads)
        times = _kill(recipe, folder / "killed", served, kills, count * posts)
        scraping.scrape(recipe, folder / "killed")
        again = _again(served, times)
        gone_on_with = sum(map(proofs.gone_on_with, served.log()))
        beyond = sum(map(proofs.sent_beyond, served.hosts, served.log()))
        scraping.scrape(recipe, folder / "undisturbed")
        known, other = (proofs.remembered(folder / name) for name in ("killed", "undisturbed"))
        return Killed(
            posts=count * posts,
            kills=len(times),
            threads=threads,
            again=again,
            gone_on_with=gone_on_with,
            beyond=beyond,
            bytes=sum(post.size for host in served.hosts for post in host.sandbox.posts),
            listed=len(known["posts"]),
            strayed=proofs.strayed(served, folder / "killed"),
            damaged=proofs.damaged(served, folder / "killed"),
            left=proofs.left_over(folder / "killed"),
            differs=[table for table, rows in known.items() if rows != other[table]],
        )


def _kill(recipe: Mapping[str, Any], data: Path, served: Served, kills: int, posts: int) -> list[float]:
    """Kill each run when so many requests have come that the kills lie evenly; give the times, seconds since 1970."""
    chance, times = Random(kills), list[float]()
    for turn in range(kills):
        due = posts * (turn + chance.random()) / (kills + 1)
        with scraping.start(recipe, data) as process:
            while served.count() < due and process.poll() is None:
                time.sleep(LOOK_S)
            time.sleep(chance.uniform(0, JITTER_S))
            process.send_signal(signal.SIGKILL)
            said = process.communicate()[1]
            times.append(time.time() + ARRIVE_S)
        if process.returncode != -signal.SIGKILL:
            raise WorldError(f"the run ended before kill {turn + 1} of {kills} ({process.returncode}): {said[-200:]}")
    return times
