"""What a face network should have said: which cell answers for which face, and how wrong an answer is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.train.detector_net import STRIDES, decoded

# Sides of the faces that each grid answers for, in pixels; where two grids may, both do.
_SIDES = {8: (0.0, 64.0), 16: (44.0, 160.0), 32: (112.0, float("inf"))}
_NEAR = 1.25  # strides from the middle of a face to the middle of a cell that answers for it, at most
_NEAREST = 0.75  # strides; so far off may a cell be though the face is smaller, or none would answer for some
_BOX_WEIGHT = 2.0  # of the boxes' loss beside the scores'

NOBODY, IGNORED = -1, -2


def assigned(middles: Tensor, strides: Tensor, faces: Tensor, ignored: Tensor) -> Tensor:
    """Say for each cell which face it answers for.

    Args:
        middles: (cells, 2), pixels.
        strides: (cells,), pixels.
        faces: (faces, 3): centre x, centre y, side; pixels.
        ignored: (places, 4): left, top, right, bottom; pixels.

    Returns:
        (cells,): the index of a face, of several the smallest; NOBODY; or IGNORED, where it may say what it likes.
    """
    chosen = torch.full((len(middles),), NOBODY)
    if len(ignored):
        x, y = middles[:, :1], middles[:, 1:]
        inside = (x > ignored[:, 0]) & (x < ignored[:, 2]) & (y > ignored[:, 1]) & (y < ignored[:, 3])
        chosen[inside.any(1)] = IGNORED
    if not len(faces):
        return chosen
    sides = faces[:, 2]
    off = (middles[:, None] - faces[None, :, :2]).abs().amax(2)
    reach = torch.minimum(_NEAR * strides[:, None], torch.maximum(sides / 2, _NEAREST * strides[:, None]))
    answers = off < reach
    for stride in STRIDES:
        least, most = _SIDES[stride]
        answers &= (strides[:, None] != stride) | ((sides >= least) & (sides <= most))
    smallest = torch.where(answers, sides, torch.inf)
    size, index = smallest.min(1)
    return torch.where(size < torch.inf, index, chosen)


def loss(raw: Tensor, middles: Tensor, strides: Tensor, faces: Sequence[Tensor], ignored: Sequence[Tensor]) -> Tensor:
    """Measure answers: boxes by generalised intersection over union, scores by how well the box fits.

    A cell should give as its score the overlap of its own box with the face, and 0 where no face is; what is far off
    counts more (quality focal loss of Li et al., arXiv 2006.04388; generalised intersection over union of Rezatofighi
    et al., arXiv 1902.09630).

    Args:
        raw: (N, 4, cells), as `detector_net.flat` gives it.
        middles: (cells, 2), pixels.
        strides: (cells,), pixels.
        faces: For each picture, as `assigned` wants it.
        ignored: The same.

    Returns:
        A mean over the cells that answer for a face.
    """
    chosen = torch.stack(
        [assigned(middles, strides, some, places) for some, places in zip(faces, ignored, strict=True)]
    )
    squares = decoded(raw, middles, strides).transpose(1, 2)
    picture, cell = torch.nonzero(chosen >= 0, as_tuple=True)
    wanted = torch.zeros_like(raw[:, 3])
    boxes = raw.sum() * 0
    if len(picture):
        starts = torch.tensor([0, *(len(some) for some in faces[:-1])]).cumsum(0)
        mine = torch.cat(list(faces))[starts[picture] + chosen[picture, cell]]
        overlap, generalised = overlaps(squares[picture, cell], mine)
        wanted[picture, cell] = overlap.detach()
        boxes = (1 - generalised).sum()
    logits = raw[:, 3]
    far = (torch.sigmoid(logits) - wanted).detach().square()
    each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * far
    scores = each[chosen != IGNORED].sum()
    return (scores + _BOX_WEIGHT * boxes) / max(1, len(picture))


def overlaps(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Give intersection over union of squares, and the generalised one; pairwise, (n, 3): centre x, y and side."""
    least = torch.maximum(first[:, :2] - first[:, 2:] / 2, second[:, :2] - second[:, 2:] / 2)
    most = torch.minimum(first[:, :2] + first[:, 2:] / 2, second[:, :2] + second[:, 2:] / 2)
    both = (most - least).clamp(min=0).prod(1)
    union = first[:, 2] ** 2 + second[:, 2] ** 2 - both
    outer_least = torch.minimum(first[:, :2] - first[:, 2:] / 2, second[:, :2] - second[:, 2:] / 2)
    outer_most = torch.maximum(first[:, :2] + first[:, 2:] / 2, second[:, :2] + second[:, 2:] / 2)
    hull = (outer_most - outer_least).prod(1)
    overlap = both / union.clamp(min=1e-6)
    return overlap, overlap - (hull - union) / hull.clamp(min=1e-6)
