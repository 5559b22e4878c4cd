"""Functional ANOVA of a study: which hyperparameters a response depends on, alone and together.

``fanova(study)`` fits a random forest to the responses of each cell's trials on each task, on the axes on which the
hyperparameters were drawn, and divides the variance of what it predicts: main effects, all pairs, orders, totals, with
marginal curves and grids. What the resulting dataset holds is listed in ``lstm_odyssey.reports.fanova.layout``.

Shares are of the *predictable* variance: ``r_squared`` (out of the bag) stands beside them, and ``unexplained`` is the rest.

Sources: F. Hutter, H. Hoos, K. Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", ICML 2014;
G. Hooker, "Discovering Additive Structure in Black Box Functions", KDD 2004. Departures from the first: the forest's mean is
decomposed (its trees one by one on request), and the measure is the draw's own, not that of a linear axis.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy
import xarray

from lstm_odyssey.reports.contract import draws
from lstm_odyssey.reports.contract.files import expanded
from lstm_odyssey.reports.contract.kinds import refuse_kind
from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.validation import hyperparameters as drawn_names
from lstm_odyssey.reports.contract.variables import PACKAGE
from lstm_odyssey.reports.fanova import layout, searches
from lstm_odyssey.reports.fanova import refits as bootstrap
from lstm_odyssey.reports.fanova.analysis import Decomposition, analyse, view
from lstm_odyssey.reports.fanova.arguments import Names, check, chosen, quantiles, refused
from lstm_odyssey.reports.fanova.cases import FACTOR, Case, FanovaError, case, complete, drawn, factor
from lstm_odyssey.reports.fanova.filling import Filling
from lstm_odyssey.reports.fanova.sources import Search

__all__ = ["FanovaError", "fanova"]

FEWEST = 10
"""Below this many finished trials nothing is analysed, unless more are asked for."""


class Work(NamedTuple):
    """One analysis that is to be made: the place of its case and cut-off, what is asked, and how many refits."""

    at: tuple[int, int, int]
    case: Case
    asked: bootstrap.Question
    refits: int


def fanova(
    study: Any,
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
    fewest: int = FEWEST,
    seed: int = 1,
    jobs: int = 1,
    distributions: Mapping[str, Any] | None = None,
    value: Any = None,
    direction: str | None = None,
    absent: str = "refuse",
    failed: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> xarray.Dataset:
    """Divide the variance of a response among the hyperparameters.

    Args:
        study: a stored study, as ``open_study`` gives it, or a selection of one; or somebody else's search: an optuna study, or
            a ``pandas.DataFrame`` of parameters and values.
        response: a score (``best_test``, ``best_valid``, ...), with the chance level as its ceiling, or a measure as it
            stands (``seconds``, ``frames_per_second``, ``epochs`` ...).
        decomposition: ``forest``, of the forest's mean function, or ``per_tree``, the mean over trees of each tree's shares:
            comparable with published numbers, but biased by noise however many trials there are.
        tasks, variants, hyperparameters: names; all, if not given.
        pooled: analyse all variants together, with the cell as one more factor, called ``variant``, and without
            hyperparameters that only some of the cells have.
        clip: quantiles at which the response is clipped, each an analysis of its own; 1 does not clip.
        trees: of each forest.
        points: at most so many on a curve, and on each side of a grid.
        replicates: refits on bootstrap samples of the trials for the refit spread (200 are usual, half a minute a case at 200
            trials); 0: none. Cases of fewer than 50 trials get none.
        level: the middle part of the refits that the spread holds.
        fewest: cases of fewer finished trials are not analysed.
        seed: of everything random.
        jobs: worker processes for the refits; -1 for one a core.
        distributions: of a search, what each parameter was drawn from: a distribution of optuna or of scipy.stats, a list of
            choices, or ``{"kind": "log_uniform", "low": ..., "high": ...}``. An optuna study knows its own.
        value: of a search, the column, the number of the objective, or a function of a trial.
        direction: of a search, ``minimize`` or ``maximize``; an optuna study knows its own.
        absent: what becomes of a parameter that only some trials of a search have: ``refuse``, or ``level``.
        failed: the value at which trials of a search stand that failed, were pruned or are worse; None leaves them out.
        progress: called with (fits done, fits in all).
        cache: folder where refits are kept under a hash of what they depend on.

    Returns:
        A dataset over (task, variant, clip, ...), of a search over (clip, ...); see ``lstm_odyssey.reports.fanova.layout``.
        A case that cannot be analysed is NaN, ``note`` says why, and a warning is issued. It can be written
        with ``to_netcdf(path, engine="h5netcdf")``.

    Raises:
        SchemaError: ``study`` is no study, or lost what is needed of it.
        FanovaError: an unknown name or a value out of range; no case has enough finished trials; or all hyperparameters are
            wanted and the study has lost the values of one; or the study's points come from a file and were not drawn.

    Example:
        >>> import lstm_odyssey as lo
        >>> found = lo.fanova(lo.open_study("study"))  # doctest: +SKIP
        >>> found.main_share.sel(task="bach", variant="vanilla", clip=1)  # doctest: +SKIP
    """
    study, hyperparameters, search = _opened(
        study,
        hyperparameters,
        distributions=distributions,
        value=value,
        direction=direction,
        absent=absent,
        failed=failed,
    )
    if search is not None:
        searches.refuse_of_a_study(
            response=(response, "best_test"), tasks=(tasks, None), variants=(variants, None), pooled=(pooled, False)
        )
    study = as_study(study, "status", "chance", "direction")
    if (given := draws.points(study)) is not None:
        got, expected = f"the rows of {given['file']}", "random draws, whose distribution is the measure of the shares"
        raise refused("functional ANOVA", got, expected, "Analyse the study that the rows come from.")
    clip = quantiles(clip)
    refuse_kind("fanova", "True or False", pooled=pooled)
    refuse_kind("fanova", "a number", level=level)
    refuse_kind("fanova", "a whole number", fewest=fewest, seed=seed, jobs=jobs)
    refuse_kind("fanova", "a function", **({} if progress is None else {"progress": progress}))
    check(study, response, decomposition, clip, trees, points, replicates, level, seed)
    tasks = chosen("task", tasks, study["task"].values.tolist())
    variants = chosen("variant", variants, study["variant"].values.tolist())
    if hyperparameters is None:
        complete(study, tasks)
    wanted = chosen("hyperparameter", hyperparameters, drawn_names(study))
    labels = [layout.POOLED] if pooled else variants
    axes = {(task, label): drawn(study, task, wanted, "" if pooled else label) for task in tasks for label in labels}
    names = [name for name in wanted if any(name in found for found in axes.values())]
    if pooled:
        names.append(FACTOR)
        axes = {place: {**found, FACTOR: factor(variants)} for place, found in axes.items()}
    if not names:
        raise refused(
            f"hyperparameters {wanted!r}", f"none that was drawn on {tasks!r}", "one or more", "Choose others."
        )
    cases = {
        (t, v): case(study, task, group, axes[task, labels[v]], response)
        for t, task in enumerate(tasks)
        for v, group in enumerate([variants] if pooled else [[name] for name in variants])
    }
    most = max(each.response.size for each in cases.values())
    if most < fewest:
        if search is not None:
            raise searches.too_few(search, most, fewest)
        cure = "Run more trials" + ("." if pooled else ", or pass pooled=True to analyse the cells together.")
        found = f"at most {most} finished trials with a response"
        raise refused(f"functional ANOVA of '{response}'", found, f"{fewest} or more of a cell", cure)

    filling = Filling(study, response, tasks, labels, clip, names, axes, points)
    works = list(_planned(filling, cases, fewest, replicates, points, (decomposition, trees, seed)))
    _analysed(filling, works, replicates, level, jobs=jobs, progress=progress, cache=cache)
    result = filling.dataset({
        "title": "functional ANOVA", "package": PACKAGE, "response": response, "decomposition": decomposition,
        "trees": trees, "seed": seed, "replicates": replicates, "level": level, "flagged_below": layout.POOR,
        "pooled": int(pooled), "measure": "the distribution from which each hyperparameter was drawn",
    })  # fmt: skip
    return result if search is None else searches.told(search, result, value)


def _opened(study: Any, names: Names, **options: Any) -> tuple[Any, Names, Search | None]:
    """A study, or a search as one with the names of its parameters; ``options`` are those of a search."""
    if not isinstance(study, xarray.Dataset | xarray.DataArray):
        search = searches.searched(study, names=names, **options)
        return searches.as_study(search, options["failed"]), list(search.forms), search
    absent = options.pop("absent")
    if not (isinstance(absent, str) and absent == "refuse" and all(each is None for each in options.values())):
        cure = "Leave distributions, value, direction, absent and failed out."
        raise refused("fanova of a study", "options of a search", "none of them", cure)
    return study, names, None


def _planned(
    filling: Filling,
    cases: Mapping[tuple[int, int], Case],
    fewest: int,
    replicates: int,
    points: int,
    how: tuple[Decomposition, int, int],
) -> Iterator[Work]:
    """The analyses of all cases at all cut-offs; a case without one is remarked on. ``how``: decomposition, trees, seed."""
    for (t, v), each in cases.items():
        own = filling.axes[filling.tasks[t], filling.labels[v]]
        filling.count((t, v), each)
        for c, quantile in enumerate(filling.clip):
            if each.response.size < fewest or not own:
                filling.remark((t, v, c), _too_little(each, fewest, bool(own)))
                continue
            clipped, filling.arrays["cutoff"][t, v, c] = each.clipped(quantile)
            refits = 0 if numpy.ptp(clipped) == 0 or each.response.size < bootstrap.ENOUGH else replicates
            nominal = tuple(j for j, axis in enumerate(own.values()) if axis.nominal)
            shown = tuple(view(axis, points) for axis in own.values())
            yield Work((t, v, c), each, bootstrap.Question(each.cells, clipped, shown, nominal, *how), refits)


def _analysed(
    filling: Filling,
    works: Sequence[Work],
    replicates: int,
    level: float,
    *,
    jobs: int,
    progress: Callable[[int, int], None] | None,
    cache: str | os.PathLike[str] | None,
) -> None:
    """Make the analyses and their refits, and write what they find."""
    total, done = sum(1 + work.refits for work in works), 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    for work in works:
        filling.result(work.at, analyse(**work.asked._asdict()), work.case, work.asked.decomposition)
        if filling.clip[work.at[2]] < 1 and numpy.array_equal(work.asked.response, work.case.response):
            filling.remark(
                work.at, "more trials than that stand at the worst response: clipping changes nothing", warn=False
            )
        step()
        filling.no_spread(work.at, work.case, replicates)
        if work.refits:
            kept = None if cache is None else expanded(cache)
            again = bootstrap.replicates(work.asked, work.refits, jobs=jobs, progress=step, cache=kept)
            filling.bounds(work.at, again, work.case, level)


def _too_little(each: Case, fewest: int, drawn_there: bool) -> str:
    """Why a case is not analysed."""
    if not drawn_there:
        return "none of the hyperparameters was drawn here"
    return f"too few finished trials with a response (n = {each.response.size}; {fewest} are needed)"
