"""The conformance kit: what every cell promises on every backend, each promise a function that raises if it is broken.

For plugin authors as for ourselves; no promise knows a variant by name. Steps are those of the equality ladder::

    from lstm_odyssey.testing import check_variant, parametrize_with_checks

    check_variant(my_step)                      # raises AssertionError on the first broken promise

    @parametrize_with_checks(["my_cell"])       # one test for each promise and backend
    def test_my_cell(cell, check):
        check(cell)

The promises of tasks stand in ``conformance.tasks``: ``check_task``, ``parametrize_with_checks(tasks=["my_task"])``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

import lstm_odyssey as lo
from lstm_odyssey.backends import BACKENDS, Backend, always
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.cell.text import apart
from lstm_odyssey.conformance import ladder_limits, ladder_structure
from lstm_odyssey.conformance.answers import About, ChaoticDrawError, ask, ask_oracle, compare, make, require
from lstm_odyssey.conformance.draws import FIXED, SIZES, Draw, visits
from lstm_odyssey.conformance.ladder_constants import check_constants
from lstm_odyssey.conformance.ladder_exactness import check_adjoint
from lstm_odyssey.conformance.ladder_precision import check_nonlinearities, check_single_precision
from lstm_odyssey.conformance.placed import Placed, placed, record_of, shown
from lstm_odyssey.conformance.tasks import TASK_CHECKS, check_task, task_checks
from lstm_odyssey.plugins.registry import as_task
from lstm_odyssey.tasks.nearest import nearest

__all__ = [
    "CHECKS", "TASK_CHECKS", "Draw", "check_task", "check_variant", "checks", "draws", "parametrize_with_checks",
    "task_checks",
]  # fmt: skip

LONG = (Draw(50, 2, 3, 33), Draw(300, 1, 3, 17, seed=1))
Draws = Sequence[Draw]


def check_declaration(cell: Any, backend: Any = "eager", draws: Draws = ()) -> None:
    """What is declared beside the text speaks of states and parameters that are in it."""
    cell, about = lo.as_cell(cell), f"{lo.as_cell(cell).name}, what is declared beside the text"
    for state, (low, high) in cell.domains.items():
        require(state in cell.states, f"{about}: domains has '{state}'; the states are {cell.states}")
        require(low < high, f"{about}: the domain of '{state}' is ({low}, {high}); expected the lesser bound first")
    for state in cell.initial:
        require(state in cell.states, f"{about}: initial has '{state}'; the states are {cell.states}")
    kinked = sorted({node.op for node in cell.graph.nodes if node.op in OPS and OPS[node.op].kinked})
    for op in cell.ties:
        require(op in kinked, f"{about}: ties has '{op}'; the ops with a kink in its text are {kinked}")
    for limit in cell.limits:
        for state in limit.states or ():
            require(state in cell.states, f"{about}: a limit of {limit.of} has '{state}'; the states are {cell.states}")


def check_equations(cell: Any, backend: Any = "eager", draws: Draws = ()) -> None:
    """Step 2: the equations read off the text are those of its docstring, character by character."""
    cell = lo.as_cell(cell)
    lines = (line.strip().split("  ")[0] for line in (cell.step.__doc__ or "").splitlines())
    block = [line for line in lines if line.partition(" = ")[0].rstrip().endswith("_t") and " = " in line]
    rendered = "\n    ".join(cell.equations)
    require(
        bool(block),
        f"{cell.name}: the docstring of the step has no equations; expected\n    {rendered}\nPaste it in.",
    )
    require(
        block == list(cell.equations),
        f"{cell.name}: the docstring and the text say different things. The docstring of the step says\n    "
        + ("\n    ".join(block) or "(no line 'n_t = ...')")
        + f"\nand the text\n    {rendered}\n{apart(block, cell.equations)}Mend whichever is wrong.",
    )


def check_draws_say_something(cell: Any, backend: Any = "eager", draws: Draws = ()) -> None:
    """The kit is not vacuous: x and every parameter have a derivative that is neither zero nor infinite."""
    cell = lo.as_cell(cell)
    answer = ask_oracle(cell, Draw(4, 2, 17, 17).problem(cell))
    for name in ("y", "gradient of x", *(f"gradient of {name}" for name in cell.parameters)):
        largest = answer[name].abs().max().item()
        require(0 < largest < float("inf"), f"{cell.name}, oracle: max |{name}| is {largest}; nothing can be compared")


def check_oracle(cell: Any, backend: Any = "eager", draws: Draws | None = None) -> None:
    """Step 3: outputs, final states and all gradients, of the initial state too, are the oracle's."""
    cell = lo.as_cell(cell)
    for draw in visits(backend, draws):
        problem = draw.problem(cell)
        (answer,) = ask(make(cell, backend, problem.parameters), problem)
        compare(answer, ask_oracle(cell, problem), About(cell, backend, draw, "compared with the oracle"))


