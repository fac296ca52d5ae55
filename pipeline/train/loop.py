"""A training as a folder: begin or go on, tick, keep checkpoints, stop when asked, and leave a generator behind."""

from __future__ import annotations

import dataclasses
import json
import math
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import WorldError
from pipeline.store import write_atomically
from pipeline.train import TrainConfig, TrainProgress, TrainResult, checkpoints, classifier, films, measuring, pictures
from pipeline.train.conditions import cast
from pipeline.train.events import Events
from pipeline.train.faces import Faces, as_faces, bring, manifest_sha256, open_faces
from pipeline.train.networks import weights
from pipeline.train.page import draw_metrics, write_page
from pipeline.train.trainer import Trainer, choose_device, choose_precision, repeatable

FIXED, RANDOM, REALS = 16, 32, 32  # pictures in a grid; the first two as the Chitanda document had them
COLUMNS = 8  # pictures of each label
ANCHORS, BETWEEN, BETWEEN_MS = 6, 15, 80  # of the way through the noise: places, pictures from one to the next
FILM_SIDE = 256  # pixels
PRECISION = (20, 100)  # pictures that each label is asked for; the first as the Jin document had it
SHOW_EVERY_S = 20.0
TELL_EVERY_S = 0.5  # reading the losses makes a GPU wait: seldom enough to cost nothing


def train(
    release: Path,
    run_dir: Path,
    config: TrainConfig,
    *,
    progress: Callable[[TrainProgress], None],
    stop: Callable[[], bool],
    inception: Path | None,
) -> TrainResult:
    """Do what `pipeline.train.train_gan` says."""
    with repeatable(config.threads):
        try:
            return _Run(release, run_dir, config.settled(), inception).go(progress, stop)
        except torch.OutOfMemoryError as error:
            raise WorldError(
                f"{run_dir}: the GPU's memory does not hold this training; lower train.batch, width or size,"
                " or choose train.device = cpu"
            ) from error


