"""Strictness for all tests, in one place."""

import os
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

hypothesis.settings.register_profile("default", deadline=None, max_examples=25)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Benchmarks are off in a run of the tests, unless it is they that are asked for."""
    if config.option.benchmark_only:
        config.option.benchmark_disable = False


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """torch computes with one thread: the tests' tensors are small, and threads that wait for each other slow them tenfold."""
    from lstm_odyssey.threads import one_thread

    with one_thread():
        yield


@pytest.fixture(autouse=True)
def _no_download(monkeypatch):
    """No test reaches the network: a corpus that is not there is an error, not a download."""
    monkeypatch.setenv("ODYSSEY_OFFLINE", "1")
