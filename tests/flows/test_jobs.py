from __future__ import annotations

from pathlib import Path

import pytest

from flows.jobs import build_dataset, settings_from_environment
from flows.show import Lines
from pipeline import score
from pipeline.manifest import read_csv
from pipeline.recipe import load
from pipeline.run import Settings
from pipeline.sandbox.draw import draw_portrait


def test_keys_are_read_by_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A login without a host belongs to nobody and is not sent anywhere."""
    monkeypatch.setenv("KAOSET_LOGIN_DANBOORU_DONMAI_US", "me")
    monkeypatch.setenv("KAOSET_API_KEY_DANBOORU_DONMAI_US", "secret")
    monkeypatch.setenv("KAOSET_LOGIN", "nobody")

    assert settings_from_environment(Path("data")).keys == {"DANBOORU_DONMAI_US": ("me", "secret")}


def test_a_key_without_a_login_is_not_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a pair reaches its board's source, which says what is missing; an empty one is none."""
    monkeypatch.setenv("KAOSET_API_KEY_GELBOORU_COM", "secret")
    monkeypatch.setenv("KAOSET_LOGIN_YANDE_RE", "")

    assert settings_from_environment(Path("data")).keys == {"GELBOORU_COM": ("", "secret")}


def test_a_score_of_ones_own_goes_with_crops_of_another_size(tmp_path: Path) -> None:
    """Crops that were cut anew are the ones that are scored and published."""
    (tmp_path / "in").mkdir()
    draw_portrait([1, 2]).picture.save(tmp_path / "in" / "a.png")
    both = ("drawn_faces", "animeface")
    score.save(tmp_path / "own.toml", both, score.Model((("bias", 3.0),)), "all are faces")
    own = [f"filter.score={tmp_path / 'own.toml'}", 'detect.detectors=["drawn_faces", "animeface"]']
    recipe = ["sources.0.kind=folder", f"sources.0.path={tmp_path / 'in'}", "review.accept_alone=0", *own]
    settings = Settings(data=tmp_path / "data", workers=1)

    for size in ("64", "32"):
        built = build_dataset(load(None, [*recipe, f"crop.size={size}"]), settings, Lines())

        assert built.release is not None
        assert set(read_csv(built.release.path / "data_manifest.csv")["size"]) == {size}
