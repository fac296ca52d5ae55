"""`flow run train-cascade`: from drawings, from a release, stopped half-way, and asked for what cannot be."""

from __future__ import annotations

import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from command import POSTS, Built, Flow, use
from PIL import Image as Pictures

from flows.cascade import read_config
from pipeline.errors import RecipeError, UsageError
from pipeline.train.cascade import CascadeConfig

QUICK = [word for pair in ("positives=300", "negatives=300", "features=200", "seed=0") for word in ("-p", pair)]
TRAIN = ("run", "train-cascade")
DRAWN = (*TRAIN, "sandbox", "-p", f"drawings={POSTS}")


def stages_of(path: Path) -> int:
    """How many stages OpenCV is given; it must read them."""
    assert not cv2.CascadeClassifier(str(path)).empty()
    return path.read_text().count("<stageThreshold>")


def test_from_drawings(tmp_path: Path, drawn: Path, flow: Flow) -> None:
    """The file says how it was made; the table says what it is worth on pictures that were held out."""
    data = use(tmp_path / "data", drawn)

    answer = flow(*DRAWN, *QUICK, "-p", "stages=8", "--data", data, "--out", tmp_path / "c.xml")

    assert answer.code == 0, answer.err
    stages = stages_of(tmp_path / "c.xml")
    assert 5 <= stages <= 8
    text = (tmp_path / "c.xml").read_text()
    assert f"flow run train-cascade sandbox -p drawings={POSTS} -p positives=300" in text
    assert str(tmp_path) not in text
    assert "pictures that it did not learn from" in answer.out
    assert f"cascade: {tmp_path / 'c.xml'} ({stages} stages, " in answer.out
    assert f"stage {stages}: " in answer.err


def test_from_a_release(data: Path, tmp_path: Path, flow: Flow) -> None:
    """Without a word of it, from the last one; it lies in the data folder. Pictures without faces may be added."""
    (tmp_path / "empty").mkdir()
    shades = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    Pictures.fromarray(shades).save(tmp_path / "empty" / "a.png")

    answer = flow(*TRAIN, *QUICK, "-p", "stages=2", "--data", data, "--backgrounds", tmp_path / "empty")

    assert answer.code == 0, answer.err
    assert stages_of(data / "cascades" / "sandbox-001.xml") == 2
    assert (
        "without faces:\nflow run train-cascade sandbox/001 -p positives=300"
        in (data / "cascades" / "sandbox-001.xml").read_text()
    )


def test_stopped_it_keeps_what_is_whole(tmp_path: Path, drawn: Path, flow: Flow) -> None:
    """Ctrl-C after the first stage: a cascade of whole stages lies beside the file; the file itself is not touched."""
    data, out = use(tmp_path / "data", drawn), tmp_path / "c.xml"
    out.write_text("an older one")

    with flow.start(
        *DRAWN, *QUICK, "-p", "stages=500", "-p", "max_false_alarm=0.99", "--data", data, "--out", out
    ) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if line.startswith("stage 1:"):
                break
        run.send_signal(signal.SIGINT)
        said, complaint = run.communicate(timeout=60)

    assert run.returncode == 130
    assert "flow: stopped; the stages that were whole are kept" in complaint
    assert str(tmp_path / "c.stopped.xml") in said
    assert stages_of(tmp_path / "c.stopped.xml") >= 1
    assert out.read_text() == "an older one"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("nix/001",), "nix/001: no such release"),
        (("--out", "."), "is a folder; name a file in it"),
        (("--backgrounds", "nowhere"), "nowhere: cannot be read"),
        (("-p", "stages"), "write -p key=value"),
        (("-p", "depth=3"), "there is no field depth; choose of drawings, pictures"),
        (("-p", "stages=many"), "'many' is not a whole number"),
        (("-p", "stages=0"), "stages=0 cannot be trained with"),
    ],
    ids=["release", "folder", "backgrounds", "no value", "key", "value", "range"],
)
def test_wrong_use_is_one_line_and_code_2(words: tuple[str, ...], hint: str, built: Built, flow: Flow) -> None:
    """Before anything is drawn, read or trained."""
    answer = flow(*TRAIN, *words, "--data", built.data)

    assert (answer.code, answer.out) == (2, "")
    assert hint in answer.complaint


def test_a_damaged_release_is_not_learnt_from(data: Path, flow: Flow) -> None:
    """Rather no cascade than one that learned from who knows what."""
    (data / "releases" / "sandbox" / "001" / "faces.npy").write_bytes(b"")

    answer = flow(*TRAIN, "--data", data)

    assert (answer.code, "not sound" in answer.complaint) == (1, True)


def test_fields_are_read_by_their_kind() -> None:
    """Whole numbers and others; the last of two counts."""
    assert read_config(["stages=3", "min_hit_rate=0.99", " stages = 5 "]) == CascadeConfig(stages=5, min_hit_rate=0.99)
    with pytest.raises(RecipeError, match="is not a number"):
        read_config(["min_hit_rate=high"])
    with pytest.raises(RecipeError, match="is not a whole number"):
        read_config(["stages=2.5"])
    with pytest.raises(UsageError, match="no value"):
        read_config(["stages"])
