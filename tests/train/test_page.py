"""The page of a training shows what there is, says what is damaged, and believes nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.train.page import SHOWN, brief, draw_metrics, percent, span, write_page
from pipeline.train.pictures import save_png
from pipeline.train.runs import read_run, samples

METRICS = "step,kimg,seconds,rf_fid,rf_fid_floor,precision,recall,accuracy:smile\n"
PARTS = ("Faces", "Films", "Curves", "Measures", "Attributes", "Facts")


def png(path: Path, height: int = 34, width: int = 34) -> None:
    save_png(path, np.zeros((height, width, 3), dtype=np.uint8))


def run_json(run_dir: Path, **changed: Any) -> None:
    run = {
        "release": "sandbox/001",
        "manifest_sha256": "ab" * 32,
        "images": 1234,
        "batch": 64,
        "total_steps": 1000,
        "config": {"network": "dcgan", "size": 64, "loss": "hinge", "mirror": False, "threads": None},
        "device": "cpu",
        "precision": "fp32",
        "torch": "2.13.0",
        "weights": {"generator": 3576704, "discriminator": 2765568},
        "state": "running",
        "why": "",
        "best": 500,
    }
    (run_dir / "run.json").write_text(json.dumps(run | changed))


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A folder with everything that a training leaves behind, but for real films."""
    run_json(tmp_path)
    (tmp_path / "losses.csv").write_text(
        "step,kimg,d_loss,g_loss,img_per_s,seconds,memory_mb\n500,32,1.25,0.5,100,320,2048\n"
    )
    (tmp_path / "metrics.csv").write_text(
        METRICS + "".join(f"{n},{n / 10},{n},{abs(n - 3) + 40},12,0.5,0.25,0.75\n" for n in range(1, 31))
    )
    (tmp_path / "attributes.csv").write_text(
        "attribute,asked,right,precision,low,high,judge_accuracy,held_out\nsmile,200,171,0.855,0.8,0.897,0.94,412\n"
    )
    for kind in ("fixed", "random", "labels", "nearest"):
        png(tmp_path / f"samples/{kind}-000000400.png")
        png(tmp_path / f"samples/{kind}-000000500.png")
    for name in ("reals.png", "losses.png", "metrics.png", "interpolation.png"):
        png(tmp_path / name)
    for name in ("fixed.gif", "interpolation.gif"):
        Image.new("P", (34, 34)).save(tmp_path / name)
    (tmp_path / "fixed.mp4").write_bytes(b"a film")
    return tmp_path


def html_of(run_dir: Path) -> str:
    return write_page(run_dir).read_text(encoding="utf-8")


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def sections(html: str) -> list[str]:
    return re.findall(r"<h2[^>]*>(.*?)</h2>", html)


# --- what is there is shown


def test_a_whole_run_has_all_parts(run_dir: Path) -> None:
    """In the order in which one looks at them."""
    assert sections(html_of(run_dir)) == list(PARTS)


def test_the_page_is_in_the_folder_and_alone(run_dir: Path) -> None:
    """It is written all or nothing; no other file is touched."""
    before = {path.name for path in run_dir.iterdir()}

    assert write_page(run_dir) == run_dir / "train.html"
    assert {path.name for path in run_dir.iterdir()} - before == {"train.html"}


def test_the_head_says_where_it_stands(run_dir: Path) -> None:
    """How much of how much, how fast, and how long still: 32 kimg at 100 images a second are 320 seconds."""
    text = words(html_of(run_dir))

    for said in ("sandbox/001 dcgan", "running", "32.0 of 64.0 kimg · 50 %", "100 img/s", "still to go 5 min"):
        assert said in text


def test_the_facts_stand_in_a_table(run_dir: Path) -> None:
    """What is trained, of what, and where."""
    text = words(html_of(run_dir))

    for said in ("hinge", "64 × 64 px", "1,234", "generator 3,576,704", "cpu, fp32", "step 500, 32.0 kimg", "2,048 MB"):
        assert said in text


def test_the_newest_grids_are_shown(run_dir: Path) -> None:
    """With their step behind the name, so that no cache shows an old one; enlarged in whole steps, never blurred."""
    html = html_of(run_dir)

    for kind in ("fixed", "random", "labels", "nearest"):
        assert f'src="samples/{kind}-000000500.png?500" width="272" height="272"' in html
    assert "000000400" not in html
    assert 'src="reals.png?500"' in html
    assert "image-rendering: pixelated" in html


def test_every_picture_says_what_it_is(run_dir: Path) -> None:
    """To those who do not see it."""
    html = html_of(run_dir)

    assert len(re.findall(r"<img ", html)) == len(re.findall(r'<img [^>]*alt="[^"]+"', html)) == 8
    assert re.search(r'<video [^>]*aria-label="[^"]+"', html)


