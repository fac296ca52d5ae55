from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import pytest

from pipeline.errors import RecipeError, UsageError
from pipeline.recipe import DetectSection, built_in, documented, load, parse, preface, source_name


@pytest.mark.parametrize("name", built_in())
def test_every_built_in_recipe_is_sound(name: str) -> None:
    """It loads, and what it prints with comments loads to the same recipe."""
    recipe = load(name)

    assert parse(tomllib.loads(documented(recipe)), name) == recipe


@pytest.mark.parametrize("name", built_in())
def test_a_recipe_written_in_full_is_the_same_recipe(name: str) -> None:
    """What a release holds makes the dataset again."""
    recipe = load(name)

    assert parse(tomllib.loads(recipe.to_toml()), name) == recipe


def test_the_safest_rating_is_the_default() -> None:
    """Anything but general is an explicit choice."""
    assert load("default").filter.ratings == ("g",)


def test_an_override_is_typed() -> None:
    """A date is a date, a list is a list."""
    recipe = load("sandbox", ["filter.since=2011-02-03", 'filter.ratings=["g", "s"]', "crop.size=64"])

    assert (recipe.filter.since, recipe.filter.ratings, recipe.crop.size) == (date(2011, 2, 3), ("g", "s"), 64)


def test_another_kind_of_source_forgets_the_old_one() -> None:
    """A board's fields do not haunt a folder."""
    recipe = load("sandbox", ["sources.0.kind=folder", "sources.0.path=pictures"])

    assert source_name(recipe.sources[0]) == "folder"


def test_sources_of_ones_own_start_from_the_default() -> None:
    """Without a recipe's name, overriding the sources does not mean the sandbox's settings."""
    recipe = load(None, ["sources.0.kind=folder", "sources.0.path=pictures"])

    assert (recipe.name, recipe.detect.detectors) == ("faces", DetectSection().detectors)
    assert load(None).name == "sandbox"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("filter.sinse=2011-01-01", "filter.sinse: unknown; did you mean since?"),
        ("sources.0.qeury=x", "sources.0.qeury: unknown; did you mean query?"),
        ("fliter.since=2011-01-01", "fliter: unknown; did you mean filter?"),
        ("crop.size=big", "crop.size: Input should be a valid integer"),
        ("crop.zoom=9", "crop.zoom: Input should be less than or equal to 4"),
        ("split.train=0.5", "the shares add up to 0.6, not to 1"),
        ("crop.size=100", "the stylegan format needs a power of two"),
        ('release.formats=["lmdb"]', "Input should be 'stylegan', 'imagefolder'"),
        ("sources.1.kind=folder", "sources.1.path: missing (Where the"),
        ("sources.1.kind=video", "sources.1.path: missing (Where the"),
        ("sources.1.kind=urls", "sources.1.path: missing (Where the"),
        ("sources.0.kind=danboru", "sources.0.kind: 'danboru' is unknown; did you mean danbooru?"),
        ("sources.1.path=x", "sources.1.kind: missing; known are danbooru, gelbooru, moebooru, szurubooru, getchu, "),
        ("sources.7.kind=folder", "7 is no number from 0 to 1"),
        ('filter.ratings=["x"]', "Input should be 'g', 's', 'q' or 'e'"),
        ("sources.²=5", "is no number from 0 to 1"),
        ("sources.1=5", "sources.1"),
        ("detect.timeout_s=Infinity", "detect.timeout_s: Input should be a finite number"),
        ("filter.until=2004-01-01", "since 2005-01-01 is not before until 2004-01-01"),
        ("sources.0.name=a:b", "sources.0.name: String should match pattern"),
        ("name=../../etc", "name: String should match pattern"),
    ],
)
def test_a_wrong_field_is_one_clear_line(override: str, message: str) -> None:
    """The line names the field, what is wrong, and the nearest right name."""
    with pytest.raises(RecipeError) as caught:
        load("sandbox", [override])

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_hold_classes_alone() -> None:
    """34 attributes are no class."""
    with pytest.raises(RecipeError, match="but a folder is one class"):
        load("sandbox", ['release.formats=["imagefolder"]', "release.labels=attributes"])


def test_an_override_without_a_value_says_how(tmp_path: Path) -> None:
    """The message shows an example."""
    with pytest.raises(UsageError, match="write -p key=value"):
        load("sandbox", ["filter.since"])


def test_an_unknown_recipe_names_the_nearest() -> None:
    """And lists what is built in."""
    with pytest.raises(RecipeError, match="did you mean sandbox"):
        load("sandbax")


