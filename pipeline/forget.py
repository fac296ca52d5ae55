"""Hides all places where a work lies: removes it for good, and remembers by name and hash that it never comes back."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.catalog import Catalog
from pipeline.errors import StoreError, UsageError
from pipeline.folder import DataFolder
from pipeline.manifest import MANIFEST, read_csv, unquoted
from pipeline.records import NOTHING_FORGOTTEN, Detection, FaceCrop, Forgotten, Image, Post, Record, artists_of
from pipeline.scrape import parts_of
from pipeline.sources.board import SAMPLE


@dataclass(frozen=True, kw_only=True)
class Work:
    """What would go, and what would be remembered in its place."""

    posts: tuple[Post, ...]  # those that were asked for, and all others with the same bytes
    images: tuple[str, ...]  # SHA-256
    crops: tuple[str, ...]  # SHA-256
    items: frozenset[str]  # under which the catalog has anything of it
    files: tuple[Path, ...]  # in the store, and under way
    derived: tuple[Path, ...]  # files in which it stands among others, and which are made again without it
    remembered: Forgotten
    releases: tuple[Held, ...]  # published, so they stay as they are

    @property
    def here(self) -> bool:
        """Whether anything of it is there to be removed."""
        return bool(self.posts or self.images or self.files)


@dataclass(frozen=True, kw_only=True)
class Held:
    """A release that holds crops of a work."""

    path: Path
    crops: int | None  # None: its manifest cannot be read


def wish(artists: Iterable[str], posts: Iterable[str], sha256s: Iterable[str]) -> Forgotten:
    """Read what a person asks to be forgotten.

    Args:
        artists: As the board writes them; case does not count, a blank is as good as "_".
        posts: Ids, such as "danbooru:123".
        sha256s: Of images or crops, whole.

    Raises:
        UsageError: One of them cannot be what it should, or there is none.
    """
    named = Forgotten(
        artists=frozenset("_".join(one.lower().split()) for one in artists),
        posts=frozenset(one.strip().removesuffix(SAMPLE) for one in posts),
        sha256s=frozenset(one.strip().lower() for one in sha256s),
    )
    if "" in named.artists:
        raise UsageError("--artist '': names nobody; give the artist's tag as the board writes it")
    for post in named.posts:
        if not re.fullmatch(r"[^:]+:.+", post, re.DOTALL):
            raise UsageError(f"--post {post}: no post's id; give it as danbooru:123, `flow explain` shows it")
    for sha256 in named.sha256s:
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise UsageError(f"--sha256 {sha256}: not 64 hexadecimal digits; `flow explain` shows them")
    if named == NOTHING_FORGOTTEN:
        raise UsageError("nothing is named; give --artist, --post or --sha256")
    return named


def find(catalog: Catalog, folder: DataFolder, named: Forgotten) -> Work:
    """Find everything that there is of a work, whichever of its posts, files or crops was named.

    An artist whom nobody knows by the name that was given is meant as a manifest writes it: with a quote before "=".
    """
    named = replace(named, artists=_artists_meant(catalog, named.artists))
    images = set(_images_named(catalog, named.sha256s))
    crops_named = {sha256 for sha256 in named.sha256s if _is_crop(catalog, sha256)}
    posts = {post.id: post for post in catalog.all_posts() if named.holds(post)}
    found = dict.fromkeys(posts)  # in place of a set: the order of finding
    md5s: set[str] = set()
    new = [*found, *(catalog.posts_with(images) - found.keys())]
    while new:
        found |= dict.fromkeys(new)
        for image in _images_of(catalog, new):
            images.add(image.sha256)
            md5s.add(image.md5)
        new = sorted(catalog.posts_with(images) - found.keys())
    posts |= {post_id: post for post_id in found if (post := catalog.post(post_id)) is not None}
    md5s |= {post.md5 for post in posts.values() if post.md5}
    faces = [face for image in images for face in _made_of(catalog, image) if isinstance(face, Detection)]
    crops = {crop.sha256 for face in faces for crop in _made_of(catalog, face.id) if isinstance(crop, FaceCrop)}
    items = {*found, *images, *(face.id for face in faces), *(f"{post}={image}" for post in found for image in images)}
    remembered = replace(
        named,
        posts=named.posts | {post.removesuffix(SAMPLE) for post in found},
        md5s=frozenset(md5s),
        sha256s=(named.sha256s - crops_named) | images,
    )
    return Work(
        posts=tuple(posts[post] for post in sorted(posts)),
        images=tuple(sorted(images)),
        crops=tuple(sorted(crops)),
        items=frozenset(items),
        files=tuple(_files(folder, posts.values(), images | crops)),
        derived=tuple(sorted(folder.near.glob("*"))) if images else (),
        remembered=remembered,
        releases=tuple(_releases(folder, remembered)),
    )


def forget(catalog: Catalog, work: Work) -> None:
    """Remember first, then remove the files, then what leads to them: who is killed between finds the rest again.

    Raises:
        StoreError: A file cannot be removed.
    """
    catalog.forget(work.remembered)
    for file in (*work.files, *work.derived):
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{file}: cannot be removed ({error.strerror}); make it so, and run it again") from error
    catalog.remove([post.id for post in work.posts], work.items.union(work.crops))


def _artists_meant(catalog: Catalog, names: Collection[str]) -> frozenset[str]:
    quoted = {name for name in names if unquoted(name) != name}
    known = {artist for post in catalog.all_posts() for artist in artists_of(post)} if quoted else set()
    return frozenset(name if name not in quoted or name in known else unquoted(name) for name in names)


def _images_named(catalog: Catalog, sha256s: Iterable[str]) -> Iterator[str]:
    for sha256 in sha256s:
        for _, record in catalog.find(sha256):
            match record:
                case Image():
                    yield record.sha256
                case FaceCrop():
                    yield record.detection.image_sha256


def _is_crop(catalog: Catalog, sha256: str) -> bool:
    return any(isinstance(record, FaceCrop) and record.sha256 == sha256 for _, record in catalog.find(sha256))


def _images_of(catalog: Catalog, posts: Iterable[str]) -> Iterator[Image]:
    for post in posts:
        yield from (record for record in _made_of(catalog, post) if isinstance(record, Image))


def _made_of(catalog: Catalog, item: str) -> list[Record]:
    """Give what any stage, however it was configured, ever made of an item."""
    return [record for said in catalog.history(item) for record in said.outputs]


def _files(folder: DataFolder, posts: Iterable[Post], sha256s: Collection[str]) -> Iterator[Path]:
    for sha256 in sorted(sha256s):
        path = folder.store.path(sha256)
        yield from sorted(path.parent.glob(f"{sha256}*"))  # also what was found damaged, and moved aside
    for post in posts:
        yield from sorted(parts_of(folder.parts, post))


def _releases(folder: DataFolder, what: Forgotten) -> Iterator[Held]:
    for manifest in sorted(folder.releases.glob(f"*/[0-9]*/{MANIFEST}")):
        try:
            frame = read_csv(manifest)
        except UsageError:
            yield Held(path=manifest.parent, crops=None)
            continue
        held = frame["image_sha256"].isin(what.sha256s) | frame["image_md5"].isin(what.md5s)
        held |= frame["post_id"].isin(what.posts) | frame["post_id"].str.removesuffix(SAMPLE).isin(what.posts)
        if what.artists:
            held |= frame["artists"].map(lambda names: not what.artists.isdisjoint(names.lower().split()))
        if held.any():
            yield Held(path=manifest.parent, crops=int(held.sum()))
