"""CTC, compiled and by torch: the sum over all paths, torch in float64, and what went wrong with other implementations.

Not taken up: pytorch#21680 (cuDNN's CTC is not deterministic), since nothing here asks cuDNN.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends.numba.loss import LossAlone
from lstm_odyssey.backends.numba.source import ctc, losses
from lstm_odyssey.backends.numba.source.training import NAMES
from lstm_odyssey.backends.numba.training_step import TrainingStep, Workspace
from lstm_odyssey.tasks import objectives
from lstm_odyssey.tasks.declare import Corpus, CorpusError
from lstm_odyssey.training.batches import Batches
from lstm_odyssey.training.network import Network
from tests import interpreted
from tests.corpora import ctc_corpus
from tests.mutants import WRONG_CTC

CTC = objectives.get("ctc")
FLOATS = {"float32": torch.float32, "float64": torch.float64}


def compiled(logits, targets, lengths):
    """Losses [B] and the gradient [T, B, K] of logits [T, B, K] by the compiled step's own code."""
    target = CTC.collate(targets, lengths, len(logits), logits.dtype, "cpu")
    alone = LossAlone(CTC, logits.unsqueeze(1).contiguous(), CTC.kernel_targets(target), lengths)
    alone()
    return alone.losses, alone.gradient[:, 0]


def by_torch(logits, targets, lengths):
    """The same through autograd, as every other backend has it."""
    target = CTC.collate(targets, lengths, len(logits), logits.dtype, "cpu")
    loss, gradient = CTC.loss_and_gradient(logits.unsqueeze(1), target, lengths)
    return loss[0], gradient[:, 0]


WAYS = pytest.mark.parametrize("way", [compiled, by_torch])


def drawn(T, B, K, seed=0, std=1.0, dtype=torch.float64):
    """Random logits [T, B, K], the same numbers in either float type."""
    return (std * torch.randn(T, B, K, generator=torch.Generator().manual_seed(seed))).to(dtype)


def texts(counts, K, seed=0):
    """Random labels counted from 0, repeats among them."""
    generator = np.random.default_rng(seed)
    return [generator.integers(K - 1, size=count) for count in counts]


@lru_cache
def paths(T, K):
    """Every path [paths, T], by the labels it collapses to."""
    found = {}
    for path in itertools.product(range(K), repeat=T):
        merged = [k for k, _ in itertools.groupby(path)]
        found.setdefault(tuple(k - 1 for k in merged if k), []).append(path)
    return {labels: np.array(each) for labels, each in found.items()}


def by_enumeration(logits, labels):
    """Loss and gradient of logits [T, K] from every path, in logarithms."""
    T, K = logits.shape
    top = logits.max(1, keepdims=True)
    p = np.exp(logits - top) / np.exp(logits - top).sum(1, keepdims=True)
    logs = logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True))
    each = paths(T, K)[tuple(labels)]
    of_path = logs[np.arange(T), each].sum(1)
    weights = np.exp(of_path - of_path.max())
    occupied = np.zeros((T, K))
    for k in range(K):
        occupied[:, k] = (weights[:, None] * (each == k)).sum(0) / weights.sum()
    return -(of_path.max() + np.log(weights.sum())), p - occupied


@pytest.mark.parametrize("std", [0.5, 4.0, 20.0, 50.0])
@pytest.mark.parametrize(("T", "K"), [(1, 4), (2, 3), (4, 4), (6, 3)])
@pytest.mark.parametrize(("way", "dtype"), [(compiled, "float32"), (compiled, "float64"), (by_torch, "float64")])
def test_it_is_the_sum_over_all_paths(way, dtype, T, K, std):
    """Loss and gradient of every text that fits, equal neighbours among them, equal the enumeration of all its paths."""
    every = [labels for labels in paths(T, K) if labels]
    assert any(a == b for labels in every for a, b in itertools.pairwise(labels)) == (T > 2)
    logits = drawn(T, len(every), K, seed=T, std=std, dtype=FLOATS[dtype])
    loss, gradient = way(logits, [np.array(labels) for labels in every], torch.full((len(every),), T))
    assert gradient.dtype == FLOATS[dtype]
    for b, labels in enumerate(every):
        expected, slope = by_enumeration(logits[:, b].double().numpy(), labels)
        assert float(loss[b]) == pytest.approx(expected, rel=1e-13, abs=1e-13)
        assert np.abs(gradient[:, b].numpy() - slope).max() <= (1e-11 if dtype == "float64" else 6e-8)


