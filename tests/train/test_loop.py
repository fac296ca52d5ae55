"""A training is a folder that can be left and come back to at any moment."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from discs import discs
from PIL import Image
from safetensors import safe_open

from pipeline.errors import UsageError, WorldError
from pipeline.train import TrainConfig, TrainProgress, TrainResult, train_gan
from pipeline.train.classifier import BATCH
from pipeline.train.networks import dcgan

# 12 steps of 8 pictures; a tick every 2 steps, a checkpoint every 4.
CONFIG = TrainConfig(
    size=16,
    width=8,
    z=8,
    batch=8,
    kimg=0.096,
    sample_every_kimg=0.016,
    checkpoint_every_kimg=0.032,
    device="cpu",
    measure=0,
)
LESSON = 1000 // BATCH  # steps of the judge of so short a run, before which it is asked whether to stop, too


def stop_after(steps: int) -> Callable[[], bool]:
    """Ask a training to stop once it has done so many steps."""
    asked = iter(range(1, 10_000))
    return lambda: next(asked) >= steps


def train(release: Path, run_dir: Path, config: TrainConfig = CONFIG, steps: int = 10_000) -> TrainResult:
    return train_gan(release, run_dir, config, stop=stop_after(steps if config.condition == "none" else LESSON + steps))


def ticks(run_dir: Path) -> list[tuple[str, str, str]]:
    with (run_dir / "losses.csv").open(newline="") as file:
        return [(row["step"], row["d_loss"], row["g_loss"]) for row in csv.DictReader(file)]


def pictures(run_dir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(run_dir.glob("samples/*.png"))}


def test_a_finished_run_leaves_what_it_promises(release: Path, tmp_path: Path) -> None:
    """Grids, losses, checkpoints, the description and the generator; nothing half-written."""
    result = train(release, tmp_path / "run")

    steps = (2, 4, 6, 8, 10, 12)
    samples = [f"samples/{kind}-{step:09d}.png" for kind in ("fixed", "random") for step in steps]
    kept = [f"checkpoints/step-{step:09d}.pt" for step in (4, 8, 12)]
    top = ["generator.safetensors", "losses.csv", "losses.png", "reals.png", "run.json", "train.html"]
    top += [f"{film}.{kind}" for film in ("fixed", "interpolation") for kind in ("gif", "mp4")] + ["interpolation.png"]
    files = sorted(path.relative_to(result.run_dir).as_posix() for path in result.run_dir.rglob("*.*"))
    assert files == sorted([*samples, *kept, *top])
    assert Image.open(result.run_dir / samples[0]).size == (4 * 18 - 2, 4 * 18 - 2)
    assert Image.open(result.run_dir / samples[-1]).size == (8 * 18 - 2, 4 * 18 - 2)
    assert (result.finished, result.steps, result.new_steps, result.kimg) == (True, 12, 12, 0.096)


def test_the_description_names_the_release_and_its_manifest(release: Path, tmp_path: Path) -> None:
    """By recipe and number, not by where it lies on this machine."""
    train(release, tmp_path / "run")

    text = (tmp_path / "run" / "run.json").read_text()
    run = json.loads(text)
    assert (run["release"], run["images"], run["config"]["width"]) == ("discs/001", 40, 8)
    assert len(run["manifest_sha256"]) == 64
    assert str(tmp_path) not in text


def test_the_generator_draws_what_the_run_drew(release: Path, tmp_path: Path) -> None:
    """The exported weights fit the network that the configuration inside names."""
    result = train(release, tmp_path / "run")
    assert result.generator
    with safe_open(result.generator, "pt") as file:
        about = json.loads(file.metadata()["kaoset"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict

    generator, _ = dcgan(TrainConfig(**about["config"]), len(about["labels"]))
    generator.load_state_dict(tensors)

    assert (about["release"], about["step"]) == ("discs/001", 12)
    assert generator.eval()(torch.zeros(1, 8)).shape == (1, 3, 16, 16)


def test_a_run_stopped_at_five_ends_like_an_undisturbed_one(release: Path, tmp_path: Path) -> None:
    """Generator, pictures and losses are the same bytes; no tick is lost or written twice."""
    whole = train(release, tmp_path / "whole")

    stopped = train(release, tmp_path / "cut", steps=5)
    resumed = train(release, tmp_path / "cut")

    assert (stopped.finished, stopped.steps, stopped.generator) == (False, 5, None)
    assert "stopped after step 5 of 12; the same command goes on" in stopped.notes
    assert (resumed.finished, resumed.steps, resumed.new_steps) == (True, 12, 7)
    assert "going on after step 5 of 12" in resumed.notes
    assert whole.generator
    assert resumed.generator
    assert resumed.generator.read_bytes() == whole.generator.read_bytes()
    assert pictures(tmp_path / "cut") == pictures(tmp_path / "whole")
    assert ticks(tmp_path / "cut") == ticks(tmp_path / "whole")


def test_a_killed_run_ends_like_an_undisturbed_one(release: Path, tmp_path: Path) -> None:
    """kill -9 somewhere, then the same command: the same generator, nothing half-written left."""
    config = replace(CONFIG, kimg=1.6, sample_every_kimg=0.4)  # 200 steps, a checkpoint every 4
    code = f"""
