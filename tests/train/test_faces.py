"""The faces come whole, reduced without false edges, each as often as the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from discs import discs
from numpy.typing import NDArray

from pipeline.errors import UsageError, WorldError
from pipeline.train.faces import Batch, Batches, Resident, Streamed, bring, manifest_sha256, open_faces

CPU = torch.device("cpu")


def numbered(count: int) -> torch.Tensor:
    """Faces of 2x2 pixels whose every byte is their number."""
    return torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 2, 2, 3).contiguous()


def reduced(faces_NHWC: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    there = bring(faces_NHWC, np.arange(len(faces_NHWC)), size, CPU)
    return there.take(torch.arange(len(faces_NHWC))).numpy()


def batches_of(
    faces_NHWC: torch.Tensor, batch: int, *, mirror: bool = False, weights: torch.Tensor | None = None
) -> Batches:
    chance = torch.Generator().manual_seed(0)
    labels = torch.arange(len(faces_NHWC)).float()[:, None]
    return Batches(Resident(faces_NHWC), labels, batch, chance, mirror=mirror, weights=weights)


def numbers(pictures_NCHW: torch.Tensor) -> list[int]:
    return ((pictures_NCHW[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_reducing_by_a_whole_factor_is_the_mean_of_each_square() -> None:
    """64 to 16 pixels: each pixel is the rounded mean of 4x4."""
    faces = discs(3, side=64)
    means = faces.reshape(3, 16, 4, 16, 4, 3).astype(np.float64).mean((2, 4))

    small = reduced(faces, 16)

    assert np.abs(small - means).max() <= 0.5 + 1e-6


def test_reducing_by_another_factor_keeps_the_mean() -> None:
    """40 to 16 pixels is antialiased too: fine stripes become grey, not coarse stripes."""
    stripes = np.zeros((1, 40, 40, 3), np.uint8)
    stripes[:, :, ::2] = 255

    small = reduced(stripes, 16)[:, :, 1:-1]

    assert np.abs(small.astype(float) - 127.5).max() < 8


def test_faces_of_the_right_size_come_unchanged() -> None:
    """Byte for byte."""
    faces = discs(3, side=16)

    assert np.array_equal(reduced(faces, 16), faces)


def test_enlarging_is_refused() -> None:
    """A generator must not learn blur that was not in the pictures."""
    with pytest.raises(UsageError, match=r"train\.size = 64: the faces of this release are 32 px"):
        reduced(discs(2, side=32), 64)


def test_every_face_comes_once_before_any_comes_again() -> None:
    """Also where the batch does not divide their number."""
    batches = batches_of(numbered(10), 4)

    seen = [number for _ in range(5) for number in numbers(next(batches).pictures)]

    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_mirroring_turns_about_half_of_the_pictures() -> None:
    """And leaves the others as they are."""
    face = torch.zeros(1, 2, 2, 3, dtype=torch.uint8)
    face[:, :, 0] = 255
    batches = batches_of(face.expand(64, 2, 2, 3).contiguous(), 64, mirror=True)

    left_is_white = next(batches).pictures[:, 0, 0, 0] > 0

    assert 16 < left_is_white.sum() < 48


def test_pictures_lie_in_memory_as_the_convolutions_want_them() -> None:
    """channels_last, without a copy; float32 in [-1, 1]."""
    pictures = next(batches_of(numbered(4), 4)).pictures

    assert pictures.is_contiguous(memory_format=torch.channels_last)
    assert pictures.dtype == torch.float32
    assert pictures.min() == -1


@pytest.mark.parametrize(
    ("faces", "says"),
    [
        (np.zeros((5, 8, 8, 3), np.float32), "is float32 5x8x8x3, not uint8"),
        (np.zeros((5, 8, 9, 3), np.uint8), "is uint8 5x8x9x3, not uint8 NxHxHx3"),
        (np.zeros((1, 8, 8, 3), np.uint8), r"holds 1 face\(s\), and training needs two or more"),
    ],
)
def test_an_array_that_cannot_be_trained_on_is_refused(publish: Callable[..., Path], faces: object, says: str) -> None:
    """One line with the file, what is wrong, and what to do."""
    with pytest.raises(WorldError, match=says):
        open_faces(publish(faces))


def test_a_damaged_or_missing_array_is_refused(release: Path) -> None:
    """Cut in the middle, and then gone."""
    path = release / "faces.npy"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WorldError, match="cannot be read"):
        open_faces(release)

    path.unlink()
    with pytest.raises(WorldError, match="No such file"):
        open_faces(release)


def test_a_folder_without_manifest_is_no_release(tmp_path: Path) -> None:
    """The manifest's hash is the release's name."""
    with pytest.raises(WorldError, match="name the folder of a release"):
        manifest_sha256(tmp_path)


def test_what_a_face_shows_comes_with_it() -> None:
    """Whatever the order."""
    batch = next(batches_of(numbered(10), 6))

    assert isinstance(batch, Batch)
    assert batch.labels[:, 0].int().tolist() == numbers(batch.pictures)


def test_a_weight_says_how_often_a_face_is_drawn() -> None:
    """Three times the weight, three times as often; weight 0, never."""
    batches = batches_of(numbered(3), 30, weights=torch.tensor([1.0, 3.0, 0.0]))

    seen = torch.tensor([number for _ in range(100) for number in numbers(next(batches).pictures)])

    counts = seen.bincount(minlength=3)
    assert counts[2] == 0
    assert counts[1] / counts[0] == pytest.approx(3, rel=0.15)


def test_faces_that_do_not_fit_are_streamed_and_are_the_same() -> None:
    """Read from their file in its order, and given in the order asked for."""
    faces, places = discs(20, side=32), np.arange(19, -1, -2)
    wanted = torch.tensor([3, 0, 9, 3])

    streamed, resident = (bring(faces, places, 16, CPU, free=free) for free in (0, 10**9))

    assert isinstance(streamed, Streamed)
    assert isinstance(resident, Resident)
    assert torch.equal(streamed.take(wanted), resident.take(wanted))
    assert len(streamed) == len(resident) == 10
