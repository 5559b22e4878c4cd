"""The arguments of ``fanova``: what is meant by them, and the errors at those that make no sense."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy
import xarray

from lstm_odyssey.reports.contract.kinds import refuse_kind
from lstm_odyssey.reports.contract.nearest import nearest
from lstm_odyssey.reports.fanova.analysis import DECOMPOSITIONS
from lstm_odyssey.reports.fanova.cases import RESPONSES, FanovaError

Names = str | Sequence[str] | None


def refused(subject: str, got: str, expected: str, cure: str) -> FanovaError:
    """The one form of what is raised: subject, got, expected, what to do."""
    return FanovaError(f"{subject}: got {got}; expected {expected}.", cure)


def quantiles(clip: Any) -> list[float]:
    """The quantiles of one argument, a number or several."""
    several = [clip] if isinstance(clip, int | float) else clip
    if isinstance(several, Iterable) and not isinstance(several, str | bytes | Mapping):
        try:
            return [float(quantile) for quantile in several]
        except (TypeError, ValueError):
            pass
    raise refused(
        "clip", f"a {type(clip).__name__}", "one number or several", "0.75 sets the worst quarter to the quantile."
    )


def chosen(kind: str, asked: Names, known: Sequence[str]) -> list[str]:
    """The names asked for, each once; all that are known, if none was asked for. ``FanovaError`` at one that is not."""
    if asked is None:
        return list(known)
    if not isinstance(asked, str):
        refuse_kind("fanova", "names", **{f"{kind}s": asked})
    found = list(dict.fromkeys([asked] if isinstance(asked, str) else asked))
    strange = next((name for name in found if name not in known), None)
    if strange is not None or not found:
        got = "none" if strange is None else repr(strange)
        raise refused(
            f"{kind}s to analyse", got, f"some of {nearest(strange, known, 'and')}", f"Name a {kind} of the study."
        )
    return found


def check(
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
    """Raise ``FanovaError`` at the first argument that makes no sense."""
    for name, value, allowed in (
        ("response", response, RESPONSES),
        ("decomposition", decomposition, DECOMPOSITIONS),
    ):
        if not isinstance(value, str) or value not in allowed:
            raise refused(name, repr(value), f"one of {nearest(value, allowed)}", "Choose one of them.")
    if response not in study:
        raise refused(f"response '{response}'", "a study without it", "a variable of the study", "Choose another.")
    for name, number, least in (("trees", trees, 1), ("points", points, 2), ("replicates", replicates, 0)):
        if isinstance(number, bool) or not isinstance(number, int | numpy.integer) or number < least:
            raise refused(name, repr(number), f"a whole number, {least} or more", "Give one.")
    if not clip or len(set(clip)) < len(clip) or not all(0 < quantile <= 1 for quantile in clip):
        cure = "1 does not clip; 0.75 sets the worst quarter to the quantile."
        raise refused("clip", repr(list(clip)), "different quantiles above 0, at most 1", cure)
    if not 0 <= seed < 2**32:
        raise refused("seed", repr(seed), "a whole number from 0 to 4,294,967,295", "Give another.")
    if not 0 < level < 1:
        raise refused("level", repr(level), "a probability between 0 and 1", "0.95 is usual.")
