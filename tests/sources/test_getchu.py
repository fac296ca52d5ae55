"""pipeline.sources.getchu: own characters alone, dates in all forms, each page once, nothing lost that did not come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import faulty
import pytest

from pipeline.errors import BoardError, IncompleteError, RecipeError
from pipeline.http import Client, Fetched, Refused, WebPage
from pipeline.recipe import load
from pipeline.records import Post, Reason
from pipeline.run import Build, Settings
from pipeline.sandbox import board, getchu
from pipeline.sandbox import erogamescape as sandbox_games
from pipeline.sandbox.posts import Kind, Sandbox
from pipeline.sources.erogamescape import FORM, Erogamescape
from pipeline.sources.getchu import GetchuSource
from pipeline.sources.getchu_page import Picture, read_list, read_product
from pipeline.sources.ground import unread_ids

ITEM = 1017496
WHERE = f"https://www.getchu.com/item/{ITEM}/"
LISTS = "/all/price.html"
# Old pages and new ones differ in the headings, in where the brand stands, and in how pictures are addressed.
NEW = """<!DOCTYPE html><html lang="ja"><head><meta charset="EUC-JP"><title>放課後Ⅱ | Getchu.com</title>
<script type="application/ld+json">{"@type": "Product", "name": "<td id='soft-title'>"}</script>
<!-- <h1 id="soft-title">a comment</h1> --></head><body>
<ul><li class="genretab current">ゲーム</li></ul>
<div id="side"><a href="/item/999/"><img src="/brandnew/999/rc999package_100.jpg"></a>
<img src="/brandnew/1017496/c1017496chara99.jpg"></div>
<table><tr><td>発売日：</td><td>1999/01/01</td></tr></table>
<h2 id="soft-title">放課後　Ⅱ&nbsp;初回版 <nobr>（<a href="/x">このタイトルの関連商品</a>）</nobr></h2>
<table id="soft_table"><tr><td rowspan=2><a href="/brandnew/1017496/c1017496package.jpg">
<img src="/brandnew/1017496/rc1017496package.jpg" alt="放課後 | パッケージ"></a></td><td><table>
<tr><td>ブランド：</td><td><a id="brandsite" href="http://brand.example/">Sand
 Box</a> （<a href="/php/search.phtml?search_brand_id=1">このブランドの作品一覧</a>）</td></tr>
<tr><td>定価：</td><td>￥8,800 (税込￥9,680)</td></tr>
<tr><td>発売日：</td><td><a href="/php/nsearch.phtml?start_date=2005%2F04%2F28">2005/04/28</a></td></tr>
<tr><td>メディア：</td><td>DVD-ROM</td></tr>
<tr><td>原画：</td><td><a href="/x">絵師 一</a>、絵師B[一覧]</td></tr>
<tr><td>サブジャンル：</td><td>学園[一覧]</td></tr></table></td></tr></table>
<div class="tabletitle tabletitle_1">&nbsp;ストーリー</div><div class="tablebody">昔々</div>
<div class="tabletitle tabletitle_2">&nbsp;<b>キャラクター</b></div>
<table border=0>
<tr><td colspan=3>上の段</td></tr>
<tr><td><img src="/common/images/r18.jpg" data-original="/brandnew/1017496/c1017496chara2.jpg"
 alt="放課後 | キャラクター紹介-2"></td>
