"""A study as a netCDF-4 file: written atomically, read back bit for bit, refused with one clear error.

HDF5 sees memory only: where a disk was full, or went away beneath it, it has ended the whole process.

A *record* is the same dataset, small enough to be kept with a project's source. Scores, draws and times stay as they are, in
float64. Curves are kept in float32 with 16 binary digits, which is 1.5e-5 of a value, curves of time with 10: they are drawn
and compared with each other, and no id, selection or score is read off them.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy
import xarray
from numpy.typing import ArrayLike, NDArray

from lstm_odyssey.reports.contract.files import expanded, write_bytes
from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.validation import SchemaError, error, refuse_newer, validate
from lstm_odyssey.reports.contract.variables import CURVE, MEASURED, PACKAGE, VARIABLES, VIEW_CURVE, WHOLE_ATTRIBUTES

LARGEST_FILE = 4 * 2**30
LARGEST = 4 * 2**30
"""Bytes a file may unfold to: a stranger's file of a few kB can claim to hold any number of zeros."""

DIGITS, TIMED_DIGITS = 16, 10
"""Binary digits of a curve's values, the leading one included, and of what a clock measured."""


def save(dataset: xarray.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write a study, or a selection of its trials, as netCDF-4, under a temporary name first: it is seen whole or not at all.

    Raises:
        SchemaError: it is no valid study, or HDF5 cannot hold it.
        OSError: the file cannot be written; an old one stays as it was.
    """
    dataset = as_study(dataset)
    validate(dataset)
    held, ran = dataset["epoch"].values, dataset["epochs"].max().item()
    if not numpy.array_equal(held, numpy.arange(held.size)) or ran >= held.size:
        what = f"curves of {held.size} epochs, {held[0]} to {held[-1]}, of trials of up to {ran:g}"
        raise error("study", what, "all epochs from 0 on", "Select trials, cells or tasks, and no epochs.")
    if dataset.nbytes > LARGEST:
        cure = "It could not be read back: take fewer trials, cells or tasks into one study."
        raise error("study", f"{dataset.nbytes} bytes", f"at most {LARGEST}", cure)
    target = expanded(path)
    encoding: dict[str, dict[str, Any]] = {}
    for name, variable in dataset.variables.items():
        encoding[str(name)] = {} if variable.dtype.kind == "U" else {"_FillValue": None}
        if variable.dtype.kind != "U" and variable.ndim > 1:
            encoding[str(name)] |= {"zlib": True, "complevel": 6, "shuffle": True}
    try:
        content = dataset.to_netcdf(engine="h5netcdf", encoding=encoding)
    except OSError:
        raise
    except Exception as refused:  # whatever HDF5 raises: RuntimeError, ValueError, TypeError ...
        cure = "Take out what it names, or report it with this message."
        raise error("study", f"what HDF5 cannot hold ({refused})", "texts and numbers", cure) from refused
    write_bytes(target, content)
    return target


def load(path: str | os.PathLike[str]) -> xarray.Dataset:
    """Read what ``save`` wrote, equal bit for bit; one ``SchemaError`` for a file that is something else."""
    source = expanded(path)
    if not source.is_file():
        found = "a folder" if source.is_dir() else "no such file"
        raise FileNotFoundError(f"{source}: {found}; expected a study as netCDF. Pass the path of its .nc file.")
    try:
        size = source.stat().st_size
        if size > LARGEST_FILE:
            raise error(str(source), f"{size} bytes", f"at most {LARGEST_FILE}", "The file is not to be trusted.")
        held = io.BytesIO(source.read_bytes())
        with xarray.open_dataset(held, engine="h5netcdf", decode_cf=False) as lazy:
            if lazy.attrs.get("package") != PACKAGE:
                raise error(str(source), "another netCDF file", f"a study of {PACKAGE}", "Pass a study's .nc file.")
            refuse_newer(lazy.attrs.get("format"), str(source))
            if lazy.nbytes > LARGEST:
                raise error(str(source), f"{lazy.nbytes} bytes", f"at most {LARGEST}", "The file is not to be trusted.")
            dataset = lazy.load().drop_encoding()
    except SchemaError:
        raise
    except Exception as damage:  # whatever HDF5 raises on a damaged file: OSError, RuntimeError, KeyError ...
        expected = f"a netCDF-4 file written by {PACKAGE}"
        cure = "The file is damaged or something else; write it again from its store."
        raise error(str(source), f"what cannot be read ({damage})", expected, cure) from damage
    for name, variable in dataset.variables.items():
        if variable.dtype.kind in "OT":
            dataset[name] = (variable.dims, numpy.array(variable.values.tolist(), str), variable.attrs)
    for name in WHOLE_ATTRIBUTES:
        dataset.attrs[name] = int(dataset.attrs.get(name, -1))
    for stored in VARIABLES:  # what a clock measures and an older version did not
        if stored.name in MEASURED and stored.name not in dataset and set(stored.dims) <= set(dataset.sizes):
            dims, values, words = stored.filled(stored.empty(dataset.sizes))
            dataset[stored.name] = dims, values, words | {"comment": "not measured by the version that wrote it"}
    try:
        validate(dataset)
    except SchemaError as wrong:
        raise SchemaError(f"{source}: {wrong}") from None
    return dataset


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
        if variable.dims in (CURVE, VIEW_CURVE):
            digits = TIMED_DIGITS if name in MEASURED else DIGITS
            small[name] = variable.dims, rounded(variable.values, digits), variable.attrs
    small.attrs["curves"] = f"float32, rounded to {DIGITS} binary digits, times to {TIMED_DIGITS}"
    return small
