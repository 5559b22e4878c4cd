"""A study handed to asv: its own classes read what is written, better stays lower, and nothing is made up."""

import subprocess

import numpy
import pytest
from asv import config, results
from asv.benchmarks import Benchmarks
from typer.testing import CliRunner

from lstm_odyssey import cli
from lstm_odyssey.environment import environment
from lstm_odyssey.export import Commit, ExportError, resolve, series, write_asv
from lstm_odyssey.reports import netcdf, schema
from tests import made_studies as made

COMMIT = Commit("0123456789abcdef0123456789abcdef01234567", 1_700_000_000_000)
UP = made.SPEECH | {"metric": "accuracy", "direction": "maximize"}


def study(tasks=None, trials=20, **given):
    """A finished study, run on the processor of this machine."""
    description = made.study(tasks, trials=trials) | given
    description["environment"]["cpu"] = environment()["cpu"]
    return schema.build(*made.whole(description))


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


def test_a_measurement_shared_by_several_trials_counts_once(tmp_path):
    """Trials trained in lockstep have one speed together; counted for each it would look more certain than it is."""
    dataset = study()
    dataset["frames_per_second"][0, 0, :] = 4000.0
    dataset["frames_per_second"][0, 0, 3] = 2000.0
    kept, _ = series(dataset)
    (one,) = [each for each in kept if each.name == "songs.plain.track_study_seconds_per_frame"]
    assert one.samples == (1 / 4000, 1 / 2000)
    assert one.unit == "seconds/frame"


def test_scores_of_which_larger_are_better_stay_at_home():
    """asv would call an improvement a regression; the speed of the same trials is exported."""
    kept, left_out = series(study({"speech": UP}))
    assert {each.name.rsplit(".", 1)[1] for each in kept} == {"track_study_seconds_per_frame"}
    assert left_out == ["the scores of task 'speech', of which larger ones are better: asv knows no such order"]


@pytest.mark.parametrize("change", [{"seed": 2}, {"dtype": "float64"}, {"trials": 30}, {"draws": "common"}])
def test_studies_that_do_not_compare_have_different_versions(change):
    """asv draws a line through results of one version only."""
    versions = {each.version for each in series(study())[0]} | {each.version for each in series(study(**change))[0]}
    assert len(versions) == 2


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
