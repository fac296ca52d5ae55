from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import make
import pytest
import sqlalchemy as sa

from pipeline.catalog import Catalog
from pipeline.errors import CatalogError
from pipeline.records import NOTHING_FORGOTTEN, Forgotten, Reason, Record, Verdict
from pipeline.schema import SCHEMA

# The tables as the first kaoset made them.
SCHEMA_1 = (
    "CREATE TABLE about (key VARCHAR NOT NULL, value VARCHAR, PRIMARY KEY (key))",
    "CREATE TABLE posts (id VARCHAR NOT NULL, body TEXT NOT NULL, seen_at VARCHAR NOT NULL, PRIMARY KEY (id))",
    "CREATE TABLE listings (listing VARCHAR NOT NULL, post_id VARCHAR NOT NULL, PRIMARY KEY (listing, post_id))",
    "CREATE TABLE cursors (listing VARCHAR NOT NULL, cursor TEXT NOT NULL, PRIMARY KEY (listing))",
    """CREATE TABLE outcomes (stage VARCHAR NOT NULL, fingerprint VARCHAR NOT NULL, item VARCHAR NOT NULL,
        reason VARCHAR, detail TEXT NOT NULL, at VARCHAR NOT NULL, PRIMARY KEY (stage, fingerprint, item))""",
    "CREATE INDEX outcomes_by_item ON outcomes (item)",
    """CREATE TABLE outputs (stage VARCHAR NOT NULL, fingerprint VARCHAR NOT NULL, item VARCHAR NOT NULL,
        position INTEGER NOT NULL, kind VARCHAR NOT NULL, id VARCHAR NOT NULL, sha256 VARCHAR, body TEXT NOT NULL,
        PRIMARY KEY (stage, fingerprint, item, position))""",
    "CREATE INDEX ix_outputs_id ON outputs (id)",
    "CREATE INDEX ix_outputs_sha256 ON outputs (sha256)",
    "CREATE TABLE decisions (seq INTEGER PRIMARY KEY AUTOINCREMENT, crop_sha256 VARCHAR NOT NULL, body TEXT NOT NULL)",
    """CREATE TABLE runs (seq INTEGER PRIMARY KEY AUTOINCREMENT, recipe VARCHAR NOT NULL, started_at VARCHAR NOT NULL,
        ended_at VARCHAR, state VARCHAR NOT NULL, reports TEXT NOT NULL)""",
)
AT = "2026-01-02T03:04:05+00:00"


def body(record: Record) -> str:
    return json.dumps(record.to_json(), ensure_ascii=False, separators=(",", ":"))


def output(record: Any, item: str, stage: str) -> dict[str, Any]:
    """A row of schema 1: what has no id of its own is known by its SHA-256."""
    place = {"stage": stage, "fingerprint": "f", "item": item, "position": 0, "kind": type(record).__name__}
    sha256 = getattr(record, "sha256", None)
    return {**place, "id": sha256 if record == make.image() else record.id, "sha256": sha256, "body": body(record)}


def outcome(stage: str, item: str, reason: str | None = None) -> dict[str, Any]:
    return {"stage": stage, "fingerprint": "f", "item": item, "reason": reason, "detail": "", "at": AT}


ROWS: dict[str, list[dict[str, Any]]] = {
    "about": [{"key": "schema", "value": "1"}],
    "posts": [{"id": post.id, "body": body(post), "seen_at": AT} for post in map(make.post, (1, 2, 3))],
    "listings": [{"listing": "l", "post_id": f"sandbox:{number}"} for number in (1, 2, 3)],
    "cursors": [{"listing": "l", "cursor": '{"unread": [[9, 1]]}'}],
    "outcomes": [
        outcome("scrape", "sandbox:1"),
        outcome("scrape", "sandbox:2", "unreachable"),
        outcome("scrape", "sandbox:3", "gone"),
        outcome("detect", make.sha256(1)),
        outcome("crop", make.detection().id),
    ],
    "outputs": [
        output(make.image(), "sandbox:1", "scrape"),
        output(make.detection(), make.sha256(1), "detect"),
        output(make.face_crop(), make.detection().id, "crop"),
    ],
    "decisions": [{"crop_sha256": make.face_crop().sha256, "body": body(make.decision(make.face_crop().sha256))}],
    "runs": [
        {"recipe": "r", "started_at": AT, "ended_at": AT, "state": "completed", "reports": '[{"stage": "scrape"}]'}
    ],
}


