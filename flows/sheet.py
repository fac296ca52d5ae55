"""Hides how groups of copies look on a page that needs nothing but itself, and in a table."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape
from pathlib import Path

from flows.show import counted, harmless
from pipeline.pixels import BadImage, decode, encode_as, fit
from pipeline.store import write_atomically

THUMB = 160  # pixels; longer side
ON_A_PAGE = 500  # groups; those that waste most come first, and the table has all
COLUMNS = ("section", "group", "role", "name", "of", "why", "width", "height", "format", "bytes", "sha256")

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>Duplicates</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem; color: #222; background: #fff }
h1 { font-size: 1.3rem } h2 { font-size: 1.1rem; margin-top: 2rem }
section { border-top: 1px solid #ccc; padding: .7rem 0; display: flex; flex-wrap: wrap; gap: .7rem }
figure { margin: 0; padding: .5rem; width: 176px; border: 2px solid #ddd; border-radius: 6px }
figure.kept { border-color: #2a7 } figure.variation { border-color: #d90 }
figure div { height: 160px; display: flex; align-items: center; justify-content: center; background: #f4f4f4 }
figcaption { overflow-wrap: anywhere } figcaption b { display: block } small { color: #666; display: block }
ul { overflow-wrap: anywhere }
img { max-width: 100% } .lead { max-width: 44rem }
@media (max-width: 36rem) {
  body { margin: 1rem } section { display: grid; grid-template-columns: 1fr 1fr } figure { width: auto; min-width: 0 }
}
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #181818 } figure div { background: #262626 } small { color: #999 }
  figure { border-color: #444 } section { border-color: #444 }
}
</style>
</head>
<body>
"""


_LEAD = (
    "Groups of pictures with the same drawing. The first of each is the best one, and is kept. A duplicate shows the "
    "same as it, saved again, rescaled, recoloured, cut a little or mirrored; a variation has another expression or "
    "text. No file was deleted."
)


class Role(StrEnum):
    """What a picture is in its group."""

    KEPT = "kept"
    DUPLICATE = "duplicate"
    VARIATION = "variation"  # kept as well, unless it is told otherwise


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One picture of a group."""

    role: Role
    name: str  # as its owner wrote it: never to be trusted
    why: str = ""
    of: str = ""  # name of the one that is kept in its place, or that it is a variation of
    file: Path  # where its bytes lie
    width: int  # pixels
    height: int
    format: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """What was looked through, and the groups in it; in each the one that is kept comes first."""

    title: str
    seen: int  # pictures
    near: str  # when two are compared, as the end of a sentence
    groups: Sequence[Sequence[Shown]]
    left_out: Mapping[str, str] = field(default_factory=dict)  # no still pictures that can be read: why, by name

    def count(self, role: Role) -> int:
        """Say how many have that role."""
        return sum(one.role is role for group in self.groups for one in group)

    @property
    def saved(self) -> int:
        """Bytes of all duplicates."""
        return sum(map(_waste, self.groups))

    def told(self) -> str:
        """Say all of it in a line."""
        said = (
            counted(self.seen, "picture"),
            counted(len(self.groups), "group"),
            counted(self.count(Role.DUPLICATE), "duplicate"),
            counted(self.count(Role.VARIATION), "variation"),
            f"{sized(self.saved)} to be saved",
        )
        return f"{self.title}: {', '.join(said)}" + (f", {len(self.left_out):,} left out" if self.left_out else "")


def worst_first(groups: Iterable[Sequence[Shown]]) -> list[Sequence[Shown]]:
    """Order groups by how many bytes their duplicates take, then by the name of the one that is kept."""
    return sorted(groups, key=lambda group: (-_waste(group), group[0].name, group[0].sha256))


def thumbnail(file: Path, max_pixels: int) -> bytes | None:
    """Make a small JPEG of a file's pixels; None where it cannot be read any more."""
    try:
        pixels_HWC = decode(file.read_bytes(), max_pixels=max_pixels, at_least=THUMB)
    except (BadImage, OSError):
        return None
    return encode_as(fit(pixels_HWC, THUMB), "jpg", 80)


def on_page(sections: Iterable[Section]) -> set[Path]:
    """Name the files of which the page shows a thumbnail."""
    return {one.file for section in sections for group in section.groups[:ON_A_PAGE] for one in group}


def write_page(path: Path, sections: Sequence[Section], thumbs: Mapping[Path, bytes | None]) -> None:
    """Write one HTML file that loads nothing and runs nothing.

    Raises:
        StoreError: It cannot be written.
    """
    write_atomically(path, (_HEAD + "\n".join(_body(sections, thumbs)) + "\n</body>\n</html>\n").encode())


def write_table(path: Path, sections: Sequence[Section]) -> None:
    """Write the same, and what the page has no room for, as CSV; no cell is a formula to a spreadsheet.

    Raises:
        StoreError: It cannot be written.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for section in sections:
        for number, group in enumerate(section.groups, 1):
            for one in group:
                told = (one.role, one.name, one.of, one.why, one.width, one.height, one.format, one.bytes, one.sha256)
                table.writerow([_cell(cell) for cell in (section.title, number, *told)])
        for name, why in section.left_out.items():
            table.writerow([_cell(cell) for cell in (section.title, "", "left out", name, "", why, "", "", "", "", "")])
    write_atomically(path, text.getvalue().encode("utf-8", "backslashreplace"))


def sized(count: int) -> str:
    """Write a number of bytes as people do."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} bytes"


def _waste(group: Sequence[Shown]) -> int:
    return sum(one.bytes for one in group if one.role is Role.DUPLICATE)


def _cell(value: object) -> str:
    """Keep a spreadsheet from taking a name for a formula."""
    text = str(value)
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def _safe(text: str) -> str:
    return escape(harmless(text))


def _body(sections: Sequence[Section], thumbs: Mapping[Path, bytes | None]) -> Iterator[str]:
    yield f'<h1>Duplicates</h1>\n<p class="lead">{_LEAD}</p>'
    for section in sections:
        yield f"<h2>{_safe(section.told())}</h2>"
        yield f'<p class="lead">Two were laid one over the other where {_safe(section.near)}.</p>'
        for group in section.groups[:ON_A_PAGE]:
            yield "<section>"
            for one in group:
                yield _figure(one, thumbs.get(one.file))
            yield "</section>"
        if len(section.groups) > ON_A_PAGE:
            yield f"<p>and {len(section.groups) - ON_A_PAGE:,} more groups: in the table beside this page</p>"
        if section.left_out:
            yield "<h3>Left out</h3>\n<ul>"
            for name, why in section.left_out.items():
                yield f"<li>{_safe(name)}: {_safe(why)}</li>"
            yield "</ul>"


def _figure(one: Shown, thumb: bytes | None) -> str:
    picture = "<i>gone</i>"
    if thumb is not None:
        picture = f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(thumb).decode()}">'
    facts = f"{one.width}×{one.height} {one.format}, {sized(one.bytes)}"
    return (
        f'<figure class="{one.role}"><div>{picture}</div><figcaption><b>{one.role}</b>{_safe(one.name)}'
        f"<small>{_safe(one.why)}</small><small>{_safe(facts)}</small></figcaption></figure>"
    )
