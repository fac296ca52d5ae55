"""The judge says what a face shows, knows how far it can be trusted, and is the same when it is read back."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from discs import coloured

from pipeline.shares import Share
from pipeline.train.classifier import Judge, learn, read, save, write_precision
from pipeline.train.conditions import Conditions
from pipeline.train.faces import Resident

CPU = torch.device("cpu")
NAMES = ("blue", "green", "red")


def shows(classes: list[int], kind: str = "hair") -> Conditions:
    values = np.zeros((len(classes), 3), np.int8)
    values[np.arange(len(classes)), classes] = 1
    return Conditions(
        kind=kind, names=NAMES, values=np.where(values == 1, 1, -1).astype(np.int8) if kind == "attributes" else values
    )


@pytest.fixture(scope="module", params=["hair", "attributes"])
def judge(request: pytest.FixtureRequest) -> Judge:
    """One that has seen 90 faces, blue much more often than red."""
    classes, others = [0] * 60 + [1] * 20 + [2] * 10, [0, 1, 2] * 8
    faces, held_out = (Resident(torch.from_numpy(coloured(some, seed))) for some, seed in ((classes, 1), (others, 2)))
    return learn(faces, shows(classes, request.param), held_out, shows(others, request.param), seed=0, shown=6000)


def test_it_is_right_about_faces_that_it_has_not_seen(judge: Judge) -> None:
    """Also of the rarest colour."""
    assert judge.accuracy.value is not None
    assert judge.accuracy.value > 0.9
    assert set(judge.held_out) == set(NAMES)


def test_it_counts_who_shows_what_was_asked_for(judge: Judge) -> None:
    """By label, of those that were asked for it: here every second red one is green."""
    faces = torch.from_numpy(coloured([0, 0, 2, 1, 2, 1], 3))
    asked = torch.eye(3)[torch.tensor([0, 0, 2, 2, 2, 2])]

    assert judge.agrees(faces, asked) == {"blue": Share(2, 2), "red": Share(2, 4)}


def test_it_is_the_same_when_it_is_read_back(judge: Judge, tmp_path: Path) -> None:
    """Weights, names and how far it can be trusted."""
    save(tmp_path / "judge.safetensors", judge)

    again = read(tmp_path / "judge.safetensors", CPU)

    assert again is not None
    faces = torch.from_numpy(coloured([0, 1, 2], 4))
    assert torch.equal(again.says(faces), judge.says(faces))
    assert (again.names, again.exclusive, dict(again.held_out)) == (judge.names, judge.exclusive, dict(judge.held_out))


def test_a_damaged_judge_is_none(tmp_path: Path) -> None:
    """Another is taught then."""
    (tmp_path / "judge.safetensors").write_bytes(b"half a file")

    assert read(tmp_path / "judge.safetensors", CPU) is None
    assert read(tmp_path / "none.safetensors", CPU) is None


def test_a_label_that_is_only_ever_true_cannot_be_judged() -> None:
    """Nobody knows who lacks it."""
    classes = [0, 1] * 10
    told = shows(classes, "attributes")
    told.values[:, 1] = np.where(told.values[:, 1] == 1, 1, 0)
    faces = Resident(torch.from_numpy(coloured(classes, 1)))

    judge = learn(faces, told, faces, told, seed=0, shown=64)

    assert "blue" in judge.held_out
    assert "green" not in judge.held_out


def test_a_precision_comes_with_its_interval_and_its_judge(judge: Judge, tmp_path: Path) -> None:
    """A row for each label and each number of pictures."""
    write_precision(tmp_path / "p.csv", [{"red": Share(18, 20)}, {"red": Share(81, 100)}], judge)

    with (tmp_path / "p.csv").open(newline="") as file:
        few, many = csv.DictReader(file)
    assert (few["attribute"], few["asked"], few["right"], few["precision"]) == ("red", "20", "18", "0.9000")
    assert float(few["low"]) == pytest.approx(0.699, abs=1e-3)  # Wilson's, of 18 of 20
    assert float(many["high"]) - float(many["low"]) < float(few["high"]) - float(few["low"])
    assert int(few["held_out"]) >= 8
