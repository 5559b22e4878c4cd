"""Hyperparameters beyond the four: each trial has its own, in every backend, as torch's own layers have it."""

import numpy as np
import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends import BACKENDS
from lstm_odyssey.training import hyperparameters
from lstm_odyssey.training.loop import Trial, train
from lstm_odyssey.training.protocol import Protocol
from tests.cells import ON_CPU
from tests.corpora import CORPORA
from tests.training.plain_loop import follows_torch

PROTOCOL = Protocol(epochs=2)
NEEDED = {"hidden_size": 7, "learning_rate": 2e-3, "momentum": 0.8, "input_noise": 0.3}
FOUR = [
    {"nesterov": True, "clip_gradient": True},
    {"nesterov": False, "clip_gradient": False, "initial_std": 0.4, "hidden_size": 5},
    {"nesterov": False, "clip_gradient": True, "start.b.f": 1.5, "start.b.o": -0.5, "hidden_size": 9},
    {"initial_std": 0.02, "start.b.f": 0.0},
]


def trained(each, backend, name="no_peepholes", protocol=PROTOCOL, **options):
    trials = [Trial(2 + place, {**NEEDED, **more}) for place, more in enumerate(each)]
    corpus = CORPORA["next_frame"]()
    return train(
        lo.variant(name), corpus, "next_frame", trials, protocol, backend=backend, dtype="float64", seed=5, **options
    )


@pytest.mark.parametrize("backend", ON_CPU)
def test_each_trial_is_trained_as_its_own_hyperparameters_say(backend):
    """Four trials with other momentum, clipping, spread and start in one population, each as torch's own layers do it."""
    population = trained(FOUR, backend)
    for member in range(len(FOUR)):
        follows_torch(population, member, PROTOCOL)


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("momentum", ["nesterov", "classical"])
def test_what_a_trial_does_not_say_is_the_protocols(backend, momentum):
    """A hyperparameter that is given as the protocol has it changes no bit; one that is given otherwise does."""
    protocol = Protocol(epochs=2, momentum=momentum)
    said = {"nesterov": momentum == "nesterov", "clip_gradient": False, "initial_std": 0.1}
    plain = trained([{}], backend, protocol=protocol).member_weights(0)
    same = trained([said], backend, protocol=protocol).member_weights(0)
    other = {
        "nesterov": not said["nesterov"], "clip_gradient": True, "initial_std": 0.11, "start.b.f": 1.0
    }  # fmt: skip
    for name, value in plain.items():
        np.testing.assert_array_equal(value, same[name])
    for name, value in other.items():
        changed = trained([{**said, name: value}], backend, protocol=protocol).member_weights(0)
        assert any((changed[each] != plain[each]).any() for each in plain), f"{name} has no effect"


@pytest.mark.parametrize("backend", ON_CPU)
@pytest.mark.parametrize("size", [3, 17])
def test_a_gradient_that_is_no_number_is_not_clipped_to_one(backend, size):
    """NaN stays NaN, infinity becomes the bound: a trial that has diverged is not hidden by clipping."""
    from lstm_odyssey.tasks import objectives
    from lstm_odyssey.training.batches import Batches
    from lstm_odyssey.training.members.lockstep import training_steps
    from lstm_odyssey.training.network import Network

    corpus, kind = CORPORA["next_frame"](), objectives.get("next_frame")
    trial = Trial(0, {**NEEDED, "hidden_size": size, "clip_gradient": True})
    outputs = kind.n_outputs(corpus)
    network = Network(lo.variant("vanilla"), corpus.input_size, [size], outputs, False, backend, torch.float64, "cpu")
    network.initialise(5, "vanilla", [0], 0.6)
    part = training_steps(BACKENDS[backend], "cpu", torch.float64)(network, [trial], kind, PROTOCOL, False)
    batch = next(Batches(kind, torch.float64, "cpu").epoch(corpus.train, 1, corpus.fingerprint, 1, 1))
    part.update(batch)
    scale = (1 - trial.hyperparameters["momentum"]) * trial.hyperparameters["learning_rate"]
    largest = part.velocity.abs().max()
    assert largest == pytest.approx(scale * hyperparameters.CLIP), "nothing was clipped"
    network.a.data.fill_(float("nan"))
    part.update(batch)
    assert network.weights.isnan().any()


def test_a_start_holds_in_every_direction_and_leaves_other_draws_alone():
    """Bias and peepholes begin with the number given, in both directions; every other weight is drawn as without."""
    told = {"start.b.f": 2.0, "start.p.o": -1.0}
    at_once = {"protocol": Protocol(epochs=1, patience=1), "bidirectional": True}
    from lstm_odyssey.training.network import Network

    makes = []
    for starts in ({}, told):
        network = Network(lo.variant("vanilla"), 3, [5, 4], 2, at_once["bidirectional"], "eager", torch.float64, "cpu")
        network.initialise(1, "vanilla", [0, 1], [0.1, 0.2], [{}, hyperparameters.starts(starts)])
        makes.append([network.member_weights(member) for member in (0, 1)])
    drawn, begun = makes
    for name, value in drawn[0].items():
        np.testing.assert_array_equal(value, begun[0][name])
    for name, value in drawn[1].items():
        parameter = name.split(".", 2)[-1]
        expected = {"b.f": 2.0, "p.o": -1.0}.get(parameter) if name.startswith("cells.") else None
        np.testing.assert_array_equal(begun[1][name], value if expected is None else np.full(4, expected))


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("nesterov", True, True), ("nesterov", 1, False), ("clip_gradient", 0.0, False), ("initial_std", 0, False),
        ("initial_std", 0.3, True), ("start.b.f", -3, True), ("start.b.f", float("inf"), False), ("momentum", False, False),
        ("hidden_size", 4.5, False), ("hidden_size", 4.0, True),
    ],
)  # fmt: skip
def test_what_a_training_takes(name, value, takes):
    """Truth values only where a truth value is meant, numbers only where a number is."""
    assert hyperparameters.trainable(name).takes(value) is takes


def test_names_that_no_training_reads():
    """Another name is none, nor is the beginning of ``start.`` alone."""
    assert [hyperparameters.trainable(name) for name in ("nesterof", "start.", "start", "")] == [None] * 4
    assert "one of nesterov" in hyperparameters.missing([*hyperparameters.HYPERPARAMETERS, "nesterof"])
    assert not hyperparameters.missing([*hyperparameters.HYPERPARAMETERS, "start.b.f"])
    parameters = lo.variant("vanilla").parameters
    assert not hyperparameters.unfit_starts(["momentum", "start.p.i"], parameters)
    assert "R.z is a matrix" in hyperparameters.unfit_starts(["start.R.z"], parameters)
    assert "expected one of b.f" in hyperparameters.unfit_starts(["start.b.ff"], parameters)
