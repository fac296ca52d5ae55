from __future__ import annotations

import multiprocessing
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import make
import pytest
import sqlalchemy as sa

from pipeline.catalog import Catalog, Failures
from pipeline.errors import CatalogError, ConflictError
from pipeline.records import BatchItem, Comparison, GivenSplit, Post, Reason, Verdict
from pipeline.stage import Dropped, Kept


def _kept(post: Post) -> tuple[str, Kept[Post, Post]]:
    return post.id, Kept(post, (post,))


def test_every_cursor_can_be_asked_for(catalog: Catalog) -> None:
    """Where each listing was left."""
    catalog.add_page("l", [make.post()], {"unread": [[1, 0]]})
    catalog.add_page("m", [], {"films": {}})
    catalog.add_page("folder", [make.post()], None)

    assert catalog.cursors() == {"l": {"unread": [[1, 0]]}, "m": {"films": {}}}


def test_a_page_and_its_cursor_are_one(catalog: Catalog) -> None:
    """Posts and the place to go on are remembered together."""
    catalog.add_page("l", [make.post(2), make.post(1)], {"unread": [[1, 0]]})

    assert [post.id for post in catalog.posts("l")] == ["sandbox:1", "sandbox:2"]
    assert catalog.cursor("l") == {"unread": [[1, 0]]}
    assert catalog.cursor("another") is None


def test_a_post_seen_again_takes_its_newest_form(catalog: Catalog) -> None:
    """Tags that were changed on the board are changed here."""
    catalog.add_page("l", [make.post(1, tags=("old",))], None)
    catalog.add_page("l", [make.post(1, tags=("new",))], None)

    assert [post.tags for post in catalog.posts("l")] == [("new",)]


def test_a_post_that_changed_is_selected_anew(catalog: Catalog) -> None:
    """A rating that is declared later counts; the file that came, and the posts that are as they were, are known."""
    catalog.add_page("l", [make.post(1, rating=None), make.post(2)], None)
    catalog.record("select", "f", [("sandbox:1", Dropped(make.post(1), Reason.RATING)), _kept(make.post(2))])
    catalog.record("scrape", "f", [_kept(make.post(1))])

    catalog.add_page("l", [make.post(1, rating="g"), make.post(2)], None)

    both = ["sandbox:1", "sandbox:2"]
    assert catalog.judged("select", "f", both) == {"sandbox:2": None}
    assert catalog.judged("scrape", "f", both) == {"sandbox:1": None}


def test_a_limit_takes_the_posts_of_last(catalog: Catalog) -> None:
    """The newest by date, in the order of their ids."""
    days = {1: 3, 2: 1, 3: 2}
    posts = [make.post(number, posted_at=datetime(2020, 1, day, tzinfo=UTC)) for number, day in days.items()]
    catalog.add_page("l", posts, None)

    assert [post.id for post in catalog.posts("l", limit=2)] == ["sandbox:1", "sandbox:3"]


def test_what_left_a_folder_leaves_its_listing(catalog: Catalog) -> None:
    """The post is out of the listing and still known."""
    catalog.add_page("l", [make.post(1), make.post(2)], None)

    catalog.keep_only("l", {"sandbox:2"})

    assert [post.id for post in catalog.posts("l")] == ["sandbox:2"]
    assert catalog.post("sandbox:1") == make.post(1)


def test_outcomes_are_remembered_by_stage_and_fingerprint(catalog: Catalog) -> None:
    """Another configuration has said nothing yet."""
    image, face = make.image(), make.detection()
    catalog.record("detect", "f1", [("k", Kept(image, (face,))), ("d", Dropped(image, Reason.NO_FACE))])

    assert catalog.judged("detect", "f1", ["k", "d", "x"]) == {"k": None, "d": Reason.NO_FACE}
    assert catalog.outputs("detect", "f1", ["k", "d"]) == {"k": (face,)}
    assert catalog.judged("detect", "f2", ["k", "d"]) == {}


def test_an_item_that_goes_on_unchanged_is_written_once(catalog: Catalog) -> None:
    """Its outcome needs no copy of its body."""
    crop = make.face_crop()
    catalog.record("filter", "f", [(crop.id, Kept(crop, (crop,)))])

    assert catalog.judged("filter", "f", [crop.id]) == {crop.id: None}
    assert catalog.outputs("filter", "f", [crop.id]) == {}


