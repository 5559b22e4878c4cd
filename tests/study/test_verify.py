"""odyssey verify: honest files come out again, a forged score does not, and what cannot be run is no agreement."""

import hashlib
import json
import shutil

import pytest

import lstm_odyssey as lo
from lstm_odyssey.plugins.registry import forget_plugins
from lstm_odyssey.reports.contract import netcdf
from lstm_odyssey.study import verify as verifying
from lstm_odyssey.study.asked.settings import SettingsError
from lstm_odyssey.study.results import consolidate
from lstm_odyssey.study.sample import BITS, CLOSE, DIFFERS, NOT_RUN, Sample, Verified
from lstm_odyssey.study.stored.store import Store
from lstm_odyssey.study.verify import compared, verify
from tests.small import chorales, settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of two cells on a backend that pads, three trials each in blocks of two, and its data."""
    place = tmp_path_factory.mktemp("verified")
    data = {"bach": str(chorales(place, pieces=6))}
    lo.run(place / "store", settings(place, backend="eager", trials=3, epochs=2, data=data))
    return place


@pytest.fixture
def data(folder):
    return {"bach": str(chorales(folder, pieces=6))}


def forge(folder, place, **changes):
    """A copy of the store of which one trial's file was changed and the netCDF written anew; the trial's index."""
    store = Store(shutil.copytree(folder / "store", place))
    file = min(store.trials_folder.glob("[!.]*.json"))
    record = json.loads(file.read_text())
    record |= {name: change(record[name]) for name, change in changes.items()}
    if (
        "best_test" in changes
    ):  # a forger changes the curve as well: a score that does not follow from it is not even opened
        record["curves"]["test"][record["best_epoch"]] = record["best_test"]
    file.write_text(json.dumps(record))
    consolidate(store)
    return store, record


def test_what_a_study_stored_comes_out_again(folder, data):
    """All trials of a store, of its netCDF and of its rounded record have the same bits, wherever they stand in a block."""
    record = netcdf.save(netcdf.record(lo.open_study(folder / "store")), folder / "record.nc")
    for place in (folder / "store", folder / "store" / "study.nc", record):
        found = verify(place, 99 if place != record else 2, data=data)
        assert {one.verdict for one in found} == {BITS} and all(one.stored == one.found for one in found)
    assert len(verify(folder / "store", 99, data=data)) == 6


def test_a_forged_score_is_caught(folder, data, odyssey, tmp_path):
    """A test score better by a millionth differs: trial, variable and both values are told, and the command ends with 1."""
    store, record = forge(folder, tmp_path / "forged", best_test=lambda value: value * (1 - 1e-6))
    given = [f"--data=bach={data['bach']}", "--sample=6"]
    code, output, error = odyssey("verify", store.consolidated, *given)
    assert (code, error) == (1, "")
    where = (
        f"{record['variant']} on bach, trial {record['trial']}: differs: best_test {record['best_test']} in the file"
    )
    assert where in output and "6 trials run again of 6 trials chosen: 5 the same bits, 1 differs.\n" in output
    code, output, error = odyssey("verify", folder / "store", *given)
    assert (code, error) == (0, "") and "6 the same bits." in output and "Elsewhere" not in output


def test_a_forged_curve_is_caught(folder, data, tmp_path):
    """A point of a curve that nobody selects by, by one bit in the sixth digit."""

    def bend(curves):
        return curves | {"train_loss": [None, curves["train_loss"][1] * (1 + 1e-6), *curves["train_loss"][2:]]}

    store, record = forge(folder, tmp_path / "bent", curves=bend)
    (wrong,) = [one for one in verify(store.path, 6, data=data) if one.verdict == DIFFERS]
    assert (wrong.variant, wrong.trial) == (record["variant"], record["trial"])
    assert "train_loss from epoch 1 on" in wrong.why


def test_elsewhere_a_stated_tolerance_holds(folder, data, tmp_path):
    """Of another processor, what rounding explains is within tolerance, and a score better by a fifth differs."""
    for factor, verdict in ((1 - 1e-6, CLOSE), (0.8, DIFFERS)):
        store, record = forge(
            folder, tmp_path / f"{factor}",
            best_test=lambda value, factor=factor: value * factor,
            environment=lambda there: there | {"cpu": "another one"},
        )  # fmt: skip
        (found,) = [one for one in verify(store.path, 6, data=data) if one.verdict != BITS]
        assert (found.verdict, found.trial) == (verdict, record["trial"])
        assert "cpu another one then" in found.why


def test_a_score_before_training_is_held_closely():
    """On another processor the first validation score, which no training has touched, is compared to a thousandth."""
    record = {
        "status": "ok", "best_valid": 9.0, "best_test": 9.0, "best_test_per_sequence": 9.0,
        "curves": {"train_loss": [None, 5.0], "valid": [60.0, 9.0], "test": [None, 9.0], "epoch_seconds": [None, 1.0]},
    }  # fmt: skip
    for start, verdict in ((60.0, BITS), (60.01, CLOSE), (60.1, DIFFERS)):
        again = record | {"curves": record["curves"] | {"valid": [start, 9.0]}}
        assert compared(record, again, strict=False)[0] == verdict
    worse = record | {"status": "diverged"}
    assert compared(record, worse, strict=False)[0] == DIFFERS


def test_what_cannot_be_run_is_named(folder, odyssey, tmp_path):
    """A corpus of another checksum: each trial says why, and where none could be run the end is 1."""
    other = tmp_path / "other"
    other.mkdir()
    code, output, error = odyssey(
        "verify", folder / "store", f"--data=bach={chorales(other, pieces=6, seed=3)}", "--sample=2"
    )
    assert (code, error) == (1, "") and output.count("the corpus here has checksum") == 2
    assert "0 trials run again of 2 trials chosen: 2 not run" in output


def test_a_corpus_of_a_task_that_the_study_has_not(folder, odyssey):
    """A path that would be read by nobody is an error, not passed over."""
    code, _, error = odyssey("verify", folder / "store", "--data=bahc=here", "--sample=2")
    assert code == 2 and "--data: got a path for bahc; expected one of the tasks: bach" in error


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("backend", "abacus", "backend 'abacus' is not here"), ("device", "cuda", "device 'cuda' is not here")],
)
def test_what_is_not_installed_is_no_agreement(folder, data, monkeypatch, name, value, message):
    """A backend or a device that this machine has not."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    known = verifying.seed_of

    def elsewhere(source, dataset):
        found = known(source, dataset)
        return type(found)(found.source, found.study | {name: value}, found.trials)

    monkeypatch.setattr(verifying, "seed_of", elsewhere)
    found = verify(folder / "store", 2, data=data)
    assert [one.verdict for one in found] == [NOT_RUN] * 2 and all(message in one.why for one in found)


