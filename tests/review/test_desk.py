from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import make
import pytest
from queued import face, put_originals, queue, queue_told_by_score, remember
from reviewing import Served, keep_one_by_mistake, operation

from pipeline.catalog import Catalog
from pipeline.folder import DataFolder
from pipeline.records import Box, Reason, Verdict
from pipeline.store import Store

Serve = Callable[..., Served]


def crops_of(page: Any) -> list[str]:
    return [item["crop"] for item in page["items"]]


def commit(client: Any, page: Any, marks: dict[str, str] | None = None, **fields: Any) -> Any:
    return client.post("/api/operations", operation("page", batch=page["batch"], marks=marks or {}, **fields))


def said(served: Served) -> dict[str, str | None]:
    return {crop: one.verdict for crop, one in served.desk.catalog.decisions().items()}


def test_what_is_not_marked_is_kept(served: Serve) -> None:
    """And it is remembered which was looked at by hand, and which was only left as it was."""
    page = served()
    client = page.client()
    given = client.claim(3)
    one, two, three = crops_of(given)

    commit(client, given, {one: "reject", two: "unsure"})

    assert said(page) == {one: Verdict.REJECT, two: Verdict.UNSURE, three: Verdict.KEEP}
    assert {crop: page.desk.catalog.decisions()[crop].via for crop in (one, three)} == {one: "explicit", three: "grid"}


def test_the_most_suspicious_come_first(served: Serve) -> None:
    """By the score, as long as nothing was learnt; most of a page is from the top."""
    client = served().client()

    scores = [item["score"] for item in client.claim(10)["items"]]

    assert scores == sorted(scores)
    assert sum(score < 0.065 for score in scores) >= 8


