"""Somebody's own cell beside a record: what the page says of its draws, its constants, its origin and what it ran with."""

from __future__ import annotations

import html
import json
import re

import numpy
import pytest
import xarray

from lstm_odyssey.reports import page, paper
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.reports.contract.combine import combine
from lstm_odyssey.reports.contract.validation import SchemaError
from lstm_odyssey.reports.page import provenance, words
from lstm_odyssey.reports.page.uneven import uneven_text
from lstm_odyssey.reports.stats.table import summary
from tests import made_studies as made

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")

MINE = {"file": "my cells.py", "sha256": "ab" * 32}
THEIRS = {"distribution": "odyssey-dusk", "version": "0.3.0"}


def content(*variants: str, trials: int, source: str = "aaaa", task: str = "songs", **facts: object) -> xarray.Dataset:
    """A study of common draws: trial k of all studies has the same hyperparameters; ``facts`` are the first cell's."""
    study = made.study({task: made.MUSIC}, variants, trials) | {"draws": "common"}
    study["variants"][variants[0]] |= facts
    kept = []
    for name in variants:
        for index in range(trials):
            drawn = made.trial(study, task, variants[0], index)["hyperparameters"]
            random = numpy.random.default_rng(index)
            drawn = {key: random.integers(10, 24) * 2 if key == "hidden_size" else random.uniform() for key in drawn}
            score = 7 + float(random.uniform()) + 0.3 * variants.index(name) + (0.1 if name == "mine" else 0)
            one = made.trial(study, task, name, index, best_valid=score, best_test=score + 0.05)
            one["hyperparameters"] = {
                key: int(value) if key == "hidden_size" else float(value) for key, value in drawn.items()
            }
            kept.append(one | {"environment": {"cpu": "a fast one", "lstm-odyssey": "0.1.0", "source": source}})
    return schema.build(*json.loads(json.dumps((study, kept))))


@pytest.fixture(scope="module")
def record() -> xarray.Dataset:
    return content("vanilla", "gated", trials=100)


@pytest.fixture(scope="module")
def beside(record: xarray.Dataset) -> xarray.Dataset:
    """Four trials of a cell of one's own, at the first draws of the record."""
    mine = content(
        "mine",
        trials=4,
        source="bbbb",
        origin=MINE,
        constants={"lambda_": [0.3, 0.01, 1.0]},
        start={"b.f": ["number", 1.0]},
    )
    return combine({"mine": mine, "record": record})


def test_few_trials_are_set_beside_the_same_draws(beside: xarray.Dataset, record: xarray.Dataset) -> None:
    """The mean of the best two of four stands beside that of the others at those four draws, not beside their best tenth."""
    text = uneven_text(beside, summary(beside), "songs")
    assert text.startswith(
        "mine has 4 finished trials: its best two are 50 % of them, so their mean is not to be set beside the best 10 % of a "
        "cell with more."
    )
    shown = {}
    for name in ("mine", "vanilla", "gated"):
        valid = beside["best_valid"].sel(task="songs", variant=name).values[:4]
        best = numpy.argsort(valid)[:2]
        shown[name] = f"{beside['best_test'].sel(task='songs', variant=name).values[best].mean():.2f}"
    assert f"the best two score {shown['mine']} in mine, {shown['vanilla']} in vanilla and " in text
    assert f"{shown['vanilla']} to {shown['gated']} in the two that had them too." in text
    assert not uneven_text(record, summary(record), "songs") and text in words.task_text(
        beside, summary(beside), "songs"
    )


@pytest.mark.parametrize(
    ("few", "many", "warned"),
    [(90, 100, ""), (20, 100, ""), (14, 100, ""), (13, 100, "15 % of them.* best 10 %"), (4, 8, "50 % of them.* best 25 %"),
     (3, 3, ""), (2, 3, "")],
)  # fmt: skip
def test_the_warning_follows_the_share_of_the_trials_that_is_best(
    record: xarray.Dataset, few: int, many: int, warned: str
) -> None:
    """The best nine of ninety stand beside the best ten of a hundred, though no verdict can be given; those of four beside
    those of eight do not, though neither is a tenth.
    """
    both = combine({"mine": content("mine", trials=few), "record": record.isel(trial=slice(many))})
    text = uneven_text(both, summary(both), "songs")
    assert bool(text) == bool(warned) and re.search(warned, text)


def test_other_draws_are_set_beside_nobody(record: xarray.Dataset) -> None:
    """Four trials of a cell that has draws of its own."""
    mine = content("mine", trials=4)
    moved = mine.assign(learning_rate=mine["learning_rate"] * 1.5)
    both = combine({"mine": moved, "record": record})
    assert uneven_text(both, summary(both), "songs").endswith("No other cell has its draws.")


