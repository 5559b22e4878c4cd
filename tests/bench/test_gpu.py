"""``python -m lstm_odyssey.bench.gpu``: what it finds, what it names as not reached, and that nothing of it is lost."""

import json
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from importlib.metadata import version
from types import SimpleNamespace

import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends import BACKENDS
from lstm_odyssey.backends.cuda import memory
from lstm_odyssey.backends.cuda.classes import WIDTHS
from lstm_odyssey.backends.cuda.running import nvrtc
from lstm_odyssey.backends.cuda.running.launch import Launch, Loop
from lstm_odyssey.backends.cuda.scan import emulated
from lstm_odyssey.backends.cuda.training_step import PopulationStep
from lstm_odyssey.bench import cuda_probe
from lstm_odyssey.bench.gpu import __main__ as command
from lstm_odyssey.bench.gpu import model, plan, supervision
from lstm_odyssey.bench.gpu.parts import bits, ceilings, cells, check, curve, population, scans, training
from lstm_odyssey.bench.gpu.parts.population import SHAPES, drawn_sizes
from lstm_odyssey.bench.gpu.parts.probes import Probe
from lstm_odyssey.bench.gpu.parts.projection import CORPORA, frames_an_epoch, projected
from lstm_odyssey.bench.gpu.parts.transcription import LOSSES, Transcription
from lstm_odyssey.bench.gpu.record import (
    PARTS,
    Budget,
    DeviceLostError,
    Item,
    NotReachedError,
    Record,
    read,
    run_all,
    run_part,
)
from lstm_odyssey.bench.gpu.tables import number, tables, text, troubles
from lstm_odyssey.bench.gpu.target import FULL, TINY, Target, kernel_seconds, recorded
from lstm_odyssey.bench.plain_torch import PlainTorch
from lstm_odyssey.commands.bench import gpu as bench_gpu
from tests import needed
from tests.conftest import ROOT
from tests.emulated_scans import fits

PREDICTED = ROOT / "reports" / "records" / "bench-gpu-predicted-2026-11-30.json"

BLOCK = """\
import atexit, os, sys
atexit.register(lambda: open(os.environ["SEEN"], "a").write(f"{sys.modules['lstm_odyssey'].__file__}\\n"))
for name in ("dask", "distributed", "pooch", "rapidfuzz", "h5netcdf", "matplotlib", "requests", "joblib", "jinja2", "rich",
             "typer", "optuna"):
    sys.modules[name] = None
"""
"""What a machine with a GPU need not have, made unfindable for a process and those that it starts; which package they had."""


@pytest.fixture(scope="module")
def run(tmp_path_factory, site):
    """The whole script from a wheel's content, on the emulated device, where most of the package's requirements are missing."""
    needed.cxx()
    folder, seen = tmp_path_factory.mktemp("gpu"), tmp_path_factory.mktemp("seen") / "packages"
    (folder / "sitecustomize.py").write_text(BLOCK)
    path = folder / "record.json"
    around = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (folder, site))), "SEEN": str(seen)}
    asked = [
        sys.executable,
        "-m",
        "lstm_odyssey.bench.gpu",
        "--device",
        "emulated",
        "--seconds",
        "3000",
        "--json",
        str(path),
    ]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=900, env=around, cwd=folder)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert set(seen.read_text().split()) == {str(site / "lstm_odyssey" / "__init__.py")}
    return done, read(path), sorted(file.name for file in folder.iterdir() if file.name != "__pycache__")


def test_all_of_it_runs_without_a_gpu(run):
    """Every part finds something, nothing fails, every check passes, and the tables are printed last."""
    done, record, files = run
    assert set(record["parts"]) == set(PARTS)
    assert all(known["results"] and not known["failed"] for known in record["parts"].values())
    checks = [row for known in record["parts"].values() for row in known["results"] if "passed" in row]
    assert len(checks) >= 8 and all(row["passed"] for row in checks)
    said, _, rest = done.stdout.partition("\n\n")
    assert rest == text(record) + f"Record: {done.args[-1]}\n"
    assert said.startswith("Plan for 2") and [line.split(":")[0].strip() for line in said.splitlines()[1:]] == list(
        PARTS
    )
    assert files == ["record.json", "sitecustomize.py"]