@pytest.mark.parametrize("std", [1.0, 5.0, 20.0, 50.0])
@pytest.mark.parametrize("dtype", FLOATS)
def test_long_sequences_are_those_of_torch_in_float64(dtype, std):
    """Loss and gradient of three lines in a padded batch, U of no whole vectors, through either of the two recursions."""
    lengths, counts, K = torch.tensor([334, 170, 61]), [30, 23, 8], 82
    logits, targets = drawn(334, 3, K, std=std, dtype=FLOATS[dtype]), texts(counts, K)
    loss, gradient = compiled(logits, targets, lengths)
    expected, slope = by_torch(logits.double(), targets, lengths)
    torch.testing.assert_close(loss, expected, rtol=1e-13, atol=0)
    assert (gradient - slope).abs().max() <= (1e-10 if dtype == "float64" else 6e-8)
    assert slope.abs().max() > 0.5


def blanks_first(gap, T=160, U=40):
    """Every frame's blank is ``gap`` above U labels in turn: what is likely early is unlikely in the end."""
    logits = 0.5 * drawn(T, 1, 3, seed=3)
    logits[:, 0, 0] += gap
    return logits, np.arange(U) % 2


@pytest.mark.parametrize("gap", range(12, 26))
def test_what_is_too_small_for_a_number_is_not_lost(gap):
    """No normaliser vanishes, but the text's own paths are 1e-308 of all for a while: loss and gradient are torch's."""
    logits, labels = blanks_first(gap)
    lengths = torch.tensor([len(logits)])
    loss, gradient = compiled(logits, [labels], lengths)
    expected, slope = by_torch(logits, [labels], lengths)
    torch.testing.assert_close(loss, expected, rtol=1e-13, atol=0)
    assert (gradient - slope).abs().max() < 1e-10


@pytest.mark.parametrize("fill", [0.0, math.nan])
@pytest.mark.parametrize("U", [0, 1, 7, 8, 15, 16, 33])
def test_its_memory_is_as_large_as_it_says(U, fill):
    """Nothing before or behind it is written, and what was in it changes no bit, whatever the text's length."""
    lengths = torch.tensor([70, 69])
    logits, targets = drawn(70, 2, 19, std=6.0), texts([U, max(U - 1, 0)], 19)
    expected = compiled(logits, targets, lengths)
    target = CTC.collate(targets, lengths, 70, torch.float64, "cpu")
    alone = LossAlone(CTC, logits.unsqueeze(1).contiguous(), CTC.kernel_targets(target), lengths)
    size = ctc.memory(70, target.labels.shape[1], 19)
    room = torch.full((size + 32,), fill, dtype=torch.float64)
    room[:16] = room[-16:] = 77.0
    alone._table[NAMES.index("memory")] = room[16:].data_ptr()
    alone()
    assert (room[:16] == 77).all() and (room[-16:] == 77).all()
    assert torch.equal(alone.losses, expected[0]) and torch.equal(alone.gradient[:, 0], expected[1])


@pytest.mark.parametrize("std", [2.0, 40.0])
def test_a_sequences_bits_are_its_own(std):
    """Alone, beside others, with more padding of frames and of labels, whatever is in it: the same bits."""
    lengths, targets = torch.tensor([40, 33, 12]), texts([9, 4, 5], 30)
    logits = drawn(45, 3, 30, std=std, dtype=torch.float32)
    for b, length in enumerate(lengths.tolist()):
        logits[length:, b] = math.nan
    loss, gradient = compiled(logits, targets, lengths)
    for b, length in enumerate(lengths.tolist()):
        one, slope = compiled(logits[:length, [b]], targets[b : b + 1], lengths[[b]])
        assert torch.equal(one, loss[[b]]) and torch.equal(slope[:, 0], gradient[:length, b])
        assert not gradient[length:, b].any()


