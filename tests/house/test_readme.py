"""The README does what it says: its Python runs, its equations are those of the cells, its commands exist."""

import functools
import math
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

import lstm_odyssey as lo
from lstm_odyssey.reports import paper
from lstm_odyssey.reports.contract.wording import listed, percent, probability
from lstm_odyssey.reports.page import limits
from lstm_odyssey.reports.paper import best_score
from lstm_odyssey.reports.paper.claims import CELLS, PAPER
from lstm_odyssey.reports.stats import stability
from tests.benchmarks import test_analysis_speed as speed
from tests.conftest import ROOT
from tests.small import settings
from tests.tools import ground_truths

RECORD = ROOT / "reports" / "records" / "jsb-chorales-paper.nc"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    """Every Python block runs, one after the other, beside a study called as the README calls it."""
    lo.run(tmp_path / "my-study", settings(tmp_path))
    (tmp_path / "reports").symlink_to(ROOT / "reports")
    monkeypatch.chdir(tmp_path)
    found = blocks("python")
    assert len(found) >= 3
    space = {"__name__": "readme"}
    for block in found:
        exec(compile(block, "README.md", "exec"), space)
    assert space["y"].shape == (50, 8, 200)
    said = capsys.readouterr().out.splitlines()
    comment = re.search(r"# (u_t = .*)$", README, flags=re.MULTILINE)
    assert said[0] == comment.group(1)
    (share,) = (float(line.split()[-1]) for line in said if line.startswith("learning_rate"))
    assert share > 2 / 3, "the paper's finding"


def test_the_cell_of_the_readme_is_the_one_of_the_package():
    """The vanilla cell shown has the signature of the one that is registered."""
    space = {}
    exec(next(block for block in blocks("python") if "def vanilla" in block), space)
    assert lo.as_cell(space["vanilla"]).signature == lo.variant("vanilla").signature


def test_the_equations_of_the_readme_are_those_of_the_cells():
    """The block of equations is what `odyssey variants` prints of each cell."""
    (block,) = (block for block in blocks("text") if "σ(W_i" in block)
    expected = []
    section = README.split("## The nine cells")[1].split("\n### ")[0]
    names = re.findall(r"^\| `(\w+)`", section, flags=re.MULTILINE)
    assert names == [name for name in names if lo.variant(name).collection == "odyssey-2017"] and len(names) == 9
    for name in names:
        expected += [name, *(f"    {equation}" for equation in lo.variant(name).equations), ""]
    assert block.split("\n")[:-1] == expected[:-1]


