"""Pictures from a trained generator: by seed, by what they should show, and how each was made."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.errors import UsageError, WorldError
from pipeline.labels import rivals
from pipeline.store import write_atomically
from pipeline.train import TrainConfig, Wanted, films, pictures
from pipeline.train.checkpoints import FORMAT, best, found
from pipeline.train.faces import as_faces
from pipeline.train.networks import build
from pipeline.train.trainer import DRAWN_AT_ONCE, choose_device, repeatable

BETWEEN, BETWEEN_MS = 23, 60  # of an interpolation: pictures from one place to the next; milliseconds for each
STRIP = 8  # pictures of each way in the strip
FILM_SIDE = 256  # pixels
NOT_ONE = "is no trained generator; name the folder of a training, its generator.safetensors, or a checkpoint"


@dataclasses.dataclass(frozen=True)
class Drawer:
    """A generator that can be asked."""

    network: nn.Module
    config: TrainConfig
    labels: tuple[str, ...]  # what can be asked for
    about: Mapping[str, Any]  # release, manifest_sha256, step and sha256 of the file


def load(path: Path) -> Drawer:
    """Read a generator; of a folder the finished one, else that of the best checkpoint, else of the newest.

    Nothing in the file is ever executed.

    Raises:
        UsageError: There is no such file, or it is none of ours.
    """
    file = _file_of(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {NOT_ONE} ({error.strerror})") from error
    try:
        about, weights = _exported(file) if file.suffix == ".safetensors" else _saved(file)
        config = TrainConfig(**about["config"])
        labels = tuple(map(str, about["labels"]))
        network, _ = build(config, len(labels))
        network.load_state_dict(weights)
    except (*_BROKEN, safetensors.SafetensorError) as error:
        raise UsageError(f"{file}: {NOT_ONE}") from error
    known = {name: about[name] for name in ("release", "manifest_sha256", "step") if name in about}
    return Drawer(network.eval(), config, labels, {**known, "sha256": hashlib.sha256(data).hexdigest()})


_BROKEN = (KeyError, TypeError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError, OSError)


def _file_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    exported = path / "generator.safetensors"
    saved = [one for one in (exported, best(path), *found(path)[-1:]) if one.exists()]
    if not saved:
        raise UsageError(f"{path}: {NOT_ONE}")
    return saved[0]


def _exported(file: Path) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    with safetensors.safe_open(file, "pt") as opened:
        about = json.loads(opened.metadata()["kaoset"])
        return about, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no dict


def _saved(file: Path) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    state = torch.load(file, map_location="cpu", weights_only=True)
    if state["format"] != FORMAT:
        raise ValueError(state["format"])
    return {**state, "manifest_sha256": state["manifest"]}, state["averaged"]


def wishes_of(drawer: Drawer, wanted: Wanted) -> Tensor:
    """Turn words into numbers: (labels,), 1 wanted, -1 unwanted, 0 as it comes; who wants one colour wants no other.

    Raises:
        UsageError: The generator cannot be asked for that; the line says for what it can.
    """
    wishes = torch.zeros(len(drawer.labels))
    kind = drawer.config.condition
    asked = [(name, 1.0) for name in (*_named(kind, wanted), *wanted.having)]
    for name, value in (*asked, *((name, -1.0) for name in wanted.lacking)):
        if name not in drawer.labels:
            raise UsageError(f"{name}: this generator cannot be asked for it; {_can(drawer)}")
        if kind != "attributes" and value < 0:
            raise UsageError(f"--without {name}: this generator knows only what to draw; {_can(drawer)}")
        wishes[drawer.labels.index(name)] = value
    if kind == "attributes":  # as the faces had it that were learnt from
        words = {name for name, _ in asked}
        for name in {rival for word in words for rival in rivals(word)} - words:
            wishes[drawer.labels.index(name)] = -1.0
    elif int(wishes.sum()) > 1:
        raise UsageError(f"{', '.join(name for name, _ in asked)}: only one at a time; run once for each")
    return wishes


def _named(kind: str, wanted: Wanted) -> list[str]:
    """Give the labels that --hair, --eyes and --character mean, as this generator calls them."""
    # Where a generator knows one kind alone, its labels are plain words; what it does not know has its whole name.
    colours = (("hair", wanted.hair), ("eyes", wanted.eyes))
    named = [word if kind == part else f"{word}_{part}" for part, word in colours if word]
    return named + ([wanted.character] if wanted.character else [])


def _can(drawer: Drawer) -> str:
    if not drawer.labels:
        return "it was trained with train.condition = none"
    return f"it knows {', '.join(drawer.labels)}"


def noise_of(seeds: Sequence[int], size: int, truncation: float) -> Tensor:
    """Give the noise of each seed, (N, size): the same for a seed, whatever stands beside it.

    Args:
        seeds: 0 to 2**63 - 1.
        size: Numbers for each.
        truncation: Normal noise beyond this many standard deviations is never drawn (arXiv 1809.11096): less is more
            alike and better drawn; inf: all of it.
    """
    low = 0.5 * (1 - math.erf(truncation / math.sqrt(2))) if math.isfinite(truncation) else 0.0
    rows = []
    for seed in seeds:
        share = torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        share = (low + share * (1 - 2 * low)).clamp(1e-12, 1 - 1e-12)
        rows.append(math.sqrt(2) * torch.erfinv(2 * share - 1))
    return torch.stack(rows).float()


def generate(path: Path, wanted: Wanted, out: Path) -> list[Path]:
    """Do what `pipeline.train.generate` says."""
    drawer = load(path)
    wishes = wishes_of(drawer, wanted)
    device = choose_device(wanted.device)
    with repeatable(None):
        network = drawer.network.to(device)
        seeds = [wanted.seed + number for number in range(wanted.count)]
        noise = noise_of(seeds, drawer.config.z or 0, wanted.truncation)
        if wanted.interpolate:
            return _interpolate(network, drawer, wanted, noise, wishes, out)
        faces = _drawn(network, noise, wishes)
    made = [_made(drawer, wanted, wishes, seed) for seed in seeds]
    if wanted.layout == "files":
        files = [out / f"{seed:06d}.png" for seed in seeds]
        for file, face in zip(files, faces, strict=True):
            pictures.save_png(file, face)
        told = [{**one, "file": file.name} for one, file in zip(made, files, strict=True)]
    else:
        files = [out / "grid.png"]
        columns = wanted.columns or max(1, math.ceil(math.sqrt(wanted.count)))
        pictures.save_png(files[0], pictures.sheet(faces, columns))
        told = [
            {**one, "file": files[0].name, "row": at // columns, "column": at % columns} for at, one in enumerate(made)
        ]
    return [*files, _tell(out, drawer, told)]


def _drawn(network: nn.Module, noise_NZ: Tensor, wishes_L: Tensor) -> NDArray[Any]:
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode():
        for part in torch.split(noise_NZ, DRAWN_AT_ONCE):
            wishes = wishes_L.expand(len(part), -1).to(device)
            parts.append(as_faces(network(part.to(device), wishes)).cpu())
    return torch.cat(parts).numpy()


def _interpolate(
    network: nn.Module, drawer: Drawer, wanted: Wanted, noise: Tensor, wishes: Tensor, out: Path
) -> list[Path]:
    faces = _drawn(network, films.path(noise, BETWEEN), wishes)
    strips = faces[:: (BETWEEN + 1) // STRIP]
    files = [out / "interpolation.png", out / "interpolation.gif"]
    pictures.save_png(files[0], pictures.sheet(strips, STRIP))
    frames = [films.fitted(one, FILM_SIDE) for one in faces]
    films.write_gif(files[1], frames, BETWEEN_MS, BETWEEN_MS)
    if films.write_mp4(out / "interpolation.mp4", frames, 1000 // BETWEEN_MS):
        files.append(out / "interpolation.mp4")
    made = [
        {**_made(drawer, wanted, wishes, wanted.seed + at), "frame": at * (BETWEEN + 1)} for at in range(wanted.count)
    ]
    return [*files, _tell(out, drawer, made)]


def _made(drawer: Drawer, wanted: Wanted, wishes: Tensor, seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "with": [name for name, wish in zip(drawer.labels, wishes.tolist(), strict=True) if wish > 0],
        "without": [name for name, wish in zip(drawer.labels, wishes.tolist(), strict=True) if wish < 0],
        "truncation": wanted.truncation if math.isfinite(wanted.truncation) else None,
    }


def _tell(out: Path, drawer: Drawer, made: Sequence[Mapping[str, Any]]) -> Path:
    told = {"generator": dict(drawer.about), "network": drawer.config.network, "size": drawer.config.size}
    path = out / "made.json"
    try:
        write_atomically(path, (json.dumps({**told, "pictures": list(made)}, indent=2) + "\n").encode())
    except OSError as error:
        raise WorldError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error
    return path
