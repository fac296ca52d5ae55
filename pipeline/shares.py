"""So many of so many, and what that says of the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z = 1.959964  # standard deviations within which 95 % of a normal distribution lie


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        """0 to 1; None of nothing."""
        return self.part / self.whole if self.whole else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """What the share may be in truth, at 95 %, as far as the cases are independent of each other; None of nothing.

        Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927); it holds for small
        numbers and near 0 and 1, too: Brown, Cai and DasGupta, Interval Estimation for a Binomial Proportion,
        Statistical Science 16 (2001).
        """
        if not self.whole:
            return None
        share, spread = self.part / self.whole, Z * Z / self.whole
        middle = (share + spread / 2) / (1 + spread)
        off = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
        return max(0.0, middle - off), min(1.0, middle + off)
