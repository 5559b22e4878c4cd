"""The ``odyssey`` command: what a terminal shows. Nothing imports it."""
