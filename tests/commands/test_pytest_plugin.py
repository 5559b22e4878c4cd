"""The pytest plugin, as other people's projects have it, and the case that ships with the package."""

import json
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from importlib.metadata import version
from unittest.mock import MagicMock

import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey import cases, pytest_plugin
from lstm_odyssey.bench import cuda_probe
from lstm_odyssey.bench.cuda_probe import no_cuda
from lstm_odyssey.bench.measured import measured_error
from lstm_odyssey.benchmarks import steps, training
from lstm_odyssey.plugins import registry
from lstm_odyssey.pytest_plugin import Case, chosen
from lstm_odyssey.study.plan import default_tasks
from tests.conftest import ROOT
from tests.small import chorales

DEFAULT = list(default_tasks())


def run_pytest(folder, *arguments, **environment):
    """pytest in a process of its own, away from this repository's configuration."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=300
    )


def test_the_plugin_is_installed(pytestconfig):
    """The entry point has loaded it into this very run."""
    assert pytestconfig.getoption("--odyssey-device") == "cpu"


def test_where_corpora_lie_is_a_fixture(odyssey_data):
    """Without the option no task has a place."""
    assert odyssey_data == {}


def test_everything_it_adds_is_named_odyssey():
    """Options and fixtures have names that no other project uses."""
    added = []

    class Group:
        def addoption(self, name, **options):
            added.append(name)

    class Parser:
        def getgroup(self, name, description):
            return Group()

    from lstm_odyssey import pytest_plugin

    pytest_plugin.pytest_addoption(Parser())
    assert added and all(name.startswith("--odyssey-") for name in added)
    fixtures = [name for name, value in vars(pytest_plugin).items() if "fixture" in type(value).__name__.lower()]
    assert fixtures == ["odyssey_data", "odyssey_case"]


def test_loading_it_costs_nothing():
    """A project that uses none of it pays for no torch, numpy or plugin."""
    code = (
        "import sys, lstm_odyssey.pytest_plugin\n"
        "heavy = {'torch', 'numpy', 'numba', 'scipy', 'typer', 'lstm_odyssey.plugins.registry'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_project_with_fixtures_and_options_of_like_names_is_left_alone(tmp_path):
    """A suite with its own variant, task, case and --task runs as if the plugin were not there."""
    (tmp_path / "conftest.py").write_text(
        "import pytest\n"
        "def pytest_addoption(parser):\n    parser.addoption('--task', default='mine')\n"
        "def pytest_generate_tests(metafunc):\n"
        "    if 'variant' in metafunc.fixturenames:\n        metafunc.parametrize('variant', [1, 2])\n"
        "@pytest.fixture\ndef task(request):\n    return request.config.getoption('--task')\n"
        "@pytest.fixture\ndef case():\n    return 'case'\n"
    )
    (tmp_path / "test_own.py").write_text(
        "import sys\n"
        "def test_own(variant, task, case):\n    assert (variant in (1, 2), task, case) == (True, 'ours', 'case')\n"
        "def test_nothing_heavy_came_along():\n"
        "    assert not {'torch', 'numpy', 'lstm_odyssey.plugins.registry'} & set(sys.modules)\n"
    )
    done = run_pytest(tmp_path, "-q", "--task=ours")
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout


def test_a_project_without_pytest_benchmark_is_left_alone(tmp_path):
    """The hook for its machine information is unknown there, and no error."""
    (tmp_path / "test_own.py").write_text("def test_own(odyssey_variant):\n    assert odyssey_variant == 'nog'\n")
    done = run_pytest(tmp_path, "-q", "-p", "no:benchmark", "--odyssey-variant=nog")
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


@pytest.mark.long
def test_the_machine_has_a_gpu_only_where_one_is_asked_for(tmp_path):
    """What a foreign benchmark's file says of the machine has no entry of ours; with --odyssey-device=cuda the GPU is named."""
    (tmp_path / "test_own.py").write_text("import torch\ndef test_own(benchmark):\n    benchmark(int)\n")
    options = ("--benchmark-json=saved.json", "--benchmark-max-time=0.01", "--benchmark-min-rounds=1")
    machines = []
    for more in ((), ("--odyssey-device=cuda",)):
        done = run_pytest(tmp_path, "-q", *options, *more)
        assert done.returncode == 0, done.stdout
        machines.append(json.loads((tmp_path / "saved.json").read_text())["machine_info"])
    assert set(machines[1]) - set(machines[0]) == {"gpu"}
    assert (machines[1]["gpu"] is None) == bool(no_cuda())


