"""A study's own space: distributions in place of a task's, checked, stored, and part of what the study is."""

import json
import math

import pytest

import lstm_odyssey as lo
from lstm_odyssey.reports import page
from lstm_odyssey.reports.page import words
from lstm_odyssey.study.asked import spaces
from lstm_odyssey.study.asked.config import read_config
from lstm_odyssey.study.asked.described import task_facts
from lstm_odyssey.study.asked.profiles import PROFILES
from lstm_odyssey.study.asked.settings import SettingsError
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.plan import make_plan
from lstm_odyssey.study.stored.store import Store, StoreError
from lstm_odyssey.tasks.declare import PAPER_SPACE
from lstm_odyssey.tasks.distributions import Choice, LogUniform, Uniform
from lstm_odyssey.training.hyperparameters import HYPERPARAMETERS
from tests.small import chorales, settings

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")

RATE = {"kind": "log_uniform", "low": 0.0001, "high": 0.01}
STUDY = """
[space]
learning_rate = {kind = "log_uniform", low = 1e-4, high = 1e-2}
momentum = {kind = "choice", values = [0, 0.9]}

[space.bach]
hidden_size = {kind = "even_integer", distribution = {kind = "log_uniform", low = 8, high = 16}}

[protocol]
initial_std = 0.05
"""


@pytest.fixture
def asked(tmp_path):
    """The options of the study file above, on the short made chorales."""
    (tmp_path / "study.toml").write_text(STUDY)
    options = read_config(tmp_path / "study.toml")

    def make(**more):
        return settings(tmp_path, **{"epochs": 1, **options, **more})

    return make


def plain(text):
    """A page's text, with the characters it escapes."""
    return text.replace("&#39;", "'")


def test_a_study_file_narrows_the_space(asked, tmp_path):
    """Task before study before profile before the task's own; what is drawn lies in it; initial_std is stored with it."""
    study = make_plan(Store(tmp_path / "store"), asked()).study
    facts = study["tasks"]["bach"]
    assert facts["space"] == {
        "hidden_size": {"kind": "even_integer", "distribution": {"kind": "log_uniform", "low": 8.0, "high": 16.0}},
        "learning_rate": RATE,
        "momentum": {"kind": "choice", "values": [0, 0.9]},
        "input_noise": PAPER_SPACE["input_noise"].as_dict(),
    }
    assert list(facts["space"]) == list(PAPER_SPACE) and study["protocol"]["initial_std"] == 0.05
    assert facts["task_space"] == {name: distribution.as_dict() for name, distribution in PAPER_SPACE.items()}
    assert facts["space_note"] == "hidden_size, learning_rate, momentum as chosen for this study"
    draws = [Block(study, "bach", "nog", 0).hyperparameters(index) for index in range(20)]
    assert all(8 <= draw["hidden_size"] <= 16 and 1e-4 <= draw["learning_rate"] <= 1e-2 for draw in draws)
    assert {draw["momentum"] for draw in draws} == {0, 0.9}


def test_what_is_not_asked_for_stays_as_it_was(tmp_path):
    """Without a space of its own a study has the profile's and the task's; so has what its space does not name."""
    plan = make_plan(Store(tmp_path / "store"), settings(tmp_path)).study
    assert "space" not in plan and plan["tasks"]["bach"]["space_note"] == PROFILES["smoke"].note
    part = make_plan(
        Store(tmp_path / "store"), settings(tmp_path, space={"input_noise": {"kind": "uniform", "low": 0, "high": 2}})
    )
    facts = part.study["tasks"]["bach"]
    assert facts["space_note"] == f"{PROFILES['smoke'].note}; input_noise as chosen for this study"
    assert facts["space"]["learning_rate"] == plan["tasks"]["bach"]["space"]["learning_rate"]
    one, other = (Block(study, "bach", "nog", 0).hyperparameters(0) for study in (plan, part.study))
    changed = [name for name in HYPERPARAMETERS if one[name] != other[name]]
    assert changed == ["input_noise"]  # each has a stream of its own


