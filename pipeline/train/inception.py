"""Hides the Inception network of the published FID: its layers, its input, and whether a file holds its very weights.

The layers are those of torchvision's Inception v3 with 1008 classes and of pytorch-fid's changes to it (github.com/
pytorch/vision and github.com/mseitzer/pytorch-fid), and so are their names, because the file's names are. What the
changes imitate is the graph of 2015 that TensorFlow's FID was made with. Nothing is ever downloaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import UsageError

FILE = "pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d"  # the beginning, which the file's name carries
PAGE = "https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights"
SIDE = 299  # pixels, what the network was trained with
FEATURES = 2048
CLASSES = 1008

Shape = int | tuple[int, int]


def load(path: Path) -> Inception:
    """Give the network with the weights of *path*, ready to look.

    Raises:
        UsageError: *path* cannot be read, or is not the file of pytorch-fid.
    """
    advice = f"get {FILE} from {PAGE} by hand and name it, or name no Inception file"
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); {advice}") from error
    if not sha256.startswith(SHA256):
        raise UsageError(f"{path}: its SHA-256 begins with {sha256[:8]}, not with {SHA256}; {advice}")
    with torch.device("meta"):  # chance need not fill what the file will
        network = Inception()
    weights = torch.load(path, map_location="cpu", weights_only=True)
    # A plain dict has no version, and may then come with or without the counts of old batch normalisations.
    network.load_state_dict(
        {name: value for name, value in weights.items() if not name.startswith("AuxLogits.")}, assign=True
    )
    return network.eval().requires_grad_(requires_grad=False)


class Inception(nn.Module):
    """From uint8 pictures of any size, N x H x H x 3, to the 2048 values of the last pooling, N x 2048 float32."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Conv(32, 32, 3)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3)
        self.Mixed_5b = Mixed35(192, 32)
        self.Mixed_5c = Mixed35(256, 64)
        self.Mixed_5d = Mixed35(288, 64)
        self.Mixed_6a = To17(288)
        self.Mixed_6b = Mixed17(768, 128)
        self.Mixed_6c = Mixed17(768, 160)
        self.Mixed_6d = Mixed17(768, 160)
        self.Mixed_6e = Mixed17(768, 192)
        self.Mixed_7a = To8(768)
        self.Mixed_7b = Mixed8(1280, _mean_around)
        self.Mixed_7c = Mixed8(2048, _largest_around)
        self.fc = nn.Linear(FEATURES, CLASSES)  # in the file, and not looked through

    def forward(self, pictures_NHWC: Tensor) -> Tensor:
        """Enlarge without antialiasing to 299 x 299 in [-1, 1], as pytorch-fid does, and look."""
        x_NCHW = pictures_NHWC.permute(0, 3, 1, 2).float() / 255
        x_NCHW = functional.interpolate(x_NCHW, (SIDE, SIDE), mode="bilinear", align_corners=False) * 2 - 1
        x_NCHW = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x_NCHW)))
        x_NCHW = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(_halved(x_NCHW)))
        x_NCHW = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(_halved(x_NCHW))))
        x_NCHW = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x_NCHW)))
        x_NCHW = self.Mixed_6e(self.Mixed_6d(x_NCHW))
        x_NCHW = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x_NCHW)))
        return functional.adaptive_avg_pool2d(x_NCHW, 1).flatten(1)


class Conv(nn.Module):
    """Convolution without bias, batch normalisation, rectifier; *padding* keeps what the kernel would cut."""

    def __init__(self, channels: int, width: int, kernel: Shape, *, stride: int = 1, padding: Shape = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=0.001)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Keep the size where *padding* makes up for the kernel, with stride 1."""
        normal: Tensor = self.bn(self.conv(x_NCHW))
        return functional.relu(normal)


class Mixed35(nn.Module):
    """At 35 x 35: 1x1, 5x5, twice 3x3 and a mean, side by side (InceptionA)."""

    def __init__(self, channels: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = Conv(channels, 64, 1)
        self.branch5x5_1 = Conv(channels, 48, 1)
        self.branch5x5_2 = Conv(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Conv(channels, 64, 1)
        self.branch3x3dbl_2 = Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Conv(96, 96, 3, padding=1)
        self.branch_pool = Conv(channels, pooled, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Give 224 channels and the pooled ones."""
        wide = self.branch5x5_2(self.branch5x5_1(x_NCHW))
        twice = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x_NCHW)))
        return torch.cat([self.branch1x1(x_NCHW), wide, twice, self.branch_pool(_mean_around(x_NCHW))], 1)


