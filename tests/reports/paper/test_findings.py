"""What the numbers say in words, and the table 'the paper says, we find'."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy
import pytest
import xarray
from hypothesis import given, settings

from lstm_odyssey.reports import paper
from lstm_odyssey.reports.contract import netcdf, schema
from lstm_odyssey.reports.contract.wording import form_of
from lstm_odyssey.reports.fanova.api import fanova
from lstm_odyssey.reports.page import tables, words
from lstm_odyssey.reports.paper import best_score, claims
from lstm_odyssey.reports.paper.claims import AGREES, CELLS, DIFFERS, JUDGEMENTS, PAPER, PARTLY, UNDECIDED
from lstm_odyssey.reports.stats.compare import compare
from lstm_odyssey.reports.stats.contents import BETTER, CHOSEN, OPEN, SAME, WORSE
from lstm_odyssey.reports.stats.table import summary as table_of
from tests import made_studies as made
from tests.conftest import ROOT
from tests.reports.stats import test_reruns

pytestmark = pytest.mark.usefixtures("short_analyses")

RECORD = ROOT / "reports" / "records" / "jsb-chorales-paper.nc"
QUICK: dict[str, Any] = {"replicates": 999}


def searched(levels: dict[str, float], trials: int = 200, **options: Any) -> xarray.Dataset:
    return schema.build(*made.searched(levels, trials, **options))


def said(levels: dict[str, float], trials: int = 200, baseline: str | None = "vanilla") -> list[str]:
    return words.comparison_text(compare(searched(levels, trials), baseline, **QUICK))


def test_who_beats_the_baseline_and_who_is_worse() -> None:
    """The better and the worse are named with their numbers, the rest is counted; the caution follows."""
    first, caution = said({"vanilla": 0, "one": 0, "two": 0, "good": -1, "bad": 1})
    number = r"[+−][\d.]+"
    assert re.match(
        rf"On talk good \({number} %, corrected {number} to {number}\) beats vanilla; "
        rf"bad \({number} %, corrected {number} to {number}\) is worse; "
        r"the other two are open: from vanilla they differ by less than [\d.]+ to [\d.]+ %\.",
        first,
    )
    assert "No trial diverged." in first
    assert "leaves out 0, at 5 % after Bonferroni over the cells that are judged on a task" in caution
    assert "about 2.5 times that of common draws" in caution and "in 23 % of such studies" in caution
    assert "below 200 draws expect no verdict" in caution and "Holm" not in caution


def test_common_draws_are_told_apart() -> None:
    """Where the draws are common nothing is said of a larger error, and Welch's test has the rate of such studies."""
    caution = words.comparison_text(compare(searched({"vanilla": 0, "a": 0}, shared=0.9), **QUICK))[-1]
    assert "All cells had the same draws" in caution and "2.5 times" not in caution
    assert "in 0.3 to 8.5 % of such studies" in caution


@pytest.mark.parametrize(
    ("levels", "start"),
    [
        (
            {"a": 0, "b": 0, "c": 0, "d": 0},
            r"On talk all four are open: from vanilla they differ by less than [\d. to]+ %\.",
        ),
        ({"a": 0, "b": 0}, r"On talk a and b are open: from vanilla they differ by less than "),
        ({"a": 0}, r"On talk a is open: from vanilla it differs by less than [\d.]+ %\."),
        ({"a": 3}, r"On talk a \(.*?\) is worse than vanilla\."),
        ({"a": -3}, r"On talk a \(.*?\) beats vanilla\."),
        ({"a": 3, "b": 3, "c": 0}, r"On talk a \(.*?\) and b \(.*?\) are worse than vanilla; c is open: "),
        ({"a": -3, "b": -3}, r"On talk a \(.*?\) and b \(.*?\) beat vanilla\."),
        ({"a": -3, "b": 3}, r"On talk a \(.*?\) beats vanilla; b \(.*?\) is worse\."),
    ],
)
def test_the_sentence_fits_the_number_of_cells(levels: dict[str, float], start: str) -> None:
    """One cell, two and many, alike, better and worse, each make a grammatical sentence."""
    assert re.match(start, said({"vanilla": 0} | levels)[0])


