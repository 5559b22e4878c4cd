"""A layer's memory: kept for a gradient alone, freed with the graph, bounded between calls, one thread's at a time."""

import gc
import threading

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import lstm_odyssey as lo
from lstm_odyssey.backends.numba import memory
from lstm_odyssey.bench import memory as measured
from tests.cells import ON_CPU


@pytest.fixture
def made(monkeypatch):
    """The sizes of the blocks of memory that are made, in their order, from empty pools on."""
    sizes = []

    class Counted(memory.Block):
        def __init__(self, given):
            super().__init__(given)
            sizes.append((type(given).__name__, self.size))

    gc.collect()
    lo.free_memory()
    monkeypatch.setattr(memory, "Block", Counted)
    return sizes


def kept_for_gradients(made):
    """Those of them that a graph holds until its backward pass."""
    return [size for kind, size in made if kind == "ndarray"]


def test_a_loss_kept_after_its_backward_pass_holds_no_memory(made):
    """Ten losses that stay alive have used one block between them; ten that are not differentiated hold ten."""
    layer, x = lo.RNN("vanilla", 3, 5, backend="numba"), torch.randn(7, 2, 3)
    losses = [layer(x)[0].sum() for _ in range(10)]
    assert len(kept_for_gradients(made)) == 10
    for loss in losses:
        loss.backward()
    assert len(memory.KEPT.idle) == 10
    lo.free_memory()
    made.clear()
    losses = []
    for _ in range(10):
        losses.append(layer(x)[0].sum())
        losses[-1].backward()
    assert len(kept_for_gradients(made)) == 1 and len(memory.KEPT.idle) == 1


def gradients(layer, x, call):
    """Of the input and of every parameter, after a call."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    call(x).backward()
    return [x.grad, *(value.grad.clone() for value in layer.parameters())]


@pytest.mark.parametrize("wanted", [True, False], ids=["input too", "parameters alone"])
@pytest.mark.parametrize("backend", ON_CPU)
def test_a_checkpoint_gives_the_same_gradients(backend, wanted):
    """Under checkpoint(use_reentrant=False), once and once more inside another, every gradient is there and right."""
    layer = lo.RNN("vanilla", 5, 5, backend=backend, dtype=torch.float64, initial_std=0.7)
    state = {name: torch.randn(1, 2, 5, dtype=torch.float64) for name in "yc"}
    x = torch.randn(4, 2, 5, dtype=torch.float64)

    def twice(x):
        y, after = layer(x if wanted else x.detach(), state)
        return layer(y, after, lengths=[4, 3])[0].square().sum() + (0 * x).sum()

    def nested(x):
        return checkpoint(lambda value: checkpoint(twice, value, use_reentrant=False), x, use_reentrant=False)

    expected = gradients(layer, x, twice)
    assert all(value.abs().max() > 1e-3 for value in expected[not wanted :])
    for call in (lambda x: checkpoint(twice, x, use_reentrant=False), nested):
        for one, other in zip(gradients(layer, x, call), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("backend", ON_CPU)
def test_saved_tensors_may_go_elsewhere(backend):
    """Hooks that pack what is saved, all of it or the large ones only, change no gradient; a graph kept gives it again."""
    layer = lo.RNN("cifg", 3, 5, backend=backend, dtype=torch.float64, initial_std=0.7)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    expected = gradients(layer, x, lambda x: layer(x)[0].square().sum())
    for least in (0, 16, 10**6):

        def pack(value, least=least):
            return value.numpy(force=True).copy() if value.numel() >= least else value

        def unpack(value):
            return value if isinstance(value, torch.Tensor) else torch.from_numpy(value)

        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            for one, other in zip(gradients(layer, x, lambda x: layer(x)[0].square().sum()), expected, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13)
            leaf = x.clone().requires_grad_()
            loss = layer(leaf)[0].square().sum()
            for _ in range(2):
                (found,) = torch.autograd.grad(loss, leaf, retain_graph=True)
                torch.testing.assert_close(found, expected[0], rtol=1e-11, atol=1e-13)


def test_layers_under_a_checkpoint_share_their_memory(made):
    """Of six layers under checkpoints no two hold memory at once, in the forward pass as in the backward pass."""
    layers = [lo.RNN("vanilla", 5, 5, backend="numba") for _ in range(6)]
    x = torch.randn(7, 2, 5, requires_grad=True)
    for layer in layers:
        x = checkpoint(lambda value, layer=layer: layer(value)[0], x, use_reentrant=False)
    x.sum().backward()
    assert len(kept_for_gradients(made)) == 1


@pytest.mark.parametrize("cell", ["vanilla", "fgr", "gru"])
@pytest.mark.parametrize("rows", [1, 3])
def test_without_a_gradient_nothing_is_kept_and_the_bits_are_the_same(cell, rows, made):
    """A long scan under no_grad, or of weights that want none, goes piece by piece: the same bits, memory for one piece."""
    layer = lo.RNN(cell, 3, 5, backend="numba", dtype=torch.float64)
    x = torch.randn(5000, rows, 3, dtype=torch.float64)
    state = {name: torch.randn(1, rows, 5, dtype=torch.float64) for name in layer.cell.states}
    options = {"state": state, "lengths": [4097, 1111, 5000][:rows]}
    y, final = layer(x, **options)
    (kept,) = kept_for_gradients(made)
    lo.free_memory()
    made.clear()
    with torch.no_grad():
        found = [layer(x, **options)]
    found.append(layer.requires_grad_(False)(x, **options))
    for outputs, finals in found:
        assert torch.equal(outputs, y) and all(torch.equal(finals[name], final[name]) for name in final)
    assert not kept_for_gradients(made) and sum(size for _, size in made) < kept


def test_idle_memory_is_bounded_and_can_be_emptied(monkeypatch):
    """What lies idle never exceeds the bound, however large a call was; lo.free_memory() leaves nothing."""
    assert memory.SCRATCH.limit + memory.KEPT.limit == 128 * 2**20, "what lo.free_memory says"
    monkeypatch.setattr(memory, "SCRATCH", memory.Pool(2**20))
    monkeypatch.setattr(memory, "KEPT", memory.Pool(2**20))
    layer = lo.RNN("vanilla", 3, 40, backend="numba")
    for steps in (5, 300, 3000, 7):
        layer(torch.randn(steps, 1, 3))[0].sum().backward()
        for pool in (memory.SCRATCH, memory.KEPT):
            assert sum(block.size for block in pool.idle) <= 2**20
    assert memory.KEPT.idle and memory.SCRATCH.idle
    held = sum(block.size for pool in (memory.SCRATCH, memory.KEPT) for block in pool.idle)
    assert lo.free_memory() == held and not memory.KEPT.idle and not memory.SCRATCH.idle
    assert lo.free_memory() == 0


def test_memory_returns_when_nothing_refers_to_it():
    """A view keeps a tensor's memory; the last one gone, the pool has it back, and no two tensors have it at once."""
    lo.free_memory()
    tensor = memory.kept(1000)
    assert tensor.data_ptr() % memory.ALIGNMENT == 0 and tensor.shape == (1000,)
    view, place = tensor[10:20], tensor.data_ptr()
    del tensor
    other = memory.kept(1000)
    assert not memory.KEPT.idle and abs(other.data_ptr() - place) >= 1000
    del view
    assert len(memory.KEPT.idle) == 1 and memory.kept(900).data_ptr() == place


