"""What torch's layers have around one layer: batch first, one sequence, packed sequences, layers one on another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from lstm_odyssey.layers.arguments import Fail, State

Run = Callable[[Tensor, Mapping[str, Tensor] | None, Any], tuple[Tensor, State]]


def arranged(
    run: Run,
    x: Any,
    state: Mapping[str, Tensor] | None,
    lengths: Tensor | Sequence[int] | None,
    batch_first: bool,
    input_size: int,
    fail: Fail,
) -> tuple[Any, State]:
    """Outputs and final states in the form that the input has.

    Args:
        run: the layer on x [T, B, M] and lengths.
        x: [B, T, M] if ``batch_first``; [T, M]; or packed.
        state: as ever; of a sequence without a batch [D, N].
        lengths: of the rows; packed sequences have their own.
        input_size: M.
        fail: makes the error that is raised, of a message.
    """
    if isinstance(x, PackedSequence):
        if lengths is not None:
            raise fail(
                "lengths beside a PackedSequence, which has its own; expected one of the two. Leave lengths out."
            )
        return _packed(run, x, state)
    if x.shape[-1] != input_size or 0 in x.shape:
        dimensions = "T" if x.ndim == 2 else "B, T" if batch_first else "T, B"
        raise fail(f"x has shape {tuple(x.shape)}; expected [{dimensions}, {input_size}], none of them 0.")
    if x.ndim == 2:
        if lengths is not None:
            raise fail(f"lengths beside x of shape {tuple(x.shape)}, one sequence; expected none. Cut x to its length.")
        begun = None if state is None else {name: value.unsqueeze(-2) for name, value in state.items()}
        y, final = run(x.unsqueeze(1), begun, None)
        return y.squeeze(1), {name: value.squeeze(-2) for name, value in final.items()}
    y, final = run(x.transpose(0, 1) if batch_first else x, state, lengths)
    return y.transpose(0, 1) if batch_first else y, final


def _packed(run: Run, x: PackedSequence, state: Mapping[str, Tensor] | None) -> tuple[PackedSequence, State]:
    """Rows stand in the order before they were sorted, as states do in torch's layers too."""
    padded, lengths = pad_packed_sequence(x)
    y, final = run(padded, state, lengths)
    if x.sorted_indices is not None:
        y, lengths = y.index_select(1, x.sorted_indices), lengths.index_select(0, x.sorted_indices.to(lengths.device))
    data = pack_padded_sequence(y, lengths).data
    return PackedSequence(data, x.batch_sizes, x.sorted_indices, x.unsorted_indices), final


def stacked(
    layers: Sequence[Any],
    x: Tensor,
    state: Mapping[str, Tensor] | None,
    lengths: Any,
    drop: float,
    backend: str,
    fail: Fail,
) -> tuple[Tensor, State]:
    """Outputs of the last of several layers, each on those of the one below, and final states [L, D, B, N].

    Args:
        layers: each is called as ``lo.RNN``.
        state: [L, D, B, N] each.
        drop: the part of each layer's outputs that is set to 0 before the next.
        backend: of all of them.
        fail: makes the error that is raised, of a message.
    """
    for name, value in (state or {}).items():
        if isinstance(value, Tensor) and (value.ndim != 4 or len(value) != len(layers)):
            shape = f"[{len(layers)}, {1 + layers[0].bidirectional}, B, {layers[0].hidden_size}]"
            raise fail(f"state '{name}' has shape {list(value.shape)}; expected {shape}.")
    finals: list[State] = []
    for number, layer in enumerate(layers):
        if number and drop:
            x = dropout(x, drop)
        layer.backend = backend
        x, final = layer(x, None if state is None else {name: value[number] for name, value in state.items()}, lengths)
        finals.append(final)
    return x, {name: torch.stack([final[name] for final in finals]) for name in finals[0]}
