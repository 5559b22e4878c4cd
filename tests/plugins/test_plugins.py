"""Plugins: files and installed packages are found, named, loaded in workers, and one that is broken disturbs no other."""

import hashlib
import json
import re
import subprocess
import sys

import pytest

import lstm_odyssey as lo
from lstm_odyssey.plugins import discovery, registry
from lstm_odyssey.plugins.registry import PluginError, UnknownNameError
from lstm_odyssey.reports.contract import schema
from lstm_odyssey.study.plan import chosen_cells, default_tasks
from lstm_odyssey.study.stored.store import Store
from lstm_odyssey.study.workers.engine import engine
from lstm_odyssey.study.workers.work import run_block
from lstm_odyssey.training.environment import environment
from tests.made_plugins import LIGHT, RISING, install, write
from tests.small import settings


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    """Every test begins and ends with what is installed alone."""
    monkeypatch.delenv("ODYSSEY_PLUGINS", raising=False)
    registry.forget_plugins()
    yield
    registry.forget_plugins()


def test_a_file_registers_what_it_binds_and_nothing_it_imports(tmp_path):
    """Steps, Variants and Tasks by their variables; imports, helpers, private names and declared functions are not listed."""
    file = lo.load_plugin(
        write(
            tmp_path,
            "mine.py",
            LIGHT
            + RISING
            + """
from lstm_odyssey.tasks.bach import task as chorales
from lstm_odyssey.variants.cifg import cifg, variant as coupled
from lstm_odyssey.variants.nog import nog as cloned

cloned = lo.Variant(cloned, collection="mine")

def heavier(x, y, c, *, W, R, p, b):
    return tanh(W.z @ x + R.z @ y + b.z), c

declared = lo.Variant(heavier, collection="mine")

def _hidden(x, y, *, W, R):
    return tanh(W.z @ x + R.z @ y)

def helper(x, y, *, b):
    return x + y + b

def shifted(x, y, *, W, R, shift):
    return tanh(W.z @ x + R.z @ y) + shift

class Odd:
    pass
""",
        )
    )
    assert file.names("variant") == ("light", "cloned", "declared") and file.names("task") == ("rising",)
    assert lo.variant("light").equations[0] == "u_t = σ(W_u x_t + R_u y_{t-1} + b_u)"
    assert lo.variant("declared").collection == "mine" and lo.task("rising").family == "made"
    assert {"light", "declared"} < set(lo.variant_names()) and "rising" in lo.task_names()
    assert not {"heavier", "helper", "shifted", "coupled"} & set(lo.variant_names())


def test_a_module_of_a_package_can_be_given_as_it_stands(tmp_path):
    """`variant` is named as its function and `task` as the file: the names an entry point would give."""
    (tmp_path / "v").mkdir()
    file = write(tmp_path / "v", "cells.py", LIGHT + "\nimport lstm_odyssey as lo\nvariant = lo.Variant(light)\n")
    assert lo.load_plugin(file).names("variant") == ("light",)
    file = write(tmp_path, "rising-keys.py", RISING.replace("rising = lo", "task = lo"))
    assert lo.load_plugin(file).names("task") == ("rising_keys",)


