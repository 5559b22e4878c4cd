"""What a functional ANOVA says, in sentences computed from its numbers."""

from __future__ import annotations

from typing import Any

import numpy
import xarray

from lstm_odyssey.reports.contract.wording import fixed, listed, named, percent
from lstm_odyssey.reports.fanova.refits import ENOUGH

RESPONSES = {
    "best_test": "the test score",
    "best_valid": "the validation score",
    "final_valid": "the last validation score",
    "seconds": "the training time",
    "frames_per_second": "the training throughput",
}
"""What can be explained, as a sentence names it."""


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
        analysed = part["main_share"].notnull().any("hyperparameter").values | (part["r_squared"].values <= 0)
        if not analysed.any():
            notes = sorted({str(note) for note in part["note"].values if note}) or ["no finished trials"]
            texts.append(f"On {task} there is nothing to divide: {listed(notes)}.")
            continue
        explained, unexplained = (part.isel(variant=analysed & chosen) for chosen in _split(part["r_squared"].values))
        text = f"On {task} "
        if explained.sizes["variant"]:
            text += _shares(explained, response, importance.attrs["flagged_below"])
        if unexplained.sizes["variant"]:
            names, span = unexplained["variant"].values.tolist(), spread(unexplained)
            if explained.sizes["variant"]:
                text += f" Of {listed(names)} it predicts nothing (R² {span})."
            else:
                whose = f" of {names[0]}" if len(names) == 1 else " of any cell"
                text += f"a forest predicts nothing of {response}{whose} (R² {span}): there are no shares to tell."
        if lost := part["variant"].values[~analysed].tolist():
            text += f" No analysis of {listed(lost)}."
        texts.append(text)
    return texts


def analysed(effects: xarray.Dataset, task: str) -> bool:
    """Whether anything is known of any cell on a task: not where every response is constant or trials are too few."""
    return bool(effects["main_share"].sel(task=task).notnull().any())


def spread(part: xarray.Dataset) -> str:
    """R² of the cells from the least to the largest; empty where no cell was analysed."""
    known = sorted(value for value in part["r_squared"].values.tolist() if not numpy.isnan(value))
    return " to ".join(dict.fromkeys(fixed(value) for value in (known[0], known[-1]))) if known else ""


def _split(r_squared: numpy.ndarray[Any, Any]) -> tuple[numpy.ndarray[Any, Any], numpy.ndarray[Any, Any]]:
    """Where a forest predicts something, and where nothing."""
    return r_squared > 0, ~(r_squared > 0)


def _shares(shown: xarray.Dataset, response: str, bound: float) -> str:
    """R² and the shares of the cells of which something is predicted."""
    names = shown["hyperparameter"].values.tolist()
    shares = {named(name): shown["main_share"].values[:, place] for place, name in enumerate(names)}
    shares["all interactions together"] = 1 - numpy.nansum(shown["main_share"].values, axis=1)
    shares = {name: values for name, values in shares.items() if not numpy.isnan(values).all()}
    ordered = sorted(shares, key=lambda name: -float(numpy.nanmean(shares[name])))
    text = (
        f"a forest predicts {percent(shown['r_squared'].values)} of the variance of {response}"
        f"{_of(shown['variant'].values)}. Shares of that part: "
        f"{listed(f'{name} {percent(shares[name])}' for name in ordered)}."
    )
    if (poor := shown["variant"].values[shown["flagged"].values]).size:
        text += f" The shares of {listed(poor)} describe little: R² is below {bound:g}."
    return text


def _of(variants: numpy.ndarray) -> str:
    return f" of {variants[0]}" if variants.size == 1 else ", by cell"


def learning_rate_share(cuts: xarray.Dataset | None, task: str, clip: float = 0.5) -> str:
    """The learning rate's share over the cells where the response is clipped at a quantile; empty where it is not known."""
    if cuts is None or clip not in cuts["clip"].values or "learning_rate" not in cuts["hyperparameter"].values:
        return ""
    shares = cuts["main_share"].sel(task=task, clip=clip, hyperparameter="learning_rate").values
    return percent(shares.tolist()) if numpy.isfinite(shares).any() else ""
