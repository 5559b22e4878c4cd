"""``lo.RNN``: any variant as a torch layer, one or both directions, one network or a population of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lstm_odyssey.backends import plain, record, resolve
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.backends.spaces import gate
from lstm_odyssey.backends.tensors import observed, refused
from lstm_odyssey.cell import Cell
from lstm_odyssey.layers.arguments import State, check_options, checked_input, checked_sizes, checked_state, counted
from lstm_odyssey.layers.arranged import arranged, stacked
from lstm_odyssey.layers.hooks import direct, uncalled_hook
from lstm_odyssey.layers.masking import in_dtype, masked, of_no_rows, reorder, reversal, zeroed
from lstm_odyssey.layers.parameters import CellParameters, Members
from lstm_odyssey.layers.starts import LONGEST, checked_constants
from lstm_odyssey.plugins.registry import as_cell
from lstm_odyssey.tasks.nearest import nearest
from lstm_odyssey.variants.declare import Variant


class RNN(Members):
    """A recurrent layer of any variant.

    Args:
        cell: a name (``"cifg"``), a step function, a ``Variant`` or a ``Cell``.
        input_size: M, length of the input vectors.
        hidden_size: N, units per direction; or a list of P of them: a population of P independent networks, which the
            backend runs in lockstep.
        bidirectional: run a second set of weights backwards over each sequence and set its output beside the first.
        backend: ``"auto"``, ``"numba"`` (compiled for the CPU; the choice of auto there) or ``"eager"`` (torch, any device).
        initial_std: the weights are drawn from Normal(0, initial_std); 0.1 is the study's.
        device, dtype: of the parameters, as torch's layers have them.
        num_layers: layers one on another; not of a population.
        dropout: the part of each layer's outputs that is set to 0 in training, but for the last layer's.
        batch_first: x and y are [B, T, ...]; states stay as they are. Not of a population.
        bias: False leaves the parameters of b out, of a cell in which they are terms of sums.
        constants: of a cell that has some, ``{"gamma": 2.0}``; of a population a list has one for each member.
        longest: frames of the longest sequence, for a cell with a bias that begins by ``chrono``.

    Shapes, with D = 2 if bidirectional else 1, M = input_size, N = hidden_size or the greatest of the list:

    ========== ======================== =====================
    .          one network              population of P
    ========== ======================== =====================
    x          [T, B, M]                [T, P, B, M]
    y          [T, B, D·N]              [T, P, B, D·N]
    state      {name: [D, B, N]}        {name: [D, P, B, N]}
    W, R       [G·N, M], [G·N, N]       [P, G·N, M], [P, G·N, N]
    p, b       [G·N]                    [P, G·N]
    ========== ======================== =====================

    A single network also takes x [T, M], one sequence (y and states without B), and a ``PackedSequence``, which it returns;
    rows of states stand as they were before they were sorted. With L layers states are [L, D, B, N], and parameters lie in
    ``layer.layers[l].cells[d]``.

    A direction has at most four parameters, ``layer.cells[d].W`` and so on: each holds its G gates one under another, in the
    text's order. ``layer.weight("R.z")`` is the part of one gate.

    Beyond a member's own N everything is 0: parameters, gradients, outputs, states.

    It computes in the dtype of its parameters, under ``torch.autocast`` too: there input and states of another floating
    type are converted. To ``torch.compile`` it is a graph break: what stands around it is compiled, itself it runs as ever
    (``fullgraph=True`` is torch's error). A NaN in a weight gives NaN out.

    ``"eager"`` can be differentiated any number of times; ``"numba"`` refuses a second derivative and ``torch.export``, and
    leaves ``torch.func``, forward mode, every ``TorchDispatchMode`` (fake tensors, ``make_fx``), tensors without memory and,
    with ``"auto"``, half precision to ``"eager"``. ``torch.jit`` is refused. ``lo.free_memory()`` empties idle memory.

    Raises:
        ValueError: a size is no positive number, or the backend is not available.
        TraceError, UnknownNameError: the cell cannot be traced, or is not known.

    Example:
        >>> import torch, lstm_odyssey as lo
        >>> layer = lo.RNN("cifg", input_size=39, hidden_size=100)
        >>> y, state = layer(torch.zeros(7, 2, 39))
        >>> y.shape, sorted(state)
        (torch.Size([7, 2, 100]), ['c', 'y'])
        >>> lo.RNN("cifg", 39, [64, 100, 20]).count()
        [20096, 42200, 3640]
    """

    def __init__(
        self,
        cell: str | Callable[..., Any] | Variant | Cell,
        input_size: int,
        hidden_size: int | Sequence[int],
        bidirectional: bool = False,
        backend: str = "auto",
        initial_std: float = 0.1,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        num_layers: int = 1,
        dropout: float = 0.0,
        batch_first: bool = False,
        bias: bool = True,
        proj_size: int = 0,
        constants: Mapping[str, Any] | None = None,
        longest: int = LONGEST,
    ) -> None:
        super().__init__()
        self.cell = as_cell(cell)
        self.population, input_size, sizes = checked_sizes(input_size, hidden_size, self._fail)
        if not self.cell.parameters:
            raise self._fail("the cell has no parameters; expected at least one, as W.z.")
        self.input_size, self.hidden_sizes, self.bidirectional = input_size, tuple(sizes), bidirectional
        self.initial_std, self.longest = initial_std, longest
        self.backend = backend
        resolve(backend)
        self.num_layers, self.dropout = check_options(
            bidirectional=bidirectional, initial_std=initial_std, dtype=dtype, num_layers=num_layers, dropout=dropout,
            batch_first=batch_first, population=self.population, bias=bias, proj_size=proj_size, device=device,
            constants=constants, fail=self._fail)  # fmt: skip
        self.batch_first, self.bias = batch_first, bias
        if not bias:
            self.cell = self.cell.without_bias()
        given = checked_constants(self.cell, constants, sizes, self._fail)
        self._build(sizes, {"device": device, "dtype": dtype}, given)
        self._keep()
        self.reset_parameters()

    def _build(self, sizes: list[int], factory: dict[str, Any], constants: Mapping[str, Sequence[float]]) -> None:
        both = 1 + self.bidirectional
        if self.num_layers > 1:
            told = (sizes[0], self.bidirectional, self.backend, self.initial_std)
            widths = [self.input_size, *[both * sizes[0]] * (self.num_layers - 1)]
            more = {**factory, "constants": constants, "longest": self.longest}
            self.layers = nn.ModuleList(type(self)(self.cell, width, *told, **more) for width in widths)
        else:
            own = (self.cell, self.input_size, sizes, self.population, constants)
            self.cells = nn.ModuleList(CellParameters(*own, **factory) for _ in range(both))

    def _each(self) -> list[RNN]:
        """The layers; of one, itself."""
        return [self] if self.num_layers == 1 else list(self.layers)  # type: ignore[arg-type]  # made by _build

    def reset_parameters(self) -> None:
        """Draw all parameters anew from Normal(0, initial_std), or begin as the cell declares; zero beyond each member's N.

        Raises:
            ValueError: what a parametrization computes in place of a parameter cannot be set.
        """
        if self.num_layers > 1:
            for layer in self._each():
                layer.reset_parameters()
            return
        self._refuse_hooks()
        with torch.no_grad():
            for parameters in self.directions():
                try:
                    inside = self.inside(next(iter(parameters.spaces().values())).device)
                    parameters.draw(self.initial_std, inside, self.cell.start, self.hidden_sizes, self.longest)
                except ValueError as error:
                    raise self._fail(f"reset_parameters: {error}") from error.__cause__

    def weight(self, name: str, direction: int = 0, layer: int = 0) -> Tensor:
        """One gate's parameter, a view of its space: ``layer.weight("R.z")`` is [N, N], or [P, N, N] of a population.

        Of a space that is computed, by a parametrization say, it is a view of what was computed: what is written there is lost.

        Args:
            name: as in the text, ``"W.z"``, ``"R.z"``, ``"p.i"`` or ``"b.z"``.
            direction: 1 is the one that runs backwards.
            layer: from 0 on.

        Raises:
            ValueError: there is no such parameter, direction or layer.

        Example:
            >>> import torch, lstm_odyssey as lo
            >>> layer = lo.RNN("vanilla", 3, 4)
            >>> with torch.no_grad():
            ...     _ = layer.weight("b.f").fill_(1.0)
            >>> layer.cells[0].b[8:12]
            tensor([1., 1., 1., 1.], grad_fn=<SliceBackward0>)
        """
        if layer not in range(self.num_layers):
            raise self._fail(f"weight: layer is {layer!r}; expected one of {list(range(self.num_layers))}.")
        directions, known = self._each()[layer].directions(), list(self.cell.parameters)
        if name not in known:
            raise self._fail(f"weight '{name}': there is none; expected one of {nearest(name, known)}.")
        if direction not in range(len(directions)):
            raise self._fail(f"weight: direction is {direction!r}; expected one of {list(range(len(directions)))}.")
        return gate(self.cell.graph.packed, directions[direction].spaces(), name)

    def forward(
        self,
        x: Tensor | PackedSequence,
        state: Mapping[str, Tensor] | None = None,
        lengths: Tensor | Sequence[int] | None = None,
    ) -> tuple[Any, State]:
        """Run the layer.

        Args:
            x: the input, see the class.
            state: the initial states by name, all of them; zero by default, or what the cell declares.
            lengths: [B] whole numbers, 1 to T: how much of each sequence is no padding. The output is 0 on padding, and
                the final state is that of the last frame that is not.

        Returns:
            The outputs and the states after the last frame, by name.

        Raises:
            ValueError: a shape, dtype, device or length does not fit; the message says which, and what was expected.
        """
        if lengths is None and (found := direct(self, x, state)) is not None:
            return found
        usual = isinstance(x, Tensor) and x.ndim == 3 + self.population and not self.batch_first
        if usual or (self.population and not isinstance(x, PackedSequence)):
            return self._plain(x, state, lengths)  # type: ignore[arg-type]  # which says what is wrong with anything else
        return arranged(self._plain, self._fits, x, state, lengths, self.batch_first, self.input_size, self._fail)

    def _plain(
        self, x: Tensor, state: Mapping[str, Tensor] | None, lengths: Tensor | Sequence[int] | None
    ) -> tuple[Tensor, State]:
        """Run on x [T, B, M], or of a population [T, P, B, M]."""
        if self.num_layers > 1:
            drop = self.dropout if self.training else 0.0
            return stacked(self._each(), self._fits, x, state, lengths, drop, self.backend, self._fail)
        if why := refused(self.backend, x):
            raise RuntimeError(f"{self.called}: {why}")
        if torch.compiler.is_compiling():
            # the loop over time would be unrolled, and a compiled kernel cannot be traced
            return torch.compiler.disable(self._run)(x, state, lengths)  # type: ignore[no-any-return]  # torch types it as Any
        kind = x.device.type if isinstance(x, Tensor) else "cpu"
        if kind != "meta" and torch.is_autocast_enabled(kind):
            with torch.autocast(kind, enabled=False):
                return self._run(x, state, lengths, True)
        return self._run(x, state, lengths)

    def _run(
        self,
        x: Tensor,
        state: Mapping[str, Tensor] | None,
        lengths: Tensor | Sequence[int] | None,
        convert: bool = False,
    ) -> tuple[Tensor, State]:
        # what is looked up and checked here costs as much as a short scan: no look-up is made twice
        self._refuse_hooks()
        cell, directions = self.cell, [parameters() for parameters in self.directions()]
        weight = next(iter(directions[0].values()))
        if convert:
            x, state = in_dtype(x, weight.dtype), in_dtype(state, weight.dtype)
        inside, members = self.inside(weight.device), len(self.hidden_sizes) if self.population else None
        x = checked_input(x, weight, self.input_size, members, self._fail)
        steps, *_, rows, _ = x.shape
        initial = checked_state(state, x, cell, len(directions), max(self.hidden_sizes), inside, self._fail)
        active = count = None
        if lengths is not None:
            count = counted(lengths, steps, rows, x.device, self._fail)
        if not rows:
            return of_no_rows(x, initial, directions)
        if count is not None:
            within = torch.arange(steps, device=x.device).unsqueeze(1) < count.unsqueeze(0)
            active = within.view(steps, 1, rows, 1) if self.population else within.unsqueeze(2)
            x = torch.where(active, x, torch.zeros((), dtype=x.dtype, device=x.device))
        lowered = lower(cell.graph)
        # asked before numba is imported: what it registers while torch looks into everything would stay wrong
        backend = plain() if observed() else record(self.backend, x.device, x.dtype)
        if len(directions) == 1 and not self.population:  # the states' first dimension is as good a P as any
            y, final = backend.scan(lowered, directions[0], x, initial, active, self.hidden_sizes)
            return zeroed(y, active), final
        calls, backs = [], []
        for direction, weights in enumerate(directions):
            if inside is not None:
                weights = {space: masked(space, value, inside) for space, value in weights.items()}
            backs.append(reversal(steps, rows, count, x.device) if direction else None)
            turned = x if backs[-1] is None else reorder(x, backs[-1])
            own = {name: value.select(0, direction) for name, value in initial.items()}
            calls.append((lowered, weights, turned, own, active, self.hidden_sizes))
        outputs, finals = [], []
        for (y, final), back in zip(backend.several(calls), backs, strict=True):
            outputs.append(y if back is None else reorder(y, back))
            finals.append(final)
        y = zeroed(torch.cat(outputs, dim=-1) if len(outputs) > 1 else outputs[0], active)
        result = {name: torch.stack([final[name] for final in finals]) for name in cell.states}
        if inside is not None:
            ghost = inside.view(1, len(self.hidden_sizes), 1, -1)
            y = zeroed(y, ghost.repeat(1, 1, 1, len(directions)))
            result = {name: zeroed(value, ghost) for name, value in result.items()}
        return y, result

    def directions(self) -> list[CellParameters]:
        """The parameters of each direction, which ``cells`` holds, layer by layer."""
        if self.num_layers > 1:
            return [direction for layer in self._each() for direction in layer.directions()]
        return list(self._modules["cells"]._modules.values())  # type: ignore[union-attr, arg-type]  # made by __init__

    def _refuse_hooks(self) -> None:
        if hook := uncalled_hook(self._modules["cells"]):  # type: ignore[arg-type]  # made by __init__
            raise self._fail(hook)
