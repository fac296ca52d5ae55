from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import make
import pytest

from pipeline.catalog import Catalog
from pipeline.errors import UsageError
from pipeline.records import ReviewDecision, Verdict
from pipeline.review.exchange import export_lines, import_decisions, read_lines
from pipeline.stage import Kept

A, B, IMAGE = (make.sha256(name) for name in ("a", "b", "image"))
FACE = {"image_sha256": IMAGE, "box": make.box(), "phash": "0f" * 8, "family": "F"}
LINE = {"v": 1, "crop_sha256": A, "verdict": "keep", "decided_at": "2026-01-02T00:00:00+00:00"}


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(tmp_path / "other.sqlite")
    yield opened
    opened.close()


def _line(**fields: Any) -> str:
    return json.dumps({**LINE, **fields})


def _sent(catalog: Catalog) -> list[ReviewDecision]:
    return read_lines(export_lines(catalog), "file")


def test_decisions_travel_unchanged(catalog: Catalog, other: Catalog) -> None:
    """In their order, with who decided, when, how and as a part of what; so they stand there as they stood here."""
    said = [
        make.decision(A, label="初音ミク\u2028\U0001f600", reviewer="kim", via="grid", op="one", **FACE),
        make.decision(B, Verdict.REJECT, via="family", op="one", **FACE),
        make.decision(A, Verdict.UNSURE, op="two", **FACE),
        make.decision(A, None, via="grid", op="three", undoes="one", **FACE),
    ]
    catalog.decide(said)

    assert _sent(catalog) == said
    assert import_decisions(other, _sent(catalog)) == (4, 0)
    assert other.all_decisions() == said
    assert other.decisions() == catalog.decisions()


def test_a_line_is_ascii(catalog: Catalog) -> None:
    """So that no program breaks it at a sign of a label."""
    catalog.decide([make.decision(A, label="a\u2028b\u0085c")])

    (line,) = export_lines(catalog)

    assert line.isascii()
    assert len(line.splitlines()) == 1


def test_a_line_says_by_itself_which_face_it_is_about(catalog: Catalog) -> None:
    """Also that of an older kaoset, which did not write it down; where nobody knows it any more it stays as it is."""
    crop = make.face_crop(family="F", phash=7)
    catalog.record("dedup", "f", [(crop.id, Kept(crop.detection, (crop,)))])
    older = [make.decision(crop.sha256), make.decision(A)]
    catalog.decide(older)

    located, lost = _sent(catalog)

    assert (located.image_sha256, located.box) == (crop.detection.image_sha256, crop.detection.box)
    assert (located.phash, located.family) == (crop.phash, "F")
    assert lost == older[1]


def test_importing_twice_changes_nothing(catalog: Catalog) -> None:
    """Nor does it where a part is there already, or a line comes twice."""
    said = [make.decision(A, op="one"), make.decision(B, Verdict.REJECT, op="one"), make.decision(A, None)]
    catalog.decide(said[:1])

    assert import_decisions(catalog, [*said, said[1]], "digest") == (2, 2)
    assert import_decisions(catalog, said, "digest") == (0, 3)
    assert import_decisions(catalog, said, "another digest") == (0, 3)

    assert [(one.crop_sha256, one.verdict) for one in catalog.all_decisions()] == [
        (A, Verdict.KEEP),
        (B, Verdict.REJECT),
        (A, None),
    ]


def test_an_import_is_an_operation(catalog: Catalog) -> None:
    """It says how much came, and from what; the decisions stay parts of what they were made in."""
    at = datetime(2026, 3, 4, tzinfo=UTC)
    import_decisions(catalog, [make.decision(A, op="one"), make.decision(B)], "digest", clock=lambda: at)

    (done,) = catalog.operations()

    assert (done.kind, done.at) == ("import", at)
    assert json.loads(done.about) == {"crops": 2, "decisions": 2, "source": "digest"}
    assert [one.op for one in catalog.all_decisions()] == ["one", ""]


def test_the_same_source_may_have_grown(catalog: Catalog) -> None:
    """What is new in it comes in."""
    import_decisions(catalog, [make.decision(A)], "digest")

    assert import_decisions(catalog, [make.decision(A), make.decision(B)], "digest") == (1, 1)


