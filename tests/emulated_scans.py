"""Scans of generated device code on the emulated device beside the float64 oracle: each member alone, eager, at its own N.

A case is drawn once; ``answer`` runs it on any device, ``member`` cuts one member out of a case or an answer.
"""

from dataclasses import dataclass, replace

import torch

import lstm_odyssey as lo
from lstm_odyssey.backends import eager
from lstm_odyssey.backends.cuda import scan as cuda
from lstm_odyssey.backends.cuda.emulation import EmulatedDevice
from lstm_odyssey.backends.cuda.kernels import kernel
from lstm_odyssey.backends.lowering import lower

FLOATS = {"float32": torch.float32, "float64": torch.float64}
BOUNDS = {"float32": 1e-5, "float64": 1e-12}
"""Of the largest difference of a tensor, as part of its largest number."""

ROUNDINGS = 128
"""Of the largest number of a whole gradient: by so many a part of it may be off that is all but 0, as its terms cancel.
Layer-normalised cells divide by √(variance + 1e-5): where N is 1, one rounding may become 316."""

CLASSES = (3, 33, 67, 100, 131, 200)
"""An N of each size class, none of which fills it."""

BEYOND = 257


@dataclass(frozen=True)
class Case:
    """Sizes of a problem: members of these N, T frames, B rows; with lengths, row b has 1 + (T - 1 + b) mod T."""

    sizes: tuple[int, ...]
    T: int = 3
    B: int = 3
    M: int = 4
    lengths: bool = True
    dtype: str = "float32"
    seed: int = 0


@dataclass(frozen=True)
class Problem:
    """The numbers of a case: x [T, P, B, M], spaces [P, ...], states and what y and they are weighed with [..., P, B, N]."""

    cell: object
    lowered: object
    case: Case
    x: torch.Tensor
    spaces: dict
    state: dict
    weights: dict


def drawn(cell, case):
    """A problem; numbers beyond a member's own N are 0."""
    cell = lo.as_cell(cell)
    lowered, generator = lower(cell.graph), torch.Generator().manual_seed(case.seed)
    T, B, M, P, width = case.T, case.B, case.M, len(case.sizes), max(case.sizes)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    inside = torch.zeros(P, width, dtype=torch.float64)
    for p, N in enumerate(case.sizes):
        inside[p, :N] = 1
    spaces = {}
    for space, names in lowered.graph.packed.items():
        gates = len(names)
        rest = {"W": (M,), "R": (width,)}.get(space, ())
        value = normal(P, gates, width, *rest)
        if space == "k":  # a constant is no draw
            given = [cell.constants[name.removeprefix("k.")].default for name in names]
            value = torch.tensor(given, dtype=torch.float64).view(1, -1, 1).expand_as(value)
        value = value * inside.view(P, 1, width, *[1] * len(rest))
        if space == "R":
            value *= inside.view(P, 1, 1, width) / torch.tensor(case.sizes).view(P, 1, 1, 1) ** 0.5
        spaces[space] = value.reshape(P, gates * width, *rest)
    state = {}
    for name in lowered.states:
        low, high = cell.domains.get(name, (-1.0, 1.0))
        uniform = torch.rand(P, B, width, generator=generator, dtype=torch.float64)
        state[name] = (low + (high - low) * uniform) * inside.unsqueeze(1)
    weights = {"y": normal(T, P, B, width), **{name: normal(P, B, width) for name in lowered.states}}
    weights = {name: value * inside.unsqueeze(1) for name, value in weights.items()}
    problem = Problem(cell, lowered, case, normal(T, P, B, M), spaces, state, weights)
    return cast(problem, case.dtype)


def cast(problem, dtype):
    """All of its numbers rounded to another type."""
    to = FLOATS[dtype]

    def each(values):
        return {name: value.to(to) for name, value in values.items()}

    return replace(problem, case=replace(problem.case, dtype=dtype), x=problem.x.to(to), spaces=each(problem.spaces),
                   state=each(problem.state), weights=each(problem.weights))  # fmt: skip


def member(problem, p):
    """One member's problem, at its own N."""
    N = problem.case.sizes[p]

    def short(value):
        return value[..., p : p + 1, :, :N].contiguous()

    spaces = {s: cut(problem.lowered, s, value[p : p + 1], N) for s, value in problem.spaces.items()}
    return replace(problem, case=replace(problem.case, sizes=(N,)), x=problem.x[:, p : p + 1].contiguous(), spaces=spaces,
                   state={n: short(v) for n, v in problem.state.items()},
                   weights={n: short(v) for n, v in problem.weights.items()})  # fmt: skip