def test_a_later_outcome_replaces_the_earlier(catalog: Catalog) -> None:
    """An item has one outcome of each configuration, the last."""
    post = make.post()
    catalog.record("scrape", "f", [(post.id, Dropped(post, Reason.UNREACHABLE))])
    catalog.record("scrape", "f", [(post.id, Kept(post, (make.image(),)))])

    assert catalog.judged("scrape", "f", [post.id]) == {post.id: None}
    assert [said.reason for said in catalog.history(post.id)] == [None]


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(catalog_url: str, clock: Clock) -> Iterator[Catalog]:
    opened = Catalog(catalog_url, clock)
    yield opened
    opened.close()


def _says(catalog: Catalog, reason: Reason | None, mark: str = "f") -> tuple[int, datetime | None]:
    """Let a post be judged (None: kept) and give how often that was and when it comes up again."""
    post = make.post()
    said = Dropped(post, reason) if reason else Kept(post, (make.image(),))
    catalog.record("scrape", mark, [(post.id, said)])
    found = next(one for one in catalog.history(post.id) if one.fingerprint == mark)
    return found.attempts, found.next_at


def test_a_failure_waits_longer_each_time(timed: Catalog, clock: Clock) -> None:
    """The next run tries at once; then an hour, four, sixteen, sixty-four, and never more than a week."""
    waits = []
    for attempt in range(1, 9):
        attempts, next_at = _says(timed, Reason.UNREACHABLE)
        assert attempts == attempt
        assert next_at is not None
        waits.append((next_at - clock.now) / timedelta(hours=1))
        clock.now = next_at

    assert waits == [0, 1, 4, 16, 64, 168, 168, 168]


def test_a_failure_is_due_when_its_time_has_come(timed: Catalog, clock: Clock) -> None:
    """Not before; and not for another configuration."""
    _says(timed, Reason.UNREACHABLE)
    assert timed.due("scrape", "f", ["sandbox:1", "sandbox:2"]) == {"sandbox:1"}

    _says(timed, Reason.UNREACHABLE)
    assert timed.due("scrape", "f", ["sandbox:1"]) == set()

    clock.now += timedelta(hours=1)
    assert timed.due("scrape", "f", ["sandbox:1"]) == {"sandbox:1"}
    assert timed.due("scrape", "g", ["sandbox:1"]) == set()


def test_what_is_said_for_good_is_never_due(timed: Catalog, clock: Clock) -> None:
    """It has no time; how often it was tried is still counted."""
    _says(timed, Reason.UNREACHABLE)
    assert _says(timed, Reason.GONE) == (2, None)

    clock.now += timedelta(days=365)
    assert timed.due("scrape", "f", ["sandbox:1"]) == set()


def test_a_parked_host_costs_its_posts_no_try(timed: Catalog, clock: Clock) -> None:
    """Nobody asked for them: they are due at once, and wait no longer afterwards."""
    assert _says(timed, Reason.PARKED) == (0, clock.now)
    assert _says(timed, Reason.UNREACHABLE) == (1, clock.now)
    assert _says(timed, Reason.PARKED) == (1, clock.now)
    assert _says(timed, Reason.UNREACHABLE) == (2, clock.now + timedelta(hours=1))


def test_what_was_kept_begins_a_new_count(timed: Catalog, clock: Clock) -> None:
    """Its bytes were lost, and the first failure after that is a first one."""
    _says(timed, Reason.UNREACHABLE)
    assert _says(timed, None) == (2, None)
    assert _says(timed, Reason.UNREACHABLE) == (1, clock.now)


def test_each_configuration_counts_for_itself(timed: Catalog) -> None:
    """Another recipe's failure is not this one's."""
    _says(timed, Reason.UNREACHABLE)

    assert _says(timed, Reason.UNREACHABLE, "g")[0] == 1


def test_an_image_is_found_by_its_md5(catalog: Catalog) -> None:
    """Whichever post it came with, but only as this stage in this configuration kept it."""
    post, image = make.post(7), make.image(1, post_id="sandbox:7")
    catalog.record("scrape", "f", [(post.id, Kept(post, (image,)))])

    assert catalog.image("scrape", "f", make.md5(1)) == image
    assert catalog.image("scrape", "g", make.md5(1)) is None
    assert catalog.image("scrape", "f", make.md5(2)) is None
    assert catalog.find(make.md5(1)[:8]) == [(post.id, image)]


def test_an_image_is_looked_up_by_its_md5_alone(sqlite_catalog: Catalog) -> None:
    """Not among all that the stage ever kept: there may be millions."""
    asked: list[str] = []
    sa.event.listen(sqlite_catalog._engine, "before_cursor_execute", lambda *words: asked.append(words[2]))
    sqlite_catalog.image("scrape", "f", make.md5(1))
    values = (make.md5(1), "Image", "", "scrape", "", "f", 1, 0)

    with sqlite_catalog._engine.begin() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked[0]}", values).all()

    assert [row[3] for row in plan] == ["SEARCH outputs USING INDEX ix_outputs_id (id=?)"]


