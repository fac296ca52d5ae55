"""The shapes of the networks: a generator and a discriminator for each name that a recipe may give."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from pipeline.train import TrainConfig

LEAK = 0.2  # of LeakyReLU in every discriminator (arXiv 1511.06434)
SPREAD = 0.02  # standard deviation of the weights at the start (arXiv 1511.06434)
GROUP = 8  # r3gan: channels of a stage for each group of its 3x3 convolutions (brownvc/R3GAN, FFHQ-64: 768 / 96)


class Judged(NamedTuple):
    """What a discriminator says of pictures."""

    real: Tensor  # (N,) logits; above 0 means real
    labels: Tensor | None = None  # (N, labels) logits of each label, of networks that name them (jin)


class Generator(nn.Module):
    """What all generators have in common: noise (N, z) and wishes (N, labels) become pictures (N, 3, size, size).

    Args:
        noise: Numbers of noise.
        labels: Numbers that say what a picture is asked for: 1 wanted, -1 unwanted, 0 as it comes.
    """

    def __init__(self, *, noise: int, labels: int) -> None:
        super().__init__()
        self.noise, self.labels = noise, labels

    def forward(self, noise_NZ: Tensor, wishes_NL: Tensor | None = None) -> Tensor:
        """Draw one picture for each row; in [-1, 1], but those of r3gan, which may be a little outside."""
        if not self.labels:
            return self.draw(noise_NZ)
        if wishes_NL is None:
            wishes_NL = noise_NZ.new_zeros(len(noise_NZ), self.labels)
        return self.draw(torch.cat([noise_NZ, wishes_NL], 1))

    def draw(self, input_NI: Tensor) -> Tensor:
        """Turn noise and wishes, side by side, into pictures."""
        raise NotImplementedError


class Discriminator(nn.Module):
    """What discriminators have in common that weigh a picture against what it should show.

    The logit is a linear function of the features plus their inner product with an embedding of the labels
    (arXiv 1802.05637); a label that is unknown, 0, adds nothing.

    Args:
        features: Numbers that the last layer gives for a picture.
        labels: Numbers that say what is known of a picture: 1 true, -1 false, 0 unknown.
    """

    def __init__(self, *, features: int, labels: int) -> None:
        super().__init__()
        self.judge = nn.Linear(features, 1, bias=False)
        self.embed = nn.Linear(labels, features, bias=False) if labels else None

    def forward(self, pictures_NCHW: Tensor, labels_NL: Tensor | None = None) -> Judged:
        """Judge each picture."""
        features_NF = self.look(pictures_NCHW)
        real_N: Tensor = self.judge(features_NF).squeeze(1)
        if self.embed is not None and labels_NL is not None:
            real_N = real_N + (features_NF * self.embed(labels_NL)).sum(1)
        return Judged(real_N)

    def look(self, pictures_NCHW: Tensor) -> Tensor:
        """Give the features of each picture, (N, features)."""
        raise NotImplementedError


class DeconvGenerator(Generator):
    """Transposed convolutions from 4x4 up: the generators of DCGAN, of MangaGAN and of the single-character net.

    The first layer is the transposed convolution of the paper from 1x1 to 4x4, written as the matrix product that it
    is: the same weights, several times faster on a CPU.

    Args:
        size: Pixels a side.
        width: Channels before the picture.
        noise: Numbers of noise.
        labels: Numbers of wishes.
        act: Makes the activation.
        before_last: Layers at half the size, before the last transposed convolution.
        after_each: Layers after each transposed convolution but the last.
        finish: Turns `width` channels into a picture without tanh.
    """

    def __init__(
        self,
        *,
        size: int,
        width: int,
        noise: int,
        labels: int,
        act: Callable[[], nn.Module],
        before_last: Callable[[int], list[nn.Module]] = lambda _: [],
        after_each: Callable[[int], list[nn.Module]] = lambda _: [],
        finish: Callable[[int], list[nn.Module]] | None = None,
    ) -> None:
        super().__init__(noise=noise, labels=labels)
        channels = _channels(size, width)[::-1]
        self.project = nn.Linear(noise + labels, 4 * 4 * channels[0], bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(channels[0]), act()]
        for coarse, fine in itertools.pairwise(channels):
            layers += [nn.ConvTranspose2d(coarse, fine, 4, 2, 1, bias=False), nn.BatchNorm2d(fine), act()]
            layers += after_each(fine)
        layers += before_last(channels[-1])
        layers += finish(channels[-1]) if finish else [_last_deconv(size, channels[-1])]
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def draw(self, input_NI: Tensor) -> Tensor:
        """Enlarge step by step."""
        coarse_NHWC = self.project(input_NI).unflatten(1, (4, 4, -1))
        pictures: Tensor = self.layers(coarse_NHWC.permute(0, 3, 1, 2))
        return pictures


class ConvDiscriminator(Discriminator):
    """Strided convolutions down to 4x4, or to 2x2 and one more: DCGAN's discriminator and its relatives.

    Args:
        size: Pixels a side.
        width: Channels after the first layer.
        labels: Numbers of what is known.
        normalised: Layers of batch normalisation; none where a gradient or a norm is bounded, for they would mix the
            pictures of a batch.
        deeper: Halve once more, to 2x2.
    """

    def __init__(self, *, size: int, width: int, labels: int, normalised: bool, deeper: bool = False) -> None:
        channels = _channels(size, width)
        if deeper:
            channels.append(2 * channels[-1])
        side = 2 if deeper else 4
        super().__init__(features=side * side * channels[-1], labels=labels)
        layers: list[nn.Module] = [_first_conv(size, channels[0]), nn.LeakyReLU(LEAK, inplace=True)]
        for fine, coarse in itertools.pairwise(channels):
            layers += [nn.Conv2d(fine, coarse, 4, 2, 1, bias=not normalised)]
            layers += [nn.BatchNorm2d(coarse)] if normalised else []
            layers += [nn.LeakyReLU(LEAK, inplace=True)]
        self.layers = nn.Sequential(*layers)

    def look(self, pictures_NCHW: Tensor) -> Tensor:
        """Give what the last convolution says, place by place."""
        features: Tensor = self.layers(pictures_NCHW).permute(0, 2, 3, 1).flatten(1)
        return features


class Residual(nn.Module):
    """Something added to its own input.

    Args:
        layers: What is added.
        after: Applied to the sum.
    """

    def __init__(self, *layers: nn.Module, after: nn.Module | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.after = after or nn.Identity()

    def forward(self, input_NCHW: Tensor) -> Tensor:
        """Add."""
        total: Tensor = self.after(input_NCHW + self.layers(input_NCHW))
        return total


class JinGenerator(Generator):
    """The SRResNet-like generator of Jin et al. (arXiv 1708.05509): residual blocks at 16x16, then sub-pixel layers.

    Weights at width 64, 128 px, noise 128 and 34 labels: 4.31 million.
    """

    def __init__(self, *, size: int, width: int, blocks: int, noise: int, labels: int) -> None:
        super().__init__(noise=noise, labels=labels)
        self.side = 12 if size == 96 else 16
        self.project = nn.Linear(noise + labels, width * self.side**2)
        self.start = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.blocks = nn.Sequential(*(_jin_block(width) for _ in range(blocks)))
        self.skip = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        ups = [_sub_pixel(width) for _ in range((size // self.side).bit_length() - 1)]
        self.finish = nn.Sequential(*ups, nn.Conv2d(width, 3, 9, 1, 4), nn.Tanh())

    def draw(self, input_NI: Tensor) -> Tensor:
        """Refine, then enlarge."""
        start = self.start(self.project(input_NI).unflatten(1, (-1, self.side, self.side)))
        pictures: Tensor = self.finish(self.skip(self.blocks(start)) + start)
        return pictures


class JinDiscriminator(nn.Module):
    """The discriminator of Jin et al.: residual blocks without normalisation, two heads: real or not, and the labels.

    Weights at width 32, 128 px and 34 labels: 19.0 million, in 10 residual blocks.
    """

    def __init__(self, *, size: int, width: int, labels: int) -> None:
        super().__init__()
        side, channels = size // 2, width
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 4, 2, 1), nn.LeakyReLU(LEAK, inplace=True)]
        while side > 3:
            layers += [_plain_block(channels), _plain_block(channels)]
            layers += [nn.Conv2d(channels, 2 * channels, 3, 2, 1), nn.LeakyReLU(LEAK, inplace=True)]
            side, channels = -(-side // 2), 2 * channels
        self.layers = nn.Sequential(*layers)
        self.judge = nn.Linear(side * side * channels, 1)
        self.name = nn.Linear(side * side * channels, labels) if labels else None

    def forward(self, pictures_NCHW: Tensor, _labels_NL: Tensor | None = None) -> Judged:
        """Judge and name; what the pictures should show is not told to this network."""
        features_NF = self.layers(pictures_NCHW).flatten(1)
        return Judged(self.judge(features_NF).squeeze(1), None if self.name is None else self.name(features_NF))


class Biased(nn.Module):
    """A bias for each channel, then LeakyReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, input_NCHW: Tensor) -> Tensor:
        """Add and bend."""
        return functional.leaky_relu(input_NCHW + self.bias.view(1, -1, 1, 1), LEAK)