import sys
from pathlib import Path
from pipeline.train import TrainConfig, train_gan
train_gan(Path(sys.argv[1]), Path(sys.argv[2]), {config!r})
"""
    run = subprocess.Popen([sys.executable, "-c", code, str(release), str(tmp_path / "cut")])
    until = time.monotonic() + 60
    while not list(tmp_path.glob("cut/checkpoints/step-*.pt")) and time.monotonic() < until:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()

    resumed, whole = train(release, tmp_path / "cut", config), train(release, tmp_path / "whole", config)

    assert 0 < resumed.new_steps < 200
    assert resumed.generator
    assert whole.generator
    assert resumed.generator.read_bytes() == whole.generator.read_bytes()
    assert ticks(tmp_path / "cut") == ticks(tmp_path / "whole")
    assert not list(tmp_path.rglob(".new-*"))


def test_a_finished_run_has_nothing_to_do(release: Path, tmp_path: Path) -> None:
    """The same command again changes no file, and says so."""
    first = train(release, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in first.run_dir.rglob("*")}

    again = train(release, tmp_path / "run")

    assert (again.finished, again.new_steps, again.steps) == (True, 0, 12)
    assert again.notes == ("already trained: 0.096 kimg; nothing to do",)
    assert {path: path.stat().st_mtime_ns for path in first.run_dir.rglob("*")} == before


def test_a_finished_run_can_be_made_longer(release: Path, tmp_path: Path) -> None:
    """More kimg goes on from the last step, and ends like a run that was as long from the start."""
    train(release, tmp_path / "run")
    longer = replace(CONFIG, kimg=0.128)

    result, whole = train(release, tmp_path / "run", longer), train(release, tmp_path / "whole", longer)

    assert (result.steps, result.new_steps) == (16, 4)
    assert result.generator
    assert whole.generator
    assert result.generator.read_bytes() == whole.generator.read_bytes()


def test_another_configuration_or_release_is_refused(
    release: Path, publish: Callable[..., Path], tmp_path: Path
) -> None:
    """Two runs are never mixed in one folder; without run.json the checkpoint itself refuses."""
    train(release, tmp_path / "run", steps=2)

    with pytest.raises(UsageError, match=r"run\.json: was trained with seed = 0, not 1"):
        train(release, tmp_path / "run", replace(CONFIG, seed=1))
    with pytest.raises(UsageError, match=r"run\.json: was trained on a release with manifest"):
        train(publish(discs(40), "discs/002"), tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(UsageError, match=r"step-000000002\.pt: was trained with lr = 0\.0002, not 0\.001"):
        train(release, tmp_path / "run", replace(CONFIG, lr=1e-3))


def test_fewer_faces_than_a_batch_make_smaller_batches(publish: Callable[..., Path], tmp_path: Path) -> None:
    """Two faces are enough to train on; the run says what it did."""
    heard: list[TrainProgress] = []

    result = train_gan(publish(discs(2)), tmp_path / "run", CONFIG, progress=heard.append)

    assert (result.batch, result.steps, result.finished) == (2, 48, True)
    assert heard[0].note == "2 faces are fewer than train.batch = 8: a step shows 2"
    assert heard[0].note in result.notes


def test_one_face_is_no_data_set(publish: Callable[..., Path], tmp_path: Path) -> None:
    """One line; no folder is made."""
    with pytest.raises(WorldError, match=r"holds 1 face\(s\), and training needs two or more"):
        train(publish(discs(1)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_losses_that_are_no_numbers_stop_the_run(release: Path, tmp_path: Path) -> None:
    """The line names the last good checkpoint; no poisoned one is written."""
    wild = replace(CONFIG, lr=1e30)
    with pytest.raises(WorldError, match="this training has gone wrong; there is no good checkpoint yet; lower train"):
        train(release, tmp_path / "none", wild)

    stopped = train(release, tmp_path / "some", steps=4)
    state = torch.load(stopped.checkpoint, weights_only=True)
    for network in ("adam_g", "adam_d"):
        state[network]["param_groups"][0]["lr"] = 1e30
    torch.save(state, stopped.checkpoint)
    with pytest.raises(WorldError, match=r"the last good checkpoint is .*step-000000004\.pt"):
        train(release, tmp_path / "some")
    assert stopped.checkpoint
    assert [path.name for path in stopped.checkpoint.parent.iterdir()] == ["step-000000004.pt"]


def test_progress_begins_at_nothing_and_ends_at_everything(release: Path, tmp_path: Path) -> None:
    """Told at the start and at every tick; kimg only grows."""
    heard: list[TrainProgress] = []

    train_gan(release, tmp_path / "run", CONFIG, progress=heard.append)

    shown = [one.kimg for one in heard]
    assert shown == sorted(shown)
    assert (heard[0].kimg, heard[0].d_loss, heard[-1].kimg) == (0, None, 0.096)
    assert all(one.total_kimg == 0.096 for one in heard)
    assert heard[-1].d_loss is not None
    assert heard[-1].img_per_s > 0


MEASURED = replace(CONFIG, condition="hair", measure=32, kimg=0.128)


def test_a_measured_run_keeps_its_best_and_shows_what_it_is_worth(labelled: Path, tmp_path: Path) -> None:
    """A row for each checkpoint, grids by label and of neighbours, precision by label, and the best one's generator."""
    result = train(labelled, tmp_path / "run", MEASURED)

    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["4", "8", "12", "16"]
    best = min(rows, key=lambda row: float(row["score"]))
    assert result.best == int(best["step"])
    assert {"rf_fid", "rf_kid", "swd", "recall", "near_copies", "accuracy", "accuracy:red"} <= set(rows[0])
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (run["state"], run["best"], run["images"], run["held_out"]) == ("finished", result.best, 50, 10)
    names = {path.name for path in (tmp_path / "run").rglob("*.*")}
    assert {"labels-000000016.png", "nearest-000000016.png", "attributes.csv", "judge.safetensors", "best.pt"} <= names
    assert result.generator
    with safe_open(result.generator, "pt") as file:
        assert json.loads(file.metadata()["kaoset"])["step"] == result.best


