"""What travels between the stages: frozen, keyword-only, plain values; pixels are never in a record."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Self


class Verdict(StrEnum):
    """What a person said of a face crop."""

    KEEP = "keep"
    REJECT = "reject"
    UNSURE = "unsure"


class Reason(StrEnum):
    """Why an item was dropped; the comment is what a person is told."""

    # select
    NO_FILE = "no_file"  # the board hides the file of this post, or has none
    NOT_STILL = "not_still"  # video, ugoira, flash or animation
    DELETED = "deleted"  # deleted on the board
    RATING = "rating"  # not one of the recipe's ratings
    TOO_OLD = "too_old"  # before filter.since
    TOO_NEW = "too_new"  # on or after filter.until
    NO_DATE = "no_date"  # a date window is asked for and the post has no date
    TAG_EXCLUDED = "tag_excluded"  # has a tag of filter.without_tags
    TAG_MISSING = "tag_missing"  # lacks a tag of filter.with_tags
    FORGOTTEN = "forgotten"  # `flow forget` removed this work, and it shall not come back
    # scrape
    GONE = "gone"  # the file host answers 404 or 410
    FORBIDDEN = "forbidden"  # the file host answers 401, 403 or 451
    NOT_FOR_AI = "not_for_ai"  # the file host says noai or noimageai (X-Robots-Tag)
    ROBOTS = "robots"  # robots.txt of the host closes this address
    UNREACHABLE = "unreachable"  # no whole answer after all tries; tried again later, less often each time
    PARKED = "parked"  # its host is left alone for this run; the next run tries it
    TOO_LARGE = "too_large"  # more bytes than scrape.max_bytes
    EMPTY = "empty"  # the file has no bytes
    NOT_AN_IMAGE = "not_an_image"  # the bytes are no picture, whatever the name says
    WRONG_MD5 = "wrong_md5"  # the whole file came, and it is not the one that the board named
    TRUNCATED = "truncated"  # the picture ends before its last row
    CORRUPT = "corrupt"  # the picture does not decode
    TOO_MANY_PIXELS = "too_many_pixels"  # a decompression bomb, larger than scrape.max_pixels, or a very long strip
    ANIMATED = "animated"  # a GIF, PNG or WebP with more than one frame
    # dedup
    SAME_BYTES = "same_bytes"  # another post holds the same file
    SAME_CROP = "same_crop"  # another crop has the same bytes
    DUPLICATE = "duplicate"  # a near-copy of a better image or crop
    # detect
    NO_FACE = "no_face"  # no detector found a face
    CRASHED = "crashed"  # the worker died on it
    TIMED_OUT = "timed_out"  # it took longer than the time limit
    # crop
    TOO_SMALL = "too_small"  # the window has fewer pixels than the crop: enlarging is refused
    NOT_LARGEST = "not_largest"  # crop.faces asks for the largest face of an image only
    OUTSIDE = "outside"  # more of the window lies outside the image than crop.max_padding allows
    # filter
    FACE_TOO_SMALL = "face_too_small"  # the face is smaller than filter.min_face
    LOW_SCORE = "low_score"  # the detector's score is under filter.min_score
    BLURRED = "blurred"  # sharpness under filter.min_sharpness
    FLAT = "flat"  # contrast under filter.min_contrast
    MONOCHROME = "monochrome"  # chroma under filter.min_chroma
    # review
    WAITING = "waiting"  # a person has not decided yet
    REJECTED = "rejected"  # a person rejected it
    UNSURE = "unsure"  # a person could not tell
    # balance
    SPLIT_CONFLICT = "split_conflict"  # what is alike to it, or of its episode, stands in another split since earlier
    OVER_CAP = "over_cap"  # balance.cap better ones of the same kind are there

    @property
    def transient(self) -> bool:
        """Whether a later run judges the item again by itself: neither the item nor the recipe is to blame."""
        return self in (Reason.UNREACHABLE, Reason.PARKED)

    @property
    def failed(self) -> bool:
        """Whether it lies with the server or the line, so that asking once more may bring the file."""
        return self in _FAILED


_FAILED = frozenset(
    {
        Reason.GONE,
        Reason.FORBIDDEN,
        Reason.NOT_FOR_AI,
        Reason.ROBOTS,
        Reason.UNREACHABLE,
        Reason.PARKED,
        Reason.EMPTY,
        Reason.NOT_AN_IMAGE,
        Reason.WRONG_MD5,
        Reason.TRUNCATED,
        Reason.CORRUPT,
    }
)


class Record:
    """A frozen dataclass that can be written as JSON and read back unchanged."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values: times as ISO 8601 in UTC, records as objects, tuples as lists."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Self:
        """Read what `to_json` wrote; a field that an older version did not know takes its default."""
        return cls(**{name: read(body[name]) for name, read in _readers(cls).items() if name in body})


