from __future__ import annotations

import io
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import make
import numpy as np
import PIL.Image
import pytest

from pipeline.dedup import DropNearDuplicates, DropSameImages, kept_for, name_families
from pipeline.groups import Forgetful
from pipeline.pixels import Pixels, encode_png, inspect, resize
from pipeline.records import Comparison, FaceCrop, Image, Reason, Verdict
from pipeline.sandbox.draw import draw_portrait
from pipeline.stage import Dropped, Kept
from pipeline.store import Store

FAR = 2**64 - 1
Said = Kept[Any, Any] | Dropped[Any]


def _portrait(seed: int) -> Pixels:
    return np.asarray(draw_portrait((seed,)).picture.convert("RGB"))


def _face(seed: int, shift: int = 0, side: int = 128) -> Pixels:
    """The face of a drawn portrait, cut a little off its place."""
    drawing = draw_portrait((seed,))
    box = drawing.truth.faces[0].box
    margin = box.width // 4
    square = (
        box.left - margin + shift,
        box.top - margin + shift,
        box.right + margin + shift,
        box.bottom + margin + shift,
    )
    return resize(np.asarray(drawing.picture.convert("RGB").crop(square)), side)


@pytest.fixture
def faces(store: Store) -> list[str]:
    """Three drawn faces in the store."""
    return [store.put(encode_png(_face(seed))) for seed in range(3)]


def _outcomes(
    store: Store, *crops: FaceCrop, images: Sequence[Image] = (), distance: int = 3, **effects: Any
) -> dict[str, Said]:
    known = {crop.detection.image_sha256: make.image(crop.id, phash=f"{n << 20:016x}") for n, crop in enumerate(crops)}
    known |= {image.sha256: image for image in images}
    said = DropNearDuplicates(max_distance=distance, max_image_distance=0, images=known, **effects)(crops, store)
    return {one.item.id: one for one in said}


def _reasons(outcomes: Mapping[str, Said]) -> dict[str, object]:
    return {key: one.reason if isinstance(one, Dropped) else "kept" for key, one in outcomes.items()}


def _family(one: Said) -> str:
    assert isinstance(one, Kept)
    return str(one.outputs[0].family)


# --- crops ----------------------------------------------------------------------------------------------------------


def test_parts_of_one_picture_are_of_one_family(store: Store) -> None:
    """Posts that differ only behind the last # show the same picture, however different its crops are."""
    half = make.face_crop(1, sha256=store.put(encode_png(_face(0))))
    whole = make.face_crop(2, sha256=store.put(encode_png(_face(1))), phash=FAR)
    images = {
        crop.detection.image_sha256: make.image(crop.id, phash=f"{n << 20:016x}", post_id=f"films:a #1@0#abcd{part}")
        for n, (crop, part) in enumerate([(half, "l"), (whole, "")])
    }
    kept = list(DropNearDuplicates(images=images)([half, whole], store))

    assert len({one.outputs[0].family for one in kept if isinstance(one, Kept)}) == len(kept) - 1 == 1


def test_keeps_the_larger_of_two_alike(store: Store) -> None:
    """A small crop gives way to a larger one even when it comes first, and is told why."""
    small = make.face_crop(1, side=128, sha256=store.put(encode_png(_face(0, shift=4))))
    large = make.face_crop(2, side=512, phash=0b0111, sha256=store.put(encode_png(_face(0))))

    said = _outcomes(store, small, large)

    assert _reasons(said) == {small.id: Reason.DUPLICATE, large.id: "kept"}
    assert isinstance(said[small.id], Dropped)
    assert kept_for(said[small.id].detail) == (large.sha256, "larger", "same drawing")


