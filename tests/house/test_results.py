"""docs/results.md beside the paper: every number and verdict is what the committed study gives today."""

import re
from types import SimpleNamespace

import pytest

import lstm_odyssey as lo
from lstm_odyssey.reports import paper
from lstm_odyssey.reports.contract.wording import at_most, estimated_share, listed, percent
from lstm_odyssey.reports.page import importance
from lstm_odyssey.reports.paper import best_score
from lstm_odyssey.reports.paper.claims import CELLS, PAPER
from tests.conftest import ROOT
from tests.house.pages import difference, table

PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def found(found):
    """Beside the comparisons the shares of both decompositions, and the claims by name."""
    per_tree = lo.fanova(found.study, decomposition="per_tree", clip=1.0)
    # of the forest, whose shares at 1.0 are those without a cut beside it
    cuts = lo.fanova(found.study, clip=(1.0, 0.5), points=2)
    every = found.of_all_tasks
    return SimpleNamespace(
        **vars(found),
        per_tree=per_tree.sel(task="jsb_chorales", clip=1.0),
        forest=cuts.sel(task="jsb_chorales", clip=1.0),
        cuts=cuts,
        claims={row.claim: row for row in paper.rows(found.study, every.compare, per_tree, every.again)},
    )


def code(text):
    """A text with the names of cells as code."""
    return re.sub(rf"\b({'|'.join(('vanilla', *CELLS))})\b", r"`\1`", text)


def by_cell(found, name, digits=2, factor=1.0):
    """The values of a variable, cell by cell in the order of the means of the best tenth."""
    order = found.compare["variant"].values[found.compare["mean_test"].values.argsort()]
    source = found.compare if name in found.compare else found.forest
    return order, [f"{factor * source[name].sel(variant=cell).item():.{digits}f}" for cell in order]


def test_the_nine_columns_are_those_of_the_record(found):
    """Means, bests and R² of the nine cells are what the committed study gives."""
    order, means = by_cell(found, "mean_test")
    lines = [
        ["", *order],
        ["mean of the best tenth by validation", *means],
        ["the best of those by test", *by_cell(found, "best_test")[1]],
        ["unstable, % (95 % interval)", *(unstable(found, cell) for cell in order)],
        ["R² of the forest, out of the bag, %", *by_cell(found, "r_squared", 0, 100)[1]],
    ]
    text = PAGE.split("\n## ")[0]
    flat = " ".join(text.split())
    assert table(text) == [f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines]
    for study in (found.study, found.independent):
        assert study.sizes["trial"] == 200 and study["status"].size == 1800 and "200 trials of each" in flat
        assert (study["status"] == "ok").all() and "Every trial ended, and none diverged" in flat
    both = [one["unstable"] for one in (found.compare, found.old)]
    assert all(counts.sel(variant="noaf") == counts.sum() for counts in both)
    told = "{} are unstable in the first study and {} in the second".format(*(int(counts.sum()) for counts in both))
    assert told in flat
    assert f"the paper's best trial has {PAPER['jsb_chorales'].best} (`{PAPER['jsb_chorales'].cell}`)" in flat


def unstable(found, cell):
    """P(unstable) of a cell with its interval."""
    one = found.compare.sel(variant=cell)
    return estimated_share(one["instability"].item(), *one["instability_interval"].values.tolist()).replace(" %", "")


def span(found, decomposition, name, cells):
    """The share of a hyperparameter, or without a name of all interactions, over some cells."""
    main = getattr(found, decomposition)["main_share"].sel(variant=cells)
    shares = main.sel(hyperparameter=name) if name else 1 - main.sum("hyperparameter")
    return percent(shares.values.tolist())


