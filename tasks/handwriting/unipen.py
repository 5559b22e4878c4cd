"""UNIPEN, real handwriting that anybody may have: lines of its text category, asked for their characters.

    features Δx, Δy, time since the stroke's start, pen-lift of a line (see ``ink``); target: its characters
    score = 100 Σ edit distance / Σ length, character error rate of the best path, %

11,936 lines of 304 writers, split by writer 8,821/1,511/1,604, 95 characters. Strokes of the lowered pen, resampled to 50
points a second, in thousandths of the line's height (of a tenth of its width, if that is more); y grows downwards as in
IAM-OnDB.

The corpus is given: a folder in UNIPEN's own format, an archive of it, or ``unipen_lines.npz``. From its own format are
read the segments TEXT of category 8 whose quality is not BAD and whose label has three characters or more, all of the 95;
a writer in neither list below is one of training. In the three contributors that could be compared it has the lines of
``unipen_lines.npz`` and 31 more, which go over two lines of paper.

Of the test lines 61 % have a text that occurs in training, by other writers: the error on the 566 of more words than one whose
text does not (`ink.unseen`) stands beside that on all.

Source: Guyon, Schomaker, Plamondon, Liberman, Janet, ICPR 1994; train_r01_v07, DOI 10.5281/zenodo.1195803, CC BY 4.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from os import PathLike
from pathlib import Path

import numpy as np

from lstm_odyssey.tasks.declare import PAPER_SPACE, Corpus, Task
from lstm_odyssey.tasks.files import archives, cache, locate
from lstm_odyssey.tasks.files.cache import SPLITS, Assembled
from lstm_odyssey.tasks.handwriting import ink, unipen_format, unipen_lines
from lstm_odyssey.tasks.handwriting.unipen_format import Text

URL = "https://doi.org/10.5281/zenodo.1195803"
RATE = 50
"""Points a second after resampling."""
UNITS = 1000
"""A line's height in whole numbers."""
CHARACTERS = tuple(map(chr, range(32, 127)))
"""The 95 characters of the labels: all that ASCII prints."""
SHORTEST = 3
"""A label has at least so many characters; shorter ones are no lines but letters."""
LINES = {"train": 8821, "valid": 1511, "test": 1604}
UNSEEN = "unseen text"
SPACE = PAPER_SPACE

WRITERS = {
    "valid": """
        aga: ElsbthEy greghunt
        apa: ArloReeves JeanHale
        app: DaveMeek LeslieMuzzio
        att: Jim_8433 diana_2015 jim_3078 kerstin_4574 usha_3527
        bba: aks
        bbd: jws
        cea: ra3198
        cec: LY3245 SV3771 TG4289 dk9085 sp4120
        ced: JIKA4257 KNDS0342 KNKE4574.A MWBK4038 RMNN2357 SIBI4900
        hpb: hpb5-jcb
        hpp: hpb2-ma hpb2-mg hpb3vs0 hpb3wf0
        lex: robie1 spanp1
        scr: d1_st000004 d1_ww000101 d1_ww000144 d1_ww000145 d1_ww000164
        sta: hpb0-asl hpb0-ja hpb0-lac hpb0-pm hpb0-rv
        """,
    "test": """
        aga: ScttJyns jhnshrly
        apa: IanFelix
        app: JimJones MikeKelly
        att: Koan_9169 Loretta_0039 Thomas_3215 barbara_5320 chris_5621 cynmthia_4571 enrique_6153 joe_9060
            richard_1732 tom_8557
        bba: dwc
        bbd: hlg jab sin
        cea: dt9764
        ceb: sb1210
        cec: JL4096 SA4548 ek2448 th3375 tp5791
        ced: AIKE2911 CADA7032 GYEN4328 NANK4257 PNLG5032 QALE4877
        hpb: hpb5-ang hpb5-das hpb5-ngb hpb5-scr hpb5-spc hpb5-swd
        hpp: hpb2-lb hpb3ek0 hpb3je0 hpb3rdc
        lex: robip1 rounp1
        scr: d1_st000024 d1_ww000088 d1_ww000139 d1_ww001115 d1_ww001119 d1_ww001121
        sta: hpb0-ckb hpb0-gl hpb0-sd
        """,
}
"""By contributor, the writers of validation and test in ``unipen_lines.npz``; all others are of training."""


