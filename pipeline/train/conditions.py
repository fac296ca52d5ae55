"""What a release says of its faces that a generator can be asked for, and who may be learnt from."""

from __future__ import annotations

import collections
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import UsageError, WorldError
from pipeline.labels import AMBIGUOUS, ATTRIBUTES, EYES, HAIR
from pipeline.manifest import MANIFEST

FEWEST = 20  # faces that a character must have, to be one that can be asked for
MOST = 512  # characters, those with most faces
SURE = 0.5  # least confidence of a measured colour
LEARNT_FROM = "train"
COLUMNS = (
    *("split", "weight", "image_sha256", "tags", "characters", "label"),
    *("hair_colour", "hair_confidence", "eye_colour", "eye_confidence"),
)


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What each face shows."""

    kind: str  # none, hair, eyes, character or attributes
    names: tuple[str, ...]  # of what can be asked for, without the words hair and eyes where they are plain
    values: NDArray[
        np.int8
    ]  # (faces, names): 1 true, 0 unknown; -1 false, of attributes alone: of classes at most one is 1

    @property
    def exclusive(self) -> bool:
        """Whether a face has at most one of the names."""
        return self.kind != "attributes"

    def at(self, places_N: NDArray[np.int64]) -> Conditions:
        """Give those of some faces."""
        return Conditions(kind=self.kind, names=self.names, values=self.values[places_N])


@dataclass(frozen=True, kw_only=True)
class Cast:
    """The faces of a release by what they are for; places are those in `faces.npy`."""

    learnt_from: NDArray[np.int64]
    held_out: NDArray[np.int64]  # of the splits validation and test
    weights: NDArray[np.float64]  # of all faces: how often each is to be drawn, beside the others
    conditions: Conditions  # of all faces


def cast(release: Path, faces: int, kind: str, untagged: str = "unknown") -> Cast:
    """Read who is who from the manifest of *release*.

    Args:
        release: Its folder.
        faces: How many there are in `faces.npy`.
        kind: What a generator is to be asked for.
        untagged: Attributes: what it means that a face has no tag for its style, hat and the like: unknown, or false.

    Raises:
        WorldError: Manifest, labels and faces do not belong together.
        UsageError: The release says nothing of that kind.
    """
    rows = _rows(release)
    if len(rows) != faces:
        raise WorldError(f"{release}: {len(rows)} rows in {MANIFEST}, and {faces} faces; publish the release again")
    split = rows["split"].to_numpy()
    learnt_from = np.flatnonzero(split == LEARNT_FROM)
    known = len(learnt_from) >= 2
    return Cast(
        learnt_from=learnt_from if known else np.arange(faces),
        held_out=np.flatnonzero(split != LEARNT_FROM) if known else np.arange(0),
        weights=pd.to_numeric(rows["weight"], errors="coerce").fillna(1.0).to_numpy(np.float64),
        conditions=_conditions(release, rows, kind, untagged),
    )


def _rows(release: Path) -> pd.DataFrame:
    """Read the columns that matter here; an older manifest may lack some of them, and then they are empty."""
    path = release / MANIFEST
    try:
        rows = pd.read_csv(
            path, dtype=str, keep_default_na=False, usecols=lambda name: name in COLUMNS or "sha" in name
        )
    except (OSError, ValueError) as error:
        raise WorldError(f"{path}: cannot be read ({error}); see `flow verify {release}`") from error
    return rows.reindex(columns=COLUMNS, fill_value="")


def _conditions(release: Path, rows: pd.DataFrame, kind: str, untagged: str) -> Conditions:
    match kind:
        case "none":
            return Conditions(kind=kind, names=(), values=np.zeros((len(rows), 0), np.int8))
        case "attributes":
            said = _labels(release, len(rows))
            # -1 is unknown in a release; here that is 0, which adds nothing to any sum.
            values = np.where(said == 1, 1, np.where(said == 0, -1, 0)).astype(np.int8)
            if untagged == "false":
                shapes = slice(len(HAIR), len(ATTRIBUTES) - len(EYES))
                values[:, shapes] = np.where(said[:, shapes] == 1, 1, -1 * _alone(rows)[:, None])
            found = Conditions(kind=kind, names=ATTRIBUTES, values=values)
        case "hair":
            found = _colours(kind, HAIR, _labels(release, len(rows))[:, : len(HAIR)], rows, "hair")
        case "eyes":
            found = _colours(kind, EYES, _labels(release, len(rows))[:, -len(EYES) :], rows, "eye")
        case _:
            found = _characters(rows)
    if not (found.values == 1).any():
        raise UsageError(
            f"train.condition = {kind}: this release says it of no face; choose none, or label some and publish again"
        )
    return found


def _labels(release: Path, faces: int) -> NDArray[np.int8]:
    path = release / "labels.npy"
    try:
        labels = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise WorldError(f"{path}: cannot be read ({error}); publish the release again") from error
    if labels.shape != (faces, len(ATTRIBUTES)):
        raise WorldError(f"{path}: is {labels.shape}, not {(faces, len(ATTRIBUTES))}; publish the release again")
    return np.asarray(labels, np.int8)


def _colours(
    kind: str, names: tuple[str, ...], said_NL: NDArray[np.int8], rows: pd.DataFrame, column: str
) -> Conditions:
    """Take what the tags say; where they say nothing, what was measured with some confidence."""
    classes = np.where((said_NL == 1).sum(1) == 1, said_NL.argmax(1), -1)
    index = {name: place for place, name in enumerate(names)}
    measured = rows[f"{column}_colour"].map(lambda name: index.get(name, -1)).to_numpy(np.int64)
    sure = pd.to_numeric(rows[f"{column}_confidence"], errors="coerce").fillna(0.0).to_numpy() >= SURE
    one_coloured = ~rows["tags"].map(lambda tags: bool(AMBIGUOUS & set(tags.split()))).to_numpy(bool)
    classes = np.where((classes < 0) & sure & one_coloured, measured, classes)
    return Conditions(kind=kind, names=names, values=_one_of(classes, len(names)))


def _characters(rows: pd.DataFrame) -> Conditions:
    """Take whom a person named, or whom the board names as the only one, where the picture has one face."""
    board = rows["characters"].to_numpy()
    said = [
        label or (who if lonely and who and " " not in who else "")
        for label, who, lonely in zip(rows["label"], board, _alone(rows), strict=True)
    ]
    counts = collections.Counter(filter(None, said))
    names = tuple(sorted(name for name, count in counts.most_common(MOST) if count >= FEWEST))
    index = {name: place for place, name in enumerate(names)}
    classes = np.array([index.get(name, -1) for name in said], np.int64)
    return Conditions(kind="character", names=names, values=_one_of(classes, len(names)))


def _alone(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Say of which faces the tags of the post are: it has one character, and one face."""
    alone = rows["image_sha256"].map(rows["image_sha256"].value_counts()).to_numpy() == 1
    solo = rows["tags"].map(lambda tags: "solo" in tags.split()).to_numpy(bool)
    return np.asarray(alone & solo, np.bool_)


def _one_of(classes_N: NDArray[np.int64], count: int) -> NDArray[np.int8]:
    values_NL = np.zeros((len(classes_N), count), np.int8)
    known = np.flatnonzero(classes_N >= 0)
    values_NL[known, classes_N[known]] = 1
    return values_NL
