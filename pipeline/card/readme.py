"""The card as Markdown, with the front matter that Hugging Face reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.card.facts import Facts
from pipeline.card.notes import WHOSE, board, note, removal
from pipeline.card.text import counted, in_markdown, visible
from pipeline.labels import ATTRIBUTES

# https://huggingface.co/docs/hub/datasets-cards: sizes as the hub names them.
_SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}
_LARGEST = "n>10M"
_ARTISTS = 100  # more are in card.html
_FILES = {
    "data_manifest.csv": "leads every crop back to its post",
    "recipe.toml": "makes the dataset again",
    "card.html": "is this card with charts and contact sheets",
    "stylegan.zip": "is what StyleGAN2-ADA, StyleGAN3 and R3GAN read",
    "data_manifest.parquet": "is the manifest with its types",
    "imagefolder": "holds the crops in a folder for each class",
    "huggingface": "is what the datasets library reads",
    "webdataset": "holds the crops in tar files",
    "classes.npy": "holds the class of each crop, by the names in `classes.json`",
    "report.json": "holds the counts of every stage",
}


def readme(facts: Facts, contact: str) -> str:
    """Write the card of a release."""
    parts = [
        _front_matter(facts),
        f"# {in_markdown(facts.name)}: {counted(facts.faces, 'face')}",
        "![A sample of the faces](contact_sheet.png)",
        _what(facts),
        _table(("split", "faces"), [(name, f"{count:,}") for name, count in sorted(facts.splits.items())]),
        "## From where",
        _sources(facts),
        "## How",
        _stages(facts),
        "## Files",
        _files(facts),
        "## Whose they are",
        WHOSE,
        *_artists(facts),
        "## Removal",
        removal(in_markdown(contact, 200)),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(facts: Facts) -> str:
    size = next((name for most, name in _SIZES.items() if facts.faces < most), _LARGEST)
    lines = ["license: other", f'pretty_name: "{visible(facts.name)}"', "task_categories:"]
    lines += ["- unconditional-image-generation", "size_categories:", f"- {size}", "tags:", "- faces", "- kaoset"]
    if "huggingface" in facts.files:  # else the datasets library would take each picture of the release for a row
        lines += ["configs:", "- config_name: default", "  data_dir: huggingface"]
    return "\n".join(["---", *lines, "---"])


def _what(facts: Facts) -> str:
    dates = f", posted or released {facts.period[0]} to {facts.period[1]}" if facts.period else ""
    return (
        f"Square crops of faces in drawings, {facts.size} pixels a side, from {counted(facts.images, 'image')} of "
        f"{counted(facts.posts, 'post')}{dates}. Made by kaoset {facts.version} from the recipe `recipe.toml`. "
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
    told = [f"`{name}` {what}." for name, what in _FILES.items() if name in facts.files or name == "card.html"]
    if "faces.npy" in facts.files:
        side = facts.recipe.get("train", {}).get("size", "some")
        told.append(
            f"`faces.npy` holds all crops as uint8, N×H×W×3, RGB, {side} px a side, in the manifest's order; "
            f"`labels.npy` N×{len(ATTRIBUTES)} (1 true, 0 false, -1 unknown) in the order of `labels.json`."
        )
    return " ".join([*told, "Pixels are sRGB. `sha256sum -c SHA256SUMS` or `flow verify` checks the folder."])


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
