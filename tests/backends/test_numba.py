"""The compiled scan: equal to the oracle, members bitwise alone, at home in torch's habits, its cache never stale."""

from __future__ import annotations

import ast
import copy
import os
import pickle
import platform
import shutil
import stat
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from numba.core import caching, config

import lstm_odyssey as lo
from lstm_odyssey.backends.lowering import lower
from lstm_odyssey.backends.numba import cache, memory
from lstm_odyssey.backends.numba import member as numba_member
from lstm_odyssey.backends.numba.member import kernel, member
from lstm_odyssey.backends.numba.source import cell as cell_source
from lstm_odyssey.backends.numba.source import losses, products, training
from lstm_odyssey.backends.plan import plan
from lstm_odyssey.backends.processor import cache_bytes, turning_bytes
from lstm_odyssey.backends.processor import features as host_features
from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.conformance import kit as testing
from lstm_odyssey.conformance import ladder_precision as precision
from lstm_odyssey.conformance import ladder_structure
from lstm_odyssey.conformance.answers import About, ask, compare, make
from lstm_odyssey.conformance.draws import Draw
from lstm_odyssey.variants.ops import exp, relu
from tests.cells import ODD

CELLS = {**{name: name for name in lo.variant_names()}, **ODD}
DRAWS = (Draw(2, 2, 1, 3), Draw(4, 3, 17, 1, seed=1), Draw(4, 1, 3, 17, seed=2), Draw(12, 5, 3, 33, seed=3),
          Draw(3, 9, 33, 33, seed=4), Draw(5, 1, 17, 113, seed=5))  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
def test_the_compiled_scan_is_the_oracle(name):
    """Outputs, final states, gradients of x, every parameter and the initial states, to 1e-11, for every kind of cell."""
    testing.check_oracle(CELLS[name], "numba", DRAWS)


@pytest.mark.parametrize("name", sorted(ODD))
def test_long_sequences(name):
    """The same over 50 to 300 frames, or as many as two roundings do not part over by themselves."""
    testing.check_long_sequences(CELLS[name], "numba")


@pytest.mark.parametrize("name", ["vanilla", "fgr", "gru", "late"])
def test_copies_of_packed_matrices_change_no_number(name, monkeypatch):
    """Where a processor gains by it, steps read copies of a matrix in turn: however many, they are copies."""
    cell, draw, found = lo.as_cell(CELLS[name]), Draw(7, 1, 3, 17, seed=6), []
    problem = draw.problem(cell)
    monkeypatch.setattr(memory, "LONG_SCAN", 2)
    for spread in (None, (2**16, 2**20), (2**17, 2**21)):
        monkeypatch.setattr(memory, "spread_bytes", lambda spread=spread: spread)
        monkeypatch.setattr(memory, "cache_bytes", lambda: (2**9, 2**20))
        memory.layout.cache_clear()
        member.cache_clear()
        memory.free_memory()
        layout = memory.layout(kernel(lower(cell.graph), torch.float64), 7, 1, 17, 3)
        found.append((layout.copies, ask(make(cell, "numba", problem.parameters), problem)[0]))
    monkeypatch.undo()
    memory.layout.cache_clear()
    member.cache_clear()
    memory.free_memory()
    (none, one), (few, some), (many, others) = found
    assert none == (1, 1) and min(few) > 1 and all(b > a for a, b in zip(few, many, strict=True))
    assert all(torch.equal(value, some[what]) for what, value in others.items())
    compare(some, one, About(cell, "numba", draw, "with copies"))