def test_the_pictures_of_a_page_come_together(served: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they lie in the store; one that is missing there is left out."""
    page = served()
    client = page.client()
    given = client.claim(5)
    gone, *others = crops_of(given)
    whole = Store.get
    # Tests share the pictures, so that none may really go.
    monkeypatch.setattr(Store, "get", lambda store, name: whole(store, "0" * 64 if name == gone else name))

    pictures = client.get(f"/api/batches/{given['batch']}/pictures")

    assert {crop: base64.b64decode(png) for crop, png in pictures.items()} == {
        crop: page.desk.store.get(crop) for crop in others
    }


def test_an_answer_of_pictures_has_a_size(served: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are asked for one by one."""
    page = served()
    client = page.client()
    given = client.claim(5)
    sizes = [len(page.desk.store.get(crop)) for crop in crops_of(given)]
    monkeypatch.setattr("pipeline.review.shown.MOST_PICTURED", sum(sizes[:3]))

    assert list(client.get(f"/api/batches/{given['batch']}/pictures")) == crops_of(given)[:3]


def test_nobody_is_given_the_pictures_of_anothers_page(served: Serve) -> None:
    """A page is its reviewer's."""
    page = served()
    given = page.client().claim(5)
    lee = page.client("lee")
    address = f"{lee.root}/api/batches/{given['batch']}/pictures"

    assert lee.session.get(address, headers={"X-Kaoset-Reviewer": "lee"}, timeout=10).status_code == 409


def test_two_pages_hold_different_crops(served: Serve) -> None:
    """Of one reviewer's two windows, and of two reviewers."""
    page = served()
    kim, lee = page.client(), page.client("lee")

    given = [crops_of(client.claim(8)) for client in (kim, kim, lee)]

    assert len({crop for crops in given for crop in crops}) == 24


def test_an_operation_sent_twice_counts_once(served: Serve) -> None:
    """Also where the first answer was lost."""
    page = served()
    client = page.client()
    given = client.claim(5)
    body = operation("page", batch=given["batch"], marks={})

    first, second = (client.post("/api/operations", body) for _ in range(2))

    assert (first["replay"], second["replay"], first["stored"], second["stored"]) == (False, True, 5, 5)
    assert len(page.desk.catalog.all_decisions()) == 5


def test_another_operation_of_the_same_name_is_refused(served: Serve) -> None:
    """It would be lost silently otherwise."""
    client = served().client()
    given = client.claim(5)
    body = operation("page", batch=given["batch"], marks={})
    client.post("/api/operations", body)

    answer = client.send("/api/operations", {**body, "dwell_ms": 1})

    assert answer.status_code == 409
    assert "another thing" in answer.json()["error"]


def test_an_undo_takes_a_whole_page_back(served: Serve) -> None:
    """And the page can be had again."""
    page = served()
    client = page.client()
    given = client.claim(4)
    body = operation("page", batch=given["batch"], marks={crops_of(given)[0]: "reject"})
    client.post("/api/operations", body)

    client.post("/api/operations", operation("undo", undoes=body["id"]))

    assert said(page) == {}
    again = client.get(f"/api/batches/{given['batch']}")
    assert (crops_of(again), again["done"]) == (crops_of(given), False)


def test_an_undo_of_one_crop_leaves_the_others(served: Serve) -> None:
    """Of a page of four."""
    page = served()
    client = page.client()
    given = client.claim(4)
    body = operation("page", batch=given["batch"], marks={})
    client.post("/api/operations", body)

    client.post("/api/operations", operation("undo", undoes=body["id"], crops=crops_of(given)[:1]))

    assert set(said(page)) == set(crops_of(given)[1:])


def test_an_undo_leaves_what_others_said_later(served: Serve) -> None:
    """Kim's keep goes, Lee's reject stands."""
    page = served()
    kim, lee = page.client(), page.client("lee")
    given = kim.claim(2)
    body = operation("page", batch=given["batch"], marks={})
    kim.post("/api/operations", body)
    crop = crops_of(given)[0]
    lee.post("/api/operations", operation("single", crop=crop, verdict="reject"))

    kim.post("/api/operations", operation("undo", undoes=body["id"]))

    assert said(page) == {crop: Verdict.REJECT}


def test_nobody_undoes_what_another_did(served: Serve) -> None:
    """He is told who it was."""
    page = served()
    kim, lee = page.client(), page.client("lee")
    body = operation("page", batch=kim.claim(2)["batch"], marks={})
    kim.post("/api/operations", body)

    answer = lee.send("/api/operations", operation("undo", undoes=body["id"]))

    assert (answer.status_code, "kim did that" in answer.json()["error"]) == (409, True)


def test_near_copies_are_one_decision(served: Serve, tmp_path: Path) -> None:
    """One of them is shown, and all are decided."""
    folder = DataFolder(tmp_path)
    pair = [face(folder, seed, family="f", box=make.box(), image=seed) for seed in (1, 2)]
    catalog = Catalog(folder.catalog)
    remember(catalog, put_originals(folder, pair))
    page = served(tmp_path)
    client = page.client()
    given = client.claim(60)

    commit(client, given, {crops_of(given)[0]: "reject"})

    assert [item["members"] for item in given["items"]] == [2]
    assert said(page) == {one.crop.sha256: Verdict.REJECT for one in pair}
    assert client.get("/api/progress")["left"] == 0


def test_a_page_after_its_lease_still_counts(served: Serve) -> None:
    """Somebody was at lunch: nothing is lost, and it is noted."""
    page = served()
    client = page.client()
    given = client.claim(3)
    page.desk._until.clear()
    page.desk.catalog.release(given["batch"])
    others = page.client("lee").claim(3)

    commit(client, given)

    assert set(crops_of(others)) == set(crops_of(given))
    assert set(said(page)) == set(crops_of(given))


def test_what_is_released_is_handed_out_again(served: Serve) -> None:
    """At once, not only when the lease ends."""
    page = served()
    client = page.client()
    given = client.claim(30)
    assert client.claim(30)["items"] == []

    client.post(f"/api/batches/{given['batch']}/release", {})

    assert set(crops_of(page.client("lee").claim(30))) == set(crops_of(given))


def test_whoever_waits_is_told_for_how_many(served: Serve) -> None:
    """Nothing is left, but others have it."""
    page = served()
    page.client().claim(30)

    assert page.client("lee").claim(30)["waiting_on"] == 30


def test_a_mark_on_a_crop_of_another_page_is_refused(served: Serve) -> None:
    """And nothing of that operation is written."""
    page = served()
    client = page.client()
    one, other = client.claim(3), client.claim(3)

    answer = client.send("/api/operations", operation("page", batch=one["batch"], marks={crops_of(other)[0]: "reject"}))

    assert (answer.status_code, said(page)) == (400, {})


def test_a_rescue_marks_only_what_is_kept(served: Serve, tmp_path: Path) -> None:
    """What a filter dropped stays dropped unless somebody says keep."""
    queue(tmp_path, 4, reason=Reason.LOW_SCORE)
    page = served(tmp_path)
    client = page.client()
    given = client.claim(60, "reason=low_score&verdict=none")

    commit(client, given, {crops_of(given)[0]: "keep"}, default="none")

    assert said(page) == {crops_of(given)[0]: Verdict.KEEP}


def test_a_label_is_kept_when_the_crop_is_decided_again(served: Serve) -> None:
    """And a label says that there is a face."""
    page = served()
    client = page.client()
    crop = crops_of(client.claim(2))[0]
    client.post("/api/operations", operation("label", crops=[crop], label="charles_montgomery_burns"))
    client.post("/api/operations", operation("single", crop=crop, verdict="keep"))

    decision = page.desk.catalog.decisions()[crop]

    assert (decision.verdict, decision.label) == (Verdict.KEEP, "charles_montgomery_burns")
    assert client.get("/api/labels?q=burns")["labels"][0]["label"] == "charles_montgomery_burns"
    assert client.get("/api/labels")["recent"] == ["charles_montgomery_burns"]


def test_accepting_many_is_one_operation_that_can_be_undone(served: Serve) -> None:
    """From a score on; a sample is shown first."""
    page = served()
    client = page.client()
    shown = client.get("/api/bulk?least=0.06")
    body = operation(
        "bulk", filters="", least=0.06, expect=shown["count"], sampled=crops_of({"items": shown["sample"]})
    )

    stored = client.post("/api/operations", body)["stored"]
    kept = len(said(page))
    client.post("/api/operations", operation("undo", undoes=body["id"]))

    assert 0 < stored == shown["count"] == kept < 30
    assert said(page) == {}


def test_accepting_many_is_refused_when_they_are_others_now(served: Serve) -> None:
    """What was not shown is not accepted."""
    client = served().client()

    answer = client.send("/api/operations", operation("bulk", filters="", least=0.06, expect=7))

    assert (answer.status_code, "look at them again" in answer.json()["error"]) == (409, True)


def test_an_audit_draws_what_nobody_has_seen(served: Serve, tmp_path: Path) -> None:
    """And bounds the share of false ones among the rest."""
    queue(tmp_path, 40, reason=None, score=0.99, agreed=True)
    page = served(tmp_path)
    client = page.client()
    assert client.get("/api/progress")["unseen"] == 40
    given = client.claim(20, kind="audit")

    commit(client, given, {crops_of(given)[0]: "reject"})

    audit = client.get("/api/progress")["audit"]
    assert (audit["n"], audit["false"], audit["population"]) == (20, 1, 40)
    assert audit["at_most"] == pytest.approx(0.2161, abs=1e-3)  # Clopper and Pearson, one of 20


def test_a_seed_measures_and_is_never_decided_on(served: Serve, tmp_path: Path) -> None:
    """Known-false crops look like the others, and are not told from them until the page is done."""
    folder = DataFolder(tmp_path)
    faces = put_originals(folder, [face(folder, seed) for seed in range(1, 200)])
    catalog = Catalog(folder.catalog)
    empty = [one.image for one in faces[:30]]  # images in which no detector saw a face
    remember(catalog, faces[30:], no_face=empty)
    page = served(tmp_path, seeds=True)
    client = page.client()
    assert len(page.desk.planted) > 5
    shown = 0
    for _ in range(3):
        given = client.claim(50)
        assert {frozenset(item) for item in given["items"]} == {frozenset(given["items"][0])}
        seeds = [crop for crop in crops_of(given) if crop in page.desk.planted]
        answer = commit(client, given, dict.fromkeys(seeds[:1], "reject"))
        shown += len(seeds)
        assert answer["seeds"] == {"shown": len(seeds), "caught": len(seeds[:1]), "missed": seeds[1:]}

    assert shown > 0
    assert not said(page).keys() & page.desk.planted.keys()
    assert client.get("/api/progress")["attention"]["shown"] == shown


def test_two_people_are_asked_about_the_same_now_and_then(served: Serve, tmp_path: Path) -> None:
    """Blindly; how far they agree is told."""
    queue(tmp_path, 300)
    page = served(tmp_path)
    kim, lee = page.client(), page.client("lee")
    for _ in range(2):
        given = kim.claim(100)
        commit(kim, given, dict.fromkeys(crops_of(given)[:50], "reject"))
    given = lee.claim(100)
    again = [item for item in given["items"] if item["crop"] in said(page)]

    commit(lee, given, {item["crop"]: "reject" for item in again})

    assert again
    assert all(item["verdict"] is None for item in again)
    (pair,) = lee.get("/api/stats")["agreement"]["pairs"]
    assert (pair["one"], pair["other"], pair["both"]) == ("kim", "lee", len(again))


def test_what_two_people_see_differently_is_found(served: Serve) -> None:
    """Until one of them changes his mind."""
    page = served()
    kim, lee = page.client(), page.client("lee")
    crop = kim.get("/api/bulk?least=0")["sample"][0]["crop"]
    for client, verdict in ((kim, "keep"), (lee, "reject")):
        client.post("/api/operations", operation("single", crop=crop, verdict=verdict))
    disputed = kim.claim(5, "verdict=disputed")
    kim.post(f"/api/batches/{disputed['batch']}/release", {})

    kim.post("/api/operations", operation("single", crop=crop, verdict="reject"))

    assert crops_of(disputed) == [crop]
    assert kim.claim(5, "verdict=disputed")["items"] == []


def test_the_order_is_learnt_from_decisions(served: Serve, tmp_path: Path) -> None:
    """From some dozens on, in the background."""
    queue(tmp_path, 240)
    page = served(tmp_path)
    client = page.client()
    for _ in range(3):
        given = client.claim(40)
        commit(client, given, dict.fromkeys(crops_of(given)[:20], "reject"))
    until = time.monotonic() + 20
    while client.get("/api/progress")["order"] == "score" and time.monotonic() < until:
        time.sleep(0.05)

    assert client.get("/api/progress")["order"] == "learned from 120 decisions"


def test_a_crop_that_was_kept_by_mistake_is_worth_a_second_look(served: Serve, tmp_path: Path) -> None:
    """It can be asked for until somebody has looked at it again, whatever he says; an undo brings it back."""
    queue_told_by_score(tmp_path)
    page = served(tmp_path)
    client = page.client()
    doubted = keep_one_by_mistake(page)
    facets = client.get("/api/facets?verdict=doubted")
    (verdicts,) = (one["values"] for one in facets["facets"] if one["name"] == "verdict")
    assert ("worth a second look", 1) in [(one["title"], one["count"]) for one in verdicts]
    given = client.claim(60, "verdict=doubted")
    assert crops_of(given) == [doubted]
    body = operation("page", batch=given["batch"], marks={})

    client.post("/api/operations", body)
    assert crops_of(client.claim(60, "verdict=doubted")) == []
    client.post("/api/operations", operation("undo", undoes=body["id"]))
    client.post(f"/api/batches/{given['batch']}/release", {})

    assert crops_of(client.claim(60, "verdict=doubted")) == [doubted]
    assert client.get("/api/stats")["doubted"] == 1


def test_what_the_command_line_decides_is_seen_at_once(served: Serve) -> None:
    """The catalog is the memory, whoever writes to it."""
    page = served()
    client = page.client()
    crop = client.get("/api/bulk?least=0")["sample"][0]["crop"]
    other = Catalog(DataFolder(page.data).catalog)
    other.decide([make.decision(crop)])
    other.close()

    assert client.get("/api/progress")["left"] == 29


def test_eight_windows_at_once_get_different_crops(served: Serve, tmp_path: Path) -> None:
    """However they race."""
    queue(tmp_path, 200)
    page = served(tmp_path)
    given: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda number=number: given.append(crops_of(page.client(f"p{number}").claim(20))))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({crop for crops in given for crop in crops}) == 160


