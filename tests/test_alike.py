from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

from pipeline.alike import Alike, Likeness, compare, hashes, look, mirrored
from pipeline.pixels import Pixels, phash
from pipeline.sandbox.pairs import TRUTH, Kind, Pair, Subject, draw_pairs

SEED = 40  # of pictures that no weight was fitted on


@functools.cache
def _pairs(subject: Subject, turn: int = 0) -> dict[Kind, Pair]:
    return {pair.kind: pair for pair in draw_pairs((SEED, turn), subject)}


def _compared(pair: Pair) -> Alike:
    return compare(look(pair.one_HWC), look(pair.other_HWC))


def _flat(*colour: int) -> Pixels:
    return np.full((200, 300, 3), colour, np.uint8)


def _bits(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@pytest.mark.parametrize("subject", Subject)
@pytest.mark.parametrize("kind", [kind for kind, truth in TRUTH.items() if truth is Likeness.SAME])
def test_a_repost_is_the_same(subject: Subject, kind: Kind) -> None:
    """Whatever boards do to a picture, it stays the same drawing."""
    assert _compared(_pairs(subject)[kind]).likeness is Likeness.SAME


@pytest.mark.parametrize("kind", [kind for kind, truth in TRUTH.items() if truth is Likeness.VARIATION])
def test_what_is_drawn_otherwise_in_one_place_is_a_variation(kind: Kind) -> None:
    """Another expression, other words, or other clothes, on a face that is otherwise the same."""
    assert _compared(_pairs(Subject.FACE)[kind]).likeness is Likeness.VARIATION


@pytest.mark.parametrize("subject", Subject)
@pytest.mark.parametrize("kind", [kind for kind, truth in TRUTH.items() if truth is Likeness.DIFFERENT])
def test_another_drawing_is_different(subject: Subject, kind: Kind) -> None:
    """Somebody else in the same pose, the same character in another, plain pictures, strangers."""
    assert _compared(_pairs(subject)[kind]).likeness is Likeness.DIFFERENT


def test_a_mirror_image_is_told_as_one() -> None:
    """People are told why two pictures are the same that do not look so at once."""
    found = _compared(_pairs(Subject.PICTURE)[Kind.MIRRORED])

    assert (found.mirrored, found.how) == (True, "mirrored")


def test_a_copy_is_not_mirrored() -> None:
    """What was only saved again is told as the same drawing."""
    found = _compared(_pairs(Subject.PICTURE)[Kind.RECOMPRESSED])

    assert (found.mirrored, found.how) == (False, "same drawing")


@pytest.mark.parametrize("kind", Kind)
def test_the_order_does_not_matter(kind: Kind) -> None:
    """The first compared with the second is the second compared with the first, but for how numbers are added up."""
    pair = _pairs(Subject.PICTURE)[kind]
    one, other = look(pair.one_HWC), look(pair.other_HWC)

    here, there = compare(one, other), compare(other, one)

    assert replace(here, score=there.score) == there
    assert here.score == pytest.approx(there.score, abs=1e-4)


def test_two_plain_colours_are_different() -> None:
    """Nothing is drawn on either, and a colour that is another is not fitted away."""
    assert compare(look(_flat(250, 250, 250)), look(_flat(30, 60, 120))).likeness is Likeness.DIFFERENT


def test_what_must_be_stretched_to_fit_is_different() -> None:
    """Squares and the same squares twice as wide would fit everywhere; so would anything that may be bent at will."""
    colours = np.random.default_rng(1).integers(0, 256, (12, 12, 3), np.uint8)
    squares_HWC = colours.repeat(10, axis=0).repeat(10, axis=1)

    assert compare(look(squares_HWC), look(squares_HWC.repeat(2, axis=1))).likeness is Likeness.DIFFERENT


def test_one_plain_colour_is_the_same_twice() -> None:
    """Where there are no lines to go by, what nobody can tell apart is the same."""
    assert compare(look(_flat(250, 250, 250)), look(_flat(249, 250, 248))).likeness is Likeness.SAME


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (3, 3), (40, 2000)])
def test_no_shape_is_too_odd(shape: tuple[int, int]) -> None:
    """A scraped picture may be a line or a point; it is compared as any other."""
    noise_HWC = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)

    assert compare(look(noise_HWC), look(_pairs(Subject.FACE)[Kind.PLAIN].one_HWC)).likeness is Likeness.DIFFERENT
    assert compare(look(noise_HWC), look(noise_HWC)).likeness is Likeness.SAME


def test_a_look_is_small() -> None:
    """Of a picture of any size 128 pixels are kept, in its proportions."""
    assert look(np.zeros((900, 450, 3), np.uint8)).thumb_HWC.shape == (128, 64, 3)


def test_the_first_hash_is_that_of_imagehash() -> None:
    """What other programs have hashed is found by it."""
    face_HWC = _pairs(Subject.FACE)[Kind.GREY].one_HWC

    assert hashes(face_HWC)[0] == int(phash(face_HWC), 16)


@pytest.mark.parametrize("kind", [Kind.BORDER, Kind.LETTERBOX])
def test_a_frame_is_looked_through(kind: Kind) -> None:
    """One of the hashes of a framed picture is near that of the picture itself."""
    pair = _pairs(Subject.PICTURE)[kind]
    own = hashes(pair.one_HWC)[0]

    assert min(_bits(own, one) for one in hashes(pair.other_HWC)) <= 8


@pytest.mark.parametrize("subject", Subject)
def test_the_mirror_image_has_the_mirrored_hash(subject: Subject) -> None:
    """Within eight bits, without looking at a pixel."""
    picture = PIL.Image.fromarray(_pairs(subject)[Kind.STRANGER].other_HWC)
    flipped = np.asarray(picture.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT))

    assert _bits(mirrored(hashes(np.asarray(picture))[0]), int(phash(flipped), 16)) <= 8


def test_a_mirror_of_a_mirror_is_the_hash() -> None:
    """Nothing is lost by mirroring twice."""
    assert mirrored(mirrored(0x8F3A_5512_0B7C_99E1)) == 0x8F3A_5512_0B7C_99E1
