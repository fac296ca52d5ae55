"""A review that is really served on loopback, and a client that speaks as the page does."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from pipeline.review.desk import Desk


@dataclass
class Client:
    """What the page sends, in the name of one reviewer."""

    url: str  # with its token
    reviewer: str = "kim"
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.session.get(self.url, timeout=10)

    @property
    def root(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def get(self, path: str) -> Any:
        answer = self.session.get(self.root + path, headers={"X-Kaoset-Reviewer": self.reviewer}, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, path: str, body: Any) -> requests.Response:
        headers = {"X-Kaoset": "1", "Sec-Fetch-Site": "same-origin", "X-Kaoset-Reviewer": self.reviewer}
        return self.session.post(self.root + path, json=body, headers=headers, timeout=10)

    def post(self, path: str, body: Any) -> Any:
        answer = self.send(path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def claim(self, count: int = 60, filters: str = "", kind: str = "page") -> Any:
        return self.post("/api/batches", {"count": count, "filters": filters, "kind": kind})


def operation(kind: str, **fields: Any) -> dict[str, Any]:
    """What the page sends of something that was done just now."""
    return {"id": str(uuid.uuid4()), "kind": kind, "at": datetime.now(UTC).isoformat(), **fields}


@dataclass(frozen=True)
class Served:
    """A data folder, and its page."""

    url: str
    desk: Desk
    data: Path

    def client(self, reviewer: str = "kim") -> Client:
        return Client(self.url, reviewer)


def keep_one_by_mistake(page: Served) -> str:
    """Reject all low scores but one, in three pages; gives that one when it was learnt that it is doubtful."""
    client = page.client()
    kept = ""
    for _ in range(3):
        given = client.claim(20)
        false = [item["crop"] for item in given["items"] if item["score"] < 0.5]
        kept, false = (kept, false) if kept else (false[0], false[1:])
        client.post("/api/operations", operation("page", batch=given["batch"], marks=dict.fromkeys(false, "reject")))
    end = time.monotonic() + 20
    while not client.get("/api/stats")["doubted"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    return kept