def test_one_outcome_can_be_asked_for(catalog: Catalog) -> None:
    """With what was made; None where nothing was said."""
    kept, dropped = make.post(1), make.post(2)
    catalog.record("scrape", "f", [(kept.id, Kept(kept, (make.image(),))), (dropped.id, Dropped(dropped, Reason.GONE))])

    assert catalog.outcome("scrape", "f", kept.id) == (None, (make.image(),))
    assert catalog.outcome("scrape", "f", dropped.id) == (Reason.GONE, ())
    assert catalog.outcome("scrape", "f", "sandbox:3") is None


def test_failures_are_counted_by_reason(timed: Catalog, clock: Clock) -> None:
    """With the time of the first that comes up again; what was unwanted is no failure."""
    reasons = [Reason.UNREACHABLE, Reason.UNREACHABLE, Reason.GONE, Reason.TOO_LARGE, Reason.PARKED]
    posts = [make.post(number) for number in range(5)]
    timed.record("scrape", "f", [(one.id, Dropped(one, why)) for one, why in zip(posts, reasons, strict=True)])
    timed.record("scrape", "f", [(posts[0].id, Dropped(posts[0], Reason.UNREACHABLE))])

    assert timed.failures("scrape") == [
        Failures(reason=Reason.GONE, items=1, next_at=None),
        Failures(reason=Reason.UNREACHABLE, items=2, next_at=clock.now),
        Failures(reason=Reason.PARKED, items=1, next_at=clock.now),
    ]


def test_failures_under_an_older_rule_are_not_counted(timed: Catalog, clock: Clock) -> None:
    """The recipe was changed since, and its last run judged them anew; a run under way counts already."""
    post = make.post()
    for mark in ("old", "new"):
        timed.record("scrape", mark, [(post.id, Dropped(post, Reason.GONE))])
        timed.end_run(timed.begin_run("r"), "completed", [{"stage": "scrape", "fingerprint": mark}])
        clock.now += timedelta(hours=1)
    assert [one.items for one in timed.failures("scrape")] == [1]

    other = make.post(2)
    timed.record("scrape", "newer", [(other.id, Dropped(other, Reason.CORRUPT))])
    assert [one.reason for one in timed.failures("scrape")] == [Reason.GONE, Reason.CORRUPT]


def test_hosts_are_counted_again_and_again(catalog: Catalog) -> None:
    """The last count of each stands, for each recipe; what is largest comes first."""
    catalog.note_hosts("a", [make.host_count("one"), make.host_count("two")])
    catalog.note_hosts("a", [make.host_count("one", waiting=60), make.host_count("three", waiting=50, done=91)])
    catalog.note_hosts("b", [make.host_count("one", parked="answers 503")])

    assert catalog.hosts() == {
        "a": [
            make.host_count("one", waiting=60),
            make.host_count("three", waiting=50, done=91),
            make.host_count("two"),
        ],
        "b": [make.host_count("one", parked="answers 503")],
    }


def test_the_hosts_of_an_earlier_run_give_way(timed: Catalog, clock: Clock) -> None:
    """As soon as this one has counted some itself; those of another recipe stay."""
    timed.begin_run("a")
    for recipe in ("a", "b"):
        timed.note_hosts(recipe, [make.host_count("old", at=clock.now)])
    clock.now += timedelta(days=1)
    timed.begin_run("a")
    assert [one.host for one in timed.hosts()["a"]] == ["old"]

    timed.note_hosts("a", [make.host_count("new", at=clock.now)])

    assert {recipe: [one.host for one in tallies] for recipe, tallies in timed.hosts().items()} == {
        "a": ["new"],
        "b": ["old"],
    }


def test_two_may_write_the_same_at_once(catalog_url: str) -> None:
    """Two recipes that share a stage judge the same item; the later word stands, and nobody fails."""
    both = [Catalog(catalog_url), Catalog(catalog_url)]
    posts = [make.post(number) for number in range(300)]

    def write(catalog: Catalog) -> None:
        for turn in range(10):
            some = posts[turn * 30 :] + posts[: turn * 30]
            catalog.record("scrape", "f", [(post.id, Kept(post, (make.image(post.id),))) for post in some])
            catalog.add_page("l", some, {"a": turn})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, both))

    assert len(both[0].posts("l")) == 300
    assert set(both[1].judged("scrape", "f", [post.id for post in posts]).values()) == {None}
    for catalog in both:
        catalog.close()


