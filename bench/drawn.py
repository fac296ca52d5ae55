"""A release of many drawn faces with true labels, without a board and without detectors: what GANs are compared on."""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import tomli_w

from bench.release import about_the_face, kept
from pipeline.export import Contents, publish
from pipeline.labels import attributes_of
from pipeline.manifest import ManifestRow, row, split_of
from pipeline.pixels import resize
from pipeline.records import Detection, FaceCrop, Image, Post
from pipeline.sandbox.draw import draw_portrait
from pipeline.stage import StageReport
from pipeline.store import Store

FACES = 23_000
CACHE = Path(__file__).parent / ".cache"
SIZE = 64  # pixels a side
FACE, LONG_SIDE = (48, 80), (170, 240)  # pixels: drawn no larger than it is cut
SHARES = {"train": 0.9, "validation": 0.05, "test": 0.05}
SINCE = datetime(2020, 1, 1, tzinfo=UTC)

Progress = Callable[[str, int, int], None]  # what, done, total


def release(count: int, cache: Path, progress: Progress) -> Path:
    """Give the folder of a release of *count* portraits of the sandbox's cast, drawn once and kept in *cache*."""
    root = cache / f"drawn-{count}"
    ready = root / "releases" / "drawn" / "001"
    if ready.exists():
        return ready
    store = root / "store"
    rows: list[ManifestRow] = []
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        for index, one in enumerate(pool.map(partial(_drawn, store), range(count), chunksize=64)):
            rows.append(one)
            progress("draw faces", index + 1, count)
    contents = Contents(
        recipe_name="drawn",
        recipe_toml=tomli_w.dumps({"name": "drawn", "sources": [_SOURCE], "train": {"size": SIZE}}),
        rows=rows,
        reports=[StageReport(stage="export", seen=count, kept=count, dropped={}, judged=count, seconds=0.0)],
        train_size=SIZE,
        formats=(),
        labels="hair",
    )
    return publish(contents, Store(store), root / "releases", lambda done, total: progress("publish", done, total)).path


def main() -> None:
    """Make the release that bench/training.md is about."""
    parser = argparse.ArgumentParser(description="A data folder with a release, drawn/001, of many drawn faces.")
    parser.add_argument("--faces", type=int, default=FACES, help=f"how many; {FACES} without")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the data folder is made")
    order = parser.parse_args()
    print(release(order.faces, order.cache, _every_thousand))


def _every_thousand(what: str, done: int, total: int) -> None:
    if done % 1000 == 0:
        print(f"{what}: {done} of {total}", file=sys.stderr)


_SOURCE = {"kind": "danbooru", "board": "sandbox"}


def _drawn(store: Path, index: int) -> ManifestRow:
    drawing = draw_portrait((7, index), face=FACE, long_side=LONG_SIDE)
    truth = drawing.truth.faces[0]
    sha256 = kept(store, resize(about_the_face(drawing), SIZE))
    image = hashlib.sha256(np.asarray(drawing.picture).tobytes()).hexdigest()
    post = Post(
        id=f"drawn:{index}",
        file_url=None,
        page_url=f"https://drawn.invalid/posts/{index}",
        origin_url=None,
        rating="g",
        tags=drawing.truth.tags,
        posted_at=SINCE + timedelta(minutes=index),
    )
    width, height = drawing.picture.size
    crop = FaceCrop(
        sha256=sha256,
        detection=Detection(image_sha256=image, box=truth.box, detector="truth", score=1.0),
        side=round(1.5 * truth.box.width),
        size=SIZE,
        padded=0.0,
        phash=image[:16],
        sharpness=500.0,
        contrast=50.0,
        chroma=20.0,
        hair="",
        hair_colour=truth.hair,
        hair_confidence=1.0,
        eyes="",
        eye_colour=truth.eyes,
        eye_confidence=1.0,
        family=image[:16],
    )
    picture = Image(
        sha256=image,
        md5=image[:32],
        post_id=post.id,
        width=width,
        height=height,
        bytes=1,
        format="PNG",
        phash=image[:16],
    )
    attributes = attributes_of(post.tags, 1)
    return row(crop, picture, post, None, split_of(crop.family, 0, SHARES), attributes=attributes)


if __name__ == "__main__":
    main()
