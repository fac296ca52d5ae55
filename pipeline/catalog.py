"""The memory of everything: which posts exist, what each stage said of each item, what people decided."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError

from pipeline.errors import CatalogError
from pipeline.records import Detection, FaceCrop, Image, Post, Reason, Record, ReviewDecision, utc
from pipeline.stage import Dropped, Kept, Outcome

SCHEMA = 1
BUSY_MS = 10_000  # how long one program waits for another that writes
AT_ONCE = 400  # keys in one question; SQLite's oldest limit on bound values is 999

_meta = sa.MetaData()
_about = sa.Table("about", _meta, sa.Column("key", sa.String, primary_key=True), sa.Column("value", sa.String))
_posts = sa.Table(
    "posts",
    _meta,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("seen_at", sa.String, nullable=False),
)
_listings = sa.Table(
    "listings",
    _meta,
    sa.Column("listing", sa.String, primary_key=True),
    sa.Column("post_id", sa.String, primary_key=True),
)
_cursors = sa.Table(
    "cursors",
    _meta,
    sa.Column("listing", sa.String, primary_key=True),
    sa.Column("cursor", sa.Text, nullable=False),
)
_outcomes = sa.Table(
    "outcomes",
    _meta,
    sa.Column("stage", sa.String, primary_key=True),
    sa.Column("fingerprint", sa.String, primary_key=True),
    sa.Column("item", sa.String, primary_key=True),
    sa.Column("reason", sa.String),  # NULL: kept
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("at", sa.String, nullable=False),
    sa.Index("outcomes_by_item", "item"),
)
_outputs = sa.Table(
    "outputs",
    _meta,
    sa.Column("stage", sa.String, primary_key=True),
    sa.Column("fingerprint", sa.String, primary_key=True),
    sa.Column("item", sa.String, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("id", sa.String, nullable=False, index=True),
    sa.Column("sha256", sa.String, index=True),
    sa.Column("body", sa.Text, nullable=False),
)
_decisions = sa.Table(
    "decisions",
    _meta,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("crop_sha256", sa.String, nullable=False, index=True),
    sa.Column("body", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
_runs = sa.Table(
    "runs",
    _meta,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("recipe", sa.String, nullable=False),
    sa.Column("started_at", sa.String, nullable=False),
    sa.Column("ended_at", sa.String),
    sa.Column("state", sa.String, nullable=False),  # running, completed, failed, stopped
    sa.Column("reports", sa.Text, nullable=False),
)

_REFUSE_SQLITE = """CREATE TRIGGER decisions_{what} BEFORE {what} ON decisions
BEGIN SELECT RAISE(ABORT, 'decisions are append-only'); END"""
_REFUSE_POSTGRES = """CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE EXCEPTION 'decisions are append-only'; END$$;
CREATE TRIGGER decisions_fixed BEFORE UPDATE OR DELETE ON decisions FOR EACH ROW EXECUTE FUNCTION refuse_change()"""


def _on_create(dialect: str, statement: str) -> None:
    ddl = sa.DDL(statement).execute_if(dialect=dialect)  # type: ignore[no-untyped-call]
    sa.event.listen(_decisions, "after_create", ddl)


_on_create("sqlite", _REFUSE_SQLITE.format(what="UPDATE"))
_on_create("sqlite", _REFUSE_SQLITE.format(what="DELETE"))
_on_create("postgresql", _REFUSE_POSTGRES)

_KINDS: dict[str, type[Record]] = {kind.__name__: kind for kind in (Post, Image, Detection, FaceCrop)}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Remembered:
    """One row of an item's history."""

    stage: str
    fingerprint: str
    item: str
    reason: Reason | None  # None: kept
    detail: str
    at: datetime
    outputs: tuple[Record, ...]  # empty where the item went on unchanged


