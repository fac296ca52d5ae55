"""What a trained generator can be asked for, and that the same question has the same answer."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.errors import UsageError
from pipeline.labels import HAIR
from pipeline.train import TrainConfig, Wanted, generate, train_gan
from pipeline.train.generate import noise_of


def trained(release: Path, run_dir: Path, **changes: Any) -> Path:
    fields = {"size": 16, "width": 8, "z": 8, "batch": 8, "kimg": 0.016, "device": "cpu", "measure": 0, **changes}
    train_gan(release, run_dir, TrainConfig(**fields))
    return run_dir


def pixels(path: Path) -> Any:
    return np.asarray(Image.open(path))


def test_a_picture_depends_on_its_seed_alone(labelled: Path, tmp_path: Path) -> None:
    """Not on how many stand beside it."""
    run = trained(labelled, tmp_path / "run")

    many = generate(run, Wanted(count=5, seed=3, layout="files"), tmp_path / "many")
    one = generate(run, Wanted(count=1, seed=5, layout="files"), tmp_path / "one")

    assert [path.name for path in many] == [
        "000003.png",
        "000004.png",
        "000005.png",
        "000006.png",
        "000007.png",
        "made.json",
    ]
    assert np.abs(pixels(many[2]).astype(int) - pixels(one[0])).max() <= 1  # sums of other lengths round otherwise


def test_made_json_says_how_each_was_made(labelled: Path, tmp_path: Path) -> None:
    """Release, step, file of weights; seed, labels and place of each."""
    run = trained(labelled, tmp_path / "run", condition="hair")

    generate(run, Wanted(count=5, seed=7, hair="red", truncation=0.7, columns=3), tmp_path / "out")

    told = json.loads((tmp_path / "out" / "made.json").read_text())
    assert (told["generator"]["release"], told["generator"]["step"], told["size"]) == ("coloured/001", 2, 16)
    assert told["pictures"][4] == {
        "seed": 11,
        "with": ["red"],
        "without": [],
        "truncation": 0.7,
        "file": "grid.png",
        "row": 1,
        "column": 1,
    }
    assert Image.open(tmp_path / "out" / "grid.png").size == (3 * 18 - 2, 2 * 18 - 2)


def test_what_is_asked_for_changes_the_picture(labelled: Path, tmp_path: Path) -> None:
    """Red is not blue, from the same noise."""
    run = trained(labelled, tmp_path / "run", condition="hair")

    red, blue = (
        generate(run, Wanted(count=1, hair=hair, layout="files"), tmp_path / hair)[0] for hair in ("red", "blue")
    )

    assert not np.array_equal(pixels(red), pixels(blue))


@pytest.mark.parametrize(
    ("condition", "wanted", "line"),
    [
        ("none", {"hair": "green"}, "green_hair: .* it was trained with train.condition = none"),
        ("hair", {"hair": "greem"}, "greem: .* it knows blonde, brown, black"),
        ("hair", {"eyes": "blue"}, "blue_eyes: .* it knows blonde"),
        ("hair", {"having": ("red", "blue")}, "red, blue: only one at a time"),
        ("hair", {"lacking": ("red",)}, "--without red: this generator knows only what to draw"),
        ("attributes", {"having": ("smile", "moustache")}, "moustache: .* it knows blonde_hair"),
    ],
)
def test_what_it_cannot_draw_it_says(
    labelled: Path, tmp_path: Path, condition: str, wanted: dict[str, Any], line: str
) -> None:
    """And for what it can be asked."""
    run = trained(labelled, tmp_path / "run", condition=condition)

    with pytest.raises(UsageError, match=line):
        generate(run, Wanted(**wanted), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_attribute_can_be_wanted_and_unwanted(labelled: Path, tmp_path: Path) -> None:
    """Several at once; --hair is short for one of them, and means no other colour."""
    run = trained(labelled, tmp_path / "run", condition="attributes")

    generate(run, Wanted(count=1, hair="red", having=("smile",), lacking=("hat",)), tmp_path / "out")

    (made,) = json.loads((tmp_path / "out" / "made.json").read_text())["pictures"]
    others = [f"{colour}_hair" for colour in HAIR if colour != "red"]
    assert (made["with"], made["without"]) == (["red_hair", "smile"], [*others, "hat"])


def test_a_checkpoint_will_do(labelled: Path, tmp_path: Path) -> None:
    """Of a training that goes on still, or by its own path."""
    run = trained(labelled, tmp_path / "run")
    whole = generate(run, Wanted(count=4), tmp_path / "whole")[0].read_bytes()
    (run / "generator.safetensors").unlink()

    assert generate(run, Wanted(count=4), tmp_path / "folder")[0].read_bytes() == whole
    (checkpoint,) = run.glob("checkpoints/step-*.pt")
    assert generate(checkpoint, Wanted(count=4), tmp_path / "file")[0].read_bytes() == whole


@pytest.mark.parametrize("name", ["generator.safetensors", "step.pt", "picture.png"])
def test_what_is_no_generator_is_named(tmp_path: Path, name: str) -> None:
    """In one line, whatever is inside."""
    (tmp_path / name).write_bytes(b"no generator at all")

    for path in (tmp_path / name, tmp_path / "missing", tmp_path / "missing.pt"):
        with pytest.raises(UsageError, match="is no trained generator; name the folder of a training"):
            generate(path, Wanted(), tmp_path / "out")


def test_a_checkpoint_executes_nothing(labelled: Path, tmp_path: Path) -> None:
    """A pickle that would call something is refused."""
    torch.save({"format": 2, "config": Path("/")}, tmp_path / "bad.pt")

    with pytest.raises(UsageError, match="is no trained generator"):
        generate(tmp_path / "bad.pt", Wanted(), tmp_path / "out")


def test_truncated_noise_never_goes_beyond(tmp_path: Path) -> None:
    """And whole noise is normal."""
    cut, whole = (noise_of(range(40), 100, limit) for limit in (0.7, math.inf))

    assert cut.abs().max() <= 0.7 + 1e-5
    assert whole.std().item() == pytest.approx(1, abs=0.05)
    assert whole.abs().max() > 2.5


def test_an_interpolation_is_a_strip_and_a_film(labelled: Path, tmp_path: Path) -> None:
    """Round through each place and back to the first."""
    run = trained(labelled, tmp_path / "run")

    written = generate(run, Wanted(count=3, interpolate=True), tmp_path / "out")

    assert [path.name for path in written][:2] == ["interpolation.png", "interpolation.gif"]
    assert written[-1].name == "made.json"
    assert Image.open(written[0]).size == (8 * 18 - 2, 3 * 18 - 2)
    assert [made["frame"] for made in json.loads(written[-1].read_text())["pictures"]] == [0, 24, 48]


@pytest.mark.parametrize(("field", "value"), [("count", 0), ("seed", -1), ("truncation", 0), ("columns", 0)])
def test_what_cannot_be_drawn_is_refused(field: str, value: int) -> None:
    """By the option's name."""
    with pytest.raises(UsageError, match=f"--{field} {value}: cannot be drawn"):
        Wanted(**{field: value})  # type: ignore[arg-type]
