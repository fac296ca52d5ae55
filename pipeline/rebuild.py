"""Makes a release again from its manifest: fetches the originals, cuts what the rows say, checks every byte."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import threading
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Self

from pipeline import __version__
from pipeline.card import NOTHING_DECIDED, Agreement
from pipeline.catalog import Catalog
from pipeline.claims import Claims
from pipeline.crop import crop_face, placed
from pipeline.errors import RecipeError, UsageError, WorldError
from pipeline.export import REBUILT, Contents, Release, last_release, publish, published
from pipeline.folder import DataFolder
from pipeline.http import Client, Fetched, Hosts, Refused
from pipeline.judge import Progress
from pipeline.manifest import MANIFEST, MAX_SIZE, ManifestRow, harmless, read_rows, table, to_csv
from pipeline.own_board import OwnBoard
from pipeline.pixels import BadImage, Picture, Pixels, encode_png, inspect
from pipeline.recipe import BoardSection, FolderSection, Recipe, ScrapeSection, VideoSection, parse, source_name
from pipeline.records import Forgotten, Image, Post, Reason
from pipeline.run import Settings
from pipeline.scrape import FetchFiles, Tally
from pipeline.sources import BOARDS, Page, Source
from pipeline.sources.folder import FolderSource
from pipeline.sources.urls import not_for_ai
from pipeline.sources.video import VideoSource
from pipeline.stage import Dropped, Kept, StageReport
from pipeline.store import Store, write_atomically
from pipeline.workers import Calls, Crashed, TimedOut, Workers

BESIDE = (MANIFEST, "recipe.toml", "report.json")  # what the same bytes are made of
DIFFERS = "differs"  # why a crop cannot be had whose image is there
TIMEOUT_S = 60.0  # for one image
ADDRESS = re.compile(r"https?://[\x21-\x7e]{1,2000}")  # what can stand in a header
NAME = "rebuilt"  # of a release whose recipe is not known
SANDBOX = str(BOARDS["sandbox"].keywords["site"])  # what stands in a manifest for the address of the sandbox board
# Whose files are asked for as their help invites programs to, by the pages of their posts.
INVITING = tuple(
    f"{board.keywords.get('site') or board.keywords.get('address')}/"
    for name, board in BOARDS.items()
    if name != "sandbox"
)


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A row that cannot be had, and why."""

    row: ManifestRow
    reason: str  # a Reason; or "differs", where other pixels came out than the row says
    detail: str


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What came out."""

    release: Release | None  # None: nothing could be had
    missing: Sequence[Missing]  # in the order of the manifest
    listed: Path | None  # the table of those; None where nothing is missing


@dataclass(frozen=True, kw_only=True)
class _Origin:
    """What lies beside a manifest, as in a release that is shared without its images."""

    rows: Sequence[ManifestRow]
    recipe: Recipe | None
    recipe_toml: str
    reports: Sequence[StageReport]
    decided: Agreement


def rebuild(
    manifest: Path,
    settings: Settings,
    releases: Path | None,
    progress: Progress,
    say: Callable[[str], None],
    *,
    private_hosts: bool = False,
) -> Rebuilt:
    """Publish again what a manifest lists, as far as it can be had; what lies in the store is not fetched again.

    In a data folder the last release of a recipe stays its last: what is not whole, or is another than that one, goes
    to releases of their own, after whose name stands `REBUILT`. A release that is there already is not made again.

    The manners are our own, whoever wrote the recipe beside the manifest: no contact, pace or permission of theirs is
    taken over.

    Args:
        manifest: With `recipe.toml` and `report.json` beside it the same bytes come out, in every file.
        settings: Where the store is, and how much may be done at once.
        releases: The folder of releases to publish in; that of the data folder where it is None.
        progress: Told of every file and crop.
        say: Told what a person should know now, in a line.
        private_hosts: Ask hosts of this machine and of private networks, too.

    Raises:
        UsageError: The manifest, or what lies beside it, is not what it must be.
        KaosetError: The folder or the catalog is not to be had.
        Stopped: A person wished so.
    """
    origin = _origin(manifest, say)
    folder = DataFolder(settings.data)
    with ExitStack() as stack:
        stack.enter_context(folder.enter())
        stack.enter_context(folder.lock(_name(origin)))
        catalog = Catalog(settings.catalog_url or folder.catalog)
        stack.callback(catalog.close)
        forgotten = catalog.forgotten()
        work = _Work(origin=origin, settings=settings, folder=folder, progress=progress)
        missing: dict[str, Missing] = {}
        rows = []
        for row in origin.rows:
            if forgotten.holds(_post(row, row.file_url)) or forgotten.holds_file(row.image_md5, row.image_sha256):
                missing[row.crop_sha256] = _gone(row, Reason.FORGOTTEN, "by `flow forget`, in this data folder")
            elif not _is_cut(folder.store, row):
                rows.append(row)
        missing |= work.fetch(rows, forgotten, private=private_hosts)
        missing |= work.cut([row for row in rows if row.crop_sha256 not in missing])
        lacking = [missing[row.crop_sha256] for row in origin.rows if row.crop_sha256 in missing]
        there = [row for row in origin.rows if row.crop_sha256 not in missing]
        target = releases or folder.releases
        contents = _contents(origin, there, lacking)
        release = None if lacking else published(contents, target)
        aside = origin.recipe is not None and releases is None and (lacking or _is_another(contents, target))
        if release is None and aside:
            contents = replace(contents, recipe_name=f"{contents.recipe_name}{REBUILT}")
        if release is None and there:
            release = publish(contents, folder.store, target, lambda *now: progress("export", *now))
        listed = _list(target / contents.recipe_name, release, lacking)
    return Rebuilt(release=release, missing=lacking, listed=listed)


def _is_another(contents: Contents, releases: Path) -> bool:
    """Say whether the recipe has a last release here which lists something else: that one is to stay the last."""
    last = last_release(releases, contents.recipe_name)
    try:
        return last is not None and (last / MANIFEST).read_bytes() != to_csv(contents.rows)
    except OSError:
        return True


def _origin(manifest: Path, say: Callable[[str], None]) -> _Origin:
    if manifest.is_dir():
        raise UsageError(f"{manifest}: is a folder; name the manifest itself, data_manifest.csv")
    if manifest.suffix == ".toml":
        raise UsageError(f"{manifest}: is a recipe, no manifest; give data_manifest.csv, or `flow run build-dataset`")
    rows = read_rows(manifest)
    if not rows:
        raise UsageError(f"{manifest}: lists no crop, so there is nothing to make")
    if to_csv(rows) != manifest.read_bytes():
        say(f"WARNING: {manifest} was changed since it was published, so its copy will differ in form")
    recipe, recipe_toml = _recipe(manifest.with_name("recipe.toml"))
    if recipe is None:
        say("no recipe.toml lies beside the manifest, so arrays and archives are as kaoset makes them by default")
    reports, decided = _reports(manifest.with_name("report.json"), say)
    return _Origin(
        rows=rows,
        recipe=recipe,
        recipe_toml=recipe_toml,
        reports=reports,
        decided=decided,
    )


def _recipe(path: Path) -> tuple[Recipe | None, str]:
    try:
        text = path.read_bytes().decode()
        return parse(tomllib.loads(text), str(path)), text
    except FileNotFoundError:
        return None, ""
    except RecipeError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not readable ({error}); take the one of the release, or move it away") from error


def _reports(path: Path, say: Callable[[str], None]) -> tuple[Sequence[StageReport], Agreement]:
    try:
        body = json.loads(path.read_bytes())
        reports = [
            StageReport(
                stage=str(one["stage"]),
                seen=int(one["seen"]),
                kept=int(one["kept"]),
                dropped={str(reason): int(count) for reason, count in one["dropped"].items()},
                judged=0,
                seconds=0.0,
            )
            for one in body["stages"]
        ]
        decided = Agreement.from_json(body["review"]) if "review" in body else NOTHING_DECIDED
    except FileNotFoundError:
        return (), NOTHING_DECIDED
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path}: not readable ({error}); take the one of the release, or move it away") from error
    if body.get("kaoset") != __version__:
        say(
            f"WARNING: published by kaoset {str(body.get('kaoset'))[:20]}, and this is {__version__}: what it writes "
            "beside the manifest may differ"
        )
    return reports, decided


def _name(origin: _Origin) -> str:
    return origin.recipe.name if origin.recipe else NAME


def _is_cut(store: Store, row: ManifestRow) -> bool:
    """Say whether the crop of a row is there already, as large as the row says."""
    if not store.has(row.crop_sha256):
        return False
    return inspect(store.get(row.crop_sha256), max_pixels=MAX_SIZE * MAX_SIZE).width == row.size


def _contents(origin: _Origin, there: Sequence[ManifestRow], lacking: Sequence[Missing]) -> Contents:
    recipe = origin.recipe or _plain_recipe(origin.rows)
    own = StageReport(
        stage="rebuild",
        seen=len(origin.rows),
        kept=len(there),
        dropped=dict(sorted(Counter(one.reason for one in lacking).items())),
        judged=len(there),
        seconds=0.0,
    )
    whole = origin.reports and not lacking
    return Contents(
        recipe_name=_name(origin),
        recipe_toml=origin.recipe_toml or recipe.to_toml(),
        rows=there,
        reports=origin.reports if whole else [*origin.reports, own],
        train_size=recipe.train.size,
        formats=recipe.release.formats,
        labels=recipe.release.labels,
        quality=recipe.release.quality,
        agreement=origin.decided,
    )


def _plain_recipe(rows: Sequence[ManifestRow]) -> Recipe:
    """Make a recipe of a manifest alone: it lists the same files, and is as kaoset has it for all that is not said."""
    sizes = {row.size for row in rows}
    size = sizes.pop() if len(sizes) == 1 else 0
    return Recipe.model_validate(
        {
            "name": NAME,
            "sources": [{"kind": "urls", "path": MANIFEST, "url_column": "file_url"}],
            "crop": {"size": size} if 16 <= size <= 2048 else {},
            "release": {"formats": ["stylegan"] if size and not size & (size - 1) else []},
            "train": {"size": max((one for one in (16, 32, 64) if one <= size), default=16)},
        }
    )


def _list(folder: Path, release: Release | None, lacking: Sequence[Missing]) -> Path | None:
    """Write the table of what is missing in a release beside it, under its number; where nothing is, there is none."""
    path = folder / (f"missing-{release.path.name}.csv" if release else "missing.csv")
    if not lacking:
        path.unlink(missing_ok=True)
        return None
    head = ("crop_sha256", "post_id", "page_url", "file_url", "reason", "detail")
    rows = ((*(getattr(one.row, name) for name in head[:4]), one.reason, one.detail) for one in lacking)
    write_atomically(path, table((head, *(tuple(map(harmless, cells)) for cells in rows))))
    return path


def _gone(row: ManifestRow, reason: str, detail: str) -> Missing:
    return Missing(row=row, reason=str(reason), detail=detail)


def _post(row: ManifestRow, file_url: str | None) -> Post:
    """Give what a file is fetched by, and a work is known by."""
    return Post(
        id=row.post_id,
        file_url=file_url or None,
        page_url=row.page_url,
        md5=row.image_md5,
        tags=tuple(row.tags.split()),
        artists=tuple(row.artists.split()),
    )


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What fetching and cutting need."""

    origin: _Origin
    settings: Settings
    folder: DataFolder
    progress: Progress

    def fetch(self, rows: Sequence[ManifestRow], forgotten: Forgotten, *, private: bool) -> dict[str, Missing]:
        """Bring the images of *rows* into the store; gives the rows whose image cannot be had, by their crop."""
        store, limits, stop = self.folder.store, ScrapeSection(), threading.Event()
        lacking = [row for row in rows if not store.has(row.image_sha256)]
        near = _Near.of(self.origin.recipe, self.folder, {row.post_id for row in lacking if not row.file_url})
        posts = {row.image_md5: _post(row, row.file_url or near.address(row.post_id)) for row in lacking}
        with ExitStack() as stack:
            board = stack.enter_context(closing(self._board()))
            originals = _Originals(
                recipe=self.origin.recipe,
                board=board.url if any(_is_ours(post.file_url or "") for post in posts.values()) else "",
                near=near,
                hosts=stack.enter_context(closing(Hosts(self.folder.pace))),
                private=private,
                stop=stop,
            )
            stack.callback(originals.close)
            stage = FetchFiles(
                max_bytes=limits.max_bytes,
                max_pixels=limits.max_pixels,
                sources=dict.fromkeys((post.id.partition(":")[0] for post in posts.values()), originals),
                parts=self.folder.parts,
                claims=stack.enter_context(closing(Claims(self.folder.claims))),
                threads=limits.threads,
                per_host=limits.per_host,
                calls=stack.enter_context(closing(Calls(self._processes, timeout_s=TIMEOUT_S))),
                said=lambda _: None,
                tally=Tally(),
                forgotten=forgotten,
                stop=stop,
            )
            came: dict[str, Image | Dropped[Post]] = {}
            self.progress("fetch", 0, len(posts))
            outcomes: Any = stage(posts.values(), store)  # a generator, which is left early by Ctrl-C
            for outcome in stack.enter_context(closing(outcomes)):
                came[outcome.item.md5 or ""] = outcome.outputs[0] if isinstance(outcome, Kept) else outcome
                stage.settled([outcome.item])  # the store is the memory; what did not come is asked for again
                self.progress("fetch", len(came), len(posts))
        judged = ((row, _judged(row, came[row.image_md5], near)) for row in lacking)
        return {row.crop_sha256: missing for row, missing in judged if missing is not None}

    def cut(self, rows: Sequence[ManifestRow]) -> dict[str, Missing]:
        """Cut the crops of *rows* into the store; gives those that do not come out as they were, by their crop."""
        ordered = sorted(rows, key=lambda row: (row.image_sha256, row.crop_sha256))
        groups = [tuple(group) for _, group in groupby(ordered, key=lambda row: row.image_sha256)]
        work = functools.partial(_cut, self.folder.store, ScrapeSection().max_pixels)
        missing: list[Missing] = []
        done = 0
        with closing(Workers(self._processes, timeout_s=TIMEOUT_S)) as workers:
            self.progress("crop", 0, len(ordered))
            for group, result in workers.map(work, groups):
                match result:
                    case Crashed(detail):
                        missing += (_gone(row, Reason.CRASHED, detail) for row in group)
                    case TimedOut(detail):
                        missing += (_gone(row, Reason.TIMED_OUT, detail) for row in group)
                    case _:
                        missing += result
                done += len(group)
                self.progress("crop", done, len(ordered))
        return {one.row.crop_sha256: one for one in missing}

    @property
    def _processes(self) -> int:
        return self.settings.workers or os.cpu_count() or 1

    def _board(self) -> OwnBoard:
        return OwnBoard(
            self.folder.sandbox,
            posts=self.settings.sandbox_posts,
            faults=self.settings.sandbox_faults,
            progress=self.progress,
            url=self.settings.sandbox_url,
        )


