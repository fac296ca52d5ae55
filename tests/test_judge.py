"""What one stage says beside another is what it would say in its own turn, whatever stops the run between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import make
import numpy as np
import pytest
from test_run import KeepEven

from pipeline.catalog import Catalog
from pipeline.detectors.animeface import drawn_face
from pipeline.judge import Beside, run_stage
from pipeline.pixels import encode_png
from pipeline.recipe import load
from pipeline.records import Reason
from pipeline.run import Build, Settings
from pipeline.stage import Dropped, Kept, StageReport, fingerprint
from pipeline.store import Store

EVEN, ODD = make.post(0), make.post(1)
SAID = (Kept(EVEN, (EVEN,)), Dropped(ODD, Reason.RATING))


def test_the_stage_finds_judged_what_was_said_beside(sqlite_catalog: Catalog, store: Store) -> None:
    """It judges the others alone, and its report counts all as new."""
    stage, posts = KeepEven(), [make.post(number) for number in range(4)]
    with Beside(stage, sqlite_catalog) as beside:
        beside.tell(SAID)

    report, kept = run_stage(stage, posts, sqlite_catalog, store, lambda *_: None, beside=beside.judged)

    assert stage.judged == ["sandbox:2", "sandbox:3"]
    assert (report.seen, report.kept, report.dropped, report.judged) == (4, 2, {"rating": 2}, 4)
    assert [post.id for post in kept] == ["sandbox:0", "sandbox:2"]


def test_what_was_told_stays_when_the_other_stage_fails(sqlite_catalog: Catalog) -> None:
    """The work of a stopped run is not done again."""
    stage = KeepEven()

    def work() -> None:
        with Beside(stage, sqlite_catalog) as beside:
            beside.tell(SAID)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()

    said = sqlite_catalog.judged(stage.name, fingerprint(stage), [EVEN.id, ODD.id])
    assert said == {EVEN.id: None, ODD.id: Reason.RATING}


def test_much_is_not_held_back(sqlite_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill costs the work of a moment, while the other stage goes on."""
    monkeypatch.setattr("pipeline.judge.COMMIT_EVERY", 2)
    stage = KeepEven()

    with Beside(stage, sqlite_catalog) as beside:
        beside.tell(SAID)
        assert sqlite_catalog.judged(stage.name, fingerprint(stage), [EVEN.id]) == {EVEN.id: None}


def test_what_an_earlier_run_said_stands(sqlite_catalog: Catalog) -> None:
    """A run that was killed before the other stage's outcomes were written makes the same items again: not new ones."""
    stage = KeepEven()
    for told, new in ((SAID[:1], {EVEN.id}), (SAID, {ODD.id})):
        with Beside(stage, sqlite_catalog) as beside:
            beside.tell(told)
        assert beside.judged == new

    (remembered,) = sqlite_catalog.history(ODD.id)
    assert remembered.attempts == 1


def _pictures(folder: Path) -> Path:
    """Two pictures with a face each, and one without."""
    folder.mkdir()
    pixels = np.full((900, 900, 3), 200, np.uint8)
    pixels[200:500, 300:600] = drawn_face(300)
    other = np.repeat(np.arange(900, dtype=np.uint8)[:, None, None] // 4, 860, axis=1).repeat(3, axis=2)
    other[500:800, 60:360] = drawn_face(300)
    for name, picture in {"a": pixels, "b": other, "c": pixels[:150]}.items():
        (folder / f"{name}.png").write_bytes(encode_png(picture))
    return folder


def _built(folder: Path, data: Path, *orders: str, until: str = "crop") -> tuple[dict[str, StageReport], list[Any]]:
    """Run the stages as far as *until*, and give their reports and what the last has kept."""
    fields = ["sources.0.kind=folder", f"sources.0.path={folder}", 'detect.detectors=["animeface"]', "crop.size=64"]
    stages = ("list", "select", "scrape", "dedup-images", "detect", "crop")
    with Build(load(None, [*fields, *orders]), Settings(data=data, workers=1), lambda *_: None, print) as build:
        reports = {name: build.step(name) for name in stages[: stages.index(until) + 1]}
        return reports, list(build._items)


def _judged(reports: dict[str, StageReport]) -> tuple[int, int]:
    return reports["detect"].judged, reports["crop"].judged


def test_faces_are_cut_where_they_are_found(tmp_path: Path) -> None:
    """After the stage `detect` its faces have their crops, and the stage `crop` counts them as its own."""
    folder, data = _pictures(tmp_path / "mine"), tmp_path / "data"
    _, faces = _built(folder, data, until="detect")
    catalog = Catalog(data / "catalog.sqlite")
    assert [[said.stage for said in catalog.history(face.id)] for face in faces] == [["crop"], ["crop"]]
    catalog.close()

    reports, crops = _built(folder, tmp_path / "another")

    assert [crop.detection for crop in crops] == faces
    assert (reports["crop"].seen, reports["crop"].kept, _judged(reports)) == (2, 2, (3, 2))


def test_a_changed_order_judges_what_it_must(tmp_path: Path) -> None:
    """Other crops are cut without looking for faces again; other faces are cut too; the same order does nothing."""
    folder, data = _pictures(tmp_path / "mine"), tmp_path / "data"
    _built(folder, data)

    small, crops = _built(folder, data, "crop.size=32")
    other, moved = _built(folder, data, "detect.side=320")
    same, _ = _built(folder, data)

    assert (_judged(small), [crop.size for crop in crops]) == ((0, 2), [32, 32])
    assert (_judged(other), [crop.size for crop in moved]) == ((3, 2), [64, 64])
    assert _judged(same) == (0, 0)


def test_a_crop_holds_what_was_said_last_of_its_face(tmp_path: Path) -> None:
    """Who looks for faces otherwise has them cut anew, in the same places too: what is thought of them may change."""
    folder, data = _pictures(tmp_path / "mine"), tmp_path / "data"
    _, before = _built(folder, data)

    reports, crops = _built(folder, data, "filter.min_face=40")

    assert [crop.id for crop in crops] == [crop.id for crop in before]
    assert _judged(reports) == (3, 2)