def test_too_few_trials_are_said() -> None:
    """Below ten selected trials nothing is concluded, and the caution about tests is left out."""
    (only,) = said({"vanilla": 0, "bad": 3}, 60)
    assert only.startswith(
        "On talk there are too few trials for inference: the best 10 % of a cell are six trials and should be 10. "
    )
    assert "is worse" not in only and "beats" not in only


def test_a_cell_with_too_few_trials_is_named() -> None:
    """Where one cell of two has too few trials, the other is judged."""
    facts, trials = made.searched({"vanilla": 0, "bad": 3, "late": 3}, 100)
    kept = [one for one in trials if one["variant"] != "late" or one["trial"] < 12]
    text = words.comparison_text(compare(schema.build(facts, kept), **QUICK))[0]
    assert re.match(r"On talk bad \(.*?\) is worse than vanilla\. There are too few trials of late for inference", text)


def test_nothing_to_compare_with() -> None:
    """Without a baseline, or with one cell, there is no sentence; without any score it says so."""
    assert said({"vanilla": 0, "a": 0}, 30, baseline=None) == []
    assert said({"vanilla": 0}, 30) == []
    facts, _ = made.searched({"vanilla": 0, "a": 0}, 3)
    assert words.comparison_text(compare(schema.build(facts, []), **QUICK)) == [
        "On talk no cell can be compared with vanilla: no scores."
    ]


def test_welchs_other_verdict_is_told() -> None:
    """A cell that only Welch's test calls worse is told as such."""
    facts = compare(searched({"vanilla": 0, "a": 0}), **QUICK)
    facts["verdict_welch"].values[0, 1] = "worse"
    text = words.comparison_text(facts)[0]
    assert re.search(r"Welch's t-test, uncorrected as in the paper, also calls a \(p = [\d.]+\) worse\.", text)


def test_divergence_is_told() -> None:
    """The cell that diverges most often is named with its share and interval."""
    facts, trials = made.searched({"vanilla": 0, "wild": 0}, 100)
    for index in range(30):
        trials[100 + index] = made.diverged(facts, "talk", "wild", index)
    text = words.comparison_text(compare(schema.build(facts, trials), **QUICK))[0]
    assert "30 trials diverged, the largest share with wild: 30 % (21 to 40)." in text


@settings(max_examples=15, deadline=None)
@given(made.analysable())
def test_any_comparison_has_words(odd: made.Made) -> None:
    """Every odd study has its sentences: no NaN, no empty name, each ends with a full stop."""
    study = schema.build(*odd)
    for text in words.comparison_text(compare(study, "vanilla", replicates=49)):
        assert text.endswith(".") and not re.search(r"\bnan\b|  | ,|\(\)", text), text


@pytest.fixture(scope="module")
def shares() -> xarray.Dataset:
    return fanova(
        searched({"vanilla": 0, "gated": 0}, 60), decomposition="per_tree", clip=(1.0, 0.75), trees=10, points=5
    )


def test_importance_in_words(shares: xarray.Dataset) -> None:
    """R², every hyperparameter from the largest share to the smallest, and the cells whose R² is too low."""
    shares = shares.copy(deep=True)
    at = {"task": 0, "clip": 0}
    shares["main_share"][at] = [[0.1, 0.7, 0.0, 0.05], [0.12, 0.6, 0.004, 0.06]]
    shares["r_squared"][at], shares["flagged"][at] = [0.8, 0.2], [False, True]
    (text,) = words.importance_text(shares)
    assert text == (
        "On talk a forest predicts 20 to 80 % of the variance of the test score, by cell. Shares of that part: learning rate "
        "60 to 70 %, all interactions together 15 to 22 %, N 10 to 12 %, "
        "input noise 5.0 to 6.0 % and momentum 0.0 to 0.4 %. The shares of gated describe little: R² is below 0.3."
    )
    shares["main_share"][at] = numpy.nan
    shares["note"][at] = "constant response"
    assert words.importance_text(shares) == ["On talk there is nothing to divide: constant response."]


