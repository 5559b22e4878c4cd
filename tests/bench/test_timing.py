"""The measuring core, on a clock that only moves when a test says so, and ``lo.throughput`` for what it promises."""

import itertools
import math
import random
import time
from importlib.metadata import version

import numpy as np
import pytest
import torch
from scipy import stats

import lstm_odyssey as lo
from lstm_odyssey.backends.cuda.emulation import EmulatedDevice
from lstm_odyssey.backends.cuda.running.launch import KernelError
from lstm_odyssey.bench.region import MOST_CALLS, WINDOW, Region, measure
from lstm_odyssey.bench.samples import Timing, outside
from lstm_odyssey.training.clocks import Events, TimingError, check_device, clock_of, timer_of
from lstm_odyssey.training.threads import one_thread
from tests import needed


class Machine:
    """A clock, and functions that take the time they are told."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def __call__(self):
        return self.now

    def region(self, name, durations):
        """A function that takes the durations one after the other, the last for ever."""
        left = itertools.chain(durations, itertools.repeat(durations[-1]))

        def call(_):
            self.calls.append(name)
            self.now += next(left)

        return Region({"call": call})


def run(machine, regions, **options):
    return measure(regions, **{"turn": 0.0, **options}, clock=machine, wall=machine)


@pytest.mark.parametrize("n", [*range(1, 40), 100, 301, 2000])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_interval_of_the_median_has_its_confidence(n, confidence):
    """The order statistics chosen miss the median with at most the probability admitted, and the next ones with more."""
    k = outside(n, confidence)
    assert k == 0 or 2 * stats.binom.cdf(k - 1, n, 0.5) <= 1 - confidence
    assert 2 * stats.binom.cdf(k, n, 0.5) > 1 - confidence


def test_the_interval_covers_the_median_as_often_as_it_says():
    """Of 2000 sets of 15 skewed samples the interval holds the true median in 95 to 98.5 % (exactly: 96.5 %)."""
    generator = np.random.default_rng(0)
    hits = 0
    for samples in generator.exponential(size=(2000, 15)):
        low, high = Timing(tuple(samples), 0.1).interval
        hits += low <= math.log(2) <= high
    assert 0.95 < hits / 2000 < 0.985


def test_a_timing_knows_its_median_interval_and_error():
    """Of six samples the interval runs from the least to the greatest; half of it over the median is the error."""
    timing = Timing((3.0, 1.0, 2.0, 2.5, 1.5, 2.0), 0.1)
    assert timing.median == 2.0 and timing.interval == (1.0, 3.0) and timing.error == 0.5
    assert timing.unstable == "known to ±50.0 %, asked for ±10 %"


def test_few_samples_have_no_interval():
    """With five samples the error is not known, and it is said."""
    timing = Timing((1.0,) * 5, 0.1)
    assert timing.error == math.inf and timing.unstable == "5 samples, too few for an interval"


def test_equal_samples_are_not_doubted():
    """Nothing is said of a median that is known."""
    assert Timing((1.0,) * 20, 0.01).unstable == ""


def test_drift_is_noted():
    """A second half that is slower beyond its own spread is instability, however narrow the interval; a mixture is none."""
    early, late = [1.0 + 0.001 * k for k in range(10)], [1.2 + 0.001 * k for k in range(10)]
    assert "the second half took +19.9 %" in Timing((*early, *late), 0.15).unstable
    mixed = [*early, *late]
    random.Random(0).shuffle(mixed)
    assert "second half" not in Timing(tuple(mixed), 0.15).unstable


def test_functions_take_turns():
    """Every round calls each function once, in the order given, the warm-up too."""
    machine = Machine()
    run(machine, {name: machine.region(name, [1.0]) for name in "abc"}, rounds=4, seconds=1000)
    assert machine.calls == list("abc") * (2 * WINDOW + 4)


def test_a_quick_function_is_called_again_in_its_turn():
    """A turn of a tenth of a second has ten calls of ten milliseconds, one of a slow function, and one sample for either."""
    machine = Machine()
    quick, slow = machine.region("quick", [0.01]), machine.region("slow", [1.0])
    found = run(machine, {"quick": quick, "slow": slow}, rounds=1, seconds=1e-9, turn=0.0999)
    assert machine.calls[:11] == ["quick"] * 10 + ["slow"]
    assert len(found["quick"].samples) == len(found["slow"].samples) == 1


def test_a_turn_has_an_end_even_if_nothing_takes_time():
    """On a clock that stands still a turn ends after a number of calls."""
    machine = Machine()
    run(machine, {"a": machine.region("a", [0.0])}, rounds=1, seconds=1, turn=0.1)
    assert len(machine.calls) == MOST_CALLS * (2 * WINDOW + 1)


def test_a_sample_is_the_median_of_its_turn():
    """One slow call among five is not seen."""
    machine = Machine()
    durations = [1.0] * (2 * WINDOW * 5) + [1.0, 1.0, 30.0, 1.0, 1.0]
    found = run(machine, {"a": machine.region("a", durations)}, rounds=1, seconds=1000, turn=4.9)
    assert found["a"].samples == (1.0,)


def test_the_warm_up_lasts_until_two_windows_agree():
    """What is still getting faster is thrown away; counting begins in the steady state."""
    machine = Machine()
    falling = [10 * 0.7**k for k in range(12)]
    found = run(machine, {"a": machine.region("a", [*falling, 0.1])}, seconds=10000, relative_error=0.01)
    assert found["a"].samples == pytest.approx([0.1] * len(found["a"].samples))
    assert len(machine.calls) - len(found["a"].samples) >= 12 + WINDOW


def test_every_function_has_to_be_steady():
    """The warm-up goes on while one of several still changes."""
    machine = Machine()
    regions = {"a": machine.region("a", [1.0]), "b": machine.region("b", [10 * 0.7**k for k in range(12)])}
    found = run(machine, regions, seconds=10000)
    assert len(set(found["b"].samples)) == 1


def test_the_warm_up_takes_a_quarter_at_most():
    """A function that never settles is measured all the same, and its drift is noted."""
    machine = Machine()
    found = run(machine, {"a": machine.region("a", [1.1**k for k in range(200)])}, seconds=1000, relative_error=0.02)
    warm = len(machine.calls) - len(found["a"].samples)
    assert sum(1.1**k for k in range(warm - 1)) < 250
    assert machine.now <= 1000
    assert found["a"].unstable


def test_it_stops_when_the_medians_are_known():
    """Functions without noise take the six rounds that an interval needs, and no more."""
    machine = Machine()
    found = run(machine, {name: machine.region(name, [1.0]) for name in "ab"}, seconds=1e6)
    assert {len(timing.samples) for timing in found.values()} == {6}
    assert all(timing.unstable == "" for timing in found.values())


def test_it_goes_on_while_one_median_is_not_known():
    """A noisy function among quiet ones decides when to stop, and then its error is as asked."""
    machine = Machine()
    noise = np.random.default_rng(0).normal(1.0, 0.1, 5000)
    found = run(machine, {"a": machine.region("a", [1.0]), "b": machine.region("b", noise)}, seconds=1e6)
    assert 20 < len(found["b"].samples) < 1000
    assert found["b"].error <= 0.02 and found["b"].median == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("seconds", [10.0, 25.0, 100.0])
def test_the_time_cap_holds(seconds):
    """Rounds of one second stop in time, short of the precision asked for, and it is noted."""
    machine = Machine()
    durations = [0.5 + (k % 7) / 7 for k in range(1000)]
    found = run(machine, {"a": machine.region("a", durations)}, seconds=seconds, relative_error=1e-6)
    assert 0.8 * seconds - 2 < machine.now <= seconds
    assert found["a"].unstable


def test_one_round_counts_however_little_time_there_is():
    """A cap that is over before it begins gives one sample after one round of warm-up."""
    machine = Machine()
    found = run(machine, {"a": machine.region("a", [5.0, 4.0])}, seconds=1e-3)
    assert found["a"].samples == (4.0,) and machine.now == 9.0


def test_phases_are_timed_apart_and_preparation_is_not():
    """Each phase gets what the one before returned; what ``before`` does costs nothing."""
    machine = Machine()

    def before():
        machine.now += 100
        return [0]

    def phase(number, duration):
        def call(seen):
            assert seen[-1] == number - 1
            machine.now += duration
            return [*seen, number]

        return call

    region = Region({"forward": phase(1, 2.0), "backward": phase(2, 3.0)}, before)
    (timing,) = run(machine, {"a": region}, rounds=3, seconds=1).values()
    assert timing.samples == (5.0,) * 3
    assert {name: part.samples for name, part in timing.phases.items()} == {
        "forward": (2.0,) * 3,
        "backward": (3.0,) * 3,
    }


def test_an_exception_of_what_is_timed_passes():
    """A function's own error is neither swallowed nor wrapped."""

    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure({"a": Region.of(fail)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regions": {}}, "no function given; expected at least one"),
        ({"relative_error": 0.0}, "relative_error is 0.0; expected a number above 0"),
        ({"seconds": -1}, "seconds is -1; expected a number above 0"),
        ({"seconds": math.nan}, "seconds is nan; expected a number above 0"),
        ({"rounds": 0}, "rounds is 0; expected a whole number of at least 1"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_wrong_argument_is_refused(options, message):
    """Each says what it got and what was expected."""
    with pytest.raises(TimingError, match=message):
        measure(**{"regions": {"a": Region.of(lambda: None)}, **options})


def test_the_clocks_are_those_of_the_wall_and_of_the_thread():
    """On the CPU the clocks are Python's own."""
    assert clock_of("cpu") is time.perf_counter and clock_of("cpu", "cpu") is time.thread_time
    with pytest.raises(TimingError, match="clock 'sun': unknown; expected one of wall, cpu"):
        clock_of("cpu", "sun")


def test_a_gpu_is_waited_for_at_every_reading(monkeypatch):
    """The clock of a GPU synchronises before it is read, and the thread's own time says nothing about it."""
    waited = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    clock = clock_of("cuda:1")
    assert waited == [] and clock() <= clock() and waited == ["cuda:1", "cuda:1"]
    with pytest.raises(TimingError, match="clock 'cpu': sees this thread only, and device 'cuda' computes elsewhere"):
        clock_of("cuda", "cpu")


class Stamped:
    """A device that is given work and does it later: an event is stamped when the device comes to it."""

    def __init__(self):
        self.given, self.now, self.waits = [], 0.0, 0

    def work(self, milliseconds):
        self.given.append(milliseconds)

    def event(self):
        device = self

        class Event:
            at = None

            def record(self):
                device.given.append(self)

            def synchronize(self):
                device.waits += 1
                for each in device.given:
                    if isinstance(each, float):
                        device.now += each
                    else:
                        each.at = device.now
                device.given.clear()

            def elapsed_time(self, end):
                return end.at - self.at

        return Event()


def test_a_turn_of_a_gpu_is_timed_by_its_events_and_waits_once():
    """Each phase has the device's own time, whatever the host does meanwhile, and a turn waits once a call, after all."""
    device = Stamped()
    region = Region({"forward": lambda _: device.work(2.0), "backward": lambda _: device.work(3.0)})
    clock, wall = Events(device.event), iter(range(100))
    total, forward, backward = region.turn(3.0, clock, lambda: float(next(wall)))
    assert (total, forward, backward) == pytest.approx((0.005, 0.002, 0.003)) and not device.given
    assert device.waits == 3, "one wait for each of three calls, after all of them were given"
    assert region.once(clock) == pytest.approx([0.002, 0.003])


def test_events_are_read_as_a_clock():
    """What asv and pytest call: seconds since the first reading, the device waited for; no digit is lost as they add up."""
    device = Stamped()
    clock = Events(device.event)
    assert clock() == 0.0
    for _ in range(3):
        device.work(1.5)
    assert clock() == pytest.approx(0.0045) and not device.given
    device.work(1e-3)
    before = clock()
    device.work(1e9)
    between = clock()
    device.work(1e-3)
    assert before == pytest.approx(0.004501) and clock() - between == pytest.approx(1e-6, rel=0.1)


def test_the_events_of_the_emulated_device():
    """They read the clock when they are recorded; one that was not recorded cannot be waited for."""
    needed.cxx()
    device = EmulatedDevice()
    timings = measure({"a": Region.of(lambda: time.sleep(1e-3))}, rounds=2, clock=Events(device.event))
    assert timings["a"].median > 1e-3
    with pytest.raises(KernelError, match="waited for that was not recorded"):
        device.event().synchronize()


def test_a_gpus_events_are_of_its_own_stream(monkeypatch):
    """``timer_of`` a GPU: CUDA's events, with times, on the current stream of that very device."""
    recorded = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self, stream):
            recorded.append(stream)

        def synchronize(self):
            assert recorded

        def elapsed_time(self, end):
            return 7.0 if end is not self else 0.0

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    clock = timer_of("cuda:1")
    assert (clock(), clock()) == (0.0, 0.007) and recorded == ["stream of cuda:1"] * 2
    assert timer_of("cpu") is time.perf_counter and timer_of("cpu", "cpu") is time.thread_time
    with pytest.raises(TimingError, match="clock 'cpu': sees this thread only"):
        timer_of("cuda", "cpu")


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    """No CUDA device, or another kind of device: one clear line."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TimingError, match="no CUDA device: got device 'cuda'"):
        check_device("cuda")
    with pytest.raises(TimingError, match="device 'tpu': got neither cpu nor cuda"):
        check_device("tpu")


def test_one_thread_is_for_a_while():
    """The number of threads is restored, after an error too."""
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), one_thread():
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_throughput_says_how_fast_and_on_what():
    """Speed, phases, ratio, processor and versions are there, consistent with each other; no figure is judged."""
    before = torch.get_num_threads()
    speed = lo.throughput("nog", "bach", hidden_size=5, batch=3, seconds=0.2, dtype="float64")
    assert torch.get_num_threads() == before
    assert (speed.variant, speed.task, speed.hidden_size, speed.batch) == ("nog", "bach", 5, 3)
    assert speed.frames_per_second == pytest.approx(1 / speed.seconds_per_frame)
    assert speed.interval[0] <= speed.seconds_per_frame <= speed.interval[1]
    assert list(speed.phases) == ["forward", "backward", "update"] and min(speed.phases.values()) > 0
    assert speed.ratio > 0 and math.isfinite(speed.ratio)
    assert "-bit vectors" in speed.processor and speed.versions["torch"] == version("torch")
    assert speed.device == "cpu" and speed.backend == "numba" and speed.dtype == "float64"
    assert speed.parameters == lo.variant("nog").count(M=88, N=5) + 88 * 6


@pytest.mark.parametrize("backend", ["eager", "numba"])
def test_throughput_takes_any_cell(backend):
    """A function that is registered nowhere is timed like a variant, on the backend asked for."""
    from tests.cells import gru

    speed = lo.throughput(gru, "bach", hidden_size=3, backend=backend, seconds=0.05)
    assert speed.variant == "gru" and speed.backend == backend
    assert (speed.python is None) == (backend == "eager"), "only a compiled step has a part that is not Python"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, "device 'tpu': got neither cpu nor cuda"),
        ({"dtype": "float16"}, "dtype is 'float16'; expected one of float64, float32"),
        ({"backend": "triton"}, "backend 'triton': not available"),
        ({"hidden_size": 0}, "hidden_size is 0; expected a whole number of at least 1"),
        ({"batch": 1.5}, "batch is 1.5; expected a whole number of at least 1"),
        ({"batch": 1000}, "batch is 1000; expected at most the 212 training sequences of 'bach'"),
        ({"seconds": 0}, "seconds is 0; expected a number above 0"),
        ({"clock": "sun"}, "clock 'sun': unknown"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_throughput_refuses_what_cannot_be(options, message):
    """Each wrong argument is an error that says what was expected."""
    with pytest.raises(TimingError, match=message):
        lo.throughput("nog", "bach", **{"hidden_size": 2, **options})


def test_throughput_without_a_gpu(monkeypatch):
    """device='cuda' where there is none is one clear error."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TimingError, match="no CUDA device"):
        lo.throughput("nog", "bach", device="cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(TimingError, match="backend 'numba': got device 'cuda'; expected the CPU"):
        lo.throughput("nog", "bach", device="cuda", backend="numba")


def test_the_yardstick_makes_the_same_update(monkeypatch):
    """Of the step that is timed and its yardstick in plain torch, loss and weights agree if both start alike."""
    from lstm_odyssey.bench.step import TimedStep

    monkeypatch.setattr("lstm_odyssey.bench.step.LEARNING_RATE", 1e-3)
    for batch in (1, 3):
        step = TimedStep("no_peepholes", "bach", 4, batch=batch, dtype="float64")
        yardstick = step.yardstick()
        plain = yardstick.plain
        weights = step.population.member_weights(0)

        def stacked(space, of=weights):
            return torch.from_numpy(np.concatenate([of[f"cells.0.{space}.{gate}"] for gate in "ifzo"]))

        with torch.no_grad():
            for weight, value in zip(
                plain.weights,
                (stacked("W"), stacked("R"), stacked("b"), *(torch.from_numpy(weights[name]) for name in ("V.0", "a"))),
                strict=True,
            ):
                weight.copy_(value)
        losses = [(step(), yardstick()) for _ in range(3)]
        assert losses[0][0] != losses[1][0]
        for mine, theirs in losses:
            assert mine == pytest.approx(theirs, rel=1e-12)


def test_the_phases_are_the_update():
    """Run one after the other, the phases that are timed move the weights as the update does, bit for bit."""
    from lstm_odyssey.bench.step import TimedStep

    whole, apart = (TimedStep("vanilla", "bach", 5, backend="eager") for _ in range(2))
    for _ in range(3):
        whole()
        value = None
        for phase in apart.in_phases().phases.values():
            value = phase(value)
    assert torch.equal(whole.population.network.weights, apart.population.network.weights)
    assert torch.equal(whole.population.update(whole.batch), apart.population.update(apart.batch))