@pytest.mark.parametrize("name", ["vanilla", "fgr", "gru", "late"])
def test_a_walk_to_and_fro_adds_in_another_order(name, monkeypatch):
    """Read forwards always, or to and fro: equal to rounding, not to the bit; a training's walk is the one of stored trials."""
    cell, draw, found = lo.as_cell(CELLS[name]), Draw(7, 1, 3, 17, seed=6), []
    problem = draw.problem(cell)
    for small in (0, 2**40):
        monkeypatch.setattr(numba_member, "turning_bytes", lambda trained, small=small: (small, 2**50))
        memory.free_memory()
        found.append(ask(make(cell, "numba", problem.parameters), problem)[0])
    memory.free_memory()
    always, turning = found
    compare(turning, always, About(cell, "numba", draw, "to and fro"))
    assert any(not torch.equal(value, turning[what]) for what, value in always.items())
    near, far = cache_bytes()
    assert turning_bytes(trained=True) == (4 * near, 9 * far // 10)


@pytest.mark.parametrize("check", [
    ladder_structure.check_padding, ladder_structure.check_bidirectional, ladder_structure.check_rows,
    ladder_structure.check_carried_state, ladder_structure.check_repeated_call, ladder_structure.check_member_bits,
    precision.check_single_precision,
])  # fmt: skip
@pytest.mark.parametrize("name", sorted(ODD))
def test_structure(name, check):
    """Padding, directions, rows, carried states, members and float32 are right for each kind of graph."""
    check(CELLS[name], "numba")


def run(layer, x, adjoint=None, **options):
    """Output, final states and all gradients as one list."""
    x = x.clone().requires_grad_()
    y, state = layer(x, **options)
    total = (y * (torch.ones_like(y) if adjoint is None else adjoint)).sum() + sum(
        value.sum() for value in state.values()
    )
    layer.zero_grad()
    total.backward()
    gradients = [value.grad.clone() for value in layer.parameters()]
    return [y.detach(), *(value.detach() for value in state.values()), x.grad, *gradients]


def test_auto_is_numba_on_a_cpu():
    """backend="auto" resolves to numba there and to eager elsewhere."""
    from lstm_odyssey.backends import resolve

    assert resolve("auto", torch.device("cpu")) == "numba"
    assert resolve("auto", torch.device("meta")) == "eager"


@pytest.mark.parametrize("parameter", ["W.z", "R.o", "p.i", "b.f"])
def test_nan_in_nan_out(parameter):
    """One NaN in a weight is seen in the output and in a gradient."""
    layer = lo.RNN("vanilla", 3, 20, backend="numba")
    with torch.no_grad():
        layer.weight(parameter).view(-1)[7] = float("nan")
    y, *rest = run(layer, torch.randn(4, 1, 3))
    assert y.isnan().any() and any(value.isnan().any() for value in rest)


def test_an_op_without_a_kernel_is_an_error(monkeypatch):
    """Cell, op and the way out are named, whether the text uses it or the gradient alone; nothing is left half made."""

    def steep(x, y, *, W, R):
        return exp(relu(W.a @ x + R.a @ y))

    layer = lo.RNN(steep, 3, 4, backend="numba")
    for op in ("exp", "sign"):  # the text's own, and one that the derivative of relu is made with
        with monkeypatch.context() as patch:
            patch.setitem(OPS, op, replace(OPS[op], kernel=None))
            with pytest.raises(TypeError, match=rf"^backend 'numba': cell 'steep' uses '{op}', which it has no kernel for. "
                                                r"Use backend='eager'\.$"):  # fmt: skip
                layer(torch.zeros(2, 1, 3))
            lo.RNN(steep, 3, 4, backend="eager")(torch.zeros(2, 1, 3))
    assert layer(torch.zeros(2, 1, 3))[0].shape == (2, 1, 4)


def test_a_half_precision_input_is_an_error():
    """What has no compiled scan says so, with the way out."""
    layer = lo.RNN("vanilla", 3, 4, backend="numba", dtype=torch.float16)
    with pytest.raises(TypeError, match="eager"):
        layer(torch.zeros(2, 1, 3, dtype=torch.float16))


def test_modules_habits():
    """deepcopy, pickle, state_dict, to(dtype) and no_grad give the same numbers."""
    layer = lo.RNN("cifg", 3, 5, backend="numba")
    x = torch.randn(4, 2, 3)
    y, _ = layer(x)
    other = lo.RNN("cifg", 3, 5, backend="numba")
    other.load_state_dict(layer.state_dict())
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), other):
        assert torch.equal(twin(x)[0], y)
    with torch.no_grad():
        still, _ = layer(x)
    assert torch.equal(still, y) and not still.requires_grad
    double = copy.deepcopy(layer).to(torch.float64)(x.double())[0]
    torch.testing.assert_close(double.float(), y)


