"""The conformance kit under the name that plugins import: see ``lstm_odyssey.conformance.kit``."""

from lstm_odyssey.conformance.kit import *  # noqa: F403 - the names are the kit's
