"""What a reader takes home of one task: a sentence of advice, and the best trials as rows for ``odyssey run --points``."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence

import pandas
import xarray
from scipy import special

from lstm_odyssey.reports.contract.draws import cell_of
from lstm_odyssey.reports.contract.schema import hyperparameters
from lstm_odyssey.reports.contract.wording import count, listed, span
from lstm_odyssey.reports.paper.claims import BASELINE
from lstm_odyssey.reports.stats.best_points import draws, ranked
from lstm_odyssey.reports.stats.contents import BETTER, CHOSEN, FEW, OPEN, WORSE
from lstm_odyssey.reports.stats.epoch_cost import duration, freedom, parameters_at
from lstm_odyssey.reports.stats.inference import corrected
from lstm_odyssey.reports.stats.table import maximizes, whole

NAMED = 8
"""The paper's eight besides vanilla are named one by one; of more, the plot below tells which."""


def advice(study: xarray.Dataset, comparison: xarray.Dataset, task: str, order: Sequence[str]) -> str:
    """One sentence: which cell to take on a task, and why; or that nothing follows.

    Cells that are better than the baseline go before those that cannot be told from it, the baseline among these. Of
    several the cheapest is recommended: by the time of an epoch at one N, with those whose times differ from its by no more
    than the fit's error; by parameters where no times were measured, of equals the one with the best mean.
    """
    part, baseline = comparison.sel(task=task), str(comparison.attrs["baseline"])
    if len(order) < 2:
        return f"On {task} there is one cell, {order[0]}: nothing to compare it with."
    if not baseline:
        return f"On {task} nothing was compared: the study has no baseline, as {BASELINE} is not in it and no cell was named."
    said = {name: str(part["verdict"].sel(variant=name).item()) for name in order}
    by = {verdict: [name for name in order if said[name] == verdict] for verdict in (BETTER, WORSE, OPEN, FEW, CHOSEN)}
    if by[CHOSEN]:
        return f"On {task} nothing follows: the rows were chosen, not drawn."
    if not by[BETTER] + by[WORSE] + by[OPEN]:
        if not by[FEW]:
            scored = [name for name in order if part["selected"].sel(variant=name).item() > 0]
            why = (
                f"{baseline}, which cells are compared with, has no score"
                if scored
                else "there are no scores to compare"
            )
            return f"On {task} nothing follows{' yet' if scored else ''}: {why}."
        fewest = int(part["selected"].sel(variant=[*by[FEW], baseline]).min())
        enough = int(comparison.attrs["enough"])
        return (
            f"On {task} nothing follows yet: the best tenth of a cell is {count(fewest, 'trial')}, and {count(enough)} are "
            f"needed: about {10 * enough} trials a cell."
        )
    pool = by[BETTER] or [name for name in order if name == baseline or name in by[OPEN]]
    chosen, why = _cheapest(study, part, task, pool)
    if len(pool) == 1:
        reason = f"it alone is better than {baseline}" if by[BETTER] else "every other cell that was judged is worse"
    elif by[BETTER]:
        reason = f"{_few(pool)} are better than {baseline}{why}"
    else:
        whose = "its interval includes" if len(by[OPEN]) == 1 else "their intervals include"
        reason = f"{_few(by[OPEN])} cannot be told from {baseline} ({whose} 0){why}"
    texts = [f"On {task} take {_any(chosen)}: {reason}" if chosen else f"On {task} {reason}"]
    if by[BETTER] and by[OPEN]:
        texts.append(f"{_few(by[OPEN])} cannot be told from {baseline}")
    if by[WORSE] and len(pool) > 1:
        texts.append(f"{_few(by[WORSE])} {'is' if len(by[WORSE]) == 1 else 'are'} worse")
    if by[FEW]:
        texts.append(f"of {_few(by[FEW])} there are too few trials")
    return "; ".join(texts) + "."


def _few(names: Sequence[str]) -> str:
    """Names as a list; of more than ``NAMED`` how many they are, as the plot names them."""
    return listed(names) if len(names) <= NAMED else f"{count(len(names))} cells"


def _any(names: Sequence[str]) -> str:
    return " or ".join(names) if len(names) <= NAMED else f"any of {count(len(names))} cells"


def _cheapest(study: xarray.Dataset, part: xarray.Dataset, task: str, pool: Sequence[str]) -> tuple[list[str], str]:
    """The cheapest of some cells and how that is known; no cell where neither times nor sizes are."""
    size = int(part["epoch_cost_at"])
    costs = {name: float(part["epoch_cost"].sel(variant=name)) for name in pool}
    if not any(map(math.isnan, costs.values())):
        chosen = _alike(part, costs)
        told = span((costs[name] for name in chosen), duration)
        alike = "" if len(chosen) == 1 else ", alike within the error of the fit"
        return chosen, f", and none of these is cheaper ({told} s an epoch at N = {size}{alike})"
    sizes = {name: parameters_at(study, task, name, size) for name in pool}
    if any(map(math.isnan, sizes.values())):
        return (list(pool), "") if len(pool) == 1 else ([], ", and costs are not known")
    sign = -1 if maximizes(study, task) else 1
    least = min(pool, key=lambda name: (sizes[name], sign * float(part["mean_test"].sel(variant=name))))
    told = f"{whole(sizes[least])} parameters at N = {size}; costs are not known"
    return [least], f", and none of these is smaller ({told})"


def _alike(part: xarray.Dataset, costs: Mapping[str, float]) -> list[str]:
    """The cell with the least cost, and those whose cost differs by no more than chance in the fit makes, at 5 % in all.

    The quantile is Student's: a cost may come of five trials, whose scatter about three coefficients is hardly known.
    """
    least = min(costs, key=lambda name: costs[name])
    errors = {name: float(part["epoch_cost_error"].sel(variant=name)) for name in costs}
    freedoms = {name: float(part["epoch_cost_freedom"].sel(variant=name)) for name in costs}
    found, level = [least], 0.5 + corrected(0.95, len(costs) - 1) / 2
    for name in (name for name in costs if name != least):
        both = [errors[name] ** 2, errors[least] ** 2]
        far = float(special.stdtrit(freedom(both, [freedoms[name], freedoms[least]]), level)) if any(both) else 0.0
        if math.log(costs[name] / costs[least]) <= far * math.sqrt(sum(both)):
            found.append(name)
    return found


def points(study: xarray.Dataset, task: str, order: Sequence[str]) -> str:
    """The trial that validation chose of each cell, as a file for ``odyssey run --points``; empty where there is none.

    A cell that several files have is there once, with the best of them.
    """
    names = hyperparameters(study)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["variant", "task", *names])
    sign, found = -1 if maximizes(study, task) else 1, dict[str, tuple[float, list[object]]]()
    for variant in order:
        for best in ranked(study, task, variant)[:1]:
            part, cell = study.sel(task=task, variant=variant), cell_of(study, variant)
            known = [
                "" if pandas.isna(value) else int(value) if isinstance(value, float) and value % 1 == 0 else value
                for value in draws(part, names)[best]
            ]
            score = sign * float(part["best_valid"][best])
            if cell not in found or score < found[cell][0]:
                found[cell] = score, [cell, task, *known]
    lines.writerows(row for _, row in found.values())
    return text.getvalue() if text.getvalue().count("\n") > 1 else ""
