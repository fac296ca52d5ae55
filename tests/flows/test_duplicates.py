"""Copies are shown on a page that anybody may open, whatever the files are named and whatever they hold."""

from __future__ import annotations

import csv
import os
import re
import shutil
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.PngImagePlugin
import pytest
from command import Built, Flow

from flows.duplicates import Written, of_folder
from flows.sheet import ON_A_PAGE, Role, Section, Shown, worst_first, write_page, write_table
from flows.show import Lines
from pipeline.errors import UsageError
from pipeline.sandbox.draw import draw_portrait

HOSTILE = "=<img src=x onerror=alert(1)>.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures; of the first a copy byte for byte, a small one and a mirrored one; and two files that are none."""
    root = tmp_path / "pictures"
    (root / "below").mkdir(parents=True)
    first, second = (draw_portrait((seed,)).picture.convert("RGB") for seed in range(2))
    note = PIL.PngImagePlugin.PngInfo()
    note.add_text("Comment", "<script>alert(2)</script>")
    first.save(root / HOSTILE, pnginfo=note)
    shutil.copy(root / HOSTILE, root / "same.png")
    first.resize((first.width // 2, first.height // 2)).save(root / "below" / "small.jpg", quality=70)
    first.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT).save(root / "turned.jpg", quality=90)
    second.save(root / "other.png")
    (root / "broken.jpg").write_bytes((root / "below" / "small.jpg").read_bytes()[:900])
    (root / "empty.png").touch()
    return root


def _shown(folder: Path, out: Path, data: Path | None = None) -> Written:
    return of_folder(folder, out, data, 8, 1, Lines())


def _roles(written: Written) -> list[dict[str, str]]:
    return [{one.name: str(one.role) for one in group} for group in written.sections[0].groups]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _shot(number: int, **fields: Any) -> Shown:
    file = Path(f"{number}.png")
    known = {"role": Role.KEPT, "name": f"{number:04}", "file": file, "width": 1, "height": 1, "format": "PNG"}
    return Shown(**{**known, "bytes": 10, "sha256": f"{number:064}", **fields})


def test_copies_in_a_folder_are_grouped_about_the_best(folder: Path, tmp_path: Path) -> None:
    """The largest that lost nothing is kept and comes first; a stranger is in no group."""
    written = _shown(folder, tmp_path / "out")

    duplicates = dict.fromkeys(("same.png", "below/small.jpg", "turned.jpg"), "duplicate")
    assert _roles(written) == [{HOSTILE: "kept", **duplicates}]
    assert written.sections[0].groups[0][0].name == HOSTILE
    assert {row["name"]: row["why"] for row in _rows(written.table)[1:4]} == {
        "same.png": "same bytes",
        "below/small.jpg": "same drawing; the kept one is larger",
        "turned.jpg": "mirrored; the kept one is lossless",
    }


def test_what_is_said_at_the_end_adds_up(folder: Path, tmp_path: Path) -> None:
    """Pictures, groups, duplicates, variations, and the bytes of the duplicates alone."""
    (section,) = _shown(folder, tmp_path / "out").sections

    wasted = sum((folder / name).stat().st_size for name in ("same.png", "below/small.jpg", "turned.jpg"))
    assert (section.seen, len(section.groups), section.count(Role.DUPLICATE), section.count(Role.VARIATION)) == (
        5,
        1,
        3,
        0,
    )
    assert section.saved == wasted


def test_files_that_cannot_be_read_are_named(folder: Path, tmp_path: Path) -> None:
    """With what is wrong with each."""
    written = _shown(folder, tmp_path / "out")

    assert {name: why.partition(":")[0] for name, why in written.sections[0].left_out.items()} == {
        "broken.jpg": "truncated",
        "empty.png": "empty",
    }
    assert [row["name"] for row in _rows(written.table) if row["role"] == "left out"] == ["broken.jpg", "empty.png"]


def test_the_folder_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    """Nothing is written into it, nothing taken out."""
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
    _shown(folder, tmp_path / "out")

    assert {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]} == before


