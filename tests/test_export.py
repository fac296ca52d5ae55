from __future__ import annotations

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import make
import numpy as np
import PIL.Image
import pytest

from pipeline.errors import UsageError
from pipeline.export import Contents, Release, find_release, publish
from pipeline.manifest import row
from pipeline.pixels import encode_png
from pipeline.stage import StageReport
from pipeline.store import Store
from pipeline.verify import verify

SIZE = 64


def _contents(store: Store, count: int = 5, image_format: str = "png") -> Contents:
    rows = []
    for seed in range(count):
        pixels_HWC = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        crop = make.face_crop(seed, sha256=store.put(encode_png(pixels_HWC)), size=SIZE, family=f"f{seed}")
        post = make.post(seed, tags=("solo", "blue_hair"))
        rows.append(row(crop, make.image(seed), post, None, ("train", "test")[seed % 2], image_format))
    done = StageReport(stage="export", seen=count, kept=count, dropped={}, judged=0, seconds=1.0)
    return Contents(
        recipe_name="r", recipe_toml='name = "r"\n', rows=rows, reports=[done], train_size=32, formats=("stylegan",)
    )


def _publish(contents: Contents, store: Store, releases: Path) -> Release:
    return publish(contents, store, releases, lambda _done, _total: None)


@pytest.fixture
def release(store: Store, tmp_path: Path) -> Path:
    return _publish(_contents(store), store, tmp_path / "releases").path


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_release_is_sound(release: Path) -> None:
    """What is published passes its own verification."""
    assert verify(release) == []


def test_the_same_contents_give_the_same_bytes(store: Store, tmp_path: Path) -> None:
    """In another folder, with the rows in another order, every file is the same."""
    contents = _contents(store)

    one = _publish(contents, store, tmp_path / "a")
    other = _publish(replace(contents, rows=contents.rows[::-1]), store, tmp_path / "b")

    assert _files(one.path) == _files(other.path)


@pytest.mark.parametrize("image_format", ["jpg", "webp"])
def test_crops_may_be_published_in_another_format(image_format: str, store: Store, tmp_path: Path) -> None:
    """The same bytes each time, sRGB without a word, sound; the arrays are those of the crops themselves."""
    contents = _contents(store, image_format=image_format)
    made = [_publish(contents, store, tmp_path / where).path for where in ("a", "b")]
    plain = _publish(_contents(store), store, tmp_path / "c").path

    assert _files(made[0]) == _files(made[1])
    assert verify(made[0]) == []
    assert (made[0] / "faces.npy").read_bytes() == (plain / "faces.npy").read_bytes()
    assert (made[0] / "stylegan.zip").read_bytes() == (plain / "stylegan.zip").read_bytes()
    with (made[0] / "data_manifest.csv").open() as file:
        first = next(csv.DictReader(file))
    assert first["file"] == f"images/{first['crop_sha256']}.{image_format}"
    with (
        PIL.Image.open(made[0] / first["file"]) as image,
        PIL.Image.open(plain / "images" / f"{first['crop_sha256']}.png") as crop,
    ):
        assert (image.mode, image.size, "icc_profile" in image.info) == ("RGB", (SIZE, SIZE), False)
        assert np.abs(np.asarray(image.convert("L"), int) - np.asarray(crop.convert("L"), int)).mean() < 8


def test_quality_counts(store: Store, tmp_path: Path) -> None:
    """A lower one gives smaller files."""
    sizes = []
    for quality in (95, 40):
        release = _publish(
            replace(_contents(store, image_format="jpg"), quality=quality), store, tmp_path / str(quality)
        )
        sizes.append(sum(path.stat().st_size for path in (release.path / "images").iterdir()))

    assert sizes[1] < sizes[0] / 2


def test_a_file_that_is_not_what_its_name_says_is_a_fault(store: Store, tmp_path: Path) -> None:
    """A PNG under the name of a JPEG would mislead whoever reads by names."""
    release = _publish(_contents(store, image_format="jpg"), store, tmp_path).path
    path = next((release / "images").iterdir())
    PIL.Image.open(path).save(path, "PNG")

    assert f"images/{path.name}: holds a PNG" in verify(release)


def test_nothing_new_makes_no_new_release(store: Store, tmp_path: Path) -> None:
    """The last release stands; more crops make the next number."""
    contents = _contents(store)
    first = _publish(contents, store, tmp_path)
    again = _publish(contents, store, tmp_path)
    more = _publish(_contents(store, 6), store, tmp_path)

    assert (first.new, again.new, again.path) == (True, False, first.path)
    assert (more.path.name, more.new) == ("002", True)


def test_a_damaged_release_is_published_again(store: Store, tmp_path: Path) -> None:
    """The damaged one stays as it is; the next number is whole."""
    contents = _contents(store)
    first = _publish(contents, store, tmp_path)
    _flip("faces.npy")(first.path)

    again = _publish(contents, store, tmp_path)

    assert (again.path.name, again.new, verify(again.path)) == ("002", True, [])


def test_what_a_killed_run_left_aside_is_never_taken_for_a_release(store: Store, tmp_path: Path) -> None:
    """A half-written folder is cleared away by the next run."""
    left = tmp_path / "r" / ".new-001"
    left.mkdir(parents=True)
    (left / "data_manifest.csv").write_text("half")

    release = _publish(_contents(store), store, tmp_path)

    assert sorted(one.name for one in (tmp_path / "r").iterdir()) == ["001"]
    assert verify(release.path) == []


