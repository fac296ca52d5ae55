"""How posts become images: many files under way at once, and only still pictures in the store."""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import ClassVar

from pipeline import pixels
from pipeline.errors import StoreError, UsageError
from pipeline.http import Fetched, Part, Refused, measure
from pipeline.records import Image, Post, Reason
from pipeline.sources import Source
from pipeline.stage import Dropped, Kept, Outcome, Scope, effect
from pipeline.store import Store

Answer = Image | Refused


@dataclass(frozen=True, kw_only=True)
class FetchFiles:
    """Bring the file of each post into the store, if it is one still picture."""

    name: ClassVar[str] = "scrape"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.ITEM

    max_bytes: int = 100_000_000  # Danbooru takes no larger upload
    max_pixels: int = 100_000_000  # width times height
    sources: Mapping[str, Source] = effect()
    parts: Path = effect()  # folder for files under way, on the same disk as the store
    threads: int = effect()  # files under way at once
    # The clients' own event: set by whoever wants the run to end, and by this stage while it leaves early.
    stop: threading.Event = field(default_factory=threading.Event, compare=False, repr=False, metadata={"effect": True})

    def key(self, item: Post, /) -> str:
        """A post is known by its id."""
        return item.id

    def __call__(self, items: Iterable[Post], store: Store, /) -> Iterator[Outcome[Post, Image]]:
        """Fetch with `threads` threads; outcomes come as files do.

        A file that several posts share, by its md5, is fetched once. All of them get the same outcome, whichever came
        first and whichever of their addresses still works: so a refusal is told last, when no twin can mend it.

        Raises:
            StoreError: The disk is full, or a folder cannot be written.
            UsageError: A post is of no source that the recipe names.
            Stopped: `stop` was set from outside.
        """
        known = _Known()
        refused: list[tuple[Post, Refused]] = []
        with closing(self._answers(items, lambda post: self._judge(post, store, known))) as answers:
            for post, answer in answers:
                if isinstance(answer, Refused) and post.md5 and known.get(post.md5) is None:
                    refused.append((post, answer))
                else:
                    yield _outcome(post, answer)
        for post, refusal in refused:
            twin = known.get(post.md5)
            if twin is not None:
                self._clear(post)
            yield _outcome(post, twin or refusal)

    def _answers(self, items: Iterable[Post], judge: Callable[[Post], Answer]) -> Generator[tuple[Post, Answer]]:
        """Judge in threads, never more than two for each under way: a stream may be long."""
        _make_folder(self.parts)
        queue = iter(items)
        running: dict[Future[Answer], Post] = {}
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="scrape")
        early = True
        try:
            while True:
                for post in islice(queue, 2 * self.threads - len(running)):
                    running[pool.submit(judge, post)] = post
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
            early = False
        finally:
            self._leave(pool, early=early)

    def _leave(self, pool: ThreadPoolExecutor, *, early: bool) -> None:
        """Let no thread outlive the stage; those that wait for a host are woken."""
        was_set = self.stop.is_set()
        if early:
            self.stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        if early and not was_set:
            self.stop.clear()

    def _judge(self, post: Post, store: Store, known: _Known) -> Answer:
        """Say what the file of *post* is; runs in a thread, alone for its md5."""
        if post.file_url is None:
            return Refused(Reason.NO_FILE)
        if post.md5 is None:
            return self._bring(post, store, known)
        with known.alone(post.md5):
            twin = known.get(post.md5)
            if twin is None:
                return self._bring(post, store, known)
        self._clear(post)  # an earlier, killed run may have begun with this one
        return twin

    def _bring(self, post: Post, store: Store, known: _Known) -> Answer:
        target = self._target(post)
        fetched = self._fetch(post, target)
        if isinstance(fetched, Refused):
            return fetched
        data = _read(target)
        answer: Answer
        try:
            still = pixels.inspect(data, max_pixels=self.max_pixels)
        except pixels.BadImage as bad:
            self._clear(post)
            answer = Refused(bad.reason, bad.detail)
        else:
            sha256 = hashlib.sha256(data).hexdigest()
            store.take(target, sha256)
            answer = Image(
                sha256=sha256,
                md5=fetched.md5,
                post_id=post.id,
                width=still.width,
                height=still.height,
                bytes=len(data),
                format=still.format,
                phash=still.phash,
            )
        known.put(fetched.md5, answer)
        return answer

    def _fetch(self, post: Post, target: Path) -> Fetched | Refused:
        if target.exists():  # the run was killed between the file's last byte and the store
            Part(target).discard()
            fetched, _ = measure(target)
            if post.md5 in {None, fetched.md5} and fetched.bytes <= self.max_bytes:
                return fetched
            self._clear(post)
        return self._source(post).fetch(post, target, self.max_bytes)

    def _source(self, post: Post) -> Source:
        name = post.id.partition(":")[0]
        try:
            return self.sources[name]
        except KeyError as error:
            raise UsageError(f"{post.id}: the recipe names no source {name!r}; name it, or use other data") from error

    def _target(self, post: Post) -> Path:
        """Give a name that a later run finds again, whatever characters the id holds."""
        return self.parts / hashlib.sha1(post.id.encode(), usedforsecurity=False).hexdigest()

    def _clear(self, post: Post) -> None:
        target = self._target(post)
        Part(target).discard()
        try:
            target.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{target}: cannot be removed ({error.strerror}); check the data folder") from error


@dataclass
class _Known:
    """What the bytes with an md5 turned out to be in this run; the verdict is theirs, whosever post they came with."""

    _answers: dict[str, Answer] = field(default_factory=dict)
    _locks: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def alone(self, md5: str) -> threading.Lock:
        """Give the lock under which one thread at a time fetches the file with this *md5*."""
        with self._lock:
            return self._locks[md5]

    def get(self, md5: str | None) -> Answer | None:
        """Give the verdict; None while there is none."""
        return self._answers.get(md5 or "")

    def put(self, md5: str, answer: Answer) -> None:
        """Remember the verdict."""
        self._answers[md5] = answer


def _outcome(post: Post, answer: Answer) -> Outcome[Post, Image]:
    match answer:
        case Image():
            return Kept(post, (replace(answer, post_id=post.id),))
        case Refused(reason, detail):
            return Dropped(post, reason, detail)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); check the data folder") from error


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be made ({error.strerror}); free some space or choose --data") from error