def test_the_page_may_not_fall_among_the_pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is asked for: without a word it would lie in the working folder."""
    monkeypatch.chdir(folder / "below")

    with pytest.raises(UsageError, match="--out"):
        of_folder(folder, None, None, 8, 1, Lines())
    assert not list(folder.rglob("duplicates*"))


def test_the_page_runs_nothing_and_loads_nothing(folder: Path, tmp_path: Path) -> None:
    """Names are written as text, and of the files there are only pixels, in JPEGs of our own."""
    page = _shown(folder, tmp_path / "out").page.read_text("utf-8")

    assert "=&lt;img src=x onerror=alert(1)&gt;.png" in page
    assert re.findall(r"<(script|img src=x|link|iframe|object)", page) == []
    assert "alert(2)" not in page
    assert set(re.findall(r'src="([^,]*),', page)) == {"data:image/jpeg;base64"}
    assert "default-src 'none'" in page


def test_no_cell_of_the_table_is_a_formula(folder: Path, tmp_path: Path) -> None:
    """A name that begins as one is quoted."""
    table = _shown(folder, tmp_path / "out").table

    assert _rows(table)[0]["name"] == f"'{HOSTILE}"


@pytest.mark.parametrize("beside", [True, False])
def test_hashes_are_remembered(folder: Path, tmp_path: Path, beside: bool) -> None:
    """A file that has not changed is not read again to be hashed: its neighbours are told from what was known."""
    data = None if beside else tmp_path / "data"
    first = _shown(folder, tmp_path / "out", data)
    small = folder / "below" / "small.jpg"
    status = small.stat()
    small.write_bytes(b"x" * status.st_size)
    os.utime(small, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert _roles(_shown(folder, tmp_path / "out", data)) == _roles(first)
    assert len(list((tmp_path / ("out" if beside else "data/duplicates")).glob("*.jsonl"))) == 1


def test_a_file_that_changed_is_looked_at_again(folder: Path, tmp_path: Path) -> None:
    """What it was is forgotten."""
    _shown(folder, tmp_path / "out")
    shutil.copy(folder / "other.png", folder / "below" / "small.jpg")

    assert _roles(_shown(folder, tmp_path / "out")) == [
        {HOSTILE: "kept", "same.png": "duplicate", "turned.jpg": "duplicate"},
        {"below/small.jpg": "kept", "other.png": "duplicate"},
    ]


def test_a_damaged_memory_is_made_anew(folder: Path, tmp_path: Path) -> None:
    """A line that a kill has cut, or that somebody has written, costs itself."""
    first = _shown(folder, tmp_path / "out")
    memory = tmp_path / "out" / "duplicates.jsonl"
    memory.write_bytes(b'[1]\n{"version": 1}\n\xff\n' + memory.read_bytes()[:-40])

    assert _roles(_shown(folder, tmp_path / "out")) == _roles(first)


def test_what_wastes_most_comes_first() -> None:
    """Then what is named first."""
    kept = [_shot(number) for number in range(3)]
    groups = [[one, _shot(9, role=Role.DUPLICATE, bytes=size)] for one, size in zip(kept, (5, 7, 5), strict=True)]

    assert [group[0].name for group in worst_first(groups)] == ["0001", "0000", "0002"]


def test_a_page_says_what_it_is_and_how_near_is_compared(folder: Path, flow: Flow) -> None:
    """By the distance that was asked for, so that a stranger to the command can read it."""
    flow("duplicates", folder, "--distance", "5")

    page = (flow.home / "duplicates.html").read_text("utf-8")
    assert "differ by at most 5 of 64 bits" in page
    assert page.index("with the same drawing") < page.index("<h2>")


def test_a_page_holds_so_many_groups_and_the_table_all(tmp_path: Path) -> None:
    """And says where the others are."""
    groups = [[_shot(number), _shot(number, role=Role.DUPLICATE)] for number in range(ON_A_PAGE + 3)]
    section = Section(title="many", seen=2 * len(groups), near="they are alike", groups=groups)
    write_page(tmp_path / "page.html", [section], {})
    write_table(tmp_path / "table.csv", [section])

    page = (tmp_path / "page.html").read_text("utf-8")
    assert (page.count("<section>"), "and 3 more groups" in page) == (ON_A_PAGE, True)
    assert len(_rows(tmp_path / "table.csv")) == 2 * len(groups)


def test_the_command_needs_neither_recipe_nor_data_folder(folder: Path, flow: Flow) -> None:
    """It says how many there are and where to look, and leaves the page, the table and its memory."""
    answer = flow("duplicates", folder)

    assert answer.code == 0
    assert "pictures: 5 pictures, 1 group, 3 duplicates, 0 variations" in answer.out
    assert "look at: duplicates.html" in answer.out
    assert sorted(path.name for path in flow.home.glob("duplicates.*")) == [
        "duplicates.csv",
        "duplicates.html",
        "duplicates.jsonl",
    ]


def test_a_recipe_shows_what_its_last_run_has_dropped(built: Built, flow: Flow) -> None:
    """Each copy beside what was kept for it."""
    answer = flow("duplicates", "sandbox", "--data", built.data)

    rows = _rows(flow.home / "duplicates.csv")
    first = {}
    for row in rows:
        first.setdefault((row["section"], row["group"]), row["role"])
    assert answer.code == 0
    assert "images: " in answer.out
    assert any(row["role"] == "duplicate" for row in rows)
    assert set(first.values()) == {"kept"}


def test_a_recipe_that_never_ran_is_named(built: Built, flow: Flow) -> None:
    """In one line, with what to do."""
    answer = flow("duplicates", "danbooru", "--data", built.data)

    assert (answer.code, "no run of danbooru" in answer.complaint) == (2, True)


def test_a_folder_without_pictures_is_named(tmp_path: Path, flow: Flow) -> None:
    """As wrong use."""
    (tmp_path / "nothing").mkdir()

    answer = flow("duplicates", "nothing")

    assert (answer.code, "holds no pictures" in answer.complaint) == (2, True)
