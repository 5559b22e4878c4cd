"""What a running study shows: the best validation score and whose it is, a count of what is done, a bar that never falls."""

import io
import json
import re

import pytest
from rich.console import Console

from lstm_odyssey.study.plan import make_plan
from lstm_odyssey.study.progress import StudyProgress
from lstm_odyssey.study.run import pending, run
from lstm_odyssey.study.stored.store import Store
from tests.small import settings


def shown(progress, width=80):
    """The bar and its words as a terminal of that width has them."""
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(progress.bar.get_renderable())
    return file.getvalue()


@pytest.fixture
def stored(tmp_path):
    """A store with two finished trials of either cell, and what to do of four each."""
    run(tmp_path / "store", settings(tmp_path, trials=2))
    store = Store(tmp_path / "store")
    plan = make_plan(store, settings(tmp_path, trials=4))
    store.write_study(plan.study)
    return store, plan, pending(store, plan)


@pytest.fixture
def progress():
    """A progress on a terminal, which is not drawn."""
    made = StudyProgress(Console(file=io.StringIO(), force_terminal=True, width=80))
    made.bar.start = lambda: None
    made.stop.set()  # nothing is looked at beside the test
    return made


def test_the_best_is_called_what_it_is_and_stored_trials_count(stored, progress):
    """After a resume the best of what is stored is there at once, as a validation score, with the cell that has it."""
    store, _, _ = stored
    progress.start(*stored)
    trials = list(store.trials())
    best = min(trials, key=lambda trial: trial["best_valid"])
    assert progress._words() == f"best validation on bach {best['best_valid']:.2f} nats/frame ({best['variant']})"
    assert progress._words() in shown(progress) and "4/8" in shown(progress)
    progress._better("bach", "worse", 1e9)
    assert "worse" not in progress._words()
    progress._better("bach", "better", 0.5)
    assert progress._words() == "best validation on bach 0.5 nats/frame (better)"


def test_the_bar_stays_where_it_was_when_a_study_is_stopped(stored, progress):
    """Ctrl-C leaves parts of trials on the bar, as checkpoints keep them; the count is of finished trials all along."""
    progress.start(*stored)
    progress._show(6.5)
    assert progress.bar.tasks[0].completed == 6.5 and "4/8" in shown(progress)
    progress.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert progress.bar.tasks[0].completed == 6.5 and "4/8" in shown(progress)


def test_an_older_word_does_not_draw_the_bar_back(stored, progress):
    """A word of a block that is read late, or one that starts anew, shows no less than was shown."""
    progress.start(*stored)
    progress._show(7.0)
    progress._show(4.5)
    assert progress.bar.tasks[0].completed == 7.0
    progress.done = 8
    progress.__exit__(None, None, None)
    assert progress.bar.tasks[0].completed == 8.0 and "8/8" in shown(progress)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_figure_of_the_bar_is_cut(stored, progress, width):
    """In a narrow terminal the words are broken into lines between words."""
    progress.start(*stored)
    progress._better("bach", "a_cell_of_quite_a_long_name", 0.25)
    progress._show(4)
    text = shown(progress, width)
    assert "best validation on bach 0.25 nats/frame (a_cell_of_quite_a_long_name)" in " ".join(text.split())
    assert width < 60 or ("4/8" in text and "…" not in text)


def test_a_log_has_one_line_a_block(tmp_path):
    """Without a terminal a line says what was done and the best so far, unbroken however narrow the log is."""
    file = io.StringIO()
    progress = StudyProgress(Console(file=file, width=30))
    with progress:
        run(tmp_path / "store", settings(tmp_path, trials=2), on_start=progress.start, on_block=progress.block_done)
    lines = [line for line in file.getvalue().splitlines() if " done: " in line]
    pattern = (
        r"  \d done: (nog|vanilla) on bach, 2 trials; best validation on bach \d+\.\d\d nats/frame \((nog|vanilla)\)"
    )
    assert len(lines) == 2 and all(re.fullmatch(pattern, line) for line in lines), lines
    best = min(json.loads(path.read_text())["best_valid"] for path in (tmp_path / "store" / "trials").iterdir())
    assert f" {best:.2f} nats" in lines[-1]
