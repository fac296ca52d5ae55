"""The memory of everything: which posts exist, what each stage said of each item, what people decided."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError

from pipeline.decided import in_force, standing
from pipeline.errors import CatalogError, ConflictError
from pipeline.records import (
    Batch,
    Comparison,
    Detection,
    FaceCrop,
    Forgotten,
    GivenSplit,
    HostCount,
    Image,
    Operation,
    Post,
    Reason,
    Record,
    ReviewDecision,
    Verdict,
    utc,
)
from pipeline.schema import (
    BATCHES,
    COMPARISONS,
    CURSORS,
    DECISIONS,
    FAMILIES,
    FORGOTTEN,
    HOSTS,
    LEASES,
    LISTINGS,
    OPERATIONS,
    OUTCOMES,
    OUTPUTS,
    POSTS,
    RUNS,
    SPLITS,
    prepare,
)
from pipeline.stage import Dropped, Kept, Outcome

BUSY_MS = 10_000  # how long one program waits for another that writes
PAGE = 5000  # posts in memory at once, where all are looked through
AT_ONCE = 400  # keys in one question; SQLite's oldest limit on bound values is 999
METHOD = (
    1  # by which pictures are compared; raised when pipeline.alike judges differently, so that all are compared anew
)
RETRY_AFTER_H = (0, 1, 4, 16, 64, 168)  # after the first failure, the second …; the last for all that follow

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
    attempts: int  # since it was kept last; 0: its host was left alone each time
    next_at: datetime | None  # from when on a run tries again by itself; None: what was said is said for good


@dataclass(frozen=True, kw_only=True, slots=True)
class Failures:
    """How many items failed for one reason that does not lie with them, and when they come up again."""

    reason: Reason
    items: int
    next_at: datetime | None  # of the first of them; None: only when somebody asks for it


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Catalog:
    """SQLite in the data folder, or PostgreSQL by URL; each transaction is whole, whoever else writes.

    Args:
        url: An SQLAlchemy URL, or the path of an SQLite file.
        clock: Gives the time, aware.
        durable: What is written outlives a power failure, too, for a few milliseconds more each time.

    Raises:
        CatalogError: It cannot be opened, or was written by a newer kaoset.
    """

    def __init__(self, url: str | Path, clock: Callable[[], datetime] = _utc_now, *, durable: bool = False) -> None:
        self._clock = clock
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
            sa.event.listen(self._engine, "connect", _durable_pragmas if durable else _pragmas)
        with self._transaction() as connection:
            prepare(connection, self._shown)

    def close(self) -> None:
        """Let go of every connection."""
        self._engine.dispose()

    # --- posts and listings -------------------------------------------------------------------------------------

    def cursor(self, listing: str) -> dict[str, Any] | None:
        """Return where the listing of that name was left, None if it was never begun."""
        with self._transaction() as connection:
            text = connection.scalar(sa.select(CURSORS.c.cursor).where(CURSORS.c.listing == listing))
        return None if text is None else _load(text)

    def cursors(self) -> dict[str, dict[str, Any]]:
        """Return where each listing was left."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(CURSORS).order_by(CURSORS.c.listing)).all()
        return {row.listing: _load(row.cursor) for row in rows}

    def add_page(self, listing: str, posts: Sequence[Post], cursor: dict[str, Any] | None) -> None:
        """Remember *posts* and where to go on, both or neither.

        A post seen again takes its newest form, and one that has changed is selected anew: its tags or its rating may
        be others, also because a recipe declares another one. Its file, if it was fetched, stays.
        """
        now = self._now()
        rows = {post.id: {"id": post.id, "body": _dump(post), "seen_at": now} for post in posts}
        with self._transaction() as connection:
            _forget_changed(connection, {post_id: row["body"] for post_id, row in rows.items()})
            _put(connection, POSTS, list(rows.values()))
            _put(connection, LISTINGS, [{"listing": listing, "post_id": post_id} for post_id in rows])
            if cursor is not None:
                _put(connection, CURSORS, [{"listing": listing, "cursor": json.dumps(cursor)}])

    def keep_only(self, listing: str, there: set[str]) -> None:
        """Take out of a listing what is not *there*; the posts themselves and their outcomes stay remembered."""
        mine = LISTINGS.c.listing == listing
        with self._transaction() as connection:
            known = set(connection.scalars(sa.select(LISTINGS.c.post_id).where(mine)))
            for some in _batches(known - there, AT_ONCE):
                connection.execute(sa.delete(LISTINGS).where(mine, LISTINGS.c.post_id.in_(some)))

    def posts(self, listing: str, limit: int | None = None) -> list[Post]:
        """Return the posts of a listing by id, or only the *limit* that were posted last."""
        query = sa.select(POSTS.c.body).join(LISTINGS, LISTINGS.c.post_id == POSTS.c.id)
        with self._transaction() as connection:
            bodies = connection.scalars(query.where(LISTINGS.c.listing == listing)).all()
        posts = [Post.from_json(_load(body)) for body in bodies]
        posts.sort(key=lambda post: (post.posted_at or datetime.min.replace(tzinfo=UTC), post.id), reverse=True)
        return sorted(posts[:limit], key=lambda post: post.id)

    def post(self, post_id: str) -> Post | None:
        """Return one post, whatever listing it came by."""
        with self._transaction() as connection:
            body = connection.scalar(sa.select(POSTS.c.body).where(POSTS.c.id == post_id))
        return None if body is None else Post.from_json(_load(body))

    # --- outcomes -----------------------------------------------------------------------------------------------

    def judged(self, stage: str, fingerprint: str, items: Iterable[str]) -> dict[str, Reason | None]:
        """Say what the stage said of each of *items* that it has judged: None for kept, else the reason."""
        found: dict[str, Reason | None] = {}
        with self._transaction() as connection:
            for some in _batches(items, AT_ONCE):
                query = sa.select(OUTCOMES.c.item, OUTCOMES.c.reason).where(
                    OUTCOMES.c.stage == stage, OUTCOMES.c.fingerprint == fingerprint, OUTCOMES.c.item.in_(some)
                )
                found.update({item: reason and Reason(reason) for item, reason in connection.execute(query)})
        return found

    def record(
        self, stage: str, fingerprint: str, outcomes: Sequence[tuple[str, Outcome[Any, Any]]], *, anew: bool = False
    ) -> None:
        """Remember (key, outcome) pairs in one transaction.

        An item that failed for a transient reason is due again at once, then after an hour, and later each time.

        Args:
            stage: The stage's name.
            fingerprint: Of the stage's configuration.
            outcomes: An output that is the item itself is not written a second time.
            anew: Forget first all that this fingerprint ever said.
        """
        now = self._clock()
        here = {"stage": stage, "fingerprint": fingerprint}
        keys = [key for key, _ in outcomes]
        outputs = [
            {**here, "item": key, "position": position, **_output_row(output)}
            for key, outcome in outcomes
            if isinstance(outcome, Kept) and outcome.outputs != (outcome.item,)
            for position, output in enumerate(outcome.outputs)
        ]
        with self._transaction() as connection:
            tries: dict[str, int] = {}
            if anew:
                for table in (OUTPUTS, OUTCOMES):
                    connection.execute(sa.delete(table).where(*_are(table, **here)))
            else:
                tries = _failed_tries(connection, keys, here)
                for some in _batches(keys, AT_ONCE):
                    connection.execute(sa.delete(OUTPUTS).where(*_are(OUTPUTS, **here), OUTPUTS.c.item.in_(some)))
            _put(
                connection,
                OUTCOMES,
                [{**here, "item": key, **_outcome_row(outcome, tries.get(key, 0), now)} for key, outcome in outcomes],
            )
            _put(connection, OUTPUTS, outputs)

    def due(self, stage: str, fingerprint: str, items: Iterable[str]) -> set[str]:
        """Return those of *items* that failed for a transient reason and whose time has come."""
        found: set[str] = set()
        with self._transaction() as connection:
            for some in _batches(items, AT_ONCE):
                query = sa.select(OUTCOMES.c.item).where(
                    *_are(OUTCOMES, stage=stage, fingerprint=fingerprint),
                    OUTCOMES.c.item.in_(some),
                    OUTCOMES.c.next_at <= self._now(),
                )
                found.update(connection.scalars(query))
        return found

    def said(self, stage: str, fingerprint: str) -> list[tuple[str, Reason | None, str]]:
        """Return everything that the stage said, by item: the item, None for kept or else the reason, the detail."""
        query = sa.select(OUTCOMES.c.item, OUTCOMES.c.reason, OUTCOMES.c.detail)
        query = query.where(*_are(OUTCOMES, stage=stage, fingerprint=fingerprint)).order_by(OUTCOMES.c.item)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [(row.item, row.reason and Reason(row.reason), row.detail) for row in rows]

    def outcome(self, stage: str, fingerprint: str, item: str) -> tuple[Reason | None, tuple[Record, ...]] | None:
        """Return what the stage said of one item and made of it; None where it has not judged it."""
        said = self.judged(stage, fingerprint, [item])
        if item not in said:
            return None
        return said[item], self.outputs(stage, fingerprint, [item]).get(item, ())

    def said_since(self, stage: str, fingerprint: str, item: str, since: datetime) -> Remembered | None:
        """Return what the stage said of one item, if it said so at *since* or later."""
        query = sa.select(OUTCOMES).where(
            *_are(OUTCOMES, stage=stage, fingerprint=fingerprint, item=item), OUTCOMES.c.at >= _text(since)
        )
        with self._transaction() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else self._remembered(row)

    def image(self, stage: str, fingerprint: str, md5: str) -> Image | None:
        """Return an image that the stage kept, for whichever post, whose bytes have that MD5."""
        query = sa.select(OUTPUTS.c.body).where(
            OUTPUTS.c.id == md5,
            OUTPUTS.c.kind == Image.__name__,
            # Joined to nothing, so that a database looks these up by the id, not by the stage, which has them all.
            OUTPUTS.c.stage.concat("") == stage,
            OUTPUTS.c.fingerprint.concat("") == fingerprint,
        )
        with self._transaction() as connection:
            body = connection.scalar(query.limit(1))
        return None if body is None else Image.from_json(_load(body))

    def failures(self, stage: str) -> list[Failures]:
        """Count what failed in the last run of each recipe and may yet come, by reason, in the order of `Reason`."""
        columns = (sa.func.count(OUTCOMES.c.item.distinct()), sa.func.min(OUTCOMES.c.next_at))
        query = sa.select(OUTCOMES.c.reason, *columns).where(
            OUTCOMES.c.stage == stage,
            OUTCOMES.c.fingerprint.in_({marks[stage] for marks in self._last_marks(stage)} | self._under_way(stage)),
            OUTCOMES.c.reason.in_([reason.value for reason in Reason if reason.failed]),
        )
        with self._transaction() as connection:
            rows = {row[0]: row for row in connection.execute(query.group_by(OUTCOMES.c.reason))}
        return [
            Failures(reason=reason, items=int(rows[reason][1]), next_at=_time(rows[reason][2]))
            for reason in Reason
            if reason in rows
        ]

    def outputs(self, stage: str, fingerprint: str, items: Iterable[str]) -> dict[str, tuple[Record, ...]]:
        """Return what the stage made of each of *items*, where it made something new of it."""
        found: dict[str, list[Record]] = {}
        columns = (OUTPUTS.c.item, OUTPUTS.c.kind, OUTPUTS.c.body)
        with self._transaction() as connection:
            for some in _batches(items, AT_ONCE):
                query = sa.select(*columns).where(
                    OUTPUTS.c.stage == stage, OUTPUTS.c.fingerprint == fingerprint, OUTPUTS.c.item.in_(some)
                )
                for item, kind, body in connection.execute(query.order_by(OUTPUTS.c.item, OUTPUTS.c.position)):
                    found.setdefault(item, []).append(_KINDS[kind].from_json(_load(body)))
        return {item: tuple(records) for item, records in found.items()}

    def history(self, item: str) -> list[Remembered]:
        """Return everything that any stage ever said of an item, oldest first."""
        query = sa.select(OUTCOMES).where(OUTCOMES.c.item == item).order_by(OUTCOMES.c.at)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [self._remembered(row) for row in rows]

    def _remembered(self, row: Any) -> Remembered:
        return Remembered(
            stage=row.stage,
            fingerprint=row.fingerprint,
            item=row.item,
            reason=row.reason and Reason(row.reason),
            detail=row.detail,
            at=datetime.fromisoformat(row.at),
            outputs=self.outputs(row.stage, row.fingerprint, [row.item]).get(row.item, ()),
            attempts=row.attempts,
            next_at=_time(row.next_at),
        )

    def find(self, prefix: str) -> list[tuple[str, Record]]:
        """Find records by the beginning of their id or SHA-256: (item that they were made of, record), no two alike."""
        like = prefix.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_") + "%"
        matches = sa.or_(OUTPUTS.c.sha256.like(like, escape="\\"), OUTPUTS.c.id.like(like, escape="\\"))
        query = sa.select(OUTPUTS.c.item, OUTPUTS.c.kind, OUTPUTS.c.body).where(matches)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        found = {(item, body): _KINDS[kind].from_json(_load(body)) for item, kind, body in rows}
        return [(item, record) for (item, _), record in sorted(found.items(), key=lambda pair: pair[0])]

    def crops(self, stage: str, reason: Reason) -> list[FaceCrop]:
        """Return the crops that a stage dropped for a reason in the last run of each recipe, the least sure first.

        They are as that run had them: what was ever cut of the same place otherwise is not there.
        """
        found: dict[str, FaceCrop] = {}
        for marks in self._last_marks(stage):
            said = sa.and_(OUTCOMES.c.item == OUTPUTS.c.item, OUTCOMES.c.stage == stage, OUTCOMES.c.reason == reason)
            query = sa.select(OUTPUTS.c.item, OUTPUTS.c.body).join(OUTCOMES, said)
            query = query.where(OUTPUTS.c.kind == FaceCrop.__name__, OUTCOMES.c.fingerprint == marks[stage])
            last: dict[str, FaceCrop] = {}  # by item: what a later stage made of a crop counts
            with self._transaction() as connection:
                for maker, mark in marks.items():
                    here = query.where(OUTPUTS.c.stage == maker, OUTPUTS.c.fingerprint == mark)
                    last.update((item, FaceCrop.from_json(_load(body))) for item, body in connection.execute(here))
            found.update((crop.sha256, crop) for crop in last.values())
        return sorted(found.values(), key=lambda crop: (crop.detection.score, crop.sha256))

    def last_runs(self, stage: str) -> dict[str, tuple[int, dict[str, str]]]:
        """Return for each recipe the last run that came to this stage: its number, how it configured its stages."""
        last: dict[str, tuple[int, dict[str, str]]] = {}
        for run in self.runs(last=None):
            marks = {report["stage"]: report.get("fingerprint", "") for report in run["reports"]}
            if stage in marks:
                last.setdefault(run["recipe"], (run["seq"], marks))
        return last

    def bodies(self, stage: str, fingerprint: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give what a stage made, a few thousand at a time: the item, and the JSON of each record, not yet read."""
        columns = (OUTPUTS.c.item, OUTPUTS.c.position, OUTPUTS.c.body)
        query = sa.select(*columns).where(*_are(OUTPUTS, stage=stage, fingerprint=fingerprint))
        query = query.order_by(OUTPUTS.c.item, OUTPUTS.c.position).limit(PAGE)
        last = ("", -1)
        while True:
            beyond = sa.tuple_(OUTPUTS.c.item, OUTPUTS.c.position) > sa.tuple_(*map(sa.literal, last))
            with self._transaction() as connection:
                rows = connection.execute(query.where(beyond)).all()
            yield from ((row.item, _load(row.body)) for row in rows)
            if len(rows) < PAGE:
                return
            last = (rows[-1].item, rows[-1].position)

    def _last_marks(self, stage: str) -> list[dict[str, str]]:
        """Find how each recipe configured its stages, in their order, when it last ran this one."""
        return [marks for _, marks in self.last_runs(stage).values()]

    def _under_way(self, stage: str) -> set[str]:
        """Find how a stage is configured that has not reported yet, or was killed before: as it judged last."""
        query = sa.select(OUTCOMES.c.fingerprint).where(OUTCOMES.c.stage == stage).order_by(OUTCOMES.c.at.desc())
        with self._transaction() as connection:
            return set(connection.scalars(query.limit(1)))

    # --- decisions ----------------------------------------------------------------------------------------------

    def decide(self, decisions: Sequence[ReviewDecision]) -> None:
        """Append what a person said; nothing is ever changed or removed."""
        rows = _decision_rows(decisions)
        with self._transaction() as connection:
            _append(connection, rows)

    def ever_decided(self) -> bool:
        """Say whether anybody has ever decided anything, also if it was taken back."""
        with self._transaction() as connection:
            return connection.scalar(sa.select(DECISIONS.c.seq).limit(1)) is not None

    def decisions(self) -> dict[str, ReviewDecision]:
        """Return the decision that stands for each crop; a row without verdict takes another back."""
        return {crop: in_force(stack) for crop, stack in standing(self.all_decisions()).items()}

    def all_decisions(self) -> list[ReviewDecision]:
        """Return whatever was decided, in its order, also what was taken back or decided anew."""
        return self.decided_since(0)[1]

    def decided_since(self, seq: int) -> tuple[int, list[ReviewDecision]]:
        """Return what was decided after the row of that number, in its order, and the number of the last row.

        Whoever asks again and again misses none: those that write wait for each other, so that rows are seen in the
        order of their numbers.
        """
        query = sa.select(DECISIONS.c.seq, DECISIONS.c.body).where(DECISIONS.c.seq > seq).order_by(DECISIONS.c.seq)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return (rows[-1].seq if rows else seq), [ReviewDecision.from_json(_load(row.body)) for row in rows]

    def decisions_on(self, crop: str) -> list[ReviewDecision]:
        """Return whatever was decided on one crop, in its order."""
        return self._decisions(DECISIONS.c.crop_sha256 == crop)

    def decisions_of(self, operation: str) -> list[ReviewDecision]:
        """Return the decisions that are parts of one operation, in their order."""
        return self._decisions(DECISIONS.c.op == operation)

    def _decisions(self, which: sa.ColumnElement[bool]) -> list[ReviewDecision]:
        query = sa.select(DECISIONS.c.body).where(which).order_by(DECISIONS.c.seq)
        with self._transaction() as connection:
            return [ReviewDecision.from_json(_load(body)) for body in connection.scalars(query)]

    def last_decided(self) -> str | None:
        """Return the crop whose decision was the last that still stands, for an undo without a name."""
        decisions = self.decisions()
        query = sa.select(DECISIONS.c.crop_sha256).order_by(DECISIONS.c.seq.desc())
        with self._transaction() as connection:
            crops = connection.scalars(query).all()
        return next((crop for crop in crops if crop in decisions), None)

    # --- what people do -----------------------------------------------------------------------------------------

    def operate(self, operation: Operation, decisions: Sequence[ReviewDecision], digest: str) -> bool:
        """Append an operation and its decisions, both or neither; the same sent again is no news.

        Args:
            operation: Named by whoever did it.
            decisions: Its parts, which name it in `op`.
            digest: Of what was asked.

        Returns:
            Whether it is new.

        Raises:
            ConflictError: Something else was done under that name.
        """
        row = {"id": operation.id, "reviewer": operation.reviewer, "digest": digest, "body": _dump(operation)}
        rows = _decision_rows(decisions)  # made before anybody has to wait for it
        with self._transaction() as connection:
            # Written first, so that the same one that comes at the same time waits here until this is whole.
            put = _insert(connection, OPERATIONS).values(**row).on_conflict_do_nothing(index_elements=["id"])
            new = connection.scalar(put.returning(OPERATIONS.c.seq)) is not None
            known = sa.select(OPERATIONS.c.digest).where(OPERATIONS.c.id == operation.id)
            if not new:
                if connection.scalar(known) != digest:
                    raise ConflictError(f"{operation.id}: another thing was done under this name; do it anew")
                return False
            _append(connection, rows)
        return True

    def operation(self, operation: str) -> Operation | None:
        """Return what was done under that name."""
        query = sa.select(OPERATIONS.c.body).where(OPERATIONS.c.id == operation)
        with self._transaction() as connection:
            body = connection.scalar(query)
        return None if body is None else Operation.from_json(_load(body))

    def operations(self, reviewer: str | None = None, last: int | None = None) -> list[Operation]:
        """Return what a reviewer, or everybody, did, newest first; None: all."""
        query = sa.select(OPERATIONS.c.body).order_by(OPERATIONS.c.seq.desc()).limit(last)
        if reviewer is not None:
            query = query.where(OPERATIONS.c.reviewer == reviewer)
        with self._transaction() as connection:
            return [Operation.from_json(_load(body)) for body in connection.scalars(query)]

    def open_batch(self, batch: Batch) -> None:
        """Remember which crops somebody was given."""
        with self._transaction() as connection:
            connection.execute(sa.insert(BATCHES).values(id=batch.id, body=_dump(batch)))

    def batch(self, batch: str) -> Batch | None:
        """Return the page of that name."""
        with self._transaction() as connection:
            body = connection.scalar(sa.select(BATCHES.c.body).where(BATCHES.c.id == batch))
        return None if body is None else Batch.from_json(_load(body))

    def claim(self, crops: Iterable[str], batch: str, until: datetime) -> set[str]:
        """Lease crops to a page, and return those that it has now: what another page has it does not get."""
        now, found = self._now(), set[str]()
        with self._transaction() as connection:
            for some in _batches(sorted(set(crops)), AT_ONCE // 3):  # in one order, so that no two block each other
                insert = _insert(connection, LEASES)
                rows = [{"crop": crop, "batch": batch, "until": _text(until)} for crop in some]
                put = insert.values(rows).on_conflict_do_update(
                    index_elements=["crop"],
                    set_={"batch": insert.excluded.batch, "until": insert.excluded.until},
                    where=(LEASES.c.until < now) | (LEASES.c.batch == batch),
                )
                found.update(connection.scalars(put.returning(LEASES.c.crop)))
        return found

    def release(self, batch: str) -> None:
        """Let other pages have the crops of one."""
        with self._transaction() as connection:
            connection.execute(sa.delete(LEASES).where(LEASES.c.batch == batch))

    def leased(self) -> dict[str, str]:
        """Return which crops are leased just now, and to which page."""
        query = sa.select(LEASES.c.crop, LEASES.c.batch).where(LEASES.c.until >= self._now())
        with self._transaction() as connection:
            return {row.crop: row.batch for row in connection.execute(query)}

    def face_crops(self, sha256s: Iterable[str]) -> dict[str, FaceCrop]:
        """Return crops by their SHA-256, as they were made last."""
        found: dict[str, FaceCrop] = {}
        with self._transaction() as connection:
            for some in _batches(sorted(set(sha256s)), AT_ONCE):
                query = sa.select(OUTPUTS.c.sha256, OUTPUTS.c.body).where(
                    OUTPUTS.c.sha256.in_(some), OUTPUTS.c.kind == FaceCrop.__name__
                )
                for sha256, body in connection.execute(query.order_by(OUTPUTS.c.stage, OUTPUTS.c.fingerprint)):
                    crop = FaceCrop.from_json(_load(body))
                    # What a later stage made of it knows its family.
                    if sha256 not in found or crop.family or not found[sha256].family:
                        found[sha256] = crop
        return found

    # --- splits -------------------------------------------------------------------------------------------------

    def splits(self, recipe: str) -> dict[str, GivenSplit]:
        """Return where each image, family and episode of a recipe stands, by its name."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(SPLITS).where(SPLITS.c.recipe == recipe)).all()
        return {row.name: GivenSplit(split=row.split, round=row.round) for row in rows}

    def give_splits(self, recipe: str, splits: Mapping[str, str]) -> None:
        """Remember the split of what has none yet, by name, as one round; what was given before stays."""
        with self._transaction() as connection:
            mine = SPLITS.c.recipe == recipe
            known = set(connection.scalars(sa.select(SPLITS.c.name).where(mine)))
            last = connection.scalar(sa.select(sa.func.max(SPLITS.c.round)).where(mine)) or 0
            rows = [
                {"recipe": recipe, "name": name, "split": split, "round": last + 1}
                for name, split in sorted(splits.items())
                if name not in known
            ]
            if rows:  # one run of a recipe at a time has the data folder, so nobody gives beside us
                connection.execute(sa.insert(SPLITS), rows)

    # --- what is forgotten --------------------------------------------------------------------------------------

    def forgotten(self) -> Forgotten:
        """Return what shall never come back."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(FORGOTTEN.c.kind, FORGOTTEN.c.value)).all()
        named: dict[str, set[str]] = {}
        for kind, value in rows:
            named.setdefault(kind, set()).add(value)
        return Forgotten(**{kind: frozenset(values) for kind, values in named.items()})

    def when_forgotten(self, kinds: Collection[str], start: str) -> dict[str, datetime]:
        """Return what begins with *start* and shall never come back, and since when.

        Args:
            kinds: Fields of `Forgotten`.
            start: The whole name, or its beginning.
        """
        like = FORGOTTEN.c.kind.in_(kinds) & FORGOTTEN.c.value.startswith(start, autoescape=True)
        query = sa.select(FORGOTTEN.c.value, FORGOTTEN.c.at).where(like).order_by(FORGOTTEN.c.value)
        with self._transaction() as connection:
            return {value: datetime.fromisoformat(at) for value, at in connection.execute(query)}

    def forget(self, what: Forgotten) -> None:
        """Remember that *what* shall never come back; nothing is removed by that."""
        now = self._now()
        rows = [
            {"kind": field.name, "value": value, "at": now}
            for field in fields(what)
            for value in getattr(what, field.name)
        ]
        with self._transaction() as connection:
            _put(connection, FORGOTTEN, rows)

    def remove(self, posts: Iterable[str], items: Iterable[str]) -> None:
        """Remove posts, and all that was ever said of *items* or made of them, in one transaction; decisions stay."""
        with self._transaction() as connection:
            for some in _batches(sorted(posts), AT_ONCE):
                connection.execute(sa.delete(LISTINGS).where(LISTINGS.c.post_id.in_(some)))
                connection.execute(sa.delete(POSTS).where(POSTS.c.id.in_(some)))
            for some in _batches(sorted(items), AT_ONCE):
                said = sa.select(OUTCOMES.c.stage, OUTCOMES.c.fingerprint).where(OUTCOMES.c.item.in_(some)).distinct()
                for stage, mark in connection.execute(said).all():  # outputs are not found by their item alone
                    here = _are(OUTPUTS, stage=stage, fingerprint=mark)
                    connection.execute(sa.delete(OUTPUTS).where(*here, OUTPUTS.c.item.in_(some)))
                connection.execute(sa.delete(OUTCOMES).where(OUTCOMES.c.item.in_(some)))
                connection.execute(sa.delete(FAMILIES).where(FAMILIES.c.image.in_(some)))
                of_one = COMPARISONS.c.one.in_(some) | COMPARISONS.c.other.in_(some)
                connection.execute(sa.delete(COMPARISONS).where(of_one))

    def all_posts(self) -> Iterator[Post]:
        """Give every post that was ever listed, by id."""
        last = ""
        query = sa.select(POSTS.c.id, POSTS.c.body).order_by(POSTS.c.id).limit(PAGE)
        while True:
            with self._transaction() as connection:
                rows = connection.execute(query.where(POSTS.c.id > last)).all()
            yield from (Post.from_json(_load(body)) for _, body in rows)
            if len(rows) < PAGE:
                return
            last = rows[-1].id

    def posts_with(self, images: Iterable[str]) -> set[str]:
        """Return the ids of all posts that ever came with one of *images*, which are named by their SHA-256."""
        found: set[str] = set()
        with self._transaction() as connection:
            for some in _batches(images, AT_ONCE):
                query = sa.select(OUTPUTS.c.item).where(OUTPUTS.c.sha256.in_(some), OUTPUTS.c.kind == Image.__name__)
                found.update(connection.scalars(query))
        return found

    def image_names(self) -> list[str]:
        """Return the SHA-256 of each image that ever came, sorted."""
        query = sa.select(OUTPUTS.c.sha256).where(OUTPUTS.c.kind == Image.__name__)
        with self._transaction() as connection:
            return sorted(set(connection.scalars(query)))

    def images(self, sha256s: Collection[str]) -> list[Image]:
        """Return the images with these names as each post had them; also as an older kaoset hashed them."""
        found: dict[Image, None] = {}
        with self._transaction() as connection:
            for some in _batches(sorted(sha256s), AT_ONCE):
                query = sa.select(OUTPUTS.c.body).where(OUTPUTS.c.sha256.in_(some), OUTPUTS.c.kind == Image.__name__)
                found.update((Image.from_json(_load(body)), None) for body in connection.scalars(query))
        return sorted(found, key=lambda image: (image.sha256, image.post_id))

    def kept_images(self) -> set[str]:
        """Return the SHA-256 of the images from which a crop was cut that a person kept, by whatever recipe."""
        kept = [one for one in self.decisions().values() if one.verdict is Verdict.KEEP]
        found = {one.image_sha256 for one in kept if one.image_sha256}
        older = self.face_crops(one.crop_sha256 for one in kept if not one.image_sha256)
        return found | {crop.detection.image_sha256 for crop in older.values()}

    # --- what is alike ------------------------------------------------------------------------------------------

    def families(self, recipe: str) -> dict[str, str]:
        """Return the family of each image of a recipe, by SHA-256; those that were given one first come first."""
        query = sa.select(FAMILIES.c.image, FAMILIES.c.family).where(FAMILIES.c.recipe == recipe)
        with self._transaction() as connection:
            rows = connection.execute(query.order_by(FAMILIES.c.at, FAMILIES.c.family, FAMILIES.c.image)).all()
        return {row.image: row.family for row in rows}

    def name_families(self, recipe: str, families: Mapping[str, str]) -> None:
        """Remember the families of images; one that has been given another keeps the time of its first."""
        now = self._now()
        mine = sa.select(FAMILIES.c.image, FAMILIES.c.at).where(FAMILIES.c.recipe == recipe)
        with self._transaction() as connection:
            first = {row.image: row.at for row in connection.execute(mine)}
            rows = [
                {"recipe": recipe, "image": image, "family": family, "at": first.get(image, now)}
                for image, family in families.items()
            ]
            _put(connection, FAMILIES, rows)

    def comparisons(self, sha256s: Collection[str]) -> list[Comparison]:
        """Return what is known of pairs of pictures of which the first is one of *sha256s*."""
        found: list[Comparison] = []
        with self._transaction() as connection:
            for some in _batches(sha256s, AT_ONCE):
                query = sa.select(COMPARISONS.c.body).where(COMPARISONS.c.one.in_(some))
                bodies = connection.scalars(query.where(COMPARISONS.c.method == METHOD))
                found += [Comparison.from_json(_load(body)) for body in bodies]
        return found

    def note_comparisons(self, comparisons: Iterable[Comparison]) -> None:
        """Remember what pictures are to each other."""
        rows = [{"one": one.one, "other": one.other, "method": METHOD, "body": _dump(one)} for one in comparisons]
        with self._transaction() as connection:
            _put(connection, COMPARISONS, rows)

    # --- runs ---------------------------------------------------------------------------------------------------

    def begin_run(self, recipe: str) -> int:
        """Note that a run began; a run of the same recipe that still says "running" was killed and is marked so."""
        with self._transaction() as connection:
            left = sa.update(RUNS).where(RUNS.c.recipe == recipe, RUNS.c.state == "running")
            connection.execute(left.values(state="killed"))
            result = connection.execute(
                sa.insert(RUNS).values(recipe=recipe, started_at=self._now(), state="running", reports="[]")
            )
            return int(result.inserted_primary_key[0])  # type: ignore[index]

    def end_run(self, run: int, state: str, reports: Sequence[Mapping[str, Any]], note: str = "") -> None:
        """Note how a run ended, what its stages counted, and what went wrong."""
        values = {"state": state, "note": note, "ended_at": self._now(), "reports": json.dumps(list(reports))}
        with self._transaction() as connection:
            connection.execute(sa.update(RUNS).where(RUNS.c.seq == run).values(**values))

    def runs(self, last: int | None = 1) -> list[dict[str, Any]]:
        """Return the last runs, newest first; None: all."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(RUNS).order_by(RUNS.c.seq.desc()).limit(last)).mappings().all()
        return [{**row, "reports": _load(row["reports"])} for row in rows]

    # --- hosts --------------------------------------------------------------------------------------------------

    def note_hosts(self, recipe: str, tallies: Iterable[HostCount]) -> None:
        """Write how far the run of *recipe* is with some hosts; what an earlier run had noted gives way."""
        rows = [
            {**one.to_json(), "recipe": recipe, "began_at": _text(one.began_at), "at": _text(one.at)} for one in tallies
        ]
        began = sa.select(sa.func.max(RUNS.c.started_at)).where(RUNS.c.recipe == recipe).scalar_subquery()
        with self._transaction() as connection:
            connection.execute(sa.delete(HOSTS).where(HOSTS.c.recipe == recipe, HOSTS.c.at < began))
            _put(connection, HOSTS, rows)

    def hosts(self) -> dict[str, list[HostCount]]:
        """Return the hosts that each recipe's last run asked for files; those with most left to do come first."""
        with self._transaction() as connection:
            rows = connection.execute(sa.select(HOSTS).order_by(HOSTS.c.recipe, HOSTS.c.host)).mappings().all()
        found: dict[str, list[HostCount]] = {}
        for row in rows:
            found.setdefault(row["recipe"], []).append(HostCount.from_json(dict(row)))
        for tallies in found.values():
            tallies.sort(key=lambda one: (one.waiting, one.done + one.failed), reverse=True)
        return found

    def counts(self) -> dict[str, int]:
        """Count the rows of each table."""
        with self._transaction() as connection:
            return {
                table.name: int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)
                for table in (POSTS, OUTCOMES, DECISIONS, RUNS)
            }

    def _now(self) -> str:
        return _text(self._clock())

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
    until = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            # While it changes the kind of a new file's journal, SQLite waits for nobody.
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
    connection.execute("PRAGMA synchronous = NORMAL")