def test_twice_in_one_graph():
    """A layer used twice, its output changed in place between, has the gradient of the eager backend."""
    x = torch.randn(4, 2, 5, dtype=torch.float64)
    found = []
    layer = lo.RNN("vanilla", 5, 5, backend="numba", dtype=torch.float64)
    for backend in ("numba", "eager"):
        twin = copy.deepcopy(layer)
        twin.backend = backend
        y, state = twin(x)
        y.mul_(0.5)
        y, _ = twin(y, state)
        y.square().sum().backward()
        found.append([value.grad for value in twin.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13)


FORKED = """
import numpy, os, sys, torch, lstm_odyssey as lo
layer = lo.RNN("vanilla", 39, 100, backend="numba")
x, dy = torch.randn(30, 1, 39), torch.randn(30, 1, 100)
def numbers():
    y, _ = layer(x)
    found = [y.detach(), *torch.autograd.grad(y, list(layer.parameters()), dy)]
    return [value.numpy() for value in found]  # torch.equal uses OpenMP's threads, of which a forked child has none
expected = numbers()
child = os.fork()
wrong = sum(not all(map(numpy.array_equal, numbers(), expected)) for _ in range(100))
if child == 0:
    os._exit(wrong > 0)
_, status = os.waitpid(child, 0)
sys.exit(bool(wrong) or bool(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_processes_forked_share_no_memory():
    """A parent and its child, both computing, get the numbers they got before the fork."""
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def test_another_default_device_changes_nothing():
    """Memory of the kernels is the CPU's, wherever torch makes tensors by default."""
    layer, x = lo.RNN("vanilla", 3, 5, backend="numba"), torch.randn(4, 2, 3)
    expected = run(layer, x)
    torch.set_default_device("meta")
    try:
        found = run(layer, x)
    finally:
        torch.set_default_device(None)
    assert all(map(torch.equal, found, expected))


def test_a_sign_that_is_pending_is_taken():
    """A tensor that is the negative of what lies in memory is read as the negative, forward and backward."""
    layer, x = lo.RNN("vanilla", 3, 5, backend="numba"), torch.randn(4, 2, 3)
    assert torch.equal(layer(torch._neg_view(x))[0], layer(-x)[0])
    dy = torch.randn(4, 2, 5)
    one, two = (torch.autograd.grad(layer(x)[0], list(layer.parameters()), d) for d in (torch._neg_view(dy), -dy))
    assert all(map(torch.equal, one, two))


@pytest.mark.parametrize(
    ("name", "value"),
    [("R", torch.zeros(5, 5)), ("b", torch.zeros(1)), ("p", torch.zeros(15, dtype=torch.float64))],
)
def test_a_parameter_of_another_kind_is_an_error(name, value):
    """A parameter that was replaced by one of another shape or dtype is named: a kernel would read beyond it."""
    layer = lo.RNN("vanilla", 3, 5, backend="numba")
    setattr(layer.cells[0], name, torch.nn.Parameter(value))
    with pytest.raises(
        ValueError, match=rf"parameter '{name}' is \[[\d, ]+\] torch.float\d+ on cpu; expected \[(20|15)"
    ):
        layer(torch.zeros(4, 2, 3))


def test_saved_tensors_may_be_moved():
    """Hooks that take saved tensors elsewhere and bring them back change no gradient."""
    layer, x = lo.RNN("vanilla", 3, 5, backend="numba"), torch.randn(4, 2, 3)
    expected = run(layer, x)
    with torch.autograd.graph.saved_tensors_hooks(lambda value: value.clone(), lambda value: value.clone()):
        found = run(layer, x)
    assert all(map(torch.equal, found, expected))


def test_a_batch_of_gradients_is_an_error():
    """Several adjoints at once cannot be given to a compiled kernel; the error says what can."""
    layer = lo.RNN("vanilla", 3, 5, backend="numba")
    y, _ = layer(torch.randn(4, 2, 3))
    with pytest.raises(RuntimeError, match="one at a time. Use backend='eager'"):
        torch.autograd.grad(y, list(layer.parameters()), torch.randn(2, 4, 2, 5), is_grads_batched=True)


def test_a_graph_kept_gives_the_same_again():
    """retain_graph: the second backward pass has the bits of the first."""
    layer = lo.RNN("vanilla", 3, 5, backend="numba")
    x = torch.randn(4, 2, 3, requires_grad=True)
    y, _ = layer(x)
    first = torch.autograd.grad(y.sum(), [x, *layer.parameters()], retain_graph=True)
    lo.RNN("vanilla", 3, 5, backend="numba")(x)[0].sum().backward()
    for one, other in zip(first, torch.autograd.grad(y.sum(), [x, *layer.parameters()]), strict=True):
        assert torch.equal(one, other)


def test_gradcheck():
    """torch's own finite differences agree, for a part of the inputs too."""
    layer = lo.RNN("vanilla", 2, 3, backend="numba", dtype=torch.float64)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    c = torch.randn(1, 2, 3, dtype=torch.float64, requires_grad=True)
    y = torch.randn(1, 2, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x, c: layer(x, {"y": y, "c": c})[0], (x, c))
    assert torch.autograd.gradcheck(lambda c: tuple(layer(x.detach(), {"y": y, "c": c})[1].values()), (c,))


def test_the_gradient_of_a_gradient_is_an_error():
    """Double backward is refused when it is announced; torch's own decorator would give zero for a constant adjoint."""
    layer = lo.RNN("vanilla", 2, 3, backend="numba")
    x = torch.randn(3, 2, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="Use backend='eager'"):
        torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)


