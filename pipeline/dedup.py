"""Which items are the same: to the eye among images and among face crops; the best of each group is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, ClassVar, NamedTuple

from pipeline.alike import Alike, Likeness, Look, look, mirrored
from pipeline.groups import Compare, Forgetful, Group, Judge, Memory, Near, clusters, gather, joined, together
from pipeline.near import bits
from pipeline.pixels import BadImage, decode
from pipeline.records import Box, FaceCrop, Image, Post, Reason, ReviewDecision, Verdict
from pipeline.stage import Dropped, Kept, Outcome, Scope, effect
from pipeline.store import Store

LOOKED_AT = 256  # pixels; longer side, at least, of what is decoded to be compared
SAME_PLACE = 0.3  # overlap of two boxes in their images
MAX_CROP_PIXELS = 4096 * 4096
STEP = (
    1.12  # windows about the same face differ by less, so that by this much one crop must be the larger to be called so
)
LOSSLESS = frozenset({"PNG", "BMP", "TIFF"})

_DROPS = {"keep": (Likeness.SAME,), "one": (Likeness.SAME, Likeness.VARIATION)}
_DECIDED = {Verdict.KEEP: 0, Verdict.REJECT: 2}  # 1: undecided, or somebody could not tell


class Worth(NamedTuple):
    """What makes one of two copies the better: of the first field in which they differ, the smaller."""

    decided: float = 1  # 0: a person kept it, 2: a person rejected it
    size: float = 0
    padded: float = 0
    lossless: float = 0
    compression: float = 0
    verified: float = 0
    posted_at: float = math.inf
    post: tuple[str, int, str] = ("", 0, "")
    score: float = 0
    name: str = ""


_WHY = (  # a word for each field of Worth
    "kept by a person",
    "larger",
    "less padded",
    "lossless",
    "less compressed",
    "checked by its md5",
    "posted earlier",
    "first by its name",
    "surer",
    "first by its name",
)


def why(kept: Worth, other: Worth) -> str:
    """Say in a word or two why of two copies the first is kept."""
    return next(word for word, mine, its in zip(_WHY, kept, other, strict=True) if mine != its)


def worth_of(image: Image, post: Post | None, *, decided: int = 1) -> Worth:
    """Say what an image is worth among its copies.

    Larger comes first, then what lost nothing, more bytes for a pixel, a file that is the one which its board named by
    md5, the earlier post, and the smaller number.
    """
    lossless = image.format in LOSSLESS
    return Worth(
        decided=decided,
        size=-image.width * image.height,
        lossless=not lossless,
        compression=0.0 if lossless else -image.bytes / (image.width * image.height),
        verified=post is None or post.md5 != image.md5,
        posted_at=post.posted_at.timestamp() if post and post.posted_at else math.inf,
        post=natural(image.post_id),
        name=image.sha256,
    )


def told(sha256: str, reason: str, alike: Alike) -> str:
    """Say of a copy which one is kept in its place, and why that one; `kept_for` reads it."""
    return f"of {sha256}: {reason} ({alike.how})"


def kept_for(detail: str) -> tuple[str, str, str]:
    """Read what `told` wrote: the SHA-256 of the one that is kept, why that one, and how they are alike."""
    sha256, _, rest = detail.removeprefix("of ").partition(": ")
    reason, _, how = rest.partition(" (")
    return sha256, reason, how.removesuffix(")")


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSameImages:
    """Keep the best image of each group that shows the same drawing, before anybody looks for faces in it.

    Of posts that hold the very same file the one with the smallest id is kept, which a board gave out first. Images
    from which a person kept a crop stand, all of them.
    """

    name: ClassVar = "dedup-images"
    version: ClassVar = 2
    scope: ClassVar = Scope.CORPUS

    max_distance: int = 8  # bits of 64, between the hashes of two images that are compared
    variations: str = "keep"  # or "one": of variations of a drawing, too, the best alone
    max_pixels: int = 100_000_000  # width times height
    posts: Mapping[str, Post] = effect(default_factory=dict)
    stand: frozenset[str] = effect(default=frozenset())
    memory: Memory = effect(default_factory=Forgetful)
    tell: Callable[[Iterable[tuple[str, str]]], None] = effect(
        default=lambda _pairs: None
    )  # of pairs of images, by SHA-256, that make families

    def key(self, item: Image, /) -> str:
        """Name the pair of post and bytes."""
        return f"{item.post_id}={item.sha256}"

    def __call__(self, items: Iterable[Image], store: Store, /) -> Iterator[Outcome[Image, Image]]:
        """Judge all images at once; the result does not depend on their order.

        Raises:
            StoreError: The bytes of an image that is to be compared are not in the store.
        """
        different: list[Image] = []
        ordered = sorted(items, key=lambda image: (image.sha256, natural(image.post_id)))
        for _, same in groupby(ordered, key=lambda image: image.sha256):
            first, *others = same
            different.append(first)
            for other in others:
                yield Dropped(other, Reason.SAME_BYTES, f"as {first.post_id}")
        worth = {one.sha256: self._worth(one) for one in different}
        ranked = sorted(different, key=lambda one: worth[one.sha256])

        def seen(index: int) -> Look | None:
            return look_at(store.get(ranked[index].sha256), self.max_pixels)

        for group in self.groups(ranked, seen):
            self.tell((ranked[one].sha256, ranked[other].sha256) for one, other in group.joined)
            for index in group.members:
                image, kept = ranked[index], ranked[group.leader[index]]
                if kept is image:
                    yield Kept(image, (image,))
                else:
                    reason = why(worth[kept.sha256], worth[image.sha256])
                    yield Dropped(image, Reason.DUPLICATE, told(kept.sha256, reason, group.alike[index]))

    def groups(self, ranked: Sequence[Image], seen: Callable[[int], Look | None]) -> Iterator[Group]:
        """Gather images that show the same drawing, also those that stand alone.

        Args:
            ranked: No two with the same bytes, the best first.
            seen: Gives what is compared of the image at that place.
        """
        near = _near_of(ranked, self.max_distance)
        judge = Judge([image.sha256 for image in ranked], seen, self.memory)
        yield from _gathered(
            len(ranked),
            [near],
            judge,
            judge,
            drops=_DROPS[self.variations],
            stands=lambda index: ranked[index].sha256 in self.stand,
        )

    def _worth(self, image: Image) -> Worth:
        return worth_of(image, self.posts.get(image.post_id), decided=int(image.sha256 not in self.stand))


def look_at(data: bytes, max_pixels: int) -> Look | None:
    """Take what is compared of a file; None where it is no whole picture, which others have said, or will."""
    try:
        return look(decode(data, max_pixels=max_pixels, at_least=LOOKED_AT))
    except BadImage:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class DropNearDuplicates:
    """Keep the best crop of each group that shows the same drawing, and name the families.

    Perceptual hashes propose: those of the crops, and those of the whole images where the faces stand in the same place
    (a detector's box moves by a few pixels when a picture is saved again, and the crop's hash with it). A hash alone
    confuses plain pictures, so every proposal is then judged by laying one crop over the other.

    What a person said stands: a crop that was kept is dropped for no other, and one that was rejected is no reason to
    drop another.

    A family is named by the oldest of its images, and keeps its name when others come, because *families* remembers it.
    Where two meet that had names, all of both take the older one: so whoever divides a dataset by families must
    remember for each item on which side it is, or those of the younger family may change sides.
    """

    name: ClassVar = "dedup"
    version: ClassVar = 2
    scope: ClassVar = Scope.CORPUS

    max_distance: int = 10  # bits of 64, between the hashes of two crops that are compared
    max_image_distance: int = 8  # bits of 64, between the hashes of two images
    variations: str = "keep"  # or "one": of variations of a drawing, too, the best alone
    images: Mapping[str, Image] = effect()  # by SHA-256: where the crops come from
    posts: Mapping[str, Post] = effect(default_factory=dict)
    decisions: Mapping[str, ReviewDecision] = effect(default_factory=dict)  # by SHA-256 of the crop
    copies: Sequence[tuple[str, str]] = effect(default=())  # images
    families: Mapping[str, str] = effect(default_factory=dict)
    memory: Memory = effect(default_factory=Forgetful)
    tell: Callable[[Mapping[str, str]], None] = effect(
        default=lambda _families: None
    )  # of the families that are new, or others than *families* says, by image

    def key(self, item: FaceCrop, /) -> str:
        """Name the crop by where it was cut."""
        return item.id

    def __call__(self, items: Iterable[FaceCrop], store: Store, /) -> Iterator[Outcome[FaceCrop, FaceCrop]]:
        """Judge all crops at once; the result does not depend on their order.

        Raises:
            StoreError: A crop that is to be compared is not in the store.
        """
        crops = sorted(items, key=self._worth)
        first: dict[str, FaceCrop] = {}
        for crop in crops:
            first.setdefault(crop.sha256, crop)
        ranked = list(first.values())
        groups = self._groups(ranked, store)
        families = self._families(crops, first, ranked, groups)
        for crop in crops:
            if first[crop.sha256] is not crop:
                yield Dropped(crop, Reason.SAME_CROP, f"as {first[crop.sha256].id}")
        for group in groups:
            for index in group.members:
                crop, kept = ranked[index], ranked[group.leader[index]]
                if kept is crop:
                    yield Kept(crop, (replace(crop, family=families[crop.detection.image_sha256]),))
                else:
                    reason = why(self._worth(kept), self._worth(crop))
                    yield Dropped(crop, Reason.DUPLICATE, told(kept.sha256, reason, group.alike[index]))

    def _groups(self, ranked: Sequence[FaceCrop], store: Store) -> list[Group]:
        def seen(index: int) -> Look | None:
            return look_at(store.get(ranked[index].sha256), MAX_CROP_PIXELS)

        judge = Judge([crop.sha256 for crop in ranked], seen, self.memory)

        def compare(one: int, other: int) -> Alike | None:
            # Two faces of one picture are two faces, however alike.
            here, there = ranked[one].detection.image_sha256, ranked[other].detection.image_sha256
            return None if here == there else judge(one, other)

        def place(crop: FaceCrop) -> Box:
            return self.images[crop.detection.image_sha256].place(crop.detection.box)

        def same_place(one: int, other: int) -> bool:
            return place(ranked[one]).overlap(place(ranked[other])) >= SAME_PLACE

        pictures = [bits(self.images[crop.detection.image_sha256].phash) for crop in ranked]
        nears = [
            _near_of(ranked, self.max_distance),
            Near(pictures, self.max_image_distance, fits=same_place),
        ]
        verdicts = [self._decided(crop) for crop in ranked]
        return list(
            _gathered(
                len(ranked),
                nears,
                judge,
                compare,
                drops=_DROPS[self.variations],
                stands=lambda index: verdicts[index] == _DECIDED[Verdict.KEEP],
                represents=lambda index: verdicts[index] != _DECIDED[Verdict.REJECT],
            )
        )

    def _families(
        self, crops: Sequence[FaceCrop], first: Mapping[str, FaceCrop], ranked: Sequence[FaceCrop], groups: list[Group]
    ) -> dict[str, str]:
        """Name the family of each image: of one picture, its parts, versions and near-copies."""
        images = sorted({crop.detection.image_sha256 for crop in crops})
        of_picture: dict[str, str] = {}
        pairs = [(image, of_picture.setdefault(self._picture(image), image)) for image in images]
        pairs += [(crop.detection.image_sha256, first[crop.sha256].detection.image_sha256) for crop in crops]
        pairs += [
            (ranked[one].detection.image_sha256, ranked[other].detection.image_sha256)
            for group in groups
            for one, other in group.joined
        ]
        named = name_families(images, [*pairs, *self.copies], self.families, self._age)
        self.tell({image: family for image, family in named.items() if self.families.get(image) != family})
        return named

    def _worth(self, crop: FaceCrop) -> Worth:
        image = self.images[crop.detection.image_sha256]
        whole = worth_of(image, self.posts.get(image.post_id), decided=self._decided(crop))
        return whole._replace(
            size=-round(math.log(crop.side, STEP)), padded=crop.padded, score=-crop.detection.score, name=crop.id
        )

    def _decided(self, crop: FaceCrop) -> int:
        decision = self.decisions.get(crop.sha256)
        return _DECIDED.get(decision.verdict, 1) if decision and decision.verdict else 1

    def _picture(self, image_sha256: str) -> str:
        """Name the picture; its parts and versions differ in what stands behind the last #."""
        post_id = self.images[image_sha256].post_id
        return post_id.rpartition("#")[0] or post_id

    def _age(self, image_sha256: str) -> tuple[Any, ...]:
        image = self.images.get(image_sha256)
        post = None if image is None else self.posts.get(image.post_id)
        return (post.posted_at.timestamp() if post and post.posted_at else math.inf, image_sha256)


