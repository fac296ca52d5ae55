"""Hides how it is found which images of a data folder show the same drawing as a picture that somebody gives.

The index of hashes proposes, `pipeline.alike` judges. The index follows the catalog: what it lacks is added before it
is asked, and what it has and the catalog has not, because it was forgotten, is passed over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from pipeline.alike import Alike, Likeness, Look, compare, look, mirrored
from pipeline.catalog import Catalog
from pipeline.dedup import look_at, natural
from pipeline.folder import DataFolder
from pipeline.groups import hashes_of_parts
from pipeline.near import bits
from pipeline.near_index import Index
from pipeline.pixels import BadImage, Pixels, inspect
from pipeline.records import Image, Reason
from pipeline.store import Store
from pipeline.workers import Crashed, TimedOut, Workers

AT_MOST = 128  # images that one picture is compared with; the nearest by their hashes come first
TOGETHER = 256  # pictures asked for in one go
ADDED_AT_ONCE = 5000  # images
LOOKS = 512  # held by each worker; about 25 MB

SAME_BYTES = Alike(likeness=Likeness.SAME, score=1.0, mirrored=False, how="same bytes")
_ORDER = (Likeness.SAME, Likeness.VARIATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An image of the data folder that is like a picture."""

    sha256: str
    width: int  # pixels
    height: int
    posts: Mapping[str, str]  # those that came with it: the address of the page by the post's id; "": nobody knows it
    alike: Alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What there is like one picture."""

    sha256: str  # of the picture
    width: int  # pixels, upright
    height: int
    matches: tuple[Match, ...]  # the same drawing first, then the surest
    passed_over: int  # images with near hashes beyond the nearest `AT_MOST`, which were not compared with it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What is needed of a picture that somebody gives."""

    sha256: str
    width: int
    height: int
    hashes: tuple[int, ...]
    look: Look


def bring_up_to_date(index: Index, catalog: Catalog) -> int:
    """Add the hashes of all images that the catalog has and *index* has not.

    Returns:
        How many images were looked up for that.

    Raises:
        StoreError: The index cannot be written, or is damaged.
    """
    new = index.lacking(catalog.image_names())
    for low in range(0, len(new), ADDED_AT_ONCE):
        images = catalog.images(new[low : low + ADDED_AT_ONCE])
        rows = [(image.sha256, bits(one)) for image in images for one in (image.phash, *image.phashes)]
        index.add([sha256 for sha256, _ in rows], np.array([value for _, value in rows], np.uint64))
    return len(new)


def ask(
    files: Sequence[Path], folder: DataFolder, catalog: Catalog, pool: Workers, max_distance: int, max_pixels: int
) -> Iterator[tuple[Path, Answer | str]]:
    """Give for each file, in their order, what there is like it, or in words what is wrong with it.

    Args:
        files: Pictures; nobody need have seen them before.
        folder: Its index is brought up to date first.
        catalog: Of that folder.
        pool: Decodes and compares.
        max_distance: Bits of 64 by which the hashes of what is compared may differ.
        max_pixels: Width times height; larger pictures are refused.

    Raises:
        StoreError: An image that is to be compared is not in the store, or the index cannot be written or read.
    """
    index = Index(folder.near)
    bring_up_to_date(index, catalog)
    for low in range(0, len(files), TOGETHER):
        some = files[low : low + TOGETHER]
        read = dict(pool.map(partial(_read, max_pixels=max_pixels), dict.fromkeys(some)))
        given = {file: one for file, one in read.items() if isinstance(one, _Given)}
        proposed = _proposed(index, catalog, list(given.values()), max_distance)
        tasks = [_Task(file, one.look, _to_compare(one, proposed[one.sha256])) for file, one in given.items()]
        judged = dict(pool.map(partial(_judge, store=folder.store, max_pixels=max_pixels), tasks))
        answers: dict[Path, Answer | str] = {file: _told(said) for file, said in read.items() if file not in given}
        for task, alikes in judged.items():
            one = given[task.file]
            if isinstance(alikes, Crashed | TimedOut):
                answers[task.file] = _told(alikes)
            else:
                answers[task.file] = _answer(one, task, alikes, proposed[one.sha256], catalog)
        for file in some:
            yield file, answers[file]


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """A picture, and the SHA-256 of the images that it is to be compared with."""

    file: Path
    look: Look
    others: tuple[str, ...]


