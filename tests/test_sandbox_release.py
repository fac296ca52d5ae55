"""The demo's dataset, built once as `make demo` builds it, held against what was drawn and against the repository."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import truth
from pipeline.catalog import Catalog
from pipeline.sandbox.posts import Kind, Sandbox

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "data"
    options = ["--data", folder, "--no-train", "--no-prefect", "--workers", "2"]
    subprocess.run([sys.executable, "-m", "flows", "run", "build-dataset", "sandbox", *options], check=True)
    return folder


@pytest.fixture(scope="module")
def catalog(data: Path) -> Iterator[Catalog]:
    opened = Catalog(data / "catalog.sqlite")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def sandbox(data: Path) -> Sandbox:
    return Sandbox.load(next((data / "sandbox").glob("board-*")))


def test_the_manifest_of_the_repository_is_the_one_that_comes_out(data: Path) -> None:
    """Byte for byte; after a wished-for change `make manifest` writes it anew."""
    made = (data / "releases" / "sandbox" / "001" / "data_manifest.csv").read_bytes()

    assert made == (ROOT / "data_manifest.csv").read_bytes()


def test_what_is_accepted_without_a_person_are_faces(catalog: Catalog, sandbox: Sandbox) -> None:
    """At least 97 of 100 accepted boxes are drawn faces, and at least 93 of 100 drawn faces are accepted."""
    score = truth.faces(catalog, sandbox, least=0.9, least_agreed=0.5)

    assert score.precision >= 0.97
    assert score.recall >= 0.93


def test_near_copies_are_grouped_and_nothing_else(catalog: Catalog, sandbox: Sandbox) -> None:
    """At least 90 of 100 planted copies, and no two different pictures."""
    together, copies, wrong = truth.duplicates(catalog, sandbox)

    assert copies >= 50
    assert together >= 0.9 * copies
    assert wrong == []


def test_every_planted_bad_post_is_dropped_for_the_right_reason(catalog: Catalog, sandbox: Sandbox) -> None:
    """None of them reaches the release. Decoys are no bad posts: those that fool animeface count against precision."""
    right, wrong = truth.reasons(catalog, sandbox, leave_out={Kind.DECOY})

    assert wrong == []
    assert right[Kind.BOMB] == len(sandbox.kinds[Kind.BOMB]) > 0
