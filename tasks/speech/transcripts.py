"""Reads phones and their times: TIMIT's .PHN, festvox's .lab, Praat's .TextGrid.

Each reader returns segments (start, end, phone) in seconds, in order of time. Where two overlap, as a few of TIMIT do, the
later one begins where the earlier one ends, and is left out if nothing of it remains. A file that goes on by more than one
window (25 ms) after the sound's end is refused where the two meet, see `recordings`; what lies between is cut off.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

from lstm_odyssey.tasks.declare import CorpusError
from lstm_odyssey.tasks.files import locate
from lstm_odyssey.tasks.speech.features import Segment

MAX_BYTES = 2**20
"""No transcript of an utterance is larger."""
TIMIT_RATE = 16_000


def text_of(task: str, path: Path) -> str:
    """A small text file, UTF-8 or Latin-1. Errors: `CorpusError` if it cannot be read or is too large."""
    content = locate.bounded(task, path, MAX_BYTES, "it is no transcript. Use the original file.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def phn(task: str, path: Path) -> list[Segment]:
    """``start end phone`` a line, in samples at 16 kHz."""
    return _checked(task, path, _phn(task, path), "lines of start, end (samples) and phone")


def lab(task: str, path: Path) -> list[Segment]:
    """``end code phone`` a line, in seconds, after a line ``#``; each phone begins where the one before it ends."""
    return _checked(task, path, _lab(task, path), "a line # and then lines of end (seconds), a number and a phone")


def textgrid(task: str, path: Path) -> list[Segment]:
    """The intervals of the tier ``phones``, in seconds."""
    return _checked(task, path, _textgrid(task, path), "a TextGrid with an interval tier phones")


def _broken(task: str, path: Path, line: str, expected: str) -> CorpusError:
    return CorpusError(
        f"task {task!r}: {path} has {line[:80]!r}; expected {expected}. Use the original file, or leave the utterance out."
    )


def _checked(task: str, path: Path, segments: Iterator[tuple[str, float, float, str]], expected: str) -> list[Segment]:
    """The segments, none of them running backwards or overlapping; ``segments`` brings the line of each for the error."""
    found: list[Segment] = []
    before = covered = 0.0
    for line, start, end, phone in segments:
        if not (math.isfinite(end) and before <= start <= end):
            raise _broken(task, path, line, f"{expected}, each starting no earlier than the one before it")
        if start >= covered or end > covered:
            found.append((max(start, covered), end, phone))
        before, covered = start, max(covered, end)
    if not found:
        raise _broken(task, path, "", expected)
    return found


def _phn(task: str, path: Path) -> Iterator[tuple[str, float, float, str]]:
    for line in text_of(task, path).splitlines():
        words = line.split()
        if not words:
            continue
        try:
            start, end, phone = words
            yield line, int(start) / TIMIT_RATE, int(end) / TIMIT_RATE, phone.lower()
        except (ValueError, OverflowError):  # a whole number may be too large for a float
            raise _broken(task, path, line, "lines of start, end (samples) and phone") from None


def _lab(task: str, path: Path) -> Iterator[tuple[str, float, float, str]]:
    lines = text_of(task, path).splitlines()
    header = next((index for index, line in enumerate(lines) if line.strip() == "#"), len(lines))
    before = 0.0
    for line in lines[header + 1 :]:
        words = line.split()
        if not words:
            continue
        try:
            end, _, phone = words[:3]
            yield line, before, float(end), phone
        except ValueError:
            raise _broken(task, path, line, "end (seconds), a number and a phone a line") from None
        before = float(end)


INTERVAL = re.compile(r'xmin = (\S+)\s+xmax = (\S+)\s+text = "((?:[^"]|"")*)"')


def _textgrid(task: str, path: Path) -> Iterator[tuple[str, float, float, str]]:
    tiers = re.split(r"item \[\d+\]:", text_of(task, path))
    tier = next((each for each in tiers if re.search(r'name = "phones"', each)), None)
    if tier is None or '"IntervalTier"' not in tier:
        raise _broken(task, path, tiers[0].strip()[:60], "a TextGrid (long text format) with an interval tier phones")
    told = re.search(r"intervals: size = (\d+)", tier)
    intervals = INTERVAL.findall(tier.partition("intervals [1]")[2])
    if told is None or int(told[1]) != len(intervals):
        size = told[1] if told else "no"
        raise _broken(task, path, f"{len(intervals)} intervals", f"{size} intervals, as it says (is it truncated?)")
    for start, end, phone in intervals:
        line = f"{start} {end} {phone}"
        try:
            yield line, float(start), float(end), phone.strip()
        except ValueError:
            raise _broken(task, path, line, "times in seconds") from None
