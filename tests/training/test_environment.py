"""Where a number came to be: nothing of the host, everything that decides its bits, the package's source among it."""

import json
import platform
import re

import pytest

from lstm_odyssey.reports.contract import netcdf
from lstm_odyssey.training.environment import COMPUTING, _environment, elsewhere, environment, source_hash
from tests.conftest import ROOT

RECORDS = sorted((ROOT / "reports" / "records").glob("*.nc"))


def test_an_environment_names_no_host(monkeypatch):
    """Neither the machine's name nor its kernel's release, of which ``platform.platform()`` is made."""
    for name in ("node", "release", "version", "platform"):
        monkeypatch.setattr(platform, name, lambda *_, **__: "of the host")
    made = _environment.__wrapped__()
    assert "of the host" not in json.dumps(made)
    assert made == environment() and {"cpu", "system", "machine", "libc", "python", "torch", "source"} <= made.keys()


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_names_no_host(path):
    """Of the committed studies as well, those of before that rule included: no kernel's release; and one source made each."""
    study = netcdf.load(path)
    held = [json.loads(study.attrs["environment"]), *json.loads(study.attrs["environments"])]
    assert len(held) >= 2
    for one in held:
        assert not {"platform", "node", "release", "host", "hostname"} & one.keys()
        kernels = [
            value for name, value in one.items() if name != "source" and re.search(r"\d+\.\d+\.\d+-\d", str(value))
        ]
        assert kernels == []
    sources = {one["source"] for one in held if "source" in one}
    assert len(sources) <= 1, "a study goes on with the wheel that it began with"


@pytest.mark.parametrize("name", COMPUTING)
def test_a_resume_says_what_differs(name):
    """Whatever decides bits, the hash of the source among it, is told with what it was and what it is."""
    there = {**environment(), name: "another"}
    assert elsewhere([there]) == f"{name} another then, {environment().get(name, 'none')} now"


def test_the_source_is_the_packages_hash():
    """What stands in an environment is the beginning of the hash of every file, so that an edit makes it another."""
    assert len(environment()["source"]) == 16 and source_hash().startswith(environment()["source"])
