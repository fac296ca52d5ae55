"""Which colours hair, eyes and skin of a face crop have, measured in CIE Lab, and what people call them."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.pixels import Pixels, resize

Place = tuple[float, float]  # x and y, in pixels
Lab = NDArray[np.float64]  # (..., 3): lightness 0 to 100, a* and b* about -110 to 110

# What each name looks like in drawings that boards tag with it, in light and in shadow. The names and their order are
# those of pipeline.labels; a test holds them to it.
HAIR: dict[str, tuple[str, ...]] = {
    "blonde": ("#f4d878", "#e4c06c", "#fbeab0", "#cfa860"),
    "brown": ("#8a5a3c", "#5f3d2c", "#a67a54"),
    "black": ("#2c2a33", "#3f3d48", "#16161a"),
    "blue": ("#4a70cc", "#2c4894", "#7aa0e6", "#3c5878"),
    "pink": ("#f49cbc", "#e078a4", "#fbc6d6", "#c08098"),
    "purple": ("#8c5eba", "#62408a", "#b692da", "#5c4468"),
    "green": ("#58a664", "#306f44", "#9acd8c", "#4c6c4c"),
    "red": ("#c83c3a", "#962630", "#e0584c", "#742028"),
    "silver": ("#c6cedc", "#b4bccb", "#d4d8e2"),
    "white": ("#f4f3f6", "#fdfdfd", "#eae8ec"),
    "orange": ("#ee8c3c", "#d4702e", "#f8ac6c", "#b8642c"),
    "aqua": ("#62ccd0", "#3ca6b0", "#98e2e0", "#4c9ca0"),
    "grey": ("#888a92", "#6e6e76", "#a3a3a9"),
}
EYES: dict[str, tuple[str, ...]] = {
    "blue": ("#3872d4", "#2a50a0", "#6aa4ec", "#4858b0"),
    "red": ("#cc3038", "#941c28", "#e05050"),
    "brown": ("#8a5430", "#5c3620", "#a87446"),
    "green": ("#3c9a54", "#24683a", "#7cc474", "#88b040"),
    "purple": ("#8448ba", "#583084", "#ac84dc"),
    "yellow": ("#e4b828", "#c89a20", "#f4dc60"),
    "pink": ("#e8609c", "#c84880", "#f498bc"),
    "aqua": ("#2cb4c0", "#20848c", "#74dcdc"),
    "black": ("#38343e", "#1c1a20", "#504e58"),
    "orange": ("#e8782c", "#bc5a1e", "#f4a054"),
}
_COLOURED_EYES = {name: shades for name, shades in EYES.items() if name != "black"}

_SIDE = 128  # pixels; side of the picture that is looked at
# Zones, in sides of the face's box from the middle between the eyes: left, top, right, bottom.
_CROWN = (-0.30, -0.50, 0.30, -0.30)
_FRINGE = (-0.34, -0.30, 0.34, -0.17)
_LOCKS = ((-0.47, -0.16, -0.37, 0.22), (0.37, -0.16, 0.47, 0.22))
_CHEEKS = (-0.20, 0.13, 0.20, 0.21)
_ROUND_EYES = (-0.33, -0.13, 0.33, 0.13)
_IRIS = (0.075, 0.115)  # half axes of an ellipse about the eye

_BIN = 14.0  # Lab; side of the cubes whose fullest begin a cluster
_CLUSTERS = 8
_ROUNDS = 6
_ONE_HAIR = 10.0  # CIE94; clusters that are light and shadow of one thing
_MUCH = 0.35  # of the votes of the fullest cluster: a lighter one with so many is the hair, and that one its shadow
_LIKE_SKIN = 10.0  # Lab, lightness counted half
# How far in a* and b* a tenth of the pixels must be from all that are as light, or else the picture has no colour: in
# grey and tinted ones, saved as JPEG, it is 4 at most; in 800 drawings in colour 7 at least.
_COLOURLESS = 5.0
_SHADES = 16
_SURE = 10.0  # CIE94; how much further the next name must be to be out of the question
_WHITE = (75.0, 16.0)  # least lightness and largest chroma of the white of an eye
_OPEN = 0.35  # share of the ellipse that an open eye fills with iris and lashes
_GREYISH, _INK = 8.0, 20.0  # chroma and lightness below which a pixel tells no hue
_HUED = 1.7  # such colour that the pixels of an iris have on the average; drawn black ones 1.0 at most, brown 2.6
_HUE_WINDOW = 20  # degrees


@dataclass(frozen=True, kw_only=True, slots=True)
class Colours:
    """What is measured on one crop; the fields are those of `FaceCrop`."""

    hair: str = ""
    hair_colour: str = ""
    hair_confidence: float = 0.0
    eyes: str = ""
    eye_colour: str = ""
    eye_confidence: float = 0.0
    skin: str = ""


@dataclass(frozen=True, slots=True)
class _Named:
    colour: str  # "#rrggbb"
    name: str
    confidence: float


@dataclass(frozen=True, slots=True)
class _View:
    """A crop, looked at from the face."""

    rgb: NDArray[np.float64]  # (H, W, 3), 0 to 255
    across: NDArray[np.float64]  # (H, W), in sides of the face's box from the middle between the eyes, along their line
    down: NDArray[np.float64]  # (H, W)
    eye: float  # how far each eye is from that middle
    light: NDArray[np.float64] = field(default_factory=lambda: np.ones(3))  # what makes white of the white of the eyes

    def lab(self, there: NDArray[np.bool_]) -> Lab:
        """Give pixels as if the white of the eyes were white."""
        return lab_of((self.rgb[there] * self.light).clip(0, 255))

    def zone(self, left: float, top: float, right: float, bottom: float) -> NDArray[np.bool_]:
        across, down = self.across, self.down
        return (across >= left) & (across < right) & (down >= top) & (down < bottom)

    def irises(self) -> NDArray[np.bool_]:
        wide, high = _IRIS
        there: NDArray[np.bool_] = ((np.abs(self.across) - self.eye) / wide) ** 2 + (self.down / high) ** 2 <= 1
        return there


def colours_of(crop_HWC: Pixels, *, eyes: tuple[Place, Place], face: float) -> Colours:
    """Measure the colours of hair, eyes and skin, and name those of hair and eyes.

    Hair is what most pixels above the eyes and beside the face have in common, and no skin; a hat has only those at the
    top. Of the irises the hue counts that most coloured pixels share. Names are given as if the white of the eyes were
    white; the colours are those of the picture.

    Args:
        crop_HWC: RGB, uint8, square; some hair round the face is to be seen.
        eyes: The one that is seen on the left first; in pixels of the crop.
        face: Side of the face's box, in pixels of the crop.

    Returns:
        Nothing is measured where the picture is grey or of one tint, or the face is not in it.
    """
    view = _view(crop_HWC, eyes, face)
    cheeks = view.zone(*_CHEEKS)
    if _is_one_ink(view.rgb[::2, ::2]) or not cheeks.any():
        return Colours()
    skin: Lab = np.median(view.lab(cheeks), axis=0)
    hair, iris = _hair(view, skin), _eyes(view, skin)
    return Colours(
        hair=hair.colour,
        hair_colour=hair.name,
        hair_confidence=hair.confidence,
        eyes=iris.colour,
        eye_colour=iris.name,
        eye_confidence=iris.confidence,
        skin=_hex(np.median(view.rgb[cheeks], axis=0)),
    )


def _is_one_ink(rgb_HWC: NDArray[np.float64]) -> bool:
    """Say whether the lightness of a pixel tells its colour, as in grey, sepia or blue print."""
    lab = lab_of(rgb_HWC).reshape(-1, 3)
    shade = (lab[:, 0] * (_SHADES / 100)).astype(int).clip(0, _SHADES - 1)
    counts = np.maximum(np.bincount(shade, minlength=_SHADES), 1)
    means = np.stack([np.bincount(shade, band, minlength=_SHADES) / counts for band in lab.T], axis=1)
    return bool(np.quantile(_chroma(lab - means[shade]), 0.9) < _COLOURLESS)


def _view(crop_HWC: Pixels, eyes: tuple[Place, Place], face: float) -> _View:
    scale = _SIDE / len(crop_HWC)
    rgb_HWC = resize(crop_HWC, _SIDE).astype(np.float64)
    (x0, y0), (x1, y1) = eyes
    apart = math.hypot(x1 - x0, y1 - y0)
    cosine, sine = (x1 - x0) / apart, (y1 - y0) / apart
    down, across = np.mgrid[0:_SIDE, 0:_SIDE] + 0.5
    x, y = across / scale - (x0 + x1) / 2, down / scale - (y0 + y1) / 2
    view = _View(rgb_HWC, (x * cosine + y * sine) / face, (y * cosine - x * sine) / face, apart / 2 / face)
    return replace(view, light=_light(rgb_HWC[view.zone(*_ROUND_EYES)]))


def _light(near_eyes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say what makes the white of the eyes white again, for each channel; 1 where no white is to be seen."""
    if not len(near_eyes):
        return np.ones(3)
    darkest = near_eyes.min(axis=1)
    white = near_eyes[darkest >= np.quantile(darkest, 0.97)].mean(axis=0)
    if white.min() < 110 or np.ptp(white) > 60:
        return np.ones(3)
    light: NDArray[np.float64] = (250 / white).clip(1, 1.7)
    return light


