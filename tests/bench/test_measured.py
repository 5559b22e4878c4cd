"""The short training behind every metric: run once, kept, and run anew when anything it depends on has changed."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict

import pytest

from lstm_odyssey.bench import measured
from lstm_odyssey.bench.measured import measured_error
from lstm_odyssey.training.clocks import TimingError
from lstm_odyssey.training.environment import hash_of_sources
from tests.conftest import ROOT
from tests.small import chorales

FOLDERS = {"": "suite", "variants": "variants", "tasks": "tasks", "reports": "reports"}
SMALL = {"hidden_size": 5, "epochs": 1}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A cache of results of this test's own; compiled kernels stay where they are."""
    monkeypatch.setattr(measured, "folder", lambda: tmp_path / "measured")
    return tmp_path / "measured"


@pytest.fixture
def trainings(monkeypatch):
    """The seeds of the trainings that are run."""
    run, seeds = measured._train, []

    def counted(setting, drawn, protocol, seed, identity):
        seeds.append(seed)
        return run(setting, drawn, protocol, seed, identity)

    monkeypatch.setattr(measured, "_train", counted)
    return seeds


def test_it_trains(place):
    """The fixed protocol brings the error well below what the untrained network has, and all else is said with it."""
    found = measured_error("cifg", "bach", seed=2)
    assert found.status == "ok" and found.device == "cpu" and found.metric and found.units == "nats/frame"
    assert found.best_test < 10.5
    assert found.frames_per_second > 0 and found.seconds > 0
    assert found.parameters == 3 * (64 * (88 + 64) + 64) + 2 * 64 + 88 * (64 + 1)
    assert found.peak_memory > 10_000_000


def test_a_second_metric_trains_nothing(place, trainings):
    """Who asks again is told what came of the first training, to the last bit, times included."""
    first = measured_error("nog", "bach", **SMALL)
    assert measured_error("nog", "bach", **SMALL) == first
    assert trainings == [1]
    assert len(list(place.iterdir())) == 1


@pytest.mark.parametrize("other", [{"seed": 2}, {"hidden_size": 6}, {"epochs": 2}, {"dtype": "float64"}])
def test_another_question_is_another_training(place, trainings, other):
    """Everything that is asked for tells trainings apart."""
    first = measured_error("nog", "bach", **SMALL)
    second = measured_error("nog", "bach", **{**SMALL, **other})
    assert len(trainings) == 2
    assert second.trial_id != first.trial_id and second.best_test != first.best_test


def test_another_corpus_is_another_training(place, trainings, tmp_path):
    """A corpus that lies elsewhere is trained on, and told apart from the embedded one by its checksum."""
    first = measured_error("nog", "bach", **SMALL)
    second = measured_error("nog", "bach", data=str(chorales(tmp_path, pieces=6)), **SMALL)
    assert len(trainings) == 2 and second.trial_id != first.trial_id


def test_another_variant_of_one_shape_is_another_training(place, trainings):
    """Cells with the same parameters are told apart."""
    assert measured_error("vanilla", "bach", **SMALL).best_test != measured_error("niaf", "bach", **SMALL).best_test
    assert len(trainings) == 2


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "7", '{"best_test": 1}', "another trial", "more fields"], ids=lambda text: text or "empty"
)
def test_a_damaged_file_is_trained_anew(place, trainings, damage):
    """What cannot be read, or is not what was asked for, is no result: it is computed and written again."""
    first = measured_error("nog", "bach", **SMALL)
    (file,) = place.iterdir()
    content = {"another trial": {**asdict(first), "trial_id": "x"}, "more fields": {**asdict(first), "more": 1}}
    file.write_text(json.dumps(content[damage]) if damage in content else damage, encoding="utf-8")
    assert measured_error("nog", "bach", **SMALL).best_test == first.best_test
    assert trainings == [1, 1]
    assert json.loads(file.read_text(encoding="utf-8"))["trial_id"] == first.trial_id


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    """Where nothing can be kept the result is computed all the same."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setattr(measured, "folder", lambda: tmp_path / "file" / "measured")
    assert measured_error("nog", "bach", **SMALL).status == "ok"


@pytest.mark.parametrize("changed", ["source", "environment"])
def test_what_numbers_depend_on_beside_the_trial_is_in_the_key(place, trainings, monkeypatch, changed):
    """Other source of the package, or another processor or version, and the training is run again."""
    measured_error("nog", "bach", **SMALL)
    other = {"source": ("source_hash", lambda: "other"), "environment": ("environment", lambda: {"torch": "other"})}
    monkeypatch.setattr(measured, *other[changed])
    measured_error("nog", "bach", **SMALL)
    assert trainings == [1, 1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"dtype": "int8"}, "dtype is 'int8'"),
        ({"device": "abacus"}, "device 'abacus'"),
    ],
)
def test_a_wrong_argument_is_named(place, wrong, message):
    """An argument out of range is refused before anything is trained."""
    with pytest.raises(TimingError, match=message):
        measured_error("nog", "bach", **wrong)
    assert not place.exists()


def tree(target, *, wheel):
    """A copy of the package's four folders, apart as in the repository or one within the other as in a wheel."""
    for name, folder in FOLDERS.items():
        place = target / "lstm_odyssey" / name if wheel else target / folder
        shutil.copytree(ROOT / folder, place, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    return {name: target / "lstm_odyssey" / name if wheel else target / folder for name, folder in FOLDERS.items()}


def test_the_hash_is_of_every_file_and_of_nothing_else(tmp_path):
    """An editable and a regular install of the same files have one hash; another byte, name or file is another hash."""
    homes = tree(tmp_path / "wheel", wheel=True)
    same = hash_of_sources(homes)
    assert same == hash_of_sources(tree(tmp_path / "apart", wheel=False)) == measured.source_hash()
    (homes[""] / "notes.txt").write_text("not code", encoding="utf-8")
    assert hash_of_sources(homes) == same
    (homes["variants"] / "more.py").write_text("", encoding="utf-8")
    more = hash_of_sources(homes)
    (homes["variants"] / "more.py").rename(homes["variants"] / "moor.py")
    assert len({same, more, hash_of_sources(homes)}) == 3


def test_a_broken_trainer_cannot_hide_behind_an_old_result(tmp_path):
    """A copy of the package gives its error; its trainer is broken, nothing else touched, and the error moves at once."""
    tree(tmp_path, wheel=True)
    script = (
        "import lstm_odyssey\n"
        f"assert lstm_odyssey.__file__.startswith({str(tmp_path)!r}), lstm_odyssey.__file__\n"
        "from lstm_odyssey.bench import measured\n"
        f"measured.folder = lambda: __import__('pathlib').Path({str(tmp_path / 'measured')!r})\n"
        "for _ in range(2):\n"
        "    print(measured.measured_error('nog', 'bach', hidden_size=8, epochs=1, dtype='float64').best_test)"
    )

    def error():
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr
        trained, kept = map(float, done.stdout.split())
        assert kept == trained
        return trained

    before = error()
    trainer = tmp_path / "lstm_odyssey" / "training" / "members" / "population.py"
    text = trainer.read_text(encoding="utf-8")
    broken = text.replace("loss = part.update(batch)", "loss = part.update(batch); part.network.weights.mul_(0.9)")
    assert broken != text
    trainer.write_text(broken, encoding="utf-8")
    assert abs(error() - before) > 1e-3
