from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given as for_any
from hypothesis import strategies as st

from pipeline.manifest import split_of
from pipeline.records import GivenSplit
from pipeline.splits import Place, divide, episode_of

SHARES = {"train": 0.5, "validation": 0.2, "test": 0.3}


def _place(image: str, family: str = "", episode: str = "") -> Place:
    return Place(image=image, family=family or image, episode=episode)


def _divide(places: list[Place], given: dict[str, GivenSplit] | None = None, seed: int = 0) -> list[str]:
    return divide(places, given or {}, seed, SHARES)


def _given(round_: int, split: str, *names: str) -> dict[str, GivenSplit]:
    return {name: GivenSplit(split=split, round=round_) for name in names}


def _released(places: Iterable[Place], splits: Iterable[str], before: dict[str, GivenSplit]) -> dict[str, GivenSplit]:
    """What the catalog remembers after a release."""
    now = max((one.round for one in before.values()), default=0) + 1
    new = {
        name: GivenSplit(split=split, round=now)
        for place, split in zip(places, splits, strict=True)
        if split
        for name in place.names
    }
    return {**new, **before}


def test_what_is_new_is_divided_by_its_family() -> None:
    """By chance that hangs on the seed and the family's name alone."""
    places = [_place(f"{number}", f"f{number // 2}") for number in range(40)]

    splits = _divide(places)

    assert splits == [split_of(place.family, 0, SHARES) for place in places]
    assert splits != _divide(places, seed=1)


def test_what_was_released_stays_where_it_was() -> None:
    """Other shares, another seed and another name of its family move nothing."""
    given = _given(1, "test", "image a", "family f")

    assert divide([_place("a", "g")], given, 7, {"train": 1.0}) == ["test"]


def test_what_joins_a_family_goes_where_the_family_stands() -> None:
    """Whether the others of it are still there or have given way."""
    given = _given(1, "test", "image a", "family a") | _given(1, "validation", "image b", "family b")

    assert _divide([_place("a"), _place("new", "a"), _place("newer", "b")], given) == ["test", "test", "validation"]


def test_where_two_families_meet_the_older_stays() -> None:
    """What was released later is left out, and so nothing is on two sides and nothing has moved."""
    given = _given(1, "test", "image a", "family a") | _given(2, "train", "image b", "family b")

    assert _divide([_place("a", "a"), _place("b", "a"), _place("link", "a")], given) == ["test", "", "test"]


def test_of_two_of_one_age_the_first_split_stays() -> None:
    """In the order of the shares, whatever comes first or is more: so the next release says the same."""
    given = _given(1, "test", "image a", "family a", "image c") | _given(1, "train", "image b", "family b")

    assert _divide([_place("a", "a"), _place("b", "a"), _place("c", "a")], given) == ["", "train", ""]


def test_a_near_copy_of_what_another_split_had_is_left_out() -> None:
    """Also where the one that was released is in the dataset no more."""
    given = _given(1, "test", "image gone", "family f") | _given(2, "train", "image b")

    assert _divide([_place("b", "f")], given) == [""]


def test_a_film_stays_together() -> None:
    """Frames of many families, in one split."""
    splits = _divide([_place(f"{number}", episode="video:1.mkv") for number in range(40)])

    assert set(splits) == {split_of("video:1.mkv", 0, SHARES)}


def test_new_frames_go_where_their_film_stands() -> None:
    """Also those of which no near-copy was released."""
    given = _given(1, "validation", "image a", "family a", "episode video:1.mkv")

    assert _divide([_place("b", episode="video:1.mkv")], given) == ["validation"]


def test_what_two_films_share_stands_on_one_side() -> None:
    """The frame of the film that came later is left out, its other frames are not."""
    given = _given(1, "train", "image a", "family f", "episode v:1") | _given(2, "test", "image b", "episode v:2")
    places = [_place("a", "f", "v:1"), _place("b", "b", "v:2"), _place("opening", "f", "v:2")]

    assert _divide(places, given) == ["train", "test", ""]


def test_films_that_were_divided_by_family_are_put_right_by_leaving_out() -> None:
    """What was released does not move; of each film the side that is older stays."""
    given = _given(1, "test", "image a") | _given(2, "train", "image b") | _given(2, "test", "image c")

    assert _divide([_place(one, episode="v:1") for one in "abc"], given) == ["test", "", "test"]


def test_the_film_of_a_frame_is_in_its_id() -> None:
    """Whatever signs its name holds; a post of a board is of no film."""
    assert episode_of("season:ep 1@x#2.mkv@00012500#deadbeef", {"season"}) == "season:ep 1@x#2.mkv"
    assert episode_of("danbooru:1@2", {"season"}) == ""


@for_any(st.lists(st.lists(st.tuples(*[st.integers(0, 9)] * 3), max_size=12), min_size=1, max_size=5))
def test_no_history_makes_anything_move_or_leak(releases: list[list[tuple[int, int, int]]]) -> None:
    """Whatever is joined and parted: a family and a film stand on one side, and no image ever changes."""
    given: dict[str, GivenSplit] = {}
    first: dict[str, str] = {}
    for release in releases:
        places = [
            Place(image=f"{image}", family=f"f{family}", episode=f"v:{film}" if film < 5 else "")
            for image, family, film in {one[0]: one for one in release}.values()
        ]
        splits = _divide(places, given)

        stand = [(place, split) for place, split in zip(places, splits, strict=True) if split]
        assert all(first.setdefault(place.image, split) == split for place, split in stand)
        for groups in ([place.family for place, _ in stand], [place.episode or place.image for place, _ in stand]):
            seen: dict[str, str] = {}
            assert all(seen.setdefault(group, split) == split for group, (_, split) in zip(groups, stand, strict=True))
        given = _released(places, splits, given)
