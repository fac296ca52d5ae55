"""Whether two pictures are the same drawing, a variation of it, or neither: laid over each other, line upon line.

A perceptual hash proposes and cannot judge: plain pictures have near hashes by chance, and what was cropped, framed or
mirrored has far ones. So two small copies are laid over each other (a search over places and sizes, then ECC:
Evangelidis and Psarakis, IEEE TPAMI 30(10), 2008), the colours of one are fitted to the other, and what is left is
judged: lines that fit are the same drawing, and a blot where they fit everywhere else is a variation of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures

from pipeline.pixels import Pixels, fit

Plane = NDArray[np.float32]  # (height, width), or (height, width, 3): 0 to 255
Level = TypeVar("Level", bound=np.generic)
Numbers = NDArray[np.floating]
Warp = NDArray[np.float32]  # (2, 3): from the pixels of one picture to those of another

THUMB = 128  # pixels: longer side of what is compared
HASHED_AT = 128  # pixels: longer side of what is hashed
COARSE, MIDDLE = 32, 64  # pixels: longer sides at which places are searched and made better
LEAST = 12  # pixels: of a side without its frame, below which there is nothing to lay over anything

CORE = 0.2  # of a side, left out all round of what is searched for: so much may be cropped
SIZES = tuple(1.09**power for power in range(-5, 6))
EVEN = 10  # levels: what differs by less belongs to an even frame
FRAME = 0.38  # of a side: more than that is no frame
BENT = 1.15  # times: width may grow by so much more than height
HOPELESS, GOOD, SURE = 0.1, 0.7, 0.8  # how well lines fit, -1 to 1: not at all, no other way is tried, no other place
OUTER = 0.12  # of a side: the border, where names are written
NEAR, AROUND = 5, 12  # pixels: a blot, and what may belong to it
COLOURLESS = 12  # levels between the channels: JPEG makes so many of none
UNSEEN = 6  # levels, of 3 x 3 pixels: nobody sees that
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601

# Log-odds for a unit of each word of `Evidence`; fitted by `python -m bench.alike`.
SAME_DRAWING: Mapping[str, float] = {
    "bias": -2.898,
    "broken": -5.199,
    "lines": 10.416,
    "spread": -0.716,
    "structure": 1.816,
}
VARIATION: Mapping[str, float] = {
    "area": 7.509,
    "bias": -20.579,
    "inner": 8.159,
    "one_sided": 3.395,
    "second": -5.398,
    "shift": -1.399,
    "worst": 2.230,
}
MIN_SAME_DRAWING = 0.9  # probability
MIN_VARIATION = 0.5

# Middles of a picture under which it is looked up: shares of width and height.
MIDDLES = ((0.95, 0.95), (0.9, 0.9), (0.85, 0.85), (0.8, 0.8), (0.9, 1.0), (1.0, 0.9), (0.8, 1.0), (1.0, 0.8))
_ODD_COLUMNS = 0x5555555555555555  # of the 8 x 8 coefficients, row by row, the first bit the highest


class Likeness(StrEnum):
    """What two pictures are to each other."""

    SAME = "same"  # recompressed, rescaled, recoloured, marked, framed, cropped a little, mirrored
    VARIATION = "variation"  # the same drawing with another expression, other words, other clothes
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is compared of one picture."""

    thumb_HWC: Pixels  # noqa: N815 - arrays carry their axes; RGB, longer side 128 pixels at most, proportions kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """What was found of two pictures."""

    likeness: Likeness
    score: float  # 0 to 1: how sure it is that both are the same drawing, a variation counted in
    mirrored: bool
    how: str  # for people


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is measured where two pictures lie over each other; levels are 0 to 255, as their logarithm."""

    lines: float  # correlation of the fine structure, squared with its sign
    spread: float  # levels: what is left in all but the worst tenth of the places
    broken: float  # root of the share of places with structure where it does not fit
    structure: float  # root of the share of places that have any
    worst: float  # levels: what is left in the worst 3 x 3 pixels
    inner: float  # levels: the same for 5 x 5 pixels away from the border, where names are written
    second: float  # levels: the same anywhere else than around the worst place; a blot is alone, marks are not
    one_sided: float  # 0 to 1: whether one picture is brighter, or darker, all over the worst place
    shift: float  # levels: how far the colours were from each other before they were fitted
    area: float  # share of pixels in which something is left
    cover: float  # share that is seen of the one of which less is seen
    framed: bool  # one of them has an even frame
    mirrored: bool


def look(pixels_HWC: Pixels) -> Look:
    """Keep of a picture what `compare` needs.

    Args:
        pixels_HWC: RGB, uint8, of any size.
    """
    return Look(thumb_HWC=fit(pixels_HWC, THUMB))


def compare(one: Look, other: Look) -> Alike:
    """Say what two pictures are to each other; the order does not matter."""
    seen = evidence(one, other)
    score = probability(SAME_DRAWING, seen) if seen else 0.0
    if seen is None or score < MIN_SAME_DRAWING:
        if _nobody_sees(one.thumb_HWC, other.thumb_HWC):
            return Alike(likeness=Likeness.SAME, score=1.0, mirrored=False, how="same drawing")
        return Alike(likeness=Likeness.DIFFERENT, score=score, mirrored=False, how="different")
    varied = probability(VARIATION, seen) >= MIN_VARIATION
    return Alike(
        likeness=Likeness.VARIATION if varied else Likeness.SAME,
        score=score,
        mirrored=seen.mirrored,
        how=", ".join(_words(seen, varied=varied)),
    )


def _words(seen: Evidence, *, varied: bool) -> Iterator[str]:
    if varied:
        yield "other colours" if seen.area > 0.08 else "other expression or words"
    if seen.mirrored:
        yield "mirrored"
    if seen.framed:
        yield "framed"
    if seen.cover < 0.9:
        yield "part of it"
    if not (varied or seen.mirrored or seen.framed or seen.cover < 0.9):
        yield "same drawing"


def probability(weights: Mapping[str, float], seen: Evidence) -> float:
    """Weigh evidence, by a logistic model: 0 to 1."""
    odds = weights["bias"] + sum(weight * getattr(seen, word) for word, weight in weights.items() if word != "bias")
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))


def _nobody_sees(one_HWC: Pixels, other_HWC: Pixels) -> bool:
    """Say whether two pictures without lines to go by differ nowhere by more than can be seen."""
    height, width = one_HWC.shape[:2]
    if abs(math.log(width / height * other_HWC.shape[0] / other_HWC.shape[1])) > 0.03:
        return False
    scaled = cv2.resize(other_HWC, (width, height), interpolation=cv2.INTER_AREA)
    return float(_mean(_most(_plane(cv2.absdiff(one_HWC, scaled))), 3).max()) < UNSEEN


# --- hashes -----------------------------------------------------------------------------------------------------------


def hashes(pixels_HWC: Pixels) -> tuple[int, ...]:
    """Give the 64-bit `imagehash.phash` values under which others may know a picture.

    The first is its own. Then come those of the picture without its frame, and of its middles: what it was cropped to,
    or what somebody else has framed, is near one of them.

    Args:
        pixels_HWC: RGB, uint8.
    """
    small_HWC = fit(pixels_HWC, HASHED_AT)
    height, width = small_HWC.shape[:2]
    boxes: list[tuple[float, float, float, float]] = [(0, 0, width, height), _content(small_HWC)]
    for wide, high in MIDDLES:
        x, y = round(width * (1 - wide) / 2), round(height * (1 - high) / 2)
        boxes.append((x, y, width - x, height - y))
    grey = Pictures.fromarray(small_HWC).convert("L")
    own, *others = (_phash(grey.resize((32, 32), Pictures.Resampling.LANCZOS, box=box)) for box in boxes)
    return own, *(one for one in dict.fromkeys(others) if one != own)


def _phash(grey: Pictures.Image) -> int:
    """Hash 32 x 32 pixels as `imagehash.phash` does, without what it costs to ask SciPy for all 1,024 coefficients."""
    low = _LOW @ np.asarray(grey, np.float64) @ _LOW.T
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


# The first eight rows of the DCT-II of 32 numbers.
_LOW = np.cos(np.pi * np.outer(np.arange(8), 2 * np.arange(32) + 1) / 64)


def mirrored(phash: int) -> int:
    """Give the hash of the mirror image from a hash alone.

    The hash says which of 8 x 8 DCT coefficients lie above their median, and a mirror changes the sign of those in odd
    columns. The median moves a little with them: on drawings 3 bits are wrong on average, and 8 at most in 98 of 100.
    """
    return phash ^ _ODD_COLUMNS


# --- laying one over the other ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A picture without its frame, in the sizes at which it is looked at."""

    pixels_HWC: Pixels  # noqa: N815
    luma_HW: Plane  # noqa: N815
    middle_HW: Plane  # noqa: N815
    frame: tuple[int, int, int, int]  # pixels that are missing at the left, the top, the right, the bottom

    def flipped(self) -> _Sheet:
        left, top, right, bottom = self.frame
        return _Sheet(
            np.ascontiguousarray(self.pixels_HWC[:, ::-1]),
            np.ascontiguousarray(self.luma_HW[:, ::-1]),
            np.ascontiguousarray(self.middle_HW[:, ::-1]),
            (right, top, left, bottom),
        )