def test_a_small_forest_has_no_headline(shares: xarray.Dataset) -> None:
    """Of a cell with fewer than 50 finished trials nothing is said, and of two such cells there is no sentence."""
    shares = shares.copy(deep=True)
    at = {"task": 0, "clip": 0}
    shares["main_share"][at] = [[0.1, 0.7, 0.0, 0.05], [0.12, 0.6, 0.004, 0.06]]
    shares["r_squared"][at], shares["flagged"][at] = [0.8, 0.7], False
    shares["n"][{"task": 0}] = [50, 49]
    (text,) = words.importance_text(shares)
    assert text.startswith("On talk a forest predicts 80 % of the variance of the test score of vanilla. ")
    assert "learning rate 70 %" in text and "gated" not in text
    shares["n"][{"task": 0}] = [49, 10]
    assert words.importance_text(shares) == []


def test_nothing_predicted_has_no_shares(shares: xarray.Dataset) -> None:
    """Where R² is not above 0 the sentence says that nothing is predicted, with a real minus sign, and tells no shares."""
    shares = shares.copy(deep=True)
    at = {"task": 0, "clip": 0}
    shares["main_share"][at], shares["flagged"][at] = [[0.1, 0.7, 0.0, 0.05]] * 2, [False, True]
    shares["r_squared"][at] = [0.8, -0.29]
    (text,) = words.importance_text(shares)
    assert text.startswith(
        "On talk a forest predicts 80 % of the variance of the test score of vanilla. Shares of that part: "
    )
    assert text.endswith(" Of gated it predicts nothing (R² −0.29).") and "describe little" not in text
    shares["r_squared"][at], shares["flagged"][at] = [-0.4, -0.29], True
    assert words.importance_text(shares) == [
        "On talk a forest predicts nothing of the test score of any cell (R² −0.40 to −0.29): there are no shares to tell."
    ]


def test_a_front_member_that_is_worse_is_told_as_such() -> None:
    """A cell that is faster and worse is beaten by none, and is said to be worse."""
    study = searched({"vanilla": 0, "quick": 3})
    cost = xarray.DataArray([0.5, 0.1], dims="variant")
    booked = (cost * study["epochs"] * study["hidden_size"] / 100).transpose(*study["epochs"].dims)
    study["training_seconds"].values[:] = booked.values
    comparison = compare(study, **QUICK)
    text = words.comparison_text(comparison)[0]
    assert (
        f"at N = {comparison['epoch_cost_at'].item()}, vanilla and quick are beaten by none, though quick is worse than "
        "vanilla." in text
    )


@pytest.mark.parametrize(
    ("level", "cheap", "said"),
    [
        (-0.001, "a", "a alone is beaten by none; no verdict says that its scores are better."),
        (0.001, "vanilla", "vanilla alone is beaten by none; no verdict says that its scores are better."),
        (-3.0, "a", "a alone is beaten by none."),
        (3.0, "vanilla", "vanilla alone is beaten by none."),
    ],
)
def test_no_winner_by_rounding_of_score_and_cost(level: float, cheap: str, said: str) -> None:
    """A cell that is cheaper and a thousandth better is called the best by no sentence, unless a verdict says so."""
    study = searched({"vanilla": 0, "a": level}, spread=0.5)
    for name in ("best_valid", "best_test"):  # the same draws of both, so that the level is all that differs
        study[name].loc[{"variant": "a"}] = study[name].sel(variant="vanilla").values + level
    cost = xarray.DataArray([0.1 if name == cheap else 0.5 for name in ("vanilla", "a")], dims="variant")
    booked = (cost * study["epochs"] * study["hidden_size"] / 100).transpose(*study["epochs"].dims)
    study["training_seconds"].values[:] = booked.values
    comparison = compare(study, **QUICK)
    assert (comparison["verdict"].sel(variant="a") == OPEN).all() == (abs(level) < 1)
    (text,) = (text for text in words.comparison_text(comparison) if "beaten by" in text)
    assert f"By mean score and cost as measured, at N = {comparison['epoch_cost_at'].item()}, {said}" in text
    assert "is the best" not in text


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ((8.0, 8.001), "On songs the best 10 % of each cell's trials score all 8.00 nats/frame on the test set"),
        ((8.0, 8.5, 9.0), "On songs the best 10 % of each cell's trials score 8.00 to 9.00 nats/frame on the test set"),
        ((8.0,), "On songs the best 10 % of the trials score 8.00 nats/frame on the test set"),
    ],
)
def test_no_winner_by_rounding(levels: tuple[float, ...], said: str) -> None:
    """What the best tenths score is told without naming a first, and no row of the table leads without a verdict."""
    study = made.study(variants=tuple("abcd"[: len(levels)]), trials=2)
    level = dict(zip("abcd", levels, strict=False))
    trials = [made.trial(study, *place) for place in made.places(study)]
    for one in trials:
        one |= {"best_valid": level[one["variant"]], "best_test": level[one["variant"]]}
    dataset = schema.build(study, trials)
    rows = table_of(dataset)
    text = words.task_text(dataset, rows, "songs")
    assert said in text and "share" not in text and "follow" not in text
    grid = tables.results(dataset, rows, compare(dataset, None, replicates=9), "songs")
    assert not any(row.leads for row in grid.rows)
    judged = searched({"vanilla": 0, "good": -1, "bad": 1})
    grid = tables.results(judged, table_of(judged), compare(judged, **QUICK), "talk")
    assert {row.variant for row in grid.rows if row.leads} == {"good"}


