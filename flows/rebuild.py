"""What a person sees of `flow rebuild`: bars, what is missing, and the release."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from flows.show import SHOWN, console, counted, display, harmless
from pipeline.errors import WorldError
from pipeline.rebuild import Rebuilt, rebuild
from pipeline.run import Settings


def rebuild_release(manifest: Path, settings: Settings, releases: Path | None, *, private_hosts: bool) -> None:
    """Make a release again from its manifest, and tell what came of it.

    Raises:
        WorldError: Something of it is missing; the rest is published.
        KaosetError: As `rebuild`.
    """
    with display() as shown:
        rebuilt = rebuild(manifest, settings, releases, shown.progress, shown.say, private_hosts=private_hosts)
    out, release, missing = console(), rebuilt.release, len(rebuilt.missing)
    if missing:
        out.print(_table(rebuilt))
    if release is not None:
        fresh = "published" if release.new else "there already"
        out.print(f"release {fresh}: {release.path} ({release.crops} faces)", highlight=False, soft_wrap=True)
    if missing:
        total = missing + (release.crops if release else 0)
        raise WorldError(f"{missing:,} of {counted(total, 'crop')} could not be had; {rebuilt.listed} names them all")


def _table(rebuilt: Rebuilt) -> Table:
    more = len(rebuilt.missing) - SHOWN
    caption = f"and {more:,} more, in {rebuilt.listed}" if more > 0 else None
    table = Table(title="What could not be had", title_justify="left", caption=caption, caption_justify="left")
    table.add_column("crop", no_wrap=True)
    for name in ("post", "page", "reason", "detail"):
        table.add_column(name, overflow="fold")
    for one in rebuilt.missing[:SHOWN]:
        told = (one.row.crop_sha256[:12], one.row.post_id, one.row.page_url, one.reason, one.detail)
        table.add_row(*map(harmless, told))
    return table
