"""Tasks and corpora: the two of this package, the records they are made of, and the distributions of their spaces."""

from __future__ import annotations

import ast
import dataclasses
import functools
import gzip
import hashlib
import http.server
import itertools
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lstm_odyssey.tasks import bach, build_bach, declare, jsb_chorales, music
from lstm_odyssey.tasks.declare import (
    PAPER_SPACE,
    Choice,
    Corpus,
    CorpusError,
    Distribution,
    EvenInteger,
    LogUniform,
    OneMinus,
    Uniform,
    distribution_from_dict,
)
from lstm_odyssey.tasks.files import locate
from lstm_odyssey.tasks.objectives import get
from tests.corpora import CORPORA, ROOT, made_task, next_frame_corpus, real_file

JSB = "JSB Chorales.pickle"


@pytest.fixture(autouse=True)
def _no_data_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the user's folder nor the user's cache nor the network takes part."""
    monkeypatch.delenv("ODYSSEY_DATA", raising=False)
    monkeypatch.setenv("ODYSSEY_OFFLINE", "1")
    monkeypatch.setattr(locate, "cache_folder", lambda: tmp_path / "cache")


# The two corpora


def test_the_chance_level_of_bach_is_the_declared_one() -> None:
    """The best constant prediction of the embedded corpus scores what the task declares, to four digits."""
    corpus = bach.task.load(None)
    assert bach.task.chance == round(get("next_frame").chance(corpus.train, corpus.test, ()), 4)


def test_bach_is_the_corpus_of_its_docstring() -> None:
    """354 pieces, split 212/71/71, 62.6 frames on average before the first is taken off, 0/1, nothing to warn of."""
    corpus = bach.task.load(None)
    lengths = [len(features) + 1 for split in corpus.splits.values() for features, _ in split]
    assert [len(split) for split in corpus.splits.values()] == [212, 71, 71]
    assert round(float(np.mean(lengths)), 1) == 62.6
    assert (corpus.input_size, corpus.labels, corpus.warnings) == (88, (), ())
    assert {0.0, 1.0} == set(np.unique(np.concatenate([features for features, _ in corpus.train])).tolist())


def test_the_embedded_file_is_the_shared_one() -> None:
    """The file in the package is, byte for byte, the one that was handed over."""
    assert bach.FILE.read_bytes() == real_file(bach.FILE.name).read_bytes()


def test_the_embedded_corpus_carries_its_notice() -> None:
    """A NOTICE that names source, licence and changes lies beside the file, and the repository's NOTICE names both."""
    notice = bach.FILE.with_name("bach_music21_quarter.NOTICE").read_text(encoding="utf-8")
    assert all(word in notice for word in ("Source", "Licence", "Changed", "music21 10.5.1"))
    top = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert "bach_music21_quarter.json.gz" in top
    assert "bach_music21_quarter.NOTICE" in top


def test_bach_splits_by_name_disjoint_and_the_same_every_time() -> None:
    """No piece is in two splits, none is lost, and neither the order of the file nor a second call moves one."""
    names = list(bach.decode("bach", bach.FILE.read_bytes()))
    parts = bach.split(names)
    assert parts == bach.split(reversed(names)) == bach.split(set(names))
    assert sorted(itertools.chain(*parts.values())) == sorted(names)
    assert len(set(names)) == len(names) == 354
    assert bach.task.load(None).fingerprint == bach.task.load(None).fingerprint
    assert parts["test"][:3] == ["bwv385", "bwv433", "bwv248.42-s"]


def test_the_embedded_pieces_are_what_the_build_script_promises() -> None:
    """Names in order, shifts of 6 to 17, no silent ends, no near-duplicates: the properties of a rebuilt corpus."""
    pieces = json.loads(gzip.decompress(bach.FILE.read_bytes()))
    assert [piece["name"] for piece in pieces] == sorted(piece["name"] for piece in pieces)
    assert all(6 <= piece["shift"] <= 17 and piece["frames"][0] and piece["frames"][-1] for piece in pieces)
    chords = [{tuple(chord) for chord in piece["frames"]} for piece in pieces]
    worst = max((len(a & b) / len(a | b), m, n) for (m, a), (n, b) in itertools.combinations(enumerate(chords), 2))
    assert [pieces[index]["name"] for index in worst[1:]] == ["bwv166.6", "bwv84.5"]
    assert worst[0] == build_bach.similarity(pieces[worst[1]]["frames"], pieces[worst[2]]["frames"]) < build_bach.NEAR


def test_the_build_script_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    """Without its one argument it prints its usage."""
    assert build_bach.main([]) == 2
    assert "build_bach OUT" in capsys.readouterr().err


