"""Schedules: builds on a timer, and trainings that wait for a release."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect import serve
from prefect.automations import Automation
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.orchestrate import RELEASE_PUBLISHED, build_dataset, sweep, train_gan
from flows.server import running
from pipeline.errors import UsageError
from pipeline.recipe import load

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
HEARTBEAT_S = 30
DEFAULT_EVERY = "6h"


def serve_flows(
    recipe: str | None, data: Path, overrides: Sequence[str], every: str | None, cron: str | None, port: int | None
) -> None:
    """Serve the schedule until Ctrl-C.

    Raises:
        UsageError: Both, or a wrong, schedule.
        WorldError: Prefect's server does not start.
    """
    name = load(recipe, overrides).name
    schedule: dict[str, Any] = schedule_of(every, cron)
    with running(port or 4200, ui=True) as url:
        sweep()
        _watch_for_zombies()
        print(f"Prefect: {url.removesuffix('/api')}  (Ctrl-C ends)", flush=True)  # noqa: T201
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: HEARTBEAT_S}):
            serve(*deployments(name, recipe, data, overrides, schedule))


def deployments(
    name: str, recipe: str | None, data: Path, overrides: Sequence[str], schedule: dict[str, Any]
) -> tuple[RunnerDeployment, RunnerDeployment]:
    """Describe the scheduled build and the training that a published release starts."""
    folder = str(data.resolve())
    origin = str(Path(recipe).resolve()) if recipe and Path(recipe).is_file() else recipe
    build: Any = build_dataset.to_deployment(
        name=name,
        parameters={"recipe": origin, "data": folder, "overrides": list(overrides), "train": False},
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
    )
    return build, train


def schedule_of(every: str | None, cron: str | None) -> dict[str, Any]:
    """Read ``6h`` or a cron line.

    Raises:
        UsageError: It is neither, or both are given.
    """
    if every and cron:
        raise UsageError("--every and --cron: give one of them")
    if cron:
        return {"cron": cron}
    text = every or DEFAULT_EVERY
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if not match or not int(match[1]):
        raise UsageError(f"--every {text}: not a time; write 30m, 6h or 1d")
    return {"interval": timedelta(**{UNITS[match[2]]: int(match[1])})}


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
