"""The protocol written out over torch's own layers: what a population's member has to have come to."""

import numpy as np
import torch

from lstm_odyssey.bench.plain_torch import PlainTorch
from lstm_odyssey.training.batches import unit_noise
from lstm_odyssey.training.random_streams import stream

GATES = "ifzo"


def follows_torch(population, member, protocol, bound=1e-12):
    """Losses and weights of a member equal those of torch.nn.LSTM + Linear, from the same draws, in float64.

    The member is of ``no_peepholes``, in one direction, on a corpus of next frames, a sequence an update.
    """
    corpus, seed, trial = population.corpus, population.seed, population.trials[member]
    drawn = dict(trial.hyperparameters)
    trained, size, width = population.member_weights(member), drawn.pop("hidden_size"), corpus.input_size
    rates = {name: drawn.pop(name) for name in ("learning_rate", "momentum", "input_noise")}
    nesterov = drawn.pop("nesterov", protocol.momentum == "nesterov")
    clip = 1.0 if drawn.pop("clip_gradient", False) else None
    std = drawn.pop("initial_std", protocol.initial_std)
    plain = PlainTorch(width, size, width, nesterov=nesterov, clip=clip, dtype=torch.float64, **rates)
    lstm, linear = plain.lstm, plain.linear
    start = {
        name: stream("init", seed, "no_peepholes", trial.index, name).standard_normal(value.shape) * std
        for name, value in trained.items()
    }
    for name, value in drawn.items():
        start[f"cells.0.{name.removeprefix('start.')}"][:] = value
    start = {name: torch.from_numpy(value) for name, value in start.items()}

    def stacked(values, space):
        return torch.cat([torch.as_tensor(values[f"cells.0.{space}.{gate}"]) for gate in GATES])

    with torch.no_grad():
        for place, space in ((lstm.weight_ih_l0, "W"), (lstm.weight_hh_l0, "R"), (lstm.bias_ih_l0, "b")):
            place.copy_(stacked(start, space))
        linear.weight.copy_(start["V.0"])
        linear.bias.copy_(start["a"])
    sequences = [
        (torch.from_numpy(x.astype(np.float64)).unsqueeze(1), torch.from_numpy(target.astype(np.float64)).unsqueeze(1))
        for x, target in corpus.train
    ]
    frames = sum(len(x) for x, _ in sequences)
    losses = []
    for epoch in range(1, protocol.epochs + 1):
        noise = unit_noise(seed, corpus.fingerprint, epoch, frames, width).double().numpy()
        order = stream("order", seed, corpus.fingerprint, epoch).permutation(len(sequences))
        losses.append(plain.epoch(sequences, order, torch.from_numpy(noise)) / frames)
    found = [row[member] for row in population.curves.train_loss[1:]]
    np.testing.assert_allclose(found, losses, rtol=bound)
    after = {"W": lstm.weight_ih_l0, "R": lstm.weight_hh_l0, "b": lstm.bias_ih_l0}
    for space, value in after.items():
        assert (stacked(trained, space) - value).abs().max() < bound
        assert (stacked(start, space) - value).abs().max() > 1e-6, "the loop moved nothing"
    assert np.abs(trained["V.0"] - linear.weight.detach().numpy()).max() < bound
    assert np.abs(trained["a"] - linear.bias.detach().numpy()).max() < bound
    assert not lstm.bias_hh_l0.any(), "the paper's cell has one bias a gate"