def test_a_test_gets_the_variants_and_tasks_chosen(tmp_path):
    """Each fixture runs a test once for every name; a case is a variant on a task with a device."""
    (tmp_path / "test_fixtures.py").write_text(
        "def test_variant(odyssey_variant):\n    assert odyssey_variant in ('nog', 'nig')\n"
        "def test_task(odyssey_task):\n    assert odyssey_task\n"
        "def test_case(odyssey_case):\n"
        "    assert odyssey_case.name('x') == f'bach.{odyssey_case.variant}.x' and odyssey_case.device == 'cpu'\n"
        "    assert odyssey_case.profile.epochs == 1 and odyssey_case.data.endswith('here')\n"
    )
    arguments = ("--odyssey-variant=no[g]", "--odyssey-variant=nig", "--odyssey-task=bach", "--odyssey-profile=smoke",
                 "--odyssey-data=bach=here")  # fmt: skip
    done = run_pytest(tmp_path, "-q", "-rA", *arguments)
    assert done.returncode == 0, done.stdout
    ids = re.findall(r"^PASSED test_fixtures.py::(\S+)", done.stdout, flags=re.MULTILINE)
    assert sorted(ids) == [
        "test_case[bach-nig]", "test_case[bach-nog]", "test_task[bach]", "test_variant[nig]", "test_variant[nog]",
    ]  # fmt: skip


PLUGIN = """
from lstm_odyssey.variants.ops import tanh

def elman(x, y, *, W, R, b):
    return tanh(W.z @ x + R.z @ y + b.z)
"""


def test_variants_of_a_file_are_known_too(tmp_path):
    """A file given by its path is one more plugin, for the patterns and for the cases."""
    (tmp_path / "mine.py").write_text(PLUGIN)
    arguments = ("--pyargs", "lstm_odyssey.cases", "--benchmark-disable", "--odyssey-variant=elm*", "-q", "-rA")
    done = run_pytest(tmp_path, *arguments, "--odyssey-plugin=mine.py", "--odyssey-task=bach")
    assert done.returncode == 0 and "test_train_step[bach-elman]" in done.stdout, done.stdout + done.stderr


def test_a_broken_file_is_one_clear_error(tmp_path):
    """pytest ends at once, and names the file and what is wrong with it."""
    (tmp_path / "mine.py").write_text("1 / 0")
    done = run_pytest(tmp_path, "--odyssey-plugin=mine.py")
    assert done.returncode == 4 and "mine.py: cannot be loaded: ZeroDivisionError" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_case_runs_on_the_corpus_that_is_given(tmp_path, monkeypatch):
    """The update that is timed, the throughput and the training all read it there, not the embedded one."""
    place = str(chorales(tmp_path, pieces=6))  # of at most 11 frames
    case = Case("nog", "bach", "cpu", pytest_plugin.PROFILES["smoke"], place)
    timed, asked = [], []

    class Benchmark:
        """pytest-benchmark's fixture, as far as a case uses it."""

        enabled, extra_info = True, {}

        def __call__(self, step):
            timed.append(step.frames)
            return step()

    def answer(*_, data, **__):
        asked.append(data)
        return MagicMock()

    monkeypatch.setattr("lstm_odyssey.bench.region.measure", lambda *_, **__: None)
    monkeypatch.setattr("lstm_odyssey.bench.throughput.throughput", answer)
    monkeypatch.setattr("lstm_odyssey.bench.measured.measured_error", answer)
    cases.test_train_step(Benchmark(), case)
    assert timed[0] <= 11 and asked == [place, place]


