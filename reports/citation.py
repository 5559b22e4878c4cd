"""Whom a study's results are owed to: the references of the variants and tasks that were run, and of the paper."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import xarray

from lstm_odyssey.reports.contract.selection import as_study
from lstm_odyssey.reports.contract.validation import attribute
from lstm_odyssey.reports.contract.variables import PACKAGE

PAPER = (
    'K. Greff, R. K. Srivastava, J. Koutník, B. R. Steunebrink, J. Schmidhuber, "LSTM: A Search Space Odyssey", '
    "IEEE Transactions on Neural Networks and Learning Systems 28(10), 2017; arXiv 1503.04069"
)
"""The study whose protocol and search this package follows."""


def references(dataset: xarray.Dataset) -> dict[str, list[str]]:
    """Every reference of a study, and what it stands for.

    A variant or task of which no trial was run is left out. Where an author gave no reference, what is known of the origin
    stands for it: the corpus's provenance and address, or the distribution or file that the plugin came from.

    Raises:
        TypeError: it is no study.

    Returns:
        By reference, what is owed to it: ``"protocol and search"``, then ``"variant light"``, ``"task bach"``...
    """
    if not isinstance(dataset, xarray.Dataset) or "status" not in dataset:
        what = "a dataset without statuses" if isinstance(dataset, xarray.Dataset) else type(dataset).__name__
        raise TypeError(f"citation: got {what}; expected a study. Open it: lo.open_study(PATH).")
    dataset = as_study(dataset)
    found = {PAPER: ["protocol and search"]}
    run = dataset["status"] != "missing"
    for kind in ("variant", "task"):
        facts = attribute(dataset, f"{kind}s")
        for name in dataset[kind].values.tolist():
            if bool(run.sel({kind: name}).any()):
                found.setdefault(_reference(facts[name]), []).append(f"{kind} {name}")
    return found


def _reference(facts: Mapping[str, Any]) -> str:
    if facts.get("reference"):
        return " ".join(str(facts["reference"]).split())
    provenance, url = (str(facts.get(key) or "") for key in ("provenance", "url"))
    known = [provenance, *([] if url in provenance else [url])]
    return "; ".join(filter(None, known)) or f"no reference given, from {_origin(facts.get('origin') or {})}"


def _origin(origin: Mapping[str, Any]) -> str:
    if "distribution" in origin:
        return f"{origin['distribution']} {origin.get('version', '')}".strip()
    return str(origin.get("file") or origin.get("module") or "nowhere")


def software(dataset: xarray.Dataset) -> list[str]:
    """This package and the distributions or files that plugins came from, with the versions that trials ran with."""
    dataset = as_study(dataset)
    origins = [
        facts.get("origin") or {} for kind in ("variants", "tasks") for facts in attribute(dataset, kind).values()
    ]
    names = {PACKAGE, *(str(origin.get("distribution") or origin.get("file") or PACKAGE) for origin in origins)}
    environments = [attribute(dataset, "environment"), *attribute(dataset, "environments")]
    found = {f"{name} {facts[name]}" for name in names for facts in environments if name in facts}
    return sorted(found, key=lambda each: (not each.startswith(f"{PACKAGE} "), each))


def citation(dataset: xarray.Dataset) -> None:
    """Print the references of just what a study used: its variants, its corpora, the paper, and the software.

    Args:
        dataset: a study, as ``lo.open_study`` gives it.

    Example:
        >>> import lstm_odyssey as lo
        >>> lo.citation(lo.open_study("study"))  # doctest: +SKIP
        K. Greff, R. K. Srivastava, ... arXiv 1503.04069
            for protocol and search, variant vanilla, variant nig
    """
    parts = [f"{reference}\n    for {', '.join(owed)}\n" for reference, owed in references(dataset).items()]
    versions = software(dataset)
    if versions:
        parts.append(f"Computed with {', '.join(versions)}\n")
    sys.stdout.write("\n".join(parts))
