"""The tracer: what it reads off a step, and every error of the contract."""

import cProfile
import functools
import pstats
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

import lstm_odyssey as lo
from lstm_odyssey.backends.lowering import lower, reassociated
from lstm_odyssey.cell.graph import build
from lstm_odyssey.cell.symbols import MODULE_ATTRIBUTES
from lstm_odyssey.cell.trace import trace
from lstm_odyssey.variants.ops import exp, maximum, relu, sigmoid, softplus, tanh


def plain(x, y, *, W, R, b):
    h = tanh(W.h @ x + R.h @ y + b.h)
    return h


def gru(x, y, *, W, R, b):
    r = sigmoid(W.r @ x + R.r @ y + b.r)
    u = sigmoid(W.u @ x + R.u @ y + b.u)
    h = tanh(W.h @ x + R.h @ (r * y) + b.h)
    return (1 - u) * y + u * h


def test_names_states_parameters_and_equations_are_read_off_the_text():
    """A step's states, parameters with shapes, count and equations follow from its text alone."""
    cell = lo.as_cell(plain)
    assert cell.states == ("y",)
    assert cell.parameters == {"W.h": ("N", "M"), "R.h": ("N", "N"), "b.h": ("N",)}
    assert cell.count(M=3, N=5) == 15 + 25 + 5
    assert cell.equations == ("h_t = tanh(W_h x_t + R_h y_{t-1} + b_h)", "y_t = h_t")


def test_a_second_phase_is_a_product_with_a_value_of_the_same_step():
    """R.h @ (r * y) lies one recurrent product behind another."""
    assert max(lower(lo.as_cell(gru).graph).phase) == 2
    assert max(lower(lo.variant("fgr").graph).phase) == 1


def test_numbers_brackets_and_order_of_sums_survive_in_the_equations():
    """Equations keep the text's brackets and order, mark a number times a vector, and write R.if_ as R_if."""

    def step(x, y, *, W, R, b):
        a = b.z - (W.z @ x - R.if_ @ y)
        return 2 * a / (1 + exp(-a)) + maximum(a, 0.5) * (a + b.z)

    assert lo.as_cell(step).equations == (
        "a_t = b_z - (W_z x_t - R_if y_{t-1})",
        "y_t = 2 · a_t / (1 + exp(-a_t)) + maximum(a_t, 0.5) ⊙ (a_t + b_z)",
    )


def test_signature_is_of_the_mathematics_not_of_the_spelling():
    """Renaming a local keeps the signature; one other sign changes it."""

    def renamed(x, y, *, W, R, b):
        candidate = tanh(W.h @ x + R.h @ y + b.h)
        return candidate

    def other(x, y, *, W, R, b):
        h = tanh(W.h @ x + R.h @ y - b.h)
        return h

    assert lo.as_cell(renamed).signature == lo.as_cell(plain).signature
    assert lo.as_cell(other).signature != lo.as_cell(plain).signature


def test_signature_is_also_of_what_states_begin_with():
    """Another start is another cell; a start at 0 said aloud is none."""
    one, half, zero = (lo.as_cell(lo.Variant(plain, initial=it)) for it in ({"y": 1}, {"y": 0.5}, {"y": 0.0}))
    assert zero.signature == lo.as_cell(plain).signature == lo.as_cell(plain).graph.signature
    assert len({one.signature, half.signature, zero.signature}) == 3
    assert one.signature == lo.as_cell(lo.Variant(plain, initial={"y": 1.0})).signature


def test_common_parts_are_shared_and_dead_parts_dropped():
    """The graph holds R.h @ y once though the text has it twice, and nothing that reaches no result."""

    def step(x, y, *, W, R, b):
        unused = sigmoid(y)  # noqa: F841 - dead on purpose
        return tanh(R.h @ y + W.h @ x) * sigmoid(R.h @ y + b.h)

    graph = lo.as_cell(step).graph
    assert sum(node.op == "matmul" and node.name == "R.h" for node in graph.nodes) == 1
    assert sum(node.op == "sigmoid" for node in graph.nodes) == 1