@pytest.mark.skipif(not no_cuda(), reason="there is a CUDA device")
def test_a_case_for_a_gpu_that_is_not_there_is_skipped_with_its_reason():
    """It is neither passed over nor run on the CPU, and torch is not asked."""
    folder = "--pyargs", "lstm_odyssey.cases", "--benchmark-only", "--odyssey-variant=nog", "--odyssey-task=bach"
    done = run_pytest(ROOT.parent, *folder, "--odyssey-device=cuda", "-q", "-rs")
    assert done.returncode == 0 and "1 skipped" in done.stdout, done.stdout
    assert "no CUDA device: skipped (" in done.stdout


def test_a_gpu_that_torch_cannot_use_is_skipped_too(monkeypatch):
    """A torch built for the CPU beside a driver is named, as asv names it; a case for the CPU runs all the same."""
    monkeypatch.setattr(cuda_probe, "no_cuda", lambda: "")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(pytest.skip.Exception, match=r"no CUDA device: skipped \(torch .* sees none\)"):
        pytest_plugin._skip_without("cuda")
    assert pytest_plugin._skip_without("cpu") is None
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert pytest_plugin._skip_without("cuda") is None


def test_a_case_for_a_gpu_has_a_name_of_its_own():
    """A run saved on a GPU is not compared with one of a CPU; the names are those that asv lists."""
    assert Case("cifg", "bach", "cpu").name("time_train_step") == "bach.cifg.time_train_step"
    assert Case("cifg", "bach", "cuda").name("time_train_step") == "bach.cifg.time_train_step_cuda"
    for device in pytest_plugin.DEVICES:
        name = Case("cifg", "bach", device).name("time_train_step")
        assert training._stepped("cifg", "bach", steps.HIDDEN_SIZE, device).time_train_step.benchmark_name == name


@pytest.mark.parametrize("option", ["--odyssey-device=tpu", "--odyssey-profile=hasty"])
def test_an_option_out_of_its_range_is_one_clear_error(option, tmp_path):
    """pytest names the option, what it got and what there is."""
    done = run_pytest(tmp_path, option)
    assert done.returncode == 4 and "invalid choice" in done.stderr and "choose from" in done.stderr


def test_without_patterns_all_variants_meet_the_default_tasks():
    """The default asks for no corpus that has to be downloaded, and for no embedded one of another collection."""
    assert chosen("variant", None) == list(lo.variant_names())
    assert chosen("task", None) == DEFAULT and DEFAULT
    assert set(chosen("task", ["*"])) == set(lo.task_names())


def test_a_broken_task_is_not_passed_over(monkeypatch):
    """A task whose package cannot be loaded is among the default ones, where its test tells why."""

    def broken(name):
        raise registry.PluginError(name)

    monkeypatch.setattr(registry, "task", broken)
    assert chosen("task", None) == list(lo.task_names())


@pytest.mark.parametrize("kind", ["variant", "task"])
def test_a_pattern_that_matches_nothing_is_one_clear_error(kind, tmp_path):
    """pytest ends at once, and says what there is."""
    with pytest.raises(pytest.UsageError, match=f"--odyssey-{kind}: 'q\\*' matches nothing; expected a name"):
        chosen(kind, ["*", "q*"])
    done = run_pytest(tmp_path, f"--odyssey-{kind}=q*")
    assert done.returncode == 4 and f"--odyssey-{kind}: 'q*' matches nothing" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_case_names_its_benchmarks():
    """A saved run is compared by task, variant and metric, which no installation changes."""
    assert Case("cifg", "bach", "cpu").name("time_train_step") == "bach.cifg.time_train_step"


