"""Mel-frequency cepstra of a waveform, their differences, and the phone of each frame.

Frame t covers the samples [10 ms t, 10 ms t + 25 ms); a waveform of n samples has 1 + (n - 25 ms) // 10 ms frames. Of each:

    s'_i = s_i - .97 s_{i-1},  s'_0 = (1 - .97) s_0        pre-emphasis within the frame
    P_k  = |DFT(hamming · s')_k|²                          zeros up to a power of two
    m_j  = ln Σ_k w_jk P_k                                 26 triangles, equal steps of 1127 ln(1 + f / 700), 0 to rate / 2
    c_n  = sqrt(2 / 26) Σ_j m_j cos(π n (j - 1/2) / 26)    n = 1..12
    x_n  = (1 + 11 sin(π n / 22)) c_n                      lifter of 22
    x_13 = ln Σ_i s_i²                                     energy of the raw frame

Samples count in units of a 16-bit integer. This is HTK's MFCC_E (The HTK Book 3.4, chapter 5) with its usual settings, but
for the square of the spectrum where HTK takes the magnitude; no dither and no offset removed. Energies are at least the
least float32 step, 2⁻²³. kaldi-native-fbank (Apache-2.0) computes it.

Source of Δ and of a frame's label: the framework of Greff et al.: Δ is ``numpy.gradient`` along time, ΔΔ the same of Δ, and
a frame's label is the phone that covers most samples of its window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lstm_odyssey.tasks import extra

WINDOW, SHIFT = 0.025, 0.01
"""Seconds."""
WIDTH = 13
"""12 cepstra and the energy."""

Segment = tuple[float, float, str]
"""Start and end in seconds, and the phone."""


def options(rate: int) -> dict[str, Any]:
    """The settings of kaldi-native-fbank, by name; those of ``frame_opts`` and ``mel_opts`` with a dot."""
    return {
        "frame_opts.samp_freq": rate,
        "frame_opts.frame_length_ms": 1000 * WINDOW,
        "frame_opts.frame_shift_ms": 1000 * SHIFT,
        "frame_opts.window_type": "hamming",
        "frame_opts.preemph_coeff": 0.97,
        "frame_opts.dither": 0.0,
        "frame_opts.remove_dc_offset": False,
        "frame_opts.snip_edges": True,
        "mel_opts.num_bins": 26,
        "mel_opts.low_freq": 0.0,
        "mel_opts.high_freq": 0.0,
        "num_ceps": WIDTH,
        "use_energy": True,
        "raw_energy": True,
        "energy_floor": 0.0,
        "cepstral_lifter": 22.0,
        "htk_compat": True,
    }


def samples_of(seconds: float, rate: int) -> int:
    """Whole samples, as kaldi-native-fbank counts them."""
    return int(rate * 0.001 * (1000 * seconds))


def n_frames(n_samples: int, rate: int) -> int:
    """How many frames a waveform has; 0 if it is shorter than one window.

    Example:
        >>> n_frames(16_000, 16_000), n_frames(399, 16_000)
        (98, 0)
    """
    window = samples_of(WINDOW, rate)
    return 0 if n_samples < window else 1 + (n_samples - window) // samples_of(SHIFT, rate)


def mfcc(task: str, samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """[T, 13] of a waveform [n]. Errors: `CorpusError` if kaldi-native-fbank is not installed."""
    kaldi = extra.package(task, "kaldi_native_fbank")
    settings = kaldi.MfccOptions()
    for name, value in options(rate).items():
        part, _, field = name.rpartition(".")
        setattr(getattr(settings, part) if part else settings, field, value)
    computer = kaldi.OnlineMfcc(settings)
    computer.accept_waveform(rate, samples)
    computer.input_finished()
    rows = [computer.get_frame(t) for t in range(computer.num_frames_ready)]
    return np.array(rows, dtype=np.float32).reshape(len(rows), WIDTH)


def with_differences(features: NDArray[Any]) -> NDArray[np.float32]:
    """[T, 3 M] of [T, M], T >= 2: the features, Δ and ΔΔ.

    Example:
        >>> with_differences(np.array([[0.0], [1.0], [4.0]])).tolist()
        [[0.0, 1.0, 1.0], [1.0, 2.0, 1.0], [4.0, 3.0, 1.0]]
    """
    features = np.asarray(features, dtype=np.float32)
    first = np.gradient(features, axis=0)
    return np.concatenate([features, first, np.gradient(first, axis=0)], axis=1, dtype=np.float32)


def frame_labels(segments: Sequence[Segment], classes: Sequence[str], n_samples: int, rate: int) -> NDArray[np.uint8]:
    """The class [T] that covers most samples of each frame's window; on a tie, the first of the classes.

    Args:
        segments: in order of time, and every sample covered: see `filled`.
        classes: names, at most 256.

    Example:
        >>> frame_labels([(0.0, 0.02, "a"), (0.02, 0.045, "b")], ["b", "a"], 720, 16_000).tolist()
        [1, 0, 0]
    """
    start = samples_of(SHIFT, rate) * np.arange(n_frames(n_samples, rate))[:, None]
    bounds = np.round(np.array([segment[:2] for segment in segments]) * rate)
    first = np.maximum(start, bounds[:, 0])
    last = np.minimum(start + samples_of(WINDOW, rate), bounds[:, 1])
    number = {name: index for index, name in enumerate(classes)}
    member = np.zeros((len(segments), len(classes)))
    member[np.arange(len(segments)), [number[segment[2]] for segment in segments]] = 1
    covered: NDArray[np.float64] = np.maximum(last - first, 0) @ member
    labels: NDArray[np.uint8] = covered.argmax(1).astype(np.uint8)
    return labels


def filled(segments: Sequence[Segment], seconds: float, silence: str) -> list[Segment]:
    """The segments cut at the waveform's end, with ``silence`` wherever there is none; in order of time, not overlapping.

    Of two segments that overlap the later one begins where the earlier one ends; it is gone if nothing of it remains.

    Example:
        >>> filled([(0.1, 0.2, "a"), (0.2, 0.5, "b")], 0.4, "h#")
        [(0.0, 0.1, 'h#'), (0.1, 0.2, 'a'), (0.2, 0.4, 'b')]
    """
    found: list[Segment] = []
    now = 0.0
    for start, end, phone in [*segments, (seconds, seconds, silence)]:
        start, end = max(start, now), min(end, seconds)
        if start > now:
            found.append((now, min(start, seconds), silence))
        if end > start:
            found.append((start, end, phone))
        now = max(now, end)
    return found