def test_the_study_is_resumed_moved_and_reported_with_its_space(asked, tmp_path):
    """A resume needs no file; another space is refused with both; the page says what was chosen and how to do it again."""
    study = lo.run(tmp_path / "store", asked(trials=2))
    content = json.loads((tmp_path / "store" / "study.json").read_text())
    assert content["space"]["learning_rate"] == RATE
    assert lo.run(tmp_path / "store", asked(trials=2)).identical(study)
    assert lo.run(tmp_path / "store", lo.Settings(data=asked().data)).identical(study)
    moved = lo.run(tmp_path / "moved", lo.Settings(data=asked().data), resume_from=tmp_path / "store" / "study.nc")
    assert moved.identical(study)
    with pytest.raises(StoreError, match="a study with space = .*'high': 0.01.* and .*'high': 0.02.* was asked for"):
        lo.run(tmp_path / "store", asked(trials=2, space={"learning_rate": RATE | {"high": 0.02}}))
    plain_store = Store(tmp_path / "plain")
    plain_store.write_study(make_plan(plain_store, settings(tmp_path, epochs=1, protocol={"initial_std": 0.05})).study)
    with pytest.raises(StoreError, match="a study with space = {}, and {'learning_rate'"):
        lo.run(plain_store.path, asked())
    with pytest.raises(StoreError, match="a study with space = None, and .*study.nc one with {'learning_rate'"):
        lo.run(plain_store.path, lo.Settings(data=asked().data), resume_from=tmp_path / "store" / "study.nc")
    text = plain(page.render(study))
    assert "log-uniform on [0.0001, 0.01] (chosen for this study; the task's own: log-uniform on [1e-06, 0.01])" in text
    assert "narrowed by the profile" not in text


def test_the_page_gives_the_file_that_makes_the_study(asked, tmp_path):
    """What its first command writes is a study.toml with the same space and protocol."""
    import subprocess

    study = lo.run(tmp_path / "store", asked(trials=2))
    first = words.commands(study)[0]
    subprocess.run(["bash", "-c", first], cwd=tmp_path, check=True)
    said = read_config(tmp_path / "study.toml")
    assert spaces.checked(said["space"]) == json.loads(study.attrs["more"])["space"]
    assert said["protocol"]["initial_std"] == 0.05


