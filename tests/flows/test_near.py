"""`flow near`: what of a built data folder is like the pictures that somebody has."""

from __future__ import annotations

import csv
import inspect
from pathlib import Path

import PIL.Image
import pytest
from command import Built, Flow

from flows import cli
from pipeline.recipe import DedupSection
from pipeline.store import Store


@pytest.fixture
def row(data: Path) -> dict[str, str]:
    """A crop of the release."""
    with (data / "releases" / "sandbox" / "001" / "data_manifest.csv").open(newline="", encoding="utf-8") as file:
        return next(csv.DictReader(file))


@pytest.fixture
def folder(tmp_path: Path, data: Path, row: dict[str, str]) -> Path:
    """A small mirrored copy of an image, a stranger, and a file that is no picture."""
    found = tmp_path / "found"
    found.mkdir()
    with PIL.Image.open(Store(data / "store").path(row["image_sha256"])) as image:
        copy = image.convert("RGB").transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
        copy.resize((copy.width * 2 // 3, copy.height * 2 // 3)).save(found / "copy.jpg", quality=90)
    PIL.Image.linear_gradient("L").save(found / "stranger.png")
    (found / "text.png").write_text("<script>")
    return found


def test_it_tells_people_what_is_like_a_picture(data: Path, row: dict[str, str], folder: Path, flow: Flow) -> None:
    """The post, its page, how alike, which is larger, and the SHA-256; that nothing is; and what is no picture."""
    answer = flow("near", folder / "copy.jpg", folder / "stranger.png", folder / "text.png", "--data", data)

    assert (answer.code, answer.err) == (0, "")
    size = f"{row['image_width']} x {row['image_height']}"
    assert f"  same (mirrored)  {size}, larger  {row['image_sha256']}\n" in answer.out
    assert f"    {row['post_id']}  {row['page_url']}\n" in answer.out
    assert f"{folder / 'stranger.png'}: 256 x 256: nothing like it\n" in answer.out
    assert f"{folder / 'text.png'}: not_an_image: " in answer.out


def test_it_tells_programs_the_same_of_a_folder(data: Path, row: dict[str, str], folder: Path, flow: Flow) -> None:
    """Every picture below it, in the order of their names."""
    copy, stranger, text = flow.json("near", folder, "--data", data)

    assert [Path(one["picture"]).name for one in (copy, stranger, text)] == ["copy.jpg", "stranger.png", "text.png"]
    match = next(one for one in copy["like"] if one["sha256"] == row["image_sha256"])
    assert (match["likeness"], match["mirrored"], match["size"]) == ("same", True, "larger")
    assert {"id": row["post_id"], "page_url": row["page_url"]} in match["posts"]
    assert stranger["like"] == []
    assert text["bad"].startswith("not_an_image")


def test_what_is_not_there_is_refused(built: Built, tmp_path: Path, flow: Flow) -> None:
    """In a line, before anything is looked for; so is a folder without pictures."""
    (tmp_path / "empty").mkdir()

    missing = flow("near", "none.jpg", "--data", built.data)
    empty = flow("near", "empty", "--data", built.data)

    assert (missing.code, missing.complaint) == (2, "none.jpg: no file there; give pictures, or folders of them")
    assert (empty.code, empty.complaint.partition(";")[0]) == (2, "empty: holds no pictures")


def test_without_a_word_it_looks_as_far_as_a_recipe() -> None:
    """The distance of images in `[dedup]`."""
    assert inspect.signature(cli.near).parameters["distance"].default == DedupSection().max_image_distance
