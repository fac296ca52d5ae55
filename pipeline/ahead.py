"""Hides that a stage can be at work, in a thread of its own, on items that are still being found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

POLL_S = 0.1  # how often it is asked whether anybody still wants it

Batch = Sequence[Any]


class Ahead:
    """Does *work* on batches as they are offered.

    Args:
        work: Called once, with the batches; gives how many items it judged.
        stop: Set by whoever wants all of it to end, and here when the work fails.
    """

    def __init__(self, work: Callable[[Iterable[Batch]], int], stop: threading.Event) -> None:
        self._stop = stop
        self._batches: SimpleQueue[Batch | None] = SimpleQueue()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._result: Future[int] = self._pool.submit(work, self._coming())
        self._result.add_done_callback(self._ended)

    def offer(self, batch: Batch) -> None:
        """Let it be worked on.

        Raises:
            KaosetError: Whatever the work has raised meanwhile.
        """
        if self._result.done():
            self._result.result()
        self._batches.put(batch)

    def finish(self, batch: Batch) -> int:
        """Offer the last of all, wait for the end, and return how many items were judged."""
        self._batches.put(batch)
        self._batches.put(None)
        return self._result.result()

    def tell(self) -> None:
        """Wait for the end, and raise what the work has failed with; `stop` is set."""
        self._result.result()

    def close(self) -> None:
        """Leave nothing behind; `stop` is set, or the work has ended."""
        self._batches.put(None)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _ended(self, result: Future[int]) -> None:
        if not result.cancelled() and result.exception() is not None:
            self._stop.set()  # whoever finds more items need not go on

    def _coming(self) -> Iterator[Batch]:
        while not self._stop.is_set():
            try:
                batch = self._batches.get(timeout=POLL_S)
            except Empty:
                continue
            if batch is None:
                return
            yield batch
