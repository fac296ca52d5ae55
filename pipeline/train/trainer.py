"""What learns: two networks, their optimisers, the averaged generator and every state of chance, one step at a time."""

from __future__ import annotations

import contextlib
import copy
import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import WorldError
from pipeline.train import TrainConfig
from pipeline.train.faces import Batches, as_pictures
from pipeline.train.losses import discriminator_loss, generator_loss
from pipeline.train.networks import build

EMA_RAMP = 0.05  # the half-life is at most this share of the images shown so far (stylegan3, training_loop.py)
BETA2 = 0.999  # Adam's second moment (arXiv 1511.06434)


def choose_device(wanted: str) -> torch.device:
    """Turn `train.device` into a device.

    Raises:
        WorldError: A GPU is asked for and PyTorch sees none.
    """
    seen = torch.cuda.is_available()
    if wanted == "cuda" and not seen:
        raise WorldError(f"train.device = cuda: PyTorch {torch.__version__} sees no GPU; choose auto or cpu")
    return torch.device("cuda" if seen and wanted != "cpu" else "cpu")


def choose_precision(wanted: str, device: torch.device) -> str:
    """Turn `train.precision` into fp32 or bf16; weights and optimisers are float32 with both.

    bf16 pays where the hardware multiplies it: on a CPU with AVX512-BF16 or AMX it gave 1.2 to 2.5 times the speed,
    elsewhere it is emulated. The choice looks at the machine alone, never at a clock, so that runs can be repeated.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    # Older versions of PyTorch cannot say what the CPU can do.
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"


@contextlib.contextmanager
def repeatable(threads: int | None) -> Iterator[None]:
    """Make the same seed give the same run; what is set in PyTorch is set back afterwards.

    Args:
        threads: Cores for work on the CPU; None leaves them as they are.
    """
    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
    finally:
        torch.set_num_threads(before)


def chance_for(seed: int, purpose: str, device: torch.device) -> torch.Generator:
    """Give a source of chance of its own, so that one purpose never shifts the numbers of another."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7]))


class Trainer:
    """One run in memory.

    Args:
        config: What to train.
        faces_NHWC: uint8 faces of `config.size` pixels, on the device.
        batch: Pictures a step; at most the number of faces.
        precision: fp32 or bf16.
    """

    def __init__(self, config: TrainConfig, faces_NHWC: Tensor, batch: int, precision: str) -> None:
        self.config = config
        self.batch = batch
        self.device = faces_NHWC.device
        self.precision = precision
        self.steps = 0  # done since the beginning
        self.chance = chance_for(config.seed, "order and noise", self.device)
        self.batches = Batches(faces_NHWC, batch, self.chance, mirror=config.mirror)
        generator, discriminator = build(config)
        self.generator = generator.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.discriminator = discriminator.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.generator).eval().requires_grad_(requires_grad=False)
        self.adam_g = self._adam(self.generator)
        self.adam_d = self._adam(self.discriminator)
        self._sums = torch.zeros(2, dtype=torch.float64, device=self.device)  # of both losses since the last tick
        self._counted = 0  # steps in these sums

    def _adam(self, network: torch.nn.Module) -> torch.optim.Adam:
        betas = (self.config.beta1, BETA2)
        return torch.optim.Adam(network.parameters(), lr=self.config.lr, betas=betas, fused=True)

    @property
    def images(self) -> int:
        """Real images shown since the beginning."""
        return self.steps * self.batch

    def step(self) -> None:
        """Show one batch to both networks; nothing is read back from the device."""
        real = next(self.batches)
        noise = torch.randn(self.batch, self.config.z, generator=self.chance, device=self.device)
        with self._autocast():
            fake = self.generator(noise)
            # Two passes: batch normalisation must never see real and drawn pictures as one crowd.
            judged_real, judged_fake = self.discriminator(real), self.discriminator(fake.detach())
        d_loss = discriminator_loss(judged_real, judged_fake, self.config.label_smoothing)
        _descend(self.adam_d, d_loss)

        self.discriminator.requires_grad_(requires_grad=False)  # its gradients are not wanted here: a third less work
        with self._autocast():
            judged = self.discriminator(fake)
        g_loss = generator_loss(judged)
        _descend(self.adam_g, g_loss)
        self.discriminator.requires_grad_(requires_grad=True)

        self.steps += 1
        self._average()
        self._sums += torch.stack([d_loss.detach(), g_loss.detach()])
        self._counted += 1

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")

    @torch.no_grad()
    def _average(self) -> None:
        half_life = min(self.config.ema_kimg * 1000, self.images * EMA_RAMP)  # images
        kept = 0.5 ** (self.batch / half_life) if half_life else 0.0
        for slow, fast in zip(self.averaged.parameters(), self.generator.parameters(), strict=True):
            slow.lerp_(fast, 1 - kept)
        for slow, fast in zip(self.averaged.buffers(), self.generator.buffers(), strict=True):
            slow.copy_(fast)

    def losses(self) -> tuple[float, float] | None:
        """Read the mean losses of discriminator and generator since the last tick; waits for the device."""
        if not self._counted:
            return None
        d_loss, g_loss = (self._sums / self._counted).tolist()
        return d_loss, g_loss

    def tick(self) -> None:
        """Begin the next mean."""
        self._sums.zero_()
        self._counted = 0

    @torch.inference_mode()
    def fixed(self, count: int) -> Tensor:
        """Draw *count* pictures from noise that stays the same for the whole run."""
        return self._draw(count, "fixed noise")

    @torch.inference_mode()
    def random(self, count: int) -> Tensor:
        """Draw *count* pictures from noise that is new at each step, and the same when that step comes again."""
        return self._draw(count, f"random noise of step {self.steps}")

    def real(self, count: int) -> Tensor:
        """Show *count* faces as the networks see them, spread evenly over the release."""
        total = len(self.batches.faces_NHWC)
        count = min(count, total)
        chosen = torch.arange(count, device=self.device) * total // count
        return as_pictures(self.batches.faces_NHWC[chosen])

    def _draw(self, count: int, purpose: str) -> Tensor:
        on_cpu = torch.device("cpu")  # so that the same noise is drawn on every device
        noise = torch.randn(count, self.config.z, generator=chance_for(self.config.seed, purpose, on_cpu))
        pictures: Tensor = self.averaged(noise.to(self.device))
        return pictures

    def state(self) -> dict[str, Any]:
        """Give all that the next step depends on; the tensors are the living ones: write them before the next step."""
        return {
            "step": self.steps,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "averaged": self.averaged.state_dict(),
            "adam_g": self.adam_g.state_dict(),
            "adam_d": self.adam_d.state_dict(),
            "chance": self.chance.get_state(),
            "left": self.batches.left.clone(),  # a slice would be written with all that it was cut from
            "sums": self._sums,
            "counted": self._counted,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave; *state* may be used again."""
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.averaged.load_state_dict(state["averaged"])
        # An optimiser keeps the very tensors that it is given, and would change them in the caller's hands.
        self.adam_g.load_state_dict(copy.deepcopy(state["adam_g"]))
        self.adam_d.load_state_dict(copy.deepcopy(state["adam_d"]))
        self.chance.set_state(state["chance"])
        self.batches.left = state["left"].to(self.device, copy=True)
        self._sums.copy_(state["sums"])
        self._counted = state["counted"]
        self.steps = state["step"]


def _descend(adam: torch.optim.Adam, loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]
    adam.step()
    adam.zero_grad(set_to_none=True)
