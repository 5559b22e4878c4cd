"""``lo.fanova`` of other people's searches: optuna studies and tables, what they lack, and what is said of them."""

import math
import warnings

import numpy
import optuna
import pandas
import pytest
import scipy.stats
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

import lstm_odyssey as lo
from lstm_odyssey.reports.contract.validation import SchemaError
from lstm_odyssey.reports.fanova import forms
from lstm_odyssey.reports.fanova.cases import FanovaError
from lstm_odyssey.reports.fanova.layout import restored
from lstm_odyssey.reports.fanova.space import axis
from lstm_odyssey.reports.plots import effects as figures
from lstm_odyssey.tasks import distributions as ours
from tests.quick_pages import framed_figures

SPACE = {"x": FloatDistribution(0, 2), "rate": FloatDistribution(1e-5, 1e-1, log=True), "k": FloatDistribution(-1, 1)}
TREES = 20


@pytest.fixture(autouse=True)
def _quiet():
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(level)


def study(trials, *, sampler=None, **options):
    """A study of optuna's that holds these trials."""
    sampler = sampler or optuna.samplers.RandomSampler(seed=0)
    found = optuna.create_study(study_name="theirs", sampler=sampler, **options)
    found.add_trials(trials)
    return found


def drawn(function, space=SPACE, n=100, seed=0):
    """Trials whose values are a function of the places u on [0, 1]^d from which their parameters are drawn."""
    u = numpy.random.default_rng(seed).random((n, len(space)))
    axes = [axis(forms.form(each)) for each in space.values()]
    points = [
        dict(zip(space, (float(a.quantile(p)) for a, p in zip(axes, row, strict=True)), strict=True)) for row in u
    ]
    return [
        create_trial(params=point, distributions=space, value=float(function(row)))
        for point, row in zip(points, u, strict=True)
    ]


def multilinear(u):
    """V = 9/12, 9/12, 1/12 and 36/144 of the first two together."""
    x, rate, k = u - 0.5
    return 3 * x + 3 * rate + k + 6 * x * rate


def shares(search, **options):
    return lo.fanova(search, clip=1, **{"trees": TREES} | options).sel(clip=1)


def test_known_shares_are_recovered_on_the_axes_of_the_draws():
    """Of a multilinear function 41, 41, 5 and 14 %; the log-uniform parameter counts as much as the uniform one."""
    found = shares(study(drawn(multilinear, n=400)), trees=50)
    truth = numpy.array([0.75, 0.75, 1 / 12]) / (0.75 + 0.75 + 1 / 12 + 0.25)
    assert "task" not in found.sizes and "variant" not in found.sizes
    assert numpy.abs(found["main_share"].values - truth).max() < 0.05
    assert abs(float(found["pair_share"].sel(pair="x:rate")) - 0.25 / (1.5 + 1 / 12 + 0.25)) < 0.05
    assert found["pair_share"].drop_sel(pair="x:rate").max() < 0.02
    assert (
        found.attrs["response"] == "value" and found.attrs["sampler"] == "RandomSampler" and found["note"].item() == ""
    )


def test_optuna_finds_the_same_main_effects_where_axes_are_linear():
    """Tree by tree, as optuna does it, to 0.04; of a log axis optuna's are others, for it integrates along the values."""
    space = {"x": FloatDistribution(0, 2), "rate": FloatDistribution(1, 5), "k": IntDistribution(1, 40)}
    search = study(drawn(multilinear, space, n=100))
    theirs = optuna.importance.FanovaImportanceEvaluator(n_trees=30, seed=1).evaluate(search)
    found = shares(search, decomposition="per_tree", trees=30)["main_share"].to_series()
    assert max(abs(found[name] - theirs[name]) for name in space) < 0.04
    assert found["x"] > 0.2 and found["rate"] > 0.2 and found["k"] < 0.15


MIXED = {
    "x": FloatDistribution(0, 1), "rate": FloatDistribution(1e-4, 1e-1, log=True), "q": FloatDistribution(0, 1, step=0.25),
    "n": IntDistribution(1, 64, log=True), "k": IntDistribution(2, 10, step=2), "big": IntDistribution(1, 10**6, log=True),
    "act": CategoricalDistribution(["relu", "tanh", None]), "size": CategoricalDistribution([64, 32, 128]),
    "flag": CategoricalDistribution([True, False]),
}  # fmt: skip


