"""Where the noise of an epoch comes from: one stream for a small corpus, one a sequence for a large one."""

import numpy as np
import pytest
import torch

from lstm_odyssey.tasks import objectives
from lstm_odyssey.training import batches, resident
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


@pytest.mark.parametrize("objective", ["frames", "next_frame", "ctc", "label_mean"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("limit", [0, 2**30], ids=["a stream a sequence", "one stream"])
def test_a_resident_training_set_gives_the_same_batches(limit, batch, objective, monkeypatch):
    """Gathered on the device, its noise copied many sequences at a time: to the bit what is made for each update here."""
    corpus, moved = CORPORA[objective](), []
    monkeypatch.setattr(batches, "WHOLE_NOISE", limit)
    monkeypatch.setattr(resident.ahead, "__defaults__", (400,))
    whole = batches.Batches._moved
    monkeypatch.setattr(batches.Batches, "_moved", lambda made, value: moved.append(len(value)) or whole(made, value))
    made = [batches.Batches(objectives.get(objective), torch.float64, "cpu") for _ in range(2)]
    made[1].resident = True
    for epoch in (1, 2):
        host = list(made[0].epoch(corpus.train, SEED, corpus.fingerprint, epoch, batch))
        moved.clear()
        there = list(made[1].epoch(corpus.train, SEED, corpus.fingerprint, epoch, batch))
        assert len(host) == len(there) == -(-len(corpus.train) // batch)
        for right, found in zip(host, there, strict=True):
            for name in ("x", "noise", "lengths"):
                assert torch.equal(getattr(found, name), getattr(right, name)), name
            assert found.x.dtype == right.x.dtype and found.noise.dtype == right.noise.dtype
            pairs = zip(found.target, right.target, strict=True)
            assert all(one is other or torch.equal(one, other) for one, other in pairs)
    frames = sum(len(x) for x, _ in corpus.train)
    # slices of what has been moved do not move again
    count = len(moved) - (batch == 1 and limit > 0) * len(corpus.train)
    assert sum(moved[:count]) == frames and count < len(corpus.train), (
        "noise goes in one piece, or many sequences a piece"
    )


@pytest.mark.parametrize("objective", ["frames", "next_frame", "ctc", "label_mean"])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("limit", [0, 2**30], ids=["a stream a sequence", "one stream"])
def test_no_copy_of_a_batch_waits_for_a_gpu(limit, batch, objective, monkeypatch):
    """With the CPU as a stand-in: what goes to a GPU goes from locked memory and in order with its stream."""
    to, locked, copies, places = torch.Tensor.to, [], [], []

    def lock(value):
        locked.append(value)
        return value

    def put(value, *given, **named):
        if str(named.get("device", given[0] if given else "")).startswith("cuda"):
            copies.append(named.get("non_blocking", False) and any(value is one for one in locked))
            named["device"], given = "cpu", given[1:]
        return to(value, *given, **named)

    monkeypatch.setattr(torch.Tensor, "pin_memory", lock)
    monkeypatch.setattr(torch.Tensor, "to", put)
    monkeypatch.setattr(batches, "WHOLE_NOISE", limit)
    monkeypatch.setattr(resident, "moved", lambda value, device: places.append(value) or value)
    corpus = CORPORA[objective]()
    made = batches.Batches(objectives.get(objective), torch.float64, "cuda")
    assert made.resident
    count = len(list(made.epoch(corpus.train, SEED, corpus.fingerprint, EPOCH, batch)))
    assert len(copies) > count and all(copies) and len(places) == (count if batch > 1 else 0)
