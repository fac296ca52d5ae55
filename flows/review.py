"""The commands about reviews: the page, and decisions that travel as JSON lines."""

from __future__ import annotations

import ipaddress
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from flows import order
from flows.order import Simulated
from flows.show import display
from pipeline.catalog import Catalog
from pipeline.errors import UsageError
from pipeline.folder import DataFolder
from pipeline.review.exchange import export_lines, import_decisions, read_lines
from pipeline.review.report import session
from pipeline.review.server import serve
from pipeline.store import write_atomically


def open_page(
    data: Path,
    catalog: str,
    *,
    reviewer: str,
    host: str,
    port: int | None,
    recipe: str | None,
    seeds: bool,
    browser: bool,
    say: Callable[[str], None],
) -> None:
    """Serve the page until Ctrl-C, and say what was done.

    Raises:
        UsageError: There is nothing to look at.
        WorldError: The port cannot be had.
    """
    folder = DataFolder(data)
    known = Catalog(catalog or folder.catalog)
    try:
        recipes = known.last_runs("review")
    finally:
        known.close()
    if recipe is not None and recipe not in recipes:
        raise UsageError(f"{recipe}: no run of it came to review; known are {', '.join(sorted(recipes)) or 'none'}")
    if not recipes:
        raise UsageError(f"{data}: no run came to review yet; `flow run build-dataset --data {data}` first")
    if not _is_loopback(host):
        say(
            f"WARNING: everybody who reaches {host} and has the address below may look and decide, "
            "and what is sent is not encrypted: do so in networks that you trust alone"
        )
    try:
        with ExitStack() as bars:
            shown = bars.enter_context(display())
            with serve(
                folder,
                catalog,
                reviewer=reviewer,
                host=host,
                port=port,
                recipe=recipe,
                seeds=seeds,
                progress=shown.progress,
            ) as page:
                bars.close()
                say(f"{len(page.desk.shelf):,} crops; Ctrl-C ends, and nothing is lost. Open:")
                print(page.url, flush=True)  # noqa: T201 - by itself on the output, for programs that start us
                if browser:
                    webbrowser.open(page.url)
                try:
                    page.wait()
                except KeyboardInterrupt:
                    say(summary(session(page.desk, reviewer)))
    except KeyboardInterrupt:  # before it was served
        return


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def summary(session: dict[str, Any]) -> str:
    """Say in a line what was done."""
    pace = f", {session['per_hour']:,} an hour" if session["per_hour"] else ""
    undone = f", {session['undone']} taken back" if session["undone"] else ""
    done = f"{session['crops']:,} crops decided, {session['rejected']:,} rejected{undone}"
    return f"{done}; {session['minutes']} minutes of looking{pace}"


def simulate(data: Path, catalog: str, *, decisions: bool, out: Path | None, workers: int) -> Simulated:
    """Say how soon false crops would have been found in each order, on drawings or on what people decided.

    Raises:
        UsageError: Too little was decided.
        WorldError: A detector is missing, or nothing can be written.
    """
    folder = DataFolder(data)
    with display() as shown:
        if decisions:
            known = Catalog(catalog or folder.catalog)
            try:
                found = order.simulate_on_decisions(known, folder.store, folder.root / "review", shown)
            finally:
                known.close()
        else:
            found = order.simulate_on_drawings(order.PICTURES, order.SEED, data, workers, shown)
    if out is not None:
        write_atomically(out, order.draw([found]))
    return found


def export(data: Path, catalog: str, out: Path | None) -> int:
    """Write all decisions as JSON lines; to the screen where no file is named. Gives how many there were."""
    known = Catalog(catalog or DataFolder(data).catalog)
    try:
        lines = list(export_lines(known))
    finally:
        known.close()
    if out is None:
        print("\n".join(lines), flush=True)  # noqa: T201 - it was asked for
    else:
        write_atomically(out, "".join(f"{line}\n" for line in lines).encode())
    return len(lines)


def take_in(data: Path, catalog: str, file: Path) -> tuple[int, int]:
    """Read decisions that `export` wrote; gives how many were new, and how many were known.

    Raises:
        UsageError: The file cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read ({error}); give what `flow review export` wrote") from error
    known = Catalog(catalog or DataFolder(data).catalog, durable=True)
    try:
        return import_decisions(known, read_lines(text.splitlines(), str(file)))
    finally:
        known.close()
