from __future__ import annotations

from pathlib import Path

import pytest

from flows.jobs import settings_from_environment


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
