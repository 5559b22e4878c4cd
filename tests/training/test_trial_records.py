"""What a trial's record says is what its weights give, and what a store has of it is whole or not there."""

import functools
import resource
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.plan import make_plan
from lstm_odyssey.study.stored.store import Store, StoreError
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training import batches
from lstm_odyssey.training.batches import Batches, unit_noise
from lstm_odyssey.training.loop import Trial, train
from lstm_odyssey.training.members import checkpoint
from lstm_odyssey.training.members.lockstep import CompiledLockstep, Lockstep
from lstm_odyssey.training.members.population import Population
from lstm_odyssey.training.network import Network
from lstm_odyssey.training.protocol import Protocol
from lstm_odyssey.training.random_streams import stream
from tests.corpora import CORPORA
from tests.small import settings

BACKENDS = ("eager", "numba")


def trial(index=0, **drawn):
    """A trial that learns, with what is said of it otherwise."""
    hyperparameters = {"hidden_size": 7, "learning_rate": 2e-3, "momentum": 0.6, "input_noise": 0.3}
    return Trial(index, {**hyperparameters, **drawn})


def population(trials=None, name="vanilla", objective="next_frame", corpus=None, protocol=None, **options):
    """A population that has not begun."""
    given = {"seed": 5, "bidirectional": False, "backend": "eager", "dtype": torch.float64, "device": "cpu"}
    return Population(
        lo.variant(name), corpus or CORPORA[objective](), objectives.get(objective),
        [trial(0), trial(1, hidden_size=4)] if trials is None else trials, protocol or Protocol(epochs=6),
        **{**given, **options},
    )  # fmt: skip


def scores(corpus, objective, name, weights, bidirectional):
    """By split, the score of one network and its mean over sequences: each sequence by itself, no noise, no padding."""
    kind, size = objectives.get(objective), len(weights["cells.0.b.z"])
    outputs = kind.n_outputs(corpus)
    network = Network(
        lo.variant(name), corpus.input_size, [size], outputs, bidirectional, "eager", torch.float64, "cpu"
    )
    for piece, place in network._pieces(0):
        place.copy_(torch.from_numpy(weights[piece]))
    found = {}
    for split, pairs in corpus.splits.items():
        numerators, denominators = [], []
        for pair in pairs:
            batch = Batches(kind, torch.float64, "cpu").make([pair])
            with torch.no_grad():
                above, below = kind.score(network(batch.x.unsqueeze(1)), batch.target, batch.lengths)
            numerators.append(above.item())
            denominators.append(below.item())
        each = np.array(numerators) / np.array(denominators)
        found[split] = kind.scale * sum(numerators) / sum(denominators), kind.scale * each.mean()
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("objective", sorted(CORPORA))
def test_scores_are_those_of_the_weights_they_stand_beside(objective, backend):
    """Best scores are the best weights' on validation and on test, the last one the last weights', sequence by sequence."""
    options = {"backend": backend, "dtype": "float64", "seed": 5, "bidirectional": objective == "ctc"}
    trials = [trial(0, learning_rate=0.02), trial(1, hidden_size=4), trial(3, hidden_size=6, learning_rate=3.0)]
    corpus, found = CORPORA[objective](), []
    done = train(lo.variant("vanilla"), corpus, objective, trials, Protocol(epochs=6), keep_weights=True, **options)
    for member in range(len(trials)):
        record = done.record(member)
        best = scores(corpus, objective, "vanilla", done.best_member_weights(member), objective == "ctc")
        last = scores(corpus, objective, "vanilla", done.member_weights(member), objective == "ctc")
        assert record["best_valid"] == pytest.approx(best["valid"][0], rel=1e-9)
        assert record["best_test"] == pytest.approx(best["test"][0], rel=1e-9)
        assert record["best_test_per_sequence"] == pytest.approx(best["test"][1], rel=1e-9)
        assert record["final_valid"] == pytest.approx(last["valid"][0], rel=1e-9)
        found.append((record["best_epoch"], best["test"][0], best["test"][1], best["valid"][0]))
    epochs, test, per_sequence, valid = zip(*found, strict=True)
    assert len(set(epochs)) > 1, "all networks were best in one epoch"
    agree = test == pytest.approx(per_sequence, rel=1e-6)
    assert agree is objective.startswith("label"), (
        "of one label a sequence both views of the score are one, of others two"
    )
    assert test != pytest.approx(valid, rel=1e-6), "the two splits agree"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_training_loss_that_is_not_finite_is_divergence(value, backend, monkeypatch):
    """One sequence's loss that is no number ends the trial in that epoch, though every validation score is finite."""
    kind = CompiledLockstep if backend == "numba" else Lockstep
    update, calls = kind.update, []
    sequences = len(CORPORA["next_frame"]().train)

    def spoiled(self, batch):
        loss = update(self, batch)
        if self.trials[0].index == 0:
            calls.append(0)
            if len(calls) == 2 * sequences - 1:  # last but one of the second epoch
                loss = loss + (torch.tensor([value, 0.0]) if isinstance(loss, torch.Tensor) else value)
        return loss

    monkeypatch.setattr(kind, "update", spoiled)
    done = train(
        lo.variant("vanilla"), CORPORA["next_frame"](), "next_frame", [trial(0), trial(1)], Protocol(epochs=4),
        dtype="float64", backend=backend,
    )  # fmt: skip
    spoilt, sound = done.record(0), done.record(1)
    assert (spoilt["status"], spoilt["diverged_epoch"], spoilt["epochs"]) == ("diverged", 2, 2)
    assert spoilt["best_epoch"] < 2 and spoilt["final_valid"] is None
    assert spoilt["curves"]["train_loss"][-1] is None and spoilt["curves"]["valid"][-1] is None
    assert (sound["status"], sound["epochs"]) == ("ok", 4)