def test_files_of_other_sources_are_told_apart(beside: xarray.Dataset, record: xarray.Dataset) -> None:
    """The summary says which file ran with which source; the environment gives both, not that of the first file alone."""
    said = words.summary_text(beside, summary(beside))[0]
    assert (
        "They did not run with one version and source of lstm-odyssey: mine 0.1.0 (bbbb); record 0.1.0 (aaaa)." in said
    )
    shown = html.unescape(page.render(beside))
    assert "aaaa (200 trials), bbbb (4 trials)" in shown
    again = combine({"record": record, "more": content("other", trials=4)})
    assert "did not run with one version" not in words.summary_text(again, summary(again))[0]


def test_a_trial_without_an_environment_ran_with_none_of_the_others(beside: xarray.Dataset) -> None:
    """It is counted as not known, on the page too, where the index -1 would be the last of them."""
    known = provenance.environments(beside)
    places = beside["environment"].copy(deep=True)
    places.loc[{"task": "songs", "variant": "gated", "trial": range(7)}] = -1
    some = beside.assign(environment=places)
    assert provenance.environments(some) != known
    told = provenance.environments(some)
    assert (
        told["environment not stored"] == "7 trials"
        and sum(map(int, re.findall(r"\((\d+) trial", told["source"]))) == 197
    )
    assert '<th scope="row">environment not stored</th><td>7 trials</td>' in page.render(some)
    none = beside.assign(environment=places.where(beside["status"] == "missing", -1))
    assert provenance.environments(none) == {"environment not stored": "204 trials"}
    for place in (-2, 2):
        with pytest.raises(
            SchemaError, match=f"'environment': found {place}, expected the place of one of 2 environments"
        ):
            schema.validate(beside.assign(environment=places.where(places >= 0, place)))


def test_constants_and_start_values_stand_with_the_equations(beside: xarray.Dataset) -> None:
    """A constant's value and range, which the equations do not give, and how parameters begin."""
    assert "k.lambda_ = 0.3 (0.01 to 1); at the start b.f = 1" in html.unescape(page.render(beside))


def test_the_commands_bring_the_cells_that_are_not_ours(beside: xarray.Dataset) -> None:
    """A file as --plugin where its cell is run, a package by pip before all."""
    runs = [line for line in words.commands(beside) if line.startswith("odyssey run")]
    assert "--plugin 'my cells.py'" in runs[0] and "--plugin" not in runs[1]
    (first, *others) = words.commands(content("dusk", trials=2, origin=THEIRS))
    assert first == "pip install odyssey-dusk==0.3.0" and not any("--plugin" in line for line in others)


def test_the_commands_name_a_corpus_that_the_package_does_not_carry(record: xarray.Dataset) -> None:
    """Each file's command with the task's PATH, where one of the files says so; of a file that does not say, a sentence."""

    def told(embedded: bool) -> xarray.Dataset:
        mine, tasks = content("mine", trials=4), {"songs": {"embedded": embedded}}
        facts = json.loads(mine.attrs["tasks"])
        return mine.assign_attrs(tasks=json.dumps({name: facts[name] | more for name, more in tasks.items()}))

    for files in ({"mine": told(False), "record": record}, {"record": record, "mine": told(False)}):
        both = combine(files)
        runs = [line for line in words.commands(both) if line.startswith("odyssey run")]
        assert len(runs) == 2 and all(" --data songs=PATH --store STORE-" in line for line in runs)
        assert "PATH is the file or folder of a corpus that the package does not carry: songs." in page.render(both)
    assert not any("--data" in line for line in words.commands(told(True))) and not words.corpora_text(told(True))
    assert not any("--data" in line for line in words.commands(record))
    assert words.corpora_text(record).startswith(
        "The file does not say whether the package carries the corpus of songs:"
    )


def test_a_refusal_names_both_studies(record: xarray.Dataset) -> None:
    """Whose protocol is whose."""
    short = content("mine", trials=4)
    short.attrs["protocol"] = json.dumps(json.loads(short.attrs["protocol"]) | {"epochs": 2})
    with pytest.raises(
        SchemaError, match=r"study 'record', protocol: found .*8.*, expected .*2.*, as study 'mine' has"
    ):
        combine({"mine": short, "record": record})


def test_the_papers_best_score_is_of_the_papers_cells() -> None:
    """A cell of one's own is no part of its search: neither its score nor its number of trials is set beside the paper's."""
    facts = {"task": "jsb_chorales"}
    both = combine(
        {"mine": content("mine", trials=4, **facts), "record": content("vanilla", "niaf", trials=100, **facts)}
    )
    both["best_test"].loc[{"variant": "mine"}] = 1.0
    (row,) = [row for row in paper.rows(both) if row.claim == "best score"]
    assert "vanilla" in row.ours and "100 trials of a cell where the paper ran 200" in row.note
