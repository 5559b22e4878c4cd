"""The odyssey command: what it prints, what it writes, and one clear line for every mistake."""

import json
import re
import shutil

import pytest

import lstm_odyssey as lo
from lstm_odyssey.commands import cli
from lstm_odyssey.commands.options import joined, names
from lstm_odyssey.plugins import registry
from lstm_odyssey.study import dispatch
from lstm_odyssey.study.asked.config import read_config
from lstm_odyssey.study.asked.settings import SettingsError
from lstm_odyssey.study.plan import chosen_cells
from tests.made_plugins import HURRIED, RISING, write
from tests.small import chorales

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")


def small(folder, *more):
    folder.mkdir(exist_ok=True)
    data = f"--data=bach={chorales(folder)}"
    shape = [
        "--profile=smoke",
        "--trials=2",
        "--epochs=1",
        "--block-size=2",
        "--workers=0",
        "--variants=nog,np",
        "--tasks=bach",
    ]
    return ["run", f"--store={folder / 'store'}", data, *shape, *more]


@pytest.fixture
def ran(odyssey, shared, tmp_path):
    """A folder in which ``small`` was run, of one's own; it is run once for all."""
    shutil.copytree(shared("small-run", lambda folder: odyssey(*small(folder))), tmp_path / "ran")
    return tmp_path / "ran"


def test_a_run_ends_with_a_table_and_the_path_of_the_report(odyssey, tmp_path):
    """The table has every variant with its scores; the space it was drawn from and the report's path follow."""
    code, output, error = odyssey(*small(tmp_path))
    assert code == 0 and error == ""
    for name in ("nog", "no_peepholes"):
        scores = r"2/2 +0 +\d+ % \(\d+ to \d+\) +\d+\.\d\d +\d+\.\d\d +(yes|no) +\d+,\d+ *$"
        assert re.search(f"{name} +{scores}", output, re.MULTILINE), output
    assert "s/epoch" not in output, "two trials make no fit"
    assert "chance level" in output and "Drawn from: hidden_size even log-uniform [20, 100]" in " ".join(output.split())
    assert f"Report:  {tmp_path / 'store' / 'report.html'}" in output
    page = (tmp_path / "store" / "report.html").read_text()
    assert "<svg" in page and "no_peepholes" in page


def test_a_run_again_runs_nothing(odyssey, ran):
    """The second run says that everything is stored."""
    code, output, _ = odyssey("run", f"--store={ran / 'store'}", f"--data=bach={chorales(ran)}", "--workers=0")
    assert code == 0 and "4 trials, 4 of them stored already" in output


def test_a_run_goes_on_from_a_netcdf_and_says_where_it_began(odyssey, ran):
    """--resume-from takes a study over, here or in study.toml; another machine's trials are said to be, in one line."""
    for file in (ran / "store" / "trials").iterdir():
        trial = json.loads(file.read_text())
        file.write_text(json.dumps({**trial, "environment": {**trial["environment"], "cpu": "a slow one"}}))
    data = f"--data=bach={chorales(ran)}"
    odyssey("run", f"--store={ran / 'store'}", data, "--workers=0")
    options = [data, "--workers=0", "--trials=3", f"--store={ran / 'moved'}"]
    code, output, error = odyssey("run", f"--resume-from={ran / 'store' / 'study.nc'}", *options)
    assert code == 0 and error == "" and "6 trials, 4 of them stored already" in output
    assert output.count("warning: stored trials ran elsewhere") == 1 and "(cpu a slow one then, " in output
    (ran / "study.toml").write_text('resume_from = "moved/study.nc"\n')
    options[-1] = f"--store={ran / 'again'}"
    code, output, _ = odyssey("run", ran / "study.toml", *options)
    assert code == 0 and "6 trials, 6 of them stored already" in output and "warning" not in output


def test_variants_are_listed_with_equations_and_counts(odyssey):
    """Every variant with its equations, aliases and the paper's parameter counts."""
    code, output, _ = odyssey("variants")
    assert code == 0
    assert "no_peepholes (also np)  states y c  [odyssey-2017]" in output
    assert "c_t = z_t ⊙ i_t + c_{t-1} ⊙ (1 - i_t)" in output
    assert re.search(r"vanilla +8,780 +75,900 +231,800", output)


