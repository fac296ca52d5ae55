"""What a checkpoint is worth: drawn pictures against real ones, and against what was asked for; as rows of a table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.shares import Share
from pipeline.store import write_atomically
from pipeline.train.classifier import Judge
from pipeline.train.faces import Faces, as_faces, as_pictures
from pipeline.train.metrics import Panel, Reference, score
from pipeline.train.pictures import grid
from pipeline.train.trainer import Trainer

Row = dict[str, float]  # nan: nothing to say
MOST_REAL = 50_000  # training pictures searched for copies; of more, so many by chance
SHOWN, NEIGHBOURS = 8, 6  # rows of the picture of nearest neighbours, and real pictures in each
THUMB = 16  # pixels; side of what nearness is measured on


class Measure:
    """The real pictures of one run, and who judges drawn ones.

    Args:
        faces: What the generator learns from.
        held_out: What it never sees; may be empty.
        judge: Says what a picture shows; None: nothing is asked for.
        drawn: Pictures to draw for one row.
        inception: For the standard FID as well.
    """

    def __init__(
        self, faces: Faces, held_out: Faces, judge: Judge | None, drawn: int, seed: int, inception: Path | None
    ) -> None:
        self.judge = judge
        self.drawn = drawn
        self.real_NHWC = _some(faces, MOST_REAL, seed)
        held_out_NHWC = _some(held_out, MOST_REAL, seed)
        device = faces.device
        self.reference = Reference(self.real_NHWC, held_out_NHWC, seed=seed, device=device, inception=inception)
        self._thumbs_NT: Tensor | None = None

    def row(self, trainer: Trainer, seconds: float) -> Row:
        """Draw, and measure what was drawn; the same step gives the same row."""
        wishes = trainer.wishes(self.drawn, "measure")  # the same for each row: only the generator differs
        drawn = as_faces(trainer.draw(trainer.noise(self.drawn, "measure"), wishes))
        panel = self.reference.measure(drawn)
        row: Row = {"step": trainer.steps, "kimg": trainer.images / 1000, "seconds": seconds, **_columns(panel)}
        if self.judge is not None:
            rates = self.judge.agrees(drawn, wishes)
            total = Share(sum(one.part for one in rates.values()), sum(one.whole for one in rates.values()))
            row["accuracy"] = _value(total)
            row |= {f"accuracy:{name}": _value(rate) for name, rate in rates.items()}
        return row

    def neighbours(self, drawn_NCHW: Tensor) -> NDArray[np.uint8]:
        """Show drawn pictures, each at the head of a row of the training pictures that are nearest to it.

        Nearest by the squares of differences at 16x16 pixels, mirrored or not; the best defence against copies is to
        look.
        """
        if self._thumbs_NT is None:
            parts = [_thumbs(as_pictures(part)) for part in torch.split(self.real_NHWC, 4096)]
            self._thumbs_NT = torch.cat(parts)
        drawn = drawn_NCHW[:SHOWN].float()
        ways = [_thumbs(drawn), _thumbs(drawn.flip(3))]
        distances = torch.stack([torch.cdist(way, self._thumbs_NT) for way in ways]).amin(0)
        nearest = distances.topk(min(NEIGHBOURS, len(self.real_NHWC)), largest=False).indices
        rows = [torch.cat([drawn[at : at + 1], as_pictures(self.real_NHWC[nearest[at]])]) for at in range(len(drawn))]
        return grid(torch.cat(rows), 1 + nearest.shape[1])


def precision(trainer: Trainer, judge: Judge, each: int) -> dict[str, Share]:
    """Ask for each label *each* times, the others drawn as the faces have them, and count what is seen.

    As the Jin document did it: one attribute fixed true, the others by chance.
    """
    found: dict[str, Share] = {}
    for at, name in enumerate(judge.names):
        if not bool((trainer.labels_NL[:, at] == 1).any()):
            continue  # no face had it: nothing was learnt
        purpose = f"precision of {name}"
        drawn = as_faces(trainer.draw(trainer.noise(each, purpose), trainer.asking(at, each, purpose)))
        found[name] = Share(int(judge.says(drawn)[:, at].sum()), each)
    return found


def best_of(rows: Sequence[Row]) -> int | None:
    """Give the step of the best row by `metrics.score`; None where nothing was measured."""
    scored = [(row["score"], row["step"]) for row in rows if math.isfinite(row["score"])]
    return int(min(scored)[1]) if scored else None


def read_rows(path: Path, last_step: int) -> list[Row]:
    """Read the rows up to *last_step*: what came after the checkpoint is measured, and written, again."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{name: float(text or "nan") for name, text in row.items()} for row in csv.DictReader(file)]
    return [row for row in rows if row["step"] <= last_step]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write the whole table, all or nothing; what is not known is an empty cell."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(names)
    table.writerows([_cell(row.get(name, math.nan)) for name in names] for row in rows)
    write_atomically(path, text.getvalue().encode())


def _cell(value: float) -> str:
    if math.isnan(value):
        return ""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _columns(panel: Panel) -> Row:
    return {
        "rf_fid": panel.rf_fid,
        "rf_fid_floor": panel.rf_fid_floor,
        "rf_fid_ratio": panel.rf_fid_ratio,
        "rf_kid": panel.rf_kid,
        "swd": panel.swd,
        "swd_floor": panel.swd_floor,
        **{f"swd:{side}": value for side, value in panel.swd_levels},
        "precision": panel.precision,
        "recall": panel.recall,
        "near_copies": panel.near_copies,
        "fid": math.nan if panel.fid is None else panel.fid,
        "score": score(panel),
    }


def _some(faces: Faces, most: int, seed: int) -> Tensor:
    """Give at most so many faces, uint8 on the device; the same ones for the same seed."""
    count = len(faces)
    chosen = np.random.default_rng(seed).permutation(count)[:most] if count > most else np.arange(count)
    places = torch.from_numpy(np.sort(chosen)).to(faces.device)
    if not count:
        return torch.empty((0, 1, 1, 3), dtype=torch.uint8, device=faces.device)
    return torch.cat([faces.take(part) for part in torch.split(places, 4096)])


def _thumbs(pictures_NCHW: Tensor) -> Tensor:
    return functional.adaptive_avg_pool2d(pictures_NCHW.float(), THUMB).flatten(1)


def _value(rate: Share) -> float:
    return math.nan if rate.value is None else rate.value