def test_a_file_that_is_no_toml_is_one_clear_line(tmp_path: Path) -> None:
    """Its place in the file is named."""
    path = tmp_path / "r.toml"
    path.write_text("name = [")

    with pytest.raises(RecipeError, match="not readable as TOML"):
        load(str(path))


def test_two_sources_need_two_names(tmp_path: Path) -> None:
    """Their posts' ids would clash."""
    with pytest.raises(RecipeError, match="two sources are named sandbox"):
        load("sandbox", ["sources.1.kind=danbooru", "sources.1.board=sandbox"])


def test_fields_of_another_kind_may_come_before_it() -> None:
    """The order in which overrides are typed changes nothing."""
    fields = ["sources.0.min_gap_s=3", "sources.0.kind=moebooru", "sources.0.query=solo"]

    assert load("sandbox", fields) == load("sandbox", [*fields[1:], fields[0]])
    assert load("sandbox", fields).sources[0].min_gap_s == 3.0  # type: ignore[union-attr]


def test_a_login_in_an_address_is_told_to_nobody() -> None:
    """It is refused later on, in a line that names the source."""
    board = load("sandbox", ["sources.0.board=https://me:secret@board.example"]).sources[0]

    assert source_name(board) == "board.example"


def test_two_boards_of_one_host_are_two() -> None:
    """One post's id never leads to another board's post."""
    hosts = ["http://127.0.0.1:80/", "http://127.0.0.1:81", "http://127.0.0.1:81/b", "http://[::1]:81", "yande.re"]
    boards = [load("sandbox", ["sources.0.kind=moebooru", f"sources.0.board={host}"]).sources[0] for host in hosts]

    assert [source_name(board) for board in boards] == [
        "127.0.0.1-80",
        "127.0.0.1-81",
        "127.0.0.1-81-b",
        "1-81",
        "yande.re",
    ]


@pytest.mark.parametrize("name", built_in())
def test_a_recipe_says_what_it_is_for(name: str) -> None:
    """Its first line is short enough for a list."""
    assert 20 < len(preface(name)[0]) < 62


@pytest.mark.parametrize(
    ("kind", "wrong", "right"), [("video", "evry_s", "every_s"), ("urls", "obey_noia", "obey_noai")]
)
def test_films_and_lists_have_fields_of_their_own(kind: str, wrong: str, right: str) -> None:
    """They load with a path alone, print what loads again, and a typing mistake names the nearest of their fields."""
    recipe = load(None, [f"sources.0.kind={kind}", "sources.0.path=here"])

    assert source_name(recipe.sources[0]) == kind
    assert parse(tomllib.loads(documented(recipe)), "it") == recipe == parse(tomllib.loads(recipe.to_toml()), "it")
    with pytest.raises(RecipeError, match=f"sources.0.{wrong}: unknown; did you mean {right}"):
        load(None, [f"sources.0.kind={kind}", "sources.0.path=here", f"sources.0.{wrong}=1"])


def test_addresses_are_not_declared_general_by_default() -> None:
    """Nobody has looked at them; one's own films and pictures are one's own."""
    lists, films = (load(None, [f"sources.0.kind={kind}", "sources.0.path=here"]) for kind in ("urls", "video"))

    assert (lists.sources[0].rating, films.sources[0].rating) == (None, "g")  # type: ignore[union-attr]


def test_products_are_named_by_one_alone() -> None:
    """Numbers and a feed contradict each other."""
    fields = ["sources.0.kind=getchu", "sources.0.ids=[5]"]
    assert load(None, fields).sources[0].name == "getchu"

    with pytest.raises(RecipeError, match="ids and feed = 'erogamescape' both name the products; leave one out"):
        load(None, [*fields, "sources.0.feed=erogamescape"])


def test_what_is_balanced_is_of_a_kind() -> None:
    """A cap of nothing, and a kind that changes nothing, are one clear line."""
    with pytest.raises(RecipeError, match="say what a kind is"):
        load("sandbox", ["balance.cap=5"])
    with pytest.raises(RecipeError, match="give a cap or weights"):
        load("sandbox", ["balance.by=hair"])
    with pytest.raises(RecipeError, match=r"balance\.weights\.blue"):
        load("sandbox", ["balance.by=hair", 'balance.weights={"blue": -1}'])


def test_weights_are_written_as_they_were_read() -> None:
    """Whatever the name of a kind is, and what stands behind them still belongs to the same table."""
    recipe = load("sandbox", ["balance.by=character", 'balance.weights={"a \\"b\\" # = ü": 2.0, "c": 0}'])

    assert recipe.balance.weights == {'a "b" # = ü': 2.0, "c": 0.0}
    assert parse(tomllib.loads(documented(recipe)), "it") == recipe == parse(tomllib.loads(recipe.to_toml()), "it")
