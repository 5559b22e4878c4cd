"""Studies of points: the rows of a file in place of draws, stored whole, checked, and never taken for a sample."""

import json

import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st

import lstm_odyssey as lo
from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract import draws
from lstm_odyssey.reports.fanova.cases import FanovaError
from lstm_odyssey.reports.page import words
from lstm_odyssey.study.asked import points
from lstm_odyssey.study.asked.settings import SettingsError
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.plan import make_plan
from lstm_odyssey.study.stored.store import Store, StoreError
from lstm_odyssey.study.stored.trials import check_study
from lstm_odyssey.training.random_streams import digest
from tests.small import settings

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")

HEAD = "hidden_size,learning_rate,momentum,input_noise"
ROWS = ("21,0.05,0.9,0", "64.0,1e-3,0,0.25", "8,0.0123456789012345678,0.99,1")
"""An odd size, a rate beyond every task's space; a size written as a decimal number; more digits than a float has."""


def write(folder, *rows, head=HEAD, name="points.csv", encoding="utf-8"):
    file = folder / name
    file.write_text("\n".join([head, *(rows or ROWS)]) + "\n", encoding=encoding)
    return file


def asked(folder, *rows, head=HEAD, **options):
    """The study of the file's rows: one epoch, trials one by one, as many as the file has rows."""
    given = {"points": str(write(folder, *rows, head=head)), "trials": None, "epochs": 1, "block_size": 2}
    return settings(folder, **{**given, **options})