@dataclass(frozen=True, slots=True)
class _Laid:
    """Two pictures in the pixels of the coarser one, and where both are seen."""

    one_HWC: Plane  # noqa: N815
    other_HWC: Plane  # noqa: N815
    seen_HW: NDArray[np.bool_]  # noqa: N815
    cover: float


def evidence(one: Look, other: Look) -> Evidence | None:
    """Lay two pictures over each other and measure what fits; None where nothing does. The order does not matter."""
    first, second = sorted((one.thumb_HWC, other.thumb_HWC), key=lambda thumb: (thumb.shape, thumb.tobytes()))
    here, there = _sheet(first), _sheet(second)
    if here is None or there is None:
        return None
    place = _best_place(here, there)
    if place is None:
        return None
    flipped, warp = place
    laid = _laid(here.flipped() if flipped else here, there, warp)
    if laid is None:
        return None
    return _measure(laid, framed=any(here.frame) != any(there.frame), flipped=flipped)


def _sheet(thumb_HWC: Pixels) -> _Sheet | None:
    height, width = thumb_HWC.shape[:2]
    left, top, right, bottom = _content(thumb_HWC)
    if min(right - left, bottom - top) < LEAST:
        return None
    inner_HWC = np.ascontiguousarray(thumb_HWC[top:bottom, left:right])
    luma_HW = inner_HWC.astype(np.float32) @ LUMA
    return _Sheet(inner_HWC, luma_HW, _scaled(luma_HW, MIDDLE), (left, top, width - right, height - bottom))


