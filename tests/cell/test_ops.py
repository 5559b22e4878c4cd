"""The op table says the same thing to every reader; the tests come from the table itself."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy
import torch

from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.variants import ops

LETTERS = "ab"
EACH = sorted(name for name, op in OPS.items() if not op.reduction)
"""The ops of one number at a time; reductions have tests of their own."""
SMOOTH = sorted(name for name in EACH if not any(word in OPS[name].meaning for word in ("Max", "Min", "Abs", "sign")))
KINKED = sorted(set(EACH) - set(SMOOTH))


def points(op, count=200, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return [
        low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64).to(dtype)
        for low, high in op.domain
    ]


def meaning(op):
    return sympy.sympify(op.meaning, locals={"a": sympy.Symbol("a", real=True), "b": sympy.Symbol("b", real=True)})


def exact(expression, values):
    """The expression in 40 digits."""
    symbols = [sympy.Symbol(letter, real=True) for letter in LETTERS[: len(values)]]
    modules = ["mpmath", {"Max": max, "Min": min, "Abs": abs, "sign": mpmath.sign}]
    function = sympy.lambdify(symbols, expression, modules)
    with mpmath.workdps(40):
        return [float(function(*(mpmath.mpf(float(v)) for v in row))) for row in zip(*values, strict=True)]


def test_the_table_has_both_smooth_and_kinked_ops():
    """The lists the tests below run over are not empty, and each op has a domain for each operand."""
    assert len(SMOOTH) >= 9 and len(KINKED) >= 5
    assert {name for name, op in OPS.items() if op.kinked} == set(KINKED)
    assert all(len(op.domain) == op.arity for op in OPS.values())


@pytest.mark.parametrize("name", EACH)
def test_eager_is_the_meaning(name):
    """The eager method computes sympy's function, to 8 units in the last place of float64."""
    op = OPS[name]
    values = points(op)
    np.testing.assert_allclose(op.eager(*values).numpy(), exact(meaning(op), values), rtol=8 * 2.3e-16, atol=1e-16)


@pytest.mark.parametrize("name", SMOOTH)
def test_the_derivative_is_sympys(name):
    """The rule, fed with 1, is the symbolic derivative; where it uses the op's value, that value is put in."""
    op = OPS[name]
    symbols = [sympy.Symbol(letter, real=True) for letter in LETTERS[: op.arity]]

    values = points(op, 50)
    out = op.eager(*values)
    parts = op.pullback(torch.ones_like(out), out, *values)
    assert len(parts) == op.arity
    for symbol, part in zip(symbols, parts, strict=True):
        expected = exact(sympy.diff(meaning(op), symbol), values)
        np.testing.assert_allclose(torch.broadcast_to(part, out.shape).numpy(), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", sorted(OPS))
def test_the_derivative_is_autograds(name):
    """The rule is autograd's derivative of the eager method, with any adjoint, for smooth and kinked ops."""
    op = OPS[name]
    values = [value.requires_grad_() for value in points(op)]
    out = op.eager(*values)
    adjoint = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(1))
    expected = torch.autograd.grad(out, values, adjoint)
    with torch.no_grad():
        for part, reference in zip(op.pullback(adjoint, out, *values), expected, strict=True):
            torch.testing.assert_close(torch.broadcast_to(part, out.shape), reference, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", sorted(set(KINKED) - {"sign"}))
def test_at_a_tie_the_derivative_is_autograds(name):
    """relu and |a| at 0 give 0; maximum and minimum of equal values give each a half, as in torch."""
    op = OPS[name]
    values = [torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in range(op.arity)]
    out = op.eager(*values)
    expected = torch.autograd.grad(out.sum(), values)
    for part, reference in zip(op.pullback(torch.ones(3, dtype=torch.float64), out, *values), expected, strict=True):
        torch.testing.assert_close(part.detach(), reference)


def compiled(op, dtype, constant=None):
    """The kernel text of an op as a function of arrays."""
    from numba import njit

    from lstm_odyssey.backends.numba.vectors import functions, lanes, types

    size = {torch.float32: 4, torch.float64: 8}[dtype]
    count = types.vector_bytes() // size
    scope = {
        **vars(functions.FUNCTIONS[size]), "sqrt": lanes.sqrt, "store": types.store,
        "load": getattr(types, f"load{size}"), "first": getattr(types, f"first{size}"),
    }  # fmt: skip
    operands = [f"load({letter} + n * {size}, keep)" for letter in LETTERS[: op.arity]]
    if constant is not None:
        operands[constant] = "0.25"
    text = (
        f"def run(a, b, out, count):\n    for n in range(0, count, {count}):\n        keep = first(count - n)\n"
        f"        store(out + n * {size}, {op.kernel.format(*operands)}, keep)\n"
    )
    exec(text, scope)
    function = njit(error_model="numpy")(scope["run"])

    def call(*values):
        out = torch.full((len(values[0]) + count,), 7.0, dtype=dtype)
        function(values[0].data_ptr(), values[-1].data_ptr(), out.data_ptr(), len(values[0]))
        assert (out[len(values[0]) :] == 7).all(), "written beyond the end"
        return out[: len(values[0])]

    return call


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", EACH)
def test_the_kernel_text_is_eager(name, dtype):
    """The numba text computes the eager function to a few units in the last place, and passes NaN on."""
    op = OPS[name]
    values = points(op, 203, dtype)
    run = compiled(op, dtype)
    reference = op.eager(*(value.double() for value in values))
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(run(*values).double(), reference, rtol=4 * eps, atol=4 * torch.finfo(dtype).tiny)
    for place in range(op.arity):
        broken = [value.clone() for value in values]
        broken[place][5] = float("nan")
        out = run(*broken)
        assert out[5].isnan() and not out[6:].isnan().any(), f"operand {place}"


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "exp", "softplus", "relu"])
def test_the_kernel_text_far_out(name):
    """At ±infinity and ±1000 the kernels give the limit (sigmoid to the least normal number), not NaN."""
    op = OPS[name]
    far = torch.tensor([-float("inf"), -1000.0, 1000.0, float("inf")])
    torch.testing.assert_close(compiled(op, torch.float32)(far), op.eager(far), rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("name", sorted(name for name, op in OPS.items() if op.arity == 2))
@pytest.mark.parametrize("place", [0, 1])
def test_one_operand_may_be_a_number(name, place):
    """A constant on either side is no vector of its own."""
    op = OPS[name]
    values = points(op, 40)
    operands = list(values)
    operands[place] = torch.full_like(values[0], 0.25)
    torch.testing.assert_close(compiled(op, torch.float64, place)(*values), op.eager(*operands), rtol=1e-14, atol=0)


def test_a_mean_is_over_the_last_axis_and_stands_in_each_place():
    """mean and rms of [B, N] and of [N] are numpy's over N, repeated N times."""
    a = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    average = a.numpy().mean(-1, keepdims=True)
    root = np.sqrt((a.numpy() ** 2).mean(-1, keepdims=True) + 1e-5)
    for word, of in ((ops.mean, average), (ops.rms, root)):
        expected = np.broadcast_to(of, a.shape)
        np.testing.assert_allclose(word(a).numpy(), expected, rtol=1e-13)
        np.testing.assert_allclose(word(a[0]).numpy(), expected[0], rtol=1e-13)


def test_the_reductions_are_means():
    """What a scan makes of a reduction is a mean of what its kernel says, so there is no other kind in the table."""
    assert [name for name, op in OPS.items() if op.reduction] == ["mean"] and OPS["mean"].kernel == "{0}"
