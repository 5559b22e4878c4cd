"""Whole studies made up for tests: one that looks like a real one, and hypothesis strategies for all the odd ones."""

from __future__ import annotations

import copy
import hashlib
import math
from typing import Any

import numpy
import xarray
from hypothesis import strategies as st

Made = tuple[dict[str, Any], list[dict[str, Any]]]

SPACE: dict[str, Any] = {
    "hidden_size": {"kind": "even_integer", "distribution": {"kind": "log_uniform", "low": 20, "high": 48}},
    "learning_rate": {"kind": "log_uniform", "low": 0.002, "high": 0.01},
    "momentum": {"kind": "one_minus", "distribution": {"kind": "log_uniform", "low": 0.01, "high": 1}},
    "input_noise": {"kind": "uniform", "low": 0, "high": 1},
}

MUSIC = {"metric": "negative log-likelihood per frame", "units": "nats/frame", "chance": 11.0, "family": "music"}
SPEECH = {"metric": "frame error rate", "units": "%", "chance": 80.0, "family": "speech"}
PEN = {"metric": "character error rate", "units": "%", "chance": 95.0, "family": "handwriting"}

UNKNOWN = 50.0
"""What scores lie around where the chance level is not known."""

VANILLA = [
    "z_t = tanh(W_z x_t + R_z y_{t-1} + b_z)",
    "i_t = σ(W_i x_t + R_i y_{t-1} + p_i ⊙ c_{t-1} + b_i)",
    "f_t = σ(W_f x_t + R_f y_{t-1} + p_f ⊙ c_{t-1} + b_f)",
    "c_t = z_t ⊙ i_t + c_{t-1} ⊙ f_t",
    "o_t = σ(W_o x_t + R_o y_{t-1} + p_o ⊙ c_t + b_o)",
    "y_t = tanh(c_t) ⊙ o_t",
]


def equations(position: int) -> list[str]:
    """Six lines, one of which differs from one cell to the next."""
    lines = list(VANILLA)
    if position:
        lines[position % 6] = lines[position % 6].replace("b_", "1 - b_").replace("⊙", "+ 1 -")
    return lines


def study(
    tasks: dict[str, dict[str, Any]] | None = None,
    variants: tuple[str, ...] = ("plain", "gated"),
    trials: int = 6,
    epochs: int = 8,
) -> dict[str, Any]:
    """What study.json holds."""
    facts = {"objective": "next_frame", "direction": "minimize", "licence": "public domain", "input_size": 88}
    facts |= {"n_outputs": 88, "bidirectional": False, "warnings": [], "url": "https://example.org/corpus"}
    return {
        "format": 1,
        "package": "lstm-odyssey",
        "created": "2026-01-01T00:00:00+00:00",
        "seed": 1,
        "draws": "independent",
        "profile": "smoke",
        "protocol": {"epochs": epochs, "patience": 15, "batch": 1, "momentum_form": "nesterov", "clip": None},
        "dtype": "float32",
        "backend": "eager",
        "device": "cpu",
        "block_size": 8,
        "trials": trials,
        "tasks": {
            name: facts | {"checksum": digest(name), "space": copy.deepcopy(SPACE), "provenance": "made up"} | given
            for name, given in (tasks or {"songs": MUSIC}).items()
        },
        "variants": {
            name: {
                "signature": digest(name),
                "equations": equations(position),
                "states": ["y", "c"],
                "parameters": {"W.z": ["N", "M"], "R.z": ["N", "N"], "b.z": ["N"]},
                "origin": {"distribution": "lstm-odyssey", "version": "0.1.0"},
                "collection": "odyssey-2017",
                "reference": "Greff et al., LSTM: A Search Space Odyssey, 2017",
            }
            for position, name in enumerate(variants)
        },
        "environment": {"python": "3.11.2", "numpy": "2.4.6", "torch": "2.13.0", "cpu": "a fast one", "cores": 2},
    }


