from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import make
import pytest
import sqlalchemy as sa

from pipeline.catalog import Catalog
from pipeline.errors import CatalogError
from pipeline.records import Reason, Verdict
from pipeline.stage import Dropped, Kept


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


def test_a_killed_run_is_called_so(catalog: Catalog) -> None:
    """A run that still says "running" when the next begins was killed."""
    catalog.begin_run("r")
    catalog.end_run(catalog.begin_run("r"), "completed", [{"stage": "list"}])

    assert [run["state"] for run in catalog.runs(2)] == ["completed", "killed"]
    assert catalog.runs()[0]["reports"] == [{"stage": "list"}]


def test_waiting_crops_come_least_sure_first(catalog: Catalog) -> None:
    """The queue is sorted by score."""
    crops = [make.face_crop(n, detection=make.detection(n, score=score)) for n, score in enumerate((0.7, 0.2, 0.9))]
    made = [(f"d{n}", Kept(crop.detection, (crop,))) for n, crop in enumerate(crops)]
    catalog.record("crop", "f", [(crop.id, outcome) for crop, (_, outcome) in zip(crops, made, strict=True)])
    catalog.record("review", "f", [(crop.id, Dropped(crop, Reason.WAITING)) for crop in crops])
    catalog.end_run(catalog.begin_run("r"), "completed", [{"stage": "review", "fingerprint": "f"}])

    assert [crop.detection.score for crop in catalog.crops("review", Reason.WAITING)] == [0.2, 0.7, 0.9]


def test_an_older_rule_leaves_no_queue_behind(catalog: Catalog) -> None:
    """What waited under the last rule but not under this one does not wait; another recipe's queue stays."""
    crops = {mark: make.face_crop(mark) for mark in ("old", "new", "other")}
    for mark, crop in crops.items():
        catalog.record("crop", "f", [(crop.id, Kept(crop.detection, (crop,)))])
        catalog.record("review", mark, [(crop.id, Dropped(crop, Reason.WAITING))])
        recipe = "b" if mark == "other" else "a"
        catalog.end_run(catalog.begin_run(recipe), "completed", [{"stage": "review", "fingerprint": mark}])

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
