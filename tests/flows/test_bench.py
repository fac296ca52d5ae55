"""`flow bench faces`, as a person types it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from command import Flow
from PIL import Image as Pictures

from pipeline.sandbox import hard

FEW = ("--detectors", "animeface-script,animeface")


def test_drawn_pictures_are_measured(flow: Flow) -> None:
    """Tables on the screen; a table, the data, charts and cases in the folder."""
    answer = flow("bench", "faces", "--pictures", "12", "--out", "out", *FEW)

    assert answer.code == 0, answer.err
    assert "12 pictures" in answer.out
    assert all(
        word in answer.out
        for word in (
            "animeface-script",
            "three_quarter",
            "96 to 191 px",
            "view: profile",
            "What the default recipe does",
        )
    )
    assert {path.name for path in (flow.home / "out").iterdir()} == {
        "faces.csv",
        "faces.json",
        "faces.png",
        "cases.png",
    }
    with (flow.home / "out" / "faces.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    (easy,) = [row for row in rows if (row["way"], row["of"], row["group"]) == ("animeface", "group", "plain")]
    assert int(easy["faces"]) > 0
    assert float(easy["recall_low"]) < float(easy["recall"])
    assert {"view", "style", "tilt", "covered", "tag", "rule", "score"} < {row["of"] for row in rows}
    for name in ("faces.png", "cases.png"):
        with Pictures.open(flow.home / "out" / name) as picture:
            picture.load()


def test_labels_of_ones_own_are_measured(flow: Flow) -> None:
    """A table beside the pictures; found faces are right where it says so."""
    drawn = hard.build(flow.home / "set", 2, difficulties=[hard.Difficulty.PLAIN])
    boxes = [(one.path, face.box) for one in drawn for face in one.faces]
    lines = [f"{path.name},{box.left},{box.top},{box.width},{box.height}" for path, box in boxes]
    labels = drawn[0].path.parent / "labels.csv"
    labels.write_text("\n".join(["file,left,top,width,height", *lines]))

    answer = flow("bench", "faces", "--truth", labels, "--detectors", "animeface", "--out", "out")

    assert answer.code == 0, answer.err
    assert f"2 pictures, {len(boxes)} faces" in answer.out
    body = json.loads((flow.home / "out" / "faces.json").read_text())
    assert body["ways"]["animeface"]["rows"][0]["right"] > 0
    assert not (flow.home / "data").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--detectors", "retina"), "retina: no such way to look"),
        (("--truth", "labels.csv"), "labels.csv:2: "),
        (("--truth", "nowhere.json"), "nowhere.json: cannot be read"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(flow: Flow, words: tuple[str, str], complaint: str) -> None:
    """And nothing is drawn or written."""
    Path(flow.home / "labels.csv").write_text("file,left,top,width,height\na.jpg,1,2,3\n")

    answer = flow("bench", "faces", *(words if words[0] == "--detectors" else (*words, "--detectors", "animeface")))

    assert answer.code == 2
    assert complaint in answer.complaint
    assert {path.name for path in flow.home.iterdir()} == {"labels.csv"}


def test_labels_cannot_steer_the_terminal(flow: Flow) -> None:
    """A name with the codes of a terminal, or with a line of its own, is told without them."""
    (flow.home / "labels.csv").write_text('file,left,top,width,height\n"\x1b[31mred\nflow: done",1,2,3,4\n')

    answer = flow("bench", "faces", "--truth", "labels.csv", "--detectors", "animeface")

    assert answer.code == 2
    assert "names \ufffd[31mred\ufffdflow: done, which is not in" in answer.complaint