def image_at(
    file: Path, name: str, max_pixels: int, parts: Callable[[Pixels], tuple[str, ...]] = hashes_of_parts
) -> Image | str:
    """Decode a file, once, in a worker, which it may crash; give what it is, or why it is no picture.

    Args:
        file: Anywhere on this machine.
        name: What it is called in place of a post.
        max_pixels: Width times height.
        parts: Gives the hashes of its parts, and is shown its pixels.
    """
    try:
        data = file.read_bytes()
        still = inspect(data, max_pixels=max_pixels, parts=parts)
    except BadImage as bad:
        return f"{bad.reason}: {bad.detail}"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return Image(
        sha256=hashlib.sha256(data).hexdigest(),
        md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        post_id=name,
        width=still.width,
        height=still.height,
        bytes=len(data),
        format=still.format,
        phash=still.phash,
        phashes=still.phashes,
    )


def _read(file: Path, max_pixels: int) -> _Given | str:
    seen: list[Look] = []

    def parts(pixels_HWC: Pixels) -> tuple[str, ...]:
        seen.append(look(pixels_HWC))
        return hashes_of_parts(pixels_HWC)

    image = image_at(file, file.name, max_pixels, parts)
    if isinstance(image, str):
        return image
    values = tuple(map(bits, (image.phash, *image.phashes)))
    return _Given(
        sha256=image.sha256,
        width=image.width,
        height=image.height,
        hashes=values + tuple(map(mirrored, values)),
        look=seen[0],
    )


def _told(said: object) -> str:
    match said:
        case Crashed(detail):
            return f"{Reason.CRASHED}: {detail}"
        case TimedOut(detail):
            return f"{Reason.TIMED_OUT}: {detail}"
    return str(said)


def _proposed(
    index: Index, catalog: Catalog, given: Sequence[_Given], max_distance: int
) -> dict[str, dict[str, list[Image]]]:
    """Give by each picture's SHA-256 the images with near hashes, as their posts have them, the nearest first."""
    owners = np.repeat(np.arange(len(given)), [len(one.hashes) for one in given])
    near = index.near_many(np.array([value for one in given for value in one.hashes], np.uint64), max_distance)
    order = np.argsort(near.distances, kind="stable")
    keys: list[dict[str, None]] = [{} for _ in given]
    for owner, key in zip(owners[near.queries[order]].tolist(), near.keys[order].tolist(), strict=True):
        keys[owner][key] = None
    forgotten = catalog.forgotten()
    images: dict[str, list[Image]] = {}
    for image in catalog.images({key for some in keys for key in some}):
        if not forgotten.holds_file(image.md5, image.sha256):
            images.setdefault(image.sha256, []).append(image)
    return {
        one.sha256: {key: images[key] for key in some if key in images} for one, some in zip(given, keys, strict=True)
    }


def _to_compare(given: _Given, proposed: Mapping[str, Sequence[Image]]) -> tuple[str, ...]:
    return tuple([sha256 for sha256 in proposed if sha256 != given.sha256][:AT_MOST])


def _judge(task: _Task, store: Store, max_pixels: int) -> list[Alike | None]:
    """Compare a picture with images of the store, in a worker; None: it cannot be looked at any more."""
    looks = (_look_of(sha256, store, max_pixels) for sha256 in task.others)
    return [None if one is None else compare(task.look, one) for one in looks]


@lru_cache(maxsize=LOOKS)
def _look_of(sha256: str, store: Store, max_pixels: int) -> Look | None:
    return look_at(store.get(sha256), max_pixels)


def _answer(
    given: _Given,
    task: _Task,
    alikes: Sequence[Alike | None],
    proposed: Mapping[str, Sequence[Image]],
    catalog: Catalog,
) -> Answer:
    found = {other: alike for other, alike in zip(task.others, alikes, strict=True) if alike and _is_like(alike)}
    same = {given.sha256: SAME_BYTES} if given.sha256 in proposed else {}
    matches = [_match(alike, proposed[sha256], catalog) for sha256, alike in (same | found).items()]
    matches.sort(key=lambda one: (_ORDER.index(one.alike.likeness), -one.alike.score, one.sha256))
    return Answer(
        sha256=given.sha256,
        width=given.width,
        height=given.height,
        matches=tuple(matches),
        passed_over=len(proposed) - len(same) - len(task.others),
    )


def _is_like(alike: Alike) -> bool:
    return alike.likeness is not Likeness.DIFFERENT


def _match(alike: Alike, images: Sequence[Image], catalog: Catalog) -> Match:
    posts = {}
    for post_id in sorted({image.post_id for image in images}, key=natural):
        post = catalog.post(post_id)
        posts[post_id] = post.page_url if post else ""
    return Match(sha256=images[0].sha256, width=images[0].width, height=images[0].height, posts=posts, alike=alike)
