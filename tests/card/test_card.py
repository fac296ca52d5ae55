from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from cards import make_folder, manifest_row

from pipeline.card import NOTHING_DECIDED, Agreement, write_card
from pipeline.card.facts import LISTED
from pipeline.manifest import MANIFEST
from pipeline.records import Reason, Verdict
from pipeline.run import STAGES

HOSTILE = "<script>alert(1)</script>|](javascript:alert(1))`$x$\u202e&\"'"
NAME = HOSTILE  # of an artist, a character


class Reader(HTMLParser):
    """What a browser would take a page for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def _page(place: Path, agreed: Agreement = NOTHING_DECIDED) -> str:
    write_card(place, agreed)
    return (place / "card.html").read_text("utf-8")


def _readme(place: Path) -> str:
    write_card(place, NOTHING_DECIDED)
    return (place / "README.md").read_text("utf-8")


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    """In another process with another seed of hashes, and whatever card lay there before."""
    place = make_folder(tmp_path / "r", [manifest_row(seed) for seed in range(30)])
    first = _page(place), (place / "README.md").read_text()

    code = (
        "import sys; from pathlib import Path; from pipeline.card import *; "
        "write_card(Path(sys.argv[1]), NOTHING_DECIDED)"
    )
    subprocess.run([sys.executable, "-c", code, place], check=True, env={"PYTHONHASHSEED": "7", "PYTHONPATH": "."})

    assert ((place / "card.html").read_text(), (place / "README.md").read_text()) == first


def test_the_page_needs_nothing_from_anywhere(tmp_path: Path) -> None:
    """No script, no address but links, and a browser is told so."""
    html = _page(make_folder(tmp_path / "r", [manifest_row(seed) for seed in range(3)]))
    tags = Reader(html).tags

    assert {tag for tag, _ in tags} & {"script", "iframe", "object", "embed", "form", "base"} == set()
    assert all((attrs["src"] or "").startswith("data:image/webp;base64,") for tag, attrs in tags if tag == "img")
    assert [attrs for tag, attrs in tags if tag == "link"] == []
    assert "url(" not in html.replace("url(#", "")
    assert "default-src 'none'" in html


def test_what_strangers_wrote_is_text(tmp_path: Path) -> None:
    """Names of sources, artists, characters, reviewers and addresses make no tag, no script and no turned line."""
    rows = [manifest_row(1, post_id=f"{HOSTILE}:1", page_url="javascript:alert(1)", hair_colour="pink")]
    place = make_folder(tmp_path / "hostile", rows, artists=NAME, characters=NAME)
    plain = Reader(_page(make_folder(tmp_path / "plain", [manifest_row(1)])))

    html = _page(place, Agreement(unsure={Verdict.KEEP: 1}, reviewers={HOSTILE: 1}))
    read = Reader(html)

    assert {tag for tag, _ in read.tags} - {tag for tag, _ in plain.tags} <= {"ul", "li", "bdi", "thead", "details"}
    assert not any(name.startswith("on") for _, attrs in read.tags for name in attrs)
    assert not any((attrs.get("href") or "").startswith("javascript") for _, attrs in read.tags)
    assert read.text.count("<script>alert(1)</script>") >= 3
    assert "\u202e" not in html


def test_what_strangers_wrote_is_text_in_markdown(tmp_path: Path) -> None:
    """No HTML, no link and no cell of a table comes of it."""
    rows = [manifest_row(1, post_id=f"{HOSTILE}:1")]

    text = _readme(make_folder(tmp_path / "r", rows, artists=NAME, characters=NAME))

    assert re.search(r"(?<!\\)<script|(?<!\\)\]\(javascript|(?<!\\)\|\\?\]", text) is None
    assert r"\<script\>alert\(1\)" in text


def test_a_name_is_no_formula(tmp_path: Path) -> None:
    """Dollars and glyphs that no font has cost a chart nothing: matplotlib never reads a name."""
    html = _page(make_folder(tmp_path / "r", [manifest_row(1)], characters="$\\frac{1}{ 初音ミク $a$"))

    assert "初音ミク" in html
    assert "$a$" in html


def test_one_crop_of_which_nothing_is_known_has_a_card(tmp_path: Path) -> None:
    """No date, no colour, no artist, no recipe worth the name: no empty charts, and no sentence about nothing."""
    bare = {"posted_at": "", "released_on": "", "hair_colour": "", "eye_colour": "", "page_url": "", "tags": ""}
    place = make_folder(tmp_path / "r", [manifest_row(1, **bare)], recipe='name = "r"\n')

    html = _page(place)
    titles = re.findall(r"<h[23]>(.*?)</h[23]>", html)

    assert titles == [
        *("A sample", "From where", "How", "What is in it", "Size of the faces", "How sure they are faces", "Families"),
        *("People and the rule", "Best", "Most doubtful", "Whose they are", "Removal", "The recipe"),
    ]
    assert "1 face\n" in (place / "README.md").read_text()


def test_the_front_matter_is_what_the_hub_reads(tmp_path: Path) -> None:
    """Licence, task and size, between two lines of dashes at the very top."""
    text = _readme(make_folder(tmp_path / "r", [manifest_row(seed) for seed in range(3)]))

    head = text.split("---\n")
    assert head[0] == ""
    assert head[1].splitlines()[:-1] == [
        *("license: other", "license_name: no-licence-known", "license_link: LICENSE.md"),
        *('pretty_name: "faces"', "task_categories:", "- unconditional-image-generation"),
        *("size_categories:", "- n<1K", "tags:", "- faces", "- kaoset"),
        *("configs:", "- config_name: default", "  data_files:", "  - split: train"),
    ]
    assert "belong to those who made them" in (tmp_path / "r" / "LICENSE.md").read_text()


def test_the_datasets_library_finds_the_pictures_by_the_front_matter(tmp_path: Path) -> None:
    """Those made for it, in their splits, and nothing else of the release."""
    import datasets

    place = make_folder(tmp_path / "r", [manifest_row(seed) for seed in range(3)])
    for split, count in (("train", 2), ("test", 1)):
        (place / "huggingface" / split).mkdir(parents=True)
        for one in list((place / "images").iterdir())[:count]:
            (place / "huggingface" / split / one.name).write_bytes(one.read_bytes())
    write_card(place, NOTHING_DECIDED)

    read = datasets.load_dataset(str(place), cache_dir=str(tmp_path / "cache"))

    assert {split: len(rows) for split, rows in read.items()} == {"train": 2, "test": 1}


def test_the_datasets_library_finds_the_pictures_that_were_not_made_for_it(tmp_path: Path) -> None:
    """Of a release with no more than `images/`: each face once and in its split, and no sheet."""
    import datasets

    splits = ["train", "train", "validation", "test"]
    place = make_folder(tmp_path / "r", [manifest_row(seed, split=split) for seed, split in enumerate(splits)])
    for stranger in ("contact_sheet.png", "stylegan/00000/img.png"):
        (place / stranger).parent.mkdir(parents=True, exist_ok=True)
        (place / stranger).write_bytes(next((place / "images").iterdir()).read_bytes())
    write_card(place, NOTHING_DECIDED)

    read = datasets.load_dataset(str(place), cache_dir=str(tmp_path / "cache"))

    assert {split: len(rows) for split, rows in read.items()} == {"train": 2, "validation": 1, "test": 1}


def test_of_a_large_release_the_datasets_library_loads_the_manifest(tmp_path: Path) -> None:
    """Where the files are too many to be named: a row for each crop with its file and its split."""
    import datasets

    place = make_folder(tmp_path / "r", [manifest_row(seed) for seed in range(LISTED + 1)])
    write_card(place, NOTHING_DECIDED)

    read = datasets.load_dataset(str(place), cache_dir=str(tmp_path / "cache"))

    assert {split: sorted(rows["file"]) for split, rows in read.items()} == {
        "manifest": sorted(f"images/{one.name}" for one in (place / "images").iterdir())
    }


def test_every_count_of_the_report_is_told(tmp_path: Path) -> None:
    """Each stage, and each reason with its number, on the page and in README."""
    place = make_folder(tmp_path / "r", [manifest_row(1)])
    told = Reader(_page(place)).text

    assert all(word in told for word in ("select 40 posts", "rating 10", "duplicate 5"))
    assert "| select | 40 | 30 | rating 10 |" in (place / "README.md").read_text()


def test_artists_are_listed_with_their_counts(tmp_path: Path) -> None:
    """Who has most comes first; where the board names none it says so."""
    rows = [manifest_row(seed) for seed in range(3)]

    text = _readme(make_folder(tmp_path / "r", rows, artists=["ann", "ann bob", ""]))

    assert "ann (2), bob (1)." in text
    assert "Of 1 face the board names no artist." in text


def test_who_removes_a_work_is_in_the_recipe(tmp_path: Path) -> None:
    """Else it is the publisher."""
    recipe = 'name = "r"\n[release]\ncontact = "kim@example.invalid"\n'

    assert "write to kim\\@example\\.invalid and" in _readme(
        make_folder(tmp_path / "r", [manifest_row(1)], recipe=recipe)
    )
    assert "write to the publisher of this dataset" in _readme(make_folder(tmp_path / "other", [manifest_row(1)]))


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('kind = "danbooru"\nboard = "danbooru"\nname = "mine"', "taken down"),
        ('kind = "danbooru"\nboard = "sandbox"\nname = "mine"', "no person's work"),
        ('kind = "urls"\nname = "mine"\nobey_noai = false', "were not obeyed"),
        ('kind = "moebooru"\nboard = "https://mine"', "deleted posts"),
    ],
)
def test_what_is_known_of_a_board_is_told(section: str, said: str, tmp_path: Path) -> None:
    """Of the section of the recipe that the posts came by."""
    place = make_folder(
        tmp_path / "r", [manifest_row(1, post_id="mine:1")], recipe=f'name = "r"\n[[sources]]\n{section}\n'
    )

    assert said in _readme(place)


def test_crops_link_to_their_posts(tmp_path: Path) -> None:
    """So that each picture leads to where it is from."""
    tags = Reader(
        _page(make_folder(tmp_path / "r", [manifest_row(1, page_url="https://board.invalid/1?a=1&b=2")]))
    ).tags

    links = {attrs["href"] for tag, attrs in tags if tag == "a"}
    assert links == {"https://board.invalid/1?a=1&b=2"}


FOLDER = 'name = "r"\n[[sources]]\nkind = "folder"\nname = "mine"\npath = "/x"\n'


def test_a_release_of_a_folder_says_what_it_cannot_know(tmp_path: Path) -> None:
    """Its dates are those of files, one month is told once, and there is no page to link to."""
    rows = [manifest_row(1, post_id="mine:a.png", page_url="mine:a.png", posted_at="2026-11-20T00:00:00+00:00")]
    told = Reader(_page(make_folder(tmp_path / "r", rows, recipe=FOLDER))).text

    assert "last changed as a file (or dated as was told beside it) in 2026-11." in told
    assert "link to" not in told
    assert "posted" not in told


def test_what_kaoset_drew_is_said_to_be_nobodys(tmp_path: Path) -> None:
    """And nowhere that it belongs to those who made it."""
    recipe = 'name = "r"\n[[sources]]\nkind = "danbooru"\nboard = "sandbox"\n'
    place = make_folder(tmp_path / "r", [manifest_row(1, post_id="sandbox:1")], recipe=recipe)
    told = [_page(place), *((place / name).read_text() for name in ("README.md", "LICENSE.md"))]

    assert all("invented names" in text and "those who made them" not in text for text in told)


def test_all_names_of_the_river_fit(tmp_path: Path) -> None:
    """The longest of stages and reasons, with millions, begin beside the river and end before its frame."""
    place = make_folder(tmp_path / "r", [manifest_row(1)])
    most = 12_345_678
    dropped = {reason.value: most for reason in Reason}
    stages = [{"stage": stage, "seen": most, "kept": most, "dropped": dropped} for stage in STAGES]
    (place / "report.json").write_text(json.dumps({"kaoset": "1", "stages": stages}))

    texts = re.findall(r'<text class="(?:stage|reason)" x="([\d.]+)"[^>]*>(.*?)</text>', _page(place))

    assert len(texts) == len(STAGES) * (1 + len(Reason))
    widest = 7.8  # pixels of a letter at 14
    assert all(float(x) > 134 and float(x) + widest * len(re.sub("<.*?>", "", text)) < 400 for x, text in texts)


def test_the_doubtful_come_least_sure_first(tmp_path: Path) -> None:
    """And the sheet of the best holds none of them while there are better ones."""
    rows = [manifest_row(seed, score=round(0.5 + seed / 1000, 3)) for seed in range(300)]
    html = _page(make_folder(tmp_path / "r", rows))

    sheets = dict(re.findall(r"<h2>(Best|Most doubtful)</h2>(.*?)</section>", html, re.DOTALL))
    shown = {
        name: [float(one) for one in re.findall(r'alt="\w+, score ([\d.]+)"', body)] for name, body in sheets.items()
    }
    assert shown["Most doubtful"] == [round(0.5 + seed / 1000, 3) for seed in range(24)]
    assert min(shown["Best"]) >= 0.56


@pytest.mark.slow
def test_a_large_release_takes_seconds_and_little_memory(tmp_path: Path) -> None:
    """100,000 rows of 300 tags: under half a minute here, and 200 MB."""
    place = make_folder(tmp_path / "r", [manifest_row(seed) for seed in range(200)])
    head, *lines = (place / MANIFEST).read_text().splitlines()
    cells = [line.split(",") for line in lines]
    names = head.split(",")
    at = {name: names.index(name) for name in ("family", "image_sha256", "post_id", "tags")}
    with (place / MANIFEST).open("w") as file:
        print(head + ",artists,characters", file=file)
        for number in range(100_000):
            one = cells[number % 200].copy()
            one[at["family"]] = f"{number // 2:016x}"
            one[at["image_sha256"]] = f"{number:064x}"
            one[at["post_id"]] = f"danbooru:{number}"
            one[at["tags"]] = " ".join(["a_tag"] * 300)
            skew = int(np.sqrt(number))
            print(",".join(one) + f",artist_{number % 20_000},name_{skew}", file=file)
    code = (
        "import resource, sys; from pathlib import Path; from pipeline.card import *; import matplotlib.figure, "
        "matplotlib.backends.backend_svg, pipeline.card.sheets\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; write_card(Path(sys.argv[1]), NOTHING_DECIDED); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    began = time.monotonic()

    more_kb = subprocess.run([sys.executable, "-c", code, place], check=True, capture_output=True, text=True).stdout

    assert int(more_kb) < 200_000
    assert time.monotonic() - began < 30
