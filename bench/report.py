"""How results are shown: the same tables for a terminal and as Markdown, with what is worth knowing of the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

VERSIONS = ("opencv-python-headless", "animeface", "pillow", "numpy")


@dataclass(frozen=True, slots=True)
class Table:
    """Some rows under a title, and what must be known to read them."""

    title: str
    columns: Sequence[str]  # the first says what the row is about
    rows: Sequence[Sequence[str]]
    note: str = ""
    words: int = 1  # columns, from the left, that hold words; the others hold numbers


def show(tables: Iterable[Table], console: Console) -> None:
    """Print tables for people."""
    for table in tables:
        shown = RichTable(title=table.title, title_justify="left", title_style="bold")
        for index, column in enumerate(table.columns):
            shown.add_column(column, justify="left" if index < table.words else "right")
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)
        if table.note:
            console.print(table.note, highlight=False, markup=False)
        console.print()


def markdown(tables: Iterable[Table], about: Iterable[str]) -> str:
    """Write the same as Markdown, the machine first."""
    lines = ["# What was measured", "", "Written by `make bench`; [README.md](README.md) says how to read it.", ""]
    lines += [f"- {line}" for line in about]
    for table in tables:
        lines += ["", f"## {table.title}", "", _line(table.columns), _line(_rules(table))]
        lines += [_line(row) for row in table.rows]
        lines += ["", table.note] if table.note else []
    return "\n".join(lines) + "\n"


def _rules(table: Table) -> Iterator[str]:
    return ("---" if index < table.words else "--:" for index in range(len(table.columns)))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def machine() -> list[str]:
    """Describe this machine and what is installed, without any name or path."""
    installed = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    return [
        f"{os.cpu_count()} cores, {_processor()}, {platform.system()}; load at the start {os.getloadavg()[0]:.1f}",
        f"Python {platform.python_version()}, {installed}",
    ]


def _processor() -> str:
    """Give the model of the processor, as the system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()
