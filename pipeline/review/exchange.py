"""Decisions as JSON lines: what was said of a face goes from one data folder to another, and nothing is said twice."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pipeline.catalog import Catalog
from pipeline.decided import take
from pipeline.errors import UsageError
from pipeline.near import HASH
from pipeline.records import Box, FaceCrop, Operation, ReviewDecision, Verdict, utc

VERSION = 1
LONGEST_LINE = 20_000  # characters
LONGEST_NAME = 200  # characters of a label, a reviewer or an operation
LARGEST = 2**31  # pixels; no picture is as large
AT_ONCE = 5000  # decisions whose crops are looked up in one go

_SHA256 = re.compile("[0-9a-f]{64}")
_VIA = re.compile("[a-z][a-z_-]{0,39}")
_SHOWN = 40  # characters of a value that is wrong
_NEVER_TEXT = frozenset({"Cc", "Cs"})  # control signs, and halves of signs, which no database takes

Identity = tuple[str, str, str | None, str, datetime, str]


def export_lines(catalog: Catalog) -> Iterator[str]:
    """Give each row that was ever decided, in its order, as a line of JSON that says by itself which face it is about.

    A line holds nothing but ASCII, so that no program takes a sign of a label for the end of a line.
    """
    decisions = catalog.all_decisions()
    for low in range(0, len(decisions), AT_ONCE):
        some = decisions[low : low + AT_ONCE]
        known = catalog.face_crops({one.crop_sha256 for one in some if one.box is None})
        for one in some:
            yield json.dumps({"v": VERSION, **located(one, known.get(one.crop_sha256)).to_json()})


def located(decision: ReviewDecision, crop: FaceCrop | None) -> ReviewDecision:
    """Say in a decision of an older kaoset which face it is about; where nobody knows, it stays as it is."""
    if decision.box is not None or crop is None:
        return decision
    return replace(
        decision,
        image_sha256=crop.detection.image_sha256,
        box=crop.detection.box,
        phash=crop.phash,
        family=decision.family or crop.family,
    )


def read_lines(lines: Iterable[str], where: str) -> list[ReviewDecision]:
    """Read what `export_lines` wrote; whoever wrote it is not trusted.

    Args:
        lines: Empty ones are passed over.
        where: What they come from, for errors.

    Raises:
        UsageError: A line is not what it must be; nothing of the rest is read.
    """
    decisions = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                decisions.append(_read(line))
            except UsageError as error:
                raise UsageError(f"{where}, line {number}: {error}") from error
    return decisions


def import_decisions(
    catalog: Catalog,
    decisions: Sequence[ReviewDecision],
    source_digest: str = "",
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> tuple[int, int]:
    """Append decisions that were made elsewhere, all or none; what is there already is passed over.

    They come after all that was said here, so where both speak of one crop they are the last word.

    Args:
        catalog: Where they go.
        decisions: In their order.
        source_digest: Of where they come from; "": of their content.
        clock: Gives the time, aware.

    Returns:
        How many were new, and how many were there.
    """
    here = catalog.all_decisions()
    known = {_identity(one) for one in here}
    new: list[ReviewDecision] = []
    for one in _named(decisions):
        if _identity(one) not in known:
            known.add(_identity(one))
            new.append(one)
    if not new:
        return 0, len(decisions)
    # Two that take in the same at once do one thing, by this name; rows are never removed, so their number is no news.
    content = source_digest or _digest(decisions)
    about = json.dumps({"crops": len({one.crop_sha256 for one in new}), "decisions": len(new), "source": content})
    name = f"import-{hashlib.sha256(f'{len(here)} {content}'.encode()).hexdigest()[:32]}"
    done = Operation(id=name, kind="import", reviewer="", at=clock(), about=about)
    written = catalog.operate(done, new, content)
    return (len(new), len(decisions) - len(new)) if written else (0, len(decisions))


def _named(decisions: Iterable[ReviewDecision]) -> Iterator[ReviewDecision]:
    """Say by name what is taken back where a row says "the last": here another may be the last."""
    stacks: dict[str, list[ReviewDecision]] = {}
    for one in decisions:
        stack = stacks.setdefault(one.crop_sha256, [])
        bare = one.verdict is None and not one.undoes and stack
        yield replace(one, undoes=stack[-1].op) if bare else one
        take(stack, one)


def _identity(one: ReviewDecision) -> Identity:
    return one.crop_sha256, one.verdict or "", one.label, one.reviewer, utc(one.decided_at), one.op


def _digest(decisions: Iterable[ReviewDecision]) -> str:
    text = json.dumps([one.to_json() for one in decisions])
    return hashlib.sha256(text.encode()).hexdigest()


# --- a line -----------------------------------------------------------------------------------------------------------


def _read(line: str) -> ReviewDecision:
    if len(line) > LONGEST_LINE:
        raise UsageError(f"{len(line):,} characters are no decision; at most {LONGEST_LINE:,} are")
    try:
        body = json.loads(line, parse_constant=_no_number)
    except RecursionError as error:
        raise UsageError("too deeply nested; give what `flow review export` wrote") from error
    except ValueError as error:
        raise UsageError(f"no JSON ({error}); give what `flow review export` wrote") from error
    if not isinstance(body, dict):
        raise UsageError(f"{_shown(body)} is no object; give what `flow review export` wrote")
    version = body.pop("v", None)
    if type(version) is not int or version != VERSION:
        raise UsageError(f"v: {_shown(version)} is not known here, {VERSION} is; update kaoset")
    strange = sorted(body.keys() - _READERS.keys())
    if strange:
        raise UsageError(f"{_shown(strange[0])} is not known here; known are {', '.join(_READERS)}")
    lacking = [name for name in ("crop_sha256", "verdict", "decided_at") if name not in body]
    if lacking:
        raise UsageError(f"{lacking[0]} is missing")
    one = ReviewDecision(**{name: read(name, body[name]) for name, read in _READERS.items() if name in body})
    if one.undoes and one.verdict is not None:
        raise UsageError("undoes: what takes something back has no verdict of its own; give null")
    if (one.box is None) == bool(one.image_sha256):
        raise UsageError("image_sha256 and box: one says nothing without the other; give both or none")
    return one


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _shown(value: object) -> str:
    said = repr(value)
    return said if len(said) <= _SHOWN else f"{said[: _SHOWN - 1]}…"


def _sha256(name: str, value: object) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise UsageError(f"{name}: {_shown(value)} is no SHA-256; give 64 hexadecimal digits in lower case")
    return value


def _sha256_or_none(name: str, value: object) -> str:
    return "" if value == "" else _sha256(name, value)


def _verdict(name: str, value: object) -> Verdict | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in set(Verdict):
        raise UsageError(f"{name}: {_shown(value)} is no verdict; give {', '.join(Verdict)} or null")
    return Verdict(value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{name}: {_shown(value)} is no text")
    if len(value) > LONGEST_NAME:
        raise UsageError(f"{name}: {len(value):,} characters are too many; at most {LONGEST_NAME} are allowed")
    if any(unicodedata.category(one) in _NEVER_TEXT for one in value):
        raise UsageError(f"{name}: {_shown(value)} holds what is no text; leave out control signs")
    return value


def _text_or_none(name: str, value: object) -> str | None:
    return None if value is None else _text(name, value)


def _way(name: str, value: object) -> str:
    if not isinstance(value, str) or not _VIA.fullmatch(value):
        raise UsageError(f"{name}: {_shown(value)} is no way to decide; give a word as cli, grid or explicit")
    return value


def _time(name: str, value: object) -> datetime:
    if not isinstance(value, str):
        raise UsageError(f"{name}: {_shown(value)} is no time; give one as 2026-01-02T03:04:05+00:00")
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise UsageError(f"{name}: {_shown(value)} does not say in which zone; end it with +00:00 for UTC")
        return utc(moment)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{name}: {_shown(value)} is no time; give one as 2026-01-02T03:04:05+00:00") from error


def _box(name: str, value: object) -> Box | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.keys() != {"left", "top", "width", "height"}:
        raise UsageError(f"{name}: {_shown(value)} is no box; give left, top, width and height in pixels")
    for side, pixels in value.items():
        if type(pixels) is not int or abs(pixels) > LARGEST:
            raise UsageError(f"{name}: {side}: {_shown(pixels)} is no number of pixels")
    if value["width"] < 1 or value["height"] < 1:
        raise UsageError(f"{name}: {_shown(value)} holds nothing; width and height are at least 1")
    return Box(**value)


def _phash(name: str, value: object) -> str:
    if value == "":
        return ""
    if not isinstance(value, str) or not HASH.fullmatch(value):
        raise UsageError(f"{name}: {_shown(value)} is no perceptual hash; give 16 hexadecimal digits")
    return value.lower()


_READERS: dict[str, Callable[[str, object], Any]] = {
    "crop_sha256": _sha256,
    "verdict": _verdict,
    "label": _text_or_none,
    "reviewer": _text,
    "via": _way,
    "decided_at": _time,
    "op": _text,
    "undoes": _text,
    "image_sha256": _sha256_or_none,
    "box": _box,
    "phash": _phash,
    "family": _text,
}
