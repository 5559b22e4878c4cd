"""Faults planted in generated device text, as replacements in the forward or the backward kernel, and who kills each.

A fault is planted in one place unless it says otherwise; a text that has not the place is an error, so that no fault goes dead.
"""

import re
from dataclasses import dataclass, field

from lstm_odyssey.backends.cuda.emulation import ORDERS, EmulatedDevice
from lstm_odyssey.backends.cuda.running.launch import KernelError
from tests.cells import ODD
from tests.emulated_scans import BOUNDS, Case, answer, drawn, errors

CHECKS = (*ORDERS, "sanitize", "races")
"""Who looks for a fault: the orders, and the two sanitizers over threads in order."""

BLOCK, CLUSTER, STEPS = Case((33,)), Case((131,)), Case((131,), T=2)
BARRIER, CLUSTER_BARRIER = "        __syncthreads();\n", "        cluster_barrier();\n"
TURN = "t % 2 ? {0}_1 : {0}_0;"


@dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        kernel: ``forward`` or ``backward``, or "" for what stands before both.
        old, new: the replacement.
        seen: one of ``CHECKS`` that kills it.
        at: which of the places, counted from 0, from the end if negative; None: all.
        cell, case: where it is planted.
    """

    kernel: str
    old: str
    new: str
    seen: str
    at: int | None = 0
    cell: str = "vanilla"
    case: Case = field(default=BLOCK)

    architecture = EmulatedDevice.architecture

    def plant(self, text: str) -> str:
        """The text of the cell's scans with the fault."""
        begin = text.index(f" {self.kernel}(") if self.kernel else 0
        end = text.index(" backward(") if self.kernel == "forward" else len(text)
        before, part, after = text[:begin], text[begin:end], text[end:]
        pieces = part.split(self.old)
        assert len(pieces) > 1, f"{self.cell}, {self.kernel}: {self.old!r} is not in the text"
        if self.at is None:
            return before + self.new.join(pieces) + after
        cut = self.at + 1 if self.at >= 0 else len(pieces) + self.at
        return before + self.old.join(pieces[:cut]) + self.new + self.old.join(pieces[cut:]) + after


class StepFault(Fault):
    """One in a kernel of a scan step by step, planted where no class has room for the case."""

    architecture = "sm_86"

    def plant(self, text: str) -> str:
        """The text of the cell's kernels with the fault in one of them."""
        begin = text.index(f" {self.kernel}(")
        end = text.find('extern "C"', begin)
        part = text[begin:end]
        assert self.old in part, f"{self.cell}, {self.kernel}: {self.old!r} is not in the text"
        return text[:begin] + part.replace(self.old, self.new) + text[end:]


