"""What a functional ANOVA says, and what the limit of epochs has to do with it, in sentences computed from the numbers."""

from __future__ import annotations

import numpy
import xarray

from lstm_odyssey.reports.contract.validation import attribute, hyperparameters
from lstm_odyssey.reports.contract.variables import FINISHED, TRIAL
from lstm_odyssey.reports.contract.wording import fixed, listed, named, percent, span
from lstm_odyssey.reports.fanova.refits import ENOUGH
from lstm_odyssey.reports.page.analyses import GOOD

RESPONSES = {
    "best_test": "the test score",
    "best_valid": "the validation score",
    "final_valid": "the last validation score",
    "seconds": "the training time",
    "frames_per_second": "the training throughput",
}
"""What can be explained, as a sentence names it."""

RATE = "learning_rate"

WORTH_TELLING = 0.1
"""Share of the finished trials from which on the limit is told of."""


def importance_text(importance: xarray.Dataset) -> list[str]:
    """What ``fanova`` found, one paragraph for each task, of the response as it is (not clipped).

    The predictable share of the variance (out-of-bag R²) over the cells, what each hyperparameter alone and all
    interactions take of it, from the largest to the smallest, and the cells whose shares describe little of the response.
    Cells of which the forest predicts nothing (R² of 0 or less) are named and have no shares. Cells with fewer than 50 finished
    trials give no headline: they are left out.
    """
    whole = importance.sel(clip=importance["clip"].values.max())
    response = str(importance.attrs["response"])
    response = RESPONSES.get(response, response.replace("_", " "))
    texts = []
    for task in whole["task"].values.tolist():
        part = whole.sel(task=task)
        part = part.isel(variant=(part["n"].values >= ENOUGH))
        if not part.sizes["variant"]:
            continue
        known = part["main_share"].notnull().any("hyperparameter").values | (part["r_squared"].values <= 0)
        if not known.any():
            notes = sorted({str(note) for note in part["note"].values if note}) or ["no finished trials"]
            texts.append(f"On {task} there is nothing to divide: {listed(notes)}.")
            continue
        told = part["r_squared"].values > 0
        explained, unexplained = (part.isel(variant=known & chosen) for chosen in (told, ~told))
        text = f"On {task} "
        if explained.sizes["variant"]:
            text += _shares(explained, response, importance.attrs["flagged_below"])
        if unexplained.sizes["variant"]:
            names, seen = unexplained["variant"].values.tolist(), spread(unexplained)
            if explained.sizes["variant"]:
                text += f" Of {listed(names)} it predicts nothing (R² {seen})."
            else:
                whose = f" of {names[0]}" if len(names) == 1 else " of any cell"
                text += f"a forest predicts nothing of {response}{whose} (R² {seen}): there are no shares to tell."
        if lost := part["variant"].values[~known].tolist():
            text += f" No analysis of {listed(lost)}."
        texts.append(text)
    return texts


def analysed(effects: xarray.Dataset, task: str) -> bool:
    """Whether anything is known of any cell on a task: not where every response is constant or trials are too few."""
    return bool(effects["main_share"].sel(task=task).notnull().any())


def spread(part: xarray.Dataset) -> str:
    """R² of the cells from the least to the largest; empty where no cell was analysed."""
    return span(part["r_squared"].values.tolist(), fixed)


def _shares(shown: xarray.Dataset, response: str, bound: float) -> str:
    """R² and the shares of the cells of which something is predicted."""
    names = shown["hyperparameter"].values.tolist()
    shares = {named(name): shown["main_share"].values[:, place] for place, name in enumerate(names)}
    shares["all interactions together"] = 1 - numpy.nansum(shown["main_share"].values, axis=1)
    shares = {name: values for name, values in shares.items() if not numpy.isnan(values).all()}
    ordered = sorted(shares, key=lambda name: -float(numpy.nanmean(shares[name])))
    cells = shown["variant"].values
    whose = f" of {cells[0]}" if cells.size == 1 else ", by cell"
    text = (
        f"a forest predicts {percent(shown['r_squared'].values)} of the variance of {response}"
        f"{whose}. Shares of that part: "
        f"{listed(f'{name} {percent(shares[name])}' for name in ordered)}."
    )
    if (poor := cells[shown["flagged"].values]).size:
        text += f" The shares of {listed(poor)} describe little: R² is below {bound:g}."
    return text


def learning_rate_share(cuts: xarray.Dataset | None, task: str) -> str:
    """The learning rate's share over the cells where the response is clipped at ``GOOD``; empty where it is not known."""
    if cuts is None or GOOD not in cuts["clip"].values or RATE not in cuts["hyperparameter"].values:
        return ""
    shares = cuts["main_share"].sel(task=task, clip=GOOD, hyperparameter=RATE).values
    return percent(shares.tolist()) if numpy.isfinite(shares).any() else ""


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
    """How many trials of a task the limit ended, with which learning rates; ``cuts`` give the share of the better half."""
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
