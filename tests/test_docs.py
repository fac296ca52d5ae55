from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import pipeline
from flows.cli import app
from pipeline.manifest import COLUMNS
from pipeline.recipe import built_in, parse
from pipeline.records import Reason
from pipeline.run import STAGES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")
# Where one person's machine shows: absolute paths of home and working folders, and where packages were taken from.
PRIVATE = re.compile(rb"(?<![\w.:/-])/(?:work|root|home)/\w|[\w.-]+/simple/|index[-_]url|--find[-]links")


def section(title: str) -> str:
    """The part of README below a heading."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def first_cells(text: str) -> list[str]:
    """The first column of its tables, without the heads."""
    cells = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    return [cell for cell in cells if cell]


def commands(group: Any = None, before: str = "flow") -> Iterator[str]:
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before} {name}")
        else:
            yield f"{before} {name}"


def published() -> list[Path]:
    """Every file of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_readme_names_every_command() -> None:
    """In the table of commands; of a family of commands the words after the first are enough."""
    table = section("The commands")
    named = {f"`{command}" in table for command in commands() if not command.startswith("flow review ")}
    decisions = [command.rpartition(" ")[2] for command in commands() if command.startswith("flow review ")]

    assert named == {True}, [command for command in commands() if f"`{command}" not in table]
    assert [word for word in decisions if not re.search(rf"`(flow review )?{word}`", table)] == []


def test_readme_explains_every_reason() -> None:
    """And no other: a person finds what a report says."""
    told = re.findall(r"`(\w+)`", " ".join(first_cells(section("Why something was dropped"))))

    assert sorted(told) == sorted(reason.value for reason in Reason)


def test_readme_explains_every_column() -> None:
    """In the manifest's order."""
    table = section("A release").split("| column of")[1]

    assert tuple(re.findall(r"`(\w+)`", " ".join(first_cells(table)))) == COLUMNS


def test_readme_tells_every_stage() -> None:
    """In the order in which they run; training comes after."""
    assert first_cells(section("The stages"))[1:] == [*STAGES, "train"]


@pytest.mark.parametrize("name", built_in())
def test_readme_or_the_list_names_every_recipe(name: str) -> None:
    """Somebody who reads only README knows what there is."""
    assert re.search(rf"\b{name}\b", README)


def test_the_recipes_in_readme_can_be_copied() -> None:
    """They load as they stand, and ask for what their comments say."""
    first, *others = (
        parse(tomllib.loads(text), "README.md") for text in re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    )

    assert (first.name, first.sources[0].kind, first.crop.size) == ("danbooru", "danbooru", 256)
    assert [one.sources[0].kind for one in others] == ["getchu", "video", "urls"]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Relative ones, to a file of the repository."""
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)[^)]*\)", (ROOT / page).read_text("utf-8"))

    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_file_in_the_map_is_there() -> None:
    """ARCHITECTURE names modules by their path."""
    paths = re.findall(r"`((?:pipeline|flows|tests|bench)/[\w/]*(?:\.py)?)`", (ROOT / "ARCHITECTURE.md").read_text())

    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_one_version() -> None:
    """What is installed, what is printed and what stands in a release agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert project["version"] == pipeline.__version__


def test_no_file_tells_of_the_machine_it_was_made_on() -> None:
    """Neither absolute paths nor package indexes: they are true in one place only."""
    found = [path.relative_to(ROOT) for path in published() if PRIVATE.search(path.read_bytes())]

    assert found == []