def test_variants_are_listed_by_collection(odyssey):
    """The study's own collection comes first, then the others; each under its name and count, and every variant once."""
    _, output, _ = odyssey("variants")
    shown = re.findall(r"^(\S+)(?: \(also .*\))?  states .*  \[(.*)\]$", output, re.MULTILINE)
    assert sorted(name for name, _ in shown) == list(lo.variant_names())
    assert all((lo.variant(name).collection or "-") == collection for name, collection in shown)
    collections = [collection for _, collection in shown]
    runs = [one for one, before in zip(collections, ["", *collections], strict=False) if one != before]
    assert runs[0] == "odyssey-2017" and len(runs) == len(set(runs)) >= 2
    headings = re.findall(r"^(\S+) \((\d+)\)\n─+$", output, re.MULTILINE)
    assert headings == [(name, str(collections.count(name))) for name in runs]


def test_a_run_takes_the_papers_nine_unless_told_otherwise():
    """Without --variants, or with a store's, a study has that collection; 'all' is every variant there is."""
    nine = chosen_cells(None)
    assert {cell.collection for cell in nine.values()} == {"odyssey-2017"} and len(nine) == 9
    assert set(chosen_cells(["all"])) == set(lo.variant_names()) > set(nine)
    assert list(chosen_cells(None, stored=["slstm"])) == ["slstm"]


def test_tasks_are_listed_with_licence_and_source(odyssey):
    """Every task with its chance level, where its corpus is and its licence."""
    code, output, _ = odyssey("tasks")
    assert code == 0
    assert "chance level 11.09 nats/frame" in output and "embedded in the package" in output
    assert output.count("licence ") >= 2 and output.count("source ") >= 2
    assert "yours: --data timit=PATH" in output and "downloaded once, or --data jsb_chorales=PATH" in output


def test_a_report_is_written_from_a_store_or_a_netcdf(odyssey, ran):
    """odyssey report makes the page again, from the folder and from the consolidated file."""
    store = ran / "store"
    (store / "report.html").unlink()
    assert odyssey("report", store)[0] == 0 and (store / "report.html").exists()
    other = ran / "other.html"
    assert odyssey("report", store / "study.nc", "-o", other)[0] == 0 and "<svg" in other.read_text()


