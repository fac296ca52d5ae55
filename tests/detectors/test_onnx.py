"""A model in a file finds faces as its TOML says, and what is wrong with either is told in a line.

The models are made here, by hand, in the few fields of ONNX's protobuf that a reader asks for: they give the boxes that
they hold, and add to their scores what they see in the first pixel.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import make
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.detect import DetectFaces
from pipeline.detectors import Face, build, named, onnx
from pipeline.errors import DetectorError, RecipeError, UsageError
from pipeline.pixels import Pixels, encode_png
from pipeline.recipe import load
from pipeline.records import Box
from pipeline.stage import Kept, fingerprint
from pipeline.store import Store
from pipeline.workers import Workers

SIDE = 64  # pixels of the input
FLOAT, INT64 = 1, 7


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def part(number: int, value: int | bytes | str) -> bytes:
    """One field of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    body = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(body)) + body


def tensor(name: str, values: NDArray[np.float32] | NDArray[np.int64]) -> bytes:
    kind = FLOAT if values.dtype == np.float32 else INT64
    return b"".join(part(1, size) for size in values.shape) + part(2, kind) + part(8, name) + part(9, values.tobytes())


def node(kind: str, inputs: Sequence[str], output: str, *attributes: bytes) -> bytes:
    return (
        b"".join(part(1, name) for name in inputs)
        + part(2, output)
        + part(3, output)
        + part(4, kind)
        + b"".join(part(5, attribute) for attribute in attributes)
    )


def info(name: str, *shape: int) -> bytes:
    sizes = b"".join(part(1, part(1, size)) for size in shape)
    return part(1, name) + part(2, part(1, part(1, FLOAT) + part(2, sizes)))


def model(rows: NDArray[np.float32], shape: tuple[int, ...] = (1, 3, SIDE, SIDE)) -> bytes:
    """A network that adds the first channel of the first pixel to the scores of *rows*."""
    mask = np.zeros_like(rows)
    mask[(..., 4) if rows.shape[2] == 5 else (slice(None), slice(4, None))] = 1  # the scores
    graph = b"".join(
        [
            part(1, node("Slice", ["picture", "starts", "ends"], "pixel")),
            part(1, node("Reshape", ["pixel", "one"], "red")),
            part(1, node("Mul", ["red", "mask"], "more")),
            part(1, node("Add", ["more", "rows"], "boxes")),
            part(2, "faces"),
            part(5, tensor("starts", np.zeros(4, np.int64))),
            part(5, tensor("ends", np.ones(4, np.int64))),
            part(5, tensor("one", np.array([1, 1, 1], np.int64))),
            part(5, tensor("mask", mask)),
            part(5, tensor("rows", rows)),
            part(11, info("picture", *shape)),
            part(12, info("boxes", *rows.shape)),
        ]
    )
    return part(1, 8) + part(8, part(1, "") + part(2, 13)) + part(7, graph)


def boxes(*rows: tuple[float, float, float, float, float]) -> NDArray[np.float32]:
    """As YOLOv8 gives them: centre, size and score, one column each."""
    return np.array(rows, np.float32).T[None].copy()


ONE = boxes((32.0, 24.0, 20.0, 12.0, 0.75))


def picture(red: int = 0, width: int = 128, height: int = 128) -> Pixels:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :, 0] = red
    return pixels


def written(folder: Path, weights: bytes, text: str = "", name: str = "mine.toml") -> str:
    """Put a model, its TOML and its proof into a folder."""
    (folder / "model.onnx").write_bytes(weights)
    (folder / "proof.png").write_bytes(encode_png(picture()))
    own = f'model = "model.onnx"\nproof = "proof.png"\n{text}'
    if "[input]" not in text:
        own += f"\n[input]\nwidth = {SIDE}\nheight = {SIDE}\n"
    (folder / name).write_text(own)
    return str(folder / name)


def test_finds_what_the_model_says(tmp_path: Path) -> None:
    """A box of the input becomes a square in pixels of the picture that was shown."""
    detector = build(written(tmp_path, model(ONE)))

    (face,) = detector.detect(picture())

    assert detector.name == "mine"
    assert face == Face(box=Box(left=48, top=32, width=32, height=32), score=0.75)


