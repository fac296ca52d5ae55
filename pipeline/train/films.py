"""Films of a training: a walk from face to face through the noise, and the same faces as they were learned."""

from __future__ import annotations

import io
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pipeline.errors import StoreError
from pipeline.pixels import BadImage, decode
from pipeline.store import write_atomically
from pipeline.train.runs import Run, read_run, samples

FRAMES = 120  # of a film over time, at most
MS = 100  # each of them is shown
LAST_MS = 1500  # so long one looks at where it ended
SIDE = 512  # pixels: a film's longer side is at most this, and small pictures are enlarged towards it
STRIP = 18  # pixels under the picture, for the words
_SEEN = 8  # frames by which a film's colours are chosen
_PARALLEL = 0.9995  # cosine above which the sine of the angle is too small to divide by
_MAX_PIXELS = 8192 * 8192  # of a grid

Frame = NDArray[np.uint8]  # RGB, height x width x 3


def slerp(a_NZ: Tensor, b_NZ: Tensor, t: float) -> Tensor:
    """Go from *a_NZ* to *b_NZ* along the great circle, by the share *t*; 0 and 1 give the ends themselves.

    Gaussian noise lies near a sphere, and a straight line would cut through its empty inside. Shoemake, Animating
    Rotation with Quaternion Curves (SIGGRAPH 1985); for generators White, Sampling Generative Networks
    (arXiv 1609.04468). Rows that point nearly the same way, or opposite ways, are mixed in a straight line.

    Args:
        a_NZ: float.
        b_NZ: float, of the same shape.
        t: 0 to 1.

    Returns:
        float, N x Z; where both ends have one length, of that length.
    """
    cosine_N1 = torch.nn.functional.cosine_similarity(a_NZ, b_NZ, dim=1).clamp(-1, 1)[:, None]
    angle_N1 = cosine_N1.acos()
    sine_N1 = angle_N1.sin()
    round_NZ = ((1 - t) * angle_N1).sin() / sine_N1 * a_NZ + (t * angle_N1).sin() / sine_N1 * b_NZ
    return torch.where(cosine_N1.abs() > _PARALLEL, (1 - t) * a_NZ + t * b_NZ, round_NZ)


def path(noise_KZ: Tensor, frames_between: int) -> Tensor:
    """Walk through all anchors and from the last back to the first.

    Args:
        noise_KZ: The anchors, float, at least one.
        frames_between: Steps put between an anchor and the next, 0 or more.

    Returns:
        float, K * (frames_between + 1) x Z; the first is the first anchor, and after the last it would come again.
    """
    after_KZ = noise_KZ.roll(-1, 0)
    steps = frames_between + 1
    walked_SKZ = torch.stack([slerp(noise_KZ, after_KZ, step / steps) for step in range(steps)])
    return walked_SKZ.transpose(0, 1).flatten(0, 1)


def write_gif(path: Path, frames: Sequence[Frame], ms: int, last_ms: int = LAST_MS) -> None:
    """Write an animation that repeats for ever, all or nothing; without frames nothing is written.

    Args:
        path: Of the GIF.
        frames: RGB, uint8, all of one shape; together they share 256 colours.
        ms: How long each is shown, in milliseconds; a GIF counts in tens.
        last_ms: How long the last one is.

    Raises:
        StoreError: The disk is full, or the folder cannot be written.
    """
    if not frames:
        return
    palette = _palette(frames)
    first, *others = (Image.fromarray(one).quantize(palette=palette, dither=Image.Dither.NONE) for one in frames)
    data = io.BytesIO()
    durations = [ms] * len(others) + [last_ms]
    first.save(data, "GIF", save_all=True, append_images=others, duration=durations, loop=0, optimize=False)
    write_atomically(path, data.getvalue())


def _palette(frames: Sequence[Frame]) -> Image.Image:
    """Choose the colours by a few frames, from the first to the last: all of them take seconds and show no more."""
    places = np.linspace(0, len(frames) - 1, min(_SEEN, len(frames))).round().astype(int)
    return Image.fromarray(np.concatenate([frames[place] for place in places])).quantize(256)


