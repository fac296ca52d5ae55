"""file = "sample": the smaller file of each dialect, without a checksum, and never mixed up with the original."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import boards
import numpy as np
import pytest
from PIL import Image as Pictures

from pipeline.errors import RecipeError
from pipeline.http import Client
from pipeline.recipe import load
from pipeline.records import Post
from pipeline.run import Build, Settings
from pipeline.sandbox import board
from pipeline.sandbox.draw import Truth
from pipeline.sandbox.posts import SINCE, Kind, PlantedPost, Sandbox
from pipeline.sources import DIALECTS, Source

PATHS = ("", "/gelbooru", "/gelbooru-keyed", "/moebooru")
KEYED: dict[str, Any] = {"form": "json", "login": "1", "api_key": "sandbox"}
WIDE, NARROW, HIDDEN, BROKEN, DRAWN = 11, 12, 13, 14, 15


def plant(folder: Path) -> Sandbox:
    """A wide PNG, a narrow JPEG, a hidden post, a wide file of which nothing smaller can be made, a narrow PNG."""
    (folder / "files").mkdir()
    return Sandbox(
        folder,
        (
            _planted(folder, WIDE, Kind.PORTRAIT, "png", (1000, 700)),
            _planted(folder, NARROW, Kind.PORTRAIT, "jpg", (400, 300)),
            _planted(folder, HIDDEN, Kind.HIDDEN, "jpg", (1000, 700)),
            _planted(folder, BROKEN, Kind.TRUNCATED, "jpg", (1000, 700)),
            _planted(folder, DRAWN, Kind.PORTRAIT, "png", (400, 300)),
        ),
    )


def _planted(folder: Path, number: int, kind: Kind, ext: str, size: tuple[int, int]) -> PlantedPost:
    buffer = io.BytesIO()
    pixels_HWC = np.random.default_rng(number).integers(0, 256, (size[1] // 10, size[0] // 10, 3), np.uint8)
    Pictures.fromarray(pixels_HWC).resize(size).save(buffer, {"jpg": "JPEG"}.get(ext, "PNG"))
    data = buffer.getvalue()
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if kind is not Kind.HIDDEN:
        (folder / "files" / f"{md5}.{ext}").write_bytes(data)
    return PlantedPost(
        number=number,
        kind=kind,
        posted_at=SINCE,
        rating="g",
        ext=ext,
        md5=md5,
        size=len(data),
        width=size[0],
        height=size[1],
        truth=Truth(tags=("1girl",)),
    )


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return plant(tmp_path_factory.mktemp("samples"))


def posts(source: Source) -> dict[int, Post]:
    found = [post for page in source.pages(None) for post in page.posts]
    return {int(post.id.partition(":")[2].partition("#")[0]): post for post in found}


def fields(path: str) -> dict[str, Any]:
    return KEYED if path == "/gelbooru-keyed" else {}


@pytest.mark.parametrize("path", PATHS)
def test_a_sample_is_another_post_without_a_checksum(sandbox: Sandbox, tmp_path: Path, path: str) -> None:
    """Everything else that is said of it stays; the file is a JPEG of 850 pixels."""
    with boards.serve(sandbox, path) as (_, make):
        wide = posts(make(**fields(path)))[WIDE]
        source = make(file="sample", **fields(path))
        sample = posts(source)[WIDE]
        source.fetch(sample, tmp_path / "file", 10**7)

    assert sample == replace(
        wide, id=f"s:{WIDE}#sample", file_url=sample.file_url, md5=None, sha1=None, size=None, ext="jpg"
    )
    assert str(sample.file_url).startswith("https://s.invalid/")
    with Pictures.open(tmp_path / "file") as picture:
        assert (picture.format, picture.size) == ("JPEG", (850, 595))


@pytest.mark.parametrize("path", PATHS)
def test_without_a_sample_it_is_the_original(sandbox: Sandbox, path: str) -> None:
    """With its md5, and as the very post that it is without the choice; so it is not fetched again."""
    with boards.serve(sandbox, path) as (_, make):
        originals, chosen = posts(make(**fields(path))), posts(make(file="sample", **fields(path)))

    for number in (NARROW, HIDDEN, BROKEN):
        assert chosen[number] == originals[number]
    assert chosen[NARROW].md5 == sandbox.truth_of(NARROW).md5
    assert chosen[HIDDEN].file_url is None


def test_moebooru_gives_a_small_png_as_a_jpeg(sandbox: Sandbox, tmp_path: Path) -> None:
    """It has as many pixels and fewer bytes; the other boards have nothing of the kind."""
    with boards.serve(sandbox, "/moebooru") as (_, make):
        source = make(file="sample")
        post = posts(source)[DRAWN]
        source.fetch(post, tmp_path / "file", 10**7)

    assert (post.id, post.ext, post.md5) == (f"s:{DRAWN}#sample", "jpg", None)
    with Pictures.open(tmp_path / "file") as picture:
        assert (picture.format, picture.size) == ("JPEG", (400, 300))


ORIGINAL = "https://b.example/o/1.png"
SAMPLE = "https://b.example/s/1%20a.jpg"
ROW: dict[str, Any] = {"id": 1, "file_url": ORIGINAL, "file_ext": "png", "md5": "0" * 32}


@pytest.mark.parametrize(
    ("kind", "row", "chosen"),
    [
        ("danbooru", {"large_file_url": SAMPLE}, SAMPLE),
        ("danbooru", {"large_file_url": ORIGINAL}, ORIGINAL),
        ("danbooru", {}, ORIGINAL),
        ("danbooru", {"large_file_url": "http://[bad"}, ORIGINAL),
        ("danbooru", {"file_url": None, "large_file_url": None}, None),
        ("gelbooru", {"sample": 1, "sample_url": SAMPLE}, SAMPLE),
        ("gelbooru", {"sample": 0, "sample_url": ""}, ORIGINAL),
        ("gelbooru", {"sample": False, "sample_url": ORIGINAL}, ORIGINAL),
        ("gelbooru", {"file_url": "https://b.example/images//", "sample_url": "https://b.example/images//"}, None),
        ("moebooru", {"sample_url": SAMPLE, "jpeg_url": "https://b.example/j/1.jpg"}, SAMPLE),
        ("moebooru", {"sample_url": ORIGINAL, "jpeg_url": SAMPLE}, SAMPLE),
        ("moebooru", {"sample_url": ORIGINAL, "jpeg_url": ORIGINAL}, ORIGINAL),
        ("moebooru", {"file_url": None}, None),
        ("szurubooru", {"contentUrl": ORIGINAL, "thumbnailUrl": SAMPLE}, ORIGINAL),
    ],
)
def test_what_counts_as_a_sample(kind: str, row: dict[str, Any], chosen: str | None) -> None:
    """Where a board repeats the original's address, says nothing, or hides the post, there is none."""
    source = DIALECTS[kind](name="b", address="https://b.example", client=Client(), file="sample")  # type: ignore[call-arg]
    post = source._chosen({**ROW, **row})

    assert post.file_url == chosen
    assert post.id == ("b:1#sample" if chosen == SAMPLE else "b:1")
    assert (post.md5 is None) == (chosen == SAMPLE or kind == "szurubooru")


