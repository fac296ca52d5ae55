"""A release small enough to train on in a test: a folder with an array and a manifest."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from discs import coloured, discs
from numpy.typing import NDArray

from pipeline.labels import labels_of

# Without the [train] extra only what holds without it can be tested.
collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["test_[!t]*.py", "test_trainer.py"]


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that puts an array of faces into a new release folder."""

    def put(faces_NHWC: NDArray[np.uint8], name: str = "discs/001") -> Path:
        release = tmp_path / "releases" / name
        release.mkdir(parents=True)
        np.save(release / "faces.npy", faces_NHWC)
        rows = [f"{name}/{number}" for number in range(len(faces_NHWC))]
        (release / "data_manifest.csv").write_text("\n".join(["crop_sha256", *rows, ""]))
        return release

    return put


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A release of 60 discs of 16 pixels, blue, green or red by their tags; ten are held out."""
    classes = [0, 1, 2] * 20
    folder = tmp_path / "releases" / "coloured" / "001"
    folder.mkdir(parents=True)
    np.save(folder / "faces.npy", coloured(classes))
    tags = [f"solo {('blue', 'green', 'red')[one]}_hair" for one in classes]
    rows = [f"{at},{at},{'test' if at < 10 else 'train'},{one}" for at, one in enumerate(tags)]
    (folder / "data_manifest.csv").write_text("\n".join(["crop_sha256,image_sha256,split,tags", *rows, ""]))
    np.save(folder / "labels.npy", np.stack([labels_of(one.split(), 1) for one in tags]))
    return folder


@pytest.fixture
def release(publish: Callable[..., Path]) -> Path:
    """A release of 40 discs, 16 pixels a side."""
    return publish(discs(40))
