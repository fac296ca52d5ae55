"""The downloader held to its promises on small boards; `make bench` holds it to them on large ones."""

from __future__ import annotations

import pytest

from bench import boards
from bench.boards import Killed, Load, Pace

pytestmark = pytest.mark.slow

PEAK_BYTES = 300e6


@pytest.fixture(scope="module", params=[1, 2, 3])
def pace(request: pytest.FixtureRequest) -> Pace:
    """Two hundred files of one host that may be asked twenty times a second."""
    return boards.pace(request.param, posts=200, gap_s=0.05, window_s=8.0)


@pytest.fixture(scope="module")
def load() -> Load:
    """Three hundred posts of six hosts, some bad, while some answers are wrong."""
    return boards.load(6, 50, share=0.05)


@pytest.fixture(scope="module")
def killed() -> Killed:
    """Three hundred posts, five kills."""
    return boards.kill(3, 100, kills=5, share=0.05)


def test_no_window_holds_more_than_the_rate(pace: Pace) -> None:
    """However many runs ask the same host, the board's own log never counts more than the recipe allows."""
    assert pace.most <= pace.allowed


def test_runs_share_what_they_fetch() -> None:
    """Three runs at once that want the same posts: each picture is asked for once, and each run counts all of them."""
    shared = boards.together(3, count=2, posts=50, share=0.05)

    assert shared.twice == 0
    assert shared.miscounted == []
    assert shared.damaged == []
    assert shared.left == []


def test_something_went_wrong(load: Load) -> None:
    """What follows is worth something only when answers failed and posts were bad."""
    assert load.faults >= 10
    assert load.wrong >= 10


def test_every_post_ends_as_it_must(load: Load) -> None:
    """Kept, or dropped for the very reason for which it was planted; none is missing, none is invented."""
    assert load.strayed == []
    assert load.miscounted == []


def test_a_finished_file_is_not_asked_for_again(load: Load) -> None:
    """By the boards' logs: after a file's last word there is no further request."""
    assert load.again == []


def test_what_is_stored_is_the_original(load: Load) -> None:
    """Every kept file byte for byte, no other file, and nothing left under way."""
    assert load.damaged == []
    assert load.left == []


def test_memory_stays_small(load: Load) -> None:
    """Under 300 MB, whatever was imported."""
    assert load.scraped.peak_bytes < PEAK_BYTES


def test_a_kill_costs_no_file_that_was_there(killed: Killed) -> None:
    """No file that had come whole is fetched again, but for those whose last byte may have died with the run."""
    assert killed.sent_again == 0
    assert killed.excused <= killed.kills * killed.threads


def test_a_half_file_is_gone_on_with(killed: Killed) -> None:
    """What lies on the disk when a kill comes is not sent again."""
    assert killed.gone_on_with > 0
    assert killed.beyond < 0.1 * killed.bytes


def test_a_kill_lists_no_post_twice(killed: Killed) -> None:
    """Each post is in the catalog once."""
    assert killed.listed == killed.posts


def test_kills_leave_no_trace(killed: Killed) -> None:
    """Catalog, store and files under way are those of a run that nobody disturbed."""
    assert killed.strayed == []
    assert killed.differs == []
    assert killed.damaged == []
    assert killed.left == []
