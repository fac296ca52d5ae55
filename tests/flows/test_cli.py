from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faulty
import pytest
import typer
from command import POSTS, PUBLISH, SANDBOX, Built, Flow, crops, rows, use

from flows.cli import app
from pipeline.catalog import Catalog
from pipeline.folder import DataFolder
from pipeline.recipe import built_in, load
from pipeline.run import STAGES
from pipeline.sandbox.posts import Kind, Sandbox

DOUBTFUL = ("-p", "review.accept_agreed=1.5")  # nothing is sure by itself


def commands(group: Any = None, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that can be typed."""
    for name, command in (group or typer.main.get_command(app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name)


def reports(data: Path, flow: Flow) -> dict[str, Any]:
    """What the last run counted, by stage."""
    return {one["stage"]: one for one in flow.json("status", "--data", data)["last_run"]["reports"]}


def manifest(release: Path) -> list[dict[str, str]]:
    with (release / "data_manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# --- finding one's way ------------------------------------------------------------------------------------------------


def test_ls_names_every_flow_and_recipe(flow: Flow) -> None:
    """A person finds out what there is."""
    answer = flow("ls")

    assert answer.code == 0
    assert {"build-dataset", "publish-dataset", "train-gan", *built_in()} <= set(answer.out.split())
    assert "  folder           A folder of your own pictures, with all folders below it.\n" in answer.out


def test_a_printed_recipe_says_what_it_wants(flow: Flow) -> None:
    """What stands above it in its file stands above it on the screen."""
    assert "# -p sources.0.age_gate=true" in flow("ls", "getchu").out.partition("name =")[0]


@pytest.mark.parametrize("name", built_in())
def test_a_printed_recipe_is_that_recipe(name: str, flow: Flow) -> None:
    """What `ls` prints can be saved, changed, and given back."""
    answer = flow("ls", name)
    (flow.home / "my.toml").write_text(answer.out)

    assert load(str(flow.home / "my.toml")) == load(name)


@pytest.mark.parametrize("command", [(), ("run",), ("review",), *commands()], ids=" ".join)
def test_every_command_shows_an_example(command: tuple[str, ...], flow: Flow) -> None:
    """The help says how it is typed."""
    answer = flow(*command, "--help")

    assert (answer.code, "Example: flow " in answer.out, answer.err) == (0, True, "")


def test_the_module_is_the_command(flow: Flow) -> None:
    """Where nothing is installed on the path, `python -m flows` does the same."""
    answer = subprocess.run([sys.executable, "-m", "flows", "--version"], capture_output=True, text=True, check=True)

    assert answer.stdout == flow("--version").out


# --- building ---------------------------------------------------------------------------------------------------------


def test_a_build_tells_of_every_stage(built: Built) -> None:
    """The summary has a row for each, and says where to look."""
    told = [line.split("│")[1].strip() for line in built.answer.out.splitlines() if line.startswith("│")]

    assert tuple(told) == STAGES
    assert str(built.release) in built.answer.out


def test_counts_add_up_and_hang_together(built: Built, flow: Flow) -> None:
    """What a stage keeps is what the next one sees, and all of it has a reason."""
    said = reports(built.data, flow)
    same = [("list", "select"), ("select", "scrape"), ("scrape", "dedup-images"), ("dedup-images", "detect")]
    same += [("crop", "dedup"), ("dedup", "filter"), ("filter", "review"), ("review", "balance"), ("balance", "export")]

    assert [stage for stage, one in said.items() if one["seen"] != one["kept"] + sum(one["dropped"].values())] == []
    assert [pair for pair in same if said[pair[0]]["kept"] != said[pair[1]]["seen"]] == []
    assert said["list"]["seen"] == POSTS
    assert said["crop"]["seen"] >= said["detect"]["kept"] > 0


def test_the_release_states_the_same_counts(built: Built, flow: Flow) -> None:
    """Its report is the run's report, and its manifest has a row for each crop."""
    said = reports(built.data, flow)
    stated = json.loads((built.release / "report.json").read_text())["stages"]

    assert stated == [{name: said[stage][name] for name in ("stage", "seen", "kept", "dropped")} for stage in STAGES]
    assert len(manifest(built.release)) == said["export"]["kept"]


def test_a_second_build_does_only_what_is_new(data: Path, flow: Flow) -> None:
    """Nothing is: no file is fetched, no face looked for, no release made."""
    answer = flow(*SANDBOX, "--data", data)

    said = reports(data, flow)
    assert (answer.code, [said[one]["judged"] for one in ("scrape", "detect", "crop", "export")]) == (0, [0, 0, 0, 0])
    assert "release unchanged" in answer.out
    assert [one.name for one in (data / "releases" / "sandbox").iterdir()] == ["001"]


def test_one_field_is_changed_on_the_command_line(data: Path, flow: Flow) -> None:
    """A later start drops more, stands in the release's recipe, and looks for faces only in copies of the dropped."""
    before = reports(data, flow)

    answer = flow(*SANDBOX, "--data", data, "-p", "filter.since=2015-01-01")

    said = reports(data, flow)
    assert answer.code == 0, answer.err
    assert said["select"]["dropped"]["too_old"] > before["select"]["dropped"]["too_old"]
    assert said["scrape"]["judged"] == 0
    assert said["detect"]["judged"] <= before["dedup-images"]["dropped"]["duplicate"]
    recipe = tomllib.loads((data / "releases" / "sandbox" / "002" / "recipe.toml").read_text())
    assert str(recipe["filter"]["since"]) == "2015-01-01"


def test_a_limit_takes_the_newest_of_each_source(data: Path, flow: Flow) -> None:
    """For a first look."""
    flow(*SANDBOX, "--data", data, "--limit", "5")

    newest = {f"sandbox:{post.number}" for post in Sandbox.load(next((data / "sandbox").iterdir())).posts[-5:]}
    assert reports(data, flow)["list"]["seen"] == 5
    assert {row["post_id"] for row in manifest(data / "releases" / "sandbox" / "002")} <= newest


def test_without_the_cascade_it_says_so_loudly(data: Path, flow: Flow) -> None:
    """The run goes on with our own cascade, and the recipe of its release says that too."""
    nothing = {"KAOSET_CASCADES": str(flow.home), "XDG_CACHE_HOME": str(flow.home)}
    both = [word.replace("sandbox", "sandbox-both") if word == "sandbox" else word for word in SANDBOX]

    answer = flow(*both, "--data", data, "--limit", "4", **nothing)

    assert (answer.code, "WARNING: drawn_faces+animeface find the faces" in answer.err) == (0, True)
    recipe = tomllib.loads((data / "releases" / "sandbox-both" / "001" / "recipe.toml").read_text())
    assert recipe["detect"]["detectors"] == ["drawn_faces", "animeface"]


def test_a_build_remembers_in_postgresql(postgres_database: str, data: Path, flow: Flow) -> None:
    """The catalog is where the URL says; the data folder holds none."""
    (data / "catalog.sqlite").unlink()
    where = ("--data", data, "--catalog", postgres_database)

    first = flow(*SANDBOX, *where, "--limit", "4")
    second = flow("status", "--json", *where)

    assert first.code == 0, first.err
    assert json.loads(second.out)["counts"]["posts"] == 4
    assert not (data / "catalog.sqlite").exists()


# --- a folder of pictures ---------------------------------------------------------------------------------------------


def test_a_folder_of_pictures_needs_no_recipe(flow: Flow, drawn: Path) -> None:
    """Two words on the command line; what is no picture is dropped with its reason, and said so."""
    board = Sandbox.load(next(drawn.iterdir()))
    pictures = flow.home / "pictures"
    pictures.mkdir()
    for post in board.kinds[Kind.PORTRAIT][:3]:
        shutil.copy(board.folder / "files" / post.file, pictures)
    (pictures / "empty.png").touch()
    (pictures / "letter.jpg").write_text("this is no picture")
    (pictures / "notes.txt").write_text("and this is not meant to be one")
    options = ("-p", "sources.0.kind=folder", "-p", "sources.0.path=pictures", "-p", "crop.size=64")

    answer = flow("run", "build-dataset", "--no-prefect", "--no-train", *options, "-p", "review.accept_alone=0")

    said = reports(flow.home / "data", flow)
    assert answer.code == 0, answer.err
    assert (said["list"]["seen"], said["scrape"]["dropped"]) == (5, {"empty": 1, "not_an_image": 1})
    release = flow.home / "data" / "releases" / "faces" / "001"
    assert {row["post_id"].partition(":")[0] for row in manifest(release)} == {"folder"}
    assert flow("verify", "faces/001").out == "data/releases/faces/001: sound\n"


# --- what failed ------------------------------------------------------------------------------------------------------

LIST = """name = "web"
[[sources]]
kind = "urls"
path = "list.txt"
rating = "g"
min_gap_s = 0
private_hosts = true
[crop]
size = 64
[review]
accept_alone = 0.1
"""
WEB = ("run", "build-dataset", "my.toml", "--no-prefect", "--no-train", "--workers", "1")


@pytest.fixture
def web(flow: Flow, drawn: Path) -> Iterator[tuple[faulty.Server, list[bytes]]]:
    """A host of four pictures, of which two do not come, in a recipe of its own, and the pictures themselves."""
    board = Sandbox.load(next(drawn.iterdir()))
    pictures = [(board.folder / "files" / post.file).read_bytes() for post in board.kinds[Kind.PORTRAIT][:4]]
    with faulty.serve() as server:
        answers = [
            faulty.reply(200, pictures[0]),
            faulty.reply(404),
            faulty.reply(200, "<html>"),
            faulty.reply(200, ""),
        ]
        urls = [server.on(f"/{number}.jpg", answer) for number, answer in enumerate(answers)]
        (flow.home / "list.txt").write_text("\n".join(urls))
        (flow.home / "my.toml").write_text(LIST)
        yield server, pictures


def test_what_failed_is_fetched_again_when_asked(web: tuple[faulty.Server, list[bytes]], flow: Flow) -> None:
    """That and nothing else, not even the list is read; the rest of the flow goes on with what came."""
    server, pictures = web
    flow(*WEB)
    before = reports(flow.home / "data", flow)["scrape"]
    for number in (0, 1, 2):
        server.on(f"/{number}.jpg", faulty.reply(200, pictures[number]))
    server.requests.clear()
    (flow.home / "list.txt").write_text(server.on("/new.jpg", faulty.reply(200, pictures[3])))

    answer = flow(*WEB, "--retry-failed")

    asked = sorted(one.path for one in server.requests if one.path != "/robots.txt")
    said = reports(flow.home / "data", flow)
    assert answer.code == 0, answer.err
    assert (before["seen"], before["kept"], before["dropped"]) == (4, 1, {"gone": 1, "empty": 1, "not_an_image": 1})
    assert asked == ["/1.jpg", "/2.jpg", "/3.jpg"]
    assert (said["list"]["judged"], said["scrape"]["judged"]) == (0, 3)
    assert (said["scrape"]["seen"], said["scrape"]["kept"], said["scrape"]["dropped"]) == (4, 3, {"empty": 1})
    assert said["export"]["kept"] == said["review"]["kept"] > 0


def test_retrying_when_nothing_failed_says_so(data: Path, flow: Flow) -> None:
    """Among the posts that are wanted; the sandbox has hostile ones that never decode."""
    answer = flow(*SANDBOX, "--data", data, "--retry-failed", "-p", 'filter.with_tags=["no_such_tag"]')

    assert (answer.code, "no file failed before, so none is fetched" in answer.err) == (0, True)


def test_retrying_nothing_at_all_is_wrong_use(flow: Flow) -> None:
    """Where nothing was ever built, nothing can have failed."""
    answer = flow(*SANDBOX, "--retry-failed")

    assert (answer.code, "no dataset there yet" in answer.complaint) == (2, True)


def test_status_tells_of_failures_and_how_to_try_them(web: tuple[faulty.Server, list[bytes]], flow: Flow) -> None:
    """With their reasons, and when they come up again."""
    flow(*WEB)

    said, told = flow.json("status"), flow("status").out

    assert [(one["reason"], one["items"]) for one in said["failures"]] == [
        ("gone", 1),
        ("empty", 1),
        ("not_an_image", 1),
    ]
    assert "failed: 3 (gone 1, empty 1, not_an_image 1); not tried again unasked" in told
    assert "with --retry-failed" in told


def test_status_tells_of_unread_ground(data: Path, flow: Flow) -> None:
    """A listing that was left in the middle."""
    known = Catalog(data / "catalog.sqlite")
    known.add_page("half", [], {"unread": [[20, 11]], "newest": 30, "recent": [30]})
    known.close()

    assert "not read to its end: half, up to 10 ids; the next run goes on" in flow("status", "--data", data).out
    assert flow.json("status", "--data", data)["unread"] == {"half": 10}


def test_status_tells_of_hosts(built: Built, flow: Flow) -> None:
    """As the run left them: every file was asked of one, and none waits."""
    told, said = flow("status", "--data", built.data).out, flow.json("status", "--data", built.data)

    (host,) = said["hosts"]
    (row,) = [line for line in told.splitlines() if host["host"] in line]
    assert [cell.strip() for cell in row.split("│")[1:4]] == [host["host"], str(host["done"]), str(host["failed"])]
    assert (host["done"] + host["failed"], host["waiting"]) == (reports(built.data, flow)["scrape"]["seen"], 0)


# --- asking -----------------------------------------------------------------------------------------------------------


def test_status_for_programs(built: Built, flow: Flow) -> None:
    """The run, the queue, the releases."""
    said = flow.json("status", "--data", built.data)

    assert (said["last_run"]["state"], said["last_run"]["recipe"]) == ("completed", "sandbox")
    assert said["counts"]["posts"] == POSTS
    review = next(one for one in said["last_run"]["reports"] if one["stage"] == "review")
    assert said["waiting"] == review["dropped"].get("waiting", 0)
    assert said["releases"] == [str(built.release)]


def test_status_for_people(built: Built, flow: Flow) -> None:
    """The same in words."""
    answer = flow("status", "--data", built.data)

    assert (answer.code, answer.err) == (0, "")
    assert all(stage in answer.out for stage in STAGES)
    assert f"release: {built.release}" in answer.out


TOLD = ("select", "scrape", "dedup-images", "detect", "crop", "dedup", "filter", "review")


@pytest.mark.parametrize("way", ["post", "image", "crop", "file"])
def test_explain_tells_the_whole_way(way: str, built: Built, flow: Flow) -> None:
    """By a post's id, the beginning of a hash, or a file of the release: every stage has said kept."""
    row = manifest(built.release)[0]
    name = {
        "post": row["post_id"],
        "image": row["image_sha256"][:10],
        "crop": row["crop_sha256"],
        "file": str(built.release / row["file"]),
    }[way]

    answer = flow("explain", name, "--data", built.data)

    assert answer.code == 0, answer.err
    assert [stage for stage in TOLD if f" {stage} [" not in answer.out] == []
    assert all(row[column] in answer.out for column in ("post_id", "page_url", "image_sha256", "crop_sha256"))


def test_explain_tells_why_something_is_not_there(built: Built, flow: Flow) -> None:
    """The last word is the reason."""
    board = Sandbox.load(next((built.data / "sandbox").iterdir()))
    old = board.kinds[Kind.OLD][0]

    answer = flow("explain", f"sandbox:{old.number}", "--data", built.data)

    assert "dropped: too_old" in answer.out.splitlines()[-1]


# --- deciding ---------------------------------------------------------------------------------------------------------


def test_a_doubtful_crop_needs_a_persons_keep(data: Path, flow: Flow) -> None:
    """Without one nothing is published; with one it is in the next release, and says who let it in."""
    nothing = flow(*PUBLISH, "--data", data, *DOUBTFUL)
    queue = flow.json("review", "list", "--data", data, "--limit", "1000")
    one, other, third = (waiting["crop_sha256"] for waiting in queue[:3])
    where = ("--data", data, "--reviewer", "Mai")
    codes = [
        flow("review", "keep", one[:8], "--label", "Rin", *where).code,
        flow("review", "reject", other, *where).code,
        flow("review", "unsure", third[:12], *where).code,
    ]

    published = flow(*PUBLISH, "--data", data, *DOUBTFUL)

    assert (nothing.code, "no crop is accepted yet" in nothing.err, codes) == (0, True, [0, 0, 0])
    assert published.code == 0, published.err
    rows = manifest(data / "releases" / "sandbox" / "002")
    assert [(row["crop_sha256"], row["decision"], row["reviewer"], row["label"]) for row in rows] == [
        (one, "keep", "Mai", "Rin")
    ]
    assert reports(data, flow)["review"]["dropped"] == {"waiting": len(queue) - 3, "rejected": 1, "unsure": 1}
    assert len(flow.json("review", "list", "--data", data, "--limit", "1000")) == len(queue) - 3


def test_undo_lets_the_earlier_decision_stand_again(data: Path, flow: Flow) -> None:
    """One step back at a time, by name or without; where nothing stands there is nothing to take back."""
    crop = crops(data)[0].sha256
    flow("review", "keep", crop, "--data", data)
    flow("review", "reject", crop, "--data", data)
    flow(*PUBLISH, "--data", data)
    rejected = flow("explain", crop, "--data", data).out

    undone = [flow("review", "undo", "--data", data), flow("review", "undo", crop, "--data", data)]
    third = flow("review", "undo", "--data", data)
    flow(*PUBLISH, "--data", data)

    assert "decision: reject" in rejected
    assert [one.out for one in undone] == [f"taken back: {crop[:12]}\n"] * 2
    assert (third.code, third.complaint) == (2, "undo: there is no decision to take back")
    assert crop in {row["crop_sha256"] for row in manifest(data / "releases" / "sandbox" / "003")}


def test_the_queue_can_be_read_by_people(data: Path, flow: Flow) -> None:
    """The least sure first, each with its file."""
    flow(*PUBLISH, "--data", data, *DOUBTFUL)

    answer = flow("review", "list", "--data", data, "--limit", "4")

    *lines, total = answer.out.splitlines()
    scores = [float(line.split()[1]) for line in lines]
    assert (len(lines), scores) == (4, sorted(scores))
    assert all(Path(line.split()[-1]).is_file() for line in lines)
    assert "crops wait; flow review keep|reject|unsure" in total


def test_what_lets_nothing_through_is_named(flow: Flow) -> None:
    """With its reasons; a rating that is declared in the recipe afterwards helps."""
    (flow.home / "list.csv").write_text("url\nhttps://nohost.invalid/a.png\nno address\n")
    urls = ("run", "build-dataset", "--no-prefect", "-p", "sources.0.kind=urls", "-p", "sources.0.path=list.csv")

    answers = [flow(*urls), flow(*urls, "-p", "sources.0.rating=g")]

    assert [answer.err.splitlines()[-1] for answer in answers] == [
        "select kept none of 2 (no_file 1, rating 1), so nothing is published",
        "scrape kept none of 1 (unreachable 1), so nothing is published",
    ]


def test_a_run_that_ended_before_its_first_stage_draws_no_table(flow: Flow) -> None:
    """There is nothing to be seen in one without a row."""
    failed = flow(*SANDBOX, "-p", "sources.0.board=http://127.0.0.1:9", "-p", "sources.0.private_hosts=true")

    answer = flow("status")

    assert failed.code == 1
    assert re.fullmatch(
        r"last run: sandbox, failed, began .* UTC\n127.0.0.1:9: .*\nwaiting for a person: 0\n", answer.out
    )


def test_a_queue_that_was_cut_says_so(data: Path, flow: Flow) -> None:
    """On the error stream, so that programs still read what they get."""
    flow(*PUBLISH, "--data", data, *DOUBTFUL)
    whole = flow.json("review", "list", "--data", data, "--limit", "1000")

    answer = flow("review", "list", "--data", data, "--limit", "4", "--json")

    assert len(json.loads(answer.out)) == 4
    assert answer.err == f"{len(whole) - 4} more wait; --limit {len(whole)} lists all\n"


# --- checking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [(), ("sandbox",), ("sandbox/001",)], ids=["last", "recipe", "number"])
def test_a_sound_release(name: tuple[str, ...], built: Built, flow: Flow) -> None:
    """However it is named."""
    answer = flow("verify", *name, "--data", built.data)

    assert (answer.code, answer.out, answer.err) == (0, f"{built.release}: sound\n", "")


def test_a_damaged_release(data: Path, flow: Flow) -> None:
    """Every fault has a line; the code says that it failed."""
    release = data / "releases" / "sandbox" / "001"
    first, second = sorted((release / "images").iterdir())[:2]
    first.write_bytes(first.read_bytes()[:-20])
    second.unlink()
    (release / "stranger").touch()

    answer = flow("verify", release)

    assert (answer.code, "makes a new release and leaves this one as it is" in answer.complaint) == (1, True)
    for name, fault in [
        (f"images/{first.name}", "changed since it was published"),
        (f"images/{second.name}", "missing"),
        ("stranger", "does not belong to the release"),
    ]:
        assert f"{name}: {fault}" in answer.out


def test_a_damaged_release_is_not_trained_on(data: Path, flow: Flow) -> None:
    """Rather no network than one that learned from who knows what."""
    (data / "releases" / "sandbox" / "001" / "faces.npy").write_bytes(b"")

    answer = flow("run", "train-gan", "--no-prefect", "--data", data)

    assert (answer.code, "not sound" in answer.complaint) == (1, True)


# --- wrong words ------------------------------------------------------------------------------------------------------

BUILD = ("run", "build-dataset", "--no-prefect", "--no-train")
WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "command": (("biuld",), "No such command 'biuld'"),
    "option": ((*BUILD, "--dta", "x"), "No such option: --dta"),
    "number": ((*BUILD, "--limit", "0"), "--limit"),
    "too many words": ((*BUILD, "sandbox", "again"), "unexpected extra argument"),
    "recipe": ((*BUILD, "sandbx"), "did you mean sandbox?"),
    "key": ((*BUILD, "-p", "filter.sinc=2005-01-01"), "did you mean since?"),
    "no value": ((*BUILD, "-p", "filter.since"), "write -p key=value"),
    "value": ((*BUILD, "-p", "filter.since=soon"), "filter.since: "),
    "place": ((*BUILD, "-p", "sources.9.kind=folder"), "9 is no number from 0 to"),
    "board": ((*BUILD, "sandbox", "-p", "sources.0.board=nix"), "nix: no such board"),
    "folder": (
        (*BUILD, "sandbox", "-p", "sources.0.kind=folder", "-p", "sources.0.path=nowhere"),
        "nowhere: is no folder",
    ),
    "folder, with Prefect": (
        ("run", "build-dataset", "-p", "sources.0.kind=urls", "-p", "sources.0.path=nosuch.csv"),
        "nosuch.csv: is not there; give the path of source 'urls' again",
    ),
    "list": ((*BUILD, "-p", "release.formats=zip"), 'release.formats: a list expected, such as ["zip"]'),
    "table": ((*BUILD, "-p", "balance.weights={red=2}"), 'balance.weights: a table expected, such as {"red": 2}'),
    "recipe for manifest": (("rebuild", "recipe.toml"), "recipe.toml: is a recipe, no manifest"),
    "no manifest": (("rebuild", "nothere.csv"), "nothere.csv: no such file; give the data_manifest.csv of a release"),
    "neither": (("duplicates", "nosuch"), "nosuch: neither a folder of pictures nor a recipe"),
    "data": (("status", "--data", "nowhere"), "no dataset there yet"),
    "nothing to publish": (("run", "publish-dataset", "--data", "nowhere"), "no dataset there yet"),
    "release": (("verify", "nix/001"), "nix/001: no such release"),
    "training": (("run", "train-gan", "nix", "--no-prefect"), "nix: no such release"),
    "cascades": (("cascades", "fetsch"), "fetsch: unknown"),
}


