"""`huggingface/<split>/`: an imagefolder of Hugging Face's `datasets`: links to `images/`, and metadata.jsonl."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from pipeline.formats.crops import Crops, Published, faults_of_json, link, told, whole
from pipeline.formats.linked import faults_of_link

NAME = "huggingface"
METADATA = "metadata.jsonl"


def write(crops: Crops) -> None:
    """Link the crops of each split beside what is known of them, a line each, `file_name` first."""
    for split, indices in crops.splits.items():
        folder = crops.folder / NAME / split
        folder.mkdir(parents=True, exist_ok=True)
        with whole(folder / METADATA) as aside, aside.open("w", encoding="utf-8", newline="\n") as file:
            for index in indices:
                one = crops.rows[index]
                picture = Path(one.file).name
                link(crops.folder / one.file, folder / picture)
                line = {"file_name": picture} | told(one, crops.labels, int(index))
                file.write(json.dumps({name: plain(value) for name, value in line.items()}, ensure_ascii=False) + "\n")
                crops.tell(1)


def plain(value: object) -> object:
    """Let a text remain a text: `datasets` would take a split, or 10 MB of it, in which all look so for times.

    Its features would then differ from those of the others, and it loads none of them. A blank at the end hinders it.
    """
    return f"{value} " if isinstance(value, str) and _LIKE_A_TIME.match(value) else value


_LIKE_A_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def faults(release: Published) -> Iterator[str]:
    """Read each split: a line for every picture, in the manifest's order, and a picture for every line."""
    there = {one.name for one in os.scandir(release.folder / NAME)} if (release.folder / NAME).is_dir() else set()
    yield from (f"{NAME}/{name}: no split of the release" for name in sorted(there - release.splits.keys()))
    for split in release.splits:
        yield from _faults_of_split(release, split)


def _faults_of_split(release: Published, split: str) -> Iterator[str]:
    folder = f"{NAME}/{split}"
    known = {METADATA}
    try:
        with (release.folder / folder / METADATA).open("rb") as lines:
            for number, (line, numbered) in enumerate(zip_longest(lines, _of_split(release, split)), 1):
                if line is None or numbered is None:
                    what = "fewer lines" if line is None else "more lines"
                    yield f"{folder}/{METADATA}: {what} than the {release.splits[split]} crops of the split"
                    break
                index, row = numbered
                picture = Path(row["file"]).name
                known.add(picture)
                wanted = {"file_name": picture} | {name: str(plain(text)) for name, text in row.items()}
                more = release.labels.told(index) if release.labels else {}
                wrong = faults_of_json(line, wanted, {name: plain(value) for name, value in more.items()})
                yield from (f"{folder}/{METADATA}: line {number}: {one}" for one in wrong)
                yield from faults_of_link(release.folder, row, f"{folder}/{picture}")
    except OSError as error:
        yield f"{folder}/{METADATA}: not readable ({error.strerror})"
        return
    there = sorted(one.name for one in os.scandir(release.folder / folder))
    yield from (f"{folder}/{name}: no line tells of it" for name in there if name not in known)


def _of_split(release: Published, split: str) -> Iterator[tuple[int, dict[str, str]]]:
    return ((index, row) for index, row in enumerate(release.rows) if row["split"] == split)