def _judged(row: ManifestRow, answer: Image | Dropped[Post], near: _Near) -> Missing | None:
    match answer:
        case Image(sha256=sha256) if sha256 == row.image_sha256:
            return None
        case Image(sha256=sha256):
            return _gone(row, Reason.WRONG_MD5, f"another file came, with the SHA-256 {sha256}")
        case Dropped(_, Reason.NO_FILE as reason):
            return _gone(row, reason, near.trouble)
        case Dropped(_, reason, detail):
            return _gone(row, reason, detail)


def _cut(store: Store, max_pixels: int, rows: tuple[ManifestRow, ...]) -> list[Missing]:
    """Cut rows of one image, in a worker; gives those that do not come out as they were."""
    try:
        pixels_HWC = Picture(store.get(rows[0].image_sha256), max_pixels=max_pixels).full()
    except BadImage as bad:
        return [_gone(row, bad.reason, bad.detail) for row in rows]
    return [missing for row in rows if (missing := _cut_one(store, pixels_HWC, row)) is not None]


def _cut_one(store: Store, pixels_HWC: Pixels, row: ManifestRow) -> Missing | None:
    window = placed(row.window_side, row.window_left, row.window_top, row.turned)
    try:
        png = encode_png(crop_face(pixels_HWC, window, row.size))
    except ValueError as error:
        return _gone(row, DIFFERS, str(error))
    sha256 = hashlib.sha256(png).hexdigest()
    if sha256 != row.crop_sha256:
        return _gone(row, DIFFERS, f"cut again it is {sha256}; another version of kaoset or Pillow made it")
    store.put(png)
    return None


