"""How the tests are run: on all cores, nothing left out unsaid, nothing skipped that has to be there."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest

from tests import conftest
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TESTS = """
import os
import pytest

def test_short():
    assert [os.environ.get(name) for name in {threads}] == {expected}
    assert not [name for name in os.environ if name.startswith("PYTEST_XDIST_")]

def test_too():
    pass

@pytest.mark.long
def test_long():
    pass

@pytest.mark.long
def test_longer():
    pass
"""


def run(folder, *options):
    """Run tests in a folder of their own that has this suite's conftest; returns the output."""
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = long: left out\n", encoding="utf-8")
    expected = ["1"] * len(conftest.THREADS)
    (folder / "test_it.py").write_text(TESTS.format(threads=conftest.THREADS, expected=expected), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_long_tests_are_left_out_and_said_to_be(tmp_path):
    """In several processes too, each of them with one thread, and none of what they start takes itself for one of them."""
    said = run(tmp_path, "--numprocesses=2", "--dist=worksteal")
    assert "2 passed" in said and "2 long tests were left to `make long`" in said


def test_long_tests_are_run_where_they_are_asked_for(tmp_path):
    """``-m long`` is these tests alone, and nothing is said of others."""
    said = run(tmp_path, "-m", "long")
    assert "2 passed, 2 deselected" in said and "were left" not in said


def test_a_failure_whose_source_cannot_be_parsed_is_reported(request, monkeypatch):
    """It is a failed test like others, with what it asserts, and not the end of its process."""

    def refused(*_, **__):
        raise SystemError("AST constructor recursion depth mismatch")

    def fails():
        assert [] == ["what was expected"]

    call = pytest.CallInfo.from_call(fails, when="call")
    monkeypatch.setattr(ast, "parse", refused)
    report = request.config.hook.pytest_runtest_makereport(item=request.node, call=call)
    monkeypatch.undo()
    assert report.failed and "what was expected" in report.longreprtext and "in fails" in report.longreprtext
    assert request.config.option.tbstyle != "value"


def test_there_are_as_many_processes_as_cores_and_memory_allow(monkeypatch):
    """One for each core that may be used, one at least, and fewer where memory is short."""
    monkeypatch.setattr(conftest.os, "sched_getaffinity", lambda _: range(6), raising=False)
    for gigabytes, expected in ((64, 6), (5, 3), (0.1, 1)):
        memory = type("Memory", (), {"available": gigabytes * 2**30})
        monkeypatch.setattr(conftest.psutil, "virtual_memory", lambda memory=memory: memory)
        assert conftest.pytest_xdist_auto_num_workers() == expected


def test_make_and_ci_run_the_tests_so():
    """``make test`` and ``make long`` use all cores; continuous integration runs the first, and says so of the second."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "--numprocesses auto --dist worksteal" in makefile
    assert makefile.count("-m pytest $(PARALLEL)") == 2 and "$(PARALLEL) -m long $(ARGS)" in makefile
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "step make test" in script and "`make long` is not among it" in script


def needed():
    """The names that what this project and its tests require is imported by, as far as they are the packages' own."""
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *extras["bench"], *extras["test"]]
    names = {re.match(r"[A-Za-z0-9_.-]+", line).group().lower().replace("-", "_") for line in lines}
    return names | {"sklearn"}


def excused(source):
    """What a test module skips without: the arguments of importorskip."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [ast.unparse(call.args[0]) for call in calls if ast.unparse(call.func).endswith("importorskip")]


def test_no_test_is_skipped_for_want_of_what_has_to_be_there():
    """A dependency that is missing is an error; only what no test needs may be missing."""
    assert {"numba", "torch", "hypothesis", "sympy", "pytest_xdist", "pytest_benchmark", "sklearn"} <= needed()
    found = {path.name: excused(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "tests").rglob("*.py"))}
    assert [
        (name, what) for name, names in found.items() for what in names if what.strip("'").lower() in needed()
    ] == []
    assert excused('import pytest\npytest.importorskip("numba")') == ["'numba'"]


def test_every_long_test_has_a_shorter_one_beside_it():
    """A file's long tests are some of its tests, so that `make test` has something of every file."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tests = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                 if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]  # fmt: skip
        long = [test for test in tests if any(ast.unparse(mark) == "pytest.mark.long" for mark in test.decorator_list)]
        assert len(long) < len(tests) or path.name in ELSEWHERE, path.name


ELSEWHERE = {"test_asv.py": "benchmarks/test_benchmarks.py"}
"""Files of long tests alone, and where the shorter ones are."""


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_said_to_be_elsewhere_is_there(name):
    """The files that are named exist."""
    assert list((ROOT / "tests").rglob(name)) and (ROOT / "tests" / ELSEWHERE[name]).exists()
