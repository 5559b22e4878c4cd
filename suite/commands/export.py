"""``odyssey export``: a finished study in the form of another tool."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstm_odyssey.commands.options import Commands
from lstm_odyssey.plugins.paths import USER_PATH

if TYPE_CHECKING:
    import xarray

export = typer.Typer(cls=Commands, help="Hand a finished study to another tool.", no_args_is_help=True)

COST = "track_study_seconds_per_epoch"
MEASURED = "processor time of a trial's own updates, fitted on log N"
"""What a cost is; another way to measure it makes another version of its series."""


class ExportError(ValueError):
    """A study cannot be exported; the message says subject, got, expected, what to do."""


@dataclass(frozen=True)
class Series:
    """What asv is to know of one metric of a variant on a task; lower is better.

    Args:
        name: ``task.variant.metric``. unit: as asv shows it.
        samples: measurements of it. version: of what is measured; asv compares equal versions only.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    version: str


@dataclass(frozen=True)
class Commit:
    """A commit: its full hash, and when it was made, in milliseconds since 1970."""

    name: str
    date: int


@export.callback()
def _group() -> None:
    """Hand a finished study to another tool."""  # with one command alone, typer would leave out its name


@export.command("asv")
def asv_command(
    store: Annotated[Path, typer.Argument(help="A study's folder, or its study.nc.", **USER_PATH)],
    results_dir: Annotated[Path, typer.Option(help="Where asv keeps its results.", **USER_PATH)] = Path(".asv/results"),
    commit: Annotated[str, typer.Option(help="Of the repository here: what the study was run with.")] = "HEAD",
    machine: Annotated[str | None, typer.Option(help="Its name in asv, for a study run elsewhere. (this one)")] = None,
) -> None:
    """Add a study to asv's results, for `asv publish` and `asv compare`: test error and seconds an epoch."""
    from rich.console import Console

    from lstm_odyssey.study.results import open_study

    study = open_study(store)
    kept, left_out = series(study)
    file = write_asv(study, kept, results_dir, resolve(commit), machine)
    console = Console()
    for reason in left_out:
        console.print(f"left out: {reason}", soft_wrap=True, markup=False)
    console.print(f"asv: {len(kept)} benchmarks in {file}\nNow: asv publish", soft_wrap=True, markup=False)


