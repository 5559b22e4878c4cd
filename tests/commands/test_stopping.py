"""Signals and broken outputs: a command that is stopped keeps what is finished, and what it prints never stops it."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

import lstm_odyssey as lo
from lstm_odyssey.commands.terminal.output import Steady, steady_output
from lstm_odyssey.commands.terminal.stopping import Stopped, stopping
from lstm_odyssey.reports import page
from lstm_odyssey.reports.contract import netcdf, schema
from lstm_odyssey.reports.contract.validation import SchemaError
from lstm_odyssey.study.asked.search import MAX_TRIALS
from lstm_odyssey.study.asked.settings import Settings, SettingsError
from lstm_odyssey.study.plan import make_plan
from lstm_odyssey.study.stored.store import Store, StoreError
from tests.small import chorales, settings

pytestmark = pytest.mark.usefixtures("short_analyses", "unpainted")


def command(folder, *more):
    data = f"--data=bach={chorales(folder)}"
    place = f"--store={folder / 'store'}"
    return [
        sys.executable,
        "-m",
        "tests.quick_pages",
        "run",
        place,
        "--tasks=bach",
        data,
        "--profile=smoke",
        *more,
    ]


@pytest.fixture
def heeded():
    """No signal is ignored, as nohup or a shell's & may have it for all that they start."""
    kept = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    kept[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_is_obeyed_once_and_then_answered(number, code, capfd):
    """The first raises, the second is told that the first is being obeyed, the third raises again; then all is as it was."""
    before = signal.getsignal(number)
    with stopping() as signals:
        with pytest.raises(Stopped) as caught:
            os.kill(os.getpid(), number)
        assert caught.value.code == signals.code == code
        os.kill(os.getpid(), number)
        assert "Stopping already" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_a_signal_that_is_ignored_stays_ignored():
    """Under nohup a closed terminal ends nothing."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("workers", [pytest.param("0", marks=pytest.mark.long), "1"])
def test_a_study_that_is_terminated_keeps_what_is_finished(workers, tmp_path):
    """SIGTERM, twice, as batch systems send it: trials consolidated, a page, how to go on, exit code 143."""
    asked = ["--variants=nog", "--trials=400", "--epochs=3", "--block-size=1", f"--workers={workers}"]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    process = subprocess.Popen(
        command(tmp_path, *asked), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    store = Store(tmp_path / "store")
    while len(list(store.trials_folder.glob("[!.]*.json"))) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 143, output + errors
    assert "Stopped. Nothing finished is lost: go on with `odyssey run --store" in output
    assert "Traceback" not in output + errors
    study = lo.open_study(store.consolidated)
    assert 2 <= int((study["status"] == "ok").sum()) < 400
    assert (tmp_path / "store" / "report.html").exists()
    assert not list(store.locks_folder.glob("*"))


def test_a_pipe_that_is_closed_ends_no_study(tmp_path):
    """`odyssey run ... | head -1` reads one line and goes; the study ends, with its page, and with exit code 0."""
    asked = ["--variants=nog", "--trials=6", "--epochs=2", "--block-size=1", "--workers=0"]
    process = subprocess.Popen(command(tmp_path, *asked), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "6 trials" in process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=300) == 0, errors
    assert "Traceback" not in errors and "Broken" not in errors
    assert (lo.open_study(tmp_path / "store" / "study.nc")["status"] == "ok").all()
    assert (tmp_path / "store" / "report.html").exists()


def test_lists_are_printed_whatever_the_encoding(tmp_path):
    """Equations hold letters that ascii lacks: they are replaced, and a reader that leaves early is no error."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for stay in (True, False):
        process = subprocess.Popen(
            [sys.executable, "-m", "lstm_odyssey.commands.cli", "variants"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        if stay:
            output, errors = process.communicate(timeout=300)
            assert "y_t = tanh(c_t)" in output and "?" in output
        else:
            process.stdout.close()
            errors = process.stderr.read()
            process.stderr.close()
        assert (process.wait(timeout=300), errors) == (0, "")


class Full(io.StringIO):
    """A file on a full disk."""

    def write(self, text):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stream", [io.TextIOWrapper(io.BytesIO(), "latin-1"), Full(), io.StringIO()])
def test_a_stream_never_raises(stream):
    """Letters it lacks, a disk that is full, a stream that is closed: a print returns."""
    steady = Steady(stream)
    assert steady.write("σ and é\n") == 8
    steady.flush()
    if isinstance(stream, io.TextIOWrapper):
        assert stream.buffer.getvalue() == b"? and \xe9\n"
    stream.close()
    assert steady.write("more") == 4
    steady.writelines(["a", "b"])
    steady.flush()


def test_a_process_without_output_prints_nowhere(monkeypatch):
    """Where standard output does not exist, as in a service, there is nothing to make steady."""
    monkeypatch.setattr(sys, "stdout", None)
    with steady_output():
        print("nowhere")  # noqa: T201 - it is what is tested
    assert sys.stdout is None


def test_the_page_is_written_before_the_table_is_printed(odyssey, tmp_path, monkeypatch):
    """What is printed may get lost; and a page that cannot be written takes the table from nobody."""
    from lstm_odyssey.commands.terminal import tables

    seen = []
    results = tables.results

    def watched(study):
        seen.append((tmp_path / "store" / "report.html").exists())
        return results(study)

    monkeypatch.setattr(tables, "results", watched)
    asked = command(tmp_path, "--variants=nog", "--trials=2", "--epochs=1", "--workers=0")[3:]
    assert odyssey(*asked)[0] == 0 and seen == [True]

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page, "write_text", full)
    code, output, error = odyssey(*asked)
    assert code == 2 and "nog" in output and error.count("\n") == 1 and "No space left on device" in error


@pytest.mark.parametrize(
    ("option", "value"),
    [("seed", 2**63), ("seed", -(2**63) - 1), ("trials", MAX_TRIALS + 1), ("block_size", 10**30), ("epochs", 10**400)],
    ids=str,
)
def test_what_the_storage_cannot_hold_is_refused_at_the_start(option, value, tmp_path):
    """A number that netCDF or study.json cannot hold is an error before anything is trained."""
    with pytest.raises(SettingsError, match=f"--{option.replace('_', '-')}: got .*which can be stored"):
        lo.run(tmp_path / "store", settings(tmp_path, **{option: value}))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("seed", [2**63 - 1, -(2**63)])
def test_the_largest_seeds_are_stored_and_read(seed, tmp_path):
    """At the very limits a study runs, is written and is read again."""
    study = lo.run(tmp_path / "store", settings(tmp_path, variants=["nog"], trials=1, epochs=1, seed=seed))
    assert lo.open_study(tmp_path / "store" / "study.nc").attrs["seed"] == study.attrs["seed"] == seed


def test_a_stored_seed_that_is_too_large_is_a_damaged_file(tmp_path):
    """A study.json that an older version began with such a seed says so, instead of failing at the end."""
    store = Store(tmp_path / "store")
    plan = make_plan(store, settings(tmp_path))
    with pytest.raises(StoreError, match=f"cannot hold .*seed is {2**63}"):
        store.write_study({**plan.study, "seed": 2**63})
    store.path.mkdir()
    store.study_file.write_text(json.dumps({**plan.study, "seed": 2**63}))
    with pytest.raises(StoreError, match=f"damaged or newer: seed is {2**63}"):
        store.study()


def test_a_study_too_large_to_be_read_back_is_refused(tmp_path, monkeypatch):
    """Its curves alone are counted before it begins, its every byte before it is written."""
    with pytest.raises(
        SettingsError, match=r"2 variants x 1 tasks x 1000000 trials make a study.nc of .* GiB at least"
    ):
        make_plan(Store(tmp_path / "a"), settings(tmp_path, trials=1_000_000, epochs=150, protocol={"patience": 150}))
    study = lo.run(tmp_path / "store", settings(tmp_path, variants=["nog"], trials=1, epochs=1))
    monkeypatch.setattr(netcdf, "LARGEST", study.nbytes - 1)
    with pytest.raises(SchemaError, match="It could not be read back"):
        schema.save(study, tmp_path / "study.nc")


def test_settings_within_bounds_pass():
    """The bounds themselves are allowed."""
    Settings(seed=2**63 - 1, trials=MAX_TRIALS, epochs=MAX_TRIALS, block_size=MAX_TRIALS).check()
