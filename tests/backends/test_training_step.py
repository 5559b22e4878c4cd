"""The compiled training step: the update of autograd to rounding, without autograd; losses, memory."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import lstm_odyssey as lo
from lstm_odyssey.backends import BACKENDS
from lstm_odyssey.backends.numba.loss import LossAlone
from lstm_odyssey.backends.numba.source import training
from lstm_odyssey.backends.numba.source.losses import LOSSES
from lstm_odyssey.backends.numba.training_step import TrainingStep, Workspace
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training.batches import Batches
from lstm_odyssey.training.members.lockstep import CompiledLockstep, Lockstep, Trial, training_steps
from lstm_odyssey.training.network import Network
from lstm_odyssey.training.protocol import Protocol
from tests.cells import ODD
from tests.conftest import ROOT
from tests.corpora import CORPORA

DRAWN = {"hidden_size": 17, "learning_rate": 0.02, "momentum": 0.6, "input_noise": 0.4}
KERNELS = [name for name in objectives.NAMES if name in LOSSES]
OF_FRAMES = [name for name in KERNELS if LOSSES[name].memory is None]
"""Losses that are sums over frames; CTC's is no such sum and has tests of its own, ``test_ctc``."""


def part(cell, objective, backend, dtype=torch.float64, *, bidirectional=False, batch=1, momentum="nesterov", **drawn):
    """A network in training on the small corpus of an objective, its weights of order 1, and the batches of an epoch."""
    corpus, kind = CORPORA[objective](), objectives.get(objective)
    trial = Trial(3, {**DRAWN, **drawn})
    sizes, outputs = [trial.hyperparameters["hidden_size"]], kind.n_outputs(corpus)
    network = Network(lo.as_cell(cell), corpus.input_size, sizes, outputs, bidirectional, backend, dtype, "cpu")
    network.initialise(5, network.rnn.cell.name, [trial.index], 0.6)
    protocol = Protocol(batch=batch, momentum=momentum)
    batches = Batches(kind, dtype, "cpu").epoch(corpus.train, 1, corpus.fingerprint, 1, batch)
    return training_steps(BACKENDS[backend], "cpu", dtype)(network, [trial], kind, protocol, False), list(batches)


def close(one, other, bound=1e-11):
    """Weights and velocities agree, in parts of the greatest entry."""
    for name in ("weights", "velocity"):
        a, b = (value.network.weights if name == "weights" else value.velocity for value in (one, other))
        assert (a - b).abs().max() <= bound * b.abs().max(), name
        assert b.abs().max() > 0


@pytest.mark.parametrize("momentum", ["nesterov", "classical"])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("objective", list(objectives.NAMES))
def test_the_step_is_that_of_autograd(objective, bidirectional, batch, momentum):
    """Loss, weights and velocity after an epoch equal those of the oracle's own backend under autograd, in float64."""
    options = {"bidirectional": bidirectional, "batch": batch, "momentum": momentum}
    if objective.startswith("label"):
        options["learning_rate"] = 0.3  # one term a sequence, not one a frame
    compiled, batches = part("vanilla", objective, "numba", **options)
    plain, _ = part("vanilla", objective, "eager", **options)
    assert isinstance(compiled, CompiledLockstep) and type(plain) is Lockstep
    assert any(one.padded for one in batches) == (batch > 1), "the batches have no padding to speak of"
    before = compiled.network.weights.clone()
    for one in batches:
        assert compiled.update(one) == pytest.approx(float(plain.update(one)), rel=1e-12)
    close(compiled, plain)
    assert (compiled.network.weights - before).abs().max() > 1e-2, "the epoch moved next to nothing"


@pytest.mark.parametrize("name", [*lo.variant_names(), *ODD])
def test_every_cell_trains_as_autograd_says(name):
    """The same for every variant and for odd cells: two phases, no R, no W, no bias, products of parameters."""
    cell = ODD.get(name, name)
    compiled, batches = part(cell, "next_frame", "numba", bidirectional=True, learning_rate=1e-3)
    plain, _ = part(cell, "next_frame", "eager", bidirectional=True, learning_rate=1e-3)
    for one in batches:
        assert float(compiled.update(one)) == pytest.approx(float(plain.update(one)), rel=1e-9)
    close(compiled, plain, 1e-9)


@pytest.mark.parametrize("name", ODD)
def test_no_cell_falls_off_the_compiled_step(name):
    """Whatever is made of the input or of parameters before the scan is compiled with it."""
    assert type(part(ODD[name], "next_frame", "numba")[0]) is CompiledLockstep
    assert type(part(ODD[name], "next_frame", "eager")[0]) is Lockstep