@dataclass(frozen=True, kw_only=True)
class _Near:
    """The files of this machine that a recipe names: a manifest tells no path."""

    sources: Mapping[str, Source]
    posts: Mapping[str, Post]
    trouble: str  # why a file may be unknown

    @classmethod
    def of(cls, recipe: Recipe | None, folder: DataFolder, wanted: Collection[str]) -> Self:
        """List the folders and films of *recipe* in which the posts *wanted* may be."""
        trouble = "the manifest says no address: a file of the machine it was made on, which the recipe beside it names"
        sources: dict[str, Source] = {}
        posts: dict[str, Post] = {}
        names = {post.partition(":")[0] for post in wanted}
        for section in recipe.sources if recipe else ():
            match section:
                case FolderSection() if section.name in names:
                    source: Source = FolderSource(
                        name=section.name, path=section.path, rating=section.rating, leave_out=(folder.root,)
                    )
                case VideoSection() if section.name in names:
                    source = VideoSource(**section.model_dump(exclude={"kind"}))
                case _:
                    continue
            sources[section.name] = source
            trouble = "no such file lies there now, or it is another"
            try:
                posts |= {post.id: post for page in source.pages(None) for post in page.posts if post.id in wanted}
            except (UsageError, WorldError) as error:
                trouble = str(error)
        return cls(sources=sources, posts=posts, trouble=trouble)

    def address(self, post_id: str) -> str | None:
        """Say where a file is; None where it is not known."""
        found = self.posts.get(post_id)
        return None if found is None else found.file_url


