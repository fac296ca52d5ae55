"""Where labelled pictures come from: a release with what people said of its data folder, and folders without faces."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.catalog import Catalog
from pipeline.errors import UsageError
from pipeline.manifest import MANIFEST, read_csv
from pipeline.pixels import BadImage, decode, fit
from pipeline.records import Box, Detection, FaceCrop, Image, Verdict
from pipeline.sources.folder import PICTURES, files_below
from pipeline.store import Store
from pipeline.train.sheets import Coloured
from pipeline.train.windows import Labelled

SIDE = 640  # pixels; longer side of the picture that is learnt from, as in the stage `detect`
SMALLEST = 18  # pixels; a face that is smaller in that picture is nothing to learn from
MAX_PIXELS = 100_000_000  # width times height
SAME = 0.3  # overlap above which two boxes are of the same face


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A picture that can be read when it is needed, and what is in it; in pixels of the upright picture, full size."""

    name: str  # of this picture alone
    read: Callable[[], bytes]
    width: int = 0  # pixels; 0 where there are no boxes
    faces: tuple[Box, ...] = ()
    ignored: tuple[Box, ...] = ()  # where there may be faces that nobody has decided on
    family: str = ""  # pictures that are alike have the same; "": it is like no other


def choose(sources: Iterable[Source], most: int, seed: int) -> list[Source]:
    """Take at most so many of the pictures; the same ones for the same seed, in whatever order they come."""
    known = sorted(sources, key=lambda one: one.name)
    chosen = np.random.default_rng(seed).permutation(len(known))[:most]
    return [known[index] for index in sorted(chosen)]


def load(sources: Iterable[Source]) -> Iterator[Labelled | None]:
    """Decode, reduce and turn grey one picture after the other; None for what is no whole still picture.

    Raises:
        StoreError: The bytes of a picture are not there.
    """
    for one in coloured(sources, SIDE, SMALLEST):
        yield (
            None
            if one is None
            else Labelled(
                grey=np.asarray(cv2.cvtColor(one.pixels_HWC, cv2.COLOR_RGB2GRAY), np.uint8),
                faces=one.faces,
                ignored=one.ignored,
                family=one.family,
            )
        )


def coloured(sources: Iterable[Source], side: int, smallest: int) -> Iterator[Coloured | None]:
    """Decode and reduce one picture after the other; None for what is no whole still picture.

    Args:
        sources: What is read.
        side: Longer side of a picture, in pixels, at most.
        smallest: Side in pixels of the smallest face in it; what is smaller is ignored.

    Raises:
        StoreError: The bytes of a picture are not there.
    """
    for one in sources:
        try:
            pixels_HWC = fit(decode(one.read(), max_pixels=MAX_PIXELS, at_least=side), side)
        except BadImage:
            yield None
            continue
        scale = pixels_HWC.shape[1] / one.width if one.width else 1.0
        faces = [_scaled(box, scale) for box in one.faces]
        small = [box for box in faces if box.width < smallest]
        yield Coloured(
            pixels_HWC,
            faces=tuple(box for box in faces if box.width >= smallest),
            ignored=tuple(_scaled(box, scale) for box in one.ignored) + tuple(small),
            family=one.family or one.name,
        )


def of_backgrounds(folder: Path) -> list[Source]:
    """List the pictures below a folder in which nobody is to be seen.

    Raises:
        UsageError: It cannot be read.
    """
    return [
        Source(name=path.relative_to(folder).as_posix(), read=functools.partial(_bytes_of, path))
        for path in files_below(folder, PICTURES)
    ]


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); make it readable, or move it out") from error


def of_release(release: Path, store: Store, catalog: Catalog | None) -> list[Source]:
    """List the pictures of a release, and those of its data folder in which a person rejected a box.

    Accepted crops are faces. What a person rejected is none. Any other find of those pictures is ignored: a filter left
    it out, or nobody has decided on it, and a face may be there.

    Args:
        release: Its folder.
        store: Where the pictures lie.
        catalog: Of the data folder; None where there is none, and then all that is not in the release is no face.

    Raises:
        UsageError: The release has no manifest.
    """
    faces: dict[str, list[Box]] = defaultdict(list)
    widths: dict[str, int] = {}
    families: dict[str, str] = {}
    for row in read_csv(release / MANIFEST).to_dict("records"):
        left, top, width, height = (int(row[f"box_{name}"]) for name in ("left", "top", "width", "height"))
        faces[row["image_sha256"]].append(Box(left=left, top=top, width=width, height=height))
        widths[row["image_sha256"]] = int(row["image_width"])
        families[row["image_sha256"]] = row["family"]
    rejected = _rejected(catalog) if catalog else {}
    return [
        Source(
            name=sha256,
            read=functools.partial(store.get, sha256),
            width=widths.get(sha256) or _width(catalog, sha256),
            faces=tuple(faces.get(sha256, ())),
            ignored=_undecided(catalog, sha256, [*faces.get(sha256, ()), *rejected.get(sha256, ())]),
            family=families.get(sha256, ""),
        )
        for sha256 in sorted({*faces, *rejected})
    ]


def _rejected(catalog: Catalog) -> dict[str, list[Box]]:
    """Find the boxes that a person rejected, by their picture."""
    found: dict[str, list[Box]] = defaultdict(list)
    for crop, decision in catalog.decisions().items():
        if decision.verdict is Verdict.REJECT:
            for _, record in catalog.find(crop):
                if isinstance(record, FaceCrop) and record.sha256 == crop:
                    found[record.detection.image_sha256].append(record.detection.box)
    return found


def _undecided(catalog: Catalog | None, sha256: str, decided: list[Box]) -> tuple[Box, ...]:
    """Give the boxes that any detector ever found in a picture and nobody decided on."""
    if catalog is None:
        return ()
    finds = (one for said in catalog.history(sha256) for one in said.outputs)
    boxes = {one.box for one in finds if isinstance(one, Detection)}
    return tuple(sorted(box for box in boxes if not any(box.overlap(one) > SAME for one in decided)))


def _width(catalog: Catalog | None, sha256: str) -> int:
    images = catalog.find(sha256) if catalog else []
    return next(record.width for _, record in images if isinstance(record, Image) and record.sha256 == sha256)


def _scaled(box: Box, scale: float) -> Box:
    left, top, right, bottom = (round(side * scale) for side in (box.left, box.top, box.right, box.bottom))
    return Box(left=left, top=top, width=right - left, height=bottom - top)