@pytest.fixture(scope="module")
def record() -> xarray.Dataset:
    return netcdf.load(RECORD)


@pytest.fixture(scope="module")
def judged(record: xarray.Dataset) -> xarray.Dataset:
    return compare(record)


def test_the_papers_study_is_whole(record: xarray.Dataset) -> None:
    """The record holds 200 finished trials of each of the nine cells."""
    assert record["status"].shape == (1, 9, 200)
    assert numpy.isin(record["status"].values, ["ok", "diverged"]).all()


def test_the_record_against_the_paper(record: xarray.Dataset, judged: xarray.Dataset) -> None:
    """One row for the best score, one for 'none is better', one for each of the eight; numbers are the comparison's."""
    found = paper.rows(record, judged)
    assert [row.claim for row in found] == [
        "best score",
        "better than vanilla",
        *(f"{name} against vanilla" for name in CELLS),
    ]
    assert all(row.verdict in JUDGEMENTS and row.task == "jsb_chorales" for row in found)
    assert found[0].paper == "8.38 nats/frame, niaf"
    assert found[0].ours == f"{judged['best_test'].values.min():.2f} nats/frame, vanilla"
    assert "as a mean over sequences" in found[0].note
    by_cell = {row.claim.split()[0]: row for row in found[2:]}
    form = form_of(judged)
    for name, row in by_cell.items():
        one = judged.sel(task="jsb_chorales", variant=name)
        verdict, welch = one["verdict"].item(), one["verdict_welch"].item()
        expected = (
            {SAME: AGREES, WORSE: PARTLY if welch == WORSE else UNDECIDED}[row.paper] if verdict == OPEN else AGREES
        )
        assert row.verdict == expected and row.ours.startswith(verdict), name
        assert (one["welch_p"] < 0.05) == (one["verdict_welch"] != "not different"), "the paper corrects nothing"
        assert form(one["difference"].item()) in row.ours
        assert row.verdict == AGREES or row.note, "each deviation is explained or called open"


def test_cells_without_an_interval_are_given_no_bound() -> None:
    """Where all trials are at the chance level there is no interval, and no sentence ends in a bound that is not there."""
    facts, _ = made.searched({"vanilla": 0, "wild": 0}, 100)
    found = compare(schema.build(facts, [made.diverged(facts, *place) for place in made.places(facts)]), **QUICK)
    assert "On talk wild is open: how far it is from vanilla cannot be told." in words.comparison_text(found)[0]
    grid = tables.differences(found, "talk", ["vanilla", "wild"])
    assert grid is not None and "open" in [cell.text for cell in grid.rows[0].cells]