def test_pytorch_52241_82545_181534_127608_122243_the_gradient_is_that_of_the_logits():
    """Central differences of either loss along every logit give the gradient: it is no log-probability's."""
    lengths, targets = torch.tensor([6, 5]), [np.array([0, 0]), np.array([1, 0, 1])]
    target = CTC.collate(targets, lengths, 6, torch.float64, "cpu")
    logits = drawn(6, 2, 3, seed=5)
    assert torch.autograd.gradcheck(lambda x: CTC.loss(x, target, lengths), logits.unsqueeze(1).requires_grad_())
    _, gradient = compiled(logits, targets, lengths)
    for place in np.ndindex(6, 2, 3):
        step = torch.zeros_like(logits)
        step[place] = 1e-5
        up, down = (compiled(logits + sign * step, targets, lengths)[0].sum() for sign in (1, -1))
        assert float(gradient[place]) == pytest.approx(float(up - down) / 2e-5, abs=1e-9)
    assert gradient.sum(-1).abs().max() < 1e-14


@WAYS
def test_pytorch_18215_84827_86596_88047_89208_a_text_may_be_empty(way):
    """Without labels the one path is all blanks, alone and beside others; a length is never 0 or negative."""
    logits, lengths = drawn(5, 2, 4), torch.tensor([5, 4])
    for other in (np.array([], np.int64), np.array([2, 2])):
        loss, gradient = way(logits, [other, np.array([], np.int64)], lengths)
        logs = logits[:4, 1].log_softmax(-1)
        blank = torch.nn.functional.one_hot(torch.zeros(4, dtype=torch.int64), 4)
        torch.testing.assert_close(loss[1], -logs[:, 0].sum(), rtol=1e-14, atol=0)
        torch.testing.assert_close(gradient[:4, 1], logs.exp() - blank, rtol=0, atol=1e-13)
    for wrong in ([0, 4], [5, -1]):
        with pytest.raises(ValueError, match="expected one or more, each from 1 to the 5 frames"):
            way(logits, [np.array([1])] * 2, torch.tensor(wrong))


def test_pytorch_174602_191568_a_label_that_is_no_output_is_refused():
    """Too great or negative a label is one error by its number; the compiled code, asked all the same, says NaN."""
    lengths, logits = torch.tensor([5, 5]), drawn(5, 2, 3)
    fits = np.array([0, 1])
    with pytest.raises(ValueError, match="a target has the label 2; expected at most 1, as there are 3 outputs"):
        by_torch(logits, [fits, np.array([0, 2])], lengths)
    with pytest.raises(ValueError, match="target 1 has the label -1; expected labels from 0 on"):
        CTC.collate([fits, np.array([1, -1])], lengths, 5, torch.float64, "cpu")
    for wrong in (2, 2**40):
        loss, gradient = compiled(logits, [fits, np.array([0, wrong])], lengths)
        assert loss[0] > 0 and loss[1].isnan() and gradient[:, 1].isnan().all() and gradient[:, 0].isfinite().all()
    x = np.zeros((5, 2), np.float32)
    with pytest.raises(CorpusError, match=r"train\[0\]: target has the labels 0 to 2; expected 0 to 1"):
        Corpus([(x, np.array([0, 2]))], [(x, fits)], [(x, fits)], labels=("a", "b"))


@pytest.mark.parametrize("lengths", [[3, 0], [3, -1], [3, 9], [3], []])
def test_pytorch_92843_15946_150835_lengths_that_cannot_be_are_refused(lengths):
    """Before anything is computed: a length of 0, negative, beyond the batch; one for two sequences; no sequence at all."""
    targets = [np.array([1])] * (2 if lengths else 0)
    with pytest.raises(ValueError, match="objective"):
        CTC.collate(targets, torch.tensor(lengths, dtype=torch.int64), 4, torch.float32, "cpu")


