"""What each network is paid for, on logits: no sigmoid that saturates, no logarithm of zero."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


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


def generator_loss(fake_N: Tensor) -> Tensor:
    """Cross-entropy of drawn pictures being called real (the non-saturating form); ln 2 = 0.693 at balance."""
    return functional.softplus(-fake_N.float()).mean()
