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
from command import Flow, know_prefect

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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Served:
    """`flow serve` in a process of its own, with a data folder and a port, or with a server that runs already."""

    def __init__(self, data: Path, *options: str, **environment: str) -> None:
        port = _free_port()
        self.data, self.api = data, environment.get("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
        short = ("-p", "train.kimg=0.02", "-p", "train.batch=8", "-p", "train.measure=0")
        options = ("--every", "20s", "--port", str(port), *short, *options)
        self.log = data.with_suffix(".log")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows", "serve", "sandbox", "--data", data, *options],
            env={**os.environ, "KAOSET_SANDBOX_POSTS": str(POSTS), **environment},
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
def served(tmp_path_factory: pytest.TempPathFactory, prefect: Path) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("serve") / "data"
    know_prefect(data / ".prefect", prefect)
    running = Served(data)
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


class Elsewhere:
    """A Prefect server that was there before, and what a machine with a GPU runs beside it, in a folder of its own."""

    def __init__(self, home: Path) -> None:
        port = _free_port()
        self.api, self.home, self.log = f"http://127.0.0.1:{port}/api", home, home / "worker.log"
        others = {key: value for key, value in os.environ.items() if not key.startswith(("KAOSET_", "PREFECT_"))}
        private = {"PREFECT_HOME": str(home / "prefect"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        self.environment = {**others, **private, "DO_NOT_TRACK": "1"}
        server = [sys.executable, "-m", "flows.server", str(port), str(os.getpid())]
        self.processes = [subprocess.Popen(server, env=self.environment, stderr=subprocess.DEVNULL)]
        self.environment |= {"PREFECT_API_URL": self.api, "PREFECT_WORKER_QUERY_SECONDS": "2"}
        _wait_for("the server", lambda: urllib.request.urlopen(f"{self.api}/health", timeout=2))

    def _prefect(self, *words: str) -> subprocess.Popen[bytes]:
        command = [Path(sys.executable).with_name("prefect"), *words]
        with self.log.open("a") as log:
            return subprocess.Popen(command, cwd=self.home, env=self.environment, stdout=log, stderr=subprocess.STDOUT)

    def make_pool(self, name: str) -> None:
        assert self._prefect("work-pool", "create", name, "--type", "process").wait(60) == 0, self.log.read_text()

    def start_worker(self, pool: str) -> None:
        self.processes.append(self._prefect("worker", "start", "--pool", pool))

    def end(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory, prefect: Path) -> Iterator[Elsewhere]:
    home = tmp_path_factory.mktemp("elsewhere")
    know_prefect(home / "prefect", prefect)
    running = Elsewhere(home)
    try:
        yield running
    finally:
        running.end()


@pytest.fixture
def pooled(tmp_path: Path, elsewhere: Elsewhere) -> Iterator[Served]:
    """`flow serve` whose trainings are for the pool `gpu`, which nobody polls yet."""
    elsewhere.make_pool("gpu")
    running = Served(tmp_path / "data", "-p", "train.work_pool=gpu", PREFECT_API_URL=elsewhere.api)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


@pytest.mark.slow
def test_a_worker_of_the_recipes_pool_trains_on_a_release(elsewhere: Elsewhere, pooled: Served) -> None:
    """It needs no path of this machine but the data folder; what `flow serve` runs itself is the build."""
    _wait_for("the deployments", lambda: len(pooled.ask("deployments")) == 2)
    elsewhere.start_worker("gpu")
    _wait_for("a generator", lambda: list(pooled.data.glob("trainings/sandbox-001-*/generator.safetensors")))
    (run,) = _wait_for("its end", lambda: [r for r in pooled.ask("flow_runs") if _is_done(r, "gpu")])
    pooled.process.send_signal(signal.SIGINT)
    pooled.process.wait(60)

    train = next(one for one in pooled.ask("deployments") if one["name"] == "on-release")
    assert run["parameters"] == {
        "release": str(pooled.data / "releases" / "sandbox" / "001"),
        "data": str(pooled.data),
    }
    assert f"submitting flow run '{run['id']}'" in " ".join(elsewhere.log.read_text().split())
    assert not train["paused"]  # a release that another machine publishes is still trained on
    assert (train["entrypoint"], train["path"]) == ("flows.orchestrate.train_gan", None)
    assert train["global_concurrency_limit"]["limit"] == 1
    assert train["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"  # else it is taken for a zombie
    assert f"`PREFECT_API_URL={elsewhere.api} prefect worker start --pool gpu`" in pooled.log.read_text()


def _is_done(run: dict[str, Any], pool: str) -> bool:
    return run["work_pool_name"] == pool and run["state_type"] == "COMPLETED"


@pytest.mark.slow
def test_a_pool_that_is_not_there_is_refused(flow: Flow, elsewhere: Elsewhere) -> None:
    """The message makes it."""
    answer = flow("serve", "sandbox", "-p", "train.work_pool=tpu", PREFECT_API_URL=elsewhere.api)

    make = "make it with `prefect work-pool create tpu --type process`"
    assert (answer.code, answer.complaint) == (2, f"train.work_pool tpu: {elsewhere.api} has no such pool; {make}")


def test_a_pool_needs_a_server_that_others_reach(flow: Flow) -> None:
    """Ours listens to this machine alone, and ends with Ctrl-C."""
    answer = flow("serve", "sandbox", "-p", "train.work_pool=gpu")

    assert answer.code == 2
    assert "`prefect server start --host 0.0.0.0`" in answer.complaint


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
