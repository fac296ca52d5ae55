from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from queued import face, remember

from pipeline.catalog import Catalog
from pipeline.errors import UsageError
from pipeline.folder import DataFolder
from pipeline.records import Reason
from pipeline.review.shelf import Shelf, open_shelf
from pipeline.review.wanted import Live, facets, mask, parse, tags


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """Four crops: two wait, one was accepted, one was dropped by its score."""
    folder = DataFolder(tmp_path)
    made: list[dict[str, Any]] = [
        {"score": 0.2, "post": {"tags": ("solo", "blue_hair")}},
        {"score": 0.6, "agreed": True, "post": {"tags": ("solo",), "posted_at": None}},
        {"score": 0.99, "agreed": True, "reason": None, "post": {"id": "other:3", "tags": ()}},
        {"score": 0.01, "reason": Reason.LOW_SCORE, "post": {"tags": ("red_hair",)}},
    ]
    catalog = Catalog(folder.catalog)
    remember(catalog, [face(folder, seed, **fields) for seed, fields in enumerate(made, 1)])
    found = open_shelf(catalog, tmp_path / "review", lambda *_: None)
    catalog.close()
    return found


BINNED = ("score", "side")


def scores(shelf: Shelf, query: str) -> list[float]:
    there = mask(shelf, Live.nothing(len(shelf)), parse(query))
    return sorted(round(float(score), 2) for score in shelf["score"][there])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [0.2, 0.6]),
        ("reason=low_score", [0.01]),
        ("reason=waiting&reason=low_score", [0.01, 0.2, 0.6]),
        ("score=0.2-0.6", [0.2, 0.6]),
        ("verdict=none&score=0.5-", [0.6, 0.99]),
        ("verdict=none&agreed=yes", [0.6, 0.99]),
        ("verdict=none&source=other", [0.99]),
        ("verdict=none&tag=solo", [0.2, 0.6]),
        ("verdict=none&tag=solo&tag=blue_hair", [0.2]),
        ("verdict=none&tag=unheard", []),
        ("verdict=none&date=2019-12-31..2020-01-01", [0.01, 0.2, 0.99]),
        ("verdict=keep", []),
        ("verdict=none&source=unheard", []),
    ],
)
def test_filters_let_through_what_they_say(shelf: Shelf, query: str, found: list[float]) -> None:
    """Without any, what waits for a person and nobody has decided."""
    assert scores(shelf, query) == found


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("colour=red", "no such filter"),
        ("score=high-low", "write it as 0.2-0.9"),
        ("score=0.9-0.1", "ends before it begins"),
        ("score=nan-1", "ends before it begins"),
        ("score=5", "no range"),
        ("date=2015-13-01..", "write it as 2015-01-01"),
        ("verdict=perhaps", "unknown; use none, keep, reject, unsure, disputed"),
        ("agreed=perhaps", "use yes, no"),
        ("&".join(["tag=a"] * 300), "cannot be read"),
        ("tag=" + "a" * 9000, "longer than"),
        ("tag=%ff", "cannot be read"),
    ],
)
def test_a_filter_that_cannot_be_read_says_how_to_write_it(query: str, complaint: str) -> None:
    """In one line, which shows a part of it alone."""
    with pytest.raises(UsageError, match=complaint) as caught:
        parse(query)

    assert len(str(caught.value)) < 300


def test_filters_are_written_as_they_are_read() -> None:
    """So that a page can be asked for again."""
    query = "reason=waiting&verdict=none&tag=%E5%88%9D%E9%9F%B3&score=0.2-&date=2015-01-01..2016-01-01"

    assert parse(parse(query).to_query()) == parse(query)


def test_counts_are_of_what_all_other_filters_let_through(shelf: Shelf) -> None:
    """A filter that is on still tells what its other values would show."""
    found = {one.name: one for one in facets(shelf, Live.nothing(len(shelf)), parse("reason=waiting&agreed=yes"))}

    assert found["agreed"].values == [("yes", 1, True), ("no", 1, False)]
    assert {word: count for word, count, _ in found["reason"].values} == {"waiting": 1, "accepted": 1}


def test_what_is_worth_a_second_look_stands_beside_the_verdicts(shelf: Shelf) -> None:
    """Where there is any, or it is asked for."""
    live = replace(Live.nothing(len(shelf)), doubted=np.isclose(shelf["score"], 0.6))

    def shown(live: Live, query: str) -> list[tuple[str, int, bool]]:
        (verdicts,) = (one.values for one in facets(shelf, live, parse(query)) if one.name == "verdict")
        return list(verdicts)

    assert mask(shelf, live, parse("verdict=doubted")).tolist() == live.doubted.tolist()
    assert shown(live, "") == [("none", 2, True), ("doubted", 1, False)]
    assert shown(Live.nothing(len(shelf)), "") == [("none", 2, True)]
    assert shown(Live.nothing(len(shelf)), "verdict=doubted") == [("none", 4, False), ("doubted", 0, True)]


def test_a_range_shows_how_many_are_where(shelf: Shelf) -> None:
    """All scores lie in the bins of the histogram, also 1."""
    score = next(one for one in facets(shelf, Live.nothing(len(shelf)), parse("verdict=none")) if one.name == "score")

    assert sum(count for _, _, count in score.bins) == 4


def test_tags_are_counted_among_what_is_asked_for(shelf: Shelf) -> None:
    """The most frequent first, of those that hold the text."""
    live = Live.nothing(len(shelf))

    assert tags(shelf, live, parse(""), "") == [("solo", 2), ("blue_hair", 1)]
    assert tags(shelf, live, parse("verdict=none"), "HAIR") == [("blue_hair", 1), ("red_hair", 1)]


def test_nothing_is_asked_of_an_empty_shelf(tmp_path: Path) -> None:
    """A run that found no face has a page, too."""
    catalog = Catalog(DataFolder(tmp_path).catalog)
    remember(catalog, [])
    shelf = open_shelf(catalog, tmp_path / "review", lambda *_: None)
    catalog.close()

    assert [one.name for one in facets(shelf, Live.nothing(len(shelf)), parse("score=0-1&tag=a"))] == [
        "verdict",
        *BINNED,
    ]
    assert tags(shelf, Live.nothing(len(shelf)), parse(""), "") == []
