"""Hides how pictures of the same drawing are gathered without comparing all of them with all others.

Hashes propose, `pipeline.alike` judges. Each picture, the best first, is compared with those that were kept before it
and are proposed, not with every copy of them: a thousand copies of one picture cost a thousand comparisons, not half a
million.
"""

from __future__ import annotations

import functools
import itertools
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.alike import Alike, Likeness, Look, compare, hashes
from pipeline.near import near_pairs, to_hex
from pipeline.pixels import Pixels
from pipeline.records import Comparison

AT_MOST = 32  # comparisons for one picture; the nearest by their hashes come first
LOOKS = 2048  # held at once; about 100 MB
AT_ONCE = 400  # pictures whose comparisons are recalled, or written down, together

Thing = TypeVar("Thing")
Compare = Callable[[int, int], Alike | None]  # None: the two are not to be compared


class Memory(Protocol):
    """Where comparisons are remembered, for a comparison of the same bytes always ends alike."""

    def comparisons(self, sha256s: Collection[str]) -> Iterable[Comparison]:
        """Return what is known of pairs within *sha256s*, and perhaps more."""
        ...

    def note_comparisons(self, comparisons: Sequence[Comparison]) -> None:
        """Remember."""
        ...


@dataclass(slots=True)
class Forgetful:
    """A memory for as long as it is held."""

    known: dict[tuple[str, str], Comparison] = field(default_factory=dict)

    def comparisons(self, sha256s: Collection[str]) -> Iterable[Comparison]:  # noqa: ARG002 -- it is small
        """Return all."""
        return self.known.values()

    def note_comparisons(self, comparisons: Sequence[Comparison]) -> None:
        """Remember."""
        self.known.update({(one.one, one.other): one for one in comparisons})


class Near:
    """Proposes to each of N pictures those before it, in any order that is wished, that look alike by their hashes.

    Held in memory is only who has any neighbour: of millions that is a small part.

    Args:
        own: The hash of each picture, 64 bits.
        max_distance: Bits of 64 by which two hashes may differ.
        parts: More hashes of each, as of its middle: what is proposed by one of them holds a part of it, or is one.
        also: Hashes by which each is proposed as well, as that of its mirror image; it is not found by them.
        fits: Says whether a proposal makes sense.
    """

    def __init__(
        self,
        own: Sequence[int],
        max_distance: int,
        *,
        parts: Iterable[Sequence[int]] = (),
        also: Iterable[Sequence[int]] = (),
        fits: Callable[[int, int], bool] = lambda _one, _other: True,
    ) -> None:
        self._fits = fits
        tables = [_flat((value,) for value in own), _flat(parts), _flat(also)]
        values, places, counts = np.unique(
            np.concatenate([value for _, value in tables]), return_inverse=True, return_counts=True
        )
        pairs = near_pairs(values, max_distance)
        ways = np.concatenate([pairs, pairs[:, ::-1]])
        distances = np.bitwise_count(values[ways[:, 0]] ^ values[ways[:, 1]])
        ways = ways[np.lexsort((ways[:, 1], distances, ways[:, 0]))]
        self._starts = np.searchsorted(ways[:, 0], np.arange(len(values) + 1))
        self._others = ways[:, 1]
        self._roots = _roots(len(values), pairs)
        sociable = counts > 1
        sociable[pairs] = True
        edges = np.cumsum([len(owners) for owners, _ in tables])[:-1]
        self._own, self._parts, self._also = (
            _places_of(owners, at, sociable) for (owners, _), at in zip(tables, np.split(places, edges), strict=True)
        )
        self._by_own: dict[int, dict[int, int]] = {}  # by the hash's place: who is kept, and whom it was added for
        self._by_part: dict[int, dict[int, int]] = {}

    def links(self) -> Iterator[tuple[int, int]]:
        """Give pairs of pictures such that whoever may be proposed to each other hangs together by some of them."""
        first: dict[int, int] = {}
        for table in (self._own, self._parts, self._also):
            for index, places in table.items():
                for place in places:
                    yield index, first.setdefault(int(self._roots[place]), index)

    def add(self, index: int, kept: int) -> None:
        """Let *index* be found from now on, and whoever finds it be referred to *kept*."""
        for table, places in ((self._by_own, self._own), (self._by_part, self._parts)):
            for place in places.get(index, ()):
                table.setdefault(place, {}).setdefault(kept, index)

    def before(self, index: int) -> Iterator[tuple[int, int]]:
        """Give those that were added and are near: who is kept, and for whom; of each hash the nearest first."""
        for table, near in self._looked_up(index):
            for kept, found in table.get(near, {}).items():
                if self._fits(found, index):
                    yield kept, found

    def _looked_up(self, index: int) -> Iterator[tuple[dict[int, dict[int, int]], int]]:
        """Give the places where to look; two parts are not held against each other."""
        for place in self._own.get(index, ()):
            for near in self._near(place):
                yield self._by_own, near
                yield self._by_part, near
        for place in (*self._also.get(index, ()), *self._parts.get(index, ())):
            for near in self._near(place):
                yield self._by_own, near

    def _near(self, place: int) -> Iterator[int]:
        yield place
        yield from self._others[self._starts[place] : self._starts[place + 1]].tolist()