def test_the_choice_is_the_seeds(folder, data, monkeypatch):
    """So many trials of those that ended, other ones with another seed, always the same with one."""
    monkeypatch.setattr(verifying, "_again", lambda block, index, *_: (_ for _ in ()).throw(LookupError("no")))
    chosen = [
        [(one.variant, one.trial) for one in verify(folder / "store", 3, seed=seed, data=data)] for seed in range(6)
    ]
    assert all(len(set(one)) == 3 for one in chosen) and len({tuple(one) for one in chosen}) > 1
    assert chosen[2] == [(one.variant, one.trial) for one in verify(folder / "store", 3, seed=2, data=data)]
    assert netcdf.load(folder / "store" / "study.nc").sizes["trial"] == 3


def test_the_trials_that_a_rank_rests_on_can_be_asked_for(folder, data, monkeypatch):
    """--variants takes a cell's trials alone, --best the best tenth by validation of each cell, two at least."""
    study = lo.open_study(folder / "store")
    monkeypatch.setattr(verifying, "_again", lambda *_: (_ for _ in ()).throw(LookupError("no")))
    one = study["variant"].values.tolist()[1]
    mine = verify(folder / "store", 9, data=data, variants=[one])
    assert [(found.variant, found.trial) for found in mine] == [(one, k) for k in range(3)]
    best = verify(folder / "store", 9, data=data, best=True)
    worst = study["best_valid"].isel(task=0).argmax("trial")
    expected = {(name, k) for name in study["variant"].values for k in range(3) if k != int(worst.sel(variant=name))}
    assert {(v.variant, v.trial) for v in best} == expected and best.among == 4
    with pytest.raises(SettingsError, match="--variants: got nonsense; expected cells of the study: "):
        verify(folder / "store", data=data, variants=["nonsense"])


