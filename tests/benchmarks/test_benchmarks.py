"""The benchmarks: asv finds them under names that tell variant and task, and each of them runs."""

import itertools
import json
import math
import os
import subprocess
import sys
import time
from importlib import import_module

import pytest

import lstm_odyssey as lo
from lstm_odyssey.backends.cuda.emulation import Event
from lstm_odyssey.bench import measured
from lstm_odyssey.bench.cuda_probe import no_cuda
from lstm_odyssey.bench.samples import Timing
from lstm_odyssey.bench.step import TimedStep
from lstm_odyssey.bench.timed.ctc import OURS, REST, TORCH, Lines
from lstm_odyssey.benchmarks import steps
from lstm_odyssey.plugins import registry
from lstm_odyssey.study.asked.profiles import COLLECTION
from lstm_odyssey.study.plan import default_tasks
from lstm_odyssey.training.threads import one_thread
from tests.conftest import ROOT

BENCHMARKS = ROOT / "suite" / "benchmarks"
KINDS = ("peakmem_train", "time_forward", "time_train_step", "track_error", "track_seconds_per_frame")
IMPORTS = {f"imports.timeraw_import{what}" for what in ("", "_cli", "_layer", "_pytest_plugin", "_reports")}
IMPORTS.add("imports.timeraw_first_compilation")

TIMES = {name: Timing((seconds,) * 6, 0.1) for name, seconds in ((OURS, 1.0), (TORCH, 4.0), (REST, 4.0))}
BOOKING = {"booking.track_in_block_over_alone_n20", "booking.track_in_block_over_alone_n200"}
LOSSES = {
    f"losses.track_ctc_{what}_{line}" for what in ("over_torch", "share_of_step") for line in ("t170_u20", "t700_u30")
}
ANALYSIS = {
    f"analysis.{what}"
    for what in (
        "OneCell.time_main_effects_and_pairs",
        "OneCell.time_main_effects_and_pairs_per_tree",
        "Everything.time_main_effects",
        "Everything.time_main_effects_and_pairs",
        "Everything.time_main_effects_and_pairs_per_tree",
        "Optuna.time_main_effects",
    )
}


def names(cases, endings=("",)):
    """The benchmarks of some cases, on the CPU and on CUDA; at sizes whose names end so."""
    found = set()
    for (variant, task), ending in itertools.product(cases, endings):
        found |= {f"{task}.{variant}.{kind}{ending}{device}" for kind in KINDS for device in ("", "_cuda")}
        found.add(f"{task}.{variant}.track_cuda_peak_memory{ending}")
    return found


@pytest.fixture(autouse=True)
def _threads():
    """A step is timed with one thread; the other tests get theirs back."""
    with one_thread():
        yield


def in_asv(code, **environment):
    """What a fresh process prints, which has the benchmarks where asv has them."""
    start = f"import json, sys, asv_runner.discovery as discovery\nroot = {str(BENCHMARKS)!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", start + code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def discovered(target, **environment):
    """What asv discovers, by name, and whether that imported torch."""
    out = in_asv(
        f"with open({str(target)!r}, 'w') as file:\n    discovery.list_benchmarks(root, file)\n"
        "print('torch' in sys.modules)",
        **environment,
    )
    assert out.split()[-1] == "False"
    listed = json.loads(target.read_text())
    assert len({each["name"] for each in listed}) == len(listed)
    return {each["name"]: each for each in listed}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The default set, by name."""
    return discovered(tmp_path_factory.mktemp("asv") / "benchmarks.json", ODYSSEY_ASV="")


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """The full set, by name."""
    return discovered(tmp_path_factory.mktemp("asv") / "benchmarks.json", ODYSSEY_ASV="full")


def run_one(name, repeat=None, **environment):
    """A benchmark's result: found by its name and run in a fresh process, as asv does it; ``repeat`` samples if given."""
    asked = {"rounds": 1} | ({} if repeat is None else {"repeat": repeat})
    out = in_asv(
        f"benchmark = discovery.get_benchmark_from_name(root, {name!r}, {asked!r})\n"
        "assert not benchmark.do_setup()\n"
        "print('result', json.dumps(benchmark.do_run()))",
        **environment,
    )
    return json.loads(out.rpartition("result")[2])


