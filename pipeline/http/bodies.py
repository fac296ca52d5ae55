"""What can be made of a body: JSON, XML that was written by a stranger, and what a board says of an error."""

from __future__ import annotations

import html
import json
import re
from xml.etree import ElementTree as ET

MAX_WORDS_BYTES = 64 << 10  # of an error page, to find its title
# No parser of HTML: on tags that never end that of the standard library works for many seconds.
TITLE = re.compile(rb"<title(?:\s[^<>]{0,200})?>([^<]{0,1000})", re.IGNORECASE)


def words_of(body: bytes) -> str:
    """Find what a board says of an error: a message in JSON, or the title of a page; at most 200 characters."""
    body = body[:MAX_WORDS_BYTES]
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        title = TITLE.search(body)
        return one_line(html.unescape(title[1].decode("utf-8", "replace")) if title else "")
    if not isinstance(said, dict):
        return ""
    names = ("message", "description", "reason", "error", "title")
    return one_line(next((said[name] for name in names if isinstance(said.get(name), str) and said[name]), ""))


def xml_of(body: bytes) -> ET.Element:
    """Read XML that was written by a stranger.

    Raises:
        ValueError: It is none, or it could unpack to more than it is.
    """
    if b"<!DOCTYPE" in body or b"\0" in body:  # or UTF-16, where it would not be seen
        raise ValueError("declares a document type")  # lists of posts have none; web pages and bombs do
    try:
        return ET.fromstring(body)  # noqa: S314  without a document type it has no entities of its own
    except ET.ParseError as error:
        raise ValueError(str(error)) from error


def one_line(text: str) -> str:
    """Make a stranger's text fit into a message: printable, one line, at most 200 characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]
