"""What objectives there are. Apart from what they do, which needs torch and knows corpora: a task's declaration names one."""

NAMES: dict[str, str] = {"next_frame": "NextFrame", "frames": "Frames", "ctc": "CTC"}
"""The objectives: their module in this folder and the class in it."""
