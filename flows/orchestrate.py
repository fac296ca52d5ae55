"""The flows as Prefect sees them: one task a stage, its counts, and an event for every release."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prefect import flow, get_client, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events import emit_event
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Crashed

from flows import jobs
from flows.jobs import settings_from_environment
from flows.show import Display, Lines
from pipeline.errors import RecipeError, StoreError, WorldError
from pipeline.export import Release
from pipeline.folder import DataFolder
from pipeline.recipe import load
from pipeline.run import Settings
from pipeline.stage import StageReport

RELEASE_PUBLISHED = "release.published"
DISPLAY: ContextVar[Display] = ContextVar("DISPLAY")
SETTINGS: ContextVar[Settings | None] = ContextVar("SETTINGS")  # what the command line says and no deployment does
DRAIN_S = 10.0
START = timedelta(minutes=1)  # how long a process that Prefect starts may take until its build has its lock


def as_task(name: str, step: Callable[[], StageReport]) -> StageReport:
    """Run a stage as one task; its memory is the catalog, so Prefect caches and retries nothing."""
    return task(name=name, task_run_name=name, cache_policy=NO_CACHE, persist_result=False)(step)()


@flow(name="build-dataset", persist_result=False, validate_parameters=True)
def build_dataset(
    recipe: str | None = None,
    overrides: list[str] | None = None,
    data: str = "data",
    limit: int | None = None,
    train: bool = True,  # noqa: FBT001, FBT002 - a flow's parameters are plain values by name
) -> dict[str, Any]:
    """Scrape, find and cut faces, publish a release, and train on it."""
    return _dataset(jobs.build_dataset, recipe, overrides, data, limit, train)


@flow(name="publish-dataset", persist_result=False, validate_parameters=True)
def publish_dataset(
    recipe: str | None = None,
    overrides: list[str] | None = None,
    data: str = "data",
    limit: int | None = None,
    train: bool = False,  # noqa: FBT001, FBT002
) -> dict[str, Any]:
    """Publish what has been scraped and decided so far."""
    return _dataset(jobs.publish_dataset, recipe, overrides, data, limit, train)


@flow(name="train-gan", persist_result=False, validate_parameters=True)
def train_gan(
    release: str | None = None,
    data: str = "data",
    overrides: list[str] | None = None,
    fid_weights: str | None = None,
) -> dict[str, Any]:
    """Train a GAN on a release."""
    inception = None if fid_weights is None else Path(fid_weights)
    trained = jobs.train_release(Path(data), release, overrides or [], _display(), inception)
    return {"run": str(trained.run_dir), "finished": trained.finished}


def run_here(name: str, display: Display, settings: Settings | None, parameters: dict[str, Any]) -> Any:
    """Run a flow in this process and return what it returned.

    Prefect's exit codes say little of a flow's state, so the state itself is asked.

    Raises:
        KaosetError: The flow failed; whatever it raised is raised again.
    """
    shown = DISPLAY.set(display)
    set_ = SETTINGS.set(settings) if settings else None
    runnable: Any = {"build_dataset": build_dataset, "publish_dataset": publish_dataset, "train_gan": train_gan}[name]
    try:
        sweep(Path(parameters["data"]))
        # The heartbeat thread costs a second at the end of every flow; nobody watches for zombies here: sweep() does.
        with _at_work(parameters), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            state = runnable(**parameters, return_state=True)
        drain()
        return state.result(raise_on_failure=True)
    finally:
        DISPLAY.reset(shown)
        if set_ is not None:
            SETTINGS.reset(set_)


def drain() -> None:
    """Wait until the server has written down every run that it was told of; they arrive as events, later."""
    with get_client(sync_client=True) as client:
        until = time.monotonic() + DRAIN_S
        while time.monotonic() < until:
            runs = client.read_flow_runs(limit=1)
            tasks = client._client.post(  # noqa: SLF001 - the sync client has no count of its own
                "/task_runs/count", json={"task_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}}
            )
            if runs and tasks.is_success and tasks.json() == 0:
                return
            time.sleep(0.2)


def sweep(data: Path) -> int:
    """Mark as crashed the builds of a data folder that a killed process left "running", unless one really runs.

    Other builds, of other recipes, may go on in the folder meanwhile, in Prefect's book since a moment ago.

    Returns:
        How many there were.
    """
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING]))
    names = FlowFilter(name=FlowFilterName(any_=[build_dataset.name, publish_dataset.name]))
    stale = 0
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_filter=names, flow_run_filter=FlowRunFilter(state=state)):
            here = Path(str(run.parameters.get("data"))).resolve() == data.resolve()
            if here and not _just_begun(run) and not _is_at_work(data, run.parameters):
                client.set_flow_run_state(run.id, Crashed(message="its process was killed"), force=True)
                stale += 1
    return stale


def _just_begun(run: FlowRun) -> bool:
    """Say whether Prefect itself began a run so lately that its process may not have come to its lock."""
    if run.deployment_id is None or run.state is None:
        return False
    return datetime.now(UTC) - run.state.timestamp < START


@contextmanager
def _at_work(parameters: Mapping[str, Any]) -> Iterator[None]:
    """Hold what `sweep` looks for from before a build is in Prefect's book, where it is written before it locks."""
    lock = None
    if "recipe" in parameters:
        with suppress(StoreError):  # the build tells it better; or another one holds it, for both
            lock = DataFolder(Path(parameters["data"])).lock(_announced(_recipe_of(parameters)))
    try:
        yield
    finally:
        if lock is not None:
            lock.close()


