"""How near a problem comes to the kinks of a cell: relu and absolute at 0, maximum and minimum of equal values.

There two roundings of one value may take different sides, and finite differences straddle both. A variant declares the ops
to keep away from (``ties``), and ``Draw.problem`` does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.layers.oracle import oracle

NEAR = 1e-6
"""What counts as near: far more than float64 rounds, and met once in some hundred draws."""


def distance(cell: Any, problem: Any) -> float:
    """The least distance to a kink of the ops in ``cell.ties``, over all steps, rows and units; infinite without any."""
    if not cell.ties:
        return float("inf")
    nodes = cell.graph.nodes
    after = oracle(cell, problem.x, problem.state, {**problem.constants, **problem.parameters})
    before = {name: torch.cat([problem.state[name][None], value[:-1]]) for name, value in after.items()}
    given = {f"k.{name}": torch.tensor(one.default, dtype=torch.float64) for name, one in cell.constants.items()}
    given |= {**problem.constants, **problem.parameters}
    values: list[Any] = []
    found = [torch.tensor(float("inf"), dtype=torch.float64)]
    for node in nodes:
        operands = [values[argument] for argument in node.args]
        if node.op in cell.ties:
            found.append(_apart(*operands).abs().min())
        if node.op == "input":
            values.append(problem.x)
        elif node.op == "state":
            values.append(before[node.name])
        elif node.op == "vector":
            values.append(given[node.name])
        elif node.op == "constant":
            values.append(node.value)
        elif node.op == "matmul":
            values.append(operands[0] @ problem.parameters[node.name].mT)
        else:
            values.append(OPS[node.op].eager(*operands))
    return float(torch.stack(found).min())


def _apart(a: Tensor, b: Tensor | float = 0.0) -> Tensor:
    return torch.as_tensor(a - b)