class Catalog:
    """SQLite in the data folder, or PostgreSQL by URL; one process writes, any number read.

    Args:
        url: An SQLAlchemy URL, or the path of an SQLite file.

    Raises:
        CatalogError: It cannot be opened, or was written by a newer kaoset.
    """

    def __init__(self, url: str | Path) -> None:
        try:
            address = sa.make_url(url) if isinstance(url, str) and "://" in url else _sqlite(Path(url))
            if address.drivername == "postgresql":
                address = address.set(drivername="postgresql+psycopg")
            self._shown = address.render_as_string(hide_password=True)
            self._engine = sa.create_engine(address)
        except (ArgumentError, ValueError) as error:  # not shown: it may hold a password
            raise CatalogError("the catalog's address cannot be read; give postgresql://user@host/name") from error
        except ModuleNotFoundError as error:
            raise CatalogError(f"{self._shown}: no driver ({error.name}); pip install 'kaoset[postgres]'") from error
        if self._engine.dialect.name == "sqlite":
            sa.event.listen(self._engine, "connect", _pragmas)
        with self._transaction() as connection:
            _meta.create_all(connection)
            written = connection.scalar(sa.select(_about.c.value).where(_about.c.key == "schema"))
            if written is None:
                connection.execute(sa.insert(_about).values(key="schema", value=str(SCHEMA)))
            elif not written.isdecimal() or int(written) > SCHEMA:
                raise CatalogError(f"{self._shown}: written by a newer kaoset (schema {written}); update kaoset")

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()

    # --- posts and listings -------------------------------------------------------------------------------------

    def cursor(self, listing: str) -> dict[str, Any] | None:
        """Return where the listing of that name was left, None if it was never begun."""
        with self._transaction() as connection:
            text = connection.scalar(sa.select(_cursors.c.cursor).where(_cursors.c.listing == listing))
        return None if text is None else _load(text)

    def add_page(self, listing: str, posts: Sequence[Post], cursor: dict[str, Any] | None) -> None:
        """Remember *posts* and where to go on, both or neither; a post seen again takes its newest form."""
        now = _now()
        rows = {post.id: {"id": post.id, "body": _dump(post), "seen_at": now} for post in posts}
        with self._transaction() as connection:
            _replace(connection, _posts, (_posts.c.id,), list(rows.values()))
            members = [{"listing": listing, "post_id": post_id} for post_id in rows]
            _replace(connection, _listings, (_listings.c.post_id,), members, _listings.c.listing == listing)
            if cursor is not None:
                _replace(
                    connection, _cursors, (_cursors.c.listing,), [{"listing": listing, "cursor": json.dumps(cursor)}]
                )

    def keep_only(self, listing: str, there: set[str]) -> None:
        """Take out of a listing what is not *there*; the posts themselves and their outcomes stay remembered."""
        mine = _listings.c.listing == listing
        with self._transaction() as connection:
            known = set(connection.scalars(sa.select(_listings.c.post_id).where(mine)))
            for some in _batches(known - there, AT_ONCE):
                connection.execute(sa.delete(_listings).where(mine, _listings.c.post_id.in_(some)))

    def posts(self, listing: str, limit: int | None = None) -> list[Post]:
        """Return the posts of a listing by id, or only the *limit* that were posted last."""
        query = sa.select(_posts.c.body).join(_listings, _listings.c.post_id == _posts.c.id)
        with self._transaction() as connection:
            bodies = connection.scalars(query.where(_listings.c.listing == listing)).all()
        posts = [Post.from_json(_load(body)) for body in bodies]
        posts.sort(key=lambda post: (post.posted_at or datetime.min.replace(tzinfo=UTC), post.id), reverse=True)
        return sorted(posts[:limit], key=lambda post: post.id)

    def post(self, post_id: str) -> Post | None:
        """Return one post, whatever listing it came by."""
        with self._transaction() as connection:
            body = connection.scalar(sa.select(_posts.c.body).where(_posts.c.id == post_id))
        return None if body is None else Post.from_json(_load(body))

    # --- outcomes -----------------------------------------------------------------------------------------------

    def judged(self, stage: str, fingerprint: str, items: Iterable[str]) -> dict[str, Reason | None]:
        """Say what the stage said of each of *items* that it has judged: None for kept, else the reason."""
        found: dict[str, Reason | None] = {}
        with self._transaction() as connection:
            for some in _batches(items, AT_ONCE):
                query = sa.select(_outcomes.c.item, _outcomes.c.reason).where(
                    _outcomes.c.stage == stage, _outcomes.c.fingerprint == fingerprint, _outcomes.c.item.in_(some)
                )
                found.update({item: reason and Reason(reason) for item, reason in connection.execute(query)})
        return found

    def record(
        self, stage: str, fingerprint: str, outcomes: Sequence[tuple[str, Outcome[Any, Any]]], *, anew: bool = False
    ) -> None:
        """Remember (key, outcome) pairs in one transaction.

        Args:
            stage: The stage's name.
            fingerprint: Of the stage's configuration.
            outcomes: An output that is the item itself is not written a second time.
            anew: Forget first all that this fingerprint ever said.
        """
        now = _now()
        rows, outputs = [], []
        for key, outcome in outcomes:
            dropped = outcome if isinstance(outcome, Dropped) else None
            rows.append(
                {
                    "stage": stage,
                    "fingerprint": fingerprint,
                    "item": key,
                    "reason": dropped and dropped.reason.value,
                    "detail": dropped.detail if dropped else "",
                    "at": now,
                }
            )
            if isinstance(outcome, Kept) and outcome.outputs != (outcome.item,):
                outputs += [
                    {
                        "stage": stage,
                        "fingerprint": fingerprint,
                        "item": key,
                        "position": position,
                        "kind": type(output).__name__,
                        "id": getattr(output, "id", None) or output.sha256,
                        "sha256": getattr(output, "sha256", None),
                        "body": _dump(output),
                    }
                    for position, output in enumerate(outcome.outputs)
                ]
        with self._transaction() as connection:
            for table in (_outputs, _outcomes):
                here = sa.and_(table.c.stage == stage, table.c.fingerprint == fingerprint)
                if anew:
                    connection.execute(sa.delete(table).where(here))
                else:
                    for some in _batches([row["item"] for row in rows], AT_ONCE):
                        connection.execute(sa.delete(table).where(here, table.c.item.in_(some)))
            if rows:
                connection.execute(sa.insert(_outcomes), rows)
            if outputs:
                connection.execute(sa.insert(_outputs), outputs)

    def outputs(self, stage: str, fingerprint: str, items: Iterable[str]) -> dict[str, tuple[Record, ...]]:
        """Return what the stage made of each of *items*, where it made something new of it."""
        found: dict[str, list[Record]] = {}
        columns = (_outputs.c.item, _outputs.c.kind, _outputs.c.body)
        with self._transaction() as connection:
            for some in _batches(items, AT_ONCE):
                query = sa.select(*columns).where(
                    _outputs.c.stage == stage, _outputs.c.fingerprint == fingerprint, _outputs.c.item.in_(some)
                )
                for item, kind, body in connection.execute(query.order_by(_outputs.c.item, _outputs.c.position)):
                    found.setdefault(item, []).append(_KINDS[kind].from_json(_load(body)))
        return {item: tuple(records) for item, records in found.items()}

    def history(self, item: str) -> list[Remembered]:
        """Return everything that any stage ever said of an item, oldest first."""
        query = sa.select(_outcomes).where(_outcomes.c.item == item).order_by(_outcomes.c.at)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [
            Remembered(
                stage=row.stage,
                fingerprint=row.fingerprint,
                item=row.item,
                reason=row.reason and Reason(row.reason),
                detail=row.detail,
                at=datetime.fromisoformat(row.at),
                outputs=self.outputs(row.stage, row.fingerprint, [row.item]).get(row.item, ()),
            )
            for row in rows
        ]

    def find(self, prefix: str) -> list[tuple[str, Record]]:
        """Find records by the beginning of their id or SHA-256: (item that they were made of, record), no two alike."""
        like = prefix.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_") + "%"
        matches = sa.or_(_outputs.c.sha256.like(like, escape="\\"), _outputs.c.id.like(like, escape="\\"))
        query = sa.select(_outputs.c.item, _outputs.c.kind, _outputs.c.body).where(matches)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        found = {(item, body): _KINDS[kind].from_json(_load(body)) for item, kind, body in rows}
        return [(item, record) for (item, _), record in sorted(found.items(), key=lambda pair: pair[0])]

    def crops(self, stage: str, reason: Reason) -> list[FaceCrop]:
        """Return the crops that a stage dropped for a reason in the last run of each recipe, the least sure first."""
        marks = self._last_fingerprints(stage)
        said = sa.and_(_outcomes.c.item == _outputs.c.item, _outcomes.c.stage == stage, _outcomes.c.reason == reason)
        query = sa.select(_outputs.c.body).join(_outcomes, said).where(_outputs.c.kind == FaceCrop.__name__)
        with self._transaction() as connection:
            bodies = connection.scalars(query.where(_outcomes.c.fingerprint.in_(marks))).all()
        found = {crop.sha256: crop for crop in (FaceCrop.from_json(_load(body)) for body in bodies)}
        return sorted(found.values(), key=lambda crop: (crop.detection.score, crop.sha256))

    def _last_fingerprints(self, stage: str) -> set[str]:
        """Find how each recipe configured a stage when it last ran: what an older rule said is no longer true."""
        last: dict[str, str] = {}
        for run in self.runs(last=None):
            for report in run["reports"]:
                if report["stage"] == stage:
                    last.setdefault(run["recipe"], report.get("fingerprint", ""))
        return set(last.values())

    # --- decisions ----------------------------------------------------------------------------------------------

    def decide(self, decisions: Sequence[ReviewDecision]) -> None:
        """Append what a person said; nothing is ever changed or removed."""
        rows = [{"crop_sha256": one.crop_sha256, "body": _dump(one)} for one in decisions]
        with self._transaction() as connection:
            connection.execute(sa.insert(_decisions), rows)

    def decisions(self) -> dict[str, ReviewDecision]:
        """Return the decision that stands for each crop; a row without verdict takes back the one before it."""
        with self._transaction() as connection:
            bodies = connection.scalars(sa.select(_decisions.c.body).order_by(_decisions.c.seq)).all()
        standing: dict[str, list[ReviewDecision]] = {}
        for body in bodies:
            decision = ReviewDecision.from_json(_load(body))
            stack = standing.setdefault(decision.crop_sha256, [])
            if decision.verdict is not None:
                stack.append(decision)
            elif stack:
                stack.pop()
        return {crop: stack[-1] for crop, stack in standing.items() if stack}

    def last_decided(self) -> str | None:
        """Return the crop whose decision was the last that still stands, for an undo without a name."""
        standing = self.decisions()
        query = sa.select(_decisions.c.crop_sha256).order_by(_decisions.c.seq.desc())
        with self._transaction() as connection:
            crops = connection.scalars(query).all()
        return next((crop for crop in crops if crop in standing), None)

    # --- runs ---------------------------------------------------------------------------------------------------

    def begin_run(self, recipe: str) -> int:
        """Note that a run began; a run that still says "running" was killed and is marked so."""
        with self._transaction() as connection:
            connection.execute(sa.update(_runs).where(_runs.c.state == "running").values(state="killed"))
            result = connection.execute(
                sa.insert(_runs).values(recipe=recipe, started_at=_now(), state="running", reports="[]")
            )
            return int(result.inserted_primary_key[0])  # type: ignore[index]

    def end_run(self, run: int, state: str, reports: Sequence[Mapping[str, Any]]) -> None:
        """Note how a run ended and what its stages counted."""
        values = {"state": state, "ended_at": _now(), "reports": json.dumps(list(reports))}
        with self._transaction() as connection:
            connection.execute(sa.update(_runs).where(_runs.c.seq == run).values(**values))

    def runs(self, last: int | None = 1) -> list[dict[str, Any]]:
        """Return the last runs, newest first; None: all."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(_runs).order_by(_runs.c.seq.desc()).limit(last)).mappings().all()
        return [{**row, "reports": _load(row["reports"])} for row in rows]

    def counts(self) -> dict[str, int]:
        """Count the rows of each table."""
        with self._transaction() as connection:
            return {
                table.name: int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)
                for table in (_posts, _outcomes, _decisions, _runs)
            }

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise CatalogError(f"{self._shown}: {_first_line(error)}; {_advice(str(error))}") from error


def count_reasons(reasons: Iterable[Reason | None]) -> dict[str, int]:
    """Count drops by reason, in the order of `Reason`, without the zeros."""
    counted = Counter(reason for reason in reasons if reason)
    return {reason.value: counted[reason] for reason in Reason if counted[reason]}


def _sqlite(path: Path) -> sa.URL:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CatalogError(f"{path.parent}: cannot be made ({error.strerror}); choose another --data") from error
    return sa.URL.create("sqlite", database=str(path))


def _pragmas(connection: Any, _record: object) -> None:
    """Readers never wait for the writer; a killed process loses nothing that was committed."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _replace(
    connection: sa.Connection,
    table: sa.Table,
    key: tuple[sa.Column[Any]],
    rows: list[dict[str, Any]],
    *where: sa.ColumnElement[bool],
) -> None:
    """Write *rows* over those with the same key, in SQL that every dialect speaks."""
    for some in _batches(rows, AT_ONCE):
        connection.execute(sa.delete(table).where(key[0].in_([row[key[0].name] for row in some]), *where))
        connection.execute(sa.insert(table), some)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def _load(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CatalogError(f"a row of the catalog is damaged ({error}); restore a copy of it") from error


def _dump(record: Record) -> str:
    return json.dumps(record.to_json(), ensure_ascii=False, separators=(",", ":"))


def _now() -> str:
    return utc(datetime.now(UTC)).isoformat()


def _first_line(error: DBAPIError) -> str:
    return str(error.orig or error).strip().splitlines()[0]


def _advice(text: str) -> str:
    for sign, advice in {
        "locked": "another program writes to it: wait, or stop that one",
        "password": "check the user and the password in the catalog's URL",
        "unable to open": "check that the folder exists and can be written",
        "readonly": "the folder cannot be written: choose another --data",
        "is full": "the disk is full: free some space",
        "disk I/O": "the disk is full or broken: free some space, or choose another --data",
        "malformed": "the file is damaged: restore a copy, or move it away and build again",
        "not a database": "it is no SQLite file: move it away or choose another --data",
    }.items():
        if sign in text:
            return advice
    return "check the address and that the server runs"
