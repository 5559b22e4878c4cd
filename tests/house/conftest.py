"""The committed results that several modules here compare pages with."""

from types import SimpleNamespace

import pytest

import lstm_odyssey as lo
from tests.conftest import ROOT

RECORDS = ROOT / "reports" / "records"


@pytest.fixture(scope="session")
def found():
    """Both studies of the chorales, their comparisons, and the best draws of the first trained again with fresh seeds."""
    study, independent = (lo.open_study(RECORDS / f"jsb-chorales-{name}.nc") for name in ("common", "paper"))
    against = lo.compare(study, baseline="vanilla")
    again = study.odyssey.reruns([lo.open_study(path) for path in sorted((RECORDS / "jsb-reruns").glob("seed-*.nc"))])
    return SimpleNamespace(
        study=study,
        independent=independent,
        compare=against.sel(task="jsb_chorales"),
        old=lo.compare(independent, baseline="vanilla").sel(task="jsb_chorales"),
        again=again.sel(task="jsb_chorales"),
        of_all_tasks=SimpleNamespace(compare=against, again=again),
    )