def test_no_two_threads_have_the_same_memory():
    """While one thread is in a call, another one's call has memory of its own, for the call and for the gradient."""
    lo.free_memory()
    both, found = threading.Barrier(2, timeout=60), []

    def call():
        for _ in range(3):
            block, tensor = memory.borrow(1000), memory.kept(1000)
            found.append((block.address, tensor.data_ptr()))
            both.wait()
            memory.SCRATCH.give(block)
            del tensor
            both.wait()

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    for k in range(0, 6, 2):
        for one, other in zip(found[k], found[k + 1], strict=True):
            assert abs(one - other) >= 1000


def test_threads_compute_what_they_compute_alone():
    """Two threads that train at once, one of them a larger network, have the bits they have alone."""
    jobs = [(lo.RNN("vanilla", 3, size, backend="numba"), torch.randn(200, 2, 3)) for size in (17, 40)]
    expected = [gradients(layer, x, lambda x, layer=layer: layer(x)[0].square().sum()) for layer, x in jobs]
    wrong, both = [], threading.Barrier(2, timeout=60)

    def train(job, right):
        layer, x = job
        both.wait()
        for _ in range(100):
            found = gradients(layer, x, lambda x: layer(x)[0].square().sum())
            wrong.extend(
                k for k, (one, other) in enumerate(zip(found, right, strict=True)) if not torch.equal(one, other)
            )

    threads = [threading.Thread(target=train, args=pair) for pair in zip(jobs, expected, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.long
@pytest.mark.parametrize("loop", measured.LOOPS)
def test_a_loop_needs_about_as_much_as_torchs_layer(loop):
    """The most and what is left of each loop, beside torch.nn.LSTM's: not a hundred megabytes and half of it more."""
    found = measured.beside(loop, "vanilla")
    for ours, theirs in zip(found["vanilla"], found[measured.TORCH], strict=True):
        assert ours <= 1.5 * theirs + 100e6, found
