"""What a device is asked for, recorded by a driver that has none: modules, attributes, launches, and how refusals are told."""

import contextlib
import ctypes
import enum
import gc
import sys
import threading
import time
import types
from functools import partial

import pytest
import torch

from lstm_odyssey.backends.cuda.running import driver as ours
from lstm_odyssey.backends.cuda.running import nvrtc
from lstm_odyssey.backends.cuda.running.driver import CudaDevice
from lstm_odyssey.backends.cuda.running.launch import KernelError, Launch, Loop

TEXT = "// cell x, class y\n"
GRAPHS = ("cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate", "cuGraphLaunch", "cuGraphDestroy",
          "cuGraphExecDestroy", "cuStreamCreate")  # fmt: skip
NAMES = ("cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxPushCurrent", "cuCtxPopCurrent", "cuModuleLoadData",
         "cuModuleGetFunction", "cuFuncSetAttribute", "cuLaunchKernelEx")  # fmt: skip


class Result(enum.Enum):
    CUDA_SUCCESS = 0
    CUDA_ERROR_INVALID_VALUE = 1


def attribute():
    return types.SimpleNamespace(id=None, value=types.SimpleNamespace(clusterDim=types.SimpleNamespace()))


def words(code):
    assert code is not Result.CUDA_SUCCESS
    return Result.CUDA_SUCCESS, b"invalid argument"


class Driver:
    """The part of cuda.bindings.driver that is used, with its shapes: each call answers a tuple that begins with a code."""

    CUresult = Result
    CUfunction_attribute = enum.Enum(
        "CUfunction_attribute",
        {
            "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES": 8,
            "CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED": 14,
        },
    )
    CUlaunchAttributeID = enum.Enum("CUlaunchAttributeID", {"CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION": 4})
    CUstream_flags = enum.Enum("CUstream_flags", {"CU_STREAM_NON_BLOCKING": 1})
    CUstreamCaptureMode = enum.Enum("CUstreamCaptureMode", {"CU_STREAM_CAPTURE_MODE_THREAD_LOCAL": 1})
    CUlaunchConfig = types.SimpleNamespace
    CUlaunchAttribute = staticmethod(attribute)

    def __init__(self):
        self.calls, self.places = [], []
        self.refused = None

    def __getattr__(self, name):
        if name == "cuGetErrorString":
            return words
        assert name in NAMES + GRAPHS, name

        def call(*arguments):
            if name == "cuLaunchKernelEx":  # the table is there while it is launched
                (address,), (kind,) = arguments[2]
                assert kind is ctypes.c_void_p
                self.places.append(address)
                arguments = (*arguments[:2], (ctypes.c_longlong * 2).from_address(address)[:2], arguments[3])
            self.calls.append((name, *arguments))
            if name == "cuStreamBeginCapture":
                self.capturing = True
            if name == "cuStreamEndCapture":
                self.capturing = False
            if name == self.refused:
                return Result.CUDA_ERROR_INVALID_VALUE, None
            if name == "cuStreamCreate":
                return Result.CUDA_SUCCESS, 0x201
            if name in ("cuStreamEndCapture", "cuGraphInstantiate"):
                return Result.CUDA_SUCCESS, f"{name} {arguments[0]}"
            if name in GRAPHS:
                return (Result.CUDA_SUCCESS,)
            answer = f"{name} {arguments[-1]}" if name.endswith(("Get", "Retain", "Data", "Function")) else None
            return (Result.CUDA_SUCCESS,) if name in NAMES[-2:] else (Result.CUDA_SUCCESS, answer)

        return call

    def named(self, name):
        return [call[1:] for call in self.calls if call[0] == name]


class Stream:
    cuda_stream = 0x77

    def __init__(self):
        self.waited = []

    def wait_stream(self, other):
        self.waited.append(other)


