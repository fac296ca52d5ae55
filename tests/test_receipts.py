"""pipeline.scrape: what a kill, a twin and a second run do not fetch again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import faulty
import make
import pytest
from faulty import ranged, reply
from test_scrape import Yard, md5, picture, reasons

from pipeline.catalog import Catalog
from pipeline.claims import Claims
from pipeline.judge import run_stage
from pipeline.records import Image, Reason
from pipeline.stage import Dropped, Kept


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with faulty.serve() as server:
        yield Yard(server, tmp_path)


def asked(yard: Yard) -> list[str]:
    return [request.path for request in yard.server.requests]


def test_a_kill_before_the_catalog_knows_costs_no_request(yard: Yard) -> None:
    """The file is in the store, its outcome is not in the catalog: the next run says the same, and asks nobody."""
    post = yard.post(1, picture())
    first = list(yard.stage()([post], yard.store))  # and is not told that its outcome is settled

    assert list(yard.stage()([post], yard.store)) == first
    assert asked(yard) == ["/1.png"]


def test_a_kill_forgets_no_verdict_on_bytes(yard: Yard) -> None:
    """What was found to be no picture is not fetched to find out again."""
    post = yard.post(1, b"no picture")
    first = list(yard.stage()([post], yard.store))

    assert reasons(list(yard.stage()([post], yard.store))) == reasons(first) == [Reason.NOT_AN_IMAGE]
    assert asked(yard) == ["/1.png"]


def test_a_kill_forgets_no_refusal(yard: Yard) -> None:
    """Nor is a file that is gone asked for again."""
    post = yard.post(1)
    list(yard.stage()([post], yard.store))

    assert reasons(list(yard.stage()([post], yard.store))) == [Reason.GONE]
    assert asked(yard) == ["/1.png"]


def test_what_could_not_be_reached_is_tried_again(yard: Yard) -> None:
    """That is no verdict."""
    data = picture()
    post = yard.post(1, data, reply(500), reply(500), reply(500), ranged(data))
    assert reasons(list(yard.stage()([post], yard.store))) == [Reason.UNREACHABLE]

    assert reasons(list(yard.stage()([post], yard.store))) == [None]


def test_another_configuration_judges_for_itself(yard: Yard) -> None:
    """A picture that was too large for one recipe is not for another."""
    post = yard.post(1, picture(side=40))
    assert reasons(list(yard.stage(max_pixels=100)([post], yard.store))) == [Reason.TOO_MANY_PIXELS]

    assert reasons(list(yard.stage()([post], yard.store))) == [None]


def test_a_refusal_of_one_address_says_nothing_of_another(yard: Yard) -> None:
    """A twin elsewhere may well be there."""
    data = picture()
    gone, there = yard.post(1, None, reply(404), md5=md5(data)), yard.post(2, data)
    list(yard.stage()([gone], yard.store))

    assert reasons(list(yard.stage()([there], yard.store))) == [None]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"mark": 1}', '{"mark": "x", "url": null, "refused": ["?", ""]}']
)
def test_a_damaged_note_is_no_note(yard: Yard, text: str) -> None:
    """The file is fetched as if there were none."""
    post = yard.post(1, picture())
    list(yard.stage()([post], yard.store))
    (note,) = yard.parts.glob("*.answer")
    note.write_text(text)

    assert reasons(list(yard.stage()([post], yard.store))) == [None]
    assert asked(yard) == ["/1.png", "/1.png"]


def test_a_picture_that_has_left_the_store_is_fetched_again(yard: Yard) -> None:
    """A note is not the picture."""
    post = yard.post(1, picture())
    (outcome,) = yard.stage()([post], yard.store)
    assert isinstance(outcome, Kept)
    yard.store.path(outcome.outputs[0].sha256).unlink()

    assert reasons(list(yard.stage()([post], yard.store))) == [None]
    assert len(asked(yard)) == 2


def test_what_is_settled_leaves_nothing_behind(yard: Yard, sqlite_catalog: Catalog) -> None:
    """As soon as the outcomes are in the catalog."""
    posts = [yard.post(1, picture()), yard.post(2), yard.post(3, b"no picture")]

    run_stage(yard.stage(), posts, sqlite_catalog, yard.store, lambda *_: None)

    assert yard.under_way() == []


def test_what_a_kill_has_left_behind_is_cleared_up(yard: Yard) -> None:
    """Once all of it is in the catalog, and of these posts alone."""
    mine, others = yard.post(1, picture(1)), yard.post(2, picture(2))
    stage = yard.stage()
    list(stage([mine, others], yard.store))

    stage.clear_up([mine])

    assert len(yard.under_way()) == 1


def test_a_file_that_another_run_has_kept_is_not_fetched(yard: Yard) -> None:
    """By its md5, whatever post and board it came with."""
    data = picture()
    (outcome,) = yard.run(yard.post(1, data))
    assert isinstance(outcome, Kept)
    (image,) = outcome.outputs
    twin = yard.post(2, data)

    (answer,) = yard.run(twin, said=lambda post: image if post.md5 == image.md5 else None)

    assert answer == Kept(twin, (replace(image, post_id=twin.id),))
    assert asked(yard) == ["/1.png"]


def test_two_runs_at_once_fetch_a_file_once(yard: Yard) -> None:
    """The second waits for the first, and takes what it found."""
    posts = [yard.post(number, picture(number)) for number in range(12)]
    found: list[list[Image]] = []

    shared = Claims(yard.folder / "claims")  # the kernel excludes processes, this object the threads of one

    def run() -> None:
        outcomes = list(yard.stage(claims=shared)(posts, yard.store))
        found.append(sorted((one.outputs[0] for one in outcomes if isinstance(one, Kept)), key=lambda one: one.md5))

    runs = [threading.Thread(target=run) for _ in range(2)]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join()

    assert found[0] == found[1]
    assert sorted(asked(yard)) == sorted(f"/{number}.png" for number in range(12))


def test_a_parked_host_is_told_by_its_reason(yard: Yard) -> None:
    """What was never asked for did not fail."""
    posts = [make.post(n, file_url=f"{yard.server.address}/{n}", md5=None) for n in range(8)]
    for n in range(8):
        yard.server.on(f"/{n}", reply(500))

    outcomes = yard.run(*posts, threads=1)

    said = [one.reason for one in outcomes if isinstance(one, Dropped)]
    assert sorted(said) == [Reason.PARKED] * 3 + [Reason.UNREACHABLE] * 5
