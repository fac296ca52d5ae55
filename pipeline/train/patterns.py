"""Hides how multi-block local binary patterns are computed and summed, to the bit as OpenCV does it.

Zhang and others, "Face Detection Based on Multi-Block LBP Representation" (2007). Nine blocks of one size, three by
three, are a feature; each of the eight round the middle gives a bit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Windows: TypeAlias = NDArray[np.uint8]  # N x 24 x 24
Sums: TypeAlias = NDArray[np.int32]  # 25 x 25 x N

WINDOW = 24  # pixels a side; what most cascades use, and enough for a face
CODES = 256  # patterns of one feature
AT_ONCE = 128  # windows whose sums are looked at together: they stay in the processor's cache
EPS = np.float32(1e-5)  # OpenCV takes it from a stage's threshold (THRESHOLD_EPS in cascadedetect.hpp) against rounding

# The order of the bits, from 128 down to 1, as rows and columns of the nine blocks (LBPEvaluator in cascadedetect.hpp).
_ROUND = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
_SIDES = range(1, WINDOW // 3 + 1)  # of one block, pixels


@dataclass(frozen=True, slots=True)
class Stump:
    """One feature, which of its patterns speak for the first leaf, and what the leaves say.

    The leaves are of single precision, which is what the file holds and OpenCV adds.
    """

    feature: int
    subset: NDArray[np.bool_]  # of 256
    leaves: tuple[float, float]  # of patterns in the subset, and of all others; above 0 speaks for a face


@dataclass(frozen=True, slots=True)
class Stage:
    """Stumps whose sum must reach a threshold, which is of single precision too."""

    stumps: tuple[Stump, ...]
    threshold: float


@functools.cache
def features() -> NDArray[np.int32]:
    """List all features of a window: left, top, and the width and height of one of its nine blocks.

    Returns:
        int32 of shape (8464, 4).
    """
    rows = [
        (left, top, wide, high)
        for wide in _SIDES
        for high in _SIDES
        for top in range(WINDOW - 3 * high + 1)
        for left in range(WINDOW - 3 * wide + 1)
    ]
    return np.array(rows, np.int32)


def codes(windows_NHW: Windows) -> NDArray[np.uint8]:
    """Compute the patterns of all features: a bit for each block round the middle one that is at least as light.

    Args:
        windows_NHW: uint8, of shape (N, 24, 24).

    Returns:
        uint8 of shape (8464, N), in the order of `features`.
    """
    found = np.empty((len(features()), len(windows_NHW)), np.uint8)
    for start, sums in _sums(windows_NHW):
        row = 0
        for wide in _SIDES:
            for high in _SIDES:
                some = _codes_of_size(sums, wide, high)
                found[row : row + len(some), start : start + sums.shape[2]] = some
                row += len(some)
    return found


def _codes_of_size(sums: Sums, wide: int, high: int) -> NDArray[np.uint8]:
    blocks = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    rows, columns = WINDOW - 3 * high + 1, WINDOW - 3 * wide + 1
    code = _code(lambda y, x: blocks[y * high : y * high + rows, x * wide : x * wide + columns])
    return code.reshape(rows * columns, -1)


def score(stage: Stage, windows_NHW: Windows) -> NDArray[np.float64]:
    """Give the sum of a stage's stumps for each window."""
    total = np.zeros(len(windows_NHW))
    for start, sums in _sums(windows_NHW):
        here = total[start : start + sums.shape[2]]
        for stump in stage.stumps:
            left, top, wide, high = (int(one) for one in features()[stump.feature])
            patterns = _code(functools.partial(_block, sums, left, top, wide, high))
            here += np.where(stump.subset[patterns], *stump.leaves)
    return total


def passes(stages: Sequence[Stage], windows_NHW: Windows) -> NDArray[np.bool_]:
    """Say which windows pass all stages."""
    alive = np.ones(len(windows_NHW), bool)
    for stage in stages:
        alive[alive] = score(stage, windows_NHW[alive]) >= float(np.float32(stage.threshold) - EPS)
    return alive


def _sums(windows_NHW: Windows) -> Iterator[tuple[int, Sums]]:
    """Give the sums over all rectangles from the upper left corner, for some windows at a time, and which those are."""
    for start in range(0, len(windows_NHW), AT_ONCE):
        some = windows_NHW[start : start + AT_ONCE]
        sums = np.zeros((WINDOW + 1, WINDOW + 1, len(some)), np.int32)
        sums[1:, 1:] = np.moveaxis(some, 0, -1).cumsum(0, np.int32).cumsum(1, np.int32)
        yield start, sums


def _block(sums: Sums, left: int, top: int, wide: int, high: int, y: int, x: int) -> NDArray[np.int32]:
    """Sum the pixels of one block of one feature."""
    top, left = top + high * y, left + wide * x
    total: NDArray[np.int32] = (
        sums[top + high, left + wide] - sums[top, left + wide] - sums[top + high, left] + sums[top, left]
    )
    return total


def _code(block: Callable[[int, int], NDArray[np.int32]]) -> NDArray[np.uint8]:
    """Compare the blocks of a feature, or of many at once; *block* gives their sums by row and column."""
    middle = block(1, 1)
    found = np.zeros(middle.shape, np.uint8)
    for bit, (y, x) in enumerate(_ROUND):
        found |= (block(y, x) >= middle).view(np.uint8) << np.uint8(7 - bit)
    return found
