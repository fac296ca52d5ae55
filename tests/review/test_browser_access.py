"""The review page's other views, its filters, and who can use it: in a real browser."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from queued import face, put_originals, queue, queue_told_by_score, remember
from review.browsing import (
    SETTINGS,
    SIZE,
    Open,
    Serve,
    batch,
    cells,
    commit,
    current,
    done,
    marks,
    named,
    narrow,
    press,
    root,
    saved,
    say,
    shown,
    turned,
    until,
    verdicts,
    visit,
)
from reviewing import Served, keep_one_by_mistake, operation

from pipeline.catalog import Catalog
from pipeline.folder import DataFolder
from pipeline.records import Reason, Verdict

BURNS = "charles_montgomery_burns"
HOSTILE = (
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "\u202egnp.exe",
    "&lt;b&gt;\u0000\u2028",
    "W" * 10_000,
)
VIEWS = ("grid", "single", "label?verdict=none", "stats")
KEPT = "verdict=keep&label="


def labels(page: Served) -> list[str]:
    """List the labels that stand, in order."""
    return sorted(one.label for one in page.desk.catalog.decisions().values() if one.label)


def keep_all(page: Served) -> None:
    """Say of everything that it is a face."""
    client = page.client()
    given = client.claim(100)
    client.post("/api/operations", operation("page", batch=given["batch"], marks={}))


# --- filters ----------------------------------------------------------------------------------------------------------


def test_filters_count_what_they_would_show(served: Serve, opened: Open, tmp_path: Path) -> None:
    """The panel, the crops and the address say the same; going back, and clearing, take it back."""
    folder = DataFolder(tmp_path)
    faces = [face(folder, seed, agreed=seed % 4 == 0) for seed in range(20)]
    catalog = Catalog(folder.catalog)
    remember(catalog, put_originals(folder, faces))
    catalog.close()
    tab = opened(served(tmp_path).url)
    tab.locator("[data-facet=agreed] summary").click()
    line = tab.locator("[data-facet=agreed] li", has=tab.locator("[data-key='agreed=yes']"))
    expect(line.locator(".count")).to_have_text("5")

    line.locator("input").check()

    expect(tab).to_have_url(re.compile(r"\?agreed=yes$"))
    expect(tab.locator(".cell")).to_have_count(5)
    expect(tab.locator(".matching")).to_have_text("5 of 20 crops")
    tab.get_by_role("button", name="Clear all filters").click()
    expect(tab.locator(".cell")).to_have_count(20)
    tab.go_back()
    expect(tab.locator(".cell")).to_have_count(5)


def test_other_filters_find_what_the_page_before_gives_back(served: Serve, opened: Open) -> None:
    """However long that is on its way: crops that nobody looks at any more are not somebody else's."""
    tab = opened(served().url)
    crops, before = cells(tab), batch(tab)
    tab.route("**/release", lambda route: (time.sleep(0.8), route.continue_()))

    tab.evaluate("history.pushState(null, '', '?agreed=yes&agreed=no'); dispatchEvent(new Event('popstate'))")

    turned(tab, before)
    expect(tab.locator(".sheet")).to_be_visible()
    assert len({*cells(tab)} & {*crops}) > SIZE / 2  # not all: a known false one stands elsewhere each time


def test_filters_that_cannot_be_read_are_told(served: Serve, opened: Open) -> None:
    """And a button leads out."""
    page = served()
    tab = opened(page.url, view="grid?score=much")
    expect(tab.get_by_role("heading", name="These filters cannot be read")).to_be_visible()

    tab.locator(".ending").get_by_role("button", name="Clear all filters").click()

    expect(tab.locator(".cell")).to_have_count(SIZE)


def test_a_rescue_is_told_from_a_review(served: Serve, opened: Open, tmp_path: Path) -> None:
    """The page says that silence changes nothing; Space and a click mean a face there, and what is left is left."""
    queue(tmp_path, 10, reason=Reason.LOW_SCORE)
    page = served(tmp_path)
    tab = opened(page.url, view="grid?reason=low_score")
    crops = cells(tab)
    expect(tab.locator("#lead")).to_contain_text("Nothing changes but what you mark")
    press(tab, "Space", "End", "u")
    tab.locator(".cell").nth(2).click()
    assert marks(tab) == {0: "keep", 2: "keep", 9: "unsure"}

    commit(tab)
    saved(tab)

    assert verdicts(page) == {crops[0]: Verdict.KEEP, crops[2]: Verdict.KEEP, crops[9]: Verdict.UNSURE}