@pytest.mark.parametrize(("words", "hint"), WRONG.values(), ids=WRONG)
def test_wrong_use_is_one_line_and_code_2(words: tuple[str, ...], hint: str, flow: Flow) -> None:
    """What was typed, what is wrong with it, and what is right."""
    answer = flow(*words)

    assert (answer.code, answer.out) == (2, "")
    assert hint in answer.complaint


def test_a_wrong_setting_is_named(data: Path, flow: Flow) -> None:
    """It is not on the command line, so the line says where it is."""
    answer = flow(*PUBLISH, "--data", data, KAOSET_SANDBOX_POSTS="many")

    assert (answer.code, answer.complaint) == (
        2,
        "KAOSET_SANDBOX_POSTS=many: no number; set it to one, or unset it",
    )


def test_wrong_use_leaves_nothing_behind(flow: Flow) -> None:
    """A mistyped recipe makes no data folder."""
    flow(*BUILD, "sandbx")

    assert list(flow.home.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("explain", "nobody"), "nobody: no such post"),
        (("explain", "0123456789"), "unknown to this catalog"),
        (("review", "keep", "ffffffff"), "no crops begin so"),
        (("review", "keep", "zzz"), "no SHA-256 of a crop"),
        (("review", "undo"), "there is no decision"),
    ],
    ids=["post", "hash", "crop", "no hash", "decision"],
)
def test_what_is_unknown_is_one_line_and_code_2(words: tuple[str, ...], hint: str, built: Built, flow: Flow) -> None:
    """The line says where to look instead."""
    answer = flow(*words, "--data", built.data)

    assert answer.code == 2
    assert hint in answer.complaint