def test_words_of_the_record(judged: xarray.Dataset) -> None:
    """The summary's sentence for the study of the paper names exactly the cells whose verdict is worse."""
    text = words.comparison_text(judged)[0]
    assert text.startswith("On jsb_chorales noaf (+0.325 nats/frame, corrected ")
    told = re.search(
        r"the other seven are open: from vanilla they differ by less than (0\.\d{3}) to (0\.\d{3}) nats/frame", text
    )
    assert told
    open_ones = judged["differs_by_less_than"].values[judged["verdict"].values == OPEN]
    ends = float(open_ones.min()), float(open_ones.max())
    assert all(0 <= float(shown) - end < 0.001 for shown, end in zip(told.groups(), ends, strict=True)), "rounded up"
    assert any(float(shown) != round(end, 3) for shown, end in zip(told.groups(), ends, strict=True)), (
        "not to the nearest"
    )
    worse = judged["variant"].values[judged["verdict"].values[0] == "worse"].tolist()
    clause = text.partition(" worse")[0]
    assert worse and {name for name in CELLS if f"{name} (" in clause} == set(worse)


def table(levels: dict[str, float], task: str, trials: int = 200) -> list[paper.Row]:
    study = searched({"vanilla": 0.0} | levels, trials, name=task)
    return paper.rows(study, compare(study, **QUICK))


@pytest.mark.parametrize("task", PAPER)
def test_a_study_like_the_paper_agrees_with_it(task: str) -> None:
    """If cells are as the paper says of a task, every row of theirs agrees."""
    found = table({name: 2.0 * (name in PAPER[task].worse) for name in CELLS}, task)
    assert [row.verdict for row in found[1:]] == [AGREES] * 9


def test_a_study_unlike_the_paper_differs() -> None:
    """A cell worse where the paper found nothing and one that beats vanilla differ; one that is open is not decided."""
    found = {row.claim: row for row in table({"cifg": 2.0, "nfg": 0.0, "niaf": -3.0}, "timit")[1:]}
    assert found["better than vanilla"].ours == "niaf (of three judged)"
    assert {claim: row.verdict for claim, row in found.items()} == {
        "better than vanilla": DIFFERS, "cifg against vanilla": DIFFERS, "nfg against vanilla": UNDECIDED,
        "niaf against vanilla": DIFFERS,
    }  # fmt: skip
    assert all("open" in row.note for row in found.values())
    assert found["cifg against vanilla"].note == "open: worse, where the paper found no difference"
    assert found["nfg against vanilla"].note.startswith("open: it could still be up to ")
    assert found["niaf against vanilla"].note == "open: better, where the paper found it worse"


def decided(
    said: str, welch: str, verdict: str, direction: str = "minimize", ends: tuple[float, float] = (-0.6, 0.2)
) -> paper.Row:
    """The row of nfg, where the verdict and Welch's test say so and the difference is 0.1, with the ends as corrected."""
    one = compare(searched({"vanilla": 0.0, "nfg": 0.0}, 100, name="timit"), **QUICK).sel(task="timit")
    place = {"variant": one["variant"].values.tolist().index("nfg")}
    one["verdict"], one["verdict_welch"] = one["verdict"].astype("U13"), one["verdict_welch"].astype("U13")
    one["verdict"][place], one["verdict_welch"][place] = verdict, welch
    one["difference"][place], one["difference_corrected_interval"][place] = 0.1, list(ends)
    one["direction"] = direction
    return claims.against(one, "nfg", PAPER["timit"]._replace(worse=("nfg",) if said == WORSE else ()))


def test_how_much_worse_it_could_be() -> None:
    """Where a cell is open that the paper found worse, the bound is the worse end of its interval, by the direction."""
    assert "it could still be up to 0.200 % worse" in decided(WORSE, SAME, OPEN).note
    assert "it could still be up to 0.600 % worse" in decided(WORSE, SAME, OPEN, "maximize").note
    for direction in ("minimize", "maximize"):  # never less than the bound
        assert "it could still be up to 0.185 % worse" in decided(WORSE, SAME, OPEN, direction, (-0.1841, 0.1841)).note
        assert "it could still be up to 1.02 % worse" in decided(WORSE, SAME, OPEN, direction, (-1.02, 1.02)).note
        nowhere = decided(WORSE, SAME, OPEN, direction, (math.nan, math.nan))  # all trials of both at the chance level
        assert nowhere.note == "open: how much worse it could be cannot be told" and "nan" not in nowhere.ours


