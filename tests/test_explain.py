from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import make
import pytest

from pipeline.catalog import Catalog
from pipeline.errors import UsageError
from pipeline.explain import Way, explain
from pipeline.records import Forgotten, Reason, Record, Verdict
from pipeline.stage import Dropped, Kept

MARK = "0123456789abcdef"  # of every stage here


def _said(catalog: Catalog, stage: str, key: str, item: Record, *outputs: Record, reason: Reason | None = None) -> None:
    outcome = Dropped(item, reason, "as it was") if reason else Kept(item, outputs or (item,))
    catalog.record(stage, MARK, [(key, outcome)])


@pytest.fixture
def known(sqlite_catalog: Catalog) -> Catalog:
    """One post that went all the way, and one that was turned away at the door."""
    catalog, post, image, face, crop = sqlite_catalog, make.post(1), make.image(1), make.detection(1), make.face_crop(1)
    catalog.add_page("sandbox", [post, make.post(2, rating="q", tags=("solo",))], None)
    _said(catalog, "select", post.id, post)
    _said(catalog, "select", "sandbox:2", make.post(2), reason=Reason.RATING)
    _said(catalog, "scrape", post.id, post, image)
    _said(catalog, "dedup-images", f"{post.id}={image.sha256}", image)
    _said(catalog, "detect", image.sha256, image, face, make.detection(1, box=make.box(left=400)))
    _said(catalog, "crop", face.id, face, crop)
    _said(catalog, "dedup", face.id, crop, make.face_crop(1, family="f1"))
    _said(catalog, "filter", face.id, crop)
    _said(catalog, "review", face.id, crop, reason=Reason.WAITING)
    return catalog


def _lines(way: Way) -> list[str]:
    return [way.title, *way.facts, *(line for part in way.parts for line in _lines(part))]


def _outcomes(ways: list[Way]) -> list[str]:
    """Every outcome, in the order in which it is told, without its time and its mark."""
    return [
        line.split(" ", 2)[2].replace(f" [{MARK[:8]}]", "")
        for way in ways
        for line in _lines(way)
        if f"[{MARK[:8]}]" in line
    ]


NAMES = {
    "post": "sandbox:1",
    "image": make.sha256(1),
    "beginning of an image": make.sha256(1)[:6],
    "md5 of an image": make.md5(1),
    "crop": make.sha256("crop 1"),
    "beginning of a crop": make.sha256("crop 1")[:8].upper(),
}

WHOLE_WAY = [
    "select: kept",
    "scrape: kept, 1 made",
    "dedup-images: kept",
    "detect: kept, 2 made",
    "crop: kept, 1 made",
    "dedup: kept, 1 made",
    "filter: kept",
    "review: dropped: waiting (as it was)",
]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_every_outcome_is_told_in_the_order_of_the_stages(name: str, known: Catalog) -> None:
    """However it is asked for."""
    assert _outcomes(explain(known, name)) == WHOLE_WAY


def test_a_file_is_known_by_its_bytes(known: Catalog, tmp_path: Path) -> None:
    """Whatever it is called now."""
    (tmp_path / "renamed.bin").write_bytes(b"1")  # make.sha256(1) is the hash of "1"

    assert _outcomes(explain(known, str(tmp_path / "renamed.bin"))) == WHOLE_WAY


def test_a_post_that_was_turned_away_has_its_reason(known: Catalog) -> None:
    """And what the board said of it."""
    (way,) = explain(known, "sandbox:2")

    assert way.facts[:3] == [
        "https://sandbox.invalid/posts/2",
        "rating q, posted 2020-01-01 00:00 UTC",
        "tags solo",
    ]
    assert (_outcomes([way]), way.parts) == (["select: dropped: rating (as it was)"], [])


def test_a_failure_is_told_with_its_attempts(tmp_path: Path) -> None:
    """And when it comes up again by itself, if it does."""
    catalog = Catalog(tmp_path / "c.sqlite", lambda: datetime(2026, 11, 20, 12, tzinfo=UTC))
    catalog.add_page("sandbox", [make.post(1), make.post(2)], None)
    for _ in range(3):
        _said(catalog, "scrape", "sandbox:1", make.post(1), reason=Reason.UNREACHABLE)
    _said(catalog, "scrape", "sandbox:2", make.post(2), reason=Reason.GONE)

    assert _outcomes(explain(catalog, "sandbox:1")) == [
        "scrape: dropped: unreachable (as it was), 3 attempts, tried again from 2026-11-20 16:00 UTC"
    ]
    assert _outcomes(explain(catalog, "sandbox:2")) == ["scrape: dropped: gone (as it was), 1 attempt"]
    catalog.close()


