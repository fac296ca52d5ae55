"""The faces of a release as the device wants them: whole in its memory as uint8, or streamed where they do not fit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.errors import UsageError, WorldError

CHUNK = 2048  # faces reduced at once; 2048 at 256 px are 1.6 GB as float32
SHARE = 0.4  # of the device's free memory that faces may fill; networks and gradients need the rest


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


class Faces(Protocol):
    """Faces of one size that a training takes by their numbers."""

    device: torch.device

    def __len__(self) -> int:
        """How many there are."""
        ...

    def take(self, places_N: Tensor) -> Tensor:
        """Give some of them, on the device: uint8, (N, size, size, 3), contiguous; seen as NCHW it is channels_last."""
        ...


class Resident:
    """All faces in the device's memory: a batch is one indexing, and there is no loader."""

    def __init__(self, faces_NHWC: Tensor) -> None:
        self.faces_NHWC = faces_NHWC
        self.device = faces_NHWC.device

    def __len__(self) -> int:
        return len(self.faces_NHWC)

    def take(self, places_N: Tensor) -> Tensor:
        """Index."""
        return self.faces_NHWC[places_N]


class Streamed:
    """Faces that stay in their file: each batch is read, reduced and sent; the device works on the last one meanwhile.

    Args:
        faces_NHWC: Mapped into memory.
        places: Which of them there are.
        size: Pixels a side.
        device: Where they are sent.
    """

    def __init__(
        self, faces_NHWC: NDArray[np.uint8], places: NDArray[np.int64], size: int, device: torch.device
    ) -> None:
        self.faces_NHWC, self.places, self.size, self.device = faces_NHWC, places, size, device

    def __len__(self) -> int:
        return len(self.places)

    def take(self, places_N: Tensor) -> Tensor:
        """Read in the order of the file, and give in the order asked for."""
        wanted = self.places[places_N.cpu().numpy()]
        order = np.argsort(wanted, kind="stable")
        read = np.empty((len(wanted), *self.faces_NHWC.shape[1:]), np.uint8)
        read[order] = self.faces_NHWC[wanted[order]]
        pixels = torch.from_numpy(read)
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        return _reduced(pixels.to(self.device, non_blocking=True), self.size)


def bring(
    faces_NHWC: NDArray[np.uint8], places: NDArray[np.int64], size: int, device: torch.device, free: int | None = None
) -> Resident | Streamed:
    """Bring some faces to *device*, reduced to *size* pixels a side; what does not fit is streamed.

    Args:
        faces_NHWC: uint8 RGB, square.
        places: Which of them.
        size: Where it divides the side, each pixel is the mean of the square that it covers; else antialiased.
        device: Where they are wanted.
        free: Bytes that are free there; None asks the machine.

    Raises:
        UsageError: The faces are smaller than *size*: enlarging is refused.
    """
    side = faces_NHWC.shape[1]
    if side < size:
        raise UsageError(f"train.size = {size}: the faces of this release are {side} px, and are never enlarged")
    if len(places) * size * size * 3 > SHARE * (_free(device) if free is None else free):
        return Streamed(faces_NHWC, places, size, device)
    resident = torch.empty((len(places), size, size, 3), dtype=torch.uint8, device=device)
    for start in range(0, len(places), CHUNK):
        chunk = torch.from_numpy(np.array(faces_NHWC[places[start : start + CHUNK]])).to(device)
        resident[start : start + CHUNK] = _reduced(chunk, size)
    return Resident(resident)


def _free(device: torch.device) -> int:
    """Bytes that nobody uses on a device; of main memory what the kernel can give without swapping."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _reduced(faces_NHWC: Tensor, size: int) -> Tensor:
    if faces_NHWC.shape[1] == size:
        return faces_NHWC
    pixels_NCHW = faces_NHWC.permute(0, 3, 1, 2).float()
    factor, rest = divmod(faces_NHWC.shape[1], size)
    if rest:
        small = functional.interpolate(pixels_NCHW, (size, size), mode="bilinear", antialias=True)
    else:
        small = functional.avg_pool2d(pixels_NCHW, factor)
    return small.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


class Batch(NamedTuple):
    """What one step shows."""

    pictures: Tensor  # (N, 3, H, W), float32 in [-1, 1], channels_last
    labels: Tensor  # (N, labels), float32: 1 true, -1 false, 0 unknown


class Batches(Iterator[Batch]):
    """Batches without end: every face once, in an order of chance, then all again in another; or by weight.

    Args:
        faces: At least *batch* of them.
        labels_NL: What each shows, float32 on the device.
        batch: Faces at a time.
        chance: On the same device; the only source of the order.
        mirror: Show each face mirrored half of the time.
        weights: How often each face is drawn, beside the others; None: every face once a round.
    """

    def __init__(
        self,
        faces: Faces,
        labels_NL: Tensor,
        batch: int,
        chance: torch.Generator,
        *,
        mirror: bool,
        weights: Tensor | None = None,
    ) -> None:
        self.faces = faces
        self.labels_NL = labels_NL
        self.batch = batch
        self.chance = chance
        self.mirror = mirror
        self.weights = weights
        self.left = torch.empty(0, dtype=torch.int64, device=faces.device)  # indices still to come

    def __next__(self) -> Batch:
        """Give the next faces and what they show."""
        if len(self.left) < self.batch:
            self.left = torch.cat([self.left, self._round()])
        chosen, self.left = self.left[: self.batch], self.left[self.batch :]
        pictures_NCHW = as_pictures(self.faces.take(chosen))
        if self.mirror:
            coins = torch.rand(self.batch, 1, 1, 1, generator=self.chance, device=pictures_NCHW.device)
            pictures_NCHW = torch.where(coins < 0.5, pictures_NCHW.flip(3), pictures_NCHW)
        return Batch(pictures_NCHW, self.labels_NL[chosen])

    def _round(self) -> Tensor:
        count, device = len(self.faces), self.faces.device
        if self.weights is None:
            return torch.randperm(count, generator=self.chance, device=device)
        # The inverse of the cumulated weights: torch.multinomial takes no more than 2**24 of them.
        edges = self.weights.double().cumsum(0)
        darts = torch.rand(count, generator=self.chance, device=device, dtype=torch.float64) * edges[-1]
        return torch.searchsorted(edges, darts, right=True).clamp_(max=count - 1)


def as_pictures(faces_NHWC: Tensor) -> Tensor:
    """Turn uint8 faces into what the networks see: (N, 3, H, W), float32 in [-1, 1], channels_last."""
    return faces_NHWC.permute(0, 3, 1, 2).float() / 127.5 - 1


def as_faces(pictures_NCHW: Tensor) -> Tensor:
    """Turn what the networks draw into uint8 faces, (N, H, W, 3); what is outside [-1, 1] is clamped."""
    return ((pictures_NCHW.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()