def test_what_a_sample_does_not_show_is_said(folder, data, odyssey, tmp_path):
    """How probably a sample misses forgeries; elsewhere, which way the scores of the file are off, and that 10 % is much."""
    given = [f"--data=bach={data['bach']}", "--sample=5"]
    _, output, _ = odyssey("verify", folder / "store", *given)
    assert "chosen among 6. Had 1 of those been changed" in output and "with a probability of 17 %" in output
    store, _ = forge(
        folder, tmp_path / "elsewhere",
        best_test=lambda value: value * 0.97, environment=lambda there: there | {"cpu": "another one"},
    )  # fmt: skip
    _, output, _ = odyssey("verify", store.path, f"--data=bach={data['bach']}", "--sample=6")
    assert "Test scores in the file are -3 % from those of now on average, 1 of 1 less" in output
    assert "which is more than cells differ by" in output and "of those been changed" not in output


def test_a_probability_to_miss_is_that_of_counting():
    """Of 20 trials, two changed, a choice of 3 misses both in C(18,3) of C(20,3) cases; what was not run does not count."""
    one = Verified("bach", "vanilla", 0, BITS)
    assert Sample([one] * 3, 20).missed() == pytest.approx(816 / 1140)
    lost = Verified("bach", "vanilla", 0, NOT_RUN)
    assert Sample([one] * 3 + [lost], 20).missed() == pytest.approx(816 / 1140)


PLUGIN = """from lstm_odyssey.variants.ops import tanh

RATE = 0.25

def leaky(x, y, *, W, R, b):
    h = tanh(W.h @ x + R.h @ y + b.h)
    return (1 - RATE) * y + RATE * h
"""


@pytest.fixture(scope="module")
def plugged(tmp_path_factory):
    """A store of a cell from a file, and the file."""
    place = tmp_path_factory.mktemp("plugged")
    file = place / "mine.py"
    file.write_text(PLUGIN)
    data = {"bach": str(chorales(place, pieces=6))}
    asked = settings(place, backend="eager", variants=["leaky"], trials=1, epochs=1, data=data, plugins=[str(file)])
    lo.run(place / "store", asked)
    return place, file, data


def verified_with(plugged, text):
    """The store's trial run again with the cell from a file of this text; without one where it is None."""
    place, file, data = plugged
    forget_plugins()
    if text is not None:
        file.write_text(text)
        lo.load_plugin(file)
    (found,) = verify(place / "store", data=data)
    return found


def test_a_cell_that_is_not_here_says_where_the_study_has_it_from(plugged):
    """File and the sha256 that it had."""
    found = verified_with(plugged, None)
    known = hashlib.sha256(PLUGIN.encode()).hexdigest()[:12]
    assert found.verdict == NOT_RUN and "variant 'leaky': the study has it from mine.py" in found.why
    assert f"as it was when its sha256 was {known}: --plugin mine.py" in found.why


def test_a_file_that_was_edited_after_the_run_is_named(plugged):
    """Another constant is another cell: both contents are told. A comment changes no number, and is told too."""
    found = verified_with(plugged, PLUGIN.replace("0.25", "0.5"))
    known, now = (hashlib.sha256(text.encode()).hexdigest()[:12] for text in (PLUGIN, PLUGIN.replace("0.25", "0.5")))
    assert found.verdict == NOT_RUN and "another text, constant or start value" in found.why
    assert f"from mine.py of sha256 {known}, here it is from mine.py of sha256 {now}" in found.why
    found = verified_with(plugged, PLUGIN + "# mine\n")
    assert found.verdict == BITS and "the mathematics is the same" in found.note
    assert not verified_with(plugged, PLUGIN).note


def test_equations_that_are_not_the_cells_are_told(folder, data, tmp_path):
    """A file may write other equations than its trials ran with: the trials come out again, and that is said."""
    store = Store(shutil.copytree(folder / "store", tmp_path / "retold"))
    study = store.study()
    name = next(iter(study["variants"]))
    study["variants"][name]["equations"] = ["y_t = x_t"]
    store.write_study(study)
    found = verify(store.path, 6, data=data)
    assert {one.verdict for one in found} == {BITS}
    assert {one.variant for one in found if "writes its equations otherwise" in one.note} == {name}