def mixed(n=80, change=lambda number, point: None):
    """A random search by optuna itself over every kind of distribution."""
    sampler = optuna.samplers.RandomSampler(seed=3)
    found = optuna.create_study(study_name="theirs", sampler=sampler)
    for number in range(n):
        trial = found.ask(MIXED)
        point = dict(trial.params)
        value = point["x"] + math.log10(point["rate"]) + (point["act"] == "tanh") + point["n"] / 64
        state = change(number, point)
        found.tell(trial, value if state is None else None, state=state or TrialState.COMPLETE)
    return found


def test_every_kind_of_distribution_has_its_axis():
    """optuna's own draws are spread as its distributions say: no warning; scales, levels and masses are the draws'."""
    search = mixed()
    found = shares(search)
    scale = found["scale"].to_series()
    assert scale[["x", "q", "k"]].eq("linear").all() and scale[["rate", "n", "big"]].eq("log").all()
    assert scale[["act", "size", "flag"]].eq("levels").all()
    assert found["level"].sel(hyperparameter="act").values[:3].tolist() == ["relu", "tanh", "None"]
    assert found["level"].sel(hyperparameter="size").values[:3].tolist() == ["32", "64", "128"]
    n = axis(forms.form(MIXED["n"]))
    assert n.edges[1] == pytest.approx(math.log(1.5 / 0.5) / math.log(64.5 / 0.5))
    assert found["main_share"].sel(hyperparameter="rate") == found["main_share"].max()


def test_a_table_is_the_study_it_was_made_of():
    """Parameters and values with distributions, in whatever form: the same numbers."""
    search = study(drawn(multilinear))
    table = pandas.DataFrame([trial.params | {"value": trial.value} for trial in search.trials])
    expected = shares(search)
    for distributions in (
        SPACE,
        {"x": scipy.stats.uniform(0, 2), "rate": scipy.stats.loguniform(1e-5, 1e-1), "k": scipy.stats.uniform(-1, 2)},
        {"x": ours.Uniform(0, 2), "rate": ours.LogUniform(1e-5, 1e-1), "k": {"kind": "uniform", "low": -1, "high": 1}},
    ):
        found = shares(table, distributions=distributions)
        numpy.testing.assert_allclose(found["main_share"], expected["main_share"], atol=1e-9)
        numpy.testing.assert_allclose(found["interaction"], expected["interaction"], atol=1e-9)
    renamed = table.rename(columns={"value": "loss"})
    assert shares(renamed, distributions=SPACE, value="loss").attrs["response"] == "loss"


def test_the_direction_turns_the_optimum():
    """Shares do not depend on it; the best place does."""
    trials = drawn(multilinear)
    less, more = (shares(study(trials, direction=direction)) for direction in ("minimize", "maximize"))
    numpy.testing.assert_allclose(less["main_share"], more["main_share"], atol=1e-12)
    assert less["optimum"].sel(hyperparameter="x") < 0.5 and more["optimum"].sel(hyperparameter="x") > 1.5
    assert less["direction"].item() == "minimize" and more["direction"].item() == "maximize"


def ends(number, point):
    """The fate of a trial, by its number."""
    return {3: TrialState.FAIL, 7: TrialState.PRUNED}.get(number % 20)


def test_failed_and_pruned_trials_are_counted_and_left_out_or_set():
    """Left out they are not among n; at a value of their own they count as come to grief, and worse values stand there too."""
    search = mixed(change=ends)
    search.ask()  # runs still
    found = shares(search)
    assert found["n"] == 72 and found["n_diverged"] == 0
    assert [found.attrs[f"n_{why}"] for why in ("failed", "pruned", "unfinished", "infinite")] == [4, 4, 1, 0]
    assert "4 failed, 4 pruned, 1 unfinished trials left out" in found["note"].item()
    kept = shares(search, failed=2.0)
    assert kept["n"] == 80 and kept["n_diverged"] == 8 and kept["ceiling"] == 2.0 and kept["cutoff"] == 2.0
    assert "4 failed, 4 pruned, 1 unfinished trials: 8 stand at 2, the others are left out" in kept["note"].item()