@WAYS
def test_pytorch_14335_14401_16199_what_is_not_finite_stays_where_it_is(way):
    """A masked output costs nothing where a path avoids it, NaN makes its own sequence NaN, and neighbours keep their bits."""
    lengths, targets = torch.tensor([6, 6, 6]), [np.array([0, 1]), np.array([1, 1]), np.array([1])]
    logits = drawn(6, 3, 4)
    logits[:, 0, 3] = -math.inf  # no label of the text
    logits[2, 2, 3] = math.nan
    loss, gradient = way(logits, targets, lengths)
    fewer, slope = way(logits[:, [0], :3], targets[:1], lengths[:1])
    torch.testing.assert_close(loss[0], fewer[0])
    torch.testing.assert_close(gradient[:, 0, :3], slope[:, 0])
    assert not gradient[:, 0, 3].any() and loss[2].isnan()
    alone, slope = way(logits[:, [1]], targets[1:2], lengths[1:2])
    assert torch.equal(loss[1], alone[0]) and torch.equal(gradient[:, 1], slope[:, 0])
    for value in (math.inf, math.nan):
        spoilt = logits.clone()
        spoilt[0, 1, 0] = value
        assert way(spoilt, targets, lengths)[0][1].isnan()


def test_pytorch_11750_the_incoming_gradient_is_multiplied_through():
    """A loss weighted sequence by sequence has the gradients weighted alike, one that is infinite among them."""
    lengths, targets = torch.tensor([6, 6, 6]), [np.array([0, 1]), np.array([1] * 4), np.array([1])]
    logits, weights = drawn(6, 3, 4), torch.tensor([2.5, 3.0, -0.5], dtype=torch.float64)
    target = CTC.collate(targets, lengths, 6, torch.float64, "cpu")
    leaf = logits.unsqueeze(1).clone().requires_grad_()
    (CTC.loss(leaf, target, lengths)[0] * weights).sum().backward()
    _, gradient = by_torch(logits, targets, lengths)
    torch.testing.assert_close(leaf.grad[:, 0], gradient * weights[:, None], rtol=1e-14, atol=1e-15)
    assert not gradient[:, 1].any() and gradient[:, [0, 2]].abs().max() > 0.1


def test_pytorch_53505_a_text_of_256_labels_and_more():
    """Around the lengths at which other code changed its way, loss and gradient are torch's."""
    lengths, targets = torch.tensor([600, 600, 600]), texts([255, 256, 257], 20)
    logits = drawn(600, 3, 20)
    loss, gradient = compiled(logits, targets, lengths)
    expected, slope = by_torch(logits, targets, lengths)
    torch.testing.assert_close(loss, expected, rtol=1e-13, atol=0)
    assert (gradient - slope).abs().max() < 1e-10


@WAYS
def test_pytorch_152421_lengths_may_be_of_32_bits(way):
    """They are read as what they are, in a loss and in a step."""
    lengths, targets, logits = torch.tensor([6, 5]), texts([2, 3], 4), drawn(6, 2, 4)
    for got, expected in zip(way(logits, targets, lengths.int()), way(logits, targets, lengths), strict=True):
        assert torch.equal(got, expected)
    if way is compiled:
        (one, batch), (other, _) = trained(), trained()
        assert one(batch) == other(replace(batch, lengths=batch.lengths.int()))


