"""*population*: whole searches. Training updates of P members of their own N, beside cuDNN networks one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lstm_odyssey.bench.gpu.parts.check import around, build, texts
from lstm_odyssey.bench.gpu.parts.projection import projected
from lstm_odyssey.bench.gpu.parts.training import Made, mixed, population
from lstm_odyssey.bench.gpu.record import Item, NotReachedError, Record, Row
from lstm_odyssey.bench.gpu.target import Target, kernel_seconds, recorded
from lstm_odyssey.cell import Cell
from lstm_odyssey.reports.contract.wording import counted


@dataclass(frozen=True)
class Shape:
    """A corpus of the paper, as a sequence of its mean length.

    Args:
        name: the corpus.
        T, M, K: frames, inputs, outputs.
        bidirectional, objective: of its networks.
        labels: of a line, where they are fewer than the frames.
    """

    name: str
    T: int
    M: int
    K: int
    bidirectional: bool
    objective: str
    labels: int = 0


SHAPES = (
    Shape("TIMIT", 304, 39, 61, True, "frames"),
    Shape("IAM-OnDB", 334, 4, 82, True, "ctc", 22),
    Shape("JSB Chorales", 60, 88, 88, False, "next_frame"),
)


def drawn_sizes(count: int, most: int = 200) -> list[int]:
    """N as the paper draws it, even and log-uniform on [20, 200], the same for each count; one member alone has N = 100."""
    if count == 1:
        return [min(100, most)]
    generator = np.random.default_rng(1503)
    return [min(int(N), most) for N in 2 * np.round(np.exp(generator.uniform(np.log(20), np.log(200), 4096)) / 2)][
        :count
    ]


def updated(target: Target, cell: Cell, shape: Shape, members: int) -> Iterator[Row]:
    """Seconds of an update of so many members, its kernels alone, and the most memory it took."""
    T = max(shape.T // target.scale.shorter, 4)
    sizes = drawn_sizes(members, 4 if target.emulated else 200)
    made = Made.drawn(shape.objective, 1, T, shape.M, shape.K, shape.labels or 1)
    if not target.emulated:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(target.device)
    with target.here():
        ours = population(target, cell, made, mixed(sizes, 1e-6), shape.bidirectional)
        batch = made.batches(torch.float32, target.device)[0]
        with recorded(target.runner) as launched:
            ours.update(batch)
        seconds = target.seconds({"update": lambda: ours.update(batch)}, rounds=5)["update"]
        memory = 0 if target.emulated else torch.cuda.max_memory_allocated(target.device)
        kernels = {} if target.emulated else kernel_seconds(target, launched)
    frames = len(made.pairs[0][0])
    yield {
        "shape": shape.name, "variant": cell.name, "members": members,
        "stepwise": sum(target.kernel(cell).layout(N) is None for N in sizes), "mean_hidden_size": sum(sizes) / members,
        "seconds": seconds, "frames": frames, "member_frames_per_second": members * frames / seconds, "memory": memory,
        "kernels": kernels,
    }  # fmt: skip


class One(torch.nn.Module):
    """A network of torch's own layers, updated by torch's own SGD with Nesterov's momentum.

    Args:
        shape: the corpus. N: units of a direction. device: where.
    """

    def __init__(self, shape: Shape, N: int, device: Any) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(shape.M, N, bidirectional=shape.bidirectional, device=device)
        self.linear = torch.nn.Linear(N * (1 + shape.bidirectional), shape.K, device=device)
        self.sgd = torch.optim.SGD(self.parameters(), lr=1e-6, momentum=0.9, nesterov=True)
        self.objective = shape.objective

    def update(self, x: Tensor, noise: Tensor, target: Tensor) -> None:
        """One update on x [T, 1, M]."""
        self.sgd.zero_grad(set_to_none=True)
        logits = self.linear(self.lstm(x + 0.1 * noise)[0])
        if self.objective == "frames":
            loss = functional.cross_entropy(logits.flatten(0, 1), target, reduction="sum")
        elif self.objective == "ctc":
            lengths = (torch.tensor([len(logits)]), torch.tensor([len(target)]))
            loss = functional.ctc_loss(logits.log_softmax(-1), target.unsqueeze(0), *lengths, reduction="sum")
        else:
            loss = functional.binary_cross_entropy_with_logits(logits.flatten(0, 1), target, reduction="sum")
        loss.backward()
        self.sgd.step()


def one_by_one(target: Target, shape: Shape) -> Iterator[Row]:
    """Seconds of an update of one cuDNN network, at a few N."""
    T = max(shape.T // target.scale.shorter, 4)
    made = Made.drawn(shape.objective, 1, T, shape.M, shape.K, shape.labels or 1)
    features, wanted = made.pairs[0]
    x, noise = (torch.from_numpy(value).unsqueeze(1).to(target.device) for value in (features, made.noise[0]))
    goal = torch.as_tensor(wanted).to(target.device) + (shape.objective == "ctc")
    networks = {str(N): One(shape, N, target.device) for N in target.scale.one_by_one}

    def updating(network: One) -> Any:
        return lambda: network.update(x, noise, goal)

    for N, seconds in target.seconds({N: updating(network) for N, network in networks.items()}).items():
        yield {
            "shape": shape.name,
            "way": "one by one",
            "hidden_size": int(N),
            "seconds": seconds,
            "frames": len(features),
        }


def items(target: Target, record: Record) -> list[Item]:
    """Each corpus at each P, cuDNN's networks, the cell with the most matrices, and what a whole study would take."""
    scale, found = target.scale, []
    most = scale.populations[-1]

    def add(name: str, seconds: float, run: Any, *given: Any) -> None:
        found.append(Item(name, seconds, partial(run, target, *given)))

    def compiling() -> Iterator[Row]:
        sources = texts(target, target.examples, sorted({*drawn_sizes(most), 100}), (1,), (torch.float32,))
        return build(target, [*sources, *around([shape.objective for shape in SHAPES], (4,))])

    found.append(Item("compile", 5.0, compiling))
    for shape in SHAPES:
        add(f"{shape.name}, one by one", 2.0, one_by_one, shape)
    for members in _middle_first(scale.populations):
        for shape in SHAPES:
            add(f"{shape.name}, {counted(members, 'member')}", 3.0, updated, target.first, shape, members)
    if target.heaviest is not target.first:
        for shape in SHAPES:
            P = scale.populations[len(scale.populations) // 2]
            add(f"{shape.name}, {P} members of {target.heaviest.name}", 4.0, updated, target.heaviest, shape, P)

    def projecting() -> Iterator[Row]:
        target.only_on_a_gpu("the time of a study")
        rows = projected(record.rows("population"), target.first.name)
        if not rows:
            raise NotReachedError("it needs an update of each corpus, and cuDNN's")
        yield from rows

    found.append(Item("projection", 0.0, projecting))
    return found


def _middle_first(populations: Sequence[int]) -> list[int]:
    """In the order in which they are worth having: the middle one, the larger ones, the smaller ones."""
    middle = len(populations) // 2
    return [*populations[middle:], *populations[:middle]]
