"""The two studies of the chorales side by side, trials run again, and the README's results: what the committed files give."""

import json
import re

import numpy as np
import pytest
from scipy import stats

import lstm_odyssey as lo
from lstm_odyssey.reports.contract.wording import at_most, estimate, form_of, signed
from tests.conftest import ROOT
from tests.house.pages import difference, section, table
from tests.tools import result_table

RECORDS = ROOT / "reports" / "records"
RERUNS = RECORDS / "jsb-reruns"
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_two_studies_stand_side_by_side(found):
    """Differences, intervals and verdicts of common and of independent draws, and how much wider the second are."""
    text = section(PAGE, "Common and independent draws")
    lines, widths = ["| | common draws | | independent draws | |"], []
    for cell in found.compare["variant"].values[found.compare["mean_test"].values.argsort()]:
        row = [f"`{cell}`"]
        for comparison in (found.compare, found.old):
            one = comparison.sel(variant=cell)
            row += [difference(comparison, cell), one["verdict"].item()]
            widths.append(np.ptp(one["difference_corrected_interval"].values))
        lines += [] if cell == "vanilla" else [f"| {' | '.join(row)} |"]
    assert table(text) == lines
    ratios = (np.array(widths[1::2]) / widths[::2])[~np.isnan(widths[::2])]
    assert f"{ratios.min():.1f} to {ratios.max():.1f} times as wide" in " ".join(text.split())
    others = found.old["difference_corrected_interval"].drop_sel(variant="vanilla")
    first = found.compare["difference"].drop_sel(variant="vanilla")
    assert ((others[..., 0] < first) & (first < others[..., 1])).all() and "do not contradict each other" in text


def test_the_best_scores_beside_their_reruns(found):
    """Best score, what its draw scores with fresh seeds, the luck in between and the deviation of a seed, cell by cell."""
    text, again = section(PAGE, "Is the best score luck?"), found.again
    lines = ["| | best score | its draw again, 4 seeds | luck | standard deviation of a seed |"]
    for cell in again["variant"].values[again["best_mean"].values.argsort()]:
        one = again.sel(variant=cell)
        low, high = one["best_mean_interval"].values.tolist()
        near, far = one["seed_deviation_interval"].values.tolist()
        lines.append(
            f"| `{cell}` | {one['best'].item():.3f} | {one['best_mean'].item():.3f} ({low:.3f} to {high:.3f}) "
            f"| {signed(one['excess'].item(), 3)} | {one['seed_deviation'].item():.3f} ({near:.3f} to {far:.3f}) |"
        )
    assert table(text) == lines
    assert (again["seeds"] == 4).all() and (again["draws"] == 5).all()
    assert (again["excess"].drop_sel(variant="noaf") > 0).all() and again["excess"].sel(variant="noaf") < 0
    best = again.isel(variant=again["best"].argmin("variant"))
    assert f"trained again with four seeds, scores {best['best_mean'].item():.3f} on average, two standard" in " ".join(
        README.split()
    )
    calm = again["seed_deviation"].drop_sel(variant=["noaf", "fgr", "nig", "niaf"])
    told = f"{calm.min().item():.2f} to {calm.max().item():.2f} nats in five cells"
    assert told in " ".join(text.split())


def test_the_spread_of_the_initial_weights_makes_no_difference_that_is_seen(found):
    """The mean of vanilla's best 20 draws with half and with twice the spread, against the same with 0.1, as paired means."""
    text = " ".join(section(PAGE, "How the weights begin").split())
    scores = {}
    for spread in (0.05, 0.1, 0.2):
        study = lo.open_study(RERUNS / f"initial-std-{spread:.2f}.nc").sel(task="jsb_chorales", variant="vanilla")
        assert json.loads(study.attrs["protocol"])["initial_std"] == spread and study.attrs["seed"] == 6
        scores[spread] = study["best_test"].values
        drawn = found.study.sel(task="jsb_chorales", variant="vanilla")
        best = drawn["best_valid"].values.argsort()[:20]
        assert (study["learning_rate"].values == drawn["learning_rate"].values[best]).all()
        assert f"{scores[spread].mean():.3f} with {spread}" in text
    form, ends = form_of(found.compare), []
    for spread in (0.05, 0.2):
        apart = scores[spread] - scores[0.1]
        low, high = stats.t.interval(0.95, apart.size - 1, apart.mean(), stats.sem(apart))
        assert low < 0 < high and estimate(apart.mean(), low, high, form) in text
        ends += [-low, high]
    assert f"none above {at_most(max(ends), '{:.3f}'.format)} nats is likely" in text


