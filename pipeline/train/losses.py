"""What each network is paid for, on logits: no sigmoid that saturates, no logarithm of zero; and the penalties."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

DiscriminatorLoss = Callable[[Tensor, Tensor, float], Tensor]
GeneratorLoss = Callable[[Tensor, Tensor], Tensor]
Critic = Callable[[Tensor], Tensor]  # pictures (N, 3, H, W) become logits (N,)


@dataclass(frozen=True, slots=True)
class Loss:
    """What both networks are paid for; each part takes float32 or bf16 and gives a scalar in float32."""

    discriminator: DiscriminatorLoss  # of logits of real pictures, of drawn ones, and the smoothing
    generator: GeneratorLoss  # of logits of drawn pictures, and of real ones


def discriminator_loss(real_N: Tensor, fake_N: Tensor, smoothing: float = 0.0) -> Tensor:
    """Binary cross-entropy of calling real pictures real and drawn ones drawn.

    Args:
        real_N: Logits of real pictures.
        fake_N: Logits of drawn pictures.
        smoothing: One-sided: the target for real pictures is 1 - smoothing, for drawn ones it stays 0.

    Returns:
        A scalar in float32; 2 ln 2 = 1.386 for a discriminator that knows nothing.
    """
    real_N, fake_N = real_N.float(), fake_N.float()  # under autocast they come as bf16, with 8 bits
    called_real = (1 - smoothing) * functional.softplus(-real_N) + smoothing * functional.softplus(real_N)
    return called_real.mean() + functional.softplus(fake_N).mean()


def generator_loss(fake_N: Tensor, _real_N: Tensor | None = None) -> Tensor:
    """Cross-entropy of drawn pictures being called real (the non-saturating form); ln 2 = 0.693 at balance."""
    return functional.softplus(-fake_N.float()).mean()


def _hinge_of_discriminator(real_N: Tensor, fake_N: Tensor, _smoothing: float = 0.0) -> Tensor:
    return functional.relu(1 - real_N.float()).mean() + functional.relu(1 + fake_N.float()).mean()


def _hinge_of_generator(fake_N: Tensor, _real_N: Tensor | None = None) -> Tensor:
    return -fake_N.float().mean()


def _pairing(better_N: Tensor, worse_N: Tensor) -> Tensor:
    return functional.softplus(worse_N.float() - better_N.float()).mean()


LOSSES: dict[str, Loss] = {
    "bce": Loss(discriminator_loss, generator_loss),
    # arXiv 1705.02894; the generator's part is not bent.
    "hinge": Loss(_hinge_of_discriminator, _hinge_of_generator),
    # arXiv 1807.00734, 2501.05441: real and drawn pictures are compared one with one, in the order of the batch.
    "relativistic": Loss(lambda real_N, fake_N, _smoothing: _pairing(real_N, fake_N), _pairing),
}


def labels_loss(logits_NL: Tensor, labels_NL: Tensor) -> Tensor:
    """Binary cross-entropy of naming each label, summed over the labels; what is unknown (0) costs nothing.

    Args:
        logits_NL: Above 0 means true.
        labels_NL: 1 true, -1 false, 0 unknown.
    """
    costs_NL = functional.softplus(-labels_NL * logits_NL.float()) * labels_NL.abs()
    return costs_NL.sum(1).mean()


def around_real(real_NCHW: Tensor, chance: torch.Generator, reach: float = 0.5) -> Tensor:
    """Choose the places where DRAGAN looks at the gradient: one near each real picture.

    x + a * reach * s * u: u uniform in [0, 1) for each number, s the standard deviation of the whole batch, a uniform
    for each picture (arXiv 1705.07215; kodalinaveen3/DRAGAN: the noise is on one side).
    """
    device = real_NCHW.device
    noise = torch.rand(real_NCHW.shape, generator=chance, device=device)
    share = torch.rand(len(real_NCHW), 1, 1, 1, generator=chance, device=device)
    return real_NCHW + share * (reach * real_NCHW.std() * noise)


def gradients(critic: Critic, pictures_NCHW: Tensor) -> Tensor:
    """Give the gradient of each picture's logit by its own pixels, (N, pixels), to be learnt from.

    In float32 whatever else is computed with: squares of small numbers are what this is about.
    """
    leaf = pictures_NCHW.detach().float().requires_grad_()
    with torch.autocast(leaf.device.type, enabled=False):
        return slopes_of(critic(leaf), leaf)


def slopes_of(logits_N: Tensor, leaf_NCHW: Tensor) -> Tensor:
    """Give the gradient of each logit by the pixels that it was computed from, (N, pixels), to be learnt from.

    No layer between may mix the pictures of a batch.
    """
    (slope,) = torch.autograd.grad(logits_N.sum(), leaf_NCHW, create_graph=True)
    return slope.flatten(1)


def one_centred(slopes_NP: Tensor) -> Tensor:
    """Mean of (norm of a picture's gradient - 1) squared, as DRAGAN has it, without its weight."""
    # The root of 0 has no derivative: a network that knows nothing yet would be poisoned.
    norms_N = (slopes_NP.square().sum(1) + 1e-12).sqrt()
    return (norms_N - 1).square().mean()


def zero_centred(slopes_NP: Tensor) -> Tensor:
    """Half the mean squared norm of a picture's gradient: R1 on real, R2 on drawn pictures (arXiv 1801.04406)."""
    return slopes_NP.square().sum(1).mean() / 2