def test_a_weight_changed_in_place_before_backward_is_an_error():
    """As with torch's own layers: the gradient would be of another function."""
    layer = lo.RNN("vanilla", 2, 3, backend="numba")
    y, _ = layer(torch.randn(3, 2, 2))
    with torch.no_grad():
        layer.weight("R.z").add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


NARROW = """
import lstm_odyssey as lo
from lstm_odyssey import testing
from lstm_odyssey.backends.processor import vector_bytes
from lstm_odyssey.conformance.draws import Draw
assert vector_bytes() == 32
for name in {names}:
    testing.check_oracle(name, "numba", (Draw(2, 2, 1, 3), Draw(4, 3, 17, 1), Draw(12, 5, 3, 33), Draw(5, 1, 17, 113)))
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names a processor of another kind than this")
@pytest.mark.parametrize(("processor", "features"), [("haswell", "+avx,+avx2,+fma,+f16c"), ("x86-64", "+sse2")])
def test_a_processor_without_wide_vectors(processor, features):
    """Compiled for vectors of 32 bytes, with and without instructions for them, a cell is the oracle too."""
    if "avx2" in features and "+avx2" not in host_features():
        pytest.skip("this processor has no AVX2")
    environment = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features}  # the names of what is kept tell them
    done = subprocess.run(
        [sys.executable, "-c", NARROW.format(names=["vanilla"])], env={**os.environ, **environment},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


SCRIPT = """
import sys, torch, lstm_odyssey as lo
from lstm_odyssey.variants.ops import tanh
def cell(x, y, *, W, R):
    return tanh(W.y @ x + R.y @ y) * {factor}
torch.manual_seed(0)
layer = lo.RNN(cell, 3, 5, backend="numba")
x = torch.randn(3, 1, 3)
y, _ = layer(x)
y.sum().backward()
print(layer.cells[0].W.grad.sum().item(), y.sum().item())
"""


SMALL = """
import sys
from lstm_odyssey.backends.numba import cache
text = "import numba\\n@numba.njit('float64(float64)', cache={{cached}})\\ndef half(number):\\n    return number * {factor}\\n"
print(cache.module(text, "products").half(3.0), cache.module(text.replace("half", "twice"), "cell").twice(6.0))
"""
"""Two modules, as a cell and its products are, in a second: ``make long`` has the cell itself."""


def start(folder, factor, script=SCRIPT):
    return subprocess.Popen(
        [sys.executable, "-c", script.format(factor=factor)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "ODYSSEY_CACHE": str(folder)},
    )  # fmt: skip


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out, err


@pytest.mark.parametrize(
    ("script", "made"),
    [(SMALL, 2), pytest.param(SCRIPT, 1, marks=pytest.mark.long)],  # the products of a cell are every cell's
    ids=["modules", "cell"],
)
def test_the_cache(script, made, tmp_path):
    """Two processes may fill it at once; it is the user's alone; it is used; one character changed is another cell."""
    folder = tmp_path / "kernels"
    both = [start(folder, "0.5", script), start(folder, "0.5", script)]
    (first, _), (second, _) = map(finish, both)
    assert first == second
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = {path.name for path in folder.glob("*.py")}
    assert len(files) == 2 and not list(folder.glob("*.tmp")), files  # the products and the cell
    compiled = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")}
    again, _ = finish(start(folder, "0.5", script))
    assert again == first and compiled == {path: path.stat().st_mtime_ns for path in folder.rglob("*.nbc")}
    other, _ = finish(start(folder, "0.6", script))
    ratio = float(other.split()[1]) / float(first.split()[1])
    assert other != first and len(list(folder.glob("*.py"))) == 2 + made and 1.0 < ratio < 1.5