@given(st.sampled_from(lo.variant_names()))
def test_reassociation_keeps_every_product_and_nonlinearity(name):
    """The lowered graph has the same ops but for the order of sums, and its sums begin with what can be hoisted."""
    cell = lo.variant(name)

    def ops(graph):
        return sorted((node.op, node.name) for node in graph.nodes)

    graph = lower(cell.graph).graph
    assert ops(graph) == ops(cell.graph)
    assert graph.signature == reassociated(graph).signature


@pytest.mark.parametrize("kind", [cProfile.Profile, None])
def test_a_profiler_that_is_on_goes_on(kind):
    """Tracing looks at the step's names by a profile function; cProfile and a function of one's own are on again after it."""
    seen = []

    def step(x, y, *, W, R):
        return tanh(W.h @ x + R.h @ y)

    if kind is None:
        sys.setprofile(lambda frame, event, argument: seen.append(frame.f_code.co_name))
        try:
            trace(step)
            after = sys.getprofile()
        finally:
            sys.setprofile(None)
        assert after is not None
    else:
        profile = kind()
        profile.enable()
        try:
            build(trace(step))
        finally:
            profile.disable()
        seen = [name for _, _, name in pstats.Stats(profile).stats]
        assert "build" in seen


def test_names_torch_modules_have_are_all_refused():
    """No parameter can be called like an attribute of torch.nn.Module."""
    public = {name for name in dir(torch.nn.Module()) if not name.startswith("_")}
    assert public - {"dump_patches"} <= MODULE_ATTRIBUTES, public - MODULE_ATTRIBUTES


def test_closures_over_numbers_are_allowed():
    """A step made by a factory may read numbers of its factory; they enter the signature."""

    def make(slope):
        def step(x, y, *, W, R):
            h = tanh(slope * (W.h @ x + R.h @ y))
            return h

        return step

    assert lo.as_cell(make(2.0)).signature != lo.as_cell(make(3.0)).signature


# Wrong texts. Each is a function; the error has to name it, its line and what is wrong.


def rebinds_argument(x, y, i, *, W, R):
    i = sigmoid(W.i @ x + R.i @ y)
    return tanh(R.y @ i), i


def rebinds_local(x, y, *, W):
    h = W.h @ x
    h = tanh(h)
    return h * y


def augments(x, y, *, W):
    y *= 2
    return y + W.h @ x


def unpacks_twice(x, y, c, *, W):
    a, c = W.a @ x, y
    return a, c


def branches(x, y, *, W):
    h = W.h @ x if W else y
    return h


def asks_truth(x, y, *, W):
    assert y
    return W.h @ x


def loops(x, y, *, W):
    for _ in range(2):
        pass
    return W.h @ x + y


def comprehends(x, y, *, W):
    parts = [W.h @ x for _ in range(2)]
    return parts[0] + y


def uses_lambda(x, y, *, W):
    f = lambda v: v  # noqa: E731 - the thing under test
    return f(W.h @ x) + y


def nests(x, y, *, W):
    def g(v):
        return v

    return g(W.h @ x) + y


def deletes(x, y, *, W):
    h = W.h @ x
    del h
    return y


def tries(x, y, *, W):
    try:
        h = W.h @ x
    finally:
        pass
    return h + y


def unknown_op(x, y, *, W):
    return (W.h @ x).cosh() + y


def torch_op(x, y, *, W):
    return torch.cosh(W.h @ x) + y


def power(x, y, *, W):
    return (W.h @ x) ** 2 + y


def vector_first(x, y, *, W):
    return x @ W.h + y


def vector_product(x, y, *, W, p):
    return W.h @ x + p.h @ y


def matrix_as_vector(x, y, *, W, R):
    return R.h * y + W.h @ x + R.h @ y


def vector_matrix_add(x, y, *, W, R):
    return y + R.h


def wrong_side(x, y, *, W):
    return W.h @ y + W.g @ x


def recurrent_on_input(x, y, *, R):
    return R.h @ x + y


def input_and_state(x, y, *, W):
    return x * y + W.h @ x


def too_few(x, y, c, *, W):
    return W.h @ x + y


def too_many(x, y, *, W):
    return W.h @ x + y, y


def returns_input(x, y, *, W):
    h = W.h @ x + y  # noqa: F841 - the mistake
    return x


