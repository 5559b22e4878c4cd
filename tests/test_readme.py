"""The README does what it says: its Python runs, its equations are those of the cells, its commands exist."""

import re
import subprocess
import sys

import lstm_odyssey as lo
from tests.conftest import ROOT
from tests.small import settings

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


def test_the_differences_of_the_readme_are_those_of_the_record():
    """What stands beside the paper's claims is what the committed study gives today: differences and their intervals."""
    found = lo.compare(lo.open_study(ROOT / "reports" / "records" / "jsb-chorales-paper.nc"), baseline="vanilla")
    number = r"([+−]?\d\.\d{3})"
    shown = {}
    section = README.split("### The paper says, we find")[1]
    for line in section.splitlines():
        names, *differences = (
            re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", line),
            *re.findall(rf"{number} \({number} to {number}\)", line),
        )
        if names and differences:
            shown |= dict(zip(re.findall(r"`(\w+)`", names[0]), differences, strict=True))
    assert set(shown) == set(found["variant"].values.tolist()) - {"vanilla"}
    for name, figures in shown.items():
        one = found.sel(task="jsb_chorales", variant=name)
        values = [one["difference"].item(), *one["difference_interval"].values.tolist()]
        assert [round(float(text.replace("−", "-")), 3) for text in figures] == [round(value, 3) for value in values], (
            name
        )


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
        [sys.executable, "-m", "lstm_odyssey.cli", "run", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert options and all(option in help_text for option in options), options


def test_the_options_of_the_benchmarks_exist():
    """Every --option shown for odyssey bench and for the pytest form is one it has."""
    shown = [line for block in blocks("console") for line in block.splitlines()]
    for command in ("cell", "epoch", "step"):
        lines = [line for line in shown if f"odyssey bench {command}" in line]
        help_text = subprocess.run(
            [sys.executable, "-m", "lstm_odyssey.cli", "bench", command, "--help"],
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