def sometimes(n=120):
    """A search in which a parameter depends on another."""
    trials, generator = [], numpy.random.default_rng(5)
    space = {"kind": CategoricalDistribution(["a", "b"]), "x": FloatDistribution(0, 1)}
    own = {"a": {"beta": FloatDistribution(1e-3, 1, log=True)}, "b": {"way": CategoricalDistribution(["s", "t"])}}
    for _ in range(n):
        kind = str(generator.choice(["a", "b"]))
        point = {"kind": kind, "x": float(generator.random())}
        point |= (
            {"beta": float(10 ** (-3 * generator.random()))}
            if kind == "a"
            else {"way": str(generator.choice(["s", "t"]))}
        )
        value = point["x"] + abs(math.log10(point.get("beta", 1e-2)) + 1) + (point.get("way") == "t")
        trials.append(create_trial(params=point, distributions=space | own[kind], value=value))
    return study(trials)


def test_parameters_that_only_some_trials_have():
    """Refused by name with how many have them; as a level of their own they have its probability; or they are left out."""
    search = sometimes()
    with pytest.raises(
        FanovaError, match=r"parameters that only some trials have \('way' in \d+ of 120 trials, 'beta' in"
    ):
        shares(search)
    found = shares(search, absent="level")
    assert set(found["hyperparameter"].values) == {"kind", "x", "beta", "way"}
    assert found["level"].sel(hyperparameter="way").values[:3].tolist() == ["(absent)", "s", "t"]
    nowhere = sum("beta" not in trial.params for trial in search.trials) / 120
    assert numpy.isnan(found["position"].sel(hyperparameter="beta")).mean() == pytest.approx(nowhere, abs=0.03)
    assert found["mass"].sel(hyperparameter="way").values[0] == pytest.approx(1 - nowhere)
    assert "'beta' is absent from" in found["note"].item()
    assert set(shares(search, hyperparameters=["kind", "x"])["hyperparameter"].values) == {"kind", "x"}


@framed_figures()
def test_figures_of_a_search(tmp_path):
    """Marginals, pairs and shares need neither task nor cell; a parameter that may be absent has that at its low end."""
    found = lo.fanova(sometimes(), absent="level", trees=TREES, clip=[1, 0.75])
    axes = figures.marginals(found).axes
    assert axes[0].get_ylabel() == "value"
    labels = [text.get_text() for each in axes for text in each.get_xticklabels()]
    assert {"(absent)", "a", "s"} <= set(labels)
    assert figures.shares(found) is not None and figures.pairs(found) is not None
    whole = restored(found)
    assert whole["main_share"].dims == ("task", "variant", "clip", "hyperparameter")
    assert restored(whole).identical(whole)
    found.to_netcdf(tmp_path / "found.nc", engine="h5netcdf")


def test_what_was_not_drawn_at_random_is_said():
    """optuna's sampler by its name; values of whatever origin that are not spread as stated, by parameter."""
    trials = drawn(multilinear)
    with pytest.warns(UserWarning, match="is TPESampler, which chooses points by what it has seen: shares are still"):
        found = shares(study(trials, sampler=optuna.samplers.TPESampler(seed=0)))
    assert "TPESampler" in found["note"].item() and found.attrs["sampler"] == "TPESampler"
    table = pandas.DataFrame([trial.params | {"value": trial.value} for trial in trials])
    with pytest.warns(UserWarning, match="the values of 'rate' are not spread as the stated distributions"):
        shares(table, distributions=SPACE | {"rate": FloatDistribution(1e-5, 1e-1)})


