"""The house's order, read from the sources: who imports whom, who names whom, how long a module may be."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = "lstm_odyssey"
FOLDERS = ("suite", "tasks", "variants", "reports")
ROOMS = {
    "suite": (
        "commands", "benchmarks", "conformance", "bench", "study", "training", "layers", "backends", "plugins", "cell",
    ),
    "reports": ("page", "paper", "plots", "fanova", "stats", "contract"),
}  # fmt: skip
"""The folders of a folder, each of which may import from those after it and from no other."""
BESIDE = ""
INNER = {
    "suite/commands": ("cli", "check", "bench", BESIDE, "terminal"),
    "suite/conformance": ("foreign", BESIDE),
    "suite/bench": ("gpu", "timed", BESIDE),
    "suite/bench/gpu": ("__main__", "prediction", "parts", BESIDE),
    "suite/study": (BESIDE, "workers", "block", "stored", "asked"),
    "suite/training": ("loop", "members", BESIDE),
    "suite/backends/cuda": (BESIDE, "source", "classes", "running"),
    "suite/backends/numba": (BESIDE, "source", "vectors"),
    "tasks": ("bach", "jsb_chorales", "handwriting", "memory", "speech", "files", "objectives", BESIDE),
}
"""Rooms within a room, in the same order; ``BESIDE`` stands for the modules that lie beside them and are not named."""
DOORS = {
    "suite": {"__init__", "testing", "cases", "pytest_plugin", "layer", "parameters"},
    "reports": {"__init__", "accessor", "citation"},
}
"""Modules that lie in no room: the stable names, two of them for layers that earlier versions pickled. No room imports them,
but for the package itself, ``import lstm_odyssey as lo``."""
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


def dotted(place: str) -> str:
    """The import name of a module at a path from the top."""
    parts = place.removesuffix(".py").removesuffix("/__init__").split("/")
    return ".".join([PACKAGE, *(parts[1:] if parts[0] == "suite" else parts)]).removesuffix(".__init__")


MODULES = {dotted(place): place for place in names(modules(*FOLDERS))}


def targets(place: str, source: str) -> Iterator[tuple[int, str]]:
    """The modules of this repository that a module imports; what is imported from one counts as that one."""
    for line, name in imported(source):
        if name.split(".")[0] == PACKAGE:
            found = name if name in MODULES else name.rpartition(".")[0]
            if found in MODULES and found != dotted(place):
                yield line, found


def room(place: str) -> tuple[str, str]:
    """The folder at the top, and the one in it that a module lies in; of a module that lies in none its own name."""
    top, *inner = place.split("/")
    return top, inner[0].removesuffix(".py")


def against_the_order(place: str, source: str) -> list[str]:
    """Imports of a module in a room from a room before its own, or from a module that lies in none."""
    top, own = room(place)
    rooms = ROOMS.get(top, ())
    found = []
    if own in rooms:
        for line, name in targets(place, source):
            there_top, there = room(MODULES[name])
            wrong = there_top == top and name != PACKAGE
            if wrong and (there not in rooms or rooms.index(there) < rooms.index(own)):
                found.append(f"{place}:{line} imports {name}")
    return found


def against_the_inner_order(place: str, source: str) -> list[str]:
    """The same within a room: a module imports from its own inner room and from those after it."""
    found = []
    for folder, rooms in INNER.items():
        if not place.startswith(f"{folder}/"):
            continue
        own = inner_room(place, folder)
        for line, name in targets(place, source):
            there = MODULES[name]
            near = there.startswith(f"{folder}/") and there != f"{folder}/__init__.py"
            if near and rooms.index(inner_room(there, folder)) < rooms.index(own):
                found.append(f"{place}:{line} imports {name}")
    return found


def inner_room(place: str, folder: str) -> str:
    """Which of a folder's inner rooms, or of its modules that are named, a module is in; ``BESIDE`` if in none."""
    first = place.removeprefix(f"{folder}/").split("/")[0].removesuffix(".py")
    return first if first in INNER[folder] else BESIDE


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or by way of others."""
    graph = {name: there - {PACKAGE, name} for name, there in imports.items()}
    reach = {name: set(there) for name, there in graph.items()}
    changed = True
    while changed:
        changed = False
        for there in reach.values():
            more = set().union(*(reach.get(each, set()) for each in there)) - there
            there |= more
            changed = changed or bool(more)
    loops = {name for name, there in reach.items() if name in there}
    return sorted(
        {tuple(sorted(other for other in loops if other in reach[name] and name in reach[other])) for name in loops}
    )


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


@pytest.mark.parametrize("place", names(modules(*ROOMS)))
def test_every_module_has_a_room(place):
    """Each module of suite/ and reports/ lies in one of the listed folders, or is one of the few stable names."""
    top, own = room(place)
    assert own in ROOMS[top] or own in DOORS[top]


@pytest.mark.parametrize("place", names(modules(*ROOMS)))
def test_arrows_run_one_way(place):
    """A room imports from the rooms after it only, wherever in the module, for types as well."""
    source = (ROOT / place).read_text(encoding="utf-8")
    assert against_the_order(place, source) == [] and against_the_inner_order(place, source) == []


def test_inner_rooms_are_there_and_their_arrows_are_held():
    """Each inner room has modules, and no folder lies beside them; an import upwards is seen, one downwards is let through."""
    for folder, rooms in INNER.items():
        for own in set(rooms) - {BESIDE}:
            assert (ROOT / folder / f"{own}.py").is_file() or len(list((ROOT / folder / own).glob("*.py"))) > 3, own
        assert {path.parent.name for path in (ROOT / folder).glob("*/__init__.py")} <= set(rooms)
    for place, source in (
        ("suite/study/asked/settings.py", "import lstm_odyssey.study.stored.store"),
        ("suite/study/asked/settings.py", "from lstm_odyssey.study.block import Block"),
        ("suite/study/block.py", "from lstm_odyssey.study.workers import beginning"),
        ("suite/study/workers/engine.py", "from lstm_odyssey.study.plan import Plan"),
        ("suite/training/members/lockstep.py", "from lstm_odyssey.training.loop import train"),
        ("suite/training/protocol.py", "from lstm_odyssey.training.members import views"),
        ("suite/bench/region.py", "import lstm_odyssey.bench.timed.cell"),
        ("suite/bench/timed/cell.py", "from lstm_odyssey.bench.gpu.record import Row"),
        ("suite/bench/gpu/parts/cells.py", "from lstm_odyssey.bench.gpu.prediction import predicted"),
        ("suite/conformance/answers.py", "from lstm_odyssey.conformance.foreign.cases import Case"),
        ("suite/backends/cuda/running/loops.py", "from lstm_odyssey.backends.cuda.kernels import Kernel"),
        ("suite/backends/cuda/running/kept.py", "from lstm_odyssey.backends.cuda.classes import WIDTHS"),
        ("tasks/declare.py", "from lstm_odyssey.tasks.files.transfer import fetch"),
        ("tasks/files/cache.py", "from lstm_odyssey.tasks.speech import audio"),
    ):
        assert len(against_the_inner_order(place, source)) == 1, source
    for place, source in (
        ("suite/study/stored/store.py", "from lstm_odyssey.study.asked import points"),
        ("suite/study/workers/work.py", "from lstm_odyssey.study.block import Block"),
        ("suite/bench/gpu/parts/cells.py", "from lstm_odyssey.bench.loop import Loop"),
        ("suite/training/members/lockstep.py", "from lstm_odyssey.training.network import Network"),
        ("suite/backends/cuda/emulation.py", "from lstm_odyssey.backends.cuda.running import kept"),
        ("tasks/speech/timit.py", "from lstm_odyssey.tasks.files import cache, locate"),
    ):
        assert against_the_inner_order(place, source) == [], source


def test_no_modules_import_each_other():
    """There is no circle of modules, those included that are only imported for types or inside a function."""
    imports = {name: {there for _, there in targets(place, (ROOT / place).read_text(encoding="utf-8"))}
               for name, place in MODULES.items()}  # fmt: skip
    assert len(imports) > 200 and sum(map(len, imports.values())) > 500
    assert circles(imports) == []


def test_circles_and_wrong_arrows_are_seen():
    """The checkers find a circle of three beside what only leads to it, and an import that goes up or to a stable name."""
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == [("a", "b", "c")]
    for source in (
        "from lstm_odyssey.study import store",
        "def f():\n    from lstm_odyssey.bench.region import measure",
        "if TYPE_CHECKING:\n    from lstm_odyssey.layers.rnn import RNN",
        "from lstm_odyssey.testing import check_variant",
    ):
        assert len(against_the_order("suite/backends/x.py", source)) == 1, source
    for source in (
        "from lstm_odyssey.cell import graph",
        "import lstm_odyssey as lo",
        "from lstm_odyssey import tasks",
    ):
        assert against_the_order("suite/backends/x.py", source) == [], source
    assert against_the_order("reports/stats/x.py", "from lstm_odyssey.reports.page import words")
    assert against_the_order("reports/page/x.py", "from lstm_odyssey.reports.stats import table") == []


@pytest.mark.parametrize("place", names(modules("suite")))
def test_the_harness_names_no_plugin(place):
    """Code in suite/ names no variant and no task: it goes by what they declare; only asv's default list may name some."""
    if place != "suite/benchmarks/steps.py":
        assert named_plugins(place, (ROOT / place).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("place", names(modules(*FOLDERS)))
def test_modules_are_short(place):
    """No module has more than 300 lines (the house aims at 250), no variant more than 60."""
    lines = len((ROOT / place).read_text(encoding="utf-8").splitlines())
    assert lines <= (LONGEST_VARIANT if dotted(place) in VARIANTS.values() else LONGEST_MODULE)


@pytest.mark.parametrize("place", names(sorted((ROOT / "tests").rglob("test_*.py"))))
def test_every_test_says_what_it_shows(place):
    """Each test has one sentence as its docstring."""
    assert undocumented_tests(place, (ROOT / place).read_text(encoding="utf-8")) == []


def test_the_checks_have_something_to_read():
    """The four folders, the plugins and the tests are found; otherwise all of the above would hold of nothing."""
    assert len(VARIANTS) >= 9 and len(TASKS) >= 2
    assert all(len(modules(folder)) >= least for folder, least in zip(FOLDERS, (25, 10, 11, 5), strict=True))
    assert {f"{PACKAGE}.variants.{path.stem}" for path in modules("variants")} >= set(VARIANTS.values())
    assert len(list((ROOT / "tests").rglob("test_*.py"))) >= 10
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