def test_what_moves_still_moves_in_a_sample() -> None:
    """A ugoira's sample is a film, and a video's may be one frame of it."""
    row = {**ROW, "file_ext": "zip", "large_file_url": "https://b.example/s/1.webm"}
    source = DIALECTS["danbooru"](name="b", address="https://b.example", client=Client(), file="sample")  # type: ignore[call-arg]

    assert source._chosen(row).animated
    assert source._chosen({**row, "large_file_url": SAMPLE}).animated


def test_a_changed_choice_fetches_the_other_file(sandbox: Sandbox, tmp_path: Path) -> None:
    """On the same data folder, there and back: each choice has its own posts, and nothing is fetched twice."""

    def widths(url: str, file: str) -> dict[str, int]:
        overrides = ["sources.0.name=s", f"sources.0.file={file}", "scrape.contact=test"]
        settings = Settings(data=tmp_path, sandbox_url=url, workers=1)
        with Build(load("sandbox", overrides), settings, lambda *_: None, lambda _: None) as run:
            for name in ("list", "select", "scrape"):
                run.step(name)
            return {image.post_id: image.width for image in run._items}

    with board.serve(sandbox) as served:
        first, sampled, again = (widths(served.url, file) for file in ("original", "sample", "original"))
        asked = [one.path for one in served.log if not one.path.startswith("/posts")]

    assert first == again == {f"s:{WIDE}": 1000, f"s:{NARROW}": 400, f"s:{BROKEN}": 1000, f"s:{DRAWN}": 400}
    assert sampled == {f"s:{WIDE}#sample": 850, f"s:{NARROW}": 400, f"s:{BROKEN}": 1000, f"s:{DRAWN}": 400}
    assert len(asked) == len(set(asked)) == 5


def test_a_recipe_names_the_file(sandbox: Sandbox, tmp_path: Path) -> None:
    """One field for all boards; szurubooru keeps no samples, and says so."""
    overrides = ["sources.0.board=sandbox", "sources.0.file=sample", "sources.0.min_gap_s=0.0", "scrape.contact=test"]
    with board.serve(sandbox) as served:
        recipe = load("sandbox", overrides)
        settings = Settings(data=tmp_path, sandbox_url=served.url, workers=1)
        with Build(recipe, settings, lambda *_: None, lambda _: None) as run:
            run.step("list")
            listed = {post.id for post in run._listed()}

    assert f"sandbox:{WIDE}#sample" in listed
    with pytest.raises(RecipeError, match=r"sources.0.file: Input should be 'original' \(given: 'sample'\)"):
        load("sandbox", ["sources.0.kind=szurubooru", *overrides])
