"""A layer in torch's wrappers for several processes: four plain parameters a direction, as any module has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

CASE = Path(__file__).with_name("distributed_case.py")


def ranks(size, backend, folder):
    """What rank 0 prints, of so many processes."""
    command = [sys.executable, str(CASE)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen([*command, str(rank), str(size), backend, str(folder / "store")], cwd=ROOT, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        for rank in range(size)
    ]  # fmt: skip
    try:
        done = [(process.communicate(timeout=240), process.returncode) for process in running]
    finally:
        for process in running:
            process.kill()
    for (_, said), code in done:
        assert code == 0, said
    return json.loads(done[0][0][0])


@pytest.mark.parametrize(
    ("size", "backend"),
    [(1, "numba"), pytest.param(2, "numba", marks=pytest.mark.long), pytest.param(3, "eager", marks=pytest.mark.long)],
)
def test_ddp_and_fsdp_train_as_one_process_does(size, backend, tmp_path):
    """Each rank has its rows of a batch; three updates by Adam lower the loss as they do in one process with all rows."""
    found = ranks(size, backend, tmp_path)
    assert set(found) == {"plain", "ddp", "fsdp", "fully_shard"}
    assert found["plain"][2] < found["plain"][0] - 1e-3
    for losses in found.values():
        assert losses == pytest.approx(found["plain"], rel=1e-9)
