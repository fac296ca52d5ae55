"""What `flow review simulate` tells: how many crops a person looks at to find what is no face, in which order."""

from __future__ import annotations

import io
import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from flows.show import Display
from pipeline.benchmark import Guess, Picture, Truth, judge, load
from pipeline.catalog import Catalog
from pipeline.crop import CropFaces
from pipeline.detect import DetectFaces
from pipeline.errors import StoreError, UsageError
from pipeline.pixels import BadImage, decode
from pipeline.records import Detection, FaceCrop, Reason, Verdict
from pipeline.review import ReviewCrops
from pipeline.review.features import DIM, Embeddings, cheap, embed
from pipeline.review.order import ENOUGH
from pipeline.review.shelf import open_shelf
from pipeline.review.simulate import PAGE, Curve, simulate
from pipeline.sandbox import hard
from pipeline.stage import Kept
from pipeline.store import Store
from pipeline.workers import Workers

ALONE = ("drawn_faces",)  # needs no third-party file; what one detector saw is never sure, so all of it waits
PICTURES, SEED = 580, 12  # of that seed nothing was fitted: neither scores, nor detectors, nor what learns the order
LEAST = 0.02  # probability; what is less probable is dropped, and no person sees it
NOT_SEEN = frozenset({"bulk", "family"})  # decisions on crops that nobody looked at
_SIZE = 64  # pixels of a crop; the faces of hard pictures are small, and embeddings look at no more
_MAX_PIXELS = 100_000_000  # width times height

Tell = Callable[[str, int, int], None]  # what, done, total


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Queue:
    """Crops that wait for a person, and what is true of them."""

    about: str  # for people
    cheap_ND: NDArray[np.float32]  # noqa: N815 -- arrays carry their axes
    embedded_ND: NDArray[np.float32]  # noqa: N815
    false_N: NDArray[np.bool_]  # noqa: N815

    def simulated(self, seed: int = 0, page: int = PAGE) -> Simulated:
        """Say how soon what is false is found, in each order.

        Raises:
            UsageError: There is nothing false in it.
        """
        if not self.false_N.any():
            raise UsageError(f"{self.about}: all {len(self.false_N)} are faces, so there is nothing to be found")
        curves = simulate(self.cheap_ND, self.embedded_ND, self.false_N, page=page, seed=seed)
        return Simulated(about=self.about, page=page, curves=tuple(curves))


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Simulated:
    """How soon what is false is found in a queue, in each order."""

    about: str
    page: int  # crops
    curves: tuple[Curve, ...]  # random comes first


def simulate_on_drawings(
    pictures: int,
    seed: int,
    data: Path,
    workers: int,
    shown: Display,
    detectors: tuple[str, ...] = ALONE,
    rule: ReviewCrops | None = None,
) -> Simulated:
    """Review crops of hard pictures, of which it is known what is a face: see `drawn_queue`.

    Raises:
        UsageError: There is no such detector, or all that waits are faces.
        WorldError: A detector is missing, or nothing can be written.
    """
    drawn = hard.build(data / "bench", pictures, seed, progress=partial(shown.progress, "draw"))
    about = f"{pictures} hard pictures, version {hard.VERSION}, seed {seed}, {'+'.join(detectors)}"
    seen = look_at(drawn, detectors, workers, shown.progress)
    return seen.queue(about, rule or ReviewCrops(decisions={})).simulated()


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Seen:
    """All crops that a run would have made of drawn pictures, and what is true of them."""

    crops: tuple[FaceCrop, ...]
    cheap_ND: NDArray[np.float32]  # noqa: N815
    embedded_ND: NDArray[np.float32]  # noqa: N815
    false_N: NDArray[np.bool_]  # noqa: N815

    def queue(self, about: str, rule: ReviewCrops) -> Queue:
        """Give those that wait for a person by *rule*, and are not too improbable to be shown at all.

        Raises:
            UsageError: Nothing waits.
        """
        waits = [
            index
            for index, crop in enumerate(self.crops)
            if crop.detection.score >= LEAST and rule.against(crop) is Reason.WAITING
        ]
        if not waits:
            raise UsageError(f"{about}: nothing waits for a person; take more pictures, or other detectors")
        return Queue(
            about=about,
            cheap_ND=self.cheap_ND[waits],
            embedded_ND=self.embedded_ND[waits],
            false_N=self.false_N[waits],
        )


