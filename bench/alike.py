"""How well the same drawing is told from variations and strangers, on planted pairs that nothing was fitted on.

python -m bench.alike    fits the weights of `pipeline/alike.py` anew, on pairs of another seed, and prints them
"""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.report import Table
from pipeline import score
from pipeline.alike import SAME_DRAWING, VARIATION, Evidence, Likeness, Look, compare, evidence, hashes, look, mirrored
from pipeline.pixels import Pixels, resize
from pipeline.sandbox.pairs import TRUTH, Kind, Subject, draw_pairs

MEASURED, FITTED = 3, 1  # seeds of the pairs
PICTURES = 100  # of each subject; every one has a pair of each kind
STRANGERS = 20  # more pairs of two pictures, for each picture
DISTANCES = (8, 10, 12, 14)  # bits of 64
COMPARED_AT = 64  # pixels a side, by what was used before
OURS, BEFORE, HASH = "kaoset, compare", "correlation of the middles", "imagehash.phash"
WAYS = (OURS, BEFORE, HASH)

Progress = Callable[[str, int, int], None]  # what, done, total


@dataclass(frozen=True, slots=True)
class Seen:
    """What is kept of a picture for all comparisons."""

    look: Look
    small_HWC: Pixels  # noqa: N815 - arrays carry their axes; a square
    hashes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A pair, and what each way says of it."""

    subject: Subject
    kind: Kind
    said: Likeness
    scores: Mapping[str, float]  # by way: higher is more alike
    proposed: Mapping[str, int]  # bits, by what is looked up

    @property
    def truth(self) -> Likeness:
        """What a person would say."""
        return TRUTH[self.kind]


@dataclass(frozen=True, slots=True)
class Measured:
    """All pairs, and what comparing them costs."""

    pairs: Sequence[Compared]
    false: Mapping[tuple[Subject, str], NDArray[np.int64]]  # bits between strangers, by what is looked up
    compare_s: float  # processor time for one pair
    hashes_s: float  # the same for the hashes of one picture


def measure(part: float, progress: Progress) -> Measured:
    """Compare all pairs; *part* of their full number."""
    cv2.setNumThreads(1)  # as in a worker; and so that processor time is that of the work
    count = max(4, round(PICTURES * part))
    pairs: list[Compared] = []
    false: dict[tuple[Subject, str], NDArray[np.int64]] = {}
    spent = {"compare": 0.0, "hashes": 0.0}
    for subject in Subject:
        known: list[tuple[Seen, Seen]] = []
        for turn in range(count):
            progress(f"pairs, {subject}", turn, count)
            for pair in draw_pairs((MEASURED, turn), subject):
                one, other = (_seen(pixels, spent) for pixels in (pair.one_HWC, pair.other_HWC))
                pairs.append(_compared(subject, pair.kind, one, other, spent))
                if pair.kind is Kind.STRANGER:
                    known.append((one, other))
        rng = np.random.default_rng(MEASURED)
        for first, _ in known:
            others = [known[int(place)][1] for place in rng.integers(len(known), size=STRANGERS)]
            # That its own stranger is drawn once more does no harm.
            pairs += [_compared(subject, Kind.STRANGER, first, other, spent) for other in others]
        for name in _LOOKED_UP:
            far = [_bits(name, one, other) for (one, _), (_, other) in product(known, known)]
            false[subject, name] = np.array(far, np.int64)
    drawn = 2 * count * len(Subject) * len(Kind)
    return Measured(pairs, false, spent["compare"] / len(pairs), spent["hashes"] / drawn)


def _seen(pixels_HWC: Pixels, spent: dict[str, float]) -> Seen:
    began = time.process_time()
    known = hashes(pixels_HWC)
    spent["hashes"] += time.process_time() - began
    return Seen(look(pixels_HWC), resize(pixels_HWC, COMPARED_AT), known)


def _compared(subject: Subject, kind: Kind, one: Seen, other: Seen, spent: dict[str, float]) -> Compared:
    began = time.process_time()
    found = compare(one.look, other.look)
    spent["compare"] += time.process_time() - began
    return Compared(
        subject=subject,
        kind=kind,
        said=found.likeness,
        scores={
            OURS: found.score,
            BEFORE: _middles(one.small_HWC, other.small_HWC),
            HASH: -(one.hashes[0] ^ other.hashes[0]).bit_count(),
        },
        proposed={name: _bits(name, one, other) for name in _LOOKED_UP},
    )


def _middles(one_HWC: Pixels, other_HWC: Pixels) -> float:
    """Correlate the middle of one with the other wherever it fits best, in five sizes: what `dedup` did before."""
    side, best = len(one_HWC), -1.0
    for size in (0.86, 0.93, 1.0, 1.08, 1.16):
        scaled = round(side * size)
        way = cv2.INTER_AREA if size < 1 else cv2.INTER_LINEAR
        edge, kept = round(scaled * 0.2), round(scaled * 0.6)
        middle_HWC = cv2.resize(one_HWC, (scaled, scaled), interpolation=way)[edge : edge + kept, edge : edge + kept]
        best = max(best, float(cv2.matchTemplate(other_HWC, middle_HWC, cv2.TM_CCOEFF_NORMED).max()))
    return best


_LOOKED_UP: dict[str, Callable[[tuple[int, ...]], tuple[int, ...]]] = {
    "its own hash": lambda known: known[:1],
    "and mirrored": lambda known: (known[0], mirrored(known[0])),
    "and all of `hashes`": lambda known: (*known, *map(mirrored, known)),
}


def _bits(name: str, one: Seen, other: Seen) -> int:
    """Give the least distance at which one finds the other's own hash."""
    ask = _LOOKED_UP[name]
    return min(
        (asked ^ there.hashes[0]).bit_count()
        for here, there in ((one, other), (other, one))
        for asked in ask(here.hashes)
    )


