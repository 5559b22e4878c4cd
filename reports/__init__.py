"""Stored results read: their schema, tables, figures and the page. Imports and runs without torch."""