def test_a_crop_that_was_kept_by_mistake_is_found_again(served: Serve, opened: Open, tmp_path: Path) -> None:
    """The statistics lead to it; what is said then counts, and can be taken back."""
    queue_told_by_score(tmp_path)
    page = served(tmp_path)
    doubted = keep_one_by_mistake(page)
    tab = opened(page.url, view="stats")
    tab.get_by_role("link", name="Look at it again").click()
    expect(tab).to_have_url(re.compile(r"/grid\?verdict=doubted$"))
    expect(tab.locator(".cell")).to_have_count(1)
    shown(tab)
    expect(tab.locator("#filters li", has_text="worth a second look").locator(".count")).to_have_text("1")
    press(tab, "x")

    commit(tab)
    saved(tab)
    assert verdicts(page)[doubted] is Verdict.REJECT
    expect(tab.get_by_role("heading", name="Nothing is left here")).to_be_visible()
    press(tab, "Control+z")
    saved(tab)

    until(lambda: verdicts(page)[doubted] is Verdict.KEEP, tab)


def test_silence_keeps_what_was_kept(served: Serve, opened: Open, tmp_path: Path) -> None:
    """Also where a rule has accepted it meanwhile; each is shown once."""
    queue(tmp_path, SIZE + 6, reason=None)
    page = served(tmp_path)
    client = page.client()
    given = client.claim(100, "reason=accepted")
    client.post(f"/api/batches/{given['batch']}/release", {})
    crops = [item["crop"] for item in given["items"]]
    for crop in crops:
        client.post("/api/operations", operation("single", crop=crop, verdict="keep"))
    tab = opened(page.url, view="grid?verdict=keep")
    expect(tab.locator("#lead")).to_contain_text("All are faces but those you mark")
    seen = cells(tab)

    commit(tab)
    seen += cells(tab)
    commit(tab)
    saved(tab)

    assert sorted(seen) == sorted(crops)
    assert len(done(page)) == 2
    assert set(verdicts(page).values()) == {Verdict.KEEP}


# --- one by one, labels, statistics -----------------------------------------------------------------------------------


def test_each_key_decides_on_one_crop(served: Serve, opened: Open) -> None:
    """K is a face, X is none, U is unsure; the next comes by itself."""
    page = served()
    tab = opened(page.url, view="single")

    said = {say(tab, key): verdict for key, verdict in (("k", "keep"), ("x", "reject"), ("u", "unsure"))}
    saved(tab)

    assert verdicts(page) == {crop: Verdict(verdict) for crop, verdict in said.items()}


def test_arrows_go_back_and_forth_between_crops(served: Serve, opened: Open) -> None:
    """What was said is shown, and can be said otherwise."""
    page = served()
    tab = opened(page.url, view="single")
    first = say(tab, "k")
    second = current(tab)
    say(tab, "ArrowLeft")
    assert current(tab) == first
    expect(tab.locator("#lead")).to_contain_text("Decided: a face")
    say(tab, "x")
    assert current(tab) == second

    say(tab, "ArrowRight")
    saved(tab)

    assert current(tab) not in (first, second)
    assert verdicts(page) == {first: Verdict.REJECT}


def test_any_of_the_last_decisions_can_be_undone(served: Serve, opened: Open) -> None:
    """The last one by a key, another by its button."""
    page = served()
    tab = opened(page.url, view="single")
    one, two, three = (say(tab, key) for key in "kxu")

    say(tab, "Control+z")
    assert current(tab) == three
    tab.locator(".lasts").get_by_role("button", name="Undo: ✓ a face").click()
    until(lambda: verdicts(page) == {two: Verdict.REJECT}, tab)

    expect(tab.locator(f"img.crop.large[data-crop='{one}']")).to_be_visible()


def test_a_name_is_given_by_typing_by_number_and_again(served: Serve, opened: Open, tmp_path: Path) -> None:
    """A part of a name finds it; 1 is the last name, and so is the full stop."""
    queue(tmp_path, 8, post={"tags": (BURNS, "lisa_simpson"), "characters": (BURNS, "lisa_simpson")})
    page = served(tmp_path)
    keep_all(page)
    tab = opened(page.url, view="label")
    press(tab, "/")
    tab.keyboard.type("burns")
    expect(tab.get_by_role("option", name=re.compile("charles")).first).to_have_attribute("aria-selected", "true")
    say(tab, "Enter")
    until(lambda: labels(page) == [BURNS], tab)
    press(tab, "Escape")

    say(tab, "1")
    say(tab, ".")
    saved(tab)

    assert labels(page) == [BURNS] * 3
    assert set(verdicts(page).values()) == {Verdict.KEEP}