<td class="chara-text"><dl><dt><h4 class="chara-name">朝武
芳乃（ともたけ よしの）　CV：小鳥居</h4></dt><dd>巫女</dd></dl></td>
<td><a href="/brandnew/1017496/c1017496charab2.jpg"><img src="/brandnew/1017496/c1017496charab2_s.jpg"></a></td></tr>
<tr><td colspan=3><hr></td></tr>
<tr><td><img src="/brandnew/1017496/c1017496chara4.jpg"></td>
<td class="chara-text"><h4 class="chara-name">メインヒロイン<br>常陸 茉子（ひたち まこ）<br>CV：加藤</h4></td></tr>
<tr><td><img src="/brandnew/1017496/c1017496chara5.jpg"></td>
<td class="chara-text"><h4 class="chara-name"> </h4></td></tr>
<tr><td></td><td class="chara-text"><h4 class="chara-name">影（かげ）</h4></td></tr>
<tr><td><img src="/brandnew/1017496/c1017496chara6.jpg"></td><td>a</td><td>b</td><td>four cells</td></tr>
<tr><td><img src="/brandnew/1017496/c1017496chara7.gif"></td><td>words without a name</td></tr>
<tr><td><img src="/brandnew/999/c999chara1.jpg"></td><td class="chara-text"><h4 class="chara-name">他</h4></td></tr>
<tr><td><img src="https://other.example/c1017496chara8.jpg"></td><td></td></tr>
<tr><td><img src="/brandnew/1017496/rc1017496package.jpg"></td><td></td></tr>
<tr><td><img src="http://[bad/c1017496chara8.jpg"></td><td></td></tr>
<tr><td><img src="/brandnew/1017496/c1017496chara4.jpg"></td><td>once more</td></tr>
</table>
<div class="tabletitle tabletitle_3">サンプル画像</div>
<table><tr><td><img src="/brandnew/1017496/c1017496sample1_s.jpg"></td><td>1</td></tr></table></body></html>"""
OLD = """<HTML><HEAD><TITLE>x</TITLE></HEAD><BODY><H1 ID="soft-title">放課後</H1>
<TABLE ID="soft_table"><TR><TD>サークル：<TD>砂場ソフト（このブランドの作品一覧）
<TR><TD>発売日：<TD><A HREF="#" ID="tooltip-day">2003/1/9</A></TABLE>
<DIV CLASS="tabletitle">登場キャラクター紹介</DIV><TABLE>
<TR><TD><IMG SRC="./../../brandnew/1017496/c1017496chara1.jpg">
<TD CLASS=chara-text><H2 CLASS=chara-name>花子（はなこ）</H2>
<TR><TD><IMG SRC="http://wwwgetchu.com/brandnew/1017496/c1017496chara2.jpg"><TD CLASS=chara-text>
<TR><TD><IMG SRC='/brandnew/gazou/c1017496chara3.jpg'><TD>
</TABLE></BODY></HTML>"""


def page(text: str) -> WebPage:
    return WebPage(WHERE, text.encode("euc_jis_2004", "xmlcharrefreplace"), {})


def plain(**said: str) -> str:
    """A short page of a product."""
    rows = "".join(f"<tr><td>{label}：</td><td>{value}</td></tr>" for label, value in said.items())
    return f'<h2 id="soft-title">a</h2><table id="soft_table">{rows}</table>'


def of_one(number: int, **said: str) -> str:
    """A page of a product with one character."""
    return (
        f'{plain(**said)}<div class="tabletitle">キャラクター</div><table><tr>'
        f'<td><img src="/brandnew/{number}/c{number}chara1.jpg"></td><td></td></tr></table>'
    )


# --- pages as they were seen


def test_reads_a_page_of_today() -> None:
    """Own characters alone, with gaps, whole figures, and names freed of readings, titles and voices."""
    found = read_product(page(NEW), ITEM)

    assert found is not None
    assert (found.title, found.brand, found.artists) == ("放課後 Ⅱ 初回版", "Sand Box", ("絵師 一", "絵師B"))
    assert found.released_on == date(2005, 4, 28)
    base = f"https://www.getchu.com/brandnew/{ITEM}/c{ITEM}chara"
    assert found.pictures == (
        Picture("2", f"{base}2.jpg", "朝武 芳乃"),
        Picture("b2", f"{base}b2.jpg", "朝武 芳乃"),
        Picture("4", f"{base}4.jpg", "常陸 茉子"),
        Picture("5", f"{base}5.jpg", ""),
        Picture("7", f"{base}7.gif", ""),
    )


def test_reads_a_page_of_old() -> None:
    """Capitals, cells that are never closed, addresses that climb, a slip in the host's name, another folder."""
    found = read_product(page(OLD), ITEM)

    assert found is not None
    assert (found.title, found.brand, found.released_on) == ("放課後", "砂場ソフト", date(2003, 1, 9))
    base = "https://www.getchu.com/brandnew"
    assert found.pictures == (
        Picture("1", f"{base}/{ITEM}/c{ITEM}chara1.jpg", "花子"),
        Picture("2", f"{base}/{ITEM}/c{ITEM}chara2.jpg", ""),
        Picture("3", f"{base}/gazou/c{ITEM}chara3.jpg", ""),
    )


