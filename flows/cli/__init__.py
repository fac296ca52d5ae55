"""The `flow` command: what a person types."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.tree import Tree

from flows.cli import review, run
from flows.cli.options import CatalogUrl, Data, Overrides, RecipeName, SandboxPosts, WorkerCount, opened, refuse_empty
from flows.show import console, counted, display, failures, harmless, hosts, summary, unread
from pipeline import __version__
from pipeline.errors import UsageError, WorldError

FLOWS = {
    "build-dataset": "scrape, find and cut faces, publish a release, train on it",
    "publish-dataset": "publish what has been scraped and decided so far",
    "train-gan": "train a GAN on a release",
    "train-cascade": "train a face detector that OpenCV runs, on a release or on drawings",
    "train-detector": "train a network that finds faces, on a release or on drawings",
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Image boards, pages and folders in; clean, reviewed, reproducible face datasets out.",
    epilog="Example: flow run build-dataset sandbox",
)
bench = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure how well faces are found.")
app.add_typer(run.app, name="run", epilog="Example: flow run build-dataset my.toml --limit 500")
app.add_typer(review.app, name="review", epilog="Example: flow review --reviewer kim")
app.add_typer(bench, name="bench", epilog="Example: flow bench faces --truth labels.csv")


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"kaoset {__version__}")
        raise typer.Exit


@app.command(
    "ls",
    short_help="List flows and recipes; print one to copy and change.",
    epilog="Example: flow ls danbooru > my.toml",
)
def ls(
    recipe: Annotated[str | None, typer.Argument(help="Print this recipe with what every field means.")] = None,
) -> None:
    """List the flows and the built-in recipes, or print one recipe to copy and change."""
    from pipeline.recipe import built_in, documented, load, preface

    if recipe is not None:
        said = "".join(f"# {line}\n" for line in preface(recipe))
        print(said, documented(load(recipe)), sep="", end="")
        return
    out = console()
    out.print("flows", style="bold")
    for name, what in FLOWS.items():
        out.print(f"  {name:<16} {what}", highlight=False)
    out.print("recipes", style="bold")
    for name in built_in():
        out.print(f"  {name:<16} {preface(name)[0]}", highlight=False)


@app.command(
    "status",
    short_help="The last run, its hosts, what failed, what waits, the releases.",
    epilog="Example: flow status --json | jq .waiting",
)
def status(
    data: Data = Path("data"),
    catalog: CatalogUrl = "",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what the last run did and with which hosts, what failed, what waits for a person, what is published."""
    from pipeline.stage import StageReport
    from pipeline.status import status as ask

    with opened(data, catalog) as (known, folder):
        found = ask(known, folder.releases)
        if found.last_run and found.last_run["state"] == "running" and not folder.at_work(found.last_run["recipe"]):
            found.last_run["state"] = "killed"  # the next run of it says so in the catalog too
    if as_json:
        print(json.dumps({"data": str(data), **found.to_json()}, indent=2))
        return
    out, last = console(), found.last_run
    if last is None:
        out.print("nothing was run yet; try `flow run build-dataset`")
        return
    out.print(f"last run: {last['recipe']}, {last['state']}, began {last['started_at'][:19]} UTC", highlight=False)
    if last["note"]:
        out.print(last["note"], highlight=False, soft_wrap=True)
    if last["reports"]:  # a run tells of its stages when it has ended
        out.print(summary(StageReport(**report) for report in last["reports"]))
    if found.hosts:
        out.print(hosts(found.hosts))
    for line in [*failures(found.failures, datetime.now(UTC)), *unread(found.unread)]:
        out.print(line, highlight=False, soft_wrap=True)
    out.print(f"waiting for a person: {found.waiting}" + (" (flow review)" if found.waiting else ""), highlight=False)
    for one in found.releases:
        out.print(f"release: {one}", highlight=False, soft_wrap=True)


@app.command(
    "explain", short_help="Why a picture is, or is not, in the dataset.", epilog="Example: flow explain sandbox:1234"
)
def explain(
    name: Annotated[str, typer.Argument(metavar="ID", help="A post's id, a SHA-256 or MD5 (or its start), or a file.")],
    data: Data = Path("data"),
    catalog: CatalogUrl = "",
) -> None:
    """Tell the whole way of a picture: every outcome, its reason and its time."""
    from pipeline.explain import Way
    from pipeline.explain import explain as tell

    def grow(tree: Tree, way: Way) -> None:
        for fact in way.facts:
            tree.add(harmless(fact))
        for part in way.parts:
            grow(tree.add(harmless(part.title)), part)

    with opened(data, catalog) as (known, _):
        ways = tell(known, name)
    for way in ways:
        tree = Tree(harmless(way.title))
        grow(tree, way)
        console().print(tree, markup=False, highlight=False, soft_wrap=True)


