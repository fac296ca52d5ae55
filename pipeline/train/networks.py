"""The shapes of the networks: a generator and a discriminator for each name that a recipe may give."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from pipeline.train import TrainConfig

LEAK = 0.2  # of LeakyReLU in the discriminator (arXiv 1511.06434)
SPREAD = 0.02  # standard deviation of the weights at the start (arXiv 1511.06434)


class Generator(nn.Module):
    """DCGAN's generator: noise of shape (N, z) becomes pictures (N, 3, size, size) in [-1, 1].

    The first layer is the transposed convolution of the paper from 1x1 to 4x4, written as the matrix product that it
    is: the same weights, several times faster on a CPU.
    """

    def __init__(self, *, size: int, width: int, z: int) -> None:
        super().__init__()
        channels = _channels(size, width)[::-1]
        self.project = nn.Linear(z, 4 * 4 * channels[0], bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(channels[0]), nn.ReLU(inplace=True)]
        for coarse, fine in itertools.pairwise(channels):
            layers += [nn.ConvTranspose2d(coarse, fine, 4, 2, 1, bias=False), nn.BatchNorm2d(fine)]
            layers += [nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose2d(channels[-1], 3, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, noise_NZ: Tensor) -> Tensor:
        """Draw one picture for each row of *noise_NZ*."""
        coarse_NHWC = self.project(noise_NZ).unflatten(1, (4, 4, -1))
        pictures: Tensor = self.layers(coarse_NHWC.permute(0, 3, 1, 2))
        return pictures


class Discriminator(nn.Module):
    """DCGAN's discriminator: pictures (N, 3, size, size) in [-1, 1] become logits (N,); above 0 means real."""

    def __init__(self, *, size: int, width: int) -> None:
        super().__init__()
        channels = _channels(size, width)
        layers: list[nn.Module] = [nn.Conv2d(3, channels[0], 4, 2, 1, bias=False), nn.LeakyReLU(LEAK, inplace=True)]
        for fine, coarse in itertools.pairwise(channels):
            layers += [nn.Conv2d(fine, coarse, 4, 2, 1, bias=False), nn.BatchNorm2d(coarse)]
            layers += [nn.LeakyReLU(LEAK, inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.judge = nn.Linear(4 * 4 * channels[-1], 1, bias=False)

    def forward(self, pictures_NCHW: Tensor) -> Tensor:
        """Judge each picture."""
        coarse_NHWC = self.layers(pictures_NCHW).permute(0, 2, 3, 1)
        logits: Tensor = self.judge(coarse_NHWC.flatten(1)).squeeze(1)
        return logits


def dcgan(config: TrainConfig) -> tuple[Generator, Discriminator]:
    """Build the standard DCGAN, generator and discriminator mirroring each other."""
    generator = Generator(size=config.size, width=config.width, z=config.z)
    return generator, Discriminator(size=config.size, width=config.width)


NETWORKS: dict[str, Callable[[TrainConfig], tuple[nn.Module, nn.Module]]] = {"dcgan": dcgan}


def build(config: TrainConfig) -> tuple[nn.Module, nn.Module]:
    """Build generator and discriminator on the CPU, with weights that depend on `config.seed` alone.

    Weights are drawn from N(0, 0.02), the scales of batch normalisation from N(1, 0.02), as the paper has it.
    """
    networks = NETWORKS[config.network](config)
    chance = torch.Generator().manual_seed(config.seed)
    for network in networks:
        for module in network.modules():
            _start(module, chance)
    return networks


def weights(network: nn.Module) -> int:
    """Count the numbers that training changes."""
    return sum(one.numel() for one in network.parameters())


def _start(module: nn.Module, chance: torch.Generator) -> None:
    match module:
        case nn.Conv2d() | nn.ConvTranspose2d() | nn.Linear():
            nn.init.normal_(module.weight, 0.0, SPREAD, generator=chance)
        case nn.BatchNorm2d():
            nn.init.normal_(module.weight, 1.0, SPREAD, generator=chance)
            nn.init.zeros_(module.bias)


def _channels(size: int, width: int) -> list[int]:
    """Channels at each side from size/2 down to 4 pixels."""
    return [width << level for level in range(size.bit_length() - 3)]