@pytest.mark.parametrize(
    ("release", "day"),
    [
        ("2005/04/28", date(2005, 4, 28)),
        ("2005/4/8 (予定)", date(2005, 4, 8)),
        ("未定", None),
        ("2005/04/未定", None),
        ("2005年4月", None),
        ("2005/04/上旬", None),
        ("2005/02/30", None),
        ("12005/04/28", None),
        ("2005/04/281", None),
        ("", None),
    ],
)
def test_days_of_release(release: str, day: date | None) -> None:
    """A day is a day; a month is none, and neither is a part of one."""
    found = read_product(page(plain(発売日=release)), 5)

    assert found is not None
    assert found.released_on == day


def test_a_product_without_characters_has_no_pictures() -> None:
    """As a third of them; its page is one all the same."""
    found = read_product(page(plain(ブランド="b")), 5)

    assert found is not None
    assert (found.brand, found.pictures) == ("b", ())


def test_no_address_and_no_name_spoils_a_catalog(server: faulty.Server) -> None:
    """A NUL is replaced before anybody reads it, a title without end is cut."""
    bad, good = "/brandnew/\0/c5chara1.jpg", "/brandnew/5/c5chara2.jpg"
    rows = "".join(f'<tr><td><img src="{address}"></td><td></td></tr>' for address in (bad, good))
    text = f'<h2 id="soft-title">{"a" * 9000}</h2><p class="tabletitle">キャラクター</p><table>{rows}</table>'
    server.on("/item/5/", html(text))

    (some,) = source(server, ids=(5,)).pages(None)

    assert [(post.id, post.tags) for post in some.posts] == [(f"g:5-c{n}", (f"title:{'a' * 200}",)) for n in (1, 2)]
    assert "\0" not in f"{some.posts}"


@pytest.mark.parametrize("text", ["", "<h1>メンテナンス中</h1>", "<h1 id='soft-title'> </h1>", "<h1 id=soft-title"])
def test_what_is_no_product_s_page_is_none(text: str) -> None:
    """Such as that of a shop that is closed for the night."""
    assert read_product(page(text), 5) is None


def test_bytes_of_no_letter_cost_themselves() -> None:
    """The rest of the page is read."""
    broken = WebPage(WHERE, page(plain(ブランド="砂場")).body.replace("砂".encode("euc_jp"), b"\xff"), {})

    found = read_product(broken, 5)

    assert found is not None
    assert found.brand == "\ufffd場"


def test_a_list_names_products_by_either_address() -> None:
    """Each once; links of the sidebar and other sites' are none."""
    text = """<a href="/item/1/">side</a><a class="blueb" href="/soft.phtml?id=5&amp;gc=gc">a</a>
    <A CLASS="x blueb" HREF="https://www.getchu.com/item/7/">b</A><a class=blueb href="/soft.phtml?id=5">a</a>
    <a class="blueb" href="/soft.phtml?id=">c</a><a class="blueb" href="/all/price.html?id=8">d</a>
    <a class="blueb">e</a><a class="blueb" href="/item/0/">f</a><a class="blueb" href="/item/12345678901/">g</a>"""

    assert read_list(page(text)) == [5, 7]


# --- the source, against a scripted shop


@pytest.fixture
def server() -> Iterator[faulty.Server]:
    with faulty.serve() as served:
        yield served


def source(server: faulty.Server, **fields: Any) -> GetchuSource:
    client = Client(private=True, min_gap_s=0.0, backoff_s=0.01, tries=2)
    known = {"name": "g", "address": server.address, "site": "https://www.getchu.com", "client": client}
    return GetchuSource(**{**known, "today": lambda: date(2005, 6, 15), **fields})


def html(text: str, **headers: str) -> faulty.Answer:
    return faulty.reply(200, text.encode("euc_jis_2004"), Content_Type="text/html; charset=EUC-JP", **headers)


def shelf(*numbers: int, **headers: str) -> faulty.Answer:
    return html("".join(f'<a class="blueb" href="/item/{number}/">x</a>' for number in numbers), **headers)


def sell(server: faulty.Server, *numbers: int) -> None:
    for number in numbers:
        server.on(f"/item/{number}/", html(of_one(number)))


def asked(server: faulty.Server) -> list[str]:
    """What was asked for since the last time: numbers of products, and months."""
    paths = [urlsplit(one.path) for one in server.requests]
    server.requests.clear()
    return [
        "{year[0]}-{month[0]}".format(**parse_qs(one.query)) if one.path == LISTS else one.path.split("/")[2]
        for one in paths
    ]


