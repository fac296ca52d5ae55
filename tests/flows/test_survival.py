from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from command import SANDBOX, Answer, Built, Flow, bytes_of, rows, use

pytestmark = pytest.mark.slow

KILLS = 20
AT_START = 3  # kills before the first outcome: imports, lock, catalog, board, listing
JITTER_S = 0.15  # a kill comes up to this long after its moment
ONCE_JUDGED = ("select", "scrape", "detect", "crop", "filter")  # the others look at all items each time

Due = Callable[[], bool]


@dataclass(frozen=True)
class Survived:
    """A data folder whose run was killed again and again, and then let alone."""

    data: Path
    kills: list[str]  # the stage that had come furthest by then
    orphans: list[int]
    last: Answer
    flow: Flow

    @property
    def release(self) -> Path:
        """What it published in the end."""
        return self.data / "releases" / "sandbox" / "001"


def _last_stage(data: Path) -> str:
    # Faces are cut while others are looked for: what `crop` has said tells nothing of how far a run is.
    order = ("review", "filter", "dedup", "detect", "dedup-images", "scrape", "select")
    return next((stage for stage in order if rows(data, where=f"stage = '{stage}'")), "list")


def _moments(data: Path, outcomes: int) -> Iterator[tuple[Due, float]]:
    """When to kill, and how many seconds later: early, at random counts of outcomes, while a release is written."""
    random = Random(20)
    for turn in range(AT_START):
        yield lambda: True, random.uniform(turn / 2, (turn + 1) / 2)
    for after in sorted(random.sample(range(1, outcomes), KILLS - AT_START - 1)):
        yield lambda after=after: rows(data) >= after, random.uniform(0, JITTER_S)  # type: ignore[misc]
    yield lambda: any(data.glob("releases/sandbox/.new-*")), 0.0
    while True:  # for those that came too late
        yield lambda: True, random.uniform(0.1, 1.0)


def _kill(flow: Flow, data: Path, due: Due, pause_s: float) -> bool:
    """Run until it is due and a little longer, then kill; False: it had ended before."""
    with flow.start(*SANDBOX, "--data", data, "--faults") as process:
        until = time.monotonic() + 60
        while not due() and process.poll() is None:
            assert time.monotonic() < until, "it never came to the moment of its death"
            time.sleep(0.005)
        time.sleep(pause_s)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory, drawn: Path, undisturbed: Path) -> Survived:
    folder = tmp_path_factory.mktemp("killed")
    data, flow = use(folder / "data", drawn), Flow(folder)
    kills: list[str] = []
    orphans: list[int] = []
    for due, pause_s in islice(_moments(data, rows(undisturbed)), KILLS + 5):
        if len(kills) < KILLS and _kill(flow, data, due, pause_s):
            kills.append("export" if any(data.glob("releases/sandbox/.new-*")) else _last_stage(data))
            orphans += flow.wait_until_alone()
    return Survived(data, kills, orphans, flow(*SANDBOX, "--data", data, "--faults"), flow)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, drawn: Path) -> Path:
    """The same on a board that fails now and then, by one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    data, flow = use(folder / "data", drawn), Flow(folder)
    answer = flow(*SANDBOX, "--data", data, "--faults", "--workers", "1")
    assert answer.code == 0, answer.err
    return data


def test_the_kills_met_every_part_of_the_run(survived: Survived) -> None:
    """They are worth something only when they come at many moments of a run that was really going on."""
    assert len(survived.kills) == KILLS
    assert {"list", "scrape", "detect", "export"} <= set(survived.kills)


def test_the_last_run_succeeds(survived: Survived) -> None:
    """The same command goes on from wherever the kill left it."""
    assert survived.last.code == 0, survived.last.err


def test_the_release_is_that_of_an_undisturbed_run(survived: Survived, undisturbed: Path) -> None:
    """Twenty kills later every file has the same bytes."""
    assert bytes_of(survived.release) == bytes_of(undisturbed / "releases" / "sandbox" / "001")


def test_faults_workers_and_the_port_leave_no_trace(undisturbed: Path, built: Built) -> None:
    """A board in fair weather, another port and two processes give the same bytes."""
    assert bytes_of(undisturbed / "releases" / "sandbox" / "001") == bytes_of(built.release)


def test_no_process_outlives_a_kill(survived: Survived) -> None:
    """Board and workers end by themselves, though nobody could tell them to."""
    assert survived.orphans == []


def test_nothing_half_done_is_left(survived: Survived) -> None:
    """No part of a file, no half-written release, no file under a temporary name."""
    left = [path for path in survived.data.rglob("*") if path.name.startswith((".new-", ".drawing-"))]

    assert [*left, *(survived.data / "parts").iterdir()] == []


def test_only_one_release_was_published(survived: Survived) -> None:
    """A killed run publishes nothing, and a run that finds the same publishes it once."""
    assert [one.name for one in (survived.data / "releases" / "sandbox").iterdir()] == ["001"]


def test_the_release_is_sound(survived: Survived) -> None:
    """Every file can be read by its reader's rules."""
    answer = survived.flow("verify", "--data", survived.data)

    assert (answer.code, answer.err) == (0, "")


def test_counts_add_up_as_if_nothing_had_happened(survived: Survived, undisturbed: Path) -> None:
    """The catalog holds as many outcomes as that of the undisturbed run: none lost, none invented."""
    counts = [
        {what: rows(data, what) for what in ("posts", "listings", "outcomes", "outputs")}
        for data in (survived.data, undisturbed)
    ]

    assert counts[0] == counts[1]


def test_what_was_judged_is_not_judged_again(survived: Survived) -> None:
    """One more run finds nothing new to do."""
    answer = survived.flow(*SANDBOX, "--data", survived.data, "--faults")

    status = json.loads(survived.flow("status", "--json", "--data", survived.data).out)
    new = {one["stage"]: one["judged"] for one in status["last_run"]["reports"]}
    assert (answer.code, {stage: new[stage] for stage in ONCE_JUDGED}) == (0, dict.fromkeys(ONCE_JUDGED, 0))
