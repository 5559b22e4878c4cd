"""torch's own recurrent layers, computed by ours: the same call, the same results to rounding, and the way back."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from lstm_odyssey.layers.arguments import checked_dropout, checked_flag, refuse_layout, same_option
from lstm_odyssey.layers.lost import refuse_lost
from lstm_odyssey.layers.rnn import RNN
from lstm_odyssey.layers.torchs import TORCHS, cell_of, gathered, mapped, named, places, spaces_of, take
from lstm_odyssey.variants.declare import Limit

OPTIONS = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")

WEIGHTS = ("weight_", "bias_", "all_weights", "_all_weights", "_flat_weight")
"""How the names of torch's weights begin, which a swapped layer has elsewhere."""

CHECKS = ("check_", "get_expected_", "permute_hidden")
"""How the names of parts of torch's call begin, which a swapped layer does in its own way."""


def _fixed(name: str) -> property:
    """An option of the layer, which can be read and not changed."""

    def read(self: OfTorch) -> Any:
        if name not in OPTIONS and name not in self.fixed:
            raise AttributeError(f"{self.kind.__name__}: there is no {name}, as torch's layer has none.")
        return getattr(self.layer, name) if name in OPTIONS else self.fixed[name]

    def write(self: OfTorch, value: Any) -> None:
        if not same_option(value, read(self)):
            raise self._fail(
                f"{name} is set to {value!r}; expected {read(self)!r}, as it is made so. Make a layer anew."
            )

    return property(read, write, doc=f"``{name}`` of torch's layer; it cannot be changed.")