def run(listing: GetchuSource, cursor: dict[str, Any] | None = None) -> tuple[list[str], dict[str, Any] | None, str]:
    """The ids of all posts, the last cursor, and the error at the end."""
    ids: list[str] = []
    try:
        for some in listing.pages(cursor):
            ids += [post.id for post in some.posts]
            cursor = some.cursor
    except BoardError as error:
        return ids, cursor, str(error)
    return ids, cursor, ""


def test_a_post_is_a_picture_with_what_its_page_says(server: faulty.Server) -> None:
    """Tags without blanks; the site's address whatever was asked."""
    server.on(f"/item/{ITEM}/", html(NEW))
    (some,) = source(server, ids=(ITEM,), rating="q").pages(None)

    assert some.posts[1] == Post(
        id=f"g:{ITEM}-cb2",
        file_url=f"https://www.getchu.com/brandnew/{ITEM}/c{ITEM}charab2.jpg",
        page_url=WHERE,
        ext="jpg",
        rating="q",
        tags=("brand:Sand_Box", "title:放課後_Ⅱ_初回版", "artist:絵師_一", "artist:絵師B", "character:朝武_芳乃"),
        artists=("絵師_一", "絵師B"),
        characters=("朝武_芳乃",),
        series=("放課後_Ⅱ_初回版",),
        released_on=date(2005, 4, 28),
    )


def test_the_window_chooses_the_months_newest_first(server: faulty.Server) -> None:
    """Of the releases so far, and no month beyond either end; the genre is that of games."""
    server.on(LISTS, shelf())
    run(source(server, since=date(2004, 11, 30), until=date(2005, 2, 1)))

    assert urlsplit(server.requests[0].path).query == "genre=pc_soft&year=2005&month=1&gage="
    assert asked(server) == ["2005-1", "2005-1", "2004-12", "2004-12", "2004-11", "2004-11"]

    run(source(server, since=date(2005, 5, 31)))
    assert asked(server) == ["2005-6", "2005-6", "2005-5", "2005-5"]


def test_what_was_read_is_not_asked_for_again(server: faulty.Server) -> None:
    """A month that is over is closed; this one is asked whether it has changed, and gives what is new."""
    sell(server, 1, 2, 3, 4)
    server.on(LISTS, shelf(1, 2, ETag='"a"'), shelf(2, 3))
    ids, cursor, _ = run(source(server, since=date(2005, 5, 1)))
    assert ids == ["g:1-c1", "g:2-c1", "g:3-c1"]
    assert asked(server) == ["2005-6", "1", "2", "2005-5", "3"]

    server.on(LISTS, faulty.reply(304))
    assert run(source(server, since=date(2005, 5, 1)), cursor)[0] == []
    assert server.requests[0].headers["If-None-Match"] == '"a"'
    assert asked(server) == ["2005-6"]

    server.on(LISTS, shelf(1, 4, ETag='"b"'))
    assert run(source(server, since=date(2005, 5, 1)), cursor)[0] == ["g:4-c1"]
    assert asked(server) == ["2005-6", "4"]


def test_an_empty_list_is_asked_for_again_and_never_closed(server: faulty.Server) -> None:
    """It may be the page of a shop that rests."""
    sell(server, 1)
    server.on(LISTS, shelf(), shelf(1))
    assert run(source(server, since=date(2005, 6, 1)))[0] == ["g:1-c1"]

    asked(server)
    server.on(LISTS, shelf())
    _, cursor, _ = run(source(server, since=date(2005, 5, 1), until=date(2005, 6, 1)))
    run(source(server, since=date(2005, 5, 1), until=date(2005, 6, 1)), cursor)
    assert asked(server) == ["2005-5"] * 4


def test_what_has_gone_is_not_asked_for_again(server: faulty.Server) -> None:
    """404 is an answer."""
    sell(server, 1)
    ids, cursor, error = run(source(server, ids=(1, 2)))
    assert (ids, error) == (["g:1-c1"], "")

    asked(server)
    run(source(server, ids=(1, 2)), cursor)
    assert asked(server) == []