def test_a_window_that_moved_a_little_is_not_larger(store: Store) -> None:
    """Of crops of nearly the same side the one of the image that lost nothing is kept."""
    jpeg = make.face_crop(1, side=303, sha256=store.put(encode_png(_face(0, shift=2))))
    png = make.face_crop(2, side=300, sha256=store.put(encode_png(_face(0))))
    images = [make.image(1, phash="f" * 16), make.image(2, format="PNG")]

    assert _reasons(_outcomes(store, jpeg, png, images=images)) == {jpeg.id: Reason.DUPLICATE, png.id: "kept"}


def test_keeps_two_faces_whose_hashes_agree_by_chance(store: Store, faces: list[str]) -> None:
    """Equal hashes only propose; the faces themselves differ."""
    one, other = make.face_crop(1, sha256=faces[0]), make.face_crop(2, sha256=faces[1])

    assert _reasons(_outcomes(store, one, other)) == {one.id: "kept", other.id: "kept"}


def test_copies_are_found_by_their_whole_images(store: Store) -> None:
    """When the box moved so far that the crops' hashes differ, the images and the place of the face still tell."""
    one = make.face_crop(1, side=400, sha256=store.put(encode_png(_face(0))))
    moved = make.face_crop(2, phash=FAR, sha256=store.put(encode_png(_face(0, shift=8))))
    images = [make.image(1), make.image(2)]

    assert _reasons(_outcomes(store, one, moved, images=images)) == {one.id: "kept", moved.id: Reason.DUPLICATE}


def test_faces_in_different_places_of_alike_images_are_kept(store: Store) -> None:
    """The left face of one is not the right face of its copy."""
    left = make.face_crop(1, sha256=store.put(encode_png(_face(0))))
    right = make.face_crop(
        2, phash=FAR, detection=make.detection(2, box=make.box(left=500)), sha256=store.put(encode_png(_face(0, 2)))
    )

    outcomes = _outcomes(store, left, right, images=[make.image(1), make.image(2)])

    assert set(_reasons(outcomes).values()) == {"kept"}


def test_a_mirrored_copy_is_a_copy(store: Store) -> None:
    """It is proposed by the hash that its mirror image would have."""
    face = _face(0)
    turned = np.ascontiguousarray(face[:, ::-1])
    crops = [
        make.face_crop(n, side=300 + 100 * n, phash=int(_hash(pixels), 16), sha256=store.put(encode_png(pixels)))
        for n, pixels in enumerate((face, turned))
    ]

    said = _outcomes(store, *crops, distance=8)

    assert _reasons(said) == {crops[0].id: Reason.DUPLICATE, crops[1].id: "kept"}
    assert kept_for(said[crops[0].id].detail) == (crops[1].sha256, "larger", "mirrored")  # type: ignore[union-attr]


def _hash(pixels_HWC: Pixels) -> str:
    return inspect(encode_png(pixels_HWC), max_pixels=10**7).phash


def test_two_faces_of_one_picture_are_two_faces(store: Store, faces: list[str]) -> None:
    """Twins in one image are not each other's copies."""
    left = make.face_crop(1, sha256=faces[0])
    right = make.face_crop(
        1, sha256=store.put(encode_png(_face(0, 1))), detection=make.detection(1, box=make.box(left=400))
    )

    assert set(_reasons(_outcomes(store, left, right, images=[make.image(1)])).values()) == {"kept"}


def test_the_same_bytes_are_kept_once(store: Store, faces: list[str]) -> None:
    """Two images can give the very same crop."""
    one, other = make.face_crop(1, sha256=faces[0]), make.face_crop(2, sha256=faces[0], phash=FAR)

    assert sorted(map(str, _reasons(_outcomes(store, one, other)).values())) == ["kept", "same_crop"]


