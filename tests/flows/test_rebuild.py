"""`flow rebuild`: a person shares a manifest, another gets the release, whatever happens on the way."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import POSTS, Built, Flow

from pipeline.sandbox import board
from pipeline.sandbox.posts import Sandbox


@pytest.fixture
def shared(built: Built, tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    for name in ("data_manifest.csv", "recipe.toml", "report.json"):
        shutil.copy(built.release / name, tmp_path / "shared" / name)
    return tmp_path / "shared" / "data_manifest.csv"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_killed_one_goes_on(
    built: Built, shared: Path, flow: Flow, tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    """No half release is seen, and the same command makes the whole one, byte for byte."""
    drawn = Sandbox.load(next((built.data / "sandbox").glob("board-*")))
    with board.serve(drawn, faults=True) as served:
        words = ("rebuild", shared, "--data", tmp_path / "mine", "--workers", "1")
        process = flow.start(*words, KAOSET_SANDBOX_URL=served.url)
        wait_for(lambda: len(list((tmp_path / "mine").glob("store/??/??/*"))) > 5, process)
        process.kill()
        process.communicate()
        assert list((tmp_path / "mine").glob("releases/*/[0-9]*")) == []

        answer = flow(*words, KAOSET_SANDBOX_URL=served.url)

    assert answer.code == 0, answer.err
    assert files(tmp_path / "mine" / "releases" / "sandbox" / "001") == files(built.release)


def test_what_is_missing_is_a_failure_that_says_so(built: Built, shared: Path, flow: Flow, tmp_path: Path) -> None:
    """A table of posts and reasons, a file with all of them, and the exit code 1; --out takes the rest."""
    drawn = Sandbox.load(next((built.data / "sandbox").glob("board-*")))
    shutil.copytree(drawn.folder, tmp_path / "board")
    lost = next(post for post in drawn.posts if f"sandbox:{post.number}," in shared.read_text())
    (tmp_path / "board" / "files" / lost.file).unlink()
    with board.serve(Sandbox(tmp_path / "board", drawn.posts)) as served:
        words = ("rebuild", shared, "--data", tmp_path / "mine", "--out", tmp_path / "out", "--workers", "1")
        answer = flow(*words, KAOSET_SANDBOX_URL=served.url)

    assert answer.code == 1
    assert "could not be had" in answer.err.splitlines()[-1]  # on a slow machine it tells how far it is, before
    assert f"sandbox:{lost.number}" in answer.out
    assert "gone" in (tmp_path / "out" / "sandbox" / "missing-001.csv").read_text()
    assert flow("verify", tmp_path / "out" / "sandbox" / "001").code == 0
    assert len(drawn.posts) == POSTS


def test_a_file_that_is_no_manifest_is_wrong_use(flow: Flow, tmp_path: Path) -> None:
    """One line, before anything is made."""
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")

    for words in (("rebuild", "a.csv"), ("rebuild", "nowhere.csv"), ("rebuild", ".")):
        answer = flow(*words)
        assert (answer.code, bool(answer.complaint)) == (2, True)
    assert not (tmp_path / "data").exists()
