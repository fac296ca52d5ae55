"""The command that shows copies, those that a recipe has dropped or those in any folder, and deletes nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from flows.hashed import Hashed
from flows.sheet import Role, Section, Shown, on_page, thumbnail, worst_first, write_page, write_table
from flows.show import Display
from pipeline.alike import Likeness, Look
from pipeline.catalog import Catalog
from pipeline.dedup import DropNearDuplicates, DropSameImages, kept_for, look_at, natural, why, worth_of
from pipeline.errors import RecipeError, UsageError
from pipeline.folder import DataFolder
from pipeline.groups import Group, joined
from pipeline.known import image_at
from pipeline.recipe import ScrapeSection, load
from pipeline.records import FaceCrop, Image, Reason, Record
from pipeline.sources.folder import PICTURES, files_below
from pipeline.workers import Crashed, TimedOut, Workers

MAX_PIXELS: int = ScrapeSection().max_pixels
TIMEOUT_S = 60.0  # for one file
PAGE = "duplicates.html"
IMAGES = DropSameImages.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What was found, and where it can be looked at."""

    sections: tuple[Section, ...]
    page: Path
    table: Path


def show_duplicates(
    what: str | None, out: Path | None, data: Path | None, catalog: str, distance: int, workers: int, shown: Display
) -> Written:
    """Do what `of_folder` does where *what* is a folder, and else what `of_recipe` does.

    Raises:
        RecipeError: It is a recipe that cannot be read.
        UsageError: It is neither; or as those two.
        StoreError: As those two.
    """
    if what is not None and os.path.isdir(what):  # noqa: PTH112 -- Path.is_dir raises where a name is too long
        return of_folder(Path(what), out, data, distance, workers, shown)
    try:
        recipe = load(what)
    except RecipeError as error:
        if what is None or what.endswith(".toml"):
            raise
        raise UsageError(
            f"{what}: neither a folder of pictures nor a recipe; `flow ls` lists those built in"
        ) from error
    return of_recipe(recipe.name, data or Path("data"), catalog, out, workers, shown)


def of_folder(
    folder: Path, out: Path | None, data: Path | None, distance: int, workers: int, shown: Display
) -> Written:
    """Find the copies among all pictures in a folder and the folders below it.

    Args:
        folder: Where the pictures lie; nothing is written there unless *out* or *data* says so.
        out: The page, or a folder for it; None: the working folder.
        data: Where is remembered what was found out of each file; None: beside the page.
        distance: Bits of 64 by which the perceptual hashes of two pictures may differ for them to be compared.
        workers: Processes that decode; 0: one a core.
        shown: Where progress is shown.

    Raises:
        UsageError: There is no picture in it, a folder cannot be read, or the page would lie in it unasked.
        StoreError: Something cannot be written.
    """
    root = Path(os.path.realpath(folder))
    page = _page(out)
    if out is None and page.resolve().is_relative_to(root):
        raise UsageError(f"{page}: would lie among the pictures; say where it shall lie with --out")
    memory = page.with_suffix(".jsonl")
    if data is not None:
        memory = data / "duplicates" / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}.jsonl"
    with Hashed(memory) as hashed, Workers(workers or os.cpu_count() or 1, timeout_s=TIMEOUT_S) as pool:
        found = _Found(root=root, paths={}, images=[], left_out={})
        for name, path, said in _looked_through(root, hashed, pool, shown):
            found.paths[name] = path
            if isinstance(said, Image):
                found.images.append(said)
            else:
                found.left_out[name] = said
        if not found.paths:
            raise UsageError(f"{folder}: holds no pictures; give a folder of {', '.join(sorted(PICTURES))}")
        return _written((_section(found, distance, hashed, shown),), page, MAX_PIXELS, pool, shown)


def of_recipe(recipe: str, data: Path, catalog: str, out: Path | None, workers: int, shown: Display) -> Written:
    """Show the images and the crops that the last run of a recipe has called copies, and which it kept for them.

    Args:
        recipe: Its name.
        data: The data folder.
        catalog: Of the catalog the URL; "": SQLite in the data folder.
        out: The page, or a folder for it; None: the working folder.
        workers: Processes that decode; 0: one a core.
        shown: Where progress is shown.

    Raises:
        UsageError: The recipe has never come so far.
        StoreError: Something cannot be written.
    """
    folder = DataFolder(data)
    known = Catalog(catalog or folder.catalog)
    try:
        runs = (run for run in known.runs(last=None) if run["recipe"] == recipe)
        marks = next(
            (
                found
                for run in runs
                if DropNearDuplicates.name in (found := {one["stage"]: one["fingerprint"] for one in run["reports"]})
            ),
            None,
        )
        if marks is None:
            raise UsageError(f"{data}: no run of {recipe} has looked for copies; `flow run build-dataset` does")
        sections = (
            _dropped("images", IMAGES, "scrape", marks, known, folder),
            _dropped("face crops", DropNearDuplicates.name, "crop", marks, known, folder),
        )
    finally:
        known.close()
    with Workers(workers or os.cpu_count() or 1, timeout_s=TIMEOUT_S) as pool:
        return _written(sections, _page(out), MAX_PIXELS, pool, shown)