def _content(pixels_HWC: Pixels) -> tuple[int, int, int, int]:
    """Give left, top, right and bottom of what lies inside of an even frame."""
    height, width = pixels_HWC.shape[:2]
    levels_HWC = pixels_HWC.astype(np.int16)
    top, bottom = _even(levels_HWC), _even(levels_HWC[::-1])
    across = levels_HWC[top : height - bottom].transpose(1, 0, 2)
    return _even(across), top, width - _even(across[::-1]), height - bottom


def _even(lines: NDArray[np.int16]) -> int:
    """Count the first lines that have one colour, that of the first."""
    colour = np.median(lines[0], axis=0)
    ends = (_most(np.abs(lines - colour)) > EVEN).mean(axis=1) > 0.02
    return min(int(np.argmax(ends)), int(len(lines) * FRAME)) if ends.any() else 0


def _scaled(plane: Plane, side: int) -> Plane:
    height, width = plane.shape[:2]
    times = side / max(height, width)
    size = max(8, round(width * times)), max(8, round(height * times))
    return _plane(cv2.resize(plane, size, interpolation=cv2.INTER_AREA if times < 1 else cv2.INTER_LINEAR))


def _plane(made: object) -> Plane:
    """Tell the type checker what OpenCV gives."""
    return np.asarray(made, np.float32)


