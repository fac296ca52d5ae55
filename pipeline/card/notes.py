"""What is known of the places that pictures come from, and of whose they are: facts, no terms of our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.card.facts import Facts

# By the recipe's kind of source. What boards do is read in their own code and answers.
_OF_KIND = {
    "danbooru": "A board where people post works of others, mostly with the address of the artist's page "
    "(`origin_url`). Of works of banned artists, and of works that were taken down, it gives no file, so none of them "
    "is here.",
    "gelbooru": "A board where people post works of others, some with the address they took them from (`origin_url`).",
    "moebooru": "A board where people post works of others, some with the address they took them from "
    "(`origin_url`). Of deleted posts it gives no file, so none of them is here.",
    "szurubooru": "A board of somebody's own. Posts may name where they are from (`origin_url`).",
    "getchu": "Pictures from product pages of a shop: they belong to the makers of the products; brand, title and "
    "painter stand among the tags.",
    "folder": "Pictures from a folder of the publisher's. What lay beside a picture says where it is from, if "
    "anything does.",
    "video": "Frames of films, which belong to the makers of the films; the film's name stands among the tags.",
    "urls": "Pictures from a list of addresses; `page_url` and the list's own columns say where each is from.",
}
_DRAWN = "Drawn by kaoset itself: no person's work."
_INVENTED = (
    "kaoset drew all of these pictures itself: they are no person's work, and the artists and characters are invented "
    "names."
)
_OBEYED = "Hosts that answer `X-Robots-Tag: noai` or `noimageai` were obeyed."
_NOT_OBEYED = "Hosts that answer `X-Robots-Tag: noai` or `noimageai` were not obeyed: the recipe says so."

LICENCE = "LICENSE.md"  # the only name of a file that the hub takes for a licence of no common name
_WHOSE = (
    "kaoset knows of no licence that covers these pictures: they belong to those who made them. `page_url` and "
    "`origin_url` in the manifest lead from each crop to its post and to the artist's page, as far as the board states "
    "one. Share the recipe and the manifest, not the images."
)


def whose(facts: Facts) -> str:
    """Say whose the pictures of a release are."""
    return _INVENTED if facts.drawn else _WHOSE


def note(section: Mapping[str, Any]) -> str:
    """Say what is known of a source of the recipe; "" where nothing is. Names of columns stand in backquotes."""
    if section.get("board") == "sandbox":
        return _DRAWN
    said = _OF_KIND.get(str(section.get("kind")), "")
    if section.get("kind") == "urls":
        said += " " + (_OBEYED if section.get("obey_noai", True) else _NOT_OBEYED)
    return said


def board(section: Mapping[str, Any]) -> str:
    """Name the place: its board, or what kind of source it is."""
    return str(section.get("board") or section.get("kind") or "unknown")


def removal(contact: str) -> str:
    """Say how somebody asks for a work to be taken out."""
    whom = contact or "the publisher of this dataset"
    return (
        f"To have a work removed, write to {whom} and name its page, its address or the `post_id`, `artists` or "
        "`crop_sha256` of the manifest. A later release will not hold it."
    )
