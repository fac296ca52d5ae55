"""Schedules: builds on a timer, and trainings that wait for a release."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect import get_client, serve
from prefect.automations import Automation
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, StateType, WorkPoolStatus
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.types.entrypoint import EntrypointType

from flows.jobs import from_anywhere
from flows.orchestrate import RELEASE_PUBLISHED, build_dataset, sweep, train_gan
from flows.show import Display, Lines
from pipeline.errors import UsageError
from pipeline.recipe import Recipe

HEARTBEAT_S = 30
# By Prefect's own heartbeat, every 180 s, what watches for zombies would take every run of a worker for one.
WORKER_ENVIRONMENT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S), "DO_NOT_TRACK": "1"}


def serve_flows(
    chosen: Recipe, recipe: str | None, data: Path, overrides: Sequence[str], schedule: dict[str, Any]
) -> None:
    """Serve the schedule until Ctrl-C, against the server that PREFECT_API_URL names.

    Where *chosen* names a work pool, its workers train, also after Ctrl-C; else this process does. A server has one
    deployment that waits for releases: whoever serves last says where they are trained on.

    Args:
        chosen: What *recipe* and *overrides* say.
        recipe: Its name or path; every run reads it anew.
        data: On the machines of a work pool, too, it is there by this path.
        overrides: Such as ``train.kimg=1``.
        schedule: The ``interval`` or ``cron`` of the builds.

    Raises:
        UsageError: The cron line is none, or the server has no such work pool.
    """
    pool = chosen.train.work_pool
    build, train = _checked(chosen, recipe, data, overrides, schedule)
    if pool:
        _tell_of(pool, data, Lines())
    sweep(data)
    _watch_for_zombies()
    if pool:
        train.apply()
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: HEARTBEAT_S}):
        serve(*((build,) if pool else (build, train)))


def _tell_of(pool: str, data: Path, display: Display) -> None:
    """Say what keeps a work pool from training; nothing when its workers wait.

    Raises:
        UsageError: There is none of this name.
    """
    named = shlex.quote(pool)
    with get_client(sync_client=True) as client:
        try:
            status = client.read_work_pool(pool).status
        except ObjectNotFound as error:
            make = f"`prefect work-pool create {named} --type process`"
            raise UsageError(
                f"train.work_pool {pool}: {PREFECT_API_URL.value()} has no such pool; make it with {make}"
            ) from error
    match status:
        case WorkPoolStatus.NOT_READY:
            start = f"`PREFECT_API_URL={PREFECT_API_URL.value()} prefect worker start --pool {named}`"
            where = f"a machine with kaoset and {data.resolve()}"
            display.say(f"work pool {pool}: no worker polls it; on {where} start one: {start}")
        case WorkPoolStatus.PAUSED:
            display.say(f"work pool {pool}: paused, so nothing trains until `prefect work-pool resume {named}`")


def _checked(
    chosen: Recipe, recipe: str | None, data: Path, overrides: Sequence[str], schedule: dict[str, Any]
) -> tuple[RunnerDeployment, RunnerDeployment]:
    try:
        return deployments(chosen, recipe, data, overrides, schedule)
    except ValueError as error:
        raise UsageError(f"--cron {schedule.get('cron')}: no cron line; write such as '0 4 * * *'") from error


def deployments(
    chosen: Recipe, recipe: str | None, data: Path, overrides: Sequence[str], schedule: dict[str, Any]
) -> tuple[RunnerDeployment, RunnerDeployment]:
    """Describe the scheduled build and the training that a published release starts."""
    folder, pool = str(data.resolve()), chosen.train.work_pool or None
    build: Any = build_dataset.to_deployment(
        name=chosen.name,
        parameters={"recipe": from_anywhere(recipe), "data": folder, "overrides": list(overrides), "train": False},
        # A run that is still going makes the next one needless: it would find the same new posts.
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        **schedule,
    )
    train: Any = train_gan.to_deployment(
        name="on-release",
        concurrency_limit=1,
        triggers=[
            DeploymentEventTrigger(
                expect={RELEASE_PUBLISHED},
                match={"prefect.resource.id": "kaoset.release.*"},
                parameters={
                    "release": {"__prefect_kind": "jinja", "template": "{{ event.payload.path }}"},
                    "data": {"__prefect_kind": "jinja", "template": "{{ event.payload.data }}"},
                },
            )
        ],
        entrypoint_type=EntrypointType.MODULE_PATH,  # a path of this machine would say nothing to a worker elsewhere
        job_variables={"env": WORKER_ENVIRONMENT} if pool else None,
    )
    train.work_pool_name = pool  # said even when there is none: Prefect would keep the one that was served before
    return build, train


def _watch_for_zombies() -> None:
    """Mark a run as crashed when its heartbeat stops: a killed run would hold the only slot for ever."""
    automation = Automation(
        name="kaoset: crash runs whose heartbeat stopped",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", "prefect.flow-run.Completed", "prefect.flow-run.Failed"}
            | {"prefect.flow-run.Cancelled", "prefect.flow-run.Crashed"},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=3 * HEARTBEAT_S),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="its heartbeat stopped")],
    )
    try:
        Automation.read(name=automation.name, _sync=True)  # type: ignore[call-overload]
    except ValueError:
        automation.create(_sync=True)  # type: ignore[call-arg]
