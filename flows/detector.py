"""The flow that trains a face network: what it learns from, where it goes, and what it is worth on other pictures."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

from rich.table import Table

from flows.jobs import terminated
from flows.lessons import SANDBOX, backgrounds, divided, of_hard, of_sandbox, read, released, values
from flows.show import Display
from pipeline import __version__
from pipeline.detectors import DETECTORS, build, onnx
from pipeline.detectors.lbpcascade import find
from pipeline.detectors.onnx import OnnxDetector
from pipeline.errors import DetectorError, StoppedError, UsageError, WorldError
from pipeline.folder import DataFolder
from pipeline.pixels import Pixels, encode_png, fit
from pipeline.sandbox import hard, posts
from pipeline.store import write_atomically
from pipeline.train.detector import INPUT_SIDE, PICTURE_SIDE, DetectorConfig, Progress, Weights, check, train
from pipeline.train.labelled import Source, choose, coloured
from pipeline.train.sheets import Coloured
from pipeline.train.trial import Trial, scored

SCRATCH = "scratch"  # what is begun from, instead of a model
SMALLEST = 8  # pixels; a face that is smaller in the network's input counts neither way
TRIED_ON = 200  # pictures held out, at most: the others in the table take half a second for each
PROPOSED = 0.8  # share of the boxes that must hold a face: another detector or a person can reject, not conjure up
_DRAWERS = 2  # processes that draw
_SET = 145  # hard pictures: five of each difficulty
_LEAST = 0.05  # score of a box that is looked at, when the score to ask for is chosen
_USUAL = 0.3  # score that is asked for where no picture is left to choose it by
_PROOFS = 40  # pictures in which a face is looked for to show as proof, at most
_PROOF_SIDE = 256  # pixels
_TELL_EVERY = 250  # steps


@dataclass(frozen=True, kw_only=True)
class TrainedDetector:
    """What a training of a face network left behind."""

    path: Path  # the TOML; model and proof lie beside it
    bytes: int  # of the model
    steps: int
    finished: bool  # False: stopped; what was learnt by then
    held_out: int  # pictures that it was tried on
    own: Sequence[Trial]  # on the pictures held out; none when it was stopped, or nothing was held out
    others: dict[str, Sequence[Trial]]  # of other detectors that are at hand


def read_config(overrides: Sequence[str], *, anew: bool) -> DetectorConfig:
    """Read ``key=value`` pairs; what is not named has the usual value, which is another when a model is trained on.

    Raises:
        RecipeError: A key is unknown, a value no number, or out of range.
    """
    said = values(overrides, DetectorConfig, "kimg=10")
    return DetectorConfig(**said) if anew else DetectorConfig.going_on(**said)


def train_detector(
    data: Path,
    name: str | None,
    overrides: Sequence[str],
    display: Display,
    *,
    catalog: str = "",
    without_faces: Path | None = None,
    start: str | None = None,
    out: Path | None = None,
) -> TrainedDetector:
    """Learn to find faces like those of a release, or of the sandbox's drawings.

    Args:
        data: The data folder: releases, pictures, decisions, drawings.
        name: ``sandbox``, or a release by folder, recipe/number or recipe; None: the last release.
        overrides: How, as `read_config` reads it.
        display: Where it is told.
        catalog: The URL of its catalog; "": SQLite in the data folder.
        without_faces: A folder of pictures in which nobody is to be seen, learnt from as well.
        start: ``scratch``, or the .onnx of a model made by this command, to go on from; None: from nothing for the
            sandbox, from the model that comes with kaoset for a release.
        out: The model; None: ``detectors/<name>.onnx`` in the data folder. What was stopped lies beside it.

    Raises:
        UsageError: There is no such release, folder or model, or nothing in it to learn from.
        WorldError: PyTorch is missing, the release is not sound, its pictures are gone, a file cannot be written, or it
            has not learnt to find one face.
        StoppedError: It was stopped before it found any face.
    """
    begun_from = start or (SCRATCH if name == SANDBOX else onnx.OWN)
    config = read_config(overrides, anew=begun_from == SCRATCH)
    first = _begun(begun_from)
    check(config, first)
    if out is not None and (out.is_dir() or out.suffix != ".onnx"):
        better = out / "mine.onnx" if out.is_dir() else out.with_suffix(".onnx")
        raise UsageError(f"{out}: name a file that ends in .onnx, such as {better}")
    more = backgrounds(without_faces) if without_faces else []
    called, sources = _sources(DataFolder(data), catalog, name, config, display)
    if out is None:
        out = data / "detectors" / f"{called.replace('/', '-')}.onnx"
    chosen = choose([*sources, *more], config.pictures, config.seed)
    learnt, held_out = divided(read(coloured(chosen, PICTURE_SIDE, SMALLEST), len(chosen), display), config.seed)
    if not any(one.faces for one in learnt):
        raise UsageError(f"{called}: holds no face to learn from; gather more pictures")
    display.say(
        f"learns from {len(learnt)} pictures with {sum(len(one.faces) for one in learnt)} faces; "
        f"{len(held_out)} are held out, to try it on"
    )
    made = _made(called, config, begun_from, without_faces)
    with terminated() as stop:
        weights = train(learnt, config, _teller(display), stop, start=first, made="\n".join(made))
        finished = not stop()
    path = out if finished else out.with_name(f"{out.stem}.stopped{out.suffix}")
    tried = held_out[:: math.ceil(len(held_out) / TRIED_ON) or 1] if finished else []
    judged = _judged(weights, tried, [*held_out, *learnt])
    if judged.sure < judged.asked:
        kind = WorldError if finished else StoppedError
        raise kind("it does not find one face yet, so nothing is written; train longer, on more pictures")
    _write(path, weights, judged.proof, _described(path, made, judged.asked))
    return TrainedDetector(
        path=path.with_suffix(".toml"),
        bytes=len(weights.onnx),
        steps=weights.steps,
        finished=finished,
        held_out=len(tried),
        own=judged.own,
        others=_others(tried, display) if tried else {},
    )


def _begun(start: str) -> bytes | None:
    """Read the model that is trained on."""
    if start == SCRATCH:
        return None
    path = find(onnx.OWN) if start == onnx.OWN else Path(start)
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{start}: cannot be read ({error.strerror}); name the .onnx of a model, or say --from {SCRATCH}"
        ) from error


def _sources(
    folder: DataFolder, catalog: str, name: str | None, config: DetectorConfig, display: Display
) -> tuple[str, list[Source]]:
    """Find the pictures to learn from, and what to call them."""
    if name != SANDBOX:
        return released(folder, catalog, name)
    easy = posts.build(folder.sandbox, config.posts, config.seed, partial(display.progress, "draw"))
    found = of_sandbox(easy)
    for number, drawn in enumerate(_drawn(folder.sandbox, config, display)):
        found += of_hard(drawn, lambda _: True, f"{config.seed + number}-")
    return SANDBOX, found


def _drawn(folder: Path, config: DetectorConfig, display: Display) -> Iterator[list[hard.Labelled]]:
    """Draw hard pictures, two sets at a time; the first of all sets, whole."""
    seeds = range(config.seed, config.seed + math.ceil(config.drawings / _SET))
    display.progress("draw hard", 0, config.drawings)
    with ProcessPoolExecutor(max_workers=_DRAWERS, mp_context=get_context("spawn")) as drawers:
        left = config.drawings
        counts = [min(_SET, config.drawings - _SET * number) for number in range(len(seeds))]
        for one in drawers.map(hard.build, [folder] * len(seeds), counts, seeds):
            left -= len(one)
            display.progress("draw hard", config.drawings - left, config.drawings)
            yield one


def _teller(display: Display) -> Callable[[Progress], None]:
    """Give what shows each progress, and says the loss now and then."""
    said = -_TELL_EVERY

    def show(now: Progress) -> None:
        nonlocal said
        display.progress("train", now.step, now.steps)
        if now.step >= said + _TELL_EVERY or now.step == now.steps:
            display.say(f"step {now.step}: loss {now.loss:.3f}")
            said = now.step

    return show


@dataclass(frozen=True, slots=True)
class _Judged:
    """What came of trying a network."""

    own: Sequence[Trial]
    asked: float  # score that a box should have
    sure: float  # score of the face in the proof
    proof: Pixels


def _judged(weights: Weights, tried: Sequence[Coloured], shown: Sequence[Coloured]) -> _Judged:
    """Try a network with next to nothing asked of its boxes, and choose of *shown* what it is surest of."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tried.onnx"
        path.write_bytes(weights.onnx)
        path.with_suffix(".toml").write_text(_described(path, (), _LEAST), encoding="utf-8")
        detector = OnnxDetector.load(str(path.with_suffix(".toml")))
    own = scored(detector, tried) if tried else ()
    asked = min((one.asked for one in own if one.right and one.precision >= PROPOSED), default=_USUAL)
    sure, proof = max((_proof(one, detector) for one in _with_large_faces(shown)), key=lambda one: one[0])
    return _Judged(own, asked, sure, proof)


