"""A recipe: the named, typed description of one dataset, from TOML with one-line errors."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import tomli_w
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.detectors import DETECTORS
from pipeline.errors import RecipeError, UsageError
from pipeline.train import TrainConfig

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
NAME_OR_NOTHING = rf"{NAME}|^$"
Rating = Literal["g", "s", "q", "e"]
BUILT_IN = files("pipeline") / "recipes"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class WebSection(_Section):
    """What is asked over the network."""

    kind: str
    name: str
    min_gap_s: float = Field(1.0, ge=0)
    """Least seconds between two requests to one host, of all runs together; slow and busy hosts are given more."""
    robots: Literal["documented", "strict", "off"] = "documented"
    """`documented`: robots.txt decides, save for a board's documented API and the files it names; `strict`: always."""
    private_hosts: bool = False
    """Ask hosts on this machine and on private networks too; only for a board that is yours."""


MANNERS = ("min_gap_s", "robots", "private_hosts")  # how a source asks, not what


class BoardSection(WebSection):
    """A board of images."""

    kind: str
    """The dialect that the board speaks."""
    board: str
    """A name from the table of boards in README, `sandbox`, or the address of any host that speaks it (https://…)."""
    name: str = Field("", pattern=NAME_OR_NOTHING)
    """The first part of the posts' ids; the board's name, or its address, if empty."""
    query: str = ""
    """Tags as on the board's own search page."""
    file: Literal["original", "sample"] = "original"
    """`original` is checked by its md5; `sample`, the smaller JPEG of the board's own pages, spares the board."""
    push_down: bool = True
    """Ask the board only for dates and ratings that the filter keeps; off: list all, and drop here with a reason."""


class DanbooruSection(BoardSection):
    """A board that speaks Danbooru's dialect."""

    kind: Literal["danbooru"]
    board: str = "danbooru"
    """A name from the table of boards (danbooru, safebooru, testbooru), `sandbox`, or an address (https://…)."""
    query: str = ""
    """Tags as on the board's own search page; at most two that count without an account."""
    tag_limit: int = Field(2, ge=1)
    """Tags that count in one query: 2 without an account or as a Member, 6 with Gold; for Platinum any large number."""


class GelbooruSection(BoardSection):
    """A board that speaks the dialect of Gelbooru 0.2."""

    kind: Literal["gelbooru"]
    board: str = "safebooru.org"
    """A name from the table of boards (safebooru.org, gelbooru, rule34), `sandbox`, or an address (https://…)."""
    form: Literal["xml", "json"] | None = None
    """What to ask for in place of what suits the board; `json` has no dates but on boards like gelbooru.com."""


class MoebooruSection(BoardSection):
    """A board that speaks Moebooru's dialect."""

    kind: Literal["moebooru"]
    board: str = "yande.re"
    """A name from the table of boards (yande.re, konachan, konachan.net), `sandbox`, or an address (https://…)."""
    query: str = ""
    """Tags as on the board's own search page; at most six, metatags aside."""


class SzurubooruSection(BoardSection):
    """A self-hosted board that runs szurubooru."""

    kind: Literal["szurubooru"]
    board: str
    """Its address (https://…), or `sandbox`."""
    file: Literal["original"] = "original"
    """Checked by its md5, or its SHA-1; the board keeps nothing smaller but thumbnails."""
    auth: Literal["token", "basic"] = "token"
    """What KAOSET_API_KEY_<HOST> holds: a `token` of the user KAOSET_LOGIN_<HOST>, or (`basic`) a password."""


class GetchuSection(WebSection):
    """Characters of the products of Getchu, a shop for games."""

    kind: Literal["getchu"]
    board: str = "getchu"
    """`getchu`, `sandbox`, or the address of a host that answers as it does (https://…)."""
    name: str = Field("getchu", pattern=NAME)
    """The first part of the posts' ids."""
    ids: tuple[Annotated[int, Field(gt=0, lt=10**9)], ...] = ()
    """Numbers of products, to take these alone."""
    feed: Literal["months", "erogamescape"] = "months"
    """Who names the products: `months`, the shop's own lists; `erogamescape`, which knows all dates beforehand."""
    age_gate: bool = False
    """Declare to be of age where the shop asks for it; without that its answer ends the listing with an error."""
    rating: Rating | None = None
    """What you declare the pictures to be, since no page says it; without it they are dropped by their rating."""
    push_down: bool = True
    """Ask only for months, or products, between `filter.since` and `filter.until`."""

    @model_validator(mode="after")
    def _is_named_once(self) -> Self:
        if self.ids and self.feed != "months":
            raise ValueError(f"ids and feed = {self.feed!r} both name the products; leave one out")
        return self


