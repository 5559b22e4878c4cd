"""What a trial is booked: its own work by an injected clock, the shared work apart, whoever its neighbours are."""

import numpy as np
import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training.batches import Batches
from lstm_odyssey.training.costs import Clocks, clocks_for, shares
from lstm_odyssey.training.loop import Population, Trial, train
from lstm_odyssey.training.members import checkpoint
from lstm_odyssey.training.members.lockstep import Lockstep
from lstm_odyssey.training.protocol import Protocol
from tests.corpora import CORPORA

PROTOCOL = Protocol(epochs=3, patience=3)
SIZES = (20, 3, 7)
UPDATE, SCORING, ORDER, PROGRESS = 1000.0, 10.0, 0.5, 1e6
"""Units that pass on the clock: an update and a scoring cost their own N times these."""


class Counting:
    """A clock that stands still but for the work it is told of."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def counted(monkeypatch):
    """A clock that every update, scoring, batch and word of progress moves on by a known amount."""
    clock = Counting()

    def moved(owner, name, amount):
        work = getattr(owner, name)

        def moving(self, *args, **options):
            clock.now += amount(self)
            return work(self, *args, **options)

        monkeypatch.setattr(owner, name, moving)

    for kind in {Lockstep, *Lockstep.__subclasses__()}:
        if "update" in vars(kind):
            moved(kind, "update", lambda part: UPDATE * sum(part.network.sizes))
    moved(Lockstep, "score", lambda part: SCORING * sum(part.network.sizes))
    epoch = Batches.epoch

    def batches(self, *args):
        for batch in epoch(self, *args):
            clock.now += ORDER
            yield batch

    monkeypatch.setattr(Batches, "epoch", batches)
    clock.wall = Counting()
    return clock


def trials(sizes=SIZES):
    drawn = {"learning_rate": 1e-3, "momentum": 0.5, "input_noise": 0.1}
    return [Trial(index, {"hidden_size": size, **drawn}) for index, size in enumerate(sizes)]


def trained(clock, which, backend="numba", protocol=PROTOCOL, **options):
    def tell(_):
        clock.now += PROGRESS

    corpus = CORPORA["next_frame"]()
    clocks = Clocks(clock, lambda: 2 * clock.now, **options)
    made = train(
        lo.variant("vanilla"), corpus, "next_frame", which, protocol, backend=backend, dtype="float64", clocks=clocks,
        on_update=tell,
    )  # fmt: skip
    return made, [made.record(member) for member in range(len(which))], len(corpus.train)


def test_each_member_is_booked_exactly_its_own_work(counted):
    """Updates and scorings of each member are its own, order and noise are shared, words of progress are nobody's."""
    population, records, sequences = trained(counted, trials())
    frames = sum(len(features) for features, _ in population.corpus.train)
    for size, record in zip(SIZES, records, strict=True):
        assert record["epochs"] == 3
        training = 3 * sequences * UPDATE * size
        valid = np.array(record["curves"]["valid"])
        improved = sum(value is not None for value in record["curves"]["test"])
        scoring = SCORING * size * (len(valid) + improved)
        assert record["training_seconds"] == pytest.approx(training, rel=1e-12)
        assert record["seconds"] == pytest.approx(training + scoring, rel=1e-12)
        assert record["wall_seconds"] == pytest.approx(2 * (training + scoring), rel=1e-12)
        assert record["shared_seconds"] == pytest.approx(3 * sequences * ORDER, rel=1e-12)
        assert record["frames_per_second"] == pytest.approx(3 * frames / training, rel=1e-12)
        per_epoch = [sequences * UPDATE * size + SCORING * size * (1 + (value is not None))
                     for value in record["curves"]["test"]]  # fmt: skip
        per_epoch[0] = 2 * SCORING * size
        assert record["curves"]["epoch_seconds"] == pytest.approx(per_epoch, rel=1e-12)


