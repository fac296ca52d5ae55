from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import faulty
import make
import numpy as np
import PIL.Image
import pytest
from faulty import reply, stall

from pipeline.catalog import Catalog
from pipeline.detectors.animeface import drawn_face
from pipeline.errors import InvariantError, RecipeError, StoreError
from pipeline.judge import failed_before, recall_stage, run_stage
from pipeline.manifest import MANIFEST, read_rows
from pipeline.pixels import encode_png
from pipeline.recipe import load
from pipeline.records import FaceCrop, Post, Reason, ReviewDecision, Verdict
from pipeline.run import STAGES, Build, Settings, _by_turns, with_detectors_at_hand
from pipeline.sources.board import key_name
from pipeline.stage import Dropped, Kept, Scope, StageReport
from pipeline.store import Store

CASCADES = Path(__file__).parents[1] / "cascades"
ONE_DETECTOR = 'detect.detectors=["animeface"]'


@dataclass(frozen=True)
class KeepEven:
    """A small real stage: even posts go on, odd ones do not."""

    name: ClassVar = "even"
    version: ClassVar = 1
    scope: ClassVar = Scope.ITEM

    reason: Reason = Reason.RATING
    judged: list[str] = field(default_factory=list, compare=False, metadata={"effect": True})
    stop_at: int | None = field(default=None, compare=False, metadata={"effect": True})

    def key(self, item: Post, /) -> str:
        return item.id

    def __call__(self, items: Iterable[Post], _store: Store, /) -> Iterator[Any]:
        for item in items:
            if len(self.judged) == self.stop_at:
                raise KeyboardInterrupt
            self.judged.append(item.id)
            yield Dropped(item, self.reason) if int(item.id[-1]) % 2 else Kept(item, (item,))


@dataclass(frozen=True)
class KeepFirst(KeepEven):
    """The same over a corpus: the first of all is kept."""

    name: ClassVar = "first"
    scope: ClassVar = Scope.CORPUS

    def __call__(self, items: Iterable[Post], _store: Store, /) -> Iterator[Any]:
        first, *others = sorted(items, key=lambda post: post.id)
        yield Kept(first, (first,))
        yield from (Dropped(other, Reason.DUPLICATE) for other in others)


class Forgets(KeepEven):
    def __call__(self, items: Iterable[Post], store: Store, /) -> Iterator[Any]:
        return (outcome for outcome in super().__call__(items, store) if outcome.item.id != "sandbox:3")


class Repeats(KeepEven):
    def __call__(self, items: Iterable[Post], store: Store, /) -> Iterator[Any]:
        return (outcome for outcome in super().__call__(items, store) for _ in range(2))


def _run(stage: KeepEven, posts: list[Post], catalog: Catalog, store: Store) -> tuple[Any, list[Post]]:
    return run_stage(stage, posts, catalog, store, lambda *_: None)


def test_counts_add_up(sqlite_catalog: Catalog, store: Store) -> None:
    """What is seen is kept or dropped with a reason."""
    report, kept = _run(KeepEven(), [make.post(n) for n in range(5)], sqlite_catalog, store)

    assert (report.seen, report.kept, report.dropped, report.judged) == (5, 3, {"rating": 2}, 5)
    assert [post.id for post in kept] == ["sandbox:0", "sandbox:2", "sandbox:4"]


def test_nothing_is_judged_twice(sqlite_catalog: Catalog, store: Store) -> None:
    """A second run judges only what is new, and counts all."""
    posts = [make.post(n) for n in range(5)]
    _run(KeepEven(), posts[:3], sqlite_catalog, store)
    stage = KeepEven()

    report, kept = _run(stage, posts, sqlite_catalog, store)

    assert stage.judged == ["sandbox:3", "sandbox:4"]
    assert (report.seen, report.judged, len(kept)) == (5, 2, 3)