@app.command(
    "duplicates",
    short_help="Show copies: those a recipe dropped, or those in any folder.",
    epilog="Example: flow duplicates ~/pictures --out copies.html",
)
def duplicates(
    what: Annotated[
        str | None, typer.Argument(metavar="[RECIPE|FOLDER]", help="A recipe that was run, or a folder of pictures.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE|FOLDER", help="The page; without: duplicates.html here. The table lies beside it."),
    ] = None,
    distance: Annotated[
        int, typer.Option(min=0, max=31, help="Of a folder: bits of 64 by which hashes of what is compared may differ.")
    ] = 8,
    data: Annotated[
        Path | None,
        typer.Option("--data", envvar="KAOSET_DATA", help="The data folder; of a folder, where hashes are remembered."),
    ] = None,
    catalog: CatalogUrl = "",
    workers: WorkerCount = 0,
) -> None:
    """Show groups of pictures with the same drawing on one page, the best first, and why; nothing is deleted.

    Found are copies that were saved again, rescaled, recoloured, cut a little or mirrored; variations of a drawing,
    with another expression or text, are told from them. Of a folder the hashes are remembered beside the page, or in
    --data.
    """
    from flows.duplicates import show_duplicates

    with display() as shown:
        written = show_duplicates(what, out, data, catalog, distance, workers, shown)
    for section in written.sections:
        for name, why in section.left_out.items():
            print(harmless(f"left out: {name}: {why}"))
        print(harmless(section.told()))
    print(f"look at: {written.page}\ntable:   {written.table}")


