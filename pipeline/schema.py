"""Hides how the catalog lies in a database: its tables, and how the tables of an older kaoset become these."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from pipeline.errors import CatalogError

SCHEMA = 4

_META = sa.MetaData()
ABOUT = sa.Table("about", _META, sa.Column("key", sa.String, primary_key=True), sa.Column("value", sa.String))
POSTS = sa.Table(
    "posts",
    _META,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("seen_at", sa.String, nullable=False),
)
LISTINGS = sa.Table(
    "listings",
    _META,
    sa.Column("listing", sa.String, primary_key=True),
    sa.Column("post_id", sa.String, primary_key=True),
)
CURSORS = sa.Table(
    "cursors",
    _META,
    sa.Column("listing", sa.String, primary_key=True),
    sa.Column("cursor", sa.Text, nullable=False),
)
OUTCOMES = sa.Table(
    "outcomes",
    _META,
    sa.Column("stage", sa.String, primary_key=True),
    sa.Column("fingerprint", sa.String, primary_key=True),
    sa.Column("item", sa.String, primary_key=True),
    sa.Column("reason", sa.String),  # NULL: kept
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("at", sa.String, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="1"),  # since it was kept last, if it ever was
    sa.Column("next_at", sa.String),  # NULL: what was said is said for good
    sa.Index("outcomes_by_item", "item"),
)
OUTPUTS = sa.Table(
    "outputs",
    _META,
    sa.Column("stage", sa.String, primary_key=True),
    sa.Column("fingerprint", sa.String, primary_key=True),
    sa.Column("item", sa.String, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("id", sa.String, nullable=False, index=True),
    sa.Column("sha256", sa.String, index=True),
    sa.Column("body", sa.Text, nullable=False),
)
DECISIONS = sa.Table(
    "decisions",
    _META,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("crop_sha256", sa.String, nullable=False, index=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("op", sa.String, nullable=False, server_default="", index=True),  # the operation that it is a part of
    sqlite_autoincrement=True,
)
OPERATIONS = sa.Table(
    "operations",
    _META,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String, nullable=False, unique=True),
    sa.Column("reviewer", sa.String, nullable=False, index=True),
    sa.Column("digest", sa.String, nullable=False),  # of what was asked, so that the same is known again
    sa.Column("body", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
BATCHES = sa.Table(
    "batches",
    _META,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)
LEASES = sa.Table(
    "leases",
    _META,
    sa.Column("crop", sa.String, primary_key=True),
    sa.Column("batch", sa.String, nullable=False, index=True),
    sa.Column("until", sa.String, nullable=False),
)
RUNS = sa.Table(
    "runs",
    _META,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("recipe", sa.String, nullable=False),
    sa.Column("started_at", sa.String, nullable=False),
    sa.Column("ended_at", sa.String),
    sa.Column("state", sa.String, nullable=False),  # running, completed, failed, stopped, killed
    sa.Column("note", sa.Text, nullable=False, server_default=""),  # what went wrong, where something did
    sa.Column("reports", sa.Text, nullable=False),
)
HOSTS = sa.Table(
    "hosts",
    _META,
    sa.Column("recipe", sa.String, primary_key=True),
    sa.Column("host", sa.String, primary_key=True),
    sa.Column("waiting", sa.Integer, nullable=False),
    sa.Column("done", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("parked", sa.Text, nullable=False),  # why; "": it is not
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("began_at", sa.String, nullable=False),
    sa.Column("at", sa.String, nullable=False),
)
SPLITS = sa.Table(
    "splits",
    _META,
    sa.Column("recipe", sa.String, primary_key=True),
    sa.Column("name", sa.String, primary_key=True),  # of an image, a family, an episode
    sa.Column("split", sa.String, nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
)

FORGOTTEN = sa.Table(
    "forgotten",
    _META,
    sa.Column("kind", sa.String, primary_key=True),  # the field of records.Forgotten
    sa.Column("value", sa.String, primary_key=True),
    sa.Column("at", sa.String, nullable=False),
)
FAMILIES = sa.Table(
    "families",
    _META,
    sa.Column("recipe", sa.String, primary_key=True),
    sa.Column("image", sa.String, primary_key=True),  # SHA-256; all its crops are of the family
    sa.Column("family", sa.String, nullable=False),
    sa.Column("at", sa.String, nullable=False),  # when the image was first given one
)
COMPARISONS = sa.Table(
    "comparisons",
    _META,
    sa.Column("one", sa.String, primary_key=True),
    sa.Column("other", sa.String, primary_key=True),
    sa.Column("method", sa.Integer, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)

_REFUSE_SQLITE = """CREATE TRIGGER {table}_{what} BEFORE {what} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} are append-only'); END"""
_REFUSE_POSTGRES = """CREATE OR REPLACE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE EXCEPTION '{table} are append-only'; END$$;
CREATE TRIGGER {table}_fixed BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_{table}()"""


