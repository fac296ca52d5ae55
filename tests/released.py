"""Small releases for tests: noise in squares, in three splits, with colours, tags and dates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import make
import numpy as np
import tomli_w

from pipeline.export import Contents, Release, publish
from pipeline.manifest import row
from pipeline.pixels import encode_png
from pipeline.stage import StageReport
from pipeline.store import Store

SIZE = 64
SPLITS = ("train", "train", "validation", "test")
ALL = ("stylegan", "imagefolder", "huggingface", "webdataset", "parquet")


def contents(
    store: Store,
    count: int = 8,
    *,
    formats: Sequence[str] = ALL,
    labels: str = "none",
    image_format: str = "png",
    **fields: Any,
) -> Contents:
    """What a release of *count* crops is made of; hair is blue, red, unknown in turn."""
    rows = []
    for seed in range(count):
        pixels_HWC = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        crop = make.face_crop(
            seed,
            sha256=store.put(encode_png(pixels_HWC)),
            size=SIZE,
            family=f"f{seed}",
            hair_colour=("blue", "red", "")[seed % 3],
        )
        post = make.post(
            seed, tags=("solo", "blue_hair", "初音ミク"), posted_at=None if seed == 1 else make.post().posted_at
        )
        rows.append(row(crop, make.image(seed), post, None, SPLITS[seed % 4], image_format))
    release = {"formats": list(formats), "labels": labels}
    return Contents(
        **{
            "recipe_name": "r",
            "recipe_toml": tomli_w.dumps({"name": "r", "release": release, "train": {"size": 32}}),
            "rows": rows,
            "reports": [StageReport(stage="export", seen=count, kept=count, dropped={}, judged=0, seconds=1.0)],
            "train_size": 32,
            "formats": tuple(formats),
            "labels": labels,
            **fields,
        }
    )


def release(made: Contents, store: Store, folder: Path) -> Release:
    """Publish without a word."""
    return publish(made, store, folder, lambda _done, _total: None)


def files(folder: Path) -> dict[str, bytes]:
    """All of a folder, to compare."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
