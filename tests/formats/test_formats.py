"""Each format as its real consumer reads it; torchvision by its rules, written down here."""

from __future__ import annotations

import csv
import dataclasses
import errno
import io
import json
import os
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import make
import numpy as np
import PIL.Image
import pytest
import released

from pipeline import manifest
from pipeline.errors import WorldError
from pipeline.formats import FORMATS
from pipeline.formats.classes import CLASSES, class_name, label
from pipeline.recipe import ReleaseSection
from pipeline.store import Store
from pipeline.verify import verify

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's


def _published(store: Store, folder: Path, **fields: Any) -> Path:
    return released.release(released.contents(store, **fields), store, folder).path


def _manifest(release: Path) -> list[dict[str, str]]:
    with (release / "data_manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_recipe_knows_all_formats() -> None:
    """And all labels, and no others."""
    fields = ReleaseSection.model_fields

    assert get_args(get_args(fields["formats"].annotation)[0]) == tuple(FORMATS)
    assert set(get_args(fields["labels"].annotation)) == {"none", "attributes", *CLASSES}


@pytest.mark.parametrize("labels", ["none", "hair", "eyes", "label", "attributes"])
def test_a_release_in_all_formats_is_sound(labels: str, store: Store, tmp_path: Path) -> None:
    """Whatever its crops are labelled with."""
    formats = [name for name in FORMATS if (name, labels) != ("imagefolder", "attributes")]

    assert verify(_published(store, tmp_path, formats=formats, labels=labels)) == []


def test_a_release_of_one_crop_is_sound(store: Store, tmp_path: Path) -> None:
    """In one split alone."""
    assert verify(_published(store, tmp_path, count=1, labels="hair")) == []


@pytest.mark.parametrize("image_format", ["jpg", "webp"])
def test_other_pictures_are_sound_in_all_formats(image_format: str, store: Store, tmp_path: Path) -> None:
    """The zip keeps the crops themselves, the others take the files as they were published."""
    release = _published(store, tmp_path, image_format=image_format)

    assert verify(release) == []
    assert {path.suffix for path in (release / "imagefolder").rglob("*.*")} == {f".{image_format}"}


# --- StyleGAN -----------------------------------------------------------------------------------------------------


def _as_stylegan(path: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """What ImageFolderDataset of stylegan3 (training/dataset.py) makes of an archive."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(
            name for name in archive.namelist() if Path(name).suffix.lower() in PIL.Image.registered_extensions()
        )
        images = [np.array(PIL.Image.open(io.BytesIO(archive.read(name)))) for name in names]
        labels = json.loads(archive.read("dataset.json"))["labels"]
    if labels is None:
        return images, np.zeros([len(images), 0], np.float32)
    known = dict(labels)
    array = np.array([known[name.replace("\\", "/")] for name in names])
    return images, array.astype({1: np.int64, 2: np.float32}[array.ndim])


def test_stylegan_reads_classes_as_numbers(store: Store, tmp_path: Path) -> None:
    """One for every picture, those of the release."""
    release = _published(store, tmp_path, labels="hair")
    images, labels = _as_stylegan(release / "stylegan.zip")

    assert {(image.shape, image.dtype.name) for image in images} == {((64, 64, 3), "uint8")}
    assert json.loads((release / "classes.json").read_text()) == ["_unlabelled", "blue", "red"]
    assert labels.dtype == np.int64
    assert labels.tolist() == np.load(release / "classes.npy").tolist()
    assert [["_unlabelled", "blue", "red"][one] for one in labels] == [
        row["hair_colour"] or "_unlabelled" for row in _manifest(release)
    ]


def test_stylegan_reads_attributes_as_vectors(store: Store, tmp_path: Path) -> None:
    """34 numbers a picture, 1 where a label is true, else 0."""
    release = _published(store, tmp_path, formats=["stylegan"], labels="attributes")
    _, labels = _as_stylegan(release / "stylegan.zip")

    assert (labels.shape, labels.dtype, set(labels.ravel())) == ((8, 34), np.float32, {0.0, 1.0})
    assert (labels == (np.load(release / "labels.npy") == 1)).all()


def test_stylegan_reads_no_labels(store: Store, tmp_path: Path) -> None:
    """Where the recipe chose none."""
    _, labels = _as_stylegan(_published(store, tmp_path) / "stylegan.zip")

    assert labels.shape == (8, 0)


# --- torchvision --------------------------------------------------------------------------------------------------


def _as_imagefolder(root: Path) -> tuple[list[str], list[tuple[Path, int]]]:
    """What torchvision.datasets.ImageFolder makes of a folder (find_classes and make_dataset)."""
    classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    samples: list[tuple[Path, int]] = []
    for number, name in enumerate(classes):
        found = [
            Path(folder) / file
            for folder, _, names in sorted(os.walk(root / name, followlinks=True))
            for file in sorted(names)
            if file.lower().endswith(EXTENSIONS)
        ]
        assert found, f"torchvision: found no valid file for the class {name}"
        samples += [(path, number) for path in found]
    return classes, samples


def test_torchvision_reads_the_classes(store: Store, tmp_path: Path) -> None:
    """Each split is a root; every crop is there once, under its class."""
    release = _published(store, tmp_path, labels="hair")
    read = set()
    for split in ("train", "validation", "test"):
        classes, samples = _as_imagefolder(release / "imagefolder" / split)
        read |= {(split, classes[number], path.name) for path, number in samples}

    rows = _manifest(release)
    assert read == {(row["split"], row["hair_colour"] or "_unlabelled", Path(row["file"]).name) for row in rows}


def test_linked_files_take_no_room(store: Store, tmp_path: Path) -> None:
    """A crop in `images/` and its names in two formats are one file on the disk."""
    release = _published(store, tmp_path)

    assert {path.stat().st_nlink for path in (release / "images").iterdir()} == {3}


def test_where_nothing_can_be_linked_files_are_copied(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on exFAT; the release is the same."""
    linked = _published(store, tmp_path / "linked")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    copied = _published(store, tmp_path / "copied")

    assert {path.stat().st_nlink for path in (copied / "images").iterdir()} == {1}
    assert released.files(copied) == released.files(linked)


# --- Hugging Face -------------------------------------------------------------------------------------------------


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The library, offline, with a cache of its own."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets as library

    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    library.disable_progress_bars()
    return library


@pytest.mark.parametrize("named", ["imagefolder", "by its path"])
@pytest.mark.filterwarnings("ignore")
def test_hugging_face_reads_every_split(named: str, datasets: Any, store: Store, tmp_path: Path) -> None:
    """Pictures with what is known of them; also where all dates of one split are known and some of another are not."""
    release = _published(store, tmp_path, labels="hair")
    folder = str(release / "huggingface")
    cache = str(tmp_path / "cache")
    if named == "imagefolder":
        read = datasets.load_dataset("imagefolder", data_dir=folder, cache_dir=cache)
    else:
        read = datasets.load_dataset(folder, cache_dir=cache)

    rows = {row["crop_sha256"]: row for row in _manifest(release)}
    assert {split: len(read[split]) for split in read} == Counter(row["split"] for row in rows.values())
    for split in read:
        for one in read[split]:
            row = rows[one["crop_sha256"]]
            assert (split, one["tags"], one["class"]) == (
                row["split"],
                row["tags"],
                row["hair_colour"] or "_unlabelled",
            )
            assert (one["posted_at"].rstrip(), str(one["score"])) == (row["posted_at"], row["score"])
            assert (np.asarray(one["image"]) == np.asarray(PIL.Image.open(release / row["file"]))).all()


# --- WebDataset ---------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_webdataset_reads_every_sample(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several shards a split: the picture, what is known of it, and its class, under the crop's own name."""
    import webdataset as library

    monkeypatch.setattr("pipeline.formats.webdataset.SHARD", 2)
    release = _published(store, tmp_path, labels="hair", count=12)
    names = json.loads((release / "classes.json").read_text())
    read = {}
    for split in ("train", "validation", "test"):
        shards = sorted(str(path) for path in (release / "webdataset").glob(f"{split}-*.tar"))
        for one in library.WebDataset(shards, shardshuffle=False, empty_check=False).decode("rgb8"):
            read[one["__key__"]] = (split, one["json"], names[one["cls"]], one["png"])

    rows = _manifest(release)
    assert sorted(read) == [row["crop_sha256"] for row in rows]
    assert len(list((release / "webdataset").iterdir())) == 3 + 2 + 2
    for row in rows:
        split, said, name, pixels_HWC = read[row["crop_sha256"]]
        assert (split, name) == (row["split"], row["hair_colour"] or "_unlabelled")
        assert (said["tags"], said["class"], said["box_left"]) == (row["tags"], name, int(row["box_left"]))
        assert (pixels_HWC == np.asarray(PIL.Image.open(release / row["file"]))).all()


# --- Parquet ------------------------------------------------------------------------------------------------------


def test_parquet_is_the_manifest_with_its_types(store: Store, tmp_path: Path) -> None:
    """Whole numbers, fractions and truths are what they are; the text is the same."""
    import pandas as pd

    release = _published(store, tmp_path)
    read = pd.read_parquet(release / "data_manifest.parquet")

    assert read.astype(str).to_dict("records") == _manifest(release)
    assert (read["size"].dtype, read["score"].dtype, read["agreed"].dtype) == ("int64", "float64", "bool")


def test_without_pyarrow_nothing_is_begun(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what to install, before anything is written."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(WorldError, match=r"pip install 'kaoset\[parquet\]'"):
        _published(store, tmp_path / "releases")
    assert not (tmp_path / "releases").exists()


# --- classes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hatsune_miku", "hatsune_miku"),
        ("初音ミク", "初音ミク"),
        ("saber_(fate/stay_night)", "saber_(fate%2Fstay_night)"),
        ("..", "%2E%2E"),
        (".hidden", "%2Ehidden"),
        ("_unlabelled", "%5Funlabelled"),
        ("-rf", "%2Drf"),
        ("a\\b", "a%5Cb"),
        ("a\0b\n", "a%00b%0A"),
        ("50%", "50%25"),
        ("end.", "end%2E"),
        ("", "_unlabelled"),
        ("\udcff", "%ED%B3%BF"),
    ],
)
def test_a_class_has_the_name_of_one_folder(text: str, name: str) -> None:
    """Whatever a stranger called a character."""
    assert class_name(text) == name


def test_long_names_stay_apart() -> None:
    """Cut to what a file system takes, with a mark of the whole."""
    one, other = class_name("初" * 300 + "a"), class_name("初" * 300 + "b")

    assert one != other
    assert max(len(one.encode()), len(other.encode())) <= 200


def test_classes_are_numbered_by_their_sorted_names() -> None:
    """As torchvision numbers folders, whatever came first; a post's character names a face only where each is alone."""
    named = [("rin", 1), ("miku", 2), ("miku luka", 3), ("", 4), ("luka", 5), ("luka", 5)]
    rows = [
        manifest.row(
            make.face_crop(n, detection=make.detection(image)),
            make.image(image),
            make.post(characters=name.split()),
            None,
            "train",
        )
        for n, (name, image) in enumerate(named)
    ]
    labels = label(rows, "character")

    assert [labels.name(n) for n in range(6)] == ["rin", "miku", *["_unlabelled"] * 4]
    assert list(labels.names) == ["_unlabelled", "miku", "rin"]
    assert labels.classes.tolist() == [2, 1, 0, 0, 0, 0]


def test_a_hostile_class_stays_in_its_folder(store: Store, tmp_path: Path) -> None:
    """A label from the web is no path."""
    made = released.contents(store, labels="label", formats=("imagefolder",))
    rows = [dataclasses.replace(one, label="../../../x") for one in made.rows]
    release = released.release(dataclasses.replace(made, rows=rows), store, tmp_path / "releases").path

    assert {path.name for path in (release / "imagefolder" / "train").iterdir()} == {"%2E.%2F..%2F..%2Fx"}
    assert verify(release) == []
