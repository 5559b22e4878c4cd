"""What hangs on a layer of torch and would be lost by a swap in silence: refused, each in one sentence with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNormLoadStateDictPreHook

KINDS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}

REMOVED = {
    "WeightNorm": "torch.nn.utils.remove_weight_norm(module, '{name}')",
    "SpectralNorm": "torch.nn.utils.remove_spectral_norm(module, '{name}')",
}
"""By the hook that computes a weight, the way to a plain one; of every other hook it is that of ``prune``."""


def refuse_lost(module: Any) -> None:
    """Refuse a layer that is more than its weights and options.

    Raises:
        ValueError: it is of a subclass, or quantized; a weight is computed or shared; it has hooks, modules or buffers.
    """
    own = type(module)
    if own.__name__ in KINDS and not isinstance(module, nn.RNNBase):
        raise ValueError(
            f"from_torch: got {own.__module__}.{own.__name__}; expected torch.nn.{own.__name__}. Swap the layer that it was "
            "made of, before it is quantized."
        )
    if not isinstance(module, nn.RNNBase):
        return  # what it is instead is said where its cell is looked up
    base = next((name for name, kind in KINDS.items() if isinstance(module, kind)), "RNNBase")
    if why := next(_lost(module, base), None):
        raise ValueError(f"from_torch: {why}")


def _lost(module: nn.RNNBase, base: str) -> Iterator[str]:
    kind = f"torch.nn.{base}"
    if parametrize.is_parametrized(module):
        name = next(iter(module.parametrizations))  # type: ignore[arg-type]  # a ModuleDict
        yield (
            f"{kind} has a parametrization of {name}; expected plain weights, as it would be lost. Call "
            f"torch.nn.utils.parametrize.remove_parametrizations(module, '{name}') first."
        )
    if not type(module).__module__.startswith("torch.nn."):
        yield (
            f"got {type(module).__name__}, a subclass of {kind}; expected {kind} itself, as what the subclass adds would be "
            f"lost. Make a {kind} of the same sizes, load_state_dict(module.state_dict()), and give that."
        )
    own = vars(module)
    names = list(own["_flat_weights_names"])
    for name in names:
        if name not in own["_parameters"]:
            makers = [hook for hook in own["_forward_pre_hooks"].values() if _names(hook) == name]
            maker = type(makers[0]).__name__ if makers else "none"
            how = REMOVED.get(maker, "torch.nn.utils.prune.remove(module, '{name}')").format(name=name)
            yield f"{name} of {kind} is computed; expected a parameter, as what computes it would be lost. Call {how} first."
    replaced = [name for name in own if callable(getattr(type(module), name, None))]
    parts = [*own["_parameters"], *own["_buffers"], *own["_modules"], *replaced]
    more = [name for name in parts if name not in names]
    if more:
        yield f"{kind} has a {more[0]} of its own; expected none, as it would be lost. Take it off."
    for where, hooks in own.items():
        left = [hook for hook in hooks.values() if not _remains(hook)] if isinstance(hooks, Mapping) else []
        if "hook" in where and left:
            told = ", whose state_dict has names of its own" if "state_dict" in where else ""
            yield (
                f"{kind} has the hook {_called(left[0])} ({where}); expected none, as it would be lost. "
                f"Remove it, and register it on the layer that from_torch returns{told}."
            )
    yield from _shared(module, names, kind)


def _shared(module: nn.RNNBase, names: list[str], kind: str) -> Iterator[str]:
    """Weights that are one, and hooks of a weight."""
    seen: dict[object, str] = {}
    for name in names:
        value = module.get_parameter(name)
        for key in (id(value), *([("at", value.data_ptr())] if value.numel() and not value.is_meta else [])):
            if seen.setdefault(key, name) != name:
                yield (
                    f"{seen[key]} and {name} of {kind} are one tensor; expected each its own, as ours would be trained apart. "
                    f"Untie them: module.{name} = torch.nn.Parameter(module.{name}.detach().clone())."
                )
        for where in ("_backward_hooks", "_post_accumulate_grad_hooks"):
            hooks: dict[int, Any] = getattr(value, where, None) or {}
            if hooks:
                yield (
                    f"{name} of {kind} has the hook {_called(next(iter(hooks.values())))}; expected none, as it would be lost. "
                    "Remove it, and register it on a parameter of the layer that from_torch returns, as layer.cells[0].R."
                )


def _names(hook: Any) -> str:
    """Which weight a hook computes: torch's own keep its name, prune's under another."""
    return str(getattr(hook, "name", getattr(hook, "_tensor_name", "")))


def _remains(hook: Any) -> bool:
    """Whether it is the hook that torch's ``remove_spectral_norm`` means to take off and leaves, as it stands in a wrapper."""
    return isinstance(getattr(hook, "hook", None), SpectralNormLoadStateDictPreHook)


def _called(hook: Any) -> str:
    return str(getattr(hook, "__name__", type(hook).__name__))
