"""The command that holds two releases against each other, and how it tells what differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.table import Table

from flows.show import SHOWN, harmless
from pipeline.catalog import Catalog
from pipeline.compare import NOBODY_ASKED, Change, Difference, compare
from pipeline.export import find_release
from pipeline.folder import DataFolder


def diff(old: str, new: str, data: Path, catalog: str) -> Difference:
    """Compare two releases by any of their names; the catalog beside the new one, or else of *data*, says why.

    Raises:
        UsageError: One of them is no release.
    """
    folder = DataFolder(data)
    before, after = (find_release(folder.releases, name) for name in (old, new))
    with ExitStack() as stack:
        known = None
        # A release lies in releases/<recipe>/<number> of the data folder whose catalog knows of it.
        remembers = [DataFolder(root).catalog for root in (*after.resolve().parents[2:3], data)]
        where = catalog or next(filter(Path.is_file, remembers), None)
        if where:
            known = Catalog(where)
            stack.callback(known.close)
        return compare(before, after, known)


def table(found: Difference) -> Table:
    """Draw how many crops came, went and changed, and why."""
    shown = Table(title="Crops", title_justify="left")
    shown.add_column("", no_wrap=True)
    shown.add_column("crops", justify="right", no_wrap=True)
    shown.add_column("why, or which column", overflow="fold")
    for what, why, count in found.counts():
        shown.add_row(what, f"{count:,}", harmless(why))
    return shown


def lines(found: Difference) -> Iterator[str]:
    """Tell what differs one by one; of many crops only the first."""
    for name, (before, after) in found.recipe.items():
        yield f"recipe: {harmless(name)} {_value(before)} → {_value(after)}"
    for name in found.columns:
        yield f"manifest: only one of them has the column {harmless(name)}"
    yield from _of("+", found.added)
    yield from _of("-", found.removed)
    yield from _of("~", found.changed)
    if any(one.why == NOBODY_ASKED for one in found.removed):
        yield "why they are gone their catalog may know: name the data folder by --data"


def _of(sign: str, changes: Sequence[Change]) -> Iterator[str]:
    for one in changes[:SHOWN]:
        columns = ", ".join(f"{name} {before or '–'} → {after or '–'}" for name, (before, after) in one.columns.items())
        why = "; ".join(part for part in (columns, one.why) if part and part != NOBODY_ASKED)
        yield harmless(f"{sign} {one.crop_sha256[:12]}  {one.post_id}  {why}".rstrip())
    if len(changes) > SHOWN:
        yield f"{sign} and {len(changes) - SHOWN:,} more (--json lists all)"


def _value(value: object) -> str:
    return "(nothing)" if value is None else harmless(repr(value) if isinstance(value, str) else str(value))
