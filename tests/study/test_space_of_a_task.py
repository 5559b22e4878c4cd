"""A task's own search space, with hyperparameters beyond the four: drawn, stored, moved, analysed and refused."""

import csv
import json
import shlex

import numpy as np
import pytest

import lstm_odyssey as lo
from lstm_odyssey.plugins import registry
from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract.restore import restore
from lstm_odyssey.reports.contract.schema import without_times
from lstm_odyssey.reports.stats.best_points import best_points
from lstm_odyssey.study.asked import spaces
from lstm_odyssey.study.asked.config import read_config
from lstm_odyssey.study.asked.settings import SettingsError
from lstm_odyssey.study.plan import make_plan
from lstm_odyssey.study.stored.store import Store
from lstm_odyssey.tasks.declare import PAPER_SPACE
from lstm_odyssey.tasks.distributions import Choice, EvenInteger, LogUniform, Uniform
from tests.corpora import made_task
from tests.small import settings

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")

FLAG = Choice((False, True))
SPACE = {
    **PAPER_SPACE, "hidden_size": EvenInteger(LogUniform(2, 8)), "nesterov": FLAG, "clip_gradient": FLAG,
    "initial_std": LogUniform(0.05, 0.4), "start.b.f": Uniform(-1, 3),
}  # fmt: skip
MORE = ("nesterov", "clip_gradient", "initial_std", "start.b.f")


@pytest.fixture
def made(monkeypatch):
    """The task ``made``, whose space has more than the four."""
    task = registry.NamedTask(made_task(space=SPACE), "made", {})
    known = registry.task
    monkeypatch.setattr(registry, "task", lambda name: task if name == "made" else known(name))
    whence = registry.origin
    monkeypatch.setattr(registry, "origin", lambda kind, name: {} if name == "made" else whence(kind, name))
    load = registry.load_corpus
    monkeypatch.setattr(
        registry, "load_corpus", lambda name, path=None: task.load(path) if name == "made" else load(name, path)
    )
    return {
        "variants": ["vanilla", "nog"],
        "tasks": ["made"],
        "data": {},
        "profile": "paper",
        "epochs": 2,
        "draws": "common",
    }


def kinds(trials):
    return {name: {type(trial["hyperparameters"].get(name)) for trial in trials} for name in ("hidden_size", *MORE)}


def test_a_study_draws_all_of_it_and_goes_on_from_its_file(made, tmp_path):
    """Truth values and whole numbers come back from netCDF as such; what goes on from the file has the same bits."""
    asked = settings(tmp_path, **made, trials=4, block_size=3)
    study = lo.run(tmp_path / "store", asked)
    assert (study["status"] == "ok").all()
    assert set(np.unique(study["nesterov"])) == set(np.unique(study["clip_gradient"])) == {0.0, 1.0}
    trials = list(Store(tmp_path / "store").trials())
    expected = {"hidden_size": {int}, "nesterov": {bool}, "clip_gradient": {bool}, "initial_std": {float}}
    assert kinds(trials) == {**expected, "start.b.f": {float}}
    _, again = restore(lo.open_study(tmp_path / "store" / "study.nc"))
    assert kinds(again) == kinds(trials)
    whole = lo.run(tmp_path / "whole", settings(tmp_path, **made, trials=6, block_size=3))
    further = settings(tmp_path, tasks=["made"], variants=made["variants"], trials=6)
    moved = lo.run(
        tmp_path / "moved",
        lo.Settings(tasks=("made",), variants=tuple(made["variants"]), trials=further.trials),
        resume_from=tmp_path / "store" / "study.nc",
    )
    assert without_times(moved).drop_attrs().equals(without_times(whole).drop_attrs())


def test_the_page_and_the_analysis_know_them(made, tmp_path):
    """Levels of a truth value are named; the page tells what was drawn, and its points can be trained again."""
    study = lo.run(tmp_path / "store", settings(tmp_path, **made, trials=12, block_size=6))
    with pytest.warns(UserWarning, match="constant response|12 trials"):
        effects = lo.fanova(study, trees=8, replicates=0)
    assert set(MORE) < set(effects["hyperparameter"].values.tolist())
    levels = effects["level"].sel(hyperparameter="nesterov").values.ravel().tolist()
    assert set(levels) - {""} == {"false", "true"}
    text = page.render(study)
    assert "Nesterov momentum, else classical" in text and "one of false, true" in text
    points = best_points(study, 2)
    points.to_csv(tmp_path / "points.csv", index=False)
    again = lo.run(tmp_path / "again", settings(tmp_path, tasks=["made"], variants=None, data={}, trials=None, block_size=None,
                                                profile=None, epochs=1, points=tmp_path / "points.csv"))  # fmt: skip
    for name in MORE:
        wanted = points[name].to_numpy(float).reshape(2, 2)
        assert np.array_equal(np.sort(again[name].values[0].ravel()), np.sort(wanted.ravel())), name
    assert kinds(list(Store(tmp_path / "again").trials()))["nesterov"] == {bool}


