"""A study handed to asv: its own classes read what is written, better stays lower, and nothing is made up."""

import subprocess

import numpy
import pytest
from asv import config, results
from asv.benchmarks import Benchmarks
from typer.testing import CliRunner

from lstm_odyssey.commands import cli
from lstm_odyssey.commands.export import Commit, ExportError, resolve, series, write_asv
from lstm_odyssey.reports.contract import netcdf, schema
from lstm_odyssey.training.environment import environment
from tests import made_studies as made

COMMIT = Commit("0123456789abcdef0123456789abcdef01234567", 1_700_000_000_000)
UP = made.SPEECH | {"metric": "accuracy", "direction": "maximize"}


def study(tasks=None, trials=20, **given):
    """A finished study, run on the processor of this machine."""
    description = made.study(tasks, trials=trials) | given
    description["environment"]["cpu"] = environment()["cpu"]
    kept = [one | {"environment": {"cpu": environment()["cpu"]}} for one in made.whole(description)[1]]
    return schema.build(description, kept)


def read(folder, name):
    """A series as asv reads it: (value, samples, what the list of benchmarks says)."""
    settings = config.Config()
    settings.results_dir = str(folder)
    (found,) = [each for each in results.iter_results(settings.results_dir) if name in each.get_all_result_keys()]
    listed = Benchmarks.load(settings)[name]
    return found.get_result_value(name, [])[0], found.get_result_samples(name, [])[0], listed


@pytest.fixture(autouse=True)
def _home(monkeypatch, tmp_path):
    """asv keeps what it knows of a machine in the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))


def test_asv_reads_the_best_tenth_of_every_cell(tmp_path):
    """The samples are the test scores of the best tenth by validation, the value their median, the unit the task's."""
    dataset = study()
    kept, left_out = series(dataset)
    assert not left_out
    write_asv(dataset, kept, tmp_path / "results", COMMIT)
    for variant in ("plain", "gated"):
        part = dataset.sel(task="songs", variant=variant)
        finished = (part["status"] == "ok").values
        order = numpy.argsort(numpy.where(finished, part["best_valid"].values, numpy.inf))[:2]
        expected = sorted(part["best_test"].values[order].tolist())
        value, samples, listed = read(tmp_path / "results", f"songs.{variant}.track_study_error")
        assert sorted(samples) == expected
        assert value == pytest.approx(sum(expected) / 2, rel=1e-12)
        assert (listed["unit"], listed["type"], listed["params"]) == ("nats/frame", "track", [])


def test_the_cost_of_a_cell_is_the_time_of_an_epoch_at_one_size(tmp_path):
    """Times that follow 0.3 (N/100)^1.5 give the curve at the N of the name, one value a cell, and none where none is known."""
    dataset = study()
    sizes = dataset["hidden_size"].values
    dataset["training_seconds"][:] = dataset["epochs"].values * 0.3 * (sizes / 100) ** 1.5
    dataset["training_seconds"][:, 1] = numpy.nan
    dataset["frames_per_second"][:] = 4000.0
    kept, left_out = series(dataset)
    at = round(float(numpy.exp(numpy.log(sizes[numpy.isfinite(sizes)]).mean())))  # the sizes drawn do not reach 100
    costs = [each for each in kept if "seconds" in each.name]
    assert [each.name for each in costs] == [f"songs.plain.track_study_seconds_per_epoch_n{at}"]
    assert costs[0].samples == (pytest.approx(0.3 * (at / 100) ** 1.5, rel=1e-9),) and costs[0].unit == "seconds/epoch"
    assert left_out == [f"songs.gated.track_study_seconds_per_epoch_n{at}: its trials give none"]
    write_asv(dataset, kept, tmp_path, COMMIT)
    assert read(tmp_path, costs[0].name)[:2] == (costs[0].samples[0], list(costs[0].samples))


def test_times_of_another_processor_than_the_studys_are_left_out():
    """A study that moved: asv files results under one processor, and the times of another are none of its."""
    dataset = study()
    dataset.attrs["environments"] = dataset.attrs["environments"].replace(environment()["cpu"], "a slow one")
    kept, left_out = series(dataset)
    assert {each.name.rsplit(".", 1)[1] for each in kept} == {"track_study_error"}
    assert len(left_out) == 1 and left_out[0].startswith("the times of task 'songs', which are of 'a slow one'")


def test_scores_of_which_larger_are_better_stay_at_home():
    """asv would call an improvement a regression; the cost of the same cells is exported."""
    kept, left_out = series(study({"speech": UP}))
    assert {each.name.rsplit(".track_study_", 1)[1].partition("_n")[0] for each in kept} == {"seconds_per_epoch"}
    assert left_out == ["the scores of task 'speech', of which larger ones are better: asv knows no such order"]