@pytest.mark.parametrize(("width", "height"), [(256, 128), (64, 256), (1, 1), (5, 3000)])
def test_a_picture_keeps_its_proportions(tmp_path: Path, width: int, height: int) -> None:
    """It lies in the top left corner of the input, so one factor holds for both directions."""
    (face,) = build(written(tmp_path, model(ONE))).detect(picture(width=width, height=height))

    factor = max(width, height) / SIDE
    assert face.box.left + face.box.width / 2 == pytest.approx(32 * factor, abs=1)
    assert face.box.width == max(1, round(16 * factor))


@pytest.mark.parametrize(
    ("text", "shape", "red"),
    [
        ("", (1, 3, SIDE, SIDE), 0.2),
        ('layout = "NHWC"', (1, SIDE, SIDE, 3), 0.2),
        ('colours = "BGR"', (1, 3, SIDE, SIDE), 0.0),
        ('layout = "NHWC"\ncolours = "BGR"', (1, SIDE, SIDE, 3), 0.0),
        ("mean = [51, 0, 0]", (1, 3, SIDE, SIDE), 0.0),
        ("scale = [0.001, 1, 1]", (1, 3, SIDE, SIDE), 0.051),
    ],
)
def test_the_input_is_what_the_model_was_trained_on(
    tmp_path: Path, text: str, shape: tuple[int, ...], red: float
) -> None:
    """Layout, order of colours, mean and scale: the model sees the first pixel as it must."""
    weights = model(boxes((32, 24, 20, 12, 0.7)), shape)

    (face,) = build(written(tmp_path, weights, f"[input]\nwidth = {SIDE}\nheight = {SIDE}\n{text}")).detect(picture(51))

    assert face.score == pytest.approx(0.7 + red, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("[output]\ntransposed = true", ONE.transpose(0, 2, 1).copy()),
        ("[output]\nrelative = true", ONE / np.array([SIDE, SIDE, SIDE, SIDE, 1], np.float32)[None, :, None]),
        ('[output]\nname = "boxes"', ONE),
        ("", np.concatenate([ONE[:, :4], ONE[:, 4:] / 3, ONE[:, 4:]], axis=1)),  # two classes
    ],
)
def test_the_output_may_have_several_forms(tmp_path: Path, text: str, rows: NDArray[np.float32]) -> None:
    """Boxes as rows or columns, in pixels or in shares of the input, with one class or several."""
    (face,) = build(written(tmp_path, model(rows), text)).detect(picture())

    assert (face.box, round(face.score, 4)) == (Box(left=48, top=32, width=32, height=32), 0.75)


def test_boxes_are_brought_to_the_convention(tmp_path: Path) -> None:
    """Zoomed about their centre, and moved by a share of their side."""
    detector = build(written(tmp_path, model(ONE), "[box]\nzoom = 1.5\ndown = -0.25"))

    (face,) = detector.detect(picture())

    assert face.box == Box(left=64 - 24, top=48 - 8 - 24, width=48, height=48)


def test_one_face_is_found_once(tmp_path: Path) -> None:
    """Of boxes that overlap the surest is taken; the weak, and what is no box, are left out."""
    rows = boxes(
        (32, 24, 20, 20, 0.5),
        (33, 24, 20, 20, 0.75),
        (10, 50, 10, 10, 0.5),
        (50, 50, 10, 10, 0.2),
        (50, 50, 0, 10, 0.9),
        (float("nan"), 5, 9, 9, 0.9),
        (5, 5, float("inf"), 9, 0.9),
    )

    faces = build(written(tmp_path, model(rows))).detect(picture())

    assert [(face.box.left, face.score) for face in faces] == [(46, 0.75), (10, 0.5)]