@app.command(
    "near",
    short_help="Say which images of the data folder are like a picture.",
    epilog="Example: flow near found.jpg; flow near ~/pictures --json",
)
def near(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURE...", help="Pictures, or folders of them.")],
    distance: Annotated[
        int, typer.Option(min=0, max=31, help="Bits of 64 by which hashes of what is compared may differ.")
    ] = 8,
    data: Data = Path("data"),
    catalog: CatalogUrl = "",
    workers: WorkerCount = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say which images of the data folder show the same drawing as a picture, or a variation of it; which is larger.

    Found are copies that were saved again, rescaled, recoloured, cut a little or mirrored. What cannot be decoded is
    told with the reason. Hashes are remembered in the data folder, so only the first time takes long.
    """
    from flows.near import near as asked

    with opened(data, catalog) as (known, folder), display() as shown:
        found = asked(pictures, known, folder, distance, workers, shown)
    if as_json:
        print(json.dumps([one.to_json() for one in found], indent=2))
    else:
        for one in found:
            print("\n".join(one.lines()))


@app.command("verify", epilog="Example: flow verify sandbox/001")
def verify(
    release: Annotated[str | None, typer.Argument(help="Folder, recipe/number or recipe; without: the last.")] = None,
    data: Data = Path("data"),
) -> None:
    """Read a whole release again and name every fault."""
    from pipeline.export import find_release
    from pipeline.verify import verify as faults_of

    path = Path(release) if release and Path(release).is_dir() else find_release(data / "releases", release)
    faults = faults_of(path)
    for fault in faults:
        print(fault)
    if faults:
        raise WorldError(f"{path}: {counted(len(faults), 'fault')}; {_repair(path, faults)}")
    print(f"{path}: sound")


@app.command(
    "diff",
    short_help="What two releases differ in, and why.",
    epilog="Example: flow diff sandbox/001 sandbox/002",
)
def diff(
    old: Annotated[str, typer.Argument(help="Folder, recipe/number or recipe (its last).")],
    new: Annotated[str, typer.Argument(help="The same of the other one.")],
    data: Data = Path("data"),
    catalog: CatalogUrl = "",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Tell which crops came, went or changed from one release to another, and why; what the recipes differ in, too.

    Why a crop is gone is what the catalog says of it now. Ends with 0 where they are the same, 1 where they differ.
    """
    from flows import diff as told

    found = told.diff(old, new, data, catalog)
    if as_json:
        print(json.dumps(found.to_json(), indent=2, default=str))
    elif found:
        if any(found.counts()):
            console().print(told.table(found))
        for line in told.lines(found):
            console().print(line, highlight=False, soft_wrap=True)
    else:
        print("the same")
    raise typer.Exit(int(bool(found)))


@app.command(
    "generate",
    short_help="Draw faces with a trained GAN.",
    epilog="Example: flow generate --hair green --count 64; flow generate sandbox-001-1a2b3c --interpolate --count 6",
)
def generate(
    training: Annotated[
        str | None,
        typer.Argument(help="Folder or name of a training, a .safetensors or a checkpoint; without: the last."),
    ] = None,
    data: Data = Path("data"),
    count: Annotated[int, typer.Option(help="Pictures; of an interpolation, places on the way.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the first picture; each next one has the next.")] = 0,
    hair: Annotated[str, typer.Option(help="A colour, such as green.")] = "",
    eyes: Annotated[str, typer.Option(help="A colour, such as blue.")] = "",
    character: Annotated[str, typer.Option(help="Whom to draw.")] = "",
    having: Annotated[list[str] | None, typer.Option("--with", help="A label, such as smile; may be repeated.")] = None,
    lacking: Annotated[list[str] | None, typer.Option("--without", help="A label that is not wanted.")] = None,
    truncation: Annotated[
        float | None, typer.Option(help="Leave out rare noise: 0.7 draws better and more alike faces.")
    ] = None,
    interpolate: Annotated[bool, typer.Option("--interpolate", help="A strip and a film from face to face.")] = False,
    files: Annotated[bool, typer.Option("--files", help="A file for each picture instead of one grid.")] = False,
    columns: Annotated[int | None, typer.Option(help="Of the grid.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures and made.json.")] = Path("generated"),
) -> None:
    """Draw faces by seed and by what they should show; made.json says how each was made."""
    import math

    from flows.jobs import find_training
    from pipeline.train import Wanted
    from pipeline.train import generate as draw

    wanted = Wanted(
        count=count,
        seed=seed,
        hair=hair,
        eyes=eyes,
        character=character,
        having=tuple(having or ()),
        lacking=tuple(lacking or ()),
        truncation=math.inf if truncation is None else truncation,
        interpolate=interpolate,
        layout="files" if files else "grid",
        columns=columns,
    )
    written = draw(find_training(data, training), wanted, out)
    print(*(written if len(written) <= 5 else [f"{out}: {len(written) - 1} pictures", written[-1]]), sep="\n")


@app.command(
    "compare",
    short_help="Lay trainings side by side: one table, one picture.",
    epilog="Example: flow compare sandbox-001-1a2b3c sandbox-001-4d5e6f",
)
def compare(
    trainings: Annotated[list[str], typer.Argument(help="Folders or names of two trainings or more.")],
    data: Data = Path("data"),
    out: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path("compare.png"),
) -> None:
    """Compare trainings by what was measured at their best and last checkpoints, and by what they draw."""
    from rich.table import Table

    from flows.jobs import find_training
    from pipeline.train.contest import compare as read
    from pipeline.train.contest import picture, table

    contest = read([find_training(data, one) for one in trainings])
    head, *rows = table(contest)
    shown = Table(box=None)
    shown.add_column(head[0], no_wrap=True)
    for name in head[1:]:
        shown.add_column(harmless(name), overflow="fold")  # names are told apart by their ends
    for row in rows:
        shown.add_row(*map(harmless, row))
    console().print(shown)
    for line in contest.warnings:
        print(f"note: {harmless(line)}")
    picture(contest, out)
    print(out)


@app.command(
    "rebuild",
    short_help="Make a release again from its manifest.",
    epilog="Example: flow rebuild shared/data_manifest.csv",
)
def rebuild(
    manifest: Annotated[
        Path, typer.Argument(help="A data_manifest.csv; recipe.toml and report.json may lie beside it.")
    ],
    data: Data = Path("data"),
    catalog: CatalogUrl = "",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder of releases; without: the one in the data folder.")
    ] = None,
    workers: WorkerCount = 0,
    sandbox_posts: SandboxPosts = 600,
    private_hosts: Annotated[
        bool, typer.Option("--private-hosts", help="Ask hosts on this machine and on private networks too.")
    ] = False,
) -> None:
    """Fetch the originals of a manifest, cut the same crops, and publish the same release, byte for byte.

    With the release's recipe.toml and report.json beside the manifest every file of it comes out as it was; without
    them what follows from the manifest. What cannot be had is named with its reason, here and in a missing-NNN.csv
    beside the release that the rest becomes. Without --out, and where it is not whole or the recipe has other releases,
    it goes to RECIPE-rebuilt, so that it is never taken for the recipe's last. It can be stopped, and the same command
    goes on; what is in the store is not fetched again.
    """
    from flows.jobs import settings_from_environment
    from flows.rebuild import rebuild_release

    settings = replace(
        settings_from_environment(data), catalog_url=catalog, workers=workers, sandbox_posts=sandbox_posts
    )
    rebuild_release(manifest, settings, out, private_hosts=private_hosts)


