"""The stored networks: what ``lo.load_network`` returns is the trial's network of its best epoch."""

import shutil

import numpy as np
import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.plugins import registry
from lstm_odyssey.study.stored.store import Store, StoreError
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training.batches import Batches
from tests import yardstick
from tests.small import settings


@pytest.fixture
def store(tmp_path):
    """A copy of a store with two variants, three trials each and their weights."""
    return Store(shutil.copytree(yardstick.FILES / "store", tmp_path / "store"))


def scored(network, corpus):
    """The score of a network on a corpus' test sequences."""
    objective = objectives.get("next_frame")
    above, below = [], []
    with torch.no_grad():
        for batch in Batches(objective, torch.float32, "cpu").scored(corpus.test):
            logits = network(batch.x, batch.lengths)
            numerator, denominator = objective.score(logits.unsqueeze(1), batch.target, batch.lengths)
            above.append(numerator)
            below.append(denominator)
    return float(objective.reduce(torch.cat(above, -1), torch.cat(below, -1)))


@pytest.mark.parametrize("variant", ["vanilla", "nog"])
def test_a_loaded_network_scores_what_its_trial_scored(store, tmp_path, variant):
    """Each trial's network, on the corpus it was trained for; by default it is the best by validation."""
    corpus = registry.load_corpus("bach", settings(tmp_path).data["bach"])
    rows = lo.open_study(store.path).sel(task="bach", variant=variant)
    scores = []
    for trial in range(3):
        network = lo.load_network(store.path, "bach", variant, trial)
        record = rows.sel(trial=trial)
        assert network.trial == trial and not network.training
        assert network.hyperparameters["hidden_size"] == record["hidden_size"]
        scores.append(scored(network, corpus))
        assert scores[-1] == pytest.approx(float(record["best_test"]), rel=1e-5)
    assert len(set(scores)) == 3
    assert lo.load_network(store.path, variant=variant).trial == int(np.argmin(rows["best_valid"].values))


def test_a_loaded_network_is_a_module(store):
    """Its weights are parameters that can be trained on, its states are those of lo.RNN, its logits have no member's axis."""
    network = lo.load_network(store.path, variant="vanilla")
    x = torch.randn(7, 3, 88)
    logits = network(x, torch.tensor([7, 4, 1]))
    assert logits.shape == (7, 3, 88)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    torch.testing.assert_close(network(x)[:4, 1], logits[:4, 1])


def test_what_is_not_there_is_told(store):
    """A name the study does not hold, a trial without weights, a study without any, a damaged file: one sentence each."""
    with pytest.raises(StoreError, match=r"variant is None; expected one of nog, vanilla"):
        lo.load_network(store.path)
    with pytest.raises(StoreError, match="variant is 'cifg'; expected one of nog, vanilla"):
        lo.load_network(store.path, variant="cifg")
    with pytest.raises(StoreError, match="no weights of nog on bach, trial 7; .* --keep-weights best"):
        lo.load_network(store.path, variant="nog", trial=7)
    identity = lo.open_study(store.path).sel(task="bach", variant="nog", trial=1)["trial_id"].item()
    path = store.weights_folder / f"{identity}.npz"
    weights = dict(np.load(path, allow_pickle=False))
    np.savez(path, **{name: value for name, value in weights.items() if name != "a"})
    with pytest.raises(StoreError, match=r"damaged, or of another cell \(weights: got .*; expected exactly"):
        lo.load_network(store.path, variant="nog", trial=1)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(StoreError, match="damaged, or of another cell"):
        lo.load_network(store.path, variant="nog", trial=1)
    for each in store.weights_folder.glob("*.npz"):
        each.unlink()
    with pytest.raises(StoreError, match="no weights of nog on bach; expected those of a finished trial"):
        lo.load_network(store.path, variant="nog")
