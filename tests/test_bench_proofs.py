"""bench.proofs: what a log proves, on logs written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench import hosts, proofs
from bench.hosts import BAD, Host, Served
from pipeline import pixels
from pipeline.records import Reason
from pipeline.sandbox.board import Asked, Fault
from pipeline.sandbox.posts import Kind, PlantedPost


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """Forty posts, half of them bad."""
    return hosts.plant(tmp_path_factory.mktemp("boards"), hosts=1, posts=40, side=64, bad=0.5)[0]


@pytest.fixture
def post(host: Host) -> PlantedPost:
    return next(post for post in host.sandbox.posts if host.reason(post) is None)


Ask = Callable[..., Asked]


@pytest.fixture
def ask(post: PlantedPost) -> Ask:
    """A request for the post's file that was answered in full, on a connection that has been used since."""

    def asked(**fields: object) -> Asked:
        usual = {"method": "GET", "range": None, "user_agent": "", "at": 0.0, "client": 1, "status": 200}
        path = f"/original/aa/bb/{post.file}"
        return Asked(**{**usual, "path": path, "sent": post.size, **fields})  # type: ignore[arg-type]

    return asked


# --- pace


@pytest.mark.parametrize(
    ("times", "most"),
    [([], 0), ([5.0], 1), ([0.0, 1.0, 2.0], 2), ([0.0, 0.5, 1.0, 1.9, 2.4], 4), ([0.0, 0.0, 9.0], 2)],
)
def test_the_fullest_window_is_found(times: list[float], most: int) -> None:
    """Of two seconds; its end is no longer in it."""
    assert proofs.most_in(times, 2.0) == most


def test_a_rate_is_that_between_first_and_last() -> None:
    """Three requests in one second are two gaps."""
    assert proofs.per_second([10.0, 10.4, 11.0]) == 2.0
    assert proofs.longest_pause_s([10.0, 10.4, 11.0]) == pytest.approx(0.6)


# --- files


def test_one_whole_answer_is_enough(host: Host, ask: Ask) -> None:
    """A file that came on the second try was not asked for again."""
    log = [ask(status=500, sent=0), ask(fault=Fault.CUT, sent=10), ask()]

    assert proofs.asked_again(host, log) == []
    assert proofs.sent_beyond(host, log) == 0


def test_a_request_after_the_whole_file_is_found(host: Host, ask: Ask, post: PlantedPost) -> None:
    """Whatever the second answer was."""
    (again,) = proofs.asked_again(host, [ask(), ask(status=500, sent=0)])

    assert (again.post, again.whole, again.excused) == (post, True, False)


def test_the_rest_of_a_file_makes_it_whole(host: Host, ask: Ask, post: PlantedPost) -> None:
    """A range that goes to the end is the last word, one that does not is none."""
    begun = ask(fault=Fault.CUT, sent=100)
    middle = ask(status=206, range="bytes=100-", sent=50)
    rest = ask(status=206, range="bytes=150-", sent=post.size - 150)

    assert proofs.asked_again(host, [begun, middle, rest]) == []
    assert len(proofs.asked_again(host, [begun, middle, rest, replace(rest)])) == 1


def test_lies_are_no_last_word(host: Host, ask: Ask) -> None:
    """A web page or half of the file has to be asked for again."""
    assert proofs.asked_again(host, [ask(fault=Fault.PAGE), ask(fault=Fault.SHORT), ask()]) == []


def test_a_refusal_for_good_is_a_last_word(host: Host, ask: Ask) -> None:
    """No further try brings another answer."""
    (again,) = proofs.asked_again(host, [ask(status=404, sent=70), ask(status=404, sent=70)])

    assert not again.whole


