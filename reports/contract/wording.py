"""Numbers and names as a sentence has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_UP, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray

SMALL = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def count(number: int, noun: str = "") -> str:
    """A count as one writes it.

    >>> count(9, "cell"), count(1, "trial"), count(5400, "trial")
    ('nine cells', 'one trial', '5,400 trials')
    """
    text = SMALL[number] if number < len(SMALL) else f"{number:,}"
    return f"{text} {noun}{'' if number == 1 else 's'}" if noun else text


def counted(number: int, noun: str) -> str:
    """A count in figures, as a line of progress has it.

    >>> counted(9, "cell"), counted(1, "trial"), counted(5400, "trial")
    ('9 cells', '1 trial', '5,400 trials')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(names: Iterable[object]) -> str:
    """Names as a list in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    *first, last = [str(name) for name in names]
    return f"{', '.join(first)} and {last}" if first else last


def named(hyperparameter: str) -> str:
    """A hyperparameter as figures, tables and sentences call it.

    >>> named("hidden_size"), named("learning_rate")
    ('N', 'learning rate')
    """
    return "N" if hyperparameter == "hidden_size" else hyperparameter.replace("_", " ")


def span(values: Iterable[float], form: Callable[[float], str] = str) -> str:
    """The least and the largest of some numbers, once where they read alike; empty where there is none.

    >>> span([3, 1, 2]), span([0.5, 0.5, float("nan")])
    ('1 to 3', '0.5')
    """
    known = sorted(value for value in values if not math.isnan(value))
    return " to ".join(dict.fromkeys(form(value) for value in (known[0], known[-1]))) if known else ""


def percent(values: Iterable[float]) -> str:
    """Shares as a span of per cents.

    >>> percent([0.703, 0.856]), percent([0.004]), percent([0.1, 0.1])
    ('70 to 86 %', '0.4 %', '10 %')
    """
    said = span(values, lambda value: f"{100 * value:.{0 if abs(value) >= 0.0995 else 1}f}")
    return f"{said} %" if said else "–"


def fixed(value: float) -> str:
    """A number of two decimals, as R² is told.

    >>> fixed(0.9249), fixed(-0.4), fixed(-0.001)
    ('0.92', '−0.40', '0.00')
    """
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def signed(value: float, decimals: int = 2) -> str:
    """A difference of scores, with its sign, that of a number that is rounded to 0 too: an interval's end is on one side of it.

    >>> signed(-0.0223, 3), signed(0.5), signed(-0.0004, 3), signed(-0.0)
    ('−0.022', '+0.50', '−0.000', '+0.00')
    """
    return f"{value + 0.0:+.{decimals}f}".replace("-", "−")


def interval(low: float, high: float, form: Callable[[float], str] = signed) -> str:
    """The two ends of an interval.

    >>> interval(-0.052, 0.019)
    '−0.05 to +0.02'
    """
    return f"{form(low)} to {form(high)}"


def estimate(value: float, low: float, high: float, form: Callable[[float], str] = signed) -> str:
    """A number with its interval in brackets, where there is one; of a difference every number has its sign.

    >>> estimate(0.47, 0.242, 0.784), estimate(0.47, math.nan, math.nan)
    ('+0.47 (+0.24 to +0.78)', '+0.47')
    """
    return f"{form(value)} ({interval(low, high, form)})" if math.isfinite(low) else form(value)


def estimated_share(value: float, low: float, high: float, decimals: int = 0) -> str:
    """A share with its interval in per cent; a dash where it is not known.

    >>> estimated_share(0.47, 0.399, 0.542), estimated_share(0.019, 0.008, 0.024, 1), estimated_share(*[math.nan] * 3)
    ('47 % (40 to 54)', '1.9 % (0.8 to 2.4)', '–')
    """
    if math.isnan(value):
        return "–"
    within = interval(100 * low, 100 * high, lambda end: f"{end:.{decimals}f}")
    return f"{100 * value:.{decimals}f} %" + (f" ({within})" if math.isfinite(low) else "")


def fitting(ends: Iterable[float]) -> Callable[[float], str]:
    """How the differences on one task are written: all with the decimals that show three digits of the largest interval's end.

    >>> form = fitting([0.784, -0.052, math.nan])
    >>> form(-0.0145), form(0.47), fitting([12.3])(0.5)
    ('−0.015', '+0.470', '+0.5')
    """
    largest = max((abs(end) for end in ends if math.isfinite(end)), default=0.0)
    decimals = max(0, 2 - math.floor(math.log10(largest))) if largest else 2
    return lambda value: signed(value, decimals)


def form_of(part: xarray.Dataset) -> Callable[[float], str]:
    """How the differences of a comparison on one task are written; see ``fitting``."""
    return fitting(part["difference_corrected_interval"].values.ravel())


def probability(p: float) -> str:
    """A p-value in words.

    >>> probability(0.0096), probability(1e-5), probability(float("nan"))
    ('p = 0.0096', 'p < 0.001', 'no p')
    """
    return "no p" if math.isnan(p) else "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def at_most(bound: float, form: Callable[[float], str]) -> str:
    """A finite bound with the decimals of ``form``, rounded away from 0: what is within the bound is within its text.

    >>> at_most(0.1841, "{:.2f}".format), at_most(0.29, signed), at_most(-0.1201, signed), at_most(1.02, "{:.2f}".format)
    ('0.19', '+0.29', '−0.13', '1.02')
    """
    digit = Decimal(1).scaleb(int(Decimal(form(abs(bound))).as_tuple().exponent))
    return form(float(Decimal(repr(float(bound))).quantize(digit, ROUND_UP)))


def open_text(least: Iterable[float], form: Callable[[float], str]) -> str:
    """How much room intervals that hold 0 leave, whichever way: without a sign, and never less than they do.

    >>> open_text([0.1554, 0.2341], fitting([0.784])), open_text([0.2], signed)
    ('less than 0.156 to 0.235', 'less than 0.20')
    """
    return f"less than {span(least, lambda value: at_most(value, form).removeprefix('+'))}"


def aligned(lines: Sequence[Sequence[str]], *, numbers: bool = True) -> list[list[str]]:
    """Lines of cells, each as wide as its column; ``numbers``: all but the first column stand right.

    >>> aligned([["cell", "score"], ["gated", "8.5"]])
    [['cell ', 'score'], ['gated', '  8.5']]
    """
    columns = []
    for place, column in enumerate(zip(*lines, strict=True)):
        width = max(map(len, column))
        columns.append([cell.rjust(width) if numbers and place else cell.ljust(width) for cell in column])
    return [list(line) for line in zip(*columns, strict=True)]


def markdown(lines: Sequence[Sequence[str]], *, numbers: bool = True) -> str:
    """Lines of cells, heads first, as a table legible in a terminal; ``numbers``: all but the first column stand right.

    >>> print(markdown([["cell", "score"], ["gated", "8.5"]]))
    | cell  | score |
    | ----- | ----: |
    | gated |   8.5 |
    """
    least = ["--:" if numbers and place else "---" for place in range(len(lines[0]))]
    head, *rows, rule = aligned([*lines, least], numbers=numbers)
    rule = [cell.replace(" ", "-") for cell in rule]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *rows))
