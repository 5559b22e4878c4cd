"""Wrong cells, calls of the oracle, adjoints and layers: what the tests of equality have to catch. This is the list.

A wrong cell is the text of a right one with a small change, as a slip of the pen would make it; a wrong adjoint is the
right one with a small change of its graph.
"""

import inspect
import math
from dataclasses import replace
from unittest import mock

import torch

import lstm_odyssey as lo
from lstm_odyssey.cell.adjoint import Total, adjoint
from lstm_odyssey.cell.graph import Node
from lstm_odyssey.cell.ops import FUNCTIONS, OPS
from lstm_odyssey.variants import ops
from lstm_odyssey.variants.declare import Variant
from tests.cells import ODD

WRONG_CELLS = {
    "output peephole on c_{t-1}": ("vanilla", ("p.o * c_t", "p.o * c")),
    "forget gate on the new c": ("vanilla", ("z * i + c * f", "(z * i + c) * f")),
    "forget gate's peephole on the new input": ("vanilla", ("p.f * c", "p.f * (c + z * i)")),
    "input gate multiplies c": ("vanilla", ("z * i + c * f", "z + c * f * i")),
    "input and forget gate swapped": ("vanilla", ("z * i + c * f", "z * f + c * i")),
    "the block input through a sigmoid": ("vanilla", ("z = tanh", "z = sigmoid")),
    "the output gate through a tanh": ("vanilla", ("o = sigmoid", "o = tanh")),
    "the cell leaves through a sigmoid": ("vanilla", ("tanh(c_t)", "sigmoid(c_t)")),
    "y uses c_{t-1}": ("vanilla", ("tanh(c_t)", "tanh(c)")),
    "no bias of the forget gate": ("vanilla", (" + b.f", "")),
    "no peephole of the input gate": ("vanilla", (" + p.i * c", "")),
    "no recurrent term of the output gate": ("vanilla", (" + R.o @ y", "")),
    "a bias of another gate": ("vanilla", ("b.i", "b.f")),
    "a recurrent matrix of another gate": ("vanilla", ("R.i @", "R.f @")),
    "recurrence from the cell": ("vanilla", ("R.z @ y", "R.z @ c")),
    "a sign": ("vanilla", ("+ p.f * c", "- p.f * c")),
    "results in the wrong order": (
        "vanilla",
        ("c_t = z * i", "new = z * i"),
        ("p.o * c_t", "p.o * new"),
        ("return tanh(c_t) * o, c_t", "return new, tanh(new) * o"),
    ),
    "an input gate where there is none": ("nig", ("z + c * f", "z * (1 - f) + c * f")),
    "a forget gate where there is none": ("nfg", ("z * i + c", "z * i + c * (1 - i)")),
    "no output gate, but another's": ("nog", ("return tanh(c_t)", "return tanh(c_t) * f")),
    "NOG with a gate": (
        "nog",
        ("return tanh(c_t)", "o = sigmoid(W.o @ x + R.o @ y + p.o * c_t + b.o)\n    return tanh(c_t) * o"),
    ),
    "NIAF with its activation": ("niaf", ("z = W.z @ x + R.z @ y + b.z", "z = tanh(W.z @ x + R.z @ y + b.z)")),
    "NOAF with its activation": ("noaf", ("return c_t * o", "return tanh(c_t) * o")),
    "NP with a peephole": ("no_peepholes", ("+ b.o", "+ R.o @ c_t + b.o")),
    "CIFG with f = i": ("cifg", ("(1 - i)", "i")),
    "CIFG the other way round": ("cifg", ("z * i + c * (1 - i)", "z * (1 - i) + c * i")),
    "FGR whose forget gate reads this step's input gate": ("fgr", ("R.if_ @ i ", "R.if_ @ i_t ")),
    "FGR whose output gate reads this step's gates": (
        "fgr",
        ("R.io @ i ", "R.io @ i_t "),
        ("R.fo @ f ", "R.fo @ f_t "),
    ),
    "FGR with source and target exchanged": ("fgr", ("R.if_ @ i ", "R.fi @ i "), ("R.fi @ f ", "R.if_ @ f ")),
    "FGR whose gates do not see the output gate": ("fgr", ("R.oi @ o ", "R.oi @ f ")),
    "FGR whose block input sees a gate": ("fgr", ("R.z @ y", "R.z @ y + R.ii @ i")),
    "FGR that carries the wrong gate": (
        "fgr",
        ("i_t = sigmoid(", "a = sigmoid("),
        ("f_t = sigmoid(", "d = sigmoid("),
        ("z * i_t + c * f_t", "z * a + c * d"),
        ("c_t, i_t, f_t, o_t", "c_t, d, a, o_t"),
    ),
    "a recurrent net without its past": ("tanh_rnn", (" + R.h @ y", "")),
    "GRU with z and 1 - z swapped": ("gru", ("z * y + (1 - z) * h", "(1 - z) * y + z * h")),
    "GRU with its reset after the matrix": ("gru", ("R.h @ (r * y)", "r * (R.h @ y)")),
    "GRU whose gates are exchanged": ("gru", ("z * y + (1 - z) * h", "r * y + (1 - r) * h"), ("(r * y)", "(z * y)")),
    "cuDNN's GRU with its reset before the matrix": (
        "gru_reset_after",
        ("r * (R.h @ y + b.Rh)", "R.h @ (r * y) + b.Rh"),
    ),
    "cuDNN's GRU with its second bias outside": ("gru_reset_after", ("r * (R.h @ y + b.Rh)", "r * (R.h @ y) + b.Rh")),
    "cuDNN's GRU with z and 1 - z swapped": ("gru_reset_after", ("z * y + (1 - z) * h", "(1 - z) * y + z * h")),
    "MGU that keeps where it should replace": ("mgu", ("(1 - f) * y + f * h", "f * y + (1 - f) * h")),
    "MGU without its reset": ("mgu", ("R.h @ (f * y)", "R.h @ y")),
    "MUT1 whose update gate sees the output": ("mut1", ("W.z @ x + b.z", "W.z @ x + R.r @ y + b.z")),
    "MUT1 whose input is not squashed": ("mut1", ("tanh(W.x @ x)", "W.x @ x")),
    "MUT2 whose reset gate has the candidate's projection": ("mut2", ("W.x @ x", "W.h @ x")),
    "MUT2 with the sign of the GRU": ("mut2", ("h * z + y * (1 - z)", "y * z + h * (1 - z)")),
    "MUT3 whose update gate sees the output as it is": ("mut3", ("R.z @ tanh(y)", "R.z @ y")),
    "MUT3 whose candidate sees it squashed": ("mut3", ("R.h @ (r * y)", "R.h @ (r * tanh(y))")),
    "JANET without its β": ("janet", ("sigmoid(s - 1)", "sigmoid(s)")),
    "JANET with its β on the other side": ("janet", ("sigmoid(s - 1)", "sigmoid(s + 1)")),
    "Li-GRU with the tanh of a GRU": ("ligru", ("h = relu", "h = tanh")),
    "Li-GRU with z and 1 - z swapped": ("ligru", ("z * y + (1 - z) * h", "(1 - z) * y + z * h")),
    "minLSTM whose gates do not sum to 1": ("minlstm", ("f = sigmoid(log_f - log_i)", "f = exp(log_f)")),
    "minLSTM with its gates exchanged": ("minlstm", ("f * y + i * h", "i * y + f * h")),
    "minLSTM with a tanh": ("minlstm", ("h = W.h @ x + b.h", "h = tanh(W.h @ x + b.h)")),
    "sLSTM with an exponential forget gate": (
        "slstm",
        ("-softplus(-(W.f @ x + R.f @ y + b.f))", "W.f @ x + R.f @ y + b.f"),
    ),
    "sLSTM whose stabiliser forgets its past": ("slstm", ("maximum(log_f + m, log_i)", "maximum(log_f, log_i)")),
    "sLSTM whose forget gate leaves the stabiliser out": ("slstm", ("exp(log_f + m - m_t)", "exp(log_f)")),
    "sLSTM that is not normalised": ("slstm", ("c_t / n_t", "c_t")),
    "sLSTM normalised by the step before": ("slstm", ("c_t / n_t", "c_t / n")),
    "sLSTM with the tanh of an LSTM": ("slstm", ("c_t / n_t", "tanh(c_t / n_t)")),
    "sLSTM whose input gate is a σ": ("slstm", ("i = exp(log_i - m_t)", "i = sigmoid(log_i)")),
    "IRNN with the tanh of a plain net": ("irnn", ("relu(", "tanh(")),
    "IndRNN whose vector meets no past": ("indrnn", ("p.h * y", "p.h")),
    "UGRNN with g and 1 - g swapped": ("ugrnn", ("g * y + (1 - g) * h", "(1 - g) * y + g * h")),
    "coRNN that moves by the velocity before": ("cornn", ("y + k.dt * z_t", "y + k.dt * z")),
    "coRNN without its damping": ("cornn", (" - k.epsilon * z", " - k.epsilon")),
    "coRNN with frequency and damping exchanged": (
        "cornn",
        ("k.gamma * y - k.epsilon * z", "k.epsilon * y - k.gamma * z"),
    ),
    "Li-GRU that is not centred": ("ligru_ln", ("d = u - mean(u)", "d = u")),
    "Li-GRU normalised by what is not centred": ("ligru_ln", ("rms(d)", "rms(u)")),
    "Li-GRU whose norm has the recurrent part too": (
        "ligru_ln",
        ("u = W.z @ x", "u = W.z @ x + R.z @ y"),
        (" + R.z @ y + b.z", " + b.z"),
    ),
    "LN-LSTM with a sum over the gates in place of a mean": ("ln_lstm", ("W.o @ x) / 4", "W.o @ x)")),
    "LN-LSTM with a deviation of one gate": (
        "ln_lstm",
        ("mean(rz * rz + ri * ri + rf * rf + ro * ro) / 4", "mean(rz * rz)"),
    ),
    "LN-LSTM whose cell is not normalised": ("ln_lstm", ("d / rms(d)", "c_t")),
    "LN-LSTM whose cell is not centred": ("ln_lstm", ("d = c_t - mean(c_t)", "d = c_t")),
}


