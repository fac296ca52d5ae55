"""What is asked of a host, and what of it another host may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin, urlsplit

import requests

from pipeline.http.answers import NeverError


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked; a redirect keeps what its host may see."""

    url: str
    params: Mapping[str, str | int] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    auth: tuple[str, str] | None = None
    fields: Mapping[str, str] | None = None  # of a form, which is posted then

    def onward(self, response: requests.Response) -> Request:
        """Follow a redirect; another host is told nothing that was meant for this one."""
        url = _joined(response.url, _text(response.headers["Location"]))
        form = self.fields if response.status_code in {307, 308} else None
        if origin_of(url) == origin_of(self.url):
            return replace(self, url=url, params=None, fields=form)
        return Request(url, None, _public(self.headers))


def origin_of(url: str) -> tuple[str, str]:
    """Give scheme, and host with port; both empty for what is no address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()


def _text(header: str) -> str:
    """Read a header that was taken for Latin-1 as the UTF-8 that it mostly is."""
    try:
        return header.encode("latin-1").decode()
    except ValueError:
        return header


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise NeverError(f"{location!r} is no address that can be asked") from error


def _public(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Keep what another host may see; a key can have any name, so the harmless ones are named."""
    harmless = {"accept", "accept-encoding", "range", "if-range"}
    return {name: value for name, value in (headers or {}).items() if name.lower() in harmless}
