"""Hides what is done to a finished drawing: screentone, pencil, darkness, glow, and too much compression."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pictures
from PIL import ImageChops, ImageDraw, ImageFilter

from pipeline.sandbox.ink import SUPERSAMPLE

_BLACK, _WHITE = 66, 206  # of 255: what is darker is ink, what is lighter is paper, and between them lies screentone


def manga(canvas: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    """Print in black: two times out of three with dots for shades, else in greys."""
    grey = canvas.convert("L")
    if rng.integers(3) == 0:
        levels = [round(255 * min(1.0, max(0.0, (i - 40) / 190))) for i in range(256)]
        return grey.point(levels).reduce(SUPERSAMPLE).convert("RGB")
    period = int(rng.choice((8, 10, 12)))
    # Dots in a grid that stands on its corner; a table of whole numbers, so that no machine rounds another way.
    step = np.round(np.cos(np.arange(period) * 2 * np.pi / period) * 1000).astype(np.int64)
    across, along = np.meshgrid(np.arange(period), np.arange(period))
    wave = step[(across + along) % period] + step[(across - along) % period]
    limit_HW = _BLACK + (wave + 2000) * (_WHITE - _BLACK) // 4000
    grey_HW = np.asarray(grey)
    high, wide = grey_HW.shape
    limits_HW = np.tile(limit_HW, (high // period + 1, wide // period + 1))[:high, :wide]
    printed_HW = np.where(grey_HW > np.clip(limits_HW, _BLACK, _WHITE), 255, 0).astype(np.uint8)
    return Pictures.fromarray(printed_HW).reduce(SUPERSAMPLE).convert("RGB")


def sketch(canvas: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    """Leave the lines of a pencil on paper, at times with a little of the colours."""
    picture = canvas.reduce(SUPERSAMPLE)
    grey = picture.convert("L")
    grey_HW = np.asarray(grey).astype(np.int64)
    round_HW = np.asarray(grey.filter(ImageFilter.BoxBlur(int(rng.integers(6, 15))))).astype(np.int64)
    # "Colour dodge": what is as light as its surroundings becomes paper.
    line_HW = np.minimum(255, grey_HW * 255 // np.maximum(1, round_HW))
    line_HW = np.maximum(0, 255 - (255 - line_HW) * 5 // 2)
    grain_HW = rng.integers(-14, 15, line_HW.shape)
    line_HW = np.clip(line_HW + grain_HW * (255 - line_HW + 40) // 255, 0, 255).astype(np.uint8)
    paper = ((252, 250, 244), (255, 255, 255), (240, 232, 214))[int(rng.integers(3))]
    lead = ((70, 66, 72), (52, 58, 92), (110, 62, 50))[int(rng.integers(3))]
    bands = [
        Pictures.fromarray(line_HW).point([a + (b - a) * i // 255 for i in range(256)])
        for a, b in zip(lead, paper, strict=True)
    ]
    drawn = Pictures.merge("RGB", bands)
    if rng.integers(3):
        return drawn
    pale = picture.filter(ImageFilter.BoxBlur(3)).point([150 + i * 105 // 255 for i in range(256)] * 3)
    return ImageChops.multiply(drawn, pale)


def dark(canvas: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    """Turn day into night: little light, less of it at the edges, some noise."""
    picture = canvas.reduce(SUPERSAMPLE)
    strength = float(rng.uniform(0.16, 0.42))
    tint = ((0.8, 0.9, 1.35), (1.25, 0.9, 0.75), (0.9, 0.95, 1.1))[int(rng.integers(3))]
    lamp = Pictures.radial_gradient("L").resize(picture.size, Pictures.Resampling.BILINEAR)
    lamp = ImageChops.offset(
        lamp,
        int(rng.integers(-picture.width // 4, picture.width // 4 + 1)),
        int(rng.integers(-picture.height // 4, picture.height // 4 + 1)),
    )
    fall = lamp.point([255 - i * 140 // 255 for i in range(256)])
    shade = Pictures.merge(
        "RGB", [fall.point([min(255, round(i * strength * part)) for i in range(256)]) for part in tint]
    )
    dim = np.asarray(ImageChops.multiply(picture, shade)).astype(np.int64)
    noise = rng.integers(-3, 4, dim.shape)
    return Pictures.fromarray(np.clip(dim + noise + 5, 0, 255).astype(np.uint8))


def glow(canvas: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    """Let light flow over its edges, and float sparks, snow or rings of light before everything."""
    picture = canvas.reduce(SUPERSAMPLE)
    bloom = picture.point([0 if i < 150 else (i - 150) * 2 for i in range(256)] * 3)
    picture = ImageChops.screen(picture, bloom.filter(ImageFilter.BoxBlur(9)).filter(ImageFilter.BoxBlur(9)))
    lights = Pictures.new("RGB", picture.size)
    draw = ImageDraw.Draw(lights)
    warm = ((255, 190, 90), (140, 220, 255), (255, 150, 200), (200, 255, 170))[int(rng.integers(4))]
    for _ in range(int(rng.integers(3, 7))):
        x, y, r = rng.uniform(0, picture.width), rng.uniform(0, picture.height), rng.uniform(0.08, 0.22) * picture.width
        draw.ellipse([round(x - r), round(y - r), round(x + r), round(y + r)], fill=tuple(i * 3 // 5 for i in warm))
    blur = picture.width // 16
    lights = lights.filter(ImageFilter.BoxBlur(blur)).filter(ImageFilter.BoxBlur(blur))
    draw = ImageDraw.Draw(lights)
    for _ in range(int(rng.integers(40, 120))):
        x, y, r = (
            rng.uniform(0, picture.width),
            rng.uniform(0, picture.height),
            rng.uniform(0.002, 0.012) * picture.width,
        )
        draw.ellipse([round(x - r), round(y - r), round(x + r), round(y + r)], fill=warm)
        if rng.integers(4) == 0:
            draw.line([round(x - 4 * r), round(y), round(x + 4 * r), round(y)], fill=(255, 255, 255), width=2)
            draw.line([round(x), round(y - 4 * r), round(x), round(y + 4 * r)], fill=(255, 255, 255), width=2)
    return ImageChops.screen(picture, lights.filter(ImageFilter.BoxBlur(1)))


def squeezed(canvas: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    """Save as a bad JPEG, at times of a smaller copy, so that blocks and rings are all over it."""
    picture = canvas.reduce(SUPERSAMPLE)
    factor = float(rng.uniform(0.45, 1.0))
    small = picture.resize(
        (round(picture.width * factor), round(picture.height * factor)), Pictures.Resampling.BILINEAR
    )
    for quality in (int(rng.integers(6, 18)), int(rng.integers(10, 30))):
        data = io.BytesIO()
        small.save(data, "JPEG", quality=quality, subsampling=2)
        small = Pictures.open(data).convert("RGB")
    return small.resize(picture.size, Pictures.Resampling.BICUBIC)
