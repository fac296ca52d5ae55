"""The card as one HTML file: no script, nothing fetched, light or dark as the reader has it, wide or narrow."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from importlib import resources

from pipeline.card.agreement import Agreement
from pipeline.card.facts import Facts
from pipeline.card.notes import board, note, removal, whose
from pipeline.card.plots import Chart
from pipeline.card.river import draw
from pipeline.card.sheets import Sheet
from pipeline.card.text import counted, in_html
from pipeline.records import Verdict

_LEADING = 3  # sheets that stand alone; those of colours lie side by side
_ALLOWED = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(facts: Facts, agreement: Agreement, charts: Sequence[Chart], sheets: Sequence[Sheet], contact: str) -> str:
    """Write the card of a release; whatever was scraped is text in it and nothing else."""
    title = f"{in_html(facts.name)}: {counted(facts.faces, 'face')}"
    style = resources.files("pipeline.card").joinpath("card.css").read_text("utf-8")
    by_chance, *doubted = sheets[:_LEADING]
    body = [
        f"<header><h1>{in_html(facts.name)}</h1><p>{_lead(facts)}</p>{_figures(facts)}</header>",
        _large(by_chance),
        _section("where", "From where", _sources(facts)),
        _section("how", "How", f"{_HOW}{_stages(facts)}"),
        _section("charts", "What is in it", f'<div class="charts">{"".join(map(_chart, charts))}</div>'),
        _section("review", "People and the rule", _review(agreement)),
        *map(_large, doubted),
        _section("hair", "By colour of hair", _colours(sheets[_LEADING:])),
        _section("whose", "Whose they are", f"<p>{_prose(whose(facts))}</p>{_artists(facts)}"),
        _section("removal", "Removal", f"<p>{_prose(removal(contact))}</p>"),
        _section("recipe", "The recipe", _recipe(facts)),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_ALLOWED}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>\n{style}</style></head>\n<body><main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main></body></html>\n"
    )


_HOW = (
    "<p>Every item has one outcome from every stage: it goes on, or it is dropped for a reason. The river is what goes "
    "on; its width is the number. An image may hold several faces, or none.</p>"
)


def _lead(facts: Facts) -> str:
    pages = "The pictures link to their posts."
    if facts.without_page:
        pages = "Pictures of posts that have a page link to it." if facts.without_page < facts.faces else ""
    return (
        f"Square crops of faces in drawings, {facts.size} pixels a side{facts.dates}. Made by kaoset "
        f"{in_html(facts.version)} from the recipe at the end of this page. {pages}"
    )


def _figures(facts: Facts) -> str:
    shares = ", ".join(f"{count:,} {in_html(name)}" for name, count in facts.shares)
    figures = {
        "faces": f"{facts.faces:,}",
        "images": f"{facts.images:,}",
        "families": f"{len(facts.families):,}",
        "accepted by people": f"{facts.decisions['keep']:,}",
    }
    cells = "".join(f"<div><dt>{name}</dt><dd>{number}</dd></div>" for name, number in figures.items())
    return f'<dl class="figures">{cells}</dl><p class="muted">Splits: {shares}; a family stands in one of them.</p>'


def _section(name: str, title: str, inner: str) -> str:
    return f'<section id="{name}"><h2>{title}</h2>{inner}</section>' if inner else ""


def _large(sheet: Sheet) -> str:
    return (
        f'<section><h2>{in_html(sheet.name)}</h2><p class="muted">{in_html(sheet.says, 200)}</p>'
        f'<div class="sheet">{sheet.cells}</div></section>'
    )


def _colours(sheets: Sequence[Sheet]) -> str:
    if not sheets:
        return ""
    cells = (
        f'<div><h3>{in_html(one.name.removeprefix("Hair: "))}</h3><div class="sheet small">{one.cells}</div></div>'
        for one in sheets
    )
    return f'<div class="colours">{"".join(cells)}</div>'


def _chart(chart: Chart) -> str:
    return (
        f"<figure><h3>{in_html(chart.title)}</h3>{_legend(chart)}{_labelled(chart)}"
        f"<figcaption>{in_html(chart.says, 400)}</figcaption></figure>"
    )


def _legend(chart: Chart) -> str:
    items = "".join(
        f'<li><span style="background:var(--{variable})"></span><bdi>{in_html(name)}</bdi></li>'
        for name, variable in chart.legend
    )
    return f'<ul class="legend">{items}</ul>' if items else ""


def _labelled(chart: Chart) -> str:
    return chart.svg.replace("<svg", f'<svg role="img" aria-label="{in_html(chart.title)}"', 1)


def _sources(facts: Facts) -> str:
    blocks = []
    for name, count in sorted(facts.sources.items(), key=lambda pair: (-pair[1], pair[0])):
        section = facts.section(name)
        place = f" from {in_html(board(section))}" if board(section) != name else ""
        blocks.append(
            f'<div><dt><bdi>{in_html(name)}</bdi> <span class="count">{counted(count, "face")}{place}</span></dt>'
            f"<dd>{_prose(note(section))}</dd></div>"
        )
    return f'<dl class="sources">{"".join(blocks)}</dl>'


def _stages(facts: Facts) -> str:
    rows = "".join(
        f"<tr><th>{in_html(stage['stage'])}</th><td class=number>{stage['seen']:,}</td>"
        f"<td class=number>{stage['kept']:,}</td><td class=number>{_share(stage['kept'], stage['seen'])}</td></tr>"
        for stage in facts.stages
    )
    head = "<tr><th>stage</th><th class=number>saw</th><th class=number>kept</th><th></th></tr>"
    table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
    return f'<div class="way"><div class="river-box">{draw(facts.stages)}</div><div>{table}</div></div>'


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def _review(agreement: Agreement) -> str:
    decided = sum(agreement.reviewers.values())
    if not decided:
        return "<p>Nobody has decided on a crop yet: all of them were accepted by rule.</p>"
    rows = "".join(
        f"<tr><th>{name}</th>" + "".join(f"<td class=number>{said.get(one, 0):,}</td>" for one in Verdict) + "</tr>"
        for name, said in (("the rule would accept", agreement.sure), ("the rule would let wait", agreement.unsure))
    )
    heads = "".join(f"<th class=number>{one.value}</th>" for one in Verdict)
    table = f"<table><thead><tr><th></th>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    people = "".join(
        f"<li><bdi>{in_html(name)}</bdi> <span class=count>{count:,}</span></li>"
        for name, count in agreement.reviewers.items()
    )
    return f'<div class="wide">{table}</div><p>{_agreed(agreement)}</p><ul class="names">{people}</ul>'


def _agreed(agreement: Agreement) -> str:
    right, sure = agreement.sure.get(Verdict.KEEP, 0), sum(agreement.sure.values())
    said = [f"Of {counted(sure, 'decided crop')} that the rule would accept people kept {right:,}."] if sure else []
    if agreement.seen_twice:
        share = agreement.agreed_twice / agreement.seen_twice
        beyond = "" if agreement.kappa is None else f" (Cohen's kappa {agreement.kappa:.2f})"
        times = f"{agreement.seen_twice:,} times they saw one crop"
        said.append(f"Two reviewers said the same {share:.0%} of the {times}{beyond}.")
    return " ".join([*said, agreement.audit, "Who decided on how many:"])


def _artists(facts: Facts) -> str:
    if not facts.artists:
        return "<p>No board named an artist for any of these pictures.</p>"
    ranked = sorted(facts.artists.items(), key=lambda pair: (-pair[1], pair[0]))
    names = "".join(f"<li><bdi>{in_html(name)}</bdi> <span class=count>{count:,}</span></li>" for name, count in ranked)
    nobody = f"<p>Of {counted(facts.without_artist, 'face')} the board names no artist.</p>"
    return (
        f"<details{' open' if len(ranked) <= 100 else ''}><summary>{counted(len(ranked), 'artist')}, with the number "
        f'of faces</summary><ul class="names">{names}</ul></details>{nobody if facts.without_artist else ""}'
    )


def _recipe(facts: Facts) -> str:
    return (
        f"<details><summary>recipe.toml, every value</summary><pre>{html.escape(facts.recipe_toml)}</pre></details>"
        '<p class="muted">The same catalog and recipe make the same bytes. SHA256SUMS has the checksum of every '
        "file.</p>"
    )


def _prose(text: str) -> str:
    """Turn `names` into code; all else is text."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", in_html(text, 2000))
