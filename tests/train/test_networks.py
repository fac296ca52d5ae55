"""The networks have the sizes and the starting weights that the documents state."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from pipeline.train import TrainConfig
from pipeline.train.networks import NETWORKS, Resample, build, dcgan, jin, weights


@pytest.mark.parametrize(
    ("size", "width", "generator_m", "discriminator_m"),
    [(32, 72, 1.295, 0.838), (32, 264, 12.86, 11.18), (64, 168, 21.13, 19.00)],
)
def test_counts_of_the_simpsons_document(size: int, width: int, generator_m: float, discriminator_m: float) -> None:
    """Its three DCGANs have about 2, 24 and 40 million weights."""
    with torch.device("meta"):  # counts need no memory
        generator, discriminator = dcgan(TrainConfig(size=size, width=width).settled(), 0)

    assert weights(generator) / 1e6 == pytest.approx(generator_m, rel=0.01)
    assert weights(discriminator) / 1e6 == pytest.approx(discriminator_m, rel=0.01)


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_draws_and_judges_pictures_of_its_size(size: int) -> None:
    """Noise becomes pictures in [-1, 1]; a picture becomes one logit."""
    generator, discriminator = build(TrainConfig(size=size, width=4, z=7).settled())

    drawn = generator(torch.randn(3, 7))

    assert drawn.shape == (3, 3, size, size)
    assert drawn.abs().max() <= 1
    assert discriminator(drawn).real.shape == (3,)


def test_first_layer_is_the_transposed_convolution_of_the_paper() -> None:
    """The matrix product gives what a 4x4 transposed convolution on 1x1 noise gives."""
    generator, _ = dcgan(TrainConfig(size=16, width=4, z=5).settled(), 0)
    matrix = generator.project.weight  # (4 * 4 * channels, z)
    channels = len(matrix) // 16
    kernel = matrix.reshape(4, 4, channels, 5).permute(3, 2, 0, 1)
    noise = torch.randn(2, 5)

    by_matrix = generator.project(noise).unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)
    by_convolution = torch.nn.functional.conv_transpose2d(noise[:, :, None, None], kernel)

    torch.testing.assert_close(by_matrix, by_convolution)


def test_weights_start_as_the_paper_says() -> None:
    """Convolutions from N(0, 0.02), scales of batch normalisation from N(1, 0.02), shifts at zero."""
    for network in build(TrainConfig(size=32, width=64).settled()):
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
    once, other = (build(TrainConfig(size=16, width=4, seed=seed).settled())[0].state_dict() for seed in (1, 2))
    torch.rand(9)
    again = build(TrainConfig(size=16, width=4, seed=1).settled())[0].state_dict()

    assert all(torch.equal(once[name], again[name]) for name in once)
    assert not torch.equal(once["project.weight"], other["project.weight"])


SHAPES = [
    *((network, size) for network in ("dcgan", "r3gan") for size in (16, 32, 64, 128)),
    *(("single", size) for size in (32, 64, 128)),
    *(("mangagan", size) for size in (64, 96)),
    *(("jin", size) for size in (32, 64, 96, 128)),
]


@pytest.mark.parametrize(("network", "size"), SHAPES)
def test_every_network_draws_and_judges_every_size_that_it_is_made_for(network: str, size: int) -> None:
    """With noise and labels of its own numbers."""
    config = TrainConfig(network=network, size=size, width=8, blocks=1, z=5).settled()  # type: ignore[arg-type]
    generator, discriminator = build(config, labels=3)

    drawn = generator(torch.randn(2, 5), torch.eye(3)[:2])
    judged = discriminator(drawn, torch.eye(3)[:2])

    assert drawn.shape == (2, 3, size, size)
    assert judged.real.shape == (2,)
    assert (judged.labels is not None and judged.labels.shape == (2, 3)) == (network == "jin")


@pytest.mark.parametrize(
    ("size", "generator_m", "discriminator_m"), [(128, 4.31, 19.0), (64, 4.17, 4.79)], ids=["128 px", "64 px"]
)
def test_counts_of_the_jin_document(size: int, generator_m: float, discriminator_m: float) -> None:
    """With 34 labels, noise of 128 and 16 blocks."""
    with torch.device("meta"):
        generator, discriminator = jin(TrainConfig(network="jin", size=size).settled(), 34)

    assert weights(generator) / 1e6 == pytest.approx(generator_m, rel=0.005)
    assert weights(discriminator) / 1e6 == pytest.approx(discriminator_m, rel=0.005)


def test_mangagan_has_one_layer_more_than_dcgan() -> None:
    """A 3x3 convolution and its normalisation, before the last transposed one."""
    with torch.device("meta"):
        (more, _), (plain, _) = (
            NETWORKS[name](TrainConfig(network=name).settled(), 0)  # type: ignore[arg-type]
            for name in ("mangagan", "dcgan")
        )

    assert weights(more) - weights(plain) == 64 * 64 * 3 * 3 + 2 * 64


def test_the_single_character_net_has_six_and_six_layers() -> None:
    """Six convolutions that judge; five transposed ones and one convolution that draw. The first and last of 4x4 or 2x2
    are written as matrix products."""
    generator, discriminator = build(TrainConfig(network="single", size=64, width=8, blocks=0).settled())

    kinds = Counter(type(module).__name__ for module in generator.modules())
    judges = Counter(type(module).__name__ for module in discriminator.modules())
    assert kinds["ConvTranspose2d"] + kinds["Linear"] == 5
    assert kinds["Conv2d"] == 1
    assert judges["Conv2d"] + judges["Linear"] == 6


@pytest.mark.parametrize("changes", [{"penalty": "dragan"}, {"penalty": "r1"}, {"spectral_norm": True}])
@pytest.mark.parametrize("network", ["dcgan", "single", "jin", "r3gan"])
def test_no_bounded_discriminator_mixes_the_pictures_of_a_batch(network: str, changes: dict[str, Any]) -> None:
    """A gradient of one picture's logit by another picture is 0: no batch normalisation."""
    if network == "r3gan" and "spectral_norm" in changes:
        pytest.skip("is refused: its branches begin with layers of zeros")
    config = TrainConfig(network=network, size=32, width=8, blocks=1, **changes).settled()  # type: ignore[arg-type]
    _, discriminator = build(config)
    pictures = torch.randn(3, 3, 32, 32, requires_grad=True)

    (slope,) = torch.autograd.grad(discriminator(pictures).real[0], pictures)

    assert slope[0].any()
    assert not slope[1:].any()