def test_no_words_at_all_are_answered_with_the_help(flow: Flow) -> None:
    """It is wrong use all the same."""
    answer = flow()

    assert (answer.code, "Commands:" in answer.err) == (2, True)


# --- a world that does not play along ---------------------------------------------------------------------------------


def test_two_runs_on_one_folder(data: Path, flow: Flow) -> None:
    """The second is told who is there."""
    with DataFolder(data).lock("sandbox"):
        answer = flow(*SANDBOX, "--data", data)

    assert (answer.code, "another run of sandbox works on it (process " in answer.complaint) == (1, True)


@pytest.mark.parametrize("there", ["data", "data/store", "data/parts", "data/sandbox", "data/catalog.sqlite/x"])
def test_a_folder_that_cannot_be_written(there: str, flow: Flow, drawn: Path) -> None:
    """A file in its place, which binds even those whom permissions do not; the one line names it."""
    if there != "data" and "sandbox" not in there:
        use(flow.home / "data", drawn)
    in_the_way = flow.home / there
    in_the_way.parent.mkdir(parents=True, exist_ok=True)
    in_the_way.write_text("in the way")

    answer = flow(*SANDBOX, "--data", "data", "--limit", "3")

    assert answer.code == 1
    assert there.removesuffix("/x") in answer.complaint


