"""pipeline.known: what somebody gives is found among all images that ever came, however it was changed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import make
import numpy as np
import PIL.Image
import pytest

from pipeline import known
from pipeline.catalog import Catalog
from pipeline.errors import StoreError
from pipeline.folder import DataFolder
from pipeline.forget import find, forget, wish
from pipeline.groups import hashes_of_parts
from pipeline.known import Answer, ask, bring_up_to_date
from pipeline.near_index import Index
from pipeline.pixels import inspect
from pipeline.records import Image
from pipeline.sandbox.draw import draw_portrait
from pipeline.sandbox.pairs import Kind, Subject, draw_pairs
from pipeline.stage import Kept
from pipeline.workers import Workers

MAX_PIXELS = 10_000_000
PICTURES = [draw_portrait((seed,)).picture.convert("RGB") for seed in range(4)]


@pytest.fixture(scope="module")
def pool() -> Iterator[Workers]:
    with Workers(1) as workers:
        yield workers


class Shelf:
    """A data folder with images in it, as `scrape` leaves them."""

    def __init__(self, root: Path, catalog: Catalog, pool: Workers) -> None:
        self.folder, self.catalog, self.pool = DataFolder(root / "data"), catalog, pool
        self.given = root / "given"
        self.given.mkdir()

    def put(self, number: int, picture: PIL.Image.Image, mark: str = "x", *, parts: bool = True) -> Image:
        """Let an image come with a post."""
        data = encoded(picture, "PNG")
        still = inspect(data, max_pixels=MAX_PIXELS, parts=hashes_of_parts if parts else None)
        image = make.image(
            number,
            sha256=self.folder.store.put(data),
            width=still.width,
            height=still.height,
            phash=still.phash,
            phashes=still.phashes,
        )
        post = make.post(number)
        self.catalog.add_page("l", [post], None)
        self.catalog.record("scrape", mark, [(post.id, Kept(post, (image,)))])
        return image

    def give(self, name: str, data: bytes) -> Path:
        """Lay a file where somebody has it."""
        path = self.given / name
        path.write_bytes(data)
        return path

    def ask(self, *files: Path) -> list[Answer | str]:
        """Ask for files."""
        asked = list(ask(files, self.folder, self.catalog, self.pool, 8, MAX_PIXELS))
        assert [path for path, _ in asked] == list(files)
        return [said for _, said in asked]

    def found(self, file: Path) -> list[str]:
        """Name the images that are like a file."""
        (said,) = self.ask(file)
        assert isinstance(said, Answer)
        return [match.sha256 for match in said.matches]


@pytest.fixture
def shelf(tmp_path: Path, catalog: Catalog, pool: Workers) -> Shelf:
    return Shelf(tmp_path, catalog, pool)


@pytest.fixture
def sqlite_shelf(tmp_path: Path, sqlite_catalog: Catalog, pool: Workers) -> Shelf:
    return Shelf(tmp_path, sqlite_catalog, pool)


def encoded(picture: PIL.Image.Image, kind: str = "JPEG") -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def cut(picture: PIL.Image.Image) -> PIL.Image.Image:
    wide, high = picture.size
    return picture.crop((round(0.05 * wide), round(0.05 * high), round(0.95 * wide), round(0.95 * high)))


@pytest.mark.parametrize(
    ("change", "mirrored"),
    [
        (lambda picture: picture.resize((picture.width // 2, picture.height // 2)), False),
        (lambda picture: picture.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT), True),
        (cut, False),
        (lambda picture: cut(picture).transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT), True),
    ],
    ids=["small", "mirrored", "cut", "cut and mirrored"],
)
def test_a_copy_is_found_however_it_was_changed(change: object, mirrored: bool, shelf: Shelf) -> None:
    """Only the image that it was made of, with its size, its post and the page of that."""
    images = [shelf.put(number, picture) for number, picture in enumerate(PICTURES)]

    (said,) = shelf.ask(shelf.give("copy.jpg", encoded(change(PICTURES[2]))))  # type: ignore[operator]

    assert isinstance(said, Answer)
    assert [(one.sha256, one.width, one.alike.likeness, one.alike.mirrored) for one in said.matches] == [
        (images[2].sha256, images[2].width, "same", mirrored)
    ]
    assert said.matches[0].posts == {"sandbox:2": "https://sandbox.invalid/posts/2"}


def test_the_very_same_file_is_said_to_be_that(sqlite_shelf: Shelf) -> None:
    """It comes first, before a copy of it, with all the posts that hold it."""
    image = sqlite_shelf.put(1, PICTURES[0])
    sqlite_shelf.put(10, PICTURES[0])
    sqlite_shelf.put(9, PICTURES[0])
    small = sqlite_shelf.put(2, PICTURES[0].resize((200, 200 * PICTURES[0].height // PICTURES[0].width)))

    (said,) = sqlite_shelf.ask(sqlite_shelf.give("same.png", encoded(PICTURES[0], "PNG")))

    assert isinstance(said, Answer)
    assert [(one.sha256, one.alike.how) for one in said.matches] == [
        (image.sha256, "same bytes"),
        (small.sha256, "same drawing"),
    ]
    assert list(said.matches[0].posts) == ["sandbox:1", "sandbox:9", "sandbox:10"]


def test_a_variation_is_told_from_a_copy_and_comes_after_it(sqlite_shelf: Shelf) -> None:
    """The same drawing with another expression is found, and is not called the same."""
    pair = next(pair for pair in draw_pairs((5,), Subject.PICTURE) if pair.kind is Kind.EXPRESSION)
    varied, copied = (PIL.Image.fromarray(one) for one in (pair.one_HWC, pair.other_HWC))
    variation, copy = sqlite_shelf.put(0, varied), sqlite_shelf.put(1, copied)

    (said,) = sqlite_shelf.ask(sqlite_shelf.give("copy.jpg", encoded(copied)))

    assert isinstance(said, Answer)
    assert [(one.sha256, one.alike.likeness) for one in said.matches] == [
        (copy.sha256, "same"),
        (variation.sha256, "variation"),
    ]


def test_many_are_answered_each_in_its_place(sqlite_shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies, a stranger, no picture, one that was cut short, and one that is not there, in several goes."""
    monkeypatch.setattr(known, "TOGETHER", 2)
    images = [sqlite_shelf.put(number, picture) for number, picture in enumerate(PICTURES[:3])]
    copies = [sqlite_shelf.give(f"{number}.jpg", encoded(one)) for number, one in enumerate(PICTURES)]
    text = sqlite_shelf.give("text.jpg", b"<html>")
    short = sqlite_shelf.give("short.jpg", encoded(PICTURES[0])[:3000])

    *said, of_text, of_short, of_none = sqlite_shelf.ask(*copies, text, short, sqlite_shelf.given / "none")

    assert [[match.sha256 for match in one.matches] for one in said if isinstance(one, Answer)] == [
        *([image.sha256] for image in images),
        [],
    ]
    assert (str(of_text).split(":")[0], str(of_short).split(":")[0]) == ("not_an_image", "truncated")
    assert of_none == "cannot be read: No such file or directory"


