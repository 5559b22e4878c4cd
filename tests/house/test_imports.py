"""What is imported when: the package costs nothing until a part of it is used, and reading results needs no torch."""

import re
import subprocess
import sys

import pytest

import lstm_odyssey as lo
from lstm_odyssey import tasks
from tests.conftest import ROOT

RECORD = ROOT / "reports" / "records" / "jsb-chorales-paper.nc"

HEAVY = ("torch", "xarray", "numpy", "pandas", "scipy", "matplotlib", "distributed", "typer")
FACE = 40
"""Modules beside Python's own start that ``import lstm_odyssey`` may bring; numpy alone brings more."""


def loaded_after(code: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after ``code``, less those it starts with."""
    script = (
        "import sys\nbefore = set(sys.modules)\n"
        f"{code}\n"
        "print('modules:', *(name for name in sys.modules if name not in before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("modules:")[2].split())


def test_the_guard_sees_what_is_loaded():
    """A module that is imported is reported; otherwise every test below would pass by itself."""
    assert "json" in loaded_after("import json")
    assert "numpy" in loaded_after("import lstm_odyssey.tasks.declare")


def test_importing_the_package_loads_nothing_heavy():
    """``import lstm_odyssey`` brings no torch, xarray or numpy, and hardly anything else."""
    loaded = loaded_after("import lstm_odyssey")
    assert "lstm_odyssey" in loaded
    assert not loaded.intersection(HEAVY)
    assert len(loaded) <= FACE


REPORTS = ("contract.schema", "stats.table", "stats.compare", "plots.scores", "fanova.api", "paper", "page")
NEITHER = ("torch", "numba", "distributed")


def test_reports_need_no_torch():
    """Stored results are read, judged and drawn without torch, numba or dask; which module brings one is said.

    All are imported by one interpreter, in the order of their rooms: what none of them has brought, each alone brings neither.
    """
    after = "\n".join(
        f"import lstm_odyssey.reports.{module}\n"
        f"assert not {set(NEITHER)!r} & {{*sys.modules}}, 'after lstm_odyssey.reports.{module}'"
        for module in REPORTS
    )
    loaded = loaded_after(after)
    assert {f"lstm_odyssey.reports.{module}" for module in REPORTS} <= loaded
    assert not loaded.intersection(NEITHER)


def test_the_accessor_comes_with_reports():
    """``study.odyssey`` is there once reports are imported, and on what ``lo.open_study`` gives."""
    asked = "import xarray\nassert not hasattr(xarray.Dataset, 'odyssey')\n"
    loaded = loaded_after(f"{asked}import lstm_odyssey.reports\nassert xarray.Dataset().odyssey is not None")
    assert not loaded.intersection(("torch", "sklearn", "scipy", "matplotlib"))
    loaded = loaded_after(
        f"{asked}import lstm_odyssey as lo\nassert not hasattr(xarray.Dataset, 'odyssey')\n"
        f"assert len(lo.open_study({str(RECORD)!r}).odyssey.table()) == 9"
    )
    assert "lstm_odyssey.reports.accessor" in loaded


@pytest.mark.parametrize(
    "code",
    [
        f"lo.open_study({str(RECORD)!r})",
        "import lstm_odyssey.study",
        "import lstm_odyssey.commands.report",
    ],
    ids=["open_study", "study", "report"],
)
def test_what_trains_nothing_needs_no_torch(code):
    """A study is opened and reported without torch and numba, which take longer to import than it takes to read."""
    assert not loaded_after(f"import lstm_odyssey as lo\n{code}").intersection(("torch", "numba", "distributed"))


@pytest.mark.parametrize(("listing", "folder"), [("variant_names", "variants"), ("task_names", "tasks")])
def test_listing_names_imports_no_plugin(listing, folder):
    """Names come from entry points: no variant's and no task's module is imported to list them."""
    loaded = loaded_after(f"import lstm_odyssey as lo\nassert lo.{listing}()")
    plugins = {f"lstm_odyssey.{folder}.{name}" for name in getattr(lo, listing)()}
    assert plugins and not loaded & plugins


@pytest.mark.parametrize(
    ("word", "without"),
    [
        ("--help", {"torch", "xarray", "numpy", "distributed", "matplotlib"}),
        ("--version", {"torch", "xarray", "numpy", "distributed", "matplotlib"}),
        ("tasks", {"torch", "distributed", "matplotlib"}),
    ],
)
def test_what_computes_nothing_needs_no_torch(word, without):
    """Help, version and the list of tasks answer without loading torch or anything of a study."""
    loaded = loaded_after(
        "from lstm_odyssey.commands import cli\n"
        f"sys.argv = ['odyssey', {word!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    assert end.code in (0, None)"
    )
    assert "typer" in loaded and not loaded & without


@pytest.mark.parametrize(("face", "name"), [(face, name) for face in (lo, tasks) for name in face.__all__])
def test_every_public_name_resolves(face, name):
    """Each name of a face exists, is listed by dir(), and is what its home module calls by that name."""
    assert getattr(face, name) is not None
    assert name in dir(face)


@pytest.mark.parametrize("face", [lo, tasks])
def test_an_unknown_name_is_an_attribute_error(face):
    """A lazy face refuses what it does not have, as any module does."""
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = face.nothing


def test_a_task_of_ones_own_needs_one_name():
    """What the docs and the template of a new task import of tasks is on the face, and no other module is told of."""
    texts = [ROOT / "docs" / "plugins.md", *(ROOT / "suite/plugins/templates/task").iterdir()]
    told = {
        name
        for path in texts
        for name in re.findall(r"lstm_odyssey\.tasks\S* import .*", path.read_text(encoding="utf-8"))
    }
    asked = {name for line in told for name in line.partition(" import ")[2].split(", ")}
    assert {line.split()[0] for line in told} == {"lstm_odyssey.tasks"}
    assert {"locate", "read", "missing", "recording", "PAPER_SPACE", "Task"} <= asked <= set(tasks.__all__)


def test_the_kit_is_found_under_its_public_name():
    """``lstm_odyssey.testing`` has all that the kit has: what it lists, each single promise, and no more."""
    from lstm_odyssey import testing
    from lstm_odyssey.conformance import kit

    assert all(getattr(testing, name) is getattr(kit, name) for name in (*kit.__all__, "check_oracle", "STEPS"))
    with pytest.raises(AttributeError, match="nothing"):
        _ = testing.nothing
