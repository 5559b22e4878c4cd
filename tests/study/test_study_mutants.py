"""Trainers, stores and studies that are wrong are caught, each by a test of this suite; what is right is not."""

import inspect

import pytest

from tests.backends import test_cores
from tests.reports.contract import test_schema
from tests.study import test_blocks
from tests.study_mutants import MUTANTS, changed, function_at
from tests.training import test_costs

counted, dataset, trainings = test_costs.counted, test_schema.dataset, test_blocks.trainings
eager_to_share = test_cores.eager_to_share
"""Fixtures that the tests ask for, as in their modules."""


def run(mutant, request):
    """Run a mutant's test with the arguments it is given and the fixtures it names."""
    names = inspect.signature(mutant.test).parameters
    fixtures = {name: request.getfixturevalue(name) for name in names if name not in mutant.given}
    mutant.test(**fixtures, **mutant.given)


@pytest.mark.parametrize("name", MUTANTS)
def test_wrong_studies_are_killed(name, request, monkeypatch):
    """With one slip in the code the test that is there for it fails, by what it asserts."""
    mutant = MUTANTS[name]
    function = function_at(mutant.where)
    monkeypatch.setattr(function, "__code__", changed(function, mutant.before, mutant.after))
    with pytest.raises((*mutant.fails, pytest.fail.Exception)):
        run(mutant, request)


def called(mutant):
    """The name of a mutant's test with its arguments, the same in every process."""
    return "-".join(
        [mutant.test.__name__, *(str(getattr(value, "__name__", value)) for value in mutant.given.values())]
    )


TESTS = {called(mutant): mutant for mutant in MUTANTS.values()}


@pytest.mark.parametrize("name", TESTS)
def test_right_studies_survive_being_rewritten(name, request, monkeypatch):
    """Code that goes the way of the wrong code, but unchanged, passes each test: the wrong one fails for its change alone."""
    test, given = TESTS[name].test, TESTS[name].given
    places = {mutant.where for mutant in MUTANTS.values() if (mutant.test, mutant.given) == (test, given)}
    assert places
    for function in map(function_at, places):
        monkeypatch.setattr(function, "__code__", changed(function))
    run(TESTS[name], request)


def test_every_test_that_kills_is_one_of_the_suite():
    """What is named is collected where it stands, with these arguments or as it is."""
    for name, mutant in MUTANTS.items():
        assert mutant.test.__name__.startswith("test_") and mutant.test.__module__.startswith("tests."), name


def test_a_change_that_is_not_there_is_noticed():
    """A mutant whose text has moved on is an error and no survivor."""
    with pytest.raises(AssertionError, match="0 times; change the mutant with the text"):
        changed(function_at("study.stored.store:trial_id"), "no such text", "")
    with pytest.raises(AssertionError, match=r"[2-9] times; change the mutant"):
        changed(function_at("study.stored.store:trial_id"), "seed", "")


def test_a_change_is_seen_wherever_the_function_is(monkeypatch):
    """What was imported by its name before is changed too, and is as it was afterwards."""
    from lstm_odyssey.training.random_streams import canonical

    with monkeypatch.context() as patch:
        function = function_at("training.random_streams:canonical")
        patch.setattr(function, "__code__", changed(function, "sort_keys=True", "sort_keys=False"))
        assert canonical({"b": 1, "a": 2}) == '{"b":1,"a":2}'
    assert canonical({"b": 1, "a": 2}) == '{"a":2,"b":1}'


def test_there_are_many_mutants_of_studies():
    """The list does not shrink unnoticed."""
    assert len(MUTANTS) >= 95
    assert len({mutant.where for mutant in MUTANTS.values()}) >= 30