def test_a_score_that_is_only_as_good_is_no_improvement():
    """A network that nothing changes keeps its first epoch as its best, and is not scored on the test set again."""
    still = trial(0, learning_rate=1e-300, momentum=0.0)
    done = train(lo.variant("vanilla"), CORPORA["frames"](), "frames", [still], Protocol(epochs=3), dtype="float64")
    record = done.record(0)
    assert len(set(record["curves"]["valid"])) == 1, "the weights moved"
    assert record["best_epoch"] == 0 and record["curves"]["test"][1:] == [None] * 3


def test_epochs_end_at_the_protocols():
    """A trial that goes on improving has so many epochs of training, and one value more in its curves."""
    done = train(
        lo.variant("vanilla"), CORPORA["next_frame"](), "next_frame", [trial()], Protocol(epochs=5, patience=2)
    )
    record = done.record(0)
    assert record["best_epoch"] == record["epochs"] == 5 and len(record["curves"]["valid"]) == 6


def test_patience_counts_from_the_best_epoch():
    """A trial stops in the epoch that is its patience after its best one; its final score is its last, not its best."""
    wild = [trial(index, hidden_size=5 + index, learning_rate=0.6, input_noise=1.0) for index in range(4)]
    protocol = Protocol(epochs=60, patience=3)
    done = train(lo.variant("vanilla"), CORPORA["next_frame"](), "next_frame", wild, protocol, dtype="float64")
    for member in range(len(wild)):
        record = done.record(member)
        assert record["epochs"] == record["best_epoch"] + 3
        assert record["best_epoch"] >= 3, "nothing was learnt"
        assert record["final_valid"] == record["curves"]["valid"][-1] > record["best_valid"]


def test_a_split_of_many_batches_is_scored_whole(monkeypatch):
    """However a split is cut for scoring, every sequence counts, with its own frames."""
    counts, found = [], []
    for frames in (batches.SCORED_FRAMES, 9):
        monkeypatch.setattr(batches, "SCORED_FRAMES", frames)
        one = population()
        one.advance()
        counts.append(len(one.test))
        found.append([one.record(member) for member in range(2)])
    for name in ("best_valid", "best_test", "best_test_per_sequence"):
        whole, cut = ([record[name] for record in records] for records in found)
        assert cut == pytest.approx(whole, rel=1e-12)
    assert counts[0] == 1 and counts[1] > 2


STREAMS = {
    "noise": lambda seed, corpus, epoch: unit_noise(seed, corpus, epoch, 7, 3).numpy(),
    "order": lambda seed, corpus, epoch: stream("order", seed, corpus, epoch).permutation(50),
    "batches": lambda seed, corpus, epoch: np.concatenate([
        batch.noise.flatten().numpy()
        for batch in Batches(objectives.get("next_frame"), torch.float64, "cpu").epoch(
            CORPORA["next_frame"]().train, seed, corpus, epoch, 1
        )
    ]),
}  # fmt: skip


@pytest.mark.parametrize("what", STREAMS)
@pytest.mark.parametrize("other", [(2, "music", 1), (1, "speech", 1), (1, "music", 2)], ids=["seed", "corpus", "epoch"])
def test_order_and_noise_follow_seed_corpus_and_epoch(what, other):
    """Each of the three makes another order and other noise; the same three make the same."""
    first = STREAMS[what](1, "music", 1)
    assert np.array_equal(first, STREAMS[what](1, "music", 1))
    assert not np.array_equal(first, STREAMS[what](*other))