@contextlib.contextmanager
def on(cuda, stream):
    """torch's current stream is this one, while it lasts."""
    before, cuda.stream = cuda.stream, stream
    try:
        yield
    finally:
        cuda.stream = before


@pytest.fixture
def cuda(monkeypatch):
    """A driver that records, and a torch that believes in two devices."""
    fake, stream = Driver(), Stream()
    fake.stream, fake.capturing = stream, False
    monkeypatch.setattr(ours, "_driver", lambda: fake)
    answers = {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "init": lambda: None,
        "current_device": lambda: 0,
        "get_device_name": lambda index: "H200",
        "get_device_capability": lambda index: (9, 0),
        "get_device_properties": lambda index: types.SimpleNamespace(multi_processor_count=132),
        "current_stream": lambda device: fake.stream,
        "device": lambda device: contextlib.nullcontext(),
        "is_current_stream_capturing": lambda: fake.capturing,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, answer)

    def copied(self, rows, place):
        return torch.tensor(rows) if place is None else place.copy_(torch.tensor(rows))

    monkeypatch.setattr(CudaDevice, "_copied", copied)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: None)
    monkeypatch.setattr(
        nvrtc, "compiled", lambda text, architecture: nvrtc.Cubin(f"{architecture} {text}".encode(), {})
    )
    return fake


def test_a_launch_says_grid_block_cluster_memory_stream_and_table(cuda):
    """All numbers of a launch reach the driver; a cluster is an attribute, and a launch without one has none."""
    launches = [
        Launch("forward", 3, 5, 128, 4, 1024, [[1, 2], [3, None], [5, 6]]),
        Launch("backward", 1, 2, 256, 1, 0, [[7, 8]]),
    ]
    CudaDevice("cuda:1").run(TEXT, launches)
    assert cuda.named("cuDeviceGet") == [(1,)] and cuda.named("cuModuleLoadData") == [(b"sm_90 " + TEXT.encode(),)]
    assert [name for _, name in cuda.named("cuModuleGetFunction")] == [b"forward", b"backward"]
    (first, function, table, extra), (second, *_) = cuda.named("cuLaunchKernelEx")
    assert (first.gridDimX, first.gridDimY, first.gridDimZ) == (20, 3, 1)
    assert (first.blockDimX, first.blockDimY, first.blockDimZ) == (128, 1, 1)
    assert (first.sharedMemBytes, first.hStream, first.numAttrs, extra) == (1024, 0x77, 1, 0)
    (attribute,) = first.attrs
    assert attribute.id.name == "CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION"
    assert vars(attribute.value.clusterDim) == {"x": 4, "y": 1, "z": 1}
    assert table == [1, 2] and "forward" in function
    assert second.gridDimX == 2 and not hasattr(second, "attrs")
    assert cuda.named("cuFuncSetAttribute") == []


def test_a_text_is_loaded_once_and_attributes_grow(cuda):
    """Large shared memory and clusters beyond the portable eight are asked for when a launch needs more than before."""
    device = CudaDevice()
    for shared, cluster in ((48 * 1024, 8), (100_000, 1), (90_000, 1), (200_000, 16), (200_000, 16)):
        device.run(TEXT, [Launch("forward", 1, 1, 32, cluster, shared, [[1, 2]])])
    assert len(cuda.named("cuModuleLoadData")) == len(cuda.named("cuModuleGetFunction")) == 1
    assert [(attribute.value, value) for _, attribute, value in cuda.named("cuFuncSetAttribute")] == [
        (8, 100_000), (8, 200_000), (14, 1),
    ]  # fmt: skip
    device.run(TEXT + "// another\n", [Launch("forward", 1, 1, 32, 1, 0, [[1, 2]])])
    assert len(cuda.named("cuModuleLoadData")) == 2