def test_what_only_a_gpu_has_is_named(run):
    """Compilation, sanitizer, FlashRNN, torch.compile, cuDNN's memory and a study's time stand among what was not reached."""
    _, record, _ = run
    left = {(part, row["item"]): row["why"] for part, known in record["parts"].items() for row in known["not_reached"]}
    for part, item in (("check", "compile"), ("check", "sanitizer"), ("cells", "vanilla by compile, N 3, batch 1"),
                       ("cells", "flashrnn float32, N 64"), ("population", "projection"), ("ceilings", "memory")):  # fmt: skip
        assert left[part, item].endswith("is there on a GPU only")


def test_objectives_and_forms_of_momentum_are_checked(run):
    """The updates are those of each objective, in members that look ahead or not and are clipped or not."""
    _, record, _ = run
    rows = [row for row in record["parts"]["check"]["results"] if row.get("what") == "updates"]
    assert {row["objective"] for row in rows} == set(LOSSES) == set(training.OBJECTIVES)
    assert {row["members"] for row in rows} == {len(TINY.members)} and len(FULL.members) == 8
    assert all(row["off"] < 1e-12 and row["moved"] > 1e-3 for row in rows)
    drawn = [trial.hyperparameters for trial in training.mixed(TINY.members, 0.1)]
    assert {(one["nesterov"], one["clip_gradient"]) for one in drawn} == {
        (a, b) for a in (True, False) for b in (True, False)
    }


def test_members_keep_their_bits_when_others_are_left_out(run, monkeypatch):
    """A member alone, among others and among those that are left; members left out that change a bit do not pass."""
    needed.cxx()
    _, record, _ = run
    (row,) = [row for row in record["parts"]["check"]["results"] if row.get("what") == "neighbours"]
    assert row["populations"] == ["1", "3", "2 left of 3"] and row["watched"] == [4, 2] and row["passed"]
    target, only = Target("emulated"), PopulationStep.only

    def wrong(step, running):
        only(step, running)
        step.weights[0, 0] += 1e-6

    monkeypatch.setattr(PopulationStep, "only", wrong)
    (row,) = bits.neighbours(target, target.first, "next_frame")
    assert not row["passed"] and row["different"] == {"2 left of 3": [4]}


@pytest.mark.long
def test_a_member_of_every_class_keeps_its_bits():
    """As on a GPU, among fewer members: one of each class and one beyond them."""
    needed.cxx()
    target = Target("emulated", replace(TINY, watched=FULL.watched, together=(1, 8)))
    (row,) = bits.neighbours(target, target.first, "next_frame")
    assert row["passed"] and row["bitwise"] and set(row["classes"]) == {0, *WIDTHS}
    assert {fits(target.first, N, "float32").width for N in FULL.members} == set(WIDTHS) and len(FULL.members) == 8


def test_what_is_missing_stands_in_the_record(run):
    """Of the package's requirements those that cannot be found are named; what is there is not."""
    _, record, _ = run
    assert "torch" not in record["missing"] and record["versions"]["torch"] == version("torch")
    assert record["device"] == {"name": "emulated"} and not record["predicted"]


def test_without_a_device_it_is_skipped(capsys, monkeypatch):
    """No GPU is no error: one line with the reason."""
    monkeypatch.setattr(cuda_probe, "no_cuda", lambda: "no CUDA device: skipped (no driver)")
    assert command.main([]) == 0
    assert capsys.readouterr().out == "no CUDA device: skipped (no driver)\n"


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("nesterov", [True, False])
def test_the_transcription_is_torchs_own_layer(nesterov, bidirectional):
    """On the cell that torch.nn.LSTM computes, losses and weights after updates are those of the plain script over it."""
    cell, T, M, N, K = lo.variant("no_peepholes"), 5, 3, 4, 2
    rates = {"learning_rate": 0.1, "momentum": 0.7, "input_noise": 0.3, "nesterov": nesterov, "clip": 0.4}
    torch.manual_seed(1)

    def loss(logits, target):
        return LOSSES["next_frame"](logits.flatten(0, 1), target)

    plain = PlainTorch(M, N, K, loss, bidirectional=bidirectional, dtype=torch.float64, **rates)
    weights = {"a": plain.linear.bias.detach().clone()}
    for d in range(1 + bidirectional):
        weights[f"V.{d}"] = plain.linear.weight.detach()[:, d * N : (d + 1) * N].clone()
        for space, name in (("W", "weight_ih_l0"), ("R", "weight_hh_l0"), ("b", "bias_ih_l0")):
            parts = getattr(plain.lstm, name + "_reverse" * d).detach().clone().chunk(4)
            weights |= {f"cells.{d}.{space}.{gate}": part for gate, part in zip("ifzo", parts, strict=True)}
    ours = Transcription(cell, weights, LOSSES["next_frame"], **rates)
    for _ in range(3):
        x, noise = torch.randn(2, T, M, dtype=torch.float64)
        target = torch.rand(T, K, dtype=torch.float64).round()
        expected = plain.update(x.unsqueeze(1), noise.unsqueeze(1), target)
        assert ours.update(x, noise, target) == pytest.approx(float(expected), rel=1e-12)
    assert (ours.bias - plain.linear.bias).abs().max() < 1e-13 < (weights["a"] - ours.bias).abs().max()
    found = torch.cat([ours.weights[f"cells.0.R.{gate}"] for gate in "ifzo"])
    assert (found - plain.lstm.weight_hh_l0).abs().max() < 1e-13


