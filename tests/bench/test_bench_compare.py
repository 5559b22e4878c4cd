"""``odyssey bench compare``: verdicts from made samples, two processes by turns, and what is said when something is wrong.

No figure that was measured is judged here.
"""

import functools
import json
import math
import shutil
import sys

import pytest
import torch

from lstm_odyssey.bench.samples import Timing
from lstm_odyssey.bench.timed import compare as comparing
from lstm_odyssey.bench.timed import turns
from lstm_odyssey.bench.timed.compare import AMBIGUOUS, FAST, SAME, SLOW, Comparison, Side, compare, paired, verdict
from lstm_odyssey.bench.timed.worker import Worker
from lstm_odyssey.commands.bench import tables as bench_tables
from lstm_odyssey.plugins import registry
from lstm_odyssey.training.clocks import TimingError

FACTS = {
    "variant": "a", "signature": "s", "backend": "numba", "parameters": 7, "frames": 3, "losses": [5.0, 4.0],
    "package": "/here", "interpreter": "/python", "versions": {"python": "3.11", "torch": "2", "lstm-odyssey": "0.1"},
}  # fmt: skip
LONG = functools.partial(pytest.param, marks=pytest.mark.long)
"""Two processes are started to see these mistakes too, as for the first one, which is not left out."""
SHORT = {"hidden_size": 3, "seconds": 0.1, "launches": 1}


def made(medians, **other):
    """A comparison whose launches have these medians, three rounds each."""
    ratios = tuple((0.5 * median, median, 2 * median) for median in medians)
    return Comparison("one", "two", ratios, (2e-6, 1e-6), (FACTS, {**FACTS, **other}))


@pytest.fixture
def compared(odyssey):
    """Run the command in this process; returns exit code, output and error output."""
    return functools.partial(odyssey, "bench", "compare")


class Here:
    """A worker without a process, for what is not about processes: it does what ``turns`` does, and torch is imported once."""

    started = 0

    def __init__(self, name, python=""):
        self.phases = {"call": lambda _: None}
        type(self).started += 1

    def ask(self, variant, task, clock, options):
        self.asked = variant, task, options

    def ready(self):
        self.step, self.facts = turns.made(*self.asked)
        return self.facts

    def turn(self, seconds, clock, wall):
        return 2 * [turns.take(self.step, seconds, turns.CLOCKS["wall"]) / self.facts["frames"]]

    def close(self):
        """Nothing was started."""


@pytest.fixture
def here(monkeypatch):
    """``compare`` starts no processes; torch keeps its threads."""
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    monkeypatch.setattr(comparing, "Worker", Here)
    monkeypatch.setattr(Here, "started", 0)
    return Here


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((1.04, 1.30), FAST),
        ((1.031, 1.032), FAST),
        ((1.029, 1.30), AMBIGUOUS),
        ((0.80, 0.96), SLOW),
        ((0.80, 0.972), AMBIGUOUS),
        ((0.98, 1.02), SAME),
        ((1.001, 1.029), SAME),
        ((0.98, 1.04), AMBIGUOUS),
        ((0.90, 1.10), AMBIGUOUS),
    ],
)
def test_the_verdict_is_the_intervals(interval, expected):
    """All of it beyond the threshold, on either side, all of it within, or neither."""
    assert verdict(interval) == expected
    mirrored = {FAST: SLOW, SLOW: FAST}.get(expected, expected)
    assert verdict((1 / interval[1], 1 / interval[0])) == mirrored, "which of two comes first turns the verdict round"


def test_the_threshold_is_asked_for():
    """A difference of ten percent is one at three percent and none at twenty."""
    assert (verdict((1.09, 1.11), 0.03), verdict((1.09, 1.11), 0.2)) == (FAST, SAME)


def test_a_launch_counts_once():
    """The ratio is the median of the launches' medians, its interval leaves one launch at each end of nine out."""
    found = made([1.5, 1.1, 1.2, 0.2, 1.3, 1.25, 1.15, 1.35, 9.0])
    assert found.launches.samples == (1.5, 1.1, 1.2, 0.2, 1.3, 1.25, 1.15, 1.35, 9.0)
    assert found.ratio == 1.25 and found.interval == (1.1, 1.5) and found.verdict == FAST
    assert made([1 / median for median in found.launches.samples]).verdict == SLOW
    assert made([1.0] * 9).verdict == SAME


def test_rounds_do_not_make_up_for_launches():
    """However many rounds there are, five launches have no interval and no verdict; six have."""
    assert Comparison("a", "b", ((2.0,) * 1000,) * 5, (2.0, 1.0), (FACTS, FACTS)).verdict == AMBIGUOUS
    assert Comparison("a", "b", ((2.0,),) * 6, (2.0, 1.0), (FACTS, FACTS)).verdict == FAST