@pytest.mark.parametrize("change", [{"seed": 2}, {"dtype": "float64"}, {"trials": 30}, {"draws": "common"}])
def test_studies_that_do_not_compare_have_different_versions(change):
    """asv draws a line through results of one version only."""
    one, other = ({each.version for each in series(dataset)[0]} for dataset in (study(), study(**change)))
    assert len(one) == len(other) == 2 and not one & other, "errors have one version, costs another"


def test_a_second_commit_is_added_to_the_first(tmp_path):
    """The results of another commit, and what asv has measured itself, stay where they are."""
    folder = tmp_path / "results"
    dataset = study()
    kept, _ = series(dataset)
    first = write_asv(dataset, kept, folder, COMMIT)
    before = first.read_bytes()
    second = write_asv(dataset, kept[:1], folder, Commit("f" * 40, COMMIT.date + 1000))
    assert first.read_bytes() == before and second != first
    settings = config.Config()
    settings.results_dir = str(folder)
    assert set(Benchmarks.load(settings)) == {each.name for each in kept}


def test_a_study_of_another_machine_asks_for_its_name(tmp_path):
    """Seconds of another processor would be taken for this one's; with a name they stand beside them."""
    dataset = study()
    dataset.attrs["environment"] = dataset.attrs["environment"].replace(environment()["cpu"], "a slow one")
    kept, _ = series(dataset)
    with pytest.raises(ExportError, match=r"run on processor 'a slow one'.*--machine NAME"):
        write_asv(dataset, kept, tmp_path, COMMIT)
    assert write_asv(dataset, kept, tmp_path, COMMIT, "attic").parent.name == "attic"


@pytest.mark.parametrize("name", ["", ".", "..", "../attic", "a/b", ".hidden"])
def test_a_machines_name_is_a_folders(tmp_path, name):
    """Nothing is written elsewhere than asv looks."""
    dataset = study()
    kept, _ = series(dataset)
    with pytest.raises(ExportError, match="--machine: got .*expected a name"):
        write_asv(dataset, kept, tmp_path / "results", COMMIT, name)
    assert not list(tmp_path.rglob("machine.json"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    """One clear error instead of a traceback."""
    (tmp_path / "file").write_text("")
    dataset = study()
    kept, _ = series(dataset)
    with pytest.raises(ExportError, match=r"asv: .*file/results: .*Not a directory"):
        write_asv(dataset, kept, tmp_path / "file" / "results", COMMIT)


def test_a_study_with_trials_to_run_is_refused():
    """The best tenth of fewer trials is another statistic."""
    description = made.study(trials=20)
    part = made.whole(description)[1][:-1]
    with pytest.raises(ExportError, match="1 of 40 trials not run yet"):
        series(schema.build(description, part))


def test_a_study_in_which_nothing_scored_has_nothing_to_export():
    """Every series left out is named."""
    description = made.study(variants=("plain",), trials=3)
    nothing = [made.failed(description, *place) for place in made.places(description)]
    with pytest.raises(ExportError, match=r"nothing to export: songs\.plain\.track_study_error"):
        series(schema.build(description, nothing))


def test_a_commit_git_does_not_know_is_named(tmp_path):
    """The message has what was asked for, where, and what git said."""
    with pytest.raises(ExportError, match=r"--commit v9: git finds none in .*expected a commit of the repository"):
        resolve("v9", tmp_path)


def test_damaged_files_of_asv_are_named(tmp_path):
    """One clear error instead of a traceback of asv's."""
    dataset = study()
    kept, _ = series(dataset)
    write_asv(dataset, kept, tmp_path, COMMIT)
    (tmp_path / "benchmarks.json").write_text("{", encoding="utf-8")
    with pytest.raises(ExportError, match="Mend or remove the file"):
        write_asv(dataset, kept, tmp_path, COMMIT)


def test_the_command_says_what_it_wrote_and_what_is_next(tmp_path, monkeypatch):
    """From a study's file to results of the commit at hand."""
    who = ("-c", "user.name=A. Author", "-c", "user.email=author@example.org", "-c", "commit.gpgsign=false")
    for arguments in (("init", "-q"), (*who, "commit", "-q", "--allow-empty", "-m", "first")):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    netcdf.save(study(), tmp_path / "study.nc")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, ["export", "asv", "study.nc"])
    assert done.exit_code == 0, done.output
    assert "asv: 4 benchmarks in .asv/results/" in done.output and "asv publish" in done.output
