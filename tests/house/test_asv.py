"""asv on two commits of this repository, the second of which adds a variant: everybody keeps their own history."""

import json
import math
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from lstm_odyssey.backends.numba import cache
from tests.conftest import ROOT

TREE = ("suite", "variants", "tasks", "reports")
FILES = ("pyproject.toml", "asv.conf.json", "README.md", "LICENSE", "NOTICE", ".gitignore")
KEPT = ("cifg", "vanilla")
NEW = "aardvark"
"""First in the alphabet: had cases numbers, every other one's would change."""
TEXT = '''"""A leaky unit.

    u_t = σ(W_u x_t + R_u y_{t-1} + b_u)
    h_t = tanh(W_h x_t + R_h y_{t-1} + b_h)
    y_t = u_t ⊙ y_{t-1} + (1 - u_t) ⊙ h_t
"""

from lstm_odyssey.variants.declare import Variant
from lstm_odyssey.variants.ops import sigmoid, tanh


def aardvark(x, y, *, W, R, b):
    u = sigmoid(W.u @ x + R.u @ y + b.u)
    h = tanh(W.h @ x + R.h @ y + b.h)
    return u * y + (1 - u) * h


variant = Variant(aardvark)
'''


class Repository:
    """A repository with this tree as its first commit, and one variant more in its second; its packages, unpacked."""

    def __init__(self, home):
        self.home, self.path = home, home / "repository"
        for folder in TREE:
            shutil.copytree(ROOT / folder, self.path / folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        for name in FILES:
            shutil.copy(ROOT / name, self.path / name)
        self.call("git", "init", "--quiet", "--initial-branch=main")
        self.first = self.commit("as it is")
        (self.path / "variants" / f"{NEW}.py").write_text(TEXT, encoding="utf-8")
        project = self.path / "pyproject.toml"
        before = '[project.entry-points."lstm_odyssey.variants"]\n'
        text = project.read_text(encoding="utf-8")
        assert text.count(before) == 1
        line = f'{NEW} = "lstm_odyssey.variants.{NEW}:variant"\n'
        project.write_text(text.replace(before, before + line), encoding="utf-8")
        self.second = self.commit("one variant more")

    def commit(self, message):
        """Commit all of it, and unpack its package; returns the commit."""
        who = ("-c", "user.name=A. Author", "-c", "user.email=author@example.org", "-c", "commit.gpgsign=false")
        self.call("git", "add", "--all")
        self.call("git", *who, "commit", "--quiet", "--message", message)
        commit = self.call("git", "rev-parse", "HEAD").strip()
        out = self.home / f"wheel-{commit}"
        self.call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(self.path))
        (wheel,) = out.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.site(commit))
        return commit

    def site(self, commit):
        return self.home / f"site-{commit}"

    def call(self, *command, **environment):
        """What a command prints, run here with a home of its own."""
        done = subprocess.run(
            command,
            cwd=self.path,
            env={**os.environ, "HOME": str(self.home), "ODYSSEY_CACHE": str(cache.folder()), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def asv(self, *arguments, **environment):
        return self.call(sys.executable, "-m", "asv", *arguments, **environment)

    def run(self, commit, bench):
        """Run this tree's benchmarks on a commit's package, as ``asv continuous`` does."""
        return self.asv(
            "run",
            "--python=same",
            "--show-stderr",
            "--set-commit-hash",
            commit,
            "--bench",
            bench,
            ASV_PYTHONPATH=str(self.site(commit)),
            ODYSSEY_ASV="full",
        )

    def results(self, commit):
        """By name, the values asv has stored for a commit."""
        (file,) = (self.path / ".asv" / "results").glob(f"*/{commit[:8]}-*.json")
        return {name: row[0][0] for name, row in json.loads(file.read_text(encoding="utf-8"))["results"].items()}


@pytest.mark.long
def test_a_variant_more_mislabels_nobody(tmp_path):
    """Two commits run, compared and published: the old variants' errors are the same to the last bit, the new one's is new."""
    repository = Repository(tmp_path)
    names = {variant: f"bach.{variant}.track_error" for variant in (NEW, *KEPT)}
    bench = rf"^bach\.({'|'.join(names)})\.track_error$"
    repository.asv("machine", "--yes")
    said = repository.run(repository.first, bench)
    assert f"variant '{NEW}' is not in the package of this commit: skipped" in said
    repository.run(repository.second, bench)

    first, second = repository.results(repository.first), repository.results(repository.second)
    assert set(first) == set(second) == set(names.values())
    assert all(first[names[variant]] == second[names[variant]] for variant in KEPT)
    assert math.isnan(first[names[NEW]])
    assert len(set(second.values())) == 3 and all(5 < error < 11 for error in second.values())

    compared = repository.asv("compare", repository.first, repository.second)
    lines = {variant: next(line for line in compared.splitlines() if name in line) for variant, name in names.items()}
    assert all(" 1.00 " in lines[variant] for variant in KEPT)
    assert "n/a" in lines[NEW]

    repository.asv("publish")
    for variant, name in names.items():
        graphs = (repository.path / ".asv" / "html" / "graphs").rglob(f"{name}.json")
        (drawn,) = [json.loads(path.read_text(encoding="utf-8")) for path in graphs if path.parent.name != "summary"]
        assert [value for _, value in drawn if value is not None] == ([first[name]] if variant in KEPT else []) + [
            second[name]
        ]
