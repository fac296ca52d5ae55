"""The sandbox's shop and its page for SQL: what a real shop does to those who read it."""

from __future__ import annotations

import pytest
import requests

from pipeline.sandbox import erogamescape, getchu
from pipeline.sandbox.posts import Kind, Sandbox
from pipeline.sources.erogamescape import QUESTION


@pytest.fixture(scope="module")
def items(sandbox: Sandbox) -> tuple[getchu.Item, ...]:
    return getchu.items(sandbox.posts)


def is_open(item: getchu.Item) -> bool:
    return bool(item.pictures) and not item.gone and not item.gated


def test_it_sells_every_post_once(sandbox: Sandbox, items: tuple[getchu.Item, ...]) -> None:
    """As a character, or as the whole figure of one; some without a picture."""
    figures = [one for item in items for figure in item.figures for one in (figure, figure.whole) if one is not None]
    shown = [figure.post for figure in figures if figure.post is not None]

    assert len(figures) == len(sandbox.posts)
    assert {post.number for post in shown} == {
        post.number for post in sandbox.posts if post.kind is not Kind.HIDDEN and post.ext in getchu.STILL
    }


def test_it_has_what_makes_a_shop_hard_to_read(items: tuple[getchu.Item, ...]) -> None:
    """Gaps in the numbers, products without characters, behind the gate, gone, and dated in every way."""
    numbers = [[int(figure.number) for figure in item.figures] for item in items]
    assert any(found and found[0] > 1 for found in numbers)
    assert any(found[-1] - found[0] >= len(found) for found in numbers if found)
    assert any(not found for found in numbers)
    assert {item.gated for item in items} == {item.gone for item in items} == {True, False}
    forms = {"".join("0" if sign.isdigit() else sign for sign in item.release) for item in items}
    assert forms >= {"0000/00/00", "未定", "0000/00/未定", "0000/00/上旬"}
    assert any(form.startswith("0000年") for form in forms)


def test_an_old_address_leads_to_the_new_one(
    client: requests.Session, url: str, items: tuple[getchu.Item, ...]
) -> None:
    """For ever: 301."""
    answer = client.get(f"{url}/getchu/soft.phtml?id={items[1].number}", allow_redirects=False)

    assert (answer.status_code, answer.headers["Location"]) == (301, f"/getchu/item/{items[1].number}/")


def test_a_page_is_in_euc_jp_and_knows_its_version(
    client: requests.Session, url: str, items: tuple[getchu.Item, ...]
) -> None:
    """304 to who has it."""
    item = next(item for item in items if is_open(item))
    answer = client.get(f"{url}/getchu/item/{item.number}/")

    assert answer.headers["Content-Type"] == "text/html; charset=EUC-JP"
    assert item.brand in answer.content.decode("euc_jis_2004", "replace")
    again = client.get(answer.url, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_some_pages_stand_behind_a_gate(client: requests.Session, url: str, items: tuple[getchu.Item, ...]) -> None:
    """Its link leads in."""
    item = next(item for item in items if item.gated and not item.gone)
    gate = client.get(f"{url}/getchu/item/{item.number}/")

    assert gate.url.startswith(f"{url}/getchu/php/attestation.html?aurl=")
    assert "年齢認証ページ" in gate.content.decode("euc_jp", "replace")
    assert f'"/getchu/item/{item.number}/?gc=gc"' in gate.content.decode("euc_jp", "replace")
    assert client.get(f"{url}/getchu/item/{item.number}/?gc=gc").url.endswith("?gc=gc")


def test_what_has_gone_is_404(client: requests.Session, url: str, items: tuple[getchu.Item, ...]) -> None:
    """As is what never was, though a list names the one."""
    gone = next(item for item in items if item.gone)

    assert client.get(f"{url}/getchu/item/{gone.number}/?gc=gc").status_code == 404
    assert client.get(f"{url}/getchu/item/1/").status_code == 404


def test_a_month_names_what_comes_out_in_it(client: requests.Session, url: str, items: tuple[getchu.Item, ...]) -> None:
    """By both kinds of address, and never what has no date."""
    params = {"genre": "pc_soft", "year": "2005", "month": "2", "gage": ""}
    text = client.get(f"{url}/getchu/all/price.html", params=params).content.decode("euc_jis_2004", "replace")
    named = {item.number for item in items if f'class="blueb" href="{getchu._link(item)}"' in text}

    assert named == {item.number for item in items if (item.day.year, item.day.month) == (2005, 2) and not item.undated}
    assert {"/soft.phtml" in getchu._link(item) for item in items if item.number in named} == {True, False}


def test_a_picture_is_for_those_who_come_from_its_page(
    client: requests.Session, url: str, items: tuple[getchu.Item, ...], sandbox: Sandbox
) -> None:
    """Others get a word: as a refusal, or in the picture's place."""
    answers = set()
    for item in items[:20]:
        for number, post in item.pictures.items():
            if sandbox.path(post) is None:
                continue
            address = f"{url}/getchu/brandnew/{item.number}/c{item.number}chara{number}.{post.ext}"
            answers.add(client.get(address).status_code)
            whole = client.get(address, headers={"Referer": f"{url}/getchu/item/{item.number}/"})
            assert (whole.status_code, whole.content) == (200, sandbox.bytes_of(post.number))

    assert answers == {200, 403}
    assert client.get(f"{url}/getchu/brandnew/1/c1chara1.jpg").status_code == 404


def test_sql_gives_a_table(client: requests.Session, url: str, items: tuple[getchu.Item, ...]) -> None:
    """Names first, then rows by falling number."""
    form = {"sql": QUESTION.format(below=4000, count=3)}
    text = client.post(f"{url}{erogamescape.PREFIX}{erogamescape.FORM}", data=form).text

    assert text.count("<tr>") == 4
    assert "<tr><th>id</th><th>gamename</th><th>sellday</th><th>comike</th><th>brandname</th></tr>" in text
    assert f"<td>{[item for item in items if erogamescape.known(item)][-1].number}</td>" in text


def test_other_sql_gives_a_complaint(client: requests.Session, url: str) -> None:
    """In the server's words, with 200."""
    answer = client.post(f"{url}{erogamescape.PREFIX}{erogamescape.FORM}", data={"sql": "DROP TABLE <gamelist>"})

    assert answer.status_code == 200
    assert "エラー(SQL間違い)" in answer.text
    assert 'syntax error at or near "DROP TABLE &lt;gamelist"' in answer.text