def _hair(view: _View, skin: Lab) -> _Named:
    """Let all pixels of three zones vote for the clusters of colour that they belong to."""
    crown, fringe = view.zone(*_CROWN), view.zone(*_FRINGE)
    zones = [crown, fringe & ~crown, view.zone(*_LOCKS[0]) | view.zone(*_LOCKS[1])]
    lab = np.concatenate([view.lab(zone) for zone in zones])
    rgb = np.concatenate([view.rgb[zone] for zone in zones])
    if len(lab) < _CLUSTERS:
        return _Named("", "", 0.0)
    whose = np.repeat(np.arange(len(zones)), [int(zone.sum()) for zone in zones])
    weights = 1 / np.bincount(whose)[whose]
    middles, member = _clusters(lab, weights)
    shares = np.zeros((len(zones), len(middles)))
    np.add.at(shares, (whose, member), weights)
    votes = np.minimum(shares[0], 0.5) + shares[1] + 0.8 * shares[2]  # a hat has the crown alone
    votes[_like(middles, skin)] = 0.0
    together = np.array([votes[_difference(middles, one) < _ONE_HAIR].sum() for one in middles])
    fullest = int((votes + together / 2).argmax())
    if not votes[fullest]:
        return _Named("", "", 0.0)
    lit = (_difference(middles, middles[fullest]) < _ONE_HAIR) & (votes >= _MUCH * votes[fullest])
    chosen = int(np.where(lit, middles[:, 0], -1.0).argmax())
    name, margin = _named(middles[chosen], HAIR)
    share = min(1.0, float(together[fullest]) / 2.3)
    return _Named(_hex(rgb[member == chosen].mean(axis=0)), name, round(margin * share, 2))


