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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy
import xarray

from lstm_odyssey.reports.contract import draws
from lstm_odyssey.reports.contract.files import expanded
from lstm_odyssey.reports.contract.kinds import refuse_kind
from lstm_odyssey.reports.contract.nearest import nearest
from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.validation import hyperparameters as drawn_names
from lstm_odyssey.reports.contract.variables import PACKAGE
from lstm_odyssey.reports.fanova import layout, searches
from lstm_odyssey.reports.fanova import refits as bootstrap
from lstm_odyssey.reports.fanova.analysis import DECOMPOSITIONS, Decomposition, analyse, view
from lstm_odyssey.reports.fanova.cases import FACTOR, RESPONSES, Case, FanovaError, case, complete, drawn, factor
from lstm_odyssey.reports.fanova.filling import POOR, Filling

__all__ = ["FanovaError", "fanova"]

FEWEST = 10
"""Below this many finished trials nothing is analysed, unless more are asked for."""

Names = str | Sequence[str] | None


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
    search = None
    options = (distributions, value, direction, absent, failed)
    if not isinstance(study, xarray.Dataset | xarray.DataArray):
        search = searches.searched(
            study, distributions=distributions, value=value, direction=direction, absent=absent, failed=failed,
            names=hyperparameters,
        )  # fmt: skip
        study = searches.as_study(search, failed)
        hyperparameters = list(search.forms)
    elif not (isinstance(absent, str) and absent == "refuse" and all(each is None for each in (*options[:3], failed))):
        cure = "Leave distributions, value, direction, absent and failed out."
        raise _error("fanova of a study", "options of a search", "none of them", cure)
    study = as_study(study, "status", "chance", "direction")
    if (given := draws.points(study)) is not None:
        got, expected = f"the rows of {given['file']}", "random draws, whose distribution is the measure of the shares"
        raise _error("functional ANOVA", got, expected, "Analyse the study that the rows come from.")
    clip = _quantiles(clip)
    refuse_kind("fanova", "True or False", pooled=pooled)
    refuse_kind("fanova", "a number", level=level)
    refuse_kind("fanova", "a whole number", fewest=fewest, seed=seed, jobs=jobs)
    refuse_kind("fanova", "a function", **({} if progress is None else {"progress": progress}))
    _check(study, response, decomposition, clip, trees, points, replicates, level, seed)
    tasks = _chosen("task", tasks, study["task"].values.tolist())
    variants = _chosen("variant", variants, study["variant"].values.tolist())
    if hyperparameters is None:
        complete(study, tasks)
    wanted = _chosen("hyperparameter", hyperparameters, drawn_names(study))
    labels = [layout.POOLED] if pooled else variants
    axes = {(task, label): drawn(study, task, wanted, "" if pooled else label) for task in tasks for label in labels}
    names = [name for name in wanted if any(name in found for found in axes.values())]
    if pooled:
        names.append(FACTOR)
        axes = {place: {**found, FACTOR: factor(variants)} for place, found in axes.items()}
    if not names:
        raise _error(
            f"hyperparameters {wanted!r}", f"none that was drawn on {tasks!r}", "one or more", "Choose others."
        )
    cases = {
        (t, v): case(study, task, group, axes[task, labels[v]], response)
        for t, task in enumerate(tasks)
        for v, group in enumerate([variants] if pooled else [[name] for name in variants])
    }
    most = max(each.response.size for each in cases.values())
    if most < fewest:
        cure = "Run more trials" + ("." if pooled else ", or pass pooled=True to analyse the cells together.")
        found = f"at most {most} finished trials with a response"
        raise _error(f"functional ANOVA of '{response}'", found, f"{fewest} or more of a cell", cure)

    filling = Filling(study, response, tasks, labels, clip, names, axes, points)
    works = []
    for (t, v), each in cases.items():
        own = axes[tasks[t], labels[v]]
        filling.count((t, v), each)
        for c, quantile in enumerate(clip):
            if each.response.size < fewest or not own:
                filling.remark((t, v, c), _too_little(each, fewest, bool(own)))
                continue
            clipped, filling.arrays["cutoff"][t, v, c] = each.clipped(quantile)
            refits = 0 if numpy.ptp(clipped) == 0 or each.response.size < bootstrap.ENOUGH else replicates
            nominal = tuple(j for j, axis in enumerate(own.values()) if axis.nominal)
            shown = tuple(view(axis, points) for axis in own.values())
            asked = bootstrap.Question(each.cells, clipped, shown, nominal, decomposition, trees, seed)
            works.append(Work((t, v, c), each, asked, refits))

    total, done = sum(1 + work.refits for work in works), 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    for work in works:
        filling.result(work.at, analyse(**work.asked._asdict()), work.case, decomposition)
        if clip[work.at[2]] < 1 and numpy.array_equal(work.asked.response, work.case.response):
            filling.remark(
                work.at, "more trials than that stand at the worst response: clipping changes nothing", warn=False
            )
        step()
        filling.no_spread(work.at, work.case, replicates)
        if work.refits:
            kept = None if cache is None else expanded(cache)
            again = bootstrap.replicates(work.asked, work.refits, jobs=jobs, progress=step, cache=kept)
            filling.bounds(work.at, again, work.case, level)
    result = filling.dataset({
        "title": "functional ANOVA", "package": PACKAGE, "response": response, "decomposition": decomposition,
        "trees": trees, "seed": seed, "replicates": replicates, "level": level, "flagged_below": POOR,
        "pooled": int(pooled), "measure": "the distribution from which each hyperparameter was drawn",
    })  # fmt: skip
    return result if search is None else searches.told(search, result, value)


