"""Figures: functions that are given a dataset and return a ``matplotlib`` figure."""
