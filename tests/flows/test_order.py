"""What an order saves is told of drawings, whose truth is known, and of what a person has decided."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import make
import numpy as np
import pytest
from queued import Face, face, remember

from flows.order import LEAST, Seen, Simulated, draw, lines, look_at, simulate_on_decisions, simulate_on_drawings, table
from flows.show import Lines
from pipeline.catalog import Catalog
from pipeline.errors import UsageError
from pipeline.folder import DataFolder
from pipeline.records import Verdict
from pipeline.review import ReviewCrops
from pipeline.review.features import DIM, NAMES, SCORE
from pipeline.sandbox import hard

RULE, NOTHING_SURE = (ReviewCrops(accept_agreed=least, decisions={}) for least in (0.95, 1.5))
PICTURES, SEED_OF_TESTS = 29, 1501  # one of each difficulty


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("order")


@pytest.fixture(scope="module")
def seen(data: Path) -> Seen:
    """What two detectors see in a few hard pictures."""
    drawn = hard.build(data / "bench", PICTURES, SEED_OF_TESTS)
    return look_at(drawn, ("drawn_faces", "animeface"), 2, lambda *_: None)


# --- drawings ---------------------------------------------------------------------------------------------------------


def test_what_the_rule_accepts_does_not_wait(seen: Seen) -> None:
    """With a rule that accepts nothing all wait that are not too improbable; with the usual one those wait in doubt."""
    shown = [one for one in seen.crops if one.detection.score >= LEAST]
    sure = [one for one in shown if one.detection.agreed and one.detection.score >= 0.95]

    assert len(seen.queue("", NOTHING_SURE).false_N) == len(shown)
    assert len(seen.queue("", RULE).false_N) == len(shown) - len(sure) < len(shown)


def test_what_is_drawn_as_a_face_is_true(seen: Seen) -> None:
    """What is false has a lower score on average, and most of what waits is either."""
    queue = seen.queue("", NOTHING_SURE)

    assert 0 < queue.false_N.sum() < len(queue.false_N) / 2
    score = queue.cheap_ND[:, SCORE]
    assert score[queue.false_N].mean() < score[~queue.false_N].mean() - 1


def test_every_crop_was_looked_at(seen: Seen) -> None:
    """Numbers and looks are there for each, and all finite."""
    assert seen.cheap_ND.shape == (len(seen.crops), len(NAMES))
    assert seen.embedded_ND.shape == (len(seen.crops), DIM)
    assert np.isfinite(seen.cheap_ND).all()
    assert np.isfinite(seen.embedded_ND).all()


def test_drawings_tell_what_an_order_saves(data: Path) -> None:
    """In a queue of one detector, of which nothing is sure, the score finds sooner than chance."""
    simulated = simulate_on_drawings(PICTURES, SEED_OF_TESTS, data, 2, Lines())

    chance, by_score, learned = simulated.curves
    assert simulated.about == "29 hard pictures, version 1, seed 1501, drawn_faces"
    assert chance.least <= by_score.to_95 < chance.to_95
    assert learned.total == chance.total > 30


def test_a_queue_in_which_nothing_waits_is_said(seen: Seen) -> None:
    """With a rule that takes everything there is nothing to simulate."""
    takes_all = ReviewCrops(accept_agreed=0.0, accept_alone=0.0, decisions={})

    with pytest.raises(UsageError, match="all of it: nothing waits for a person"):
        seen.queue("all of it", takes_all)


# --- decisions --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data")
    folder.root.mkdir()
    return folder


@pytest.fixture
def catalog(folder: DataFolder) -> Iterator[Catalog]:
    opened = Catalog(folder.catalog)
    yield opened
    opened.close()


def crops(folder: DataFolder, count: int = 80) -> list[Face]:
    return [face(folder, number, score=round(0.1 + 0.8 * number / count, 4)) for number in range(1, count + 1)]


def decide(catalog: Catalog, faces: list[Face], verdict: Verdict, via: str = "grid") -> None:
    catalog.decide([make.decision(one.crop.sha256, verdict, via=via) for one in faces])


def simulate(catalog: Catalog, folder: DataFolder) -> Simulated:
    return simulate_on_decisions(catalog, folder.store, folder.root / "review", Lines())


def test_decisions_tell_what_an_order_would_have_saved(catalog: Catalog, folder: DataFolder) -> None:
    """Whoever rejected the least probable has the order by score find them first."""
    faces = crops(folder)
    remember(catalog, faces)
    decide(catalog, faces[:20], Verdict.REJECT)
    decide(catalog, faces[20:], Verdict.KEEP)

    chance, by_score, learned = simulate(catalog, folder).curves

    assert (chance.total, chance.false) == (80, 20)
    assert by_score.to_95 == 19
    assert learned.to_95 < 60 < chance.to_95


def test_what_nobody_looked_at_is_no_truth(catalog: Catalog, folder: DataFolder) -> None:
    """What was accepted in bulk, or with a near-copy of it, does not count; nor what nobody was sure of."""
    faces = crops(folder)
    remember(catalog, faces)
    decide(catalog, faces[:20], Verdict.REJECT)
    decide(catalog, faces[20:60], Verdict.KEEP)
    decide(catalog, faces[60:70], Verdict.KEEP, via="bulk")
    decide(catalog, faces[70:75], Verdict.KEEP, via="family")
    decide(catalog, faces[75:], Verdict.UNSURE)

    assert simulate(catalog, folder).curves[0].total == 60


def test_near_copies_are_one_decision(catalog: Catalog, folder: DataFolder) -> None:
    """Ten crops of one face that were each decided on by hand count once."""
    faces = crops(folder, 60)
    copies = [face(folder, 1000 + number, family="f1", phash=int(faces[0].crop.phash, 16)) for number in range(10)]
    remember(catalog, [*faces, *copies])
    decide(catalog, [*faces[:20], *copies], Verdict.REJECT)
    decide(catalog, faces[20:], Verdict.KEEP)

    chance = simulate(catalog, folder).curves[0]

    assert (chance.total, chance.false) == (60, 20)


def test_the_looks_of_a_crop_that_is_gone_are_not_asked_for(catalog: Catalog, folder: DataFolder) -> None:
    """It is ranked by its numbers; and what was seen once is remembered."""
    faces = crops(folder)
    remember(catalog, faces)
    decide(catalog, faces[:20], Verdict.REJECT)
    decide(catalog, faces[20:], Verdict.KEEP)
    for one in faces[::2]:
        folder.store.path(one.crop.sha256).unlink()

    before = simulate(catalog, folder)
    for one in faces[1::2]:
        folder.store.path(one.crop.sha256).unlink()
    after = simulate(catalog, folder)

    assert [one.to_95 for one in before.curves] == [one.to_95 for one in after.curves]


@pytest.mark.parametrize(
    ("rejected", "kept", "said"), [(10, 29, "39 crops of the last runs are decided on"), (0, 50, "all 50 are faces")]
)
def test_too_little_to_learn_from_is_said(
    catalog: Catalog, folder: DataFolder, rejected: int, kept: int, said: str
) -> None:
    """With how much there is, and what to do."""
    faces = crops(folder)
    remember(catalog, faces)
    decide(catalog, faces[:kept], Verdict.KEEP)
    decide(catalog, faces[kept : kept + rejected], Verdict.REJECT)

    with pytest.raises(UsageError, match=said):
        simulate(catalog, folder)


# --- shown ------------------------------------------------------------------------------------------------------------


def test_the_table_names_what_no_order_can_do_better(seen: Seen) -> None:
    """Each order has a line, and the least there can be; what is seen is told as a share of the random order, too."""
    simulated = seen.queue("some pictures", NOTHING_SURE).simulated()

    assert [name for name, _, _ in lines(simulated.curves)] == ["random", "score", "learned", "the least there can be"]
    assert table(simulated).row_count == 4
    assert next(iter(table(simulated).columns[2].cells)) == "100.0%"


def test_curves_are_drawn(seen: Seen) -> None:
    """One or several beside each other, as a PNG."""
    simulated = [seen.queue("some pictures", rule).simulated() for rule in (RULE, NOTHING_SURE, RULE)]

    for some in (simulated[:1], simulated):
        assert draw(some).startswith(b"\x89PNG")
