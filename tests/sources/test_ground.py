"""pipeline.sources.ground: each id once, from the top down, and no answer believed too soon."""

from __future__ import annotations

import random
from itertools import islice
from typing import Any

import pytest

from pipeline.errors import BoardError
from pipeline.sources.ground import DOUBTED_TRIES, TOP, Row, read_down, unread_ids, whole


class Board:
    """Answers from a set of ids; `says` answers instead, for as long as it lasts."""

    def __init__(self, *ids: int, says: tuple[Any, ...] = ()) -> None:
        self.ids, self.says = set(ids), list(says)
        self.asked: list[tuple[int, int]] = []

    def __call__(self, high: int, count: int) -> list[Row] | None:
        self.asked.append((high, count))
        if self.says:
            answer: list[Row] | None = self.says.pop(0)
            return answer
        return [{"id": number} for number in sorted(self.ids, reverse=True) if number <= high][:count]


def read(board: Board, cursor: Any = None, *, size: int = 3, limit: int | None = None) -> Any:
    return read_down(board, cursor, page_size=size, limit=limit, speaker="http://b", dialect="Somebody")


def ids(pages: Any) -> list[int]:
    return [row["id"] for rows, _ in pages for row in rows]


def test_reads_from_the_top_to_the_first_id() -> None:
    """Full pages, then the rest, then an end that is asked for twice."""
    board = Board(*range(1, 8))

    pages = list(read(board))

    assert ids(pages) == [7, 6, 5, 4, 3, 2, 1]
    assert [high for high, _ in board.asked] == [TOP, 4, 1]
    assert pages[-1][1] == {"unread": [], "newest": 7, "recent": [7, 6, 5, 4, 3, 2, 1]}


def test_an_end_above_the_first_id_is_asked_for_twice() -> None:
    """An empty answer is believed when it comes again."""
    board = Board(8, 9)

    list(read(board))

    assert [high for high, _ in board.asked] == [TOP, 7, 7]


def test_one_empty_answer_is_not_the_end() -> None:
    """The same ground is asked again."""
    assert ids(read(Board(5, 6, 7, says=([],)))) == [7, 6, 5]


def test_ground_that_the_board_contradicts_itself_on_stays_unread() -> None:
    """It says that there is more and gives nothing: the run ends, and the next one finds it."""
    board = Board(*range(1, 6))
    first, cursor = next(read(board))
    board.says = [None] * DOUBTED_TRIES

    (top, _), *rest = list(read(board, cursor))

    assert (ids([(first, None)]), ids([(top, None)])) == ([5, 4, 3], [])
    assert rest == [([{"id": 2}, {"id": 1}], {"unread": [[TOP, 6]], "newest": 5, "recent": [5, 4, 3, 2, 1]})]
    assert ids(read(board, rest[-1][1])) == []


def test_a_doubted_back_fill_is_found_by_the_next_run() -> None:
    """Nothing below the doubt is lost either."""
    board = Board(*range(1, 6))
    pages = read(board)
    _, _ = next(pages)
    board.says = [None, None, [], None]

    *_, (rows, cursor) = list(pages)

    assert (rows, cursor) == ([], {"unread": [[2, 1]], "newest": 5, "recent": [5, 4, 3]})
    assert ids(read(board, cursor)) == [2, 1]


def test_a_doubt_that_passes_is_none() -> None:
    """A second answer with rows is the answer."""
    assert ids(read(Board(1, 2, says=(None, [])))) == [2, 1]


@pytest.mark.parametrize("says", [[{"id": 5}, {"id": 5}], [{"id": "3"}, {"id": 4}], [{"id": 1}, {"id": 2}]])
def test_ids_that_do_not_fall_are_refused(says: list[Row]) -> None:
    """A board that sorts otherwise would be listed with holes."""
    with pytest.raises(BoardError, match=r"do not fall below .* does not speak Somebody's dialect"):
        list(read(Board(says=(says,))))


def test_a_board_that_ignores_the_edge_is_refused() -> None:
    """The same page for ever would be a loop for ever."""
    page = [{"id": 9}, {"id": 8}]

    with pytest.raises(BoardError, match="do not fall below 8"):
        list(read(Board(says=(page, page))))


def test_rows_without_any_id_are_refused() -> None:
    """Some without are passed over; none at all is another dialect."""
    assert ids(read(Board(says=([{"id": 2}, {}, {"id": 1}],)))) == [2, 1]
    with pytest.raises(BoardError, match="posts without ids"):
        list(read(Board(says=([{}],))))


@pytest.mark.parametrize("seed", range(8))
def test_each_id_comes_once_whatever_happens(seed: int) -> None:
    """Runs are killed after any page, posts arrive, answers are empty or doubtful, limits cut pages."""
    chance = random.Random(seed)
    board = Board()
    seen: list[int] = []
    cursor = None
    for _ in range(8):
        newest = max(board.ids, default=0)
        board.ids |= set(chance.sample(range(newest + 1, newest + 60), chance.randrange(30)))
        board.says = chance.choice([[], [[]], [None], [None] * DOUBTED_TRIES])
        for page, after in islice(read(board, cursor, size=7, limit=chance.choice([None, 10])), chance.randrange(4)):
            seen += ids([(page, after)])
            cursor = after
    board.says = []
    seen += ids(read(board, cursor))

    assert sorted(seen) == sorted(board.ids)


@pytest.mark.parametrize(
    ("value", "number"), [(7, 7), ("7", 7), (True, None), ("-7", None), ("7.0", None), (None, None), ("\u0667", None)]
)
def test_reads_numbers_that_are_strings(value: object, number: int | None) -> None:
    """And nothing that only looks like one."""
    assert whole(value) == number


def test_unread_ids_are_counted() -> None:
    """All gaps together; what lies above all that is known is nobody's to count."""
    assert unread_ids({"unread": [[9, 5], [3, 3]]}) == 6
    assert unread_ids({"unread": [[TOP, 10], [3, 3]]}) == 1
    assert unread_ids({"films": {}}) == 0
