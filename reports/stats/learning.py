"""The curves of a study's trials as one table of numbers."""

from __future__ import annotations

import numpy
import pandas
import xarray

from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.variables import CURVE


def learning(dataset: xarray.Dataset) -> pandas.DataFrame:
    """A row for each trial and epoch: processor time so far, training loss, scores of validation, test and its views.

    Test scores stand where validation improved. ``seconds`` are summed from epoch 0, the score before training; NaN where
    no clock was read.
    """
    study = as_study(dataset)
    curves = study[["train_loss", "valid", "test", "epoch_seconds"]]
    ran = curves.to_array().notnull().any("variable")
    seconds = curves["epoch_seconds"].cumsum("epoch").where(study["epoch_seconds"].notnull().any("epoch"))
    table = {"seconds": seconds, "train_loss": study["train_loss"], "valid": study["valid"], "test": study["test"]}
    for name in study["view"].values.tolist() if "view" in study.coords else ():
        table[f"test, {name}"] = study["test_view"].sel(view=name, drop=True)
    rows = xarray.Dataset(table).to_dataframe(dim_order=list(CURVE))
    return rows[ran.transpose(*CURVE).values.ravel()].astype(numpy.float64).reset_index()