def wrong_cell(of, *changes):
    """The step of the variant ``of`` with parts of its text replaced, each of which must be there."""
    source = inspect.getsource(lo.variant(of).step)
    head, quotes, rest = source.partition('"""')
    text = head + "pass" + rest.partition('"""')[2] if quotes else source  # without the docstring, which is right
    for before, after in changes:
        assert before in text, f"the text of {of} no longer has {before!r}; change the mutant with it"
        text = text.replace(before, after)
    space = {name: getattr(ops, name) for name in (*FUNCTIONS, "rms")}
    exec(compile(text, f"<wrong {of}>", "exec"), space)
    constants = lo.variant(of).constants
    return lo.as_cell(Variant(space[of], constants=constants) if constants else space[of])


def with_parameters(change):
    """The oracle with a change of its parameters; their gradients are changed with them."""
    return lambda cell, x, state, parameters: lo.oracle(
        cell, x, state, {name: change(name, value) for name, value in parameters.items()}
    )


def with_state(change):
    """The oracle with a change of its initial states."""
    return lambda cell, x, state, parameters: lo.oracle(
        cell, x, {name: change(name, value) for name, value in state.items()}, parameters
    )


WRONG_CALLS = {
    "transposed R": with_parameters(lambda name, value: value.mT if name.startswith("R.") else value),
    "one transposed R": with_parameters(lambda name, value: value.mT if name == "R.z" else value),
    "an initial state of zero": with_state(lambda name, value: torch.zeros_like(value)),
    "an initial cell of zero": with_state(lambda name, value: torch.zeros_like(value) if name == "c" else value),
    "initial states exchanged": lambda cell, x, state, parameters: lo.oracle(
        cell, x, {**state, "y": state["c"], "c": state["y"]}, parameters
    ),
    "the first frame twice": lambda cell, x, state, parameters: lo.oracle(
        cell, torch.cat([x[:1], x[:-1]]), state, parameters
    ),
    "time backwards": lambda cell, x, state, parameters: lo.oracle(cell, x.flip(0), state, parameters),
    "no derivative by the initial state": with_state(lambda name, value: value.detach()),
    "no derivative by the initial cell": with_state(lambda name, value: value.detach() if name == "c" else value),
    "no derivative by the initial output": with_state(lambda name, value: value.detach() if name == "y" else value),
    "no derivative by x": lambda cell, x, state, parameters: lo.oracle(cell, x.detach(), state, parameters),
    "the derivative by R twice": with_parameters(
        lambda name, value: 2 * value - value.detach() if name.startswith("R.") else value
    ),
    "no derivative by the biases": with_parameters(
        lambda name, value: value.detach() if name.startswith("b.") else value
    ),
}


