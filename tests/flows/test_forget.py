"""`flow forget`: shows, asks, removes, and no later run brings it back."""

from __future__ import annotations

import csv
from pathlib import Path

from command import PUBLISH, SANDBOX, Flow


def rows(release: Path) -> list[dict[str, str]]:
    with (release / "data_manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_it_shows_before_it_removes(data: Path, flow: Flow) -> None:
    """A dry run changes nothing; where nobody can be asked, nothing is removed without --yes."""
    before = sorted(path for path in (data / "store").rglob("*") if path.is_file())
    post = rows(data / "releases" / "sandbox" / "001")[0]["post_id"]

    shown = flow("forget", "--post", post, "--data", data, "--dry-run")
    refused = flow("forget", "--post", post, "--data", data)

    assert (shown.code, refused.code, refused.complaint) == (
        *(0, 2),
        "nobody is there to say yes; look at this, and say --yes",
    )
    assert post in shown.out
    assert "releases/sandbox/001: " in shown.out
    assert sorted(path for path in (data / "store").rglob("*") if path.is_file()) == before


def test_it_never_comes_back(data: Path, flow: Flow) -> None:
    """Not in the next release, and not by another listing of the same board; what was published stays."""
    first = data / "releases" / "sandbox" / "001"
    artist = next(row["artists"] for row in rows(first) if row["artists"])
    theirs = {row["image_sha256"] for row in rows(first) if row["artists"] == artist}

    answer = flow("forget", "--artist", artist, "--data", data, "--yes")

    assert (answer.code, answer.err) == (0, "")
    assert flow(*PUBLISH, "--data", data).code == 0
    second = rows(data / "releases" / "sandbox" / "002")
    assert theirs
    assert not any(row["artists"] == artist or row["image_sha256"] in theirs for row in second)
    assert len(second) == len([row for row in rows(first) if row["image_sha256"] not in theirs])

    another = flow(*SANDBOX, "--data", data, "-p", "name=another", "-p", "sources.0.query=1girl")

    assert another.code == 0
    assert "forgotten" in another.out
    assert not any(row["artists"] == artist for row in rows(data / "releases" / "another" / "001"))
    assert not any((data / "store" / one[:2] / one[2:4] / one).exists() for one in theirs)


def test_a_name_that_leads_to_nothing_is_said_first(data: Path, flow: Flow) -> None:
    """It may be misspelt; and what --yes would remember is told."""
    answer = flow("forget", "--artist", "Nobody Here", "--data", data, "--dry-run")

    assert answer.code == 0
    assert answer.out.splitlines()[:2] == [
        "artist nobody_here: no work of this artist is known here; is the name right?",
        "nothing of it is here; --yes would remember, so that it is never taken: artist nobody_here",
    ]
