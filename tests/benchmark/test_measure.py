"""What is called right, wrong and missed, and the figures that follow, on cases with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import make
import pytest
from PIL import Image as Pictures

from pipeline.benchmark import (
    Bin,
    Count,
    Fate,
    Guess,
    Judged,
    Picture,
    Point,
    Traits,
    Truth,
    agreement,
    average_precision,
    calibration_error,
    judge,
    load,
    reliability,
)
from pipeline.errors import UsageError
from pipeline.records import Box
from pipeline.shares import Share
from pipeline.store import Store

HERE, THERE = make.box(0, 0, 100), make.box(300, 0, 100)


def picture(
    *faces: Box, group: str = "", size: tuple[int, int] = (800, 600), traits: tuple[Traits, ...] = ()
) -> Picture:
    image = make.image(1, width=size[0], height=size[1])
    return Picture(image=image, name="a.png", path=Path("a.png"), faces=faces, group=group, traits=traits)


def guess(box: Box, score: float = 0.9, **fields: Any) -> Guess:
    return Guess(box=box, score=score, **fields)


def judged(faces: list[Box], *guesses: Guess) -> Judged:
    return judge("a way", [picture(*faces)], [guesses])


def test_right_wrong_and_missed() -> None:
    """One of two faces, and a box where nobody is."""
    count = judged([HERE, THERE], guess(HERE), guess(make.box(500, 400, 80))).count()

    assert count == Count(faces=2, right=1, wrong=1)
    assert (count.missed, count.precision, count.recall, count.f1) == (1, 0.5, 0.5, 0.5)


def test_half_an_overlap_is_enough() -> None:
    """A shift by a third of the side leaves half of the union; a little more does not."""
    assert judged([make.box(0, 0, 300)], guess(make.box(100, 0, 300))).count().right == 1
    assert judged([make.box(0, 0, 300)], guess(make.box(101, 0, 300))).count().right == 0


def test_a_face_is_found_once() -> None:
    """The surer of two boxes has it, the other is wrong, even if it fits better."""
    result = judged([HERE], guess(HERE, 0.6), guess(make.box(10, 0, 100), 0.8))

    assert [(hit.guess.score, hit.face) for hit in result.hits] == [(0.8, 0), (0.6, None)]


def test_a_box_takes_the_face_that_it_fits_best() -> None:
    """Of two that it would fit."""
    near, far = make.box(10, 0, 100), make.box(25, 0, 100)

    assert judged([far, near], guess(HERE)).hits[0].face == 1


def test_what_lies_beyond_the_border_does_not_count() -> None:
    """A box that was pushed into the picture is as good as one that reaches beyond it."""
    face, pushed = make.box(-100, 200, 300), Box(left=0, top=200, width=200, height=300)

    assert judged([face], guess(pushed)).count().right == 1


def test_a_box_outside_is_wrong() -> None:
    """It overlaps nothing."""
    assert judged([HERE], guess(make.box(-500, 0, 100))).count() == Count(faces=1, right=0, wrong=1)


def test_shares_of_nothing_are_none() -> None:
    """No face, no guess: neither good nor bad."""
    count = judged([]).count()

    assert (count.precision, count.recall, count.f1) == (None, None, None)


def test_what_is_no_answer_only_draws_the_curve() -> None:
    """A window that too few agree on."""
    result = judged([HERE, THERE], guess(HERE, 0.9), guess(THERE, 0.2, answer=False))

    assert result.count() == Count(faces=2, right=1, wrong=0)
    assert result.found() == {(0, 0)}
    assert [point.recall for point in result.curve()] == [0.5, 1.0]


def test_what_the_rule_decides_is_counted_by_itself() -> None:
    """Accepted, or shown to a person; dropped counts as not found."""
    far = make.box(600, 0, 100)
    guesses = [
        guess(HERE, fate=Fate.ACCEPTED),
        guess(THERE, 0.3, fate=Fate.QUEUED),
        guess(far, 0.01, fate=Fate.DROPPED),
    ]
    result = judged([HERE, THERE, far], *guesses)

    assert result.decided(Fate.ACCEPTED) == Count(faces=3, right=1, wrong=0)
    assert result.decided(Fate.ACCEPTED, Fate.QUEUED) == Count(faces=3, right=2, wrong=0)


@pytest.mark.parametrize(
    ("share", "low", "high"),
    [
        (Share(81, 263), 0.2553, 0.3662),  # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (Share(15, 148), 0.0624, 0.1605),
        (Share(0, 20), 0.0, 0.1611),
        (Share(1, 29), 0.0061, 0.1718),
    ],
)
def test_a_share_lies_between_others(share: Share, low: float, high: float) -> None:
    """At 95 %, by Wilson's score, as printed by others."""
    assert share.interval == pytest.approx((low, high), abs=5e-5)


def test_a_share_of_all_may_be_less() -> None:
    """Ten of ten do not prove that there is no eleventh."""
    low, high = Share(10, 10).interval or (None, None)

    assert low == pytest.approx(0.7225, abs=5e-5)
    assert high == pytest.approx(1.0)


def test_faces_are_counted_by_what_they_are_like() -> None:
    """A wrong box is of no face, and so of no kind; bands come in the order of their numbers."""
    kinds = ((("tilt", "130° and more"), ("view", "front")), (("tilt", "20 to 50°"), ("view", "front")))
    result = judge("a way", [picture(HERE, THERE, traits=kinds), picture(HERE)], [[guess(HERE)], [guess(HERE)]])

    assert list(result.by_trait().items()) == [
        (("tilt", "20 to 50°"), Share(0, 1)),
        (("tilt", "130° and more"), Share(1, 1)),
        (("view", "front"), Share(1, 2)),
    ]


