"""Threads that compute at once: each has the numbers it has alone."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.training.loop import Trial, train
from lstm_odyssey.training.protocol import Protocol
from lstm_odyssey.training.threads import flushes, without_subnormals
from tests.corpora import CORPORA

ROUNDS = 40


@pytest.fixture(autouse=True)
def _often():
    """Threads change places as often as the interpreter lets them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def wrong(tasks, rounds=ROUNDS):
    """How often a task differs from what it gave before any other ran beside it; all run at once, again and again."""
    expected = [task() for task in tasks]
    together = threading.Barrier(len(tasks))

    def work(task, alone):
        together.wait(timeout=60)
        return sum(not all(map(torch.equal, task(), alone)) for _ in range(rounds))

    with ThreadPoolExecutor(len(tasks)) as pool:
        return sum(pool.map(work, tasks, expected))


def layer_task(backend, steps, rows, size, seed):
    """Outputs, final states and gradients of a layer of this thread's own."""
    torch.manual_seed(seed)
    layer = lo.RNN("vanilla", 5, size, bidirectional=True, backend=backend)
    x, dy = torch.randn(steps, rows, 5), torch.randn(steps, rows, 2 * size)
    state = {name: torch.randn(2, rows, size) for name in layer.cell.states}

    def task():
        leaf = x.clone().requires_grad_()
        y, final = layer(leaf, state)
        gradients = torch.autograd.grad([y, final["c"]], [leaf, *layer.parameters()], [dy, torch.ones_like(final["c"])])
        return [y.detach(), *(value.detach() for value in final.values()), *gradients]

    return task


SHAPES = [(31, 2, 17), (17, 3, 17), (31, 2, 40), (9, 1, 5)]


@pytest.mark.parametrize("backend", ["eager", "numba"])
@pytest.mark.parametrize("shapes", [SHAPES, SHAPES[:1] * 3], ids=["of other sizes", "of one size"])
def test_layers_of_several_threads_do_not_meet(backend, shapes):
    """Forward and backward passes of layers, of one size or of others, have their own numbers to the last bit."""
    tasks = [layer_task(backend, *shape, seed) for seed, shape in enumerate(shapes)]
    assert wrong(tasks, ROUNDS if backend == "numba" else 5) == 0


def test_one_layer_used_by_several_threads():
    """A layer that is shared, read by threads with inputs of their own, gives each what it gives alone."""
    torch.manual_seed(0)
    layer = lo.RNN("vanilla", 5, 17, backend="numba")

    def task_of(steps):
        x = torch.randn(steps, 2, 5)
        return lambda: [layer(x)[0].detach(), *torch.autograd.grad(layer(x)[0].square().sum(), [*layer.parameters()])]

    assert wrong([task_of(steps) for steps in (7, 31, 31, 12)]) == 0


@pytest.mark.parametrize("backend", ["eager", "numba"])
def test_trainings_of_several_threads_do_not_meet(backend):
    """Trials trained at once in two threads end with the weights they have when they are trained one after the other."""
    corpus = CORPORA["next_frame"]()
    drawn = {"learning_rate": 1e-3, "momentum": 0.5, "input_noise": 0.3}

    def task_of(index, size):
        def task():
            trials = [Trial(index, {"hidden_size": size, **drawn}), Trial(index + 1, {"hidden_size": 9, **drawn})]
            trained = train(lo.variant("vanilla"), corpus, "next_frame", trials, Protocol(epochs=2), backend=backend)
            return [torch.from_numpy(value) for member in (0, 1) for value in trained.member_weights(member).values()]

        return task

    assert wrong([task_of(0, 7), task_of(3, 17)], rounds=3) == 0


def test_a_difference_is_counted():
    """Two threads that write into one memory are found out: the tests above can fail."""
    shared = torch.zeros(1)

    def task_of(value):
        def task():
            shared.fill_(value)
            for _ in range(200):
                threading.Event().wait(0)
            return [shared.clone()]

        return task

    assert wrong([task_of(1.0), task_of(2.0)], rounds=20) > 0


@pytest.mark.parametrize("before", [False, True])
def test_subnormal_numbers_are_0_while_a_network_trains(before):
    """And what the thread did with them before is restored, on either backend, after an error as well."""
    if not torch.set_flush_denormal(before):
        pytest.skip("this processor cannot take subnormal numbers for 0")
    seen = []

    def look(population):
        seen.append((flushes(), bool((population.parts[0].network.weights * 0 + 2.0**-140 != 0).any())))
        if len(seen) > 20:
            raise KeyboardInterrupt

    drawn = {"hidden_size": 5, "learning_rate": 0.01, "momentum": 0.5, "input_noise": 0.1}
    try:
        for backend in ("eager", "numba"):
            train(lo.variant("noaf"), CORPORA["next_frame"](), "next_frame", [Trial(0, drawn)], Protocol(epochs=1),
                  backend=backend, on_update=look)  # fmt: skip
            assert flushes() is before
        with pytest.raises(KeyboardInterrupt):
            train(lo.variant("noaf"), CORPORA["next_frame"](), "next_frame", [Trial(0, drawn)], Protocol(epochs=9),
                  on_update=look)  # fmt: skip
        assert flushes() is before and set(seen) == {(True, False)}
    finally:
        torch.set_flush_denormal(False)


def test_what_is_said_of_subnormal_numbers_is_so():
    """``flushes`` tells the two states apart, and what is inside another leaves it as it was."""
    assert not flushes()
    with without_subnormals():
        assert flushes()
        with without_subnormals():
            assert flushes()
        assert flushes()
    assert not flushes()
