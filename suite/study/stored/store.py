"""The store of a study: one folder, one study, one JSON file a finished trial.

``STORE/study.json`` says what the study is; ``STORE/trials/<id>.json`` holds a trial each, written whole or not at all and
never twice; ``STORE/checkpoints`` what is unfinished. Resuming is submitting what is missing, so nothing else has to be
fault tolerant.
"""

from __future__ import annotations

import errno
import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lstm_odyssey.plugins.paths import expanded
from lstm_odyssey.reports.contract.files import TEMPORARY, replacing, write_new_text, write_text
from lstm_odyssey.reports.contract.variables import PACKAGE
from lstm_odyssey.study.stored.trials import FINISHED, check_study, check_trial
from lstm_odyssey.training.random_streams import canonical, digest

FORMAT = 1


class StoreError(RuntimeError):
    """A store is damaged, foreign, newer, or holds another study; the message says which file and what to do."""


def trial_id(
    *,
    signature: str,
    corpus: str,
    objective: str,
    bidirectional: bool,
    hyperparameters: Mapping[str, Any],
    trial: int,
    seed: int,
    variant: str,
    protocol: Mapping[str, Any],
    dtype: str,
    backend: Mapping[str, Any],
) -> str:
    """Hash of everything a trial's numbers depend on.

    Args:
        signature: of the variant's mathematics. ``variant``, its name, is part of the seed of the initial weights.
        corpus: fingerprint of the corpus.
        objective, bidirectional: what the task asks, and whether its net runs both ways.
        hyperparameters, trial, seed: the draw, its index and the study's seed.
        protocol: its departures from the default only, so that a new option leaves old ids alone.
        dtype: of the computation.
        backend: name and, where it pads, block size; the device where it is not the CPU.

    Returns:
        24 hex digits.
    """
    content = {
        "format": FORMAT,
        "signature": signature,
        "variant": variant,
        "corpus": corpus,
        "objective": objective,
        **({"bidirectional": True} if bidirectional else {}),
        "hyperparameters": dict(hyperparameters),
        "trial": trial,
        "seed": seed,
        "protocol": dict(protocol),
        "dtype": dtype,
        "backend": dict(backend),
    }
    return digest(content)[:24]


