"""A training as a folder: begin or go on, tick, keep checkpoints, stop when asked, and leave a generator behind."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import WorldError
from pipeline.store import write_atomically
from pipeline.train import TrainConfig, TrainProgress, TrainResult, checkpoints, pictures
from pipeline.train.faces import manifest_sha256, open_faces, to_device
from pipeline.train.networks import weights
from pipeline.train.trainer import Trainer, choose_device, choose_precision, repeatable

FIXED, RANDOM, REALS = 16, 32, 32  # pictures in a grid; the first two as the Chitanda document had them
TELL_EVERY_S = 0.5  # reading the losses makes a GPU wait: seldom enough to cost nothing


def train(
    release: Path,
    run_dir: Path,
    config: TrainConfig,
    *,
    progress: Callable[[TrainProgress], None],
    stop: Callable[[], bool],
) -> TrainResult:
    """Do what `pipeline.train.train_gan` says."""
    with repeatable(config.threads):
        try:
            return _Run(release, run_dir, config).go(progress, stop)
        except torch.OutOfMemoryError as error:
            raise WorldError(
                f"{run_dir}: the GPU's memory does not hold this training; lower train.batch, width or size,"
                " or choose train.device = cpu"
            ) from error


class _Run:
    """One call of `train`: the folder, what lies in it, and what is done to it."""

    def __init__(self, release: Path, run_dir: Path, config: TrainConfig) -> None:
        self.release = release
        self.run_dir = run_dir
        self.config = config
        self.manifest = manifest_sha256(release)
        self.faces_NHWC = open_faces(release)
        self.batch = min(config.batch, len(self.faces_NHWC))
        self.total_steps = max(1, math.ceil(config.kimg * 1000 / self.batch))
        self.device = choose_device(config.device)
        self.precision = choose_precision(config.precision, self.device)
        self.notes: list[str] = []
        self.rows: list[pictures.LossRow] = []
        self.seconds = 0.0  # of training steps, before this call
        self.first_step = 0  # where this call began
        self.spent = 0.0  # seconds of training steps in this call, up to `since`
        self.since = 0.0

    @property
    def exported(self) -> Path:
        return self.run_dir / "generator.safetensors"

    def go(self, progress: Callable[[TrainProgress], None], stop: Callable[[], bool]) -> TrainResult:
        self._refuse_other()
        checkpoints.sweep(self.run_dir)
        done = max(map(checkpoints.step_of, checkpoints.found(self.run_dir)), default=0)
        if done >= self.total_steps and self.exported.exists():
            return self._nothing_to_do(done)
        if self.batch < self.config.batch:
            self.notes.append(
                f"{self.batch} faces are fewer than train.batch = {self.config.batch}: a step shows {self.batch}"
            )
        trainer = Trainer(
            self.config, to_device(self.faces_NHWC, self.config.size, self.device), self.batch, self.precision
        )
        self._begin(trainer)
        progress(self._progress(trainer, note="; ".join(self.notes)))
        self._train(trainer, progress, stop)
        if trainer.steps >= self.total_steps:
            self._export(trainer)
        return self._result(trainer.steps)

    def _refuse_other(self) -> None:
        path = self.run_dir / "run.json"
        if not path.exists():
            return
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WorldError(f"{path}: cannot be read; delete it, or train into another folder") from error
        checkpoints.refuse_other(path, run["config"], run["manifest_sha256"], self.config, self.manifest)

    def _begin(self, trainer: Trainer) -> None:
        saved = checkpoints.found(self.run_dir)
        if saved:
            state = checkpoints.load(saved[-1])
            checkpoints.refuse_other(saved[-1], state["config"], state["manifest"], self.config, self.manifest)
            trainer.restore(state)
            self.seconds = state["seconds"]
            self.notes.append(f"going on after step {trainer.steps} of {self.total_steps}")
        self.first_step = trainer.steps
        self.rows = pictures.read_losses(self.run_dir / "losses.csv", trainer.steps)
        self._describe(trainer)
        reals = self.run_dir / "reals.png"
        if not reals.exists():
            pictures.save_png(reals, pictures.grid(trainer.real(REALS), 8))

    def _describe(self, trainer: Trainer) -> None:
        """Write run.json: what made this run, for people and for the next call."""
        run = {
            "release": self._release_name(),
            "manifest_sha256": self.manifest,
            "images": len(self.faces_NHWC),
            "batch": self.batch,
            "total_steps": self.total_steps,
            "config": dataclasses.asdict(self.config),
            "device": self._device_name(),
            "precision": self.precision,
            "torch": torch.__version__,
            "weights": {"generator": weights(trainer.generator), "discriminator": weights(trainer.discriminator)},
        }
        write_atomically(self.run_dir / "run.json", (json.dumps(run, indent=2) + "\n").encode())

    def _release_name(self) -> str:
        """Name the release by recipe and number, not by where it lies on this machine."""
        release = self.release.resolve()
        return f"{release.parent.name}/{release.name}"

    def _device_name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"

    def _train(self, trainer: Trainer, progress: Callable[[TrainProgress], None], stop: Callable[[], bool]) -> None:
        tick_steps = self._steps_of(self.config.sample_every_kimg)
        checkpoint_steps = self._steps_of(self.config.checkpoint_every_kimg)
        self.since = told = time.perf_counter()
        while trainer.steps < self.total_steps:
            trainer.step()
            last = trainer.steps == self.total_steps
            stopping = stop() and not last
            # A tick just before the end would leave a last one of a step or two.
            left = self.total_steps - trainer.steps
            ticking = last or (trainer.steps % tick_steps == 0 and left >= tick_steps / 2)
            saving = last or stopping or trainer.steps % checkpoint_steps == 0
            if not (ticking or saving or time.perf_counter() - told > TELL_EVERY_S):
                continue
            told_now = self._measured(trainer)
            if ticking:
                self._tick(trainer, told_now)
            if saving:
                self._save(trainer)
            progress(told_now)
            self.since = told = time.perf_counter()
            if stopping:
                self.notes.append(f"stopped after step {trainer.steps} of {self.total_steps}; the same command goes on")
                return

    def _steps_of(self, kimg: float) -> int:
        return max(1, round(kimg * 1000 / self.batch))

    def _measured(self, trainer: Trainer) -> TrainProgress:
        """Wait for the device, stop the watch, and refuse losses that are no numbers."""
        now = self._progress(trainer)
        if now.d_loss is None or now.g_loss is None or math.isfinite(now.d_loss + now.g_loss):
            return now
        raise self._gone_wrong(trainer, f"the losses are {now.d_loss} and {now.g_loss}")

    def _gone_wrong(self, trainer: Trainer, what: str) -> WorldError:
        saved = checkpoints.found(self.run_dir)
        good = f"the last good checkpoint is {saved[-1]}" if saved else "there is no good checkpoint yet"
        return WorldError(
            f"step {trainer.steps}: {what}: this training has gone wrong; {good};"
            f" lower train.lr (it is {self.config.lr}) and train into another folder"
        )

    def _progress(self, trainer: Trainer, note: str = "") -> TrainProgress:
        losses = trainer.losses()  # waits for the device: only then has the time really passed
        if self.since:
            self.spent += time.perf_counter() - self.since
        shown = (trainer.steps - self.first_step) * self.batch
        return TrainProgress(
            kimg=trainer.images / 1000,
            total_kimg=self.total_steps * self.batch / 1000,
            step=trainer.steps,
            total_steps=self.total_steps,
            d_loss=losses[0] if losses else None,
            g_loss=losses[1] if losses else None,
            img_per_s=shown / self.spent if self.spent else 0.0,
            seconds=self.seconds + self.spent,
            note=note,
        )

    def _tick(self, trainer: Trainer, now: TrainProgress) -> None:
        samples = self.run_dir / "samples"
        pictures.save_png(samples / f"fixed-{trainer.steps:09d}.png", pictures.grid(trainer.fixed(FIXED), 4))
        pictures.save_png(samples / f"random-{trainer.steps:09d}.png", pictures.grid(trainer.random(RANDOM), 8))
        if now.d_loss is not None and now.g_loss is not None:
            self.rows.append(
                pictures.LossRow(
                    step=now.step,
                    kimg=now.kimg,
                    d_loss=now.d_loss,
                    g_loss=now.g_loss,
                    img_per_s=now.img_per_s,
                    seconds=now.seconds,
                )
            )
        pictures.write_losses(self.run_dir / "losses.csv", self.rows)
        pictures.draw_losses(self.run_dir / "losses.png", self.rows)
        trainer.tick()

    def _save(self, trainer: Trainer) -> None:
        state: dict[str, Any] = {
            **trainer.state(),
            "config": dataclasses.asdict(self.config),
            "manifest": self.manifest,
            "seconds": self.seconds + self.spent,
        }
        if not checkpoints.finite(state):
            raise self._gone_wrong(trainer, "a weight is no number any more")
        checkpoints.save(self.run_dir, trainer.steps, state, self.config.keep_last)

    def _export(self, trainer: Trainer) -> None:
        about = {
            "config": dataclasses.asdict(self.config),
            "release": self._release_name(),
            "manifest_sha256": self.manifest,
            "step": trainer.steps,
        }
        checkpoints.export(self.exported, trainer.averaged.state_dict(), about)

    def _nothing_to_do(self, done: int) -> TrainResult:
        self.notes.append(f"already trained: {done * self.batch / 1000:g} kimg; nothing to do")
        self.rows = pictures.read_losses(self.run_dir / "losses.csv", done)
        self.seconds = self.rows[-1].seconds if self.rows else 0.0
        self.first_step = done
        return self._result(done)

    def _result(self, steps: int) -> TrainResult:
        saved = checkpoints.found(self.run_dir)
        last = self.rows[-1] if self.rows else None
        new_steps = steps - self.first_step
        finished = steps >= self.total_steps
        return TrainResult(
            run_dir=self.run_dir,
            finished=finished,
            steps=steps,
            new_steps=new_steps,
            kimg=steps * self.batch / 1000,
            images=len(self.faces_NHWC),
            batch=self.batch,
            device=self.device.type,
            precision=self.precision,
            d_loss=last.d_loss if last else None,
            g_loss=last.g_loss if last else None,
            img_per_s=new_steps * self.batch / self.spent if self.spent else 0.0,
            seconds=self.seconds + self.spent,
            checkpoint=saved[-1] if saved else None,
            generator=self.exported if finished else None,
            notes=tuple(self.notes),
        )