@pytest.mark.parametrize("refused", NAMES)
def test_a_refusal_names_cell_kernel_and_device(refused, cuda):
    """Every code is looked at; the message holds what was asked for, and the context is put back."""
    cuda.refused = refused
    with pytest.raises(
        KernelError, match=rf"{refused} answered CUDA_ERROR_INVALID_VALUE \(invalid argument\)"
    ) as caught:
        CudaDevice("cuda:1").run(TEXT, [Launch("forward", 1, 1, 32, 16, 99_999, [[1, 2]])])
    if NAMES.index(refused) < 4:
        assert str(caught.value).startswith("H200, cuda:1: ")
    else:
        assert str(caught.value).startswith(
            "cell x, class y, kernel 'forward' on H200, cuda:1 (sm_90), 32 threads, cluster of 16, 99999 bytes of shared memory"
        )
        assert len(cuda.named("cuCtxPushCurrent")) == len(cuda.named("cuCtxPopCurrent"))


def test_prepared_launches_run_again_on_any_stream(cuda):
    """What is prepared is launched again without a copy; another stream waits for the tables, a captured one must not."""
    device = CudaDevice()
    ready = device.prepare(TEXT, [Launch("forward", 1, 1, 32, 1, 0, [[1, 2]])])
    assert cuda.named("cuLaunchKernelEx") == []
    made, other = cuda.stream, Stream()
    ready.run()
    cuda.stream = other
    ready.run()
    cuda.capturing = True
    ready.run()
    assert len(cuda.named("cuLaunchKernelEx")) == 3 and other.waited == [made] and made.waited == []


@pytest.fixture
def streams(cuda, monkeypatch):
    """torch's streams of the fake device: those that are made, and the current one for as long as it is."""
    made = []

    class Side(Stream):
        def __init__(self, handle, device):
            super().__init__()
            made.append(self)
            self.cuda_stream = handle

    monkeypatch.setattr(torch.cuda, "ExternalStream", Side)
    monkeypatch.setattr(torch.cuda, "stream", partial(on, cuda))
    return made


def prepared(device):
    return [device.prepare(TEXT, [Launch(name, 1, 1, 32, 1, 0, [[1, 2]])]) for name in ("one", "two")]


def test_a_graph_is_captured_once_and_launched_as_often_as_wanted(cuda, streams):
    """All launches on one stream of its own between begin and end; then a call each; the driver's objects are given back."""
    device, main = CudaDevice(), cuda.stream
    ready = prepared(device)
    del cuda.calls[:]
    graph = device.graph(ready)
    names = [call[0] for call in cuda.calls if "Ctx" not in call[0]]
    launch = "cuLaunchKernelEx"
    assert names == [
        "cuStreamCreate",
        "cuStreamBeginCapture",
        launch,
        launch,
        "cuStreamEndCapture",
        "cuGraphInstantiate",
        "cuGraphDestroy",
    ]
    ((stream, mode),) = cuda.named("cuStreamBeginCapture")
    assert cuda.named("cuStreamCreate") == [(1,)], "which waits for no other stream"
    assert stream == 0x201 and mode.name.endswith("THREAD_LOCAL") and cuda.named("cuStreamEndCapture") == [(0x201,)]
    assert {call[0].hStream for call in cuda.named(launch)} == {0x201} and streams[0].waited == []
    graph.run()
    graph.run()
    assert cuda.named("cuGraphLaunch") == [("cuGraphInstantiate cuStreamEndCapture 513", 0x77)] * 2
    other = cuda.stream = Stream()
    graph.run()
    graph.run()
    assert other.waited == [main] and len(cuda.named(launch)) == 2
    device.graph(ready)
    assert len(streams) == 1, "one stream for all captures"
    del graph
    assert cuda.named("cuGraphExecDestroy")[-1] == ("cuGraphInstantiate cuStreamEndCapture 513",)
    assert len(cuda.named("cuCtxPushCurrent")) == len(cuda.named("cuCtxPopCurrent"))