def with_nodes(change):
    """The right adjoint with nodes of the gradient changed; ``change(graph, node)`` returns another node or None."""

    def derive(graph, leaves=()):
        right, first = adjoint(graph, leaves), len(graph.nodes)
        nodes = [(n >= first and change(graph, node)) or node for n, node in enumerate(right.nodes)]
        assert nodes != list(right.nodes), "the adjoint no longer has such a node; change the mutant with it"
        return replace(right, nodes=tuple(nodes))

    return derive


def with_total(op, name, change):
    """The right adjoint with another total of one leaf; ``change(right, total)`` returns it, or None for no total."""

    def derive(graph, leaves=()):
        right = adjoint(graph, leaves)
        (number,) = (n for n, node in enumerate(graph.nodes) if (node.op, node.name) == (op, name))
        new = change(right, right.totals[number])
        others = {n: total for n, total in right.totals.items() if n != number}
        return replace(right, totals=others if new is None else {**others, number: new})

    return derive


def exchanged_deltas(one, other):
    """The right adjoint with the δ of two products exchanged."""

    def derive(graph, leaves=()):
        right = adjoint(graph, leaves)
        first, second = ([n for n in right.deltas if graph.nodes[n].name == name] for name in (one, other))
        swap = {first[0]: right.deltas[second[0]], second[0]: right.deltas[first[0]]}
        return replace(right, deltas={**right.deltas, **swap})

    return derive


