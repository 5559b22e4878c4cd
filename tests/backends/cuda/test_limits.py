"""What only a GPU would show, said without one: architectures that no table lists, indices of 32 bits, sizes of a grid."""

import enum
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends import eager
from lstm_odyssey.backends.cuda import scan as ours
from lstm_odyssey.backends.cuda.classes import (
    ARCHITECTURES,
    REGISTERS,
    REGISTERS_OF_THREAD,
    WIDTHS,
    limits_of,
    rows_alone,
    rows_of,
    size_class,
)
from lstm_odyssey.backends.cuda.programs import Rounds, collect
from lstm_odyssey.backends.cuda.running.driver import CudaDevice
from lstm_odyssey.backends.cuda.running.launch import MOST_PROGRAMS, Launch, Table
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.training.members.lockstep import CompiledLockstep
from lstm_odyssey.training.members.views import Views
from tests.conftest import ROOT
from tests.emulated_scans import fits


@pytest.mark.parametrize(
    ("asked", "found"), [("sm_87", "sm_86"), ("sm_103", "sm_100"), ("sm_121", "sm_120"), ("sm_90", "sm_90")]
)
def test_an_architecture_that_is_not_listed_has_the_limits_of_the_one_before(asked, found):
    """A class is found for it; of one that is older than all there is no class."""
    assert limits_of(asked) is ARCHITECTURES[found]
    assert size_class(60, 4, 10, 4, asked) == size_class(60, 4, 10, 4, found) is not None
    with pytest.raises(KeyError):
        limits_of("sm_75")


GUIDE = {
    "sm_80": (163, False), "sm_86": (99, False), "sm_89": (99, False), "sm_90": (227, True), "sm_100": (227, True),
    "sm_120": (99, True),
}  # fmt: skip
"""Kilobytes of shared memory that a block may have, and clusters: CUDA C++ Programming Guide, "Compute Capabilities"."""


def test_the_limits_are_those_of_the_guide():
    """Shared memory of a block and clusters; registers are the same for all."""
    assert {name: (one.shared / 1024, one.clusters) for name, one in ARCHITECTURES.items()} == GUIDE
    assert (REGISTERS, REGISTERS_OF_THREAD) == (65536, 255)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("size", [4, 8])
