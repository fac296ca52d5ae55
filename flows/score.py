"""The command that fits the score: what was found is held against what people decided, or against drawings."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from rich.table import Table

from flows.show import Display
from pipeline import score
from pipeline.benchmark import Guess, Hit, Truth, calibration_error, judge, load, reliability
from pipeline.benchmark.ways import SMALLEST
from pipeline.catalog import Catalog
from pipeline.detect import DetectFaces
from pipeline.detectors import DETECTORS
from pipeline.detectors.onnx import OnnxDetector
from pipeline.errors import UsageError
from pipeline.folder import DataFolder
from pipeline.recipe import Recipe
from pipeline.records import Box, FaceCrop, Verdict
from pipeline.sandbox import hard
from pipeline.score import SURE, UNLIKELY, Evidence, Model
from pipeline.stage import Kept
from pipeline.store import Store
from pipeline.workers import Workers

FOLDS = 5
ENOUGH = 100  # examples; with fewer a fit is mostly what it began with, and its measures are chance
_TEACH = frozenset({Verdict.KEEP, Verdict.REJECT})


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """What was said of a place, and whether a face is there."""

    evidence: Evidence
    agreed: bool  # more than one detector saw it
    face: bool
    group: str  # examples of one group are learnt from, or tried on, but never both


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedScore:
    """What a fit left behind."""

    path: Path
    examples: Sequence[Example]
    before: Sequence[float]  # probability of each example by the model that was there
    after: Sequence[float]  # by a model that was fitted without its fifth of them
    left_out: int = 0  # decisions on what other detectors found


def fit_score(recipe: Recipe, data: Path, catalog: str, out: Path | None) -> FittedScore:
    """Fit the score of a recipe's detectors to the decisions in a data folder; few of them move it little.

    Raises:
        UsageError: Nobody has decided anything about what these detectors found, or nothing but that it is no face.
        RecipeError: The file to write is no model of a score.
        StoreError: It cannot be written.
    """
    folder = DataFolder(data)
    memory = Catalog(catalog or folder.catalog)
    try:
        examples = decided(memory, recipe.detect.detectors)
        decisions = sum(one.verdict in _TEACH for one in memory.decisions().values())
    finally:
        memory.close()
    if not examples:
        raise UsageError(
            f"{data}: nobody has decided on anything that {'+'.join(recipe.detect.detectors)} found; "
            "`flow review` shows what waits"
        )
    if not any(one.face for one in examples):  # one alone of what was sure would have all others dropped
        raise UsageError(
            f"{data}: all {len(examples)} decisions say that something is no face; `flow review keep` some faces too, "
            "or else nothing would be thought one"
        )
    about = f"{len(examples)} review decisions, of them {sum(one.face for one in examples)} faces"
    prior = score.shipped(recipe.detect.detectors)
    file = out or data / "scores" / f"{recipe.name}.toml"
    return replace(_fitted(examples, prior, recipe.detect.detectors, about, file), left_out=decisions - len(examples))


def decided(catalog: Catalog, detectors: tuple[str, ...]) -> list[Example]:
    """List what people said of what these detectors found; a crop about which they were unsure teaches nothing.

    Where the same crop was found more than once, by other detectors or by an older kaoset, counts what most of these
    detectors saw.
    """
    known = {name if name in DETECTORS else OnnxDetector.load(name).name for name in detectors}
    examples = []
    for sha256, decision in sorted(catalog.decisions().items()):
        if decision.verdict not in _TEACH:
            continue
        found = {record.detection for _, record in catalog.find(sha256) if isinstance(record, FaceCrop)}
        theirs = [one for one in found if one.evidence and set(one.detector.split("+")) <= known]
        if theirs:
            one = max(theirs, key=lambda one: (len(one.detector.split("+")), one.evidence, one.id))
            face = decision.verdict is Verdict.KEEP
            example = Example(evidence=dict(one.evidence), agreed=one.agreed, face=face, group=one.image_sha256)
            examples.append(example)
    return examples


def fit_on_drawings(
    detectors: tuple[str, ...], pictures: int, seed: int, data: Path, workers: int, out: Path, shown: Display
) -> FittedScore:
    """Fit the score of these detectors to hard pictures whose faces are known: how kaoset's own models are made.

    Every place is looked at again, whether it is doubtful or not; then what would have been in doubt is learnt from
    twice, with the second looks and without, for both are asked for a probability.

    Raises:
        UsageError: There is no such detector.
        WorldError: A detector is missing, or nothing can be written.
    """
    drawn = hard.build(data / "bench", pictures, seed, progress=partial(shown.progress, "draw"))
    examples = _seen(drawn, detectors, workers, shown)
    first = [replace(one, evidence=_first(one.evidence)) for one in examples]
    quick = score.fit([one.evidence for one in first], [one.face for one in first], Model())
    doubtful = [one for one in examples if UNLIKELY <= quick.probability(_first(one.evidence)) < SURE]
    about = (
        f"{pictures} hard pictures, version {hard.VERSION}, seed {seed}, faces from {SMALLEST} px: {len(first)} places"
    )
    return _fitted([*first, *doubtful], Model(), detectors, about, out)


def _first(evidence: Evidence) -> dict[str, float]:
    return {word: value for word, value in evidence.items() if not word.startswith("again")}


def _seen(drawn: Sequence[hard.Labelled], detectors: tuple[str, ...], workers: int, shown: Display) -> list[Example]:
    """Look at drawn pictures as a run does, and say what is right."""
    examples: list[Example] = []
    with tempfile.TemporaryDirectory(prefix="kaoset-score-") as name, Workers(workers or os.cpu_count() or 1) as pool:
        store = Store(Path(name))
        truths = [Truth(path=one.path, faces=tuple(face.box for face in one.faces)) for one in drawn]
        pictures = {one.image.sha256: one for one in (load(truth, store) for truth in truths)}
        # Without a model nothing is sure, so that everything is looked at again.
        stage = DetectFaces(detectors=detectors, min_face=SMALLEST, model=Model(), workers=pool)
        for done, outcome in enumerate(stage((one.image for one in pictures.values()), store), 1):
            shown.progress("look", done, len(pictures))
            if isinstance(outcome, Kept):
                said = {one.box: one for one in outcome.outputs}
                hits = judge(
                    "", [pictures[outcome.item.sha256]], [[_guess(one.box, one.score) for one in outcome.outputs]]
                )
                examples += [
                    Example(
                        evidence=dict(said[hit.guess.box].evidence),
                        agreed=said[hit.guess.box].agreed,
                        face=hit.face is not None,
                        group=outcome.item.sha256,
                    )
                    for hit in hits.hits
                ]
    return sorted(examples, key=lambda one: (one.group, sorted(one.evidence.items())))


def _guess(box: Box, probability: float) -> Guess:
    return Guess(box=box, score=probability)


def _fitted(
    examples: Sequence[Example], prior: Model, detectors: tuple[str, ...], about: str, out: Path
) -> FittedScore:
    """Fit, write, and say what it is worth on examples that it was not fitted on."""
    shipped = score.shipped(detectors)
    before = [shipped.probability(one.evidence) for one in examples]
    score.save(out, detectors, _model(examples, prior), about)
    return FittedScore(path=out, examples=examples, before=before, after=_held_out(examples, prior))


def _model(examples: Sequence[Example], prior: Model) -> Model:
    return score.fit([one.evidence for one in examples], [one.face for one in examples], prior)


def _held_out(examples: Sequence[Example], prior: Model) -> list[float]:
    """Give the probability of each example by a model of the other four fifths of the pictures."""
    groups = sorted({one.group for one in examples})
    fold_of = dict(zip(groups, np.random.default_rng(0).permutation(len(groups)) % FOLDS, strict=True))
    models = {
        fold: _model([one for one in examples if fold_of[one.group] != fold], prior) for fold in set(fold_of.values())
    }
    return [models[fold_of[one.group]].probability(one.evidence) for one in examples]


def doubts(fitted: FittedScore) -> str | None:
    """Say in a line why the fit is not to be trusted; None where nothing speaks against it."""
    count = len(fitted.examples)
    faces = sum(one.face for one in fitted.examples)
    before, after = (_error(fitted.examples, believed) for believed in (fitted.before, fitted.after))
    if before is not None and after is not None and after > before:
        why = f"on what it has not seen it is worse than the score before ({after:.3f} against {before:.3f})"
    elif count < ENOUGH:
        why = "so few say little"
    elif faces == count:
        why = "none of them says what is no face"
    else:
        return None
    return f"WARNING: {count} examples, and {why}; decide on some hundreds before you name it in filter.score"


def _error(examples: Sequence[Example], believed: Sequence[float]) -> float | None:
    """Give the calibration error."""
    box = Box(left=0, top=0, width=1, height=1)
    pairs = zip(examples, believed, strict=True)
    return calibration_error(
        reliability([Hit(picture=0, guess=_guess(box, p), face=0 if one.face else None) for one, p in pairs])
    )


def table(fitted: FittedScore, recipe: Recipe) -> Table:
    """Show what the rule of a recipe would do by the old score and by the new one."""
    faces = sum(one.face for one in fitted.examples)
    title = f"{len(fitted.examples)} examples, {faces} of them faces; new: each by a model that has not seen it"
    shown = Table(title=title, title_justify="left")
    columns = ("precision of what is accepted", "accepted", "wait", "dropped", "faces dropped", "calibration error")
    shown.add_column("score")
    for column in columns:
        shown.add_column(column, justify="right")
    rule, least = recipe.review, recipe.filter.min_score
    for name, believed in (("before", fitted.before), ("new", fitted.after)):
        both = list(zip(fitted.examples, believed, strict=True))
        dropped = [one.face for one, p in both if p < least]
        sure = [one.face for one, p in both if p >= max(least, rule.accept_agreed if one.agreed else rule.accept_alone)]
        error = _error(fitted.examples, believed)
        waiting = len(both) - len(sure) - len(dropped)
        precision = f"{sum(sure) / len(sure):.3f}" if sure else "none accepted"
        cells = (precision, len(sure), waiting, len(dropped), sum(dropped), f"{error:.3f}" if error is not None else "")
        shown.add_row(name, *map(str, cells))
    return shown
