"""What a comparison of cells and a functional ANOVA say, in sentences computed from their numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy
import xarray

from lstm_odyssey.reports.contents import (
    BETTER,
    FEW,
    NOTHING,
    RESELECTION_REJECTS,
    SAME,
    WELCH_REJECTS,
    WORSE,
)

SMALL = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def count(number: int, noun: str = "") -> str:
    """A count as one writes it.

    >>> count(9, "cell"), count(1, "trial"), count(5400, "trial")
    ('nine cells', 'one trial', '5,400 trials')
    """
    text = SMALL[number] if number < len(SMALL) else f"{number:,}"
    return f"{text} {noun}{'' if number == 1 else 's'}" if noun else text


def listed(names: Iterable[object]) -> str:
    """Names as a list in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    *first, last = [str(name) for name in names]
    return f"{', '.join(first)} and {last}" if first else last


def comparison_text(comparison: xarray.Dataset) -> list[str]:
    """What ``compare`` found, one paragraph for each task and, where there was a test, one on how far to trust it.

    Each task: which cells beat the baseline and which are worse, by the bootstrap with re-selection after Holm; where
    Welch's test, the paper's, says otherwise, that too; which cells no other beats in accuracy and speed at once; how
    often trials diverged. Cells with too few trials are named and not judged. Without a baseline nothing was compared:
    an empty list.
    """
    baseline = str(comparison.attrs["baseline"])
    if not baseline or comparison.sizes["variant"] < 2:
        return []
    parts = [comparison.sel(task=task) for task in comparison["task"].values]
    texts = [
        " ".join(
            sentence for sentence in (_judged(part, baseline), _welch(part), _front(part), _diverged(part)) if sentence
        )
        for part in parts
    ]
    if not numpy.isin(comparison["verdict"].values, [BETTER, WORSE, SAME]).any():
        return texts
    low, high = WELCH_REJECTS
    caution = (
        "Verdicts are those of a bootstrap that selects the best 10 % anew in every replicate, at "
        f"{100 * comparison.attrs['level']:.2g} % after Holm over the cells of a task. Welch's t-test takes the selected "
        f"scores for a plain sample: where the test score follows validation it rejects {low} to {high} % of true nulls at a "
        f"nominal 5 %, the bootstrap {RESELECTION_REJECTS[0]} to {RESELECTION_REJECTS[1]} %."
    )
    return [*texts, caution]


def percent(values: Iterable[float]) -> str:
    """Shares as a span of per cents.

    >>> percent([0.703, 0.856]), percent([0.004]), percent([0.1, 0.1])
    ('70 to 86 %', '0.4 %', '10 %')
    """
    known = sorted(value for value in values if not math.isnan(value))
    if not known:
        return "–"
    low, high = (f"{100 * value:.{0 if abs(value) >= 0.0995 else 1}f}" for value in (known[0], known[-1]))
    return f"{low} %" if low == high else f"{low} to {high} %"


def probability(p: float) -> str:
    """A p-value in words.

    >>> probability(0.0096), probability(1e-5), probability(float("nan"))
    ('p = 0.0096', 'p < 0.001', 'no p')
    """
    return "no p" if math.isnan(p) else "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def fixed(value: float) -> str:
    """A number of two decimals, as R² is told.

    >>> fixed(0.9249), fixed(-0.4), fixed(-0.001)
    ('0.92', '−0.40', '0.00')
    """
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def signed(value: float) -> str:
    """A difference of scores, with its sign.

    >>> signed(0.3246), signed(-0.0223), signed(12.3)
    ('+0.325', '−0.0223', '+12.3')
    """
    return f"{value:+.3g}".replace("-", "−")


def _judged(part: xarray.Dataset, baseline: str) -> str:
    """Who beats the baseline and who is worse, and who could not be judged."""
    task = str(part["task"].item())
    said = {verdict: _by(part, "verdict", verdict) for verdict in (BETTER, WORSE, SAME, FEW, NOTHING)}
    others = part.sizes["variant"] - 1
    texts = []
    if tested := said[BETTER] + said[WORSE] + said[SAME]:
        better, worse = ([_measured(part, name) for name in said[verdict]] for verdict in (BETTER, WORSE))
        text = f"On {task} "
        if better:
            text += f"{listed(better)} {_verb(better, 'beats', 'beat')} {baseline}"
        elif len(tested) > 1:
            text += f"{'neither' if len(tested) == 2 else 'none'} of the {count(len(tested))} beats {baseline}"
        if worse:
            text += f"{'; ' if better or len(tested) > 1 else ''}{listed(worse)} {_verb(worse, 'is', 'are')} worse"
            text += "" if better or len(tested) > 1 else f" than {baseline}"
        if said[SAME] and (better or worse):
            rest = "the other" if len(said[SAME]) == 1 else f"the other {count(len(said[SAME]))}"
            text += f"; {rest} cannot be told from it"
        elif said[SAME]:
            text += ", and none is worse" if len(tested) > 1 else f"{said[SAME][0]} cannot be told from {baseline}"
        texts.append(f"{text}.")
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
    """A cell with its difference to the baseline."""
    one = part.sel(variant=name)
    low, high = (signed(value) for value in one["difference_interval"].values.tolist())
    return (
        f"{name} ({signed(float(one['difference']))} {one['units'].item()}, {low} to {high}, "
        f"{probability(float(one['bootstrap_p_holm']))})"
    )


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
    front = part["variant"].values[part["pareto"].values].tolist()
    if not front:
        return ""
    if len(front) == 1:
        return f"{front[0]} is the best and, at the size of its best trials, the fastest to train."
    worse = [name for name in front if name in _by(part, "verdict", WORSE)]
    text = f"Against accuracy and training speed together, at the sizes of their best trials, {listed(front)} are beaten by "
    text += "none"
    baseline = str(part.attrs["baseline"])
    return (
        f"{text}, though {listed(worse)} {_verb(worse, 'is', 'are')} significantly worse than {baseline}."
        if worse
        else f"{text}."
    )


def _diverged(part: xarray.Dataset) -> str:
    share = part["divergence"].values
    if numpy.isnan(share).all():
        return ""
    worst = int(numpy.nanargmax(share))
    if share[worst] == 0:
        return "No trial diverged."
    low, high = part["divergence_interval"].values[worst]
    return (
        f"{count(int(part['diverged'].sum()), 'trial').capitalize()} diverged, the largest share with "
        f"{part['variant'].values[worst]}: {share[worst]:.0%}, {low:.0%} to {high:.0%}."
    )


def _by(part: xarray.Dataset, name: str, verdict: str) -> list[str]:
    names: list[str] = part["variant"].values[part[name].values == verdict].tolist()
    return names


def _verb(names: list[str], one: str, many: str) -> str:
    return one if len(names) == 1 else many
