"""All trials as the page holds them: values, curves in 16 bits, and how large they are."""

from __future__ import annotations

import base64
import json

import numpy
import pytest

from lstm_odyssey.reports.contract import schema
from lstm_odyssey.reports.page import TEMPLATES, trials
from tests import made_studies as made

BAD = "</script><script>alert(1)</script>"


def test_every_trial_is_packed() -> None:
    """Each trial that ran is there with its values; what is worse than chance stands at chance; a name ends no element."""
    plan, kept = made.whole(made.study(variants=("vanilla", BAD), trials=12))
    study = schema.build(plan, [one for one in kept if one["trial"] != 5])
    text = trials.packed(study, ["vanilla", BAD])
    assert "<" not in text
    facts = json.loads(text)["tasks"]["songs"]
    columns = {column["name"]: column for column in facts["columns"]}
    assert columns["cell"]["levels"] == ["vanilla", BAD] and columns["cell"]["values"] == [0] * 11 + [1] * 11
    part = study.sel(task="songs").drop_sel(trial=5)
    for name, stored in (("N", "hidden_size"), ("learning rate", "learning_rate"), ("validation", "best_valid")):
        expected = part[stored].transpose("variant", "trial").values.ravel()
        found = [numpy.nan if value is None else value for value in columns[name]["values"]]
        assert found == pytest.approx(expected, rel=1e-4, nan_ok=True)
    assert max(value for value in columns["test"]["values"] if value is not None) <= 11.0
    assert columns["learning rate"]["log"] and columns["momentum"]["mirrored"] and not columns["input noise"]["log"]


def test_curves_of_sixteen_bits() -> None:
    """A curve is the stored one at 40 places, to a sixteenth bit of the range that is kept."""
    study = schema.build(*made.whole(made.study(trials=4, epochs=9)))
    facts = json.loads(trials.packed(study, ["plain", "gated"]))["tasks"]["songs"]
    packed = numpy.frombuffer(base64.b64decode(facts["curves"]), "<u2").reshape(-1, trials.POINTS)
    assert len(packed) == 8
    step = (facts["high"] - facts["low"]) / trials.LEVELS
    for row, place in enumerate((variant, trial) for variant in ("plain", "gated") for trial in range(4)):
        curve = study["valid"].sel(task="songs", variant=place[0], trial=place[1]).values
        known = numpy.flatnonzero(numpy.isfinite(curve))
        at = numpy.linspace(0, known[-1], trials.POINTS)
        expected = numpy.interp(at, known, numpy.clip(curve[known], facts["low"], facts["high"]))
        assert facts["low"] + packed[row] * step == pytest.approx(expected, abs=0.51 * step)


def test_the_best_rows_are_there_without_a_script() -> None:
    """The static table has the best tenth of each cell by validation."""
    study = schema.build(*made.whole(made.study(trials=25)))
    heads, rows = trials.best_rows(study, "songs", ["plain", "gated"])
    assert heads[:3] == ["cell", "trial", "N"] and len(rows) == 6
    for name in ("plain", "gated"):
        valid = study["best_valid"].sel(task="songs", variant=name).values
        assert sorted(int(row[1]) for row in rows if row[0] == name) == sorted(numpy.argsort(valid)[:3].tolist())


def test_a_study_of_the_papers_size_is_small() -> None:
    """The library and 27 cases of 200 trials take less than 3 MB of the page's 6."""
    study = schema.build(*made.whole(made.study(variants=("plain", "gated", "other"), trials=40)))
    each = len(trials.packed(study, ["plain", "gated", "other"])) / 120
    assert 27 * 200 * each + (TEMPLATES / "echarts.min.js").stat().st_size < 3e6
