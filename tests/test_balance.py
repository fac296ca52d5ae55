from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import make

from pipeline.balance import BalanceCrops
from pipeline.records import FaceCrop, GivenSplit, Reason
from pipeline.stage import Dropped, Kept
from pipeline.store import Store


def _crop(seed: int, *, score: float = 0.9, **fields: Any) -> FaceCrop:
    return make.face_crop(seed, detection=make.detection(seed, score=score), **{"family": f"f{seed}", **fields})


def _stage(count: int = 20, **fields: Any) -> BalanceCrops:
    posts = {make.sha256(seed): make.post(seed) for seed in range(count)}
    return BalanceCrops(**{"shares": {"train": 1.0}, "posts": posts, "decisions": {}, "given": {}, **fields})


def _kept(stage: BalanceCrops, crops: list[FaceCrop], store: Store) -> list[FaceCrop]:
    kept = [one.outputs[0] for one in stage(crops, store) if isinstance(one, Kept)]
    return [crop for crop in crops if crop.sha256 in {one.sha256 for one in kept}]


def test_without_a_cap_everything_goes_on_with_its_split(store: Store) -> None:
    """A crop learns where it stands, and weighs what all others weigh."""
    crop = _crop(1)

    assert list(_stage()([crop], store)) == [Kept(crop, (replace(crop, split="train", weight=1.0),))]


def test_no_kind_is_over_its_cap(store: Store) -> None:
    """The reason names the kind; what is of no known kind has no cap."""
    crops = [_crop(seed, hair_colour=("blue", "red", "")[seed % 3]) for seed in range(12)]

    outcomes = list(_stage(by="hair", cap=2)(crops, store))

    kept = Counter(one.item.hair_colour for one in outcomes if isinstance(one, Kept))
    dropped = {(one.reason, one.detail) for one in outcomes if isinstance(one, Dropped)}
    assert (len(outcomes), kept) == (12, {"blue": 2, "red": 2, "": 4})
    assert dropped == {(Reason.OVER_CAP, "hair blue"), (Reason.OVER_CAP, "hair red")}


def test_the_best_of_a_kind_stay(store: Store) -> None:
    """What a person kept goes before any score, the score before the size."""
    small, large = _crop(1, score=0.96, side=200), _crop(2, score=0.96, side=400)
    surer, wanted = _crop(3, score=0.99, side=100), _crop(4, score=0.5, side=100)
    stage = _stage(by="source", cap=1, decisions={wanted.sha256: make.decision(wanted.sha256)})
    crops = [small, large, surer, wanted]

    assert _kept(stage, crops, store) == [wanted]
    assert _kept(replace(stage, decisions={}), crops, store) == [surer]
    assert _kept(stage, [small, large], store) == [large]


def test_a_newcomer_takes_the_place_of_no_equal(store: Store) -> None:
    """What was released stays, whichever has the smaller name, and a hair's breadth of score is no difference."""
    old = [_crop(seed, score=0.96) for seed in range(10)]
    given = {f"image {one.detection.image_sha256}": GivenSplit(split="train", round=1) for one in old}
    new = [_crop(seed, score=0.9601) for seed in range(10, 20)]

    assert _kept(_stage(by="source", cap=10, given=given), old + new, store) == old


def test_the_order_of_arrival_does_not_count(store: Store) -> None:
    """The same crops are kept."""
    crops = [_crop(seed, hair_colour="blue") for seed in range(9)]
    stage = _stage(by="hair", cap=3)

    assert _kept(stage, crops, store) == _kept(stage, crops[::-1], store)[::-1]


def test_a_kind_may_be_what_a_reviewer_said(store: Store) -> None:
    """One crop of each name."""
    crops = [_crop(seed) for seed in range(4)]
    decisions = {one.sha256: make.decision(one.sha256, label="ab"[seed % 2]) for seed, one in enumerate(crops)}

    assert len(_kept(_stage(by="label", cap=1, decisions=decisions), crops, store)) == 2


def test_a_kind_may_be_a_family(store: Store) -> None:
    """One crop of each picture and its near-copies."""
    crops = [_crop(seed, family="ab"[seed % 2]) for seed in range(4)]

    assert len(_kept(_stage(by="family", cap=1), crops, store)) == 2


def test_weights_are_those_of_the_kind(store: Store) -> None:
    """What is not named weighs 1."""
    crops = [_crop(1, eye_colour="red"), _crop(2, eye_colour="blue"), _crop(3)]
    stage = _stage(by="eyes", weights={"red": 2.5})

    weights = {one.item.eye_colour: one.outputs[0].weight for one in stage(crops, store) if isinstance(one, Kept)}

    assert weights == {"red": 2.5, "blue": 1.0, "": 1.0}


def test_what_would_stand_on_two_sides_takes_no_place(store: Store) -> None:
    """It is left out before the cap is counted."""
    crops = [_crop(1, score=0.99, family="f"), _crop(2, score=0.5, family="f")]
    given = {
        f"image {make.sha256(2)}": GivenSplit(split="test", round=1),
        f"image {make.sha256(1)}": GivenSplit(split="train", round=2),
    }

    outcomes = list(_stage(by="family", cap=1, given=given)(crops, store))

    assert outcomes == [Dropped(crops[0], Reason.SPLIT_CONFLICT), Kept(crops[1], (replace(crops[1], split="test"),))]


def test_films_stay_together_where_the_recipe_says_so(store: Store) -> None:
    """Two frames of one film, of two families."""
    posts = {make.sha256(seed): make.post(seed, id=f"video:a.mkv@0000000{seed}#ab") for seed in range(8)}
    stage = _stage(posts=posts, films=frozenset({"video"}), shares={"train": 0.5, "test": 0.5})
    crops = [_crop(seed) for seed in range(8)]

    def sides(stage: BalanceCrops) -> set[str]:
        return {one.outputs[0].split for one in stage(crops, store) if isinstance(one, Kept)}

    assert (len(sides(stage)), len(sides(replace(stage, split_by="episode")))) == (2, 1)
