"""Every code block of ``docs/`` runs, or says on the page why it does not.

A page's blocks run in order, in one folder: a copy of this repository with one commit. ``console`` is run by bash, ``python``
by the interpreter, all of a page in one namespace. A comment before a block says what else becomes of it:
``<!-- file: name -->`` writes it to that file, ``<!-- not run: reason -->`` leaves it out, ``<!-- prints -->`` holds a block of
``text`` to what the block before it printed. Other blocks of ``text`` show what differs from run to run.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from lstm_odyssey.backends.numba import cache
from lstm_odyssey.plugins import registry
from lstm_odyssey.study.workers import engine
from tests.conftest import ROOT
from tests.quick_pages import framed_figures

PAGES = sorted((ROOT / "docs").glob("*.md"))
SHELL = ("records",)
"""Pages whose commands bash runs in ``make test`` too, a process for each; ``make long`` runs all pages so."""
LONG = ("asv", "pytest")
"""Left to ``make long`` altogether: each benchmark is a process that trains. ``.ci/run`` has their commands."""
SHOWN, RUN = ("text",), ("console", "python")
BLOCK = re.compile(
    r"(?:^<!-- (?P<what>file|not run|prints)(?:: (?P<how>[^\n]+))? -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    flags=re.MULTILINE | re.DOTALL,
)
TREE = ("suite", "variants", "tasks", "reports", "tests", "docs")
FILES = (
    "pyproject.toml",
    "constraints.txt",
    "asv.conf.json",
    "Makefile",
    "README.md",
    "LICENSE",
    "NOTICE",
    ".gitignore",
)


@dataclass(frozen=True)
class Block:
    """A fenced block, and what the comment before it says."""

    language: str
    text: str
    file: str = ""
    reason: str = ""
    prints: bool = False


def blocks(page):
    """The blocks of a page, in order."""
    found = []
    for each in BLOCK.finditer(page):
        what, how = each["what"], each["how"] or ""
        said = {None: {}, "file": {"file": how}, "not run": {"reason": how}, "prints": {"prints": True}}[what]
        found.append(Block(each["language"], each["text"], **said))
    return found


def links(page):
    """Where a page's links lead to, without the place in the target."""
    return re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))


WHO = ("-c", "user.name=A. Author", "-c", "user.email=author@example.org", "-c", "commit.gpgsign=false")


def copied(place):
    """Fill a folder with a copy of this repository that has one commit."""
    for name in TREE:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in FILES:
        shutil.copy(ROOT / name, place / name)
    for arguments in (("init", "-q", "-b", "main"), ("add", "--all"), (*WHO, "commit", "-q", "-m", "first")):
        subprocess.run(["git", *arguments], check=True, cwd=place)
    subprocess.run(["git", "gc", "-q"], check=True, cwd=place)  # one file to copy in place of hundreds


@pytest.fixture
def folder(tmp_path, monkeypatch, shared):
    """The copy of the repository, current folder of the page; its own home, the commands of this environment on the path.

    Kernels are kept where they are kept anyway: an empty folder would have every command compile its own.
    """
    monkeypatch.setenv("ODYSSEY_CACHE", str(cache.folder()))
    place = Path(shutil.copytree(shared("repository", copied), tmp_path / "lstm-odyssey"))
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(place)
    return place


