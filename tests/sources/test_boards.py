"""pipeline.sources: the table of boards, and a run over each dialect by its recipe."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import boards
import pytest

from pipeline.catalog import Catalog
from pipeline.errors import BoardError, RecipeError, UsageError
from pipeline.http import Client
from pipeline.recipe import KINDS, load, parse
from pipeline.run import Build, Settings
from pipeline.sandbox import board
from pipeline.sandbox.posts import Sandbox
from pipeline.sources import BOARDS, DIALECTS

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", sorted(BOARDS.keys() - {"sandbox"}))
def test_every_board_of_the_table_makes_a_source(name: str) -> None:
    """Named after its board, over https."""
    source: Any = BOARDS[name](client=Client())

    assert source.listing == f"{name} {source.home}"
    assert source.address.startswith("https://")


def test_readme_tells_every_board() -> None:
    """With its kind."""
    rows = [[cell.strip(" `") for cell in line.split("|")[1:3]] for line in README.splitlines() if line.startswith("|")]
    kinds = {
        name: next(kind for kind, source in DIALECTS.items() if made.func is source) for name, made in BOARDS.items()
    }

    assert [name for name, kind in kinds.items() if [name, kind] not in rows and name != "sandbox"] == []


def test_every_dialect_has_a_section() -> None:
    """A recipe can name any host that speaks it."""
    assert DIALECTS.keys() < KINDS.keys()


def build(sandbox_url: str, folder: Path, *overrides: str) -> Build:
    recipe = load("sandbox", ["scrape.contact=test", *overrides])
    return Build(
        recipe,
        Settings(data=folder, sandbox_url=sandbox_url, workers=1, fetch_ahead=False),
        lambda *_: None,
        lambda _: None,
    )


@pytest.mark.parametrize("kind", sorted(DIALECTS))
def test_a_recipe_lists_the_sandbox_in_every_dialect(planted: Sandbox, tmp_path: Path, kind: str) -> None:
    """kind = …, board = "sandbox": listed once, and nothing of the port is written down."""
    with board.serve(planted) as served:
        for _ in range(2):
            fields = [f"sources.0.kind={kind}", "sources.0.board=sandbox", "sources.0.push_down=false"]
            with build(served.url, tmp_path, *fields, "sources.0.min_gap_s=0.0") as run:
                report = run.step("list")
                posts = run._listed()
        asked = [one.path for one in served.log]

    assert (report.seen, report.judged) == (len(planted.posts), 0)
    assert {boards.number_of(post) for post in posts} == {post.number for post in planted.posts}
    assert not any("127.0.0.1" in f"{post.file_url} {post.page_url}" for post in posts)
    assert len(asked) <= 9


def test_a_board_that_cannot_be_read_holds_up_no_other(planted: Sandbox, tmp_path: Path) -> None:
    """It is told, and the next run tries it again; where no board can be read the run ends with the error."""
    dead = {"kind": "danbooru", "name": "dead", "board": "http://127.0.0.1:9", "private_hosts": True, "min_gap_s": 0.0}
    said: list[str] = []

    def run(*sources: dict[str, object], url: str) -> int:
        recipe = parse({"name": "two", "sources": sources, "scrape": {"contact": "test"}}, "two")
        settings = Settings(data=tmp_path, sandbox_url=url, workers=1, fetch_ahead=False)
        with Build(recipe, settings, lambda *_: None, said.append) as build:
            return build.step("list").seen

    with board.serve(planted) as served:
        here = {"kind": "danbooru", "board": "sandbox", "min_gap_s": 0.0, "push_down": False}
        assert run(dead, here, url=served.url) == len(planted.posts)
        assert said[-1].startswith("WARNING: dead was not read to its end, the next run goes on there: 127.0.0.1:9: ")
        with pytest.raises(BoardError, match="takes no connection"):
            run(dead, url=served.url)

    ended = [(run["state"], run["note"].partition("127")[0]) for run in Catalog(tmp_path / "catalog.sqlite").runs(2)]
    assert ended == [("failed", ""), ("completed", "dead was not read to its end: ")]


def test_robots_txt_closes_an_api_to_who_wants_it_so(planted: Sandbox, tmp_path: Path) -> None:
    """Danbooru's closes its API to crawlers, and its help page invites programs to it: the recipe decides."""
    with board.serve(planted) as served:
        with (
            build(served.url, tmp_path, "sources.0.min_gap_s=0.0", "sources.0.robots=strict") as run,
            pytest.raises(BoardError, match=r"robots\.txt closes it; ask its owner, or see `robots` of this source"),
        ):
            run.step("list")
        assert [one.path for one in served.log] == ["/robots.txt"]

        with build(served.url, tmp_path, "sources.0.min_gap_s=0.0") as run:
            assert run.step("list").seen > 0
        assert [one.path for one in served.log].count("/robots.txt") == 1


def test_a_recipe_may_give_an_address(planted: Sandbox, tmp_path: Path) -> None:
    """Any host of a dialect; its name is the host's."""
    with board.serve(planted) as served:
        fields = [
            "sources.0.kind=moebooru",
            f"sources.0.board={served.url}/moebooru",
            "sources.0.min_gap_s=0.0",
            "sources.0.private_hosts=true",
        ]
        with build("", tmp_path, *fields, 'filter.ratings=["g"]') as run:
            run.step("list")
            posts = run._listed()
        assert "tags=date%3A2004-12-31..+rating%3As" in served.log[0].path

    assert re.match(r"127\.0\.0\.1-[0-9]+-moebooru:[0-9]+$", posts[0].id)
    assert {post.rating for post in posts} == {"g"}


def test_a_board_of_another_dialect_is_a_wrong_order(tmp_path: Path) -> None:
    """The line says which kind to write."""
    with (
        build("", tmp_path, "sources.0.kind=moebooru", "sources.0.board=danbooru") as run,
        pytest.raises(UsageError, match='danbooru: speaks another dialect; write kind = "danbooru" for it'),
    ):
        run.step("list")


def test_a_szurubooru_needs_its_address() -> None:
    """There is no public one to be taken for granted."""
    with pytest.raises(RecipeError, match=r"sources.0.board: missing \(Its address"):
        load("sandbox", ["sources.0.kind=szurubooru"])
