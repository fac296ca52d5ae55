from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import know_prefect, use

from flows import server
from pipeline.catalog import Catalog
from pipeline.records import Reason
from pipeline.run import STAGES
from pipeline.stage import Dropped

pytestmark = pytest.mark.slow


def _command(data: Path, *more: str) -> list[str]:
    options = ["--data", str(data), "--sandbox-posts", "16", "--workers", "1", "-p", "train.kimg=0.2"]
    return [sys.executable, "-m", "flows", "run", "build-dataset", "sandbox", *options, *more]


def _rows(data: Path, query: str) -> list[tuple[str, ...]]:
    """Ask Prefect's own database."""
    with sqlite3.connect(data / ".prefect" / "prefect.db") as connection:
        rows: list[tuple[str, ...]] = connection.execute(query).fetchall()
    connection.close()
    return rows


def _children_of(folder: Path) -> list[str]:
    """Every process that has the folder in its environment or its words."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words and int(process.name) != os.getpid():
            found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, prefect: Path) -> Path:
    """A build under Prefect, with its training."""
    data = tmp_path_factory.mktemp("orchestrated") / "data"
    know_prefect(data / ".prefect", prefect)
    subprocess.run(_command(data), check=True, capture_output=True)
    return data


def test_prefect_sees_one_task_a_stage(built: Path) -> None:
    """All of them completed, and all of them written down before the command ended."""
    rows = _rows(built, "SELECT name, state_type FROM task_run ORDER BY start_time")

    assert [name.split("-0")[0] for name, _ in rows] == [*STAGES, "train-gan"]
    assert {state for _, state in rows} == {"COMPLETED"}


def test_training_is_a_flow_of_its_own(built: Path) -> None:
    """Called by the build in a one-shot run."""
    rows = _rows(built, "SELECT flow.name, flow_run.state_type FROM flow_run JOIN flow ON flow.id = flow_run.flow_id")

    assert sorted(rows) == [("build-dataset", "COMPLETED"), ("train-gan", "COMPLETED")]
    assert list(built.glob("trainings/sandbox-001-*/generator.safetensors"))


def test_nothing_is_left_running(built: Path) -> None:
    """Neither the server nor the board nor a worker."""
    assert _children_of(built) == []


def test_with_and_without_prefect_the_release_is_the_same(built: Path, tmp_path: Path) -> None:
    """Prefect orchestrates; it changes nothing."""
    data = use(tmp_path / "data", built / "sandbox")
    subprocess.run(_command(data, "--no-prefect", "--no-train"), check=True, capture_output=True)

    def files(data: Path) -> dict[str, bytes]:
        release = data / "releases" / "sandbox" / "001"
        return {str(path.relative_to(release)): path.read_bytes() for path in release.rglob("*") if path.is_file()}

    assert files(built) == files(data)


def test_what_failed_is_retried_under_prefect_too(built: Path, tmp_path: Path) -> None:
    """A file that was gone has come back: it alone is fetched, and the release is what it always was."""
    data = tmp_path / "data"
    shutil.copytree(built, data)
    catalog = Catalog(data / "catalog.sqlite")
    scrape = next(one for one in catalog.runs()[0]["reports"] if one["stage"] == "scrape")
    post = catalog.posts(next(iter(catalog.cursors())))[0]
    catalog.record("scrape", scrape["fingerprint"], [(post.id, Dropped(post, Reason.GONE))])

    done = subprocess.run(_command(data, "--no-train", "--retry-failed"), check=True, capture_output=True, text=True)

    again = next(one for one in catalog.runs()[0]["reports"] if one["stage"] == "scrape")
    catalog.close()
    assert {**again, "seconds": 0, "judged": 0} == {**scrape, "seconds": 0, "judged": 0}
    assert again["judged"] == 1
    assert "release unchanged" in done.stdout


def test_a_failed_run_is_failed_here_and_there(tmp_path: Path, prefect: Path) -> None:
    """Exit code 1, one line without a traceback, and the state in Prefect's book."""
    data = tmp_path / "data"
    know_prefect(data / ".prefect", prefect)
    words = ["-p", "sources.0.kind=danbooru", "-p", "sources.0.board=http://nohost.invalid"]

    done = subprocess.run(_command(data, *words), check=False, capture_output=True, text=True)

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("flow: nohost.invalid: no such host")
    assert _rows(data, "SELECT state_type FROM flow_run") == [("FAILED",)]