def only(number):
    """A total that is one node."""
    return Total(number, number, ())


def nothing(node):
    """A zero in place of a node."""
    return Node("constant", size="")


def one(graph):
    """The number of the constant 1."""
    return next(n for n, node in enumerate(graph.nodes) if node.op == "constant" and node.value == 1)


def flat_sigmoid(graph, node):
    """1 in place of the 1 - σ of a derivative."""
    slope = node.op == "sub" and node.args[1] < len(graph.nodes) and graph.nodes[node.args[1]].op == "sigmoid"
    return slope and replace(node, op="div", args=(node.args[0], node.args[0]))


def peephole_on_previous(graph, leaves=()):
    """The gradient of the output peephole with c_{t-1} in place of c_t."""
    right = adjoint(graph, leaves)
    numbers = {(node.op, node.name): n for n, node in enumerate(graph.nodes)}
    nodes, place = list(right.nodes), right.totals[numbers["vector", "p.o"]].node
    nodes[place] = replace(nodes[place], args=(nodes[place].args[0], numbers["state", "c"]))
    return replace(right, nodes=tuple(nodes))


def without_second_delta(name):
    """The right adjoint with one δ only for a matrix that is used twice."""

    def derive(graph, leaves=()):
        right = adjoint(graph, leaves)
        _, second = (n for n in right.deltas if graph.nodes[n].name == name)
        return replace(right, deltas={n: delta for n, delta in right.deltas.items() if n != second})

    return derive


def of_sums(graph, leaves=()):
    """The right adjoint, made with a rule that forgets to divide by N."""
    rule = replace(OPS["mean"], pullback=lambda d, out, a: (d.mean() + d.mean(),))  # of two, as the check has them
    with mock.patch.dict(OPS, mean=rule):
        return adjoint(graph, leaves)


