"""What a whole study would take, and how many times as fast a population is as its networks one by one; from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

TRIALS, VARIANTS, EPOCHS = 200, 9, 150
"""Of the paper's study, 27 x 200 = 5,400 runs on three corpora; epochs at most."""

HEAVY = 1
"""Of the nine variants, those with gates that see gates: 13 recurrent matrices."""

CORPORA = {
    "TIMIT": (3696, 400, 192, 304), "IAM-OnDB": (5355, 2956, 3859, 334), "JSB Chorales": (229, 76, 77, 60),
}  # fmt: skip
"""Sequences for training, validation and test, and frames of the mean one."""

SLOWER = 3
"""How many times as long as the first they are taken to need where no update of theirs was measured; 13 matrices to 4."""

FORWARD = 1 / 3
"""A scored frame's time, in parts of a training frame's."""

TESTED = 1 / 3
"""The part of the epochs in which validation improves, so that the test set is scored."""

STOPPED = 0.5
"""The part of the epochs that early stopping leaves."""

HOURS = ("hours", "hours_of_all_epochs", "hours_with_early_stopping")
"""Entries of the study's row."""

ASSUMPTIONS = (
    f"{TRIALS} trials of each of {VARIANTS} variants on three corpora; {EPOCHS} epochs and, with early stopping, {STOPPED:g} "
    f"of them; frames of the paper's corpora at the mean length; a scored frame takes {FORWARD:.2f} of a training frame's "
    f"time, validation every epoch, the test set in {TESTED:.2f} of them; {HEAVY} of the variants at the speed of the one "
    "with the most matrices, the others at that of the first; one GPU that does nothing else"
)


def frames_an_epoch(corpus: str) -> float:
    """Training frames of an epoch, with scored ones at their part."""
    train, valid, test, length = CORPORA[corpus]
    return length * (train + FORWARD * (valid + TESTED * test))


def projected(rows: Sequence[dict[str, Any]], first: str) -> list[dict[str, Any]]:
    """Rows with the speed-ups over networks one by one, and with the hours of the study; none where rows are lacking.

    Args:
        rows: of *population*.
        first: the variant that stands for those without gates that see gates.
    """
    found, hours = [], {}
    for corpus in CORPORA:
        mine = [row for row in rows if row.get("shape") == corpus]
        singles = sorted((row["hidden_size"], row["seconds"]) for row in mine if row.get("way") == "one by one")
        light = [row for row in mine if row.get("variant") == first]
        heavy = [row for row in mine if row.get("variant", first) != first]
        if not singles or not light:
            return []
        for row in light:
            each = float(np.interp(row["mean_hidden_size"], [N for N, _ in singles], [taken for _, taken in singles]))
            found.append({
                "what": "times", "shape": corpus, "members": row["members"], "one_by_one_seconds": each * row["members"],
                "times": each * row["members"] / row["seconds"],
            })  # fmt: skip
        nearest = min(light, key=lambda row: abs(row["members"] - TRIALS))
        slow = heavy[0]["member_frames_per_second"] if heavy else nearest["member_frames_per_second"] / SLOWER
        frames = TRIALS * EPOCHS * frames_an_epoch(corpus)
        seconds = (VARIANTS - HEAVY) * frames / nearest["member_frames_per_second"] + HEAVY * frames / slow
        hours[corpus] = seconds / 3600
    total = sum(hours.values())
    return [*found, {
        "what": "study", "hours": hours, "hours_of_all_epochs": total, "hours_with_early_stopping": total * STOPPED,
        "assumptions": ASSUMPTIONS,
    }]  # fmt: skip
