"""Stored results read: their schema, tables, comparisons, figures and the page. Imports and runs without torch.

Importing it gives every ``xarray.Dataset`` the accessor ``odyssey``: ``study.odyssey.compare()``.
"""

from lstm_odyssey.reports.accessor import register

register()
