"""The network that finds faces: what its layers are, and how its numbers become boxes.

One look at the whole picture, no anchors, three grids of cells (strides of 8, 16 and 32 pixels); each cell says where
the face whose middle is near it lies, how large it is, and how sure it is (Tian et al., FCOS, arXiv 1904.01355).
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)  # pixels of the input from one cell to the next
USUAL_SIDE = 3.0  # strides; of the box that an untrained cell gives
_RARE = 4.6  # logit; of an untrained cell's score: one in a hundred, so that the many empty cells do not swamp the rest
LARGEST = 4.0  # logarithm of strides; of a box: 1747 pixels, more than any input


class _Layers:
    """Makes layers, with a normalisation after each convolution or with one that is already part of it."""

    def __init__(self, *, folded: bool) -> None:
        self._folded = folded

    def conv(self, into: int, out: int, *, side: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
        """Convolve, normalise, cut off below zero."""
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["conv"] = nn.Conv2d(into, out, side, stride, padding=side // 2, groups=groups, bias=self._folded)
        if not self._folded:
            layers["norm"] = nn.BatchNorm2d(out)
        layers["relu"] = nn.ReLU()
        return nn.Sequential(layers)

    def block(self, channels: int) -> _Adding:
        """See a little around, thinly: half of the channels, then 3 x 3 back to all."""
        return _Adding(self.conv(channels, channels // 2, side=1), self.conv(channels // 2, channels))

    def wide(self, channels: int) -> _Adding:
        """See far around: 5 x 5 in each channel by itself, then all channels together."""
        return _Adding(self.conv(channels, channels, side=5, groups=channels), self.conv(channels, channels, side=1))


class _Adding(nn.Module):
    """Adds to its input what two layers see in it."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = x + self.second(self.first(x))
        return seen


def _answer(channels: int) -> nn.Conv2d:
    """Give the last layer of a grid, which knows how large and how rare faces are before it has learnt anything."""
    layer = nn.Conv2d(channels, 4, 1)
    nn.init.normal_(layer.weight, std=0.01)
    layer.bias = nn.Parameter(torch.tensor([0.0, 0.0, math.log(USUAL_SIDE), -_RARE]))
    return layer


class FaceNet(nn.Module):
    """Looks for faces in pictures whose sides are multiples of 32 pixels.

    Args:
        width: Channels next to the picture; the rest grows with it.
        folded: Normalisations are part of the convolutions, as in a file.
    """

    def __init__(self, width: int, *, folded: bool = False) -> None:
        super().__init__()
        one, two, three, four, five = width, 2 * width, 3 * width, 4 * width, 6 * width
        make = _Layers(folded=folded)
        self.width = width
        self.stem = nn.Sequential(make.conv(3, one, stride=2), make.conv(one, two, stride=2))
        self.eighth = nn.Sequential(make.conv(two, three, stride=2), *(make.block(three) for _ in range(3)))
        self.sixteenth = nn.Sequential(
            make.conv(three, four, stride=2), make.block(four), make.block(four), make.wide(four)
        )
        self.last = nn.Sequential(make.conv(four, five, stride=2), *(make.wide(five) for _ in range(4)))
        self.beside = nn.ModuleList(make.conv(channels, three, side=1) for channels in (three, four, five))
        self.merge = nn.ModuleList(make.wide(three) for _ in STRIDES)
        self.heads = nn.ModuleList(nn.Sequential(make.conv(three, three), _answer(three)) for _ in STRIDES)

    def forward(self, pictures_NCHW: Tensor) -> list[Tensor]:
        """Say of each cell of each grid: right, down (strides from its middle), log of the side in strides, logit.

        Args:
            pictures_NCHW: RGB, float32, 0 to 1.

        Returns:
            For each of `STRIDES`, (N, 4, rows, columns).
        """
        eighth = self.eighth(self.stem(pictures_NCHW))
        sixteenth = self.sixteenth(eighth)
        last = self.last(sixteenth)
        third = self.merge[2](self.beside[2](last))
        second = self.merge[1](self.beside[1](sixteenth) + functional.interpolate(third, scale_factor=2.0))
        first = self.merge[0](self.beside[0](eighth) + functional.interpolate(second, scale_factor=2.0))
        return [head(seen) for head, seen in zip(self.heads, (first, second, third), strict=True)]


def cells(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Give the middles (cells, 2: x, y) and strides (cells,) of all cells of an input, in pixels, finest grid first."""
    middles, strides = [], []
    for stride in STRIDES:
        rows, columns = height // stride, width // stride
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        middles.append((torch.stack([x, y], dim=-1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((rows * columns,), float(stride)))
    return torch.cat(middles), torch.cat(strides)


def flat(answers: list[Tensor]) -> Tensor:
    """Put the grids one after the other: (N, 4, cells), in the order of `cells`."""
    return torch.cat([one.flatten(2) for one in answers], dim=2)


def decoded(raw: Tensor, middles: Tensor, strides: Tensor) -> Tensor:
    """Turn what `flat` gives into squares: (N, 3, cells), centre x, centre y and side in pixels of the input."""
    centres = raw[:, :2] * strides + middles.T
    sides = torch.exp(raw[:, 2:3].clamp(max=LARGEST)) * strides
    return torch.cat([centres, sides], dim=1)
