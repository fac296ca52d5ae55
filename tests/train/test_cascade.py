"""A cascade is boosted, says what OpenCV says, finds what it learnt, and never learns from what nobody decided on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import RecipeError
from pipeline.records import Box
from pipeline.train import cascade
from pipeline.train.cascade import CascadeConfig, Progress, best_stump, single_below, train
from pipeline.train.cascade_file import classifier, to_xml
from pipeline.train.patterns import Stage, Stump, Windows, codes, features, passes
from pipeline.train.trial import trials
from pipeline.train.windows import Labelled, false_alarms, varied, varied_faces

SMALL = CascadeConfig(positives=500, negatives=500, stages=8, features=300, seed=5)


def face(side: int) -> NDArray[np.uint8]:
    """A light disc with two dark dots."""
    drawn = np.full((side, side), 90, np.uint8)
    cv2.circle(drawn, (side // 2, side // 2), round(side * 0.45), 220, -1)
    for x in (0.33, 0.67):
        cv2.circle(drawn, (round(side * x), round(side * 0.42)), max(2, side // 10), 30, -1)
    return drawn


def picture(seed: int, faces: int = 2) -> Labelled:
    """Some such faces on noise of all sizes."""
    chance = np.random.default_rng(seed)
    ground = np.zeros((160, 240))
    for size in (10, 20, 60):
        noise = chance.integers(0, 85, (size, round(size * 1.5))).astype(np.float32)
        ground += cv2.resize(noise, (240, 160), interpolation=cv2.INTER_CUBIC)
    grey = np.clip(ground, 0, 255).astype(np.uint8)
    boxes = []
    for place in range(faces):
        side, left, top = int(chance.integers(30, 80)), 10 + 115 * place, int(chance.integers(0, 75))
        grey[top : top + side, left : left + side] = face(side)
        boxes.append(Box(left=left, top=top, width=side, height=side))
    return Labelled(grey, tuple(boxes))


@pytest.fixture(scope="module")
def pictures() -> list[Labelled]:
    return [picture(seed) for seed in range(20)]


@pytest.fixture(scope="module")
def stages(pictures: list[Labelled]) -> list[Stage]:
    return train(pictures, SMALL)


def noise(count: int, seed: int = 0) -> Windows:
    """Windows of noise, half of them with so few shades that many blocks are alike."""
    windows = np.random.default_rng(seed).integers(0, 256, (count, 24, 24), np.uint8)
    windows[::2] = windows[::2] // 100
    return windows


def opencv_passes(stages: list[Stage], windows: Windows) -> list[bool]:
    runner = classifier(stages)
    return [len(runner.detectMultiScale(one, 1.1, 0, minSize=(24, 24), maxSize=(24, 24))) > 0 for one in windows]


# --- patterns ---------------------------------------------------------------------------------------------------------


def test_a_window_has_8464_features() -> None:
    """All places and sizes of nine blocks in 24 x 24 pixels, each once."""
    rows = features()

    assert rows.shape == np.unique(rows, axis=0).shape == (8464, 4)
    assert (rows[:, :2] + 3 * rows[:, 2:]).max() == 24


def test_patterns_are_those_of_opencv() -> None:
    """OpenCV is asked for each bit of a pattern by a cascade of one stump that knows this bit alone."""
    windows = noise(20)
    chosen = np.random.default_rng(1).choice(len(features()), 6, replace=False)
    bits = np.arange(256)[:, None] >> np.arange(8) & 1

    for feature in (int(one) for one in chosen):
        said = np.zeros(len(windows), int)
        for bit in range(8):
            only = Stage((Stump(feature, bits[:, bit].astype(bool), (1.0, -1.0)),), 0.0)
            said |= np.array(opencv_passes([only], windows)).astype(int) << bit

        assert said.tolist() == codes(windows)[feature].tolist()


def test_opencv_runs_it_as_it_was_trained(stages: list[Stage], pictures: list[Labelled]) -> None:
    """On varied faces, on what is nearly one, and on noise, OpenCV lets through the same windows."""
    chance = np.random.default_rng(2)
    faces = [varied(one.grey, one.faces[0], chance) for one in pictures for _ in range(5)]
    near = [one.grey[y : y + 24, x : x + 24] for one in pictures for x, y in chance.integers(0, 130, (5, 2))]
    windows = np.concatenate([np.stack(faces), np.stack(near), noise(40)])

    ours = passes(stages, windows).tolist()

    assert ours == opencv_passes(stages, windows)
    assert 50 <= sum(ours) < 160


def test_a_threshold_is_rounded_down() -> None:
    """Files hold single precision; rounded up, the face that the threshold was made for would be lost."""
    values = np.random.default_rng(0).uniform(-3, 3, 1000)

    rounded = [single_below(float(one)) for one in values]

    assert all(one <= value and np.float32(one) == one for one, value in zip(rounded, values, strict=True))


def test_what_is_said_of_its_making_cannot_break_the_file(stages: list[Stage], tmp_path: Path) -> None:
    """A name with the end of a comment in it stays in the comment."""
    file = tmp_path / "c.xml"
    file.write_text(to_xml(stages, "--><cascade> & --->"))

    assert not cv2.CascadeClassifier(str(file)).empty()


# --- boosting ---------------------------------------------------------------------------------------------------------


def test_the_best_stump_of_a_known_case() -> None:
    """The second feature divides best: 7 and 9 mean a face, 8 means none but once; its leaves are weighted means."""
    patterns = np.array([[1, 2, 1, 2, 1, 2], [7, 9, 8, 8, 8, 8], [0, 0, 0, 1, 1, 0]], np.uint8)
    weights = np.array([0.2, 0.2, 0.1, 0.2, 0.2, 0.1])

    stump = best_stump(patterns, np.arange(3), weights, faces=3)

    assert stump.feature == 1
    assert np.flatnonzero(stump.subset).tolist() == [7, 9]
    assert stump.leaves == pytest.approx((1.0, (0.1 - 0.5) / 0.6))


def test_only_chosen_features_are_looked_at() -> None:
    """Which is how the same faces give many different stumps."""
    patterns = np.array([[7, 7, 8, 8], [1, 2, 1, 2]], np.uint8)

    assert best_stump(patterns, np.array([1]), np.full(4, 0.25), faces=2).feature == 1


def test_a_stage_lets_enough_faces_through(pictures: list[Labelled]) -> None:
    """At least `min_hit_rate` of those that it was made from, and at most `max_false_alarm` of the others."""
    config = CascadeConfig(min_hit_rate=0.95, max_false_alarm=0.2, features=200)
    chance = np.random.default_rng(0)
    faces = [(one.grey, box) for one in pictures for box in one.faces]
    positives, _ = varied_faces(faces, [], 200, chance)
    negatives, _ = false_alarms(pictures, [], 200, chance)

    stage = cascade._boost(positives, negatives, config, chance, lambda: False)

    assert stage is not None
    assert passes([stage], positives).mean() >= 0.95
    assert passes([stage], negatives).mean() <= 0.2


def test_the_same_seed_gives_the_same_file(pictures: list[Labelled], stages: list[Stage]) -> None:
    """However many threads OpenCV uses; another seed gives another."""
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1 if before > 1 else 2)
        again = train(pictures, SMALL)
    finally:
        cv2.setNumThreads(before)

    assert to_xml(again, "") == to_xml(stages, "")
    assert to_xml(train(pictures, CascadeConfig(**{**vars(SMALL), "stages": 1, "seed": 6})), "") != to_xml(
        stages[:1], ""
    )


def test_it_finds_what_it_learnt(stages: list[Stage], tmp_path: Path) -> None:
    """In pictures that it never saw OpenCV finds nearly all faces and little else."""
    file = tmp_path / "c.xml"
    file.write_text(to_xml(stages, "a test"))

    found = {one.asked: one for one in trials(file, [picture(seed) for seed in range(100, 112)])}

    assert found[5].recall >= 0.9
    assert found[5].precision >= 0.9


def test_progress_tells_what_is_done(pictures: list[Labelled]) -> None:
    """After each stage; more stages let less through."""
    told: list[Progress] = []

    done = train(pictures, CascadeConfig(**{**vars(SMALL), "stages": 2}), told.append)

    assert [one.stages for one in told] == [1, 2]
    assert told[-1].stumps == sum(len(stage.stumps) for stage in done)
    assert told[0].hit_rate > 0.9
    assert told[1].false_alarms < told[0].false_alarms < 1


def test_a_stopped_training_keeps_whole_stages(pictures: list[Labelled], stages: list[Stage]) -> None:
    """Stopped in its second stage it gives the first, the same as that of the whole training; at once it gives none."""
    told: list[Progress] = []

    assert to_xml(train(pictures, SMALL, told.append, stop=lambda: bool(told)), "") == to_xml(stages[:1], "")
    assert train(pictures, SMALL, stop=lambda: True) == []


def test_looking_for_false_alarms_can_be_stopped(pictures: list[Labelled], stages: list[Stage]) -> None:
    """Between two pictures: in late stages it takes longest."""
    asked: list[int] = []

    false_alarms(pictures, stages, 10_000, np.random.default_rng(0), lambda: len(asked) == 3 or bool(asked.append(1)))

    assert len(asked) == 3


# --- what it learns from ----------------------------------------------------------------------------------------------


def test_undecided_places_are_never_learnt_from() -> None:
    """A white place that is ignored is in no window of what is no face, whatever its size."""
    grey = np.random.default_rng(0).integers(0, 100, (200, 200), np.uint8)
    grey[60:120, 60:120] = 255
    ignored = Box(left=56, top=56, width=68, height=68)

    seen, _ = false_alarms([Labelled(grey)], [], 500, np.random.default_rng(1))
    kept, _ = false_alarms([Labelled(grey, ignored=(ignored,))], [], 500, np.random.default_rng(1))

    assert seen.max() > 200
    assert len(kept) > 100
    assert kept.max() < 110


def test_faces_are_never_false_alarms() -> None:
    """No window overlaps a face by more than a fifth; an eye within it may be one."""
    grey = np.full((48, 48), 100, np.uint8)

    windows, _ = false_alarms(
        [Labelled(grey, (Box(left=0, top=0, width=48, height=48),))], [], 50, np.random.default_rng(0)
    )

    assert len(windows) <= 1


def test_a_face_at_the_border_can_be_varied() -> None:
    """Beyond the picture its edge is repeated, wherever the box lies."""
    grey = picture(0).grey
    for left, top, side in [(-20, -20, 60), (220, 140, 60), (-100, -50, 400), (239, 159, 18)]:
        cut = varied(grey, Box(left=left, top=top, width=side, height=side), np.random.default_rng(0))

        assert (cut.shape, cut.dtype) == ((24, 24), np.uint8)


@pytest.mark.parametrize(
    ("labelled", "hint"),
    [
        (Labelled(np.zeros((50, 50), np.uint8)), "no labelled face"),
        (Labelled(face(30), (Box(left=0, top=0, width=30, height=30),)), "nothing beside faces"),
        (Labelled(np.zeros((10, 10), np.uint8), (Box(left=0, top=0, width=10, height=10),)), "nothing beside faces"),
    ],
    ids=["no face", "only a face", "smaller than a window"],
)
def test_what_cannot_be_learnt_from_is_told(labelled: Labelled, hint: str) -> None:
    """One line says what the pictures lack."""
    with pytest.raises(RecipeError, match=hint):
        train([labelled], SMALL)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pictures", 0),
        ("positives", 9),
        ("negatives", 9),
        ("stages", 0),
        ("min_hit_rate", 0.5),
        ("min_hit_rate", float("nan")),
        ("max_false_alarm", 1.0),
        ("max_weak", 0),
        ("features", 0),
        ("seed", -1),
    ],
)
def test_a_configuration_that_cannot_be_trained_is_refused(field: str, value: float) -> None:
    """The line names the field and its value."""
    with pytest.raises(RecipeError, match=f"cascade: {field}={value} cannot be trained with"):
        CascadeConfig(**{field: value})  # type: ignore[arg-type]