def test_the_case_runs_and_tells_its_figures(tmp_path):
    """From any folder: a name of task, variant and metric; speed, parameters, device and ratio beside the times."""
    done = run_pytest(
        tmp_path, "--pyargs", "lstm_odyssey.cases", "--benchmark-only", "--odyssey-variant=c*", "--odyssey-task=bach",
        "--benchmark-json=saved.json", "--benchmark-max-time=0.1", "--odyssey-profile=smoke", "-q",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    names = [name for name in lo.variant_names() if fnmatch(name, "c*")]
    content = json.loads((tmp_path / "saved.json").read_text())
    saved = content["benchmarks"]
    assert [each["name"] for each in saved] == [each["fullname"] for each in saved]
    assert [each["name"] for each in saved] == [f"bach.{name}.time_train_step" for name in names]
    for each in saved:
        extra = each["extra_info"]
        assert extra["device"] == "cpu" and extra["processor"] and extra["frames_per_second"] > 0
        assert extra["ratio_to_torch_lstm"] > 0 and extra["hidden_size"] == 64
        assert extra["parameters"] == lo.variant(each["params"]["odyssey_variant"]).count(M=88, N=64) + 88 * 65
        trained = measured_error(each["params"]["odyssey_variant"], "bach", epochs=1)
        assert (extra["error"], extra["error_units"], extra["epochs"]) == (trained.best_test, "nats/frame", 1)
        assert extra["peak_memory"] > 2**20 and extra["torch"] == torch.__version__
        assert extra["signature"] == lo.variant(each["params"]["odyssey_variant"]).signature
        ours = {"distribution": "lstm-odyssey", "version": version("lstm-odyssey")}
        assert extra["origins"] == {"variant": ours, "task": ours}
        assert each["options"]["timer"] == "device_time"


def test_the_case_runs_once_where_benchmarks_are_off(tmp_path):
    """With --benchmark-disable the step is made once and nothing is measured."""
    done = run_pytest(tmp_path, "--pyargs", "lstm_odyssey.cases", "--benchmark-disable", "--odyssey-variant=nog", "-q")
    assert done.returncode == 0 and f"{len(DEFAULT)} passed" in done.stdout, done.stdout


@pytest.mark.long
def test_runs_of_an_editable_and_of_a_wheel_install_compare(tmp_path, site):
    """The case of the source tree and that of a wheel have one name, so pytest-benchmark sets them side by side."""
    case = ("--pyargs", "lstm_odyssey.cases", "--benchmark-only", "--odyssey-variant=nog", "--odyssey-profile=smoke")
    quick = ("--benchmark-max-time=0.1", "--benchmark-storage=file://saved", "-q")
    where = "import lstm_odyssey\ndef pytest_report_header():\n    return f'package: {lstm_odyssey.__file__}'\n"
    (tmp_path / "where.py").write_text(where)
    homes = []
    for more, path in ((("--benchmark-save=tree",), str(tmp_path)), (("--benchmark-compare",), f"{site}:{tmp_path}")):
        done = run_pytest(tmp_path, *case, *quick, *more, "-v", "-p", "where", PYTHONPATH=path)
        assert done.returncode == 0, done.stdout + done.stderr
        homes.append(re.search("package: (.*)", done.stdout).group(1))
    assert homes[0] != homes[1] and homes[1].startswith(str(site))
    assert re.search(r"bach\.nog\.time_train_step \(NOW\)", done.stdout), done.stdout
    assert re.search(r"bach\.nog\.time_train_step \(0001_tree\)", done.stdout), done.stdout


# the longer form is what the tests above give, by another way to the same file
@pytest.mark.parametrize("option", ["--benchmark", pytest.param("--benchmark-only", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "where",
    [
        pytest.param(
            (
                "-o",
                "testpaths=tests/house/test_imports.py suite",
                "--ignore-glob=suite/[!_c]*",
                "--ignore-glob=suite/c[!a]*",
            ),
            id="some",
        ),
        pytest.param((), id="all", marks=pytest.mark.long),
    ],
)
def test_either_form_runs_the_cases_of_this_repository(option, where):
    """`pytest --benchmark` collects the cases beside the tests, of a few files as of all."""
    options = (option, "--collect-only", "-q", "--odyssey-variant=nog", "-k", "test_train_step")
    done = run_pytest(ROOT, *options, *where)
    assert "suite/cases.py::test_train_step[bach-nog]" in done.stdout, done.stdout + done.stderr


def test_a_run_of_the_tests_does_not_find_the_case(pytestconfig):
    """The file of cases is nobody's test until it is named."""
    patterns = pytestconfig.getini("python_files")
    assert patterns and not any(fnmatch("cases.py", pattern) for pattern in patterns)