def test_a_wrong_scan_does_not_pass(monkeypatch):
    """A gradient that is a little wrong, a NaN, and one bit that changes from call to call are seen."""
    target = Target("emulated", replace(TINY, widths=0))  # the size beyond the last class alone: nothing is compiled
    whole = scans.by_layer

    def spoiled(by):
        def wrong(cell, problem, backend, dtype, device):
            answer = whole(cell, problem, "eager", dtype, device)
            if backend != "eager":
                answer["gradient of x"] = by(answer["gradient of x"])
            return answer

        return wrong

    verdicts = []
    for by in (lambda value: value, lambda value: value * (1 + 1e-5), lambda value: value * torch.nan):
        monkeypatch.setattr(scans, "by_layer", spoiled(by))
        (row,) = scans.scan(target, target.first)
        verdicts.append(row["passed"])
    assert verdicts == [True, False, False]
    calls = iter(range(100))
    monkeypatch.setattr(scans, "by_layer", spoiled(lambda value: value + next(calls)))
    assert not scans.repeated(target, target.first, 3)["passed"]


class OnTheCpu(Target):
    """torch's own operations in place of the device, at full size."""

    def __init__(self):
        super().__init__("emulated", FULL)
        self.emulated = False

    def here(self):
        return nullcontext()

    @property
    def backend(self):
        return BACKENDS["eager"]


