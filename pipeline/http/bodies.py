"""What can be made of a body: JSON, XML that was written by a stranger, and what a board says of an error."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree as ET

from bs4 import BeautifulSoup
from bs4.exceptions import ParserRejectedMarkup

MAX_WORDS_BYTES = 64 << 10  # of an error page, to find its title


def words_of(body: bytes) -> str:
    """Find what a board says of an error: a message in JSON, or the title of a page; at most 200 characters."""
    body = body[:MAX_WORDS_BYTES]  # a tree of a long page takes a hundred times its bytes
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        page = re.sub(rb"^\s*<\?xml[^>]*>", b"", body)  # or Beautiful Soup warns
        try:
            title = BeautifulSoup(page, "html.parser").title if b"<" in page else None
        except ParserRejectedMarkup:  # <![<
            title = None
        return one_line(title.get_text() if title else "")
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
