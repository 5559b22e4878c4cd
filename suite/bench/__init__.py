"""``odyssey bench``: what is timed against what. The yardsticks are scripts that can be read: ``loop``, ``plain_torch``."""
