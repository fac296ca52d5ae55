from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import make
import pandas as pd
import pytest

from pipeline.errors import UsageError
from pipeline.manifest import (
    COLUMNS,
    LATER,
    ManifestRow,
    harmless,
    read_csv,
    read_rows,
    row,
    split_of,
    to_csv,
    unquoted,
)
from pipeline.records import Verdict

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def _row(seed: int = 1, **fields: object) -> ManifestRow:
    crop = make.face_crop(seed, family="f")
    post = make.post(seed, tags=("blue_hair", "初音ミク"), **fields)
    return row(crop, make.image(seed), post, None, "train")


def test_rows_are_sorted_whatever_came_first() -> None:
    """The same rows give the same bytes."""
    rows = [_row(n) for n in range(5)]

    assert to_csv(rows) == to_csv(rows[::-1])


def test_a_manifest_written_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A column of fractions keeps its kind in a part that happens to hold whole numbers."""
    rows = [dataclasses.replace(_row(n), padded=(0, 0.5)[n % 2], turned=n) for n in range(5)]
    whole = to_csv(rows)
    monkeypatch.setattr("pipeline.manifest.ROWS_AT_ONCE", 1)

    assert to_csv(rows) == whole
    assert whole.count(b"\n") == 6


def test_a_manifest_reads_back(tmp_path: Path) -> None:
    """Every column is there, Unicode is kept, nothing is taken for a missing value."""
    path = tmp_path / "m.csv"
    path.write_bytes(to_csv([_row(origin_url="NA")]))

    frame = read_csv(path)

    assert tuple(frame.columns) == COLUMNS
    assert frame.loc[0, "tags"] == "blue_hair 初音ミク"
    assert frame.loc[0, "origin_url"] == "NA"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@cmd", "\tx", "\rx", "\n=1", "  =1", "\uff1d1", "'=1", "''\t@"])
def test_what_a_spreadsheet_would_run_is_defused(text: str) -> None:
    """A formula from the web becomes text, also one behind blanks or in wide characters."""
    assert harmless(text) == "'" + text
    assert harmless("https://x.invalid") == "https://x.invalid"
    assert harmless("'til_dawn") == "'til_dawn"


HOSTILE = (
    *("=1+1", "'=1", "''=1", "'til", '"', 'a"b,c', ",", "a\rb", "a\r\nb", "\n", " a ", "初音ミク😀", "NA", "null"),
    *("\t@x", "-", "a\u2028b", "\ufeffx", "'", "0x10", "1e5", "True"),
)


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_comes_back_from_any_column(text: str, tmp_path: Path) -> None:
    """Quotes, line ends, formulas and Unicode are kept, in the columns of people and boards alike."""
    free = [field.name for field in dataclasses.fields(ManifestRow) if field.type == "str"]
    fixed = {"crop_sha256", "file", "image_sha256", "image_md5", "split", "posted_at", "released_on", "decided_at"}
    rows = [dataclasses.replace(_row(), **{name: text for name in free if name not in fixed}), _row(2)]
    path = tmp_path / "m.csv"
    path.write_bytes(to_csv(rows))

    assert read_rows(path) == sorted(rows, key=lambda one: one.crop_sha256)
    assert to_csv(read_rows(path)) == path.read_bytes()


def test_no_column_of_text_is_run(tmp_path: Path) -> None:
    """Every cell of a row in which everything is a formula begins with a quote, or is of ours."""
    free = [field.name for field in dataclasses.fields(ManifestRow) if field.type == "str"]
    path = tmp_path / "m.csv"
    path.write_bytes(to_csv([dataclasses.replace(_row(), **dict.fromkeys(free, "=cmd|'/c calc'!A1"))]))

    with path.open(newline="") as file:
        cells = next(csv.DictReader(file))
    assert {name for name in free if not cells[name].startswith("'=")} == set()


def test_who_and_what_is_in_the_row() -> None:
    """Names with a blank between them, as tags are."""
    post = make.post(artists=("ann", "bob"), characters=("miku",), series=("vocaloid",))
    said = row(make.face_crop(), make.image(), post, None, "train", attributes=("blue_hair", "smile"))

    assert (said.source, said.artists, said.characters, said.series, said.attributes) == (
        *("sandbox", "ann bob", "miku", "vocaloid", "blue_hair smile"),
    )


def test_no_path_of_a_machine_reaches_the_manifest() -> None:
    """A file of a folder has no address that others could use."""
    assert _row(file_url="file:///home/me/a.png").file_url == ""
    assert _row(file_url=None).file_url == ""
    assert _row(file_url="https://x.invalid/a.png").file_url == "https://x.invalid/a.png"


def test_the_manifest_of_an_older_kaoset_is_read(tmp_path: Path) -> None:
    """What it lacks is empty; but it does not say where its windows lay, so it is not to be acted upon."""
    path = tmp_path / "m.csv"
    path.write_bytes(to_csv([_row()]))
    pd.read_csv(path, dtype=str, keep_default_na=False).drop(columns=list(LATER)).to_csv(path, index=False)

    assert (read_csv(path)[list(LATER)] == "").all(axis=None)
    with pytest.raises(UsageError, match=r"row 2: weight '' is no number"):
        read_rows(path)


@pytest.mark.parametrize(
    ("column", "cell", "complaint"),
    [
        ("file", "images/../../../etc/passwd", "not named by its crop"),
        ("file", "/etc/passwd", "not named by its crop"),
        ("crop_sha256", "..", "not 64 hexadecimal digits"),
        ("image_sha256", "A" * 64, "not 64 hexadecimal digits"),
        ("image_md5", "", "not 32 hexadecimal digits"),
        ("size", "99999", "none of kaoset's"),
        ("size", "1e3", "no whole number"),
        ("window_side", "0", "none of kaoset's"),
        ("window_left", "nan", "no number"),
        ("window_top", "inf", "no number"),
        ("turned", "1e999", "no number"),
        ("turned", "1e9", "none of kaoset's"),
        ("score", "nan", "no number"),
        ("score", "1e300", "neither a face"),
        ("box_width", "-99999999999999999", "none of kaoset's"),
        ("image_height", "99999999999999999", "none of kaoset's"),
        ("split", "../../../home", "no name of a split"),
        ("split", "/etc", "no name of a split"),
        ("split", "", "no name of a split"),
        ("agreed", "1", "neither True nor False"),
        ("posted_at", "99999-99-99", "no date"),
        ("released_on", "20150102", "no date"),
        ("decided_at", "yesterday", "no date"),
    ],
)
def test_a_row_that_is_none_of_ours_is_refused(column: str, cell: str, complaint: str, tmp_path: Path) -> None:
    """Anybody may have written a manifest: none names a file elsewhere, or asks for a picture without end."""
    path = tmp_path / "m.csv"
    path.write_bytes(to_csv([_row()]))
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame.loc[0, column] = cell
    frame.to_csv(path, index=False)

    with pytest.raises(UsageError, match=f"row 2: .*{complaint}"):
        read_rows(path)


def test_a_decision_is_in_the_row() -> None:
    """Who let it in, and when; without a person it was the rule."""
    crop = make.face_crop()
    decided = make.decision(crop.sha256, Verdict.KEEP, reviewer="Ann")

    said = row(crop, make.image(), make.post(), decided, "train")
    assert (said.decision, said.reviewer, said.decided_at) == ("keep", "Ann", "2026-01-02T00:00:00+00:00")
    assert row(crop, make.image(), make.post(), None, "train").decision == "rule"


def test_a_family_is_never_divided() -> None:
    """The split depends on the family's name and the seed alone."""
    assert split_of("abc", 0, SHARES) == split_of("abc", 0, SHARES)


def test_splits_come_near_their_shares() -> None:
    """Of 2,000 families, 1,600 are wished for; chance alone stays within 5 standard deviations."""
    splits = [split_of(str(n), 0, SHARES) for n in range(2000)]

    assert abs(splits.count("train") - 1600) < 90
    assert set(splits) == set(SHARES)


def test_a_file_without_our_columns_is_refused(tmp_path: Path) -> None:
    """Any CSV is not a manifest."""
    path = tmp_path / "m.csv"
    path.write_text("a,b\n1,2\n")

    with pytest.raises(UsageError, match="it lacks crop_sha256"):
        read_csv(path)


@pytest.mark.parametrize("text", ["=1", "+a", "plain", "'tis", "", "a=b", "@x y"])
def test_what_was_made_harmless_can_be_read(text: str) -> None:
    """As it was written by whoever wrote it."""
    assert unquoted(harmless(text)) == text