@app.command(
    "forget",
    short_help="Remove a work for good, and never take it again.",
    epilog="Example: flow forget --artist somebody --dry-run; flow forget --post danbooru:7654321 --yes",
)
def forget(
    artist: Annotated[list[str] | None, typer.Option(help="All works of an artist, by the board's tag.")] = None,
    post: Annotated[list[str] | None, typer.Option(help="A post, such as danbooru:123.")] = None,
    sha256: Annotated[list[str] | None, typer.Option(help="An image, or the image of a crop.")] = None,
    data: Data = Path("data"),
    catalog: CatalogUrl = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
) -> None:
    """Remove works from the catalog, the store and every later release, and remember them so that none comes back.

    All posts with the same bytes go as well; a near-copy is another work, so name it too. What was published stays
    as it is: the releases that hold a work are listed. Decisions on its crops stay, as numbers without a picture.
    """
    from flows.forget import forget_works

    with opened(data, catalog) as (known, folder):
        print(forget_works(known, folder, artist or [], post or [], sha256 or [], ask=not yes, only_show=dry_run))


@app.command(
    "sandbox",
    short_help="Serve a board of drawn characters, for trying things out.",
    epilog="Example: flow sandbox --port 8600 --posts 200 --faults",
)
def sandbox(
    port: Annotated[int, typer.Option(help="0: any free one.")] = 0,
    posts: Annotated[int, typer.Option(envvar="KAOSET_SANDBOX_POSTS", min=1, help="How many posts it holds.")] = 600,
    faults: Annotated[bool, typer.Option("--faults", help="Fail as real boards do.")] = False,
    data: Data = Path("data"),
) -> None:
    """Serve the sandbox board, a small Danbooru full of drawn characters, on loopback until Ctrl-C.

    A recipe may name the address that it prints, with private_hosts = true. Below it /gelbooru, /moebooru and
    /szurubooru hold the same posts in other dialects, and /getchu sells them as products.
    """
    from functools import partial
    from threading import Event

    from pipeline.sandbox.board import serve as serving
    from pipeline.sandbox.posts import Sandbox, build

    with serving(Sandbox(data, ()), port=port):
        pass  # a port that is taken is better known before the drawing than after it
    with display() as shown:
        drawn = build(data / "sandbox", posts, progress=partial(shown.progress, "draw"))
    with serving(drawn, port=port, faults=faults) as board, suppress(KeyboardInterrupt):
        print(board.url, flush=True)
        Event().wait()


@app.command("cascades", short_help="Say where the cascade is, or fetch it.", epilog="Example: flow cascades fetch")
def cascades(
    what: Annotated[str | None, typer.Argument(metavar="[fetch]", help="Download what is missing.")] = None,
) -> None:
    """Say where the cascades are, or fetch the one that is third-party data and not part of kaoset."""
    from pipeline.detectors import lbpcascade, onnx

    if what not in (None, "fetch"):
        raise UsageError(f"{what}: unknown; say `flow cascades` or `flow cascades fetch`")
    print(f"{lbpcascade.OWN}: {lbpcascade.find(lbpcascade.OWN)}", flush=True)
    print(f"{onnx.OWN}: {lbpcascade.find(onnx.OWN)}", flush=True)
    path = lbpcascade.fetch() if what == "fetch" else lbpcascade.find()
    print(f"{lbpcascade.THIRD_PARTY}: {path}")


@app.command(
    "fit-score",
    short_help="Learn from decisions how probable a face is.",
    epilog="Example: flow fit-score my.toml, then -p filter.score=data/scores/my.toml",
)
def fit_score(
    recipe: RecipeName = None,
    data: Data = Path("data"),
    catalog: CatalogUrl = "",
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where it goes; without: scores/ in the data folder.")
    ] = None,
    pictures: Annotated[
        int, typer.Option(min=0, help="Learn from so many hard pictures that are drawn, not from decisions.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the drawn pictures.")] = 501,
    workers: WorkerCount = 0,
) -> None:
    """Fit the probability that a face is one to what people decided: what is kept is a face, what is rejected none.

    It begins with what kaoset knows, so that a few decisions move it a little, and some hundreds make it yours. Say
    `unsure`, not `reject`, of a face that you do not want for another reason. The table says what the rule of the
    recipe would have done, by the old score and by one that had not seen the decision. Name the file in filter.score.
    """
    from flows import score
    from pipeline.recipe import load
    from pipeline.run import with_detectors_at_hand

    wanted = load(recipe, overrides or [])
    if pictures:
        file = out or data / "scores" / "drawn.toml"
        with display() as shown:
            fitted = score.fit_on_drawings(wanted.detect.detectors, pictures, seed, data, workers, file, shown)
    else:
        refuse_empty(data, catalog)
        with display() as shown:
            wanted = with_detectors_at_hand(wanted, shown.say)  # as a run does
        fitted = score.fit_score(wanted, data, catalog, out)
    console().print(score.table(fitted, wanted))
    if fitted.left_out:
        console().print(
            f"{counted(fitted.left_out, 'decision')} left out: on what other detectors, or an older kaoset, found"
        )
    doubt = score.doubts(fitted)
    if doubt:
        console().print(doubt, highlight=False, soft_wrap=True)
    print(f"score: {fitted.path}")


