"""Generated source: a cell's scans, their matrix products, and a training step."""