def test_a_stopped_run_goes_on_where_it_was(sqlite_catalog: Catalog, store: Store) -> None:
    """What had an outcome keeps it."""
    posts = [make.post(n) for n in range(5)]
    with pytest.raises(KeyboardInterrupt):
        _run(KeepEven(stop_at=2), posts, sqlite_catalog, store)
    stage = KeepEven()

    _run(stage, posts, sqlite_catalog, store)

    assert stage.judged == ["sandbox:2", "sandbox:3", "sandbox:4"]


def test_a_changed_configuration_judges_again(sqlite_catalog: Catalog, store: Store) -> None:
    """Another field, another fingerprint."""
    posts = [make.post(n) for n in range(3)]
    _run(KeepEven(), posts, sqlite_catalog, store)
    stage = KeepEven(reason=Reason.TAG_EXCLUDED)

    report, _ = _run(stage, posts, sqlite_catalog, store)

    assert (len(stage.judged), report.dropped) == (3, {"tag_excluded": 1})


def test_what_could_not_be_reached_is_tried_again(sqlite_catalog: Catalog, store: Store) -> None:
    """A transient reason is not the last word."""
    posts = [make.post(n) for n in range(4)]
    _run(KeepEven(reason=Reason.UNREACHABLE), posts, sqlite_catalog, store)
    stage = KeepEven(reason=Reason.UNREACHABLE)

    _run(stage, posts, sqlite_catalog, store)

    assert stage.judged == ["sandbox:1", "sandbox:3"]


def test_what_failed_twice_is_left_in_peace_for_a_while(store: Store, tmp_path: Path) -> None:
    """The next run tries it at once; the one after that only when its time has come."""
    now = datetime(2026, 11, 20, tzinfo=UTC)
    catalog = Catalog(tmp_path / "timed.sqlite", lambda: now)
    judged = []
    for minutes in (0, 1, 2, 62):
        now = datetime(2026, 11, 20, tzinfo=UTC) + timedelta(minutes=minutes)
        stage = KeepEven(reason=Reason.UNREACHABLE)
        report, _ = _run(stage, [make.post(1), make.post(2)], catalog, store)
        judged.append((stage.judged, report.dropped))

    odd, failed = ["sandbox:1"], {"unreachable": 1}
    assert judged == [([*odd, "sandbox:2"], failed), (odd, failed), ([], failed), (odd, failed)]
    catalog.close()


@dataclass(frozen=True)
class Says(KeepEven):
    """Drops each post for a reason of its own; those without one are kept."""

    reasons: dict[str, Reason] = field(default_factory=dict, compare=False, metadata={"effect": True})

    def __call__(self, items: Iterable[Post], _store: Store, /) -> Iterator[Any]:
        for item in items:
            self.judged.append(item.id)
            why = self.reasons.get(item.id)
            yield Dropped(item, why) if why else Kept(item, (item,))


def test_only_what_failed_is_retried(sqlite_catalog: Catalog, store: Store) -> None:
    """Whenever it would come up again; the rest is recalled, what is new is left out, and the counts add up."""
    posts = [make.post(number) for number in range(5)]
    reasons = {"sandbox:1": Reason.GONE, "sandbox:2": Reason.TOO_LARGE, "sandbox:3": Reason.UNREACHABLE}
    for _ in range(2):
        _run(Says(reasons=reasons), posts[:4], sqlite_catalog, store)
    stage = Says(reasons={"sandbox:1": Reason.GONE})

    report, kept = run_stage(stage, posts, sqlite_catalog, store, lambda *_: None, which=failed_before)

    assert stage.judged == ["sandbox:1", "sandbox:3"]
    assert (report.seen, report.judged, report.dropped) == (4, 2, {"gone": 1, "too_large": 1})
    assert [post.id for post in kept] == ["sandbox:0", "sandbox:3"]