def drawn(study):
    """The hyperparameters of every trial of a planned study, by variant."""
    (task,) = study["tasks"]
    size, wanted = study["block_size"], range(study["trials"])
    return {v: [Block(study, task, v, k // size).hyperparameters(k) for k in wanted] for v in study["variants"]}


def test_a_file_becomes_rows_of_plain_numbers(tmp_path):
    """Sizes are whole numbers, all else floats, to the last digit; the hash is of the content."""
    read = points.read(write(tmp_path))
    assert read["file"] == "points.csv" and read["sha256"] == digest(read["rows"])
    assert [list(row.values()) for row in read["rows"]] == [
        [21, 0.05, 0.9, 0.0], [64, 0.001, 0.0, 0.25], [8, 0.012345678901234568, 0.99, 1.0],
    ]  # fmt: skip
    assert [type(value) for value in read["rows"][1].values()] == [int, float, float, float]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (HEAD + "\n" + "\n".join(ROWS), "utf-8"),
        ("\r\n".join([HEAD, *ROWS]).replace(",", ";"), "utf-8-sig"),
        ("\n\n".join([HEAD, *ROWS]).replace(",", "\t "), "utf-8"),
        ("\n".join([f'"{HEAD}"'.replace(",", '","'), *ROWS, ",,,"]), "utf-8"),
    ],
    ids=["plain", "semicolons, BOM and CRLF", "tabs and empty lines", "quotes"],
)
def test_the_form_of_the_file_does_not_matter(text, encoding, tmp_path):
    """Delimiter, byte order mark, line ends, blanks, quotes and empty lines change neither rows nor hash."""
    (tmp_path / "other.csv").write_bytes(text.encode(encoding))
    assert points.read(tmp_path / "other.csv")["sha256"] == points.read(write(tmp_path))["sha256"]


WRONG = {
    "missing": (HEAD.replace(",momentum", ""), ["64,1e-3,0"], "no column momentum; expected columns hidden_size"),
    "unknown": (HEAD + ",learning_rat", ["64,1e-3,0,0,1"], "column 'learning_rat'; expected one of learning_rate, "),
    "twice": (HEAD + ",momentum", ["64,1e-3,0,0,1"], "has column 'momentum' twice"),
    "text": (HEAD, ["64,1e-3,0,0", "64,fast,0,0"], "line 3: learning_rate is 'fast'; expected a finite number above 0"),
    "decimal comma": (HEAD.replace(",", ";"), ["64;0,001;0;0"], "is '0,001'; .* The decimal sign is a point"),
    "underscore": (HEAD, ["1_0,1e-3,0,0"], "hidden_size is '1_0'; expected a whole number from 1 to 100,000"),
    "half a block": (HEAD, ["64.5,1e-3,0,0"], "hidden_size is 64.5; expected a whole number"),
    "no block": (HEAD, ["0,1e-3,0,0"], "hidden_size is 0; expected a whole number from 1"),
    "too large": (HEAD, ["1e30,1e-3,0,0"], "hidden_size is 1e30; expected a whole number"),
    "NaN": (HEAD, ["64,nan,0,0"], "learning_rate is nan; expected a finite number above 0"),
    "infinite": (HEAD, ["64,inf,0,0"], "learning_rate is inf; expected a finite number above 0"),
    "no rate": (HEAD, ["64,0,0,0"], "learning_rate is 0; expected a finite number above 0"),
    "all momentum": (HEAD, ["64,1e-3,1,0"], "momentum is 1; expected a number from 0 to below 1"),
    "negative": (HEAD, ["64,1e-3,0,-0.1"], "input_noise is -0.1; expected a finite number of at least 0"),
    "empty cell": (HEAD, ["64,,0,0"], "line 2: learning_rate is ''"),
    "short row": (HEAD, ["64,1e-3,0"], "line 2: 3 values; expected 4"),
    "no row": (HEAD, [" "], "a line of names and no row"),
    "empty": ("", [" "], "no line"),
    "open quote": (HEAD, ['"64,1e-3,0,0'], "is no CSV file"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_list_of_points_is_refused(name, tmp_path):
    """The error names file, line, column and value, and says what was expected; no store is made."""
    head, rows, message = WRONG[name]
    with pytest.raises(SettingsError, match=f"points.csv.*{message}"):
        lo.run(tmp_path / "store", asked(tmp_path, *rows, head=head))
    assert not (tmp_path / "store").exists()


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    """Nowhere, a folder, another encoding, too large."""
    with pytest.raises(SettingsError, match="nowhere.csv is no file"):
        points.read(tmp_path / "nowhere.csv")
    with pytest.raises(SettingsError, match="is no file"):
        points.read(tmp_path)
    with pytest.raises(SettingsError, match="cannot be read as UTF-8"):
        points.read(write(tmp_path, encoding="utf-16"))
    with open(tmp_path / "large.csv", "wb") as file:
        file.truncate(points.LARGEST + 1)
    with pytest.raises(SettingsError, match="has 67,108,865 bytes; expected at most 67,108,864"):
        points.read(tmp_path / "large.csv")


def test_a_path_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    """``~`` is the user's folder, here and in study.toml."""
    from lstm_odyssey.study.asked.config import read_config

    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path)
    assert points.read("~/points.csv")["file"] == "points.csv"
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "study.toml").write_text('points = "~/points.csv"\n')
    assert read_config(tmp_path / "below" / "study.toml")["points"] == str(tmp_path / "points.csv")
    (tmp_path / "below" / "study.toml").write_text('points = "mine.csv"\n')
    assert read_config(tmp_path / "below" / "study.toml")["points"] == str(tmp_path / "below" / "mine.csv")


@given(
    st.lists(st.tuples(st.integers(1, 400), st.floats(1e-300, 1e300), st.floats(0, 0.999), st.floats(0, 9)), min_size=1)
)
def test_rows_survive_a_file_to_the_last_bit(tmp_path_factory, rows):
    """Any point that pandas writes is read as it was."""
    import pandas

    file = tmp_path_factory.mktemp("points") / "points.csv"
    pandas.DataFrame(rows, columns=HEAD.split(",")).to_csv(file, index=False)
    assert [tuple(row.values()) for row in points.read(file)["rows"]] == rows


def test_trial_k_is_row_k_in_every_variant(tmp_path):
    """As many trials as rows, the same in every variant, whatever the seed; draws are called points."""
    study = make_plan(Store(tmp_path / "store"), asked(tmp_path, seed=7)).study
    assert study["trials"] == 3 and study["draws"] == "points" and study["seed"] == 7
    assert drawn(study) == dict.fromkeys(("nog", "vanilla"), points.read(tmp_path / "points.csv")["rows"])
    few = make_plan(Store(tmp_path / "store"), asked(tmp_path, trials=2)).study
    assert few["trials"] == 2 and drawn(few)["nog"] == drawn(study)["nog"][:2]
    ghosts = Block(study, "bach", "nog", 1)
    assert ghosts.indices == range(2, 4) and ghosts.hyperparameters(3) == drawn(study)["nog"][0]


def test_a_trial_of_points_is_the_trial_that_was_drawn(tmp_path):
    """The id hangs on hyperparameters, index and seed: a row that was drawn has the id, and the numbers, of the draw."""
    known = lo.run(tmp_path / "drawn", settings(tmp_path, trials=2, epochs=1, variants=["nog"]))
    names = HEAD.split(",")
    rows = [",".join(repr(known[name].values[0, 0, k].item()) for name in names) for k in range(2)]
    again = lo.run(tmp_path / "again", asked(tmp_path, *rows, variants=["nog"]))
    for name in ("trial_id", "best_test", "valid", "train_loss"):
        xarray.testing.assert_equal(again[name], known[name])
    other = make_plan(Store(tmp_path / "other"), asked(tmp_path, *rows, variants=["nog"], seed=2)).study
    assert Block(other, "bach", "nog", 0).trial_id(0) != known["trial_id"].values[0, 0, 0]


def test_more_trials_than_rows_are_refused(tmp_path):
    """At the start and where a study is extended."""
    with pytest.raises(SettingsError, match="--trials: got 4; expected at most 3, as points.csv has 3 rows"):
        make_plan(Store(tmp_path / "store"), asked(tmp_path, trials=4))
    store = Store(tmp_path / "store")
    store.write_study(make_plan(store, asked(tmp_path, trials=2)).study)
    assert make_plan(store, settings(tmp_path, epochs=None, trials=3)).study["trials"] == 3
    with pytest.raises(SettingsError, match="--trials: got 4; expected at most 3"):
        make_plan(store, settings(tmp_path, epochs=None, trials=4))


def test_draws_and_points_are_one_or_the_other(tmp_path):
    """Draws beside points, and points without a file, are refused."""
    with pytest.raises(SettingsError, match="--draws: got common with --points"):
        make_plan(Store(tmp_path / "store"), asked(tmp_path, draws="common"))
    with pytest.raises(SettingsError, match="--draws: got points without --points"):
        make_plan(Store(tmp_path / "store"), settings(tmp_path, draws="points"))
    assert make_plan(Store(tmp_path / "store"), asked(tmp_path, draws="points")).study["draws"] == "points"


PLACED = (
    "vanilla,,30,1e-3,0,0",
    "nog,,20,1e-3,0,0",
    "vanilla,,40,1e-3,0,0",
    "nog,bach,22,1e-3,0,0",
    ",bach,50,1e-3,0,0",
)


def test_rows_may_be_for_one_variant_or_task(tmp_path):
    """Trial k of a cell is the k-th row that is for it; the file's own variants and tasks are the study's by default."""
    given = asked(tmp_path, *PLACED, head=f"variant,task,{HEAD}", variants=None, tasks=None)
    study = make_plan(Store(tmp_path / "store"), given).study
    assert list(study["variants"]) == ["vanilla", "nog"] and list(study["tasks"]) == ["bach"] and study["trials"] == 3
    sizes = {variant: [row["hidden_size"] for row in rows] for variant, rows in drawn(study).items()}
    assert sizes == {"vanilla": [30, 40, 50], "nog": [20, 22, 50]}
    one = make_plan(Store(tmp_path / "store"), asked(tmp_path, *PLACED, head=f"variant,task,{HEAD}", variants=["nog"]))
    assert one.variants == ("nog",) and one.study["trials"] == 3


def test_every_cell_has_as_many_rows(tmp_path):
    """A cell without rows, or with fewer than another, is refused by name, also where one is added later."""
    head = f"variant,{HEAD}"
    with pytest.raises(SettingsError, match="has 1 for 'nog' on 'bach' and 2 for 'vanilla' on 'bach'"):
        make_plan(
            Store(tmp_path / "a"), asked(tmp_path, "vanilla,30,1,0,0", "vanilla,40,1,0,0", "nog,30,1,0,0", head=head)
        )
    with pytest.raises(SettingsError, match="no row for 'vanilla' on 'bach' and 1 for 'nog'"):
        make_plan(Store(tmp_path / "a"), asked(tmp_path, "nog,30,1,0,0", head=head))
    with pytest.raises(SettingsError, match="no row for 'vanilla' on 'bach'; its rows are for variant nog"):
        make_plan(Store(tmp_path / "a"), asked(tmp_path, "nog,30,1,0,0", head=head, variants=["vanilla"]))
    store = Store(tmp_path / "store")
    store.write_study(make_plan(store, asked(tmp_path, "nog,30,1,0,0", head=head, variants=["nog"])).study)
    with pytest.raises(SettingsError, match="no row for 'vanilla'"):
        make_plan(store, settings(tmp_path, epochs=None, trials=None, variants=["vanilla"]))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study of three points, one beyond the task's space, and its folder."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, lo.run(folder / "store", asked(folder))


def test_a_study_of_points_goes_on_without_its_file(finished, tmp_path):
    """The content stands in study.json and in the netCDF: a resume, here and elsewhere, needs no file, and runs nothing."""
    folder, study = finished
    (folder / "points.csv").unlink()
    assert schema_points(study) == json.loads((folder / "store" / "study.json").read_text())["points"]
    runs = []
    for place, options in (("store", {}), ("moved", {"resume_from": folder / "store" / "study.nc"})):
        again = lo.run(
            folder / place, lo.Settings(data=settings(folder).data), on_block=lambda *ran: runs.append(ran), **options
        )
        xarray.testing.assert_identical(again, study)
    assert runs == []
    same = Store(folder / "same")
    same.write_study(
        make_plan(same, settings(folder, points=str(write(folder, name="as.csv")), trials=None, epochs=1)).study
    )
    lo.run(same.path, lo.Settings(data=settings(folder).data), resume_from=folder / "store" / "study.nc")
    assert same.study()["points"]["file"] == "as.csv"  # another name for the same rows
    write(folder)
    lo.run(folder / "moved", lo.Settings(data=settings(folder).data, points=str(folder / "points.csv")))


def schema_points(study):
    return json.loads(study.attrs["more"])["points"]


def test_other_points_are_another_study(finished, tmp_path):
    """Another file is refused by its hash, for a store of points and one of draws, and so is a join of two such studies."""
    folder, _ = finished
    other = write(tmp_path, *ROWS[:2], name="other.csv")
    ask = lo.Settings(data=settings(folder).data, points=str(other))
    with pytest.raises(
        StoreError, match="the points of points.csv, sha256 .*, and other.csv, sha256 .* has other points"
    ):
        lo.run(folder / "store", ask)
    store = Store(tmp_path / "drawn")
    store.write_study(make_plan(store, settings(tmp_path, epochs=1, draws="independent")).study)
    with pytest.raises(StoreError, match="it holds a study with draws = 'independent', and other.csv"):
        lo.run(store.path, ask)
    with pytest.raises(StoreError, match="draws = 'points', and 'common' was asked for"):
        lo.run(folder / "store", lo.Settings(draws="common"))
    joined = Store(tmp_path / "joined")
    joined.write_study(make_plan(joined, settings(tmp_path, points=str(other), trials=None, epochs=1)).study)
    with pytest.raises(StoreError, match="it holds a study with points = 'rows of sha256 .* one with 'rows of sha256"):
        lo.run(joined.path, lo.Settings(data=settings(folder).data), resume_from=folder / "store" / "study.nc")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda points: points["rows"][0].update(learning_rate=0.06), "another sha256"),
        (lambda points: points["rows"][0].update(hidden_size=21.0), "hidden_size of row 0"),
        (lambda points: points["rows"][1].update(momentum="0"), "momentum of row 1"),
        (lambda points: points["rows"][2].pop("momentum"), "row 2 of points"),
        (lambda points: points.update(rows=[]), "points hold no rows"),
        (
            lambda points: (points["rows"].pop(), points.update(sha256=digest(points["rows"]))),
            "trials is 3 and points have 2",
        ),
    ],
)
def test_damaged_points_are_found(change, message, finished):
    """What study.json says of its points is checked before anything relies on it."""
    study = json.loads((finished[0] / "store" / "study.json").read_text())
    change(study["points"])
    with pytest.raises(ValueError, match=message):
        check_study(study)