@pytest.mark.parametrize("script", [SMALL, pytest.param(SCRIPT, marks=pytest.mark.long)], ids=["modules", "cell"])
def test_a_cache_folder_that_cannot_be_used(script, tmp_path):
    """There is one clear warning, and the kernel works."""
    (tmp_path / "file").write_text("not a folder")
    out, err = finish(start(tmp_path / "file", "0.5", script))
    assert out and err.count("UserWarning") == 1 and "cannot be used" in err and "ODYSSEY_CACHE" in err


@pytest.mark.parametrize("what", ["the folder's mode says no", "the disk is read-only"])
def test_a_cache_folder_that_cannot_be_written(what, tmp_path, monkeypatch):
    """Whether it is seen before or while writing: one clear warning, and the module is there."""
    if what == "the disk is read-only":
        monkeypatch.setattr(cache.tempfile, "mkstemp", lambda **_: (_ for _ in ()).throw(OSError(30, "Read-only disk")))
    else:
        monkeypatch.setattr(cache.os, "access", lambda *_: False)  # a mode does not bind root
    monkeypatch.setenv("ODYSSEY_CACHE", str(tmp_path / "kernels"))
    cache._warn.cache_clear()
    with pytest.warns(UserWarning, match="cannot be used: .*(written|Read-only disk).* set ODYSSEY_CACHE") as said:
        assert cache.module(f"answer = 44  # {what}\n", "test").answer == 44
    assert len(said) == 1 and not list((tmp_path / "kernels").iterdir())


def test_a_cache_numba_cannot_use(tmp_path, monkeypatch):
    """Where numba finds no place for what it compiled there is one warning and a working module; other errors stay errors."""
    monkeypatch.setenv("ODYSSEY_CACHE", str(tmp_path / "kernels"))
    cache._warn.cache_clear()
    text = """
import numba
@numba.njit(cache={cached})
def answer():
    return 45
"""
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    with pytest.warns(UserWarning, match="cannot be used: .*no locator available") as said:
        made = cache.module(text, "nowhere")
    assert made.answer() == 45 and len(said) == 1 and made.__name__ not in sys.modules
    with pytest.raises(RuntimeError, match="of its own"):
        cache.module("raise RuntimeError('an error of its own')\n", "broken")
    assert not [name for name in sys.modules if name.startswith("broken_")]


@pytest.mark.parametrize("content", [b"", b"garbled", None], ids=["emptied", "garbled", "cut short"])
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_cache_is_made_anew(kind, content, tmp_path, monkeypatch):
    """After a power cut or on a full disk: one warning, a working module, and what is kept next is whole."""
    monkeypatch.setenv("ODYSSEY_CACHE", str(tmp_path))
    text = f"""
import numba
@numba.njit("int64(int64)", cache={{cached}})
def answer(number):
    return number + {len(content or b"123")}
"""

    def fresh():
        cache._LOADED.clear()
        return cache.module(text, "damaged").answer(40)

    monkeypatch.setattr(cache, "_LOADED", {})
    expected = fresh()
    (file,) = tmp_path.rglob(f"*.{kind}")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.warns(UserWarning, match=r"what was kept of .*damaged_\w+\.py was damaged .* compiled anew"):
        assert fresh() == expected
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fresh() == expected


KEPT_ELSEWHERE = """
import numba
@numba.njit("int64(int64)", cache={{cached}})
def answer(number):
    return number + {number}
"""


@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_cache_is_made_anew_wherever_numba_keeps_it(kind, tmp_path, monkeypatch):
    """Under NUMBA_CACHE_DIR too, whose folder of ours is nobody else's: one warning, a working module, then a whole cache."""
    monkeypatch.setenv("ODYSSEY_CACHE", str(tmp_path / "kernels"))
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(cache, "_LOADED", {})
    text = KEPT_ELSEWHERE.format(number=7 if kind == "nbi" else 8)
    expected = cache.module(text, "moved").answer(40)
    (file,) = (tmp_path / "elsewhere").rglob(f"*.{kind}")
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    file.write_bytes(b"")
    cache._LOADED.clear()
    with pytest.warns(UserWarning, match=r"what was kept of .*moved_\w+\.py was damaged .* compiled anew"):
        assert cache.module(text, "moved").answer(40) == expected
    cache._LOADED.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.module(text, "moved").answer(40) == expected


