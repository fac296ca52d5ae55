"""Faults planted in a sound release, each found by its readers' rules even where SHA256SUMS was made to fit."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pytest
import released
from pyarrow import parquet

from pipeline.errors import UsageError
from pipeline.manifest import COLUMNS, files_of, sha256_of
from pipeline.store import Store
from pipeline.verify import verify

Plant = Callable[[Path], object]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release in all formats, in classes by hair."""
    folder = tmp_path_factory.mktemp("sound")
    store = Store(folder / "store")
    return released.release(released.contents(store, labels="hair"), store, folder / "releases").path


@pytest.fixture
def release(sound: Path, tmp_path: Path) -> Path:
    """A copy, in which a link is a file of its own."""
    return Path(shutil.copytree(sound, tmp_path / "001"))


def seal(release: Path) -> None:
    """Make SHA256SUMS fit whatever is there now."""
    named = [(sha256_of(path), path.relative_to(release).as_posix()) for path in files_of(release)]
    lines = [f"{digest}  {name}\n" for digest, name in named if name != "SHA256SUMS"]
    (release / "SHA256SUMS").write_text("".join(lines))


def first(release: Path, pattern: str) -> Path:
    return min(release.glob(pattern))


def image(release: Path) -> Path:
    return first(release, "images/*.png")


def remove(pattern: str) -> Plant:
    return lambda release: first(release, pattern).unlink()


def write(name: str, data: bytes) -> Plant:
    def plant(release: Path) -> None:
        (release / name).parent.mkdir(parents=True, exist_ok=True)
        (release / name).write_bytes(data)

    return plant


def cut(pattern: str, share: float) -> Plant:
    def plant(release: Path) -> None:
        path = first(release, pattern)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return plant


def edit(pattern: str, old: str, new: str, count: int = 1) -> Plant:
    def plant(release: Path) -> None:
        path = first(release, pattern)
        data = path.read_bytes()
        assert re.search(old.encode(), data), old
        path.write_bytes(re.sub(old.encode(), new.encode(), data, count=count))

    return plant


def redraw(change: Callable[[PIL.Image.Image], PIL.Image.Image], kind: str = "PNG") -> Plant:
    return lambda release: change(PIL.Image.open(image(release))).save(image(release), kind)


def sixteen_bits(release: Path) -> None:
    import cv2

    cv2.imwrite(str(image(release)), np.full((64, 64, 3), 40_000, np.uint16))


def array(name: str, change: Callable[[Any], Any]) -> Plant:
    def plant(release: Path) -> None:
        np.save(release / name, change(np.load(release / name)))

    return plant


def swapped(values: Any) -> Any:
    return values[[1, 0, *range(2, len(values))]]


def with_one(values: Any, value: int) -> Any:
    values.flat[0] = value
    return values


def rows(change: Callable[[list[str]], Sequence[str]]) -> Plant:
    """Change the lines of the manifest below the first."""

    def plant(release: Path) -> None:
        path = release / "data_manifest.csv"
        head, *lines = path.read_text("utf-8").splitlines()
        path.write_text("\n".join([head, *change(lines)]) + "\n", "utf-8")

    return plant


def one_family(lines: list[str]) -> list[str]:
    return [re.sub(r",f\d,", ",f0,", line) for line in lines]


def members(
    change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]], kind: int = zipfile.ZIP_STORED
) -> Plant:
    """Write the zip again with other members."""

    def plant(release: Path) -> None:
        path = release / "stylegan.zip"
        with zipfile.ZipFile(path) as archive:
            there = [(name, archive.read(name)) for name in archive.namelist()]
        with zipfile.ZipFile(path, "w", kind) as archive:
            for name, data in change(there):
                archive.writestr(name, data)

    return plant


def zip_labels(change: Callable[[Any], Any]) -> Plant:
    return members(
        lambda all_: [
            *all_[:-1],
            ("dataset.json", json.dumps({"labels": change(json.loads(all_[-1][1])["labels"])}).encode()),
        ]
    )


def picture(mode: str, size: tuple[int, int] = (64, 64)) -> bytes:
    file = io.BytesIO()
    PIL.Image.new(mode, size).save(file, "PNG")
    return file.getvalue()


