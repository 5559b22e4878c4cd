"""Tasks: one file a corpus, bound to one objective. Knows no cell, no model and no trainer.

``declare`` holds what a task and its corpus are, ``distributions`` its search space, ``objectives`` the three losses.
Importing a task needs numpy only; scipy, torch, pooch and rapidfuzz are imported where they are first used.
"""
