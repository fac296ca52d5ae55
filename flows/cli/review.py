"""`flow review`: decide on crops, in the browser or one by one."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.options import CatalogUrl, Data, WorkerCount, opened, refuse_empty
from flows.show import console, counted
from pipeline.errors import UsageError
from pipeline.records import FaceCrop, Reason, ReviewDecision, Verdict

app = typer.Typer(
    rich_markup_mode=None,
    help="Decide on the crops that wait for a person, in the browser; or one by one with the commands below.",
)


@app.callback(invoke_without_command=True)
def review_page(
    context: typer.Context,
    data: Data = Path("data"),
    catalog: CatalogUrl = "",
    reviewer: Annotated[str, typer.Option(envvar="KAOSET_REVIEWER", help="Who decides; you, if nobody is named.")] = "",
    recipe: Annotated[str | None, typer.Option(help="Only the crops of this recipe.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Without: 8377, or that of the last time; 0: any free one.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Another address than this machine's own lets others in who have the start URL.")
    ] = "127.0.0.1",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the start URL.")] = False,
    no_seeds: Annotated[
        bool, typer.Option("--no-seeds", help="Show no known-false crops, which measure attention.")
    ] = False,
) -> None:
    """Show the crops that wait in the browser: all are good but those that you mark; Enter commits a page."""
    if context.invoked_subcommand is not None:
        return
    from flows.review import open_page

    refuse_empty(data, catalog)
    open_page(
        data,
        catalog,
        reviewer=reviewer or getpass.getuser(),
        host=host,
        port=port,
        recipe=recipe,
        seeds=not no_seeds,
        browser=not no_browser,
        say=lambda line: typer.echo(line, err=True),
    )


@app.command("export", epilog="Example: flow review export decisions.jsonl")
def review_export(
    file: Annotated[Path | None, typer.Argument(help="Without: to the screen.")] = None,
    data: Data = Path("data"),
    catalog: CatalogUrl = "",
) -> None:
    """Write all decisions, undone ones too, as JSON lines that say themselves which face they are about."""
    from flows.review import export

    refuse_empty(data, catalog)
    count = export(data, catalog, file)
    if file is not None:
        print(f"{file}: {counted(count, 'decision')}")


@app.command("import", epilog="Example: flow review import decisions.jsonl")
def review_import(
    file: Annotated[Path, typer.Argument(help="What `flow review export` wrote, here or elsewhere.")],
    data: Data = Path("data"),
    catalog: CatalogUrl = "",
) -> None:
    """Take in decisions of another data folder; those that are known already are not taken twice."""
    from flows.review import take_in

    refuse_empty(data, catalog)
    new, known = take_in(data, catalog, file)
    print(
        f"{counted(new, 'decision')} taken in, {known} known already; `flow run publish-dataset` makes a release of it"
    )


@app.command(
    "simulate",
    short_help="How soon false crops are found, in a random order, by score, and as it is learnt.",
    epilog="Example: flow review simulate --decisions --out order.png",
)
def review_simulate(
    data: Data = Path("data"),
    catalog: CatalogUrl = "",
    decisions: Annotated[
        bool, typer.Option("--decisions", help="On what was decided in the data folder; else on hard drawings.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw the curves, too.")] = None,
    workers: WorkerCount = 0,
) -> None:
    """Count the crops that are seen until 95 % of the false ones are found; drawings take a minute or two at first."""
    from flows import order
    from flows.review import simulate

    if decisions:
        refuse_empty(data, catalog)
    found = simulate(data, catalog, decisions=decisions, out=out, workers=workers)
    console().print(order.table(found))
    if out is not None:
        print(f"curves: {out}")


@app.command("list", epilog="Example: flow review list --json | jq -r .[].path")
def review_list(
    data: Data = Path("data"),
    catalog: CatalogUrl = "",
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the crops that wait for a decision, the least sure first."""
    with opened(data, catalog) as (known, folder):
        waiting = [crop for crop in known.crops("review", Reason.WAITING) if crop.sha256 not in known.decisions()]
        shown = [_queued(crop, folder.store.path(crop.sha256)) for crop in waiting[:limit]]
    if as_json:
        print(json.dumps(shown, indent=2))
        if len(waiting) > len(shown):
            typer.echo(f"{len(waiting) - len(shown)} more wait; --limit {len(waiting)} lists all", err=True)
        return
    for one in shown:
        line = (
            f"{one['crop_sha256'][:12]}  {one['score']:.3f}  {one['detector']:<10}  {one['side']:>5} px  {one['path']}"
        )
        print(line)
    wait = "waits" if len(waiting) == 1 else "wait"
    print(f"{counted(len(waiting), 'crop')} {wait}" + ("; flow review keep|reject|unsure SHA256…" if waiting else ""))