def shard(change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], Sequence[tuple[tarfile.TarInfo, bytes]]]) -> Plant:
    """Write a shard again with other members."""

    def plant(release: Path) -> None:
        path = first(release, "webdataset/train-*.tar")
        with tarfile.open(path) as archive:
            there = [(one, archive.extractfile(one).read()) for one in archive]  # type: ignore[union-attr]
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            for one, data in change(there):
                one.size = len(data)
                archive.addfile(one, io.BytesIO(data))

    return plant


def named(name: str, all_: list[tuple[tarfile.TarInfo, bytes]], at: int = 0) -> list[tuple[tarfile.TarInfo, bytes]]:
    all_[at][0].name = name
    return all_


def linked(all_: list[tuple[tarfile.TarInfo, bytes]]) -> list[tuple[tarfile.TarInfo, bytes]]:
    member = all_[0][0]
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return [(member, b""), *all_[1:]]


def saying(all_: list[tuple[tarfile.TarInfo, bytes]], at: int, data: bytes) -> list[tuple[tarfile.TarInfo, bytes]]:
    all_[at] = all_[at][0], data
    return all_


def table(change: Callable[[pa.Table], pa.Table]) -> Plant:
    def plant(release: Path) -> None:
        path = release / "data_manifest.parquet"
        parquet.write_table(change(parquet.read_table(path)), path)

    return plant


def metadata(change: Callable[[list[str]], Sequence[str]]) -> Plant:
    def plant(release: Path) -> None:
        path = release / "huggingface" / "train" / "metadata.jsonl"
        path.write_text("".join(f"{line}\n" for line in change(path.read_text("utf-8").splitlines())), "utf-8")

    return plant


def to_other_class(release: Path) -> None:
    path = first(release, "imagefolder/train/blue/*")
    path.rename(path.parent.parent / "red" / path.name)


def link_outside(release: Path) -> None:
    path = image(release)
    path.unlink()
    path.symlink_to("/etc/hostname")


