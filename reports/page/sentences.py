"""What a comparison of cells and a functional ANOVA say, in sentences computed from their numbers."""

from __future__ import annotations

import math

import numpy
import xarray

from lstm_odyssey.reports.contract.wording import (
    count,
    estimated_share,
    form_of,
    interval,
    listed,
    open_text,
    probability,
    span,
)
from lstm_odyssey.reports.stats.contents import (
    BETTER,
    CHOSEN,
    FEW,
    NOTHING,
    OPEN,
    POWER,
    TIMES_LARGER,
    WELCH_REJECTS,
    WORSE,
)
from lstm_odyssey.reports.stats.stability import BRIEFLY


def comparison_text(comparison: xarray.Dataset) -> list[str]:
    """What ``compare`` found, one paragraph for each task and, where anything was judged, one on how far to trust it.

    Each task: which cells are better and which are worse than the baseline by the corrected interval, and how much room it
    leaves for the others; where Welch's test, the paper's, says otherwise; which cells no other beats in accuracy and speed at
    once; how many trials diverged or are unstable. Cells with too few trials are named and not judged, nor are chosen rows.
    Without a baseline nothing was compared: an empty list.
    """
    baseline = str(comparison.attrs["baseline"])
    if not baseline or comparison.sizes["variant"] < 2:
        return []
    texts = []
    for task in comparison["task"].values:
        part = comparison.sel(task=task)
        said = _judged(part, baseline), _welch(part), _front(part), _diverged(part), _unstable(part, baseline)
        texts.append(" ".join(filter(None, said)))
    judged = numpy.isin(comparison["verdict"].values, [BETTER, WORSE, OPEN]).any()
    return [*texts, method_text(comparison)] if judged else texts


def method_text(comparison: xarray.Dataset) -> str:
    """How a verdict is made, and how far it may be trusted: by the way the draws were made."""
    common = str(comparison.attrs["resampling"]) == "paired"
    text = (
        "A verdict asks whether the bootstrap interval of the difference of best tenths, selected anew in every replicate, "
        f"leaves out 0, at {100 * comparison.attrs['level']:.2g} % after Bonferroni over the cells that are judged on a task. "
    )
    if common:
        text += "All cells had the same draws, drawn anew once for all of them. "
    else:
        alike = str(comparison.attrs["jointly"])
        if alike:
            text += f"{alike} had the draws of {comparison.attrs['baseline']}, drawn anew once for all of them. "
        text += (
            f"{'Other cells' if alike else 'Each cell'} had draws of {'their' if alike else 'its'} own, so the luck of draws "
            f"is compared too: the standard error is about {TIMES_LARGER:g} times that of common draws. "
        )
    return text + power_text() + " " + welch_text(common=common)


def power_text() -> str:
    """What can be found with how many common draws."""
    found = []
    for trials, by_size in POWER.items():
        shares = (f"{size:g} nats/frame in {low} to {high} %" for size, (low, high) in by_size.items())
        found.append(f"{listed(shares)} of studies of {trials} common draws")
    return (
        f"On surfaces like JSB's it finds differences of {'; '.join(found)}, fewer where the optima of two cells lie farther "
        f"apart: below {min(POWER)} draws expect no verdict."
    )


def welch_text(*, common: bool) -> str:
    """How often the paper's test is wrong."""
    share = span(WELCH_REJECTS["common" if common else "independent"], lambda value: f"{value:g}")
    return f"Welch's t-test, the paper's, finds a difference between equal cells in {share} % of such studies."


def _judged(part: xarray.Dataset, baseline: str) -> str:
    """Who is better than the baseline, who is worse, who is open, and who could not be judged."""
    task, units = str(part["task"].item()), str(part["units"].item())
    said = {verdict: _by(part, "verdict", verdict) for verdict in (BETTER, WORSE, OPEN, CHOSEN, FEW, NOTHING)}
    others = part.sizes["variant"] - 1
    texts = []
    if tested := said[BETTER] + said[WORSE] + said[OPEN]:
        clauses = []
        if better := [_measured(part, name) for name in said[BETTER]]:
            clauses.append(f"{listed(better)} {_verb(better, 'beats', 'beat')} {baseline}")
        if worse := [_measured(part, name) for name in said[WORSE]]:
            clauses.append(f"{listed(worse)} {_verb(worse, 'is', 'are')} worse{'' if better else f' than {baseline}'}")
        if still := said[OPEN]:
            rest = "all " if len(still) > 3 and not clauses else "the other " if clauses and len(still) > 1 else ""
            who = f"{rest}{count(len(still))}" if rest else listed(still)
            least = part["differs_by_less_than"].sel(variant=still).values.tolist()
            known = [bound for bound in least if not math.isnan(bound)]
            # all at the chance level: drawn anew they stay there
            untold = [name for name, bound in zip(still, least, strict=True) if math.isnan(bound)]
            if known:
                room = f"from {baseline} {_verb(still, 'it differs', 'they differ')} by "
                room += f"{open_text(known, form_of(part))} {units}"
                if untold:
                    room += f", but how far {listed(untold)} {_verb(untold, 'is', 'are')} from it cannot be told"
            else:
                room = f"how far {_verb(still, 'it is', 'they are')} from {baseline} cannot be told"
            clauses.append(f"{who} {_verb(still, 'is', 'are')} open: {room}")
        texts.append(f"On {task} {'; '.join(clauses)}.")
    if said[CHOSEN]:
        texts.append(
            f"On {task} no cell is judged against {baseline}: rows were chosen, not drawn. Differences are what was seen on "
            "them, not what a search would find."
        )
    if said[FEW]:
        k = int(part["selected"].sel(variant=[*said[FEW], baseline]).min())
        whose = "" if len(said[FEW]) == others else f" of {listed(said[FEW])}"
        texts.append(
            f"{f'There are too few trials{whose}' if tested else f'On {task} there are too few trials{whose}'} for "
            f"inference: the best 10 % of a cell are {count(k, 'trial')} and should be {part.attrs['enough']}. Differences to "
            f"{baseline} are what was seen, not what can be concluded."
        )
    if said[NOTHING]:
        where = "" if texts else f"On {task} "
        whose = "no cell" if len(said[NOTHING]) == others else listed(said[NOTHING])
        texts.append(f"{where}{whose} can{'' if whose == 'no cell' else 'not'} be compared with {baseline}: no scores.")
    return " ".join(texts)


