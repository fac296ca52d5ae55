"""Makes what strangers wrote harmless to show: in HTML, in SVG, in Markdown."""

from __future__ import annotations

import html
import re
import unicodedata
from urllib.parse import urlsplit

LONGEST = 60  # characters of a name
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # control, direction, joining, surrogates, line ends
_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")


def visible(text: str, longest: int = LONGEST) -> str:
    """Leave out what shows nothing, turns the line round or breaks it, and shorten what is left."""
    seen = "".join(one for one in text if unicodedata.category(one) not in _HIDDEN)
    return seen if len(seen) <= longest else seen[: longest - 1] + "…"


def columns_of(text: str) -> int:
    """Say how wide a text is: a Chinese or Japanese sign counts for two."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


def narrow(text: str, columns: int) -> str:
    """Shorten what is visible of a text to so many columns."""
    seen = visible(text, columns)
    while columns_of(seen) > columns:
        seen = seen.removesuffix("…")[:-1] + "…"
    return seen


def in_html(text: str, longest: int = LONGEST) -> str:
    """Write a text into HTML or SVG, as text or between double quotes."""
    return html.escape(visible(text, longest), quote=True)


def in_markdown(text: str, longest: int = LONGEST) -> str:
    """Write a text into Markdown, where no sign of it means anything; HTML and links neither."""
    return _MARKDOWN.sub(r"\\\1", visible(text, longest))


def link(url: str, inner_html: str, about: str = "") -> str:
    """Link HTML to a page of the web; to any other address, such as a script's, it does not."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return inner_html
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return inner_html
    title = f' title="{about}"' if about else ""
    return f'<a href="{html.escape(url, quote=True)}"{title} rel="nofollow noopener noreferrer">{inner_html}</a>'


def counted(count: int, what: str) -> str:
    """Write a number with its word: "1 face", "1,234 faces"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