def test_targets_are_the_next_frames() -> None:
    """At every frame the target is the input of the next one."""
    for features, target in bach.task.load(None).train[:20]:
        assert np.array_equal(features[1:], target[:-1])


def test_a_given_bach_says_that_it_is_another_corpus(tmp_path: Path) -> None:
    """A file of the same form is read, warned about, and has a fingerprint of its own."""
    pieces = json.loads(gzip.decompress(bach.FILE.read_bytes()))[:10]
    (tmp_path / "mine.json.gz").write_bytes(gzip.compress(json.dumps(pieces).encode()))
    corpus = bach.load(tmp_path / "mine.json.gz")
    assert [len(split) for split in corpus.splits.values()] == [6, 2, 2]
    assert corpus.warnings[0].startswith("not the embedded corpus: mine.json.gz")
    assert corpus.fingerprint != bach.load().fingerprint


def test_the_chance_level_of_the_real_jsb_is_the_published_one() -> None:
    """11.09 nats a frame weighted by frames and 11.04 as the mean over pieces, fitted on targets or on all frames."""
    corpus = jsb_chorales.task.load(real_file(JSB))
    objective = get("next_frame")
    assert round(objective.chance(corpus.train, corpus.test, ()), 2) == 11.09
    assert round(objective.chance(corpus.train, corpus.test, ()), 4) == jsb_chorales.task.chance
    everything = [np.concatenate([features[:1], target]) for features, target in corpus.train]
    for frames, weighted, mean in (
        (np.concatenate([target for _, target in corpus.train]), 11.0904, 11.0359),
        (np.concatenate(everything), 11.0907, 11.0360),
    ):
        p = np.clip(frames.mean(0, dtype=np.float64), 1e-6, 1 - 1e-6)
        nats = [np.where(target == 1, -np.log(p), -np.log1p(-p)).sum(1) for _, target in corpus.test]
        assert round(np.concatenate(nats).mean(), 4) == weighted
        assert round(float(np.mean([piece.mean() for piece in nats])), 4) == mean


def test_the_real_jsb_is_the_corpus_of_the_paper() -> None:
    """229/76/77 pieces, 60.56 frames on average, notes 43 to 96."""
    corpus = jsb_chorales.task.load(real_file(JSB))
    assert [len(split) for split in corpus.splits.values()] == [229, 76, 77]
    pieces = [np.concatenate([features[:1], target]) for split in corpus.splits.values() for features, target in split]
    assert round(float(np.mean([len(piece) for piece in pieces])), 2) == 60.56
    used = np.flatnonzero(np.concatenate(pieces).any(0)) + music.LOWEST
    assert (used.min(), used.max()) == (43, 96)


# Where a corpus lies


def test_a_corpus_lies_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A given path goes before $ODYSSEY_DATA, where TASK or TASK.* is found and nothing that only begins alike."""
    for name in ("jsb_chorales.pickle", "jsb_chorales_old.pickle", "given"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setenv("ODYSSEY_DATA", str(tmp_path))
    assert locate.locate("jsb_chorales") == tmp_path / "jsb_chorales.pickle"
    assert locate.locate("jsb_chorales", tmp_path / "given") == tmp_path / "given"
    assert locate.locate("timit") is None
    (tmp_path / "jsb_chorales").mkdir()
    with pytest.raises(CorpusError, match=r"holds jsb_chorales, jsb_chorales.pickle; expected one"):
        locate.locate("jsb_chorales")


def test_the_real_jsb_is_found_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$ODYSSEY_DATA/jsb_chorales may be the folder that holds the file under its own name."""
    (tmp_path / "jsb_chorales").mkdir()
    (tmp_path / "jsb_chorales" / JSB).write_bytes(real_file(JSB).read_bytes())
    monkeypatch.setenv("ODYSSEY_DATA", str(tmp_path))
    assert jsb_chorales.load().fingerprint == jsb_chorales.load(real_file(JSB)).fingerprint


@pytest.mark.parametrize("path", ["nowhere", "."])
def test_a_path_that_leads_nowhere_is_one_clear_error(tmp_path: Path, path: str) -> None:
    """A path that does not exist, or a folder without the file, is named together with the way out."""
    with pytest.raises(CorpusError, match=r"task 'jsb_chorales': .* Pass .*--data jsb_chorales="):
        jsb_chorales.load(tmp_path / path)