def _measured(part: xarray.Dataset, name: str) -> str:
    """A cell with its difference to the baseline, and the interval that its verdict rests on."""
    one = part.sel(variant=name)
    form, (low, high) = form_of(part), one["difference_corrected_interval"].values.tolist()
    return f"{name} ({form(float(one['difference']))} {one['units'].item()}, corrected {interval(low, high, form)})"


def _welch(part: xarray.Dataset) -> str:
    """Where the paper's test finds what the bootstrap does not confirm, or misses what it finds."""
    found = []
    for verdict in (BETTER, WORSE):
        by_welch, by_bootstrap = (_by(part, name, verdict) for name in ("verdict_welch", "verdict"))
        more = [name for name in by_welch if name not in by_bootstrap]
        less = [name for name in by_bootstrap if name not in by_welch]
        for names, words in ((more, "also calls"), (less, "does not call")):
            if names:
                tests = (probability(float(part["welch_p"].sel(variant=name))) for name in names)
                cells = listed(f"{name} ({p})" for name, p in zip(names, tests, strict=True))
                found.append(f"{words} {cells} {verdict}")
    return f"Welch's t-test, uncorrected as in the paper, {listed(found)}." if found else ""


def _front(part: xarray.Dataset) -> str:
    """Who is beaten by none in mean score and cost; where one cell alone is, whether the verdicts say so too."""
    front = part["variant"].values[part["pareto"].values].tolist()
    if not front:
        return ""
    baseline = str(part.attrs["baseline"])
    text = f"By mean score and cost as measured, at N = {int(part['epoch_cost_at'])}, {listed(front)} "
    worse, better = (_by(part, "verdict", verdict) for verdict in (WORSE, BETTER))
    if len(front) > 1:
        beaten = [name for name in front if name in worse]
        though = f", though {listed(beaten)} {_verb(beaten, 'is', 'are')} worse than {baseline}" if beaten else ""
        return f"{text}are beaten by none{though}."
    (first,) = front
    told = first in better if first != baseline else {*part["variant"].values.tolist()} - {baseline} <= {*worse}
    return f"{text}alone is beaten by none{'' if told else '; no verdict says that its scores are better'}."


def _diverged(part: xarray.Dataset) -> str:
    share = part["divergence"].values
    if numpy.isnan(share).all():
        return ""
    worst = int(numpy.nanargmax(share))
    if share[worst] == 0:
        return "" if part["unstable"].any() else "No trial diverged."
    told = estimated_share(share[worst], *part["divergence_interval"].values[worst])
    return (
        f"{count(int(part['diverged'].sum()), 'trial').capitalize()} diverged, the largest share with "
        f"{part['variant'].values[worst]}: {told}."
    )


def _unstable(part: xarray.Dataset, baseline: str) -> str:
    """Which cells have trials that collapsed on the way, and what is left of the difference among the others."""
    names = part["variant"].values[part["unstable"].values > 0].tolist()
    if not names:
        return ""
    texts = []
    for name in sorted(names, key=lambda name: -float(part["instability"].sel(variant=name))):
        one = part.sel(variant=name)
        told = estimated_share(float(one["instability"]), *one["instability_interval"].values.tolist())
        text = f"{int(one['unstable'])} of {int(one['finished'])} trials of {name} are unstable, {told}"
        if not math.isnan(stable := float(one["stable_difference"])):
            apart = f"{form_of(part)(stable)} {part['units'].item()} from {baseline}"
            text += f"; among stable trials it is {apart}, which is not tested"
        texts.append(text)
    return f"{'. '.join(texts)}. Unstable: {BRIEFLY}; the score validation kept counts."


def _by(part: xarray.Dataset, name: str, verdict: str) -> list[str]:
    names: list[str] = part["variant"].values[part[name].values == verdict].tolist()
    return names


def _verb(names: list[str], one: str, many: str) -> str:
    return one if len(names) == 1 else many
