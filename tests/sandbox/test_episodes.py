"""pipeline.sandbox.episodes: films whose scenes are known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pipeline.sandbox.episodes import OPENING_SCENES, Film, Scene

av = pytest.importorskip("av")


def frames(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as film:
        return [(frame.time, frame.to_ndarray(format="rgb24").astype(int)) for frame in film.decode(video=0)]


def test_scenes_begin_where_the_truth_says(tmp_path: Path) -> None:
    """The picture changes at the beginning of each scene, and nowhere else so much."""
    episode = Film(seed=1, scenes=3, scene_s=0.5).make(tmp_path / "a.mp4")

    shown = frames(episode.path)
    changes = [now_s for (_, before), (now_s, now) in pairwise(shown) if np.abs(now - before).mean() > 20]

    assert len(shown) == 36
    assert changes == pytest.approx([scene.start_s for scene in episode.scenes[1:]], abs=0.001)
    assert [scene.seconds for scene in episode.scenes] == pytest.approx([0.5] * 3)


def test_a_drawing_is_held_and_has_grain(tmp_path: Path) -> None:
    """On twos: two frames of one drawing differ by noise alone."""
    film = Film(seed=2, scenes=1, scene_s=0.5, codec="ffv1", pixels="bgr0")
    first, second = (pixels for _, pixels in frames(film.make(tmp_path / "a.mkv").path)[:2])

    assert 0 < np.abs(first - second).mean() < 4


def test_the_same_seed_gives_the_same_film(tmp_path: Path) -> None:
    """Byte for byte; another seed another."""
    first, again, other = (Film(seed=seed, scenes=1).make(tmp_path / f"{n}.mp4") for n, seed in enumerate((5, 5, 6)))

    assert first.path.read_bytes() == again.path.read_bytes()
    assert first.scenes == again.scenes != other.scenes


def test_episodes_of_a_series_share_their_opening(tmp_path: Path) -> None:
    """The same characters at the same times, under other grain; what follows is their own."""
    first, second = (Film(seed=seed, series=9, scene_s=0.25).make(tmp_path / f"{seed}.mp4") for seed in (1, 2))

    assert first.scenes[:OPENING_SCENES] == second.scenes[:OPENING_SCENES]
    assert first.scenes[OPENING_SCENES:] != second.scenes[OPENING_SCENES:]
    assert [scene.opening for scene in first.scenes] == [True] * OPENING_SCENES + [False] * 3
    one, other = (frames(episode.path)[0][1] for episode in (first, second))
    assert 0 < np.abs(one - other).mean() < 6


def test_faces_lie_inside_the_frame_and_the_truth_survives_json(tmp_path: Path) -> None:
    """Their boxes are those of the pictures that a frame shows."""
    scene = Film(seed=3, scenes=1, scene_s=0.25).make(tmp_path / "a.mp4").scenes[0]

    assert scene.faces
    assert all(face.box.left >= 0 and face.box.right <= 320 and face.box.bottom <= 180 for face in scene.faces)
    assert Scene.from_json(scene.to_json()) == scene


def test_an_uneven_rate_is_kept(tmp_path: Path) -> None:
    """Frames are shown when they are meant to be."""
    episode = Film(scenes=1, scene_s=0.5, shown_at=lambda frame: frame * frame / 100).make(tmp_path / "a.mkv")

    assert [at for at, _ in frames(episode.path)] == pytest.approx([n * n / 100 for n in range(12)], abs=0.001)