def test_a_film_is_an_mp4_where_there_is_one(run_dir: Path) -> None:
    """Elsewhere a GIF, and a still picture for those whom motion disturbs."""
    html = html_of(run_dir)

    assert '<source src="fixed.mp4?500" type="video/mp4">' in html
    assert '<source media="(prefers-reduced-motion: reduce)" srcset="interpolation.png?500">' in html
    assert 'src="interpolation.gif?500"' in html


def test_the_best_tick_is_marked_even_where_it_is_old(run_dir: Path) -> None:
    """Twenty newest rows and the best, which was the third of thirty."""
    html = html_of(run_dir)
    table = html[html.index('<h2 id="metrics">') : html.index('<h2 id="attributes">')]

    marked = re.findall(r'<tr class="best"><th[^>]*><span class="tag">best</span> (.*?)</th><td[^>]*>(.*?)</td>', table)

    assert marked == [("0.300", "3")]
    assert table.count('<th scope="row"') == SHOWN + 1
    assert "smile ↑" in table


def test_an_attribute_has_its_interval(run_dir: Path) -> None:
    """As numbers and as a bar."""
    html = html_of(run_dir)

    assert "smile 200 171 86 % 80 % – 90 % 94 % 412" in words(html)
    assert '<i style="left:80.0%;right:10.3%"></i><b style="left:85.5%"></b>' in html


def test_the_recipe_is_told(run_dir: Path) -> None:
    """Every setting, and of which faces."""
    text = words(html_of(run_dir))

    assert "mirror no" in text
    assert "threads –" in text
    assert "ab" * 32 in text


# --- what is not there is left out


@pytest.mark.parametrize(
    ("gone", "part"),
    [
        (["reals.png", *(f"samples/{kind}-000000{n}00.png" for n in (4, 5) for kind in
          ("fixed", "random", "labels", "nearest"))], "Faces"),
        (["fixed.gif", "fixed.mp4", "interpolation.gif", "interpolation.png"], "Films"),
        (["losses.png", "metrics.png"], "Curves"),
        (["metrics.csv"], "Measures"),
        (["attributes.csv"], "Attributes"),
    ],
)  # fmt: skip
def test_what_is_missing_is_left_out(run_dir: Path, gone: list[str], part: str) -> None:
    """And nothing else is."""
    for name in gone:
        (run_dir / name).unlink()

    html = html_of(run_dir)

    assert sections(html) == [one for one in PARTS if one != part]
    assert 'class="notice"' not in html


def test_an_empty_folder_has_a_page(tmp_path: Path) -> None:
    """It says what is missing."""
    html = html_of(tmp_path)

    assert sections(html) == []
    assert "run.json cannot be read: No such file or directory" in words(html)


def test_a_run_of_an_older_kaoset_has_a_page(run_dir: Path) -> None:
    """It knew no state, and nobody waits for it."""
    facts = json.loads((run_dir / "run.json").read_text())
    for name in ("state", "why", "best"):
        del facts[name]
    (run_dir / "run.json").write_text(json.dumps(facts))

    html = html_of(run_dir)

    assert sections(html) == list(PARTS)
    assert 'http-equiv="refresh"' not in html


# --- it goes on by itself only while there is something to wait for


def test_the_page_of_a_running_training_loads_itself(run_dir: Path) -> None:
    """Every fifteen seconds."""
    assert '<meta http-equiv="refresh" content="15">' in html_of(run_dir)


@pytest.mark.parametrize("state", ["stopped", "finished", "failed", "asleep", ["running"], None])
def test_no_other_does(run_dir: Path, state: object) -> None:
    """Whatever is written there, and it tells no time that is left."""
    run_json(run_dir, state=state)

    html = html_of(run_dir)

    assert 'http-equiv="refresh"' not in html
    assert "still to go" not in html


def test_why_it_ended_is_told(run_dir: Path) -> None:
    """At the top."""
    run_json(run_dir, state="failed", why="step 7: the losses are nan")

    assert "step 7: the losses are nan" in words(html_of(run_dir))


# --- nothing is believed


HOSTILE = '"><script>alert(1)</script>\u202e'


