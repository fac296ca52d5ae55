"""Hides HTML that strangers wrote: tags and text in a row, in time that grows with their length and nothing else.

html.parser of Python 3.11 works for minutes on a megabyte of `<!--`; whoever writes a page could hold a run up so.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MAX_TAG = 8192  # characters; the attributes of a longer tag are not read

_NAME = re.compile(r"/?[A-Za-z][A-Za-z0-9]*")
# It begins at the beginning of a word alone, or a long one would be read once for each of its letters.
_ATTRIBUTE = re.compile(r"""(?<![\w:-])([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_RAW = {name: re.compile(rf"</{name}\b", re.IGNORECASE) for name in ("script", "style", "textarea")}


@dataclass(frozen=True, slots=True)
class Tag:
    """`<td class="a b">` is `td`, its end is `/td`."""

    name: str  # lower case
    attributes: Mapping[str, str] = field(default_factory=dict)  # names in lower case, values unescaped

    @property
    def classes(self) -> list[str]:
        """The words of `class`."""
        return self.attributes.get("class", "").split()


def tokens(text: str) -> Iterator[Tag | str]:
    """Give tags and the text between them, unescaped; no comments, and nothing of scripts."""
    at = 0
    while (less := text.find("<", at)) >= 0:
        if less > at:
            yield _unescaped(text[at:less])
        name = _NAME.match(text, less + 1)
        if text.startswith("<!--", less):
            end = text.find("-->", less + 4)
            at = end + 3
        elif name or text[less + 1 : less + 2] in {"!", "?", "/"}:
            end = text.find(">", less)
            at = end + 1
        else:
            yield "<"
            at = less + 1
            continue
        if end < 0:
            return
        if name:
            tag = Tag(name[0].lower(), _attributes(text[name.end() : end]))
            yield tag
            if (raw := _RAW.get(tag.name)) is not None:
                ending = raw.search(text, at)
                at = ending.start() if ending else len(text)
    if at < len(text):
        yield _unescaped(text[at:])


def words(text: str) -> str:
    """Lay text out on one line, with what no file or catalog can hold replaced."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", " ", text).split())


def _attributes(text: str) -> dict[str, str]:
    if len(text) > MAX_TAG:
        return {}
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(text):
        found.setdefault(name.lower(), _unescaped(double or single or bare))
    return found


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # &#9999… with more digits than Python turns into a number
        return text