@pytest.mark.parametrize(
    ("said", "welch", "verdict", "judgement", "note"),
    [
        (WORSE, WORSE, OPEN, PARTLY, "the paper's test finds it here too; the corrected interval holds 0"),
        (WORSE, SAME, OPEN, UNDECIDED, "open: it could still be up to 0.200 % worse"),
        (WORSE, SAME, WORSE, AGREES, ""),
        (WORSE, WORSE, BETTER, DIFFERS, "open: better, where the paper found it worse"),
        (SAME, WORSE, OPEN, AGREES, "the paper's test, uncorrected, calls it worse; the corrected interval holds 0"),
        (SAME, SAME, WORSE, DIFFERS, "open: worse, where the paper found no difference"),
        (SAME, WORSE, BETTER, DIFFERS, "open: better, where the paper found no difference"),
        (SAME, SAME, OPEN, AGREES, ""),
    ],
)
def test_the_verdict_alone_decides(said: str, welch: str, verdict: str, judgement: str, note: str) -> None:
    """Whatever Welch's test says, a verdict that is not open decides; one that is open contradicts nothing."""
    row = decided(said, welch, verdict)
    assert row.verdict == judgement and row.note == note


def test_no_claim_is_surer_than_its_source(
    record: xarray.Dataset, judged: xarray.Dataset, shares: xarray.Dataset
) -> None:
    """Scores and which cells differ are recalled, shares of the variance were read second-hand, nothing in the paper itself."""
    shares = shares.isel(clip=[0]).assign_coords(task=["jsb_chorales"], variant=["vanilla", "noaf"])
    shares = shares.copy(deep=True)
    shares["main_share"][:] = 0.25
    assert len(paper.rows(record, judged, shares.assign_attrs(decomposition="forest"))) == 10, "never by other numbers"
    found = paper.rows(record, judged, shares)
    assert {row.sure for row in found[:10]} == {"recalled"} and found[9].claim == "noaf against vanilla"
    assert {row.sure for row in found[10:]} == {"read second-hand"} and len(found) == 14
    assert {row.sure for row in table({}, "timit", 12)} == {"recalled"}


def test_the_best_score_where_more_is_better(record: xarray.Dataset, judged: xarray.Dataset) -> None:
    """With scores and direction turned round the best, its trial and what is worse are the same."""
    turned = record.copy(deep=True)
    for name in ("best_valid", "best_test", "best_test_per_sequence", "chance"):
        turned[name] = -turned[name]
    turned["direction"].values[:] = "maximize"
    reported = PAPER["jsb_chorales"]
    part, other = judged.sel(task="jsb_chorales"), compare(turned, **QUICK).sel(task="jsb_chorales")
    one, two = best_score.found(record, part), best_score.found(turned, other)
    assert (two.score, two.cell, two.trial) == (-one.score, one.cell, one.trial)
    rows = [
        best_score.best(record, part, reported),
        best_score.best(turned, other, reported._replace(best=-reported.best)),
    ]
    assert rows[0].note.replace("8.41", "-8.41") == rows[1].note and rows[0].verdict == rows[1].verdict == UNDECIDED


def test_the_best_score_alone_decides_nothing(record: xarray.Dataset, judged: xarray.Dataset) -> None:
    """One number of one search has no spread: how far it is away is told, and no standard deviations of a minimum."""
    for reported in (8.38, 8.45, 9.0):
        row = best_score.best(record, judged.sel(task="jsb_chorales"), PAPER["jsb_chorales"]._replace(best=reported))
        assert row.verdict == UNDECIDED and ("worse" in row.note.partition(";")[0]) == (reported == 8.38)
        assert "standard deviation" not in row.note and "takes re-runs" in row.note


