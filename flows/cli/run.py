"""`flow run`: what builds, publishes and trains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.options import CatalogUrl, Data, Overrides, RecipeName, SandboxPosts, WorkerCount, refuse_empty
from flows.show import Display, console, counted, display, summary
from pipeline.errors import StoppedError, WorldError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Run a flow now.")

Lessons = Annotated[
    str | None,
    typer.Argument(
        metavar="[RELEASE|sandbox]",
        help="Folder, recipe/number or recipe; `sandbox`: drawings with known faces; without: the last release.",
    ),
]
Backgrounds = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Pictures in which nobody is to be seen, to learn from as well."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the newest N posts of each source.")]
NoPrefect = Annotated[bool, typer.Option("--no-prefect", help="Run the same stages without Prefect.")]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="List nothing; fetch again only the files that failed.")
]
NoTrain = Annotated[bool, typer.Option("--no-train", help="Do not train on the release.")]
SandboxFaults = Annotated[bool, typer.Option("--faults", help="Let the sandbox board fail as real ones do.")]


@app.command("build-dataset", epilog="Example: flow run build-dataset my.toml -p filter.since=2015-01-01 --limit 500")
def build_dataset(
    recipe: RecipeName = None,
    data: Data = Path("data"),
    overrides: Overrides = None,
    limit: Limit = None,
    workers: WorkerCount = 0,
    catalog: CatalogUrl = "",
    no_train: NoTrain = False,
    no_prefect: NoPrefect = False,
    sandbox_posts: SandboxPosts = 600,
    faults: SandboxFaults = False,
    retry_failed: RetryFailed = False,
) -> None:
    """Scrape, find and cut faces, publish a release, and train on it; what is known is not done again."""
    from flows.jobs import settings_from_environment

    if retry_failed:
        refuse_empty(data, catalog)
    settings = replace(
        settings_from_environment(data, limit),
        catalog_url=catalog,
        workers=workers,
        sandbox_posts=sandbox_posts,
        sandbox_faults=faults,
        retry_failed=retry_failed,
    )
    _run_dataset("build_dataset", recipe, overrides or [], settings, prefect=not no_prefect, train=not no_train)


@app.command("publish-dataset", epilog="Example: flow review keep 3fa9c1; flow run publish-dataset")
def publish_dataset(
    recipe: RecipeName = None,
    data: Data = Path("data"),
    overrides: Overrides = None,
    limit: Limit = None,
    workers: WorkerCount = 0,
    catalog: CatalogUrl = "",
    train: Annotated[bool, typer.Option("--train", help="Train on the release.")] = False,
    no_prefect: NoPrefect = False,
) -> None:
    """Publish what has been scraped and decided so far, without asking any board."""
    from flows.jobs import settings_from_environment

    refuse_empty(data, catalog)
    settings = replace(settings_from_environment(data, limit), catalog_url=catalog, workers=workers)
    _run_dataset("publish_dataset", recipe, overrides or [], settings, prefect=not no_prefect, train=train)


@app.command("train-gan", epilog="Example: flow run train-gan sandbox/001 -p train.kimg=200")
def train_gan(
    release: Annotated[str | None, typer.Argument(help="Folder, recipe/number or recipe; without: the last.")] = None,
    data: Data = Path("data"),
    overrides: Overrides = None,
    no_prefect: NoPrefect = False,
    fid_weights: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="pt_inception-2015-12-05-6726825d.pth: measure the standard FID as well."),
    ] = None,
) -> None:
    """Train a GAN on a release; an unfinished training goes on, a finished one is left alone.

    The networks and all their settings stand in the recipe's section `train`; -p changes them for this training. Its
    folder holds train.html, which shows everything and renews itself while the training runs.
    """
    from flows import jobs

    with display() as shown:
        if no_prefect:
            trained = jobs.train_release(data, release, overrides or [], shown, fid_weights)
        else:
            order = {"release": release, "data": str(data), "overrides": overrides or []}
            order["fid_weights"] = None if fid_weights is None else str(fid_weights)
            answer = _with_prefect(data, shown, "train_gan", None, order)
            trained = jobs.Trained(run_dir=Path(answer["run"]), finished=bool(answer["finished"]))
    print(f"training: {trained.run_dir}")
    if not trained.finished:
        raise KeyboardInterrupt


@app.command(
    "train-cascade",
    epilog="Example: flow run train-cascade cartoons/003 --backgrounds landscapes --out cartoons.xml -p stages=16",
)
def train_cascade(
    release: Lessons = None,
    data: Data = Path("data"),
    catalog: CatalogUrl = "",
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            metavar="KEY=VALUE",
            help="drawings, pictures, positives, negatives, stages, min_hit_rate, max_false_alarm, max_weak, features, "
            "or seed.",
        ),
    ] = None,
    backgrounds: Backgrounds = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where it goes; without: cascades/ in the data folder.")
    ] = None,
) -> None:
    """Train a face detector for a style of your own: a cascade that OpenCV runs, in minutes and without PyTorch.

    Accepted crops are faces; what a person rejected is none; any other find is ignored. A fifth of the pictures is
    held out, to say how good it is. Ctrl-C keeps the stages that are whole, as a cascade beside FILE. Prefect has no
    part in it.
    """
    from flows import cascade

    config = cascade.read_config(overrides or [])
    with display() as shown:
        trained = cascade.train_cascade(data, release, config, shown, catalog=catalog, backgrounds=backgrounds, out=out)
    told = f"{trained.path} ({trained.stages} stages, {trained.stumps} stumps, {trained.path.stat().st_size:,} bytes)"
    if trained.own:
        console().print(cascade.table(trained))
    print(f"cascade: {told}")
    if not trained.finished:
        raise StoppedError("stopped; the stages that were whole are kept, and the same command begins anew")


@app.command(
    "train-detector",
    epilog="Example: flow run train-detector chitanda/002 --backgrounds landscapes --out chitanda.onnx -p kimg=4",
)
def train_detector(
    release: Lessons = None,
    data: Data = Path("data"),
    catalog: CatalogUrl = "",
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            metavar="KEY=VALUE",
            help="kimg (how long), batch, side, lr, width, drawings, posts, pictures, seed, precision, or threads.",
        ),
    ] = None,
    backgrounds: Backgrounds = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="scratch|FILE",
            help="The .onnx of such a model, to train it on; without: drawn_net, and for the sandbox scratch.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The .onnx; without: detectors/ in the data folder.")
    ] = None,
) -> None:
    """Train a network that finds faces of a style or a character of your own; it needs the extra [train].

    Accepted crops are faces; what a person rejected is none; any other find is ignored. A fifth of the pictures is
    held out, to say how good it is, and to choose the score that a face must have. Beside FILE lie a TOML, to be named
    in detect.detectors, and a picture as proof. Ctrl-C keeps what was learnt so far, beside FILE. Prefect has no part
    in it.
    """
    from flows import detector

    with display() as shown:
        trained = detector.train_detector(
            data, release, overrides or [], shown, catalog=catalog, without_faces=backgrounds, start=start, out=out
        )
    if trained.own:
        console().print(detector.table(trained))
    print(f"detector: {trained.path} ({trained.steps} steps, {trained.bytes:,} bytes)")
    if not trained.finished:
        raise StoppedError("stopped; what was learnt so far is kept, and the same command begins anew")


def _run_dataset(
    name: str, recipe: str | None, overrides: list[str], settings: Any, *, prefect: bool, train: bool
) -> None:
    from flows import jobs
    from pipeline.recipe import load

    chosen = load(recipe, overrides)
    if name == "build_dataset" and not settings.retry_failed:
        jobs.check_paths(chosen)  # a server takes seconds to start
    trained = None
    with display() as shown:
        if prefect:
            origin = {"recipe": jobs.from_anywhere(recipe), "data": str(settings.data.resolve())}
            order = {**origin, "overrides": overrides, "limit": settings.limit}
            answer = _with_prefect(settings.data, shown, name, settings, {**order, "train": train})
            built, trained = answer["built"], answer["trained"]
        else:
            built = getattr(jobs, name)(chosen, settings, shown)
            if train and built.release:
                try:
                    trained = jobs.train_release(settings.data, str(built.release.path), [], shown)
                except WorldError as error:
                    shown.say(f"not trained: {error}")
    _summarise(built, trained)


def _with_prefect(data: Path, shown: Display, name: str, settings: Any, parameters: dict[str, Any]) -> Any:
    """Run a flow in this process against a Prefect server, and turn its state into a result or an error."""
    from flows.server import prepare, running

    prepare(data / ".prefect")
    with running():
        from flows import orchestrate  # Prefect reads its settings at import: the server's address must be known

        return orchestrate.run_here(name, shown, settings, parameters)


def _summarise(built: Any, trained: Any) -> None:
    out = console()
    out.print(summary(built.reports))
    if built.waiting:
        out.print(f"waiting for a person: {counted(built.waiting, 'crop')} (flow review)", highlight=False)
    if built.release is None:
        return
    fresh = "published" if built.release.new else "unchanged"
    out.print(f"release {fresh}: {built.release.path} ({built.release.crops} faces)", highlight=False, soft_wrap=True)
    out.print(f"look at:   {built.release.path / 'contact_sheet.png'}", highlight=False, soft_wrap=True)
    if trained is not None:
        out.print(f"training:  {trained.run_dir}", highlight=False, soft_wrap=True)
        if not trained.finished:
            raise KeyboardInterrupt
