"""A data folder whose crops wait for a person, without a run: what the stages would have written is written."""

from __future__ import annotations

import atexit
import io
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import make
import numpy as np
import PIL.Image

from pipeline.catalog import Catalog
from pipeline.folder import DataFolder
from pipeline.pixels import encode_png
from pipeline.records import Box, FaceCrop, Image, Post, Reason
from pipeline.stage import Dropped, Kept

STAGES = ("list", "select", "scrape", "dedup-images", "detect", "crop", "dedup", "filter", "review")
SIZE = 64


@dataclass(frozen=True, kw_only=True)
class Face:
    """One crop, its image and its post, and what became of it."""

    crop: FaceCrop
    image: Image
    post: Post
    reason: Reason | None = Reason.WAITING  # None: accepted by rule


def face(
    folder: DataFolder,
    seed: int,
    *,
    reason: Reason | None = Reason.WAITING,
    image: int | None = None,
    box: Box | None = None,
    post: dict[str, Any] | None = None,
    **fields: Any,
) -> Face:
    """A crop with pixels of its own, whose score grows with its number unless it is said."""
    number = seed if image is None else image
    pixels_HWC = pixels(seed)
    score = fields.pop("score", round(0.05 + 0.9 * (seed % 1000) / 1000, 4))
    agreed = fields.pop("agreed", False)
    detector = fields.pop("detector", "animeface")
    shown = make.post(number, **(post or {}))
    picture = make.image(number, post_id=shown.id)
    crop = make.face_crop(
        seed,
        sha256=folder.store.put(encode_png(pixels_HWC)),
        size=SIZE,
        detection=make.detection(
            number, box=box or make.box(left=10 + seed % 50), score=score, agreed=agreed, detector=detector
        ),
        **{"family": f"f{number}", "phash": seed * 0x9E3779B97F4A7C15 % 2**64, **fields},
    )
    return Face(crop=crop, image=picture, post=shown, reason=reason)


def pixels(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture like no other: few large squares of colour, small as a PNG."""
    few_HWC = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return np.repeat(np.repeat(few_HWC, SIZE // 4, axis=0), SIZE // 4, axis=1)


def put_originals(folder: DataFolder, faces: Iterable[Face]) -> list[Face]:
    """Give each face an image whose bytes really lie in the store, as large as its record says."""
    found = []
    for one in faces:
        sha256 = folder.store.put(_original(int(one.image.sha256[:8], 16)))
        detection = replace(one.crop.detection, image_sha256=sha256)
        found.append(replace(one, crop=replace(one.crop, detection=detection), image=replace(one.image, sha256=sha256)))
    return found


@cache
def _original(seed: int) -> bytes:
    rows_HWC = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    png = io.BytesIO()
    PIL.Image.fromarray(rows_HWC).resize((800, 600), PIL.Image.Resampling.NEAREST).save(png, "PNG", compress_level=1)
    return png.getvalue()


def remember(catalog: Catalog, faces: Sequence[Face], recipe: str = "r", no_face: Sequence[Image] = ()) -> None:
    """Write down what a run of a recipe would have said of these crops, and that it has ended."""
    posts = {one.post.id: one.post for one in faces}
    images = {one.image.sha256: one.image for one in faces}
    catalog.add_page(f"{recipe} listing", list(posts.values()), None)
    run = catalog.begin_run(recipe)
    marks = {stage: f"{recipe} {stage}" for stage in STAGES}

    def say(stage: str, outcomes: Sequence[tuple[str, Any]]) -> None:
        for start in range(0, len(outcomes), 5000):
            catalog.record(stage, marks[stage], outcomes[start : start + 5000])

    say("scrape", [(one.post.id, Kept(one.post, (one.image,))) for one in _first_of_each(faces)])
    say(
        "dedup-images",
        [(f"{image.post_id}={image.sha256}", Kept(image, (image,))) for image in [*images.values(), *no_face]],
    )
    say("detect", [(image.sha256, Dropped(image, Reason.NO_FACE)) for image in no_face])
    plain = [replace(one.crop, family="") for one in faces]
    say("crop", [(crop.id, Kept(crop.detection, (crop,))) for crop in plain])
    duplicates = [one for one in faces if one.reason is Reason.DUPLICATE]
    reached = [one for one in faces if one.reason is not Reason.DUPLICATE]
    say("dedup", [(one.crop.id, Dropped(one.crop, Reason.DUPLICATE, "of another")) for one in duplicates])
    say("dedup", [(one.crop.id, Kept(plain[0], (one.crop,))) for one in reached])
    seen = (None, Reason.WAITING, Reason.REJECTED, Reason.UNSURE)
    say("filter", [(one.crop.id, _fate(one, one.reason if one.reason not in seen else None)) for one in reached])
    say("review", [(one.crop.id, _fate(one, one.reason)) for one in reached if one.reason in seen])
    catalog.end_run(run, "completed", [{"stage": stage, "fingerprint": marks[stage]} for stage in STAGES])


def _fate(one: Face, reason: Reason | None) -> Any:
    return Kept(one.crop, (one.crop,)) if reason is None else Dropped(one.crop, reason)


def _first_of_each(faces: Iterable[Face]) -> list[Face]:
    first: dict[str, Face] = {}
    for one in faces:
        first.setdefault(one.post.id, one)
    return list(first.values())


def queue_told_by_score(data: Path, false: int = 20, true: int = 40) -> None:
    """Fill a data folder with crops that wait, of which the score alone says which are false."""
    folder = DataFolder(data)
    faces = [face(folder, seed, score=0.1 if seed <= false else 0.9) for seed in range(1, false + true + 1)]
    catalog = Catalog(folder.catalog)
    remember(catalog, put_originals(folder, faces))
    catalog.close()


_made: dict[str, tuple[Path, list[Face]]] = {}  # by what was asked for


@cache
def _room() -> Path:
    room = Path(tempfile.mkdtemp(prefix="kaoset-queues-"))
    atexit.register(shutil.rmtree, room, ignore_errors=True)
    (room / "store").mkdir()
    return room


def queue(data: Path, count: int = 30, **fields: Any) -> list[Face]:
    """Fill a data folder with crops that wait, each of a picture of its own.

    Each kind of queue is made once and copied from then on, and all of them share one store, for thousands of small
    files and folders take a disk longer than the tests: whoever spoils a picture makes faces of his own.
    """
    kind = f"{count} {fields}"
    if kind not in _made:
        place = _room() / str(len(_made))
        _made[kind] = place, _queue(place, count, fields)
    place, faces = _made[kind]
    shutil.copytree(place, data, symlinks=True, dirs_exist_ok=True)
    return list(faces)


def _queue(data: Path, count: int, fields: dict[str, Any]) -> list[Face]:
    data.mkdir()
    (data / "store").symlink_to(_room() / "store")
    folder = DataFolder(data)
    faces = put_originals(folder, [face(folder, seed, **fields) for seed in range(1, count + 1)])
    catalog = Catalog(folder.catalog)
    remember(catalog, faces)
    catalog.close()
    return faces
