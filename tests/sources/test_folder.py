"""pipeline.sources.folder: a folder behind the face of a board."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.records import Post, Reason
from pipeline.sources import Fetched, Refused
from pipeline.sources.folder import FolderSource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    return tmp_path / "pictures"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    return tmp_path / "parts" / "file"


def put(path: Path, data: bytes | str = b"picture") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def posts(folder: Path, **fields: Any) -> list[Post]:
    source = FolderSource(**{"name": "mine", "path": folder, **fields})
    return [post for page in source.pages(None) for post in page.posts]


def listed(folder: Path) -> list[str]:
    return [post.page_url.removeprefix("mine:") for post in posts(folder)]


def test_lists_a_picture(folder: Path) -> None:
    """The id names place and content; no path of this machine is in what is written down."""
    file = put(folder / "a b" / "1.JPG", b"x")
    os.utime(file, (1e9, 1e9))

    assert posts(folder) == [
        Post(
            id=f"mine:a b/1.JPG#{md5(b'x')[:8]}",
            file_url=file.as_uri(),
            page_url="mine:a b/1.JPG",
            md5=md5(b"x"),
            ext="jpg",
            size=1,
            rating="g",
            posted_at=datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC),
        )
    ]


def test_lists_pictures_only_sorted(folder: Path) -> None:
    """Other files, hidden ones and hidden folders are left out."""
    for name in (
        "b.png",
        "a.webp",
        "c/d.gif",
        "c/.hidden.png",
        ".git/x.png",
        "notes.txt",
        "film.mp4",
        "z.avif",
        "none",
    ):
        put(folder / name)

    assert listed(folder) == ["a.webp", "b.png", "z.avif", "c/d.gif"]


def test_folders_may_lie_in_each_other_without_end(folder: Path) -> None:
    """As deep as a path may be long."""
    deep = folder
    for _ in range(1500):
        deep /= "a"
        deep.mkdir()
    put(deep / "1.png")
    try:
        assert listed(folder) == ["a/" * 1500 + "1.png"]
    finally:  # what removes the folders of tests cannot remove these
        (deep / "1.png").unlink()
        while deep != folder:
            deep.rmdir()
            deep = deep.parent


def test_stays_inside_the_folder(folder: Path, tmp_path: Path) -> None:
    """A link that leads out is not followed, a link in a circle does not end the world."""
    put(tmp_path / "outside" / "secret.png")
    put(folder / "in.png")
    (folder / "out.png").symlink_to(tmp_path / "outside" / "secret.png")
    (folder / "outdoors").symlink_to(tmp_path / "outside")
    (folder / "circle").symlink_to(folder)
    (folder / "self.png").symlink_to(folder / "self.png")
    os.mkfifo(folder / "pipe.png")

    assert listed(folder) == ["in.png"]


def test_new_content_is_a_new_post(folder: Path) -> None:
    """A file that was drawn over is judged again."""
    put(folder / "a.png", b"before")
    (before,) = posts(folder)
    put(folder / "a.png", b"after")
    (after,) = posts(folder)

    assert before.id != after.id
    assert before.page_url == after.page_url


@pytest.mark.parametrize(
    ("name", "text", "tags"),
    [
        ("a.png.txt", "1girl, long hair ,\nsmile", ("1girl", "long_hair", "smile")),
        ("a.png.txt", "1girl long_hair\nsmile\n", ("1girl", "long_hair", "smile")),
        ("a.txt", "\ufeff1girl", ("1girl",)),
        ("a.txt", "", ()),
        ("other.txt", "1girl", ()),
    ],
)
def test_reads_tags_beside_the_picture(folder: Path, name: str, text: str, tags: tuple[str, ...]) -> None:
    """Separated by commas, or by blanks where there is no comma."""
    put(folder / "a.png")
    put(folder / name, text)

    assert posts(folder)[0].tags == tags


def test_a_name_that_is_no_text_is_fetched_all_the_same(folder: Path, target: Path) -> None:
    """Old archives hold names in old encodings; the id must still be text."""
    Path(os.fsdecode(os.fsencode(folder) + b"/\x83\x4e %41#?.png")).write_bytes(b"old")
    (post,) = posts(folder)

    assert post.id.encode().startswith(b"mine:\\x83N %41#?.png#")
    assert FolderSource(name="mine", path=folder).fetch(post, target, 100) == Fetched(md5(b"old"), 3)


def test_gives_pages_and_keeps_to_the_limit(folder: Path) -> None:
    """A large folder comes in pages, without a cursor."""
    for number in range(205):
        put(folder / f"{number:03}.png", str(number))

    pages = list(FolderSource(name="mine", path=folder).pages(None))

    assert [(len(page.posts), page.cursor) for page in pages] == [(200, None), (5, None)]
    assert len(posts(folder, limit=7)) == 7


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_missing_folder_is_one_line(tmp_path: Path, name: str) -> None:
    """A wrong path is a wrong order."""
    put(tmp_path / "file")

    with pytest.raises(UsageError, match=f"{name}: is no folder; give the path of source 'mine' again"):
        posts(tmp_path / name)


@pytest.mark.parametrize("path", ["~nosuch/x", "loop", "a\0b", "a" * 300, "bad\udcff"])
def test_an_impossible_path_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """A user that is not known, a loop of links, a NUL, a name too long or of no characters: a wrong order, each."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(UsageError, match=r"^[^\n\0]*: is no folder; give the path of source 'mine' again$"):
        posts(Path(path))
    assert FolderSource(name="mine", path=Path(path)).listing.encode().startswith(b"mine ")


