from __future__ import annotations

import io
from collections.abc import Sequence

import make
import numpy as np
import PIL.Image
import pytest

from pipeline.dedup import DropNearDuplicates, DropSameBytes, resemblance
from pipeline.pixels import Pixels, encode_png, resize
from pipeline.records import FaceCrop, Image, Reason
from pipeline.sandbox.draw import draw_portrait
from pipeline.stage import Dropped, Kept
from pipeline.store import Store

FAR = 2**64 - 1


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
    store: Store, *crops: FaceCrop, images: Sequence[Image] = (), distance: int = 3
) -> dict[str, Kept[FaceCrop, FaceCrop] | Dropped[FaceCrop]]:
    known = {crop.detection.image_sha256: make.image(crop.id, phash=f"{n << 20:016x}") for n, crop in enumerate(crops)}
    known |= {image.sha256: image for image in images}
    said = DropNearDuplicates(max_distance=distance, max_image_distance=0, images=known)(crops, store)
    return {one.item.id: one for one in said}


def _reasons(outcomes: dict[str, Kept[FaceCrop, FaceCrop] | Dropped[FaceCrop]]) -> dict[str, object]:
    return {key: one.reason if isinstance(one, Dropped) else "kept" for key, one in outcomes.items()}


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
    """A small crop gives way to a larger one even when it comes first."""
    small = make.face_crop(1, side=128, sha256=store.put(encode_png(_face(0, shift=4))))
    large = make.face_crop(2, side=512, phash=0b0111, sha256=store.put(encode_png(_face(0))))

    assert _reasons(_outcomes(store, small, large)) == {small.id: Reason.DUPLICATE, large.id: "kept"}


def test_keeps_two_faces_whose_hashes_agree_by_chance(store: Store, faces: list[str]) -> None:
    """Equal hashes only propose; the faces themselves differ."""
    one, other = make.face_crop(1, sha256=faces[0]), make.face_crop(2, sha256=faces[1])

    assert _reasons(_outcomes(store, one, other)) == {one.id: "kept", other.id: "kept"}


def test_copies_are_found_by_their_whole_images(store: Store) -> None:
    """When the box moved so far that the crops' hashes differ, the images and the place of the face still tell."""
    one = make.face_crop(1, side=400, sha256=store.put(encode_png(_face(0))))
    moved = make.face_crop(2, phash=FAR, sha256=store.put(encode_png(_face(0, shift=14))))
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


def test_a_drawing_resembles_itself_however_it_was_saved() -> None:
    """Recompressed, recoloured and moved it stays above what another character reaches."""
    face = _face(1)
    stream = io.BytesIO()
    PIL.Image.fromarray(_face(1, shift=9)).point(lambda value: min(255, value + 12)).save(stream, "JPEG", quality=40)
    again = np.asarray(PIL.Image.open(stream))

    assert resemblance(resize(face, 64), resize(again, 64)) > 0.9
    assert resemblance(resize(face, 64), resize(_face(2), 64)) < 0.8


def test_one_post_stands_for_the_same_file(store: Store) -> None:
    """The post with the smallest number is kept, not the one that sorts first as text."""
    ninth, tenth = make.image("x", post_id="b:9"), make.image("x", post_id="b:10")

    said = {one.item.post_id: one for one in DropSameBytes()([tenth, ninth], store)}

    assert said == {"b:9": Kept(ninth, (ninth,)), "b:10": Dropped(tenth, Reason.SAME_BYTES, "as b:9")}
