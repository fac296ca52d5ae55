"""What is known of each crop: 34 attributes, and the class that a recipe chose (`release.labels`)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.labels import ATTRIBUTES, labels_of
from pipeline.manifest import ManifestRow

NONE, ATTRIBUTE_VECTORS = "none", "attributes"
UNLABELLED = "_unlabelled"  # no name of a class begins so
MAX_NAME = 200  # bytes; file systems take 255


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What is known of the crops, in the manifest's order."""

    by: str  # "none", "attributes", or one of CLASSES
    attributes: NDArray[np.int8]  # (crops, 34): 1 true, 0 false, -1 unknown
    names: Sequence[str]  # of the classes, by number; one name of all crops where the recipe chose no classes
    classes: NDArray[np.int64]  # (crops,): numbers in names

    @property
    def in_classes(self) -> bool:
        """Whether each crop has one class."""
        return self.by in CLASSES

    def name(self, index: int) -> str:
        """Give the class of one crop."""
        return self.names[int(self.classes[index])]

    def target(self, index: int) -> int | list[int] | None:
        """Give what a GAN is conditioned on: the number of a class, or 34 times 0 or 1, where unknown counts as 0."""
        if self.in_classes:
            return int(self.classes[index])
        if self.by == ATTRIBUTE_VECTORS:
            return [int(value > 0) for value in self.attributes[index]]
        return None

    def told(self, index: int) -> dict[str, Any]:
        """Give what stands beside the manifest's columns in JSON."""
        if self.in_classes:
            return {"class": self.name(index)}
        if self.by == ATTRIBUTE_VECTORS:
            return {"label_vector": self.attributes[index].tolist()}
        return {}


def label(rows: Sequence[ManifestRow], by: str) -> Labels:
    """Find out what is known of each crop; classes are numbered as torchvision does it, by sorted name.

    A board's characters belong to a post, so they name a face only where there is one of each.

    Args:
        rows: In the order of the manifest; they are gone through twice and not held.
        by: `release.labels` of the recipe.
    """
    faces_N = _alike(np.fromiter((one.image_sha256 for one in rows), "S64", len(rows)))
    attributes_NL = np.empty((len(rows), len(ATTRIBUTES)), np.int8)
    found: dict[str, int] = {}
    numbers_N = np.zeros(len(rows), np.int64)
    for index, one in enumerate(rows):
        faces = int(faces_N[index])
        attributes_NL[index] = labels_of(one.tags.split(), faces)
        name = class_name(CLASSES[by](one, faces == 1)) if by in CLASSES else UNLABELLED
        numbers_N[index] = found.setdefault(name, len(found))
    names = sorted(found)
    places = np.empty(len(names), np.int64)
    places[[found[name] for name in names]] = np.arange(len(names))
    return Labels(by=by, attributes=attributes_NL, names=tuple(names), classes=places[numbers_N])


def _alike(names_N: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """Count for each name how many are the same."""
    _, which_N, counts = np.unique(names_N, return_inverse=True, return_counts=True)
    return counts[which_N]


def class_name(text: str) -> str:
    """Make a name of a class, which is a name of a folder too, of what a stranger wrote; two texts never share one.

    Letters, digits and ``_-.,()'+!& `` stand for themselves; all else is written ``%2F``, and so are marks at the
    beginning, and a blank or dot at the end, which some file systems drop.
    """
    if not text:
        return UNLABELLED
    shown = [one if one.isalnum() or one in "_-.,()'+!& " else _escaped(one) for one in text]
    if not text[0].isalnum():
        shown[0] = _escaped(text[0])
    if text[-1] in ". ":
        shown[-1] = _escaped(text[-1])
    name = "".join(shown)
    if len(name.encode()) <= MAX_NAME:
        return name
    mark = "%" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return name.encode()[: MAX_NAME - len(mark)].decode("utf-8", "ignore") + mark


def _escaped(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def _character(row: ManifestRow, alone: bool) -> str:  # noqa: FBT001 - one of the makers of CLASSES
    named = str(getattr(row, "characters", "")).split()
    return named[0] if alone and len(named) == 1 else ""


# How a crop comes to its class; "" is unlabelled.
CLASSES: dict[str, Callable[[ManifestRow, bool], str]] = {
    "character": _character,
    "hair": lambda row, _: row.hair_colour,
    "eyes": lambda row, _: row.eye_colour,
    "label": lambda row, _: row.label,
}