def test_ratios_are_of_the_same_round():
    """A machine that slows down for both leaves every ratio alone; a contender that takes half the time is twice as fast."""
    times = (1.0, 4.0, 2.0)
    found = paired({"baseline": Timing(times, 0.1), "contender": Timing(tuple(time / 2 for time in times), 0.1)})
    assert found == (2.0,) * 3


@pytest.mark.parametrize(
    ("text", "variant", "backend", "python"),
    [
        ("fgr", "fgr", "", False),
        ("fgr@numba", "fgr", "numba", False),
        ("fgr@auto", "fgr", "auto", False),
        (f"fgr@{sys.executable}", "fgr", "", True),
        (f"fgr@eager@{sys.executable}", "fgr", "eager", True),
    ],
)
def test_a_side_is_a_variant_a_backend_and_an_interpreter(text, variant, backend, python):
    """VARIANT[@BACKEND][@PYTHON] is read whichever parts are there."""
    assert Side.of(text) == Side(text, variant, backend, sys.executable if python else "")


def test_a_virtual_environment_is_its_interpreter(tmp_path):
    """A folder stands for the Python in it, links are not followed, and an @ in a path is a letter."""
    folder = tmp_path / "me@host"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    assert Side.of(f"fgr@{folder}").python == str(folder / "bin" / "python")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "fgr@nunba",
            "'fgr@nunba': got 'nunba'; expected a backend (auto, cuda, eager, numba), or the path of a Python",
        ),
        ("fgr@eager@/no/such", "'fgr@eager@/no/such': got '/no/such'; expected a backend"),
        ("@eager", "'@eager': got an empty part; expected VARIANT[@BACKEND][@PYTHON]"),
        ("fgr@", "'fgr@': got an empty part"),
        ("", "'': got an empty part"),
    ],
)
def test_a_side_that_cannot_be_is_refused(text, message):
    """The message shows what was written and what may be."""
    with pytest.raises(TimingError) as caught:
        Side.of(text)
    assert message in str(caught.value)


def test_two_processes_take_turns():
    """Two variants are measured in processes of this Python: each says what it is, and there is a ratio for every round."""
    found = compare("nog", "np@eager", "bach", **SHORT, batch=2, dtype="float64")
    first, second = found.facts
    assert (first["variant"], first["backend"]) == ("nog", "numba")
    assert (second["variant"], second["backend"]) == ("no_peepholes", "eager")
    assert first["parameters"] == 3 * 3 * (88 + 3 + 1) + 2 * 3 + 88 * 4
    assert first["frames"] == second["frames"] > 0
    (launch,) = found.ratios
    assert launch and all(ratio > 0 and math.isfinite(ratio) for ratio in launch)
    assert found.verdict == AMBIGUOUS and found.note == ""
    assert found.facts[0]["interpreter"] == sys.executable


