"""What a face shows comes from tags where they say it, from measures where not, and is unknown otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import UsageError, WorldError
from pipeline.labels import ATTRIBUTES, HAIR, labels_of
from pipeline.train.conditions import FEWEST, Cast, cast

BLUE = HAIR.index("blue")


def write(folder: Path, rows: list[dict[str, str]]) -> Path:
    """A release, as far as conditions look at it; each row is one face alone in its picture."""
    full = [
        {"crop_sha256": str(at), "image_sha256": str(at), "split": "train", "tags": "solo", **row}
        for at, row in enumerate(rows)
    ]
    pd.DataFrame(full).fillna("").to_csv(folder / "data_manifest.csv", index=False)
    np.save(folder / "labels.npy", np.stack([labels_of(row["tags"].split(), 1) for row in full]))
    return folder


def hair(told: Cast) -> list[str]:
    """Name the hair of each face; "" where it is unknown."""
    return [next((told.conditions.names[at] for at in np.flatnonzero(row == 1)), "") for row in told.conditions.values]


def test_tags_go_before_measures_and_measures_fill_the_gaps(tmp_path: Path) -> None:
    """A tag of one colour; else a measured colour with some confidence; else nothing."""
    rows = [
        {"tags": "solo blue_hair", "hair_colour": "red", "hair_confidence": "0.9"},
        {"tags": "solo", "hair_colour": "red", "hair_confidence": "0.9"},
        {"tags": "solo", "hair_colour": "red", "hair_confidence": "0.2"},
        {"tags": "solo blue_hair red_hair", "hair_colour": "", "hair_confidence": ""},
    ]

    told = cast(write(tmp_path, rows), 4, "hair")

    assert hair(told) == ["blue", "red", "", ""]
    assert told.conditions.exclusive


def test_hair_of_two_colours_has_none(tmp_path: Path) -> None:
    """Also where a measure would give one."""
    rows = [
        {"tags": "solo multicolored_hair", "hair_colour": "red", "hair_confidence": "0.9"},
        {"tags": "solo red_hair", "hair_colour": "", "hair_confidence": ""},
    ]

    assert hair(cast(write(tmp_path, rows), 2, "hair")) == ["", "red"]


def test_an_attribute_without_a_tag_is_unknown_unless_the_recipe_trusts_the_board(tmp_path: Path) -> None:
    """A colour that is named makes the others false in either case."""
    rows = [{"tags": "solo blue_hair smile"}, {"tags": "blue_hair"}]
    smile, hat, red = (ATTRIBUTES.index(name) for name in ("smile", "hat", "red_hair"))

    unknown = cast(write(tmp_path, rows), 2, "attributes").conditions.values
    trusted = cast(tmp_path, 2, "attributes", "false").conditions.values

    assert unknown[0, [BLUE, red, smile, hat]].tolist() == [1, -1, 1, 0]
    assert trusted[0, [BLUE, red, smile, hat]].tolist() == [1, -1, 1, -1]
    assert not unknown[1].any()
    assert not trusted[1].any()  # not solo: the tags may be of somebody else


def test_a_character_is_who_stands_alone_and_often_enough(tmp_path: Path) -> None:
    """What a person said goes before the board; two in one picture are nobody."""
    rows = [{"characters": "kaede"}] * FEWEST + [{"characters": "rare"}, {"characters": "kaede mia"}]
    rows.append({"characters": "rare", "label": "kaede"})

    told = cast(write(tmp_path, rows), len(rows), "character")

    assert told.conditions.names == ("kaede",)
    assert told.conditions.values[:, 0].tolist() == [1] * FEWEST + [0, 0, 1]


def test_only_the_split_train_is_learnt_from(tmp_path: Path) -> None:
    """The others are held out; weights are read, and 1 where there are none."""
    rows = [{"split": "train", "weight": "2.5"}, {"split": "test"}, {"split": "train"}, {"split": "validation"}]

    told = cast(write(tmp_path, rows), 4, "none")

    assert told.learnt_from.tolist() == [0, 2]
    assert told.held_out.tolist() == [1, 3]
    assert told.weights.tolist() == [2.5, 1, 1, 1]


def test_a_release_that_says_nothing_of_it_is_refused(tmp_path: Path) -> None:
    """By the name of the setting."""
    with pytest.raises(UsageError, match=r"train\.condition = hair: this release says it of no face; choose none"):
        cast(write(tmp_path, [{"tags": "solo"}, {"tags": "solo"}]), 2, "hair")


def test_faces_and_manifest_must_belong_together(tmp_path: Path) -> None:
    """A row for each face."""
    with pytest.raises(WorldError, match=r"2 rows in data_manifest\.csv, and 3 faces; publish the release again"):
        cast(write(tmp_path, [{}, {}]), 3, "none")