@pytest.mark.parametrize("refused", [*GRAPHS[:3], "cuLaunchKernelEx"])
def test_a_capture_that_is_refused_is_ended(refused, cuda, streams):
    """The error names call and device, the stream is out of capture, and no graph is left over."""
    device = CudaDevice("cuda:1")
    ready = prepared(device)
    cuda.refused = refused
    with pytest.raises(KernelError, match=rf"H200, cuda:1.*{refused} answered CUDA_ERROR_INVALID_VALUE"):
        device.graph(ready)
    assert len(cuda.named("cuStreamEndCapture")) == (refused != "cuStreamBeginCapture")
    destroyed = [graph for (graph,) in cuda.named("cuGraphDestroy")]
    assert destroyed == ([] if refused in GRAPHS[:2] else ["cuStreamEndCapture 513"])
    assert len(cuda.named("cuCtxPushCurrent")) == len(cuda.named("cuCtxPopCurrent")) and cuda.stream.cuda_stream == 0x77


def test_captures_take_turns_and_nothing_is_collected_in_one(cuda, streams, monkeypatch):
    """There is one stream for them: a second thread waits. What torch frees meanwhile would end up in the graph."""
    device, told, begun = CudaDevice(), [], threading.Event()

    class Slow:
        """A part whose launch lasts until another thread asks for a graph too."""

        def run(self):
            told.append(("begin", gc.isenabled()))
            if len(told) == 1:
                begun.set()
                time.sleep(0.05)
            told.append(("end", gc.isenabled()))

    def other():
        begun.wait()
        device.graph([Slow(), Slow()])

    thread = threading.Thread(target=other)
    thread.start()
    device.graph([Slow(), Slow()])
    thread.join()
    assert told == [("begin", False), ("end", False)] * 4 and gc.isenabled()


def test_an_error_of_a_graph_names_cells_and_device(cuda, streams):
    """Its launch's too, which is where most of a training's launches go; of many texts the first few."""
    device = CudaDevice("cuda:1")
    texts = [f"// cell {name}, class y\n" for name in "abcde"]
    graph = device.graph([device.prepare(text, [Launch("one", 1, 1, 32, 1, 0, [[1, 2]])]) for text in texts])
    cuda.refused = "cuGraphLaunch"
    named = r"H200, cuda:1: a graph of 5 parts \(cell a, class y; cell b, class y; cell c, class y and 2 more\)"
    with pytest.raises(KernelError, match=f"{named}: cuGraphLaunch answered"):
        graph.run()


def loop(times, *numbers):
    """Two kernels with one table, and one with its own."""
    shared = [[numbers[0], 1]]
    own = [Launch(name, 1, 1, 32, 1, 0, shared) for name in ("one", "two")]
    return Loop((*own, Launch("tick", 1, 1, 32, 1, 0, [[numbers[1], 2]])), times)


def test_a_loop_is_graphs_of_powers_of_two_from_its_second_time_on(cuda, streams):
    """Whatever its tables say and however many turns it has: a call writes them in place, and the graphs read them there."""
    device = CudaDevice()
    begin = Launch("begin", 1, 1, 32, 1, 0, [[5, 5]])
    device.run(TEXT, [begin, loop(5, 3, 4)])
    tables = [call[2] for call in cuda.named("cuLaunchKernelEx")]
    assert tables == [[5, 5], *[[3, 1], [3, 1], [4, 2]] * 5] and cuda.named("cuGraphLaunch") == []
    one, two, tick = cuda.places[1:4]
    assert one == two != tick and set(cuda.places[1:]) == {one, tick}

    def now():
        return [list((ctypes.c_longlong * 2).from_address(place)) for place in (one, tick)]

    del cuda.calls[:], cuda.places[:]
    device.run(TEXT, [loop(6, 7, 8), begin])
    assert now() == [[7, 1], [8, 2]] and set(cuda.places[:-1]) == {one, tick}
    captured = [call[0] for call in cuda.calls if call[0].startswith("cu") and "Ctx" not in call[0]]
    assert captured.count("cuStreamBeginCapture") == 2 and captured.count("cuGraphLaunch") == 2
    assert captured.count("cuLaunchKernelEx") == 3 * (4 + 2) + 1
    del cuda.calls[:]
    device.run(TEXT, [loop(4, 9, 9)])
    assert now() == [[9, 1], [9, 2]] and len(cuda.named("cuGraphLaunch")) == 1 and not cuda.named("cuLaunchKernelEx")
    cuda.stream, before = Stream(), cuda.stream
    device.run(TEXT, [loop(4, 10, 9)])
    assert before in cuda.stream.waited, "what runs of it on another stream reads the tables"