def _clusters(lab: Lab, weights: NDArray[np.float64]) -> tuple[Lab, NDArray[np.intp]]:
    """Find the colours that pixels gather round (k-means from the fullest cubes): their middles, and whose each is."""
    _, cube = np.unique(np.floor(lab / _BIN), axis=0, return_inverse=True)
    fullest = np.argsort(-np.bincount(cube, weights), kind="stable")[:_CLUSTERS]
    middles = np.stack([np.average(lab[cube == one], axis=0, weights=weights[cube == one]) for one in fullest])
    for _ in range(_ROUNDS):
        member = ((lab[:, None] - middles) ** 2).sum(axis=2).argmin(axis=1)
        for one in np.unique(member):
            middles[one] = np.average(lab[member == one], axis=0, weights=weights[member == one])
    return middles, member


def _eyes(view: _View, skin: Lab) -> _Named:
    """Name the hue that the coloured pixels of both irises share; black are those that have none."""
    there = view.irises()
    lab, rgb = view.lab(there), view.rgb[there]
    iris = ~_like(lab, skin) & ~((lab[:, 0] > _WHITE[0]) & (_chroma(lab) < _WHITE[1]))
    lab, rgb = lab[iris], rgb[iris]
    if len(lab) < max(1, _OPEN * iris.size):
        return _Named("", "", 0.0)
    weights = np.maximum(_chroma(lab) - _GREYISH, 0) * ((lab[:, 0] - _INK) / 20).clip(0, 1)
    off = _off_the_hue(lab, weights)
    hued = float(weights[off < _HUE_WINDOW].sum()) / len(lab)
    if hued < _HUED:
        dark = float(np.median(lab[:, 0])) < 45
        sure = round(1 - hued / _HUED, 2) if dark else 0.0
        return _Named(_hex(np.median(rgb, axis=0)), "black" if dark else "", sure)
    alike = off < _HUE_WINDOW
    most = alike & (weights >= np.quantile(weights[alike], 0.6))
    name, margin = _named(np.average(lab[most], axis=0, weights=weights[most]), _COLOURED_EYES)
    share = float(weights[alike].sum() / weights.sum())
    return _Named(_hex(np.average(rgb[most], axis=0, weights=weights[most])), name, round(margin * share, 2))


