"""The cost of an epoch at one N, against times that were made from known curves."""

import io
import re

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from lstm_odyssey.commands.terminal.tables import results
from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.reports.stats.epoch_cost import epoch_costs, fitted, freedom, processors, said
from tests import made_studies as made

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")


def planted(noise=0.0, slow=1.0, cells=3, trials=40, seed=0):
    """Times a·(N/100)^b·(bend) of cells with their own curves, drawn at their own sizes, half of them on a slower machine."""
    random = np.random.default_rng(seed)
    cell = np.repeat(np.arange(cells), trials)
    sizes = np.exp(random.uniform(np.log(20), np.log(200), cell.size)).round()
    machine = np.where(random.random(cell.size) < 0.3, "slow", "fast")
    logs = np.log(sizes / 100)
    truth = 0.5 * 2.0 ** np.arange(cells)
    seconds = truth[cell] * np.exp((1 + 0.2 * cell) * logs + 0.1 * logs**2 + noise * random.standard_normal(cell.size))
    return seconds * np.where(machine == "slow", slow, 1.0), sizes, cell, machine, truth


def test_the_curve_is_found_exactly_without_noise_and_a_slower_processor_changes_nothing():
    """Each cell has its own curve; the factor of a processor is common, whatever share of the trials it ran."""
    seconds, sizes, cell, machine, truth = planted(slow=3.7)
    found = fitted(seconds, sizes, cell, machine, at=100, count=3)
    np.testing.assert_allclose(found["seconds"], truth, rtol=1e-9)
    assert (found["residual"] < 1e-9).all() and found["trials"].tolist() == [40, 40, 40]


@pytest.mark.parametrize("sizes", [[50.0] * 6, [50.0, 64.0] * 3])
def test_a_cost_that_the_sizes_do_not_tell_is_missing(sizes):
    """One or two sizes tell no curve of second degree, but at a size that was run itself they tell the cost."""
    count = len(sizes)
    for at, told in ((100, False), (50, True)):
        found = fitted(0.02 * np.array(sizes), sizes, np.zeros(count, int), np.zeros(count), at=at, count=1)
        expected = 1.0 if told else np.nan
        np.testing.assert_allclose(found["seconds"], [expected], rtol=1e-9)
        assert np.isnan(found["error"]).item() != told


def test_noise_is_what_the_residual_says():
    """The residual estimates the spread of log time; the cost stays within four of its standard errors."""
    seconds, sizes, cell, machine, truth = planted(noise=0.1, slow=2.0, trials=200)
    found = fitted(seconds, sizes, cell, machine, at=100, count=3)
    np.testing.assert_allclose(found["residual"], 0.1, rtol=0.2)
    np.testing.assert_allclose(np.log(found["seconds"] / truth), 0, atol=4 * 0.1 * np.sqrt(3 / 200))


@pytest.mark.parametrize("slow", [1.0, 2.0])
def test_the_error_is_how_far_the_cost_of_other_trials_is(slow):
    """Over 60 sets of trials the logarithm of a cost spreads about the truth as the error says, of one processor and of two."""
    away, errors = [], []
    for seed in range(60):
        seconds, sizes, cell, machine, truth = planted(seed=seed, noise=0.1, slow=slow)
        found = fitted(seconds, sizes, cell, machine if slow > 1 else np.full(cell.size, "one"), at=100, count=3)
        scale = slow if found["processor"] == "slow" else 1.0
        away.append(np.log(found["seconds"] / (truth * scale)))
        errors.append(found["error"])
    np.testing.assert_allclose(np.std(away), np.mean(errors), rtol=0.2)


def test_the_error_of_few_trials_has_their_degrees_of_freedom():
    """Of 400 pairs of equal cells with five trials each Student's quantile calls 5 % unequal, the normal one far more."""
    logs, cell = np.log([0.5, 0.7, 1, 1.4, 2] * 800), np.repeat(np.arange(800), 5)
    seconds = np.exp(0.1 * np.random.default_rng(2).standard_normal(cell.size) + logs)
    found = fitted(seconds, 100 * np.exp(logs), cell, np.full(cell.size, "one"), at=100, count=800)
    assert found["freedom"].tolist() == [2] * 800
    (one, other), error = np.log(found["seconds"]).reshape(2, 400), found["error"].reshape(2, 400)
    away = np.abs(one - other) / np.hypot(*error)
    freedoms = freedom(error.T**2, [2, 2])
    assert ((freedoms >= 2) & (freedoms <= 4)).all()
    assert np.mean(away > stats.t.ppf(0.975, freedoms)) < 0.07 and np.mean(away > stats.norm.ppf(0.975)) > 0.1


def test_of_several_processors_the_freedom_counts_the_trials_of_all_cells_that_tell_it():
    """A cost on the processor that its cell ran little on rests on other cells' trials too."""
    seconds, sizes, cell, machine, _ = planted(noise=0.1, slow=2.0)
    machine = np.where(cell == 0, "fast", machine)
    machine[np.flatnonzero(cell == 0)[:2]] = "slow"
    found = fitted(seconds, sizes, cell, machine, at=100, count=3)
    assert ((found["freedom"] > 5) & (found["freedom"] < 120)).all() and found["freedom"][0] != 37