def test_odyssey_data_must_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that does not exist is said, not passed over."""
    monkeypatch.setenv("ODYSSEY_DATA", str(tmp_path / "gone"))
    with pytest.raises(CorpusError, match="ODYSSEY_DATA is .*gone.*; expected a folder"):
        bach.load()


def test_a_missing_corpus_offline_says_what_to_do() -> None:
    """Without the file and forbidden to download, the one error names both ways to hand it in."""
    with pytest.raises(CorpusError) as error:
        jsb_chorales.load()
    assert str(error.value) == (
        "task 'jsb_chorales': not on this machine, and ODYSSEY_OFFLINE forbids the download. Pass --data "
        f"jsb_chorales=PATH or set ODYSSEY_DATA; the corpus is at {jsb_chorales.URL}."
    )


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address of a web server on this machine that serves it."""
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def test_a_download_happens_once_is_checked_and_has_a_mirror(
    server: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong file at the first address is refused, the mirror's is kept, and later needs no network."""
    folder, address = server
    (folder / "wrong").write_bytes(b"something else")
    (folder / "right").write_bytes(b"the corpus")
    checksum = hashlib.sha256(b"the corpus").hexdigest()
    monkeypatch.delenv("ODYSSEY_OFFLINE")
    with pytest.raises(CorpusError, match=r"the download failed \(.*wrong: ValueError.*absent: .*Pass --data toy=PATH"):
        locate.download("toy", "file", checksum, f"{address}/wrong", f"{address}/absent")
    got = locate.download("toy", "file", checksum, f"{address}/wrong", f"{address}/right")
    assert got.read_bytes() == b"the corpus"
    monkeypatch.setenv("ODYSSEY_OFFLINE", "1")
    assert locate.download("toy", "file", checksum, f"{address}/gone") == got
    got.write_bytes(b"damaged")
    with pytest.raises(CorpusError, match="ODYSSEY_OFFLINE forbids"):
        locate.download("toy", "file", checksum, f"{address}/right")


# The records


@pytest.mark.parametrize("task", [bach.task, jsb_chorales.task], ids=["bach", "jsb_chorales"])
def test_both_tasks_declare_what_the_suite_shows(task: declare.Task) -> None:
    """Objective, family, space, licence, address, checksum and chance level are there, and the task is picklable."""
    assert (task.objective, task.family, task.bidirectional) == ("next_frame", "music", False)
    assert task.space == PAPER_SPACE
    assert task.licence
    assert task.url
    assert task.checksum
    assert task.chance is not None
    assert task.chance > 0
    assert task.embedded is (task is bach.task)
    assert pickle.loads(pickle.dumps(task)) == task


def test_listing_tasks_imports_no_torch() -> None:
    """Importing both tasks and loading the embedded corpus needs neither torch, nor scipy, nor pooch."""
    code = (
        "import sys; from lstm_odyssey.tasks import bach, jsb_chorales; bach.task.load(None); "
        "print([name for name in ('torch', 'scipy', 'pooch', 'rapidfuzz') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tasks_know_no_cell_and_no_trainer() -> None:
    """Files of tasks/ import nothing of this package but tasks/."""
    files = sorted((ROOT / "tasks").rglob("*.py"))
    assert len(files) > 10
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            names = (
                [module]
                if module
                else [each.name for each in getattr(node, "names", []) if isinstance(node, ast.Import)]
            )
            for name in names:
                assert not name.startswith("lstm_odyssey") or name.startswith("lstm_odyssey.tasks"), (file, name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"load": "a path"}, "load is 'a path'"),
        ({"objective": "regression"}, "objective is 'regression'; expected one of next_frame, frames, ctc"),
        ({"bidirectional": True}, "sees the next frame"),
        ({"family": ""}, "family is ''"),
        ({"licence": None}, "licence is None"),
        ({"space": {}}, "space is {}"),
        ({"space": {"learning_rate": 0.1}}, r"space\['learning_rate'\] is 0.1; expected a distribution"),
        ({"checksum": "md5:12"}, "checksum is 'md5:12'"),
        ({"chance": float("nan")}, "chance is nan"),
        ({"collection": " "}, "collection is ' '; expected a name, or None"),
        ({"collection": 3}, "collection is 3"),
    ],
)
def test_a_malformed_task_is_refused(change: dict[str, Any], message: str) -> None:
    """Every field is checked when the task is made; the error names it."""
    with pytest.raises((TypeError, ValueError), match=message):
        made_task(**change)


X = np.zeros((3, 2), np.float32)
SPOILT = X.copy()
SPOILT[1, 1] = np.nan


