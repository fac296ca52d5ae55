from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cards
import make
import pytest

from pipeline.balance import BalanceCrops
from pipeline.catalog import Catalog
from pipeline.compare import compare
from pipeline.errors import UsageError
from pipeline.manifest import ManifestRow
from pipeline.records import FaceCrop, Forgotten, Reason, Verdict
from pipeline.stage import Dropped, Kept

MARKS = {
    stage: f"m-{stage}" for stage in ("select", "scrape", "dedup-images", "detect", "crop", "dedup", "filter", "review")
}


def _releases(tmp_path: Path, old: list[ManifestRow], new: list[ManifestRow], *recipes: str) -> tuple[Path, Path]:
    first, second = recipes or (cards.RECIPE, cards.RECIPE)
    return cards.make_folder(tmp_path / "old", old, first), cards.make_folder(tmp_path / "new", new, second)


def _run(catalog: Catalog, seed: int, **said: Any) -> FaceCrop:
    """The last run of the recipe, as far as one crop is concerned: kept by each stage, unless *said* has a reason."""
    crop, image = make.face_crop(seed), make.image(seed)
    post = make.post(seed, id=f"danbooru:{seed}")
    items = {"select": (post, post.id), "scrape": (post, post.id), "dedup-images": (image, f"{post.id}={image.sha256}")}
    items |= {"detect": (image, image.sha256), "crop": (crop.detection, crop.id)}
    items |= dict.fromkeys(("dedup", "filter", "review"), (crop, crop.id))  # type: ignore[arg-type]
    made = {"crop": said.get("made", crop)}
    for stage, (item, key) in items.items():
        reason = said.get(stage.replace("-", "_"))
        outcome = Dropped(item, reason) if reason else Kept(item, (made.get(stage, item),))
        if said.get("stops_at") == stage:
            break
        catalog.record(stage, MARKS[stage], [(key, outcome)])
        if reason:
            break
    run = catalog.begin_run("faces")
    counts = {"seen": 1, "kept": 1, "dropped": {}}
    catalog.end_run(
        run, "completed", [{"stage": stage, "fingerprint": mark, **counts} for stage, mark in MARKS.items()]
    )
    return crop


def test_a_release_differs_in_nothing_from_itself(tmp_path: Path) -> None:
    """Nothing is added, removed or changed, and the recipe is the same."""
    old, new = _releases(tmp_path, [cards.manifest_row(1)], [cards.manifest_row(1)])

    assert not compare(old, new, None)


def test_crops_that_came_say_from_where(tmp_path: Path) -> None:
    """Because a person kept them, or from an image that was there before, or from a new one."""
    old = cards.manifest_row(1)
    other = replace(cards.manifest_row(2), image_sha256=old.image_sha256)
    new = [old, cards.manifest_row(3, decision="keep", reviewer="kim"), other, cards.manifest_row(4)]

    found = compare(*_releases(tmp_path, [old], new), None)

    assert {one.post_id: one.why for one in found.added} == {
        "danbooru:2": "of an image that was there",
        "danbooru:3": "kept by kim",
        "danbooru:4": "of an image that is new",
    }
    assert (found.removed, found.changed) == ([], [])


def test_columns_that_changed_are_named(tmp_path: Path) -> None:
    """With what they were and what they are."""
    old = cards.manifest_row(1, score=0.5, tags="solo")
    new = cards.manifest_row(1, score=0.75, tags="solo smile")

    (change,) = compare(*_releases(tmp_path, [old], [new]), None).changed

    assert change.columns == {"score": ("0.5", "0.75"), "tags": ("solo", "solo smile")}


