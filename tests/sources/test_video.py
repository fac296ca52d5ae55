"""pipeline.sources.video: films behind the face of a board."""

from __future__ import annotations

import hashlib
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import make
import numpy as np
import pytest

from pipeline import pixels
from pipeline.catalog import Catalog
from pipeline.errors import UsageError
from pipeline.judge import run_stage
from pipeline.records import Image, Post, Reason
from pipeline.sandbox.episodes import Episode, Film
from pipeline.sources import Fetched, Page, Refused, video
from pipeline.sources.video import VideoSource
from pipeline.stage import Kept
from pipeline.store import Store

av = pytest.importorskip("av")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "films").mkdir()
    return tmp_path / "films"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    return tmp_path / "parts" / "file"


def source(path: Path, **fields: Any) -> VideoSource:
    return VideoSource(**{"name": "films", "path": path, **fields})


def posts(path: Path, **fields: Any) -> list[Post]:
    return [post for page in source(path, **fields).pages(None) for post in page.posts]


def times(listed: list[Post]) -> list[int]:
    return [int(post.page_url.rpartition("@")[2]) for post in listed]


def starts(episode: Episode) -> list[int]:
    return [round(scene.start_s * 1000) for scene in episode.scenes]


def decoded(path: Path) -> dict[int, np.ndarray]:
    """Every frame of a film by its time, decoded in one go."""
    with video._Film(path) as film:
        return {at: film.pixels(frame) for at, frame in film.frames()}


def fetched(films: VideoSource, post: Post, target: Path) -> np.ndarray:
    answer = films.fetch(post, target, 10**8)
    assert isinstance(answer, Fetched), answer
    data = target.read_bytes()
    assert answer == Fetched(hashlib.md5(data, usedforsecurity=False).hexdigest(), len(data))
    return pixels.decode(data, max_pixels=10**7)


def test_lists_one_frame_of_each_scene(folder: Path) -> None:
    """At the cut; held drawings, grain and a moving mouth give no more. No path of this machine is in what is kept."""
    episode = Film(seed=1, scenes=3, scene_s=1.6).make(folder / "Ep 01.mp4")
    os.utime(episode.path, (1e9, 1e9))
    content = hashlib.sha256(episode.path.read_bytes()).hexdigest()[:8]

    listed = posts(folder)

    assert times(listed) == pytest.approx(starts(episode), abs=90)
    at = times(listed)[1]
    assert listed[1] == Post(
        id=f"films:Ep 01.mp4@{at:08}#{content}",
        file_url=f"{episode.path.as_uri()}#t={at / 1000:.3f}",
        page_url=f"films:Ep 01.mp4@{at:08}",
        ext="png",
        rating="g",
        tags=("Ep_01",),
        posted_at=datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC),
    )


