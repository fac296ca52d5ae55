"""Makes a recipe's stages, and takes them in turn over a data folder."""

from __future__ import annotations

import difflib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline import score
from pipeline.ahead import Ahead
from pipeline.balance import BalanceCrops
from pipeline.card import agreement
from pipeline.catalog import Catalog, Remembered
from pipeline.claims import Claims
from pipeline.crop import CropFaces
from pipeline.decided import carried
from pipeline.dedup import DropNearDuplicates, DropSameImages
from pipeline.detect import DetectFaces, Follow
from pipeline.detectors import DETECTORS, at_hand
from pipeline.detectors import build as build_detector
from pipeline.errors import BoardError, IncompleteError, RecipeError, UsageError
from pipeline.export import Contents, MadeRows, Release, publish
from pipeline.filter import FilterCrops
from pipeline.folder import DataFolder
from pipeline.http import Client, Hosts, Refused, Stopped
from pipeline.judge import Beside, Progress, Which, choose, failed_before, judge, new_or_due, recall_stage, run_stage
from pipeline.labels import attributes_of
from pipeline.manifest import ManifestRow, row
from pipeline.own_board import OwnBoard
from pipeline.recipe import (
    MANNERS,
    BoardSection,
    FolderSection,
    GetchuSection,
    Recipe,
    UrlsSection,
    VideoSection,
    WebSection,
    source_name,
)
from pipeline.records import FaceCrop, Image, Post, Reason, ReviewDecision, Verdict
from pipeline.review import ReviewCrops
from pipeline.scrape import FetchFiles, Tally, host_of
from pipeline.select import SelectPosts
from pipeline.sources import BOARDS, DIALECTS, Source, erogamescape, getchu
from pipeline.sources.board import key_name
from pipeline.sources.folder import FolderSource
from pipeline.sources.urls import UrlsSource
from pipeline.sources.video import VideoSource
from pipeline.stage import Kept, Stage, StageReport, fingerprint
from pipeline.store import Store
from pipeline.workers import Calls, Workers