def test_a_corpus_is_judged_anew(catalog: Catalog) -> None:
    """What the fingerprint said before is forgotten."""
    one, two = make.face_crop(1), make.face_crop(2)
    catalog.record("dedup", "f", [(one.id, Kept(one, (one,)))], anew=True)
    catalog.record("dedup", "f", [(two.id, Kept(two, (two,)))], anew=True)

    assert catalog.judged("dedup", "f", [one.id, two.id]) == {two.id: None}


def test_records_are_found_by_the_start_of_their_hash(catalog: Catalog) -> None:
    """With what they were made of; % and _ are letters, not patterns."""
    post, image = make.post(), make.image()
    catalog.record("scrape", "f", [(post.id, Kept(post, (image,)))])

    assert catalog.find(image.sha256[:8]) == [(post.id, image)]
    assert catalog.find("%") == []


def test_the_last_decision_stands(catalog: Catalog) -> None:
    """Nothing is overwritten: the later row counts."""
    crop = make.sha256("c")
    catalog.decide([make.decision(crop, Verdict.KEEP)])
    catalog.decide([make.decision(crop, Verdict.REJECT)])

    assert catalog.decisions()[crop].verdict is Verdict.REJECT


def test_undo_lets_the_decision_before_stand_again(catalog: Catalog) -> None:
    """Undo is another row; undone twice, nothing stands."""
    crop = make.sha256("c")
    catalog.decide([make.decision(crop, Verdict.KEEP), make.decision(crop, Verdict.REJECT)])

    catalog.decide([make.decision(crop, None)])
    assert catalog.decisions()[crop].verdict is Verdict.KEEP
    assert catalog.last_decided() == crop

    catalog.decide([make.decision(crop, None)])
    assert catalog.decisions() == {}
    assert catalog.last_decided() is None


@pytest.mark.parametrize("change", ["UPDATE decisions SET crop_sha256 = 'x'", "DELETE FROM decisions"])
def test_decisions_are_append_only(catalog: Catalog, change: str) -> None:
    """The database itself refuses to change or remove one."""
    catalog.decide([make.decision(make.sha256("c"))])

    with pytest.raises(sa.exc.DBAPIError, match="append-only"), catalog._engine.begin() as connection:
        connection.execute(sa.text(change))


def test_all_that_was_decided_can_be_read(catalog: Catalog) -> None:
    """In its order, with what was taken back."""
    said = [make.decision("a"), make.decision("a", None), make.decision("b", Verdict.REJECT, reviewer="kim")]
    catalog.decide(said)

    assert catalog.all_decisions() == said


def test_an_undo_by_name_takes_back_that_operation(catalog: Catalog) -> None:
    """Also when it is not the last; what was decided last still stands, and is what an undo without a name meets."""
    one, two = make.sha256("one"), make.sha256("two")
    catalog.decide([make.decision(one, op="a"), make.decision(two, op="a"), make.decision(one, Verdict.REJECT, op="b")])

    catalog.decide([make.decision(one, None, undoes="a", op="c"), make.decision(two, None, undoes="a", op="c")])

    assert {crop: said.verdict for crop, said in catalog.decisions().items()} == {one: Verdict.REJECT}
    assert catalog.last_decided() == one


def test_a_label_outlives_a_verdict_that_says_nothing_of_it(catalog: Catalog) -> None:
    """Until it is taken away."""
    crop = make.sha256("c")
    catalog.decide([make.decision(crop, label="miku"), make.decision(crop, Verdict.UNSURE)])
    said = catalog.decisions()[crop]
    catalog.decide([make.decision(crop, label="")])

    assert (said.verdict, said.label) == (Verdict.UNSURE, "miku")
    assert catalog.decisions()[crop].label == ""


def test_what_is_new_can_be_asked_for(catalog: Catalog) -> None:
    """By the number of the last row that was seen."""
    first, second = make.decision("a"), make.decision("b")
    catalog.decide([first])
    last, rows = catalog.decided_since(0)
    catalog.decide([second])

    assert rows == [first]
    assert catalog.decided_since(last)[1] == [second]
    assert catalog.decided_since(catalog.decided_since(last)[0]) == (catalog.decided_since(last)[0], [])