def test_a_study_file_gives_options_and_the_command_line_beats_it(odyssey, tmp_path):
    """study.toml has the options by name; paths of data are relative to it."""
    file = chorales(tmp_path)
    (tmp_path / "study.toml").write_text(
        'variants = ["nog"]\ntasks = ["bach"]\ntrials = 3\nepochs = 1\nprofile = "smoke"\nblock_size = 2\nworkers = 0\n'
        f'store = "{tmp_path / "store"}"\n[protocol]\npatience = 4\n[data]\nbach = "{file.name}"\n'
    )
    code, output, _ = odyssey("run", tmp_path / "study.toml", "--trials=1")
    assert code == 0 and re.search(r"nog +1/1", output)
    study = json.loads((tmp_path / "store" / "study.json").read_text())
    assert study["protocol"]["patience"] == 4 and study["trials"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trails = 3", "unknown option 'trails'; expected one of trials"),
        ("trials = '3'", "trials is '3'; expected a whole number"),
        ("variants = 'nog'", "variants is 'nog'; expected a list of names"),
        ("trials =", "cannot be read as TOML"),
    ],
)
def test_a_wrong_study_file_is_one_clear_error(tmp_path, text, message):
    """Each mistake in study.toml names the file, the option and what was expected."""
    file = tmp_path / "study.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=f"study.toml: {re.escape(message)}"):
        read_config(file)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--variants=vanila"], r"variant 'vanila': unknown; expected one of vanilla, "),
        (["--tasks=bahc"], r"task 'bahc': unknown; expected one of bach, "),
        (["--trials=0"], r"--trials: got 0; expected a whole number of at least 1"),
        (["--epochs=0"], r"--epochs: got 0; expected a whole number of at least 1"),
        (["--block-size=-1"], r"--block-size: got -1; expected"),
        (["--workers=-1"], r"--workers: got -1; expected 0"),
        (["--profile=tiny"], r"--profile: got 'tiny'; expected one of smoke, standard, paper"),
        (["--draws=sobol"], r"--draws: got 'sobol'; expected one of independent, common"),
        (["--dtype=float16"], r"--dtype: got 'float16'; expected one of float64, float32"),
        (["--backend=triton"], r"backend 'triton': not available; expected auto or one of"),
        (["--device=tpu"], r"--device: got 'tpu'; expected one of cpu, cuda"),
        (["--keep-weights=all"], r"--keep-weights: got 'all'; expected one of best, none"),
        (["--data=bach"], r"--data: got 'bach'; expected TASK=PATH"),
        (["--data=timit=x"], r"--data: got a path for timit; expected one of the tasks: bach"),
        (["--data=bach=/nowhere/x.json.gz"], r"task 'bach': .*nowhere"),
        (["--variants="], r"--variants: got no name"),
        (["/nowhere/study.toml"], r"/nowhere/study.toml: there is no such file"),
        (
            ["--resume-from=/nowhere/study.nc"],
            r"study /nowhere/study.nc: nothing is there; expected a store's folder or",
        ),
        (["--tasks=jsb_chorales"], r"task 'jsb_chorales': .*--data jsb_chorales=PATH"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_that_says_what_to_do(odyssey, tmp_path, monkeypatch, arguments, message):
    """Every wrong option ends with code 2 and one line: subject, got, expected; no traceback, and no store is made."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ODYSSEY_DATA", raising=False)
    code, output, error = odyssey("run", f"--store={tmp_path / 'store'}", "--workers=0", *arguments)
    assert code == 2 and output == ""
    assert re.match(rf"odyssey: {message}", error), error
    assert error.count("\n") == 1 and "Traceback" not in error
    assert not (tmp_path / "store").exists()


def test_a_corpus_with_a_wrong_checksum_is_refused(odyssey, tmp_path):
    """A file that is not the corpus is refused by its checksum, before anything reads it."""
    file = tmp_path / "JSB Chorales.pickle"
    file.write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    code, _, error = odyssey(
        "run", f"--store={tmp_path / 'store'}", "--tasks=jsb_chorales", f"--data=jsb_chorales={file}"
    )
    assert code == 2 and "sha256" in error and "69dc4c3e" in error


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("    def pair(seed)", "    [][0]\n    def pair(seed)"),
            r"    \[\]\[0\]\n(.*\n)?IndexError: list index out of range\n",
        ),
        (
            ("    def pair(seed)", "    open('/no/x')\n    def pair(seed)"),
            r"    open.*\n(.*\n)?FileNotFoundError: .*\n",
        ),
        (
            ('provenance="made")', "nothing=1)"),
            r"    return lo.Corpus\(.*nothing=1\)\n(.*\n)?TypeError: .*\n",
        ),
    ],
    ids=["IndexError", "FileNotFoundError", "TypeError"],
)
def test_an_exception_of_a_tasks_load_is_its_own_lines_alone(odyssey, tmp_path, change, told):
    """The author's file and line and the exception, whatever its type; nothing of the way there, and no store."""
    file = write(tmp_path, "mine.py", RISING.replace(*change))
    try:
        code, output, error = odyssey("run", f"--plugin={file}", "--tasks=rising", f"--store={tmp_path / 'store'}")
    finally:
        registry.forget_plugins()
    assert code == 2 and output == "" and error.count("\n") <= 8 and not (tmp_path / "store").exists()
    place, note = r'  File ".*mine.py", line \d+, in load\n', r"\(task 'rising': raised by its load; "
    assert re.match(f"odyssey: a plugin's own code failed:\n{place}{told}{note}", error), error


def test_a_corpus_that_cannot_be_trained_on_is_refused_before_anything_runs(odyssey, tmp_path):
    """One target longer than its frames allow: one line with the task, the sequence and its numbers; no trial diverges."""
    file = write(tmp_path, "mine.py", HURRIED)
    try:
        code, output, error = odyssey("run", f"--plugin={file}", "--tasks=hurried", f"--store={tmp_path / 'store'}")
    finally:
        registry.forget_plugins()
    assert code == 2 and output == "" and error.count("\n") == 1 and not (tmp_path / "store").exists()
    assert re.match(
        r"odyssey: task 'hurried': objective 'ctc': 1 of 5 .*: train\[1\]: its 3 labels need 4 frames, it has 3", error
    )


def test_cuda_without_a_device_is_said_plainly(odyssey, tmp_path):
    """--device cuda where there is none is one clear line."""
    import torch

    if torch.cuda.is_available():
        return  # then it is no mistake; test_study covers what runs
    code, _, error = odyssey("run", "--device=cuda", f"--store={tmp_path / 'store'}")
    assert code == 2 and "no CUDA device here" in error


def test_a_programming_error_keeps_its_traceback(odyssey, monkeypatch):
    """Only errors of the package are shortened to a line; a bug shows where it is."""
    monkeypatch.setattr("lstm_odyssey.commands.terminal.tables.variant_list", lambda: [][0])
    monkeypatch.setattr("sys.argv", ["odyssey", "variants"])
    with pytest.raises(IndexError):
        cli.main()


def test_ctrl_c_says_how_to_go_on(odyssey, ran, tmp_path, monkeypatch):
    """An interrupt ends with code 130 and the command that resumes; where nothing had finished nothing is kept."""
    compute, left = dispatch.run_block, [1]

    def interrupted(*arguments):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return compute(*arguments)

    monkeypatch.setattr("lstm_odyssey.study.dispatch.run_block", interrupted)
    code, output, _ = odyssey(*small(tmp_path))
    assert code == 130
    assert "Nothing finished is lost: go on with" in output and "odyssey run --store" in output
    assert "--resume-from" not in output
    code, output, _ = odyssey(*small(tmp_path / "fresh"))
    assert code == 130 and "Stopped. Nothing had finished, so nothing is kept." in output
    assert not (tmp_path / "fresh" / "store").exists()
    source = ran / "store"
    code, output, _ = odyssey(*small(tmp_path / "moved", f"--resume-from={source}", "--trials=3"))
    assert code == 130 and f"--resume-from={source}" in output


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("--variants nog,cifg --trials 3", "--variants nog,cifg --trials 3"),
        ("--variants nog cifg --trials 3", "--variants nog,cifg --trials 3"),
        ("--variants nog, cifg fgr", "--variants nog,,cifg,fgr"),
        ("--variants c* n* --tasks bach other", "--variants c*,n* --tasks bach,other"),
        ("study.toml --variants nog cifg", "study.toml --variants nog,cifg"),
        ("--variants nog study.toml", "--variants nog study.toml"),
        ("--variants=nog cifg", "--variants=nog cifg"),
        ("--seed 3 cifg", "--seed 3 cifg"),
        ("--variants", "--variants"),
    ],
)
def test_names_have_commas_or_spaces_between(words, read):
    """Both mean the same; what has a dot or a slash is a file, and other options have one value."""
    assert joined(words.split()) == read.split()
    assert names([words]) is not None


