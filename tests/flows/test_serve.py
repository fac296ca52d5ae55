from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.jobs import schedule_of
from pipeline.errors import UsageError

POSTS = 16


def _wait_for(what: str, true: Callable[[], Any], seconds: float = 150) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            answer = true()
        except OSError:
            answer = None
        if answer:
            return answer
        time.sleep(0.5)
    pytest.fail(f"waited {seconds} s in vain for {what}")


class Served:
    """`flow serve` in a process of its own, with a data folder and a port."""

    def __init__(self, data: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.data, self.api = data, f"http://127.0.0.1:{port}/api"
        options = ["--every", "20s", "--port", str(port), "-p", "train.kimg=1", "-p", "train.batch=8"]
        self.log = data.with_suffix(".log")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows", "serve", "sandbox", "--data", data, *options],
            env={**os.environ, "KAOSET_SANDBOX_POSTS": str(POSTS)},
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
        )

    def ask(self, path: str) -> list[dict[str, Any]]:
        request = urllib.request.Request(
            f"{self.api}/{path}/filter", data=b"{}", headers={"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            rows: list[dict[str, Any]] = json.load(answer)
        return rows


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = Served(tmp_path_factory.mktemp("serve") / "data")
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


@pytest.mark.slow
def test_scheduled_runs_appear(served: Served) -> None:
    """The schedule creates runs ahead; with SQLAlchemy 2.1 it would create none."""
    runs = _wait_for("scheduled runs", lambda: [r for r in served.ask("flow_runs") if r["state_type"] == "SCHEDULED"])

    assert len(runs) >= 3


@pytest.mark.slow
def test_a_new_run_does_not_overtake_a_running_one(served: Served) -> None:
    """One run at a time; the next one is cancelled, for it would find the same new posts."""
    found = _wait_for("the deployments", lambda: len(served.ask("deployments")) == 2 and served.ask("deployments"))
    build = next(one for one in found if one["name"] == "sandbox")

    assert build["global_concurrency_limit"]["limit"] == 1
    assert build["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


@pytest.mark.slow
def test_a_published_release_starts_a_training(served: Served) -> None:
    """Nobody asks for it: the event does."""
    _wait_for("a release", lambda: list(served.data.glob("releases/sandbox/001/data_manifest.csv")))
    _wait_for("a trained generator", lambda: list(served.data.glob("trainings/sandbox-001-*/generator.safetensors")))

    runs = [run for run in served.ask("flow_runs") if run["state_type"] == "COMPLETED"]
    assert {run["name"] for run in runs}


@pytest.mark.slow
def test_ctrl_c_ends_it_and_its_server(served: Served) -> None:
    """The port is free again, and no child is left."""
    served.process.send_signal(signal.SIGINT)

    served.process.wait(30)

    with pytest.raises(urllib.error.URLError):
        served.ask("deployments")
    assert "Traceback" not in served.log.read_text()


@pytest.mark.parametrize(("text", "interval"), [("30m", timedelta(minutes=30)), ("1d", timedelta(days=1))])
def test_an_interval_is_a_number_and_a_unit(text: str, interval: timedelta) -> None:
    """As people write it."""
    assert schedule_of(text, None) == {"interval": interval}


@pytest.mark.parametrize(
    ("every", "cron"), [("6 hours", None), ("0h", None), ("99999999999d", None), ("6h", "0 4 * * *")]
)
def test_a_wrong_schedule_is_refused(every: str, cron: str | None) -> None:
    """The message shows what is right."""
    with pytest.raises(UsageError):
        schedule_of(every, cron)
