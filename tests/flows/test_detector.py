"""`flow run train-detector`: from drawings, from a release, stopped half-way, and asked for what cannot be."""

from __future__ import annotations

import importlib.util
import signal
from pathlib import Path

import numpy as np
import pytest
from command import POSTS, Built, Flow, use
from PIL import Image as Pictures

from flows.detector import read_config
from pipeline.detectors import build
from pipeline.detectors.lbpcascade import find
from pipeline.errors import RecipeError, UsageError
from pipeline.train.detector import DetectorConfig

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs the extra [train]")

TRAIN = ("run", "train-detector")
DRAWN = (*TRAIN, "sandbox", "-p", f"posts={POSTS}", "-p", "drawings=1", "-p", "seed=0")
QUICK = ("-p", "kimg=0.06", "-p", "batch=4", "-p", "side=160")
OWN = ("--from", str(find("drawn_net")))  # it knows faces already


def test_from_drawings(tmp_path: Path, drawn: Path, flow: Flow) -> None:
    """The TOML says how it was made, and is a detector; the table says what it is worth on what was held out."""
    data = use(tmp_path / "data", drawn)

    answer = flow(*DRAWN, *QUICK, *OWN, "-p", "lr=1e-5", "--data", data, "--out", tmp_path / "n.onnx")

    assert answer.code == 0, answer.err
    text = (tmp_path / "n.toml").read_text()
    assert "# flow run train-detector sandbox --from drawn_net.onnx -p kimg=0.06" in text
    assert str(tmp_path) not in text
    assert build(str(tmp_path / "n.toml")).name == "n"
    assert "pictures that it did not learn from" in answer.out
    assert f"detector: {tmp_path / 'n.toml'} (15 steps, " in answer.out


def test_from_a_release(data: Path, tmp_path: Path, flow: Flow) -> None:
    """Without a word of it, from the last one, and from the model that comes with kaoset."""
    (tmp_path / "empty").mkdir()
    shades = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    Pictures.fromarray(shades).save(tmp_path / "empty" / "a.png")

    answer = flow(*TRAIN, *QUICK, "-p", "lr=1e-5", "--data", data, "--backgrounds", tmp_path / "empty")

    assert answer.code == 0, answer.err
    path = data / "detectors" / "sandbox-001.toml"
    assert build(str(path)).name == "sandbox-001"
    assert "pictures without faces:\n# flow run train-detector sandbox/001 -p kimg=0.06" in path.read_text()


def test_stopped_it_keeps_what_was_learnt(tmp_path: Path, drawn: Path, flow: Flow) -> None:
    """Ctrl-C after the first steps: a detector lies beside the file; the file itself is not touched."""
    data, out = use(tmp_path / "data", drawn), tmp_path / "n.onnx"
    out.write_text("an older one")
    long = ("-p", "kimg=1000", "-p", "batch=2", "-p", "side=64", "-p", "lr=1e-6")

    with flow.start(*DRAWN, *long, *OWN, "--data", data, "--out", out) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if line.startswith("step "):
                break
        run.send_signal(signal.SIGINT)
        said, complaint = run.communicate(timeout=60)

    assert run.returncode == 130, complaint
    assert "flow: stopped; what was learnt so far is kept" in complaint
    assert str(tmp_path / "n.stopped.toml") in said
    assert build(str(tmp_path / "n.stopped.toml")).name == "n.stopped"
    assert out.read_text() == "an older one"


def test_what_has_learnt_nothing_is_not_written(tmp_path: Path, drawn: Path, flow: Flow) -> None:
    """A detector that is blind would only be refused later."""
    data = use(tmp_path / "data", drawn)

    answer = flow(*DRAWN, "-p", "kimg=0.004", "-p", "side=64", "--data", data, "--out", tmp_path / "n.onnx")

    assert answer.code == 1
    assert "flow: it does not find one face yet" in answer.err
    assert not (tmp_path / "n.onnx").exists()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("nix/001",), "nix/001: no such release"),
        (("--out", "."), "name a file that ends in .onnx"),
        (("--out", "mine.toml"), "name a file that ends in .onnx, such as mine.onnx"),
        (("--backgrounds", "nowhere"), "nowhere: cannot be read"),
        (("--from", "nowhere.onnx"), "nowhere.onnx: cannot be read"),
        (("-p", "kimg"), "write -p key=value"),
        (("-p", "depth=3"), "there is no field depth; choose of kimg, batch"),
        (("-p", "batch=many"), "'many' is not a whole number"),
        (("-p", "kimg=0"), "kimg=0.0 cannot be trained with"),
    ],
    ids=["release", "folder", "suffix", "backgrounds", "model", "no value", "key", "value", "range"],
)
def test_wrong_use_is_one_line_and_code_2(words: tuple[str, ...], hint: str, built: Built, flow: Flow) -> None:
    """Before anything is drawn, read or trained."""
    answer = flow(*TRAIN, *words, "--data", built.data)

    assert (answer.code, answer.out) == (2, "")
    assert hint in answer.complaint


def test_a_file_that_is_no_such_model_is_one_line(tmp_path: Path, drawn: Path, flow: Flow) -> None:
    """It may be any network, or none."""
    data = use(tmp_path / "data", drawn)
    (tmp_path / "other.onnx").write_bytes(b"something else")

    answer = flow(*DRAWN, *QUICK, "--from", tmp_path / "other.onnx", "--data", data)

    assert answer.code == 2
    assert "no face network of width 12" in answer.complaint


def test_fields_are_read_by_their_kind() -> None:
    """Whole numbers and others; a model that is trained on has shorter usual values."""
    anew = read_config(["batch=4", "lr=0.01", " batch = 5 "], anew=True)

    assert anew == DetectorConfig(batch=5, lr=0.01)
    assert read_config([], anew=False).kimg < anew.kimg
    with pytest.raises(RecipeError, match="is not a number"):
        read_config(["lr=high"], anew=True)
    with pytest.raises(UsageError, match="no value"):
        read_config(["kimg"], anew=True)


def test_the_model_that_comes_with_kaoset_is_found_where_it_is_installed() -> None:
    """With its TOML and its proof beside it, small, and as the registry has it."""
    path = find("drawn_net")

    assert path.stat().st_size < 1_000_000
    assert build("drawn_net").name == "drawn_net"
