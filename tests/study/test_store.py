"""The trial store: ids, atomic files, and one clear error for what is damaged, foreign or newer."""

import json
from importlib.metadata import entry_points

import pytest

import lstm_odyssey as lo
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.plan import make_plan
from lstm_odyssey.study.results import gather
from lstm_odyssey.study.run import pending
from lstm_odyssey.study.stored.locking import alive, clean
from lstm_odyssey.study.stored.store import FORMAT, Store, StoreError, trial_id
from tests.small import chorales, settings

BACH = entry_points(group="lstm_odyssey.tasks")["bach"]
INGREDIENTS = {
    "signature": "abc",
    "variant": "vanilla",
    "corpus": "def",
    "objective": "next_frame",
    "bidirectional": False,
    "hyperparameters": {"hidden_size": 20, "learning_rate": 0.1},
    "trial": 3,
    "seed": 1,
    "protocol": {},
    "dtype": "float32",
    "backend": {"name": "eager", "block_size": 8},
}


@pytest.mark.parametrize(
    "change",
    [
        {"signature": "abd"},
        {"variant": "copy_of_vanilla"},
        {"corpus": "deg"},
        {"objective": "frames"},
        {"bidirectional": True},
        {"hyperparameters": {"hidden_size": 20, "learning_rate": 0.10000000000000002}},
        {"trial": 4},
        {"seed": 2},
        {"protocol": {"epochs": 3}},
        {"dtype": "float64"},
        {"backend": {"name": "eager", "block_size": 4}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_trial_id_changes_with_everything_its_numbers_depend_on(change):
    """Each ingredient enters the id, to the last bit."""
    assert trial_id(**INGREDIENTS) != trial_id(**{**INGREDIENTS, **change})
    assert trial_id(**INGREDIENTS) == trial_id(**dict(reversed(INGREDIENTS.items())))


def test_the_format_of_ids_stands_still():
    """An id is what it was when this was written: stores of old versions stay readable."""
    assert trial_id(**INGREDIENTS) == "7c4f00850c128adba9ff4e00"


@pytest.fixture
def store(tmp_path):
    """A finished study of two trials."""
    lo.run(tmp_path / "store", settings(tmp_path, variants=["nog"], trials=2, epochs=1))
    return Store(tmp_path / "store")


def test_a_finished_trial_is_one_json_file_with_its_curves(store):
    """The file says what was trained, how it went, and where."""
    files = sorted(store.trials_folder.iterdir())
    assert len(files) == 2
    trial = json.loads(files[0].read_text())
    assert files[0].stem == trial["trial_id"]
    assert set(trial["hyperparameters"]) == {"hidden_size", "learning_rate", "momentum", "input_noise"}
    assert len(trial["curves"]["valid"]) == 2 and trial["curves"]["train_loss"][0] is None
    assert trial["environment"]["torch"] and trial["status"] == "ok"


def test_nothing_else_is_left_behind(store):
    """A finished study leaves its JSON files and the netCDF; no checkpoint, no word of progress, no temporary file."""
    left = {path.name for path in store.path.rglob("*") if path.is_file()}
    assert left == {"study.json", "study.nc", *(path.name for path in store.trials_folder.iterdir())}


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    """A file is whole or as it was."""
    from lstm_odyssey.reports.contract.files import replacing, write_text

    file = tmp_path / "a.json"
    write_text(file, "old")
    with pytest.raises(RuntimeError), replacing(file) as temporary:
        temporary.write_text("ne")
        raise RuntimeError
    assert file.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["a.json"]


def damaged(store):
    """One trial file cut short."""
    file = next(store.trials_folder.glob("*.json"))
    file.write_text(file.read_text()[:-40])
    return file


def test_a_damaged_trial_is_one_clear_error(store, tmp_path):
    """The error names the file and says what to do; when it is done, the trial alone is run again."""
    before = gather(store)
    file = damaged(store)
    again = settings(tmp_path, variants=["nog"], trials=2, epochs=None)
    for attempt in (lambda: gather(store), lambda: lo.run(store.path, again)):
        with pytest.raises(StoreError, match=f"{file.name} is damaged .* delete it"):
            attempt()
    file.unlink()
    done = []
    lo.run(store.path, again, on_block=lambda block, missing: done.append(missing))
    assert done == [1]
    assert gather(store)["valid"].equals(before["valid"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: "{", "study.json is damaged"),
        (lambda content: "[]", "not a file of lstm-odyssey"),
        (lambda content: json.dumps({**content, "package": "other"}), "not a file of lstm-odyssey"),
        (lambda content: json.dumps({**content, "format": FORMAT + 1}), "written by a newer lstm-odyssey. Upgrade"),
        (lambda content: json.dumps({k: v for k, v in content.items() if k != "seed"}), "it lacks seed"),
    ],
    ids=["cut", "list", "foreign", "newer", "lacking"],
)
def test_a_damaged_foreign_or_newer_study_is_refused(store, tmp_path, change, message):
    """study.json that cannot be understood stops everything with one error."""
    content = json.loads(store.study_file.read_text())
    store.study_file.write_text(change(content))
    with pytest.raises(StoreError, match=message):
        gather(store)
    with pytest.raises(StoreError, match=message):
        lo.run(store.path, settings(tmp_path))


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("study", {"trials": "six"}),
        ("study", {"trials": 10**9}),
        ("study", {"block_size": 0}),
        ("study", {"tasks": []}),
        ("study", {"profile": "huge"}),
        ("study", {"protocol": {"warmup": 3}}),
        ("study", {"variants": {"nog": {}}}),
        ("trial", {"curves": "abc"}),
        ("trial", {"best_valid": "x"}),
        ("trial", {"best_test": None}),
        ("trial", {"trial": 99}),
        ("trial", {"trial": "a"}),
        ("trial", {"hyperparameters": [1]}),
        ("trial", {"hyperparameters": {"learning_rate": 9.0}}),
        ("trial", {"variant": "vanilla"}),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_is_a_damaged_file(store, tmp_path, file, change):
    """A field of another type, out of bounds, or not what the id says is refused, and the file named."""
    path = store.study_file if file == "study" else next(store.trials_folder.glob("*.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(StoreError, match=f"{path.name} is damaged"):
        gather(store)


def test_fewer_trials_than_stored_are_refused(store, tmp_path):
    """A study only grows; both numbers are named."""
    with pytest.raises(StoreError, match="a study of 2 trials, and 1 were asked for"):
        lo.run(store.path, settings(tmp_path, variants=["nog"], trials=1, epochs=1))


def test_a_store_that_cannot_be_written_is_the_stores_error(tmp_path):
    """Where no folder can be made, the error says so and what to do."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written|a file; expected a folder"):
        lo.run(tmp_path / "file" / "store", settings(tmp_path))


def test_no_study_at_a_path_is_one_clear_error(tmp_path):
    """The likeliest typo is said plainly."""
    with pytest.raises(StoreError, match="nothing is there; expected a store's folder or its study.nc"):
        lo.open_study(tmp_path / "nothere")


def test_temporary_files_of_a_live_worker_are_left_alone(store, tmp_path):
    """Only what a killed process left an hour ago is cleaned up."""
    import os

    young, old = (store.trials_folder / f".tmp-{name}.json" for name in ("young", "old"))
    young.write_text("")
    old.write_text("")
    os.utime(old, (1, 1))
    with alive(store) as own:
        clean(store, own)
    assert young.exists() and not old.exists()


def test_a_space_has_what_a_training_reads(tmp_path, monkeypatch):
    """A hyperparameter that nothing reads, or one that is missing, is refused before anything is drawn."""
    from lstm_odyssey.plugins import registry
    from lstm_odyssey.study.asked.settings import SettingsError
    from lstm_odyssey.tasks.declare import PAPER_SPACE, Choice
    from tests.corpora import made_task

    less = {name: PAPER_SPACE[name] for name in ("hidden_size", "learning_rate")}
    for space, wrong in (
        (
            {**PAPER_SPACE, "clip_gradients": Choice((True, False))},
            "has clip_gradients, .* expected one of clip_gradient",
        ),
        ({**PAPER_SPACE, "start.": Choice((1.0,))}, "has start., which no training reads"),
        (less, "lacks momentum, input_noise; expected a distribution for each of hidden_size"),
    ):
        made = registry.NamedTask(made_task(space=space), "made", {})
        monkeypatch.setattr(registry, "task", lambda name, made=made: made)
        with pytest.raises(SettingsError, match=f"its space {wrong}"):
            make_plan(Store(tmp_path / "store"), settings(tmp_path, tasks=["made"], data={}))


def test_a_broken_plugin_is_a_warning_where_nobody_asked_for_it(tmp_path, monkeypatch):
    """A variant that cannot be loaded is left out of the default study, and is an error for who names it."""
    from importlib.metadata import EntryPoint

    from lstm_odyssey.plugins import registry

    points = dict(registry.points("variant"))
    points["bad"] = EntryPoint("bad", "nomodule:cell", "lstm_odyssey.variants")
    monkeypatch.setattr(registry, "points", lambda kind: points if kind == "variant" else {"bach": BACH})
    with pytest.warns(UserWarning, match="variant 'bad' is left out: .*nomodule"):
        plan = make_plan(Store(tmp_path / "store"), settings(tmp_path, variants=None))
    assert len(plan.variants) == 9
    with pytest.raises(registry.PluginError, match="nomodule"):
        make_plan(Store(tmp_path / "store"), settings(tmp_path, variants=["bad"]))


def test_a_folder_with_other_things_is_refused(tmp_path):
    """A store is never made in a folder that holds something else, nor over a file."""
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match=r"thesis\.tex.*no study\.json; expected an empty folder"):
        lo.run(tmp_path, settings(tmp_path))
    with pytest.raises(StoreError, match="a file; expected a folder"):
        lo.run(tmp_path / "thesis.tex", settings(tmp_path))


def test_a_trial_of_another_study_is_refused(store, tmp_path):
    """A stray trial file is named; a trial under another's name too."""
    file = next(store.trials_folder.glob("*.json"))
    stray = store.trials_folder / ("0" * 24 + ".json")
    stray.write_text(file.read_text())
    with pytest.raises(StoreError, match="holds trial"):
        gather(store)
    stray.write_text(json.dumps({**json.loads(file.read_text()), "trial_id": "0" * 24}))
    with pytest.raises(StoreError, match="do not belong to its study"):
        gather(store)


@pytest.mark.parametrize(
    ("option", "value", "there"),
    [
        ("seed", 2, "1"),
        ("epochs", 9, "1"),
        ("draws", "independent", "'common'"),
        ("dtype", "float64", "'float32'"),
        ("block_size", 3, "2"),
        ("profile", "paper", "'smoke'"),
        ("keep_weights", "best", "'none'"),
    ],
)
def test_an_explicit_other_value_is_refused_with_both_values(store, tmp_path, option, value, there):
    """A store holds one study; what was asked for and what is stored are both named."""
    with pytest.raises(StoreError, match=f"{option} = {there}, and {value!r} was asked for"):
        lo.run(store.path, settings(tmp_path, **{"variants": ["nog"], "trials": 2, "epochs": 1, option: value}))


def test_another_corpus_or_other_equations_make_another_study(store, tmp_path, monkeypatch):
    """A corpus or a variant that has changed since is refused by its checksum or signature."""
    with pytest.raises(StoreError, match="task 'bach' has checksum .* it has changed"):
        lo.run(store.path, settings(tmp_path, variants=["nog"], epochs=1, data={"bach": str(chorales(tmp_path, 25))}))
    content = json.loads(store.study_file.read_text())
    content["variants"]["nog"]["signature"] = "0" * 64
    store.study_file.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="variant 'nog' has signature 000000000000"):
        lo.run(store.path, settings(tmp_path, variants=["nog"], epochs=1))


def test_pending_blocks_come_in_rounds_over_the_variants(tmp_path):
    """At any moment all variants have about the same number of trials."""
    store = Store(tmp_path / "store")
    plan = make_plan(store, settings(tmp_path))
    todo = pending(store, plan)
    assert [(block.variant, block.number, missing) for block, missing in todo.blocks] == [
        ("nog", 0, 2),
        ("vanilla", 0, 2),
        ("nog", 1, 2),
        ("vanilla", 1, 2),
        ("nog", 2, 1),
        ("vanilla", 2, 1),
    ]
    assert (todo.trials, todo.stored) == (10, 0)


def test_ids_do_not_depend_on_how_many_trials_were_asked(tmp_path):
    """A study of more trials has the ids of the smaller one, so it can grow."""
    small = make_plan(Store(tmp_path / "a"), settings(tmp_path)).study
    large = make_plan(Store(tmp_path / "b"), settings(tmp_path, trials=50)).study
    for index in range(5):
        one, other = (Block(study, "bach", "nog", index // 2).trial_id(index) for study in (small, large))
        assert one == other