WAYS = {
    "mpeg4.avi": {"codec": "mpeg4"},
    "b-frames.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "live.webm": {"codec": "libvpx", "container": {"live": "1"}},  # neither duration nor index
    "ten-bit.mov": {"pixels": "yuv420p10le"},
    "odd.mkv": {"size": (241, 135), "pixels": "yuv444p"},
    "uneven.mkv": {"shown_at": lambda frame: frame / 24 + frame // 7 * 0.013},
    "open.mp4": {"options": {"x264-params": "open-gop=1:bframes=3:keyint=24:scenecut=0"}},
}


@pytest.mark.parametrize("name", WAYS)
def test_every_kind_of_film_gives_exact_frames(
    folder: Path, target: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the container, the codec and the rate: each scene is listed, and fetched as a full decode shows it."""
    monkeypatch.setattr(video, "LEG_MS", 900)  # so that a short film is sought in
    monkeypatch.setattr(video, "BEFORE_MS", 400)
    episode = Film(**{"seed": 4, "scenes": 3, "scene_s": 1.0, "size": (240, 136), **WAYS[name]}).make(folder / name)
    films = source(folder)
    listed = [post for page in films.pages(None) for post in page.posts]
    whole = decoded(episode.path)

    assert times(listed) == pytest.approx(starts(episode), abs=130)
    for post, at in reversed(list(zip(listed, times(listed), strict=True))):
        assert np.array_equal(fetched(films, post, target), whole[at])


def test_any_order_of_asking_gives_the_same_frames(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sought, read on or from the start: what a time names is one picture, in a damaged film too."""
    monkeypatch.setattr(video, "LEG_MS", 700)
    monkeypatch.setattr(video, "BEFORE_MS", 300)
    episode = Film(seed=5, scenes=4, scene_s=0.7, codec="libvpx", container={"live": "1"}).make(folder / "a.webm")
    data = bytearray(episode.path.read_bytes())
    del data[len(data) // 2 : len(data) // 2 + 3000]
    episode.path.write_bytes(data)
    content = hashlib.sha256(data).hexdigest()
    wanted = list(decoded(episode.path))[::3]
    seen = []
    for turn in range(3):
        reader = video._Reader()
        random.Random(turn).shuffle(wanted)
        seen.append({at: reader.frame(episode.path, content, at) for at in wanted})

    assert len(wanted) > 10
    assert all(np.array_equal(seen[0][at], other[at]) for other in seen[1:] for at in wanted)


def test_a_long_scene_is_looked_at_by_time(folder: Path) -> None:
    """Without a cut every `every_s`; near copies of what was kept stay out, unless none counts as one."""
    Film(seed=6, scenes=1, scene_s=2.1).make(folder / "a.mp4")

    assert times(posts(folder, every_s=0.5)) == [0]
    assert times(posts(folder, every_s=0.5, last_kept=0)) == pytest.approx([0, 500, 1000, 1500, 2000], abs=90)
    assert times(posts(folder, every_s=0.5, last_kept=0, max_s=1.2)) == pytest.approx([0, 500, 1000], abs=90)


def test_a_scene_that_comes_back_is_kept_once(folder: Path) -> None:
    """As long as it is among the last that were kept."""
    path = Film(seed=7, scenes=3, scene_s=0.4).make(folder / "a.mp4").path
    whole = decoded(path)
    shots = [whole[at] for at in times(posts(path))]
    joined = folder / "joined.mp4"
    with av.open(str(joined), "w") as film:
        stream = film.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for number in range(72):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(shots[number // 12 % 3], format="rgb24")))
        film.mux(stream.encode(None))

    assert len(posts(joined)) == 3
    assert len(posts(joined, last_kept=1)) == 6


def test_black_and_white_screens_are_left_out(folder: Path) -> None:
    """A fade through black has nothing to show."""
    with av.open(str(folder / "a.mp4"), "w") as film:
        stream = film.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for number in range(48):
            grain = np.random.default_rng(number).integers(0, 4, (90, 160, 3), np.uint8)
            film.mux(stream.encode(av.VideoFrame.from_ndarray(grain + (240 if number > 24 else 0), format="rgb24")))
        film.mux(stream.encode(None))

    (post,) = posts(folder)

    assert post.file_url is None


def test_halves_are_further_pictures(folder: Path, target: Path) -> None:
    """Together they are the whole frame; a middle column of an odd frame is in both."""
    Film(seed=8, scenes=1, scene_s=0.3, size=(161, 90), pixels="yuv444p").make(folder / "a.mkv")
    films = source(folder, halves=True)
    listed = [post for page in films.pages(None) for post in page.posts]

    whole, left, right = (fetched(films, post, target) for post in listed)

    assert [post.id[-1] for post in listed[1:]] == ["l", "r"]
    assert [post.file_url.partition("&")[2] for post in listed] == [
        "",
        "xywh=percent:0,0,50,100",
        "xywh=percent:50,0,50,100",
    ]
    assert len({post.page_url for post in listed}) == 1
    assert np.array_equal(left, whole[:, :81])
    assert np.array_equal(right, whole[:, 80:])


def turned(path: Path, *matrix: int) -> Path:
    """Write a display matrix (ISO/IEC 14496-12, 8.3.2) into the first track of an MP4."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    data[place : place + 36] = struct.pack(">9i", *(one << (30 if n % 3 == 2 else 16) for n, one in enumerate(matrix)))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("matrix", "quarters"), [((0, 1, 0, -1, 0, 0, 0, 0, 1), 1), ((-1, 0, 0, 0, -1, 0, 0, 0, 1), 2)]
)
def test_a_turned_film_is_set_upright(folder: Path, target: Path, matrix: tuple[int, ...], quarters: int) -> None:
    """A telephone held upright writes frames that lie on their side, and a note to turn them clockwise."""
    path = Film(seed=9, scenes=1, scene_s=0.2).make(folder / "a.mp4").path
    flat = next(iter(decoded(path).values()))
    turned(path, *matrix)
    films = source(folder)

    (post,) = (post for page in films.pages(None) for post in page.posts)

    assert np.array_equal(fetched(films, post, target), np.rot90(flat, -quarters))


def test_oblong_pixels_are_made_square(folder: Path, target: Path) -> None:
    """A DVD's wide picture is not shown narrow."""
    Film(seed=10, scenes=1, scene_s=0.2, size=(180, 120), options={"x264-params": "sar=32/27"}).make(folder / "a.mp4")
    films = source(folder)

    (post,) = (post for page in films.pages(None) for post in page.posts)

    assert fetched(films, post, target).shape == (120, 213, 3)


def test_high_definition_has_its_own_colours(folder: Path) -> None:
    """A film that states no colours is taken as players take it: BT.709 above 576 rows."""
    red = np.zeros((720, 1280, 3), np.uint8) + np.array([200, 40, 40], np.uint8)
    for name, high in (("high.mkv", red), ("low.mkv", red[:360, :640])):
        with av.open(str(folder / name), "w") as film:
            stream = film.add_stream("libx264", rate=24)
            stream.height, stream.width, stream.pix_fmt = *high.shape[:2], "yuv420p"
            frame = av.VideoFrame.from_ndarray(high, format="rgb24")
            way = 1 if name == "high.mkv" else 5
            yuv = frame.reformat(format="yuv420p", dst_colorspace=way)
            yuv.colorspace = 2
            film.mux(stream.encode(yuv))
            film.mux(stream.encode(None))
        (shown,) = decoded(folder / name).values()

        assert np.abs(shown[10, 10].astype(int) - [200, 40, 40]).max() <= 4


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.avi"])
def test_a_film_that_was_cut_gives_what_can_be_read(folder: Path, target: Path, name: str) -> None:
    """Half a download is half a film, or none: never an error."""
    codec = {"webm": "libvpx", "avi": "mpeg4"}.get(name[2:], "libx264")
    episode = Film(seed=11, scenes=4, scene_s=0.6, codec=codec).make(folder / name)
    whole = times(posts(folder))
    data = episode.path.read_bytes()
    episode.path.write_bytes(data[: len(data) * 6 // 10])
    films = source(folder)

    listed = [post for page in films.pages(None) for post in page.posts]

    if name == "a.mp4":  # what says where the frames lie stands at its end
        assert [post.file_url for post in listed] == [None]
        return
    assert 0 < len(listed) < len(whole)
    assert times(listed) == whole[: len(listed)]
    assert all(isinstance(films.fetch(post, target, 10**8), Fetched) for post in listed)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no film at all",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    ],
)
def test_what_is_no_film_is_a_post_without_a_file(folder: Path, data: bytes) -> None:
    """It is counted, and a play list opens nothing."""
    (folder / "a.avi").write_bytes(data)
    content = hashlib.sha256(data).hexdigest()[:8]

    (post,) = posts(folder)

    assert (post.id, post.file_url) == (f"films:a.avi#{content}", None)


def test_hostile_films_never_raise(folder: Path, target: Path) -> None:
    """Bytes changed anywhere: whatever is listed twice is the same, and is fetched or refused with a reason."""
    chance = random.Random(12)
    films = [Film(seed=12, scenes=2, scene_s=0.4, size=(160, 90), **way) for way in ({}, {"codec": "mpeg4"})]
    good = [film.make(folder / name).path.read_bytes() for film, name in zip(films, ("x.mp4", "y.avi"), strict=True)]
    for path in folder.iterdir():
        path.unlink()
    for turn in range(24):
        data = bytearray(good[turn % 2])
        for _ in range(chance.choice([1, 10, 100])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        (folder / ("a.mp4" if turn % 2 == 0 else "a.avi")).write_bytes(data)
        listed = posts(folder, every_s=0.2)
        films_now = source(folder)

        assert listed == posts(folder, every_s=0.2)
        answers = [films_now.fetch(post, target, 10**8) for post in listed if post.file_url]
        assert all(isinstance(one, Fetched) or one.reason is Reason.CORRUPT for one in answers)


def test_a_frame_of_too_many_pixels_is_not_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header's word is enough."""
    Film(scenes=1, scene_s=0.2).make(folder / "a.mp4")
    monkeypatch.setattr(video, "MAX_PIXELS", 320 * 180 - 1)

    assert [post.file_url for post in posts(folder)] == [None]


@pytest.mark.parametrize("name", ["nowhere", "empty", "notes.txt"])
def test_no_film_at_all_is_one_line(tmp_path: Path, name: str) -> None:
    """A wrong path is a wrong order."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")

    with pytest.raises(UsageError, match=rf"{name}: (is no folder and|holds) no film \(.avi, .*'films'") as caught:
        posts(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_one_film_and_a_folder_of_it_are_alike(folder: Path) -> None:
    """The path may name the film itself; hidden films and other files are left out."""
    path = Film(scenes=1, scene_s=0.2).make(folder / "a.MP4").path
    (folder / ".hidden.mp4").write_bytes(path.read_bytes())
    (folder / "a.txt").write_text("x")

    assert posts(path) == posts(folder)


class Watched(VideoSource):
    """Says which films were decoded."""

    def _times(self, file: Path) -> list[int]:
        DECODED.append(file.name)
        return super()._times(file)


DECODED: list[str] = []


def turn(films: VideoSource, catalog: Catalog) -> list[str]:
    """List as a run does; gives the ids that the catalog holds then."""
    there: set[str] = set()
    for page in films.pages(catalog.cursor(films.listing)):
        catalog.add_page(films.listing, page.posts, page.cursor)
        there.update(post.id for post in page.posts)
    catalog.keep_only(films.listing, there)
    return [post.id for post in catalog.posts(films.listing)]


def test_a_film_is_decoded_once(folder: Path, sqlite_catalog: Catalog) -> None:
    """Unchanged or only copied it is remembered; changed it is looked at again; taken away its posts go."""
    DECODED.clear()
    films = Watched(name="films", path=folder)
    for number in (1, 2):
        Film(seed=number, scenes=2, scene_s=0.4).make(folder / f"{number}.mp4")
    first = turn(films, sqlite_catalog)
    again = turn(films, sqlite_catalog)
    os.utime(folder / "1.mp4", (1e9, 1e9))
    touched = turn(films, sqlite_catalog)

    assert (len(first), first == again == touched, DECODED) == (4, True, ["1.mp4", "2.mp4"])

    Film(seed=3, scenes=1, scene_s=0.4).make(folder / "1.mp4")
    (folder / "2.mp4").unlink()
    changed = turn(films, sqlite_catalog)

    assert DECODED == ["1.mp4", "2.mp4", "1.mp4"]
    assert len(changed) == 1
    assert not set(changed) & set(first)


def test_other_rules_are_another_listing(folder: Path) -> None:
    """What chooses frames is in its name; what only cuts them is not."""
    assert source(folder).listing != source(folder, every_s=2.0).listing
    assert source(folder).listing == source(folder, halves=True, limit=3).listing


def test_keeps_to_the_limit(folder: Path) -> None:
    """Over all films; the last page says that everything was listed."""
    for number in (1, 2):
        Film(seed=number, scenes=2, scene_s=0.4).make(folder / f"{number}.mp4")

    assert len(posts(folder, limit=3)) == 3
    assert list(source(folder).pages(None))[-1] == Page((), None)


def _remove(path: Path) -> None:
    path.unlink()


def _change(path: Path) -> None:
    Film(seed=99, scenes=1, scene_s=0.4).make(path)


@pytest.mark.parametrize(("change", "reason"), [(_remove, Reason.GONE), (_change, Reason.WRONG_MD5)])
def test_a_film_that_changed_meanwhile_is_refused(
    folder: Path, target: Path, change: Callable[[Path], None], reason: Reason
) -> None:
    """Between listing and fetching anything may happen, even while it is open; nothing is left behind."""
    path = Film(seed=1, scenes=1, scene_s=0.4).make(folder / "a.mp4").path
    films = source(folder)
    (post,) = (post for page in films.pages(None) for post in page.posts)
    fetched(films, post, target)
    target.unlink()
    change(path)

    answer = films.fetch(post, target, 10**8)

    assert isinstance(answer, Refused)
    assert answer.reason is reason
    assert list(target.parent.iterdir()) == []


def test_a_frame_larger_than_allowed_is_refused(folder: Path, target: Path) -> None:
    """As any other file."""
    Film(scenes=1, scene_s=0.2).make(folder / "a.mp4")
    films = source(folder)
    (post,) = (post for page in films.pages(None) for post in page.posts)

    assert films.fetch(post, target, 1000) == Refused(Reason.TOO_LARGE)
    assert list(target.parent.iterdir()) == []


def test_threads_fetch_what_was_listed(folder: Path, tmp_path: Path, sqlite_catalog: Catalog) -> None:
    """Through the stage: every frame is an image in the store, upright and whole, whichever thread brought it."""
    for number in (1, 2):
        Film(seed=number, scenes=3, scene_s=0.5).make(folder / f"{number}.mkv")
    films = source(folder, halves=True)
    listed = [post for page in films.pages(None) for post in page.posts]
    store = Store(tmp_path / "store")
    stage = make.fetch_files(tmp_path, {"films": films})

    report, images = run_stage(stage, listed, sqlite_catalog, store, lambda *_: None)

    assert (report.kept, report.dropped) == (18, {})
    whole = [image for image in images if image.width == 320]
    assert len(whole) == 6
    for image in whole:
        path = folder / image.post_id.split(":")[1].partition("@")[0]
        at = int(image.post_id.partition("@")[2][:8])
        assert np.array_equal(pixels.decode(store.get(image.sha256), max_pixels=10**6), decoded(path)[at])


def test_faces_of_a_shared_opening_are_kept_once(folder: Path, tmp_path: Path) -> None:
    """Two episodes, one opening: dedup keeps each of its faces once, and every other face."""
    from pipeline.crop import CropFaces
    from pipeline.dedup import DropNearDuplicates
    from pipeline.records import Detection
    from pipeline.workers import Workers

    films = {
        n: Film(seed=n, series=3, scenes=1, scene_s=0.5, size=(480, 270)).make(folder / f"{n}.mp4") for n in (1, 2)
    }
    frames = source(folder)
    store = Store(tmp_path / "store")
    stage = make.fetch_files(tmp_path, {"films": frames}, threads=2)
    listed = [post for page in frames.pages(None) for post in page.posts]
    images = [outcome.outputs[0] for outcome in stage(listed, store) if isinstance(outcome, Kept)]
    detections = []
    opening: set[str] = set()
    for image in images:
        number, at = int(image.post_id[6]), int(image.post_id.partition("@")[2][:8])
        scene = max((one for one in films[number].scenes if one.start_s * 1000 <= at + 1), key=lambda one: one.start_s)
        for face in scene.faces:
            one = Detection(image_sha256=image.sha256, box=face.box, detector="animeface", score=0.9)
            detections.append(one)
            if scene.opening:
                opening.add(one.id)
    workers = Workers(1, timeout_s=60.0)
    crop = CropFaces(zoom=1.5, size=64, max_padding=1.0, max_pixels=10**7, workers=workers)
    crops = [one for outcome in crop(detections, store) if isinstance(outcome, Kept) for one in outcome.outputs]
    workers.close()
    by_sha: dict[str, Image] = {image.sha256: image for image in images}

    outcomes = list(DropNearDuplicates(images=by_sha)(crops, store))

    kept = [outcome.outputs[0] for outcome in outcomes if isinstance(outcome, Kept)]
    assert len(images) == 6
    assert len(crops) == len(detections)
    assert len([one for one in kept if one.id in opening]) * 2 == len(opening)
    assert len(kept) == len(crops) - len(opening) // 2


def test_the_halves_of_a_frame_are_of_its_family(folder: Path, tmp_path: Path) -> None:
    """Else a face would be trained on in the whole frame and tested on in its half."""
    from pipeline.recipe import load
    from pipeline.run import Build, Settings

    for n in (1, 2):
        Film(seed=n, series=3, scenes=2, scene_s=0.4, size=(640, 360)).make(folder / f"{n}.mp4")
    fields = {"kind": "video", "path": folder, "name": "films", "halves": "true"}
    overrides = [*(f"sources.0.{name}={value}" for name, value in fields.items()), 'detect.detectors=["animeface"]']
    settings = Settings(data=tmp_path / "data", workers=1)
    with Build(load(None, [*overrides, "crop.size=64"]), settings, lambda *_: None, lambda _: None) as build:
        for name in ("list", "select", "scrape", "dedup-images", "detect", "crop", "dedup"):
            build.step(name)
        kept = list(build._items)
        post_of = {image.sha256: image.post_id for image in build._images.values()}

    families: dict[str, set[str]] = {}
    for crop in kept:
        frame = post_of[crop.detection.image_sha256].rpartition("#")[0]
        families.setdefault(frame, set()).add(crop.family)
    assert {post_of[crop.detection.image_sha256][-1] for crop in kept} & {"l", "r"}
    assert all(len(names) == 1 for names in families.values())


def test_the_opening_of_several_episodes_is_one_family(folder: Path, tmp_path: Path) -> None:
    """From films to dedup with a real detector: each face of a shot once, all of them of one family, and no other."""
    from pipeline.recipe import load
    from pipeline.run import Build, Settings

    films = {
        f"{n}.mp4": Film(seed=n, series=3, scenes=2, scene_s=0.6, size=(640, 360)).make(folder / f"{n}.mp4")
        for n in (1, 2, 3)
    }
    fields = {"kind": "video", "path": folder, "name": "films"}
    overrides = [*(f"sources.0.{name}={value}" for name, value in fields.items()), 'detect.detectors=["animeface"]']
    settings = Settings(data=tmp_path / "data", workers=1)
    with Build(load(None, [*overrides, "crop.size=64"]), settings, lambda *_: None, lambda _: None) as build:
        for name in ("list", "select", "scrape", "dedup-images", "detect", "crop", "dedup"):
            build.step(name)
        dropped = {report.stage: report.dropped for report in build.reports}
        kept = list(build._items)
        post_of = {image.sha256: image.post_id for image in build._images.values()}

    shots: dict[tuple[str, int], list[str]] = {}
    for crop in kept:
        name, _, at = post_of[crop.detection.image_sha256].removeprefix("films:").partition("@")
        scenes = films[name].scenes
        number = max(n for n, scene in enumerate(scenes) if scene.start_s * 1000 <= int(at[:8]) + 1)
        shots.setdefault(("" if scenes[number].opening else name, number), []).append(crop.family)
    opening = {number: families for (name, number), families in shots.items() if not name}
    assert {number: len(families) for number, families in opening.items()} == {
        number: len(scene.faces) for number, scene in enumerate(films["1.mp4"].scenes) if scene.opening
    }
    assert dropped["dedup-images"] == {"duplicate": 2 * len(opening)}
    assert all(len(set(families)) == 1 for families in shots.values())
    assert len({families[0] for families in shots.values()}) == len(shots) == 2 + 3 * 2


class Timeless(video._Film):
    """A film whose decoder says little about time, as that of a damaged or raw one."""

    def _decoded(self) -> Iterator[Any]:
        for dts in (None, None, 24, None):
            frame = av.VideoFrame(32, 32, "rgb24")
            frame.time_base = Fraction(1, 12)
            frame.dts = dts
            yield frame


def test_a_frame_without_a_time_follows_the_one_before(folder: Path) -> None:
    """Its pts is None: the decoding time stands in; without that too, a step of the film's own rate."""
    path = Film(scenes=1, scene_s=0.2, rate=25).make(folder / "a.mp4").path

    with Timeless(path) as film:
        assert [at_ms for at_ms, _ in film.frames()] == [0, 40, 2000, 2040]
        assert list(film.frames(counted=False)) == []


def test_a_recipe_names_a_folder_of_films(folder: Path, tmp_path: Path) -> None:
    """A run lists, selects and fetches its frames; the next one does nothing again."""
    from pipeline.recipe import load
    from pipeline.run import Build, Settings

    Film(seed=1, scenes=2, scene_s=0.4).make(folder / "a.mp4")
    overrides = ["sources.0.kind=video", f"sources.0.path={folder}", 'detect.detectors=["animeface"]']
    judged = []
    for _ in range(2):
        with Build(load(None, overrides), Settings(data=tmp_path / "data"), lambda *_: None, print) as build:
            reports = [build.step(name) for name in ("list", "select", "scrape")]
        assert [(report.kept, report.dropped) for report in reports] == [(2, {})] * 3
        judged.append([report.judged for report in reports])

    assert judged == [[2, 2, 2], [0, 0, 0]]


def test_without_pyav_one_line_says_how_to_get_it(folder: Path) -> None:
    """Everything else works without it; importing the source needs it not."""
    Film(scenes=1, scene_s=0.2).make(folder / "a.mp4")
    code = (
        "import sys; sys.modules['av'] = None\n"
        "from pathlib import Path\n"
        "from pipeline.errors import WorldError\n"
        "from pipeline.sources.video import VideoSource\n"
        f"try: list(VideoSource(name='films', path=Path({str(folder)!r})).pages(None))\n"
        "except WorldError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert said == "films are read by PyAV, which is missing; pip install 'kaoset[video]'\n"
