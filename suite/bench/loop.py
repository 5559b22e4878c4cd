"""A cell as a loop in plain torch: the step's text, called as it is written, frame after frame.

The text speaks of vectors. Here the rows of a batch are columns: x_t [M, B], states [N, B], W.g [N, M], R.g [N, N], and the
vectors p.g and b.g are columns [N, 1], so that every product and every sum of the text means what it says for each column.
Autograd differentiates. No tracer and no kernel of the package takes part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor


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
        self.spaces = {space: SimpleNamespace() for space in spaces}
        for name, value in copies.items():
            space, gate = name.split(".")
            setattr(self.spaces[space], gate, value)

    def __call__(self, x: Tensor, state: Iterable[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Run it.

        Args:
            x: [T, M, B].
            state: the initial states in the text's order, each [N, B].

        Returns:
            The output of every step [T, N, B], and the states after the last.
        """
        values = list(state)
        outputs = []
        for x_t in x:
            returned = self.step(x_t, *values, **self.spaces)
            values = list(returned) if isinstance(returned, tuple) else [returned]
            outputs.append(values[0])
        return torch.stack(outputs), values
