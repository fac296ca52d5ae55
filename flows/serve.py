"""Schedules: builds on a timer, and trainings that wait for a release."""

from __future__ import annotations

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

from flows.jobs import from_anywhere
from flows.orchestrate import RELEASE_PUBLISHED, build_dataset, sweep, train_gan
from pipeline.errors import UsageError

HEARTBEAT_S = 30


def serve_flows(name: str, recipe: str | None, data: Path, overrides: Sequence[str], schedule: dict[str, Any]) -> None:
    """Serve the schedule until Ctrl-C, against the server that PREFECT_API_URL names."""
    sweep(data)
    _watch_for_zombies()
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: HEARTBEAT_S}):
        serve(*_checked(name, recipe, data, overrides, schedule))


def _checked(
    name: str, recipe: str | None, data: Path, overrides: Sequence[str], schedule: dict[str, Any]
) -> tuple[RunnerDeployment, RunnerDeployment]:
    try:
        return deployments(name, recipe, data, overrides, schedule)
    except ValueError as error:
        raise UsageError(f"--cron {schedule.get('cron')}: no cron line; write such as '0 4 * * *'") from error


def deployments(
    name: str, recipe: str | None, data: Path, overrides: Sequence[str], schedule: dict[str, Any]
) -> tuple[RunnerDeployment, RunnerDeployment]:
    """Describe the scheduled build and the training that a published release starts."""
    folder = str(data.resolve())
    build: Any = build_dataset.to_deployment(
        name=name,
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
    )
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
