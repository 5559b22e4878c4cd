"""odyssey check: every promise of a name with its result, and an exit code that says whether all were kept."""

import json
import re

import pytest

from lstm_odyssey.commands import check
from lstm_odyssey.plugins import registry
from tests.conftest import ROOT
from tests.made_plugins import HURRIED, LIGHT, RISING, write


@pytest.fixture(autouse=True)
def _fresh():
    """Plugins of one test are none of another's."""
    registry.forget_plugins()
    yield
    registry.forget_plugins()


def test_a_sound_variant_and_task_keep_all_promises(odyssey, tmp_path):
    """A table for each with every promise and backend; the record holds the same; exit code 0."""
    file = write(tmp_path, "mine.py", LIGHT + RISING)
    record = tmp_path / "record.json"
    code, output, error = odyssey("check", "light", "rising", "--backend=eager", f"--plugin={file}", f"--json={record}")
    assert error == "" and "variant light, from mine.py" in output and "task rising, from mine.py" in output
    assert re.search(r"oracle +eager +ok +\d+\.\d\d", output) and re.search(r"adjoint +ok", output)
    assert re.search(r"determinism +ok", output) and "numba" not in output
    held = json.loads(record.read_text())
    results = {(each["name"], each["promise"], each["backend"]): each for each in held["results"]}
    assert len(results) == len(held["results"]) and ("light", "equations", "") in results
    assert held["origins"]["light"]["file"] == "mine.py" and held["environment"]["torch"]
    broken = [each["message"] for each in held["results"] if not each["ok"]]
    assert broken == [] and code == 0 and held["ok"], output
    assert f"{len(results)} of {len(results)} promises kept" in output


def test_a_broken_promise_is_told_and_the_exit_code_is_one(odyssey, tmp_path):
    """A wrong docstring and a wrong chance level are FAILED with the kit's words; the other promises are asked all the same."""
    text = LIGHT.replace("u_t = σ(W_u", "u_t = tanh(W_u") + RISING.replace("chance=2.7498", "chance=1.0")
    record = tmp_path / "record.json"
    code, output, _ = odyssey(
        "check", "light,rising", "--backend=eager", f"--plugin={write(tmp_path, 'mine.py', text)}", f"--json={record}"
    )
    assert code == 1
    assert re.search(r"equations +FAILED", output) and re.search(r"rows +eager +ok", output)
    assert "FAILED equations\nlight: the docstring and the text say different things" in output
    assert "\nOnly the docstring has u_t = tanh(W_u" in output and "\nOnly the text has u_t = σ(W_u" in output
    assert re.search(r"FAILED chance\nrising: chance is 1\.0; \d\.\d{4} was computed", output)
    held = json.loads(record.read_text())
    assert not held["ok"] and {each["promise"] for each in held["results"] if not each["ok"]} >= {"equations", "chance"}


def test_an_exception_of_a_plugin_is_a_broken_promise(odyssey, tmp_path):
    """A loader that raises is called once and breaks one promise, with its type, file and line; the others are not asked."""
    text = RISING.replace('    """Three', '    print("called")\n    raise KeyError("lost")\n    """Three')
    code, output, error = odyssey("check", "rising", f"--plugin={write(tmp_path, 'mine.py', text)}")
    assert code == 1 and error == "" and output.count("called") == 1
    assert re.search(
        r"FAILED corpus\nrising: KeyError: 'lost'\n  File \".*mine.py\", line \d+, in load\n    raise Key", output
    )
    assert re.search(r"space +ok", output) and "1 of 9 promises kept, 7 not asked" in output
    assert len(re.findall(r"not asked, no corpus", output)) == 7 and "suite" not in output


def test_a_missing_corpus_breaks_one_promise(odyssey, tmp_path):
    """What needs the corpus is not asked, in the table and in the record; its space is, and exit code 1 stays."""
    record = tmp_path / "record.json"
    code, output, error = odyssey("check", "bach", f"--data=bach={tmp_path / 'none'}", f"--json={record}")
    assert code == 1 and error == "" and len(re.findall(r"^\w+ +not asked, no corpus", output, re.MULTILINE)) == 7
    assert re.search(r"FAILED corpus\nbach: CorpusError: task 'bach': .*none does not exist\. [^\n]*\n\n1 of 9", output)
    results = {each["promise"]: each for each in json.loads(record.read_text())["results"]}
    assert [name for name, each in results.items() if each["message"]] == ["corpus"]
    assert [name for name, each in results.items() if each["ok"]] == ["space"]
    assert results["chance"]["not_asked"] == "no corpus"


