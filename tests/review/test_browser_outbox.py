"""What is done on the review page arrives once, whatever happens between: in a real browser."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Dialog, Page, Route, expect
from queued import queue
from review.browsing import (
    SETTINGS,
    SIZE,
    Open,
    Serve,
    ahead,
    batch,
    cells,
    commit,
    done,
    drafted,
    kill,
    marks,
    press,
    saved,
    shown,
    start,
    unsaved,
    until,
    verdicts,
    written,
)
from reviewing import operation

from pipeline.records import Verdict

OPERATIONS = "**/api/operations"


def cut(tab: Page) -> None:
    """Let nothing that is done reach the server."""
    tab.route(OPERATIONS, lambda route: route.abort())


def test_a_closed_tab_is_taken_up_by_the_next(served: Serve, opened: Open) -> None:
    """Its crops with their marks, though nothing was committed."""
    page = served()
    tab = opened(page.url)
    press(tab, "x", "ArrowRight", "u")
    before = cells(tab), marks(tab)
    drafted(tab)
    tab.close()

    other = opened(page.url, tab.context)

    assert (cells(other), marks(other)) == before
    assert verdicts(page) == {}


def test_a_page_that_was_committed_is_no_draft(served: Serve, opened: Open) -> None:
    """The next tab goes on after it, though the server does not know of it yet."""
    page = served()
    tab = opened(page.url)
    first = cells(tab)
    ahead(tab, 2)
    tab.context.route(OPERATIONS, lambda route: route.abort())
    commit(tab)
    tab.wait_for_timeout(600)
    tab.close()

    other = opened(page.url, tab.context)

    assert verdicts(page) == {}
    assert len(cells(other)) == 30 - SIZE
    assert not set(cells(other)) & set(first)


def test_who_goes_away_with_unsent_work_is_asked(served: Serve, browser: Browser) -> None:
    """By the browser, and only then."""
    page = served()
    context = browser.new_context()
    context.add_init_script(SETTINGS)
    tab = context.new_page()
    asked: list[str] = []

    def accept(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    tab.on("dialog", accept)
    tab.goto(page.url)
    shown(tab)
    ahead(tab, 2)  # what comes later is in no draft, and stays with a page that is gone
    press(tab, "x")
    drafted(tab)
    tab.reload()
    shown(tab)
    assert asked == []
    ahead(tab, 2)
    cut(tab)
    commit(tab)

    tab.reload()
    context.close()

    assert asked == ["beforeunload"]


def test_two_tabs_do_the_whole_queue_together(served: Serve, opened: Open, tmp_path: Path) -> None:
    """Each crop once; whoever has no more waits for the other."""
    queue(tmp_path, SIZE * 5)
    page = served(tmp_path)
    one = opened(page.url)
    two = opened(page.url, one.context)
    for tab in (one, two, one, two, one):
        tab.bring_to_front()
        if tab.locator(".sheet:visible").count():
            commit(tab)
    for tab in (one, two):
        tab.bring_to_front()
        saved(tab)

    assert len(page.desk.catalog.all_decisions()) == len(verdicts(page)) >= SIZE * 4


def test_a_server_killed_before_it_could_answer(opened: Open, tmp_path: Path) -> None:
    """It had written all down: what is sent again to the next one counts once."""
    queue(tmp_path / "data", SIZE * 2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first, url = start(tmp_path / "data", port)
    tab = opened(url)
    crops = cells(tab)
    ahead(tab, 2)
    answers: list[int] = []

    def answer(route: Route) -> None:
        if answers:
            route.continue_()
            return
        answers.append(route.fetch().status)
        kill(first)
        route.abort()

    tab.route(OPERATIONS, answer)
    press(tab, "x")
    commit(tab)
    unsaved(tab, "offline · 1 unsaved")
    second, _ = start(tmp_path / "data", port)
    saved(tab)
    kill(second)

    operations, said, rows = written(tmp_path / "data")
    assert answers == [200]
    assert (len(operations), len(said), rows) == (1, SIZE, SIZE)
    assert [crop for crop, verdict in said.items() if verdict is Verdict.REJECT] == crops[:1]


def test_what_was_done_offline_arrives_in_order(served: Serve, opened: Open, tmp_path: Path) -> None:
    """Pages that are there can be worked on, and the page says how much waits."""
    queue(tmp_path, SIZE * 4)
    page = served(tmp_path)
    tab = opened(page.url)
    ahead(tab, 3)
    tab.context.set_offline(offline=True)
    pages = []
    for count in (1, 2):
        pages.append(batch(tab))
        commit(tab)
        unsaved(tab, f"offline · {count} unsaved")
    assert verdicts(page) == {}

    tab.context.set_offline(offline=False)
    saved(tab)

    assert [one.batch for one in done(page)] == pages


def test_what_is_unsent_can_be_undone(served: Serve, opened: Open) -> None:
    """Both arrive, in order, and nothing of the page stands."""
    page = served()
    tab = opened(page.url)
    crops = cells(tab)
    ahead(tab, 2)
    cut(tab)
    press(tab, "x")
    commit(tab)
    press(tab, "Control+z")
    expect(tab.locator(f".cell[data-crop='{crops[0]}']")).to_have_count(1)
    shown(tab)
    assert (cells(tab), marks(tab)) == (crops, {0: "reject"})

    tab.unroute(OPERATIONS)
    saved(tab)

    assert [one.kind for one in page.desk.catalog.operations()] == ["undo", "page"]
    assert verdicts(page) == {}


def test_who_is_not_let_in_any_more_loses_nothing(served: Serve, opened: Open) -> None:
    """The start URL opens the door again, and what waited is sent."""
    page = served()
    tab = opened(page.url)
    ahead(tab, 2)
    tab.context.clear_cookies()
    commit(tab)
    expect(tab.locator("#banners")).to_contain_text("does not let this browser in")
    assert verdicts(page) == {}

    opened(page.url, tab.context)
    tab.bring_to_front()
    saved(tab)

    assert len(verdicts(page)) == SIZE
    expect(tab.locator("#banners [data-banner=locked]")).to_have_count(0)


def test_a_page_whose_lease_has_ended_counts(served: Serve, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever went to lunch has decided all the same; that it came late is written down."""
    monkeypatch.setattr("pipeline.review.desk.LEASE_S", 0.5)
    page = served()
    tab = opened(page.url)
    crops = cells(tab)
    ahead(tab, 2)
    tab.wait_for_timeout(700)
    others = page.client("lee").claim(30)
    assert {item["crop"] for item in others["items"]} >= set(crops)

    press(tab, "x")
    commit(tab)
    saved(tab)

    assert set(verdicts(page)) == set(crops)
    assert [one.late for one in done(page)] == [True]


