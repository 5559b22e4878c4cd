"""odyssey new: the package it writes is installable, and its own tests pass beside a wheel of this one."""

import json
import os
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest

import lstm_odyssey as lo
from lstm_odyssey.backends.numba import cache
from lstm_odyssey.benchmarks.steps import TASKS
from lstm_odyssey.commands import new
from lstm_odyssey.plugins import registry
from lstm_odyssey.pytest_plugin import places
from lstm_odyssey.testing import task_checks
from tests.made_plugins import LIGHT, write


@pytest.fixture(autouse=True)
def _fresh():
    """Plugins of one test are none of another's."""
    registry.forget_plugins()
    yield
    registry.forget_plugins()


@pytest.mark.parametrize("kind", ["variant", "task"])
def test_a_package_is_a_few_small_files(tmp_path, kind):
    """Module, tests, pyproject with the entry point, README, asv's files and one for CI; nothing of a template is left."""
    folder = new.make(kind, "dusk", tmp_path)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert folder == tmp_path / "odyssey-dusk"
    assert files == [
        ".github/workflows/tests.yml",
        ".gitignore",
        "README.md",
        "asv.conf.json",
        "benchmarks/__init__.py",
        "odyssey_dusk.py",
        "pyproject.toml",
        "tests/test_dusk.py",
    ]
    for path in (folder / name for name in files):
        text = path.read_text(encoding="utf-8")
        assert "dusk" in text and "{{" not in text and "{%" not in text
        assert all(line == line.rstrip() and len(line) <= 128 for line in text.splitlines())
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "odyssey-dusk" and project["entry-points"][f"lstm_odyssey.{kind}s"] == {
        "dusk": f"odyssey_dusk:{kind}"
    }
    assert project["dependencies"] == [f"lstm-odyssey>={lo.__version__}"]
    assert len((folder / "odyssey_dusk.py").read_text().splitlines()) <= 50


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"junk", "is no .npy file of numbers that can be read"),
        (np.array([{"os": 1}], dtype=object), "is no .npy file of numbers that can be read"),
        (np.array([["a"]]), "has <U1 of shape (1, 1); expected numbers [frames, width]"),
        (np.ones((3, 2), complex), "has complex128 of shape (3, 2); expected numbers"),
        (np.ones(3), "has float64 of shape (3,); expected numbers"),
        (np.ones((0, 2)), "has float64 of shape (0, 2); expected numbers"),
        (np.full((3, 2), np.nan), "has NaN, infinite or too large values"),
        (np.full((3, 2), 1e300), "has NaN, infinite or too large values"),
        (None, "has ['one', 'two']; expected two or more with .npy files"),
    ],
)
def test_a_bad_file_of_a_new_task_is_named(tmp_path, odyssey, content, message):
    """The first thing people train on is a folder of their own: what cannot be read of it is told with its name."""
    folder = new.make("task", "circle", tmp_path)
    for name in ("one", "two"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for k in range(20 if content is not None else 0):
            np.save(tmp_path / "own" / name / f"{k}.npy", np.ones((3, 2)))
    bad = tmp_path / "own" / "one" / "7.npy"
    if isinstance(content, bytes):
        bad.write_bytes(content)
    elif content is not None:
        np.save(bad, content, allow_pickle=True)
    code, _, error = odyssey(
        "data", "check", "circle", "--plugin", str(folder / "odyssey_circle.py"), "--data", f"circle={tmp_path / 'own'}"
    )
    assert code == 2 and error.count("\n") == 1 and message in error
    assert (str(bad) if content is not None else str(bad.parents[1])) in error


@pytest.mark.parametrize(
    ("kind", "name", "cases"),
    [
        ("variant", "dusk", {f"{task}.{name}" for task in TASKS for name in ("dusk", "vanilla")}),
        ("task", "circle", {"circle.cifg", "circle.fgr", "circle.vanilla"}),
    ],
)
def test_asv_finds_the_benchmarks_of_a_new_package(tmp_path, kind, name, cases):
    """Its folder of benchmarks lists its own cases, those of the default set for none else; ODYSSEY_ASV names others."""
    folder = new.make(kind, name, tmp_path)
    plugins = {"ODYSSEY_PLUGINS": str(folder / f"odyssey_{name}.py")}
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); from asv_runner import discovery; "
        "print(*(each.name for each in discovery.disc_benchmarks('benchmarks')))"
    )
    for asked, expected in (({}, cases), ({"ODYSSEY_ASV": "nog"}, {f"{task}.nog" for task in TASKS})):
        found = done("-c", code, environment={**os.environ, **plugins, **asked}).split()
        assert {each.rpartition(".")[0] for each in found} == expected
        assert {f"{case}.track_error" for case in expected} <= set(found)


