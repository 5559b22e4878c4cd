"""The population trainer: the protocol against a plain loop, trials independent of each other, resumption bit for bit."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends.numba.training_step import TrainingStep
from lstm_odyssey.cell import Cell
from lstm_odyssey.reports.contract.variables import MEASURED
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training.batches import Batches
from lstm_odyssey.training.loop import Population, Trial, train
from lstm_odyssey.training.members import checkpoint
from lstm_odyssey.training.network import Network
from lstm_odyssey.training.protocol import Protocol
from tests.corpora import CORPORA
from tests.training.plain_loop import follows_torch

PROTOCOL = Protocol(epochs=3)


def settings(hidden_size=7, learning_rate=1e-3, momentum=0.9, input_noise=0.3):
    return {
        "hidden_size": hidden_size,
        "learning_rate": learning_rate,
        "momentum": momentum,
        "input_noise": input_noise,
    }


def eight():
    """Eight different trials at rates whose loss falls."""
    generator = np.random.default_rng(3)
    sizes = [7, 3, 17, 1, 12, 5, 8, 2]
    return [
        Trial(10 + k, settings(size, float(generator.uniform(1e-4, 2e-3)), float(generator.uniform(0, 0.95)), 0.1 * k))
        for k, size in enumerate(sizes)
    ]


def run(trials, name="vanilla", objective="next_frame", protocol=PROTOCOL, **options):
    options = {"dtype": "float64", "seed": 5, **options}
    return train(lo.variant(name), CORPORA[objective](), objective, trials, protocol, **options)


def results(population):
    """All records without times."""
    found = []
    for member in range(len(population.trials)):
        record = population.record(member)
        for name in set(MEASURED) & set(record):
            del record[name]
        del record["curves"]["epoch_seconds"]
        found.append(record)
    return found


def numbers(record):
    """A record's curves and scores as one vector."""
    curves = [value for curve in record["curves"].values() for value in curve]
    return np.array([record["best_valid"], record["best_test"], *curves], dtype=float)


@pytest.mark.parametrize("momentum", ["nesterov", "classical"])
def test_an_epoch_equals_a_plain_loop_over_torch_nn_lstm(momentum):
    """Weights after two epochs equal those of torch.nn.LSTM + Linear under the protocol written out, in float64."""
    protocol = Protocol(epochs=2, momentum=momentum)
    population = run([Trial(2, settings())], "no_peepholes", protocol=protocol)
    follows_torch(population, 0, protocol)


@pytest.mark.parametrize("objective", list(CORPORA))
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_trial_alone_and_in_a_population_of_eight_give_the_same_curve(objective, bidirectional):
    """Curves of a trial alone equal those beside seven others of other sizes to 1e-9, for every objective."""
    together = results(run(eight(), objective=objective, bidirectional=bidirectional))
    for member in (0, 3, 6):
        (alone,) = results(run([eight()[member]], objective=objective, bidirectional=bidirectional))
        assert alone["n_parameters"] == together[member]["n_parameters"]
        np.testing.assert_allclose(numbers(alone), numbers(together[member]), rtol=1e-9, atol=0)
    losses = np.array([record["curves"]["train_loss"][1:] for record in together], dtype=float)
    assert (losses[:, -1] < losses[:, 0]).mean() > 0.5, "the settings are meant to learn"


@pytest.mark.parametrize("name", lo.variant_names())
def test_every_variant_trains_alike_alone_and_together(name):
    """The same for every variant, on one objective."""
    together = results(run(eight()[:3], name))
    (alone,) = results(run([eight()[1]], name))
    np.testing.assert_allclose(numbers(alone), numbers(together[1]), rtol=1e-9, atol=0)


def test_the_same_block_runs_bitwise_the_same():
    """Two runs of one block agree in every bit."""
    assert results(run(eight())) == results(run(eight()))


def test_masked_members_and_ghosts_change_nothing():
    """That a neighbour has stopped, diverged or is a ghost leaves a trial's bits alone."""
    wild = [Trial(10, settings(5, 1e6)), *eight()[1:]]
    calm = [dataclasses.replace(trial, ghost=True) if k > 2 else trial for k, trial in enumerate(wild)]
    assert results(run(wild))[1] == results(run(calm))[1]


