"""A block: consecutive trials of one variant on one task, trained together by one worker.

On a backend that pads a block must always have the same members, so that a trial's rounding never depends on which of its
neighbours were missing: absent indices are filled with ghosts, drawn like any trial and not stored.
On other backends a block is no more than what a worker is given at once, and what is stored of it is not run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lstm_odyssey.backends import pads, promise
from lstm_odyssey.plugins import origins, registry
from lstm_odyssey.study.asked import points
from lstm_odyssey.study.asked.search import draw
from lstm_odyssey.study.stored.store import FORMAT, Store, StoreError, trial_id
from lstm_odyssey.study.stored.trials import CURVES, FINISHED, NUMBERS
from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.distributions import distribution_from_dict
from lstm_odyssey.training.environment import environment, of_device
from lstm_odyssey.training.protocol import Protocol
from lstm_odyssey.training.random_streams import digest

if TYPE_CHECKING:
    from lstm_odyssey.cell import Cell
    from lstm_odyssey.tasks.declare import Corpus
    from lstm_odyssey.training.loop import Population


@dataclass(frozen=True)
class Block:
    """One block of a stored study.

    Args:
        study: the content of study.json.
        task, variant: names.
        number: the block holds the trials number·size to number·size + size - 1.
    """

    study: dict[str, Any]
    task: str
    variant: str
    number: int

    @property
    def name(self) -> str:
        """What its checkpoint and its progress are filed under."""
        return digest([self.task, self.variant, self.number])[:16]

    @property
    def indices(self) -> range:
        size = self.study["block_size"]
        return range(self.number * size, (self.number + 1) * size)

    @property
    def reported(self) -> range:
        """The indices that the study asks for; the rest are ghosts."""
        return range(self.indices.start, min(self.indices.stop, self.study["trials"]))

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        """The hyperparameters of the cell's trials where they come from a file."""
        return points.rows(self.study["points"], self.task, self.variant) if "points" in self.study else []

    @cached_property
    def _drawn(self) -> dict[int, dict[str, Any]]:
        return {}  # a trial is asked for many times, and a draw costs a millisecond

    def hyperparameters(self, index: int) -> dict[str, Any]:
        """What a trial is trained with: drawn, or a row of the study's points."""
        if self._rows:
            return dict(self._rows[index % len(self._rows)])  # beyond the last row only ghosts are asked for
        if index not in self._drawn:
            space = {**self.study["tasks"][self.task]["space"], **self.study["variants"][self.variant].get("space", {})}
            self._drawn[index] = draw(
                {name: distribution_from_dict(content) for name, content in space.items()}, seed=self.study["seed"],
                task=self.task, variant=self.variant, index=index, draws=self.study["draws"],
            )  # fmt: skip
        return dict(self._drawn[index])

    def _pads(self, index: int) -> bool:
        """Whether a trial's rounding may depend on the others of its block."""
        study = self.study
        return pads(study["backend"], study["variants"][self.variant], self.hyperparameters(index)["hidden_size"])

    @property
    def pads(self) -> bool:
        """Whether any of its trials has to be run with all of them."""
        return any(self._pads(index) for index in self.indices)

    def trial_id(self, index: int, padded: bool | None = None) -> str:
        """A trial's id; ``padded`` where it is known better than here whether its backend pads."""
        study = self.study
        backend = {"name": study["backend"]}
        if self._pads(index) if padded is None else padded:
            backend["block_size"] = study["block_size"]
        if study["device"] != "cpu":
            backend["device"] = study["device"]
        return trial_id(
            signature=study["variants"][self.variant]["signature"],
            variant=self.variant,
            corpus=study["tasks"][self.task]["checksum"],
            objective=study["tasks"][self.task]["objective"],
            bidirectional=study["tasks"][self.task]["bidirectional"],
            hyperparameters=self.hyperparameters(index),
            trial=index,
            seed=study["seed"],
            protocol=Protocol.from_dict(study["protocol"]).departures(),
            dtype=study["dtype"],
            backend=backend,
        )

    def finished(self, store: Store) -> dict[int, dict[str, Any]]:
        """The stored trials that ended, by index."""
        found = {index: store.read_trial(self.trial_id(index)) for index in self.reported}
        return {index: trial for index, trial in found.items() if trial is not None and trial["status"] in FINISHED}

    def missing(self, store: Store) -> list[int]:
        """Reported indices that are not finished; failed ones are tried again."""
        finished = self.finished(store)
        return [index for index in self.reported if index not in finished]

    def sources(self, data: str | None) -> tuple[Cell, Corpus]:
        """The cell and the corpus, found to be the study's.

        Args:
            data: where the corpus lies, if it is not in the package.

        Raises:
            CorpusError, StoreError: the corpus cannot be loaded here, or it or the cell is another here.
            UnknownNameError, PluginError: the cell or the task is not to be had here.
        """
        origins.refuse_absent("task", [self.task], self.study["tasks"])
        origins.refuse_absent("variant", [self.variant], self.study["variants"])
        corpus = registry.load_corpus(self.task, data)
        expected = self.study["tasks"][self.task]["checksum"]
        if corpus.fingerprint != expected:
            raise CorpusError(
                f"task '{self.task}': the corpus here has checksum {corpus.fingerprint[:12]}, the study's has "
                f"{expected[:12]}. Pass --data {self.task}=PATH with the study's corpus."
            )
        cell = registry.variant(self.variant)
        facts = self.study["variants"][self.variant]
        if cell.signature != facts["signature"]:
            raise StoreError(origins.another(self.variant, cell.signature, facts))
        return cell, corpus

    def train(self, cell: Cell, corpus: Corpus, wanted: Sequence[int], **options: Any) -> Population:
        """Train some of its trials as the study says: with all of the block where its backend pads.

        Args:
            cell, corpus: as ``sources`` gives them.
            wanted: indices.
            options: further ones of ``training.loop.train``.
        """
        # Here, not above: who reads or prints a study has blocks too, and torch takes longer to import than a study to read.
        from lstm_odyssey.training.loop import Trial, train

        study, task = self.study, self.study["tasks"][self.task]
        members = self.indices if self.pads else wanted
        trials = [Trial(index, self.hyperparameters(index), index not in self.reported) for index in members]
        return train(
            cell, corpus, task["objective"], trials, Protocol.from_dict(study["protocol"]), seed=study["seed"],
            bidirectional=task["bidirectional"], backend=study["backend"], dtype=study["dtype"], device=study["device"],
            **options,
        )  # fmt: skip

    def record(self, index: int, result: dict[str, Any]) -> dict[str, Any]:
        """A trial as it is stored; where it ran includes the versions of plugins, as they are known here."""
        computed = of_device(self.study["device"])
        computed |= promise(self.study["backend"], self.study["tasks"][self.task]["objective"])
        plugins = (registry.origin("variant", self.variant), registry.origin("task", self.task))
        return {
            "format": FORMAT,
            "trial_id": self.trial_id(index),
            "task": self.task,
            "variant": self.variant,
            "trial": index,
            "seed": self.study["seed"],
            "hyperparameters": self.hyperparameters(index),
            "environment": {**environment(), **computed, **origins.versions(plugins)},
            **result,
        }

    def failed(self, index: int, reason: str) -> dict[str, Any]:
        """The record of a trial that could not be run."""
        curves: dict[str, list[Any]] = {name: [] for name in CURVES}
        said = reason.encode("utf-8", "replace").decode()  # an author's text may hold what no file can
        return self.record(index, {"status": "failed", "reason": said, "curves": curves, **dict.fromkeys(NUMBERS)})
