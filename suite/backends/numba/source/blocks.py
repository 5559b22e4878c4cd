"""Pieces of generated source that both directions of a scan share: blocks, loops over rows, names of entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lstm_odyssey.backends.generated import Parts, Values
from lstm_odyssey.cell.graph import Node

CALL = ("active", "kept")
"""The first entries of a scan's table: addresses that each call brings, before those of its tensors. ``kept`` is what a forward
pass keeps."""
ACTIVE = CALL.index("active")
COMMON = ("T", "B", "N", "M", "product", "pack_lines", "pack_columns", "copies", "swing", "history", "slots",
          "operands")  # fmt: skip
"""What is behind those of the tensors: sizes, functions, how many copies of its packed matrices there are, whether they are
read to and fro, and where in ``kept`` what lies. Then come the addresses of memory that is a call's while it runs."""
PART = ("begin", "rows", "together", "does", "share", "shares", "most", "gap")
"""The last entries, what of a batch a call computes: see ``backends.numba.parts.Part``."""

SUMMED_ROWS = 8
"""Rows of a batch whose gradients of vectors are summed apart, the last such block taking what is left over. Tiles of products
are made of 4, 2 or 1 rows, and of fewer than 8 rows in another order: so parts of a batch are of whole blocks."""
SCAN, PRODUCTS = 1, 2
"""What a call of a backward pass does: the steps, and afterwards the gradients of inputs and matrices."""


class Block(Values):
    """Lines of one block: asks for values, and what to do with them at the end."""

    number, line = "({value})", "    {name} = {text}"

    def __init__(self, nodes: Sequence[Node], available: Callable[[int], str | None]) -> None:
        super().__init__(nodes, available)
        self.stores: list[str] = []
        self.sums: list[str] = []
        self.means: list[str] = []

    def mean(self, address: str, number: int) -> None:
        """A mean over N to put to an address: this block adds a vector's numbers up, those of a mask that is off as 0."""
        self.sums.append(f"m{len(self.sums)} + only(keep, {self.value(number)}, 0.0)")
        self.means.append(address)

    def store(self, address: str, number: int | None) -> None:
        value = "fill(0.0)" if number is None else self.value(number)
        if number is not None and self.nodes[number].op == "constant":
            value = f"fill({value})"
        self.stores.append(f"    store({address} + at, {value}, keep)")

    def function(self, name: str, arguments: str) -> str:
        sums = [f"    return {', '.join(self.sums)}"] if self.sums else []
        arguments = ", ".join((arguments, *(f"m{k}" for k in range(len(self.sums)))))
        body = "\n".join(self.lines + self.stores + sums) or "    pass"
        return f'@njit(forceinline=True, error_model="numpy")\ndef {name}(at, keep, {arguments}):\n{body}\n'


def rows_loop(
    name: str, arguments: str, rows: Sequence[str], held: Sequence[str], means: Sequence[str] = ()
) -> list[str]:
    """The loop of a block over rows and vectors; ``rows`` sets the row's addresses, ``held`` is done for padding.

    Each of ``means`` is an address that gets a mean over N in all of its N places, of the sums that the block returns.
    """
    lines = ["for b in range(rows):", *(f"    {row}" for row in rows)]
    lines += ["    if active == 0 or flag(active + t * B + b):"]
    sums = [f"m{k}" for k in range(len(means))]
    lines += [f"        {one} = fill(0.0)" for one in sums]
    arguments, to = ", ".join((arguments, *sums)), f"{', '.join(sums)} = " if sums else ""
    lines += ["        for n in range(whole):", f"            {to}{name}(n * BYTES, first(LANES), {arguments})"]
    lines += ["        if rest:", f"            {to}{name}(whole * BYTES, first(rest), {arguments})"]
    if means:
        lines += [f"        mean{k} = fill(total({one}) / N)" for k, one in enumerate(sums)]
        lines += ["        for n in range(whole + 1):", "            keep = first(N - n * LANES)"]
        lines += [f"            store({address} + n * BYTES, mean{k}, keep)" for k, address in enumerate(means)]
    if held:
        lines += ["    else:", "        for n in range(whole + 1):", "            at = n * BYTES",
                  "            keep = first(N - n * LANES)", *(f"            {line}" for line in held)]  # fmt: skip
    return lines


def indented(lines: Sequence[str], by: int) -> str:
    """Lines as one text, moved right."""
    return "\n".join(" " * by + line for line in lines)


