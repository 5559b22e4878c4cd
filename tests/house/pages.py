"""What tests read off a page: its blocks of a language, and its table."""

import re


def blocks(page, language):
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)


def table(text):
    """The lines of the one table of a section, its rule left out."""
    return [line for line in text.splitlines() if line.startswith("|") and not re.fullmatch(r"[|-]+", line)]


def section(page, head):
    """A section of a page, up to the next head."""
    return page.split(f"\n## {head}\n")[1].split("\n## ")[0]


def signed(difference, interval):
    """A difference with its interval, as the page writes it."""
    low, high = interval.tolist()
    return f"{difference:+.3f} ({low:.3f} to {high:.3f})".replace("-", "−")
