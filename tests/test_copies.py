"""What runs remember of copies: a folder grows from run to run, and a person decides in between."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from pipeline.catalog import Catalog
from pipeline.detectors.animeface import drawn_face
from pipeline.pixels import Pixels, encode_png
from pipeline.recipe import load
from pipeline.records import FaceCrop, ReviewDecision, Verdict
from pipeline.run import Build, Settings
from pipeline.stage import StageReport
from pipeline.store import Store

STAGES = ("list", "select", "scrape", "dedup-images", "detect", "crop", "dedup")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a small picture of a face."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = PIL.Image.fromarray(_drawn()).resize((600, 600), PIL.Image.Resampling.LANCZOS)
    picture.save(folder / "small.jpg", quality=85)
    return folder


def _drawn() -> Pixels:
    pixels = np.repeat(np.arange(900, dtype=np.uint8)[:, None, None] // 4, 900, axis=1).repeat(3, axis=2)
    pixels[200:500, 300:600] = drawn_face(300)
    return pixels


def _larger(folder: Path) -> None:
    """Put the drawing that the small picture was made of beside it."""
    (folder / "large.png").write_bytes(encode_png(_drawn()))


def _built(pictures: Path, data: Path, catalog: str, *orders: str) -> tuple[dict[str, StageReport], list[FaceCrop]]:
    fields = ["sources.0.kind=folder", f"sources.0.path={pictures}", 'detect.detectors=["animeface"]', "crop.size=64"]
    settings = Settings(data=data, workers=1, catalog_url=catalog)
    with Build(load(None, [*fields, *orders]), settings, lambda *_: None, print) as build:
        reports = {name: build.step(name) for name in STAGES}
        kept: list[Any] = list(build._items)
        return reports, kept


def _decide(catalog: str, crop: FaceCrop, verdict: Verdict) -> None:
    known = Catalog(catalog)
    known.decide([ReviewDecision(crop_sha256=crop.sha256, verdict=verdict, decided_at=datetime.now(UTC))])
    known.close()


def test_a_better_copy_takes_the_place_and_the_family(pictures: Path, tmp_path: Path, catalog_url: str) -> None:
    """The family keeps the name that its first picture gave it, though that is dropped before faces are looked for."""
    _, (small,) = _built(pictures, tmp_path / "data", catalog_url)
    _larger(pictures)
    reports, (large,) = _built(pictures, tmp_path / "data", catalog_url)

    assert (reports["dedup-images"].dropped, reports["detect"].seen) == ({"duplicate": 1}, 1)
    assert large.side > small.side
    assert small.family == small.detection.image_sha256[:16] == large.family


def test_what_a_person_kept_stays_when_a_better_copy_comes(pictures: Path, tmp_path: Path, catalog_url: str) -> None:
    """The better one is dropped, before faces are looked for in it."""
    _, (small,) = _built(pictures, tmp_path / "data", catalog_url)
    _decide(catalog_url, small, Verdict.KEEP)
    _larger(pictures)
    reports, kept = _built(pictures, tmp_path / "data", catalog_url)

    assert (reports["dedup-images"].dropped, reports["detect"].judged) == ({"duplicate": 1}, 0)
    assert [crop.sha256 for crop in kept] == [small.sha256]


def test_what_was_compared_is_not_decoded_again(pictures: Path, tmp_path: Path, catalog_url: str) -> None:
    """What two images are to each other is in the catalog: the second run does not miss the bytes that are gone."""
    _larger(pictures)
    first, _ = _built(pictures, tmp_path / "data", catalog_url)
    dropped = hashlib.sha256((pictures / "small.jpg").read_bytes()).hexdigest()
    Store(tmp_path / "data" / "store").path(dropped).write_bytes(b"no picture any more")

    again, _ = _built(pictures, tmp_path / "data", catalog_url)

    assert again["dedup-images"].dropped == first["dedup-images"].dropped == {"duplicate": 1}
