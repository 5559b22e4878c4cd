"""The tests under every Python that ``pyproject.toml`` names: ``nox``, or ``nox -s tests-3.13 -- tests/cell`` of a part.

A Python that this machine does not have is named as skipped. ``TORCH_INDEX`` is an index of smaller builds of torch, as
for ``make``.
"""

import os
from pathlib import Path

import nox

PYTHONS = nox.project.python_versions(nox.project.load_toml("pyproject.toml"))
nox.options.sessions = ["tests"]
nox.options.error_on_missing_interpreters = False


def _install(session: nox.Session, what: str) -> None:
    index = os.environ.get("TORCH_INDEX")
    more = ("--extra-index-url", index) if index else ()
    session.install("--constraint", "constraints.txt", *more, "--editable", what)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """What ``make test`` runs."""
    _install(session, ".[test]")
    session.run("python", "-m", "pytest", "--numprocesses", "auto", "--dist", "worksteal", "-rs", *session.posargs)


@nox.session(python=PYTHONS)
def kit(session: nox.Session) -> None:
    """The package alone, without what its tests need: the kit on one cell, and one small study with its page."""
    _install(session, ".")
    store = Path(session.create_tmp(), "store")
    session.run("odyssey", "check", "vanilla")
    session.run(
        "odyssey", "run", "--variants", "vanilla", "--tasks", "bach", "--profile", "smoke", "--store", str(store)
    )


@nox.session(python=PYTHONS)
def cells(session: nox.Session) -> None:
    """The cells as each Python reads them, one line each that is the same but for the version; nothing is installed."""
    session.run("python", "-m", "tests.tools.pythons")
