"""pipeline.sources.urls: a list of addresses behind the face of a board."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import faulty
import make
import pytest
from faulty import cut, ranged, reply
from urllib3 import HTTPHeaderDict

from pipeline.catalog import Catalog
from pipeline.errors import UsageError
from pipeline.http import Client
from pipeline.judge import run_stage
from pipeline.pixels import encode_png
from pipeline.records import Post, Reason
from pipeline.select import SelectPosts
from pipeline.sources import Fetched, Page, Refused
from pipeline.sources.urls import UrlsSource, not_for_ai
from pipeline.store import Store


@pytest.fixture
def server() -> Iterator[faulty.Server]:
    with faulty.serve() as running:
        yield running


@pytest.fixture
def client() -> Iterator[Client]:
    one = Client(private=True, min_gap_s=0.0, backoff_s=0.01, tries=3, read_timeout_s=1.0)
    yield one
    one.close()


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:16]


def source(path: Path, **fields: Any) -> UrlsSource:
    return UrlsSource(**{"name": "web", "path": path, "client": Client(private=True, min_gap_s=0.0), **fields})


def posts(path: Path, **fields: Any) -> list[Post]:
    return [post for page in source(path, **fields).pages(None) for post in page.posts]


def listed(folder: Path, name: str, text: str, **fields: Any) -> list[Post]:
    (folder / name).write_text(text, "utf-8")
    return posts(folder / name, **fields)


def test_reads_a_row(tmp_path: Path) -> None:
    """All that img2dataset's lists hold and a post can say; names of columns in any case."""
    text = (
        "\ufeffURL,md5,tags,date,page_url,rating,other\n"
        f'https://a.example/x/1.JPG?s=2,{md5(b"x").upper()},"1girl, long hair",2020-01-02T03:04:05+09:00,'
        "https://a.example/1,safe,1\n"
    )

    assert listed(tmp_path, "a.csv", text) == [
        Post(
            id=f"web:{sha1('https://a.example/x/1.JPG?s=2')}",
            file_url="https://a.example/x/1.JPG?s=2",
            page_url="https://a.example/1",
            md5=md5(b"x"),
            ext="jpg",
            rating="g",
            tags=("1girl", "long_hair"),
            posted_at=datetime(2020, 1, 1, 18, 4, 5, tzinfo=UTC),
        )
    ]


URL = "https://a.example/1.png"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", f"md5,url\n,{URL}\n"),
        ("a.tsv", f"md5\turl\n\t{URL}\n"),
        ("a.txt", f"\n  {URL}  \n"),
        ("a.jsonl", json.dumps({"URL": URL, "tags": None, "width": 3}) + "\n\n"),
        ("a.ndjson", json.dumps({"url": URL, "md5": 7}) + "\n"),
    ],
)
def test_every_form_gives_the_same_post(tmp_path: Path, name: str, text: str) -> None:
    """What a row does not say is not known; its rating neither."""
    assert listed(tmp_path, name, text) == [Post(id=f"web:{sha1(URL)}", file_url=URL, page_url=URL, ext="png")]


def test_parquet_is_read_in_pieces(tmp_path: Path) -> None:
    """Times and lists as Parquet holds them."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    moment = datetime(2020, 1, 2, tzinfo=UTC)
    table = pyarrow.table(
        {"URL": [f"https://a.example/{n}" for n in range(5000)], "tags": [["a b", "c"]] * 5000, "date": [moment] * 5000}
    )
    parquet.write_table(table, tmp_path / "a.parquet")

    found = posts(tmp_path / "a.parquet")

    assert len(found) == 5000
    assert (found[0].tags, found[0].posted_at) == (("a_b", "c"), moment)
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match=r"b\.parquet: cannot be read as Parquet \(.*\); write it again$"):
        posts(tmp_path / "b.parquet")


def test_a_list_of_img2dataset_is_read_as_it_is(tmp_path: Path) -> None:
    """The columns of LAION's lists, in their case, and those that img2dataset itself writes, beside each other."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    day = date(2020, 1, 2)
    laion = {"SAMPLE_ID": [7], "URL": [URL], "TEXT": ["a girl"], "HEIGHT": [512], "similarity": [0.3], "hash": [-5]}
    parquet.write_table(pyarrow.table(laion), tmp_path / "a.parquet")
    own = {"key": ["0"], "status": ["success"], "url": [f"{URL}?2"], "md5": [md5(b"x")], "exif": ["{}"], "date": [day]}
    parquet.write_table(pyarrow.table(own), tmp_path / "b.parquet")

    one, other = posts(tmp_path)

    assert (one.file_url, one.md5, one.tags, one.posted_at) == (URL, None, (), None)
    assert (other.file_url, other.md5) == (f"{URL}?2", md5(b"x"))
    assert other.posted_at == datetime(2020, 1, 2, tzinfo=UTC)


