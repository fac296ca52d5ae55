"""What a release of many crops takes, and what it takes to read it again."""

from __future__ import annotations

import hashlib
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import tomli_w
from numpy.typing import NDArray

from bench.scraping import peak
from pipeline.export import Contents, MadeRows, publish
from pipeline.formats import FORMATS
from pipeline.labels import EYES, HAIR
from pipeline.manifest import ManifestRow, row, split_of
from pipeline.pixels import cut, encode_png, resize
from pipeline.records import Box, Detection, FaceCrop, Image, Post
from pipeline.sandbox.draw import Drawing, draw_portrait
from pipeline.stage import StageReport
from pipeline.store import Store
from pipeline.verify import verify

CROPS = 100_000
FEW = 10_000  # crops of a first release, which shows what memory a release takes however small it is
SIZE = 64  # pixels a side
DRAWN = 300  # faces; each becomes many by a shift, a mirror, an order of colours and a little noise
VERSION = 1
TAGS = tuple(f"tag_{number}" for number in range(200))
SHARES = {"train": 0.9, "validation": 0.05, "test": 0.05}

One = TypeVar("One")
Progress = Callable[[str, int, int], None]  # what, done, total


@dataclass(frozen=True, kw_only=True)
class Released:
    """One release, made and read again, each by a process of its own."""

    crops: int
    bytes: int  # of all files, links counted once
    seconds: float  # of the processor
    peak_bytes: int
    verify_s: float  # of the processor
    verify_peak_bytes: int
    faults: int


def measure(count: int, cache: Path, progress: Progress) -> tuple[Released, Released]:
    """Release a few crops, then *count* of them, in all formats.

    Args:
        count: How many crops.
        cache: Where the drawn crops are kept for the next time.
        progress: Told of what is done.
    """
    crops = draw(count, cache, progress)
    few, many = (_released(crops, some, progress) for some in (min(FEW, count), count))
    return few, many


def draw(count: int, cache: Path, progress: Progress) -> Path:
    """Give a folder with a store of that many different crops, and their names in `crops.npy`."""
    folder = cache / f"crops-{VERSION}-{count}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as name:
        aside = Path(name) / "crops"
        names = [kept(aside / "store", pixels_HWC) for pixels_HWC in _varied(count, progress)]
        np.save(aside / "crops.npy", np.array(names, "S64"))
        aside.rename(folder)
    return folder


def kept(root: Path, pixels_HWC: NDArray[np.uint8]) -> str:
    """Put a picture into the store at *root*, and give its name."""
    # As the store does, but without a flush for each of so many files.
    png = encode_png(pixels_HWC)
    sha256 = hashlib.sha256(png).hexdigest()
    path = Store(root).path(sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png)
    return sha256


def _varied(count: int, progress: Progress) -> Iterator[NDArray[np.uint8]]:
    faces: list[NDArray[np.uint8]] = []
    for index in range(count):
        if len(faces) < min(DRAWN, count):
            drawing = draw_portrait((VERSION, index), long_side=(700, 701))
            faces.append(resize(about_the_face(drawing), SIZE + 8))
        rng = np.random.default_rng((VERSION, index))
        top, left = rng.integers(8, size=2)
        face_HWC = faces[index % len(faces)][top : top + SIZE, left : left + SIZE, rng.permutation(3)]
        face_HWC = face_HWC[:, :: rng.choice((-1, 1))]
        noise_HW1 = rng.integers(-2, 3, (SIZE, SIZE, 1))
        yield np.clip(face_HWC.astype(np.int64) + noise_HW1, 0, 255).astype(np.uint8)
        progress("draw crops", index + 1, count)


def about_the_face(drawing: Drawing) -> NDArray[np.uint8]:
    """Cut a square of one and a half times the face, moved inwards where it would leave the picture."""
    pixels_HWC, box = np.asarray(drawing.picture), drawing.truth.faces[0].box
    side = min(round(1.5 * box.width), *pixels_HWC.shape[:2])
    left = min(max(0, box.left + box.width // 2 - side // 2), pixels_HWC.shape[1] - side)
    top = min(max(0, box.top + box.height // 2 - side // 2), pixels_HWC.shape[0] - side)
    return cut(pixels_HWC, Box(left=left, top=top, width=side, height=side))


def _released(crops: Path, count: int, progress: Progress) -> Released:
    with tempfile.TemporaryDirectory(prefix="kaoset-bench-") as folder:
        progress(f"release {count} crops", 0, 0)
        path, seconds, peak_bytes = _alone(_publish, crops, count, Path(folder))
        progress(f"read {count} crops again", 0, 0)
        faults, verify_s, verify_peak_bytes = _alone(_verify, path)
        there = {one.stat().st_ino: one.stat().st_size for one in Path(folder).rglob("*") if one.is_file()}
    return Released(
        crops=count,
        bytes=sum(there.values()),
        seconds=seconds,
        peak_bytes=peak_bytes,
        verify_s=verify_s,
        verify_peak_bytes=verify_peak_bytes,
        faults=faults,
    )


def _alone(do: Callable[..., One], *words: object) -> tuple[One, float, int]:
    """Do it in a process of its own; give also its processor seconds and the most memory that it took."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measured, do, *words).result()


def _measured(do: Callable[..., One], *words: object) -> tuple[One, float, int]:
    began = time.process_time()
    done = do(*words)
    return done, time.process_time() - began, peak()


def _publish(crops: Path, count: int, folder: Path) -> Path:
    names = np.load(crops / "crops.npy")[:count]
    recipe = {"name": "many", "release": {"formats": list(FORMATS), "labels": "hair"}, "train": {"size": SIZE}}
    contents = Contents(
        recipe_name="many",
        recipe_toml=tomli_w.dumps(recipe),
        rows=MadeRows(range(count), lambda index: _row(names[index].decode(), index)),
        reports=[StageReport(stage="export", seen=count, kept=count, dropped={}, judged=count, seconds=0.0)],
        train_size=SIZE,
        formats=tuple(FORMATS),
        labels="hair",
    )
    return publish(contents, Store(crops / "store"), folder, lambda _done, _total: None).path


def _verify(release: Path) -> int:
    return len(verify(release))


def _row(sha256: str, index: int) -> ManifestRow:
    """Make a row as long as those of a board with thirty tags a post."""
    image = hashlib.sha256(str(index).encode()).hexdigest()
    post = Post(
        id=f"bench:{index}",
        file_url=None,
        page_url=f"https://bench.invalid/posts/{index}",
        origin_url=f"https://artist.invalid/works/{index}",
        rating="g",
        tags=("solo", *(TAGS[(index * 7 + step) % len(TAGS)] for step in range(30))),
        posted_at=datetime(2020, 1, 1, tzinfo=UTC),
    )
    crop = FaceCrop(
        sha256=sha256,
        detection=Detection(
            image_sha256=image, box=Box(left=1, top=2, width=80, height=80), detector="drawn_net", score=0.98
        ),
        side=120,
        size=SIZE,
        padded=0.0,
        phash=image[:16],
        sharpness=500.0,
        contrast=50.0,
        chroma=20.0,
        hair="#303030",
        hair_colour=HAIR[index % len(HAIR)],
        hair_confidence=0.8,
        eyes="#303030",
        eye_colour=EYES[index % len(EYES)],
        eye_confidence=0.8,
        family=image[:16],
    )
    picture = Image(
        sha256=image,
        md5=image[:32],
        post_id=post.id,
        width=800,
        height=600,
        bytes=100_000,
        format="JPEG",
        phash=image[:16],
    )
    return row(crop, picture, post, None, split_of(crop.family, 0, SHARES))
