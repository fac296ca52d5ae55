"""Hides a shop like Getchu: the board's posts as characters of products, in EUC-JP, gated, dated in many ways."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pipeline.sandbox.posts import Kind, PlantedPost
from pipeline.sandbox.search import Refusal

PREFIX = "/getchu"
PLACEHOLDER = f"{PREFIX}/common/images/r18.jpg"
STILL = frozenset({"jpg", "png", "webp", "gif"})
SIZES = (3, 1, 4, 0, 2)  # characters of a product, in turn
BRANDS = ("砂場ソフト", "Sand Box", "工房Ⅱ")
JAPAN = timedelta(hours=9)


@dataclass(frozen=True, slots=True)
class Figure:
    """A character."""

    number: str  # what stands behind "chara" in the name of its picture
    name: str
    post: PlantedPost | None  # the picture; None where the page has none
    whole: Figure | None = None  # the picture of the whole figure, which some have beside it


@dataclass(frozen=True, slots=True)
class Item:
    """A product; which oddities it has follows from its place."""

    place: int
    day: date  # when it came out
    figures: tuple[Figure, ...]

    @property
    def number(self) -> int:
        """Its id in the shop."""
        return 100_000 + 37 * self.place + self.place**2 % 11

    @property
    def title(self) -> str:
        """As the page has it; some need letters that plain EUC-JP lacks."""
        return f"放課後 {self.place}" + ("Ⅱ" if self.place % 2 else "")

    @property
    def brand(self) -> str:
        """Who made it."""
        return BRANDS[self.place % len(BRANDS)]

    @property
    def gated(self) -> bool:
        """Whether its page asks for the age."""
        return self.place % 3 == 0

    @property
    def gone(self) -> bool:
        """Whether it is listed, and its page is 404."""
        return self.place % 11 == 7

    @property
    def undated(self) -> bool:
        """Whether the shop knows no day and no month."""
        return self.place % 10 == 8

    @property
    def released_on(self) -> date | None:
        """The day, where the page says it."""
        return self.day if self.release == f"{self.day:%Y/%m/%d}" else None

    @property
    def release(self) -> str:
        """When it comes out, as the page says it."""
        day = self.day
        match self.place % 10:
            case 8:
                return "未定"
            case 4:
                return f"{day:%Y/%m}/未定"
            case 5:
                return f"{day.year}年{day.month}月"
            case 6:
                return f"{day:%Y/%m}/上旬"
        return f"{day:%Y/%m/%d}"

    @property
    def pictures(self) -> dict[str, PlantedPost]:
        """The posts that its page shows, by what stands behind "chara"."""
        figures = [one for figure in self.figures for one in (figure, figure.whole) if one is not None]
        return {one.number: one.post for one in figures if one.post is not None}


def items(posts: Sequence[PlantedPost]) -> tuple[Item, ...]:
    """Make products of all posts, one after the other."""
    return tuple(_items(posts))


def _items(posts: Sequence[PlantedPost]) -> Iterator[Item]:
    at = place = 0
    while at < len(posts):
        size = SIZES[place % len(SIZES)]
        some = posts[at : at + size]
        yield Item(place, (posts[at].posted_at + JAPAN).date(), tuple(_figures(some, place)))
        at, place = at + size, place + 1


def _figures(posts: Sequence[PlantedPost], place: int) -> Iterator[Figure]:
    """Number them with gaps; the last of four is the whole figure of the third."""
    for turn, post in enumerate(posts[:3]):
        whole = Figure(f"b{turn + 1}", "", _shown(posts[3])) if turn == 2 and len(posts) == 4 else None
        number = str(1 + turn + place % 3 + (turn > 1) * place % 5)
        name = " " if post.number % 7 == 0 else f"花子 {post.number}"
        yield Figure(number, name, _shown(post), whole)


def _shown(post: PlantedPost) -> PlantedPost | None:
    return post if post.kind is not Kind.HIDDEN and post.ext in STILL else None


@dataclass(frozen=True)
class Shop:
    """Serves products below its prefix."""

    items: Sequence[Item]
    send: Callable[[Request, str], Response]  # answers with the file of that name
    lost: Callable[[Sequence[object]], bool]  # whether a list of these comes empty this time

    @property
    def routes(self) -> list[Route]:
        """What it answers to."""
        return [
            Route(f"{PREFIX}/soft.phtml", self.old_address),
            Route(f"{PREFIX}/item/{{number:int}}/", self.product),
            Route(f"{PREFIX}/php/attestation.html", self.gate),
            Route(f"{PREFIX}/all/price.html", self.month),
            Route(f"{PREFIX}/brandnew/{{folder}}/{{name}}", self.picture),
        ]

    async def old_address(self, request: Request) -> Response:
        """Where products lay once."""
        return RedirectResponse(f"{PREFIX}/item/{request.query_params.get('id', '')}/", 301)

    async def product(self, request: Request) -> Response:
        """A product's page, or the gate before it."""
        item = self._item(request.path_params["number"])
        if item is None or item.gone:
            return _page(request, "<title>404</title>", 404)
        if item.gated and request.query_params.get("gc") != "gc":
            asked = quote(f"{PREFIX}/item/{item.number}/", safe="")
            return RedirectResponse(f"{PREFIX}/php/attestation.html?aurl={asked}", 302)
        return _page(request, _product(item, self.items[item.place - 1]))

    async def gate(self, request: Request) -> Response:
        """Ask for the age."""
        onward = html.escape(request.query_params.get("aurl", ""))
        return _page(request, f'<title>年齢認証ページ</title><body><a href="{onward}?gc=gc">【すすむ】</a></body>')

    async def month(self, request: Request) -> Response:
        """What comes out in a month; what has no date comes out in none."""
        ask = request.query_params
        wanted = (ask.get("year", ""), ask.get("month", ""))
        found = [
            item for item in self.items if not item.undated and (str(item.day.year), str(item.day.month)) == wanted
        ]
        if ask.get("genre") != "pc_soft" or self.lost(found):
            found = []
        return _page(request, _list(found, self.items[0]))

    async def picture(self, request: Request) -> Response:
        """A picture, for who comes from its page; others get a word, as a refusal or in the picture's place."""
        named = re.fullmatch(r"c(\d{1,9})chara([a-z0-9]+)\.\w+", request.path_params["name"])
        item = self._item(int(named[1])) if named else None
        post = item.pictures.get(named[2]) if named and item else None
        if item is None or post is None:
            raise Refusal(404, "NotFound", "no such picture")
        if f"{PREFIX}/item/{item.number}/" not in request.headers.get("referer", ""):
            return Response("直リンク禁止".encode("euc_jp"), 403 if item.place % 2 else 200, media_type="text/html")
        return self.send(request, post.file)

    def _item(self, number: int) -> Item | None:
        return next((item for item in self.items if item.number == number), None)


