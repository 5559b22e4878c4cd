"""Features and labels of frames against independent computations."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import fft, signal

from lstm_odyssey.tasks import objectives, views
from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.speech import features, phones
from lstm_odyssey.tasks.speech.assemble import spans
from tests.tasks.speech import trees


def mel(hertz):
    return 1127 * np.log(1 + np.asarray(hertz, dtype=np.float64) / 700)


def independent(samples, rate):
    """MFCC and log energy by numpy and scipy in float64, as the text of ``features`` says them."""
    window, shift = int(rate * 0.025), int(rate * 0.01)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), window)[::shift]
    energy = np.log(np.maximum((frames**2).sum(1), np.finfo(np.float32).eps))
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    size = 1 << (window - 1).bit_length()
    power = np.abs(fft.rfft((frames - 0.97 * before) * signal.windows.hamming(window, sym=True), size)) ** 2
    edges = np.linspace(0, mel(rate / 2), 28)
    at = mel(np.arange(size // 2) * rate / size)  # the last bin, at half the rate, has no weight
    weights = np.array([np.interp(at, edges[j : j + 3], [0, 1, 0]) for j in range(26)])
    logs = np.log(np.maximum(power[:, : size // 2] @ weights.T, np.finfo(np.float32).eps))
    cepstra = fft.dct(logs, type=2, norm="ortho")[:, 1:13]
    lifter = 1 + 11 * np.sin(np.pi * np.arange(1, 13) / 22)
    return np.concatenate([cepstra * lifter, energy[:, None]], axis=1)


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_cepstra_equal_an_independent_computation(rate):
    """Of a made sound all 13 components agree with numpy and scipy in float64, far below what a network could see."""
    samples = trees.samples([("a", 0.3), ("pau", 0.1), ("sch", 0.2)], seed=3, rate=rate).astype(np.float32)
    found, expected = features.mfcc("made", samples, rate), independent(samples, rate)
    assert found.shape == expected.shape == (features.n_frames(len(samples), rate), 13)
    assert found.dtype == np.float32 and len(found) > 50
    assert np.abs(found - expected).max() < 2e-3 and expected.std(0).min() > 0.5


def test_silence_has_finite_features():
    """Digital silence, and a file that is one window long, have finite features."""
    assert np.isfinite(features.mfcc("made", np.zeros(1000, np.float32), 16_000)).all()
    assert features.mfcc("made", np.zeros(400, np.float32), 16_000).shape == (1, 13)
    assert features.mfcc("made", np.zeros(399, np.float32), 16_000).shape == (0, 13)


def test_differences_are_central_twice():
    """Δ is half the difference of the neighbours, ΔΔ the same of Δ; at the ends one-sided."""
    x = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    found = features.with_differences(x)
    first = np.concatenate([[x[1] - x[0]], (x[2:] - x[:-2]) / 2, [x[-1] - x[-2]]])
    assert found.shape == (7, 9) and found.dtype == np.float32
    np.testing.assert_allclose(found[:, 3:6], first, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found[1:-1, 6:], (first[2:] - first[:-2]) / 2, rtol=1e-6, atol=1e-6)


def test_a_frame_has_the_phone_of_most_of_its_samples():
    """Labels equal a count of every window's samples, one by one; a phone that comes twice counts twice."""
    generator = np.random.default_rng(1)
    bounds = np.unique(generator.integers(0, 9000, 40))
    segments = [
        (a / 16_000, b / 16_000, "abc"[index % 3])
        for index, (a, b) in enumerate(itertools.pairwise([0, *bounds, 9000]))
    ]
    per_sample = [name for start, end, name in segments for _ in range(round((end - start) * 16_000))]
    found = features.frame_labels(segments, "abc", 9000, 16_000)
    assert len(per_sample) == 9000 and len(found) == 54 and len(set(found.tolist())) == 3
    for t, label in enumerate(found):
        counts = Counter(per_sample[160 * t : 160 * t + 400])
        assert counts["abc"[label]] == max(counts.values())


def test_what_no_phone_covers_is_silence():
    """Gaps at the beginning, within and at the end are filled, what lies beyond the sound is cut, nothing overlaps."""
    found = features.filled([(0.1, 0.2, "a"), (0.3, 0.4, "b"), (0.35, 0.5, "c"), (0.9, 1.2, "d")], 1.0, "h#")
    assert found[0] == (0.0, 0.1, "h#") and (0.2, 0.3, "h#") in found and (0.5, 0.9, "h#") in found
    assert found[-1] == (0.9, 1.0, "d")
    assert all(first[1] == second[0] for first, second in itertools.pairwise(found)) and (0.4, 0.5, "c") in found
    assert features.filled([(0.0, 0.5, "a")], 0.8, "h#")[-1] == (0.5, 0.8, "h#")


def test_an_utterance_is_cut_in_its_long_pauses():
    """A pause of 14 frames stays, one of 15 is halved; at the ends there is no cut; no frame is lost."""
    classes = np.repeat(np.uint8([0, 1, 0, 2, 0, 1, 0]), [20, 30, 14, 30, 15, 30, 20])
    assert spans(classes, pause=0, masked=None) == [(0, 101), (101, 159)]
    assert spans(classes, pause=None, masked=None) == [(0, 159)]


def test_masked_frames_are_left_out_and_so_are_short_rests():
    """The frames of a masked class are in no sequence, and what remains of under 10 frames is left out with them."""
    classes = np.repeat(np.uint8([0, 9, 1, 9, 2]), [12, 3, 9, 1, 10])
    assert spans(classes, pause=None, masked=9) == [(0, 12), (25, 35)]
    assert spans(classes[:5], pause=None, masked=9) == [(0, 5)]


def test_a_missing_package_names_the_extra(monkeypatch):
    """Without kaldi-native-fbank the one error says which command installs it."""
    monkeypatch.setitem(__import__("sys").modules, "kaldi_native_fbank", None)
    with pytest.raises(
        CorpusError, match=r"task 'timit': it needs the package kaldi-native-fbank.*lstm-odyssey\[corpora\]"
    ):
        features.mfcc("timit", np.zeros(400, np.float32), 16_000)


def test_sixty_one_phones_fold_to_thirty_nine():
    """Every phone has a class; 61 become 39; q is left out; the classes are phones of their own, and silence."""
    assert len(phones.TIMIT) == len(set(phones.TIMIT)) == 61 and set(phones.FOLDING) == set(phones.TIMIT)
    names, index = views.folded(phones.TIMIT, phones.FOLDING)
    assert len(names) == 39 and "sil" in names and set(names) - {"sil"} <= set(phones.TIMIT)
    assert [phone for phone, place in zip(phones.TIMIT, index, strict=True) if place < 0] == ["q"]
    assert len(phones.ARPABET) == 40 == len(set(phones.ARPABET))


def test_the_folded_error_counts_what_differs_after_folding():
    """zh for sh is right, aa for ih is wrong, a frame of q does not count, q said for another phone is wrong."""
    said, meant = (
        torch.tensor([phones.TIMIT.index(phone) for phone in line.split()]) for line in ("zh aa q q", "sh ih q pau")
    )
    _, index = views.folded(phones.TIMIT, phones.FOLDING)
    objective, lengths = objectives.get("frames"), torch.tensor([4])
    target = objective.collate([meant.numpy()], lengths, 4, torch.float32, "cpu")
    logits = torch.nn.functional.one_hot(said, 61).float()[:, None, None]
    above, below = objective.folded_score(logits, target, lengths, torch.from_numpy(index))
    assert (above.tolist(), below.tolist()) == ([[2.0]], [3.0])
