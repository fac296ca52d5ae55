"""Hides a page for SQL like ErogameScape's: one question has answers, all others complaints."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from datetime import date
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from pipeline.sandbox.getchu import Item

PREFIX = "/erogamescape"
FORM = "/~ap2/ero/toukei_kaiseki/sql_for_erogamer_form.php"
COLUMNS = ("id", "gamename", "sellday", "comike", "brandname")
QUESTION = re.compile(
    r"select g\.id, g\.gamename, g\.sellday, g\.comike, b\.brandname from gamelist g "
    r"left join brandlist b on b\.id = g\.brandname "
    r"where g\.comike is not null and g\.id < (\d{1,10}) order by g\.id desc limit (\d{1,5})"
)


def known(item: Item) -> bool:
    """Whether it is listed there: not all that a shop sells is a game."""
    return item.place % 4 != 1


def sell_day(item: Item) -> date:
    """As it is written there; two days stand for none."""
    return (date(2050, 1, 1) if item.place % 4 else date(2030, 1, 1)) if item.undated else item.day


def routes(shop: Sequence[Item]) -> list[Route]:
    """Answer for the products of a shop."""
    rows = [
        (3000 + 5 * item.place, item.title, sell_day(item).isoformat(), item.number, item.brand)
        for item in reversed(shop)
        if known(item)
    ]

    async def answer(request: Request) -> Response:
        said = parse_qs((await request.body()).decode("utf-8", "replace")).get("sql", [""])[0]
        question = QUESTION.fullmatch(" ".join(said.lower().split()))
        if question is None:
            body = '<div id="query_result_header">エラー(SQL間違い)</div><div id="query_result_main"><p>'
            return _page(f'{body}ERROR:  syntax error at or near "{html.escape(said[:20])}"</p></div>')
        below, count = map(int, question.groups())
        head = "".join(f"<th>{name}</th>" for name in COLUMNS)
        found = "".join(_row(row) for row in [row for row in rows if row[0] < below][:count])
        body = '<div id="query_result_header">SQL実行結果</div><div id="query_result_main">'
        return _page(f"{body}<table><tr>{head}</tr>{found}</table></div>")

    return [Route(PREFIX + FORM, answer, methods=["POST"])]


def _row(row: tuple[object, ...]) -> str:
    return "".join(("<tr>", *(f"<td>{html.escape(str(value))}</td>" for value in row), "</tr>"))


def _page(body: str) -> Response:
    return HTMLResponse(f"<!DOCTYPE html><html><head><title>SQL</title></head><body>{body}</body></html>")
