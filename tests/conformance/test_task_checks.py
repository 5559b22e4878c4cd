"""The kit for tasks holds of every task there is, and every promise of it is broken by a wrong task."""

import inspect

import numpy as np
import pytest
import torch

import lstm_odyssey as lo
from lstm_odyssey.conformance import tasks as task_checks
from lstm_odyssey.conformance.kit import parametrize_with_checks
from lstm_odyssey.conformance.tasks import TASK_CHECKS
from lstm_odyssey.plugins import registry
from lstm_odyssey.study.plan import default_tasks
from lstm_odyssey.tasks import objectives
from lstm_odyssey.tasks.declare import PAPER_SPACE, Choice, LogUniform, Uniform
from lstm_odyssey.tasks.distributions import EvenInteger
from tests.corpora import CORPORA, made_task, real_file
from tests.made_plugins import RISING, write


def sound(objective, **fields):
    """A made task that keeps every promise."""
    corpus = CORPORA[objective]()
    chance = objectives.get(objective).chance(corpus.train, corpus.test, corpus.labels)
    return made_task(objective, **{"chance": round(chance, 4), "embedded": True, **fields})


def of(corpus, objective="next_frame", **fields):
    """A task with this very corpus."""
    return sound(objective, load=lambda path=None: corpus, **fields)


OTHERS = [name for name in lo.task_names() if lo.task(name).embedded and name not in default_tasks()]


@parametrize_with_checks(tasks=[*default_tasks(), *(sound(objective) for objective in CORPORA)])
def test_a_task_keeps_its_promises(task, check):
    """Every task that a study has by default, and a made one of every objective."""
    check(task)


@pytest.mark.long
@parametrize_with_checks(tasks=OTHERS)
def test_an_embedded_task_of_another_collection_keeps_its_promises(task, check):
    """What the package carries beside the default tasks."""
    check(task)


def test_the_real_chorales_keep_their_promises():
    """The corpus of the paper, from a path."""
    lo.check_task("jsb_chorales", real_file("JSB Chorales.pickle"))


def changed(objective="next_frame", **splits):
    """The made corpus of an objective with other splits."""
    corpus = CORPORA[objective]()
    return lo.Corpus(**{**corpus.splits, "labels": corpus.labels, "provenance": corpus.provenance, **splits})


def written(change):
    """A corpus whose arrays were written to after it had been made and checked."""
    corpus = CORPORA["next_frame"]()
    change(corpus)
    return corpus


def poisoned(corpus):
    corpus.valid[1][0][0, 0] = np.nan


def emptied(corpus):
    object.__setattr__(corpus, "test", ())


def widened(corpus):
    object.__setattr__(corpus, "test", tuple((np.pad(x, ((0, 0), (0, 1))), t) for x, t in corpus.test))


def doubled(corpus):
    object.__setattr__(corpus, "train", tuple((x.astype(np.float64), t) for x, t in corpus.train))


def unshifted():
    corpus = CORPORA["next_frame"]()
    return changed(train=[(x, x.copy()) for x, _ in corpus.train])


def loud():
    corpus = CORPORA["next_frame"]()
    return changed(valid=[(3 * x, 3 * t) for x, t in corpus.valid])


def misaligned():
    corpus = CORPORA["frames"]()
    return changed("frames", test=[(x, t[:-1]) for x, t in corpus.test])


def hurried():
    corpus = CORPORA["ctc"]()
    return changed("ctc", train=[(x, np.zeros(len(x), np.int64)) for x, _ in corpus.train])


def shared():
    corpus = CORPORA["frames"]()
    return changed("frames", test=[*corpus.test, corpus.train[2]])


def silent():
    corpus = CORPORA["next_frame"]()
    return changed(train=[(np.zeros_like(x), t) for x, t in corpus.train])


def constant():
    corpus = CORPORA["frames"]()
    return changed("frames", train=[(x, np.zeros_like(t)) for x, t in corpus.train])


def fitted_on_test(objective="next_frame"):
    corpus = CORPORA[objective]()
    return float(objectives.get(objective).chance(corpus.test, corpus.test, corpus.labels))


def unseeded(path=None):
    seed = int(np.random.randint(1000))  # noqa: NPY002 - the mistake in question
    return CORPORA["next_frame"](seed=seed)