def test_only_what_failed_under_this_configuration_is_retried(sqlite_catalog: Catalog, store: Store) -> None:
    """Another recipe's failures are its own."""
    posts = [make.post(number) for number in range(4)]
    _run(KeepEven(reason=Reason.GONE), posts, sqlite_catalog, store)
    stage = KeepEven(reason=Reason.FORBIDDEN)

    report, _ = run_stage(stage, posts, sqlite_catalog, store, lambda *_: None, which=failed_before)

    assert (stage.judged, report.seen) == ([], 0)


def test_a_corpus_is_judged_whole(sqlite_catalog: Catalog, store: Store) -> None:
    """A newcomer may take the place of what was kept before, and it alone counts as new."""
    first, before = _run(KeepFirst(), [make.post(2), make.post(3)], sqlite_catalog, store)
    second, after = _run(KeepFirst(), [make.post(1), make.post(2), make.post(3)], sqlite_catalog, store)

    assert (first.judged, second.judged) == (2, 1)
    assert ([post.id for post in before], [post.id for post in after]) == (["sandbox:2"], ["sandbox:1"])


@pytest.mark.parametrize(
    ("stage", "message"), [(Forgets(), "1 items got no outcome"), (Repeats(), "an outcome too many")]
)
def test_a_stage_that_loses_or_invents_is_a_bug(
    stage: KeepEven, message: str, sqlite_catalog: Catalog, store: Store
) -> None:
    """The run stops rather than publish wrong counts."""
    with pytest.raises(InvariantError, match=message):
        _run(stage, [make.post(n) for n in range(5)], sqlite_catalog, store)


def test_two_items_with_one_key_are_a_bug(sqlite_catalog: Catalog, store: Store) -> None:
    """One of them would vanish from the counts."""
    with pytest.raises(InvariantError, match="share a key"):
        _run(KeepEven(), [make.post(1), make.post(1)], sqlite_catalog, store)


def test_bytes_that_were_lost_are_made_anew(sqlite_catalog: Catalog, store: Store) -> None:
    """An image whose file is gone is fetched again; what is there is left alone."""

    class Makes(KeepEven):
        def __call__(self, items: Iterable[Post], store: Store, /) -> Iterator[Any]:
            for item in items:
                self.judged.append(item.id)
                yield Kept(item, (make.image(item.id, sha256=store.put(item.id.encode())),))

    posts = [make.post(n) for n in range(3)]
    _, images = _run(Makes(), posts, sqlite_catalog, store)
    store.path(images[1].sha256).unlink()  # type: ignore[attr-defined]
    stage = Makes()

    _, again = _run(stage, posts, sqlite_catalog, store)

    assert (stage.judged, again) == (["sandbox:1"], images)


def test_a_key_is_named_by_its_host() -> None:
    """So that a recipe from elsewhere cannot send it anywhere else."""
    assert key_name("https://danbooru.donmai.us") == "DANBOORU_DONMAI_US"
    assert key_name("http://127.0.0.1:80/x") == "127_0_0_1"


def test_recalling_judges_nothing(sqlite_catalog: Catalog, store: Store) -> None:
    """What was never judged is not seen."""
    posts = [make.post(n) for n in range(5)]
    _run(KeepEven(), posts[:3], sqlite_catalog, store)

    report, kept = recall_stage(KeepEven(), posts, sqlite_catalog)

    assert (report.seen, report.judged, [post.id for post in kept]) == (3, 0, ["sandbox:0", "sandbox:2"])


def test_hosts_take_turns() -> None:
    """No host waits for the end of another; one with very many files makes the order no dearer."""
    few = [_of_host(number, host) for host in "ab" for number in range(2)]
    many = [_of_host(number, "a") for number in range(20_000)]
    many += [_of_host(number, f"h{number}") for number in range(20_000)]

    begin = time.monotonic()
    ordered = _by_turns(many)

    assert [post.id for post in _by_turns(few)] == ["a:0", "b:0", "a:1", "b:1"]
    assert time.monotonic() - begin < 1.5
    assert sorted(post.id for post in ordered) == sorted(post.id for post in many)


def _of_host(number: int, host: str) -> Post:
    return make.post(id=f"{host}:{number}", file_url=f"https://{host}.example/{number}.jpg")


