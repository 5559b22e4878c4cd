"""Where a layer that was pickled before the modules had folders looks for its classes."""

from lstm_odyssey.layers.parameters import CellParameters, Members
from lstm_odyssey.layers.rnn import RNN

__all__ = ["RNN", "CellParameters", "Members"]
