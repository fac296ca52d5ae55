"""Which ways to find faces are compared, and how each is timed on the same pictures: the usual scripts, and ours."""

from __future__ import annotations

import io
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from PIL import Image as Pictures

from bench.truth import WANTED, Look, Rule, Score, to_be_looked_at
from pipeline.benchmark import Guess
from pipeline.benchmark.ways import animeface_script, cascade_script
from pipeline.detect import DetectFaces
from pipeline.errors import WorldError
from pipeline.pixels import decode, inspect
from pipeline.recipe import Recipe
from pipeline.records import Box, Detection, Image
from pipeline.sandbox.posts import Kind, PlantedPost, Sandbox
from pipeline.stage import Dropped, Kept
from pipeline.store import Store
from pipeline.workers import Crashed, TimedOut, Workers

MAX_PIXELS = 40_000_000  # width times height; as in the recipe `sandbox`
AT_A_TIME = 6  # pictures that one way looks at before the next way has its turn
TIMEOUT_S = 120.0  # for one picture; no way comes near it
ENLARGED = (2e6, 4e6)  # pixels; what originals on boards have
SEED = 0

Progress = Callable[[str, int, int], None]  # what, done, total


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture that every way is shown, and the truth about it."""

    image: Image
    post: PlantedPost  # its truth is in pixels of this picture
    path: Path
    wanted: float  # pixels; side of the smallest drawn face that must be found


# --- the pictures -----------------------------------------------------------------------------------------------------


def sample(sandbox: Sandbox, count: int, store: Store) -> list[Picture]:
    """Choose *count* of the pictures that the pipeline looks for faces in, the same ones each time."""
    fit = [post for post in sandbox.posts if to_be_looked_at(post) and post.kind is not Kind.REPOST]
    chosen = random.Random(SEED).sample(fit, min(count, len(fit)))
    return [_picture(sandbox.bytes_of(post.number), post, store) for post in chosen]


def enlarge(pictures: Sequence[Picture], store: Store) -> Iterator[Picture]:
    """Enlarge each picture to a size that originals on boards have; the same faces are wanted as before."""
    rng = random.Random(SEED)
    for picture in pictures:
        pixels_HWC = decode(picture.path.read_bytes(), max_pixels=MAX_PIXELS)
        height, width = pixels_HWC.shape[:2]
        scale = max(1.0, (rng.uniform(*ENLARGED) / (width * height)) ** 0.5)
        size = (round(width * scale), round(height * scale))
        buffer = io.BytesIO()
        larger = Pictures.fromarray(pixels_HWC).resize(size, Pictures.Resampling.LANCZOS)
        larger.save(buffer, "JPEG", quality=92)
        yield _picture(buffer.getvalue(), _scaled(picture.post, scale), store, wanted=WANTED * scale)


def _picture(data: bytes, post: PlantedPost, store: Store, wanted: float = WANTED) -> Picture:
    still = inspect(data, max_pixels=MAX_PIXELS)
    sha256 = store.put(data)
    image = Image(
        sha256=sha256,
        md5=post.md5,
        post_id=f"sandbox:{post.number}",
        width=still.width,
        height=still.height,
        bytes=len(data),
        format=still.format,
        phash=still.phash,
    )
    return Picture(image, post, store.path(sha256), wanted)


def _scaled(post: PlantedPost, scale: float) -> PlantedPost:
    def larger(box: Box) -> Box:
        side = round(box.width * scale)
        return Box(left=round(box.left * scale), top=round(box.top * scale), width=side, height=side)

    faces = tuple(replace(face, box=larger(face.box)) for face in post.truth.faces)
    return replace(post, truth=replace(post.truth, faces=faces))


# --- the ways ---------------------------------------------------------------------------------------------------------


class Way(Protocol):
    """Finds faces in pictures, in one process with one thread."""

    name: str

    @property
    def rule(self) -> Rule | None:
        """What is sure without a person; None: it says nothing of how sure it is."""
        ...

    def look(self, pictures: Sequence[Picture]) -> dict[str, tuple[Detection, ...]]:
        """Find the faces of each picture, from the file to the boxes; by SHA-256."""
        ...

    def close(self) -> None:
        """End the process."""
        ...


class Usual:
    """What everybody's script does: one detector on the full-size picture."""

    rule = None

    def __init__(self, name: str, script: Callable[[Path], list[Guess]]) -> None:
        self.name, self._script = name, script
        self._workers = Workers(1, timeout_s=TIMEOUT_S)

    def look(self, pictures: Sequence[Picture]) -> dict[str, tuple[Detection, ...]]:
        """See `Way`."""
        of_path = {picture.path: picture.image.sha256 for picture in pictures}
        found = {}
        for path, guesses in self._workers.map(self._script, of_path):
            if isinstance(guesses, Crashed | TimedOut):
                raise WorldError(f"{self.name}: {guesses.detail} on {path.name[:12]}; run the bench again")
            found[of_path[path]] = tuple(
                Detection(image_sha256=of_path[path], box=one.box, detector=self.name, score=1.0)
                for one in guesses
                if one.answer
            )
        return found

    def close(self) -> None:
        """See `Way`."""
        self._workers.close()


