"""Where the noise of an epoch comes from: one stream for a small corpus, one a sequence for a large one."""

import numpy as np
import pytest
import torch

from lstm_odyssey.tasks import objectives
from lstm_odyssey.training import batches
from lstm_odyssey.training.random_streams import stream
from tests.corpora import CORPORA

SEED, EPOCH = 4, 3


def noises(batch):
    """The order of the sequences in an epoch, and the noise of each."""
    corpus = CORPORA["frames"]()
    made = batches.Batches(objectives.get("frames"), torch.float64, "cpu")
    found = [
        each.noise[:length, row].numpy()
        for each in made.epoch(corpus.train, SEED, corpus.fingerprint, EPOCH, batch)
        for row, length in enumerate(each.lengths.tolist())
    ]
    order = stream("order", SEED, corpus.fingerprint, EPOCH).permutation(len(corpus.train)).tolist()
    return corpus, dict(zip(order, found, strict=True))


@pytest.mark.parametrize("batch", [1, 4])
def test_a_large_corpus_draws_each_sequence_by_itself(batch, monkeypatch):
    """From the limit on a sequence's noise follows from (seed, corpus, epoch, index) alone, whatever the batch."""
    corpus = CORPORA["frames"]()
    frames, width = sum(len(x) for x, _ in corpus.train), corpus.input_size
    monkeypatch.setattr(batches, "WHOLE_NOISE", 4 * frames * width)
    _, found = noises(batch)
    for index, (x, _) in enumerate(corpus.train):
        expected = batches.unit_noise(SEED, corpus.fingerprint, EPOCH, len(x), width, index)
        np.testing.assert_array_equal(found[index], expected.double().numpy())
    assert len({float(noise[0, 0]) for noise in found.values()}) == len(corpus.train)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_small_corpus_keeps_its_one_stream(batch, monkeypatch):
    """Below the limit the noise is cut from one draw of the epoch, as ever: bits of stored trials stay."""
    corpus = CORPORA["frames"]()
    frames, width = sum(len(x) for x, _ in corpus.train), corpus.input_size
    monkeypatch.setattr(batches, "WHOLE_NOISE", 4 * frames * width + 1)
    _, found = noises(batch)
    whole, start = batches.unit_noise(SEED, corpus.fingerprint, EPOCH, frames, width).double().numpy(), 0
    for index, (x, _) in enumerate(corpus.train):
        np.testing.assert_array_equal(found[index], whole[start : start + len(x)])
        start += len(x)
