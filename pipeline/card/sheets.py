"""The contact sheets of a card: which crops are shown, each as a small picture within the page."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.card.facts import SHOWN, Facts, Shown
from pipeline.card.text import in_html, link
from pipeline.labels import HAIR
from pipeline.pixels import Pixels, decode, encode_as, resize

SIDE = 96  # pixels
QUALITY = 82  # of WebP
MAX_CROP_PIXELS = 4096 * 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """Some crops of one kind, as HTML."""

    name: str
    says: str
    cells: str


def sheets(facts: Facts, folder: Path) -> list[Sheet]:
    """Read the chosen crops from a release's folder; those of colours that nobody has are left out."""
    best = sorted(facts.surest, key=lambda one: (-one.score * _sharpness(folder, one), one.sha256))[:SHOWN]
    of_hair = [(name, facts.of_hair[name]) for name in HAIR if name in facts.of_hair]
    return [
        _sheet("A sample", "Chosen by chance.", facts.random, folder),
        _sheet("Best", "Of the surest those that are sharpest.", best, folder),
        _sheet(
            "Most doubtful", "Accepted, and the least sure to be faces: look here for mistakes.", facts.doubtful, folder
        ),
        *(_sheet(f"Hair: {name}", "Chosen by chance.", crops, folder) for name, crops in of_hair),
    ]


def _sheet(name: str, says: str, crops: Iterable[Shown], folder: Path) -> Sheet:
    return Sheet(name=name, says=says, cells="\n".join(_cell(folder, one) for one in crops))


def _cell(folder: Path, one: Shown) -> str:
    webp = encode_as(resize(_pixels(folder, one), SIDE), "webp", QUALITY)
    about = in_html(f"{one.sha256[:12]}, score {one.score:.3f}", 80)
    image = (
        f'<img src="data:image/webp;base64,{base64.b64encode(webp).decode()}" width="{SIDE}" height="{SIDE}" '
        f'loading="lazy" alt="{about}">'
    )
    return link(one.page_url, image, about) if one.page_url else image


def _sharpness(folder: Path, one: Shown) -> float:
    """Measure the variance of the Laplacian of the grey crop at the side of a sheet's pictures."""
    grey_HW = resize(_pixels(folder, one), SIDE).astype(np.int32).sum(axis=2)
    around = grey_HW[:-2, 1:-1] + grey_HW[2:, 1:-1] + grey_HW[1:-1, :-2] + grey_HW[1:-1, 2:]
    return float((around - 4 * grey_HW[1:-1, 1:-1]).var())


def _pixels(folder: Path, one: Shown) -> Pixels:
    return decode((folder / one.file).read_bytes(), max_pixels=MAX_CROP_PIXELS)
