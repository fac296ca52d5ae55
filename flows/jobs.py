"""The three flows as plain functions: what Prefect orchestrates, and what runs as well without it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from flows.show import Display
from pipeline.errors import UsageError, WorldError
from pipeline.export import Release, find_release
from pipeline.folder import DataFolder
from pipeline.recipe import FolderSection, Recipe, UrlsSection, VideoSection, load, parse
from pipeline.run import STAGES, Build, Settings
from pipeline.stage import StageReport
from pipeline.train import FREE, TrainConfig, TrainProgress, train_gan
from pipeline.verify import verify

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
DEFAULT_EVERY = "6h"
NOWHERE = "http://sandbox.invalid"  # publishing asks no board for anything


class Call(Protocol):
    """How a step is run: as it is, or as a Prefect task."""

    def __call__(self, name: str, step: Callable[[], StageReport], /) -> StageReport:
        """Run *step* under that name."""
        ...


def plainly(_name: str, step: Callable[[], StageReport]) -> StageReport:
    """Run a step as it is."""
    return step()


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a build ended with."""

    recipe: Recipe
    reports: Sequence[StageReport]
    release: Release | None  # None: no crop is accepted yet
    waiting: int  # crops in the review queue


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training ended with."""

    run_dir: Path
    finished: bool  # False: it was stopped, and goes on when it is asked for again


def settings_from_environment(data: Path, limit: int | None = None) -> Settings:
    """Read what a person sets once for a machine, and what must not be written into a recipe: keys."""
    told = os.environ.get
    return Settings(
        data=data,
        limit=limit,
        catalog_url=told("KAOSET_CATALOG", ""),
        workers=_count("KAOSET_WORKERS", 0),
        sandbox_url=told("KAOSET_SANDBOX_URL", ""),
        sandbox_posts=_count("KAOSET_SANDBOX_POSTS", 600),
        keys=_keys(),
    )


def from_anywhere(recipe: str | None) -> str | None:
    """Name a recipe so that a process in another folder finds the same one."""
    return str(Path(recipe).resolve()) if recipe and Path(recipe).is_file() else recipe


def _keys() -> dict[str, tuple[str, str]]:
    """Read KAOSET_LOGIN_<HOST> and KAOSET_API_KEY_<HOST>; of one without the other the board's source complains."""
    login, key = "KAOSET_LOGIN_", "KAOSET_API_KEY_"
    told = os.environ.get
    hosts = {name.removeprefix(prefix) for prefix in (login, key) for name in os.environ if name.startswith(prefix)}
    pairs = {host: (told(login + host, ""), told(key + host, "")) for host in hosts}
    return {host: pair for host, pair in pairs.items() if any(pair)}


def _count(name: str, default: int) -> int:
    text = os.environ.get(name, "") or str(default)
    if not text.isdecimal():
        raise UsageError(f"{name}={text}: no number; set it to one, or unset it")
    return int(text)


def check_paths(recipe: Recipe) -> None:
    """See whether what lies on this machine is there, before anything is begun.

    Raises:
        UsageError: A folder, a film or a list is not.
    """
    for source in recipe.sources:
        if not isinstance(source, FolderSection | VideoSection | UrlsSection):
            continue
        path = os.path.expanduser(source.path)  # noqa: PTH111 -- Path raises where a name is too long
        if not (os.path.isdir if isinstance(source, FolderSection) else os.path.exists)(path):
            what = "is no folder" if isinstance(source, FolderSection) else "is not there"
            raise UsageError(f"{source.path}: {what}; give the path of source {source.name!r} again")


def build_dataset(recipe: Recipe, settings: Settings, display: Display, call: Call = plainly) -> Built:
    """Run every stage; what is known is not done again. With `retry_failed` only files that failed are asked for."""
    return _run(recipe, settings, display, call, Build.retry if settings.retry_failed else Build.step)


def publish_dataset(recipe: Recipe, settings: Settings, display: Display, call: Call = plainly) -> Built:
    """Publish what has been scraped and decided, without asking any board."""
    offline = replace(settings, sandbox_url=settings.sandbox_url or NOWHERE)
    return _run(recipe, offline, display, call, Build.recall)


def _run(
    recipe: Recipe, settings: Settings, display: Display, call: Call, step: Callable[[Build, str], StageReport]
) -> Built:
    with Build(recipe, settings, display.progress, display.say) as build:
        for name in STAGES:
            if name == "export" and not build.reports[-1].kept:
                display.say(f"{_nothing_left(build.reports)}, so nothing is published")
                break
            display.begin(name)
            call(name, lambda name=name: step(build, name))  # type: ignore[misc]
            display.end(name, build.reports[-1].seen)
        review = next(report for report in build.reports if report.stage == "review")
        return Built(
            recipe=build.recipe,
            reports=tuple(build.reports),
            release=build.release,
            waiting=review.dropped.get("waiting", 0),
        )