def test_a_new_name_and_nobody_known(served: Serve, opened: Open) -> None:
    """What no board says can be typed whole; a label is taken back alone, and the verdict stays."""
    page = served()
    keep_all(page)
    tab = opened(page.url, view="label")
    press(tab, "/")
    tab.keyboard.type("new name")
    say(tab, "Shift+Enter")
    press(tab, "Escape")
    say(tab, "n")
    saved(tab)
    assert labels(page) == ["new_name", "unknown"]

    say(tab, "Control+z")
    saved(tab)

    assert labels(page) == ["new_name"]
    assert len(verdicts(page)) == 30


def test_statistics_are_numbers_and_tables(served: Serve, opened: Open) -> None:
    """Each chart can be read as a table."""
    page = served()
    client = page.client()
    given = client.claim(20)
    crops = [item["crop"] for item in given["items"]]
    body = operation("page", batch=given["batch"], marks=dict.fromkeys(crops[:3], "reject"), dwell_ms=10_000)
    client.post("/api/operations", body)
    tab = opened(page.url, view="stats")

    figures = dict(
        zip(tab.locator(".figures dt").all_inner_texts(), tab.locator(".figures dd").all_inner_texts(), strict=True)
    )
    tables = tab.locator("figure details table").count()
    tab.locator("figure summary").first.click()

    assert {figures[name] for name in ("decided",)} == {"20"}
    assert (figures["a face"], figures["no face"], figures["left in the queue"]) == ("17", "3", "10")
    assert tables == tab.locator("figure").count() >= 4
    rows = [row.split("\t")[1:] for row in tab.locator("figure table").first.locator("tbody tr").all_inner_texts()]
    assert sum(int(number) for row in rows for number in row) == 30


# --- strangers --------------------------------------------------------------------------------------------------------


def test_names_of_strangers_are_text_everywhere(served: Serve, opened: Open, tmp_path: Path) -> None:
    """Tags, labels and a reviewer: no script runs, nothing is refused by the policy, and the page keeps its shape."""
    queue(tmp_path, 12, post={"tags": HOSTILE, "artists": HOSTILE, "characters": HOSTILE})
    page = served(tmp_path)
    client = page.client()
    for item, label in zip(client.get("/api/bulk?least=0")["sample"], (*HOSTILE[:4], "W" * 200), strict=False):
        client.post("/api/operations", operation("label", crops=[item["crop"]], label=label))
    watch = (
        "addEventListener('securitypolicyviolation', (one) => { (window.refused ??= []).push(one.violatedDirective) })"
    )
    known = "grid?verdict=keep&verdict=none&reason=waiting&reason=accepted"
    script = f"{named(HOSTILE[1] + HOSTILE[2] + 'W' * 2000)}; {watch}"
    tab = opened(page.url, script=script, view=known)
    outcome = {}
    for view in (
        known,
        "label?verdict=none",
        "single",
        "stats",
    ):
        visit(tab, f"{root(page)}/{view}")
        if view.startswith("grid"):
            tab.locator("[data-facet=tag] summary").click()
            expect(tab.locator("[data-facet=tag]").get_by_text(HOSTILE[0])).to_be_visible()
            tab.locator("[data-facet=label] summary").click()
            boxes = {
                (round(box["width"]), round(box["height"]))
                for cell in tab.locator(".cell").all()
                if (box := cell.bounding_box())
            }
            assert len(boxes) == 1
        if view.startswith("label"):
            press(tab, "/")
            tab.keyboard.type("w")
            expect(tab.get_by_role("option").first).to_be_visible()
        outcome[view] = (narrow(tab), tab.evaluate("() => [window.hacked, window.refused]"))
        tab.locator("[data-view-link=stats]").click()  # gives back what it has taken
        expect(tab).to_have_url(re.compile("/stats"))
        shown(tab)

    assert set(map(json.dumps, outcome.values())) == {json.dumps((True, [None, None]))}
    assert tab.locator(".top").evaluate("(one) => one.scrollWidth <= innerWidth")


# --- access -----------------------------------------------------------------------------------------------------------


def look(tab: Page, name: str) -> list[tuple[str, str, str]]:
    """Let axe look at the page as it is."""
    found = Axe().run(tab).response["violations"]
    return [(name, one["id"], one["nodes"][0]["html"][:200]) for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["single", "label?verdict=none"])