def test_the_best_score_is_judged_by_what_its_draw_scores_again(record: xarray.Dataset, judged: xarray.Dataset) -> None:
    """With fresh seeds the best draw scores 8.5 ± .05: within two deviations the paper agrees, beyond it differs."""
    part = judged.sel(task="jsb_chorales")
    ours = best_score.found(record, part)
    cell = (("task", "variant", "draw"), [[[3, ours.trial]]]), (("task", "variant", "draw"), [[[9.0, 8.5]]])
    again = xarray.Dataset(
        {"trial": cell[0], "mean": cell[1], "seed_deviation": (("task", "variant"), [[0.05]])},
        {"task": ["jsb_chorales"], "variant": [ours.cell]},
    )
    for reported, verdict in ((8.41, AGREES), (8.59, AGREES), (8.38, DIFFERS), (8.62, DIFFERS)):
        row = best_score.best(record, part, PAPER["jsb_chorales"]._replace(best=reported), again)
        assert row.verdict == verdict, reported
    assert paper.rows(record, judged, again=again)[0].verdict == DIFFERS
    assert "that draw scores 8.50 on average, standard deviation 0.05 nats/frame: 2.4 of these" in (
        paper.rows(record, judged, again=again)[0].note
    )
    other = best_score.best(record, part, PAPER["jsb_chorales"], again.assign(trial=again["trial"] + 1))
    assert other.verdict == UNDECIDED and "takes re-runs; that draw was not among the re-runs" in other.note
    assert "among the re-runs" not in best_score.best(record, part, PAPER["jsb_chorales"]).note
    grid = tables.results(record, table_of(record), judged, "jsb_chorales", again)
    place = [head for head, _ in grid.heads].index("with fresh seeds, ± sd") - 1
    shown = {row.variant: row.cells[place].text for row in grid.rows}
    assert shown.pop(ours.cell) == "8.50 ± 0.05" and set(shown.values()) == {"–"}


def test_the_mean_over_sequences_names_its_cells(record: xarray.Dataset, judged: xarray.Dataset) -> None:
    """As a mean over sequences another cell may be the best: both are named, each with its own score."""
    part = judged.sel(task="jsb_chorales")
    note = best_score.best(record, part, PAPER["jsb_chorales"]).note
    scores = {}
    for name in part["variant"].values.tolist():
        one = record.isel(task=0).sel(variant=name)
        scores[name] = one["best_test_per_sequence"].values[numpy.argsort(one["best_valid"].values)[:20]].min()
    best, frames = min(scores, key=scores.__getitem__), best_score.found(record, part).cell
    assert best != frames
    assert f"{scores[best]:.3f} ({best}; {frames} {scores[frames]:.3f})" in note


def test_too_few_trials_decide_nothing(record: xarray.Dataset) -> None:
    """With 60 trials of each cell nothing but the best score is judged, and each row says what was seen."""
    found = paper.rows(record.isel(trial=slice(0, 60)).sel(variant=["nfg", "vanilla"]))
    assert {row.verdict for row in found[1:]} == {UNDECIDED}
    assert all("too few trials" in row.ours for row in found[1:])
    assert "60 trials of a cell where the paper ran 200" in found[0].note


def test_chosen_rows_decide_nothing(record: xarray.Dataset, judged: xarray.Dataset) -> None:
    """The trials of a study of points are no sample: no cell is better, worse or open, in no word of the page."""
    chosen = record.sel(variant=["nfg", "noaf", "vanilla"]).assign_attrs(draws="points")
    comparison = compare(chosen, **QUICK)
    assert comparison["verdict"].values.tolist() == comparison["verdict_welch"].values.tolist()
    assert comparison["verdict"].values.tolist() == [[CHOSEN, CHOSEN, "baseline"]]
    assert WORSE in judged["verdict"].sel(variant=["nfg", "noaf"]).values, "drawn, they are judged"
    (only,) = words.comparison_text(comparison)
    assert only.startswith("On jsb_chorales no cell is judged against vanilla: rows were chosen, not drawn. ")
    assert not re.search(r"beats|is worse than|are worse|open|draws|Welch|too few", only)
    found = paper.rows(chosen)
    assert {row.verdict for row in found} == {UNDECIDED}
    assert all(row.ours.startswith(CHOSEN) for row in found[1:] if row.claim.split()[0] in ("nfg", "noaf", "better"))
    grid = tables.differences(comparison, "jsb_chorales", ["vanilla", "nfg", "noaf"])
    assert grid is not None
    place = [head for head, _ in grid.heads].index("verdict") - 1
    assert {row.cells[place].text for row in grid.rows} == {CHOSEN}


