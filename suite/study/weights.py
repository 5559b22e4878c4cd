"""``lo.load_network``: a stored trial's best weights as a module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from lstm_odyssey.plugins import registry
from lstm_odyssey.plugins.paths import expanded
from lstm_odyssey.study.results import gather
from lstm_odyssey.study.stored.store import Store, StoreError
from lstm_odyssey.tasks.nearest import nearest

if TYPE_CHECKING:
    import xarray

    from lstm_odyssey.training.network import TrainedNetwork


def load_network(
    study: str | Path, task: str | None = None, variant: str | None = None, trial: int | None = None
) -> TrainedNetwork:
    """The network of a stored trial, with the weights of its best epoch.

    Args:
        study: a store's folder; its study was run with ``keep_weights="best"``.
        task, variant: names; may be left out where the study has one.
        trial: an index; by default the best by validation of those that have weights.

    Returns:
        A module that maps x [T, B, M] to logits [T, B, K], in evaluation mode: a layer, ``network.rnn``, and the output
        layer. ``hyperparameters`` are the trial's, ``trial`` is its index.

    Raises:
        StoreError: there is no study or no weights, or a file is damaged.
        UnknownNameError, PluginError: the variant is not to be had here.

    Example:
        >>> import lstm_odyssey as lo
        >>> network = lo.load_network("study", "bach", "vanilla")  # doctest: +SKIP
        >>> logits = network(x)  # doctest: +SKIP
    """
    store = Store(expanded(study))
    dataset = gather(store)
    names = {name: _one(store, dataset, name, given) for name, given in (("task", task), ("variant", variant))}
    rows = dataset.sel(names)
    kept = [
        index
        for index in rows["trial"].values.tolist()
        if (store.weights_folder / f"{rows['trial_id'].sel(trial=index).item()}.npz").exists()
    ]
    if not kept or (trial is not None and trial not in kept):
        what = f"{names['variant']} on {names['task']}" + ("" if trial is None else f", trial {trial}")
        raise StoreError(
            f"store {store.path}: no weights of {what}; expected those of a finished trial. Run the study with "
            "--keep-weights best."
        )
    if trial is None:
        scores = rows["best_valid"].sel(trial=kept)
        maximize = str(rows["direction"].item()) == "maximize"
        trial = int(scores.idxmax("trial") if maximize else scores.idxmin("trial"))
    record = store.read_trial(str(rows["trial_id"].sel(trial=trial).item()))
    assert record is not None  # gathered a moment ago
    path = store.weights_folder / f"{record['trial_id']}.npz"
    try:
        # opened here, since numpy leaves a damaged file open that it opened itself
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            weights = {name: file[name] for name in file.files}
        return _network(store, names, record, weights)
    except (OSError, ValueError, KeyError, RuntimeError, BadZipFile) as wrong:
        raise StoreError(
            f"{path}: damaged, or of another cell ({wrong}); expected the weights of trial {trial}. Delete it and the trial's "
            "file in the folder beside: the next run computes that trial again."
        ) from wrong


def _one(store: Store, dataset: xarray.Dataset, kind: str, given: str | None) -> str:
    there = [str(name) for name in dataset[kind].values.tolist()]
    if given is None and len(there) == 1:
        return there[0]
    if given not in there:
        raise StoreError(
            f"store {store.path}: {kind} is {given!r}; expected one of {nearest(given or '', there)}, which it holds."
        )
    return given


def _network(
    store: Store, names: Mapping[str, str], record: Mapping[str, Any], weights: Mapping[str, np.ndarray[Any, Any]]
) -> TrainedNetwork:
    from lstm_odyssey.training.network import TrainedNetwork

    study = store.study()
    assert study is not None  # as above
    cell = registry.variant(names["variant"])
    signature = study["variants"][names["variant"]]["signature"]
    if cell.signature != signature:
        raise StoreError(
            f"variant '{cell.name}': its signature is {cell.signature[:12]} here and {signature[:12]} in the study; expected "
            "the same cell. Install the version of its package that the study was run with."
        )
    return TrainedNetwork(
        cell,
        weights,
        dict(record["hyperparameters"]),
        record["trial"],
        bidirectional=study["tasks"][names["task"]]["bidirectional"],
        dtype=study["dtype"],
    )