@pytest.mark.parametrize("length", [251, 252, 255])
def test_a_picture_may_have_the_longest_name(folder: Path, target: Path, length: int) -> None:
    """There is no room for the name of a file beside it, and so there are no tags."""
    name = "a" * (length - 4) + ".jpg"
    put(folder / name, b"x")

    (post,) = posts(folder)

    assert (post.page_url, post.tags) == (f"mine:{name}", ())
    assert FolderSource(name="mine", path=folder).fetch(post, target, 9) == Fetched(md5(b"x"), 1)


def test_what_is_left_out_is_not_looked_into(folder: Path) -> None:
    """A folder inside it may hold what we wrote ourselves; it is known by its place, not its name."""
    put(folder / "a" / "data" / "1.jpg")
    put(folder / "data" / "1.jpg")
    (folder / "link").symlink_to(folder / "a" / "data")

    left_out = (folder / "link", folder.parent / "elsewhere")
    assert [post.page_url for post in posts(folder, leave_out=left_out)] == ["mine:data/1.jpg"]


def test_a_folder_that_is_itself_left_out_is_one_line(folder: Path) -> None:
    """To list nothing without a word would be worse."""
    with pytest.raises(UsageError, match=r"put its pictures into a folder of their own$"):
        posts(folder, leave_out=(folder,))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_folder_that_shows_names_only_is_one_line(folder: Path) -> None:
    """Pictures that cannot be looked at are not passed over in silence."""
    put(folder / "closed" / "1.jpg")
    (folder / "closed").chmod(0o400)
    try:
        with pytest.raises(UsageError, match=r"cannot be read \(Permission denied\)"):
            posts(folder)
    finally:
        (folder / "closed").chmod(0o700)


def test_copies_the_file(folder: Path, target: Path) -> None:
    """The original stays where it is; nothing lies beside the copy."""
    put(folder / "a.png", b"picture")
    (post,) = posts(folder)

    fetched = FolderSource(name="mine", path=folder).fetch(post, target, 100)

    assert fetched == Fetched(md5(b"picture"), 7)
    assert target.read_bytes() == (folder / "a.png").read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda file: file.unlink(), Reason.GONE),
        (lambda file: file.write_bytes(b"changed"), Reason.WRONG_MD5),
        (lambda file: file.write_bytes(b"x" * 200), Reason.TOO_LARGE),
        (lambda file: file.write_bytes(b""), Reason.EMPTY),
        (lambda file: (file.unlink(), file.mkdir()), Reason.UNREACHABLE),
    ],
)
def test_a_file_that_changed_meanwhile_is_refused(folder: Path, target: Path, change: Any, reason: Reason) -> None:
    """Between listing and fetching anything may happen; nothing is left behind."""
    file = put(folder / "a.png", b"picture")
    (post,) = posts(folder)
    change(file)

    fetched = FolderSource(name="mine", path=folder).fetch(post, target, 100)

    assert isinstance(fetched, Refused)
    assert fetched.reason is reason
    assert list(target.parent.iterdir()) == []