def resolve(commit: str, repository: str | Path = ".") -> Commit:
    """A commit by whatever git calls it.

    Raises:
        ExportError: there is no git, no repository, or no such commit.
    """
    command = ["git", "-C", str(repository), "log", "-1", "--format=%H %at", "--end-of-options", f"{commit}^{{commit}}"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip()
        raise ExportError(
            f"--commit {commit}: git finds none in {Path(repository).absolute()} ({said}); expected a commit of the repository "
            "whose results asv keeps. Run this in that repository."
        ) from error
    return Commit(found[0], 1000 * int(found[1]))


def series(study: xarray.Dataset) -> tuple[list[Series], list[str]]:
    """What asv is to know of a study, and what was left out and why.

    * ``task.variant.track_study_error``: test scores of the best tenth of the trials by validation (two at least), as in
      the study's table. asv shows their median.
    * ``task.variant.track_study_seconds_per_epoch_n100``: the processor time of an epoch's updates at N = 100, or what the N of
      the table is: one value, fitted over all the cell's trials. Left out where they do not tell it, or where it is of another
      processor than the study's own, whose results asv takes it for.

    A task in whose metric larger scores are better has no error to track. The version is the hash of what makes scores of
    two studies comparable (seed, draws, protocol, distributions, number of trials, corpus, dtype, backend, device); for a cost
    also of how it is measured.

    Raises:
        ExportError: a trial has not been run yet; or nothing is left to export.
    """
    import numpy

    from lstm_odyssey.reports.contract.schema import attribute
    from lstm_odyssey.reports.contract.selection import as_study
    from lstm_odyssey.reports.contract.variables import FINISHED
    from lstm_odyssey.reports.stats.epoch_cost import epoch_costs
    from lstm_odyssey.reports.stats.table import best_fraction, maximizes

    study = as_study(study)
    missing = int((study["status"] == "missing").sum())
    if missing:
        raise ExportError(
            f"study: got one with {missing} of {study['status'].size} trials not run yet; expected a finished one, as the best "
            "tenth of fewer trials is another statistic. Go on with it: `odyssey run --store STORE`."
        )
    costs, own = epoch_costs(study), str(attribute(study, "environment").get("cpu", ""))
    kept: list[Series] = []
    left_out: list[str] = []
    for task in study["task"].values.tolist():
        at = int(costs["epoch_cost_at"].sel(task=task))
        timed = str(costs["epoch_cost_processor"].sel(task=task).item())
        if timed not in ("", own):
            left_out.append(f"the times of task '{task}', which are of {timed!r}, as the study's processor is {own!r}")
        if maximizes(study, task):
            left_out.append(f"the scores of task '{task}', of which larger ones are better: asv knows no such order")
        for variant in study["variant"].values.tolist():
            part = study.sel(task=task, variant=variant)
            drawn = attribute(study, "variants")[variant].get("space")  # what it alone is drawn from
            more = {"space": json.dumps(drawn, sort_keys=True)} if drawn else {}
            finished = numpy.isin(part["status"].values, FINISHED)
            metrics = {}
            if timed in ("", own):
                cost = costs["epoch_cost"].sel(task=task, variant=variant).values
                metrics[f"{COST}_n{at}"] = cost[None], "seconds/epoch", _version(study, task, measured=MEASURED, **more)
            if not maximizes(study, task):
                chosen = best_fraction(part["best_valid"].values, finished)
                version = _version(study, task, **more)
                metrics["track_study_error"] = (part["best_test"].values[chosen], str(part["units"].item()), version)
            for metric, (values, unit, of) in sorted(metrics.items()):
                samples = tuple(float(value) for value in values if numpy.isfinite(value))
                name = f"{task}.{variant}.{metric}"
                if samples:
                    kept.append(Series(name, unit, samples, of))
                else:
                    left_out.append(f"{name}: its trials give none")
    if not kept:
        raise ExportError(f"study: nothing to export: {'; '.join(left_out)}. Look at its page: odyssey report STORE.")
    return kept, left_out


def _version(study: xarray.Dataset, task: str, **more: str) -> str:
    from lstm_odyssey.reports.contract import draws
    from lstm_odyssey.reports.contract.schema import attribute
    from lstm_odyssey.training.random_streams import digest

    same = {name: study.attrs[name] for name in ("seed", "draws", "dtype", "backend", "device")}
    return digest(
        {
            **{name: value if isinstance(value, str) else int(value) for name, value in same.items()},
            "protocol": attribute(study, "protocol"),
            "distributions": attribute(study, "distributions")[task],
            "corpus": str(study["checksum"].sel(task=task).item()),
            "trials": study.sizes["trial"],
            **({"points": rows["sha256"]} if (rows := draws.points(study)) else {}),
            **more,
        }
    )[:16]


def write_asv(
    study: xarray.Dataset, kept: list[Series], results_dir: str | Path, commit: Commit, machine: str | None = None
) -> Path:
    """Write series as results of asv, through its own classes; what its files hold already stays.

    Args:
        study: where and when they were measured. kept: the series.
        results_dir: asv's. commit: what they belong to.
        machine: its name in asv; by default this machine's, if the study was run on its processor.

    Returns:
        The file of results.

    Raises:
        ExportError: asv is not installed, its files are damaged, or the study was run elsewhere and no machine is named.
    """
    from lstm_odyssey.reports.contract.schema import attribute

    try:
        from asv import benchmarks, config, results, runner, util
    except ImportError as error:
        raise ExportError(
            f"asv: cannot be imported ({error}); expected the package asv. Install it: pip install 'lstm-odyssey[test]'."
        ) from error
    environment = attribute(study, "environment")
    settings = config.Config()
    settings.results_dir = str(results_dir)
    try:
        params = _machine(Path(results_dir), environment, machine)
        list_file = Path(benchmarks.Benchmarks.get_benchmark_file_path(settings.results_dir))
        known = list(benchmarks.Benchmarks.load(settings).values()) if list_file.is_file() else []
        ours = {each.name: _described(each) for each in kept}
        benchmarks.Benchmarks(settings, [*known, *ours.values()]).save()
        python = ".".join(str(environment.get("python", "")).split(".")[:2])
        params["python"] = python
        found = results.Results(params, {}, commit.name, commit.date, python, f"study-py{python}", {})
        found.load_data(settings.results_dir)
        for each in kept:
            median = statistics.median(each.samples)  # asv computes it again, with its interval, from the samples
            one = runner.BenchmarkResult([median], [list(each.samples)], [1], 0, "", None)
            found.add_result(ours[each.name], one, record_samples=True)
        found.save(settings.results_dir)
    except (OSError, util.UserError) as error:
        raise ExportError(
            f"asv: {results_dir}: {error}. Mend or remove the file; `asv run` makes a new one."
        ) from error
    return Path(results_dir, results.get_filename(params["machine"], commit.name, found.env_name))


def _described(one: Series) -> dict[str, Any]:
    """A benchmark as asv lists it."""
    return {
        "name": one.name,
        "code": "# Exported from a study by `odyssey export asv`; one sample a trial, one cost a cell.",
        "type": "track",
        "unit": one.unit,
        "version": one.version,
        "params": [],
        "param_names": [],
    }


def _machine(results_dir: Path, environment: Mapping[str, Any], name: str | None) -> dict[str, str]:
    """What asv is to know of the machine the study was run on; written to its file if there is none yet."""
    from asv import machine, util

    from lstm_odyssey.training.environment import environment as here_now

    if name is not None and (not name or name != Path(name).name or name.startswith(".")):
        raise ExportError(f"--machine: got {name!r}; expected a name, which becomes a folder, as --machine attic.")
    there, here = str(environment.get("cpu", "")), here_now()["cpu"]
    known = machine.Machine.get_defaults()
    this = known["machine"]
    with suppress(util.UserError):  # `asv machine` has not been run: what asv would suggest stands
        known = machine.MachineCollection.load(this)
    if name is None and there != here:
        raise ExportError(
            f"study: it was run on processor {there!r}, and this machine has {here!r}; expected a study of this machine, or "
            "the name of its own. Pass --machine NAME."
        )
    if name not in (None, this, known["machine"]):
        known = {
            "machine": str(name),
            "cpu": there,
            "os": " ".join(str(environment.get(part, "")) for part in ("system", "libc")).strip(),
        }
        known |= {field: "" for field, _ in machine.Machine.fields if field not in known}
    file = results_dir / known["machine"] / "machine.json"
    if file.is_file():
        content = util.load_json(str(file), machine.Machine.api_version)
        return {key: str(value) for key, value in content.items() if key != "version"}
    util.write_json(str(file), known, machine.Machine.api_version)
    return {key: str(value) for key, value in known.items() if key != "version"}
