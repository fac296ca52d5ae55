"""How a finished build of the sandbox compares with what was drawn: faces, duplicates, reasons."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field

from pipeline.catalog import Catalog
from pipeline.records import Box, Detection, FaceCrop, Image, Reason
from pipeline.sandbox.posts import Kind, PlantedPost, Sandbox

SAME_FACE = 0.4  # overlap of a found box with the drawn one
WANTED = 48  # pixels; side of the smallest drawn face that must be found


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

    def add(self, found: list[Box], post: PlantedPost, wanted: float = WANTED) -> None:
        """Match boxes with the faces of one picture; a face too small to be wanted counts neither way."""
        faces = [face.box for face in post.truth.faces]
        pairs = sorted(((one.overlap(face), i, j) for i, one in enumerate(found) for j, face in enumerate(faces)))
        used_boxes, used_faces = set[int](), set[int]()
        for overlap, i, j in reversed(pairs):
            if overlap >= SAME_FACE and i not in used_boxes and j not in used_faces:
                used_boxes.add(i)
                used_faces.add(j)
                self.right += faces[j].width >= wanted
        self.wrong += len(found) - len(used_boxes)
        lost = [face for j, face in enumerate(faces) if j not in used_faces and face.width >= wanted]
        self.missed += len(lost)
        if lost or len(found) > len(used_boxes):
            self.examples.append(f"{post.number} {post.kind}: {len(lost)} missed, {len(found) - len(used_boxes)} wrong")


def faces(catalog: Catalog, sandbox: Sandbox, *, least: float, least_agreed: float) -> Score:
    """Score what the rule accepts without a person, over every image that was looked at."""
    score = Score()
    for _, post, detections in _looked_at(catalog, sandbox):
        sure = [one.box for one in detections if one.score >= (least_agreed if one.agreed else least)]
        score.add(sure, post)
    return score


def duplicates(catalog: Catalog, sandbox: Sandbox) -> tuple[int, int, list[str]]:
    """Count planted near-copies whose faces were cut: (grouped with another of their picture, all, wrong groupings)."""
    picture = {number: group for group, numbers in sandbox.duplicate_groups.items() for number in numbers}
    images = _images(catalog)
    crops = {crop.sha256: crop for crop in _crops(catalog)}
    posts = {crop.id: _number(images[crop.detection.image_sha256]) for crop in crops.values()}
    families: dict[str, set[int]] = defaultdict(set)
    wrong = []
    for crop in crops.values():
        said = [one for one in catalog.history(crop.id) if one.stage == "dedup"][-1]
        if said.reason is Reason.DUPLICATE:
            mine, other = posts[crop.id], posts[crops[said.detail.removeprefix("of ")].id]
            families[f"{min(mine, other)}-{max(mine, other)}"] |= {mine, other}
            if picture.get(mine, mine) != picture.get(other, other):
                wrong.append(f"{mine} was called a copy of {other}")
        for output in said.outputs:
            if isinstance(output, FaceCrop):
                families[output.family].add(posts[crop.id])
    together: set[int] = set()
    for numbers in families.values():
        pictures = Counter(picture.get(number) for number in numbers)
        together |= {number for number in numbers if number in picture and pictures[picture[number]] > 1}
    copies = {post.number for post in sandbox.kinds[Kind.NEAR_COPY]} & set(posts.values())
    return len(copies & together), len(copies), wrong


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


def _looked_at(catalog: Catalog, sandbox: Sandbox) -> list[tuple[Image, PlantedPost, list[Detection]]]:
    rows = []
    for sha256, image in _images(catalog).items():
        said = [one for one in catalog.history(sha256) if one.stage == "detect"]
        if said:
            found = [one for one in said[-1].outputs if isinstance(one, Detection)]
            rows.append((image, sandbox.truth_of(_number(image)), found))
    return rows


def _images(catalog: Catalog) -> dict[str, Image]:
    """All images that were scraped; of the same bytes, the post with the smallest number."""
    images = [record for _, record in catalog.find("") if isinstance(record, Image)]
    return {image.sha256: image for image in sorted(images, key=_number, reverse=True)}


def _crops(catalog: Catalog) -> list[FaceCrop]:
    """All crops that were cut."""
    return [record for _, record in catalog.find("") if isinstance(record, FaceCrop) and not record.family]


def _number(image: Image) -> int:
    return int(image.post_id.partition(":")[2])
