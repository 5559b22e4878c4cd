"""Tests of corpora touch neither the user's data nor the user's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from lstm_odyssey.tasks.files import locate


@pytest.fixture(autouse=True)
def cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty cache, away from the tree a test makes."""
    place = tmp_path_factory.mktemp("cache") / "cache"
    monkeypatch.delenv("ODYSSEY_DATA", raising=False)
    monkeypatch.setattr(locate, "cache_folder", lambda: place)
    return place
