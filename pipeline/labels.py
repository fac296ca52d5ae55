"""What a board's tags say of a face: the 34 attributes of Jin et al. 2017."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HAIR = (
    "blonde",
    "brown",
    "black",
    "blue",
    "pink",
    "purple",
    "green",
    "red",
    "silver",
    "white",
    "orange",
    "aqua",
    "grey",
)
EYES = ("blue", "red", "brown", "green", "purple", "yellow", "pink", "aqua", "black", "orange")
STYLES = ("long_hair", "short_hair", "twintails", "drill_hair", "ponytail")
SHAPES = (*STYLES, "blush", "smile", "open_mouth", "hat", "hair_ribbon", "glasses")
# In the authors' order (makegirlsmoe_web, src/Config.js), by the boards' tags.
ATTRIBUTES = (*(f"{colour}_hair" for colour in HAIR), *SHAPES, *(f"{colour}_eyes" for colour in EYES))
# With one of these the colour tags do not tell which colour a face has.
AMBIGUOUS = frozenset(
    (
        *("multicolored_hair", "two-tone_hair", "gradient_hair", "colored_inner_hair"),
        *("heterochromia", "monochrome", "greyscale"),
    )
)
_COLOURS = {"hair": frozenset(ATTRIBUTES[: len(HAIR)]), "eyes": frozenset(ATTRIBUTES[-len(EYES) :])}


def rivals(attribute: str) -> frozenset[str]:
    """Name the other colours of hair (or eyes): a face that has one of them has none of the others."""
    return frozenset().union(*(names - {attribute} for names in _COLOURS.values() if attribute in names))


def attributes_of(tags: Sequence[str], faces_in_image: int) -> tuple[str, ...]:
    """Name those of the 34 attributes that a post's tags say of its one face; none where they cannot say."""
    labels = labels_of(tags, faces_in_image)
    return tuple(name for name, label in zip(ATTRIBUTES, labels, strict=True) if label == 1)


def labels_of(tags: Sequence[str], faces_in_image: int) -> NDArray[np.int8]:
    """Turn a post's tags into labels of its one face.

    A tag belongs to the post. It says something of a face only where the post has one character (`solo`) and one face
    was found; a missing tag is unknown, but where exactly one colour of hair (or eyes) is named the others are false.

    Returns:
        (34,) int8 in the order of `ATTRIBUTES`: 1 true, 0 false, -1 unknown.
    """
    labels = np.full(len(ATTRIBUTES), -1, np.int8)
    held = frozenset(tags)
    if "solo" not in held or faces_in_image != 1:
        return labels
    for index, attribute in enumerate(ATTRIBUTES):
        group = next((names for names in _COLOURS.values() if attribute in names), None)
        if group is None:
            labels[index] = 1 if attribute in held else -1
        elif len(held & group) == 1 and not held & AMBIGUOUS:
            labels[index] = int(attribute in held)
    return labels
