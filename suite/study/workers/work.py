"""What a worker does with a block: train what is missing of it, and store it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lstm_odyssey.plugins import registry
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.stored.locking import claimed
from lstm_odyssey.study.stored.store import Store, StoreError
from lstm_odyssey.study.stored.trials import comparable
from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.training.environment import environment

if TYPE_CHECKING:
    from lstm_odyssey.training.loop import Population

CLAIMED = -1
"""What ``run_block`` returns of a block that another run computes."""


def run_block(spec: dict[str, Any]) -> int:
    """Train what is missing of a block and store it; the function that workers run.

    Args:
        spec: ``store`` (path), ``token`` (of the study), ``task``, ``variant``, ``number``, ``trials`` (of the study, as the
            client knows it: another run may have extended it since), ``data`` (a path or None), ``plugins``, the files that the
            task and the variant come from, ``patience``, seconds to wait for another run that computes this block, and
            ``source``, of the package where the run began.

    Returns:
        How many trials were stored; ``CLAIMED`` if another run computes the block.

    Raises:
        StoreError: the worker does not see the study's store, or package, corpus or variant are others here.
        CorpusError: the corpus cannot be loaded here.
        PluginError: the worker does not find a plugin's file, or cannot run it.
    """
    store = Store(spec["store"])
    study = store.study()
    if study is None or study["token"] != spec["token"]:
        raise StoreError(
            f"store {store.path}: a worker finds {'no study' if study is None else 'another study'} there; expected the one "
            "the study was started with. The store must be one path that all machines share."
        )
    source = environment()["source"]
    if source != spec["source"]:
        raise StoreError(
            f"store {store.path}: a worker has lstm-odyssey with source {source}, and the run began with {spec['source']}; "
            "expected one source in all processes of a run. Files of an editable install were changed meanwhile, or machines "
            "have different versions: install one wheel everywhere and run the study again."
        )
    registry.load_plugins(spec["plugins"])
    block = Block({**study, "trials": spec["trials"]}, spec["task"], spec["variant"], spec["number"])
    with claimed(store, f"block-{block.name}", spec["patience"]) as ours:
        return _run_claimed(store, block, spec["data"]) if ours else CLAIMED


def _run_claimed(store: Store, block: Block, data: str | None) -> int:
    """Run what is missing of a block that no other process computes."""
    from lstm_odyssey.study.workers.beginning import compiled, planned_group
    from lstm_odyssey.training.loop import what_fits

    missing = block.missing(store)
    if not missing:
        store.end_block(block.name)
        return 0
    cell, corpus = block.sources(data)
    told = [0.0]

    def tell(population: Population) -> None:
        if time.monotonic() - told[0] > 0.3:
            told[0] = time.monotonic()
            best = float(population.best_valid.min())
            done = max(0, population.epoch - 1) + population.part  # of epochs; the scoring before training is none
            store.report_progress(block.name, done, population.protocol.epochs, best)

    try:
        study, epochs = block.study, block.study["protocol"]["epochs"]
        sizes = [block.hyperparameters(index)["hidden_size"] for index in missing]
        given = (study, block.task, cell, corpus, sizes)
        compiled(*given, lambda doing: store.report_progress(block.name, 0, epochs, float("inf"), doing))
        file = store.checkpoints_folder / f"{block.name}.npz"
        options = {"keep_weights": study["keep_weights"] == "best", "checkpoint_file": file, "on_update": tell}
        population = what_fits(
            lambda group: block.train(cell, corpus, missing, group=group, **options), len(missing), block.pads,
            planned_group(*given),
        )  # fmt: skip
        _store(store, block, population, missing)
    except (StoreError, CorpusError):
        raise
    except Exception as error:  # noqa: BLE001 - a trial that cannot be run is a result, with its reason
        memory = any(words in str(error).lower() for words in ("out of memory", "allocate memory"))
        advice = " Make a new study with a smaller --block-size." if memory else ""
        for index in block.missing(store):  # looked up anew: what has been stored meanwhile stands
            store.write_trial(block.failed(index, f"{type(error).__name__}: {error}{advice}"))
    store.end_block(block.name)
    return len(missing)


def _store(store: Store, block: Block, population: Population, missing: list[int]) -> None:
    """Store the missing trials; what was stored before has to come out the same, bit for bit."""
    indices = [trial.index for trial in population.trials]
    for member, index in enumerate(indices):
        if index not in block.reported or index in missing:
            continue
        record = block.record(index, population.record(member))
        there = store.read_trial(record["trial_id"])
        if there is not None and comparable(there, record) != comparable(record, there):
            raise ArithmeticError(
                f"trial {index} of '{block.variant}' on '{block.task}' is stored and came out otherwise when its block was "
                f"run again: stored on {there['environment']}, now on {environment()}. Numbers are bitwise the same on one "
                "processor model and versions only; make a new study here, or go on where this one was begun"
            )
    for member, index in enumerate(indices):
        if index in missing:
            record = block.record(index, population.record(member))
            if population.keeps_weights:
                store.write_weights(record["trial_id"], population.best_member_weights(member))
            store.write_trial(record)
