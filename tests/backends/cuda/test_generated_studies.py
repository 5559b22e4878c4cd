"""A study on the backend cuda: trials by the emulated device, what they say of their bits, and groups where memory is short."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends import BACKENDS, promise
from lstm_odyssey.backends.cuda.classes import WIDTHS
from lstm_odyssey.backends.cuda.emulation import EmulatedDevice
from lstm_odyssey.backends.cuda.kernels import kernel, sources
from lstm_odyssey.backends.cuda.source import products, training
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.backends.trainer import Planned
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.stored.store import Store
from lstm_odyssey.study.stored.trials import comparable
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training import batches, environment
from lstm_odyssey.training.loop import what_fits
from tests.corpora import CORPORA
from tests.made_plugins import HURRIED, RISING, write
from tests.small import settings


@pytest.fixture
def watched(monkeypatch):
    """Texts that are built ahead, texts that run, and what the progress is told that a block does."""
    found, build, run = SimpleNamespace(built=[], ran=set(), told=[]), EmulatedDevice.build, EmulatedDevice.run

    def building(device, texts, progress=None):
        assert not found.ran, "a kernel ran before all were compiled"
        found.built.extend(texts)
        build(device, texts, progress)

    def running(device, text, launches):
        found.ran.add(text)
        run(device, text, launches)

    monkeypatch.setattr(EmulatedDevice, "build", building)
    monkeypatch.setattr(EmulatedDevice, "run", running)
    monkeypatch.setattr(Store, "report_progress", lambda store, *word: found.told.extend(word[4:]))
    return found


@pytest.mark.parametrize(("name", "objective"), [("hurried", "ctc"), ("rising", "next_frame")])
def test_a_study_compiles_ahead_and_says_whose_bits_are_no_promise(name, objective, on_cpu, tmp_path, watched):
    """CTC is torch's, in no fixed order: its trials say so, others do not; all come out as eager's to rounding.

    What runs is what was compiled before the first update, no text less and none more; the progress counts them.
    """
    text = {"hurried": HURRIED.replace("pair(3, 0, 0, 1)", "pair(5, 0, 0, 1)"), "rising": RISING}[name]
    given = {"variants": ["nog"], "tasks": [name], "data": {}, "trials": 2, "epochs": 1, "dtype": "float64",
             "plugins": [str(write(tmp_path, name, text))]}  # fmt: skip
    lo.run(tmp_path / on_cpu, settings(tmp_path, backend=on_cpu, **given))
    assert len(watched.built) == len(set(watched.built)) and set(watched.built) == watched.ran
    counts = [f"compiling kernels {done} of {len(watched.built)}" for done in range(len(watched.built) + 1)]
    assert watched.told == ["compiling kernels", *counts]
    lo.run(tmp_path / "eager", settings(tmp_path, backend="eager", **given))
    found, right = ({t["trial"]: t for t in Store(tmp_path / of).trials()} for of in (on_cpu, "eager"))
    assert len(found) == len(right) == 2
    for index, trial in found.items():
        assert trial["status"] == "ok", trial["reason"]
        said = f"torch computes the loss of '{objective}', in no fixed order"
        assert trial["environment"].get("bits") == (said if objective == "ctc" else None)
        assert trial["best_valid"] == pytest.approx(right[index]["best_valid"], rel=1e-9)


def test_what_is_planned_is_compiled():
    """Of each size its class, or the text step by step; of each number of rows its own; nothing else. Else all classes."""
    made = kernel(lower(lo.variant("vanilla").graph), torch.float32, "sm_90")
    planned = Planned((7, 30, 100, 300), (1, 5), objectives.get("next_frame"))
    found = sources(made, planned)
    scans = {made.compiled(made.layout(N), B).text for N in (30, 100) for B in (1, 5)}
    losses = {training.source(size, "next_frame") for size in (4, 8)}
    assert set(found) == {*scans, *losses, made.stepwise_text, products.source(4)} and len(found) == len(set(found))
    assert len(sources(made)) == 3 * len(WIDTHS) + 2 and made.stepwise_text in sources(made)


def test_rows_are_those_of_updates_and_scores():
    """Whole batches, the last one of an epoch, and the batches in which a split is scored."""
    corpus = CORPORA["next_frame"](sizes=(5, 3, 4))
    scored = {len(group) for split in (corpus.valid, corpus.test) for group in batches.groups(split)}
    assert [set(batches.numbers_of_rows(corpus, size)) - scored for size in (1, 2, 8)] == [
        {1} - scored, {2, 1} - scored, {5} - scored,
    ]  # fmt: skip
    assert scored and scored <= set(batches.numbers_of_rows(corpus, 1))


def test_which_backends_promise_bits():
    """cuda for the losses that are its own; one that is not known here as it was stored."""
    told = {each: promise("cuda", each) for each in ("next_frame", "frames", "ctc", "label_last")}
    assert [each for each, words in told.items() if words] == ["ctc", "label_last"]
    assert told["ctc"] == {"bits": "torch computes the loss of 'ctc', in no fixed order"}
    assert not any(promise(backend, "ctc") for backend in ("numba", "eager", "of a newer version"))


@dataclass
class Short:
    """A GPU that has room for so many members, and the groups that were asked for."""

    room: int
    asked: list

    def __call__(self, group):
        self.asked.append(group)
        if (5 if group is None else group) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self


def test_where_memory_is_short_groups_get_smaller():
    """Halves of five members until they fit; where not one fits the error stands, as it does where a backend pads."""
    for room, expected in ((5, [None]), (3, [None, 3]), (1, [None, 3, 2, 1])):
        short = Short(room, [])
        assert what_fits(short, 5, pads=False) is short and short.asked == expected
    for short, pads, expected in ((Short(0, []), False, [None, 3, 2, 1]), (Short(4, []), True, [None])):
        with pytest.raises(torch.OutOfMemoryError):
            what_fits(short, 5, pads=pads)
        assert short.asked == expected


def test_a_block_whose_members_do_not_fit_is_trained_in_groups(on_cpu, tmp_path, monkeypatch):
    """A run answers a full memory with smaller groups, and stores what a run that had room stores; no trial fails."""
    whole, given = Block.train, {"variants": ["nog"], "trials": 3, "epochs": 1, "block_size": 3}
    lo.run(tmp_path / "roomy", settings(tmp_path, backend=on_cpu, **given))
    asked = []

    def train(self, *arguments, group=None, **options):
        asked.append(group)
        if group is None:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, *arguments, group=group, **options)

    monkeypatch.setattr(Block, "train", train)
    lo.run(tmp_path / "short", settings(tmp_path, backend=on_cpu, **given))
    assert asked == [None, 2]
    found, right = ({t["trial"]: t for t in Store(tmp_path / of).trials()} for of in ("short", "roomy"))
    assert {index: comparable(trial) for index, trial in found.items()} == {
        index: comparable(trial) for index, trial in right.items()
    }
    assert {trial["status"] for trial in found.values()} == {"ok"}


def test_numbers_of_a_gpu_depend_on_gpu_driver_cuda_and_compiler(monkeypatch):
    """They stand beside processor and versions, and are compared; the CPU has none of them."""
    assert environment.of_device("cpu") == environment.of_device("cuda") == {}, "there is no GPU here"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU of {device}")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    here = environment.of_device("cuda:1")
    assert here["gpu"] == "GPU of cuda:1" and here["cuda"] == "13.0"
    assert set(here) <= {"gpu", "cuda", "driver", "nvrtc"} <= set(environment.COMPUTING)
    stored = {**environment.environment(), **here}
    assert environment.elsewhere([stored], "cuda:1") == ""
    assert environment.elsewhere([{**stored, "gpu": "another"}], "cuda:1") == "gpu another then, GPU of cuda:1 now"
    assert environment.elsewhere([stored], "cpu").startswith("gpu GPU of cuda:1 then, none now")


def test_a_member_does_not_pad_on_cuda():
    """What groups rest on."""
    assert not BACKENDS["cuda"].pads(lo.variant("vanilla"), 7) and replace(BACKENDS["cuda"], name="x").together