WRONG = {
    "name": ({"learning_rat": RATE}, "space: unknown hyperparameter 'learning_rat'; expected one of learning_rate, "),
    "name on a task": ({"bach": {"hidden": RATE}}, "space.bach: unknown hyperparameter 'hidden'; expected one of hidden_size"),
    "task": ({"bech": {"learning_rate": RATE}}, "space.bech: neither a hyperparameter nor a task .* expected one of bach, "),
    "kind": ({"learning_rate": RATE | {"kind": "log-uniform"}}, "kind is 'log-uniform'; expected one of log_uniform, "),
    "no kind": ({"learning_rate": {"low": 0, "high": 1}}, "kind is None; expected one of "),
    "field": ({"learning_rate": {"kind": "uniform", "low": 1, "hihg": 2}}, "unknown field 'hihg'; expected high, low"),
    "half": ({"learning_rate": {"kind": "uniform", "low": 1}}, "it lacks high; uniform has low, high"),
    "text": ({"learning_rate": RATE | {"low": "1e-4"}}, "low is '1e-4'; expected a finite number"),
    "swapped": ({"learning_rate": {"kind": "uniform", "low": 2, "high": 1}}, "low is not below high"),
    "number": ({"learning_rate": 0.01}, "learning_rate is 0.01; expected a distribution, as learning_rate = {kind"),
    "no list": ({"momentum": {"kind": "choice", "values": 0.9}}, "not iterable"),
    "inner": ({"hidden_size": {"kind": "even_integer", "distribution": {"kind": "uniform", "lo": 1, "high": 9}}}, "'lo'"),
    "no number of blocks": (
        {"hidden_size": {"kind": "even_integer", "distribution": {"kind": "uniform", "low": 0, "high": 9}}},
        "hidden_size is even uniform .0, 9., which can be 0; a training takes a whole number from 1",
    ),
    "parts of blocks": ({"hidden_size": {"kind": "uniform", "low": 8, "high": 16}}, "a training takes a whole number"),
    "one of a half": ({"hidden_size": {"kind": "choice", "values": [8, 8.5]}}, "which can be 8.5; a training takes a whole"),
    "all momentum": ({"momentum": {"kind": "uniform", "low": 0, "high": 1}}, "which can be 1; a training takes a number"),
    "no noise": ({"input_noise": {"kind": "uniform", "low": -1, "high": 1}}, "which can be -1; a training takes a finite"),
    "truth": ({"input_noise": {"kind": "choice", "values": [False, True]}}, "which can be 0; a training takes a finite"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_space_is_refused(name, tmp_path):
    """The error names the table, the entry and the nearest known name, or what a training takes; no store is made."""
    space, message = WRONG[name]
    with pytest.raises(SettingsError, match=message):
        lo.run(tmp_path / "store", settings(tmp_path, space=space))
    assert not (tmp_path / "store").exists()


def test_sizes_of_a_choice_are_whole_numbers(tmp_path):
    """Odd sizes are trained, and a size written as 17.0 is drawn as 17."""
    space = {"hidden_size": {"kind": "choice", "values": [17.0]}}
    study = make_plan(Store(tmp_path / "store"), settings(tmp_path, space=space)).study
    drawn = Block(study, "bach", "nog", 0).hyperparameters(0)["hidden_size"]
    assert drawn == 17 and type(drawn) is int


def test_every_space_of_a_task_is_one_that_a_training_takes():
    """The paper's space and the profiles' lie within what a training takes."""
    for space in (PAPER_SPACE, *(profile.space for profile in PROFILES.values())):
        assert (
            spaces.checked({name: distribution.as_dict() for name, distribution in space.items()}).keys()
            == space.keys()
        )


def test_the_order_of_tables():
    """A table for the task beats the one for every task, which beats the profile, which beats the task's own."""
    own = dict.fromkeys(HYPERPARAMETERS, Uniform(0.1, 0.2))
    every, one = {"momentum": Choice((0.5,)).as_dict()}, {"momentum": Choice((0.25,)).as_dict()}
    space, note = spaces.of_task("here", own, PROFILES["smoke"], {**every, "here": one, "there": {"input_noise": RATE}})
    assert space["momentum"] == Choice((0.25,)) and space["input_noise"] == own["input_noise"]
    assert space["learning_rate"] == LogUniform(1e-3, 1e-2) and note.endswith("; momentum as chosen for this study")
    other, _ = spaces.of_task("elsewhere", own, PROFILES["paper"], {**every, "here": one})
    assert other["momentum"] == Choice((0.5,)) and other["learning_rate"] == own["learning_rate"]


def test_the_spread_of_the_initial_weights_is_an_option_of_a_study(tmp_path):
    """``[protocol] initial_std`` changes the untrained net's score and every id, and another value is another study."""
    scores, ids = {}, set()
    for std in (0.05, 0.2):
        (tmp_path / "study.toml").write_text(f"[protocol]\ninitial_std = {std}\n")
        options = read_config(tmp_path / "study.toml")
        asked = settings(tmp_path, variants=["vanilla"], trials=2, epochs=1, **options)
        study = lo.run(tmp_path / str(std), asked)
        assert json.loads(study.attrs["protocol"])["initial_std"] == std
        scores[std] = study["valid"].values[0, 0, :, 0]
        ids |= set(study["trial_id"].values.ravel().tolist())
    uniform = 88 * math.log(2)  # what a net without weights scores: every key with probability one half
    assert (abs(scores[0.05] - uniform) < abs(scores[0.2] - uniform)).all() and len(ids) == 4
    with pytest.raises(StoreError, match="initial_std = 0.2, and 0.05 was asked for"):
        lo.run(tmp_path / "0.2", settings(tmp_path, variants=["vanilla"], epochs=1, protocol={"initial_std": 0.05}))


def test_a_study_says_whether_its_corpus_is_the_packages(tmp_path, monkeypatch):
    """A corpus of the user's own is not, given as a path or in $ODYSSEY_DATA, whatever the task is called."""
    asked = {"profile": "smoke"}
    assert task_facts("parity", None, asked)["embedded"] is True
    assert task_facts("bach", str(chorales(tmp_path)), asked)["embedded"] is False
    (tmp_path / "data").mkdir()
    chorales(tmp_path).rename(tmp_path / "data" / "bach.json.gz")
    monkeypatch.setenv("ODYSSEY_DATA", str(tmp_path / "data"))
    assert task_facts("bach", None, asked)["embedded"] is False
