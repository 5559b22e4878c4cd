"""What takes turns on a clock: a cell, an epoch, a loss, two versions of the package."""
