"""Where a layer that was pickled before the modules had folders looks for its parts."""

from lstm_odyssey.layers.parameters import CellParameters, Members

__all__ = ["CellParameters", "Members"]