class Resample(nn.Module):
    """Twice, or half, as many pixels a side, through the filter [1, 2, 1]."""

    kernel: Tensor

    def __init__(self, *, up: bool) -> None:
        super().__init__()
        self.up = up
        line = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", torch.outer(line, line) / (4 if up else 16), persistent=False)

    def forward(self, input_NCHW: Tensor) -> Tensor:
        """Resample each channel for itself."""
        channels = input_NCHW.shape[1]
        kernel = self.kernel.to(input_NCHW.dtype).expand(channels, 1, 3, 3)
        if self.up:
            return functional.conv_transpose2d(
                input_NCHW, kernel, stride=2, padding=1, output_padding=1, groups=channels
            )
        return functional.conv2d(input_NCHW, kernel, stride=2, padding=1, groups=channels)


class ModernGenerator(Generator):
    """R3GAN's generator (arXiv 2501.05441): no normalisation; a learned 4x4 basis scaled by a map of the noise.

    The side doubles stage by stage; each stage has `blocks` of 1x1, grouped 3x3 and 1x1 convolutions. The last stage
    has `width` channels, all others twice as many.
    """

    def __init__(self, *, size: int, width: int, blocks: int, noise: int, labels: int) -> None:
        super().__init__(noise=noise, labels=labels)
        channels = _modern_channels(size, width)
        self.basis = nn.Parameter(torch.empty(channels[0], 4, 4))
        self.scale = nn.Linear(noise + labels, channels[0], bias=False)
        self.layers = nn.Sequential(*_modern_stages(channels, blocks, up=True))
        self.picture = nn.Conv2d(channels[-1], 3, 1, bias=False)

    def draw(self, input_NI: Tensor) -> Tensor:
        """Enlarge and refine in turn."""
        start_NCHW = self.basis * self.scale(input_NI)[:, :, None, None]
        pictures: Tensor = self.picture(self.layers(start_NCHW))
        return pictures


