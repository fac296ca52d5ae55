"""Why any picture is, or is not, in a dataset: an item's whole way, from its post to its last outcome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pipeline.catalog import Catalog, Remembered
from pipeline.errors import UsageError
from pipeline.manifest import sha256_of
from pipeline.records import Detection, FaceCrop, Image, Post, ReviewDecision

Decisions = Mapping[str, ReviewDecision]  # by SHA-256 of the crop
SHORTEST = 6  # digits of a hash that a person must type


@dataclass(slots=True)
class Way:
    """A thing, what was said of it, and what was made of it."""

    title: str
    facts: list[str] = field(default_factory=list)
    parts: list[Way] = field(default_factory=list)


def explain(catalog: Catalog, name: str) -> list[Way]:
    """Tell the way of every post that *name* leads to.

    What is forgotten has no way any more; told is since when.

    Args:
        catalog: What is remembered.
        name: A post's id, the SHA-256 of an image or a crop, the MD5 of an image (the first digits are enough), or a
            file.

    Raises:
        UsageError: Nothing of that name is known.
    """
    with suppress(OSError, ValueError):  # a name that no file can have
        if Path(name).is_file():
            name = sha256_of(Path(name))
    post = catalog.post(name)
    if post is not None:
        return [_of_post(catalog, post, "", catalog.decisions())]
    post_id = name.partition("#")[0]  # of all files of a post, and of its sample
    since = catalog.when_forgotten(("posts",), post_id).get(post_id)
    if since is not None:
        return [_gone(f"post {name}", since)]
    digits = name.lower()
    if len(digits) < SHORTEST or set(digits) - set("0123456789abcdef"):
        raise UsageError(f"{name}: no such post; give a post's id (board:123), a SHA-256, an MD5 or a file")
    posts = {post.id: post for post in _posts_of(catalog, digits)}
    gone = [] if posts else [_gone(f"image {one}", at) for one, at in _forgotten_files(catalog, digits)]
    if gone:
        return gone
    if not posts:
        raise UsageError(f"{name}: unknown to this catalog; is it the right --data?")
    decisions = catalog.decisions()
    return [_of_post(catalog, posts[post_id], digits, decisions) for post_id in sorted(posts)]


def _forgotten_files(catalog: Catalog, digits: str) -> Iterable[tuple[str, datetime]]:
    return catalog.when_forgotten(("sha256s", "md5s"), digits).items()


def _gone(title: str, since: datetime) -> Way:
    told = "forgotten by `flow forget`: removed from here, and never taken again"
    return Way(title, [f"{since:%Y-%m-%d %H:%M:%S} {told}; `flow forget --dry-run` lists the releases that hold it"])


def _posts_of(catalog: Catalog, name: str) -> Iterator[Post]:
    """Find the posts of every image that the hash *name* is the start of, or of the crops that it is."""
    records = [record for _, record in catalog.find(name)]
    images = {record.sha256 for record in records if isinstance(record, Image)}
    crops = [record for record in records if isinstance(record, FaceCrop)]
    images |= {crop.detection.image_sha256 for crop in crops if crop.sha256.startswith(name)}
    for image in sorted(images):
        for item, record in catalog.find(image):
            if isinstance(record, Image):
                post = catalog.post(item)
                if post is not None:
                    yield post


def _of_post(catalog: Catalog, post: Post, wanted: str, decisions: Decisions) -> Way:
    way = Way(f"post {post.id}")
    way.facts.append(post.page_url)
    shown = [post.rating and f"rating {post.rating}", post.posted_at and f"posted {post.posted_at:%Y-%m-%d %H:%M} UTC"]
    way.facts += [", ".join(fact for fact in shown if fact), *(["tags " + " ".join(post.tags)] if post.tags else [])]
    images: dict[str, Image] = {}
    for said in catalog.history(post.id):
        way.facts.append(_told(said))
        images.update({one.sha256: one for one in said.outputs if isinstance(one, Image)})
    way.parts = [_of_image(catalog, image, wanted, decisions) for image in images.values()]
    return way


def _of_image(catalog: Catalog, image: Image, wanted: str, decisions: Decisions) -> Way:
    way = Way(f"image {image.sha256}")
    way.facts.append(f"{image.format} {image.width}×{image.height}, {image.bytes:,} bytes, md5 {image.md5}")
    faces: dict[str, Detection] = {}
    for said in [*catalog.history(f"{image.post_id}={image.sha256}"), *catalog.history(image.sha256)]:
        way.facts.append(_told(said))
        faces.update({one.id: one for one in said.outputs if isinstance(one, Detection)})
    parts = [(_crops_of(catalog, face), _of_face(catalog, face, decisions)) for face in faces.values()]
    exact = [part for crops, part in parts if wanted and any(crop.startswith(wanted) for crop in crops)]
    way.parts = exact or [part for _, part in parts]
    return way


def _crops_of(catalog: Catalog, face: Detection) -> set[str]:
    return {one.sha256 for said in catalog.history(face.id) for one in said.outputs if isinstance(one, FaceCrop)}


def _of_face(catalog: Catalog, face: Detection, decisions: Decisions) -> Way:
    box = face.box
    way = Way(f"face at {box.left},{box.top} {box.width}×{box.height}")
    way.facts.append(f"{face.detector} {face.score:.3f}{', agreed' if face.agreed else ''}")
    for said in catalog.history(face.id):
        way.facts.append(_told(said))
        for crop in said.outputs:
            if isinstance(crop, FaceCrop) and said.stage == "crop":
                way.facts.append(f"crop {crop.sha256}, {crop.side} px → {crop.size} px")
                way.facts += _decided(decisions.get(crop.sha256))
    return way


def _decided(decision: ReviewDecision | None) -> list[str]:
    if decision is None or decision.verdict is None:
        return []
    return [
        f"{decision.decided_at:%Y-%m-%d %H:%M:%S} decision: {decision.verdict} by {decision.reviewer or 'somebody'}"
    ]


def _told(said: Remembered) -> str:
    verdict = "kept" if said.reason is None else f"dropped: {said.reason}"
    detail = f" ({said.detail})" if said.detail else ""
    made = f", {len(said.outputs)} made" if said.outputs else ""
    tried = _tried(said) if said.reason and said.reason.failed else ""
    return f"{said.at:%Y-%m-%d %H:%M:%S} {said.stage} [{said.fingerprint[:8]}]: {verdict}{detail}{made}{tried}"


def _tried(said: Remembered) -> str:
    again = f", tried again from {said.next_at:%Y-%m-%d %H:%M} UTC" if said.next_at else ""
    return f", {said.attempts} attempt{'' if said.attempts == 1 else 's'}{again}"
