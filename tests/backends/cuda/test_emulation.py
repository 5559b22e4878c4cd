"""Device code on the CPU: what is right is right in every order of threads, and each planted fault is killed."""

import dataclasses
import os
import platform
import re
import subprocess

import numpy as np
import pytest
import torch
from scipy.special import expit

from lstm_odyssey.backends.cuda import emulation
from lstm_odyssey.backends.cuda.emulation import ORDERS, EmulatedDevice
from lstm_odyssey.backends.cuda.running import kept
from lstm_odyssey.backends.cuda.running.launch import KernelError, Launch
from tests import device_texts, needed
from tests.device_texts import BLOCK_FAULTS, CLUSTER_FAULTS, DTYPES, FAULTY_TEXT, FUNCTIONS, REALS

EVERYWHERE = set(ORDERS)
AHEAD = {"shuffled 1", "shuffled 2", "greedy"}
"""The orders in which a warp or a block may run ahead of another."""

SCANS = [(template, dtype) for template in ("scan", "spread") for dtype in DTYPES]


@pytest.fixture(autouse=True)
def _compiler():
    needed.cxx()


def killed(template, faults, fault, dtype, order, **checks):
    """What the emulation says of a kernel with this fault: its message, "wrong", or nothing if the answer is right."""
    scan = device_texts.scan(dtype)
    try:
        EmulatedDevice(order, **checks).run(FAULTY_TEXT, [scan.launch(template, faults, fault)])
    except KernelError as error:
        return str(error)
    return "" if scan.right else "wrong"


@pytest.mark.parametrize("order", ORDERS)
def test_what_is_right_is_right_in_every_order(order):
    """A scan in one block and over a cluster, in both dtypes, programs of two lengths, several launches in one request."""
    scans = [(device_texts.scan(dtype), template) for template, dtype in SCANS]
    for scan, _ in scans:
        assert all(out.isnan().all() for out in scan.out) and not scan.right
    EmulatedDevice(order).run(FAULTY_TEXT, [scan.launch(template) for scan, template in scans])
    assert [scan.right for scan, _ in scans] == [True] * 4


@pytest.mark.parametrize("check", ["sanitize", "races"])
def test_what_is_right_passes_the_sanitizers(check):
    """AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer, told of the fibers, find nothing in a right kernel."""
    needed.sanitizers()
    kinds = SCANS if check == "sanitize" else SCANS[::2]
    scans = [(device_texts.scan(dtype), template) for template, dtype in kinds]
    EmulatedDevice("shuffled 1", **{check: True}).run(FAULTY_TEXT, [scan.launch(template) for scan, template in scans])
    assert [scan.right for scan, _ in scans] == [True] * len(kinds)


