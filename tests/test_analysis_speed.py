"""Speed of the functional ANOVA: each timed case computes what it says, and all of them run.

The table of times, optuna's evaluator beside ours in the same run: ``pytest tests/test_analysis_speed.py --benchmark-only``.
"""

import sys

import numpy
import optuna
import pytest

from lstm_odyssey.benchmarks import analysis
from lstm_odyssey.benchmarks.analysis import EVERYTHING, ONE_CELL, Size, Work
from lstm_odyssey.reports.decomposition import all_pairs
from lstm_odyssey.threads import one_thread

SMOKE = Size(30, 4, 5)


@pytest.fixture(autouse=True)
def _threads():
    """One core is what is timed; optuna's own logging level is put back."""
    level = optuna.logging.get_verbosity()
    with one_thread():
        yield
    optuna.logging.set_verbosity(level)


@pytest.mark.parametrize("what", ["pairs", "pairs_per_tree", "optuna"])
def test_one_cell(benchmark, what):
    """Main effects and all pairs of 200 x 4 x 100 trees after the fit, and optuna's evaluator (main effects, with its fit)."""
    benchmark.group = "200 trials, 4 hyperparameters, 100 trees"
    work = Work(ONE_CELL if benchmark.enabled else SMOKE)
    if what == "optuna":
        study, evaluator = work.optuna_study(), work.evaluator()
        theirs = benchmark.pedantic(evaluator.evaluate, (study,), rounds=3 if benchmark.enabled else 1)
        assert sum(theirs.values()) > 0
    else:
        assert numpy.isfinite(benchmark(getattr(work, what))).all()


@pytest.mark.parametrize("what", ["main_effects", "pairs", "pairs_per_tree"])
def test_everything(benchmark, what):
    """Main effects, and main effects with all pairs, of 5400 x 10 x 64 trees after the fit."""
    benchmark.group = "5400 trials, 10 hyperparameters, 64 trees"
    work = Work(EVERYTHING if benchmark.enabled else SMOKE._replace(hyperparameters=10))
    found = benchmark(getattr(work, what))
    assert all(numpy.isfinite(part).all() for part in found)


def test_what_is_timed_is_the_analysis():
    """The timed functions give main effects and pairs of every tree and of the mean: sizes, and that they are a forest's."""
    work = Work(SMOKE)
    per_tree, of_mean = work.main_effects()
    assert per_tree.shape == (5, 4) and of_mean.shape == (4,)
    assert work.pairs().shape == (6,) and work.pairs_per_tree().shape == (6, 5)
    assert (of_mean <= per_tree.mean(axis=0) + 1e-12).all() and of_mean[:3].min() > 0
    strongest = all_pairs(4)[int(Work(Size(300, 4, 20)).pairs().argmax())]
    assert strongest == (1, 2), "the planted interaction"


@pytest.mark.parametrize("name", ["OneCell", "Everything", "Optuna"])
def test_asv_cases_run(name, monkeypatch):
    """Each asv case sets up and runs; here on few trials."""
    monkeypatch.setattr(analysis, "ONE_CELL", SMOKE)
    monkeypatch.setattr(analysis, "EVERYTHING", SMOKE)
    case = getattr(analysis, name)()
    case.setup()
    timed = [method for method in dir(case) if method.startswith("time_")]
    assert timed
    for method in timed:
        getattr(case, method)()


def test_no_optuna_no_case(monkeypatch):
    """Without optuna its asv case says that it does not apply."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setattr(analysis, "ONE_CELL", SMOKE)
    with pytest.raises(NotImplementedError, match="optuna is not installed"):
        analysis.Optuna().setup()