class OfTorch(nn.Module):
    """A recurrent layer with torch's call and results, made by ``lo.from_torch``.

    Args:
        layer: ours.
        kind: torch's class.
        limit: under which the cell is torch's.

    ``layer`` is ours, to be used by itself or trained; ``to_torch()`` gives torch's with the weights as they are then. Options
    are those of ``layer``: ``dropout``, ``batch_first`` and ``backend`` may be set at any time, the others not. A
    ``state_dict`` of torch's layer loads.
    """

    input_size, hidden_size, num_layers = _fixed("input_size"), _fixed("hidden_size"), _fixed("num_layers")
    bias, bidirectional, proj_size = _fixed("bias"), _fixed("bidirectional"), _fixed("proj_size")
    mode, nonlinearity = _fixed("mode"), _fixed("nonlinearity")

    def __init__(self, layer: RNN, kind: type[nn.RNNBase], limit: Limit) -> None:
        super().__init__()
        self.layer, self.kind, self.limit = layer, kind, limit

    @property
    def fixed(self) -> dict[str, Any]:
        """What torch's layer says of itself beside its options."""
        own = {"mode": "RNN_TANH", "nonlinearity": "tanh"} if self.kind is nn.RNN else {"mode": self.kind.__name__}
        return {**own, "proj_size": 0}

    @property
    def dropout(self) -> float:
        """The part of each layer's outputs that is set to 0 in training, but for the last layer's."""
        return self.layer.dropout

    @dropout.setter
    def dropout(self, value: float) -> None:
        self.layer.dropout = checked_dropout(value, self.layer.num_layers, self._fail)

    @property
    def batch_first(self) -> bool:
        """Whether input and output are [B, T, ...]."""
        return self.layer.batch_first

    @batch_first.setter
    def batch_first(self, value: bool) -> None:
        self.layer.batch_first = checked_flag("batch_first", value, self._fail)

    @property
    def backend(self) -> str:
        """What computes the layer; it may be set, as that of ``lo.RNN``."""
        return self.layer.backend

    @backend.setter
    def backend(self, value: str) -> None:
        self.layer.backend = value

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:  # noqa: A002 - torch's name
        """As torch's layer: output and final states, ``(h, c)`` of an LSTM and ``h`` of the others."""
        layer, names, kind = self.layer, list(self.limit.states or ()), self.kind.__name__
        layers, directions = layer.num_layers, 1 + layer.bidirectional
        state = None
        if hx is not None and (batch := self._batch(input)) is not None:
            values = self._states(hx, len(names), (layers * directions, *batch, layer.hidden_size))
            shape = (layers, directions) if layers > 1 else (directions,)
            state = {name: value.unflatten(0, shape) for name, value in zip(names, values, strict=True)}
        try:
            y, final = layer(input, state)
        except (ValueError, RuntimeError) as error:
            if not str(error).startswith(f"{layer.called}: "):
                raise  # of torch, of a backend, of a user's hook
            raise type(error)(kind + str(error).removeprefix(layer.called)) from error.__cause__
        last = [final[name].flatten(0, 1) if layers > 1 else final[name] for name in names]
        return y, tuple(last) if len(names) > 1 else last[0]

    def _batch(self, x: Any) -> tuple[int, ...] | None:
        """B, or nothing of one sequence; None of what is no input, which the layer says."""
        if isinstance(x, PackedSequence):
            return (int(x.batch_sizes[0]),) if len(x.batch_sizes) else None
        if not isinstance(x, Tensor) or x.is_nested or x.ndim not in (2, 3):
            return None
        return () if x.ndim == 2 else (x.shape[0 if self.layer.batch_first else 1],)

    def _states(self, hx: Any, count: int, full: tuple[Any, ...]) -> tuple[Tensor, ...]:
        """The tensors of ``hx``, each of the shape ``full``."""
        kind, told = self.kind.__name__, "(h, c)" if count > 1 else "a tensor h"
        given = tuple(hx) if count > 1 and isinstance(hx, tuple | list) else (hx,)
        if len(given) != count or not all(isinstance(value, Tensor) for value in given):
            got = type(hx).__name__
            if isinstance(hx, tuple | list):
                got += f" of {', '.join(type(one).__name__ for one in hx) if len(hx) == count else len(hx)}"
            raise TypeError(f"{kind}: hx is {got}; expected {told}, as torch.nn.{kind} takes it.")
        weight = next(iter(self.layer.directions()[0].spaces().values()))
        for name, value in zip("hc", given, strict=False):
            refuse_layout(f"{name} of hx", value, self._fail)
            if value.shape != full:
                batch = ", the batch" if len(full) == 3 else ""
                raise self._fail(
                    f"{name} of hx has the shape {list(value.shape)}; expected {list(full)}: layers times directions{batch}, N."
                )
            converted = not value.is_meta and torch.is_autocast_enabled(value.device.type)
            if value.device != weight.device or (value.dtype != weight.dtype and not converted):
                raise self._fail(
                    f"{name} of hx is {value.dtype} on {value.device}; expected {weight.dtype} on {weight.device} as the "
                    "weights. Move one of them with .to(...)."
                )
        return given

    def flatten_parameters(self) -> None:
        """Nothing: our parameters lie together. torch's layers have it, and training scripts call it."""

    def reset_parameters(self) -> None:
        """Draw all parameters anew as torch does, from ±1/√N; one seed gives what it gives torch's layer.

        Raises:
            ValueError: what a parametrization computes in place of a parameter cannot be set.
        """
        fresh = self.to_torch()
        fresh.reset_parameters()
        try:
            take(self.layer, self.limit, fresh)
        except ValueError as error:
            raise self._fail(f"reset_parameters: {error}") from error.__cause__

    def to_torch(self) -> nn.RNNBase:
        """torch's layer with these weights, on their device; its second bias is 0 where it only adds to the first.

        What is frozen here is frozen there.
        """
        first = next(self.layer.parameters())
        given = {name: getattr(self.layer, name) for name in OPTIONS}
        # which draws nothing; torch.nn.utils.skip_init takes no layer whose device is among its keywords
        module = self.kind(**given, device="meta", dtype=first.dtype).to_empty(device=first.device)
        for direction, _, suffix in places(self.layer):
            own, wanted = direction.tensors(), {name: one.requires_grad for name, one in direction.spaces().items()}
            spaces, lie = spaces_of(self.layer.cell, self.limit, own), mapped(self.layer.cell, self.limit, own)
            flat = torch.cat([first.new_zeros(1), *(value.detach().flatten() for value in own.values())])
            for name, target in named(module, suffix).items():
                with torch.no_grad():
                    target.zero_()
                    if name in lie:
                        index, shape = lie[name]
                        target.copy_(flat[index.to(first.device)].view(shape))
                target.requires_grad_(any(wanted[space] for space in spaces[name]))
        return module.train(self.training)

    def _load_from_state_dict(self, *given: Any) -> None:
        """A ``state_dict`` of torch's layer is put where ours has its parameters, after what the user's hooks do with it."""
        last = self.register_load_state_dict_pre_hook(OfTorch._put)  # type: ignore[no-untyped-call]  # torch has no types here
        try:
            super()._load_from_state_dict(*given)
        finally:
            last.remove()

    def _put(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: list[str], *more: list[str]
    ) -> None:
        for direction, place, suffix in places(self.layer) if f"{prefix}weight_ih_l0" in state_dict else []:
            own = {name: value.detach() for name, value in direction.tensors().items()}
            known = {name: shape for name, (_, shape) in mapped(self.layer.cell, self.limit, own).items()}
            known = {name: known.get(name, known["bias_ih_l0"]) for name in (TORCHS if self.bias else TORCHS[:2])}
            keys = {name: prefix + name.replace("_l0", suffix) for name in known}
            theirs = {name: state_dict.pop(key) for name, key in keys.items() if key in state_dict}
            missing += [key for name, key in keys.items() if name not in theirs]
            wrong = [name for name, value in theirs.items() if value.shape != known[name]]
            more[1].extend(
                f"size mismatch for {keys[name]}: the file has {list(theirs[name].shape)}, the layer {list(known[name])}."
                for name in wrong
            )
            if len(theirs) == len(known) and not wrong:
                found = gathered(self.layer.cell, self.limit, own, theirs)
                state_dict.update({f"{prefix}layer.{place}{name}": value for name, value in found.items()})

    def __getattr__(self, name: str) -> Any:
        if name.startswith(WEIGHTS + CHECKS):
            raise AttributeError(self._elsewhere(name))
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith(WEIGHTS + CHECKS):
            raise AttributeError(self._elsewhere(name))
        super().__setattr__(name, value)

    def __prepare_scriptable__(self) -> NoReturn:
        raise RuntimeError(
            f"{self.kind.__name__}: torch.jit.script cannot read a swapped layer; expected torch's own. Script the model with "
            "layer.to_torch() in its place, or use torch.compile."
        )

    def _elsewhere(self, name: str) -> str:
        if name.startswith(CHECKS):
            return f"{self.kind.__name__}: a swapped layer has no {name}; expected a call. to_torch() gives a layer with it."
        return (
            f"{self.kind.__name__}: a swapped layer has no {name}; expected its weights in layer.cells[0].W, R and b, of "
            "several layers in layer.layers[l].cells[d]. layer.weight('R.z') is a view of one gate, to_torch() gives torch's."
        )

    def _fail(self, message: str) -> ValueError:
        return ValueError(f"{self.kind.__name__}: {message}")


