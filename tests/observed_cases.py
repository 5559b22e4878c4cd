"""Run by test_observed.py in a process of its own, as a wrong one of these ends the process: prints what each case gave."""

import json
import sys
import warnings

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing._internal.two_tensor import TwoTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import lstm_odyssey as lo

torch.manual_seed(3)
X = torch.randn(5, 2, 3)
LAYER = lo.RNN("vanilla", 3, 4, backend="numba")
LAYER.requires_grad_(True)
Y = LAYER(X)[0].detach()


class Logging(TorchDispatchMode):
    """Notes every operation."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.seen.append(str(function))
        return function(*arguments, **(options or {}))


def fake(bidirectional=False, sizes=4, lengths=None):
    with FakeTensorMode():
        layer = lo.RNN("vanilla", 3, sizes, bidirectional, backend="numba")
        shape = (5, 2, 3) if isinstance(sizes, int) else (5, len(sizes), 2, 3)
        y, _ = layer(torch.randn(shape), lengths=lengths)
        y.sum().backward()
        assert layer.cells[0].R.grad.shape == layer.cells[0].R.shape
    return [type(y).__name__, *y.shape]


def fake_outside_its_mode():
    with FakeTensorMode():
        layer, x = lo.RNN("vanilla", 3, 4, backend="numba"), torch.randn(5, 2, 3)
    y, _ = layer(x)
    return [type(y).__name__, *y.shape]


def fake_lengths():
    with FakeTensorMode():
        return lo.RNN("vanilla", 3, 4)(torch.randn(5, 2, 3), lengths=torch.tensor([5, 3]).clone())


def logged():
    with Logging() as mode:
        y, _ = LAYER(X)
    return bool(torch.allclose(y, Y)) and sum("baddbmm" in name for name in mode.seen) == len(X)


def counted():
    with FlopCounterMode(display=False) as mode:
        LAYER(X)[0].sum().backward()
    return mode.get_total_flops() > 0


def recorded(**options):
    graph = make_fx(lambda x: LAYER(x)[0], **options)(X)
    other = torch.randn(5, 2, 3)
    return bool(torch.allclose(graph(other), LAYER(other)[0]))


def functional():
    made = LAYER(torch._to_functional_tensor(X))[0]
    return bool(torch.allclose(torch._from_functional_tensor(made), Y))


def zeros():
    return bool(torch.allclose(LAYER(torch._efficientzerotensor(X.shape))[0], LAYER(torch.zeros_like(X))[0]))


def zero_gradient():
    y = LAYER(X)[0]
    return bool((torch.autograd.grad(y, LAYER.cells[0].R, torch._efficientzerotensor(y.shape))[0] == 0).all())


def sparse_gradient():
    y = LAYER(X)[0]
    return torch.autograd.grad(y, LAYER.cells[0].R, torch.ones_like(y).to_sparse())


def emptied():
    x = X.clone()
    x.untyped_storage().resize_(0)
    return LAYER(x)


def pair():
    y, _ = LAYER(TwoTensor(X, -X))
    return bool(torch.allclose(y.a, Y) and torch.allclose(y.b, LAYER(-X)[0]))


def pair_as_parameter():
    layer = lo.RNN("vanilla", 3, 4, backend="numba")
    weight = layer.cells[0].R.detach()
    expected = layer(X)[0]
    layer.cells[0].R = torch.nn.Parameter(TwoTensor(weight, weight.clone()))
    return bool(torch.allclose(layer(X)[0].a, expected))


def backward_in_another_mode(mode):
    y = LAYER(X)[0].sum()
    with mode:
        y.backward()


def another_kind_brought_back():
    with torch.autograd.graph.saved_tensors_hooks(lambda value: value.double(), lambda value: value):
        y = LAYER(X)[0].sum()
    y.backward()


def plain_subclass():
    kind = type("Mine", (torch.Tensor,), {})
    return bool(torch.equal(LAYER(X.as_subclass(kind))[0].as_subclass(torch.Tensor), Y))


CASES = {
    "fake": fake,
    "fake, bidirectional": lambda: fake(True),
    "fake population": lambda: fake(False, [4, 2]),
    "fake with lengths": lambda: fake(lengths=[5, 3]),
    "fake outside its mode": fake_outside_its_mode,
    "fake lengths": fake_lengths,
    "logged": logged,
    "counted": counted,
    "recorded": recorded,
    "recorded before dispatch": lambda: recorded(pre_dispatch=True),
    "functional": functional,
    "zeros never made": zeros,
    "gradient of zeros never made": zero_gradient,
    "sparse gradient": sparse_gradient,
    "storage emptied": emptied,
    "pair": pair,
    "pair as a parameter": pair_as_parameter,
    "backward logged": lambda: backward_in_another_mode(Logging()),
    "backward fake": lambda: backward_in_another_mode(FakeTensorMode(allow_non_fake_inputs=True)),
    "hook of another dtype": another_kind_brought_back,
    "plain subclass": plain_subclass,
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")  # torch's own, of its own parts
    for name, case in CASES.items():
        torch.set_grad_enabled(True)  # make_fx(pre_dispatch=True) leaves it off
        try:
            result = case()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            result = f"{type(error).__name__}: {error}"
        answer = result if isinstance(result, (bool, list, str)) else str(result)
        sys.stdout.write(json.dumps([name, answer]) + "\n")
        sys.stdout.flush()
