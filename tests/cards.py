"""A release's folder as a card finds it: crops, manifest, recipe and report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import make
import numpy as np

from pipeline.manifest import MANIFEST, ManifestRow, read_csv, row, to_csv
from pipeline.pixels import encode_png

RECIPE = """name = "faces"

[[sources]]
kind = "danbooru"
board = "danbooru"
"""
STAGES = [
    {"stage": "list", "seen": 40, "kept": 40, "dropped": {}},
    {"stage": "select", "seen": 40, "kept": 30, "dropped": {"rating": 10}},
    {"stage": "dedup", "seen": 30, "kept": 25, "dropped": {"duplicate": 5}},
]


def manifest_row(seed: int, **fields: Any) -> ManifestRow:
    """A row of a post of its own; what is not told is known."""
    crop = make.face_crop(seed, size=32, family=f"f{seed}", split="train", hair_colour="blue", eye_colour="red")
    one = row(crop, make.image(seed), make.post(seed, id=f"danbooru:{seed}", origin_url=""), None, "train")
    return replace(one, **fields)


def make_folder(place: Path, rows: Sequence[ManifestRow], recipe: str = RECIPE, **columns: Sequence[str] | str) -> Path:
    """Make one; each crop is a noise of its own. *columns* are added to the manifest: one text, or one for each row."""
    (place / "images").mkdir(parents=True)
    for index, one in enumerate(rows):
        noise_HWC = np.random.default_rng(index).integers(0, 256, (32, 32, 3), np.uint8)
        (place / one.file).write_bytes(encode_png(noise_HWC))
    (place / MANIFEST).write_bytes(to_csv(rows))
    if columns:
        frame = read_csv(place / MANIFEST)
        for name, texts in columns.items():
            frame[name] = texts
        frame.to_csv(place / MANIFEST, index=False)
    (place / "recipe.toml").write_text(recipe)
    (place / "report.json").write_text(json.dumps({"kaoset": "1.2.3", "stages": STAGES}))
    return place