# --- what is shown ----------------------------------------------------------------------------------------------------


def curve(same: Sequence[float], different: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give recall and precision for every threshold that a score of either allows, the strictest first."""
    levels = np.unique([*same, *different])[::-1]
    right = np.array([np.count_nonzero(np.asarray(same) >= level) for level in levels])
    wrong = np.array([np.count_nonzero(np.asarray(different) >= level) for level in levels])
    return right / len(same), right / np.maximum(1, right + wrong)


def recall_at(precision: float, same: Sequence[float], different: Sequence[float]) -> float:
    """Give the highest recall that is had at this precision."""
    recalls, precisions = curve(same, different)
    return float(recalls[precisions >= precision].max(initial=0.0))


def average_precision(same: Sequence[float], different: Sequence[float]) -> float:
    """Give the area under precision over recall."""
    recalls, precisions = curve(same, different)
    return float(np.sum(np.diff(recalls, prepend=0.0) * precisions))


def _scores(measured: Measured, subject: Subject, way: str, *truths: Likeness) -> list[float]:
    return [pair.scores[way] for pair in measured.pairs if pair.subject is subject and pair.truth in truths]


def tables(measured: Measured) -> list[Table]:
    """Show what was measured."""
    return [_whole(measured), _verdicts(measured), _candidates(measured)]


def _whole(measured: Measured) -> Table:
    rows = []
    for subject, way in product(Subject, WAYS):
        same = _scores(measured, subject, way, Likeness.SAME)
        for name, others in (
            ("strangers", (Likeness.DIFFERENT,)),
            ("and variations", (Likeness.DIFFERENT, Likeness.VARIATION)),
        ):
            if way == OURS and len(others) == 2:
                continue  # its score counts a variation as the same drawing; its verdict tells, below
            different = _scores(measured, subject, way, *others)
            figures = [
                *(recall_at(at, same, different) for at in (1.0, 0.999, 0.99)),
                average_precision(same, different),
            ]
            rows.append([subject.value, way, name, str(len(different)), *(f"{one:.3f}" for one in figures)])
    return Table(
        "Which pairs show the same drawing",
        ["pairs of", "way", "against", "pairs", "recall at precision 1.0", "0.999", "0.99", "average precision"],
        rows,
        f"Comparing costs {measured.compare_s * 1000:.1f} ms of a processor a pair, the hashes of a picture "
        f"{measured.hashes_s * 1000:.1f} ms.",
        words=3,
    )


def _verdicts(measured: Measured) -> Table:
    rows = []
    for kind in Kind:
        row = [kind.value, TRUTH[kind].value]
        for subject in Subject:
            said = [pair.said for pair in measured.pairs if pair.subject is subject and pair.kind is kind]
            row += [f"{said.count(likeness) / len(said):.3f}" for likeness in Likeness]
        rows.append(row)
    return Table(
        "What is said of each kind of pair",
        ["kind", "truth", *(f"{subject}: {likeness}" for subject, likeness in product(Subject, Likeness))],
        rows,
        words=2,
    )


def _candidates(measured: Measured) -> Table:
    rows = []
    for subject, name in product(Subject, _LOOKED_UP):
        pairs = [pair for pair in measured.pairs if pair.subject is subject]
        for bits in DISTANCES:
            shares = [
                np.mean([pair.proposed[name] <= bits for pair in pairs if chosen(pair)]) for chosen in _CHOSEN.values()
            ]
            false = 1000 * float(np.mean(measured.false[subject, name] <= bits))
            rows.append([subject.value, name, str(bits), *(f"{share:.3f}" for share in shares), f"{false:.1f}"])
    return Table(
        "Which pairs are proposed by their hashes",
        ["pairs of", "looked up", "within bits", *_CHOSEN, "strangers, in 1,000 pictures"],
        rows,
        words=2,
    )


_CHOSEN: dict[str, Callable[[Compared], bool]] = {
    "same drawing": lambda pair: pair.truth is Likeness.SAME,
    "of them framed": lambda pair: pair.kind in {Kind.BORDER, Kind.LETTERBOX},
    "cropped": lambda pair: pair.kind is Kind.CROPPED,
    "mirrored": lambda pair: pair.kind is Kind.MIRRORED,
    "combined": lambda pair: pair.kind is Kind.COMBINED,
    "variations": lambda pair: pair.truth is Likeness.VARIATION,
}


def draw(measured: Measured) -> bytes:
    """Draw precision over recall of every way, as a PNG."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second to load, and only this needs it

    figure = Figure(figsize=(12, 5), layout="constrained")
    for subject, axes in zip(Subject, figure.subplots(1, len(Subject)), strict=True):
        for way in WAYS:
            recalls, precisions = curve(
                _scores(measured, subject, way, Likeness.SAME), _scores(measured, subject, way, Likeness.DIFFERENT)
            )
            axes.plot(recalls, precisions, label=way, drawstyle="steps-post")
        axes.set(title=f"Same drawing: {subject}", xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
        axes.grid(alpha=0.3)
        axes.legend(loc="lower left")
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100, metadata={"Software": None})
    return out.getvalue()


# --- fitting ----------------------------------------------------------------------------------------------------------


def fit(count: int) -> Iterator[str]:
    """Fit both models on pairs of a seed of their own; give lines for `pipeline/alike.py`."""
    found: list[tuple[Likeness, Evidence]] = []
    for subject in Subject:
        pairs = [pair for turn in range(count) for pair in draw_pairs((FITTED, turn), subject)]
        looks = [(TRUTH[pair.kind], look(pair.one_HWC), look(pair.other_HWC)) for pair in pairs]
        step = len(Kind)
        strangers = [
            (Likeness.DIFFERENT, one[1], other[2])
            for apart in range(1, 1 + STRANGERS // 2)
            for one, other in zip(looks[::step], looks[apart * step + step - 1 :: step], strict=False)
        ]
        for truth, one, other in [*looks, *strangers]:
            if seen := evidence(one, other):
                found.append((truth, seen))
    yield _lines("SAME_DRAWING", SAME_DRAWING, found, Likeness.DIFFERENT, not_it=True)
    drawn = [each for each in found if each[0] is not Likeness.DIFFERENT]
    yield _lines("VARIATION", VARIATION, drawn, Likeness.VARIATION, not_it=False)


def _lines(
    name: str, words: Mapping[str, float], found: Sequence[tuple[Likeness, Evidence]], it: Likeness, *, not_it: bool
) -> str:
    said = [dataclasses.asdict(seen) for _, seen in found]
    examples = [{word: float(one[word]) for word in words if word != score.BIAS} for one in said]
    model = score.fit(examples, [(truth is it) != not_it for truth, _ in found], score.Model())
    return "\n".join(
        [f"{name}: {len(found)} pairs", *(f'    "{word}": {weight:.3f},' for word, weight in model.weights)]
    )


if __name__ == "__main__":
    cv2.setNumThreads(1)
    for text in fit(PICTURES):
        print(text)