def test_the_new_task_keeps_its_promises(tmp_path):
    """Given as a file, the module registers the task under its own name; all promises hold, the chance level among them."""
    lo.load_plugin(new.make("task", "circle", tmp_path) / "odyssey_circle.py")
    lo.check_task("circle")


def test_its_tests_ask_recordings_of_ones_own(tmp_path):
    """What ``--odyssey-data`` names goes to every promise: the declared chance level is that of what is made up."""
    folder = new.make("task", "circle", tmp_path)
    lo.load_plugin(folder / "odyssey_circle.py")
    for name, count in (("one", 40), ("two", 20)):
        (tmp_path / "own" / name).mkdir(parents=True)
        for k in range(count):
            np.save(tmp_path / "own" / name / f"{k}.npy", np.random.default_rng([count, k]).normal(size=(3 + k, 2)))
    written = {}
    exec((folder / "tests" / "test_circle.py").read_text(), written)
    given, broken = places([f"circle={tmp_path / 'own'}"]), []
    for name, check in task_checks():
        try:
            written["test_circle_keeps_its_promises"]("circle", check, given)
        except AssertionError as error:
            broken.append((name, str(error)))
    ((name, message),) = broken
    assert name == "chance" and "chance is 50.0; 40.0000 was computed from its corpus" in message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("bech=x", "--odyssey-data: got a path for bech; expected one of the tasks: bach"),
        ("bach", "--odyssey-data: got 'bach'"),
    ],
)
def test_a_path_for_no_task_is_one_clear_error(value, message):
    """As on the command line."""
    with pytest.raises(pytest.UsageError, match=message):
        places([value])


