"""Records for tests: every field has a sensible value, the test states only what it is about."""

from __future__ import annotations

import atexit
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.claims import Claims
from pipeline.records import (
    Batch,
    Box,
    Detection,
    FaceCrop,
    HostCount,
    Image,
    Operation,
    Post,
    ReviewDecision,
    Verdict,
)
from pipeline.scrape import FetchFiles, Tally
from pipeline.sources import Source
from pipeline.workers import Calls


def sha256(seed: object) -> str:
    return hashlib.sha256(str(seed).encode()).hexdigest()


def md5(seed: object) -> str:
    return hashlib.md5(str(seed).encode(), usedforsecurity=False).hexdigest()


CALLS = Calls(2)  # for all tests of a process
atexit.register(CALLS.close)


def fetch_files(folder: Path, sources: Mapping[str, Source], **effects: Any) -> FetchFiles:
    """The stage over a data folder, alone and without a memory."""
    return FetchFiles(
        **{
            "sources": sources,
            "parts": folder / "parts",
            "claims": Claims(folder / "claims"),
            "threads": 4,
            "per_host": 4,
            "calls": CALLS,
            "said": lambda _post: None,
            "tally": Tally(),
            **effects,
        }
    )


def post(number: int = 1, **fields: Any) -> Post:
    return Post(
        **{
            "id": f"sandbox:{number}",
            "file_url": f"http://127.0.0.1:1/original/{number}.jpg",
            "page_url": f"https://sandbox.invalid/posts/{number}",
            "md5": md5(number),
            "ext": "jpg",
            "rating": "g",
            "posted_at": datetime(2020, 1, 1, tzinfo=UTC),
            **fields,
        }
    )


def image(seed: object = 1, **fields: Any) -> Image:
    return Image(
        **{
            "sha256": sha256(seed),
            "md5": md5(seed),
            "post_id": f"sandbox:{seed}",
            "width": 800,
            "height": 600,
            "bytes": 1000,
            "format": "JPEG",
            "phash": "0" * 16,
            **fields,
        }
    )


def detection(seed: object = 1, **fields: Any) -> Detection:
    return Detection(
        **{
            "image_sha256": sha256(seed),
            "box": Box(left=10, top=20, width=200, height=200),
            "detector": "animeface",
            "score": 0.9,
            **fields,
        }
    )


def face_crop(seed: object = 1, *, phash: int = 0, **fields: Any) -> FaceCrop:
    return FaceCrop(
        **{
            "sha256": sha256(f"crop {seed}"),
            "detection": detection(seed),
            "side": 300,
            "size": 128,
            "padded": 0.0,
            "phash": f"{phash:016x}",
            "sharpness": 500.0,
            "contrast": 50.0,
            "chroma": 20.0,
            **fields,
        }
    )


def host_count(host: str = "files.invalid", **fields: Any) -> HostCount:
    """A host that has been asked for a hundred seconds."""
    return HostCount(
        **{
            "host": host,
            "waiting": 50,
            "done": 90,
            "failed": 10,
            "bytes": 2**33,
            "began_at": datetime(2026, 1, 2, tzinfo=UTC),
            "at": datetime(2026, 1, 2, 0, 1, 40, tzinfo=UTC),
            **fields,
        }
    )


def decision(crop_sha256: str, verdict: Verdict | None = Verdict.KEEP, **fields: Any) -> ReviewDecision:
    return ReviewDecision(
        **{"crop_sha256": crop_sha256, "verdict": verdict, "decided_at": datetime(2026, 1, 2, tzinfo=UTC), **fields}
    )


def operation(name: str = "op", **fields: Any) -> Operation:
    return Operation(
        **{"id": name, "kind": "page", "reviewer": "kim", "at": datetime(2026, 1, 2, tzinfo=UTC), **fields}
    )


def batch(name: str = "b", **fields: Any) -> Batch:
    return Batch(**{"id": name, "kind": "page", "reviewer": "kim", "at": datetime(2026, 1, 2, tzinfo=UTC), **fields})


def box(left: int = 10, top: int = 20, side: int = 200) -> Box:
    return Box(left=left, top=top, width=side, height=side)