def name_families(
    images: Iterable[str],
    pairs: Iterable[tuple[str, str]],
    known: Mapping[str, str],
    age: Callable[[str], Any],
) -> dict[str, str]:
    """Name the families of images, all of them by SHA-256.

    Args:
        images: Who is to be named.
        pairs: Who belongs together; who stands only here is named as well.
        known: The names that were given before, to these and to others, the oldest first. Who had one name once belongs
            together for ever.
        age: Orders those that have no name: the first gives its own to the family.

    Returns:
        The names of all that were named, and of those in *known* whose family has met an older one.
    """
    linked = list(pairs)
    everybody = {*images, *(image for pair in linked for image in pair)}
    oldest: dict[str, str] = {}  # of each family, by its name
    same_name = [(image, oldest.setdefault(family, image)) for image, family in known.items()]
    root = joined({*everybody, *known}, [*linked, *same_name])
    names: dict[str, str] = {}
    for image, family in known.items():
        names.setdefault(root[image], family)
    for image in sorted(everybody, key=age):
        names.setdefault(root[image], image[:16])
    return {
        image: names[root[image]]
        for image in [*everybody, *known]
        if image in everybody or known[image] != names[root[image]]
    }


def _near_of(records: Sequence[Image] | Sequence[FaceCrop], max_distance: int) -> Near:
    """Let records be proposed to each other by their hashes, those of their parts, and that of their mirror image."""
    own = [bits(one.phash) for one in records]
    parts = (tuple(map(bits, one.phashes)) for one in records)
    return Near(own, max_distance, parts=parts, also=((mirrored(value),) for value in own))


def _gathered(count: int, nears: Sequence[Near], judge: Judge, compare: Compare, **rule: Any) -> Iterator[Group]:
    """Gather each cluster, and let the memory know of what was compared every few hundred pictures."""
    parts = clusters(count, nears)
    for part in parts:
        if len(part) == 1:
            yield Group(tuple(part), {part[0]: part[0]}, {}, {}, ())
    for bundle in together(parts):
        judge.recall(index for part in bundle for index in part)
        for part in bundle:
            yield gather(part, nears, compare, **rule)
        judge.commit()


def natural(post_id: str) -> tuple[str, int, str]:
    """Sort "board:9" before "board:10"."""
    source, _, name = post_id.partition(":")
    number, sign, version = name.partition("#")
    return (source, int(number), sign + version) if number.isdigit() else (source, 0, name)