def test_spectral_norm_bounds_every_layer() -> None:
    """By 1, once the estimate of the largest singular value has settled; and the seed decides the first estimate."""
    config = TrainConfig(size=32, width=8, spectral_norm=True).settled()
    (_, discriminator), (_, again) = build(config), build(config)
    for _ in range(50):
        discriminator(torch.randn(2, 3, 32, 32))

    layers = [one for one in discriminator.modules() if isinstance(one, torch.nn.Conv2d | torch.nn.Linear)]
    largest = [float(torch.linalg.matrix_norm(one.weight.detach().flatten(1), 2)) for one in layers]
    assert largest == pytest.approx([1.0] * len(layers), abs=0.05)
    fresh = build(config)[1].state_dict()
    assert all(torch.equal(fresh[name], value) for name, value in again.state_dict().items())


def test_an_unknown_label_adds_nothing_to_a_judgement() -> None:
    """0 in the place of a label is as if nothing were asked; 1 is not."""
    _, discriminator = build(TrainConfig(size=16, width=4).settled(), labels=2)
    pictures = torch.randn(2, 3, 16, 16)

    judged = discriminator.eval()(pictures, torch.zeros(2, 2)).real

    assert torch.equal(judged, discriminator(pictures).real)
    assert not torch.equal(judged, discriminator(pictures, torch.eye(2)).real)


def test_what_flows_through_r3gan_keeps_its_size_at_the_start() -> None:
    """However deep: pictures have about the spread of real ones, with 1 block as with 4."""
    spreads = []
    for blocks in (1, 4):
        config = TrainConfig(network="r3gan", size=32, width=16, blocks=blocks).settled()
        spreads.append(build(config)[0](torch.randn(64, 64)).std().item())

    assert spreads == pytest.approx([0.7, 0.7], abs=0.3)


def test_resampling_keeps_what_is_even() -> None:
    """A plain picture stays as it is away from its edge, up and down."""
    plain = torch.ones(1, 2, 8, 8)

    for up in (True, False):
        resampled = Resample(up=up)(plain)
        assert resampled.shape[2] == (16 if up else 4)
        torch.testing.assert_close(resampled[:, :, 1:-1, 1:-1], torch.ones_like(resampled[:, :, 1:-1, 1:-1]))


@pytest.mark.parametrize(("network", "penalty"), [("dcgan", "dragan"), ("single", "r1"), ("jin", "dragan")])
def test_a_discriminator_without_normalisation_says_something_from_the_start(network: str, penalty: str) -> None:
    """Its logits differ from picture to picture; with weights of 0.02 throughout they would not, for a long time."""
    config = TrainConfig(network=network, size=64, width=16, penalty=penalty).settled()  # type: ignore[arg-type]
    _, discriminator = build(config)
    colours = torch.rand(16, 3, 1, 1, generator=torch.Generator().manual_seed(0)) * 2 - 1

    assert discriminator(colours.expand(16, 3, 64, 64)).real.std().item() > 0.01