def test_training_follows_the_order_and_the_noise_of_its_epoch():
    """With order and noise of the seed alone at stake, another seed of the same weights trains to other weights."""

    def trained(seed, **drawn):
        one = population([trial(0, **drawn)], seed=seed)
        one.network.initialise(5, "vanilla", [0], 0.3)
        one.advance()
        before = one.network.weights.clone()
        one.advance()
        return one.network.weights - before

    for noise in (0.0, 0.5):
        assert torch.equal(trained(5, input_noise=noise), trained(5, input_noise=noise))
        assert not torch.equal(trained(5, input_noise=noise), trained(6, input_noise=noise))
    assert not torch.equal(trained(5, input_noise=0.0), trained(5, input_noise=0.5))


OTHERS = {
    "variant": {"name": "nog"},
    "corpus": {"corpus": CORPORA["next_frame"](seed=1)},
    "protocol": {"protocol": Protocol(epochs=6, patience=3)},
    "seed": {"seed": 6},
    "dtype": {"dtype": torch.float32},
    "weights": {"keep_weights": True},
    "trials": {"trials": [trial(0), trial(1, hidden_size=4, momentum=0.5)]},
    "direction": {"bidirectional": True},
    "backend": {"trials": [trial(0)]},
    "index": {"trials": [trial(0), trial(2, hidden_size=4)]},
}


@pytest.mark.parametrize("what", [*OTHERS, "processor"])
def test_a_checkpoint_is_for_its_own_population_only(what, tmp_path, monkeypatch):
    """Whatever else the numbers depend on, its checkpoint is set aside, and the population stays as it was."""
    file = tmp_path / "block.npz"
    mine = {"backend": "numba", "trials": [trial(0)]} if what == "backend" else {}
    first = population(**mine)
    first.advance()
    checkpoint.save(first, file)
    if what == "processor":
        monkeypatch.setattr(checkpoint, "environment", lambda: {"cpu": "another"})
    again = population(**mine)
    if what != "processor":
        assert checkpoint.load(again, file) and again.epoch == 0
    other = population(**OTHERS.get(what, {}))
    before = other.network.weights.clone()
    with pytest.warns(UserWarning, match="computed again"):
        assert not checkpoint.load(other, file)
    assert other.epoch == -1 and not other.curves.valid and torch.equal(other.network.weights, before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_checkpoint_keeps_the_best_weights(backend, tmp_path):
    """A population goes on from its checkpoint with the weights of an epoch that was best before, bit for bit."""
    file, protocol = tmp_path / "block.npz", Protocol(epochs=8)
    given = {"trials": [trial(3, hidden_size=6, learning_rate=3.0)], "keep_weights": True, "protocol": protocol}
    whole, again = population(backend=backend, **given), population(backend=backend, **given)
    while whole.epoch < whole.best_epoch[0] + 1 or whole.epoch < 2:
        whole.advance()
    checkpoint.save(whole, file)
    assert checkpoint.load(again, file)
    best, last = whole.best_member_weights(0), whole.member_weights(0)
    assert not np.array_equal(best["cells.0.R.z"], last["cells.0.R.z"]), "it was saved at its best"
    assert all(np.array_equal(value, best[name]) for name, value in again.best_member_weights(0).items())
    assert all(np.array_equal(value, last[name]) for name, value in again.member_weights(0).items())


@contextmanager
def full_disk(size):
    """No file that is written grows beyond so many bytes, as where a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@functools.cache
def study_content():
    """What a study of one variant holds."""
    with tempfile.TemporaryDirectory() as folder:
        return make_plan(Store(Path(folder) / "store"), settings(Path(folder), variants=["nog"])).study


def write_trial(store, mark):
    reason = f"{mark}: {'x' * 5000}"
    store.write_trial(Block(study_content(), "bach", "nog", 0).failed(0, reason))


def write_study(store, mark):
    store.write_study({**study_content(), "created": f"{mark}"})


def write_weights(store, mark):
    store.write_weights("0" * 24, {"mark": np.array(mark), "long": np.zeros(5000)})


def write_checkpoint(store, mark):
    one = population(seed=mark)
    one.advance()
    store.checkpoints_folder.mkdir(parents=True, exist_ok=True)
    checkpoint.save(one, store.checkpoints_folder / "block.npz")


WRITERS = (write_trial, write_study, write_weights, write_checkpoint)


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_disk_that_is_full_leaves_files_whole_or_absent(write, tmp_path):
    """A write that breaks off in the middle leaves no part of a file, and the file that was there as it was."""
    store = Store(tmp_path / "store")

    def content():
        return {path.name: path.read_bytes() for path in store.path.rglob("*") if path.is_file()}

    write(Store(tmp_path / "other"), 0)
    with full_disk(1000), pytest.raises((StoreError, OSError), match="File too large"):
        write(store, 1)
    assert content() == {}
    write(store, 1)
    before = content()
    assert len(before) == 1 and len(*before.values()) > 1000
    with full_disk(1000), pytest.raises((StoreError, OSError), match="File too large"):
        write(store, 2)
    assert content() == before
    write(store, 2)
    assert content().keys() == before.keys() and content() != before
