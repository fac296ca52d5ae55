"""People's decisions, or drawings, become a file that says how probable a face is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import make
import pytest

from flows.score import Example, FittedScore, decided, doubts, fit_on_drawings, fit_score, table
from flows.show import Lines
from pipeline import score
from pipeline.catalog import Catalog
from pipeline.errors import UsageError
from pipeline.folder import DataFolder
from pipeline.recipe import load
from pipeline.records import FaceCrop, Verdict
from pipeline.stage import Kept

BOTH = ("drawn_faces", "animeface")


def crop(number: int, *, wide: float, detector: str = "drawn_faces+animeface") -> FaceCrop:
    evidence = (("drawn_faces seen", 1.0), ("wide", wide))
    return make.face_crop(
        number, sha256=make.sha256(f"c{number}"), detection=make.detection(number, detector=detector, evidence=evidence)
    )


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """Of four hundred crops the wide ones were kept and the others rejected; about one more somebody was unsure."""
    folder = DataFolder(tmp_path / "data")
    folder.root.mkdir()
    catalog = Catalog(folder.catalog)
    crops = [crop(number, wide=float(number % 2)) for number in range(400)] + [crop(999, wide=0.5)]
    catalog.record("crop", "f", [(one.id, Kept(one.detection, (one,))) for one in crops])
    verdicts = [(Verdict.REJECT, Verdict.KEEP)[number % 2] for number in range(400)] + [Verdict.UNSURE]
    catalog.decide([make.decision(one.sha256, verdict) for one, verdict in zip(crops, verdicts, strict=True)])
    catalog.close()
    return folder


def test_decisions_teach_what_evidence_is_worth(folder: DataFolder, tmp_path: Path) -> None:
    """What people kept becomes probable, what they rejected improbable; what they were unsure of teaches nothing."""
    out = tmp_path / "own.toml"

    fitted = fit_score(load("sandbox"), folder.root, "", out)

    model = score.load(out, BOTH)
    keep, reject = (model.probability({"drawn_faces seen": 1.0, "wide": wide}) for wide in (1.0, 0.0))
    assert len(fitted.examples) == 400
    assert keep > 0.75
    assert reject < 0.25


def test_what_is_told_of_a_fit_was_not_learnt_from(folder: DataFolder, tmp_path: Path) -> None:
    """Each example is tried on a model of other pictures, and the table shows both scores."""
    fitted = fit_score(load("sandbox"), folder.root, "", tmp_path / "own.toml")
    all_of_it = score.load(tmp_path / "own.toml", BOTH)

    seen = [all_of_it.probability(one.evidence) for one in fitted.examples]

    assert all(abs(unseen - p) > 1e-4 for unseen, p in zip(fitted.after, seen, strict=True))
    assert table(fitted, load("sandbox")).row_count == 2


def test_a_file_of_its_own_for_each_recipe(folder: DataFolder) -> None:
    """Without a name the file goes into the data folder, named by the recipe."""
    assert fit_score(load("sandbox"), folder.root, "", None).path == folder.root / "scores" / "sandbox.toml"


def test_other_detectors_teach_nothing(folder: DataFolder, tmp_path: Path) -> None:
    """What one set of detectors said says nothing of another's words."""
    with pytest.raises(UsageError, match="nobody has decided on anything that lbpcascade found"):
        fit_score(load("sandbox", ['detect.detectors=["lbpcascade"]']), folder.root, "", tmp_path / "own.toml")


def test_drawings_teach_too(tmp_path: Path) -> None:
    """A model of a few drawn pictures believes in what two detectors saw in the same box."""
    out = tmp_path / "own.toml"

    fitted = fit_on_drawings(BOTH, 29, 1501, tmp_path, 2, out, Lines())

    weights = dict(score.load(out, BOTH).weights)
    assert len(fitted.examples) > 30
    assert weights["drawn_faces"] > 0
    assert weights["same box"] > 0


def test_what_was_never_a_face_teaches_nothing(folder: DataFolder, tmp_path: Path) -> None:
    """Who has only rejected is asked to keep something: one such decision would have all other crops dropped."""
    catalog = Catalog(folder.catalog)
    kept = [sha256 for sha256, one in catalog.decisions().items() if one.verdict is Verdict.KEEP]
    catalog.decide([make.decision(sha256, None) for sha256 in kept])
    catalog.close()

    with pytest.raises(UsageError, match="all 200 decisions say that something is no face"):
        fit_score(load("sandbox"), folder.root, "", tmp_path / "own.toml")


def test_a_crop_that_was_found_twice_teaches_what_these_detectors_said(sqlite_catalog: Catalog) -> None:
    """What an older kaoset, which kept no evidence, or other detectors said of the same bytes is passed over."""
    ours = crop(1, wide=1.0)
    old = replace(ours, detection=replace(ours.detection, evidence=()))
    others = replace(ours, detection=replace(ours.detection, detector="drawn_net", evidence=(("moon", 1.0),)))
    for mark, one in (("old", old), ("ours", ours), ("others", others)):
        sqlite_catalog.record("crop", mark, [(one.id, Kept(one.detection, (one,)))])
    sqlite_catalog.decide([make.decision(ours.sha256)])

    assert [one.evidence for one in decided(sqlite_catalog, BOTH)] == [{"drawn_faces seen": 1.0, "wide": 1.0}]


def test_what_a_model_in_a_file_found_teaches_too(sqlite_catalog: Catalog) -> None:
    """A recipe names the model by its TOML, and a detection by the name that the TOML gives it."""
    one = crop(1, wide=1.0, detector="drawn_net+animeface")
    sqlite_catalog.record("crop", "f", [(one.id, Kept(one.detection, (one,)))])
    sqlite_catalog.decide([make.decision(one.sha256)])
    toml = Path(__file__).parents[2] / "cascades" / "drawn_net.toml"

    assert len(decided(sqlite_catalog, (str(toml), "animeface"))) == 1


@pytest.mark.parametrize(
    ("examples", "before", "after", "said"),
    [
        (200, 0.6, 0.9, None),
        (200, 0.9, 0.6, "worse than the score before"),
        (14, 0.6, 0.9, "so few say little"),
    ],
)
def test_a_fit_that_is_not_to_be_trusted_says_so(
    examples: int, before: float, after: float, said: str | None, tmp_path: Path
) -> None:
    """Of too few, or with a larger error on what it has not seen, in one line that names the number."""
    faces = [Example(evidence={}, agreed=True, face=number % 10 > 0, group=str(number)) for number in range(examples)]
    fitted = FittedScore(
        path=tmp_path / "own.toml", examples=faces, before=[before] * examples, after=[after] * examples
    )

    doubt = doubts(fitted)

    assert (doubt is None) == (said is None)
    assert doubt is None or doubt.startswith(f"WARNING: {examples} examples, and ")
    assert said is None or said in str(doubt)
