"""A study in which one of two cells has hyperparameters of its own: drawn, stored, moved, analysed, shown and refused."""

import copy
import json
import shlex

import numpy as np
import pytest

import lstm_odyssey as lo
from lstm_odyssey.commands.terminal import tables
from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract.combine import combine
from lstm_odyssey.reports.contract.schema import SchemaError, build, without_times
from lstm_odyssey.reports.stats.best_points import best_points
from lstm_odyssey.study.asked import points as points_file
from lstm_odyssey.study.asked.config import read_config
from lstm_odyssey.study.asked.settings import SettingsError
from lstm_odyssey.study.plan import make_plan
from lstm_odyssey.study.stored.store import Store
from lstm_odyssey.tasks.declare import PAPER_SPACE
from tests import made_studies
from tests.small import settings

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")

PLUGIN = '''
from lstm_odyssey.variants.declare import Constant, Variant, identity
from lstm_odyssey.variants.ops import tanh


def damped(x, y, z, *, W, R, b, k):
    """A damped oscillator.

    u_t = tanh(W_u x_t + R_u y_{t-1} + b_u)
    z_t = z_{t-1} + 0.2 · (u_t - γ · y_{t-1} - ε · z_{t-1})
    y_t = y_{t-1} + 0.2 · z_t
    """
    u = tanh(W.u @ x + R.u @ y + b.u)
    z_t = z + 0.2 * (u - k.gamma * y - k.epsilon * z)
    return y + 0.2 * z_t, z_t


oscillator = Variant(
    damped, constants={"gamma": Constant(2.7, 0.1, 9), "epsilon": Constant(1.5, 0.1, 9)}, start={"R.u": identity(0.5)}
)
undamped = Variant(damped, constants={"gamma": Constant(2.7), "epsilon": Constant(1.5)})
'''
SPACE = """
[space.oscillator]
gamma = {kind = "uniform", low = 0.5, high = 4}
k.epsilon = {kind = "log_uniform", low = 0.5, high = 2}
start.b.u = {kind = "choice", values = [0, 1]}
"""
OWN = ["k.gamma", "k.epsilon", "start.b.u"]
GAMMA, LOW = ({"kind": "uniform", "low": low, "high": 4} for low in (0.5, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the plugin and a file of options."""
    made = tmp_path_factory.mktemp("cells")
    (made / "oscillator.py").write_text(PLUGIN, encoding="utf-8")
    (made / "study.toml").write_text('variants = ["oscillator", "nog"]\nplugins = ["oscillator.py"]\n' + SPACE)
    return made


def asked(folder, **options):
    return settings(
        folder, **{**read_config(folder / "study.toml"), "trials": 4, "epochs": 2, "draws": "common", **options}
    )


@pytest.fixture(scope="module")
def stored(folder):
    """The study, run, with each trial's best weights."""
    lo.run(folder / "store", asked(folder, keep_weights="best"))
    return folder / "store"


def test_one_cell_has_values_and_the_other_none(stored):
    """The common draws stay common; ids of the cell without are those of a study that knows of no constant."""
    study = lo.open_study(stored)
    assert (study["status"] == "ok").all()
    for name in OWN:
        assert study[name].sel(variant="oscillator").notnull().all() and study[name].sel(variant="nog").isnull().all()
    assert study["k.gamma"].attrs["long_name"] == "constant gamma of the cell"
    for name in PAPER_SPACE:
        assert np.array_equal(*(study[name].sel(variant=cell).values for cell in ("oscillator", "nog")))
    facts = Store(stored).study()["variants"]
    assert facts["oscillator"]["constants"] == {"gamma": [2.7, 0.1, 9], "epsilon": [1.5, 0.1, 9]}
    assert facts["oscillator"]["start"] == {"R.u": ["identity", 0.5]} and list(facts["oscillator"]["space"]) == OWN
    assert not {"constants", "start", "space"} & set(facts["nog"])


def test_the_other_cells_trials_are_those_of_a_study_without(stored, folder):
    """Same ids and scores: what one cell has of its own is no part of another's trial."""
    alone = lo.run(folder / "alone", settings(folder, variants=["nog"], trials=4, epochs=2, draws="common"))
    there = lo.open_study(stored).sel(variant=["nog"])
    for name in ("trial_id", "best_valid", "best_test", "valid"):
        assert np.array_equal(there[name].values, alone[name].values, equal_nan=name != "trial_id")


def test_it_goes_on_from_its_file_and_from_its_store(stored, folder):
    """The same bits as in one go; the file of options may be given again, another space may not."""
    plugins = [str(folder / "oscillator.py")]
    whole = lo.run(folder / "whole", asked(folder, trials=5))
    moved = lo.run(folder / "moved", lo.Settings(trials=5, plugins=plugins, data=asked(folder).data),
                   resume_from=stored / "study.nc")  # fmt: skip
    assert without_times(moved).drop_attrs().equals(without_times(whole).drop_attrs())
    again = lo.run(folder / "moved", asked(folder, trials=None, epochs=None, draws=None, profile=None, block_size=None))
    assert again.sizes["trial"] == 5
    with pytest.raises(Exception, match="A store holds one study: leave \\[space\\] out"):
        lo.run(folder / "moved", asked(folder, trials=5, space={"oscillator": {"gamma": LOW}}))


def test_a_network_has_its_trials_constants(stored):
    """``load_network`` gives the layer with the constants that its trial was trained with, in its state_dict too."""
    network = lo.load_network(stored, "bach", "oscillator", trial=2)
    assert network.rnn.constants["gamma"] == [pytest.approx(network.hyperparameters["k.gamma"], rel=1e-6)]
    assert any(key.endswith("cells.0.k") for key in network.state_dict())


def test_page_and_table_tell_whose_they_are(stored):
    """The distributions, which cell's they are, the values of each trial with a dash for the other cell, the equations."""
    study = lo.open_study(stored / "study.nc")
    text = page.render(study)
    assert "of oscillator alone: uniform on [0.5, 4]" in text and "constant gamma of the cell" in text
    assert "γ" in text and '<td data-label="k.gamma">–</td>' in text
    said = tables._space(study, "bach")
    assert "of oscillator k.gamma uniform" in said and "of nog" not in said
    (command, *_) = page.words.commands(study)
    lines = "\n".join(shlex.split(command)[2:-2])
    (stored / "again.toml").write_text(lines + "\n")
    assert read_config(stored / "again.toml")["space"]["oscillator"]["k.gamma"] == GAMMA


def test_the_best_trials_can_be_run_again_as_points(stored, folder):
    """A table of points has empty cells for the cell without; the rows give the same hyperparameters back."""
    study = lo.open_study(stored)
    best_points(study, 2).to_csv(folder / "points.csv", index=False)
    rows = points_file.read(folder / "points.csv")["rows"]
    assert [OWN[0] in row for row in rows] == [row["variant"] == "oscillator" for row in rows]
    more = {"trials": None, "draws": None, "profile": None, "block_size": None, "variants": None, "space": {}}
    again = lo.run(folder / "points", asked(folder, points=folder / "points.csv", epochs=1, seed=2, **more))
    expected = {row["k.gamma"] for row in rows if "k.gamma" in row}
    assert set(again["k.gamma"].sel(variant="oscillator").values.ravel()) == expected
    assert again["k.gamma"].sel(variant="nog").isnull().all()
    lo.open_study(folder / "points" / "study.nc")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"oscillator": {"gama": GAMMA}}, "'oscillator': \\[space.oscillator\\] .*: k.gama is asked for .* one of gamma"),
        ({"oscillator": {"gamma": {**GAMMA, "high": 10}}}, "k.gamma can be 10; expected a number from 0.1 to 9"),
        ({"oscillator": {"start.b.v": GAMMA}}, "start.b.v is asked for and b.v is none of its parameters; .* b.u"),
        ({"oscillator": {"start.R.u": GAMMA}}, "start.R.u is asked for and R.u is a matrix; expected one of b.u"),
        ({"oscillator": {"momentum": {"kind": "choice", "values": [0]}}}, "space.oscillator: momentum is one that all cells"),
        ({"nog": {"gamma": GAMMA}}, "variant 'nog': .* k.gamma is asked for .* no constant, as the cell has none"),
        ({"k.gamma": GAMMA}, "variant 'nog': the space of task 'bach' .* k.gamma is asked for"),
        ({"vanilla": {"start.b.f": GAMMA}}, "space.vanilla: neither a hyperparameter nor a task or cell of this study"),
        ({"undampd": {"gamma": GAMMA}}, "space.undampd: unknown hyperparameter 'gamma'"),
        ({"bach": {"gamma": GAMMA}}, "space.bach: unknown hyperparameter 'gamma'"),
        ({"oscillator": {"gamma": GAMMA}, "undamped": {"gamma": LOW}}, "expected one distribution, as a study has one column"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(folder, tmp_path, space, message):
    """A name, a range, a parameter, what all cells have, two distributions of one name: one sentence, and no store."""
    more = ["undamped"] if "undamped" in space else []
    with pytest.raises(SettingsError, match=message):
        lo.run(tmp_path / "store", asked(folder, space=space, variants=["oscillator", "nog", *more]))
    assert not (tmp_path / "store").exists()


def test_two_cells_may_share_a_name_with_one_distribution(folder, tmp_path):
    """Then with common draws trial k has one value in both."""
    space = {"oscillator": {"gamma": GAMMA}, "undamped": {"gamma": GAMMA}}
    plan = make_plan(Store(tmp_path), asked(folder, space=space, variants=["oscillator", "undamped"]))
    from lstm_odyssey.study.block import Block

    first, second = (Block(plan.study, "bach", cell, 0).hyperparameters(1) for cell in ("oscillator", "undamped"))
    assert first == second and "k.gamma" in first


def planted(seed=0, low=0.0):
    """A made study of two cells; in one of them a constant of its own explains all of the score, in the other the noise."""
    study = made_studies.study(trials=30)
    study["variants"]["gated"] = {
        **study["variants"]["gated"],
        "space": {"k.rate": {"kind": "uniform", "low": low, "high": 1}},
    }
    random, trials = np.random.default_rng(seed), []
    for variant in study["variants"]:
        for index in range(30):
            trial = copy.deepcopy(made_studies.trial(study, "songs", variant, index))
            value = trial["hyperparameters"]["input_noise"]
            if variant == "gated":
                trial["hyperparameters"]["k.rate"] = value = float(random.uniform(low, 1))
            trials.append(trial | {"best_valid": 4 + 5 * value, "best_test": 4 + 5 * value})
    return build(study, trials)


def test_functional_anova_has_it_where_it_was_drawn():
    """Nearly all of the variance of the one cell is the constant's; the other cell has no share of it, and the pool neither."""
    study = planted()
    found = lo.fanova(study, trees=30).main_share.sel(task="songs", clip=1)
    assert found.sel(variant="gated", hyperparameter="k.rate") > 0.95
    other = found.sel(variant="plain")
    assert np.isnan(other.sel(hyperparameter="k.rate")) and other.sel(hyperparameter=list(PAPER_SPACE)).notnull().all()
    one = lo.fanova(study.sel(variant=["plain"]), trees=30).main_share.sel(task="songs", clip=1)
    named = other.sel(hyperparameter=list(PAPER_SPACE)).values
    assert np.array_equal(one.sel(variant="plain", hyperparameter=list(PAPER_SPACE)).values, named)
    pooled = lo.fanova(study, trees=30, pooled=True)
    assert "k.rate" not in pooled["hyperparameter"].values
    text = page.render(study)
    assert "k.rate" in text and "of gated alone: uniform on [0, 1]" in text


def test_a_dataset_says_where_each_value_was_drawn_from():
    """A value of a cell that has no such distribution is refused; two files that drew one name otherwise are not combined."""
    study = planted()
    lost = json.loads(study.attrs["variants"])
    lost["gated"].pop("space")
    from lstm_odyssey.reports.contract.validation import validate

    with pytest.raises(SchemaError, match="variable 'k.rate' on task 'songs': found .* and no distribution"):
        validate(study.assign_attrs(variants=json.dumps(lost)))
    with pytest.raises(SchemaError, match="study 'b', k.rate of 'gated': found .*'low': 0.5.*, expected .*'low': 0"):
        combine({"a": study, "b": planted(1, 0.5).assign_attrs(seed=np.int64(2))})
