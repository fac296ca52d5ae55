from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import weakref
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import released

from pipeline.errors import UsageError
from pipeline.export import Contents, MadeRows, Release, find_release, publish
from pipeline.manifest import COLUMNS, ManifestRow
from pipeline.store import Store
from pipeline.verify import verify

SIZE = released.SIZE


def _contents(store: Store, count: int = 5, image_format: str = "png") -> Contents:
    return released.contents(store, count, formats=("stylegan",), image_format=image_format)


def _publish(contents: Contents, store: Store, releases: Path) -> Release:
    return released.release(contents, store, releases)


@pytest.fixture
def release(store: Store, tmp_path: Path) -> Path:
    return _publish(_contents(store), store, tmp_path / "releases").path


def test_a_release_is_sound(release: Path) -> None:
    """What is published passes its own verification."""
    assert verify(release) == []


def test_the_same_contents_give_the_same_bytes(store: Store, tmp_path: Path) -> None:
    """In another folder, with the rows in another order, every file is the same."""
    contents = _contents(store)

    one = _publish(contents, store, tmp_path / "a")
    other = _publish(replace(contents, rows=contents.rows[::-1]), store, tmp_path / "b")

    assert released.files(one.path) == released.files(other.path)


@pytest.mark.parametrize("image_format", ["jpg", "webp"])
def test_crops_may_be_published_in_another_format(image_format: str, store: Store, tmp_path: Path) -> None:
    """The same bytes each time, sRGB without a word, sound; the arrays are those of the crops themselves."""
    contents = _contents(store, image_format=image_format)
    made = [_publish(contents, store, tmp_path / where).path for where in ("a", "b")]
    plain = _publish(_contents(store), store, tmp_path / "c").path

    assert released.files(made[0]) == released.files(made[1])
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


def test_what_is_left_of_another_release_is_cleared_away(store: Store, tmp_path: Path) -> None:
    """It is never taken for a release, nor gone on with."""
    left = tmp_path / "r" / ".new-001"
    left.mkdir(parents=True)
    (left / "data_manifest.csv").write_text("half")

    release = _publish(_contents(store), store, tmp_path)

    assert sorted(one.name for one in (tmp_path / "r").iterdir()) == ["001"]
    assert verify(release.path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
import released
from pipeline.formats import images, webdataset
from pipeline.store import Store
from pipeline.export import publish
images.PART, webdataset.SHARD = 3, 2
folder, at = Path(sys.argv[1]), int(sys.argv[2])
store = Store(folder / "store")

def progress(done, total):
    with (folder / "seen").open("a") as file:
        file.write(f"{done} ")
    if done >= at:
        os.kill(os.getpid(), signal.SIGKILL)

publish(released.contents(store, 10, labels="hair"), store, folder / "releases", progress)
"""


def test_a_killed_publication_is_gone_on_with(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any point: no half release is ever seen, what is whole is not made again, and the bytes are the same."""
    monkeypatch.setattr("pipeline.formats.webdataset.SHARD", 2)
    made = released.contents(store, 10, labels="hair")
    plain = released.release(made, store, tmp_path / "plain").path
    points = [1, 4, 8, 11, 25, 32, 47, 51, 60, 10**9]  # of 60: crops, then each format in turn
    codes, first = [], []
    for at in points:
        (tmp_path / "seen").unlink(missing_ok=True)
        words = [sys.executable, "-c", KILLED, str(tmp_path), str(at)]
        paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
        codes.append(subprocess.run(words, env={**os.environ, "PYTHONPATH": paths}, check=False).returncode)
        first.append(int((tmp_path / "seen").read_text().split()[0]))
        seen = [one.name for one in (tmp_path / "releases" / "r").glob("[0-9]*")]
        assert seen == (["001"] if at == points[-1] else [])

    assert codes == [-signal.SIGKILL] * (len(points) - 1) + [0]
    assert first == [0, 0, 3, 6, 10, 10, 10, 10, 10, 10]  # how many crops were not made again
    assert [one.name for one in (tmp_path / "releases" / "r").iterdir()] == ["001"]
    assert released.files(tmp_path / "releases" / "r" / "001") == released.files(plain)


def test_what_a_power_cut_left_of_a_receipt_is_not_trusted(store: Store, tmp_path: Path) -> None:
    """A receipt for more faces than the array holds: all of them are made again."""
    made = released.contents(store, 5)
    plain = released.release(made, store, tmp_path / "plain").path

    def stop(done: int, _total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(made, store, tmp_path / "cut", stop)
    (tmp_path / "cut" / "r" / ".new-001" / ".new-receipt").write_text("4")
    os.truncate(tmp_path / "cut" / "r" / ".new-001" / ".new-faces.npy", 200)

    assert released.files(released.release(made, store, tmp_path / "cut").path) == released.files(plain)


class Row(ManifestRow):
    """A row that tells when it is let go."""

    __slots__ = ("__weakref__",)


def test_rows_are_not_held(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release holds as many rows as are written at once, however many there are."""
    monkeypatch.setattr("pipeline.manifest.ROWS_AT_ONCE", 2)
    monkeypatch.setattr("pipeline.formats.parquet.GROUP", 2)
    made = released.contents(store, 20)
    alive: list[weakref.ref[Row]] = []
    most = 0

    def make(one: ManifestRow) -> ManifestRow:
        nonlocal most
        row = Row(**{name: getattr(one, name) for name in COLUMNS})
        alive.append(weakref.ref(row))
        most = max(most, sum(held() is not None for held in alive))
        return row

    rows = MadeRows(made.rows, make)
    release = released.release(replace(made, rows=rows), store, tmp_path / "made").path

    assert released.files(release) == released.files(released.release(made, store, tmp_path / "held").path)
    assert most <= 5


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
    assert not any(str(tmp_path).encode() in data for data in released.files(moved).values())