def copied(lines: Sequence[str], columns: Sequence[str]) -> list[str]:
    """After packing: the further copies of each matrix, ``gap`` bytes apart. A step reads the copy ``t % copies``."""
    found = []
    for k, (line, column) in enumerate(zip(lines, columns, strict=True)):
        found += [f"gap{k} = {line} * (({column} + LANES - 1) // LANES) * BYTES", "for copy in range(1, copies):",
                  f"    move(pack{k} + copy * gap{k}, pack{k}, gap{k} // SIZE)"]  # fmt: skip
    return found


def to_and_fro(products: Sequence[str]) -> list[str]:
    """The calls of one round of products, in reverse order where the walk is backwards."""
    if len(products) < 2:
        return list(products)
    return ["if t % 2 * swing:", *(f"    {line}" for line in reversed(products)), "else:",
            *(f"    {line}" for line in products)]  # fmt: skip


def moved(name: str, by: str, absent: bool = False) -> str:
    """A line that moves an address; one that may be absent is 0, and stays so."""
    return f"{name} = {name} + {by}" + (f" * ({name} != 0)" if absent else "")


def _behind(count: int, each: str) -> str:
    """So many of these further on."""
    return f" + {count} * {each}" if count else ""


class Pass(Parts):
    """What both directions share: names, places and the loads of values of the step."""

    def held(self, number: int) -> str | None:
        """A value of the step that does not have to be computed by now."""
        if number in self.state_of:
            return f"load(h + {self.state_of[number]} * state_line + at, keep)"
        if number in self.fixed:
            return f"load({self.fixed[number]} + at, keep)"
        return None

    def stored(self, number: int) -> str | None:
        """A value of the step that an earlier block wrote."""
        if number in self.plan.means:
            return f"load(s + {self.plan.kept[number]} * span + at, keep)"
        if number in self.result_of:
            return f"load(h + row_line + {self.result_of[number]} * state_line + at, keep)"
        if number in self.plan.operands:
            return f"load(o + {self.plan.operands.index(number)} * operand_line + at, keep)"
        if number in self.plan.kept:
            return f"load(s + {self.plan.kept[number]} * span + at, keep)"
        return None

    def given(self, before: str = "") -> list[str]:
        """Names of the addresses of inputs, packed spaces and initial states, or of their gradients."""
        spaces = (f"{before}in_{space}" for space in self.plan.spaces)
        inputs = range(max(1, len(self.plan.inputs)))
        return [*(f"{before}x{k}" for k in inputs), *spaces, *(f"{before}initial{k}" for k in range(len(self.states)))]

    def table_lines(self, call: Sequence[str], scratch: Sequence[str]) -> list[str]:
        """Lines that read a call's table into names, with the addresses of the rows that it computes and of each parameter.

        Args:
            call: what it brings beside ``CALL``. scratch: the memory that is its own.
        """
        names = (*CALL, *call, *COMMON, *scratch, *PART)
        lines = [f"{name} = entry(table, {place})" for place, name in enumerate(names)]
        lines += ["span = N * SIZE", "whole, rest = N // LANES, N % LANES", "frames, shift = T * B, begin * N * SIZE",
                  f"places = {self.plan.places}",
                  "state_line, operand_line, row_line = (frames + B) * span, frames * span, B * span",
                  moved("active", "begin", absent=True), "history, operands = kept + history + shift, kept + operands + shift",
                  "slots = kept + slots + places * shift"]  # fmt: skip
        return lines + self.given_lines()

    def given_lines(self, before: str = "") -> list[str]:
        """Lines that say where rows and parameters begin in what ``given`` names.

        Of gradients some may be absent: those of a matrix are where their space's address, ``din_R``, is not 0.
        """
        plan, packed, absent = self.plan, self.plan.graph.packed, bool(before)
        lines = [moved(f"{before}x{k}", "begin * M * SIZE", absent) for k in range(len(plan.inputs))]
        lines += [moved(f"{before}initial{k}", "shift", absent) for k in range(len(self.states))]
        for number, name in self.fixed.items():
            space, _, _ = self.nodes[number].name.partition(".")
            lines.append(
                f"{before}{name} = {before}in_{space}{_behind(packed[space].index(self.nodes[number].name), 'span')}"
            )
        runs = (*plan.input_runs, *plan.recurrent)
        for name in dict.fromkeys(name for run in runs for name in run.parameters):
            space, _, _ = name.partition(".")
            line = f"{before}{word(name)}_line"
            lines.append(f"{line} = {'M * SIZE' if space == 'W' else 'span'}")
            at = _behind(packed[space].index(name), f"N * {line}")
            lines.append(f"{before}{word(name)} = {before}in_{space}{at}")
        return lines


def word(parameter: str) -> str:
    """A parameter's name as one in the source."""
    return parameter.replace(".", "_")