@pytest.mark.parametrize(
    "sizes", [(5, 64), pytest.param(FULL.members, marks=pytest.mark.long)], ids=["small", "as on a GPU"]
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_the_updates_amplify_no_rounding(sizes, dtype, monkeypatch):
    """What is asked of a GPU another right way to compute it reaches with room: the networks are not chaotic."""
    monkeypatch.setattr(training, "BACKEND", "eager")
    target = OnTheCpu()
    (row,) = training.updates(target, target.first, "next_frame", False, dtype, sizes)
    assert row["passed"] and max(row["off"], row["losses_off"]) < row["allowed"] / 4 and row["moved"] > 0.01


class AsOnAGpu(Target):
    """The emulated device, treated as a GPU."""

    def __init__(self):
        super().__init__("emulated", replace(TINY, rounds=2))
        self.emulated = False

    def here(self):
        return emulated(self.runner)


def test_cudnn_takes_turns_and_kernels_are_timed_alone(monkeypatch):
    """With events: our layer and torch's in the same rounds, TF32 in a row of its own and off again, each kernel by itself."""
    needed.cxx()
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    target = AsOnAGpu()
    ours, lstm = cells.contest(target, target.first, 1)
    assert (ours["way"], lstm["way"]) == ("odyssey", "lstm") and ours["fused"]
    assert all(row[name] > 0 for row in (ours, lstm) for name in ("forward", "both")) and lstm["both_tf32"] > 0
    assert not torch.backends.cudnn.allow_tf32
    with target.here(), recorded(target.runner) as launched:
        probe = Probe(target, "exchange", cluster=2)
        assert probe.right(3)
        once = len(launched)
        probe.prepared(3)
    assert once == 1 and [launch.kernel for launch, _ in launched] == ["probe", "probe"]
    assert kernel_seconds(target, launched)["probe"] > 0
    with recorded(target.runner) as launched:
        target.runner.prepare("// x", [Loop((Launch("tick", 1, 1, 32, 1, 0, [[0]]),), 3)])
    assert [launch.kernel for launch, _ in launched] == ["tick"] * 3
    assert kernel_seconds(target, launched) == {}, "a counted step was run once more"


def test_compilation_says_how_far_it_is(monkeypatch, capsys):
    """About ten lines, the first and the last among them; the row holds what ptxas said of spills."""
    use = nvrtc.Usage(registers=40, spill_stores=4, spill_loads=8, stack=0, shared=0)

    def build_all(texts, architecture, progress):
        for done in range(len(texts) + 1):
            progress(done, len(texts))
        return [nvrtc.Cubin(b"", {"forward": use})] * len(texts)

    monkeypatch.setattr(nvrtc, "build_all", build_all)
    (row,) = check.build(AsOnAGpu(), [f"// text {k}\n" for k in range(25)])
    said = capsys.readouterr().err.splitlines()
    assert said == [f"compiling kernels {done} of 25" for done in (*range(0, 25, 2), 25)]
    assert row["texts"] == len(row["spilled_bytes"]) == 25 and row["spilled_bytes"]["text 3, forward"] == 12


SANITIZER = """\
#!/bin/sh
[ "$2" = memcheck ] && echo "========= ERROR SUMMARY: 0 errors" && exit 0
%s
"""


@pytest.mark.parametrize(
    ("racecheck", "passed", "left"),
    [
        ("echo '========= RACECHECK SUMMARY: 1 hazard displayed'; exit 9", False, None),
        ("echo 'Device not supported'; exit 1", None, "racecheck: it cannot look here: Device not supported"),
        ("exec sleep 30", None, "racecheck: it did not end within 1 s"),
    ],
)
def test_what_compute_sanitizer_says(racecheck, passed, left, tmp_path, monkeypatch):
    """A clean tool passes, a hazard does not; one that cannot look, or does not end, is not reached and fails nothing."""
    program = tmp_path / "compute-sanitizer"
    program.write_text(SANITIZER % racecheck)
    program.chmod(0o700)
    monkeypatch.setattr(check.shutil, "which", lambda name: str(program))
    monkeypatch.setattr(check, "SANITIZER_SECONDS", 1.0)
    record = Record(tmp_path / "record.json")
    item = Item("sanitizer", 1.0, lambda: check.sanitized(AsOnAGpu()))
    run_part(record, "check", [item], Budget(time.time() + 100, ["check"]))
    part = record.part("check")
    assert [(row["what"], row["passed"]) for row in part["results"]] == [
        ("memcheck", True), *([("racecheck", passed)] if left is None else []),
    ]  # fmt: skip
    assert [row["why"] for row in part["not_reached"]] == ([] if left is None else [left]) and not part["failed"]


def items(*found):
    return [Item(name, 1.0, run) for name, run in found]


def failing():
    yield {"half": 1}
    raise ValueError("no\nsecond line")


def lacking():
    raise NotReachedError("it is not here")


def test_every_item_ends_in_the_record(tmp_path):
    """Rows, an error beside what was found before it, and a reason; an item that is there is not run again."""
    path = tmp_path / "record.json"
    record, counted = Record(path, {"device": {"name": "x"}}), []

    def fine():
        counted.append(1)
        return [{"value": float("nan")}, {"value": 1.23456789}]

    budget = Budget(time.time() + 100, ["check"])
    for _ in range(2):
        run_part(record, "check", items(("a", fine), ("b", failing), ("c", lacking), ("d", list)), budget)
        record = Record(path)
    assert counted == [1]
    part = read(path)["parts"]["check"]
    assert part["results"] == [
        {"item": "a", "value": "nan"}, {"item": "a", "value": 1.23457}, {"item": "b", "half": 1}, {"item": "d"},
    ]  # fmt: skip
    assert part["failed"] == [{"item": "b", "error": "ValueError: no\nsecond line"}]
    assert part["not_reached"] == [{"item": "c", "why": "it is not here"}]
    assert troubles(read(path)) == ["check, b: ValueError: no"]


def test_no_item_is_begun_that_would_not_fit(tmp_path):
    """A part has its share of the time and what earlier ones left; what would take longer is named, and what fits is run."""
    now = [0.0]
    budget = Budget(520.0, list(PARTS), clock=lambda: now[0])
    assert budget.begin("check") == 250.0
    now[0] = 100.0
    assert budget.begin("cells") == pytest.approx(100 + 420 * 160 / 270)
    now[0] = 500.0
    record = Record(tmp_path / "record.json")
    long, short = Item("long", 30.0, lambda: [{"ran": 1}]), Item("short", 5.0, lambda: [{"ran": 1}])
    run_part(record, "ceilings", [long, short], budget)
    part = record.part("ceilings")
    assert part["not_reached"] == [{"item": "long", "why": "20 s were left, it may take 30 s"}]
    assert part["results"] == [{"item": "short", "ran": 1}]


def test_what_a_part_leaves_is_for_what_did_not_fit_elsewhere(tmp_path):
    """After all parts have had their shares the rest of the time goes to what was left, in order; then it is written down."""
    now, ran = [0.0], []

    def item(name, seconds, taken):
        def run():
            ran.append(name)
            now[0] += taken
            return []

        return Item(name, seconds, run)

    parts = {
        "check": [item("a", 10.0, 240.0), item("b", 60.0, 60.0), item("c", 500.0, 0.0)],
        "ceilings": [item("d", 5.0, 5.0)],
    }
    record = Record(tmp_path / "record.json")
    run_all(record, parts, 320.0, clock=lambda: now[0])
    assert ran == ["a", "d", "b"]
    assert record.part("check")["not_reached"] == [{"item": "c", "why": "15 s were left, it may take 500 s"}]


@pytest.fixture(scope="module")
def as_on_an_h200():
    """All items at full size, where everything is installed."""
    target, record = OnTheCpu(), Record(ROOT / "no-record.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "shutil", SimpleNamespace(which=lambda name: name))
        made = {"check": check.items(target), "cells": cells.items(target)}
    return record, made | {"population": population.items(target, record), "ceilings": ceilings.items(target, record)}


def test_nine_minutes_reach_all_but_some_of_torch_compile(as_on_an_h200):
    """By the estimates: all of the checks, every cell and N beside cuDNN and the loop, whole searches, and the ceilings."""
    record, made = as_on_an_h200
    found = plan.planned(record, made, 530.0 - command.START, clock=lambda: 0.0)
    missed = {part: names for part, (_, _, names) in found.items() if names}
    assert set(missed) <= {"cells"} and all(" by compile, N " in name for name in missed["cells"])
    page = " ".join((ROOT / "docs" / "gpu.md").read_text(encoding="utf-8").split())
    left = f"everything but {len(missed['cells'])} of the 16 timings of torch.compile should fit"
    assert f"In nine minutes {left}." in page
    names = [item.name for item in made["cells"]]
    for way in ("loop", "compile"):
        for cell in ("vanilla", "fgr"):
            assert {f"{cell} by {way}, N {N}, batch {B}" for N in (64, 100, 128, 200) for B in (1, 16)} <= set(names)
    said = plan.words(found, 520.0).splitlines()
    assert (
        said[0] == "Plan for 520 s, at estimates for an H200 with 16 cores:"
        and said[-2] == "  population: 23 items, 68 s"
    )
    assert f"  cells: {len(names)} items, 390 s; {len(missed['cells'])} not reached:" in said
    assert f"    {missed['cells'][0]}" in said and not record.path.exists()


def test_what_matters_most_comes_first(as_on_an_h200):
    """With a third of the time updates and the sanitizer are still reached; what the record has is not planned again."""
    record, made = as_on_an_h200
    found = plan.planned(record, {"check": made["check"]}, 140.0, clock=lambda: 0.0)
    count, seconds, missed = found["check"]
    assert len(missed) > 20 and not {name for name in missed if name.startswith(("updates", "sanitizer", "compile"))}
    known = Record(record.path)
    known.part("check")["results"].append({"item": "sanitizer"})
    assert plan.planned(known, made, 520.0, clock=lambda: 0.0)["check"][:2] == (
        count - 1,
        seconds - check.SANITIZER_SECONDS,
    )


def test_what_is_not_installed_takes_no_time(monkeypatch):
    """Neither compute-sanitizer nor FlashRNN: nothing else is left out for them."""
    target = OnTheCpu()
    monkeypatch.setattr(check, "shutil", SimpleNamespace(which=lambda name: None))
    monkeypatch.setattr(cells, "importlib", SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None)))
    lacking = [item for item in (*check.items(target), *cells.items(target)) if item.seconds == 0]
    assert [item.name.split()[0] for item in lacking] == ["sanitizer", *["flashrnn"] * 4]