def test_an_image_that_comes_later_is_found(sqlite_shelf: Shelf) -> None:
    """The index follows the catalog, and looks up only what is new, and the last, which a kill may have cut short."""
    file = sqlite_shelf.give("copy.jpg", encoded(PICTURES[1]))
    sqlite_shelf.put(0, PICTURES[0])
    assert sqlite_shelf.found(file) == []

    image = sqlite_shelf.put(1, PICTURES[1])

    assert bring_up_to_date(Index(sqlite_shelf.folder.near), sqlite_shelf.catalog) == 2
    assert bring_up_to_date(Index(sqlite_shelf.folder.near), sqlite_shelf.catalog) == 1
    assert sqlite_shelf.found(file) == [image.sha256]


def test_what_an_older_kaoset_had_hashed_once_gets_its_other_hashes(sqlite_shelf: Shelf) -> None:
    """When the image is looked at again, by the same name, its parts are found as well."""
    sqlite_shelf.put(0, PICTURES[0], parts=False)
    bring_up_to_date(Index(sqlite_shelf.folder.near), sqlite_shelf.catalog)

    image = sqlite_shelf.put(0, PICTURES[0], mark="newer")
    bring_up_to_date(Index(sqlite_shelf.folder.near), sqlite_shelf.catalog)

    found = Index(sqlite_shelf.folder.near).near_many(np.array([int(one, 16) for one in image.phashes], np.uint64), 0)
    assert set(found.queries.tolist()) == set(range(len(image.phashes)))


