"""Start values and constants of a cell in training: members, backends and a plain loop begin alike, and constants stay."""

import numpy as np
import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends import BACKENDS
from lstm_odyssey.bench.gpu.parts.transcription import LOSSES, Transcription
from lstm_odyssey.training.batches import unit_noise
from lstm_odyssey.training.loop import Trial, train
from lstm_odyssey.training.protocol import Protocol
from lstm_odyssey.training.random_streams import stream
from tests.cells import DECLARING, LEAKING, ON_CPU, OSCILLATOR
from tests.corpora import CORPORA

NEEDED = {"hidden_size": 5, "learning_rate": 0.02, "momentum": 0.6, "input_noise": 0.3}
TRIALS = (
    Trial(0, NEEDED),
    Trial(1, {**NEEDED, "hidden_size": 3, "k.gamma": 1.25, "start.b.f": 2.0}),
    Trial(2, {**NEEDED, "k.rate": 0.75, "momentum": 0.0, "nesterov": False}),
)


def trained(cell, backend="eager", trials=TRIALS, epochs=1, **options):
    """A population on the small corpus of next frames, in float64; epoch 0 trains nothing."""
    protocol = Protocol(epochs=max(1, epochs), **options)
    corpus = CORPORA["next_frame"]()
    return train(lo.as_cell(cell), corpus, "next_frame", trials, protocol, seed=4, backend=backend, dtype="float64")


def begun(cell, trials=TRIALS, **options):
    """Each trial's weights before its training, from the network that a population makes."""
    from lstm_odyssey.tasks import objectives
    from lstm_odyssey.training.members.population import Population

    at = {"seed": 4, "bidirectional": True, "backend": "eager", "dtype": torch.float64, "device": "cpu"}
    kind = objectives.get("next_frame")
    population = Population(lo.as_cell(cell), CORPORA["next_frame"](), kind, trials, Protocol(**options), **at)
    return [population.member_weights(member) for member in range(len(trials))]


def test_every_member_begins_as_declared_and_as_if_alone():
    """The numbers are written out here a second time; chrono's T is that of the longest training sequence."""
    together = begun(LEAKING)
    longest = max(len(x) for x, _ in CORPORA["next_frame"]().train)
    for member, trial in enumerate(TRIALS):
        (alone,) = begun(LEAKING, [trial])
        N = trial.hyperparameters["hidden_size"]
        for name, value in together[member].items():
            np.testing.assert_array_equal(value, alone[name], name)
        for d in (0, 1):
            own = {name.removeprefix(f"cells.{d}."): value for name, value in alone.items()}
            drawn = np.log1p(
                stream("init", 4, "leaking", trial.index, f"cells.{d}.chrono").random((N,)) * (longest - 2)
            )
            np.testing.assert_array_equal(own["b.i"], -drawn)
            np.testing.assert_array_equal(own["b.f"], np.full(N, 2.0) if member == 1 else drawn)
            np.testing.assert_array_equal(own["R.h"], 0.5 * np.eye(N))
            np.testing.assert_allclose(own["R.f"] @ own["R.f"].T, np.eye(N), atol=1e-14)
            usual = stream("init", 4, "leaking", trial.index, f"cells.{d}.W.f").standard_normal(own["W.f"].shape) * 0.1
            np.testing.assert_array_equal(own["W.f"], usual)


def test_the_protocol_may_have_all_drawn():
    """``start = "drawn"`` is another protocol; a trial's own number still stands."""
    (first, second, _), (declared, _, _) = begun(LEAKING, start="drawn"), begun(LEAKING)
    assert first["cells.0.R.h"].any(axis=None) and not np.array_equal(first["cells.0.R.h"], declared["cells.0.R.h"])
    np.testing.assert_array_equal(first["cells.0.W.f"], declared["cells.0.W.f"])
    assert (second["cells.0.b.f"] == 2.0).all()
    assert Protocol(start="drawn").departures() == {"start": "drawn"} and "start" not in Protocol().as_dict()
    with pytest.raises(ValueError, match="protocol: start is 'none'; expected 'declared' or 'drawn'"):
        Protocol(start="none")


@pytest.mark.parametrize("name", DECLARING)
def test_all_backends_train_the_same_and_leave_constants_alone(name):
    """Equal weights after an epoch to rounding, a population bit by bit its members alone; constants are what they were."""
    populations = {backend: trained(DECLARING[name], backend) for backend in ON_CPU}
    first = populations[ON_CPU[0]]
    for backend, population in populations.items():
        for member, trial in enumerate(TRIALS):
            weights = population.member_weights(member)
            for key, value in weights.items():
                assert np.abs(value - first.member_weights(member)[key]).max() < 1e-11, (backend, key)
            for key in (key for key in weights if ".k." in key):
                constant = key.rpartition(".")[2]
                told = trial.hyperparameters.get(f"k.{constant}", OSCILLATOR.constants[constant].default)
                assert (weights[key] == told).all()
        alone = trained(DECLARING[name], backend, TRIALS[1:2])
        for key, value in alone.member_weights(0).items():
            # a wider neighbour may round otherwise there
            bound = 1e-14 if BACKENDS[backend].pads(population.cell, 3) else 0
            np.testing.assert_allclose(value, population.member_weights(1)[key], rtol=0, atol=bound)


@pytest.mark.parametrize("name", DECLARING)
@pytest.mark.parametrize("member", [1, 2])
def test_a_plain_loop_over_the_text_comes_to_the_same(name, member):
    """The transcription in plain torch, from the weights that the network begins with; neither tracer nor kernels take part."""
    cell, trial, corpus = lo.as_cell(DECLARING[name]), TRIALS[member], CORPORA["next_frame"]()
    drawn = trial.hyperparameters
    (weights,) = begun(cell, [trial])
    one_way = {key: value for key, value in weights.items() if not key.startswith(("cells.1.", "V.1"))}
    rates = {key: drawn[key] for key in ("learning_rate", "momentum", "input_noise")}
    loop = Transcription(cell, one_way, LOSSES["next_frame"], **rates, nesterov=drawn.get("nesterov", True), clip=None)
    lengths = [len(x) for x, _ in corpus.train]
    begin, frames = np.cumsum([0, *lengths]), sum(lengths)
    noise = unit_noise(4, corpus.fingerprint, 1, frames, corpus.input_size).double()
    found = trained(cell, "numba", [trial])
    total = 0.0
    for k in stream("order", 4, corpus.fingerprint, 1).permutation(len(corpus.train)):
        x, target = corpus.train[k]
        total += loop.update(torch.as_tensor(x), noise[begin[k] : begin[k + 1]], torch.as_tensor(target))
    assert found.curves.train_loss[1][0] == pytest.approx(total / frames, rel=1e-12)
    after = found.member_weights(0)
    for key, value in loop.weights.items():
        own = value.detach().numpy()
        own = own[:, 0] if own.shape[1:] == (1,) and after[key].ndim == 1 else own
        assert np.abs(own - after[key]).max() < 1e-12, key
    assert all(".k." not in key for key in loop.weights)
