"""Grids and loss tables show what is there, once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline.train.pictures import LossRow, draw_losses, grid, read_losses, save_png, write_losses


def row(step: int) -> LossRow:
    return LossRow(step=step, kimg=step / 10, d_loss=1.25, g_loss=0.5, img_per_s=100.0, seconds=2.0 * step)


def test_a_grid_lies_row_after_row_on_white(tmp_path: Path) -> None:
    """Three pictures in two columns: the fourth place stays white; -1 is black, 1 is white."""
    pictures = torch.tensor([-1.0, 0.0, 1.0])[:, None, None, None].expand(3, 3, 4, 4)
    save_png(tmp_path / "grid.png", grid(pictures, 2))

    pixels = np.asarray(Image.open(tmp_path / "grid.png"))

    assert pixels.shape == (10, 10, 3)
    assert [pixels[y, x, 0] for y, x in ((0, 0), (0, 6), (6, 0), (6, 6), (0, 4))] == [0, 128, 255, 255, 255]


def test_losses_come_back_up_to_the_checkpoint(tmp_path: Path) -> None:
    """What was written after it is trained again, and must not stand there twice."""
    path = tmp_path / "losses.csv"
    write_losses(path, [row(10), row(20), row(30)])

    assert read_losses(path, 20) == [row(10), row(20)]
    assert read_losses(tmp_path / "none.csv", 20) == []


def test_the_table_reads_like_a_table(tmp_path: Path) -> None:
    """A header and a row for each tick."""
    path = tmp_path / "losses.csv"
    write_losses(path, [row(10)])

    assert path.read_text() == (
        "step,kimg,d_loss,g_loss,img_per_s,seconds,penalty,augment,memory_mb\n10,1,1.25,0.5,100,20,0,0,0\n"
    )


def test_the_curve_is_a_picture(tmp_path: Path) -> None:
    """Drawn without a screen; one tick is enough."""
    draw_losses(tmp_path / "losses.png", [row(10)])

    assert Image.open(tmp_path / "losses.png").size == (800, 400)
