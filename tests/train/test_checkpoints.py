"""A checkpoint is whole or not there, never executed, and never of another run."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from pipeline.errors import StoreError, UsageError, WorldError
from pipeline.train import TrainConfig, checkpoints

STATE = {"step": 1, "weights": torch.arange(3.0)}


def test_the_last_few_are_kept(tmp_path: Path) -> None:
    """The older ones go once the newer is safe."""
    for step in (5, 50, 500, 5000):
        checkpoints.save(tmp_path, step, STATE, keep_last=2)

    assert [checkpoints.step_of(path) for path in checkpoints.found(tmp_path)] == [500, 5000]


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    """Tensors and plain values."""
    state = checkpoints.load(checkpoints.save(tmp_path, 7, STATE, keep_last=1))

    assert state["step"] == 1
    assert torch.equal(state["weights"], STATE["weights"])


@pytest.mark.parametrize("keep", [0, 40, 0.5])
def test_a_damaged_file_is_named(tmp_path: Path, keep: float) -> None:
    """Empty, cut at its head, cut in the middle: one line that says what to do."""
    path = checkpoints.save(tmp_path, 7, STATE, keep_last=1)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])

    with pytest.raises(WorldError, match="delete it to go on from the one before"):
        checkpoints.load(path)


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    """Loading reads weights only; a pickle that calls something is refused, uncalled."""

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    path = checkpoints.save(tmp_path, 7, {"trap": Trap()}, keep_last=1)

    with pytest.raises(WorldError):
        checkpoints.load(path)
    assert not (tmp_path / "sprung").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "checkpoints").write_text("")

    with pytest.raises(StoreError, match="cannot be written"):
        checkpoints.save(tmp_path, 7, STATE, keep_last=1)


def test_poisoned_numbers_are_found_however_deep() -> None:
    """Infinity in one tensor of one optimiser is enough."""
    poisoned = {"adam": {"state": {0: {"exp_avg": torch.tensor([1.0, float("inf")])}}}}

    assert checkpoints.finite({"a": [torch.ones(2), torch.tensor(3)], "b": "text"})
    assert not checkpoints.finite(poisoned)


def test_how_long_and_where_may_change_but_not_what(tmp_path: Path) -> None:
    """More kimg on another device goes on; another width is another network."""
    config = TrainConfig(width=32)
    checkpoints.refuse_other(tmp_path, asdict(config), "m", replace(config, kimg=9.0, device="cpu", threads=1), "m")

    with pytest.raises(UsageError, match="was trained with width = 32, not 64; go on with that"):
        checkpoints.refuse_other(tmp_path, asdict(config), "m", replace(config, width=64), "m")
    with pytest.raises(UsageError, match="manifest aaa, not bbb"):
        checkpoints.refuse_other(tmp_path, asdict(config), "aaa", config, "bbb")


def test_what_a_killed_run_had_begun_is_swept(tmp_path: Path) -> None:
    """Temporary files go; all others stay."""
    path = checkpoints.save(tmp_path, 7, STATE, keep_last=1)
    (tmp_path / ".new-a").write_text("")
    (tmp_path / "checkpoints" / ".new-b").write_text("")

    checkpoints.sweep(tmp_path)

    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
