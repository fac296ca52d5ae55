"""Trainings are compared by what their folders hold, and who compares what cannot be compared is told so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UsageError
from pipeline.train.contest import compare, picture, table
from pipeline.train.pictures import save_png

COLUMNS = "step,kimg,seconds,rf_fid,precision\n"


def trained(root: Path, name: str, release: str = "sandbox/001", size: int = 16, manifest: str = "ab") -> Path:
    """A run folder that was best in the middle."""
    run_dir = root / name
    save_png(run_dir / "samples/fixed-000000030.png", np.zeros((4 * (size + 2) - 2, 4 * (size + 2) - 2, 3), np.uint8))
    config = {"network": "dcgan", "size": size}
    run = {"release": release, "manifest_sha256": manifest, "batch": 64, "total_steps": 30, "config": config}
    (run_dir / "run.json").write_text(json.dumps(run))
    (run_dir / "losses.csv").write_text("step,kimg,d_loss,g_loss,img_per_s,seconds\n30,1.92,1,1,100,192\n")
    (run_dir / "metrics.csv").write_text(f"{COLUMNS}10,0.64,6.4,900,0.1\n20,1.28,12.8,40,0.5\n30,1.92,19.2,50,0.6\n")
    (run_dir / "attributes.csv").write_text("attribute,precision\nsmile,0.5\nhair,1\neyes,\n")
    return run_dir


def test_the_best_and_the_last_tick_are_told(tmp_path: Path) -> None:
    """The best is the one of the lowest RF-FID, and its other measures are of the same tick."""
    one, two = trained(tmp_path, "one"), trained(tmp_path, "two")

    rows = table(compare([one, two]))

    heads, first, second = zip(*rows, strict=True)
    assert dict(zip(heads, first, strict=True)) == {
        "run": "one",
        "release": "sandbox/001",
        "network": "dcgan",
        "size": "16",
        "kimg": "1.92",
        "time": "3 min",
        "img/s": "100",
        "best RF-FID": "40.0",
        "at kimg": "1.28",
        "last RF-FID": "50.0",
        "RF-KID": "–",
        "SWD": "–",
        "precision": "0.500",
        "recall": "–",
        "near copies": "–",
        "attributes": "75 %",
    }
    assert second == ("two", *first[1:])


def test_what_is_alike_needs_no_warning(tmp_path: Path) -> None:
    """One release, one size."""
    assert compare([trained(tmp_path, "one"), trained(tmp_path, "two")]).warnings == ()


def test_other_releases_are_warned_of(tmp_path: Path) -> None:
    """A distance to other faces says nothing."""
    contest = compare([trained(tmp_path, "one"), trained(tmp_path, "two", release="sandbox/002")])

    assert contest.warnings == (
        "trained on other releases (sandbox/001, sandbox/002): their measures cannot be compared",
    )


def test_a_release_that_was_made_anew_is_warned_of(tmp_path: Path) -> None:
    """It is called the same, and holds other faces."""
    contest = compare([trained(tmp_path, "one"), trained(tmp_path, "two", manifest="cd")])

    assert contest.warnings == ("sandbox/001 was not the same for all of them: their measures cannot be compared",)


def test_other_sizes_are_warned_of(tmp_path: Path) -> None:
    """Small faces are easier."""
    contest = compare([trained(tmp_path, "one"), trained(tmp_path, "two", size=32)])

    assert contest.warnings == ("drawn at other sizes (16, 32 pixels): their measures cannot be compared",)


def test_a_damaged_table_is_warned_of(tmp_path: Path) -> None:
    """The others are compared all the same."""
    one, two = trained(tmp_path, "one"), trained(tmp_path, "two")
    (two / "metrics.csv").write_text(f"{COLUMNS}10,0.64,6.4,many,0.1\n")

    contest = compare([one, two])

    assert contest.warnings == ("two: metrics.csv, line 2: rf_fid = 'many' is no number",)
    assert ["best RF-FID", "40.0", "–"] in table(contest)


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """By as much of their paths as it takes."""
    contest = compare([trained(tmp_path, "a/run"), trained(tmp_path, "b/run")])

    assert [one.name for one in contest.runs] == ["a/run", "b/run"]


def test_a_folder_that_is_no_training_is_refused(tmp_path: Path) -> None:
    """With its path, and what to name instead."""
    with pytest.raises(UsageError) as refused:
        compare([trained(tmp_path, "one"), tmp_path / "none"])

    assert str(refused.value) == (
        f"{tmp_path / 'none'}: is no training; name a folder that `flow run train-gan` made"
    )  # fmt: skip


def test_one_alone_is_no_contest(tmp_path: Path) -> None:
    """Nor is none."""
    with pytest.raises(UsageError, match="1 of at least 2 trainings"):
        compare([trained(tmp_path, "one")])


def test_the_picture_has_a_row_for_each(tmp_path: Path) -> None:
    """Beneath the curves, as wide for three as for two."""
    runs = [trained(tmp_path, name) for name in ("one", "two", "$x_$")]
    picture(compare(runs[:2]), tmp_path / "two.png")
    picture(compare(runs), tmp_path / "three.png")

    two, three = Image.open(tmp_path / "two.png").size, Image.open(tmp_path / "three.png").size

    assert two[0] == three[0] == 1320
    assert three[1] - two[1] == pytest.approx(1.25 * 110, abs=1)


def test_a_picture_comes_of_what_little_there_is(tmp_path: Path) -> None:
    """No measures, a damaged grid, a grid of another size than its run says."""
    one, two, three = (trained(tmp_path, name) for name in ("one", "two", "three"))
    for run_dir in (one, two, three):
        (run_dir / "metrics.csv").unlink()
    (one / "samples/fixed-000000030.png").write_bytes(b"no picture")
    save_png(two / "samples/fixed-000000030.png", np.zeros((50, 20, 3), np.uint8))
    (three / "samples/fixed-000000030.png").unlink()

    picture(compare([one, two, three]), tmp_path / "contest.png")

    assert Image.open(tmp_path / "contest.png").size[0] == 1320
