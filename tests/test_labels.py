from __future__ import annotations

from pipeline.labels import ATTRIBUTES, attributes_of, labels_of, rivals


def _of(tags: str, faces: int = 1) -> dict[str, int]:
    return {name: int(value) for name, value in zip(ATTRIBUTES, labels_of(tags.split(), faces), strict=True)}


def test_there_are_34_in_the_authors_order() -> None:
    """13 colours of hair, 11 shapes, 10 colours of eyes."""
    assert len(ATTRIBUTES) == 34
    assert (ATTRIBUTES[0], ATTRIBUTES[12], ATTRIBUTES[13], ATTRIBUTES[24]) == (
        *("blonde_hair", "grey_hair", "long_hair", "blue_eyes"),
    )


def test_one_colour_excludes_the_others_of_its_group() -> None:
    """Blue hair is not green; of the eyes nothing is known."""
    labels = _of("solo blue_hair")

    assert (labels["blue_hair"], labels["green_hair"], labels["blue_eyes"]) == (1, 0, -1)


def test_a_missing_shape_is_unknown_not_false() -> None:
    """Boards do not tag everything."""
    labels = _of("solo smile")

    assert (labels["smile"], labels["hat"]) == (1, -1)


def test_tags_of_several_characters_label_nobody() -> None:
    """A tag belongs to the post: without solo, or with two faces, it says nothing of one face."""
    assert set(_of("blue_hair smile").values()) == {-1}
    assert set(_of("solo blue_hair", faces=2).values()) == {-1}


def test_two_colours_tell_none() -> None:
    """Two hair colours, or hair of many colours, leave the group unknown."""
    assert _of("solo blue_hair red_hair")["blue_hair"] == -1
    assert _of("solo blue_hair gradient_hair")["blue_hair"] == -1


def test_what_is_said_of_a_face_is_named() -> None:
    """What labels hold as true, and nothing of a face that tags cannot speak of."""
    assert attributes_of(("smile", "solo", "blue_hair", "sky"), 1) == ("blue_hair", "smile")
    assert attributes_of(("smile", "solo", "blue_hair"), 2) == ()


def test_a_colour_excludes_the_others_of_its_kind() -> None:
    """Of hair and eyes each; a smile excludes nothing."""
    assert len(rivals("blue_hair")) == 12
    assert len(rivals("blue_eyes")) == 9
    assert rivals("blue_hair") < set(ATTRIBUTES[:13])
    assert rivals("smile") == frozenset()