def test_those_that_write_at_once_are_all_seen(catalog_url: str) -> None:
    """Whoever follows the numbers misses no row, though it asks in between."""
    both = [Catalog(catalog_url), Catalog(catalog_url)]

    def write(number: int) -> bool:
        said = [make.decision(make.sha256((number, place)), op=f"o{number}") for place in range(20)]
        return both[number % 2].operate(make.operation(f"o{number}"), said, "d")

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, number) for number in range(40)]
        last, seen = 0, list[Any]()
        while not all(one.done() for one in writing):
            last, rows = both[0].decided_since(last)
            seen += rows
            time.sleep(0.005)  # whoever asks without a pause leaves the writers of this process no time
    assert [one.result() for one in writing] == [True] * 40
    seen += both[0].decided_since(last)[1]

    assert len(seen) == len({one.crop_sha256 for one in seen}) == 800
    for catalog in both:
        catalog.close()


def test_it_is_known_whether_anybody_ever_decided(catalog: Catalog) -> None:
    """Also where nothing of it stands."""
    assert not catalog.ever_decided()

    catalog.decide([make.decision("a"), make.decision("a", None)])

    assert catalog.ever_decided()


def test_an_operation_and_its_decisions_are_one(catalog: Catalog) -> None:
    """They are found by its name, and by the crop."""
    done = make.operation("o", batch="b", dwell_ms=8123, seeds_shown=2, about='{"crops": 2}')
    said = [make.decision("x", op="o"), make.decision("y", Verdict.REJECT, op="o", box=make.box(), image_sha256="i")]
    catalog.decide([make.decision("x")])

    assert catalog.operate(done, said, "digest") is True

    assert catalog.operation("o") == done
    assert catalog.decisions_of("o") == said
    assert catalog.decisions_on("x") == [make.decision("x"), said[0]]
    assert (catalog.operation("p"), catalog.decisions_of("p")) == (None, [])


def test_the_same_operation_sent_again_is_no_news(catalog: Catalog) -> None:
    """The answer was lost on its way; nothing is written twice."""
    for new in (True, False, False):
        assert catalog.operate(make.operation("o"), [make.decision("x", op="o")], "digest") is new

    assert len(catalog.all_decisions()) == len(catalog.operations()) == 1


def test_another_operation_of_the_same_name_is_refused(catalog: Catalog) -> None:
    """And leaves nothing behind."""
    catalog.operate(make.operation("o"), [make.decision("x", op="o")], "one")

    with pytest.raises(ConflictError, match="o: another thing"):
        catalog.operate(make.operation("o", reviewer="lee"), [make.decision("y", op="o")], "two")

    assert [one.crop_sha256 for one in catalog.all_decisions()] == ["x"]


def test_an_operation_sent_twice_at_once_is_one(catalog_url: str) -> None:
    """By two tabs, or by a browser that has lost patience."""
    both = [Catalog(catalog_url), Catalog(catalog_url)]
    said = [make.decision(make.sha256(number), op="o") for number in range(60)]

    with ThreadPoolExecutor(8) as pool:
        new = list(pool.map(lambda number: both[number % 2].operate(make.operation("o"), said, "d"), range(8)))

    assert sorted(new) == [False] * 7 + [True]
    assert both[0].all_decisions() == said
    for catalog in both:
        catalog.close()


def test_operations_come_newest_first(catalog: Catalog) -> None:
    """Of one reviewer, or of all."""
    for name, reviewer in (("a", "kim"), ("b", "lee"), ("c", "kim")):
        catalog.operate(make.operation(name, reviewer=reviewer), [], "d")

    assert [one.id for one in catalog.operations()] == ["c", "b", "a"]
    assert [one.id for one in catalog.operations("kim")] == ["c", "a"]
    assert [one.id for one in catalog.operations(last=1)] == ["c"]


def test_a_page_is_remembered(catalog: Catalog) -> None:
    """With all that is on it."""
    items = (BatchItem(crop="a", members=("a", "b")), BatchItem(crop="s", members=("s",), seed=True))
    page = make.batch("p", filters="reason=waiting", items=items)
    catalog.open_batch(page)

    assert catalog.batch("p") == page
    assert catalog.batch("q") is None


@pytest.mark.parametrize("table", ["operations", "batches"])
@pytest.mark.parametrize("change", ["UPDATE {} SET body = 'x'", "DELETE FROM {}"])
def test_what_people_did_is_append_only(catalog: Catalog, table: str, change: str) -> None:
    """As their decisions are."""
    catalog.operate(make.operation(), [], "d")
    catalog.open_batch(make.batch())

    with pytest.raises(sa.exc.DBAPIError, match=f"{table} are append-only"), catalog._engine.begin() as connection:
        connection.execute(sa.text(change.format(table)))