def test_a_curve_is_of_the_corpus_that_is_given(monkeypatch):
    """``--data TASK=PATH`` loads from there; without it the embedded corpus, which is named; another objective is a reason."""
    assert curve.chosen(None) == "bach" and [item.name for item in curve.items(Target("emulated"))] == ["curve bach"]
    loaded, of_names = [], curve.registry.task
    task = SimpleNamespace(objective="next_frame", load=lambda path: loaded.append(path) or "a corpus")
    monkeypatch.setattr(curve.registry, "task", lambda name: of_names(name) if name == "bach" else task)
    assert curve.corpus_of("jsb_chorales=some/JSB Chorales.pickle") == "a corpus"
    assert loaded == ["some/JSB Chorales.pickle"] and curve.corpus_of(None).input_size == 88
    task.objective = "frames"
    for given, why in (("timit=x", "task 'timit' is one of frames"), ("jsb=x", "task 'jsb' is not installed")):
        with pytest.raises(NotReachedError, match=why):
            curve.corpus_of(given)


@pytest.mark.parametrize("given", ["JSB Chorales.pickle", "=JSB", "jsb_chorales="])
def test_data_names_a_task_and_a_path(given, capsys):
    """Anything else is one line and code 2."""
    with pytest.raises(SystemExit, match="2"):
        command.main(["--data", given])
    assert f"--data: got '{given}'; expected TASK=PATH" in capsys.readouterr().err