def test_a_catalog_that_is_none(flow: Flow) -> None:
    """Whatever lies there is left alone."""
    (flow.home / "data").mkdir()
    (flow.home / "data" / "catalog.sqlite").write_text("dear diary")

    answer = flow(*SANDBOX)

    assert (answer.code, "file is not a database" in answer.complaint) == (1, True)
    assert (flow.home / "data" / "catalog.sqlite").read_text() == "dear diary"


def test_a_wrong_password(postgres: str, flow: Flow) -> None:
    """It is not shown again."""
    answer = flow(*SANDBOX, "--catalog", f"{postgres.replace('right', 'wrongword')}/postgres")

    assert (answer.code, "password" in answer.complaint, "wrongword" in answer.err) == (1, True, False)


@pytest.mark.parametrize("host", ["127.0.0.1:9", "nohost.invalid"])
def test_no_catalog_server(host: str, flow: Flow) -> None:
    """Nobody listens, or there is no such machine."""
    answer = flow(*SANDBOX, "--catalog", f"postgresql://kaoset:secret@{host}/kaoset")

    assert (answer.code, "check the address" in answer.complaint, "secret" in answer.err) == (1, True, False)


@pytest.mark.parametrize(
    ("board", "hint"),
    [("http://nohost.invalid", "nohost.invalid: no such host"), ("http://127.0.0.1:9", "takes no connection")],
)
def test_no_such_board(board: str, hint: str, flow: Flow) -> None:
    """A typing mistake costs seconds."""
    answer = flow(*SANDBOX, "-p", f"sources.0.board={board}", "-p", "sources.0.private_hosts=true")

    assert (answer.code, hint in answer.complaint) == (1, True)
    assert answer.seconds < 15


