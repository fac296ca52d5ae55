"""Films go round on the sphere, hold every frame, and play in a browser."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from pipeline.train.films import FRAMES, LAST_MS, STRIP, film_of, path, slerp, write_gif, write_mp4
from pipeline.train.pictures import save_png


def noise(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 100, generator=torch.Generator().manual_seed(seed))


def plain(grey: int, height: int = 16, width: int = 16) -> NDArray[np.uint8]:
    return np.full((height, width, 3), grey, dtype=np.uint8)


def shades(count: int) -> list[NDArray[np.uint8]]:
    return [plain(20 * index) for index in range(count)]


def trained(run_dir: Path, steps: list[int]) -> Path:
    """A run folder with a grid for each step, each of its own grey."""
    for step in steps:
        save_png(run_dir / f"samples/fixed-{step:09d}.png", plain(step % 251, 34, 34))
    (run_dir / "run.json").write_text(json.dumps({"batch": 64, "total_steps": 1000}))
    return run_dir


def frames_of(file: Path) -> int:
    with Image.open(file) as image:
        return int(getattr(image, "n_frames", 1))


# --- the walk


def test_the_ends_are_exact() -> None:
    """Nothing is lost at an anchor: there the film shows the very face that the grid shows."""
    a, b = noise(4, 1), noise(4, 2)

    assert torch.equal(slerp(a, b, 0.0), a)
    assert torch.equal(slerp(a, b, 1.0), b)


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_the_way_stays_on_the_sphere(t: float) -> None:
    """A straight line would pass through noise that no generator has seen."""
    a, b = (torch.nn.functional.normalize(noise(4, seed)) * 10 for seed in (1, 2))

    norms = slerp(a, b, t).norm(dim=1)

    torch.testing.assert_close(norms, torch.full((4,), 10.0))


def test_half_way_the_angles_are_halves() -> None:
    """Of a right angle, 45 degrees."""
    half = slerp(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), 0.5)

    torch.testing.assert_close(half, torch.tensor([[0.5**0.5, 0.5**0.5]]))


@pytest.mark.parametrize("other", [1.0, 1.00001, -1.0])
def test_what_points_the_same_or_the_opposite_way_is_mixed_straight(other: float) -> None:
    """Its sine is no divisor."""
    a = noise(2)

    torch.testing.assert_close(slerp(a, a * other, 0.25), a * 0.75 + a * other * 0.25)


def test_the_path_is_closed() -> None:
    """It passes every anchor, and its last step is as far from the first anchor as any other step is long."""
    anchors = torch.eye(3)

    walk = path(anchors, 3)

    assert walk.shape == (12, 3)
    assert torch.equal(walk[::4], anchors)
    lengths = (walk.roll(-1, 0) - walk).norm(dim=1)
    torch.testing.assert_close(lengths, lengths[:1].expand(12))


def test_one_anchor_is_a_place_to_stand() -> None:
    """There is no way to go, and no frame is lost over it."""
    anchor = noise(1)

    torch.testing.assert_close(path(anchor, 2), anchor.expand(3, 100))


# --- the files


def test_a_gif_has_the_frames(tmp_path: Path) -> None:
    """Each in its colour, for ever, and the last one longer."""
    file = tmp_path / "film.gif"
    write_gif(file, shades(5), 50)

    with Image.open(file) as image:
        seen = []
        for index in range(5):
            image.seek(index)
            seen.append((int(np.asarray(image.convert("RGB"))[8, 8, 0]), image.info["duration"]))
        assert (frames_of(file), image.info["loop"]) == (5, 0)
    assert seen == [(0, 50), (20, 50), (40, 50), (60, 50), (80, LAST_MS)]


def test_a_round_does_not_halt(tmp_path: Path) -> None:
    """Where the last frame leads to the first, it is shown no longer than the others."""
    write_gif(tmp_path / "film.gif", shades(2), 50, last_ms=50)

    with Image.open(tmp_path / "film.gif") as image:
        image.seek(1)
        assert image.info["duration"] == 50


def test_without_frames_there_is_no_film(tmp_path: Path) -> None:
    """Neither a GIF nor an MP4."""
    write_gif(tmp_path / "film.gif", [], 50)

    assert not write_mp4(tmp_path / "film.mp4", [], 10)
    assert list(tmp_path.iterdir()) == []


def test_an_mp4_has_the_frames_on_even_sides(tmp_path: Path) -> None:
    """17 rows become 18, in a format that every browser plays, and nothing is left beside it."""
    av = pytest.importorskip("av")
    file = tmp_path / "film.mp4"

    assert write_mp4(file, [plain(40 * index, 17, 33) for index in range(6)], 10)

    with av.open(str(file)) as film:
        stream = film.streams.video[0]
        frames = list(film.decode(stream))
        kind = (stream.codec_context.name, stream.codec_context.pix_fmt, stream.average_rate)
    assert [(frame.width, frame.height) for frame in frames] == [(34, 18)] * 6
    assert kind == ("h264", "yuv420p", 10)
    greys = [int(frame.to_ndarray(format="rgb24").mean()) for frame in frames]
    assert greys == pytest.approx([0, 40, 80, 120, 160, 200], abs=3)
    assert [one.name for one in tmp_path.iterdir()] == ["film.mp4"]


def test_an_mp4_begins_with_its_index(tmp_path: Path) -> None:
    """A browser plays it before it has loaded all of it."""
    pytest.importorskip("av")
    write_mp4(tmp_path / "film.mp4", shades(6), 10)

    data = (tmp_path / "film.mp4").read_bytes()

    assert data.index(b"moov") < data.index(b"mdat")


# --- over time


def test_a_film_shows_every_grid_in_order(tmp_path: Path) -> None:
    """Enlarged in whole steps, with a strip for the words."""
    made = film_of(trained(tmp_path, [200, 50, 100]))

    assert made[0] == tmp_path / "fixed.gif"
    with Image.open(made[0]) as image:
        assert (frames_of(made[0]), image.size) == (3, (34 * 15, 34 * 15 + STRIP))
        greys = []
        for index in range(3):
            image.seek(index)
            greys.append(int(np.asarray(image.convert("RGB"))[8, 8, 0]))
    assert greys == [50, 100, 200]


def test_the_strip_tells_how_far_it_is(tmp_path: Path) -> None:
    """Half of the steps, half of the line."""
    gif = film_of(trained(tmp_path, [500]))[0]

    with Image.open(gif) as image:
        line = np.asarray(image.convert("RGB"))[-1]
    assert (line[:255] < 200).any(axis=1).all()
    assert (line[255:] > 240).all()


def test_a_long_training_gives_no_longer_film(tmp_path: Path) -> None:
    """Of three hundred grids some are left out, but neither the first nor the last."""
    gif = film_of(trained(tmp_path, list(range(1, 301))))[0]

    with Image.open(gif) as image:
        first = np.asarray(image.convert("RGB"))[8, 8, 0]
        image.seek(FRAMES - 1)
        last = np.asarray(image.convert("RGB"))[8, 8, 0]
        assert frames_of(gif) == FRAMES
    assert (first, last) == pytest.approx((1, 300 % 251), abs=1)


def test_a_damaged_grid_is_left_out(tmp_path: Path) -> None:
    """So is one of another size."""
    trained(tmp_path, [100, 200, 300, 400])
    (tmp_path / "samples/fixed-000000200.png").write_bytes(b"no picture")
    save_png(tmp_path / "samples/fixed-000000300.png", plain(7, 50, 34))

    assert frames_of(film_of(tmp_path)[0]) == 2


def test_large_grids_are_reduced(tmp_path: Path) -> None:
    """A film need not have every pixel of sixteen large faces."""
    save_png(tmp_path / "samples/fixed-000000001.png", plain(90, 1030, 1030))

    with Image.open(film_of(tmp_path)[0]) as image:
        assert image.size == (512, 512 + STRIP)


def test_where_nothing_was_drawn_nothing_is_filmed(tmp_path: Path) -> None:
    """An empty folder stays empty."""
    assert film_of(tmp_path) == ()
    assert list(tmp_path.iterdir()) == []
