"""Hides ErogameScape's page for SQL: which games Getchu sells, and when each came out, in a few questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlsplit

from pipeline.errors import BoardError
from pipeline.http import Client, WebPage
from pipeline.sources.ground import EMPTY_TRIES, TOP, whole
from pipeline.sources.markup import tokens, words
from pipeline.stage import effect

ADDRESS = "https://erogamescape.dyndns.org"
FORM = "/~ap2/ero/toukei_kaiseki/sql_for_erogamer_form.php"
PAGE_SIZE = 5000  # games in one answer; no limit is published, and this is what careful clients ask for
MIN_GAP_S = 2.5  # between two questions, as careful clients leave
TO_BE_ANNOUNCED = date(2030, 1, 1)  # this day and later ones (2050-01-01) stand for none
# `comike` is Getchu's number. Not every game has a brand that is listed.
QUESTION = (
    "SELECT g.id, g.gamename, g.sellday, g.comike, b.brandname FROM gamelist g "
    "LEFT JOIN brandlist b ON b.id = g.brandname "
    "WHERE g.comike IS NOT NULL AND g.id < {below} ORDER BY g.id DESC LIMIT {count}"
)
COLUMNS = frozenset({"id", "gamename", "sellday", "comike", "brandname"})


@dataclass(frozen=True, slots=True)
class Game:
    """What is known of a product before its page is read."""

    product: int  # Getchu's number
    released_on: date | None = None
    title: str = ""
    brand: str = ""


@dataclass(frozen=True, kw_only=True)
class Erogamescape:
    """Lists all games that Getchu has a number of."""

    address: str = ADDRESS  # scheme, host and port
    client: Client = effect()
    page_size: int = PAGE_SIZE

    def games(self) -> Iterator[Game]:
        """Give them from the one that was entered last; whoever stops reading stops the asking.

        Raises:
            BoardError: The page cannot be had, refuses the question (in its own words), or gives no falling list.
            Stopped: The client was stopped.
        """
        below, empty = TOP, 0
        while empty < EMPTY_TRIES:
            rows = self._rows(below)
            empty = 0 if rows else empty + 1
            ids = [number for row in rows if (number := whole(row["id"]))]
            if rows and (not ids or max(ids) >= below):
                raise BoardError(f"{self._host}: gives games out of their order; it is no page of ErogameScape's")
            below = min(ids, default=below)
            yield from filter(None, map(_game, rows))

    @property
    def _host(self) -> str:
        return urlsplit(self.address).netloc

    def _rows(self, below: int) -> list[Mapping[str, str]]:
        question = QUESTION.format(below=below, count=self.page_size)
        title, table, complaint = _read(self.client.post_form(f"{self.address.rstrip('/')}{FORM}", {"sql": question}))
        names = set(table[0]) if table else set()
        if not names >= COLUMNS:
            said = ": ".join(filter(None, (title, complaint)))[:300]
            raise BoardError(f"{self._host}: gives no games{f' but {said!r}' if said else ''}; try again later")
        return [dict(zip(table[0], row, strict=True)) for row in table[1:] if len(row) == len(table[0])]


def _game(row: Mapping[str, str]) -> Game | None:
    """Read a row; one without a number that can be asked for is none."""
    product = whole(row["comike"])
    if not product or product >= TOP:
        return None
    return Game(product, _day(row["sellday"]), row["gamename"], row["brandname"])


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day < TO_BE_ANNOUNCED else None


def _read(page: WebPage) -> tuple[str, list[list[str]], str]:
    """Walk over an answer: its title, the cells of its table, and what it complains of in paragraphs."""
    title: list[str] = []
    complaint: list[str] = []
    table: list[list[list[str]]] = []  # rows of cells of pieces
    target = nowhere = list[str]()
    for token in tokens(page.body.decode("utf-8", "replace")):
        if isinstance(token, str):
            target.append(token)
            continue
        match token.name:
            case "tr":
                table.append([])
            case "td" | "th" if table:
                target = []
                table[-1].append(target)
            case "p":
                target = complaint
            case _ if token.attributes.get("id") == "query_result_header":
                target = title
            case "/td" | "/th" | "/p" | "/div" | "table" | "/table":
                target = nowhere
    return words("".join(title)), [[words("".join(cell)) for cell in row] for row in table], words("".join(complaint))