class Stop(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("stop", [1, 4, 5, 6, 11])
def test_resuming_from_a_checkpoint_is_bitwise_not_having_stopped(stop, tmp_path, monkeypatch):
    """Killed after any epoch and started again, a population ends with the same bits."""
    monkeypatch.setattr("lstm_odyssey.training.loop.CHECKPOINT_EPOCHS", 2)
    protocol = Protocol(epochs=12, patience=20)
    whole = run(eight(), protocol=protocol, keep_weights=True)

    def kill(population):
        if population.epoch == stop:
            raise Stop

    file = tmp_path / "block.npz"
    with pytest.raises(Stop):
        run(eight(), protocol=protocol, keep_weights=True, checkpoint_file=file, on_epoch=kill)
    seen = []
    again = run(
        eight(),
        protocol=protocol,
        keep_weights=True,
        checkpoint_file=file,
        on_epoch=lambda population: seen.append(population.epoch),
    )
    assert results(again) == results(whole)
    assert torch.equal(again.parts[0].best_weights, whole.parts[0].best_weights)
    assert seen[0] <= stop + 1


def test_a_checkpoint_is_really_used(tmp_path, monkeypatch):
    """After a kill in epoch 7 with a checkpoint every two epochs, no epoch before 6 is run again."""
    monkeypatch.setattr("lstm_odyssey.training.loop.CHECKPOINT_EPOCHS", 2)
    protocol = Protocol(epochs=9)
    file = tmp_path / "block.npz"

    def kill(population):
        if population.epoch == 7:
            raise Stop

    with pytest.raises(Stop):
        run(eight()[:2], protocol=protocol, checkpoint_file=file, on_epoch=kill)
    seen = []
    run(eight()[:2], protocol=protocol, checkpoint_file=file, on_epoch=lambda p: seen.append(p.epoch))
    assert seen[0] in (6, 7, 8) and seen[-1] == 9


@pytest.mark.parametrize("damage", ["truncated", "foreign", "other"])
def test_a_checkpoint_that_cannot_be_used_is_set_aside_with_a_warning(damage, tmp_path):
    """A damaged, foreign or other population's checkpoint costs its epochs and no result."""
    file = tmp_path / "block.npz"
    population = run(eight()[:2])
    checkpoint.save(population, file)
    trials = eight()[:2]
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-50])
    elif damage == "foreign":
        np.savez(file, identity=np.array("x"))
    else:
        trials = eight()[2:4]
    with pytest.warns(UserWarning, match="computed again"):
        again = run(trials, checkpoint_file=file)
    assert results(again) == results(run(trials))


@pytest.mark.parametrize("change", ["objective", "direction", "name"])
def test_a_checkpoint_of_another_training_is_set_aside(change, tmp_path):
    """The objective, the direction and the variant's name enter a checkpoint's identity, however alike the arrays are."""

    class Other(type(objectives.get("next_frame"))):
        name = "other"

    def population(changed):
        cell = lo.variant("vanilla")
        if changed and change == "name":
            cell = Cell(cell.variant, "another")
        objective = Other() if changed and change == "objective" else objectives.get("next_frame")
        made = Population(
            cell,
            CORPORA["next_frame"](),
            objective,
            eight()[:2],
            PROTOCOL,
            seed=5,
            bidirectional=changed and change == "direction",
            backend="eager",
            dtype=torch.float64,
            device="cpu",
        )
        made.advance()
        return made

    file = tmp_path / "block.npz"
    checkpoint.save(population(False), file)
    assert checkpoint.load(population(False), file)
    with pytest.warns(UserWarning, match="belongs to another population"):
        assert not checkpoint.load(population(True), file)


def test_a_checkpoint_that_cannot_be_written_stops_no_training(tmp_path, monkeypatch):
    """On a full disk training goes on, with a warning, and ends the same."""
    monkeypatch.setattr("lstm_odyssey.training.loop.CHECKPOINT_EPOCHS", 2)

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "replacing", full)
    with pytest.warns(UserWarning, match="not written .*No space left on device.*; training goes on"):
        again = run(eight()[:2], checkpoint_file=tmp_path / "block.npz")
    assert results(again) == results(run(eight()[:2]))