WRONG_ADJOINTS = {  # and the cell in which each is wrong
    "the adjoint term of the initial state is missing": (
        "vanilla",
        with_total("state", "c", lambda right, total: None),
    ),
    "the initial c has the adjoint of the new c": (
        "vanilla",
        with_total("state", "c", lambda right, total: only(right.seeds["c"])),
    ),
    "one gate's Rᵀδ is missing": (
        "vanilla",
        with_total("state", "y", lambda right, total: only(right.nodes[total.node].args[0])),
    ),
    "R in place of its transpose": (
        "vanilla",
        with_nodes(lambda graph, node: node.op == "transposed" and node.name[0] == "R" and replace(node, op="matmul")),
    ),
    "σ' = σ instead of σ(1 - σ)": (
        "vanilla",
        with_nodes(flat_sigmoid),
    ),
    "the output peephole's gradient uses c_{t-1}": (
        "vanilla",
        peephole_on_previous,
    ),
    "two gates' δ changed places": ("vanilla", exchanged_deltas("R.i", "R.f")),
    "the coupled gate's derivative has no minus": (
        "cifg",
        with_nodes(lambda graph, node: node.op == "neg" and replace(node, op="mul", args=(*node.args, one(graph)))),
    ),
    "the second phase sends nothing back": (
        "gru",
        with_nodes(lambda graph, node: node.op == "transposed" and node.name == "R.h" and nothing(node)),
    ),
    "the second phase's matrix on the way back is another's": (
        "gru",
        with_nodes(lambda graph, node: node.op == "transposed" and node.name == "R.h" and replace(node, name="R.u")),
    ),
    "what is done with a gate's last value is forgotten": (
        "fgr",
        with_nodes(lambda graph, node: node.op == "adjoint" and node.name == "i" and nothing(node)),
    ),
    "source and target of two gate matrices exchanged on the way back": (
        "fgr",
        with_nodes(
            lambda graph, node: (
                node.op == "transposed"
                and node.name in ("R.if_", "R.fi")
                and replace(node, name={"R.if_": "R.fi", "R.fi": "R.if_"}[node.name])
            )
        ),
    ),
    "the second use of a matrix has no part in its gradient": ("shared", without_second_delta("R.z")),
    "a mean sends nothing back": ("norms", with_nodes(lambda graph, node: node.op == "mean" and nothing(node))),
    "a mean sends each number its own": (
        "norms",
        with_nodes(lambda graph, node: node.op == "mean" and replace(node, op="mul", args=(*node.args, one(graph)))),
    ),
    "a mean sends back a sum": ("norms", of_sums),
}


def adjoint_cell(slip):
    """The cell of a wrong adjoint."""
    name = WRONG_ADJOINTS[slip][0]
    return lo.as_cell(ODD.get(name, name))


class IgnoresLengths(lo.RNN):
    """Padding is taken for frames."""

    def forward(self, x, state=None, lengths=None):
        return super().forward(x, state)


class MasksOutputsOnly(lo.RNN):
    """Outputs are 0 on padding, but the state goes on through it."""

    def forward(self, x, state=None, lengths=None):
        y, final = super().forward(x, state)
        if lengths is not None:
            y = torch.where(torch.arange(len(x))[:, None, None] < lengths[:, None], y, 0.0)
        return y, final


class LeavesPaddingInOutputs(lo.RNN):
    """The last valid output is repeated on padding."""

    def forward(self, x, state=None, lengths=None):
        y, final = super().forward(x, state, lengths)
        return torch.where(y == 0, final["y"][0], y), final


class ReadsPadding(lo.RNN):
    """What is in the padding comes in by a product with 0, which a NaN survives."""

    def forward(self, x, state=None, lengths=None):
        y, final = super().forward(x, state, lengths)
        return y + 0 * x.sum(), final