@pytest.mark.parametrize(
    ("template", "fault", "seen"),
    [
        ("scan", "no barrier", EVERYWHERE),
        ("scan", "one buffer for two", AHEAD),
        ("scan", "read before a write", EVERYWHERE),
        ("spread", "no cluster barrier", AHEAD),
        ("spread", "one buffer for two", AHEAD),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_planted_races_are_killed(template, fault, seen, dtype):
    """A race gives a wrong answer, in just these orders: a barrier too few between buffers is seen where a warp runs ahead."""
    faults = BLOCK_FAULTS if template == "scan" else CLUSTER_FAULTS
    assert {order for order in ORDERS if killed(template, faults, fault, dtype, order)} == seen


@pytest.mark.parametrize(
    ("template", "fault", "lines"),
    [
        ("scan", "no barrier", {24, 30}),
        ("scan", "one buffer for two", {24, 30}),
        ("spread", "no cluster barrier", {85, 89}),
        ("spread", "one buffer for two", {85, 89}),
    ],
)
def test_a_race_is_found_in_any_order(template, fault, lines):
    """With ``races`` the two lines are named where no barrier lies between, also in an order in which the answer is right."""
    needed.sanitizers()
    faults = BLOCK_FAULTS if template == "scan" else CLUSTER_FAULTS
    message = killed(template, faults, fault, torch.float32, "in order", races=True)
    kernel = f"kernel '{template}_float_{faults.index(fault) + 1}', block ("
    assert message.startswith(f"EmulatedDevice('in order', races=True): scan written by hand: {kernel}")
    assert "ThreadSanitizer: data race" in message
    assert {int(line) for line in re.findall(r"void s\w+<float, \d>.* kernels\.cpp:(\d+)", message)} == lines


def test_programs_that_write_to_one_place_are_a_race():
    """Nothing orders the clusters of a launch; two launches are in turn, and may write to one place."""
    needed.sanitizers()
    right = dataclasses.replace(device_texts.scan(torch.float32).launch("scan"), tiles=1)
    EmulatedDevice(races=True).run(FAULTY_TEXT, [right, right])
    first, second = right.table
    wrong = dataclasses.replace(right, table=[first, [*second[:4], first[4]]])
    with pytest.raises(KernelError, match=r"kernel 'scan_float', block \(\d, 1\)(?s:.*)ThreadSanitizer: data race"):
        EmulatedDevice(races=True).run(FAULTY_TEXT, [wrong])


def test_where_addresses_are_drawn_too_far_apart_they_are_not(monkeypatch):
    """ThreadSanitizer of some compilers cannot start where the kernel draws addresses from too many; then it is run without."""
    asked = []

    def run(command, **_):
        asked.append(command)
        words = f"FATAL: {emulation._MAPPED} 0x5" if command[0] != "setarch" else ""
        return subprocess.CompletedProcess(command, 66 if words else 3, "", words or "kernel 'scan_float': said")

    device = EmulatedDevice(races=True)
    device.compiled(FAULTY_TEXT)
    monkeypatch.setattr(emulation.subprocess, "run", run)
    with pytest.raises(KernelError, match="kernel 'scan_float': said"):
        device.run(FAULTY_TEXT, [device_texts.scan(torch.float32).launch("scan")])
    assert asked[1] == ["setarch", platform.machine(), "--addr-no-randomize", *asked[0]]


@pytest.mark.parametrize("order", ["in order", "greedy"])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("not all at a barrier", "Block (0, 0): 128 threads at __syncthreads() in line 34 (0 to 127), 128 threads ended (128"),
        ("at two barriers", "comes to __syncthreads() in line 3"),
        ("not all at a shuffle", "64 threads at __shfl_xor_sync() in line 41 (0, 4, 8, ...), 192 threads at __syncthreads()"),
        ("beyond shared memory", "block (0, 0): wrote beyond the 512 bytes of its shared memory."),
    ],
)  # fmt: skip
def test_faults_of_a_block_are_named(fault, said, order):
    """A barrier that not all threads reach ends with one sentence: order, kernel, block, and which threads are where."""
    message = killed("scan", BLOCK_FAULTS, fault, torch.float32, order)
    kernel = f"kernel 'scan_float_{BLOCK_FAULTS.index(fault) + 1}'"
    assert message.startswith(f"EmulatedDevice('{order}'): scan written by hand: {kernel}") and said in message
    assert "\n" not in message


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("no first cluster barrier", "which may not run yet. A cluster_barrier() is missing before."),
        ("no last cluster barrier", "A cluster_barrier() is missing at the end."),
        ("beyond its block", "of the shared memory, which has 512."),
    ],
)
def test_faults_of_a_cluster_are_named(fault, said, order):
    """A store into a block that may not run yet, or no longer, or beyond its memory is found in every order."""
    message = killed("spread", CLUSTER_FAULTS, fault, torch.float32, order)
    assert said in message and f"kernel 'spread_float_{CLUSTER_FAULTS.index(fault) + 1}', block (" in message


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("beyond a buffer", "AddressSanitizer: heap-buffer-overflow"),
        ("beyond shared memory", "AddressSanitizer: heap-buffer-overflow"),
        ("beyond a local array", "runtime error: index 16 out of bounds for type 'float [16]'"),
    ],
)
def test_wrong_indices_are_killed_by_the_sanitizers(fault, said):
    """A step beyond a tensor, the shared memory or a local array is named with its line, even where it changes no number."""
    needed.sanitizers()
    message = killed("scan", BLOCK_FAULTS, fault, torch.float32, "in order", sanitize=True)
    kernel = f"kernel 'scan_float_{BLOCK_FAULTS.index(fault) + 1}', block ("
    assert message.startswith(f"EmulatedDevice('in order', sanitize=True): scan written by hand: {kernel}")
    assert said in message and " kernels.cpp:" in message and "Shadow bytes" not in message
    if fault != "beyond shared memory":
        assert killed("scan", BLOCK_FAULTS, fault, torch.float32, "in order") == ""


def test_what_is_written_beyond_a_buffer_is_found_without_a_sanitizer():
    """The message names kernel and the column of the table."""
    scan = device_texts.scan(torch.float32)
    right = scan.launch("scan")
    table = [[*row[:4], row[4].flatten()[:-64].clone()] for row in right.table]
    short = Launch("scan_float", right.programs, right.tiles, right.threads, 1, right.shared, table)
    with pytest.raises(
        KernelError, match="kernel 'scan_float' wrote beyond the 2304 bytes of a buffer, the one of column 4"
    ):
        EmulatedDevice().run(FAULTY_TEXT, [short])


def edges(dtype):
    """Numbers of all magnitudes, ties, zeros of both signs, infinities and NaN; pairs of all of them in the first places."""
    special = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 88.0, -104.0, 1e-30, -1e-30]
    pairs = [(a, b) for a in special for b in special]
    grid = np.concatenate([np.linspace(-130, 130, 521), np.geomspace(1e-20, 50, 101), -np.geomspace(1e-20, 50, 101)])
    a = np.array([a for a, _ in pairs] + list(grid))
    b = np.array([b for _, b in pairs] + list(grid[::-1]))
    return torch.tensor(a, dtype=dtype), torch.tensor(b, dtype=dtype)