@pytest.mark.parametrize(
    ("pairs", "labels", "message"),
    [
        ([], (), "split valid is empty"),
        ([(X,)], (), r"valid\[0\]: 1 parts; expected the pair"),
        (
            [(X, X), (X.astype(np.float64), X)],
            (),
            r"valid\[1\]: features is float64 of shape \(3, 2\); expected float32",
        ),
        ([(X[:, 0], X)], (), "features is float32 of shape"),
        ([(np.asfortranarray(X), X)], (), "not C-contiguous"),
        ([(X.tolist(), X)], (), "features is list; expected a numpy array"),
        ([(SPOILT, X)], (), "NaN or infinite"),
        ([(X[:0], X[:0])], (), "expected T >= 1"),
        ([(np.zeros((3, 3), np.float32), X)], (), "features has width 3, earlier sequences have 2"),
        ([(X, X[:2])], (), "target has 2 frames, features have 3"),
        ([(X, X)], ("a",), "expected a vector of integers"),
        ([(X, np.array([0.0]))], ("a",), "target is float64"),
        ([(X, np.array([], int))], ("a",), "target is empty"),
        ([(X, np.array([0, 1]))], ("a",), "labels 0 to 1; expected 0 to 0"),
    ],
)
def test_a_malformed_corpus_is_refused(pairs: Any, labels: tuple[str, ...], message: str) -> None:
    """The error names the split, the sequence, what was got and what was expected."""
    good = [(X, np.array([0]))] if labels else [(X, X)]
    with pytest.raises(CorpusError, match=message):
        Corpus(good, pairs, good, labels)


@pytest.mark.parametrize("make", CORPORA.values(), ids=list(CORPORA))
def test_the_fingerprint_depends_on_every_part_and_on_nothing_else(make: Any) -> None:
    """A changed value, dtype, shape, boundary or label changes it; a copy and a pickled copy do not."""
    corpus = make()
    assert corpus.fingerprint == make().fingerprint == pickle.loads(pickle.dumps(corpus)).fingerprint
    others = [make(seed=1), dataclasses.replace(corpus, train=corpus.train[1:], valid=(*corpus.valid, corpus.train[0]))]
    others += [dataclasses.replace(corpus, train=corpus.train[::-1]), dataclasses.replace(corpus, test=corpus.valid)]
    features, target = corpus.test[-1]
    changed = target.copy()
    changed.flat[-1] = 1 - changed.flat[-1] if changed.flat[-1] in (0, 1) else 0
    others.append(dataclasses.replace(corpus, test=(*corpus.test[:-1], (features, changed))))
    if corpus.labels:
        others.append(dataclasses.replace(corpus, labels=(*corpus.labels[:-1], "other")))
        others.append(dataclasses.replace(corpus, test=(*corpus.test[:-1], (features, target.astype(np.int32)))))
    fingerprints = [corpus.fingerprint, *(other.fingerprint for other in others)]
    assert len(set(fingerprints)) == len(fingerprints)
    swapped = [(features, target.astype(target.dtype.newbyteorder(">"))) for features, target in corpus.test]
    if corpus.labels:
        assert dataclasses.replace(corpus, test=swapped).fingerprint == corpus.fingerprint


def test_the_fingerprint_is_this_number() -> None:
    """The fingerprint of a made corpus and of bach stay what they are: stored studies name them."""
    assert next_frame_corpus().fingerprint.startswith("4201f5c78d3fda09")
    assert bach.load().fingerprint == "c3c42a12dd55aa806e63a3f8be6c2e45850f324e6b36de76544ccbb70aea026e"


# Distributions

SIZES = PAPER_SPACE["hidden_size"]
ALL = [*PAPER_SPACE.values(), Uniform(-3, 5), LogUniform(2e-3, 1e-2), OneMinus(Uniform(0, 0.3)), Choice((False, True))]
ALL += [
    EvenInteger(LogUniform(20, 48)),
    EvenInteger(Uniform(-3, 7)),
    Choice((3, 1, 2.5)),
    OneMinus(OneMinus(Uniform(0, 1))),
]


@pytest.mark.parametrize("distribution", ALL, ids=str)
def test_draws_lie_in_the_support_and_follow_the_cdf(distribution: Distribution) -> None:
    """2,000 draws are plain numbers of the support; the Kolmogorov-Smirnov distance to the cdf is that of chance."""
    generator = np.random.default_rng(5)
    draws = [distribution.draw(generator) for _ in range(2000)]
    assert {type(draw) for draw in draws} <= {int, float, bool}
    assert all(distribution.contains(draw) for draw in draws)
    ordered = np.sort(np.asarray(draws, dtype=np.float64))
    levels, last = np.unique(ordered, return_index=False), np.searchsorted(ordered, np.unique(ordered), side="right")
    distance = np.abs(last / len(ordered) - distribution.cdf(levels)).max()
    assert distance < stats.kstwobign.ppf(0.999) / np.sqrt(len(ordered))
    assert len(levels) > 1