def test_variants_of_a_file_are_known_to_the_processes(tmp_path):
    """What --plugin has loaded here is loaded where it is timed."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from lstm_odyssey.variants.ops import tanh\n\ndef elman(x, y, *, W, R, b):\n    return tanh(W.z @ x + R.z @ y + b.z)\n"
    )
    registry.load_plugin(file)
    try:
        found = compare("elman", "nog", "bach", **SHORT)
    finally:
        registry.forget_plugins()
    assert [facts["variant"] for facts in found.facts] == ["elman", "nog"]


@pytest.mark.usefixtures("here")
def test_two_ways_to_compute_one_cell_have_one_loss():
    """Backends that are compared make the same update; the losses of the first ones say so."""
    found = compare("nog@numba", f"nog@eager@{sys.executable}", "bach", **SHORT)
    assert found.facts[0]["losses"] == pytest.approx(found.facts[1]["losses"], rel=1e-4)
    assert found.facts[0]["losses"][0] > 0 and found.note == ""


def test_other_losses_of_one_cell_are_told():
    """A version that computes something else is no faster or slower at the same work, and the output says so."""
    assert "they do not do the same work" in made([1.0] * 9, losses=[5.2, 4.0]).note
    assert made([1.0] * 9, losses=[5.001, 4.0]).note == ""
    assert made([1.0] * 9, losses=[9.0, 8.0], signature="of another cell").note == ""


@pytest.mark.long
def test_turns_are_taken_one_at_a_time(monkeypatch):
    """While one works the other waits: the processes are asked in turn, and only by the answer to the first is the second."""
    asked = []
    turn = Worker.turn

    def noted(self, *arguments):
        asked.append(("begins", self.name))
        found = turn(self, *arguments)
        asked.append(("ends", self.name))
        return found

    monkeypatch.setattr(Worker, "turn", noted)
    compare("nog", "np", "bach", **SHORT)
    rounds = [("begins", "nog"), ("ends", "nog"), ("begins", "np"), ("ends", "np")]
    assert len(asked) >= 8 and asked == rounds * (len(asked) // 4)


@pytest.mark.long
def test_every_launch_has_new_processes_and_none_is_left(monkeypatch):
    """Two launches of two are four processes, and each of them has ended, after an error too."""
    started = []
    begin = Worker.__init__

    def noted(self, *arguments):
        begin(self, *arguments)
        started.append(self._process)

    monkeypatch.setattr(Worker, "__init__", noted)
    compare("nog", "np", "bach", **{**SHORT, "launches": 2})
    assert len({process.pid for process in started}) == 4
    with pytest.raises(TimingError, match="variant 'npp': unknown"):
        compare("nog", "npp", "bach", **SHORT)
    assert len(started) == 6 and all(process.poll() is not None for process in started)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vanila", "nog"], "variant 'vanila': unknown; expected one of vanilla, "),
        (["nog", "nog@nunba"], "'nog@nunba': got 'nunba'; expected a backend"),
        LONG(["nog", "np", "--task=bahc"], "task 'bahc': unknown; expected one of bach"),
        (["nog", "np", "--threshold=0"], "threshold is 0.0; expected a part between 0 and 1"),
        (["nog", "np", "--threshold=3"], "threshold is 3.0; expected a part between 0 and 1"),
        (["nog", "np", "--seconds=0"], "seconds is 0.0; expected a number above 0"),
        (["nog", "np", "--relative-error=nan"], "relative_error is nan; expected a number above 0"),
        (["nog", "np", "--launches=0"], "launches is 0; expected a whole number of at least 1"),
        (["nog", "np", "--clock=sun"], "clock 'sun': unknown"),
        (["nog", "np", "--device=tpu"], "device 'tpu': got neither"),
        LONG(["nog", "np", "--backend=triton"], "backend 'triton': not available"),
        LONG(["nog", "np", "--hidden-size=0"], "hidden_size is 0; expected"),
        (["nog", "np", "--fail-on=slow,late"], "--fail-on: got late; expected some of fast, same, slow, ambiguous"),
        (["nog", "np", "--data=timit=x"], "--data: got a path for timit; expected one of the tasks: bach"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(compared, arguments, message):
    """Whether it is seen here or in a process, it ends with code 2 and one line that says what was expected."""
    code, output, error = compared(*arguments)
    assert code == 2 and output == ""
    assert error.startswith(f"odyssey: {message}") and error.count("\n") == 1, error


def test_a_python_that_cannot_import_the_package_is_told(tmp_path):
    """An environment without lstm_odyssey, and a program that is no Python, are one clear error each."""
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(TimingError, match=f"^nog@{bare}: ModuleNotFoundError: No module named"):
        compare(f"nog@{bare}", "nog", "bach", **SHORT)
    other = shutil.which("false")
    with pytest.raises(
        TimingError, match=f"nog@{other}: the process of {other} ended with code 1: it said nothing. Exp"
    ):
        compare(f"nog@{other}", "nog", "bach", **SHORT)


def test_a_process_that_is_killed_is_told():
    """What ends in the middle is an error with its name and code, not a wait for ever."""
    worker = Worker("nog")
    try:
        worker.ask("nog", "bach", "wall", {"hidden_size": 3})
        assert worker.ready()["frames"] > 0
        worker._process.kill()
        with pytest.raises(TimingError, match="nog: the process of .* ended with code -9"):
            for _ in range(3):
                worker.turn(0.01, lambda: 0.0, lambda: 0.0)
    finally:
        worker.close()


def test_what_a_library_prints_is_no_answer(tmp_path, monkeypatch):
    """Words on the standard output of the process do not end up among its answers."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import sys\nclass Loud:\n    def find_spec(self, name, *rest):\n"
        "        if name == 'lstm_odyssey.bench.step':\n            import os; os.write(1, b'loud\\n'); print('loud')\n"
        "sys.meta_path.insert(0, Loud())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    worker = Worker("nog")
    try:
        worker.ask("nog", "bach", "wall", {"hidden_size": 3})
        assert worker.ready()["variant"] == "nog"
        assert worker.turn(0.01, lambda: 0.0, lambda: 0.0)[0] > 0
        worker._errors.seek(0)
        assert worker._errors.read().count(b"loud") == 2
    finally:
        worker.close()


