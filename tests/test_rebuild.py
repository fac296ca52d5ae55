"""pipeline.rebuild: a shared manifest becomes the same release, by a board on another port, on another machine."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.jobs import build_dataset
from flows.show import Lines
from pipeline.catalog import Catalog
from pipeline.errors import UsageError
from pipeline.export import Release, find_release
from pipeline.folder import DataFolder
from pipeline.forget import find, forget, wish
from pipeline.manifest import read_rows, to_csv
from pipeline.rebuild import Rebuilt, rebuild
from pipeline.recipe import load
from pipeline.run import Settings
from pipeline.sandbox import board
from pipeline.sandbox.draw import draw_portrait
from pipeline.sandbox.episodes import Film
from pipeline.sandbox.posts import Sandbox, build
from pipeline.store import Store
from pipeline.verify import verify


def ours(kind: str) -> tuple[str, ...]:
    """The sandbox board, in another dialect; under another name, since not all dialects tell the same of a post."""
    return f"sources.0.kind={kind}", "sources.0.board=sandbox", f"sources.0.name={kind}", "sources.0.min_gap_s=0"


SHARED = ("data_manifest.csv", "recipe.toml", "report.json")  # what may be given away
FIND = 'detect.detectors=["drawn_faces", "animeface"]'
# The same board in other words, and windows of all kinds.
RECIPES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "turned": ("crop.align=eyes", "release.image_format=webp", "release.formats=[]"),
    "padded": (*ours("moebooru"), "crop.margin_policy=pad", "crop.zoom=2.5", "crop.max_padding=0.6"),
    "samples": (*ours("gelbooru"), "sources.0.file=sample", "crop.size=64"),
    "shop": (
        *(*ours("getchu"), "sources.0.age_gate=true", "sources.0.rating=g"),
        *("filter.ratings=[]", "filter.since=1990-01-01"),
    ),
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return build(tmp_path_factory.mktemp("board"), 24)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the one who publishes."""
    return tmp_path_factory.mktemp("theirs")


def publish(data: Path, url: str, name: str, *overrides: str, recipe: str | None = "sandbox") -> Release:
    chosen = load(recipe, [f"name={name}", *overrides])
    built = build_dataset(chosen, Settings(data=data, workers=1, sandbox_url=url), Lines())
    assert built.release is not None
    return built.release


@pytest.fixture(scope="module")
def plain(drawn: Sandbox, data: Path) -> Release:
    with board.serve(drawn) as served:
        return publish(data, served.url, "plain")


def share(release: Release, folder: Path, names: Sequence[str] = SHARED) -> Path:
    """Give a release away without its images."""
    folder.mkdir()
    for name in names:
        shutil.copy(release.path / name, folder / name)
    return folder / "data_manifest.csv"


def again(manifest: Path, data: Path, url: str = "http://sandbox.invalid", **options: Any) -> Rebuilt:
    settings = Settings(data=data, workers=1, sandbox_url=url)
    return rebuild(manifest, settings, None, lambda *_: None, lambda _: None, **options)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def reasons(rebuilt: Rebuilt) -> dict[str, str]:
    return {one.row.post_id: one.reason for one in rebuilt.missing}


@pytest.mark.parametrize("name", RECIPES)
def test_a_release_comes_out_byte_for_byte(name: str, drawn: Sandbox, data: Path, tmp_path: Path) -> None:
    """Every file of it, from whichever dialect, and however its windows stood; by a board of another address."""
    with board.serve(drawn) as served:
        overrides = RECIPES[name]
        release = publish(data, served.url, name, *overrides)
    with board.serve(drawn) as served:
        rebuilt = again(share(release, tmp_path / "shared"), tmp_path / "mine", served.url)

    assert rebuilt.missing == []
    assert rebuilt.release is not None
    assert release.crops > 5
    assert files(rebuilt.release.path) == files(release.path)
    if name in {"turned", "padded"}:  # or the test would show nothing
        assert any(row.turned or row.padded for row in read_rows(release.path / "data_manifest.csv"))


def test_a_manifest_is_enough(plain: Release, drawn: Sandbox, tmp_path: Path) -> None:
    """Without anything beside it the crops, the manifest and the labels are the same, and all of it is sound."""
    manifest = share(plain, tmp_path / "shared", SHARED[:1])
    with board.serve(drawn) as served:
        rebuilt = again(manifest, tmp_path / "mine", served.url)

    assert rebuilt.release is not None
    theirs, mine = files(plain.path), files(rebuilt.release.path)
    alike = {name for name in theirs if mine.get(name) == theirs[name]}
    assert alike >= {name for name in theirs if name.startswith("images/")} | {"data_manifest.csv", "labels.npy"}
    assert verify(rebuilt.release.path) == []


