"""*cells*: layers of one network, forward and backward, beside cuDNN, FlashRNN, the eager loop and torch.compile.

All of one cell and size take turns. ``torch.nn.LSTM`` computes unpacked sequences of one length, where cuDNN has its
persistent kernels; it has no peepholes, and other cells' mathematics are their own. torch lets cuDNN round to TF32 unless told
otherwise: ``lstm`` is float32, ``lstm TF32`` what torch does by default.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.bench.gpu.parts.check import around, build, texts
from lstm_odyssey.bench.gpu.parts.scans import Problem, made
from lstm_odyssey.bench.gpu.record import Item, NotReachedError, Row
from lstm_odyssey.bench.gpu.target import BACKEND, Target, kernel_seconds, recorded
from lstm_odyssey.bench.loop import Loop
from lstm_odyssey.cell import Cell

Pass = Callable[[], Any]

OURS = "odyssey"
COMPILE_SECONDS, FLASH_SECONDS = 15.0, 45.0
"""Of torch.compile of a step, forward and backward; of a build of FlashRNN's, which bisects what fits."""


class Layer:
    """One cell, N and B: what is called, and what it is called with."""

    def __init__(self, target: Target, cell: Cell, B: int, N: int) -> None:
        self.target, self.cell, self.B, self.N = target, cell, B, N
        self.T, self.M = target.scale.layer_frames, target.scale.inputs
        self.problem = Problem.drawn(cell, self.T, B, self.M, N)
        self.x = self.problem.x.to(target.device)
        self.adjoint = self.problem.adjoint.to(target.device)
        self.state = {name: value.to(target.device).unsqueeze(0) for name, value in self.problem.state.items()}

    def _both(
        self, run: Callable[[Tensor], Tensor], weights: list[Tensor], x: Tensor, adjoint: Tensor
    ) -> tuple[Pass, Pass]:
        """A pass forward that keeps nothing, and one forward and backward."""
        leaf = x.clone().requires_grad_()

        def forward() -> Tensor:
            with torch.no_grad():
                return run(x)

        def backward() -> Any:
            return torch.autograd.grad(run(leaf), [leaf, *weights], adjoint, allow_unused=True)

        return forward, backward

    def ours(self, backend: str = BACKEND) -> tuple[Pass, Pass]:
        """``lo.RNN``."""
        layer = made(self.cell, self.problem, backend, torch.float32, self.target.device)
        return self._both(lambda x: layer(x, self.state)[0], list(layer.parameters()), self.x, self.adjoint)

    def lstm(self) -> tuple[Pass, Pass]:
        """``torch.nn.LSTM``."""
        layer = torch.nn.LSTM(self.M, self.N, device=self.target.device)
        layer.flatten_parameters()
        return self._both(lambda x: layer(x)[0], list(layer.parameters()), self.x, self.adjoint)

    def loop(self, compiled: bool) -> tuple[Pass, Pass]:
        """The text called frame after frame, or torch.compile of it."""
        step = self.cell.step
        if compiled:
            torch.compiler.reset()
            step = torch.compile(step, dynamic=False)
        parameters = {name: value.to(self.target.device) for name, value in self.problem.parameters.items()}
        loop = Loop(step, self.cell.spaces, parameters)
        state = [self.state[name][0].mT.contiguous() for name in self.cell.states]
        x, adjoint = self.x.mT.contiguous(), self.adjoint.mT.contiguous()
        return self._both(lambda each: loop(each, state)[0], list(loop.parameters.values()), x, adjoint)

    def row(self, **more: Any) -> Row:
        """What identifies it."""
        return {
            "variant": self.cell.name,
            "hidden_size": self.N,
            "batch": self.B,
            "frames": self.T,
            "inputs": self.M,
            **more,
        }


@contextmanager
def tf32() -> Iterator[None]:
    """cuDNN may round to TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _rounded(function: Pass) -> Pass:
    def run() -> Any:
        with tf32():
            return function()

    return run


def contest(target: Target, cell: Cell, B: int) -> Iterator[Row]:
    """A cell at one batch and every N, and cuDNN in the same rounds; the scans' kernels alone."""
    for N in target.scale.sizes:
        layer = Layer(target, cell, B, N)
        with target.here():
            forward, both = layer.ours()
            functions = {"forward": forward, "both": both}
            if not target.emulated:
                functions["lstm forward"], functions["lstm both"] = layer.lstm()
                functions["lstm TF32 both"] = _rounded(layer.lstm()[1])
            seconds = target.seconds(functions)
            kernels = {}
            if not target.emulated:
                with recorded(target.runner) as launched:
                    both()
                kernels = kernel_seconds(target, launched)
        fused = target.kernel(cell).layout(N) is not None
        yield layer.row(way=OURS, fused=fused, forward=seconds["forward"], both=seconds["both"], kernels=kernels)
        if not target.emulated:
            tf32_both = seconds["lstm TF32 both"]
            yield layer.row(way="lstm", forward=seconds["lstm forward"], both=seconds["lstm both"], both_tf32=tf32_both)


