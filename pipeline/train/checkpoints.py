"""How a run survives: its whole state in one file, the last few kept, and no mixing of two runs in one folder."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from pipeline.errors import UsageError, WorldError
from pipeline.store import write_atomically
from pipeline.train import FREE, TrainConfig

BEST = "best.pt"
FORMAT = 2  # raised when an older checkpoint can no longer be read


def save(run_dir: Path, step: int, state: Mapping[str, Any], keep_last: int, *, best: bool = False) -> Path:
    """Write *state* as the checkpoint of *step*, all or nothing, and forget all but the last *keep_last*.

    The *best* is written a second time, under a name of its own, and outlives the others.

    Raises:
        StoreError: The disk is full, or the folder cannot be written; the checkpoints before stay.
    """
    data = io.BytesIO()
    torch.save({"format": FORMAT, **state}, data)
    path = run_dir / "checkpoints" / f"step-{step:09d}.pt"
    if best:  # first: whoever is killed between the two comes to this step, and here, again
        write_atomically(run_dir / "checkpoints" / BEST, data.getvalue())
    write_atomically(path, data.getvalue())
    for old in found(run_dir)[:-keep_last]:
        old.unlink()
    return path


def found(run_dir: Path) -> list[Path]:
    """List the checkpoints of a run, oldest first."""
    return sorted((run_dir / "checkpoints").glob("step-*.pt"))


def best(run_dir: Path) -> Path:
    """Name the checkpoint that was measured to be the best; it need not be there."""
    return run_dir / "checkpoints" / BEST


def step_of(path: Path) -> int:
    """Read off its name after which step a checkpoint was written."""
    return int(path.stem.removeprefix("step-"))


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint into main memory; nothing in the file is ever executed.

    Raises:
        WorldError: The file is damaged, or of another version.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WorldError(f"{path}: is no whole checkpoint; delete it to go on from the one before") from error
    if state.get("format") != FORMAT:
        raise WorldError(f"{path}: was written by another version of kaoset; train into another folder")
    return state


def finite(state: object) -> bool:
    """Say whether all numbers of a state are numbers: a poisoned network must not become the last good checkpoint."""
    return all(bool(torch.isfinite(one).all()) for one in _floats(state))


def _floats(state: object) -> Iterator[Tensor]:
    match state:
        case Tensor() if state.is_floating_point():
            yield state
        case Mapping():
            for value in state.values():
                yield from _floats(value)
        case list() | tuple():
            for value in state:
                yield from _floats(value)


def refuse_other(where: Path, config: Mapping[str, Any], manifest: str, mine: TrainConfig, my_manifest: str) -> None:
    """Refuse to go on with a run that was made otherwise.

    Args:
        where: The file that says how the run was made.
        config: Its configuration, as plain values.
        manifest: The SHA-256 of its release's manifest.
        mine: The configuration asked for now.
        my_manifest: The SHA-256 of the manifest of the release named now.

    Raises:
        UsageError: A field that shapes what is learned differs, or the release does.
    """
    if manifest != my_manifest:
        raise UsageError(
            f"{where}: was trained on a release with manifest {manifest[:12]}, not {my_manifest[:12]};"
            " name that release, or train into another folder"
        )
    for name, value in dataclasses.asdict(mine).items():
        if name not in FREE and config.get(name) != value:
            raise UsageError(
                f"{where}: was trained with {name} = {config.get(name)}, not {value};"
                " go on with that, or train into another folder"
            )


def export(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write weights as safetensors, all or nothing, with *about* inside, as JSON under the key `kaoset`.

    One key and no more: safetensors writes several in an order of chance, and the same run must give the same bytes.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    write_atomically(path, safetensors.torch.save(tensors, {"kaoset": json.dumps(about)}))


def sweep(run_dir: Path) -> None:
    """Remove what a killed run had begun to write and never moved to its place."""
    for begun in (*run_dir.glob(".new-*"), *run_dir.glob("*/.new-*")):
        begun.unlink(missing_ok=True)
