"""What a command and its terminal tell each other: tables that fit, faults in one sentence, signals, closed pipes."""
