"""Where a layer that was pickled before the modules had folders looks for its class."""

from lstm_odyssey.layers.rnn import RNN

__all__ = ["RNN"]
