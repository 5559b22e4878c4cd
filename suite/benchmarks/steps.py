"""What asv tracks of training: which variants, at which size."""

from __future__ import annotations

VARIANTS = ("vanilla",)
"""The variants tracked by default; the tasks are those whose corpus is embedded."""

HIDDEN_SIZE = 64


def cases() -> list[tuple[str, str]]:
    """Pairs (variant, task) that are tracked by default."""
    import lstm_odyssey as lo

    tasks = [name for name in lo.task_names() if lo.task(name).embedded]
    return [(variant, task) for task in tasks for variant in VARIANTS]