@bench.command("faces", epilog="Example: flow bench faces --truth labels.csv --detectors animeface-script,animeface")
def bench_faces(
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Your own labels: a CSV with file,left,top,width,height and perhaps label; a COCO .json; or a folder "
            "of pictures with YOLO's .txt beside them. Boxes are squares from above the eyebrows to the chin, with "
            "fringe and ears: tighter ones count as misses. Without: hard pictures are drawn, whose truth is exact."
        ),
    ] = None,
    detectors: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME…",
            help="Ways to look. animeface-script and cascade-script are what everybody copies, on full-size pictures; "
            "animeface, lbpcascade, lbpcascade+animeface and so on are kaoset's stage. Without: those of the default "
            "recipe that can be had here.",
        ),
    ] = "",
    out: Annotated[Path, typer.Option(help="The folder for faces.csv, faces.json, faces.png and cases.png.")] = Path(
        "bench-faces"
    ),
    pictures: Annotated[int, typer.Option(min=1, help="How many are drawn; 29 are one of each difficulty.")] = 290,
    data: Data = Path("data"),
    workers: WorkerCount = 0,
) -> None:
    """Measure precision, recall, average precision and calibration of ways to find faces, by difficulty and by size.

    A box is right if it overlaps a face by half (intersection over union) and no surer box has that face. The tables
    show what each way answers, and what the default recipe would accept without a person and show to one; in brackets
    stands between which values a share lies at 95 %.
    """
    from flows.bench import bench_faces as measure
    from flows.bench import tables

    names = [name.strip() for name in detectors.split(",") if name.strip()]
    with display() as shown:
        ways, files = measure(truth, names, out, pictures, data, workers, shown)
    for table in tables(ways):
        console().print(table)
    for file in files:
        console().print(f"look at: {file}", highlight=False, soft_wrap=True)


@app.command(
    "serve", short_help="Build on a schedule, train on every release.", epilog="Example: flow serve danbooru --every 6h"
)
def serve(
    recipe: RecipeName = None,
    data: Data = Path("data"),
    overrides: Overrides = None,
    every: Annotated[str | None, typer.Option(help="Such as 30m, 6h or 1d.")] = None,
    cron: Annotated[str | None, typer.Option(help='Such as "0 4 * * *", in UTC.')] = None,
    port: Annotated[int | None, typer.Option(help="Of the Prefect server, if one is started here.")] = None,
) -> None:
    """Build on a schedule, and train whenever a release is published; the page of Prefect shows it all."""
    import os

    from flows.jobs import schedule_of
    from flows.server import prepare, running
    from pipeline.recipe import load

    schedule, chosen = schedule_of(every, cron), load(recipe, overrides or [])
    if chosen.train.work_pool and not os.environ.get("PREFECT_API_URL"):
        raise UsageError(
            f"train.work_pool {chosen.train.work_pool}: its workers cannot reach the server that `flow serve` starts; "
            "start one with `prefect server start --host 0.0.0.0` and name it in PREFECT_API_URL"
        )
    prepare(data / ".prefect", "WARNING")
    with running(port or 4200, ui=True) as url:
        from flows.serve import serve_flows

        print(f"Prefect: {url.removesuffix('/api')}  (Ctrl-C ends)", flush=True)
        serve_flows(chosen, recipe, data, overrides or [], schedule)


def _repair(release: Path, faults: list[str]) -> str:
    """Say what helps: a release that is published is never changed."""
    from pipeline.rebuild import BESIDE

    told = "`flow run publish-dataset` makes a new release and leaves this one as it is, so delete this folder"
    if any(fault.startswith((*BESIDE, "SHA256SUMS: ")) for fault in faults):
        return told
    return f"{told}; or `flow rebuild {release / BESIDE[0]}` makes it again, for its manifest is sound"