def test_a_turn_lasts_as_long_as_was_asked(monkeypatch):
    """A turn's sample is the median of its calls, made until the time is over; one call at least, a hundred at most."""
    now = [0.0]
    monkeypatch.setattr(turns.time, "perf_counter", lambda: now[0])
    lengths = iter([5.0, 1.0, 3.0, 100.0])

    def step():
        now[0] += next(lengths)

    assert turns.take(step, 8.5, lambda: now[0]) == 3.0
    assert next(lengths) == 100.0
    assert turns.take(lambda: now.__setitem__(0, now[0] + 7), 0.0, lambda: now[0]) == 7.0
    count = []
    turns.take(lambda: count.append(1), 1e9, lambda: now[0])
    assert len(count) == turns.MOST_CALLS


def test_the_script_asks_little_of_the_version_it_measures():
    """Beside Python's library it imports torch, and of the package the one module that has an update."""
    import ast
    from pathlib import Path

    nodes = list(ast.walk(ast.parse(Path(turns.__file__).read_text(encoding="utf-8"))))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    foreign = {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names}
    assert foreign == {"torch", "lstm_odyssey", "lstm_odyssey.bench"}


def test_the_command_says_and_writes_what_it_found(compared, here, tmp_path):
    """Two lines for the two, the verdict with its interval, and the same in the record with every ratio."""
    file = tmp_path / "compare.json"
    code, output, error = compared(
        "nog", "nog@eager", "--hidden-size=3", "--seconds=0.1", "--launches=2", "--threshold=0.05", f"--json={file}"
    )
    assert code == 0 and error == ""
    assert (
        "nog@eager is AMBIGUOUS: " in output
        and "all launches" in output
        and "95 %" not in output
        and "below 5 % is none" in output
    )
    assert here.started == 4
    assert "Fewer than six launches" in output and f"Record: {file}" in output and "processes started 2 times" in output
    record = json.loads(file.read_text())
    assert record["benchmark"] == "compare" and record["asked"]["threshold"] == 0.05
    assert (record["asked"]["baseline"], record["asked"]["contender"]) == ("nog", "nog@eager")
    (row,) = record["results"]
    assert row["verdict"] == "AMBIGUOUS" and len(row["ratios"]) == len(row["launches"]) == 2
    assert row["interval"][0] <= row["ratio"] <= row["interval"][1]
    assert row["baseline"]["backend"] == "numba" and row["contender"]["backend"] == "eager"


@pytest.mark.parametrize(
    ("said", "seconds", "launches"),
    [
        ([], 30.0, 9),
        (["--quick"], 1.0, 1),
        (["--quick", "--launches=6"], 1.0, 6),
        (["--quick", "--seconds=3"], 3.0, 1),
        (["--launches=2"], 30.0, 2),
    ],
    ids=["neither", "quick", "quick and launches", "quick and seconds", "launches"],
)
def test_quick_is_one_launch_unless_more_are_asked_for(compared, monkeypatch, said, seconds, launches):
    """--quick starts two processes and not eighteen; what is said beside it goes before it."""
    asked = {}
    monkeypatch.setattr(comparing, "compare", lambda *sides, **options: asked.update(options) or made([1.0]))
    assert compared("one", "two", *said)[0] == 0
    assert (asked["seconds"], asked["launches"]) == (seconds, launches)


@pytest.mark.parametrize(
    ("medians", "fail_on", "expected"),
    [
        ([0.5] * 9, ["--fail-on=slow"], 1),
        ([0.5] * 9, [], 0),
        ([0.5] * 9, ["--fail-on=ambiguous"], 0),
        ([1.0] * 9, ["--fail-on=slow"], 0),
        ([2.0] * 9, ["--fail-on=SLOW", "--fail-on=fast"], 1),
        ([0.5, 1.5] * 5, ["--fail-on=slow,ambiguous"], 1),
    ],
)
def test_the_code_is_0_unless_a_verdict_is_to_fail(compared, monkeypatch, medians, fail_on, expected):
    """A slow contender fails where --fail-on names its verdict, after the verdict was printed."""
    monkeypatch.setattr(comparing, "compare", lambda *sides, **asked: made(medians))
    code, output, _ = compared("one", "two", *fail_on)
    assert code == expected
    assert f"two is {made(medians).verdict}: " in output


def test_other_versions_are_shown_only_where_they_are_other(capsys):
    """What both have in common takes no line; two installed versions are told by theirs and by where they lie."""
    from rich.console import Console

    asked = {"device": "cpu", "clock": "wall", "hidden_size": 3, "batch": 1}
    for found in (made([1.0] * 9), made([1.0] * 9, package="/there")):
        for part in bench_tables.comparison(found, "bach", asked):
            Console(width=100).print(part)
        output = capsys.readouterr().out
        assert ("one: python 3.11, torch 2, lstm-odyssey 0.1, /here" in output) == (
            found.facts[1] is not FACTS and "/there" in output
        )
        assert ("/there" in output) == (found.facts[1]["package"] == "/there")
