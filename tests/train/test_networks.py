"""The networks have the sizes and the starting weights that the documents state."""

from __future__ import annotations

import pytest
import torch

from pipeline.train import TrainConfig
from pipeline.train.networks import build, dcgan, weights


@pytest.mark.parametrize(
    ("size", "width", "generator_m", "discriminator_m"),
    [(32, 72, 1.295, 0.838), (32, 264, 12.86, 11.18), (64, 168, 21.13, 19.00)],
)
def test_counts_of_the_simpsons_document(size: int, width: int, generator_m: float, discriminator_m: float) -> None:
    """Its three DCGANs have about 2, 24 and 40 million weights."""
    with torch.device("meta"):  # counts need no memory
        generator, discriminator = dcgan(TrainConfig(size=size, width=width))

    assert weights(generator) / 1e6 == pytest.approx(generator_m, rel=0.01)
    assert weights(discriminator) / 1e6 == pytest.approx(discriminator_m, rel=0.01)


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_draws_and_judges_pictures_of_its_size(size: int) -> None:
    """Noise becomes pictures in [-1, 1]; a picture becomes one logit."""
    generator, discriminator = build(TrainConfig(size=size, width=4, z=7))

    drawn = generator(torch.randn(3, 7))

    assert drawn.shape == (3, 3, size, size)
    assert drawn.abs().max() <= 1
    assert discriminator(drawn).shape == (3,)


def test_first_layer_is_the_transposed_convolution_of_the_paper() -> None:
    """The matrix product gives what a 4x4 transposed convolution on 1x1 noise gives."""
    generator, _ = dcgan(TrainConfig(size=16, width=4, z=5))
    matrix = generator.project.weight  # (4 * 4 * channels, z)
    channels = len(matrix) // 16
    kernel = matrix.reshape(4, 4, channels, 5).permute(3, 2, 0, 1)
    noise = torch.randn(2, 5)

    by_matrix = generator.project(noise).unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)
    by_convolution = torch.nn.functional.conv_transpose2d(noise[:, :, None, None], kernel)

    torch.testing.assert_close(by_matrix, by_convolution)


def test_weights_start_as_the_paper_says() -> None:
    """Convolutions from N(0, 0.02), scales of batch normalisation from N(1, 0.02), shifts at zero."""
    for network in build(TrainConfig(size=32, width=64)):
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                assert module.weight.mean().item() == pytest.approx(1, abs=0.01)
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.3)
                assert not module.bias.any()
            elif isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.Linear):
                assert module.weight.mean().item() == pytest.approx(0, abs=0.002)
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_the_seed_decides_the_weights() -> None:
    """The same seed gives the same weights, another seed others; what was drawn before does not matter."""
    once, other = (build(TrainConfig(size=16, width=4, seed=seed))[0].state_dict() for seed in (1, 2))
    torch.rand(9)
    again = build(TrainConfig(size=16, width=4, seed=1))[0].state_dict()

    assert all(torch.equal(once[name], again[name]) for name in once)
    assert not torch.equal(once["project.weight"], other["project.weight"])
