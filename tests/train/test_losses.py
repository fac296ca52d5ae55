"""The losses are binary cross-entropy, and stay numbers wherever the logits go."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from pipeline.train.losses import (
    LOSSES,
    around_real,
    discriminator_loss,
    generator_loss,
    gradients,
    labels_loss,
    one_centred,
    zero_centred,
)

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


def test_hinge_pays_only_for_what_is_not_sure() -> None:
    """max(0, 1 - real) and max(0, 1 + drawn); the generator is paid for its logits as they are."""
    hinge = LOSSES["hinge"]

    assert hinge.discriminator(REAL, FAKE, 0.0).item() == pytest.approx((0 + 1.5 + 0) / 3 + (0 + 1.25 + 2.0) / 3)
    assert hinge.generator(FAKE, REAL).item() == pytest.approx(0.25)


def test_the_relativistic_loss_compares_one_with_one() -> None:
    """softplus(-(real - drawn)) for the discriminator, the other way round for the generator, pair by pair."""
    pairs = list(zip(REAL.tolist(), FAKE.tolist(), strict=True))
    softplus = [math.log1p(math.exp(-(real - drawn))) for real, drawn in pairs]
    opposite = [math.log1p(math.exp(real - drawn)) for real, drawn in pairs]

    relativistic = LOSSES["relativistic"]

    assert relativistic.discriminator(REAL, FAKE, 0.0).item() == pytest.approx(sum(softplus) / 3)
    assert relativistic.generator(FAKE, REAL).item() == pytest.approx(sum(opposite) / 3)


def test_unknown_labels_cost_nothing() -> None:
    """Known ones binary cross-entropy each, summed over the labels."""
    logits = torch.tensor([[2.0, -1.0, 5.0]])

    cost = labels_loss(logits, torch.tensor([[1.0, -1.0, 0.0]]))

    assert cost.item() == pytest.approx(math.log1p(math.exp(-2)) + math.log1p(math.exp(-1)))


def linear(slope: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """A critic whose gradient is *slope* for every picture."""
    return lambda pictures: (pictures * slope).sum((1, 2, 3))


def test_a_norm_is_taken_over_all_numbers_of_a_picture() -> None:
    """Of channels, rows and columns together: a linear critic of known slope, norm 5, is 16 from 1 squared."""
    slope = torch.zeros(3, 4, 4)
    slope[0, 0, 0], slope[2, 3, 1] = 3.0, 4.0

    slopes = gradients(linear(slope), torch.randn(6, 3, 4, 4))

    assert slopes.shape == (6, 48)
    assert one_centred(slopes).item() == pytest.approx(16)
    assert zero_centred(slopes).item() == pytest.approx(12.5)


@pytest.mark.parametrize("penalty", [one_centred, zero_centred])
def test_a_penalty_reaches_the_weights(penalty: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Through the gradient of a gradient: it can be learnt from."""
    slope = torch.full((3, 4, 4), 0.5, requires_grad=True)

    penalty(gradients(linear(slope), torch.randn(2, 3, 4, 4))).backward()  # type: ignore[no-untyped-call]

    assert slope.grad is not None
    assert slope.grad.abs().min() > 0


def test_a_slope_of_nothing_poisons_nothing() -> None:
    """The root of 0 has no derivative."""
    slope = torch.zeros(3, 2, 2, requires_grad=True)

    one_centred(gradients(linear(slope), torch.randn(2, 3, 2, 2))).backward()  # type: ignore[no-untyped-call]

    assert slope.grad is not None
    assert slope.grad.isfinite().all()


def test_dragan_looks_on_one_side_of_real_pictures_as_far_as_it_reaches() -> None:
    """Between x and x + reach times the batch's one standard deviation, further for some pictures than for others."""
    real = torch.randn(64, 3, 8, 8)

    off = around_real(real, torch.Generator().manual_seed(0), 0.5) - real

    assert off.min() >= 0
    assert off.max() <= 0.5 * real.std()
    assert off.mean().item() == pytest.approx(0.5 * real.std().item() / 4, rel=0.1)
    assert off.mean((1, 2, 3)).std() > 0.3 * off.mean()


def test_compiling_gives_no_wrong_penalty() -> None:
    """PyTorch refuses to compile the gradient of a gradient; so the step is never compiled where there is a penalty."""
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.LeakyReLU(0.2), torch.nn.Flatten(), torch.nn.Linear(16, 1)
    )
    compiled = torch.compile(network, backend="aot_eager")
    pictures = torch.randn(2, 3, 4, 4)

    with pytest.raises(RuntimeError, match="double backward"):
        one_centred(gradients(lambda x: compiled(x).squeeze(1), pictures)).backward()  # type: ignore[no-untyped-call]