def trial(study: dict[str, Any], task: str, variant: str, index: int, **given: Any) -> dict[str, Any]:
    """What the file of one finished trial holds; `given` replaces fields."""
    chance = float(study["tasks"][task]["chance"] or UNKNOWN)
    seed = int(digest(f"{task} {variant} {index}")[:8], 16)
    random = numpy.random.default_rng(seed)
    epochs = int(study["protocol"]["epochs"])
    level = 0.72 + 0.02 * list(study["variants"]).index(variant) + 0.25 * random.beta(2, 3)
    steps = numpy.arange(epochs + 1)
    valid = chance * (level + (2 - level) * numpy.exp(-1.4 * steps) + random.normal(0, 0.004, epochs + 1))
    best = int(numpy.argmin(valid))
    improved = valid == numpy.minimum.accumulate(valid)
    size = int(2 * round(math.exp(random.uniform(math.log(20), math.log(48))) / 2))
    made = {
        "format": 1,
        "trial_id": digest(f"{task}/{variant}/{index}"),
        "task": task,
        "variant": variant,
        "trial": index,
        "seed": study["seed"],
        "hyperparameters": {
            "hidden_size": size,
            "learning_rate": float(math.exp(random.uniform(math.log(0.002), math.log(0.01)))),
            "momentum": 1 - float(math.exp(random.uniform(math.log(0.01), 0))),
            "input_noise": float(random.uniform()),
        },
        "status": "ok",
        "reason": "",
        "diverged_epoch": None,
        "best_epoch": best,
        "best_valid": float(valid[best]),
        "best_test": float(valid[best] * 1.01),
        "best_test_per_sequence": float(valid[best] * 1.005),
        "final_valid": float(valid[-1]),
        "n_parameters": 4 * size * (88 + size) + 88 * (size + 1),
        "epochs": epochs,
        "seconds": float(random.uniform(5, 20)),
        "training_seconds": epochs * 0.3 * (size / 100) ** 1.5 * (0.9 + 0.2 * (seed % 1000) / 999),
        "frames_per_second": float(random.uniform(3000, 9000)),
        "curves": {
            "train_loss": [None, *(valid[1:] * 60).tolist()],
            "valid": valid.tolist(),
            "test": [float(v * 1.01) if good else None for v, good in zip(valid, improved, strict=True)],
            "epoch_seconds": [None] + [1.5] * epochs,
        },
        "environment": {"cpu": "a fast one", "torch": "2.13.0"},
    }
    return made | given


def diverged(study: dict[str, Any], task: str, variant: str, index: int) -> dict[str, Any]:
    """A trial whose loss ceased to be finite in its first epoch: only the score before training stands."""
    chance = float(study["tasks"][task]["chance"] or UNKNOWN)
    curves = {"train_loss": [None, None], "valid": [6 * chance, None], "test": [6 * chance, None]}
    return trial(
        study, task, variant, index, status="diverged", reason="loss is nan", diverged_epoch=1, best_epoch=0,
        best_valid=6 * chance, best_test=6 * chance, final_valid=None, epochs=1,
        curves=curves | {"epoch_seconds": [None, 1.0]},
    )  # fmt: skip


def failed(study: dict[str, Any], task: str, variant: str, index: int) -> dict[str, Any]:
    """A trial that never scored."""
    names = (
        "best_epoch best_valid best_test best_test_per_sequence final_valid frames_per_second training_seconds".split()
    )
    nothing = {key: [None] for key in ("train_loss", "valid", "test", "epoch_seconds")}
    return trial(
        study, task, variant, index, status="failed", reason="out of memory", curves=nothing, epochs=0,
        **dict.fromkeys(names),
    )  # fmt: skip


def agreeing(dataset: xarray.Dataset) -> xarray.Dataset:
    """The dataset, whose scores were put in by hand, with curves from which they follow."""
    made = dataset.copy(deep=True)
    sign = xarray.where(made["direction"] == "maximize", -1, 1)
    for curve, score in (("valid", "best_valid"), ("test", "best_test")):
        made[curve] = made[curve].where(made["epoch"] != made["best_epoch"], made[score])
    worse = sign * made["valid"] < sign * made["best_valid"]
    made["valid"] = made["valid"].where(~worse, made["best_valid"])
    ended = made["status"] == "ok"
    final = made["valid"].where(made["epoch"] == made["epochs"]).max("epoch")
    made["final_valid"] = made["final_valid"].where(~ended, final)
    return made.transpose(*dataset.dims).assign({name: made[name].transpose(*dataset[name].dims) for name in made})


def whole(study: dict[str, Any]) -> Made:
    """The study with every trial finished, but one in a dozen diverged."""
    made = []
    for position, (task, variant, index) in enumerate(places(study)):
        make = diverged if position % 12 == 7 else trial
        made.append(make(study, task, variant, index))
    return study, made


def places(study: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(t, v, i) for t in study["tasks"] for v in study["variants"] for i in range(study["trials"])]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
maybe = st.none() | numbers
names = st.text("abcdefgh_<>&\"'$é中 ", min_size=1, max_size=8)