def test_a_lost_device_ends_the_process(tmp_path):
    """After an error that the device does not survive nothing more is run in the same process."""
    record, budget = Record(tmp_path / "record.json"), Budget(time.time() + 100, ["check"])
    with pytest.raises(DeviceLostError, match="no"):
        run_part(record, "check", items(("a", failing), ("b", failing)), budget, lost=lambda: True)
    assert [row["item"] for row in record.part("check")["failed"]] == ["a"]


WORKER = """\
import os, pathlib, sys, time
from lstm_odyssey.bench.gpu.record import Budget, Item, Record, run_part
from lstm_odyssey.bench.gpu.supervision import LOST, announce, done

path = pathlib.Path(sys.argv[1])
record = Record(path)

def begun(part, item):
    announce(path, part, item)
    if item.name == "endless":
        (path.parent / (path.name + ".running")).write_text('{"part": "check", "item": "endless", "limit": 0}')

found = [
    Item("first", 1, lambda: [{"pid": os.getpid()}]),
    Item("crash", 1, lambda: os._exit(11)),
    Item("endless", 1, lambda: time.sleep(600)),
    Item("last", 1, lambda: [{"pid": os.getpid()}]),
]
run_part(record, "check", found, Budget(time.time() + 300, ["check"]), on_begin=begun)
done(path)
os._exit(3)
"""


def test_a_crash_and_a_hang_cost_an_item_each(tmp_path):
    """The process is started again and goes on; how it ends after all was tried does not matter."""
    script, path = tmp_path / "worker.py", tmp_path / "record.json"
    script.write_text(WORKER)
    Record(path, {"device": {"name": "x"}}).write()
    said = []
    command = [sys.executable, str(script), str(path)]
    assert supervision.supervised(path, command, time.time() + 300, poll=0.02, say=said.append) == ""
    part = read(path)["parts"]["check"]
    assert part["failed"] == [
        {"item": "crash", "error": "the process ended with code 11"},
        {"item": "endless", "error": "it did not end in its time"},
    ]  # fmt: skip
    assert [row["item"] for row in part["results"]] == ["first", "last"]
    assert len({row["pid"] for row in part["results"]}) == 2 and len(said) == 2
    assert not supervision.running(path)


def test_a_process_that_does_not_begin_is_not_tried_again(tmp_path):
    """One that ends before its first item would do so again."""
    path = tmp_path / "record.json"
    Record(path).write()
    command, said = [sys.executable, "-c", "raise SystemExit(5)"], []
    left = supervision.supervised(path, command, time.time() + 60, poll=0.02, say=said.append)
    assert left == "the process ended with code 5" and len(said) == 1


def test_another_devices_record_is_not_gone_on_with(tmp_path, capsys):
    """A record of another device or source is left as it is, with both named."""
    path = tmp_path / "record.json"
    Record(path, {"device": {"name": "NVIDIA H100"}, "versions": {"source": "0"}}).write()
    before = path.read_text()
    assert command.main(["--device", "emulated", "--json", str(path)]) == 2
    said = capsys.readouterr().out
    assert "device was NVIDIA H100, and is emulated now; source was 0, and is " in said and path.read_text() == before


