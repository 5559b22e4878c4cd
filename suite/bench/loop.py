"""A cell as a loop in plain torch: the step's text, called as it is written, frame after frame.

The text speaks of vectors. Here each row of a batch is one: x_t [B, M], states [B, N], p.g and b.g [N], and the product of a
matrix with a vector is that with each row, so that every line of the text means what it says for each of them. From outside
rows are columns, x_t [M, B]. Autograd differentiates. No tracer and no kernel of the package takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor


class Matrix:
    """A matrix [N, M] whose product with rows [B, M] is [B, N]: that with each of them."""

    def __init__(self, value: Tensor) -> None:
        self.value = value

    def __matmul__(self, rows: Tensor) -> Tensor:
        return rows @ self.value.mT


class Loop:
    """A step and its parameters.

    Args:
        step: the cell's text, or ``torch.compile`` of it.
        spaces: the text's keyword arguments, as ("W", "R", "p", "b").
        parameters: by name, W.g [N, M], R.g [N, N], p.g and b.g [N]; the loop has copies that require gradients. Constants, k.g
            [N], are among them and require none.
    """

    def __init__(self, step: Callable[..., Any], spaces: Iterable[str], parameters: Mapping[str, Tensor]) -> None:
        self.step = step
        copies = {
            name: (value if value.ndim == 2 else value.unsqueeze(1)).detach().clone()
            for name, value in parameters.items()
        }
        self.parameters = {name: value.requires_grad_() for name, value in copies.items() if not name.startswith("k.")}
        self.names, self.copies = tuple(spaces), copies

    def __call__(self, x: Tensor, state: Iterable[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Run it.

        Args:
            x: [T, M, B].
            state: the initial states in the text's order, each [N, B].

        Returns:
            The output of every step [T, N, B], and the states after the last.
        """
        spaces = {space: SimpleNamespace() for space in self.names}
        for name, value in self.copies.items():
            space, gate = name.split(".")
            setattr(spaces[space], gate, Matrix(value) if space in ("W", "R") else value[:, 0])
        values = [value.mT for value in state]
        outputs = []
        for x_t in x.mT:
            returned = self.step(x_t, *values, **spaces)
            values = list(returned) if isinstance(returned, tuple) else [returned]
            outputs.append(values[0])
        return torch.stack(outputs).mT, [value.mT for value in values]
