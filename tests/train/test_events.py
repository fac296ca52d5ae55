"""TensorBoard is fed where it is installed, and not missed where it is not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from pipeline.train.events import Events

HAS = importlib.util.find_spec("tensorboard") is not None


@pytest.mark.skipif(HAS, reason="it is installed here")
def test_without_tensorboard_nothing_is_written(tmp_path: Path) -> None:
    """And nothing is asked for."""
    events = Events(tmp_path, 0)

    events.numbers(1, {"step": 1, "rf_fid": 2.0})
    events.close()

    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not HAS, reason="TensorBoard is not installed")
def test_numbers_can_be_read_back(tmp_path: Path) -> None:
    """By name and step; nan is left out; what an interrupted call wrote after its checkpoint is gone."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-not-found]

    first = Events(tmp_path, 0)
    for step in (1, 2, 3):
        first.numbers(step, {"step": step, "rf_fid": 10.0 * step, "accuracy:red": float("nan")})
    first.close()
    second = Events(tmp_path, 2)
    second.numbers(2, {"rf_fid": 5.0})
    second.close()

    told = EventAccumulator(str(tmp_path / "tensorboard"))
    told.Reload()
    assert told.Tags()["scalars"] == ["rf_fid"]
    assert [(one.step, one.value) for one in told.Scalars("rf_fid")] == [(1, 10.0), (2, 5.0)]
