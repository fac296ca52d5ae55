"""Hides which decision is in force: undone ones are out, and a face keeps its own when it is cut or copied anew."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.records import Box, FaceCrop, Image, ReviewDecision

SAME_BOX = 0.5  # overlap of two boxes in one image that are about one face
SAME_PLACE = 0.3  # overlap of two faces in their pictures, as dedup has it
SAME_FACE = 10  # bits of 64 between the hashes of two crops of one family

Stack = list[ReviewDecision]


def take(stack: Stack, decision: ReviewDecision) -> None:
    """Put what was said of a crop on its stack, or take out what is taken back: that operation's, or the last."""
    if decision.verdict is not None:
        stack.append(decision)
    elif decision.undoes:
        stack[:] = [one for one in stack if one.op != decision.undoes]
    elif stack:
        stack.pop()


def standing(decisions: Iterable[ReviewDecision]) -> dict[str, Stack]:
    """Give for each crop what stands of all that was decided, the oldest first; crops of which nothing does have none.

    Args:
        decisions: In the order in which they were made; a row without verdict takes another back.
    """
    stacks: dict[str, Stack] = {}
    for one in decisions:
        take(stacks.setdefault(one.crop_sha256, []), one)
    return {crop: stack for crop, stack in stacks.items() if stack}


def in_force(stack: Sequence[ReviewDecision]) -> ReviewDecision:
    """Give the last decision, with the last label: whoever says nothing of the label leaves it as it was."""
    last = stack[-1]
    if last.label is not None:
        return last
    label = next((one.label for one in reversed(stack) if one.label is not None), None)
    return last if label is None else replace(last, label=label)


def carried(
    crops: Iterable[FaceCrop],
    decisions: Mapping[str, ReviewDecision],
    known: Mapping[str, FaceCrop],
    images: Mapping[str, Image],
    families: Mapping[str, str] | None = None,
) -> dict[str, ReviewDecision]:
    """Find for crops what people have said of these very faces, even where the bytes are others now.

    A decision is about the crop with its bytes; else about the same face cut otherwise (boxes in one image that overlap
    by half); else about a near-copy of it (another image of its family, in which the face stands in the same place and
    looks the same). Of several the newest counts.

    Args:
        crops: Of which it is asked.
        decisions: By SHA-256 of the crop that was looked at.
        known: Crops that were looked at, by SHA-256, where a decision does not say itself where they lay.
        images: By SHA-256, for the places in near-copies; one that is not here is compared with none.
        families: What the family of an image is called by now; else it is as it was when it was decided.

    Returns:
        Decisions by SHA-256 of those of *crops* that have one.
    """
    asked = list(crops)
    found = {crop.sha256: decisions[crop.sha256] for crop in asked if crop.sha256 in decisions}
    rest = [crop for crop in asked if crop.sha256 not in found]
    if not rest or not decisions:
        return found
    by_image: dict[str, list[_Face]] = defaultdict(list)
    by_family: dict[str, list[_Face]] = defaultdict(list)
    for face in _faces(decisions, known):
        by_image[face.image].append(face)
        family = (families or {}).get(face.image, face.family)
        if family:
            by_family[family].append(face)
    for crop in rest:
        here = by_image.get(crop.detection.image_sha256, ())
        same = [one for one in here if one.box.overlap(crop.detection.box) >= SAME_BOX]
        alike = same or [one for one in by_family.get(crop.family, ()) if _is_copy(one, crop, images)]
        if alike:
            found[crop.sha256] = max(alike, key=lambda one: one.decision.decided_at).decision
    return found


@dataclass(frozen=True, slots=True)
class _Face:
    """Where what somebody decided on lies."""

    decision: ReviewDecision
    image: str
    box: Box
    phash: str
    family: str


def _faces(decisions: Mapping[str, ReviewDecision], known: Mapping[str, FaceCrop]) -> Iterator[_Face]:
    for sha256, one in decisions.items():
        crop = known.get(sha256)
        if one.box is not None:
            yield _Face(one, one.image_sha256, one.box, one.phash, one.family)
        elif crop is not None:
            yield _Face(one, crop.detection.image_sha256, crop.detection.box, crop.phash, crop.family)


def _is_copy(face: _Face, crop: FaceCrop, images: Mapping[str, Image]) -> bool:
    here, there = images.get(crop.detection.image_sha256), images.get(face.image)
    if here is None or there is None or here.sha256 == there.sha256 or not face.phash:
        return False
    apart = (int(face.phash, 16) ^ int(crop.phash, 16)).bit_count()
    places = there.place(face.box).overlap(here.place(crop.detection.box))
    return apart <= SAME_FACE and places >= SAME_PLACE


def at_most(false: int, seen: int, confidence: float = 0.95) -> float:
    """Give the share of false ones that is not exceeded, with that confidence, where *seen* were drawn by chance.

    The exact one-sided bound of Clopper and Pearson (Biometrika 26, 1934): the share at which so few false ones are
    found with a probability of 1 - *confidence*.

    Args:
        false: How many of those drawn were false.
        seen: How many were drawn.
        confidence: 0 to 1.
    """
    if false >= seen:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):  # halves: far below what is shown
        share = (low + high) / 2
        if _so_few(false, seen, share) > 1 - confidence:
            low = share
        else:
            high = share
    return high


def _so_few(false: int, seen: int, share: float) -> float:
    """Give the probability of at most *false* among *seen*, by the logarithms of the terms."""
    if share in (0.0, 1.0):
        return 1.0 - share
    whole = math.lgamma(seen + 1)
    terms = (
        whole - math.lgamma(k + 1) - math.lgamma(seen - k + 1) + k * math.log(share) + (seen - k) * math.log1p(-share)
        for k in range(false + 1)
    )
    return math.fsum(map(math.exp, terms))
