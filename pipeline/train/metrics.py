"""Hides how good drawn pictures are: a panel of measures that need no download, with what new real pictures score.

Nothing here is the published FID but `Panel.fid`, and that only where the person has the Inception file.
RF-FID and RF-KID look through a small network of random weights (arXiv 2208.09218). No single number is enough:
a generator that gives the training pictures back has a perfect RF-FID, and only `Panel.near_copies` tells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.train import inception as inceptions

Pictures = NDArray[np.uint8] | Tensor  # N x H x H x 3, uint8 RGB
Extractor = Callable[[Tensor], Tensor]  # from uint8 pictures, NHWC, to float32 features, N x d

SMALLEST = 16  # pixels a side
CHUNK_PIXELS = 1 << 20  # in the pictures that are looked at together: 256 of 64 px
ROWS = 1024  # of a matrix of distances that exist together

WIDTHS = (64, 128, 256, 64)  # channels of each layer of the random network
READ = (16, 32, 32, 32)  # of them, those that become features: all of a layer are alike, and few keep the floor low
GRID = 2  # means over GRID x GRID cells: with one cell scrambled faces pass for faces
SLOPE = 0.2  # of the leaky rectifier
DEAD = 1e-4  # a feature whose deviation is below this share of the largest is noise of rounding: it is dropped

SWD_NEIGHBOURHOOD = 7  # pixels a side
SWD_PER_PICTURE = 128  # neighbourhoods, at most (this and the above: Progressive GAN, sliced_wasserstein.py)
SWD_MOST = 1 << 15  # neighbourhoods of a set on a level: 20 MB
SWD_DIRECTIONS = 128
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # the filter of the pyramid (Burt and Adelson 1983)

KID_SUBSETS, KID_SUBSET = 10, 1000  # arXiv 1801.01401 uses 100 subsets of 1000
BALL = 3  # the neighbour that a ball reaches to (arXiv 1904.06991, section 3.2)

THUMB = 16  # pixels a side of what is compared to find copies
NEARER_THAN = 0.01  # a copy is nearer to a training picture than all but this share of new real pictures
ENOUGH_HELD_OUT = 100  # below, training pictures without themselves help to say how near new ones are
COPIES_ALLOWED = 0.05  # 0.01 is expected by chance; the rest is for small sets
COPIES_COST = 1e9  # above any RF-FID: noise of all grey levels has about 1e5


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """What is known about one set of drawn pictures; nan where a set was too small to say."""

    images: int  # drawn pictures measured
    references: int  # training pictures they were compared with (near copies: all training pictures)
    rf_fid: float  # Fréchet distance of random features, all drawn pictures; 0 and more, smaller is better
    rf_fid_floor: float  # the same of min(images, held-out) held-out pictures: what perfection would score
    rf_fid_ratio: float  # both with min(images, held-out) pictures, see `Reference.measure`; 1 is perfection
    rf_kid: float  # kernel distance of random features, x 1e3; unbiased: perfection scores 0 give or take noise
    swd: float  # mean of `swd_levels`
    swd_levels: tuple[tuple[int, float], ...]  # (pixels a side, sliced Wasserstein distance x 1e3), finest first
    swd_floor: float  # `swd` of min(images, held-out) held-out pictures
    precision: float  # share of drawn pictures inside the balls of real ones: each alone looks real
    recall: float  # share of real pictures inside the balls of drawn ones: all kinds are drawn
    near_copies: float  # share of drawn pictures as near to a training picture as 1 % of new real ones; 0.01 by chance
    fid: float | None  # the standard FID against `references`, biased by both counts; None without an Inception file


def score(panel: Panel) -> float:
    """Give one number to choose the best checkpoint by: RF-FID, and behind all others what copies.

    Up to 5 % of near copies are left to chance. Above, 1e9 times their share is added: such a checkpoint comes after
    every one that does not copy, and among themselves the one that copies least comes first. To weigh both would not
    do: the training pictures have an RF-FID of 0, so that no factor could make them worse than an honest generator.

    Returns:
        0 and more, smaller is better; infinite where RF-FID is no number.
    """
    if not math.isfinite(panel.rf_fid):
        return math.inf
    return panel.rf_fid + (COPIES_COST * panel.near_copies if panel.near_copies > COPIES_ALLOWED else 0.0)


class Reference:
    """The real pictures, measured once.

    Args:
        train_NHWC: What the generator learns from: uint8 RGB, square, 16 pixels a side or more, at least two. Each is
            searched for copies (768 bytes are kept of it); the other measures see *most* of them.
        held_out_NHWC: Real pictures that the generator never sees, of the same size; may be empty. With none or one
            the floors and the ratio are nan. FID and SWD fall as sets grow: with less than some hundred held-out
            pictures the floors are high and shaken by chance.
        seed: Of the random network, of the choice of *most*, and of all else that chance decides.
        device: Where the work is done; weights and choices are the same on each.
        most: Training pictures that the distances are measured against, at least two.
        inception: The file that `pipeline.train.inception.load` wants, for the standard FID.

    Raises:
        ValueError: An array is of another shape or type, or there are too few training pictures.
        UsageError: *inception* is not that file.
    """

    def __init__(
        self,
        train_NHWC: Pictures,
        held_out_NHWC: Pictures,
        *,
        seed: int = 0,
        device: torch.device = torch.device("cpu"),  # noqa: B008 - a device never changes
        most: int = 3000,
        inception: Path | None = None,
    ) -> None:
        _check(train_NHWC, "train_NHWC", least=2)
        self.seed, self.device, self.side = seed, device, int(train_NHWC.shape[1])
        if len(held_out_NHWC):
            _check(held_out_NHWC, "held_out_NHWC", side=self.side)
        choice = _choice(len(train_NHWC), most, seed)
        chosen = _resident(train_NHWC[choice])
        self._held_out = _resident(held_out_NHWC).reshape(-1, self.side, self.side, 3)
        self._network = _random_network(seed, device)
        raw = _seen(chosen, self._network, device)
        self._scale = _Scale(raw)
        self._features = self._scale(raw)
        self._moments = _moments(self._features)
        self._held_features = self._scale(_seen(self._held_out, self._network, device))
        self._slices = _Slices(seed, device)
        self._chosen_slices = self._slices(chosen, seed)
        self._copies = _Copies(train_NHWC, choice, self._held_out, device)
        self._inception = None if inception is None else _Standard(chosen, inception, device)
        self._floors: dict[int, tuple[float, float]] = {}  # by the number of held-out pictures: RF-FID and SWD

    @torch.no_grad()
    def measure(self, drawn_NHWC: Pictures) -> Panel:
        """Compare drawn pictures with the real ones; the same pictures give the same numbers.

        FID grows as sets shrink, so floor and drawn are compared at equal counts: where there are more drawn than
        held-out pictures, `rf_fid_ratio` takes as many drawn ones as are held out, spread evenly over *drawn_NHWC*.
        `rf_fid` itself is of all. The floors are kept for the next call with the same count.

        Args:
            drawn_NHWC: uint8 RGB of the size of the training pictures, at least two; 2,000 or more for numbers that
                can be compared from run to run, and always as many.

        Raises:
            ValueError: The array is of another shape or type.
        """
        _check(drawn_NHWC, "drawn_NHWC", least=2, side=self.side)
        drawn = _resident(drawn_NHWC)
        features = self._scale(_seen(drawn, self._network, self.device))
        equal = min(len(drawn), len(self._held_out))
        floor, swd_floor = self._floor(equal)
        levels = self._slices.distances(self._chosen_slices, self._slices(drawn, self.seed + 1))
        precision, recall = _precision_recall(self._features, features)
        return Panel(
            images=len(drawn),
            references=len(self._features),
            rf_fid=self._rf_fid(features),
            rf_fid_floor=floor,
            rf_fid_ratio=math.nan if equal < 2 else self._rf_fid(_spread(features, equal)) / max(floor, 1e-9),
            rf_kid=_kid(self._features, features, self.seed) * 1e3,
            swd=_mean(levels),
            swd_levels=levels,
            swd_floor=swd_floor,
            precision=precision,
            recall=recall,
            near_copies=self._copies.share(drawn),
            fid=None if self._inception is None else self._inception.fid(drawn),
        )

    def _rf_fid(self, features: Tensor) -> float:
        return _frechet(self._moments, _moments(features))

    def _floor(self, count: int) -> tuple[float, float]:
        if count < 2:
            return math.nan, math.nan
        if count not in self._floors:
            slices = self._slices(_spread(self._held_out, count), self.seed + 1)
            swd = _mean(self._slices.distances(self._chosen_slices, slices))
            self._floors[count] = self._rf_fid(_spread(self._held_features, count)), swd
        return self._floors[count]


# --- sets of pictures -------------------------------------------------------------------------------------------------


def _check(pictures_NHWC: Pictures, name: str, *, least: int = 1, side: int | None = None) -> None:
    shape, kind = tuple(pictures_NHWC.shape), str(pictures_NHWC.dtype).removeprefix("torch.")
    square = len(shape) == 4 and shape[1] == shape[2] >= SMALLEST and shape[3] == 3
    if kind != "uint8" or not square:
        raise ValueError(f"{name}: is {kind} {shape}, not uint8 (N, H, H, 3) with H of {SMALLEST} or more")
    if side is not None and shape[1] != side:
        raise ValueError(f"{name}: {shape[1]} pixels a side, where the training pictures have {side}")
    if shape[0] < least:
        raise ValueError(f"{name}: {shape[0]} picture(s), where {least} are the least")


def _resident(pictures_NHWC: Pictures) -> Tensor:
    if isinstance(pictures_NHWC, Tensor):
        return pictures_NHWC
    return torch.from_numpy(np.array(pictures_NHWC, order="C"))  # a copy: an array of a file cannot be written


def _chunks(pictures_NHWC: Pictures, device: torch.device) -> Iterator[Tensor]:
    at_once = max(1, CHUNK_PIXELS // pictures_NHWC.shape[1] ** 2)
    for start in range(0, len(pictures_NHWC), at_once):
        yield _resident(pictures_NHWC[start : start + at_once]).to(device)


def _chance(seed: int) -> torch.Generator:
    """Give chance of its own, always on the CPU: the same numbers on each device, and none taken from the training."""
    return torch.Generator().manual_seed(seed)


def _choice(total: int, most: int, seed: int) -> NDArray[np.int64]:
    """Choose *most* of *total* by chance, in rising order."""
    chosen: NDArray[np.int64] = torch.randperm(total, generator=_chance(seed))[:most].sort().values.numpy()
    return chosen


def _spread(rows: Tensor, count: int) -> Tensor:
    """Take *count* rows evenly: a generator may have drawn its pictures label by label."""
    return rows[torch.arange(count, device=rows.device) * len(rows) // count]


# --- features ---------------------------------------------------------------------------------------------------------


def _random_network(seed: int, device: torch.device) -> Extractor:
    """Build four convolutions of orthogonal weights, stride 2, each read by its means over cells: 448 features.

    Of the first layer's filters every other one has its mean taken off: it answers to edges and not to colours.
    Without, RF-FID took faces blurred by half a pixel of 32 for better than new ones.
    """
    chance, filters, channels = _chance(seed), [], 3
    for width in WIDTHS:
        filters.append(torch.nn.init.orthogonal_(torch.empty(width, channels, 3, 3), generator=chance))
        channels = width
    filters[0][::2] -= filters[0][::2].mean((2, 3), keepdim=True)
    filters = [weights.to(device) for weights in filters]

    def look(pictures_NHWC: Tensor) -> Tensor:
        x_NCHW = pictures_NHWC.permute(0, 3, 1, 2).float() / 127.5 - 1
        found = []
        for weights, read in zip(filters, READ, strict=True):
            x_NCHW = functional.leaky_relu(functional.conv2d(x_NCHW, weights, stride=2, padding=1), SLOPE)
            found.append(functional.adaptive_avg_pool2d(x_NCHW[:, :read], min(GRID, x_NCHW.shape[3])).flatten(1))
        return torch.cat(found, 1)

    return look


@torch.no_grad()
def _seen(pictures_NHWC: Tensor, extractor: Extractor, device: torch.device) -> Tensor:
    """Look at all pictures: float32, N x d."""
    # TF32 would make another network of the same weights; and one empty chunk still tells d.
    chunks = _chunks(pictures_NHWC, device) if len(pictures_NHWC) else [pictures_NHWC.to(device)]
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        return torch.cat([extractor(chunk) for chunk in chunks])


class _Scale:
    """Mean 0 and deviation 1 for every feature of the reference; dead ones, which rounding alone moves, are dropped."""

    def __init__(self, reference: Tensor) -> None:
        deviation = reference.std(0)
        self.alive = deviation > DEAD * deviation.max()
        self.mean = reference.mean(0)[self.alive]
        self.deviation = deviation[self.alive]

    def __call__(self, raw: Tensor) -> Tensor:
        return (raw[:, self.alive] - self.mean) / self.deviation


class _Standard:
    """The FID that others publish: features of the Inception network as they are."""

    def __init__(self, reference_NHWC: Tensor, file: Path, device: torch.device) -> None:
        self.network: Extractor = inceptions.load(file).to(device)
        self.device = device
        self.moments = _moments(_seen(reference_NHWC, self.network, device))

    def fid(self, drawn_NHWC: Tensor) -> float:
        return _frechet(self.moments, _moments(_seen(drawn_NHWC, self.network, self.device)))


# --- distances of features --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Moments:
    mean: Tensor  # float64, d
    root: Tensor  # float64, min(N, d) x d; the covariance is root' root


def _moments(features: Tensor) -> _Moments:
    mean = features.double().mean(0)
    centred = (features.double() - mean) / math.sqrt(len(features) - 1)
    return _Moments(mean, torch.linalg.qr(centred, mode="r").R)


def _frechet(a: _Moments, b: _Moments) -> float:
    """Give |mean - mean|² + tr(A + B - 2 (A B)^½), the FID (arXiv 1706.08500), of two sets of any size.

    With A = R'R and B = S'S the eigenvalues of A B are the squared singular values of R S', so that the trace of the
    root is their sum: no root of a matrix is sought, which for fewer pictures than features would not be unique.
    """
    means = (a.mean - b.mean).square().sum()
    traces = a.root.square().sum() + b.root.square().sum()
    shared = torch.linalg.svdvals(a.root @ b.root.T).sum()
    return max(0.0, float(means + traces - 2 * shared))


def _kid(real: Tensor, drawn: Tensor, seed: int) -> float:
    """Average the unbiased squared MMD over subsets (arXiv 1801.01401); may be a little below 0."""
    size = min(len(real), len(drawn), KID_SUBSET)
    chance = _chance(seed)
    distances = []
    for _ in range(KID_SUBSETS):
        x = real[torch.randperm(len(real), generator=chance)[:size].to(real.device)]
        y = drawn[torch.randperm(len(drawn), generator=chance)[:size].to(drawn.device)]
        distances.append(_without_diagonal(_kernel(x, x)) + _without_diagonal(_kernel(y, y)) - 2 * _kernel(x, y).mean())
    return torch.stack(distances).mean().item()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1).double() ** 3


def _without_diagonal(kernel: Tensor) -> Tensor:
    count = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))


def _precision_recall(real: Tensor, drawn: Tensor) -> tuple[float, float]:
    """Give the share of drawn pictures in a ball of a real one, and the reverse (arXiv 1904.06991, equation 1)."""
    return _inside(drawn, real), _inside(real, drawn)


def _inside(points: Tensor, centres: Tensor) -> float:
    """Give the share of *points* no farther from some centre than that centre's third nearest other centre."""
    rank = min(BALL, len(centres) - 1) + 1  # each is its own nearest
    radii = torch.cat([torch.cdist(rows, centres).kthvalue(rank).values for rows in torch.split(centres, ROWS)])
    inside = [(torch.cdist(rows, centres) <= radii).any(1) for rows in torch.split(points, ROWS)]
    return torch.cat(inside).double().mean().item()


