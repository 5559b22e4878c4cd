"""What is scored beside the test set: of the same outputs, the same on every backend, kept with the trial."""

import dataclasses

import numpy as np
import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.tasks import objectives, views
from lstm_odyssey.training.batches import Batches
from lstm_odyssey.training.loop import train
from lstm_odyssey.training.members.lockstep import CompiledLockstep, Lockstep
from lstm_odyssey.training.network import Network
from lstm_odyssey.training.protocol import Protocol
from tests.corpora import CORPORA
from tests.training.test_trial_records import trial

SUBSETS = {"two": (3, 1), "one": (0,)}
OPTIONS = {"dtype": "float64", "seed": 5, "keep_weights": True}


def viewed(objective, **given):
    """A small corpus with two subsets and, where it has labels, a folding."""
    corpus = CORPORA[objective]()
    foldings = {"folded": {corpus.labels[0]: corpus.labels[1]}} if corpus.labels else {}
    return dataclasses.replace(corpus, **{"subsets": SUBSETS, "foldings": foldings, **given})


def by_hand(corpus, objective, weights):
    """The views of one network, computed sequence by sequence with the eager backend."""
    kind, size = objectives.get(objective), len(weights["cells.0.b.z"])
    network = Network(
        lo.variant("vanilla"), corpus.input_size, [size], kind.n_outputs(corpus), False, "eager", torch.float64, "cpu"
    )
    network.load_member_weights(0, weights)
    found = {name: [] for name in (*corpus.subsets, *corpus.foldings)}
    for index, pair in enumerate(corpus.test):
        batch = Batches(kind, torch.float64, "cpu").make([pair])
        with torch.no_grad():
            given = network(batch.x.unsqueeze(1)), batch.target, batch.lengths
            for name, folding in corpus.foldings.items():
                classes = torch.from_numpy(views.folded(corpus.labels, folding)[1])
                found[name].append([float(x) for x in kind.folded_score(*given, classes)])
            for name, indices in corpus.subsets.items():
                if index in indices:
                    found[name].append([float(x) for x in kind.score(*given)])
    return {name: kind.scale * np.sum(parts, 0)[0] / np.sum(parts, 0)[1] for name, parts in found.items()}


def trained(corpus, objective, backend):
    """Two trials on a corpus, and how often a batch went through a network."""
    kind, passes = {"eager": Lockstep, "numba": CompiledLockstep}[backend], []
    trials = [trial(0, learning_rate=0.02), trial(1, hidden_size=4)]
    with pytest.MonkeyPatch.context() as patch:
        logits = kind.logits
        patch.setattr(kind, "logits", lambda *args: passes.append(0) or logits(*args))
        given = {**OPTIONS, "backend": backend}
        return train(lo.variant("vanilla"), corpus, objective, trials, Protocol(epochs=4), **given), len(passes)


@pytest.mark.parametrize("objective", sorted(CORPORA))
def test_views_are_scores_of_the_best_weights(objective):
    """On either backend each view is that of the best weights; no batch goes twice through a net; scores stay what they are."""
    corpus, found = viewed(objective), {}
    for backend in ("eager", "numba"):
        done, passes = trained(corpus, objective, backend)
        bare, bare_passes = trained(CORPORA[objective](), objective, backend)
        assert passes == bare_passes
        found[backend] = [done.record(member) for member in range(2)]
        for member, record in enumerate(found[backend]):
            assert list(record["views"]) == list(done.views.names) == [*corpus.subsets, *corpus.foldings]
            expected = by_hand(corpus, objective, done.best_member_weights(member))
            scored = [value is not None for value in record["curves"]["test"]]
            for name, view in record["views"].items():
                assert view["best_test"] == pytest.approx(expected[name], rel=1e-9)
                assert view["test"][record["best_epoch"]] == view["best_test"]
                assert [value is not None for value in view["test"]] == scored
            plain = bare.record(member)
            assert "views" not in plain and record["curves"]["test"] == plain["curves"]["test"]
    for one, other in zip(found["eager"], found["numba"], strict=True):
        for name, view in one["views"].items():
            assert view["best_test"] == pytest.approx(other["views"][name]["best_test"], rel=1e-9)


def test_a_resumed_training_has_the_views_of_one_that_did_not_stop(tmp_path):
    """Views and their curves come out of a checkpoint bit for bit, with half of the members too; other views do not fit."""
    corpus, trials = viewed("frames"), [trial(0), trial(1, hidden_size=4)]
    options = {**OPTIONS, "backend": "numba"}

    class StopError(Exception):
        pass

    def stop(population):
        if population.epoch == 6:
            raise StopError

    def go(corpus, trials, file=None, **more):
        given = {**options, "checkpoint_file": file, **more}
        return train(lo.variant("vanilla"), corpus, "frames", trials, Protocol(epochs=8), **given)

    whole = go(corpus, trials)
    with pytest.raises(StopError):
        go(corpus, trials, tmp_path / "c.npz", on_epoch=stop)
    again = go(corpus, trials[1:], tmp_path / "c.npz")
    assert again.record(0)["views"] == whole.record(1)["views"]
    with pytest.warns(UserWarning, match="belongs to another population"):
        other = go(viewed("frames", subsets={"two": (1, 2)}), trials, tmp_path / "c.npz")
    assert list(other.record(0)["views"]) == ["two", "folded"]