def test_every_class_keeps_the_limits_of_its_architecture(architecture, size):
    """Of cells of 0 to 16 matrices: threads, registers, shared memory, clusters; each weight has one place. Beyond an N that
    has no class none has one.
    """
    shared, clusters = GUIDE[architecture]
    found = 0
    for matrices, vectors, width in itertools.product(range(17), (2, 10), WIDTHS):
        one = size_class(width, matrices, vectors, size, architecture)
        if one is None:
            assert all(
                size_class(wider, matrices, vectors, size, architecture) is None for wider in WIDTHS if wider > width
            )
            continue
        found += 1
        assert one == size_class(width - 1, matrices, vectors, size, architecture) and one.width == width
        assert one.cluster in ((1, 2, 4, 8) if clusters else (1,)) and one.units * one.cluster == width
        assert one.threads <= 1024 and one.threads % 32 == 0 and one.columns * one.lanes == width
        assert one.shared(vectors) <= shared * 1024
        in_registers = matrices * one.held * (size // 4)
        assert in_registers + matrices * one.rows * (size // 4) < 255
        assert -(-one.threads // 128) * 128 * (in_registers + matrices * one.rows * (size // 4)) < 65536
        assert one.weights == matrices * size * width * one.units - size * in_registers // (size // 4) * one.threads
    assert found > 60


@pytest.mark.parametrize(
    ("architecture", "matrices", "size", "largest"),
    [("sm_80", 4, 4, 96), ("sm_86", 4, 4, 96), ("sm_86", 3, 4, 96), ("sm_80", 3, 4, 128), ("sm_90", 4, 4, 224),
     ("sm_120", 4, 4, 224), ("sm_90", 13, 4, 224), ("sm_120", 13, 4, 160), ("sm_80", 13, 4, 64), ("sm_90", 13, 8, 128),
     ("sm_86", 0, 8, 224)],
)  # fmt: skip
def test_the_largest_n_that_fits(architecture, matrices, size, largest):
    """What is beyond it runs step by step: as the table of the page says."""
    fitting = [width for width in WIDTHS if size_class(width, matrices, 5, size, architecture)]
    assert max(fitting) == largest and size_class(225, matrices, 5, size, architecture) is None


def test_the_page_names_what_runs_step_by_step():
    """Cells and floats that have no class for N = 224 on sm_90."""
    page = " ".join((ROOT / "docs" / "gpu.md").read_text(encoding="utf-8").split())
    largest = {
        (name, dtype): max(width for width in WIDTHS if fits(name, width, dtype))
        for name in lo.variant_names() for dtype in ("float32", "float64")
    }  # fmt: skip
    short = {case: N for case, N in largest.items() if max(WIDTHS) > N}
    assert {dtype for _, dtype in short} == {"float64"}
    assert (
        "in float64 on an H100 or H200 " + " and ".join(f"`{name}` beyond {N}" for (name, _), N in short.items())
        in page
    )


def test_auto_leaves_an_old_gpu_to_eager(monkeypatch):
    """Kernels are made from compute capability 8.0 on; the words name it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9 - 2 * index, 0))
    assert ours.missing() == "a GPU of compute capability 8.0 or newer"


@pytest.mark.parametrize(("members", "largest"), [(1, 120), (40, 4000)])
def test_a_call_whose_indices_need_more_than_32_bits_is_eagers(members, largest, monkeypatch):
    """The output of all members counts, and what a scan keeps of each; nothing is computed here."""
    asked = []
    monkeypatch.setattr(ours, "LARGEST", largest)
    monkeypatch.setattr(ours, "device_of", lambda where: CpuDevice())
    monkeypatch.setattr(eager, "scan", lambda *given: asked.append(given))
    lowered = lower(lo.variant("tanh_rnn").graph)
    given = {space: torch.zeros(members, len(names) * 8, *{"W": (3,), "R": (8,)}.get(space, ()))
             for space, names in lowered.graph.packed.items()}  # fmt: skip
    ours.scan(lowered, given, torch.zeros(7, members, 2, 3), {"y": torch.zeros(members, 2, 8)})
    assert len(asked) == 1


class CpuDevice:
    """Knows its architecture; runs nothing."""

    architecture = "sm_90"


def test_more_programs_than_a_grid_has_are_several_launches():
    """Every program is in one of them, in order; a launch of too many is refused."""
    count = MOST_PROGRAMS + 5
    rounds = Rounds(4)
    sizes = dict.fromkeys(("STEPS", "a", "a_row", "a_step", "b", "b_step", "b_column", "c", "c_row"), 1)
    rounds.add(["x"], {"ROWS": np.arange(count), "COLUMNS": 3, **sizes}, count)
    summed = collect([Table.of_columns([np.arange(count), 1, 1, 1, 1], count)], 7)
    for launches in (rounds.launches(), summed):
        assert [launch.programs for launch in launches] == [MOST_PROGRAMS, 5]
        assert np.concatenate([launch.made.numbers[:, 0] for launch in launches]).tolist() == list(range(count))
    with pytest.raises(ValueError, match="got 65536 programs; expected 65535 at most"):
        Launch("product", MOST_PROGRAMS + 1, 1, 32, 1, 0, Table.of_columns([1], MOST_PROGRAMS + 1))


def test_the_drivers_own_lack_of_memory_is_torchs():
    """So that smaller groups answer it."""
    Result = enum.Enum("Result", {"CUDA_SUCCESS": 0, "CUDA_ERROR_OUT_OF_MEMORY": 2})
    short = Result.CUDA_ERROR_OUT_OF_MEMORY
    driver = SimpleNamespace(
        CUresult=Result,
        cuModuleLoadData=lambda code: (short, None),
        cuGetErrorString=lambda code: (Result.CUDA_SUCCESS, b"out of memory"),
    )
    device = CudaDevice.__new__(CudaDevice)
    device.driver = driver
    with pytest.raises(torch.OutOfMemoryError, match="cell x: cuModuleLoadData found no memory"):
        device.checked("cuModuleLoadData", "cell x", b"")


def test_places_of_a_subset_go_where_the_scores_are():
    """Scores of a device are reduced on the CPU, the indices of a subset with them."""
    moved = []

    class Place:
        def to(self, device):
            moved.append(device)
            return torch.tensor([1, 0])

    class Sums:
        reduce = staticmethod(lambda above, below: above.sum(-1) / below.sum())
        reduce_per_sequence = staticmethod(lambda above, below: (above / below).mean(-1))

    part = CompiledLockstep.__new__(CompiledLockstep)
    part.objective, part.trials = Sums, (None, None)
    found = [[(torch.tensor([[1.0, 2.0, 4.0], [3.0, 5.0, 6.0]]), torch.ones(3))]]
    whole, _, further = part._reduced(found, Views(("few",), (Place(),), ()))
    assert moved and {device.type for device in moved} == {"cpu"}
    np.testing.assert_allclose(whole, [7 / 3, 14 / 3])
    np.testing.assert_allclose(further[:, 0], [1.5, 4.0])


@pytest.mark.parametrize(
    ("batch", "matrices", "cluster", "rows"),
    [(1, 4, 4, 1), (2, 4, 4, 1), (3, 4, 4, 1), (16, 4, 4, 1), (32, 4, 4, 1), (33, 4, 4, 2), (64, 4, 4, 2), (65, 4, 4, 4),
     (300, 4, 4, 4), (16, 6, 8, 1), (17, 6, 8, 2), (40, 13, 8, 1), (132, 3, 1, 1), (500, 0, 1, 1)],
)  # fmt: skip
def test_a_layer_spreads_its_rows_over_the_multiprocessors(batch, matrices, cluster, rows):
    """Of 132 in groups of 16, a cluster takes as many of a group as it has blocks; beyond that rows share a program."""
    assert rows_alone(batch, matrices, cluster, 132) == rows
    assert rows_alone(batch, matrices, cluster, 1) == rows_of(batch, matrices)