class FolderSection(_Section):
    """A folder of pictures, with all folders below it."""

    kind: Literal["folder"]
    path: Path
    """Where the pictures lie; relative to the working folder."""
    name: str = Field("folder", pattern=NAME)
    """The first part of the posts' ids."""
    rating: Rating = "g"
    """What you declare your pictures to be."""


class VideoSection(_Section):
    """Frames of a film, or of all films in a folder (.mp4 .mkv .avi .webm .mov); needs kaoset[video]."""

    kind: Literal["video"]
    path: Path
    """Where the film or the films lie; relative to the working folder."""
    name: str = Field("video", pattern=NAME)
    """The first part of the posts' ids."""
    rating: Rating = "g"
    """What you declare your films to be."""
    every_s: float = Field(1.0, gt=0)
    """Longest time in seconds from one look to the next; at every cut there is one anyway."""
    scene_threshold: float = Field(27.0, ge=0, le=255)
    """Mean change of hue, saturation and value from frame to frame that is a cut."""
    max_distance: int = Field(6, ge=0, le=31)
    """Bits of 64 by which the perceptual hash of a near copy may differ; near copies are left out."""
    last_kept: int = Field(8, ge=0, le=1000)
    """With how many of the frames kept last a new one is compared."""
    halves: bool = False
    """Take the left and the right half of each frame as pictures too: small faces are found more easily there."""
    max_s: float = Field(14_400.0, gt=0)
    """Seconds of each film that are looked at."""


class UrlsSection(WebSection):
    """A list of addresses (.csv .tsv .txt .jsonl .parquet), perhaps with md5, tags, date, page_url, rating."""

    kind: Literal["urls"]
    path: Path
    """Where the list lies, or a folder of lists; relative to the working folder."""
    name: str = Field("urls", pattern=NAME)
    """The first part of the posts' ids."""
    url_column: str = "url"
    """The column of addresses, in any case."""
    rating: Rating | None = None
    """What you declare pictures to be whose row does not say; without it they are dropped by their rating."""
    obey_noai: bool = True
    """Leave files alone whose host answers `X-Robots-Tag: noai` or `noimageai`."""


Source = Annotated[
    DanbooruSection
    | GelbooruSection
    | MoebooruSection
    | SzurubooruSection
    | GetchuSection
    | FolderSection
    | VideoSection
    | UrlsSection,
    Field(discriminator="kind"),
]
KINDS: dict[str, type[BaseModel]] = {
    get_args(section.model_fields["kind"].annotation)[0]: section for section in get_args(get_args(Source)[0])
}


class FilterSection(_Section):
    """What is worth asking for (posts) and worth keeping (crops); 0 or nothing switches a rule off."""

    since: date | None = None
    """First day (UTC) of the release, or else of the posting."""
    until: date | None = None
    """First day (UTC) that is too late."""
    ratings: tuple[Rating, ...] = ("g",)
    """Ratings to take: g general, s sensitive, q questionable, e explicit."""
    with_tags: tuple[str, ...] = ()
    """Tags that a post must have, all of them."""
    without_tags: tuple[str, ...] = ()
    """Tags that a post must not have, none of them."""
    min_face: int = Field(32, ge=0)
    """Least side of a face in the image, pixels."""
    min_score: float = Field(0.05, ge=0, le=1)
    """Least probability that it is a face; what is less probable is dropped, and no person sees it."""
    score: str = ""
    """A file of `flow fit-score`: what makes the probability (the score in the manifest); "": as kaoset has it."""
    min_sharpness: float = Field(0.0, ge=0)
    """Least variance of the Laplacian at 128 px; drawn lines give hundreds, blurred ones tens."""
    min_contrast: float = Field(0.0, ge=0, le=127)
    """Least standard deviation of grey, 0 to 127."""
    min_chroma: float = Field(0.0, ge=0)
    """Least mean distance from grey in Lab; about 3 drops monochrome pictures."""

    @model_validator(mode="after")
    def _is_a_window(self) -> Self:
        if self.since and self.until and self.since >= self.until:
            raise ValueError(f"since {self.since} is not before until {self.until}")
        return self


