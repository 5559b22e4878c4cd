"""Which GPUs a study takes, and that each worker process sees its own alone. No GPU is needed to say so."""

import os

import pytest
import torch

from lstm_odyssey.commands import cli
from lstm_odyssey.study.asked.settings import Settings, SettingsError
from lstm_odyssey.study.plan import make_plan
from lstm_odyssey.study.stored.store import Store
from lstm_odyssey.study.workers.engine import engine
from lstm_odyssey.study.workers.gpus import VISIBLE, chosen
from lstm_odyssey.study.workers.watched import EngineError


def test_each_worker_sees_one_gpu_and_offers_it(tmp_path):
    """Three workers take two GPUs in turn; the variable is theirs before they import torch."""
    with engine(3, None, str(tmp_path), "token", gpus=["4", "GPU-5f"]) as executor:
        seen = executor.client.run(lambda: __import__("os").environ.get(VISIBLE))  # the worker's own
        offered = [worker["resources"] for worker in executor.client.scheduler_info(n_workers=-1)["workers"].values()]
    assert sorted(seen.values()) == ["4", "4", "GPU-5f"]
    assert offered == [{"GPU": 1}] * 3


@pytest.mark.parametrize(
    ("device", "count", "variable", "expected"),
    [
        ("cuda", 1, None, ["0"]), ("cuda", 3, None, ["0", "1", "2"]), ("cuda:2", 3, None, ["2"]),
        ("cuda", 2, " 5 , 7 ", ["5", "7"]), ("cuda:1", 2, "5,7", ["7"]), ("cuda", 1, "5,7", ["5"]),
    ],
)  # fmt: skip
def test_the_gpus_of_a_device(device, count, variable, expected):
    """All that are seen, or the one with the number, by the names that the environment gives them."""
    assert chosen(device, count, {} if variable is None else {VISIBLE: variable}) == expected


@pytest.mark.parametrize(
    ("device", "count", "message"),
    [
        ("cuda", 0, "no CUDA device here; expected one"), ("cuda:0", 0, "no CUDA device here"),
        ("cuda:2", 2, "torch sees 2 CUDA devices; expected cuda, or cuda:0 to cuda:1"), ("cuda:x", 1, "cuda:0 to cuda:0"),
        ("cuda:", 1, "torch sees 1 CUDA devices"),
    ],
)  # fmt: skip
def test_a_gpu_that_is_not_there_is_refused(device, count, message):
    """One sentence names what was asked for and what there is."""
    with pytest.raises(SettingsError, match=message):
        chosen(device, count, {})


def test_one_gpu_is_all_that_its_process_sees(monkeypatch):
    """With one GPU chosen this process is told so before torch makes a context."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv(VISIBLE, raising=False)
    assert cli._gpus("cuda") == ["0", "1", "2"] and VISIBLE not in os.environ
    assert cli._gpus("cuda:1") == ["1"] and os.environ[VISIBLE] == "1"


def test_a_gpu_is_counted_without_starting_cuda(monkeypatch):
    """``is_available`` would read the variable once and for all; it is not asked."""

    def never():
        raise AssertionError("CUDA was started")

    monkeypatch.setattr(torch.cuda, "is_available", never)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv(VISIBLE, "0,1")
    assert cli._gpus("cuda:1") == ["1"]


def test_a_task_asks_for_a_gpu(tmp_path):
    """On workers that offer none it would wait; on those of this machine it runs where one is."""
    with engine(2, None, str(tmp_path), "token", gpus=["3"], resources={"GPU": 1}) as executor:
        assert executor.submit(lambda: __import__("os").environ[VISIBLE]).result(timeout=120) == "3"
        assert executor.resources == {"GPU": 1}


@pytest.fixture
def two_gpus(monkeypatch):
    """Two, of which torch sees those that the variable names; each engine that a run asks for is noted, and refused."""
    given = []

    def enough(*arguments, gpus, resources, **options):
        given.append((list(gpus), resources))
        raise EngineError("enough")

    def count():
        return len(os.environ[VISIBLE].split(",")) if VISIBLE in os.environ else 2

    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", count)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr("lstm_odyssey.study.workers.engine.engine", enough)
    return given


@pytest.mark.parametrize(("asked", "expected"), [("cuda:1", ["1"]), ("cuda", ["0", "1"])])
def test_a_run_chooses_its_gpus_once(asked, expected, odyssey, two_gpus, tmp_path):
    """Once one is chosen torch sees it alone, so that the same question has another answer."""
    what = ("--variants", "nog", "--tasks", "bach", "--profile", "smoke", "--device", asked)
    code, _, error = odyssey("run", "--store", str(tmp_path / "store"), *what)
    assert (code, two_gpus) == (2, [(expected, {"GPU": 1})]) and "enough" in error


def test_a_run_that_is_gone_on_with_takes_all_gpus(odyssey, two_gpus, tmp_path):
    """The device is the study's; nobody names it again."""
    store = Store(tmp_path / "store")
    asked = Settings(variants=["nog"], tasks=["bach"], profile="smoke", device="cuda")
    store.write_study(make_plan(store, asked).study)
    odyssey("run", "--store", str(store.path))
    assert two_gpus == [(["0", "1"], {"GPU": 1})]
