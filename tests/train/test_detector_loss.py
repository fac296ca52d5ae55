"""Which cell answers for which face, and how wrong an answer is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pipeline.train.detector_loss import IGNORED, NOBODY, assigned, loss, overlaps
from pipeline.train.detector_net import STRIDES, cells

SIDE = 256  # pixels of the input
MIDDLES, CELL_STRIDES = cells(SIDE, SIDE)
NO_FACES, NO_PLACES = torch.empty(0, 3), torch.empty(0, 4)


def squares(*rows: tuple[float, float, float]) -> Tensor:
    return torch.tensor(rows)


def grids_of(chosen: Tensor, face: int) -> set[float]:
    """Strides of the cells that answer for a face."""
    return set(CELL_STRIDES[chosen == face].tolist())


@pytest.mark.parametrize(
    ("side", "grids"), [(7, {8.0}), (30, {8.0}), (50, {8.0, 16.0}), (100, {16.0}), (130, {16.0, 32.0}), (400, {32.0})]
)
def test_the_size_of_a_face_chooses_its_grid(side: float, grids: set[float]) -> None:
    """Small faces are answered for by the fine grid, large ones by the coarse one, those between by two."""
    assert grids_of(assigned(MIDDLES, CELL_STRIDES, squares((128, 128, side)), NO_PLACES), 0) == grids


@pytest.mark.parametrize("at", [8.0, 12.0, 15.9, 100.3])
def test_a_face_of_any_size_anywhere_has_a_cell_that_answers(at: float) -> None:
    """Also one that lies between the middles of four cells, or is smaller than a cell."""
    for side in (5.0, 8.0, 20.0, 64.0, 90.0, 200.0):
        assert (assigned(MIDDLES, CELL_STRIDES, squares((at, at, side)), NO_PLACES) == 0).any()


def test_only_cells_near_the_middle_answer() -> None:
    """Those of the cheek are told that nobody is there."""
    chosen = assigned(MIDDLES, CELL_STRIDES, squares((128, 128, 40)), NO_PLACES)

    off = (MIDDLES[chosen == 0] - 128).abs().max()
    assert off < 1.25 * 8
    assert (chosen[chosen != 0] == NOBODY).all()


def test_the_smaller_of_two_faces_in_one_place_is_answered_for() -> None:
    """The larger one has other cells left."""
    chosen = assigned(MIDDLES, CELL_STRIDES, squares((128, 128, 60), (124, 124, 20)), NO_PLACES)

    nearest = ((MIDDLES - 124).abs().sum(1) + (CELL_STRIDES != 8) * 1000).argmin()
    assert chosen[nearest] == 1
    assert (chosen == 0).any()


def test_nothing_is_learnt_where_nobody_has_decided() -> None:
    """Except of a face that somebody has decided on."""
    place = torch.tensor([[100.0, 100.0, 160.0, 160.0]])

    empty = assigned(MIDDLES, CELL_STRIDES, NO_FACES, place)
    chosen = assigned(MIDDLES, CELL_STRIDES, squares((128, 128, 40)), place)

    inside = ((MIDDLES > 100) & (MIDDLES < 160)).all(1)
    assert torch.equal(empty == IGNORED, inside)
    assert (chosen[inside] == 0).any()
    assert (chosen[~inside] == NOBODY).all()


def test_overlaps_of_squares() -> None:
    """The same, half beside each other, and apart: there only the generalised one says how far."""
    first = squares((10, 10, 10), (10, 10, 10), (10, 10, 10))
    second = squares((10, 10, 10), (15, 10, 10), (30, 10, 10))

    overlap, generalised = overlaps(first, second)

    assert overlap.tolist() == pytest.approx([1, 1 / 3, 0])
    assert generalised.tolist() == pytest.approx([1, 1 / 3, -1 / 3])


def answers(*faces: tuple[float, float, float], logit: float = 6.0) -> Tensor:
    """What a network would say that knows its faces: in each cell near one where it lies, and there alone surely."""
    raw = torch.zeros(1, 4, len(MIDDLES))
    raw[:, 3] = -logit
    chosen = assigned(MIDDLES, CELL_STRIDES, squares(*faces), NO_PLACES)
    for index, (x, y, side) in enumerate(faces):
        for cell in torch.nonzero(chosen == index).flatten():
            stride = CELL_STRIDES[cell]
            raw[0, :2, cell] = (torch.tensor([x, y]) - MIDDLES[cell]) / stride
            raw[0, 2, cell] = torch.log(side / stride)
            raw[0, 3, cell] = logit
    return raw


def test_what_is_right_costs_nothing_and_what_is_wrong_does() -> None:
    """A missed face, one that is not there, and one in the wrong place each cost more than the truth."""
    truth = squares((60, 70, 40), (180, 150, 90))

    def cost(raw: Tensor) -> float:
        return float(loss(raw, MIDDLES, CELL_STRIDES, [truth], [NO_PLACES]))

    right = cost(answers((60, 70, 40), (180, 150, 90)))
    assert right < 0.01
    assert cost(answers((60, 70, 40))) > 0.5
    assert cost(answers((60, 70, 40), (180, 150, 90), (220, 40, 30))) > 10 * right
    assert cost(answers((60, 70, 40), (190, 150, 90))) > 10 * right


def test_an_empty_picture_can_be_learnt_from() -> None:
    """All it says is that nobody is there."""
    cost = loss(answers(), MIDDLES, CELL_STRIDES, [NO_FACES], [NO_PLACES])

    assert 0 <= float(cost) < 0.01
    assert {*CELL_STRIDES.tolist()} == {*STRIDES}