def _nothing_left(reports: Sequence[StageReport]) -> str:
    """Say which stage let nothing through, and why; all stages after it saw nothing."""
    last = next(report for report in reports if not report.kept)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in last.dropped.items())
    if last.stage == "review":
        return f"no crop is accepted yet ({reasons}; see `flow review`)"
    return f"{last.stage} kept none of {last.seen:,} ({reasons})" if reasons else "there is no post"


def train_release(
    data: Path, name: str | None, overrides: Sequence[str], display: Display, inception: Path | None = None
) -> Trained:
    """Train on a release by its own recipe; a finished training is left alone, an unfinished one goes on.

    Raises:
        UsageError: There is no such release, or it is not sound.
        WorldError: PyTorch is not installed.
    """
    folder = DataFolder(data)
    release = find_release(folder.releases, name)
    faults = verify(release)
    if faults:
        raise WorldError(f"{release}: not sound ({faults[0]}), so it is not trained on; see `flow verify {release}`")
    recipe = recipe_of(release, overrides)
    config = recipe.train.config(recipe.seed)
    run_dir = folder.trainings / f"{release.parent.name}-{release.name}-{_mark(config)}"

    told = 0.0

    def show(now: TrainProgress) -> None:
        nonlocal told
        display.progress("train", round(now.kimg * 1000), round(now.total_kimg * 1000))
        if now.note:
            display.say(now.note)
        elif now.kimg - told >= config.sample_every_kimg and now.img_per_s:
            told = now.kimg
            display.say(_so_far(now))

    display.say(f"look on: {run_dir / 'train.html'}")
    with terminated() as stop:
        result = train_gan(release, run_dir, config, progress=show, stop=stop, inception=inception)
    if result.finished and not result.new_steps:
        display.say(f"{run_dir}: already trained, nothing to do")
    elif result.finished and result.best is not None:
        display.say(f"the best checkpoint of {result.steps} steps is that of step {result.best}; see metrics.csv")
    return Trained(run_dir=run_dir, finished=result.finished)


def _so_far(now: TrainProgress) -> str:
    """Say how far a training is, how fast, how long it will take, and what it takes: one line a tick."""
    left = timedelta(seconds=round((now.total_kimg - now.kimg) * 1000 / now.img_per_s))
    return (
        f"{now.kimg:.1f} of {now.total_kimg:.1f} kimg, {1000 / now.img_per_s:.1f} s/kimg, {left} left,"
        f" {now.memory_mb:,.0f} MB; losses {now.d_loss:.3f} and {now.g_loss:.3f}"
    )


def find_training(data: Path, name: str | None) -> Path:
    """Find a training by its folder, by its name in the data folder, or the one that was last at work.

    Raises:
        UsageError: There is none.
    """
    folder = DataFolder(data).trainings
    if name is not None:
        found = [one for one in (Path(name), folder / name) if one.exists()]
        if not found:
            raise UsageError(f"{name}: no training, and none of that name in {folder}; `flow run train-gan` makes one")
        return found[0]
    runs = sorted(folder.glob("*/run.json"), key=lambda one: one.stat().st_mtime)
    if not runs:
        raise UsageError(f"{folder}: no training yet; `flow run train-gan` makes one")
    return runs[-1].parent


def _mark(config: TrainConfig) -> str:
    """Tell trainings of one release apart by what may not change when one goes on; more kimg lengthens the same one."""
    fixed = {name: value for name, value in sorted(asdict(config.settled()).items()) if name not in FREE}
    return hashlib.sha256(json.dumps(fixed).encode()).hexdigest()[:6]


def recipe_of(release: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read the recipe that a release was made by.

    Raises:
        RecipeError: It is not readable, or an override is wrong.
    """
    path = release / "recipe.toml"
    if overrides:
        return load(str(path), overrides)
    try:
        return parse(tomllib.loads(path.read_text("utf-8")), str(path))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not readable ({error}); see `flow verify {release}`") from error


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
    try:
        return {"interval": timedelta(**{UNITS[match[2]]: int(match[1])})}
    except OverflowError as error:
        raise UsageError(f"--every {text}: too long; write 30m, 6h or 1d") from error


@contextmanager
def terminated() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and Ctrl-C into a question that the training asks after every step."""
    asked: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    try:
        before = {one: signal.signal(one, remember) for one in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread: Prefect's engine will end us another way
        yield lambda: False
        return
    try:
        yield lambda: bool(asked)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