@pytest.mark.parametrize("distribution", ALL, ids=str)
def test_the_same_generator_gives_the_same_draws(distribution: Distribution) -> None:
    """Draws depend on the generator and on nothing else."""
    first, second = (
        [distribution.draw(g) for _ in range(5)] for g in (np.random.default_rng(1), np.random.default_rng(1))
    )
    assert first == second


@pytest.mark.parametrize("distribution", ALL, ids=str)
def test_a_cdf_rises_from_0_to_1(distribution: Distribution) -> None:
    """0 far below, 1 far above, never falling, of the shape of its argument."""
    x = np.linspace(-400, 400, 3000)
    values = distribution.cdf(x)
    assert (values[0], values[-1]) == (0, 1)
    assert (np.diff(values) >= 0).all()
    assert distribution.cdf(x.reshape(-1, 3)).shape == (1000, 3)
    assert np.shape(distribution.cdf(0.5)) == ()


def test_the_sizes_of_the_paper_have_these_masses() -> None:
    """Level masses of even N sum to 1 and are integrals of the density over [N - 1, N + 1], cut at 20 and 200."""
    levels = np.arange(20, 201, 2)
    masses = SIZES.cdf(levels) - SIZES.cdf(levels - 2)
    edges = np.clip(np.stack([levels - 1, levels + 1]), 20, 200)
    np.testing.assert_allclose(masses, np.diff(np.log(edges), axis=0)[0] / np.log(10), rtol=0, atol=1e-15)
    assert masses.sum() == pytest.approx(1, abs=1e-14)
    assert (masses > 0).all()
    assert SIZES.contains(20)
    assert SIZES.contains(200)
    assert not any(SIZES.contains(other) for other in (18, 21, 202, 20.5))


def test_the_momentum_of_the_paper_is_one_minus_log_uniform() -> None:
    """1 - m is log-uniform: half of the draws lie above 0.9."""
    assert float(PAPER_SPACE["momentum"].cdf(0.9)) == pytest.approx(0.5)
    assert not PAPER_SPACE["momentum"].contains(1.0)


finite = st.floats(-1e6, 1e6)
intervals = st.tuples(finite, finite).filter(lambda pair: pair[0] < pair[1])
continuous = st.one_of(
    intervals.map(lambda pair: Uniform(*pair)),
    intervals.filter(lambda pair: pair[0] > 0).map(lambda pair: LogUniform(*pair)),
)
distributions = st.one_of(
    continuous,
    continuous.map(OneMinus),
    continuous.map(EvenInteger),
    st.lists(st.one_of(st.booleans(), finite), min_size=1, unique=True).map(lambda values: Choice(tuple(values))),
)


@given(distributions)
def test_a_distribution_survives_json(distribution: Distribution) -> None:
    """as_dict, JSON and back give an equal distribution with an equal text."""
    again = distribution_from_dict(json.loads(json.dumps(distribution.as_dict())))
    assert again == distribution
    assert str(again) == str(distribution)
    assert hash(again) == hash(distribution)


def test_distributions_read_well() -> None:
    """The texts of tables and pages."""
    assert [str(distribution) for distribution in PAPER_SPACE.values()] == [
        "even log-uniform [20, 200]",
        "log-uniform [1e-06, 0.01]",
        "1 - log-uniform [0.01, 1]",
        "uniform [0, 1]",
    ]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Uniform(1, 1),
        lambda: Uniform(0, float("inf")),
        lambda: LogUniform(0, 1),
        lambda: LogUniform("a", 1),  # type: ignore[arg-type]  # wrong on purpose
        lambda: OneMinus(Choice((1, 2))),  # type: ignore[arg-type]  # wrong on purpose
        lambda: EvenInteger(SIZES),  # type: ignore[arg-type]  # wrong on purpose
        lambda: Choice(()),
        lambda: Choice((1, True)),
        lambda: distribution_from_dict({"kind": "normal", "low": 0}),
        lambda: distribution_from_dict({"kind": "uniform", "low": 0}),
        lambda: distribution_from_dict({"low": 0, "high": 1}),
    ],
)
def test_a_malformed_distribution_is_refused(make: Any) -> None:
    """Empty intervals, no numbers, unknown kinds: one error that shows what was given."""
    with pytest.raises((TypeError, ValueError), match=r"(Uniform|OneMinus|EvenInteger|Choice|distribution)"):
        make()