class ModernDiscriminator(Discriminator):
    """R3GAN's discriminator: the generator's stages the other way, to one number for each channel of the 4x4 map."""

    def __init__(self, *, size: int, width: int, blocks: int, labels: int) -> None:
        channels = _modern_channels(size, width)[::-1]
        super().__init__(features=channels[-1], labels=labels)
        self.picture = nn.Conv2d(3, channels[0], 1, bias=False)
        self.layers = nn.Sequential(*_modern_stages(channels, blocks, up=False))
        self.basis = nn.Conv2d(channels[-1], channels[-1], 4, groups=channels[-1], bias=False)

    def look(self, pictures_NCHW: Tensor) -> Tensor:
        """Give one number for each channel."""
        features: Tensor = self.basis(self.layers(self.picture(pictures_NCHW))).flatten(1)
        return features


def dcgan(config: TrainConfig, labels: int) -> tuple[nn.Module, nn.Module]:
    """Build the standard DCGAN (arXiv 1511.06434), generator and discriminator mirroring each other.

    At 32 px and width 72 both have 2.13 million weights, at width 264 24.0, and at 64 px and width 168 40.1: the three
    of the Simpsons document.
    """
    act = _relu
    generator = DeconvGenerator(size=config.size, width=config.width, noise=config.z or 0, labels=labels, act=act)
    return generator, _discriminator(config, labels)


def mangagan(config: TrainConfig, labels: int) -> tuple[nn.Module, nn.Module]:
    """Build MangaGAN's DCGAN (jayleicn/animeGAN): LeakyReLU in both, one more 3x3 layer; of 64 or 96 px."""
    generator = DeconvGenerator(
        size=config.size,
        width=config.width,
        noise=config.z or 0,
        labels=labels,
        act=_leaky,
        before_last=lambda width: [nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), _leaky()],
    )
    return generator, _discriminator(config, labels)


