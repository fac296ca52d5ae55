"""pipeline.sources.erogamescape: one question a page of games, their dates, and complaints in the server's words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any
from urllib.parse import parse_qs

import faulty
import pytest

from pipeline.errors import BoardError
from pipeline.http import Client
from pipeline.sandbox import board, erogamescape, getchu
from pipeline.sandbox.posts import Sandbox
from pipeline.sources.erogamescape import FORM, Erogamescape, Game

HEAD = "<tr><th>id</th><th>gamename</th><th>sellday</th><th>comike</th><th>brandname</th></tr>"
PAGE = """<!DOCTYPE html><html lang="ja"><head><title>ErogameScape -エロゲー批評空間-</title></head><body>
<div id="query_result_header"><h2>SQL実行結果</h2></div>
<div id="query_result_main"><table>{}</table></div></body></html>"""
FAILURE = """<!DOCTYPE html><html><body><div id="query_result_header">エラー(SQL間違い)</div>
<div id="query_result_main"><p>ERROR:  column "getchu" does not exist
LINE 1: SELECT getchu</p></div></body></html>"""


@pytest.fixture
def server() -> Iterator[faulty.Server]:
    with faulty.serve() as served:
        yield served


def source(server: faulty.Server, **fields: Any) -> Erogamescape:
    client = Client(private=True, min_gap_s=0.0, backoff_s=0.01, tries=3)
    return Erogamescape(**{"address": server.address, "client": client, **fields})


def table(*rows: tuple[object, ...]) -> faulty.Answer:
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return faulty.reply(200, PAGE.format(HEAD + body))


def games(server: faulty.Server, *rows: tuple[object, ...]) -> list[Game]:
    server.on(FORM, table(*rows), table())
    return list(source(server).games())


def questions(server: faulty.Server) -> list[str]:
    return [parse_qs(one.body.decode())["sql"][0] for one in server.asked(FORM)]


# --- answers as they were seen


def test_reads_a_game(server: faulty.Server) -> None:
    """Number in the shop, day, title and brand, unescaped and on one line."""
    row = (31338, "Kanon &amp; AIR\n限定版", "2005-04-28", 123456, "Key")

    assert games(server, row) == [Game(123456, date(2005, 4, 28), "Kanon & AIR 限定版", "Key")]


@pytest.mark.parametrize("sellday", ["2030-01-01", "2050-01-01", "", "未定", "2005-13-01"])
def test_days_that_are_none(server: faulty.Server, sellday: str) -> None:
    """What is to be announced is written as a day far off."""
    (game,) = games(server, (1, "a", sellday, 5, ""))

    assert game == Game(5, None, "a", "")


@pytest.mark.parametrize("comike", ["", "0", "-5", "x", "99999999999"])
def test_a_game_without_a_number_is_left_out(server: faulty.Server, comike: str) -> None:
    """There is nothing to ask the shop for."""
    assert games(server, (2, "a", "2005-01-01", comike, ""), (1, "b", "2005-01-02", 7, "")) == [
        Game(7, date(2005, 1, 2), "b", "")
    ]


def test_a_row_with_other_cells_costs_itself(server: faulty.Server) -> None:
    """Not the page."""
    assert [game.product for game in games(server, (3, "a"), (2, "b", "2005-01-02", 7, ""))] == [7]


def test_pages_by_falling_number_until_nothing_is_left(server: faulty.Server) -> None:
    """Each question begins below the last answer; the end is believed when it is said twice."""
    server.on(FORM, table((9, "a", "", 5, ""), (8, "b", "", 6, "")), table((3, "c", "", 7, "")), table(), table())

    assert [game.product for game in source(server, page_size=2).games()] == [5, 6, 7]
    bounds = [question.partition("g.id < ")[2] for question in questions(server)]
    assert bounds == [f"{below} ORDER BY g.id DESC LIMIT 2" for below in (2147483647, 8, 3, 3)]


def test_no_question_is_asked_before_its_answer_is_wanted(server: faulty.Server) -> None:
    """Each one costs the server."""
    server.on(FORM, table((9, "a", "", 5, ""), (8, "b", "", 6, "")), table((3, "c", "", 7, "")), table())

    next(source(server).games())

    assert len(server.requests) == 1


# --- what goes wrong


def test_a_refused_question_is_told_in_the_server_s_words(server: faulty.Server) -> None:
    """The title and the database's message."""
    server.on(FORM, faulty.reply(200, FAILURE))

    with pytest.raises(BoardError, match=r"エラー\(SQL間違い\): ERROR: column \"getchu\" does not exist"):
        list(source(server).games())


@pytest.mark.parametrize("body", ["", "<p>", "<table>", "<tr><td>x", PAGE.format("<tr><th>id</th></tr>")])
def test_what_is_no_answer_is_an_error(server: faulty.Server, body: str) -> None:
    """It is never the end of the list."""
    server.on(FORM, faulty.reply(200, body or "<html></html>"))

    with pytest.raises(BoardError, match="gives no games"):
        list(source(server).games())


def test_games_that_do_not_fall_are_an_error(server: faulty.Server) -> None:
    """Or the list would have no end."""
    server.on(FORM, table((9, "a", "", 5, "")))

    with pytest.raises(BoardError, match="out of their order"):
        list(source(server).games())


# --- end to end


@pytest.mark.parametrize("faults", [False, True])
def test_the_sandbox_tells_all_games(planted: Sandbox, monkeypatch: pytest.MonkeyPatch, faults: bool) -> None:
    """Each once, on good days and bad."""
    monkeypatch.setattr(board, "STALL_S", 0.01)
    with board.serve(planted, faults=faults) as served:
        client = Client(private=True, min_gap_s=0.0, backoff_s=0.01, tries=6)
        found = list(Erogamescape(address=f"{served.url}/erogamescape", client=client, page_size=10).games())
        client.close()

    assert found == [
        Game(item.number, None if item.undated else item.day, item.title, item.brand)
        for item in reversed(getchu.items(planted.posts))
        if erogamescape.known(item)
    ]