def _best_place(here: _Sheet, there: _Sheet) -> tuple[bool, Warp] | None:
    """Find where *here* lies on *there*, and whether it must be mirrored for that."""
    sheets = {False: here, True: here.flipped()}
    places = list(_places(sheets, there))
    best, found = HOPELESS, None
    for view in (np.asarray, _edges):  # edges stay where colours change too much for brightness to lead the way
        for flipped, warp in places:
            moved = _closer(view(sheets[flipped].middle_HW), view(there.middle_HW), warp)
            if moved is None:
                continue
            fits = _fits(sheets[flipped].middle_HW, there.middle_HW, moved)
            if fits > best:
                best, found = fits, (flipped, moved, view)
            if fits > SURE:
                break
        if best > GOOD:
            break
    if found is None:
        return None
    flipped, warp, view = found
    whole = sheets[flipped]
    full = _between(warp, (whole.middle_HW, whole.luma_HW), (there.middle_HW, there.luma_HW))
    moved = _closer(view(whole.luma_HW), view(there.luma_HW), full)
    return None if moved is None else (flipped, moved)


def _places(sheets: Mapping[bool, _Sheet], there: _Sheet) -> Iterator[tuple[bool, Warp]]:
    """Give what to try, at the middle size: where the core is found, then frame upon frame, with and without frames."""
    found = [(*_search(sheet.middle_HW, there.middle_HW), flipped) for flipped, sheet in sheets.items()]
    found.sort(key=lambda one: -one[0])
    yield from ((flipped, warp) for _, warp, flipped in found)
    for flipped, sheet in sheets.items():
        none = np.zeros(2), np.ones(2)
        yield flipped, _upon(sheet, there, none, none)
        if any(sheet.frame) or any(there.frame):
            yield flipped, _upon(sheet, there, _window(sheet), _window(there))


_Window = tuple[NDArray[np.float64], NDArray[np.float64]]  # corner and size of a whole picture, in those of its content


def _window(sheet: _Sheet) -> _Window:
    left, top, right, bottom = sheet.frame
    size = np.array(sheet.luma_HW.shape[::-1], np.float64)
    return -np.array([left, top]) / size, 1 + np.array([left + right, top + bottom]) / size


def _upon(sheet: _Sheet, there: _Sheet, window: _Window, other: _Window) -> Warp:
    """Give the warp that lays one window upon the other, at the middle size."""
    here, beyond = (np.array(one.middle_HW.shape[::-1], np.float64) for one in (sheet, there))
    scale = other[1] * beyond / (window[1] * here)
    shift = other[0] * beyond - scale * window[0] * here + (scale - 1) / 2
    return np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]], np.float32)


def _search(one_HW: Plane, other_HW: Plane) -> tuple[float, Warp]:
    """Look for the core of one picture in the other, in all sizes; give how well it correlates and where it lies."""
    small_HW, field_HW = _scaled(one_HW, COARSE), _scaled(other_HW, COARSE)
    height, width = small_HW.shape
    x0, y0 = int(width * CORE), int(height * CORE)
    core_HW = np.ascontiguousarray(small_HW[y0 : height - y0, x0 : width - x0])
    best, place = -1.0, np.eye(2, 3, dtype=np.float32)
    for size in SIZES:
        wide, high = round(core_HW.shape[1] * size), round(core_HW.shape[0] * size)
        if wide > field_HW.shape[1] or high > field_HW.shape[0] or min(wide, high) < 5:
            continue
        way = cv2.INTER_AREA if size < 1 else cv2.INTER_LINEAR
        part_HW = cv2.resize(core_HW, (wide, high), interpolation=way)
        _, fits, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(field_HW, part_HW, cv2.TM_CCOEFF_NORMED))
        if fits > best:
            across, along = wide / core_HW.shape[1], high / core_HW.shape[0]
            best = fits
            place = np.array([[across, 0, x - x0 * across], [0, along, y - y0 * along]], np.float32)
    return best, _between(place, (small_HW, one_HW), (field_HW, other_HW))