def test_a_page_that_does_not_come_holds_up_no_other(server: faulty.Server) -> None:
    """The others are listed, the error names how many, and the next run asks for it first."""
    sell(server, 1, 3)
    server.on("/item/2/", faulty.reply(503))
    server.on(LISTS, shelf(1, 2, 3), shelf(3, 4))
    may = {"since": date(2005, 5, 1), "until": date(2005, 6, 1)}
    ids, cursor, error = run(source(server, **may))
    assert ids == ["g:1-c1", "g:3-c1"]
    assert "1 pages did not come, all others are listed" in error
    assert asked(server) == ["2005-5", "1", "2", "2", "3"]

    assert cursor is not None
    assert unread_ids(cursor) == 1
    ids, cursor, error = run(source(server, **may), cursor)
    assert (ids, "answers 503" in error, asked(server)) == ([], True, ["2", "2"])

    sell(server, 2)
    ids, cursor, error = run(source(server, **may), cursor)
    assert (ids, error, asked(server)) == (["g:2-c1"], "", ["2"])
    assert run(source(server, **may), cursor)[0] == asked(server) == []


def test_a_shop_that_gives_no_page_at_all_is_not_just_incomplete(server: faulty.Server) -> None:
    """The run ends with what is wrong, not with a warning."""
    for number in (1, 2):
        server.on(f"/item/{number}/", faulty.reply(500))

    with pytest.raises(BoardError, match="answers 500") as caught:
        list(source(server, ids=(1, 2)).pages(None))
    assert not isinstance(caught.value, IncompleteError)


def test_products_that_fail_for_ever_hold_up_no_other(server: faulty.Server) -> None:
    """However many they are."""
    sell(server, 1, 5, 6)
    for number in (2, 3, 4):
        server.on(f"/item/{number}/", faulty.reply(500))
    ids, cursor, error = run(source(server, ids=(1, 2, 3, 4, 5, 6)))
    assert (ids, "3 pages in a row" in error) == (["g:1-c1"], True)

    ids, cursor, error = run(source(server, ids=(1, 2, 3, 4, 5, 6)), cursor)
    assert (ids, "3 pages did not come" in error) == (["g:5-c1", "g:6-c1"], True)


def test_a_month_that_ends_unchanged_is_closed(server: faulty.Server) -> None:
    """One last question, and none after it."""
    sell(server, 1)
    server.on(LISTS, shelf(1, ETag='"a"'))
    _, cursor, _ = run(source(server, since=date(2005, 6, 1)))
    later = {"since": date(2005, 6, 1), "until": date(2005, 7, 1), "today": lambda: date(2005, 8, 1)}
    server.on(LISTS, faulty.reply(304))
    _, cursor, _ = run(source(server, **later), cursor)
    run(source(server, **later), cursor)

    assert asked(server) == ["2005-6", "1", "2005-6"]


def test_a_list_that_does_not_come_holds_up_no_other(server: faulty.Server) -> None:
    """Its month stays open."""
    sell(server, 1)
    server.on(LISTS, faulty.reply(500), faulty.reply(500), shelf(1))
    ids, cursor, error = run(source(server, since=date(2005, 4, 1), until=date(2005, 6, 1)))
    assert (ids, "1 pages did not come" in error) == (["g:1-c1"], True)

    asked(server)
    _, _, error = run(source(server, since=date(2005, 4, 1), until=date(2005, 6, 1)), cursor)
    assert (error, asked(server)) == ("", ["2005-5"])


def test_a_shop_that_answers_nothing_is_left_alone(server: faulty.Server) -> None:
    """Three pages in a row are enough; what was read before is saved, and the next run goes on."""
    sell(server, 1)
    for number in (2, 3, 4, 5):
        server.on(f"/item/{number}/", html("<h1>メンテナンス中</h1>"))
    ids, cursor, error = run(source(server, ids=(1, 2, 3, 4, 5)))

    assert ids == ["g:1-c1"]
    assert "/item/4/: is no product's page" in error
    assert asked(server) == ["1", "2", "3", "4"]
    sell(server, 2, 3, 4, 5)
    assert run(source(server, ids=(1, 2, 3, 4, 5)), cursor)[0] == ["g:2-c1", "g:3-c1", "g:4-c1", "g:5-c1"]


def test_posts_come_in_pages_of_some_products(server: faulty.Server) -> None:
    """So a kill costs ten requests, and thousands of products do not mean thousands of cursors."""
    sell(server, *range(1, 26))

    pages = list(source(server, ids=tuple(range(1, 26))).pages(None))

    assert [len(some.posts) for some in pages] == [10, 10, 5]
    assert pages[-1].cursor == {"read": "1-25", "unread": [], "failed": [], "closed": "", "versions": {}}