@st.composite
def studies(draw: st.DrawFn) -> Made:
    """Any small study: holes, diverged and failed trials, one or two tasks, any names, curves of any length."""
    tasks = draw(st.lists(names, min_size=1, max_size=2, unique=True))
    variants = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    kinds = [MUSIC, SPEECH | {"direction": draw(st.sampled_from(["minimize", "maximize"]))}]
    made = study(
        dict(zip(tasks, kinds, strict=False)), tuple(variants), draw(st.integers(1, 3)), draw(st.integers(0, 3))
    )
    made["seed"] = draw(st.integers(0, 2**31))
    kept = []
    for place in places(made):
        status = draw(st.sampled_from(["ok", "diverged", "failed", "missing"]))
        if status == "missing":
            continue
        one = {"ok": trial, "diverged": diverged, "failed": failed}[status](made, *place)
        scores = {name: draw(maybe) for name in ("best_test", "final_valid", "seconds", "best_test_per_sequence")}
        scores["best_valid"] = draw(numbers if status == "ok" else maybe)
        curve = st.lists(maybe, max_size=4)
        curves = {name: draw(curve) for name in ("train_loss", "valid", "test", "epoch_seconds")}
        ran = min(
            one["epochs"], max([1, *map(len, curves.values())]) - 1
        )  # a file holds all epochs that its trials ran
        reason = draw(st.text(max_size=5))
        view = st.fixed_dictionaries({"best_test": maybe, "test": curve})
        views = draw(st.dictionaries(st.sampled_from(["part", "<b>"]), view)) if status != "failed" else {}
        kept.append(
            one | scores | {"curves": curves, "reason": reason, "epochs": ran} | ({"views": views} if views else {})
        )
    return made, kept


@st.composite
def analysable(draw: st.DrawFn) -> Made:
    """A study as analyses meet them: one to three tasks of both directions, one to four cells, 1 to 25 trials.

    Any mixture of finished, diverged and failed trials and holes; scores with ties, all alike, or worse than chance;
    draws independent or common; a chance level, times and test scores that may be unknown.
    """
    random = numpy.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = [MUSIC, SPEECH | {"direction": "maximize", "chance": 20.0}, PEN | {"chance": None}]
    tasks = draw(st.lists(st.sampled_from(range(3)), min_size=1, max_size=3, unique=True))
    made = study(
        {f"task{kind}": kinds[kind] for kind in tasks},
        ("vanilla", "<script>", "gated", "plain")[: draw(st.integers(1, 4))],
        draw(st.integers(1, 25)),
        1,
    )
    made["draws"] = draw(st.sampled_from(["independent", "common"]))
    weights = draw(
        st.sampled_from([(1, 0, 0, 0), (8, 1, 1, 1), (1, 1, 1, 1), (0, 1, 0, 0), (0, 0, 0, 1), (0, 0, 1, 1)])
    )
    ties = draw(st.sampled_from(["none", "some", "all"]))
    timed = draw(st.booleans())
    kept = []
    for task, variant, index in places(made):
        status = random.choice(["ok", "diverged", "failed", "missing"], p=numpy.array(weights) / sum(weights))
        if status == "missing":
            continue
        valid = float(random.normal(50, 20))
        valid = {"none": valid, "some": round(valid, -1), "all": 50.0}[ties]
        test: float | None = 50.0 if ties == "all" else valid + float(random.normal(0, 2))
        if status == "failed" or (status == "diverged" and random.random() < 0.5):
            valid, test = None, None  # type: ignore[assignment]  # a trial that has no score
        elif random.random() < 0.05:
            test = None
        one = {"ok": trial, "diverged": diverged, "failed": failed}[str(status)](made, task, variant, index)
        seconds = float(random.lognormal(3)) if timed else None
        kept.append(one | {"best_valid": valid, "best_test": test, "seconds": seconds})
    return made, kept


def searched(
    levels: dict[str, float],
    trials: int = 200,
    *,
    seed: int = 0,
    direction: str = "minimize",
    shared: float = 0.0,
    spread: float = 1.0,
    name: str = "talk",
    **task: Any,
) -> Made:
    """A study of one task whose cells differ by nothing but a level added to scores of one distribution.

    Args:
        levels: what each cell's scores have added.
        trials: of each cell.
        seed: of the scores.
        direction: with ``maximize``, all scores are their negatives.
        shared: correlation of the same trial of two cells, as common draws bring it.
        spread: standard deviation of the scores, around 50.
        name: of the task.
        task: further facts of the task.
    """
    random = numpy.random.default_rng(seed)
    sign = -1.0 if direction == "maximize" else 1.0
    facts = SPEECH | {"direction": direction, "chance": sign * 80.0} | task
    made = study({name: facts}, tuple(levels), trials, 1)
    made["draws"] = "common" if shared else "independent"
    common = random.normal(size=trials)
    kept = []
    for variant, level in levels.items():
        scores = math.sqrt(shared) * common + math.sqrt(1 - shared) * random.normal(size=trials)
        valid = 50 + level + spread * scores
        test = valid + 0.05 * spread * random.normal(size=trials)
        for index in range(trials):
            one = trial(made, name, variant, index)
            kept.append(one | {"best_valid": sign * float(valid[index]), "best_test": sign * float(test[index])})
    return made, kept