class To17(nn.Module):
    """From 35 x 35 to 17 x 17 (InceptionB)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3 = Conv(channels, 384, 3, stride=2)
        self.branch3x3dbl_1 = Conv(channels, 64, 1)
        self.branch3x3dbl_2 = Conv(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Conv(96, 96, 3, stride=2)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Give 480 channels more, at half the size."""
        twice = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x_NCHW)))
        return torch.cat([self.branch3x3(x_NCHW), twice, _halved(x_NCHW)], 1)


class Mixed17(nn.Module):
    """At 17 x 17: 1x1, 7x7 once and twice, each as 1x7 and 7x1, and a mean (InceptionC)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.branch1x1 = Conv(channels, 192, 1)
        self.branch7x7_1 = Conv(channels, width, 1)
        self.branch7x7_2 = _row(width, width)
        self.branch7x7_3 = _column(width, 192)
        self.branch7x7dbl_1 = Conv(channels, width, 1)
        self.branch7x7dbl_2 = _column(width, width)
        self.branch7x7dbl_3 = _row(width, width)
        self.branch7x7dbl_4 = _column(width, width)
        self.branch7x7dbl_5 = _row(width, 192)
        self.branch_pool = Conv(channels, 192, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Give 768 channels."""
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x_NCHW)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x_NCHW)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return torch.cat([self.branch1x1(x_NCHW), once, twice, self.branch_pool(_mean_around(x_NCHW))], 1)


class To8(nn.Module):
    """From 17 x 17 to 8 x 8 (InceptionD)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch3x3_1 = Conv(channels, 192, 1)
        self.branch3x3_2 = Conv(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Conv(channels, 192, 1)
        self.branch7x7x3_2 = _row(192, 192)
        self.branch7x7x3_3 = _column(192, 192)
        self.branch7x7x3_4 = Conv(192, 192, 3, stride=2)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Give 512 channels more, at half the size."""
        wide = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x_NCHW)))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x_NCHW)), self.branch7x7x3_4(wide), _halved(x_NCHW)], 1)


class Mixed8(nn.Module):
    """At 8 x 8: 1x1, 3x3 once and twice, each ending in 1x3 beside 3x1, and a pooling (InceptionE).

    The pooling is a mean in `Mixed_7b` and a maximum in `Mixed_7c`: so is the graph that FID was defined with.
    """

    def __init__(self, channels: int, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.pool = pool
        self.branch1x1 = Conv(channels, 320, 1)
        self.branch3x3_1 = Conv(channels, 384, 1)
        self.branch3x3_2a = Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = Conv(channels, 448, 1)
        self.branch3x3dbl_2 = Conv(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = Conv(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = Conv(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = Conv(channels, 192, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Give 2048 channels."""
        once = self.branch3x3_1(x_NCHW)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x_NCHW))
        once_parts = [self.branch3x3_2a(once), self.branch3x3_2b(once)]
        twice_parts = [self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice)]
        return torch.cat([self.branch1x1(x_NCHW), *once_parts, *twice_parts, self.branch_pool(self.pool(x_NCHW))], 1)


def _row(channels: int, width: int) -> Conv:
    return Conv(channels, width, (1, 7), padding=(0, 3))


def _column(channels: int, width: int) -> Conv:
    return Conv(channels, width, (7, 1), padding=(3, 0))


def _halved(x_NCHW: Tensor) -> Tensor:
    return functional.max_pool2d(x_NCHW, 3, stride=2)


def _mean_around(x_NCHW: Tensor) -> Tensor:
    # TensorFlow's mean leaves out what lies beyond the edge.
    return functional.avg_pool2d(x_NCHW, 3, stride=1, padding=1, count_include_pad=False)


def _largest_around(x_NCHW: Tensor) -> Tensor:
    return functional.max_pool2d(x_NCHW, 3, stride=1, padding=1)