def run(text):
    """Run commands as a shell that stops at the first that fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


SIMPLE = re.compile(r"(?P<set>(?:\w+=\S+ )*)odyssey (?P<arguments>[^|&;<>$`]+)")
"""A line that calls the command and asks nothing of the shell but to set variables."""


@pytest.fixture
def run_here(odyssey, monkeypatch):
    """Run a block in this process, its studies' trainings too: nobody waits for torch to be imported by each command.

    Lines that are no plain call of ``odyssey`` go to the shell.
    """
    monkeypatch.setattr(engine, "default_workers", lambda blocks: 0)

    def one(line):
        if not (simple := SIMPLE.fullmatch(line)):
            return run(line)
        with monkeypatch.context() as patch:
            for name, _, value in (each.partition("=") for each in shlex.split(simple["set"])):
                patch.setenv(name, value)
            try:
                code, output, error = odyssey(*shlex.split(simple["arguments"], comments=True))
            finally:
                registry.forget_plugins()
        assert code == 0, f"{line}\n{output}\n{error}"
        return output

    return lambda text: "".join(map(one, text.replace("\\\n", "").splitlines()))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.stem not in (*SHELL, *LONG)], ids=lambda page: page.stem
)
@pytest.mark.usefixtures("folder")
@framed_figures()
def test_a_page_does_what_it_says(page, run_here):
    """Its files are written, its commands and its Python run, in the order of the page; the command in this process.

    The pages that ``odyssey`` makes on the way have frames for figures; in a shell they are painted.
    """
    follow(page, run_here)


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, id=page.stem, marks=[] if page.stem in SHELL else [pytest.mark.long]) for page in PAGES],
)
@pytest.mark.usefixtures("folder")
def test_a_page_does_what_it_says_in_a_shell(page):
    """The same with every block run by bash as it stands."""
    follow(page, run)


def follow(page, run):
    """Do what a page says; ``run`` runs a block of commands and returns what it prints."""
    space = {"__name__": "docs"}
    ran, printed = 0, ""
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.prints:
            assert printed == block.text
        if block.reason or (block.language in SHOWN and not block.file):
            continue
        ran += 1
        if block.file:
            target = Path(block.file)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            printed = run(block.text)
        else:
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(compile(block.text, page.name, "exec"), space)
            printed = output.getvalue()
    assert ran, "a page without a block that runs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_runs_or_says_why_not(page):
    """No block is passed over because its language is one nobody runs."""
    text = page.read_text(encoding="utf-8")
    found = blocks(text)
    assert 2 * len(found) == len(re.findall(r"^ *```", text, flags=re.MULTILINE)), (
        "a block the expression does not find"
    )
    for block in found:
        assert block.file or block.reason or block.language in (*SHOWN, *RUN), block
        assert len(block.reason) == 0 or len(block.reason.split()) >= 3, f"no reason: {block.reason}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_of_a_page_lead_somewhere(page):
    """Every link to a file of the repository is to one that is there."""
    for target in links(page):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_there_are_pages_with_links():
    """Otherwise all of the above would hold of nothing."""
    assert len(PAGES) >= 5 and sum(len(links(page)) for page in PAGES) >= 2


def test_blocks_are_found_with_what_is_said_of_them():
    """The expression finds language, file and reason."""
    page = (
        "a\n```console\nls\n```\n<!-- file: a/b.py -->\n```python\nx = 1\n```\n"
        "<!-- not run: needs a cluster -->\n```console\nssh\n```\n<!-- prints -->\n```text\n1\n```\n"
    )
    assert blocks(page) == [
        Block("console", "ls\n"),
        Block("python", "x = 1\n", file="a/b.py"),
        Block("console", "ssh\n", reason="needs a cluster"),
        Block("text", "1\n", prints=True),
    ]


def test_a_command_that_fails_is_seen(run_here):
    """In the middle of a block and in a pipe as well; in this process too."""
    for text in ("false\ntrue", "false | cat"):
        with pytest.raises(AssertionError):
            run(text)
    for text in ("odyssey variants --nothing\ntrue", "odyssey variants --nothing | cat"):
        with pytest.raises(AssertionError, match="--nothing"):
            run_here(text)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda path: path.stem)
def test_differences_and_intervals_are_written_in_one_way(page):
    """A signed number has a minus sign and no hyphen, and so have the ends of its interval, with 'to' between any two ends."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.findall(r"[+−]\d[\d.]* \((?:\d|[^)]*to \d)[^)]*\)", prose), "an end without a sign"
    assert not re.findall(r"\((?:[+−]?\d[\d.]*)\s?[–-]\s?(?:[+−]?\d[\d.]*)\)", prose), "a dash for 'to'"
