"""Hides what the page is told of a crop: its numbers, the whole way it came, who it may be, what others said."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.catalog import Catalog
from pipeline.errors import StoreError, UsageError
from pipeline.records import Batch, BatchItem, Operation, Post, ReviewDecision
from pipeline.review.desk import Desk, Page
from pipeline.review.names import RECENT, Name, by_look, find
from pipeline.review.wanted import Wanted

MOST_LABELLED = 2000  # crops with a name that others are held against
MOST_TAGS = 200
MOST_PICTURED = 16 << 20  # bytes of pictures in one answer
LEAST_SURE = 0.3  # of a name that is proposed
_WEB = ("http://", "https://")


def page_json(desk: Desk, given: Page) -> dict[str, Any]:
    """Tell a page."""
    return {
        "batch": given.batch.id if given.batch.items else None,
        "kind": given.batch.kind,
        "until": given.until.isoformat(),
        "order": given.batch.ranker,
        "left": given.left,
        "waiting_on": given.waiting_on,
        "done": given.done,
        "items": items_json(desk, given.batch.items),
    }


def pictures_json(desk: Desk, batch: Batch) -> dict[str, str]:
    """Give the pictures of a page at once, in base64: a browser asks for one much sooner than for sixty.

    What is missing, or is more than `MOST_PICTURED` bytes in all, is left out; each can be asked for by itself.
    """
    pictures: dict[str, str] = {}
    room = MOST_PICTURED
    for item in batch.items:
        try:
            png = desk.store.get(item.crop)
        except StoreError:
            continue
        room -= len(png)
        if room < 0:
            break
        pictures[item.crop] = base64.b64encode(png).decode()
    return pictures


def items_json(desk: Desk, items: Sequence[BatchItem]) -> list[dict[str, Any]]:
    """Tell of the crops of a page; a seed looks like the others."""
    rows = [desk.shelf.row(item.crop) for item in items]
    known = [row for row in rows if row is not None]
    suggested = dict(zip(known, _suggested(desk, known), strict=True))
    usual = known[len(known) // 2] if known else None
    return [
        _item(desk, item, usual if row is None else row, suggested.get(row) if row is not None else None)
        for item, row in zip(items, rows, strict=True)
    ]


def _item(desk: Desk, item: BatchItem, row: int | None, suggest: Mapping[str, float] | None) -> dict[str, Any]:
    said: dict[str, Any] = {"crop": item.crop, "members": len(item.members), "verdict": None, "label": None}
    if row is None:  # nothing but seeds: there is no other to look like
        return {**said, "size": 0, "score": 0.0, "detector": "", "agreed": False, "source": "", "side": 0, "reason": ""}
    shelf = desk.shelf
    standing = None if item.seed or item.second else desk.said.standing(item.crop)
    label, confidence = max(suggest.items(), key=lambda pair: (pair[1], pair[0])) if suggest else ("", 0.0)
    return {
        **said,
        "size": int(shelf["size"][row]),
        "score": round(float(shelf["score"][row]), 4),
        "detector": shelf.word("detector", row),
        "agreed": bool(shelf["agreed"][row]),
        "source": shelf.word("source", row),
        "side": int(shelf["side"][row]),
        "reason": shelf.word("reason", row),
        "verdict": standing.verdict if standing else None,
        "label": (standing.label or None) if standing else None,
        "suggest": {"label": label, "confidence": confidence} if confidence >= LEAST_SURE else None,
    }


def _suggested(desk: Desk, rows: Sequence[int]) -> list[dict[str, float]]:
    """Say who each crop may be, by the labelled crops that look like it."""
    labelled, labels = desk.labelled()
    labelled, labels = labelled[-MOST_LABELLED:], labels[-MOST_LABELLED:]
    if not len(labelled) or not rows:
        return [{} for _ in rows]
    found = desk.ranking.embedded(np.array(rows, np.int64))
    known = desk.ranking.embedded(labelled)
    return by_look(found, known, labels)


def crop_json(desk: Desk, sha256: str, reviewer: str) -> dict[str, Any]:
    """Tell the whole way of a crop.

    Raises:
        UsageError: It is not here.
    """
    row = desk.shelf.row(sha256)
    if row is None:
        return _planted(desk, sha256)
    blind = desk.blind(reviewer)
    shelf = desk.shelf
    image = int(shelf["image"][row])
    siblings = [int(one) for one in np.flatnonzero(shelf["image"] == image)]
    members = [int(one) for one in shelf.members(row) if one != row]
    width, height = map(int, shelf["whole"][row])
    post = desk.catalog.post(shelf.words["post"][int(shelf["post"][row])])
    evidence = _evidence(desk.catalog, [shelf.sha256(one) for one in siblings])
    return {
        "crop": sha256,
        "image": {"width": width, "height": height},
        "boxes": [_box(desk, one, evidence, hidden=shelf.sha256(one) in blind, this=one == row) for one in siblings],
        "post": _post(post),
        "members": items_json(desk, [_alone(shelf.sha256(one)) for one in members]),
        "siblings": items_json(desk, [_alone(shelf.sha256(one)) for one in siblings if one != row]),
        "history": [] if sha256 in blind else _history(desk, sha256),
        "window": _window(desk, row),
    }


def _alone(crop: str) -> BatchItem:
    return BatchItem(crop=crop, members=(crop,))


def _planted(desk: Desk, sha256: str) -> dict[str, Any]:
    seed = desk.planted.get(sha256)
    if seed is None:
        raise UsageError(f"{sha256[:12]}: no such crop here; load the page again")
    box = {**seed.box.to_json(), "score": None, "detector": "", "agreed": False, "evidence": []}
    return {
        "crop": sha256,
        "image": {"width": seed.whole[0], "height": seed.whole[1]},
        "boxes": [{**box, "crop": sha256, "this": True, "verdict": None, "reason": "waiting"}],
        "post": None,
        "members": [],
        "siblings": [],
        "history": [],
        "window": {"left": seed.box.left, "top": seed.box.top, "side": seed.box.width, "turned": 0.0},
    }


def image_of(desk: Desk, sha256: str) -> str:
    """Name the image that a crop was cut from.

    Raises:
        UsageError: The crop is not here.
    """
    row = desk.shelf.row(sha256)
    if row is not None:
        return desk.shelf.image_sha256(row)
    if sha256 in desk.planted:
        return desk.planted[sha256].image_sha256
    raise UsageError(f"{sha256[:12]}: no such crop here; load the page again")


def _box(desk: Desk, row: int, evidence: Mapping[str, Any], *, hidden: bool, this: bool) -> dict[str, Any]:
    sha256 = desk.shelf.sha256(row)
    standing = None if hidden else desk.said.standing(sha256)
    return {
        **desk.shelf.box(row).to_json(),
        "score": round(float(desk.shelf["score"][row]), 4),
        "detector": desk.shelf.word("detector", row),
        "agreed": bool(desk.shelf["agreed"][row]),
        "evidence": evidence.get(sha256, []),
        "crop": sha256,
        "this": this,
        "verdict": standing.verdict if standing else None,
        "reason": desk.shelf.word("reason", row),
    }


def _evidence(catalog: Catalog, crops: Sequence[str]) -> dict[str, Any]:
    known = catalog.face_crops(crops)
    return {name: [list(pair) for pair in crop.detection.evidence] for name, crop in known.items()}


def _window(desk: Desk, row: int) -> dict[str, Any]:
    shelf = desk.shelf
    left, top, turned = (float(shelf[name][row]) for name in ("left", "top", "turned"))
    return {"left": left, "top": top, "side": int(shelf["side"][row]), "turned": turned}


def _post(post: Post | None) -> dict[str, Any] | None:
    if post is None:
        return None
    return {
        "id": post.id,
        "page_url": post.page_url if post.page_url.startswith(_WEB) else None,  # nothing else becomes a link
        "rating": post.rating,
        "posted_at": post.posted_at.isoformat() if post.posted_at else None,
        "tags": list(post.tags[:MOST_TAGS]),
        "artists": list(post.artists[:MOST_TAGS]),
    }


def _history(desk: Desk, sha256: str) -> list[dict[str, Any]]:
    stands = {(one.op, one.decided_at) for one in desk.said.stacks.get(sha256, ())}
    rows = [one for one in desk.catalog.decisions_on(sha256) if one.verdict is not None]
    return [_told(one, undone=(one.op, one.decided_at) not in stands) for one in rows]


def _told(one: ReviewDecision, *, undone: bool) -> dict[str, Any]:
    at = one.decided_at.isoformat()
    return {
        "verdict": one.verdict,
        "label": one.label,
        "reviewer": one.reviewer,
        "via": one.via,
        "at": at,
        "undone": undone,
    }


# --- names ------------------------------------------------------------------------------------------------------------


def names_json(desk: Desk, text: str, crop: str | None, reviewer: str) -> dict[str, Any]:
    """Tell which names may be meant."""
    row = desk.shelf.row(crop) if crop else None
    looks = _suggested(desk, [row])[0] if row is not None else {}
    near = {label: sure for label, sure in looks.items() if sure >= LEAST_SURE}
    own = _own_tags(desk, row)
    sources = [("used", desk.said.labels()), ("tag", own), ("tag", _characters(desk) if text else {})]
    return {"labels": [_name(one) for one in find(text, sources, near)], "recent": _recent(desk, reviewer)}


def _name(one: Name) -> dict[str, Any]:
    return {
        "label": one.label,
        "count": one.count,
        "match": one.match,
        "from": one.origin,
        "confidence": one.confidence,
    }


def _own_tags(desk: Desk, row: int | None) -> Counter[str]:
    """Give who a board says to be in the picture."""
    post = None if row is None else desk.catalog.post(desk.shelf.words["post"][int(desk.shelf["post"][row])])
    return Counter(post.characters) if post else Counter()


def _characters(desk: Desk) -> dict[str, int]:
    """Count the posts of each character; where no board says which tags are characters, of each tag."""
    tags, starts = desk.shelf.tags, desk.shelf.tag_starts
    characters = set(desk.shelf.words["character"]) or set(tags)
    return {tag: int(starts[place + 1] - starts[place]) for place, tag in enumerate(tags) if tag in characters}


def _recent(desk: Desk, reviewer: str) -> list[str]:
    found: dict[str, None] = {}
    for crop in reversed(desk.said.order):
        for one in reversed(desk.said.stacks.get(crop, ())):
            if one.label and one.reviewer == reviewer:
                found[one.label] = None
        if len(found) >= RECENT:
            break
    return list(found)[:RECENT]


# --- what was done ----------------------------------------------------------------------------------------------------


def operations_json(operations: Iterable[Operation]) -> list[dict[str, Any]]:
    """Tell what a person did, newest first."""
    done = list(operations)
    undone = {one.undoes for one in done if one.kind == "undo"}
    return [_operation(one, undone=one.id in undone) for one in done]


def _operation(one: Operation, *, undone: bool) -> dict[str, Any]:
    about = json.loads(one.about or "{}")
    return {
        "id": one.id,
        "kind": one.kind,
        "at": one.at.isoformat(),
        "reviewer": one.reviewer,
        "undone": undone,
        "crops": about.get("crops", 0),
        "rejected": about.get("rejected", 0),
        "batch": one.batch,
    }


def bulk_json(desk: Desk, wanted: Wanted, least: float, count: int) -> dict[str, Any]:
    """Tell what would be accepted at once, with a sample that chance chooses."""
    rows = desk.bulk_rows(wanted, least)
    sample = [_alone(desk.shelf.sha256(row)) for row in desk.sample(rows, count)]
    units = len(np.unique(desk.shelf["unit"][rows]))
    return {"count": len(rows), "units": units, "sample": items_json(desk, sample)}