def counted():
    calls = []

    def load(path=None):
        calls.append(path)
        return CORPORA["next_frame"](seed=len(calls))

    return load


class Foreign:
    """What quacks like a corpus."""

    provenance = "nowhere"


WRONG = {
    "no provenance": ("declaration", lambda: of(changed(provenance=" ")), "no url, and no provenance of the corpus"),
    "no address": ("declaration", lambda: sound("frames", url="a book"), "url is 'a book'; expected an address"),
    "no Corpus": ("declaration", lambda: of(Foreign()), "load returned Foreign; expected an lo.Corpus"),
    "a lesser space": (
        "space",
        lambda: sound("frames", space={"momentum": Uniform(0, 0.9)}),
        "its space lacks hidden_size, learning_rate, input_noise; expected a distribution for each of",
    ),
    "a stranger": ("space", lambda: spaced(weight_decay=Uniform(0, 1)), "has weight_decay, which no training reads"),
    "a flag of 2": ("space", lambda: spaced(nesterov=Choice((True, False, 2))), "drew 2; expected true or false"),
    "half a block": ("space", lambda: spaced(hidden_size=Uniform(1, 20)), "hidden_size .* drew .*; expected a whole number"),
    "no block": ("space", lambda: spaced(hidden_size=Choice((0, 2))), "drew 0; expected a whole number from 1 to 100,000"),
    "a rate of 0": ("space", lambda: spaced(learning_rate=Choice((0.0, 0.1))), "drew 0.0; expected a finite number above 0"),
    "all momentum": ("space", lambda: spaced(momentum=Uniform(0.5, 2)), "expected a number from 0 to below 1"),
    "negative noise": ("space", lambda: spaced(input_noise=Uniform(-1, 1)), "expected a finite number of at least 0"),
    "NaN": ("corpus", lambda: of(written(poisoned)), r"valid\[1\]: features has NaN"),
    "an empty split": ("corpus", lambda: of(written(emptied)), "split test is empty"),
    "two widths": ("corpus", lambda: of(written(widened)), r"test\[0\]: features has width 6, earlier sequences have 5"),
    "float64": ("corpus", lambda: of(written(doubled)), r"train\[0\]: features is float64"),
    "the frame itself": ("targets", lambda: of(unshifted()), r"train\[0\]: the target of a frame is not the next frame's"),
    "no probability": ("targets", lambda: of(loud()), r"target of valid\[0\] has values from 0.0 to 3.0"),
    "labels for frames": ("targets", lambda: of(CORPORA["frames"]()), "the corpus has labels; expected targets that are"),
    "a label short": ("targets", lambda: of(misaligned(), "frames"), r"test\[0\] has .* labels for .* frames"),
    "too long a text": ("targets", lambda: of(hurried(), "ctc"), r"train\[0\]: its .* labels need .* frames, it has"),
    "silence": ("says_something", lambda: of(silent()), "all features of train are the same"),
    "one class": ("says_something", lambda: of(constant(), "frames"), "all targets of train are the same"),
    "trained on test": ("disjoint", lambda: of(shared(), "frames"), r"test\[4\] has the features of train\[2\]"),
    "chance of test": ("chance", lambda: sound("next_frame", chance=fitted_on_test()), "was computed from its corpus. Set"),
    "rounded": ("chance", lambda: sound("next_frame", chance=round(sound("next_frame").chance, 1)), "Set chance="),
    "no chance": ("chance", lambda: sound("frames", chance=None), "chance is none; .* Set chance="),
    "unseeded": ("determinism", lambda: sound("next_frame", load=unseeded), "two loads give two corpora"),
    "counting": ("determinism", lambda: sound("next_frame", load=counted()), "two loads give two corpora"),
}  # fmt: skip


def spaced(**distributions):
    """A task with other distributions."""
    return sound("frames", space={**PAPER_SPACE, **distributions})


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_task_is_caught(mistake):
    """Each mistake breaks the promise that is about it, and the message says what it is."""
    promise, make, message = WRONG[mistake]
    with pytest.raises(AssertionError, match=message):
        getattr(task_checks, f"check_{promise}")(make())


def test_every_promise_but_padding_has_a_wrong_task():
    """A check without a mutant would be one that nobody has seen fail; padding has a wrong objective, below."""
    assert {f"check_{promise}" for promise, _, _ in WRONG.values()} == {
        check.__name__ for check in TASK_CHECKS
    } - {"check_padding"}  # fmt: skip