def cut(lowered, space, value, N):
    """What of one member's space [1, ...] is within its own N."""
    gates = len(lowered.graph.packed[space])
    value = value.unflatten(1, (gates, -1))[:, :, :N]
    return (value[..., :N] if space == "R" else value).flatten(1, 2).contiguous()


def answer(problem, device=None):
    """Outputs, final states and all gradients: on an emulated device, or eager where none is given."""
    case = problem.case
    leaves = {"x": problem.x, **problem.spaces, **{f"initial {n}": v for n, v in problem.state.items()}}
    leaves = {name: value.detach().clone().requires_grad_() for name, value in leaves.items()}
    spaces = {space: leaves[space] for space in problem.spaces}
    state = {name: leaves[f"initial {name}"] for name in problem.state}
    active = None
    if case.lengths:
        lengths = torch.tensor([1 + (case.T - 1 + b) % case.T for b in range(case.B)])
        active = (torch.arange(case.T)[:, None] < lengths).view(case.T, 1, case.B, 1)
    given = problem.lowered, spaces, leaves["x"], state, active, list(case.sizes)
    if device is None:
        y, final = eager.scan(*given)
        gradients = _gradients(problem, y, final, leaves)
    else:
        with cuda.emulated(device):
            y, final = cuda.scan(*given)
            gradients = _gradients(problem, y, final, leaves)
    return {"y": y.detach(), **{f"final {n}": v.detach() for n, v in final.items()}, **gradients}


def _gradients(problem, y, final, leaves):
    loss = (y * problem.weights["y"]).sum() + sum((v * problem.weights[n]).sum() for n, v in final.items())
    found = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    return {f"gradient of {name}": value for name, value in zip(leaves, found, strict=True)}


def of_member(problem, found, p):
    """One member's part of an answer, within its own N."""
    N, own = problem.case.sizes[p], {}
    for name, value in found.items():
        what = name.removeprefix("gradient of ")
        if what in problem.spaces:
            own[name] = cut(problem.lowered, what, value[p : p + 1], N)
        elif what == "x":
            own[name] = value[:, p : p + 1]
        else:
            own[name] = value[..., p : p + 1, :, :N]
    return own


def errors(problem, found, *, cancels=False):
    """The largest difference from the oracle for each member, as part of the largest number of the tensor that has it.

    With ``cancels`` some of a gradient's tensors may be all but 0 beside the terms that they are sums of, as is what a
    normalised vector sends back to its own scale. Then a tensor of the gradient may be off by ``BOUNDS`` of its own largest
    number or by ``ROUNDINGS`` roundings of the whole gradient's; the part told here is of whichever is more.
    """
    worst, dtype = [], problem.case.dtype
    share = ROUNDINGS * torch.finfo(FLOATS[dtype]).eps / BOUNDS[dtype] if cancels else 0.0
    for p in range(len(problem.case.sizes)):
        oracle, own = answer(cast(member(problem, p), "float64")), of_member(problem, found, p)
        gradient = [name for name in oracle if name.startswith("gradient of ")]
        whole = max(oracle[name].abs().max().item() for name in gradient)
        each = []
        for name, right in oracle.items():
            got = own[name].double()
            assert got.shape == right.shape, (name, got.shape, right.shape)
            scale = max(right.abs().max().item(), 1e-3, share * whole if name in gradient else 0.0)
            each.append((got - right).abs().nan_to_num(nan=torch.inf).max().item() / scale)
        worst.append(max(each))
    return worst


def fits(cell, N, dtype, architecture="sm_90"):
    """The class that a member has, or None where the scan runs step by step."""
    return kernel(lower(lo.as_cell(cell).graph), FLOATS[dtype], architecture).layout(N)


def right(cell, case, order="greedy", **checks):
    """The errors of each member, all within the bound."""
    problem = drawn(cell, case)
    found = errors(problem, answer(problem, EmulatedDevice(order, **checks)))
    named = dict(zip(case.sizes, found, strict=True))
    assert max(found) <= BOUNDS[case.dtype], (problem.lowered.name, case, order, named)
    return named


def same_alone(cell, case, order="greedy"):
    """Each member has the bits among others that it has alone."""
    problem, device = drawn(cell, case), EmulatedDevice(order)
    together = answer(problem, device)
    for p, N in enumerate(case.sizes):
        own = of_member(problem, together, p)
        for name, value in answer(member(problem, p), device).items():
            differ = int((own[name] != value).sum())
            assert torch.equal(own[name], value), f"{problem.lowered.name}, N = {N}, {name}: {differ} numbers differ"
