"""``study.odyssey``: what can be asked of a study, as methods of its dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas
import xarray


class Odyssey:
    """The analyses of a study, or of a selection of one, as methods: the plain functions of the same names, given it.

    Registered with xarray by ``lo.open_study``, or by importing ``lstm_odyssey.reports``.

    Example:
        >>> import lstm_odyssey as lo
        >>> study = lo.open_study("reports/records/jsb-chorales-paper.nc")  # doctest: +SKIP
        >>> study.odyssey.compare(baseline="vanilla")["verdict"]  # doctest: +SKIP
    """

    def __init__(self, study: xarray.Dataset) -> None:
        self._study = study

    def __repr__(self) -> str:
        return "a study's analyses: .fanova(), .compare(), .reruns(), .table(), .unstable()"

    def table(self, order: Sequence[str] | None = None) -> pandas.DataFrame:
        """One row for each task and variant: see ``lstm_odyssey.reports.stats.table.summary``.

        Args:
            order: the variants, in the order of the rows; by default the study's.

        Raises:
            SchemaError: the dataset is no study.
            ValueError: a variant of ``order`` is not in the study.
        """
        from lstm_odyssey.reports.contract.selection import as_study
        from lstm_odyssey.reports.contract.validation import validate
        from lstm_odyssey.reports.stats.table import summary

        study = as_study(self._study)
        validate(study)
        return summary(study, order)

    def compare(self, baseline: str | None = "vanilla", **options: Any) -> xarray.Dataset:
        """Every cell against a baseline: see ``lstm_odyssey.reports.stats.compare.compare``."""
        from lstm_odyssey.reports.stats.compare import compare

        return compare(self._study, baseline, **options)

    def unstable(self) -> xarray.DataArray:
        """Which trials collapsed while they trained: see ``lstm_odyssey.reports.stats.stability.unstable``."""
        from lstm_odyssey.reports.contract.validation import validate
        from lstm_odyssey.reports.stats.stability import unstable

        validate(self._study)
        return unstable(self._study)

    def fanova(self, **options: Any) -> xarray.Dataset:
        """Which hyperparameters the scores depend on: see ``lstm_odyssey.reports.fanova.api.fanova``."""
        from lstm_odyssey.reports.fanova.api import fanova

        found: xarray.Dataset = fanova(self._study, **options)
        return found

    def reruns(self, again: xarray.Dataset | Sequence[xarray.Dataset], **options: Any) -> xarray.Dataset:
        """Whether the best scores are luck, by their draws run again: see ``lstm_odyssey.reports.stats.reruns.reruns``."""
        from lstm_odyssey.reports.stats.reruns import reruns

        return reruns(self._study, again, **options)


def register() -> None:
    """Make ``Odyssey`` the accessor ``odyssey`` of every dataset; once, however often it is called."""
    if not hasattr(xarray.Dataset, "odyssey"):
        xarray.register_dataset_accessor("odyssey")(Odyssey)  # type: ignore[no-untyped-call]  # xarray leaves it untyped
