"""pipeline.http.hosts: one pace a host, for all threads and all runs, and slower where the host needs it."""

from __future__ import annotations

import multiprocessing
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.http.hosts import MAX_GAP_S, SLACK, SLOT, Hosts

NAME = "board.example"


class Clock:
    """A clock that moves when somebody waits; so its waiting is what is measured."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def event(self) -> threading.Event:
        clock = self

        class Waits(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                clock.waits.append(timeout or 0.0)
                clock.now += timeout or 0.0
                return False

        return Waits()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def turns(hosts: Hosts, clock: Clock, gap_s: float, count: int) -> list[float]:
    """When each of *count* requests may be sent."""
    at = []
    for _ in range(count):
        hosts.at(NAME).take_turn(gap_s, clock.event())
        at.append(clock.now)
    return at


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


def test_the_first_request_waits_for_nothing(clock: Clock) -> None:
    """Nobody asked the host before."""
    assert turns(Hosts(clock=clock), clock, 5.0, 1) == [1000.0]


def test_a_gap_lies_between_two_requests(clock: Clock) -> None:
    """Never less than the recipe's, and a hundredth more."""
    assert gaps(turns(Hosts(clock=clock), clock, 2.0, 4)) == pytest.approx([2.0 * SLACK] * 3)


def test_the_gap_begins_when_the_connection_stands(clock: Clock) -> None:
    """A request that was let through and took a while to leave is not followed too closely."""
    hosts = Hosts(clock=clock)
    turns(hosts, clock, 2.0, 1)
    clock.now += 0.7

    hosts.at(NAME).passed()

    assert turns(hosts, clock, 2.0, 1) == pytest.approx([1000.7 + 2.0 * SLACK])


def test_hosts_do_not_wait_for_each_other(clock: Clock) -> None:
    """A pace is one host's."""
    hosts = Hosts(clock=clock)

    for number in range(20):
        hosts.at(f"host-{number}.example").take_turn(60.0, clock.event())

    assert clock.now == 1000.0


def test_two_runs_on_one_folder_keep_one_pace(clock: Clock, tmp_path: Path) -> None:
    """What one has asked, the other waits for."""
    one, other = Hosts(tmp_path / "pace", clock), Hosts(tmp_path / "pace", clock)

    times = [turns(hosts, clock, 1.0, 1)[0] for hosts in (one, other, one, other)]

    assert gaps(times) == pytest.approx([SLACK] * 3)


def test_the_slowest_of_several_runs_sets_the_pace(clock: Clock, tmp_path: Path) -> None:
    """A run whose recipe is in more of a hurry does not ask in the name of the other."""
    slow, quick = Hosts(tmp_path / "pace", clock), Hosts(tmp_path / "pace", clock)

    turns(slow, clock, 3.0, 1)

    assert gaps(turns(quick, clock, 0.5, 3)) == pytest.approx([3.0 * SLACK] * 2)


def test_a_run_that_has_ended_holds_up_nobody(clock: Clock, tmp_path: Path) -> None:
    """A minute after its last request its pace is forgotten."""
    turns(Hosts(tmp_path / "pace", clock), clock, 3.0, 1)
    clock.now += 100.0

    assert gaps(turns(Hosts(tmp_path / "pace", clock), clock, 0.5, 3)) == pytest.approx([0.5 * SLACK] * 2)


def test_a_pace_from_before_the_machine_was_started_is_forgotten(clock: Clock, tmp_path: Path) -> None:
    """The clock begins anew then, and nobody waits for a time that never comes."""
    turns(Hosts(tmp_path / "pace", clock), clock, 5.0, 1)
    clock.now = 10.0

    assert turns(Hosts(tmp_path / "pace", clock), clock, 5.0, 1) == [10.0]


@pytest.mark.parametrize(
    "slot", [b"", b"\xff" * 64, SLOT.pack(float("nan"), 0, 0, 0, 0, 0), SLOT.pack(1e300, 1e300, 1e300, 1, 1, 1)]
)
def test_a_damaged_file_is_no_obstacle(clock: Clock, tmp_path: Path, slot: bytes) -> None:
    """It is forgotten, and written anew."""
    (tmp_path / "pace").write_bytes(slot * 65536)

    assert gaps(turns(Hosts(tmp_path / "pace", clock), clock, 1.0, 3)) == pytest.approx([SLACK] * 2)


def test_a_pace_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    """Without it a board could be asked too often; the message says what to do."""
    (tmp_path / "data").write_text("in the way")

    with pytest.raises(StoreError, match=r"data/pace: .*; free some space or choose --data"):
        Hosts(tmp_path / "data" / "pace").at(NAME).take_turn(0.0, threading.Event())


def test_a_busy_host_is_asked_half_as_often(clock: Clock) -> None:
    """Each 429 or 503 doubles the gap."""
    hosts = Hosts(clock=clock)
    turns(hosts, clock, 1.0, 1)

    clock.now += 0.1
    hosts.at(NAME).answered(0.1, busy=True)
    once = gaps(turns(hosts, clock, 1.0, 2))
    clock.now += 0.1
    hosts.at(NAME).answered(0.1, busy=True)
    twice = gaps(turns(hosts, clock, 1.0, 2))

    assert (once, twice) == (pytest.approx([2.0 * SLACK]), pytest.approx([4.0 * SLACK]))


