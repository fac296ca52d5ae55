"""The losses are binary cross-entropy, and stay numbers wherever the logits go."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from pipeline.train.losses import discriminator_loss, generator_loss

REAL, FAKE = torch.tensor([1.5, -0.5, 3.0]), torch.tensor([-2.0, 0.25, 1.0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_smoothing_moves_only_the_target_of_real_pictures(smoothing: float) -> None:
    """Real pictures are to be called 1 - smoothing, drawn ones 0."""
    expected = cross_entropy(REAL, torch.full((3,), 1 - smoothing)) + cross_entropy(FAKE, torch.zeros(3))

    torch.testing.assert_close(discriminator_loss(REAL, FAKE, smoothing), expected)


def test_the_generator_wants_its_pictures_called_real() -> None:
    """The non-saturating form: cross-entropy against 1."""
    torch.testing.assert_close(generator_loss(FAKE), cross_entropy(FAKE, torch.ones(3)))


def test_knowing_nothing_costs_what_the_docstrings_say() -> None:
    """2 ln 2 and ln 2."""
    nothing = torch.zeros(4)

    assert discriminator_loss(nothing, nothing).item() == pytest.approx(2 * math.log(2))
    assert generator_loss(nothing).item() == pytest.approx(math.log(2))


def test_sure_and_wrong_costs_much_but_never_infinity() -> None:
    """Logits of 1000 would be log(0) after a sigmoid; here they cost 1000, with a gradient."""
    sure = torch.tensor([-1000.0], requires_grad=True)

    loss = generator_loss(sure)
    loss.backward()

    assert loss.item() == pytest.approx(1000)
    assert sure.grad is not None
    assert sure.grad.item() == pytest.approx(-1)


def test_low_precision_logits_are_summed_in_float32() -> None:
    """Under autocast logits come as bf16."""
    assert discriminator_loss(REAL.bfloat16(), FAKE.bfloat16()).dtype == torch.float32