def test_the_names_lead_from_post_to_crop(known: Catalog) -> None:
    """Each thing is named by what finds it again."""
    (way,) = explain(known, "sandbox:1")
    told = "\n".join(_lines(way))

    assert way.title == "post sandbox:1"
    assert [part.title for part in way.parts] == [f"image {make.sha256(1)}"]
    assert [face.title for face in way.parts[0].parts] == ["face at 10,20 200×200", "face at 400,20 200×200"]
    assert f"crop {make.sha256('crop 1')}, 300 px → 128 px" in told


def test_asked_for_a_crop_it_leaves_the_other_faces_out(known: Catalog) -> None:
    """A group picture has many, and one was asked for."""
    (way,) = explain(known, make.sha256("crop 1"))

    assert [face.title for face in way.parts[0].parts] == ["face at 10,20 200×200"]


def test_a_decision_is_told_with_who_and_when(known: Catalog) -> None:
    """The one that stands; what was taken back is not."""
    crop = make.sha256("crop 1")
    known.decide([make.decision(crop, Verdict.REJECT, reviewer="Mai")])
    known.decide([make.decision(crop, Verdict.KEEP, reviewer="Rin", decided_at=datetime(2026, 3, 4, 5, 6, tzinfo=UTC))])
    both = [line for line in _lines(explain(known, crop)[0]) if "decision" in line]
    known.decide([make.decision(crop, None)])
    first = [line for line in _lines(explain(known, crop)[0]) if "decision" in line]

    assert both == ["2026-03-04 05:06:00 decision: keep by Rin"]
    assert first == ["2026-01-02 00:00:00 decision: reject by Mai"]


def test_all_posts_of_the_same_bytes_are_told(known: Catalog) -> None:
    """One of them was kept, the other says why it was not."""
    again, image = make.post(3), make.image(1, post_id="sandbox:3")
    known.add_page("sandbox", [again], None)
    _said(known, "scrape", again.id, again, image)
    _said(known, "dedup-images", f"{again.id}={image.sha256}", image, reason=Reason.SAME_BYTES)

    ways = explain(known, image.sha256)

    assert [way.title for way in ways] == ["post sandbox:1", "post sandbox:3"]
    assert "dedup-images: dropped: same_bytes (as it was)" in _outcomes(ways[1:])


def test_a_changed_configuration_is_told_beside_the_old_one(known: Catalog) -> None:
    """Both outcomes stand, each with its mark."""
    crop = make.face_crop(1)
    known.record("filter", "f" * 16, [(crop.id, Dropped(crop, Reason.BLURRED))])

    told = [line.split(" ", 2)[2] for line in _lines(explain(known, "sandbox:1")[0]) if " filter [" in line]

    assert told == ["filter [01234567]: kept", "filter [ffffffff]: dropped: blurred"]


@pytest.mark.parametrize("name", ["sandbox:1", "sandbox:1#sample", make.sha256(1), make.md5(1)[:8]])
def test_what_was_forgotten_is_told_with_its_time(name: str, tmp_path: Path) -> None:
    """By its post or its file; who asks why it is not in the dataset is not told that it never was there."""
    catalog = Catalog(tmp_path / "c.sqlite", lambda: datetime(2026, 11, 20, 12, tzinfo=UTC))
    gone = {"posts": {"sandbox:1"}, "sha256s": {make.sha256(1)}, "md5s": {make.md5(1)}}
    catalog.forget(Forgotten(**{kind: frozenset(values) for kind, values in gone.items()}))

    (way,) = explain(catalog, name)

    assert way.facts[0].startswith("2026-11-20 12:00:00 forgotten by `flow forget`")
    with pytest.raises(UsageError):
        explain(catalog, "sandbox:12")
    catalog.close()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("sandbox:9", "no such post"),
        ("abc", "no such post"),
        ("abcdef", "is it the right --data?"),
        ("f" * 64, "is it the right --data?"),
    ],
)
def test_what_is_unknown_is_refused(name: str, hint: str, known: Catalog) -> None:
    """The line says what can be asked for."""
    with pytest.raises(UsageError, match=f"^{name}: .*{hint.replace('?', '[?]')}"):
        explain(known, name)
