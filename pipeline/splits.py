"""Which split a crop stands in: the same in every release, and never what is alike on two sides."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from pipeline.manifest import split_of
from pipeline.records import GivenSplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a crop comes from, as far as its split depends on it."""

    image: str  # SHA-256
    family: str
    episode: str = ""  # "": of no film, or films are divided as all else is

    @property
    def names(self) -> tuple[str, ...]:
        """What is remembered when it is given a split."""
        of_film = (f"episode {self.episode}",) if self.episode else ()
        return (f"image {self.image}", f"family {self.family}", *of_film)


def episode_of(post_id: str, films: Collection[str]) -> str:
    """Name the film that a frame is of; "" for a post of any other source.

    Args:
        post_id: As `pipeline.sources.video` writes it: "<source>:<film>@<milliseconds>#<content>".
        films: Names of the sources that read films.
    """
    return post_id.rpartition("@")[0] if post_id.partition(":")[0] in films else ""


def divide(
    places: Sequence[Place], given: Mapping[str, GivenSplit], seed: int, shares: Mapping[str, float]
) -> list[str]:
    """Choose a split for each crop.

    What was given in an earlier release stands. What is new goes with its episode, else with its family, and only
    where nothing of those was ever given a split, chance decides. Where two splits meet in one family or episode, the
    one that was given first stays, and of two given in the same release the first of *shares*.

    Args:
        places: Of all crops of the dataset.
        given: By `Place.names`.
        seed: Of the chance.
        shares: Share by name, adding up to 1.

    Returns:
        A name for each place; "" where the crop can be in no split, because what is alike to it is in another.
    """
    order = {name: index for index, name in enumerate(shares)}
    units = _grouped(places, range(len(places)), lambda place: place.episode or place.family)
    splits = [""] * len(places)
    for unit, members in units.items():
        known = {name: given[name] for index in members for name in _own(places[index]) if name in given}
        first = min(known.values(), key=lambda one: (one.round, order.get(one.split, len(order))), default=None)
        chosen = first.split if first else split_of(unit, seed, shares)
        for index in members:
            own = given.get(places[index].names[0])
            splits[index] = own.split if own else chosen
    for kind, key in (("episode", _episode), ("family", _family)):
        there = [index for index, split in enumerate(splits) if split]
        for name, members in _grouped(places, there, key).items():
            ages = _ages(f"{kind} {name}", places, members, splits, given)
            stays = min(ages, key=lambda split: (ages[split], order.get(split, len(order))))
            for index in members:
                splits[index] = splits[index] if splits[index] == stays else ""
    return splits


def _own(place: Place) -> tuple[str, ...]:
    """What says where the crop's episode stands, or its family where it has none."""
    return (place.names[0], place.names[-1])


def _family(place: Place) -> str:
    return place.family


def _episode(place: Place) -> str:
    return place.episode


def _ages(
    group: str, places: Sequence[Place], members: Sequence[int], splits: Sequence[str], given: Mapping[str, GivenSplit]
) -> dict[str, float]:
    """Say of each split that meets in a group in which round it was given first; infinity: never before."""
    ages: dict[str, float] = {}
    for index in members:
        own = given.get(places[index].names[0])
        ages[splits[index]] = min(ages.get(splits[index], math.inf), own.round if own else math.inf)
    if group in given:  # also where none of those that stood there is left
        there = given[group]
        ages[there.split] = min(ages.get(there.split, math.inf), there.round)
    return ages


def _grouped(places: Sequence[Place], chosen: Sequence[int], key: Callable[[Place], str]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for index in chosen:
        name = key(places[index])
        if name:
            groups.setdefault(name, []).append(index)
    return groups