def test_nothing_accepted_is_nothing_published(store: Store, tmp_path: Path) -> None:
    """The message says where to look."""
    with pytest.raises(UsageError, match="flow review list"):
        _publish(_contents(store, 0), store, tmp_path)


def test_faces_are_in_the_order_of_the_manifest(release: Path) -> None:
    """Row by row, the array holds the reduced crop of the manifest."""
    faces = np.load(release / "faces.npy")
    with (release / "data_manifest.csv").open() as file:
        first = next(csv.DictReader(file))
    image = PIL.Image.open(release / first["file"])

    assert (faces.shape, faces.dtype) == ((5, 32, 32, 3), np.uint8)
    distances = np.abs(np.asarray(image.reduce(2), int) - faces).mean(axis=(1, 2, 3))
    assert distances.argmin() == 0


def test_labels_say_true_false_and_unknown(release: Path) -> None:
    """Blue hair is true, other hair false, eyes unknown."""
    labels = np.load(release / "labels.npy")
    names = json.loads((release / "labels.json").read_text())

    assert {name: int(labels[0, names.index(name)]) for name in ("blue_hair", "red_hair", "red_eyes")} == {
        "blue_hair": 1,
        "red_hair": 0,
        "red_eyes": -1,
    }


def test_the_stylegan_zip_reads_as_stylegan_reads_it(release: Path) -> None:
    """Sorted names, square RGB of one power of two, labels at the root, nothing else."""
    with zipfile.ZipFile(release / "stylegan.zip") as archive:
        names = archive.namelist()
        shapes = {PIL.Image.open(io.BytesIO(archive.read(name))).size for name in names if name.endswith("png")}
        assert json.loads(archive.read("dataset.json")) == {"labels": None}

    assert shapes == {(SIZE, SIZE)}
    assert names[0] == "00000/img00000000.png"
    assert names == [*sorted(names[:-1]), "dataset.json"]


def _unlink(name: str) -> Callable[[Path], None]:
    return lambda release: (release / name).unlink()


def _flip(name: str) -> Callable[[Path], None]:
    def damage(release: Path) -> None:
        data = bytearray((release / name).read_bytes())
        data[len(data) // 2] ^= 1
        (release / name).write_bytes(bytes(data))

    return damage


def _rewrite(path: Path, old: bytes, new: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(old, new))


def _palette(release: Path) -> None:
    path = next((release / "images").iterdir())
    PIL.Image.open(path).convert("P").resize((SIZE, SIZE // 2)).save(path)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_unlink("faces.npy"), "faces.npy: missing"),
        (_unlink("data_manifest.csv"), "data_manifest.csv: missing"),
        (_unlink("SHA256SUMS"), "SHA256SUMS: missing"),
        (_unlink("report.json"), "report.json"),
        (lambda release: next((release / "images").iterdir()).unlink(), "missing"),
        (lambda release: (release / "images" / "stray.png").write_bytes(b"x"), "does not belong to the release"),
        (_flip("stylegan.zip"), "stylegan.zip: changed"),
        (_flip("faces.npy"), "faces.npy: changed"),
        (_flip("data_manifest.csv"), "data_manifest.csv: changed"),
        (lambda release: (release / "faces.npy").write_bytes(b"\x93NUMPY"), "faces.npy: not readable"),
        (lambda release: np.save(release / "labels.npy", np.zeros((4, 34), np.int8)), "int8 (5, 34) expected"),
        (lambda release: (release / "stylegan.zip").write_bytes(b"PK"), "stylegan.zip: not readable"),
        (lambda release: (release / "report.json").write_text('{"stages": [{"stage": "x"}]}'), "report.json"),
        (
            lambda release: (release / "report.json").write_text('{"stages": [{"seen": 1, "kept": 1, "dropped": []}]}'),
            "report",
        ),
        (lambda release: _rewrite(release / "data_manifest.csv", b",64,", b",abc,"), "pixels, abcxabc expected"),
        (_palette, "its bytes are not those of crop_sha256"),
    ],
)
def test_verify_names_each_planted_fault(release: Path, damage: Callable[[Path], None], named: str) -> None:
    """No damage goes unseen, and the line says which file."""
    damage(release)

    faults = verify(release)

    assert any(named in fault for fault in faults), faults


def test_a_release_is_found_by_any_of_its_names(store: Store, tmp_path: Path) -> None:
    """By folder, by recipe and number, by recipe, or as the last."""
    path = _publish(_contents(store), store, tmp_path).path

    assert {find_release(tmp_path, name) for name in (str(path), "r/001", "r", None)} == {path}
    shutil.copytree(path, path.with_name("001-backup"))
    assert find_release(tmp_path, "r") == path


@pytest.mark.parametrize("name", ["r/002", "/nonexistent", "", "../r", "x" * 5000, "a\0b"])
def test_a_release_that_is_not_there_is_one_clear_line(name: str, store: Store, tmp_path: Path) -> None:
    """Whatever was typed."""
    _publish(_contents(store), store, tmp_path)

    with pytest.raises(UsageError, match="no such release"):
        find_release(tmp_path, name)


def test_moving_a_release_harms_nothing(release: Path, tmp_path: Path) -> None:
    """It holds no path of the machine it was made on."""
    moved = tmp_path / "elsewhere"
    shutil.move(release, moved)

    assert verify(moved) == []
    assert not any(str(tmp_path).encode() in data for data in _files(moved).values())
