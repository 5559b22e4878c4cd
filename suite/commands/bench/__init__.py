"""``odyssey bench cell | epoch | step | ctc | compare | gpu``: its commands, what they take, the tables they print."""