def test_a_study_may_add_them_to_any_task(tmp_path):
    """``[space]`` of study.toml has them too; ``start.b.f`` need not be quoted."""
    (tmp_path / "study.toml").write_text(
        "[space]\nclip_gradient = {kind = 'choice', values = [false, true]}\n"
        "start.b.f = {kind = 'uniform', low = 0, high = 2}\n"
        "[space.bach]\nstart.b.i = {kind = 'choice', values = [1]}\n"
    )
    asked = settings(tmp_path, **read_config(tmp_path / "study.toml"))
    study = make_plan(Store(tmp_path / "store"), asked).study
    assert set(study["space"]) == {"clip_gradient", "start.b.f", "bach"} and set(study["space"]["bach"]) == {
        "start.b.i"
    }
    facts = study["tasks"]["bach"]
    assert list(facts["space"]) == [*PAPER_SPACE, "clip_gradient", "start.b.f", "start.b.i"]
    assert facts["space_note"].endswith("clip_gradient, start.b.f, start.b.i as chosen for this study")
    assert spaces.checked(study["space"]) == study["space"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": {"momentum": "classical"}}, "momentum is 'classical', and the space of task 'made' has nesterov"),
        ({"protocol": {"initial_std": 0.1}}, "initial_std is 0.1, and the space of task 'made' has initial_std, .* Leave one"),
        ({"variants": ["nfg"]}, "variant 'nfg': the space of task 'made' holds .*: start.b.f is asked for and b.f is none of"),
        ({"space": {"start.R.z": {"kind": "choice", "values": [1]}}}, "start.R.z is asked for and R.z is a matrix"),
        ({"space": {"nesterov": {"kind": "uniform", "low": 0, "high": 1}}}, "nesterov is .* a training takes true or false"),
        ({"space": {"nesterov": {"kind": "choice", "values": [0, 1]}}}, "nesterov is one of 0, 1, .* takes true or false"),
        ({"space": {"initial_std": {"kind": "uniform", "low": 0, "high": 1}}}, "initial_std .* takes a finite number above 0"),
        ({"space": {"nesterof": {"kind": "choice", "values": [True]}}}, "unknown hyperparameter 'nesterof'; .* of nesterov"),
    ],
)  # fmt: skip
def test_what_contradicts_a_space_is_refused(made, tmp_path, options, message):
    """Given in both space and protocol, a start that a cell lacks, another kind of value: one sentence, no store."""
    with pytest.raises(SettingsError, match=message):
        lo.run(tmp_path / "store", settings(tmp_path, **{**made, **options}))
    assert not (tmp_path / "store").exists()


def test_a_resume_with_the_protocols_own_option_is_refused(made, tmp_path):
    """The store's own options count as chosen when a task whose space has them joins later."""
    asked = settings(
        tmp_path, **{**made, "tasks": ["bach"], "protocol": {"momentum": "classical"}, "epochs": 1, "trials": 1}
    )
    store = Store(tmp_path / "store")
    store.write_study(make_plan(store, asked).study)
    with pytest.raises(SettingsError, match="momentum is 'classical', and the space of task 'made' has nesterov"):
        make_plan(store, lo.Settings(tasks=("made",)))


def test_what_a_page_and_a_table_of_points_give_can_be_run_again(made, tmp_path):
    """Also where another task draws less: the page's command has no option that a trial decides; points are read back."""
    from lstm_odyssey.reports.page import words
    from lstm_odyssey.reports.stats.best_points import draws
    from lstm_odyssey.study.asked import points as points_file

    both = {**made, "tasks": ["made", "bach"], "variants": ["nog"], "trials": 3, "epochs": 1}
    asked = settings(tmp_path, **{**both, "data": settings(tmp_path).data})
    study = lo.run(tmp_path / "store", asked)
    (tmp_path / "again.toml").write_text("\n".join(shlex.split(words.commands(study)[0])[2:-2]) + "\n")
    said = read_config(tmp_path / "again.toml")
    assert "momentum" not in said["protocol"] and "initial_std" not in said["protocol"]
    make_plan(Store(tmp_path / "again"), settings(tmp_path, **{**made, **said}))
    best_points(study, 2).to_csv(tmp_path / "points.csv", index=False)
    rows = points_file.read(tmp_path / "points.csv")["rows"]
    kinds = {row["task"]: type(row.get("nesterov")) for row in rows}
    assert kinds == {"made": bool, "bach": type(None)} and all(type(row["hidden_size"]) is int for row in rows)
    part, names = study.sel(task="bach", variant="nog"), ["nesterov", "momentum"]
    assert set(draws(part, names)) == set(draws(part.copy(deep=True), names))