def test_a_family_holds_the_crops_of_one_picture_and_its_copies(store: Store, faces: list[str]) -> None:
    """Two faces of one image, and a near-copy of one of them elsewhere, are one family; a stranger is not."""
    left = make.face_crop(1, side=400, sha256=faces[0])
    right = make.face_crop(1, phash=FAR, sha256=faces[1], detection=make.detection(1, box=make.box(400)))
    copy = make.face_crop(2, phash=1, side=500, sha256=store.put(encode_png(_face(0, 3))))
    stranger = make.face_crop(3, phash=0xF0F0, sha256=faces[2])

    outcomes = _outcomes(store, left, right, copy, stranger, images=[make.image(1)])
    families = {key: one.outputs[0].family for key, one in outcomes.items() if isinstance(one, Kept)}

    assert set(families) == {right.id, copy.id, stranger.id}
    assert families[copy.id] == families[right.id] != families[stranger.id]


def test_the_order_of_arrival_changes_nothing(store: Store) -> None:
    """Every order gives the same outcomes and families."""
    crops = [make.face_crop(n, side=100 + n, sha256=store.put(encode_png(_face(n % 4, n)))) for n in range(8)]

    assert _outcomes(store, *crops) == _outcomes(store, *crops[3:], *crops[:3]) == _outcomes(store, *crops[::-1])


# --- people ---------------------------------------------------------------------------------------------------------


def _copies(store: Store, *sides: int) -> list[FaceCrop]:
    """Copies of one face, of these sides."""
    return [make.face_crop(n, side=side, sha256=store.put(encode_png(_face(0, n)))) for n, side in enumerate(sides)]


def test_what_a_person_kept_is_dropped_for_no_better_copy(store: Store) -> None:
    """It becomes the one that is kept, however small."""
    small, large = _copies(store, 100, 400)

    said = _outcomes(store, small, large, decisions={small.sha256: make.decision(small.sha256)})

    assert _reasons(said) == {small.id: "kept", large.id: Reason.DUPLICATE}
    assert kept_for(said[large.id].detail)[1] == "kept by a person"  # type: ignore[union-attr]


def test_two_copies_that_a_person_kept_both_stand(store: Store) -> None:
    """In one family."""
    small, large = _copies(store, 100, 400)

    said = _outcomes(store, small, large, decisions={one.sha256: make.decision(one.sha256) for one in (small, large)})

    assert set(_reasons(said).values()) == {"kept"}
    assert _family(said[small.id]) == _family(said[large.id])


def test_what_a_person_rejected_stands_for_nobody(store: Store) -> None:
    """A copy that nobody has decided on is kept for it, or beside it."""
    small, large, alone = _copies(store, 100, 400, 50)
    reject = {one.sha256: make.decision(one.sha256, Verdict.REJECT) for one in (large, alone)}

    assert _reasons(_outcomes(store, small, large, decisions=reject)) == {small.id: "kept", large.id: Reason.DUPLICATE}
    assert set(_reasons(_outcomes(store, large, alone, decisions=reject)).values()) == {"kept"}


# --- families -------------------------------------------------------------------------------------------------------


def test_a_family_keeps_its_name_when_an_older_picture_comes() -> None:
    """What was named once is not named by what was posted earlier."""
    named = name_families(["new", "old"], [("new", "old")], {"old": "F"}, age=lambda image: image)

    assert named == {"new": "F", "old": "F"}


def test_the_oldest_picture_names_a_new_family() -> None:
    """Whatever their order."""
    age = {"b": 1, "a": 2}.__getitem__

    assert name_families(["a", "b"], [("a", "b")], {}, age) == {"a": "b", "b": "b"}


def test_two_families_that_meet_take_the_older_name() -> None:
    """Those of the younger one that are not there now take it too, or they would be strangers when they come back."""
    known = {"a": "older", "b": "younger", "absent": "younger"}

    assert name_families(["a", "b", "c"], [("c", "b"), ("c", "a")], known, age=str) == dict.fromkeys(
        ("a", "b", "c", "absent"), "older"
    )


def test_what_was_one_family_stays_one() -> None:
    """Also when the picture that joined its two is gone."""
    assert name_families(["a", "b"], [], {"a": "F", "b": "F"}, age=str) == {"a": "F", "b": "F"}


