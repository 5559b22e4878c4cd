"""A GPU by CUDA's driver API: cubins become modules, launches go onto torch's current stream. Nothing here waits for it.

``cuda-bindings`` comes with torch's CUDA wheels and is imported when a device is made. torch's tensors and ours live in one
context, the device's primary one.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from lstm_odyssey.backends.cuda.running import nvrtc
from lstm_odyssey.backends.cuda.running.graphs import Graph
from lstm_odyssey.backends.cuda.running.launch import (
    KernelError,
    Launch,
    Loop,
    Numbers,
    Runs,
    Table,
    Work,
    about,
    unrolled,
)
from lstm_odyssey.backends.cuda.running.loops import Loops
from lstm_odyssey.backends.cuda.running.prepared import Prepared, Together

_WITHOUT_ASKING = 48 * 1024
"""Bytes of dynamic shared memory that every kernel may have."""

_PORTABLE_CLUSTER = 8
"""Blocks of a cluster that every device with clusters can run."""


def _driver() -> Any:
    try:
        from cuda.bindings import driver
    except ImportError as error:
        raise KernelError(
            "backend 'cuda': the package cuda-bindings is not installed. It comes with torch's CUDA wheels; or install "
            "cuda-bindings of the driver's major version."
        ) from error
    return driver


_DEVICES: dict[int, CudaDevice] = {}
_LOCK = threading.Lock()


class CudaDevice:
    """Runs kernels on a GPU.

    Args:
        device: such as "cuda" or "cuda:1".

    Raises:
        KernelError: there is no such device, no cuda-bindings or no NVRTC.
    """

    def __init__(self, device: str | torch.device = "cuda") -> None:
        self.driver = _driver()
        asked = torch.device(device)
        if asked.type != "cuda" or not torch.cuda.is_available() or (asked.index or 0) >= torch.cuda.device_count():
            raise KernelError(
                f"device '{device}': torch sees {torch.cuda.device_count()} CUDA devices, expected this one."
            )
        torch.cuda.init()
        index = torch.cuda.current_device() if asked.index is None else asked.index
        self.device = torch.device("cuda", index)
        self.name = f"{torch.cuda.get_device_name(index)}, {self.device}"
        major, minor = torch.cuda.get_device_capability(index)
        self.architecture = f"sm_{major}{minor}"
        self.processors = torch.cuda.get_device_properties(index).multi_processor_count
        # torch holds this context for as long as the process lives, so it is not released here
        number = self.checked("cuDeviceGet", self.name, index)
        self._context = self.checked("cuDevicePrimaryCtxRetain", self.name, number)
        self._modules: dict[str, Any] = {}
        self._functions: dict[tuple[str, str], Any] = {}
        self._allowed: dict[tuple[str, str], tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._streams: list[Any] = []
        self._capturing: Any = None
        self._captures = threading.Lock()
        self._loops = Loops(self)

    @classmethod
    def of(cls, device: torch.device) -> CudaDevice:
        """The one there is of a GPU, made when it is first asked for."""
        index = torch.cuda.current_device() if device.index is None else device.index
        with _LOCK:
            if index not in _DEVICES:
                _DEVICES[index] = cls(torch.device("cuda", index))
            return _DEVICES[index]

    def __repr__(self) -> str:
        return f"CudaDevice({str(self.device)!r})"

    def run(self, text: str, work: Sequence[Work]) -> None:
        """Compile the text if it is new and put the launches onto torch's current stream, in turn; a loop by ``loops``.

        Raises:
            KernelError: the text does not compile, or the driver refuses a launch. What goes wrong while a kernel runs, the
                driver tells at a later call, torch's own included.
        """
        # a graph of the caller's can hold none of ours
        if any(isinstance(one, Loop) for one in work) and not self.captured():
            self._loops.run(text, work)
        else:
            self.prepare(text, work).run()

    def prepare(self, text: str, work: Sequence[Work]) -> Prepared:
        """Compile, load and copy the tables, so that ``run()`` of what is returned only launches, as often as wanted.

        That is what a CUDA graph may capture. The caller keeps the returned object and the tables' tensors for as long.
        """
        stream, launches = torch.cuda.current_stream(self.device), unrolled(work)
        with torch.cuda.device(self.device), self.current():
            functions = [self._function(text, launch) for launch in launches]
            once = {id(launch.table): launch for launch in launches}  # the steps of a scan share one
            uploaded = {key: self.upload(launch.kernel, launch.made) for key, launch in once.items()}
            tables = [uploaded[id(launch.table)] for launch in launches]
        return Prepared(self, text, launches, functions, tables, stream)

    def looped(self, text: str, work: Sequence[Work]) -> Runs:
        """As ``prepare``, with the turns of a loop as graphs, which a capture cannot hold."""
        return self._loops.prepare(text, work)

    def build(self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None) -> None:
        """Compile many texts on all cores."""
        nvrtc.build_all(texts, self.architecture, progress)

    def free(self) -> int:
        """Bytes that nobody has, those that torch's allocator holds included."""
        free, _ = torch.cuda.mem_get_info(self.device)
        return int(free + torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device))

    def event(self) -> Any:
        """An event with a time, of the stream that is torch's current one when it is recorded."""
        return torch.cuda.Event(enable_timing=True)

    def together(self, prepared: Sequence[Runs]) -> Together:
        """What runs several side by side: each but the first on a stream of its own, joined to torch's before and after."""
        while len(self._streams) < len(prepared) - 1:
            self._streams.append(torch.cuda.Stream(self.device))
        return Together(self.device, prepared, self._streams[: len(prepared) - 1])

    def graph(self, prepared: Sequence[Runs]) -> Graph:
        """All of them as one graph."""
        return Graph(self, prepared)

    def captured(self) -> bool:
        """Whether torch's current stream of this device is being captured."""
        with torch.cuda.device(self.device):
            return torch.cuda.is_current_stream_capturing()

    @contextlib.contextmanager
    def capturing(self) -> Iterator[Any]:
        """A stream for a graph to be captured on, of which there is one, that nobody else can come by."""
        with self._captures:
            if self._capturing is None:
                flag = self.driver.CUstream_flags.CU_STREAM_NON_BLOCKING.value
                made = self.checked("cuStreamCreate", self.name, flag)
                self._capturing = torch.cuda.ExternalStream(int(made), device=self.device)
            yield self._capturing

    def upload(self, kernel: str, table: Table, place: Tensor | None = None) -> Tensor:
        """A kernel's table in the device's memory, in place of another if there is a place.

        Raises:
            ValueError: a tensor of the table is on another device.
        """
        for tensor in table.tensors:
            if tensor.device != self.device:
                raise ValueError(
                    f"kernel '{kernel}': a tensor of its table is on {tensor.device}; expected {self.device}."
                )
        return self._copied(table.addresses(), place)

    def _copied(self, rows: Numbers, place: Tensor | None) -> Tensor:
        """The copy is in order with the stream, from memory that torch frees after it."""
        pinned = torch.from_numpy(rows).pin_memory()
        return pinned.to(self.device, non_blocking=True) if place is None else place.copy_(pinned, non_blocking=True)

    def _function(self, text: str, launch: Launch) -> Any:
        """The kernel's handle, allowed the launch's shared memory and cluster."""
        place, key = self._place(text, launch), (text, launch.kernel)
        attributes = self.driver.CUfunction_attribute
        known = text in self._modules  # what is new is compiled before the lock, for which others wait
        cubin = None if known else nvrtc.compiled(text, self.architecture)
        with self._lock:
            if cubin is not None and text not in self._modules:
                self._modules[text] = self.checked("cuModuleLoadData", place, cubin.code)
            if key not in self._functions:
                module = self._modules[text]
                self._functions[key] = self.checked("cuModuleGetFunction", place, module, launch.kernel.encode())
            function = self._functions[key]
            shared, cluster = self._allowed.get(key, (_WITHOUT_ASKING, _PORTABLE_CLUSTER))
            if launch.shared > shared:
                attribute = attributes.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
                self.checked("cuFuncSetAttribute", place, function, attribute, launch.shared)
            if launch.cluster > cluster:
                attribute = attributes.CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED
                self.checked("cuFuncSetAttribute", place, function, attribute, 1)
            self._allowed[key] = max(shared, launch.shared), max(cluster, launch.cluster)
        return function

    def config(self, launch: Launch) -> Any:
        """What the driver is told of a launch, but for the stream."""
        driver = self.driver
        config = driver.CUlaunchConfig()
        config.gridDimX, config.gridDimY, config.gridDimZ = launch.grid
        config.blockDimX, config.blockDimY, config.blockDimZ = launch.threads, 1, 1
        config.sharedMemBytes = launch.shared
        if launch.cluster > 1:
            attribute = driver.CUlaunchAttribute()
            attribute.id = driver.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
            dimension = attribute.value.clusterDim
            dimension.x, dimension.y, dimension.z = launch.cluster, 1, 1
            config.attrs, config.numAttrs = [attribute], 1
        return config

    def launch(self, text: str, launch: Launch, function: Any, table: Tensor, config: Any) -> None:
        """One launch onto torch's current stream."""
        config.hStream = torch.cuda.current_stream(self.device).cuda_stream
        argument = (table.data_ptr(),), (ctypes.c_void_p,)
        self.checked("cuLaunchKernelEx", lambda: self._place(text, launch), config, function, argument, 0)

    def _place(self, text: str, launch: Launch) -> str:
        return (
            f"{about(text)}, kernel '{launch.kernel}' on {self.name} ({self.architecture}), {launch.threads} threads, cluster "
            f"of {launch.cluster}, {launch.shared} bytes of shared memory"
        )

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """While this lasts, the device's context is the thread's; a thread that autograd has started may have none."""
        self.checked("cuCtxPushCurrent", self.name, self._context)
        try:
            yield
        finally:
            self.checked("cuCtxPopCurrent", self.name)

    def checked(self, name: str, place: str | Callable[[], str], *arguments: Any) -> Any:
        """Call the driver; what it answers beside the code."""
        code, *values = getattr(self.driver, name)(*arguments)
        self.accepted(name, place, code)
        return values[0] if values else None

    def accepted(self, name: str, place: str | Callable[[], str], code: Any) -> None:
        """Raise what an answer of the driver means, unless it is success."""
        if code == self.driver.CUresult.CUDA_SUCCESS:
            return
        place = place if isinstance(place, str) else place()  # made only where it is said
        words = self.driver.cuGetErrorString(code)[1]
        if getattr(code, "name", "") == "CUDA_ERROR_OUT_OF_MEMORY":
            raise torch.OutOfMemoryError(f"{place}: {name} found no memory.")  # answered by smaller groups
        said = words.decode() if isinstance(words, bytes) else "no words"
        raise KernelError(f"{place}: {name} answered {getattr(code, 'name', code)} ({said}).")