def test_a_sequence_too_long_breaks_the_promise_of_targets_alone(odyssey, tmp_path):
    """What a study refuses when it loads a corpus is one broken promise among the others, with the sequence named."""
    code, output, _ = odyssey("check", "hurried", f"--plugin={write(tmp_path, 'mine.py', HURRIED)}")
    assert code == 1 and re.search(r"corpus +ok", output) and re.search(r"padding +ok", output)
    assert re.search(
        r"FAILED targets\nhurried: objective 'ctc': 1 of 5 .*train\[1\]: its 3 labels need 4 frames, it has 3", output
    )


def test_a_cell_that_cannot_be_traced_is_a_broken_promise(odyssey, tmp_path):
    """Whatever its text raises stands in the table as its result, and the other cells are checked all the same."""
    text = (
        LIGHT
        + "def crash(x, y, *, W, R):\n    return y * undefined\ndef branches(x, y, *, W, R):\n    return y if y else x\n"
    )
    file, record = write(tmp_path, "mine.py", text), tmp_path / "record.json"
    options = ("--backend=eager", f"--plugin={file}", f"--json={record}")
    code, output, error = odyssey("check", "crash,branches,light", *options)
    assert code == 1 and error == ""
    assert "FAILED text\ncrash: NameError: name 'undefined' is not defined" in output
    assert "FAILED text\nbranches: TraceError: cell 'branches'" in output
    held = json.loads(record.read_text())["results"]
    assert {each["name"] for each in held} == {"crash", "branches", "light"}
    assert all(each["ok"] for each in held if each["name"] == "light")


def test_the_cell_of_the_readme_keeps_its_promises(odyssey, tmp_path):
    """Saved as the README says, it is checked with the README's command."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = (
        each for each in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) if "def light" in each
    )
    step = block[block.index("def light") :].split("\n\n\n")[0]
    file = write(tmp_path, "light.py", f"from lstm_odyssey.variants.ops import sigmoid, tanh\n\n\n{step}\n")
    code, output, _ = odyssey("check", "light", f"--plugin={file}")
    assert code == 0, output


def test_an_alias_and_a_name_given_twice_are_checked_once(odyssey):
    """np is no_peepholes, and its promises are listed once."""
    planned = check.plan(["np", "np"], ["eager"])
    assert {each.name for each in planned} == {"no_peepholes"}
    assert len({(each.promise, each.backend) for each in planned}) == len(planned)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lihgt"], "check: 'lihgt' is neither a variant nor a task; expected one of"),
        ([","], "check: got no name; expected a variant or a task"),
        (["cifg", "--backend=cudnn"], "--backend: got 'cudnn'; expected one of cuda, eager, numba"),
        (["cifg", "--backend=cuda"], "--backend: checks: backend 'cuda' does not run on cpu; expected one of"),
        (["cifg", "--device=nowhere"], "--device: got 'nowhere' ("),
        (
            ["cifg", "--device=meta", "--backend=numba"],
            "--backend: checks: backend 'numba' does not run on meta; expected one of eager",
        ),
        (["cifg", "--data=bach=x"], "--data: got a path for bach; expected none, as no task is asked for."),
        (["cifg", "bach", "--data=bech=x"], "--data: got a path for bech; expected one of the tasks: bach."),
        (["bach", "--data=bach=x", "--data=bach=y"], "--data: got two paths for bach"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(odyssey, arguments, message):
    """What cannot be checked is no broken promise."""
    code, output, error = odyssey("check", *arguments)
    assert code == 2 and output == "" and error.startswith(f"odyssey: {message}") and error.count("\n") == 1


def test_a_stopped_check_shows_what_it_found(odyssey, monkeypatch):
    """Ctrl-C keeps the results so far, and says how many promises there are."""
    run, seen = check.Planned.run, []

    def interrupted(self):
        seen.append(self)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return run(self)

    monkeypatch.setattr(check.Planned, "run", interrupted)
    code, output, _ = odyssey("check", "bach")
    assert code == 130 and "2 of 9 promises kept" in output and "Stopped; what stands above was checked." in output