@pytest.mark.parametrize("row", [(32, 24, 20, 20, 0.1), (0.5, 0.4, 0.3, 0.3, 0.9)])
def test_a_blind_model_is_not_used(tmp_path: Path, row: tuple[float, float, float, float, float]) -> None:
    """What finds no face in its own proof, or one of no size, would find none anywhere, and say nothing."""
    path = written(tmp_path, model(boxes(row)))

    with pytest.raises(DetectorError, match="blind, it finds no face"):
        build(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "mine.toml").unlink(), "mine.toml: cannot be read"),
        (lambda folder: (folder / "model.onnx").unlink(), "model.onnx: cannot be read"),
        (lambda folder: (folder / "proof.png").unlink(), "proof.png: the proof is not there"),
        (lambda folder: (folder / "proof.png").write_bytes(b"x"), "proof.png: the proof is no picture"),
        (lambda folder: (folder / "mine.toml").write_text("model = "), "not readable as TOML"),
        (lambda folder: (folder / "mine.toml").write_text("model = 'a'"), "mine.toml: proof: Field required"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"not a model"), "OpenCV cannot read model.onnx"),
        (lambda folder: (folder / "model.onnx").write_bytes(b""), "OpenCV cannot read model.onnx"),
        (lambda folder: (folder / "model.onnx").write_bytes(model(ONE)[:200]), "OpenCV cannot read model.onnx"),
        (lambda folder: written(folder, model(ONE), "[box]\nzom = 2"), "box.zom: Extra inputs"),
        (lambda folder: written(folder, model(ONE), "[output]\ntransposed = true"), r"the output is \(1, 5, 1\)"),
        (lambda folder: written(folder, model(ONE), '[output]\nname = "nose"'), "cannot be run"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(tmp_path: Path, spoil: object, message: str) -> None:
    """A missing or broken file, an unknown field, an output that holds no boxes."""
    path = written(tmp_path, model(ONE))
    assert callable(spoil)
    spoil(tmp_path)

    with pytest.raises(RecipeError, match=message) as caught:
        build(path)

    assert "\n" not in str(caught.value)


def test_readme_says_what_is_assumed() -> None:
    """Whoever copies its TOML changes nothing but the two names."""
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    (block,) = re.findall(r"```\n(model = .*?)```", readme, re.DOTALL)

    described = onnx._Description.model_validate(tomllib.loads(block))

    assert described == onnx._Description(model="mine.onnx", proof="face.png")
    written_out = onnx._Description(model="mine.onnx", proof="face.png").model_dump()
    assert tomllib.loads(block).keys() | {"name"} == written_out.keys()
    assert all(
        tomllib.loads(block)[table].keys() | {"name"} >= written_out[table].keys()
        for table in ("input", "output", "box")
    )


def test_a_recipe_names_it_by_its_toml() -> None:
    """Any other unknown name is refused when the recipe is read."""
    assert load("sandbox", ['detect.detectors=["models/mine.toml"]']).detect.detectors == ("models/mine.toml",)
    with pytest.raises(RecipeError, match=r"detect\.detectors\.0: there is no such detector"):
        load("sandbox", ['detect.detectors=["anime"]'])
    with pytest.raises(UsageError, match="no such detector"):
        named("anime")


def test_another_model_judges_anew(tmp_path: Path) -> None:
    """The stage's fingerprint knows what both files hold, and the built-in detectors by their names as ever."""
    path = written(tmp_path, model(ONE))
    first = DetectFaces(detectors=(path,), workers=Workers(1))
    again = DetectFaces(detectors=(path,), workers=Workers(1))
    written(tmp_path, model(ONE * np.float32(1.01)))
    other = DetectFaces(detectors=(path,), workers=Workers(1))
    written(tmp_path, model(ONE), "[output]\nmin_score = 0.3")
    stricter = DetectFaces(detectors=(path,), workers=Workers(1))

    assert fingerprint(first) == fingerprint(again)
    assert len({fingerprint(stage) for stage in (first, other, stricter)}) == 3
    assert DetectFaces(detectors=("animeface",), workers=Workers(1)).detectors == ("animeface",)


def test_a_model_that_changes_under_way_ends_the_run(tmp_path: Path) -> None:
    """What is judged by one model is never written down as judged by another."""
    path = written(tmp_path, model(ONE))
    name = named(path)
    written(tmp_path, model(ONE * np.float32(1.01)))

    with pytest.raises(RecipeError, match="changed while it was in use"):
        build(name)


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers(1) as pool:
        yield pool


def test_in_the_stage(tmp_path: Path, workers: Workers) -> None:
    """Workers load it by its name, and what it finds says by whom."""
    store = Store(tmp_path / "store")
    image = make.image(sha256=store.put(encode_png(picture())), width=128, height=128)
    stage = DetectFaces(detectors=(written(tmp_path, model(ONE)),), min_face=16, workers=workers)

    (outcome,) = stage([image], store)

    assert isinstance(outcome, Kept)
    assert [(face.detector, face.box) for face in outcome.outputs] == [
        ("mine", Box(left=48, top=32, width=32, height=32))
    ]