def _text(path: Path, tries: int = 3) -> str:
    """What a file holds; on NFS one that is replaced at this moment is stale for a moment."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        if error.errno != errno.ESTALE or tries == 1:
            raise
        return _text(path, tries - 1)


class Store:
    """A study's folder.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = expanded(path).absolute()
        self.study_file = self.path / "study.json"
        self.trials_folder = self.path / "trials"
        self.checkpoints_folder = self.path / "checkpoints"
        self.progress_folder = self.path / "progress"
        self.weights_folder = self.path / "weights"
        self.locks_folder = self.path / "locks"
        self.consolidated = self.path / "study.nc"

    def study(self) -> dict[str, Any] | None:
        """What the store says it holds; None if the folder is new or empty.

        Raises:
            StoreError: the folder holds something else, or its study.json is damaged or newer.
        """
        if not self.study_file.exists():
            if self.path.exists() and not self.path.is_dir():
                raise StoreError(f"store {self.path}: a file; expected a folder. Choose another --store.")
            content = [entry.name for entry in self.path.iterdir()] if self.path.is_dir() else []
            passing = (self.locks_folder.name, self.progress_folder.name)  # of a run that begins, or was killed at once
            content = [name for name in content if not name.startswith(TEMPORARY) and name not in passing]
            if content and not self.study_file.exists():  # another run may have begun the study at this moment
                raise StoreError(
                    f"store {self.path}: got a folder with {', '.join(sorted(content)[:5])} and no study.json; expected an "
                    "empty folder or a store. Choose another --store."
                )
            if not content:
                return None
        return self._read(self.study_file, check_study)

    def _read(self, path: Path, check: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
        try:
            content = json.loads(_text(path))
        except (OSError, ValueError) as error:
            raise StoreError(
                f"store {self.path}: {path.name} is damaged ({error}). Restore it, or delete it if it is a trial: the next "
                "run computes that trial again."
            ) from error
        written = content.get("format") if isinstance(content, dict) else None
        if not isinstance(written, int) or content.get("package", PACKAGE) != PACKAGE:
            raise StoreError(f"store {self.path}: {path.name} is not a file of {PACKAGE}. Choose another --store.")
        if written > FORMAT:
            raise StoreError(
                f"store {self.path}: {path.name} has format {written}, this version reads up to {FORMAT}; "
                f"it was written by a newer {PACKAGE}. Upgrade: pip install -U {PACKAGE}."
            )
        try:
            check(content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(
                f"store {self.path}: {path.name} is damaged or newer: {error}. Restore it, or delete it if it is a trial: the "
                "next run computes that trial again."
            ) from error
        return dict(content)

    def write_study(self, content: Mapping[str, Any]) -> None:
        """Write study.json; only the client of a study does, while it holds the study's lock.

        Raises:
            StoreError: it cannot be written, or could not be read again.
        """
        try:
            check_study(content)
            text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
            text.encode()
        except (ValueError, TypeError, OverflowError) as error:
            raise StoreError(
                f"store {self.path}: study.json cannot hold what a variant or task declares ({error}); expected finite numbers "
                "and texts of Unicode. Mend the declaration."
            ) from error
        with self.writing():
            write_text(self.study_file, text)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A folder that cannot be written is the store's error, not a trial's result."""
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"store {self.path}: cannot be written ({error}). Give it room and permission, or choose another --store."
            ) from error

    def trial_file(self, identity: str) -> Path:
        return self.trials_folder / f"{identity}.json"

    def read_trial(self, identity: str) -> dict[str, Any] | None:
        """The stored trial of that id, or None.

        Raises:
            StoreError: its file is damaged or newer, or holds another trial.
        """
        path = self.trial_file(identity)
        if not path.exists():
            return None
        content = self._read(path, check_trial)
        if content["trial_id"] != identity:
            raise StoreError(
                f"store {self.path}: {path.name} holds trial {content['trial_id']}. Delete or rename the file."
            )
        return content

    def write_trial(self, record: Mapping[str, Any]) -> None:
        """Store a trial, whole or not at all; one that ended is never replaced, whoever stored it."""
        path, text = self.trial_file(record["trial_id"]), canonical(record) + "\n"
        with self.writing():
            if write_new_text(path, text):
                return
            there = self.read_trial(record["trial_id"])
            if there is None or there["status"] not in FINISHED:
                write_text(path, text)

    def trials(self) -> Iterator[dict[str, Any]]:
        """All stored trials, in the order of their ids.

        Raises:
            StoreError: a file is damaged or newer.
        """
        for path in sorted(self.trials_folder.glob("[!.]*.json")):  # not what is being written
            content = self.read_trial(path.stem)
            if content is not None:
                yield content

    def write_weights(self, identity: str, weights: Mapping[str, Any]) -> None:
        """Store a trial's weights by name as .npz (read them with ``numpy.load(..., allow_pickle=False)``)."""
        import numpy as np

        path = self.weights_folder / f"{identity}.npz"
        with self.writing(), replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, **weights)

    def report_progress(self, block: str, epoch: float, epochs: int, best: float, doing: str = "") -> None:
        """Say how far a running block is, and what it does if it does not train. Losing it loses nothing.

        Any process may say it; the client shows it.
        """
        path = self.progress_folder / f"{block}.json"
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}-{path.name}"
            try:
                temporary.write_text(
                    json.dumps({"epoch": epoch, "epochs": epochs, "best": best, "doing": doing}), encoding="utf-8"
                )
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)

    def progress(self) -> dict[str, dict[str, Any]]:
        """The last word of every running block."""
        found = {}
        for path in self.progress_folder.glob("[!.]*.json"):
            try:
                found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue  # just being replaced, or gone: shown at the next look
        return found

    def end_block(self, block: str) -> None:
        """Remove what a block kept while it ran; for who has claimed the block."""
        for path in (self.checkpoints_folder / f"{block}.npz", self.progress_folder / f"{block}.json"):
            with suppress(OSError):  # not there, or not to be removed: nothing depends on it
                path.unlink()