def test_a_tasks_own_space_is_checked_like_a_studys(made, monkeypatch, tmp_path):
    """A distribution that can draw what no training takes is refused, in the space and where it is narrowed."""
    for where, wrong, message in (
        ("space", {"nesterov": Uniform(0, 1)}, "task 'made': space: nesterov is .* takes true or false"),
        (
            "space",
            {"initial_std": Uniform(-1, 1)},
            "task 'made': space: initial_std is .* takes a finite number above 0",
        ),
        ("narrowed", {"momentum": Uniform(0, 1)}, "task 'made': narrowed: momentum is .* from 0 to below 1"),
    ):
        given = {"space": SPACE, "narrowed": {}}
        given[where] = {**given[where], **wrong}
        task = registry.NamedTask(made_task(**given), "made", {})
        monkeypatch.setattr(registry, "task", lambda name, task=task: task)
        with pytest.raises(SettingsError, match=message):
            make_plan(Store(tmp_path / "store"), settings(tmp_path, **made))


def written(path, rows):
    with path.open("w", newline="") as file:
        lines = csv.DictWriter(file, list(rows[0]))
        lines.writeheader()
        lines.writerows(rows)
    return path


def test_points_may_have_columns_for_them(tmp_path):
    """Truth values are written true, false, 1 or 0; an empty cell leaves the protocol's; others are refused by line."""
    row = {"hidden_size": 3, "learning_rate": 0.01, "momentum": 0.5, "input_noise": 0}
    rows = [{**row, "nesterov": "False", "start.b.f": 2}, {**row, "nesterov": 1, "start.b.f": ""}]
    asked = {"trials": None, "profile": None, "block_size": None}
    store = Store(tmp_path / "store")
    study = make_plan(store, settings(tmp_path, points=written(tmp_path / "a.csv", rows), **asked)).study
    assert [each.get("nesterov") for each in study["points"]["rows"]] == [False, True]
    assert [each.get("start.b.f") for each in study["points"]["rows"]] == [2.0, None]
    store.write_study(study)
    assert json.loads((tmp_path / "store" / "study.json").read_text())["points"]["rows"][1]["nesterov"] is True
    assert store.study()["points"] == study["points"]
    rows[1]["nesterov"] = "yes"
    with pytest.raises(SettingsError, match="line 3: nesterov is yes; expected true or false"):
        make_plan(Store(tmp_path / "b"), settings(tmp_path, points=written(tmp_path / "b.csv", rows), **asked))


def test_a_task_narrows_its_space_for_the_smoke_profile(made, monkeypatch, tmp_path):
    """The profile's distributions give way to the task's own narrow ones; other profiles draw from the whole space."""
    from lstm_odyssey.study.asked.profiles import PROFILES

    narrow = {"learning_rate": LogUniform(1e-2, 1e-1), "nesterov": Choice((True,))}
    task = registry.NamedTask(made_task(space=SPACE, narrowed=narrow), "made", {})
    monkeypatch.setattr(registry, "task", lambda name: task)
    facts = {}
    for profile in ("smoke", "paper"):
        asked = settings(tmp_path, **{**made, "profile": profile})
        facts[profile] = make_plan(Store(tmp_path / profile), asked).study["tasks"]["made"]
    expected = {**SPACE, **PROFILES["smoke"].space, **narrow}
    assert facts["smoke"]["space"] == {name: each.as_dict() for name, each in expected.items()}
    assert facts["smoke"]["space_note"] == PROFILES["smoke"].note
    assert facts["paper"]["space"] == facts["paper"]["task_space"] == {name: d.as_dict() for name, d in SPACE.items()}
    with pytest.raises(ValueError, match="narrowed has 'noise', and space does not; expected .*input_noise"):
        made_task(space=SPACE, narrowed={"noise": Choice((0.0,))})


def test_a_study_of_fewer_tasks_than_a_new_one_says_so(tmp_path):
    """One sentence where nothing is asked for; none where tasks are named, or where the study has others of its own."""
    from lstm_odyssey.study.plan import default_tasks, not_taken

    first, *others = default_tasks()
    old = {"tasks": {first: {}}}
    assert others and not_taken(old, lo.Settings()) == (
        f"This study has {first} alone. A new one also has {', '.join(others)}: name all with --tasks, "
        "or choose another --store."
    )
    assert not not_taken(old, lo.Settings(tasks=(first,)))
    assert not not_taken({"tasks": {name: {} for name in default_tasks()}}, lo.Settings())
    assert not not_taken({"tasks": {"mine": {}}}, lo.Settings())
    told = []
    asked = settings(tmp_path, trials=1, epochs=1)
    lo.run(tmp_path / "store", asked, say=told.append)
    lo.run(tmp_path / "store", lo.Settings(data=asked.data), say=told.append)
    assert [line for line in told if "alone" in line] == [not_taken({"tasks": {"bach": {}}}, lo.Settings())]
