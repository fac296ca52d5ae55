"""What a person sees of `flow forget`: what would go, a question, and which releases still hold it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from flows.show import SHOWN, console, counted, harmless
from pipeline.catalog import Catalog
from pipeline.errors import UsageError
from pipeline.folder import DataFolder
from pipeline.forget import Work, find, forget, wish
from pipeline.records import artists_of


def forget_works(
    catalog: Catalog,
    folder: DataFolder,
    artists: Sequence[str],
    posts: Sequence[str],
    sha256s: Sequence[str],
    *,
    ask: bool,
    only_show: bool,
) -> str:
    """Show what would go, ask if that is wished, and remove it; no run may be at work on the folder meanwhile.

    Returns:
        What was done, in a line.

    Raises:
        UsageError: Nothing is named, or what is named cannot be; or nobody is there to be asked.
        StoreError: A run is at work, or a file cannot be removed.
    """
    named = wish(artists, posts, sha256s)
    with folder.alone():
        work = find(catalog, folder, named)
        counts = _counts(work)
        for line in _told(work):
            console().print(line, highlight=False, soft_wrap=True)
        if only_show:
            return "nothing was removed"
        if ask and not sys.stdin.isatty():
            raise UsageError("nobody is there to say yes; look at this, and say --yes")
        if ask and not typer.confirm("remove it for good?"):
            return "nothing was removed"
        forget(catalog, work)
    return f"forgotten: {counts}" if work.here else "nothing of it was here; it is remembered, and never taken"


def _told(work: Work) -> list[str]:
    lines = _unknown(work)
    lines += [harmless(f"{post.id}  {post.page_url}  {' '.join(post.artists)}").rstrip() for post in work.posts[:SHOWN]]
    if len(work.posts) > SHOWN:
        lines.append(f"and {counted(len(work.posts) - SHOWN, 'post')} more")
    lines.append(_counts(work))
    for held in work.releases:
        crops = (
            "its manifest cannot be read, so it may hold some" if held.crops is None else counted(held.crops, "crop")
        )
        lines.append(harmless(f"published in {held.path}: {crops}"))
    if work.releases:
        lines.append(
            "what is published never changes: run `flow run publish-dataset` for a release without it, delete these "
            "folders, and ask those who have copies, or models that were trained on them, to do the same"
        )
    return lines


def _unknown(work: Work) -> list[str]:
    """Say first that a name leads to nothing: it may be misspelt, and is remembered all the same."""
    theirs = {artist for post in work.posts for artist in artists_of(post)}
    artists = sorted(work.remembered.artists - theirs)
    lines = [
        f"artist {harmless(artist)}: no work of this artist is known here; is the name right?" for artist in artists
    ]
    if work.here:
        return lines
    named = [*(f"artist {artist}" for artist in artists), *sorted(work.remembered.posts | work.remembered.sha256s)]
    return [
        *lines,
        harmless(f"nothing of it is here; --yes would remember, so that it is never taken: {', '.join(named)}"),
    ]


def _counts(work: Work) -> str:
    size = sum(file.stat().st_size for file in work.files if file.exists())
    counts = (counted(len(work.posts), "post"), counted(len(work.images), "image"), counted(len(work.crops), "crop"))
    return f"{', '.join(counts)}, {counted(len(work.files), 'file')} of {size:,} bytes"