def test_a_crop_is_leased_to_one_page(timed: Catalog, clock: Clock) -> None:
    """Another gets what is free; the page itself may ask again, and its lease is longer then."""
    until = clock.now + timedelta(minutes=10)

    assert timed.claim(["a", "b"], "one", until) == {"a", "b"}
    assert timed.claim(["b", "c"], "two", until) == {"c"}
    assert timed.claim(["a", "b"], "one", until + timedelta(minutes=5)) == {"a", "b"}
    assert timed.leased() == {"a": "one", "b": "one", "c": "two"}

    clock.now += timedelta(minutes=12)
    assert timed.leased() == {"a": "one", "b": "one"}


def test_an_expired_lease_is_free(timed: Catalog, clock: Clock) -> None:
    """Whoever had it went away, and the page that takes it has it alone."""
    timed.claim(["a"], "one", clock.now + timedelta(minutes=10))
    clock.now += timedelta(minutes=10, seconds=1)

    assert timed.leased() == {}
    assert timed.claim(["a"], "two", clock.now + timedelta(minutes=10)) == {"a"}
    assert timed.claim(["a"], "one", clock.now + timedelta(minutes=10)) == set()


def test_a_page_that_is_done_lets_its_crops_go(timed: Catalog, clock: Clock) -> None:
    """Those of other pages stay leased."""
    until = clock.now + timedelta(minutes=10)
    timed.claim(["a", "b"], "one", until)
    timed.claim(["c"], "two", until)

    timed.release("one")

    assert timed.leased() == {"c": "two"}


def test_many_that_claim_at_once_get_different_crops(catalog_url: str) -> None:
    """Each asks for all of them; every crop goes to one page, however many questions that takes."""
    both = [Catalog(catalog_url), Catalog(catalog_url)]
    crops = [make.sha256(number) for number in range(500)]
    until = datetime.now(UTC) + timedelta(minutes=10)

    def claim(number: int) -> set[str]:
        some = crops[number * 60 :] + crops[: number * 60]
        return both[number % 2].claim(some[: 60 + 40 * number], f"page {number}", until)

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(claim, range(8)))

    asked = {crop for number in range(8) for crop in (crops[number * 60 :] + crops[: number * 60])[: 60 + 40 * number]}
    assert sum(map(len, got)) == len(set().union(*got)) == len(asked)
    assert both[0].leased() == {crop: f"page {number}" for number, some in enumerate(got) for crop in some}
    for catalog in both:
        catalog.close()


def test_crops_are_found_by_their_bytes(catalog: Catalog) -> None:
    """As the stage had them that knew their family; whatever stage and configuration made them."""
    crop, other = make.face_crop(1), make.face_crop(2)
    catalog.record("crop", "f", [(one.id, Kept(one.detection, (one,))) for one in (crop, other)])
    catalog.record("dedup", "g", [(crop.id, Kept(crop, (replace(crop, family="F"),)))])
    catalog.record("zoom", "h", [(crop.id, Kept(crop.detection, (crop,)))])

    found = catalog.face_crops([crop.sha256, other.sha256, make.sha256("none")])

    assert found == {crop.sha256: replace(crop, family="F"), other.sha256: other}


def test_an_image_stands_for_a_crop_that_is_not_there_any_more(catalog: Catalog) -> None:
    """The decision says itself where the face lay."""
    catalog.decide([make.decision("a", image_sha256="image", box=make.box()), make.decision("b", Verdict.REJECT)])

    assert catalog.kept_images() == {"image"}


def test_a_durable_catalog_waits_for_the_disk(tmp_path: Path) -> None:
    """What it has acknowledged survives when the power fails."""
    levels = []
    for durable in (False, True):
        opened = Catalog(tmp_path / "catalog.sqlite", durable=durable)
        with opened._engine.begin() as connection:
            levels.append(connection.exec_driver_sql("PRAGMA synchronous").scalar())
        opened.close()

    assert levels == [1, 2]  # NORMAL, FULL


def test_a_split_is_given_once(catalog: Catalog) -> None:
    """Later rounds give to what is new, and change nothing; each recipe has its own."""
    catalog.give_splits("r", {"image a": "train", "image b": "test"})
    catalog.give_splits("r", {"image a": "test", "image c": "validation"})
    catalog.give_splits("other", {"image a": "test"})

    assert catalog.splits("r") == {
        "image a": GivenSplit(split="train", round=1),
        "image b": GivenSplit(split="test", round=1),
        "image c": GivenSplit(split="validation", round=2),
    }
    assert catalog.splits("other") == {"image a": GivenSplit(split="test", round=1)}


