"""The refit spread: the trials are drawn again with replacement, the forest is fitted again, and again.

The standard deviation over the trees of one forest is not a standard error: trees of one forest share their trials. What
another study of the same size would have found is asked by drawing its trials anew. It is no interval of the true share either:
all forests have a bias, and refits share it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy

from lstm_odyssey.reports.contract.files import replacing
from lstm_odyssey.reports.fanova.analysis import Decomposition, View, analyse
from lstm_odyssey.reports.fanova.space import Cells, Floats

ENOUGH = 50
"""Below this many finished trials there is no spread, and on a page no forest unless it is asked for."""

SCRAMBLINGS, POINTS = 8, 64
"""Of the remainder of each refit: less is enough where refits are averaged over."""

FORMAT = 1
"""Number of what is cached; to be raised when the computation becomes another."""


class Replicates(NamedTuple):
    """What each of R refits said: shares [R, ...] and marginals [R, d, P]."""

    main: Floats
    pair: Floats
    order: Floats
    total: Floats
    curve: Floats


class Question(NamedTuple):
    """What ``analyse`` is asked, by the names of its arguments: of the trials as they are, then of samples of them."""

    cells: tuple[Cells, ...]
    response: Floats
    views: tuple[View, ...]
    nominal: tuple[int, ...] = ()
    decomposition: Decomposition = "forest"
    trees: int = 100
    seed: int = 1


def replicates(
    asked: Question,
    count: int = 200,
    *,
    jobs: int = 1,
    progress: Callable[[], None] | None = None,
    cache: Path | None = None,
) -> Replicates:
    """Refit and decompose for so many bootstrap samples of the trials.

    A refit's numbers depend on (seed, number) only, not on how many workers there are. With a cache folder, what was computed
    is kept under the hash of everything it depends on.

    Args:
        asked: the trials and how they are analysed; its seed is that of the samples and the forests.
        count: how many refits.
        jobs: worker processes, as joblib counts them: -1 for one a core.
        progress: called after each refit.
        cache: folder; made if it does not exist.
    """
    from joblib import Parallel, delayed

    step = progress or (lambda: None)
    kept = cache / f"fanova-{_key(asked, count)}.npz" if cache is not None else None
    if (found := _read(kept, count)) is not None:
        for _ in range(count):
            step()
        return found
    done = []
    for one in Parallel(n_jobs=jobs, return_as="generator")(delayed(refit)(asked, number) for number in range(count)):
        done.append(one)
        step()
    found = Replicates(*map(numpy.stack, zip(*done, strict=True)))
    if kept is not None:
        with replacing(kept) as temporary, open(temporary, "wb") as file:
            numpy.savez_compressed(file, allow_pickle=False, **found._asdict())
    return found


def refit(asked: Question, number: int) -> Replicates:
    """One bootstrap sample, fitted and decomposed."""
    generator = numpy.random.default_rng([asked.seed, 0xB007, number])
    chosen = generator.integers(0, asked.response.size, asked.response.size)
    cells = tuple(axis._replace(places=axis.places[chosen]) for axis in asked.cells)
    again = asked._replace(cells=cells, response=asked.response[chosen], seed=int(generator.integers(2**31)))
    found = analyse(**again._asdict(), scramblings=SCRAMBLINGS, points=POINTS, over_trees=False)
    return Replicates(found.main.value, found.pair.value, found.order.value, found.total.value, found.curve)


def _key(asked: Question, count: int) -> str:
    """Hash of everything the refits depend on."""
    import sklearn

    settings = [FORMAT, count, asked.nominal, asked.decomposition, asked.trees, asked.seed, numpy.__version__]
    settings.append([each.levels for each in asked.views])
    digest = hashlib.sha256(json.dumps([*settings, sklearn.__version__]).encode())
    for array in (asked.response, *(part for axis in asked.cells for part in axis), *(v.ends for v in asked.views)):
        digest.update(str((array.shape, array.dtype.str)).encode() + numpy.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path | None, count: int) -> Replicates | None:
    """What a cache holds; nothing, if the file is absent or damaged: then it is computed again."""
    if path is None or not path.is_file():
        return None
    try:
        with open(path, "rb") as file, numpy.load(file, allow_pickle=False) as stored:
            found = Replicates(*(numpy.asarray(stored[name], float) for name in Replicates._fields))
    except Exception:  # noqa: BLE001 - whatever zipfile and numpy raise on a damaged file
        return None
    return found if all(len(part) == count for part in found) else None