class Ours:
    """The stage `detect` as a recipe configures it, with one worker."""

    def __init__(self, name: str, recipe: Recipe, store: Store) -> None:
        self.name, self._store = name, store
        self.rule = Rule(recipe.review.accept_alone, recipe.review.accept_agreed)
        self._workers = Workers(1, timeout_s=TIMEOUT_S)
        self._stage = DetectFaces(
            detectors=recipe.detect.detectors,
            side=recipe.detect.side,
            min_face=recipe.filter.min_face,
            max_pixels=MAX_PIXELS,
            workers=self._workers,
        )

    def look(self, pictures: Sequence[Picture]) -> dict[str, tuple[Detection, ...]]:
        """See `Way`."""
        found: dict[str, tuple[Detection, ...]] = {}
        for outcome in self._stage([picture.image for picture in pictures], self._store):
            match outcome:
                case Kept(item, outputs):
                    found[item.sha256] = outputs
                case Dropped(item):
                    found[item.sha256] = ()
        return found

    def close(self) -> None:
        """See `Way`."""
        self._workers.close()


# --- the race ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lap:
    """What one way found in a set of pictures, and how long it took."""

    name: str
    seconds: float
    pictures: Sequence[Picture]
    looks: tuple[Look, ...]  # in the order of the pictures
    rule: Rule | None

    @property
    def per_second(self) -> float:
        """Pictures."""
        return len(self.pictures) / self.seconds

    def score(self, rule: Rule | None) -> Score:
        """Score the boxes that *rule* is sure of; without a rule, all."""
        total = Score()
        for picture, look in zip(self.pictures, self.looks, strict=True):
            total.add(look.boxes(rule), look.post, picture.wanted)
        return total


def race(ways: Sequence[Way], pictures: Sequence[Picture], title: str, progress: Progress) -> list[Lap]:
    """Let every way look at every picture, a few at a time in turn.

    So a busy moment of the machine hits all of them alike. The processes are started, and the detectors tested, before
    the clock runs.
    """
    seconds = {way.name: 0.0 for way in ways}
    found: dict[str, dict[str, tuple[Detection, ...]]] = {way.name: way.look(pictures[:1]) for way in ways}
    for start in range(0, len(pictures), AT_A_TIME):
        some = pictures[start : start + AT_A_TIME]
        first = start // AT_A_TIME % len(ways)
        for way in [*ways[first:], *ways[:first]]:
            began = time.perf_counter()
            found[way.name] |= way.look(some)
            seconds[way.name] += time.perf_counter() - began
        progress(title, start + len(some), len(pictures))
    return [
        Lap(
            name=way.name,
            seconds=seconds[way.name],
            pictures=pictures,
            looks=tuple(Look(picture.post, found[way.name][picture.image.sha256]) for picture in pictures),
            rule=way.rule,
        )
        for way in ways
    ]


def all_ways(stack: ExitStack, recipes: Sequence[Recipe], store: Store, *, cascade: bool) -> list[Way]:
    """Start the usual scripts, and the stage `detect` of each recipe; *stack* ends them."""
    ways: list[Way] = [Usual("animeface script", animeface_script)]
    if cascade:
        ways.append(Usual("cascade script", cascade_script))
    ways += [Ours(f"kaoset, {recipe.name}", recipe, store) for recipe in recipes]
    for way in ways:
        stack.callback(way.close)
    return ways