def test_the_prediction_is_the_one_that_is_stored(tmp_path, capsys):
    """Every figure of the stored one is what this very command makes; where a class has moved, it is to be made again."""
    path = tmp_path / "predicted.json"
    assert command.main(["--predict", "--json", str(path)]) == 0
    made, stored = read(path), read(PREDICTED)
    assert capsys.readouterr().out == text(made) + f"Record: {path}\n"
    assert made["predicted"] and stored["predicted"] and made["assumed"] == stored["assumed"]
    for part in PARTS:
        rows, before = (record["parts"][part]["results"] for record in (made, stored))
        assert [row["item"] for row in rows] == [row["item"] for row in before]
        for row, old in zip(rows, before, strict=True):
            got, expected = flat(row), flat(old)
            assert list(got) == list(expected), row["item"]
            for name, value in got.items():
                of = expected[name]
                assert value == (pytest.approx(of, rel=1e-5) if isinstance(of, float) else of), (row["item"], name)
    assert {row["variant"] for row in made["parts"]["cells"]["results"]} == set(lo.variant_names())


def flat(value, name=""):
    """The entries of nested tables by their path."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {path: one for key, each in pairs for path, one in flat(each, f"{name}/{key}").items()}
    return {name: value}


def test_a_predicted_step_is_what_the_page_says():
    """By hand: 128 multiplications and 128 bytes a clock, 600 clocks a step, 400 of a cluster's barrier, at 1.75 GHz."""
    cell = lo.variant("vanilla")
    made, T = model.of(cell), 304
    one, spread = made.layout(64), made.layout(200)
    assert (one.cluster, one.width, spread.cluster, spread.width) == (1, 64, 4, 224)
    clocks = 4 * 64 * 64 / 128 + one.weights / 128 + 600
    assert model.scan_seconds(made, [64], 1, T) == pytest.approx(T * clocks / 1.75e9)
    clocks = 4 * 224 * 56 / 128 + spread.weights / 128 + 600 + 400
    assert model.scan_seconds(made, [200], 1, T) == pytest.approx(T * clocks / 1.75e9)
    fgr = model.of(lo.variant("fgr"))
    launches, moved = fgr.stepwise.blocks + 1, 4.0 * 13 * 300**2 / 4.3e12
    assert fgr.layout(300) is None
    assert model.scan_seconds(fgr, [300], 1, T) == pytest.approx(T * (launches * 3e-6 + moved))


def test_the_page_shows_the_prediction():
    """Every line of the page's tables is one of the stored prediction's, and so are the figures of its text."""
    page, record = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8"), read(PREDICTED)
    shown = [line for block in page.split("```text\n")[1:] for line in block.split("```")[0].splitlines()]
    assert len(shown) > 40 and set(shown) <= set(text(record).splitlines())
    study = next(row for row in record["parts"]["population"]["results"] if row.get("what") == "study")
    hours = [number(study[name]) for name in ("hours_of_all_epochs", "hours_with_early_stopping")]
    words = " ".join(page.split())
    assert f"to take {hours[0]} hours at 150 epochs each, and {hours[1]} if" in words
    shares = [row["hours"] for row in record["parts"]["population"]["results"] if row.get("what") == "cut"]
    assert 2 / 3 < shares[0]["IAM-OnDB"] / study["hours_of_all_epochs"] < 3 / 4
    assert shares[2]["IAM-OnDB"] / shares[0]["IAM-OnDB"] == pytest.approx(4 / 5, abs=0.03), "a fifth is CTC's"
    times: dict = {}
    for row in record["parts"]["cells"]["results"]:
        times.setdefault((row["variant"], row["hidden_size"], row["batch"]), {})[row["way"]] = row["both"]
    beside = {key: each["lstm"] / each["odyssey"] for key, each in times.items() if {"lstm", "odyssey"} <= set(each)}
    missed = {(N, B): round(ratio, 2) for (name, N, B), ratio in beside.items() if name == "ln_lstm" and ratio < 1}
    assert missed == {(200, 16): 0.94}
    assert "at N = 200 and batch 16: 0.94 of it." in words
    assert min(ratio for (name, *_), ratio in beside.items() if name != "ln_lstm") >= 1.2
    slower = {
        name: [
            model.loop_seconds(lo.variant(name))[1] / model.layer_seconds(lo.variant(name), B, N)[1]
            for B in FULL.batches for N in FULL.sizes
        ]
        for name in lo.variant_names()
    }  # fmt: skip
    least, most = ({name: round(of(each)) for name, each in slower.items()} for of in (min, max))
    assert (
        f"is {least['vanilla']} to {most['vanilla']} times for `vanilla`, {least['fgr']} to {most['fgr']} for `fgr`"
        in words
    )
    small = ("irnn", "tanh_rnn")
    assert f"at least {min(value for name, value in least.items() if name not in small)} for all cells but" in words
    assert {least[name] for name in small} == {36} and {most[name] for name in small} == {52}
    assert "five operations: 36 at N = 200 and batch 16, 52 at N = 64 and batch 1" in words
    (room,) = [row for row in record["parts"]["ceilings"]["results"] if row.get("what") == "memory"]
    each, fit = round(room["bytes_of_a_member"] / 2**20), room["members_that_fit"]
    assert f"TIMIT takes {each} MB, its longest sequence of {room['frames']} frames included: **{fit:,} fit" in words
    assert (
        f"tables | {8 * memory.TABLE:,} for each shape of batch, and for {memory.MOST_SHAPES:,} shapes at most" in words
    )
    assert (
        f"graphs take {memory.NODE // 1024} KB a kernel" in words
        and f"{memory.SHAPE_NODES} kernels for each shape" in words
    )
    assert (
        f"step by step {memory.NODE * memory.NODES / 1e6:.0f} MB for {memory.NODES:,} kernels, as many as the graphs of steps"
        in words
    )


