"""A training of a face network: sheets made ahead, steps, a mean of the weights, and a file at the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from pipeline.errors import WorldError
from pipeline.train.detector import INPUT_SIDE, DetectorConfig, Progress, Weights
from pipeline.train.detector_loss import loss
from pipeline.train.detector_net import FaceNet, cells, flat
from pipeline.train.onnx_file import restored, to_onnx
from pipeline.train.sheets import Coloured, sheet
from pipeline.train.trainer import choose_precision, repeatable

TELL_EVERY_S = 0.5
_AHEAD = 4  # batches that are made while the network learns
_LARGE, _LARGER = 0.3, 1.6  # share of the batches with large sheets, and how many times as large
_GRID = 32  # pixels; sides of sheets are multiples of it
_WARM = 0.04  # share of the steps in which the learning rate grows
_LAST = 0.02  # of the highest learning rate, at the end
_KEEP = 0.998  # of the mean weights at each step, at most
_DECAY = 0.03  # of weights, in parts of the learning rate
_MOST = 10.0  # length of a gradient


@dataclass(frozen=True, slots=True)
class _Batch:
    pictures: Tensor  # NCHW, uint8
    faces: list[Tensor]
    ignored: list[Tensor]


def run(
    pictures: Sequence[Coloured],
    config: DetectorConfig,
    progress: Callable[[Progress], None],
    stop: Callable[[], bool],
    start: bytes | None,
    made: str,
) -> Weights:
    """Do what `pipeline.train.detector.train` says."""
    with repeatable(config.threads):
        torch.manual_seed(config.seed)
        network = FaceNet(config.width) if start is None else restored(start, config.width)
        mean, steps = _trained(network, pictures, config, progress, stop)
        return Weights(to_onnx(mean, INPUT_SIDE, made), steps, torch.__version__)


def _trained(
    network: FaceNet,
    pictures: Sequence[Coloured],
    config: DetectorConfig,
    progress: Callable[[Progress], None],
    stop: Callable[[], bool],
) -> tuple[FaceNet, int]:
    with_bf16 = choose_precision(config.precision, torch.device("cpu")) == "bf16"
    adam = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=_DECAY)
    mean = AveragedModel(network, avg_fn=_averaged, use_buffers=True)
    losses: list[float] = []
    told = time.perf_counter()
    step = 0
    for step, batch in enumerate(_batches(pictures, config), start=1):
        for group in adam.param_groups:
            group["lr"] = config.lr * _pace(step, config.steps)
        given = batch.pictures.float() / 255
        middles, strides = cells(*given.shape[2:])
        network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=with_bf16):
            raw = flat(network(given))
        wrong = loss(raw.float(), middles, strides, batch.faces, batch.ignored)
        adam.zero_grad()
        wrong.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), _MOST)
        adam.step()
        mean.update_parameters(network)
        losses.append(float(wrong.detach()))
        if not math.isfinite(losses[-1]):
            raise WorldError(f"step {step}: the loss is {losses[-1]}: this training has gone wrong; lower lr")
        stopping = stop()
        if stopping or step == config.steps or time.perf_counter() - told > TELL_EVERY_S:
            progress(Progress(step, config.steps, sum(losses) / len(losses)))
            losses, told = [], time.perf_counter()
        if stopping:
            break
    network.load_state_dict(mean.module.state_dict())
    return network.eval(), step


def _averaged(mean: Tensor, now: Tensor, count: Tensor | int) -> Tensor:
    """Move a mean a little: by much at first, when all that it holds is chance."""
    keep = min(_KEEP, (1 + int(count)) / (10 + int(count)))
    return mean + (1 - keep) * (now - mean)


def _pace(step: int, steps: int) -> float:
    """Give the share of the learning rate: it grows at first, then falls as a cosine does."""
    warm = max(1, round(_WARM * steps))
    if step <= warm:
        return step / warm
    way = (step - warm) / max(1, steps - warm)
    return _LAST + (1 - _LAST) * (1 + math.cos(math.pi * way)) / 2


def _batches(pictures: Sequence[Coloured], config: DetectorConfig) -> Iterator[_Batch]:
    """Make the batches of all steps, a few ahead; each by chance of its own, so that threads change nothing."""
    with ThreadPoolExecutor(max_workers=1) as maker:
        waiting: list[Future[_Batch]] = []
        try:
            for step in range(config.steps + _AHEAD):
                if step < config.steps:
                    waiting.append(maker.submit(_batch, pictures, config, step))
                if step >= _AHEAD:
                    yield waiting.pop(0).result()
        finally:
            for one in waiting:
                one.cancel()


def _batch(pictures: Sequence[Coloured], config: DetectorConfig, step: int) -> _Batch:
    chance = np.random.default_rng((config.seed, step))
    side, count = config.side, config.batch
    if chance.random() < _LARGE:
        side = round(side * _LARGER / _GRID) * _GRID
        count = max(2, round(count / _LARGER))
    sheets = [sheet(pictures, side, chance) for _ in range(count)]
    return _Batch(
        torch.from_numpy(np.stack([one.pixels_HWC.transpose(2, 0, 1) for one in sheets])),
        [torch.from_numpy(one.faces) for one in sheets],
        [torch.from_numpy(one.ignored) for one in sheets],
    )
