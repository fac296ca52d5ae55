"""Which items are the same: byte for byte among images, to the eye among face crops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.records import FaceCrop, Image, Reason
from pipeline.stage import Dropped, Kept, Outcome, Scope
from pipeline.store import Store

BITS = 64


@dataclass(frozen=True, slots=True)
class DropSameBytes:
    """Keep one of all posts that hold the same file: the one with the smallest id, which a board gave out first."""

    name: ClassVar = "dedup-images"
    version: ClassVar = 1
    scope: ClassVar = Scope.CORPUS

    def key(self, item: Image, /) -> str:
        """Name the pair of post and bytes."""
        return f"{item.post_id}={item.sha256}"

    def __call__(self, items: Iterable[Image], _store: Store, /) -> Iterator[Outcome[Image, Image]]:
        """Judge all images at once."""
        ordered = sorted(items, key=lambda image: (image.sha256, natural(image.post_id)))
        for _, same in groupby(ordered, key=lambda image: image.sha256):
            first, *others = same
            yield Kept(first, (first,))
            for other in others:
                yield Dropped(other, Reason.SAME_BYTES, f"as {first.post_id}")


@dataclass(frozen=True, slots=True)
class DropNearDuplicates:
    """Keep the best crop of each group whose perceptual hashes are close, and name the families."""

    name: ClassVar = "dedup"
    version: ClassVar = 1
    scope: ClassVar = Scope.CORPUS

    max_distance: int = 6  # bits of 64

    def key(self, item: FaceCrop, /) -> str:
        """Name the crop by where it was cut."""
        return item.id

    def __call__(self, items: Iterable[FaceCrop], _store: Store, /) -> Iterator[Outcome[FaceCrop, FaceCrop]]:
        """Judge all crops at once; the result does not depend on their order."""
        crops = sorted(items, key=_best_first)
        pairs = near_pairs(np.array([int(crop.phash, 16) for crop in crops], np.uint64), self.max_distance)
        images = np.array([crop.detection.image_sha256 for crop in crops])
        # Two faces of one picture are two faces, however alike.
        pairs = pairs[images[pairs[:, 0]] != images[pairs[:, 1]]] if len(pairs) else pairs
        families = _families(crops, pairs)
        better: dict[int, list[int]] = {}
        for first, second in pairs.tolist():
            better.setdefault(second, []).append(first)
        kept: set[int] = set()
        names: dict[str, FaceCrop] = {}
        for index, crop in enumerate(crops):
            twin = names.setdefault(crop.sha256, crop)
            original = next((one for one in better.get(index, ()) if one in kept), None)
            if twin is not crop:
                yield Dropped(crop, Reason.SAME_CROP, f"as {twin.id}")
            elif original is not None:
                yield Dropped(crop, Reason.DUPLICATE, f"of {crops[original].sha256}")
            else:
                kept.add(index)
                yield Kept(crop, (replace(crop, family=families[index]),))


def near_pairs(hashes: NDArray[np.uint64], max_distance: int) -> NDArray[np.int64]:
    """Find all pairs of hashes that differ in at most *max_distance* bits.

    Two such hashes agree wholly in at least one of ``max_distance + 1`` bands of bits (pigeonhole), so only hashes that
    share a band are compared.

    Args:
        hashes: (N,) uint64.
        max_distance: 0 to 31 bits.

    Returns:
        (M, 2) int64, indices with the smaller first, each pair once, sorted.
    """
    edges = np.linspace(0, BITS, max_distance + 2).astype(int)
    found = [np.empty((0, 2), np.int64)]
    for low, high in pairwise(edges.tolist()):
        band = (hashes >> np.uint64(low)) & np.uint64((1 << high - low) - 1)
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.diff(band[order], prepend=band[order[:1]] + np.uint64(1)))
        for members in np.split(order, starts[1:]):
            found += _near_within(hashes, np.sort(members), max_distance)
    pairs = np.concatenate(found)
    return np.unique(pairs, axis=0)


def _near_within(hashes: NDArray[np.uint64], members: NDArray[np.int64], distance: int) -> Iterator[NDArray[np.int64]]:
    for place, member in enumerate(members[:-1]):
        others = members[place + 1 :]
        near = others[np.bitwise_count(hashes[others] ^ hashes[member]) <= distance]
        if near.size:
            yield np.stack([np.full_like(near, member), near], axis=1)


def _best_first(crop: FaceCrop) -> tuple[int, float, float, str, str]:
    return (-crop.side, crop.padded, -crop.detection.score, crop.sha256, crop.id)


def _families(crops: Sequence[FaceCrop], pairs: NDArray[np.int64]) -> list[str]:
    """Join crops of one picture and near-copies; a family is named by the smallest SHA-256 of its images."""
    root = list(range(len(crops)))

    def find(one: int) -> int:
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        return one

    first_of: dict[str, int] = {}
    for index, crop in enumerate(crops):
        root[find(index)] = find(first_of.setdefault(crop.detection.image_sha256, index))
    for one, other in pairs.tolist():
        root[find(one)] = find(other)
    names: dict[int, str] = {}
    for index, crop in enumerate(crops):
        name = crop.detection.image_sha256[:16]
        names[find(index)] = min(name, names.get(find(index), name))
    return [names[find(index)] for index in range(len(crops))]


def natural(post_id: str) -> tuple[str, int, str]:
    """Sort "board:9" before "board:10"."""
    source, _, number = post_id.partition(":")
    return (source, int(number), "") if number.isdigit() else (source, 0, number)
