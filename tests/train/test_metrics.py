"""The panel ranks planted faults, each with the measure that can see it, and no copy passes for good."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from discs import discs
from numpy.typing import NDArray
from PIL import Image as Pictures
from PIL import ImageDraw, ImageFilter

from pipeline.train.metrics import Panel, Reference, _frechet, _moments, _precision_recall, score

Faces = NDArray[np.uint8]
Colour = tuple[int, int, int]

COUNT, SIDE = 700, 32
CPU = torch.device("cpu")
TRAIN, HELD_OUT, NEW = 1, 2, 3  # seeds of drawing

HAIR: tuple[Colour, ...] = (
    *((200, 40, 40), (60, 160, 70), (60, 80, 200), (240, 210, 110), (90, 60, 40), (30, 30, 36), (230, 230, 235)),
    *((240, 150, 190), (140, 80, 180), (240, 140, 50), (90, 200, 210), (150, 150, 158), (180, 120, 80)),
)
EYES: tuple[Colour, ...] = (
    *((200, 40, 40), (60, 160, 70), (60, 80, 200), (230, 190, 60), (110, 70, 40), (40, 40, 50)),
    *((240, 140, 180), (140, 80, 180), (240, 140, 50), (80, 190, 200)),
)


# --- drawn faces, and what may be wrong with them ---------------------------------------------------------------------


@cache
def faces(seed: int, hair_colours: int = len(HAIR), count: int = COUNT, side: int = SIDE) -> Faces:
    chance = np.random.default_rng(seed)
    return np.stack([_face(chance, hair_colours, side) for _ in range(count)])


def _face(chance: np.random.Generator, hair_colours: int, side: int) -> Faces:
    hair, eye = HAIR[int(chance.integers(hair_colours))], EYES[int(chance.integers(len(EYES)))]
    canvas = Pictures.new("RGB", (side * 3, side * 3), _colour(chance.integers(60, 256, 3)))
    draw = ImageDraw.Draw(canvas)
    u = chance.uniform(size=11)
    x, y, r = (0.42 + 0.16 * u[0]) * canvas.width, (0.45 + 0.15 * u[1]) * canvas.height, (0.26 + 0.08 * u[2]) * side * 3

    def disc(cx: float, cy: float, rx: float, ry: float, fill: Colour) -> None:
        draw.ellipse((x + (cx - rx) * r, y + (cy - ry) * r, x + (cx + rx) * r, y + (cy + ry) * r), fill=fill)

    disc(0, -0.1, 1.3, 1.3, hair)
    if u[3] < 0.5:
        draw.rectangle((x - 1.3 * r, y - 0.1 * r, x + 1.3 * r, y + 2.4 * u[3] * r), fill=hair)
    disc(0, 0, 1, 1.05, _colour(np.array((250, 225, 205)) - chance.integers(0, 25)))
    fringe = (x - 1.1 * r, y - 1.3 * r, x + 1.1 * r, y + (0.2 + 0.6 * u[4]) * r)
    draw.pieslice(fringe, 160 + 40 * u[5], 360, fill=hair)
    wide, high = 0.16 + 0.08 * u[6], (0.16 + 0.08 * u[6]) * (0.8 + 0.7 * u[7])
    for way in (-0.42, 0.42):
        disc(way, 0.2, 1.25 * wide, 1.25 * high, (250, 250, 250))
        disc(way, 0.2, wide, high, eye)
        disc(way, 0.2, 0.45 * wide, 0.45 * high, (20, 20, 30))
    disc(0.16 * u[8] - 0.08, 0.68, 0.1 + 0.25 * u[9], 0.02 + 0.13 * u[10], (190, 70, 80))
    return np.asarray(canvas.reduce(3))


def _colour(values: NDArray[np.int64]) -> Colour:
    red, green, blue = values.tolist()
    return red, green, blue


def each(change: Callable[[Pictures.Image], Pictures.Image], faces_NHWC: Faces) -> Faces:
    return np.stack([np.asarray(change(Pictures.fromarray(face))) for face in faces_NHWC])


def blurred(radius: float) -> Faces:
    return each(lambda face: face.filter(ImageFilter.GaussianBlur(radius)), faces(NEW))


def noisy(deviation: float, seed: int = NEW) -> Faces:
    noise = np.random.default_rng(9).normal(0, deviation, faces(seed).shape)
    return np.clip(faces(seed) + noise, 0, 255).round().astype(np.uint8)


def as_jpeg(quality: int) -> Faces:
    def through(face: Pictures.Image) -> Pictures.Image:
        file = io.BytesIO()
        face.save(file, "JPEG", quality=quality)
        return Pictures.open(file)

    return each(through, faces(NEW))


def few_hair_colours(count: int) -> Faces:
    return faces(NEW, count)


def collapsed(distinct: int) -> Faces:
    return faces(NEW)[np.arange(COUNT) % distinct]


def scrambled(percent: int) -> Faces:
    """Shuffle 4 x 4 blocks within every face of a share."""
    chance, some = np.random.default_rng(3), faces(NEW).copy()
    block = SIDE // 4
    for at in chance.permutation(COUNT)[: COUNT * percent // 100]:
        face = some[at]
        some_blocks = face.reshape(4, block, 4, block, 3).swapaxes(1, 2).reshape(16, block, block, 3)
        mixed = some_blocks[chance.permutation(16)].reshape(4, 4, block, block, 3)
        face[:] = mixed.swapaxes(1, 2).reshape(SIDE, SIDE, 3)
    return some


FAULTS: dict[str, Callable[[], Faces]] = {
    "none": lambda: faces(NEW),
    "blur .5": lambda: blurred(0.5),
    "blur 1": lambda: blurred(1),
    "blur 2": lambda: blurred(2),
    "noise 5": lambda: noisy(5),
    "noise 15": lambda: noisy(15),
    "noise 40": lambda: noisy(40),
    "jpeg 75": lambda: as_jpeg(75),
    "jpeg 30": lambda: as_jpeg(30),
    "jpeg 10": lambda: as_jpeg(10),
    "8 hair colours": lambda: few_hair_colours(8),
    "4 hair colours": lambda: few_hair_colours(4),
    "1 hair colour": lambda: few_hair_colours(1),
    "300 distinct": lambda: collapsed(300),
    "30 distinct": lambda: collapsed(30),
    "10 % scrambled": lambda: scrambled(10),
    "50 % scrambled": lambda: scrambled(50),
    "copies": lambda: faces(TRAIN),
    "mirrored copies": lambda: faces(TRAIN)[:, :, ::-1],
    "noisy copies": lambda: noisy(5, TRAIN),
    "a tenth copies": lambda: np.concatenate([faces(TRAIN)[: COUNT // 10], faces(NEW)[COUNT // 10 :]]),
}
COPIES = ("copies", "mirrored copies", "noisy copies")


@pytest.fixture(scope="session")
def reference() -> Reference:
    return Reference(faces(TRAIN), faces(HELD_OUT))


@pytest.fixture(scope="session")
def panel_of(reference: Reference) -> Callable[[str], Panel]:
    """Measure each fault once, when it is first asked for."""
    return cache(lambda fault: reference.measure(FAULTS[fault]()))


# --- what the panel sees ----------------------------------------------------------------------------------------------

LADDERS = [
    ("none", "blur .5", "blur 1", "blur 2"),
    ("none", "noise 5", "noise 15", "noise 40"),
    ("none", "jpeg 75", "jpeg 30", "jpeg 10"),
    ("none", "8 hair colours", "4 hair colours", "1 hair colour"),
    ("none", "300 distinct", "30 distinct"),
    ("none", "10 % scrambled", "50 % scrambled"),
]


@pytest.mark.parametrize("ladder", LADDERS, ids=lambda ladder: ladder[-1])
def test_rf_fid_ranks_every_ladder(ladder: tuple[str, ...], panel_of: Callable[[str], Panel]) -> None:
    """More of a fault is a larger distance, from the lightest on."""
    distances = [panel_of(fault).rf_fid for fault in ladder]

    assert distances == sorted(set(distances))


@pytest.mark.parametrize("ladder", LADDERS, ids=lambda ladder: ladder[-1])
def test_rf_kid_knows_the_sound_and_the_worst_of_every_ladder(
    ladder: tuple[str, ...], panel_of: Callable[[str], Panel]
) -> None:
    """What lies between may change places: hair of 8 and of 4 colours is about as far for the kernel."""
    sound, *between, worst = [panel_of(fault).rf_kid for fault in ladder]

    assert sound < min(between)
    assert max(between) < worst


def test_swd_sees_noise_on_the_finest_level_first(panel_of: Callable[[str], Panel]) -> None:
    """Noise of 15 grey levels is more than three times what chance does at 32 pixels, and nothing at 16."""
    (fine, before), (coarse, before_coarse) = panel_of("none").swd_levels
    (_, after), (_, after_coarse) = panel_of("noise 15").swd_levels

    assert (fine, coarse) == (32, 16)
    assert after > 3 * before
    assert after_coarse < 1.5 * before_coarse


@pytest.mark.parametrize("ladder", [LADDERS[0], LADDERS[1], LADDERS[3]], ids=lambda ladder: ladder[-1])
def test_swd_ranks_blur_noise_and_missing_colours(ladder: tuple[str, ...], panel_of: Callable[[str], Panel]) -> None:
    """What changes small neighbourhoods."""
    distances = [panel_of(fault).swd for fault in ladder]

    assert distances == sorted(distances)


def test_recall_sees_collapse_and_precision_does_not(panel_of: Callable[[str], Panel]) -> None:
    """Thirty good faces again and again: each looks real, and hardly any real one is reached."""
    few, new = panel_of("30 distinct"), panel_of("none")

    assert (few.recall < 0.05, few.precision > 0.8) == (True, True)
    assert few.recall < panel_of("300 distinct").recall < new.recall


def test_precision_sees_noise(panel_of: Callable[[str], Panel]) -> None:
    """No face under heavy noise lies among the real ones, whatever their variety."""
    precisions = [panel_of(fault).precision for fault in ("noise 40", "noise 15", "none")]

    assert precisions[0] < 0.05
    assert precisions == sorted(precisions)


def test_precision_and_recall_are_not_swapped() -> None:
    """Drawn points on one of two clusters of real points: all are precise, half of the real ones are recalled."""
    real = torch.cat([torch.randn(50, 4), torch.randn(50, 4) + 100])
    drawn = real[:50] + 1e-3

    assert _precision_recall(real, drawn) == (1.0, 0.5)


def test_new_faces_score_as_the_held_out_do(panel_of: Callable[[str], Panel]) -> None:
    """A perfect generator reaches the floor, and the floor is far from 0: 700 faces have another spread than all."""
    panel = panel_of("none")

    assert panel.rf_fid_floor > 5
    assert panel.rf_fid_ratio == pytest.approx(1, abs=0.1)
    assert panel.rf_kid == pytest.approx(0, abs=8)
    assert panel.swd == pytest.approx(panel.swd_floor, rel=0.4)
    assert panel.near_copies < 0.03
    assert (panel.images, panel.references, panel.fid) == (COUNT, COUNT, None)


# --- copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", COPIES)
def test_copies_are_found_as_they_are_mirrored_and_under_noise(fault: str, panel_of: Callable[[str], Panel]) -> None:
    """Nearly all are nearer to the training than new pictures come."""
    assert panel_of(fault).near_copies > 0.98


def test_a_tenth_of_copies_is_a_tenth(panel_of: Callable[[str], Panel]) -> None:
    """Among new faces, which give a hundredth by chance."""
    assert panel_of("a tenth copies").near_copies == pytest.approx(0.11, abs=0.02)


@pytest.mark.parametrize("fault", ["blur .5", "blur 1", "blur 2", "noise 5", "jpeg 30", "300 distinct"])
def test_what_is_only_bad_is_not_called_a_copy(fault: str, panel_of: Callable[[str], Panel]) -> None:
    """Smooth pictures do not come nearer to the training ones by being smooth."""
    assert panel_of(fault).near_copies < 0.05


def test_copies_have_the_best_rf_fid_and_the_worst_score(panel_of: Callable[[str], Panel]) -> None:
    """The reason for the near-copy test: a perfect 0 would be the best checkpoint."""
    copies, honest = panel_of("copies"), [panel_of(fault) for fault in ("none", "blur 2", "noise 40", "1 hair colour")]

    assert copies.rf_fid < 0.01 < min(panel.rf_fid for panel in honest)
    assert score(copies) > max(score(panel) for panel in honest)


def test_the_best_of_all_is_the_one_without_fault(panel_of: Callable[[str], Panel]) -> None:
    """By `score`, which is RF-FID where nothing is copied."""
    assert min(FAULTS, key=lambda fault: score(panel_of(fault))) == "none"
    assert score(panel_of("none")) == panel_of("none").rf_fid


def test_of_two_that_copy_the_one_that_copies_less_is_better(panel_of: Callable[[str], Panel]) -> None:
    """Whatever their RF-FID."""
    assert panel_of("a tenth copies").rf_fid > panel_of("noisy copies").rf_fid
    assert score(panel_of("a tenth copies")) < score(panel_of("noisy copies"))


def test_what_is_no_number_is_never_the_best(panel_of: Callable[[str], Panel]) -> None:
    """Nan would compare as neither better nor worse."""
    assert score(replace(panel_of("none"), rf_fid=math.nan)) == math.inf


def test_every_training_picture_is_searched_for_copies() -> None:
    """Also those that the other measures do not see."""
    panel = Reference(faces(TRAIN), faces(HELD_OUT), most=50).measure(faces(TRAIN)[:300])

    assert (panel.references, panel.near_copies) == (50, 1.0)


# --- numbers that can be trusted --------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_panel(reference: Reference, panel_of: Callable[[str], Panel]) -> None:
    """Twice from one reference, and from another one made alike, whatever chance the training has used."""
    torch.manual_seed(5)
    again = Reference(faces(TRAIN), faces(HELD_OUT), seed=0)

    assert reference.measure(faces(NEW)) == again.measure(faces(NEW)) == panel_of("none")


def test_measuring_takes_no_chance_from_the_training(reference: Reference) -> None:
    """A run with measures is the run without."""
    before = torch.get_rng_state()

    reference.measure(faces(NEW)[:20])

    assert torch.equal(torch.get_rng_state(), before)


def test_arrays_of_a_file_and_tensors_give_the_same(panel_of: Callable[[str], Panel]) -> None:
    """The faces of a release are mapped and cannot be written; those of a generator are on the device."""
    mapped = faces(TRAIN).copy()
    mapped.flags.writeable = False

    assert Reference(mapped, torch.from_numpy(faces(HELD_OUT).copy())).measure(faces(NEW)) == panel_of("none")


def test_fid_is_exact_for_fewer_pictures_than_features() -> None:
    """A set moved by 3 along each of 50 features, with 10 of them: 50 x 9, though no covariance has a root."""
    few = torch.randn(10, 50, generator=torch.Generator().manual_seed(0))

    assert _frechet(_moments(few), _moments(few + 3)) == pytest.approx(450, rel=1e-6)


def test_fid_of_independent_features_is_known() -> None:
    """Deviations of 1 and 2 on each of 3 features: 3 x (2 - 1)²."""
    grid = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    unit = grid / grid.std(0)

    assert _frechet(_moments(unit), _moments(2 * unit)) == pytest.approx(3)


def test_floor_and_drawn_are_compared_at_equal_counts(reference: Reference) -> None:
    """FID grows as sets shrink: 100 new faces are far from 0 and yet at the floor of 100."""
    panel = reference.measure(faces(NEW)[:100])

    assert panel.rf_fid_floor > 2 * reference.measure(faces(NEW)).rf_fid_floor
    assert panel.rf_fid_ratio == pytest.approx(1, abs=0.2)


def test_more_drawn_than_held_out_are_no_better_for_it() -> None:
    """100 held-out faces against 700 drawn: the ratio takes 100 of these."""
    panel = Reference(faces(TRAIN), faces(HELD_OUT)[:100]).measure(faces(NEW))

    assert panel.rf_fid / panel.rf_fid_floor < 0.6
    assert panel.rf_fid_ratio == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("held_out", [0, 1])
def test_without_held_out_pictures_there_is_no_floor(held_out: int) -> None:
    """The rest is measured; copies are told by how near training pictures come to each other."""
    reference = Reference(faces(TRAIN), faces(HELD_OUT)[:held_out])

    new, copies = reference.measure(faces(NEW)), reference.measure(faces(TRAIN))

    assert all(math.isnan(number) for number in (new.rf_fid_floor, new.rf_fid_ratio, new.swd_floor))
    assert math.isfinite(score(new))
    assert new.near_copies < 0.04
    assert copies.near_copies == 1


@pytest.mark.parametrize(("train", "held_out", "drawn"), [(20, 3, 30), (20, 0, 2), (2, 2, 5)])
def test_tiny_sets_are_measured(train: int, held_out: int, drawn: int) -> None:
    """With numbers that say little."""
    panel = Reference(discs(train), discs(held_out, seed=1)).measure(discs(drawn, seed=2))

    assert all(math.isfinite(number) for number in (panel.rf_fid, panel.rf_kid, panel.swd, panel.near_copies))


@pytest.mark.parametrize(
    ("side", "levels"), [(16, [16]), (64, [64, 32, 16]), (96, [96, 48, 24]), (128, [128, 64, 32, 16])]
)
def test_faces_of_all_sizes_are_measured(side: int, levels: list[int]) -> None:
    """SWD goes down to 16 pixels, or to what halving leaves above."""
    train, new = faces(TRAIN, count=24, side=side), faces(NEW, count=24, side=side)

    panel = Reference(train, new).measure(new)

    assert [level for level, _ in panel.swd_levels] == levels
    assert panel.rf_fid_ratio == pytest.approx(1)


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (np.zeros((4, 16, 16, 3), np.float32), r"drawn_NHWC: is float32 \(4, 16, 16, 3\), not uint8"),
        (np.zeros((4, 3, 16, 16), np.uint8), r"is uint8 \(4, 3, 16, 16\), not uint8 \(N, H, H, 3\)"),
        (np.zeros((4, 32, 32, 3), np.uint8), "32 pixels a side, where the training pictures have 16"),
        (np.zeros((1, 16, 16, 3), np.uint8), r"1 picture\(s\), where 2 are the least"),
    ],
)
def test_pictures_of_another_kind_are_refused(drawn: NDArray[np.generic], message: str) -> None:
    """Numbers of such pictures would mean nothing."""
    reference = Reference(discs(4), discs(2))

    with pytest.raises(ValueError, match=message):
        reference.measure(drawn)  # type: ignore[arg-type]