def _between(warp: Warp, here: tuple[Plane, Plane], there: tuple[Plane, Plane]) -> Warp:
    """Turn a warp between two sizes of pictures into one between other sizes; the middle of a pixel is its place."""
    before, after = (
        [new / old for old, new in zip(*(p.shape[::-1] for p in pair), strict=True)] for pair in (here, there)
    )
    scale = warp[:, :2] * np.array(after)[:, None] / np.array(before)[None, :]
    middle = warp[:, :2] @ (0.5 / np.array(before) - 0.5) + warp[:, 2]
    return np.column_stack([scale, (middle + 0.5) * after - 0.5]).astype(np.float32)


def _closer(one_HW: Plane, other_HW: Plane, warp: Warp) -> Warp | None:
    """Move a place until it fits best; None where it fits nowhere."""
    until = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 1e-3)
    everywhere_HW = np.full(other_HW.shape, 255, np.uint8)
    try:
        moved = _plane(
            cv2.findTransformECC(one_HW, other_HW, warp.copy(), cv2.MOTION_AFFINE, until, everywhere_HW, 3)[1]
        )
    except cv2.error:  # that is how it says that it does not converge
        return None
    return moved if _straight(moved) else None


def _straight(warp: Warp) -> bool:
    """Say whether a warp only moves and scales, or nearly: anything is like anything that may be bent at will."""
    if not np.isfinite(warp).all():
        return False
    (across, slant), (lean, along) = warp[:, :2].tolist()
    stretched = float(across) / max(float(along), 1e-6)
    return 1 / BENT < stretched < BENT and max(abs(float(slant)), abs(float(lean))) < (BENT - 1) * float(along)


def _edges(luma_HW: Plane) -> Plane:
    soft_HW = _soft(luma_HW, 0.8)
    across, along = (cv2.Sobel(soft_HW, cv2.CV_32F, *way, ksize=3) for way in ((1, 0), (0, 1)))
    return np.sqrt(_plane(cv2.magnitude(across, along)))