def returns_number(x, y):
    return 0.0


def constant_op(x, y, *, W):
    return sigmoid(1.0) * y + W.h @ x


def module_name(x, y, *, W):
    return W.to @ x + y


def private_name(x, y, *, b):
    return b._z + y


def idle_parameter(x, y, *, W, b):
    h = W.h @ x + b.h  # noqa: F841 - the mistake
    return tanh(y)


def renders_alike(x, y, *, W):
    i = W.i @ x
    i_t = tanh(i) + y
    return i_t


def other_space(x, y, *, V):
    return V.h @ x + y


def default_argument(x, y=0, *, W):
    return W.h @ x + y


def star(x, *states, W):
    return W.h @ x + states[0]


def only_input(x, *, W):
    return W.h @ x


def sets_parameter(x, y, *, W):
    W.h = y
    return y


def numpy_op(x, y, *, W):
    import numpy

    return numpy.tanh(W.h @ x) + y


def adds_text(x, y, *, W):
    return W.h @ x + y + "1"


def swapped(x, y, c, *, W, R):
    c_t = tanh(W.z @ x + R.z @ y) + c
    y_t = tanh(c_t)
    return c_t, y_t


def hides_a_result(x, y, c, *, W, R):
    c_t = tanh(W.z @ x + R.z @ y)
    return c_t, tanh(c_t) + c


def state_like_input(x, y, x_t, *, W):
    h = W.h @ x + y
    return h, h * x_t


def states_alike(x, y, y_t, *, W):
    h = W.h @ x + y
    return h, h * y_t


def decorate(step):
    @functools.wraps(step)
    def wrapper(*args, **spaces):
        return step(*args, **spaces)

    return wrapper


@decorate
def decorated(x, y, *, W):
    y = W.h @ x + y
    return y


def returns_list(x, y, c, *, W):
    return [W.h @ x + y, c]


def infinite(x, y, *, W):
    return (W.h @ x + y) * float("inf")


def method_with_constant(x, y, *, W):
    return (W.h @ x + y).maximum(0)


def stacks(x, y, *, W):
    return torch.stack([W.h @ x, y])


def by_keyword(x, y, *, W):
    return torch.tanh(input=W.h @ x) + y


def numpy_constant(x, y, *, W):
    return np.float64(2) * (W.h @ x) + y


def double_star(x, y, **spaces):
    return y


def indexed(x, y, *, W):
    return W["h"] @ x + y


def no_star(x, y, W, R, b):
    return y


WRONG = {
    indexed: "W is indexed by 'h'; expected a name after a dot, as W.z",
    no_star: "takes (x, y, W, R, b); expected a * before W: (x, y, *, W, R, b).",
    swapped: "the new value of the state 'y' is y_t in the equations, and 'y_t' is another value",
    hides_a_result: "the new value of the state 'c' is c_t in the equations, and 'c_t' is another value",
    state_like_input: "the new value of the state 'x_t' is x_t in the equations, and 'x' is another value",
    states_alike: "the new value of the state 'y_t' is y_t in the equations, and 'y' is another value",
    returns_list: "returns a list",
    infinite: "a constant that is not finite",
    method_with_constant: "'maximum' as a method",
    stacks: "unknown op 'torch.stack'",
    by_keyword: "unknown op 'torch.tanh'",
    numpy_constant: "constants as Python numbers",
    double_star: "takes **spaces",
    rebinds_argument: "bound a second time (it is already an argument)",
    rebinds_local: "bound a second time (it is already bound in line",
    augments: "'y' is bound a second time",
    unpacks_twice: "'c' is bound a second time",
    branches: "a branch",
    asks_truth: "a branch",
    loops: "a loop",
    comprehends: "comprehension",
    uses_lambda: "a lambda",
    nests: "a nested function",
    deletes: "del h",
    tries: "try",
    unknown_op: "unknown op 'cosh'",
    torch_op: "unknown op 'torch.cosh'",
    numpy_op: "unknown op 'numpy.tanh'",
    power: "an operation a cell cannot have",
    vector_first: "'@' with a vector on its left",
    vector_product: "'@' with a vector on its left",
    matrix_as_vector: "R.h is a matrix and is used as a vector",
    vector_matrix_add: "R.h is a matrix and is used as a vector",
    wrong_side: "W.h has M columns and the vector on its right length N",
    recurrent_on_input: "R.h has N columns and the vector on its right length M",
    input_and_state: "a vector of length M and one of length N",
    too_few: "returns 1 value(s); expected 2",
    too_many: "returns 2 value(s); expected 1",
    returns_input: "the new y is a vector of length M",
    returns_number: "the new y is 0.0",
    constant_op: "got constants only",
    module_name: "'W.to' has a name that is taken",
    private_name: "'b._z' has a name that is taken",
    idle_parameter: "W.h, b.h reaches no result",
    renders_alike: "both render as i_t",
    other_space: "expected the input, one state or more",
    default_argument: "has a default",
    star: "takes *states",
    only_input: "expected the input, one state or more",
    sets_parameter: "sets W.h",
    adds_text: "add of a vector and '1' (str)",
}


