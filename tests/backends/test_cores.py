"""Work that threads share: the bits of one thread, whatever is shared, whoever calls, and however it ends."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.backends.numba import cores
from lstm_odyssey.backends.subnormals import flushes
from tests.cells import ON_CPU


@pytest.fixture
def eager_to_share(monkeypatch):
    """Any work is enough for another thread; what was given to helpers is counted."""
    monkeypatch.setattr(cores, "LEAST_WORK", 1)
    given, submit = [], cores._helpers.submit

    def counted(work, count):
        given.append(count)
        return submit(work, count)

    monkeypatch.setattr(cores._helpers, "submit", counted)
    return given


def numbers(cell, steps, rows, N, both=False, lengths=None, dtype=torch.float32, threads=1, backend="numba"):
    """Outputs and states with and without a gradient, and the gradients of input, initial states and parameters."""
    torch.set_num_threads(threads)
    torch.manual_seed(7)
    layer = lo.RNN(cell, 5, N, bidirectional=both, initial_std=0.5, dtype=dtype, backend=backend)
    several = (len(N),) if isinstance(N, list) else ()
    x = torch.randn(steps, *several, rows, 5, dtype=dtype, requires_grad=True)
    width = max(N) if several else N
    state = {name: torch.randn(1 + both, *several, rows, width, dtype=dtype) for name in layer.cell.states}
    for name in set(layer.cell.states) & set(layer.cell.domains):
        state[name] = state[name].abs() + 0.5
    for p, size in enumerate(N if several else ()):
        for value in state.values():
            value[:, p, :, size:] = 0
    given = [value.requires_grad_() for value in state.values()]
    with torch.no_grad():
        plain, after = layer(x, state, lengths)
    y, final = layer(x, state, lengths)
    loss = (y * torch.randn_like(y)).sum() + sum((value * torch.randn_like(value)).sum() for value in final.values())
    gradients = torch.autograd.grad(loss, [x, *given, *layer.parameters()])
    return [value.detach() for value in (plain, *after.values(), y, *final.values(), *gradients)]


CASES = {
    "rows": ("vanilla", 7, 33, 20),
    "rows, lengths": ("fgr", 9, 50, 17, False, [1 + k % 9 for k in range(50)]),
    "two products a step": ("gru", 9, 18, 33),
    "norms": ("ln_lstm", 6, 35, 19),
    "directions": ("cifg", 40, 32, 33, True, [40 - k for k in range(32)]),
    "directions, few rows": ("vanilla", 11, 3, 40, True),
    "products alone": ("vanilla", 6, 1, 65),
    "members": ("gru", 9, 17, [5, 20, 33], True),
    "chunks and pieces": ("vanilla", 300, 66, 8),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_bits_do_not_depend_on_the_number_of_threads(case, eager_to_share):
    """Outputs, states and gradients are the same bit by bit with 1, 2, 3 and 5 threads."""
    expected = numbers(*case)
    assert not eager_to_share
    assert all(value.abs().max() > 1e-3 for value in expected)
    for threads in (2, 3, 5):
        eager_to_share.clear()
        found = numbers(*case, threads=threads)
        assert eager_to_share and set(eager_to_share) == {threads - 1}
        assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("cell", ["vanilla", "gru"])
def test_shared_work_is_the_definition(cell, eager_to_share):
    """In float64 rows and members that are shared, some of them padded, have the numbers of the other backend."""
    for N in (9, [9, 4]):
        case = (cell, 5, 27, N, True, [1 + k % 5 for k in range(27)], torch.float64)
        found, expected = (numbers(*case, threads=3, backend=backend) for backend in ON_CPU)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-11 * float(other.abs().max()))
    assert eager_to_share


def test_numbers_below_the_least_normal_one_are_the_callers():
    """A helper takes them for 0 where its caller does, and as they are where its caller does not."""
    try:
        for told in (True, False, True):
            met, found = threading.Barrier(2, timeout=60), []

            def job(met=met, found=found):
                met.wait()  # so that two threads have one each
                found.append(flushes())

            torch.set_flush_denormal(told)
            cores.run([job, job], 2)
            assert found == [told, told]
    finally:
        torch.set_flush_denormal(False)


def test_threads_of_the_caller_share_at_the_same_time(eager_to_share):
    """Four threads that call four layers at once, forward and backward, each get the numbers they get alone."""
    cases = [("vanilla", 7, 33, 20), ("gru", 9, 18, 33), ("cifg", 40, 32, 33, True), ("gru", 9, 17, [5, 20, 33])]
    layers, inputs = [], []
    for cell, steps, rows, N, *both in cases:
        layers.append(lo.RNN(cell, 5, N, *both, backend="numba"))
        inputs.append(torch.randn(steps, *((len(N),) if isinstance(N, list) else ()), rows, 5))

    def call(k):
        torch.set_num_threads(3)
        return torch.autograd.grad(layers[k](inputs[k])[0].square().sum(), list(layers[k].parameters()))

    expected = [call(k) for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for one, other in zip(pool.map(call, range(4)), expected, strict=True):
                assert all(map(torch.equal, one, other))


def test_as_many_threads_as_torch_may_use_now():
    """Asked at each call; little work has one thread, and no more threads are asked than there is work for."""
    torch.set_num_threads(3)
    least = cores.LEAST_WORK
    assert [cores.threads(work * least) for work in (0.1, 1.9, 2.1, 9)] == [1, 1, 2, 3]
    torch.set_num_threads(1)
    assert cores.threads(9 * least) == 1


def test_a_call_ends_when_nobody_computes_any_more():
    """A job that fails keeps others from beginning, and its error arrives when those that had begun are done."""
    begun, may_end, ended, late = threading.Event(), threading.Event(), [], []

    def slow():
        begun.set()
        may_end.wait(60)
        ended.append(True)

    def fails():
        begun.wait(60)
        threading.Timer(0.2, may_end.set).start()
        raise KeyboardInterrupt

    caller = threading.current_thread()
    first = [lambda: fails() if threading.current_thread() is caller else slow()] * 2
    with pytest.raises(KeyboardInterrupt):
        cores.run([*first, lambda: late.append(True)], 2)
    assert ended == [True] and not late


def test_an_error_of_a_helper_is_the_callers():
    """What a job raises in another thread is raised by the call."""
    met, caller = threading.Barrier(2, timeout=60), threading.current_thread()

    def fails_elsewhere():
        met.wait()
        if threading.current_thread() is not caller:
            raise MemoryError("no more")

    with pytest.raises(MemoryError, match="no more"):
        cores.run([fails_elsewhere] * 2, 2)


def test_without_another_thread_the_caller_does_it_all(monkeypatch):
    """Where the system gives no thread, or the interpreter ends, a call is computed all the same."""

    def refused(work, count):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(cores._helpers, "submit", refused)
    done = []
    cores.run([lambda k=k: done.append(k) for k in range(4)], 3)
    assert done == [0, 1, 2, 3]


FORKED = """
import os, sys, threading
import torch
import lstm_odyssey as lo
from lstm_odyssey.backends.numba import cores
torch.manual_seed(0)
layer, x = lo.RNN("vanilla", 3, 20, backend="numba"), torch.randn(5, 32, 3)
def numbers():
    y, _ = layer(x)
    return [value.numpy().tobytes() for value in torch.autograd.grad(y, list(layer.parameters()), torch.ones_like(y))]
torch.set_num_threads(1)
cores.LEAST_WORK = 1
expected = numbers()
assert cores._helpers.pool is None and threading.active_count() == 1
torch.set_num_threads(2)
assert numbers() == expected and cores._helpers.pool is not None
cores._helpers.lock.acquire()  # as another thread may have it when the process is forked
child = os.fork()
if child:
    cores._helpers.lock.release()
wrong = sum(numbers() != expected for _ in range(20))
if child == 0:
    os._exit(wrong > 0 or threading.active_count() == 1)
_, status = os.waitpid(child, 0)
sys.exit(bool(wrong) or bool(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_makes_threads_of_its_own():
    """No thread is made before one is needed; after a fork both processes share work and get the same bits."""
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