def test_what_cannot_be_had_is_named_and_the_rest_is_a_release(plain: Release, drawn: Sandbox, tmp_path: Path) -> None:
    """A file that has gone, one that the host re-encoded; when they are there again, the same release comes out."""
    manifest = share(plain, tmp_path / "shared")
    rows = read_rows(manifest)
    gone, changed = sorted({row.post_id for row in rows})[:2]
    posts = {f"sandbox:{post.number}": post for post in drawn.posts}
    shutil.copytree(drawn.folder, tmp_path / "board")
    (tmp_path / "board" / "files" / posts[gone].file).unlink()
    (tmp_path / "board" / "files" / posts[changed].file).write_bytes(b"another")
    with board.serve(Sandbox(tmp_path / "board", drawn.posts)) as served:
        rebuilt = again(manifest, tmp_path / "mine", served.url)

    assert reasons(rebuilt) == {gone: "gone", changed: "wrong_md5"}
    assert rebuilt.listed is not None
    with rebuilt.listed.open(newline="") as file:
        assert {row["post_id"]: row["reason"] for row in csv.DictReader(file)} == reasons(rebuilt)
    assert rebuilt.release is not None
    assert read_rows(rebuilt.release.path / "data_manifest.csv") == [
        r for r in rows if r.post_id not in {gone, changed}
    ]
    assert verify(rebuilt.release.path) == []

    with board.serve(drawn) as served:
        whole = again(manifest, tmp_path / "mine", served.url)

    assert whole.release is not None
    assert files(whole.release.path) == files(plain.path)
    assert (whole.release.name, whole.listed) == ("plain/001", None)


def test_what_is_rebuilt_is_never_the_last_of_its_recipe(plain: Release, data: Path, tmp_path: Path) -> None:
    """In the folder of the originals a part of a release stands aside; one that is there already is not made again."""
    mine = tmp_path / "mine"
    shutil.copytree(data, mine, ignore=shutil.ignore_patterns("sandbox"))
    manifest = mine / "releases" / "plain" / "001" / "data_manifest.csv"
    second = mine / "releases" / "plain" / "002"
    shutil.copytree(manifest.parent, second)
    (second / "recipe.toml").write_text("another")
    assert again(manifest, mine).release == replace(plain, path=manifest.parent, new=False)

    catalog = Catalog(DataFolder(mine).catalog)
    forget(catalog, find(catalog, DataFolder(mine), wish([], [read_rows(manifest)[0].post_id], [])))
    catalog.close()
    part = again(manifest, mine)

    assert part.release is not None
    assert part.listed == mine / "releases" / "plain-rebuilt" / "missing-001.csv"
    assert part.release.name == "plain-rebuilt/001"
    assert find_release(mine / "releases", "plain") == second
    assert not find_release(mine / "releases", None).parent.name.endswith("-rebuilt")


def test_what_lies_in_the_store_is_not_asked_for(plain: Release, data: Path, drawn: Sandbox, tmp_path: Path) -> None:
    """In the data folder that made it no host is asked for anything, and the release stands; a stop goes on."""
    manifest = share(plain, tmp_path / "shared")
    assert again(manifest, data).release == replace(plain, new=False)

    def stop(stage: str, done: int, _total: int) -> None:
        if stage == "fetch" and done == 4:
            raise KeyboardInterrupt

    with board.serve(drawn) as served:
        settings = Settings(data=tmp_path / "mine", workers=1, sandbox_url=served.url)
        with pytest.raises(KeyboardInterrupt):
            rebuild(manifest, settings, None, stop, lambda _: None)
        rebuilt = again(manifest, tmp_path / "mine", served.url)
        whole = [one.path for one in served.log if one.status == 200 and not one.range]

    assert rebuilt.missing == []
    assert len(whole) - len(set(whole)) <= 2  # what was under way when it was stopped


def test_another_crop_is_no_crop_of_the_release(plain: Release, drawn: Sandbox, tmp_path: Path) -> None:
    """A row whose window was moved by a pixel, or to where no image is, is named as one that differs."""
    manifest = share(plain, tmp_path / "shared")
    rows = read_rows(manifest)
    moved, lost = rows[:2]
    wrong = {moved.crop_sha256: moved.window_left + 1, lost.crop_sha256: 100_000.0}
    manifest.write_bytes(
        to_csv([replace(row, window_left=wrong.get(row.crop_sha256, row.window_left)) for row in rows])
    )
    with board.serve(drawn) as served:
        rebuilt = again(manifest, tmp_path / "mine", served.url)

    assert {one.row.crop_sha256: one.reason for one in rebuilt.missing} == dict.fromkeys(wrong, "differs")
    assert not any(Store(tmp_path / "mine" / "store").has(sha256) for sha256 in wrong)