def test_judging_again_what_was_remembered_changes_nothing(store: Store) -> None:
    """The names that the stage tells give the same outcomes, and nothing more to tell."""
    crops = [make.face_crop(n, side=100 + n, sha256=store.put(encode_png(_face(n % 4, n)))) for n in range(8)]
    told: dict[str, str] = {}
    first = _outcomes(store, *crops, tell=told.update)
    again: dict[str, str] = {}

    assert _outcomes(store, *crops, families=told, tell=again.update) == first
    assert (len(told), again) == (8, {})


def test_a_dropped_repost_gives_its_family_to_the_one_that_is_kept(store: Store, faces: list[str]) -> None:
    """A better copy that comes later, before whom the older image is dropped, is of the older one's family."""
    crop = make.face_crop(1, sha256=faces[0])
    older = make.sha256("dropped before faces were looked for")

    said = _outcomes(store, crop, copies=[(crop.detection.image_sha256, older)], families={older: "F"})

    assert _family(said[crop.id]) == "F"


# --- images ---------------------------------------------------------------------------------------------------------


def _image(store: Store, seed: object, pixels_HWC: Pixels, **fields: Any) -> Image:
    """An image in the store, with the hashes that it has."""
    png = encode_png(pixels_HWC)
    height, width = pixels_HWC.shape[:2]
    known = {"sha256": store.put(png), "phash": _hash(pixels_HWC), "width": width, "height": height, "format": "PNG"}
    return make.image(seed, **{**known, **fields})


def _saved(pixels_HWC: Pixels, quality: int) -> Pixels:
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels_HWC).save(stream, "JPEG", quality=quality)
    return np.asarray(PIL.Image.open(stream))


def _judged(store: Store, *images: Image, **fields: Any) -> dict[str, Said]:
    return {one.item.post_id: one for one in DropSameImages(**fields)(images, store)}


def test_one_post_stands_for_the_same_file(store: Store) -> None:
    """The post with the smallest number is kept, not the one that sorts first as text."""
    ninth, tenth = make.image("x", post_id="b:9"), make.image("x", post_id="b:10")

    said = _judged(store, tenth, ninth)

    assert said == {"b:9": Kept(ninth, (ninth,)), "b:10": Dropped(tenth, Reason.SAME_BYTES, "as b:9")}