def test_a_killed_run_is_called_so(catalog: Catalog) -> None:
    """A run that still says "running" when the next begins was killed."""
    catalog.begin_run("r")
    catalog.end_run(catalog.begin_run("r"), "completed", [{"stage": "list"}])

    assert [run["state"] for run in catalog.runs(2)] == ["completed", "killed"]
    assert catalog.runs()[0]["reports"] == [{"stage": "list"}]


def test_another_recipes_run_is_left_alone(catalog: Catalog) -> None:
    """Several recipes may run at once on one folder."""
    catalog.begin_run("a")
    catalog.begin_run("b")

    assert [(run["recipe"], run["state"]) for run in catalog.runs(2)] == [("b", "running"), ("a", "running")]


def _ran(catalog: Catalog, recipe: str, **marks: str) -> None:
    reports = [{"stage": stage, "fingerprint": mark} for stage, mark in marks.items()]
    catalog.end_run(catalog.begin_run(recipe), "completed", reports)


def test_waiting_crops_come_least_sure_first(catalog: Catalog) -> None:
    """The queue is sorted by score."""
    crops = [make.face_crop(n, detection=make.detection(n, score=score)) for n, score in enumerate((0.7, 0.2, 0.9))]
    made = [(f"d{n}", Kept(crop.detection, (crop,))) for n, crop in enumerate(crops)]
    catalog.record("crop", "f", [(crop.id, outcome) for crop, (_, outcome) in zip(crops, made, strict=True)])
    catalog.record("review", "f", [(crop.id, Dropped(crop, Reason.WAITING)) for crop in crops])
    _ran(catalog, "r", crop="f", review="f")

    assert [crop.detection.score for crop in catalog.crops("review", Reason.WAITING)] == [0.2, 0.7, 0.9]


def test_of_a_place_that_was_cut_twice_the_last_crop_waits(catalog: Catalog) -> None:
    """Where the size of crops was changed, nobody is asked about one that no release could hold any more."""
    large, small = (make.face_crop(1, sha256=make.sha256(size), size=size) for size in (256, 128))
    for mark, crop in (("large", large), ("small", small)):
        catalog.record("crop", mark, [(crop.id, Kept(crop.detection, (crop,)))])
        catalog.record("review", mark, [(crop.id, Dropped(crop, Reason.WAITING))])
        _ran(catalog, "a", crop=mark, review=mark)

    assert catalog.crops("review", Reason.WAITING) == [small]


def test_an_older_rule_leaves_no_queue_behind(catalog: Catalog) -> None:
    """What waited under the last rule but not under this one does not wait; another recipe's queue stays."""
    crops = {mark: make.face_crop(mark) for mark in ("old", "new", "other")}
    for mark, crop in crops.items():
        catalog.record("crop", "f", [(crop.id, Kept(crop.detection, (crop,)))])
        catalog.record("review", mark, [(crop.id, Dropped(crop, Reason.WAITING))])
        recipe = "b" if mark == "other" else "a"
        _ran(catalog, recipe, crop="f", review=mark)

    waiting = {crop.sha256 for crop in catalog.crops("review", Reason.WAITING)}

    assert waiting == {crops["new"].sha256, crops["other"].sha256}


def test_everything_is_there_after_reopening(catalog_url: str) -> None:
    """A catalog is memory, not a session."""
    first = Catalog(catalog_url)
    first.add_page("l", [make.post()], {"a": 1})
    first.close()

    again = Catalog(catalog_url)
    assert again.posts("l") == [make.post()]
    again.close()


