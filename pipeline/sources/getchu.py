"""Hides Getchu behind the face of a board: months or numbers in, one post out for each picture of a character."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import BoardError, IncompleteError, RecipeError, WorldError
from pipeline.http import Client, Fetched, Gone, Refused, WebPage
from pipeline.records import Post
from pipeline.sources import Page
from pipeline.sources.board import RATINGS, check_address, extension
from pipeline.sources.erogamescape import Erogamescape, Game
from pipeline.sources.getchu_page import Picture, Product, read_list, read_product
from pipeline.stage import effect

ADDRESS = "https://www.getchu.com"
GATE = "/php/attestation.html"
PRODUCTS_AT_ONCE = 10  # between two cursors: a kill costs at most so many requests
GIVE_UP_AFTER = 3  # pages in a row that did not come: it is not the pages' fault
MAX_NAME = 200  # characters of a tag; no title is nearly as long
FIRST_MONTH = date(1995, 1, 1)  # where nobody says since when
JAPAN = timezone(timedelta(hours=9))


def _today() -> date:
    return datetime.now(UTC).astimezone(JAPAN).date()


@dataclass(frozen=True, kw_only=True)
class GetchuSource:
    """Reads each product's page once, newest month first, and takes no picture but the product's own characters."""

    name: str
    address: str = ADDRESS  # what is asked: scheme, host and port
    client: Client = effect()
    site: str = ""  # what is written down in place of the address; the address itself when empty
    ids: tuple[int, ...] = ()  # these products alone
    feed: Erogamescape | None = None  # names the products, and when they came out; without it the shop's months do
    since: date | None = None  # first day of release asked for
    until: date | None = None  # first day no longer asked for
    rating: str | None = None  # what the pictures are declared to be: no page says it
    age_gate: bool = False  # declare to be of age, as the page that asks has it
    limit: int | None = None  # posts after which no further page is asked in one call of pages()
    today: Callable[[], date] = field(default=_today, compare=False, metadata={"effect": True})

    def __post_init__(self) -> None:
        check_address(self.name, self.address)
        if self.rating not in {None, *RATINGS}:
            raise RecipeError(f"rating {self.rating!r} of source {self.name!r} is unknown; use g, s, q or e")

    @property
    def root(self) -> str:
        """The address that is asked, without a slash at its end."""
        return self.address.rstrip("/")

    @property
    def home(self) -> str:
        """The address that is written down, without a slash at its end."""
        return (self.site or self.address).rstrip("/")

    @property
    def listing(self) -> str:
        """Name, site, what names the products, and the rating; not the dates: other dates read on, not anew."""
        way = "erogamescape" if self.feed else "months"
        if self.ids:
            numbers = _pack(self.ids).encode()
            way = f"ids {hashlib.sha1(numbers, usedforsecurity=False).hexdigest()[:16]}"
        return " ".join(filter(None, (self.name, self.home, way, self.rating and f"rating:{self.rating}")))

    def pages(self, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """List products that were not read yet; first those whose page did not come the last time.

        A product without its page (404) is read for ever. One whose page fails does not hold up the others.

        Raises:
            BoardError: The shop cannot be reached, or asks for the age and `age_gate` is off.
            IncompleteError: After all others were listed: some pages did not come.
            Stopped: The client was stopped.
        """
        memory = _Memory.of(cursor)
        posts: list[Post] = []
        listed = asked = 0
        try:
            for game in self._games(memory):
                found = self._attempt(memory, game)
                posts += found
                listed, asked = listed + len(found), asked + 1
                if asked % PRODUCTS_AT_ONCE == 0:
                    yield Page(tuple(posts), memory.to_json())
                    posts = []
                if self.limit is not None and listed >= self.limit:
                    break
        except WorldError:
            yield Page(tuple(posts), memory.to_json())
            raise
        yield Page(tuple(posts), memory.to_json())
        if memory.troubles:
            if not memory.read:  # nor did any in an earlier run: it is the shop that is to blame, not its pages
                raise memory.troubles[0]
            raise IncompleteError(
                f"{urlsplit(self.address).netloc}: {len(memory.troubles)} pages did not come, all others are listed; "
                f"the next run asks for them first (the first of them: {memory.troubles[0]})"
            )

    def fetch(self, post: Post, target: Path, max_bytes: int) -> Fetched | Refused:
        """Bring the picture; the shop gives it to those alone who come from its product's page."""
        return self.client.download(
            self._asked(post.file_url or ""),
            target,
            max_bytes=max_bytes,
            headers={"Referer": self._asked(post.page_url)},
        )

    def _games(self, memory: _Memory) -> Iterator[Game]:
        """Name the products to ask for; a month is closed when the next is asked for, and so its products are read."""
        yield from list(memory.failed.values())
        if self.ids:
            named: Iterable[Game] = map(Game, self.ids)
        elif self.feed is not None:
            named = filter(self._wanted, self.feed.games())
        else:
            named = self._from_months(memory)
        for game in named:
            if game.product not in memory.read and game.product not in memory.failed:
                yield game

    def _wanted(self, game: Game) -> bool:
        """Judge by the day of release, before any page is asked for."""
        if self.since is None and self.until is None:
            return True
        day = game.released_on
        return day is not None and (self.since or date.min) <= day and (self.until is None or day < self.until)

    def _from_months(self, memory: _Memory) -> Iterator[Game]:
        this = _month(self.today())
        first = _month(self.since or FIRST_MONTH)
        last = this if self.until is None else min(this, _month(max(self.until, date(1, 1, 2)) - timedelta(days=1)))
        for month in range(last, first - 1, -1):
            if month in memory.closed:
                continue
            try:
                page, products = self._list(month, memory.versions.get(month))
            except _AgeGateError:
                raise
            except BoardError as error:
                memory.miss(error)
                continue
            yield from map(Game, products)
            if page is None or products:
                memory.leave(month, page, past=month < this)

    def _list(self, month: int, known: Mapping[str, str] | None) -> tuple[WebPage | None, list[int]]:
        """Ask for the releases of a month; no page where nothing has changed since it was read."""
        year, number = divmod(month, 12)
        params: dict[str, str | int] = {"genre": "pc_soft", "year": year, "month": number + 1, "gage": ""}
        page = self._page("/all/price.html", params, known)
        if page is None or (products := read_list(page)):
            return page, products if page else []
        page = self._page("/all/price.html", params)  # an empty answer is not believed at once
        return page, read_list(page) if page else []

    def _attempt(self, memory: _Memory, game: Game) -> list[Post]:
        try:
            product = self._product(game.product)
        except _AgeGateError:
            raise
        except Gone:
            product = None
        except BoardError as error:
            memory.fail(game, error)
            return []
        memory.done(game.product)
        return [self._post(product, game, picture) for picture in product.pictures] if product else []

    def _product(self, number: int) -> Product:
        page = self._page(f"/item/{number}/", {})
        product = read_product(page, number) if page else None
        if product is None:
            raise BoardError(f"{self.root}/item/{number}/: is no product's page; look at it in a browser")
        return product

    def _page(
        self, path: str, params: Mapping[str, str | int], known: Mapping[str, str] | None = None
    ) -> WebPage | None:
        asked = {**params, "gc": "gc"} if self.age_gate else params
        page = self.client.get_page(self.root + path, asked, known=known)
        if page is not None and urlsplit(page.url).path.endswith(GATE):
            raise _AgeGateError(
                f"{self.root}{path}: asks for your age, whatever is answered; look at it in a browser"
                if self.age_gate
                else f"{self.root}{path}: asks for your age; if you are of age and wish to say so, set age_gate = true "
                f"in source {self.name!r}, or leave the product out"
            )
        return page

    def _post(self, product: Product, game: Game, picture: Picture) -> Post:
        artists = tuple(dict.fromkeys(filter(None, map(_tag, product.artists))))
        said = (
            ("brand", _tag(product.brand or game.brand)),
            ("title", _tag(product.title)),
            *(("artist", artist) for artist in artists),
            ("character", _tag(picture.character)),
        )
        return Post(
            id=f"{self.name}:{game.product}-c{picture.number}",
            file_url=re.sub(rf"^{re.escape(self.root)}(?=/)", lambda _: self.home, picture.address),
            page_url=f"{self.home}/item/{game.product}/",
            ext=extension(picture.address),
            rating=self.rating,
            tags=tuple(dict.fromkeys(f"{kind}:{name}" for kind, name in said if name)),
            artists=artists,
            characters=tuple(filter(None, (_tag(picture.character),))),
            series=tuple(filter(None, (_tag(product.title),))),
            released_on=product.released_on or game.released_on,
        )

    def _asked(self, url: str) -> str:
        """Turn what is written down into what is asked."""
        return self.root + url.removeprefix(self.home) if url.startswith(f"{self.home}/") else url


