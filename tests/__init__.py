"""The tests; a package by name, since others install a package of this name too."""
