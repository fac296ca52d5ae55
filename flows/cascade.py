"""The flow that trains a cascade: what it learns from, where it goes, and what it is worth on other pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from rich.table import Table

from flows.jobs import terminated
from flows.show import Display
from pipeline.catalog import Catalog
from pipeline.detectors import lbpcascade
from pipeline.errors import DetectorError, RecipeError, UsageError, WorldError
from pipeline.export import find_release
from pipeline.manifest import split_of
from pipeline.run import DataFolder
from pipeline.sandbox import posts
from pipeline.store import write_atomically
from pipeline.train.cascade import CascadeConfig, Progress, train
from pipeline.train.cascade_file import to_xml
from pipeline.train.labelled import Source, choose, load, of_backgrounds, of_release
from pipeline.train.trial import Trial, trials
from pipeline.train.windows import Labelled
from pipeline.verify import verify

SANDBOX = "sandbox"  # what is learnt from, instead of a release
SHARES = {"learnt": 0.8, "held out": 0.2}  # of the pictures; what is alike is on one side


@dataclass(frozen=True, kw_only=True)
class TrainedCascade:
    """What a training of a cascade left behind."""

    path: Path
    stages: int
    stumps: int
    finished: bool  # False: stopped; what was done by then is a cascade of fewer stages
    learnt: int  # pictures
    held_out: int
    own: Sequence[Trial]  # on the pictures held out; none when it was stopped or nothing was held out
    other: Sequence[Trial]  # of the third-party cascade, where it is at hand


def read_config(overrides: Sequence[str]) -> CascadeConfig:
    """Read ``key=value`` pairs.

    Raises:
        RecipeError: A key is unknown, a value no number, or out of range.
    """
    kinds = {field.name: float if field.type == "float" else int for field in fields(CascadeConfig)}
    values: dict[str, int | float] = {}
    for override in overrides:
        key, equals, text = (part.strip() for part in override.partition("="))
        if not equals:
            raise UsageError(f"-p {override}: no value; write -p key=value, such as -p stages=10")
        if key not in kinds:
            raise RecipeError(f"-p {override}: there is no field {key}; choose of {', '.join(kinds)}")
        try:
            values[key] = kinds[key](text)
        except ValueError as error:
            wanted = "a number" if kinds[key] is float else "a whole number"
            raise RecipeError(f"-p {override}: {text!r} is not {wanted}") from error
    return CascadeConfig(**values)  # type: ignore[arg-type]  # each of its own kind, as read above


def train_cascade(
    data: Path,
    name: str | None,
    config: CascadeConfig,
    display: Display,
    *,
    drawings: int,
    backgrounds: Path | None = None,
    out: Path | None = None,
) -> TrainedCascade:
    """Learn to find faces like those of a release, or of the sandbox's drawings.

    Args:
        data: The data folder: releases, pictures, decisions, drawings.
        name: ``sandbox``, or a release by folder, recipe/number or recipe; None: the last release.
        config: How.
        display: Where it is told.
        drawings: How many posts the sandbox draws, where it learns from those.
        backgrounds: A folder of pictures without faces, learnt from as well.
        out: The file; None: ``cascades/<name>.xml`` in the data folder. What was stopped lies beside it.

    Raises:
        UsageError: There is no such release or folder, or nothing in it to learn from.
        WorldError: The release is not sound, its pictures are gone, or the file cannot be written.
    """
    folder = DataFolder(data)
    called, sources = _sources(folder, name, config, drawings, display)
    if out is None:
        out = data / "cascades" / f"{called.replace('/', '-')}.xml"
    if out.is_dir():
        raise UsageError(f"{out}: is a folder; name a file in it, such as {out / 'mine.xml'}")
    if backgrounds is not None:
        sources += _backgrounds(backgrounds)
    learnt, held_out = _divided(_load(choose(sources, config.pictures, config.seed), display), config.seed)
    display.say(
        f"learns from {len(learnt)} pictures with {sum(len(one.faces) for one in learnt)} faces; "
        f"{len(held_out)} are held out, to try it on"
    )

    def show(now: Progress) -> None:
        display.progress("stages", now.stages, config.stages)
        display.say(
            f"stage {now.stages}: {now.stumps} stumps; {now.hit_rate:.1%} of varied faces pass, "
            f"and one of {round(1 / max(now.false_alarms, 1e-12)):,} other windows"
        )

    display.progress("stages", 0, config.stages)
    with terminated() as stop:
        stages = train(learnt, config, show, stop)
        finished = not stop()
    if not stages:
        raise KeyboardInterrupt("stopped before the first stage was whole; nothing is written")
    path = out if finished else out.with_name(f"{out.stem}.stopped{out.suffix}")
    write_atomically(path, to_xml(stages, _made(called, config, drawings, backgrounds)).encode())
    return TrainedCascade(
        path=path,
        stages=len(stages),
        stumps=sum(len(stage.stumps) for stage in stages),
        finished=finished,
        learnt=len(learnt),
        held_out=len(held_out),
        own=trials(path, held_out) if finished and held_out else (),
        other=_others(held_out, display) if finished and held_out else (),
    )


def _sources(
    folder: DataFolder, name: str | None, config: CascadeConfig, drawings: int, display: Display
) -> tuple[str, list[Source]]:
    """Find the pictures to learn from, and what to call them."""
    if name == SANDBOX:
        drawn = posts.build(
            folder.sandbox, drawings, config.seed, lambda done, total: display.progress("draw", done, total)
        )
        return SANDBOX, of_sandbox(drawn)
    release = find_release(folder.releases, name)
    faults = verify(release)
    if faults:
        raise WorldError(f"{release}: not sound ({faults[0]}), so it is not learnt from; see `flow verify {release}`")
    called = f"{release.resolve().parent.name}/{release.resolve().name}"
    if not folder.catalog.is_file():
        return called, of_release(release, folder.store, None)
    known = Catalog(folder.catalog)
    try:
        return called, of_release(release, folder.store, known)
    finally:
        known.close()


def of_sandbox(drawn: posts.Sandbox) -> list[Source]:
    """List the drawings of a sandbox board; what is no picture, though it says so, is left out when it is read."""
    there = [(post, path) for post in drawn.posts if (path := drawn.path(post)) is not None]
    return [
        Source(
            name=f"{post.number:09d}",
            read=path.read_bytes,
            width=post.width,
            faces=tuple(face.box for face in post.truth.faces),
            family=post.group or "",
        )
        for post, path in there
    ]


def _backgrounds(folder: Path) -> list[Source]:
    found = of_backgrounds(folder.resolve())
    if not found:
        raise UsageError(f"{folder}: holds no pictures; name a folder of pictures in which nobody is to be seen")
    return found


def _load(sources: Sequence[Source], display: Display) -> Iterable[Labelled]:
    unreadable = 0
    for done, picture in enumerate(load(sources), start=1):
        display.progress("read", done, len(sources))
        if picture is None:
            unreadable += 1
        else:
            yield picture
    if unreadable:
        display.say(f"{unreadable} files are no whole still pictures and are left out")


def _divided(pictures: Iterable[Labelled], seed: int) -> tuple[list[Labelled], list[Labelled]]:
    sides: dict[str, list[Labelled]] = {side: [] for side in SHARES}
    for one in pictures:
        sides[split_of(one.family, seed, SHARES)].append(one)
    learnt, held_out = sides.values()
    return learnt, held_out


def _others(pictures: Sequence[Labelled], display: Display) -> Sequence[Trial]:
    try:
        return trials(lbpcascade.find(), pictures)
    except DetectorError:
        display.say("the third-party cascade is not here to compare with (`flow cascades fetch`)")
        return ()


def _made(called: str, config: CascadeConfig, drawings: int, backgrounds: Path | None) -> str:
    """Say how it was made, without a word of this machine; for drawings the command makes the same file again."""
    usual = asdict(CascadeConfig())
    changed = "".join(f" -p {key}={value}" for key, value in asdict(config).items() if value != usual[key])
    size = f" --sandbox-posts {drawings}" if called == SANDBOX else ""
    more = " --backgrounds FOLDER" if backgrounds else ""
    settings = ", ".join(f"{key} {value}" for key, value in asdict(config).items())
    return (
        "A cascade of local binary patterns that finds faces, trained by kaoset:\n"
        f"flow run train-cascade {called}{size}{more}{changed}\n{settings}"
    )


def table(trained: TrainedCascade) -> Table:
    """Draw what a cascade is worth on the pictures held out, beside the third-party one."""
    shown = Table(title=f"On {trained.held_out} pictures that it did not learn from", title_justify="left")
    shown.add_column("windows that agree", justify="right")
    columns = ("precision", "recall", "F1", "pictures/s")
    for name in (*columns, *(f"lbpcascade {name}" for name in columns if trained.other)):
        shown.add_column(name, justify="right")
    for index, own in enumerate(trained.own):
        both = [own, *(trained.other[index : index + 1])]
        cells = [cell for one in both for cell in _cells(one)]
        shown.add_row(str(own.neighbours), *cells)
    return shown


def _cells(trial: Trial) -> tuple[str, ...]:
    speed = f"{trial.pictures / trial.seconds:.0f}" if trial.seconds else ""
    return f"{trial.precision:.3f}", f"{trial.recall:.3f}", f"{trial.f1:.3f}", speed