def look_at(drawn: Sequence[hard.Labelled], detectors: tuple[str, ...], workers: int, tell: Tell) -> Seen:
    """Find and cut the faces of drawn pictures as a run does, and say what is false.

    False is what `flow bench faces` counts as wrong: a box that overlaps no drawn face by half, or one that a surer box
    has. So it is what is no face, and also a face that is cut so badly that it must be cut anew.

    Args:
        drawn: Hard pictures.
        detectors: The last judges what the others propose.
        workers: Processes; 0: one for each core.
        tell: Told how far it is.

    Raises:
        UsageError: There is no such detector.
        WorldError: A detector is missing, or nothing can be written.
    """
    with tempfile.TemporaryDirectory(prefix="kaoset-order-") as name, Workers(workers or os.cpu_count() or 1) as pool:
        store = Store(Path(name))
        truths = [Truth(path=one.path, faces=tuple(face.box for face in one.faces)) for one in drawn]
        pictures = {one.image.sha256: one for one in (load(truth, store) for truth in truths)}
        found: dict[Detection, bool] = {}
        stage = DetectFaces(detectors=detectors, workers=pool)
        for done, seen in enumerate(stage((one.image for one in pictures.values()), store), 1):
            tell("look", done, len(pictures))
            if isinstance(seen, Kept):
                found |= _judged(pictures[seen.item.sha256], seen.outputs)
        cut = list[tuple[FaceCrop, NDArray[np.float32]]]()
        for outcome in CropFaces(size=_SIZE, workers=pool)(found, store):
            if isinstance(outcome, Kept):
                cut += [(one, embed(decode(store.get(one.sha256), max_pixels=_MAX_PIXELS))) for one in outcome.outputs]
                tell("cut", len(cut), len(found))
    cut.sort(key=lambda one: one[0].id)  # workers answer in any order, and chance is to choose the same ones
    crops = [crop for crop, _ in cut]
    return Seen(
        crops=tuple(crops),
        cheap_ND=cheap(_columns(crops, pictures)),
        embedded_ND=np.array([looks for _, looks in cut], np.float32).reshape(-1, DIM),
        false_N=np.array([not found[crop.detection] for crop in crops], np.bool_),
    )


def _judged(picture: Picture, detections: Sequence[Detection]) -> dict[Detection, bool]:
    """Say of each detection in a picture whether it is of a face."""
    said = {one.box: one for one in detections}
    hits = judge("", [picture], [[Guess(box=one.box, score=one.score) for one in detections]]).hits
    right = {said[hit.guess.box]: hit.face is not None for hit in hits}
    return {one: right[one] for one in detections}


def _columns(crops: Sequence[FaceCrop], pictures: Mapping[str, Picture]) -> dict[str, NDArray[Any]]:
    """Give what `features.cheap` asks for, as the shelf of the review page has it."""
    faces = Counter(crop.detection.image_sha256 for crop in crops)
    rows = []
    for crop in crops:
        detection, box = crop.detection, crop.detection.box
        image = pictures[detection.image_sha256].image
        rows.append(
            {
                "score": detection.score,
                "agreed": detection.agreed,
                "seen": detection.detector.count("+") + 1,
                "side": crop.side,
                "share": min(1.0, crop.side**2 / (image.width * image.height)),
                "x": (box.left + box.width / 2) / image.width,
                "y": (box.top + box.height / 2) / image.height,
                "faces": faces[detection.image_sha256],
                **{name: getattr(crop, name) for name in _MEASURED},
            }
        )
    names = ("score", "agreed", "seen", "side", "share", "x", "y", "faces", *_MEASURED)
    return {name: np.array([row[name] for row in rows], np.float64) for name in names}


_MEASURED = ("sharpness", "contrast", "chroma", "padded", "turned")


