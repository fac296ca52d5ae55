"""Makes films of drawn characters with known scenes: held drawings, grain, cuts, an opening that episodes share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import WorldError
from pipeline.records import Record
from pipeline.sandbox.draw import Size, draw_shot
from pipeline.sandbox.figure import FaceTruth

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

TICKS = 90_000  # a second, as films count
MOUTHS = ("line", "open", "smile", "open")  # what moves while somebody talks
GRAIN = 3  # least and most that a frame differs from its drawing, of 255
OPENING_SCENES = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene(Record):
    """One shot, from cut to cut."""

    start_s: float  # when its first frame is shown
    seconds: float
    faces: tuple[FaceTruth, ...]  # in pixels of the frame
    opening: bool  # the same in every episode of the series


@dataclass(frozen=True, slots=True)
class Episode:
    """A film and the truth about it."""

    path: Path
    scenes: tuple[Scene, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Film:
    """How an episode is drawn and written.

    Attributes:
        seed: Of the episode; the same one gives the same film.
        series: Of the opening; None for an episode without one.
        scenes: After the opening.
        scene_s: How long each lasts, in seconds.
        size: Width and height in pixels.
        rate: Frames a second.
        hold: Frames that show the same drawing; 2 is "on twos".
        codec: libx264, mpeg4, libvpx …; the file's ending names the container.
        pixels: As FFmpeg names it.
        grain: Whether frames of one drawing differ a little, as those of an old film do.
        shown_at: When the frame of that number is shown, in seconds; None for an even rate.
        options: Of the codec.
        container: Options of the container.
    """

    seed: int = 0
    series: int | None = None
    scenes: int = 3
    scene_s: float = 1.5
    size: Size = (320, 180)
    rate: int = 24
    hold: int = 2
    codec: str = "libx264"
    pixels: str = "yuv420p"
    grain: bool = True
    shown_at: Callable[[int], float] | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    container: Mapping[str, str] = field(default_factory=dict)

    def make(self, path: Path) -> Episode:
        """Draw the episode and write it to *path*.

        Raises:
            WorldError: PyAV is not installed.
        """
        try:
            av = import_module("av")
        except ModuleNotFoundError as error:
            raise WorldError("episodes are written by PyAV, which is missing; pip install 'kaoset[video]'") from error
        frames_each = round(self.scene_s * self.rate)
        truth: list[Scene] = []
        with av.open(str(path), "w", container_options=dict(self.container)) as film:
            stream = self._stream(film)
            rng = np.random.default_rng([self.seed, 7])
            for number, seed in enumerate(self._seeds()):
                first = number * frames_each
                faces = self._shoot(film, stream, seed, range(first, first + frames_each), rng)
                start_s = self._time(first)
                truth.append(
                    Scene(
                        start_s=start_s,
                        seconds=self._time(first + frames_each) - start_s,
                        faces=faces,
                        opening=self.series is not None and number < OPENING_SCENES,
                    )
                )
            film.mux(stream.encode(None))
        return Episode(path, tuple(truth))

    def _seeds(self) -> list[tuple[int, ...]]:
        opening: list[tuple[int, ...]] = (
            [] if self.series is None else [(71, self.series, number) for number in range(OPENING_SCENES)]
        )
        return opening + [(72, self.seed, number) for number in range(self.scenes)]

    def _time(self, frame: int) -> float:
        return frame / self.rate if self.shown_at is None else self.shown_at(frame)

    def _stream(self, film: OutputContainer) -> VideoStream:
        # One thread: the same frames give the same bytes on every machine.
        stream: Any = film.add_stream(self.codec, rate=self.rate, options={"threads": "1", **self.options})
        stream.width, stream.height = self.size
        stream.pix_fmt = self.pixels
        stream.codec_context.time_base = Fraction(1, self.rate if self.shown_at is None else TICKS)
        shot: VideoStream = stream
        return shot

    def _shoot(
        self,
        film: OutputContainer,
        stream: VideoStream,
        seed: Sequence[int],
        frames: range,
        rng: np.random.Generator,
    ) -> tuple[FaceTruth, ...]:
        """Write one scene; its faces are those of its first drawing (a mouth moves no box)."""
        drawings = {mouth: draw_shot(seed, self.size, mouth=mouth) for mouth in dict.fromkeys(MOUTHS)}
        pixels = {mouth: np.asarray(one.picture) for mouth, one in drawings.items()}
        base = stream.codec_context.time_base
        for frame in frames:
            mouth = MOUTHS[(frame - frames[0]) // self.hold // 2 % len(MOUTHS)]
            shown = import_module("av").VideoFrame.from_ndarray(self._grained(pixels[mouth], rng), format="rgb24")
            shown.pts, shown.time_base = round(self._time(frame) / base), base
            film.mux(stream.encode(shown))
        return drawings[MOUTHS[0]].truth.faces

    def _grained(self, pixels_HWC: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        if not self.grain:
            return pixels_HWC
        noise = rng.integers(-GRAIN, GRAIN, pixels_HWC.shape[:2], np.int16, endpoint=True)
        grained: NDArray[np.uint8] = np.clip(pixels_HWC + noise[:, :, None], 0, 255).astype(np.uint8)
        return grained