def test_no_rows_without_the_papers_task_or_baseline(record: xarray.Dataset) -> None:
    """A study of another corpus, or without vanilla, has nothing to set beside the paper."""
    assert paper.rows(record.assign_coords(task=["bach"])) == []
    assert paper.rows(record.sel(variant=["cifg", "nfg"])) == []
    assert paper.markdown([]).count("\n") == 1


def test_no_trials_yet() -> None:
    """A study that has just begun has its rows, none of them decided."""
    facts, _ = made.searched(dict.fromkeys(("vanilla", *CELLS), 0.0), 2, name="timit")
    found = paper.rows(schema.build(facts, []))
    assert len(found) == 10 and {row.verdict for row in found} == {UNDECIDED}


def test_shares_against_the_paper(record: xarray.Dataset, judged: xarray.Dataset, shares: xarray.Dataset) -> None:
    """Shares agree where all cells do, in part where some do; a cell that does not is named with the reason."""
    shares = shares.isel(clip=[0]).assign_coords(task=["jsb_chorales"], variant=["vanilla", "noaf"]).copy(deep=True)
    at = {"task": 0, "clip": 0}
    shares["main_share"][at] = [[0.1, 0.75, 0.001, 0.05], [0.1, 0.5, 0.02, 0.2]]
    shares["r_squared"][at] = [0.9, 0.4]
    found = {row.claim: row for row in paper.rows(record, judged, shares)[10:]}
    assert {claim: row.verdict for claim, row in found.items()} == {
        "share of the learning rate": PARTLY,
        "N takes more than input noise": PARTLY,
        "share of momentum": PARTLY,
        "all interactions together": AGREES,
    }
    assert found["share of the learning rate"].ours == "50 to 75 %"
    assert found["share of the learning rate"].note.endswith("not for noaf, of which the forest predicts only 40 %")
    shares["r_squared"][at] = [0.9, 0.9]
    found = {row.claim: row for row in paper.rows(record, judged, shares)[10:]}
    assert found["share of the learning rate"].note.endswith("not for noaf, open")
    shares["main_share"][at] = [[0.1, 0.5, 0.001, 0.05], [0.1, 0.5, 0.001, 0.05]]
    assert paper.rows(record, judged, shares)[10].verdict == DIFFERS


def test_the_table_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints a Markdown table of as many columns in every line; a bar in a text does not end a cell."""
    lines = paper.markdown([paper.Row("a|b", *["x"] * 6)]).splitlines()
    assert lines[2].startswith("| a\\|b | x ")
    for trials, shares in ((12, 4), (5, 0)):
        study = searched({"vanilla": 0, "niaf": 0}, trials, name="jsb_chorales")
        study["best_test"] = study["best_test"].copy(data=40 + 1000 * study["learning_rate"].values)
        path = schema.save(made.agreeing(study), tmp_path / "study.nc")
        paper.main([str(path)])
        printed, complaint = capsys.readouterr()
        assert len(printed.splitlines()) == 2 + 3 + shares
        assert {line.count(" | ") for line in printed.splitlines()} == {6}
        assert ("expected 10 or more" in complaint) == (shares == 0)


def test_the_command_judges_the_best_score_by_reruns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --reruns the row of the best score tells what its draw scores with fresh seeds, and is decided by it."""
    content, kept, search = test_reruns.search(("vanilla", "niaf"), name="jsb_chorales")
    place = str(schema.save(made.agreeing(search), tmp_path / "study.nc"))
    chosen, again = test_reruns.best_of(search, 5), list[str]()
    for seed in (2, 3):
        one = schema.build(*test_reruns.rerun(content, kept, chosen, seed, lambda *_, at=8.38 + seed / 50: at))
        again += ["--reruns", str(schema.save(made.agreeing(one), tmp_path / f"again-{seed}.nc"))]
    told = []
    for more in ([], again):
        paper.main([place, *more])
        told.append(next(line for line in capsys.readouterr().out.splitlines() if "best score" in line))
    assert f"| {UNDECIDED} " in told[0] and "takes re-runs" in told[0]
    assert f"| {DIFFERS} " in told[1] and "with fresh seeds that draw scores 8.43 on average" in told[1]