def _verdict_command(verdict: Verdict, what: str) -> None:
    @app.command(verdict.value, help=what, epilog=f"Example: flow review {verdict.value} 3fa9c1 77b0e2")
    def _decide(
        crops: Annotated[list[str], typer.Argument(help="SHA-256 of the crops; the first digits are enough.")],
        data: Data = Path("data"),
        catalog: CatalogUrl = "",
        label: Annotated[str | None, typer.Option(help="Who or what it shows.")] = None,
        reviewer: Annotated[str, typer.Option(envvar="KAOSET_REVIEWER", help="Who decides.")] = "",
    ) -> None:
        with opened(data, catalog) as (known, _):
            chosen = [_only_crop(known, crop) for crop in crops]
            known.decide([_decision(crop, verdict, reviewer, label) for crop in chosen])
        print(f"{len(chosen)} {verdict.value}; `flow run publish-dataset RECIPE` makes a release of it")


_verdict_command(Verdict.KEEP, "Let crops into the next release.")
_verdict_command(Verdict.REJECT, "Keep crops out of every release.")
_verdict_command(Verdict.UNSURE, "Keep crops out until somebody else decides.")


@app.command("undo", epilog="Example: flow review undo")
def review_undo(
    crops: Annotated[list[str] | None, typer.Argument(help="Without: the last decision of all.")] = None,
    data: Data = Path("data"),
    catalog: CatalogUrl = "",
    reviewer: Annotated[str, typer.Option(envvar="KAOSET_REVIEWER", help="Who takes it back.")] = "",
) -> None:
    """Take a decision back; the one before it stands again."""
    with opened(data, catalog) as (known, _):
        last = known.last_decided()
        chosen = [_only_crop(known, crop) for crop in crops] if crops else [last] if last else []
        standing = known.decisions()
        undecided = [crop for crop in chosen if crop not in standing]
        if undecided or not chosen:
            raise UsageError(f"{undecided[0][:12] if undecided else 'undo'}: there is no decision to take back")
        known.decide([_decision(crop, None, reviewer, None) for crop in chosen])
    print(f"taken back: {', '.join(crop[:12] for crop in chosen)}")


def _only_crop(known: Any, prefix: str) -> str:
    from pipeline.explain import SHORTEST

    prefix = prefix.lower()
    if set(prefix) - set("0123456789abcdef"):
        raise UsageError(f"{prefix!r}: no SHA-256 of a crop; give its first digits, as `flow review list` shows them")
    if len(prefix) < SHORTEST:
        raise UsageError(f"{prefix!r}: too short; give at least {SHORTEST} digits, `flow review list` shows them")
    found = {record.sha256 for _, record in known.find(prefix) if isinstance(record, FaceCrop)}
    crops = {sha256 for sha256 in found if sha256.startswith(prefix)}
    if len(crops) != 1:
        raise UsageError(f"{prefix}: {len(crops) or 'no'} crops begin so; `flow review list` shows them")
    return str(crops.pop())


def _decision(crop: str, verdict: Verdict | None, reviewer: str, label: str | None) -> ReviewDecision:
    return ReviewDecision(
        crop_sha256=crop,
        verdict=verdict,
        label=label,
        reviewer=reviewer or getpass.getuser(),
        via="cli",
        decided_at=datetime.now(UTC),
    )


def _queued(crop: FaceCrop, path: Path) -> dict[str, Any]:
    return {
        "crop_sha256": crop.sha256,
        "score": crop.detection.score,
        "detector": crop.detection.detector,
        "agreed": crop.detection.agreed,
        "side": crop.side,
        "image_sha256": crop.detection.image_sha256,
        "path": str(path),
    }
