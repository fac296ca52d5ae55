"""A training of a face network, small enough for a test: faces are discs with eyes, and discs without are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.detectors import Face
from pipeline.detectors.onnx import OnnxDetector
from pipeline.errors import RecipeError
from pipeline.pixels import Pixels
from pipeline.records import Box
from pipeline.train.detector import DetectorConfig, Progress, Weights, train
from pipeline.train.sheets import Coloured

# A narrower net learns as well on some processors and hardly anything on others, whose kernels round otherwise.
QUICK = DetectorConfig(kimg=2.4, batch=8, side=96, width=8, lr=3e-3, precision="fp32")


def disc(pixels_HWC: Pixels, x: float, y: float, side: float, colour: tuple[int, int, int]) -> None:
    rows, columns = np.mgrid[: pixels_HWC.shape[0], : pixels_HWC.shape[1]]
    pixels_HWC[np.hypot(columns - x, rows - y) < side / 2] = colour


def scene(seed: int) -> Coloured:
    """One face and one disc that is none, on a background of its own."""
    chance = np.random.default_rng(seed)
    pixels_HWC = np.full((256, 256, 3), chance.integers(0, 120, 3), np.uint8)
    side = int(chance.integers(40, 90))
    x, other = (64, 192) if chance.random() < 0.5 else (192, 64)
    y = int(chance.integers(70, 180))
    disc(pixels_HWC, other, 256 - y, side, (240, 210, 190))
    disc(pixels_HWC, x, y, side, (240, 210, 190))
    for aside in (-0.2, 0.2):
        disc(pixels_HWC, x + aside * side, y, side * 0.26, (20, 20, 60))
    disc(pixels_HWC, x, y + 0.28 * side, side * 0.16, (200, 30, 40))
    return Coloured(pixels_HWC, (Box(left=x - side // 2, top=y - side // 2, width=side, height=side),), (), str(seed))


SCENES = [scene(seed) for seed in range(20)]


def learn(
    config: DetectorConfig = QUICK,
    told: list[Progress] | None = None,
    stop: Callable[[], bool] = lambda: False,
    start: bytes | None = None,
) -> Weights:
    return train(SCENES, config, (told if told is not None else []).append, stop, start=start, made="by a test")


@pytest.fixture(scope="module")
def learnt() -> tuple[Weights, list[Progress]]:
    """A network that has learnt, and what was told meanwhile."""
    told: list[Progress] = []
    return learn(told=told), told


def found(weights: Weights, pixels_HWC: Pixels, folder: Path) -> list[Face]:
    """What a detector finds that is made of a file, the surest first."""
    (folder / "net.onnx").write_bytes(weights.onnx)
    (folder / "net.toml").write_text(
        'model = "net.onnx"\nproof = "none.png"\n[input]\nwidth = 416\nheight = 416\n[output]\nmin_score = 0.05\n'
    )
    return sorted(OnnxDetector.load(str(folder / "net.toml")).detect(pixels_HWC), key=lambda face: -face.score)


def test_the_loss_falls(learnt: tuple[Weights, list[Progress]]) -> None:
    """The last word is the last step."""
    weights, told = learnt

    assert told[-1].loss < 0.8 * told[0].loss
    assert (told[-1].step, told[-1].steps, weights.steps) == (300, 300, 300)


def test_it_finds_faces_that_it_has_not_seen(learnt: tuple[Weights, list[Progress]], tmp_path: Path) -> None:
    """In a file that OpenCV runs; a disc without eyes is less of a face to it."""
    right = 0
    for seed in range(100, 110):
        one = scene(seed)
        canvas_HWC = np.full((416, 416, 3), 114, np.uint8)  # as large as the input: one pixel is one pixel
        canvas_HWC[:256, :256] = one.pixels_HWC
        first = found(learnt[0], canvas_HWC, tmp_path)[:1]
        right += any(face.box.overlap(one.faces[0]) > 0.5 for face in first)
    assert right >= 8


def test_the_same_seed_gives_the_same_bytes() -> None:
    """And another seed other ones."""
    short = DetectorConfig(kimg=0.04, batch=4, side=64, width=4)

    first = learn(short).onnx
    assert learn(short).onnx == first
    assert learn(DetectorConfig(kimg=0.04, batch=4, side=64, width=4, seed=7)).onnx != first


def test_stopped_it_gives_what_was_learnt_so_far() -> None:
    """After the step at which it was asked to stop."""
    weights = learn(DetectorConfig(kimg=100, batch=4, side=64, width=4), stop=lambda: True)

    assert weights.steps == 1
    assert weights.onnx


def test_it_goes_on_from_what_was_learnt(learnt: tuple[Weights, list[Progress]]) -> None:
    """The first loss is about the last one, not that of a network that knows nothing."""
    told: list[Progress] = []

    learn(DetectorConfig.going_on(kimg=0.08, batch=8, side=96, width=8, lr=1e-4), told, start=learnt[0].onnx)

    assert told[0].loss < 0.85 * learnt[1][0].loss


def test_it_goes_on_from_no_other_network(learnt: tuple[Weights, list[Progress]]) -> None:
    """One of another width has other weights."""
    with pytest.raises(RecipeError, match="no face network of width 16"):
        learn(DetectorConfig(width=16), start=learnt[0].onnx)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kimg", 0),
        ("kimg", float("nan")),
        ("batch", 1),
        ("side", 100),
        ("side", 2048),
        ("lr", 0),
        ("width", 2),
        ("drawings", 0),
        ("posts", 0),
        ("pictures", 0),
        ("seed", -1),
        ("precision", "int8"),
        ("threads", 0),
    ],
)
def test_what_cannot_be_trained_with_is_refused(field: str, value: float | str) -> None:
    """By name and value, before anything is drawn."""
    with pytest.raises(RecipeError, match=rf"detector: {field}={value} cannot be trained with"):
        DetectorConfig(**{field: value})  # type: ignore[arg-type]