def _append_only(table: sa.Table) -> None:
    """Let the database itself refuse to change or to remove what people did."""
    statements = [
        ("sqlite", _REFUSE_SQLITE.format(table=table.name, what="UPDATE")),
        ("sqlite", _REFUSE_SQLITE.format(table=table.name, what="DELETE")),
        ("postgresql", _REFUSE_POSTGRES.format(table=table.name)),
    ]
    for dialect, statement in statements:
        ddl = sa.DDL(statement).execute_if(dialect=dialect)  # type: ignore[no-untyped-call]
        sa.event.listen(table, "after_create", ddl)


for _table in (DECISIONS, OPERATIONS, BATCHES):
    _append_only(_table)


def prepare(connection: sa.Connection, shown: str) -> None:
    """Make the tables, or bring those of an older kaoset up to date: all of it or nothing.

    Args:
        connection: In a transaction that nobody has used yet.
        shown: The catalog's address, for errors.

    Raises:
        CatalogError: They were written by a newer kaoset.
    """
    if _written(connection, shown) == SCHEMA:
        return
    connection.exec_driver_sql(_ALONE[connection.dialect.name])
    written = _written(connection, shown)  # another process may have been faster
    _META.create_all(connection)  # those that are not there
    if written:
        for number in range(written + 1, SCHEMA + 1):
            _MIGRATIONS[number](connection)
    connection.execute(sa.delete(ABOUT).where(ABOUT.c.key == "schema"))
    connection.execute(sa.insert(ABOUT).values(key="schema", value=str(SCHEMA)))


# What keeps other processes out until the transaction ends; without it SQLite would commit each ALTER by itself.
_ALONE = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(hashtext('kaoset'))"}


def _written(connection: sa.Connection, shown: str) -> int:
    """Give the schema that is there; 0 where there is none."""
    there = sa.inspect(connection)
    if not there.has_table(ABOUT.name):
        return 0
    text = connection.scalar(sa.select(ABOUT.c.value).where(ABOUT.c.key == "schema"))
    if text is None:  # the first schema made its tables one by one, and could be killed before it said so
        return int(there.has_table(OUTCOMES.name))
    if not text.isdecimal() or int(text) > SCHEMA:
        raise CatalogError(f"{shown}: written by a newer kaoset (schema {text}); update kaoset")
    return int(text)


def _to_2(connection: sa.Connection) -> None:
    """Failures get a count and a time, runs what went wrong, and images are found by their MD5."""
    md5 = {"sqlite": "json_extract(body, '$.md5')", "postgresql": "CAST(body AS json) ->> 'md5'"}
    for statement in (
        "ALTER TABLE outcomes ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE outcomes ADD COLUMN next_at VARCHAR",
        "ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT ''",
        "UPDATE outcomes SET next_at = at WHERE reason = 'unreachable'",
        f"UPDATE outputs SET id = {md5[connection.dialect.name]} WHERE kind = 'Image'",  # noqa: S608 - our own words
    ):
        connection.exec_driver_sql(statement)


def _to_3(_connection: sa.Connection) -> None:
    """Families, comparisons, splits and what is forgotten have tables, made by now; an older kaoset is kept out."""


def _to_4(connection: sa.Connection) -> None:
    """Decisions are found by the operation that they are a part of."""
    connection.exec_driver_sql("ALTER TABLE decisions ADD COLUMN op VARCHAR NOT NULL DEFAULT ''")
    connection.exec_driver_sql("CREATE INDEX ix_decisions_op ON decisions (op)")


_MIGRATIONS: dict[int, Callable[[sa.Connection], None]] = {2: _to_2, 3: _to_3, 4: _to_4}
