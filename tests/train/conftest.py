"""A release small enough to train on in a test: a folder with an array and a manifest."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from discs import discs
from numpy.typing import NDArray

# Without the [train] extra only what holds without it can be tested.
collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_[!t]*.py", "test_trainer.py"]


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that puts an array of faces into a new release folder."""

    def put(faces_NHWC: NDArray[np.uint8], name: str = "discs/001") -> Path:
        release = tmp_path / "releases" / name
        release.mkdir(parents=True)
        np.save(release / "faces.npy", faces_NHWC)
        (release / "data_manifest.csv").write_text(f"crop_sha256\n{name}\n")
        return release

    return put


@pytest.fixture
def release(publish: Callable[..., Path]) -> Path:
    """A release of 40 discs, 16 pixels a side."""
    return publish(discs(40))