def _flat(hashes: Iterable[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Lay the hashes of each picture behind each other: whose each is, and what it is."""
    owners, values = array("q"), array("Q")
    for index, some in enumerate(hashes):
        owners.extend(itertools.repeat(index, len(some)))
        values.extend(some)
    return np.array(owners, np.int64), np.array(values, np.uint64)


def _places_of(
    owners: NDArray[np.int64], places: NDArray[np.int64], sociable: NDArray[np.bool_]
) -> dict[int, list[int]]:
    """Give the places of those hashes of each picture that any other has, or is near."""
    found: dict[int, list[int]] = {}
    wanted = sociable[places]
    for index, place in zip(owners[wanted].tolist(), places[wanted].tolist(), strict=True):
        found.setdefault(index, []).append(place)
    return found


def _roots(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give for each of *count* the smallest that it hangs together with by pairs; for millions of pairs."""
    roots = np.arange(count)
    while True:
        lowest = roots[pairs].min(axis=1, initial=count)
        found = roots.copy()
        for side in (0, 1):
            np.minimum.at(found, pairs[:, side], lowest)
        found = found[found]
        if np.array_equal(found, roots):
            return roots
        roots = found


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that hang together by what was compared; all numbers are places in the order that was given."""

    members: tuple[int, ...]
    leader: Mapping[int, int]  # of each member: itself, or the one that is kept in its place
    alike: Mapping[int, Alike]  # of a member that is not kept: how it is like its leader
    varied: Mapping[int, tuple[int, Alike]]  # of a kept one: of which better one it is a variation
    joined: tuple[tuple[int, int], ...]  # pairs that make families: the same drawing, or variations of it


def gather(  # noqa: C901 -- one rule, told in one place
    cluster: Sequence[int],
    nears: Sequence[Near],
    judge: Compare,
    *,
    drops: Collection[Likeness] = (Likeness.SAME,),
    stands: Callable[[int], bool] = lambda _index: False,
    represents: Callable[[int], bool] = lambda _index: True,
) -> Group:
    """Say of each picture of a cluster whether it is kept, or which better one is kept in its place.

    Whoever is not kept was compared with the one that is kept for it: there are no chains, in which each is like the
    next and the last is like the first no more. It is compared with `AT_MOST` others.

    Args:
        cluster: Who may be proposed to whom, the best first (`clusters`).
        nears: Propose.
        judge: Compares a better one with another.
        drops: What a picture must be to a better one for it not to be kept.
        stands: Whether a picture is kept whatever it is like.
        represents: Whether a picture may be kept in the place of another.
    """
    leader: dict[int, int] = {}
    alikes: dict[int, Alike] = {}
    varied: dict[int, tuple[int, Alike]] = {}
    joined: list[tuple[int, int]] = []
    for index in cluster:
        leader[index] = index
        seen: set[int] = set()
        for kept, found in itertools.chain.from_iterable(near.before(index) for near in nears):
            if len(seen) >= AT_MOST:
                break
            if kept in seen:
                continue
            seen.add(kept)
            alike = judge(kept, index)
            like = Likeness.DIFFERENT if alike is None else alike.likeness
            if like is Likeness.DIFFERENT and found not in seen:  # it may still be of the family
                seen.add(found)
                related = judge(found, index)
                if related is not None and related.likeness is not Likeness.DIFFERENT:
                    joined.append((found, index))
            if alike is None or like is Likeness.DIFFERENT:
                continue
            joined.append((kept, index))
            if like in drops and represents(kept) and not stands(index):
                leader[index], alikes[index] = kept, alike
                break
            if like is Likeness.VARIATION:
                varied.setdefault(index, (kept, alike))
        for near in nears:
            near.add(index, leader[index])
    varied = {index: of for index, of in varied.items() if leader[index] == index}
    return Group(tuple(cluster), leader, alikes, varied, tuple(joined))


def clusters(count: int, nears: Sequence[Near]) -> list[list[int]]:
    """Part 0 to *count* - 1 so that nobody is proposed to anybody in another part; each part and all parts in order."""
    links = list(itertools.chain.from_iterable(near.links() for near in nears))
    roots = joined({index for link in links for index in link}, links)
    parts: dict[int, list[int]] = {}
    for index in range(count):
        parts.setdefault(roots.get(index, index), []).append(index)
    return list(parts.values())


def joined(things: Iterable[Thing], pairs: Iterable[tuple[Thing, Thing]]) -> dict[Thing, Thing]:
    """Give for each thing one of those that it hangs together with by pairs, the same for all of them (union-find)."""
    root = {thing: thing for thing in things}

    def find(one: Thing) -> Thing:
        while root[one] != one:
            root[one] = root[root[one]]
            one = root[one]
        return one

    for one, other in pairs:
        root[find(one)] = find(other)
    return {thing: find(thing) for thing in root}


class Judge:
    """Compares pictures by their bytes' names, and nobody twice.

    Args:
        sha256s: Of each picture, in their order.
        look: Gives what is compared of a picture; None where it cannot be looked at, which makes it like no other.
        memory: Of comparisons.
    """

    def __init__(self, sha256s: Sequence[str], look: Callable[[int], Look | None], memory: Memory) -> None:
        self._sha256s, self._memory = sha256s, memory
        self._look = functools.lru_cache(maxsize=LOOKS)(look)
        self._known: dict[tuple[str, str], Alike] = {}
        self._new: list[Comparison] = []
        self.compared = 0  # how often two pictures were held against each other

    def recall(self, indices: Iterable[int]) -> None:
        """Remember what is known of these, and forget the others."""
        said = self._memory.comparisons({self._sha256s[index] for index in indices})
        self._known = {
            (one.one, one.other): Alike(
                likeness=Likeness(one.likeness), score=one.score, mirrored=one.mirrored, how=one.how
            )
            for one in said
        }

    def commit(self) -> None:
        """Let the memory know what is new."""
        if self._new:
            self._memory.note_comparisons(self._new)
        self._new = []

    def __call__(self, one: int, other: int) -> Alike:
        """Say what two pictures are to each other, whichever is named first."""
        pair = first, second = tuple(sorted((self._sha256s[one], self._sha256s[other])))
        if pair not in self._known:
            looks = self._look(one), self._look(other)
            if looks[0] is None or looks[1] is None:
                return _UNSEEN
            self.compared += 1
            alike = compare(looks[0], looks[1])
            self._known[first, second] = alike
            self._new.append(
                Comparison(
                    one=first,
                    other=second,
                    likeness=str(alike.likeness),
                    score=round(alike.score, 4),
                    mirrored=alike.mirrored,
                    how=alike.how,
                )
            )
        return self._known[first, second]


_UNSEEN = Alike(likeness=Likeness.DIFFERENT, score=0.0, mirrored=False, how="not looked at")


def together(parts: Iterable[list[int]]) -> Iterator[list[list[int]]]:
    """Give clusters of more than one in bundles of about `AT_ONCE` pictures."""
    bundle: list[list[int]] = []
    for part in parts:
        if len(part) > 1:
            bundle.append(part)
        if sum(map(len, bundle)) >= AT_ONCE:
            yield bundle
            bundle = []
    if bundle:
        yield bundle


def hashes_of_parts(pixels_HWC: Pixels) -> tuple[str, ...]:
    """Hash parts of a picture, each to 16 hexadecimal digits: by them copies that were cut are found."""
    return tuple(map(to_hex, hashes(pixels_HWC)[1:]))
