"""Memory: what state a machine is in after the symbols so far, asked at every frame (objective ``frames``).

``machine`` makes a corpus of a table of states; ``parity`` and ``s5`` are two tables. They are computed when they are
loaded, and short enough to be the example of a task.
"""
