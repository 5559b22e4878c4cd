"""What objectives there are. Apart from what they do, which needs torch and knows corpora: a task's declaration names one."""

from typing import NamedTuple


class Named(NamedTuple):
    """An objective's class, in the module of the objective's name, and what it reports."""

    kind: str
    metric: str
    units: str


NAMES: dict[str, Named] = {
    "next_frame": Named("NextFrame", "negative log-likelihood per frame", "nats/frame"),
    "frames": Named("Frames", "frame error rate", "%"),
    "ctc": Named("CTC", "character error rate of the best path", "%"),
}
"""The objectives."""