def test_a_crop_in_the_store_must_be_as_large_as_its_row_says(plain: Release, drawn: Sandbox, tmp_path: Path) -> None:
    """Another size is another crop, although one with that SHA-256 lies there."""
    manifest = share(plain, tmp_path / "shared")
    with board.serve(drawn) as served:
        first = again(manifest, tmp_path / "data", served.url)
    rows = read_rows(manifest)
    manifest.write_bytes(to_csv([replace(row, size=row.size // 2) for row in rows]))

    with board.serve(drawn) as served:
        second = again(manifest, tmp_path / "data", served.url)

    assert first.release is not None
    assert (second.release, {one.reason for one in second.missing}) == (None, {"differs"})


def test_files_of_this_machine_are_found_by_the_recipe(tmp_path: Path, data: Path) -> None:
    """The manifest tells no path; one that has changed or gone, or all without a recipe, are named."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for seed in range(3):
        draw_portrait([seed, 1]).picture.save(pictures / f"{seed}.png")
    here = ("sources.0.kind=folder", f"sources.0.path={pictures}")
    release = publish(data, "", "folder", *here, FIND, recipe=None)
    manifest = share(release, tmp_path / "shared")
    assert str(tmp_path) not in manifest.read_text()

    rebuilt = again(manifest, tmp_path / "mine")
    assert rebuilt.release is not None
    assert files(rebuilt.release.path) == files(release.path)

    rows = read_rows(manifest)
    shutil.copy(pictures / "0.png", pictures / "1.png")
    (pictures / "2.png").unlink()
    lost = {row.post_id for row in rows if row.post_id.startswith(("folder:1.png", "folder:2.png"))}
    assert reasons(again(manifest, tmp_path / "other")) == dict.fromkeys(lost, "no_file")
    (tmp_path / "shared" / "recipe.toml").unlink()
    assert set(reasons(again(manifest, tmp_path / "third")).values()) == {"no_file"}
    assert 0 < len(lost) < len({row.post_id for row in rows})


def test_frames_of_films_are_decoded_again(data: Path, tmp_path: Path) -> None:
    """From the film where the recipe says it lies, halves too; a frame that is no longer there is named."""
    pytest.importorskip("av")
    film = tmp_path / "films" / "one.mkv"
    film.parent.mkdir()
    Film(scenes=3).make(film)
    here = ("sources.0.kind=video", f"sources.0.path={film.parent}", "sources.0.halves=true")
    release = publish(data, "", "film", *here, "crop.size=32", FIND, recipe=None)
    manifest = share(release, tmp_path / "shared")

    rebuilt = again(manifest, tmp_path / "mine")
    film.write_bytes(b"gone")
    lost = again(manifest, tmp_path / "other")

    assert rebuilt.release is not None
    assert files(rebuilt.release.path) == files(release.path)
    assert (lost.release, set(reasons(lost).values())) == (None, {"no_file"})


def test_private_hosts_are_asked_by_your_own_word_alone(plain: Release, drawn: Sandbox, tmp_path: Path) -> None:
    """Neither a manifest nor the recipe beside it may send us to a host of this network."""
    manifest = share(plain, tmp_path / "shared")
    recipe = tmp_path / "shared" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("private_hosts = false", "private_hosts = true"))
    assert "private_hosts = true" in recipe.read_text()
    with board.serve(drawn) as served:
        rows = [
            replace(one, file_url=one.file_url.replace("https://sandbox.invalid", served.url))
            for one in read_rows(manifest)
        ]
        manifest.write_bytes(to_csv(rows[:3]))

        refused = again(manifest, tmp_path / "mine")
        assert served.log == []
        assert (refused.release, len(refused.missing)) == (None, 3)
        assert again(manifest, tmp_path / "mine", private_hosts=True).missing == []


def test_what_was_forgotten_here_is_not_made_again(plain: Release, drawn: Sandbox, tmp_path: Path) -> None:
    """Neither fetched nor cut, whoever shares its manifest."""
    manifest = share(plain, tmp_path / "shared")
    artist = next(one.artists for one in read_rows(manifest) if one.artists)
    folder = DataFolder(tmp_path / "mine")
    catalog = Catalog(folder.catalog)
    forget(catalog, find(catalog, folder, wish([artist], [], [])))
    catalog.close()
    with board.serve(drawn) as served:
        rebuilt = again(manifest, tmp_path / "mine", served.url)

    theirs = {one.post_id for one in read_rows(manifest) if one.artists == artist}
    assert reasons(rebuilt) == dict.fromkeys(theirs, "forgotten")
    assert rebuilt.release is not None
    assert verify(rebuilt.release.path) == []


@pytest.mark.parametrize(
    "nonsense", [b"\xff{", b"[" * 100_000, b"a = " + b"[" * 100_000], ids=["bytes", "json", "toml"]
)
@pytest.mark.parametrize("name", SHARED)
def test_what_is_not_readable_is_told_in_a_line(name: str, nonsense: bytes, plain: Release, tmp_path: Path) -> None:
    """Before anything is fetched."""
    manifest = share(plain, tmp_path / "shared")
    (tmp_path / "shared" / name).write_bytes(nonsense)

    with pytest.raises(UsageError, match=name):
        again(manifest, tmp_path / "mine")
