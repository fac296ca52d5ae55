"""What a host can answer, and the signals by which the rest of this package tells one kind of failure from another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import urllib3

from pipeline.errors import BoardError, WorldError
from pipeline.records import Reason


@dataclass(frozen=True, slots=True)
class Fetched:
    """The whole file lies at the path that was given."""

    md5: str  # measured
    bytes: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The file cannot be had; *detail* is for people and does not vary between runs."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class WebPage:
    """A page as it came; its encoding is its reader's business."""

    url: str  # where it lay in the end, after all redirects
    body: bytes
    version: Mapping[str, str]  # what to give as `known` the next time; empty where the host does not say


# A rule over the headers of a file's answer; None where it has nothing against it.
Objection = Callable[[urllib3.HTTPHeaderDict], Refused | None]


class Gone(BoardError):  # noqa: N818  it says what the page is
    """The host answers 404 or 410: there is no such page, or there is none any more."""


class Stopped(WorldError):  # noqa: N818  nothing went wrong: somebody wished it
    """`Client.stop` was set while something was under way; what is on the disk is gone on with next time."""

    def __init__(self) -> None:
        super().__init__("stopped before it was done; the same command goes on from here")


class TryAgain(Exception):  # noqa: N818  a signal inside this package, not an error that anybody is told of
    """The answer was not whole; another try may bring it."""

    def __init__(self, why: str, *, wait_s: float | None = None, hold: str = "", connected: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.wait_s = wait_s  # as the host asks
        self.hold = hold  # the address whose host asks everybody to wait, not this request alone
        self.connected = connected
        self.counts = True
        self.advice = ""  # what a person should do, where it is not plain


class TooSlow(TryAgain):
    """We cut it ourselves; so it counts although it gained bytes, or a trickle would hold its thread for days."""


class NeverError(Exception):
    """No further try would bring another answer."""

    def __init__(self, why: str, status: int = 0, advice: str = "", reason: Reason = Reason.FORBIDDEN) -> None:
        super().__init__(why)
        self.why = why
        self.status = status
        self.advice = advice
        self.reason = reason
