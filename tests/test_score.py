"""Evidence becomes a probability by a model that is data, and people's examples move it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import score
from pipeline.errors import RecipeError
from pipeline.score import Model

BOTH = ("drawn_faces", "animeface")


def test_words_add_up_in_log_odds() -> None:
    """The bias is always said; a word that the model does not know counts nothing."""
    model = Model((("bias", -1.0), ("seen", 2.0), ("skin", 1.0)))

    assert model.probability({"seen": 1.0, "skin": 0.5, "moon": 9.0}) == pytest.approx(1 / (1 + math.exp(-1.5)))


@given(st.dictionaries(st.sampled_from(["a", "a seen", "b", "b seen", "skin"]), st.floats(-4, 4)))
def test_what_is_not_fitted_is_never_sure(evidence: dict[str, float]) -> None:
    """A model without weights sends to a person whatever detectors say."""
    assert Model().probability(evidence) < score.SURE


def test_a_stronger_detector_makes_a_better_place_in_the_queue() -> None:
    """Where nothing is fitted the detectors' own scores say which of two is the more probable."""
    weak, strong = ({"a seen": 1.0, "a": value} for value in (-1.0, 1.0))

    assert Model().probability(weak) < Model().probability(strong)


def test_a_fit_finds_what_made_the_examples() -> None:
    """From many examples drawn by known weights come these weights, to a tenth."""
    random = np.random.default_rng(5)
    true = Model((("bias", -0.5), ("skin", 1.0), ("wide", 2.0)))
    examples = [{"wide": float(a), "skin": float(b)} for a, b in random.normal(size=(20_000, 2))]
    faces = [bool(random.random() < true.probability(one)) for one in examples]

    found = dict(score.fit(examples, faces, Model()).weights)

    assert found == pytest.approx(dict(true.weights), abs=0.1)


def test_few_examples_leave_the_model_near_what_it_was() -> None:
    """Three decisions do not overturn what hundreds of pictures taught."""
    prior = Model((("bias", 0.0), ("wide", 3.0)))

    fitted = dict(score.fit([{"wide": 1.0}] * 3, [False] * 3, prior).weights)

    assert 1.5 < fitted["wide"] < 3.0


def test_one_surprise_does_not_overturn_what_is_known() -> None:
    """Of crops as sure as can be one is rejected: the others stay surer than the rule asks."""
    prior = score.shipped(BOTH)
    sure = {"drawn_faces seen": 1.0, "drawn_faces": 3.0, "animeface seen": 1.0, "animeface": 4.0, "same box": 0.8}
    sure |= {"parts": 1.0, "skin": 0.6, "filling": 0.3}
    assert prior.probability(sure) > 0.98

    fitted = score.fit([sure] * 10, [True] * 9 + [False], prior)

    assert fitted.probability(sure) > score.SURE


def test_surprises_far_from_what_is_known_are_fitted_too() -> None:
    """Newton's step would go to and fro between two wrong ends; it is halved until it is one towards the best."""
    prior = Model((("bias", 6.0), ("wide", -12.0)))

    fitted = score.fit([{"wide": 1.0}] * 400 + [{}] * 400, [True] * 400 + [False] * 400, prior)

    assert prior.probability({"wide": 1.0}) < 0.01
    assert fitted.probability({"wide": 1.0}) > 0.4


@pytest.mark.parametrize("face", [True, False])
def test_examples_of_one_kind_are_fitted_too(face: bool) -> None:
    """Where people only ever said yes, or only no, weights stay finite."""
    fitted = score.fit([{"wide": 1.0}] * 50, [face] * 50, Model())

    assert all(abs(weight) < 10 for _, weight in fitted.weights)
    assert (fitted.probability({"wide": 1.0}) > 0.9) is face


def test_a_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Models for several detectors live in one file, the last one for the same ones wins."""
    file, first, last = tmp_path / "a.toml", Model((("bias", 1.0),)), Model((("bias", 2.0), ("same box", 0.5)))
    for detectors, model in ((BOTH, first), (("animeface",), first), (BOTH, last)):
        score.save(file, detectors, model, "made up")

    assert score.load(file, BOTH) == last
    assert score.load(file, ("animeface",)) == first


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "cannot be read"),
        ("model = 3", "no model of a score"),
        ("model = [", "not readable as TOML"),
        ('[[model]]\ndetectors = ["a"]\nabout = ""\nweights = { bias = nan }', "no model of a score"),
        ('[[model]]\ndetectors = ["a"]\nabout = ""\nweights = { bias = 1.0 }', "fitted for a, and"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str | None, fault: str) -> None:
    """One line says what is wrong with it."""
    file = tmp_path / "a.toml"
    if text is not None:
        file.write_text(text)

    with pytest.raises(RecipeError, match=fault):
        score.load(file, BOTH)


def test_built_in_recipes_have_a_fitted_score() -> None:
    """What people start from need not be fitted first."""
    for detectors in (BOTH, ("lbpcascade", "animeface"), ("lbpcascade",), ("drawn_faces",), ("animeface",)):
        assert score.shipped(detectors).weights, detectors
