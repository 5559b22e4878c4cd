"""Random texts of cells: whatever the contract of a step allows, from a seed.

Few names of gates, so that one matrix meets several vectors; products of the step, of all frames and of parameters alone;
every op of the table; values used again, passed through, returned twice. Numbers are kept tame (an exponential of what is
bounded, a quotient by what is positive), so that a comparison says something.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

from lstm_odyssey.cell.ops import OPS
from lstm_odyssey.variants import ops
from lstm_odyssey.variants.declare import Variant

GATES = "abe"
STATES = ("y", "c", "d")
NUMBERS = ("0.5", "2", "1", "0.1", "-0.3", "1.5")


class Writer:
    """Writes the text of one cell; ``phase`` is how many rounds of products a name waits for.

    ``learned``: with functions of parameters alone in it, as a learnable time constant, and a gate without W.
    ``norms``: with means over N.
    """

    def __init__(self, seed: int, learned: bool = False, norms: bool = False) -> None:
        self.random = random.Random(seed)
        self.learned, self.norms = learned, norms
        self.states = STATES[: self.random.choice((1, 1, 2, 2, 3))]
        self.phase = dict.fromkeys(self.states, 0)
        self.lines: list[str] = []
        self.frames = ["x"]  # names of vectors of length M
        self.text = self.write(seed)

    def write(self, seed: int) -> str:
        """The whole function."""
        for _ in range(self.random.randint(2, 7)):
            self.statement()
        if self.norms:
            for _ in range(self.random.randint(1, 3)):
                self.name(self.norm())
                self.statement()
        if self.learned:
            sign, number = self.random.choice("+-"), self.random.choice(NUMBERS[:4])
            self.name(self.squashed(f"R.{self.gate()} @ {self.pick(False)} + b.{self.gate()} {sign} {number}"))
            one, other = self.pick(), self.pick()
            gate = self.name(self.of_parameters())
            self.name(f"{gate} * {one} + (1 - {gate}) * {other}")
        for name in self.unread(self.frames[1:]):
            self.name(f"W.{self.gate()} @ {name}")
        if not self.reads(*self.lines):
            self.name(f"tanh({self.product()})")
        made = [name for name in self.phase if name not in self.states]
        others = [
            self.random.choice((made[-1], self.random.choice(made), state, self.value(1))) for state in self.states[1:]
        ]
        # every parameter has to reach a result, so what nothing has read goes into the first
        loose = self.unread(name for name in made if name not in others) or [self.random.choice(made)]
        first = "".join(f"{name} {self.random.choice('+-*')} " for name in loose[:-1]) + loose[-1]
        body = "\n".join(f"    {line}" for line in [*self.lines, f"return {', '.join([first, *others])}"])
        kinds = [kind for kind in "WRpb" if re.search(rf"\b{kind}\.", body)]
        return f"def random_{seed}({', '.join(['x', *self.states])}, *, {', '.join(kinds)}):\n{body}\n"

    @staticmethod
    def reads(*lines: str) -> list[str]:
        """The parameters in some lines."""
        return re.findall(r"\b[WRpb]\.[a-z]", "\n".join(lines))

    def unread(self, names: Iterable[str]) -> list[str]:
        """Those of some names that stand on no line but where they are made."""
        text = "\n".join(line.partition(" = ")[2] for line in self.lines)
        return [name for name in names if not re.search(rf"\b{name}\b", text)]

    def name(self, expression: str) -> str:
        """Bind an expression to a new name."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        self.phase[name] = self.phase_of(expression)
        return name

    def phase_of(self, expression: str) -> int:
        """Rounds before an expression: those of its names, and one for a product with one."""
        known = [
            self.phase[name] for name in re.findall(r"(?<![\w.])[a-z]\d*\b(?!\.)", expression) if name in self.phase
        ]
        return max(known, default=0) + len(re.findall(r"R\.\w @|mean\(|rms\(", expression))

    def statement(self) -> None:
        """One line."""
        kind = self.random.random()
        if kind < 0.07:
            name = f"u{len(self.lines)}"
            at = self.random.choice(self.frames)
            self.lines.append(f"{name} = {self.random.choice((f'tanh({at})', f'{at} * 0.5', f'sigmoid({at}) * x'))}")
            self.frames.append(name)
        elif kind < 0.6:
            self.name(self.squashed(self.sum()))
        elif kind < 0.75:
            self.name(self.sum())
        else:
            self.name(self.value(2))

    def pick(self, deep: bool = True) -> str:
        """A name, the later the likelier; not one of many rounds where another is to be added."""
        names = [name for name in self.phase if deep or self.phase[name] < 3]
        return self.random.choice(names[-3:] if self.random.random() < 0.6 else names)

    def gate(self) -> str:
        """One of few, so that they meet again."""
        return self.random.choice(GATES)

    def product(self) -> str:
        """A matrix with a vector."""
        kind = self.random.random()
        if kind < 0.4:
            return f"W.{self.gate()} @ {self.random.choice(self.frames)}"
        if kind < 0.48:
            fixed = (
                f"b.{self.gate()}",
                f"tanh(p.{self.gate()})",
                f"sigmoid(W.{self.gate()} @ x)",
                f"(p.{self.gate()} * b.a)",
            )
            return f"R.{self.gate()} @ {self.random.choice(fixed)}"
        if kind < 0.6:
            return f"R.{self.gate()} @ ({self.pick(False)} * {self.pick(False)})"
        return f"R.{self.gate()} @ {self.pick(False)}"

    def sum(self) -> str:
        """A few products, biases, peepholes, names and numbers added up."""
        terms = [self.product() for _ in range(self.random.choice((1, 2, 2, 3)))]
        for _ in range(self.random.choice((0, 0, 1, 2))):
            gate = self.gate()
            terms.append(
                self.random.choice(
                    (f"b.{gate}", f"p.{gate} * {self.pick()}", self.pick(), "0.5", f"p.{gate} * b.{gate}")
                )
            )
        self.random.shuffle(terms)
        if self.random.random() < 0.1:
            terms.append(self.random.choice(terms))  # the very same term twice
        text = terms[0]
        for term in terms[1:]:
            text += f" {self.random.choice('++++-')} {term}"
        return text

    def of_parameters(self) -> str:
        """A function of parameters and numbers alone."""
        a, b, number = f"p.{self.gate()}", f"b.{self.gate()}", self.random.choice(NUMBERS)
        forms = (f"{a} - {number}", f"{a} * {b}", f"{b} + {number}", f"{a} / (1 + exp(-absolute({b})))",
                 f"maximum({a}, {number})", f"{a} + softplus({b})")  # fmt: skip
        return self.squashed(self.random.choice(forms))

    def squashed(self, text: str) -> str:
        """A bounded function of an expression."""
        forms = ("tanh({})", "tanh({})", "sigmoid({})", "sigmoid({})", "exp(-absolute({}))", "maximum(minimum({}, 1.5), -1)",
                 "log(softplus({}) + 0.5)", "tanh({}) * 0.5 + sigmoid({})")  # fmt: skip
        return self.random.choice(forms).replace("{}", text)

    def norm(self) -> str:
        """Something with a mean over N in it."""
        a, b, gate = self.pick(False), self.pick(), self.gate()
        forms = (f"p.{gate} * ({a} - mean({a}))", f"{b} / rms({a} + 0.5)", f"mean({a} * {b})", f"mean(W.{gate} @ x) + {b}",
                 f"sqrt({self.positive()}) - mean({self.product()} + {a})", f"tanh({b} * mean(b.{gate}))")  # fmt: skip
        return self.random.choice(forms)

    def positive(self) -> str:
        """Something well above zero."""
        at = self.pick()
        return self.random.choice(
            (
                f"(sigmoid({at}) + 0.5)",
                f"(softplus({at}) + 0.3)",
                f"(1 + exp(-absolute({at})))",
                f"(absolute({at}) + 1)",
            )
        )

    def value(self, depth: int) -> str:
        """A pointwise expression."""
        if depth == 0:
            return self.pick()
        a, b, c = (self.value(depth - 1) for _ in range(3))
        number, inner = self.random.choice(NUMBERS), self.pick()
        forms = (
            f"({a} * {b})", f"({a} * {b})", f"({a} + {b})", f"({a} - {b})", f"({inner} * {a} + (1 - {inner}) * {b})",
            f"{number} * {a}", f"({number} - {a})", f"(-{a})", f"{a} / {self.positive()}", f"({number} / {self.positive()})",
            f"log({self.positive()})", f"exp(minimum({a}, 0.5))", f"tanh({a})", f"sigmoid({a})", f"relu({a})",
            f"absolute({a})", f"softplus({a})", f"maximum({a}, {number if a == b else b})", f"minimum({a}, {number})",
            f"maximum({number}, {a})",
            f"(p.{self.gate()} * {a})", f"({a} + b.{self.gate()})", f"tanh(b.{self.gate()})", f"(W.{self.gate()} @ x) * {a}",
            f"({self.product()}) * ({self.product()})", f"(W.{self.gate()} @ x) * (W.{self.gate()} @ x)",
            f"({a} * {b} + {c})",
        )  # fmt: skip
        return self.random.choice(forms)


def compiled(text: str) -> Variant:
    """The function that a text defines, with its ties declared."""
    words = [*(name for name, op in OPS.items() if op.in_text and hasattr(ops, name)), "rms"]
    space = {name: getattr(ops, name) for name in words}
    exec(compile(text, "<random cell>", "exec"), space)
    (name,) = re.findall(r"def (\w+)\(", text)
    return Variant(space[name], ties=[op for op, row in OPS.items() if row.kinked and f"{op}(" in text])


def random_text(seed: int, learned: bool = False, norms: bool = False) -> str:
    """The text of the cell number ``seed``; ``learned``: with functions of parameters alone; ``norms``: with means over N."""
    return Writer(seed, learned, norms).text
