"""One step after another: learning, averaging, and going on from a state as if nothing had been."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from discs import discs

from pipeline.errors import WorldError
from pipeline.train import TrainConfig
from pipeline.train.faces import Resident
from pipeline.train.trainer import Trainer, choose_device, choose_precision, repeatable

CPU = torch.device("cpu")
SMALL = TrainConfig(size=16, width=8, z=8, batch=8, device="cpu", mirror=True)


def trainer(config: TrainConfig = SMALL, faces: Any = None, precision: str = "fp32") -> Trainer:
    faces = discs(20) if faces is None else faces
    labels = torch.eye(3)[torch.arange(len(faces)) % 3] if config.condition != "none" else torch.zeros(len(faces), 0)
    return Trainer(config.settled(), Resident(torch.from_numpy(faces)), labels, config.batch, precision)


def same(one: object, other: object) -> bool:
    """Say whether two states are equal to the last bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_cut_at_five_ends_at_twelve_as_if_never_cut(precision: str) -> None:
    """Networks, average, moments, chance and order are equal to the last bit."""
    whole, first = trainer(precision=precision), trainer(precision=precision)
    for _ in range(12):
        whole.step()
    for _ in range(5):
        first.step()
    state = copy.deepcopy(first.state())

    second = trainer(precision=precision)
    second.restore(state)
    for _ in range(7):
        second.step()

    assert same(second.state(), whole.state())


def test_a_state_can_be_used_again() -> None:
    """An optimiser keeps the tensors that it is given; going on must not change the state in the caller's hands."""
    first = trainer()
    first.step()
    state = copy.deepcopy(first.state())
    kept = copy.deepcopy(state)

    second = trainer()
    second.restore(state)
    second.step()

    assert same(state, kept)


def test_the_seed_decides_the_run() -> None:
    """The same seed gives the same run, another seed another."""
    one, again, other = trainer(), trainer(), trainer(TrainConfig(**{**vars(SMALL), "seed": 1}))
    for each in (one, again, other):
        each.step()

    assert same(one.state(), again.state())
    assert not same(one.state(), other.state())


def test_fixed_pictures_come_from_fixed_noise_and_random_ones_do_not() -> None:
    """Drawing them changes nothing in the run."""
    run = trainer()
    run.step()
    before = copy.deepcopy(run.state())

    assert torch.equal(run.fixed(4), run.fixed(4))
    assert torch.equal(run.random(4), run.random(4))
    assert not torch.equal(run.fixed(4), run.random(4))
    assert same(run.state(), before)


def test_what_no_face_has_together_is_not_asked_for_together() -> None:
    """Others are asked for as faces have them, but never two colours at once, of which one is as false as faces say."""
    labels = torch.tensor([[1, -1, -1], [1, -1, 1], [-1, 1, -1], [-1, 1, 1]])[torch.arange(20) % 4]
    faces = Resident(torch.from_numpy(discs(20)))
    run = Trainer(TrainConfig(**{**vars(SMALL), "condition": "attributes"}).settled(), faces, labels, 8, "fp32")

    wishes = run.asking(0, 40, "a test")

    assert wishes[:, :2].unique(dim=0).tolist() == [[1, -1]]
    assert wishes[:, 2].unique().tolist() == [-1, 1]


def test_of_a_class_only_one_is_asked_for() -> None:
    """The others are as if nobody had named them."""
    run = trainer(TrainConfig(**{**vars(SMALL), "condition": "hair"}))

    assert run.asking(1, 5, "a test").unique(dim=0).tolist() == [[0, 1, 0]]


def test_the_average_follows_by_its_half_life_and_copies_what_is_counted() -> None:
    """After one half-life without ramp, the average stands half-way; statistics of batch normalisation are copied."""
    run = trainer(TrainConfig(**{**vars(SMALL), "ema_kimg": SMALL.batch / 1000}))
    run.steps = 10_000  # far beyond the ramp
    before = run.averaged.project.weight.clone()  # type: ignore[union-attr, operator]

    run.step()

    live = run.generator.project.weight  # type: ignore[union-attr]
    torch.testing.assert_close(run.averaged.project.weight, (before + live) / 2)  # type: ignore[union-attr, operator]
    for slow, fast in zip(run.averaged.buffers(), run.generator.buffers(), strict=True):
        assert torch.equal(slow, fast)


def test_both_losses_move_and_stay_numbers() -> None:
    """A discriminator that knows nothing pays 1.386; after a few steps it pays less."""
    run = trainer(TrainConfig(**{**vars(SMALL), "lr": 1e-3}))
    readings = []
    for _ in range(3):
        for _ in range(10):
            run.step()
        readings.append(run.losses())
        run.tick()

    first, _, last = [reading for reading in readings if reading]
    assert last.d_loss < first.d_loss
    assert last.g_loss != first.g_loss
    assert np.isfinite(last).all()


def test_it_learns_the_colours_of_the_pictures() -> None:
    """From red and blue pictures it learns to draw red and blue ones, about as many of each, and nothing green."""
    red, blue = (210, 30, 40), (20, 40, 220)
    faces = np.array([red, blue] * 32, np.uint8)[:, None, None, :].repeat(16, 1).repeat(16, 2)
    config = TrainConfig(**{**vars(SMALL), "batch": 32, "width": 32, "ema_kimg": 0.5, "lr": 1e-3})
    run = trainer(config, faces)
    mean = torch.tensor([115.0, 35.0, 130.0])
    before = (colours(run).mean(0) - mean).abs().max()  # grey: 92 from it

    for _ in range(250):
        run.step()

    drawn = colours(run)
    assert (drawn.mean(0) - mean).abs().max() < before / 2
    assert (drawn[:, 0] - drawn[:, 2]).abs().mean() > 60  # each picture is red or blue, none is purple
    assert (drawn[:, 0] > drawn[:, 2]).float().mean().item() == pytest.approx(0.5, abs=0.35)


def colours(run: Trainer) -> torch.Tensor:
    """Mean colour of each of 64 pictures drawn, 0 to 255."""
    return (run.random(64).mean((2, 3)) + 1) * 127.5


def test_precision_and_threads_are_chosen_by_the_machine_and_set_back() -> None:
    """What was asked for is taken; auto is one of the two; the caller's threads come back."""
    before = torch.get_num_threads()
    with repeatable(1):
        assert torch.get_num_threads() == 1

    assert torch.get_num_threads() == before
    assert choose_precision("fp32", CPU) == "fp32"
    assert choose_precision("auto", CPU) in {"fp32", "bf16"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_one_line() -> None:
    """Asked for by name it is an error; auto takes the CPU."""
    with pytest.raises(WorldError, match=r"train\.device = cuda: PyTorch .* sees no GPU; choose auto or cpu"):
        choose_device("cuda")
    assert choose_device("auto") == CPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_same_seed_gives_the_same_run_on_a_gpu() -> None:
    """To the last bit, in bf16, where the faces lie on the GPU; a run cut in the middle too."""
    config = TrainConfig(size=64, width=64, batch=64)
    faces = torch.from_numpy(discs(200, side=64)).cuda()
    with repeatable(None):
        one, again = (Trainer(config, faces, 64, "bf16") for _ in range(2))
        for _ in range(12):
            one.step()
        for _ in range(5):
            again.step()
        resumed = Trainer(config, faces, 64, "bf16")
        resumed.restore(copy.deepcopy(again.state()))
        for _ in range(7):
            resumed.step()

    assert same(resumed.state(), one.state())
