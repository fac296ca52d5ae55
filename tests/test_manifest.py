from __future__ import annotations

import dataclasses
from pathlib import Path

import make
import pytest

from pipeline.errors import UsageError
from pipeline.manifest import COLUMNS, ManifestRow, harmless, read_csv, row, split_of, to_csv, unquoted
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


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@cmd", "\tx"])
def test_what_a_spreadsheet_would_run_is_defused(text: str) -> None:
    """A formula from the web becomes text."""
    assert harmless(text) == "'" + text
    assert harmless("https://x.invalid") == "https://x.invalid"


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
