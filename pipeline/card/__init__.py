"""The dataset card of a release: what it holds, from where, how it was made, and whose the pictures are."""

from __future__ import annotations

from pathlib import Path

from pipeline.card.agreement import NOTHING_DECIDED, Agreement, agreement
from pipeline.card.facts import read
from pipeline.card.notes import LICENCE, whose
from pipeline.card.page import page
from pipeline.card.plots import charts
from pipeline.card.readme import readme
from pipeline.card.sheets import sheets
from pipeline.store import write_atomically

__all__ = ["NOTHING_DECIDED", "Agreement", "agreement", "write_card"]


def write_card(folder: Path, agreed: Agreement) -> None:
    """Write README.md, LICENSE.md and card.html into a release's folder, from its crops, manifest, recipe and report.

    The same files give the same bytes. Beside the pictures that it shows it holds some bytes of each crop in memory.

    Args:
        folder: Of the release, whole but for the card and the checksums.
        agreed: How people decided.
    """
    facts = read(folder)
    contact = str(facts.recipe.get("release", {}).get("contact", ""))
    html = page(facts, agreed, charts(facts), sheets(facts, folder), contact)
    write_atomically(folder / LICENCE, f"{whose(facts)}\n".encode())
    write_atomically(folder / "card.html", html.encode())
    write_atomically(folder / "README.md", readme(facts, agreed, contact).encode())
