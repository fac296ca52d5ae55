"""Hides how the folder of a training is read, however little is in it or damaged it is."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.card.text import visible

_MANY = 20  # parts of a value of run.json
_LONGEST = 200  # characters of a text from a file
_STATES = ("running", "stopped", "finished", "failed")

Row = Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What lies in a run folder, as far as it can be read; nothing that is asked of it raises."""

    folder: Path
    facts: Mapping[str, Any]  # run.json; empty where it is missing or damaged
    losses: Sequence[Row]
    metrics: Sequence[Row]  # cells that are empty or no number are left out
    attributes: Sequence[Mapping[str, str]]
    troubles: Sequence[str]  # what could not be read, a line each

    @property
    def config(self) -> Mapping[str, Any]:
        """How it is trained; empty where nobody knows."""
        config = self.facts.get("config")
        return config if isinstance(config, dict) else {}

    @property
    def state(self) -> str:
        """Say running, stopped, finished or failed; "" where nobody knows."""
        state = self.facts.get("state")
        return state if state in _STATES else ""

    @property
    def batch(self) -> float | None:
        """Pictures a step."""
        return as_number(self.facts.get("batch"))

    @property
    def total_steps(self) -> float | None:
        """Steps of the whole training."""
        return as_number(self.facts.get("total_steps"))

    @property
    def last(self) -> Row:
        """The newest tick; empty before the first."""
        return self.losses[-1] if self.losses else {}

    @property
    def best(self) -> Row | None:
        """The tick of the best score, which is RF-FID but for those that copy; None where it was never measured."""
        measured = (row for row in self.metrics if "rf_fid" in row)
        return min(measured, key=lambda row: row.get("score", row["rf_fid"]), default=None)

    @property
    def attributes_right(self) -> float | None:
        """How often a face has what it was asked for, 0 to 1, mean of all attributes; None where nobody looked."""
        shares = [share for row in self.attributes if (share := as_number(row.get("precision"))) is not None]
        return sum(shares) / len(shares) if shares else None

    def kimg_of(self, step: float | None) -> float | None:
        """Give the thousands of images shown after so many steps; None where nobody knows."""
        return None if step is None or self.batch is None else step * self.batch / 1000

    def text(self, name: str) -> str:
        """Give a value of run.json as a text that can be shown; "" where there is none."""
        return _shown(self.facts.get(name))

    def setting(self, name: str) -> str:
        """Give a value of the configuration as a text that can be shown; "" where there is none."""
        return _shown(self.config.get(name))


def read_run(run_dir: Path) -> Run:
    """Read what there is; what is missing is empty, and what is damaged is told in `troubles`."""
    troubles: list[str] = []
    return Run(
        folder=run_dir,
        facts=_facts(run_dir / "run.json", troubles),
        losses=_rows(run_dir / "losses.csv", troubles),
        metrics=_rows(run_dir / "metrics.csv", troubles),
        attributes=_table(run_dir / "attributes.csv", troubles),
        troubles=troubles,
    )


def samples(run_dir: Path, kind: str) -> list[tuple[int, Path]]:
    """List the grids of a kind (fixed, random, labels, nearest) with their steps, oldest first."""
    name = re.compile(rf"{re.escape(kind)}-(\d{{1,18}})\.png")
    found = ((name.fullmatch(path.name), path) for path in (run_dir / "samples").glob(f"{kind}-*.png"))
    return sorted((int(match[1]), path) for match, path in found if match)


def _facts(path: Path, troubles: list[str]) -> Mapping[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        troubles.append(f"{path.name} cannot be read: {_why(error)}")
        return {}
    if not isinstance(facts, dict):
        troubles.append(f"{path.name} cannot be read: it holds no object")
        return {}
    return facts


def _table(path: Path, troubles: list[str]) -> list[Mapping[str, str]]:
    """Read a table as texts; the lines up to the first damaged one are kept."""
    if not path.exists():
        return []
    rows: list[Mapping[str, str]] = []
    try:
        table = csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8"), newline=""), strict=True)
        for row in table:
            if None in row or None in row.values():
                troubles.append(f"{path.name}, line {table.line_num}: has more or fewer cells than the head")
                return rows
            rows.append(row)
    except (OSError, ValueError, csv.Error) as error:
        troubles.append(f"{path.name} cannot be read: {_why(error)}")
    return rows


def _rows(path: Path, troubles: list[str]) -> list[Row]:
    """Read a table of numbers; what has no step or kimg is no tick."""
    rows: list[Row] = []
    for line, texts in enumerate(_table(path, troubles), 2):
        values = {name: as_number(text) for name, text in texts.items()}
        wrong = next((name for name, text in texts.items() if text.strip() and not _is_number(text)), None)
        if wrong is not None:
            troubles.append(f"{path.name}, line {line}: {wrong} = {visible(texts[wrong], 40)!r} is no number")
        row = {name: value for name, value in values.items() if value is not None}
        if "step" in row and "kimg" in row:
            rows.append(row)
    return rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def as_number(value: object) -> float | None:
    """Give a finite number of a JSON value or a cell; None of anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return _digits(value)
        case list():
            return ", ".join(filter(None, map(_shown, value[:_MANY])))
        case dict():
            return ", ".join(f"{visible(str(name))} {_shown(one)}" for name, one in list(value.items())[:_MANY])
        case _:
            return visible(str(value), _LONGEST)


def _digits(value: float) -> str:
    """Write a setting as it was set; JSON may hold numbers of a thousand digits."""
    if isinstance(value, int) and abs(value) < 2**63:
        return f"{value:,}"
    number = as_number(value)
    return "a number too large" if number is None else f"{number:g}"


def _why(error: Exception) -> str:
    words = error.strerror if isinstance(error, OSError) else str(error)
    return visible(words or type(error).__name__, _LONGEST)
