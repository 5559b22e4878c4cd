"""Strictness for all tests, in one place."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent

hypothesis.settings.register_profile("default", deadline=None, max_examples=25)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_addoption(parser):
    """``pytest --benchmark`` is the short form of ``--benchmark-only`` here."""
    parser.addoption("--benchmark", action="store_true", help="run the benchmarks and nothing else, the cases included")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Benchmarks are off in a run of the tests, unless it is they that are asked for; then the cases are among them."""
    if config.option.benchmark or config.option.benchmark_only:
        config.option.benchmark_only = True
        config.option.benchmark_disable = False
        config.addinivalue_line("python_files", "*/suite/cases.py")


@pytest.fixture
def odyssey(monkeypatch, capsys):
    """Run the command in this process; returns exit code, output and error output."""
    from lstm_odyssey import cli

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["odyssey", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        output, error = capsys.readouterr()
        return caught.value.code or 0, output, error

    return run


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The path of a wheel built from a copy of this tree."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for folder in ("suite", "tasks", "variants", "reports"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, tree / name)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def site(wheel, tmp_path_factory):
    """A folder with the wheel's content, as pip would unpack it."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


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