TRAIN, META = "webdataset/train-000000.tar", "huggingface/train/metadata.jsonl"
PLANTED: dict[str, tuple[Plant, str]] = {
    # crops
    "a picture is missing": (remove("images/*.png"), "in the manifest, but missing"),
    "a picture that no row names": (write("images/stray.png", picture("RGB")), "images/stray.png: not in the manifest"),
    "a picture is not square": (redraw(lambda one: one.resize((64, 32))), "64x32 pixels, 64x64 expected"),
    "a picture is too small": (redraw(lambda one: one.resize((32, 32))), "32x32 pixels, 64x64 expected"),
    "a picture has a palette": (redraw(lambda one: one.convert("P")), ".png: P pixels, RGB of 8 bits expected"),
    "a picture is grey": (redraw(lambda one: one.convert("L")), ".png: L pixels, RGB of 8 bits expected"),
    "a picture is transparent": (redraw(lambda one: one.convert("RGBA")), ".png: RGBA pixels"),
    "a picture has 16 bits": (sixteen_bits, "pixels of 16 bits"),
    "a picture is of another kind": (redraw(lambda one: one, "JPEG"), ".png: holds a JPEG"),
    "a picture is another": (redraw(lambda one: one.rotate(90)), "its bytes are not those of crop_sha256"),
    "a picture ends early": (cut("images/*.png", 0.5), "does not decode (truncated)"),
    "a picture is no picture": (lambda release: image(release).write_bytes(b"GIF89a"), "no picture"),
    "a picture is a link that leads out": (link_outside, "a link that may lead anywhere"),
    # arrays
    "faces of another type": (
        array("faces.npy", lambda values: values.astype(np.float32)),
        "faces.npy: float32, uint8",
    ),
    "a face too few": (array("faces.npy", lambda values: values[1:]), "faces.npy: shape (7, 32, 32, 3) does not fit 8"),
    "faces of another size": (array("faces.npy", lambda values: values[:, ::2, ::2]), "N x 32 x 32 x 3 expected"),
    "faces in Fortran's order": (array("faces.npy", np.asfortranarray), "faces.npy: (8, 32, 32, 3), N x 32 x 32 x 3"),
    "faces in another order": (array("faces.npy", swapped), "faces.npy: another face than images/"),
    "a byte of a face changed": (
        array("faces.npy", lambda values: with_one(values, values.flat[0] ^ 1)),
        "another face",
    ),
    "faces end early": (cut("faces.npy", 0.9), "faces.npy: not readable"),
    "more than the faces": (
        lambda release: (release / "faces.npy").open("ab").write(b"x"),
        "faces.npy: more bytes than its header says",
    ),
    "faces are pickled": (array("faces.npy", lambda _: np.array([{}], object)), "faces.npy: not readable"),
    "a label of no meaning": (
        array("labels.npy", lambda values: with_one(values, 7)),
        "labels.npy: labels of -1, 0 or 1",
    ),
    "labels too few": (
        array("labels.npy", lambda values: values[1:]),
        "labels.npy: int8 (7, 34), int8 (8, 34) expected",
    ),
    "labels of another type": (array("labels.npy", lambda values: values.astype(float)), "labels.npy: float64"),
    "no names of labels": (write("labels.json", b'{"a": 1}'), "labels.json: a list of names expected"),
    "a class of no name": (
        array("classes.npy", lambda values: with_one(values, 3)),
        "classes.npy: a class beyond the 3",
    ),
    "classes unsorted": (write("classes.json", b'["red", "blue", "_unlabelled"]'), "classes.json: sorted names"),
    "a class that leads out": (
        write("classes.json", b'["../x", "blue", "red"]'),
        "classes.json: sorted names of folders",
    ),
    # manifest and report
    "a row twice": (rows(lambda lines: [lines[0], *lines]), "is there twice"),
    "a row is missing": (rows(lambda lines: lines[1:]), ".png: not in the manifest"),
    "rows unsorted": (rows(lambda lines: lines[::-1]), "rows are not sorted by crop_sha256"),
    "a family in two splits": (rows(one_family), "family f0 stands in more than one split"),
    "no UTF-8": (
        lambda release: (release / "data_manifest.csv").open("ab").write(b"\xff\xfe\n"),
        "not readable as a man",
    ),
    "a short row": (rows(lambda lines: [*lines[:-1], lines[-1].rpartition(",")[0]]), f"cells, {len(COLUMNS)} expected"),
    "a long row": (rows(lambda lines: [*lines[:-1], lines[-1] + ",x,y"]), "not readable as a manifest"),
    "a crop that leads out": (
        rows(lambda lines: [re.sub(r"^\w+", "../../x", lines[0]), *lines[1:]]),
        "is no crop_sha256",
    ),
    "a split that leads out": (
        rows(lambda lines: [line.replace(",train,", ",../x,") for line in lines]),
        "is no split",
    ),
    "a size that is none": (rows(lambda lines: [line.replace(",64,", ",abc,") for line in lines]), "abcxabc expected"),
    "a file of another name": (rows(lambda lines: [lines[0].replace("images/", "../"), *lines[1:]]), "is not named by"),
    "a column is missing": (edit("data_manifest.csv", ",rating,", ","), "data_manifest.csv: "),
    "a column has another name": (
        edit("data_manifest.csv", ",rating,", ",grade,"),
        "not those that report.json states",
    ),
    "counts that do not add up": (edit("report.json", '"seen": 8', '"seen": 9'), "its counts do not add up"),
    "another count of crops": (edit("report.json", '"(seen|kept)": 8', r'"\1": 9', 2), "9 crops stated, 8 in the man"),
    "no report": (remove("report.json"), "report.json: not readable"),
    "no recipe": (remove("recipe.toml"), "recipe.toml: not readable"),
    "a format of a later kaoset": (edit("recipe.toml", '"parquet"', '"lmdb"'), "'lmdb' is a format that kaoset"),
    # StyleGAN
    "the zip ends early": (cut("stylegan.zip", 0.9), "stylegan.zip: not readable"),
    "the zip is missing": (remove("stylegan.zip"), "stylegan.zip: not readable"),
    "a compressed member": (members(lambda all_: all_, zipfile.ZIP_DEFLATED), "is compressed, stored expected"),
    "a bomb": (
        members(lambda all_: [*all_, ("z.png", bytes(50_000_000))], zipfile.ZIP_DEFLATED),
        "z.png is compressed, stored expected",
    ),
    "a member twice": (members(lambda all_: [all_[0], *all_]), "00000/img00000000.png is there twice"),
    "a member that leads out": (
        members(lambda all_: [*all_, ("../x.png", b"x")]),
        "'../x.png' leads out of the folder",
    ),
    "a picture less": (members(lambda all_: all_[1:]), "stylegan.zip: 00000/img00000000.png is missing"),
    "a preview among the pictures": (
        members(lambda all_: [*all_, ("sheet.png", picture("RGB"))]),
        "'sheet.png' is no crop",
    ),
    "pictures in another order": (
        members(lambda all_: [(all_[0][0], all_[1][1]), (all_[1][0], all_[0][1]), *all_[2:]]),
        "img00000000.png is not the crop of its row",
    ),
    "a picture of the zip has a palette": (
        members(lambda all_: [(all_[0][0], picture("P")), *all_[1:]]),
        "img00000000.png P pixels, RGB of 8 bits expected",
    ),
    "a label hole": (zip_labels(lambda labels: labels[:-1]), "dataset.json does not label 00000/img00000007.png"),
    "a label of nothing": (zip_labels(lambda labels: [*labels, ["x.png", 0]]), "labels 'x.png', which is not there"),
    "a label twice": (zip_labels(lambda labels: [labels[0], *labels]), "dataset.json labels a picture twice"),
    "another label": (zip_labels(lambda labels: [[labels[0][0], 9], *labels[1:]]), "another label than the release"),
    "no labels": (zip_labels(lambda _: None), "dataset.json has no labels, hair expected"),
    "labels of no form": (zip_labels(lambda _: [1]), "dataset.json is not readable"),
    "no dataset.json": (members(lambda all_: all_[:-1]), "dataset.json is missing"),
    # ImageFolder
    "a class without images": (lambda release: (release / "imagefolder/train/green").mkdir(), "a class without images"),
    "a class of no crop": (write("imagefolder/train/green/a.png", picture("RGB")), "train/green: belongs to no crop"),
    "a picture of no crop": (
        write("imagefolder/train/blue/a.png", picture("RGB")),
        "train/blue/a.png: belongs to no crop",
    ),
    "a class of a split is missing": (
        lambda release: shutil.rmtree(release / "imagefolder/train/blue"),
        ".png: missing",
    ),
    "a picture in the wrong class": (to_other_class, "imagefolder/train/red/"),
    "another picture in a class": (
        lambda release: first(release, "imagefolder/train/blue/*").write_bytes(picture("RGB")),
        ".png: another picture than images/",
    ),
    # Hugging Face
    "a line without its picture": (remove("huggingface/train/*.png"), ".png: missing"),
    "a picture without its line": (
        write("huggingface/train/a.png", picture("RGB")),
        "train/a.png: no line tells of it",
    ),
    "a line less": (metadata(lambda lines: lines[:-1]), f"{META}: fewer lines than the 4 crops of the split"),
    "a line more": (metadata(lambda lines: [*lines, lines[-1]]), f"{META}: more lines than the 4 crops of the split"),
    "a line of no form": (metadata(lambda lines: ["{", *lines[1:]]), f"{META}: line 1: no JSON"),
    "a line that leads out": (
        metadata(lambda lines: [re.sub(r'"file_name": "', '"file_name": "../', lines[0]), *lines[1:]]),
        f"{META}: line 1: file_name is not what the manifest says",
    ),
    "a line that lies": (edit(META, '"score": 0.9', '"score": 1.0'), f"{META}: line 1: score is not what"),
    "a line of another class": (edit(META, '"class": "blue"', '"class": "red"'), "class is not what the manifest says"),
    "no lines": (remove(META), f"{META}: not readable"),
    "another split": (write("huggingface/other/a.png", picture("RGB")), "huggingface/other: no split of the release"),
    # WebDataset
    "a shard ends early": (cut(TRAIN, 0.5), f"{TRAIN}: "),
    "a shard without its end": (
        lambda release: os.truncate(release / TRAIN, (release / TRAIN).stat().st_size - tarfile.RECORDSIZE),
        f"{TRAIN}: ",
    ),
    "a shard is missing": (remove(TRAIN), f"{TRAIN}: missing"),
    "a shard too many": (write("webdataset/train-000001.tar", b""), "train-000001.tar: no shard of the release"),
    "a sample twice": (shard(lambda all_: [*all_, *all_[:3]]), "is no crop of the shard, or is there twice"),
    "a sample less": (shard(lambda all_: all_[:-3]), f"{TRAIN}: ends before "),
    "a sample without its class": (shard(lambda all_: [*all_[:2], *all_[3:]]), ".cls is expected"),
    "a key that does not fit": (shard(lambda all_: named("x.json", all_, 1)), "'x.json' where "),
    "a key that leads out": (shard(lambda all_: named("../x.png", all_)), "'../x.png' where "),
    "a link in a shard": (shard(linked), ".png is no file"),
    "another picture in a shard": (
        shard(lambda all_: saying(all_, 0, picture("RGB"))),
        "is another picture than images/",
    ),
    "a sample that lies": (shard(lambda all_: saying(all_, 1, b"{}")), "crop_sha256 is not what the manifest says"),
    "a sample of no form": (shard(lambda all_: saying(all_, 1, b"\xff")), ".json no JSON"),
    "a sample of another class": (shard(lambda all_: saying(all_, 2, b"9")), ".cls is another class"),
    # Parquet
    "rows too few": (table(lambda all_: all_.slice(1)), "data_manifest.parquet: 7 rows, 8 in data_manifest.csv"),
    "columns too few": (table(lambda all_: all_.drop_columns(["tags"])), "data_manifest.parquet: other columns"),
    "a cell that lies": (
        table(lambda all_: all_.set_column(COLUMNS.index("size"), "size", pa.array([64] * 7 + [65]))),
        "data_manifest.parquet: row 8: size is not what",
    ),
    "the table ends early": (cut("data_manifest.parquet", 0.5), "data_manifest.parquet: not readable"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", PLANTED)
def test_verify_names_what_was_planted(name: str, release: Path) -> None:
    """In a line that says which file; the checksums fit."""
    plant, said = PLANTED[name]
    plant(release)
    seal(release)

    faults = verify(release)

    assert any(said in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (edit("SHA256SUMS", "^[0-9a-f]", "g"), "SHA256SUMS: line 1 is no checksum"),
        (edit("SHA256SUMS", r"(?m)^\w{64}  faces", "0" * 64 + "  faces"), "faces.npy: changed since it was published"),
        (edit("SHA256SUMS", r"(?s)^(.+?\n)", r"\1\1"), "SHA256SUMS: LICENSE.md is there twice"),
        (write("notes.txt", b"x"), "notes.txt: does not belong to the release"),
        (remove("README.md"), "README.md: missing"),
    ],
)
def test_checksums_are_held_against_every_file(plant: Plant, said: str, release: Path) -> None:
    """What is edited, strange, missing, or stated twice is named."""
    plant(release)

    assert said in verify(release)


@pytest.mark.parametrize(
    "name",
    ["labels.npy", "labels.json", "classes.npy", "classes.json", "faces.npy", "stylegan.zip", "recipe.toml", TRAIN],
)
def test_a_file_that_is_gone_is_one_fault(name: str, release: Path) -> None:
    """It is named once, and who would be held against it is not accused."""
    (release / name).unlink()

    assert verify(release) == [f"{name}: missing"]


def test_a_copy_is_as_sound_as_the_release(release: Path) -> None:
    """Links become files of their own on the way."""
    assert {path.stat().st_nlink for path in (release / "images").iterdir()} == {1}
    assert verify(release) == []


def test_a_release_of_an_older_kaoset_is_held_to_what_it_promised(store: Store, tmp_path: Path) -> None:
    """It has fewer columns, and a recipe and a report that do not know of later things."""
    made = released.contents(store, formats=["stylegan"])
    old = released.release(made, store, tmp_path / "releases").path
    path = old / "data_manifest.csv"
    lines = [line.split(",") for line in path.read_text("utf-8").splitlines()]
    gone = {lines[0].index(name) for name in ("hair_colour", "hair_confidence", "turned", "eye_colour")}
    path.write_text("".join(",".join(c for at, c in enumerate(one) if at not in gone) + "\n" for one in lines), "utf-8")
    report = json.loads((old / "report.json").read_text())
    del report["columns"]
    (old / "report.json").write_text(json.dumps(report))
    (old / "recipe.toml").write_text('name = "r"\n[release]\nimage_format = "png"\n')
    seal(old)

    assert verify(old) == []
    (old / "stylegan.zip").write_bytes(b"PK")
    seal(old)
    assert any(fault.startswith("stylegan.zip: not readable") for fault in verify(old))


def test_what_is_no_folder_is_no_release(tmp_path: Path) -> None:
    """The person is told where to look."""
    with pytest.raises(UsageError, match="flow status"):
        verify(tmp_path / "nowhere")
