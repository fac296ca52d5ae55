"""Hides how Getchu's pages are written: what a product is, which pictures are its own, what a list names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from urllib.parse import urljoin, urlsplit

from pipeline.http import WebPage
from pipeline.sources.markup import Tag, tokens, words

# EUC-JP with the letters that shops put into titles (① Ⅱ ㈱): all that `euc_jp` reads is read alike.
ENCODING = "euc_jis_2004"
CELLS = (2, 3)  # of a character: picture, words, and perhaps the whole figure
CHARACTERS = "キャラクター"
NOT_NAMES = re.compile(r"\[一覧\]|[（(]このブランドの作品一覧[）)]")
VOICE = re.compile(r"(?:CV|ＣＶ)\s*[:：]")  # who speaks
LINK = re.compile(r"(?:soft\.phtml\?(?:[^#]*&)?id=|/item/)(\d{1,9})(?!\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a character."""

    number: str  # what stands behind "chara" in its name: "1", or "b1" of a whole figure
    address: str
    character: str  # empty where the page does not say


@dataclass(frozen=True, slots=True)
class Product:
    """What a product's page says; what it does not say is empty."""

    title: str
    brand: str
    artists: tuple[str, ...]  # 原画
    released_on: date | None
    pictures: tuple[Picture, ...]


def read_product(page: WebPage, product: int) -> Product | None:
    """Read the page of the product with that number; None where it is no product's page."""
    scan = _scan(page)
    title = words("".join(scan.title))
    if not title:
        return None
    return Product(
        title=title,
        brand=words(NOT_NAMES.sub("", "".join(scan.brand) or scan.beside("ブランド", "サークル"))),
        artists=tuple(_names(scan.beside("原画"))),
        released_on=_day(scan.beside("発売日")),
        pictures=tuple(_pictures(scan.characters, page.url, product)),
    )


def read_list(page: WebPage) -> list[int]:
    """Give the products that a list names, each once, in its order."""
    named = (
        LINK.search(token.attributes.get("href", ""))
        for token in tokens(page.body.decode(ENCODING, "replace"))
        if isinstance(token, Tag) and token.name == "a" and "blueb" in token.classes
    )
    return list(dict.fromkeys(int(one[1]) for one in named if one and int(one[1])))


def _pictures(rows: list[list[_Cell]], page: str, product: int) -> Iterator[Picture]:
    """Give this product's own pictures, each once; pages show those of others too."""
    known: set[str] = set()
    for cells in rows:
        character = next(filter(None, (_character(cell.name) for cell in cells)), "")
        for address in (*cells[0].pictures, *(link for cell in cells[2:] for link in cell.links)):
            own = _own(address, page, product)
            if own and own[0] not in known:
                known.add(own[0])
                yield Picture(*own, character)


def _own(address: str, page: str, product: int) -> tuple[str, str] | None:
    """Give number and address of a character's picture of this product on the page's own host; None for others.

    Not by its folder: some lie in `gazou`, and some addresses climb. `wwwgetchu.com` is a slip of theirs.
    """
    try:
        parts, home = urlsplit(urljoin(page, address.strip())), urlsplit(page)
        host = parts.hostname or ""
    except ValueError:
        return None
    name = parts.path.rpartition("/")[2].lower()
    found = re.fullmatch(rf"c0*{product}chara([a-z0-9]{{1,20}})\.(?:jpe?g|png|gif|webp)", name, re.ASCII)
    if found is None or host.replace(".", "") != (home.hostname or "").replace(".", ""):
        return None
    if not parts.geturl().isprintable():  # some of that no catalog can hold
        return None
    if host == home.hostname:
        return found[1], parts.geturl()
    return found[1], parts._replace(scheme=home.scheme, netloc=home.netloc).geturl()


def _character(text: str) -> str:
    """Read a name out of `name（reading）　CV：voice`; a line above it is a title, the voice may have its own."""
    lines = [words(VOICE.split(line)[0]) for line in text.split("\n")]
    last = next(filter(None, reversed(lines)), "")
    return re.split(r"[（(]", last)[0].strip()


def _names(text: str) -> list[str]:
    """Split names that stand in a row."""
    return [name for name in map(words, re.split(r"[、，,\n]", NOT_NAMES.sub("", text))) if name]


