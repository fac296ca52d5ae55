"""What the bench calls right, wrong and missed, on records made by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import make
import pytest

from bench import missed, truth
from bench.truth import Look, Rule, Score
from pipeline.catalog import Catalog
from pipeline.records import Box, Detection, FaceCrop, Image, Reason
from pipeline.sandbox.draw import Truth
from pipeline.sandbox.figure import FaceTruth
from pipeline.sandbox.posts import Kind, PlantedPost, Sandbox
from pipeline.stage import Dropped, Kept

HERE, THERE = make.box(0, 0, 100), make.box(300, 0, 100)
RULE = Rule(alone=0.9, agreed=0.5)


def drawn(box: Box, **fields: Any) -> FaceTruth:
    usual = {"identity": "umi", "hair": "aqua", "eyes": "blue", "attributes": ("blue_eyes",), "tilt": 0.0}
    return FaceTruth(**{"box": box, **usual, **fields})


def planted(number: int = 1, *boxes: Box, **fields: Any) -> PlantedPost:
    return PlantedPost(
        **{
            "number": number,
            "kind": Kind.PORTRAIT,
            "posted_at": datetime(2020, 1, 1, tzinfo=UTC),
            "rating": "g",
            "ext": "jpg",
            "md5": make.md5(number),
            "size": 1000,
            "width": 800,
            "height": 600,
            "truth": Truth(faces=tuple(drawn(box) for box in boxes)),
            **fields,
        }
    )


def board(*posts: PlantedPost) -> Sandbox:
    return Sandbox(Path("nowhere"), tuple(sorted(posts, key=lambda post: post.number)))


def counts(score: Score) -> tuple[int, int, int]:
    return score.right, score.wrong, score.missed


def scored(found: list[Box], *faces: Box) -> tuple[int, int, int]:
    score = Score()
    score.add(found, planted(1, *faces))
    return counts(score)


def seen(image: Image, box: Box, score: float = 1.0, *, agreed: bool = False) -> Detection:
    return make.detection(box=box, image_sha256=image.sha256, score=score, agreed=agreed)


class Told:
    """A catalog into which a build's outcomes are written by hand."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def say(self, stage: str, key: str, outcome: Any) -> None:
        self.catalog.record(stage, "f", [(key, outcome)])

    def image(self, number: int, *, of: int = 0) -> Image:
        """Post *number* was scraped; its bytes are those of post *of*."""
        image = make.image(of or number, post_id=f"sandbox:{number}")
        self.say("scrape", image.post_id, Kept(make.post(number), (image,)))
        return image

    def found(self, number: int, *boxes: Box, score: float = 1.0) -> list[Detection]:
        image = self.image(number)
        detections = [seen(image, box, score) for box in boxes]
        none = Dropped(image, Reason.NO_FACE)
        self.say("detect", image.sha256, Kept(image, tuple(detections)) if detections else none)
        return detections

    def cut(self, number: int, *boxes: Box) -> list[FaceCrop]:
        crops = []
        for detection in self.found(number, *boxes):
            crops.append(make.face_crop(f"{number} {detection.box.left}", detection=detection))
            self.say("crop", detection.id, Kept(detection, (crops[-1],)))
        return crops

    def family(self, crop: FaceCrop, name: str) -> None:
        self.say("dedup", crop.id, Kept(crop, (replace(crop, family=name),)))

    def copy_of(self, crop: FaceCrop, other: FaceCrop) -> None:
        self.say("dedup", crop.id, Dropped(crop, Reason.DUPLICATE, f"of {other.sha256}: larger (same drawing)"))


@pytest.fixture
def told(sqlite_catalog: Catalog) -> Told:
    return Told(sqlite_catalog)


# --- one picture ------------------------------------------------------------------------------------------------------


def test_a_box_on_a_face_is_right() -> None:
    """It need not lie there to the pixel."""
    assert scored([make.box(20, 10, 100)], HERE) == (1, 0, 0)


def test_a_box_beside_a_face_is_wrong_and_the_face_is_missed() -> None:
    """Less than 0.4 of overlap is another place."""
    assert scored([make.box(60, 0, 100)], HERE) == (0, 1, 1)


def test_a_second_box_on_one_face_is_wrong() -> None:
    """A face is found once."""
    assert scored([HERE, make.box(5, 5, 100)], HERE) == (1, 1, 0)