@pytest.fixture
def training(tmp_path, monkeypatch):
    """The benchmarks' module, with an empty cache of results, and the seeds of the trainings that are run."""
    run, seeds = measured._train, []

    def counted(setting, drawn, protocol, seed, identity):
        seeds.append(seed)
        return run(setting, drawn, protocol, seed, identity)

    monkeypatch.setattr(measured, "_train", counted)
    monkeypatch.setattr(measured, "folder", lambda: tmp_path / "measured")
    return import_module("lstm_odyssey.benchmarks.training"), seeds


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


def test_default_cases_are_the_default_tasks():
    """Every case names a variant that exists and a task that a study has by default, and there is at least one."""
    cases = steps.cases()
    assert {task for _, task in cases} == set(default_tasks())
    assert {variant for variant, _ in cases} <= set(lo.variant_names())
    assert cases


def test_the_full_set_has_no_task_of_another_collection(monkeypatch):
    """ODYSSEY_ASV=full adds tasks that are of the same collection or of none, and no other that is embedded."""
    monkeypatch.setenv("ODYSSEY_ASV", "full")
    assert steps.COLLECTION == COLLECTION
    tracked = {task for _, task in steps.cases()}
    assert tracked == set(default_tasks()) < {name for name in lo.task_names() if lo.task(name).embedded}


def test_a_broken_task_empties_no_set(monkeypatch):
    """A task whose package cannot be loaded stands in the full set, where its cases tell why; the others stay."""
    monkeypatch.setenv("ODYSSEY_ASV", "full")
    before = steps.cases()
    names, task = lo.task_names(), registry.task
    monkeypatch.setattr(registry, "task_names", lambda: ("ill", *names))

    def find(name):
        if name == "ill":
            raise registry.PluginError("ill")
        return task(name)

    monkeypatch.setattr(registry, "task", find)
    found = steps.cases()
    assert set(before) < set(found) and {task for _, task in set(found) - set(before)} == {"ill"}


def test_asv_finds_one_name_for_each_case(found):
    """A case is told by its name: a new plugin shifts nobody's results, as it would if cases were counted."""
    assert set(found) == names(steps.cases()) | IMPORTS | ANALYSIS | BOOKING | LOSSES
    assert all(not each["params"] for each in found.values())
    assert all("-" not in name for name in found)  # asv takes what follows a dash for the number of a case


def test_the_full_set_has_every_variant_and_a_larger_size(found, everything):
    """ODYSSEY_ASV=full adds to the default set, whose benchmarks it leaves as they are."""
    cases = [(variant, task) for variant in lo.variant_names() for task in steps.TASKS]
    assert set(everything) == names(cases, ("", f"_n{steps.LARGER}")) | IMPORTS | ANALYSIS | BOOKING | LOSSES
    assert {name: everything[name] for name in found} == found


def test_another_word_than_full_is_refused(monkeypatch):
    """A misspelt set is an error, not the default set by another name."""
    monkeypatch.setenv("ODYSSEY_ASV", "ful")
    with pytest.raises(ValueError, match="ODYSSEY_ASV is 'ful'; expected 'full'"):
        steps.cases()
    monkeypatch.setenv("ODYSSEY_ASV", "vanila,cifgg")
    with pytest.raises(ValueError, match="'vanila,cifgg'; expected .* names of variants and tasks that are installed"):
        steps.cases()


