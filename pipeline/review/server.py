"""The review page over HTTP: what is asked for, and which part of the review answers it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jinja2 import Environment, FileSystemLoader, select_autoescape
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from pipeline import __version__
from pipeline.catalog import Catalog
from pipeline.errors import CatalogError, ConflictError, KaosetError, StoreError, UsageError, WorldError
from pipeline.folder import DataFolder
from pipeline.review import asked, report, shown, wanted
from pipeline.review.desk import Desk
from pipeline.review.guard import Guard, Key, TooLargeError, read_key, write_key
from pipeline.review.pictures import context_jpeg
from pipeline.review.ranking import Ranking
from pipeline.review.shelf import Progress, open_shelf
from pipeline.serving import listen, serving

PORT = 8377
PAGE_SIZES = (24, 60, 120)
VIEWS = {"grid": "Review", "single": "One by one", "label": "Labels", "stats": "Statistics"}
MOST_OPERATIONS = 500
LONGEST_NAME = 100  # characters of a reviewer's name
_HERE = Path(__file__).parent
_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_IMPORT = re.compile(r'^import .* from "\./(\w+\.js)";$', re.MULTILINE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}

Answer = Callable[["_Pages", Request, str], Any]


@dataclass(frozen=True, slots=True)
class Serving:
    """A review that is being served."""

    url: str  # with the token, to be opened
    desk: Desk
    thread: threading.Thread

    def wait(self) -> None:
        """Go on until somebody stops it."""
        while self.thread.is_alive():
            self.thread.join(0.2)


@contextmanager
def serve(
    folder: DataFolder,
    catalog_url: str,
    *,
    reviewer: str,
    host: str = "127.0.0.1",
    port: int | None = None,
    recipe: str | None = None,
    seeds: bool = True,
    progress: Progress = lambda *_: None,
) -> Iterator[Serving]:
    """Serve the review of a data folder until the block ends.

    Args:
        folder: Whose crops.
        catalog_url: "": SQLite in the data folder.
        reviewer: Who decides, where a page says nothing else.
        host: The address to listen on.
        port: None: the one of the last time, or `PORT`, or any that is free; 0: any that is free.
        recipe: Only this recipe's crops.
        seeds: Whether known-false crops measure attention.
        progress: Told while crops are gathered.

    Raises:
        WorldError: The port cannot be had, or something cannot be read or written.
    """
    place = folder.root / "review"
    key = read_key(place / "server.json")
    listener = _listen(host, port, key)
    with listener:
        port = listener.getsockname()[1]
        if port != key.port:
            key = Key(key.secret, port)
            write_key(place / "server.json", key)
        catalog = Catalog(catalog_url or folder.catalog, durable=True)
        shelf = open_shelf(catalog, place, progress, recipe)
        ranking = Ranking(shelf, folder.store, place / "looks")
        desk = Desk(catalog, folder.store, place, shelf, ranking, seeds=seeds)
        ranking.start()
        pages = _Pages(desk, reviewer, port)
        names = () if host in ("127.0.0.1", "localhost", "::1") else (host,)
        guarded = Guard(pages.application(), key, port, names)
        shown_host = "127.0.0.1" if host in ("0.0.0.0", "localhost") else host  # noqa: S104 - only compared
        try:
            with serving(guarded, listener, "review page", server_header=False) as thread:
                yield Serving(f"http://{shown_host}:{port}/?token={key.token}", desk, thread)
        finally:
            ranking.close()
            catalog.close()


def _listen(host: str, port: int | None, key: Key) -> Any:
    if port is not None:
        return listen(host, port)
    for usual in (key.port or PORT, 0):
        try:
            return listen(host, usual)
        except WorldError:
            if usual == 0:
                raise
    raise AssertionError


class _Pages:
    """Answers requests; each runs in a thread, for the catalog and the pixels make it wait."""

    def __init__(self, desk: Desk, reviewer: str, port: int) -> None:
        self.desk, self.reviewer, self.port = desk, reviewer, port
        environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"), autoescape=select_autoescape(default=True)
        )
        self.template = environment.get_template("page.html")
        self.static = {path.name: path.read_bytes() for path in sorted((_HERE / "static").iterdir())}

    def application(self) -> ASGIApp:
        """Make the application."""
        routes = [
            Route("/", lambda _: RedirectResponse("/grid", 303)),
            *(Route(f"/{view}", self._view(view)) for view in VIEWS),
            Route("/static/{name}", self._static),
            Route("/crops/{sha256}", self._crop),
            Route("/contexts/{sha256}", self._threaded(_context)),
            *(Route(f"/api/{path}", self._threaded(answer)) for path, answer in _READS.items()),
            *(Route(f"/api/{path}", self._threaded(answer), methods=["POST"]) for path, answer in _WRITES.items()),
        ]
        return Starlette(routes=routes, exception_handlers={TooLargeError: _too_large})

    def _view(self, view: str) -> Callable[[Request], Response]:
        html = self.template.render(
            view=view,
            title=VIEWS[view],
            views=VIEWS,
            version=__version__,
            reviewer=self.reviewer,
            sizes=PAGE_SIZES,
            # All that a view imports, by whatever way, is named at once, so that none waits for one that imports it.
            modules=sorted(self._imported("app.js") | self._imported(f"{view}.js")),
        )

        def answer(_request: Request) -> Response:
            self.desk.ranking.give_way()
            return HTMLResponse(html)

        return answer

    def _imported(self, module: str) -> set[str]:
        """Name a module, and all that it imports."""
        found, new = set[str](), {module}
        while new:
            found |= new
            new = {one for name in new for one in _IMPORT.findall(self.static[name].decode())} - found
        return found

    def _static(self, request: Request) -> Response:
        data = self.static.get(request.path_params["name"])
        kind = _KINDS.get(Path(request.path_params["name"]).suffix)
        if data is None or kind is None:
            return JSONResponse({"error": "no such file"}, 404)
        return Response(data, media_type=kind, headers={"Cache-Control": "no-cache"})

    async def _crop(self, request: Request) -> Response:
        """Give a crop; reading one takes less time than to hand it to a thread."""
        try:
            self.desk.ranking.give_way()
            name = _sha256(request)
            if self.desk.shelf.row(name) is None and name not in self.desk.planted:
                raise StoreError("no such picture")
            return Response(self.desk.store.get(name), media_type="image/png", headers=_FOR_EVER)
        except KaosetError as error:
            return _error(error)

    def _threaded(self, answer: Answer) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            try:
                body = await request.body() if request.method == "POST" else b""
                if body:
                    request.state.body = _json(body)
                return await run_in_threadpool(self._answered, answer, request)
            except KaosetError as error:
                return _error(error)

        return handle

    def _answered(self, answer: Answer, request: Request) -> Response:
        self.desk.ranking.give_way()
        said = answer(self, request, self._who(request))
        if isinstance(said, Response):
            return said
        # What a board or a person wrote may hold half a surrogate pair.
        return Response(json.dumps(said).encode("utf-8"), media_type="application/json")

    def _who(self, request: Request) -> str:
        named = unquote(request.headers.get("x-kaoset-reviewer", ""), errors="replace").strip()[:LONGEST_NAME]
        return "".join(letter for letter in named if letter.isprintable()) or self.reviewer


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError("the request's body is no JSON") from error


def _error(error: KaosetError) -> Response:
    match error:
        case ConflictError():
            status = 409
        case UsageError():
            status = 400
        case CatalogError():  # it may be busy, and is asked again
            status = 503
        case StoreError():
            status = 404
        case _:
            status = 500
    return JSONResponse({"error": str(error)}, status)


def _too_large(_request: Request, _error: Exception) -> Response:
    return JSONResponse({"error": "the request is too large"}, 413)


def _sha256(request: Request) -> str:
    text = str(request.path_params["sha256"])
    if not _SHA256.fullmatch(text):
        raise StoreError("no such picture")
    return text


def _wanted(request: Request) -> wanted.Wanted:
    own = {"q", "crop", "least", "last"}  # what is no filter
    query = "&".join(part for part in request.url.query.split("&") if part.partition("=")[0] not in own)
    return wanted.parse(query)


def _body(request: Request) -> Any:
    return getattr(request.state, "body", {})


# --- pictures ---------------------------------------------------------------------------------------------------------


def _context(pages: _Pages, request: Request, _who: str) -> Response:
    try:
        image = shown.image_of(pages.desk, _sha256(request))
    except UsageError as error:
        raise StoreError(str(error)) from error
    return Response(context_jpeg(pages.desk.store, image), media_type="image/jpeg", headers=_FOR_EVER)


def _pictures(pages: _Pages, request: Request, who: str) -> Any:
    with pages.desk.lock:
        batch = pages.desk.batch(request.path_params["id"], who)
    return shown.pictures_json(pages.desk, batch)


# --- what is read -----------------------------------------------------------------------------------------------------


def _facets(pages: _Pages, request: Request, _who: str) -> Any:
    asked_for, desk = _wanted(request), pages.desk
    with desk.lock:
        desk.refresh()
        found = wanted.facets(desk.shelf, desk.live, asked_for)
        matching = int(desk.mask(asked_for).sum())
    return {"total": len(desk.shelf), "matching": matching, "facets": [one.to_json() for one in found]}


def _tags(pages: _Pages, request: Request, _who: str) -> Any:
    asked_for, desk = _wanted(request), pages.desk
    with desk.lock:
        found = wanted.tags(desk.shelf, desk.live, asked_for, request.query_params.get("q", ""))
    return {"tags": [{"value": tag, "count": count} for tag, count in found]}


def _operations(pages: _Pages, request: Request, who: str) -> Any:
    last = _number(request, "last", 50, MOST_OPERATIONS)
    return {"operations": shown.operations_json(pages.desk.catalog.operations(who, last=int(last)))}


def _names(pages: _Pages, request: Request, who: str) -> Any:
    crop = request.query_params.get("crop") or None
    if crop is not None and not _SHA256.fullmatch(crop):
        raise UsageError("crop: no SHA-256")
    with pages.desk.lock:
        return shown.names_json(pages.desk, request.query_params.get("q", "")[: asked.LONGEST_LABEL], crop, who)


def _bulk(pages: _Pages, request: Request, _who: str) -> Any:
    with pages.desk.lock:
        return shown.bulk_json(pages.desk, _wanted(request), _number(request, "least", 0.95, 1.0), asked.MOST_SAMPLED)


def _number(request: Request, name: str, usual: float, most: float) -> float:
    text = request.query_params.get(name, str(usual))
    try:
        value = float(text)
    except ValueError as error:
        raise UsageError(f"{name}={text[:40]}: no number") from error
    if not 0 <= value <= most:
        raise UsageError(f"{name}={text[:40]}: give 0 to {most:g}")
    return value


_READS: dict[str, Answer] = {
    "progress": lambda pages, request, who: pages.desk.progress(_wanted(request), who),
    "facets": _facets,
    "tags": _tags,
    "operations": _operations,
    "labels": _names,
    "bulk": _bulk,
    "stats": lambda pages, request, who: report.stats(pages.desk, _wanted(request), who),
    "batches/{id}": lambda pages, request, who: shown.page_json(
        pages.desk, pages.desk.resume(request.path_params["id"], who)
    ),
    "batches/{id}/pictures": _pictures,
    "crops/{sha256}": lambda pages, request, who: shown.crop_json(pages.desk, _sha256(request), who),
}

# --- what is written --------------------------------------------------------------------------------------------------


def _claim(pages: _Pages, request: Request, who: str) -> Any:
    return shown.page_json(pages.desk, pages.desk.claim(asked.claimed(_body(request)), who))


def _release(pages: _Pages, request: Request, who: str) -> Any:
    pages.desk.release(request.path_params["id"], who)
    return {}


_WRITES: dict[str, Answer] = {
    "batches": _claim,
    "batches/{id}/renew": lambda pages, request, who: {
        "until": pages.desk.renew(request.path_params["id"], who).isoformat()
    },
    "batches/{id}/release": _release,
    "operations": lambda pages, request, who: pages.desk.operate(_body(request), who).to_json(),
}
