"""Faces that cost nothing: discs of all colours, drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def coloured(classes: list[int], seed: int = 0, side: int = 16) -> NDArray[np.uint8]:
    """Draw discs whose class is their colour: 0 blue, 1 green, 2 red."""
    faces = discs(len(classes), side, seed)
    chance = np.random.default_rng(seed)
    for face, kind in zip(faces, classes, strict=True):
        face[..., :] = chance.integers(0, 60, 3)
        face[4:12, 4:12, 2 - kind] = chance.integers(180, 256)
    return faces


def discs(count: int, side: int = 16, seed: int = 0) -> NDArray[np.uint8]:
    """Draw a dark disc on a light ground, both coloured, for each face: uint8, (count, side, side, 3)."""
    chance = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    faces = np.empty((count, side, side, 3), np.uint8)
    for face in faces:
        x, y, radius = chance.uniform(0.35, 0.65) * side, chance.uniform(0.35, 0.65) * side, side / 4
        inside = ((columns - x) ** 2 + (rows - y) ** 2 < radius**2)[..., None]
        face[:] = np.where(inside, chance.integers(0, 128, 3), chance.integers(128, 256, 3))
    return faces
