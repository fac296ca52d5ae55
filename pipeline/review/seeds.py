"""Hides the crops that are known to be no faces: shown among the others now and then, they measure attention.

None of them ever becomes a decision. Until people have marked enough, they are cut from images in which no detector saw
a face, at places that chance chooses; no stage knows of those, so that none can come into a release.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.catalog import Catalog
from pipeline.errors import StoreError
from pipeline.records import Box, Reason, Record
from pipeline.review.pictures import cut_somewhere
from pipeline.store import Store, write_atomically

MOST_CUT = 24  # crops; who has seen them all has marked enough of his own by then


@dataclass(frozen=True, kw_only=True, slots=True)
class Planted(Record):
    """A crop that was cut where no face is."""

    crop: str  # SHA-256
    image_sha256: str
    box: Box  # of the window, in pixels of the image
    whole: tuple[int, int]  # width and height of the image


def planted(catalog: Catalog, store: Store, folder: Path, size: int, seed: int = 0) -> Sequence[Planted]:
    """Give crops of this size without a face; those that were cut once are cut no more.

    Raises:
        StoreError: They cannot be written.
    """
    file = folder / f"seeds-{size}.json"
    known = _read(file)
    if known is None:
        known = _cut(catalog, store, size, np.random.default_rng(seed))
        write_atomically(file, json.dumps([one.to_json() for one in known]).encode())
    return [one for one in known if store.has(one.crop)]


def _read(file: Path) -> list[Planted] | None:
    try:
        return [Planted.from_json(one) for one in json.loads(file.read_bytes())]
    except (OSError, ValueError, TypeError, KeyError):  # none were cut, or the file is damaged: it holds nothing dear
        return None


def _cut(catalog: Catalog, store: Store, size: int, rng: np.random.Generator) -> list[Planted]:
    images = sorted(
        {
            item
            for _, marks in catalog.last_runs("review").values()
            for item, reason, _ in catalog.said("detect", marks["detect"])
            if reason is Reason.NO_FACE
        }
    )
    found: list[Planted] = []
    for place in rng.permutation(len(images))[: 4 * MOST_CUT]:
        try:
            cut = cut_somewhere(store, images[place], rng, size)
        except StoreError:  # it was removed since
            continue
        if cut is None:
            continue
        known = catalog.images([images[place]])
        whole = (known[0].width, known[0].height) if known else (cut[1].right, cut[1].bottom)
        found.append(Planted(crop=store.put(cut[0]), image_sha256=images[place], box=cut[1], whole=whole))
        if len(found) == MOST_CUT:
            break
    return found


def by_crop(found: Sequence[Planted]) -> Mapping[str, Any]:
    """Give them by their SHA-256."""
    return {one.crop: one for one in found}