def test_the_new_variant_keeps_its_promises(tmp_path):
    """Given as a file, the module registers the cell under its own name; all promises hold on the eager backend."""
    lo.load_plugin(new.make("variant", "dusk", tmp_path) / "odyssey_dusk.py")
    lo.check_variant("dusk", ["eager"])
    assert lo.variant("dusk").count(5, 7) == 2 * (5 * 7 + 7 * 7 + 7)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("variant", "1st", "the name is '1st'; expected letters, digits and _ in between, a letter first"),
        ("variant", "a-b", "the name is 'a-b'"),
        ("variant", "../x", "the name is '../x'"),
        ("variant", "", "the name is ''"),
        ("variant", "größe", "the name is 'größe'"),
        ("variant", "_x", "the name is '_x'"),
        ("variant", "x_", "the name is 'x_'"),
        ("variant", "class", "'class' has a meaning already"),
        ("variant", "sigmoid", "'sigmoid' has a meaning already"),
        ("variant", "all", "'all' has a meaning already"),
        ("variant", "vanilla", "'vanilla' is there already, from lstm-odyssey"),
        ("variant", "np", "'np' is an alias of no_peepholes, from lstm-odyssey"),
        ("task", "bach", "'bach' is there already, from lstm-odyssey"),
        ("variant", "light", r"'light' is there already, from mine\.py"),
    ],
)
def test_a_name_that_will_not_do_is_refused(tmp_path, kind, name, message):
    """No Python name, a word of the language, one of the cell's ops, or a name that is taken; nothing is written."""
    lo.load_plugin(write(tmp_path, "mine.py", LIGHT))
    with pytest.raises(new.NewError, match=f"new {kind}: {message}"):
        new.make(kind, name, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_an_existing_folder_is_left_as_it_is(tmp_path):
    """A second package of one name, a file in its place, and a folder that is not there are refused."""
    mine = new.make("variant", "dusk", tmp_path) / "odyssey_dusk.py"
    mine.write_text("my work")
    with pytest.raises(new.NewError, match="odyssey-dusk exists; expected a new folder"):
        new.make("variant", "dusk", tmp_path)
    assert mine.read_text() == "my work"
    with pytest.raises(new.NewError, match="--into: .*nowhere is no folder"):
        new.make("variant", "dawn", tmp_path / "nowhere")


def test_the_command_says_what_it_wrote_and_what_comes_next(tmp_path, odyssey):
    """Paths of all files, the two commands that show it working, and where to write."""
    code, output, _ = odyssey("new", "variant", "dusk", "--into", tmp_path)
    assert code == 0 and str(tmp_path / "odyssey-dusk" / "tests" / "test_dusk.py") in output
    assert 'pip install -e ".[test]" && pytest' in output and "into odyssey_dusk.py" in output


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with this package from its wheel and with two new packages from theirs, as pip installs them."""
    work, folder = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("site")
    packages = [new.make("variant", "dusk", work), new.make("task", "circle", work)]
    wheels = [wheel]
    for package in packages:
        out = work / f"wheel-{package.name}"
        done("-m", "build", "--wheel", "--no-isolation", "--outdir", out, package)
        wheels += out.glob("*.whl")
    done("-m", "pip", "install", "--no-deps", "--no-index", f"--target={folder}", *wheels)
    return folder, packages


def done(*command, cwd=None, environment=None):
    """Run Python to its end; returns the output."""
    ended = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def run(site, cwd, *command):
    """Run Python with the installed packages first on its path; returns the output."""
    return done(*command, cwd=cwd, environment={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "120"})


@pytest.mark.long
def test_a_third_partys_packages_work_beside_our_wheel(installed, tmp_path):
    """Installed, they are listed, their tests pass, they are checked, trained, benchmarked, with no change to this package."""
    folder, packages = installed
    ours = run(folder, tmp_path, "-c", "import lstm_odyssey; print(lstm_odyssey.__file__)")
    assert ours.startswith(str(folder))
    odyssey = ("-m", "lstm_odyssey.commands.cli")
    assert "dusk  states y  [-]  from odyssey-dusk 0.1.0" in run(folder, tmp_path, *odyssey, "variants")
    assert re.search(
        r"circle  made, label_mean: .* from\s+odyssey-circle 0\.1\.0", run(folder, tmp_path, *odyssey, "tasks")
    )
    for package in packages:
        passed = run(folder, package, "-m", "pytest", "-q", "-p", "no:cacheprovider")
        assert re.search(r"^(10|3\d) passed", passed, re.MULTILINE), passed
    kept = run(folder, tmp_path, *odyssey, "check", "dusk", "circle", "--backend=eager")
    assert re.search(r"(\d+) of \1 promises kept", kept)
    shape = ["--profile=smoke", "--trials=2", "--epochs=2", "--workers=2", f"--store={tmp_path / 'store'}"]
    table = run(folder, tmp_path, *odyssey, "run", "--variants=vanilla,dusk", "--tasks=circle", *shape)
    assert re.search(r"dusk +2/2", table) and re.search(r"vanilla +2/2", table)
    facts = lo.open_study(tmp_path / "store" / "study.nc").attrs
    assert (
        '"distribution": "odyssey-dusk"' in facts["variants"] and '"distribution": "odyssey-circle"' in facts["tasks"]
    )
    assert '"odyssey-dusk": "0.1.0"' in facts["environments"]
    cases = ("--pyargs", "lstm_odyssey.cases", "--odyssey-variant=dusk", "--odyssey-task=circle", "--benchmark-disable")
    assert "1 passed" in run(folder, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", *cases)
    tracked = (
        "import os; os.environ['ODYSSEY_ASV'] = 'full'; from lstm_odyssey.benchmarks import training; "
        "print(training.trained_circle_dusk_64_cpu.track_error.benchmark_name)"
    )
    assert run(folder, tmp_path, "-c", tracked).strip() == "circle.dusk.track_error"
    assert follow_asv(packages[0], folder) == {
        f"{task}.{name}.track_error" for task in TASKS for name in ("dusk", "vanilla")
    }


def follow_asv(package, site):
    """Do what a new package's README says of asv, in a repository of its own; returns the names of what was stored."""
    home = package.parent / "home"
    home.mkdir()
    around = {**os.environ, "HOME": str(home), "ODYSSEY_CACHE": str(cache.folder()), "ASV_PYTHONPATH": str(site)}
    who = ("-c", "user.name=A. Author", "-c", "user.email=author@example.org", "-c", "commit.gpgsign=false")
    for arguments in (("init", "-q", "-b", "main"), ("add", "--all"), (*who, "commit", "-q", "-m", "First")):
        subprocess.run(["git", *arguments], cwd=package, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=package, check=True, capture_output=True, text=True)
    where = ("--set-commit-hash", commit.stdout.strip(), "--bench", "track_error$")
    done("-m", "asv", "machine", "--yes", cwd=package, environment=around)
    done("-m", "asv", "run", "--python=same", "--show-stderr", *where, cwd=package, environment=around)
    (file,) = (package / ".asv" / "results").glob("*/*-existing*.json")
    return {name for name, row in json.loads(file.read_text())["results"].items() if row[0][0] > 0}


@pytest.mark.parametrize(
    ("typed", "meant"), [(["new", "cell", "x"], "odyssey new variant"), (["cells"], "odyssey variants")]
)
def test_a_command_that_is_not_there_says_which_is_meant(typed, meant):
    """Who writes the field's word for a variant is told the command."""
    from typer.testing import CliRunner

    from lstm_odyssey.commands.cli import app

    found = CliRunner().invoke(app, typed, prog_name="odyssey", env={"COLUMNS": "200"})
    assert found.exit_code == 2 and f"Write {meant}." in found.output