def _error(subject: str, got: str, expected: str, cure: str) -> FanovaError:
    """The one form of what is raised: subject, got, expected, what to do."""
    return FanovaError(f"{subject}: got {got}; expected {expected}.", cure)


def _too_little(each: Case, fewest: int, drawn_there: bool) -> str:
    """Why a case is not analysed."""
    if not drawn_there:
        return "none of the hyperparameters was drawn here"
    return f"too few finished trials with a response (n = {each.response.size}; {fewest} are needed)"


def _quantiles(clip: Any) -> list[float]:
    """The quantiles of one argument, a number or several."""
    several = [clip] if isinstance(clip, int | float) else clip
    if isinstance(several, Iterable) and not isinstance(several, str | bytes | Mapping):
        try:
            return [float(quantile) for quantile in several]
        except (TypeError, ValueError):
            pass
    raise _error(
        "clip", f"a {type(clip).__name__}", "one number or several", "0.75 sets the worst quarter to the quantile."
    )


def _chosen(kind: str, asked: Names, known: Sequence[str]) -> list[str]:
    """The names asked for, each once; all that are known, if none was asked for."""
    if asked is None:
        return list(known)
    if not isinstance(asked, str):
        refuse_kind("fanova", "names", **{f"{kind}s": asked})
    found = list(dict.fromkeys([asked] if isinstance(asked, str) else asked))
    strange = next((name for name in found if name not in known), None)
    if strange is not None or not found:
        got = "none" if strange is None else repr(strange)
        raise _error(
            f"{kind}s to analyse", got, f"some of {nearest(strange, known, 'and')}", f"Name a {kind} of the study."
        )
    return found


def _check(
    study: xarray.Dataset,
    response: str,
    decomposition: str,
    clip: Sequence[float],
    trees: int,
    points: int,
    replicates: int,
    level: float,
    seed: int,
) -> None:
    """Raise at the first argument that makes no sense."""
    for name, value, allowed in (
        ("response", response, RESPONSES),
        ("decomposition", decomposition, DECOMPOSITIONS),
    ):
        if not isinstance(value, str) or value not in allowed:
            raise _error(name, repr(value), f"one of {nearest(value, allowed)}", "Choose one of them.")
    if response not in study:
        raise _error(f"response '{response}'", "a study without it", "a variable of the study", "Choose another.")
    for name, number, least in (("trees", trees, 1), ("points", points, 2), ("replicates", replicates, 0)):
        if isinstance(number, bool) or not isinstance(number, int | numpy.integer) or number < least:
            raise _error(name, repr(number), f"a whole number, {least} or more", "Give one.")
    if not clip or len(set(clip)) < len(clip) or not all(0 < quantile <= 1 for quantile in clip):
        cure = "1 does not clip; 0.75 sets the worst quarter to the quantile."
        raise _error("clip", repr(list(clip)), "different quantiles above 0, at most 1", cure)
    if not 0 <= seed < 2**32:
        raise _error("seed", repr(seed), "a whole number from 0 to 4,294,967,295", "Give another.")
    if not 0 < level < 1:
        raise _error("level", repr(level), "a probability between 0 and 1", "0.95 is usual.")
