"""A third backend, for a test: numpy evaluates the lowered instructions, and the adjoint graph for the gradients.

Each member is computed at its own N. It stands for a backend that nobody has written yet: it knows a cell by its lowered form
alone, and the package knows it by its record alone.
"""

import numpy as np
import torch
from scipy.special import expit

from lstm_odyssey.backends.lowering import Products
from lstm_odyssey.backends.spaces import by_name, within
from lstm_odyssey.cell.adjoint import adjoint

MEANING = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative, "sigmoid": expit,
    "tanh": np.tanh, "exp": np.exp, "log": np.log, "relu": lambda a: np.maximum(a, 0), "absolute": np.absolute,
    "softplus": lambda a: np.logaddexp(a, 0), "maximum": np.maximum, "minimum": np.minimum, "sign": np.sign,
    "sqrt": np.sqrt, "mean": lambda a: np.broadcast_to(a.mean(-1, keepdims=True), a.shape),
}  # fmt: skip


class Scan(torch.autograd.Function):
    """One member: x [T, B, M], its states [B, N], its parameters by name."""

    @staticmethod
    def forward(ctx, lowered, active, names, x, *tensors):
        values = {name: value.contiguous().numpy() for name, value in zip(names, tensors, strict=True)}
        graph, x = lowered.graph, x.contiguous().numpy()
        found = {n: node.value for n, node in enumerate(graph.nodes) if node.op == "constant"}
        found |= {n: x for n, node in enumerate(graph.nodes) if node.op == "input"}
        found |= {n: values[node.name] for n, node in enumerate(graph.nodes) if node.op == "vector"}

        def run(items, here):
            for item in items:
                if isinstance(item, Products):
                    for k, (name, output) in enumerate(zip(item.parameters, item.outputs, strict=True)):
                        start = here[item.starts[k]] if item.starts else 0
                        here[output] = start + here[item.operand] @ values[name].T
                elif item not in here:
                    here[item] = MEANING[graph.nodes[item].op](*(here[n] for n in graph.nodes[item].args))

        run(lowered.before, found)
        state, frames = [values[name] for name in graph.states], []
        for t in range(len(x)):
            here = {n: value[t] if np.ndim(value) == 3 else value for n, value in found.items()}
            here |= {
                n: state[graph.states.index(node.name)] for n, node in enumerate(graph.nodes) if node.op == "state"
            }
            for phase in lowered.phases:
                run((*phase.products, *phase.reductions, *phase.nodes), here)
            new = [np.broadcast_to(here[result], state[0].shape) for result in graph.results]
            state = new if active is None else [np.where(active[t], a, b) for a, b in zip(new, state, strict=True)]
            frames.append((here, state[0]))
        ctx.made = graph, active, names, x, values, frames
        return tuple(torch.tensor(np.array(value)) for value in (np.stack([y for _, y in frames]), *state))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, dy, *last):
        graph, active, names, x, values, frames = ctx.made
        gradient, dx = adjoint(graph), np.zeros_like(x)
        above, found = [value.numpy() for value in last], {name: np.zeros_like(values[name]) for name in names}
        for t in reversed(range(len(x))):
            here = dict(frames[t][0])
            above[0] = above[0] + dy[t].numpy()
            seeds = above if active is None else [np.where(active[t], value, 0) for value in above]
            rows, below = seeds[0].shape[0], [value - seed for value, seed in zip(above, seeds, strict=True)]
            for number, node in enumerate(gradient.nodes):
                if node.op == "adjoint":
                    here[number] = seeds[graph.states.index(node.name)]
                elif node.op == "transposed":
                    here[number] = here[node.args[0]] @ values[node.name]
                elif node.op == "constant":
                    here[number] = node.value
                elif number >= len(graph.nodes):
                    here[number] = MEANING[node.op](*(here[n] for n in node.args))
            for number, total in gradient.totals.items():
                node, value = gradient.nodes[number], None if total.node is None else here[total.node]
                if node.op == "input" and value is not None:
                    dx[t] = value
                elif node.op == "vector" and value is not None:
                    found[node.name] += np.broadcast_to(value, seeds[0].shape).sum(0)
                elif node.op == "state" and value is not None:
                    below[graph.states.index(node.name)] = below[graph.states.index(node.name)] + value
                elif node.op == "matmul":
                    operand = here[node.args[0]]
                    found[node.name] += value.T @ np.broadcast_to(operand, (rows, operand.shape[-1]))
            above = below
        found |= dict(zip(graph.states, above, strict=True))
        return (None, None, None, torch.tensor(dx), *(torch.tensor(found[name]) for name in names))


def scan(lowered, spaces, x, state, active=None, sizes=None):
    """Run a cell over time, member by member; the contract is that of the package's other backends."""
    if x.ndim == 3:
        spaces, x = {space: value.unsqueeze(0) for space, value in spaces.items()}, x.unsqueeze(1)
        flat = {name: value.reshape(1, *value.shape[-2:]) for name, value in state.items()}
        y, final = scan(lowered, spaces, x, flat, None if active is None else active.unsqueeze(1), sizes)
        return y.squeeze(1), {name: value.view(state[name].shape) for name, value in final.items()}
    outputs, width = [], next(iter(state.values())).shape[-1]
    for p, N in enumerate(sizes or [width] * x.shape[1]):
        named = by_name(lowered.graph.packed, within(lowered.graph.packed, {s: v[p] for s, v in spaces.items()}, N))
        named |= {name: value[p, :, :N] for name, value in state.items()}
        mask = None if active is None else active[:, min(p, active.shape[1] - 1)].numpy()
        found = Scan.apply(lowered, mask, tuple(named), x[:, p], *named.values())
        outputs.append([torch.nn.functional.pad(value, (0, width - N)) for value in found])
    y, *final = (torch.stack(parts, 1 if k == 0 else 0) for k, parts in enumerate(zip(*outputs, strict=True)))
    return y, dict(zip(lowered.graph.states, final, strict=True))
