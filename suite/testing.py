"""The conformance kit under the name that plugins import: all that ``lstm_odyssey.conformance.kit`` has."""

from typing import Any

from lstm_odyssey.conformance import kit
from lstm_odyssey.conformance.kit import *  # noqa: F403 - the names are the kit's


def __getattr__(name: str) -> Any:
    return getattr(kit, name)