def test_an_unregistered_function_is_a_layer_and_is_timed(tmp_path):
    """lo.RNN and lo.throughput take a function as it is."""
    space = {}
    exec(compile(LIGHT, write(tmp_path, "m.py", LIGHT), "exec"), space)
    light = space["light"]
    assert lo.RNN(light, 3, 4, backend="eager").cell.name == "light"
    speed = lo.throughput(light, "bach", hidden_size=4, backend="eager", seconds=0.2)
    assert speed.frames_per_second > 0 and "light" not in lo.variant_names()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("light = 3\n", "it registers nothing; expected at its top level a step"),
        ("def light(x, y, W, R):\n    return y\n", r"it registers nothing.* light\(x, y, W, R\) has no \* before W\."),
        ("def light(x, y, *, W, q):\n    return y\n", r"it registers nothing.* light\(x, y, W, q\) takes others than"),
        ("from lstm_odyssey.variants.cifg import cifg\n", "it registers nothing"),
        ("raise ValueError('no good')\n", "cannot be loaded: ValueError: no good"),
        ("import sys\nsys.exit('bye')\n", "cannot be loaded: SystemExit: bye"),
        ("def light(x, y:\n", "cannot be loaded: SyntaxError"),
        (LIGHT + "import lstm_odyssey as lo\nvariant = lo.Variant(light)\ndark = light\nlight = lo.Variant(dark)\n",
         "light and variant both register the variant 'light'|variant and light both register the variant 'light'"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_plugin_is_one_clear_error(tmp_path, text, message):
    """The error names the file and what is wrong, nothing of it is registered, and its module is gone."""
    import sys

    before = set(sys.modules)
    file = write(tmp_path, "mine.py", text)
    with pytest.raises(PluginError, match=f"plugin {file}: .*({message})"):
        lo.load_plugin(file)
    assert "light" not in lo.variant_names() and list(registry.broken_files()) == [file]
    assert not [name for name in set(sys.modules) - before if "plugin_mine" in name]


def test_a_file_that_is_not_there_is_one_clear_error(tmp_path):
    """The message gives the whole path."""
    with pytest.raises(PluginError, match=f"plugin {tmp_path / 'no.py'}: cannot be read .* expected a Python file"):
        lo.load_plugin(tmp_path / "no.py")


def test_a_file_that_changed_is_loaded_anew(tmp_path):
    """The same content is run once; another content replaces names, cells and corpora, and a broken one takes them away."""
    file = write(tmp_path, "mine.py", LIGHT + RISING)
    first = lo.load_plugin(file)
    cell, corpus = lo.variant("light"), registry.load_corpus("rising", None)
    assert lo.load_plugin(file) is first and lo.variant("light") is cell
    write(
        tmp_path, "mine.py", (LIGHT + RISING).replace("u * y + (1 - u) * h", "u * h").replace("(seed +", "(1 + seed +")
    )
    lo.load_plugin(file)
    assert lo.variant("light").signature != cell.signature
    assert registry.load_corpus("rising", None).fingerprint != corpus.fingerprint
    write(tmp_path, "mine.py", "oh no")
    with pytest.raises(PluginError):
        lo.load_plugin(file)
    assert "light" not in lo.variant_names()


def test_plugins_of_the_environment_are_known_and_a_broken_one_is_kept_apart(tmp_path, monkeypatch):
    """$ODYSSEY_PLUGINS holds files as $PATH does; a name that nobody knows is told together with the broken file."""
    import os

    files = [write(tmp_path, "bad.py", "1 / 0\n"), write(tmp_path, "mine.py", LIGHT)]
    monkeypatch.setenv("ODYSSEY_PLUGINS", os.pathsep.join(map(str, files)))
    assert "light" in lo.variant_names()
    assert list(registry.broken_files()) == files[:1]
    with pytest.raises(UnknownNameError, match=re.escape(f"This file is not usable: {files[0]}")):
        lo.variant("lihgt")


def test_a_broken_file_of_the_environment_is_a_warning_for_a_study(tmp_path, monkeypatch):
    """Who names no variants is told that a file is left out; who names those that work is not."""
    monkeypatch.setenv("ODYSSEY_PLUGINS", str(write(tmp_path, "bad.py", "1 / 0")))
    with pytest.warns(UserWarning, match=r"left out: plugin .*bad\.py: cannot be loaded: ZeroDivisionError"):
        assert len(chosen_cells(None)) == 9
    assert list(chosen_cells(["cifg"])) == ["cifg"]


def test_two_plugins_of_one_name_are_both_named(tmp_path, monkeypatch):
    """Two files, a file and a package, two packages: asking for the name tells where both are; other names work."""
    write(tmp_path, "deep.py", LIGHT.replace("light", "deep").replace("A cell", "Another") + LIGHT)
    install(tmp_path, "deep-cells", "1.2", {"variant": {"deep": "deep:deep", "light": "deep:light"}})
    install(tmp_path, "deeper", "3", {"variant": {"deep": "deeper:deep"}, "task": {"bach": "deeper:bach"}})
    monkeypatch.syspath_prepend(tmp_path)
    registry.forget_plugins()
    with pytest.raises(
        PluginError, match=r"deep:deep of deep-cells 1\.2 and deeper:deep of deeper 3|deeper.*deep-cells"
    ):
        lo.variant("deep")
    with pytest.raises(
        PluginError, match=r"'bach': 2 .*: deeper:bach of deeper 3 and lstm_odyssey\.tasks\.bach:task of lstm-odyssey "
    ):
        lo.task("bach")
    assert lo.variant("light").origin == {"distribution": "deep-cells", "version": "1.2"}
    (tmp_path / "files").mkdir()
    one, two = (write(tmp_path / "files", name, LIGHT) for name in ("one.py", "two.py"))
    with pytest.raises(PluginError, match=rf"deep:light of deep-cells 1\.2 and light of the file {one}"):
        lo.load_plugin(one)
    with pytest.raises(PluginError, match=f"3 plugins.* light of the file {one} and light of the file {two}"):
        lo.load_plugin(two)
    assert lo.variant("cifg").name == "cifg" and "deep" in lo.variant_names()


def test_one_thing_registered_twice_is_no_clash(tmp_path, monkeypatch):
    """Two entry points that lead to the same object are one plugin."""
    write(tmp_path, "deep.py", LIGHT)
    for name in ("one", "two"):
        install(tmp_path, name, "1", {"variant": {"light": "deep:light"}})
    monkeypatch.syspath_prepend(tmp_path)
    registry.forget_plugins()
    assert lo.variant("light").states == ("y",)


def test_an_alias_of_two_plugins_is_refused_and_a_name_beats_an_alias(tmp_path):
    """The message names both homes of the alias; who has the name itself is found."""
    more = "\nimport lstm_odyssey as lo\none = lo.Variant(light, aliases=('dim', 'cifg'))\n"
    more += "two = lo.Variant(light, aliases=('dim',))\n"
    lo.load_plugin(write(tmp_path, "mine.py", LIGHT + more))
    with pytest.raises(PluginError, match="'dim': an alias of one and of two"):
        lo.variant("dim")
    assert lo.variant("cifg").name == "cifg"


@pytest.mark.parametrize(("kind", "target"), [("variant", "lo.Variant"), ("task", "lo.Task")])
def test_what_is_no_declaration_is_a_broken_plugin(tmp_path, monkeypatch, kind, target):
    """An entry point that leads to something else is told with its distribution."""
    write(tmp_path, "odd.py", "number = 3\n")
    install(tmp_path, "odd", "0.1", {kind: {"odd": "odd:number"}})
    monkeypatch.syspath_prepend(tmp_path)
    registry.forget_plugins()
    with pytest.raises(PluginError, match=rf"odd:number of odd 0\.1 is int; expected .*{target}"):
        getattr(lo, kind)("odd")


def test_broken_plugins_are_listed_with_name_origin_and_traceback(tmp_path, monkeypatch, odyssey):
    """odyssey variants and tasks go on past a broken package, a broken file, a bad text and a clash, and show the cause."""
    write(tmp_path, "sick.py", "def deep():\n    import not_there\ndeep()\n")
    install(tmp_path, "sick-cells", "0.3", {"variant": {"sick": "sick:cell"}, "task": {"ill": "sick:task"}})
    monkeypatch.syspath_prepend(tmp_path)
    registry.forget_plugins()
    bad = write(tmp_path, "bad.py", "value = 1 / 0\n")
    text = write(
        tmp_path,
        "text.py",
        "def wrong(x, y, *, W, R):\n    return y if W.z @ x else y\ndef cifg(x, y, *, W):\n    return y\n",
    )
    options = [f"--plugin={file}" for file in (bad, text, write(tmp_path, "mine.py", LIGHT + RISING))]
    code, output, error = odyssey("variants", *options)
    assert code == 0 and error == ""
    told = " ".join(output.split())
    assert "sick of sick-cells 0.3: not usable: Traceback" in told and "line 2, in deep import not_there" in told
    assert "bad.py: not usable: Traceback" in told and "value = 1 / 0" in told and "ZeroDivisionError" in told
    assert "wrong of text.py: not usable: TraceError: cell 'wrong' (text.py, line 2)" in told
    assert "cifg of lstm-odyssey" in told and f"cifg of the file {text}" in told
    assert "light states y [-] from mine.py" in told and "vanilla states y c [odyssey-2017] z_t" in told
    assert "importlib" not in output and "registry.py" not in output
    code, output, _ = odyssey("tasks", *options)
    told = " ".join(output.split())
    assert code == 0 and "ill of sick-cells 0.3: not usable: Traceback" in told and "bad.py: not usable" in told
    assert "rising made, next_frame" in told and "from mine.py" in told and "bach music" in told


def test_a_package_that_exits_ends_nothing(tmp_path, monkeypatch, odyssey):
    """One that calls sys.exit where it is imported is broken like others: for the list, for an alias, for a typo."""
    write(tmp_path, "leaver.py", "import sys\nsys.exit('bye')\n")
    install(tmp_path, "leaver", "0.1", {"variant": {"leave": "leaver:cell"}})
    monkeypatch.syspath_prepend(tmp_path)
    registry.forget_plugins()
    assert lo.variant("np").name == "no_peepholes"
    code, output, _ = odyssey("variants")
    assert code == 0 and "leave of leaver 0.1: not usable" in " ".join(output.split())
    code, _, error = odyssey("check", "vanila")
    assert code == 2 and "neither a variant nor a task; expected one of vanilla" in error


@pytest.mark.parametrize("line", ["return tanhh(W.z @ x)", "return 1 / 0", "return missing.op(x)"])
def test_a_text_that_raises_ends_nobody_elses_study(tmp_path, monkeypatch, line):
    """A cell nobody asked for is a warning, whatever its text raises; installed or in a file."""
    write(tmp_path, "typo.py", f"def typo(x, y, *, W, R):\n    {line}\n")
    install(tmp_path, "typos", "0.1", {"variant": {"typo": "typo:typo"}})
    monkeypatch.syspath_prepend(tmp_path)
    registry.forget_plugins()
    with pytest.warns(UserWarning, match=r"variant 'typo' is left out: (NameError|ZeroDivisionError): "):
        assert len(chosen_cells(None)) == 9


def test_tasks_of_other_packages_are_for_who_names_them(tmp_path, monkeypatch):
    """What else is installed changes no study: the default tasks are this package's own."""
    before = default_tasks()
    write(tmp_path, "others.py", RISING)
    install(tmp_path, "others", "0.1", {"task": {"aa": "others:rising", "ill": "nowhere:task"}})
    monkeypatch.syspath_prepend(tmp_path)
    registry.forget_plugins()
    assert "aa" in lo.task_names() and lo.task("aa").embedded
    assert default_tasks() == before == ("bach", "festvox_ru_mini", "hershey_mini")


def test_a_syntax_error_is_listed_with_its_line(tmp_path, odyssey):
    """The list shows where in the file it fails, as the error says it does."""
    (tmp_path / "sub").mkdir()
    file = write(tmp_path / "sub", "syn.py", "def light(x, y, *, W:\n    return y\n")
    _, output, _ = odyssey("variants", f"--plugin={file}")
    assert "def light(x, y, *, W:" in output and "SyntaxError" in output and "^" in output
    with pytest.raises(PluginError, match=re.escape(f"`odyssey variants --plugin {file}`")):
        lo.load_plugin(file)


def test_a_folder_of_the_name_of_ours_shadows_nothing(tmp_path):
    """A plugin's repository with its own variants/ and tasks/ finds this package's."""
    for name in ("variants", "tasks", "suite"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "__init__.py", "raise ImportError('the wrong one')\n")
    code = "import lstm_odyssey as lo; print(lo.variant('nig').name, lo.task('bach').name)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.split() == ["nig", "bach"], done.stderr


@pytest.mark.parametrize("command", ["run", "bench cell", "bench epoch", "bench step"])
def test_a_command_ends_at_a_broken_file(tmp_path, odyssey, command):
    """Where names are used, not listed, a broken file is one line and exit code 2."""
    code, _, error = odyssey(*command.split(), f"--plugin={write(tmp_path, 'bad.py', '1 / 0')}")
    assert code == 2 and re.fullmatch(r"odyssey: plugin .*bad\.py: cannot be loaded: ZeroDivisionError.*\n", error)


@pytest.mark.parametrize("command", ["run", "variants", "tasks", "bench cell", "bench epoch", "bench step"])
def test_the_help_says_that_a_plugins_code_is_run(odyssey, command, monkeypatch):
    """Who gives a file is told what that does, and which names it registers."""
    monkeypatch.setenv("COLUMNS", "200")
    code, output, _ = odyssey(*command.split(), "--help")
    told = re.sub(r"[^\w.-]+", " ", output)
    assert (
        code == 0
        and "--plugin" in told
        and "Its code is run." in told
        and "keyword-only arguments among W R p b" in told
    )


def in_workers(store, plan, todo):
    """A worker process, which knows nothing of this one's plugins."""
    return engine(1, None, str(store.path), plan.study["token"])


def test_a_study_with_a_variant_and_a_task_from_a_file_runs_in_workers(tmp_path):
    """Worker processes load the file by its path; results say which file and content; so does the netCDF."""
    file = write(tmp_path, "mine.py", LIGHT + RISING)
    asked = settings(
        tmp_path, variants=["light", "nog"], tasks=["rising"], trials=2, epochs=1, data={}, plugins=[str(file)]
    )
    study = lo.run(tmp_path / "store", asked, engine=in_workers)
    assert study["status"].values.ravel().tolist() == ["ok"] * 4
    origin = {"file": "mine.py", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    held = json.loads((tmp_path / "store" / "study.json").read_text())
    assert held["variants"]["light"]["origin"] == held["tasks"]["rising"]["origin"] == origin
    assert held["variants"]["nog"]["origin"]["distribution"] == "lstm-odyssey"
    stored = lo.open_study(tmp_path / "store" / "study.nc")
    variants = schema.attribute(stored, "variants")
    assert variants["light"]["origin"] == origin and variants["light"]["signature"] == lo.variant("light").signature
    assert schema.attribute(stored, "tasks")["rising"]["origin"] == origin
    assert all(
        trial["environment"]["mine.py"] == f"sha256 {origin['sha256']}" for trial in Store(tmp_path / "store").trials()
    )
    assert str(tmp_path) not in (tmp_path / "store" / "study.json").read_text()


def test_a_worker_that_does_not_find_the_file_is_one_clear_error(tmp_path):
    """Another machine without the file: the study ends with the path and what to do, and no trial is stored as failed."""
    file = write(tmp_path, "mine.py", LIGHT)
    asked = settings(tmp_path, variants=["light"], trials=2, epochs=1, plugins=[str(file)])

    class Elsewhere:
        """An executor on a machine that has not got the file."""

        def __enter__(self):
            return self

        def __exit__(self, *told):
            file.write_text(LIGHT)

        def submit(self, function, spec):
            from lstm_odyssey.study.workers.engine import InProcess

            file.unlink(missing_ok=True)
            return InProcess().submit(function, spec)

    with pytest.raises(PluginError, match=f"plugin {file}: cannot be read .*other machines need it under the same one"):
        lo.run(tmp_path / "store", asked, engine=lambda *_: Elsewhere())
    assert not (tmp_path / "store").exists()
    lo.run(tmp_path / "store", asked)


def test_a_worker_runs_the_file_as_it_is_now(tmp_path):
    """A worker that outlives a study takes up a changed file, and refuses one that is not the study's."""
    file = write(tmp_path, "mine.py", LIGHT)
    asked = settings(tmp_path, variants=["light"], trials=2, epochs=1, plugins=[str(file)])
    lo.run(tmp_path / "store", asked)
    study = json.loads((tmp_path / "store" / "study.json").read_text())
    next((tmp_path / "store" / "trials").glob("*.json")).unlink()
    write(tmp_path, "mine.py", LIGHT.replace("u * y + (1 - u) * h", "u * h"))
    spec = {"store": str(tmp_path / "store"), "token": study["token"], "task": "bach", "variant": "light", "number": 0}
    spec |= {"source": environment()["source"], "trials": 2, "patience": 0.0}
    with pytest.raises(RuntimeError, match="variant 'light': its signature here is"):
        run_block({**spec, "data": asked.data["bach"], "plugins": [str(file)]})


def test_a_study_says_which_plugin_it_lacks(tmp_path, monkeypatch, odyssey):
    """Going on without the file, or without the package, names it; the file is not run because a store says so."""
    file = write(tmp_path, "mine.py", LIGHT)
    asked = settings(tmp_path, variants=["light"], trials=1, epochs=1)
    lo.load_plugin(file)
    lo.run(tmp_path / "store", asked)
    registry.forget_plugins()
    code, _, error = odyssey("run", f"--store={tmp_path / 'store'}")
    assert code == 2 and "variant 'light': the study has it from mine.py" in error and "--plugin mine.py" in error
    study = json.loads((tmp_path / "store" / "study.json").read_text())
    study["variants"]["light"]["origin"] = {"distribution": "light-cells", "version": "1.0"}
    (tmp_path / "store" / "study.json").write_text(json.dumps(study))
    with pytest.raises(PluginError, match=r"Install it: pip install light-cells==1\.0"):
        lo.run(tmp_path / "store", lo.Settings(data=asked.data))


def test_a_study_file_names_plugins_relative_to_itself(tmp_path, odyssey, monkeypatch):
    """`plugins` of a study.toml and --plugin of the command line are the same thing."""
    (tmp_path / "conf").mkdir()
    write(tmp_path / "conf", "mine.py", LIGHT + RISING)
    toml = 'variants = ["light"]\ntasks = ["rising"]\ntrials = 1\nepochs = 1\nworkers = 0\nplugins = ["mine.py"]\n'
    (tmp_path / "conf" / "study.toml").write_text(toml)
    monkeypatch.chdir(tmp_path)
    code, output, _ = odyssey("run", "conf/study.toml", f"--store={tmp_path / 'store'}")
    assert code == 0 and re.search(r"light +1/1", output)
    (tmp_path / "conf" / "study.toml").write_text(toml.replace('["mine.py"]', "[3]"))
    code, _, error = odyssey("run", "conf/study.toml", f"--store={tmp_path / 'store'}")
    assert code == 2 and "plugins is [3]; expected a list of texts" in error


def test_names_of_what_is_installed_are_read_without_running_it(tmp_path, monkeypatch):
    """A package's code runs when its variant is asked for, not when names are listed."""
    write(tmp_path, "lazy.py", LIGHT + "\nimport os\nos.environ['LAZY_RAN'] = '1'\n")
    install(tmp_path, "lazy", "1", {"variant": {"light": "lazy:light"}})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LAZY_RAN", "")
    registry.forget_plugins()
    import os

    assert "light" in lo.variant_names() and discovery.file_of("variant", "light") is None
    assert os.environ["LAZY_RAN"] == ""
    lo.variant("light")
    assert os.environ["LAZY_RAN"] == "1"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("lstm", "no_peepholes"), ("LSTM", "no_peepholes"), ("GRU", "gru_reset_after"), ("rnn", "tanh_rnn")],
)
def test_torchs_names_are_answered_with_the_cell_that_it_is(typed, meant):
    """What torch calls LSTM, GRU and RNN has a name here; the message says which, as the cells' limits declare it."""
    with pytest.raises(LookupError, match=f"torch's is {meant}; expected one of"):
        lo.variant(typed)