@pytest.mark.parametrize("n", [10, 100])
@pytest.mark.parametrize(
    "stated", [SPACE["rate"], {"kind": "levels", "values": list(range(1, 301)), "masses": [1 / 300] * 300}]
)
def test_one_value_of_a_distribution_is_said(n, stated):
    """A column that was held at one value while it is stated as drawn: there its forest has a single cell."""
    table = pandas.DataFrame([trial.params | {"value": trial.value} for trial in drawn(multilinear, n=n)])
    table["rate"] = 1e-3 if stated is SPACE["rate"] else 280
    with pytest.warns(UserWarning, match="the values of 'rate' are not spread as the stated distributions"):
        found = shares(table, distributions=SPACE | {"rate": stated})
    assert "the values of 'rate' are not spread" in found["note"].item()


def test_columns_and_choices_of_other_kinds():
    """Labels that are no texts, numbers that are written as texts, and choices as numpy and pandas have them."""
    trials = drawn(multilinear, {"x": SPACE["x"], "rate": SPACE["rate"], "k": IntDistribution(1, 8)})
    table = pandas.DataFrame([trial.params | {"value": trial.value} for trial in trials])
    space = {"x": SPACE["x"], "rate": SPACE["rate"], "k": list(range(1, 9))}
    expected = shares(table, distributions=space)["main_share"].values
    for choices in (numpy.arange(1, 9), pandas.Series(range(1, 9)), pandas.Index(range(1, 9))):
        numpy.testing.assert_array_equal(shares(table, distributions=space | {"k": choices})["main_share"], expected)
    numbered = table.astype({"value": str}).set_axis(range(4), axis=1)
    found = shares(numbered, distributions=dict(zip(range(3), space.values(), strict=True)), value=3)
    assert found["hyperparameter"].values.tolist() == ["0", "1", "2"]
    numpy.testing.assert_array_equal(found["main_share"], expected)


def test_what_is_no_value_of_a_study_is_refused():
    """An objective that there is not, what a function returns that is no number, a study that has no trials."""
    search = study(drawn(multilinear, n=12))
    for value, message in (
        (3, "value of study 'theirs': got 3; expected the number of an objective, 0, or a function of a trial"),
        ("loss", "value of study 'theirs': got 'loss'; expected the number of an objective"),
        (lambda trial: None, "value of trial 0: got None; expected a number, or NaN where a trial failed"),
        (lambda trial: "x", "value of trial 0: got 'x'; expected a number"),
        (lambda trial: 1 + 1j, r"value of trial 0: got \(1\+1j\); expected a number"),
        (lambda trial: math.nan, r"search 'theirs': got 0 trials with a value among 12 \(12 failed\)"),
    ):
        with pytest.raises(FanovaError, match=message):
            shares(search, value=value)
    with pytest.raises(FanovaError, match="distributions: got a list; expected {name: distribution}"):
        shares(search, distributions=[1])
    with pytest.raises(
        FanovaError, match="search 'theirs': got no trials; expected some that have ended. Run it first"
    ):
        shares(study([]), hyperparameters=["x"])


def test_a_warning_of_a_search_speaks_of_the_search():
    """It has neither tasks nor cells."""
    with pytest.warns(UserWarning, match="^functional ANOVA of search 'theirs', clip 1: constant response"):
        shares(study(drawn(lambda u: 1.0, n=12)))


def test_one_of_several_objectives():
    """It has to be named: by its number, or as a function of a trial; what direction that has is its own affair."""
    found = optuna.create_study(
        study_name="theirs", directions=["minimize", "maximize"], sampler=optuna.samplers.RandomSampler()
    )
    found.add_trials([
        create_trial(params=t.params, distributions=SPACE, values=[t.params["k"], t.value]) for t in drawn(multilinear)
    ])  # fmt: skip
    with pytest.raises(FanovaError, match=r"study 'theirs': got 2 objectives; expected one of them. Pass value=0"):
        shares(found)
    one = shares(found, value=1)
    assert one["direction"].item() == "maximize" and one["main_share"].sel(hyperparameter="k") < 0.2
    other = shares(found, value=lambda trial: trial.values[0])
    assert other["main_share"].sel(hyperparameter="k") > 0.9 and other["direction"].item() == "minimize"


