"""What a board's own log, a catalog and a store prove of the runs that scraped it."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.hosts import Host, Served
from pipeline.records import Reason
from pipeline.sandbox.board import Asked, Fault
from pipeline.sandbox.posts import Kind, PlantedPost
from pipeline.store import Store

FILES = "/original/"  # where the board keeps them
UNDER_WAY_S = 3.0  # before a kill: what was sent then may not have been read
# All that a catalog remembers, but for when it was written.
REMEMBERED = {
    "posts": "SELECT id, body FROM posts ORDER BY id",
    "listings": "SELECT listing, post_id FROM listings ORDER BY listing, post_id",
    "cursors": "SELECT listing, cursor FROM cursors ORDER BY listing",
    "outcomes": "SELECT stage, item, reason FROM outcomes ORDER BY stage, fingerprint, item",
    "outputs": "SELECT stage, item, position, kind, id, sha256, body FROM outputs ORDER BY stage, fingerprint, item",
}


# --- pace -------------------------------------------------------------------------------------------------------------


def most_in(times: Sequence[float], window_s: float) -> int:
    """Count the most requests that any window held; it takes in its beginning and not its end.

    Args:
        times: By time, seconds.
        window_s: Length of the window.
    """
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= window_s:
            first += 1
        most = max(most, last - first + 1)
    return most


def per_second(times: Sequence[float]) -> float:
    """Requests a second from the first to the last; 0 where fewer than two came."""
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def longest_pause_s(times: Sequence[float]) -> float:
    """Give the longest time in which nothing was asked; 0 where fewer than two requests came."""
    return max((after - before for before, after in pairwise(times)), default=0.0)


# --- files ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Again:
    """A file that was asked for although its last word had been said."""

    post: PlantedPost
    whole: bool  # it had been sent in full, not refused
    kept: bool  # it is a picture that has to be kept
    excused: bool  # a kill came before it can be known that the answer was read


def asked_again(host: Host, log: Sequence[Asked], kills: Sequence[float] = ()) -> list[Again]:
    """List the files that were asked for after their last word: whole, or refused for good.

    A program that asks for the next file on a connection has read the answer before. So of the answers before a kill,
    only those that were the last on their connection may have been lost with it.

    Args:
        host: What was asked for.
        log: Its requests by time of arrival.
        kills: When the program was killed, seconds since 1970.
    """
    last_on = {asked.client: asked for asked in log}
    found = []
    for post, requests in _by_post(host, log):
        words = [asked for asked in requests if _is_last_word(post, asked)]
        read = [one for one in words if last_on[one.client] is not one or not _before_a_kill(one.at, kills)]
        excused = len(read) < _times(post) or read[_times(post) - 1] is requests[-1]
        if len(words) >= _times(post) and words[_times(post) - 1] is not requests[-1]:
            found.append(Again(post, words[0].status < 300, host.reason(post) is None, excused))
    return found


def gone_on_with(log: Sequence[Asked]) -> int:
    """Count the answers that went on in the middle of a file."""
    return sum(asked.status == 206 for asked in log)


def sent_beyond(host: Host, log: Sequence[Asked]) -> int:
    """Add up the bytes of good answers that were sent beyond each file's size: what ranges would have saved."""
    return sum(
        max(0, sum(asked.sent for asked in requests if _honest(asked)) - _times(post) * post.size)
        for post, requests in _by_post(host, log)
    )


def _times(post: PlantedPost) -> int:
    """Say how often a file has to be sent: one whose checksum is wrong is asked for once more."""
    return 2 if post.kind is Kind.WRONG_MD5 else 1


def _by_post(host: Host, log: Sequence[Asked]) -> Iterable[tuple[PlantedPost, list[Asked]]]:
    asked: dict[str, list[Asked]] = {}
    for one in log:
        if one.path.startswith(FILES):
            asked.setdefault(one.path.rpartition("/")[2], []).append(one)
    return [(post, asked[post.file]) for post in host.sandbox.posts if post.file in asked]


def _is_last_word(post: PlantedPost, asked: Asked) -> bool:
    match asked.status:
        case 200 if _honest(asked):
            return asked.sent == post.size
        case 206 if _honest(asked):
            found = re.fullmatch(r"bytes=(\d+)-", asked.range or "")
            return found is not None and int(found[1]) + asked.sent == post.size
        case 403 | 404:
            return True
        case _:
            return False


def _honest(asked: Asked) -> bool:
    return asked.fault in {None, Fault.STALL, Fault.SLOW}


def _before_a_kill(at: float, kills: Sequence[float]) -> bool:
    return any(0 <= kill - at < UNDER_WAY_S for kill in kills)


# --- catalog and store ------------------------------------------------------------------------------------------------


def remembered(data: Path) -> dict[str, list[Any]]:
    """Read all that the catalog of a data folder holds, but for when it was written, by table."""
    with closing(sqlite3.connect(f"file:{data / 'catalog.sqlite'}?mode=ro", uri=True)) as connection:
        return {table: connection.execute(query).fetchall() for table, query in REMEMBERED.items()}


def ends(data: Path) -> dict[str, Reason | None]:
    """Read how every post ended: the reason for which select or scrape dropped it, or None.

    Raises:
        KeyError: A post was listed and has no end.
    """
    known = remembered(data)
    said: dict[str, str | None] = {}
    for stage in ("select", "scrape"):
        said.update({item: reason for name, item, reason in known["outcomes"] if name == stage})
    scraped = {item for name, item, _ in known["outcomes"] if name == "scrape"}
    listed = [item for item, _ in known["posts"]]
    if lost := [item for item in listed if item not in said or (said[item] is None and item not in scraped)]:
        raise KeyError(f"{len(lost)} posts have no end, among them {lost[0]}")
    return {item: Reason(reason) if (reason := said[item]) else None for item in listed}


def strayed(served: Served, data: Path) -> list[str]:
    """List the posts that did not end as they must, in words."""
    found, wanted = ends(data), served.ends()
    return [
        f"{post}: {found.get(post, 'never listed') or 'kept'}, not {wanted.get(post, 'there') or 'kept'}"
        for post in sorted(found.keys() | wanted.keys())
        if found.get(post, "never listed") != wanted.get(post, "there")
    ]


def miscounted(served: Served, stages: Sequence[Mapping[str, Any]]) -> list[str]:
    """List in words where the reports of a run that did all of it differ from what must become of the posts."""
    wanted = Counter(served.ends().values())
    told: Counter[Reason | None] = Counter({None: stages[-1]["kept"]})
    for stage in stages:
        told.update({Reason(word): count for word, count in stage["dropped"].items()})
    return [
        f"{reason or 'kept'}: {told[reason]}, not {wanted[reason]}"
        for reason in told.keys() | wanted.keys()
        if told[reason] != wanted[reason]
    ]


def damaged(served: Served, data: Path) -> list[str]:
    """List the kept files that are not in the store byte for byte, and what is there beside them."""
    store = Store(data / "store")
    wanted: Mapping[str, bytes] = {
        sha256(original).hexdigest(): original
        for host in served.hosts
        for post in host.sandbox.posts
        if host.reason(post) is None
        for original in [host.data(post)]
    }
    there = {path.name: path for path in store.root.rglob("*") if path.is_file()}
    wrong = [name for name in wanted.keys() & there.keys() if there[name].read_bytes() != wanted[name]]
    return sorted([*wrong, *(wanted.keys() ^ there.keys())])


def left_over(data: Path) -> list[str]:
    """List what lies among the files under way."""
    return sorted(path.name for path in (data / "parts").iterdir())
