"""What tests read off a page: its blocks of a language, and its table."""

import re

from lstm_odyssey.reports.contract.wording import estimate, form_of


def blocks(page, language):
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)


def table(text):
    """The lines of the one table of a section, its rule left out."""
    return [line for line in text.splitlines() if line.startswith("|") and not re.fullmatch(r"[|-]+", line)]


def section(page, head):
    """A section of a page, up to the next head."""
    return page.split(f"\n## {head}\n")[1].split("\n## ")[0]


def difference(comparison, cell):
    """The difference of a cell on one task with its corrected interval, as the package writes it everywhere."""
    one = comparison.sel(variant=cell)
    interval = one["difference_corrected_interval"].values.tolist()
    return estimate(one["difference"].item(), *interval, form_of(comparison))