def _split_of() -> dict[str, str]:
    """The split of each writer, ``contributor/writer``, that is not one of training."""
    found, contributor = {}, ""
    for split, text in WRITERS.items():
        for word in text.split():
            if word.endswith(":"):
                contributor = word[:-1]
            else:
                found[f"{contributor}/{word}"] = split
    return found


def line(text: Text) -> ink.Line:
    """A text's ink at 50 points a second, in thousandths of its height."""
    lengths = np.array([len(stroke) for stroke in text.strokes])
    points = np.concatenate(text.strokes)
    points = (points - points[0]) * [1, -1]
    ends = np.cumsum(lengths)
    ratio = text.rate / RATE
    kept = ((lengths - 1) / ratio).astype(np.int64) + 1
    within = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
    where = np.repeat(ends - lengths, kept) + np.minimum(within * ratio, np.repeat(lengths - 1, kept))
    place = np.stack([np.interp(where, np.arange(len(points)), points[:, axis]) for axis in (0, 1)], 1)
    width, height = np.ptp(place, axis=0)
    place *= UNITS / max(height, width / 10, 1)
    whole = np.concatenate([np.rint(place).astype(np.int64), within[:, None] * (1000 // RATE)], 1)
    features = ink.features(text.name, whole, kept, np.zeros(len(kept), np.int64))
    return ink.Line(text.name, features, text.label, text.writer)


def _chosen(texts: Iterable[Text], left_out: list[str]) -> Iterator[tuple[str, Text]]:
    """The texts that are lines, with their split; of others the name goes to ``left_out``."""
    split_of = _split_of()
    for text in texts:
        if len(text.label) < SHORTEST:
            continue
        if not set(text.label) <= set(CHARACTERS):
            left_out.append(text.name)
            continue
        yield split_of.get(text.writer, "train"), text


def _assembled(path: Path, found: Iterable[tuple[str, Text]], left_out: list[str], mixed: list[str]) -> Assembled:
    splits: dict[str, list[ink.Line]] = {split: [] for split in SPLITS}
    for split, text in found:
        splits[split].append(line(text))
    counts, warnings = {split: len(lines) for split, lines in splits.items()}, []
    if counts != LINES:
        told, usual = ("/".join(f"{count:,}" for count in each.values()) for each in (counts, LINES))
        warnings.append(f"{told} lines; unipen_lines.npz has {usual}")
    if left_out:
        warnings.append(f"{len(left_out)} lines with other characters than the 95 were left out, first {left_out[0]}")
    if mixed:
        warnings.append(f"{len(mixed)} lines of two writers or two rates were left out, first {mixed[0]}")
    provenance = f"{path.name}, {sum(counts.values())} lines of UNIPEN train_r01_v07, {URL}"
    return ink.assembled(f"task 'unipen': {path}", splits, provenance, warnings, CHARACTERS, UNSEEN)


def _read(place: Path) -> Assembled:
    """The lines of what the user gave, and what was left out of them."""
    left_out: list[str] = []
    mixed: list[str] = []
    if place.suffix == ".npz" and not place.is_dir():
        return _assembled(place, unipen_lines.texts("unipen", place), left_out, mixed)
    with nullcontext(place) if place.is_dir() else archives.unpacked("unipen", place) as folder:
        root = unipen_format.folder("unipen", folder)
        return _assembled(place, _chosen(unipen_format.texts("unipen", root, mixed), left_out), left_out, mixed)


def load(path: str | PathLike[str] | None = None) -> Corpus:
    """The corpus, from a folder in UNIPEN's format, an archive of it, or ``unipen_lines.npz``; from the cache if it was read.

    Errors: `CorpusError` if none is given, or if it cannot be read.
    """
    place = locate.locate("unipen", path)
    if place is None:
        raise locate.missing("unipen", "no corpus given", URL)
    root = unipen_format.folder("unipen", place) if place.is_dir() else place.parent
    files = sorted(file for file in root.rglob("*") if file.is_file()) if place.is_dir() else [place]
    return cache.kept(cache.name("unipen", {"called": place.name}, files, root), lambda: _read(place))


task = Task(
    load,
    objective="ctc",
    family="handwriting",
    bidirectional=True,
    space=SPACE,
    url=URL,
    licence="CC BY 4.0",
    collection="open-corpora",
    chance=96.9687,
    reference=(
        'I. Guyon, L. Schomaker, R. Plamondon, M. Liberman, S. Janet, "UNIPEN project of on-line data exchange and recognizer '
        'benchmarks", ICPR 1994; train_r01_v07, https://doi.org/10.5281/zenodo.1195803'
    ),
)