def test_a_checkpoint_with_pickled_content_is_not_opened(tmp_path):
    """An .npz that holds an object array, which could run code, is set aside."""
    file = tmp_path / "block.npz"
    np.savez(file, identity=np.array([print], dtype=object))
    with pytest.warns(UserWarning, match="allow_pickle"):
        run(eight()[:1], checkpoint_file=file)


def test_a_loss_that_is_not_finite_ends_a_trial_as_diverged():
    """Divergence is a status with its epoch; the best scores before it stand, and the neighbours go on."""
    trials = [Trial(0, settings(5, 1e306, 0.0)), Trial(1, settings(5, 1e-3))]
    wild, calm = results(run(trials, "noaf"))
    assert wild["status"] == "diverged" and "not finite" in wild["reason"]
    assert wild["diverged_epoch"] >= 1 and wild["best_epoch"] < wild["diverged_epoch"]
    assert np.isfinite([wild["best_valid"], wild["best_test"]]).all()
    assert wild["final_valid"] is None and wild["curves"]["valid"][-1] is None
    assert wild["epochs"] == wild["diverged_epoch"]
    assert calm["status"] == "ok" and calm["diverged_epoch"] is None and calm["epochs"] == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backend", ["eager", "numba"])
@pytest.mark.parametrize("objective", sorted(CORPORA))
def test_weights_that_are_nan_make_a_diverged_trial(objective, backend, dtype):
    """A network of NaN is diverged at epoch 0 and has no best epoch; its neighbour goes on."""
    corpus = CORPORA[objective]()
    population = Population(
        lo.variant("vanilla"), corpus, objectives.get(objective), eight()[:2], PROTOCOL, seed=1,
        bidirectional=objective != "next_frame", backend=backend, dtype=dtype, device="cpu",
    )  # fmt: skip
    population.network.weights[0] = float("nan")
    population.advance()
    record = population.record(0)
    assert (record["status"], record["diverged_epoch"], record["best_epoch"]) == ("diverged", 0, None)
    assert record["best_valid"] is None and population.record(1)["status"] == "ok"


def test_patience_stops_a_trial_that_does_not_improve():
    """With a rate of almost 0 nothing improves beyond rounding, and the trial stops after its patience."""
    protocol = Protocol(epochs=30, patience=3)
    trials = [Trial(0, settings(5, 1e-30)), Trial(1, settings(5, 1e-3))]
    stuck, learner = results(run(trials, protocol=protocol))
    assert stuck["best_epoch"] == 0 and stuck["epochs"] == 3 and len(stuck["curves"]["valid"]) == 4
    assert learner["epochs"] > 3


def test_the_test_set_is_scored_when_validation_improves_and_only_then():
    """The test curve has numbers exactly where validation reached a new minimum; epoch 0 counts."""
    wild, kept = Trial(3, settings(6, 3.0)), []  # whose validation does not fall every time
    for record in results(run([*eight(), wild], protocol=Protocol(epochs=8))):
        valid = np.array(record["curves"]["valid"], dtype=float)
        improves = valid < np.minimum.accumulate(np.concatenate([[np.inf], valid[:-1]]))
        scored = np.isfinite(np.array(record["curves"]["test"], dtype=float))
        assert scored[0] and (scored == improves).all()
        assert record["best_epoch"] == int(np.argmin(valid))
        assert record["best_test"] == record["curves"]["test"][record["best_epoch"]]
        kept.append(improves[1:].mean())
    assert 0 < min(kept) < max(kept), "validation improved in every epoch of every trial, or in none"


def test_order_and_noise_are_reshuffled_every_epoch_and_common_to_trials():
    """Order and unit noise depend on seed, corpus and epoch alone."""
    corpus = CORPORA["next_frame"]()
    batches = Batches(objectives.get("next_frame"), torch.float64, "cpu")

    def epoch(seed, number):
        return [(batch.x, batch.noise) for batch in batches.epoch(corpus.train, seed, corpus.fingerprint, number, 1)]

    first, same, other = epoch(1, 1), epoch(1, 1), epoch(1, 2)
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(first, same, strict=True))
    assert [len(x) for x, _ in first] != [len(x) for x, _ in other]
    assert sorted(len(x) for x, _ in first) == sorted(len(x) for x, _ in corpus.train)
    unit = torch.cat([noise.flatten() for _, noise in first])
    assert abs(float(unit.std()) - 1) < 0.15 and abs(float(unit.mean())) < 0.15