@pytest.mark.parametrize("objective", KERNELS)
def test_autograd_takes_no_part(objective, monkeypatch):
    """Neither a graph is made nor a gradient asked for in a compiled step."""
    compiled, batches = part("fgr", objective, "numba")

    def refused(*args, **options):
        raise AssertionError("autograd was asked")

    monkeypatch.setattr(torch.autograd, "grad", refused)
    monkeypatch.setattr(torch.Tensor, "backward", refused)
    monkeypatch.setattr(torch.nn.Module, "__call__", refused)
    assert np.isfinite(compiled.update(batches[0]))


@pytest.mark.parametrize("objective", list(objectives.NAMES))
def test_the_parts_are_the_whole(objective):
    """Phases run one after the other give the bits of the step."""
    whole, batches = part("cifg", objective, "numba", torch.float32, batch=3)
    apart, _ = part("cifg", objective, "numba", torch.float32, batch=3)
    for one in batches:
        value = None
        for phase in apart.phases(one).values():
            value = phase(value)
        assert value == whole.update(one)
    assert torch.equal(whole.network.weights, apart.network.weights) and torch.equal(whole.velocity, apart.velocity)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_logits_are_the_networks_without_noise(bidirectional):
    """Scoring sees the network as it is: no noise, no look-ahead, weights and velocity untouched."""
    compiled, batches = part("vanilla", "next_frame", "numba", bidirectional=bidirectional, batch=4)
    compiled.update(batches[0])
    before = compiled.network.weights.clone(), compiled.velocity.clone()
    one = batches[1]
    with torch.no_grad():
        expected = compiled.network(one.x.unsqueeze(1), one.lengths)
    inside = (torch.arange(len(one.x)).unsqueeze(1) < one.lengths)[:, None, :, None]
    got = compiled.logits(one)
    assert ((got - expected) * inside).abs().max() < 1e-12
    assert torch.equal(before[0], compiled.network.weights) and torch.equal(before[1], compiled.velocity)


