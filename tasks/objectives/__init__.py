"""The three objectives of the suite: what is minimised in training, and what is reported.

Importing this package does not import torch; `get` does.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lstm_odyssey.tasks.objectives.base import Objective

NAMES: dict[str, str] = {"next_frame": "NextFrame", "frames": "Frames", "ctc": "CTC"}
"""The objectives: the module here and the class in it."""


def get(name: str) -> Objective:
    """The objective called ``name``: a stateless, picklable object.

    Errors: ValueError, which lists the known names, nearest first.

    Example:
        >>> get("frames").units
        '%'
    """
    if name not in NAMES:
        near = get_close_matches(str(name), NAMES, n=1, cutoff=0.0)
        known = ", ".join(near + [each for each in NAMES if each not in near])
        raise ValueError(f"objective {name!r}: not known; expected one of {known}.")
    module = import_module(f"lstm_odyssey.tasks.objectives.{name}")
    objective: Objective = getattr(module, NAMES[name])()
    return objective