class _Run:
    """One call of `train`: the folder, what lies in it, and what is done to it."""

    def __init__(self, release: Path, run_dir: Path, config: TrainConfig, inception: Path | None) -> None:
        self.release = release
        self.run_dir = run_dir
        self.config = config
        self.inception = inception
        self.manifest = manifest_sha256(release)
        self.faces_NHWC = open_faces(release)
        self.cast = cast(release, len(self.faces_NHWC), config.condition, config.untagged)
        self.images = len(self.cast.learnt_from)
        self.batch = min(config.batch, self.images)
        self.total_steps = max(1, math.ceil(config.kimg * 1000 / self.batch))
        self.device = choose_device(config.device)
        self.precision = choose_precision(config.precision, self.device)
        self.notes: list[str] = []
        self.rows: list[pictures.LossRow] = []
        self.measured: list[measuring.Row] = []
        self.measure: measuring.Measure | None = None
        self.judge: classifier.Judge | None = None
        self.events: Events
        self.seconds = 0.0  # of training steps, before this call
        self.first_step = 0  # where this call began
        self.spent = 0.0  # seconds of training steps in this call, up to `since`
        self.since = 0.0
        self.shown = time.perf_counter()  # when plots and page were drawn

    @property
    def exported(self) -> Path:
        return self.run_dir / "generator.safetensors"

    @property
    def judged(self) -> Path:
        return self.run_dir / "judge.safetensors"

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
        faces = bring(self.faces_NHWC, self.cast.learnt_from, self.config.size, self.device)
        trainer = self._trainer(faces)
        self._begin(trainer)
        if self.config.condition != "none" and not self.judged.exists():
            self.notes.append(
                "first a small network learns to see what faces show, to judge by; that can take a minute"
            )
        progress(self._progress(trainer, note="; ".join(self.notes)))
        write_page(self.run_dir)
        self.events = Events(self.run_dir, trainer.steps)
        try:
            if self._prepare(faces, stop):
                self._train(trainer, progress, stop)
            else:
                self.notes.append(f"stopped before step {trainer.steps + 1}; the same command goes on")
            finished = trainer.steps >= self.total_steps
            if finished:
                self._finish(trainer)
            self._describe(trainer, "finished" if finished else "stopped")
        except BaseException as error:
            self._describe(trainer, "failed", str(error) or type(error).__name__)
            raise
        finally:
            self.events.close()
            write_page(self.run_dir)
        return self._result(trainer.steps)

    def _trainer(self, faces: Faces) -> Trainer:
        labels = torch.from_numpy(self.cast.conditions.at(self.cast.learnt_from).values)
        return Trainer(self.config, faces, labels, self.batch, self.precision, self._weights())

    def _weights(self) -> Tensor | None:
        match self.config.draw:
            case "weight":
                return torch.from_numpy(self.cast.weights[self.cast.learnt_from])
            case "class":
                shows = torch.from_numpy(self.cast.conditions.at(self.cast.learnt_from).values)
                classes = torch.where(shows.any(1), shows.argmax(1), shows.shape[1])  # what is of no class is one too
                return 1 / classes.bincount()[classes]
            case _:
                return None

    def _prepare(self, faces: Faces, stop: Callable[[], bool]) -> bool:
        """Teach a judge what the faces show, if something can be asked for, and look at the real ones once.

        Returns:
            Whether it came to its end.
        """
        held_out = bring(self.faces_NHWC, self.cast.held_out, self.config.size, self.device)
        if self.config.condition != "none":
            self.judge = self._judge(faces, held_out, stop)
            if self.judge is None:
                return False
        if self.config.measure:
            seed = self.config.seed
            self.measure = measuring.Measure(faces, held_out, self.judge, self.config.measure, seed, self.inception)
        return True

    def _judge(self, faces: Faces, held_out: Faces, stop: Callable[[], bool]) -> classifier.Judge | None:
        known = classifier.read(self.judged, self.device)
        if known is not None:
            return known
        shows = self.cast.conditions
        mine, others = shows.at(self.cast.learnt_from), shows.at(self.cast.held_out)
        shown = min(classifier.SHOWN, 1000 * math.ceil(self.config.kimg))  # a short run has a short lesson, too
        judge = classifier.learn(faces, mine, held_out, others, seed=self.config.seed, shown=shown, stop=stop)
        if judge is not None:
            classifier.save(self.judged, judge)
        return judge

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
        self.measured = measuring.read_rows(self.run_dir / "metrics.csv", trainer.steps)
        self._describe(trainer, "running")
        reals = self.run_dir / "reals.png"
        if not reals.exists():
            pictures.save_png(reals, pictures.grid(trainer.real(REALS), 8))

    def _describe(self, trainer: Trainer, state: str, why: str = "") -> None:
        """Write run.json: what made this run, for people and for the next call."""
        run = {
            "release": self._release_name(),
            "manifest_sha256": self.manifest,
            "images": self.images,
            "held_out": len(self.cast.held_out),
            "labels": list(self.cast.conditions.names),
            "batch": self.batch,
            "total_steps": self.total_steps,
            "config": dataclasses.asdict(self.config),
            "device": self._device_name(),
            "precision": self.precision,
            "torch": torch.__version__,
            "weights": {"generator": weights(trainer.generator), "discriminator": weights(trainer.discriminator)},
            "state": state,
            "why": why,
            "best": measuring.best_of(self.measured),
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
                self._save(trainer, measured=not stopping)
            if ticking or saving:
                self._describe(trainer, "running")
                self._show(at_once=last or stopping)
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
            d_loss=losses.d_loss if losses else None,
            g_loss=losses.g_loss if losses else None,
            penalty=losses.penalty if losses else 0.0,
            augment=losses.augment if losses else 0.0,
            img_per_s=shown / self.spent if self.spent else 0.0,
            seconds=self.seconds + self.spent,
            memory_mb=self._memory_mb(),
            note=note,
        )

    def _memory_mb(self) -> float:
        """Most memory that the training took: the GPU's, or this process's."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 1e6
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3

    def _tick(self, trainer: Trainer, now: TrainProgress) -> None:
        self._sample("fixed", trainer, pictures.grid(trainer.fixed(FIXED), 4))
        self._sample("random", trainer, pictures.grid(trainer.random(RANDOM), 8))
        if self.cast.conditions.names:
            self._sample("labels", trainer, pictures.grid(trainer.by_label(COLUMNS), COLUMNS))
        if now.d_loss is not None and now.g_loss is not None:
            self.rows.append(
                pictures.LossRow(
                    step=now.step,
                    kimg=now.kimg,
                    d_loss=now.d_loss,
                    g_loss=now.g_loss,
                    img_per_s=now.img_per_s,
                    seconds=now.seconds,
                    penalty=now.penalty,
                    augment=now.augment,
                    memory_mb=now.memory_mb,
                )
            )
            self.events.numbers(now.step, dataclasses.asdict(self.rows[-1]))
        pictures.write_losses(self.run_dir / "losses.csv", self.rows)
        trainer.tick()

    def _sample(self, kind: str, trainer: Trainer, pixels_HWC: NDArray[np.uint8]) -> None:
        pictures.save_png(self.run_dir / "samples" / f"{kind}-{trainer.steps:09d}.png", pixels_HWC)

    def _measure(self, trainer: Trainer) -> None:
        """Write a row of metrics.csv, and show what is near to what was drawn."""
        if self.measure is None:
            return
        self.measured.append(self.measure.row(trainer, self.seconds + self.spent))
        self.events.numbers(trainer.steps, self.measured[-1])
        measuring.write_rows(self.run_dir / "metrics.csv", self.measured)
        self._sample("nearest", trainer, self.measure.neighbours(trainer.random(RANDOM)))

    def _save(self, trainer: Trainer, *, measured: bool) -> None:
        """Write a checkpoint; a *measured* one is kept as the best, too, if it is."""
        state: dict[str, Any] = {
            **trainer.state(),
            "config": dataclasses.asdict(self.config),
            "labels": list(self.cast.conditions.names),
            "release": self._release_name(),
            "manifest": self.manifest,
            "seconds": self.seconds + self.spent,
        }
        if not checkpoints.finite(state):
            raise self._gone_wrong(trainer, "a weight is no number any more")
        if measured:
            self._measure(trainer)
        best = measured and measuring.best_of(self.measured) == trainer.steps
        checkpoints.save(self.run_dir, trainer.steps, state, self.config.keep_last, best=best)

    def _show(self, *, at_once: bool) -> None:
        """Draw plots, the film and the page; seldom, for a short training would do little else."""
        if not at_once and time.perf_counter() - self.shown < SHOW_EVERY_S:
            return
        pictures.draw_losses(self.run_dir / "losses.png", self.rows)
        draw_metrics(self.run_dir / "metrics.png", self.measured)
        films.film_of(self.run_dir)
        write_page(self.run_dir)
        self.shown = time.perf_counter()

    def _finish(self, trainer: Trainer) -> None:
        """Leave the generator of the best checkpoint, and what can be seen of it."""
        step = trainer.steps
        if measuring.best_of(self.measured) is not None:
            best = checkpoints.load(checkpoints.best(self.run_dir))
            trainer.averaged.load_state_dict(best["averaged"])
            step = best["step"]
        about = {
            "config": dataclasses.asdict(self.config),
            "labels": list(self.cast.conditions.names),
            "release": self._release_name(),
            "manifest_sha256": self.manifest,
            "step": step,
        }
        checkpoints.export(self.exported, trainer.averaged.state_dict(), about)
        self._interpolate(trainer)
        if self.judge is not None:
            asked = [measuring.precision(trainer, self.judge, each) for each in PRECISION]
            classifier.write_precision(self.run_dir / "attributes.csv", asked, self.judge)

    def _interpolate(self, trainer: Trainer) -> None:
        """Go round through some places of the noise: a strip of each way, and all of it as a film."""
        anchors = trainer.noise(ANCHORS, "interpolation")
        wishes = trainer.wishes(1, "interpolation").expand(ANCHORS * (BETWEEN + 1), -1)
        drawn = trainer.draw(films.path(anchors, BETWEEN), wishes)
        strips = drawn.view(ANCHORS, BETWEEN + 1, *drawn.shape[1:])[:, :: (BETWEEN + 1) // 8].flatten(0, 1)
        pictures.save_png(self.run_dir / "interpolation.png", pictures.grid(strips, len(strips) // ANCHORS))
        frames = [films.fitted(one, FILM_SIDE) for one in as_faces(drawn).cpu().numpy()]
        films.write_gif(self.run_dir / "interpolation.gif", frames, BETWEEN_MS, BETWEEN_MS)
        films.write_mp4(self.run_dir / "interpolation.mp4", frames, 1000 // BETWEEN_MS)

    def _nothing_to_do(self, done: int) -> TrainResult:
        self.notes.append(f"already trained: {done * self.batch / 1000:g} kimg; nothing to do")
        self.rows = pictures.read_losses(self.run_dir / "losses.csv", done)
        self.measured = measuring.read_rows(self.run_dir / "metrics.csv", done)
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
            images=self.images,
            batch=self.batch,
            device=self.device.type,
            precision=self.precision,
            d_loss=last.d_loss if last else None,
            g_loss=last.g_loss if last else None,
            img_per_s=new_steps * self.batch / self.spent if self.spent else 0.0,
            seconds=self.seconds + self.spent,
            checkpoint=saved[-1] if saved else None,
            generator=self.exported if finished else None,
            best=measuring.best_of(self.measured),
            notes=tuple(self.notes),
        )
