"""The bench of faces on originals: what it draws, whom it asks, and what it says of the promises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import make
import numpy as np
import pytest
from PIL import Image as Pictures

from bench import tables
from bench.faces import DIFFICULTIES, EACH, PIXELS, Lap, Measured, Scaling, conditions, draw, paper_of
from pipeline.benchmark import Fate, Guess, Judged, Picture, judge
from pipeline.sandbox import hard
from pipeline.workers import Workers

SMALL = DIFFICULTIES.index(hard.Difficulty.SMALL)
FACE, ELSEWHERE = make.box(0, 0, 100), make.box(300, 300, 100)


@pytest.mark.parametrize("number", [SMALL, SMALL + len(DIFFICULTIES)])
def test_a_picture_is_as_large_as_originals(tmp_path: Path, number: int) -> None:
    """On either paper; its smallest faces have as many pixels as the recipe looks for."""
    truth = draw(tmp_path, 32 / hard.SMALLEST, number)

    with Pictures.open(truth.path) as picture:
        pixels = picture.width * picture.height
        assert PIXELS[0] * 0.99 <= pixels <= PIXELS[1] * 1.01
        assert min(face.width for face in truth.faces) >= 32
        assert all(face.left < picture.width and face.top < picture.height for face in truth.faces)


def test_the_same_number_is_the_same_picture(tmp_path: Path) -> None:
    """Whoever draws it."""
    (tmp_path / "again").mkdir()
    first, again = draw(tmp_path, 1.0, 30), draw(tmp_path / "again", 1.0, 30)

    assert first.faces == again.faces
    assert first.path.read_bytes() == again.path.read_bytes()


def test_grain_is_on_every_other_round_of_difficulties(tmp_path: Path) -> None:
    """A calm drawing lets a cascade give up early, and not every original is calm."""
    plain = DIFFICULTIES.index(hard.Difficulty.LOGO)
    flat = []
    for number in (plain, plain + len(DIFFICULTIES)):
        with Pictures.open(draw(tmp_path, 1.0, number).path) as picture:
            grey_HW = np.asarray(picture.convert("L"), np.float64)
        flat.append(float(np.median(np.abs(np.diff(grey_HW, axis=1)))))

    assert [paper_of(plain), paper_of(plain + len(DIFFICULTIES))] == ["smooth", "grainy"]
    assert flat[0] < flat[1]


def test_no_picture_is_one_that_anything_was_fitted_on() -> None:
    """Sets are drawn by numbers that begin with another: here is the same seed and place."""
    theirs, _ = hard.draw_hard((81, 20_261_120, 0), DIFFICULTIES[0])
    ours, _ = hard.draw_hard((20_261_120, 0), DIFFICULTIES[0])

    assert theirs.tobytes() != ours.tobytes()


def test_pictures_are_shared_out_evenly() -> None:
    """As many of one difficulty on one paper as on the other."""
    papers = [paper_of(number) for number in range(EACH * len(DIFFICULTIES)) if number % len(DIFFICULTIES) == SMALL]

    assert papers.count("smooth") == papers.count("grainy") == EACH // 2


def test_every_worker_tells_of_itself() -> None:
    """Two of them, each with time and memory of its own."""
    with Workers(2) as workers:
        told = conditions(workers)

    assert len({one.pid for one in told}) == 2
    assert all(one.cpu_s > 0 for one in told)


def judged(*fates: tuple[bool, Fate]) -> Judged:
    """Each guess in a picture of its own with one face, which it finds or not."""
    image = make.image(1, width=800, height=600)
    pictures = [Picture(image=image, name="a.png", path=Path("a.png"), faces=(FACE,), group="") for _ in fates]
    return judge(
        "ours", pictures, [[Guess(box=FACE if right else ELSEWHERE, score=0.9, fate=fate)] for right, fate in fates]
    )


def measured(found: Judged) -> Measured:
    """Ours is 20 times as fast as one script, 5 times as fast as the other, and everything else just holds."""
    laps = [
        Lap(
            way,
            seconds={"smooth": s, "grainy": s},
            pictures={"smooth": 10, "grainy": 10},
            cpu_s={"smooth": s, "grainy": s},
            judged=found,
        )
        for way, s in (("animeface-script", 20.0), ("cascade-script", 5.0), ("ours", 1.0))
    ]
    scaling = Scaling(wall_s={1: 18.5, 2: 10.0}, cpu_s={1: 10.0, 2: 10.0})
    return Measured("ours", laps, scaling, found, peak_bytes=399_000_000, megapixels=2.5, min_face=32)


def test_promises_are_held_against_what_was_measured() -> None:
    """Each by itself: one that fails is said to fail, and does not hide behind the others."""
    good = judged(*[(True, Fate.ACCEPTED)] * 98, (False, Fate.ACCEPTED), *[(True, Fate.QUEUED)] * 1)

    rows = tables.faces_promised(measured(good)).rows

    assert [(row[0], row[3]) for row in rows] == [
        ("pictures/s, × animeface-script", "yes"),
        ("pictures/s, × cascade-script", "NO"),
        ("2 workers, × 1 worker", "yes"),
        ("peak memory of a worker", "yes"),
        ("precision of what is accepted without a person", "yes"),
        ("recall of what is accepted or queued", "yes"),
    ]


def test_what_is_dropped_is_not_found() -> None:
    """A face that nobody will see is lost, and a wrong box that is queued costs no precision."""
    poor = judged(*[(True, Fate.DROPPED)] * 6, *[(False, Fate.QUEUED)] * 3, (True, Fate.ACCEPTED))

    precision, recall = list(tables.faces_promised(measured(poor)).rows)[-2:]

    assert (precision[2].split()[0], precision[3]) == ("1.000", "yes")
    assert (recall[2].split()[0], recall[3]) == ("0.100", "NO")


def test_where_memory_cannot_be_measured_nothing_is_claimed() -> None:
    """On a system without /proc."""
    rows = tables.faces_promised(replace(measured(judged((True, Fate.ACCEPTED))), peak_bytes=0)).rows

    assert [row[2:] for row in rows if "memory" in row[0]] == [["not measured", "–"]]