def test_the_counts_of_the_readme_are_those_of_the_cells():
    """Each formula of the second table is the cell's number of parameters, and no further variant is left out."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]+) \|$", README.split("### Eleven more")[1], flags=re.MULTILINE)[:11]
    assert {name for name, _ in rows} == {
        name for name in lo.variant_names() if lo.variant(name).collection == "beyond-2024"
    }
    for name, formula in rows:
        terms = formula.replace("N²", "N**2").replace("MN", "(M * N)")
        python = re.sub(r"(?<![*\d])(\d)(?=[(MN])", r"\1 * ", terms)
        assert lo.variant(name).count(M=5, N=7) == eval(python, {"M": 5, "N": 7}), (name, python)


@pytest.fixture(scope="module")
def found():
    """What the committed study gives today: the comparison, the shares of both decompositions, the claims by name."""
    study = lo.open_study(RECORD)
    against = lo.compare(study, baseline="vanilla")
    per_tree = lo.fanova(study, decomposition="per_tree", clip=1.0)
    cuts = lo.fanova(
        study, clip=(1.0, 0.5), points=2
    )  # of the forest, whose shares at 1.0 are those without a cut beside it
    return SimpleNamespace(
        study=study,
        compare=against.sel(task="jsb_chorales"),
        per_tree=per_tree.sel(task="jsb_chorales", clip=1.0),
        forest=cuts.sel(task="jsb_chorales", clip=1.0),
        cuts=cuts,
        claims={row.claim: row for row in paper.rows(study, against, per_tree)},
    )


def section(start, end):
    return README.split(start)[1].split(end)[0]


def table(text):
    """The lines of the one table of a section, its rule left out."""
    return [line for line in text.splitlines() if line.startswith("|") and not re.fullmatch(r"[|-]+", line)]


def code(text):
    """A text with the names of cells as code."""
    return re.sub(rf"\b({'|'.join(('vanilla', *CELLS))})\b", r"`\1`", text)


def by_cell(found, name, digits=2, factor=1.0):
    """The values of a variable, cell by cell in the order of the means of the best tenth."""
    order = found.compare["variant"].values[found.compare["mean_test"].values.argsort()]
    source = found.compare if name in found.compare else found.forest
    return order, [f"{factor * source[name].sel(variant=cell).item():.{digits}f}" for cell in order]


def test_the_nine_columns_of_the_readme_are_those_of_the_record(found):
    """Means, bests and R² of the nine cells are what the committed study gives."""
    order, means = by_cell(found, "mean_test")
    lines = [
        ["", *order],
        ["mean of the best tenth by validation", *means],
        ["the best of those by test", *by_cell(found, "best_test")[1]],
        ["unstable, % (95 % interval)", *(unstable(found, cell) for cell in order)],
        ["R² of the forest, out of the bag, %", *by_cell(found, "r_squared", 0, 100)[1]],
    ]
    text = section("`reports/records/jsb-chorales-paper.nc` is the paper's study", "### The paper says")
    assert table(text) == [f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines]
    assert found.study.sizes["trial"] == 200 and found.study["status"].size == 1800 and "200 trials of each" in text
    assert not (found.study["status"] == "diverged").any() and "none diverged, but 94 of `noaf`'s are unstable" in text
    counts = found.compare["unstable"]
    assert counts.sel(variant="noaf") == counts.sum() == 94
    assert f"the paper's best trial has {PAPER['jsb_chorales'].best} (`{PAPER['jsb_chorales'].cell}`)" in text


def unstable(found, cell):
    """P(unstable) of a cell with its interval."""
    one = found.compare.sel(variant=cell)
    low, high = one["instability_interval"].values.tolist()
    return stability.told(one["instability"].item(), low, high).replace(" %", "")


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
            one = found.compare.sel(variant=name)
            low, high = one["difference_corrected_interval"].values.tolist()
            yield f"{one['difference'].item():+.3f} ({low:.3f} to {high:.3f})".replace("-", "−")

    def p_values(name):
        return f"Welch {probability(found.compare['welch_p'].sel(variant=name).item())}"

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
    bound = found.compare["difference_corrected_interval"].sel(variant="nfg").values.max()
    best = (
        f"{ours.score:.3f}, `{ours.cell}`; as a mean over pieces, which the paper may have meant, {pieces.score:.3f}, "
        f"`{pieces.cell}` (`{ours.cell}` {same.score:.3f})"
    )
    far = (
        f": {100 * (ours.score / reported.best - 1):.1f} % worse, {100 * (pieces.score / reported.best - 1):.1f} % as a mean "
        "over pieces; what the seed does to it takes re-runs"
    )
    lines = [
        ("best score", "best score", best, far),
        ("better than vanilla", "better than vanilla", "none is shown to be", ""),
        ("`cifg`, `no_peepholes`", "cifg against vanilla", ", ".join(differences("cifg", "no_peepholes")), ""),
        ("`nog`, `niaf`, `nig`", "nog against vanilla", ", ".join(differences("nog", "niaf", "nig")), ""),
        (
            "`fgr`", "fgr against vanilla", f"{next(differences('fgr'))}; {p_values('fgr')}",
            ": the corrected interval holds 0",
        ),
        (
            "`nfg`", "nfg against vanilla", f"{next(differences('nfg'))}; {p_values('nfg')}",
            f", open: it could still be up to {bound:.2f} worse",
        ),
        ("`noaf`", "noaf against vanilla", f"{next(differences('noaf'))}; {p_values('noaf')}", ""),
        ("share of the learning rate", "share of the learning rate", shares("learning_rate"), poor),
        (
            "N, then input noise", "N takes more than input noise", f"noise before size but for {ahead}",
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


def test_the_claims_of_the_readme_are_those_of_the_record(found):
    """Every number and verdict of 'the paper says, we find', and what stands above it, is what the committed study gives."""
    text = section("### The paper says, we find", "## Development")
    assert table(text) == list(shown_claims(found))
    names = found.compare["variant"].values
    verdicts = {test: set(names[found.compare[test].values == "worse"]) for test in ("verdict", "verdict_welch")}
    assert not (found.compare[["verdict", "verdict_welch"]] == "better").to_array().any()
    assert "`noaf` is worse than vanilla, and the seven others are open" in text and verdicts["verdict"] == {"noaf"}
    assert (found.compare["verdict"] == "open").sum() == 7
    limit = limits.limit_text(found.study, "jsb_chorales", found.cuts)
    assert limit.replace("1,111 of 1,800", "Of the 1,800 trials 1,111", 1).split(" trials ended")[1] in " ".join(
        text.split()
    )
    assert "also calls `fgr` worse" in " ".join(text.split()) and verdicts["verdict_welch"] == {"noaf", "fgr"}


def recovered(text, found, functions):
    """Hold the rows of the excerpt that are about these functions to a table of true and recovered shares."""
    known = {(row["function"], row["effect"]): row for row in found.to_dict("records")}
    shown = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(text)[1:]]
    assert {function for function, *_ in shown} >= set(functions)
    for function, effect, *figures in shown:
        if function in functions:
            row = known[function, effect]
            assert figures == [f"{abs(row[f'{name} %']):.1f}" for name in ("true", "forest", "per_tree")], (
                function,
                effect,
            )
    return sum(function in functions for function, *_ in shown)


def test_the_ground_truths_of_one_function_are_recovered():
    """The rows of the excerpt about the smallest function are what the command finds."""
    text = section("recovers known shares", "## Benchmarks")
    assert recovered(text, ground_truths.table(["Ishigami"]), ["Ishigami"]) >= 2


@pytest.mark.long
def test_the_ground_truths_of_the_readme_are_recovered(capsys, monkeypatch):
    """The excerpt of true and recovered shares, and the errors below it, are what the command prints."""
    text = section("recovers known shares", "## Benchmarks")
    monkeypatch.setattr(
        ground_truths, "table", functools.cache(ground_truths.table)
    )  # the command asks for one of them again
    assert recovered(text, ground_truths.table(n=1000, seed=0, noise=0.0), ground_truths.TRUTHS) >= 8
    printed = []
    for noise in ("0", "1"):
        ground_truths.main(["--noise", noise])
        printed += re.findall(r"points: forest ([\d.]+), per_tree ([\d.]+)", capsys.readouterr().out)
    (plain, noisy), flat = printed, " ".join(text.split())
    assert (
        f"root-mean-square error over all effects of the five functions is {plain[0]} points of the forest's mean"
        in flat
    )
    assert f"and {plain[1]} tree by tree; with as much noise as signal (`--noise 1`) {noisy[0]} and {noisy[1]}" in flat


def test_the_speed_of_the_readme_is_what_is_promised():
    """The times shown keep the bounds of the timed tests, and the ratios follow from them."""
    text = section("How fast it is", "recovers known shares")
    times = {}
    for head, *figures in ([cell.strip() for cell in line.strip("|").split("|")] for line in table(text)[1:]):
        times[head] = [float(figure) if figure else math.nan for figure in figures]
    keys = {
        "main_effects": "main effects, after the fit",
        "pairs": "all pairs of the forest's mean",
        "pairs_per_tree": "all pairs of every tree",
    }
    for place, bounds in enumerate((speed.ONE_CELL_BOUNDS, speed.EVERYTHING_BOUNDS)):
        for what, bound in bounds.items():
            (head,) = (head for head in times if keys[what] in head and "after the fit" in head)
            assert times[head][place] < bound
    fitted, theirs = (
        times[head][0] for head in ("fit, main effects, all pairs of the mean", "optuna 5.0, fit, main effects")
    )
    (left_out, included) = map(int, re.findall(r"(\d+) times", text))
    assert left_out >= speed.TIMES
    assert included == round(theirs / fitted)


def test_every_command_of_the_readme_is_run_by_ci():
    """Each kind of command that the README shows stands in .ci/run, in its quick form."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    shown = {line.split()[0] + " " + line.split()[1] for block in blocks("console") for line in block.splitlines()}
    assert shown, "the README shows no command"
    for command in shown:
        program, verb = command.split()
        program = program.rsplit("/", 1)[-1]
        assert re.search(rf"\b{program}\b[^\n]*{re.escape(verb)}", script), f"{command} is not in .ci/run"


def test_the_options_of_the_readme_exist():
    """Every --option shown for odyssey run is one it has."""
    asked = {name for block in blocks("console") for name in re.findall(r"odyssey run[^\n]*", block)}
    options = {option for line in asked for option in re.findall(r"--[a-z-]+", line.split("#")[0])}
    help_text = subprocess.run(
        [sys.executable, "-m", "lstm_odyssey.commands.cli", "run", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert options and all(option in help_text for option in options), options


def test_the_options_of_the_benchmarks_exist():
    """Every --option shown for odyssey bench and for the pytest form is one it has."""
    shown = [line for block in blocks("console") for line in block.splitlines()]
    for command in ("cell", "epoch", "step"):
        lines = [line for line in shown if f"odyssey bench {command}" in line]
        help_text = subprocess.run(
            [sys.executable, "-m", "lstm_odyssey.commands.cli", "bench", command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        options = {option for line in lines for option in re.findall(r"--[a-z-]+", line)}
        assert lines and all(option in help_text for option in options), (command, options)
    (line,) = (line for line in shown if "lstm_odyssey.cases" in line)
    help_text = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(option in help_text for option in re.findall(r"--[a-z-]+", line))
