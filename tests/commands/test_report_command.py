"""odyssey report: what it writes in each form, how it watches a study, and what a run's page does on the way."""

from __future__ import annotations

import itertools
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pandas
import pytest
import xarray
from matplotlib.figure import Figure

from lstm_odyssey.commands import cli
from lstm_odyssey.commands import report as report_command
from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.reports.page import tables as grids
from lstm_odyssey.reports.page.analyses import analyse
from lstm_odyssey.reports.page.on_a_gpu import on_a_gpu
from lstm_odyssey.reports.plots import scores
from lstm_odyssey.reports.stats.table import summary
from tests import made_studies as made
from tests.quick_pages import TREES
from tests.reports.stats import test_reruns

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The netCDF file of a study of two tasks and two cells, with enough trials for a functional ANOVA."""
    tasks = {"songs": made.MUSIC, "talk|pipe": made.SPEECH}
    made_of = schema.build(*made.whole(made.study(tasks, ("vanilla", "gated"), trials=12)))
    for name in ("best_valid", "best_test"):  # a forest has something to predict
        made_of[name] = made_of[name].copy(data=4 + 600 * made_of["learning_rate"].values)
    return schema.save(made.agreeing(made_of), tmp_path_factory.mktemp("made") / "study.nc")


@pytest.fixture
def study(stored: Path, tmp_path: Path) -> Path:
    """A copy of that file, in a folder of the test's own."""
    return Path(shutil.copy(stored, tmp_path))


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["odyssey", "report", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


GPU = {
    "benchmark": "gpu", "format": 1, "date": "2031-02-03T04:05:06+00:00", "predicted": False,
    "device": {"name": "NVIDIA H200", "driver_version": "580.1"}, "versions": {},
    "parts": {
        "cells": {"results": [
            {"way": way, "variant": "vanilla", "batch": batch, "hidden_size": 64, "frames": 304, "both": seconds}
            for way, batch, seconds in (("odyssey", 1, 5e-4), ("odyssey", 16, 8e-4), ("lstm", 1, 1e-9))
        ]},
        "population": {"results": [
            {"shape": "TIMIT", "members": members, "member_frames_per_second": 1e5 * members} for members in (132, 32)
        ]},
    },
}  # fmt: skip
"""What ``python -m lstm_odyssey.bench.gpu`` writes, as much of it as the page reads."""


@pytest.mark.parametrize("kind", ["html", "md"])
@pytest.mark.parametrize("predicted", [False, True])
def test_the_page_takes_a_gpus_frames_a_second_from_its_record(
    predicted: bool, kind: str, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table of the study's cells with GPU and date; a prediction is called one, and cells it lacks are named."""
    record = tmp_path / "gpu.json"
    record.write_text(json.dumps(GPU | {"predicted": predicted}))
    assert call(monkeypatch, study, "--quick", "--format", kind, "--gpu-record", record) == 0
    text = (study.parent / f"report.{kind}").read_text(encoding="utf-8")
    assert "On a GPU" in text
    assert ("NVIDIA H200, predicted 2031-02-03, not measured." in text) == predicted
    assert ("NVIDIA H200, measured 2031-02-03, driver 580.1." in text) == (not predicted)
    assert "608,000" in text and "6,080,000" in text and "16 x N 64" in text
    assert f"{'is to train' if predicted else 'trains'} so many frames a second" in text
    assert "132 networks at once 13,200,000 on TIMIT" in text and "does not have gated." in text


def test_without_a_record_the_page_says_nothing_of_a_gpu(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No table and no link to one, as with a record of other cells or of none."""
    assert call(monkeypatch, study, "--quick") == 0
    assert 'id="gpu"' not in (study.parent / "report.html").read_text(encoding="utf-8")
    none = dict(GPU, parts={})
    assert on_a_gpu(none, ["vanilla"]) is None and on_a_gpu(GPU, ["gated"]) is None


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ({"benchmark": "cell"}, "html", "expected one of 'gpu'"),
        (None, "html", "No such file or directory; expected a record of a GPU"),
        (GPU, "csv", "--gpu-record: got --format csv; expected html or md"),
    ],
)
def test_a_wrong_gpu_record_is_one_line(
    content: Any, kind: str, message: str, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Before anything is analysed."""
    record = tmp_path / "gpu.json"
    if content is not None:
        record.write_text(json.dumps(content))
    assert call(monkeypatch, study, "--format", kind, "--gpu-record", record) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_markdown(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--format md writes the summary and a table of as many columns everywhere, with names that cannot break it."""
    assert call(monkeypatch, study, "--format", "md", "--quick", "--small-forests") == 0
    text = (study.parent / "report.md").read_text(encoding="utf-8")
    assert text.startswith("48 trials of two cells on songs and talk\\|pipe")
    assert "## talk\\|pipe" in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 6
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_csv(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--format csv writes a row for each task and cell: the numbers of compare and the shares of fanova, unrounded."""
    assert call(monkeypatch, study, "--format", "csv", "--quick", "--small-forests", "-o", study.parent / "n.csv") == 0
    found = pandas.read_csv(study.parent / "n.csv", index_col=["task", "variant"])
    assert list(found.index) == [(t, v) for t in ("songs", "talk|pipe") for v in ("vanilla", "gated")]
    read = schema.load(study)
    gated = read.sel(task=["songs"], variant=["gated"])
    shares = gated.odyssey.fanova(clip=1.0, trees=TREES)["main_share"].sel(task="songs", variant="gated", clip=1.0)
    expected = float(shares.sel(hyperparameter="learning_rate"))
    assert found.loc[("songs", "gated"), "main_share.learning_rate"] == pytest.approx(expected, rel=1e-12)
    mean = float(read.odyssey.compare()["mean_test"].sel(task="songs", variant="gated"))
    assert found.loc[("songs", "gated"), "mean_test"] == pytest.approx(mean, rel=1e-12)


def test_the_page_says_what_the_csv_says(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean, parameters and cost of the page's table are those of the numbers and of the comparison, cell by cell."""
    assert call(monkeypatch, study, "--format", "csv", "--quick", "-o", study.parent / "n.csv") == 0
    found = pandas.read_csv(study.parent / "n.csv", index_col=["task", "variant"])
    read = schema.load(study)
    analysed = analyse(read)
    for task in ("songs", "talk|pipe"):
        made_of = grids.results(read, summary(read), analysed.comparison, task)
        heads = [name for name, _ in made_of.heads[1:]]
        for row in made_of.rows:
            numbers = found.loc[(task, row.variant)]
            for head, name in (
                ("mean of best 10 %", "mean_test"),
                ("first by validation", "chosen_test"),
                ("parameters", "n_parameters"),
                (f"s/epoch at N = {summary(read).attrs['at'][task]}", "epoch_cost"),
            ):
                assert row.cells[heads.index(head)].key == pytest.approx(numbers[name], rel=1e-12), name
            cost = row.cells[heads.index(f"s/epoch at N = {summary(read).attrs['at'][task]}")].text
            assert cost == f"{numbers['epoch_cost']:.3g} ± {100 * numbers['epoch_cost_residual']:.0f} %"


def test_netcdf(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--format nc writes everything that was computed, a group for each analysis."""
    target = study.parent / "all.nc"
    assert call(monkeypatch, study, "--format", "nc", "--quick", "--small-forests", "-o", target) == 0
    tree = xarray.open_datatree(target, engine="h5netcdf")
    assert set(tree.children) == {"comparison", "effects", "cuts", "times"}
    assert tree["effects"]["curve"].notnull().any()
    tree.close()


def test_figures_are_written(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--figures writes every figure as vector and pixels, under names that say what they show; the first one is painted."""
    folder, save, painted = study.parent / "figures", scores.save, list[Path]()

    def once(figure: Figure, path: Path) -> Path:
        if not painted:
            painted.append(save(figure, path))
        Path(path).touch()
        return path

    monkeypatch.setattr(scores, "save", once)
    assert call(monkeypatch, study, "--quick", "--small-forests", "--format", "csv", "--figures", folder) == 0
    names = {path.name for path in folder.iterdir()}
    for stem in (
        "all-tasks-boxes",
        "songs-best",
        "songs-shares",
        "songs-gated-marginals",
        "talk-pipe.1-vanilla-marginals",
    ):
        assert {f"{stem}.svg", f"{stem}.png"} <= names
    assert painted[0].stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "pdf"], "--format: got 'pdf'; expected one of html, md, csv, nc"),
        (["--refits", "-1"], "--refits: got -1"),
        (["--quick", "--refits", "50"], "--refits: got 50 with --quick; expected 0"),
        (["--watch", "--refits", "50"], "--refits: got 50 with --watch; expected 0"),
        (["--quick", "--figures", "/proc/x"], "--figures: got /proc/x; expected a place that can be written ("),
        (
            ["--quick", "-o", "/proc/x/page.html"],
            "--output: got /proc/x/page.html; expected a place that can be written (",
        ),
        (
            ["--quick", "-o", "/proc"],
            "--output: got /proc, a folder; expected a file. Name one in it, as /proc/report.html.",
        ),
        (["--baseline", "lstm"], "--baseline: got 'lstm'; expected a cell of the study: vanilla, gated"),
    ],
)
def test_bad_options(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """A wrong option is one line that names it, what was given and what was expected; nothing is written."""
    assert call(monkeypatch, study, *arguments) == 2
    assert said in capsys.readouterr().err
    assert not (study.parent / "report.html").exists()


def test_figures_that_cannot_be_written(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is there but takes no files is the option's error, not a traceback."""
    blocked = study.parent / "figures"
    (blocked / "all-tasks-boxes.svg").mkdir(parents=True)
    assert call(monkeypatch, study, "--quick", "--figures", blocked) == 2
    assert f"--figures: got {blocked}; expected a place that can be written (" in capsys.readouterr().err


def test_a_missing_folder_is_made_and_named(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """-o into a folder that is not there makes it and says so; into one that is there it says nothing."""
    target = study.parent / "new" / "deep" / "n.csv"
    assert call(monkeypatch, study, "--quick", "--format", "csv", "-o", target) == 0
    assert f"Folder made: {target.parent}" in capsys.readouterr().out
    assert target.is_file()
    assert call(monkeypatch, study, "--quick", "--refits", "0", "--format", "csv", "-o", target) == 0
    assert "Folder made" not in capsys.readouterr().out


def test_a_newer_study_is_refused(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of a newer package is named with its format, and what to do."""
    newer = schema.load(study)
    newer.attrs["format"] = 99
    newer.to_netcdf(study.parent / "newer.nc", engine="h5netcdf")
    assert call(monkeypatch, study.parent / "newer.nc") == 2
    assert "format 99" in (said := capsys.readouterr().err)
    assert "newer package" in said


def test_watching_writes_again_when_the_study_changes(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--watch writes at once, again after a change, not without one, and Ctrl-C ends it without an error."""
    written: list[str] = []
    looks = itertools.count()

    def write(dataset: xarray.Dataset, path: Path, **options: Any) -> Path:
        assert options["live"]
        assert options["analyses"].per_tree is None, "the quick form"
        written.append(str(dataset.attrs["created"]))
        return path

    def sleep(_: float) -> None:
        look = next(looks)
        if look == 2:
            changed = schema.load(study)
            changed.attrs["created"] = "later"
            schema.save(changed, study)
        if look == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(page, "write", write)
    monkeypatch.setattr(report_command.time, "sleep", sleep)
    assert call(monkeypatch, study, "--watch") == 0
    assert written == ["2026-01-01T00:00:00+00:00", "later"]


def test_changes_of_a_store_are_seen(tmp_path: Path) -> None:
    """A new trial in the store's folder counts as a change."""
    (tmp_path / "trials").mkdir()
    (tmp_path / "study.json").write_text("{}")
    before = report_command._state(tmp_path)
    (tmp_path / "trials" / "a.json").write_text(json.dumps({}))
    assert report_command._state(tmp_path) != before
    assert report_command._state(tmp_path) == report_command._state(tmp_path)


def test_a_running_study_refreshes_its_page(study: Path, tmp_path: Path) -> None:
    """The page of a run reloads itself while trials are missing; that of a whole study does not."""
    reload = '<meta http-equiv="refresh"'
    half = schema.build(made.study(variants=("vanilla", "gated")), [])
    report_command.refresher(tmp_path)(half)
    assert reload in (tmp_path / "report.html").read_text(encoding="utf-8")
    report_command.refresher(tmp_path)(schema.load(study))
    assert reload not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_page_that_fails_does_not_end_the_run(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure is a warning, and it is said once."""

    def broken(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(page, "write", broken)
    refresh = report_command.refresher(tmp_path)
    with pytest.warns(UserWarning, match="disk full"):
        refresh(schema.load(study))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refresh(schema.load(study))


def test_reruns_stand_beside_the_best_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--reruns sets what a cell's best draw scores with fresh seeds beside its best score; the page and its numbers hold it."""
    content, kept, search = test_reruns.search()
    chosen, again = test_reruns.best_of(search, 3), list[object]()
    for seed, score in ((2, 49.0), (3, 49.5)):
        one = schema.build(*test_reruns.rerun(content, kept, chosen, seed, lambda *_, score=score: score))
        again += ["--reruns", schema.save(made.agreeing(one), tmp_path / f"again-{seed}.nc")]
    store = schema.save(made.agreeing(search), tmp_path / "study.nc")
    assert call(monkeypatch, store, "--format", "md", "--quick", *again) == 0
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "with fresh seeds" in text and text.count("49.25 ± 0.35") == 2


def test_reruns_of_another_study_are_refused_before_the_analysis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A re-run with the study's own seed ends the command before minutes of analysis, and no page is written."""
    _, _, search = test_reruns.search()
    store = schema.save(made.agreeing(search), tmp_path / "study.nc")
    monkeypatch.setattr("lstm_odyssey.reports.page.analyses.analyse", lambda *_, **__: pytest.fail("it was analysed"))
    assert call(monkeypatch, store, "--reruns", store) == 2
    assert not (tmp_path / "report.html").exists()


def test_two_files_make_one_page(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy under another name: every cell is two rows labelled by file; what takes one study refuses two, in one sentence."""
    other = Path(shutil.copy(study, tmp_path / "theirs.nc"))
    target = tmp_path / "both.md"
    mine = Path(shutil.copy(study, tmp_path / "mine.nc"))
    assert (
        call(monkeypatch, mine, other, "--format", "md", "--quick", "-o", target, "--baseline", "vanilla (mine)") == 0
    )
    text = target.read_text(encoding="utf-8")
    assert "From 2 files: mine (seed 1, 48 trials) and theirs (seed 1, 48 trials)." in text
    for row in ("vanilla (mine)", "vanilla (theirs)", "gated (mine)", "gated (theirs)"):
        assert f"| {row}" in text
    for given in (("--format", "record"), ("--watch",), ("--format", "points")):
        assert call(monkeypatch, mine, other, *given) == 2
