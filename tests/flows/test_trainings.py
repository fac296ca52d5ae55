"""What a person does with trainings: find them, draw with them, lay them side by side."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from command import Flow
from discs import discs

from flows.jobs import find_training
from pipeline.errors import UsageError

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two trainings of a few steps, `one` older than `two`."""
    from pipeline.train import TrainConfig, train_gan

    folder = tmp_path_factory.mktemp("trainings")
    release = folder / "releases" / "discs" / "001"
    release.mkdir(parents=True)
    np.save(release / "faces.npy", discs(40))
    (release / "data_manifest.csv").write_text("\n".join(["crop_sha256", *map(str, range(40)), ""]))
    for at, name in enumerate(("one", "two")):
        config = TrainConfig(size=16, width=8, z=8, batch=8, kimg=0.016, device="cpu", measure=16, seed=at)
        train_gan(release, folder / "trainings" / name, config)
        os.utime(folder / "trainings" / name / "run.json", (at, at))
    return folder


def test_a_training_is_found_by_name_by_folder_or_as_the_last(data: Path) -> None:
    """The one that was last at work, whatever its name."""
    assert find_training(data, "one") == data / "trainings" / "one"
    assert find_training(data, str(data / "trainings" / "one")) == data / "trainings" / "one"
    assert find_training(data, None) == data / "trainings" / "two"


def test_a_training_that_is_not_there_is_named(data: Path, tmp_path: Path) -> None:
    """And how to make one."""
    with pytest.raises(
        UsageError, match=r"three: no training, and none of that name in .*; `flow run train-gan` makes"
    ):
        find_training(data, "three")
    with pytest.raises(UsageError, match=r"no training yet; `flow run train-gan` makes one"):
        find_training(tmp_path, None)


def test_generate_draws_with_the_last_training(data: Path, tmp_path: Path) -> None:
    """A grid, and how each picture was made."""
    answer = Flow(tmp_path)("generate", "--data", data, "--count", "4", "--seed", "9", "--out", tmp_path / "out")

    assert answer.out.split() == [str(tmp_path / "out" / name) for name in ("grid.png", "made.json")]
    made = json.loads((tmp_path / "out" / "made.json").read_text())["pictures"]
    assert [one["seed"] for one in made] == [9, 10, 11, 12]


def test_generate_says_what_it_cannot_draw(data: Path, tmp_path: Path) -> None:
    """In one line, and writes nothing."""
    answer = Flow(tmp_path)("generate", "--data", data, "--hair", "green", "--out", tmp_path / "out")

    assert answer.code == 2
    assert answer.complaint == (
        "green_hair: this generator cannot be asked for it; it was trained with train.condition = none"
    )
    assert not (tmp_path / "out").exists()


def test_compare_tells_whole_names_and_draws_a_picture(data: Path, tmp_path: Path) -> None:
    """Names of trainings differ at their ends; each measure is a line, which fits a terminal."""
    answer = Flow(tmp_path)("compare", "one", "two", "--data", data, "--out", tmp_path / "compare.png")

    assert answer.code == 0
    *shown, _ = answer.out.splitlines()
    lines = [line.split() for line in shown]
    assert lines[0] == ["run", "one", "two"]
    assert ["network", "dcgan", "dcgan"] in lines
    assert max(map(len, shown)) <= 80
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_one_training_is_nothing_to_compare(data: Path, tmp_path: Path) -> None:
    """Two are needed."""
    answer = Flow(tmp_path)("compare", "one", "--data", data)

    assert (answer.code, answer.complaint) == (2, "1 of at least 2 trainings: name those that you want to compare")