def _page(request: Request, body: str, status: int = 200) -> Response:
    """Write a page as they do, with a byte that is no letter of any kind."""
    data = f"<!DOCTYPE html><html><!--砂場-->{body}</html>".encode("euc_jis_2004") + b"\xff"
    etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
    headers = {"ETag": etag, "Content-Type": "text/html; charset=EUC-JP"}
    if status == 200 and request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(data, status, headers)


def _list(found: Sequence[Item], other: Item) -> str:
    """A month: what comes out, each by the old or the new address, with covers that hide behind a placeholder."""
    rows = "".join(
        f'<tr><td>{item.day:%m/%d}</td><td><img src="{PLACEHOLDER}" data-original="{_cover(item)}"></td>'
        f'<td align="left"><a class="blueb" href="{_link(item)}">{item.title}</a></td><td>{item.brand}</td></tr>'
        for item in found
    )
    return f'<title>発売日一覧</title><form name="form2"><table>{rows}</table></form><a href="{_link(other)}">人気</a>'


def _link(item: Item) -> str:
    return f"{PREFIX}/item/{item.number}/" if item.place % 2 else f"{PREFIX}/soft.phtml?id={item.number}"


def _cover(item: Item) -> str:
    return f"{PREFIX}/brandnew/{item.number}/rc{item.number}package.jpg"


def _picture(item: Item, figure: Figure) -> str:
    ext = figure.post.ext if figure.post else ""
    before = "./../.." if item.place % 2 else PREFIX
    return f"{before}/brandnew/{item.number}/c{item.number}chara{figure.number}.{ext}"


def _product(item: Item, other: Item) -> str:
    """A product: old pages and new ones, and on all of them pictures of another product."""
    heading = "h1" if item.place % 2 else "h2"
    theirs = f'<img src="{PREFIX}/brandnew/{other.number}/c{other.number}chara1.jpg">'
    day = f'<a id="tooltip-day" href="#">{item.release}</a>' if item.place % 2 else item.release
    facts = (
        f'<tr><td>ブランド：</td><td><a class="glance" href="#">{item.brand}</a>（このブランドの作品一覧）</td></tr>'
        f"<tr><td>定価：</td><td>￥8,800</td></tr><tr><td>発売日：</td><td>{day}</td></tr>"
        f"<tr><td>原画：</td><td>絵師 A、絵師B[一覧]</td></tr>"
    )
    return (
        f"<title>{item.title}</title><body><div>{theirs}</div>"
        f'<{heading} id="soft-title">{item.title} <nobr>（このタイトルの関連商品）</nobr></{heading}>'
        f'<table id="soft_table"><tr><td><img src="{_cover(item)}"></td><td><table>{facts}</table></td></tr></table>'
        f'<div class="tabletitle tabletitle_1">ストーリー</div><table><tr><td>{theirs}</td><td>昔々</td></tr></table>'
        f"{_characters(item, theirs) if item.figures else ''}"
        f'<div class="tabletitle">サンプル画像</div><table><tr><td><img src="{PREFIX}/brandnew/{item.number}/'
        f'c{item.number}sample1.jpg"></td><td></td></tr></table></body>'
    )


def _characters(item: Item, theirs: str) -> str:
    rows = "<tr><td colspan=3><hr></td></tr>".join(_row(item, figure) for figure in item.figures)
    odd = f"<tr><td>{theirs}</td><td>a</td><td>b</td><td>c</td></tr><tr><td>{theirs}</td><td>関連商品</td></tr>"
    return f'<div class="tabletitle tabletitle_2">&nbsp;キャラクター</div><table>{odd}{rows}</table>'


def _row(item: Item, figure: Figure) -> str:
    heading = "h2" if item.place % 2 else "h4"
    picture = _picture(item, figure)
    shown = f'<img src="{PLACEHOLDER}" data-original="{picture}">' if item.place % 4 else f'<img src="{picture}">'
    above = "ヒロイン<br>" if item.place % 5 == 2 else ""
    name = f"{above}{figure.name}（はなこ）　CV：声" if figure.name.strip() else figure.name
    whole = figure.whole
    body = f'<td><a href="{_picture(item, whole)}">全身</a></td>' if whole and whole.post else ""
    return (
        f"<tr><td>{shown if figure.post else ''}</td><td class=chara-text><dl><dt>"
        f'<{heading} class="chara-name">{name}</{heading}></dt><dd>紹介</dd></dl></td>{body}</tr>'
    )