def simulate_on_decisions(catalog: Catalog, store: Store, folder: Path, shown: Display) -> Simulated:
    """Review once more what was decided on the crops of the last runs, as if nobody had.

    Crops count about which somebody was sure after a look; of near-copies, which are one decision, one.

    Args:
        catalog: Knows the crops and the decisions.
        store: Where the crops lie.
        folder: Where the review page keeps what it has gathered (`review` in a data folder).
        shown: Told how far it is.

    Raises:
        UsageError: Too little is decided for anything to be learnt, or nothing is rejected.
        WorldError: Something cannot be read or written.
    """
    decided = {
        sha256: one.verdict is Verdict.REJECT
        for sha256, one in sorted(catalog.decisions().items())
        if one.verdict in (Verdict.KEEP, Verdict.REJECT) and one.via not in NOT_SEEN
    }
    shelf = open_shelf(catalog, folder, shown.progress)
    rows = shelf.rows(list(decided))
    false = np.array(list(decided.values()), np.bool_)
    _, first = np.unique(shelf["unit"][rows[rows >= 0]], return_index=True)
    rows, false = rows[rows >= 0][first], false[rows >= 0][first]
    if len(rows) < ENOUGH:
        raise UsageError(
            f"{len(rows)} crops of the last runs are decided on, and an order is learnt from {ENOUGH} on; review some "
            "more, or leave --decisions away to try it on drawings"
        )
    looks = _looks([shelf.sha256(int(row)) for row in rows], store, folder / "looks", shown.progress)
    queue = Queue(about=f"{len(rows)} decisions", cheap_ND=cheap(shelf.columns)[rows], embedded_ND=looks, false_N=false)
    return queue.simulated()


def _looks(sha256s: Sequence[str], store: Store, folder: Path, tell: Tell) -> NDArray[np.float32]:
    """Say what crops look like; all NaN where that cannot be had any more."""
    known = Embeddings(folder)
    try:
        looks = known.get(sha256s)
        missing = np.flatnonzero(np.isnan(looks[:, 0])).tolist()
        for done, place in enumerate(missing, 1):
            tell("look", done, len(missing))
            try:
                looks[place] = embed(decode(store.get(sha256s[place]), max_pixels=_MAX_PIXELS))
            except (StoreError, BadImage):  # it is ranked by its numbers alone
                continue
            known.put(sha256s[place], looks[place])
    finally:
        known.close()
    return looks


def table(simulated: Simulated) -> Table:
    """Show how many crops a person sees in each order until 95 % of the false ones are found."""
    chance = simulated.curves[0]
    title = (
        f"{simulated.about}: {chance.total} crops wait, {chance.false} of them false; "
        f"pages of {simulated.page} · seen to find 95 % of the false ones"
    )
    shown = Table(title=title, title_justify="left")
    shown.add_column("order")
    for column in ("crops seen", "share of the random order", "WSS@95"):
        shown.add_column(column, justify="right")
    for name, seen, wss in lines(simulated.curves):
        shown.add_row(name, str(seen), f"{seen / chance.to_95:.1%}", wss)
    return shown


def lines(curves: Sequence[Curve]) -> list[tuple[str, int, str]]:
    """Give the name of each order, how many crops are seen, and what that saves; and what no order can do better."""
    told = [(curve.name, curve.to_95, f"{curve.wss_95:.3f}") for curve in curves]
    return [*told, ("the least there can be", curves[0].least, "")]


def draw(simulated: Sequence[Simulated]) -> bytes:
    """Draw the share of the false ones that are found over the share of crops that are seen, as a PNG."""
    from matplotlib.figure import Figure  # noqa: PLC0415 -- a second to load

    wide = min(2, len(simulated))
    high = math.ceil(len(simulated) / wide)
    figure = Figure(figsize=(6.5 * wide, 5 * high), layout="constrained")
    for axes, one in zip(figure.subplots(high, wide, squeeze=False).flat, simulated, strict=False):
        for curve, style in zip(one.curves, ("--", "-", "-"), strict=False):
            seen = np.arange(curve.total + 1) / curve.total
            label = f"{curve.name}: {curve.to_95} of {curve.total}"
            (line,) = axes.plot(seen, curve.found / curve.false, style, label=label)
            axes.plot([curve.to_95 / curve.total], [0.95], "o", color=line.get_color())
        axes.axhline(0.95, color="0.7", linewidth=0.8)
        axes.set(title=one.about, xlabel="crops seen", ylabel="false ones found", xlim=(0, 1), ylim=(0, 1.02))
        axes.title.set_fontsize(9)
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right", title="seen to find 95 %")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100, metadata={"Software": None})
    return out.getvalue()
