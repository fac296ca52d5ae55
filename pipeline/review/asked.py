"""Hides what the page may send: each wish is checked field by field before anything is done about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from pipeline.errors import UsageError
from pipeline.records import Verdict

LONGEST_LABEL = 200
MOST_IN_A_PAGE = 240
MOST_SAMPLED = 60  # crops that a person looks at before many are accepted

T = TypeVar("T")
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Id = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z-]{8,64}$")]
Filters = Annotated[str, StringConstraints(max_length=8192)]


class _Wish(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Claimed(_Wish):
    """A page is asked for."""

    count: int = Field(60, ge=1, le=MOST_IN_A_PAGE)
    filters: Filters = ""
    kind: Literal["page", "audit"] = "page"


class Committed(_Wish):
    """A page, or one crop of it, is done."""

    id: Id
    kind: Literal["page", "single"]
    batch: Id
    at: AwareDatetime
    dwell_ms: int = Field(0, ge=0, le=86_400_000)
    marks: dict[Sha256, Verdict] = Field(default_factory=dict, max_length=MOST_IN_A_PAGE)
    default: Literal["keep", "none"] = "keep"  # what is said of what is not marked
    ui: Annotated[str, StringConstraints(max_length=20)] = ""


class Decided(_Wish):
    """One crop is decided on, where it was looked at closely."""

    id: Id
    kind: Literal["single"]
    at: AwareDatetime
    crop: Sha256
    verdict: Verdict


class Labelled(_Wish):
    """Crops are given a name, or lose theirs."""

    id: Id
    kind: Literal["label"]
    at: AwareDatetime
    crops: Annotated[list[Sha256], Field(min_length=1, max_length=MOST_IN_A_PAGE)]
    label: Annotated[str, StringConstraints(max_length=LONGEST_LABEL, strip_whitespace=True)]
    family: bool = True  # near-copies too


class Undone(_Wish):
    """What was done is taken back: all of it, or what was said of some crops."""

    id: Id
    kind: Literal["undo"]
    at: AwareDatetime
    undoes: Id
    crops: list[Sha256] | None = Field(None, max_length=MOST_IN_A_PAGE)


class Accepted(_Wish):
    """All crops from some score on are accepted at once."""

    id: Id
    kind: Literal["bulk"]
    at: AwareDatetime
    filters: Filters
    least: float = Field(ge=0, le=1)
    expect: int = Field(ge=1)  # how many the person was told of
    sampled: list[Sha256] = Field(default_factory=list, max_length=MOST_SAMPLED)


Wish = Committed | Decided | Labelled | Undone | Accepted

_ONE, _ALONE = TypeAdapter[Wish](Committed), TypeAdapter[Wish](Decided)
_KINDS: dict[str, TypeAdapter[Wish]] = {
    "page": _ONE,
    "label": TypeAdapter(Labelled),
    "undo": TypeAdapter(Undone),
    "bulk": TypeAdapter(Accepted),
}


def claimed(body: object) -> Claimed:
    """Read what page is asked for.

    Raises:
        UsageError: It cannot be read.
    """
    return _read(TypeAdapter(Claimed), body)


def wish(body: object) -> Wish:
    """Read what was done.

    Raises:
        UsageError: It cannot be read.
    """
    if not isinstance(body, Mapping):
        raise UsageError("an operation is an object with a kind")
    kind = body.get("kind")
    if kind == "single":
        return _read(_ONE if "batch" in body else _ALONE, body)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise UsageError(f"kind {str(kind)[:40]!r}: unknown; use single, {', '.join(_KINDS)}")
    return _read(_KINDS[kind], body)


def digest(body: object) -> str:
    """Name the content of a wish, so that the same one sent again is known."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def when(said: datetime, now: datetime) -> datetime:
    """Believe the time that a browser says, unless it lies in the future: pages may wait offline for days."""
    return min(said, now)


def _read(adapter: TypeAdapter[T], body: object) -> T:
    try:
        return adapter.validate_json(json.dumps(body))  # as JSON, so that times are read from texts
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part)[:40] for part in first["loc"])
        raise UsageError(f"{where or 'the request'}: {first['msg']}") from error