def _with_large_faces(pictures: Sequence[Coloured]) -> list[Coloured]:
    """Choose pictures to show: those with the largest face among the first ones."""
    some = [one for one in pictures if one.faces][:_PROOFS]
    return sorted(some, key=lambda one: -max(face.width for face in one.faces))[: _PROOFS // 2]


def _proof(picture: Coloured, detector: OnnxDetector) -> tuple[float, Pixels]:
    """Cut the largest face out with what is around it; give also how sure the detector is of it."""
    face = max(picture.faces, key=lambda one: one.width)
    height, width = picture.pixels_HWC.shape[:2]
    reach = face.width
    left, top = max(0, face.left - reach), max(0, face.top - reach)
    cut_HWC = picture.pixels_HWC[top : min(height, face.bottom + reach), left : min(width, face.right + reach)]
    proof_HWC = fit(cut_HWC, _PROOF_SIDE)
    return max((one.score for one in detector.detect(proof_HWC)), default=0.0), proof_HWC


def _write(path: Path, weights: Weights, proof: Pixels, text: str) -> None:
    """Put a model, its proof and then its description beside each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, weights.onnx)
    write_atomically(path.with_suffix(".png"), encode_png(proof))
    write_atomically(path.with_suffix(".toml"), text.encode())


def _described(path: Path, made: Sequence[str], asked: float) -> str:
    """Write the TOML that `pipeline.detectors.onnx` reads."""
    return "".join(
        [
            *(f"# {line}\n" for line in made),
            f'model = "{path.name}"\nproof = "{path.with_suffix(".png").name}"\n',
            f"\n[input]\nwidth = {INPUT_SIDE}\nheight = {INPUT_SIDE}\n",
            f"\n[output]\nmin_score = {asked}\n",
        ]
    )


def _others(pictures: Sequence[Coloured], display: Display) -> dict[str, Sequence[Trial]]:
    """Let the other detectors that are at hand look at the same pictures."""
    found: dict[str, Sequence[Trial]] = {}
    for name in DETECTORS:
        try:
            detector = build(name)
        except DetectorError as error:
            display.say(f"{name} is not here to compare with: {error}")
            continue
        found[name] = scored(detector, pictures)
        display.progress("try others", len(found), len(DETECTORS))
    return found


def _made(called: str, config: DetectorConfig, start: str, without_faces: Path | None) -> list[str]:
    """Say how it was made, without a word of this machine."""
    usual = asdict(DetectorConfig() if start == SCRATCH else DetectorConfig.going_on())
    changed = "".join(f" -p {key}={value}" for key, value in asdict(config).items() if value != usual[key])
    settings = ", ".join(f"{key} {value}" for key, value in asdict(config).items())
    more = ", and on a folder of pictures without faces" if without_faces else ""
    usually = SCRATCH if called == SANDBOX else onnx.OWN
    begun = "" if start == usually else f" --from {start if start == SCRATCH else Path(start).name}"
    return [
        f"A network that finds faces, trained by kaoset {__version__} on what is named here{more}:",
        f"flow run train-detector {called}{begun}{changed}",
        f"({settings}; {_versions()})",
    ]


def _versions() -> str:
    names = ("torch", "numpy", "opencv-python-headless")
    return ", ".join(f"{name} {version(name)}" for name in names)


def table(trained: TrainedDetector) -> Table:
    """Draw what a network is worth on the pictures held out for each score, and the best of each other detector."""
    shown = Table(
        title=f"On {trained.held_out} pictures that it did not learn from",
        title_justify="left",
        caption="of the others: at the score that gives the best F1",
        caption_justify="left",
    )
    shown.add_column("detector")
    for name in ("score from", "precision", "recall", "F1", "pictures/s"):
        shown.add_column(name, justify="right")
    rows = [("this one", one) for one in trained.own]
    rows += [(name, max(some, key=lambda one: one.f1)) for name, some in trained.others.items()]
    for name, one in rows:
        shares = (f"{share:.3f}" for share in (one.precision, one.recall, one.f1))
        shown.add_row(name, f"{one.asked:.2f}", *shares, f"{one.pictures / one.seconds:.0f}")
    return shown