def execute(url: str, *statements: str, rows: dict[str, list[dict[str, Any]]] | None = None) -> None:
    """Run SQL as it stands, but for the one word that the two databases spell differently; then insert *rows*."""
    address = sa.make_url(url if "://" in url else f"sqlite:///{url}")
    postgres = address.drivername == "postgresql"
    numbered = "SERIAL PRIMARY KEY" if postgres else "INTEGER PRIMARY KEY AUTOINCREMENT"
    engine = sa.create_engine(address.set(drivername="postgresql+psycopg") if postgres else address)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.replace("INTEGER PRIMARY KEY AUTOINCREMENT", numbered))
        for name, some in (rows or {}).items():
            connection.execute(sa.insert(sa.table(name, *map(sa.column, some[0]))), some)
    engine.dispose()


@pytest.fixture
def old_url(catalog_url: str) -> str:
    """A catalog of schema 1, with a row of everything."""
    execute(catalog_url, *SCHEMA_1, rows=ROWS)
    return catalog_url


def test_everything_of_an_older_catalog_is_found_again(old_url: str) -> None:
    """Posts, cursors, outcomes, what was made, decisions and runs."""
    catalog = Catalog(old_url)

    assert catalog.posts("l") == [make.post(1), make.post(2), make.post(3)]
    assert catalog.cursor("l") == {"unread": [[9, 1]]}
    assert catalog.judged("scrape", "f", ["sandbox:1", "sandbox:2", "sandbox:3"]) == {
        "sandbox:1": None,
        "sandbox:2": Reason.UNREACHABLE,
        "sandbox:3": Reason.GONE,
    }
    assert catalog.outputs("detect", "f", [make.sha256(1)]) == {make.sha256(1): (make.detection(),)}
    assert catalog.outputs("crop", "f", [make.detection().id]) == {make.detection().id: (make.face_crop(),)}
    assert catalog.decisions()[make.face_crop().sha256].verdict is Verdict.KEEP
    assert [run["reports"] for run in catalog.runs()] == [[{"stage": "scrape"}]]
    catalog.close()


def test_an_older_catalog_learns_what_is_due(old_url: str) -> None:
    """What could not be reached was tried once and is due; what is gone is not."""
    catalog = Catalog(old_url)

    assert catalog.due("scrape", "f", ["sandbox:1", "sandbox:2", "sandbox:3"]) == {"sandbox:2"}
    (said,) = catalog.history("sandbox:2")
    assert (said.attempts, said.next_at) == (1, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    catalog.close()


def test_an_older_image_is_found_by_its_md5(old_url: str) -> None:
    """Other records keep the ids that they had."""
    catalog = Catalog(old_url)

    assert catalog.image("scrape", "f", make.md5(1)) == make.image()
    assert catalog.find(make.md5(1)) == [("sandbox:1", make.image())]
    assert (make.sha256(1), make.detection()) in catalog.find(make.detection().id)
    catalog.close()


def test_an_older_catalog_can_be_written(old_url: str) -> None:
    """Also the tables that it did not have, and a second opening finds nothing left to do."""
    Catalog(old_url).close()
    catalog = Catalog(old_url)
    catalog.note_hosts("r", [make.host_count()])
    catalog.name_families("r", {"a": "F"})

    assert catalog.hosts() == {"r": [make.host_count()]}
    assert (catalog.families("r"), catalog.comparisons(["a"])) == ({"a": "F"}, [])
    catalog.close()


def test_two_that_open_an_older_catalog_at_once_do_not_quarrel(old_url: str) -> None:
    """One brings it up to date, the others wait."""
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(Catalog, [old_url] * 4))

    assert [catalog.judged("scrape", "f", ["sandbox:3"]) for catalog in opened] == [{"sandbox:3": Reason.GONE}] * 4
    for catalog in opened:
        catalog.close()


def test_a_catalog_that_cannot_be_brought_up_to_date_stays_as_it_was(old_url: str) -> None:
    """All of it or nothing: mended by hand, it opens as if nothing had been tried."""
    execute(old_url, "UPDATE outputs SET body = '{' WHERE kind = 'Image'")
    with pytest.raises(CatalogError, match=r"(?i)json"):
        Catalog(old_url)

    execute(old_url, "DELETE FROM outputs WHERE kind = 'Image'", rows={"outputs": ROWS["outputs"][:1]})
    catalog = Catalog(old_url)

    assert catalog.image("scrape", "f", make.md5(1)) == make.image()
    catalog.close()


def test_tables_without_a_number_are_those_of_the_first_schema(old_url: str) -> None:
    """It was killed before it said what it had made."""
    execute(old_url, "DELETE FROM about")
    catalog = Catalog(old_url)

    assert catalog.due("scrape", "f", ["sandbox:2"]) == {"sandbox:2"}
    catalog.close()