def _durable_pragmas(connection: Any, record: object) -> None:
    _pragmas(connection, record)
    connection.execute("PRAGMA synchronous = FULL")  # NORMAL may lose the last commits when the power fails


def _put(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Write *rows* over those with the same key; in the order of the keys, so that no two writers block each other."""
    if not rows:
        return
    insert = _insert(connection, table)
    key = [column.name for column in table.primary_key]
    rest = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in key}
    put = insert.on_conflict_do_update(index_elements=key, set_=rest) if rest else insert.on_conflict_do_nothing()
    connection.execute(put, sorted(rows, key=lambda row: [row[name] for name in key]))


def _insert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def _decision_rows(decisions: Iterable[ReviewDecision]) -> list[dict[str, str]]:
    return [{"crop_sha256": one.crop_sha256, "body": _dump(one), "op": one.op} for one in decisions]


def _append(connection: sa.Connection, rows: Sequence[dict[str, str]]) -> None:
    if connection.dialect.name == "postgresql":  # so that the rows are seen in the order of their numbers
        connection.exec_driver_sql("LOCK TABLE decisions IN EXCLUSIVE MODE")
    for some in _batches(rows, PAGE):
        connection.execute(sa.insert(DECISIONS), some)


def _forget_changed(connection: sa.Connection, bodies: Mapping[str, str]) -> None:
    """Forget whether posts were selected that have not these *bodies* any more; no outcome of it has outputs."""
    for some in _batches(bodies, AT_ONCE):
        known = connection.execute(sa.select(POSTS.c.id, POSTS.c.body).where(POSTS.c.id.in_(some)))
        changed = [post_id for post_id, body in known if body != bodies[post_id]]
        if changed:
            of_them = OUTCOMES.c.item.in_(changed)
            connection.execute(sa.delete(OUTCOMES).where(*_are(OUTCOMES, stage="select"), of_them))


def _are(table: sa.Table, **values: str) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in values.items()]


def _failed_tries(connection: sa.Connection, items: Iterable[str], here: dict[str, str]) -> dict[str, int]:
    """Count for each of *items* how often it failed since it was kept last."""
    found: dict[str, int] = {}
    for some in _batches(items, AT_ONCE):
        query = sa.select(OUTCOMES.c.item, OUTCOMES.c.attempts).where(
            *_are(OUTCOMES, **here), OUTCOMES.c.item.in_(some), OUTCOMES.c.reason.is_not(None)
        )
        found.update({row.item: row.attempts for row in connection.execute(query)})
    return found


def _outcome_row(outcome: Outcome[Any, Any], failed_tries: int, now: datetime) -> dict[str, Any]:
    reason, detail = (outcome.reason, outcome.detail) if isinstance(outcome, Dropped) else (None, "")
    parked = reason is Reason.PARKED  # nobody asked for it, so that this is no try
    attempts = failed_tries if parked else failed_tries + 1
    next_at = None
    if reason and reason.transient:
        hours = 0 if parked else RETRY_AFTER_H[min(attempts, len(RETRY_AFTER_H)) - 1]
        next_at = _text(now + timedelta(hours=hours))
    return {"reason": reason, "detail": detail, "at": _text(now), "attempts": attempts, "next_at": next_at}


def _output_row(output: Any) -> dict[str, Any]:
    return {
        "kind": type(output).__name__,
        "id": getattr(output, "id", None) or output.sha256,
        "sha256": getattr(output, "sha256", None),
        "body": _dump(output),
    }


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


def _text(moment: datetime) -> str:
    """Write a time so that texts sort as times do."""
    return utc(moment).isoformat(timespec="microseconds")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


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
