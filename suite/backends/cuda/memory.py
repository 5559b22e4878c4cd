"""How much of a GPU's memory a population takes, and how many of its members are computed at once where not all fit.

With u and s the frames of the largest batch of an update and of a score (T x B, padding included), f = max(u, s), D directions,
M inputs, K outputs, w the bytes of a float, and per program, one member and direction of N blocks:

    copies    c w weights                         weights, gradients, velocity, the best weights if they are kept
    scan      w N (f (places + operands) + (T + 1) B states)    what a scan keeps for its backward pass
    around    w (f M (1 + functions of the input) + f K)        inputs with noise, logits
    learning  w (u (N (1 + sums) + K) + tiles N vectors)        gradients of y, of sums, logits and vectors
    tables    8 TABLE shapes                      where the kernels of each shape of batch find all that; a scan step by step
                                                  has rooms beside them, w N B (4 states + 2 of what waits) for each shape

A member is D programs; it adds its losses, and what torch makes of its logits when it scores, 18 s K + 48 s bytes, or where
torch computes the loss, 8 w u K. All groups have their copies and their tables at once and share the rest. Beside them lie the
corpus and the CUDA graphs: those of each group, SHAPE_NODES kernels a shape, and those of all loops, NODES at most.
"""

from __future__ import annotations

import numpy as np

from lstm_odyssey.backends.cuda.classes import rows_of
from lstm_odyssey.backends.cuda.kernels import Kernel
from lstm_odyssey.backends.cuda.running.launch import Numbers
from lstm_odyssey.backends.cuda.running.loops import NODES
from lstm_odyssey.backends.cuda.source import training
from lstm_odyssey.backends.trainer import Load

PART = 0.9
"""Of the free memory, for all of it; the rest is for torch's allocator, whose blocks are larger than what is asked for."""

TABLE, MOST_SHAPES = 600, 1024
"""Numbers in the tables of a program, for one shape of batch; and shapes whose tables are kept (``training_step``)."""

SHAPE_NODES = 32
"""Kernels in the graphs of an update or a score of one shape of batch, loops aside: 25 of any built-in cell, if the members are
of all size classes."""

NODE = 10240
"""Bytes that the driver takes for a kernel in a graph. Assumed: no GPU has been asked yet.

Source: NVIDIA's CCCL reckons with it, roughly, to bound its cache of graphs (github.com/NVIDIA/cccl, ``cudax``,
``executable_graph_cache.cuh``).
"""


def copies(made: Kernel, load: Load) -> int:
    """Bytes of all members' weights, gradients, velocities and best weights."""
    return len(load.sizes) * (4 if load.keeps else 3) * made.size * load.weights


def rooms(made: Kernel, load: Load) -> Numbers:
    """Bytes that each member takes in the workspace, [P]."""
    plan, w, K, D = made.plan, made.size, load.outputs, load.directions
    N = np.array(load.sizes, np.int64)
    (T, B), (S, rows) = load.update, load.scored
    u, s = T * B, S * rows
    f, states, each = max(u, s), len(plan.graph.states), plan.places + len(plan.operands)
    functions = sum(plan.graph.nodes[number].op != "input" for number in plan.inputs)
    tiles = np.array([B if made.layout(int(n)) is None else -(-B // rows_of(B, made.matrices)) for n in N])
    scan = N * max(u * each + (T + 1) * B * states, s * each + (S + 1) * rows * states)
    around = f * load.inputs * (1 + functions) + f * K
    learning = (u * (N * (1 + len(plan.accumulators)) + K) + tiles * N * len(plan.vectors)) if u else 0
    found: Numbers = D * w * (scan + around + learning) + 8 * (u + max(B, rows))
    return found


def workspace(made: Kernel, load: Load) -> Numbers:
    """Bytes that each member takes while it is computed, [P]: the workspace, and what torch makes of its logits."""
    u, s, K = load.update[0] * load.update[1], load.scored[0] * load.scored[1], load.outputs
    learnt = 0 if load.objective.name in training.LOSSES else 8 * made.size * u * K
    return rooms(made, load) + max(18 * s * K + 48 * s, learnt)


def _large(made: Kernel, load: Load) -> Numbers:
    """Whether each member runs step by step, [P]."""
    return np.array([made.layout(int(n)) is None for n in load.sizes])


def tables(made: Kernel, load: Load) -> Numbers:
    """Bytes that each member takes for as long as it is trained, [P]: tables, and rooms of scans step by step beside them."""
    N, rows = np.array(load.sizes, np.int64), max(load.update[1], load.scored[1])
    each = 2 * len(made.plan.graph.states) + made.stepwise.waiting
    waits = 2 * made.size * N * rows * each * _large(made, load)  # two scans, each with rooms of its own
    found: Numbers = load.directions * min(load.shapes, MOST_SHAPES) * (8 * TABLE + waits)
    return found


def graphs(made: Kernel, load: Load, groups: Numbers | int = 1) -> Numbers | int:
    """Bytes of the CUDA graphs of so many groups.

    A group that goes on with fewer members has other loops, so that in the end the device keeps as many as it may.
    """
    return NODE * (groups * min(load.shapes, MOST_SHAPES) * SHAPE_NODES + NODES * bool(_large(made, load).any()))


def group(made: Kernel, load: Load, free: int) -> int:
    """How many members are computed at once, all of them if they fit; 1 at least.

    Groups are members in their order, so many in each; the largest that could come together count.

    Args:
        made: the cell. load: the population. free: bytes.
    """
    left = PART * free - copies(made, load) - load.corpus - tables(made, load).sum()
    members = np.arange(1, len(load.sizes) + 1)
    needed = np.cumsum(np.sort(workspace(made, load))[::-1]) + graphs(made, load, -(-len(members) // members))
    return int(members[needed <= left].max(initial=1))
