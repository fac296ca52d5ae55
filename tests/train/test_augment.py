"""What is changed by chance stays differentiable, and ADA changes more the surer the discriminator is."""

from __future__ import annotations

import pytest
import torch

from pipeline.train.augment import ADA_IMAGES, Augment

CPU = torch.device("cpu")


def chance() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_none_gives_back_the_very_pictures() -> None:
    """Without drawing a number of chance."""
    pictures, source = torch.randn(2, 3, 16, 16), chance()

    assert Augment("none", 0.6, CPU)(pictures, source) is pictures
    assert torch.equal(source.get_state(), chance().get_state())


@pytest.mark.parametrize("kind", ["diffaugment", "ada"])
def test_the_generator_learns_through_what_is_changed(kind: str) -> None:
    """Shapes stay, numbers change, and most pixels have a gradient."""
    pictures = torch.rand(8, 3, 32, 32, requires_grad=True)
    augment = Augment(kind, 0.6, CPU)
    augment.probability.fill_(1.0)

    changed = augment(pictures, chance())
    changed.sum().backward()  # type: ignore[no-untyped-call]

    assert changed.shape == pictures.shape
    assert not torch.allclose(changed, pictures)
    assert pictures.grad is not None
    assert (pictures.grad != 0).float().mean() > 0.3


@pytest.mark.parametrize("kind", ["diffaugment", "ada"])
def test_the_same_chance_changes_the_same(kind: str) -> None:
    """So that a run can be repeated."""
    pictures = torch.rand(4, 3, 16, 16)
    augment = Augment(kind, 0.6, CPU)
    augment.probability.fill_(0.5)

    assert torch.equal(augment(pictures, chance()), augment(pictures, chance()))


def test_ada_changes_nothing_at_first_and_more_when_all_real_pictures_are_sure() -> None:
    """By images shown: from 0 to 1 in half a million; down again when they are not; never below 0."""
    augment = Augment("ada", 0.6, CPU)
    pictures = torch.rand(4, 3, 16, 16)
    assert torch.equal(augment(pictures, chance()), pictures)

    for _ in range(3):
        augment.learn(torch.ones(64))
    assert augment.probability.item() == pytest.approx(3 * 64 / ADA_IMAGES)
    for _ in range(5):
        augment.learn(-torch.ones(64))
    assert augment.probability.item() == 0


def test_diffaugment_never_learns_a_probability() -> None:
    """It always changes everything."""
    augment = Augment("diffaugment", 0.6, CPU)

    augment.learn(torch.ones(64))

    assert augment.probability.item() == 0