def test_draws_and_points_of_a_store_agree(finished):
    """Points without the word, and the word without points, are damage."""
    study = json.loads((finished[0] / "store" / "study.json").read_text())
    check_study(study)
    for change in ({"draws": "common"}, {"points": None}):
        with pytest.raises(ValueError, match="points"):
            check_study({name: value for name, value in {**study, **change}.items() if value is not None})


def test_the_analysis_says_that_nothing_was_drawn(finished, tmp_path):
    """The functional ANOVA refuses; the summary, the caption and the command of the page name the file."""
    _, study = finished
    assert draws.common(study) and draws.points(study)["file"] == "points.csv"
    with pytest.raises(FanovaError, match="got the rows of points.csv; expected random draws"):
        lo.fanova(study)
    page.write(study, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "They were chosen, not drawn" in text and "points of points.csv, not drawn" in text
    assert (
        "No cell is judged: the rows were chosen, not drawn." in text
        and "No cell is judged: there are too few" not in text
    )
    command = next(line for line in words.commands(study) if line.startswith("odyssey run"))
    assert "--points points.csv" in command and "--draws" not in command
    assert lo.compare(study, None, replicates=9).attrs["resampling"] == "paired"


def test_the_command_line_takes_points(odyssey, tmp_path):
    """``odyssey run --points`` runs a trial for each row, and the table says what they are."""
    data = settings(tmp_path).data["bach"]
    options = [f"--store={tmp_path / 'store'}", f"--data=bach={data}", "--tasks=bach", "--variants=nog", "--workers=0"]
    code, output, error = odyssey("run", *options, f"--points={write(tmp_path)}", "--epochs=1", "--profile=smoke")
    assert code == 0 and error == "" and "3/3" in output and "Drawn from" not in output
    assert "Its hyperparameters are the rows of points.csv" in " ".join(output.split())
    code, _, error = odyssey("run", *options, f"--points={write(tmp_path, *ROWS[:2])}")
    assert code == 2 and "has other points" in error and error.count("\n") == 1
