"""What is known of a crop is a few finite numbers, and what it looks like is kept on the disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import make
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import StoreError
from pipeline.review import features
from pipeline.review.features import DIM, NAMES, SCORE, Embeddings, cheap, embed


def columns(count: int = 2, **more: Any) -> dict[str, NDArray[Any]]:
    usual = {
        "score": 0.5, "agreed": True, "seen": 2, "side": 300.0, "share": 0.2, "x": 0.5, "y": 0.4, "faces": 1,
        "sharpness": 500.0, "contrast": 50.0, "chroma": 20.0, "padded": 0.0, "turned": 0.0,
    }  # fmt: skip
    return {name: np.full(count, value) for name, value in {**usual, **more}.items()}


def picture(seed: int = 0, side: int = 128) -> NDArray[np.uint8]:
    """Some large spots."""
    spots = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return spots.repeat(side // 8, axis=0).repeat(side // 8, axis=1)


def vector(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=DIM).astype(np.float16).astype(np.float32)


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_a_score_becomes_log_odds() -> None:
    """One that says nothing is 0, and one is as far above it as its opposite is below."""
    values = cheap({**columns(3), "score": np.array([0.1, 0.5, 0.9], np.float32)})[:, SCORE]

    assert values == pytest.approx([-2.197, 0.0, 2.197], abs=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 1.0, -5.0, 1e30])
@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_written_down_comes_out_finite(name: str, value: float) -> None:
    """A number that is missing, or senseless, spoils no order; and none is far larger than the others."""
    values = cheap({**columns(), name: np.full(2, value, np.float32)})

    assert values.shape == (2, len(NAMES))
    assert values.dtype == np.float32
    assert (np.abs(values) <= 15).all()


def test_no_crops_have_no_numbers() -> None:
    """An empty queue is no error."""
    assert cheap(columns(0)).shape == (0, len(NAMES))


# --- looks ------------------------------------------------------------------------------------------------------------


def test_looks_do_not_depend_on_the_size_of_the_crop() -> None:
    """The same picture at another size is nearly the same vector; another picture is another one."""
    large, small, other = embed(picture(1, 256)), embed(picture(1, 64)), embed(picture(2, 256))

    assert large.shape == (DIM,)
    assert np.abs(large - small).max() < 0.2 * np.abs(large - other).max()


def test_looks_are_kept_as_they_are_on_every_machine() -> None:
    """The formula is fixed: these numbers were written down, and stay until EMBEDDING is raised."""
    looks = embed(picture(7))

    assert features.EMBEDDING == 1
    assert looks[[0, 1, 40, 100, 143]] == pytest.approx([6.846, 1.0025, -0.4756, -0.2898, -0.035], abs=1e-3)


def test_a_picture_of_one_colour_has_looks_too() -> None:
    """Nothing is to be seen in it, which is no division by zero."""
    assert np.isfinite(embed(np.full((64, 64, 3), 200, np.uint8))).all()


# --- on the disk ------------------------------------------------------------------------------------------------------


def test_what_was_put_is_found(tmp_path: Path) -> None:
    """Also when the folder is opened again; what was never put is all NaN."""
    known, unknown = make.sha256(1), make.sha256(2)
    first = Embeddings(tmp_path)
    first.put(known, vector(1))
    at_once = first.get([unknown, known])
    first.close()

    later = Embeddings(tmp_path).get([unknown, known])

    for found in (at_once, later):
        assert np.isnan(found[0]).all()
        assert np.array_equal(found[1], vector(1))


def test_an_empty_folder_knows_nothing(tmp_path: Path) -> None:
    """Asking for nothing gives nothing."""
    empty = Embeddings(tmp_path / "new")

    assert len(empty) == 0
    assert np.isnan(empty.get([make.sha256(1)])).all()
    assert empty.get([]).shape == (0, DIM)


def test_many_are_found_in_the_order_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they are read from the disk, or still held in memory."""
    monkeypatch.setattr(features, "_LATE", 7)
    names = [make.sha256(number) for number in range(40)]
    kept = Embeddings(tmp_path)
    for number, name in enumerate(names):
        kept.put(name, vector(number))

    found = kept.get(names[::-1])

    assert len(kept) == 40
    assert np.array_equal(found, np.stack([vector(number) for number in reversed(range(40))]))