@pytest.mark.parametrize("objective", list(objectives.NAMES))
@pytest.mark.parametrize("batch", [1, 4])
def test_scores_are_the_objectives(objective, batch):
    """Numerator and denominator of each sequence's score, compiled or not, are those of the objective, in float64."""
    compiled, batches = part("vanilla", objective, "numba", torch.float32, batch=batch)
    for one in batches:
        logits = compiled.logits(one).clone()
        (scored,) = compiled.scores(one)
        for got, expected in zip(scored, compiled.objective.score(logits, one.target, one.lengths), strict=True):
            assert got.shape == expected.shape and got.dtype == expected.dtype == torch.float64
            torch.testing.assert_close(got, expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("objective", list(objectives.NAMES))
@pytest.mark.parametrize("batch", [1, 4])
def test_the_parts_alone_are_those_of_the_step(objective, batch):
    """The scans by themselves write the gradients of the cell that the step wrote, the loss the gradient of the logits."""
    compiled, batches = part("vanilla", objective, "numba", torch.float64, batch=batch)
    one = batches[0]
    parts = compiled.alone(one)
    assert list(parts) == ["recurrent", "loss"]
    compiled.step.compiled(one)(training.FORWARD | training.LOSS | training.BACKWARD)  # no update: the weights stay
    gradients, delta = compiled.network.gradients, compiled.step._tables(*one.x.shape[:2]).delta
    expected = gradients.clone(), delta.clone()
    for name, _, slice_ in compiled.network.slices():
        if name.startswith("rnn."):
            slice_.fill_(torch.nan)
    parts["recurrent"]()
    assert torch.equal(gradients, expected[0])
    delta.fill_(torch.nan)
    parts["loss"]()
    inside = (torch.arange(len(one.x)).unsqueeze(1) < one.lengths)[:, None, :, None].expand_as(delta)
    assert torch.equal(delta[inside], expected[1][inside])


def test_memory_is_shared_and_grows():
    """Steps of networks of other sizes, on batches of other lengths, leave nothing to each other."""
    objective, corpus = objectives.get("next_frame"), CORPORA["next_frame"](lengths=(4, 60))
    batches = sorted(Batches(objective, torch.float64, "cpu").epoch(corpus.train, 1, "", 1, 1), key=lambda b: len(b.x))
    shared, results = Workspace(torch.float64), {}
    for workspaces in ([shared] * 3, [Workspace(torch.float64) for _ in range(3)]):
        steps = []
        for size, workspace in zip((3, 40, 17), workspaces, strict=True):
            network = Network(lo.variant("vanilla"), corpus.input_size, [size], 5, False, "numba", torch.float64, "cpu")
            network.initialise(1, "vanilla", [0], 0.3)
            velocity = torch.zeros_like(network.weights)
            steps.append(TrainingStep(network, objective, velocity, 0.5, 0.01, 0.1, True, workspace))
        for batch in (*batches, *batches[::-1]):
            for step in steps:
                step(batch)
        results[workspaces[0] is workspaces[1]] = [step.network.weights for step in steps]
    assert shared.generation > 2, "the memory never grew"
    for one, other in zip(*results.values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("objective", KERNELS)
def test_the_call_that_is_timed_is_the_step(objective):
    """Between steps on batches of the same shape and other paddings, whose memory is gone, it still does its own."""
    timed, batches = part("vanilla", objective, "numba", batch=3)
    stepped, _ = part("vanilla", objective, "numba", batch=3)
    one = next(batch for batch in batches if batch.padded)
    other = replace(one, lengths=one.lengths.flip(0), noise=2 * one.noise)
    assert not torch.equal(one.lengths, other.lengths)
    run = timed.compiled(one)
    for batch in (one, other, one):
        stepped.update(batch)
    run()
    timed.update(other)
    run()
    assert torch.equal(timed.network.weights, stepped.network.weights)


def test_no_step_reads_memory_that_is_freed():
    """Poisoned memory (glibc fills what is freed, if asked) changes no bit of steps whose inputs and workspace are gone."""
    command, found = [sys.executable, "-m", "tests.poisoned_memory"], []
    for byte in ("0", "255"):
        environment = os.environ | {"MALLOC_PERTURB_": byte, "PYTHONMALLOC": "malloc"}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=300
        )
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
        found.append(done.stdout)
    assert found[0] == found[1] and "nan" not in found[0]
    assert found[0].count("\n") == 9


def frame_losses(objective, logits, target, lengths):
    """An objective's compiled loss on logits [T, 1, B, K]: loss and gradient."""
    alone = LossAlone(objective, logits, objective.kernel_targets(target), torch.tensor(lengths))
    alone.gradient.fill_(7.0)
    alone()
    return float(alone.losses.sum()), alone.gradient


def made_target(name, T, B, K, lengths, generator, dtype):
    """Random targets for logits [T, 1, B, K]."""
    objective = objectives.get(name)
    if name == "frames":
        raw = [generator.integers(K, size=length) for length in lengths]
    else:
        raw = [generator.random((length, K)).astype(np.float32) for length in lengths]
    return objective, objective.collate(raw, torch.tensor(lengths), T, dtype, "cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", OF_FRAMES)
@given(
    outputs=st.sampled_from([1, 2, 7, 8, 16, 17, 33, 88]),
    scale=st.sampled_from([0.0, 1.0, 30.0, 300.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_kernels_loss_and_gradient_are_the_objectives(name, dtype, outputs, scale, seed):
    """What an objective says twice is the same: loss, gradient, 0 on padding, for any number of outputs, far out too."""
    generator = np.random.default_rng(seed)
    lengths = [5, 3, 4]
    objective, target = made_target(name, 5, 3, outputs, lengths, generator, dtype)
    logits = torch.from_numpy(scale * generator.standard_normal((5, 1, 3, outputs))).to(dtype)
    loss, gradient = frame_losses(objective, logits, target, lengths)
    expected, slope = objective.loss_and_gradient(logits, target, torch.tensor(lengths))
    eps = torch.finfo(dtype).eps
    assert loss == pytest.approx(float(expected.sum()), rel=32 * eps, abs=32 * eps * outputs * sum(lengths))
    assert (gradient - slope).abs().max() <= 16 * eps
    assert not any(gradient[length:, :, row].any() for row, length in enumerate(lengths))


@pytest.mark.parametrize("name", OF_FRAMES)
def test_a_logit_that_is_nan_is_seen_in_the_loss(name):
    """One NaN among the logits makes the loss NaN, wherever it stands."""
    generator = np.random.default_rng(0)
    for place in (0, 16, 19):
        objective, target = made_target(name, 2, 1, 20, [2], generator, torch.float32)
        logits = torch.zeros(2, 1, 1, 20)
        logits[1, 0, 0, place] = float("nan")
        assert np.isnan(frame_losses(objective, logits, target, [2])[0])


def test_a_target_in_a_lane_that_is_not_there_changes_nothing():
    """With one output a vector has one lane in use; the others, whatever they hold, do not count."""
    objective, target = made_target("frames", 3, 2, 1, [3, 3], np.random.default_rng(0), torch.float32)
    loss, gradient = frame_losses(objective, torch.full((3, 1, 2, 1), -9.0), target, [3, 3])
    assert loss == 0 and not gradient.any()
