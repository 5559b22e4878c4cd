"""What it costs to import the package: each sample is a fresh interpreter."""

from __future__ import annotations


def timeraw_import() -> str:
    """The public face, which loads its names when they are first used."""
    return "import lstm_odyssey"


def timeraw_import_reports() -> str:
    """The reader of stored results, which must not need torch."""
    return "import lstm_odyssey.reports.page"


def timeraw_import_layer() -> str:
    """The layer, torch included: most of it is torch's own import."""
    return "from lstm_odyssey import RNN"
