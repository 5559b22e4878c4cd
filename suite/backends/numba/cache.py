"""Where generated source lies: a folder of the user's own, one file a text, so that numba can keep what it compiled.

A file's name is the hash of its text and of everything else it depends on: the modules of ``vectors/``, which it imports, the
versions of numba, llvmlite and Python, and the CPU. So nothing in it is ever stale, and deleting the folder costs a
compilation and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import linecache
import os
import pickle
import stat
import sys
import tempfile
import threading
import warnings
from functools import cache as once
from pathlib import Path
from types import ModuleType
from typing import Any

from lstm_odyssey.plugins.paths import PathError, expanded

_LOADED: dict[str, ModuleType] = {}
_LOCK = threading.RLock()


def folder() -> Path:
    """``$ODYSSEY_CACHE``, or ``lstm-odyssey`` in the user's cache folder."""
    chosen = os.environ.get("ODYSSEY_CACHE")
    if chosen:
        return expanded(chosen)
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "lstm-odyssey"


@once
def _versions() -> str:
    import llvmlite.binding
    import numba

    from lstm_odyssey.backends.processor import features

    imported = sorted(Path(__file__).with_name("vectors").glob("*.py"))
    modules = hashlib.sha256(b"".join(file.read_bytes() for file in imported)).hexdigest()
    named: str | None = numba.config.CPU_NAME  # type: ignore[attr-defined]  # numba sets it when it is imported
    cpu = (named or llvmlite.binding.get_host_cpu_name()) + features()
    return f"{modules}\n{numba.__version__}\n{llvmlite.binding.llvm_version_info!r}\n{sys.version}\n{cpu}"


def usable() -> Path | None:
    """The folder, made if need be; None, with a warning, if it cannot be written or is open to others."""
    place = Path("~/.cache/lstm-odyssey")
    try:
        place = folder()
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        _trusted(place)
        if not os.access(place, os.W_OK | os.X_OK):
            raise PermissionError("it cannot be written")
    except (OSError, PathError) as error:  # PathError: the user has no home
        _warn(place, str(error))
        return None
    return place


def _trusted(place: Path) -> None:
    """Raise PermissionError if others could have put something in this folder, or exchange it: what is in it is run as code."""
    if not hasattr(os, "getuid"):
        return
    state, above = place.stat(), place.resolve().parent.stat()
    if state.st_uid != os.getuid() or state.st_mode & 0o022:
        raise PermissionError(
            f"'{place}' belongs to another user or others may write to it (mode {state.st_mode & 0o777:o})"
        )
    if above.st_mode & 0o002 and not above.st_mode & stat.S_ISVTX:
        raise PermissionError(f"'{place}' lies in a folder open to all, who may exchange it")


def _compiled_in(path: Path) -> Path:
    """The folder in which numba keeps what it compiles of a file: its own choice, ``NUMBA_CACHE_DIR`` included.

    It is made here, for nobody else to write to, before numba makes it with whatever mode the user's umask leaves.

    Raises:
        PermissionError: others may write to it.
        RuntimeError: numba finds none; the words are its own.
    """
    from numba.core import caching, config

    beside, chosen = path.parent / "__pycache__", str(getattr(config, "CACHE_DIR", ""))
    place = Path(chosen) / caching._CacheLocator.get_suitable_cache_subpath(str(path)) if chosen else beside
    with contextlib.suppress(OSError):  # numba goes on to another place, and so does what follows
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    classes: list[Any] = caching.CacheImpl._locator_classes
    for locators in classes:
        locator = locators.from_function(_compiled_in, str(path))  # any function: places depend on the file alone
        if locator is not None:
            place = Path(locator.get_cache_path())
            # in a folder nobody else may enter its mode is no matter
            if place != beside or path.parent.stat().st_mode & 0o011:
                _trusted(place)
            return place
    raise RuntimeError("numba has no locator available, that is no folder for what it compiles")


@once
def _warn(place: Path, why: str) -> None:
    warnings.warn(
        f"kernels: the cache folder {place} cannot be used: {why}. Kernels are compiled anew in every process; set "
        "ODYSSEY_CACHE to a folder of your own to keep them.",
        stacklevel=2,
    )


def module(text: str, about: str) -> ModuleType:
    """The module with this source; ``{cached}`` in it becomes whether numba may keep its functions.

    Args:
        text: the source.
        about: a word or two for the file's name.

    Raises:
        RuntimeError: numba is told to compile nothing.
    """
    from numba.core import config

    if config.DISABLE_JIT:  # type: ignore[attr-defined]  # numba sets it when it is imported
        raise RuntimeError(
            "backend 'numba': NUMBA_DISABLE_JIT is set, so numba compiles nothing; expected it unset. Unset it, or use "
            "backend='eager'."
        )
    key = hashlib.sha256(f"{_versions()}\n{text}".encode()).hexdigest()[:32]
    with _LOCK:
        if key not in _LOADED:
            _LOADED[key] = _load(text, f"{about}_{key}")
        return _LOADED[key]


def _load(text: str, name: str) -> ModuleType:
    place = usable()
    if place is not None:
        try:
            path = _write(place, name, text.replace("{cached}", "True"))
            kept = _compiled_in(path)
            try:
                return _import(path, name)
            except (EOFError, LookupError, TypeError, ValueError, pickle.UnpicklingError) as error:
                sys.modules.pop(name, None)
                if not _remove_compiled(kept, path.stem):
                    raise
                warnings.warn(
                    f"kernels: what was kept of {path} was damaged ({type(error).__name__}: {error}). It is compiled anew.",
                    stacklevel=2,
                )
                return _import(path, name)
        except (OSError, RuntimeError) as error:
            sys.modules.pop(name, None)
            if isinstance(error, RuntimeError) and "no locator available" not in str(error):
                raise  # numba's word for a folder in which it cannot keep what it compiled
            _warn(place, str(error))
    text, file = text.replace("{cached}", "False"), f"<{name}>"
    made = ModuleType(name)
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec"), made.__dict__)
    return made


def _remove_compiled(place: Path, name: str) -> bool:
    """Remove what numba has kept of a module, after a power cut or on a full disk perhaps; whether there was anything."""
    kept = [*place.glob(f"{name}.*.nb[ci]")]
    for file in kept:
        file.unlink(missing_ok=True)
    return bool(kept)


def _write(place: Path, name: str, text: str) -> Path:
    path = place / f"{name}.py"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        handle, temporary = tempfile.mkstemp(dir=place, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    return path


def _import(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made  # numba looks a function's module up by name
    spec.loader.exec_module(made)
    return made