def test_a_limit_goes_on_in_the_next_run(server: faulty.Server) -> None:
    """Products are listed whole."""
    sell(server, 1, 2, 3)
    ids, cursor, _ = run(source(server, ids=(1, 2, 3), limit=2))
    assert ids == ["g:1-c1", "g:2-c1"]
    assert run(source(server, ids=(1, 2, 3), limit=2), cursor)[0] == ["g:3-c1"]


# --- who may see it


GATE = faulty.reply(302, Location="/php/attestation.html?aurl=x")


def test_the_gate_is_not_passed_unasked(server: faulty.Server) -> None:
    """The error says which setting to set; what was listed is kept, and nothing is taken as read."""
    sell(server, 1)
    server.on("/item/2/", GATE)
    server.on("/php/attestation.html", html("<title>年齢認証ページ</title>"))
    ids, cursor, error = run(source(server, ids=(1, 2)))

    assert ids == ["g:1-c1"]
    assert "/item/2/: asks for your age; if you are of age and wish to say so, set age_gate = true" in error
    assert cursor is not None
    assert (cursor["read"], cursor["failed"]) == ("1", [])


def test_the_gate_is_passed_as_its_link_does(server: faulty.Server) -> None:
    """One request; lists are asked in the same way."""
    sell(server, 2)
    server.on(LISTS, shelf(2))
    run(source(server, since=date(2005, 6, 1), age_gate=True))

    assert [urlsplit(one.path).query for one in server.requests] == [
        "genre=pc_soft&year=2005&month=6&gage=&gc=gc",
        "gc=gc",
    ]


def test_a_gate_that_does_not_open_is_an_error(server: faulty.Server) -> None:
    """The shop has changed its way."""
    server.on("/item/2/", GATE)
    server.on("/php/attestation.html", html("<title>年齢認証ページ</title>"))

    assert "asks for your age, whatever is answered" in run(source(server, ids=(2,), age_gate=True))[2]


def test_a_picture_is_asked_for_from_its_page(server: faulty.Server, tmp_path: Path) -> None:
    """Or the shop gives a word in its place."""
    sell(server, 1)
    server.on("/brandnew/1/c1chara1.jpg", faulty.reply(200, b"picture"))
    listing = source(server, ids=(1,))
    ((post,),) = (some.posts for some in listing.pages(None))

    assert isinstance(listing.fetch(post, tmp_path / "1", 100), Fetched)
    assert server.requests[-1].headers["Referer"] == f"{server.address}/item/1/"


# --- by what ErogameScape says


def test_days_are_judged_before_a_page_is_asked_for(server: faulty.Server) -> None:
    """Neither products of other days nor those without one cost a request; a page without a day gets the game's."""
    sell(server, 1, 2, 3, 4)
    head = "<tr><th>id</th><th>gamename</th><th>sellday</th><th>comike</th><th>brandname</th></tr>"
    days = ("2004-12-31", "2005-01-01", "2050-01-01", "2006-01-01")
    rows = "".join(
        f"<tr><td>{9 - n}</td><td>t</td><td>{day}</td><td>{n}</td><td>b c</td></tr>" for n, day in enumerate(days, 1)
    )
    server.on(FORM, faulty.reply(200, f"<table>{head}{rows}</table>"), faulty.reply(200, f"<table>{head}</table>"))
    games = Erogamescape(address=server.address, client=Client(private=True, min_gap_s=0.0))

    (some,) = source(server, feed=games, since=date(2005, 1, 1), until=date(2006, 1, 1)).pages(None)

    assert [(post.id, post.released_on, post.tags) for post in some.posts] == [
        ("g:2-c1", date(2005, 1, 1), ("brand:b_c", "title:a"))
    ]
    assert [one.path for one in server.requests if FORM not in one.path] == ["/item/2/"]