@dataclass(frozen=True, kw_only=True, slots=True)
class Post(Record):
    """One submission on a board, a product page, or a file in a folder."""

    id: str  # "<source name>:<number or path>"
    file_url: str | None  # where the bytes are; None when the board hides them
    page_url: str  # where a person looks at it; the same whatever address was asked
    origin_url: str | None = None  # the artist's page, as the board states it
    md5: str | None = None  # of the original file, 32 hexadecimal digits
    sha1: str | None = None  # of the original file, 40 hexadecimal digits, where a board states it
    ext: str = ""  # as stated by the board, lower case, no dot
    size: int | None = None  # bytes, as stated
    rating: str | None = None  # g, s, q, e; None when unknown
    tags: tuple[str, ...] = ()  # all of them, also those that name an artist, a character or a series
    artists: tuple[str, ...] = ()  # who made it, where the board says which tags are artists
    characters: tuple[str, ...] = ()  # who is to be seen, where the board says so
    series: tuple[str, ...] = ()  # what they are from; boards say "copyright"
    posted_at: datetime | None = None  # aware UTC
    released_on: date | None = None
    deleted: bool = False
    animated: bool = False  # as stated: video, ugoira, animated gif or png


@dataclass(frozen=True, kw_only=True, slots=True)
class Image(Record):
    """A downloaded file that decodes; its bytes lie in the store."""

    sha256: str
    md5: str
    post_id: str
    width: int  # pixels, after EXIF orientation
    height: int
    bytes: int
    format: str  # what the bytes are: JPEG, PNG, WEBP, GIF …
    phash: str  # 64 bits, 16 hexadecimal digits, as imagehash writes it
    phashes: tuple[str, ...] = ()  # of parts of it, by which copies that were cut are found; an older kaoset knew none

    @property
    def id(self) -> str:
        """The MD5, by which boards know files."""
        return self.md5

    def place(self, box: Box) -> Box:
        """Say where a box of this image stands, in thousandths of its width and height: the same in a larger copy."""
        wide, high = 1000 / self.width, 1000 / self.height
        return Box(
            left=round(box.left * wide),
            top=round(box.top * high),
            width=round(box.width * wide),
            height=round(box.height * high),
        )


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Box(Record):
    """Pixels of the upright image; the first pixel is 0."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column beyond the box."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The first row beyond the box."""
        return self.top + self.height

    @property
    def area(self) -> int:
        """In square pixels."""
        return self.width * self.height

    def overlap(self, other: Box) -> float:
        """Intersection over union, 0 to 1."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        if wide <= 0 or high <= 0:
            return 0.0
        return wide * high / (self.area + other.area - wide * high)


@dataclass(frozen=True, kw_only=True, slots=True)
class Landmarks(Record):
    """Where the parts of a face are: their middles as (x, y), in pixels of the same picture as its box."""

    left_eye: tuple[int, int]  # the person's left, so on the right of an upright face
    right_eye: tuple[int, int]
    mouth: tuple[int, int]
    nose: tuple[int, int]
    chin: tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection(Record):
    """A face in an image; the box means the same for every detector (pipeline.detectors)."""

    image_sha256: str
    box: Box
    detector: str  # who saw it, joined by "+"
    score: float  # 0 to 1; the probability that it is a face
    agreed: bool = False  # more than one of them saw it
    hair: str | None = None  # "#rrggbb" where the detector measures it; a FaceCrop has what is measured alike for all
    eyes: str | None = None
    skin: str | None = None
    landmarks: Landmarks | None = None  # where the detector sees them
    evidence: tuple[tuple[str, float], ...] = ()  # what the score was made of (pipeline.score)

    @property
    def id(self) -> str:
        """Content and place: the same face in the same bytes has the same name for ever."""
        box = self.box
        return f"{self.image_sha256}+{box.left}+{box.top}+{box.width}x{box.height}"


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceCrop(Record):
    """The square cut from a detection; its PNG lies in the store."""

    sha256: str  # of the PNG
    detection: Detection
    side: int  # pixels of the image that the window spans, before it was resized
    left: float = (
        0.0  # where the window's corner would be if it were not turned about its middle; in pixels of the image
    )
    top: float = 0.0
    size: int  # pixels a side, after
    padded: float  # share of the window that lay outside the image, 0 to 1
    phash: str  # 64 bits, 16 hexadecimal digits
    sharpness: float  # variance of the Laplacian of the grey crop at 128 px
    contrast: float  # standard deviation of the grey crop, 0 to 127
    chroma: float  # mean distance from grey in Lab, 0 to about 180
    turned: float = 0.0  # degrees, clockwise as seen, by which the window stood askew in the image; the crop is upright
    hair: str = ""  # "#rrggbb", in the light of the picture; "" where too little of it is seen
    hair_colour: str = ""  # one of labels.HAIR; "" where there is no telling, as in a picture without colour
    hair_confidence: float = 0.0  # 0 to 1; how far the name is from being another, and how much of the hair has it
    eyes: str = ""
    eye_colour: str = ""  # one of labels.EYES
    eye_confidence: float = 0.0
    skin: str = ""
    family: str = ""  # all crops of one picture and of its near-copies; given by dedup
    split: str = ""  # train, validation or test; given by balance
    weight: float = 1.0  # how often a trainer should draw it, beside the others; given by balance
    phashes: tuple[str, ...] = ()  # of parts of it, as of an `Image`

    @property
    def id(self) -> str:
        """Where it was cut from; two crops with the same bytes are two items."""
        return self.detection.id


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison(Record):
    """What two pictures were found to be to each other (pipeline.alike); the same bytes are never compared again."""

    one: str  # SHA-256; the smaller of the two comes first
    other: str
    likeness: str  # same, variation or different
    score: float  # 0 to 1; how sure it is that both show the same drawing
    mirrored: bool
    how: str  # for people


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewDecision(Record):
    """What somebody said of a crop; append-only: undo is another row."""

    crop_sha256: str
    verdict: Verdict | None  # None: a decision is taken back
    label: str | None = None  # None says nothing of it, so that an earlier one stands; "" takes it away
    reviewer: str = ""
    via: str = "cli"  # cli, explicit, grid (left as it was), family (a near-copy), bulk, audit, second, label, import
    decided_at: datetime
    op: str = ""  # the operation that it is a part of; "": it is one by itself
    undoes: str = ""  # without a verdict: the operation that is taken back; "": the last one
    # Which face that is, also when it is cut anew or comes in another copy; "" and None: an older kaoset did not say.
    image_sha256: str = ""
    box: Box | None = None
    phash: str = ""
    family: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation(Record):
    """One thing that a person did: a page, one crop, a label, much at once, an undo, an import; append-only."""

    id: str  # made by whoever did it, so that the same sent twice is one
    kind: str  # page, single, label, bulk, undo, import
    reviewer: str
    at: datetime
    undoes: str = ""
    batch: str = ""
    ranker: str = ""  # the order in which its crops were shown
    dwell_ms: int = 0  # how long they were looked at
    late: bool = False  # the lease had ended
    seeds_shown: int = 0  # crops among them that are known to be no faces
    seeds_caught: int = 0
    population: int = 0  # of an audit: how many crops nobody had looked at
    about: str = ""  # more, as JSON


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchItem(Record):
    """A crop on a page, and what is decided with it."""

    crop: str  # SHA-256
    members: tuple[str, ...]  # near-copies, the crop itself among them
    seed: bool = False  # known to be no face; it measures attention and never becomes a decision
    second: bool = False  # somebody else has decided on it


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch(Record):
    """A page of crops that one reviewer was given; append-only."""

    id: str
    kind: str  # page or audit
    reviewer: str
    at: datetime
    ranker: str = ""
    filters: str = ""
    population: int = 0
    items: tuple[BatchItem, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenSplit(Record):
    """Where something stands since it was first released."""

    split: str
    round: int  # 1 for the recipe's first release; what was given earlier has the lower number


@dataclass(frozen=True, kw_only=True, slots=True)
class Forgotten:
    """What was removed on somebody's wish, and shall never come back: known by names and hashes alone."""

    artists: frozenset[str] = frozenset()  # as tags are written, lower case
    posts: frozenset[str] = frozenset()  # ids; one without "#" stands for all files of that post
    md5s: frozenset[str] = frozenset()  # of files, lower case
    sha256s: frozenset[str] = frozenset()  # of images

    def holds(self, post: Post) -> bool:
        """Say whether a post is one of them, before its file is fetched."""
        return (
            post.id in self.posts
            or post.id.partition("#")[0] in self.posts
            or (post.md5 is not None and post.md5 in self.md5s)
            or bool(self.artists and not self.artists.isdisjoint(artists_of(post)))
        )

    def holds_file(self, md5: str, sha256: str) -> bool:
        """Say whether the bytes with these hashes are one of them."""
        return md5 in self.md5s or sha256 in self.sha256s


