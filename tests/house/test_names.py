"""Names that are not known: the nearest first, of many only some, wherever a name is given."""

import re
from pathlib import Path

import pytest

import lstm_odyssey as lo
from lstm_odyssey.bench.timed.cell import Work
from lstm_odyssey.plugins import origins
from lstm_odyssey.reports.contract import nearest as of_reports
from lstm_odyssey.study.asked.config import read_config
from lstm_odyssey.study.asked.settings import Settings, SettingsError
from lstm_odyssey.study.stored.trials import check_study
from lstm_odyssey.tasks import nearest as of_tasks
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training.clocks import TimingError, clock_of
from lstm_odyssey.training.protocol import Protocol
from tests.conftest import ROOT


def test_both_homes_say_the_same():
    """What tasks and reports have in common is one text but for its docstring, since neither may import the other."""
    texts = [Path(module.__file__).read_text(encoding="utf-8") for module in (of_tasks, of_reports)]
    assert texts[0].split('"""', 2)[2] == texts[1].split('"""', 2)[2]


@pytest.mark.parametrize(
    ("name", "first"), [("vanila", "vanilla"), ("NoG", "nog"), ("peepholes", "no_peepholes"), ("gru2", "gru")]
)
def test_of_twenty_names_the_nearest_five_are_told(name, first):
    """A misspelt variant is answered with the one that was meant and a few more; the others are counted."""
    with pytest.raises(LookupError) as caught:
        lo.variant(name)
    told = re.search(r"expected one of (.*?) or (\d+) others\. `odyssey variants` shows all", str(caught.value))
    assert told and told[1].split(", ")[0] == first
    assert len(told[1].split(", ")) == 5 and int(told[2]) == len(lo.variant_names()) - 5


def test_what_is_like_nothing_keeps_the_order():
    """Where no name is meant, the names stand as they are declared."""
    assert of_tasks.nearest("x", ["smoke", "standard", "paper"]) == "smoke, standard, paper"
    assert of_tasks.nearest("papr", ["smoke", "standard", "paper"]) == "paper, smoke, standard"


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: Settings(profile="papper").check(), "one of paper, smoke, standard"),
        (lambda: Settings(draws="comon").check(), "one of common, independent"),
        (lambda: Settings(keep_weights="bset").check(), "one of best, none"),
        (lambda: clock_of("cpu", "cpv"), "one of cpu, wall"),
        (lambda: Work(against=("compil",)), "some of compile, "),
        (lambda: objectives.get("frame"), "one of frames, next_frame"),
        (lambda: Protocol.from_dict({"patiance": 3}), "unknown option 'patiance'; expected one of patience, "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_misspelt_option_is_answered_with_what_was_meant(ask, told):
    """Profiles, draws, clocks, objectives and options of the protocol answer in one way."""
    with pytest.raises((ValueError, TimingError), match=re.escape(told)):
        ask()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[protocol]\npatiance = 3", "protocol: unknown option 'patiance'; expected one of patience, "),
        ("[protokol]\npatience = 3", "unknown option 'protokol'; expected one of protocol, "),
        ("sede = 3", "unknown option 'sede'; expected one of seed, "),
    ],
)
def test_a_misspelt_key_of_a_study_file_is_answered_at_every_level(tmp_path, text, told):
    """The file, the wrong key and the nearest one are named; nothing is said of a newer version."""
    file = tmp_path / "study.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=f"study.toml: {re.escape(told)}") as caught:
        read_config(file)
    assert "newer" not in str(caught.value)


def test_an_option_that_a_store_has_and_nobody_knows_may_be_of_a_newer_version():
    """In a stored study, which nobody types, a protocol's unknown field is that of a newer version."""
    from tests.made_studies import study

    content = {**study(), "token": "1", "keep_weights": "none", "environment": {}, "protocol": {"clip": 1}}
    with pytest.raises(ValueError, match="unknown option 'clip'.* A newer version of lstm-odyssey may have written it"):
        check_study(content)


@pytest.mark.parametrize(
    ("kind", "names", "told"),
    [
        ("variant", ["nig", "nog", "nig"], "--variants: got 'nig' twice, as nig; expected each variant once"),
        ("variant", ["np", "no_peepholes"], "--variants: got 'no_peepholes' twice, as np and no_peepholes;"),
        ("task", ["bach", "bach"], "--tasks: got 'bach' twice, as bach; expected each task once"),
    ],
)
def test_a_name_given_twice_is_refused(kind, names, told):
    """A cell that is asked for twice, by its alias too, may have been meant to be another."""
    with pytest.raises(origins.RepeatedNameError, match=re.escape(told)):
        origins.refuse_twice(kind, names)
    origins.refuse_twice(kind, names[:1])


def test_no_error_of_the_package_lists_names_by_itself():
    """Every 'expected one of' or 'some of' followed by names goes through ``nearest``."""
    pattern = re.compile(r"expected (?:one|some) of \{', '\.join")
    files = [path for folder in ("suite", "tasks", "reports") for path in (ROOT / folder).rglob("*.py")]
    found = [path.name for path in files if pattern.search(path.read_text(encoding="utf-8"))]
    assert found == ["space.py"], "the kinds of a damaged distribution, which nobody types"