def _day(text: str) -> date | None:
    """Read 2005/04/28; not a month, not 未定, not 上旬."""
    found = re.search(r"(?<!\d)(\d{4})/(\d{1,2})/(\d{1,2})(?!\d)", text, re.ASCII)
    try:
        return date(*map(int, found.groups())) if found else None
    except ValueError:
        return None


@dataclass
class _Cell:
    texts: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)  # addresses as they stand
    links: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # of the character, in pieces

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def name(self) -> str:
        return "".join(self.names)


def _scan(page: WebPage) -> _Scan:
    scan = _Scan()
    for token in tokens(page.body.decode(ENCODING, "replace")):
        if isinstance(token, Tag):
            scan.tag(token)
        else:
            scan.text(re.sub(r"[\r\n]+", " ", token))  # a line ends where <br> stands
    scan.end_row()
    return scan


@dataclass
class _Scan:
    """What one walk over a page finds; a tag that is not closed costs what stands in it, not the page."""

    title: list[str] = field(default_factory=list)
    brand: list[str] = field(default_factory=list)
    characters: list[list[_Cell]] = field(default_factory=list)  # rows that are as long as those of characters
    _facts: dict[str, str] = field(default_factory=dict)  # of the product's own table, by label without its colon
    _rest: dict[str, str] = field(default_factory=dict)  # of all other tables
    _row: list[_Cell] = field(default_factory=list)  # that is being read
    _texts: list[str] | None = None  # where the text goes, beside its cell
    _until: str = ""  # the tag that ends that
    _heading: list[str] = field(default_factory=list)  # the last one
    _in_facts: int = 0  # tables open, from that one on
    _in_characters: int = 0
    _awaited: bool = False  # the next table is one of characters
    _in_aside: bool = False  # a note in the title

    def beside(self, *labels: str) -> str:
        """Give what stands beside the first of *labels* that the page has."""
        return next((rows[label] for rows in (self._facts, self._rest) for label in labels if rows.get(label)), "")

    def tag(self, tag: Tag) -> None:
        """Take the next tag."""
        if tag.name == self._until or tag.name in _BREAKS:
            self._end_text()
        if tag.name in _ROW_ENDS:
            self.end_row()
        match tag.name:
            case "table":
                self._in_facts += bool(self._in_facts or tag.attributes.get("id") == "soft_table")
                self._in_characters += bool(self._in_characters or self._awaited)
                self._awaited = False
            case "/table":
                self._in_facts = max(0, self._in_facts - 1)
                self._in_characters = max(0, self._in_characters - 1)
            case "td" | "th":
                self._row.append(_Cell())
            case "br":
                self.text("\n")
            case "nobr" | "/nobr":
                self._in_aside = tag.name == "nobr"
            case "img" if self._row:
                self._row[-1].pictures.append(tag.attributes.get("data-original") or tag.attributes.get("src", ""))
            case "a" if self._row:
                self._row[-1].links.append(tag.attributes.get("href", ""))
        self._begin_text(tag)

    def text(self, text: str) -> None:
        """Take the next piece of text."""
        if self._texts is not None and not (self._in_aside and self._texts is self.title):
            self._texts.append(text)
        if self._row:
            self._row[-1].texts.append(text)

    def end_row(self) -> None:
        """Keep what the row says."""
        row, self._row = self._row, []
        if self._in_characters and len(row) in CELLS:
            self.characters.append(row)
        for cell, beside in pairwise(row):
            label = words(cell.text)
            if label.endswith("："):
                (self._facts if self._in_facts else self._rest).setdefault(label[:-1].strip(), beside.text)

    def _begin_text(self, tag: Tag) -> None:
        name = tag.attributes.get("id", "")
        if name == "soft-title" and not self.title:
            self._texts = self.title
        elif (name == "brandsite" or (tag.name == "a" and "glance" in tag.classes)) and not self.brand:
            self._texts = self.brand
        elif any(one.startswith("tabletitle") for one in tag.classes):
            self._texts = self._heading = []
        elif "chara-name" in tag.classes and self._row:
            self._texts = self._row[-1].names
        else:
            return
        self._until = f"/{tag.name}"

    def _end_text(self) -> None:
        if self._texts is self._heading:
            self._awaited = CHARACTERS in "".join(self._heading)
        self._texts = None
        self._until = ""


_ROW_ENDS = frozenset({"tr", "/tr", "table", "/table"})
_BREAKS = frozenset({"table", "/table", "tr", "/tr", "td", "/td", "th", "/th"})  # no text that is looked for spans them
