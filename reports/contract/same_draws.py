"""Which cells of several files had the same draws, and which seed of them: compared, never believed.

Two cells have *the same draws* where all trials of equal index that both have ran with the same hyperparameters, to the last
bit, or where the rows of a file of points hold all finished draws of the other study. So independent and common draws are never
paired, and points that are the best of a search are no draws of it. What a cell draws for itself alone, as its constants, the
others cannot have: it is left out, as it is within one study of common draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from lstm_odyssey.reports.contract.validation import error
from lstm_odyssey.reports.contract.variables import FINISHED, FROM_FILE

CURE = "A comparison would not be one: report them apart."

Record = dict[str, Any]
Draw = tuple[tuple[str, Any], ...]


@dataclass
class File:
    """One of several studies.

    Attributes:
        label: what the reader knows it by.
        study, trials: what its store held.
        seed_number: which of several seeds of the same draws it was run with.
        draws: by task and cell, what each of its trials was run with.
        alike: the same without what the cell draws for itself alone.
        finished: the draws of those that have scores.
    """

    label: str
    study: Record
    trials: list[Record]
    seed_number: int = 0
    draws: dict[tuple[str, str], dict[int, Draw]] = field(default_factory=dict)
    alike: dict[tuple[str, str], dict[int, Draw]] = field(default_factory=dict)
    finished: dict[tuple[str, str], set[Draw]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for trial in self.trials:
            place = trial["task"], trial["variant"]
            self.draws.setdefault(place, {})[trial["trial"]] = drawn(trial)
            self.alike.setdefault(place, {})[trial["trial"]] = without(drawn(trial), self.own(trial["variant"]))
            if trial["status"] in FINISHED:
                self.finished.setdefault(place, set()).add(drawn(trial))

    def own(self, cell: str) -> set[str]:
        """The hyperparameters that a cell drew for itself alone."""
        return set(self.study["variants"][cell].get("space") or ())

    @property
    def from_points(self) -> bool:
        return bool(self.study["draws"] == FROM_FILE)

    def rows(self, task: str, variant: str) -> set[Draw]:
        """The rows of its points that are for a cell."""
        there = (self.study.get("points") or {}).get("rows") or []
        mine = [row for row in there if row.get("task", task) == task and row.get("variant", variant) == variant]
        return {
            tuple(sorted((name, value) for name, value in row.items() if name not in ("task", "variant")))
            for row in mine
        }


@dataclass
class Group:
    """Cells of one task that had the same draws.

    Attributes:
        numbers: the draws by index, without what a cell drew for itself alone.
        points: whether they were chosen, and nobody had drawn them.
        cells: who had them.
    """

    task: str
    numbers: dict[int, Draw]
    points: bool
    cells: list[tuple[File, str]]

    def has(self, file: File, cell: str) -> bool:
        """Whether a cell had these draws; one without trials has those of its file, if these are common."""
        mine = file.draws.get((self.task, cell), {})
        if not mine:
            return file.study["draws"] == "common" and any(one is file for one, _ in self.cells)
        if file.from_points and not self.points:
            ended = {name: one.finished.get((self.task, name), set()) for one, name in self.cells}
            bare = [{without(draw, self.own(name)) for draw in draws} for name, draws in ended.items()]
            needed = ended[cell] if cell in ended else set.intersection(*bare)
            return bool(needed) and needed | set(mine.values()) <= file.rows(self.task, cell)
        mine = file.alike[self.task, cell]
        shared = mine.keys() & self.numbers.keys()
        return bool(shared) and all(mine[index] == self.numbers[index] for index in shared)

    def own(self, cell: str) -> set[str]:
        """What a cell of that name drew for itself alone."""
        return {key for file, name in self.cells if name == cell for key in file.own(name)}

    def numbered(self, file: File, cell: str) -> dict[int, int]:
        """The index of the draw that each trial of a cell had, by the trial's own index."""
        mine = file.draws.get((self.task, cell), {})
        if not file.from_points or self.points:
            return {index: index for index in mine}
        mine = {index: without(draw, self.own(cell)) for index, draw in mine.items()}
        places: dict[Draw, list[int]] = {}
        for number, draw in sorted(self.numbers.items()):
            places.setdefault(draw, []).append(number)
        free = {draw: iter(numbers) for draw, numbers in places.items()}
        return {index: next(free[draw]) for index, draw in sorted(mine.items())}

    def add(self, file: File, cell: str) -> None:
        """Take a cell in, with what it was run with."""
        mine = file.draws.get((self.task, cell), {})
        self.cells.append((file, cell))
        if not file.from_points or self.points:
            self.numbers |= file.alike.get((self.task, cell), {})
            return
        bare = [without(draw, self.own(cell)) for draw in mine.values()]
        lacking = Counter(bare) - Counter(self.numbers.values())  # rows that nobody had run as a draw
        for draw in lacking.elements():
            self.numbers[1 + max(self.numbers)] = draw


def drawn(trial: Mapping[str, Any]) -> Draw:
    """What a trial was run with, in a form that can be compared."""
    return tuple(sorted(trial["hyperparameters"].items()))


def without(draw: Draw, names: Collection[str]) -> Draw:
    """A draw less some of its names."""
    return tuple((name, value) for name, value in draw if name not in names) if names else draw


def grouped(files: list[File]) -> list[Group]:
    """All cells by their draws; what was drawn comes first, so that points are found to be draws of it.

    Raises:
        SchemaError: some trials were drawn and others are chosen rows, or rows of several files.
    """
    found: list[Group] = []
    for file in sorted(files, key=lambda file: file.from_points):
        for task in file.study["tasks"]:
            cells = sorted(file.study["variants"], key=lambda cell: not file.draws.get((task, cell)))
            for cell in cells:
                group = next((one for one in found if one.task == task and one.has(file, cell)), None)
                if group is None:
                    group = Group(task, {}, file.from_points, [])
                    found.append(group)
                group.add(file, cell)
    _refuse_mixed([group for group in found if group.numbers])
    _number_seeds(found)
    return found


def _refuse_mixed(found: list[Group]) -> None:
    points = [group for group in found if group.points]
    if not points:
        return
    file = points[0].cells[0][0]
    if len(points) < len(found):
        raise error(
            f"study '{file.label}'", f"rows of {file.study['points']['file']}, which were chosen",
            "trials that were drawn, as the others, or all of their draws", f"{CURE[:-1]}, or as --reruns of the search.",
        )  # fmt: skip
    if len({one.study["points"]["sha256"] for group in points for one, _ in group.cells}) > 1:
        raise error(f"study '{file.label}'", "points of another file", "the points of the others", CURE)


def _number_seeds(found: list[Group]) -> None:
    """Of files that have draws and a cell in common and other seeds, which seed each is: 0, 1, ..."""
    for group in found:
        by_cell: dict[str, list[File]] = {}
        for file, cell in group.cells:
            by_cell.setdefault(cell, []).append(file)
        shared = [file.study["seed"] for files in by_cell.values() if len(files) > 1 for file in files]
        seeds = list(dict.fromkeys(shared))
        for file, _ in group.cells:
            if file.study["seed"] in seeds:
                file.seed_number = max(file.seed_number, seeds.index(file.study["seed"]))