MEANINGS = {
    "exp": lambda a, b: np.exp(a),
    "log": lambda a, b: np.log(a),
    "tanh": lambda a, b: np.tanh(a),
    "sigmoid": lambda a, b: expit(a),
    "softplus": lambda a, b: np.logaddexp(a, 0),
    "relu": lambda a, b: np.maximum(a, 0),
    "absolute": lambda a, b: np.abs(a),
    "sign": lambda a, b: np.sign(a),
    "maximum": np.maximum,
    "minimum": np.minimum,
}


@pytest.fixture(scope="module")
def maths():
    """Operands and values of all functions, by dtype: one request."""
    needed.cxx()
    launches, found = [], {}
    for dtype in DTYPES:
        a, b = edges(dtype)
        out = torch.zeros(len(FUNCTIONS), len(a), dtype=dtype)
        table = [[each, len(a), a, b, out[each]] for each in range(len(FUNCTIONS))]
        launches.append(Launch(f"apply_{REALS[dtype]}", len(FUNCTIONS), 1, 96, 1, 0, table))
        found[dtype] = a, b, out
    EmulatedDevice().run(FAULTY_TEXT, launches)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_are_accurate_to_four_units_in_the_last_place(function, dtype, maths):
    """Against numpy in float64: NaN passes, infinities and ties are as in numpy and torch, nothing overflows on the way."""
    a, b, out = (each.double().numpy() for each in maths[dtype])
    with np.errstate(all="ignore"):
        expected = MEANINGS[function](a, b).astype(maths[dtype][0].numpy().dtype)
        got = out[FUNCTIONS.index(function)]
        unit = np.spacing(np.abs(expected))
        close = np.abs(got - expected) <= 4 * unit
    same = (np.isnan(got) & np.isnan(expected)) | (got == expected)
    assert (same | close).all() and np.isnan(expected).any() and len(expected) > 800
    if function in ("relu", "maximum", "minimum"):
        arguments = maths[dtype][:2] if function.endswith("imum") else maths[dtype][:1]
        np.testing.assert_array_equal(got, getattr(torch, function)(*arguments).numpy())


def test_a_text_is_compiled_once(monkeypatch):
    """The program is kept: a second device, and a second process, only run it; sanitized it is another one."""
    first = EmulatedDevice().compiled(FAULTY_TEXT)
    monkeypatch.setattr(EmulatedDevice, "_compile", None)
    assert EmulatedDevice("greedy").compiled(FAULTY_TEXT) == first
    with pytest.raises(TypeError, match="not callable"):
        EmulatedDevice().compiled(FAULTY_TEXT + "// changed\n")
    assert os.access(first, os.X_OK) and first.parent == kept.folder()


def test_a_text_that_does_not_compile_is_named():
    """The compiler's words follow the text's first comment; what CUDA has and the contract does not is among that."""
    with pytest.raises(KernelError, match=r"cell x, class y does not compile\.\nkernels\.cpp:2:.*__ballot_sync"):
        EmulatedDevice().compiled("// cell x, class y\nint votes = __ballot_sync(1, 1);\n")


def test_a_kernel_that_the_text_has_not_is_named():
    """So a typing error in a launch is seen."""
    with pytest.raises(KernelError, match="kernel 'scam': the text has none of this name"):
        EmulatedDevice().run(FAULTY_TEXT, [Launch("scam", 1, 1, 32, 1, 0, [[0]])])


def test_a_tensor_has_to_be_on_the_cpu():
    """What the emulation cannot read it refuses."""
    with pytest.raises(ValueError, match="a tensor of an emulated launch is on meta; expected the CPU"):
        EmulatedDevice().run(FAULTY_TEXT, [Launch("scan_float", 1, 1, 32, 1, 0, [[torch.zeros(3, device="meta")]])])


def test_an_order_has_to_be_one():
    """The orders are named; the sanitizers exclude each other."""
    with pytest.raises(
        ValueError, match="got 'random'; expected one of in order, reversed, shuffled 1, shuffled 2, greedy"
    ):
        EmulatedDevice("random")
    with pytest.raises(ValueError, match="got sanitize and races; expected one of them"):
        EmulatedDevice(sanitize=True, races=True)


def test_without_a_compiler_it_says_so(monkeypatch):
    """The message says what to install."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert emulation.compiler() is None
    with pytest.raises(KernelError, match="found no C\\+\\+ compiler. Install g\\+\\+, or set CXX"):
        EmulatedDevice()


def test_a_loop_without_end_is_ended(monkeypatch):
    """A kernel that does not end is named."""
    monkeypatch.setattr(emulation, "SECONDS", 0.0)
    with pytest.raises(KernelError, match="kernels 'scan_float' did not end within 0 s"):
        EmulatedDevice().run(FAULTY_TEXT, [device_texts.scan(torch.float32).launch("scan")])