def test_the_whole_way_of_a_crop_is_told(served: Serve, tmp_path: Path) -> None:
    """Its image with every box, its post, its siblings and what was said."""
    folder = DataFolder(tmp_path)
    boxes = (make.box(), Box(left=400, top=50, width=90, height=90))
    pair = [
        face(folder, seed, image=1, box=box, family="f", post={"tags": ("solo",)}) for seed, box in enumerate(boxes)
    ]
    catalog = Catalog(folder.catalog)
    remember(catalog, put_originals(folder, pair))
    client = served(tmp_path).client()
    crop = pair[0].crop.sha256
    client.post("/api/operations", operation("single", crop=crop, verdict="reject"))

    told = client.get(f"/api/crops/{crop}")

    assert [(box["left"], box["this"]) for box in told["boxes"]].count((10, True)) == 1
    assert len(told["boxes"]) == 2
    assert told["post"]["tags"] == ["solo"]
    assert [one["crop"] for one in told["siblings"]] == [pair[1].crop.sha256]
    assert [(one["verdict"], one["undone"]) for one in told["history"]] == [("reject", False)]


def test_the_characters_of_boards_are_names(served: Serve, tmp_path: Path) -> None:
    """Other tags are not, where boards say which is which."""
    queue(tmp_path, 3, post={"tags": ("solo", "hatsune_miku"), "characters": ("hatsune_miku",)})
    client = served(tmp_path).client()

    assert [one["label"] for one in client.get("/api/labels?q=miku")["labels"]] == ["hatsune_miku"]
    assert client.get("/api/labels?q=solo")["labels"] == []


