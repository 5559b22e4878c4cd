"""Handwriting: lines of text as a pen wrote them, asked for their characters (objective ``ctc``).

``ink`` makes features of strokes, the same way for every corpus; ``iam_ondb`` and ``unipen`` read the files of others,
``hershey`` draws lines with a synthetic hand.
"""
