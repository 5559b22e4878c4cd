"""``odyssey bench``: the yardsticks compute what they are compared with, and the command says and writes what it measured."""

import ast
import json
import math
import re
import shutil
from importlib.metadata import version

import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.bench.loop import Loop
from lstm_odyssey.bench.samples import Timing
from lstm_odyssey.bench.step import Setting
from lstm_odyssey.bench.timed import cell as bench_cell
from lstm_odyssey.bench.timed import ctc as bench_ctc
from lstm_odyssey.bench.timed.cell import AGAINST, OURS, Contest, Group, Work, contest
from lstm_odyssey.bench.timed.epoch import PLAIN, Epochs, epochs
from lstm_odyssey.commands.bench import tables as bench_tables
from lstm_odyssey.conformance.answers import named
from lstm_odyssey.tasks.objectives.ctc import CTC
from lstm_odyssey.training.clocks import TimingError
from tests.cells import ODD
from tests.conftest import ROOT
from tests.small import chorales

CELLS = {name: lo.variant(name) for name in lo.variant_names()} | {name: lo.as_cell(odd) for name, odd in ODD.items()}
TINY = {"sizes": (3,), "batches": (2,), "frames": 4, "inputs": 3, "seconds": 0.02}


@pytest.mark.parametrize("name", ["loop", "plain_torch"])
def test_the_scripts_know_nothing_of_the_package(name):
    """What is measured against, and held against in tests, imports torch and no line of this package."""
    tree = ast.parse((ROOT / "suite" / "bench" / f"{name}.py").read_text(encoding="utf-8"))
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert "torch" in imported
    assert {name.split(".")[0] for name in imported} <= {"__future__", "collections", "types", "typing", "torch"}


@pytest.mark.parametrize("name", CELLS)
def test_the_eager_loop_equals_the_layer(name):
    """The text called with columns equals lo.RNN to 1e-11 in float64: outputs, states, and every gradient."""
    cell, (T, B, M, N) = CELLS[name], (5, 3, 4, 6)
    torch.manual_seed(3)
    layer = lo.RNN(cell, M, N, initial_std=0.7, dtype=torch.float64)
    parameters = {name: value.detach() for name, value in layer.cells[0].tensors().items()}
    loop = Loop(cell.step, cell.spaces, parameters)
    x = torch.randn(T, B, M, dtype=torch.float64)
    low_high = {s: cell.domains.get(s, (-1.0, 1.0)) for s in cell.states}
    state = {s: torch.rand(1, B, N, dtype=torch.float64) * (high - low) + low for s, (low, high) in low_high.items()}
    leaves = [value.requires_grad_() for value in (x, *state.values())]
    columns = [value.detach().squeeze(0).mT.clone().requires_grad_() for value in leaves]
    y, final = layer(x, state)
    other, ends = loop(columns[0], columns[1:])
    adjoint, last = torch.randn_like(y), [torch.randn_like(value) for value in final.values()]
    spaces = dict(layer.named_parameters())
    mine = torch.autograd.grad([y, *final.values()], [*leaves, *spaces.values()], [adjoint, *last], allow_unused=True)
    gates = named(dict(zip(spaces, mine[len(leaves) :], strict=True)), cell.parameters)
    mine = [*mine[: len(leaves)], *gates.values()]
    theirs = torch.autograd.grad(
        [other, *(end.expand(N, B) for end in ends)],
        [*columns, *(loop.parameters[key.removeprefix("cells.0.")] for key in gates)],
        [adjoint.mT, *(value[0].mT for value in last)],
        allow_unused=True,
    )

    def close(a, b):
        return (a - b).abs().max() <= 1e-11 * max(1, float(b.detach().abs().max()))

    assert close(other.mT, y)
    assert all(close(end.expand(N, B).mT, value[0]) for end, value in zip(ends, final.values(), strict=True))
    for number, (a, b) in enumerate(zip(theirs, mine, strict=True)):
        if a is None or b is None:
            assert not any(value.any() for value in (a, b) if value is not None)
            continue
        b = b.squeeze(0) if number < len(columns) and number else b
        a = a.mT if number < len(columns) else a.reshape(b.shape)
        assert close(a, b), number


