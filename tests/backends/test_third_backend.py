"""A backend that nothing in the package knows climbs the kit through its record alone."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends import BACKENDS, Backend, always
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.conformance import draws, kit, ladder_structure
from lstm_odyssey.conformance.draws import FIXED
from lstm_odyssey.conformance.ladder_structure import NEIGHBOURS
from lstm_odyssey.training.members.lockstep import Lockstep
from lstm_odyssey.variants.ops import mean, tanh
from tests.cells import ODD, ON_CPU
from tests.tools import numpy_backend

RECORD = Backend(
    "numpy", "tests.tools.numpy_backend", frozenset({"cpu"}), frozenset({"float32", "float64"}), sizes=(7,)
)


@pytest.fixture
def numpy_record(monkeypatch):
    """The package with one backend more."""
    monkeypatch.setitem(BACKENDS, "numpy", RECORD)
    return RECORD


def imported(module):
    """Every module that a file imports, by its full name."""
    found = set()
    for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def test_it_shares_no_arithmetic_with_the_others():
    """It reads the lowered form, the packed spaces and the adjoint graph, and imports no backend and no oracle."""
    ours = {name for name in imported(numpy_backend) if name.startswith("lstm_odyssey")}
    homes = {"backends.lowering", "backends.spaces", "cell.adjoint"}
    assert {name.removeprefix("lstm_odyssey.") for name in ours} <= homes | {
        "backends.lowering.Products", "backends.spaces.by_name", "backends.spaces.within", "cell.adjoint.adjoint",
    }  # fmt: skip
    assert len(Path(numpy_backend.__file__).read_text(encoding="utf-8").splitlines()) <= 120


CELLS = {name: lo.variant(name) for name in ("vanilla", "fgr", "slstm")} | {name: lo.as_cell(ODD[name]) for name in ODD}


@pytest.mark.parametrize("name", [name if name in ("fgr", "slstm") else pytest.param(name, marks=pytest.mark.long)
                                  for name in CELLS])  # fmt: skip
def test_it_climbs_the_kit(name, numpy_record):
    """Every promise that is made of a backend, steps 3 to 6, by name and record; no word of it stands in the package."""
    asked = [(label, check) for label, check in kit.checks(["numpy"]) if label.endswith("-numpy")]
    assert {label.removesuffix("-numpy") for label, _ in asked} >= {"oracle", "member_bits", "population", "padding"}
    for _, check in asked:
        check(CELLS[name])


def test_a_wrong_one_does_not(numpy_record, monkeypatch):
    """With one op a little wrong, forward or backward alone, the kit says where."""
    monkeypatch.setitem(numpy_backend.MEANING, "sigmoid", lambda a: numpy_backend.expit(a) * (1 + 1e-9))
    with pytest.raises(AssertionError, match="vanilla on numpy, compared with the oracle"):
        kit.check_oracle("vanilla", "numpy")
    monkeypatch.undo()
    monkeypatch.setitem(BACKENDS, "numpy", RECORD)
    monkeypatch.setitem(numpy_backend.MEANING, "sign", lambda a: -numpy_backend.np.sign(a))
    with pytest.raises(AssertionError, match="on numpy, compared with the oracle, .*: gradient of"):
        kit.check_oracle("slstm", "numpy")


def test_the_kit_visits_the_sizes_of_the_record(numpy_record, monkeypatch):
    """Each N of a record that the kit's own draws lack is drawn too."""
    assert [draw.N for draw in draws.visits("numpy")] == [*(draw.N for draw in draws.FIXED), 7]
    assert [draw.N for draw in draws.visits("numba")] == [draw.N for draw in draws.FIXED]
    assert {draw.N for draw in draws.visits("numba", usual=draws.FIXED[:1])} == {1, 3, 17, 33}
    seen = []
    monkeypatch.setattr(kit, "compare", lambda answer, reference, about: seen.append(about.draw.N))
    kit.check_oracle("vanilla", "numpy")
    assert seen == [*(draw.N for draw in draws.FIXED), 7]


def test_a_study_s_networks_train_on_it(numpy_record):
    """A population trains on it by autograd, as it has no compiled step, to the eager backend's losses."""
    from tests.backends.test_learned_parts import trained

    made, (weights,), losses = trained("vanilla", [(0, 5)], "numpy", torch.float64, epochs=1)
    _, (expected,), wanted = trained("vanilla", [(0, 5)], "eager", torch.float64, epochs=1)
    assert type(made.parts[0]) is Lockstep
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(wanted), rtol=1e-10, atol=0)
    assert all(abs(weights[name] - value).max() < 1e-10 for name, value in expected.items())


def centred(x, y, *, W, R, b):
    """A norm over N between two rounds: what it reads waits for the product, what reads it for the norm."""
    a = W.z @ x + R.z @ y + b.z
    return tanh((a - mean(a)) * b.g + R.h @ (y - mean(y)))


def test_a_reduction_is_a_phase_of_its_own(numpy_record):
    """Found by lowering, run by every backend with all gradients: those of the same lines in plain torch."""
    cell = lo.as_cell(centred)
    lowered = lower(cell.graph)
    nodes = lowered.graph.nodes
    assert [([group.parameters for group in phase.products], [nodes[n].op for n in phase.reductions])
            for phase in lowered.phases] == [
        ([], []), ([("R.z",)], ["mean"]), ([("R.h",)], ["mean"]),
    ]  # fmt: skip
    torch.manual_seed(0)
    x, state = torch.randn(4, 3, 2, dtype=torch.float64), torch.randn(1, 3, 5, dtype=torch.float64)
    adjoint = torch.randn(4, 3, 5, dtype=torch.float64)
    plain = lo.RNN(centred, 2, 5, backend="eager", dtype=torch.float64, initial_std=0.7)
    W, R, b = (plain.cells[0].get_parameter(space) for space in "WRb")
    y, rows = state[0], []
    for frame in x:
        a = frame @ W.mT + y @ R[:5].mT + b[:5]
        centre = y - y.mean(-1, keepdim=True)
        y = torch.tanh((a - a.mean(-1, keepdim=True)) * b[5:] + centre @ R[5:].mT)
        rows.append(y)
    expected = torch.stack(rows)
    slopes = torch.autograd.grad(expected, [W, R, b], adjoint)
    for backend in (*ON_CPU, "numpy"):
        layer = lo.RNN(centred, 2, 5, backend=backend, dtype=torch.float64)
        layer.load_state_dict(plain.state_dict())
        found = layer(x, {"y": state})[0]
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        for one, other in zip(torch.autograd.grad(found, list(layer.parameters()), adjoint), slopes, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", [*ON_CPU, "numpy"])
def test_a_reduction_is_over_a_member_s_own_n(numpy_record, backend):
    """Of members of several sizes each has the numbers that it has alone, though eager computes them at the widest."""
    ladder_structure.check_population(centred, backend, FIXED[:1])


@pytest.mark.parametrize(("pads", "asked"), [(always, False), (RECORD.pads, True)])
def test_whether_bits_are_asked_for_follows_from_padding_alone(pads, asked, monkeypatch):
    """A backend that computes members together without padding them, as a fused one does, owes each its bits."""
    monkeypatch.setitem(BACKENDS, "numpy", replace(RECORD, together=True, pads=pads))
    assert any(label == "member_bits-numpy" for label, _ in kit.checks(["numpy"])) is asked
    if asked:
        ladder_structure.check_member_bits("vanilla", "numpy", NEIGHBOURS[:1])