class ScrapeSection(_Section):
    """How files are fetched."""

    contact: str = "https://pypi.org/project/kaoset"
    """Goes into the User-Agent: an address where a board's admin can reach you."""
    threads: int = Field(16, ge=1, le=256)
    """Files under way at once, over all hosts."""
    per_host: int = Field(2, ge=1, le=16)
    """Files of one host under way at once; its pace is `min_gap_s`, whatever stands here."""
    max_bytes: int = Field(100_000_000, gt=0)
    """Largest file that is fetched."""
    max_pixels: int = Field(100_000_000, gt=0)
    """Largest picture that is decoded, width times height."""


def _known_detector(name: str) -> str:
    if name not in DETECTORS and not name.endswith(".toml"):
        raise ValueError(f"there is no such detector; choose of {', '.join(DETECTORS)}, or name the .toml of a model")
    return name


Detector = Annotated[str, AfterValidator(_known_detector)]


class DetectSection(_Section):
    """Where the faces are."""

    detectors: tuple[Detector, ...] = Field(("drawn_net", "lbpcascade", "animeface"), min_length=1, max_length=4)
    """`drawn_net`, `lbpcascade`, `drawn_faces`, `animeface`, or a model's .toml; the last judges what others find."""
    side: int = Field(512, ge=128, le=4096)
    """Longer side of the reduced picture in which faces are looked for, pixels."""
    timeout_s: float = Field(60.0, gt=0)
    """Longest time for one image; beyond it the image is dropped."""


class CropSection(_Section):
    """How the square is cut."""

    zoom: float = Field(1.5, ge=1, le=4)
    """Side of the window in sides of the face's box."""
    size: int = Field(256, ge=16, le=2048)
    """Side of the crop, pixels; faces whose window is smaller are dropped, never enlarged."""
    align: Literal["none", "eyes"] = "none"
    """`eyes`: turn the window until the eyes are level, where the detector saw them in plausible places."""
    margin_policy: Literal["shift", "pad", "drop"] = "shift"
    """A window that leaves the image is moved inwards (`shift`), kept about the face (`pad`), or dropped (`drop`)."""
    max_padding: float = Field(0.25, ge=0, le=1)
    """Largest share of the window that may lie outside the image; its edge is repeated there."""
    faces: Literal["all", "largest"] = "all"
    """`largest`: take one face of each image."""


class DedupSection(_Section):
    """What counts as the same."""

    max_distance: int = Field(10, ge=0, le=31)
    """Bits of 64 by which the perceptual hashes of two crops may differ for them to be compared."""
    max_image_distance: int = Field(8, ge=0, le=31)
    """The same of two whole images, before faces are looked for, and of those in which faces are in the same place."""
    variations: Literal["keep", "one"] = "keep"
    """Of one drawing with several expressions or texts `keep` all, in one family, or only the best `one`."""


class ReviewSection(_Section):
    """What is sure without a person; everything else waits in the queue."""

    accept_agreed: float = Field(0.95, ge=0, le=2)
    """Least probability that is sure when detectors agree; above 1 nothing is."""
    accept_alone: float = Field(1.5, ge=0, le=2)
    """The same where only one saw it; above 1 nothing is sure, and a person decides."""


class BalanceSection(_Section):
    """How much of one kind there may be, and how often a trainer should draw it."""

    by: Literal["character", "label", "hair", "eyes", "artist", "source", "family"] | None = None
    """What a kind is: whom the board names, what reviewers said, a colour as measured, a source, a family."""
    cap: int | None = Field(None, ge=1)
    """Most crops of one kind; the best are kept. What is of no known kind has no cap."""
    weights: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    """By kind, such as { blue = 2.0 }; of others 1. Written into the manifest for trainers to read."""

    @model_validator(mode="after")
    def _is_of_a_kind(self) -> Self:
        if self.by is None and (self.cap is not None or self.weights):
            raise ValueError('cap and weights are of kinds; say what a kind is, such as by = "character"')
        if self.by is not None and self.cap is None and not self.weights:
            raise ValueError(f'by = "{self.by}" changes nothing alone; give a cap or weights')
        return self


class SplitSection(_Section):
    """Shares of families, adding up to 1; what was released once stays in its split."""

    train: float = Field(0.9, ge=0, le=1)
    validation: float = Field(0.05, ge=0, le=1)
    test: float = Field(0.05, ge=0, le=1)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the shares add up to {total:g}, not to 1")
        return self