def test_what_was_taken_back_there_is_not_another_thing_here(catalog: Catalog) -> None:
    """ "The last decision" of one catalog is not that of another."""
    first = make.decision(A, op="one")
    catalog.decide([first, make.decision(A, Verdict.REJECT, reviewer="lee", op="two")])

    import_decisions(catalog, [first, make.decision(A, None, decided_at=datetime(2026, 1, 3, tzinfo=UTC))])

    assert catalog.decisions()[A].reviewer == "lee"


def test_empty_lines_are_passed_over() -> None:
    """And nothing at all is no decision."""
    assert len(read_lines(["", _line(), "  \n"], "file")) == 1
    assert read_lines([], "file") == []


def test_what_a_line_does_not_say_is_as_by_default() -> None:
    """It may be written by hand."""
    assert read_lines([_line()], "file") == [make.decision(A)]


def test_a_time_is_taken_as_utc() -> None:
    """Whatever its zone is."""
    (one,) = read_lines([_line(decided_at="2026-01-02T05:00:00+05:00")], "file")

    assert one == make.decision(A)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "no JSON"),
        ("[" * 15_000, "nested|no JSON"),
        ("1" * 10_000, "no JSON"),
        ('"keep"', "no object"),
        ("[]", "no object"),
        (_line(decided_at="x" * 30_000), "30,.* characters are no decision"),
        (_line(v=2), "v: 2 is not known here"),
        (_line(v=True), "v: True"),
        (_line(v=1.0), "v: 1.0"),
        (json.dumps({"crop_sha256": A}), "v: None"),
        (_line(lable="miku"), "'lable' is not known here"),
        (json.dumps({"v": 1, "crop_sha256": A, "verdict": "keep"}), "decided_at is missing"),
        (_line(crop_sha256="../../etc/passwd"), "crop_sha256: '../../etc/passwd' is no SHA-256"),
        (_line(crop_sha256=A.upper()), "crop_sha256"),
        (_line(crop_sha256=f"{A}\n"), "crop_sha256"),
        (_line(crop_sha256=7), "crop_sha256: 7"),
        (_line(verdict="good"), "verdict: 'good' is no verdict"),
        (_line(verdict=["keep"]), "verdict"),
        (_line(verdict=0), "verdict: 0"),
        (_line(label="x" * 201), "label: 201 characters"),
        (_line(label=5), "label: 5 is no text"),
        (_line(label="a\u0000b"), "label.*no text"),
        (_line(label="a\ud800b"), "label.*no text"),
        (_line(reviewer=None), "reviewer: None is no text"),
        (_line(reviewer="a\nb"), "reviewer.*no text"),
        (_line(via="<b>"), "via: '<b>'"),
        (_line(via=""), "via: ''"),
        (_line(decided_at="yesterday"), "decided_at: 'yesterday' is no time"),
        (_line(decided_at="2026-01-02T03:04:05"), "does not say in which zone"),
        (_line(decided_at="0001-01-01T00:00:00+14:00"), "is no time"),
        (_line(decided_at=1_700_000_000), "is no time"),
        (_line(decided_at=10**4000), "decided_at: 1000.*… is no time"),
        (_line(decided_at=float("nan")), "no JSON.*NaN"),
        (_line(op="x" * 201), "op: 201 characters"),
        (_line(undoes="one"), "undoes: what takes"),
        (_line(image_sha256=IMAGE), "image_sha256 and box"),
        (_line(box=make.box().to_json()), "image_sha256 and box"),
        (_line(image_sha256=IMAGE, box={"left": 0}), "box: .* is no box"),
        (_line(image_sha256=IMAGE, box=[1, 2, 3, 4]), "is no box"),
        (_line(image_sha256=IMAGE, box={**make.box().to_json(), "left": 10**100}), "box: left"),
        (_line(image_sha256=IMAGE, box={**make.box().to_json(), "top": 1.5}), "box: top: 1.5"),
        (_line(image_sha256=IMAGE, box={**make.box().to_json(), "top": True}), "box: top: True"),
        (_line(image_sha256=IMAGE, box={**make.box().to_json(), "width": 0}), "holds nothing"),
        (_line(phash="xyz"), "phash: 'xyz'"),
        (_line(phash=0), "phash: 0"),
    ],
)
def test_a_line_that_is_wrong_is_refused(line: str, told: str) -> None:
    """With its number, what is wrong, and never with more of it than a person reads."""
    with pytest.raises(UsageError, match=f"file, line 2: .*(?:{told})") as refused:
        read_lines([_line(), line], "file")

    assert len(str(refused.value)) < 300