def _page(out: Path | None) -> Path:
    if out is None:
        return Path(PAGE)
    return out if out.suffix.lower() in {".html", ".htm"} else out / PAGE


def _written(sections: tuple[Section, ...], page: Path, max_pixels: int, pool: Workers, shown: Display) -> Written:
    """Make the thumbnails in other processes, and write page and table."""
    wanted = sorted(on_page(sections))
    thumbs: dict[Path, bytes | None] = {}
    for file, thumb in pool.map(partial(thumbnail, max_pixels=max_pixels), wanted):
        thumbs[file] = None if isinstance(thumb, Crashed | TimedOut) else thumb
        shown.progress("thumbnails", len(thumbs), len(wanted))
    write_page(page, sections, thumbs)
    write_table(page.with_suffix(".csv"), sections)
    return Written(sections=sections, page=page, table=page.with_suffix(".csv"))


def _told(how: str, better: str) -> str:
    return f"{how}; the kept one is {better}"


# --- a recipe -------------------------------------------------------------------------------------------------------


def _dropped(
    title: str, stage: str, maker: str, marks: Mapping[str, str], known: Catalog, folder: DataFolder
) -> Section:
    """Gather what a stage has dropped about what it kept; *maker* is the stage that made the items."""
    posts = {item.rpartition("=")[2]: item.rpartition("=")[0] for item, _, _ in known.said(IMAGES, marks[IMAGES])}
    said = known.said(stage, marks[stage])
    made = known.outputs(maker, marks[maker], (_maker_key(item) for item, _, _ in said))
    things = {item: _thing(item, record, posts, folder) for item, _, _ in said for record in made[_maker_key(item)]}
    kept = {things[item].sha256: things[item] for item, reason, _ in said if reason is None}
    copy_of = {things[item].sha256: kept_for(detail) for item, reason, detail in said if reason is Reason.DUPLICATE}
    varied = [one for one in known.comparisons(kept) if one.likeness == Likeness.VARIATION and one.other in kept]
    how = {sha256: one.how for one in varied for sha256 in (one.one, one.other)}
    root = joined(kept, ((one.one, one.other) for one in varied))
    groups: dict[str, list[Shown]] = {}
    for sha256, thing in sorted(kept.items(), key=lambda pair: (-pair[1].width * pair[1].height, pair[0])):
        group = groups.setdefault(root[sha256], [])
        if group:
            thing = replace(thing, role=Role.VARIATION, why=how[sha256], of=group[0].name)  # noqa: PLW2901
        group.append(thing)
    for item, reason, detail in said:
        if reason is None:
            continue
        thing = things[item]
        leader, better, alike = copy_of.get(thing.sha256, (thing.sha256, "", ""))
        told = _told(alike, better) if reason is Reason.DUPLICATE else f"same bytes {detail}"
        groups[root[leader]].append(replace(thing, role=Role.DUPLICATE, why=told, of=kept[leader].name))
    return Section(
        title=title,
        seen=len(said),
        near="their perceptual hashes differ by no more bits than [dedup] of the recipe allows",
        groups=worst_first(group for group in groups.values() if len(group) > 1),
    )


def _maker_key(item: str) -> str:
    """Give the key by which the stage before knew it: of an image the post."""
    return item.rpartition("=")[0] or item


def _thing(item: str, record: Record, posts: Mapping[str, str], folder: DataFolder) -> Shown:
    if isinstance(record, Image):
        return _as_shown(replace(record, post_id=_maker_key(item)), folder.store.path(record.sha256), Role.KEPT, "", "")
    assert isinstance(record, FaceCrop)  # noqa: S101 -- of the two stages that drop copies
    file, box = folder.store.path(record.sha256), record.detection.box
    state = _state(file)
    return Shown(
        role=Role.KEPT,
        name=f"{posts.get(record.detection.image_sha256, '')} at {box.left},{box.top}",
        file=file,
        width=record.side,
        height=record.side,
        format="crop",
        bytes=state[0] if state else 0,
        sha256=record.sha256,
    )


