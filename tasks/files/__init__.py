"""Corpora as files: where they lie (``locate``), how they come (``transfer``), how they are read, what is kept."""