STAGES = (
    "list",
    "select",
    "scrape",
    "dedup-images",
    "detect",
    "crop",
    "dedup",
    "filter",
    "review",
    "balance",
    "export",
)
ROOM = 1000  # files of one host that may wait while the boards are still read; the others wait in the catalog
ROOM_IN_ALL = 10_000
NOTE_HOSTS_S = 1.0  # how often the catalog is told how far each host is
SANDBOX = "sandbox"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run needs beside its recipe, and what never changes a dataset."""

    data: Path
    catalog_url: str = ""  # "": SQLite in the data folder
    workers: int = 0  # processes; 0: as many as there are cores
    limit: int | None = None  # posts of each source, the newest
    sandbox_url: str = ""  # "": start one when a source asks for it
    sandbox_posts: int = 600
    sandbox_faults: bool = False
    retry_failed: bool = False  # list nothing, and fetch only what failed before
    fetch_ahead: bool = True  # fetch files while the boards are still read
    keys: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # login and API key, by `key_name` of the host


class Build:
    """One run of a recipe: enter it, then take the stages in the order of `STAGES`.

    Args:
        recipe: What to build.
        settings: Where and with what.
        progress: Told of every outcome.
        say: Told what a person should know now, in a line.

    Raises:
        KaosetError: On entering: the folder, the catalog or a detector is not to be had.
    """

    def __init__(self, recipe: Recipe, settings: Settings, progress: Progress, say: Callable[[str], None]) -> None:
        self.recipe, self.settings, self._progress, self._say = recipe, settings, progress, say
        self.folder = DataFolder(settings.data)
        self.store = self.folder.store
        self.reports: list[StageReport] = []
        self.release: Release | None = None
        self._stack = ExitStack()
        self._items: list[Any] = []
        self._posts: dict[str, Post] = {}
        self._images: dict[str, Image] = {}
        self._copies: list[tuple[str, str]] = []  # images, by SHA-256, that show the same drawing
        self._ahead: Ahead | None = None
        self._offered: set[str] = set()
        self._cut: set[str] = set()  # keys of the detections that were cut where they were found
        self._by_person: dict[str, ReviewDecision] = {}  # what people said of crops that review saw, by SHA-256
        self._sure: dict[str, bool] = {}  # whether the rule alone would accept a crop that review saw, by SHA-256
        self._looked_at: dict[str, FaceCrop] = {}  # of which decisions are that do not say where it lay
        self._elsewhere: dict[str, Image] = {}  # images of crops that were decided on, and are not in this dataset now
        self._note = ""
        self._tally = Tally()
        self._noted = 0.0
        self._listing = threading.Lock()
        self._count = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.folder.enter())
            stack.enter_context(self.folder.lock(self.recipe.name))
            self.recipe = with_detectors_at_hand(self.recipe, self._say)
            own = self.recipe.filter.score
            self._score = score.load(Path(own), self.recipe.detect.detectors) if own else None
            self.catalog = Catalog(self.settings.catalog_url or self.folder.catalog)
            stack.callback(self.catalog.close)
            self._forgotten = self.catalog.forgotten()
            self._claims = Claims(self.folder.claims)
            stack.callback(self._claims.close)
            self._stop = threading.Event()
            self._hosts = Hosts(self.folder.pace)
            stack.callback(self._hosts.close)
            self._clients = stack.enter_context(ExitStack())
            self._client_of: dict[tuple[str, bool], Client] = {}  # by source, and whether by a documented way
            count, timeout_s = self.settings.workers or os.cpu_count() or 1, self.recipe.detect.timeout_s
            self._workers = Workers(count, timeout_s=timeout_s)
            stack.callback(self._workers.close)
            self._calls = Calls(count, timeout_s=timeout_s)
            stack.callback(self._calls.close)
            self._sandbox = OwnBoard(
                self.folder.sandbox,
                posts=self.settings.sandbox_posts,
                faults=self.settings.sandbox_faults,
                progress=self._progress,
                url=self.settings.sandbox_url,
            )
            stack.callback(self._sandbox.close)
            self._began = datetime.now(UTC)
            self._run = self.catalog.begin_run(self.recipe.name)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop.set()
        if self._ahead is not None:
            self._ahead.close()
        state = "completed" if kind is None else "failed" if issubclass(kind, Exception) else "stopped"
        note = f"{error}" if state == "failed" else self._note
        try:
            self.catalog.end_run(self._run, state, [_as_row(report) for report in self.reports], note)
        finally:
            self._stack.close()

    def step(self, name: str) -> StageReport:
        """Run the stage of that name; the one before it must have run."""
        steps: dict[str, Callable[[], StageReport]] = {
            "list": self._list,
            "select": lambda: self._through(self._select()),
            "scrape": lambda: self._fetch(new_or_due),
            "dedup-images": self._dedup_images,
            "detect": self._detect_and_cut,
            "crop": lambda: self._through(self._crop(), beside=self._cut),
            "dedup": lambda: self._through(self._dedup()),
            "filter": self._filtered,
            "review": self._reviewed,
            "balance": lambda: self._through(replace(self._balance(), decisions=self._by_person)),
            "export": self._export,
        }
        report = steps[name]()
        self.reports.append(report)
        return report

    def recall(self, name: str) -> StageReport:
        """Take what is remembered of the stage of that name instead of running it: no board is asked for anything."""
        match name:
            case "list":
                self._items = self._listed()
                report = StageReport(
                    stage="list", seen=len(self._items), kept=len(self._items), dropped={}, judged=0, seconds=0.0
                )
            case "scrape":
                report, self._items = recall_stage(self._scrape, self._items, self.catalog)
            case _:
                return self.step(name)
        self.reports.append(report)
        return report

    def retry(self, name: str) -> StageReport:
        """Run the stage of that name on what is listed already, fetching nothing but the files that failed before."""
        match name:
            case "list":
                return self.recall(name)
            case "scrape":
                report = self._fetch(failed_before)
                if not report.judged:
                    self._say("no file failed before, so none is fetched")
            case _:
                return self.step(name)
        self.reports.append(report)
        return report

    # --- the stages, from the recipe ----------------------------------------------------------------------------

    def _list(self) -> StageReport:
        before = len(self._listed())  # the sandbox is drawn here, if it is asked for
        began = time.monotonic()
        if self.settings.fetch_ahead and self.settings.limit is None:  # which posts are the newest shows at the end
            self._ahead = self._begin_fetching()
        try:
            self._read_sources()
        except Stopped:
            if self._ahead is not None:
                self._ahead.tell()  # the files could not be fetched: that is why the listing was stopped
            raise
        self._items = self._listed()
        found = len(self._items)
        if not found:
            self._say("no posts found: check the query or the folder of each source")
        return StageReport(
            stage="list",
            seen=found,
            kept=found,
            dropped={},
            judged=max(0, found - before),
            seconds=time.monotonic() - began,
        )

    def _read_sources(self) -> None:
        """Read all sources to their ends, those of the network side by side; one that fails holds up no other.

        Raises:
            BoardError: None could be read.
        """
        sources = self._sources()
        far = {name for name, _ in self._client_of}
        near = [name for name in sources if name not in far]
        pool = ThreadPoolExecutor(max(1, len(sources)), thread_name_prefix="list")
        early = True
        try:
            reading = {pool.submit(self._read, sources[name]): name for name in sources if name in far}
            for name in near:
                self._read(sources[name])
            failed = _failures(reading)
            early = False
        finally:
            if early:  # by an error or Ctrl-C: the other readers are not waited for
                self._stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        hopeless = [error for error in failed.values() if not isinstance(error, IncompleteError)]
        if len(hopeless) == len(sources):
            raise hopeless[0]
        for name, error in failed.items():
            self._say(f"WARNING: {name} was not read to its end, the next run goes on there: {error}")
            self._note = f"{name} was not read to its end: {error}"

    def _read(self, source: Source) -> None:
        """List what is new in one source, alone of all runs."""
        with self._claims.held(f"list {source.listing}", self._stop) as mine:
            if not mine:
                raise Stopped
            cursor = self.catalog.cursor(source.listing)
            there: set[str] = set()
            for page in source.pages(cursor):
                self.catalog.add_page(source.listing, page.posts, page.cursor)
                cursor = page.cursor
                there.update(post.id for post in page.posts)
                self._offer(page.posts)
                with self._listing:
                    self._count += len(page.posts)
                    self._progress("list", self._count, 0)
            if cursor is None:  # it lists all of it each time, so what is not there any more has gone
                self.catalog.keep_only(source.listing, there)

    def _offer(self, posts: Iterable[Post]) -> None:
        """Let files be fetched while their board is still read, as far as their hosts have room."""
        if self._ahead is None:
            return
        selected = [one.item for one in self._select()(iter(posts), self.store) if isinstance(one, Kept)]
        with self._listing:
            new = choose(self._scrape, selected, self.catalog, self.store)
            batch = []
            for post in new:
                room = self._tally.waiting(host_of(post)) < ROOM and self._tally.waiting() < ROOM_IN_ALL
                if room and post.id not in self._offered:
                    self._offered.add(post.id)
                    self._tally.expect(post)
                    batch.append(post)
        if batch:
            self._ahead.offer(batch)

    def _begin_fetching(self) -> Ahead:
        stage = self._scrape  # made here, before several threads want it

        def fetch(batches: Iterable[Sequence[Post]]) -> int:
            return judge(stage, batches, self.catalog, self.store, self._fetched)

        return Ahead(fetch, self._stop)

    def _fetched(self, stage: str, done: int, total: int) -> None:
        self._progress(stage, done, total)
        if time.monotonic() - self._noted > NOTE_HOSTS_S:
            self._note_hosts()

    def _note_hosts(self) -> None:
        self.catalog.note_hosts(self.recipe.name, self._tally.changed())
        self._noted = time.monotonic()

    def _fetch(self, which: Which) -> StageReport:
        """Fetch what has not been fetched while the boards were read, and wait for all of it."""
        began = time.monotonic()
        selected = self._items
        ahead = self._ahead or self._begin_fetching()
        self._ahead = ahead  # so that it is closed, whatever happens
        left = [post for post in selected if post.id not in self._offered]
        rest = choose(self._scrape, left, self.catalog, self.store, which=which)
        for post in rest:
            self._tally.expect(post)
        judged = ahead.finish(_by_turns(rest))
        self._calls.close()  # before those processes start that look for faces
        self._scrape.clear_up(selected)
        self._note_hosts()
        report, self._items = recall_stage(self._scrape, selected, self.catalog)
        return replace(report, judged=judged, seconds=time.monotonic() - began)

    def _listed(self) -> list[Post]:
        listings = [source.listing for source in self._sources().values()]
        self._posts = {post.id: post for name in listings for post in self.catalog.posts(name, self.settings.limit)}
        return [self._posts[post_id] for post_id in sorted(self._posts)]

    def _select(self) -> SelectPosts:
        wanted = self.recipe.filter
        return SelectPosts(
            ratings=wanted.ratings,
            since=wanted.since,
            until=wanted.until,
            with_tags=wanted.with_tags,
            without_tags=wanted.without_tags,
            forgotten=self._forgotten,
        )

    @cached_property
    def _scrape(self) -> FetchFiles:
        scrape = self.recipe.scrape
        stage = FetchFiles(
            max_bytes=scrape.max_bytes,
            max_pixels=scrape.max_pixels,
            sources=self._sources(),
            parts=self.folder.parts,
            claims=self._claims,
            threads=scrape.threads,
            per_host=scrape.per_host,
            calls=self._calls,
            said=lambda post: self._said(stage, post),
            tally=self._tally,
            forgotten=self._forgotten,
            stop=self._stop,
        )
        return stage

    def _said(self, stage: FetchFiles, post: Post) -> Image | Refused | None:
        """Say what another run has found out of the file of *post* while this one was at work, or any of its md5."""
        mark = fingerprint(stage)
        match self.catalog.said_since(stage.name, mark, post.id, self._began):
            case Remembered(reason=None, outputs=(Image() as image,)):
                return image
            case Remembered(reason=Reason() as reason, detail=detail) if not reason.transient:
                return Refused(reason, detail)
        return None if post.md5 is None else self.catalog.image(stage.name, mark, post.md5)

    def _dedup_images(self) -> StageReport:
        alike = self.recipe.dedup
        copies: list[tuple[str, str]] = []
        stage = DropSameImages(
            max_distance=alike.max_image_distance,
            variations=alike.variations,
            max_pixels=self.recipe.scrape.max_pixels,
            posts=self._posts,
            stand=frozenset(self.catalog.kept_images()),
            memory=self.catalog,
            tell=copies.extend,
        )
        report = self._through(stage)
        self._copies = copies
        self._images = {image.sha256: image for image in self._items}
        return report

    def _detect_and_cut(self) -> StageReport:
        """Find faces, and cut them at once; what an earlier run has found is left to the stage after this one."""
        crop = self._crop()
        with Beside(crop, self.catalog) as cut:
            report = self._through(self._detect(Follow(do=crop.cutter, tell=cut.tell)))
        self._cut = cut.judged
        return report

    def _detect(self, follow: Follow[Any] | None = None) -> DetectFaces:
        detect = self.recipe.detect
        return DetectFaces(
            detectors=detect.detectors,
            side=detect.side,
            min_face=self.recipe.filter.min_face,
            max_pixels=self.recipe.scrape.max_pixels,
            workers=self._workers,
            follow=follow,
        )

    def _crop(self) -> CropFaces:
        crop = self.recipe.crop
        return CropFaces(
            zoom=crop.zoom,
            size=crop.size,
            align=crop.align,
            margin_policy=crop.margin_policy,
            max_padding=crop.max_padding,
            faces=crop.faces,
            found_by=fingerprint(self._detect()),
            max_pixels=self.recipe.scrape.max_pixels,
            workers=self._workers,
        )

    def _dedup(self) -> DropNearDuplicates:
        alike = self.recipe.dedup
        return DropNearDuplicates(
            max_distance=alike.max_distance,
            max_image_distance=alike.max_image_distance,
            variations=alike.variations,
            images=self._images,
            posts=self._posts,
            decisions=self._decisions(),
            copies=self._copies,
            families=self.catalog.families(self.recipe.name),
            memory=self.catalog,
            tell=partial(self.catalog.name_families, self.recipe.name),
        )

    def _decisions(self) -> dict[str, ReviewDecision]:
        """Give what people said of the crops that are there now, also where they saw the face cut or copied otherwise.

        Before dedup has named the families nothing is known of copies.
        """
        decisions = self.catalog.decisions()
        lost = {one.crop_sha256 for one in decisions.values() if one.box is None} - self._looked_at.keys()
        self._looked_at |= self.catalog.face_crops(lost) if lost else {}
        named = any(crop.family for crop in self._items) if decisions else False
        images = self._images
        if named:
            images = images | self._images_elsewhere(decisions.values())
        families = self.catalog.families(self.recipe.name) if named else {}
        return decisions | carried(self._items, decisions, self._looked_at, images, families)

    def _images_elsewhere(self, decisions: Iterable[ReviewDecision]) -> dict[str, Image]:
        """Give the images in which a decided face lay and which better copies have replaced since."""
        crops = (self._looked_at.get(one.crop_sha256) for one in decisions if one.box is None)
        names = {one.image_sha256 for one in decisions if one.box is not None}
        names |= {crop.detection.image_sha256 for crop in crops if crop is not None}
        lacking = names - self._images.keys() - self._elsewhere.keys()
        self._elsewhere |= {image.sha256: image for image in self.catalog.images(lacking)} if lacking else {}
        return self._elsewhere

    def _filtered(self) -> StageReport:
        """Let the rules judge what is new, and what they would judge otherwise: a person kept it, or took that back."""
        stage = self._filter()
        if not self.catalog.ever_decided():
            return self._through(stage)
        kept = frozenset(sha256 for sha256, one in self._decisions().items() if one.verdict is Verdict.KEEP)
        stage = replace(stage, kept=kept)
        return self._through(
            stage, which=partial(_new_or_otherwise, {stage.key(crop): crop for crop in self._items}, stage)
        )

    def _filter(self) -> FilterCrops:
        wanted = self.recipe.filter
        return FilterCrops(
            min_face=wanted.min_face,
            min_score=wanted.min_score,
            min_sharpness=wanted.min_sharpness,
            min_contrast=wanted.min_contrast,
            min_chroma=wanted.min_chroma,
            model=self._score,
            cut_by=fingerprint(self._crop()),
        )

    def _reviewed(self) -> StageReport:
        decisions = self._decisions()
        rule = self._review()
        self._sure = {crop.sha256: rule.against(crop) is None for crop in self._items}
        self._by_person = {crop.sha256: decisions[crop.sha256] for crop in self._items if crop.sha256 in decisions}
        return self._through(replace(rule, decisions=decisions))

    def _review(self) -> ReviewCrops:
        rule = self.recipe.review
        return ReviewCrops(accept_agreed=rule.accept_agreed, accept_alone=rule.accept_alone, decisions={})

    def _balance(self) -> BalanceCrops:
        wanted = self.recipe.balance
        return BalanceCrops(
            by=wanted.by,
            cap=wanted.cap,
            weights=wanted.weights,
            split_by=self.recipe.release.split_by,
            films=frozenset(source.name for source in self.recipe.sources if isinstance(source, VideoSection)),
            seed=self.recipe.seed,
            shares=self.recipe.split.model_dump(),
            posts={sha256: self._posts[image.post_id] for sha256, image in self._images.items()},
            decisions={},
            given=self.catalog.splits(self.recipe.name),
        )

    def _export(self) -> StageReport:
        began = time.monotonic()
        rows = self._rows(self._items)
        # Before it is published: what a release shows must be remembered, whatever happens to this process.
        place = self._balance().place
        splits = {name: crop.split for crop in self._items for name in place(crop).names}
        self.catalog.give_splits(self.recipe.name, splits)
        count = len(rows)
        done = StageReport(stage="export", seen=count, kept=count, dropped={}, judged=0, seconds=0.0)
        contents = Contents(
            recipe_name=self.recipe.name,
            recipe_toml=self.recipe.to_toml(),
            rows=rows,
            reports=[*self.reports, done],
            train_size=self.recipe.train.size,
            formats=self.recipe.release.formats,
            labels=self.recipe.release.labels,
            quality=self.recipe.release.quality,
            agreement=agreement(self.catalog.all_decisions(), self._sure, self._by_person),
        )
        self.release = publish(contents, self.store, self.folder.releases, lambda *now: self._progress("export", *now))
        return replace(done, judged=count if self.release.new else 0, seconds=time.monotonic() - began)

    def _rows(self, crops: Sequence[FaceCrop]) -> Sequence[ManifestRow]:
        decisions = self._by_person
        image_format = self.recipe.release.image_format
        faces = Counter(crop.detection.image_sha256 for crop in crops)

        def make(crop: FaceCrop) -> ManifestRow:
            image = self._images[crop.detection.image_sha256]
            post = self._posts[image.post_id]
            said = attributes_of(post.tags, faces[image.sha256])
            return row(crop, image, post, decisions.get(crop.sha256), crop.split, image_format, attributes=said)

        return MadeRows(crops, make)

    def _through(self, stage: Stage[Any], beside: Collection[str] = (), which: Which = new_or_due) -> StageReport:
        """Send what the last stage kept through *stage*, which has judged those named *beside* already."""
        report, self._items = run_stage(
            stage,
            self._items,
            self.catalog,
            self.store,
            self._progress,
            corpus=self.recipe.name,
            which=which,
            beside=beside,
        )
        return report

    def _client(self, section: WebSection, *, private: bool = False, documented: bool = False) -> Client:
        """Give what asks in the name of one source; all of them keep the pace of each host together.

        Args:
            section: Whose manners it has.
            private: It may ask our own machine, whatever the section says.
            documented: It asks for what its host's help invites programs to.
        """
        name = source_name(section), documented
        if name not in self._client_of:
            client = self._client_of[name] = Client(
                hosts=self._hosts,
                contact=self.recipe.scrape.contact,
                min_gap_s=section.min_gap_s,
                private=private or section.private_hosts,
                robots=section.robots == "strict" or (section.robots == "documented" and not documented),
                tries=6,
                backoff_s=0.5,
                stop=self._stop,
            )
            self._clients.callback(client.close)
        return self._client_of[name]

    def _sources(self) -> dict[str, Source]:
        return {source_name(section): self._source(section) for section in self.recipe.sources}

    def _source(self, section: Any) -> Source:
        makers: dict[str, Callable[[Any], Source]] = {
            **dict.fromkeys(DIALECTS, self._board),
            "getchu": self._getchu,
            "folder": self._folder,
            "video": self._video,
            "urls": self._urls,
        }
        return makers[section.kind](section)

    def _folder(self, section: FolderSection) -> Source:
        return FolderSource(
            name=section.name,
            path=section.path,
            rating=section.rating,
            limit=self.settings.limit,
            leave_out=(self.folder.root,),
        )

    def _video(self, section: VideoSection) -> Source:
        return VideoSource(**section.model_dump(exclude={"kind"}), limit=self.settings.limit)

    def _urls(self, section: UrlsSection) -> Source:
        fields = section.model_dump(exclude={"kind", *MANNERS})
        return UrlsSource(**fields, client=self._client(section), limit=self.settings.limit)

    def _getchu(self, section: GetchuSection) -> Source:
        wanted, ours = self.recipe.filter, section.board == SANDBOX
        shop = getchu.ADDRESS if section.board == "getchu" else section.board.rstrip("/")
        return getchu.GetchuSource(
            name=section.name,
            address=f"{self._sandbox.url}/getchu" if ours else shop,
            site=f"{BOARDS[SANDBOX].keywords['site']}/getchu" if ours else "",
            client=self._client(section, private=ours),
            ids=section.ids,
            feed=self._erogamescape(section) if section.feed == "erogamescape" else None,
            since=wanted.since if section.push_down else None,
            until=wanted.until if section.push_down else None,
            rating=section.rating,
            age_gate=section.age_gate,
            limit=self.settings.limit,
        )

    def _erogamescape(self, section: GetchuSection) -> erogamescape.Erogamescape:
        """Ask in a pace of its own; the sandbox stands in for it too."""
        if section.board == SANDBOX:
            client = self._client(section, private=True, documented=True)
            return erogamescape.Erogamescape(address=f"{self._sandbox.url}/erogamescape", client=client)
        slower = section.model_copy(update={"min_gap_s": max(section.min_gap_s, erogamescape.MIN_GAP_S)})
        return erogamescape.Erogamescape(client=self._client(slower, documented=True))

    def _board(self, section: BoardSection) -> Source:
        wanted = self.recipe.filter
        # What this dialect alone knows; what is None is for the table of boards to say.
        own = type(section).model_fields.keys() - BoardSection.model_fields.keys()
        own = {field for field in own if getattr(section, field) is not None}
        address, make = self._speaker(section.kind, section.board)
        login, api_key = self.settings.keys.get(key_name(address), (None, None))
        return make(
            name=source_name(section),
            address=address,
            query=section.query,
            file=section.file,
            since=wanted.since if section.push_down else None,
            until=wanted.until if section.push_down else None,
            ratings=wanted.ratings if section.push_down else (),
            login=login,
            api_key=api_key,
            limit=self.settings.limit,
            client=self._client(section, private=section.board == SANDBOX, documented=True),
            **{field: getattr(section, field) for field in own},
        )

    def _speaker(self, kind: str, board: str) -> tuple[str, Callable[..., Source]]:
        """Give a board's address, and what makes its source."""
        if board == SANDBOX:
            path = "" if DIALECTS[kind] is BOARDS[SANDBOX].func else f"/{kind}"  # its own dialect lies at its root
            site = BOARDS[SANDBOX].keywords["site"]
            return self._sandbox.url + path, partial(DIALECTS[kind], site=site + path)
        if board.startswith(("http://", "https://")):
            return board.rstrip("/"), DIALECTS[kind]
        if board not in BOARDS:
            near = difflib.get_close_matches(board, BOARDS, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            known = ", ".join(sorted(BOARDS))
            raise UsageError(f"{board}: no such board; {hint}use {known} or an address that begins with https://")
        if BOARDS[board].func is not DIALECTS[kind]:
            speaks = next(name for name, source in DIALECTS.items() if BOARDS[board].func is source)
            raise UsageError(f'{board}: speaks another dialect; write kind = "{speaks}" for it, not "{kind}"')
        return str(BOARDS[board].keywords["address"]), BOARDS[board]


def _failures(reading: Mapping[Future[None], str]) -> dict[str, BoardError]:
    """Wait for all, and say whose board failed; any other error is raised as soon as it is known."""
    failed: dict[str, BoardError] = {}
    waiting = set(reading)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_EXCEPTION)
        for future in done:
            try:
                future.result()
            except BoardError as error:
                failed[reading[future]] = error
    return failed