def _off_the_hue(lab: Lab, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say by how many degrees the hue of each pixel differs from the one that most share."""
    hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360
    counts = np.bincount(hue.astype(int) % 360, weights, minlength=360)
    around = sum(np.roll(counts, turn) * (1 - abs(turn) / _HUE_WINDOW) for turn in range(-_HUE_WINDOW, _HUE_WINDOW))
    off: NDArray[np.float64] = np.abs((hue - int(np.argmax(around)) + 180) % 360 - 180)
    return off


def _named(colour: Lab, names: dict[str, tuple[str, ...]]) -> tuple[str, float]:
    """Give the nearest name, and how far the next is beyond it: 0 to 1."""
    far = {
        name: min(float(_difference(_lab_of_hex(shade), colour)) for shade in shades) for name, shades in names.items()
    }
    first, second = sorted(far, key=far.__getitem__)[:2]
    return first, min(1.0, (far[second] - far[first]) / _SURE)


@functools.cache
def _lab_of_hex(shade: str) -> Lab:
    return lab_of(np.array([int(shade[at : at + 2], 16) for at in (1, 3, 5)], np.float64))


def _like(lab: Lab, skin: Lab) -> NDArray[np.bool_]:
    """Say which colours are those of the skin, in light or in shadow."""
    alike: NDArray[np.bool_] = np.hypot((lab[..., 0] - skin[0]) / 2, _chroma(lab - skin)) < _LIKE_SKIN
    return alike


def _difference(one: Lab, other: Lab) -> NDArray[np.float64]:
    """CIE94 with lightness counted half, as for textiles (CIE 116-1995); the same both ways."""
    chroma, other_chroma = _chroma(one), _chroma(other)
    off = _chroma(one - other)
    along = chroma - other_chroma
    across = np.sqrt(np.maximum(off**2 - along**2, 0))
    mean = np.sqrt(chroma * other_chroma)
    lightness = (one[..., 0] - other[..., 0]) / 2
    total: NDArray[np.float64] = np.hypot(lightness, np.hypot(along / (1 + 0.045 * mean), across / (1 + 0.015 * mean)))
    return total


def _chroma(lab: Lab) -> NDArray[np.float64]:
    length: NDArray[np.float64] = np.hypot(lab[..., 1], lab[..., 2])
    return length


def _hex(rgb: NDArray[np.float64]) -> str:
    return "#" + "".join(f"{round(float(one)):02x}" for one in rgb)


_XYZ_OF_RGB = np.array(  # IEC 61966-2-1 (sRGB), divided by the D65 white
    [
        [0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883],
    ]
)


def lab_of(rgb: NDArray[np.float64]) -> Lab:
    """Turn sRGB, 0 to 255, into CIE Lab under D65; the last axis holds the three channels."""
    shade = rgb / 255
    linear = np.where(shade <= 0.04045, shade / 12.92, ((shade + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _XYZ_OF_RGB.T
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)