def test_what_failed_keeps_what_was_known_of_it(server: faulty.Server) -> None:
    """The day that the page does not say is in the cursor."""
    head = "<tr><th>id</th><th>gamename</th><th>sellday</th><th>comike</th><th>brandname</th></tr>"
    row = "<tr><td>9</td><td>t</td><td>2005-01-01</td><td>1</td><td>b</td></tr>"
    server.on(FORM, faulty.reply(200, f"<table>{head}{row}</table>"), faulty.reply(200, f"<table>{head}</table>"))
    server.on("/item/1/", faulty.reply(500))
    games = Erogamescape(address=server.address, client=Client(private=True, min_gap_s=0.0))
    _, cursor, _ = run(source(server, feed=games))

    sell(server, 1)
    server.on(FORM, faulty.reply(200, f"<table>{head}</table>"))
    (some,) = source(server, feed=games).pages(cursor)
    assert [post.released_on for post in some.posts] == [date(2005, 1, 1)]


# --- what is listed


def test_another_order_is_another_listing() -> None:
    """The months, the feed, a list of numbers, a rating; not the window, which only reads on."""
    client = Client()
    plainly = GetchuSource(name="g", client=client)
    others = [
        GetchuSource(name="g", client=client, feed=Erogamescape(client=client)),
        GetchuSource(name="g", client=client, ids=(1, 2)),
        GetchuSource(name="g", client=client, ids=(1, 3)),
        GetchuSource(name="g", client=client, rating="g"),
    ]

    assert len({plainly.listing, *(one.listing for one in others)}) == 5
    assert plainly.listing == GetchuSource(name="g", client=client, since=date(2005, 1, 1), age_gate=True).listing
    assert others[1].listing == GetchuSource(name="g", client=client, ids=(2, 1)).listing


@pytest.mark.parametrize("fields", [{"address": "https://me:secret@g.example"}, {"address": "getchu"}, {"rating": "x"}])
def test_a_wrong_order_is_refused(fields: dict[str, Any]) -> None:
    """Before any request, and without telling a password."""
    with pytest.raises(RecipeError, match="source 'g'") as caught:
        GetchuSource(**{"name": "g", "client": Client(), **fields})

    assert "secret" not in str(caught.value)


# --- end to end


@contextmanager
def shop(planted: Sandbox, *, faults: bool = False) -> Iterator[tuple[board.Board, Any]]:
    """The sandbox, and a maker of sources that all have one client."""
    with board.serve(planted, faults=faults) as served:
        client = Client(private=True, min_gap_s=0.0, backoff_s=0.01, tries=6)
        games = Erogamescape(address=f"{served.url}/erogamescape", client=client, page_size=10)

        def make(**fields: Any) -> GetchuSource:
            if fields.pop("by_feed", False):
                fields["feed"] = games
            known = {"name": "s", "address": f"{served.url}/getchu", "site": "https://s.invalid/getchu"}
            return GetchuSource(**{**known, "client": client, "age_gate": True, "since": date(2004, 12, 1), **fields})

        yield served, make
        client.close()


def expected(items: list[getchu.Item]) -> dict[str, tuple[getchu.Item, Any]]:
    return {
        f"s:{item.number}-c{number}": (item, post)
        for item in items
        if not item.gone
        for number, post in item.pictures.items()
    }


@pytest.mark.parametrize("faults", [False, True])
def test_every_picture_of_the_sandbox_s_shop(
    planted: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: bool
) -> None:
    """Days, tags and bytes, on good days and bad; an empty list that was none costs nothing."""
    monkeypatch.setattr(board, "STALL_S", 0.01)
    with shop(planted, faults=faults) as (served, make):
        listing = make()
        posts = {post.id: post for some in listing.pages(None) for post in some.posts}
        files = {name: listing.fetch(post, tmp_path / name, 10_000) for name, post in posts.items()}
        assert {one.fault for one in served.log} >= {board.Fault.EMPTY_LIST} or not faults

    items = [item for item in getchu.items(planted.posts) if not item.undated]
    assert posts.keys() == expected(items).keys()
    for name, (item, planted_post) in expected(items).items():
        post, figures = posts[name], [figure.name for figure in item.figures]
        assert (post.released_on, post.page_url) == (item.released_on, f"https://s.invalid/getchu/item/{item.number}/")
        assert post.tags[:2] == (f"brand:{item.brand.replace(' ', '_')}", f"title:{item.title.replace(' ', '_')}")
        assert post.tags[2:4] == ("artist:絵師_A", "artist:絵師B")
        assert all(tag.removeprefix("character:").replace("_", " ") in figures for tag in post.tags[4:])
        if planted_post.kind is Kind.GONE:
            assert files[name] == Refused(Reason.GONE, "answers 404")
        elif planted_post.kind is Kind.EMPTY:
            assert files[name] == Refused(Reason.EMPTY)
        else:
            assert (tmp_path / name).read_bytes() == planted.bytes_of(planted_post.number)


