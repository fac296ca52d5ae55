"""How fast a DCGAN is trained, beside the usual way: PNG files, a loader, float32, a loss read back at every step."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from bench.report import Table
from pipeline.train import TrainConfig
from pipeline.train.faces import Resident
from pipeline.train.networks import weights
from pipeline.train.trainer import Trainer, choose_precision

SIZE, WIDTH, BATCH = 64, 64, 128
FACES = 2048
SECONDS = 40.0  # of each way, after its first steps
WARM = 2  # steps that are not counted

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """One way of training the same networks."""

    name: str
    device: str
    weights: int
    img_per_s: float


def measure(part: float, progress: Progress) -> list[Rate]:
    """Train the same DCGAN both ways on each device that there is; *part* of the full time."""
    rates = []
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        for name, way in (("the usual loop", usual), ("kaoset", ours)):
            progress(f"train on {device}, {name}", 0, 0)
            rates.append(way(torch.device(device), max(4.0, SECONDS * part)))
    return rates


def ours(device: torch.device, seconds: float) -> Rate:
    """Train as kaoset does."""
    config = TrainConfig(size=SIZE, width=WIDTH, batch=BATCH).settled()
    faces = Resident(torch.from_numpy(_noise()).to(device))
    trainer = Trainer(config, faces, torch.zeros(FACES, 0), BATCH, choose_precision("auto", device))
    count = weights(trainer.generator) + weights(trainer.discriminator)
    return Rate(name="kaoset", device=device.type, weights=count, img_per_s=_rate(trainer.step, device, seconds))


def usual(device: torch.device, seconds: float) -> Rate:
    """Train as the public DCGAN tutorials do."""
    with tempfile.TemporaryDirectory(prefix="kaoset-bench-") as folder:
        for index, face in enumerate(_noise()):
            Image.fromarray(face).save(Path(folder) / f"{index:05d}.png")
        loop = _Usual(Path(folder), device)
        rate = _rate(loop.step, device, seconds)
    count = weights(loop.generator) + weights(loop.discriminator)
    return Rate(name="the usual loop", device=device.type, weights=count, img_per_s=rate)


def table(rates: list[Rate]) -> Table:
    """Show the rates, and how many times as fast ours is."""
    rows = []
    for one in rates:
        plain = next(rate for rate in rates if rate.device == one.device)
        ratio = one.img_per_s / plain.img_per_s
        rows.append([one.name, one.device, f"{one.weights / 1e6:.2f} M", f"{one.img_per_s:,.0f}", f"{ratio:.2f} ×"])
    return Table(
        title=f"Training a DCGAN of {SIZE} px and width {WIDTH}, batches of {BATCH}",
        columns=["way", "on", "weights", "images/s", "as fast"],
        rows=rows,
        words=2,
        note=(
            "The usual loop: PNG files, a DataLoader with two workers, float32, BCELoss after a sigmoid, and both"
            " losses read back at every step. Goal: 1.5 × on a CPU, 10 × on an H200-class GPU."
        ),
    )


def _noise() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    coarse = np.random.default_rng(0).integers(0, 256, (FACES, SIZE // 8, SIZE // 8, 3), np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)  # as easy to decode as a drawn face, about


def _rate(step: Callable[[], object], device: torch.device, seconds: float) -> float:
    for _ in range(WARM):
        step()
    _wait(device)
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        step()
        steps += 1
        if steps % 16 == 0:
            _wait(device)
    _wait(device)
    return steps * BATCH / (time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _Files(Dataset[Tensor]):
    """PNG files, decoded whenever they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("*.png"))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        pixels = torch.from_numpy(np.array(Image.open(self.files[index]).convert("RGB")))
        return pixels.permute(2, 0, 1).float().div(255).sub(0.5).div(0.5)


class _Usual:
    """The loop that is copied from tutorial to tutorial."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.device = device
        self.loader = DataLoader(_Files(folder), BATCH, shuffle=True, num_workers=2, drop_last=True)
        self.batches = iter(self.loader)
        w = WIDTH
        self.generator = nn.Sequential(
            *self._up(100, 8 * w, 1, 0),
            *self._up(8 * w, 4 * w),
            *self._up(4 * w, 2 * w),
            *self._up(2 * w, w),
            nn.ConvTranspose2d(w, 3, 4, 2, 1, bias=False),
            nn.Tanh(),
        ).to(device)
        self.discriminator = nn.Sequential(
            nn.Conv2d(3, w, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            *self._down(w, 2 * w),
            *self._down(2 * w, 4 * w),
            *self._down(4 * w, 8 * w),
            nn.Conv2d(8 * w, 1, 4, 1, 0, bias=False),
            nn.Sigmoid(),
        ).to(device)
        self.loss = nn.BCELoss()
        self.adams = [
            torch.optim.Adam(one.parameters(), lr=2e-4, betas=(0.5, 0.999))
            for one in (self.discriminator, self.generator)
        ]

    def _up(self, before: int, after: int, stride: int = 2, padding: int = 1) -> list[nn.Module]:
        return [
            nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]

    def _down(self, before: int, after: int) -> list[nn.Module]:
        return [
            nn.Conv2d(before, after, 4, 2, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.LeakyReLU(0.2, inplace=True),
        ]

    def step(self) -> tuple[float, float]:
        """One batch: the discriminator on real and drawn pictures, then the generator; both losses come back."""
        try:
            real = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            real = next(self.batches)
        real = real.to(self.device)
        ones, zeros = (torch.full((len(real),), value, device=self.device) for value in (1.0, 0.0))
        self.discriminator.zero_grad()
        on_real = self.loss(self.discriminator(real).view(-1), ones)
        on_real.backward()
        fake = self.generator(torch.randn(len(real), 100, 1, 1, device=self.device))
        on_fake = self.loss(self.discriminator(fake.detach()).view(-1), zeros)
        on_fake.backward()
        self.adams[0].step()
        self.generator.zero_grad()
        on_generator = self.loss(self.discriminator(fake).view(-1), ones)
        on_generator.backward()
        self.adams[1].step()
        return on_real.item() + on_fake.item(), on_generator.item()
