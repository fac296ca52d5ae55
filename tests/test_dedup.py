from __future__ import annotations

import make
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedup import DropNearDuplicates, DropSameBytes, near_pairs
from pipeline.records import FaceCrop, Reason
from pipeline.stage import Dropped, Kept
from pipeline.store import Store


def _outcomes(store: Store, *crops: FaceCrop, distance: int = 3) -> dict[str, object]:
    said = DropNearDuplicates(max_distance=distance)(crops, store)
    return {one.item.id: one.reason if isinstance(one, Dropped) else "kept" for one in said}


def test_keeps_the_larger_of_two_alike(store: Store) -> None:
    """A small crop gives way to a larger one even when it comes first."""
    small, large = make.face_crop(1, side=128, phash=0b0000), make.face_crop(2, side=512, phash=0b0111)

    assert _outcomes(store, small, large) == {small.id: Reason.DUPLICATE, large.id: "kept"}


def test_keeps_what_is_one_bit_too_far(store: Store) -> None:
    """The distance is the most that may differ."""
    one, other = make.face_crop(1, phash=0b0000), make.face_crop(2, phash=0b1111)

    assert _outcomes(store, one, other) == {one.id: "kept", other.id: "kept"}


def test_two_faces_of_one_picture_are_two_faces(store: Store) -> None:
    """Twins in one image are not each other's copies."""
    left = make.face_crop(1, phash=0)
    right = make.face_crop(1, phash=0, sha256=make.sha256("r"), detection=make.detection(1, box=make.box(left=400)))

    assert _outcomes(store, left, right) == {left.id: "kept", right.id: "kept"}


def test_the_same_bytes_are_kept_once(store: Store) -> None:
    """Two images can give the very same crop."""
    one, other = make.face_crop(1, sha256=make.sha256("s")), make.face_crop(2, sha256=make.sha256("s"), phash=2**63)

    assert sorted(_outcomes(store, one, other).values()) == ["kept", Reason.SAME_CROP]


def test_a_family_holds_the_crops_of_one_picture_and_its_copies(store: Store) -> None:
    """Two faces of one image, and a near-copy of one of them elsewhere, are one family; a stranger is not."""
    left = make.face_crop(1, phash=0, side=400)
    right = make.face_crop(1, phash=2**40 - 1, sha256=make.sha256("r"), detection=make.detection(1, box=make.box(400)))
    copy, stranger = make.face_crop(2, phash=1), make.face_crop(3, phash=2**64 - 1)

    said = DropNearDuplicates(max_distance=3)([left, right, copy, stranger], store)
    families = {one.item.id: one.outputs[0].family for one in said if isinstance(one, Kept)}

    assert families[left.id] == families[right.id]
    assert families[stranger.id] != families[left.id]


def test_the_order_of_arrival_changes_nothing(store: Store) -> None:
    """Every order gives the same outcomes and families."""
    crops = [make.face_crop(n, phash=n % 5, side=100 + n) for n in range(12)]

    def judged(items: list[FaceCrop]) -> list[object]:
        return sorted(DropNearDuplicates(max_distance=1)(items, store), key=lambda one: one.item.id)

    assert judged(crops) == judged(crops[::-1]) == judged(crops[5:] + crops[:5])


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.integers(0, 12), st.randoms(use_true_random=False))
def test_no_near_pair_is_missed(values: list[int], distance: int, random: object) -> None:
    """The bands find exactly the pairs that comparing all with all finds."""
    near = [value ^ (1 << random.randrange(64)) for value in values[:10]]  # type: ignore[attr-defined]
    hashes = np.array(values + near, np.uint64)
    count = len(hashes)
    brute = [
        (i, j) for i in range(count) for j in range(i + 1, count) if int(hashes[i] ^ hashes[j]).bit_count() <= distance
    ]

    assert [tuple(pair) for pair in near_pairs(hashes, distance).tolist()] == brute


def test_one_post_stands_for_the_same_file(store: Store) -> None:
    """The post with the smallest number is kept, not the one that sorts first as text."""
    ninth, tenth = make.image("x", post_id="b:9"), make.image("x", post_id="b:10")

    said = {one.item.post_id: one for one in DropSameBytes()([tenth, ninth], store)}

    assert said == {"b:9": Kept(ninth, (ninth,)), "b:10": Dropped(tenth, Reason.SAME_BYTES, "as b:9")}
