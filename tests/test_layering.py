"""The house's order, read from the sources: who imports whom, who names whom, how long a module may be."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "lstm_odyssey"
FOLDERS = ("suite", "tasks", "variants", "reports")
LONGEST_MODULE = 300
LONGEST_VARIANT = 60
COMPUTE = {"torch", "torchaudio", "torchvision", "triton", "numba"}


def entry_points(kind: str) -> dict[str, str]:
    """Names registered by this repository, and the modules they lead to."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    points = project["entry-points"][f"{PACKAGE}.{kind}"]
    return {name: target.partition(":")[0] for name, target in points.items()}


VARIANTS, TASKS = entry_points("variants"), entry_points("tasks")
PLUGIN_MODULES = set(VARIANTS.values()) | set(TASKS.values())


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def names(paths: Iterable[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def imported(source: str) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything imported, wherever in the module; a relative import has a leading dot."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def home(name: str) -> str:
    """Where an imported name lives: a folder of this repository, or the top-level package of somebody else's."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return parts[0] or "a relative import"
    return parts[1] if len(parts) > 1 and parts[1] in FOLDERS[1:] else "suite"


def allowed(place: str, there: str) -> bool:
    """Whether the module at ``place``, a path from the top, may import from ``there``."""
    folder = place.split("/", 1)[0]
    if there == "a relative import":
        return False
    if folder == "variants":
        return there == "variants" or there in sys.stdlib_module_names
    if folder == "tasks":
        return there not in ("suite", "variants", "reports") and (
            there not in COMPUTE or place.startswith("tasks/objectives/")
        )
    if folder == "reports":
        return there not in ("suite", "tasks", "variants", *COMPUTE)
    return True


def forbidden_imports(place: str, source: str) -> list[str]:
    return [
        f"{place}:{line} imports {name} of {home(name)}"
        for line, name in imported(source)
        if not allowed(place, home(name))
    ]


def named_plugins(place: str, source: str) -> list[str]:
    """Variants and tasks that a module names: in a string that is no docstring, or by importing their file."""
    tree = ast.parse(source)
    known = set(VARIANTS) | set(TASKS)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = [
        f"{place}:{line} imports {name}"
        for line, name in imported(source)
        if any(name == module or name.startswith(f"{module}.") for module in PLUGIN_MODULES)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            words = set(re.findall(r"\w+", node.value)) & known
            found += [f"{place}:{node.lineno} names {word}" for word in sorted(words)]
    return found


def undocumented_tests(place: str, source: str) -> list[str]:
    return [
        f"{place}:{node.lineno} {node.name}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test")
        and not ast.get_docstring(node)
    ]


@pytest.mark.parametrize("place", names(modules("variants", "tasks", "reports", "suite")))
def test_nothing_imports_upward(place):
    """Variants know only variants; tasks and reports know no model and no harness; imports are absolute."""
    assert forbidden_imports(place, (ROOT / place).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("place", names(modules("suite")))
def test_the_harness_names_no_plugin(place):
    """Code in suite/ names no variant and no task: it goes by what they declare; only asv's default list may name some."""
    if place != "suite/benchmarks/steps.py":
        assert named_plugins(place, (ROOT / place).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("place", names(modules(*FOLDERS)))
def test_modules_are_short(place):
    """No module has more than 300 lines (the house aims at 250), no variant more than 60."""
    lines = len((ROOT / place).read_text(encoding="utf-8").splitlines())
    dotted = f"{PACKAGE}.{place.removesuffix('.py').replace('/', '.')}"
    assert lines <= (LONGEST_VARIANT if dotted in VARIANTS.values() else LONGEST_MODULE)


@pytest.mark.parametrize("place", names(sorted((ROOT / "tests").glob("test_*.py"))))
def test_every_test_says_what_it_shows(place):
    """Each test has one sentence as its docstring."""
    assert undocumented_tests(place, (ROOT / place).read_text(encoding="utf-8")) == []


def test_the_checks_have_something_to_read():
    """The four folders, the plugins and the tests are found; otherwise all of the above would hold of nothing."""
    assert len(VARIANTS) >= 9 and len(TASKS) >= 2
    assert all(len(modules(folder)) >= least for folder, least in zip(FOLDERS, (25, 10, 11, 5), strict=True))
    assert {f"{PACKAGE}.variants.{path.stem}" for path in modules("variants")} >= set(VARIANTS.values())
    assert len(list((ROOT / "tests").glob("test_*.py"))) >= 10
    source = (ROOT / "suite/benchmarks/steps.py").read_text(encoding="utf-8")
    assert named_plugins("suite/benchmarks/steps.py", source)


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("variants/x.py", "import torch"),
        ("variants/x.py", "import numpy as np"),
        ("variants/x.py", "from lstm_odyssey.suite import layer"),
        ("variants/x.py", "import lstm_odyssey as lo"),
        ("variants/x.py", "from . import ops"),
        ("variants/x.py", "def f():\n    from lstm_odyssey.tasks import declare"),
        ("variants/x.py", "if TYPE_CHECKING:\n    from lstm_odyssey import tasks"),
        ("tasks/x.py", "import torch.nn"),
        ("tasks/x.py", "from lstm_odyssey.plugins.registry import task"),
        ("tasks/objectives/x.py", "from lstm_odyssey.variants import declare"),
        ("reports/x.py", "from torch import Tensor"),
        ("reports/x.py", "import lstm_odyssey.tasks.declare"),
        ("reports/x.py", "from lstm_odyssey import open_study"),
        ("suite/x.py", "from .cell import trace"),
    ],
)
def test_a_wrong_import_is_seen(place, source):
    """The checker sees imports at any depth, in both spellings, whole packages and parts of them."""
    assert len(forbidden_imports(place, source)) == 1


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("variants/x.py", "from dataclasses import dataclass\nfrom lstm_odyssey.variants.ops import tanh"),
        ("tasks/x.py", "import numpy\nfrom lstm_odyssey.tasks.declare import Task"),
        ("tasks/objectives/x.py", "import torch\nfrom lstm_odyssey.tasks.declare import Corpus"),
        ("reports/x.py", "import xarray\nfrom lstm_odyssey.reports import table"),
        ("suite/x.py", "import torch\nfrom lstm_odyssey import tasks, variants, reports"),
    ],
)
def test_a_right_import_is_let_through(place, source):
    """What each folder may import passes, so that the checker does not merely refuse."""
    assert forbidden_imports(place, source) == []


def test_a_named_plugin_is_seen():
    """A name counts in any string but a docstring, whole, in a list or in a message, and so does its module."""
    for source in (
        'cell = lo.variant("cifg")',
        'default = "vanilla,cifg".split(",")',
        'text = f"--data jsb_chorales={path}"',
        "from lstm_odyssey.variants.fgr import variant",
        "from lstm_odyssey.variants import fgr",
        "import lstm_odyssey.tasks.bach",
        'import_module("lstm_odyssey.variants.nog")',
    ):
        assert named_plugins("suite/x.py", source), source
    for source in (
        '"""Example:\n    >>> lo.variant("cifg")\n"""',
        'def f():\n    """>>> lo.task("bach")"""',
        "from lstm_odyssey.variants import declare, ops",
        'group = "lstm_odyssey.variants"',
    ):
        assert named_plugins("suite/x.py", source) == [], source


def test_a_test_without_docstring_is_seen():
    """The checker looks at functions and at methods, and takes helpers as they are."""
    source = (
        "def test_a(): ...\nclass TestB:\n    def test_b(self): ...\ndef helper(): ...\ndef test_c():\n    'Says so.'\n"
    )
    assert len(undocumented_tests("tests/x.py", source)) == 2