@pytest.mark.parametrize("torn", [1, 31, 32, 200])
def test_a_row_that_a_kill_tore_is_cut_off(tmp_path: Path, torn: int) -> None:
    """What stood before it is found, and what is put after it."""
    first = Embeddings(tmp_path)
    first.put(make.sha256(1), vector(1))
    first.close()
    with (tmp_path / "looks").open("ab") as file:
        file.write(b"x" * torn)

    again = Embeddings(tmp_path)
    again.put(make.sha256(2), vector(2))
    again.close()

    found = Embeddings(tmp_path).get([make.sha256(1), make.sha256(2)])
    assert np.array_equal(found, np.stack([vector(1), vector(2)]))


def test_a_killed_process_leaves_whole_rows(tmp_path: Path) -> None:
    """It writes until it is killed; all that it leaves is as it was put."""
    script = (
        "import sys, numpy as np; from pathlib import Path; from pipeline.review.features import DIM, Embeddings\n"
        "kept = Embeddings(Path(sys.argv[1]))\n"
        "for number in range(10**9):\n"
        "    kept.put(f'{number:016x}' + '0' * 48, np.full(DIM, number % 1000, np.float32))\n"
        "    if number == 200: print('go', flush=True)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    writer.kill()
    writer.wait()
    writer.stdout.close()

    kept = Embeddings(tmp_path)
    found = kept.get([f"{number:016x}" + "0" * 48 for number in range(len(kept))])

    assert len(kept) > 200
    assert np.array_equal(found, np.repeat(np.arange(len(kept))[:, None] % 1000, DIM, axis=1))


def test_looks_of_another_version_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They were made by another formula, so the file begins anew."""
    old = Embeddings(tmp_path)
    old.put(make.sha256(1), vector(1))
    old.close()
    monkeypatch.setattr(features, "_HEAD", b"kaoset look 0002")

    new = Embeddings(tmp_path)
    new.put(make.sha256(2), vector(2))

    found = new.get([make.sha256(1), make.sha256(2)])
    assert np.isnan(found[0]).all()
    assert np.array_equal(found[1], vector(2))


def test_a_second_window_keeps_what_it_sees_to_itself(tmp_path: Path) -> None:
    """One writes; the other reads what was there, and both know what they have put themselves."""
    first = Embeddings(tmp_path)
    first.put(make.sha256(1), vector(1))
    second = Embeddings(tmp_path)
    second.put(make.sha256(2), vector(2))

    found = second.get([make.sha256(1), make.sha256(2)])

    assert np.array_equal(found, np.stack([vector(1), vector(2)]))
    second.close()
    assert np.isnan(first.get([make.sha256(2)])).all()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """With its name, and what to do."""
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="looks: cannot be written"):
        Embeddings(tmp_path / "file" / "looks")


def test_a_full_disk_tears_no_row(tmp_path: Path) -> None:
    """What did not fit is said and known for now; what is put when there is room again is kept."""
    script = (
        "import resource, sys, numpy as np; from pathlib import Path\n"
        "from pipeline.errors import StoreError; from pipeline.review.features import DIM, Embeddings\n"
        "kept, names = Embeddings(Path(sys.argv[1])), [str(number) * 64 for number in range(3)]\n"
        "kept.put(names[0], np.zeros(DIM, np.float32))\n"
        "no_limit = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, no_limit[1]))\n"
        "try: kept.put(names[1], np.ones(DIM, np.float32))\n"
        "except StoreError as error: print(error)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, no_limit)\n"
        "kept.put(names[2], np.full(DIM, 2, np.float32))\n"
        "print(kept.get(names)[:, 0].tolist())\n"
    )

    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)

    said, found = done.stdout.splitlines()
    assert "looks: cannot be written" in said
    assert found == "[0.0, 1.0, 2.0]"
    assert len(Embeddings(tmp_path)) == 2