def test_updates_by_batches_equal_the_sum_of_their_gradients():
    """A batch of all sequences makes one update an epoch, by the sum over sequences: twice the corpus, twice the step."""
    protocol = Protocol(epochs=1, batch=6)
    population = run([Trial(0, settings(5, 1e-3, 0.0, 0.0))], protocol=protocol)
    start = run([Trial(0, settings(5, 1e-30, 0.0, 0.0))], protocol=protocol).network.weights
    corpus = CORPORA["next_frame"]()
    objective = objectives.get("next_frame")
    total = torch.zeros_like(start)
    network = population.network
    network.weights.copy_(start)
    for pair in corpus.train:
        batch = Batches(objective, torch.float64, "cpu").make([pair])
        logits = network(batch.x.unsqueeze(1))
        _, gradient = objective.loss_and_gradient(logits.detach(), batch.target, batch.lengths)
        total += network.backward(logits, gradient)
    after = run([Trial(0, settings(5, 1e-3, 0.0, 0.0))], protocol=protocol).network.weights
    assert (after - (start - 1e-3 * total)).abs().max() < 1e-12
    assert (after - start).abs().max() > 1e-4


def test_training_restores_the_number_of_threads():
    """Training computes with one thread and gives the others back."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        inside = []
        run(eight()[:1], on_epoch=lambda population: inside.append(torch.get_num_threads()))
        assert set(inside) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_initial_weights_depend_on_seed_variant_and_index_alone():
    """A trial starts from the same weights whatever its neighbours, and from others with another index or seed."""

    def start(trials, **options):
        return run(trials, protocol=Protocol(epochs=1), **options)

    trials = [Trial(k, settings(size, 1e-30, 0.0, 0.0)) for k, size in enumerate((4, 9, 4))]
    first = start(trials).network.member_weights(0)
    alone = start(trials[:1]).network.member_weights(0)
    assert all(np.array_equal(first[name], alone[name]) for name in first)
    other = start(trials).network.member_weights(2)
    assert not np.array_equal(first["cells.0.R.z"], other["cells.0.R.z"])
    seeded = start(trials, seed=6).network.member_weights(0)
    assert not np.array_equal(first["cells.0.R.z"], seeded["cells.0.R.z"])
    named = run(trials, "no_peepholes", protocol=Protocol(epochs=1)).network.member_weights(0)
    assert not np.array_equal(first["cells.0.R.z"], named["cells.0.R.z"])
    pooled = np.concatenate([value.ravel() for value in first.values()])
    assert abs(pooled.std() - 0.1) < 0.02


@pytest.mark.parametrize(
    ("field", "value"), [("epochs", 0), ("patience", 0), ("batch", 1.5), ("initial_std", 0), ("momentum", "heavy")]
)
def test_a_protocol_outside_its_range_is_refused(field, value):
    """Each field of the protocol says what it expects."""
    with pytest.raises(ValueError, match=f"{field} is .*; expected"):
        Protocol(**{field: value})


def test_an_option_at_its_default_does_not_enter_ids():
    """Only departures from the default are hashed, so that a new option leaves old ids alone."""
    assert Protocol().departures() == {}
    assert Protocol(epochs=3, batch=1).departures() == {"epochs": 3}
    assert Protocol.from_dict(Protocol(epochs=3).as_dict()) == Protocol(epochs=3)
    with pytest.raises(ValueError, match="unknown option 'warmup'"):
        Protocol.from_dict({"warmup": 1})


@pytest.fixture(scope="module")
def together():
    """Eight trials on the compiled backend, a dozen epochs, float32; one of them stops early, one diverges."""
    return compiled(wild_eight())


SHORT = Protocol(epochs=12, patience=4)


def wild_eight():
    """As ``eight``, but one member diverges at once and one never improves."""
    trials = eight()
    trials[2] = Trial(12, settings(17, 3e38, 0.0))
    trials[5] = Trial(15, settings(5, 1e-30))
    return trials


def compiled(trials, name="vanilla", protocol=SHORT, **options):
    options = {"backend": "numba", "dtype": "float32", **options}
    return run(trials, name, protocol=protocol, keep_weights=True, **options)


def weights(population, member):
    """A member's last and best weights."""
    return [
        *population.member_weights(member).values(),
        *population.best_member_weights(member).values(),
    ]