def test_a_wrong_checksum_is_asked_for_twice(host: Host, ask: Ask) -> None:
    """Once more is right, twice more is not."""
    wrong = next(post for post in host.sandbox.posts if post.kind is Kind.WRONG_MD5)
    sent = replace(ask(), path=f"/original/aa/bb/{wrong.file}", sent=wrong.size)

    assert proofs.asked_again(host, [sent, sent]) == []
    assert proofs.sent_beyond(host, [sent, sent]) == 0
    assert len(proofs.asked_again(host, [sent, sent, replace(sent)])) == 1


def test_a_kill_excuses_the_last_answer_of_a_connection(host: Host, ask: Ask, post: PlantedPost) -> None:
    """It may not have been read; one that was followed by another on the same connection had been."""
    first, second = ask(at=9.5), ask(at=11.0, client=2)
    between = replace(first, path="/posts.json", at=9.6)

    assert [one.excused for one in proofs.asked_again(host, [first, second], kills=[10.0])] == [True]
    assert [one.excused for one in proofs.asked_again(host, [first, between, second], kills=[10.0])] == [False]
    assert [one.excused for one in proofs.asked_again(host, [first, second], kills=[9.0, 20.0])] == [False]
    assert proofs.sent_beyond(host, [first, second]) == post.size


def test_a_kill_excuses_the_first_of_two_times(host: Host, ask: Ask) -> None:
    """Of a file with a wrong checksum: what may not have been read does not count towards the two."""
    wrong = next(post for post in host.sandbox.posts if post.kind is Kind.WRONG_MD5)
    first = replace(ask(), path=f"/original/aa/bb/{wrong.file}", sent=wrong.size, at=9.5)
    second, third = replace(first, at=11.0, client=2), replace(first, at=12.0, client=2)

    assert [one.excused for one in proofs.asked_again(host, [first, second, third], kills=[10.0])] == [True]
    assert [one.excused for one in proofs.asked_again(host, [first, second, third])] == [False]


# --- boards


def test_all_that_can_be_wrong_is_planted(tmp_path: Path) -> None:
    """Each kind of bad post, each with the reason that the pipeline must give, no two with one file."""
    planted = hosts.plant(tmp_path, hosts=2, posts=300, side=32, bad=1.0)
    posts = [(one, post) for one in planted for post in one.sandbox.posts]

    assert {host.always.get(post.file, post.kind) for host, post in posts} == set(BAD)
    assert None not in {host.reason(post) for host, post in posts}
    assert len({post.file for _, post in posts}) == len(posts)


def test_pictures_are_pictures(host: Host) -> None:
    """What must be kept decodes, and what is cut or no picture says so."""
    seen: dict[Reason | None, set[Reason | None]] = {}
    for post in host.sandbox.posts:
        wanted = host.reason(post)
        if wanted in {None, Reason.TRUNCATED, Reason.NOT_AN_IMAGE, Reason.TOO_MANY_PIXELS, Reason.ANIMATED}:
            seen.setdefault(wanted, set()).add(_judged(host.data(post)))

    assert seen == {wanted: {wanted} for wanted in seen}
    assert {None, Reason.TRUNCATED, Reason.NOT_AN_IMAGE} <= set(seen)


def _judged(data: bytes) -> Reason | None:
    try:
        pixels.inspect(data, max_pixels=100_000_000)
    except pixels.BadImage as bad:
        return bad.reason
    return None


def test_boards_keep_their_log_in_another_process(host: Host) -> None:
    """It can be read, counted, and begun anew; all ends are known by the ids that a run will give."""
    with hosts.serve([host]) as served:
        _get(served, "/posts.json?limit=3")

        assert [asked.path for asked in served.log()[0]] == ["/posts.json?limit=3"]
        assert served.count() == 1
        served.forget()
        assert served.log() == [[]]
        assert served.ends() == {f"h0:{post.number}": host.reason(post) for post in host.sandbox.posts}


def _get(served: Served, path: str) -> None:
    import requests

    assert requests.get(served.urls[0] + path, headers={"User-Agent": "test"}, timeout=10).status_code == 200