NOTHING_FORGOTTEN = Forgotten()


def artists_of(post: Post) -> set[str]:
    """Name who may have made it, lower case: where a board does not say which tags are artists, any tag may be one."""
    named = post.artists or [tag.removeprefix("artist:") for tag in post.tags]
    return {name.lower() for name in named}


@dataclass(frozen=True, kw_only=True, slots=True)
class HostCount(Record):
    """How far a run is with the files of one host."""

    host: str
    waiting: int  # files that have no outcome yet
    done: int  # files that came
    failed: int
    parked: str = ""  # why the host is left alone for this run; "": it is not
    bytes: int = 0
    began_at: datetime  # when the first of its files was asked for
    at: datetime  # when this was counted

    @property
    def rate(self) -> float:
        """Files a second, whatever became of them."""
        seconds = (self.at - self.began_at).total_seconds()
        return (self.done + self.failed) / seconds if seconds > 0 else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds until nothing waits, at this rate; None: it cannot be told, or the host is parked."""
        if not self.waiting:
            return 0.0
        return self.waiting / self.rate if self.rate and not self.parked else None


def utc(moment: datetime) -> datetime:
    """Turn an aware time into UTC; a naive one is taken to be UTC already."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _plain(value: object) -> Any:
    match value:
        case Record():
            return value.to_json()
        case datetime():
            return utc(value).isoformat()
        case date():
            return value.isoformat()
        case tuple():
            return [_plain(one) for one in value]
        case _:
            return value


def _reader(hint: Any) -> typing.Callable[[Any], Any]:
    kinds = [kind for kind in (typing.get_args(hint) or (hint,)) if kind is not type(None)]
    first = kinds[0]
    if typing.get_origin(hint) is tuple:
        inner = _reader(first)
        return lambda values: tuple(inner(one) for one in values)
    if isinstance(first, type) and issubclass(first, Record):
        make: typing.Callable[[Any], Any] = first.from_json
    elif first is datetime or first is date:
        make = first.fromisoformat
    elif isinstance(first, type) and issubclass(first, StrEnum):
        make = first
    else:
        return lambda value: value
    return lambda value: None if value is None else make(value)


def _readers(cls: type) -> dict[str, typing.Callable[[Any], Any]]:
    if cls not in _READERS:
        _READERS[cls] = {name: _reader(hint) for name, hint in typing.get_type_hints(cls).items()}
    return _READERS[cls]


_READERS: dict[type, dict[str, typing.Callable[[Any], Any]]] = {}
