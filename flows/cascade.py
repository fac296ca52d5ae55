"""The flow that trains a cascade: what it learns from, where it goes, and what it is worth on other pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from rich.table import Table

from flows.jobs import terminated
from flows.lessons import SANDBOX, divided, of_hard, of_sandbox, read, released, values
from flows.lessons import backgrounds as of_backgrounds
from flows.show import Display
from pipeline.detectors import lbpcascade
from pipeline.errors import DetectorError, StoppedError, UsageError
from pipeline.folder import DataFolder
from pipeline.sandbox import hard, posts
from pipeline.store import write_atomically
from pipeline.train.cascade import CascadeConfig, Progress, train
from pipeline.train.cascade_file import to_xml
from pipeline.train.labelled import Source, choose, load
from pipeline.train.trial import Trial, trials
from pipeline.train.windows import Labelled

WORTH_TRYING = 1e-3  # share of other windows that may pass: OpenCV's grouping takes minutes of what lets through more
TILT = 25.0  # degrees; what leans more has its pattern elsewhere
OCCLUDED = 0.35  # share of a face that is covered; of what is covered more there is too little to learn


@dataclass(frozen=True, kw_only=True)
class TrainedCascade:
    """What a training of a cascade left behind."""

    path: Path
    stages: int
    stumps: int
    finished: bool  # False: stopped; what was done by then is a cascade of fewer stages
    held_out: int  # pictures
    own: Sequence[Trial]  # on the pictures held out; none when it was stopped, is too weak, or nothing was held out
    other: Sequence[Trial]  # of the third-party cascade, where it is at hand


def read_config(overrides: Sequence[str]) -> CascadeConfig:
    """Read ``key=value`` pairs.

    Raises:
        RecipeError: A key is unknown, a value no number, or out of range.
    """
    return CascadeConfig(**values(overrides, CascadeConfig, "stages=10"))


def train_cascade(
    data: Path,
    name: str | None,
    config: CascadeConfig,
    display: Display,
    *,
    catalog: str = "",
    backgrounds: Path | None = None,
    out: Path | None = None,
) -> TrainedCascade:
    """Learn to find faces like those of a release, or of the sandbox's drawings.

    Args:
        data: The data folder: releases, pictures, decisions, drawings.
        name: ``sandbox``, or a release by folder, recipe/number or recipe; None: the last release.
        config: How.
        display: Where it is told.
        catalog: The URL of its catalog; "": SQLite in the data folder.
        backgrounds: A folder of pictures without faces, learnt from as well.
        out: The file; None: ``cascades/<name>.xml`` in the data folder. What was stopped lies beside it.

    Raises:
        UsageError: There is no such release or folder, or nothing in it to learn from.
        WorldError: The release is not sound, its pictures are gone, or the file cannot be written.
    """
    folder = DataFolder(data)
    called, sources = _sources(folder, catalog, name, config, display)
    if out is None:
        out = data / "cascades" / f"{called.replace('/', '-')}.xml"
    if out.is_dir():
        raise UsageError(f"{out}: is a folder; name a file in it, such as {out / 'mine.xml'}")
    if backgrounds is not None:
        sources += of_backgrounds(backgrounds)
    chosen = choose(sources, config.pictures, config.seed)
    learnt, held_out = divided(read(load(chosen), len(chosen), display), config.seed)
    display.say(
        f"learns from {len(learnt)} pictures with {sum(len(one.faces) for one in learnt)} faces; "
        f"{len(held_out)} are held out, to try it on"
    )

    told: list[Progress] = []

    def show(now: Progress) -> None:
        told.append(now)
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
        raise StoppedError("stopped before the first stage was whole; nothing is written")
    path = out if finished else out.with_name(f"{out.stem}.stopped{out.suffix}")
    write_atomically(path, to_xml(stages, _made(called, config, backgrounds)).encode())
    if finished and len(stages) < config.stages:
        display.progress("stages", len(stages), len(stages))
        display.say(f"after {len(stages)} stages too few false alarms are left to learn from")
    tried = held_out if finished and _is_worth_trying(told[-1], display) else []
    return TrainedCascade(
        path=path,
        stages=len(stages),
        stumps=told[-1].stumps,
        finished=finished,
        held_out=len(held_out),
        own=trials(path, tried) if tried else (),
        other=_others(tried, display) if tried else (),
    )


def _is_worth_trying(last: Progress, display: Display) -> bool:
    if last.false_alarms <= WORTH_TRYING:
        return True
    display.say(
        "so many windows pass that it is not tried on the pictures held out; train more stages, or look at more"
    )
    return False


def _sources(
    folder: DataFolder, catalog: str, name: str | None, config: CascadeConfig, display: Display
) -> tuple[str, list[Source]]:
    """Find the pictures to learn from, and what to call them."""
    if name == SANDBOX:
        easy = posts.build(folder.sandbox, config.drawings, config.seed, partial(display.progress, "draw"))
        count = max(1, config.drawings // 2)
        difficult = hard.build(folder.sandbox, count, config.seed, partial(display.progress, "draw hard"))
        return SANDBOX, [*of_sandbox(easy), *of_hard(difficult, _is_learnt)]
    return released(folder, catalog, name)


def _is_learnt(face: hard.DrawnFace) -> bool:
    seen = face.view is not hard.View.PROFILE and abs(face.tilt) <= TILT and face.occluded <= OCCLUDED
    return seen and face.style is hard.Art.ANIME


def _others(pictures: Sequence[Labelled], display: Display) -> Sequence[Trial]:
    try:
        return trials(lbpcascade.find(), pictures)
    except DetectorError:
        display.say("the third-party cascade is not here to compare with (`flow cascades fetch`)")
        return ()


def _made(called: str, config: CascadeConfig, backgrounds: Path | None) -> str:
    """Say how it was made, without a word of this machine; for drawings the command makes the same file again."""
    usual = asdict(CascadeConfig())
    changed = "".join(f" -p {key}={value}" for key, value in asdict(config).items() if value != usual[key])
    settings = ", ".join(f"{key} {value}" for key, value in asdict(config).items())
    more = ", and a folder of pictures without faces" if backgrounds else ""
    return (
        "A cascade of local binary patterns that finds faces, trained by kaoset on what is named here"
        f"{more}:\nflow run train-cascade {called}{changed}\n({settings})"
    )


def table(trained: TrainedCascade) -> Table:
    """Draw what a cascade is worth on the pictures held out, beside the third-party one."""
    rivals = {"": trained.own, f"{lbpcascade.THIRD_PARTY} ": trained.other}
    speeds = ", ".join(
        f"{name or 'this one '}{some[0].pictures / some[0].seconds:.0f}" for name, some in rivals.items() if some
    )
    shown = Table(
        title=f"On {trained.held_out} pictures that it did not learn from",
        title_justify="left",
        caption=f"pictures a second: {speeds}",
        caption_justify="left",
    )
    shown.add_column("min_neighbours", justify="right")
    for name in (f"{of}{what}" for of, some in rivals.items() if some for what in ("precision", "recall", "F1")):
        shown.add_column(name, justify="right")
    for index, own in enumerate(trained.own):
        both = [own, *trained.other[index : index + 1]]
        cells = [f"{share:.3f}" for one in both for share in (one.precision, one.recall, one.f1)]
        shown.add_row(f"{own.asked:g}", *cells)
    return shown
