"""What objectives there are. Apart from what they do, which needs torch and knows corpora: a task's declaration names one."""

from typing import NamedTuple


class Named(NamedTuple):
    """An objective's class, what it reports, and the class's module where it has not the objective's name."""

    kind: str
    metric: str
    units: str
    module: str = ""


NAMES: dict[str, Named] = {
    "next_frame": Named("NextFrame", "negative log-likelihood per frame", "nats/frame"),
    "frames": Named("Frames", "frame error rate", "%"),
    "ctc": Named("CTC", "character error rate of the best path", "%"),
    "label_last": Named("LabelLast", "error rate of the sequence's label", "%", "label"),
    "label_ends": Named("LabelEnds", "error rate of the sequence's label", "%", "label"),
    "label_mean": Named("LabelMean", "error rate of the sequence's label", "%", "label"),
}
"""The objectives."""