def _fits(one_HW: Plane, other_HW: Plane, warp: Warp) -> float:
    """Correlate the fine structure of two pictures that lie over each other, -1 to 1."""
    height, width = other_HW.shape
    seen_HW = (_plane(cv2.warpAffine(np.ones_like(one_HW), warp, (width, height))) > 0.99).astype(np.float32)
    seen = float(seen_HW.sum())
    if max(seen / other_HW.size, seen / (one_HW.size * abs(np.linalg.det(warp[:, :2])) + 1)) < 0.4:
        return -1.0
    laid_HW = cv2.warpAffine(one_HW, warp, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return _correlation(_fine(_plane(laid_HW)), _fine(other_HW), seen_HW)


def _fine(luma_HW: Plane) -> Plane:
    return luma_HW - _soft(luma_HW, 2)


def _soft(plane: Plane, sigma: float) -> Plane:
    return _plane(cv2.GaussianBlur(plane, (0, 0), sigma))


def _most(levels_HWC: NDArray[Level]) -> NDArray[Level]:
    """Take the largest of three channels; NumPy's own way to take it needs thirty times as long."""
    most_HW: NDArray[Level] = np.maximum(np.maximum(levels_HWC[..., 0], levels_HWC[..., 1]), levels_HWC[..., 2])
    return most_HW


def _mean(plane: Plane, side: int) -> Plane:
    return _plane(cv2.blur(plane, (side, side)))


def _correlation(one_HW: Plane, other_HW: Plane, weight_HW: Plane) -> float:
    weight_HW = weight_HW / weight_HW.sum()
    one_HW = one_HW - (weight_HW * one_HW).sum()
    other_HW = other_HW - (weight_HW * other_HW).sum()
    power = (weight_HW * one_HW**2).sum() * (weight_HW * other_HW**2).sum()
    return float((weight_HW * one_HW * other_HW).sum() / math.sqrt(max(1e-6, float(power))))


def _laid(one: _Sheet, other: _Sheet, warp: Warp) -> _Laid | None:
    """Bring the finer one into the pixels of the coarser one, as blurred as that is."""
    size = math.sqrt(abs(float(np.linalg.det(warp[:, :2]))))
    still, moving, way = (one, other, cv2.WARP_INVERSE_MAP) if size > 1 else (other, one, 0)
    reduced = max(size, 1 / max(size, 1e-3))
    if reduced > 4:
        return None
    moving_HWC = moving.pixels_HWC.astype(np.float32)
    if reduced > 1.15:
        moving_HWC = _soft(moving_HWC, 0.5 * math.sqrt(reduced**2 - 1))
    height, width = still.luma_HW.shape
    laid = cv2.warpAffine(
        moving_HWC, warp, (width, height), flags=cv2.INTER_LINEAR | way, borderMode=cv2.BORDER_REPLICATE
    )
    inside = cv2.warpAffine(np.ones_like(moving.luma_HW), warp, (width, height), flags=cv2.INTER_NEAREST | way)
    inside = cv2.erode(inside, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    seen_HW = _plane(inside) > 0.5
    seen = float(seen_HW.sum())
    if seen < LEAST**2:
        return None
    shares = seen / still.luma_HW.size, seen * reduced**2 / moving.luma_HW.size
    return _Laid(still.pixels_HWC.astype(np.float32), _plane(laid), seen_HW, min(shares))


# --- what is left -----------------------------------------------------------------------------------------------------


def _measure(laid: _Laid, *, framed: bool, flipped: bool) -> Evidence:
    seen_HW = laid.seen_HW
    one_HWC, other_HWC, left_HW = _recoloured(laid)
    one_HW, other_HW = one_HWC @ LUMA, other_HWC @ LUMA
    weight_HW = seen_HW.astype(np.float32)
    lines = _correlation(_fine(one_HW), _fine(other_HW), weight_HW)
    structured, broken = _structure(one_HW, other_HW, weight_HW)
    off_HW = _most(np.abs(one_HWC - other_HWC)) * weight_HW
    return Evidence(
        lines=lines * abs(lines),
        spread=math.log1p(float(np.percentile(_mean(left_HW, 5)[seen_HW], 90))),
        broken=math.sqrt(broken),
        structure=math.sqrt(structured),
        worst=math.log1p(float(_mean(off_HW, 3).max())),
        **_blot(off_HW, (one_HWC - other_HWC).mean(axis=2)),
        shift=math.log1p(float(np.abs(laid.one_HWC - laid.other_HWC)[seen_HW].mean())),
        area=float((left_HW[seen_HW] > 20).mean()),
        cover=laid.cover,
        framed=framed,
        mirrored=flipped,
    )


def _blot(off_HW: Plane, brighter_HW: Plane) -> dict[str, float]:
    """Say of the worst place whether it is a blot: inside, alone, and of what kind."""
    blots_HW = _mean(off_HW, 5)
    height, width = blots_HW.shape
    y, x = (int(at) for at in np.unravel_index(int(blots_HW.argmax()), blots_HW.shape))
    there_HW = brighter_HW[max(0, y - NEAR) : y + NEAR + 1, max(0, x - NEAR) : x + NEAR + 1]
    high, wide = int(OUTER * height), int(OUTER * width)
    inner = float(blots_HW[high : height - high, wide : width - wide].max())
    blots_HW[max(0, y - AROUND) : y + AROUND + 1, max(0, x - AROUND) : x + AROUND + 1] = 0
    return {
        "inner": math.log1p(inner),
        "second": math.log1p(float(blots_HW.max())),
        "one_sided": abs(float(there_HW.sum())) / max(1.0, float(np.abs(there_HW).sum())),
    }


def _recoloured(laid: _Laid) -> tuple[Plane, Plane, Plane]:
    """Fit the colours of either to the other's; give both and what is left, the way that leaves less.

    One way is not enough: a bright picture has no lights to give back. A grey one has no colours: grey is compared.
    """
    one_HWC, other_HWC = laid.one_HWC, laid.other_HWC
    if _grey(one_HWC) or _grey(other_HWC):
        one_HWC, other_HWC = (np.repeat((each @ LUMA)[..., None], 3, axis=2) for each in (one_HWC, other_HWC))
    ways = (
        (_fitted(one_HWC, other_HWC, laid.seen_HW), other_HWC),
        (one_HWC, _fitted(other_HWC, one_HWC, laid.seen_HW)),
    )
    left = [_left(*way) * laid.seen_HW for way in ways]
    best = int(left[1].sum() < left[0].sum())
    return *ways[best], left[best]


def _grey(pixels_HWC: Plane) -> bool:
    return float(np.percentile(_most(pixels_HWC) + _most(-pixels_HWC), 98)) < COLOURLESS


def _fitted(from_HWC: Plane, to_HWC: Plane, seen_HW: NDArray[np.bool_]) -> Plane:
    """Give *from* the colours of *to*: each channel by itself, its square, and the brightness, as most pixels have it.

    Pixels that do not follow count little (Cauchy's weights, three rounds): other clothes are not explained away.
    """
    given, wanted = from_HWC[seen_HW] / 255, to_HWC[seen_HW] / 255
    step = max(1, len(given) // 2500)
    given, wanted = given[::step], wanted[::step]
    luma, whole = given @ LUMA, from_HWC / 255
    terms = [np.stack([np.ones_like(luma), given[:, c], given[:, c] ** 2, luma], axis=1) for c in range(3)]
    ridge = np.diag([1e-4, 1e-4, 1e-3, 1e-3]) * len(luma)  # towards no change
    weight = np.ones_like(luma)
    for _ in range(3):
        found = [_solved(terms[c], wanted[:, c] - given[:, c], weight, ridge) for c in range(3)]
        far = sum((terms[c] @ found[c] + given[:, c] - wanted[:, c]) ** 2 for c in range(3))
        far = np.sqrt(far / 3)
        weight = 1 / (1 + (far / max(0.012, 1.48 * float(np.median(far)))) ** 2)
    bright = whole @ LUMA
    out = np.empty_like(from_HWC)
    for c, (constant, own, square, grey) in enumerate(found):
        channel = whole[..., c]
        out[..., c] = constant + (1 + own) * channel + square * channel**2 + grey * bright
    return np.clip(out * 255, 0, 255)


def _solved(terms: Numbers, wanted: Numbers, weight: Numbers, ridge: Numbers) -> Numbers:
    weighed = (terms * weight[:, None]).T
    return np.linalg.solve(weighed @ terms + ridge, weighed @ wanted)


def _left(one_HWC: Plane, other_HWC: Plane) -> Plane:
    """Give by how much each pixel leaves what the other picture has within one pixel of it, in levels."""
    around = np.ones((3, 3), np.uint8)
    beyond = [
        np.maximum(a - _plane(cv2.dilate(b, around)), _plane(cv2.erode(b, around)) - a)
        for a, b in ((one_HWC, other_HWC), (other_HWC, one_HWC))
    ]
    return _plane(np.maximum(_most(np.maximum(*beyond)), 0))


def _structure(one_HW: Plane, other_HW: Plane, weight_HW: Plane) -> tuple[float, float]:
    """Give the share of places, 9 x 9 pixels, that have structure, and the share of those in which it does not fit."""
    one, other = _mean(one_HW, 9), _mean(other_HW, 9)
    own, others = _mean(one_HW**2, 9) - one**2, _mean(other_HW**2, 9) - other**2
    both = _mean(one_HW * other_HW, 9) - one * other
    whole = _mean(weight_HW, 9) > 0.6
    structured = (np.maximum(own, others) > 64) & whole
    if not structured.any():
        return 0.0, 1.0
    correlation = both / np.sqrt(np.maximum(own, 25) * np.maximum(others, 25))
    return float(structured.sum() / whole.sum()), float((correlation[structured] < 0.5).mean())
