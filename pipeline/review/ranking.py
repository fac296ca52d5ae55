"""Hides the order in which crops are shown: by score at first, then by what decisions teach, learnt aside."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import StoreError
from pipeline.pixels import BadImage, decode
from pipeline.review.features import DIM, Embeddings, cheap, embed
from pipeline.review.order import FIRST, Ranker, learn, second_look
from pipeline.review.pictures import MAX_PIXELS
from pipeline.review.shelf import Shelf
from pipeline.store import Store

EVERY = 3  # pages of decisions, after which the order is learnt anew
_PART = 50_000  # rows that are ranked at once
_MOST_LEARNT = 6000  # of the last decisions; more teach little and take long
_QUIET_S = 0.25  # after somebody asked for something; he comes first
_LONGEST_REST_S = 2.0  # so that something is learnt however much is asked for
_AT_ONCE = 16  # crops that are looked at before somebody asks whether there is more to do


@dataclass(frozen=True, slots=True)
class Order:
    """All rows, the most suspicious first."""

    about: str
    suspicion: NDArray[np.float32]  # by row; 0 to 1
    rows: NDArray[np.int64]
    number: int = 0  # how often it was learnt


class Ranking:
    """Ranks the crops of a shelf from a thread of its own; what it has last found is there at once.

    Args:
        shelf: What is ranked.
        store: Where the crops lie.
        folder: Keeps what crops look like; it may be removed.
    """

    def __init__(self, shelf: Shelf, store: Store, folder: Path) -> None:
        self._shelf, self._store = shelf, store
        self._cheap = cheap(shelf.columns)
        self._embeddings = Embeddings(folder)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = False
        self._asked = 0.0
        self._lesson: tuple[NDArray[np.int64], NDArray[np.bool_]] | None = None
        self._to_see: list[NDArray[np.int64]] = []
        self.order = self._ranked(FIRST, 0)
        self.doubted = np.empty(0, np.int64)  # rows of the last lesson that were kept, and are worth a second look
        self._thread = threading.Thread(target=self._work, name="ranking", daemon=True)

    def start(self) -> None:
        """Begin to look at crops, when the browser has come."""
        self._asked = time.monotonic() + _LONGEST_REST_S
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._embeddings.close()

    def give_way(self) -> None:
        """Rest a moment, for somebody asks for something."""
        self._asked = time.monotonic()

    def teach(self, rows: NDArray[np.int64], false: NDArray[np.bool_]) -> None:
        """Have the order learnt anew, soon, from what was said of *rows*, the oldest first."""
        with self._lock:
            self._lesson = (rows[-_MOST_LEARNT:], false[-_MOST_LEARNT:])
        self._wake.set()

    def look_at(self, rows: NDArray[np.int64]) -> None:
        """Have crops looked at, before those that were asked for earlier."""
        if len(rows):
            with self._lock:
                self._to_see.append(rows)
            self._wake.set()

    def embedded(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Give what crops look like, (rows, DIM); a crop that was not looked at yet is all NaN."""
        if not len(rows):
            return np.empty((0, DIM), np.float32)
        with self._lock:
            return np.asarray(self._embeddings.get([self._shelf.sha256(int(row)) for row in rows]), np.float32)

    def features(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give the cheap features of crops, and what they look like."""
        return self._cheap[rows], self.embedded(rows)

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._stop:
            lesson, rows = self._next()
            if lesson is not None:
                self._learn(*lesson)
            elif len(rows):
                self._rest()  # not before a lesson: whoever decides all the time is to have the better order, too
                self._see(rows)
            else:
                self._wake.wait()
                self._wake.clear()

    def _next(self) -> tuple[tuple[NDArray[np.int64], NDArray[np.bool_]] | None, NDArray[np.int64]]:
        with self._lock:
            lesson, self._lesson = self._lesson, None
            rows = np.empty(0, np.int64)
            while lesson is None and self._to_see and not len(rows):
                rows, rest = np.split(self._to_see.pop(), [_AT_ONCE])
                if len(rest):
                    self._to_see.append(rest)
            return lesson, rows

    def _see(self, rows: NDArray[np.int64]) -> None:
        known = self.embedded(rows)
        for row in rows[np.isnan(known[:, 0])]:
            sha256 = self._shelf.sha256(int(row))
            try:
                vector = embed(decode(self._store.get(sha256), max_pixels=MAX_PIXELS))
            except (StoreError, BadImage):  # it is ranked by its numbers alone
                continue
            with self._lock, suppress(StoreError):  # where the disk is full it is known here all the same
                self._embeddings.put(sha256, vector)

    def _rest(self) -> None:
        longest = time.monotonic() + _LONGEST_REST_S
        while not self._stop and (now := time.monotonic()) < min(self._asked + _QUIET_S, longest):
            time.sleep(min(self._asked + _QUIET_S, longest) - now)

    def _learn(self, rows: NDArray[np.int64], false: NDArray[np.bool_]) -> None:
        self._see(rows)
        known, looks = self.features(rows)
        ranker = learn(known, looks, false)
        if ranker is not None:
            self.order = self._ranked(ranker, self.order.number + 1)
        _, shown = np.unique(self._shelf["unit"][rows], return_index=True)  # of near-copies the one that came first
        self.doubted = rows[shown][second_look(known[shown], looks[shown], ~false[shown])]

    def _ranked(self, ranker: Ranker, number: int) -> Order:
        parts: Sequence[NDArray[np.int64]] = np.array_split(
            np.arange(len(self._shelf)), max(1, -(-len(self._shelf) // _PART))
        )
        unseen = np.full((1, DIM), np.nan, np.float32)
        found = [
            ranker.suspicion(
                self._cheap[part], self.embedded(part) if number else np.broadcast_to(unseen, (len(part), DIM))
            )
            for part in parts
        ]
        suspicion = np.concatenate([np.empty(0, np.float32), *found])
        return Order(ranker.about, suspicion, np.argsort(-suspicion, kind="stable"), number)
