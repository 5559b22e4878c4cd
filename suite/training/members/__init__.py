"""Networks that train together, each as if it were alone: their tensors, their population, its checkpoints."""