def check_long_sequences(cell: Any, backend: Any = "eager", draws: Draws = LONG) -> None:
    """Step 3 over 50 to 300 frames; of a cell that is chaotic over so many, over as many as can be compared."""
    waiting = list(draws)
    while waiting:
        draw = waiting.pop()
        try:
            check_oracle(cell, backend, [draw])
        except ChaoticDrawError:
            shorter = replace(draw, T=draw.T // 2)
            if any(usual.T >= shorter.T for usual in FIXED):  # check_oracle itself visits those
                raise
            waiting.append(shorter)


def check_default_state(cell: Any, backend: Any = "eager", draws: Draws = FIXED[:1]) -> None:
    """Step 3 without an initial state, which means zero or what the cell declares."""
    cell = lo.as_cell(cell)
    for draw in draws:
        problem = draw.problem(cell)
        layer = make(cell, backend, problem.parameters)
        usual = problem.by_default(cell)
        (answer,) = ask(layer, usual, run=lambda x, state, lengths, layer=layer: layer(x))
        for name in cell.states:
            del answer[f"gradient of initial {name}"]  # there is none to differentiate by
        (reference,) = ask(layer, usual)
        about = About(cell, backend, draw, "without an initial state", [usual])
        compare(answer, {name: reference[name] for name in answer}, about)


STEPS: dict[int, tuple[Callable[..., None], ...]] = {
    1: (check_adjoint,),
    2: (check_equations,),
    3: (check_oracle, check_long_sequences, check_default_state, check_constants),
    4: (check_single_precision, check_nonlinearities),
    5: (
        ladder_structure.check_rows,
        ladder_structure.check_permutation,
        ladder_structure.check_carried_state,
        ladder_structure.check_causality,
        ladder_structure.check_padding,
        ladder_structure.check_bidirectional,
        ladder_structure.check_population,
        ladder_structure.check_member_bits,
        ladder_structure.check_repeated_call,
    ),
    6: (ladder_limits.check_limits,),
}
"""The steps of the equality ladder. 0 and 7, the paper's text and the mutants, are this repository's own tests."""

CHECKS = (check_declaration, check_draws_say_something, *(check for step in STEPS.values() for check in step))
"""All promises; each is called as ``check(cell, backend, draws=...)`` and has draws of its own by default."""

OF_THE_TEXT = (check_declaration, check_adjoint, check_equations, check_draws_say_something)
"""Those in which no backend takes part."""

NOT_ON: dict[Callable[..., None], Callable[[Any, Backend], bool]] = {
    # what others are measured by; on another device than the CPU it is measured itself
    check_single_precision: lambda backend, record: record.plain and not isinstance(backend, Placed),
    ladder_structure.check_member_bits: lambda backend, record: record.pads is always,
}
"""Promises that some backends do not make."""


def promised(check: Callable[..., None], backend: Any) -> bool:
    """Whether a backend makes a promise; a callable that makes layers is asked for every one."""
    found = record_of(backend)
    return found is None or not (check in NOT_ON and NOT_ON[check](backend, found))


def checks(backends: Iterable[Any] | None = None, device: Any = "cpu") -> Iterator[tuple[str, Callable[..., None]]]:
    """Every promise on every backend as a name and a function of a cell.

    Args:
        backends, device: see ``check_variant``.

    Raises:
        ValueError: no backend is given, or one does not run on the device.
    """
    asked = [placed(backend, device) for backend in asked_for(backends, device)]
    if not asked:
        raise ValueError("checks: got no backend, expected at least one. Leave the argument out for all there are.")
    for check in CHECKS:
        name = check.__name__.removeprefix("check_")
        if check in OF_THE_TEXT:
            yield name, check
            continue
        for backend in asked:
            if promised(check, backend):
                yield f"{name}-{shown(backend)}", partial(check, backend=backend)


def asked_for(backends: Iterable[Any] | None, device: Any = "cpu") -> list[Any]:
    """The backends given, or the names of all that run on the device.

    Raises:
        ValueError: one that is named does not run there.
    """
    try:
        torch.device(device)
    except (RuntimeError, TypeError) as wrong:
        raise TypeError(f"device is {device!r}; expected one there is, as 'cpu' or 'cuda'.") from wrong
    if backends is None:
        return [name for name, each in BACKENDS.items() if each.runs(device)]
    try:
        given = [backends] if isinstance(backends, str) else list(backends)
        strange = [each for each in given if not isinstance(each, str) and not callable(each)]
    except TypeError:
        strange = [backends]
    if strange:
        raise TypeError(f"backends has {strange[0]!r}; expected names, as ['eager'], or callables that make a layer.")
    for backend in given:
        found = record_of(backend)
        if found is not None and not found.runs(device):
            fit = nearest(str(backend), asked_for(None, device))
            raise ValueError(f"checks: backend '{backend}' does not run on {device}; expected one of {fit}.")
    return given


def check_variant(cell: Any, backends: Iterable[Any] | None = None, device: Any = "cpu") -> None:
    """Check everything a cell promises.

    Args:
        cell: a name, a step function, a ``Variant`` or a ``Cell``.
        backends: names of backends (by default all that run on the device), or callables that make a layer as ``lo.RNN`` does.
        device: where layers of named backends lie, as ``"cuda"``; references are computed on the CPU.

    Raises:
        AssertionError: on the first broken promise; the message names the tensor, its error, the bound and the draw.
        ValueError: no backend is given, or one does not run on the device.

    Example:
        >>> import lstm_odyssey as lo
        >>> lo.check_variant("no_peepholes")
    """
    for _, check in checks(backends, device):
        check(cell)


def parametrize_with_checks(
    cells: Iterable[Any] = (),
    backends: Iterable[Any] | None = None,
    *,
    tasks: Iterable[Any] = (),
    device: Any = "cpu",
) -> Any:
    """A decorator for pytest: one test ``test(cell, check)`` for each cell, promise and backend.

    With ``tasks`` in place of cells, one test ``test(task, check)`` for each task and promise. Names, declarations and what
    ``lo.variant`` and ``lo.task`` return may be mixed.

    Raises:
        ValueError: neither cells nor tasks are given, or both, or none is in the list.

    Example::

        @parametrize_with_checks(["my_cell"])
        def test_my_cell(cell, check):
            check(cell)

        @parametrize_with_checks(tasks=["my_task"])
        def test_my_task(task, check):
            check(task)
    """
    import pytest

    cells, tasks = ([given] if isinstance(given, str) else list(given) for given in (cells, tasks))
    if not cells and not tasks:
        raise ValueError("parametrize_with_checks: got no cell, expected at least one. An empty test would pass.")
    if cells and tasks:
        raise ValueError("parametrize_with_checks: got cells and tasks; expected one of them. Write two tests.")
    kind, subjects, named = ("cell", cells, checks(backends, device)) if cells else ("task", tasks, task_checks())
    given = [(subject, name, check) for name, check in named for subject in subjects]
    return pytest.mark.parametrize(
        (kind, "check"),
        [pytest.param(subject, check, id=f"{_called(kind, subject)}-{name}") for subject, name, check in given],
    )


def _called(kind: str, subject: Any) -> str:
    if isinstance(subject, str):
        return subject
    return str(lo.as_cell(subject).name if kind == "cell" else as_task(subject).name)


def draws(T: tuple[int, int] = (2, 12)) -> Any:
    """A hypothesis strategy of draws for the argument of the same name; needs hypothesis.

    The simplest draw, which hypothesis tries first, is one that tells right from wrong: with N = 1 a matrix is its own
    transpose, with one row or two frames there is little to mix up.
    """
    from hypothesis import strategies as st

    sizes = st.sampled_from(sorted(SIZES, key=lambda size: abs(size - 3)))
    rows, steps = st.sampled_from((2, 3, 1)), st.integers(*T).map(lambda t: T[0] + (t - T[0] + 2) % (T[1] - T[0] + 1))
    return st.builds(Draw, T=steps, B=rows, M=sizes, N=sizes, seed=st.integers(0, 2**32 - 1))
