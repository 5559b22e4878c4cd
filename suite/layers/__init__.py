"""``lo.RNN``, its parameters, and what users put round it."""
