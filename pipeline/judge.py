"""Runs one stage: nothing is lost, nothing is judged twice, and the counts add up."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from pipeline.catalog import Catalog, count_reasons
from pipeline.errors import InvariantError
from pipeline.records import FaceCrop, Image, Record
from pipeline.stage import Outcome, Scope, Settles, Stage, StageReport, fingerprint
from pipeline.store import Store

Progress = Callable[[str, int, int], None]  # stage, done, total
# Of catalog, stage, fingerprint, keys and store: the keys of the items that the stage shall judge in this run.
Which = Callable[[Catalog, str, str, Collection[str], Store], set[str]]

COMMIT_EVERY = 200  # outcomes
COMMIT_AFTER_S = 0.5  # at most this much work is done again after a kill


def new_or_due(catalog: Catalog, stage: str, mark: str, keys: Collection[str], store: Store) -> set[str]:
    """Choose what was never judged, what failed and comes up again now, and what was made and is no longer there."""
    said = catalog.judged(stage, mark, keys)
    due = catalog.due(stage, mark, (key for key, reason in said.items() if reason and reason.transient))
    made = catalog.outputs(stage, mark, said.keys() - due)
    lost = {
        key
        for key, records in made.items()
        for record in records
        if isinstance(record, Image | FaceCrop) and not store.has(record.sha256)
    }
    return (set(keys) - said.keys()) | due | lost


def failed_before(catalog: Catalog, stage: str, mark: str, keys: Collection[str], _store: Store) -> set[str]:
    """Choose what failed for a reason that lies with the server or the line, whenever it would come up again."""
    return {key for key, reason in catalog.judged(stage, mark, keys).items() if reason and reason.failed}


def run_stage(
    stage: Stage[Any],
    items: Sequence[Record],
    catalog: Catalog,
    store: Store,
    progress: Progress,
    *,
    corpus: str = "",
    which: Which = new_or_due,
    beside: Collection[str] = (),
) -> tuple[StageReport, list[Any]]:
    """Judge those of *items* that the catalog does not remember, and return what the stage keeps of all of them.

    Args:
        stage: What to run.
        items: No two with the same key.
        catalog: Remembers every outcome, in small transactions, so that a killed run resumes.
        store: Where the bytes lie.
        progress: Told of every outcome.
        corpus: Names the dataset that a `Scope.CORPUS` stage sees.
        which: Chooses whom to judge, the others are recalled. A corpus is judged whole.
        beside: Keys of those of *items* that this run has judged already, `Beside` another stage.

    Returns:
        The counts over all items, and the outputs in the order of the items.

    Raises:
        InvariantError: The stage lost an item, invented one, or judged one twice.
    """
    began = time.monotonic()
    new = choose(stage, items, catalog, store, corpus=corpus, which=which)
    keys = {stage.key(item) for item in new}
    if stage.scope is Scope.CORPUS:  # all are judged again, but that is no news of those that were before
        keys -= catalog.judged(stage.name, fingerprint(stage, corpus), keys).keys()
    judge(stage, [new], catalog, store, progress, corpus=corpus, known=len(items) - len(new))
    report, kept = recall_stage(stage, items, catalog, corpus)
    return replace(report, judged=len(keys.union(beside)), seconds=time.monotonic() - began), kept


def choose(
    stage: Stage[Any],
    items: Sequence[Record],
    catalog: Catalog,
    store: Store,
    *,
    corpus: str = "",
    which: Which = new_or_due,
) -> list[Any]:
    """Give those of *items* that are to be judged; of a corpus all."""
    by_key = _by_key(stage, items)
    if stage.scope is Scope.CORPUS:
        return list(items)
    chosen = which(catalog, stage.name, fingerprint(stage, corpus), by_key, store)
    return [item for key, item in by_key.items() if key in chosen]


def judge(
    stage: Stage[Any],
    batches: Iterable[Sequence[Record]],
    catalog: Catalog,
    store: Store,
    progress: Progress,
    *,
    corpus: str = "",
    known: int = 0,
) -> int:
    """Let the stage judge all items of *batches*, which may still be coming, and write down what it says.

    Args:
        stage: What to run.
        batches: Chosen items; no two with the same key.
        catalog: Remembers every outcome, in small transactions, so that a killed run resumes.
        store: Where the bytes lie.
        progress: Told of every outcome.
        corpus: Names the dataset that a `Scope.CORPUS` stage sees.
        known: How many items need no judging, for *progress*.

    Returns:
        How many were judged.

    Raises:
        InvariantError: The stage lost an item, invented one, or judged one twice.
    """
    whole = stage.scope is Scope.CORPUS
    expected: dict[str, Any] = {}
    journal = _Journal(catalog, stage, fingerprint(stage, corpus), whole)
    progress(stage.name, known, known)
    try:
        for outcome in stage(_expect(stage, batches, expected), store):
            key = stage.key(outcome.item)
            if key not in expected or key in journal.judged:
                raise InvariantError(f"{stage.name}: an outcome too many for {key}")
            journal.add(key, outcome)
            progress(stage.name, known + len(journal.judged), known + len(expected))
    finally:
        if not whole:  # what was judged before a stop or an error is not judged again
            journal.commit()
    if whole:
        journal.commit()
    lost = expected.keys() - journal.judged
    if lost:
        raise InvariantError(f"{stage.name}: {len(lost)} items got no outcome, among them {min(lost)}")
    return len(expected)


def _expect(stage: Stage[Any], batches: Iterable[Sequence[Record]], expected: dict[str, Any]) -> Iterator[Any]:
    """Give the items one by one, and note of a batch as soon as it is there what must come back."""
    for batch in batches:
        expected.update((stage.key(item), item) for item in batch)
        yield from batch


def recall_stage(
    stage: Stage[Any], items: Sequence[Record], catalog: Catalog, corpus: str = ""
) -> tuple[StageReport, list[Any]]:
    """Return what the catalog remembers of *items*, without judging any; what was never judged is left out."""
    mark = fingerprint(stage, corpus)
    by_key = _by_key(stage, items)
    said = catalog.judged(stage.name, mark, by_key)
    made = catalog.outputs(stage.name, mark, (key for key, reason in said.items() if reason is None))
    kept = [key for key in by_key if key in said and said[key] is None]
    outputs = [output for key in kept for output in made.get(key, (by_key[key],))]
    dropped = count_reasons(said.values())
    report = StageReport(
        stage=stage.name,
        seen=len(said),
        kept=len(kept),
        dropped=dropped,
        judged=0,
        seconds=0.0,
        fingerprint=mark,
    )
    if report.seen != report.kept + sum(dropped.values()):
        raise InvariantError(f"{stage.name}: saw {report.seen}, kept {report.kept}, dropped {dropped}")
    return report, outputs


def _by_key(stage: Stage[Any], items: Sequence[Record]) -> dict[str, Any]:
    by_key = {stage.key(item): item for item in items}
    if len(by_key) < len(items):
        raise InvariantError(f"{stage.name}: {len(items) - len(by_key)} items share a key with another")
    return by_key


class _Journal:
    """Writes outcomes down, often enough that a kill costs little and seldom enough to be cheap."""

    def __init__(self, catalog: Catalog, stage: Stage[Any], mark: str, whole: bool) -> None:  # noqa: FBT001 - of Scope
        self._catalog, self._stage, self._mark, self._whole = catalog, stage, mark, whole
        self._pending: list[tuple[str, Outcome[Any, Any]]] = []
        self._written = time.monotonic()
        self.judged: set[str] = set()

    def add(self, key: str, outcome: Outcome[Any, Any]) -> None:
        """Take one outcome."""
        self.judged.add(key)
        self._pending.append((key, outcome))
        due = len(self._pending) >= COMMIT_EVERY or time.monotonic() - self._written > COMMIT_AFTER_S
        if due and not self._whole:
            self.commit()

    def commit(self) -> None:
        """Write what is pending; groups of a corpus are written all at once, over what stood there."""
        if self._pending or self._whole:
            self._catalog.record(self._stage.name, self._mark, self._pending, anew=self._whole)
            if isinstance(self._stage, Settles):
                self._stage.settled([outcome.item for _, outcome in self._pending])
        self._pending = []
        self._written = time.monotonic()


class Beside:
    """Writes down what a stage says of items that another stage, which is at work, has just made.

    The stage itself then finds them judged. Whatever a kill leaves, nothing is lost: where the outcomes of the other
    stage are missing, it makes the same items again, and what was said of those stands; where these here are missing,
    the stage judges.

    Use it as a context manager round the other stage.

    Args:
        stage: Judges items alone (`Scope.ITEM`).
        catalog: Remembers the outcomes, in small transactions.
    """

    def __init__(self, stage: Stage[Any], catalog: Catalog) -> None:
        self._stage, self._catalog, self._mark = stage, catalog, fingerprint(stage)
        self._pending: dict[str, Outcome[Any, Any]] = {}
        self._written = time.monotonic()
        self.judged: set[str] = set()  # keys; what was judged before this run is not among them

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._commit()

    def tell(self, outcomes: Iterable[Outcome[Any, Any]]) -> None:
        """Take outcomes of the stage."""
        self._pending.update((self._stage.key(outcome.item), outcome) for outcome in outcomes)
        if len(self._pending) >= COMMIT_EVERY or time.monotonic() - self._written > COMMIT_AFTER_S:
            self._commit()

    def _commit(self) -> None:
        said = self._catalog.judged(self._stage.name, self._mark, self._pending)
        new = [(key, outcome) for key, outcome in self._pending.items() if key not in said]
        if new:
            self._catalog.record(self._stage.name, self._mark, new)
        self.judged.update(key for key, _ in new)
        self._pending = {}
        self._written = time.monotonic()
