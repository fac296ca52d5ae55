"""How posts become images: many hosts at once, each politely, and only still pictures in the store."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pipeline import pixels
from pipeline.claims import Claims
from pipeline.errors import StoreError, UsageError
from pipeline.groups import hashes_of_parts
from pipeline.http import Fetched, Part, Refused, Stopped, measure
from pipeline.lanes import fan_out
from pipeline.records import NOTHING_FORGOTTEN, Forgotten, HostCount, Image, Post, Reason
from pipeline.sources import Source
from pipeline.stage import Dropped, Kept, Outcome, Scope, effect, fingerprint
from pipeline.store import Store
from pipeline.workers import Calls, Crashed, TimedOut

Answer = Image | Refused


@dataclass(frozen=True, kw_only=True)
class FetchFiles:
    """Bring the file of each post into the store, if it is one still picture.

    What is known of a file lies beside its parts until `settled` is told that its outcome is in the catalog: a killed
    run asks for nothing a second time, and several runs on one data folder share what each of them fetches.
    """

    name: ClassVar[str] = "scrape"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.ITEM

    max_bytes: int = 100_000_000  # Danbooru takes no larger upload
    max_pixels: int = 100_000_000  # width times height
    sources: Mapping[str, Source] = effect()
    parts: Path = effect()  # folder for files under way, on the same disk as the store
    claims: Claims = effect()
    threads: int = effect()  # files under way at once
    per_host: int = effect()  # files of one host under way at once
    calls: Calls = effect()  # where files are decoded: one that kills its decoder costs itself, and no thread of ours
    said: Callable[[Post], Answer | None] = effect()  # what the catalog has been told of the file meanwhile
    tally: Tally = effect()
    # Whose bytes are not kept; what came before it was forgotten is not asked for again.
    forgotten: Forgotten = field(default=NOTHING_FORGOTTEN, compare=False, repr=False, metadata={"effect": True})
    # The clients' own event: set by whoever wants the run to end, and while the stage is left early.
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
        _make_folder(self.parts)
        known = _Known()
        refused: list[tuple[Post, Refused]] = []
        answers = fan_out(
            items,
            lambda post: self._judge(post, store, known),
            lane=host_of,
            threads=self.threads,
            per_lane=self.per_host,
            stop=self.stop,
        )
        with closing(answers):
            for post, answer in answers:
                self.tally.add(post, answer)
                if isinstance(answer, Refused) and post.md5 and known.get(post.md5) is None:
                    refused.append((post, answer))
                else:
                    yield _outcome(post, answer)
        for post, refusal in refused:
            yield _outcome(post, known.get(post.md5) or refusal)

    def settled(self, posts: Iterable[Post]) -> None:
        """Forget what was kept for the case of a kill: the outcomes of *posts* are in the catalog."""
        for post in posts:
            _Receipt(self._target(post)).discard()

    def clear_up(self, posts: Iterable[Post]) -> None:
        """Forget what a kill between the catalog and `settled` has left; all of *posts* are in the catalog."""
        left = {path.name for path in self.parts.glob("*.answer")}
        self.settled(post for post in posts if left and _Receipt(self._target(post)).path.name in left)

    def _judge(self, post: Post, store: Store, known: _Known) -> Answer:
        """Say what the file of *post* is; runs in a thread, alone for its file."""
        if post.file_url is None:
            return Refused(Reason.NO_FILE)
        with self.claims.held(post.md5 or post.id, self.stop) as mine:
            if not mine:
                raise Stopped
            answer = known.get(post.md5) or self._told(post, store)
            if answer is None:
                return self._bring(post, store, known)
            self._clear(post)  # a killed run may have begun with this one
            return answer

    def _told(self, post: Post, store: Store) -> Answer | None:
        """Say what a run that was killed, one that is under way, or an earlier one has found out already."""
        answer = _Receipt(self._target(post)).read(self._mark, post)
        if answer is None:
            answer = self.said(post)  # after the receipt, which goes when the catalog knows
        return None if isinstance(answer, Image) and not store.has(answer.sha256) else answer

    def _bring(self, post: Post, store: Store, known: _Known) -> Answer:
        target = self._target(post)
        receipt = _Receipt(target)
        fetched = self._fetch(post, target)
        if isinstance(fetched, Refused):
            if not fetched.reason.transient:
                receipt.write(self._mark, post, fetched, of_bytes=False)
            return fetched
        answer = self._looked_at(post, target, fetched)
        receipt.write(self._mark, post, answer, of_bytes=True)
        if isinstance(answer, Image):
            store.take(target, answer.sha256)
        else:
            self._clear(post)
        known.put(fetched.md5, answer)
        return answer

    def _looked_at(self, post: Post, target: Path, fetched: Fetched) -> Answer:
        """Decode what came, in another process; nothing else is done with what was forgotten."""
        sha256 = _sha256_of(target)
        if self.forgotten.holds_file(fetched.md5, sha256):
            return Refused(Reason.FORGOTTEN)
        match self.calls(partial(pixels.inspect_file, max_pixels=self.max_pixels, parts=hashes_of_parts), target):
            case Crashed(detail):
                return Refused(Reason.CRASHED, detail)
            case TimedOut(detail):
                return Refused(Reason.TIMED_OUT, detail)
            case pixels.BadImage() as bad:
                return Refused(bad.reason, bad.detail)
            case still:
                return Image(
                    sha256=sha256,
                    md5=fetched.md5,
                    post_id=post.id,
                    width=still.width,
                    height=still.height,
                    bytes=fetched.bytes,
                    format=still.format,
                    phash=still.phash,
                    phashes=still.phashes,
                )

    def _fetch(self, post: Post, target: Path) -> Fetched | Refused:
        if target.exists():  # the run was killed between the file's last byte and the store
            Part(target).discard()
            fetched, sums = measure(target, "sha1")
            right = post.md5 in {None, fetched.md5} and post.sha1 in {None, sums["sha1"]}
            if right and fetched.bytes <= self.max_bytes:
                return fetched
            self._clear(post)
        return self._source(post).fetch(post, target, self.max_bytes)

    def _source(self, post: Post) -> Source:
        name = post.id.partition(":")[0]
        try:
            return self.sources[name]
        except KeyError as error:
            raise UsageError(f"{post.id}: the recipe names no source {name!r}; name it, or use other data") from error

    @cached_property
    def _mark(self) -> str:
        return fingerprint(self)

    def _target(self, post: Post) -> Path:
        return self.parts / _part_name(post)

    def _clear(self, post: Post) -> None:
        target = self._target(post)
        Part(target).discard()
        try:
            target.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{target}: cannot be removed ({error.strerror}); check the data folder") from error


@dataclass(frozen=True)
class _Receipt:
    """What the file that would lie at *target* turned out to be, for as long as the catalog does not know it."""

    target: Path

    @property
    def path(self) -> Path:
        return self.target.with_name(f"{self.target.name}.answer")

    def write(self, mark: str, post: Post, answer: Answer, *, of_bytes: bool) -> None:
        """Write it down; a refusal that is not *of_bytes* is its host's, and says nothing of a twin elsewhere."""
        said = {"image": answer.to_json()} if isinstance(answer, Image) else {"refused": [answer.reason, answer.detail]}
        body = {"mark": mark, "url": None if of_bytes else post.file_url, **said}
        try:
            self.path.write_text(json.dumps(body), encoding="utf-8")  # one that is cut by a kill is no JSON
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}; free some space or choose --data") from error

    def read(self, mark: str, post: Post) -> Answer | None:
        """Read it, if it was written by the same configuration of the stage and holds for *post*."""
        try:
            body: dict[str, Any] = json.loads(self.path.read_bytes())
            if body["mark"] != mark or body["url"] not in {None, post.file_url}:
                return None
            if "image" in body:
                return Image.from_json(body["image"])
            reason, detail = body["refused"]
            return Refused(Reason(reason), detail)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be read ({error.strerror}); check the data folder") from error
        except (ValueError, LookupError, TypeError):  # damage, or another version's
            return None

    def discard(self) -> None:
        """Leave nothing."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be removed ({error.strerror}); check the data folder") from error


class Tally:
    """Counts files by host, while they come."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._counts: dict[str, HostCount] = {}
        self._changed: set[str] = set()
        self._waiting = 0
        self._lock = threading.Lock()

    def expect(self, post: Post) -> None:
        """Count *post* as waiting."""
        self._count(post, waiting=1)

    def waiting(self, host: str | None = None) -> int:
        """Say how many files of a host wait; None: of all."""
        if host is None:
            return self._waiting
        count = self._counts.get(host)
        return 0 if count is None else count.waiting

    def add(self, post: Post, answer: Answer) -> None:
        """Count what became of one."""
        match answer:
            case Image():
                self._count(post, waiting=-1, done=1, size=answer.bytes)
            case Refused(reason, detail):
                self._count(post, waiting=-1, failed=1, parked=detail if reason is Reason.PARKED else "")

    def changed(self) -> list[HostCount]:
        """Give what has changed since the last time."""
        with self._lock:
            now = self._clock()
            rows = [replace(self._counts[host], at=now) for host in sorted(self._changed)]
            self._changed.clear()
        return rows

    def _count(
        self, post: Post, *, waiting: int, done: int = 0, failed: int = 0, size: int = 0, parked: str = ""
    ) -> None:
        host = host_of(post)
        with self._lock:
            now = self._clock()
            self._waiting += waiting
            old = self._counts.get(host) or HostCount(host=host, waiting=0, done=0, failed=0, began_at=now, at=now)
            self._counts[host] = replace(
                old,
                waiting=max(0, old.waiting + waiting),
                done=old.done + done,
                failed=old.failed + failed,
                bytes=old.bytes + size,
                parked=parked or old.parked,
                at=now,
            )
            self._changed.add(host)


def host_of(post: Post) -> str:
    """Name the host of a post's file; nothing for a file of this machine, or none at all."""
    try:
        parts = urlsplit(post.file_url or "")
    except ValueError:
        return ""
    return parts.netloc.rpartition("@")[2].lower() if parts.scheme in {"http", "https"} else ""


@dataclass
class _Known:
    """What the bytes with an md5 turned out to be in this run; the verdict is theirs, whosever post they came with."""

    _answers: dict[str, Answer] = field(default_factory=dict)

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


def parts_of(folder: Path, post: Post) -> list[Path]:
    """Say what lies in the folder of files under way of the file of *post*."""
    return list(folder.glob(f"{_part_name(post)}*"))


def _part_name(post: Post) -> str:
    """Give a name that a later run, and a twin, finds again, whatever characters the id holds."""
    return hashlib.sha1((post.md5 or post.id).encode(), usedforsecurity=False).hexdigest()


def _sha256_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); check the data folder") from error


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be made ({error.strerror}); free some space or choose --data") from error
