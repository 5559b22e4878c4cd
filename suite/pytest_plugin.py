"""The pytest plugin: the fixtures ``odyssey_variant``, ``odyssey_task``, ``odyssey_case`` and ``odyssey_data``.

It is loaded wherever the package is installed, so it imports neither torch nor any variant or task until a test wants one
of its fixtures, and all it adds is named ``odyssey``.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence


DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class Profile:
    """How thorough the cases are.

    Args:
        hidden_size: N. epochs: of the training whose test error is told, at most (it stops early as the protocol says).
        seconds: that a throughput is measured for, at most.
    """

    hidden_size: int
    epochs: int
    seconds: float


PROFILES = {"smoke": Profile(64, 1, 1.0), "standard": Profile(64, 5, 3.0), "paper": Profile(100, 150, 20.0)}


@dataclass(frozen=True)
class Case:
    """One variant on one task, the device it is to run on, how thoroughly it is measured, and where the corpus lies."""

    variant: str
    task: str
    device: str
    profile: Profile = PROFILES["standard"]
    data: str | None = None

    def name(self, metric: str) -> str:
        """As asv calls a benchmark of this case: ``task.variant.metric``, on a GPU ``task.variant.metric_cuda``."""
        return f"{self.task}.{self.variant}.{metric}" + ("" if self.device == DEVICES[0] else f"_{self.device}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options, all of them ``--odyssey-...``."""
    group = parser.getgroup("odyssey", "lstm-odyssey: which variants, tasks and device its fixtures give")
    more: dict[str, Any] = {"action": "append", "metavar": "GLOB"}
    group.addoption("--odyssey-variant", help="variants whose name matches; may be repeated (all)", **more)
    group.addoption("--odyssey-task", help="tasks whose name matches; may be repeated (embedded ones)", **more)
    one: dict[str, Any] = {"default": "cpu", "choices": DEVICES}
    group.addoption("--odyssey-device", help="where cases run; without a GPU those for cuda are skipped (cpu)", **one)
    one = {"default": "standard", "choices": tuple(PROFILES)}
    more = {"action": "append", "metavar": "FILE", "default": []}
    group.addoption("--odyssey-plugin", help="a file whose variants and tasks are known too; its code is run", **more)
    more = {"action": "append", "metavar": "TASK=PATH", "default": []}
    group.addoption("--odyssey-data", help="where a task's corpus lies; may be repeated", **more)
    group.addoption("--odyssey-profile", help="how thoroughly cases are measured (standard)", **one)


def pytest_configure(config: pytest.Config) -> None:
    """A broken file and a pattern that matches nothing are told at once, not where tests are collected."""
    if files := config.getoption("--odyssey-plugin"):
        from lstm_odyssey.plugins.registry import PluginError, load_plugin

        try:
            for file in files:
                load_plugin(file)
        except PluginError as error:
            raise pytest.UsageError(f"--odyssey-plugin: {error}") from error
    for kind in ("task", "variant"):
        if patterns := config.getoption(f"--odyssey-{kind}"):
            chosen(kind, patterns)
    if given := config.getoption("--odyssey-data"):
        places(given)


def places(given: Sequence[str]) -> dict[str, str]:
    """Where tasks' corpora lie, from ``TASK=PATH``.

    Raises:
        pytest.UsageError: a value is not of this form, or there is no such task.
    """
    from lstm_odyssey.commands.options import places_of
    from lstm_odyssey.plugins import registry
    from lstm_odyssey.study.asked.settings import SettingsError

    try:
        return places_of(given, registry.task_names())
    except SettingsError as error:
        raise pytest.UsageError(f"--odyssey-{str(error).removeprefix('--')}") from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for ``odyssey_variant`` or ``odyssey_task``, or for a case, runs once for each of them."""
    for kind in ("task", "variant"):
        if f"odyssey_{kind}" in metafunc.fixturenames:
            patterns = metafunc.config.getoption(f"--odyssey-{kind}")
            metafunc.parametrize(f"odyssey_{kind}", chosen(kind, patterns), scope="session")


def chosen(kind: str, patterns: Sequence[str] | None) -> list[str]:
    """Names of the registered variants or tasks that a pattern matches.

    Without patterns: all variants, and the tasks whose corpus is embedded, of the paper's collection or of none (one whose
    package is broken is among them, so that it is seen to fail).

    Raises:
        pytest.UsageError: a pattern matches nothing.
    """
    from lstm_odyssey.plugins import registry
    from lstm_odyssey.tasks.nearest import nearest

    known = registry.variant_names() if kind == "variant" else registry.task_names()
    for pattern in patterns or ():
        if not any(fnmatchcase(name, pattern) for name in known):
            raise pytest.UsageError(
                f"--odyssey-{kind}: {pattern!r} matches nothing; expected a name or a pattern of {nearest(pattern, known)}."
            )
    if patterns:
        return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]
    return [name for name in known if kind == "variant" or _default(name)]


def _default(name: str) -> bool:
    from lstm_odyssey.plugins import registry
    from lstm_odyssey.study.asked.profiles import COLLECTION

    try:
        task = registry.task(name)
        return bool(task.embedded and task.collection in (None, COLLECTION))
    except registry.PluginError:
        return True


@pytest.fixture(scope="session")
def odyssey_data(request: pytest.FixtureRequest) -> dict[str, str]:
    """Where the corpora of ``--odyssey-data TASK=PATH`` lie, by task: ``check(task, path=odyssey_data.get(task))``."""
    return places(request.config.getoption("--odyssey-data"))


@pytest.fixture(scope="session")
def odyssey_case(
    request: pytest.FixtureRequest, odyssey_variant: str, odyssey_task: str, odyssey_data: dict[str, str]
) -> Case:
    """One variant on one task, on the device of ``--odyssey-device``; a test for a GPU that is not there is skipped."""
    device = request.config.getoption("--odyssey-device")
    _skip_without(device)
    profile = PROFILES[request.config.getoption("--odyssey-profile")]
    return Case(odyssey_variant, odyssey_task, device, profile, odyssey_data.get(odyssey_task))


def _skip_without(device: str) -> None:
    """Skip the test, with the reason, where there is no such device, or torch cannot use it."""
    if device == "cuda":
        from lstm_odyssey.bench.cuda_probe import unusable

        if reason := unusable():
            pytest.skip(reason)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """Beside what pytest-benchmark says of the machine the GPU, where ``--odyssey-device cuda`` asks for one.

    Told by the options alone: pytest-benchmark asks before the tests, to compare, and after them, to save.
    """
    if config.getoption("--odyssey-device") == "cuda":
        import torch

        machine_info["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