def test_axe_finds_nothing_beside_a_crop(served: Serve, opened: Open, view: str, scheme: str) -> None:
    """Where one is looked at, and the whole image stands beside it."""
    room = {"width": 1600, "height": 900}  # labels have no place for it on a smaller screen
    tab = opened(served().url, view=view, color_scheme=scheme, reduced_motion="reduce", viewport=room)
    expect(tab.locator(".whole img")).to_be_visible()
    tab.wait_for_timeout(300)

    assert look(tab, view) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_dialogs(served: Serve, opened: Open, scheme: str) -> None:
    """Nor in the menu, the filters, and where nothing is left."""
    page = served()
    tab = opened(page.url, color_scheme=scheme, reduced_motion="reduce")
    found = []
    for key, wait in (("?", "kbd"), ("c", ".whole img"), ("z", "img"), ("b", ".preview img")):
        press(tab, key)
        if key == "b":
            tab.get_by_label("Score at least").fill("0")
        expect(tab.locator(f"dialog[open] {wait}").first).to_be_visible()
        found += look(tab, key)
        press(tab, "Escape")
        expect(tab.locator("dialog")).to_have_count(0)
    tab.locator("#who").click()
    found += look(tab, "settings")
    press(tab, "Escape")
    press(tab, "x", "ArrowRight", "u", "ArrowRight", "k", "i")
    tab.locator(".cell").first.click(button="right")
    found += look(tab, "menu, marks and scores")
    press(tab, "Escape")
    visit(tab, f"{root(page)}/grid?reason=waiting&verdict=reject")
    found += look(tab, "ending")

    assert found == []


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_moves_for_who_wants_no_motion(served: Serve, opened: Open, view: str) -> None:
    """Neither transitions nor animations."""
    page = served()
    tab = opened(page.url, reduced_motion="reduce", view=view)
    press(tab, "?")

    moving = tab.evaluate(
        "() => [...document.querySelectorAll('*')].filter((one) => { const style = getComputedStyle(one);"
        "return `${style.transitionDuration}, ${style.animationDuration}`.split(', ').some((time) => parseFloat(time));"
        "}).map((one) => one.outerHTML.slice(0, 80))"
    )

    assert moving == []
    assert tab.evaluate("() => document.getAnimations().length") == 0


def test_a_screen_reader_is_told_what_is_marked(served: Serve, opened: Open) -> None:
    """A list of options, some of them chosen, each with words; one of them is reached by Tab."""
    tab = opened(served().url)
    press(tab, "x", "ArrowRight", "u")
    grid = tab.get_by_role("listbox", name="Crops of this page")

    expect(grid).to_have_attribute("aria-multiselectable", "true")
    expect(grid.get_by_role("option", selected=True)).to_have_count(2)
    expect(grid.get_by_role("option", selected=False)).to_have_count(SIZE - 2)
    expect(grid.get_by_role("option", name=re.compile("crop 1 of 24, score .* no face"))).to_have_count(1)
    expect(grid.get_by_role("option", name=re.compile("crop 2 of 24, score .* unsure"))).to_have_count(1)
    expect(grid.locator("[tabindex='0']")).to_have_count(1)


def test_a_screen_reader_is_told_what_was_saved(served: Serve, opened: Open) -> None:
    """In a place that is read out, and never interrupts."""
    tab = opened(served().url)
    press(tab, "x")

    commit(tab)

    expect(tab.locator("#status[role=status]")).to_have_text("24 crops saved, 1 rejected")


@pytest.mark.parametrize(
    "room",
    [
        {"viewport": {"width": 390, "height": 844}, "has_touch": True},
        {"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2},
    ],
    ids=["phone", "200-percent"],
)
def test_dialogs_fit_where_there_is_little_room(served: Serve, opened: Open, room: dict[str, object]) -> None:
    """Neither they nor the page are scrolled sideways, and they can be closed."""
    tab = opened(served().url, **room)
    wide = []
    for name in ("?", "c", "z", "b", "who"):
        if name == "who":
            tab.locator("#who").click()
        else:
            press(tab, name)
        dialog = tab.locator("dialog[open]")
        expect(dialog).to_be_visible()
        tab.wait_for_timeout(200)
        fits = dialog.evaluate(
            "(one) => one.scrollWidth <= one.clientWidth && one.getBoundingClientRect().right <= innerWidth"
        )
        wide += [] if fits and narrow(tab) else [name]
        dialog.get_by_role("button", name="Close", exact=True).click()
        expect(tab.locator("dialog")).to_have_count(0)
    tab.locator("button.filters").click()
    expect(tab.locator("#filters")).to_be_visible()

    assert wide == []
    assert narrow(tab)


def test_a_page_without_a_word_fits_and_is_square(served: Serve, opened: Open) -> None:
    """A cell is as large as its picture, and all are the same, with scores and without."""
    tab = opened(served().url, script=SETTINGS.replace("askQuick", "captions: true, askQuick"))

    sizes = tab.evaluate(
        "() => [...document.querySelectorAll('.cell')].map((one) => [one.offsetWidth, one.offsetHeight].join())"
    )

    assert len(sizes) == SIZE
    assert len(set(sizes)) == 1
    shown(tab)
