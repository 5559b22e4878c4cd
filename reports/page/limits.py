"""Trials that the limit of epochs ended, and what that says of the hyperparameters they had."""

from __future__ import annotations

import numpy
import xarray

from lstm_odyssey.reports.contract.validation import attribute, hyperparameters
from lstm_odyssey.reports.contract.variables import FINISHED, TRIAL
from lstm_odyssey.reports.page.importance import learning_rate_share

RATE = "learning_rate"

WORTH_TELLING = 0.1
"""Share of the finished trials from which on the limit is told of."""


def limited(study: xarray.Dataset) -> xarray.DataArray:
    """Which finished trials ended at the limit of epochs and were not stopped before (task, variant, trial)."""
    limit = attribute(study, "protocol").get("epochs")
    ended = study["status"].isin(FINISHED) & (study["status"] != "diverged")
    found = ended & (study["epochs"] == (-1 if limit is None else limit))
    return (
        found.transpose(*TRIAL)
        .rename("limited")
        .assign_attrs(long_name=f"whether it ended at the limit of {limit} epochs")
    )


def limit_text(study: xarray.Dataset, task: str, cuts: xarray.Dataset | None) -> str:
    """How many trials of a task the limit ended, with which learning rates, and what their rate's share is without them.

    Args:
        study: the study.
        task: of it.
        cuts: functional ANOVAs at several cut-offs, that of the better half among them.
    """
    part, found = study.sel(task=task), limited(study).sel(task=task).values
    finished = numpy.isin(part["status"].values, FINISHED)
    if RATE not in hyperparameters(study) or found.sum() < max(1, WORTH_TELLING * finished.sum()):
        return ""
    still = found & (part["best_epoch"].values == part["epochs"].values)
    rate = part[RATE].values
    low, high = numpy.quantile(rate[finished], [0.25, 0.75])
    slow, fast = (100 * found[finished & chosen].mean() for chosen in (rate <= low, rate >= high))
    text = (
        f"{found.sum():,} of {finished.sum():,} trials ended at the limit of {attribute(study, 'protocol')['epochs']} epochs, "
        f"{still.sum():,} of them with their best score in the last one. Of the quarter with the smallest "
        f"learning rates {slow:.0f} % ended there, of the quarter with the largest {fast:.0f} %."
    )
    if slow <= 2 * fast:
        return text
    text += " Much of the learning rate's share is that they had not converged."
    shares = learning_rate_share(cuts, task)
    return f"{text} Among the better half of the scores it is {shares}." if shares else text
