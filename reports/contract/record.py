"""A study as a record: the same dataset, small enough to be kept with a project's source.

Scores, draws and times stay as they are, in float64. Curves are kept in float32 with 16 binary digits, which is 1.5e-5 of a
value, curves of time with 10: they are drawn and compared with each other, and no id, selection or score is read off them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy
import xarray
from numpy.typing import ArrayLike, NDArray

from lstm_odyssey.reports.contract import netcdf
from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.variables import CURVE, MEASURED

DIGITS, TIMED_DIGITS = 16, 10
"""Binary digits of a curve's values, the leading one included, and of what a clock measured."""


def rounded(values: ArrayLike, digits: int = DIGITS) -> NDArray[numpy.float32]:
    """Values in float32, rounded to the nearest with so many binary digits; NaN stays.

    Zeros at the end of every number are what makes curves compress.

    >>> float(rounded([1 / 3], 8)[0])
    0.333984375
    """
    mantissa, exponent = numpy.frexp(numpy.asarray(values, float))
    exact = numpy.ldexp(numpy.round(numpy.ldexp(mantissa, digits)), exponent - digits)
    return numpy.asarray(exact, numpy.float32)


def record(dataset: xarray.Dataset) -> xarray.Dataset:
    """The dataset with its curves rounded; it says so."""
    dataset = as_study(dataset)
    small = dataset.copy()
    for name, variable in dataset.data_vars.items():
        if variable.dims == CURVE:
            small[name] = (
                CURVE,
                rounded(variable.values, TIMED_DIGITS if name in MEASURED else DIGITS),
                variable.attrs,
            )
    small.attrs["curves"] = f"float32, rounded to {DIGITS} binary digits, times to {TIMED_DIGITS}"
    return small


def save(dataset: xarray.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write a study's record as netCDF-4; ``netcdf.load`` and ``open_study`` read it."""
    return netcdf.save(record(dataset), path)
