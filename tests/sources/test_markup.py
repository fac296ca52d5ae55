"""pipeline.sources.markup: tags and text of strangers' pages, whatever they do to hold a reader up."""

from __future__ import annotations

import time

import pytest

from pipeline.sources.markup import Tag, tokens, words

N = 1 << 18  # characters


def inside(text: str) -> list[Tag | str]:
    """What stands in a page, without the frame that every page is given."""
    frame = {"html", "/html", "head", "/head", "body", "/body", "p", "/p"}
    return [one for one in tokens(text) if not (isinstance(one, Tag) and one.name in frame)]


def test_tags_and_text_come_in_a_row() -> None:
    """Names in lower case, attributes in every kind of quotes, entities as what they stand for."""
    text = """a &amp; b<TD Class="x y" id='i "j"' colspan=3 hidden data-original="/a?b=1&amp;c=2">&#12354;</td><br/>"""

    assert inside(text) == [
        "a & b",
        Tag("td", {"class": "x y", "id": 'i "j"', "colspan": "3", "hidden": "", "data-original": "/a?b=1&c=2"}),
        "あ",
        Tag("/td"),
        Tag("br"),
    ]
    assert Tag("td", {"class": " x  y "}).classes == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a<!-- <b>x</b> -->c", ["a", "c"]),
        ("a<!-- never closed <b>", ["a"]),
        ("<!DOCTYPE html><?xml?>a", ["a"]),
        ("a<b>c", ["a", Tag("b"), "c", Tag("/b")]),
        ("<script>'<b>'</SCRIPT >a", [Tag("script"), Tag("/script"), "a"]),
        ("<style>a", [Tag("style"), Tag("/style")]),
        ("<a href=1 HREF=2>", [Tag("a", {"href": "1"}), Tag("/a")]),
        ("a\0b\ud800c", ["a\ufffdb\ufffdc"]),
        ("", []),
    ],
)
def test_what_is_not_as_it_should_be(text: str, found: list[Tag | str]) -> None:
    """It is read as a browser would."""
    assert inside(text) == found


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "<!--",
            "<!-->",
            "<",
            "</",
            "<a ",
            "<a b=",
            "<a b='",
            "&",
            "&#1;",
            "<![CDATA[",
            "<script>",
            "<td>",
            "<a b='\"'>",
        ),
        "<a " + "b" * 8000 + ">",
        "<a b" + " " * 8000 + ">",
        "<a " + 'b="' * 2600 + ">",
    ],
)
def test_time_grows_with_length_alone(piece: str) -> None:
    """html.parser takes minutes for a megabyte of some of these."""
    began = time.process_time()
    for _ in tokens(piece * (N // len(piece))):
        pass

    assert time.process_time() - began < 2.0


def test_words_stand_on_one_line() -> None:
    """Blanks of all kinds are one, and nothing is left that a file or a catalog cannot hold."""
    assert words(" a\n\u3000b\xa0c\x00\ud800d ") == "a b c d"
