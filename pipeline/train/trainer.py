"""What learns: two networks, their optimisers, the averaged generator and every state of chance, one step at a time."""

from __future__ import annotations

import contextlib
import copy
import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.errors import WorldError
from pipeline.train import TrainConfig
from pipeline.train.augment import Augment
from pipeline.train.faces import Batch, Batches, Faces, as_pictures
from pipeline.train.losses import (
    LOSSES,
    around_real,
    gradients,
    labels_loss,
    one_centred,
    slopes_of,
    zero_centred,
)
from pipeline.train.networks import Judged, build

EMA_RAMP = 0.05  # the half-life is at most this share of the images shown so far (stylegan3, training_loop.py)
BETA2 = 0.999  # Adam's second moment (arXiv 1511.06434)
CALM_BETA2 = 0.99  # where the first moment is 0 (brownvc/R3GAN)
DRAWN_AT_ONCE = 256  # pictures: what bounds the memory that looking at a network takes


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


class Means(NamedTuple):
    """Since the last tick."""

    d_loss: float  # without weight, penalty and labels
    g_loss: float
    penalty: float  # without its weight
    augment: float  # ADA's probability, as it is now


class Trainer:
    """One run in memory.

    Args:
        config: What to train, all settled (`TrainConfig.settled`).
        faces: Of `config.size` pixels.
        labels_NL: What each face shows: 1 true, -1 false, 0 unknown; any numbers, on any device.
        batch: Pictures a step; at most the number of faces.
        precision: fp32 or bf16.
        weights: How often each face is drawn, beside the others; None: every face once a round.
    """

    def __init__(
        self,
        config: TrainConfig,
        faces: Faces,
        labels_NL: Tensor,
        batch: int,
        precision: str,
        weights: Tensor | None = None,
    ) -> None:
        self.config = config
        self.batch = batch
        self.device = faces.device
        self.precision = precision
        self.steps = 0  # done since the beginning
        self.labels_NL = labels_NL.to(self.device, torch.float32)
        self.chance = chance_for(config.seed, "order and noise", self.device)
        weights = weights if weights is None else weights.to(self.device)
        self.batches = Batches(faces, self.labels_NL, batch, self.chance, mirror=config.mirror, weights=weights)
        self.augment = Augment(config.augment, config.ada_target, self.device)
        self.loss = LOSSES[config.loss or "bce"]
        labels = self.labels_NL.shape[1]
        generator, discriminator = build(config, labels)
        self.generator = generator.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.discriminator = discriminator.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.generator).eval().requires_grad_(requires_grad=False)
        names = hasattr(discriminator, "name") and labels > 0
        self.adversarial_weight = config.adversarial_weight or float(labels if names else 1)
        self.adam_g = self._adam(self.generator, config.lr)
        self.adam_d = self._adam(self.discriminator, config.lr_discriminator or config.lr)
        self._sums = torch.zeros(3, dtype=torch.float64, device=self.device)  # of losses and penalty, since a tick
        self._counted = 0  # steps in these sums

    def _adam(self, network: torch.nn.Module, rate: float) -> torch.optim.Adam:
        betas = (self.config.beta1 or 0.0, BETA2 if self.config.beta1 else CALM_BETA2)
        return torch.optim.Adam(network.parameters(), lr=rate, betas=betas, fused=True)

    @property
    def images(self) -> int:
        """Real images shown since the beginning."""
        return self.steps * self.batch

    def step(self) -> None:
        """Show one batch to both networks; nothing is read back from the device."""
        self._set_rate()
        shown = next(self.batches)
        noise = torch.randn(self.batch, self._noise, generator=self.chance, device=self.device)
        with self._autocast():
            fake = self.generator(noise, shown.labels)
        d_loss, penalty = self._teach_discriminator(shown, fake.detach())
        g_loss = self._teach_generator(shown, fake)
        self.steps += 1
        self._average()
        self._sums += torch.stack([d_loss, g_loss, penalty])
        self._counted += 1

    @property
    def _noise(self) -> int:
        assert self.config.z is not None  # noqa: S101 - settled
        return self.config.z

    def _set_rate(self) -> None:
        tenth = self.config.lr_tenth_kimg
        if tenth:
            share = 0.1 ** (self.images / 1000 / tenth)
            for adam in (self.adam_g, self.adam_d):
                adam.param_groups[0]["lr"] = adam.defaults["lr"] * share

    def _teach_discriminator(self, shown: Batch, fake: Tensor) -> tuple[Tensor, Tensor]:
        real, drawn = self.augment(shown.pictures, self.chance), self.augment(fake, self.chance)
        # Two passes: batch normalisation must never see real and drawn pictures as one crowd.
        judged_real, penalty = self._judge(real, shown.labels, self._slopes_wanted("r1", "r1r2"))
        judged_fake, more = self._judge(drawn, shown.labels, self._slopes_wanted("r1r2"))
        penalty = penalty + more
        if self.config.penalty == "dragan":
            places = around_real(real, self.chance, self.config.penalty_reach)
            penalty = one_centred(gradients(lambda x: self.discriminator(x, shown.labels).real, places))
        smoothing = self.config.label_smoothing or 0.0
        d_loss = self.loss.discriminator(judged_real.real, judged_fake.real, smoothing)
        cost = self.adversarial_weight * d_loss + (self.config.penalty_weight or 0.0) * penalty
        if judged_real.labels is not None and judged_fake.labels is not None:
            cost = cost + labels_loss(judged_real.labels, shown.labels)
            if self.config.classify_fakes:
                cost = cost + labels_loss(judged_fake.labels, shown.labels)
        _descend(self.adam_d, cost)
        margin = judged_real.real - judged_fake.real if self.config.loss == "relativistic" else judged_real.real
        self.augment.learn(margin)
        return d_loss.detach(), penalty.detach()

    def _slopes_wanted(self, *penalties: str) -> bool:
        return self.config.penalty in penalties

    def _judge(self, pictures: Tensor, labels: Tensor, slopes_wanted: bool) -> tuple[Judged, Tensor]:  # noqa: FBT001
        """Judge pictures and, where it is wanted, price the slope there: one pass in float32 serves both."""
        if not slopes_wanted:
            with self._autocast():
                judged: Judged = self.discriminator(pictures, labels)
            return judged, torch.zeros((), device=self.device)
        leaf = pictures.float().requires_grad_()
        judged = self.discriminator(leaf, labels)
        return judged, zero_centred(slopes_of(judged.real, leaf))

    def _teach_generator(self, shown: Batch, fake: Tensor) -> Tensor:
        self.discriminator.requires_grad_(requires_grad=False)  # its gradients are not wanted here: a third less work
        with self._autocast():
            judged: Judged = self.discriminator(self.augment(fake, self.chance), shown.labels)
            beside = judged.real
            if self.config.loss == "relativistic":
                with torch.no_grad():
                    beside = self.discriminator(self.augment(shown.pictures, self.chance), shown.labels).real
        g_loss = self.loss.generator(judged.real, beside)
        cost = self.adversarial_weight * g_loss
        if judged.labels is not None:
            cost = cost + labels_loss(judged.labels, shown.labels)
        _descend(self.adam_g, cost)
        self.discriminator.requires_grad_(requires_grad=True)
        return g_loss.detach()

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

    def losses(self) -> Means | None:
        """Read the means since the last tick; waits for the device."""
        if not self._counted:
            return None
        d_loss, g_loss, penalty = (self._sums / self._counted).tolist()
        return Means(d_loss, g_loss, penalty, float(self.augment.probability))

    def tick(self) -> None:
        """Begin the next mean."""
        self._sums.zero_()
        self._counted = 0

    def fixed(self, count: int) -> Tensor:
        """Draw *count* pictures from noise that stays the same for the whole run, of as many kinds as there are."""
        kinds = self._kinds()
        asked = [self.asking(kinds[at % len(kinds)], count, "fixed noise")[at] for at in range(count)] if kinds else []
        return self.draw(self.noise(count, "fixed noise"), torch.stack(asked) if asked else None)

    def random(self, count: int, purpose: str = "random noise") -> Tensor:
        """Draw *count* pictures, as various as the faces, from noise of this step alone."""
        purpose = f"{purpose} of step {self.steps}"
        return self.draw(self.noise(count, purpose), self.wishes(count, purpose))

    def by_label(self, columns: int) -> Tensor:
        """Draw each thing that can be asked for *columns* times, row after row, each column from the same noise."""
        kinds = self._kinds()
        noise = self.noise(columns, "fixed noise").repeat(len(kinds), 1)
        return self.draw(noise, torch.cat([self.asking(kind, columns, "fixed noise") for kind in kinds]))

    def _kinds(self) -> list[int]:
        """Give the places of the labels that any face has."""
        known: list[int] = (self.labels_NL == 1).any(0).nonzero().flatten().tolist()
        return known

    def asking(self, label: int, count: int, purpose: str) -> Tensor:
        """Ask *count* times for one label, the others as faces that are drawn by chance have them.

        What no face has together is not asked for together: a second colour of hair, another character.
        """
        wishes = self.wishes(count, purpose)
        beside = (self.labels_NL[self.labels_NL[:, label] == 1] == 1).any(0)
        wishes[:, ~beside] = wishes[:, ~beside].clamp(max=self.labels_NL.min())
        wishes[:, label] = 1
        return wishes

    def noise(self, count: int, purpose: str) -> Tensor:
        """Give noise for one purpose: (count, z), on the CPU, so that it is the same for every device."""
        return torch.randn(count, self._noise, generator=chance_for(self.config.seed, purpose, torch.device("cpu")))

    def wishes(self, count: int, purpose: str) -> Tensor:
        """Ask for what *count* faces show, drawn by chance with repetition."""
        chance = chance_for(self.config.seed, f"wishes, {purpose}", torch.device("cpu"))
        chosen = torch.randint(len(self.labels_NL), (count,), generator=chance)
        return self.labels_NL[chosen.to(self.device)]

    @torch.inference_mode()
    def draw(self, noise_NZ: Tensor, wishes_NL: Tensor | None = None) -> Tensor:
        """Draw with the averaged generator; the result is on the device."""
        parts = []
        for start in range(0, len(noise_NZ), DRAWN_AT_ONCE):
            part = slice(start, start + DRAWN_AT_ONCE)
            wishes = None if wishes_NL is None else wishes_NL[part].to(self.device)
            parts.append(self.averaged(noise_NZ[part].to(self.device), wishes))
        return torch.cat(parts)

    def real(self, count: int) -> Tensor:
        """Show *count* faces as the networks see them, spread evenly over the release."""
        total = len(self.batches.faces)
        count = min(count, total)
        chosen = torch.arange(count, device=self.device) * total // count
        return as_pictures(self.batches.faces.take(chosen))

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
            "augment": self.augment.probability,
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
        self.augment.probability.copy_(state["augment"])
        self.batches.left = state["left"].to(self.device, copy=True)
        self._sums.copy_(state["sums"])
        self._counted = state["counted"]
        self.steps = state["step"]


def _descend(adam: torch.optim.Adam, loss: Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call]
    adam.step()
    adam.zero_grad(set_to_none=True)
