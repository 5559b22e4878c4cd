"""What torch's layers have around one layer: batch first, one sequence, packed sequences, layers one on another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from lstm_odyssey.layers.arguments import Fail, State, refuse_layout

Run = Callable[[Tensor, Mapping[str, Tensor] | None, Any], tuple[Tensor, State]]

Fits = Callable[..., None]
"""Refuses states that do not fit to a batch, of which the size is given: as they were given, before they are rearranged."""


def arranged(
    run: Run,
    fits: Fits,
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
        fits: looks at the states.
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
        if x.data.ndim != 2 or x.data.shape[-1] != input_size:
            raise fail(f"x is packed, its data of shape {tuple(x.data.shape)}; expected [frames, {input_size}].")
        sizes = x.batch_sizes.tolist()
        if not sizes or sizes != sorted(sizes, reverse=True) or sizes[-1] < 1 or sum(sizes) != len(x.data):
            raise fail(
                f"x is packed, {len(x.data)} frames in batches of {sizes}; expected batches that hold all of them, each at "
                "most as great as the one before. Make it by torch.nn.utils.rnn.pack_padded_sequence."
            )
        fits(state, sizes[0])
        return _packed(run, x, state)
    refuse_layout("x", x, fail)
    dimensions = "B, T" if batch_first else "T, B"
    if not isinstance(x, Tensor):
        raise fail(f"x is {type(x).__name__}; expected a tensor [{dimensions}, {input_size}].")
    if x.ndim not in (2, 3) or x.shape[-1] != input_size or not x.shape[int(batch_first and x.ndim == 3)]:
        dimensions = "T" if x.ndim == 2 else dimensions
        raise fail(f"x has shape {tuple(x.shape)}; expected [{dimensions}, {input_size}] with T of at least 1.")
    if x.ndim == 2:
        if lengths is not None:
            raise fail(f"lengths beside x of shape {tuple(x.shape)}, one sequence; expected none. Cut x to its length.")
        fits(state)
        begun = None if state is None else {name: value.unsqueeze(-2) for name, value in state.items()}
        y, final = run(x.unsqueeze(1), begun, None)
        return y.squeeze(1), {name: value.squeeze(-2) for name, value in final.items()}
    fits(state, x.shape[0 if batch_first else 1])
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
    fits: Fits,
    x: Any,
    state: Mapping[str, Tensor] | None,
    lengths: Any,
    drop: float,
    backend: str,
    fail: Fail,
) -> tuple[Tensor, State]:
    """Outputs of the last of several layers, each on those of the one below, and final states [L, D, B, N].

    Args:
        layers: each is called as ``lo.RNN``.
        fits: looks at the states.
        state: [L, D, B, N] each.
        drop: the part of each layer's outputs that is set to 0 before the next.
        backend: of all of them.
        fail: makes the error that is raised, of a message.
    """
    refuse_layout("x", x, fail)
    if isinstance(x, Tensor) and x.ndim == 3:
        fits(state, x.shape[1])
    else:
        state = None  # the first layer says what is wrong with x
    finals: list[State] = []
    for number, layer in enumerate(layers):
        if number and drop:
            x = dropout(x, drop)
        layer.backend = backend
        x, final = layer(x, None if state is None else {name: value[number] for name, value in state.items()}, lengths)
        finals.append(final)
    return x, {name: torch.stack([final[name] for final in finals]) for name in finals[0]}