class ReleaseSection(_Section):
    """How the crops are published, and what beside them, the manifest and the arrays."""

    image_format: Literal["png", "jpg", "webp"] = "png"
    """Of the crops in `images/`; arrays and zip are made from the crops themselves, whatever is chosen here."""
    quality: int = Field(95, ge=1, le=100)
    """Of `jpg` and `webp`, which lose something."""
    formats: tuple[Literal["stylegan", "imagefolder", "huggingface", "webdataset", "parquet"], ...] = ("stylegan",)
    """What other programs read: README has the table; `stylegan` needs a crop size that is a power of two."""
    labels: Literal["none", "attributes", "character", "hair", "eyes", "label"] = "none"
    """What crops are labelled with: 34 attributes, or one class: a character, a colour, or what a person said."""
    split_by: Literal["family", "episode"] = "family"
    """What stays in one split: near-copies (`family`), or all of one film as well (`episode`)."""
    contact: str = ""
    """Goes into the dataset card: where an artist can ask that a work be removed. Without: the publisher."""


class TrainSection(_Section):
    """The GAN that a published release starts."""

    network: Literal["dcgan", "mangagan", "single", "jin", "r3gan"] = "dcgan"
    """Which networks; what is not said below is as their own document has it."""
    size: Literal[16, 32, 64, 96, 128] = 64
    """Pixels a side; also that of faces.npy. `mangagan` has 64 or 96."""
    width: int = Field(64, ge=8, le=1024)
    """Channels of the layers next to the picture; doubled each time the side is halved."""
    blocks: int | None = Field(None, ge=0, le=64)
    """Residual blocks: of `jin` in all, of `single` and `r3gan` at each side."""
    z: int | None = Field(None, ge=1, le=4096)
    """Numbers of noise that make one picture."""
    condition: Literal["none", "hair", "eyes", "character", "attributes"] = "none"
    """What pictures can be asked for; colours by tag, or measured where tags are silent; all 34 attributes by tag."""
    untagged: Literal["unknown", "false"] = "unknown"
    """Of attributes: what it means that a face has no tag for its hair style, hat, smile and the like."""
    loss: Literal["bce", "hinge", "relativistic"] | None = None
    """What both networks are paid for; only `r3gan` begins with `relativistic`, the others with `bce`."""
    penalty: Literal["none", "dragan", "r1", "r1r2"] | None = None
    """On the discriminator's gradient; with one, or with `spectral_norm`, it has no batch normalisation."""
    penalty_weight: float | None = Field(None, ge=0)
    """Of the penalty: `dragan` and `r1` 10, in `jin` 0.5, `r1r2` 1."""
    penalty_reach: float = Field(0.5, gt=0)
    """How far around real pictures `dragan` looks, in standard deviations of the batch."""
    adversarial_weight: float | None = Field(None, gt=0)
    """Of real or not, beside the labels, in `jin`: as many as there are labels; with less it learns them sooner."""
    classify_fakes: bool = True
    """Whether the discriminator of `jin` learns to name drawn pictures, too; a small one then names them by specks."""
    spectral_norm: bool = False
    """Bound every layer of the discriminator."""
    augment: Literal["none", "diffaugment", "ada"] = "none"
    """Change by chance what the discriminator sees; below 10,000 faces it roughly halves FID."""
    ada_target: float = Field(0.6, ge=0, le=1)
    """How sure of real pictures the discriminator may be before `ada` changes more."""
    kimg: float = Field(500.0, gt=0)
    """Thousands of real images to show."""
    batch: int = Field(128, ge=2)
    """Images a step."""
    draw: Literal["evenly", "weight", "class"] = "evenly"
    """How often a face is shown: as any other, by its `weight` in the manifest, or each class of `condition` alike."""
    mirror: bool = False
    """Show mirrored images too; doubles the data, but hair partings are not symmetric."""
    lr: float = Field(2e-4, gt=0)
    """Of Adam, for both networks."""
    lr_discriminator: float | None = Field(None, gt=0)
    """Another rate for the discriminator; a narrow `jin` needs about four times `lr`."""
    lr_tenth_kimg: float | None = Field(None, ge=0)
    """In so many kimg the rate falls to a tenth, evenly; 0: it stays; of `jin` 3,200."""
    beta1: float | None = Field(None, ge=0, lt=1)
    """Of Adam: 0.5; of `r3gan` 0."""
    label_smoothing: float | None = Field(None, ge=0, le=0.5)
    """One-sided, of `bce`: what real images fall short of 1; of `mangagan` 0.1."""
    ema_kimg: float = Field(10.0, ge=0)
    """Half-life of the averaged generator, which draws all samples; 0: none."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: the GPU when there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 where the hardware multiplies it."""
    sample_every_kimg: float = Field(10.0, gt=0)
    """How often sample grids are drawn."""
    checkpoint_every_kimg: float = Field(50.0, gt=0)
    """How often a checkpoint is written and measured; the best is kept."""
    measure: int = Field(2000, ge=0)
    """Pictures drawn to be compared with real ones at each checkpoint; 0: none, and the last is the best."""
    keep_last: int = Field(3, ge=1)
    """Checkpoints kept beside the best."""
    work_pool: str = ""
    """The Prefect work pool whose workers train when `flow serve` sees a release; without: this machine."""

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        try:
            self.config(seed=0)
        except RecipeError as error:
            raise ValueError(str(error)) from error
        return self

    def config(self, seed: int) -> TrainConfig:
        """Say how a GAN is trained by this."""
        return TrainConfig(seed=seed, **self.model_dump(exclude={"work_pool"}))