def shown_claims(found):
    """The table of claims: every number and verdict from the rows of `lstm_odyssey.reports.paper` and what they rest on."""
    claims, cells = found.claims, found.compare["variant"].values.tolist()
    rest = [name for name in cells if name != "noaf"]

    def differences(*names):
        assert len({claims[f"{name} against vanilla"].verdict for name in names}) == 1
        for name in names:
            yield difference(found.compare, name)

    def shares(name=None):
        others, noaf = ([span(found, kind, name, of) for kind in ("per_tree", "forest")] for of in (rest, ["noaf"]))
        return (
            f"{others[0]} tree by tree as the paper, {others[1]} of the forest's mean; `noaf` {noaf[0]} and {noaf[1]}"
        )

    main = found.per_tree["main_share"]
    second = main.sel(hyperparameter="hidden_size") > main.sel(hyperparameter="input_noise")
    ahead = listed(f"`{name}`" for name in sorted(main["variant"].values[second.values]))
    part, reported = found.compare, PAPER["jsb_chorales"]
    ours, pieces = (best_score.found(found.study, part, name) for name in ("best_test", best_score.PER_SEQUENCE))
    same = best_score.found(found.study, part.sel(variant=[ours.cell]), best_score.PER_SEQUENCE)
    predicted = percent([found.per_tree["r_squared"].sel(variant="noaf").item()])
    poor = f", but for `noaf`, of which the forest predicts only {predicted}"
    best = (
        f"{ours.score:.3f}, `{ours.cell}`; as a mean over pieces, which the paper may have meant, {pieces.score:.3f}, "
        f"`{pieces.cell}` (`{ours.cell}` {same.score:.3f})"
    )
    again = found.again.sel(variant=ours.cell)
    mean = again["mean"].values[again["trial"].values == ours.trial].item()
    away = abs(mean - reported.best) / again["seed_deviation"].item()
    far = (
        f": {100 * (ours.score / reported.best - 1):.1f} % worse, {100 * (pieces.score / reported.best - 1):.1f} % as a mean "
        f"over pieces; with fresh seeds that draw scores {mean:.3f} on average, {away:.1f} standard deviations of a seed "
        f"from {reported.best}"
    )
    lines = [
        ("best score", "best score", best, far),
        ("better than vanilla", "better than vanilla", "none is shown to be", ""),
        ("`cifg`, `no_peepholes`", "cifg against vanilla", ", ".join(differences("cifg", "no_peepholes")), ""),
        ("`nog`, `niaf`, `nig`", "nog against vanilla", ", ".join(differences("nog", "niaf", "nig")), ""),
        ("`nfg`, `fgr`, `noaf`", "nfg against vanilla", ", ".join(differences("nfg", "fgr", "noaf")), ""),
        ("share of the learning rate", "share of the learning rate", shares("learning_rate"), poor),
        (
            "N, then input noise", "N takes more than input noise", f"N before noise only in {ahead}",
            ", open",
        ),
        ("momentum", "share of momentum", shares("momentum"), poor),
        ("all interactions", "all interactions together", shares(), poor),
    ]  # fmt: skip
    yield "| | the paper says | we find | |"
    for head, claim, seen, why in lines:
        row = claims[claim]
        assert ("open" in row.note) == ("open" in why), claim
        yield f"| {head} | {code(row.paper)} | {seen} | {row.verdict}{why} |"


def test_the_claims_are_those_of_the_record(found):
    """Every number and verdict of 'the paper says, we find', and what stands above it, is what the committed study gives."""
    text = PAGE.split("## The paper says, we find")[1]
    assert table(text) == list(shown_claims(found))
    names, flat = found.compare["variant"].values, " ".join(text.split())
    for one in (found.compare["verdict"], found.compare["verdict_welch"]):
        assert set(names[one.values == "worse"]) == {"nfg", "fgr", "noaf"} and not (one == "better").any()
    assert "The three cells that are worse in the paper, `nfg`, `fgr` and `noaf`, are worse here." in flat
    assert (found.compare["verdict"] == "open").sum() == 5 and "For the five others no difference is shown" in flat
    bound = found.compare["difference_corrected_interval"].sel(variant="nig").values.max()
    assert f"`nig` could still be up to {at_most(bound, '{:.2f}'.format)} worse" in flat
    printed = paper.markdown(list(found.claims.values()))  # by the first command; the forest's mean stands on the page
    every = span(found, "per_tree", "learning_rate", found.compare["variant"].values.tolist())
    assert f"| {every} " in printed and span(found, "forest", "learning_rate", ["cifg", "nfg"]) not in printed
    assert (
        "shares tree by tree, as a span over all nine cells, and the best score to two digits after the point" in flat
    )
    again = found.again.sel(variant="no_peepholes")
    away = abs(again["best_mean"].item() - 8.38)
    near, far = again["seed_deviation_interval"].values.tolist()
    assert f"{away / again['seed_deviation'].item():.2f} of them" in flat
    assert f"{near:.3f} and {far:.3f}, it would be {away / near:.1f} or {away / far:.1f}" in flat
    limit = importance.limit_text(found.study, "jsb_chorales", found.cuts)
    assert re.sub(r"^([\d,]+) of ([\d,]+) trials", r"Of the \2 trials \1", limit) in flat