def test_the_median_of_drawn_sizes_would_order_equal_cells_otherwise():
    """Two equally fast cells, one of which drew large nets: the same cost, while medians of their times differ by half."""
    random = np.random.default_rng(1)
    sizes = np.concatenate([random.uniform(20, 120, 60), random.uniform(80, 200, 60)])
    cell = np.repeat([0, 1], 60)
    seconds = 0.3 * (sizes / 100) ** 1.5
    found = fitted(seconds, sizes, cell, np.full(120, "one"), at=100, count=2)
    np.testing.assert_allclose(found["seconds"], 0.3, rtol=1e-9)
    assert np.median(seconds[60:]) > 1.5 * np.median(seconds[:60])


def test_what_the_trials_do_not_tell_is_missing():
    """A cell with too few trials has no cost, nor has one that shares no processor with the others."""
    seconds, sizes, cell, machine, truth = planted()
    machine = np.where(cell == 2, "third", machine)
    few = (cell == 1) & (np.cumsum(cell == 1) > 4)
    found = fitted(np.where(few, np.nan, seconds), sizes, cell, machine, at=100, count=3)
    assert found["trials"].tolist() == [40, 4, 40]
    assert found["processor"] == "third", "one cell each can be told, and this one ran most trials"
    assert np.isnan(found["seconds"][:2]).all()
    assert found["seconds"][2] == pytest.approx(truth[2])


def test_the_processor_is_the_one_for_which_most_cells_can_be_told():
    """Two cells share two processors and a third ran on a third alone, with more trials: times are of the shared ones."""
    seconds, sizes, cell, machine, truth = planted(slow=2.0)
    machine = np.where(cell == 2, "third", machine)
    found = fitted(seconds, sizes, cell, machine, at=100, count=3)
    assert found["processor"] == "fast"
    np.testing.assert_allclose(found["seconds"][:2], truth[:2], rtol=1e-9)
    assert np.isnan(found["seconds"][2])


def study(**environment):
    content = made.study(trials=12)
    trials = made.whole(content)[1]
    for one in trials:
        one["training_seconds"] = None
        if one["status"] == "ok":
            size = one["hyperparameters"]["hidden_size"]
            one |= {
                "epochs": 4,
                "training_seconds": 4 * 0.2 * (size / 100) ** 1.2,
                "environment": {"cpu": "a fast one"},
            }
    return content, trials


def test_a_study_has_costs_and_says_of_which_processor():
    """The dataset has dims (task, variant), the size and the processors in its attributes, and a sentence."""
    made_study = schema.build(*study())
    costs = epoch_costs(made_study, at=100)
    enough = costs["epoch_cost_trials"].values >= 5
    assert enough.any()
    np.testing.assert_allclose(costs["epoch_cost"].values[enough], 0.2, rtol=1e-6)
    assert costs["epoch_cost_processors"].values.tolist() == processors(made_study) == ["a fast one"]
    assert said(costs, "songs") == "Times are of a fast one."


def test_several_processors_are_said():
    """A page whose trials come from several processors has to say so."""
    content, trials = study()
    for one in trials[::3]:
        one["environment"] = {"cpu": "a slow one"}
    words = said(epoch_costs(schema.build(content, trials)), "songs")
    assert "2 processors" in words and "a fast one, a slow one" in words


def test_the_table_tells_several_processors_by_their_number():
    """One whose name has the word is one, and the environment's to tell; two are said beneath the table."""
    for names, several in ((("2 processors of a kind",), False), (("a fast one", "2 processors of a kind"), True)):
        content, trials = study()
        for place, one in enumerate(trials):
            one["environment"] = {"cpu": names[place % len(names)]}
        told = printed(schema.build(content, trials))
        assert ("of a kind" in told) == ("The trials ran on 2 processors" in told) == several


def printed(dataset):
    """What the command line prints of a study."""
    console = Console(file=io.StringIO(), width=400)
    for part in results(dataset):
        console.print(part)
    return console.file.getvalue()


@pytest.mark.parametrize("timed", [False, True])
def test_the_page_names_the_processors_of_all_trials(timed):
    """Scores hang on the processor too: a record whose times are missing tells them all the same, and one alone is no list."""
    content, trials = study()
    for one in trials:
        one["training_seconds"] = one["training_seconds"] if timed else None
    alone = schema.build(content, trials)
    for one in trials[::3]:
        one["environment"] = {"cpu": "a slow one"}
    both = schema.build(content, trials)
    assert processors(both, timed=False) == ["a fast one", "a slow one"]
    assert "processors of the trials" not in page.render(alone)
    text = page.render(both)
    assert re.search(r"processors of the trials</th>\s*<td[^>]*>a fast one, a slow one<", text)


def test_without_times_there_is_no_cost_and_nothing_is_said():
    """A record whose times are missing has missing costs."""
    content, trials = study()
    for one in trials:
        one["training_seconds"] = None
    costs = epoch_costs(schema.build(content, trials))
    assert np.isnan(costs["epoch_cost"].values).all() and said(costs, "songs") == ""
    assert costs["epoch_cost_processors"].values.tolist() == [""]


def test_a_size_that_is_none_is_refused():
    """The number of blocks is above 0."""
    with pytest.raises(ValueError, match="at is 0"):
        epoch_costs(schema.build(*study()), at=0)