class Recipe(_Section):
    """One dataset, whole."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    """Names the folder of its releases."""
    seed: int = 0
    """Of every random choice: the splits, the training."""
    sources: tuple[Source, ...] = Field(min_length=1)
    """Where posts come from."""
    filter: FilterSection = FilterSection()
    scrape: ScrapeSection = ScrapeSection()
    detect: DetectSection = DetectSection()
    crop: CropSection = CropSection()
    dedup: DedupSection = DedupSection()
    review: ReviewSection = ReviewSection()
    balance: BalanceSection = BalanceSection()
    split: SplitSection = SplitSection()
    release: ReleaseSection = ReleaseSection()
    train: TrainSection = TrainSection()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [source_name(source) for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError(f"two sources are named {max(names, key=names.count)}; give each its own `name`")
        if "stylegan" in self.release.formats and self.crop.size & (self.crop.size - 1):
            raise ValueError(f"crop.size is {self.crop.size}; the stylegan format needs a power of two")
        if "imagefolder" in self.release.formats and self.release.labels == "attributes":
            raise ValueError("release.labels is 'attributes', but a folder is one class; choose another, or none")
        return self

    def to_toml(self) -> str:
        """Write every value, defaults too, so that a later kaoset reads the same recipe."""
        return tomli_w.dumps(_without_none(self.model_dump(mode="json")))


def source_name(source: WebSection | FolderSection | VideoSection) -> str:
    """Name a source: what the person said, or the board; two boards on one host are two, or their posts would mix."""
    if source.name or not isinstance(source, BoardSection):
        return source.name
    address = source.board.rpartition("//")[2].rpartition("@")[2]  # a login is refused later, and told to nobody
    return re.sub(r"[^A-Za-z0-9._]+", "-", address).strip("-._")[:64]


def built_in() -> list[str]:
    """List the recipes that come with kaoset."""
    return sorted(one.name.removesuffix(".toml") for one in BUILT_IN.iterdir() if one.name.endswith(".toml"))


def preface(name: str) -> list[str]:
    """Give the lines of comment that a recipe begins with: what it is for, and what it wants to be told.

    Raises:
        RecipeError: There is no such recipe.
    """
    lines = takewhile(lambda line: line.startswith("#"), _text(name).splitlines())
    return [line.removeprefix("#").strip() for line in lines]


def load(name: str | None, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and lay ``key=value`` overrides over it.

    Args:
        name: A built-in name or the path of a TOML file. None: ``sandbox``, or ``default`` when *overrides* name
            a kind of source or a path.
        overrides: Such as ``filter.since=2005-01-01`` or ``sources.0.kind=folder``; values are JSON, else text.

    Raises:
        RecipeError: Something is unknown, missing or out of range; the message names it and the nearest right name.
    """
    if name is None:
        own = any(re.match(r"sources\.\d+\.(kind|path)=", one) for one in overrides)
        name = "default" if own else "sandbox"
    body = _read(name)
    # The kinds first: each makes the table in which the others are set, whatever their order.
    for override in sorted(overrides, key=lambda one: not re.match(r"sources\.\d+\.kind=", one)):
        key, equals, value = override.partition("=")
        if not equals:
            raise UsageError(f"-p {override}: no value; write -p key=value, such as -p filter.since=2005-01-01")
        _set(body, key.strip(), _value(value))
    return parse(body, name)


def parse(body: Mapping[str, Any], origin: str) -> Recipe:
    """Check a recipe that was read.

    Raises:
        RecipeError: As `load`.
    """
    try:
        return Recipe.model_validate(body)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {_one_line(error)}") from error


def documented(recipe: Recipe) -> str:
    """Write a recipe as TOML with what every field means, to copy and change."""
    lines = _documented(recipe, "")
    return "\n".join(lines).strip() + "\n"


