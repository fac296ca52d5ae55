"""Changes by chance of all that the discriminator sees, real and drawn alike, so that few faces last longer.

The generator is paid through them, so each can be differentiated.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Change = Callable[[Tensor, torch.Generator], Tensor]
# How fast ADA answers: its probability goes from 0 to 1 in so many images (NVlabs/stylegan2-ada-pytorch).
ADA_IMAGES = 500_000


class Augment:
    """What is done to pictures before they are judged.

    `none` does nothing. `diffaugment` always changes colour, place and cuts a part out (arXiv 2006.10738). `ada` makes
    each of more changes with a probability that rises while the discriminator is too sure of real pictures, and falls
    otherwise (arXiv 2006.06676).

    Args:
        kind: none, diffaugment or ada.
        target: ada: share by which the logits of real pictures may be positive rather than negative.
        device: Where pictures come from.
    """

    def __init__(self, kind: str, target: float, device: torch.device) -> None:
        self.kind = kind
        self.target = target
        self.probability = torch.zeros((), device=device)  # stays on the device: reading it would make it wait

    def __call__(self, pictures_NCHW: Tensor, chance: torch.Generator) -> Tensor:
        """Change pictures in [-1, 1]; which way, *chance* says."""
        if self.kind == "none":
            return pictures_NCHW
        for change in _DIFFAUGMENT if self.kind == "diffaugment" else _ADA:
            changed = change(pictures_NCHW, chance)
            if self.kind == "ada":
                coins = torch.rand(len(pictures_NCHW), 1, 1, 1, generator=chance, device=changed.device)
                changed = torch.where(coins < self.probability, changed, pictures_NCHW)
            pictures_NCHW = changed
        return pictures_NCHW

    def learn(self, margin_N: Tensor) -> None:
        """Adjust ADA's probability by how sure the discriminator is of real pictures.

        Args:
            margin_N: Logits of real pictures; of relativistic losses, less those of drawn ones.
        """
        if self.kind == "ada":
            step = len(margin_N) / ADA_IMAGES
            self.probability += (margin_N.detach().float().sign().mean() - self.target).sign() * step
            self.probability.clamp_(0, 1)


def _uniform(pictures_NCHW: Tensor, chance: torch.Generator) -> Tensor:
    """One number for each picture, in [0, 1)."""
    return torch.rand(len(pictures_NCHW), 1, 1, 1, generator=chance, device=pictures_NCHW.device)


def _brightness(pictures_NCHW: Tensor, chance: torch.Generator) -> Tensor:
    return pictures_NCHW + (_uniform(pictures_NCHW, chance) - 0.5)


def _saturation(pictures_NCHW: Tensor, chance: torch.Generator) -> Tensor:
    grey = pictures_NCHW.mean(1, keepdim=True)
    return (pictures_NCHW - grey) * (2 * _uniform(pictures_NCHW, chance)) + grey


def _contrast(pictures_NCHW: Tensor, chance: torch.Generator) -> Tensor:
    mean = pictures_NCHW.mean((1, 2, 3), keepdim=True)
    return (pictures_NCHW - mean) * (0.5 + _uniform(pictures_NCHW, chance)) + mean


def _shift(pictures_NCHW: Tensor, chance: torch.Generator) -> Tensor:
    """Move by up to an eighth of the side; what comes in is 0, as in DiffAugment."""
    count, _, height, width = pictures_NCHW.shape
    most, device = height // 8, pictures_NCHW.device
    moves = torch.randint(-most, most + 1, (2, count, 1), generator=chance, device=device)
    padded = functional.pad(pictures_NCHW, (1, 1, 1, 1))  # indices outside are those of the frame
    rows = (torch.arange(height, device=device) + moves[0] + 1).clamp(0, height + 1)
    columns = (torch.arange(width, device=device) + moves[1] + 1).clamp(0, width + 1)
    which = torch.arange(count, device=device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cutout(pictures_NCHW: Tensor, chance: torch.Generator) -> Tensor:
    """Blacken a square of half the side (grey, in [-1, 1]), anywhere, also half outside."""
    count, _, height, width = pictures_NCHW.shape
    device = pictures_NCHW.device
    centres = torch.rand(2, count, 1, 1, generator=chance, device=device)
    rows = torch.arange(height, device=device).view(1, -1, 1)
    columns = torch.arange(width, device=device).view(1, 1, -1)
    inside = ((rows - centres[0] * height).abs() < height / 4) & ((columns - centres[1] * width).abs() < width / 4)
    return pictures_NCHW * ~inside[:, None]


def _mirror(pictures_NCHW: Tensor, chance: torch.Generator) -> Tensor:
    return torch.where(_uniform(pictures_NCHW, chance) < 0.5, pictures_NCHW.flip(3), pictures_NCHW)


def _turn(pictures_NCHW: Tensor, chance: torch.Generator) -> Tensor:
    """Turn, enlarge and move by less than a pixel's grid can: one resampling for all three."""
    count, device = len(pictures_NCHW), pictures_NCHW.device
    normal = torch.randn(4, count, generator=chance, device=device)
    scale = torch.exp2(0.2 * normal[0])  # standard deviations as in ADA's pipe: 0.2 octaves, an eighth of the side
    angle = (torch.rand(count, generator=chance, device=device) * 2 - 1) * torch.pi
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    move = normal[2:] / 8 * 2
    matrix = torch.stack([torch.stack([cosine, -sine, move[0]], 1), torch.stack([sine, cosine, move[1]], 1)], 1)
    grid = functional.affine_grid(matrix, list(pictures_NCHW.shape), align_corners=False)
    return functional.grid_sample(
        pictures_NCHW, grid.to(pictures_NCHW.dtype), padding_mode="reflection", align_corners=False
    )


_DIFFAUGMENT: tuple[Change, ...] = (_brightness, _saturation, _contrast, _shift, _cutout)
_ADA: tuple[Change, ...] = (_mirror, _shift, _turn, _brightness, _contrast, _saturation)
