"""How many parameters a network has at one N, from what a study stores of its cells and tasks."""

from __future__ import annotations

import math

import xarray

from lstm_odyssey.reports.contract.schema import attribute


def parameters_at(study: xarray.Dataset, task: str, variant: str, size: int) -> float:
    """Parameters of the whole network with N = ``size``: the cell in each direction, and the output layer.

    Trials have sizes of their own; at one N cells can be compared. NaN where the study does not tell shapes or sizes.
    """
    cell = attribute(study, "variants").get(variant, {}).get("parameters")
    facts = attribute(study, "tasks").get(task, {})
    known = {"N": size, "M": facts.get("input_size")}
    if not cell or known["M"] is None or facts.get("n_outputs") is None:
        return math.nan
    directions = 2 if facts.get("bidirectional") else 1
    try:
        weights = sum(math.prod(int(known.get(dim, dim)) for dim in shape) for shape in cell.values())
    except (TypeError, ValueError):  # a plugin may call a dimension what it likes
        return math.nan
    return float(directions * weights + int(facts["n_outputs"]) * (directions * size + 1))