@pytest.mark.parametrize(
    ("given", "variants", "tasks"),
    [
        ("dusk,vanilla", ("dusk", "vanilla"), steps.TASKS),
        ("circle", steps.VARIANTS, ("circle",)),
        ("bach, circle ,dusk", ("dusk",), ("bach", "circle")),
        ("of_a_later_commit,vanilla", ("of_a_later_commit", "vanilla"), steps.TASKS),
    ],
)
def test_one_s_own_cells_and_tasks_are_named(monkeypatch, given, variants, tasks):
    """ODYSSEY_ASV=mine,vanilla tracks these cells at the usual size, on the default tasks unless some are named too."""
    monkeypatch.setattr("lstm_odyssey.plugins.registry.variant_names", lambda: ("vanilla", "dusk"))
    monkeypatch.setattr("lstm_odyssey.plugins.registry.task_names", lambda: ("bach", "circle"))
    monkeypatch.setenv("ODYSSEY_ASV", given)
    assert steps.cases() == [(variant, task) for task in tasks for variant in variants]
    assert steps.sizes() == (steps.HIDDEN_SIZE,)


def test_the_full_set_does_not_depend_on_what_is_installed(monkeypatch):
    """A variant of this tree is listed although an older package lacks it, so that asv skips it there and does not fail."""
    monkeypatch.setenv("ODYSSEY_ASV", "full")
    monkeypatch.setattr("lstm_odyssey.plugins.registry.variant_names", lambda: ("of_a_plugin",))
    listed = {variant for variant, _ in steps.cases()}
    assert {"of_a_plugin", "nog", "no_peepholes"} <= listed


def test_a_plugin_whose_name_has_a_dash_has_benchmarks(training):
    """asv would take a dash for the number of a case, and no two names become one."""
    module, _ = training
    task = steps.TASKS[0]
    case = module._trained("of-a-plugin", task, steps.HIDDEN_SIZE, "cpu")
    assert case.track_error.benchmark_name == f"{task}.of~a~plugin.track_error"


def test_lower_is_better(found):
    """asv reads every rise as a regression, so everything is tracked in units of cost."""
    assert {each["unit"] for each in found.values()} == {"seconds", "seconds/frame", "bytes", "test error", "times"}


def test_versions_are_given_by_hand(found, everything):
    """asv's own version is a hash of the code, which throws a history away for a comment."""
    assert {each["version"] for each in [*found.values(), *everything.values()]} <= {"1", "2", "3", "4"}


def test_without_a_gpu_a_case_is_skipped_before_torch_is_imported(found):
    """Each case for CUDA says why it is not run, for the price of a look at the driver."""
    listed = sorted(name for name in found if "cuda" in name)
    out = in_asv(
        f"for name in {listed!r}:\n"
        "    assert discovery.get_benchmark_from_name(root, name).do_setup() is True\n"
        "print('torch' in sys.modules)",
        CUDA_VISIBLE_DEVICES="",
    )
    *skipped, last = out.splitlines()
    assert len(skipped) == len(listed) == 6 * len(steps.cases())
    assert all("NotImplementedError('no CUDA device: skipped (" in line for line in skipped)
    assert last == "False"


def test_a_case_that_the_installed_package_lacks_is_skipped(training, monkeypatch):
    """On an older commit's package a newer variant or task is skipped, and so is what needs a newer module."""
    module, _ = training
    variant, task = steps.cases()[0]
    for kind, listing in (("variant", "variant_names"), ("task", "task_names")):
        with monkeypatch.context() as patch:
            patch.setattr(f"lstm_odyssey.plugins.registry.{listing}", lambda: ("another",))
            with pytest.raises(NotImplementedError, match=f"{kind} '.*' is not in the package of this commit: skipped"):
                module._skip_unless(variant, task, "cpu", "bench.measured")
    with pytest.raises(NotImplementedError, match="lstm_odyssey.nowhere is not in the package"):
        module._skip_unless(variant, task, "cpu", "nowhere")
    module._skip_unless(variant, task, "cpu", "bench.measured")
    lacking = {"lstm_odyssey.bench.cuda_probe", "lstm_odyssey.driver"}
    monkeypatch.setattr(module.names, "find_spec", lambda name: None if name in lacking else name)
    module._skip_unless(variant, task, "cpu", "bench.measured")
    with pytest.raises(
        NotImplementedError, match=r"lstm_odyssey.bench.cuda_probe is not in the package of this commit"
    ):
        module._skip_unless(variant, task, "cuda", "bench.measured")


