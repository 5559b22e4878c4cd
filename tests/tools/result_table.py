"""The tables of results, the README's and that of speech, made of the stored studies.

``python -m tests.tools.result_table`` prints them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lstm_odyssey as lo
from lstm_odyssey.tasks.corpus import called
from tests.house.pages import difference

RECORDS = Path(__file__).resolve().parents[2] / "reports" / "records"
FULL = "jsb-chorales-common"
"""The study whose differences are shown; others have their means."""

SPEECH = "festvox-ru-mini-common"

FAMILIES = ("music", "speech", "handwriting")
BEGUN = {"handwriting": "hershey"}
"""The corpora of studies of which nothing is stored yet."""
UNITS = {"frames": "frames", "ctc": "characters"}
CHANGES = {
    "vanilla": "nothing",
    "nig": "no input gate",
    "nfg": "no forget gate",
    "nog": "no output gate",
    "niaf": "no input activation function",
    "noaf": "no output activation function",
    "no_peepholes": "no peepholes",
    "cifg": "input and forget gate coupled",
    "fgr": "full gate recurrence",
}


def studies() -> dict[str, Any]:
    """The stored studies by name."""
    return {path.stem: lo.open_study(path) for path in sorted(RECORDS.glob("*.nc"))}


def stored(study: Any) -> tuple[int, int]:
    """How many trials have ended, and how many there are to be."""
    return int((study["status"] != "missing").sum()), study["status"].size


def family(study: Any) -> str:
    """Of its one task."""
    ((_, task),) = json.loads(study.attrs["tasks"]).items()
    return str(task["family"])


def of_all_cells(study: Any) -> Any:
    """The draws that every cell has been trained at: of an unfinished study others would compare unlike ones."""
    return study.sel(trial=(study["status"] != "missing").all(["task", "variant"]))


def compared(study: Any) -> Any:
    """The comparison with vanilla, of its one task."""
    return lo.compare(study, baseline="vanilla").isel(task=0)


def lines(known: dict[str, Any], full: Any = None) -> list[str]:
    """The table: a row a cell in the order of its music, a column a family; ``full`` is the comparison, if it is at hand."""
    full = compared(known[FULL]) if full is None else full
    others = {name: next((each for each in known.values() if family(each) == name), None) for name in FAMILIES[1:]}
    means = {name: compared(of_all_cells(each))["mean_test"] for name, each in others.items() if each is not None}
    heads = [
        f"{name}, unfinished" if each is not None and stored(each)[0] < stored(each)[1] else name
        for name, each in others.items()
    ]
    found = [f"| cell | what it changes in the LSTM | music | difference to vanilla | verdict | {' | '.join(heads)} |"]
    found.append("|---" * (5 + len(heads)) + "|")
    for cell in full["variant"].values[full["mean_test"].values.argsort()]:
        one = full.sel(variant=cell)
        row = [f"`{cell}`", CHANGES[cell], f"{one['mean_test'].item():.2f}"]
        row += ["" if cell == "vanilla" else difference(full, cell), one["verdict"].item()]
        row += [f"{means[name].sel(variant=cell).item():.1f}" if name in means else "–" for name in FAMILIES[1:]]
        found.append(f"| {' | '.join(row)} |".replace("|  |", "| |"))
    return found


def beside_vanilla(study: Any) -> list[str]:
    """A table of one study, a row a cell: its mean, the difference to vanilla, the verdict; over the draws that all have."""
    found, rows = (
        compared(of_all_cells(study)),
        ["| | mean of the best tenth | difference to `vanilla` | verdict |", "|---" * 4 + "|"],
    )
    for cell in found["variant"].values[found["mean_test"].values.argsort()]:
        one = found.sel(variant=cell)
        apart = "" if cell == "vanilla" else difference(found, cell)
        row = [f"`{cell}`", f"{one['mean_test'].item():.1f}", apart, one["verdict"].item()]
        rows.append(f"| {' | '.join(row)} |".replace("|  |", "| |"))
    return rows


def so_far(known: dict[str, Any]) -> str:
    """The sentence of how much is stored of what is not finished."""
    parts = []
    for name in FAMILIES:
        every = [stored(each) for key, each in known.items() if key != FULL and family(each) == name]
        again = " with another seed" if name == full_family(known) else ""
        parts += [f"{done:,} of {all_:,} of {name}{again}" for done, all_ in every if done < all_]
        if not every and not again:
            parts.append(f"none of {name}")
    return f"Trials that are stored of what is unfinished: {', '.join(parts)}." if parts else ""


def full_family(known: dict[str, Any]) -> str:
    """Of the study that is shown in full."""
    return family(known[FULL])


def corpora(known: dict[str, Any]) -> str:
    """The sentences of what the columns beside the full study are measured on, and in which unit."""
    said = []
    for name in FAMILIES[1:]:
        tasks = [next(iter(json.loads(each.attrs["tasks"]))) for each in known.values() if family(each) == name]
        task = lo.task(tasks[0] if tasks else BEGUN[name])
        shown = called(f"`{task.name}`", task.licence)
        said.append(f"{name.capitalize()} is {shown}, in % of {UNITS[task.objective]}.")
    return " ".join(said)


def main() -> None:
    """Print what belongs into the README."""
    known = studies()
    print("\n".join([corpora(known), "", *lines(known), "", so_far(known), "", *beside_vanilla(known[SPEECH])]))


if __name__ == "__main__":
    main()