def test_every_way_of_a_cell_is_timed():
    """Ours, torch's LSTM, the loop and the eager backend are measured forward and backward; each has both phases."""
    group = contest(lo.variant("fgr"), 3, 2, Work(**TINY, against=("lstm", "loop", "eager")))
    assert list(group.timings) == [OURS, "lstm", "loop", "eager"] and group.failed == {}
    for name, timing in group.timings.items():
        assert list(timing.phases) == ["forward", "backward"]
        assert group.ratio(name) > 0 and group.ratio(name, "forward") > 0
    assert group.ratio(OURS) == 1.0 and group.ratio("compile") is None


def test_a_compiled_step_is_timed(monkeypatch):
    """What torch.compile makes of the step takes part; here it makes nothing of it, and says that it was asked."""
    asked = []

    def compiled(step, **options):
        asked.append(step)
        return step

    monkeypatch.setattr(torch, "compile", compiled)
    group = contest(lo.variant("nog"), 3, 1, Work(**TINY, against=("compile",)))
    assert asked and set(group.timings) == {OURS, "compile"} and group.failed == {}


@pytest.mark.long
def test_a_step_that_torch_compiles_is_timed():
    """torch.compile itself takes part where there is a C++ compiler; without one its reason is told."""
    group = contest(lo.variant("nog"), 3, 1, Work(**TINY, against=("compile",)))
    if any(map(shutil.which, ("g++", "clang++", "c++"))):
        assert set(group.timings) == {OURS, "compile"} and group.failed == {}
    else:
        assert set(group.timings) == {OURS} and "ompiler" in group.failed["compile"]


def test_a_way_that_fails_is_left_out_with_its_reason(monkeypatch):
    """An error of torch's compiler is a line under the table, and the others are measured."""

    def broken(step, **options):
        raise RuntimeError("no compiler here\nand a long story")

    monkeypatch.setattr(torch, "compile", broken)
    work = Work(**TINY, against=("lstm", "compile"))
    group = contest(lo.variant("nog"), 3, 2, work)
    assert group.failed == {"compile": "RuntimeError: no compiler here"} and "lstm" in group.timings
    shown = " ".join(str(part) for part in bench_tables.cell_tables([group], work))
    assert "not measured: nog by compile: RuntimeError: no compiler here" in shown
    (row,) = (row for row in bench_tables.cell_results([group]) if row["way"] == "compile")
    assert row["failed"] == "RuntimeError: no compiler here"


def test_a_way_that_computes_something_else_is_not_timed(monkeypatch):
    """Before anything is timed, every way of a cell has to give the layer's outputs."""
    monkeypatch.setattr(
        bench_cell, "Loop", lambda step, spaces, parameters: Loop(lambda x, y, c, **p: (y, c), spaces, parameters)
    )
    with pytest.raises(RuntimeError, match="'nog' computed by 'loop' is off by .*; expected 0.001 at most"):
        Contest(lo.variant("nog"), 3, 2, Work(**TINY)).region("loop")


