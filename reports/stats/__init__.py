"""Cells compared: how trials are selected, what a difference is worth, what a budget buys."""
