"""Memory of a population: the formula is what its steps take, groups follow from it, scoring takes no more than learning."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends import BACKENDS
from lstm_odyssey.backends.cuda import memory, shape
from lstm_odyssey.backends.cuda.emulation import EmulatedDevice
from lstm_odyssey.backends.cuda.kernels import kernel
from lstm_odyssey.backends.cuda.running.launch import unrolled
from lstm_odyssey.backends.cuda.running.loops import NODES
from lstm_odyssey.backends.cuda.shape import Shape
from lstm_odyssey.backends.cuda.training_step import SHAPES
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.study.block import Block
from lstm_odyssey.study.stored.store import Store
from lstm_odyssey.study.stored.trials import comparable
from lstm_odyssey.tasks import objectives
from lstm_odyssey.training import batches
from lstm_odyssey.training.loop import Trial, what_fits
from lstm_odyssey.training.members.population import Population
from lstm_odyssey.training.memory import load_of
from lstm_odyssey.training.protocol import Protocol
from tests.corpora import CORPORA
from tests.small import settings

SIZES = (3, 40, 7, 300)


def population(cell, objective, bidirectional, batch, keeps=False, sizes=SIZES):
    """Members of some classes, and of none, with what their memory follows from."""
    corpus, cell, objective = CORPORA[objective](sizes=(5, 4, 3)), lo.variant(cell), objectives.get(objective)
    trials = [
        Trial(k, {"hidden_size": N, "learning_rate": 1e-3, "momentum": 0.5, "input_noise": 0.1})
        for k, N in enumerate(sizes)
    ]
    made = Population(
        cell, corpus, objective, trials, Protocol(epochs=1, batch=batch), seed=1, bidirectional=bidirectional,
        backend="emulated", dtype=torch.float32, device="cpu", keep_weights=keeps,
    )  # fmt: skip
    load = load_of(
        cell, corpus, objective, sizes, batch=batch, bidirectional=bidirectional, dtype=torch.float32, keeps=keeps,
        sparing=True,
    )  # fmt: skip
    return made, load


@pytest.mark.parametrize(
    ("cell", "objective", "bidirectional", "batch"),
    [
        ("vanilla", "next_frame", True, 1),
        ("gru", "frames", False, 3),
        ("minlstm", "ctc", True, 2),
        ("fgr", "next_frame", False, 2),
        ("ln_lstm", "frames", True, 2),
    ],
)
def test_the_formula_is_what_a_step_takes(cell, objective, bidirectional, batch, on_cpu):
    """To the byte: the rooms of the largest update and the largest score, but for inputs and targets, and all copies."""
    made, load = population(cell, objective, bidirectional, batch, keeps=True)
    (part,) = made.parts
    step, kept = part.step, kernel(lower(made.cell.graph), torch.float32, "sm_90")
    tables = [
        len(launch.table.numbers) * launch.table.width
        for shape in (Shape(step, *load.update, True), Shape(step, *load.scored, False))
        for stages in shape.parts_of_a_step().values()
        for stage in stages
        for _, launches in stage
        for launch in {id(launch.table): launch for launch in unrolled(launches)}.values()
    ]
    rooms = step.workspace._rooms
    common = sum(
        room.numel() * room.element_size() for (name, _), room in rooms.items() if name in ("x", "noise", "targets")
    )
    assert memory.rooms(kept, load).sum() == step.workspace.bytes() - common
    tensors = (part.network.weights, part.network.gradients, part.velocity, part.best_weights)
    assert memory.copies(kept, load) == sum(value.numel() * value.element_size() for value in tensors)
    programs = len(SIZES) * load.directions
    assert 0.2 * memory.TABLE < sum(tables) / 2 / programs < memory.TABLE, "of two shapes"


@pytest.mark.parametrize("cell", ["vanilla", "ln_lstm", "minlstm"])
def test_graphs_have_no_more_kernels_than_is_planned(cell, on_cpu):
    """Of members in all size classes, whose losses are ours: an update and a score; loops count by themselves, once for all."""
    made, load = population(cell, "next_frame", True, 1, sizes=(20, 40, 70, 100, 130, 200))
    (part,) = made.parts
    for T, B, learns in ((*load.update, True), (*load.scored, False)):
        stages = Shape(part.step, T, B, learns).parts_of_a_step()
        launches = {name: [unrolled(work) for stage in each for _, work in stage] for name, each in stages.items()}
        count = sum(map(len, itertools.chain(*launches.values()))) - learns * len(launches["plain"])
        assert 0.2 * memory.SHAPE_NODES < count <= memory.SHAPE_NODES
    fused = kernel(lower(made.cell.graph), torch.float32, "sm_90")
    large = replace(load, sizes=(20, 257), shapes=7)
    assert memory.graphs(fused, replace(load, shapes=7), 3) == memory.NODE * 3 * 7 * memory.SHAPE_NODES
    assert memory.graphs(fused, large) == memory.NODE * (7 * memory.SHAPE_NODES + NODES)
    assert memory.graphs(fused, replace(large, shapes=9999)) == memory.graphs(fused, replace(large, shapes=SHAPES))


def test_scoring_does_not_take_more_than_learning(on_cpu):
    """A split is scored in batches of no more frames than the largest update, on the backend that is short of memory only."""
    corpus = CORPORA["next_frame"](sizes=(5, 4, 3))
    longest = max(len(features) for features, _ in corpus.train)
    assert batches.scored_frames(corpus, 1, sparing=False) == batches.scored_frames(corpus, 9999, True) == 4096
    assert batches.scored_frames(corpus, 1, sparing=True) == batches.LEAST_SCORED
    many = -(-2000 // longest)
    assert batches.scored_frames(corpus, many, sparing=True) == many * longest
    order = [index for group in batches.groups(corpus.valid) for index in group]
    few = batches.groups(corpus.valid, 1)
    assert [index for group in few for index in group] == order and {len(group) for group in few} == {1}
    assert BACKENDS["cuda"].sparing and not BACKENDS["numba"].sparing and not BACKENDS["eager"].sparing


def test_groups_follow_from_what_is_free(on_cpu, monkeypatch):
    """All that fit, the largest of them together; one where not even one does; None is what the processor says."""
    _, load = population("vanilla", "next_frame", True, 1)
    made = kernel(lower(lo.variant("vanilla").graph), torch.float32, "sm_90")
    # each group has its graphs, and all have their weights and tables, whichever is computed; here little else takes any room
    needed = 1000 * np.sort(memory.workspace(made, load))[::-1]
    monkeypatch.setattr(memory, "workspace", lambda made, load: needed)
    fixed = memory.copies(made, load) + load.corpus + memory.tables(made, load).sum()
    for count, groups in ((1, 4), (2, 2), (3, 2), (4, 1)):
        enough = int((fixed + needed[:count].sum() + memory.graphs(made, load, groups)) / memory.PART) + 1
        assert memory.group(made, load, enough) == count
        assert memory.group(made, load, int(enough - 0.1 * needed[count - 1])) == max(1, count - 1)
    assert memory.group(made, load, 0) == 1
    assert EmulatedDevice().free() is None


def test_a_study_trains_in_the_groups_that_were_planned(on_cpu, tmp_path, monkeypatch):
    """Groups of two from the start where two fit, half of that if it is wrong; the numbers are those of all at once."""
    given, asked = {"variants": ["nog"], "trials": 3, "epochs": 1, "block_size": 3, "tasks": ["bach"]}, []
    whole = Block.train

    def train(self, *arguments, group=None, **options):
        asked.append(group)
        if group == 2 and len(asked) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, *arguments, group=group, **options)

    monkeypatch.setattr(Block, "train", train)
    monkeypatch.setattr(EmulatedDevice, "free", lambda device: 10**9)
    lo.run(tmp_path / "roomy", settings(tmp_path, backend=on_cpu, **given))
    monkeypatch.setattr(memory, "group", lambda made, load, free: 2)
    asked.clear()
    lo.run(tmp_path / "short", settings(tmp_path, backend=on_cpu, **given))
    assert asked == [2, 1]
    found, right = ({t["trial"]: comparable(t) for t in Store(tmp_path / of).trials()} for of in ("short", "roomy"))
    assert found == right and len(found) == 3


@pytest.mark.parametrize(("frames", "named"), [((900, 4), "a batch"), ((1, 1), "its weights")])
def test_what_32_bits_cannot_count_is_refused(frames, named, on_cpu, monkeypatch):
    """Before anything is launched: numbers, frames and sequences are named, and what to do; one number less goes through."""
    made, _ = population("vanilla", "next_frame", False, 1, sizes=(40, 3))
    step = made.parts[0].step
    monkeypatch.setattr(shape, "LARGEST", 0)
    with pytest.raises(ValueError, match=f"backend 'cuda': {named} takes") as told:
        Shape(step, *frames)
    most = int(re.search(r"takes ([\d,]+) numbers", str(told.value))[1].replace(",", ""))
    assert f"{frames[0]} frames x {frames[1]} sequences" in str(told.value) and "Use a smaller batch" in str(told.value)
    monkeypatch.setattr(shape, "LARGEST", most)
    assert frames[0] == Shape(step, *frames).T
    monkeypatch.setattr(shape, "LARGEST", most - 1)
    with pytest.raises(ValueError, match="expected at most"):
        Shape(step, *frames)


def test_what_pads_is_never_in_groups():
    """Nothing is planned where a neighbour changes a number."""
    assert what_fits(lambda group: group, 5, True, 2) is None and what_fits(lambda group: group, 5, False, 2) == 2
