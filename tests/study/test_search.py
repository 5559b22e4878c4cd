"""The random search: what a trial is follows from the seed alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_odyssey.study import plan
from lstm_odyssey.study.asked.search import draw
from lstm_odyssey.study.asked.settings import Settings
from lstm_odyssey.tasks.declare import PAPER_SPACE
from lstm_odyssey.training.random_streams import canonical, digest, stream


def one(**options):
    given = {"seed": 1, "task": "bach", "variant": "vanilla", "index": 0}
    return draw(PAPER_SPACE, **{**given, **options})


@given(st.integers(0, 2**31), st.text(min_size=1), st.text(min_size=1), st.integers(0, 5000))
def test_a_draw_is_deterministic_and_inside_its_support(seed, task, variant, index):
    """Drawing again gives the same numbers, plain Python ones, inside the support of every hyperparameter."""
    first = one(seed=seed, task=task, variant=variant, index=index)
    assert first == one(seed=seed, task=task, variant=variant, index=index)
    for name, value in first.items():
        assert PAPER_SPACE[name].contains(value) and type(value) in (int, float)


@pytest.mark.parametrize("change", [{"seed": 2}, {"task": "jsb_chorales"}, {"variant": "nig"}, {"index": 1}])
def test_every_ingredient_changes_every_hyperparameter(change):
    """Another seed, task, variant or index draws other numbers throughout."""
    first, other = one(), one(**change)
    assert all(first[name] != other[name] for name in ("learning_rate", "momentum", "input_noise"))


def test_common_draws_are_the_same_for_all_variants_and_independent_ones_are_not():
    """With common draws trial k has the same hyperparameters in every variant."""
    assert one(draws="common") == one(draws="common", variant="nig")
    assert one() != one(variant="nig")


def test_a_hyperparameter_more_or_narrower_leaves_the_rest_alone():
    """Each hyperparameter has a stream of its own."""
    part = {name: PAPER_SPACE[name] for name in ("momentum", "input_noise")}
    drawn = draw(part, seed=1, task="bach", variant="vanilla", index=0)
    assert drawn == {name: one()[name] for name in part}


def test_draws_of_many_trials_follow_their_distribution():
    """A Kolmogorov-Smirnov test of 400 draws against the declared distribution, for each hyperparameter."""
    from scipy.stats import kstest

    drawn = [one(index=index) for index in range(400)]
    for name in ("learning_rate", "momentum", "input_noise"):
        assert kstest([trial[name] for trial in drawn], PAPER_SPACE[name].cdf).pvalue > 0.01
    sizes = np.array([trial["hidden_size"] for trial in drawn])
    assert (sizes % 2 == 0).all() and 20 <= sizes.min() < 25 and 180 < sizes.max() <= 200


def test_hyperparameters_are_drawn_independently():
    """Over 400 trials no two hyperparameters go up and down together."""
    from scipy.stats import spearmanr

    drawn = [list(one(index=index).values()) for index in range(400)]
    together = spearmanr(drawn).statistic
    assert together.shape == (4, 4) and np.abs(together - np.eye(4)).max() < 0.2


def test_other_kinds_of_draws_are_refused():
    """Draws are independent or common."""
    with pytest.raises(ValueError, match="expected one of independent, common"):
        one(draws="sobol")


def test_streams_and_digests_do_not_depend_on_the_machine():
    """The first numbers of a stream and the hash of a content are what they were when this was written."""
    assert digest({"b": 1, "a": [0.1, None]}) == digest({"a": [0.1, None], "b": 1})
    assert canonical({"é": 1.0}) == '{"é":1.0}'
    assert stream("order", 1, 3).integers(1000, size=4).tolist() == [644, 647, 157, 447]


@pytest.mark.parametrize(("profile", "draws"), [("smoke", "common"), ("standard", "common"), ("paper", "independent")])
def test_draws_of_a_profile(profile, draws):
    """Cells are compared at equal draws unless the paper's own study, or independent draws, are asked for."""
    assert plan._new(Settings(profile=profile), None)["draws"] == draws
    assert plan._new(Settings(profile=profile, draws="independent"), None)["draws"] == "independent"
    assert plan._new(Settings(profile=profile, draws="common"), None)["draws"] == "common"