def same_weights(one, other):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


def test_compiled_a_trial_alone_has_the_bits_it_has_among_eight(together):
    """Records and weights are the same bit by bit, alone and beside seven of other sizes that diverge or stop."""
    records = results(together)
    assert {record["status"] for record in records} == {"ok", "diverged"}
    assert len({record["epochs"] for record in records}) >= 3
    for member, trial in enumerate(wild_eight()):
        alone = compiled([trial])
        assert results(alone) == [records[member]]
        assert same_weights(weights(alone, 0), weights(together, member))


@pytest.mark.parametrize("objective", list(CORPORA))
@pytest.mark.parametrize("bidirectional", [False, True])
def test_compiled_alone_and_together_for_every_objective(objective, bidirectional):
    """The same for every objective, in batches of several sequences too, and near the numbers of the eager backend."""
    protocol = Protocol(epochs=3, batch=1 + bidirectional)
    options = {"objective": objective, "bidirectional": bidirectional, "protocol": protocol}
    many = results(compiled(eight(), **options))
    assert results(compiled(eight()[5:2:-1], **options)) == many[5:2:-1]
    double = results(compiled(eight()[:3], dtype="float64", **options))
    eager = results(run(eight()[:3], dtype="float64", **options))
    for one, other in zip(double, eager, strict=True):
        np.testing.assert_allclose(numbers(one), numbers(other), rtol=1e-9, atol=0)


def test_compiled_resuming_with_half_of_the_trials_missing_changes_no_bit(together, tmp_path, monkeypatch):
    """Killed with eight trials and started again with those four that are not stored: their bits, from the checkpoint."""
    monkeypatch.setattr("lstm_odyssey.training.loop.CHECKPOINT_EPOCHS", 2)

    def kill(population):
        if population.epoch == 3:
            raise Stop

    file = tmp_path / "block.npz"
    with pytest.raises(Stop):
        compiled(wild_eight(), checkpoint_file=file, on_epoch=kill)
    half, seen = [7, 0, 5, 3], []
    again = compiled(
        [wild_eight()[member] for member in half],
        checkpoint_file=file,
        on_epoch=lambda population: seen.append(population.epoch),
    )
    assert seen[0] == 4, "the checkpoint was not used"
    records = results(together)
    assert results(again) == [records[member] for member in half]
    for place, member in enumerate(half):
        assert same_weights(weights(again, place), weights(together, member))


def test_compiled_a_member_that_has_stopped_is_not_computed(monkeypatch):
    """After its patience a member costs nothing, and its weights stay as they are."""
    trials = [Trial(0, settings(5, 1e-30)), Trial(1, settings(6, 1e-3))]
    calls = []
    call, logits = TrainingStep.__call__, TrainingStep.logits

    def counted(function):
        def count(self, *args):
            calls.append(self.network.sizes)
            return function(self, *args)

        return count

    monkeypatch.setattr(TrainingStep, "__call__", counted(call))
    monkeypatch.setattr(TrainingStep, "logits", counted(logits))
    stuck, learner = (
        compiled(trials, protocol=Protocol(epochs=9, patience=2)),
        compiled(trials[1:], protocol=Protocol(epochs=9)),
    )
    assert results(stuck)[0]["epochs"] == 2 and results(stuck)[1]["epochs"] == 9
    assert results(stuck)[1] == results(learner)[0]
    assert 0 < calls.count((5,)) < calls.count((6,)) / 3


@pytest.mark.parametrize("how", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_copied_network_is_one_buffer_again(how):
    """A copy has the numbers of the first; what is written into its buffer its parameters see, and the first does not."""
    network = Network(lo.variant("cifg"), 3, [4, 2], 5, False, "eager", torch.float64, "cpu")
    network.initialise(1, "cifg", [0, 1], 0.5)
    other = how(network)
    assert torch.equal(other.weights, network.weights) and other.weights.abs().sum() > 0
    other.weights.add_(1.0)
    assert all(torch.equal(a, b + 1) for a, b in zip(other.parameters(), network.parameters(), strict=True))
