"""The review page in a real browser, over a real server and a real catalog."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect
from queued import face, put_originals, queue, remember
from review.browsing import (
    SETTINGS,
    SIZE,
    Open,
    Serve,
    ahead,
    batch,
    cells,
    commit,
    drafted,
    hammer,
    saved,
    say,
    shown,
    start,
    turned,
    until,
    verdicts,
)

from pipeline.catalog import Catalog
from pipeline.folder import DataFolder
from pipeline.records import Reason, Verdict

HOSTILE = ("<script>window.hacked=1</script>", "\u202egnp.exe", "<img src=x onerror=window.hacked=1>", "a" * 10_000)


def marked(tab: Page, verdict: str) -> list[str]:
    found = tab.locator(f"[role=option][data-verdict={verdict}]:visible").all()
    return [str(cell.get_attribute("data-crop")) for cell in found]


# --- marks and pages --------------------------------------------------------------------------------------------------


def test_the_first_crop_has_the_focus(served: Serve, opened: Open) -> None:
    """So that keys act at once."""
    tab = opened(served().url)

    expect(tab.locator("[role=option]").first).to_be_focused()


def test_keys_mark_and_enter_commits(served: Serve, opened: Open) -> None:
    """X is no face, U is unsure, all others are faces."""
    page = served()
    tab = opened(page.url)
    crops = cells(tab)
    for key in ("x", "ArrowRight", "u", "End", "Space", "Home", "ArrowDown", "x", "x"):
        tab.keyboard.press(key)

    commit(tab)
    saved(tab)

    said = verdicts(page)
    assert set(said) == set(crops)
    assert [crop for crop in crops if said[crop] is Verdict.REJECT] == [crops[0], crops[-1]]
    assert [crop for crop in crops if said[crop] is Verdict.UNSURE] == [crops[1]]


def test_shift_marks_a_range(served: Serve, opened: Open) -> None:
    """From the last mark to where one goes."""
    tab = opened(served().url)
    tab.keyboard.press("x")
    for _ in range(3):
        tab.keyboard.press("Shift+ArrowRight")

    assert marked(tab, "reject") == cells(tab)[:4]


def test_a_click_marks_and_a_button_commits(served: Serve, opened: Open) -> None:
    """The mouse does what keys do, and the focus stays in the grid."""
    page = served()
    tab = opened(page.url)
    crops = cells(tab)
    tab.locator("[role=option]").nth(2).click()
    assert marked(tab, "reject") == [crops[2]]

    tab.wait_for_timeout(300)
    tab.locator("[data-action=commit]").click()
    until(lambda: len(verdicts(page)) == len(crops), tab)

    assert verdicts(page)[crops[2]] is Verdict.REJECT
    expect(tab.locator("[role=option]:focus")).to_have_count(1)


def test_a_tap_marks(served: Serve, opened: Open) -> None:
    """On a phone."""
    tab = opened(served().url, has_touch=True, viewport={"width": 390, "height": 844})

    tab.locator("[role=option]").nth(1).tap()

    assert marked(tab, "reject") == [cells(tab)[1]]


def test_fast_enter_skips_no_page(served: Serve, opened: Open, tmp_path: Path) -> None:
    """However fast the key is hit, each page is one operation, and no crop is left out."""
    queue(tmp_path, 150)
    page = served(tmp_path)
    tab = opened(page.url)
    hammer(tab, page, 4)
    committed = page.desk.catalog.operations()

    assert len({one.batch for one in committed}) == len(committed) >= 4
    seen = {
        item.crop for one in committed for item in (page.desk.catalog.batch(one.batch) or pytest.fail("lost")).items
    }
    assert set(verdicts(page)) == seen


def test_pictures_that_do_not_come_together_come_one_by_one(served: Serve, opened: Open, browser: Browser) -> None:
    """Whatever keeps the one answer away: the page is whole all the same."""
    context = browser.new_context()
    context.add_init_script(SETTINGS)
    context.route("**/pictures", lambda route: route.abort())
    tab = opened(served().url, context)

    wide = tab.evaluate("[...document.querySelectorAll('[role=option] img')].map((one) => one.naturalWidth)")

    context.close()
    assert len(wide) == SIZE
    assert min(wide) > 0


def test_a_page_asks_for_no_more_than_it_needs(served: Serve, opened: Open) -> None:
    """Modules of other views stay where they are, and what is fetched is fetched once."""
    tab = opened(served().url)

    asked = tab.evaluate(
        "performance.getEntriesByType('resource').map((one) => one.name).filter((one) => one.endsWith('.js'))"
    )

    assert len(asked) == len(set(asked))
    assert not [one for one in asked if one.endswith(("/stats.js", "/charts.js", "/label.js", "/combobox.js"))]


def test_a_held_enter_commits_one_page(served: Serve, opened: Open, tmp_path: Path) -> None:
    """A key that repeats by itself is no decision."""
    queue(tmp_path, 60)
    page = served(tmp_path)
    tab = opened(page.url)
    ahead(tab, 3)
    tab.wait_for_timeout(300)
    first = batch(tab)

    tab.keyboard.down("Enter")
    for _ in range(20):
        tab.keyboard.down("Enter")  # Playwright tells the page that these repeat
        tab.wait_for_timeout(30)
    tab.keyboard.up("Enter")
    turned(tab, first)
    saved(tab)

    assert [one.batch for one in page.desk.catalog.operations()] == [first]


def test_a_page_that_was_hardly_looked_at_is_asked_about_once(served: Serve, opened: Open, tmp_path: Path) -> None:
    """All good, in no time? A second Enter says so."""
    queue(tmp_path, 120)
    page = served(tmp_path)
    tab = opened(page.url, script=SETTINGS.replace(f"askQuick: false, pageSize: {SIZE}", "pageSize: 120"))
    tab.wait_for_timeout(300)
    tab.keyboard.press("Enter")
    expect(tab.get_by_text("really all good?").first).to_be_visible()
    assert verdicts(page) == {}

    tab.wait_for_timeout(300)
    tab.keyboard.press("Enter")
    until(lambda: len(verdicts(page)) == 120, tab)


def test_undo_goes_back_as_far_as_one_likes(served: Serve, opened: Open, tmp_path: Path) -> None:
    """Whole pages come back with their marks, also after a reload; and nothing of them stands."""
    queue(tmp_path, 100)
    page = served(tmp_path)
    tab = opened(page.url)
    pages = []
    for _ in range(3):
        tab.keyboard.press("x")
        pages.append((cells(tab), marked(tab, "reject")))
        commit(tab)
    saved(tab)
    tab.reload()
    shown(tab)

    for crops, rejected in reversed(pages):
        tab.keyboard.press("Control+z")
        expect(tab.locator(f"[role=option][data-crop='{crops[0]}']:visible")).to_have_count(1)
        shown(tab)
        assert (cells(tab), marked(tab, "reject")) == (crops, rejected)
    saved(tab)
    until(lambda: verdicts(page) == {}, tab)
    commit(tab)
    saved(tab)

    assert set(verdicts(page)) == set(pages[0][0])


def test_help_is_made_of_the_keys_that_act(served: Serve, opened: Open) -> None:
    """And no key acts behind it."""
    tab = opened(served().url)
    tab.keyboard.press("?")
    dialog = tab.locator("dialog[open]")
    expect(dialog).to_be_visible()
    tab.keyboard.press("x")

    for title in ("Commit the page", "Undo what was done last", "Unsure", "Where it was cut from"):
        expect(dialog.get_by_text(re.compile(title)).first).to_be_visible()
    tab.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert marked(tab, "reject") == []


def test_context_shows_the_whole_image(served: Serve, opened: Open) -> None:
    """With the box of the face."""
    tab = opened(served().url)
    tab.keyboard.press("c")
    dialog = tab.locator("dialog[open]")

    expect(dialog.locator("img[src*='/contexts/']").first).to_be_visible()
    expect(dialog.locator("svg").first).to_be_visible()


# --- nothing is lost --------------------------------------------------------------------------------------------------


def test_half_a_page_is_there_again_after_a_reload(served: Serve, opened: Open) -> None:
    """The same crops, with their marks."""
    tab = opened(served().url)
    tab.keyboard.press("x")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("u")
    before = cells(tab), marked(tab, "reject"), marked(tab, "unsure")
    drafted(tab)

    tab.reload()
    shown(tab)

    assert (cells(tab), marked(tab, "reject"), marked(tab, "unsure")) == before


def test_two_tabs_have_different_crops(served: Serve, opened: Open, tmp_path: Path) -> None:
    """And what both do counts once."""
    queue(tmp_path, 200)
    page = served(tmp_path)
    one = opened(page.url)
    other = opened(page.url, one.context)
    assert not set(cells(one)) & set(cells(other))

    for tab in (one, other):
        tab.bring_to_front()
        commit(tab)
        saved(tab)

    until(lambda: len(verdicts(page)) == 48, one)
    assert len(page.desk.catalog.all_decisions()) == 48


def test_an_answer_that_is_lost_costs_nothing(served: Serve, opened: Open) -> None:
    """The server has it, the page does not know: it is sent again, and counts once."""
    page = served()
    tab = opened(page.url)
    lost: list[int] = []

    def lose(route: Route) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(route.fetch().status)
            route.abort()

    tab.route("**/api/operations", lose)
    commit(tab)
    saved(tab)

    assert lost == [200]
    assert len(page.desk.catalog.all_decisions()) == 24


def test_a_busy_server_is_asked_again(served: Serve, opened: Open) -> None:
    """The page goes on meanwhile, and says what is not saved."""
    page = served()
    tab = opened(page.url)
    answers = iter([503] * 5)

    def busy(route: Route) -> None:
        status = next(answers, None)
        if status is None:
            route.continue_()
        else:
            route.fulfill(status=status, json={"error": "busy"})

    tab.route("**/api/operations", busy)
    commit(tab)
    expect(tab.locator("#save")).not_to_have_attribute("data-state", "saved")
    saved(tab)

    assert len(verdicts(page)) == 24


def test_a_line_that_is_down_comes_back(served: Serve, opened: Open, tmp_path: Path) -> None:
    """What was done meanwhile is sent then."""
    queue(tmp_path, 100)
    page = served(tmp_path)
    tab = opened(page.url)
    ahead(tab, 3)
    tab.context.set_offline(offline=True)
    commit(tab)
    assert verdicts(page) == {}

    tab.context.set_offline(offline=False)
    saved(tab)

    assert len(verdicts(page)) == 24


def test_a_server_that_is_killed_loses_nothing(opened: Open, tmp_path: Path) -> None:
    """Killed with work unsent, and started again on the same port: all arrives, once, without a reload."""
    queue(tmp_path / "data", 100)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first, url = start(tmp_path / "data", port)
    tab = opened(url)
    ahead(tab, 3)
    first.send_signal(signal.SIGKILL)
    first.wait()
    crops = cells(tab)
    tab.keyboard.press("x")
    commit(tab)
    expect(tab.locator("#save")).not_to_have_attribute("data-state", "saved")

    second, _ = start(tmp_path / "data", port)
    saved(tab)
    second.send_signal(signal.SIGINT)
    said = second.communicate(timeout=20)

    catalog = Catalog(DataFolder(tmp_path / "data").catalog)
    rows = catalog.all_decisions()
    catalog.close()
    assert sorted(one.crop_sha256 for one in rows) == sorted(crops)
    assert [one.crop_sha256 for one in rows if one.verdict is Verdict.REJECT] == crops[:1]
    assert "crops decided" in said[1]


def test_a_tab_that_was_closed_is_finished_by_the_next(served: Serve, opened: Open) -> None:
    """What it could not send any more lies in the browser."""
    page = served()
    tab = opened(page.url)
    tab.route("**/api/operations", lambda route: route.abort())
    commit(tab)
    assert verdicts(page) == {}
    context = tab.context
    tab.close(run_before_unload=False)

    saved(opened(page.url, context))

    assert len(verdicts(page)) == 24


def test_where_nothing_can_be_kept_the_page_waits(served: Serve, opened: Open, browser: Browser) -> None:
    """Without a database Enter waits for the server, and a banner says so."""
    page = served()
    context = browser.new_context()
    context.add_init_script(
        SETTINGS + "; indexedDB.open = () => { throw new DOMException('full', 'QuotaExceededError') }"
    )
    tab = opened(page.url, context)
    commit(tab)

    assert len(verdicts(page)) == 24
    expect(tab.locator("#banners")).not_to_be_empty()
    context.close()


def test_what_is_refused_for_good_is_shown(served: Serve, opened: Open) -> None:
    """It is not sent for ever, and can be taken along."""
    page = served()
    tab = opened(page.url)
    tab.route("**/api/operations", lambda route: route.fulfill(status=409, json={"error": "overtaken", "conflict": []}))
    commit(tab)

    tab.get_by_role("button", name="Look at them").click()
    dialog = tab.locator("dialog[open]")
    expect(dialog.get_by_text("overtaken")).to_be_visible()
    with tab.expect_download() as download:
        dialog.get_by_role("button", name="Download JSON").click()
    assert "overtaken" in download.value.path().read_text()


# --- filters, views, access -------------------------------------------------------------------------------------------


def test_a_rescue_changes_only_what_is_marked(served: Serve, opened: Open, tmp_path: Path) -> None:
    """Among crops that a filter dropped, K says that one is a face."""
    queue(tmp_path, 10, reason=Reason.LOW_SCORE)
    page = served(tmp_path)
    tab = opened(page.url, view="grid?reason=low_score")
    crops = cells(tab)
    tab.keyboard.press("k")
    tab.wait_for_timeout(300)
    tab.keyboard.press("Enter")
    until(lambda: verdicts(page), tab)
    saved(tab)

    assert verdicts(page) == {crops[0]: Verdict.KEEP}


def test_a_filter_stands_in_the_address(served: Serve, opened: Open, tmp_path: Path) -> None:
    """And going back takes it away again."""
    folder = DataFolder(tmp_path)
    faces = [
        face(folder, seed, agreed=seed % 2 == 0, post={"tags": ("even",) if seed % 2 == 0 else ()})
        for seed in range(20)
    ]
    catalog = Catalog(folder.catalog)
    remember(catalog, put_originals(folder, faces))
    page = served(tmp_path)
    tab = opened(page.url)
    tab.get_by_text("Seen by several detectors").first.click()
    tab.get_by_role("checkbox", name=re.compile("^yes")).first.check()
    expect(tab).to_have_url(re.compile("agreed=yes"))
    expect(tab.locator("[role=option][data-crop]:visible")).to_have_count(10)

    tab.go_back()

    expect(tab).not_to_have_url(re.compile("agreed=yes"))
    expect(tab.locator("[role=option][data-crop]:visible")).to_have_count(20)


def test_one_by_one(served: Serve, opened: Open) -> None:
    """K, X and U decide on one crop each."""
    page = served()
    tab = opened(page.url)
    tab.keyboard.press("s")
    expect(tab).to_have_url(re.compile("/single"))
    shown(tab)
    for number, key in enumerate(("k", "x", "u"), 1):
        say(tab, key)
        until(lambda number=number: len(verdicts(page)) == number, tab)

    assert sorted(str(one) for one in verdicts(page).values()) == ["keep", "reject", "unsure"]


@pytest.mark.parametrize("patient", [True, False])
def test_burns_names_charles_montgomery_burns(served: Serve, opened: Open, tmp_path: Path, patient: bool) -> None:
    """A part of a name is enough, whether one waits for the list or is quicker than it."""
    queue(tmp_path, 5, post={"tags": ("charles_montgomery_burns",), "characters": ("charles_montgomery_burns",)})
    page = served(tmp_path)
    client = page.client()
    given = client.claim(5)
    crop = given["items"][0]["crop"]
    client.post(
        "/api/operations",
        {"id": "a" * 36, "kind": "page", "batch": given["batch"], "at": "2026-01-01T00:00:00Z", "marks": {}},
    )
    tab = opened(page.url, view="label")
    tab.keyboard.press("/")
    tab.keyboard.type("burns")
    if patient:
        chosen = tab.get_by_role("option", name=re.compile("charles")).first
        expect(chosen).to_have_attribute("aria-selected", "true")
    tab.keyboard.press("Enter")
    until(lambda: any(one.label for one in page.desk.catalog.decisions().values()), tab)

    assert {one.label for one in page.desk.catalog.decisions().values()} == {None, "charles_montgomery_burns"}
    assert crop in verdicts(page)


def test_what_strangers_wrote_is_text(served: Serve, opened: Open, tmp_path: Path) -> None:
    """Tags, sources and labels: no script runs, and the page keeps its shape."""
    post = {"tags": HOSTILE, "artists": HOSTILE, "characters": HOSTILE, "page_url": "javascript:window.hacked=1"}
    queue(tmp_path, 5, post=post)
    page = served(tmp_path)
    client = page.client()
    crop = client.get("/api/bulk?least=0")["sample"][0]["crop"]
    for number, label in enumerate(HOSTILE[:3]):
        body = {"kind": "label", "at": "2026-01-01T00:00:00Z", "crops": [crop], "label": label}
        client.post("/api/operations", {"id": f"label-{number}-0000", **body})
    tab = opened(page.url)
    refused: list[str] = []
    tab.on("console", lambda message: refused.append(message.text) if "Content Security" in message.text else None)
    tab.keyboard.press("c")
    expect(tab.locator("dialog[open]").get_by_text("hacked=1").first).to_be_visible()
    for view in ("label", "stats", "grid?verdict=keep"):
        tab.goto(f"{page.url.split('/?')[0]}/{view}")
        shown(tab)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")

    assert tab.evaluate("window.hacked") is None
    assert tab.locator("a[href^='javascript']").count() == 0
    assert refused == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["grid", "single", "label?verdict=none", "stats"])
def test_axe_finds_nothing(served: Serve, opened: Open, view: str, scheme: str) -> None:
    """In any view, by day and by night."""
    page = served()
    tab = opened(page.url, view=view, color_scheme=scheme, reduced_motion="reduce")
    tab.wait_for_timeout(300)

    found = Axe().run(tab).response["violations"]

    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


@pytest.mark.parametrize(("width", "height"), [(390, 844), (640, 400)])
@pytest.mark.parametrize("view", ["grid", "single", "label?verdict=none", "stats"])
def test_nothing_is_cut_off_where_there_is_little_room(
    served: Serve, opened: Open, view: str, width: int, height: int
) -> None:
    """On a phone, and on a screen that is enlarged to 200 %."""
    page = served()
    tab = opened(page.url, view=view, viewport={"width": width, "height": height})

    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_a_crop_is_never_stretched(served: Serve, opened: Open) -> None:
    """It stays a square, on any screen, and the page does not jump when its pictures come."""
    tab = opened(served().url)

    sizes = tab.evaluate(
        "[...document.querySelectorAll('[role=option] img')].map((one) => [one.clientWidth, one.clientHeight])"
    )

    assert sizes
    assert all(abs(width - height) <= 1 for width, height in sizes)


@pytest.mark.parametrize(
    ("keys", "views"),
    [("s", "single"), ("l", "label"), ("t", "stats"), ("sg", "single grid"), ("tg", "stats grid")],
)
def test_a_letter_goes_to_each_view(served: Serve, opened: Open, keys: str, views: str) -> None:
    """From any other."""
    tab = opened(served().url)
    for key, view in zip(keys, views.split(), strict=True):
        tab.keyboard.press(key)
        expect(tab).to_have_url(re.compile(f"/{view}"))
        shown(tab)


def test_keys_are_letters_in_a_text_field(served: Serve, opened: Open) -> None:
    """Who types a tag marks nothing."""
    tab = opened(served().url)
    tab.get_by_text("Tags").first.click()
    field = tab.locator("#filters input[type=search], #filters input[type=text]").last
    field.click()
    tab.keyboard.type("xu")

    assert marked(tab, "reject") == marked(tab, "unsure") == []
    expect(field).to_have_value("xu")


def test_z_shows_the_pixels_as_they_are(served: Serve, opened: Open) -> None:
    """Each pixel of the crop is one of the screen, or a whole number of them."""
    tab = opened(served().url)
    tab.keyboard.press("z")
    picture = tab.locator("dialog[open] img").first
    expect(picture).to_be_visible()
    until(lambda: picture.evaluate("(one) => one.complete && one.naturalWidth"), tab)

    ratio = picture.evaluate("(one) => one.clientWidth / one.naturalWidth")

    assert ratio == int(ratio)


def test_two_people_have_different_crops(served: Serve, opened: Open, tmp_path: Path) -> None:
    """Each in a browser of his own; who said what is remembered."""
    queue(tmp_path, 200)
    page = served(tmp_path)
    kim, lee = (
        opened(page.url, script=f"{SETTINGS}; localStorage.setItem('kaoset.reviewer', '{name}')")
        for name in ("kim", "lee")
    )
    assert not set(cells(kim)) & set(cells(lee))

    for tab in (kim, lee):
        commit(tab)
        saved(tab)

    until(lambda: len(verdicts(page)) == 48, kim)
    assert {one.reviewer for one in page.desk.catalog.decisions().values()} == {"kim", "lee"}