def test_a_repost_is_dropped_before_faces_are_looked_for(store: Store) -> None:
    """The smaller, recompressed one; a stranger is kept."""
    whole = _portrait(0)
    small = np.asarray(PIL.Image.fromarray(_saved(whole, 60)).resize((whole.shape[1] // 2, whole.shape[0] // 2)))
    original, repost, stranger = (
        _image(store, 1, whole),
        _image(store, 2, small, format="JPEG"),
        _image(store, 3, _portrait(1)),
    )

    said = _judged(store, repost, stranger, original)

    assert _reasons(said) == {"sandbox:1": "kept", "sandbox:2": Reason.DUPLICATE, "sandbox:3": "kept"}
    assert kept_for(said["sandbox:2"].detail) == (original.sha256, "larger", "same drawing")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("better", "other", "reason"),
    [
        ({"format": "PNG"}, {"format": "JPEG", "bytes": 10**6}, "lossless"),
        ({"format": "JPEG", "bytes": 90_000}, {"format": "JPEG", "bytes": 30_000}, "less compressed"),
        ({"md5": make.md5(1)}, {"md5": make.md5("not what the board says")}, "checked by its md5"),
        ({"post_id": "sandbox:1"}, {"post_id": "sandbox:3"}, "posted earlier"),
        ({"post_id": "sandbox:2"}, {"post_id": "sandbox:10"}, "first by its name"),
    ],
)
def test_of_copies_of_one_size_the_better_is_kept(
    store: Store, better: dict[str, Any], other: dict[str, Any], reason: str
) -> None:
    """By what it lost, then by whether it is the board's own file, then by its age, then by its number."""
    posts = {post.id: post for post in (make.post(number, md5=make.md5(1)) for number in (1, 2, 10))}
    posts["sandbox:3"] = make.post(3, md5=make.md5(1), posted_at=datetime(2021, 1, 1, tzinfo=UTC))
    same = {"md5": make.md5(1), "post_id": "sandbox:1"}
    pixels = _portrait(0)
    good = _image(store, "good", pixels, **{**same, **better})
    bad = _image(store, "bad", _saved(pixels, 80), **{**same, **other})

    (dropped,) = (one for one in DropSameImages(posts=posts)([bad, good], store) if isinstance(one, Dropped))

    assert (dropped.item, kept_for(dropped.detail)) == (bad, (good.sha256, reason, "same drawing"))


def test_an_image_from_which_a_person_kept_a_crop_stands(store: Store) -> None:
    """The better copy that came later is dropped for it."""
    pixels = _portrait(0)
    old, better = _image(store, 1, _saved(pixels, 50), format="JPEG"), _image(store, 2, pixels)

    said = _judged(store, old, better, stand=frozenset({old.sha256}))

    assert _reasons(said) == {"sandbox:1": "kept", "sandbox:2": Reason.DUPLICATE}


def test_a_copy_that_was_cut_is_found_by_the_hashes_of_parts(store: Store) -> None:
    """The hash of the whole is far off; that of the original's middle is not."""
    pixels = _portrait(0)
    height, width = pixels.shape[:2]
    down, across = int(height * 0.05), int(width * 0.05)
    cut = np.ascontiguousarray(pixels[down : height - down, across : width - across])
    original = _image(store, 1, pixels)
    part = _image(store, 2, cut)
    knows = make.image(1, **{**original.to_json(), "phashes": (part.phash,)})

    assert _reasons(_judged(store, original, part, max_distance=0)) == {"sandbox:1": "kept", "sandbox:2": "kept"}
    assert _reasons(_judged(store, knows, part, max_distance=0)) == {
        "sandbox:1": "kept",
        "sandbox:2": Reason.DUPLICATE,
    }


def test_nothing_is_decoded_that_is_like_nothing(store: Store) -> None:
    """Images whose hashes are far from all others need not even be in the store."""
    generator = random.Random(1)
    images = [make.image(n, phash=f"{generator.getrandbits(64):016x}") for n in range(50)]

    assert set(_reasons(_judged(store, *images, max_distance=4)).values()) == {"kept"}


def test_what_was_compared_once_is_not_compared_again(store: Store) -> None:
    """The memory gives the verdict when the bytes are gone."""
    pixels = _portrait(0)
    images = _image(store, 1, pixels), _image(store, 2, _saved(pixels, 70))
    memory = Forgetful()
    first = _judged(store, *images, memory=memory)
    for image in images:
        store.path(image.sha256).unlink()

    assert _judged(store, *images, memory=memory) == first
    assert len(memory.known) == 1


@pytest.mark.parametrize(("variations", "second"), [("keep", "kept"), ("one", Reason.DUPLICATE)])
def test_a_variation_is_kept_or_dropped_as_the_recipe_says(store: Store, variations: str, second: object) -> None:
    """The better one is kept either way, and both are of one family."""
    images = [make.image(number, width=800 - number) for number in range(2)]
    one, other = sorted(image.sha256 for image in images)
    words = {"likeness": "variation", "score": 0.9, "mirrored": False, "how": "other expression"}
    memory = Forgetful({(one, other): Comparison(one=one, other=other, **words)})
    joined: list[tuple[str, str]] = []

    said = _judged(store, *images, memory=memory, variations=variations, tell=joined.extend)

    assert _reasons(said) == {"sandbox:0": "kept", "sandbox:1": second}
    assert joined == [(images[0].sha256, images[1].sha256)]
