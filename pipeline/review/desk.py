"""Hides how a review goes on: who gets which crops, what becomes of a page, and that no decision is lost or doubled."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.catalog import Catalog
from pipeline.decided import at_most
from pipeline.errors import ConflictError, UsageError
from pipeline.records import Batch, BatchItem, Operation, ReviewDecision, Verdict
from pipeline.review.asked import Accepted, Claimed, Committed, Decided, Labelled, Undone, Wish, digest, when, wish
from pipeline.review.order import page
from pipeline.review.ranking import EVERY, Ranking
from pipeline.review.said import CODES, Said
from pipeline.review.seeds import Planted, planted
from pipeline.review.shelf import ACCEPTED, Shelf
from pipeline.review.wanted import Live, Mask, Wanted, mask, parse
from pipeline.store import Store

T = TypeVar("T")

LEASE_S = 600  # how long a page is kept for whoever has it, unless it is asked for again
AUDIT = 300  # crops; when none of them is false, at most 1 % of the others are, with 95 % certainty
SEED_SHARE = 0.03  # of a page, known to be no faces
SECOND_SHARE = 0.05  # of a page, that somebody else has decided on
OWN_PAGES_AGO = 600  # crops; what one has marked so long ago one does not recognise
PAGES_OF_PACE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What somebody is given to look at."""

    batch: Batch
    until: datetime
    left: int  # units that are left beside it
    waiting_on: int  # units that others look at just now
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of a wish."""

    stored: int  # decisions
    replay: bool  # it was known already
    missed: tuple[str, ...] = ()  # seeds that were taken for faces
    shown: int = 0  # seeds

    def to_json(self) -> dict[str, Any]:
        """Give what the page reads."""
        seeds = {"shown": self.shown, "caught": self.shown - len(self.missed), "missed": list(self.missed)}
        return {"stored": self.stored, "replay": self.replay, "seeds": seeds}


class Desk:
    """Hands out pages of crops, and writes down what people say of them.

    It may be asked by several threads. The catalog is the memory: a desk that is killed loses nothing, and desks of
    several machines on one catalog hand out different crops.

    Args:
        catalog: Opened to be durable.
        store: Where crops and images lie.
        folder: For what may be removed.
        shelf: The crops.
        ranking: Their order.
        seeds: Whether crops that are known to be no faces are shown now and then.
        clock: Gives the time, aware.
        seed: Of all chance.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        folder: Path,
        shelf: Shelf,
        ranking: Ranking,
        *,
        seeds: bool = True,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        seed: int = 0,
    ) -> None:
        self.catalog, self.store, self.shelf, self.ranking = catalog, store, shelf, ranking
        self.began = clock()
        self._clock = clock
        self.lock = threading.RLock()  # whoever asks several things that belong together takes it
        self._rng = np.random.default_rng(seed)
        self._batches: dict[str, Batch] = {}
        self._until: dict[str, datetime] = {}
        self._lessons = 0
        self._simulated: tuple[int, list[dict[str, Any]]] = (0, [])
        self.said = Said(catalog, shelf)
        size = int(shelf["size"].max(initial=0))
        cut = planted(catalog, store, folder, size, seed) if seeds and size else ()
        self.planted: Mapping[str, Planted] = {one.crop: one for one in cut}
        self._seeds = seeds
        self._teach()
        self.ranking.look_at(self._rows(parse(""))[:5000])

    # --- what there is ----------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take in what others have decided."""
        with self.lock:
            self.said.refresh()

    @property
    def live(self) -> Live:
        """Give what was said of each crop, and what of it is doubted."""
        return self.said.live(self.ranking.doubted)

    def mask(self, wanted: Wanted) -> Mask:
        """Say which rows are asked for."""
        with self.lock:
            return mask(self.shelf, self.live, wanted)

    def progress(self, wanted: Wanted, reviewer: str) -> dict[str, Any]:
        """Tell how far the review is."""
        with self.lock:
            self.said.refresh()
            rows = np.flatnonzero(self.mask(wanted))
            left = len(np.unique(self.shelf["unit"][rows]))
            leased = self.catalog.leased().keys() - self._held_by(reviewer)
            pace = self.pace(reviewer)
            mine = self._number(reviewer)
            decided = self.said.verdict > 0
            return {
                "left": left,
                "left_crops": len(rows),
                "decided": int(decided.sum()),
                "mine": int((self.said.reviewer[decided] == mine).sum()) if mine >= 0 else 0,
                "leased": len(leased),
                "order": self.ranking.order.about,
                "pace_per_hour": round(3600 / pace) if pace else None,
                "eta_s": round(left * pace) if pace else None,
                "attention": self.attention(reviewer),
                "unseen": int(self._unseen().sum()),
                "audit": self.audit(),
            }

    def pace(self, reviewer: str) -> float | None:
        """Give the seconds that a crop takes this reviewer: the median of the last pages; None: there are none."""
        done = [(one.dwell_ms / 1000, json.loads(one.about or "{}").get("crops", 0)) for one in self._pages(reviewer)]
        took = [seconds / crops for seconds, crops in done if crops]
        return median(took) if took else None

    def attention(self, reviewer: str) -> dict[str, int] | None:
        """Count the known-false crops that this reviewer was shown, and those that were marked."""
        done = self.catalog.operations(reviewer)
        shown, caught = sum(one.seeds_shown for one in done), sum(one.seeds_caught for one in done)
        return {"shown": shown, "caught": caught} if shown else None

    def audit(self) -> dict[str, Any] | None:
        """Tell what a random sample of what nobody had looked at has shown; None: there is none yet."""
        audited = self.said.audited
        seen, false = int(audited.sum()), int((audited & (self.said.verdict == CODES[Verdict.REJECT])).sum())
        if not seen:
            return None
        population = int(self._unseen().sum()) + seen
        return {"n": seen, "false": false, "at_most": at_most(false, seen), "population": population}

    def _unseen(self) -> Mask:
        """Find what the next release would hold without anybody having looked at it."""
        words = self.shelf.words["reason"]
        by_rule = (
            self.shelf["reason"] == words.index(ACCEPTED) if ACCEPTED in words else np.zeros(len(self.shelf), np.bool_)
        )
        kept = self.said.verdict == CODES[Verdict.KEEP]
        return np.asarray(((by_rule & (self.said.verdict == 0)) | kept) & ~self.said.seen)

    def _pages(self, reviewer: str) -> list[Operation]:
        last = self.catalog.operations(reviewer, last=PAGES_OF_PACE * 3)
        undone = {one.undoes for one in last}
        looked = [one for one in last if one.kind in ("page", "single") and one.dwell_ms and one.id not in undone]
        return looked[:PAGES_OF_PACE]

    # --- pages ------------------------------------------------------------------------------------------------------

    def claim(self, asked: Claimed, reviewer: str) -> Page:
        """Give the next crops to whoever asks, and to nobody else until the lease ends."""
        with self.lock:
            self.said.refresh()
            now = self._clock()
            until = now + timedelta(seconds=LEASE_S)
            wanted = parse(asked.filters)
            batch = Batch(
                id=str(uuid.uuid4()),
                kind=asked.kind,
                reviewer=reviewer,
                at=now,
                ranker=self.ranking.order.about,
                filters=wanted.to_query(),
                population=int(self._unseen().sum()) if asked.kind == "audit" else 0,
                items=(),
            )
            rows = self._audit_rows() if asked.kind == "audit" else self._rows(wanted)
            leased = self._leased_units()
            free = rows[~np.isin(self.shelf["unit"][rows], leased)]
            seeds, others = self._extras(asked, wanted, reviewer, len(free))
            chosen = self._choose(asked, free, len(seeds) + len(others))
            mine = self.catalog.claim([self.shelf.sha256(row) for row in chosen], batch.id, until)
            items = [self._item(row) for row in chosen if self.shelf.sha256(row) in mine]
            if items:
                items = self._mixed(items, [*seeds, *others])
            batch = replace(batch, items=tuple(items))
            if items:
                self.catalog.open_batch(batch)
                self._batches[batch.id], self._until[batch.id] = batch, until
                self.ranking.look_at(np.array([row for row in chosen if row >= 0], np.int64))
            return Page(batch=batch, until=until, left=len(free) - len(mine), waiting_on=len(rows) - len(free))

    def resume(self, batch_id: str, reviewer: str) -> Page:
        """Give a page again that was given before.

        Raises:
            UsageError: There is none of that name, or it is somebody else's.
        """
        with self.lock:
            batch = self.batch(batch_id, reviewer)
            until = self.renew(batch_id, reviewer)
            return Page(batch=batch, until=until, left=0, waiting_on=0, done=self._is_done(batch))

    def renew(self, batch_id: str, reviewer: str) -> datetime:
        """Keep a page for whoever has it a while longer.

        Raises:
            UsageError: There is none of that name, or it is somebody else's.
        """
        with self.lock:
            batch = self.batch(batch_id, reviewer)
            until = self._clock() + timedelta(seconds=LEASE_S)
            # Claimed anew, for the lease may have ended, or the page was committed and taken back.
            self.catalog.claim([item.crop for item in batch.items if not item.seed], batch_id, until)
            self._until[batch_id] = until
            return until

    def release(self, batch_id: str, reviewer: str) -> None:
        """Let others have a page that is not looked at any more.

        Raises:
            UsageError: There is none of that name, or it is somebody else's.
        """
        with self.lock:
            self.batch(batch_id, reviewer)
            self.catalog.release(batch_id)
            self._until.pop(batch_id, None)

    def blind(self, reviewer: str) -> set[str]:
        """Name the crops of which this reviewer may not be told what others said: seeds, and second opinions."""
        with self.lock:
            mine = [one for one in self._batches.values() if one.reviewer == reviewer and one.id in self._until]
            return {item.crop for one in mine for item in one.items if item.seed or item.second}

    def _rows(self, wanted: Wanted) -> NDArray[np.int64]:
        """Give what is asked for, the most suspicious first, of each unit one."""
        order = self.ranking.order.rows
        return self._one_of_each(order[self.mask(wanted)[order]])

    def _audit_rows(self) -> NDArray[np.int64]:
        """Give what nobody has looked at, by chance."""
        rows = np.flatnonzero(self._unseen())
        return self._one_of_each(self._rng.permutation(rows))

    def _one_of_each(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        _, first = np.unique(self.shelf["unit"][rows], return_index=True)
        return rows[np.sort(first)]

    def _leased_units(self) -> NDArray[np.int32]:
        """Find what somebody has before him, this reviewer's other windows included."""
        rows = self.shelf.rows(sorted(self.catalog.leased()))
        return np.asarray(self.shelf["unit"][rows[rows >= 0]])

    def _held_by(self, reviewer: str) -> set[str]:
        mine = [one for one in self._batches.values() if one.reviewer == reviewer and one.id in self._until]
        return {item.crop for one in mine for item in one.items}

    def _choose(self, asked: Claimed, rows: NDArray[np.int64], taken: int) -> list[int]:
        if asked.kind == "audit":
            return [int(row) for row in rows[: asked.count]]
        return [int(row) for row in page(rows, self.ranking.order.suspicion[rows], asked.count - taken, self._rng)]

    def _extras(
        self, asked: Claimed, wanted: Wanted, reviewer: str, there: int
    ) -> tuple[list[BatchItem], list[BatchItem]]:
        """Choose seeds and second opinions for a page of the queue; whoever looks for something is not surprised."""
        if asked.kind != "page" or not wanted.is_queue:
            return [], []
        count = min(asked.count, there)
        seeds = self._some(self._seeds_for(reviewer) if self._seeds else [], count, SEED_SHARE)
        others = self._some([int(row) for row in self._second_for(reviewer)], count, SECOND_SHARE)
        return (
            [BatchItem(crop=crop, members=(crop,), seed=True) for crop in seeds],
            [self._item(row, second=True) for row in others],
        )

    def _some(self, from_these: Sequence[T], count: int, share: float) -> list[T]:
        """Choose by chance so many that they make about that share of a page, and never more than a quarter of it."""
        wanted = min(len(from_these), count // 4, int(self._rng.binomial(count, share)))
        return [from_these[place] for place in self._rng.permutation(len(from_these))[:wanted]]

    def _item(self, row: int, **more: bool) -> BatchItem:
        """Name a crop and what is decided with it: what stands as it does itself."""
        members = self.shelf.members(row)
        alike = members[self.said.verdict[members] == self.said.verdict[row]]
        return BatchItem(
            crop=self.shelf.sha256(row), members=tuple(self.shelf.sha256(int(one)) for one in alike), **more
        )

    def _mixed(self, items: list[BatchItem], more: Sequence[BatchItem]) -> list[BatchItem]:
        """Put some items between others, each once."""
        mixed, there = list(items), {item.crop for item in items}
        for item in more:
            if item.crop not in there:
                mixed.insert(int(self._rng.integers(0, len(mixed) + 1)), item)
        return mixed

    def _seeds_for(self, reviewer: str) -> list[str]:
        """Name what is known to be no face: what was marked, but not by this reviewer just now; else what was cut."""
        own = set(self.said.order[-OWN_PAGES_AGO:])
        marked = [self.shelf.sha256(int(row)) for row in self.said.rejected_by_hand()]
        old = [one for one in marked if one not in own or not self._is_mine(one, reviewer)]
        return old if len(old) >= len(self.planted) else [*old, *self.planted]

    def _is_mine(self, crop: str, reviewer: str) -> bool:
        return any(one.reviewer == reviewer for one in self.said.stacks.get(crop, ()))

    def _number(self, reviewer: str) -> int:
        reviewers = self.live.reviewers
        return reviewers.index(reviewer) if reviewer in reviewers else -1

    def _second_for(self, reviewer: str) -> NDArray[np.int64]:
        """Find what somebody else alone has decided on by looking."""
        mine = self._number(reviewer)
        rows = np.flatnonzero((self.said.verdict > 0) & self.said.seen & (self.said.reviewer != mine))
        rows = self._rng.permutation(rows)[:200]
        return np.array([row for row in rows if not self._is_mine(self.shelf.sha256(int(row)), reviewer)], np.int64)

    def batch(self, batch_id: str, reviewer: str) -> Batch:
        """Give what a page holds.

        Raises:
            UsageError: There is none of that name.
            ConflictError: It is somebody else's.
        """
        found = self._batches.get(batch_id) or self.catalog.batch(batch_id)
        if found is None:
            raise UsageError(f"{batch_id[:40]}: no such page; load the page again")
        if found.reviewer != reviewer:
            raise ConflictError(f"this page was given to {found.reviewer}, not to {reviewer}; load the page again")
        self._batches[batch_id] = found
        return found

    def _is_done(self, batch: Batch) -> bool:
        done = self.catalog.operations(batch.reviewer, last=500)
        undone = {one.undoes for one in done if one.kind == "undo"}
        return any(one.batch == batch.id and one.kind == "page" and one.id not in undone for one in done)

    # --- what people say --------------------------------------------------------------------------------------------

    def operate(self, body: object, reviewer: str) -> Stored:
        """Write down what a person did; the same sent again is known, and nothing is written twice.

        Raises:
            UsageError: It cannot be read, or names what is not there.
            ConflictError: It was overtaken by something else; sending it again would not help.
        """
        said, content = wish(body), digest(body)
        with self.lock:
            self.said.refresh()
            known = self.catalog.operation(said.id)
            if known is not None:
                self.catalog.operate(known, (), content)  # raises where another thing has that name
                missed = tuple(json.loads(known.about or "{}").get("missed", ()))
                return Stored(
                    stored=len(self.catalog.decisions_of(said.id)), replay=True, missed=missed, shown=known.seeds_shown
                )
            operation = Operation(
                id=said.id, kind=said.kind, reviewer=reviewer, at=when(said.at, self._clock()), ranker=""
            )
            operation, rows, missed = self._make(said, operation)
            rejected = sum(one.verdict is Verdict.REJECT for one in rows)
            about = {"crops": len(rows), "rejected": rejected, **json.loads(operation.about or "{}")}
            operation = replace(operation, about=json.dumps(about, sort_keys=True))
            new = self.catalog.operate(operation, rows, content)
            self.said.refresh()
            if operation.batch and operation.kind == "page":
                self.catalog.release(operation.batch)
                self._until.pop(operation.batch, None)
            target = self.catalog.operation(operation.undoes) if operation.undoes else None
            if target is not None and target.batch:  # the page comes back, and nobody else shall get it meanwhile
                self.renew(target.batch, reviewer)
            self._learn_now_and_then(operation)
            return Stored(stored=len(rows), replay=not new, missed=missed, shown=operation.seeds_shown)

    def _make(self, said: Wish, operation: Operation) -> tuple[Operation, list[ReviewDecision], tuple[str, ...]]:
        match said:
            case Committed():
                return self._of_page(said, operation)
            case Decided():
                row = self._row(said.crop)
                return operation, self._of_item(self._item(row), said.verdict, "explicit", operation), ()
            case Labelled():
                return operation, self._of_label(said, operation), ()
            case Undone():
                return replace(operation, undoes=said.undoes), self._of_undo(said, operation), ()
            case Accepted():
                return self._of_bulk(said, operation)

    def _of_page(
        self, said: Committed, operation: Operation
    ) -> tuple[Operation, list[ReviewDecision], tuple[str, ...]]:
        batch = self.batch(said.batch, operation.reviewer)
        items = {item.crop: item for item in batch.items}
        strange = said.marks.keys() - items.keys()
        if strange:
            raise UsageError(f"marks: {min(strange)[:12]} is not on this page")
        default = Verdict.KEEP if said.default == "keep" and said.kind == "page" else None
        rows: list[ReviewDecision] = []
        missed: list[str] = []
        shown = 0
        for crop, item in items.items():
            verdict = said.marks.get(crop, default)
            if verdict is None:
                continue
            if item.seed:
                shown += 1
                missed += [crop] if verdict is Verdict.KEEP else []
                continue
            via = "audit" if batch.kind == "audit" else "second" if item.second else ""
            rows += self._of_item(item, verdict, via or ("explicit" if crop in said.marks else "grid"), operation)
        late = self._until.get(batch.id, self._clock()) < self._clock()
        operation = replace(
            operation,
            batch=batch.id,
            ranker=batch.ranker,
            dwell_ms=said.dwell_ms,
            late=late,
            seeds_shown=shown,
            seeds_caught=shown - len(missed),
            population=batch.population,
            about=json.dumps({"missed": missed, "filters": batch.filters}),
        )
        return operation, rows, tuple(missed)

    def _of_item(self, item: BatchItem, verdict: Verdict, via: str, operation: Operation) -> list[ReviewDecision]:
        """Say the same of a crop and of its near-copies."""
        others = [one for one in item.members if one != item.crop]
        made = [self._decision(item.crop, operation, verdict=verdict, via=via)]
        return made + [self._decision(one, operation, verdict=verdict, via="family") for one in others]

    def _of_label(self, said: Labelled, operation: Operation) -> list[ReviewDecision]:
        crops = dict.fromkeys(said.crops)
        if said.family:
            items = [self._item(self._row(crop)) for crop in crops]
            crops |= dict.fromkeys(one for item in items for one in item.members)
        return [
            self._decision(crop, operation, verdict=self._verdict(crop) or Verdict.KEEP, via="label", label=said.label)
            for crop in crops
        ]

    def _of_undo(self, said: Undone, operation: Operation) -> list[ReviewDecision]:
        target = self.catalog.operation(said.undoes)
        if target is None:
            raise UsageError(f"undoes: {said.undoes[:40]} is not known; there is nothing to take back")
        if target.reviewer != operation.reviewer:
            raise ConflictError(f"{target.reviewer} did that, not {operation.reviewer}; decide anew in its place")
        if target.kind == "undo":
            raise UsageError("undoes: an undo is taken back by deciding anew")
        chosen = None if said.crops is None else set(said.crops)
        return [
            self._decision(one.crop_sha256, operation, verdict=None, via=one.via, undoes=said.undoes)
            for one in self.catalog.decisions_of(said.undoes)
            if chosen is None or one.crop_sha256 in chosen
        ]

    def _of_bulk(self, said: Accepted, operation: Operation) -> tuple[Operation, list[ReviewDecision], tuple[str, ...]]:
        rows = self.bulk_rows(parse(said.filters), said.least)
        if len(rows) != said.expect:
            raise ConflictError(
                f"{said.expect} crops were shown to you, and now there are {len(rows)}; look at them again"
            )
        sampled = set(said.sampled)
        made = [
            self._decision(crop, operation, verdict=Verdict.KEEP, via="grid" if crop in sampled else "bulk")
            for crop in (self.shelf.sha256(int(row)) for row in rows)
        ]
        about = json.dumps({"filters": said.filters, "least": said.least, "sampled": len(sampled)})
        return replace(operation, about=about), made, ()

    def bulk_rows(self, wanted: Wanted, least: float) -> NDArray[np.int64]:
        """Find what would be accepted at once: undecided, asked for, and with that score at least."""
        with self.lock:
            there = self.mask(wanted) & (self.said.verdict == 0) & (self.shelf["score"] >= least)
            return np.flatnonzero(there)

    def sample(self, rows: NDArray[np.int64], count: int) -> list[int]:
        """Choose some by chance."""
        return [int(row) for row in self._rng.permutation(rows)[:count]]

    def _decision(self, crop: str, operation: Operation, **fields: Any) -> ReviewDecision:
        row = self.shelf.row(crop)
        known: dict[str, Any] = {}
        if row is not None:
            family = int(self.shelf["family"][row])
            known = {
                "image_sha256": self.shelf.image_sha256(row),
                "box": self.shelf.box(row),
                "phash": f"{int(self.shelf['phash'][row]):016x}",
                "family": self.shelf.words["family"][family] if family >= 0 else "",
            }
        return ReviewDecision(
            crop_sha256=crop, reviewer=operation.reviewer, decided_at=operation.at, op=operation.id, **known, **fields
        )

    def _row(self, crop: str) -> int:
        row = self.shelf.row(crop)
        if row is None:
            raise UsageError(f"{crop[:12]}: no such crop here; load the page again")
        return row

    def _verdict(self, crop: str) -> Verdict | None:
        standing = self.said.standing(crop)
        return standing.verdict if standing else None

    # --- learning ---------------------------------------------------------------------------------------------------

    def _learn_now_and_then(self, operation: Operation) -> None:
        self._lessons += 1
        if self._lessons % EVERY == 0 or operation.kind == "bulk":
            self._teach()

    def _teach(self) -> None:
        """Have the order learnt from what was decided by looking."""
        crops = list(dict.fromkeys(reversed(self.said.order)))[::-1]
        rows = self.shelf.rows(crops)
        rows = rows[rows >= 0]
        rows = rows[self.said.seen[rows] & np.isin(self.said.verdict[rows], [CODES["keep"], CODES["reject"]])]
        if len(rows):
            self.ranking.teach(rows, self.said.verdict[rows] == CODES["reject"])

    def simulated(self, make: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        """Give what *make* made last, unless a tenth more was decided since: it takes seconds."""
        decided = int((self.said.verdict > 0).sum())
        if decided > self._simulated[0] * 1.1:
            self._simulated = (decided, make())
        return self._simulated[1]

    def labelled(self) -> tuple[NDArray[np.int64], Sequence[str]]:
        """Give the crops that have a name, and their names."""
        with self.lock:
            rows = np.flatnonzero(self.said.label > 0)
            labels = self.live.labels
            return rows, [labels[code] for code in self.said.label[rows]]
