"""Files that are links to `images/`, or copies where the release was copied, and say the same either way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.manifest import sha256_of


def faults_of_link(release: Path, row: Mapping[str, str], name: str) -> Iterator[str]:
    """Say whether the file of that name is the picture of the row."""
    path, picture = release / name, release / row["file"]
    if not path.is_file():
        yield f"{name}: missing"
    elif picture.is_file() and not path.samefile(picture) and sha256_of(path) != sha256_of(picture):
        yield f"{name}: another picture than {row['file']}"
