"""The faces come whole, reduced without false edges, each as often as the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from discs import discs

from pipeline.errors import UsageError, WorldError
from pipeline.train.faces import Batches, manifest_sha256, open_faces, to_device

CPU = torch.device("cpu")


def numbered(count: int) -> torch.Tensor:
    """Faces of 2x2 pixels whose every byte is their number."""
    return torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 2, 2, 3).contiguous()


def numbers(pictures_NCHW: torch.Tensor) -> list[int]:
    return ((pictures_NCHW[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_reducing_by_a_whole_factor_is_the_mean_of_each_square() -> None:
    """64 to 16 pixels: each pixel is the rounded mean of 4x4."""
    faces = discs(3, side=64)
    means = faces.reshape(3, 16, 4, 16, 4, 3).astype(np.float64).mean((2, 4))

    reduced = to_device(faces, 16, CPU).numpy()

    assert np.abs(reduced - means).max() <= 0.5 + 1e-6


def test_reducing_by_another_factor_keeps_the_mean() -> None:
    """40 to 16 pixels is antialiased too: fine stripes become grey, not coarse stripes."""
    stripes = np.zeros((1, 40, 40, 3), np.uint8)
    stripes[:, :, ::2] = 255

    reduced = to_device(stripes, 16, CPU).numpy()[:, :, 1:-1]

    assert np.abs(reduced.astype(float) - 127.5).max() < 8


def test_faces_of_the_right_size_come_unchanged() -> None:
    """Byte for byte."""
    faces = discs(3, side=16)

    assert np.array_equal(to_device(faces, 16, CPU).numpy(), faces)


def test_enlarging_is_refused() -> None:
    """A generator must not learn blur that was not in the pictures."""
    with pytest.raises(UsageError, match=r"train\.size = 64: the faces of this release are 32 px"):
        to_device(discs(2, side=32), 64, CPU)


def test_every_face_comes_once_before_any_comes_again() -> None:
    """Also where the batch does not divide their number."""
    batches = Batches(numbered(10), 4, torch.Generator().manual_seed(0), mirror=False)

    seen = [number for _ in range(5) for number in numbers(next(batches))]

    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_mirroring_turns_about_half_of_the_pictures() -> None:
    """And leaves the others as they are."""
    face = torch.zeros(1, 2, 2, 3, dtype=torch.uint8)
    face[:, :, 0] = 255
    batches = Batches(face.expand(64, 2, 2, 3).contiguous(), 64, torch.Generator().manual_seed(0), mirror=True)

    left_is_white = next(batches)[:, 0, 0, 0] > 0

    assert 16 < left_is_white.sum() < 48


def test_pictures_lie_in_memory_as_the_convolutions_want_them() -> None:
    """channels_last, without a copy; float32 in [-1, 1]."""
    pictures = next(Batches(numbered(4), 4, torch.Generator(), mirror=False))

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