class ReversesPadding(lo.RNN):
    """The second direction starts at the end of the padding instead of the end of the row."""

    def forward(self, x, state=None, lengths=None):
        y, final = super().forward(x, state, lengths)
        if lengths is None or not self.bidirectional:
            return y, final
        wrong_y, wrong = super().forward(x, state)
        N = self.hidden_size
        second = torch.where(torch.arange(len(x))[:, None, None] < lengths[:, None], wrong_y[..., N:], 0.0)
        return torch.cat([y[..., :N], second], -1), {
            name: torch.stack([value[0], wrong[name][1]]) for name, value in final.items()
        }


class IgnoresState(lo.RNN):
    """Every call starts from zero."""

    def forward(self, x, state=None, lengths=None):
        return super().forward(x, None, lengths)


class DropsInitialGradient(lo.RNN):
    """The initial state's gradient is zero."""

    def forward(self, x, state=None, lengths=None):
        return super().forward(x, state and {name: value.detach() for name, value in state.items()}, lengths)


class DropsFinalGradient(lo.RNN):
    """What is done with the final state has no effect on the gradient."""

    def forward(self, x, state=None, lengths=None):
        y, final = super().forward(x, state, lengths)
        return y, {name: value.detach() for name, value in final.items()}


class TransposesR(lo.RNN):
    """Parameters are loaded with R the other way round."""

    def load_state_dict(self, values, *args, **kwargs):
        turned = {name: value.mT if ".R." in name else value for name, value in values.items()}
        return super().load_state_dict(turned, *args, **kwargs)


class ReturnsPreviousState(lo.RNN):
    """The final state is that of the last step but one."""

    def forward(self, x, state=None, lengths=None):
        return super().forward(x, state, lengths)[0], super().forward(x[:-1], state)[1]


class StartsFromSomething(lo.RNN):
    """Without an initial state it starts from one, not from zero."""

    def forward(self, x, state=None, lengths=None):
        if state is None:
            return super().forward(x, {name: x.new_ones(1, x.shape[1], self.hidden_size) for name in self.cell.states})
        return super().forward(x, state, lengths)


class RoundsToFloat32(lo.RNN):
    """The input passes through single precision."""

    def forward(self, x, state=None, lengths=None):
        return super().forward(x.float().double(), state, lengths)


class LosesPrecisionSlowly(lo.RNN):
    """From the 20th frame on an error grows by 1e-10 a frame, as a cheap approximation's would."""

    def forward(self, x, state=None, lengths=None):
        y, final = super().forward(x, state, lengths)
        drift = 1 + 1e-10 * torch.arange(len(x), dtype=x.dtype).clamp(min=20).sub(20)
        return y * drift[:, None, None], final


class MixesRows(lo.RNN):
    """Each row sees a trace of the mean of the batch."""

    def forward(self, x, state=None, lengths=None):
        return super().forward(x + 1e-8 * x.mean(-2, keepdim=True), state, lengths)


class PrefersTheFirstRow(lo.RNN):
    """The first row of the batch is treated otherwise."""

    def forward(self, x, state=None, lengths=None):
        scale = torch.ones(x.shape[-2], 1, dtype=x.dtype)
        scale[0] += 1e-8
        return super().forward(x * scale, state, lengths)


class CountsFrames(lo.RNN):
    """The first frame of a call is treated otherwise, so that a carried state does not continue the sequence."""

    def forward(self, x, state=None, lengths=None):
        return super().forward(torch.cat([x[:1] * (1 + 1e-8), x[1:]]), state, lengths)


class SeesTheFuture(lo.RNN):
    """Each frame sees a trace of the next one."""

    def forward(self, x, state=None, lengths=None):
        return super().forward(torch.cat([x[:-1] + 1e-8 * x[1:], x[-1:]]), state, lengths)


