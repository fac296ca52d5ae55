"""Hides HTML that strangers wrote: tags and text in a row, as a browser would understand them.

lxml reads it: html.parser of Python 3.11 works for minutes on a megabyte of `<!--`, and whoever writes a page could
hold a run up so. lxml gives up on what lies deeper than any page is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bs4 import BeautifulSoup, NavigableString, PageElement
from bs4 import Tag as Element

MAX_PAGE = 4 << 20  # characters; a product's page has a fiftieth of it
VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})


@dataclass(frozen=True, slots=True)
class Tag:
    """`<td class="a b">` is `td`, its end is `/td`."""

    name: str  # lower case
    attributes: Mapping[str, str] = field(default_factory=dict)  # names in lower case, values unescaped

    @property
    def classes(self) -> list[str]:
        """The words of `class`."""
        return self.attributes.get("class", "").split()


def tokens(text: str) -> Iterator[Tag | str]:
    """Give tags and the text between them, unescaped; no comments, and nothing of scripts. What is too long is cut."""
    soup = BeautifulSoup(_parsable(text[:MAX_PAGE]), "lxml", multi_valued_attributes=None)
    rest: list[PageElement | Tag] = list(reversed(soup.contents))
    while rest:
        match rest.pop():
            case Tag() as end:
                yield end
            case Element() as element:
                yield Tag(element.name, {name: str(value) for name, value in element.attrs.items()})
                if element.name not in VOID:
                    rest.append(Tag(f"/{element.name}"))
                    rest += reversed(element.contents)
            case NavigableString() as words_ if type(words_) is NavigableString:  # not a comment, nor a script
                yield str(words_)


def words(text: str) -> str:
    """Lay text out on one line, with what no file or catalog can hold replaced."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", " ", text).split())


def _parsable(text: str) -> str:
    """Replace what lxml takes for the end of the page, or for no text at all."""
    return re.sub(r"[\x00\ud800-\udfff]", "\ufffd", text)