def test_a_full_disk_ends_the_listing_and_is_what_is_told(tmp_path: Path) -> None:
    """At once, while a board is still being asked: its being stopped is only what follows."""
    row = {"id": 5, "md5": make.md5(5), "rating": "s", "tags": "a", "created_at": 1_700_000_000, "file_ext": "png"}
    with faulty.serve() as server:
        row["file_url"] = server.on("/5.png", reply(200, b"file"))
        server.on("/post.json", reply(200, json.dumps([row])), stall(8.0))
        fields = {"kind": "moebooru", "board": server.address, "min_gap_s": 0.0, "private_hosts": True}
        recipe = load(None, [*(f"sources.0.{name}={value}" for name, value in fields.items()), ONE_DETECTOR])
        name = hashlib.sha1(make.md5(5).encode(), usedforsecurity=False).hexdigest()
        (tmp_path / "parts" / f"{name}.part").mkdir(parents=True)

        begin = time.monotonic()
        with (
            pytest.raises(StoreError, match=r"\.part: "),
            Build(recipe, Settings(data=tmp_path, workers=1), lambda *_: None, print) as build,
        ):
            build.step("list")
        assert time.monotonic() - begin < 5.0


def test_detectors_of_one_name_are_refused() -> None:
    """Evidence is told apart by who said it; whoever is named twice is known before any board is asked."""
    recipe = load("sandbox", ['detect.detectors=["animeface", "animeface"]'])

    with pytest.raises(RecipeError, match="two are named animeface"):
        with_detectors_at_hand(recipe, print)


def test_a_model_named_as_a_detector_is_refused(tmp_path: Path) -> None:
    """A TOML gives its name where none is written into it."""
    for file in ("drawn_net.onnx", "drawn_net.png"):
        shutil.copy(CASCADES / file, tmp_path)
    shutil.copy(CASCADES / "drawn_net.toml", tmp_path / "animeface.toml")
    recipe = load("sandbox", [f'detect.detectors=["{tmp_path / "animeface.toml"}", "animeface"]'])

    with pytest.raises(RecipeError, match="two are named animeface"):
        with_detectors_at_hand(recipe, print)


# --- decisions over several runs --------------------------------------------------------------------------------------