def test_recipes_are_compared_value_by_value(tmp_path: Path) -> None:
    """By the names that -p takes; what one of them does not say is None."""
    recipes = ('name = "r"\n[crop]\nsize = 64\n', 'name = "r"\n[crop]\nsize = 128\n[dedup]\nx = [1]\n')

    found = compare(*_releases(tmp_path, [cards.manifest_row(1)], [cards.manifest_row(1)], *recipes), None)

    assert found.recipe == {"crop.size": (64, 128), "dedup.x": (None, [1])}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"select": Reason.TAG_EXCLUDED}, "select: tag_excluded"),
        ({"scrape": Reason.GONE}, "scrape: gone"),
        ({"dedup_images": Reason.SAME_BYTES}, "dedup-images: same_bytes"),
        ({"detect": Reason.NO_FACE}, "detect: no_face"),
        ({"crop": Reason.TOO_SMALL}, "crop: too_small"),
        ({"dedup": Reason.DUPLICATE}, "dedup: duplicate"),
        ({"review": Reason.REJECTED}, "review: rejected by kim"),
        ({"stops_at": "select"}, "select: its post is listed no more"),
        ({"stops_at": "crop"}, "crop: no face is found there now"),
        ({"made": make.face_crop("otherwise")}, "crop: cut otherwise now"),
        ({}, "every stage keeps it now"),
    ],
)
def test_a_crop_that_is_gone_says_which_stage_stopped_it(
    said: dict[str, Any], why: str, sqlite_catalog: Catalog, tmp_path: Path
) -> None:
    """As the catalog has it of the recipe's last run."""
    crop = _run(sqlite_catalog, 1, **said)
    sqlite_catalog.decide([make.decision(crop.sha256, Verdict.REJECT, reviewer="kim")])

    found = compare(
        *_releases(tmp_path, [cards.manifest_row(1), cards.manifest_row(2)], [cards.manifest_row(2)]), sqlite_catalog
    )

    assert [one.why for one in found.removed] == [why]


def test_without_a_catalog_nobody_knows_why(sqlite_catalog: Catalog, tmp_path: Path) -> None:
    """Nor does one that never saw the recipe; that none was asked is told from it."""
    old, new = _releases(tmp_path, [cards.manifest_row(1), cards.manifest_row(2)], [cards.manifest_row(2)])

    for catalog, why in ((None, "no catalog was asked why"), (sqlite_catalog, "the catalog does not know why")):
        assert [one.why for one in compare(old, new, catalog).removed] == [why]


@pytest.mark.parametrize(
    "what",
    [
        Forgotten(posts=frozenset({"danbooru:1"})),
        Forgotten(artists=frozenset({"ann"})),
        Forgotten(sha256s=frozenset({cards.manifest_row(1).image_sha256})),
        Forgotten(md5s=frozenset({cards.manifest_row(1).image_md5})),
    ],
)
def test_a_crop_of_a_forgotten_work_says_so(what: Forgotten, sqlite_catalog: Catalog, tmp_path: Path) -> None:
    """By whichever name it is remembered, whatever the stages have of it."""
    _run(sqlite_catalog, 1, stops_at="select")
    sqlite_catalog.forget(what)
    old = [cards.manifest_row(1, artists="Ann bob"), cards.manifest_row(2, artists="bob")]

    found = compare(*_releases(tmp_path, old, old[1:]), sqlite_catalog)

    assert [one.why for one in found.removed] == ["forgotten, as somebody wished"]


def test_attributes_that_went_say_why(tmp_path: Path) -> None:
    """Tags say something of a face where its picture has one crop; here another one came."""
    old = cards.manifest_row(1, attributes="white_hair")
    new = [replace(old, attributes=""), replace(cards.manifest_row(2), image_sha256=old.image_sha256)]

    (change,) = compare(*_releases(tmp_path, [old], new), None).changed

    assert change.why == "crops of its image: 1 before, 2 now; tags tell of a face where it is the only one"


def test_the_stages_of_a_crop_are_all_asked() -> None:
    """A stage of crops that is new must be asked too."""
    from pipeline.compare import _KEYS
    from pipeline.run import STAGES

    assert tuple(_KEYS) == tuple(stage for stage in STAGES if stage not in {"list", "export"})
    assert BalanceCrops.name in _KEYS


def test_what_is_no_release_is_one_clear_line(tmp_path: Path) -> None:
    """A manifest that lacks columns, or whose rows are in disorder."""
    old, new = _releases(tmp_path, [cards.manifest_row(1)], [cards.manifest_row(1), cards.manifest_row(2)])
    lines = (new / "data_manifest.csv").read_text().splitlines()
    (new / "data_manifest.csv").write_text("\n".join([lines[0], lines[2], lines[1]]))
    with pytest.raises(UsageError, match="not sorted"):
        compare(old, new, None)

    (new / "data_manifest.csv").write_text("a,b\n")
    with pytest.raises(UsageError, match="lacks crop_sha256"):
        compare(old, new, None)