class ExchangesDirections(lo.RNN):
    """The output's halves are the wrong way round."""

    def forward(self, x, state=None, lengths=None):
        y, final = super().forward(x, state, lengths)
        return (y.roll(y.shape[-1] // 2, -1) if self.bidirectional else y), final


class FillsBeyondMembers(lo.RNN):
    """Outputs beyond a member's N are not zero."""

    def forward(self, x, state=None, lengths=None):
        y, final = super().forward(x, state, lengths)
        return (y + 1e-30 * (y == 0) if self.population else y), final


class LeaksGradientBeyondMembers(lo.RNN):
    """Parameters beyond a member's N get a gradient, though no output shows it."""

    def forward(self, x, state=None, lengths=None):
        y, final = super().forward(x, state, lengths)
        return (y + sum(0 * value.sum() + (value - value.detach()).sum() for value in self.parameters())
                if self.population else y), final  # fmt: skip


class DrawsBeyondMembers(lo.RNN):
    """Initial parameters beyond a member's N are not zero."""

    def reset_parameters(self):
        with torch.no_grad():
            for value in self.parameters():
                value.normal_()


class ExchangesMembers(lo.RNN):
    """The first member is fed the second one's input."""

    def forward(self, x, state=None, lengths=None):
        return super().forward(x.flip(1) if self.population else x, state, lengths)


class NeverTheSame(lo.RNN):
    """Each call differs from the one before in the last bits."""

    calls = 0

    def forward(self, x, state=None, lengths=None):
        y, final = super().forward(x, state, lengths)
        NeverTheSame.calls += 1
        return y * (1 + 1e-15 * NeverTheSame.calls), final


class RoundsLikeTF32(lo.RNN):
    """In float32, input, states and weights keep 10 bits of their mantissa, as the operands of TF32 products do."""

    @staticmethod
    def rounded(value):
        if value.dtype != torch.float32:
            return value
        short = ((value.detach().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)
        return value + (short - value.detach())  # the derivative is 1

    def load_state_dict(self, values, *args, **kwargs):
        dtype = next(self.parameters()).dtype
        short = {name: self.rounded(value.to(dtype)) for name, value in values.items()}
        return super().load_state_dict(short, *args, **kwargs)

    def forward(self, x, state=None, lengths=None):
        state = state and {name: self.rounded(value) for name, value in state.items()}
        return super().forward(self.rounded(x), state, lengths)


class CarriesInBfloat16(lo.RNN):
    """In float32, the initial states pass through bfloat16, as a state kept in it would."""

    def forward(self, x, state=None, lengths=None):
        if x.dtype == torch.float32 and state is not None:
            state = {name: value.bfloat16().float() for name, value in state.items()}
        return super().forward(x, state, lengths)


class SumsOneGradientShortly(lo.RNN):
    """In float32, the gradients of R alone have the 10 bits of a sum in half precision."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for name, value in self.named_parameters():
            if name.endswith(".R") and value.dtype == torch.float32:
                value.register_hook(RoundsLikeTF32.rounded)


class OverflowsSometimes(lo.RNN):
    """In float32, long inputs overflow: a few draws of many, which a median passes over."""

    def forward(self, x, state=None, lengths=None):
        y, final = super().forward(x, state, lengths)
        return (y * 1e38 * 1e38 if x.dtype == torch.float32 and x.shape[-1] == 33 and len(x) > 10 else y), final


class ShortExponential(lo.RNN):
    """In float32, the exponential is a polynomial of degree 5, so that tanh is off by 100 units in the last place."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{**kwargs, "backend": "eager"})

    @staticmethod
    def exp(a):
        k = (a.detach() / math.log(2)).round()
        r = a - k * math.log(2)
        return sum(r**n / math.factorial(n) for n in range(6)) * k.exp2()

    @staticmethod
    def tanh(a):
        exact, m = torch.tanh(a), ShortExponential.exp(2 * a.detach().clamp(-9, 9)) - 1
        return exact + (m / (m + 2) - exact.detach())  # the derivative is that of the exact one

    def forward(self, x, state=None, lengths=None):
        if x.dtype != torch.float32:
            return super().forward(x, state, lengths)
        torch.Tensor.tanh = self.tanh  # hides that of the class it is derived from
        try:
            return super().forward(x, state, lengths)
        finally:
            del torch.Tensor.tanh


class ComputesAtTheWidest(lo.RNN):
    """Members are padded to the widest of them, so that a neighbour's size chooses the order of their sums."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{**kwargs, "backend": "eager"})


class MixesLastBits(lo.RNN):
    """A member's last bits depend on its neighbour's numbers, far within the bound of every comparison."""

    def forward(self, x, state=None, lengths=None):
        y, final = super().forward(x, state, lengths)
        return (y * (1 + 2 * torch.finfo(y.dtype).eps * (x[:, 1:2].sum() > 0)) if self.population else y), final


class ForgetsConstants(lo.RNN):
    """The cell's constants have their defaults, whatever is given."""

    def __init__(self, *args, constants=None, **kwargs):
        super().__init__(*args, **kwargs)


class FirstMembersConstants(lo.RNN):
    """All members of a population have the constants of the first."""

    def __init__(self, *args, constants=None, **kwargs):
        each = {
            name: [value[0]] * len(value) if isinstance(value, list) else value for name, value in constants.items()
        }
        super().__init__(*args, constants=each, **kwargs)


WRONG_LAYERS = {  # and the check that is there to catch each
    RoundsToFloat32: "oracle",
    IgnoresState: "oracle",
    DropsInitialGradient: "oracle",
    DropsFinalGradient: "oracle",
    TransposesR: "oracle",
    ReturnsPreviousState: "oracle",
    LosesPrecisionSlowly: "long_sequences",
    StartsFromSomething: "default_state",
    MixesRows: "rows",
    PrefersTheFirstRow: "permutation",
    CountsFrames: "carried_state",
    SeesTheFuture: "causality",
    IgnoresLengths: "padding",
    MasksOutputsOnly: "padding",
    LeavesPaddingInOutputs: "padding",
    ReadsPadding: "padding",
    ReversesPadding: "bidirectional",
    ExchangesDirections: "bidirectional",
    FillsBeyondMembers: "population",
    LeaksGradientBeyondMembers: "population",
    DrawsBeyondMembers: "population",
    ExchangesMembers: "population",
    NeverTheSame: "repeated_call",
    RoundsLikeTF32: "single_precision",
    CarriesInBfloat16: "single_precision",
    SumsOneGradientShortly: "single_precision",
    OverflowsSometimes: "single_precision",
    ShortExponential: "nonlinearities",
    ComputesAtTheWidest: "member_bits",
    MixesLastBits: "member_bits",
    ForgetsConstants: "constants",
    FirstMembersConstants: "constants",
}

WRONG_CTC = {  # a slip in the text of the compiled CTC: what stands there once, and what instead
    "equal neighbours need no blank": ("if 0 < u < count and label != entry(labels, u - 1):", "if 0 < u < count:"),
    "numbers that were lost pass": ("if not x * d >= LEAST:", "if x != x:"),
    "the last of equal labels alone is subtracted": (
        "read8(at) - read8(occupied",
        "read8(chances + u * 8) - read8(occupied",
    ),
    "backward, a label's own blank decides": (
        "load8(skips + at + 8, every) * next_l",
        "load8(skips + at, every) * next_l",
    ),
    "forward, every label may be skipped to": ("load8(skips + at, every) * left", "left"),
    "in logarithms, backward, a label's own blank decides": (
        "if read8(skips + u * 8 + 8):",
        "if read8(skips + u * 8):",
    ),
    "in logarithms, every label may be skipped to": ("left if read8(skips + u * 8) else -inf)", "left)"),
    "the text may end in a blank alone": (
        "logarithm(read8(ahead_b + count * 8) + read8(ahead_l + count * 8 - 8))",
        "logarithm(read8(ahead_b + count * 8))",
    ),
    "the last frame is normalised twice": ("if t < frames - 1:", "if t < frames:"),
    "no path, and the softmax stays": (
        "    if loss == inf:\n        fill_gradient(gradient, frames, outputs, line, 0.0)\n    return 0.0",
        "    return 0.0",
    ),
    "NaN is not seen": ("if sound != sound:", "if False:"),
}
