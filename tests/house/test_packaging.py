"""What a user installs: a wheel is built from a copy of this tree, opened, and used without the tree."""

import configparser
import email
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tests.conftest import ROOT

HOMES = {
    "suite": "lstm_odyssey",
    "tasks": "lstm_odyssey/tasks",
    "variants": "lstm_odyssey/variants",
    "reports": "lstm_odyssey/reports",
}


@pytest.fixture(scope="module")
def members(wheel):
    """Every file in the wheel, by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sources():
    """Every file of the four folders and its place in the wheel; records are the repository's, not the package's."""
    found = {}
    for folder, home in HOMES.items():
        for path in sorted((ROOT / folder).rglob("*")):
            within = path.relative_to(ROOT / folder)
            hidden = any(part == "__pycache__" or part.startswith(".") for part in within.parts)
            record = folder == "reports" and within.parts[0] == "records"
            if path.is_file() and not hidden and not record and path.suffix != ".pyc":
                found[f"{home}/{within.as_posix()}"] = path
    return found


def run(site, code):
    """Run code where the wheel's content comes first on the path, away from the source tree."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=site,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_every_file_of_the_four_folders_is_in_the_wheel(members):
    """Modules, corpora, templates, notices and the py.typed marker are all there, byte for byte."""
    expected = sources()
    assert sorted(set(expected) - set(members)) == []
    assert [name for name, path in expected.items() if members[name] != path.read_bytes()] == []


def test_the_sources_are_found():
    """The comparison above has something to compare: code of every folder, and each kind of data."""
    expected = sources()
    for home in HOMES.values():
        assert f"{home}/__init__.py" in expected
    kinds = {Path(name).suffix for name in expected}
    assert {".py", ".typed", ".gz", ".NOTICE", ".j2", ".mplstyle"} <= kinds


def test_the_wheel_brings_nothing_else(members):
    """One import name, no tests: what a wheel puts at the top of site-packages belongs to everybody."""
    tops = {name.split("/", 1)[0] for name in members}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"lstm_odyssey"}
    ours = {name for name in members if name.startswith("lstm_odyssey/")}
    assert sorted(ours - set(sources())) == []


def test_licence_and_notice_travel_with_the_wheel(members):
    """LICENSE and NOTICE are in the metadata, and every embedded corpus has its own notice beside it."""
    info = next(name.split("/", 1)[0] for name in members if ".dist-info/" in name)
    for name in ("LICENSE", "NOTICE"):
        assert members[f"{info}/licenses/{name}"] == (ROOT / name).read_bytes()
    metadata = email.message_from_bytes(members[f"{info}/METADATA"])
    assert metadata["License-Expression"] == "MIT"
    corpora = [name for name in members if "/corpora/" in name and not name.endswith(".NOTICE")]
    assert corpora
    for corpus in corpora:
        assert f"{corpus.split('.', 1)[0]}.NOTICE" in members


def test_every_python_of_the_metadata_is_told_of():
    """The versions that the metadata names are those that pip admits, and docs/development.md says of each what was run."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    admits = SpecifierSet(project["requires-python"])
    assert named == [f"3.{minor}" for minor in range(30) if f"3.{minor}.0" in admits] and len(named) > 3
    section = (
        (ROOT / "docs/development.md").read_text(encoding="utf-8").split("## Versions of Python")[1].split("\n## ")[0]
    )
    rows = re.findall(r"^\| ([\d., ]+) \|", section, re.MULTILINE)
    assert [version for row in rows for version in row.split(", ")] == named


def test_entry_points_lead_to_something(members, site):
    """The command, the pytest plugin, every variant and every task of the wheel can be loaded from the wheel."""
    (text,) = (content for name, content in members.items() if name.endswith(".dist-info/entry_points.txt"))
    parser = configparser.ConfigParser()
    parser.optionxform = str
    parser.read_string(text.decode())
    groups = {group: dict(parser[group]) for group in parser.sections()}
    assert groups["console_scripts"] == {"odyssey": "lstm_odyssey.commands.cli:main"}
    assert groups["pytest11"] == {"lstm_odyssey": "lstm_odyssey.pytest_plugin"}
    assert len(groups["lstm_odyssey.variants"]) >= 9 and len(groups["lstm_odyssey.tasks"]) >= 2
    targets = [target for points in groups.values() for target in points.values()]
    done = run(
        site,
        "from importlib import import_module\n"
        f"for target in {targets!r}:\n"
        "    module, _, name = target.partition(':')\n"
        "    loaded = import_module(module)\n"
        f"    assert loaded.__file__.startswith({str(site)!r}), loaded.__file__\n"
        "    assert not name or getattr(loaded, name, None) is not None, target\n",
    )
    assert done.returncode == 0, done.stderr


def test_the_wheel_works_without_the_tree(site):
    """From the wheel alone: names are listed, a cell is traced, an embedded corpus and the page's template are read."""
    done = run(
        site,
        "import lstm_odyssey as lo\n"
        f"assert lo.__file__.startswith({str(site)!r}), lo.__file__\n"
        "for name in lo.variant_names():\n"
        "    assert lo.variant(name).equations\n"
        "for name in lo.task_names():\n"
        "    if lo.task(name).embedded:\n"
        "        print(len(lo.task(name).load().train))\n"
        "from importlib.resources import files\n"
        "assert list(files('lstm_odyssey.reports.page').joinpath('templates').iterdir())\n",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()


def test_the_case_for_pytest_runs_from_the_wheel(site, tmp_path):
    """--pyargs finds the cases of an installed wheel and calls them as an editable install does."""
    code = (
        "import lstm_odyssey, pytest, sys\n"
        f"assert lstm_odyssey.__file__.startswith({str(site)!r}), lstm_odyssey.__file__\n"
        "class Names:\n"
        "    def pytest_collection_modifyitems(self, items):\n"
        "        print('found', *(f'{item.module.__name__}:{item.name}' for item in items))\n"
        "        print('at', items[0].module.__file__)\n"
        "options = ['--pyargs', 'lstm_odyssey.cases', '--benchmark-disable', '--odyssey-variant=nog', '-q', '-s']\n"
        f"sys.exit(pytest.main([*options, '-p', 'no:cacheprovider', {f'--rootdir={tmp_path}'!r}], plugins=[Names()]))"
    )
    done = run(site, code)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "found lstm_odyssey.cases:test_train_step[bach-nog]" in done.stdout
    assert f"at {site}" in done.stdout
