"""pipeline.claims: what several runs must not do at once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.claims import Claims
from pipeline.errors import StoreError

OTHER = """
import sys, threading, time
from pathlib import Path
from pipeline.claims import Claims
with Claims(Path(sys.argv[1])).held(sys.argv[2], threading.Event()):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, that has claimed "one"."""
    command = [sys.executable, "-c", OTHER, str(tmp_path / "claims"), "one"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()
    if process.stdin is not None:
        process.stdin.close()


def claims(folder: Path) -> Claims:
    return Claims(folder / "claims")


def test_a_claim_of_another_run_is_waited_for(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    """Until it is given back."""
    threading.Timer(0.3, lambda: other.stdin and other.stdin.close()).start()

    with claims(tmp_path).held("one", threading.Event()) as mine:
        assert mine
        assert other.wait(10) == 0


def test_a_claim_dies_with_its_process(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    """However it dies."""
    other.kill()

    with claims(tmp_path).held("one", threading.Event()) as mine:
        assert mine


def test_another_name_is_free(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    """A claim is on one thing."""
    with claims(tmp_path).held("two", threading.Event()) as mine:
        assert mine
        assert other.poll() is None


def test_who_is_stopped_waits_no_longer(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    """And claims nothing."""
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()

    with claims(tmp_path).held("one", stop) as mine:
        assert not mine
        assert other.poll() is None


def test_threads_of_one_run_exclude_each_other_too(tmp_path: Path) -> None:
    """The kernel does not tell them apart; we do."""
    shared, inside, most = claims(tmp_path), 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with shared.held("one", threading.Event()):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.02)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == 1


def test_a_folder_that_cannot_be_written_is_the_worlds_fault(tmp_path: Path) -> None:
    """In one line."""
    (tmp_path / "data").write_text("in the way")

    with pytest.raises(StoreError, match="data"), Claims(tmp_path / "data" / "claims").held("one", threading.Event()):
        pass