def test_a_parameter_of_two_distributions():
    """It is refused by name unless one is stated; one of a single value is left out, which is said."""
    first, second = (
        SPACE | {"c": FloatDistribution(3, 3)},
        SPACE | {"c": FloatDistribution(3, 3), "x": FloatDistribution(0, 3)},
    )
    trials = [
        create_trial(params=t.params | {"c": 3.0}, distributions=first if k % 2 else second, value=t.value)
        for k, t in enumerate(drawn(multilinear))
    ]
    with pytest.raises(FanovaError, match=r"parameter 'x': got 2 distributions \(FloatDistribution.*state the one"):
        shares(study(trials))
    found = shares(study(trials), distributions={"x": FloatDistribution(0, 2)})
    assert set(found["hyperparameter"].values) == set(SPACE) and "one value alone: c" in found["note"].item()


TABLE = pandas.DataFrame({"x": [0.5, 1.0] * 10, "status": [1.0, 2.0] * 10, "value": numpy.arange(20.0)})
X = FloatDistribution(0, 1)
SPREAD = TABLE.assign(x=numpy.linspace(0.02, 0.98, 20))
WRONG = [
    (([1, 2],), {}, "study: found list [1, 2], expected a stored study, a study of optuna or a pandas.DataFrame with distrib"),
    ((TABLE["x"],), {}, "study: found Series 0     0.5, expected a stored study"),
    ((TABLE,), {}, "fanova of a DataFrame: got no distributions"),
    ((TABLE,), {"distributions": "x"}, "fanova of a DataFrame: got a str; expected {column: distribution}"),
    ((TABLE,), {"distributions": {"y": X}}, "parameter 'y': got no such column; expected some of x, status. Correct"),
    ((TABLE,), {"distributions": {"x": X}, "value": "loss"},
     "value of a DataFrame: got no column 'loss'; expected the column of the results, one of x, status, value. Pass"),
    ((TABLE[["x"]],), {"distributions": {"x": X}},
     "value of a DataFrame: got no column 'value'; expected the column of the res"),
    ((TABLE,), {"distributions": {"x": X}, "value": len}, "value of a DataFrame: got a function; expected the column"),
    ((TABLE,), {"distributions": {"x": X}, "hyperparameters": ["status"]},
     "parameter 'status': got no distribution of it; expected some of x. Correct the name."),
    ((TABLE,), {"distributions": {"x": X, "value": FloatDistribution(0, 20)}},
     "parameter 'value': got the column of the results; expected a parameter. Leave it out of distributions"),
    ((TABLE.set_axis(["x", "x", "value"], axis=1),), {"distributions": {"x": X}},
     "column 'x': got 2 of that name; expected one"),
    ((TABLE.set_axis(["x", "value", "value"], axis=1),), {"distributions": {"x": X}}, "column 'value': got 2 of that name"),
    ((TABLE.assign(value=TABLE["value"] + 1j),), {"distributions": {"x": X}},
     "column 'value', row 0: got 1j; expected a number, or NaN where a trial failed"),
    ((TABLE.assign(value=["diverged", *range(19)]),), {"distributions": {"x": X}},
     "column 'value', row 0: got 'diverged'; expected a number, or NaN where a trial failed. Take out"),
    ((TABLE.assign(value=pandas.Timestamp("2020-01-01")),), {"distributions": {"x": X}},
     "row 0: got Timestamp('2020-01-01 00:0"),
    ((TABLE.assign(x=pandas.Timestamp("2020-01-01")),), {"distributions": {"x": X}},
     "parameter 'x': got Timestamp('2020-01-01"),
    ((TABLE.assign(x="fast"),), {"distributions": {"x": X}},
     "parameter 'x': got 'fast'; expected a number, as its distribution"),
    ((TABLE[:0],), {"distributions": {"x": X}}, "search 'table': got no trials; expected some that have ended"),
    ((TABLE[:7],), {"distributions": {"x": X}},
     "search 'table': got 7 trials with a value among 7; expected 10 or more. Run more"),
    ((TABLE.assign(value=math.nan),), {"distributions": {"x": X}},
     "search 'table': got 0 trials with a value among 20 (20 failed); expected 10 or more. Run more, or pass failed="),
    ((TABLE,), {"distributions": {"x": {"kind": "log_uniform", "low": 0, "high": 1}}},
     "parameter 'x': got low=0 and high=1; expected finite numbers above 0, low below high."),
    ((TABLE,), {"distributions": {"x": {"kind": "log_uniform", "low": 1, "high": 1e-5}}},
     "parameter 'x': got low=1 and high=1e-05"),
    ((TABLE,), {"distributions": {"x": {"kind": "uniform", "low": 1, "high": 0}}},
     "got low=1 and high=0; expected finite numbers, low"),
    ((TABLE,), {"distributions": {"x": {"kind": "one_minus", "distribution": {"kind": "uniform", "low": 1, "high": 0}}}},
     "parameter 'x': got low=1 and high=0; expected"),
    ((TABLE,), {"distributions": {"status": FloatDistribution(0, 2)}}, "parameter 'status': got a name that is taken"),
    ((TABLE,), {"distributions": {"x": scipy.stats.norm(0, 1)}}, "got norm of scipy.stats; expected a distribution of optuna"),
    ((TABLE,), {"distributions": {"x": "uniform"}}, "parameter 'x': got 'uniform'; expected a distribution of optuna"),
    ((TABLE,), {"distributions": {"x": {"kind": "normal"}}}, "parameter 'x': got a distribution of kind 'normal'"),
    ((TABLE,), {"distributions": {"x": [1, 1]}}, "some of them alike; expected different ones"),
    ((TABLE,), {"distributions": {"x": [0.5]}}, "no parameter of more than one value"),
    ((TABLE,), {"distributions": {"x": [0.5, 2.0]}}, "parameter 'x': got 1.0, which is none of its 2 levels; expected"),
    ((TABLE,), {"distributions": SPACE, "absent": "drop"}, "absent: got 'drop'; expected 'refuse' or 'level'"),
    ((TABLE,), {"distributions": SPACE, "direction": "up"}, "direction: got 'up'; expected one of minimize, maximize"),
    ((TABLE,), {"distributions": {"x": {"kind": "choice", "values": []}}},
     "parameter 'x': got a choice among no values; expected"),
    ((TABLE,), {"distributions": {"x": numpy.zeros((2, 2))}},
     "parameter 'x': got array([[0., 0.], [0., 0.]]); expected a dist"),
    ((TABLE,), {"distributions": {"x": X}, "hyperparameters": 3}, "hyperparameters: got 3; expected names"),
    ((SPREAD,), {"distributions": {"x": X}, "pooled": True}, "fanova of a search: got pooled=True; expected none, as a search"),
    ((SPREAD,), {"distributions": {"x": X}, "tasks": "a"}, "fanova of a search: got tasks='a'; expected none, as a search"),
    ((SPREAD,), {"distributions": {"x": X}, "response": "seconds"}, "Leave response out; value= says what is explained."),
    ((TABLE,), {"distributions": SPACE, "failed": "x"}, "failed: got 'x'; expected a number"),
    ((TABLE,), {"distributions": SPACE, "failed": math.nan}, "failed: got nan; expected a number"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "options", "message"), WRONG, ids=[message[:45] for *_, message in WRONG])
def test_what_is_no_search_is_refused(given, options, message):
    """One sentence that names the part, before any forest is grown."""
    with pytest.raises((FanovaError, SchemaError)) as caught:
        lo.fanova(*given, **options)
    assert message in str(caught.value)


def test_values_outside_their_distribution_are_refused():
    """A number beyond the ends, as a point that was put in by hand; so are options of a search beside a study."""
    trials = drawn(multilinear)
    table = pandas.DataFrame([trial.params | {"value": trial.value} for trial in trials])
    table.loc[3, "x"] = 2.5
    with pytest.raises(
        FanovaError, match=r"parameter 'x': got 2.5, which lies outside \[0, 2\]; expected values of its"
    ):
        shares(table, distributions=SPACE)
    record = lo.open_study("reports/records/jsb-chorales-paper.nc")
    with pytest.raises(FanovaError, match="fanova of a study: got options of a search; expected none"):
        lo.fanova(record, direction="minimize")


def test_no_warning_of_a_random_search():
    """Otherwise the warnings above would say nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shares(study(drawn(multilinear, seed=7)))
