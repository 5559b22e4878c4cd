"""What must not move while modules do: short trainings of every kind, a store, a netCDF, and layers as files.

``tests/yardstick_files`` was written by commit 27c19a4 plus this module and is never made anew by a change of structure. On the
processor and with the versions that made it every bit has to come out again, elsewhere the same ids, and scores to
``TOLERANCE``. A change that is *meant* to change numbers writes it anew and says so: ``python -m tests.yardstick``.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lstm_odyssey as lo
from lstm_odyssey.study.stored.store import trial_id
from lstm_odyssey.training.environment import COMPUTING, environment
from lstm_odyssey.training.loop import Population, Trial, train
from lstm_odyssey.training.protocol import Protocol
from tests.corpora import CORPORA
from tests.small import settings

FILES = Path(__file__).parent / "yardstick_files"
PAPER = ("vanilla", "nig", "nfg", "nog", "niaf", "noaf", "no_peepholes", "cifg", "fgr")
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}
"""Largest relative difference of a score on another processor, after a few dozen updates."""
DRAWS = (
    {"hidden_size": 9, "learning_rate": 3e-3, "momentum": 0.9, "input_noise": 0.3},
    {"hidden_size": 5, "learning_rate": 1e-3, "momentum": 0.5, "input_noise": 0.0},
)

Case = tuple[str, str, str, str, bool]
CASES: tuple[Case, ...] = (
    *((cell, "numba", "float32", "next_frame", False) for cell in (*PAPER, "mut1", "slstm")),
    *((cell, "eager", "float32", "next_frame", False) for cell in (*PAPER, "mut1", "slstm")),
    *((cell, "numba", "float32", "frames", True) for cell in (*PAPER, "mut1", "slstm")),
    *((cell, "numba", "float64", "frames", False) for cell in ("vanilla", "fgr", "mut1")),
    *((cell, "eager", "float64", "frames", True) for cell in ("vanilla", "fgr", "slstm")),
    *((cell, "numba", "float32", "ctc", True) for cell in ("vanilla", "cifg")),
)
"""Variant, backend, dtype, objective, and whether there are two directions."""


def name(case: Case) -> str:
    """A case in words."""
    return "-".join(map(str, case[:4])) + ("-both" if case[4] else "")


def trained(case: Case) -> Population:
    """Two trials of a case, three epochs."""
    variant, backend, dtype, objective, both = case
    trials = [Trial(index, draw) for index, draw in enumerate(DRAWS)]
    return train(
        lo.variant(variant),
        CORPORA[objective](),
        objective,
        trials,
        Protocol(epochs=3),
        seed=7,
        bidirectional=both,
        backend=backend,
        dtype=dtype,
        keep_weights=True,
    )


def digest(weights: dict[str, Any]) -> str:
    """A hash of weights by name, bit by bit."""
    text = hashlib.sha256()
    for key in sorted(weights):
        values = np.ascontiguousarray(weights[key])
        text.update(f"{key} {values.shape} {values.dtype}".encode() + values.tobytes())
    return text.hexdigest()


def measured(case: Case) -> dict[str, Any]:
    """Ids, weights and scores of a case's two trials, as plain data."""
    variant, backend, dtype, objective, both = case
    population = trained(case)
    ids = [
        trial_id(
            signature=lo.variant(variant).signature,
            variant=variant,
            corpus=population.corpus.fingerprint,
            objective=objective,
            bidirectional=both,
            hyperparameters=dict(draw),
            trial=index,
            seed=7,
            protocol=Protocol(epochs=3).departures(),
            dtype=dtype,
            backend={"name": backend},
        )
        for index, draw in enumerate(DRAWS)
    ]
    records = [population.record(member) for member in range(len(DRAWS))]
    return {
        "ids": ids,
        "weights": [digest(population.member_weights(member)) for member in range(len(DRAWS))],
        "best_weights": [digest(population.best_member_weights(member)) for member in range(len(DRAWS))],
        "valid": [record["curves"]["valid"] for record in records],
        "best_test": [record["best_test"] for record in records],
        "n_parameters": [record["n_parameters"] for record in records],
    }


def machine() -> dict[str, str]:
    """What the bits depend on beside the package's own source."""
    here = environment()
    return {field: here[field] for field in COMPUTING if field in here and field != "source"}


def layers() -> dict[str, lo.RNN]:
    """Layers as users keep them: one network in two directions, and a population of three sizes."""
    torch.manual_seed(3)
    return {"one": lo.RNN("fgr", 3, 6, bidirectional=True), "population": lo.RNN("cifg", 4, [6, 3, 5])}


def called(layer: lo.RNN) -> dict[str, torch.Tensor]:
    """A layer's output and states on a fixed input, by name."""
    shape = (
        (5, 2, layer.input_size) if len(layer.hidden_sizes) == 1 else (5, len(layer.hidden_sizes), 2, layer.input_size)
    )
    x = torch.from_numpy(np.random.default_rng(5).normal(size=shape).astype(np.float32))
    with torch.no_grad():
        y, state = layer(x)
    return {"output": y, **state}


def write(folder: Path) -> None:
    """Write all of it into a folder that is empty or does not exist."""
    folder.mkdir(exist_ok=True)
    content = {"machine": machine(), "cases": {name(case): measured(case) for case in CASES}}
    (folder / "trials.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for key, layer in layers().items():
        (folder / f"{key}.pickle").write_bytes(pickle.dumps(layer))
        torch.save(layer.state_dict(), folder / f"{key}.pt")
        np.savez(folder / f"{key}.npz", **{key: value.numpy() for key, value in called(layer).items()})
    with tempfile.TemporaryDirectory() as scratch:
        lo.run(folder / "store", settings(Path(scratch), trials=3, epochs=2, block_size=2, keep_weights="best"))
    for left in ("checkpoints", "progress"):
        shutil.rmtree(folder / "store" / left, ignore_errors=True)


if __name__ == "__main__":
    shutil.rmtree(FILES, ignore_errors=True)
    write(FILES)