def test_a_member_is_booked_the_same_alone_and_beside_others(counted):
    """Neither a wider neighbour nor one that has stopped changes what a member costs."""
    _, together, _ = trained(counted, trials())
    for member in range(len(SIZES)):
        _, (alone,), _ = trained(counted, [trials()[member]])
        for name in ("seconds", "training_seconds", "wall_seconds", "shared_seconds", "frames_per_second"):
            assert together[member][name] == pytest.approx(alone[name], rel=1e-9), name


def test_one_that_has_stopped_is_booked_nothing_and_leaves_nothing_to_others(counted):
    """Seven neighbours that stop early change no rate of the one that runs on (it was booked an eighth of its time)."""
    corpus = CORPORA["next_frame"]()
    clocks = Clocks(counted, counted.wall)
    population = Population(
        lo.variant("vanilla"), corpus, objectives.get("next_frame"), trials((20, *[200] * 7)), PROTOCOL, seed=1,
        bidirectional=False, backend="numba", dtype=torch.float64, device="cpu", clocks=clocks,
    )  # fmt: skip
    population.advance()
    population.running[1:] = False
    population.advance()
    seconds = np.array(population.curves.epoch_seconds)
    assert seconds[1, 0] >= len(corpus.train) * UPDATE * 20
    assert np.isnan(seconds[1, 1:]).all() and (population.costs.training[1:] == 0).all()
    assert population.costs.training[0] == pytest.approx(len(corpus.train) * UPDATE * 20)
    assert (population.costs.shared[1:] == 0).all() and population.costs.shared[0] > 0


def test_members_computed_together_are_booked_by_their_share_of_the_work(counted):
    """On a backend that pads, a pass is divided by parameters, among all that are computed, running or not."""
    population, records, sequences = trained(counted, trials(), backend="eager")
    counts = np.array(population.network.count(), float)
    whole = 3 * sequences * UPDATE * sum(SIZES)
    booked = np.array([record["training_seconds"] for record in records])
    np.testing.assert_allclose(booked, whole * counts / counts.sum(), rtol=1e-12)
    np.testing.assert_allclose(shares(population.network.count()).sum(), 1, rtol=1e-15)


def test_a_device_that_computes_elsewhere_is_read_once_a_pass(counted):
    """Where the clock has to wait for the device, a pass is one reading, and what is shared is not told apart."""
    _, records, sequences = trained(counted, trials((5,)), backend="eager", each=False)
    whole = 3 * sequences * (UPDATE * 5 + ORDER + PROGRESS)
    assert records[0]["training_seconds"] == pytest.approx(whole, rel=1e-12)
    assert records[0]["shared_seconds"] is None


def test_a_checkpoint_keeps_what_was_booked(counted, tmp_path):
    """A trial that goes on from a checkpoint is booked the sum of both parts."""
    kept = []

    def note(population):
        if population.epoch == 1:
            checkpoint.save(population, tmp_path / "state.npz")
            kept.append(population.record(1))

    corpus, which = CORPORA["next_frame"](), trials()
    clocks = Clocks(counted, counted.wall)
    options = {"backend": "numba", "dtype": "float64", "clocks": clocks}
    whole = train(lo.variant("vanilla"), corpus, "next_frame", which, PROTOCOL, on_epoch=note, **options).record(1)
    again = train(
        lo.variant("vanilla"),
        corpus,
        "next_frame",
        which[1:],
        PROTOCOL,
        checkpoint_file=tmp_path / "state.npz",
        **options,
    ).record(0)
    assert 0 < kept[0]["training_seconds"] < whole["training_seconds"]
    for name in ("seconds", "training_seconds", "shared_seconds"):
        assert again[name] == pytest.approx(whole[name], rel=1e-12), name


def test_by_default_a_trial_is_booked_by_the_threads_clock():
    """Time that passes while the thread sleeps is no cost; on the wall's clock it is."""
    clocks = clocks_for("cpu")
    assert clocks.each
    import time

    before = clocks.booked(), clocks.wall()
    time.sleep(0.05)
    asleep = clocks.booked() - before[0], clocks.wall() - before[1]
    assert asleep[0] < asleep[1]