def test_a_file_that_is_there_is_no_name(tmp_path, monkeypatch):
    """A study's options may lie in a file without an ending."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").write_text("trials = 1")
    assert joined(["--variants", "nog", "mine"]) == ["--variants", "nog", "mine"]


def test_variants_with_spaces_are_run(odyssey, tmp_path):
    """A study of two cells named apart; one of anything is not told in the plural."""
    asked = [word for word in small(tmp_path / "two", "--trials=1") if not word.startswith("--variants")]
    code, output, _ = odyssey(*asked, "--variants", "nog", "cifg")
    assert code == 0 and "2 trials: 2 variants x bach x 1 trial of 1 epoch at most" in output
    assert "nog on bach, 1 trial;" in output


def test_the_version_is_told(odyssey):
    """``odyssey --version`` prints one line and needs no command."""
    code, output, _ = odyssey("--version")
    assert code == 0 and output == f"lstm-odyssey {lo.__version__}\n"


def test_a_report_is_of_the_folder_study_unless_told(odyssey, tmp_path, monkeypatch):
    """Where a run puts it, a report finds it."""
    monkeypatch.chdir(tmp_path)
    code, _, error = odyssey("report")
    assert code == 2 and "study study: nothing is there" in error


def test_how_to_read_the_tables_is_said_once():
    """A study of two tasks has two tables, each with what it was drawn from; one legend names the N of each task's times."""
    from lstm_odyssey.commands.terminal.tables import results
    from lstm_odyssey.reports.contract import schema
    from tests import made_studies as made

    study = made.study({"songs": made.MUSIC, "hymns": made.MUSIC}, trials=20)
    trials = [
        made.trial(study, task, name, k) for task in study["tasks"] for name in study["variants"] for k in range(20)
    ]
    said = "\n".join(str(each) for each in results(schema.build(study, trials)))
    assert said.count("Test scores of each trial's best validation epoch") == 1 and said.count("Drawn from: ") == 2
    assert re.search(r"an epoch's updates at N = \d+ on songs, \d+ on hymns, fitted", said)
