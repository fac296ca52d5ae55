"""Who says whether a drawn face shows what was asked for: a small network taught on the same release."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.shares import Share
from pipeline.store import write_atomically
from pipeline.train.conditions import Conditions
from pipeline.train.faces import Faces, as_pictures
from pipeline.train.losses import labels_loss

WIDTH = 32  # channels of the first layer
BATCH = 64
SHOWN = 48_000  # pictures in a whole lesson; two minutes of a laptop's core at 64 px
RATE = 2e-3  # highest learning rate of the cycle
FEWEST = 5  # held-out faces with a label, below which nothing is said of it


class Classifier(nn.Module):
    """Four strided convolutions and a linear layer over a 2x2 grid: pictures (N, 3, H, W) become logits (N, labels)."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        channels = [3, WIDTH, 2 * WIDTH, 4 * WIDTH, 4 * WIDTH]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(channels):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.judge = nn.Linear(4 * channels[-1], labels)

    def forward(self, pictures_NCHW: Tensor) -> Tensor:
        """Judge."""
        features = functional.adaptive_avg_pool2d(self.layers(pictures_NCHW), 2).flatten(1)
        logits: Tensor = self.judge(functional.dropout(features, 0.2, self.training))
        return logits


@dataclass(frozen=True)
class Judge:
    """A network that has learnt, and how far it can be trusted."""

    network: Classifier
    names: tuple[str, ...]
    exclusive: bool  # at most one of the names is true
    held_out: Mapping[str, Share]  # by name: how often it is right on faces that it has not seen; those it can judge

    @property
    def accuracy(self) -> Share:
        """Say how often it is right on held-out faces, over all names."""
        rates = self.held_out.values()
        return Share(sum(one.part for one in rates), sum(one.whole for one in rates))

    @torch.inference_mode()
    def says(self, faces_NHWC: Tensor) -> Tensor:
        """Say what faces show: uint8 (N, H, W, 3) become bool (N, names)."""
        parts = [self.network(as_pictures(part)) for part in torch.split(faces_NHWC, 512)]
        logits_NL = torch.cat(parts)
        if not self.exclusive:
            return logits_NL > 0
        return functional.one_hot(logits_NL.argmax(1), len(self.names)).bool()

    def agrees(self, faces_NHWC: Tensor, wishes_NL: Tensor) -> dict[str, Share]:
        """Count, by name, how many of those that were asked for it show it."""
        said_NL, asked_NL = self.says(faces_NHWC), wishes_NL.to(faces_NHWC.device) == 1
        right, of = (said_NL & asked_NL).sum(0).tolist(), asked_NL.sum(0).tolist()
        return {name: Share(right[at], of[at]) for at, name in enumerate(self.names) if of[at]}