def test_a_list_over_thousands_of_hosts_is_listed(tmp_path: Path) -> None:
    """Two thousand hosts, each with three files and a case of its own: nothing is asked, every host is there."""
    hosts = [f"h{n}.example" for n in range(2000)]
    lines = "".join(f"https://{host.upper() if n else host}/{n}.jpg\n" for n in range(3) for host in hosts)

    found = listed(tmp_path, "a.txt", lines)

    assert len({post.id for post in found}) == 6000
    assert {urlsplit(post.file_url or "").hostname for post in found} == set(hosts)


def test_halves_of_characters_are_replaced(tmp_path: Path) -> None:
    """What no file and no catalog can hold does not come in by JSON."""
    row = {"url": URL, "tags": ["a\ud800", "b\0"], "page_url": "https://a.example/\udfff"}
    (post,) = listed(tmp_path, "a.jsonl", json.dumps(row))

    assert (post.tags, post.page_url) == (("a\ufffd", "b\ufffd"), "https://a.example/\ufffd")


def test_without_pyarrow_one_line_says_so(tmp_path: Path) -> None:
    """Nothing else needs it."""
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pathlib import Path\n"
        "from pipeline.errors import WorldError\n"
        "from pipeline.http import Client\n"
        "from pipeline.sources.urls import UrlsSource\n"
        f"try: list(UrlsSource(name='web', path=Path({str(tmp_path)!r}), client=Client()).pages(None))\n"
        "except WorldError as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert said == "a.parquet: Parquet is read by pyarrow, which is missing; pip install pyarrow\n"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example/1.png",
        "ftp://a.example/1.png",
        "file:///etc/passwd",
        "https://",
        "https://a.example/two words",
        "https://me:secret@a.example/1.png",
        "https://[::1/1.png",
        "https://a.example:99999/1.png",
        "https://a.example/" + "x" * 9000,
        "data:image/png;base64,AAAA",
    ],
)
def test_what_cannot_be_asked_is_a_post_without_a_file(tmp_path: Path, url: str) -> None:
    """It is counted as no_file, and no other row is lost for it."""
    bad, good = listed(tmp_path, "a.jsonl", json.dumps({"url": url}) + "\n" + json.dumps({"url": URL}) + "\n")

    (outcome,) = SelectPosts(ratings=())([bad], Store(tmp_path / "store"))
    assert (bad.file_url, outcome.reason) == (None, Reason.NO_FILE)  # type: ignore[union-attr]
    assert good.file_url == URL


def test_rows_that_cannot_be_read_are_posts_without_a_file(tmp_path: Path) -> None:
    """Broken JSON, a line that is no object, a cell larger than CSV knows: each one post, and the rest is read."""
    found = listed(tmp_path, "a.jsonl", f'{{"url": \n[1]\n{"[" * 5000}\n{json.dumps({"url": URL})}\n')
    assert [post.file_url for post in found] == [None, None, None, URL]

    found = listed(tmp_path, "a.csv", f"url,tags\n{URL},{'x' * 200_000}\n{URL}\n\n,\n")
    assert [post.file_url for post in found] == [None, URL, None]
    assert len({post.id for post in found}) == 3


def test_an_address_is_listed_once(tmp_path: Path) -> None:
    """Over all lists of a folder, which are read by name; the first row counts."""
    (tmp_path / "b.csv").write_text(f"url,tags\n{URL},second\nhttps://b.example/2,\n")
    (tmp_path / "a.txt").write_text(f"{URL}\n{URL}\n")

    found = posts(tmp_path)

    assert [(post.file_url, post.tags) for post in found] == [(URL, ()), ("https://b.example/2", ())]


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2020-01-02", datetime(2020, 1, 2, tzinfo=UTC)),
        ("2020-01-02 03:04:05", datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2020-01-02T03:04:05Z", datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (1577934245, datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("1577934245000", datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        (True, None),
        (["2020"], None),
    ],
)
def test_dates_in_their_usual_forms(tmp_path: Path, value: object, moment: datetime | None) -> None:
    """Anything else is no date."""
    (post,) = listed(tmp_path, "a.jsonl", json.dumps({"url": URL, "date": value}))

    assert post.posted_at == moment


@pytest.mark.parametrize(
    ("cell", "declared", "rating"),
    [("", None, None), ("", "g", "g"), ("E", "g", "e"), ("explicit", None, "e"), ("UNLIKELY", "g", None)],
)
def test_a_rating_is_never_guessed(tmp_path: Path, cell: str, declared: str | None, rating: str | None) -> None:
    """What is declared holds for rows that say nothing, not for those that say something strange."""
    (post,) = listed(tmp_path, "a.csv", f"url,rating\n{URL},{cell}\n", rating=declared)

    assert post.rating == rating