def test_a_measured_run_stopped_at_five_ends_like_an_undisturbed_one(labelled: Path, tmp_path: Path) -> None:
    """Measures, best and precision too; with ADA and a penalty."""
    config = replace(MEASURED, augment="ada", penalty="dragan", draw="class")
    whole = train(labelled, tmp_path / "whole", config)

    assert train(labelled, tmp_path / "cut", config, steps=5).steps == 5
    resumed = train(labelled, tmp_path / "cut", config)

    assert whole.generator
    assert resumed.generator
    assert resumed.generator.read_bytes() == whole.generator.read_bytes()
    assert pictures(tmp_path / "cut") == pictures(tmp_path / "whole")
    for name in ("attributes.csv", "judge.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert measures(tmp_path / "cut") == measures(tmp_path / "whole")


def test_a_run_can_be_stopped_while_its_judge_learns(labelled: Path, tmp_path: Path) -> None:
    """Nothing was trained yet, and the same command begins again."""
    stopped = train_gan(labelled, tmp_path / "run", MEASURED, stop=stop_after(3))

    assert (stopped.finished, stopped.steps, stopped.checkpoint) == (False, 0, None)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "stopped"
    assert "goes on" in stopped.notes[-1]
    assert train(labelled, tmp_path / "run", MEASURED).finished


def measures(run_dir: Path) -> list[dict[str, str]]:
    """What was measured, without how long it took."""
    with (run_dir / "metrics.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("network", "changes"),
    [
        ("single", {"size": 32, "blocks": 1}),
        ("jin", {"size": 32, "blocks": 1, "condition": "attributes"}),
        ("r3gan", {"blocks": 1, "width": 8}),
    ],
)
def test_every_network_can_be_left_and_come_back_to(
    network: Any, changes: dict[str, Any], publish: Callable[..., Path], labelled: Path, tmp_path: Path
) -> None:
    """The same bytes, with its own loss, penalty and rates."""
    if "size" in changes:
        np.save(labelled / "faces.npy", discs(60, 32))
    config = replace(CONFIG, network=network, kimg=0.048, **changes)
    whole = train(labelled, tmp_path / "whole", config)

    assert train(labelled, tmp_path / "cut", config, steps=3).steps == 3
    resumed = train(labelled, tmp_path / "cut", config)

    assert whole.generator
    assert resumed.generator
    assert resumed.generator.read_bytes() == whole.generator.read_bytes()


def test_a_failed_run_says_why_on_its_page(release: Path, tmp_path: Path) -> None:
    """And stops renewing itself."""
    with pytest.raises(WorldError):
        train(release, tmp_path / "run", replace(CONFIG, lr=1e30))

    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["state"] == "failed"
    assert "gone wrong" in run["why"]
    assert "gone wrong" in (tmp_path / "run" / "train.html").read_text()


def test_the_learning_rate_really_falls(release: Path, tmp_path: Path) -> None:
    """To a tenth in so many kimg, in both optimisers, from where each begins."""
    result = train(release, tmp_path / "run", replace(CONFIG, lr_tenth_kimg=0.088, lr_discriminator=8e-4))

    state = torch.load(result.checkpoint, weights_only=True)
    rates = [state[adam]["param_groups"][0]["lr"] for adam in ("adam_g", "adam_d")]
    assert rates == pytest.approx([2e-5, 8e-5])
