"""Variants and tasks by name: where they are found, loaded, and written anew."""