def learn(
    faces: Faces,
    shows: Conditions,
    held_out: Faces,
    held_out_shows: Conditions,
    *,
    seed: int,
    shown: int = SHOWN,
    stop: Callable[[], bool] = lambda: False,
) -> Judge | None:
    """Teach a network what the faces of a release show; gives None when it was stopped.

    Every label is shown about as often as any other. The same seed on the same device gives the same network.

    Args:
        faces: What is learnt from.
        shows: What they show.
        held_out: What it is tried on.
        held_out_shows: What these show.
        seed: Of weights, order and changes.
        shown: Pictures in the whole lesson.
        stop: Asked before each step whether to break off.
    """
    device = faces.device
    labels_NL = torch.from_numpy(shows.values).to(device, torch.float32)
    known = (labels_NL != 0).any(1).nonzero().squeeze(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(len(shows.names)).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        steps = max(1, shown // BATCH)
        if len(known) and not _teach(network, faces, known, labels_NL, shows.exclusive, steps, stop):
            return None
    network.eval().requires_grad_(requires_grad=False)
    judge = Judge(network, shows.names, shows.exclusive, {})
    return Judge(network, shows.names, shows.exclusive, _tried(judge, held_out, held_out_shows))


def _teach(
    network: Classifier,
    faces: Faces,
    known: Tensor,
    labels_NL: Tensor,
    exclusive: bool,  # noqa: FBT001 - one of many, and of this file
    steps: int,
    stop: Callable[[], bool],
) -> bool:
    """Say whether the lesson came to its end."""
    adam = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-3)
    cycle = torch.optim.lr_scheduler.OneCycleLR(adam, RATE, total_steps=steps + 1)
    often = 1 / (labels_NL[known] == 1).sum(0).clamp(min=1)
    weights = ((labels_NL[known] == 1) * often).sum(1).clamp(min=float(often.min()))
    edges = weights.double().cumsum(0).cpu()
    network.train()
    for _ in range(steps):
        if stop():
            return False
        darts = torch.rand(BATCH, dtype=torch.float64) * edges[-1]
        chosen = known[torch.searchsorted(edges, darts).clamp(max=len(known) - 1).to(known.device)]
        pictures = as_pictures(faces.take(chosen))
        pictures = torch.where((torch.rand(BATCH, 1, 1, 1) < 0.5).to(pictures.device), pictures.flip(3), pictures)
        logits, wanted = network(pictures), labels_NL[chosen]
        loss = functional.cross_entropy(logits, wanted.argmax(1)) if exclusive else labels_loss(logits, wanted)
        adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        cycle.step()
    return True


def _tried(judge: Judge, held_out: Faces, shows: Conditions) -> dict[str, Share]:
    """Try each label on held-out faces of which it is known; what is known of too few, or only true, is left out."""
    if not len(held_out):
        return {}
    places = torch.arange(len(held_out), device=held_out.device)
    said_NL = torch.cat([judge.says(held_out.take(part)) for part in torch.split(places, 512)])
    truth_NL = torch.from_numpy(shows.values).to(said_NL.device)
    if judge.exclusive:  # a known class says that all the others are false
        known_NL = truth_NL == 1
    else:
        both = (truth_NL == 1).any(0) & (truth_NL == -1).any(0)
        known_NL = (truth_NL != 0) & both
    right = ((said_NL == (truth_NL == 1)) & known_NL).sum(0).tolist()
    of = known_NL.sum(0).tolist()
    return {name: Share(right[at], of[at]) for at, name in enumerate(judge.names) if of[at] >= FEWEST}


def save(path: Path, judge: Judge) -> None:
    """Write a judge as safetensors, all or nothing, so that a run that goes on has the same one."""
    rates = ",".join(f"{name}:{rate.part}:{rate.whole}" for name, rate in judge.held_out.items())
    about = "\n".join(["exclusive" if judge.exclusive else "several", "\t".join(judge.names), rates])
    tensors = {name: tensor.cpu().contiguous() for name, tensor in judge.network.state_dict().items()}
    write_atomically(path, safetensors.torch.save(tensors, {"judge": about}))


def read(path: Path, device: torch.device) -> Judge | None:
    """Read a judge back; None where there is no whole one."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            kind, names, rates = file.metadata()["judge"].split("\n")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
        return None
    network = Classifier(len(names.split("\t"))).eval().requires_grad_(requires_grad=False)
    network.load_state_dict(tensors)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    told = (one.rsplit(":", 2) for one in rates.split(",") if one)
    held_out = {name: Share(int(right), int(of)) for name, right, of in told}
    return Judge(network, tuple(names.split("\t")), kind == "exclusive", held_out)


def write_precision(path: Path, asked: Sequence[Mapping[str, Share]], judge: Judge) -> None:
    """Write how often what was asked for is seen, label by label, and how far the judge is to be trusted.

    Args:
        path: Of the CSV.
        asked: What came out, by label; once for each number of pictures that were asked for.
        judge: Who said so.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("attribute", "asked", "right", "precision", "low", "high", "judge_accuracy", "held_out"))
    for rates in asked:
        for name, rate in rates.items():
            low, high = rate.interval or (0.0, 1.0)
            trusted = judge.held_out.get(name)
            known = (f"{trusted.value:.4f}", trusted.whole) if trusted else ("", 0)
            table.writerow((name, rate.whole, rate.part, f"{rate.value:.4f}", f"{low:.4f}", f"{high:.4f}", *known))
    write_atomically(path, text.getvalue().encode())