def test_inside_somebody_s_capture_a_loop_is_launches(cuda):
    """A graph is not captured into another, and its tables are its own."""
    device = CudaDevice()
    device.run(TEXT, [loop(2, 3, 4)])
    del cuda.calls[:]
    cuda.capturing = True
    device.run(TEXT, [loop(2, 5, 6)])
    assert len(cuda.named("cuLaunchKernelEx")) == 6 and not cuda.named("cuStreamBeginCapture")


def test_size_classes_run_side_by_side(cuda, monkeypatch):
    """All but the first go onto streams of their own, which wait for torch's and are waited for; streams are made once."""
    order, made = [], []

    class Side(Stream):
        def __init__(self, device):
            super().__init__()
            made.append(self)
            self.cuda_stream = 0x100 + len(made)

        def wait_stream(self, other):
            order.append((self, "waits for", other))

    monkeypatch.setattr(torch.cuda, "Stream", Side)
    monkeypatch.setattr(torch.cuda, "stream", partial(on, cuda))
    device, main = CudaDevice(), cuda.stream
    monkeypatch.setattr(main, "wait_stream", lambda other: order.append((main, "waits for", other)))
    ready = [device.prepare(TEXT, [Launch(name, 1, 1, 32, 1, 0, [[1, 2]])]) for name in ("one", "two", "three")]
    together = device.together(ready)
    assert device.together(ready[:2]) is not together and len(made) == 2
    together.run()
    streams = {call[1]: call[0].hStream for call in cuda.named("cuLaunchKernelEx")}
    assert [stream for name, stream in streams.items() if "one" in name] == [0x77]
    assert sorted(streams.values()) == [0x77, 0x101, 0x102]
    assert order[-2:] == [(main, "waits for", side) for side in made]
    for side in made:
        assert (side, "waits for", main) in order[:-2]


def test_what_runs_side_by_side_is_joined_where_a_launch_is_refused(cuda, monkeypatch):
    """Whoever is told of it frees memory that the other streams still write to."""
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "stream", partial(on, cuda))
    device, main = CudaDevice(), cuda.stream
    ready = [device.prepare(TEXT, [Launch(name, 1, 1, 32, 1, 0, [[1, 2]])]) for name in ("one", "two", "three")]
    together = device.together(ready)
    cuda.refused = "cuLaunchKernelEx"
    with pytest.raises(KernelError):
        together.run()
    assert main.waited == device._streams and len(main.waited) == 2
    assert str(together) == "cell x, class y"


def test_a_tensor_has_to_be_on_the_device(cuda):
    """An address of another memory never reaches a kernel."""
    with pytest.raises(ValueError, match="kernel 'forward': a tensor of its table is on cpu; expected cuda:0"):
        CudaDevice().run(TEXT, [Launch("forward", 1, 1, 32, 1, 0, [[torch.zeros(2)]])])


@pytest.mark.parametrize("asked", ["cuda:2", "cpu"])
def test_a_device_that_is_not_there_is_refused(asked, cuda):
    """The message says how many torch sees."""
    with pytest.raises(KernelError, match=f"device '{asked}': torch sees 2 CUDA devices, expected this one"):
        CudaDevice(asked)


