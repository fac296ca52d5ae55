"""What is written of a comparison: the table, the JSON, the charts, the cases."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import make
import numpy as np
import pytest
from PIL import Image as Pictures

from pipeline.benchmark import Fate, Guess, Judged, Truth, charts, judge, load
from pipeline.benchmark.report import COLUMNS, as_csv, as_json
from pipeline.store import Store

HERE, THERE, NOWHERE = make.box(10, 10, 60), make.box(120, 20, 60), make.box(60, 80, 50)
PAPER = (250, 250, 250)


@pytest.fixture
def ways(store: Store, tmp_path: Path) -> list[Judged]:
    """Two ways, of which the second misses a face and sees one where nobody is."""
    pictures = []
    for name, group in (("a.png", "easy"), ("b.png", "hard")):
        Pictures.new("RGB", (200, 160), PAPER if group == "easy" else (240, 240, 250)).save(tmp_path / name)
        kinds = ((("view", "front"),), (("view", "profile"),))
        pictures.append(load(Truth(path=tmp_path / name, faces=(HERE, THERE), group=group, traits=kinds), store))
    both = [Guess(box=HERE, score=0.9, fate=Fate.ACCEPTED), Guess(box=THERE, score=0.8, fate=Fate.QUEUED)]
    other = [Guess(box=HERE, score=0.9), Guess(box=NOWHERE, score=0.7)]
    return [judge("good", pictures, [both, both], 2.0), judge("bad", pictures, [both, other], 1.0)]


def test_the_table_has_a_row_for_all_that_is_counted(ways: list[Judged]) -> None:
    """All, what the rule decides, groups, sizes, traits, scores; what nobody can know is empty."""
    head, *rows = csv.reader(io.StringIO(as_csv(ways)))

    assert tuple(head) == COLUMNS
    assert rows[0] == ["good", "all", "", "4", "4", "0", "0", *["1.0000", "0.5101", "1.0000"] * 2, "1.0000", "1.0000"]
    half = ["0.5000", "0.0945", "0.9055"]
    assert ["bad", "group", "hard", "2", "1", "1", "1", *half, *half, "0.5000", "0.5000"] in rows
    assert ["bad", "size", "under 48 px", "0", "0", "0", "0", *[""] * 8] in rows
    assert ["bad", "view", "profile", "2", "1", "", "1", "", "", "", *half, "", ""] in rows
    assert ["bad", "score", "0.7 to 0.8", "", "0", "1", "", "0.0000", "0.0000", "0.7935", *[""] * 5] in rows
    assert ["bad", "rule", "queued", "4", "1", "0", "3"] in [row[:7] for row in rows]


def test_the_table_says_nothing_of_a_rule_that_is_not_asked(ways: list[Judged]) -> None:
    """A script says yes or no."""
    script = judge("script", ways[0].pictures, [[Guess(box=HERE, score=0.9)], []])

    assert ",rule," not in as_csv([script])


def test_the_json_has_everything(ways: list[Judged]) -> None:
    """So that other charts can be drawn of it."""
    body = json.loads(as_json(ways))

    assert (body["pictures"], body["faces"]) == (2, 4)
    assert body["agreement"]["good"] == {"good": 1.0, "bad": 0.75}
    assert body["ways"]["bad"]["curve"][-1] == [0.7, 0.75, 0.75]
    assert [one["right"] for one in body["ways"]["bad"]["guesses"]] == [True, True, True, False]
    assert [one["fate"] for one in body["ways"]["bad"]["guesses"]] == ["accepted", None, "queued", None]
    assert body["ways"]["bad"]["reliability"][-1] == {"least": 0.9, "score": 0.9, "guesses": 2, "right": 1.0}


def test_the_charts_are_a_picture(ways: list[Judged]) -> None:
    """Also of pictures without groups, and of ways that find nothing."""
    blind = judge("blind", [], [])
    for some in (ways, [blind]):
        with Pictures.open(io.BytesIO(charts.draw_report(some))) as page:
            assert page.size == (1500, 1100)


def test_cases_show_what_was_found_missed_and_wrong(ways: list[Judged], store: Store) -> None:
    """Each in a colour of its own; the picture without a mistake comes first."""
    with Pictures.open(io.BytesIO(charts.draw_cases(ways[1], store))) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    easy, hard = pixels[:, :360], pixels[:, 360:720]

    def has(part: np.ndarray, colour: tuple[int, int, int]) -> bool:
        return bool(np.all(part == colour, axis=2).any())

    colours = (charts._FOUND, charts._MISSED, charts._WRONG)
    assert [has(easy, colour) for colour in colours] == [True, False, False]
    assert [has(hard, colour) for colour in colours] == [True, True, True]


def test_lines_differ_in_more_than_colour(ways: list[Judged], store: Store) -> None:
    """Whoever cannot tell green from red sees whole, dashed and dotted ones."""
    assert len({charts._DASH[kind] for kind in ("found", "missed", "wrong")}) == 3


def test_no_pictures_make_an_empty_sheet(store: Store) -> None:
    """And no error."""
    with Pictures.open(io.BytesIO(charts.draw_cases(judge("blind", [], []), store))) as sheet:
        assert sheet.width > 0