@pytest.mark.parametrize("wrong", ["loss", "gradient", "score"])
@pytest.mark.parametrize("objective", list(CORPORA))
def test_an_objective_that_reads_padding_is_caught(monkeypatch, objective, wrong):
    """A loss, a gradient or a score that depends on what stands behind a sequence's end."""
    kind = type(objectives.get(objective))

    class Leaky(kind):
        def loss_and_gradient(self, logits, target, lengths):
            loss, gradient = super().loss_and_gradient(logits, target, lengths)
            if wrong == "loss":
                loss = loss + 1e-6 * len(logits)
            return loss, torch.where(logits.isnan(), 1e-9, gradient) if wrong == "gradient" else gradient

        def score(self, logits, target, lengths):
            numerator, denominator = super().score(logits, target, lengths)
            return (
                (numerator, torch.full_like(denominator, len(logits))) if wrong == "score" else (numerator, denominator)
            )

    monkeypatch.setattr(objectives, "get", lambda name: Leaky())
    with pytest.raises(AssertionError, match=f"the {wrong}.* of a sequence of .* is another one in a batch padded to"):
        task_checks.check_padding(sound(objective))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("", None),
        ("(0, 1, 2)", "another process gets another corpus"),
        ("raise", "cannot be loaded in a process of its own:(.|\n)*only here"),
    ],
)
def test_a_corpus_that_depends_on_the_process_is_caught(tmp_path, change, message):
    """The order of a set of texts differs from process to process; a loader that needs this process fails in another."""
    text = RISING
    if change == "raise":
        text = text.replace("    def pair", f"    import os\n    if os.getpid() != {__import__('os').getpid()}:\n"
                            "        raise OSError('only here')\n\n    def pair")  # fmt: skip
    elif change:
        order = "[int(name) for name in {str(number) for number in range(40)}]"
        text = text.replace("for s in (0, 1, 2)", f"for s in {order}")
    lo.load_plugin(write(tmp_path, "mine.py", text))
    try:
        if message is None:
            task_checks.check_determinism("rising")
        else:
            with pytest.raises(AssertionError, match=message):
                task_checks.check_determinism("rising")
    finally:
        registry.forget_plugins()


def test_a_decorator_with_nothing_or_both_is_refused():
    """An empty parametrisation would pass, and one of cells and tasks would mean two things."""
    with pytest.raises(ValueError, match="got no cell"):
        parametrize_with_checks(tasks=[])
    with pytest.raises(ValueError, match="got cells and tasks"):
        parametrize_with_checks(["cifg"], tasks=["bach"])


def test_the_decorator_gives_every_promise_of_every_task():
    """One parameter set for each task and promise, named after both."""
    mark = parametrize_with_checks(tasks=["bach", sound("frames")])
    names = [each.id for each in mark.args[1]]
    assert len(names) == 2 * len(TASK_CHECKS) and "bach-chance" in names and "tests.corpora-disjoint" in names


def test_every_promise_says_what_it_is():
    """The first line of a check's docstring is the promise in words."""
    assert all((inspect.getdoc(check) or "").splitlines()[0].endswith(".") for check in TASK_CHECKS)


def test_a_legal_space_of_another_shape_is_sound():
    """What a space may be beside the paper's: narrower, chosen from a list."""
    task_checks.check_space(
        spaced(hidden_size=EvenInteger(LogUniform(4, 16)), momentum=Choice((0.0, 0.9)), input_noise=Choice((0, 0.5)))
    )


@pytest.mark.parametrize("subject", [None, 3, lo.variant("vanilla")])
def test_what_is_no_task_is_said(subject):
    """A cell, a number, nothing: what it got and what a task may be."""
    with pytest.raises(TypeError, match=r"task: got \w+; expected a name, an lo\.Task declaration"):
        lo.check_task(subject)


def test_one_name_is_a_list_of_one():
    """A name in place of a list of names is not taken for its letters."""
    names, given = parametrize_with_checks("vanilla").args
    assert names == ("cell", "check") and {each.values[0] for each in given} == {"vanilla"}
    _, given = parametrize_with_checks(tasks="bach").args
    assert {each.values[0] for each in given} == {"bach"}
