"""An error about what a study file says names the file and its key, not an option that nobody typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lstm_odyssey.commands import cli
from lstm_odyssey.plugins.discovery import forget_plugins
from tests.conftest import ROOT

WRONG = {
    "trials": ("trials = 0", "trials: got 0; expected a whole number"),
    "trials beyond": ("trials = 99999999999", "trials: got 99999999999; expected at most"),
    "trials as a text": ('trials = "3"', "trials is '3'; expected a whole number"),
    "epochs": ("epochs = 0", "epochs: got 0"),
    "block_size": ("block_size = -1", "block_size: got -1"),
    "seed": ("seed = 9223372036854775808", "seed: got 9223372036854775808"),
    "profile": ('profile = "smoker"', "profile: got 'smoker'"),
    "draws": ('draws = "both"', "draws: got 'both'"),
    "draws of points": ('draws = "points"', "draws: got points without "),
    "dtype": ('dtype = "float16"', "dtype: got 'float16'"),
    "device": ('device = "tpu"', "device: got 'tpu'"),
    "no such GPU": ('device = "cuda:7"', "device = cuda:7: "),
    "backend": ('backend = "nunba"', "backend"),
    "keep_weights": ('keep_weights = "all"', "keep_weights: got 'all'"),
    "variants": ("variants = []", "variants: got no name"),
    "tasks": ("tasks = []", "tasks: got no name"),
    "workers": ("workers = -1", "workers: got -1"),
    "scheduler": ('scheduler = "nowhere"', "scheduler: got 'nowhere'"),
    "points": ('points = "none.csv"', "points: "),
    "resume_from": ('resume_from = "none.nc"', "none.nc"),
    "plugins": ('plugins = ["none.py"]', "none.py"),
    "data of another task": ('tasks = ["parity"]\n[data]\nbach = "here"', "data: got a path for bach"),
    "protocol": ("[protocol]\npatience = -1", "protocol: "),
    "protocol's typo": ("[protocol]\npatienc = 1", "patienc"),
    "space": ('[space]\nlearning_rate = {kind = "log_uniform", low = -1.0, high = 1.0}', "space"),
    "space's typo": ("[space]\nlearning_rat = 3", "space"),
    "space of a stranger": ("[space.nobody]\nmomentum = 3", "space"),
}


def run(tmp_path: Path, text: str, *more: str) -> str:
    file = tmp_path / "study.toml"
    small = 'variants = ["vanilla"]\ntasks = ["parity"]\ntrials = 1\nepochs = 1\nworkers = 0\n'
    keys = set(re.findall(r"^(\w+) =", text, re.MULTILINE))
    small = "".join(line + "\n" for line in small.splitlines() if line.split(" ")[0] not in keys)
    file.write_text(small + text + "\n")
    store = () if "--store" in more or "store" in keys else ("--store", str(tmp_path / "store"))
    result = CliRunner().invoke(cli.app, ["run", str(file), *store, *more])
    assert isinstance(result.exception, Exception), result.output
    return str(result.exception)


@pytest.fixture(autouse=True)
def _no_plugin_is_left():
    """A file that could not be loaded is not seen by the tests after it."""
    yield
    forget_plugins()


@pytest.mark.parametrize("case", WRONG)
def test_the_file_and_its_key_are_named(tmp_path: Path, case: str) -> None:
    """Whatever key is wrong, the message starts with the file and goes on with the key, and no option is blamed."""
    text, said = WRONG[case]
    message = run(tmp_path, text)
    key = text.partition(" ")[0]
    assert said in message
    assert f"--{key.replace('_', '-')}" not in message
    assert message.startswith(str(tmp_path / "study.toml")) or "none." in message


def test_the_command_line_is_blamed_for_what_it_says(tmp_path: Path) -> None:
    """A value that the command line gives beats the file's, and its option is named."""
    assert run(tmp_path, "trials = 3", "--trials", "0").startswith("--trials: got 0")


def test_a_command_to_type_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a message tells to type keeps its options, also those whose values the file gives."""

    def newer(study: object) -> None:
        raise ValueError("seed is odd")

    monkeypatch.setattr("lstm_odyssey.study.resume.check_study", newer)
    begun = ROOT / "tests" / "study" / "old_study" / "study.nc"
    message = run(tmp_path, f'store = "{tmp_path / "store"}"\nresume_from = "{begun}"')
    assert "damaged or newer: seed is odd" in message
    assert message.endswith("Write it again from its store: `odyssey run --store STORE`.")


def test_every_command_to_type_is_between_backquotes() -> None:
    """Where a study's messages tell a command with options, it can be told from what is said of an option."""
    command = re.compile(r"odyssey \w+ -")
    files = list((ROOT / "suite" / "study").rglob("*.py"))
    said = [
        (path.name, part.strip())
        for path in files
        for line in path.read_text(encoding="utf-8").splitlines()
        for part in line.split("`")[::2]
        if command.search(part)
    ]
    assert said == [] and any(command.search(path.read_text(encoding="utf-8")) for path in files)
