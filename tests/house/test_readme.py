"""The README does what it says: it is short, its Python and its study run, its commands exist."""

import re
import subprocess
import sys

import lstm_odyssey as lo
from lstm_odyssey.study.asked.config import read_config
from tests.conftest import ROOT
from tests.house.pages import blocks
from tests.small import settings

README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALLS = {"python3", "pip"}
"""Commands that make an environment: `make` runs them, and tests/house/test_packaging.py builds and uses the wheel."""


def test_the_readme_is_short():
    """What a reader needs first, in under 200 lines; the rest lies in docs, every page of which it leads to."""
    assert len(README.splitlines()) < 200
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    targets = set(re.findall(r"\]\(([^)#]+)\)", README))
    assert pages <= targets and all((ROOT / target).exists() for target in targets)


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    """Every Python block runs, one after the other, beside a study called as the README calls it."""
    lo.run(tmp_path / "my-study", settings(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = blocks(README, "python")
    assert len(found) >= 3
    space = {"__name__": "readme"}
    for block in found:
        exec(compile(block, "README.md", "exec"), space)
    assert space["y"].shape == (50, 8, 200) and space["z"].shape == (50, 3, 8, 100)
    assert lo.RNN(space["light"], 39, 100).count() == 28000


def test_nothing_is_chosen_by_its_test_score():
    """The README and the page of studies take the best by validation; neither sorts by a test score."""
    for name in ("README.md", "docs/studies.md"):
        code = "".join(blocks((ROOT / name).read_text(encoding="utf-8"), "python"))
        assert "table()" in code and not re.search(r"test\w*\W.*\b(min|max|idxmin|idxmax|sort_values|argsort)\b", code)


def test_the_study_of_the_readme_is_one(tmp_path):
    """Its study.toml is read, and is the study that the Python below opens."""
    (text,) = blocks(README, "toml")
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    asked = read_config(tmp_path / "study.toml")
    assert asked["store"] == "my-study" and asked["variants"] == ["vanilla", "cifg"]
    store = asked.pop("store")
    lo.Settings(**asked).check()
    assert f'open_study("{store}")' in README


def test_commands_are_named_in_one_way():
    """The environment is active on every page: no command carries the path of one."""
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for block in blocks(path.read_text(encoding="utf-8"), "console"):
            assert not re.search(r"^\.venv/bin/", block, flags=re.MULTILINE), path.name


def test_every_command_of_the_readme_is_run_by_ci():
    """Each kind of command that the README and the page of benchmarks show stands in .ci/run, in its quick form."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    pages = (README, (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"))
    whole = [block.replace("\\\n", " ") for page in pages for block in blocks(page, "console")]
    lines = [line.split() for block in whole for line in block.splitlines()]
    shown = {tuple(words[: 3 if words[1] == "bench" else 2]) for words in lines}
    assert len(shown) >= 8, "the README shows no command"
    for program, *verbs in shown:
        if program in INSTALLS:
            assert re.search(rf"-m {verbs[-1] if program != 'python3' else 'venv'}|-m {program} {verbs[-1]}", makefile)
        else:
            assert re.search(rf"\b{program}\b[^\n]*{re.escape(' '.join(verbs))}", script), (
                f"{program} {verbs} is not in .ci/run"
            )


def test_the_benchmarks_of_a_checkout_are_run_by_ci_as_the_pages_say():
    """`pytest --benchmark` has the same paths on the pages and in .ci/run, and they hold every test that times something."""
    paths = "tests/benchmarks suite/cases.py"
    for path in (ROOT / ".ci" / "run", ROOT / "docs" / "pytest.md", ROOT / "docs" / "development.md"):
        calls = re.findall(r"pytest\"? --benchmark [^`\n]*", path.read_text(encoding="utf-8"))
        assert calls and all(f"--benchmark {paths}" in call for call in calls), path.name
    timed = [
        path
        for folder in ("tests", "suite", "variants", "tasks", "reports")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"^def test\w*\(.*\bbenchmark\b", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    ]
    inside = [ROOT / path for path in paths.split()]
    assert timed and all(any(path.is_relative_to(each) for each in inside) for path in timed), timed


def test_the_options_of_the_readme_exist():
    """Every --option shown for odyssey run is one it has."""
    asked = {name for block in blocks(README, "console") for name in re.findall(r"odyssey run[^\n]*", block)}
    options = {option for line in asked for option in re.findall(r"--[a-z-]+", line.split("#")[0])}
    help_text = subprocess.run(
        [sys.executable, "-m", "lstm_odyssey.commands.cli", "run", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert options and all(option in help_text for option in options), options


def test_the_options_of_the_benchmarks_exist():
    """Every --option shown for odyssey bench and for the pytest form is one it has."""
    pages = [(ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("benchmarks", "pytest")]
    shown = [line for page in pages for block in blocks(page, "console") for line in block.splitlines()]
    for command in ("cell", "epoch", "step"):
        lines = [line for line in shown if f"odyssey bench {command}" in line]
        help_text = subprocess.run(
            [sys.executable, "-m", "lstm_odyssey.commands.cli", "bench", command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        options = {option for line in lines for option in re.findall(r"--[a-z-]+", line)}
        assert lines and all(option in help_text for option in options), (command, options)
    lines = [line for line in shown if "lstm_odyssey.cases" in line]
    help_text = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert lines and all(option in help_text for line in lines for option in re.findall(r"--[a-z-]+", line))