@pytest.mark.parametrize("dtype", FLOATS)
def test_optax_1771_the_loss_of_a_sure_path_is_not_below_zero(dtype):
    """Logits [0, 17] in two frames cost 1.7e-15, whatever their floats; fifty sure frames cost next to nothing, not less."""
    logits = torch.tensor([0.0, 17.0], dtype=FLOATS[dtype]).repeat(2, 1).unsqueeze(1)
    loss, _ = compiled(logits, [np.array([0])], torch.tensor([2]))
    assert float(loss[0]) == pytest.approx(1.7139e-15, abs=2.3e-16)
    for gap in np.linspace(5, 60, 40):
        sure = torch.zeros(50, 1, 4, dtype=FLOATS[dtype])
        sure[np.arange(50), 0, np.arange(50) // 5 % 3] = gap
        text = [k - 1 for k, _ in itertools.groupby(int(k) for k in sure[:, 0].argmax(-1)) if k]
        for way in (compiled, by_torch):
            assert float(way(sure, [np.array(text)], torch.tensor([50]))[0][0]) >= 0


IMPOSSIBLE = {
    "three equal labels in four frames": (np.array([1, 1, 1]), ()),
    "more labels than frames": (np.array([0, 1, 0, 1, 0]), ()),
    "a label that is never possible": (np.array([1]), (slice(None), 0, 2)),
    "a frame where nothing of the text is possible": (np.array([1]), (2, 0, [0, 2])),
}


@WAYS
@pytest.mark.parametrize("case", IMPOSSIBLE)
@pytest.mark.parametrize("dtype", FLOATS)
def test_returnn_1835_without_a_path_the_loss_is_infinite_and_the_gradient_zero(case, dtype, way):
    """Neither a softmax nor NaN, for either reason; the other sequence's bits are those it has alone."""
    labels, never = IMPOSSIBLE[case]
    logits = drawn(4, 2, 3, dtype=FLOATS[dtype])
    if never:
        logits[never] = -math.inf
    targets, lengths = [labels, np.array([0, 1])], torch.tensor([4, 4])
    loss, gradient = way(logits, targets, lengths)
    assert loss[0] == math.inf and not gradient[:, 0].any()
    alone, slope = way(logits[:, [1]], targets[1:], lengths[1:])
    assert torch.equal(loss[1], alone[0]) and torch.equal(gradient[:, 1], slope[:, 0]) and slope.abs().max() > 0.1


@WAYS
def test_tensorflow_41280_beyond_a_sequences_end_the_gradient_is_zero(way):
    """Exactly, though NaN stands there, and the loss is that of the frames before."""
    logits, lengths = drawn(9, 2, 4), torch.tensor([9, 5])
    logits[5:, 1] = math.nan
    loss, gradient = way(logits, texts([3, 2], 4), lengths)
    assert loss.isfinite().all() and gradient[:5].abs().max() > 0.1
    assert torch.equal(gradient[5:, 1], torch.zeros(4, 4, dtype=torch.float64))


@WAYS
def test_espnet_182_700_the_scale_is_that_of_the_sum(way):
    """Two equal outputs cost ln (2^T 2 / T (T + 1)) for one label, not divided by T, U or B; of a batch it is the sum."""
    for T in (1, 2, 7):
        logits, lengths = torch.zeros(T, 3, 2, dtype=torch.float64), torch.full((3,), T)
        loss, gradient = way(logits, [np.array([0])] * 3, lengths)
        torch.testing.assert_close(loss, torch.full_like(loss, math.log(2 ** (T + 1) / (T * (T + 1)))))
        alone, slope = way(logits[:, :1], [np.array([0])], lengths[:1])
        torch.testing.assert_close(gradient.sum(1), 3 * slope[:, 0])
        torch.testing.assert_close(loss.sum(), 3 * alone[0])


def trained(pairs=None, workspace=None, backend=None):
    """A step of a small network on the corpus of CTC in float64, and a padded batch."""
    corpus = ctc_corpus()
    network = Network(lo.variant("vanilla"), corpus.input_size, [6], 4, True, "numba", torch.float64, "cpu")
    network.initialise(1, "vanilla", [0], 0.3)
    velocity = torch.zeros_like(network.weights)
    step = TrainingStep(network, CTC, velocity, 0.9, 0.02, 0.0, True, workspace or Workspace(torch.float64))
    chosen = pairs or corpus.train[:3]
    noise = [np.zeros_like(features) for features, _ in chosen]
    return step, Batches(CTC, torch.float64, "cpu").make(chosen, noise)


def test_a_step_on_what_has_no_path_moves_nothing():
    """Its loss is infinite, which ends a trial, and no weight has moved by then."""
    features, _ = ctc_corpus().train[0]
    step, batch = trained([(features[:3], np.array([1, 1, 1]))])
    before = step.network.weights.clone()
    assert step(batch) == math.inf
    assert torch.equal(step.network.weights, before) and not step.velocity.any()


def test_a_loss_that_is_not_compiled_is_called_out_for(monkeypatch):
    """Without its text an objective computes its loss between the halves of a step, in one go and in phases: the same."""
    (step, batch), losses_ = trained(), []
    losses_ += [step(batch), step(batch)]
    monkeypatch.delitem(losses.LOSSES, "ctc")
    for phases in (False, True):
        called, _ = trained()
        assert called.loss is None and called.exact_losses(batch) is None
        for expected in losses_:
            value = None if phases else called(batch)
            for phase in called.phases(batch).values() if phases else ():
                value = phase(value)
            assert value == pytest.approx(expected, rel=1e-12)
        assert (called.network.weights - step.network.weights).abs().max() < 1e-13
    assert losses_[1] < losses_[0]


def test_a_longer_text_makes_the_memory_larger():
    """Two networks share it, on lines of other lengths in turn, and each trains as with memory of its own."""
    generator = np.random.default_rng(0)
    pairs = [
        (generator.normal(size=(length, 4)).astype(np.float32), np.arange(count) % 3)
        for length, count in ((9, 2), (40, 19), (12, 5))
    ]
    shared, results = Workspace(torch.float64), []
    for own in (False, True):
        steps = [trained(workspace=None if own else shared)[0] for _ in range(2)]
        for pair in (*pairs, *pairs[::-1]):
            for step in steps:
                assert math.isfinite(step(trained([pair])[1]))
        results.append(steps[1].network.weights)
    assert shared.doubles.numel() >= ctc.memory(40, 19, 4) and torch.equal(*results)


def wrong_at(text):
    """What a text of the loss gets wrong: the first of a few cases where it is not what enumeration or torch says."""
    for way in (text, text.replace("LEAST, WIDTH = 1e-250", "LEAST, WIDTH = 2.0")):  # the second: in logarithms only
        for T, labels, std in ((4, (1, 1), 1.0), (4, (0, 1, 0), 1.0), (5, (0, 1, 1), 2.0), (3, (1, 0), 60.0)):
            for seed in range(2):
                logits = drawn(T, 1, 3, seed=seed, std=std)[:, 0].numpy()
                loss, gradient = interpreted.sequence_loss(way, logits, np.array(labels) + 1)
                expected, slope = by_enumeration(logits, labels)
                if not (abs(loss - expected) <= 1e-12 * expected and np.abs(gradient - slope).max() < 1e-11):
                    return f"{labels} at std {std}"
    for gap in (19, 20):
        logits, labels = blanks_first(gap, T=80)
        loss, gradient = interpreted.sequence_loss(text, logits[:, 0].numpy(), labels + 1)
        expected, slope = by_torch(logits, [labels], torch.tensor([80]))
        if not (
            loss == pytest.approx(float(expected[0]), rel=1e-12)
            and np.abs(gradient - slope[:, 0].numpy()).max() < 1e-10
        ):
            return f"blanks {gap} above the labels"
    loss, gradient = interpreted.sequence_loss(text, np.ones((3, 3)), [1, 1, 1])
    if loss != math.inf or gradient.any():
        return "no path"
    logits = np.zeros((3, 3))
    logits[1, 2] = math.nan
    loss, gradient = interpreted.sequence_loss(text, logits, [1])
    return "" if math.isnan(loss) and np.isnan(gradient).all() else "NaN"


def test_the_text_is_right_as_plain_python():
    """The text that is compiled passes what the wrong ones have to fail."""
    assert wrong_at(ctc.TEXT) == ""


@pytest.mark.parametrize("slip", WRONG_CTC)
def test_wrong_losses_are_killed(slip):
    """A text with one slip gets one of a few cases wrong."""
    before, after = WRONG_CTC[slip]
    assert ctc.TEXT.count(before) == 1, f"{before!r} is not there once"
    assert wrong_at(ctc.TEXT.replace(before, after)) != ""
