"""The command that asks which images of the data folder are like pictures that somebody gives, and how it tells it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.show import Display, counted, harmless
from pipeline.catalog import Catalog
from pipeline.errors import UsageError
from pipeline.folder import DataFolder
from pipeline.known import Answer, Match, ask
from pipeline.recipe import ScrapeSection
from pipeline.sources.folder import PICTURES, files_below
from pipeline.workers import Workers

MAX_PIXELS: int = ScrapeSection().max_pixels
TIMEOUT_S = 60.0  # for one picture


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A picture, by the path under which it was found, with what is like it or what is wrong with it."""

    path: Path
    said: Answer | str

    def lines(self) -> Iterator[str]:
        """Tell it to people."""
        if isinstance(self.said, str):
            yield harmless(f"{self.path}: {self.said}")
            return
        count = counted(len(self.said.matches), "image") if self.said.matches else "nothing"
        yield harmless(f"{self.path}: {self.said.width} x {self.said.height}: {count} like it")
        for one in self.said.matches:
            size = f"{one.width} x {one.height}, {_larger(self.said, one)}"
            yield harmless(f"  {one.alike.likeness} ({one.alike.how})  {size}  {one.sha256}")
            yield from (harmless(f"    {post_id}  {page_url}").rstrip() for post_id, page_url in one.posts.items())
        if self.said.passed_over:
            yield f"  {self.said.passed_over:,} more have near hashes and were not compared; try a smaller --distance"

    def to_json(self) -> dict[str, Any]:
        """Tell it to programs."""
        if isinstance(self.said, str):
            return {"picture": str(self.path), "bad": self.said}
        return {
            "picture": str(self.path),
            "sha256": self.said.sha256,
            "width": self.said.width,
            "height": self.said.height,
            "like": [_match(self.said, one) for one in self.said.matches],
            "passed_over": self.said.passed_over,
        }


def near(
    pictures: Sequence[Path], catalog: Catalog, folder: DataFolder, distance: int, workers: int, shown: Display
) -> list[Told]:
    """Ask for each picture, and for each in the folders among them, which images of the data folder are like it.

    Args:
        pictures: Files, whatever their names end with, and folders.
        catalog: Of the data folder.
        folder: The data folder; no work is forgotten there meanwhile.
        distance: Bits of 64 by which the perceptual hashes of what is compared may differ.
        workers: Processes that decode and compare; 0: one a core.
        shown: Where progress is shown.

    Raises:
        UsageError: One of them is not there, or a folder holds no picture.
        StoreError: An image is not in the store, or the index of hashes cannot be written.
    """
    files = [file for one in pictures for file in _files(one)]
    count = min(workers or os.cpu_count() or 1, len(files))
    found = []
    with folder.enter(), Workers(count, timeout_s=TIMEOUT_S) as pool:
        for path, said in ask(files, folder, catalog, pool, distance, MAX_PIXELS):
            found.append(Told(path=path, said=said))
            shown.progress("near", len(found), len(files))
    return found


def _files(given: Path) -> list[Path]:
    if os.path.isfile(given):  # noqa: PTH113 -- Path.is_file raises where a name is too long
        return [given]
    if not os.path.isdir(given):  # noqa: PTH112
        raise UsageError(f"{given}: no file there; give pictures, or folders of them")
    files = list(files_below(Path(os.path.realpath(given)), PICTURES))
    if not files:
        raise UsageError(f"{given}: holds no pictures; give a folder of {', '.join(sorted(PICTURES))}")
    return files


def _larger(given: Answer, known: Match) -> str:
    """Say of the image of the data folder how large it is beside the picture."""
    mine, its = given.width * given.height, known.width * known.height
    return "as large" if mine == its else "larger" if its > mine else "smaller"


def _match(given: Answer, one: Match) -> dict[str, Any]:
    return {
        "sha256": one.sha256,
        "likeness": str(one.alike.likeness),
        "how": one.alike.how,
        "score": round(one.alike.score, 4),
        "mirrored": one.alike.mirrored,
        "width": one.width,
        "height": one.height,
        "size": _larger(given, one),
        "posts": [{"id": post_id, "page_url": page_url} for post_id, page_url in one.posts.items()],
    }
