"""The ways that are compared: the scripts do what people's scripts do, the stage is the one of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import make
import numpy as np
import pytest

from pipeline import recipe
from pipeline.benchmark import Fate, Guess, Picture, Truth, load, ways
from pipeline.benchmark.ways import ANIMEFACE_SCRIPT, CASCADE_SCRIPT, animeface_script, cascade_script, check, look
from pipeline.detectors import build
from pipeline.errors import DetectorError, RecipeError, UsageError
from pipeline.pixels import decode
from pipeline.records import Detection
from pipeline.sandbox import hard
from pipeline.sandbox.hard import Difficulty, Labelled
from pipeline.store import Store
from pipeline.workers import Workers

EASY = (Difficulty.PLAIN, Difficulty.CROWD, Difficulty.LOGO)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Labelled]:
    return hard.build(tmp_path_factory.mktemp("easy"), 3, difficulties=EASY)


@pytest.fixture
def pictures(drawn: list[Labelled], store: Store) -> list[Picture]:
    return [load(Truth(path=one.path, faces=tuple(face.box for face in one.faces)), store) for one in drawn]


@pytest.fixture(scope="module")
def pool() -> Iterator[Workers]:
    with Workers(1) as workers:
        yield workers


@pytest.fixture
def cascade(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third-party cascade, where this machine has it."""
    folder = Path(os.environ.get("KAOSET_CASCADES") or "../shared/cascades").absolute()
    if not (folder / "lbpcascade_animeface.xml").exists():
        pytest.skip("lbpcascade_animeface.xml is not on this machine: set KAOSET_CASCADES")
    monkeypatch.setenv("KAOSET_CASCADES", str(folder))


@pytest.fixture
def no_cascade(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KAOSET_CASCADES", str(tmp_path))


def accepts_half(detection: Detection) -> Fate:
    return Fate.ACCEPTED if detection.score >= 0.5 else Fate.QUEUED


@pytest.mark.usefixtures("cascade")
def test_the_cascade_script_answers_what_the_script_answers(drawn: list[Labelled]) -> None:
    """The boxes of `detectMultiScale` with 5 neighbours, and unsure ones that are no answer."""
    classifier = cv2.CascadeClassifier(str(Path(os.environ["KAOSET_CASCADES"]) / "lbpcascade_animeface.xml"))
    for one in drawn:
        bgr_HWC = cv2.imread(str(one.path))
        assert bgr_HWC is not None
        grey_HW = cv2.equalizeHist(cv2.cvtColor(bgr_HWC, cv2.COLOR_BGR2GRAY))
        boxes = classifier.detectMultiScale(grey_HW, scaleFactor=1.1, minNeighbors=5, minSize=(24, 24))

        guesses = cascade_script(one.path)

        answers = {(g.box.left, g.box.top, g.box.width, g.box.height) for g in guesses if g.answer}
        assert answers == {tuple(map(int, box)) for box in boxes}
        assert all(g.score > 0.5 for g in guesses if g.answer)


def test_the_animeface_script_looks_at_the_whole_picture(drawn: list[Labelled]) -> None:
    """Everything that the network finds is its answer."""
    faces = build("animeface").detect(decode(drawn[0].path.read_bytes(), max_pixels=10**8))

    assert [(g.box, g.score) for g in animeface_script(drawn[0].path)] == [(face.box, face.score) for face in faces]


def test_the_stage_is_looked_with(pictures: list[Picture], store: Store, pool: Workers) -> None:
    """It finds easy faces, says what the rule does with each, answers with the probable ones, tells how far it is."""
    told: list[tuple[int, int]] = []

    found = look("animeface", pictures, store, pool, accepts_half, lambda *now: told.append(now))

    count, sure = found.count(), found.decided(Fate.ACCEPTED)
    assert count.faces == sum(len(picture.faces) for picture in pictures)
    assert (count.recall or 0) > 0.7
    assert 0 < sure.right <= count.right
    assert all(hit.guess.answer == (hit.guess.fate is Fate.ACCEPTED) == (hit.guess.score >= 0.5) for hit in found.hits)
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert found.seconds > 0


def test_no_rule_is_for_a_script(pictures: list[Picture], store: Store, pool: Workers) -> None:
    """Nothing of it would go into a release without a person."""
    found = look(ANIMEFACE_SCRIPT, pictures, store, pool, accepts_half, lambda *_: None)

    assert found.count().right > 0
    assert {hit.guess.fate for hit in found.hits} == {None}


@pytest.mark.usefixtures("no_cascade")
def test_without_the_cascade_the_others_are_compared() -> None:
    """A machine that has no third-party file measures what it has."""
    assert ways.usual() == (
        *(ANIMEFACE_SCRIPT, "drawn_net", "drawn_faces", "animeface"),
        "drawn_net+drawn_faces+animeface",
    )


@pytest.mark.usefixtures("cascade")
def test_with_the_cascade_all_are_compared() -> None:
    """Both scripts, and the stage with each detector of the default recipe and with all of them."""
    detectors = recipe.load("default").detect.detectors

    assert ways.usual() == (ANIMEFACE_SCRIPT, CASCADE_SCRIPT, *detectors, "+".join(detectors))


@pytest.mark.parametrize("name", ["retina", "animeface+retina", "animeface+", ""])
def test_an_unknown_way_is_refused(name: str) -> None:
    """With what there is."""
    with pytest.raises(UsageError, match="no such way to look; choose animeface-script, cascade-script, animeface"):
        check(name)


def test_more_detectors_than_the_stage_takes_are_refused() -> None:
    """As the stage itself says."""
    with pytest.raises(UsageError, match="no such way to look; detectors"):
        check("+".join(["animeface"] * 9))


def test_a_model_in_a_file_that_is_not_there_is_told() -> None:
    """A file is a detector like the others."""
    with pytest.raises(RecipeError, match=r"mine\.toml"):
        check("animeface+mine.toml")


@pytest.mark.usefixtures("no_cascade")
@pytest.mark.parametrize("name", [CASCADE_SCRIPT, "lbpcascade", "lbpcascade+animeface"])
def test_a_missing_detector_is_told_at_once(name: str) -> None:
    """Before a picture is drawn for it."""
    with pytest.raises(DetectorError, match="the cascade is not there"):
        check(name)


def test_a_picture_that_kills_the_script_holds_nothing(store: Store, pool: Workers, tmp_path: Path) -> None:
    """The others are looked at."""
    pixels = np.full((80, 80, 3), 200, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    picture = load(Truth(path=tmp_path / "a.png", faces=(make.box(0, 0, 60),)), store)

    found = ways._by_script(die, [picture], pool)

    assert dict(found) == {picture.image.sha256: ()}


def die(_path: Path) -> list[Guess]:
    os.abort()
