"""Functional ANOVA of a study: which hyperparameters a response depends on, alone and together.

``fanova(study)`` fits a random forest to the responses of each cell's trials on each task, on the axes on which the
hyperparameters were drawn, and divides the variance of what it predicts: main effects, all pairs, orders, totals, with
marginal curves and grids. What the resulting dataset holds is listed in ``lstm_odyssey.reports.fanova_layout``.

Shares are of the *predictable* variance: ``r_squared`` (out of the bag) stands beside them, and ``unexplained`` is the rest.

Sources: F. Hutter, H. Hoos, K. Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014;
G. Hooker, "Discovering Additive Structure in Black Box Functions", KDD 2004. Departures from the first: the forest's mean is
decomposed (its trees one by one on request), and the measure is the draw's own, not that of a linear axis.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import xarray

from lstm_odyssey.reports import fanova_layout as layout
from lstm_odyssey.reports.analysis import DECOMPOSITIONS, ORDERS, Analysis, Decomposition, analyse, view
from lstm_odyssey.reports.axes import Axis, Levels
from lstm_odyssey.reports.bootstrap import ENOUGH, Replicates, replicates
from lstm_odyssey.reports.cases import (
    FACTOR, MEASURES, RESPONSES, SCORES, Case, FanovaError, case, drawn, factor, higher_is_better,
)  # fmt: skip
from lstm_odyssey.reports.decomposition import all_pairs
from lstm_odyssey.reports.validation import hyperparameters as drawn_names
from lstm_odyssey.reports.variables import PACKAGE, WORDS

__all__ = ["FanovaError", "fanova"]

FEWEST = 10
"""Below this many finished trials nothing is analysed."""

POOR = 0.3
"""Below this R² a case is flagged."""

Names = str | Sequence[str] | None


def fanova(
    study: xarray.Dataset,
    *,
    response: str = "best_test",
    decomposition: Decomposition = "forest",
    tasks: Names = None,
    variants: Names = None,
    hyperparameters: Names = None,
    pooled: bool = False,
    clip: Sequence[float] = (1.0, 0.75),
    trees: int = 100,
    points: int = 50,
    replicates: int = 0,
    level: float = 0.95,
    seed: int = 1,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
    cache: str | Path | None = None,
) -> xarray.Dataset:
    """Divide the variance of a response among the hyperparameters.

    Args:
        study: a stored study, as ``open_study`` gives it.
        response: a score (``best_test``, ``best_valid``, ...), with the chance level as its ceiling, or a measure as it
            stands (``seconds``, ``frames_per_second``, ``epochs`` ...).
        decomposition: ``forest``, of the forest's mean function, or ``per_tree``, the mean over trees of each tree's shares:
            comparable with published numbers, but biased by noise however many trials there are.
        tasks, variants, hyperparameters: names; all, if not given.
        pooled: analyse all variants together, with the cell as one more factor, called ``variant``.
        clip: quantiles at which the response is clipped, each an analysis of its own; 1 does not clip.
        trees: of each forest.
        points: at most so many on a curve, and on each side of a grid.
        replicates: refits on bootstrap samples of the trials for the intervals (200 are usual, half a minute a case at 200
            trials); 0: no intervals. Cases of fewer than 50 trials get none.
        level: of the intervals.
        seed: of everything random.
        jobs: worker processes for the refits; -1 for one a core.
        progress: called with (fits done, fits in all).
        cache: folder where refits are kept under a hash of what they depend on.

    Returns:
        A dataset over (task, variant, clip, ...); see ``lstm_odyssey.reports.fanova_layout``. A case that cannot be analysed
        is NaN, ``note`` says why, and a warning is issued.

    Raises:
        FanovaError: an unknown name or a value out of range; or no case has ten finished trials.

    Example:
        >>> import lstm_odyssey as lo
        >>> shares = lo.fanova(lo.open_study("study"))  # doctest: +SKIP
        >>> shares.main.sel(task="bach", variant="vanilla", clip=1)  # doctest: +SKIP
    """
    _check(response, decomposition, clip, trees, points, replicates, level)
    tasks = _chosen("task", tasks, study["task"].values.tolist())
    variants = _chosen("variant", variants, study["variant"].values.tolist())
    wanted = _chosen("hyperparameter", hyperparameters, drawn_names(study))
    labels = [layout.POOLED] if pooled else variants
    groups = [variants] if pooled else [[name] for name in variants]
    axes = {task: drawn(study, task, wanted) for task in tasks}
    names = [name for name in wanted if any(name in found for found in axes.values())]
    if pooled:
        names.append(FACTOR)
        axes = {task: {**found, FACTOR: factor(study, variants)} for task, found in axes.items()}
    if not names:
        raise FanovaError("hyperparameters: none of them was drawn on these tasks; expected one or more. Choose others.")
    cases = {
        (t, v): case(study, task, group, axes[task], response)
        for t, task in enumerate(tasks) for v, group in enumerate(groups) if axes[task]
    }  # fmt: skip
    if all(each.response.size < FEWEST for each in cases.values()):
        most = max((each.response.size for each in cases.values()), default=0)
        raise FanovaError(
            f"functional ANOVA of '{response}': got at most {most} finished trials of a cell; expected {FEWEST} or more. "
            "Run more trials, or pass pooled=True to analyse the cells together."
        )

    views = {task: {name: view(axis, points) for name, axis in found.items()} for task, found in axes.items()}
    pairs = [(names[i], names[j]) for i, j in all_pairs(len(names))]
    shown = max(each.ends.size - 1 for found in views.values() for each in found.values())
    coordinates = {
        "task": ("task", tasks), "variant": ("variant", labels), "clip": ("clip", [float(each) for each in clip]),
        "hyperparameter": ("hyperparameter", names), "order": ("order", ORDERS),
        "point": ("point", numpy.arange(shown)), "other_point": ("other_point", numpy.arange(shown)),
        "quantity": ("quantity", layout.QUANTITIES),
        "pair": ("pair", numpy.array([f"{one}:{two}" for one, two in pairs], str)),
        "first": ("pair", numpy.array([one for one, _ in pairs], str)),
        "second": ("pair", numpy.array([two for _, two in pairs], str)),
        "hyperparameter_name": ("hyperparameter", [_words(study, name)[0] for name in names]),
        "hyperparameter_units": ("hyperparameter", [_words(study, name)[1] for name in names]),
    }  # fmt: skip
    arrays = layout.empty({name: len(numpy.asarray(labels)) for name, (_, labels) in coordinates.items()})
    units = [_units(study, task, response) for task in tasks]
    for t, task in enumerate(tasks):
        arrays["response_units"][t] = units[t]
        arrays["direction"][t] = "maximize" if higher_is_better(study, task, response) else "minimize"
        arrays["ceiling"][t] = float(study["chance"].sel(task=task)) if response in SCORES else numpy.nan
        for name, axis in axes[task].items():
            _place(arrays, (t, names.index(name)), axis, views[task][name])

    fits = [1 + replicates * (each.response.size >= ENOUGH) for each in cases.values() if each.response.size >= FEWEST]
    total, done = sum(fits) * len(clip), 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    for (t, v), each in cases.items():
        _count(arrays, (t, v), each)
        found = axes[tasks[t]]
        where = [names.index(name) for name in found]
        shown_pairs = [names_pair(names, pairs, where[i], where[j]) for i, j in all_pairs(len(where))]
        settings: dict[str, Any] = {
            "nominal": [j for j, axis in enumerate(found.values()) if axis.nominal],
            "decomposition": decomposition, "trees": trees, "seed": seed,
        }  # fmt: skip
        for c, quantile in enumerate(clip):
            at = (t, v, c)
            subject = f"task '{tasks[t]}', variant '{labels[v]}', clip {quantile:g}"
            if each.response.size < FEWEST:
                _remark(arrays, at, subject, f"too few finished trials (n = {each.response.size}; {FEWEST} are needed)")
                continue
            clipped, arrays["cutoff"][at] = each.clipped(quantile)
            constant = numpy.ptp(clipped) == 0
            chosen = [views[tasks[t]][name] for name in found]
            result = analyse(each.cells, clipped, chosen, **settings)
            step()
            _fill(arrays, at, result, where, shown_pairs, each.maximize)
            if constant:
                same = "all at the ceiling" if each.n_ceiling == each.response.size else "all responses are the same"
                _remark(arrays, at, subject, f"constant response ({same}): there is no variance to divide")
            elif each.n_left_out:
                arrays["note"][at] = f"{each.n_left_out} finished trials without a response or a value left out"
            if replicates == 0 or each.response.size < ENOUGH or constant:
                why = "constant response" if constant else f"n = {each.response.size}"
                why = "none asked for" if replicates == 0 and each.response.size >= ENOUGH else why
                arrays["interval"][at] = f"no interval ({why})"
                continue
            again = _replicates(
                each.cells, clipped, chosen, **settings, count=replicates, jobs=jobs, progress=step,
                cache=None if cache is None else Path(cache),
            )  # fmt: skip
            _bounds(arrays, at, again, where, shown_pairs, level, each.maximize, settings["nominal"])
            arrays["interval"][at] = f"{level:.0%} by bootstrap over trials ({replicates} refits, percentiles)"
    attributes = {
        "title": "functional ANOVA", "package": PACKAGE, "response": response, "decomposition": decomposition,
        "trees": trees, "seed": seed, "replicates": replicates, "level": level, "flagged_below": POOR,
        "pooled": int(pooled), "measure": "the distribution from which each hyperparameter was drawn",
    }  # fmt: skip
    return layout.dataset(arrays, coordinates, units, attributes)
