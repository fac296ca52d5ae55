from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from pipeline.alike import Alike, Likeness, Look, look
from pipeline.groups import AT_MOST, Forgetful, Group, Judge, Near, clusters, gather, joined
from pipeline.pixels import Pixels, resize

SAME = Alike(likeness=Likeness.SAME, score=1.0, mirrored=False, how="same drawing")
VARIATION = Alike(likeness=Likeness.VARIATION, score=0.9, mirrored=False, how="other expression")
DIFFERENT = Alike(likeness=Likeness.DIFFERENT, score=0.1, mirrored=False, how="different")


def _by(rule: Callable[[int, int], Alike], asked: list[tuple[int, int]] | None = None) -> Callable[[int, int], Alike]:
    def judge(one: int, other: int) -> Alike:
        if asked is not None:
            asked.append((one, other))
        return rule(one, other)

    return judge


def _gathered(hashes: Sequence[int], rule: Callable[[int, int], Alike], distance: int = 4) -> list[Group]:
    near = Near(hashes, distance)
    return [gather(part, [near], _by(rule)) for part in clusters(len(hashes), [near])]


def _near_one_hash(count: int) -> list[int]:
    """Hashes that are all within four bits of each other, most of them different."""
    generator = random.Random(0)
    return [(1 << generator.randrange(64)) | (1 << generator.randrange(64)) for _ in range(count)]


def test_a_thousand_copies_cost_a_thousand_comparisons() -> None:
    """Each is compared with the one that is kept, not with all others: half a million pairs are near."""
    asked: list[tuple[int, int]] = []
    hashes = _near_one_hash(1000)
    near = Near(hashes, 4)

    (part,) = clusters(len(hashes), [near])
    group = gather(part, [near], _by(lambda *_: SAME, asked))

    assert (len(asked), set(group.leader.values())) == (999, {0})


def test_a_thousand_plain_pictures_that_are_not_alike_are_not_all_compared() -> None:
    """Each with so many as are allowed; and all are kept."""
    asked: list[tuple[int, int]] = []
    hashes = _near_one_hash(1000)
    near = Near(hashes, 4)

    (part,) = clusters(len(hashes), [near])
    group = gather(part, [near], _by(lambda *_: DIFFERENT, asked))

    assert len(asked) <= 1000 * AT_MOST
    assert all(kept == index for index, kept in group.leader.items())


def test_the_nearest_are_compared_first() -> None:
    """So that a limit leaves out what is likely to be another."""
    hashes = [0b0111, 0b0011, 0b0001, 0b0000]
    asked: list[tuple[int, int]] = []
    near = Near(hashes, 4)
    gather([0, 1, 2, 3], [near], _by(lambda *_: DIFFERENT, asked))

    assert [pair for pair in asked if pair[1] == 3] == [(2, 3), (1, 3), (0, 3)]


def test_far_hashes_are_never_compared() -> None:
    """They are in groups of their own."""
    groups = _gathered([0, 2**64 - 1, 1, 2**64 - 2], lambda *_: SAME)

    assert [group.members for group in groups] == [(0, 2), (1, 3)]


def test_there_are_no_chains() -> None:
    """What is like a copy and not like the one that is kept for it is kept itself, and of the family."""
    (group,) = _gathered([0b0, 0b1, 0b11], lambda one, other: SAME if other - one == 1 else DIFFERENT)

    assert (group.leader, group.joined) == ({0: 0, 1: 0, 2: 2}, ((0, 1), (1, 2)))


def test_variations_are_kept_unless_they_are_to_be_dropped() -> None:
    """They are of one family either way."""
    near = Near([0, 1], 4)
    kept = gather([0, 1], [near], _by(lambda *_: VARIATION))
    near = Near([0, 1], 4)
    one = gather([0, 1], [near], _by(lambda *_: VARIATION), drops=(Likeness.SAME, Likeness.VARIATION))

    assert (kept.leader, kept.varied, kept.joined) == ({0: 0, 1: 1}, {1: (0, VARIATION)}, ((0, 1),))
    assert (one.leader, one.varied, one.joined) == ({0: 0, 1: 0}, {}, ((0, 1),))


@pytest.mark.parametrize("what", ["parts", "also"])
def test_other_hashes_propose_too(what: str) -> None:
    """A part of one is near another as a whole; the mirror image of one is near another."""
    far = 2**64 - 1
    near = Near([0, far], 2, **{what: [[far - 1], [1]]})  # type: ignore[arg-type]

    assert clusters(2, [near]) == [[0, 1]]
    assert gather([0, 1], [near], _by(lambda *_: SAME)).leader == {0: 0, 1: 0}


def test_a_proposal_must_fit() -> None:
    """What makes no sense is not compared."""
    near = Near([0, 0], 2, fits=lambda *_: False)

    assert gather([0, 1], [near], _by(lambda *_: SAME)).leader == {0: 0, 1: 1}


def test_a_comparison_of_the_same_bytes_is_made_once() -> None:
    """Whichever of the two is named first, and also by another that shares the memory."""
    looks = [look(resize(_noise(seed), 64)) for seed in range(2)]
    memory = Forgetful()
    first = Judge(["a", "b"], looks.__getitem__, memory)
    said = first(0, 1), first(1, 0)
    first.commit()
    again = Judge(["b", "a"], _nobody_looks, memory)
    again.recall([0, 1])

    assert said[0] == said[1]
    assert (again(0, 1).likeness, first.compared, again.compared) == (said[0].likeness, 1, 0)


def test_what_cannot_be_looked_at_is_like_nothing() -> None:
    """And is not remembered as if it had been compared."""
    memory = Forgetful()
    judge = Judge(["a", "b"], lambda _index: None, memory)
    likeness = judge(0, 1).likeness
    judge.commit()

    assert (likeness, memory.known) == (Likeness.DIFFERENT, {})


def test_what_hangs_together_by_pairs_has_one_root() -> None:
    """However the pairs are ordered; what is in none stands alone."""
    roots = joined("abcde", [("d", "c"), ("a", "b"), ("c", "b")])

    assert len({roots[one] for one in "abcd"}) == 1
    assert roots["e"] == "e"


def _noise(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)


def _nobody_looks(_index: int) -> Look | None:
    raise AssertionError
