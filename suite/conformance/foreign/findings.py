"""What was found of somebody else's layer: a table of what holds, what is broken and what is not offered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lstm_odyssey.reports.contract.wording import aligned

HOLDS, BROKEN, ABSENT = "holds", "broken", "not offered"


class Finding(NamedTuple):
    """Of one promise in one dtype.

    Attributes:
        status: ``holds``, ``broken`` or ``not offered``.
        error: the worst, in parts of the greatest entry of its tensor; NaN if nothing was compared.
        allowed: the bound of that.
        what: the worst tensor and its case; of what is not offered the reason, and what was raised in place of an answer.
        answered: whether there was something to compare.
    """

    status: str
    error: float
    allowed: float
    what: str
    answered: bool = True


class NoAnswer(NamedTuple):
    """Why a promise could not be compared: the text, and whether that breaks it."""

    why: str
    broken: bool = False


@dataclass
class LayerReport:
    """A layer beside a cell's text.

    Args:
        layer, cell: names.
        M, N: sizes.
        bounds: tolerance by dtype, in parts of a tensor's greatest entry.
        findings: by promise and dtype.
        hint: what to look to where there are no outputs.
    """

    layer: str
    cell: str
    M: int
    N: int
    bounds: dict[str, float]
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)
    hint: str = ""

    def add(self, promise: str, dtype: str, seen: Sequence[tuple[str, Any]]) -> None:
        """Note of a promise what each case has shown: a list of (tensor, error, allowed), or why there is none."""
        none = [found for _, found in seen if isinstance(found, NoAnswer)]
        if not any(found for _, found in seen):
            none = [NoAnswer("no batch of several rows was asked for")]
        if none:
            worst = max(none, key=lambda one: one.broken)
            status = BROKEN if worst.broken else ABSENT
            self.findings[promise, dtype] = Finding(status, float("nan"), 0.0, worst.why, answered=False)
            return
        every = [(error, allowed, f"{what}, {case}") for case, found in seen for what, error, allowed in found]
        # a NaN is the worst; of what misses its bound, what misses it by most
        error, allowed, what = max(
            every, key=lambda one: (one[0] != one[0], not one[0] <= one[1], one[0] / (one[1] or 1))
        )
        self.findings[promise, dtype] = Finding(HOLDS if error <= allowed else BROKEN, error, allowed, what)

    def status(self, promise: str) -> str:
        """``broken`` if one finding of the promises that begin so is, ``holds`` if one does, else ``not offered``."""
        found = {each.status for (name, _), each in self.findings.items() if name.startswith(promise)}
        if not found:
            raise KeyError(
                f"{promise!r}; expected the beginning of one of {sorted({name for name, _ in self.findings})}"
            )
        return next(each for each in (BROKEN, HOLDS, ABSENT) if each in found)

    def __bool__(self) -> bool:
        return self.status("outputs") == HOLDS and all(each.status != BROKEN for each in self.findings.values())

    def __str__(self) -> str:
        dtypes = list(self.bounds)
        promises = list(dict.fromkeys(name for name, _ in self.findings))
        head = ["", *(f"{dtype} ({self.bounds[dtype]:.0e})" for dtype in dtypes)]
        lines = [[name, *(_cell(self.findings[name, dtype]) for dtype in dtypes)] for name in promises]
        table = ("  ".join(line).rstrip() for line in aligned([head, *lines], numbers=False))
        title = f"{self.layer}, M = {self.M}, N = {self.N}, beside the text of '{self.cell}'"
        return "\n".join([title, *table, *self._notes()])

    def _notes(self) -> list[str]:
        """What is broken, of each promise in the first dtype; what could not be compared, by the reason."""
        broken: dict[str, str] = {}
        unanswered: dict[tuple[str, str], dict[str, list[str]]] = {}
        for (name, dtype), each in self.findings.items():
            if not each.answered:
                unanswered.setdefault((each.status, each.what), {}).setdefault(dtype, []).append(name)
            elif each.status == BROKEN:
                text = f"{name}, {dtype}: {each.what}: off by {each.error:.2g} of it; {each.allowed:.1g} is allowed"
                broken.setdefault(name, text)
        notes = list(broken.values())
        for (status, reason), found in unanswered.items():
            every = list(dict.fromkeys(name for names in found.values() for name in names))
            where = "" if len(found) == len(self.bounds) else f" in {', '.join(found)}"
            whole = len(every) == len({name for name, _ in self.findings})
            notes.append(f"{status}{where}, {reason}" + ("" if whole else f": {'; '.join(every)}"))
        outputs = [each for (name, _), each in self.findings.items() if name.startswith("outputs")]
        lost = any(each.status == BROKEN and not each.answered for each in outputs)
        return [*notes, self.hint] if lost and self.hint else notes

    __repr__ = __str__


def _cell(found: Finding) -> str:
    """Of what was not answered the first word of why, ``raised`` or ``returned``."""
    if found.status == ABSENT:
        return ABSENT
    return f"{found.status} {found.error:.0e}" if found.answered else found.what.split()[0]