def test_without_cuda_bindings_it_says_so(monkeypatch):
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(KernelError, match="the package cuda-bindings is not installed"):
        CudaDevice()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"threads": 1025}, "got 1025 threads; expected 1 to 1024"),
        ({"cluster": 3}, "got a cluster of 3; expected one of 1, 2, 4, 8, 16"),
        ({"table": [[1, 2]]}, "got a table of 1 rows; expected one a program, 2"),
        ({"table": [[1, 2], [3]]}, "got a table with rows of 1 and 2 entries; expected rows equally long"),
        ({"tiles": 0}, "got 2 programs of 0 tiles; expected at least 1 each"),
        ({"shared": -1}, "got -1 bytes of shared memory; expected 0 or more"),
    ],
)
def test_a_launch_that_does_not_fit_together_is_refused(wrong, said):
    """Before any device is asked."""
    sizes = {"programs": 2, "tiles": 1, "threads": 32, "cluster": 1, "shared": 0, "table": [[1, 2], [3, 4]]}
    with pytest.raises(ValueError, match=f"launch of kernel 'forward': {said}"):
        Launch("forward", **{**sizes, **wrong})


def test_a_loop_that_is_prepared_brings_its_tables_on_the_device(cuda, streams, monkeypatch):
    """Two of other tables and lengths run by turns: each writes its own where the same graphs read; nothing is uploaded."""
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
    device = CudaDevice()
    end = Launch("end", 1, 1, 32, 1, 0, [[6, 6]])
    first, second = device.looped(TEXT, [loop(3, 3, 4), end]), device.looped(TEXT, [loop(2, 7, 8), end])
    assert not first.in_a_graph and device.looped(TEXT, [end]).in_a_graph
    assert not device.together([first, second]).in_a_graph and not cuda.named("cuLaunchKernelEx")
    first.run()
    assert [call[2] for call in cuda.named("cuLaunchKernelEx")] == [*[[3, 1], [3, 1], [4, 2]] * 3, [6, 6]]
    one, _, tick = cuda.places[:3]
    monkeypatch.setattr(device, "_copied", None)
    del cuda.calls[:]

    def now():
        return [list((ctypes.c_longlong * 2).from_address(place)) for place in (one, tick)]

    for runs, numbers in ((second, [[7, 1], [8, 2]]), (first, [[3, 1], [4, 2]]), (second, [[7, 1], [8, 2]])):
        runs.run()
        assert now() == numbers
    assert len(cuda.named("cuGraphInstantiate")) == 2 and len(cuda.named("cuGraphLaunch")) == 1 + 2 + 1
    assert len(cuda.named("cuLaunchKernelEx")) == 3 * (2 + 1) + 3, "captured once, and what comes after each loop"
    cuda.stream, before = Stream(), cuda.stream
    second.run()
    assert cuda.stream.waited.count(before) >= 3, "the tables, theirs and the graphs' own, are read there now"


def test_a_text_is_compiled_before_the_lock_for_which_others_wait(cuda, monkeypatch):
    """A second text is loaded and launched while the first one is with the compiler."""
    device, compiled, compiling, done = CudaDevice(), nvrtc.compiled, threading.Event(), threading.Event()

    def slow(text, architecture):
        if "slow" in text:
            compiling.set()
            assert done.wait(30)
        return compiled(text, architecture)

    monkeypatch.setattr(nvrtc, "compiled", slow)
    launch = Launch("forward", 1, 1, 32, 1, 0, [[1, 2]])
    thread = threading.Thread(target=device.run, args=("// slow\n", [launch]))
    thread.start()
    assert compiling.wait(30)
    device.run(TEXT, [launch])
    assert len(cuda.named("cuLaunchKernelEx")) == 1
    done.set()
    thread.join()
    assert len(cuda.named("cuLaunchKernelEx")) == 2 == len(cuda.named("cuModuleLoadData"))
