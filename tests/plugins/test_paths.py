"""Paths as users write them: ~ is a home folder and no folder of that name, wherever a path comes in."""

import inspect
import os
import re
from pathlib import Path

import pytest
import typer

import lstm_odyssey as lo
from lstm_odyssey.backends.numba import cache
from lstm_odyssey.commands import cli, options
from lstm_odyssey.plugins import discovery
from lstm_odyssey.plugins.paths import PathError, expanded, of_file
from lstm_odyssey.plugins.registry import as_task
from lstm_odyssey.reports import page
from lstm_odyssey.study.asked.config import read_config
from lstm_odyssey.study.asked.settings import SettingsError
from lstm_odyssey.study.stored.store import Store
from lstm_odyssey.tasks.declare import PAPER_SPACE, Task
from lstm_odyssey.tasks.files.locate import locate
from tests.small import chorales, settings

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder, and another one to work in; kernels stay where they are compiled already."""
    monkeypatch.setenv("ODYSSEY_CACHE", str(cache.folder()))
    folder, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    monkeypatch.chdir(elsewhere)
    return folder


def commands(app, name="odyssey"):
    """Every command's function, with the commands of groups."""
    for command in app.registered_commands:
        yield f"{name} {command.name or command.callback.__name__}", command.callback
    for group in app.registered_groups:
        yield from commands(group.typer_instance, f"{name} {group.name}")


def path_options():
    """(command, option, its typer declaration) of everything declared as a path."""
    for name, function in commands(cli.app):
        for parameter in inspect.signature(function, eval_str=True).parameters.values():
            if getattr(parameter.annotation, "__origin__", None) in (Path, Path | None):
                yield f"{name} {parameter.name}", parameter.annotation.__metadata__[0]


def test_every_path_of_every_command_is_expanded():
    """No option or argument that is a path is left to the shell, which does not see --store=~/x."""
    found = dict(path_options())
    assert len(found) >= 15 and {"odyssey run store", "odyssey report figures", "odyssey new task into"} <= set(found)
    assert [name for name, declared in found.items() if declared.parser is not expanded] == []
    assert all(isinstance(one, typer.models.ParameterInfo) for one in found.values())


def test_the_store_of_the_command_line_is_in_the_home_folder(home, odyssey):
    """--store=~/x makes no folder ~; a corpus and a page of ~ are found and written there."""
    chorales(home)
    shape = [
        "--profile=smoke",
        "--trials=1",
        "--epochs=1",
        "--block-size=1",
        "--workers=0",
        "--variants=nog",
        "--tasks=bach",
    ]
    code, _, error = odyssey("run", "--store=~/store", "--data=bach=~/chorales-20-0.json.gz", *shape)
    assert (code, error) == (0, "") and (home / "store" / "study.json").is_file()
    code, _, _ = odyssey("report", "~/store", "--quick", "--output=~/page.html")
    assert code == 0 and (home / "page.html").is_file() and list(Path().iterdir()) == []


def test_the_paths_of_a_study_file_know_home_and_variables(home, monkeypatch):
    """Store, data, plugins and the study to go on with take ~ and $NAME; what else is relative stays with the file."""
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    file = home / "study.toml"
    file.write_text(
        'store = "~/store"\nresume_from = "$SCRATCH/study.nc"\nplugins = ["~/cells.py", "mine.py"]\n'
        '[data]\nbach = "${SCRATCH}/b.json.gz"\njsb_chorales = "~/jsb"\n'
    )
    content = read_config(file)
    assert content["store"] == str(home / "store") and content["resume_from"] == "/scratch/me/study.nc"
    assert content["plugins"] == [str(home / "cells.py"), str(home / "mine.py")]
    assert content["data"] == {"bach": "/scratch/me/b.json.gz", "jsb_chorales": str(home / "jsb")}


def test_a_variable_that_is_not_set_and_a_user_that_is_not_there_are_refused(monkeypatch):
    """No folder is called $SCRATCH or ~nobody: both are errors that name what is missing."""
    monkeypatch.delenv("SCRATCH", raising=False)
    with pytest.raises(PathError, match=r"'\$SCRATCH/x': the variable SCRATCH is not set"):
        of_file("$SCRATCH/x")
    with pytest.raises(PathError, match="~no_such_user_here is nobody's home folder"):
        expanded("~no_such_user_here/x")
    assert expanded("./~x") == Path("./~x") and expanded("a/~") == Path("a/~")


def test_a_study_file_may_begin_with_a_byte_order_mark(tmp_path):
    """Some editors write one; it is no 'invalid statement'."""
    (tmp_path / "study.toml").write_bytes(b"\xef\xbb\xbftrials = 3\n")
    assert read_config(tmp_path / "study.toml") == {"trials": 3}


def test_the_functions_take_home_too(home):
    """lo.run, lo.open_study, lo.load_plugin, a task's load and what writes a page: no folder ~ is made or looked for."""
    assert Store("~/s").path == home / "s"
    study = lo.run(
        "~/run", settings(home, variants=["nog"], trials=1, epochs=1, data={"bach": f"~/{chorales(home).name}"})
    )
    assert lo.open_study("~/run").sizes == study.sizes == lo.open_study("~/run/study.nc").sizes
    assert page.write(study, "~/page.html") == home / "page.html" and (home / "page.html").is_file()
    (home / "cells.py").write_text("def mine(x, y, *, W, R, p, b):\n    return W.z @ x + R.z @ y + b.z\n")
    try:
        assert lo.load_plugin("~/cells.py").path == home / "cells.py"
    finally:
        discovery.forget_plugins()
    given = []
    task = Task(given.append, objective="next_frame", family="music", space=PAPER_SPACE, licence="mine")
    as_task(task).load("~/corpus")
    assert given == [str(home / "corpus")] and list(Path().iterdir()) == []


def test_the_variables_of_the_environment_take_home_too(home, monkeypatch):
    """ODYSSEY_DATA, ODYSSEY_PLUGINS and ODYSSEY_CACHE may be set by a file that no shell has read."""
    (home / "data").mkdir()
    file = chorales(home).rename(home / "data" / "bach.json.gz")
    (home / "cells.py").write_text("def mine(x, y, *, W, R, p, b):\n    return W.z @ x + R.z @ y + b.z\n")
    monkeypatch.setenv("ODYSSEY_DATA", "~/data")
    monkeypatch.setenv("ODYSSEY_PLUGINS", os.pathsep.join(["~/cells.py"]))
    monkeypatch.setenv("ODYSSEY_CACHE", "~/cache")
    assert locate("bach") == file and cache.folder() == home / "cache"
    try:
        assert lo.variant("mine").origin["file"] == "cells.py"
    finally:
        monkeypatch.delenv("ODYSSEY_PLUGINS")
        discovery.forget_plugins()


def test_two_paths_of_one_task_are_refused(tmp_path):
    """The last one does not win silently; the same path twice is one."""
    with pytest.raises(SettingsError, match=re.escape("--data: got two paths for bach: /a and /b; expected one")):
        options.pairs(["bach=/a", "bach=/b"])
    assert options.pairs(["bach=/a", "bach=/a"]) == {"bach": "/a"}
