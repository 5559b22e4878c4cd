"""Every public name called with arguments of a wrong kind: one sentence of our own, never what Python happened to trip on."""

from __future__ import annotations

import inspect
import traceback
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.plugins import registry
from lstm_odyssey.reports.contract import kinds as of_reports
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.tasks import kinds as of_tasks
from tests import made_studies as made

PAIRS = [(numpy.zeros((3, 2), numpy.float32), numpy.zeros((3, 2), numpy.float32))]
NOWHERE = "there/is/no/such/place"


def step(x, y, *, W, R, b):
    """y_t = W_h x_t + R_h y_{t-1} + b_h."""
    y_t = W.h @ x + R.h @ y + b.h
    return y_t


@cache
def study() -> Any:
    return schema.build(*made.whole(made.study(variants=("vanilla", "gated"), trials=12)))


RIGHT: dict[str, Any] = {
    "Cell": lambda: {"variant": lo.Variant(step)},
    "Corpus": lambda: {"train": PAIRS, "valid": PAIRS, "test": PAIRS},
    "Limit": lambda: {"of": "vanilla", "parameters": {"b.i": 1.0}},
    "RNN": lambda: {"cell": "vanilla", "input_size": 3, "hidden_size": 2},
    "Settings": dict,
    "Task": lambda: {
        "load": len,
        "objective": "frames",
        "family": "music",
        "space": lo.task("bach").space,
        "licence": "x",
    },
    "Variant": lambda: {"step": step},
    "as_cell": lambda: {"cell": "vanilla"},
    "check_layer": lambda: {"layer": torch.nn.LSTM(2, 3), "shapes": ((2, 1),)},
    "check_task": lambda: {"task": "parity"},
    "check_variant": lambda: {"cell": "no such cell"},
    "citation": lambda: {"dataset": study()},
    "compare": lambda: {"study": study(), "replicates": 9},
    "fanova": lambda: {"study": study(), "fewest": 9999},
    "from_torch": lambda: {"module": torch.nn.LSTM(2, 3)},
    "load_network": lambda: {"study": NOWHERE},
    "load_plugin": lambda: {"path": NOWHERE},
    "open_study": lambda: {"path": NOWHERE},
    "oracle": lambda: {"cell": "vanilla", "x": torch.zeros(2, 1, 3), "state": {}, "parameters": {}},
    "run": lambda: {"path": NOWHERE, "settings": lo.Settings(trials=0)},
    "task": lambda: {"name": "parity"},
    "throughput": lambda: {"variant": "no such cell", "task": "parity"},
    "variant": lambda: {"name": "vanilla"},
}
"""What a call of each name begins with; of it one argument after the other is replaced."""

WITHOUT = {"__version__", "TraceError", "free_memory", "task_names", "variant_names"}
"""Names that take nothing, and the class of an error."""

RUNS = ("settings", "engine", "on_start", "on_block", "resume_from", "on_refresh", "say")
"""Arguments of ``lo.run`` whose wrong values are seen when a study has begun, or never."""

WRONG = [
    None, 3, -1, 2.5, True, "zzz", "", b"x", [1], [], {}, {"a": 1}, (1, 2, 3), object(), numpy.zeros(3), torch.zeros(2),
    float("nan"), lambda: 3,
]  # fmt: skip

HOME = Path(lo.__file__).resolve().parents[1]


def ours(error: BaseException) -> bool:
    """Whether a line of the package raised it on purpose, with what was got or expected."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    inside = HOME in Path(place.filename).resolve().parents and "site-packages" not in place.filename
    return (
        inside
        and "raise" in (place.line or "")
        and any(word in str(error) for word in ("expected", "Pass", "Give", "got", "Write", "Leave"))
    )


def complaints(name: str, parameter: str) -> list[str]:
    """What is raised in other words, by the argument."""
    found = []
    for wrong in WRONG:
        if parameter in ("call", "mapping", "cell", "progress", "path", "backends", "variant") and callable(wrong):
            continue  # a function is right there, and what it raises is its author's
        try:
            getattr(lo, name)(**{**RIGHT[name](), parameter: wrong})
        except Exception as error:  # noqa: BLE001 - whatever Python trips on
            if not ours(error):
                found.append(f"{name}({parameter}={wrong!r:.30}): {type(error).__name__}: {error}")
    return found


def test_every_public_name_is_here() -> None:
    """A new name of the package is called with wrong arguments too."""
    assert set(RIGHT) | WITHOUT == set(lo.__all__)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """No file that could not be loaded is told of in other tests."""
    yield
    registry.forget_plugins()


@pytest.mark.parametrize("name", RIGHT)
def test_wrong_kinds_are_answered_in_our_words(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands in place of an argument: the call works, or one sentence says what was got and what is expected."""
    monkeypatch.chdir(tmp_path)
    slow = {
        "fanova": ("trees", "points", "replicates", "clip", "cache"),
        "compare": ("replicates",),
        "run": RUNS,
    }
    names = [
        one.name for one in inspect.signature(getattr(lo, name)).parameters.values() if one.kind != one.VAR_POSITIONAL
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [each for one in names if one not in slow.get(name, ()) for each in complaints(name, one)] == []


def test_raw_lists_are_no_corpus() -> None:
    """The first thing that somebody tries says which split is wrong, and how a right one looks."""
    with pytest.raises(ValueError, match=r"corpus: train\[0\] is 1; expected a pair"):
        lo.Corpus([1], [2], [3])  # type: ignore[arg-type]  # wrong on purpose


def test_a_trained_failure_is_told_from_ours() -> None:
    """The check above can fail: what Python raises by itself is not ours."""
    with pytest.raises(TypeError) as raised:
        len(3)  # type: ignore[arg-type]  # wrong on purpose
    assert not ours(raised.value)


def test_both_modules_of_kinds_are_one() -> None:
    """``tasks`` and ``reports`` import nothing of each other: what they say of wrong kinds is the same text."""
    texts = [inspect.getsource(module).partition("from __future__")[2] for module in (of_tasks, of_reports)]
    assert texts[0] == texts[1] != ""