def test_a_video_by_its_name_is_not_asked_for(tmp_path: Path) -> None:
    """The extension is that of the path, whatever stands behind it."""
    post, other = listed(
        tmp_path, "a.txt", "https://a.example/a.MP4?x=.png\nhttps://a.example/image.php%2Ethis_is_long\n"
    )
    (outcome,) = SelectPosts(ratings=())([post], Store(tmp_path / "store"))

    assert outcome.reason is Reason.NOT_STILL  # type: ignore[union-attr]
    assert other.ext == ""


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "link,md5\nx,y\n", "a.csv: has no column 'url' but link, md5; name the column of addresses in url_"),
        ("a.jsonl", '{"a": 1}\n', "a.jsonl: has no column 'url' but a; name"),
        ("a.xls", "", r"a.xls: is no list of addresses \(.csv, .tsv, .txt, .jsonl, .ndjson, .parquet\) and no folder"),
    ],
)
def test_a_list_that_cannot_be_used_is_one_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    """A wrong file is a wrong order."""
    with pytest.raises(UsageError, match=message) as caught:
        listed(tmp_path, name, text)
    assert "\n" not in str(caught.value)


def test_a_missing_list_is_one_line(tmp_path: Path) -> None:
    """A wrong path too."""
    with pytest.raises(UsageError, match=r"nowhere\.csv: is no list of addresses"):
        posts(tmp_path / "nowhere.csv")


def test_another_column_can_be_named(tmp_path: Path) -> None:
    """Whatever its case."""
    (post,) = listed(tmp_path, "a.csv", f"Link,url\n{URL},x\n", url_column="LINK")

    assert post.file_url == URL


def test_a_long_list_comes_in_pages(tmp_path: Path) -> None:
    """Without a cursor: it lists all of it each time, up to the limit."""
    (tmp_path / "a.txt").write_text("".join(f"https://a.example/{n}\n" for n in range(2500)))

    pages = list(source(tmp_path / "a.txt").pages(None))

    assert [(len(page.posts), page.cursor) for page in pages] == [(1000, None), (1000, None), (500, None)]
    assert len(posts(tmp_path / "a.txt", limit=7)) == 7
    assert isinstance(pages[0], Page)


@pytest.mark.parametrize(
    ("lines", "refused"),
    [
        (["noai"], True),
        (["NoImageAI, nofollow"], True),
        (["noindex", "noai"], True),
        (["kaoset: noai"], True),
        (["*: noimageai"], True),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], True),
        (["otherbot: noindex, noai"], False),
        (["otherbot: noai", "nofollow"], False),
        (["otherbot: noindex, kaoset: noai"], True),
        (["noindex, nofollow"], False),
        (["noairplanes"], False),
        ([""], False),
        ([], False),
    ],
)
def test_a_host_that_wants_no_training_is_understood(lines: list[str], refused: bool) -> None:
    """To all, or to us by name; what is said to others is theirs."""
    headers = HTTPHeaderDict()
    for line in lines:
        headers.add("X-Robots-Tag", line)

    answer = not_for_ai(headers)

    assert (answer is not None) == refused
    assert answer is None or answer.reason is Reason.NOT_FOR_AI


def test_noai_is_obeyed_before_the_body(tmp_path: Path, server: faulty.Server, client: Client) -> None:
    """Nothing of the file is kept; who takes it all the same has said so in the recipe."""
    url = server.on("/a.png", reply(200, b"picture", X_Robots_Tag="noai"))
    (post,) = listed(tmp_path, "a.txt", url)
    (tmp_path / "parts").mkdir()
    target = tmp_path / "parts" / "file"

    assert source(tmp_path / "a.txt", client=client).fetch(post, target, 100) == Refused(Reason.NOT_FOR_AI, "says noai")
    assert list(target.parent.iterdir()) == []
    assert source(tmp_path / "a.txt", client=client, obey_noai=False).fetch(post, target, 100) == Fetched(
        md5(b"picture"), 7
    )


def test_noai_that_comes_with_the_rest_of_a_file_is_obeyed_too(
    tmp_path: Path, server: faulty.Server, client: Client
) -> None:
    """A host may change its mind between two parts; what came of the file goes."""
    data = b"x" * 1000
    tag = {"ETag": '"1"'}
    url = server.on("/a.png", cut(data, 500, **tag), ranged(data, **tag, X_Robots_Tag="noimageai"))
    (post,) = listed(tmp_path, "a.txt", url)
    (tmp_path / "parts").mkdir()
    target = tmp_path / "parts" / "file"

    answer = source(tmp_path / "a.txt", client=client).fetch(post, target, 10_000)

    assert answer == Refused(Reason.NOT_FOR_AI, "says noimageai")
    assert list(target.parent.iterdir()) == []