def test_forward_alone_keeps_no_graph():
    """Without the backward pass there is one phase, and its output needs no gradient."""
    made = Contest(lo.variant("nog"), 3, 2, Work(**TINY, backward=False))
    for name in ("lstm", "loop", "eager", OURS):
        region = made.region(name)
        assert list(region.phases) == ["forward"]
        assert not region.phases["forward"](None).requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"against": ("gru",)}, "against: got gru; expected some of eager, lstm, loop, compile"),
        ({"sizes": ()}, "sizes: got none"),
        ({"sizes": (0,)}, "size: got 0; expected a whole number of at least 1"),
        ({"frames": 0}, "frames: got 0"),
        ({"clock": "sun"}, "clock 'sun': unknown"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_work_that_cannot_be_is_refused(options, message):
    """Each wrong entry is an error that says what was expected."""
    with pytest.raises(TimingError, match=message):
        Work(**options)


def made_group(variant, size, batch, ours=0.002, other=0.004):
    def timing(seconds):
        return Timing((seconds,) * 8, 0.02, {n: Timing((seconds / 2,) * 8, 0.02) for n in ("forward", "backward")})

    return Group(variant, size, batch, {OURS: timing(ours), "lstm": timing(other)})


def test_the_table_has_times_ratios_and_their_geometric_mean(capsys):
    """Rows by variant and N; under each variant, and under all, the geometric mean of the ratios."""
    from rich.console import Console

    groups = [made_group("a", 20, 1), made_group("a", 50, 1, other=0.016), made_group("b", 20, 1, other=0.002)]
    for part in bench_tables.cell_tables(groups, Work(against=("lstm",))):
        Console(width=100).print(part)
    shown = capsys.readouterr().out
    assert shown.count("forward, batch 1, ms") == shown.count("forward and backward, batch 1, ms") == 1
    assert re.search(r"a +20 +2\.00 +4\.00 +2\.00", shown) and re.search(r"a +50 +2\.00 +16\.00 +8\.00", shown)
    assert re.search(r"a +mean +4\.00", shown) and not re.search(r"b +mean", shown)
    assert re.search(r"all +mean +2\.52", shown)
    flat = " ".join(shown.split())  # words under a table are wrapped at its width
    assert "~" not in flat and "-bit vectors" in flat and "T 304, M 39" in flat and "wall clock" in flat


@pytest.mark.parametrize(("against", "told"), [(("lstm", "loop"), True), (("loop",), False)])
def test_a_ratio_to_another_cell_is_told(against, told):
    """torch.nn.LSTM computes the cell without peepholes; a ratio to it is, for other cells, one of two cells."""
    groups = [made_group(name, 20, 1) for name in ("vanilla", "no_peepholes", "gru")]
    shown = " ".join(str(part) for part in bench_tables.cell_tables(groups, Work(against=against)))
    assert ("torch.nn.LSTM has no peepholes, and is another cell than vanilla, gru." in shown) is told


def test_doubtful_medians_are_marked(capsys):
    """A median known worse than asked has a ~ beside it, and a line says how many."""
    from rich.console import Console

    group = Group("a", 20, 1, {OURS: Timing((0.001, 0.002), 0.02), "lstm": Timing((0.004,) * 9, 0.02)})
    for part in bench_tables.cell_tables([group], Work(against=("lstm",), backward=False)):
        Console(width=200).print(part)
    shown = capsys.readouterr().out
    flat = " ".join(shown.split())
    assert "1.50~" in flat and "4.00~" not in flat and "1 of 2 medians (~) are known worse than ±2 %" in flat


def test_an_epoch_is_timed_against_plain_torch(tmp_path):
    """Variants and yardstick are measured by turns on the same corpus; shares are of the yardstick's time."""
    found = epochs(["nog", "np"], "bach", hidden_size=3, data=str(chorales(tmp_path)), seconds=0.1)
    assert list(found.timings) == ["nog", "no_peepholes", PLAIN]
    assert found.share(PLAIN) == 1.0 and all(found.share(name) > 0 for name in found.timings)
    corpus = lo.task("bach").load(str(chorales(tmp_path)))
    assert found.sequences == len(corpus.train) and found.frames == sum(len(x) for x, _ in corpus.train)


def test_an_epoch_trains_and_draws_anew(tmp_path):
    """What is timed as an epoch moves the weights of both, and each epoch has its own number, order and noise."""
    from lstm_odyssey.bench.timed import epoch as bench_epoch

    setting = Setting("np", "bach", hidden_size=3, data=str(chorales(tmp_path)))
    made = []
    setting.population = lambda: made.append(Setting.population(setting)) or made[-1]
    setting.plain = lambda: made.append(Setting.plain(setting)) or made[-1]
    ours, plain = bench_epoch.ours(setting), bench_epoch.plain(setting)
    population, network = made
    before = [population.network.weights.clone(), *(weight.detach().clone() for weight in network.weights)]
    for _ in range(2):
        ours.once(lambda: 0.0)
        plain.once(lambda: 0.0)
    after = [population.network.weights, *network.weights]
    assert all((a != b).any() for a, b in zip(after, before, strict=True))
    assert population.epoch == 2


def test_bench_cell_prints_a_table_and_writes_a_record(odyssey, tmp_path):
    """The quick form on a tiny layer: a table with ratios, and a JSON file with all of medians, intervals, versions, CPU."""
    file = tmp_path / "cell.json"
    code, output, error = odyssey(
        "bench", "cell", "nog", "np", "--quick", "--sizes=2,3", "--frames=3", "--seconds=0.02", "--against=lstm,loop",
        f"--json={file}",
    )  # fmt: skip
    assert code == 0 and error == ""
    assert re.search(r"nog +2 +[\d.]+~? +[\d.]+~? +[\d.]+ +[\d.]+", output) and "no_peepholes" in output
    assert "all" in output and "-bit vectors" in output and f"Record: {file}" in output
    record = json.loads(file.read_text())
    assert record["benchmark"] == "cell" and record["format"] == bench_tables.FORMAT and not record["interrupted"]
    assert record["threads"] == 1 and record["processor"] and record["versions"]["torch"] == version("torch")
    assert re.match(r"20\d\d-\d\d-\d\dT", record["date"])
    assert record["asked"]["sizes"] == [2, 3] and record["asked"]["frames"] == 3 and record["asked"]["inputs"] == 39
    assert len(record["results"]) == 2 * 2 * 3
    for row in record["results"]:
        time = row["seconds"]
        assert time["interval"][0] <= time["median"] <= time["interval"][1] and time["samples"]
        assert set(time["phases"]) == {"forward", "backward"}
        assert row["ratio"] > 0 and row["way"] in (OURS, *AGAINST)


def test_bench_epoch_prints_a_table_and_writes_a_record(odyssey, tmp_path):
    """An epoch of a variant and of plain torch, with the share of the one in the other."""
    file, data = tmp_path / "epoch.json", f"--data=bach={chorales(tmp_path)}"
    code, output, _ = odyssey(
        "bench", "epoch", "nog", data, "--hidden-size=3", "--seconds=0.05", f"--json={file}", "--clock=cpu"
    )
    assert code == 0
    assert re.search(r"nog +[\d.]+~? +[\d,]+ +[\d.]+", output) and "plain torch" in output and "cpu clock" in output
    assert "torch.nn.LSTM has no peepholes, and is another cell than nog." in " ".join(output.split())
    record = json.loads(file.read_text())
    assert [row["way"] for row in record["results"]] == ["nog", PLAIN]
    assert record["results"][1]["of_plain_torch"] == 1.0 and record["asked"]["clock"] == "cpu"


def test_bench_step_prints_what_throughput_says(odyssey, tmp_path):
    """Time a frame, phases, frames a second and the ratio of each variant and task."""
    file = tmp_path / "step.json"
    code, output, _ = odyssey(
        "bench", "step", "nog,np", "--tasks=bach", "--hidden-size=3", "--seconds=0.05", f"--json={file}"
    )
    assert code == 0
    assert re.search(r"nog +[\d.]+~? +[\d.]+ +[\d.]+ +[\d.]+ +\d+% +\d+% +\d+% +[\d,]+ +[\d.]+", output)
    assert "torch.nn.LSTM has no peepholes, and is another cell than nog." in " ".join(output.split())
    rows = json.loads(file.read_text())["results"]
    assert [row["variant"] for row in rows] == ["nog", "no_peepholes"]
    assert all(math.isclose(row["frames_per_second"] * row["seconds_per_frame"], 1) for row in rows)
    assert all(row["recurrent"] > 0 and row["loss"] > 0 for row in rows)


def test_bench_ctc_prints_a_table_and_writes_a_record(odyssey, tmp_path):
    """The loss of the step, torch's, how many times as fast the one is, and its share of the step, line by line."""
    file = tmp_path / "ctc.json"
    code, output, _ = odyssey(
        "bench", "ctc", "--lines=9:2,12:3", "--hidden-size=3", "--seconds=0.1", "--variant=nog", f"--json={file}"
    )
    assert code == 0
    assert re.search(r"\n9 +2 +[\d.]+~? +[\d.]+~? +[\d.]+ +[\d.]+~? +\d+%", output) and "of nog at N 3" in " ".join(
        output.split()
    )
    record = json.loads(file.read_text())
    assert [(row["frames"], row["labels"]) for row in record["results"]] == [(9, 2), (12, 3)]
    for row in record["results"]:
        medians = {name: each["median"] for name, each in row["seconds"].items()}
        assert row["ratio"] == medians["torch"] / medians["odyssey"]
        assert row["share"] == medians["odyssey"] / (medians["odyssey"] + medians["rest of the step"])


def test_what_is_timed_of_ctc_is_ctc(monkeypatch):
    """Both ways give one loss and one gradient, the rest of the step computes neither, and another loss is not timed."""
    work = bench_ctc.Work(lo.variant("nog"), 20, 6, 3)
    work.alone.losses.zero_()
    work.alone.gradient.zero_()
    work.ways[bench_ctc.REST]()
    assert not work.alone.losses.any()
    work.ways[bench_ctc.OURS]()
    loss, gradient = work.ways[bench_ctc.TORCH]()
    assert float(work.alone.losses) == pytest.approx(float(loss), rel=1e-6)
    assert (gradient - work.alone.gradient[:, 0]).abs().max() < 1e-5 < gradient.abs().max()
    with pytest.raises(
        TimingError, match="a line of 5 frames, 3 labels and N = 3; expected at least two frames a label"
    ):
        bench_ctc.Work(lo.variant("nog"), 5, 3, 3)
    monkeypatch.setattr(CTC, "summed_loss", lambda self, logits, target, lengths: logits.square().sum())
    with pytest.raises(TimingError, match="the two ways compute different losses"):
        bench_ctc.Work(lo.variant("nog"), 20, 6, 3)


def test_ctrl_c_prints_what_is_there(odyssey, tmp_path, monkeypatch):
    """Stopped in the third group, the first two are printed and written, and the record says that it was stopped."""
    whole, calls = bench_cell.contest, []

    def stopping(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(bench_cell, "contest", stopping)
    file = tmp_path / "cell.json"
    code, output, _ = odyssey(
        "bench", "cell", "nog", "--quick", "--sizes=2,3,4", "--frames=2", "--seconds=0.01", "--against=lstm",
        f"--json={file}",
    )  # fmt: skip
    assert code == 130 and "Stopped" in output and re.search(r"nog +3 ", output) and not re.search(r"nog +4 ", output)
    record = json.loads(file.read_text())
    assert record["interrupted"] and len(record["results"]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cell", "vanila"], "variant 'vanila': unknown; expected one of vanilla, "),
        (["cell", "nog", "--sizes=2,x"], "--sizes: got 'x'; expected whole numbers"),
        (["cell", "nog", "--sizes=0"], "size: got 0; expected"),
        (["cell", "nog", "--against=gru"], "against: got gru; expected some of"),
        (["cell", "nog", "--clock=sun"], "clock 'sun': unknown"),
        (["cell", "nog", "--quick", "--sizes=2", "--seconds=0"], "measure: seconds is 0.0; expected"),
        (["cell", "nog", "--device=tpu"], "device 'tpu': got neither"),
        (["ctc", "--lines=334"], "--lines: got '334'; expected frames and labels, as 334:22."),
        (["ctc", "--lines=9:6"], "a line of 9 frames, 6 labels and N = 100; expected"),
        (["epoch", "nog", "--task=bahc"], "task 'bahc': unknown; expected one of bach"),
        (["epoch", "nog", "--hidden-size=0"], "hidden_size is 0; expected"),
        (["epoch", "nog", "--data=timit=x"], "--data: got a path for timit; expected one of the tasks: bach"),
        (["step", "nog", "--dtype=float16"], "dtype is 'float16'; expected one of"),
        (["step", "nog", "--backend=triton"], "backend 'triton': not available"),
        (["step", "nog", "--data=bach"], "--data: got 'bach'; expected TASK=PATH"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(odyssey, arguments, message):
    """Every wrong option ends with code 2 and one line that says what was expected."""
    code, output, error = odyssey("bench", *arguments)
    assert code == 2 and output == ""
    assert re.match(rf"odyssey: {re.escape(message)}", error), error
    assert error.count("\n") == 1


def test_an_epochs_share_is_of_the_yardstick():
    """Half the time is a share of a half."""
    timings = {"a": Timing((1.0,) * 6, 0.1), PLAIN: Timing((2.0,) * 6, 0.1)}
    assert Epochs("t", 3, "cpu", 1, 1, timings).share("a") == 0.5