def _new_or_otherwise(
    crops: Mapping[str, FaceCrop],
    stage: FilterCrops,
    catalog: Catalog,
    name: str,
    mark: str,
    keys: Collection[str],
    store: Store,
) -> set[str]:
    """Choose what `new_or_due` does, and what the stage would not say of it any more."""
    said = catalog.judged(name, mark, keys)
    otherwise = {key for key, reason in said.items() if stage.against(crops[key]) is not reason}
    return otherwise | new_or_due(catalog, name, mark, keys, store)


def _by_turns(posts: Iterable[Post]) -> list[Post]:
    """Order posts so that no host has to wait for the end of another."""
    turns: list[list[Post]] = []
    taken: Counter[str] = Counter()
    for post in posts:
        turn = taken[host := host_of(post)]
        taken[host] += 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(post)
    return list(chain.from_iterable(turns))


def with_detectors_at_hand(recipe: Recipe, say: Callable[[str], None]) -> Recipe:
    """Take our own cascade, loudly, where the third-party one is not to be had; the release's recipe then says so too.

    Raises:
        DetectorError: The recipe wants nothing but that cascade, or a model that is blind.
        RecipeError: A model is not where the recipe says, not what it must be, or named as another detector is.
    """
    # A file is better known to be broken now than after all boards were read.
    said = [name if name in DETECTORS else build_detector(name).name for name in recipe.detect.detectors]
    if len(set(said)) < len(said):
        twice = max(said, key=said.count)
        raise RecipeError(
            f"detect.detectors: two are named {twice}, and nobody could tell what which of them saw; "
            "name each once, or give a model a `name` of its own in its TOML"
        )
    named = recipe.detect.detectors
    others, error = at_hand(named)
    if error is None:
        return recipe
    say(f"WARNING: {'+'.join(others)} find the faces, not {'+'.join(named)}, so another dataset comes out. {error}")
    return recipe.model_copy(update={"detect": recipe.detect.model_copy(update={"detectors": others})})


def _as_row(report: StageReport) -> dict[str, Any]:
    return {field: getattr(report, field) for field in StageReport.__dataclass_fields__}