def _documented(section: BaseModel, path: str) -> list[str]:
    lines: list[str] = []
    tables: list[str] = []
    fields = sorted(type(section).model_fields.items(), key=lambda item: item[0] in MANNERS)
    for key, field in fields:
        value = getattr(section, key)
        if isinstance(value, BaseModel):
            tables += [
                "",
                f"# {(type(value).__doc__ or '').strip()}",
                f"[{path}{key}]",
                *_documented(value, f"{path}{key}."),
            ]
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            for one in value:
                tables += ["", f"# {(type(one).__doc__ or '').strip()}", f"[[{path}{key}]]", *_documented(one, "")]
        elif isinstance(value, dict):
            kinds = ", ".join(f"{json.dumps(kind, ensure_ascii=False)} = {one}" for kind, one in value.items())
            lines.append(f"{key} = {{ {kinds} }}  # {field.description}")
        else:
            shown = _without_none({key: section.model_dump(mode="json", include={key})[key]})
            text = tomli_w.dumps(shown).strip() if shown else f"# {key} ="
            comment = f"  # {field.description}" if field.description else ""
            lines.append(" ".join(text.split()) + comment)
    return lines + tables


def _read(name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(name))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{name}: not readable as TOML ({error})") from error


def _text(name: str) -> str:
    try:
        return (BUILT_IN / f"{name}.toml" if name in built_in() else Path(name)).read_text("utf-8")
    except FileNotFoundError as error:
        near = difflib.get_close_matches(name, built_in(), 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise RecipeError(
            f"{name}: no such recipe; {hint}built in are {', '.join(built_in())}, or give a TOML file"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{name}: not readable as TOML ({error})") from error


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _set(body: dict[str, Any], key: str, value: Any) -> None:
    """Set ``a.0.b`` in nested tables; another kind of source forgets what the old kind had."""
    *path, last = key.split(".")
    place: Any = body
    for part in path:
        place = _enter(place, part, key)
    if isinstance(place, list):
        index = _index(place, last, key)
        place[index : index + 1] = [value]
        return
    if last == "kind" and place.get("kind", value) != value:
        place.clear()
    place[last] = value


def _enter(place: Any, part: str, key: str) -> Any:
    if isinstance(place, list):
        index = _index(place, part, key)
        if index == len(place):
            place.append({})
        return place[index]
    if not isinstance(place, dict):
        raise RecipeError(f"-p {key}: {part} is no table; see `flow ls RECIPE` for the names")
    return place.setdefault(part, [] if part == "sources" else {})


def _index(place: list[Any], part: str, key: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", part) or int(part) > len(place):
        raise RecipeError(f"-p {key}: {part} is no number from 0 to {len(place)}")
    return int(part)


_TABLE = ("table", '{"red": 2}')  # in JSON, as -p takes it


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    model: Any = Recipe
    shown: list[str] = []
    for part in first["loc"]:
        if isinstance(part, str) and part in KINDS and shown and shown[-1].isdigit():
            model = KINDS[part]
            continue
        shown.append(str(part))
        field = getattr(model, "model_fields", {}).get(part) if isinstance(part, str) else None
        if field is not None and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    where, given = ".".join(shown), first.get("input")
    match first["type"]:
        case "extra_forbidden":
            return f"{where}: unknown; {_nearest(shown[-1], list(getattr(model, 'model_fields', {})))}"
        case "union_tag_invalid":
            kind = str(first["ctx"]["tag"])
            return f"{where}.kind: {kind!r} is unknown; {_nearest(kind, list(KINDS))}"
        case "union_tag_not_found":
            return f"{where}.kind: missing; known are {', '.join(KINDS)}"
        case "missing":
            what = model.model_fields[shown[-1]].description or ""
            return f"{where}: missing ({what.removesuffix('.')})"
        case "tuple_type" | "dict_type" as kind:
            like = ("list", json.dumps([given] if isinstance(given, str) else [])) if kind == "tuple_type" else _TABLE
            return f"{where}: a {like[0]} expected, such as {like[1]} (given: {given!r})"
    value = f" (given: {given!r})" if where and not isinstance(given, (dict, list, BaseModel)) else ""
    return f"{where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}{value}"


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, 1, 0.4)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def _without_none(body: Any) -> Any:
    if isinstance(body, dict):
        return {key: _without_none(value) for key, value in body.items() if value is not None}
    if isinstance(body, list):
        return [_without_none(value) for value in body]
    return body