def _is_at_work(data: Path, parameters: Mapping[str, Any]) -> bool:
    """Say whether a process really builds what the parameters of a run say."""
    try:
        recipe = _recipe_of(parameters)
    except RecipeError:  # its file was changed or removed since: nobody can tell
        return True
    try:
        for name in (_announced(recipe), recipe):  # the build's own lock is not touched where the other one tells
            DataFolder(data).lock(name).close()
    except StoreError:
        return True
    return False


def _recipe_of(parameters: Mapping[str, Any]) -> str:
    return load(parameters.get("recipe"), parameters.get("overrides") or []).name


def _announced(recipe: str) -> str:
    return f"{recipe}@prefect"  # no recipe has such a name


def _dataset(
    job: Callable[..., jobs.Built],
    recipe: str | None,
    overrides: list[str] | None,
    data: str,
    limit: int | None,
    train: bool,  # noqa: FBT001
) -> dict[str, Any]:
    settings = SETTINGS.get(None) or settings_from_environment(Path(data), limit)
    built = job(load(recipe, overrides or []), settings, _display(), as_task)
    _artifact(built)
    trained = None
    if built.release is not None:
        _announce(built.release, data)
        if train:
            trained = _train(built.release, str(settings.data))
    if DISPLAY.get(None) is None:
        return {"release": built.release and str(built.release.path)}
    return {"built": built, "trained": trained}


def _train(release: Release, data: str) -> jobs.Trained | None:
    """Train at once; where PyTorch is missing, say how to get it: the release stands without."""
    state = train_gan(release=str(release.path), data=data, return_state=True)
    answer = state.result(raise_on_failure=False)
    if isinstance(answer, WorldError):
        _display().say(f"not trained: {answer}")
        return None
    return jobs.Trained(run_dir=Path(state.result()["run"]), finished=bool(state.result()["finished"]))


def _announce(release: Release, data: str) -> None:
    """Tell whoever waits: a deployment of train-gan on a machine with a GPU, for one."""
    if release.new:
        emit_event(
            event=RELEASE_PUBLISHED,
            resource={"prefect.resource.id": f"kaoset.release.{release.name.replace('/', '.')}"},
            payload={
                "path": str(release.path.resolve()),
                "data": str(Path(data).resolve()),
                "crops": release.crops,
                "manifest_sha256": release.manifest_sha256,
            },
        )


def _artifact(built: jobs.Built) -> None:
    rows = [
        {"stage": one.stage, "seen": one.seen, "kept": one.kept, "new": one.judged, **one.dropped}
        for one in built.reports
    ]
    create_table_artifact(table=rows, key=f"counts-{built.recipe.name.replace('_', '-')}")


def _display() -> Display:
    return DISPLAY.get(Lines())