def test_a_module_is_found_by_its_older_name(training, monkeypatch):
    """On a package from before the modules had folders the names it has are taken; a folder that is not there is no error."""
    names = training[0].names
    assert names.there("bench.measured") == "lstm_odyssey.bench.measured" and names.there("nowhere.at_all") is None

    def old(name):
        if name.count(".") > 1:
            raise ModuleNotFoundError(name)
        return name

    monkeypatch.setattr(names, "find_spec", old)
    assert names.there("bench.measured") == "lstm_odyssey.measured"
    assert names.code("commands.cli") == "lstm_odyssey.cli"
    with pytest.raises(NotImplementedError, match="lstm_odyssey.nowhere.at_all is not in the package of this commit"):
        names.needed("nowhere.at_all")


def test_the_step_is_found_by_its_older_name(training, monkeypatch):
    """Packages from before it was renamed are still timed."""
    from lstm_odyssey.bench import step

    module, _ = training
    monkeypatch.setattr(step, "TrainingStep", step.TimedStep, raising=False)
    monkeypatch.delattr(step, "TimedStep")
    variant, task = steps.cases()[0]
    case = module._stepped(variant, task, 4, "cpu")()
    case.setup()
    case.time_train_step()
    assert math.isfinite(case.step())


def test_a_gpu_that_torch_cannot_use_is_skipped_too(training, monkeypatch):
    """A driver without a torch built for it is no failure of the package."""
    module, _ = training
    monkeypatch.setattr("lstm_odyssey.bench.cuda_probe.no_cuda", lambda: "")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(NotImplementedError, match=r"no CUDA device: skipped \(torch .* sees none\)"):
        module._skip_unless(*steps.cases()[0], "cuda", "bench.measured")


def test_the_timer_of_a_gpu_is_its_events(training, monkeypatch):
    """On CUDA a call is over when the GPU has come to the event behind it; an older package's clock waits for the GPU."""
    module, _ = training
    waited = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.current_stream", lambda device: "stream")
    monkeypatch.setattr("torch.cuda.Event", lambda enable_timing: EmulatedEvent(waited))
    monkeypatch.setattr("torch.cuda.synchronize", waited.append)
    variant, task = steps.cases()[0]
    of_gpu = getattr(module, f"stepped_{task}_{variant}_{steps.HIDDEN_SIZE}_cuda")
    of_cpu = getattr(module, f"stepped_{task}_{variant}_{steps.HIDDEN_SIZE}_cpu")
    module._cuda_clock.cache_clear()
    for metric in ("time_train_step", "time_forward"):
        assert getattr(of_cpu, metric).timer is time.perf_counter
        assert getattr(of_gpu, metric).timer() >= 0
    assert waited == ["event", "event"]
    module._cuda_clock.cache_clear()
    monkeypatch.delattr("lstm_odyssey.training.clocks.timer_of")
    assert of_gpu.time_forward.timer() > 0 and waited == ["event", "event", "cuda"]
    module._cuda_clock.cache_clear()


class EmulatedEvent(Event):
    """An event of the emulated device, as torch's is called; that it is waited for is written down."""

    def __init__(self, waited):
        super().__init__()
        self.waited = waited

    def record(self, stream):
        assert stream == "stream"
        super().record()

    def synchronize(self):
        super().synchronize()
        self.waited.append("event")