def others(target: Target, cell: Cell, way: str, N: int, B: int) -> Iterator[Row]:
    """The loops, one at a time: they are slow, and one round tells."""
    if way == "compile":
        target.only_on_a_gpu("torch.compile for a GPU")
    layer = Layer(target, cell, B, N)
    forward, both = layer.loop(way == "compile") if way in ("loop", "compile") else layer.ours(way)
    seconds = target.seconds({"forward": forward, "both": both}, rounds=2)
    yield layer.row(way=way, forward=seconds["forward"], both=seconds["both"])


def flash(target: Target, N: int, B: int, dtype: str) -> Iterator[Row]:
    """FlashRNN's fused LSTM, the input product beside it; what it calls float32 is TF32."""
    target.only_on_a_gpu("FlashRNN")
    if importlib.util.find_spec("flashrnn") is None:
        raise NotReachedError("flashrnn cannot be imported")
    run = importlib.import_module("flashrnn").flashrnn
    layer = Layer(target, target.first, B, N)
    of = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> Tensor:
        return (torch.randn(shape, generator=generator) / math.sqrt(N)).to(target.device, of).requires_grad_()

    W, R, b = drawn(4 * N, layer.M), drawn(4, 1, N, N), drawn(4, 1, N)
    x = layer.x.to(of).transpose(0, 1).contiguous()  # [B, T, M]
    start = torch.zeros(2, B, 1, 1, N, device=target.device, dtype=of)

    def outputs() -> Tensor:
        products = (x @ W.T).view(B, layer.T, 4, 1, N)
        h, _ = run(products, R, b, states=start, function="lstm", backend="cuda_fused", dtype=dtype)
        y: Tensor = h[0]
        return y

    def forward() -> Tensor:
        with torch.no_grad():
            return outputs()

    def both() -> Any:
        return torch.autograd.grad(outputs().float().sum(), [W, R, b])

    seconds = target.seconds({"forward": forward, "both": both})
    name = "flashrnn TF32" if dtype == "float32" else f"flashrnn {dtype}"
    yield layer.row(way=name, forward=seconds["forward"], both=seconds["both"])


def items(target: Target) -> list[Item]:
    """Every cell at every N and batch; then the first cell's and the heaviest's loops, and torch.compile of them, likewise.

    Of those the N in the middle come first, and one batch before the next.
    """
    scale, examples, found = target.scale, target.examples, []

    def add(name: str, seconds: float, run: Any, *given: Any) -> None:
        found.append(Item(name, seconds, partial(run, target, *given)))

    def compiling() -> Iterator[Row]:
        sources = texts(target, target.cells, scale.sizes, scale.batches, (torch.float32,), layers=True)
        return build(target, [*sources, *around((), (4,))])

    found.append(Item("compile", 10.0, compiling))
    for B in scale.batches:
        for cell in target.cells:
            add(f"{cell.name}, batch {B}", 2.0, contest, cell, B)
    middle = len(scale.sizes) // 2
    sizes = [*reversed(scale.sizes[:middle]), *scale.sizes[middle:]]
    for way, seconds in (("loop", 2.0), ("compile", COMPILE_SECONDS)):
        for B in scale.batches:
            for N in sizes:
                for cell in examples:
                    add(f"{cell.name} by {way}, N {N}, batch {B}", seconds, others, cell, way, N, B)
    for cell in examples:
        add(f"{cell.name} by eager, N {sizes[0]}, batch {scale.batches[0]}", 2.0, others, cell, "eager", sizes[0],
            scale.batches[0])  # fmt: skip
    there = importlib.util.find_spec("flashrnn") is not None
    for dtype in ("float32", "bfloat16"):
        for N in (64, 128):
            add(f"flashrnn {dtype}, N {N}", FLASH_SECONDS * there, flash, N, scale.batches[-1], dtype)
    return found