class Shelf:
    """A folder with a drawing of one face, built again and again, and decided on in between."""

    def __init__(self, folder: Path) -> None:
        self.pictures, self._data = folder / "pictures", folder / "data"
        self.pictures.mkdir()
        pixels = np.repeat(np.arange(900, dtype=np.uint8)[:, None, None] // 4, 900, axis=1).repeat(3, axis=2)
        pixels[200:500, 300:600] = drawn_face(300)
        self._drawn = pixels
        small = PIL.Image.fromarray(pixels).resize((600, 600), PIL.Image.Resampling.LANCZOS)
        small.save(self.pictures / "small.jpg", quality=85)

    def add_larger(self) -> None:
        """Put what the small picture was made of beside it."""
        (self.pictures / "large.png").write_bytes(encode_png(self._drawn))

    def build(self, *orders: str) -> tuple[dict[str, StageReport], list[FaceCrop], list[tuple[str, str]]]:
        """Build, and give what the stages reported, the crops before the rules, and what the manifest says of whom."""
        fields = ["sources.0.kind=folder", f"sources.0.path={self.pictures}", ONE_DETECTOR, "crop.size=64"]
        crops: list[FaceCrop] = []
        recipe = load(None, [*fields, "release.formats=[]", *orders])
        with Build(recipe, Settings(data=self._data, workers=1), lambda *_: None, print) as build:
            reports = {}
            for name in STAGES[: STAGES.index("export")]:
                reports[name] = build.step(name)
                crops = list(build._items) if name == "dedup" else crops
            if not build._items:  # a release of nothing is refused
                return reports, crops, []
            build.step("export")
            assert build.release
            rows = read_rows(build.release.path / MANIFEST)
            return reports, crops, [(row.decision, row.reviewer) for row in rows]

    def decide(self, crop: FaceCrop, verdict: Verdict | None, **fields: str) -> None:
        known = Catalog(self._data / "catalog.sqlite")
        said = {"reviewer": "kim", "decided_at": datetime.now(UTC), **fields}
        known.decide([ReviewDecision(crop_sha256=crop.sha256, verdict=verdict, **said)])
        known.close()


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_what_a_person_kept_is_rescued_from_the_rules(shelf: Shelf) -> None:
    """At the next run, though nothing else changed; taken back, the rule holds again."""
    rule = "filter.min_sharpness=1000000"
    first, (crop,), rows = shelf.build(rule)
    assert (first["filter"].dropped, rows) == ({"blurred": 1}, [])

    shelf.decide(crop, Verdict.KEEP, op="o")
    second, _, rows = shelf.build(rule)
    again, _, _ = shelf.build(rule)
    assert (second["filter"].dropped, second["filter"].judged, rows) == ({}, 1, [("keep", "kim")])
    assert (again["filter"].kept, again["filter"].judged) == (1, 0)

    shelf.decide(crop, None, undoes="o")
    third, _, rows = shelf.build(rule)
    assert (third["filter"].dropped, third["filter"].judged, rows) == ({"blurred": 1}, 1, [])


def test_a_rejected_crop_is_not_rescued(shelf: Shelf) -> None:
    """The rule drops it as before, and nothing is judged again."""
    rule = "filter.min_sharpness=1000000"
    _, (crop,), _ = shelf.build(rule)
    shelf.decide(crop, Verdict.REJECT)

    report, _, _ = shelf.build(rule)

    assert (report["filter"].dropped, report["filter"].judged) == ({"blurred": 1}, 0)


@pytest.mark.parametrize("verdict", [Verdict.KEEP, Verdict.REJECT])
def test_a_decision_outlives_another_cut(shelf: Shelf, verdict: Verdict) -> None:
    """It is about the face, not about its bytes; the manifest names who decided."""
    never = ("review.accept_alone=2", "review.accept_agreed=2")
    _, (crop,), _ = shelf.build(*never)
    shelf.decide(crop, verdict)

    report, (cut,), rows = shelf.build(*never, "crop.size=96", "crop.zoom=1.3")

    assert cut.sha256 != crop.sha256
    assert report["review"].dropped == ({"rejected": 1} if verdict is Verdict.REJECT else {})
    assert rows == ([("keep", "kim")] if verdict is Verdict.KEEP else [])


def test_a_rescue_outlives_another_cut(shelf: Shelf) -> None:
    """And ends with it where the decision is taken back, though nobody ever decided on those bytes."""
    rule = "filter.min_sharpness=1000000"
    _, (crop,), _ = shelf.build(rule)
    shelf.decide(crop, Verdict.KEEP)
    rescued, _, _ = shelf.build(rule, "crop.size=96")
    shelf.decide(crop, None)

    ended, _, _ = shelf.build(rule, "crop.size=96")

    assert (rescued["filter"].dropped, ended["filter"].dropped) == ({}, {"blurred": 1})


def test_a_rejection_outlives_a_better_copy(shelf: Shelf) -> None:
    """The same face in a larger picture of the same drawing is not asked for again."""
    _, (small,), _ = shelf.build("review.accept_alone=0")
    shelf.decide(small, Verdict.REJECT)
    shelf.add_larger()

    report, (large,), rows = shelf.build("review.accept_alone=0")

    assert report["dedup-images"].dropped == {"duplicate": 1}
    assert large.detection.image_sha256 != small.detection.image_sha256
    assert (report["review"].dropped, rows) == ({"rejected": 1}, [])


def test_without_decisions_the_rules_judge_nothing_twice(shelf: Shelf) -> None:
    """As ever."""
    shelf.build()

    report, _, _ = shelf.build()

    assert (report["filter"].judged, report["filter"].seen) == (0, 1)