FAULTS = {
    "a barrier left out of a step, forward": Fault("forward", BARRIER, "", "shuffled 1", at=-1),
    "a barrier left out of a step, backward": Fault("backward", BARRIER, "", "shuffled 1", at=-1),
    "a barrier left out between two rounds": Fault("forward", BARRIER, "", "shuffled 1", cell="gru"),
    "one buffer for two, forward": Fault("forward", "s0_next = t % 2 ? s0_0 : s0_1", "s0_next = s0", "greedy"),
    "one buffer for two, backward": Fault("backward", TURN.format("d0"), "d0_0;", "greedy"),
    "the wrong buffer, forward": Fault("forward", TURN.format("s0"), "t % 2 ? s0_0 : s0_1;", "in order"),
    "the wrong buffer, backward": Fault("backward", "line_at(d1 +", "line_at(d0 +", "in order"),
    "a cluster barrier left out of a step, forward": Fault(
        "forward", CLUSTER_BARRIER, "", "shuffled 1", at=-1, case=CLUSTER
    ),
    "a cluster barrier left out of a step, backward": Fault(
        "backward", CLUSTER_BARRIER, "", "shuffled 1", at=-1, case=CLUSTER
    ),
    "a block's barrier for the cluster's": Fault("forward", CLUSTER_BARRIER, BARRIER, "in order", at=-1, case=CLUSTER),
    "the first cluster barrier left out": Fault("forward", "    cluster_barrier();\n", "", "in order", case=CLUSTER),
    "one buffer for two in a cluster": Fault(
        "forward", "s0_next = t % 2 ? s0_0 : s0_1", "s0_next = s0", "greedy", case=CLUSTER
    ),
    "a cluster's own block alone": Fault(
        "forward", ", block, live ? h0", ", rank, live ? h0", "in order", at=-1, case=CLUSTER
    ),
    "the unit off by one": Fault("forward", "UNITS + own", "UNITS + own + 1", "in order"),
    "column_of without the place in its line": Fault("", " * WORDS + q % WORDS;", " * WORDS;", "in order"),
    "column_of of another lane": Fault("", "* LANES + lane)", "* LANES + lane / 2)", "in order"),
    "a sum over lanes that misses a step": Fault(
        "", "step < LANES;", "step < LANES / 2;", "in order", case=Case((33,), B=1)
    ),
    "the last rows' mask left out, forward": Fault("forward", "unit < N && b < B,", "unit < N,", "sanitize"),
    "the last rows' mask left out, backward": Fault("backward", "unit < N && b < B,", "unit < N,", "sanitize"),
    "N's mask left out of the weights": Fault("forward", "unit < N && column < N ?", "true ?", "sanitize", at=None),
    "lengths ignored, forward": Fault("forward", " && (!active || active[t * B + b]);", ";", "in order"),
    "lengths ignored, backward": Fault("backward", " && (!active || active[t * B + b]);", ";", "in order"),
    "the step before the first read, backward": Fault(
        "backward", "if (live && t > 0) next_dy_t", "if (live) next_dy_t", "sanitize"
    ),
    "R not transposed, backward": Fault(
        "backward", "[column * r0_line + unit]", "[unit * r0_line + column]", "in order"
    ),
    "another lane reads what one wrote": Fault(
        "forward",
        "        const real start0 = next_start0;\n",
        "        const real start0 = live ? slots[((t * B + b) * 4 + 0) * N + unit] : real(0);\n",
        "races",
        case=Case((7,), B=1),
    ),
    "a mean over what lies beyond N": Fault(
        "forward", " = live ? v", " = true ? v", "in order", at=None, cell="ligru_ln"
    ),
    "a sum in place of a mean, forward": Fault("forward", " / real(N)", "", "in order", cell="ligru_ln"),
    "a mean by the width of the class, backward": Fault(
        "backward", "/ real(N)", "/ real(WIDTH)", "in order", cell="ligru_ln"
    ),
    "a barrier left out before a mean": Fault("forward", BARRIER, "", "shuffled 1", cell="ligru_ln"),
    "what is averaged overwritten by the next step": Fault("backward", BARRIER, "", "greedy", at=-1, cell="centred"),
    "a mean over the own block of a cluster": Fault(
        "forward", ", block, live ? v", ", rank, live ? v", "in order", cell="ligru_ln", case=CLUSTER
    ),
    "step by step: a barrier left out before a sum over warps": StepFault(
        "back1", "    __syncthreads();\n    real sum1", "    real sum1", "shuffled 1", case=STEPS
    ),
    "step by step: lengths ignored, forward": StepFault(
        "step1", " && (!active || active[t * B + b]);", ";", "in order", case=STEPS
    ),
    "step by step: R not transposed, backward": StepFault(
        "back1", "r0[line * r0_line + unit]", "r0[unit * r0_line + line]", "in order", case=STEPS
    ),
    "step by step: the wrong buffer, backward": StepFault(
        "back1", "(T - t) % 2", "(T - t + 1) % 2", "in order", case=STEPS
    ),
    "step by step: a sum over lanes that misses a step": StepFault(
        "step1", "lanes = 16; lanes;", "lanes = 8; lanes;", "in order", case=STEPS
    ),
    "step by step: the last rows' mask left out, backward": StepFault(
        "back1", "begin + r < B ?", "true ?", "sanitize", case=STEPS
    ),
    "step by step: a sum in place of a mean": StepFault(
        "step1", " / real(N)", "", "in order", cell="ligru_ln", case=STEPS
    ),
}
"""By name."""


class Planted(EmulatedDevice):
    """An emulated device that gets every scan's text with a fault."""

    def __init__(self, fault: Fault, order: str, **checks: bool) -> None:
        super().__init__(order, **checks)
        self.fault, self.architecture = fault, fault.architecture

    def compiled(self, text):
        """The program of the text with the fault; products are as they are."""
        scan = " tick(" if isinstance(self.fault, StepFault) else " forward("
        return super().compiled(self.fault.plant(text) if scan in text else text)


def printed(message: str) -> str:
    """What tells one fault from another in a message: the sanitizer's own line or the emulation's; without addresses."""
    words = re.search(
        r"(?:ERROR|WARNING): (\w+Sanitizer: [^\n]*?)(?: \(pid=| on (?:unknown )?address|$)|runtime error: ([^\n]*)",
        message,
        re.MULTILINE,
    )
    line = next((group for group in words.groups() if group), "") if words else ""
    where = re.search(r"kernel '\w+'[^\n]*", message)
    return "; ".join(part for part in (where[0] if where else "", line) if part) or message.partition("\n")[0]


def said(fault: Fault, check: str) -> str:
    """What one of ``CHECKS`` says of a fault; empty if it finds nothing."""
    problem = drawn(ODD.get(fault.cell, fault.cell), fault.case)
    order, checks = (check, {}) if check in ORDERS else ("in order", {check: True})
    try:
        found = errors(problem, answer(problem, Planted(fault, order, **checks)))
    except KernelError as error:
        return printed(str(error))
    return "" if max(found) <= BOUNDS[fault.case.dtype] else f"wrong by {max(found):.1e}"