def test_what_was_under_way_when_a_host_was_busy_is_one_sign(clock: Clock) -> None:
    """Eight requests that were sent before the first 429 came say no more than that one."""
    hosts = Hosts(clock=clock)
    turns(hosts, clock, 1.0, 1)
    clock.now += 2.0

    for number in range(8):
        clock.now += 0.1
        hosts.at(NAME).answered(1.0 + 0.1 * number, busy=True)

    assert gaps(turns(hosts, clock, 1.0, 2)) == pytest.approx([2.0 * SLACK])


def test_a_busy_host_is_never_given_more_than_a_minute(clock: Clock) -> None:
    """However often it says so."""
    hosts = Hosts(clock=clock)
    turns(hosts, clock, 1.0, 1)

    for _ in range(50):
        clock.now += 1.0
        hosts.at(NAME).answered(0.1, busy=True)

    assert gaps(turns(hosts, clock, 1.0, 2)) == pytest.approx([MAX_GAP_S * SLACK])


def test_a_host_that_is_well_again_gets_its_pace_back(clock: Clock) -> None:
    """Little by little, and never below the recipe's gap."""
    hosts = Hosts(clock=clock)
    turns(hosts, clock, 1.0, 1)
    hosts.at(NAME).answered(0.01, busy=True)

    hosts.at(NAME).answered(0.01, busy=False)
    soon = gaps(turns(hosts, clock, 1.0, 2))[0]
    for _ in range(100):
        hosts.at(NAME).answered(0.01, busy=False)

    assert SLACK < soon < 2.0 * SLACK
    assert gaps(turns(hosts, clock, 1.0, 2)) == pytest.approx([SLACK])


def test_a_slow_host_is_given_time(clock: Clock) -> None:
    """No more than four requests are under way there, on average: an answer in 8 s means one request in 2 s."""
    hosts = Hosts(clock=clock)
    turns(hosts, clock, 1.0, 1)

    for _ in range(30):
        hosts.at(NAME).answered(8.0, busy=False)

    assert gaps(turns(hosts, clock, 1.0, 2)) == pytest.approx([2.0 * SLACK], rel=1e-3)


def test_a_host_that_asks_for_a_pause_gets_it_from_all_runs(clock: Clock, tmp_path: Path) -> None:
    """Retry-After holds for everybody who works on the folder."""
    one, other = Hosts(tmp_path / "pace", clock), Hosts(tmp_path / "pace", clock)
    turns(one, clock, 0.0, 1)

    one.at(NAME).hold(30.0)

    assert turns(other, clock, 0.0, 1) == [1030.0]


def _ask(file: Path, gap_s: float, until: float, sent: multiprocessing.Queue[float]) -> None:
    host = Hosts(file).at(NAME)
    while True:
        host.take_turn(gap_s, threading.Event())
        now = time.monotonic()
        if now > until:
            return
        sent.put(now)


@pytest.fixture(scope="module")
def sent_by_three(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """When three real processes passed, at fifty a second together."""
    spawned = multiprocessing.get_context("spawn")
    sent: multiprocessing.Queue[float] = spawned.Queue()
    until = time.monotonic() + 6.0
    file = tmp_path_factory.mktemp("pace") / "pace"
    runs = [spawned.Process(target=_ask, args=(file, 0.02, until, sent)) for _ in range(3)]
    for run in runs:
        run.start()
    times = []
    while any(run.is_alive() for run in runs) or not sent.empty():
        while not sent.empty():
            times.append(sent.get())
        time.sleep(0.01)
    return sorted(times)


def test_processes_share_one_pace(sent_by_three: list[float]) -> None:
    """Three processes together are never faster than one may be."""
    lasted = sent_by_three[-1] - sent_by_three[0]

    assert 50 < len(sent_by_three) <= lasted / 0.02 + 1


@pytest.mark.parametrize(
    "other",
    ["http://A.Example/", "https://a.example/", "http://a.example:80/", "https://a.example:443/", "http://a.example./"],
)
def test_one_host_has_one_pace_however_it_is_written(other: str) -> None:
    """Upper case, the port that goes without saying, the dot at the end, http and https: the machine is the same."""
    hosts = Hosts()

    assert hosts.of("http://a.example/x") is hosts.of(other)


def test_another_port_is_another_host() -> None:
    """There another program answers."""
    hosts = Hosts()

    assert len({id(hosts.of(f"http://a.example{port}/")) for port in ("", ":8080", ":443")}) == 3


def test_a_host_that_gave_a_file_just_now_is_not_parked(clock: Clock) -> None:
    """Five dead files beside each other, or a restart of its program, are no dead host: it has a minute."""
    host = Hosts(clock=clock).at(NAME)
    host.recovered()

    for _ in range(20):
        host.failed("answers 500", 5)
    soon = host.parked
    clock.now += 61.0
    host.failed("answers 500", 5)

    assert (soon, host.parked) == ("", "answers 500")


def test_a_host_that_never_gave_a_file_is_parked_soon(clock: Clock) -> None:
    """After as many files as are named."""
    host = Hosts(clock=clock).at(NAME)

    for _ in range(5):
        assert host.parked == ""
        host.failed("takes no connection", 5)

    assert host.parked == "takes no connection"
