"""The three objectives against computations that share no code with them."""

from __future__ import annotations

import itertools
import math
import pickle
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lstm_odyssey.tasks.declare import Corpus, CorpusError
from lstm_odyssey.tasks.names import NAMES
from lstm_odyssey.tasks.objectives import get
from lstm_odyssey.tasks.objectives.ctc import decode
from tests.corpora import CORPORA, ctc_corpus, frames_corpus, made_task, next_frame_corpus

CLOSE: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-12}


def batch(name: str, members: int = 3, seed: int = 0, dtype: torch.dtype = torch.float64, extra: int = 1) -> Any:
    """Logits, the target, lengths and the raw targets of the training split, with ``extra`` frames of padding more."""
    corpus = CORPORA[name]()
    objective = get(name)
    lengths = torch.tensor([len(features) for features, _ in corpus.train])
    targets = [target for _, target in corpus.train]
    n_frames = int(lengths.max()) + extra
    generator = torch.Generator().manual_seed(seed)
    shape = (n_frames, members, len(targets), objective.n_outputs(corpus))
    logits = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    target = objective.collate(targets, lengths, n_frames, dtype, "cpu")
    assert len(set(lengths.tolist())) > 1, "the batch has no padding to speak of"
    return objective, logits.to(dtype), target, lengths, targets


def bernoulli_nats(logits: np.ndarray, target: np.ndarray) -> float:
    """-ln of the probability of one sequence, element by element in plain Python floats."""
    total = 0.0
    for logit, x in zip(logits.ravel().tolist(), target.ravel().tolist(), strict=True):
        total -= math.log(1 / (1 + math.exp(-logit))) if x == 1 else math.log(1 / (1 + math.exp(logit)))
    return total


def softmax_nats(logits: np.ndarray, target: np.ndarray) -> float:
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return -sum(math.log(probabilities[t, k]) for t, k in enumerate(target))


POOLED = {
    "label_last": lambda logits: logits[-1],
    "label_ends": lambda logits: (logits[0] + logits[-1]) / 2,
    "label_mean": lambda logits: logits.mean(0),
}


@pytest.mark.parametrize("name", POOLED)
def test_the_label_of_a_sequence_is_judged_by_its_pooled_outputs(name: str) -> None:
    """Loss and error of each sequence equal plain numpy over its true frames; a sequence of one frame has both ends there."""
    objective, logits, target, lengths, targets = batch(name)
    loss, (wrong, ones) = objective.loss(logits, target, lengths), objective.score(logits, target, lengths)
    assert ones.tolist() == [1.0] * len(targets)
    for p in range(3):
        for b, (k,) in enumerate(targets):
            pooled = POOLED[name](logits[: lengths[b], p, b].numpy())
            assert float(loss[p, b]) == pytest.approx(softmax_nats(pooled[None], [k]), rel=1e-12)
            assert bool(wrong[p, b]) == (int(pooled.argmax()) != k)
    short = torch.tensor([1])
    one = objective.collate(targets[:1], short, 3, torch.float64, "cpu")
    (value,) = objective.loss(logits[:3, :1, :1], one, short)
    assert float(value) == pytest.approx(softmax_nats(logits[:1, 0, 0].numpy(), targets[0]), rel=1e-12)


def test_a_label_is_one_and_not_last_where_a_net_reads_both_ways() -> None:
    """Two labels for a sequence are named; a bidirectional task cannot ask at the last frame."""
    corpus = CORPORA["frames"]()
    with pytest.raises(CorpusError, match=r"train\[0\] has . labels.* Expected one label a sequence"):
        get("label_mean").check(corpus)
    with pytest.raises(
        ValueError, match="backward direction has read one frame. Use the objective label_ends or label_mean"
    ):
        made_task("label_last", bidirectional=True)
    assert made_task("label_ends", bidirectional=True).bidirectional


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    """B(path), written out: an output is kept if it is no blank and differs from the frame before."""
    return tuple(k for t, k in enumerate(path) if k != 0 and (t == 0 or path[t - 1] != k))


def path_nats(logits: np.ndarray, target: np.ndarray) -> float:
    """-ln of the sum over every path that collapses to the target."""
    probabilities = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).tolist()
    wanted, total = tuple(int(label) + 1 for label in target), 0.0
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        if collapsed(path) == wanted:
            total += math.prod(probabilities[t][k] for t, k in enumerate(path))
    return -math.log(total) if total else math.inf