@pytest.mark.parametrize("where", ["elsewhere", "beside"])
def test_a_folder_of_numbas_open_to_others_is_not_trusted(where, tmp_path, monkeypatch):
    """What numba keeps is run as code: where others may write to its folder one warning says so, and nothing is read there."""
    monkeypatch.setenv("ODYSSEY_CACHE", str(tmp_path / "kernels"))
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "elsewhere") if where == "elsewhere" else "")
    monkeypatch.setattr(cache, "_LOADED", {})
    text = KEPT_ELSEWHERE.format(number=9 if where == "beside" else 10)
    expected = cache.module(text, "open").answer(40)
    (file,) = tmp_path.rglob("*.nbi")
    if where == "beside":
        file.parent.parent.chmod(0o755)  # others may enter
    file.parent.chmod(0o777)
    file.write_bytes(b"not to be read")
    cache._LOADED.clear()
    cache._warn.cache_clear()
    with pytest.warns(UserWarning, match="cannot be used: .* others may write to it") as said:
        assert cache.module(text, "open").answer(40) == expected
    assert len(said) == 1 and file.read_bytes() == b"not to be read"


def test_numba_told_to_compile_nothing_is_one_error(monkeypatch):
    """NUMBA_DISABLE_JIT is named with the way out, at every call, and the eager backend runs."""
    monkeypatch.setattr(config, "DISABLE_JIT", 1)

    def unseen(x, y, *, W):
        return exp(W.a @ x - y) / 3

    for _ in range(2):
        with pytest.raises(RuntimeError, match="^backend 'numba': NUMBA_DISABLE_JIT is set.*or use backend='eager'"):
            lo.RNN(unseen, 3, 4)(torch.zeros(2, 1, 3))
    assert lo.RNN(unseen, 3, 4, backend="eager")(torch.zeros(2, 1, 3))[0].shape == (2, 1, 4)


def test_a_cached_module_names_all_it_depends_on():
    """What generated source imports from this folder, and what that imports, is in the room whose hash is in the key."""
    home = "lstm_odyssey.backends.numba."
    wanted = [products.source(8, "cache=True"), cell_source.source(plan(lower(lo.variant("vanilla").graph)), 8)]
    wanted += [training.source(8, losses.LOSSES[name]) for name in losses.LOSSES]
    found = set()
    while wanted:
        for node in ast.walk(ast.parse(wanted.pop())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
            files = {f"{name.removeprefix(home).replace('.', '/')}.py" for name in names if str(name).startswith(home)}
            for file in files - found:
                found.add(file)
                wanted.append((Path(cache.__file__).parent / file).read_text(encoding="utf-8"))
    room = {f"vectors/{file.name}" for file in Path(cache.__file__).with_name("vectors").glob("*.py")}
    assert {"vectors/types.py", "vectors/functions.py", "vectors/calls.py"} <= found == room - {"vectors/__init__.py"}


def test_what_a_cached_module_depends_on_is_in_its_name(tmp_path, monkeypatch):
    """Another byte in one of the files, and nothing that was compiled with the old one is used."""
    shutil.copytree(Path(cache.__file__).with_name("vectors"), tmp_path / "vectors", ignore=lambda *_: ["__pycache__"])
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "cache.py"))
    versions = cache._versions.__wrapped__
    before = versions()
    assert versions() == before
    for file in (tmp_path / "vectors").glob("*.py"):
        with file.open("a", encoding="utf-8") as text:
            text.write("\n")
        after = versions()
        assert after != before
        before = after


def test_the_home_in_a_cache_folders_name_is_the_users(monkeypatch):
    """A tilde that no shell has seen makes no folder of that name."""
    monkeypatch.setenv("ODYSSEY_CACHE", "~/kernels")
    assert cache.folder() == Path.home() / "kernels"


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    """Where there is no home there is one warning, and kernels are compiled without a cache."""
    monkeypatch.delenv("ODYSSEY_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", str)
    cache._warn.cache_clear()
    with pytest.warns(UserWarning, match="cannot be used: path .*: ~ is nobody's home folder here"):
        assert cache.module("answer = 6 * 7\n", "homeless").answer == 42


def test_a_folder_open_to_others_is_not_trusted(tmp_path, monkeypatch):
    """Code others could have written is not imported."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setenv("ODYSSEY_CACHE", str(folder))
    cache._warn.cache_clear()
    with pytest.warns(UserWarning, match="others may write"):
        made = cache.module("answer = 40 + 2\n", "test")
    assert made.answer == 42 and not list(folder.iterdir())
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was said once
        assert cache.module("answer = 43\n", "test").answer == 43