def test_a_killed_run_leaves_no_process_and_no_running_state(built: Path, tmp_path: Path, prefect: Path) -> None:
    """SIGKILL: the server dies with it, and the next run calls the old one crashed."""
    data = use(tmp_path / "data", built / "sandbox")
    know_prefect(data / ".prefect", prefect)
    process = subprocess.Popen(_command(data), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        if (data / "catalog.sqlite").is_file():
            break
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for _ in range(50):
        if not _children_of(data):
            break
        time.sleep(0.1)
    assert _children_of(data) == []

    subprocess.run(_command(data, "--no-train"), check=True, capture_output=True)

    states = [state for (state,) in _rows(data, "SELECT state_type FROM flow_run ORDER BY created")]
    assert states[-1] == "COMPLETED"
    assert set(states[:-1]) <= {"CRASHED"}


SWEEP = """
import json
from pathlib import Path
from flows import server
data, others = Path("data"), Path("others")
server.prepare(data / ".prefect")
with server.running():
    from prefect import get_client
    from prefect.client.schemas.objects import State, StateType
    from flows import orchestrate
    from pipeline.folder import DataFolder

    def order(recipe, folder=data):
        parameters = {"recipe": recipe, "data": str(folder.resolve())}
        return {"parameters": parameters, "state": State(type=StateType.RUNNING)}

    def begun(*words):
        return client.create_flow_run(orchestrate.build_dataset, **order(*words)).id

    with get_client(sync_client=True) as client:
        runs = {name: begun(name) for name in ("sandbox", "danbooru", "default", "gone.toml")}
        runs["elsewhere"] = begun("sandbox", others)
        served = client.create_deployment(client.create_flow(orchestrate.build_dataset), "served")
        runs["served"] = client.create_flow_run_from_deployment(served, **order("sandbox")).id
        with DataFolder(data).lock("danbooru"), orchestrate._at_work({"recipe": "default", "data": "data"}):
            orchestrate.sweep(data)
        print(json.dumps({name: client.read_flow_run(run).state.type for name, run in runs.items()}))
"""


def test_only_what_really_died_is_called_crashed(tmp_path: Path, prefect: Path) -> None:
    """Not a build of another recipe that goes on, nor one that has just begun, nor one in another folder."""
    know_prefect(tmp_path / "data" / ".prefect", prefect)
    words = [sys.executable, "-c", SWEEP]
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}

    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=tmp_path, env=environment)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "sandbox": "CRASHED",
        "danbooru": "RUNNING",
        "default": "RUNNING",
        "gone.toml": "RUNNING",
        "elsewhere": "RUNNING",
        "served": "RUNNING",
    }


def test_two_recipes_on_one_folder_and_one_server(
    built: Path, tmp_path: Path, prefect: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun at the same moment, both are completed, here and in Prefect's book."""
    data = use(tmp_path / "data", built / "sandbox")
    home = know_prefect(tmp_path / "prefect", prefect)
    for name, value in {"PREFECT_HOME": str(home), "DO_NOT_TRACK": "1"}.items():
        monkeypatch.setenv(name, value)
    words = [_command(data, "--no-train", "--limit", "4", "-p", f"name={name}") for name in ("one", "other")]

    with server.running():  # named in the environment of both
        both = [subprocess.Popen(one, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for one in words]
        said = [one.communicate() for one in both]

    with sqlite3.connect(home / "prefect.db") as connection:
        states = connection.execute("SELECT state_type FROM flow_run").fetchall()
    connection.close()
    assert [one.returncode for one in both] == [0, 0], said
    assert states == [("COMPLETED",), ("COMPLETED",)]