def from_torch(module: nn.RNNBase, backend: str = "auto") -> OfTorch:
    """A layer of ours with the weights of a torch layer, its call and its results.

    Args:
        module: a ``torch.nn.LSTM``, ``GRU`` or ``RNN`` with tanh, trained or not, of any number of layers.
        backend: as in ``lo.RNN``.

    What is frozen stays so. Of its two biases ours has the sum.

    Raises:
        ValueError: it is none of these, or has a projection; only one of two biases is frozen; it has what a swap would lose:
            hooks, tied or computed weights, the code of a subclass.
        TypeError, ValueError: when called, for an ``hx`` that torch's layer would not take.

    Example:
        >>> import torch, lstm_odyssey as lo
        >>> theirs = torch.nn.LSTM(39, 100, num_layers=2, batch_first=True)
        >>> ours = lo.from_torch(theirs)
        >>> x = torch.randn(8, 50, 39)
        >>> torch.allclose(ours(x)[0], theirs(x)[0], atol=1e-5)
        True
    """
    refuse_lost(module)
    cell, limit = cell_of(module)
    first = next(module.parameters())
    options = {name: getattr(module, name) for name in OPTIONS}
    if options["num_layers"] == 1:
        options["dropout"] = 0.0  # torch allows one, which does nothing
    layer = RNN(cell, **options, backend=backend, device=first.device, dtype=first.dtype)
    take(layer, limit, module)
    _freeze(layer, limit, module)
    return OfTorch(layer, type(module), limit).train(module.training)


def _freeze(layer: RNN, limit: Limit, module: nn.RNNBase) -> None:
    """Of ours, let those need gradients whose parts in torch's layer do.

    Raises:
        ValueError: only some of the parts do.
    """
    for direction, _, suffix in places(layer):
        theirs, spaces = named(module, suffix), spaces_of(layer.cell, limit, direction.tensors())
        for space in direction.packed:
            parts = {name: theirs[name].requires_grad for name in theirs if space in spaces[name]}
            if len(set(parts.values())) > 1:
                free, frozen = (
                    ", ".join(name.replace("_l0", suffix) for name, needs in parts.items() if needs == wanted)
                    for wanted in (True, False)
                )
                raise ValueError(
                    f"from_torch: {free} needs gradients and {frozen} does not; expected both or neither, as ours is their "
                    "sum. Freeze both, or none."
                )
            direction.get_parameter(space).requires_grad_(any(parts.values()))