def test_any_tag_is_a_name_where_no_board_says_who_is_who(served: Serve, tmp_path: Path) -> None:
    """As of a folder with tags beside its pictures."""
    queue(tmp_path, 3, post={"tags": ("hatsune_miku",)})

    assert served(tmp_path).client().get("/api/labels?q=miku")["labels"][0]["count"] == 3


def test_a_page_that_was_taken_back_is_nobody_elses(served: Serve) -> None:
    """Until it is committed again, or its lease ends."""
    page = served()
    kim = page.client()
    body = operation("page", batch=(given := kim.claim(5))["batch"], marks={})
    kim.post("/api/operations", body)

    kim.post("/api/operations", operation("undo", undoes=body["id"]))

    assert not set(crops_of(given)) & set(crops_of(page.client("lee").claim(60)))


def test_the_pace_is_of_pages_that_stand(served: Serve) -> None:
    """The median of what a crop took, without what was taken back."""
    client = served().client()
    slow = operation("page", batch=client.claim(5)["batch"], marks={}, dwell_ms=500_000)
    client.post("/api/operations", slow)
    client.post("/api/operations", operation("undo", undoes=slow["id"]))

    client.post("/api/operations", operation("page", batch=client.claim(5)["batch"], marks={}, dwell_ms=5_000))

    assert client.get("/api/progress")["pace_per_hour"] == 3600


