"""Where a study's hyperparameters come from, and which cells had the same: random draws, or the rows of a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy
import xarray
from numpy.typing import NDArray

from lstm_odyssey.reports.contract.validation import attribute
from lstm_odyssey.reports.contract.variables import FROM_FILE, PACKAGE
from lstm_odyssey.reports.contract.wording import listed

ALL = ""
"""The name of the draws that all cells of a study have in common."""


def points(study: xarray.Dataset) -> dict[str, Any] | None:
    """The rows that stand in place of draws, with the name and hash of their file; None where trials were drawn."""
    found = attribute(study, "more").get("points") if chosen(study) else None
    return found if isinstance(found, dict) else None


def chosen(study: xarray.Dataset) -> bool:
    """Whether hyperparameters are the rows of a file, of which resampling tells nothing."""
    return str(study.attrs["draws"]) == FROM_FILE


def combined(study: xarray.Dataset) -> dict[str, Any] | None:
    """What ``combine`` says of the files that a dataset was made of; None of a single study."""
    found = attribute(study, "more").get("combined")
    return found if isinstance(found, dict) else None


def groups(study: xarray.Dataset, task: str) -> dict[str, str]:
    """By cell, the name of its draws on a task: trial k of two cells of one name had the same hyperparameters.

    They are common draws, or rows none of which is for one cell; of several files, what ``combine`` found to be equal.
    """
    cells = study["variant"].values.tolist()
    if (there := combined(study)) is not None:
        return {name: there["draws"][task].get(name, name) for name in cells}
    rows = points(study)
    alike = str(study.attrs["draws"]) == "common" if rows is None else not any("variant" in row for row in rows["rows"])
    return {name: ALL if alike else name for name in cells}


def cell_of(study: xarray.Dataset, row: str) -> str:
    """The name of a row's cell: its own, without the file that it is from."""
    there = combined(study)
    return row if there is None else str(there["cells"].get(row, row))


def planned(study: xarray.Dataset, task: str, row: str) -> int:
    """How many trials a cell has or will have on a task: of several files, what those that have it planned."""
    there = combined(study)
    most = int(study.sizes["trial"])
    return most if there is None else min(most, int(there["planned"].get(task, {}).get(row, 0)))


def runs(study: xarray.Dataset) -> list[dict[str, Any]]:
    """What ran each file of a study, itself where it is a single one: settings of ``odyssey run`` by name."""
    if (there := combined(study)) is not None:
        return list(there["files"])
    more, rows = attribute(study, "more"), points(study)
    kept = {name: study.attrs[name] for name in ("seed", "draws", "profile", "backend", "device", "dtype")}
    kept |= {name: study[name[:-1]].values.tolist() for name in ("tasks", "variants")}
    kept |= {
        "trials": study.sizes["trial"],
        **{name: more.get(name) for name in ("block_size", "keep_weights", "space")},
    }
    kept |= plugins({name: attribute(study, name) for name in ("variants", "tasks")})
    return [kept | ({} if rows is None else {"points": rows["file"]})]


def plugins(study: Mapping[str, Any]) -> dict[str, list[str]]:
    """What a study's cells and tasks come from beside this package: ``plugins``, files, and ``packages``, as pip takes them."""
    origins = [facts.get("origin") or {} for kind in ("variants", "tasks") for facts in study[kind].values()]
    others = [one for one in origins if one.get("distribution", PACKAGE) != PACKAGE]
    found = {
        "plugins": [one["file"] for one in origins if "file" in one],
        "packages": [f"{one['distribution']}=={one.get('version')}" for one in others],
    }
    return {name: list(dict.fromkeys(values)) for name, values in found.items() if values}


def seeds(study: xarray.Dataset) -> str:
    """The seed in words, or those of several files."""
    found = list(dict.fromkeys(str(run["seed"]) for run in runs(study)))
    return f"seed {found[0]}" if len(found) == 1 else f"seeds {listed(found)}"


def common(study: xarray.Dataset) -> bool:
    """Whether trial k has the same hyperparameters in every cell, on every task."""
    return all(len(set(groups(study, task).values())) == 1 for task in study["task"].values.tolist())


def seed_numbers(study: xarray.Dataset) -> NDArray[numpy.intp]:
    """Of each trial index, which of several seeds it was run with: 0 but where files of the same draws were combined."""
    there = combined(study)
    indices = numpy.asarray(study["trial"].values, numpy.intp)
    return numpy.zeros_like(indices) if there is None else indices // int(there["trials_of_a_seed"])


def by_seed(study: xarray.Dataset) -> list[xarray.Dataset]:
    """The study seed by seed, with trial k of each the same draw; of a single study, itself."""
    numbers = seed_numbers(study)
    if not numbers.any():
        return [study]
    each = int((combined(study) or {})["trials_of_a_seed"])
    parts = [study.isel(trial=numpy.flatnonzero(numbers == number)) for number in numpy.unique(numbers)]
    return [part.assign_coords(trial=part["trial"] % each) for part in parts]


def named(study: xarray.Dataset) -> str:
    """The draws in a few words, for a caption."""
    if (there := points(study)) is not None:
        return f"points of {there['file']}, not drawn"
    if combined(study) is not None and not common(study):
        return "draws of several files"
    return f"{study.attrs['draws'] or 'independent'} draws"


def explained(study: xarray.Dataset) -> str:
    """How the hyperparameters of a trial came about, in a sentence."""
    if (there := points(study)) is not None:
        return f"The trials are the rows of {there['file']}, which were chosen and not drawn."
    if common(study):
        return "Every trial is one random draw, common to all cells: trial k of each cell has the same hyperparameters."
    if combined(study) is None:
        return "Every trial is one random draw, independent for each cell."
    alike = []
    for task in study["task"].values.tolist():
        rows: dict[str, list[str]] = {}
        for row, name in groups(study, task).items():
            rows.setdefault(name, []).append(row)
        alike += [listed(each) for each in rows.values() if len(each) > 1]
    said = [f" The draws are common to {each}." for each in dict.fromkeys(alike)]
    return f"Every trial is one random draw.{''.join(said) or ' Each cell had draws of its own.'}"


def sentence(study: xarray.Dataset) -> str:
    """What a reader has to know of a study of several files, or whose trials were not drawn; else empty."""
    there, said = points(study), []
    if (files := combined(study)) is not None:
        said.append(files["sentence"])
    if there is not None:
        said.append(
            f"Its hyperparameters are the rows of {there['file']} (sha256 {str(there['sha256'])[:12]}). They were chosen, not "
            "drawn: what resamples trials (intervals, best of n) says nothing here of what a search would find, so no cell is "
            "judged, and variance has no shares."
        )
    return " ".join(said)