def test_without_its_index_it_only_takes_longer(sqlite_shelf: Shelf) -> None:
    """Whoever deletes the folder gets the same answer."""
    image = sqlite_shelf.put(0, PICTURES[0])
    file = sqlite_shelf.give("copy.jpg", encoded(PICTURES[0]))
    sqlite_shelf.found(file)
    for path in sqlite_shelf.folder.near.iterdir():
        path.unlink()

    assert sqlite_shelf.found(file) == [image.sha256]


def test_what_was_forgotten_is_not_shown(shelf: Shelf) -> None:
    """It is in no file of the index any more, and its neighbour is found as before."""
    gone, stays = (shelf.put(number, PICTURES[number]) for number in range(2))
    files = [shelf.give(f"{number}.jpg", encoded(PICTURES[number])) for number in range(2)]
    assert shelf.found(files[0]) == [gone.sha256]

    forget(shelf.catalog, find(shelf.catalog, shelf.folder, wish([], ["sandbox:0"], [])))

    assert not list(shelf.folder.near.iterdir())
    assert [shelf.found(file) for file in files] == [[], [stays.sha256]]
    assert bytes.fromhex(gone.sha256) not in (shelf.folder.near / "rows").read_bytes()


def test_what_is_forgotten_on_another_machine_is_not_shown(sqlite_shelf: Shelf) -> None:
    """The catalog may be everybody's, and this index still hold it; nor where the forgetting was killed early."""
    removed, remembered = (sqlite_shelf.put(number, PICTURES[number]) for number in range(2))
    files = [sqlite_shelf.give(f"{number}.jpg", encoded(PICTURES[number])) for number in range(2)]
    assert [sqlite_shelf.found(file) for file in files] == [[removed.sha256], [remembered.sha256]]

    sqlite_shelf.catalog.remove(["sandbox:0"], ["sandbox:0", removed.sha256])
    sqlite_shelf.catalog.forget(wish([], [], [remembered.sha256]))

    assert [sqlite_shelf.found(file) for file in files] == [[], []]


def test_only_so_many_are_compared_and_the_others_counted(sqlite_shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a crowd of near hashes the nearest are looked at; nobody believes that these were all."""
    monkeypatch.setattr(known, "AT_MOST", 2)
    for number in range(5):
        sqlite_shelf.put(number, PICTURES[0].resize((300 + number, 400)))

    (said,) = sqlite_shelf.ask(sqlite_shelf.give("copy.jpg", encoded(PICTURES[0])))

    assert isinstance(said, Answer)
    assert (len(said.matches), said.passed_over) == (2, 3)


def test_an_image_that_is_lost_from_the_store_is_a_fault(sqlite_shelf: Shelf) -> None:
    """The answer would be wrong without it."""
    image = sqlite_shelf.put(0, PICTURES[0])
    sqlite_shelf.folder.store.path(image.sha256).unlink()

    with pytest.raises(StoreError, match="run the build again"):
        sqlite_shelf.ask(sqlite_shelf.give("copy.jpg", encoded(PICTURES[0])))