def _tag(name: str) -> str:
    """Write a name as a tag."""
    return "_".join(name[:MAX_NAME].split())


class _AgeGateError(BoardError):
    """The shop asks for the age: a matter of the recipe, not of this page."""


@dataclass
class _Memory:
    """What a cursor holds, and what went wrong in this call."""

    read: set[int] = field(default_factory=set)  # products, also those that have gone
    failed: dict[int, Game] = field(default_factory=dict)  # products to ask for first
    closed: set[int] = field(default_factory=set)  # months that are over and were read whole
    versions: dict[int, Mapping[str, str]] = field(default_factory=dict)  # of the lists of other months read whole
    troubles: list[BoardError] = field(default_factory=list)
    missed: int = 0  # pages in a row

    @classmethod
    def of(cls, cursor: Mapping[str, Any] | None) -> _Memory:
        """Take up what `to_json` wrote."""
        known = cursor or {}
        failed = (
            Game(number, day and date.fromisoformat(day), title, brand)
            for number, day, title, brand in known.get("failed", [])
        )
        return cls(
            read=_unpack(known.get("read", "")),
            failed={game.product: game for game in failed},
            closed=_unpack(known.get("closed", "")),
            versions={int(month): version for month, version in known.get("versions", {}).items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON; thousands of numbers in tens of kilobytes, since it is written again and again."""
        return {
            "read": _pack(self.read),
            "unread": [[product, product] for product in self.failed],  # as every listing says it, for `flow status`
            "failed": [
                [game.product, game.released_on and game.released_on.isoformat(), game.title, game.brand]
                for game in self.failed.values()
            ],
            "closed": _pack(self.closed),
            "versions": {str(month): dict(version) for month, version in self.versions.items()},
        }

    def done(self, product: int) -> None:
        """Never ask for *product* again."""
        self.read.add(product)
        self.failed.pop(product, None)
        self.missed = 0

    def leave(self, month: int, page: WebPage | None, *, past: bool) -> None:
        """Never ask for the list of a *past* month again, and for that of another only whether it has changed."""
        self.missed = 0
        if past:
            self.closed.add(month)
            self.versions.pop(month, None)
        elif page is not None:
            self.versions[month] = page.version

    def fail(self, game: Game, error: BoardError) -> None:
        """Ask for a product first the next time; one that failed before may fail for ever, and says nothing new.

        Raises:
            BoardError: As `miss`.
        """
        if game.product in self.failed:
            self.troubles.append(error)
            return
        self.failed[game.product] = game
        self.miss(error)

    def miss(self, error: BoardError) -> None:
        """Go on without a page.

        Raises:
            BoardError: It is the last of too many in a row.
        """
        self.troubles.append(error)
        self.missed += 1
        if self.missed == GIVE_UP_AFTER:
            raise BoardError(
                f"{error} ({GIVE_UP_AFTER} pages in a row did not come; the next run goes on here)"
            ) from error


def _month(day: date) -> int:
    """Count months, so that they can be packed like products."""
    return day.year * 12 + day.month - 1


def _pack(numbers: Iterable[int]) -> str:
    """Write numbers as `3 5-9 12`."""
    runs = groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0])
    spans = ([number for _, number in run] for _, run in runs)
    return " ".join(str(span[0]) if len(span) == 1 else f"{span[0]}-{span[-1]}" for span in spans)


def _unpack(text: str) -> set[int]:
    spans = (span.partition("-") for span in text.split())
    return {number for first, _, last in spans for number in range(int(first), int(last or first) + 1)}
