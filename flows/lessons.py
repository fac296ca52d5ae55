"""What a detector of one's own learns from: pictures of a release, the sandbox or a folder; and what is held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from PIL import Image as Pictures

from flows.show import Display
from pipeline.catalog import Catalog
from pipeline.errors import RecipeError, UsageError, WorldError
from pipeline.export import find_release
from pipeline.folder import DataFolder
from pipeline.manifest import split_of
from pipeline.sandbox import hard, posts
from pipeline.train.labelled import Source, of_backgrounds, of_release
from pipeline.verify import verify

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SANDBOX = "sandbox"  # what is learnt from, instead of a release
SHARES = {"learnt": 0.8, "held out": 0.2}  # of the pictures; what is alike is on one side


class _OfFamily(Protocol):
    @property
    def family(self) -> str: ...


Picture = TypeVar("Picture", bound=_OfFamily)


def values(overrides: Sequence[str], config: type[DataclassInstance], example: str) -> dict[str, Any]:
    """Read ``key=value`` pairs, each of the kind that the field of *config* has: a number, a whole one or a text.

    Args:
        overrides: Such as ``seed=2``; of a key that is named twice the last counts.
        config: How something is trained.
        example: A pair that would be right, for who wrote no value.

    Raises:
        UsageError: A pair has no value.
        RecipeError: A key is unknown, or a value not of its kind.
    """
    kinds = {field.name: {"float": float, "int": int}.get(str(field.type), str) for field in fields(config)}
    read: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = (part.strip() for part in override.partition("="))
        if not equals:
            raise UsageError(f"-p {override}: no value; write -p key=value, such as -p {example}")
        if key not in kinds:
            raise RecipeError(f"-p {override}: there is no field {key}; choose of {', '.join(kinds)}")
        try:
            read[key] = kinds[key](text)
        except ValueError as error:
            wanted = "a number" if kinds[key] is float else "a whole number"
            raise RecipeError(f"-p {override}: {text!r} is not {wanted}") from error
    return read


def released(folder: DataFolder, catalog: str, name: str | None) -> tuple[str, list[Source]]:
    """Name a release by recipe and number, and list what can be learnt from it.

    Args:
        folder: The data folder.
        catalog: The URL of its catalog; "": SQLite in the data folder.
        name: Of a release, by folder, recipe/number or recipe; None: the last release.

    Raises:
        UsageError: There is no such release.
        WorldError: It is not sound.
    """
    release = find_release(folder.releases, name)
    faults = verify(release)
    if faults:
        raise WorldError(f"{release}: not sound ({faults[0]}), so it is not learnt from; see `flow verify {release}`")
    called = f"{release.resolve().parent.name}/{release.resolve().name}"
    if not catalog and not folder.catalog.is_file():
        return called, of_release(release, folder.store, None)
    known = Catalog(catalog or folder.catalog)
    try:
        return called, of_release(release, folder.store, known)
    finally:
        known.close()


def of_sandbox(drawn: posts.Sandbox) -> list[Source]:
    """List the drawings of a sandbox board; what is no picture, though it says so, is left out when it is read."""
    there = [(post, path) for post in drawn.posts if (path := drawn.path(post)) is not None]
    return [
        Source(
            name=f"{post.number:09d}",
            read=path.read_bytes,
            width=post.width,
            faces=tuple(face.box for face in post.truth.faces),
            family=post.group or "",
        )
        for post, path in there
    ]


def of_hard(
    drawn: Iterable[hard.Labelled], is_learnt: Callable[[hard.DrawnFace], bool], of_set: str = ""
) -> list[Source]:
    """List hard drawings; a face that is not learnt is ignored. *of_set* tells those of one set from another's."""
    return [
        Source(
            name=f"{of_set}{one.path.name}",
            read=one.path.read_bytes,
            width=_width(one.path),
            faces=tuple(face.box for face in one.faces if is_learnt(face)),
            ignored=tuple(face.box for face in one.faces if not is_learnt(face)),
        )
        for one in drawn
    ]


def _width(path: Path) -> int:
    with Pictures.open(path) as picture:
        return picture.width


def backgrounds(folder: Path) -> list[Source]:
    """List the pictures of a folder in which nobody is to be seen.

    Raises:
        UsageError: There are none, or it cannot be read.
    """
    found = of_backgrounds(folder.resolve())
    if not found:
        raise UsageError(f"{folder}: holds no pictures; name a folder of pictures in which nobody is to be seen")
    return found


def read(pictures: Iterable[Picture | None], total: int, display: Display) -> Iterator[Picture]:
    """Show how far the reading is, and say how many files were no pictures."""
    unreadable = 0
    for done, picture in enumerate(pictures, start=1):
        display.progress("read", done, total)
        if picture is None:
            unreadable += 1
        else:
            yield picture
    if unreadable:
        display.say(f"{unreadable} files are no whole still pictures and are left out")


def divided(pictures: Iterable[Picture], seed: int) -> tuple[list[Picture], list[Picture]]:
    """Hold a fifth out; pictures of a family stay together, and nothing but its name and *seed* says where."""
    sides: dict[str, list[Picture]] = {side: [] for side in SHARES}
    for one in pictures:
        sides[split_of(one.family, seed, SHARES)].append(one)
    learnt, held_out = sides.values()
    return learnt, held_out