def test_a_newer_catalog_is_refused(tmp_path: Path) -> None:
    """Written by a later kaoset: say so instead of guessing."""
    path = tmp_path / "c.sqlite"
    Catalog(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE about SET value = '99'")
    connection.close()

    with pytest.raises(CatalogError, match="newer kaoset"):
        Catalog(path)


def test_a_file_that_is_no_database_is_one_clear_line(tmp_path: Path) -> None:
    """A text file in the catalog's place says what to do."""
    path = tmp_path / "c.sqlite"
    path.write_text("no database at all, but long enough to be looked at" * 20)

    with pytest.raises(CatalogError, match="not a database; it is no SQLite file"):
        Catalog(path)


def test_a_wrong_password_is_one_clear_line(postgres: str) -> None:
    """The message names the address without the password, and says what to check."""
    with pytest.raises(CatalogError) as caught:
        Catalog(postgres.replace("right", "wrong") + "/postgres")

    assert "check the user and the password" in str(caught.value)
    assert "wrong@" not in str(caught.value)


def test_no_server_is_one_clear_line() -> None:
    """Nothing listens on port 1."""
    with pytest.raises(CatalogError, match="check the address and that the server runs"):
        Catalog("postgresql://kaoset:right@127.0.0.1:1/kaoset")


def test_a_locked_catalog_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program that holds SQLite's write lock is named as the cause."""
    monkeypatch.setattr("pipeline.catalog.BUSY_MS", 100)
    path = tmp_path / "c.sqlite"
    catalog = Catalog(path)
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(CatalogError, match="locked; another program writes to it"):
            catalog.decide([make.decision(make.sha256("c"))])
    holder.close()
    catalog.close()


def test_a_new_catalog_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    """SQLite waits for nobody while the journal's kind is changed."""
    spawn = multiprocessing.get_context("spawn")
    barrier, failed = spawn.Barrier(2), spawn.Queue()
    paths = [tmp_path / f"{number}.sqlite" for number in range(150)]
    others = [spawn.Process(target=_open_all, args=(barrier, failed, paths)) for _ in range(2)]
    for other in others:
        other.start()

    assert [failed.get() for _ in others] == [[], []]
    for other in others:
        other.join()


def _open_all(barrier: Any, failed: Any, paths: list[Path]) -> None:
    errors = []
    for path in paths:
        barrier.wait()
        try:
            Catalog(path).close()
        except CatalogError as error:
            errors.append(str(error))
    failed.put(errors)


def test_what_was_said_since_a_moment_can_be_asked_for(timed: Catalog, clock: Clock) -> None:
    """By whatever run; what was said before it is passed over."""
    post = make.post()
    timed.record("scrape", "f", [(post.id, Kept(post, (make.image(),)))])

    said = timed.said_since("scrape", "f", post.id, clock.now)

    assert said is not None
    assert (said.reason, said.outputs) == (None, (make.image(),))
    assert timed.said_since("scrape", "f", post.id, clock.now + timedelta(seconds=1)) is None
    assert timed.said_since("scrape", "g", post.id, clock.now) is None


def test_families_are_remembered_the_oldest_first(catalog_url: str) -> None:
    """By recipe; an image that is given another family keeps its place in time."""
    times = iter(datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 9))
    catalog = Catalog(catalog_url, clock=lambda: next(times))
    catalog.name_families("r", {"b": "B"})
    catalog.name_families("r", {"a": "A", "c": "A"})
    catalog.name_families("r", {"b": "A"})
    catalog.name_families("another", {"b": "X"})

    assert list(catalog.families("r").items()) == [("b", "A"), ("a", "A"), ("c", "A")]
    assert catalog.families("another") == {"b": "X"}
    catalog.close()


def test_comparisons_are_found_by_the_first_of_the_two(catalog: Catalog) -> None:
    """However many are asked for; said again, the last word counts."""
    first = Comparison(one="a", other="b", likeness="same", score=0.9, mirrored=True, how="mirrored")
    others = [replace(first, one=f"{n:04}") for n in range(1000)]
    catalog.note_comparisons([first, *others])
    catalog.note_comparisons([replace(first, score=0.8)])

    assert catalog.comparisons(["a", "b"]) == [replace(first, score=0.8)]
    assert len(catalog.comparisons([f"{n:04}" for n in range(2000)])) == 1000


def test_images_from_which_a_person_kept_a_crop_are_known(catalog: Catalog) -> None:
    """What was rejected, or taken back, does not count."""
    crops = [make.face_crop(n) for n in range(3)]
    catalog.record("crop", "f", [(crop.id, Kept(crop.detection, (crop,))) for crop in crops])
    verdicts = (Verdict.KEEP, Verdict.KEEP, Verdict.REJECT)
    catalog.decide([make.decision(crop.sha256, said) for crop, said in zip(crops, verdicts, strict=True)])
    catalog.decide([make.decision(crops[1].sha256, None)])

    assert catalog.kept_images() == {crops[0].detection.image_sha256}


def test_images_are_named_once_and_given_as_each_post_had_them(catalog: Catalog) -> None:
    """Whichever stage was configured how; what is no image is not among them."""
    one, again, other = make.image(1), make.image(1, post_id="sandbox:9"), make.image(2)
    for mark in ("a", "b"):
        catalog.record("scrape", mark, [(image.post_id, Kept(make.post(), (image,))) for image in (one, again, other)])
    catalog.record("detect", "d", [(one.sha256, Kept(one, (make.detection(),)))])

    assert catalog.image_names() == sorted([one.sha256, other.sha256])
    assert catalog.images([one.sha256, make.sha256("nobody")]) == [one, again]