def edit_distance(a: list[int], b: list[int]) -> int:
    """The textbook recursion over the last elements, as a table."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        row, above = [i], row
        for j, right in enumerate(b, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (left != right)))
    return row[-1]


@pytest.mark.parametrize(("name", "reference"), [("next_frame", bernoulli_nats), ("frames", softmax_nats)])
def test_the_loss_is_the_sum_over_the_frames_of_a_sequence(name: str, reference: Any) -> None:
    """Each member's and sequence's loss equals plain numpy over its true frames, summed and not averaged."""
    objective, logits, target, lengths, targets = batch(name)
    loss = objective.loss(logits, target, lengths)
    expected = [
        [reference(logits[: lengths[b], p, b].numpy(), targets[b]) for b in range(len(targets))] for p in range(3)
    ]
    np.testing.assert_allclose(loss.numpy(), expected, **CLOSE)


@pytest.mark.parametrize("seed", range(3))
def test_ctc_equals_the_sum_over_all_paths(seed: int) -> None:
    """The CTC loss of short sequences, repeats among them, equals the enumeration of every path."""
    objective = get("ctc")
    targets = [np.array(each) for each in ([0], [1, 1], [0, 1, 0], [1, 0], [0, 0, 1])]
    lengths = torch.tensor([1, 3, 6, 5, 4])
    logits = torch.randn(7, 2, 5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    target = objective.collate(targets, lengths, 7, torch.float64, "cpu")
    expected = [[path_nats(logits[: lengths[b], p, b].numpy(), targets[b]) for b in range(5)] for p in range(2)]
    np.testing.assert_allclose(objective.loss(logits, target, lengths).numpy(), expected, **CLOSE)


def test_ctc_of_a_sequence_that_is_too_short_is_infinite_and_leaves_its_neighbours_alone() -> None:
    """Two equal labels in two frames cost infinity, with a gradient of 0; the other sequence's are as they are alone."""
    objective = get("ctc")
    logits = torch.randn(4, 2, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    both, lengths = [np.array([1, 1]), np.array([0, 1])], torch.tensor([2, 4])
    target = objective.collate(both, lengths, 4, torch.float64, "cpu")
    loss, gradient = objective.loss_and_gradient(logits, target, lengths)
    assert torch.isinf(loss[:, 0]).all() and not gradient[:, :, 0].any()
    alone = objective.collate(both[1:], lengths[1:], 4, torch.float64, "cpu")
    expected_loss, expected_gradient = objective.loss_and_gradient(logits[:, :, 1:], alone, lengths[1:])
    torch.testing.assert_close(loss[:, 1:], expected_loss)
    torch.testing.assert_close(gradient[:, :, 1:], expected_gradient)


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradient_equals_autograd(name: str) -> None:
    """The closed form is the derivative of the loss, and exactly 0 on padding."""
    objective, logits, target, lengths, _ = batch(name)
    leaf = logits.clone().requires_grad_()
    expected = objective.loss(leaf, target, lengths)
    expected.sum().backward()
    loss, gradient = objective.loss_and_gradient(logits, target, lengths)
    assert not loss.requires_grad
    assert not gradient.requires_grad
    torch.testing.assert_close(loss, expected.detach(), **CLOSE)
    torch.testing.assert_close(gradient, leaf.grad, **CLOSE)
    assert gradient.abs().max() > 0.1
    for b, length in enumerate(lengths.tolist()):
        assert (gradient[length:, :, b] == 0).all()
        assert (leaf.grad is not None) and (leaf.grad[length:, :, b] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_the_slope_of_the_loss(name: str) -> None:
    """Central differences of the loss along a random direction agree with the gradient."""
    objective, logits, target, lengths, _ = batch(name, seed=1)
    direction = torch.randn(logits.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    _, gradient = objective.loss_and_gradient(logits, target, lengths)
    step = 1e-5
    up, down = (objective.loss(logits + sign * step * direction, target, lengths).sum() for sign in (1, -1))
    assert float((up - down) / (2 * step)) == pytest.approx(float((gradient * direction).sum()), rel=1e-7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("padded", [False, True])
def test_the_summed_loss_is_the_sum_of_the_losses(name: str, padded: bool) -> None:
    """A batch's loss in one number, and its gradient, equal the sum over its sequences, with padding and without."""
    objective, logits, target, lengths, targets = batch(name)
    if not padded:
        shortest = int(lengths.min())
        chosen = [index for index, length in enumerate(lengths.tolist()) if length == shortest]
        lengths = lengths[chosen]
        target = objective.collate([targets[index] for index in chosen], lengths, shortest, torch.float64, "cpu")
        logits = logits[:shortest, :, chosen]
    assert (target.mask is not None) == padded
    one, other = (logits[:, 0].clone().requires_grad_() for _ in range(2))
    whole, parts = objective.summed_loss(one, target, lengths), objective.loss(other.unsqueeze(1), target, lengths)
    assert whole.ndim == 0 and parts.shape == (1, len(lengths))
    torch.testing.assert_close(whole, parts.sum(), **CLOSE)
    torch.testing.assert_close(
        *(torch.autograd.grad(loss.sum(), leaf)[0] for loss, leaf in ((whole, one), (parts, other))), **CLOSE
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rubbish", [1e30, math.inf, math.nan])
def test_what_stands_in_the_padding_changes_nothing(name: str, rubbish: float) -> None:
    """Rubbish in padded logits, NaN included, leaves loss, gradient and score bitwise as they were."""
    objective, logits, target, lengths, _ = batch(name)
    spoilt = logits.clone()
    for b, length in enumerate(lengths.tolist()):
        spoilt[length:, :, b] = rubbish
    leaf = spoilt.clone().requires_grad_()
    objective.loss(leaf, target, lengths).sum().backward()
    for function in (objective.loss_and_gradient, objective.score):
        for got, expected in zip(function(spoilt, target, lengths), function(logits, target, lengths), strict=True):
            assert torch.equal(got, expected)
    torch.testing.assert_close(leaf.grad, objective.loss_and_gradient(logits, target, lengths)[1], **CLOSE)


@pytest.mark.parametrize("name", NAMES)
def test_more_padding_and_another_batch_change_nothing(name: str) -> None:
    """A sequence alone, without padding, has the loss, gradient and score it has in a padded batch of members."""
    objective, logits, target, lengths, targets = batch(name)
    loss, gradient = objective.loss_and_gradient(logits, target, lengths)
    numerator, denominator = objective.score(logits, target, lengths)
    for b, length in enumerate(lengths.tolist()):
        one = lengths[b : b + 1]
        alone = objective.collate(targets[b : b + 1], one, length, torch.float64, "cpu")
        view = logits[:length, 1:2, b : b + 1]
        alone_loss, alone_gradient = objective.loss_and_gradient(view, alone, one)
        torch.testing.assert_close(alone_loss[0, 0], loss[1, b], **CLOSE)
        torch.testing.assert_close(alone_gradient[:, 0, 0], gradient[:length, 1, b], **CLOSE)
        alone_numerator, alone_denominator = objective.score(view, alone, one)
        torch.testing.assert_close(alone_numerator[0, 0], numerator[1, b], **CLOSE)
        assert alone_denominator[0] == denominator[b]


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_float64_and_a_broken_net_scores_nan(name: str) -> None:
    """Numerators [P, B] and denominators [B] are float64 for float32 logits; NaN logits give NaN, only there."""
    objective, logits, target, lengths, targets = batch(name, dtype=torch.float32)
    numerator, denominator = objective.score(logits, target, lengths)
    assert (numerator.dtype, denominator.dtype) == (torch.float64, torch.float64)
    assert (tuple(numerator.shape), tuple(denominator.shape)) == ((3, len(targets)), (len(targets),))
    logits[0, 1, 2, 0] = math.nan
    broken, _ = objective.score(logits, target, lengths)
    expected = torch.zeros_like(broken, dtype=torch.bool)
    expected[1, 2] = True
    assert torch.equal(broken.isnan(), expected)
    assert torch.equal(broken[~expected], numerator[~expected])


def test_the_score_of_next_frame_is_nats_and_frames() -> None:
    """The numerator is the loss, the denominator the frames."""
    objective, logits, target, lengths, _ = batch("next_frame")
    numerator, denominator = objective.score(logits, target, lengths)
    torch.testing.assert_close(numerator, objective.loss(logits, target, lengths))
    assert denominator.tolist() == lengths.tolist()


def test_the_score_of_frames_counts_wrong_frames() -> None:
    """Wrong frames equal a count in plain numpy."""
    objective, logits, target, lengths, targets = batch("frames")
    numerator, denominator = objective.score(logits, target, lengths)
    expected = [
        [int((logits[: lengths[b], p, b].numpy().argmax(1) != targets[b]).sum()) for b in range(len(targets))]
        for p in range(3)
    ]
    assert numerator.tolist() == expected
    assert denominator.tolist() == lengths.tolist()


@pytest.mark.parametrize(
    ("path", "target", "distance"),
    [
        ("--aa-ab-", "aab", 0),
        ("aaaa", "aa", 1),
        ("a-a-", "aa", 0),
        ("----", "abc", 3),
        ("abab", "baba", 2),
        ("-c-b-a-", "abc", 2),
        ("abcabc", "a", 5),
    ],
)
def test_the_error_of_paths_worked_out_by_hand(path: str, target: str, distance: int) -> None:
    """Best path, merged, blanks dropped, then edit distance: hand-made examples ('-' is the blank)."""
    objective = get("ctc")
    logits = torch.zeros(len(path), 1, 1, 4)
    for t, symbol in enumerate(path):
        logits[t, 0, 0, "-abc".index(symbol)] = 3
    lengths = torch.tensor([len(path)])
    collated = objective.collate(
        [np.array(["abc".index(each) for each in target])], lengths, len(path), torch.float32, "cpu"
    )
    numerator, denominator = objective.score(logits, collated, lengths)
    assert (float(numerator), float(denominator)) == (distance, len(target))
    assert float(objective.reduce(numerator, denominator)[0]) == pytest.approx(100 * distance / len(target))


@given(st.lists(st.integers(0, 3), max_size=9), st.lists(st.integers(1, 3), min_size=1, max_size=6))
def test_decoding_and_distance_equal_the_textbook(path: list[int], target: list[int]) -> None:
    """For any path, the score is the textbook edit distance of the path collapsed by hand."""
    assert decode(path) == list(collapsed(tuple(path)))
    logits = torch.nn.functional.one_hot(torch.tensor([0, *path]), 4).double()[:, None, None]
    lengths = torch.tensor([len(path) + 1])
    objective = get("ctc")
    collated = objective.collate([np.array(target) - 1], lengths, len(path) + 1, torch.float64, "cpu")
    numerator, _ = objective.score(logits, collated, lengths)
    assert float(numerator) == edit_distance(decode(path), target)


def test_a_split_weighs_frames_and_its_second_view_weighs_sequences() -> None:
    """`reduce` is scale Σ/Σ, `reduce_per_sequence` scale times the mean of the quotients, each over the last axis."""
    numerator = torch.tensor([[1.0, 6.0], [0.0, 3.0]], dtype=torch.float64)
    denominator = torch.tensor([2.0, 6.0], dtype=torch.float64)
    assert get("next_frame").reduce(numerator, denominator).tolist() == [7 / 8, 3 / 8]
    assert get("next_frame").reduce_per_sequence(numerator, denominator).tolist() == [0.75, 0.25]
    assert get("frames").reduce(numerator, denominator).tolist() == [87.5, 37.5]


def test_chance_of_next_frame_is_the_best_constant() -> None:
    """The score of constant logits of the fitted probabilities equals chance, and nothing nearby is better on train."""
    corpus, objective = next_frame_corpus(), get("next_frame")

    def score(logits: np.ndarray, split: Any) -> float:
        frames = sum(len(target) for _, target in split)
        return sum(bernoulli_nats(np.tile(logits, (len(target), 1)), target) for _, target in split) / frames

    fitted = np.concatenate([target for _, target in corpus.train]).mean(0, dtype=np.float64)
    logits = np.log(fitted / (1 - fitted))
    assert objective.chance(corpus.train, corpus.test, ()) == pytest.approx(score(logits, corpus.test), rel=1e-12)
    best = score(logits, corpus.train)
    assert objective.chance(corpus.train, corpus.train, ()) == pytest.approx(best, rel=1e-12)
    for index, step in itertools.product(range(5), (-0.1, 0.1)):
        assert score(logits + step * np.eye(5)[index], corpus.train) > best


def test_chance_of_frames_is_the_majority_class_of_train() -> None:
    """The class most frequent in train is scored on test, though another is more frequent there."""
    x = np.zeros((4, 1), np.float32)
    corpus = Corpus(
        [(x, np.array([2, 2, 1, 0]))], [(x, np.array([0, 0, 0, 0]))], [(x, np.array([0, 0, 0, 2]))], ("a", "b", "c")
    )
    assert get("frames").chance(corpus.train, corpus.test, corpus.labels) == 75.0


def test_chance_of_ctc_is_the_best_constant_label() -> None:
    """One constant label saves one deletion in every text that has it; chosen on train."""
    x = np.zeros((6, 1), np.float32)
    pairs = [(x, np.array(each)) for each in ([0, 1], [1, 2], [1, 1, 0])]
    corpus = Corpus(pairs, pairs, [(x, np.array([0, 0, 2])), (x, np.array([1]))], ("a", "b", "c"))
    assert get("ctc").chance(corpus.train, corpus.train, corpus.labels) == pytest.approx(100 * 4 / 7)
    assert get("ctc").chance(corpus.train, corpus.test, corpus.labels) == 75.0


@pytest.mark.parametrize("name", NAMES)
def test_objectives_are_stateless_and_travel_to_workers(name: str) -> None:
    """An objective survives pickling, has no state, and says its metric, units, direction and scale."""
    objective = pickle.loads(pickle.dumps(get(name)))
    assert type(objective) is type(get(name))
    assert vars(objective) == {}
    assert (objective.name, objective.direction) == (name, "minimize")
    assert objective.scale == {"%": 100, "nats/frame": 1}[objective.units]
    assert len(objective.metric.split()) >= 2


def test_an_unknown_objective_is_refused_with_the_known_ones() -> None:
    """The error lists what there is, nearest first."""
    with pytest.raises(ValueError, match=r"'frame': not known; expected one of frames, next_frame, ctc"):
        get("frame")


def test_the_number_of_outputs_follows_the_corpus() -> None:
    """K is the target's width, the labels, or the labels and the blank."""
    assert get("next_frame").n_outputs(next_frame_corpus(width=6)) == 6
    assert get("frames").n_outputs(frames_corpus(classes=4)) == 4
    assert get("ctc").n_outputs(ctc_corpus(classes=4)) == 5


@pytest.mark.parametrize(
    ("name", "corpus", "message"),
    [
        ("next_frame", frames_corpus(), "the corpus has labels"),
        ("frames", next_frame_corpus(), "the corpus has no labels"),
        ("ctc", next_frame_corpus(), "the corpus has no labels"),
        ("frames", ctc_corpus(), r"train\[0\] has \d labels for \d+ frames"),
    ],
)
def test_a_corpus_of_another_objective_is_refused(name: str, corpus: Corpus, message: str) -> None:
    """Labels where frames are due, and the reverse, are one clear error before training."""
    with pytest.raises(CorpusError, match=message):
        get(name).n_outputs(corpus)


def test_targets_beyond_probabilities_are_refused() -> None:
    """A next frame with a value above 1 is no probability."""
    pair = (np.zeros((2, 1), np.float32), np.full((2, 1), 1.5, np.float32))
    with pytest.raises(CorpusError, match="from 0 to 1"):
        get("next_frame").n_outputs(Corpus([pair], [pair], [pair]))


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        (
            "ctc",
            (2, [0, 0]),
            "1 of 7 sequences cannot be trained on: {}: its 2 labels need 3 frames, it has 2. Expected a frame",
        ),
        (
            "frames",
            (2, [0]),
            "1 of 7 sequences cannot be trained on: {} has 1 labels for 2 frames. Expected one label a frame",
        ),
    ],
)
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_one_sequence_that_cannot_be_trained_on_is_named(name: str, wrong: Any, message: str, split: str) -> None:
    """Whatever its split, the one that does not fit is told with its numbers, and how many there are of how many."""

    def pair(frames: int, labels: list[int]) -> Any:
        return np.ones((frames, 3), np.float32), np.array(labels)

    fitting = pair(3, [0, 1, 0])
    splits = {"train": [fitting] * 3, "valid": [fitting], "test": [fitting] * 2}
    splits[split] = [*splits[split], pair(*wrong)]
    with pytest.raises(CorpusError, match=re.escape(message.format(f"{split}[{len(splits[split]) - 1}]"))):
        get(name).check(Corpus(**splits, labels=("a", "b")))
    splits[split] = [fitting]
    get(name).check(Corpus(**splits, labels=("a", "b")))


def test_of_many_that_do_not_fit_some_are_named_and_all_are_counted() -> None:
    """The first is described, four more are named, the others counted."""
    pairs = [(np.ones((2, 3), np.float32), np.array([0, 0, 0]))] * 9
    told = r"9 of 11 .*: train\[0\]: its 3 labels need 5 frames, it has 2; so it is with train\[1\], .*train\[4\] and 4 others"
    fitting = [(np.ones((2, 3), np.float32), np.array([0]))]
    with pytest.raises(CorpusError, match=told):
        get("ctc").check(Corpus(pairs, fitting, fitting, labels=("a",)))


@pytest.mark.parametrize("lengths", [[0, 2], [2, 9], [2]])
@pytest.mark.parametrize("name", NAMES)
def test_lengths_that_do_not_fit_are_refused(name: str, lengths: list[int]) -> None:
    """A length of 0, one beyond the batch, or too few of them is an error that names them."""
    targets = [np.zeros((2, 1), np.float32)] * 2 if name == "next_frame" else [np.zeros(2, np.int64)] * 2
    with pytest.raises(ValueError, match="objective"):
        get(name).collate(targets, torch.tensor(lengths), 4, torch.float32, "cpu")