def test_one_training_serves_every_metric(training, monkeypatch):
    """Error and seconds a frame of a case are read off the same seven trainings, one a seed."""
    module, seeds = training
    variant, task = steps.cases()[0]
    case = getattr(module, f"trained_{task}_{variant}_{steps.HIDDEN_SIZE}_cpu")()
    error, pace = case.track_error(), case.track_seconds_per_frame()
    assert seeds == [1, 2, 3, 4, 5, 6, 7]
    assert error["number"] == pace["number"] == 1
    assert len(set(error["samples"])) == len(set(pace["samples"])) == 7
    assert all(5 < score < 11 for score in error["samples"])
    assert all(0 < seconds < 0.1 for seconds in pace["samples"])


def test_a_training_without_a_score_is_a_failure(training, monkeypatch):
    """A cell that overflows before it has a score has no error: the benchmark fails and says so."""
    module, _ = training
    with pytest.raises(ArithmeticError, match="diverged before it had a score"):
        module._score(None, "score")


@pytest.mark.parametrize("kind", ["time_forward", "time_train_step"])
def test_a_timed_benchmark_runs(kind):
    """Timed in a process of its own a case has enough samples for asv's interval, all of them a single call."""
    variant, task = steps.cases()[0]
    result = run_one(f"{task}.{variant}.{kind}")
    assert result["number"] == 1
    assert len(result["samples"]) >= 10 and min(result["samples"]) > 0


def test_a_training_needs_memory(found):
    """The peak of a process that trains one epoch is that of torch at least."""
    variant, task = steps.cases()[0]
    assert 5e7 < run_one(f"{task}.{variant}.peakmem_train") < 1e11


def test_ctc_is_tracked_beside_torch(monkeypatch):
    """Its time over torch's and its share of a step are parts of 1 on any machine: shown on a short line, no time asserted."""
    losses = import_module("lstm_odyssey.benchmarks.losses")
    monkeypatch.setattr(losses, "line", lambda frames, labels: Lines(frames, labels, TIMES))
    assert losses.track_over_torch_170() == 0.25 and losses.track_share_700() == 0.2
    assert {losses.track_over_torch_170.unit, losses.track_share_700.unit} == {"times"}


def test_imports_are_timed_in_fresh_interpreters():
    """What an import costs is tracked without what was imported before; pytest is there before its plugin is."""
    code, before = import_module("lstm_odyssey.benchmarks.imports").timeraw_import_pytest_plugin()
    assert (code, before) == ("import lstm_odyssey.pytest_plugin", "import pytest")
    for name in ("imports.timeraw_import", "imports.timeraw_first_compilation"):
        result = run_one(name, repeat=1)
        assert result["number"] == 1 and min(result["samples"]) > 0


class Driver:
    """A CUDA driver that answers so."""

    def __init__(self, init, code, count):
        self.cuInit = lambda flags: init
        self.code, self.count = code, count

    def cuDeviceGetCount(self, reference):  # noqa: N802 - the driver's name
        reference._obj.value = self.count
        return self.code


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (Driver(0, 0, 2), ""),
        (Driver(0, 0, 0), "no CUDA device: skipped (the driver sees none)"),
        (Driver(100, 0, 1), "no CUDA device: skipped (the driver's cuInit returns error 100)"),
        (Driver(0, 3, 1), "no CUDA device: skipped (the driver's cuDeviceGetCount returns error 3)"),
    ],
    ids=["two", "none", "no init", "no count"],
)
def test_the_driver_says_whether_there_is_a_gpu(monkeypatch, driver, reason):
    """The answer is the driver's own: no device, an error, or how many."""
    monkeypatch.setattr("ctypes.CDLL", lambda library: driver)
    assert no_cuda() == reason


def test_asv_check_passes():
    """``asv check`` accepts the configuration and the benchmarks as they are in this tree."""
    command = [sys.executable, "-m", "asv", "check", "--python=same"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No problems found" in done.stdout + done.stderr