def test_the_best_pair_comes_first() -> None:
    """A box between two faces takes the one that nobody fits better."""
    between, exact = make.box(35, 0, 100), make.box(0, 0, 100)

    assert truth.match([between, exact], [HERE, make.box(70, 0, 100)]) == {0: 1, 1: 0}


@pytest.mark.parametrize("found", [[], [make.box(0, 0, 40)]])
def test_a_face_too_small_to_be_wanted_counts_neither_way(found: list[Box]) -> None:
    """Found or not, nobody asked for it."""
    assert scored(found, make.box(0, 0, 40)) == (0, 0, 0)


def test_shares_are_of_what_was_said_and_of_what_is_true() -> None:
    """Precision, recall and their harmonic mean."""
    score = Score(right=6, wrong=2, missed=4)

    assert (score.precision, score.recall, score.f1) == (0.75, 0.6, pytest.approx(2 / 3))


def test_nothing_said_of_nothing_is_no_division_by_zero() -> None:
    """A board of a few posts may hold no face at all."""
    score = Score()

    assert (score.precision, score.recall, score.f1) == (0, 0, 0)


def test_an_agreed_face_needs_less() -> None:
    """The rule of the recipe, the same for a look as in the review queue."""
    image = make.image()
    found = (seen(image, HERE, 0.6), seen(image, THERE, 0.6, agreed=True))

    assert Look(planted(), found).boxes(RULE) == [THERE]


# --- a whole build ----------------------------------------------------------------------------------------------------


def test_what_is_not_sure_is_missed_by_the_rule(told: Told) -> None:
    """Faces that wait for a person are found, and not accepted."""
    told.found(1, HERE, score=0.8)
    sandbox = board(planted(1, HERE))

    assert counts(truth.faces(told.catalog, sandbox, least=0.9, least_agreed=0.5)) == (0, 0, 1)
    assert counts(truth.score(truth.looks(told.catalog, sandbox))) == (1, 0, 0)


def test_a_picture_that_was_lost_on_the_way_is_missed(told: Told) -> None:
    """A good file that scrape refuses costs its faces; one that is to be refused does not."""
    hidden = planted(2, HERE, kind=Kind.HIDDEN, reasons=(Reason.NO_FILE,))

    assert counts(truth.score(truth.looks(told.catalog, board(planted(1, HERE), hidden)))) == (0, 0, 1)


def test_a_face_is_released_when_one_copy_of_it_is(told: Told) -> None:
    """Dedup keeps the best copy, whichever that is."""
    kept = told.cut(2, HERE)[0]
    told.say("review", kept.id, Kept(kept, (kept,)))
    copy = planted(2, HERE, kind=Kind.NEAR_COPY, group="g", reasons=(Reason.DUPLICATE,))
    sandbox = board(planted(1, HERE, THERE, group="g"), copy)

    assert counts(truth.released(told.catalog, sandbox, 48)) == (1, 0, 1)


def test_a_crop_without_a_face_is_wrong_in_the_release(told: Told) -> None:
    """What waits for a person is not there, and does no harm."""
    kept, waiting = told.cut(1, HERE, THERE)
    told.say("review", kept.id, Kept(kept, (kept,)))
    told.say("review", waiting.id, Dropped(waiting, Reason.WAITING))
    toy = planted(1, kind=Kind.DECOY, reasons=(Reason.NO_FACE,))

    assert counts(truth.released(told.catalog, board(toy), 48)) == (0, 1, 0)


def test_near_copies_are_grouped_by_family_or_as_copies(told: Told) -> None:
    """One is called a copy, one is of the same family, one stands alone."""
    crops = [told.cut(number, HERE)[0] for number in (1, 2, 3, 4)]
    told.family(crops[0], "a")
    told.copy_of(crops[1], crops[0])
    told.family(crops[2], "a")
    told.family(crops[3], "d")
    copies = [planted(number, HERE, kind=Kind.NEAR_COPY, group="g") for number in (2, 3, 4)]

    assert truth.duplicates(told.catalog, board(planted(1, HERE, group="g"), *copies)) == (2, 3, [])


