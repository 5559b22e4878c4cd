"""Ids, weights, stored studies and kept layers come out as they did before the house was redrawn."""

import json
import pickle

import numpy as np
import pytest
import torch
import xarray

import lstm_odyssey as lo
from lstm_odyssey.study.stored.store import Store
from tests import yardstick
from tests.small import settings

WRITTEN = json.loads((yardstick.FILES / "trials.json").read_text(encoding="utf-8"))
HERE = yardstick.machine() == WRITTEN["machine"]
"""Whether this is the kind of machine, with the versions, that made the files: then every bit has to be the same."""


def close(found, expected, dtype):
    """Whether scores agree to the tolerance; what was not measured then is not measured now."""
    pairs = [np.array(values, dtype=float) for values in (found, expected)]
    return np.allclose(*pairs, rtol=yardstick.TOLERANCE[dtype], atol=0, equal_nan=True)


def test_the_yardstick_has_every_kind():
    """Forty trainings: the nine cells, one of two phases and one with a start of its own, on both backends."""
    assert set(WRITTEN["cases"]) == {yardstick.name(case) for case in yardstick.CASES} and len(WRITTEN["cases"]) >= 40
    assert all(np.isfinite(case["best_test"]).all() for case in WRITTEN["cases"].values())


@pytest.mark.parametrize("case", yardstick.CASES, ids=yardstick.name)
def test_a_training_comes_out_as_it_did(case):
    """The same ids everywhere; the same bits where they were made, the same scores to a tolerance elsewhere."""
    found, expected = yardstick.measured(case), WRITTEN["cases"][yardstick.name(case)]
    assert (found["ids"], found["n_parameters"]) == (expected["ids"], expected["n_parameters"])
    if HERE:
        assert found == expected
    for key in ("valid", "best_test"):
        assert close(found[key], expected[key], case[2]), key


@pytest.mark.parametrize("key", yardstick.layers())
def test_a_layer_kept_as_a_file_loads(key):
    """A pickled layer and a state_dict of then give the outputs of then."""
    pickled = pickle.loads((yardstick.FILES / f"{key}.pickle").read_bytes())
    loaded = yardstick.layers()[key]
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.fill_(0.5)
    loaded.load_state_dict(torch.load(yardstick.FILES / f"{key}.pt", weights_only=True))
    with np.load(yardstick.FILES / f"{key}.npz", allow_pickle=False) as outputs:
        for layer in (pickled, loaded):
            found = yardstick.called(layer)
            assert sorted(found) == sorted(outputs)
            for part, value in found.items():
                np.testing.assert_allclose(value.numpy(), outputs[part], rtol=1e-5, atol=1e-6)


def test_the_store_is_made_again(tmp_path):
    """The same study run today: the same ids, and where the files were made the same trials and best weights."""
    options = {"trials": 3, "epochs": 2, "block_size": 2, "keep_weights": "best"}
    lo.run(tmp_path / "store", settings(tmp_path, **options))
    then, now = Store(yardstick.FILES / "store"), Store(tmp_path / "store")
    trials = {trial["trial_id"]: trial for trial in then.trials()}
    again = {trial["trial_id"]: trial for trial in now.trials()}
    assert len(trials) == 6 and set(again) == set(trials)
    for identity, trial in trials.items():
        for key in ("best_valid", "best_test"):
            assert close([again[identity][key]], [trial[key]], "float32")
        weights, kept = ({**np.load(s.weights_folder / f"{identity}.npz", allow_pickle=False)} for s in (now, then))
        assert {key: value.shape for key, value in weights.items()} == {key: value.shape for key, value in kept.items()}
        if HERE:
            assert again[identity]["curves"]["valid"] == trial["curves"]["valid"]
            assert yardstick.digest(weights) == yardstick.digest(kept)


def test_the_store_and_its_netcdf_open_alike():
    """What was stored reads as it was consolidated then."""
    xarray.testing.assert_equal(
        lo.open_study(yardstick.FILES / "store"), lo.open_study(yardstick.FILES / "store/study.nc")
    )