class _Originals:
    """Fetches files by what a manifest says of them; it lists nothing.

    Args:
        recipe: Says which of its sources are boards, whose files are asked for as their help invites programs to.
        board: Where the sandbox board answers.
        near: The files of this machine.
        hosts: Keeps the pace of each host, for all runs.
        private: Whether hosts of this machine and of private networks may be asked.
        stop: Set by whoever wants it to end.
    """

    name = NAME
    listing = NAME

    def __init__(
        self, *, recipe: Recipe | None, board: str, near: _Near, hosts: Hosts, private: bool, stop: threading.Event
    ) -> None:
        manners: dict[str, Any] = {"hosts": hosts, "contact": ScrapeSection().contact, "stop": stop, "tries": 6}
        self._ours = Client(**manners, private=True, min_gap_s=0.0, backoff_s=0.5)
        self._invited = Client(**manners, private=private, backoff_s=0.5)
        self._guest = Client(**manners, private=private, backoff_s=0.5, robots=True)
        self._board, self._near = board, near
        self._boards = {
            source_name(section)
            for section in (recipe.sources if recipe else ())
            if isinstance(section, BoardSection) and section.robots != "strict"
        }

    def pages(self, _cursor: dict[str, Any] | None) -> Iterator[Page]:
        """List nothing."""
        return iter(())

    def fetch(self, post: Post, target: Path, max_bytes: int) -> Fetched | Refused:
        """Bring the file of *post*, as the source of that post would, and check its MD5."""
        url, source = post.file_url or "", post.id.partition(":")[0]
        if url.startswith("file:"):
            return self._near.sources[source].fetch(post, target, max_bytes)
        if _is_ours(url):
            client = self._ours
        elif source in self._boards or post.page_url.startswith(INVITING):
            client = self._invited
        else:
            client = self._guest
        page = self._asked(post.page_url) if ADDRESS.fullmatch(post.page_url) else ""
        return client.download(
            self._asked(url),
            target,
            expect_md5=post.md5,
            max_bytes=max_bytes,
            headers={"Referer": page} if page else None,  # some hosts give pictures to those alone who come from a page
            objects=not_for_ai if client is self._guest else None,
        )

    def close(self) -> None:
        """Close all connections."""
        for client in (self._ours, self._invited, self._guest):
            client.close()

    def _asked(self, url: str) -> str:
        """Turn what is written down into what is asked."""
        return self._board + url.removeprefix(SANDBOX) if _is_ours(url) else url


def _is_ours(url: str) -> bool:
    """Whether it is an address of the sandbox board, as it is written down."""
    return url.startswith(f"{SANDBOX}/")
