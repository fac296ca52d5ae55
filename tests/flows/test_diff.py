from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
from command import PUBLISH, Built, Flow, bytes_of

SPLITS = ["crop_sha256", "split"]


def _manifest(data: Path, number: int) -> pd.DataFrame:
    path = data / "releases" / "sandbox" / f"{number:03d}" / "data_manifest.csv"
    return pd.read_csv(path, keep_default_na=False, dtype=str)


def test_two_releases_differ_by_what_was_decided(data: Path, flow: Flow) -> None:
    """A rejected crop is gone for that reason, an accepted one came by that hand, the recipe's change is named."""
    rejected = _manifest(data, 1)["crop_sha256"][0]
    accepted = flow.json("review", "list", "--data", data)[0]["crop_sha256"]
    flow("review", "reject", rejected, "--reviewer", "kim", "--data", data)
    flow("review", "keep", accepted, "--reviewer", "lee", "--data", data)
    flow(*PUBLISH, "--data", data, "-p", "release.contact=kim@example.invalid")

    answer = flow("diff", "sandbox/001", "sandbox/002", "--data", data, "--json")

    said = json.loads(answer.out)
    assert answer.code == 1
    assert [(one["crop_sha256"], one["why"]) for one in said["removed"]] == [(rejected, "review: rejected by kim")]
    assert [(one["crop_sha256"], one["why"]) for one in said["added"]] == [(accepted, "kept by lee")]
    assert said["recipe"] == {"release.contact": ["", "kim@example.invalid"]}
    told = flow("diff", "sandbox/001", "sandbox/002", "--data", data)
    assert all(word in told.out for word in (rejected[:12], accepted[:12], "release.contact", "rejected by kim"))


def test_the_catalog_is_found_by_where_a_release_lies(data: Path, flow: Flow, tmp_path: Path) -> None:
    """Two folders need no --data; those that were copied elsewhere say once what would help."""
    rejected = _manifest(data, 1)["crop_sha256"][0]
    flow("review", "reject", rejected, "--reviewer", "kim", "--data", data)
    flow(*PUBLISH, "--data", data)
    releases = data / "releases" / "sandbox"
    shutil.copytree(releases, tmp_path / "away")

    here = flow("diff", releases / "001", releases / "002", "--data", tmp_path)
    away = flow("diff", tmp_path / "away" / "001", tmp_path / "away" / "002", "--data", tmp_path)

    assert "review: rejected by kim" in here.out
    assert away.out.count("name the data folder by --data") == 1
    assert "rejected by kim" not in away.out


def test_the_exit_code_is_that_of_diff(data: Path, flow: Flow) -> None:
    """0 for the same, 2 for what is no release."""
    same = flow("diff", "sandbox/001", "sandbox", "--data", data)
    wrong = flow("diff", "sandbox/001", "sandbox/9", "--data", data)

    assert (same.code, same.out) == (0, "the same\n")
    assert (wrong.code, wrong.complaint) == (2, "sandbox/9: no such release; known are sandbox/001")


def test_what_was_released_stays_in_its_split(data: Path, flow: Flow) -> None:
    """Another seed and other shares divide only what is new."""
    answer = flow(*PUBLISH, "--data", data, "-p", "seed=99", "-p", "split.train=0", "-p", "split.test=0.95")
    assert answer.code == 0, answer.err

    assert _manifest(data, 2)[SPLITS].equals(_manifest(data, 1)[SPLITS])


def test_a_cap_drops_what_is_over_it(data: Path, flow: Flow) -> None:
    """Counted with its reason, and no colour is there more often."""
    before = _manifest(data, 1)["hair_colour"].value_counts()
    flow(*PUBLISH, "--data", data, "-p", "balance.by=hair", "-p", "balance.cap=2", "-p", 'balance.weights={"blue": 3}')

    made = _manifest(data, 2)
    report = json.loads((data / "releases" / "sandbox" / "002" / "report.json").read_text())["stages"]
    balance = next(one for one in report if one["stage"] == "balance")
    assert made["hair_colour"].value_counts().max() == 2
    assert balance["dropped"] == {"over_cap": int((before - 2).clip(lower=0).sum())}
    assert set(made["weight"][made["hair_colour"] == "blue"]) <= {"3.0"}
    assert flow("verify", "--data", data).code == 0


def test_a_release_has_its_card(built: Built, data: Path, flow: Flow) -> None:
    """Published again it has the same bytes, until a person decides: what she says is told."""
    waiting = flow.json("review", "list", "--data", data)[0]["crop_sha256"]
    files = {name: text for name, text in bytes_of(built.release).items() if name in {"README.md", "card.html"}}
    (data / "releases" / "sandbox" / "001" / "faces.npy").unlink()  # so that it is published again

    flow(*PUBLISH, "--data", data)
    again = bytes_of(data / "releases" / "sandbox" / "002")
    assert {name: again[name] for name in files} == files

    flow("review", "reject", waiting, "--reviewer", "kim", "--data", data)
    (data / "releases" / "sandbox" / "002" / "faces.npy").unlink()
    flow(*PUBLISH, "--data", data)
    assert b"kim" in bytes_of(data / "releases" / "sandbox" / "003")["card.html"]
