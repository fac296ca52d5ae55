"""What a person looks at while a network learns: grids of faces as PNG, the losses as a table and as a curve."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipeline.pixels import encode_png
from pipeline.store import write_atomically
from pipeline.train.faces import as_faces

GAP = 2  # white pixels between the pictures of a grid


def grid(pictures_NCHW: Tensor, columns: int) -> NDArray[np.uint8]:
    """Lay pictures side by side, row after row, on white.

    Args:
        pictures_NCHW: float in [-1, 1].
        columns: Pictures in a row; the last row may be shorter.

    Returns:
        RGB, uint8.
    """
    return sheet(as_faces(pictures_NCHW).cpu().numpy(), columns)


def sheet(faces_NHWC: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Lay faces side by side, row after row, on white; the last row may be shorter.

    Returns:
        RGB, uint8.
    """
    count, height, width, _ = faces_NHWC.shape
    rows = -(-count // columns)
    whole = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, dtype=np.uint8)
    for index, picture in enumerate(faces_NHWC):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        whole[top : top + height, left : left + width] = picture
    return whole


def save_png(path: Path, pixels_HWC: NDArray[np.uint8]) -> None:
    """Write RGB pixels to *path*, all or nothing.

    Raises:
        StoreError: The disk is full, or the folder cannot be written.
    """
    write_atomically(path, encode_png(pixels_HWC))


@dataclass(frozen=True, kw_only=True, slots=True)
class LossRow:
    """One tick: means since the tick before."""

    step: int
    kimg: float
    d_loss: float
    g_loss: float
    img_per_s: float
    seconds: float  # of training steps, over all calls
    penalty: float = 0.0  # on the discriminator's gradient, without its weight
    augment: float = 0.0  # ADA's probability at the end of the tick
    memory_mb: float = 0.0  # most that was taken so far


def read_losses(path: Path, last_step: int) -> list[LossRow]:
    """Read the rows up to *last_step*: what came after the checkpoint is trained, and written, again."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="ascii") as file:
        rows = [
            LossRow(step=int(row.pop("step")), **{name: float(value) for name, value in row.items()})
            for row in csv.DictReader(file)
        ]
    return [row for row in rows if row.step <= last_step]


def write_losses(path: Path, rows: Sequence[LossRow]) -> None:
    """Write the whole table, all or nothing: a few hundred rows, and none is ever cut or doubled."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([field.name for field in dataclasses.fields(LossRow)])
    for row in rows:
        table.writerow([row.step, *(f"{value:.6g}" for value in dataclasses.astuple(row)[1:])])
    write_atomically(path, text.getvalue().encode("ascii"))


def draw_losses(path: Path, rows: Sequence[LossRow]) -> None:
    """Draw both losses over the images shown, as a PNG."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second to load, and not needed to look at grids

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    kimg = [row.kimg for row in rows]
    marker = "o" if len(rows) == 1 else ""
    axes.plot(kimg, [row.d_loss for row in rows], marker=marker, label="discriminator")
    axes.plot(kimg, [row.g_loss for row in rows], marker=marker, label="generator")
    axes.set(xlabel="kimg", ylabel="loss", title="losses, mean of each tick")
    axes.grid(alpha=0.3)
    axes.legend()
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=100, metadata={"Software": None})
    write_atomically(path, data.getvalue())