@pytest.mark.parametrize("step", WRONG, ids=lambda step: step.__name__)
def test_a_wrong_text_is_one_clear_error(step):
    """Every text outside the contract raises TraceError that says what is wrong and, with the cell, its line."""
    with pytest.raises(lo.TraceError) as caught:
        lo.as_cell(step)
    message = str(caught.value)
    assert WRONG[step] in message
    lines = {step.__code__.co_firstlineno, *(line for *_, line in step.__code__.co_lines() if line)}
    assert f"cell '{step.__name__}' (test_trace.py, line " in message
    assert int(message.split("line ")[1].split(")", maxsplit=1)[0]) in lines


def test_a_decorated_step_is_refused():
    """A decorator hides the text's bytecode, so that nothing of it would be checked."""
    with pytest.raises(lo.TraceError, match="a decorated function"):
        lo.as_cell(decorated)


def test_the_line_of_a_second_binding_is_named():
    """The error of a second binding names the very line."""
    line = rebinds_local.__code__.co_firstlineno + 2
    with pytest.raises(lo.TraceError, match=f"line {line}\\)"):
        lo.as_cell(rebinds_local)


def test_no_source_is_needed():
    """A second binding is found in the bytecode of a function that has no file."""
    space = {"tanh": tanh}
    exec("def step(x, y, *, W):\n    h = W.h @ x\n    h = tanh(h)\n    return h + y\n", space)
    with pytest.raises(lo.TraceError, match="line 3"):
        lo.as_cell(space["step"])


def test_keywords_are_refused_as_names_of_parameters():
    """A gate called like a word of Python, reached with getattr, is refused, and its cure is spelled."""

    def step(x, y, *, W):
        return getattr(W, "if") @ x + y

    with pytest.raises(lo.TraceError, match="call it 'if_'"):
        lo.as_cell(step)


def test_a_step_is_a_plain_function():
    """Anything but a plain function is refused with what it is."""
    with pytest.raises(lo.TraceError, match="expected a plain function"):
        lo.as_cell(lo.Variant(torch.nn.Linear(1, 1)))


def test_the_authors_own_exception_arrives_unwrapped():
    """An exception of the step's own comes through as it is."""

    def step(x, y, *, W):
        return missing_name(W.h @ x) + y  # noqa: F821 - the point

    with pytest.raises(NameError, match="missing_name"):
        lo.as_cell(step)


def test_softplus_does_not_overflow():
    """softplus of a large number is that number, and its derivative 1, in the oracle and traced."""
    a = torch.tensor([-1000.0, 0.0, 1000.0], dtype=torch.float64, requires_grad=True)
    value = softplus(a)
    value.sum().backward()
    assert value.tolist() == [0.0, pytest.approx(0.6931471805599453), 1000.0]
    assert a.grad.tolist() == [0.0, 0.5, 1.0]


def test_maximum_takes_a_constant_on_either_side_and_passes_nan_on():
    """maximum(a, 0) and maximum(0, a) are the same, and NaN comes through."""
    a = torch.tensor([-1.0, 2.0, float("nan")])
    for value in (maximum(a, 0), maximum(0, a), relu(a)):
        assert value[:2].tolist() == [0.0, 2.0] and value[2].isnan()
