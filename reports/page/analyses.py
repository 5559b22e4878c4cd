"""Everything that is computed from a study before its page is written: comparisons and functional ANOVAs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import xarray

from lstm_odyssey.reports.contract.draws import cell_of
from lstm_odyssey.reports.contract.files import expanded, write_bytes
from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.variables import FINISHED
from lstm_odyssey.reports.fanova.api import FEWEST, FanovaError, fanova
from lstm_odyssey.reports.fanova.refits import ENOUGH
from lstm_odyssey.reports.paper.claims import BASELINE
from lstm_odyssey.reports.stats.compare import compare

CUTS = (1.0, 0.9, 0.75, 0.5, 0.25, 0.1)
"""Quantiles at which the response is clipped for the shares that ``--format nc`` holds; 1: as it is."""

GOOD = 0.5
"""The cut-off whose shares stand beside those of the raw response: the better half told apart."""

SPREAD = ("_low", "_high")
"""How the names of refit spreads end."""

Progress = Callable[[str, int, int], None]


class Analyses(NamedTuple):
    """What a page is made of beside the study.

    Attributes:
        comparison: every cell against the baseline.
        effects: functional ANOVA of the test score, unclipped, with its refit spread if it was asked for; None: impossible, or
            no cell has enough trials for one that was not asked for.
        cuts: the same at several cut-offs, without refits, curves and grids.
        times: functional ANOVA of the training time.
        per_tree: that of the test score tree by tree, as the paper has it; None in the quick form: then the paper's
            claims on shares are left out, not judged by other numbers.
        refused: why there is no functional ANOVA, empty if there is one.
        reruns: the study's draws trained again with fresh seeds, if there are any.
        pooled: that of the test score over all cells together, the cell being a factor; None in the quick form.
    """

    comparison: xarray.Dataset
    effects: xarray.Dataset | None
    cuts: xarray.Dataset | None
    times: xarray.Dataset | None
    per_tree: xarray.Dataset | None
    refused: str
    pooled: xarray.Dataset | None = None
    reruns: xarray.Dataset | None = None


def analyse(
    study: xarray.Dataset,
    *,
    baseline: str | None = None,
    quick: bool = True,
    replicates: int = 0,
    few: bool = False,
    jobs: int = 1,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Analyses:
    """Compare the cells of a study and divide the variance of its scores and times.

    Args:
        study: a study, whole or still running.
        baseline: the cell the others are compared with; ``vanilla`` by default, of several files that of the first that has
            it, none if the study has no such cell.
        quick: leave out what takes more than a few seconds: cut-offs but two, the decomposition tree by tree, all
            cells together.
        replicates: refits for the refit spread of the shares, 0 for none.
        few: also analyse cells with fewer than 50 finished trials, down to 10; they give no headline.
        jobs: worker processes for the refits; -1 for one a core.
        cache: folder where refits are kept.
        progress: called with (what is computed, fits done, fits in all).

    Raises:
        ValueError: the baseline is not in the study.
    """
    study = as_study(study)
    if baseline is None:
        baseline = next((row for row in study["variant"].values.tolist() if cell_of(study, row) == BASELINE), None)
    comparison = compare(study, baseline)
    fewest = FEWEST if few else ENOUGH
    try:
        effects = _fanova(
            study, fewest=fewest, clip=1.0, points=32, replicates=replicates, jobs=jobs, cache=cache,
            progress=None if progress is None else lambda done, total: progress("refits", done, total),
        )  # fmt: skip
    except FanovaError as refused:
        most = int(study["status"].isin(FINISHED).sum("trial").max())
        hint = (
            " A forest of fewer trials (--small-forests) is no ground for a conclusion."
            if most < fewest and not few
            else ""
        )
        return Analyses(comparison, None, None, None, None, f"{refused.finding}{hint}")
    below = _fanova(study, fewest=fewest, clip=[GOOD] if quick else CUTS[1:], points=2)
    cuts = joined(effects, below)
    try:
        times = _fanova(study, fewest=fewest, response="seconds", clip=1.0, points=32)
    except FanovaError:  # a study without times
        times = None
    per_tree = None if quick else _fanova(study, fewest=fewest, clip=1.0, points=2, decomposition="per_tree")
    alone = quick or study.sizes["variant"] < 2
    pooled = None if alone else _fanova(study, fewest=fewest, clip=1.0, points=2, pooled=True)
    return Analyses(comparison, effects, cuts, times, per_tree, "", pooled)


def joined(whole: xarray.Dataset, below: xarray.Dataset) -> xarray.Dataset:
    """The functional ANOVA of the raw response and those at cut-offs below it as one, with what does not hang on the points.

    Args:
        whole: at clip 1, with as many points and refits as one likes; those are left out.
        below: at the cut-offs, without refits.
    """
    left_out = ("curve", "joint", "interaction", "optimum", "refit_spread")
    names = [name for name, each in below.items() if "clip" in each.dims and not str(name).startswith(left_out)]
    raw = whole[names]
    raw = raw.assign({name: xarray.full_like(raw[name], numpy.nan) for name in names if str(name).endswith(SPREAD)})
    made = xarray.concat([raw, below[names]], "clip", coords="minimal", compat="equals", join="exact")
    return below.drop_dims(["clip", "other_point"]).assign_coords(clip=made["clip"]).assign(made.data_vars)


def _fanova(study: xarray.Dataset, **options: Any) -> xarray.Dataset:
    """The functional ANOVA without its warnings, which the page prints as notes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return fanova(study, **options)


def save(analyses: Analyses, path: str | os.PathLike[str]) -> Path:
    """Write all analyses as the groups of one netCDF-4 file, named as the fields are."""
    parts = {name: part for name, part in analyses._asdict().items() if isinstance(part, xarray.Dataset)}
    tree = xarray.DataTree.from_dict({f"/{name}": part for name, part in parts.items()})
    target = expanded(path)
    write_bytes(target, tree.to_netcdf(engine="h5netcdf"))  # HDF5 sees no disk that may be full
    return target
