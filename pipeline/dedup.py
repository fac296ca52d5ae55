"""Which items are the same: byte for byte among images, to the eye among face crops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.near import near_pairs
from pipeline.pixels import Pixels, decode, resize
from pipeline.records import Box, FaceCrop, Image, Reason
from pipeline.stage import Dropped, Kept, Outcome, Scope, effect
from pipeline.store import Store

COMPARED_AT = 64  # pixels a side
EDGE = 0.2  # of the side, left out all round: boxes of the same face differ by so much
SCALES = (0.86, 0.93, 1.0, 1.08, 1.16)  # animeface's windows grow by 1.095 a step
SAME_PLACE = 0.3  # overlap of two boxes in their images
MAX_CROP_PIXELS = 4096 * 4096


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


@dataclass(frozen=True, slots=True, kw_only=True)
class DropNearDuplicates:
    """Keep the best crop of each group that shows the same drawing, and name the families.

    Perceptual hashes propose: those of the crops, and those of the whole images where the faces stand in the same place
    (a detector's box moves by a few pixels when a picture is saved again, and the crop's hash with it). A hash alone
    confuses plain pictures, so every proposal is then judged by laying one crop over the other.
    """

    name: ClassVar = "dedup"
    version: ClassVar = 1
    scope: ClassVar = Scope.CORPUS

    max_distance: int = 10  # bits of 64, between the hashes of two crops that are compared
    max_image_distance: int = 8  # bits of 64, between the hashes of two images
    min_resemblance: float = 0.88  # correlation, -1 to 1, that makes two crops the same drawing
    min_resemblance_in_copies: float = 0.6  # the same where the whole images are alike as well
    images: Mapping[str, Image] = effect()  # by SHA-256: where the crops come from

    def key(self, item: FaceCrop, /) -> str:
        """Name the crop by where it was cut."""
        return item.id

    def __call__(self, items: Iterable[FaceCrop], store: Store, /) -> Iterator[Outcome[FaceCrop, FaceCrop]]:
        """Judge all crops at once; the result does not depend on their order."""
        crops = sorted(items, key=_best_first)
        pairs = self._same_drawings(crops, store)
        families = _families(crops, pairs, [self._picture(crop) for crop in crops])
        better: dict[int, list[int]] = {}
        for first, second in pairs:
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

    def _picture(self, crop: FaceCrop) -> str:
        """Name the picture; its parts and versions differ in what stands behind the last #."""
        post_id = self.images[crop.detection.image_sha256].post_id
        return post_id.rpartition("#")[0] or post_id

    def _same_drawings(self, crops: Sequence[FaceCrop], store: Store) -> list[tuple[int, int]]:
        """Find the pairs of crops that show the same drawing, the better one first."""
        in_copies = self._in_copies(crops)
        proposed = {(one, other) for one, other in near_pairs(_hashes(crops), self.max_distance).tolist()}
        looks: dict[int, Pixels] = {}

        def look(index: int) -> Pixels:
            if index not in looks:
                png = store.get(crops[index].sha256)
                looks[index] = resize(decode(png, max_pixels=MAX_CROP_PIXELS), COMPARED_AT)
            return looks[index]

        same = []
        for one, other in sorted(proposed | in_copies):
            # Two faces of one picture are two faces, however alike.
            if crops[one].detection.image_sha256 == crops[other].detection.image_sha256:
                continue
            needed = self.min_resemblance_in_copies if (one, other) in in_copies else self.min_resemblance
            if crops[one].sha256 == crops[other].sha256 or resemblance(look(one), look(other)) >= needed:
                same.append((one, other))
        return same

    def _in_copies(self, crops: Sequence[FaceCrop]) -> set[tuple[int, int]]:
        """Pair the faces that stand in the same place of two images that are alike."""
        of_image: dict[str, list[int]] = {}
        for index, crop in enumerate(crops):
            of_image.setdefault(crop.detection.image_sha256, []).append(index)
        images = [self.images[sha256] for sha256 in of_image]
        faces = list(of_image.values())
        return {
            (min(one, other), max(one, other))
            for here, there in near_pairs(_hashes(images), self.max_image_distance).tolist()
            for one in faces[here]
            for other in faces[there]
            if _place(crops[one], images[here]).overlap(_place(crops[other], images[there])) >= SAME_PLACE
        }


def _hashes(records: Sequence[FaceCrop] | Sequence[Image]) -> NDArray[np.uint64]:
    return np.array([int(one.phash, 16) for one in records], np.uint64)


def _place(crop: FaceCrop, image: Image) -> Box:
    """Say where the face stands, in thousandths of the image."""
    box, wide, high = crop.detection.box, 1000 / image.width, 1000 / image.height
    return Box(
        left=round(box.left * wide),
        top=round(box.top * high),
        width=round(box.width * wide),
        height=round(box.height * high),
    )


def resemblance(one_HWC: Pixels, other_HWC: Pixels) -> float:
    """Lay the middle of one crop over the other wherever and at whatever scale it fits best.

    Args:
        one_HWC: RGB, uint8, square.
        other_HWC: Of the same shape.

    Returns:
        The highest normalised correlation coefficient of the colours, -1 to 1.
    """
    side = len(one_HWC)
    best = -1.0
    for scale in SCALES:
        scaled = round(side * scale)
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        middle_HWC = cv2.resize(one_HWC, (scaled, scaled), interpolation=way)[
            round(scaled * EDGE) :, round(scaled * EDGE) :
        ]
        middle_HWC = middle_HWC[: round(scaled * (1 - 2 * EDGE)), : round(scaled * (1 - 2 * EDGE))]
        found = cv2.matchTemplate(other_HWC, middle_HWC, cv2.TM_CCOEFF_NORMED)
        best = max(best, float(found.max()))
    return best


def _best_first(crop: FaceCrop) -> tuple[int, float, float, str, str]:
    return (-crop.side, crop.padded, -crop.detection.score, crop.sha256, crop.id)


def _families(crops: Sequence[FaceCrop], pairs: Sequence[tuple[int, int]], pictures: Sequence[str]) -> list[str]:
    """Join crops of one picture, its halves too, and near-copies; the smallest SHA-256 of its images names a family."""
    root = list(range(len(crops)))

    def find(one: int) -> int:
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        return one

    first_of: dict[str, int] = {}
    for index, crop in enumerate(crops):
        for same in (crop.detection.image_sha256, pictures[index]):
            root[find(index)] = find(first_of.setdefault(same, index))
    for one, other in pairs:
        root[find(one)] = find(other)
    names: dict[int, str] = {}
    for index, crop in enumerate(crops):
        name = crop.detection.image_sha256[:16]
        names[find(index)] = min(name, names.get(find(index), name))
    return [names[find(index)] for index in range(len(crops))]


def natural(post_id: str) -> tuple[str, int, str]:
    """Sort "board:9" before "board:10"."""
    source, _, name = post_id.partition(":")
    number, sign, version = name.partition("#")
    return (source, int(number), sign + version) if number.isdigit() else (source, 0, name)