def test_a_clock_that_runs_ahead_makes_no_decision_of_tomorrow(served: Serve) -> None:
    """The server's time counts where a browser's lies in the future; an earlier one is believed: it was offline."""
    page = served()
    client = page.client()
    for at in ("2999-01-01T00:00:00Z", "2020-01-01T00:00:00Z"):
        client.post("/api/operations", {**operation("page", batch=client.claim(3)["batch"], marks={}), "at": at})

    times = sorted({one.decided_at for one in page.desk.catalog.all_decisions()})

    assert times[0] == datetime(2020, 1, 1, tzinfo=UTC)
    assert times[1] <= datetime.now(UTC)


def test_a_review_on_any_catalog(served: Serve, tmp_path: Path, catalog_url: str) -> None:
    """SQLite or PostgreSQL: pages, decisions, undo, and the same sent twice."""
    folder = DataFolder(tmp_path)
    catalog = Catalog(catalog_url)
    remember(catalog, put_originals(folder, [face(folder, seed) for seed in range(12)]))
    catalog.close()
    page = served(tmp_path, catalog_url=catalog_url)
    client = page.client()
    given = client.claim(6)
    body = operation("page", batch=given["batch"], marks={crops_of(given)[0]: "reject"})
    replayed = [client.post("/api/operations", body)["replay"] for _ in range(2)]
    stood = said(page)

    client.post("/api/operations", operation("undo", undoes=body["id"]))

    assert replayed == [False, True]
    assert list(stood.values()).count(Verdict.REJECT) == 1
    assert said(page) == {}
    assert len(page.desk.catalog.all_decisions()) == 12
