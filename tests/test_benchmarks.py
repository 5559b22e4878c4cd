"""The benchmarks: asv finds them under names that tell variant and task, and each of them runs."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

import lstm_odyssey as lo
from lstm_odyssey.bench.step import TimedStep
from lstm_odyssey.benchmarks import steps
from lstm_odyssey.threads import one_thread

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "suite" / "benchmarks"
KINDS = ("time_train_step", "track_seconds_per_frame")


@pytest.fixture(autouse=True)
def _threads():
    """A step is timed with one thread; the other tests get theirs back."""
    with one_thread():
        yield


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What asv discovers, by name, read the way asv reads it: in a process of its own."""
    target = tmp_path_factory.mktemp("asv") / "benchmarks.json"
    code = (
        "import asv_runner.discovery\n"
        f"with open({str(target)!r}, 'w') as file:\n"
        f"    asv_runner.discovery.list_benchmarks({str(BENCHMARKS)!r}, file)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    listed = json.loads(target.read_text())
    names = [each["name"] for each in listed]
    assert len(set(names)) == len(names)
    return {each["name"]: each for each in listed}


def run_one(name, target):
    """A benchmark's result: found by its name and run in a fresh process, as asv does it."""
    code = (
        "import json, asv_runner.discovery\n"
        f"benchmark = asv_runner.discovery.get_benchmark_from_name({str(BENCHMARKS)!r}, {name!r})\n"
        "benchmark.do_setup()\n"
        f"json.dump(benchmark.do_run(), open({str(target)!r}, 'w'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(target.read_text())


@pytest.mark.parametrize(("variant", "task"), steps.cases())
def test_a_training_step(benchmark, variant, task):
    """One update of a network of 64 blocks; its loss is a number."""
    step = TimedStep(variant, task, steps.HIDDEN_SIZE)
    benchmark.name = benchmark.fullname = f"{task}.{variant}.time_train_step"
    benchmark.extra_info["frames"] = step.frames
    assert math.isfinite(benchmark(step))


def test_the_step_trains(monkeypatch):
    """What is timed moves the weights and lowers the loss; a step that did nothing would be the fastest of all."""
    variant, task = steps.cases()[0]
    monkeypatch.setattr("lstm_odyssey.bench.step.LEARNING_RATE", 1e-3)
    step = TimedStep(variant, task, hidden_size=8)
    before = step.population.network.weights.clone()
    losses = [step() for _ in range(20)]
    assert (step.population.network.weights != before).any()
    assert losses[-1] < losses[0]


def test_default_cases_are_the_embedded_tasks():
    """Every case names a variant and an embedded task that exist, and there is at least one."""
    cases = steps.cases()
    assert {task for _, task in cases} == {name for name in lo.task_names() if lo.task(name).embedded}
    assert {variant for variant, _ in cases} <= set(lo.variant_names())
    assert cases


def test_asv_finds_one_name_for_each_case(found):
    """A case is told by its name: a new plugin shifts nobody's results, as it would if cases were counted."""
    expected = {f"{task}.{variant}.{kind}" for variant, task in steps.cases() for kind in KINDS}
    assert expected <= set(found)
    assert all(not each["params"] for each in found.values())
    assert all("-" not in name for name in found)  # asv takes what follows a dash for the number of a case


def test_asv_finds_the_imports(found):
    """What an import costs is tracked in fresh interpreters."""
    assert {name for name, each in found.items() if name.startswith("imports.timeraw_")} == {
        "imports.timeraw_import",
        "imports.timeraw_import_layer",
        "imports.timeraw_import_reports",
    }


def test_lower_is_better(found):
    """asv reads every rise as a regression, so everything is tracked in units of cost."""
    assert {each["unit"] for each in found.values()} <= {"seconds", "seconds/frame"}


@pytest.mark.parametrize(("variant", "task"), steps.cases())
def test_a_tracked_benchmark_gives_its_samples(tmp_path, variant, task):
    """A tracked value comes as seven positive samples, so that asv can tell noise from change."""
    result = run_one(f"{task}.{variant}.track_seconds_per_frame", tmp_path / "result.json")
    assert result["number"] == 1 and len(result["samples"]) == 7
    assert all(0 < sample < 1 for sample in result["samples"])


def test_asv_check_passes():
    """``asv check`` accepts the configuration and the benchmarks as they are in this tree."""
    command = [sys.executable, "-m", "asv", "check", "--python=same"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No problems found" in done.stdout + done.stderr