def test_a_list_over_many_hosts_ends_with_a_reason_for_each(
    tmp_path: Path, client: Client, sqlite_catalog: Catalog
) -> None:
    """From list to store: kept, gone, no_file, not_for_ai, wrong_md5, each counted; no address asked twice."""
    pictures = {n: encode_png(_noise(n)) for n in range(3)}
    with faulty.serve() as one, faulty.serve() as other:
        rows = [
            {"url": one.on("/0.png", reply(200, pictures[0])), "md5": md5(pictures[0])},
            {"url": other.on("/1.png", reply(200, pictures[1]))},
            {"url": other.on("/1.png", reply(200, pictures[1]))},
            {"url": one.on("/2.png", reply(200, pictures[2], X_Robots_Tag="noai"))},
            {"url": one.on("/gone.png", reply(404))},
            {"url": other.on("/other.png", reply(200, pictures[2])), "md5": md5(b"another")},
            {"url": "mailto:me"},
        ]
        (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        web = source(tmp_path / "a.jsonl", client=client, rating="g")
        listed = [post for page in web.pages(None) for post in page.posts]
        stage = make.fetch_files(tmp_path, {"web": web}, stop=client.stop)
        store = Store(tmp_path / "store")

        report, images = run_stage(stage, listed, sqlite_catalog, store, lambda *_: None)

        asked = [request.path for board in (one, other) for request in board.requests]
    assert report.dropped == {"no_file": 1, "gone": 1, "not_for_ai": 1, "wrong_md5": 1}
    assert {store.get(image.sha256) for image in images} == {pictures[0], pictures[1]}
    assert sorted(asked) == ["/0.png", "/1.png", "/2.png", "/gone.png", "/other.png", "/other.png"]


def test_a_recipe_names_a_list(tmp_path: Path, server: faulty.Server) -> None:
    """Its rating is the person's word for rows that say none."""
    from pipeline.recipe import load
    from pipeline.run import Build, Settings

    (tmp_path / "a.txt").write_text(server.on("/a.png", reply(200, encode_png(_noise(1)))) + "\nnothing\n")
    fields = {"kind": "urls", "path": tmp_path / "a.txt", "rating": "g", "min_gap_s": 0.0, "private_hosts": True}
    overrides = [*(f"sources.0.{name}={value}" for name, value in fields.items()), 'detect.detectors=["animeface"]']

    with Build(load(None, overrides), Settings(data=tmp_path / "data"), lambda *_: None, print) as build:
        reports = [build.step(name) for name in ("list", "select", "scrape")]

    assert [(report.kept, report.dropped) for report in reports] == [(2, {}), (1, {"no_file": 1}), (1, {})]


def _noise(seed: int) -> Any:
    import numpy as np

    return np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)


def test_two_runs_at_once_ask_for_each_file_once(tmp_path: Path, server: faulty.Server) -> None:
    """Also where no md5 tells files apart, and where there is none: what one run has found out the other believes."""
    files = [server.on(f"/{number}.png", _slow(reply(200, encode_png(_noise(number))))) for number in range(60)]
    files += [server.on(f"/gone{number}.png", _slow(reply(404))) for number in range(20)]
    (tmp_path / "a.txt").write_text("\n".join(files))
    command = [sys.executable, "-c", _FETCH, str(tmp_path / "data"), str(tmp_path / "a.txt")]

    runs = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in ("one", "two")]
    said = [run.communicate(timeout=60)[0] for run in runs]

    assert said == ["60 {'gone': 20}\n"] * 2
    assert len(server.requests) == len({request.path for request in server.requests}) == 80


_FETCH = """
import sys
from pathlib import Path
from pipeline.recipe import load
from pipeline.run import Build, Settings
data, path, name = sys.argv[1:]
fields = {"kind": "urls", "path": path, "rating": "g", "min_gap_s": 0.0, "private_hosts": True, "robots": "off"}
overrides = [f"name={name}", 'detect.detectors=["animeface"]', *(f"sources.0.{f}={v}" for f, v in fields.items())]
with Build(load(None, overrides), Settings(data=Path(data)), lambda *_: None, lambda _: None) as build:
    report = [build.step(name) for name in ("list", "select", "scrape")][-1]
print(report.kept, report.dropped)
"""


def _slow(answer: faulty.Answer) -> faulty.Answer:
    def slowly(handler: Any) -> None:
        time.sleep(0.03)
        answer(handler)

    return slowly