def test_a_copy_that_was_dropped_before_it_was_looked_at_is_grouped(told: Told) -> None:
    """It is no face that was missed; and what is called a copy and is none is told."""
    told.found(1, HERE)
    for number in (2, 3):
        copy = told.image(number)
        dropped = Dropped(copy, Reason.DUPLICATE, f"of {make.sha256(1)}: larger (same drawing)")
        told.say("dedup-images", f"{copy.post_id}={copy.sha256}", dropped)
    sandbox = board(planted(1, HERE, group="g"), planted(2, HERE, kind=Kind.NEAR_COPY, group="g"), planted(3, HERE))

    assert truth.duplicates(told.catalog, sandbox) == (1, 1, ["3 was called a copy of 1"])
    assert counts(truth.faces(told.catalog, sandbox, least=0, least_agreed=0)) == (1, 0, 0)


def test_different_pictures_in_one_group_are_told(told: Told) -> None:
    """Whether one is called a copy of the other, or both one family."""
    crops = [told.cut(number, HERE)[0] for number in (1, 2, 3)]
    told.family(crops[0], "a")
    told.copy_of(crops[1], crops[0])
    told.family(crops[2], "a")
    sandbox = board(*(planted(number, HERE) for number in (1, 2, 3)))

    assert truth.duplicates(told.catalog, sandbox) == (
        0,
        0,
        ["2 was called a copy of 1", "1, 3 were called one family"],
    )


def test_the_same_bytes_are_kept_once(told: Told) -> None:
    """All posts but one are dropped; none, or two that stay, are wrong."""
    for number, of in ((1, 1), (2, 1), (3, 3), (4, 3)):
        image = told.image(number, of=of)
        said = Dropped(image, Reason.SAME_BYTES) if number == 2 else Kept(image, (image,))
        told.say("dedup-images", f"{image.post_id}={image.sha256}", said)
    same = {"kind": Kind.REPOST, "reasons": (Reason.SAME_BYTES,)}
    sandbox = board(planted(1), planted(2, md5=make.md5(1), **same), planted(3), planted(4, md5=make.md5(3), **same))

    assert truth.reposts(told.catalog, sandbox) == (1, ["3, 4: kept [3, 4] of the same bytes"])


def test_a_bad_post_needs_its_own_reason(told: Told) -> None:
    """Another reason is wrong, and so is none."""
    bad = {"kind": Kind.TRUNCATED, "reasons": (Reason.TRUNCATED,)}
    for number, reason in ((1, Reason.TRUNCATED), (2, Reason.CORRUPT)):
        told.say("scrape", f"sandbox:{number}", Dropped(make.post(number), reason))
    told.image(3)

    assert truth.reasons(told.catalog, board(*(planted(number, **bad) for number in (1, 2, 3)))) == (
        Counter({"truncated": 1}),
        ["2 truncated: [<Reason.CORRUPT: 'corrupt'>], expected truncated", "3 truncated: kept, expected truncated"],
    )


# --- what is missed ---------------------------------------------------------------------------------------------------


def test_misses_are_counted_by_what_the_face_is_like() -> None:
    """One with closed eyes is not found, one that tilts waits for a person, one is accepted."""
    tilted = make.box(600, 0, 100)
    faces = (drawn(HERE, attributes=("smile",)), drawn(THERE, tilt=-22.0), drawn(tilted, tilt=9.0))
    image = make.image()
    look = Look(planted(truth=Truth(faces=faces)), (seen(image, THERE, 0.8), seen(image, tilted, 0.95)))

    counted = missed.count(list(missed.fates([look], RULE)))

    assert {name: (one.faces, one.found, one.sure) for name, one in counted.items() if one.faces} == {
        "all": (3, 2, 1),
        "tilt under 8°": (1, 0, 0),
        "tilt 8 to 15°": (1, 1, 1),
        "tilt over 20°": (1, 1, 0),
        "face under 128 px": (3, 2, 1),
        "closed eyes": (1, 0, 0),
    }


def test_wrong_boxes_are_counted_by_kind_of_picture() -> None:
    """A decoy that is sure counts for the rule; one that waits counts only among all that was found."""
    toy, image = planted(kind=Kind.DECOY), make.image()
    looks = [Look(toy, (seen(image, HERE, 0.95), seen(image, THERE, 0.3))), Look(planted(2), ())]

    assert (missed.wrong(looks, RULE), missed.wrong(looks, None)) == (Counter(decoy=1), Counter(decoy=2))
