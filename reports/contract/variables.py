"""What a stored study holds, as data: every variable with its dimensions, meaning and units, and every attribute.

``schema`` builds, checks, writes and reads datasets by these lists, so that a new variable is one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy

FORMAT = 1
"""Number of the layout; a file with a larger one was written by a newer package."""

PACKAGE = "lstm-odyssey"

STATUSES = ("ok", "diverged", "failed", "missing")
"""How a trial ended. A hole of the array is a trial that has not been run: ``missing``."""

FINISHED = ("ok", "diverged")
"""Statuses that carry scores: what a diverged trial scored before it diverged stands."""

DIRECTIONS = ("minimize", "maximize")

FROM_FILE = "points"
"""What a study says of its draws where they are none, but the rows of a file."""

TASK = ("task",)
TRIAL = ("task", "variant", "trial")
CURVE = (*TRIAL, "epoch")
DIMENSIONS = CURVE
VIEW = (*TRIAL, "view")
VIEW_CURVE = (*CURVE, "view")
"""What a corpus has scored of its test set beside the whole; the dimension is there where a trial has such a score."""

COORDINATES = {
    "task": "corpus bound to one objective",
    "variant": "recurrent cell",
    "trial": "index of the random draw",
    "epoch": "epochs trained; 0 is before training",
    "view": "what is scored of the test set beside the whole",
}


SCORE = "score"
"""The units of what is measured in the task's metric: its units and direction are the task's."""

NOTHING: dict[str, tuple[Any, Any]] = {
    "number": (numpy.nan, numpy.float64), "whole": (-1, numpy.int64), "flag": (False, bool), "text": ("", object),
}  # fmt: skip
"""By kind, what stands where there is nothing, and the type of the array."""


class Variable(NamedTuple):
    """One variable of a dataset.

    Attributes:
        name: as in the dataset and in a trial's file.
        kind: ``number`` (float64, NaN where there is none), ``whole`` (int64), ``flag`` (bool) or ``text``.
        dims: dimensions, in order.
        long_name: what it is, in words.
        units: unit; ``1`` for a pure number, empty for a text, or a name for what differs from study to study.
        timed: measured with a clock or describing the machine: differs from run to run.
        whole: a number that a trial's file holds as a whole one; in the dataset it is NaN where there is none.
    """

    name: str
    kind: Literal["number", "whole", "flag", "text"]
    dims: tuple[str, ...]
    long_name: str
    units: str = ""
    timed: bool = False
    whole: bool = False

    def empty(self, sizes: Mapping[Any, int]) -> numpy.ndarray[Any, Any]:
        """An array to be filled, which holds nothing yet."""
        nothing, kind = NOTHING[self.kind]
        return numpy.full([sizes[dim] for dim in self.dims], nothing, kind)

    def filled(
        self, values: numpy.ndarray[Any, Any], units: Mapping[str, str] | None = None
    ) -> tuple[tuple[str, ...], numpy.ndarray[Any, Any], dict[str, str]]:
        """The variable as xarray takes it, in the manner of the CF conventions; ``units`` says what their names stand for."""
        if self.kind == "text":
            values = numpy.array(values.tolist(), str).reshape(values.shape)
        words = {"long_name": self.long_name}
        return self.dims, values, words | ({"units": (units or {}).get(self.units, self.units)} if self.units else {})


VARIABLES = (
    Variable("metric", "text", TASK, "what the scores measure"),
    Variable("units", "text", TASK, "units of the scores"),
    Variable("direction", "text", TASK, "which scores are better"),
    Variable("chance", "number", TASK, "score of the best constant prediction", SCORE),
    Variable("checksum", "text", TASK, "checksum of the corpus as trained on"),
    Variable("status", "text", TRIAL, "how the trial ended: " + ", ".join(STATUSES)),
    Variable("reason", "text", TRIAL, "why a trial failed or diverged"),
    Variable("trial_id", "text", TRIAL, "hash of everything the trial's numbers depend on"),
    Variable("seed", "whole", TRIAL, "seed of the study the trial belongs to", "1"),
    Variable("diverged_epoch", "number", TRIAL, "epoch in which the loss ceased to be finite", "1", whole=True),
    Variable("best_epoch", "number", TRIAL, "epoch of the best validation score", "1", whole=True),
    Variable("best_valid", "number", TRIAL, "validation score at the best epoch", SCORE),
    Variable("best_test", "number", TRIAL, "test score at the best epoch", SCORE),
    Variable("best_test_per_sequence", "number", TRIAL, "test score at the best epoch, mean over sequences", SCORE),
    Variable("final_valid", "number", TRIAL, "validation score after the last epoch", SCORE),
    Variable("n_parameters", "number", TRIAL, "trained parameters of the whole net", "1", whole=True),
    Variable("epochs", "number", TRIAL, "epochs trained", "1", whole=True),
    Variable("seconds", "number", TRIAL, "processor time of the trial's own updates and scoring", "s", timed=True),
    Variable("training_seconds", "number", TRIAL, "processor time of the trial's own updates", "s", timed=True),
    Variable("wall_seconds", "number", TRIAL, "time of day that passed in own updates and scoring", "s", timed=True),
    Variable(
        "shared_seconds",
        "number",
        TRIAL,
        "processor time of order, noise and batches, once a block of trials",
        "s",
        timed=True,
    ),
    Variable("frames_per_second", "number", TRIAL, "training frames by training_seconds", "frames/s", timed=True),
    Variable("environment", "whole", TRIAL, "index into the attribute 'environments', -1 if none", "1", timed=True),
    Variable("train_loss", "number", CURVE, "training loss of the task's objective, divided by frames", "nats/frame"),
    Variable("valid", "number", CURVE, "validation score", SCORE),
    Variable("test", "number", CURVE, "test score, where validation improved", SCORE),
    Variable(
        "epoch_seconds", "number", CURVE, "processor time of the epoch's own updates and scoring", "s", timed=True
    ),
)

VIEWS = (
    Variable("best_test_view", "number", VIEW, "test score at the best epoch, of a part or of folded classes", SCORE),
    Variable("test_view", "number", VIEW_CURVE, "the same where validation improved", SCORE),
)
"""The variables of the dimension ``view``, NaN of a task that has another view."""

WORDS: dict[str, tuple[str, str]] = {
    "hidden_size": ("hidden units per layer and direction", "1"),
    "learning_rate": ("learning rate", "1"),
    "momentum": ("momentum", "1"),
    "input_noise": ("standard deviation of the input noise", "1"),
    "nesterov": ("Nesterov momentum, else classical", "1"),
    "clip_gradient": ("each component of the gradient clipped to [-1, 1]", "1"),
    "initial_std": ("standard deviation of the initial weights", "1"),
}
"""Long name and units of the hyperparameters that are known; any other is called by its name."""

BOOLEAN, WHOLE = "boolean", "whole"
"""An attribute ``values`` of a hyperparameter: what its floats are; it has none where they are numbers like any other."""

SCORES = tuple(stored.name for stored in VARIABLES if stored.units == SCORE and stored.dims == TRIAL)
"""What a trial scores, in the task's metric."""

INSTEAD_OF = {"nesterov": "momentum", "initial_std": "initial_std"}
"""Hyperparameters that decide, where they are drawn, what an option of the protocol decides else."""

MEASURED = tuple(stored.name for stored in VARIABLES if stored.timed and stored.dims != TASK)
"""What a clock or the machine decided of a trial. A file of an older version may lack one of these: it is missing then."""

TEXT_ATTRIBUTES = ("package", "created", "draws", "profile", "dtype", "backend", "device")
WHOLE_ATTRIBUTES = ("format", "seed")
JSON_ATTRIBUTES = ("protocol", "distributions", "tasks", "variants", "environment", "environments", "more")
"""Attributes that hold one JSON text each: netCDF knows no attribute that is None, a truth value or a mapping."""

TIMED_ATTRIBUTES = ("created", "environment", "environments")
