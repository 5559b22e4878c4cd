"""Strictness for all tests, in one place."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import filelock
import hypothesis
import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent

hypothesis.settings.register_profile("default", deadline=None, max_examples=25)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_addoption(parser):
    """``pytest --benchmark`` is the short form of ``--benchmark-only`` here."""
    parser.addoption("--benchmark", action="store_true", help="run the benchmarks and nothing else, the cases included")


THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
MEMORY = 1.5 * 2**30
"""Bytes a process of the tests may need: torch, compiled kernels, and what it starts."""


@pytest.hookimpl(optionalhook=True)  # where xdist is not installed, or left out
def pytest_xdist_auto_num_workers():
    """For ``-n auto``: a process for each core that this one may use, fewer where memory is short."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(psutil.virtual_memory().available / MEMORY)))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Benchmarks are off in a run of the tests, unless it is they that are asked for; then the cases are among them.

    Beside other processes of tests each has one thread, and so has what it starts: together they have all cores. What a
    test starts does not take itself for one of them.
    """
    if hasattr(config, "workerinput"):
        os.environ.update({name: os.environ.get(name, "1") for name in THREADS})
        for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
            del os.environ[name]
    if config.option.benchmark or config.option.benchmark_only:
        config.option.benchmark_only = True
        config.option.benchmark_disable = False
        config.addinivalue_line("python_files", "*/suite/cases.py")


LEFT = pytest.StashKey[int]()
"""How many tests were left to ``make long``."""


def pytest_collection_modifyitems(config, items):
    """Leave the long tests out, unless a marker expression says what is wanted."""
    if config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("long")]
    config.stash[LEFT] = len(long)
    if long:
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """What one of several processes left out, all of them did: each collects the same tests."""
    node.config.stash[LEFT] = getattr(node, "workeroutput", {}).get("left", 0)


def pytest_sessionfinish(session):
    """Tell the process that reports how many tests were left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left"] = session.config.stash.get(LEFT, 0)


def pytest_terminal_summary(terminalreporter, config):
    """Say at the end what was left out, so that nobody takes a part for the whole."""
    if left := config.stash.get(LEFT, 0):
        terminalreporter.write_line(f"{left} long tests were left to `make long`", yellow=True)


def pytest_runtest_makereport(item, call):
    """A failure that cannot be shown with its source is shown without it, so that it is never lost.

    In Python 3.11 ``ast.parse`` raises SystemError while another thread parses, as one that prints a traceback does; where
    pytest reads a source for its report, that would end the whole process of tests. From 3.13 on ``traceback`` parses too.
    """
    try:
        return pytest.TestReport.from_item_and_call(item, call)
    except SystemError:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(item.config.option, "tbstyle", "value")  # reads no source
            report = pytest.TestReport.from_item_and_call(item, call)
        frames = [f"{entry.path}:{entry.lineno + 1} in {entry.name}" for entry in call.excinfo.traceback]
        report.longrepr = "\n".join([*frames, report.longreprtext])
        return report


@pytest.fixture
def odyssey(monkeypatch, capsys):
    """Run the command in this process; returns exit code, output and error output."""
    from lstm_odyssey.commands import cli

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["odyssey", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        output, error = capsys.readouterr()
        return caught.value.code or 0, output, error

    return run


@pytest.fixture(scope="module")
def unpainted():
    """No test of the module paints a page's figures."""
    from tests.quick_pages import framed_figures

    with framed_figures():
        yield


@pytest.fixture(scope="module")
def short_analyses():
    """The tests of the module make a page's analyses with less; see ``quick_pages.short``."""
    from tests.quick_pages import short

    with short():
        yield


@pytest.fixture(scope="session")
def shared(tmp_path_factory, request):
    """``shared(name, make)``: a folder that ``make(folder)`` has filled, once for all processes of a run of the tests."""
    several = hasattr(request.config, "workerinput")
    base = tmp_path_factory.getbasetemp().parent if several else tmp_path_factory.getbasetemp()

    def folder(name, make):
        with filelock.FileLock(base / f"{name}.lock"):
            place = base / name
            if not place.exists():
                partly = base / f"{name}-{os.getpid()}"
                partly.mkdir()
                make(partly)
                partly.rename(place)
        return place

    return folder


def build_wheel(out):
    """Build a wheel from a copy of this tree."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch)
        for folder in ("suite", "tasks", "variants", "reports"):
            shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))
        for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
            shutil.copy(ROOT / name, tree / name)
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(tree)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def wheel(shared):
    """The path of a wheel built from a copy of this tree."""
    (built,) = shared("wheel", build_wheel).glob("*.whl")
    return built


@pytest.fixture(scope="session")
def site(wheel, shared):
    """A folder with the wheel's content, as pip would unpack it."""

    def unpack(folder):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)

    return shared("site", unpack)


@pytest.fixture(autouse=True)
def _one_thread():
    """torch computes with one thread: the tests' tensors are small, and threads that wait for each other slow them tenfold.

    A test that needs no torch does not wait for its import.
    """
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_download(monkeypatch):
    """No test reaches the network: a corpus that is not there is an error, not a download."""
    monkeypatch.setenv("ODYSSEY_OFFLINE", "1")
