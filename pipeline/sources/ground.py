"""Hides how a board is read by falling id: what is still unread, when an answer is believed, and what is no listing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from pipeline.errors import BoardError

Row = Mapping[str, Any]
Ask = Callable[[int, int], list[Row] | None]

TOP = 2**31 - 1  # ids are 32-bit: nothing lies above
RECENT = 20  # ids that are remembered, to find out a false one
EMPTY_TRIES = 2  # an empty answer in the middle of a listing was met on Danbooru and on Safebooru
DOUBTED_TRIES = 4  # the board itself says that there is more


def read_down(
    ask: Ask, cursor: Mapping[str, Any] | None, *, page_size: int, limit: int | None, speaker: str, dialect: str
) -> Iterator[tuple[list[Row], dict[str, Any]]]:
    """List unread ground from the top down; each page's cursor says what is unread after it.

    The cursor is `{"unread": [[high, low], …], "newest": id, "recent": [id, …]}`, ids inclusive, falling, apart. A run
    that was killed during the reading of what is new leaves two gaps: the rest of the new, and the rest of the old.
    Ground where the board says that there is more, and gives nothing, stays unread: the next run asks again. *recent*
    are the highest ids seen: by them a single false one, far above all others, is found out.

    Args:
        ask: Called with the highest id wished for and a count; gives the next rows, whose ``id`` may be a number in
            a string, nothing where nothing is left, and None where the board says that there is more and gives none.
        cursor: What the last page gave; None the first time.
        page_size: Rows in one answer, at most.
        limit: Rows in all; the next call goes on.
        speaker: The board's address, for errors.
        dialect: What it ought to speak, for errors.

    Yields:
        Rows of unread ground, each with an id, and the cursor to save with them.

    Raises:
        BoardError: The ids do not fall: the board would be listed with holes, or for ever.
    """
    unread, recent = _read(cursor)
    known = frozenset(recent)
    unread.insert(0, (TOP, max(recent, default=0) + 1))
    left = TOP if limit is None else limit
    doubted: list[tuple[int, int]] = []
    while unread and left > 0:
        high, low = unread.pop(0)
        at_top = high == TOP
        rows = _rows(ask, high, min(page_size, left + (len(known) if at_top else 0)), speaker, dialect)
        if rows is None:
            doubted.append((high, low))
            rows = []
        if at_top:
            low = _unlisted_from([_id(row) for row in rows], low, unread, recent)
            unread = [(min(top, low - 1), bottom) for top, bottom in unread]
        new = [row for row in rows if _id(row) >= low and _id(row) not in known]
        if len(new) > left:
            rows = new = new[:left]
        left -= len(new)
        if rows:
            recent = sorted({*recent, *map(_id, new)}, reverse=True)[:RECENT]
            unread.insert(0, (_id(rows[-1]) - 1, low))
        unread = [(high, low) for high, low in unread if high >= low]
        gaps = sorted([*doubted, *unread], reverse=True)
        newest = max(recent, default=0)
        yield new, {"unread": [list(gap) for gap in gaps], "newest": newest, "recent": recent}


def unread_ids(cursor: Mapping[str, Any]) -> int:
    """Count the ids that a listing has not read yet, by its cursor: at most so many posts; what is new is not known."""
    return sum(int(high) - int(low) + 1 for high, low in cursor.get("unread", []) if high < TOP)


def number(row: Row) -> int | None:
    """Read the id of a row; None where it has none."""
    return whole(row.get("id"))


def whole(value: object) -> int | None:
    """Read a number that some boards write as a string; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    return None


def _id(row: Row) -> int:
    return number(row) or 0


def _read(cursor: Mapping[str, Any] | None) -> tuple[list[tuple[int, int]], list[int]]:
    """Give the unread gaps and the recent ids; an older cursor knew the newest id alone."""
    if cursor is None:
        return [], []
    recent = cursor.get("recent", [cursor["newest"]] if cursor["newest"] else [])
    return [(int(high), int(low)) for high, low in cursor["unread"] if high < TOP], [int(one) for one in recent]


def _unlisted_from(ids: list[int], low: int, unread: list[tuple[int, int]], recent: list[int]) -> int:
    """Say how far down the top must be read: to *low*, unless the board's newest *ids* show posts that were passed by.

    Such a post lies below the newest known id, is not among the *recent* ones, and in no gap that is still to be read:
    the newest known id was a false one, or the post matches the query only now. Below the next known id nothing is new.
    """
    floor = recent[-1] if len(recent) == RECENT else 0  # fewer than that are all that were ever seen
    for one in ids:
        if one < floor or one >= low:
            continue
        if one not in recent and not any(bottom <= one <= top for top, bottom in unread):
            return max((other for other in recent if other < one), default=0) + 1
    return low


def _rows(ask: Ask, high: int, count: int, speaker: str, dialect: str) -> list[Row] | None:
    """Give the next rows that have an id, none above *high*; nothing only when the board says so twice."""
    rows = _believed(ask, high, count)
    if not rows:
        return rows
    with_id = [row for row in rows if 0 < _id(row) < TOP]
    ids = [_id(row) for row in with_id]
    if not ids:
        raise BoardError(f"{speaker}: gives posts without ids; it does not speak {dialect}'s dialect")
    if ids[0] > high or any(one <= other for one, other in pairwise(ids)):
        raise BoardError(
            f"{speaker}: gives ids that do not fall below {high + 1} ({ids[:3]} …); "
            f"it does not speak {dialect}'s dialect, or something between changes the answers"
        )
    return with_id[:count]


def _believed(ask: Ask, high: int, count: int) -> list[Row] | None:
    empty = 0
    for _ in range(DOUBTED_TRIES):
        rows = ask(high, count)
        if rows:
            return rows
        empty += rows is not None
        if empty == EMPTY_TRIES:
            return []
    return None
