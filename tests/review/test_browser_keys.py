"""Keys, mouse and touch on the review page, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
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
    focused,
    hammer,
    marks,
    press,
    saved,
    shown,
    turned,
    until,
    verdicts,
)

from pipeline.records import Verdict


def test_keys_move_the_focus(served: Serve, opened: Open) -> None:
    """By columns and rows; at an edge it stays."""
    tab = opened(served().url)
    across = int(tab.evaluate("() => document.querySelector('.sheet').style.getPropertyValue('--columns')"))
    last = SIZE - 1
    moves = [
        ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("ArrowDown", 1 + across), ("ArrowUp", 1),
        ("ArrowUp", 1), ("End", last), ("ArrowRight", last), ("ArrowDown", last),
        ("Home", 0), ("ArrowLeft", 0), ("ArrowUp", 0),
    ]  # fmt: skip

    went = []
    for key, _ in moves:
        press(tab, key)
        went.append(focused(tab))

    assert went == [place for _, place in moves]


def test_page_down_goes_some_rows(served: Serve, opened: Open) -> None:
    """And page up goes back."""
    tab = opened(served().url)
    across = int(tab.evaluate("() => document.querySelector('.sheet').style.getPropertyValue('--columns')"))

    press(tab, "PageDown")
    down = focused(tab)
    press(tab, "PageUp")

    assert down >= across
    assert focused(tab) == 0


MARKING: tuple[tuple[tuple[str, ...], dict[int, str]], ...] = (
    (("Space",), {0: "reject"}),
    (("Space", "Space"), {}),
    (("x",), {0: "reject"}),
    (("x", "x"), {}),
    (("u",), {0: "unsure"}),
    (("u", "x"), {0: "reject"}),
    (("x", "u", "u"), {}),
    (("k",), {0: "keep"}),
    (("Shift+ArrowRight", "Shift+ArrowRight"), dict.fromkeys(range(3), "reject")),
    (("Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowLeft"), dict.fromkeys(range(2), "reject")),
    (("Shift+ArrowRight", "u"), dict.fromkeys(range(2), "unsure")),
    (("x", "ArrowRight", "ArrowRight", "ArrowRight", "Shift+Space"), dict.fromkeys(range(4), "reject")),
    (("Control+a",), dict.fromkeys(range(SIZE), "reject")),
    (("Control+a", "Control+a"), {}),
    (("ArrowRight", "X"), {1: "reject"}),  # as caps lock makes it
)


def test_keys_mark(served: Serve, opened: Open) -> None:
    """Each as the table says; the same again takes it back."""
    tab = opened(served().url)
    marked = []
    for keys, _ in MARKING:
        press(tab, "Home", *keys)
        marked.append((keys, marks(tab)))
        while marks(tab):
            press(tab, "Control+a")

    assert marked == list(MARKING)


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("z", "The crop at 100 %"),
        ("c", "Where it comes from"),
        ("b", "Accept many at once"),
        ("?", "Keys"),
    ],
)
def test_a_key_opens_a_dialog_and_escape_closes_it(served: Serve, opened: Open, key: str, title: str) -> None:
    """Then the focus is where it was."""
    tab = opened(served().url)
    press(tab, "ArrowRight", key)
    expect(tab.locator("dialog[open] h2")).to_have_text(title)

    press(tab, "Escape")

    expect(tab.locator("dialog")).to_have_count(0)
    assert focused(tab) == 1
    assert marks(tab) == {}


@pytest.mark.parametrize("key", ["z", "c"])
def test_the_key_that_opened_a_dialog_closes_it(served: Serve, opened: Open, key: str) -> None:
    """So that a look costs two strokes of one finger."""
    tab = opened(served().url)
    press(tab, key)
    expect(tab.locator("dialog[open] img").first).to_be_visible()

    press(tab, key)

    expect(tab.locator("dialog")).to_have_count(0)


def test_i_shows_scores(served: Serve, opened: Open) -> None:
    """Under the crops, and again hides them."""
    tab = opened(served().url)
    caption = tab.locator(".cell .caption").first
    expect(caption).to_be_hidden()
    press(tab, "i")
    expect(caption).to_be_visible()

    press(tab, "i")

    expect(caption).to_be_hidden()


def test_a_slash_goes_to_the_filters(served: Serve, opened: Open) -> None:
    """And Escape closes them."""
    tab = opened(served().url)
    press(tab, "/")
    expect(tab.locator("#filters :focus")).to_have_count(1)

    press(tab, "Escape")

    expect(tab.locator("#filters")).to_be_hidden()


def test_help_lists_the_table_of_keys(served: Serve, opened: Open) -> None:
    """Every action of this view with its keys, and nothing else."""
    tab = opened(served().url)
    press(tab, "?")
    expect(tab.locator("dialog[open]")).to_be_visible()
    table = tab.evaluate(
        "() => import('/static/keys.js').then(({actionsHere, keysOf, shown}) => actionsHere().map((one) => "
        "[one.title, keysOf(one).length > 3 ? [] : keysOf(one).map(shown)]))"
    )

    listed = tab.evaluate(
        "() => [...document.querySelectorAll('dialog[open] dd')].map((one) => "
        "[one.textContent, [...one.previousElementSibling.querySelectorAll('kbd')].map((key) => key.textContent)])"
    )

    assert len(listed) > 20
    assert sorted(title for title, _ in listed) == sorted(title for title, _ in table)
    assert {title: keys for title, keys in listed if len(keys) <= 2} | {t: k for t, k in table if not k} == dict(table)


def test_a_key_can_be_another(served: Serve, opened: Open) -> None:
    """It is kept over a reload, and the one of before does nothing then."""
    tab = opened(served().url)
    tab.locator("#who").click()
    tab.locator("[data-key-of=reject]").click()
    press(tab, "j")
    press(tab, "Escape")
    tab.reload()
    shown(tab)

    press(tab, "x", "ArrowRight", "j")

    assert marks(tab) == {1: "reject"}


def test_letters_can_be_switched_off(served: Serve, opened: Open) -> None:
    """For machines that send them unasked; the other keys still act."""
    tab = opened(served().url, script=SETTINGS.replace("askQuick", "letters: false, askQuick"))

    press(tab, "x", "ArrowRight", "Space")

    assert marks(tab) == {1: "reject"}


def test_a_right_click_opens_a_menu(served: Serve, opened: Open) -> None:
    """Of what can be said of the crop; arrows go through it."""
    tab = opened(served().url)
    tab.locator(".cell").nth(3).click(button="right")
    expect(tab.get_by_role("menuitem").first).to_be_focused()

    press(tab, "ArrowDown", "Enter")

    expect(tab.get_by_role("menu")).to_have_count(0)
    assert marks(tab) == {3: "unsure"}
    assert focused(tab) == 3


def test_shift_and_click_marks_a_row(served: Serve, opened: Open) -> None:
    """From the last click."""
    tab = opened(served().url)
    tab.locator(".cell").nth(2).click()

    tab.locator(".cell").nth(5).click(modifiers=["Shift"])

    assert marks(tab) == dict.fromkeys(range(2, 6), "reject")


def test_a_long_press_opens_the_menu_and_marks_nothing(served: Serve, opened: Open) -> None:
    """On a touch screen, where there is no right button."""
    tab = opened(served().url, has_touch=True)
    box = tab.locator(".cell").nth(1).bounding_box() or pytest.fail("no cell")
    finger = tab.context.new_cdp_session(tab)
    point = {"x": box["x"] + 20, "y": box["y"] + 20}
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    expect(tab.get_by_role("menu")).to_be_visible()

    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    tab.wait_for_timeout(200)

    expect(tab.get_by_role("menu")).to_be_visible()
    assert marks(tab) == {}


def test_the_buttons_commit_and_undo(served: Serve, opened: Open) -> None:
    """All can be done without a keyboard."""
    page = served()
    tab = opened(page.url)
    crops = cells(tab)
    tab.locator(".cell").nth(1).click()
    tab.wait_for_timeout(300)
    tab.locator("[data-action=commit]").click()
    until(lambda: verdicts(page).get(crops[1]) is Verdict.REJECT, tab)
    shown(tab)

    tab.locator("[data-action=undo]").click()
    until(lambda: verdicts(page) == {}, tab)

    expect(tab.locator(f".cell[data-crop='{crops[0]}']")).to_have_count(1)
    assert (cells(tab), marks(tab)) == (crops, {1: "reject"})


def test_fast_enter_commits_what_was_shown(served: Serve, opened: Open, tmp_path: Path) -> None:
    """Each page that was there, in that order, once, and none between."""
    queue(tmp_path, SIZE * 4)
    page = served(tmp_path)
    tab = opened(page.url)
    tab.evaluate(
        "() => { const sheet = document.querySelector('.sheet'); window.pages = [sheet.dataset.batch];"
        "new MutationObserver(() => { if (pages.at(-1) !== sheet.dataset.batch) pages.push(sheet.dataset.batch); })"
        ".observe(sheet, {attributes: true, attributeFilter: ['data-batch']}); }"
    )

    hammer(tab, page, 3)

    committed = [one.batch for one in done(page)]
    assert len(committed) >= 3
    assert committed == tab.evaluate("() => pages")[: len(committed)]
    assert len(page.desk.catalog.all_decisions()) == len(verdicts(page)) == SIZE * len(committed)


def test_two_enters_commit_one_page(served: Serve, opened: Open, tmp_path: Path) -> None:
    """The second was meant for the same page, which nobody has seen the next of."""
    queue(tmp_path, SIZE * 3)
    page = served(tmp_path)
    tab = opened(page.url)
    ahead(tab, 3)
    tab.wait_for_timeout(300)
    first = batch(tab)

    press(tab, "Enter", "Enter")
    turned(tab, first)
    saved(tab)

    assert [one.batch for one in done(page)] == [first]


@pytest.mark.parametrize("key", ["Control+z", "Backspace"])
def test_a_page_comes_back_with_its_marks(served: Serve, opened: Open, key: str) -> None:
    """What is changed then is what stands."""
    page = served()
    tab = opened(page.url)
    crops = cells(tab)
    press(tab, "x", "ArrowRight", "u")
    commit(tab)
    press(tab, key)
    expect(tab.locator(f".cell[data-crop='{crops[0]}']")).to_have_count(1)
    shown(tab)
    assert (cells(tab), marks(tab)) == (crops, {0: "reject", 1: "unsure"})

    press(tab, "Home", "x", "End", "x")
    commit(tab)
    saved(tab)

    said = verdicts(page)
    assert (said[crops[0]], said[crops[1]], said[crops[-1]]) == (Verdict.KEEP, Verdict.UNSURE, Verdict.REJECT)
    assert set(said) == set(crops)
    assert [one.kind for one in page.desk.catalog.operations()] == ["page", "undo", "page"]


def test_undo_and_enter_go_back_and_forth(served: Serve, opened: Open, tmp_path: Path) -> None:
    """Three pages back, and three pages on: all is as it was."""
    queue(tmp_path, SIZE * 4)
    page = served(tmp_path)
    tab = opened(page.url)
    for place in range(3):
        tab.locator(".cell").nth(place).click()
        commit(tab)
    saved(tab)
    before = verdicts(page)
    for _ in range(3):
        shown_before = batch(tab)
        press(tab, "Control+z")
        expect(tab.locator(f".sheet[data-batch='{shown_before}']")).to_have_count(0)
        shown(tab)
    saved(tab)
    assert verdicts(page) == {}

    for _ in range(3):
        commit(tab)
    saved(tab)

    assert verdicts(page) == before
    assert list(before.values()).count(Verdict.REJECT) == 3


def test_many_are_accepted_and_taken_back_at_once(served: Serve, opened: Open) -> None:
    """By score, after a look at some of them; one undo takes back all."""
    page = served()
    tab = opened(page.url)
    press(tab, "b")
    tab.get_by_label("Score at least").fill("0")
    tab.get_by_role("button", name="Accept 30 crops").click()
    until(lambda: len(verdicts(page)) == 30, tab)
    expect(tab.locator(".ending")).to_be_visible()

    press(tab, "Control+z")
    until(lambda: verdicts(page) == {}, tab)

    expect(tab.locator("#notes")).to_contain_text(re.compile("Taken back: 30 crops"))
