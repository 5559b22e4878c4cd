"""Cubins without a GPU: each architecture takes the text, ptxas' figures are read, what is compiled is kept."""

import os
import stat

import pytest

from lstm_odyssey.backends.cuda.running import kept, nvrtc
from lstm_odyssey.backends.cuda.running.launch import KernelError
from lstm_odyssey.backends.cuda.running.nvrtc import ARCHITECTURES, Usage
from tests import needed
from tests.device_texts import BLOCK_TEXT, CLUSTER_TEXT

WITHOUT_CLUSTERS = ("sm_80", "sm_86")

LOG = """ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'forward' for 'sm_90'
ptxas info    : Function properties for forward
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 168 registers, used 1 barriers
ptxas info    : Compile time = 12.345 ms
ptxas info    : Compiling entry function 'backward' for 'sm_90'
ptxas info    : Function properties for backward
    96 bytes stack frame, 16 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers, 96 bytes cumulative stack size, 4096+0 bytes smem, 400 bytes cmem[0]
"""


def test_ptxas_is_read():
    """Registers, spills, stack and static shared memory of each kernel, in a log of several."""
    assert nvrtc.usage(LOG) == {"forward": Usage(168, 0, 0, 0, 0), "backward": Usage(128, 16, 4, 96, 4096)}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_takes_the_words_of_the_contract(architecture):
    """A scan and all functions in both dtypes, and on what has clusters the cluster's words: no byte is spilled."""
    needed.cuda_compiler()
    cubin = nvrtc.compiled(BLOCK_TEXT, architecture)
    assert cubin.code.startswith(b"\x7fELF") and set(cubin.usage) == {
        "scan_float", "scan_double", "apply_float", "apply_double",
    }  # fmt: skip
    usages = list(cubin.usage.values())
    if architecture in WITHOUT_CLUSTERS:
        with pytest.raises(KernelError, match=f'(?s)hand, for {architecture}: NVRTC.*"cluster_rank" is undefined'):
            nvrtc.compiled(CLUSTER_TEXT, architecture)
    else:
        usages += nvrtc.compiled(CLUSTER_TEXT, architecture).usage.values()
    assert all(0 < usage.registers <= 128 and usage.spill_stores == usage.spill_loads == 0 for usage in usages)
    assert all(usage.shared == 0 for usage in usages)


def test_a_cubin_is_compiled_once(monkeypatch):
    """It is kept by text and architecture; what is read back is what was compiled."""
    needed.cuda_compiler()
    first = nvrtc.compiled(BLOCK_TEXT, "sm_90")
    monkeypatch.setattr(nvrtc, "_pack", None)
    assert nvrtc.compiled(BLOCK_TEXT, "sm_90") == first
    for text, architecture in ((BLOCK_TEXT + "// changed\n", "sm_90"), (BLOCK_TEXT, "sm_89")):
        with pytest.raises(TypeError, match="not callable"):
            nvrtc.compiled(text, architecture)


def test_many_are_built_at_once_and_progress_is_told(tmp_path, monkeypatch):
    """Each text's own cubin comes back in its place; one that does not compile ends it with its own words."""
    needed.cuda_compiler()
    monkeypatch.setenv("ODYSSEY_CACHE", str(tmp_path))
    texts = [f'extern "C" __global__ void kernel_{k}(const long long* table) {{}}\n' for k in range(3)]
    told = []
    cubins = nvrtc.build_all(texts, "sm_90", lambda done, all_: told.append((done, all_)))
    assert [list(cubin.usage) for cubin in cubins] == [["kernel_0"], ["kernel_1"], ["kernel_2"]]
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    with pytest.raises(
        KernelError, match=r"(?s)^cell x, class y, for sm_90: NVRTC NVRTC_ERROR_COMPILATION\.\n.*nonsense"
    ):
        nvrtc.build_all([*texts, "// cell x, class y\nnonsense"], "sm_90")
    with pytest.raises(KernelError, match="sm_1: NVRTC NVRTC_ERROR_INVALID_OPTION"):
        nvrtc.compiled(texts[0], "sm_1")


def test_without_the_library_it_says_so(monkeypatch):
    """The message says what to install, and the loader's own words."""
    monkeypatch.setattr(nvrtc, "_places", lambda: iter([["/nowhere/libnvrtc.so.13"], ["/nowhere/either.so"]]))
    nvrtc._library.cache_clear()
    try:
        with pytest.raises(
            KernelError, match=r"cannot be loaded: /nowhere/libnvrtc.*Install a torch for CUDA, or nvidia-cuda"
        ):
            nvrtc.library()
    finally:
        nvrtc._library.cache_clear()


def test_what_is_kept_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    """A maker that fails leaves nothing; the folder is the user's alone."""
    monkeypatch.setenv("ODYSSEY_CACHE", str(tmp_path / "cache"))

    def half(path):
        path.write_bytes(b"half")
        raise ArithmeticError("no more")

    with pytest.raises(ArithmeticError, match="no more"):
        kept.kept("name", half)
    assert list(kept.folder().iterdir()) == []
    path = kept.kept("name", lambda path: path.write_bytes(b"whole"))
    assert kept.kept("name", half) == path and path.read_bytes() == b"whole"
    assert kept.folder() == tmp_path / "cache" / "cuda" and list(kept.folder().iterdir()) == [path]
    if hasattr(os, "getuid"):
        assert stat.S_IMODE(kept.folder().stat().st_mode) == 0o700


def test_the_hash_tells_texts_apart_where_they_meet():
    """Two texts and the same two cut elsewhere are not one."""
    assert kept.key("ab", "c") != kept.key("a", "bc") != kept.key("abc")