def test_the_table_of_the_readme_is_the_records(found):
    """One row a cell, a column a family: what ``python -m tests.tools.result_table`` prints, and how much is not finished."""
    text = README.split("## Results")[1].split("##")[0]
    known = result_table.studies()
    assert table(text) == table("\n".join(result_table.lines(known, found.compare)))
    assert result_table.so_far(known) in " ".join(text.split())
    assert result_table.corpora(known) in " ".join(text.split())
    for name in known.keys() - {result_table.FULL}:
        done, every = result_table.stored(known[name])
        assert done == every or f"{done:,} of {every:,}" in text, name
    words, draws = " ".join(text.split()), {name: result_table.of_all_cells(study) for name, study in known.items()}
    spoken, written = draws[result_table.SPEECH], draws["hershey-common"]
    chance = spoken["chance"].item()
    assert (result_table.compared(spoken)["mean_test"] < chance).all()
    assert (
        f"column of speech is a study of {spoken.sizes['trial']} draws" in words
        and f"no cell is worse than chance, {chance:.1f} %" in words
    )
    assert written.sizes["trial"] == 1 and "That of handwriting has one draw" in words


def test_speech_is_what_its_record_gives():
    """Means, differences and verdicts, how many draws there are, who is worse and how much others may be."""
    text, study = section(PAGE, "Speech"), lo.open_study(RECORDS / f"{result_table.SPEECH}.nc")
    assert table(text) == table("\n".join(result_table.beside_vanilla(study)))
    words, found = " ".join(text.split()), result_table.compared(study)
    assert result_table.stored(study) == (900, 900) and f"{study.sizes['trial']} draws" in words
    assert f"chance is {found['chance'].item():.1f} %" in words
    assert set(found["selected"].values.tolist()) == {found.attrs["enough"]} == {10}
    cells, verdicts = found["variant"].values[found["mean_test"].values.argsort()], found["verdict"].to_series()
    worse = [f"`{name}`" for name in cells if verdicts[name] == "worse"]
    assert worse == ["`niaf`", "`nfg`", "`noaf`"] and (verdicts == "open").sum() == 5
    assert "`niaf`, `nfg` and `noaf` are worse." in words
    assert "`niaf`, `nfg` and `noaf` are worse than `vanilla`, the others open" in " ".join(README.split())
    diverged = (study["status"] == "diverged").sum(["task", "trial"]).to_series()
    assert diverged.sum() == diverged["noaf"] == 2 and "Two trials of `noaf` diverged" in words
    ends = found["difference_corrected_interval"].sel(variant=["nig", "nog"])[:, 1].values
    told = [at_most(end, "{:.1f}".format) for end in ends]
    assert "`nig` could be up to {} worse, `nog` up to {}".format(*told) in words


def test_the_one_picture_of_the_readme_says_what_its_table_says(found):
    """The README has one small picture, which holds every cell with the difference and the interval of the record."""
    ((words, name),) = re.findall(r"!\[([^]]+)\]\(([^)]+)\)", README)
    picture = (ROOT / name).read_text(encoding="utf-8")
    assert len(picture) < 100_000 and "five cannot be told from vanilla, nfg, fgr and noaf are worse" in words
    texts = re.findall(r">([^<\n]+)</text>", picture)
    for cell in found.compare["variant"].values:
        assert cell in texts and (cell == "vanilla" or difference(found.compare, cell) in texts), cell
    verdicts = found.compare["verdict"].to_series()
    assert (verdicts == "open").sum() == 5 and (verdicts[["nfg", "fgr", "noaf"]] == "worse").all()


@pytest.mark.parametrize("path", sorted(RECORDS.rglob("*.nc")), ids=lambda path: path.stem)
def test_a_row_of_the_records_says_what_its_file_holds(path):
    """Every stored study has a row in docs/records.md with its cells, draws, seed, state and source, and without a verdict."""
    page = (ROOT / "docs" / "records.md").read_text(encoding="utf-8")
    study, name = lo.open_study(path), path.relative_to(RECORDS).as_posix()
    short = {"jsb-reruns/seed-": "seed-5.nc", "jsb-reruns/initial-std-": f"{path.name.removeprefix('initial-std')}"}
    shown = next((last for start, last in short.items() if name.startswith(start)), name)
    (row,) = (line for line in table(page) if shown in line.split("|")[1])
    seed, (done, every) = study.attrs["seed"], result_table.stored(study)
    assert f"seed {seed}" in row or ("seeds 2 to 5" in row and seed in range(2, 6))
    assert (f"{done:,} of {every:,} trials" if done < every else f"{every:,} trials") in row
    assert ("not finished" in row) == (done < every)
    hashes = {str(facts["source"])[:16] for facts in json.loads(study.attrs["environments"]) if facts.get("source")}
    assert all(f"`{one}`" in row for one in hashes)
    assert ("common draws" in row or "the same draws" in row) == (study.attrs["draws"] == "common" or "-seed-2" in name)
    assert not re.search(r"worse|better|open|[+−]\d", row)


def test_the_study_of_common_draws_is_whole(found):
    """All its trials are, and the cells that its pages call worse are all that the verdicts do."""
    assert (found.study["status"] == "ok").all() and found.study["status"].size == 1800
    worse = found.compare["variant"].values[found.compare["verdict"].values == "worse"]
    assert sorted(worse.tolist()) == ["fgr", "nfg", "noaf"] and "better" not in found.compare["verdict"]