def test_without_a_referer_there_is_no_picture(planted: Sandbox, tmp_path: Path) -> None:
    """So the fetching above shows that it was sent."""
    with shop(planted) as (_, make):
        listing = make()
        (some, *_) = listing.pages(None)
        bare = [
            listing.client.download(listing._asked(post.file_url), tmp_path / "x", max_bytes=9) for post in some.posts
        ]

    assert {one.reason for one in bare if isinstance(one, Refused)} <= {Reason.FORBIDDEN, Reason.TOO_LARGE}
    assert not any(isinstance(one, Fetched) for one in bare)


@pytest.mark.parametrize("by_feed", [False, True])
def test_killed_and_run_again_nothing_is_listed_twice_or_lost(planted: Sandbox, by_feed: bool) -> None:
    """Each run is killed after the first page that it saved; no page of a product that was saved is asked for again."""
    with shop(planted) as (served, make):
        ids: list[str] = []
        cursor: dict[str, Any] | None = None
        while True:
            before = len(ids)
            (some,) = islice(make(by_feed=by_feed).pages(cursor), 1)
            ids += [post.id for post in some.posts]
            known, cursor = cursor, some.cursor
            if known == cursor and len(ids) == before:
                break
        products = [one.path for one in served.log if "/item/" in one.path]

    items = [item for item in getchu.items(planted.posts) if by_feed or not item.undated]
    wanted = [item for item in items if sandbox_games.known(item) and not item.undated] if by_feed else items
    inside = [item for item in wanted if not by_feed or item.day >= date(2004, 12, 1)]
    assert sorted(ids) == sorted(expected(inside))
    assert len(products) == len(set(products))


def test_the_feed_spares_the_pages_of_other_days(planted: Sandbox) -> None:
    """The shop's own log tells: no page outside the window was asked for."""
    window = {"since": date(2005, 2, 1), "until": date(2005, 3, 1)}
    with shop(planted) as (served, make):
        posts = [post for some in make(by_feed=True, **window).pages(None) for post in some.posts]
        numbers = {int(one.path.split("/")[3]) for one in served.log if "/item/" in one.path}
        assert not any("price.html" in one.path for one in served.log)

    inside = [
        item
        for item in getchu.items(planted.posts)
        if sandbox_games.known(item) and not item.undated and date(2005, 2, 1) <= item.day < date(2005, 3, 1)
    ]
    assert numbers == {item.number for item in inside}
    assert {post.id for post in posts} == set(expected(inside))
    assert all(post.released_on is not None for post in posts)


@pytest.mark.parametrize("feed", ["months", "erogamescape"])
def test_a_recipe_lists_the_sandbox_s_shop(planted: Sandbox, tmp_path: Path, feed: str) -> None:
    """board = "sandbox": each page once in two runs, inside the filter's dates, and nothing of the port is kept."""
    fields = ["kind=getchu", "board=sandbox", "age_gate=true", "rating=g", "min_gap_s=0", f"feed={feed}"]
    window = ["filter.since=2005-02-01", "filter.until=2005-04-01"]
    recipe = load("sandbox", ["scrape.contact=test", *window, *(f"sources.0.{one}" for one in fields)])
    with board.serve(planted) as served:
        for _ in range(2):
            settings = Settings(data=tmp_path, sandbox_url=served.url, workers=1)
            with Build(recipe, settings, lambda *_: None, lambda _: None) as build:
                build.step("list")
                posts = build._listed()
        asked = [one.path for one in served.log if "/item/" in one.path]

    first, last = date(2005, 2, 1), date(2005, 4, 1)
    items = [item for item in getchu.items(planted.posts) if not item.undated and first <= item.day < last]
    if feed == "erogamescape":
        items = [item for item in items if sandbox_games.known(item)]
    assert {post.id for post in posts} == {name.replace("s:", "getchu:") for name in expected(items)}
    assert {post.rating for post in posts} == {"g"}
    assert not any("127.0.0.1" in f"{post.file_url} {post.page_url}" for post in posts)
    assert len(asked) == len(set(asked)) == len(items)