def test_a_port_in_use(flow: Flow) -> None:
    """It is told before anything is drawn."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = flow("sandbox", "--port", str(port))

    assert (answer.code, f"port {port}: is in use" in answer.complaint) == (1, True)
    assert not (flow.home / "data").exists()


def test_the_sandbox_serves_until_ctrl_c(data: Path, flow: Flow) -> None:
    """Its address is its only word."""
    with flow.start("sandbox", "--posts", str(POSTS), "--data", data) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        answer = flow(*SANDBOX, "--data", data, KAOSET_SANDBOX_URL=url)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)

    assert url.startswith("http://127.0.0.1:")
    assert answer.code == 0, answer.err
    assert (process.returncode, out, "Traceback" in err) == (0, "", False)


def test_a_catalog_of_no_known_kind(flow: Flow) -> None:
    """Its address is not shown again, for it may hold a password."""
    answer = flow(*SANDBOX, "--catalog", "nonsense://kaoset:secret@127.0.0.1/kaoset")

    assert (answer.code, "cannot be read" in answer.complaint, "secret" in answer.err) == (1, True, False)


# What mounts a small disk where the data folder is, as nobody else sees it, and leaves little of it free.
SMALL_DISK = """mount -t tmpfs -o size=40m small data && cp -a before/. data/ && rm -r data/releases || exit 99
dd if=/dev/zero of=data/fill bs=1k 2>/dev/null
truncate -s -{kib}K data/fill
exec "$@"
"""


@pytest.mark.parametrize("kib", [1200, 1900])
def test_a_full_disk(kib: int, data: Path, flow: Flow) -> None:
    """One line, wherever in a release it comes; the faces' array is by far the largest file, so it is often the one."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:  # noqa: S607
        pytest.skip("may not mount a small disk here")
    (data / "sandbox").unlink()
    data.rename(flow.home / "before")
    data.mkdir()
    command = [Path(sys.executable).with_name("flow"), *PUBLISH, "--data", "data", "-p", "train.size=128"]

    answer = subprocess.run(
        ["unshare", "-rm", "bash", "-c", SMALL_DISK.format(kib=kib), "bash", *command],  # noqa: S607
        cwd=flow.home,
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 1, answer.stderr
    assert answer.stderr.startswith("flow: ")
    assert answer.stderr.endswith("free some space\n")
    assert answer.stderr.count("\n") == 1


# --- Ctrl-C -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stage", "stop"), [("list", signal.SIGTERM), ("detect", signal.SIGINT)])
def test_a_stopped_build_goes_on(
    stage: str, stop: signal.Signals, flow: Flow, drawn: Path, built: Built, wait_for: Callable[..., Any]
) -> None:
    """It ends within seconds, says how to go on, leaves no process, and the same command finishes the work."""
    data = use(flow.home / "data", drawn)
    few = (*SANDBOX, "--data", data, "--limit", "8")
    with flow.start(*few) as process:
        if stage == "list":
            wait_for(lambda: len(flow.alive()) > 1, process)
        else:
            wait_for(lambda: rows(data, where="stage = 'scrape'"), process)
            wait_for(lambda: len(flow.alive()) > 2, process)
        process.send_signal(stop)
        began = time.monotonic()
        _, err = process.communicate(timeout=30)
    took_s, left = time.monotonic() - began, flow.wait_until_alone(2)

    again = flow(*few)

    assert (process.returncode, left, took_s < 5) == (130, [], True)
    assert err == "flow: stopped; nothing is lost, the same command goes on from here\n"
    assert (again.code, flow("verify", "--data", data).code) == (0, 0)
    cut, all_cut = (
        {(crop.detection.image_sha256, crop.sha256) for crop in crops(one, "crop")} for one in (data, built.data)
    )
    both = {image for image, _ in cut} & {image for image, _ in all_cut}  # of few images another copy may be the best
    assert both
    assert {one for one in cut if one[0] in both} == {one for one in all_cut if one[0] in both}


def test_a_stopped_run_is_remembered_as_stopped(flow: Flow, drawn: Path, wait_for: Callable[..., Any]) -> None:
    """`flow status` does not take it for a finished one, nor for a failed one."""
    data = use(flow.home / "data", drawn)
    with flow.start(*SANDBOX, "--data", data) as process:
        wait_for(lambda: rows(data, where="stage = 'select'"), process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)

    assert flow.json("status", "--data", data)["last_run"]["state"] == "stopped"


def test_what_a_killed_process_was_writing_is_removed(data: Path, flow: Flow) -> None:
    """A run that did not come to its end may leave a file under a temporary name; the next one clears it away."""
    flow(*SANDBOX, "--data", data, "-p", "sources.0.board=http://127.0.0.1:9")
    left = next((data / "store").glob("??/??")) / ".new-half"
    left.touch()

    flow(*PUBLISH, "--data", data)

    assert not left.exists()
