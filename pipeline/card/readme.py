"""The card as Markdown, with the front matter that Hugging Face reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from pipeline.card.agreement import Agreement
from pipeline.card.facts import LISTED, Facts
from pipeline.card.notes import LICENCE, board, note, removal, whose
from pipeline.card.text import counted, in_markdown, visible
from pipeline.labels import ATTRIBUTES
from pipeline.manifest import MANIFEST

# https://huggingface.co/docs/hub/datasets-cards: sizes as the hub names them.
_SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}
_LARGEST = "n>10M"
# "other" wants a name, and a link to a file of this name or to the web.
_LICENCE = ("license: other", "license_name: no-licence-known", f"license_link: {LICENCE}")
_ARTISTS = 100  # more are in card.html
_FILES = {
    "images": "the crops",
    "data_manifest.csv": "a row for each crop, which leads back to its post",
    "data_manifest.parquet": "the manifest with its types",
    "stylegan.zip": "what StyleGAN2-ADA, StyleGAN3 and R3GAN read",
    "huggingface": "what the `datasets` library reads: the crops by split, with what is known of them",
    "imagefolder": "the crops by split, in a folder for each class",
    "webdataset": "the crops in tar files",
    "faces.npy": "all crops as uint8, N×H×W×3, RGB, {side} pixels a side, in the manifest's order",
    "labels.npy": "N×{attributes} (1 true, 0 false, -1 unknown), in the order of `labels.json`",
    "classes.npy": "the class of each crop, by the names in `classes.json`",
    "recipe.toml": "makes the dataset again",
    "report.json": "the counts of every stage",
    "card.html": "this card with charts and contact sheets",
}


def readme(facts: Facts, agreement: Agreement, contact: str) -> str:
    """Write the card of a release."""
    parts = [
        _front_matter(facts),
        f"# {in_markdown(facts.name)}: {counted(facts.faces, 'face')}",
        "![A sample of the faces](contact_sheet.png)",
        _what(facts),
        *([agreement.audit] if agreement.audit else []),
        _table(("split", "faces"), [(in_markdown(name), f"{count:,}") for name, count in facts.shares]),
        "## From where",
        _sources(facts),
        "## How",
        _stages(facts),
        "## Files",
        _files(facts),
        "## Whose they are",
        whose(facts),
        *_artists(facts),
        "## Removal",
        removal(in_markdown(contact, 200)),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(facts: Facts) -> str:
    size = next((name for most, name in _SIZES.items() if facts.faces < most), _LARGEST)
    lines = [*_LICENCE, f'pretty_name: "{visible(facts.name)}"', "task_categories:"]
    lines += ["- unconditional-image-generation", "size_categories:", f"- {size}", "tags:", "- faces", "- kaoset"]
    return "\n".join(["---", *lines, "configs:", "- config_name: default", *_data(facts), "---"])


def _data(facts: Facts) -> Iterator[str]:
    """Say what the `datasets` library shall load: without it, it takes every picture of the release for a row."""
    for name in ("huggingface", "imagefolder"):
        if name in facts.files:
            yield f"  data_dir: {name}"
            return
    yield "  data_files:"
    if facts.faces > LISTED:  # names of a hundred thousand files are no front matter, and images/ knows no splits
        yield from ("  - split: manifest", f"    path: {MANIFEST}")
        return
    for split, _ in facts.shares:
        yield from (f"  - split: {split}", f"    path: {json.dumps(facts.listed[split])}")


def _what(facts: Facts) -> str:
    return (
        f"Square crops of faces in drawings, {facts.size} pixels a side, from {counted(facts.images, 'image')} of "
        f"{counted(facts.posts, 'post')}{facts.dates}. Made by kaoset {facts.version} from the recipe `recipe.toml`. "
        f"Accepted by a person: {facts.decisions['keep']:,}; by rule: {facts.decisions['rule']:,}."
    )


def _sources(facts: Facts) -> str:
    rows = []
    for name, count in sorted(facts.sources.items(), key=lambda pair: (-pair[1], pair[0])):
        section = facts.section(name)
        rows.append((in_markdown(name), in_markdown(board(section)), f"{count:,}", note(section)))
    return _table(("source", "board or kind", "faces", "what is known of it"), rows)


def _stages(facts: Facts) -> str:
    rows = []
    for stage in facts.stages:
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in stage["dropped"].items())
        rows.append((str(stage["stage"]), f"{stage['seen']:,}", f"{stage['kept']:,}", dropped or "–"))
    return _table(("stage", "seen", "kept", "dropped"), rows)


def _files(facts: Facts) -> str:
    side = facts.recipe.get("train", {}).get("size", "some")
    rows = [
        (f"`{name}`", what.format(side=side, attributes=len(ATTRIBUTES)))
        for name, what in _FILES.items()
        if name in facts.files or name == "card.html"
    ]
    checks = "Pixels are sRGB. `sha256sum -c SHA256SUMS` or `flow verify` checks the folder."
    return f"{_table(('file', 'what it is'), rows)}\n\n{checks}"


def _artists(facts: Facts) -> Iterator[str]:
    """List those whom the boards name, who have most first; some thousand would make no page."""
    if not facts.artists:
        return
    ranked = sorted(facts.artists.items(), key=lambda pair: (-pair[1], pair[0]))
    more = f" The other {len(ranked) - _ARTISTS:,} are in `card.html`." if len(ranked) > _ARTISTS else ""
    yield "## Artists"
    yield ", ".join(f"{in_markdown(name)} ({count:,})" for name, count in ranked[:_ARTISTS]) + "." + more
    if facts.without_artist:
        yield f"Of {counted(facts.without_artist, 'face')} the board names no artist."


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
