"""How what was found compares with what was drawn: faces, the release, near-copies, reasons."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.catalog import Catalog
from pipeline.dedup import kept_for
from pipeline.records import Box, Detection, FaceCrop, Image, Reason
from pipeline.sandbox.posts import Kind, PlantedPost, Sandbox

SAME_FACE = 0.4  # overlap of a found box with the drawn one
WANTED = 48  # pixels; side of the smallest drawn face that must be found

# What is said of a post only after somebody has looked for faces in it.
_AFTER_A_LOOK = frozenset(
    {
        Reason.NO_FACE,
        Reason.TOO_SMALL,
        Reason.FACE_TOO_SMALL,
        Reason.LOW_SCORE,
        Reason.MONOCHROME,
        Reason.DUPLICATE,
        Reason.SAME_CROP,
        Reason.WAITING,
        Reason.SAME_BYTES,  # one of those with the same bytes is looked at
    }
)


def match(found: Sequence[Box], drawn: Sequence[Box]) -> dict[int, int]:
    """Pair drawn faces with found boxes, the best overlap first, each at most once.

    Returns:
        Index of the box by index of the face; only pairs that overlap by at least `SAME_FACE`.
    """
    pairs = sorted(((one.overlap(face), i, j) for i, one in enumerate(found) for j, face in enumerate(drawn)))
    matched: dict[int, int] = {}
    for overlap, i, j in reversed(pairs):
        if overlap >= SAME_FACE and j not in matched and i not in matched.values():
            matched[j] = i
    return matched


@dataclass
class Score:
    """Right, wrong and missed."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """Share of what was said that is right."""
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        """Share of what is true that was said."""
        return self.right / max(1, self.right + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.precision * self.recall / max(1e-9, self.precision + self.recall)

    def add(self, found: Sequence[Box], post: PlantedPost, wanted: float = WANTED) -> None:
        """Match boxes with the faces of one picture; a face too small to be wanted counts neither way."""
        drawn = [face.box for face in post.truth.faces]
        matched = match(found, drawn)
        due = {j for j, face in enumerate(drawn) if face.width >= wanted}
        missed, wrong = len(due - matched.keys()), len(found) - len(matched)
        self.right += len(due & matched.keys())
        self.missed += missed
        self.wrong += wrong
        if missed or wrong:
            self.examples.append(f"{post.number} {post.kind}: {missed} missed, {wrong} wrong")


@dataclass(frozen=True, slots=True)
class Rule:
    """The least scores that are sure without a person."""

    alone: float
    agreed: float

    def sure(self, detection: Detection) -> bool:
        """Say whether the rule accepts it."""
        return detection.score >= (self.agreed if detection.agreed else self.alone)


@dataclass(frozen=True, slots=True)
class Look:
    """What was found in one picture, beside what was drawn."""

    post: PlantedPost
    found: tuple[Detection, ...]

    def boxes(self, rule: Rule | None = None) -> list[Box]:
        """Give the boxes that *rule* is sure of; without a rule, all."""
        return [one.box for one in self.found if rule is None or rule.sure(one)]


def faces(catalog: Catalog, sandbox: Sandbox, *, least: float, least_agreed: float) -> Score:
    """Score what the rule accepts without a person, over every picture that was to be looked at."""
    return score(looks(catalog, sandbox), Rule(least, least_agreed))


def score(looked: Iterable[Look], rule: Rule | None = None, wanted: float = WANTED) -> Score:
    """Score the boxes that *rule* is sure of; without a rule, all."""
    total = Score()
    for look in looked:
        total.add(look.boxes(rule), look.post, wanted)
    return total


def looks(catalog: Catalog, sandbox: Sandbox) -> list[Look]:
    """Give every picture that faces were looked for in, and, as one without a find, every other that was to be.

    What was dropped for a better copy need not be looked at; `duplicates` says whether it was one.
    """
    copies = _copies(catalog)
    found: dict[str, Look] = {}
    for sha256, image in _images(catalog).items():
        said = [one for one in catalog.history(sha256) if one.stage == "detect"]
        if said:
            post = sandbox.truth_of(_number(image))
            found[post.md5] = Look(post, tuple(one for one in said[-1].outputs if isinstance(one, Detection)))
    for post in sandbox.posts:
        if to_be_looked_at(post) and post.number not in copies:
            found.setdefault(post.md5, Look(post, ()))
    return sorted(found.values(), key=lambda look: look.post.number)


def to_be_looked_at(post: PlantedPost) -> bool:
    """Say whether nothing speaks against a post before faces are looked for."""
    return not post.reasons or not _AFTER_A_LOOK.isdisjoint(post.reasons)


def released(catalog: Catalog, sandbox: Sandbox, wanted: float) -> Score:
    """Score the crops that review let through.

    A drawn face counts as found when a crop of it, or of a copy of its picture, is among them. Faces of a picture that
    is to be dropped for itself (monochrome, no face, too small) need not be found; a crop of one is not wrong.

    Args:
        catalog: Of a finished build.
        sandbox: What it was built from.
        wanted: Side of the smallest drawn face whose window is no smaller than a crop, pixels.
    """
    boxes: dict[int, list[Box]] = defaultdict(list)
    posts = {sha256: _number(image) for sha256, image in _images(catalog).items()}
    for crop in _crops(catalog):
        said = [one for one in catalog.history(crop.id) if one.stage == "review"]
        if said and said[-1].reason is None:
            boxes[posts[crop.detection.image_sha256]].append(crop.detection.box)
    due: set[tuple[str, int]] = set()
    there: set[tuple[str, int]] = set()
    total = Score()
    for post in sandbox.posts:
        picture, drawn = post.group or str(post.number), [face.box for face in post.truth.faces]
        matched = match(boxes[post.number], drawn)
        total.wrong += len(boxes[post.number]) - len(matched)
        there |= {(picture, j) for j in matched}
        if not post.reasons:
            due |= {(picture, j) for j, box in enumerate(drawn) if box.width >= wanted}
    total.right, total.missed = len(due & there), len(due - there)
    total.examples = [f"{picture}: face {j} is not in the release" for picture, j in sorted(due - there)]
    return total


def duplicates(catalog: Catalog, sandbox: Sandbox) -> tuple[int, int, list[str]]:
    """Count planted near-copies that were dropped or cut: (grouped with another of their picture, all, wrong ones)."""
    picture = {number: group for group, numbers in sandbox.duplicate_groups.items() for number in numbers}
    images = _images(catalog)
    crops = {crop.sha256: crop for crop in _crops(catalog)}
    posts = {crop.id: _number(images[crop.detection.image_sha256]) for crop in crops.values()}
    groups: dict[str, set[int]] = defaultdict(set)  # posts that were called the same, or given one family
    called = sorted(_copies(catalog).items())
    for crop in crops.values():
        said = [one for one in catalog.history(crop.id) if one.stage == "dedup"][-1]
        if said.reason is Reason.DUPLICATE:
            called.append((posts[crop.id], posts[crops[kept_for(said.detail)[0]].id]))
        for output in said.outputs:
            if isinstance(output, FaceCrop):
                groups[output.family].add(posts[crop.id])
    wrong = []
    for mine, other in called:
        groups[f"{min(mine, other)}-{max(mine, other)}"] |= {mine, other}
        if picture.get(mine, mine) != picture.get(other, other):
            wrong.append(f"{mine} was called a copy of {other}")
    together: set[int] = set()
    for name, numbers in groups.items():
        pictures = Counter(picture.get(number, number) for number in numbers)
        together |= {number for number in numbers if number in picture and pictures[picture[number]] > 1}
        if len(pictures) > 1 and "-" not in name:
            wrong.append(f"{', '.join(map(str, sorted(numbers)))} were called one family")
    seen = {*posts.values(), *_copies(catalog)}
    copies = {post.number for post in sandbox.kinds[Kind.NEAR_COPY]} & seen
    return len(copies & together), len(copies), wrong


def _copies(catalog: Catalog) -> dict[int, int]:
    """Give the posts whose images were dropped for a better copy, each with the post of that."""
    images = _images(catalog)
    return {
        _number(image): _number(images[kept_for(said.detail)[0]])
        for image in images.values()
        for said in catalog.history(f"{image.post_id}={image.sha256}")
        if said.stage == "dedup-images" and said.reason is Reason.DUPLICATE
    }


def reposts(catalog: Catalog, sandbox: Sandbox) -> tuple[int, list[str]]:
    """Count the files that several posts hold and one of them kept: (right, what was wrong)."""
    by_file: dict[str, list[PlantedPost]] = defaultdict(list)
    for post in sandbox.posts:
        if to_be_looked_at(post):
            by_file[post.md5].append(post)
    right, wrong = 0, []
    for same in by_file.values():
        kept = [post.number for post in same if not _same_bytes(catalog, post)]
        if len(same) > 1 and len(kept) == 1:
            right += 1
        elif len(same) > 1:
            wrong.append(f"{', '.join(str(post.number) for post in same)}: kept {kept or 'none'} of the same bytes")
    return right, wrong


def _same_bytes(catalog: Catalog, post: PlantedPost) -> bool:
    images = [
        record.sha256
        for said in catalog.history(f"sandbox:{post.number}")
        for record in said.outputs
        if isinstance(record, Image)
    ]
    said = [one for sha256 in images for one in catalog.history(f"sandbox:{post.number}={sha256}")]
    return any(one.reason is Reason.SAME_BYTES for one in said)


def reasons(catalog: Catalog, sandbox: Sandbox, leave_out: Collection[Kind] = ()) -> tuple[Counter[str], list[str]]:
    """Compare the reason for each planted bad post with what was said of it: (right by kind, what was wrong)."""
    right: Counter[str] = Counter()
    wrong = []
    for post in sandbox.posts:
        if post.reason is None or post.kind in {Kind.NEAR_COPY, Kind.REPOST, *leave_out}:
            continue
        said = _said(catalog, post)
        if said and said <= set(post.reasons):
            right[post.kind] += 1
        else:
            wrong.append(f"{post.number} {post.kind}: {sorted(said) or 'kept'}, expected {', '.join(post.reasons)}")
    return right, wrong


def _said(catalog: Catalog, post: PlantedPost) -> set[Reason]:
    """Collect every reason on the way of a post and of all that was made of it."""
    waiting, found = [f"sandbox:{post.number}"], set()
    while waiting:
        for said in catalog.history(waiting.pop()):
            if said.reason:
                found.add(said.reason)
            for record in said.outputs:
                if isinstance(record, Image):
                    waiting.append(record.sha256)
                elif isinstance(record, Detection):
                    waiting.append(record.id)
    return found


def _images(catalog: Catalog) -> dict[str, Image]:
    """All images that were scraped; of the same bytes, the post with the smallest number."""
    images = [record for _, record in catalog.find("") if isinstance(record, Image)]
    return {image.sha256: image for image in sorted(images, key=_number, reverse=True)}


def _crops(catalog: Catalog) -> list[FaceCrop]:
    """All crops that were cut."""
    return [record for _, record in catalog.find("") if isinstance(record, FaceCrop) and not record.family]


def _number(image: Image) -> int:
    return int(image.post_id.partition(":")[2])
