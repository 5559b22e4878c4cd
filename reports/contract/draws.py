"""Where a study's hyperparameters come from: random draws, or the rows of a file, which are no sample of anything."""

from __future__ import annotations

from typing import Any

import xarray

from lstm_odyssey.reports.contract.validation import attribute

FROM_FILE = "points"


def points(study: xarray.Dataset) -> dict[str, Any] | None:
    """The rows that stand in place of draws, with the name and hash of their file; None where trials were drawn."""
    found = attribute(study, "more").get("points") if chosen(study) else None
    return found if isinstance(found, dict) else None


def chosen(study: xarray.Dataset) -> bool:
    """Whether hyperparameters are the rows of a file, of which resampling tells nothing."""
    return str(study.attrs["draws"]) == FROM_FILE


def common(study: xarray.Dataset) -> bool:
    """Whether trial k has the same hyperparameters in every cell: common draws, or rows none of which is for one cell."""
    there = points(study)
    if there is None:
        return str(study.attrs["draws"]) == "common"
    return not any("variant" in row for row in there["rows"])


def named(study: xarray.Dataset) -> str:
    """The draws in a few words, for a caption."""
    there = points(study)
    return (
        f"{study.attrs['draws'] or 'independent'} draws" if there is None else f"points of {there['file']}, not drawn"
    )


def sentence(study: xarray.Dataset) -> str:
    """What a reader has to know of a study whose trials were not drawn; empty where they were."""
    there = points(study)
    if there is None:
        return ""
    return (
        f"Its hyperparameters are the rows of {there['file']} (sha256 {str(there['sha256'])[:12]}). They were chosen, not "
        "drawn: what resamples trials (intervals, best of n) says nothing here of what a search would find, so no cell is "
        "judged, and variance has no shares."
    )
