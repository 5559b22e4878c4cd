"""Who trains the blocks: the worker processes of one machine, its GPUs or a cluster, and what each of them does."""
