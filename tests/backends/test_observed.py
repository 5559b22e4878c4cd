"""Where torch looks into every operation, or a tensor has no memory: the layer is seen as its operations, or one error."""

import json
import os
import subprocess
import sys

import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends import Backend
from tests.cells import ON_CPU
from tests.conftest import ROOT
from tests.observed_cases import CASES

ANOTHER = "RuntimeError: backend 'numba': the backward pass runs under vmap (is_grads_batched), another transform"
EXPECTED = {
    "fake": ["FakeTensor", 5, 2, 4],
    "fake, bidirectional": ["FakeTensor", 5, 2, 8],
    "fake population": ["FakeTensor", 5, 2, 2, 4],
    "fake with lengths": ["FakeTensor", 5, 2, 4],
    "fake outside its mode": ["FakeTensor", 5, 2, 4],
    "fake lengths": "ValueError: RNN 'vanilla': lengths is a FakeTensor on cpu, whose numbers cannot be read; expected 2 whole",
    "sparse gradient": "RuntimeError: backend 'numba': the gradient of an output is a Tensor of layout torch.sparse_coo; exp",
    "storage emptied": "RuntimeError: setStorage",
    "backward logged": ANOTHER,
    "backward fake": ANOTHER,
    "hook of another dtype": "RuntimeError: backend 'numba': a hook on saved tensors brought back [5, 2, 3] torch.float64",
}


@pytest.fixture(scope="module")
def found():
    """What every case gave, each in one process that a crash would end."""
    done = subprocess.run([sys.executable, "-m", "tests.observed_cases"], capture_output=True, text=True, check=False,
                          cwd=ROOT, timeout=600)  # fmt: skip
    results = dict(json.loads(line) for line in done.stdout.splitlines())
    results["how it ended"] = f"{done.returncode} {done.stderr[-2000:]}"
    return results


@pytest.mark.parametrize("name", CASES)
def test_what_has_no_memory_is_never_read(name, found):
    """Fake, functional, subclassed and empty tensors and every mode: the right answer by torch's operations, or one error."""
    assert name in found, f"the process ended: {found['how it ended']}"
    expected = EXPECTED.get(name, True)
    if isinstance(expected, str):
        assert str(found[name]).startswith(expected), found[name]
    else:
        assert found[name] == expected


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("backend", ["auto", *ON_CPU])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit.trace announces its end
def test_a_trace_is_refused(backend, bidirectional):
    """torch.jit.trace would keep T and, of two directions, fails in torch: the layer's own sentence."""
    layer = lo.RNN("vanilla", 3, 4, bidirectional, backend=backend)
    with pytest.raises(RuntimeError, match=r"^RNN 'vanilla': called under torch.jit.trace, .* expected a call outside"):
        torch.jit.trace(layer, torch.randn(5, 2, 3))
    assert layer(torch.randn(5, 2, 3))[0].shape == (5, 2, 4 * (1 + bidirectional))


EXPORTED = """
import torch, lstm_odyssey as lo
layer, x = lo.RNN("vanilla", 3, 4), torch.randn(2, 2, 3)
try:
    torch.export.export(layer, (x,))
except RuntimeError as error:
    print(error)
print(*layer(x)[0].shape)
"""


@pytest.mark.long
def test_an_export_is_refused_before_numba_is_touched(tmp_path):
    """On a cold cache torch.export of a compiled layer is one error, and the layer works afterwards."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", EXPORTED], capture_output=True, text=True, check=False,
                          env={**os.environ, "ODYSSEY_CACHE": str(tmp_path / "cold")}, timeout=600)  # fmt: skip
    assert done.returncode == 0, done.stderr
    said, shape = done.stdout.splitlines()
    assert said.startswith("RNN 'vanilla': called under torch.export with backend='auto'; expected 'eager'")
    assert shape == "2 2 4"


@pytest.mark.parametrize("backend", ["auto", "numba"])
def test_under_an_export_no_backend_is_asked(backend, monkeypatch):
    """The refusal comes before anything of a compiled scan is imported, which under torch's eyes would stay wrong."""
    layer, x = lo.RNN("vanilla", 3, 4, backend=backend), torch.randn(5, 2, 3)
    expected = layer(x)[0]
    with monkeypatch.context() as exporting:
        for name in ("is_exporting", "is_compiling"):
            exporting.setattr(torch.compiler, name, lambda: True)
        for name in ("scan", "several"):
            exporting.setattr(Backend, name, lambda *_, **__: pytest.fail("a backend was asked"))
        with pytest.raises(RuntimeError, match=f"called under torch.export with backend='{backend}'; expected 'eager'"):
            layer(x)
    assert torch.equal(layer(x)[0], expected)


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor_is_an_error(layout):
    """As x, as a state and as lengths: the layer's own sentence."""
    layer, x = lo.RNN("vanilla", 3, 4), torch.zeros(5, 2, 3)
    nested = torch.nested.nested_tensor([torch.zeros(5, 3), torch.zeros(4, 3)], layout=layout)
    with pytest.raises(
        ValueError, match="x is nested; expected a dense tensor. Give it padded, with lengths or packed"
    ):
        layer(nested)
    with pytest.raises(ValueError, match="state 'y' is nested; expected a dense tensor"):
        layer(x, {"y": nested, "c": nested})
    with pytest.raises(ValueError, match="lengths is a tensor of layout .*; expected a dense one of 2 whole numbers"):
        layer(x, lengths=torch.nested.nested_tensor([torch.tensor([5]), torch.tensor([3])], layout=layout))


KINDS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64]


@pytest.mark.parametrize("dtype", KINDS, ids=str)
def test_lengths_of_every_integer_type_mask(dtype):
    """T = 300 is more than a byte holds, and 44 is what is left of it there: rows of 44 frames are masked all the same."""
    layer, x = lo.RNN("vanilla", 3, 4, dtype=torch.float64), torch.randn(300, 2, 3, dtype=torch.float64)
    expected = layer(x, lengths=[44, 44])[0]
    assert expected[44:].abs().max() == 0 and layer(x)[0][44:].abs().max() > 0
    assert torch.equal(layer(x, lengths=torch.tensor([44, 44], dtype=dtype))[0], expected)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (torch.tensor([5.0, 4.0]), "dtype torch.float32; expected 2 whole numbers"),
        (torch.tensor([True, True]), "dtype torch.bool; expected 2 whole numbers"),
        (torch.tensor([[5, 4]]), r"shape \(1, 2\) and dtype torch.int64; expected 2 whole"),
        (
            torch.tensor([5, 4], device="meta"),
            "lengths is a Tensor on meta, whose numbers cannot be read; expected 2 whole",
        ),
        (torch.tensor([5, 250], dtype=torch.uint8), "values from 5 to 250; expected 1 to T = 5"),
        (
            torch.tensor([5, 2**64 - 1], dtype=torch.uint64),
            "values from 5 to 18446744073709551615; expected 1 to T = 5",
        ),
    ],
)
def test_lengths_that_cannot_be(lengths, message):
    """Fractions, truth values, another shape, no numbers, too great ones: each is named."""
    with pytest.raises(ValueError, match=message):
        lo.RNN("vanilla", 3, 4)(torch.zeros(5, 2, 3), lengths=lengths)
