"""The objectives of the suite: what is minimised in training, and what is reported.

Importing this package does not import torch; `get` does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lstm_odyssey.tasks.names import NAMES
from lstm_odyssey.tasks.nearest import nearest

if TYPE_CHECKING:
    from lstm_odyssey.tasks.objectives.base import Objective


def get(name: str) -> Objective:
    """The objective called ``name``: a stateless, picklable object.

    Errors: ValueError, which lists the known names, the nearest first.

    Example:
        >>> get("frames").units
        '%'
    """
    if name not in NAMES:
        raise ValueError(f"objective {name!r}: not known; expected one of {nearest(name, NAMES)}.")
    module = import_module(f"lstm_odyssey.tasks.objectives.{NAMES[name].module or name}")
    objective: Objective = getattr(module, NAMES[name].kind)()
    return objective
