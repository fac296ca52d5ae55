from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar

from pipeline.records import Post
from pipeline.stage import Kept, Scope, effect, fingerprint
from pipeline.store import Store


@dataclass(frozen=True, kw_only=True)
class _Stage:
    name: ClassVar = "some"
    version: ClassVar = 1
    scope: ClassVar = Scope.ITEM

    since: date | None = None
    tags: frozenset[str] = frozenset()
    client: Any = effect()

    def key(self, item: Post, /) -> str:
        return item.id

    def __call__(self, items: Iterable[Post], _store: Store, /) -> Iterator[Kept[Post, Post]]:
        return (Kept(item, (item,)) for item in items)


class _Later(_Stage):
    version = 2


class _Whole(_Stage):
    scope = Scope.CORPUS


def _stage(**fields: Any) -> _Stage:
    return _Stage(**{"client": None, **fields})


def test_every_field_counts() -> None:
    """Another value is another configuration."""
    assert fingerprint(_stage()) != fingerprint(_stage(since=date(2005, 1, 1)))


def test_the_order_of_a_set_does_not_count() -> None:
    """The same set has the same fingerprint in every process."""
    assert fingerprint(_stage(tags=frozenset("abc"))) == fingerprint(_stage(tags=frozenset("cba")))


def test_effects_do_not_count() -> None:
    """A client or a pool changes no outcome."""
    assert fingerprint(_stage(client=1)) == fingerprint(_stage(client=2))


def test_a_new_version_judges_again() -> None:
    """The code may judge otherwise with the same fields."""
    assert fingerprint(_stage()) != fingerprint(_Later(client=None))


def test_the_dataset_counts_where_all_items_are_seen() -> None:
    """Two datasets in one catalog must not overwrite each other's groups; single items do not care."""
    assert fingerprint(_stage(), "a") == fingerprint(_stage(), "b")
    assert fingerprint(_Whole(client=None), "a") != fingerprint(_Whole(client=None), "b")


def test_a_fingerprint_is_for_ever() -> None:
    """The same in every process, or a catalog would forget what it knows."""
    assert fingerprint(_stage(since=date(2005, 1, 1))) == "7a56491ed45daae8"
