"""What a stage is: a frozen configuration that turns a stream of items into a stream of outcomes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

from pipeline.records import Reason, Record
from pipeline.store import Store

In = TypeVar("In", bound=Record)
Out = TypeVar("Out", bound=Record)
In_contra = TypeVar("In_contra", bound=Record, contravariant=True)


class Scope(Enum):
    """How much a stage must see to judge one item."""

    ITEM = "item"  # the item alone: judge what is new, remember the rest
    CORPUS = "corpus"  # all the others too: judge everything again when anything is new


@dataclass(frozen=True, slots=True)
class Kept(Generic[In, Out]):
    """*item* goes on, as *outputs* (at least one)."""

    item: In
    outputs: tuple[Out, ...]


@dataclass(frozen=True, slots=True)
class Dropped(Generic[In]):
    """*item* ends here, because of *reason*; *detail* is for people and must not vary between runs."""

    item: In
    reason: Reason
    detail: str = ""


Outcome = Kept[In, Out] | Dropped[In]


class Stage(Protocol[In_contra]):
    """A frozen dataclass whose fields are its whole configuration.

    Effects that do not change an outcome (a client, a pool of workers, a clock) are fields made by `effect()`: they
    stay out of the fingerprint.
    """

    name: ClassVar[str]
    version: ClassVar[int]  # raised when the code judges differently with the same fields
    scope: ClassVar[Scope]

    def key(self, item: In_contra, /) -> str:
        """Name *item* in the catalog; two items of a run never share a key."""
        ...

    def __call__(self, items: Iterable[In_contra], store: Store, /) -> Iterator[Outcome[Any, Any]]:
        """Give exactly one outcome for each of *items*, in any order."""
        ...


@runtime_checkable
class Settles(Protocol):
    """A stage that keeps something for the case of a kill."""

    def settled(self, items: Iterable[Any], /) -> None:
        """Learn that the outcomes of *items* are in the catalog."""
        ...


def effect(**default: Any) -> Any:
    """Declare a dataclass field that does something and configures nothing; *default* is as for `field`."""
    return field(compare=False, repr=False, metadata={"effect": True}, **default)


def fingerprint(stage: Stage[Any], corpus: str = "") -> str:
    """Hash the stage's name, version and configuration: 16 hexadecimal digits.

    Args:
        stage: A frozen dataclass.
        corpus: What a `Scope.CORPUS` stage was shown; two datasets must not overwrite each other's groups.
    """
    fields = {
        f.name: getattr(stage, f.name)
        for f in dataclasses.fields(stage)  # type: ignore[arg-type]
        if not f.metadata.get("effect")
    }
    scope = corpus if stage.scope is Scope.CORPUS else ""
    text = json.dumps([stage.name, stage.version, scope, fields], sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class StageReport:
    """What a stage did; `seen == kept + sum(dropped.values())`, always."""

    stage: str
    seen: int
    kept: int
    dropped: dict[str, int]  # by reason, in the order of Reason
    judged: int  # how many of `seen` were new to this run
    seconds: (
        float  # of this run, on the clock, in the stage's own turn; what was judged beside another is in that one's
    )
    fingerprint: str = ""  # of the configuration that judged, where a stage did
