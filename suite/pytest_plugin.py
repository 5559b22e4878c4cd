"""The pytest plugin: the fixtures ``odyssey_variant``, ``odyssey_task`` and ``odyssey_case`` for tests that ask for them.

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


@dataclass(frozen=True)
class Case:
    """One variant on one task, and the device it is to run on."""

    variant: str
    task: str
    device: str

    def name(self, metric: str) -> str:
        """What a benchmark of this case is called: ``task.variant.metric``."""
        return f"{self.task}.{self.variant}.{metric}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options, all of them ``--odyssey-...``."""
    group = parser.getgroup("odyssey", "lstm-odyssey: which variants, tasks and device its fixtures give")
    more: dict[str, Any] = {"action": "append", "metavar": "GLOB"}
    group.addoption("--odyssey-variant", help="variants whose name matches; may be repeated (all)", **more)
    group.addoption("--odyssey-task", help="tasks whose name matches; may be repeated (the embedded ones)", **more)
    group.addoption("--odyssey-device", default="cpu", metavar="DEVICE", help="cpu or cuda (cpu)")


def pytest_configure(config: pytest.Config) -> None:
    """A pattern that matches nothing is told at once, not where tests are collected."""
    for kind in ("task", "variant"):
        if patterns := config.getoption(f"--odyssey-{kind}"):
            chosen(kind, patterns)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for ``odyssey_variant`` or ``odyssey_task``, or for a case, runs once for each of them."""
    for kind in ("task", "variant"):
        if f"odyssey_{kind}" in metafunc.fixturenames:
            patterns = metafunc.config.getoption(f"--odyssey-{kind}")
            metafunc.parametrize(f"odyssey_{kind}", chosen(kind, patterns), scope="session")


def chosen(kind: str, patterns: Sequence[str] | None) -> list[str]:
    """Names of the registered variants or tasks that a pattern matches.

    Without patterns: all variants, and the tasks whose corpus is embedded (one whose package is broken is among them, so
    that it is seen to fail).

    Raises:
        pytest.UsageError: a pattern matches nothing.
    """
    from lstm_odyssey import registry

    known = registry.variant_names() if kind == "variant" else registry.task_names()
    for pattern in patterns or ():
        if not any(fnmatchcase(name, pattern) for name in known):
            raise pytest.UsageError(
                f"--odyssey-{kind}: {pattern!r} matches nothing; expected a name or a pattern of {', '.join(known)}."
            )
    if patterns:
        return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]
    return [name for name in known if kind == "variant" or _embedded(name)]


def _embedded(name: str) -> bool:
    from lstm_odyssey import registry

    try:
        return bool(registry.task(name).embedded)
    except registry.PluginError:
        return True


@pytest.fixture(scope="session")
def odyssey_case(request: pytest.FixtureRequest, odyssey_variant: str, odyssey_task: str) -> Case:
    """One variant on one task, on the device of ``--odyssey-device``."""
    return Case(odyssey_variant, odyssey_task, request.config.getoption("--odyssey-device"))