def write_mp4(path: Path, frames: Sequence[Frame], fps: int) -> bool:
    """Write a film that browsers play (H.264, 4:2:0, its index in front), all or nothing.

    Args:
        path: Of the MP4.
        frames: RGB, uint8, all of one shape; an odd side gets its last row or column twice, as the format needs.
        fps: Frames a second.

    Returns:
        False where PyAV (the [video] extra) or its H.264 encoder is missing, or there is no frame; then nothing is
        written.

    Raises:
        StoreError: The disk is full, or the folder cannot be written.
    """
    try:
        import av  # noqa: PLC0415 - an extra

        av.Codec("libx264", "w")
    except (ImportError, ValueError):
        return False
    if not frames:
        return False
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", suffix=".mp4", dir=path.parent)
        os.close(descriptor)
        _encode(temporary, frames, fps)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror}); free some space or choose --data") from error
    finally:
        Path(temporary or path.with_name(".new-none")).unlink(missing_ok=True)
    return True


def _encode(name: str, frames: Sequence[Frame], fps: int) -> None:
    import av  # noqa: PLC0415 - an extra
    import av.video.stream  # noqa: PLC0415

    height, width = (side + side % 2 for side in frames[0].shape[:2])
    with av.open(name, "w", options={"movflags": "+faststart"}) as film:
        stream = film.add_stream("libx264", rate=fps, options={"crf": "18", "preset": "fast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for pixels_HWC in frames:
            missing = ((0, height - pixels_HWC.shape[0]), (0, width - pixels_HWC.shape[1]), (0, 0))
            whole_HWC = np.pad(pixels_HWC, missing, mode="edge")
            film.mux(stream.encode(av.VideoFrame.from_ndarray(whole_HWC, format="rgb24")))
        film.mux(stream.encode())


def film_of(run_dir: Path) -> tuple[Path, ...]:
    """Make fixed.gif and fixed.mp4 of the grids of the same noise, in the order in which they were learned.

    Takes about two seconds for 120 grids. Grids that are damaged, or of another size than the newest, are left out.

    Returns:
        What was written: nothing where there is no grid, no MP4 where PyAV is missing.

    Raises:
        StoreError: The disk is full, or the folder cannot be written.
    """
    run = read_run(run_dir)
    frames = _frames(run, _chosen(samples(run_dir, "fixed")))
    if not frames:
        return ()
    gif, mp4 = run_dir / "fixed.gif", run_dir / "fixed.mp4"
    write_gif(gif, frames, MS)
    held = [*frames, *[frames[-1]] * (LAST_MS // MS)]
    return (gif, mp4) if write_mp4(mp4, held, 1000 // MS) else (gif,)


def _chosen(found: Sequence[tuple[int, Path]]) -> list[tuple[int, Path]]:
    """Take so many as a film has, evenly; the first and the last are always among them."""
    places = np.linspace(0, len(found) - 1, min(FRAMES, len(found))).round().astype(int)
    return [found[place] for place in places]


def _frames(run: Run, found: Sequence[tuple[int, Path]]) -> list[Frame]:
    grids = [(step, pixels) for step, file in found if (pixels := _pixels(file)) is not None]
    return [_labelled(pixels, step, run) for step, pixels in grids if pixels.shape == grids[-1][1].shape]


def _pixels(file: Path) -> Frame | None:
    try:
        return fitted(decode(file.read_bytes(), max_pixels=_MAX_PIXELS))
    except (OSError, BadImage):
        return None


def fitted(pixels_HWC: Frame, most: int = SIDE) -> Frame:
    """Bring a picture near *most* pixels: enlarged in whole steps, so that pixels stay pixels, or averaged down."""
    height, width, _ = pixels_HWC.shape
    longer = max(height, width)
    if longer <= most:
        return pixels_HWC.repeat(most // longer, axis=0).repeat(most // longer, axis=1)
    side = (max(1, width * most // longer), max(1, height * most // longer))
    return np.asarray(Image.fromarray(pixels_HWC).resize(side, Image.Resampling.BOX))


def _labelled(pixels_HWC: Frame, step: int, run: Run) -> Frame:
    """Write under a grid how many images had been shown, and draw how much of the training that was."""
    height, width, _ = pixels_HWC.shape
    sheet = Image.new("RGB", (width, height + STRIP), "white")
    sheet.paste(Image.fromarray(pixels_HWC), (0, 0))
    draw = ImageDraw.Draw(sheet)
    kimg = run.kimg_of(step)
    words = f"step {step:,}" if kimg is None else f"{kimg:,.1f} kimg"
    draw.text((3, height + 3), words, fill="#1f2328", font=ImageFont.load_default())
    if run.total_steps:
        done = math.ceil(width * min(1.0, step / run.total_steps))
        draw.rectangle((0, height + STRIP - 2, done - 1, height + STRIP - 1), fill="#4477aa")
    return np.asarray(sheet)
