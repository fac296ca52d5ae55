"""`imagefolder/<split>/<class>/`: what torchvision's ImageFolder reads, one root a split, as links to `images/`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from pipeline.formats.crops import Crops, Published, link
from pipeline.formats.linked import faults_of_link

NAME = "imagefolder"


def write(crops: Crops) -> None:
    """Link each crop into the folder of its class; a class that a split lacks has no folder there, as is the rule."""
    for split, indices in crops.splits.items():
        for index in indices:
            one = crops.rows[index]
            folder = crops.folder / NAME / split / crops.labels.name(index)
            folder.mkdir(parents=True, exist_ok=True)
            link(crops.folder / one.file, folder / Path(one.file).name)
            crops.tell(1)


def faults(release: Published) -> Iterator[str]:
    """Read the folders as torchvision does: each has pictures of its class, and no other file or folder is there."""
    expected: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for index, row in enumerate(release.rows):
        if release.labels is None:
            return
        name, picture = release.labels.name(index), Path(row["file"]).name
        expected[row["split"]][name].add(picture)
        yield from faults_of_link(release.folder, row, f"{NAME}/{row['split']}/{name}/{picture}")
    root = release.folder / NAME
    yield from _strangers(root, "", set(expected))
    for split, classes in sorted(expected.items()):
        yield from _strangers(root, split, set(classes))
        for name, pictures in sorted(classes.items()):
            yield from _strangers(root, f"{split}/{name}", pictures)


def _strangers(root: Path, below: str, known: set[str]) -> Iterator[str]:
    try:
        there = sorted(os.scandir(root / below), key=lambda one: one.name)
    except OSError as error:
        yield f"{NAME}/{below}: not readable ({error.strerror})"
        return
    for one in there:
        if one.name in known:
            continue
        named = f"{NAME}/{below}/{one.name}".replace("//", "/")
        empty = one.is_dir() and not any(Path(one).iterdir())
        yield f"{named}: {'a class without images' if empty else 'belongs to no crop of the manifest'}"
