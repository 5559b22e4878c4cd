"""Somebody else's layer held to a cell's text: ``check.check_layer``, which ``lo.check_layer`` is."""