# --- sliced Wasserstein distance --------------------------------------------------------------------------------------


class _Slices:
    """Small neighbourhoods of the levels of a Laplacian pyramid, along random directions, sorted.

    As Progressive GAN measured (arXiv 1710.10196, section 5, and its sliced_wasserstein.py): 7 x 7 x 3 values, up to
    128 a picture, each channel of a set with mean 0 and deviation 1, so that shifted colours go unseen. Other than
    there a set gives at most 32,768 of them on a level, and there are 128 directions, not 512.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        row = torch.tensor(BINOMIAL)
        self.filter = (row[:, None] * row).expand(3, 1, 5, 5).contiguous().to(device)
        directions = torch.randn(3 * SWD_NEIGHBOURHOOD**2, SWD_DIRECTIONS, generator=_chance(seed))
        self.directions = (directions / directions.norm(dim=0)).to(device)

    @torch.no_grad()
    def __call__(self, pictures_NHWC: Tensor, seed: int) -> dict[int, Tensor]:
        """Give for each level, by its side in pixels, the sorted values along all directions: directions x T.

        *seed* says where the neighbourhoods lie; with the same one for both sets copies would fit too well.
        """
        per_picture = min(SWD_PER_PICTURE, max(1, SWD_MOST // len(pictures_NHWC)))
        chance = _chance(seed)
        found: dict[int, list[Tensor]] = {}
        for chunk_NHWC in _chunks(pictures_NHWC, self.device):
            for level_NCHW in self._pyramid(chunk_NHWC.permute(0, 3, 1, 2).float() / 127.5 - 1):
                found.setdefault(level_NCHW.shape[3], []).append(_neighbourhoods(level_NCHW, per_picture, chance))
        return {side: self._sorted(torch.cat(parts)) for side, parts in found.items()}

    def _pyramid(self, x_NCHW: Tensor) -> Iterator[Tensor]:
        while x_NCHW.shape[3] % 2 == 0 and x_NCHW.shape[3] // 2 >= SMALLEST:
            smaller = functional.conv2d(_framed(x_NCHW), self.filter, stride=2, groups=3)
            apart = torch.zeros_like(x_NCHW)
            apart[..., ::2, ::2] = smaller
            yield x_NCHW - functional.conv2d(_framed(apart), self.filter * 4, groups=3)
            x_NCHW = smaller
        yield x_NCHW

    def _sorted(self, found_TCHW: Tensor) -> Tensor:
        deviation, mean = torch.std_mean(found_TCHW, (0, 2, 3), keepdim=True)
        values = ((found_TCHW - mean) / deviation.clamp_min(1e-6)).flatten(1)
        ordered: Tensor = (self.directions.T @ values.T).sort(1).values
        return ordered

    def distances(self, a: dict[int, Tensor], b: dict[int, Tensor]) -> tuple[tuple[int, float], ...]:
        """Give (side in pixels, mean distance x 1e3) of two sets, finest level first."""
        return tuple((side, 1e3 * _wasserstein(a[side], b[side])) for side in a)


def _framed(x_NCHW: Tensor) -> Tensor:
    return functional.pad(x_NCHW, (2, 2, 2, 2), mode="reflect")


def _neighbourhoods(level_NCHW: Tensor, per_picture: int, chance: torch.Generator) -> Tensor:
    """Cut *per_picture* neighbourhoods at random out of each picture: T x 3 x 7 x 7."""
    count, device = len(level_NCHW), level_NCHW.device
    free = level_NCHW.shape[3] - SWD_NEIGHBOURHOOD + 1
    corners = torch.randint(free, (2, count * per_picture, 1, 1), generator=chance).to(device)
    within = torch.arange(SWD_NEIGHBOURHOOD, device=device)
    whose = torch.arange(count, device=device).repeat_interleave(per_picture)[:, None, None]
    found_THWC = level_NCHW.permute(0, 2, 3, 1)[whose, corners[0] + within[:, None], corners[1] + within]
    return found_THWC.permute(0, 3, 1, 2)


def _wasserstein(a: Tensor, b: Tensor) -> float:
    """Give the mean distance of sorted rows; of the longer ones as many values as the shorter have, evenly."""
    count = min(a.shape[1], b.shape[1])
    return (_spread(a.T, count) - _spread(b.T, count)).abs().mean().item()


def _mean(levels: tuple[tuple[int, float], ...]) -> float:
    return sum(distance for _, distance in levels) / len(levels)


# --- copies -----------------------------------------------------------------------------------------------------------


class _Copies:
    """What tells a copy: how near new real pictures come to those of the training, both ways round.

    Nearness is the root mean square of the differences at 16 x 16 pixels, in grey levels: light noise and JPEG vanish
    in the means. All training pictures are searched, not only those of the other measures.
    """

    def __init__(
        self, train_NHWC: Pictures, choice: NDArray[np.int64], held_out_NHWC: Tensor, device: torch.device
    ) -> None:
        self.device = device
        self.train = _thumbs(train_NHWC, device)
        new = self._nearest(_thumbs(held_out_NHWC, device))
        if len(held_out_NHWC) < ENOUGH_HELD_OUT:
            chosen = torch.from_numpy(choice).to(device)
            new = torch.cat([new, self._nearest(self.train[chosen], but=chosen)])
        self.near = torch.quantile(new, NEARER_THAN).item()  # grey levels

    def share(self, drawn_NHWC: Tensor) -> float:
        return (self._nearest(_thumbs(drawn_NHWC, self.device)) <= self.near).double().mean().item()

    def _nearest(self, thumbs_NCHW: Tensor, but: Tensor | None = None) -> Tensor:
        """Give each picture's distance to the nearest training picture, with `but[i]` left out for picture i."""
        ways = [self._one_way(thumbs_NCHW, but), self._one_way(thumbs_NCHW.flip(3), but)]
        return torch.minimum(*ways)

    def _one_way(self, thumbs_NCHW: Tensor, but: Tensor | None) -> Tensor:
        train = self.train.flatten(1)
        best = torch.full((len(thumbs_NCHW),), math.inf, device=self.device)
        for start in range(0, len(train), 4 * ROWS):
            some = train[start : start + 4 * ROWS].float()
            for rows in torch.split(torch.arange(len(best), device=self.device), ROWS):
                queries = thumbs_NCHW[rows].flatten(1).float()
                squares = torch.cdist(queries, some)
                if but is not None:
                    own = but[rows, None] == torch.arange(start, start + len(some), device=self.device)
                    squares = squares.masked_fill(own, math.inf)
                nearest = squares.argmin(1)
                # The product that finds the nearest is inexact; a copy has the distance 0, and not about 0.
                exact = (queries - some[nearest]).norm(dim=1)
                exact = torch.where(squares.amin(1).isinf(), math.inf, exact)
                best[rows] = torch.minimum(best[rows], exact)
        return best / math.sqrt(train.shape[1])


def _thumbs(pictures_NHWC: Pictures, device: torch.device) -> Tensor:
    """Reduce to N x 3 x 16 x 16, uint8."""
    thumbs = [torch.empty((0, 3, THUMB, THUMB), dtype=torch.uint8, device=device)]
    for chunk_NHWC in _chunks(pictures_NHWC, device):
        small_NCHW = functional.adaptive_avg_pool2d(chunk_NHWC.permute(0, 3, 1, 2).float(), THUMB)
        thumbs.append(small_NCHW.round().to(torch.uint8))
    return torch.cat(thumbs)