def test_an_older_catalog_can_be_told_to_forget(old_url: str) -> None:
    """The table is there, and empty."""
    catalog = Catalog(old_url)
    before = catalog.forgotten()
    catalog.forget(Forgotten(posts=frozenset({"sandbox:1"})))

    assert (before, catalog.forgotten().posts) == (NOTHING_FORGOTTEN, {"sandbox:1"})
    catalog.close()


def test_the_number_is_written_down(old_url: str) -> None:
    """An older kaoset that meets the file says that it is newer, instead of guessing."""
    Catalog(old_url).close()
    execute(old_url, "UPDATE about SET value = CAST(CAST(value AS INTEGER) + 1 AS VARCHAR)")

    with pytest.raises(CatalogError, match=rf"newer kaoset \(schema {SCHEMA + 1}\)"):
        Catalog(old_url)


# What the third kaoset had beside the tables that are made where they lack.
SCHEMA_3 = (
    *(one for one in SCHEMA_1 if not one.startswith(("CREATE TABLE outcomes", "CREATE TABLE runs", "CREATE INDEX"))),
    """CREATE TABLE outcomes (stage VARCHAR NOT NULL, fingerprint VARCHAR NOT NULL, item VARCHAR NOT NULL,
        reason VARCHAR, detail TEXT NOT NULL, at VARCHAR NOT NULL, attempts INTEGER NOT NULL DEFAULT 1, next_at VARCHAR,
        PRIMARY KEY (stage, fingerprint, item))""",
    *(one for one in SCHEMA_1 if one.startswith("CREATE INDEX")),
    "CREATE INDEX ix_decisions_crop_sha256 ON decisions (crop_sha256)",
    """CREATE TABLE runs (seq INTEGER PRIMARY KEY AUTOINCREMENT, recipe VARCHAR NOT NULL, started_at VARCHAR NOT NULL,
        ended_at VARCHAR, state VARCHAR NOT NULL, note TEXT NOT NULL DEFAULT '', reports TEXT NOT NULL)""",
)
_REFUSE = "CREATE TRIGGER decisions_{0} BEFORE {0} ON decisions BEGIN SELECT RAISE(ABORT, 'it stays'); END"
TRIGGERS = {
    "sqlite": (_REFUSE.format("UPDATE"), _REFUSE.format("DELETE")),
    "postgresql": (
        """CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN RAISE EXCEPTION 'it stays'; END$$; CREATE TRIGGER decisions_fixed
        BEFORE UPDATE OR DELETE ON decisions FOR EACH ROW EXECUTE FUNCTION refuse_change()""",
    ),
}
# As that kaoset wrote a decision.
OLD_DECISION = {
    "crop_sha256": make.face_crop().sha256,
    "verdict": "keep",
    "label": "miku",
    "reviewer": "kim",
    "via": "cli",
    "decided_at": AT,
}


@pytest.fixture
def third_url(catalog_url: str) -> str:
    """A catalog of schema 3, with decisions that refuse to be changed."""
    rows = {**ROWS, "about": [{"key": "schema", "value": "3"}]}
    rows["decisions"] = [{"crop_sha256": make.face_crop().sha256, "body": json.dumps(OLD_DECISION)}]
    statements = TRIGGERS["postgresql" if "://" in catalog_url else "sqlite"]
    execute(catalog_url, *SCHEMA_3, *statements, rows=rows)
    return catalog_url


def test_decisions_of_the_third_schema_stand(third_url: str) -> None:
    """They are a part of no operation, and say nothing of where the face lay."""
    catalog = Catalog(third_url)
    (said,) = catalog.decisions().values()

    assert said == make.decision(
        make.face_crop().sha256, label="miku", reviewer="kim", decided_at=datetime.fromisoformat(AT)
    )
    assert (said.op, said.box, said.image_sha256) == ("", None, "")
    assert catalog.face_crops([said.crop_sha256]) == {said.crop_sha256: make.face_crop()}
    catalog.close()


def test_operations_can_be_added_to_the_third_schema(third_url: str) -> None:
    """And nothing that people did can be changed, neither what is old nor what is new."""
    catalog = Catalog(third_url)
    catalog.operate(make.operation("o"), [make.decision("x", op="o")], "d")
    catalog.open_batch(make.batch())
    assert [one.crop_sha256 for one in catalog.decisions_of("o")] == ["x"]
    assert catalog.claim(["x"], "b", datetime(2100, 1, 1, tzinfo=UTC)) == {"x"}

    for change, refusal in {
        "DELETE FROM decisions": "it stays",
        "DELETE FROM operations": "operations are append-only",
        "DELETE FROM batches": "batches are append-only",
    }.items():
        with pytest.raises(sa.exc.DBAPIError, match=refusal):
            execute(third_url, change)
    catalog.close()