# --- a folder -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What lies in a folder; names are paths below it, as they are shown."""

    root: Path
    paths: dict[str, Path]
    images: list[Image]  # with the name for a post's id
    left_out: dict[str, str]  # why


def _looked_through(
    root: Path, hashed: Hashed, pool: Workers, shown: Display
) -> Iterator[tuple[str, Path, Image | str]]:
    """Give every picture by its name, with what it is or what is wrong with it; what has not changed is remembered."""
    files = list(files_below(root, PICTURES))
    done, new = 0, []
    for path in files:
        name, state = _named(path.relative_to(root)), _state(path)
        said = None if state is None else hashed.picture(name, *state)
        if said is None:
            new.append((name, path, state))
        else:
            done += 1
            yield name, path, said
    shown.progress("hash", done, len(files))
    for (name, path, state), answer in pool.map(_hash, new):
        done += 1
        shown.progress("hash", done, len(files))
        match answer:
            case Crashed(detail):  # perhaps the machine's fault: not remembered
                yield name, path, f"{Reason.CRASHED}: {detail}"
            case TimedOut(detail):
                yield name, path, f"{Reason.TIMED_OUT}: {detail}"
            case _:
                if state is not None:
                    hashed.note_picture(name, *state, answer)
                yield name, path, answer


def _hash(file: tuple[str, Path, object]) -> Image | str:
    name, path, _ = file
    return image_at(path, name, MAX_PIXELS)


def _section(found: _Found, distance: int, hashed: Hashed, shown: Display) -> Section:
    """Gather what lies in a folder; of the very same file that copy is kept whose name comes first."""
    same: dict[str, list[Image]] = {}
    for image in sorted(found.images, key=lambda image: natural(image.post_id)):
        same.setdefault(image.sha256, []).append(image)
    ranked = sorted((images[0] for images in same.values()), key=lambda image: worth_of(image, None))

    def seen(index: int) -> Look | None:
        try:
            return look_at(found.paths[ranked[index].post_id].read_bytes(), MAX_PIXELS)
        except OSError:  # it has just gone
            return None

    done, groups = 0, []
    for group in DropSameImages(max_distance=distance, memory=hashed).groups(ranked, seen):
        done += len(group.members)
        shown.progress("compare", done, len(ranked))
        groups += _pictured(group, ranked, same, found)
    return Section(
        title=found.root.name or str(found.root),
        seen=len(found.images),
        near=f"their perceptual hashes differ by at most {distance} of 64 bits",
        groups=worst_first(groups),
        left_out=found.left_out,
    )


def _pictured(
    group: Group, ranked: Sequence[Image], same: Mapping[str, Sequence[Image]], found: _Found
) -> list[list[Shown]]:
    """Show those of a cluster that belong together: what is kept, its copies, its variations and theirs."""
    shown: dict[int, list[Shown]] = {}
    top: dict[int, int] = {}
    for index in group.members:
        leader, image = group.leader[index], ranked[index]
        if leader != index:
            reason = why(worth_of(ranked[leader], None), worth_of(image, None))
            one = _of_file(image, found, Role.DUPLICATE, _told(group.alike[index].how, reason), ranked[leader])
            top[index] = top[leader]
        elif index in group.varied:
            better, alike = group.varied[index]
            one = _of_file(image, found, Role.VARIATION, alike.how, ranked[better])
            top[index] = top[better]
        else:
            one = _of_file(image, found, Role.KEPT, "", None)
            top[index] = index
        copies = (_of_file(copy, found, Role.DUPLICATE, "same bytes", image) for copy in same[image.sha256][1:])
        shown.setdefault(top[index], []).extend([one, *copies])
    return [members for members in shown.values() if len(members) > 1]


def _of_file(image: Image, found: _Found, role: Role, reason: str, of: Image | None) -> Shown:
    return _as_shown(image, found.paths[image.post_id], role, reason, "" if of is None else of.post_id)


def _as_shown(image: Image, file: Path, role: Role, reason: str, of: str) -> Shown:
    return Shown(
        role=role,
        name=image.post_id,
        why=reason,
        of=of,
        file=file,
        width=image.width,
        height=image.height,
        format=image.format,
        bytes=image.bytes,
        sha256=image.sha256,
    )


def _state(path: Path) -> tuple[int, int] | None:
    """Say how many bytes a file has and when it changed, in nanoseconds; None where nobody may know."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _named(path: Path) -> str:
    """Write a path as a text that every file can hold; names need not be characters."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