def test_bench_gpu_prints_a_record_again(odyssey, tmp_path):
    """The command shows heading, tables with all rows, and what was not reached; another file is one line."""
    code, output, _ = odyssey("bench", "gpu", str(PREDICTED))
    assert code == 0
    for words in (
        "NVIDIA H200",
        "predicted, not measured",
        "fgr",
        "member-frames/s",
        "5,400 runs",
        "a prediction checks nothing",
    ):
        assert words in " ".join(output.split())
    assert len(list(bench_gpu.shown(read(PREDICTED)))) == 2 + 2 * len(list(tables(read(PREDICTED))))
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({"benchmark": "cell", "format": 1}))
    for path, message in ((wrong, "expected one of 'gpu'"), (tmp_path / "none.json", "No such file")):
        code, output, error = odyssey("bench", "gpu", str(path))
        assert code == 2 and message in error and error.count("\n") == 1


def test_a_failed_check_ends_with_one(capsys, tmp_path, monkeypatch):
    """The code says whether all that was tried is right; the tables name what is not."""
    record = Record(tmp_path / "record.json", {"device": {"name": "x"}})
    assert command._shown(record, "") == 0
    record.add(
        "check",
        "repeat",
        [{"what": "repeat", "variant": "nog", "hidden_size": 3, "different": 1, "runs": 2, "passed": False}],
    )
    assert command._shown(record, "") == 1
    assert "check, repeat: did not pass" in capsys.readouterr().out


def test_a_study_is_projected_from_its_frames():
    """Hours are trials x epochs x frames over member-frames a second; networks one by one are taken at the mean N."""
    rows = []
    for shape in SHAPES:
        rows += [{"shape": shape.name, "way": "one by one", "hidden_size": N, "seconds": N / 1000} for N in (20, 200)]
        rows.append({"shape": shape.name, "variant": "a", "members": 100, "mean_hidden_size": 80.0, "seconds": 2.0,
                     "member_frames_per_second": 1e6})  # fmt: skip
    assert projected(rows[:-1], "a") == []
    *times, study = projected(rows, "a")
    assert [row["times"] for row in times] == pytest.approx([0.08 * 100 / 2.0] * 3)
    assert frames_an_epoch("TIMIT") == pytest.approx(304 * (3696 + (400 + 192 / 3) / 3))
    # eight variants at this speed, and one, which was not measured, at a third of it
    assert study["hours"]["TIMIT"] == pytest.approx(200 * 150 * frames_an_epoch("TIMIT") * (8 + 3) / 1e6 / 3600)
    assert set(study["hours"]) == set(CORPORA) == {shape.name for shape in SHAPES}
    assert study["hours_with_early_stopping"] == study["hours_of_all_epochs"] / 2


def test_members_are_drawn_as_the_paper_draws_them():
    """Even N from 20 to 200, the same ones first however many; one alone has N = 100."""
    sizes = drawn_sizes(528)
    assert min(sizes) >= 20 and max(sizes) <= 200 and all(N % 2 == 0 for N in sizes)
    assert drawn_sizes(32) == sizes[:32] and drawn_sizes(1) == [100]
    assert sum(N < 63.2 for N in sizes) == pytest.approx(264, abs=40), "log-uniform: half lie below the geometric mean"


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (1234567, "1,234,567"), (0.105, "0.105"), (1.4e-15, "1.4e-15"), (25.43, "25.4"), ("inf", "inf")],
)
def test_figures_are_short(value, words):
    """Three digits; large numbers with commas, small ones with an exponent."""
    assert number(value) == words
