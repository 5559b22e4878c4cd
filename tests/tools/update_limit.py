"""What part of the processor's limit an update in training reaches.

Run ``python -m tests.tools.update_limit [CELL ...]`` on an idle machine. One sequence of median length of ``bach``, N = 20 to
200, one thread, float32, in milliseconds, medians.

The limit is that of a layer (``lstm_odyssey.bench.limit``) without the gradient of its input, which no training needs, and with
what an update has besides: three products of the output layer, and weights, velocities and gradients, each read and two of them
written. With |V| the numbers of the output layer's matrix and P those of all parameters, beside the terms there:

    2 T B 3 |V| / sgemm + 20 P / stream
"""

import sys

import lstm_odyssey as lo
from lstm_odyssey.bench.limit import limit
from lstm_odyssey.bench.region import Region, measure
from lstm_odyssey.bench.step import TimedStep
from lstm_odyssey.training.clocks import timer_of
from lstm_odyssey.training.threads import one_thread

SIZES = (20, 50, 100, 150, 200)


def least(bound, outputs, parameters):
    """Seconds of an update at the least."""
    stream, sgemm = bound.rates["stream"], bound.rates["sgemm"]
    frames = bound.frames * bound.batch
    spared = 2 * frames * bound.inputs / sgemm  # the gradient of x
    own = 2 * frames * 3 * outputs * bound.size / sgemm + 20 * parameters / stream
    return bound.seconds(backward=True) - spared + own


def of_limit(cell, size, task="bach"):
    """Seconds of an update and of its compiled call, and the limit's."""
    with one_thread():
        clock, step = timer_of("cpu", "wall"), TimedStep(cell, task, size)
        bound = limit(lo.variant(cell), size, step.batch.x.shape[1], step.frames, step.batch.x.shape[2], 1.0, clock)
        regions = {"update": Region.of(step), "compiled": Region.of(step.compiled())}
        found = measure(regions, seconds=2.0, clock=clock)
        parameters = step.population.network.weights.shape[1]
        return *(found[name].median for name in regions), least(bound, step.population.network.n_outputs, parameters)


if __name__ == "__main__":
    print("cell             N   update  compiled   limit  of limit")
    for name in sys.argv[1:] or ["vanilla", "no_peepholes", "cifg", "fgr"]:
        for units in SIZES:
            whole, compiled, bound = of_limit(name, units)
            print(f"{name:15}{units:4}{1e3 * whole:9.3f}{1e3 * compiled:10.3f}{1e3 * bound:8.3f}{bound / whole:10.2f}")