def single(config: TrainConfig, labels: int) -> tuple[nn.Module, nn.Module]:
    """Build the net for the faces of one character.

    At 64 px: a discriminator of six convolutions, a generator of five transposed ones and one that finishes, and after
    each transposed one `config.blocks` residual blocks.
    """
    blocks = config.blocks or 0
    generator = DeconvGenerator(
        size=config.size,
        width=config.width,
        noise=config.z or 0,
        labels=labels,
        act=_relu,
        after_each=lambda width: [_jin_block(width) for _ in range(blocks)],
        finish=lambda width: [
            *(nn.ConvTranspose2d(width, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), _relu()),
            nn.Conv2d(width, 3, 3, 1, 1),
        ],
    )
    return generator, _discriminator(config, labels, deeper=True)


def jin(config: TrainConfig, labels: int) -> tuple[nn.Module, nn.Module]:
    """Build the networks of Jin et al.; the discriminator begins with half as many channels as the generator has."""
    generator = JinGenerator(
        size=config.size, width=config.width, blocks=config.blocks or 0, noise=config.z or 0, labels=labels
    )
    return generator, JinDiscriminator(size=config.size, width=max(1, config.width // 2), labels=labels)


def r3gan(config: TrainConfig, labels: int) -> tuple[nn.Module, nn.Module]:
    """Build R3GAN's networks, of any width that `GROUP` divides."""
    shape = {"size": config.size, "width": -(-config.width // GROUP) * GROUP, "blocks": config.blocks or 0}
    return ModernGenerator(**shape, noise=config.z or 0, labels=labels), ModernDiscriminator(**shape, labels=labels)


NETWORKS: dict[str, Callable[[TrainConfig, int], tuple[nn.Module, nn.Module]]] = {
    "dcgan": dcgan,
    "mangagan": mangagan,
    "single": single,
    "jin": jin,
    "r3gan": r3gan,
}


def build(config: TrainConfig, labels: int = 0) -> tuple[nn.Module, nn.Module]:
    """Build generator and discriminator on the CPU, with weights that depend on `config.seed` alone.

    Weights are drawn from N(0, 0.02), the scales of batch normalisation from N(1, 0.02), as DCGAN's paper has it; those
    of r3gan as its authors have them (`_start_modern`). A discriminator without normalisation begins with more
    (`_start_bare`).

    Args:
        config: All is settled (`TrainConfig.settled`).
        labels: Numbers that say what a picture shows; 0: nothing is asked for.
    """
    generator, discriminator = NETWORKS[config.network](config, labels)
    chance = torch.Generator().manual_seed(config.seed)
    for network in (generator, discriminator):
        for module in network.modules():
            _start(module, chance)
        if isinstance(network, ModernGenerator | ModernDiscriminator):
            _start_modern(network, chance)
    if not isinstance(discriminator, ModernDiscriminator) and not _normalised(discriminator):
        _start_bare(discriminator, chance)
    if config.spectral_norm:
        _bound(discriminator, chance)
    return generator, discriminator


def weights(network: nn.Module) -> int:
    """Count the numbers that training changes."""
    return sum(one.numel() for one in network.parameters())


def _discriminator(config: TrainConfig, labels: int, *, deeper: bool = False) -> ConvDiscriminator:
    normalised = config.penalty == "none" and not config.spectral_norm
    return ConvDiscriminator(size=config.size, width=config.width, labels=labels, normalised=normalised, deeper=deeper)


def _relu() -> nn.Module:
    return nn.ReLU(inplace=True)


def _leaky() -> nn.Module:
    return nn.LeakyReLU(LEAK, inplace=True)


def _channels(size: int, width: int) -> list[int]:
    """Channels at each side from size/2 (a third of 96) down to 4 pixels."""
    fine = 32 if size == 96 else size // 2
    return [width << level for level in range(fine.bit_length() - 2)]


def _last_deconv(size: int, channels: int) -> nn.Module:
    shape = (5, 3, 1) if size == 96 else (4, 2, 1)
    return nn.ConvTranspose2d(channels, 3, *shape, bias=False)


def _first_conv(size: int, channels: int) -> nn.Module:
    shape = (5, 3, 1) if size == 96 else (4, 2, 1)
    return nn.Conv2d(3, channels, *shape, bias=False)


def _jin_block(width: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return Residual(*layers, nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width))


def _sub_pixel(width: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(width, 4 * width, 3, 1, 1), nn.PixelShuffle(2)]
    return nn.Sequential(*layers, nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def _plain_block(width: int) -> nn.Module:
    layers = [nn.Conv2d(width, width, 3, 1, 1), nn.LeakyReLU(LEAK, inplace=True), nn.Conv2d(width, width, 3, 1, 1)]
    return Residual(*layers, after=nn.LeakyReLU(LEAK, inplace=True))


def _modern_channels(size: int, width: int) -> list[int]:
    """Channels of the stages from 4 pixels a side up to *size*."""
    return [2 * width] * (size.bit_length() - 3) + [width]


def _modern_stages(channels: list[int], blocks: int, *, up: bool) -> list[nn.Module]:
    layers: list[nn.Module] = [_modern_block(channels[0]) for _ in range(blocks)]
    for before, after in itertools.pairwise(channels):
        change = [nn.Conv2d(before, after, 1, bias=False)] if before != after else []
        # Whatever has fewer pixels or channels goes first: it is the same linear map either way.
        layers += [*change, Resample(up=True)] if up else [Resample(up=False), *change]
        layers += [_modern_block(after) for _ in range(blocks)]
    return layers


def _modern_block(width: int) -> nn.Module:
    wide = 2 * width
    first, middle = nn.Conv2d(width, wide, 1, bias=False), Biased(wide)
    grouped = nn.Conv2d(wide, wide, 3, 1, 1, groups=max(1, width // GROUP), bias=False)
    return Residual(first, middle, grouped, Biased(wide), nn.Conv2d(wide, width, 1, bias=False))


def _start(module: nn.Module, chance: torch.Generator) -> None:
    match module:
        case nn.Conv2d() | nn.ConvTranspose2d() | nn.Linear():
            nn.init.normal_(module.weight, 0.0, SPREAD, generator=chance)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        case nn.BatchNorm2d():
            nn.init.normal_(module.weight, 1.0, SPREAD, generator=chance)
            nn.init.zeros_(module.bias)


def _start_modern(network: ModernGenerator | ModernDiscriminator, chance: torch.Generator) -> None:
    """Keep the size of what flows through, however deep the network is.

    Each layer has 1 / sqrt(inputs), times sqrt(2 / (1 + LEAK^2)) before an activation; the first two of a block of
    three are scaled by (number of blocks) ** (-1 / 4), the last begins at 0 (arXiv 1901.09321).
    """
    blocks = [one for one in network.layers if isinstance(one, Residual)]
    gain = math.sqrt(2 / (1 + LEAK**2))
    calm = max(1, len(blocks)) ** (-1 / (2 * 3 - 2))
    inside = set()
    for block in blocks:
        first, _, grouped, _, last = block.layers
        for layer, scale in ((first, gain * calm), (grouped, gain * calm), (last, 0.0)):
            _fill(layer, scale, chance)
            inside.add(layer)
    for module in network.modules():
        if module not in inside:
            _fill(module, 1.0, chance)
    if isinstance(network, ModernGenerator):
        nn.init.normal_(network.basis, 0.0, 1.0, generator=chance)
    elif network.embed is not None:  # as much as the other term of the logit
        nn.init.normal_(network.embed.weight, 0.0, network.embed.out_features**-0.5, generator=chance)


def _normalised(network: nn.Module) -> bool:
    return any(isinstance(one, nn.BatchNorm2d) for one in network.modules())


def _start_bare(discriminator: nn.Module, chance: torch.Generator) -> None:
    """Keep the size of what flows through strided layers that no normalisation follows (arXiv 1502.01852).

    With 0.02 each of them would leave a third, and after five a logit would say next to nothing for thousands of steps.
    """
    gain = math.sqrt(2 / (1 + LEAK**2))
    for module in discriminator.modules():
        if isinstance(module, nn.Conv2d) and module.stride[0] > 1:
            _fill(module, gain, chance)


def _fill(layer: nn.Module, scale: float, chance: torch.Generator) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear):
        inputs = layer.weight[0].numel()
        nn.init.normal_(layer.weight, 0.0, scale / math.sqrt(inputs), generator=chance)


def _bound(network: nn.Module, chance: torch.Generator) -> None:
    """Divide every layer by its largest singular value, as it is estimated step by step."""
    with torch.random.fork_rng(devices=[]):  # the first estimate comes from PyTorch's own source of chance
        torch.manual_seed(int(torch.randint(2**62, (), generator=chance)))
        for module in list(network.modules()):
            if isinstance(module, nn.Conv2d | nn.Linear):
                parametrizations.spectral_norm(module)