@pytest.mark.parametrize(
    "broken",
    [
        "indexedDB.open = () => { throw new DOMException('none', 'SecurityError') }",
        "IDBObjectStore.prototype.add = () => { throw new DOMException('full', 'QuotaExceededError') }",
        "for (const way of ['add', 'put']) IDBObjectStore.prototype[way] = () => { throw new DOMException('full') }",
    ],
    ids=["no-database", "full", "full-for-drafts-too"],
)
def test_where_nothing_can_be_kept_enter_waits(served: Serve, opened: Open, broken: str) -> None:
    """For the server's answer: what is not on a disk somewhere is not done. A banner says so."""
    page = served()
    tab = opened(page.url, script=f"{SETTINGS}; {broken}")
    ahead(tab, 2)
    first = batch(tab)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    tab.route(OPERATIONS, hold)
    tab.wait_for_timeout(300)
    press(tab, "Enter")
    until(lambda: held, tab)
    tab.wait_for_timeout(500)
    assert batch(tab) == first
    expect(tab.locator("#banners")).to_contain_text("cannot keep decisions on its disk")
    unsaved(tab, "1 unsaved")

    held[0].continue_()
    expect(tab.locator(f".sheet[data-batch='{first}']")).to_have_count(0)
    saved(tab)

    assert len(page.desk.catalog.all_decisions()) == SIZE


def test_what_others_overtook_is_laid_aside(served: Serve, opened: Open) -> None:
    """The server refuses to accept what was not shown; it is told, and can be discarded."""
    page = served()
    tab = opened(page.url)
    press(tab, "b")
    tab.get_by_label("Score at least").fill("0")
    button = tab.get_by_role("button", name="Accept 30 crops")
    expect(button).to_be_visible()
    client = page.client("lee")
    client.post("/api/operations", operation("single", crop=cells(tab)[0], verdict="reject"))

    button.click()
    expect(tab.locator("#save")).to_have_attribute("data-state", "error")
    tab.get_by_role("button", name="Look at them").click()
    dialog = tab.locator("dialog[open]")
    expect(dialog).to_contain_text("look at them again")
    dialog.get_by_role("button", name="Discard").click()

    expect(tab.locator("#banners [data-banner=dead]")).to_have_count(0)
    saved(tab)
    assert len(verdicts(page)) == 1


def test_the_page_goes_on_while_the_server_is_busy(served: Serve, opened: Open) -> None:
    """It says that it tries again, and then that all is saved."""
    page = served()
    tab = opened(page.url)
    ahead(tab, 2)
    busy = True

    def answer(route: Route) -> None:
        if busy:
            route.fulfill(status=503, json={"error": "busy"})
        else:
            route.continue_()

    tab.route(OPERATIONS, answer)
    commit(tab)
    unsaved(tab, "1 unsaved, trying again")
    assert len(cells(tab)) == 30 - SIZE

    busy = False
    saved(tab)

    expect(tab.locator("#save .words")).to_have_text(re.compile("^saved$"))
    assert len(verdicts(page)) == SIZE