def test_hostile_words_are_words(run_dir: Path) -> None:
    """In every place where a text of a file is shown."""
    config = {"network": HOSTILE, "loss": HOSTILE, HOSTILE: {HOSTILE: [HOSTILE]}}
    run_json(run_dir, release=HOSTILE, why=HOSTILE, device=HOSTILE, config=config, weights={HOSTILE: HOSTILE})
    quoted = HOSTILE.replace('"', '""')
    (run_dir / "metrics.csv").write_text(
        f'step,kimg,rf_fid,"accuracy:{quoted}"\n1,1,1,1\n2,2,"{quoted}",1\n', encoding="utf-8"
    )
    (run_dir / "attributes.csv").write_text(f'attribute,precision,low\n"{quoted}","{quoted}",0.1\n', encoding="utf-8")

    html = html_of(run_dir)

    assert "<script" not in html
    assert "\u202e" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_nothing_comes_from_elsewhere(run_dir: Path) -> None:
    """The page names files of its folder, and forbids the rest."""
    html = html_of(run_dir)

    named = re.findall(r'(?:src|href|srcset|poster)="([^"]*)"', html)

    assert len(named) >= 10
    assert all((run_dir / name.partition("?")[0]).is_file() for name in named if name != "generator.safetensors")
    assert "default-src 'none'" in html


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (METRICS + "1,1,1,40,12,0.5,0.25,0.75\n2,2\n", "metrics.csv, line 3: has more or fewer cells than the head"),
        (METRICS + "1,1,1,forty,12,0.5,0.25,0.75\n", "metrics.csv, line 2: rf_fid = 'forty' is no number"),
        (METRICS + '1,1,1,"40', "metrics.csv cannot be read: unexpected end of data"),
        (METRICS + f"1,1,{'7' * 200_000},40", "metrics.csv cannot be read: field larger than field limit"),
    ],
)
def test_a_damaged_table_is_told(run_dir: Path, text: str, told: str) -> None:
    """On the page; the other parts are there."""
    (run_dir / "metrics.csv").write_text(text)

    html = html_of(run_dir)

    assert told in words(html).replace("&#39;", "'")
    assert "Faces" in sections(html)


def test_bytes_that_are_no_text_are_told(run_dir: Path) -> None:
    """A disk may have died."""
    (run_dir / "losses.csv").write_bytes(b"step,kimg\n\xff\xfe\x00")

    assert "losses.csv cannot be read" in words(html_of(run_dir))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"config": 7, "batch": "x", "total_steps": [], "best": {}}'])
def test_a_damaged_run_json_stops_no_page(run_dir: Path, text: str) -> None:
    """What the other files tell is shown."""
    (run_dir / "run.json").write_text(text)

    assert "Measures" in sections(html_of(run_dir))


def test_numbers_that_are_none_are_left_out(run_dir: Path) -> None:
    """Empty cells, infinity and what is no number at all are no points of a curve."""
    (run_dir / "metrics.csv").write_text("step,kimg,rf_fid,swd\n1,1,,2\n2,2,nan,inf\n,3,1,1\n")

    assert read_run(run_dir).metrics == [{"step": 1.0, "kimg": 1.0, "swd": 2.0}, {"step": 2.0, "kimg": 2.0}]


def test_a_damaged_picture_is_left_out(run_dir: Path) -> None:
    """The page does not promise what cannot be seen."""
    (run_dir / "reals.png").write_bytes(b"no picture")

    assert "reals.png" not in html_of(run_dir)


def test_grids_are_found_by_their_step(tmp_path: Path) -> None:
    """As numbers, not as words; other files are none."""
    for name in ("fixed-10.png", "fixed-9.png", "fixed-x.png", "random-11.png"):
        png(tmp_path / "samples" / name)

    assert [step for step, _ in samples(tmp_path, "fixed")] == [9, 10]


# --- how numbers are written


def test_numbers_are_short() -> None:
    """Three digits tell two trainings apart."""
    numbers = (None, 0, 0.01234, 0.76, 12.0, 99.99, 123.4, 12345.6, 2.5e12)

    assert [brief(one) for one in numbers] == ["–", "0", "0.0123", "0.760", "12.0", "100", "123", "12,346", "2.5e+12"]


def test_times_are_said() -> None:
    """As a person would."""
    assert [span(s) for s in (41.6, 720, 11_100, 187_200)] == ["42 s", "12 min", "3 h 05 min", "2 d 4 h"]
    assert [percent(one) for one in (None, 0.855, 1)] == ["–", "86 %", "100 %"]


# --- the curves


def test_the_curves_are_a_picture(tmp_path: Path) -> None:
    """A chart for each measure that there is: here two, side by side."""
    rows = [{"kimg": 1.0, "rf_fid": 5000.0, "rf_fid_floor": 12.0, "precision": 0.5}, {"kimg": 2.0, "rf_fid": 40.0}]

    draw_metrics(tmp_path / "metrics.png", rows)

    assert Image.open(tmp_path / "metrics.png").size == (816, 300)


@pytest.mark.parametrize("labels", [3, 34])
def test_many_attributes_and_hostile_names_can_be_drawn(tmp_path: Path, labels: int) -> None:
    """A name is no mathematics; more labels than there are colours leave the charts their room."""
    rows = [{"kimg": 1.0, "accuracy": 0.5, **{f"accuracy:$\\x_{n}$": 0.5 for n in range(labels)}}]

    draw_metrics(tmp_path / "metrics.png", rows)

    assert Image.open(tmp_path / "metrics.png").size == (408, 300)


@pytest.mark.parametrize("rows", [[], [{"step": 1.0, "kimg": 1.0}]])
def test_without_measures_there_are_no_curves(tmp_path: Path, rows: list[dict[str, float]]) -> None:
    """An empty chart would tell nothing."""
    draw_metrics(tmp_path / "metrics.png", rows)

    assert list(tmp_path.iterdir()) == []