def test_equal_scores_are_one_point() -> None:
    """Whichever of them comes first."""
    result = judged([HERE, THERE], guess(HERE, 0.5), guess(make.box(500, 400, 80), 0.5), guess(THERE, 0.4))

    assert result.curve() == (
        Point(score=0.5, recall=0.5, precision=0.5),
        Point(score=0.4, recall=1.0, precision=2 / 3),
    )


@pytest.mark.parametrize(
    ("rights", "faces", "expected"),
    [
        ([True, True], 2, 1.0),
        ([False, False], 2, 0.0),
        ([], 2, 0.0),
        ([True], 2, 0.5),
        ([False, True], 1, 0.5),
        # recall 1/3 at precision 1, 2/3 at 2/3 and 1 at 3/5: the worked example (1 + 2/3 + 3/5) / 3
        ([True, False, True, False, True], 3, (1 + 2 / 3 + 3 / 5) / 3),
        # a later, better precision counts for the steps before it: 3/4 from the first step on
        ([False, True, True, True], 3, 3 / 4),
    ],
)
def test_average_precision(rights: list[bool], faces: int, expected: float) -> None:
    """All points interpolated."""
    places = [make.box(200 * index, 0, 100) for index in range(faces)]
    free = iter(places)
    guesses = [
        guess(next(free) if right else make.box(200 * index, 400, 90), 0.9 - index / 10)
        for index, right in enumerate(rights)
    ]
    wide = judge("a way", [picture(*places, size=(4000, 600))], [guesses])

    assert average_precision(wide.curve()) == pytest.approx(expected)


def test_groups_are_counted_by_themselves() -> None:
    """By the picture; one of no group is in none."""
    pictures = [picture(HERE, group="easy"), picture(THERE, group="hard"), picture(HERE)]
    result = judge("a way", pictures, [[guess(HERE)], [guess(HERE)], [guess(HERE)]])

    assert result.by_group() == {"easy": Count(faces=1, right=1, wrong=0), "hard": Count(faces=1, right=0, wrong=1)}


def test_sizes_are_those_of_the_faces() -> None:
    """A right box counts by its face, a wrong one by itself."""
    face = make.box(0, 0, 100)
    counts = judged([face], guess(make.box(2, 2, 94)), guess(make.box(400, 300, 30), 0.2)).by_size()

    assert counts["96 to 191 px"] == Count(faces=1, right=1, wrong=0)
    assert counts["under 48 px"] == Count(faces=0, right=0, wrong=1)
    assert sum(count.faces for count in counts.values()) == 1


def test_scores_are_held_against_what_is_right() -> None:
    """Two of 0.9, of which one is right: 0.4 too sure; one of 0.25 that is wrong."""
    result = judged([HERE], guess(HERE, 0.9), guess(make.box(500, 0, 90), 0.9), guess(make.box(500, 400, 90), 0.25))
    bins = reliability(result.hits)

    assert bins == (
        Bin(least=0.2, score=0.25, right=Share(0, 1)),
        Bin(least=0.9, score=0.9, right=Share(1, 2)),
    )
    assert calibration_error(bins) == pytest.approx((2 * 0.4 + 0.25) / 3)
    assert calibration_error(()) is None


def test_a_score_of_one_is_in_the_last_bin() -> None:
    """There is none above it."""
    assert [one.least for one in reliability(judged([HERE], guess(HERE, 1.0)).hits)] == [0.9]


def test_agreement_is_of_what_each_finds() -> None:
    """One finds both faces, the other one of them, the third none."""
    pictures = [picture(HERE, THERE)]
    found = {"both": [guess(HERE), guess(THERE)], "one": [guess(HERE)], "none": []}

    shares = agreement([judge(name, pictures, [guesses]) for name, guesses in found.items()])

    assert shares == {
        "both": {"both": 1.0, "one": 0.5, "none": 0.0},
        "one": {"both": 1.0, "one": 1.0, "none": 0.0},
        "none": {"both": None, "one": None, "none": None},
    }


def test_a_picture_is_read_upright(tmp_path: Path, store: Store) -> None:
    """Boxes are in its pixels after EXIF has turned it."""
    exif = Pictures.Exif()
    exif[0x0112] = 6
    Pictures.new("RGB", (60, 40), (9, 9, 9)).save(tmp_path / "a.jpg", exif=exif)

    image = load(Truth(path=tmp_path / "a.jpg", faces=()), store).image

    assert (image.width, image.height) == (40, 60)


def test_a_box_outside_of_its_picture_is_named(tmp_path: Path, store: Store) -> None:
    """Nobody could ever find it: it is a mistake, not a miss."""
    Pictures.new("RGB", (200, 100)).save(tmp_path / "a.png")
    outside = Truth(path=tmp_path / "a.png", faces=(make.box(150, 20, 60), make.box(200, 20, 60)))

    with pytest.raises(UsageError, match=r"a\.png: the box 200,20,60,60 lies outside of the picture, .* 200 × 100"):
        load(outside, store)


@pytest.mark.parametrize("content", [b"", b"<html>", None])
def test_what_is_no_picture_is_named(tmp_path: Path, store: Store, content: bytes | None) -> None:
    """So that it can be taken out of the labels."""
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)

    with pytest.raises(UsageError, match=r"a\.jpg: .*the labels"):
        load(Truth(path=tmp_path / "a.jpg", faces=()), store)
