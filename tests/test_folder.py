"""One run of a recipe at a time, and none that only seems to go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.folder import DataFolder


def test_one_run_at_a_time(tmp_path: Path) -> None:
    """A second run on the same folder is told who is there; afterwards the folder is free."""
    folder = DataFolder(tmp_path)
    with folder.lock("a"), pytest.raises(StoreError, match="another run of a works on it"):
        folder.lock("a")

    folder.lock("a").close()


def test_a_run_is_at_work_as_long_as_it_lives(tmp_path: Path) -> None:
    """By its lock, which dies with it; the catalog of a killed run still says that it runs."""
    folder = DataFolder(tmp_path)

    with folder.lock("a"):
        assert (folder.at_work("a"), folder.at_work("b")) == (True, False)
    assert not folder.at_work("a")


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    """A file in the folder's place says what to do."""
    (tmp_path / "data").write_text("in the way")

    with pytest.raises(StoreError, match="choose another --data"):
        DataFolder(tmp_path / "data").lock("a")
