"""Options that several commands have, and what they do with the data folder that one of them names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.errors import UsageError

Data = Annotated[Path, typer.Option("--data", envvar="KAOSET_DATA", help="The folder that holds everything.")]
CatalogUrl = Annotated[
    str, typer.Option("--catalog", envvar="KAOSET_CATALOG", help="postgresql://… instead of SQLite in the data folder.")
]
RecipeName = Annotated[str | None, typer.Argument(help="A built-in name (see `flow ls`) or a TOML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("-p", metavar="KEY=VALUE", help="Change one field, such as filter.since=2005-01-01.")
]
WorkerCount = Annotated[
    int, typer.Option("--workers", envvar="KAOSET_WORKERS", min=0, help="Processes that look for faces; 0: one a core.")
]
SandboxPosts = Annotated[
    int, typer.Option("--sandbox-posts", envvar="KAOSET_SANDBOX_POSTS", min=1, help="Size of the sandbox board.")
]


def opened(data: Path, catalog: str) -> Any:
    """Open the catalog for reading or deciding; a run may go on meanwhile."""
    from contextlib import contextmanager

    from pipeline.catalog import Catalog
    from pipeline.folder import DataFolder

    refuse_empty(data, catalog)
    folder = DataFolder(data)

    @contextmanager
    def reading() -> Any:
        known = Catalog(catalog or folder.catalog)
        try:
            yield known, folder
        finally:
            known.close()

    return reading()


def refuse_empty(data: Path, catalog: str) -> None:
    """Raise UsageError where nothing was ever run."""
    from pipeline.folder import DataFolder

    if not catalog and not DataFolder(data).catalog.is_file():
        raise UsageError(f"{data}: no dataset there yet; run `flow run build-dataset --data {data}` first")
