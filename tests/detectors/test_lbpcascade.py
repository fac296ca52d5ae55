"""The cascade file is found, checked, fetched once, and finds faces."""

from __future__ import annotations

import hashlib
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pipeline.detectors import build, lbpcascade
from pipeline.detectors.lbpcascade import OWN, LbpCascade, fetch, find
from pipeline.errors import DetectorError, UsageError
from pipeline.pixels import fit
from pipeline.records import Box
from pipeline.sandbox.draw import draw_portrait

ROOT = Path(__file__).parents[2]
SHARED = Path(__file__).parents[3] / "shared" / "cascades"


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real file, where it lies beside the project."""
    if not (SHARED / "lbpcascade_animeface.xml").exists():
        pytest.skip("the cascade is third-party data and is not here")
    monkeypatch.setenv("KAOSET_CASCADES", str(SHARED))


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KAOSET_CASCADES", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A file host on loopback that serves the folder `host`."""
    (tmp_path / "host").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "host"))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def register(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, content: bytes) -> None:
    """Point the registry at a file of our own."""
    registry = tmp_path / "registry.toml"
    registry.write_text(
        f"[lbpcascade_animeface]\nfile = 'c.xml'\nurl = '{url}'\nsha256 = '{hashlib.sha256(content).hexdigest()}'\n"
        "detector = 'lbpcascade'\nscale_factor = 1.1\nmin_neighbours = 2\n"
    )
    monkeypatch.setattr(lbpcascade, "_REGISTRY", registry)


def test_names_what_to_do_without_it() -> None:
    """Without the file, one line says how to get it."""
    with pytest.raises(DetectorError, match=r"not there .*flow cascades fetch.*KAOSET_CASCADES") as caught:
        find()

    assert "\n" not in str(caught.value)


def test_refuses_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of that name with other bytes is not used."""
    (tmp_path / "lbpcascade_animeface.xml").write_text("<opencv_storage/>")
    monkeypatch.setenv("KAOSET_CASCADES", str(tmp_path))

    with pytest.raises(DetectorError, match="not the cascade that it should be"):
        find()


def test_refuses_a_malformed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that OpenCV cannot read is said to be so."""
    register(monkeypatch, tmp_path, "http://127.0.0.1:1/c.xml", b"<opencv_storage><cascade>")
    (tmp_path / "c.xml").write_bytes(b"<opencv_storage><cascade>")
    monkeypatch.setenv("KAOSET_CASCADES", str(tmp_path))

    with pytest.raises(DetectorError, match="OpenCV cannot read it"):
        LbpCascade.ready()


def test_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """The first time it comes over the network; then it is there, also without one."""
    register(monkeypatch, tmp_path, f"{host}/c.xml", b"a cascade")
    (tmp_path / "host" / "c.xml").write_bytes(b"a cascade")

    first = fetch()
    (tmp_path / "host" / "c.xml").unlink()

    assert first.read_bytes() == b"a cascade"
    assert fetch() == find() == first


@pytest.mark.parametrize("served", [None, b"another file"])
def test_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, served: bytes | None) -> None:
    """A host without it, or with another file in its place, is one clear line, and nothing is kept."""
    register(monkeypatch, tmp_path, f"{host}/c.xml", b"a cascade")
    if served is not None:
        (tmp_path / "host" / "c.xml").write_bytes(served)

    with pytest.raises(DetectorError, match="cannot be fetched") as caught:
        fetch()

    assert "\n" not in str(caught.value)
    with pytest.raises(DetectorError, match="not there"):
        find()


@pytest.mark.usefixtures("real")
def test_sees_drawn_faces() -> None:
    """Of six drawn characters it finds most, where they are; the score follows from the windows that agree."""
    detector = LbpCascade.ready()
    drawings = [draw_portrait((7, number)) for number in range(6)]

    seen = [detector.detect(fit(np.asarray(one.picture), 640)) for one in drawings]

    right = [
        face
        for one, faces in zip(drawings, seen, strict=True)
        for face in faces
        if face.box.overlap(reduced(one.truth.faces[0].box, max(one.picture.size))) > 0.5
    ]
    assert len(right) >= 4
    assert all(face.neighbours and face.score == face.neighbours / (face.neighbours + 5) for face in right)


def reduced(box: Box, longer: int) -> Box:
    sides = (round(side * min(1, 640 / longer)) for side in (box.left, box.top, box.width, box.height))
    return Box(**dict(zip(("left", "top", "width", "height"), sides, strict=True)))


@pytest.mark.usefixtures("real")
def test_sees_nothing_where_nothing_is() -> None:
    """A plain colour holds no face, and neither does a picture smaller than the window."""
    detector = LbpCascade.ready()

    assert detector.detect(np.zeros((200, 200, 3), np.uint8)) == []
    assert detector.detect(np.zeros((5, 5, 3), np.uint8)) == []


def test_an_unknown_detector() -> None:
    """A name that is not in the table is answered with those that are."""
    with pytest.raises(UsageError, match="animeface, lbpcascade"):
        build("dlib")


# --- the one that comes with kaoset -----------------------------------------------------------------------------------


def test_our_own_needs_nothing_to_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lies beside the registry with the checksum that stands there, whatever folder is named for the other."""
    monkeypatch.setenv("KAOSET_CASCADES", str(tmp_path))

    found = find(OWN)

    assert found == lbpcascade._REGISTRY.parent / "drawn_faces.xml"
    assert build(OWN).name == OWN


def test_our_own_says_how_it_was_made() -> None:
    """The command that makes the same file again stands in its first lines, and it is small."""
    text = find(OWN).read_text("utf-8")

    assert "\nflow run train-cascade sandbox" in text[:500]
    assert len(text) < 60_000


def test_our_own_that_was_changed_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says so, and what to do."""
    (tmp_path / "registry.toml").write_bytes(lbpcascade._REGISTRY.read_bytes())
    (tmp_path / "drawn_faces.xml").write_bytes(find(OWN).read_bytes() + b"\n")
    monkeypatch.setattr(lbpcascade, "_REGISTRY", tmp_path / "registry.toml")

    with pytest.raises(DetectorError, match=r"not the cascade that it should be .*install kaoset again"):
        LbpCascade.ready(OWN)


def test_our_own_sees_drawn_faces() -> None:
    """Of 20 characters that it did not learn from it finds nearly all, and little else."""
    detector = LbpCascade.ready(OWN)
    right = wrong = 0
    for number in range(20):
        drawn = draw_portrait((7, number))
        face = reduced(drawn.truth.faces[0].box, max(drawn.picture.size))
        seen = detector.detect(fit(np.asarray(drawn.picture), 640))
        hits = [one for one in seen if one.box.overlap(face) > 0.4]
        right, wrong = right + bool(hits), wrong + len(seen) - len(hits)

    assert right >= 19
    assert wrong <= 4


def test_an_installed_kaoset_has_it() -> None:
    """The folder of cascades is packed with its files: in a wheel it lies beside the packages."""
    packing = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]

    assert "cascades" in packing["packages"]["find"]["include"]
    assert {"*.toml", "*.xml"} <= set(packing["package-data"]["*"])
    assert find(OWN).parent == Path(lbpcascade.__file__).parents[2] / "cascades"
