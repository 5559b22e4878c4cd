"""Sound files of three formats, whole, cut short anywhere, and with headers that lie."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.speech import audio, features
from tests.tasks.speech import trees

SAMPLES = trees.samples([("a", 0.1), ("pau", 0.02)])
KINDS = {"WAV": "riff", "NIST": "nist", "FLAC": "flac"}


@pytest.fixture(params=KINDS)
def sound(request, tmp_path):
    """A file of each format under a name that says nothing."""
    trees.write_sound(tmp_path / "sound", SAMPLES, request.param)
    assert audio.kind("made", tmp_path / "sound") == KINDS[request.param]
    return tmp_path / "sound"


def test_every_format_has_the_same_samples(sound):
    """Sixteen-bit integers come back as themselves, with the rate."""
    found, rate = audio.read("made", sound)
    assert rate == 16_000 and found.dtype == np.float32 and np.array_equal(found, SAMPLES)


@pytest.mark.parametrize("keep", [0, 3, 11, 15, 30, 43, 200, 1023, 1500, -2])
def test_a_file_cut_anywhere_is_one_clear_error(sound, keep):
    """Within the first bytes, the header or the data: never a shorter sound, never another error."""
    sound.write_bytes(sound.read_bytes()[:keep])
    with pytest.raises(CorpusError, match=r"task 'made': .*sound.* (Get|Use) the original file"):
        audio.read("made", sound)


def test_a_riff_header_that_claims_four_gigabytes_asks_for_no_memory(tmp_path):
    """The size of the data chunk is compared with the file's; a chunk that points beyond the end has no data behind it."""
    trees.write_sound(tmp_path / "x.wav", SAMPLES)
    content = tmp_path.joinpath("x.wav").read_bytes()
    size = struct.pack("<I", 2 * len(SAMPLES))
    assert content.count(b"data" + size) == 1
    (tmp_path / "x.wav").write_bytes(content.replace(b"data" + size, b"data" + b"\xff" * 4))
    with pytest.raises(
        CorpusError, match="claims 2147483647 samples, 4294967295 bytes from byte 44; the file has 3884 bytes"
    ):
        audio.read("made", tmp_path / "x.wav")
    (tmp_path / "x.wav").write_bytes(content.replace(b"fmt \x10\x00\x00\x00", b"fmt " + b"\xff" * 4))
    with pytest.raises(CorpusError, match="it has no fmt and data chunk"):
        audio.read("made", tmp_path / "x.wav")


def test_a_chunk_before_the_data_is_passed_over(tmp_path):
    """A list of odd length stands between format and data, as many programs write one."""
    trees.write_sound(tmp_path / "x.wav", SAMPLES)
    content = tmp_path.joinpath("x.wav").read_bytes()
    extra = b"LIST\x05\x00\x00\x00INFO\x00\x00"
    whole = content[:36] + extra + content[36:]
    (tmp_path / "x.wav").write_bytes(whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:])
    assert np.array_equal(audio.read("made", tmp_path / "x.wav")[0], SAMPLES)


def test_samples_that_are_no_number_are_refused(tmp_path):
    """A file of floats may hold NaN, which would be the mean of all features."""
    spoilt = SAMPLES.astype(np.float32)
    spoilt[7] = np.nan
    trees.soundfile.write(tmp_path / "x.wav", spoilt, 16_000, subtype="FLOAT")
    with pytest.raises(CorpusError, match="has samples that are no number; expected finite ones"):
        audio.read("made", tmp_path / "x.wav")


@pytest.mark.parametrize("rate", [1, 50, 100, 1000, 3999])
def test_a_rate_too_low_for_speech_is_refused(tmp_path, rate):
    """A window of such a sound has few samples or none, and 26 filters have no room: the file is named, and its rate."""
    trees.write_sound(tmp_path / "x.wav", SAMPLES, rate=rate)
    with pytest.raises(
        CorpusError, match=rf"task 'made': .*x\.wav has {rate} samples a second; expected at least 4000\."
    ):
        audio.read("made", tmp_path / "x.wav")
    trees.write_sound(tmp_path / "x.wav", SAMPLES, rate=audio.MIN_RATE)
    assert np.isfinite(features.mfcc("made", *audio.read("made", tmp_path / "x.wav"))).all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(where=st.integers(0, 5000), rubbish=st.binary(min_size=1, max_size=40))
def test_rubbish_never_escapes_as_another_error(sound, where, rubbish):
    """Any bytes over any place of a good file: samples or the one kind of error."""
    good = sound.read_bytes()
    spoilt = sound.with_name("spoilt")
    at = where % len(good)
    spoilt.write_bytes(good[:at] + rubbish + good[at + len(rubbish) :])
    try:
        samples, _ = audio.read("made", spoilt)
    except CorpusError as error:
        assert str(error).startswith("task 'made': ")
    else:
        assert samples.ndim == 1
