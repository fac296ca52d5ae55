"""The faces of a release, whole on the device as uint8: there is no loader, a batch is one indexing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.errors import UsageError, WorldError

CHUNK = 2048  # faces reduced at once; 2048 at 256 px are 1.6 GB as float32


def manifest_sha256(release: Path) -> str:
    """Name the very state of *release*: the SHA-256 of its `data_manifest.csv`.

    Raises:
        WorldError: The file cannot be read.
    """
    manifest = release / "data_manifest.csv"
    try:
        return hashlib.sha256(manifest.read_bytes()).hexdigest()
    except OSError as error:
        raise WorldError(f"{manifest}: cannot be read ({error.strerror}); name the folder of a release") from error


def open_faces(release: Path) -> NDArray[np.uint8]:
    """Map the faces of *release* into memory: uint8 RGB, N x H x H x 3, read when looked at.

    Raises:
        WorldError: `faces.npy` is missing, is no such array, or holds fewer than two faces.
    """
    path = release / "faces.npy"
    try:
        faces: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WorldError(f"{path}: cannot be read ({reason}); publish the release again") from error
    shape = "x".join(map(str, faces.shape))
    if faces.dtype != np.uint8 or faces.ndim != 4 or faces.shape[3] != 3 or faces.shape[1] != faces.shape[2]:
        raise WorldError(f"{path}: is {faces.dtype} {shape}, not uint8 NxHxHx3; publish the release again")
    if len(faces) < 2:
        raise WorldError(f"{path}: holds {len(faces)} face(s), and training needs two or more; gather more pictures")
    return faces


def to_device(faces_NHWC: NDArray[np.uint8], size: int, device: torch.device) -> Tensor:
    """Bring all faces to *device*, reduced to *size* pixels a side, antialiased.

    Args:
        faces_NHWC: uint8 RGB, square.
        size: Where it divides the side, each pixel is the mean of the square that it covers.
        device: Must hold N x size x size x 3 bytes.

    Returns:
        uint8, (N, size, size, 3), contiguous: seen as NCHW it is channels_last.

    Raises:
        UsageError: The faces are smaller than *size*: enlarging is refused.
    """
    count, side = faces_NHWC.shape[:2]
    if side < size:
        raise UsageError(f"train.size = {size}: the faces of this release are {side} px, and are never enlarged")
    resident = torch.empty((count, size, size, 3), dtype=torch.uint8, device=device)
    for start in range(0, count, CHUNK):
        chunk = torch.from_numpy(np.array(faces_NHWC[start : start + CHUNK])).to(device)
        resident[start : start + CHUNK] = chunk if side == size else _reduced(chunk, size)
    return resident


def _reduced(faces_NHWC: Tensor, size: int) -> Tensor:
    pixels_NCHW = faces_NHWC.permute(0, 3, 1, 2).float()
    factor, rest = divmod(faces_NHWC.shape[1], size)
    if rest:
        small = functional.interpolate(pixels_NCHW, (size, size), mode="bilinear", antialias=True)
    else:
        small = functional.avg_pool2d(pixels_NCHW, factor)
    return small.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


class Batches(Iterator[Tensor]):
    """Batches without end: every face once, in an order of chance, then all again in another.

    Args:
        faces_NHWC: uint8, on the device; at least *batch* of them.
        batch: Faces at a time.
        chance: On the same device; the only source of the order.
        mirror: Show each face mirrored half of the time.
    """

    def __init__(self, faces_NHWC: Tensor, batch: int, chance: torch.Generator, *, mirror: bool) -> None:
        self.faces_NHWC = faces_NHWC
        self.batch = batch
        self.chance = chance
        self.mirror = mirror
        self.left = torch.empty(0, dtype=torch.int64, device=faces_NHWC.device)  # indices still to come

    def __next__(self) -> Tensor:
        """Give (batch, 3, H, W), float32 in [-1, 1], channels_last."""
        if len(self.left) < self.batch:
            count, device = len(self.faces_NHWC), self.faces_NHWC.device
            self.left = torch.cat([self.left, torch.randperm(count, generator=self.chance, device=device)])
        chosen, self.left = self.left[: self.batch], self.left[self.batch :]
        pictures_NCHW = as_pictures(self.faces_NHWC[chosen])
        if not self.mirror:
            return pictures_NCHW
        coins = torch.rand(self.batch, 1, 1, 1, generator=self.chance, device=pictures_NCHW.device)
        return torch.where(coins < 0.5, pictures_NCHW.flip(3), pictures_NCHW)


def as_pictures(faces_NHWC: Tensor) -> Tensor:
    """Turn uint8 faces into what the networks see: (N, 3, H, W), float32 in [-1, 1], channels_last."""
    return faces_NHWC.permute(0, 3, 1, 2).float() / 127.5 - 1
